//! The views: what of the house is shown, and what of that is shown to whom.
//!
//! Two grades. The *full* view has the guests' names and belongs behind the socket door. The *masked* view
//! tells engineering what it needs of a room without telling who lives there: no names, languages, dates
//! or purchases, and not whether the guest of an occupied room is in it just now. A reservation number stays: it means nothing without the PMS, and staff need it to look
//! a doubtful posting up there.
//!
//! Times are instants (UTC); `at` and `since` of a value tell when it last *changed*, since the house does
//! not keep the time of each unchanged reading.

use engawa_model::{
    Alert, CommandKey, Date, DeviceId, DeviceState, Lane, LinkId, Money, PostingNumber, PostingState,
    PropertyId, Quality, Role, RoomFlags, RoomId, StayId, Timestamp, Value,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole house at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HouseView {
    /// The property's name in the fleet.
    pub property: PropertyId,
    /// The hotel's name, for people.
    pub name: String,
    /// IANA time zone.
    pub zone: String,
    /// The business date, once the PMS has told one.
    pub business_date: Option<Date>,
    /// True while night audit runs.
    pub night_audit: bool,
    /// True while the PMS sends the list of the house.
    pub resync_running: bool,
    /// The rooms, by number.
    pub rooms: Vec<RoomView>,
    /// The devices, by name.
    pub devices: Vec<DeviceView>,
    /// The gateway's links.
    pub links: Vec<LinkView>,
    /// How far the cloud has the journal.
    pub sync: SyncView,
    /// The postings, newest first.
    pub postings: Vec<PostingView>,
    /// The alerts, active ones first, newest first.
    pub alerts: Vec<Alert>,
    /// Counters since the start, by reason.
    pub counters: BTreeMap<String, u64>,
    /// When the agent started.
    pub started_at: Timestamp,
    /// The agent's version.
    pub version: String,
}

/// A room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomView {
    /// Its number.
    pub id: RoomId,
    /// True while the PMS has somebody in it.
    pub occupied: bool,
    /// Who (source: PMS).
    pub stays: Vec<StayView>,
    /// Equipment flags (source: PMS).
    pub flags: RoomFlags,
    /// The housekeeping status last told to the PMS.
    pub status: Option<String>,
    /// The door sign last told to the PMS.
    pub sign: Option<String>,
    /// Air temperature, °C (source: device).
    pub temperature: Option<Reading>,
    /// The set point that the thermostat holds, °C (source: device).
    pub setpoint: Option<Reading>,
    /// The set point that the house has ordered and not seen at the thermostat yet, °C.
    pub setpoint_ordered: Option<f64>,
    /// True while any window is open (source: device).
    pub window_open: Option<bool>,
    /// True while a sensor sees somebody (source: device); for an occupied room in the full view only.
    pub presence: Option<bool>,
    /// True while a leak sensor is wet (source: device).
    pub leak: Option<bool>,
    /// Devices of the room that do not answer as they should.
    pub unwell: Vec<DeviceId>,
    /// The points of the room's devices.
    pub points: Vec<PointView>,
}

impl RoomView {
    /// True where the guest or the PMS asked for quiet.
    pub fn do_not_disturb(&self) -> bool {
        self.flags.do_not_disturb == Some(true) || self.sign.as_deref() == Some("do-not-disturb")
    }

    /// True where staff should look: a device is unwell, a window open, or the floor wet.
    pub fn needs_attention(&self) -> bool {
        !self.unwell.is_empty() || self.window_open == Some(true) || self.leak == Some(true)
    }
}

/// A stay in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StayView {
    /// The PMS's reservation number.
    pub id: StayId,
    /// Title, first name and surname; full view only. (A plain string: this type is the place that may
    /// show it. It is not logged.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// BCP 47 tag; full view only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Day of arrival; full view only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Date>,
    /// Day of departure; full view only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departure: Option<Date>,
}

/// A number, where it comes from and since when it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The value, in the unit of the field that holds it.
    pub value: f64,
    /// How far it can be trusted.
    pub quality: Quality,
    /// When the device had it first.
    pub at: Timestamp,
    /// The device.
    pub device: DeviceId,
}

/// A point of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointView {
    /// Its device.
    pub device: DeviceId,
    /// Its name in the device's profile.
    pub name: String,
    /// What it is to the room.
    pub role: Option<Role>,
    /// The value; `None` where the device says that it has none, or nothing has been heard.
    pub value: Option<Value>,
    /// Its unit (UCUM).
    pub unit: Option<String>,
    /// How far it can be trusted; `None` where nothing has been heard.
    pub quality: Option<Quality>,
    /// When the device had this value first.
    pub at: Option<Timestamp>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Its name.
    pub id: DeviceId,
    /// Where it is.
    pub room: Option<RoomId>,
    /// The profile it follows.
    pub profile: String,
    /// Well or not.
    pub state: DeviceState,
    /// Why it is unwell.
    pub reason: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What its driver counts, such as `timeouts`.
    pub counters: BTreeMap<String, u64>,
}

/// A link of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// Its name: `pms`, a Modbus line, the broker, the cloud.
    pub id: LinkId,
    /// True while it can be used.
    pub up: bool,
    /// What it does or why it is down.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

/// How far the cloud has the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncView {
    /// True where the gateway is enrolled with a cloud.
    pub enrolled: bool,
    /// True while it is connected.
    pub connected: bool,
    /// What it does or why it is not connected.
    pub detail: String,
    /// The lanes of the journal, most urgent first.
    pub lanes: Vec<SyncLaneView>,
}

impl SyncView {
    /// Rows that the cloud has not confirmed.
    pub fn waiting(&self) -> u64 {
        self.lanes.iter().map(SyncLaneView::waiting).sum()
    }
}

/// One lane of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncLaneView {
    /// Which.
    pub lane: Lane,
    /// Rows written since the beginning.
    pub written: u64,
    /// Rows that the cloud has confirmed.
    pub acknowledged: u64,
    /// When the oldest row that waits was written.
    pub oldest_waiting: Option<Timestamp>,
}

impl SyncLaneView {
    /// Rows that the cloud has not confirmed.
    pub fn waiting(&self) -> u64 {
        self.written.saturating_sub(self.acknowledged)
    }
}

/// A posting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostingView {
    /// P#.
    pub number: PostingNumber,
    /// The command's key.
    pub key: CommandKey,
    /// The room.
    pub room: RoomId,
    /// The stay; full view only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay: Option<StayId>,
    /// How much.
    pub amount: Money,
    /// What for; full view only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The outlet; full view only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlet: Option<String>,
    /// How far it has come.
    pub state: PostingState,
    /// AS of the PMS's last answer.
    pub answer: Option<String>,
    /// When it was asked.
    pub asked: Timestamp,
    /// How often it went out.
    pub tries: u32,
}

impl HouseView {
    /// The masked view: see the head of this file.
    #[must_use]
    pub fn without_personal_data(&self) -> Self {
        let mut masked = self.clone();
        for stay in masked.rooms.iter_mut().flat_map(|room| &mut room.stays) {
            *stay =
                StayView { id: stay.id.clone(), name: None, language: None, arrival: None, departure: None };
        }
        for room in masked.rooms.iter_mut().filter(|room| room.occupied) {
            room.presence = None;
            for point in room.points.iter_mut().filter(|point| point.role == Some(Role::Occupancy)) {
                point.value = None;
                point.at = None;
            }
        }
        for posting in &mut masked.postings {
            posting.stay = None;
            posting.text = None;
            posting.outlet = None;
        }
        masked
    }

    /// The rooms without their guests' names: who asked for names has said why.
    pub fn rooms_without_names(&self) -> Vec<RoomView> {
        let mut rooms = self.rooms.clone();
        for stay in rooms.iter_mut().flat_map(|room| &mut room.stays) {
            stay.name = None;
        }
        rooms
    }

    /// The answer of `/api/status`: the house in a few numbers.
    pub fn status(&self) -> Status {
        let count = |wanted: fn(&RoomView) -> bool| self.rooms.iter().filter(|room| wanted(room)).count();
        Status {
            property: self.property.clone(),
            name: self.name.clone(),
            zone: self.zone.clone(),
            business_date: self.business_date,
            night_audit: self.night_audit,
            resync_running: self.resync_running,
            rooms: self.rooms.len(),
            rooms_occupied: count(|room| room.occupied),
            rooms_needing_attention: count(RoomView::needs_attention),
            devices: self.devices.len(),
            devices_unwell: self.devices.iter().filter(|device| device.state == DeviceState::Unwell).count(),
            alerts_active: self.alerts.iter().filter(|alert| alert.active).count(),
            postings_open: self
                .postings
                .iter()
                .filter(|posting| matches!(posting.state, PostingState::Pending | PostingState::InFlight))
                .count(),
            postings_doubtful: self.postings.iter().filter(|p| p.state == PostingState::Doubtful).count(),
            links: self.links.clone(),
            sync: self.sync.clone(),
            started_at: self.started_at,
            version: self.version.clone(),
        }
    }
}

/// The house in a few numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The property's name in the fleet.
    pub property: PropertyId,
    /// The hotel's name, for people.
    pub name: String,
    /// IANA time zone.
    pub zone: String,
    /// The business date, once the PMS has told one.
    pub business_date: Option<Date>,
    /// True while night audit runs.
    pub night_audit: bool,
    /// True while the PMS sends the list of the house.
    pub resync_running: bool,
    /// Rooms in the configuration.
    pub rooms: usize,
    /// Rooms in which the PMS has somebody.
    pub rooms_occupied: usize,
    /// Rooms where staff should look.
    pub rooms_needing_attention: usize,
    /// Devices in the configuration.
    pub devices: usize,
    /// Devices that do not answer as they should.
    pub devices_unwell: usize,
    /// Alerts that are not over.
    pub alerts_active: usize,
    /// Postings that are still to be booked.
    pub postings_open: usize,
    /// Postings that staff must look up in the PMS.
    pub postings_doubtful: usize,
    /// The gateway's links.
    pub links: Vec<LinkView>,
    /// How far the cloud has the journal.
    pub sync: SyncView,
    /// When the agent started.
    pub started_at: Timestamp,
    /// The agent's version.
    pub version: String,
}
