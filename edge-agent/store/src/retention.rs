//! Which acknowledged rows may go: those that the cloud has had for long enough, and has not just asked for again.

use crate::vault;
use crate::{Store, StoreError};
use engawa_model::Timestamp;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// The moments that are kept are so far apart, µs.
const APART: i64 = 3_600_000_000;

/// The newest moment that is noted of each lane: how far the cloud had it, and when (µs). In memory, too, so that an
/// acknowledgement reads nothing.
#[derive(Debug, Default)]
pub(crate) struct Noted(BTreeMap<u8, (u64, i64)>);

impl Noted {
    pub(crate) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let doing = StoreError::sql("reading since when the cloud has rows");
        // With one max() SQLite takes the other columns from the row that has it.
        let sql = "SELECT lane, max(seq), at_us FROM acknowledged GROUP BY lane";
        let mut statement = connection.prepare(sql).map_err(&doing)?;
        let noted = statement.query_map([], |row| {
            Ok((row.get::<_, u8>(0)?, (row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, i64>(2)?)))
        });
        noted.and_then(Iterator::collect).map(Self).map_err(&doing)
    }

    /// True where the cloud has `lane` further than is noted, and the last note is an hour old, or of a clock that was ahead.
    pub(crate) fn is_due(&self, lane: u8, acked: u64, now: Timestamp) -> bool {
        let now = now.as_microsecond();
        let due = |(seq, at): &(u64, i64)| *seq < acked && (now.saturating_sub(*at) >= APART || *at > now);
        acked > 0 && self.0.get(&lane).is_none_or(due)
    }

    /// Notes that the cloud has `lane` up to `acked`; [`Self::written`] is told once that is committed.
    pub(crate) fn write(
        &self,
        connection: &Connection,
        lane: u8,
        acked: u64,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let now = now.as_microsecond();
        if self.0.get(&lane).is_some_and(|(_, at)| *at > now) {
            connection
                .prepare_cached("UPDATE acknowledged SET at_us = ?2 WHERE lane = ?1 AND at_us > ?2")?
                .execute(params![lane, now])?;
        }
        connection
            .prepare_cached("INSERT OR IGNORE INTO acknowledged (lane, seq, at_us) VALUES (?1, ?2, ?3)")?
            .execute(params![lane, acked.cast_signed(), now])?;
        Ok(())
    }

    pub(crate) fn written(&mut self, lane: u8, acked: u64, now: Timestamp) {
        self.0.insert(lane, (acked, now.as_microsecond()));
    }
}

impl Store {
    /// Removes rows that the cloud has had for long enough, at most `most` of them, so that a long absence
    /// is cleared away in small steps. Returns how many went.
    ///
    /// # Errors
    /// SQLite's.
    pub fn sweep(&mut self, now: Timestamp, most: u32) -> Result<usize, StoreError> {
        self.with_room(|store| store.sweep_once(now, most))
    }

    fn sweep_once(&mut self, now: Timestamp, most: u32) -> Result<usize, StoreError> {
        let before = now.as_microsecond() - i64::from(self.limits.keep_acknowledged_s) * 1_000_000;
        let doing = StoreError::sql("removing old rows of the journal");
        let mut removed = 0;
        for (lane, acked) in self.marks.values().map(|mark| (mark.lane, mark.acked)).collect::<Vec<_>>() {
            if let Some(upto) = self.acknowledged_since(lane, before)? {
                removed += self.remove_acknowledged(lane, upto, most, now)?;
            }
            // Of a life before this one: nobody asks for those any more.
            removed += self.remove_acknowledged(lane, 0, most, now)?;
            if self.noted.is_due(lane, acked, now) {
                self.noted.write(&self.connection, lane, acked, now).map_err(&doing)?;
                self.noted.written(lane, acked, now);
            }
        }
        let late = now.as_microsecond() - i64::from(self.limits.keep_events_s) * 1_000_000;
        let late = self.connection.execute("DELETE FROM event WHERE at_us < ?1", [late]).map_err(&doing)?;
        self.events_dropped += late as u64;
        vault::finish(&self.connection, &mut self.keyring, now)?;
        vault::start_clocks(&self.connection, now)?;
        vault::sweep_tombstones(&self.connection, &mut self.keyring, now, most)?;
        Ok(removed)
    }

    /// The last row of `lane` that the cloud has had since `before` (µs); forgets the notes before it.
    fn acknowledged_since(&self, lane: u8, before: i64) -> Result<Option<u64>, StoreError> {
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
