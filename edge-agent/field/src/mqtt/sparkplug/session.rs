//! One connection to the broker for Sparkplug, over [`Wire`](crate::mqtt::wire::Wire).
//!
//! A client for each connection, thrown away with it: what was under way is of no use in the next one, which begins
//! with births.
//!
//! Never: decodes a payload.

use super::node::Message;
use crate::mqtt::client::{Dialled, Target, in_one_line};
use crate::mqtt::wire::{Delivery, Event, Failure, MAX_PACKET, Receipt, Will};
use std::collections::VecDeque;
use std::time::Duration;

/// Messages that wait inside the library. What does not fit waits in [`Session::queue`].
const REQUESTS: usize = 256;
/// The topic and the packet's own fields, bytes, at most.
const OVERHEAD: usize = 1024;
/// How long saying good-bye may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// One connection.
pub(super) struct Session {
    pub(super) dialled: Dialled,
    /// What the library had no room for yet, in order. No updates are taken meanwhile, so this is bounded by the
    /// births of the house and one batch.
    queue: VecDeque<Message>,
}

impl Session {
    /// Begins to connect.
    ///
    /// # Errors
    /// Files that can't be used.
    pub(super) async fn open(target: &Target, will: Message) -> Result<Self, String> {
        let will = Will { topic: will.topic, payload: will.payload, retain: false };
        // Sections 2.5 and 5.4: no session outlives its connection.
        let dialled = target.dial(Some(will), None, REQUESTS).await.map_err(|error| in_one_line(&error))?;
        Ok(Self { dialled, queue: VecDeque::new() })
    }

    /// The next event, or why the connection is over. May be dropped while it waits.
    pub(super) async fn event(&mut self) -> Result<Event, Failure> {
        self.dialled.wire.event().await
    }

    /// Acknowledges a message.
    pub(super) fn acknowledge(&self, receipt: Receipt) -> Result<(), String> {
        let full = |_| "too many acknowledgements are waiting".to_owned();
        self.dialled.wire.acknowledge(receipt).map_err(full)
    }

    /// Subscribes to `filters`, in one packet and with QoS 1.
    pub(super) fn subscribe(&self, filters: Vec<String>) -> Result<(), String> {
        let sent = self.dialled.wire.subscribe(&filters, Delivery::AtLeastOnce);
        sent.map_err(|_| "the subscriptions can't be sent".to_owned())
    }

    /// True where everything has been handed over: updates may be taken.
    pub(super) fn idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Publishes `message` after those before it.
    ///
    /// # Errors
    /// It is longer than any broker is sent; nothing that follows could be understood without it.
    pub(super) fn publish(&mut self, message: Message) -> Result<(), String> {
        if message.payload.len() + OVERHEAD > MAX_PACKET {
            return Err(format!("a message of {} bytes on {}", message.payload.len(), message.topic));
        }
        self.queue.push_back(message);
        self.pump();
        Ok(())
    }

    /// Hands over what the library has room for. To be called after each event.
    pub(super) fn pump(&mut self) {
        while let Some(message) = self.queue.front() {
            let delivery = if message.at_least_once { Delivery::AtLeastOnce } else { Delivery::AtMostOnce };
            let payload = message.payload.clone();
            if self.dialled.wire.publish(&message.topic, payload, delivery, false, None).is_err() {
                // Full: each event that the library reports makes room.
                return;
            }
            self.queue.pop_front();
        }
    }

    /// Leaves on purpose: the death first, and DISCONNECT when the broker has it (section 5.5). Where nothing was
    /// said there is no death to say, and the connection is just dropped: the broker then publishes the will.
    pub(super) async fn farewell(mut self, death: Option<Message>) {
        let Some(death) = death else { return };
        let bye = async {
            self.publish(death).ok()?;
            while let Ok(event) = self.dialled.wire.event().await {
                self.pump();
                match event {
                    // Deaths are the only messages that are acknowledged.
                    Event::Acknowledged { .. } => self.dialled.wire.disconnect().ok()?,
                    Event::Left => break,
                    _ => {}
                }
            }
            Some(())
        };
        if tokio::time::timeout(FAREWELL, bye).await.is_err() {
            tracing::warn!("the Sparkplug broker did not take the good-bye in time");
        }
    }
}
