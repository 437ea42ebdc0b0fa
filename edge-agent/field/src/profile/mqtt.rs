//! Profiles of devices that speak MQTT: on which topics a device reports, where in the JSON its points are, what its
//! words mean, and how one is written.
//!
//! Terms: a *pointer* is a JSON pointer (RFC 6901), such as `/climate/temperature`; the empty one is the whole payload.
//! A *template* is a text with placeholders in braces: `{device}`, `{room}` and the profile's own variables. A *place* is
//! a topic and a pointer.
//!
//! What serde can't see is checked in [`check`]; [`resolve`] fills in a device's variables.
//!
//! Never: I/O.

mod check;
mod meaning;
mod resolve;
#[cfg(test)]
mod tests;

pub use meaning::Meaning;
pub(crate) use resolve::fill;

use super::modbus::{Choice, Fraction, Range};
use engawa_model::Role;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How devices of one make speak MQTT.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttProfile {
    /// The topic of all points that name no other; `{device}` stands for the device's name on the broker, `{room}` for
    /// its room, and a variable's name in braces for its value.
    pub status_topic: Option<String>,
    /// Where the device, or what stands between it and the broker, says whether it is there.
    #[serde(default)]
    pub availability: Vec<Availability>,
    /// A point that was not heard of for so long is stale, seconds; absent: never.
    #[schemars(range(min = 1, max = 31536000))]
    pub stale_after_s: Option<u32>,
    /// A value that does not change is reported again this often, seconds, when the device says it again.
    #[schemars(range(min = 1, max = 31536000))]
    pub heartbeat_s: Option<u32>,
    /// What is published when a connection begins, and when the device comes back, so that its state is known at once.
    #[serde(default)]
    pub requests: Vec<Request>,
    /// What differs between devices of this make: a part of a topic, a channel, a unit.
    #[serde(default)]
    pub vars: BTreeMap<String, MqttVar>,
    /// The points.
    pub points: Vec<MqttPoint>,
}

/// A topic that says whether the device is there. Where there are several, it is there while none says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// The topic.
    pub topic: String,
    /// Where in the payload, if that is JSON; a payload that is none is taken as it is.
    #[serde(default)]
    pub pointer: String,
    /// What it says while the device is there.
    #[serde(default = "online")]
    pub online: String,
    /// What it says when it has gone.
    #[serde(default = "offline")]
    pub offline: String,
}

/// A message that makes the device tell its state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The topic.
    pub topic: String,
    /// The payload; empty where absent.
    #[serde(default)]
    pub payload: String,
}

/// A variable: a text that goes into topics, pointers and payloads, or a choice of scales.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttVar {
    /// What is taken where a device does not say.
    pub default: String,
    /// What it can be, and what each choice means to points with `scale_var`; any text where there are none.
    #[serde(default)]
    pub choices: BTreeMap<String, Choice>,
}

/// A place where a point is found, too.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The topic; the profile's `status_topic` where absent.
    pub topic: Option<String>,
    /// Where in the payload.
    pub pointer: String,
}

/// One point of such a device.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttPoint {
    /// The point's name.
    pub name: String,
    /// What it is to its room.
    #[schemars(with = "Option<crate::profile::schema::RoleSchema>")]
    pub role: Option<Role>,
    /// Its unit, a UCUM code: `Cel`, `%`, `kW.h`.
    pub unit: Option<String>,
    /// Its topic, where that is not the profile's `status_topic`.
    pub topic: Option<String>,
    /// Where its value is in the payload; absent for a point that only takes commands.
    pub pointer: Option<String>,
    /// Further places where the same value comes: in an answer to a request, say.
    #[serde(default)]
    pub also: Vec<Place>,
    /// What kind of value it has.
    pub kind: MqttKind,
    /// True where the device says the opposite of what the role means (a contact that is closed).
    #[serde(default)]
    pub invert: bool,
    /// What the device's words mean: `{ "heat" = 1, "off" = 0 }`. Small and capital letters are alike where no word is
    /// the very same.
    #[serde(default)]
    pub values: BTreeMap<String, Meaning>,
    /// Words by which the device says that it has no value.
    #[serde(default)]
    pub invalid: Vec<String>,
    /// value = what the device says x scale + offset; a fraction such as `1/1000`.
    #[serde(default)]
    pub scale: Fraction,
    /// The offset.
    #[serde(default = "Fraction::zero")]
    pub offset: Fraction,
    /// The variable that gives scale and offset instead.
    pub scale_var: Option<String>,
    /// What the value can be at all: beyond it is dropped, and the point is bad.
    pub valid: Option<Range>,
    /// A change of at most this much is not reported to the house, in the point's unit.
    pub dead_band: Option<f64>,
    /// As the profile's, for this point.
    #[schemars(range(min = 1, max = 31536000))]
    pub heartbeat_s: Option<u32>,
    /// As the profile's, for this point.
    #[schemars(range(min = 1, max = 31536000))]
    pub stale_after_s: Option<u32>,
    /// The least that may be written.
    pub min: Option<f64>,
    /// The most that may be written.
    pub max: Option<f64>,
    /// The topic that commands go to; absent for a point that can't be written.
    pub command_topic: Option<String>,
    /// The payload of a command: `{value}` stands for the value as JSON, `{text}` for it without quotes, `{on_off}` for
    /// `ON` or `OFF`. Absent, the payload is `{text}`.
    pub command_template: Option<String>,
    /// The words of commands, where they are not those of `values`.
    #[serde(default)]
    pub command_values: BTreeMap<String, Meaning>,
    /// True for a device that sleeps and looks for its command when it wakes: the broker keeps the command.
    #[serde(default)]
    pub command_retain: bool,
}

/// The kind of a point's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MqttKind {
    /// `true`/`false`, 1/0, `"ON"`/`"OFF"`, or what `values` say.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A text.
    Text,
}

fn online() -> String {
    "online".to_owned()
}

fn offline() -> String {
    "offline".to_owned()
}

impl MqttPoint {
    /// True where the device reports it.
    pub fn reports(&self) -> bool {
        self.pointer.is_some() || !self.also.is_empty()
    }

    /// The words of its commands.
    pub(crate) fn words(&self) -> &BTreeMap<String, Meaning> {
        if self.command_values.is_empty() { &self.values } else { &self.command_values }
    }

    /// True where what the device says is not the value itself.
    pub(crate) fn is_scaled(&self) -> bool {
        !self.scale.is_one() || !self.offset.is_zero() || self.scale_var.is_some()
    }
}

impl MqttProfile {
    /// All places of a point: topic and pointer. Those without a topic are left out: the profile's check names them.
    pub(crate) fn places<'a>(&'a self, point: &'a MqttPoint) -> impl Iterator<Item = (&'a str, &'a str)> {
        let first = point.pointer.as_deref().map(|pointer| (point.topic.as_deref(), pointer));
        let more = point.also.iter().map(|place| (place.topic.as_deref(), place.pointer.as_str()));
        first
            .into_iter()
            .chain(more)
            .filter_map(|(topic, pointer)| Some((topic.or(self.status_topic.as_deref())?, pointer)))
    }
}
