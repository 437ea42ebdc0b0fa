//! What guests are told on a screen, a telephone or a panel in their room.
//!
//! The model says what there is to tell and in which language; the words are found by whoever shows it. No name is in it.

use crate::ids::CommandKey;
use crate::{DateTime, RoomId};
use serde::{Deserialize, Serialize};

/// One thing that a guest is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum GuestText {
    /// Somebody has checked in.
    Welcome,
    /// The last guest of the room has checked out.
    Goodbye,
    /// A wake-up call is noted.
    WakeUpSet {
        /// When, on the clocks of the property.
        at: DateTime,
    },
    /// A wake-up call is taken back.
    WakeUpCleared {
        /// When it would have been.
        at: DateTime,
    },
    /// A message waits at reception.
    Message,
    /// What was asked for from the room can't be done.
    Error {
        /// The command that asked.
        key: CommandKey,
        /// Why, as far as it concerns a guest.
        why: GuestError,
    },
}

/// Why something that a guest asked for can't be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestError {
    /// It may work in a few minutes: the PMS is away.
    Later,
    /// Not from the room: reception can help.
    Refused,
    /// The time that was asked for is over.
    Time,
}

/// What is to be told in one room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldGuest {
    /// Where.
    pub room: RoomId,
    /// The guest's language (BCP 47), where it is known.
    pub language: Option<String>,
    /// What.
    #[serde(flatten)]
    pub text: GuestText,
}
