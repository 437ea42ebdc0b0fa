//! The book of calls: what was asked, by its number and by when it is due.

use super::wall;
use crate::{DateTime, RoomId, StayId, Timestamp, WakeId};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WakeState {
    /// Its time is to come.
    Waiting,
    /// It rings, or staff are asked to wake the guest.
    Ringing,
    /// The guest is awake.
    Answered,
    /// It rang as often as it may, and nobody answered.
    Unanswered,
    /// It was taken back.
    Cleared,
    /// The guest has left.
    GuestLeft,
    /// Its time was over before it could be rung.
    Missed,
}

impl WakeState {
    /// True until it has ended.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Ringing)
    }
}

/// What the PMS is to be told of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WakeWord {
    /// The house has a call that the PMS does not know (WR).
    Asked,
    /// The house has taken one back (WC).
    Cleared,
    /// The guest is awake (WA, OK).
    Answered,
    /// Nobody answered (WA, NR).
    Unanswered,
    /// It could not be rung (WA, UR).
    Missed,
}

/// A wake-up call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WakeCall {
    /// Its number.
    pub id: WakeId,
    /// Where.
    pub room: RoomId,
    /// Whose; `None`: the room's, where several share it or nobody is there yet.
    pub stay: Option<StayId>,
    /// When, on the clocks of the property.
    pub at: DateTime,
    /// TI as the PMS wrote it.
    pub time: Option<String>,
    /// True where the PMS asked.
    pub from_pms: bool,
    /// When it was asked.
    pub asked: Timestamp,
    /// How far it has come.
    pub state: WakeState,
    /// How often it has rung.
    pub rings: u8,
    /// When it rings again; once it has ended, when that was.
    pub next: Option<Timestamp>,
    /// What the PMS is still to be told.
    pub untold: Option<WakeWord>,
}

/// The rooms in which a device rings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WakeRooms {
    /// In none: staff wake.
    #[default]
    None,
    /// In all.
    All,
    /// In these.
    These(BTreeSet<RoomId>),
}

impl WakeRooms {
    pub(super) fn has(&self, room: &RoomId) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::These(rooms) => rooms.contains(room),
        }
    }
}

/// How the house rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeSpec {
    /// Where a device does.
    pub rooms: WakeRooms,
    /// How often at most, before staff are asked to go.
    pub rings: u8,
    /// How long one ring may take until the next, seconds.
    pub every_s: u32,
}

impl Default for WakeSpec {
    fn default() -> Self {
        Self { rooms: WakeRooms::None, rings: 3, every_s: 300 }
    }
}

/// The calls and when something is due with each.
#[derive(Clone, Debug)]
pub(crate) struct Wakes {
    pub(super) spec: WakeSpec,
    zone: TimeZone,
    calls: BTreeMap<WakeId, WakeCall>,
    due: BTreeSet<(Timestamp, WakeId)>,
    by_id: BTreeMap<WakeId, Timestamp>,
}

impl Wakes {
    /// No calls yet, by the clocks of `zone` (IANA). Whoever reads the configuration has refused a zone that is not
    /// known; here it is UTC.
    pub(crate) fn in_zone(zone: &str) -> Self {
        Self {
            spec: WakeSpec::default(),
            zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC),
            calls: BTreeMap::new(),
            due: BTreeSet::new(),
            by_id: BTreeMap::new(),
        }
    }

    /// Takes a stored call. When it is due is found anew: the rules of a zone change.
    pub(crate) fn restore(&mut self, call: WakeCall) {
        let local = wall::instant(&self.zone, call.at).unwrap_or(call.asked);
        let due = match call.state {
            WakeState::Waiting => local,
            WakeState::Ringing => call.next.unwrap_or(local),
            _ => call.next.unwrap_or(local).max(local).checked_add(super::REMEMBERED).unwrap_or(local),
        };
        self.enter(call, due);
    }

    pub(crate) fn get(&self, id: WakeId) -> Option<&WakeCall> {
        self.calls.get(&id)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = WakeId> {
        self.calls.keys().copied()
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = &WakeCall> {
        self.calls.values()
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn instant(&self, at: DateTime) -> Option<Timestamp> {
        wall::instant(&self.zone, at)
    }

    pub(super) fn enter(&mut self, call: WakeCall, due: Timestamp) {
        let id = call.id;
        self.calls.insert(id, call);
        self.schedule(id, due);
    }

    pub(super) fn change(&mut self, id: WakeId, change: impl FnOnce(&mut WakeCall)) {
        if let Some(call) = self.calls.get_mut(&id) {
            change(call);
        }
    }

    pub(super) fn forget(&mut self, id: WakeId) {
        self.calls.remove(&id);
        self.unschedule(id);
    }

    pub(super) fn schedule(&mut self, id: WakeId, due: Timestamp) {
        self.unschedule(id);
        self.due.insert((due, id));
        self.by_id.insert(id, due);
    }

    fn unschedule(&mut self, id: WakeId) {
        if let Some(due) = self.by_id.remove(&id) {
            self.due.remove(&(due, id));
        }
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out a call with which something is due at `now`.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<WakeId> {
        let (_, id) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.unschedule(id);
        Some(id)
    }

    /// The newest call of `room` for `at`.
    pub(super) fn at(&self, room: &RoomId, at: DateTime) -> Option<&WakeCall> {
        self.calls.values().rev().find(|call| call.room == *room && call.at == at)
    }

    /// The open calls of `room`, for `at` or all.
    pub(super) fn open(&self, room: &RoomId, at: Option<DateTime>) -> Vec<WakeId> {
        let open = self.calls.values().filter(|call| call.room == *room && call.state.is_open());
        open.filter(|call| at.is_none_or(|at| call.at == at)).map(|call| call.id).collect()
    }

    pub(super) fn open_in(&self, room: &RoomId) -> usize {
        self.calls.values().filter(|call| call.room == *room && call.state.is_open()).count()
    }
}
