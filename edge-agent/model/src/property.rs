//! The property: its live picture, and what each observation does to it.
//!
//! Invariant: [`Property::apply`] is a function of the state and the observation alone. Whatever it
//! changes is named in [`Applied::touched`], so that a store can keep exactly that, and a property
//! restored from its entities goes on as if nothing had happened (but for [`Fact::Started`], which says so).

mod alerts;
mod arrivals;
mod business_day;
mod charges;
mod climate;
mod commands;
mod conditions;
mod desk;
mod erased;
mod found;
mod governed;
mod guest_texts;
mod guests;
mod holds;
mod links;
mod notes;
mod persist;
mod points;
mod postings;
mod preferences;
mod reports;
mod resync;
mod rules;
mod settings;
mod spec;
mod storage;
#[cfg(test)]
mod tests;
mod updates;
mod upkeep;
mod views;
mod wakeups;
mod wall;
mod warm_up;

use crate::arbitration::Hold;
use crate::ids::{CommandKey, DeviceId, FoundId, LinkId, PointId, PostingNumber};
use crate::{
    Alert, Change, Date, DeviceHealth, Fact, Found, Intent, LinkHealth, Observation, Order, Role, RoomFlags,
    RoomId, Stay, StayId, Timestamp,
};
pub use arrivals::Arrival;
pub use charges::{ChargeProposal, ChargeState};
pub use commands::CommandRecord;
pub(crate) use commands::STATUSES;
pub use desk::Bill;
pub use governed::RoomRules;
use links::{LinkMeta, PmsLinks};
pub use persist::{Entity, RestoreError};
pub use postings::{Posting, PostingState};
pub use resync::{ListGuard, Owed, Resync};
use serde::{Deserialize, Serialize};
pub use settings::SettingEntry;
pub use spec::{ClimateDefaults, DeviceSpec, PointSpec, PropertySpec, RoomSpec, Season};
use std::collections::{BTreeMap, BTreeSet};
pub use wakeups::{WakeCall, WakeRooms, WakeSpec, WakeState, WakeWord};

/// The id of the PMS link.
pub const PMS_LINK: &str = "pms";

/// A room, as far as it is not told by its stays and devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Equipment flags of the PMS.
    pub flags: RoomFlags,
    /// The housekeeping status last reported to the PMS.
    pub status: Option<String>,
    /// The door sign last reported to the PMS.
    pub sign: Option<String>,
    /// Whose choice of the set point stands against programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

/// What one observation did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Facts for the journal, in order.
    pub changes: Vec<Change>,
    /// What is to be done outside, once the changes are durable.
    pub intents: Vec<Intent>,
    /// The entities whose stored form has changed.
    pub touched: BTreeSet<Entity>,
}

/// Single values of the property that outlive a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) business_date: Option<Date>,
    pub(crate) last_posting: u32,
    pub(crate) last_order: u64,
    #[serde(default)]
    pub(crate) last_wake: u64,
    #[serde(default)]
    pub(crate) last_charge: u32,
    /// When the last night audits began, of any PMS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) audits: Vec<Timestamp>,
    /// Of the first PMS; in the same document, as it was before there were several.
    #[serde(flatten)]
    pub(crate) pms: LinkMeta,
    /// Of further ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) further: BTreeMap<LinkId, LinkMeta>,
}

/// The live picture of the hotel.
#[derive(Clone, Debug)]
pub struct Property {
    spec: PropertySpec,
    rooms: BTreeMap<RoomId, Room>,
    stays: BTreeMap<StayId, Stay>,
    /// One for each device of the specification.
    states: Vec<points::States>,
    devices: BTreeMap<DeviceId, DeviceHealth>,
    /// What drivers want to be remembered: one note a device, of a bounded length.
    notes: BTreeMap<DeviceId, String>,
    /// The same of links: as many as there are links.
    link_notes: BTreeMap<LinkId, String>,
    links: BTreeMap<LinkId, LinkHealth>,
    postings: BTreeMap<PostingNumber, Posting>,
    orders: BTreeMap<CommandKey, Order>,
    commands: BTreeMap<CommandKey, CommandRecord>,
    alerts: BTreeMap<String, Alert>,
    found: BTreeMap<FoundId, Found>,
    /// Messages, bills, keys and requests at the PMS's front desk.
    desk: desk::Desk,
    meta: Meta,
    wakes: wakeups::Wakes,
    /// The language of the house, BCP 47.
    language: Option<String>,
    /// The hotel's name, where guests are told things.
    hotel: Option<String>,
    /// The charges that wait or fly, by number: what is due is found without a walk through those that have ended.
    open_postings: BTreeSet<PostingNumber>,
    /// Which PMS has which rooms.
    pms: PmsLinks,
    /// Running lists, one a PMS; lost with the process on purpose: a list that was cut proves nothing.
    resyncs: BTreeMap<LinkId, Resync>,
    /// When a complete list is not believed unasked.
    list_guard: ListGuard,
    /// When the last order for a point ended: older samples say nothing about the guest's wish.
    settled: BTreeMap<PointId, Timestamp>,
    /// Counters since the start, by reason.
    counters: BTreeMap<String, u64>,
    by_role: BTreeMap<(RoomId, Role), Vec<PointId>>,
    /// Where each device is in the specification.
    by_device: BTreeMap<DeviceId, usize>,
    /// The rules, the firewall, and how they stand.
    governed: governed::Governed,
    /// What both ends may change.
    settings: settings::Settings,
    /// The last steps of updates: at most [`crate::MOST_UPDATE_HISTORY`].
    updates: updates::Steps,
}

impl Property {
    /// An empty picture of the property that `spec` describes.
    pub fn new(spec: PropertySpec) -> Self {
        let mut by_role: BTreeMap<_, Vec<PointId>> = BTreeMap::new();
        let mut by_device = BTreeMap::new();
        for (n, device) in spec.devices.iter().enumerate() {
            by_device.insert(device.id.clone(), n);
            for point in device.points.iter() {
                if let (Some(room), Some(role)) = (&device.room, point.role) {
                    let id = PointId { device: device.id.clone(), point: point.name.clone() };
                    by_role.entry((room.clone(), role)).or_default().push(id);
                }
            }
        }
        Self {
            rooms: spec.rooms.iter().map(|room| (room.id.clone(), Room::default())).collect(),
            devices: spec.devices.iter().map(|device| (device.id.clone(), DeviceHealth::default())).collect(),
            stays: BTreeMap::new(),
            states: vec![points::States::new(); spec.devices.len()],
            notes: BTreeMap::new(),
            link_notes: BTreeMap::new(),
            links: BTreeMap::new(),
            postings: BTreeMap::new(),
            orders: BTreeMap::new(),
            commands: BTreeMap::new(),
            alerts: BTreeMap::new(),
            found: BTreeMap::new(),
            desk: desk::Desk::default(),
            meta: Meta::default(),
            wakes: wakeups::Wakes::in_zone(&spec.zone),
            language: None,
            hotel: None,
            open_postings: BTreeSet::new(),
            pms: PmsLinks::default(),
            resyncs: BTreeMap::new(),
            list_guard: ListGuard::default(),
            settled: BTreeMap::new(),
            counters: BTreeMap::new(),
            by_role,
            by_device,
            governed: governed::Governed::default(),
            settings: settings::Settings::new(&spec.climate),
            updates: updates::Steps::new(),
            spec,
        }
    }

    /// The language of the house (BCP 47), for guests whose own is not known.
    pub fn speak(&mut self, language: &str) {
        self.language = Some(language.to_owned());
    }

    /// The language of the house, where it was told.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// Takes one observation. `observation.at` must not run backwards; where it does, time stands still.
    pub fn apply(&mut self, observation: &Observation) -> Applied {
        let at = observation.at;
        let mut out = Applied::default();
        let (link, fact) = match &observation.fact {
            Fact::AtLink { link, what } => (link.clone(), what.as_ref()),
            fact => (self.pms.first_id(), fact),
        };
        match fact {
            Fact::GuestSeen { stay, room, from: _, presence: _, listed: _, guest, flags } => {
                self.guest_seen(at, stay, room, guest, flags, &mut out);
            }
            Fact::GuestGone { room, stay, listed } => {
                self.guest_gone(at, room, stay.as_ref(), *listed, &mut out);
            }
            Fact::RoomFlagged { room, flags } => self.room_flagged(room, flags, &mut out),
            Fact::ResyncAsked => self.count("resync-asked"),
            Fact::ResyncBegun => self.resync_begun(at, &link, &mut out),
            Fact::ResyncDone => self.resync_done(at, &link, &mut out),
            Fact::NightAuditBegun => self.night_audit_begun(at, &link, &mut out),
            Fact::NightAuditDone { date, hour } => self.night_audit_done(at, &link, *date, *hour, &mut out),
            Fact::PmsDate { date } => {
                if self.meta.business_date.is_none() && self.pms.is_default(&link) {
                    self.turn_business_date(*date, &mut out);
                }
            }
            Fact::PmsRefused { why } => self.count(why),
            Fact::PostingAnswered { number, status, text } => {
                self.posting_answered(at, *number, status, text.as_deref(), &mut out);
            }
            Fact::PostingUnanswered { number } => self.posting_unanswered(at, *number, &mut out),
            Fact::PostingNotSent { number } => self.posting_not_sent(at, *number, &mut out),
            Fact::StatusSent { key } => self.status_sent(at, key, &mut out),
            Fact::Link { link, up, detail } => self.link_changed(at, link, *up, detail, &mut out),
            Fact::Reported { point, value, quality, sampled } => {
                self.reported(at, point, value.as_ref(), *quality, *sampled, &mut out);
            }
            Fact::Confirmed { point, sampled } => self.confirmed(point, *sampled, &mut out),
            Fact::Health { device, state, reason } => {
                self.device_health(at, device, *state, reason.as_deref(), &mut out);
            }
            Fact::Noted { device, note } => self.noted(device, note.as_deref(), &mut out),
            Fact::Written { key, outcome, read_back: _ } => self.written(at, key, outcome, &mut out),
            Fact::DeviceFound { id, about, source, entities } => {
                self.found_device(at, id, about, source, entities, &mut out);
            }
            Fact::FoundGone { source } => self.found_gone(source, &mut out),
            Fact::Asked { command } => self.asked(at, command, &mut out),
            Fact::Started { clean } => self.started(at, *clean, &mut out),
            Fact::GuestErased { erasure } => self.guest_erased(at, erasure, &mut out),
            Fact::Tick => self.prune(at, &mut out),
            Fact::WakeUpAsked { room, at: local, time } => {
                self.wake_up_asked(at, room, *local, time.as_deref(), &mut out);
            }
            Fact::WakeUpCleared { room, at: local } => self.wake_up_cleared(at, room, *local, &mut out),
            Fact::WakeUpTold { id, word } => self.wake_up_told(*id, *word, &mut out),
            Fact::ArrivalExpected { stay, room, date, eta, vip } => {
                self.arrival_expected(at, stay, room, *date, *eta, vip.as_deref(), &mut out);
            }
            Fact::ArrivalCancelled { stay } => self.arrival_gone(stay, &mut out),
            Fact::Pms { said } => self.desk_said(at, &link, said, &mut out),
            Fact::LinkNoted { link, note } => self.link_noted(link, note.as_deref(), &mut out),
            Fact::StatusRefused { key, reason } => {
                let outcome = crate::CommandOutcome::Refused { reason: reason.clone() };
                self.end_command(at, key, outcome, &mut out);
            }
            Fact::AtLink { .. } => self.count("fact-within-a-fact"),
            Fact::UpkeepDone { key, end } => self.upkeep_done(at, key, end, &mut out),
            Fact::Updated { update } => self.updated(at, update, &mut out),
            Fact::Storage { part, trouble } => self.storage_told(at, *part, trouble.as_deref(), &mut out),
            Fact::PutBack => self.postings_put_back(at, &mut out),
        }
        self.take_retuned(at, &mut out);
        self.expire_orders(at, &mut out);
        self.tend_rules(at, &observation.fact, &mut out);
        self.tend_resyncs(at, &mut out);
        self.tend_desk(at, &mut out);
        self.pump_postings(at, &mut out);
        self.tend_wake_ups(at, &mut out);
        self.tell_guests(at, &mut out);
        self.address(&mut out);
        out
    }

    /// When the property wants a [`Fact::Tick`], if nothing happens before.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let wakes = [
            self.orders_wake(),
            self.postings_wake(),
            self.resync_wake(),
            self.wake_ups_wake(),
            self.rules_wake(),
            self.desk_wake(),
        ];
        wakes.into_iter().flatten().min()
    }

    fn count(&mut self, reason: &str) {
        // Reasons are a fixed vocabulary of the code; the cap is a guard against a bug, not a policy.
        if self.counters.len() < 256 || self.counters.contains_key(reason) {
            *self.counters.entry(reason.to_owned()).or_default() += 1;
        }
    }

    fn link_changed(&mut self, at: Timestamp, link: &LinkId, up: bool, detail: &str, out: &mut Applied) {
        let before = self.links.get(link);
        let was_up = before.is_some_and(|health| health.up);
        if before.is_some_and(|health| health.up == up && health.detail == detail) {
            return;
        }
        let since = match before {
            Some(health) if health.up == up => health.since,
            _ => at,
        };
        if before.is_none_or(|health| health.up != up) {
            out.changes.push(Change::Link { link: link.clone(), up, detail: detail.to_owned() });
        }
        self.links.insert(link.clone(), LinkHealth { up, detail: detail.to_owned(), since });
        out.touched.insert(Entity::Link(link.clone()));
        if self.pms.has(link) {
            if was_up && !up {
                self.resync_cut(link, out);
                self.postings_link_lost(at, link, out);
                self.desk_link_lost(at, link, out);
            } else if up && !was_up {
                self.pms_link_up(link);
                self.send_waiting_statuses(link, out);
            }
        }
    }

    fn started(&mut self, at: Timestamp, clean: bool, out: &mut Applied) {
        // Whatever the links were when the process ended, they are down now.
        for (id, link) in &mut self.links {
            if link.up {
                *link = LinkHealth { up: false, detail: "starting".to_owned(), since: at };
                out.touched.insert(Entity::Link(id.clone()));
            }
        }
        out.changes.push(Change::Started { clean });
        if !clean {
            // Records that were read from the socket and not yet stored are gone: only a list can tell.
            for link in self.pms.ids() {
                if self.has_guests(&link) {
                    self.owe(&link, Owed::Crash, out);
                }
            }
        }
        self.postings_restarted(at, out);
        self.desk_restarted(at, out);
        self.orders_restarted(at, out);
        self.wake_ups_restarted(out);
        self.upkeep_restarted(at, out);
        self.tell_settings(out);
    }
}
