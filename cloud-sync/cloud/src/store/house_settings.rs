//! Settings that a house and the cloud may both change, in SQLite: what is known of each, the log, the clock. Everything
//! runs in the caller's transaction: the one of the gateway's row, or of the command line's write with its command.

use super::{StoreError, commands, gateways};
use crate::house_settings::{
    Entry, MOST_ENTRIES, Outcome, Setting, expires, json, known, read, received, telling, waits, withdrawn,
    written,
};
use engawa_model::Timestamp;
use engawa_model::settings::{Clock, Register, SettingValue};
use rusqlite::{Connection, OptionalExtension, Row, params};

const DOING: &str = "keeping a setting";

/// The gateways that `target` names: the one of this name, or those of this property that are not revoked.
///
/// # Errors
/// There is none, or SQLite's.
pub fn gateways_of(connection: &Connection, target: &str) -> Result<Vec<String>, StoreError> {
    let found: Vec<String> = connection
        .prepare(
            "SELECT id FROM gateway WHERE id = ?1 OR (property = ?1 AND revoked_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM gateway WHERE id = ?1)) ORDER BY id",
        )
        .and_then(|mut statement| statement.query_map([target], |row| row.get(0))?.collect())
        .map_err(StoreError::sql("looking a gateway up"))?;
    if found.is_empty() { Err(StoreError::NoGateway(target.to_owned())) } else { Ok(found) }
}

fn stored(connection: &Connection, gateway: &str, stay: &str, name: &str) -> Result<Register, StoreError> {
    let text: Option<String> = connection
        .prepare_cached("SELECT register FROM gateway_setting WHERE gateway = ?1 AND stay = ?2 AND name = ?3")
        .and_then(|mut statement| statement.query_row([gateway, stay, name], |row| row.get(0)).optional())
        .map_err(StoreError::sql(DOING))?;
    text.map_or_else(|| Ok(Register::default()), |text| read(&text))
}

fn clock(connection: &Connection, gateway: &str) -> Result<Clock, StoreError> {
    let text: Option<String> = connection
        .prepare_cached("SELECT clock FROM gateway_setting_clock WHERE gateway = ?1")
        .and_then(|mut statement| statement.query_row([gateway], |row| row.get(0)).optional())
        .map_err(StoreError::sql(DOING))?;
    // A clock that is lost begins anew: what is written is after what it replaces all the same.
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Stores `outcome`, and what the gateway is to be told.
///
/// # Errors
/// SQLite's, or the gateway can't be told now: whoever writes a setting must know, a row of the gateway goes on without.
fn keep(
    connection: &Connection,
    (gateway, stay, name): (&str, &str, &str),
    outcome: &Outcome,
    now: Timestamp,
) -> Result<(), StoreError> {
    let doing = StoreError::sql(DOING);
    let now_micros = now.as_microsecond();
    connection
        .prepare_cached(
            "INSERT INTO gateway_setting (gateway, stay, name, register, value, changed_micros)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (gateway, stay, name) DO UPDATE SET register = excluded.register, value = excluded.value,
             changed_micros = excluded.changed_micros",
        )
        .and_then(|mut statement| {
            let value = outcome.value.as_ref().map(json);
            statement.execute(params![gateway, stay, name, json(&outcome.register), value, now_micros])
        })
        .map_err(doing)?;
    connection
        .prepare_cached(
            "INSERT INTO gateway_setting_clock (gateway, clock) VALUES (?1, ?2)
             ON CONFLICT (gateway) DO UPDATE SET clock = excluded.clock",
        )
        .and_then(|mut statement| statement.execute(params![gateway, json(&outcome.clock)]))
        .map_err(doing)?;
    if withdrawn(name, outcome) {
        forget_all(connection, gateway)?;
    }
    for note in &outcome.notes {
        connection
            .prepare_cached(
                "INSERT INTO gateway_setting_log (gateway, number, at_micros, stay, name, note)
                 SELECT ?1, 1 + coalesce(max(number), 0), ?2, ?3, ?4, ?5 FROM gateway_setting_log WHERE gateway = ?1",
            )
            .and_then(|mut statement| statement.execute(params![gateway, now_micros, stay, name, json(note)]))
            .map_err(doing)?;
    }
    if !outcome.notes.is_empty() {
        connection
            .prepare_cached(
                "DELETE FROM gateway_setting_log WHERE gateway = ?1
                 AND number <= (SELECT max(number) FROM gateway_setting_log WHERE gateway = ?1) - ?2",
            )
            .and_then(|mut statement| statement.execute(params![gateway, MOST_ENTRIES]))
            .map_err(doing)?;
    }
    if outcome.tell {
        let epoch = gateways::last_epoch(connection, gateway)?;
        tell(connection, gateway, epoch, (stay, name), &outcome.register, now)?;
    }
    Ok(())
}

fn tell(
    connection: &Connection,
    gateway: &str,
    epoch: Option<u64>,
    (stay, name): (&str, &str),
    register: &Register,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (key, action) = telling(epoch, name, stay, register);
    match commands::send(connection, gateway, &key, &action, now, expires(now)) {
        // A key that is taken was told before; what it said has been cleared since, or written otherwise by another release.
        Ok(_) | Err(StoreError::KeyTaken { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The cloud writes a setting of a gateway, or what a guest in its house prefers.
///
/// # Errors
/// No such gateway or setting, one that is the gateway's alone, a value that it can't have, a guest who is not in the
/// house, or SQLite's.
#[allow(clippy::too_many_arguments, reason = "each is a part of one write")]
pub fn set(
    connection: &Connection,
    gateway: &str,
    stay: &str,
    name: &str,
    value: Option<SettingValue>,
    by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    gateways::require_enrollable(connection, gateway)?;
    let field = known(name, stay)?;
    if !stay.is_empty() {
        require_guest(connection, gateway, stay)?;
    }
    let own = stored(connection, gateway, stay, name)?;
    let outcome = written(field, &own, clock(connection, gateway)?, value, by, now)?;
    keep(connection, (gateway, stay, name), &outcome, now)
}

/// The guest is in the house, was not erased, and the house shares what guests prefer.
fn require_guest(connection: &Connection, gateway: &str, stay: &str) -> Result<(), StoreError> {
    let doing = StoreError::sql("looking a stay up");
    let (there, erased): (bool, bool) = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM stay WHERE gateway = ?1 AND stay = ?2 AND left_at IS NULL),
             EXISTS (SELECT 1 FROM erasure e JOIN stay s ON s.gateway = e.gateway AND s.stay = e.stay
                     WHERE e.gateway = ?1 AND e.stay = ?2 AND verified = 1 AND upto_micros >= arrived_at)",
            [gateway, stay],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(doing)?;
    crate::house_settings::may_prefer(
        stay,
        there,
        erased,
        &stored(connection, gateway, "", crate::house_settings::SHARE)?,
    )
}

/// A row of the gateway tells what it knows.
///
/// # Errors
/// SQLite's.
pub(crate) fn take(
    connection: &Connection,
    gateway: &str,
    (stay, name): (&str, &str),
    incoming: &Register,
    now_micros: i64,
) -> Result<(), StoreError> {
    if !stay.is_empty() && !is_in_house(connection, gateway, stay)? {
        return Ok(());
    }
    let own = stored(connection, gateway, stay, name)?;
    let clock = clock(connection, gateway)?;
    let Some(outcome) = received((gateway, name, stay), &own, incoming, clock, now_micros) else {
        return Ok(());
    };
    let now = Timestamp::from_microsecond(now_micros).unwrap_or(Timestamp::MAX);
    keep(connection, (gateway, stay, name), &outcome, now).or_else(|error| waits(gateway, name, error))
}

fn is_in_house(connection: &Connection, gateway: &str, stay: &str) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM stay WHERE gateway = ?1 AND stay = ?2 AND left_at IS NULL)",
        )
        .and_then(|mut statement| statement.query_row([gateway, stay], |row| row.get(0)))
        .map_err(StoreError::sql("looking a stay up"))
}

/// A guest was erased, or (`None`) guests have left: what they preferred goes.
///
/// # Errors
/// SQLite's.
pub(crate) fn forget(connection: &Connection, gateway: &str, stay: Option<&str>) -> Result<(), StoreError> {
    for table in ["gateway_setting", "gateway_setting_log"] {
        connection
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE gateway = ?1 AND stay <> '' AND CASE WHEN ?2 IS NULL THEN stay NOT IN
                 (SELECT stay FROM stay WHERE gateway = ?1 AND left_at IS NULL) ELSE stay = ?2 END"
            ))
            .and_then(|mut statement| statement.execute(params![gateway, stay]))
            .map_err(StoreError::sql("forgetting what guests preferred"))?;
    }
    Ok(())
}

/// The house shares no preferences any more: those of all guests go.
fn forget_all(connection: &Connection, gateway: &str) -> Result<(), StoreError> {
    for table in ["gateway_setting", "gateway_setting_log"] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE gateway = ?1 AND stay <> ''"))
            .and_then(|mut statement| statement.execute([gateway]))
            .map_err(StoreError::sql("forgetting what guests preferred"))?;
    }
    Ok(())
}

/// The gateway has a new or restored disk: it is told everything anew.
///
/// # Errors
/// SQLite's.
pub(super) fn tell_all(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    now_micros: i64,
) -> Result<(), StoreError> {
    let now = Timestamp::from_microsecond(now_micros).unwrap_or(Timestamp::MAX);
    for setting in list(connection, gateway)? {
        tell(connection, gateway, Some(epoch), (&setting.stay, &setting.name), &setting.register, now)
            .or_else(|error| waits(gateway, &setting.name, error))?;
    }
    Ok(())
}

/// What is known of a gateway's settings, the house's first.
///
/// # Errors
/// SQLite's.
pub fn list(connection: &Connection, gateway: &str) -> Result<Vec<Setting>, StoreError> {
    let doing = StoreError::sql("listing settings");
    let rows: Vec<(String, String, String, Option<String>, i64)> = connection
        .prepare(
            "SELECT stay, name, register, value, changed_micros FROM gateway_setting WHERE gateway = ?1
             ORDER BY stay, name",
        )
        .and_then(|mut statement| {
            let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
            statement.query_map([gateway], row)?.collect()
        })
        .map_err(doing)?;
    rows.into_iter()
        .map(|(stay, name, register, value, changed_micros)| {
            let value = value.and_then(|value| serde_json::from_str(&value).ok());
            let register = read(&register)?;
            Ok(Setting { gateway: gateway.to_owned(), stay, name, value, register, changed_micros })
        })
        .collect()
}

/// The newest entries of a gateway's log, newest first.
///
/// # Errors
/// SQLite's.
pub fn log(
    connection: &Connection,
    gateway: &str,
    name: Option<&str>,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let doing = StoreError::sql("reading the log of settings");
    let rows: Vec<(i64, String, String, String)> = connection
        .prepare(
            "SELECT at_micros, stay, name, note FROM gateway_setting_log
             WHERE gateway = ?1 AND (?2 IS NULL OR name = ?2) ORDER BY number DESC LIMIT ?3",
        )
        .and_then(|mut statement| {
            let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            statement.query_map(params![gateway, name, limit], row)?.collect()
        })
        .map_err(doing)?;
    Ok(crate::house_settings::entries(gateway, rows))
}
