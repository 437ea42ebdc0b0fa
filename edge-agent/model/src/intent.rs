//! Intents: what the house wants done outside. Emitted only with the changes that caused them, carried
//! out only after these are durable; the outcome comes back as an observation.

use crate::ids::{CommandKey, DeviceId, LinkId, PointId, PostingNumber};
use crate::{CommandSource, DateTime, Money, RoomId, StayId, Timestamp, Value, WakeId, WakeWord};
use serde::{Deserialize, Serialize};

/// Something to be done by a driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    /// Write `value` to `point` and read it back. Answered by `Fact::Written`.
    WritePoint {
        /// The order's idempotency key.
        key: CommandKey,
        /// Where to.
        point: PointId,
        /// In the point's engineering unit.
        value: Value,
        /// After this instant it must not reach the wire.
        expires: Timestamp,
    },
    /// The write with this key is no longer wanted. Not answered: its order has ended.
    WithdrawWrite {
        /// The order's key.
        key: CommandKey,
        /// Where it would have gone.
        point: PointId,
    },
    /// What was noted of the device ([`crate::Fact::Noted`]) is to be found out anew.
    ForgetNote {
        /// Which.
        device: DeviceId,
    },
    /// Send one posting to the PMS. Its number is durable. Answered by `Fact::PostingAnswered`,
    /// `Fact::PostingUnanswered`, or `Fact::PostingNotSent`.
    SendPosting {
        /// P#.
        number: PostingNumber,
        /// The room.
        room: RoomId,
        /// The stay, where it is known.
        stay: Option<StayId>,
        /// How much.
        amount: Money,
        /// What for.
        text: String,
        /// The outlet.
        outlet: Option<String>,
        /// What kind of charge it is.
        #[serde(default, skip_serializing_if = "crate::PostingDetail::is_plain")]
        detail: crate::PostingDetail,
    },
    /// Tell the PMS a room's status (RE with RS). Answered by `Fact::StatusSent`.
    SendRoomStatus {
        /// The command's key.
        key: CommandKey,
        /// The room.
        room: RoomId,
        /// A status or a door sign, as in [`crate::Action`]; the link maps it to the site's code.
        status: String,
    },
    /// Ask the PMS for the list of the house (DR).
    RequestResync,
    /// Ring in a room until somebody answers. Answered by [`crate::Action::WakeAnswered`].
    Wake {
        /// The call.
        id: WakeId,
        /// Where.
        room: RoomId,
        /// What time it is for the guest, on the clocks of the property.
        at: DateTime,
        /// The guest's language, BCP 47.
        language: Option<String>,
        /// Which ring it is, from 1.
        ring: u8,
    },
    /// Nothing is to ring in the room any more. Not answered.
    EndWake {
        /// The call.
        id: WakeId,
        /// Where.
        room: RoomId,
    },
    /// Tell the PMS of a wake-up call (WR, WC, WA). Answered by `Fact::WakeUpTold`.
    TellWakeUp {
        /// The call.
        id: WakeId,
        /// RN.
        room: RoomId,
        /// DA and TI.
        at: DateTime,
        /// TI as the PMS wrote it, where it asked for the call.
        time: Option<String>,
        /// What to tell.
        word: WakeWord,
    },
    /// Ask or tell the PMS's front desk something. Answered by `PmsFact::Answered`, `Unanswered`, `Sent` or `NotSent`.
    AskPms {
        /// The command's key.
        key: CommandKey,
        /// What.
        request: crate::PmsRequest,
    },
    /// Answer a key request of the PMS (KA, KZ). Not answered: the PMS waits for it, or has stopped waiting.
    AnswerKey {
        /// With what.
        answer: crate::KeyAnswer,
    },
    /// Something for a further PMS link ([`crate::PMS_LINK`] is the first).
    AtLink {
        /// Which.
        link: LinkId,
        /// What.
        what: Box<Intent>,
    },
    /// Tell the guests of a room something, where there is anything that can show it. Not answered.
    TellGuest {
        /// What, where, in which language.
        told: crate::ToldGuest,
    },
    /// Look after the agent itself. Answered by `Fact::UpkeepDone`; an end of a tail by the end of the tail.
    Upkeep {
        /// The command's key.
        key: CommandKey,
        /// What.
        task: crate::Upkeep,
    },
}

impl Intent {
    /// The room that the intent is about, where it is for the PMS: it tells for which.
    pub fn pms_room(&self) -> Option<&RoomId> {
        match self {
            Self::SendPosting { room, .. }
            | Self::SendRoomStatus { room, .. }
            | Self::TellWakeUp { room, .. } => Some(room),
            Self::AskPms { request, .. } => request.room(),
            Self::WritePoint { .. }
            | Self::WithdrawWrite { .. }
            | Self::ForgetNote { .. }
            | Self::RequestResync
            | Self::Wake { .. }
            | Self::EndWake { .. }
            // Goes to the PMS that asked: the house says so itself.
            | Self::AnswerKey { .. }
            | Self::TellGuest { .. }
            | Self::Upkeep { .. }
            | Self::AtLink { .. } => None,
        }
    }
}

/// How far an order (a write that the house owes) has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Wanted; may be on the wire. Given to the driver again after a restart.
    Pending,
    /// Written and read back.
    Done,
    /// Given up, with its reason.
    Failed,
    /// Replaced by a newer order for the same point.
    Superseded,
    /// Its time ran out.
    Expired,
}

/// A write that the house owes a device, or has made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The idempotency key: from the command, or made by the rule.
    pub key: CommandKey,
    /// Where to.
    pub point: PointId,
    /// The room of the device.
    pub room: Option<RoomId>,
    /// What to.
    pub value: Value,
    /// Who asked.
    pub source: CommandSource,
    /// Why: `check-in`, `check-out`, `move`, `command`.
    pub reason: String,
    /// When it was asked.
    pub asked: Timestamp,
    /// After this instant it must not reach the wire.
    pub expires: Timestamp,
    /// How far it has come.
    pub state: OrderState,
}
