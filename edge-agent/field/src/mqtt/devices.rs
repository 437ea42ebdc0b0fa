//! MQTT devices: from a message on a device's topic to reports of its points, and from a value to the
//! message that writes it.
//!
//! Why: every make of device has its own topics and its own JSON; the profile says which, and the house sees
//! points only. What a device sends is never trusted: a payload that does not fit makes that device unwell,
//! with the reason, and nobody else.
//!
//! Terms: *report on change*: a value that is the last one again, or within the dead band of it, is decoded
//! (it may confirm a write) but not reported to the house.
//!
//! Never: sockets, the clock (time comes in).

use super::house::Publication;
use super::topic::escape;
use crate::profile::mqtt::{MqttKind, MqttPoint, MqttProfile};
use engawa_model::{DeviceId, DeviceState, Fact, PointId, Quality, RoomId, Timestamp, Value};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};

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
    /// How it speaks.
    pub profile: MqttProfile,
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
    /// Nothing of what the profile names is there.
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
        expected: &'static str,
        /// What is there: its kind, not its content.
        found: &'static str,
    },
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
    Kind(PointId, &'static str),
    /// A value outside of the profile's limits.
    #[error("{0} takes {1} to {2}")]
    Range(PointId, String, String),
}

/// One value that a device sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Which point.
    pub point: PointId,
    /// The value.
    pub value: Value,
    /// False where the house knows it already.
    pub changed: bool,
}

/// What one message said.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    /// The values in it, in the profile's order.
    pub readings: Vec<Reading>,
    /// Devices that became well or unwell by it.
    pub health: Vec<Fact>,
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

#[derive(Debug)]
struct Device {
    id: DeviceId,
    profile: MqttProfile,
    /// `profile.points[i]`'s command topic, expanded.
    command_topics: Vec<Option<String>>,
    /// `Some` once judged: why it is unwell, or `None` inside for well.
    judged: Option<Option<String>>,
}

/// The devices and what they said last. Bounded by the configuration.
#[derive(Debug)]
pub struct Devices {
    devices: Vec<Device>,
    /// Several devices may share a topic (a room controller that speaks for its sensors).
    by_topic: HashMap<String, Vec<usize>>,
    by_id: BTreeMap<DeviceId, usize>,
    last: HashMap<PointId, Value>,
    bad: u64,
}

impl Devices {
    /// The devices of the configuration. Their profiles have been checked.
    pub fn new(devices: Vec<MqttDevice>) -> Self {
        let mut by_topic: HashMap<String, Vec<usize>> = HashMap::new();
        let (mut by_id, mut all) = (BTreeMap::new(), Vec::new());
        for device in devices {
            let expand = |template: &str| expand(template, &device);
            by_topic.entry(expand(&device.profile.status_topic)).or_default().push(all.len());
            by_id.insert(device.id.clone(), all.len());
            let commands =
                device.profile.points.iter().map(|point| point.command_topic.as_deref().map(expand));
            let command_topics = commands.collect();
            all.push(Device { id: device.id.clone(), command_topics, profile: device.profile, judged: None });
        }
        Self { devices: all, by_topic, by_id, last: HashMap::new(), bad: 0 }
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

    /// Reads one message.
    pub fn hear(&mut self, topic: &str, payload: &[u8]) -> Heard {
        let mut heard = Heard::default();
        for index in self.by_topic.get(topic).cloned().unwrap_or_default() {
            let Some(device) = self.devices.get_mut(index) else { continue };
            let (values, problem) = decode(&device.profile, payload);
            for (name, value) in values {
                let Some(point) = device.profile.points.iter().find(|point| point.name == name) else {
                    continue;
                };
                let id = PointId { device: device.id.clone(), point: name.into() };
                let changed = self.last.get(&id).is_none_or(|last| differs(last, &value, point.dead_band));
                if changed {
                    self.last.insert(id.clone(), value.clone());
                }
                heard.readings.push(Reading { point: id, value, changed });
            }
            let reason = problem.as_ref().map(ToString::to_string);
            heard.health.extend(device.judge(reason));
            if let Some(problem) = problem {
                self.bad += 1;
                heard.errors.push(PayloadError {
                    device: device.id.clone(),
                    topic: topic.to_owned(),
                    problem,
                });
            }
        }
        heard
    }

    /// Says that `device` is unwell for a reason other than its payloads. Its next good message says otherwise.
    pub fn unwell(&mut self, device: &DeviceId, reason: &str) -> Option<Fact> {
        let index = *self.by_id.get(device)?;
        self.devices.get_mut(index)?.judge(Some(reason.to_owned()))
    }

    /// The message that writes `value` to `point`.
    pub fn write(&self, point: &PointId, value: &Value) -> Result<WriteMessage, WriteError> {
        let unknown = || WriteError::Unknown(point.clone());
        let device =
            self.by_id.get(&point.device).and_then(|index| self.devices.get(*index)).ok_or_else(unknown)?;
        let at =
            device.profile.points.iter().position(|spec| *spec.name == *point.point).ok_or_else(unknown)?;
        let (Some(spec), Some(topic)) = (device.profile.points.get(at), device.command_topics.get(at)) else {
            return Err(unknown());
        };
        let topic = topic.clone().ok_or_else(|| WriteError::ReadOnly(point.clone()))?;
        let (kind, _) = kind_in_words(spec.kind);
        let wrong_kind = || WriteError::Kind(point.clone(), kind);
        let json = to_json(spec, value).ok_or_else(wrong_kind)?;
        if let Some(x) = json.as_f64() {
            let (min, max) = (spec.min.unwrap_or(f64::MIN), spec.max.unwrap_or(f64::MAX));
            if x < min || x > max {
                return Err(WriteError::Range(point.clone(), min.to_string(), max.to_string()));
            }
        }
        let on_off = if json.as_bool().unwrap_or(false) { "ON" } else { "OFF" };
        let template = spec.command_template.as_deref().unwrap_or("{value}");
        let payload = template.replace("{on_off}", on_off).replace("{value}", &json.to_string());
        Ok(WriteMessage {
            publication: Publication::event(topic, payload),
            tolerance: spec.dead_band.unwrap_or(0.0).max(TOLERANCE),
            reports: spec.pointer.is_some(),
        })
    }
}

impl Device {
    fn judge(&mut self, reason: Option<String>) -> Option<Fact> {
        if self.judged.as_ref() == Some(&reason) {
            return None;
        }
        self.judged = Some(reason.clone());
        let state = if reason.is_some() { DeviceState::Unwell } else { DeviceState::Well };
        Some(Fact::Health { device: self.id.clone(), state, reason })
    }
}

impl Reading {
    /// The report to the house, sampled at `at`: MQTT carries no time of its own.
    pub fn fact(&self, at: Timestamp) -> Fact {
        Fact::Reported {
            point: self.point.clone(),
            value: Some(self.value.clone()),
            quality: Quality::Good,
            sampled: at,
        }
    }
}

fn expand(template: &str, device: &MqttDevice) -> String {
    let room = device.room.as_ref().map_or_else(String::new, |room| escape(room.as_str()));
    // A name on the broker may have levels of its own (`floor1/thermostat7`): it is taken as it is.
    template.replace("{room}", &room).replace("{device}", &device.name)
}

/// The values that are there, and the first thing that is wrong.
fn decode(profile: &MqttProfile, payload: &[u8]) -> (Vec<(String, Value)>, Option<Problem>) {
    if payload.len() > MAX_PAYLOAD {
        return (vec![], Some(Problem::TooLong(payload.len())));
    }
    let document = match serde_json::from_slice::<Json>(payload) {
        Ok(document) => document,
        // `ON` and `21.5 C` are no JSON; for a point that is the whole payload they are a text.
        Err(_) if profile.points.iter().all(|p| p.pointer.as_deref().is_none_or(str::is_empty)) => {
            match std::str::from_utf8(payload) {
                Ok(text) => Json::String(text.trim().to_owned()),
                Err(_) => return (vec![], Some(Problem::NotJson)),
            }
        }
        Err(_) => return (vec![], Some(Problem::NotJson)),
    };
    let (mut values, mut problem, mut there) = (Vec::new(), None, false);
    for point in &profile.points {
        let Some(pointer) = &point.pointer else { continue };
        // Devices send what has changed: a point that is absent, or null before its first sample, is no fault.
        let Some(json) = document.pointer(pointer) else { continue };
        there = true;
        if json.is_null() {
            continue;
        }
        match from_json(point, json) {
            Some(value) => values.push((point.name.clone(), value)),
            None => {
                problem = problem.or_else(|| {
                    Some(Problem::Kind {
                        point: point.name.clone(),
                        pointer: pointer.clone(),
                        expected: kind_in_words(point.kind).1,
                        found: found_in_words(json),
                    })
                });
            }
        }
    }
    if !there && profile.points.iter().any(|point| point.pointer.is_some()) {
        let pointers: Vec<_> =
            profile.points.iter().filter_map(|point| point.pointer.as_deref()).take(8).collect();
        problem = Some(Problem::NoPoint(pointers.join(", ")));
    }
    (values, problem)
}

fn from_json(point: &MqttPoint, json: &Json) -> Option<Value> {
    Some(match point.kind {
        MqttKind::Bool => Value::Bool(bool_from(json)? != point.invert),
        MqttKind::Int => Value::Int(int_from(json)?),
        MqttKind::Float => {
            let x = json.as_f64().or_else(|| json.as_str()?.trim().parse().ok())?;
            // Text such as `NaN` parses too; a sensor that says so has no value.
            Value::Float(x.is_finite().then_some(x)?)
        }
        MqttKind::Text => Value::Text(match json {
            Json::String(text) => text.clone(),
            Json::Bool(_) | Json::Number(_) => json.to_string(),
            _ => return None,
        }),
    })
}

fn bool_from(json: &Json) -> Option<bool> {
    match json {
        Json::Bool(on) => Some(*on),
        Json::Number(number) => match number.as_i64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Json::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "on" | "true" | "1" => Some(true),
            "off" | "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn int_from(json: &Json) -> Option<i64> {
    if let Some(i) = json.as_i64() {
        return Some(i);
    }
    let x = match json {
        Json::Number(number) => number.as_f64()?,
        Json::String(text) => return text.trim().parse().ok(),
        _ => return None,
    };
    // `21.0` is how many devices write 21; `21.5` is another kind of value. 2^53 is exact in a float.
    let whole = x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and far inside of i64")]
    whole.then_some(x as i64)
}

fn to_json(point: &MqttPoint, value: &Value) -> Option<Json> {
    Some(match point.kind {
        MqttKind::Bool => Json::Bool(value.as_bool()? != point.invert),
        MqttKind::Int => {
            let x = value.as_f64()?;
            #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and far inside of i64")]
            let whole = (x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0).then_some(x as i64)?;
            Json::from(whole)
        }
        // `from` gives null for what is not finite; there is no such set point.
        MqttKind::Float => Some(Json::from(value.as_f64()?)).filter(Json::is_number)?,
        MqttKind::Text => match value {
            Value::Text(text) => Json::String(text.clone()),
            _ => return None,
        },
    })
}

fn differs(last: &Value, now: &Value, dead_band: Option<f64>) -> bool {
    match (last, now) {
        (Value::Bool(_) | Value::Text(_), _) => last != now,
        _ => match (last.as_f64(), now.as_f64()) {
            (Some(last), Some(now)) => (now - last).abs() > dead_band.unwrap_or(0.0),
            _ => last != now,
        },
    }
}

/// What a point takes, and what was expected.
fn kind_in_words(kind: MqttKind) -> (&'static str, &'static str) {
    match kind {
        MqttKind::Bool => ("on or off", "true or false (or 1/0, ON/OFF)"),
        MqttKind::Int => ("a whole number", "a whole number"),
        MqttKind::Float => ("a number", "a number"),
        MqttKind::Text => ("a text", "a text"),
    }
}

fn found_in_words(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "another number",
        Json::String(_) => "another text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
