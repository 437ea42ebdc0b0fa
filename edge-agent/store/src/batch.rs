//! What is written together, how soon it must be durable, and the store's bounds.

use crate::Budget;
use crate::vault::AuditHead;
use engawa_model::{Change, Entity, Erasure, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Bounds of the store.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that the rows of each lane may take.
    pub budget: Budget,
    /// Bytes that are set aside on the disk, so that a full one still takes deletions, acknowledgements and alarms.
    pub ballast: u64,
    /// Numbers of telemetry that may wait for the cloud, beside its budget. Past either, values are no longer journalled
    /// (the state still has the newest) and are counted; every other lane goes on.
    pub telemetry_backlog: u64,
    /// How long acknowledged rows are kept, so that a cloud restored to an earlier point can ask again, seconds.
    pub keep_acknowledged_s: u32,
    /// Events that may wait for one broker; past it the oldest goes and is counted.
    pub events: u32,
    /// How long an event waits, seconds: nobody waits longer for an answer.
    pub keep_events_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            budget: Budget::default(),
            ballast: 8 << 20,
            telemetry_backlog: u64::MAX,
            keep_acknowledged_s: 86_400,
            events: 10_000,
            keep_events_s: 86_400,
        }
    }
}

/// An event for a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which broker.
    pub broker: String,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: String,
}

/// What is to be written together: the outcome of one or more observations.
#[derive(Debug, Default)]
pub struct Batch {
    /// The changes and when they happened, in order.
    pub changes: Vec<(Timestamp, Change)>,
    /// The entities that have changed.
    pub touched: BTreeSet<Entity>,
    /// The inbox's new mark, where commands of the cloud were taken.
    pub inbox: Option<u64>,
    /// Lanes that the cloud now has up to a mark.
    pub acknowledged: BTreeMap<u8, u64>,
    /// Events that now wait for their brokers.
    pub events: Vec<Event>,
    /// Numbers of events that needn't wait any more.
    pub delivered: Vec<u64>,
    /// Guests' records that are erased.
    pub erased: Vec<Erasure>,
    /// The end of the audit trail, where it goes to the cloud.
    pub audit: Option<AuditHead>,
    /// Telemetry up to this number is about to be handed out: it, and some numbers after it, will not be changed any more
    /// ([`LaneMarks::sent`]).
    pub sent: Option<u64>,
    /// What follows from the database being a copy of an earlier time ([`crate::Store::is_put_back`]) is among the entities:
    /// the house needs not be told again.
    pub put_back: bool,
    /// This release was confirmed: from now on it is the one that a later one on trial may have to go back to.
    pub confirmed: bool,
}

impl Batch {
    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.touched.is_empty()
            && self.inbox.is_none()
            && self.acknowledged.is_empty()
            && self.events.is_empty()
            && self.delivered.is_empty()
            && self.erased.is_empty()
            && self.audit.is_none()
            && self.sent.is_none()
            && !self.put_back
            && !self.confirmed
    }
}

/// How soon a commit must survive a power cut. It survives the end of the process at once, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before [`Store::commit`] returns: for guests, money, commands, acknowledgements and alarms.
    Now,
    /// With the next commit that is durable, or [`Store::settle`]: for measured values, which the devices would tell
    /// again. Until then [`Store::marks`] does not show its rows, so that no row is sent that could still be lost.
    Soon,
}
