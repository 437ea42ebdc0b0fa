//! Diagnostics bundles on SQLite: see [`crate::bundles`].

use super::StoreError;
use crate::bundles::{Arrived, Bundle, KEPT};
use engawa_model::Timestamp;
use rusqlite::{Connection, params};

/// Keeps a piece, and no more bundles of its gateway than there may be. In the transaction that stores its row.
pub(super) fn take(
    connection: &Connection,
    gateway: &str,
    at_micros: i64,
    piece: &Arrived,
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::sql("keeping a piece of a bundle");
    let key = piece.key.as_str();
    let fresh = connection
        .execute(
            "INSERT INTO bundle (gateway, key, at_micros, received_micros, pieces, bytes, sha256)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            params![gateway, key, at_micros, now_micros, piece.of, piece.bytes, piece.sha256],
        )
        .map_err(doing)?;
    connection
        .execute(
            "INSERT INTO bundle_piece (gateway, key, number, sound, data)
             SELECT ?1, ?2, ?3, ?4 AND pieces = ?6 AND sha256 = ?7, ?5 FROM bundle WHERE gateway = ?1 AND key = ?2
             ON CONFLICT (gateway, key, number) DO UPDATE SET sound = excluded.sound, data = excluded.data",
            params![gateway, key, piece.number, piece.sound, piece.data, piece.of, piece.sha256],
        )
        .map_err(doing)?;
    if fresh > 0 {
        connection
            .execute(
                "DELETE FROM bundle WHERE gateway = ?1 AND key NOT IN (SELECT key FROM bundle WHERE gateway = ?1
                 ORDER BY received_micros DESC, at_micros DESC, key LIMIT ?2)",
                params![gateway, KEPT],
            )
            .map_err(doing)?;
    }
    Ok(())
}

/// The bundles of one gateway or of all, newest first.
///
/// # Errors
/// SQLite's.
pub fn list(connection: &Connection, gateway: Option<&str>) -> Result<Vec<Bundle>, StoreError> {
    let mut statement = connection
        .prepare(
            "SELECT b.gateway, b.key, at_micros, pieces, bytes, sha256,
             (SELECT count(*) FROM bundle_piece p WHERE (p.gateway, p.key) = (b.gateway, b.key) AND sound),
             (SELECT count(*) FROM bundle_piece p WHERE (p.gateway, p.key) = (b.gateway, b.key) AND NOT sound)
             FROM bundle b WHERE ?1 IS NULL OR b.gateway = ?1 ORDER BY received_micros DESC, at_micros DESC, b.key",
        )
        .map_err(StoreError::sql("listing bundles"))?;
    statement
        .query_map([gateway], |row| {
            Ok(Bundle {
                gateway: row.get(0)?,
                key: row.get(1)?,
                at: Timestamp::from_microsecond(row.get(2)?).ok(),
                pieces: row.get(3)?,
                bytes: row.get::<_, i64>(4)?.cast_unsigned(),
                sha256: row.get(5)?,
                sound: row.get(6)?,
                spoilt: row.get(7)?,
            })
        })
        .and_then(Iterator::collect)
        .map_err(StoreError::sql("listing bundles"))
}

/// The pieces of a bundle in order: number, whether it is sound, bytes.
///
/// # Errors
/// SQLite's.
pub fn pieces(
    connection: &Connection,
    gateway: &str,
    key: &str,
) -> Result<Vec<(u32, bool, Vec<u8>)>, StoreError> {
    let doing = StoreError::sql("reading a bundle");
    let mut statement = connection
        .prepare(
            "SELECT number, sound, data FROM bundle_piece WHERE gateway = ?1 AND key = ?2 ORDER BY number",
        )
        .map_err(doing)?;
    statement
        .query_map([gateway, key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .and_then(Iterator::collect)
        .map_err(doing)
}
