//! A gateway's journal beside what the cloud has of it, before somebody has it begin a new life: messages and the search for
//! the place where the two went different ways, without any I/O.
//!
//! A journal that lived on after it was copied has other rows under numbers that the cloud has seen. Up to the copy both are
//! the same, so the first number at which they differ is found by asking for few of them.

use crate::frame::Mark;
use crate::ports::Row;
use crate::trust::Turn;
use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

/// Rows that one question may ask for.
pub const MOST_ROWS: usize = 256;

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// How does the cloud stand to this journal?
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AskSync {
    /// The id of the journal's life.
    #[prost(fixed64, tag = "1")]
    pub epoch: u64,
    /// The turn that the box would show; none is taken by asking.
    #[prost(message, optional, tag = "2")]
    pub turn: Option<Turn>,
    /// Rows of it that are asked for.
    #[prost(message, repeated, tag = "3")]
    pub rows: Vec<Mark>,
}

/// So.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SyncStanding {
    /// The life of the journal that the gateway spoke of last.
    #[prost(fixed64, optional, tag = "1")]
    pub epoch: Option<u64>,
    /// What the cloud holds of the life that was asked for.
    #[prost(message, repeated, tag = "2")]
    pub marks: Vec<Mark>,
    /// Of the rows that were asked for those that are there.
    #[prost(message, repeated, tag = "3")]
    pub prints: Vec<Print>,
    /// A session is open under this identity.
    #[prost(bool, tag = "4")]
    pub connected: bool,
    /// Why another box is thought to have this identity, too; empty: it is not.
    #[prost(string, tag = "5")]
    pub twin: String,
}

/// By which a row is known again.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Print {
    /// Its lane.
    #[prost(uint32, tag = "1")]
    pub lane: u32,
    /// Its number.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// When it happened, microseconds since 1970.
    #[prost(sint64, tag = "3")]
    pub at_micros: i64,
    /// Its kind.
    #[prost(string, tag = "4")]
    pub kind: String,
    /// CRC-32C of its body.
    #[prost(fixed32, tag = "5")]
    pub crc32c: u32,
}

impl Print {
    /// The print of a row.
    pub fn of(lane: u8, row: &Row) -> Self {
        Self {
            lane: u32::from(lane),
            seq: row.seq,
            at_micros: row.at_micros,
            kind: row.kind.clone(),
            crc32c: CRC32C.checksum(&row.body),
        }
    }

    /// Whether both are prints of one row. The cloud may have taken the particulars of an erased guest out of a body, so that
    /// bodies need not be the same where `bodies` is false.
    pub fn is_of_the_same(&self, other: &Self, bodies: bool) -> bool {
        let head = |print: &Self| (print.lane, print.seq, print.at_micros);
        head(self) == head(other) && self.kind == other.kind && (!bodies || self.crc32c == other.crc32c)
    }
}

/// The search for the last number up to which two journals are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// They are the same up to here.
    low: u64,
    /// They differ from the next one on.
    high: u64,
}

impl Search {
    /// They are the same up to `low`, and not beyond `high`.
    pub fn new(low: u64, high: u64) -> Self {
        Self { low, high: high.max(low) }
    }

    /// The answer, once it is known.
    pub fn found(&self) -> Option<u64> {
        (self.low == self.high).then_some(self.low)
    }

    /// The last number at which they may be the same.
    pub fn last_open(&self) -> u64 {
        self.high
    }

    /// Numbers to look at next, in order: `most` at most, or two, since the last alone would not halve what is open.
    pub fn questions(&self, most: u64) -> Vec<u64> {
        let open = self.high - self.low;
        let count = open.min(most.max(2));
        // Spread over all that is open, the last of it included.
        (1..=count).map(|n| self.low + mul_div(open, n, count)).collect()
    }

    /// The rows with the number `at` are the same, and so are all before it.
    pub fn same(&mut self, at: u64) {
        self.low = at.clamp(self.low, self.high);
    }

    /// The rows with the number `at` are not the same, and none after it is.
    pub fn differs(&mut self, at: u64) {
        self.high = at.saturating_sub(1).clamp(self.low, self.high);
    }
}

/// `a * b / c` for `b` up to `c`, which is not 0.
fn mul_div(a: u64, b: u64, c: u64) -> u64 {
    // No more than `a`, so it fits.
    u64::try_from(u128::from(a) * u128::from(b) / u128::from(c)).unwrap_or(a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_are_spread_and_end_at_the_last() {
        assert_eq!(Search::new(10, 10).found(), Some(10));
        assert_eq!(Search::new(10, 3).found(), Some(10), "nothing is open");
        assert_eq!(Search::new(10, 3).questions(4), Vec::<u64>::new());
        assert_eq!(Search::new(10, 13).questions(4), [11, 12, 13]);
        assert_eq!(Search::new(10, 110).questions(4), [35, 60, 85, 110]);
        assert_eq!(Search::new(0, 100).questions(0), [50, 100]);
        assert_eq!(Search::new(0, 1).questions(1), [1]);
        assert_eq!(Search::new(0, u64::MAX).questions(2), [u64::MAX / 2, u64::MAX]);
        let mut search = Search::new(10, 110);
        search.same(60);
        search.differs(85);
        assert_eq!((search.found(), search.questions(2), search.last_open()), (None, vec![72, 84], 84));
        // Answers that say nothing new, or contradict, undo nothing.
        search.same(20);
        search.differs(200);
        assert_eq!(search, Search { low: 60, high: 84 });
        search.same(500);
        assert_eq!(search.found(), Some(84));
    }

    #[test]
    fn a_row_is_known_by_all_of_it_and_without_its_body_where_that_may_have_changed() {
        let row = Row { seq: 7, at_micros: 9, kind: "moved".into(), body: b"{}".to_vec() };
        let print = Print::of(3, &row);
        assert!(print.is_of_the_same(&Print::of(3, &row), true));
        let others = [
            Print::of(4, &row),
            Print::of(3, &Row { seq: 8, ..row.clone() }),
            Print::of(3, &Row { at_micros: 8, ..row.clone() }),
            Print::of(3, &Row { kind: "gone".into(), ..row.clone() }),
        ];
        assert!(others.iter().all(|other| !print.is_of_the_same(other, false)));
        let cleared = Print::of(3, &Row { body: b"{ }".to_vec(), ..row });
        assert!(print.is_of_the_same(&cleared, false) && !print.is_of_the_same(&cleared, true));
    }

    proptest! {
        /// Wherever the journals part, it is found, in few rounds.
        #[test]
        fn the_place_is_found(low in 0_u64..1_000, open in 0_u64..1_000_000_000, part in 0_u64..1_000_000_000, most in 1_u64..40) {
            let (high, part) = (low + open, low + part.min(open));
            let mut search = Search::new(low, high);
            let mut rounds = 0;
            while search.found().is_none() {
                for at in search.questions(most) {
                    if at <= part { search.same(at) } else { search.differs(at) }
                }
                rounds += 1;
                prop_assert!(rounds <= 31, "{search:?}");
            }
            prop_assert_eq!(search.found(), Some(part));
        }
    }
}
