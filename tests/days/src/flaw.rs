//! Faults that are put into the house on purpose, to show that a day finds them.

use engawa_model::{Fact, Property};

/// A fault of a gateway that was seen in the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A vacant room in a list empties the room at once, though its guest comes later in the list.
    VacantAtOnce,
    /// A list that was cut counts as a whole one.
    CutCounts,
    /// A sharer's check-out empties the room.
    SharersLeave,
    /// A check-in record for a known guest in another room is taken for a repeated one.
    MissesMoves,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::VacantAtOnce, Self::CutCounts, Self::SharersLeave, Self::MissesMoves];

    /// What the house is told in place of `fact`.
    pub(crate) fn twist(self, fact: Fact, property: &Property) -> Vec<Fact> {
        match (self, fact) {
            (Self::VacantAtOnce, Fact::GuestGone { room, stay, .. }) => {
                vec![Fact::GuestGone { room, stay, listed: false }]
            }
            (Self::CutCounts, fact @ Fact::Link { up: false, .. }) if property.resync().is_some() => {
                vec![Fact::ResyncDone, fact]
            }
            (Self::SharersLeave, Fact::GuestGone { room, listed, .. }) => {
                vec![Fact::GuestGone { room, stay: None, listed }]
            }
            (Self::MissesMoves, Fact::GuestSeen { stay, room, .. })
                if property.stays().get(&stay).is_some_and(|known| known.room != room) =>
            {
                vec![]
            }
            (_, fact) => vec![fact],
        }
    }
}
