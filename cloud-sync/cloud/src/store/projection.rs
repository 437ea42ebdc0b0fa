//! What the rows add up to: rooms, stays, postings, outcomes of commands. Runs in the transaction that stores the
//! row, once for each row.
//!
//! A row that this release does not understand (a newer gateway's kind, a damaged body) is stored and passed over:
//! it must not hold up its lane. Lanes are not ordered among each other, so nothing here relies on it.

use super::{StoreError, commands, erasure, house_settings, rollouts};
use crate::erasure::LATE;
use crate::rollout::heard;
use engawa_model::{Change, Quality, Role, RoomFlags};
use engawa_protocol::ports::Row;
use rusqlite::{Connection, OptionalExtension, Params, params};

/// Door signs; any other reported status is a housekeeping status (FIAS field RS carries both).
const SIGNS: [&str; 3] = ["do-not-disturb", "make-up", "off"];

/// True if a reported status is a door sign's.
pub(crate) fn is_sign(status: &str) -> bool {
    SIGNS.contains(&status)
}

pub(super) fn apply(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    lane: u8,
    row: &Row,
    now_micros: i64,
) -> Result<(), StoreError> {
    if LATE.contains(&lane) {
        clear_late(connection, gateway, epoch, lane, row)?;
    }
    let change = match serde_json::from_slice::<Change>(&row.body) {
        Ok(change) => change,
        Err(error) => {
            tracing::debug!(gateway, seq = row.seq, kind = %row.kind, line = error.line(), column = error.column(),
                "a row that this release does not understand: stored, not projected");
            return Ok(());
        }
    };
    match &change {
        Change::Erased { erasure } => return erasure::received(connection, gateway, erasure, now_micros),
        Change::Update { update } => {
            return rollouts::take(connection, gateway, &heard::of(update), now_micros);
        }
        Change::Alert { alert } if heard::is_new(alert) => {
            return rollouts::alert(connection, gateway, now_micros);
        }
        Change::Setting { name, register } => {
            return house_settings::take(connection, gateway, ("", name), register, now_micros);
        }
        Change::Preference { stay, name, register: Some(register) } => {
            return house_settings::take(connection, gateway, (stay.as_str(), name), register, now_micros);
        }
        _ => {}
    }
    Projection { connection, gateway, epoch: epoch.cast_signed(), at: row.at_micros }.change(&change)
}

/// What names a guest may come after the guest's erasure, on a lane of its own, and be of a kind that is not known here.
fn clear_late(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    lane: u8,
    row: &Row,
) -> Result<(), StoreError> {
    let Ok(body) = std::str::from_utf8(&row.body) else { return Ok(()) };
    let Some(cleared) = erasure::late(connection, gateway, row.at_micros, body)? else {
        return Ok(());
    };
    connection
        .execute(
            "UPDATE journal SET body = ?5 WHERE gateway = ?1 AND epoch = ?2 AND lane = ?3 AND seq = ?4",
            params![gateway, epoch.cast_signed(), lane, row.seq.cast_signed(), cleared],
        )
        .map(drop)
        .map_err(StoreError::sql("clearing a late row of an erased stay"))
}

struct Projection<'a> {
    connection: &'a Connection,
    gateway: &'a str,
    epoch: i64,
    at: i64,
}

impl Projection<'_> {
    fn change(&self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::CheckedIn { stay, room, language, arrival, departure } => {
                let dates = (arrival.map(|day| day.to_string()), departure.map(|day| day.to_string()));
                let left = self.room_of(stay.as_str())?;
                self.run(
                    "INSERT INTO stay (gateway, stay, room, language, arrival, departure, arrived_at, epoch)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                     ON CONFLICT (gateway, stay) DO UPDATE SET room = excluded.room, language = excluded.language,
                     arrival = excluded.arrival, departure = excluded.departure,
                     arrived_at = excluded.arrived_at, left_at = NULL, epoch = excluded.epoch",
                    params![
                        self.gateway,
                        stay.as_str(),
                        room.as_str(),
                        language,
                        dates.0,
                        dates.1,
                        self.at,
                        self.epoch
                    ],
                )?;
                self.recount(left.as_deref().into_iter().chain([room.as_str()]))
            }
            Change::StayChanged { stay, room, language, arrival, departure } => {
                let dates = (arrival.map(|day| day.to_string()), departure.map(|day| day.to_string()));
                let left = self.room_of(stay.as_str())?;
                // Also without a check-in here: a journal's new life begins in the middle of stays.
                self.run(
                    "INSERT INTO stay (gateway, stay, room, language, arrival, departure, arrived_at, epoch)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                     ON CONFLICT (gateway, stay) DO UPDATE SET room = excluded.room,
                     language = coalesce(excluded.language, language), arrival = coalesce(excluded.arrival, arrival),
                     departure = coalesce(excluded.departure, departure), left_at = NULL, epoch = excluded.epoch",
                    params![
                        self.gateway,
                        stay.as_str(),
                        room.as_str(),
                        language,
                        dates.0,
                        dates.1,
                        self.at,
                        self.epoch
                    ],
                )?;
                self.recount(left.as_deref().into_iter().chain([room.as_str()]))
            }
            Change::Moved { stay, from, to } => {
                let left = self.room_of(stay.as_str())?;
                self.run(
                    "INSERT INTO stay (gateway, stay, room, arrived_at, epoch) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (gateway, stay) DO UPDATE SET room = excluded.room, left_at = NULL,
                     epoch = excluded.epoch",
                    params![self.gateway, stay.as_str(), to.as_str(), self.at, self.epoch],
                )?;
                self.recount(left.as_deref().into_iter().chain([from.as_str(), to.as_str()]))
            }
            Change::CheckedOut { stay, room, .. } => {
                let left = self.room_of(stay.as_str())?;
                self.run(
                    "INSERT INTO stay (gateway, stay, room, arrived_at, left_at, epoch)
                     VALUES (?1, ?2, ?3, ?4, ?4, ?5)
                     ON CONFLICT (gateway, stay) DO UPDATE SET left_at = excluded.left_at, epoch = excluded.epoch",
                    params![self.gateway, stay.as_str(), room.as_str(), self.at, self.epoch],
                )?;
                house_settings::forget(self.connection, self.gateway, None)?;
                self.recount(left.as_deref().into_iter().chain([room.as_str()]))
            }
            // In a house with several PMS each list counts its own guests only: none proves what all of them do.
            Change::Resync { phase, listed: Some(listed), link: None } if phase == "done" => self.listed(*listed),
            Change::RoomFlagged { room, flags } => self.flagged(room.as_str(), flags),
            Change::RoomStatus { room, status } => {
                let column = if is_sign(status) { "sign" } else { "housekeeping" };
                self.set_room(room.as_str(), column, status.as_str())
            }
            Change::Reported { room: Some(room), role: Some(role), value, quality: Quality::Good, .. } => {
                let column = match role {
                    Role::ClimateSetpoint => "setpoint",
                    Role::RoomTemperature => "temperature",
                    _ => return Ok(()),
                };
                match value.as_ref().and_then(engawa_model::Value::as_f64) {
                    Some(number) => self.set_room(room.as_str(), column, number),
                    None => Ok(()),
                }
            }
            Change::Posting { number, key, room, stay, amount, text, outlet, state, answer } => self.run(
                "INSERT INTO posting (gateway, epoch, number, key, room, stay, minor, currency, text, outlet, state,
                 answer, changed_micros) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                 ON CONFLICT (gateway, epoch, number) DO UPDATE SET key = excluded.key, room = excluded.room,
                 stay = excluded.stay, minor = excluded.minor, currency = excluded.currency, text = excluded.text,
                 outlet = excluded.outlet, state = excluded.state, answer = excluded.answer,
                 changed_micros = excluded.changed_micros",
                params![
                    self.gateway,
                    self.epoch,
                    number.0,
                    key.as_str(),
                    room.as_str(),
                    stay.as_ref().map(engawa_model::StayId::as_str),
                    amount.minor,
                    amount.currency.code(),
                    text,
                    outlet,
                    crate::commands::word(state),
                    answer,
                    self.at
                ],
            ),
            Change::CommandNoted { key, note } => self.run(
                "UPDATE command SET reason = ?3 WHERE gateway = ?1 AND key = ?2 AND state <> 'ended'",
                params![self.gateway, key.as_str(), note],
            ),
            Change::CommandEnded { key, outcome } => {
                commands::settle(self.connection, self.gateway, key.as_str(), outcome, self.at)
            }
            _ => Ok(()),
        }
    }

    fn run(&self, sql: &str, params: impl Params) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map(drop)
            .map_err(StoreError::sql("bringing rooms, stays and postings up to date"))
    }

    fn room_of(&self, stay: &str) -> Result<Option<String>, StoreError> {
        self.connection
            .prepare_cached("SELECT room FROM stay WHERE gateway = ?1 AND stay = ?2")
            .and_then(|mut statement| statement.query_row([self.gateway, stay], |row| row.get(0)).optional())
            .map_err(StoreError::sql("reading a stay"))
    }

    /// Counts the stays of `rooms` anew: a count can't drift, whatever was missed.
    fn recount<'r>(&self, rooms: impl IntoIterator<Item = &'r str>) -> Result<(), StoreError> {
        for room in rooms {
            self.run(
                "INSERT INTO room_state (gateway, room, stays, changed_micros) VALUES (?1, ?2,
                 (SELECT count(*) FROM stay WHERE gateway = ?1 AND room = ?2 AND left_at IS NULL), ?3)
                 ON CONFLICT (gateway, room) DO UPDATE SET stays = excluded.stays,
                 changed_micros = excluded.changed_micros",
                params![self.gateway, room, self.at],
            )?;
        }
        Ok(())
    }

    /// A complete list of the house has come: `listed` stays are in it. After a new disk the gateway does not know who
    /// left meanwhile; where this journal's life has told of as many stays as the list has, every other stay is over. A
    /// journal that went on with older stays tells of fewer, and then nothing is concluded.
    fn listed(&self, listed: u32) -> Result<(), StoreError> {
        let doing = StoreError::sql("comparing stays with the list of the house");
        let mut statement = self
            .connection
            .prepare_cached("SELECT room, epoch IS ?2 FROM stay WHERE gateway = ?1 AND left_at IS NULL")
            .map_err(doing)?;
        let stays = statement
            .query_map(params![self.gateway, self.epoch], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
            .and_then(Iterator::collect::<Result<Vec<(String, bool)>, _>>)
            .map_err(doing)?;
        let told = stays.iter().filter(|(_, told)| *told).count();
        if told == stays.len() || told != listed as usize {
            return Ok(());
        }
        self.run(
            "UPDATE stay SET left_at = ?3 WHERE gateway = ?1 AND left_at IS NULL AND epoch IS NOT ?2",
            params![self.gateway, self.epoch, self.at],
        )?;
        house_settings::forget(self.connection, self.gateway, None)?;
        self.recount(stays.iter().filter(|(_, told)| !told).map(|(room, _)| room.as_str()))
    }

    fn flagged(&self, room: &str, flags: &RoomFlags) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO room_state (gateway, room, do_not_disturb, message_light, class_of_service, minibar_right,
             tv_right, changed_micros) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (gateway, room) DO UPDATE SET
             do_not_disturb = coalesce(excluded.do_not_disturb, do_not_disturb),
             message_light = coalesce(excluded.message_light, message_light),
             class_of_service = coalesce(excluded.class_of_service, class_of_service),
             minibar_right = coalesce(excluded.minibar_right, minibar_right),
             tv_right = coalesce(excluded.tv_right, tv_right), changed_micros = excluded.changed_micros",
            params![
                self.gateway,
                room,
                flags.do_not_disturb,
                flags.message_light,
                flags.class_of_service,
                flags.minibar_right,
                flags.tv_right,
                self.at
            ],
        )
    }

    /// `column` is one of this file's own words, never input.
    fn set_room(&self, room: &str, column: &str, value: impl rusqlite::ToSql) -> Result<(), StoreError> {
        self.run(
            &format!(
                "INSERT INTO room_state (gateway, room, {column}, changed_micros) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (gateway, room) DO UPDATE SET {column} = excluded.{column},
                 changed_micros = excluded.changed_micros"
            ),
            params![self.gateway, room, value, self.at],
        )
    }
}
