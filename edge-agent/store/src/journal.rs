//! Rows of the journal as they are read back.

use crate::thin::numbers_before;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    /// Its lane's number.
    pub lane: u8,
    /// Grows within the lane, from 1. Numbers are left out where rows were thinned away, which the next row tells
    /// ([`Self::tells_from`]). 0 in listings by time: it is of a life of the journal before this one.
    pub seq: u64,
    /// When it happened, microseconds since the Unix epoch, UTC.
    pub at_micros: i64,
    /// The kind of change.
    pub kind: String,
    /// The change as JSON.
    pub body: Vec<u8>,
}

impl JournalRow {
    /// The first of the numbers right before this row's own that have no row any more, and of which it tells what they have
    /// become ([`engawa_model::Change::Thinned`]); its own where there is none.
    pub fn tells_from(&self) -> u64 {
        self.seq.saturating_sub(numbers_before(&self.kind, &self.body)).max(1)
    }
}

/// How far a lane is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneMarks {
    /// Its number.
    pub lane: u8,
    /// The last row written.
    pub head: u64,
    /// The last row that the cloud has.
    pub acked: u64,
    /// Rows up to this number may have been handed out, and are never changed. Kept for telemetry, the only lane whose
    /// rows are changed at all; may be above `head`.
    pub sent: u64,
    /// What its rows take on the disk, the acknowledged ones included, bytes.
    pub bytes: u64,
}
