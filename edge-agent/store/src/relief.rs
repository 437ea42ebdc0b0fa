//! Making room: acknowledged rows go early, measured values are thinned, in steps that are short enough to stand between
//! two commits.
//!
//! Never: a row changed that may have been handed out. Up to where that may be is durable before the rows go
//! ([`crate::Batch::sent`]), with some numbers ahead, so that it costs an fsync for thousands of rows.

use crate::budget::row_bytes;
use crate::epoch::{set_single, single};
use crate::numbering::{stored, told};
use crate::thin::{Raw, Thin, json, thin, whole_slots};
use crate::writer::Store;
use crate::{Durability, LaneMarks, Pressure, StoreError};
use engawa_model::{Lane, Thinning, Timestamp};
use rusqlite::{Connection, Transaction, params};

/// Rows of one step: with the default budget some hours of a large house, so that its hours are whole; with a small one,
/// less than a sixteenth of it.
const MOST_ROWS: u64 = 16_384;
const LEAST_ROWS: u64 = 1024;
/// The fewest rows of a step that a full disk has refused with more.
const FEWEST_ROWS: u64 = 64;
/// How soon a step that the disk has refused is tried again at first, and at last, microseconds.
const RETRY_US: i64 = 1_000_000;
const LONGEST_RETRY_US: i64 = 10_000_000;
/// Rows stay as they are until lanes have grown by so much since nothing could be done, bytes; less with a small budget.
const AGAIN: u64 = 256 << 10;
/// Free pages within the database that a full disk is met with: until there are so many, telemetry gives up more.
const FREE_PAGES: i64 = 256;

/// How far the thinning has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Thinned {
    /// Everything up to this number is in rows of a minute at least.
    minute: u64,
    /// Everything up to this number is in rows of an hour.
    hour: u64,
    /// The bytes of the lanes, and what was acknowledged, when nothing could be done.
    idle: Option<(u64, u64)>,
    /// The disk has refused a step, and no whole one was done since.
    refused: Option<Refused>,
}

/// How the next step is tried after the disk has refused one.
#[derive(Clone, Copy, Debug)]
struct Refused {
    /// How many times the rows of a step are halved.
    halved: u32,
    /// When the last was refused, and how long nothing is tried from then on, microseconds; `None`: one was done since.
    wait: Option<(i64, i64)>,
}

impl Thinned {
    pub(crate) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let pointer = |name| Ok::<_, StoreError>(single(connection, name)?.unwrap_or(0).cast_unsigned());
        Ok(Self { minute: pointer("thin_minute")?, hour: pointer("thin_hour")?, idle: None, refused: None })
    }
}

impl Store {
    /// How short the lanes are that never drop a row.
    pub fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// True while the disk is so full that the room set aside is in use.
    pub fn is_low(&self) -> bool {
        self.low
    }

    /// Sets room aside again, where the disk now has it. True where all is well.
    pub fn refill(&mut self) -> bool {
        self.low = !self.ballast.keep();
        !self.low
    }

    /// True where [`Self::relieve`] may have something to do. Costs nothing.
    pub fn wants_relief(&self, now: Timestamp) -> bool {
        // A clock that was set back makes nobody wait longer.
        let waits = self.thinned.refused.and_then(|refused| refused.wait);
        if waits.is_some_and(|(since, wait)| (since..since + wait).contains(&now.as_microsecond())) {
            return false;
        }
        let state = self.fill();
        let again = match self.thinned.idle {
            Some((bytes, acked)) => {
                let grown = AGAIN.min(self.limits.budget.telemetry / 32);
                state.0 > bytes + grown || state.1 != acked
            }
            None => true,
        };
        again && (self.low || Lane::ALL.into_iter().any(|lane| self.lane_bytes(lane) > self.early(lane)))
    }

    /// True from a step that the disk has refused until one of the usual length is done.
    pub fn is_relief_refused(&self) -> bool {
        self.thinned.refused.is_some()
    }

    fn fill(&self) -> (u64, u64) {
        (self.marks.values().map(|mark| mark.bytes).sum(), self.marks.values().map(|mark| mark.acked).sum())
    }

    fn block_rows(&self) -> u32 {
        let rows = self.limits.budget.telemetry / 16 / 256;
        let halved = self.thinned.refused.map_or(0, |refused| refused.halved);
        let rows = (rows.clamp(LEAST_ROWS, MOST_ROWS) >> halved).max(FEWEST_ROWS);
        u32::try_from(rows).unwrap_or(u32::MAX)
    }

    fn lane_bytes(&self, lane: Lane) -> u64 {
        self.marks.get(&lane.number()).map_or(0, |mark| mark.bytes)
    }

    /// From how many bytes on something is done.
    fn early(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Telemetry => self.limits.budget.telemetry_left(&self.marks) / 2,
            lane => self.limits.budget.of(lane) / 4 * 3,
        }
    }

    /// Makes some room where a lane is short of it: one step, some thousand rows at most. True where something was done,
    /// and there may be more to do.
    ///
    /// # Errors
    /// SQLite's. A step that the disk refuses is tried again with half the rows, and not at once; what is done after that
    /// doubles them again.
    pub fn relieve(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        if !self.wants_relief(now) {
            return Ok(false);
        }
        let done = self.with_room(|store| Ok(store.clear_acknowledged(now)? || store.thin_telemetry(now)?));
        match &done {
            Ok(done) => {
                self.thinned.idle = (!done).then(|| self.fill());
                let less = self.thinned.refused.filter(|refused| *done && refused.halved > 0);
                self.thinned.refused =
                    less.map(|Refused { halved, .. }| Refused { halved: halved - 1, wait: None });
            }
            Err(error) if error.is_of_disk() => {
                let Refused { halved, wait } =
                    self.thinned.refused.unwrap_or(Refused { halved: 0, wait: None });
                let halved = halved + u32::from(u64::from(self.block_rows()) > FEWEST_ROWS);
                let wait = wait.map_or(RETRY_US, |(_, wait)| (wait * 2).min(LONGEST_RETRY_US));
                self.thinned.refused = Some(Refused { halved, wait: Some((now.as_microsecond(), wait)) });
            }
            Err(_) => {}
        }
        done
    }

    /// Acknowledged rows go before their time, the oldest first: the cloud has them, and asks for them again only after a
    /// restore of its own.
    fn clear_acknowledged(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let rows = self.block_rows();
        for lane in Lane::ALL {
            if self.lane_bytes(lane) > self.early(lane)
                && self.remove_acknowledged(lane.number(), u64::MAX, rows, now)? > 0
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes up to `most` acknowledged rows of `lane`, none after `upto`.
    pub(crate) fn remove_acknowledged(
        &mut self,
        lane: u8,
        upto: u64,
        most: u32,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let doing = StoreError::sql("removing old rows of the journal");
        let Some(mark) = self.marks.get(&lane).copied() else { return Ok(0) };
        let upto = stored(self.removable(lane).min(upto), self.shifts.of(lane));
        self.set_durability(Durability::Soon)?;
        let transaction = self.connection.transaction().map_err(&doing)?;
        let (mut rows, mut bytes) = (0, 0_u64);
        {
            let mut delete = transaction
                .prepare_cached(
                    "DELETE FROM journal WHERE lane = ?1 AND seq IN (SELECT seq FROM journal
                     WHERE lane = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)
                     RETURNING length(kind), length(body)",
                )
                .map_err(&doing)?;
            let mut gone = delete.query(params![lane, upto, most]).map_err(&doing)?;
            while let Some(row) = gone.next().map_err(&doing)? {
                let (kind, body): (i64, i64) = (row.get(0).map_err(&doing)?, row.get(1).map_err(&doing)?);
                rows += 1;
                bytes += crate::budget::ROW_BYTES + kind.unsigned_abs() + body.unsigned_abs();
            }
        }
        if rows == 0 {
            return Ok(0);
        }
        let mark = LaneMarks { bytes: mark.bytes.saturating_sub(bytes), ..mark };
        put_mark(&transaction, mark, now).map_err(&doing)?;
        transaction.commit().map_err(&doing)?;
        self.set_mark(mark, false);
        Ok(rows)
    }

    fn thin_telemetry(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let left = self.limits.budget.telemetry_left(&self.marks);
        let bytes = self.lane_bytes(Lane::Telemetry);
        // A disk that is full for whatever reason: room within the database is what guests' rows still can have.
        let starved = self.low && self.free_pages()? < FREE_PAGES;
        // A sixteenth below the bound, so that what comes between two steps finds room.
        let steps: &[Thinning] = if bytes > left / 16 * 15 || starved {
            &[Thinning::PerHour, Thinning::Dropped]
        } else if bytes > left / 4 * 3 {
            &[Thinning::PerHour]
        } else if bytes > left / 2 {
            &[Thinning::PerMinute]
        } else {
            &[]
        };
        for how in steps {
            if self.thin_block(*how, now)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn free_pages(&self) -> Result<i64, StoreError> {
        self.connection
            .query_row("PRAGMA freelist_count", [], |row| row.get(0))
            .map_err(StoreError::sql("counting free pages"))
    }

    /// Thins the oldest block that is not as thin as that yet. Only whole blocks: the newest rows stay.
    fn thin_block(&mut self, how: Thinning, now: Timestamp) -> Result<bool, StoreError> {
        let lane = Lane::Telemetry.number();
        let Some(mark) = self.marks.get(&lane).copied() else { return Ok(false) };
        let pointer = match how {
            Thinning::PerMinute => self.thinned.minute,
            Thinning::PerHour => self.thinned.hour,
            Thinning::Dropped | Thinning::NotWritten => 0,
        };
        let after = pointer.max(mark.sent).max(mark.acked);
        let doing = StoreError::sql("thinning measured values");
        let Some(mut block) = self.whole_block(lane, after, how)? else { return Ok(false) };
        whole_slots(&mut block, how);
        let (Some(first), Some(last)) = (block.first().map(|row| row.seq), block.last().map(|row| row.seq))
        else {
            return Ok(false);
        };
        let shift = self.shifts.of(lane);
        let before: u64 = block.iter().map(|row| row_bytes(&row.kind, &row.body)).sum();
        let thinned = thin(block, how);
        self.set_durability(Durability::Now)?;
        let transaction = self.connection.transaction().map_err(&doing)?;
        let (mut mark, mut carried) = (mark, self.carried);
        if let Some(thinned) = thinned {
            if let Some(carried) = carried.as_mut().filter(|carried| first <= carried.last()) {
                // What was carried over is the same as in the life before only up to here.
                carried.same = carried.same.min(thinned.first.saturating_sub(carried.first));
                carried.write(&transaction).map_err(&doing)?;
            }
            let rows = (stored(first, shift), stored(last, shift));
            let after =
                replace(&transaction, lane, rows, stored(thinned.seq, shift), &thinned).map_err(&doing)?;
            mark.bytes = (mark.bytes + after).saturating_sub(before);
            put_mark(&transaction, mark, now).map_err(&doing)?;
        }
        let mut pointers = self.thinned;
        match how {
            Thinning::PerMinute => pointers.minute = last,
            Thinning::PerHour => (pointers.minute, pointers.hour) = (last.max(pointers.minute), last),
            Thinning::Dropped | Thinning::NotWritten => {}
        }
        set_single(&transaction, "thin_minute", pointers.minute.cast_signed()).map_err(&doing)?;
        set_single(&transaction, "thin_hour", pointers.hour.cast_signed()).map_err(&doing)?;
        transaction.commit().map_err(&doing)?;
        (self.thinned, self.carried) = (pointers, carried);
        self.set_mark(mark, true);
        Ok(true)
    }

    /// The oldest rows after `after`, where there are enough of them. Rows that were carried over from a life before and new
    /// ones never become one row: the cloud may have the former.
    fn whole_block(&self, lane: u8, after: u64, how: Thinning) -> Result<Option<Vec<Raw>>, StoreError> {
        let rows = self.block_rows() as usize;
        let mut block = self.block(lane, after)?;
        let last = self.carried.filter(|carried| carried.lane == lane).map_or(0, |carried| carried.last());
        let over = block.iter().take_while(|row| row.seq <= last).count();
        if block.len() >= rows && (1..block.len()).contains(&over) {
            // One row alone gives up nothing.
            if over == 1 && how == Thinning::Dropped {
                block = self.block(lane, last)?;
            } else {
                block.truncate(over);
                return Ok(Some(block));
            }
        }
        Ok((block.len() >= rows).then_some(block))
    }

    fn block(&self, lane: u8, after: u64) -> Result<Vec<Raw>, StoreError> {
        let doing = StoreError::sql("reading measured values to thin");
        let shift = self.shifts.of(lane);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT seq, at_us, kind, body FROM journal WHERE lane = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )
            .map_err(&doing)?;
        statement
            .query_map(params![lane, stored(after, shift), self.block_rows()], |row| {
                Ok(Raw {
                    seq: told(row.get(0)?, shift),
                    at_us: row.get(1)?,
                    kind: row.get(2)?,
                    body: row.get(3)?,
                })
            })
            .and_then(Iterator::collect)
            .map_err(&doing)
    }
}

/// Puts what a block has become in the place of the rows that are stored from `first` to `last`, from `seq` on; how many
/// bytes that takes.
fn replace(
    transaction: &Transaction<'_>,
    lane: u8,
    (first, last): (i64, i64),
    mut seq: i64,
    thinned: &Thin,
) -> rusqlite::Result<u64> {
    transaction
        .prepare_cached("DELETE FROM journal WHERE lane = ?1 AND seq BETWEEN ?2 AND ?3")?
        .execute(params![lane, first, last])?;
    let mut append = transaction
        .prepare_cached("INSERT INTO journal (lane, seq, at_us, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let record = (thinned.at_us, thinned.record.kind(), json(&thinned.record));
    let kept = thinned.kept.iter().map(|(at_us, kind, body)| (*at_us, kind.as_str(), body.clone()));
    let mut bytes = 0;
    for (at_us, kind, body) in std::iter::once(record).chain(kept) {
        bytes += row_bytes(kind, &body);
        append.execute(params![lane, seq, at_us, kind, body])?;
        seq += 1;
    }
    Ok(bytes)
}

/// Writes how far a lane is.
pub(crate) fn put_mark(
    transaction: &Transaction<'_>,
    mark: LaneMarks,
    now: Timestamp,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO lane (lane, head, acked, acked_us, sent, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (lane) DO UPDATE SET head = ?2, acked = ?3, acked_us = ?4, sent = ?5, bytes = ?6",
        )?
        .execute(params![
            mark.lane,
            mark.head.cast_signed(),
            mark.acked.cast_signed(),
            now.as_microsecond(),
            mark.sent.cast_signed(),
            mark.bytes.cast_signed()
        ])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, DatabaseKey, Limits};
    use engawa_model::{Change, PointId, Quality, Value};

    const ROWS: u64 = 8192;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A store whose telemetry is far above its budget.
    fn overfull(dir: &std::path::Path) -> Store {
        let budget = Budget { telemetry: 1 << 20, ..Budget::default() };
        let limits = Limits { budget, ballast: 0, ..Limits::default() };
        let key = DatabaseKey::load_or_create(&dir.join("key")).unwrap();
        let mut store = Store::open(dir, &key, limits).unwrap();
        let lane = Lane::Telemetry.number();
        let mut mark = LaneMarks { lane, head: ROWS, ..LaneMarks::default() };
        let transaction = store.connection.transaction().unwrap();
        for (seq, second) in (1..=ROWS).zip(0..) {
            let sampled = at(second);
            let change = Change::Reported {
                point: PointId::new("device", "temperature"),
                room: None,
                role: None,
                value: Some(Value::Int(second % 50)),
                quality: Quality::Good,
                sampled,
            };
            let (kind, body) = (change.kind(), json(&change));
            mark.bytes += row_bytes(kind, &body);
            let row = params![lane, seq.cast_signed(), sampled.as_microsecond(), kind, body];
            transaction
                .execute(
                    "INSERT INTO journal (lane, seq, at_us, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                    row,
                )
                .unwrap();
        }
        put_mark(&transaction, mark, at(0)).unwrap();
        transaction.commit().unwrap();
        store.set_mark(mark, true);
        store
    }

    fn refuse(store: &Store, refuse: bool) {
        store.connection.pragma_update(None, "query_only", refuse).unwrap();
    }

    #[test]
    fn what_the_disk_refuses_is_tried_again_later_and_with_fewer_rows() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = overfull(dir.path());
        assert_eq!(store.block_rows(), 1024);
        assert!(store.wants_relief(at(0)) && !store.is_relief_refused());
        refuse(&store, true);
        let (mut second, mut waits, mut rows) = (100, vec![], vec![]);
        for _ in 0..7 {
            assert!(store.relieve(at(second)).unwrap_err().is_of_disk());
            assert!(store.is_relief_refused());
            rows.push(store.block_rows());
            let wait = (1..).find(|wait| store.wants_relief(at(second + wait))).unwrap();
            assert!(!store.relieve(at(second + wait - 1)).unwrap(), "nothing is tried before");
            assert!(store.wants_relief(at(second - 3600)), "the clock was set back");
            waits.push(wait);
            second += wait;
        }
        assert_eq!(waits, [1, 2, 4, 8, 10, 10, 10]);
        assert_eq!(rows, [512, 256, 128, 64, 64, 64, 64]);
        // The disk takes something again: no wait between the steps, and each has twice the rows.
        refuse(&store, false);
        let mut rows = vec![];
        while store.is_relief_refused() {
            rows.push(store.block_rows());
            assert!(store.relieve(at(second)).unwrap());
        }
        assert_eq!(rows, [64, 128, 256, 512, 1024]);
        // The next time it begins anew.
        refuse(&store, true);
        assert!(store.relieve(at(second)).is_err());
        assert!(!store.wants_relief(at(second)) && store.wants_relief(at(second + 1)));
        // An error between two steps that were done: it waits as at first.
        refuse(&store, false);
        assert!(store.relieve(at(second + 1)).unwrap());
        refuse(&store, true);
        assert!(store.relieve(at(second + 1)).is_err());
        assert!(store.is_relief_refused() && store.wants_relief(at(second + 2)));
    }
}
