//! The PMS: who is in the house, what is on the bills, and how it speaks FIAS with one interface. No sockets here.
//!
//! It is the server's side of the specification: it greets with LS, takes LD, LR and LA, answers with LA, and from
//! then on the link is alive. It sends a record only if an LR has asked for it, and of it only the fields that were
//! asked for. A posting (PS) is booked once: a number (P#) that comes again gets the answer that it got before.

mod desk;
mod ledger;
#[cfg(test)]
mod tests;

use crate::fias::Record;
use crate::plan::Guest;
use crate::played::Happened;
use jiff::civil::DateTime;
use ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet};

/// Records that an interface may ask for with LR; more are ignored.
const MOST_ASKED: usize = 64;

/// How far the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// No connection.
    Closed,
    /// Connected, LS sent; descriptions are awaited.
    Greeted,
    /// Data flows.
    Alive,
    /// LE was said.
    Ended,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Out {
    /// Write it to the socket.
    Send(Record),
    /// Enter it into the log of what was played, before what is sent next.
    Log(Happened),
    /// The link has become alive.
    Alive,
    /// A list of the house has gone out.
    Listed,
    /// A posting that said this in its text has its final answer.
    Settled(String),
    /// Close the connection, after a moment.
    Close,
}

struct Present {
    guest: Guest,
    room: String,
}

/// The PMS.
pub(crate) struct Pms {
    rooms: BTreeSet<String>,
    house: BTreeMap<String, Present>,
    ledger: Ledger,
    currency: String,
    link: Link,
    /// The fields that LR has asked for, by record; bounded by [`MOST_ASKED`].
    asked: BTreeMap<String, BTreeSet<String>>,
    audit: bool,
}

impl Pms {
    /// The PMS of an empty house with these rooms.
    pub(crate) fn new(rooms: impl IntoIterator<Item = String>, currency: &str) -> Self {
        Self {
            rooms: rooms.into_iter().collect(),
            house: BTreeMap::new(),
            ledger: Ledger::default(),
            currency: currency.to_owned(),
            link: Link::Closed,
            asked: BTreeMap::new(),
            audit: false,
        }
    }

    /// True while data may flow.
    pub(crate) fn alive(&self) -> bool {
        self.link == Link::Alive
    }

    /// An interface has connected.
    pub(crate) fn connected(&mut self, now: DateTime) -> Vec<Out> {
        self.link = Link::Greeted;
        self.asked.clear();
        vec![Out::Send(stamped("LS", now))]
    }

    /// The connection is gone. True if the link was alive.
    pub(crate) fn closed(&mut self) -> bool {
        let was_alive = self.alive();
        self.link = Link::Closed;
        was_alive
    }

    /// A record from the interface.
    pub(crate) fn received(&mut self, now: DateTime, record: &Record) -> Vec<Out> {
        match (record.id.as_str(), self.link) {
            (_, Link::Closed | Link::Ended) => vec![],
            ("LS", Link::Alive) => vec![Out::Send(stamped("LA", now))],
            ("LS", Link::Greeted) => vec![Out::Send(stamped("LS", now))],
            ("LD", _) => {
                self.asked.clear();
                vec![]
            }
            ("LR", _) => {
                self.describe(record);
                vec![]
            }
            // Without an LR there is nothing to send: the link does not come up.
            ("LA", Link::Greeted) if !self.asked.is_empty() => {
                self.link = Link::Alive;
                vec![Out::Send(stamped("LA", now)), Out::Log(Happened::LinkAlive), Out::Alive]
            }
            // An LA that ends new descriptions, or an idle word; answering it could go on for ever.
            ("LA", _) => vec![],
            ("LE", link) => {
                self.link = Link::Ended;
                let lost = (link == Link::Alive).then_some(Out::Log(Happened::LinkLost));
                lost.into_iter().chain([Out::Send(stamped("LE", now)), Out::Close]).collect()
            }
            // Data before the link is alive is ignored.
            (_, Link::Greeted) => vec![],
            ("DR", Link::Alive) => self.list(now),
            ("PS", Link::Alive) => self.posting(now, record),
            ("RE", Link::Alive) => Self::room_status(record),
            (other, Link::Alive) => {
                tracing::debug!(record = other, "a record that this PMS does not use");
                vec![]
            }
        }
    }

    fn describe(&mut self, record: &Record) {
        let (Some(id), Some(list)) = (record.get("RI"), record.get("FL")) else { return };
        if self.asked.len() >= MOST_ASKED && !self.asked.contains_key(id) {
            return;
        }
        let chars: Vec<char> = list.chars().collect();
        let fields = chars.chunks(2).map(|pair| pair.iter().collect()).collect();
        self.asked.insert(id.to_owned(), fields);
    }

    /// The record as the interface has asked for it; nothing where it has not.
    fn send(&self, record: Record) -> Option<Out> {
        let asked = self.asked.get(&record.id)?;
        let fields = record.fields.into_iter().filter(|(id, _)| asked.contains(id)).collect();
        Some(Out::Send(Record { id: record.id, fields }))
    }
}

/// A record that carries the PMS's clock.
fn stamped(id: &str, now: DateTime) -> Record {
    with_clock(Record::new(id), now)
}

/// `record` with the date and time fields.
pub(crate) fn with_clock(record: Record, now: DateTime) -> Record {
    record.with("DA", now.strftime("%y%m%d").to_string()).with("TI", now.strftime("%H%M%S").to_string())
}
