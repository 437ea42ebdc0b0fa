//! What the journal says of itself: rows that thinner ones stand for, rows that are gone, and the beginning of a life.

use serde::{Deserialize, Serialize};

/// What has become of measured values that no longer have a row each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thinning {
    /// One row stands for what a point told in a minute.
    PerMinute,
    /// One row stands for what a point told in an hour.
    PerHour,
    /// Nothing stands for them: there was no room for less.
    Dropped,
    /// They never had a row: there was no room for new ones.
    NotWritten,
}

/// How far a lane was in the life of the journal before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneEnd {
    /// Its number.
    pub lane: u8,
    /// The last row that the cloud was known to have.
    pub acknowledged: u64,
    /// The last row written. Those above `acknowledged` are in the new life, too, in the same order, from its first
    /// number on (in the lane of alarms from its second): row n of the old life is n - `acknowledged` of the new.
    pub head: u64,
}

/// Why the journal has begun a new life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochReason {
    /// The database is a backup that was put back, or another copy of itself at an earlier time.
    Restored,
    /// The database was made on another machine.
    Moved,
}

/// A part of what the house stores on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoragePart {
    /// The disk as a whole.
    Disk,
    /// The share of the journal, which waits for the cloud.
    Journal,
}

impl StoragePart {
    /// The part's word, as it is stored; never renamed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Journal => "journal",
        }
    }
}
