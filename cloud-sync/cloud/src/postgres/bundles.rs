//! Diagnostics bundles on PostgreSQL: see [`crate::bundles`].

use crate::bundles::Bundle;
use crate::store::StoreError;
use deadpool_postgres::Object;
use engawa_model::Timestamp;

/// The head of a bundle; `$1` and `$2` are property and gateway, as in all three.
pub(super) const HEAD: &str = "INSERT INTO bundle
    (property, gateway, key, at_micros, received_micros, pieces, bytes, sha256)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
/// A piece, which is spoilt too where it belongs to another bundle of the key.
pub(super) const PIECE: &str = "INSERT INTO bundle_piece (property, gateway, key, number, sound, data)
    SELECT $1, $2, $3, $4::integer, $5::boolean AND pieces = $7 AND sha256 = $8, $6::bytea FROM bundle
    WHERE property = $1 AND gateway = $2 AND key = $3
    ON CONFLICT (property, gateway, key, number) DO UPDATE SET sound = excluded.sound, data = excluded.data";
/// No more than there may be: the newest that came, and of those that came at once the newest that were made. Asked with
/// each piece, since any may be the first of its key.
pub(super) const TRIM: &str = "DELETE FROM bundle WHERE property = $1 AND gateway = $2 AND key NOT IN
    (SELECT key FROM bundle WHERE property = $1 AND gateway = $2
     ORDER BY received_micros DESC, at_micros DESC, key LIMIT $3)";

/// As [`crate::store::bundles::list`].
///
/// # Errors
/// PostgreSQL's.
pub async fn list(client: &Object, gateway: Option<&str>) -> Result<Vec<Bundle>, StoreError> {
    let rows = client
        .query(
            "SELECT b.gateway, b.key, at_micros, pieces, bytes, sha256,
             (SELECT count(*) FROM bundle_piece p
              WHERE (p.property, p.gateway, p.key) = (b.property, b.gateway, b.key) AND sound),
             (SELECT count(*) FROM bundle_piece p
              WHERE (p.property, p.gateway, p.key) = (b.property, b.gateway, b.key) AND NOT sound)
             FROM bundle b WHERE $1::text IS NULL OR b.gateway = $1 ORDER BY received_micros DESC, at_micros DESC, b.key",
            &[&gateway],
        )
        .await
        .map_err(StoreError::postgres("listing bundles"))?;
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(rows
        .into_iter()
        .map(|row| Bundle {
            gateway: row.get(0),
            key: row.get(1),
            at: Timestamp::from_microsecond(row.get(2)).ok(),
            pieces: row.get::<_, i32>(3).unsigned_abs(),
            bytes: row.get::<_, i64>(4).cast_unsigned(),
            sha256: row.get(5),
            sound: count(row.get(6)),
            spoilt: count(row.get(7)),
        })
        .collect())
}

/// As [`crate::store::bundles::pieces`].
///
/// # Errors
/// PostgreSQL's.
pub async fn pieces(
    client: &Object,
    gateway: &str,
    key: &str,
) -> Result<Vec<(u32, bool, Vec<u8>)>, StoreError> {
    let rows = client
        .query(
            "SELECT number, sound, data FROM bundle_piece WHERE gateway = $1 AND key = $2 ORDER BY number",
            &[&gateway, &key],
        )
        .await
        .map_err(StoreError::postgres("reading a bundle"))?;
    Ok(rows.into_iter().map(|row| (row.get::<_, i32>(0).unsigned_abs(), row.get(1), row.get(2))).collect())
}
