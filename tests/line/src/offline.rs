//! A house that was offline for long: its journal holds what it wrote meanwhile.

use crate::agree::open_store;
use anyhow::{Context, ensure};
use std::path::Path;

/// What a house of a hundred rooms writes: measured values a second, and events a day.
pub const MEASURED_A_SECOND: f64 = 0.6;
/// See above.
pub const EVENTS_A_DAY: u64 = 2_000;
const A_DAY: u64 = 86_400;
/// The lanes of alarms, of stays and requests, and of measured values.
pub const ALARMS: u8 = 2;
const STAYS: u8 = 3;
const TELEMETRY: u8 = 5;

/// Writes into the journal of a stopped gateway what its house would have written in `seconds`: the rows that it has
/// written itself, again and again, and one alarm at the end. Gives how many.
///
/// # Errors
/// SQLite's, or a journal that has nothing to go by.
pub fn fill(store: &Path, seconds: u64) -> anyhow::Result<u64> {
    let mut connection = open_store(store, true)?;
    let together = connection.transaction()?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a week of rows is far below 2^52"
    )]
    let measured = (seconds as f64 * MEASURED_A_SECOND) as u64;
    let events = (seconds * EVENTS_A_DAY).div_ceil(A_DAY);
    let now: i64 = together.query_row("SELECT max(at_us) FROM journal", [], |row| row.get(0))?;
    for (lane, count) in [(STAYS, events), (TELEMETRY, measured), (ALARMS, 1)] {
        let mut models = together.prepare("SELECT kind, body FROM journal WHERE lane = ?1")?;
        let models: Vec<(String, Vec<u8>)> = models
            .query_map([lane], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()
            .with_context(|| format!("reading lane {lane}"))?;
        ensure!(!models.is_empty(), "the house has written nothing in lane {lane} to go by");
        let head: i64 =
            together.query_row("SELECT head FROM lane WHERE lane = ?1", [lane], |row| row.get(0))?;
        let mut insert = together
            .prepare("INSERT INTO journal (lane, seq, at_us, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (n, (kind, body)) in (1..=count.cast_signed()).zip(models.iter().cycle()) {
            insert.execute(rusqlite::params![lane, head + n, now + n, kind, body])?;
        }
        together.execute(
            "UPDATE lane SET head = ?2 WHERE lane = ?1",
            rusqlite::params![lane, head + count.cast_signed()],
        )?;
    }
    together.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(measured + events + 1)
}
