//! Observations: everything that happens comes in as one of these, with its source and time.

use crate::ids::{CommandKey, DeviceId, FoundId, LinkId, PointId, PostingNumber};
use crate::{
    Command, CommandOutcome, Date, DateTime, DeviceState, FoundAbout, FoundEntity, Personal, Quality, RoomId,
    StayId, Timestamp, Value, WakeId, WakeWord,
};
use serde::{Deserialize, Serialize};

/// Something that happened, and when the gateway noticed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// When, by the gateway's clock.
    pub at: Timestamp,
    /// What.
    pub fact: Fact,
}

impl Observation {
    /// `fact`, noticed at `at`.
    pub fn new(at: Timestamp, fact: Fact) -> Self {
        Self { at, fact }
    }
}

/// How a record of the PMS spoke of a stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// A check-in record (GI): absent fields are unknown.
    In,
    /// A change record (GC): only the fields that are there have changed.
    Changed,
}

/// What a PMS record tells of a guest; fields that it does not carry are `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GuestRecord {
    /// GN.
    pub name: Option<Personal<String>>,
    /// GF.
    pub first_name: Option<Personal<String>>,
    /// GT.
    pub title: Option<Personal<String>>,
    /// GL, as a BCP 47 tag.
    pub language: Option<String>,
    /// GA.
    pub arrival: Option<Date>,
    /// GD.
    pub departure: Option<Date>,
    /// GV.
    pub vip: Option<String>,
    /// Telephone number.
    pub phone: Option<Personal<String>>,
    /// Address for mail.
    pub email: Option<Personal<String>>,
    /// GG: the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// NP: the PMS takes no charges for this guest. For information: nobody is barred because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_post: Option<bool>,
}

/// What a PMS record tells of a room's equipment; fields that it does not carry are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomFlags {
    /// DN: the guest asked not to be disturbed by telephone.
    pub do_not_disturb: Option<bool>,
    /// ML: a message waits.
    pub message_light: Option<bool>,
    /// CS: class of service of the telephone (0 barred to 3 free), before arrival also of the room.
    pub class_of_service: Option<String>,
    /// MR: minibar right.
    pub minibar_right: Option<String>,
    /// TV: television right.
    pub tv_right: Option<String>,
    /// VR: video right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_right: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The PMS speaks of a guest in a room (GI, GC).
    GuestSeen {
        /// G#; a PMS without it names the room's only guest by the room.
        stay: StayId,
        /// RN.
        room: RoomId,
        /// RO: the room the guest came from.
        from: Option<RoomId>,
        /// GI or GC.
        presence: Presence,
        /// True for a record that is part of a resync list (SF).
        listed: bool,
        /// What it tells of the guest.
        guest: GuestRecord,
        /// What it tells of the room.
        flags: RoomFlags,
    },
    /// The PMS says that a guest has left, or that a room is empty (GO).
    GuestGone {
        /// RN.
        room: RoomId,
        /// G#; `None` empties the room.
        stay: Option<StayId>,
        /// True for a record that is part of a resync list (SF).
        listed: bool,
    },
    /// The PMS speaks of a room's equipment (RE).
    RoomFlagged {
        /// RN.
        room: RoomId,
        /// What it tells.
        flags: RoomFlags,
    },
    /// DR has been sent.
    ResyncAsked,
    /// DS: a list of the house begins.
    ResyncBegun,
    /// DE: the list that began is complete.
    ResyncDone,
    /// NS: night audit has begun.
    NightAuditBegun,
    /// NE: night audit is over.
    NightAuditDone {
        /// The date that the PMS's clock gave, and whether its time was before noon: see
        /// `Property::turn_business_date`.
        date: Option<Date>,
        /// The hour of the PMS's clock.
        hour: Option<u8>,
    },
    /// LS or LA with a date: the PMS's calendar date, used only as the first business date.
    PmsDate {
        /// DA.
        date: Date,
    },
    /// A PMS record that can't be used: counted.
    PmsRefused {
        /// `malformed`, `unknown-record`, `no-room`, ...
        why: String,
    },
    /// PA: the PMS's answer to a posting.
    PostingAnswered {
        /// P#.
        number: PostingNumber,
        /// AS, two letters.
        status: String,
        /// CT: the PMS's own words.
        text: Option<String>,
    },
    /// No answer to a posting within the time-out: it may or may not be booked.
    PostingUnanswered {
        /// P#.
        number: PostingNumber,
    },
    /// A posting that was handed to the link was certainly not sent.
    PostingNotSent {
        /// P#.
        number: PostingNumber,
    },
    /// A room status was handed to the PMS.
    StatusSent {
        /// The command's key.
        key: CommandKey,
    },
    /// A link went up or down or changed what it does.
    Link {
        /// Which.
        link: LinkId,
        /// True while it can be used.
        up: bool,
        /// `alive`, `resync`, or why it is down.
        detail: String,
    },
    /// A device reported a point.
    Reported {
        /// Which.
        point: PointId,
        /// The value; `None` where the device says that it has none.
        value: Option<Value>,
        /// How far it can be trusted.
        quality: Quality,
        /// When the device had it.
        sampled: Timestamp,
    },
    /// A point still has the value that it reported last: its heartbeat.
    Confirmed {
        /// Which.
        point: PointId,
        /// When the device was asked.
        sampled: Timestamp,
    },
    /// A driver's judgement of a device.
    Health {
        /// Which.
        device: DeviceId,
        /// Well or not.
        state: DeviceState,
        /// Why, in plain words.
        reason: Option<String>,
    },
    /// What a driver wants to be remembered of a device over restarts, in its own words; it replaces what it noted before.
    Noted {
        /// Which.
        device: DeviceId,
        /// At most [`crate::MOST_NOTE`] bytes; `None`: nothing any more.
        note: Option<String>,
    },
    /// The outcome of `Intent::WritePoint`.
    Written {
        /// The order's key.
        key: CommandKey,
        /// Done, refused, expired or superseded.
        outcome: CommandOutcome,
        /// The value read back, where there was one.
        read_back: Option<Value>,
    },
    /// A device told of itself on the broker.
    DeviceFound {
        /// Which.
        id: FoundId,
        /// What it says that it is.
        about: FoundAbout,
        /// Where it told.
        source: String,
        /// All that it told there.
        entities: Vec<FoundEntity>,
    },
    /// What was told at a source was taken back, or the device is placed.
    FoundGone {
        /// Where it had been told.
        source: String,
    },
    /// Somebody asks something of the house.
    Asked {
        /// What.
        command: Command,
    },
    /// The agent has started from its files. `clean` is false when it had not stopped by itself.
    Started {
        /// False after a crash or power cut.
        clean: bool,
    },
    /// The vault erases what it holds on a guest, in the transaction that this ends in.
    GuestErased {
        /// The signed tombstone.
        erasure: crate::Erasure,
    },
    /// Time has passed.
    Tick,
    /// The PMS asks for a wake-up call (WR).
    WakeUpAsked {
        /// RN.
        room: RoomId,
        /// DA and TI: a time on the clocks of the property. `None` where they can't be read.
        at: Option<DateTime>,
        /// TI as it came: the answer repeats it.
        time: Option<String>,
    },
    /// The PMS takes a wake-up call back (WC).
    WakeUpCleared {
        /// RN.
        room: RoomId,
        /// DA and TI; `None`: all calls of the room.
        at: Option<DateTime>,
    },
    /// The PMS was told of a wake-up call.
    WakeUpTold {
        /// Which.
        id: WakeId,
        /// What.
        word: WakeWord,
    },
    /// A system of reservations expects a guest.
    ArrivalExpected {
        /// The reservation.
        stay: StayId,
        /// The room.
        room: RoomId,
        /// The day of arrival, in the property's zone.
        date: Option<Date>,
        /// When, where it is known; it goes before the day.
        eta: Option<Timestamp>,
        /// VIP code of the PMS.
        vip: Option<String>,
    },
    /// The guest is not expected any more.
    ArrivalCancelled {
        /// The reservation.
        stay: StayId,
    },
    /// The PMS's front desk: messages, bills, keys, answers to requests.
    Pms {
        /// What.
        said: crate::PmsFact,
    },
    /// What a link wants to be remembered over restarts, in its own words; it replaces what it noted before.
    LinkNoted {
        /// Which.
        link: LinkId,
        /// At most [`crate::MOST_NOTE`] bytes; `None`: nothing any more.
        note: Option<String>,
    },
    /// A room status can't be told to the PMS, now or later.
    StatusRefused {
        /// The command's key.
        key: CommandKey,
        /// Why, in plain words.
        reason: String,
    },
    /// Something of a further PMS link ([`crate::PMS_LINK`] is the first); facts without this are of the first, or of none.
    AtLink {
        /// Which.
        link: LinkId,
        /// What.
        what: Box<Fact>,
    },
    /// The room that the house has to write in.
    Storage {
        /// Of what.
        part: crate::StoragePart,
        /// What is wrong, in plain words; `None`: nothing any more.
        trouble: Option<String>,
    },
    /// The stored state is one of an earlier time: a backup was put back. What it takes for open may have been done since.
    PutBack,
    /// The outcome of `Intent::Upkeep`.
    UpkeepDone {
        /// The command's key.
        key: CommandKey,
        /// What it came to.
        end: crate::UpkeepEnd,
    },
    /// An update of the agent has come a step further.
    Updated {
        /// Which step.
        update: crate::UpdateNote,
    },
}
