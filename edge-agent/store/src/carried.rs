//! Rows that a new life of the journal has from the life before.
//!
//! The cloud may have some of them already, under their old numbers. It says how many, and they are then left out
//! ([`engawa_model::Change::EpochBegan`] says the same to the cloud). That holds for rows that are the same in both lives. Measured
//! values need not be: what was not handed out may have been thinned after the copy was made, in the journal that it was
//! made of, or since it was put back. So it is kept how many of a lane's first rows are certainly the same.

use crate::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

/// What was carried over, and from which life of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedOver {
    /// The epoch of the life before.
    pub epoch: u64,
    /// Its lanes.
    pub lanes: Vec<Carried>,
}

/// One lane that was carried over: its old row `acked + n` is now row `first - 1 + n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The lane.
    pub lane: u8,
    /// The number that the first row carried over has now.
    pub first: u64,
    /// The old number before it: what the cloud was known to have.
    pub acked: u64,
    /// The old number of the last one.
    pub head: u64,
    /// So many of the numbers carried over, from the first on, have the same rows in both lives.
    pub same: u64,
}

impl Carried {
    /// The number that the last row carried over has now; below `first` where none was.
    pub fn last(&self) -> u64 {
        (self.first + self.head).saturating_sub(self.acked + 1)
    }

    pub(crate) fn read(connection: &Connection, lane: u8) -> Result<Option<Self>, StoreError> {
        connection
            .query_row("SELECT lane, first, acked, head, same FROM carried WHERE lane = ?1", [lane], carried)
            .optional()
            .map_err(StoreError::sql(READING))
    }

    /// All lanes.
    pub(crate) fn all(connection: &Connection) -> Result<Vec<Self>, StoreError> {
        let doing = StoreError::sql(READING);
        let sql = "SELECT lane, first, acked, head, same FROM carried ORDER BY lane";
        let mut statement = connection.prepare_cached(sql).map_err(&doing)?;
        statement.query_map([], carried).and_then(Iterator::collect).map_err(&doing)
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO carried (lane, first, acked, head, same) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                self.lane,
                self.first.cast_signed(),
                self.acked.cast_signed(),
                self.head.cast_signed(),
                self.same.cast_signed()
            ])
            .map(drop)
    }
}

const READING: &str = "reading what was carried over from the journal's life before";

fn carried(row: &rusqlite::Row<'_>) -> rusqlite::Result<Carried> {
    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(Carried {
        lane: row.get(0)?,
        first: number(1)?,
        acked: number(2)?,
        head: number(3)?,
        same: number(4)?,
    })
}
