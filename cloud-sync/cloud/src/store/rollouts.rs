//! Rollouts on SQLite: reading what [`crate::rollout`] decides from, and writing what it decides. Everything runs in the
//! caller's transaction.

use super::StoreError;
use crate::rollout::answer::{Asking, Told, answer};
use crate::rollout::catalogue::{Behind, Catalogue, Look, Seen};
use crate::rollout::cohorts::Cohorts;
use crate::rollout::heard::{self, Heard};
use crate::rollout::machine::{self, Now};
use crate::rollout::plan::{Kind, Plan};
use crate::rollout::state::{
    BY_GATEWAY, Block, Entry, Fleet, MOST_BLOCKS, Member, Rollout, Row, Software, State, Step, Write,
};
use crate::rollout::statements::{self as sql, ROLLOUT, ROLLOUT_OF_ONE, ROW, SOFTWARE};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;

const DOING: &str = "reading rollouts";
const WRITING: &str = "writing what a rollout decides";
fn number(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

/// A stored word or document that this release does not know: the database is damaged, or of a newer one.
fn unknown(what: &str, error: impl std::fmt::Display) -> rusqlite::Error {
    let why = format!("{what} can't be read: {error}");
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, why.into())
}

fn rollout(row: &rusqlite::Row<'_>) -> rusqlite::Result<Rollout> {
    let (plan, state, cohort): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(11)?);
    Ok(Rollout {
        id: row.get(0)?,
        number: row.get(1)?,
        plan: Plan::of_stored(&plan, &cohort).map_err(|error| unknown("the plan of a rollout", error))?,
        state: State::of(&state).ok_or_else(|| unknown("the state of a rollout", &state))?,
        reason: row.get(4)?,
        ring: row.get(5)?,
        ring_micros: row.get(6)?,
        judged_micros: row.get(7)?,
        created_by: row.get(8)?,
        created_micros: row.get(9)?,
        changed_micros: row.get(10)?,
    })
}

fn turn(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let step: String = row.get(11)?;
    Ok(Row {
        rollout: row.get(0)?,
        gateway: row.get(1)?,
        ring: row.get(2)?,
        back: row.get(3)?,
        version: row.get(4)?,
        number: number(row, 5)?,
        manifest: row.get(6)?,
        from_version: row.get(7)?,
        from_number: number(row, 8)?,
        assigned_micros: row.get(9)?,
        told_micros: row.get(10)?,
        step: Step::of(&step).ok_or_else(|| unknown("the step of a gateway", &step))?,
        step_micros: row.get(12)?,
        reason: row.get(13)?,
        ended_micros: row.get(14)?,
        alerts: row.get(15)?,
        attempt: row.get(16)?,
    })
}

fn software(row: &rusqlite::Row<'_>) -> rusqlite::Result<(String, Software)> {
    let software = Software {
        version: row.get(1)?,
        number: number(row, 2)?,
        slot: row.get(3)?,
        triple: row.get(4)?,
        hardware: row.get(5)?,
        system: row.get(6)?,
        system_number: number(row, 7)?,
        state: row.get(8)?,
        floor: number(row, 9)?,
        region: row.get(10)?,
        asked_micros: row.get(11)?,
    };
    Ok((row.get(0)?, software))
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(parameters, read)?.collect())
        .map_err(StoreError::sql(DOING))
}

/// Everything that is decided from: the rollout `of` and those that have gateways on their way, with their turns, or (`None`) all.
///
/// # Errors
/// SQLite's.
pub fn fleet(connection: &Connection, of: Option<&str>) -> Result<Fleet, StoreError> {
    let mut fleet = Fleet::default();
    let members = all(
        connection,
        "SELECT id, property, connected, last_seen FROM gateway WHERE enrolled_at IS NOT NULL AND revoked_at IS NULL",
        [],
        |row| {
            let (gateway, property) = (row.get(0)?, row.get(1)?);
            Ok(Member {
                gateway,
                property,
                connected: row.get(2)?,
                seen_micros: row.get(3)?,
                ..Member::default()
            })
        },
    )?;
    fleet.members = members.into_iter().map(|member| (member.gateway.clone(), member)).collect();
    for (gateway, software) in all(connection, SOFTWARE, [], software)? {
        if let Some(member) = fleet.members.get_mut(&gateway) {
            member.software = Some(software);
        }
    }
    let labels = all(connection, "SELECT gateway, label FROM gateway_label", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?))
    })?;
    for (gateway, label) in labels {
        if let Some(member) = fleet.members.get_mut(&gateway) {
            member.labels.insert(label);
        }
    }
    fleet.blocks = blocks(connection, None)?.into_iter().collect();
    let of_all = params![of, of.is_none()];
    let meant = format!("?2 OR id = ?1 OR state IN {}", sql::HOLDING);
    fleet.rollouts = all(connection, &format!("{ROLLOUT} WHERE {meant}"), of_all, rollout)?
        .into_iter()
        .map(|rollout| (rollout.id.clone(), rollout))
        .collect();
    let rows = format!("{ROW} WHERE rollout IN (SELECT id FROM rollout WHERE {meant})");
    let rows = all(connection, &rows, of_all, turn)?;
    for row in rows {
        fleet.rows.entry(row.rollout.clone()).or_default().insert(row.gateway.clone(), row);
    }
    Ok(fleet)
}

/// Blocked versions: all, or those that concern a gateway.
///
/// # Errors
/// SQLite's.
pub fn blocks(connection: &Connection, gateway: Option<&str>) -> Result<Vec<Block>, StoreError> {
    all(
        connection,
        "SELECT gateway, kind, version, why, by, at_micros FROM blocked_version
         WHERE ?1 IS NULL OR gateway IN ('', ?1) ORDER BY gateway, kind, version",
        [gateway],
        |row| {
            let kind: String = row.get(1)?;
            Ok(Block {
                gateway: row.get(0)?,
                kind: Kind::of(&kind).ok_or_else(|| unknown("the kind of a blocked version", &kind))?,
                version: row.get(2)?,
                why: row.get(3)?,
                by: row.get(4)?,
                at_micros: row.get(5)?,
            })
        },
    )
}

/// Writes what was decided.
///
/// # Errors
/// SQLite's.
pub fn apply(connection: &Connection, writes: &[Write]) -> Result<(), StoreError> {
    let run = |sql: &str, parameters: &dyn Fn(&mut rusqlite::Statement<'_>) -> rusqlite::Result<usize>| {
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| parameters(&mut statement))
            .map(drop)
            .map_err(StoreError::sql(WRITING))
    };
    for write in writes {
        match write {
            Write::Rollout(r) => run(sql::PUT_ROLLOUT, &|s| {
                let (plan, cohort) = r.plan.stored();
                let (state, by) = (r.state.word(), &r.created_by);
                s.execute(params![
                    r.id,
                    r.number,
                    plan,
                    state,
                    r.reason,
                    r.ring,
                    r.ring_micros,
                    r.judged_micros,
                    by,
                    r.created_micros,
                    r.changed_micros,
                    cohort
                ])
            })?,
            Write::Row(r) => run(sql::PUT_ROW, &|s| {
                s.execute(params![
                    r.rollout,
                    r.gateway,
                    r.ring,
                    r.back,
                    r.version,
                    r.number.cast_signed(),
                    r.manifest,
                    r.from_version,
                    r.from_number.cast_signed(),
                    r.assigned_micros,
                    r.told_micros,
                    r.step.word(),
                    r.step_micros,
                    r.reason,
                    r.ended_micros,
                    r.attempt
                ])
            })?,
            Write::Block(b) => {
                run(sql::PUT_BLOCK, &|s| {
                    s.execute(params![b.gateway, b.kind.word(), b.version, b.why, b.by, b.at_micros])
                })?;
                run(sql::TRIM_BLOCKS, &|s| s.execute(params![b.gateway, BY_GATEWAY, MOST_BLOCKS as i64]))?;
            }
            Write::Unblock { gateway, kind, version } => {
                run(sql::DROP_BLOCK, &|s| s.execute(params![gateway, kind.word(), version]))?;
            }
            Write::Label { gateway, label, on } => {
                let put = if *on { sql::PUT_LABEL } else { sql::DROP_LABEL };
                run(put, &|s| s.execute(params![gateway, label]))?;
            }
            Write::Forget(id) => {
                run(sql::DROP_ROWS, &|s| s.execute([id]))?;
                run(sql::DROP_ROLLOUT, &|s| s.execute([id]))?;
            }
            Write::Log(e) => run(sql::PUT_LOG, &|s| {
                s.execute(params![e.at_micros, e.rollout, e.gateway, e.who, e.what, e.detail])
            })?,
        }
    }
    Ok(())
}

/// True where some rollout has something to do.
///
/// # Errors
/// SQLite's.
pub fn moves(connection: &Connection) -> Result<bool, StoreError> {
    connection
        .prepare_cached(sql::MOVES)
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(StoreError::sql(DOING))
}

/// Goes on with all rollouts. Gives those that have changed their state, with the reason, and whether this copy of the repository
/// is behind.
///
/// # Errors
/// SQLite's.
pub fn reconcile(
    connection: &Connection,
    catalogue: Option<&Catalogue>,
    now: Now,
) -> Result<(Vec<Rollout>, Option<Behind>), StoreError> {
    let behind = catalogue.map(|known| behind(connection, known, now)).transpose()?.flatten();
    let look = catalogue.map(|catalogue| Look { catalogue, behind: behind.is_some() });
    let (writes, changed) = machine::go_on(&mut fleet(connection, Some(""))?, look, now);
    apply(connection, &writes)?;
    Ok((changed, behind))
}

/// Whether a replica has seen a newer one; what was seen is kept.
fn behind(connection: &Connection, known: &Catalogue, now: Now) -> Result<Option<Behind>, StoreError> {
    let seen =
        all(connection, sql::SEEN, [], |row| Ok(Seen { version: number(row, 0)?, micros: row.get(1)? }))?;
    let judged = Seen::judge(seen.first(), known.version(), now.micros);
    if let Some(seen) = judged.kept {
        connection
            .prepare_cached(sql::PUT_SEEN)
            .and_then(|mut statement| statement.execute(params![seen.version.cast_signed(), seen.micros]))
            .map_err(StoreError::sql(WRITING))?;
    }
    Ok(judged.behind)
}

/// The open turns of one gateway, and what it is not offered.
fn asking(
    connection: &Connection,
    cohorts: &Cohorts,
    gateway: &str,
    software: &Software,
) -> Result<Asking, StoreError> {
    let open = format!("rollout IN ({}) AND gateway = $1", sql::OPEN_TURNS);
    let rows = all(connection, &format!("{ROW} WHERE {open}"), [gateway], turn)?;
    let mut asking = Asking::default();
    for row in rows {
        let found = all(connection, &format!("{ROLLOUT_OF_ONE} WHERE id = ?1"), [&row.rollout], rollout)?;
        asking.turns.extend(found.into_iter().map(|rollout| (rollout, row.clone())));
    }
    let blocks = blocks(connection, Some(gateway))?;
    asking.blocked = blocks.into_iter().map(|block| (block.kind, block.version)).collect::<BTreeSet<_>>();
    asking.soon = soon(connection, cohorts, gateway, software)?;
    Ok(asking)
}

/// True where the gateway has a turn in a rollout that has begun and has not ended, or one runs that means it, and in which it has
/// had none.
fn soon(
    connection: &Connection,
    cohorts: &Cohorts,
    gateway: &str,
    software: &Software,
) -> Result<bool, StoreError> {
    if !all(connection, sql::MAY_CHANGE, [gateway], |row| row.get::<_, i64>(0))?.is_empty() {
        return Ok(true);
    }
    let running = all(connection, sql::MAY_COME, [gateway], |row| row.get::<_, String>(0))?;
    if running.is_empty() {
        return Ok(false);
    }
    let one = |sql: &str, of: &str| all(connection, sql, [of], |row| row.get::<_, String>(0));
    let member = Member {
        gateway: gateway.to_owned(),
        property: one("SELECT property FROM gateway WHERE id = ?1", gateway)?.pop().unwrap_or_default(),
        labels: one("SELECT label FROM gateway_label WHERE gateway = ?1", gateway)?.into_iter().collect(),
        software: Some(software.clone()),
        ..Member::default()
    };
    for id in running {
        let cohort = match cohorts.get(&id) {
            Some(cohort) => cohort,
            None => {
                let Some(text) = one("SELECT cohort FROM rollout WHERE id = ?1", &id)?.pop() else {
                    continue;
                };
                let read = serde_json::from_str(&text)
                    .map_err(|error| StoreError::sql(DOING)(unknown("the cohort of a rollout", error)))?;
                cohorts.keep(&id, read)
            }
        };
        if cohort.means(&member) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is wanted of a gateway that tells this of itself, and whether anything of it has to be written first.
///
/// # Errors
/// SQLite's.
pub fn told(
    connection: &Connection,
    cohorts: &Cohorts,
    gateway: &str,
    software_now: &Software,
    last: Option<&Heard>,
    micros: i64,
) -> Result<(Told, Vec<Write>, bool), StoreError> {
    let known = all(connection, &format!("{SOFTWARE} WHERE gateway = ?1"), [gateway], software)?;
    let fresh = known.first().is_none_or(|(_, known)| known.is_stale(software_now));
    let asking = asking(connection, cohorts, gateway, software_now)?;
    let (told, writes) = answer(software_now, last, &asking, micros);
    Ok((told, writes, fresh))
}

/// Stores what a gateway has told of itself.
///
/// # Errors
/// SQLite's.
pub fn note_software(connection: &Connection, gateway: &str, s: &Software) -> Result<(), StoreError> {
    connection
        .prepare_cached(sql::PUT_SOFTWARE)
        .and_then(|mut statement| {
            let (number, floor) = (s.number.cast_signed(), s.floor.cast_signed());
            statement.execute(params![
                gateway,
                s.version,
                number,
                s.slot,
                s.triple,
                s.hardware,
                s.system,
                s.system_number.cast_signed(),
                s.state,
                floor,
                s.region,
                s.asked_micros
            ])
        })
        .map(drop)
        .map_err(StoreError::sql("noting a gateway's software"))
}

/// A journal row tells of an update.
///
/// # Errors
/// SQLite's.
pub(super) fn take(
    connection: &Connection,
    gateway: &str,
    told: &Heard,
    micros: i64,
) -> Result<(), StoreError> {
    let row = connection
        .prepare_cached(&format!("{ROW} WHERE rollout = ?1 AND gateway = ?2"))
        .and_then(|mut statement| statement.query_row([&told.rollout, gateway], turn).optional())
        .map_err(StoreError::sql(DOING))?;
    let mut kind = Kind::Application;
    if row.is_some() {
        let of = format!("{ROLLOUT_OF_ONE} WHERE id = ?1");
        let found = all(connection, &of, [&told.rollout], rollout)?;
        kind = found.first().map_or(kind, |rollout| rollout.plan.release.kind);
    }
    apply(connection, &heard::taken(row.as_ref().map(|row| (row, kind)), gateway, told, micros))
}

/// A gateway has raised an alert: it counts where the gateway was just updated.
///
/// # Errors
/// SQLite's.
pub(super) fn alert(connection: &Connection, gateway: &str, micros: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE rollout_gateway SET alerts = alerts + 1
             WHERE gateway = ?1 AND step = 'confirmed' AND ended_micros BETWEEN ?2 - ?3 AND ?2",
        )
        .and_then(|mut statement| {
            statement.execute(params![gateway, micros, crate::rollout::health::WATCHED])
        })
        .map(drop)
        .map_err(StoreError::sql("counting an alert"))
}

/// Enters publications into the audit, each once by its own name.
///
/// # Errors
/// SQLite's.
pub fn publications(connection: &Connection, entries: &[(String, Entry)]) -> Result<(), StoreError> {
    for (id, e) in entries {
        connection
            .prepare_cached(sql::PUT_PUBLICATION)
            .and_then(|mut statement| {
                statement.execute(params![e.at_micros, e.rollout, e.gateway, e.who, e.what, e.detail, id])
            })
            .map_err(StoreError::sql(WRITING))?;
    }
    Ok(())
}

/// The newest entries of the audit, newest first: of a rollout, of a gateway, or of all.
///
/// # Errors
/// SQLite's.
pub fn log(
    connection: &Connection,
    rollout: Option<&str>,
    gateway: Option<&str>,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    all(
        connection,
        "SELECT at_micros, rollout, gateway, who, what, detail FROM rollout_log
         WHERE (?1 IS NULL OR rollout = ?1) AND (?2 IS NULL OR gateway = ?2) ORDER BY number DESC LIMIT ?3",
        params![rollout, gateway, limit],
        |row| {
            Ok(Entry {
                at_micros: row.get(0)?,
                rollout: row.get(1)?,
                gateway: row.get(2)?,
                who: row.get(3)?,
                what: row.get(4)?,
                detail: row.get(5)?,
            })
        },
    )
}
