//! Commands: what staff, the cloud or another system asks of the house.

use crate::ids::{CommandKey, DeviceId, PointId};
use crate::settings::{Register, SettingValue};
use crate::{Date, DateTime, Money, Role, RoomId, StayId, Timestamp, Value, WakeId};
use serde::{Deserialize, Serialize};

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandSource {
    /// The cloud, through the durable inbox.
    Cloud,
    /// The local command line or API.
    Local,
    /// A message on the house's MQTT topics.
    Mqtt,
    /// A rule of the house.
    Rule,
}

/// A command with its idempotency key: asking twice does once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The idempotency key.
    pub key: CommandKey,
    /// Who asked.
    pub source: CommandSource,
    /// After this instant it is not carried out any more.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// What to do.
    pub action: Action,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Write the point that plays `role` in `room`, in its engineering unit.
    SetRole {
        /// The room.
        room: RoomId,
        /// Which point of the room.
        role: Role,
        /// The value to hold.
        value: Value,
    },
    /// Write one point by its name.
    SetPoint {
        /// The point.
        point: PointId,
        /// The value to hold.
        value: Value,
    },
    /// Charge a guest (FIAS PS).
    Post {
        /// The room.
        room: RoomId,
        /// The stay to charge, where it is known.
        #[serde(default)]
        stay: Option<StayId>,
        /// How much.
        amount: Money,
        /// What for; no personal data.
        text: String,
        /// The outlet, as the PMS names it.
        #[serde(default)]
        outlet: Option<String>,
    },
    /// Report the housekeeping status of a room (FIAS RE/RS): `dirty-vacant`, `dirty-occupied`,
    /// `clean-vacant`, `clean-occupied`, `inspected-vacant`, `inspected-occupied`.
    RoomStatus {
        /// The room.
        room: RoomId,
        /// The status.
        status: String,
    },
    /// Report the door sign of a room (FIAS RE/RS): `do-not-disturb`, `make-up`, `off`.
    Service {
        /// The room.
        room: RoomId,
        /// The sign.
        sign: String,
    },
    /// Forget what was learnt of a device on its bus (ranges that it refuses), and find it out anew.
    ForgetLearnt {
        /// The device.
        device: DeviceId,
    },
    /// Ask the PMS for the list of the house (FIAS DR).
    Resync,
    /// Wake the guest of a room at a time on the clocks of the property.
    WakeUp {
        /// The room.
        room: RoomId,
        /// Date and time without a zone, such as `2026-10-25T06:30:00`.
        at: DateTime,
        /// Whose call it is, where several share the room.
        #[serde(default)]
        stay: Option<StayId>,
    },
    /// Take a wake-up call back.
    CancelWakeUp {
        /// The room.
        room: RoomId,
        /// Which; all of the room where absent.
        #[serde(default)]
        at: Option<DateTime>,
    },
    /// The guest answered what rings, or staff have woken the guest.
    WakeAnswered {
        /// The room.
        room: RoomId,
        /// Which call; whatever rings in the room where absent.
        #[serde(default)]
        id: Option<WakeId>,
    },
    /// Somebody is expected in a room: by the day, or to the minute.
    ExpectArrival {
        /// The reservation.
        stay: StayId,
        /// The room.
        room: RoomId,
        /// The day of arrival.
        #[serde(default)]
        date: Option<Date>,
        /// When, where it is known.
        #[serde(default)]
        at: Option<Timestamp>,
    },
    /// An arrival is not expected any more.
    ForgetArrival {
        /// The reservation.
        stay: StayId,
    },
    /// Somebody sees to an alert: it is not escalated further.
    AcknowledgeAlert {
        /// `kind:source`, as alerts are named.
        alert: String,
    },
    /// Accept a proposed charge, which is posted then, or decline it.
    SettleCharge {
        /// Its number.
        charge: u32,
        /// True to post it.
        accept: bool,
        /// How much; where absent, as proposed.
        #[serde(default)]
        amount: Option<Money>,
    },
    /// Charge an outlet's check with its particulars (FIAS PS).
    PostSlip {
        /// The room.
        room: RoomId,
        /// The stay to charge, where it is known.
        #[serde(default)]
        stay: Option<StayId>,
        /// How much, all in all.
        amount: Money,
        /// What for; no personal data.
        text: String,
        /// The outlet, as the PMS names it.
        #[serde(default)]
        outlet: Option<String>,
        /// The check.
        slip: crate::Slip,
    },
    /// Charge what was taken from a minibar; the PMS knows the prices (FIAS PS, PT M).
    PostMinibar {
        /// The room.
        room: RoomId,
        /// What was taken.
        items: Vec<crate::Article>,
    },
    /// Charge a telephone call (FIAS PS, PT T).
    PostCall {
        /// The room.
        room: RoomId,
        /// How much, where the exchange has priced it.
        #[serde(default)]
        amount: Option<Money>,
        /// The call.
        call: crate::Call,
    },
    /// Charge one guest among several in a room, by name (FIAS PR).
    PostToGuest {
        /// The room.
        room: RoomId,
        /// Whom.
        stay: StayId,
        /// How much.
        amount: Money,
        /// What for; no personal data.
        text: String,
        /// The outlet, as the PMS names it.
        #[serde(default)]
        outlet: Option<String>,
    },
    /// Fetch a guest's messages from the PMS (FIAS XM).
    ReadMessages {
        /// The room.
        room: RoomId,
        /// Whose; may be left out where one guest is in the room.
        #[serde(default)]
        stay: Option<StayId>,
        /// Only this one.
        #[serde(default)]
        message: Option<String>,
        /// They stay unread in the PMS.
        #[serde(default)]
        keep_unread: bool,
    },
    /// The guest has read a message (FIAS XD).
    MessageRead {
        /// The room.
        room: RoomId,
        /// Whose; may be left out where one guest is in the room.
        #[serde(default)]
        stay: Option<StayId>,
        /// Which.
        message: String,
    },
    /// Leave a message for a guest at the PMS (FIAS XL).
    LeaveMessage {
        /// The room.
        room: RoomId,
        /// Whose; may be left out where one guest is in the room.
        #[serde(default)]
        stay: Option<StayId>,
        /// What it says.
        text: crate::Personal<String>,
    },
    /// Fetch a guest's bill from the PMS (FIAS XR).
    AskBill {
        /// The room.
        room: RoomId,
        /// Whose; may be left out where one guest is in the room.
        #[serde(default)]
        stay: Option<StayId>,
    },
    /// Check a guest out at the PMS (FIAS XC). The bill must have been asked for before.
    RemoteCheckOut {
        /// The room.
        room: RoomId,
        /// Whom; may be left out where one guest is in the room.
        #[serde(default)]
        stay: Option<StayId>,
        /// The balance that the guest has seen; it must be the bill's.
        balance: Money,
    },
    /// Ask the PMS where a guest can be found (FIAS LP).
    Locate {
        /// The room.
        room: RoomId,
        /// Whom; may be left out where one guest is in the room.
        #[serde(default)]
        stay: Option<StayId>,
    },
    /// Look guests up in the PMS by room or name (FIAS PR).
    FindGuests {
        /// A room number or (the beginning of) a name, at most 10 characters.
        query: crate::Personal<String>,
        /// The outlet that asks, as the PMS names it.
        #[serde(default)]
        outlet: Option<String>,
        /// How many at most.
        #[serde(default)]
        most: Option<u8>,
    },
    /// Tell the PMS of a room: status with who reports it, a note that it prints, waiting voice mail (FIAS RE).
    RoomReport {
        /// The room.
        room: RoomId,
        /// What.
        report: crate::RoomReport,
    },
    /// Answer a key request of the PMS, as the encoder's driver (FIAS KA).
    AnswerKey {
        /// The encoder (KC).
        coder: String,
        /// The clerk's workstation (WS), where the request had one.
        #[serde(default)]
        workstation: Option<String>,
        /// `OK`, `BY` (busy), `UR` (not possible), `NG` (unknown room), `DN` (denied).
        status: String,
        /// For the clerk.
        #[serde(default)]
        text: Option<String>,
        /// The number of the card that was made, in hexadecimal text.
        #[serde(default)]
        card: Option<crate::Personal<String>>,
        /// The room of a card that was read.
        #[serde(default)]
        room: Option<RoomId>,
    },
    /// Ask one PMS, or all, for the list of the house.
    AskList {
        /// Which; all where absent.
        #[serde(default)]
        link: Option<crate::LinkId>,
        /// The list that comes is believed whatever it says, also where it checks out most of the house.
        #[serde(default)]
        accept: bool,
    },
    /// Read the agent's configuration again, and take what can be taken while it runs.
    Reload {
        /// Who asks, for the audit: a login, no guest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Gather a diagnostics bundle, without anybody's data, and send it to the cloud.
    Diagnose {
        /// Who asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Tell the cloud values as they come, beside the journal, and keep none of them.
    Tail {
        /// Whose points.
        of: crate::Watched,
        /// How long, seconds: 1 to [`crate::LONGEST_TAIL_S`].
        for_s: u32,
        /// Who asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// End a tail before its time.
    EndTail {
        /// The key of its command.
        tail: CommandKey,
        /// Who asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Install a release.
    Update {
        /// Which, by semantic versioning.
        version: String,
        /// Where it comes from: `stable`, `beta`, `nightly`.
        channel: String,
        /// When it may be installed; at any time where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<crate::UpdateWindow>,
        /// The folder of a repository on this gateway, such as a stick; the cloud's where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// Whoever asks has seen that the gateway's clock is right: metadata's expiry is judged by it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        clock_is_right: bool,
        /// Who asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Change a setting of the property, at the gateway.
    SetSetting {
        /// Its name.
        name: String,
        /// Its value; absent: the configuration's again.
        #[serde(default)]
        value: Option<SettingValue>,
        /// Who, as staff call themselves.
        #[serde(default)]
        by: Option<String>,
    },
    /// Take in what the cloud knows of a setting.
    MergeSetting {
        /// Its name.
        name: String,
        /// All that the cloud knows.
        document: Box<Register>,
    },
    /// Note what a guest in the house prefers.
    SetPreference {
        /// Whose.
        stay: StayId,
        /// Which preference.
        name: String,
        /// What; absent: nothing any more.
        #[serde(default)]
        wish: Option<SettingValue>,
        /// Who noted it.
        #[serde(default)]
        by: Option<String>,
    },
    /// Take in what the cloud knows of a guest's preference.
    MergePreference {
        /// Whose.
        stay: StayId,
        /// Which preference.
        name: String,
        /// All that the cloud knows; absent: it was erased.
        #[serde(default)]
        register: Option<Box<Register>>,
    },
}

impl Action {
    /// The stay that news to the front desk is about, where it names one.
    pub(crate) fn news_of(&self) -> Option<&StayId> {
        match self {
            Self::LeaveMessage { stay, .. } | Self::MessageRead { stay, .. } => stay.as_ref(),
            Self::SetPreference { stay, .. } | Self::MergePreference { stay, .. } => Some(stay),
            _ => None,
        }
    }

    /// Who asks, where the action says so.
    pub fn asked_by(&self) -> Option<&str> {
        match self {
            Self::Reload { by }
            | Self::Diagnose { by }
            | Self::Tail { by, .. }
            | Self::EndTail { by, .. }
            | Self::Update { by, .. } => by.as_deref(),
            _ => None,
        }
    }

    /// Says who asks, where the action can say so.
    #[must_use]
    pub fn by(mut self, who: &str) -> Self {
        if let Self::Reload { by }
        | Self::Diagnose { by }
        | Self::Tail { by, .. }
        | Self::EndTail { by, .. }
        | Self::Update { by, .. } = &mut self
        {
            *by = Some(who.to_owned());
        }
        self
    }

    /// Which task of the gateway's upkeep it is, where it is one.
    pub(crate) fn asked_kind(&self) -> Option<&'static str> {
        Some(match self {
            Self::Reload { .. } => "reload",
            Self::Diagnose { .. } => "diagnose",
            Self::Tail { .. } => "tail",
            Self::EndTail { .. } => "end-tail",
            Self::Update { .. } => "update",
            _ => return None,
        })
    }

    /// The action as the journal may have it: what is personal in it is replaced by a placeholder.
    #[must_use]
    pub fn without_personal(&self) -> Self {
        let hidden = || crate::Personal::new("[personal]".to_owned());
        let mut action = self.clone();
        match &mut action {
            Self::LeaveMessage { text, .. } => *text = hidden(),
            Self::FindGuests { query, .. } => *query = hidden(),
            Self::PostCall { call, .. } => call.dialled = call.dialled.take().map(|_| hidden()),
            Self::RoomReport { report, .. } => report.note = report.note.take().map(|_| hidden()),
            Self::AnswerKey { card, .. } => *card = card.take().map(|_| hidden()),
            Self::SetPreference { wish, by, .. } => (*wish, *by) = (None, None),
            Self::MergePreference { register, .. } => *register = None,
            _ => {}
        }
        action
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum CommandOutcome {
    /// Done, and verified where that can be.
    Done,
    /// Not done, and it will not be.
    Refused {
        /// Why, in plain words.
        reason: String,
    },
    /// It may have been done: staff must look.
    Doubtful {
        /// What is not known.
        reason: String,
    },
    /// A newer command for the same thing took its place before it was carried out.
    Superseded,
    /// Its time ran out before it could be carried out.
    Expired,
}
