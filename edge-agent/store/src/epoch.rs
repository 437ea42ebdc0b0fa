//! The life of the journal: its id, and the beginning of a new one where the database is a copy of an earlier time.

use crate::budget::{ROW_BYTES, row_bytes};
use crate::carried::Carried;
use crate::connect::{connect, lock};
use crate::numbering::{shift_of, stored};
use crate::stamp::{self, Openings, Stamp};
use crate::thin::json;
use crate::{DATABASE_FILE, DatabaseKey, LaneMarks, StoreError, reader};
use engawa_model::{Change, EpochReason, Lane, LaneEnd, Timestamp};
use rand::RngCore;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::BTreeMap;
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

/// The single value that says that the house has not been told yet that its database is a copy of an earlier time.
pub(crate) const PUT_BACK: &str = "put_back";

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
    // Whatever is beside the database until the stamp of this opening is written fits what is committed before: a power cut
    // between the two must not have it begin anew twice, or the cloud would be asked for a life that it has never seen.
    let before = match (&stamp, misfit) {
        (Some(stamp), None | Some(EpochReason::Restored)) => stamp.opening(),
        (_, Some(_)) => {
            let first = id().cast_signed();
            Stamp::new(first).write(dir)?;
            first
        }
        (None, None) => openings.map_or(0, |openings| openings.last),
    };
    let transaction = connection.transaction().map_err(&doing)?;
    let epoch = match (found, misfit) {
        (Some(epoch), None) => {
            // Somebody began to have it begin anew, and did not get to the end.
            forget_shared(&transaction).map_err(&doing)?;
            epoch
        }
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
/// is lost, no number is used twice, and the cloud can tell from the old numbers which of them it has. No row is written
/// anew, so it is as quick with a month of rows as with none.
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
    let write = || {
        transaction.execute("INSERT OR IGNORE INTO lane (lane) VALUES (?1)", [alarms])?;
        transaction.execute("DELETE FROM carried", [])?;
        transaction.execute("DELETE FROM acknowledged", [])?;
        let shared = shared(transaction)?;
        for mark in reader::marks_in(transaction)? {
            let first = 1 + u64::from(mark.lane == alarms);
            let upto = shared.as_ref().map(|shared| shared.get(&mark.lane).copied().unwrap_or((0, 0)));
            carry_over(transaction, mark, first, upto)?;
        }
        forget_shared(transaction)?;
        put_first(transaction, alarms, &row, now)?;
        set_single(transaction, "previous", previous.cast_signed())?;
        set_single(transaction, PUT_BACK, 1)?;
        let epoch = id();
        set_single(transaction, "epoch", epoch.cast_signed())?;
        Ok(epoch)
    };
    write().map_err(doing)
}

/// What waits in a lane is told under numbers from `first` on. `shared`: the last row that is the same in the journal that
/// this is a copy of, and the last that may be there in another form, where somebody has found that out.
fn carry_over(
    transaction: &Transaction<'_>,
    mark: LaneMarks,
    first: u64,
    shared: Option<(u64, u64)>,
) -> rusqlite::Result<()> {
    let LaneMarks { lane, head, acked, sent, .. } = mark;
    let waiting = head - acked;
    let (last, same) = match shared {
        Some((shared, doubtful)) => {
            let shared = shared.clamp(acked, head);
            (doubtful.clamp(shared, head), shared - acked)
        }
        // Measured values that were not handed out may have been thinned there.
        None if lane == Lane::Telemetry.number() => (head, sent.clamp(acked, head) - acked),
        None => (head, waiting),
    };
    let shift = shift_of(transaction, lane)? + acked.cast_signed() - (first - 1).cast_signed();
    transaction.execute(
        "UPDATE lane SET head = ?2, acked = 0, sent = 0, shift = ?3 WHERE lane = ?1",
        params![lane, (waiting + first - 1).cast_signed(), shift],
    )?;
    if lane == Lane::Telemetry.number() {
        for pointer in ["thin_minute", "thin_hour"] {
            let sql = "UPDATE single SET value = max(0, value - ?2) WHERE name = ?1";
            transaction.execute(sql, params![pointer, acked.cast_signed()])?;
        }
    }
    Carried { lane, first, acked, head: last, same }.write(transaction)
}

/// The single values that say up to which row of a lane a journal and the one that it is a copy of are the same, and up to
/// which they may be the same in another form.
const SHARED: &str = "shared-";
const DOUBTFUL: &str = "doubtful-";

fn shared(connection: &Connection) -> rusqlite::Result<Option<BTreeMap<u8, (u64, u64)>>> {
    let mut statement = connection
        .prepare("SELECT name, value FROM single WHERE name LIKE 'shared-%' OR name LIKE 'doubtful-%'")?;
    let values = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?;
    let mut all: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
    for value in values {
        let (name, upto) = value?;
        // A lane that is no number can't be: whoever wrote it named it by one.
        if let Some(lane) = name.strip_prefix(SHARED).and_then(|lane| lane.parse().ok()) {
            all.entry(lane).or_default().0 = upto;
        } else if let Some(lane) = name.strip_prefix(DOUBTFUL).and_then(|lane| lane.parse().ok()) {
            all.entry(lane).or_default().1 = upto;
        }
    }
    Ok((!all.is_empty()).then_some(all))
}

fn forget_shared(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("DELETE FROM single WHERE name LIKE 'shared-%' OR name LIKE 'doubtful-%'", [])
        .map(drop)
}

/// The first row of a lane; what is stored in its place is of a life before.
fn put_first(transaction: &Transaction<'_>, lane: u8, row: &Change, now: Timestamp) -> rusqlite::Result<()> {
    let number = stored(1, shift_of(transaction, lane)?);
    let old = transaction
        .query_row(
            "DELETE FROM journal WHERE lane = ?1 AND seq = ?2 RETURNING length(kind) + length(body)",
            params![lane, number],
            |row| row.get::<_, i64>(0),
        )
        .optional()?;
    let body = json(row);
    let bytes = row_bytes(row.kind(), &body).cast_signed();
    let less = old.map_or(0, |old| ROW_BYTES.cast_signed() + old);
    transaction.execute(
        "INSERT INTO journal (lane, seq, at_us, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![lane, number, now.as_microsecond(), row.kind(), body],
    )?;
    transaction.execute("UPDATE lane SET bytes = bytes + ?2 WHERE lane = ?1", params![lane, bytes - less])?;
    Ok(())
}

/// Has the journal in `dir` begin a new life when it is opened next, as it does by itself where it sees that its database is
/// a copy of an earlier time: for one that is, and looks as if it were not (the whole folder was put back, and the house lived
/// on). `shared`: the last number of each lane up to which the cloud has the same rows, and the last that it may have in another
/// form, since they were thinned here; what is after that is carried over and sent.
///
/// # Errors
/// The store is in use, or its files can't be written.
pub fn begin_anew_when_opened(
    dir: &Path,
    key: &DatabaseKey,
    shared: &BTreeMap<u8, (u64, u64)>,
) -> Result<(), StoreError> {
    let _lock = lock(dir)?;
    let mut connection = connect(&dir.join(DATABASE_FILE), key)?;
    let doing = StoreError::sql("noting where the journal is to begin anew");
    let transaction = connection.transaction().map_err(&doing)?;
    for (lane, (shared, doubtful)) in shared {
        for (name, upto) in [(SHARED, shared), (DOUBTFUL, doubtful)] {
            set_single(&transaction, &format!("{name}{lane}"), upto.cast_signed()).map_err(&doing)?;
        }
    }
    transaction.commit().map_err(&doing)?;
    // Last: without the stamp it begins anew whatever else is there.
    Stamp::remove(dir)
}

/// True while another process owns the store in `dir`.
///
/// # Errors
/// The folder can't be written.
pub fn is_in_use(dir: &Path) -> Result<bool, StoreError> {
    match lock(dir) {
        Ok(_lock) => Ok(false),
        Err(StoreError::InUse(_)) => Ok(true),
        Err(error) => Err(error),
    }
}
