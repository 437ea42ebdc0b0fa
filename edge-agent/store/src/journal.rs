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
    /// Rows up to this number may have been handed out, and are never changed. Kept for telemetry, the only lane whose
    /// rows are changed at all; may be above `head`.
    pub sent: u64,
    /// What its rows take on the disk, the acknowledged ones included, bytes.
    pub bytes: u64,
}
