//! What the house keeps to govern its rooms: the policy, how each room's rules stand, and when they are looked at next.

use super::{Arrival, ChargeProposal, Entity, Property};
use crate::firewall::DeviceWrites;
use crate::ids::DeviceId;
use crate::rules::Policy;
use crate::{AlertKind, RoomId, StayId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How the rules of a room stand, and what was learnt of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoomRules {
    /// Whether guests were there when it was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) occupied: Option<bool>,
    /// Since when it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// True where the house saw them come or go, and did not just find it so.
    #[serde(default)]
    pub(super) witnessed: bool,
    /// Rules that are not just off.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) rules: BTreeMap<String, Memory>,
    /// Whose set point the room has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wanted: Option<Wanted>,
    /// Why a set point is still to be ordered: a hold, or the firewall, is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owed: Option<String>,
    /// How fast it warms up and cools down.
    #[serde(default)]
    pub(super) pace: Pace,
    /// What its stays and arrivals come to; made anew when they change.
    #[serde(skip)]
    pub(super) people: Option<People>,
    /// When it is looked at next.
    #[serde(skip)]
    pub(super) due: Option<Timestamp>,
}

/// How a rule stands in a room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Since when it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) on: Option<Timestamp>,
    /// Since when its condition says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) turning: Option<Timestamp>,
    /// Since when its condition can't be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<Timestamp>,
    /// Steps of its alert's escalation that were taken.
    #[serde(default)]
    pub(super) level: u8,
    /// The kind of the alert that it has raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) alert: Option<AlertKind>,
    /// True where it was on in this stay and is not again.
    #[serde(default)]
    pub(super) spent: bool,
    /// Since when each condition on points holds, in the order in which they stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) leaves: Vec<Option<Timestamp>>,
}

/// A rule's set point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) rule: String,
    pub(super) celsius: f64,
}

/// How fast a room warms up and cools down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pace {
    /// °C an hour while heated; `None` before the first was learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) heating: Option<f64>,
    /// °C an hour while cooled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cooling: Option<f64>,
    /// The stretch that is being watched: since when, and from which temperature, °C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<(Timestamp, f64)>,
}

/// What the stays and arrivals of a room come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct People {
    pub(super) stays: u32,
    pub(super) vip: bool,
    /// When guests are expected, and whether each is a VIP; in order.
    pub(super) expected: Vec<(Timestamp, bool)>,
}

impl RoomRules {
    /// °C an hour that were learnt: heated, cooled.
    pub fn pace(&self) -> (Option<f64>, Option<f64>) {
        (self.pace.heating, self.pace.cooling)
    }

    /// The rules that are on.
    pub fn on(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|(_, memory)| memory.on.is_some()).map(|(name, _)| name.as_str())
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Governed {
    pub(super) policy: Option<Arc<Policy>>,
    pub(super) rooms: BTreeMap<RoomId, RoomRules>,
    pub(super) arrivals: BTreeMap<StayId, Arrival>,
    pub(super) charges: BTreeMap<u32, ChargeProposal>,
    pub(super) writes: BTreeMap<DeviceId, DeviceWrites>,
    /// One entry a room: when its rules are looked at, though nothing happens.
    pub(super) due: BTreeSet<(Timestamp, RoomId)>,
    /// Devices whose alert of the firewall is active.
    pub(super) alarmed: BTreeSet<DeviceId>,
    pub(super) by_room: BTreeMap<RoomId, Vec<DeviceId>>,
}

impl Governed {
    pub(super) fn entities(&self) -> Vec<Entity> {
        let mut all: Vec<Entity> = self.rooms.keys().cloned().map(Entity::RoomRules).collect();
        all.extend(self.arrivals.keys().cloned().map(Entity::Arrival));
        all.extend(self.charges.keys().copied().map(Entity::Charge));
        all.extend(self.writes.keys().cloned().map(Entity::Writes));
        all
    }

    /// The rules of `room` are looked at by `due`.
    pub(super) fn schedule(&mut self, room: &RoomId, due: Option<Timestamp>) {
        let state = self.rooms.entry(room.clone()).or_default();
        if state.due == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut state.due, due) {
            self.due.remove(&(before, room.clone()));
        }
        self.due.extend(due.map(|due| (due, room.clone())));
    }
}

impl Property {
    /// From now on the house is governed by `policy`. Called before the first observation, and whenever the configuration
    /// changes: without it there are no rules, and nothing is refused a write but what its device can't take. Rules that are
    /// gone leave the rooms as they are.
    pub fn govern(&mut self, policy: Policy) {
        let governed = &mut self.governed;
        governed.by_room.clear();
        for device in &self.spec.devices {
            if let Some(room) = &device.room {
                governed.by_room.entry(room.clone()).or_default().push(device.id.clone());
            }
        }
        governed.alarmed = governed
            .writes
            .iter()
            .filter(|(_, writes)| writes.quiet_at().is_some())
            .map(|(device, _)| device.clone())
            .collect();
        // Every room is looked at with the first observation.
        for room in self.rooms.keys() {
            governed.schedule(room, Some(Timestamp::MIN));
        }
        governed.policy = Some(Arc::new(policy));
    }

    /// How the house is governed.
    pub fn policy(&self) -> Option<&Policy> {
        self.governed.policy.as_deref()
    }

    /// How the rules of each room stand.
    pub fn room_rules(&self) -> &BTreeMap<RoomId, RoomRules> {
        &self.governed.rooms
    }

    /// The guests that are expected, by reservation.
    pub fn arrivals(&self) -> &BTreeMap<StayId, Arrival> {
        &self.governed.arrivals
    }

    /// The charges that were proposed to staff, by number.
    pub fn charges(&self) -> &BTreeMap<u32, ChargeProposal> {
        &self.governed.charges
    }
}
