//! Which acknowledged rows may go: those that the cloud has had for long enough, and has not just asked for again.

use crate::{Store, StoreError};
use engawa_model::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// The moments that are kept are so far apart, µs.
const APART: i64 = 3_600_000_000;

/// Notes that the cloud has `lane` up to `acked`, where the last note is an hour old, or of a clock that was ahead.
pub(crate) fn note(connection: &Connection, lane: u8, acked: u64, now: Timestamp) -> rusqlite::Result<()> {
    let now = now.as_microsecond();
    let last = connection
        .prepare_cached("SELECT seq, at_us FROM acknowledged WHERE lane = ?1 ORDER BY seq DESC LIMIT 1")?
        .query_row([lane], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let due = last
        .is_none_or(|(seq, at)| seq.cast_unsigned() < acked && (now.saturating_sub(at) >= APART || at > now));
    if acked == 0 || !due {
        return Ok(());
    }
    if last.is_some_and(|(_, at)| at > now) {
        connection
            .prepare_cached("UPDATE acknowledged SET at_us = ?2 WHERE lane = ?1 AND at_us > ?2")?
            .execute(params![lane, now])?;
    }
    connection
        .prepare_cached("INSERT OR IGNORE INTO acknowledged (lane, seq, at_us) VALUES (?1, ?2, ?3)")?
        .execute(params![lane, acked.cast_signed(), now])?;
    Ok(())
}

impl Store {
    /// The last row of `lane` that the cloud has had since `before` (µs); forgets the notes before it.
    pub(crate) fn acknowledged_since(&self, lane: u8, before: i64) -> Result<Option<u64>, StoreError> {
        let doing = StoreError::sql("reading since when the cloud has rows");
        let seq = self
            .connection
            .prepare_cached("SELECT max(seq) FROM acknowledged WHERE lane = ?1 AND at_us <= ?2")
            .and_then(|mut found| found.query_row(params![lane, before], |row| row.get::<_, Option<i64>>(0)))
            .map_err(&doing)?;
        let Some(seq) = seq else { return Ok(None) };
        self.connection
            .prepare_cached("DELETE FROM acknowledged WHERE lane = ?1 AND seq < ?2")
            .and_then(|mut old| old.execute(params![lane, seq]))
            .map_err(&doing)?;
        Ok(Some(seq.cast_unsigned()))
    }

    /// What may be removed of `lane`: what is acknowledged, and not being asked for again by a cloud that was put back.
    pub(crate) fn removable(&self, lane: u8) -> u64 {
        let acked = self.marks.get(&lane).map_or(0, |mark| mark.acked);
        self.asked_again.get(&lane).map_or(acked, |mark| acked.min(*mark))
    }

    /// The cloud says how far it has `lane`: less than it once had, and it was put back.
    pub(crate) fn heard(&mut self, lane: u8, upto: u64, acked_before: u64) {
        if upto < acked_before {
            self.asked_again.insert(lane, upto);
        } else {
            self.asked_again.remove(&lane);
        }
    }
}
