//! What waits for the broker: state with its latest value only, events in order.
//!
//! Why: while the broker is slow or away, an older value of a retained topic is worth nothing once there is
//! a newer one; an answer to a command is worth its place in the queue. State that is on its way when the
//! connection breaks is not kept: the snapshot follows on the next one.
//!
//! Never: sockets, the clock (time comes in).

use super::house::Publication;
use engawa_model::{CommandKey, Timestamp};
use std::collections::{HashMap, VecDeque};

/// Events that wait. At the bound the oldest is dropped and counted: nobody waits that long for an answer.
const MAX_EVENTS: usize = 1024;

/// Retained topics that wait. The house has one for each room, point, device, link, posting and alert, so
/// this is far above need; at the bound the new one is dropped and counted, the next snapshot has it.
const MAX_STATES: usize = 200_000;

/// One message on its way to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// Of the house.
    House(Publication),
    /// To a device.
    Write {
        /// The order's key.
        key: CommandKey,
        /// Where to and what.
        publication: Publication,
        /// After this instant it must not go out.
        expires: Timestamp,
    },
}

impl Outgoing {
    pub(super) fn publication(&self) -> &Publication {
        match self {
            Self::House(publication) | Self::Write { publication, .. } => publication,
        }
    }
}

#[derive(Debug)]
enum Slot {
    State(String),
    Event(Outgoing),
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    order: VecDeque<Slot>,
    states: HashMap<String, String>,
    events: usize,
    dropped: u64,
}

impl Outbox {
    /// Queues a message of the house.
    pub(super) fn push(&mut self, publication: Publication) {
        if !publication.retain {
            return self.push_event(Outgoing::House(publication));
        }
        let Publication { topic, payload, .. } = publication;
        if let Some(waiting) = self.states.get_mut(&topic) {
            *waiting = payload;
        } else if self.states.len() < MAX_STATES {
            self.states.insert(topic.clone(), payload);
            self.order.push_back(Slot::State(topic));
        } else {
            self.dropped += 1;
        }
    }

    /// Queues a write to a device.
    pub(super) fn push_write(&mut self, key: CommandKey, publication: Publication, expires: Timestamp) {
        self.push_event(Outgoing::Write { key, publication, expires });
    }

    fn push_event(&mut self, event: Outgoing) {
        if self.events >= MAX_EVENTS
            && let Some(oldest) = self.order.iter().position(|slot| matches!(slot, Slot::Event(_)))
        {
            self.order.remove(oldest);
            self.events -= 1;
            self.dropped += 1;
        }
        self.order.push_back(Slot::Event(event));
        self.events += 1;
    }

    /// The next message; writes whose time has run out are left out.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Outgoing> {
        while let Some(slot) = self.order.pop_front() {
            match slot {
                Slot::State(topic) => {
                    // Each state slot has its payload: they are inserted and removed together.
                    let payload = self.states.remove(&topic)?;
                    return Some(Outgoing::House(Publication { topic, payload, retain: true }));
                }
                Slot::Event(event) => {
                    self.events -= 1;
                    match &event {
                        Outgoing::Write { expires, .. } if *expires <= now => {}
                        _ => return Some(event),
                    }
                }
            }
        }
        None
    }

    /// Takes back what was not acknowledged when the connection broke, in its order. State is left to the
    /// snapshot, writes to whoever keeps the orders.
    pub(super) fn take_back(&mut self, unacknowledged: Vec<Outgoing>) {
        for outgoing in unacknowledged.into_iter().rev() {
            if matches!(&outgoing, Outgoing::House(publication) if !publication.retain)
                && self.events < MAX_EVENTS
            {
                self.order.push_front(Slot::Event(outgoing));
                self.events += 1;
            }
        }
    }

    /// Forgets what a snapshot will say better, and writes, which are given anew after a reconnect.
    pub(super) fn keep_only_events(&mut self) {
        self.states.clear();
        self.order.retain(|slot| matches!(slot, Slot::Event(Outgoing::House(_))));
        self.events = self.order.len();
    }

    /// How many were dropped at a bound since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(topic: &str, payload: &str) -> Publication {
        Publication::state(topic.to_owned(), payload)
    }

    fn event(payload: &str) -> Publication {
        Publication::event("e".to_owned(), payload)
    }

    fn drain(outbox: &mut Outbox, now: Timestamp) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop(now))
            .map(|out| format!("{}={}", out.publication().topic, out.publication().payload))
            .collect()
    }

    #[test]
    fn state_is_sent_once_with_its_latest_value_and_events_in_order() {
        let mut outbox = Outbox::default();
        outbox.push(state("a", "1"));
        outbox.push(event("x"));
        outbox.push(state("b", "1"));
        outbox.push(state("a", "2"));
        outbox.push(event("y"));
        assert_eq!(drain(&mut outbox, Timestamp::UNIX_EPOCH), ["a=2", "e=x", "b=1", "e=y"]);
        outbox.push(state("a", "3"));
        assert_eq!(drain(&mut outbox, Timestamp::UNIX_EPOCH), ["a=3"]);
    }

    #[test]
    fn an_expired_write_does_not_go_out() {
        let mut outbox = Outbox::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        outbox.push_write("old".into(), event("old"), at(10));
        outbox.push_write("new".into(), event("new"), at(11));
        assert_eq!(drain(&mut outbox, at(10)), ["e=new"]);
    }

    #[test]
    fn at_the_bound_the_oldest_event_is_dropped_and_counted() {
        let mut outbox = Outbox::default();
        outbox.push(state("a", "1"));
        for n in 0..MAX_EVENTS + 2 {
            outbox.push(event(&n.to_string()));
        }
        assert_eq!(outbox.take_dropped(), 2);
        let sent = drain(&mut outbox, Timestamp::UNIX_EPOCH);
        assert_eq!(sent.len(), MAX_EVENTS + 1);
        assert_eq!(sent[..2], ["a=1", "e=2"]);
    }

    #[test]
    fn after_a_break_events_come_first_again_and_state_is_left_to_the_snapshot() {
        let mut outbox = Outbox::default();
        outbox.push(state("a", "1"));
        outbox.push(event("z"));
        let lost = vec![
            Outgoing::House(event("x")),
            Outgoing::House(state("b", "1")),
            Outgoing::Write { key: "k".into(), publication: event("w"), expires: Timestamp::MAX },
            Outgoing::House(event("y")),
        ];
        outbox.take_back(lost);
        outbox.keep_only_events();
        assert_eq!(drain(&mut outbox, Timestamp::UNIX_EPOCH), ["e=x", "e=y", "e=z"]);
    }
}
