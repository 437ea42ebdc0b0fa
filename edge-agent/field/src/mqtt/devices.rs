//! MQTT devices: from a message on a device's topic to reports of its points, and from a value to the message that
//! writes it.
//!
//! Why: every make of device has its own topics and its own JSON; the profile says which, and the house sees points
//! only. What a device sends is never trusted: a payload that does not fit makes that device unwell, with the reason,
//! and nobody else.
//!
//! Terms: *report on change*: a value that is the last one again, or within the dead band of it, is decoded (it may
//! confirm a write) but not reported to the house. *Stale*: see [`memory`].
//!
//! Never: sockets, the clock (time comes in).

mod decode;
mod document;
mod encode;
mod memory;
#[cfg(test)]
mod tests;

pub use memory::News;

use super::house::Publication;
use super::topic::escape;
use crate::profile::mqtt::{MqttPoint, MqttProfile, fill};
use document::{Document, Sample};
use encode::Refusal;
use engawa_model::{DeviceId, Fact, PointId, Quality, RoomId, Timestamp, Value};
use memory::Device;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The longest payload of a device that is looked at, bytes.
const MAX_PAYLOAD: usize = 256 * 1024;
/// Two set points nearer than this are the same where the profile has no dead band: half of the finest step
/// that thermostats offer, °C.
const TOLERANCE: f64 = 0.05;

/// A device, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttDevice {
    /// Its name in the house.
    pub id: DeviceId,
    /// Where it is.
    pub room: Option<RoomId>,
    /// Its name on the broker, for `{device}`; often the same as `id`.
    pub name: String,
    /// How it speaks; shared by all devices of a profile.
    pub profile: Arc<MqttProfile>,
}

/// An instant, by two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Since the start, by a clock that nobody sets: it measures silence.
    pub steady: Duration,
    /// The time of day, for people.
    pub clock: Timestamp,
}

impl MqttDevice {
    /// The topics that it reports on.
    pub fn reports_on(&self) -> Vec<String> {
        let profile = &self.profile;
        let points = profile.points.iter().flat_map(|point| profile.places(point)).map(|(topic, _)| topic);
        let topics =
            points.chain(profile.availability.iter().map(|availability| availability.topic.as_str()));
        topics.map(|topic| expand(topic, self)).collect()
    }

    /// Those of [`MqttDevice::reports_on`] that are its alone. A topic that names neither device nor room (a bridge's own
    /// availability) speaks for all devices of its kind, unless all topics of the profile are such.
    pub fn speaks_on(&self) -> Vec<String> {
        let profile = &self.profile;
        let points = profile.points.iter().flat_map(|point| profile.places(point)).map(|(topic, _)| topic);
        let all: Vec<&str> = points
            .chain(profile.availability.iter().map(|availability| availability.topic.as_str()))
            .collect();
        let own = |topic: &&str| topic.contains("{device}") || topic.contains("{room}");
        let fixed = !all.iter().any(own);
        all.into_iter().filter(|topic| fixed || own(topic)).map(|topic| expand(topic, self)).collect()
    }

    /// The topics that its commands, and what it is asked, go to.
    pub fn commanded_on(&self) -> Vec<String> {
        let commands = self.profile.points.iter().filter_map(|point| point.command_topic.as_deref());
        let topics = commands.chain(self.profile.requests.iter().map(|request| request.topic.as_str()));
        topics.map(|topic| expand(topic, self)).collect()
    }
}

/// Why a payload can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{device} on {topic}: {problem}")]
pub struct PayloadError {
    /// Whose.
    pub device: DeviceId,
    /// Where it came.
    pub topic: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// More than a device has to say.
    #[error("the payload has {0} bytes, at most {MAX_PAYLOAD} are read")]
    TooLong(usize),
    /// Not JSON, where points are to be found inside.
    #[error("the payload is not JSON")]
    NotJson,
    /// Nothing of what the profile names is there, and never was.
    #[error("the payload has none of the profile's points; expected {0}")]
    NoPoint(String),
    /// A value of another kind.
    #[error("point {point} at `{pointer}`: expected {expected}, found {found}")]
    Kind {
        /// The point.
        point: String,
        /// Where.
        pointer: String,
        /// What the profile says.
        expected: String,
        /// What is there: its kind, not its content.
        found: &'static str,
    },
    /// Neither there nor away.
    #[error("whether it is there: expected `{0}` or `{1}`, found something else")]
    Availability(String, String),
}

/// Why a value can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Not a point of these devices.
    #[error("{0} is not a point of an MQTT device")]
    Unknown(PointId),
    /// A point without a command topic.
    #[error("{0} can't be written: its profile has no `command_topic`")]
    ReadOnly(PointId),
    /// A value of another kind.
    #[error("{0} takes {1}")]
    Kind(PointId, String),
    /// A value outside of the profile's limits.
    #[error("{0} takes {1} to {2}")]
    Range(PointId, String, String),
}

/// One value that a device sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Which point.
    pub point: PointId,
    /// The value; `None` where the device says that it has none.
    pub value: Option<Value>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// Whether the house knows it already.
    pub news: News,
}

/// What one message said.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    /// The values in it, in the profile's order.
    pub readings: Vec<Reading>,
    /// What the house is to be told: values that are news, and devices that became well or unwell.
    pub facts: Vec<Fact>,
    /// What could not be used.
    pub errors: Vec<PayloadError>,
}

/// A message that writes one point.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteMessage {
    /// Topic and payload.
    pub publication: Publication,
    /// How far the device's report may differ from the value.
    pub tolerance: f64,
    /// False where the point reports nothing.
    pub reports: bool,
}

/// Who is to be found on a topic.
#[derive(Clone, Debug, Default)]
struct Listener {
    device: usize,
    /// (point, pointer), in the profile's order.
    places: Vec<(usize, String)>,
    /// Which of the profile's availability topics.
    availability: Vec<usize>,
    /// True for the profile's `status_topic`: what comes there should have some of its points.
    status: bool,
}

/// The devices and what they said last. Bounded by the configuration.
#[derive(Debug)]
pub struct Devices {
    devices: Vec<Device>,
    /// Several devices may share a topic (a room controller that speaks for its sensors, a bridge).
    by_topic: HashMap<String, Arc<[Listener]>>,
    by_id: BTreeMap<DeviceId, usize>,
    /// When the next point of a device may become stale; one entry a device at most, looked at again when it is due.
    agenda: BTreeSet<(Duration, usize)>,
    /// (device, request) that are to be published.
    asks: BTreeSet<(usize, usize)>,
    bad: u64,
}

impl Devices {
    /// The devices of the configuration. Their profiles have been checked.
    pub fn new(devices: Vec<MqttDevice>) -> Self {
        let mut by_topic: HashMap<String, Vec<Listener>> = HashMap::new();
        let (mut by_id, mut all) = (BTreeMap::new(), Vec::new());
        for device in devices {
            let expand = |template: &str| expand(template, &device);
            let profile = &device.profile;
            let index = all.len();
            let mut on: BTreeMap<String, Listener> = BTreeMap::new();
            for (n, point) in profile.points.iter().enumerate() {
                for (topic, pointer) in profile.places(point) {
                    on.entry(expand(topic)).or_default().places.push((n, expand(pointer)));
                }
            }
            for (n, availability) in profile.availability.iter().enumerate() {
                on.entry(expand(&availability.topic)).or_default().availability.push(n);
            }
            let status = profile.status_topic.as_deref().map(expand);
            for (topic, listener) in on {
                let status = status.as_ref() == Some(&topic) && !listener.places.is_empty();
                let listener = Listener { device: index, status, ..listener };
                by_topic.entry(topic).or_default().push(listener);
            }
            by_id.insert(device.id.clone(), index);
            let command = |point: &MqttPoint| {
                let template = point.command_template.as_deref().unwrap_or("{text}");
                Some((expand(point.command_topic.as_deref()?), expand(template)))
            };
            let commands = profile.points.iter().map(command).collect();
            let requests =
                profile.requests.iter().map(|it| (expand(&it.topic), expand(&it.payload))).collect();
            all.push(Device::new(device.id.clone(), Arc::clone(profile), commands, requests));
        }
        Self {
            devices: all,
            by_topic: by_topic.into_iter().map(|(topic, listeners)| (topic, listeners.into())).collect(),
            by_id,
            agenda: BTreeSet::new(),
            asks: BTreeSet::new(),
            bad: 0,
        }
    }

    /// Takes what the house knows of a point from before: what is heard again is then no news, and what is not heard
    /// becomes stale.
    pub fn prime(
        &mut self,
        point: &PointId,
        value: Option<Value>,
        quality: Quality,
        sampled: Timestamp,
        now: Duration,
    ) {
        let Some(index) = self.by_id.get(&point.device).copied() else { return };
        let Some(device) = self.devices.get_mut(index) else { return };
        if let Some(memory) = device.points.iter_mut().find(|memory| memory.id == *point) {
            memory.prime(value, quality, sampled, now);
        }
        self.schedule(index);
    }

    /// The topics to subscribe to, each once.
    pub fn subscriptions(&self) -> Vec<String> {
        let mut topics: Vec<_> = self.by_topic.keys().cloned().collect();
        topics.sort_unstable();
        topics
    }

    /// True for a topic that one of the devices reports on.
    pub fn listens(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// How many payloads could not be used.
    pub fn bad_payloads(&self) -> u64 {
        self.bad
    }

    /// Reads one message. `retained`: the broker had kept it, nobody knows since when.
    pub fn hear(&mut self, topic: &str, payload: &[u8], retained: bool, now: Moment) -> Heard {
        let mut heard = Heard::default();
        let Some(listeners) = self.by_topic.get(topic).cloned() else { return heard };
        let document = Document::read(payload);
        for listener in listeners.iter() {
            let Some(device) = self.devices.get_mut(listener.device) else { continue };
            let (mut problem, mut unsure) = (None, None);
            for n in &listener.availability {
                match document::availability(device, *n, &document) {
                    Some(Ok(there)) => {
                        device.unsure = None;
                        let (stale, came) = device.availability(*n, there);
                        heard.facts.extend(stale);
                        if came {
                            let all = device.requests.len();
                            self.asks.extend((0..all).map(|request| (listener.device, request)));
                        }
                    }
                    Some(Err(error)) => {
                        device.unsure = Some(error.to_string());
                        unsure = Some(error);
                    }
                    // A kept message that is taken away says nothing.
                    None => {}
                }
            }
            if !listener.places.is_empty() {
                let (read, wrong) = document::read(device, listener, &document);
                problem = wrong;
                device.problem = problem.as_ref().map(ToString::to_string);
                device.understood |= !read.is_empty();
                if !retained || problem.is_none() {
                    device.heard();
                }
                take(device, read, retained, now, &mut heard);
            }
            heard.facts.extend(device.judge());
            for problem in problem.into_iter().chain(unsure) {
                self.bad += 1;
                let device = device.id.clone();
                heard.errors.push(PayloadError { device, topic: topic.to_owned(), problem });
            }
            self.schedule(listener.device);
        }
        heard
    }

    /// What has become stale by now.
    pub fn expire(&mut self, now: Duration) -> Vec<Fact> {
        let mut facts = Vec::new();
        while let Some((due, index)) = self.agenda.first().copied().filter(|(due, _)| *due <= now) {
            self.agenda.remove(&(due, index));
            if let Some(device) = self.devices.get_mut(index) {
                device.scheduled = false;
                facts.extend(device.expire(now));
            }
            self.schedule(index);
        }
        facts
    }

    /// When [`Self::expire`] has something to look at.
    pub fn next_expiry(&self) -> Option<Duration> {
        self.agenda.first().map(|(due, _)| *due)
    }

    fn schedule(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index).filter(|device| !device.scheduled) else { return };
        if let Some(due) = device.next_due() {
            device.scheduled = true;
            self.agenda.insert((due, index));
        }
    }

    /// A connection begins: every device is asked how it is.
    pub fn connected(&mut self) {
        let all = self.devices.iter().enumerate();
        self.asks = all.flat_map(|(n, device)| (0..device.requests.len()).map(move |it| (n, it))).collect();
    }

    /// The connection is gone: what was to be asked is asked on the next one.
    pub fn disconnected(&mut self) {
        self.asks.clear();
    }

    /// True while there is something to ask.
    pub fn has_requests(&self) -> bool {
        !self.asks.is_empty()
    }

    /// The next requests, at most `most`.
    pub fn requests(&mut self, most: usize) -> Vec<Publication> {
        let next = std::iter::from_fn(|| self.asks.pop_first());
        let request = |(device, request): (usize, usize)| {
            let (topic, payload) = self.devices.get(device)?.requests.get(request)?;
            Some(Publication::event(topic.clone(), payload))
        };
        next.take(most).filter_map(request).collect()
    }

    /// Says that `device` is unwell for a reason other than its payloads. Its next good message says otherwise.
    pub fn unwell(&mut self, device: &DeviceId, reason: &str) -> Option<Fact> {
        let index = *self.by_id.get(device)?;
        let device = self.devices.get_mut(index)?;
        device.problem = Some(reason.to_owned());
        device.judge()
    }

    /// The message that writes `value` to `point`.
    pub fn write(&self, point: &PointId, value: &Value) -> Result<WriteMessage, WriteError> {
        let unknown = || WriteError::Unknown(point.clone());
        let device =
            self.by_id.get(&point.device).and_then(|index| self.devices.get(*index)).ok_or_else(unknown)?;
        let at =
            device.profile.points.iter().position(|spec| *spec.name == *point.point).ok_or_else(unknown)?;
        let (Some(spec), Some(command)) = (device.profile.points.get(at), device.commands.get(at)) else {
            return Err(unknown());
        };
        let (topic, template) = command.clone().ok_or_else(|| WriteError::ReadOnly(point.clone()))?;
        let payload = encode::payload(spec, &template, value).map_err(|refusal| match refusal {
            Refusal::Kind => WriteError::Kind(point.clone(), decode::in_words(spec).0),
            Refusal::Range(min, max) => WriteError::Range(point.clone(), min.to_string(), max.to_string()),
        })?;
        Ok(WriteMessage {
            publication: Publication { topic, payload, retain: spec.command_retain },
            tolerance: spec.dead_band.unwrap_or(0.0).max(TOLERANCE),
            reports: spec.reports(),
        })
    }
}

fn expand(template: &str, device: &MqttDevice) -> String {
    fill(template, |name| match name {
        // A name on the broker may have levels of its own (`floor1/thermostat7`): it is taken as it is.
        "device" => Some(device.name.as_str().into()),
        "room" => Some(device.room.as_ref().map_or_else(String::new, |room| escape(room.as_str())).into()),
        _ => None,
    })
}

/// Puts values into the device's memory; what is news goes to the house.
fn take(device: &mut Device, samples: Vec<Sample>, retained: bool, now: Moment, heard: &mut Heard) {
    // What the broker had kept of a device that has gone is its last, not its present.
    let stale = retained && device.is_away();
    for Sample { point, value, quality } in samples {
        let Some(memory) = device.points.get_mut(point) else { continue };
        let quality = if stale { Quality::Stale } else { quality };
        let news = memory.hear(value.as_ref(), quality, retained, now);
        match news {
            News::Known => {}
            News::Confirmed => heard.facts.push(memory.confirmation()),
            News::Changed => heard.facts.push(memory.fact()),
        }
        heard.readings.push(Reading { point: memory.id.clone(), value, quality, news });
    }
}
