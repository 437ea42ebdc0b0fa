//! Changes: one fact each for the journal. They are what the cloud gets, exactly once.
//!
//! Personal data stays on the box: a change names a stay by its reservation number and never carries
//! the guest's name.

use crate::ids::{CommandKey, DeviceId, FoundId, LinkId, PointId, PostingNumber};
use crate::{
    Alert, ChargeState, CommandOutcome, CommandSource, Date, DateTime, DeviceState, Money, PostingState,
    Quality, Role, RoomFlags, RoomId, StayEnd, StayId, Timestamp, Value, WakeId, WakeState,
};
use serde::{Deserialize, Serialize};

/// The lanes of the journal, most urgent first. Each has a cursor of its own on the way to the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Outcomes of commands.
    Control,
    /// Alerts and the health of links and devices.
    Alarms,
    /// Stays, rooms, postings, set points: what guests and money hang on.
    Stays,
    /// Who asked what.
    Audit,
    /// Values of points.
    Telemetry,
    /// What is large and nobody waits for: diagnostics bundles.
    Bulk,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 6] =
        [Self::Control, Self::Alarms, Self::Stays, Self::Audit, Self::Telemetry, Self::Bulk];

    /// The lane's number on the wire and in the journal; never reused.
    pub const fn number(self) -> u8 {
        match self {
            Self::Control => 1,
            Self::Alarms => 2,
            Self::Stays => 3,
            Self::Audit => 4,
            Self::Telemetry => 5,
            Self::Bulk => 6,
        }
    }

    /// The lane with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.number() == number)
    }
}

/// One thing that has changed in the property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// A guest has come.
    CheckedIn {
        /// Whose stay.
        stay: StayId,
        /// Where.
        room: RoomId,
        /// BCP 47 tag.
        language: Option<String>,
        /// Day of arrival.
        arrival: Option<Date>,
        /// Day of departure.
        departure: Option<Date>,
    },
    /// A stay's particulars have changed.
    StayChanged {
        /// Whose stay.
        stay: StayId,
        /// Where.
        room: RoomId,
        /// BCP 47 tag.
        language: Option<String>,
        /// Day of arrival.
        arrival: Option<Date>,
        /// Day of departure.
        departure: Option<Date>,
    },
    /// A guest has moved.
    Moved {
        /// Whose stay.
        stay: StayId,
        /// The old room.
        from: RoomId,
        /// The new room.
        to: RoomId,
    },
    /// A guest has left.
    CheckedOut {
        /// Whose stay.
        stay: StayId,
        /// Where from.
        room: RoomId,
        /// Why the house thinks so.
        reason: StayEnd,
    },
    /// A guest chose a set point at the wall.
    ComfortChosen {
        /// Whose stay.
        stay: StayId,
        /// Where.
        room: RoomId,
        /// °C.
        setpoint: f64,
    },
    /// A room's equipment flags have changed (only the changed ones are there).
    RoomFlagged {
        /// Which room.
        room: RoomId,
        /// What has changed.
        flags: RoomFlags,
    },
    /// A room's housekeeping status or door sign has been reported.
    RoomStatus {
        /// Which room.
        room: RoomId,
        /// The status or sign.
        status: String,
    },
    /// The business date has turned.
    BusinessDate {
        /// The new date.
        date: Date,
    },
    /// Night audit has begun or is over.
    NightAudit {
        /// True while it runs.
        running: bool,
        /// Of which PMS, in a house with several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<LinkId>,
    },
    /// A resync of the PMS's list has begun, ended, or been cut.
    Resync {
        /// `begun`, `done`, `cut`.
        phase: String,
        /// Stays seen in the list, at its end.
        listed: Option<u32>,
        /// Of which PMS, in a house with several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<LinkId>,
    },
    /// A posting has changed its state.
    Posting {
        /// P#.
        number: PostingNumber,
        /// The command's key.
        key: CommandKey,
        /// The room.
        room: RoomId,
        /// The stay.
        stay: Option<StayId>,
        /// How much.
        amount: Money,
        /// What for.
        text: String,
        /// The outlet.
        outlet: Option<String>,
        /// The new state.
        state: PostingState,
        /// AS, where the PMS answered.
        answer: Option<String>,
    },
    /// The house wants a point written.
    Ordered {
        /// The order's key.
        key: CommandKey,
        /// Where to.
        point: PointId,
        /// The room.
        room: Option<RoomId>,
        /// What to.
        value: Value,
        /// Who asked.
        source: CommandSource,
        /// `check-in`, `check-out`, `move`, `command`.
        reason: String,
    },
    /// An order has ended: one such change for each order.
    OrderEnded {
        /// The order's key.
        key: CommandKey,
        /// Where to.
        point: PointId,
        /// The room.
        room: Option<RoomId>,
        /// What to.
        value: Value,
        /// How.
        outcome: CommandOutcome,
    },
    /// A command has been accepted.
    CommandAccepted {
        /// Its key.
        key: CommandKey,
        /// Who asked.
        source: CommandSource,
        /// What was asked, in the command's own form.
        action: crate::Action,
    },
    /// A command has ended: one such change for each command.
    CommandEnded {
        /// Its key.
        key: CommandKey,
        /// How.
        outcome: CommandOutcome,
    },
    /// A point has a new value.
    Reported {
        /// Which.
        point: PointId,
        /// The room.
        room: Option<RoomId>,
        /// What the point is to its room; absent in rows of older releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
        /// The value.
        value: Option<Value>,
        /// How far it can be trusted.
        quality: Quality,
        /// When the device had it.
        sampled: Timestamp,
    },
    /// A device's health has changed.
    DeviceHealth {
        /// Which.
        device: DeviceId,
        /// The room.
        room: Option<RoomId>,
        /// Well or not.
        state: DeviceState,
        /// Why.
        reason: Option<String>,
    },
    /// A device was found that waits to be placed in a room.
    DeviceFound {
        /// Which.
        id: FoundId,
        /// Its name, for people.
        name: String,
        /// Who makes it.
        make: Option<String>,
        /// Which it is.
        model: Option<String>,
    },
    /// A found device waits no more: it was placed, has taken back what it told, or was dropped.
    DeviceFoundGone {
        /// Which.
        id: FoundId,
    },
    /// A link went up or down.
    Link {
        /// Which.
        link: LinkId,
        /// True while it can be used.
        up: bool,
        /// Why.
        detail: String,
    },
    /// An alert was raised, raised again, or cleared.
    Alert {
        /// The alert as it is now.
        alert: Alert,
    },
    /// What was held on a guest is erased: whoever has a copy of the stay's particulars drops it.
    Erased {
        /// The signed tombstone.
        #[serde(flatten)]
        erasure: crate::Erasure,
    },
    /// The end of the audit trail of personal data: a trail that is cut or made anew later does not fit it.
    AuditHead {
        /// The number of its newest row.
        rows: u64,
        /// The digest of that row (SHA-256, hexadecimal).
        hash: String,
    },
    /// The agent has started.
    Started {
        /// False after a crash or power cut.
        clean: bool,
    },
    /// A wake-up call was asked for, has moved with its guest, rings, or has ended.
    WakeUp {
        /// Which.
        id: WakeId,
        /// Where.
        room: RoomId,
        /// Whose, where that is known.
        stay: Option<StayId>,
        /// When, on the clocks of the property.
        at: DateTime,
        /// How far it has come.
        state: WakeState,
        /// How often it has rung.
        rings: u8,
    },
    /// A guest is expected, or no longer.
    ArrivalExpected {
        /// The reservation.
        stay: StayId,
        /// The room.
        room: RoomId,
        /// When, as far as it is known; `None`: no longer.
        eta: Option<Timestamp>,
    },
    /// A charge was proposed, accepted, declined, or forgotten.
    ChargeProposed {
        /// Its number.
        charge: u32,
        /// The room.
        room: RoomId,
        /// What for.
        text: String,
        /// How much, where the rule says so.
        amount: Option<Money>,
        /// The stay, where there was only one in the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stay: Option<StayId>,
        /// What has become of it.
        state: ChargeState,
    },
    /// Something happened at the front desk: a message, a key.
    Desk {
        /// What.
        what: crate::DeskEvent,
    },
    /// What a point told in a minute or an hour, where the journal was too full for every value.
    Summary {
        /// Which.
        point: PointId,
        /// The room.
        room: Option<RoomId>,
        /// What the point is to its room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
        /// When the device had the first value.
        since: Timestamp,
        /// When the device had the last one.
        until: Timestamp,
        /// How many values there were.
        count: u32,
        /// How many of them were good numbers (on/off counts as 1/0): of these are the next three.
        good: u32,
        /// The least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// The greatest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
        /// Their mean, each counted once however long it stood, to thousandths.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mean: Option<f64>,
        /// The last value.
        last: Option<Value>,
        /// How far the last value can be trusted.
        quality: Quality,
    },
    /// A gap record: numbers of this lane right before this row's own no longer have rows, and why.
    Thinned {
        /// How many numbers before this row's own are without a row.
        numbers: u64,
        /// Measured values that the rows right after this one stand for.
        values: u64,
        /// How many rows these are.
        into: u64,
        /// Measured values that nothing stands for any more.
        lost: u64,
        /// The first of all of them was written then.
        since: Timestamp,
        /// The last one then.
        until: Timestamp,
        /// What has become of them; where several things, the gravest.
        how: crate::Thinning,
    },
    /// A number without a row: the next [`Change::Thinned`] of its lane says why. It is sent in the place of the row, and
    /// stored nowhere.
    Absent {},
    /// The journal has begun a new life, with numbers from 1.
    EpochBegan {
        /// The id of the life before.
        previous: u64,
        /// Why.
        reason: crate::EpochReason,
        /// How far its lanes were, as far as this copy knows.
        lanes: Vec<crate::LaneEnd>,
    },
    /// More of how a command ended; its end follows on the same lane.
    CommandNoted {
        /// The command's key.
        key: CommandKey,
        /// In plain words.
        note: String,
    },
    /// A piece of a diagnostics bundle.
    BundlePiece {
        /// The key of the command that asked for it.
        key: CommandKey,
        /// The piece.
        #[serde(flatten)]
        piece: crate::BundlePiece,
    },
    /// What the house knows of a setting that both ends may change.
    Setting {
        /// Its name.
        name: String,
        /// All that is known.
        register: Box<crate::settings::Register>,
    },
    /// Something of a setting for the record: a conflict with both values, a clock that is ahead, a write of the wrong end.
    SettingNote {
        /// Its name.
        name: String,
        /// What.
        note: Box<crate::settings::Note>,
    },
    /// What a guest prefers; written only where the house shares it.
    Preference {
        /// Whose.
        stay: StayId,
        /// Which preference.
        name: String,
        /// All that is known; `None`: it was erased.
        register: Option<Box<crate::settings::Register>>,
    },
    /// A step of an update of the agent itself.
    Update {
        /// Which, of which release.
        #[serde(flatten)]
        update: crate::UpdateNote,
    },
}

impl Change {
    /// The lane that the change travels on.
    pub fn lane(&self) -> Lane {
        match self {
            Self::CommandEnded { .. } | Self::CommandNoted { .. } => Lane::Control,
            Self::BundlePiece { .. } => Lane::Bulk,
            Self::Alert { .. }
            | Self::Link { .. }
            | Self::DeviceHealth { .. }
            | Self::DeviceFound { .. }
            | Self::DeviceFoundGone { .. }
            | Self::Started { .. }
            | Self::EpochBegan { .. } => Lane::Alarms,
            Self::CommandAccepted { .. }
            | Self::AuditHead { .. }
            | Self::SettingNote { .. }
            | Self::Update { .. } => Lane::Audit,
            Self::Reported { .. } | Self::Summary { .. } | Self::Thinned { .. } | Self::Absent {} => {
                Lane::Telemetry
            }
            _ => Lane::Stays,
        }
    }

    /// The name of the kind, as in the serialized form.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CheckedIn { .. } => "checked_in",
            Self::StayChanged { .. } => "stay_changed",
            Self::Moved { .. } => "moved",
            Self::CheckedOut { .. } => "checked_out",
            Self::ComfortChosen { .. } => "comfort_chosen",
            Self::RoomFlagged { .. } => "room_flagged",
            Self::RoomStatus { .. } => "room_status",
            Self::BusinessDate { .. } => "business_date",
            Self::NightAudit { .. } => "night_audit",
            Self::Resync { .. } => "resync",
            Self::Posting { .. } => "posting",
            Self::Ordered { .. } => "ordered",
            Self::OrderEnded { .. } => "order_ended",
            Self::CommandAccepted { .. } => "command_accepted",
            Self::CommandEnded { .. } => "command_ended",
            Self::Reported { .. } => "reported",
            Self::DeviceHealth { .. } => "device_health",
            Self::DeviceFound { .. } => "device_found",
            Self::DeviceFoundGone { .. } => "device_found_gone",
            Self::Link { .. } => "link",
            Self::Alert { .. } => "alert",
            Self::Erased { .. } => "erased",
            Self::AuditHead { .. } => "audit_head",
            Self::Started { .. } => "started",
            Self::WakeUp { .. } => "wake_up",
            Self::ArrivalExpected { .. } => "arrival_expected",
            Self::ChargeProposed { .. } => "charge_proposed",
            Self::Desk { .. } => "desk",
            Self::Summary { .. } => "summary",
            Self::Thinned { .. } => "thinned",
            Self::Absent {} => "absent",
            Self::EpochBegan { .. } => "epoch_began",
            Self::CommandNoted { .. } => "command_noted",
            Self::BundlePiece { .. } => "bundle_piece",
            Self::Setting { .. } => "setting",
            Self::SettingNote { .. } => "setting_note",
            Self::Preference { .. } => "preference",
            Self::Update { .. } => "update",
        }
    }
}
