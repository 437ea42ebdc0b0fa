//! What the house and the PMS's front desk tell each other beyond stays, room flags and charges: messages, bills,
//! remote check-out, keys, locators, look-ups of guests.
//!
//! Texts, names and what was dialled are personal and never leave the box in a change.

use crate::ids::{CommandKey, PostingNumber};
use crate::{Currency, Date, Money, Personal, RoomId, StayId};
use serde::{Deserialize, Serialize};

/// An amount as the PMS writes it: digits without a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PmsAmount {
    /// The digits; negative is a credit.
    pub value: i64,
    /// How many of them are minor, where the site says so; else as many as the currency has.
    pub digits: Option<u8>,
}

impl PmsAmount {
    /// The amount in `currency`. More digits than the currency has are rounded half away from zero.
    pub fn money(self, currency: Currency) -> Money {
        let (has, wants) = (self.digits.unwrap_or(currency.minor_digits()), currency.minor_digits());
        let factor = 10_i64.saturating_pow(u32::from(has.abs_diff(wants)));
        let minor = if wants >= has {
            self.value.saturating_mul(factor)
        } else {
            // The half is added to the magnitude, which always has room for it: a factor is at least 10 here.
            let (whole, rest) = (self.value / factor, self.value % factor);
            whole + if rest.abs() * 2 >= factor { self.value.signum() } else { 0 }
        };
        Money { minor, currency }
    }
}

/// What is asked of a key encoder (FIAS 2.20, KR with KT N, D and O; KM; KD; KZ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// A new key; older ones of the room end.
    New,
    /// One more of the same.
    Duplicate,
    /// A key that opens once.
    OneShot,
    /// The stay's keys open another room, or for longer.
    Moved,
    /// The stay's keys end.
    Withdrawn,
    /// Say what is on a card.
    Read,
}

/// A key that the PMS wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRequest {
    /// What is to be done.
    pub kind: KeyKind,
    /// KC: the encoder.
    pub coder: String,
    /// WS: the clerk's workstation; goes back with the answer.
    pub workstation: Option<String>,
    /// RN; none when a card is to be read.
    pub room: Option<RoomId>,
    /// G#.
    pub stay: Option<StayId>,
    /// RO: the room that the keys opened before.
    pub from: Option<RoomId>,
    /// GA.
    pub arrival: Option<Date>,
    /// GD.
    pub departure: Option<Date>,
    /// DT: when the key ends on the day of departure, `HH:MM`.
    pub until: Option<String>,
    /// KO: further doors, by position, as the PMS writes it.
    pub areas: Option<String>,
    /// SI: further rooms of a suite.
    pub suite: Vec<RoomId>,
}

/// The answer to a [`KeyRequest`] (KA, KZ).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAnswer {
    /// What had been asked.
    pub kind: KeyKind,
    /// KC.
    pub coder: String,
    /// WS.
    pub workstation: Option<String>,
    /// G#.
    pub stay: Option<StayId>,
    /// RN: of a card that was read.
    pub room: Option<RoomId>,
    /// AS: `OK`, `BY`, `UR`, ...
    pub status: String,
    /// CT: shown to the clerk.
    pub text: Option<String>,
    /// $2: the number of the card that was made, in hexadecimal text.
    pub card: Option<Personal<String>>,
}

/// A message for a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// MI.
    pub id: String,
    /// MT.
    pub text: Personal<String>,
    /// True once it was read.
    pub read: bool,
}

/// One line of a guest's bill (XI).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillItem {
    /// F#: the folio.
    pub folio: Option<String>,
    /// FD: false where the guest is not to see it.
    pub shown: bool,
    /// DC: the department.
    pub department: Option<String>,
    /// BD.
    pub text: Option<Personal<String>>,
    /// BI.
    pub amount: PmsAmount,
    /// DA.
    pub date: Option<Date>,
}

/// A guest who was found (PL).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundGuest {
    /// RN.
    pub room: RoomId,
    /// G#.
    pub stay: StayId,
    /// GN.
    pub name: Option<Personal<String>>,
    /// GF.
    pub first_name: Option<Personal<String>>,
    /// GT.
    pub title: Option<Personal<String>>,
    /// GV.
    pub vip: Option<String>,
    /// GA.
    pub arrival: Option<Date>,
    /// GD.
    pub departure: Option<Date>,
    /// NP: the PMS takes no charges for this guest.
    pub no_post: Option<bool>,
    /// CL: the credit limit.
    pub credit_limit: Option<PmsAmount>,
}

/// What the PMS says of itself (LC).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PmsDescription {
    /// A1: the PMS's version.
    pub pms_version: Option<String>,
    /// A2: the interface's version.
    pub interface_version: Option<String>,
    /// A3: the driver's version.
    pub driver_version: Option<String>,
    /// PH: the hotel.
    pub hotel: Option<String>,
    /// RP: methods of payment, as the PMS writes them.
    pub payments: Option<String>,
}

/// What came from the PMS's front desk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum PmsFact {
    /// A message waits for a guest (XL, XT).
    MessageLeft {
        /// RN.
        room: RoomId,
        /// G#.
        stay: Option<StayId>,
        /// The message, without a claim on whether it was read.
        message: Message,
    },
    /// A message was read or deleted (XD).
    MessageGone {
        /// RN.
        room: RoomId,
        /// G#.
        stay: Option<StayId>,
        /// MI.
        message: String,
    },
    /// A line of the bill that was asked for (XI).
    BillLine {
        /// RN.
        room: RoomId,
        /// G#.
        stay: Option<StayId>,
        /// The line.
        item: BillItem,
    },
    /// The bill's balance: it is complete (XB).
    BillBalance {
        /// RN.
        room: RoomId,
        /// G#.
        stay: Option<StayId>,
        /// BA.
        balance: PmsAmount,
    },
    /// A key is wanted (KR, KM, KD, KZ).
    KeyAsked {
        /// What.
        request: KeyRequest,
        /// True where the configuration has this encoder.
        served: bool,
    },
    /// A room's housekeeping status, as the PMS has it (RE with RS).
    RoomStatus {
        /// RN.
        room: RoomId,
        /// A status or sign, as in [`crate::Action::RoomStatus`].
        status: String,
    },
    /// The guests that a look-up has found (PL).
    GuestsFound {
        /// The command that asked.
        key: CommandKey,
        /// Who.
        guests: Vec<FoundGuest>,
    },
    /// Where a guest can be found (LP).
    Located {
        /// The command that asked.
        key: CommandKey,
        /// CT: where.
        place: Personal<String>,
        /// LT: until when, HHMM.
        until: Option<String>,
    },
    /// The PMS's answer to a request.
    Answered {
        /// The command that asked.
        key: CommandKey,
        /// AS; `OK` where the record has none.
        status: String,
        /// CT: the PMS's own words.
        text: Option<String>,
    },
    /// No answer within the time-out.
    Unanswered {
        /// The command that asked.
        key: CommandKey,
    },
    /// A request that has no answer went out.
    Sent {
        /// The command that asked.
        key: CommandKey,
    },
    /// A request did not go out, and why.
    NotSent {
        /// The command that asked.
        key: CommandKey,
        /// In plain words.
        reason: String,
    },
    /// The PMS described itself (LC).
    Described {
        /// As what.
        description: PmsDescription,
    },
}

/// What the house wants of the PMS's front desk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum PmsRequest {
    /// The next message of a stay (XM).
    ReadMessage {
        /// RN.
        room: RoomId,
        /// G#.
        stay: StayId,
        /// MI: this one; none: the next.
        message: Option<String>,
        /// RT 0: it stays unread in the PMS.
        keep_unread: bool,
    },
    /// A message was read in the room (XD).
    MessageRead {
        /// RN.
        room: RoomId,
        /// G#.
        stay: StayId,
        /// MI.
        message: String,
    },
    /// A message for the guest is to be kept by the PMS (XL).
    LeaveMessage {
        /// RN.
        room: RoomId,
        /// G#.
        stay: StayId,
        /// MT.
        text: Personal<String>,
        /// $J: the same for the same message, however often it is sent.
        reference: u32,
    },
    /// The bill of a stay (XR).
    Bill {
        /// RN.
        room: RoomId,
        /// G#.
        stay: StayId,
    },
    /// Check the guest out (XC).
    CheckOut {
        /// RN.
        room: RoomId,
        /// G#.
        stay: StayId,
        /// BA: the balance that the guest has seen.
        balance: Money,
    },
    /// Where a guest can be found (LP).
    Locate {
        /// RN.
        room: RoomId,
        /// G#.
        stay: StayId,
    },
    /// Look a guest up (PR without G#).
    FindGuests {
        /// P#.
        number: PostingNumber,
        /// PI: a room or a name.
        query: Personal<String>,
        /// SO.
        outlet: Option<String>,
        /// MX: how many at most.
        most: Option<u8>,
    },
    /// Tell of a room (RE).
    RoomReport {
        /// RN.
        room: RoomId,
        /// What.
        report: RoomReport,
    },
}

impl PmsRequest {
    /// The room that it is about.
    pub fn room(&self) -> Option<&RoomId> {
        match self {
            Self::ReadMessage { room, .. }
            | Self::MessageRead { room, .. }
            | Self::LeaveMessage { room, .. }
            | Self::Bill { room, .. }
            | Self::CheckOut { room, .. }
            | Self::Locate { room, .. }
            | Self::RoomReport { room, .. } => Some(room),
            Self::FindGuests { .. } => None,
        }
    }
}

/// What the house tells the PMS of a room (RE); at least one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomReport {
    /// RS: a housekeeping status, as in [`crate::Action::RoomStatus`].
    pub status: Option<String>,
    /// PU, with a status only; Suite8 alone knows it.
    pub units: Option<u8>,
    /// ID: who reports, as the PMS knows the person (a maid's number).
    pub user: Option<String>,
    /// CT: a note that the PMS prints.
    pub note: Option<Personal<String>>,
    /// VM: whether voice mail waits, and how much.
    pub voice_mail: Option<VoiceMail>,
}

/// The state of a room's voice mail (VM).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoiceMail {
    /// Messages that were not heard yet.
    pub unheard: u8,
    /// Messages that were heard and kept.
    #[serde(default)]
    pub heard: u8,
}

/// For the journal: what happened at the front desk, without personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum DeskEvent {
    /// A message waits for a guest.
    MessageLeft {
        /// Whose stay.
        stay: StayId,
        /// The PMS's number of the message.
        message: String,
    },
    /// A message was read or deleted.
    MessageGone {
        /// Whose stay.
        stay: StayId,
        /// The PMS's number of the message.
        message: String,
    },
    /// A key is wanted at an encoder of the house.
    KeyAsked {
        /// What.
        request: KeyRequest,
    },
    /// A key request was answered.
    KeyAnswered {
        /// The encoder.
        coder: String,
        /// The room.
        room: Option<RoomId>,
        /// AS.
        status: String,
    },
}
