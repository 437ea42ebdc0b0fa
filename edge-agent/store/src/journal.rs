//! Rows of the journal as they are read back.

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    /// Its lane's number.
    pub lane: u8,
    /// Dense within the lane, from 1.
    pub seq: u64,
    /// When it happened, microseconds since the Unix epoch, UTC.
    pub at_micros: i64,
    /// The kind of change.
    pub kind: String,
    /// The change as JSON.
    pub body: Vec<u8>,
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
}
