//! The door of the gateway's own broker: what a device or a commander publishes goes to the desk before it
//! is acknowledged.
//!
//! Never: acknowledges what is not durable. When the house stops, what is at the door is left unacknowledged
//! and its sender sends it again.

use super::Counters;
use super::broker::{Door, Verdict};
use super::desk::{Incoming, ToDesk};
use super::discovery;
use super::topic::HouseTopics;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The way to the desk.
pub(super) struct DeskDoor {
    pub(super) topics: HouseTopics,
    /// The topics that devices report on.
    pub(super) devices: HashSet<String>,
    /// True where devices tell of themselves.
    pub(super) discover: bool,
    pub(super) desk: mpsc::Sender<ToDesk>,
    pub(super) counters: Arc<Counters>,
    pub(super) cancel: CancellationToken,
}

impl Door for DeskDoor {
    fn publication<'a>(
        &'a self,
        topic: &'a str,
        payload: Bytes,
        retain: bool,
        acknowledged: bool,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let command = self.topics.command(topic).is_some();
            let found = self.discover && discovery::listens(topic);
            if !command && !found && !self.devices.contains(topic) {
                return Verdict::Pass;
            }
            // Here it is news, whatever its flag says; but a command must not stay behind to be read again.
            let good = if command && retain { Verdict::Consume } else { Verdict::Pass };
            let mut message = Incoming { topic: topic.to_owned(), payload, retained: false, durable: None };
            if !acknowledged {
                if self.desk.try_send(ToDesk::Message(message)).is_err() {
                    Counters::add(&self.counters.messages_dropped);
                }
                return good;
            }
            let (durable, confirmed) = oneshot::channel();
            message.durable = Some(durable);
            let taken_in = async {
                self.desk.send(ToDesk::Message(message)).await.ok()?;
                confirmed.await.ok()
            };
            match self.cancel.run_until_cancelled(taken_in).await.flatten() {
                Some(()) => good,
                None => Verdict::Withhold,
            }
        })
    }
}
