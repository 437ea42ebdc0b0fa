//! What waits for the broker: state with its latest value only, events in order.
//!
//! Why: while the broker is slow or away, an older value of a retained topic is worth nothing once there is
//! a newer one; an answer to a command is worth its place in the queue. State that is on its way when the
//! connection breaks is not kept: the snapshot follows on the next one. State that the broker has already is
//! not sent again.
//!
//! Never: sockets, the clock (time comes in).

use super::house::Publication;
use super::survey::print;
use engawa_model::{CommandKey, Timestamp};
use std::collections::{HashMap, VecDeque};

/// Events that wait. At the bound the oldest is dropped and counted: nobody waits that long for an answer.
const MAX_EVENTS: usize = 1024;

/// Retained topics that wait. The house has one for each room, point, device, link, posting and alert, so
/// this is far above need; at the bound the new one is dropped and counted, the next snapshot has it. As many
/// topics are remembered as known to the broker; at the bound a new one is sent whenever it is published.
const MAX_STATES: usize = 200_000;

/// One message on its way to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// Of the house.
    House(Publication),
    /// Of the house, kept in the store until it is acknowledged.
    Stored {
        /// Its number there.
        number: u64,
        /// What it is.
        publication: Publication,
    },
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
            Self::House(publication) | Self::Stored { publication, .. } | Self::Write { publication, .. } => {
                publication
            }
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
    /// What the broker has of each retained topic, or will have once it has acknowledged; as prints.
    known: HashMap<u64, u64>,
}

/// What may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Everything.
    All,
    /// Events only: what the broker has of the states is being found out.
    Events,
}

impl Outbox {
    /// Queues a message of the house.
    pub(super) fn push(&mut self, publication: Publication) {
        if !publication.retain {
            return self.push_event(Outgoing::House(publication));
        }
        let Publication { topic, payload, .. } = publication;
        if !self.states.contains_key(&topic) && self.knows(&topic, &payload) {
            return;
        }
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

    /// Queues an event that is in the store.
    pub(super) fn push_stored(&mut self, number: u64, publication: Publication) {
        self.push_event(Outgoing::Stored { number, publication });
    }

    /// How many events wait.
    pub(super) fn events(&self) -> usize {
        self.events
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

    /// The next message; left out are writes whose time has run out, and states that the broker has.
    pub(super) fn pop(&mut self, now: Timestamp, allowed: Allowed) -> Option<Outgoing> {
        loop {
            let slot = match allowed {
                Allowed::All => self.order.pop_front()?,
                Allowed::Events => {
                    let first = self.order.iter().position(|slot| matches!(slot, Slot::Event(_)))?;
                    self.order.remove(first)?
                }
            };
            match slot {
                Slot::State(topic) => {
                    // Each state slot has its payload: they are inserted and removed together.
                    let payload = self.states.remove(&topic)?;
                    if self.knows(&topic, &payload) {
                        continue;
                    }
                    let key = print(topic.as_bytes());
                    if self.known.len() < MAX_STATES || self.known.contains_key(&key) {
                        self.known.insert(key, print(payload.as_bytes()));
                    }
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
    }

    fn knows(&self, topic: &str, payload: &str) -> bool {
        self.known.get(&print(topic.as_bytes())) == Some(&print(payload.as_bytes()))
    }

    /// What the broker was found to have.
    pub(super) fn learn(&mut self, known: HashMap<u64, u64>) {
        self.known = known;
    }

    /// The broker may not have what it was sent on `topic`.
    pub(super) fn forget(&mut self, topic: &str) {
        self.known.remove(&print(topic.as_bytes()));
    }

    /// Takes back what was not acknowledged when the connection broke, in its order. State is left to the
    /// snapshot, writes to whoever keeps the orders, stored events to the store.
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

    /// Forgets what a snapshot will say better, writes, which are given anew after a reconnect, and stored events,
    /// which are read anew.
    pub(super) fn keep_only_events(&mut self) {
        self.states.clear();
        self.known.clear();
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
        std::iter::from_fn(|| outbox.pop(now, Allowed::All))
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
    fn what_the_broker_has_is_not_sent_again() {
        let mut outbox = Outbox::default();
        outbox.learn(HashMap::from([(print(b"a"), print(b"1")), (print(b"b"), print(b"1"))]));
        for (topic, payload) in [("a", "1"), ("b", "2"), ("c", "1")] {
            outbox.push(state(topic, payload));
        }
        assert_eq!(drain(&mut outbox, Timestamp::UNIX_EPOCH), ["b=2", "c=1"]);
        outbox.push(state("b", "3"));
        outbox.push(state("b", "2"));
        outbox.push(state("c", "1"));
        assert_eq!(drain(&mut outbox, Timestamp::UNIX_EPOCH), [""; 0], "back before it went out");
        outbox.forget("c");
        outbox.push(state("c", "1"));
        assert_eq!(drain(&mut outbox, Timestamp::UNIX_EPOCH), ["c=1"]);
        outbox.keep_only_events();
        outbox.push(state("b", "2"));
        assert_eq!(
            drain(&mut outbox, Timestamp::UNIX_EPOCH),
            ["b=2"],
            "the next connection is another matter"
        );
    }

    #[test]
    fn while_the_broker_is_asked_only_events_go_out() {
        let mut outbox = Outbox::default();
        outbox.push(state("a", "1"));
        outbox.push(event("x"));
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(outbox.pop(now, Allowed::Events).map(|out| out.publication().clone()), Some(event("x")));
        assert_eq!(outbox.pop(now, Allowed::Events), None);
        assert_eq!(drain(&mut outbox, now), ["a=1"]);
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
            Outgoing::Stored { number: 1, publication: event("s") },
            Outgoing::House(event("y")),
        ];
        outbox.take_back(lost);
        outbox.keep_only_events();
        assert_eq!(drain(&mut outbox, Timestamp::UNIX_EPOCH), ["e=x", "e=y", "e=z"]);
    }
}
