//! The life of the journal: its id, and the beginning of a new one where the database is a copy of an earlier time.

use crate::budget::row_bytes;
use crate::stamp::{self, Openings, Stamp};
use crate::thin::json;
use crate::{StoreError, reader};
use engawa_model::{Change, EpochReason, Lane, LaneEnd, Timestamp};
use rand::RngCore;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::path::Path;

/// Reads a single value.
pub(crate) fn single(connection: &Connection, name: &str) -> Result<Option<i64>, StoreError> {
    connection
        .query_row("SELECT value FROM single WHERE name = ?1", [name], |row| row.get(0))
        .optional()
        .map_err(StoreError::sql("reading the journal's epoch and marks"))
}

/// Writes a single value.
pub(crate) fn set_single(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO single (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value])
        .map(drop)
}

/// Bit 63 stays clear, so that an id is the same number everywhere it is shown.
pub(crate) fn id() -> u64 {
    rand::rng().next_u64() >> 1
}

/// The epoch to go on with, and why it is a new one where it is. The stamp in `dir` and the database are of this opening
/// afterwards; the power may go at any moment between.
pub(crate) fn open(
    connection: &mut Connection,
    dir: &Path,
    now: Timestamp,
) -> Result<(u64, Option<EpochReason>), StoreError> {
    let doing = StoreError::sql("beginning the journal's epoch");
    let found = single(connection, "epoch")?.map(i64::cast_unsigned);
    let openings = match (single(connection, "opening")?, single(connection, "opening_before")?) {
        (Some(last), before) => Some(Openings { last, before: before.unwrap_or(last) }),
        (None, _) => None,
    };
    let stamp = Stamp::read(dir);
    let misfit = found.and(stamp::misfit(stamp.as_ref(), openings));
    let before = match (&stamp, misfit) {
        (Some(stamp), None) => stamp.opening(),
        _ => openings.map_or(0, |openings| openings.last),
    };
    let transaction = connection.transaction().map_err(&doing)?;
    let epoch = match (found, misfit) {
        (Some(epoch), None) => epoch,
        (Some(previous), Some(reason)) => begin_anew(&transaction, previous, reason, now)?,
        (None, _) => {
            let epoch = id();
            set_single(&transaction, "epoch", epoch.cast_signed()).map_err(&doing)?;
            epoch
        }
    };
    let opening = next_opening(&transaction, before).map_err(&doing)?;
    transaction.commit().map_err(&doing)?;
    Stamp::new(opening).write(dir)?;
    Ok((epoch, misfit))
}

/// A copy of the files that somebody made since they were opened is older than what is here now.
pub(crate) fn close(connection: &mut Connection, dir: &Path) -> Result<(), StoreError> {
    let doing = StoreError::sql("ending the journal's opening");
    let last = single(connection, "opening")?.unwrap_or(0);
    let transaction = connection.transaction().map_err(&doing)?;
    let opening = next_opening(&transaction, last).map_err(&doing)?;
    transaction.commit().map_err(&doing)?;
    Stamp::new(opening).write(dir)
}

/// The database is of another opening from now on, and `before` fits it too until the stamp is written.
fn next_opening(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<i64> {
    let opening = id().cast_signed();
    set_single(transaction, "opening_before", before)?;
    set_single(transaction, "opening", opening)?;
    Ok(opening)
}

/// Gives the rows that the cloud is not known to have new numbers from 1, under a new id, with a row that says so: nothing
/// is lost, no number is used twice, and the cloud can tell from the old numbers which of them it has.
fn begin_anew(
    transaction: &Transaction<'_>,
    previous: u64,
    reason: EpochReason,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let doing = StoreError::sql("beginning a new life of the journal");
    let marks = reader::marks(transaction)?;
    let lanes =
        marks.iter().map(|mark| LaneEnd { lane: mark.lane, acknowledged: mark.acked, head: mark.head });
    let row = Change::EpochBegan { previous, reason, lanes: lanes.collect() };
    let alarms = Lane::Alarms.number();
    transaction.execute("INSERT OR IGNORE INTO lane (lane) VALUES (?1)", [alarms]).map_err(&doing)?;
    for mark in reader::marks(transaction)? {
        let first = u64::from(mark.lane == alarms);
        // By way of numbers of lanes that nobody uses, so that no row is ever in the way of another.
        let steps = [
            "DELETE FROM journal WHERE lane = ?1 AND seq <= ?2 AND ?3 IS NOT NULL",
            "UPDATE journal SET lane = lane + 1000, seq = seq - ?2 + ?3 WHERE lane = ?1",
            "UPDATE journal SET lane = ?1 WHERE lane = ?1 + 1000 AND ?2 IS NOT NULL AND ?3 IS NOT NULL",
            "UPDATE lane SET head = head - ?2 + ?3, acked = 0, sent = 0, bytes =
             (SELECT ifnull(sum(length(body) + length(kind) + 72), 0) FROM journal WHERE journal.lane = ?1)
             WHERE lane = ?1",
        ];
        for step in steps {
            let values = params![mark.lane, mark.acked.cast_signed(), first.cast_signed()];
            transaction.execute(step, values).map_err(&doing)?;
        }
    }
    transaction.execute("DELETE FROM acknowledged", []).map_err(&doing)?;
    let body = json(&row);
    let bytes = row_bytes(row.kind(), &body);
    transaction
        .execute(
            "INSERT INTO journal (lane, seq, at_us, kind, body) VALUES (?1, 1, ?2, ?3, ?4)",
            params![alarms, now.as_microsecond(), row.kind(), body],
        )
        .and_then(|_| {
            transaction.execute(
                "UPDATE lane SET bytes = bytes + ?2 WHERE lane = ?1",
                params![alarms, bytes.cast_signed()],
            )
        })
        .map_err(&doing)?;
    for pointer in ["thin_minute", "thin_hour"] {
        set_single(transaction, pointer, 0).map_err(&doing)?;
    }
    let epoch = id();
    set_single(transaction, "epoch", epoch.cast_signed()).map_err(&doing)?;
    Ok(epoch)
}
