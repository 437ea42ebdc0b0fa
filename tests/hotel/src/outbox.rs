//! What is still to be published: messages stay here until the broker has acknowledged them. No sockets here.

use crate::plan::Charge;
use std::collections::VecDeque;

/// Messages under way at a time.
pub(crate) const MOST_FLYING: usize = 16;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    /// Its number here.
    pub(crate) id: u64,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    /// The charge that it carries; none for a state, of which only the newest counts.
    pub(crate) charge: Option<Charge>,
    /// How often it went out.
    pub(crate) tries: u32,
}

/// The messages, oldest first. States are bounded by the number of topics plus what flies; charges by the day's plan.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Message>,
    /// Bounded by [`MOST_FLYING`].
    flying: VecDeque<Message>,
    last: u64,
}

impl Outbox {
    /// Takes a message. A state takes the place of an older one of its topic that has not gone out.
    pub(crate) fn push(&mut self, topic: String, payload: Vec<u8>, charge: Option<Charge>) {
        if charge.is_none() {
            self.waiting.retain(|message| message.charge.is_some() || message.topic != topic);
        }
        self.last += 1;
        self.waiting.push_back(Message { id: self.last, topic, payload, charge, tries: 0 });
    }

    /// The next message to publish, if one may go; it flies from now on.
    pub(crate) fn next(&mut self) -> Option<Message> {
        if self.flying.len() >= MOST_FLYING {
            return None;
        }
        let mut message = self.waiting.pop_front()?;
        message.tries += 1;
        self.flying.push_back(message.clone());
        Some(message)
    }

    /// The broker has it.
    pub(crate) fn acknowledged(&mut self, id: u64) -> Option<Message> {
        let at = self.flying.iter().position(|message| message.id == id)?;
        self.flying.remove(at)
    }

    /// The connection is gone: what flew is published again, in its order, before what waits.
    pub(crate) fn grounded(&mut self) {
        while let Some(message) = self.flying.pop_back() {
            let newer = self.waiting.iter().any(|other| other.topic == message.topic);
            if message.charge.is_some() || !newer {
                self.waiting.push_front(message);
            }
        }
    }

    /// Messages without an acknowledgement.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.flying.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(key: &str) -> Option<Charge> {
        let (room, stay, text) = ("101".into(), "1".into(), key.to_owned());
        Some(Charge { key: key.to_owned(), room, stay, minor: 1, text, outlet: "BAR" })
    }

    fn fly(outbox: &mut Outbox) -> Vec<(String, u32)> {
        std::iter::from_fn(|| outbox.next()).map(|message| (message.topic, message.tries)).collect()
    }

    #[test]
    fn charges_stay_until_they_are_acknowledged_and_keep_their_order() {
        let mut outbox = Outbox::default();
        for key in ["a", "b", "c"] {
            outbox.push(key.to_owned(), vec![], charge(key));
        }
        assert_eq!(fly(&mut outbox), [("a".into(), 1), ("b".into(), 1), ("c".into(), 1)]);
        assert_eq!(outbox.acknowledged(2).map(|message| message.topic), Some("b".into()));
        assert_eq!(outbox.acknowledged(2), None);
        outbox.grounded();
        outbox.push("d".into(), vec![], charge("d"));
        assert_eq!(fly(&mut outbox), [("a".into(), 2), ("c".into(), 2), ("d".into(), 1)]);
        for id in [1, 3, 4] {
            assert!(outbox.acknowledged(id).is_some());
        }
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn of_a_state_only_the_newest_counts() {
        let mut outbox = Outbox::default();
        outbox.push("w".into(), b"1".to_vec(), None);
        outbox.push("w".into(), b"2".to_vec(), None);
        assert_eq!(outbox.next().unwrap().payload, b"2");
        outbox.push("w".into(), b"3".to_vec(), None);
        outbox.grounded();
        assert_eq!((outbox.next().unwrap().payload, outbox.len()), (b"3".to_vec(), 1));
    }

    #[test]
    fn no_more_than_the_limit_fly() {
        let mut outbox = Outbox::default();
        for n in 0..MOST_FLYING + 5 {
            outbox.push(n.to_string(), vec![], charge("x"));
        }
        assert_eq!(fly(&mut outbox).len(), MOST_FLYING);
        outbox.acknowledged(1);
        assert_eq!(fly(&mut outbox).len(), 1);
    }
}
