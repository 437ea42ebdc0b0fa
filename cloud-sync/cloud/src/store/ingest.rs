//! Taking in a gateway's rows, each exactly once: rows and mark in one transaction.

use super::{StoreError, bundles, gateways, postings, projection};
use crate::bundles::{BULK, split};
use engawa_protocol::ports::{Ingested, Refusal, Row, Skip};
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
    let mut marks = marks_of(connection, gateway, epoch)?;
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

/// The marks of one epoch of a gateway, present or past.
///
/// # Errors
/// SQLite's.
pub fn marks_of(connection: &Connection, gateway: &str, epoch: u64) -> Result<Vec<(u8, u64)>, StoreError> {
    connection
        .prepare_cached("SELECT lane, seq FROM mark WHERE gateway = ?1 AND epoch = ?2 ORDER BY lane")
        .and_then(|mut statement| {
            statement
                .query_map(params![gateway, epoch.cast_signed()], |row| {
                    Ok((row.get::<_, u8>(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
                })
                .and_then(Iterator::collect)
        })
        .map_err(StoreError::sql("reading a gateway's marks"))
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
    require_open(connection, gateway, epoch)?;
    let doing = StoreError::sql("storing a gateway's rows");
    let before = mark_of(connection, gateway, epoch, lane).map_err(doing)?;
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
        // The bytes of a bundle are kept beside the journal.
        let piece = (lane == BULK).then(|| split(row)).flatten();
        let row = piece.as_ref().map_or(row, |(_, kept)| kept);
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
        projection::apply(connection, gateway, epoch, lane, row, now_micros)?;
        if let Some((piece, _)) = &piece {
            bundles::take(connection, gateway, row.at_micros, piece, now_micros)?;
        }
        mark = row.seq;
    }
    if mark > before {
        move_mark(connection, gateway, epoch, lane, mark).map_err(doing)?;
    }
    Ok(if hole { Ingested::Gap(mark) } else { Ingested::Upto(mark) })
}

/// Records that rows will never come: a row of the kind [`Skip::KIND`] stands for them under the last one's number, and
/// the mark moves over them. At or below the mark it does nothing; what of it is below is there already.
///
/// # Errors
/// A gateway that is not admitted, or SQLite's: the transaction is then to be rolled back.
pub fn skip(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    lane: u8,
    skip: &Skip,
    now_micros: i64,
) -> Result<Ingested, StoreError> {
    require_open(connection, gateway, epoch)?;
    let doing = StoreError::sql("recording a gap in a gateway's rows");
    let mark = mark_of(connection, gateway, epoch, lane).map_err(doing)?;
    if skip.to <= mark {
        return Ok(Ingested::Upto(mark));
    }
    if skip.from > mark.saturating_add(1) {
        return Ok(Ingested::Gap(mark));
    }
    let body = serde_json::json!({
        "kind": Skip::KIND, "from": mark + 1, "to": skip.to, "reason": skip.reason,
    });
    connection
        .prepare_cached(
            "INSERT INTO journal (gateway, epoch, lane, seq, at_micros, kind, body, received_micros)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5)",
        )
        .and_then(|mut statement| {
            let number = skip.to.cast_signed();
            let text = body.to_string();
            statement.execute(params![
                gateway,
                epoch.cast_signed(),
                lane,
                number,
                now_micros,
                Skip::KIND,
                text
            ])
        })
        .map_err(doing)?;
    postings::rows_lost(connection, gateway, epoch, lane, now_micros)?;
    move_mark(connection, gateway, epoch, lane, skip.to).map_err(doing)?;
    Ok(Ingested::Upto(skip.to))
}

/// The gateway is admitted, and this is the life of its journal that it spoke of last: a transaction of a connection that
/// has ended must not slip in after the marks of its epoch were told to the next one.
fn require_open(connection: &Connection, gateway: &str, epoch: u64) -> Result<(), StoreError> {
    gateways::require_admitted(connection, gateway)?;
    if gateways::last_epoch(connection, gateway)?.is_some_and(|last| last != epoch) {
        return Err(StoreError::EpochOver(gateway.to_owned()));
    }
    Ok(())
}

fn mark_of(connection: &Connection, gateway: &str, epoch: u64, lane: u8) -> rusqlite::Result<u64> {
    let mut statement =
        connection.prepare_cached("SELECT seq FROM mark WHERE gateway = ?1 AND epoch = ?2 AND lane = ?3")?;
    let mark = statement
        .query_row(params![gateway, epoch.cast_signed(), lane], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(mark.unwrap_or(0).cast_unsigned())
}

fn move_mark(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    lane: u8,
    mark: u64,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO mark (gateway, epoch, lane, seq) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (gateway, epoch, lane) DO UPDATE SET seq = excluded.seq",
    )?;
    statement.execute(params![gateway, epoch.cast_signed(), lane, mark.cast_signed()]).map(drop)
}
