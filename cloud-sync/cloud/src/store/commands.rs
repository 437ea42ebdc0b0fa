//! Commands: numbered densely per gateway, taken once by key, settled once by the gateway's outcome.
//!
//! A gateway with a new disk asks for its commands from the beginning again, and must not do them a second time: every
//! command has an expiry, and what has ended is handed out again only as expired. Numbers are dense, so nothing can be
//! left out.

use super::{StoreError, gateways};
use crate::commands::{Draft, LOST, again, bounded, expired, outcome_words, room, warn_ahead};
use engawa_model::{Action, CommandKey, CommandOutcome, Timestamp};
use engawa_protocol::ports::Row;
use rusqlite::{Connection, OptionalExtension, params};

pub use crate::commands::{MOST_BODY, MOST_WAITING, Sent};

/// Stores a command for `gateway`, once per `key`.
///
/// # Errors
/// No such gateway, a revoked one, a key that was used for another action, too large a command, too many waiting ones, or
/// SQLite's.
pub fn send(
    connection: &Connection,
    gateway: &str,
    key: &CommandKey,
    action: &Action,
    now: Timestamp,
    expires: Timestamp,
) -> Result<Sent, StoreError> {
    gateways::require_enrollable(connection, gateway)?;
    let doing = StoreError::sql("storing a command");
    let earlier = connection
        .query_row(
            "SELECT seq, body FROM command WHERE gateway = ?1 AND key = ?2",
            [gateway, key.as_str()],
            |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, String>(1)?)),
        )
        .optional()
        .map_err(doing)?;
    if let Some((seq, body)) = earlier {
        return again(gateway, key, action, seq, &body);
    }
    let draft = Draft::new(key, action, expires)?;
    let waiting = connection
        .query_row("SELECT count(*) FROM command WHERE gateway = ?1 AND state = 'sent'", [gateway], |row| {
            row.get::<_, i64>(0)
        })
        .map_err(doing)?
        .cast_unsigned();
    room(gateway, waiting)?;
    let seq: i64 = connection
        .query_row(
            "UPDATE gateway SET command_head = command_head + 1 WHERE id = ?1 RETURNING command_head",
            [gateway],
            |row| row.get(0),
        )
        .map_err(doing)?;
    connection
        .execute(
            "INSERT INTO command (gateway, seq, key, at_micros, kind, body, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                gateway,
                seq,
                key.as_str(),
                now.as_microsecond(),
                draft.kind,
                draft.body,
                expires.as_microsecond()
            ],
        )
        .map_err(doing)?;
    Ok(Sent { seq: seq.cast_unsigned(), fresh: true })
}

/// The commands of `gateway` after `after`, in order, at most `max`.
///
/// # Errors
/// SQLite's.
pub fn after(connection: &Connection, gateway: &str, after: u64, max: usize) -> Result<Vec<Row>, StoreError> {
    let doing = StoreError::sql("reading a gateway's commands");
    let mut statement = connection
        .prepare_cached(
            "SELECT seq, at_micros, kind, body, state = 'ended' FROM command
             WHERE gateway = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )
        .map_err(doing)?;
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    statement
        .query_map(params![gateway, i64::try_from(after).unwrap_or(i64::MAX), limit], |row| {
            let (body, ended) = (row.get::<_, String>(3)?, row.get(4)?);
            Ok(Row {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                at_micros: row.get(1)?,
                kind: row.get(2)?,
                body: if ended { expired(body) } else { body }.into_bytes(),
            })
        })
        .and_then(Iterator::collect)
        .map_err(doing)
}

/// The gateway has lost its inbox. Postings that it had and whose outcome never came may have been charged or not: they
/// end as doubtful, and are not done again. Everything else that has not ended is harmless to repeat, and goes out again
/// while its time lasts. Returns how many are doubtful.
///
/// # Errors
/// SQLite's.
pub fn inbox_lost(connection: &Connection, gateway: &str, now_micros: i64) -> Result<usize, StoreError> {
    connection
        .execute(
            "UPDATE command SET state = 'ended', outcome = 'doubtful', ended_at = ?2, reason = ?3
             WHERE gateway = ?1 AND state = 'acknowledged' AND kind = 'post'",
            params![gateway, now_micros, LOST],
        )
        .map_err(StoreError::sql("settling the commands of a lost inbox"))
}

/// The gateway has its commands durably up to `mark`.
///
/// # Errors
/// SQLite's.
pub fn acknowledged(
    connection: &Connection,
    gateway: &str,
    mark: u64,
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::sql("marking commands as acknowledged");
    let mark = bounded(mark);
    connection
        .execute(
            "UPDATE command SET state = 'acknowledged', acknowledged_at = ?3
             WHERE gateway = ?1 AND seq <= ?2 AND state = 'sent'",
            params![gateway, mark, now_micros],
        )
        .map_err(doing)?;
    let ahead = connection
        .execute(
            "UPDATE gateway SET command_head = ?2 WHERE id = ?1 AND command_head < ?2",
            params![gateway, mark],
        )
        .map_err(doing)?;
    if ahead > 0 {
        warn_ahead(gateway, mark);
    }
    Ok(())
}

/// The command has ended; the first outcome stays. A key that was never sent from here is nobody's business here.
pub(crate) fn settle(
    connection: &Connection,
    gateway: &str,
    key: &str,
    outcome: &CommandOutcome,
    at_micros: i64,
) -> Result<(), StoreError> {
    let (word, reason) = outcome_words(outcome);
    connection
        .prepare_cached(
            "UPDATE command SET state = 'ended', outcome = ?3, reason = coalesce(?4, reason), ended_at = ?5
             WHERE gateway = ?1 AND key = ?2 AND state <> 'ended'",
        )
        .and_then(|mut statement| statement.execute(params![gateway, key, word, reason, at_micros]))
        .map(drop)
        .map_err(StoreError::sql("settling a command"))
}
