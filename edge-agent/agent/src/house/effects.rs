//! What goes out once a transaction is durable, and how soon that has to be.

use super::Erasures;
use crate::publishing::Published;
use engawa_field::mqtt::sparkplug;
use engawa_model::{Entity, Erasure, Intent, Lane};
use engawa_store::{Batch, Durability};
use tokio::sync::oneshot;

/// What goes out once a transaction is durable.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) intents: Vec<Intent>,
    pub(super) published: Published,
    pub(super) updates: Vec<sparkplug::Update>,
    pub(super) observed: Vec<oneshot::Sender<()>>,
    /// The same for commands, whose answer is a promise.
    pub(super) asked: Vec<oneshot::Sender<()>>,
    /// Who waits to hand telemetry out.
    pub(super) sent: Vec<oneshot::Sender<()>>,
    pub(super) accepted: Vec<oneshot::Sender<u64>>,
    pub(super) erased: Vec<(oneshot::Sender<Erasures>, Vec<Erasure>)>,
}

impl Effects {
    /// Adds `next`; what was published before has gone out.
    pub(super) fn join(&mut self, next: Self) {
        self.intents.extend(next.intents);
        self.published = next.published;
        self.updates.extend(next.updates);
        self.observed.extend(next.observed);
        self.asked.extend(next.asked);
        self.sent.extend(next.sent);
        self.accepted.extend(next.accepted);
        self.erased.extend(next.erased);
    }
}

/// Measured values alone may wait for their fsync; whatever somebody was told, or acts on, may not.
pub(super) fn durability(batch: &Batch, effects: &Effects) -> Durability {
    let measured = batch.changes.iter().all(|(_, change)| change.lane() == Lane::Telemetry)
        && batch.touched.iter().all(|entity| matches!(entity, Entity::Point(_) | Entity::RoomRules(_)))
        && batch.inbox.is_none()
        && batch.acknowledged.is_empty()
        && effects.intents.is_empty()
        && effects.observed.is_empty()
        && effects.asked.is_empty()
        && effects.sent.is_empty()
        && effects.accepted.is_empty();
    if measured { Durability::Soon } else { Durability::Now }
}
