//! The edge node: what is published when, as a state machine (Sparkplug 3.0, chapter 5).
//!
//! Why a machine without I/O: the order of births, data and deaths and their numbers are the whole protocol. Here
//! each can be tried in a table, and the shell around it only carries messages.
//!
//! Terms: to *look* is to ask for the whole picture of the house as it is now; it is asked for at each birth, so
//! that nothing has to be kept while the broker is away.
//!
//! Never: sockets, the clock; anything but births as the first words of a session.

use super::command;
use super::host::{HostNews, PrimaryHost};
use super::house::{Picture, Update};
use super::metrics::{self, Metrics, NeedsBirth, millis};
use super::names::{Heard, NodeNames};
use super::payload::{Metric, Payload};
use engawa_model::{DeviceId, PointId, Timestamp, Value};
use jiff::SignedDuration;
use prost::Message as _;
use std::collections::BTreeSet;

/// All births again at most this often; what is asked meanwhile is answered by the next. Hosts that all miss the
/// same message all ask at once.
const BETWEEN_BIRTHS: SignedDuration = SignedDuration::from_secs(1);

/// Gives the house as it is now.
pub type Look<'a> = &'a mut dyn FnMut() -> Picture;

/// A message to publish. Nothing of Sparkplug's edge nodes is ever retained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The whole topic.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// True for QoS 1 (deaths of the node), false for QoS 0 (all else).
    pub at_least_once: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Out {
    /// Publish, in this order.
    Publish(Message),
    /// A host wants a point written.
    Ask {
        /// Which.
        point: PointId,
        /// What to.
        value: Value,
    },
    /// The primary host is gone: disconnect, in order, and start over.
    Leave,
    /// A message that could not be used.
    Refused {
        /// Its topic.
        topic: String,
        /// Why, in plain words.
        why: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No session.
    Offline,
    /// A session; the primary host has not been seen online in it.
    Waiting,
    /// Births have been published in this session.
    Born,
}

/// The edge node.
#[derive(Debug)]
pub struct EdgeNode {
    names: NodeNames,
    host: PrimaryHost,
    phase: Phase,
    bd_seq: Option<u8>,
    seq: u8,
    metrics: Metrics,
    /// The devices that were born and have not died since.
    alive: BTreeSet<DeviceId>,
    last_birth: Option<Timestamp>,
    rebirth_due: Option<Timestamp>,
}

impl EdgeNode {
    /// A node that has never been connected, but for the sessions of earlier runs: `last` is the number of the last.
    pub fn new(names: NodeNames, last: Option<u8>) -> Self {
        Self {
            names,
            host: PrimaryHost::default(),
            phase: Phase::Offline,
            bd_seq: last,
            seq: 0,
            metrics: Metrics::default(),
            alive: BTreeSet::new(),
            last_birth: None,
            rebirth_due: None,
        }
    }

    /// Its names.
    pub fn names(&self) -> &NodeNames {
        &self.names
    }

    /// True while what is published is in a session that births have opened.
    pub fn born(&self) -> bool {
        self.phase == Phase::Born
    }

    /// A connection is about to be made: its number, which must be kept before, and the will to connect with.
    pub fn connect(&mut self, now: Timestamp) -> (u8, Message) {
        let number = self.bd_seq.map_or(0, |last| last.wrapping_add(1));
        self.bd_seq = Some(number);
        self.disconnected();
        (number, self.death(now))
    }

    /// The connection is there and the subscriptions are made.
    pub fn connected(&mut self, now: Timestamp, look: Look<'_>) -> Vec<Out> {
        self.phase = Phase::Waiting;
        self.birth_unless_waiting(now, look)
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Offline;
        self.host.forget();
        self.alive.clear();
        self.rebirth_due = None;
    }

    /// The last words before the connection is given up on purpose; none where nothing was said before.
    pub fn farewell(&mut self, now: Timestamp) -> Option<Message> {
        let born = self.born();
        self.phase = Phase::Offline;
        born.then(|| self.death(now))
    }

    /// The house has changed. Before the births this says nothing: they tell everything.
    pub fn changed(&mut self, updates: Vec<Update>, now: Timestamp, look: Look<'_>) -> Vec<Out> {
        if !self.born() || self.rebirth_due.is_some() {
            return vec![];
        }
        let mut out = Vec::new();
        let mut batch = Batch::default();
        // Their births show what is still to come of them here.
        let mut reborn = BTreeSet::new();
        for update in updates {
            let (device, reading) = match update {
                Update::Node(reading) => (None, reading),
                Update::Metric { device, .. }
                    if !self.alive.contains(&device) || reborn.contains(&device) =>
                {
                    continue;
                }
                Update::Metric { device, reading } => (Some(device), reading),
                Update::Well(picture) => {
                    self.flush(&mut batch, now, &mut out);
                    let metrics = self.metrics.birth(Some(&picture.device), &picture.metrics, now);
                    out.push(self.of_device("DBIRTH", &picture.device, metrics, now));
                    self.alive.insert(picture.device);
                    continue;
                }
                Update::Unwell(device) => {
                    self.flush(&mut batch, now, &mut out);
                    out.extend(self.bury(&device, now));
                    continue;
                }
            };
            if batch.device != device {
                self.flush(&mut batch, now, &mut out);
                batch.device.clone_from(&device);
            }
            match self.metrics.data(device.as_ref(), &reading, now) {
                Ok(metric) => batch.metrics.extend(metric),
                Err(NeedsBirth) => {
                    self.flush(&mut batch, now, &mut out);
                    let picture = look();
                    let Some(device) = device else {
                        // The births show the rest as well.
                        out.extend(self.birth(now, picture));
                        return out;
                    };
                    match picture.devices.into_iter().find(|picture| picture.device == device) {
                        Some(picture) => {
                            let metrics = self.metrics.birth(Some(&device), &picture.metrics, now);
                            out.push(self.of_device("DBIRTH", &device, metrics, now));
                            reborn.insert(device);
                        }
                        // It has died meanwhile; its own update says so as well.
                        None => out.extend(self.bury(&device, now)),
                    }
                }
            }
        }
        self.flush(&mut batch, now, &mut out);
        out
    }

    /// Updates were lost: tells whatever is not as it was told.
    pub fn catch_up(&mut self, now: Timestamp, look: Look<'_>) -> Vec<Out> {
        let Picture { node, devices } = look();
        let well: BTreeSet<&DeviceId> = devices.iter().map(|picture| &picture.device).collect();
        let gone = self.alive.iter().filter(|device| !well.contains(device));
        let mut updates: Vec<Update> = gone.cloned().map(Update::Unwell).collect();
        updates.extend(node.into_iter().map(Update::Node));
        for picture in devices {
            if self.alive.contains(&picture.device) {
                let device = picture.device;
                updates.extend(
                    picture
                        .metrics
                        .into_iter()
                        .map(|reading| Update::Metric { device: device.clone(), reading }),
                );
            } else {
                updates.push(Update::Well(picture));
            }
        }
        self.changed(updates, now, look)
    }

    /// A message came on a topic that the node has subscribed to. `retained` is its flag as delivered.
    pub fn heard(
        &mut self,
        topic: &str,
        payload: &[u8],
        retained: bool,
        now: Timestamp,
        look: Look<'_>,
    ) -> Vec<Out> {
        let refused = |why: String| Out::Refused { topic: topic.to_owned(), why };
        match self.names.heard(topic) {
            None => vec![refused("nothing of this node is asked by this topic".to_owned())],
            Some(Heard::State) => match self.host.hear(payload) {
                Err(why) => vec![refused(why)],
                Ok(HostNews::Offline) if self.born() => {
                    let death = self.farewell(now).map(Out::Publish);
                    death.into_iter().chain([Out::Leave]).collect()
                }
                // Online, or offline where births have not been published: the session waits.
                Ok(HostNews::Online | HostNews::Offline) => self.birth_unless_waiting(now, look),
                Ok(HostNews::Old) => vec![],
            },
            Some(_) if retained => {
                vec![refused("a retained command would be carried out again at each connection".to_owned())]
            }
            Some(_) if !self.born() => vec![refused("the node has not told its metrics yet".to_owned())],
            Some(Heard::NodeCommand) => {
                let mut out = Vec::new();
                let mut asked = false;
                for read in command::of_node(payload) {
                    match read {
                        Ok(command::RebirthAsked) => asked = true,
                        Err(why) => out.push(refused(why)),
                    }
                }
                if asked {
                    out.extend(self.rebirth(now, look));
                }
                out
            }
            Some(Heard::DeviceCommand(device)) => command::of_device(payload, &device, &self.metrics)
                .into_iter()
                .map(|read| read.map_or_else(refused, |(point, value)| Out::Ask { point, value }))
                .collect(),
        }
    }

    /// When [`EdgeNode::tick`] has something to do, if nothing happens before.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.rebirth_due
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp, look: Look<'_>) -> Vec<Out> {
        match self.rebirth_due {
            Some(due) if due <= now && self.born() => self.birth(now, look()),
            _ => vec![],
        }
    }

    fn birth_unless_waiting(&mut self, now: Timestamp, look: Look<'_>) -> Vec<Out> {
        let ready = !self.names.has_host() || self.host.online();
        if self.phase == Phase::Waiting && ready { self.birth(now, look()) } else { vec![] }
    }

    fn rebirth(&mut self, now: Timestamp, look: Look<'_>) -> Vec<Out> {
        let earliest = self.last_birth.and_then(|last| last.checked_add(BETWEEN_BIRTHS).ok());
        match earliest.filter(|earliest| now < *earliest) {
            Some(earliest) => {
                // Nothing is told until then, as the births will.
                self.rebirth_due = Some(earliest.min(now.checked_add(BETWEEN_BIRTHS).unwrap_or(earliest)));
                vec![]
            }
            None => self.birth(now, look()),
        }
    }

    /// NBIRTH, then a DBIRTH for each device that is well.
    fn birth(&mut self, now: Timestamp, picture: Picture) -> Vec<Out> {
        (self.phase, self.last_birth, self.rebirth_due) = (Phase::Born, Some(now), None);
        let mut metrics = self.metrics.birth(None, &picture.node, now);
        metrics.extend([metrics::bd_seq(self.bd_seq.unwrap_or_default(), now), metrics::rebirth(now)]);
        // The first message of a session and of each rebirth has number 0.
        self.seq = 0;
        let mut out = vec![self.numbered(self.names.of_node("NBIRTH"), metrics, now)];
        for device in std::mem::take(&mut self.alive) {
            self.metrics.bury(Some(&device));
        }
        for picture in picture.devices {
            let metrics = self.metrics.birth(Some(&picture.device), &picture.metrics, now);
            out.push(self.of_device("DBIRTH", &picture.device, metrics, now));
            self.alive.insert(picture.device);
        }
        out
    }

    fn bury(&mut self, device: &DeviceId, now: Timestamp) -> Option<Out> {
        self.metrics.bury(Some(device));
        self.alive.remove(device).then(|| self.of_device("DDEATH", device, vec![], now))
    }

    /// Publishes what has been gathered, oldest first.
    fn flush(&mut self, batch: &mut Batch, now: Timestamp, out: &mut Vec<Out>) {
        let Batch { device, mut metrics } = std::mem::take(batch);
        if metrics.is_empty() {
            return;
        }
        metrics.sort_by_key(|metric| metric.timestamp);
        out.push(match &device {
            Some(device) => self.of_device("DDATA", device, metrics, now),
            None => self.numbered(self.names.of_node("NDATA"), metrics, now),
        });
    }

    fn of_device(&mut self, kind: &str, device: &DeviceId, metrics: Vec<Metric>, now: Timestamp) -> Out {
        self.numbered(self.names.of_device(kind, device), metrics, now)
    }

    /// A message with the next number: 0 to 255 and again, over everything the node publishes in a session.
    fn numbered(&mut self, topic: String, metrics: Vec<Metric>, now: Timestamp) -> Out {
        let seq = Some(u64::from(self.seq));
        self.seq = self.seq.wrapping_add(1);
        let payload = Payload { timestamp: Some(millis(now)), metrics, seq, ..Payload::default() };
        Out::Publish(Message { topic, payload: payload.encode_to_vec(), at_least_once: false })
    }

    /// NDEATH: the session's number and nothing else, so that it can be given to the broker beforehand.
    fn death(&self, now: Timestamp) -> Message {
        let metrics = vec![metrics::bd_seq(self.bd_seq.unwrap_or_default(), now)];
        let payload = Payload { timestamp: Some(millis(now)), metrics, ..Payload::default() };
        Message { topic: self.names.of_node("NDEATH"), payload: payload.encode_to_vec(), at_least_once: true }
    }
}

/// Metrics of one device (or of the node) that go into one message.
#[derive(Default)]
struct Batch {
    device: Option<DeviceId>,
    metrics: Vec<Metric>,
}

#[cfg(test)]
mod tests;
