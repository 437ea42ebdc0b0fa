//! The hotel and its rules, with no I/O: state and an [`Observation`] in, [`Change`]s and [`Intent`]s out.
//!
//! Why a crate of its own: the rules of a hotel must be replayable. The same observations give the same
//! changes, on the box, in a simulation, and in a test that plays a year in a second.
//!
//! Terms: an *observation* is anything that happened (a PMS record, a sensor's report, a command from
//! the cloud, the outcome of an intent); a *change* is one fact for the journal; an *intent* is something
//! that the house wants done outside (write a set point, send a posting).
//!
//! Never: sockets, files, tokio, the wall clock, randomness. Time comes in with each observation.

mod alert;
pub mod alert_text;
pub mod arbitration;
mod change;
mod command;
mod device;
mod erasure;
pub mod firewall;
mod found;
mod front_desk;
mod guest_text;
mod ids;
mod intent;
mod journal;
mod money;
mod observation;
mod personal;
mod port;
mod property;
pub mod rules;
pub mod settings;
mod slip;
mod stay;
pub mod testing;
mod update;
mod upkeep;
mod value;

pub use alert::{Alert, AlertKind};
pub use change::{Change, Lane};
pub use command::{Action, Command, CommandOutcome, CommandSource};
pub use device::{DeviceHealth, DeviceState, LinkHealth, MOST_NOTE, PointState};
pub use erasure::{Erasure, ErasureReason};
pub use found::{Found, FoundAbout, FoundEntity};
pub use front_desk::{
    BillItem, DeskEvent, FoundGuest, KeyAnswer, KeyKind, KeyRequest, Message, PmsAmount, PmsDescription,
    PmsFact, PmsRequest, RoomReport, VoiceMail,
};
pub use guest_text::{GuestError, GuestText, ToldGuest};
pub use ids::{
    CommandKey, DeviceId, FoundId, LinkId, PointId, PostingNumber, PropertyId, RoomId, StayId, WakeId,
};
pub use intent::{Intent, Order, OrderState};
pub use journal::{EpochReason, LaneEnd, StoragePart, Thinning};
pub use money::{Currency, Money, MoneyError};
pub use observation::{Fact, GuestRecord, Observation, Presence, RoomFlags};
pub use personal::Personal;
pub use port::{ObservationSink, SinkClosed, SinkFuture};
pub(crate) use property::STATUSES;
pub use property::{
    Applied, Arrival, Bill, ChargeProposal, ChargeState, ClimateDefaults, CommandRecord, DeviceSpec, Entity,
    ListGuard, Owed, PMS_LINK, PointSpec, Posting, PostingState, Property, PropertySpec, RestoreError,
    Resync, Room, RoomRules, RoomSpec, Season, SettingEntry, WakeCall, WakeRooms, WakeSpec, WakeState,
    WakeWord,
};
pub use slip::{Article, Call, MOST_ARTICLES, MOST_SUBTOTALS, PostingDetail, Slip};
pub use stay::{Stay, StayEnd};
pub use update::{MOST_UPDATE_HISTORY, MOST_UPDATE_REASON, UpdateNote, UpdateStep};
pub use upkeep::{
    BUNDLE_PIECE, BundlePiece, LONGEST_TAIL_S, MOST_ASKER, MOST_BUNDLE, MOST_NOTE_OF_END, MOST_TAILS,
    UpdateWindow, Upkeep, UpkeepEnd, Watched,
};
pub use value::{Quality, Role, Value};

pub use jiff::{
    Timestamp,
    civil::{Date, DateTime},
};
