//! Faults of a sync that are put into the cloud on purpose, to show that histories find them.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The mark is moved in a transaction of its own, before the rows.
    MarkOutside,
    /// The acknowledgement is sent before the commit.
    AckBeforeCommit,
    /// Rows at or below the mark are stored again.
    NoDeduplication,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MarkOutside, Self::AckBeforeCommit, Self::NoDeduplication];
}
