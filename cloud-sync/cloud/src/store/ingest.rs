//! Taking in a gateway's rows, each exactly once: rows and mark in one transaction.

use super::{StoreError, gateways, projection};
use engawa_protocol::ports::{Ingested, Refusal, Row};
use rusqlite::{Connection, OptionalExtension, params};

/// The marks that a gateway may go on from, or why it may not: its journal is behind what the cloud has of the same
/// epoch, so its disk was restored or cloned and would give old numbers to new rows. In a new epoch every lane begins
/// at nothing. A lane that the gateway does not name is one that its release does not have (it was rolled back): it can't
/// write to it, so that is no harm.
///
/// # Errors
/// SQLite's. A refusal is not an error: it is the inner result.
pub fn hello(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    heads: &[(u8, u64)],
) -> Result<Result<Vec<(u8, u64)>, Refusal>, StoreError> {
    if !gateways::admitted(connection, gateway)? {
        return Ok(Err(Refusal::Unknown(gateway.to_owned())));
    }
    let doing = StoreError::sql("reading a gateway's marks");
    let mut statement = connection
        .prepare_cached("SELECT lane, seq FROM mark WHERE gateway = ?1 AND epoch = ?2 ORDER BY lane")
        .map_err(doing)?;
    let mut marks = statement
        .query_map(params![gateway, epoch.cast_signed()], |row| {
            Ok((row.get::<_, u8>(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(doing)?;
    for &(lane, cloud) in &marks {
        if let Some(&(_, edge)) = heads.iter().find(|(of, head)| *of == lane && *head < cloud) {
            return Ok(Err(Refusal::EdgeBehind { lane, cloud, edge }));
        }
    }
    for (lane, _) in heads {
        if !marks.iter().any(|(known, _)| known == lane) {
            marks.push((*lane, 0));
        }
    }
    Ok(Ok(marks))
}

/// Stores the rows that are new and moves the mark. Rows at or below the mark are skipped; at a hole it stops, and
/// says from where to send again (what came before the hole is stored).
///
/// # Errors
/// A gateway that is not admitted, or SQLite's: the transaction is then to be rolled back.
pub fn ingest(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    lane: u8,
    rows: &[Row],
    now_micros: i64,
) -> Result<Ingested, StoreError> {
    // Asked again inside the transaction: a revocation holds from its commit on, also for open sessions.
    if !gateways::admitted(connection, gateway)? {
        return Err(StoreError::Revoked(gateway.to_owned()));
    }
    let doing = StoreError::sql("storing a gateway's rows");
    let before = connection
        .prepare_cached("SELECT seq FROM mark WHERE gateway = ?1 AND epoch = ?2 AND lane = ?3")
        .and_then(|mut statement| {
            statement
                .query_row(params![gateway, epoch.cast_signed(), lane], |row| row.get::<_, i64>(0))
                .optional()
        })
        .map_err(doing)?
        .unwrap_or(0)
        .cast_unsigned();
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO journal (gateway, epoch, lane, seq, at_micros, kind, body, received_micros)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .map_err(doing)?;
    let (mut mark, mut hole) = (before, false);
    for row in rows {
        if row.seq <= mark {
            continue;
        }
        // No overflow: it is above the mark, so at least 1.
        if row.seq - 1 != mark {
            hole = true;
            break;
        }
        let keys = (gateway, epoch.cast_signed(), lane, row.seq.cast_signed());
        match std::str::from_utf8(&row.body) {
            Ok(text) => insert.execute(params![
                keys.0,
                keys.1,
                keys.2,
                keys.3,
                row.at_micros,
                row.kind,
                text,
                now_micros
            ]),
            Err(_) => {
                tracing::warn!(gateway, lane, seq = row.seq, "a body is not UTF-8: stored, not projected");
                insert.execute(params![
                    keys.0,
                    keys.1,
                    keys.2,
                    keys.3,
                    row.at_micros,
                    row.kind,
                    row.body,
                    now_micros
                ])
            }
        }
        .map_err(doing)?;
        projection::apply(connection, gateway, epoch, row)?;
        mark = row.seq;
    }
    if mark > before {
        connection
            .prepare_cached(
                "INSERT INTO mark (gateway, epoch, lane, seq) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (gateway, epoch, lane) DO UPDATE SET seq = excluded.seq",
            )
            .and_then(|mut statement| {
                statement.execute(params![gateway, epoch.cast_signed(), lane, mark.cast_signed()])
            })
            .map_err(doing)?;
    }
    Ok(if hole { Ingested::Gap(mark) } else { Ingested::Upto(mark) })
}
