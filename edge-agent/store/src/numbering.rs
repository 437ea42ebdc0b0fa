//! The numbers of rows as the cloud is told them, and as they are stored.
//!
//! A new life of the journal begins with number 1, and a month of rows may wait in it. They are not renumbered: each lane has
//! a *shift*, the number that a row is stored under less the one that it is told under. A new life changes the shifts,
//! whatever the size of the journal, and a power cut finds the old ones or the new ones. Everything but the journal's own
//! table (marks, notes, pointers) has numbers as they are told. What is stored at or below its lane's shift is of a life
//! before, acknowledged there, and told to nobody any more.

use crate::StoreError;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;

/// The shift of each lane.
#[derive(Debug, Default)]
pub(crate) struct Shifts(BTreeMap<u8, i64>);

impl Shifts {
    pub(crate) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let doing = StoreError::sql("reading how the journal's rows are numbered");
        let mut statement = connection.prepare("SELECT lane, shift FROM lane").map_err(&doing)?;
        let shifts = statement.query_map([], |row| Ok((row.get::<_, u8>(0)?, row.get::<_, i64>(1)?)));
        shifts.and_then(Iterator::collect).map(Self).map_err(&doing)
    }

    pub(crate) fn of(&self, lane: u8) -> i64 {
        self.0.get(&lane).copied().unwrap_or(0)
    }
}

/// The shift of one lane, for a connection that keeps none.
pub(crate) fn shift_of(connection: &Connection, lane: u8) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("SELECT shift FROM lane WHERE lane = ?1")?;
    let shift = statement.query_row([lane], |row| row.get(0)).optional()?;
    Ok(shift.unwrap_or(0))
}

/// What the row that is told as `number` is stored under; the last number that there can be, where it is above that.
pub(crate) fn stored(number: u64, shift: i64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX).saturating_add(shift)
}

/// What the row that is stored under `number` is told as; 0: it is of a life before.
pub(crate) fn told(number: i64, shift: i64) -> u64 {
    number.saturating_sub(shift).max(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_whatever_the_shift() {
        for shift in [-3, 0, 1, 90_000] {
            for number in [1, 2, 1_000_000] {
                assert_eq!(told(stored(number, shift), shift), number);
            }
            assert_eq!(told(shift, shift), 0);
            assert_eq!(told(shift - 1, shift), 0, "of a life before");
        }
        assert_eq!(stored(u64::MAX, 0), i64::MAX);
        assert_eq!(stored(u64::MAX, 5), i64::MAX);
    }
}
