//! The day, known before it begins: who arrives, moves, pays, opens a window and leaves, and when.
//!
//! Why up front and pure: the same seed is the same day, so that two runs can be compared, and what must hold of any
//! day (nobody moves who is not there) can be tested without playing it.
//!
//! What the gaps are for: [`STAY_GAP_MS`] lies between two PMS records of one stay, so that a gateway that was
//! killed and came back in between sees each state once; [`ROOM_GAP_MS`] lies between two records about one room,
//! so that the room's set point arrives before the next one is wanted; a guest turns the wall knob only when the
//! room has been quiet for [`QUIET_BEFORE_MS`] and stays so for [`QUIET_AFTER_MS`].

mod build;
mod guests;
#[cfg(test)]
mod tests;

pub(crate) use build::plan;

/// The shortest day that keeps its gaps, seconds.
pub(crate) const SHORTEST_S: u64 = 60;
/// Between two PMS records of one stay, ms of play.
pub(crate) const STAY_GAP_MS: u64 = 8_000;
/// Between two PMS records about one room, ms of play.
pub(crate) const ROOM_GAP_MS: u64 = 3_000;
/// From a PMS record about a room to a turn of its wall knob, ms of play.
pub(crate) const QUIET_BEFORE_MS: u64 = 4_000;
/// From a turn of the wall knob to the next PMS record about the room, ms of play.
pub(crate) const QUIET_AFTER_MS: u64 = 3_000;

/// A guest, as the PMS knows them. All are invented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// G#: the reservation number.
    pub(crate) stay: String,
    /// GN.
    pub(crate) name: &'static str,
    /// GF.
    pub(crate) first_name: &'static str,
    /// GT.
    pub(crate) title: &'static str,
    /// GL, in the PMS's codes.
    pub(crate) language: &'static str,
    /// True where nothing may be charged to the room (field NP).
    pub(crate) no_post: bool,
}

/// A charge at a till.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// The idempotency key.
    pub(crate) key: String,
    /// Whose room.
    pub(crate) room: String,
    /// Whose bill.
    pub(crate) stay: String,
    /// How much, in minor units.
    pub(crate) minor: i64,
    /// What for: the till's words with the slip's number, so no two are the same.
    pub(crate) text: String,
    /// The outlet.
    pub(crate) outlet: &'static str,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// A guest arrives.
    CheckIn { guest: Guest, room: String },
    /// A guest gets another room.
    Move { stay: String, from: String, to: String },
    /// A guest leaves.
    CheckOut { stay: String, room: String },
    /// Night audit begins (true) or is over.
    Audit { begins: bool },
    /// Somebody pays with the room.
    Charge(Charge),
    /// A guest turns the knob on the wall.
    Wall { room: String, celsius: f64 },
    /// A window is opened or closed.
    Window { room: String, open: bool },
    /// Somebody comes home, or the last one goes out.
    Presence { room: String, present: bool },
}

impl What {
    /// True for what the PMS tells the gateway.
    pub(crate) fn is_of_pms(&self) -> bool {
        matches!(self, Self::CheckIn { .. } | Self::Move { .. } | Self::CheckOut { .. } | Self::Audit { .. })
    }
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Play time, ms.
    pub(crate) at: u64,
    /// What.
    pub(crate) what: What,
}
