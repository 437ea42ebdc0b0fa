//! Commands: numbered densely per gateway, taken once by key, settled once by the gateway's outcome.
//!
//! A gateway with a new disk asks for its commands from the beginning again, and must not do them a second time: every
//! command has an expiry, and what has ended is handed out again only as expired. Numbers are dense, so nothing can be
//! left out.

use super::{StoreError, gateways};
use engawa_model::{Action, Command, CommandKey, CommandOutcome, CommandSource, Timestamp};
use engawa_protocol::ports::Row;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

/// Commands that may wait for one gateway (not yet acknowledged); more are refused.
pub const MOST_WAITING: u64 = 10_000;
/// The longest command in its JSON form, bytes. A frame of the link carries up to 64 commands, and 1 MiB.
pub const MOST_BODY: usize = 8 << 10;

/// A command after it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its number.
    pub seq: u64,
    /// False if the same command was already there under this key: nothing new was stored.
    pub fresh: bool,
}

/// The serialized name of a plain enumeration's value.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        // Only reached by a type that is not a plain enumeration, which would be a fault of the caller.
        _ => "unknown".to_owned(),
    }
}

/// The action's name as in its serialized form, such as `room-status`.
pub(crate) fn action_name(action: &Action) -> String {
    serde_json::to_value(action)
        .ok()
        .and_then(|value| value.get("do").and_then(|name| name.as_str().map(str::to_owned)))
        .unwrap_or_default()
}

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
        let same = serde_json::from_str::<Command>(&body).is_ok_and(|command| command.action == *action);
        return if same {
            Ok(Sent { seq, fresh: false })
        } else {
            Err(StoreError::KeyTaken { gateway: gateway.to_owned(), key: key.to_string(), seq })
        };
    }
    let command = Command {
        key: key.clone(),
        source: CommandSource::Cloud,
        expires: Some(expires),
        action: action.clone(),
    };
    // A command of our own plain types always has a JSON form.
    let body = serde_json::to_string(&command).unwrap_or_default();
    if body.len() > MOST_BODY {
        return Err(StoreError::TooLarge { found: body.len(), most: MOST_BODY });
    }
    let waiting = connection
        .query_row("SELECT count(*) FROM command WHERE gateway = ?1 AND state = 'sent'", [gateway], |row| {
            row.get::<_, i64>(0)
        })
        .map_err(doing)?
        .cast_unsigned();
    if waiting >= MOST_WAITING {
        return Err(StoreError::QueueFull(waiting, gateway.to_owned()));
    }
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
                action_name(action),
                body,
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

/// The command with an expiry that is over for certain: whoever gets it again must not do it again.
pub(crate) fn expired(body: String) -> String {
    match serde_json::from_str::<Command>(&body) {
        Ok(command) => {
            let command = Command { expires: Some(Timestamp::UNIX_EPOCH), ..command };
            serde_json::to_string(&command).unwrap_or(body)
        }
        // One of a newer release, before this one was put back.
        Err(_) => body,
    }
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
            "UPDATE command SET state = 'ended', outcome = 'doubtful', ended_at = ?2,
             reason = 'the gateway lost its memory before the outcome came: look in the PMS'
             WHERE gateway = ?1 AND state = 'acknowledged' AND kind = 'post'",
            params![gateway, now_micros],
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
    // Far above any number that was ever given; keeps a senseless mark from using the numbers up.
    let mark = i64::try_from(mark).unwrap_or(i64::MAX).min(1 << 53);
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
        tracing::warn!(
            gateway,
            mark,
            "the gateway has commands that this database does not know (was it restored from a backup?); numbering goes on above them"
        );
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
            "UPDATE command SET state = 'ended', outcome = ?3, reason = ?4, ended_at = ?5
             WHERE gateway = ?1 AND key = ?2 AND state <> 'ended'",
        )
        .and_then(|mut statement| statement.execute(params![gateway, key, word, reason, at_micros]))
        .map(drop)
        .map_err(StoreError::sql("settling a command"))
}

/// The outcome as the tables have it: a word, and why.
pub(crate) fn outcome_words(outcome: &CommandOutcome) -> (&'static str, Option<&str>) {
    match outcome {
        CommandOutcome::Done => ("done", None),
        CommandOutcome::Refused { reason } => ("refused", Some(reason)),
        CommandOutcome::Doubtful { reason } => ("doubtful", Some(reason)),
        CommandOutcome::Superseded => ("superseded", None),
        CommandOutcome::Expired => ("expired", None),
    }
}
