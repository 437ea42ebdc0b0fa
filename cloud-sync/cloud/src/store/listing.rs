//! What the command line lists. All of it reads only; every list has a limit or grows with the hotel, not with time.

use super::StoreError;
use engawa_model::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// A gateway, as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gateway {
    /// Its identity, as in its certificate.
    pub id: String,
    /// The hotel.
    pub property: String,
    /// For people.
    pub name: String,
    /// `claimed`, `enrolled`, `fenced`, or `revoked`.
    pub status: &'static str,
    /// Why it is fenced, where it is.
    pub fenced: Option<String>,
    /// True while it has a session.
    pub connected: bool,
    /// When it was seen last.
    pub last_seen: Option<Timestamp>,
    /// From where.
    pub address: Option<String>,
    /// Rows received from it, over all epochs and lanes.
    pub rows: u64,
    /// Commands that it has not acknowledged.
    pub waiting: u64,
}

/// A room, as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Room {
    /// Its gateway.
    pub gateway: String,
    /// Its number.
    pub room: String,
    /// The reservation numbers of the stays in it, in order of arrival.
    pub stays: Vec<String>,
    /// The PMS's telephone do-not-disturb.
    pub do_not_disturb: Option<bool>,
    /// A message waits.
    pub message_light: Option<bool>,
    /// The telephone's class of service.
    pub class_of_service: Option<String>,
    /// The minibar's right.
    pub minibar_right: Option<String>,
    /// The television's right.
    pub tv_right: Option<String>,
    /// Housekeeping status.
    pub housekeeping: Option<String>,
    /// Door sign.
    pub sign: Option<String>,
    /// °C.
    pub setpoint: Option<f64>,
    /// °C.
    pub temperature: Option<f64>,
    /// When any of it changed last, by the gateway's clock.
    pub changed: Option<Timestamp>,
}

/// A journal row, as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The number of its arrival here.
    pub id: i64,
    /// Who sent it.
    pub gateway: String,
    /// The journal's life.
    pub epoch: u64,
    /// The lane.
    pub lane: u8,
    /// Its number in the lane.
    pub seq: u64,
    /// When it happened, by the gateway's clock.
    pub at: Option<Timestamp>,
    /// When it came.
    pub received: Option<Timestamp>,
    /// Its kind.
    pub kind: String,
    /// The body; `null` where it is not JSON.
    pub body: serde_json::Value,
}

/// A command, as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Command {
    /// Whom it is for.
    pub gateway: String,
    /// Its number.
    pub seq: u64,
    /// Its idempotency key.
    pub key: String,
    /// The action's name.
    pub kind: String,
    /// When it was asked.
    pub at: Option<Timestamp>,
    /// After this it is not done any more.
    pub expires: Option<Timestamp>,
    /// `sent`, `acknowledged`, `ended`.
    pub state: String,
    /// `done`, `refused`, `doubtful`, `superseded`, `expired`.
    pub outcome: Option<String>,
    /// Why, where it was not done.
    pub reason: Option<String>,
    /// The whole command, as the gateway gets it.
    pub body: serde_json::Value,
}

/// Which journal rows are wanted.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Only of this gateway.
    pub gateway: Option<String>,
    /// Only of this lane.
    pub lane: Option<u8>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// At most so many, the newest.
    pub limit: u32,
}

/// All gateways.
///
/// # Errors
/// SQLite's.
pub fn gateways(connection: &Connection) -> Result<Vec<Gateway>, StoreError> {
    many(
        connection,
        "listing gateways",
        "SELECT id, property, name, enrolled_at IS NOT NULL, revoked_at IS NOT NULL, connected, last_seen, address,
         (SELECT coalesce(sum(seq), 0) FROM mark WHERE mark.gateway = gateway.id),
         (SELECT count(*) FROM command WHERE command.gateway = gateway.id AND state = 'sent'),
         CASE WHEN fenced_at IS NULL THEN NULL ELSE coalesce(fenced_why, '') END
         FROM gateway ORDER BY property, id",
        [],
        |row| {
            let fenced: Option<String> = row.get(10)?;
            let status = match (row.get(3)?, row.get(4)?) {
                (_, true) => "revoked",
                _ if fenced.is_some() => "fenced",
                (true, false) => "enrolled",
                (false, false) => "claimed",
            };
            Ok(Gateway {
                id: row.get(0)?,
                property: row.get(1)?,
                name: row.get(2)?,
                status,
                fenced,
                connected: row.get(5)?,
                last_seen: instant(row, 6)?,
                address: row.get(7)?,
                rows: row.get::<_, i64>(8)?.cast_unsigned(),
                waiting: row.get::<_, i64>(9)?.cast_unsigned(),
            })
        },
    )
}

/// True if there is a gateway of this name.
///
/// # Errors
/// SQLite's.
pub fn gateway_exists(connection: &Connection, gateway: &str) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT EXISTS (SELECT 1 FROM gateway WHERE id = ?1)", [gateway], |row| row.get(0))
        .map_err(StoreError::sql("looking a gateway up"))
}

/// The rooms, of one gateway or of all.
///
/// # Errors
/// SQLite's.
pub fn rooms(connection: &Connection, gateway: Option<&str>) -> Result<Vec<Room>, StoreError> {
    // Rooms and stays of the same moment.
    let _moment = connection.unchecked_transaction().map_err(StoreError::sql("listing rooms"))?;
    let mut rooms = many(
        connection,
        "listing rooms",
        "SELECT gateway, room, do_not_disturb, message_light, class_of_service, minibar_right, tv_right,
         housekeeping, sign, setpoint, temperature, changed_micros, stays
         FROM room_state WHERE ?1 IS NULL OR gateway = ?1 ORDER BY gateway, room",
        [gateway],
        |row| {
            let room = Room {
                gateway: row.get(0)?,
                room: row.get(1)?,
                stays: Vec::new(),
                do_not_disturb: row.get(2)?,
                message_light: row.get(3)?,
                class_of_service: row.get(4)?,
                minibar_right: row.get(5)?,
                tv_right: row.get(6)?,
                housekeeping: row.get(7)?,
                sign: row.get(8)?,
                setpoint: row.get(9)?,
                temperature: row.get(10)?,
                changed: instant(row, 11)?,
            };
            Ok((room, row.get::<_, i64>(12)?))
        },
    )?;
    let sql = "SELECT stay FROM stay WHERE gateway = ?1 AND room = ?2 AND left_at IS NULL ORDER BY arrived_at, stay";
    for (room, stays) in &mut rooms {
        if *stays > 0 {
            let of = [room.gateway.as_str(), room.room.as_str()];
            room.stays = many(connection, "listing stays", sql, of, |row| row.get(0))?;
        }
    }
    Ok(rooms.into_iter().map(|(room, _)| room).collect())
}

/// The newest journal rows that `filter` wants, newest first.
///
/// # Errors
/// SQLite's.
pub fn log(connection: &Connection, filter: &LogFilter) -> Result<Vec<Entry>, StoreError> {
    many(
        connection,
        "listing journal rows",
        "SELECT rowid, gateway, epoch, lane, seq, at_micros, received_micros, kind, body FROM journal
         WHERE (?1 IS NULL OR gateway = ?1) AND (?2 IS NULL OR lane = ?2) AND (?3 IS NULL OR kind = ?3)
         ORDER BY rowid DESC LIMIT ?4",
        params![filter.gateway, filter.lane, filter.kind, filter.limit],
        |row| {
            Ok(Entry {
                id: row.get(0)?,
                gateway: row.get(1)?,
                epoch: row.get::<_, i64>(2)?.cast_unsigned(),
                lane: row.get(3)?,
                seq: row.get::<_, i64>(4)?.cast_unsigned(),
                at: instant(row, 5)?,
                received: instant(row, 6)?,
                kind: row.get(7)?,
                body: row
                    .get_ref(8)?
                    .as_str()
                    .ok()
                    .and_then(|text| serde_json::from_str(text).ok())
                    .unwrap_or_default(),
            })
        },
    )
}

const COMMAND: &str =
    "SELECT gateway, seq, key, kind, at_micros, expires, state, outcome, reason, body FROM command";

/// The newest commands, of one gateway or of all, newest first.
///
/// # Errors
/// SQLite's.
pub fn commands(
    connection: &Connection,
    gateway: Option<&str>,
    limit: u32,
) -> Result<Vec<Command>, StoreError> {
    let sql = format!("{COMMAND} WHERE ?1 IS NULL OR gateway = ?1 ORDER BY id DESC LIMIT ?2");
    many(connection, "listing commands", &sql, params![gateway, limit], command_from)
}

/// One command.
///
/// # Errors
/// SQLite's.
pub fn command(connection: &Connection, gateway: &str, seq: u64) -> Result<Option<Command>, StoreError> {
    connection
        .query_row(
            &format!("{COMMAND} WHERE gateway = ?1 AND seq = ?2"),
            params![gateway, i64::try_from(seq).unwrap_or(i64::MAX)],
            command_from,
        )
        .optional()
        .map_err(StoreError::sql("reading a command"))
}

/// The number of the newest command over all gateways (0: none).
pub(super) fn newest_command(connection: &Connection) -> Result<i64, StoreError> {
    connection
        .query_row("SELECT coalesce(max(id), 0) FROM command", [], |row| row.get(0))
        .map_err(StoreError::sql("looking for new commands"))
}

/// The gateways with commands newer than `after`, and the newest command's number.
pub(super) fn commands_since(connection: &Connection, after: i64) -> Result<(i64, Vec<String>), StoreError> {
    let found = many(
        connection,
        "looking for new commands",
        "SELECT gateway, max(id) FROM command WHERE id > ?1 GROUP BY gateway",
        [after],
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)),
    )?;
    let newest = found.iter().map(|(_, id)| *id).max().unwrap_or(after);
    Ok((newest, found.into_iter().map(|(gateway, _)| gateway).collect()))
}

fn command_from(row: &Row<'_>) -> rusqlite::Result<Command> {
    Ok(Command {
        gateway: row.get(0)?,
        seq: row.get::<_, i64>(1)?.cast_unsigned(),
        key: row.get(2)?,
        kind: row.get(3)?,
        at: instant(row, 4)?,
        expires: instant(row, 5)?,
        state: row.get(6)?,
        outcome: row.get(7)?,
        reason: row.get(8)?,
        body: serde_json::from_str(row.get_ref(9)?.as_str()?).unwrap_or_default(),
    })
}

/// A gateway's clock can be anything: what no calendar has is left out.
fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.and_then(|micros| Timestamp::from_microsecond(micros).ok()))
}

fn many<T>(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    params: impl rusqlite::Params,
    from: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(params, from)?.collect())
        .map_err(StoreError::sql(doing))
}
