//! Faults of a sync that are put into either end on purpose, to show that histories find them.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The mark is moved in a transaction of its own, before the rows.
    MarkOutside,
    /// The acknowledgement is sent before the commit.
    AckBeforeCommit,
    /// Rows at or below the mark are stored again.
    NoDeduplication,
    /// The cloud does not look at turns, so that a box and its copy both talk.
    NoTurns,
    /// The gateway thins rows that it has from the life before together with new ones, as if the cloud had none of them.
    ThinsTogether,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::MarkOutside, Self::AckBeforeCommit, Self::NoDeduplication, Self::NoTurns, Self::ThinsTogether];
}
