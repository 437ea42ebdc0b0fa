//! Profiles of devices that speak MQTT: on which topic a device reports, where in the JSON its points are,
//! and how one is written.
//!
//! Terms: a *pointer* is a JSON pointer (RFC 6901), such as `/climate/temperature`; the empty one is the
//! whole payload. A *template* is a text with placeholders in braces.
//!
//! Never: I/O. What is read here is checked by [`MqttProfile::check`] before any message comes.

use engawa_model::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How devices of one make speak MQTT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttProfile {
    /// The topic the device reports on; `{device}` stands for its name on the broker, `{room}` for its room.
    pub status_topic: String,
    /// The points.
    pub points: Vec<MqttPoint>,
}

/// One point of such a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttPoint {
    /// The point's name.
    pub name: String,
    /// What it is to its room.
    #[serde(default)]
    #[schemars(with = "Option<crate::profile::schema::RoleSchema>")]
    pub role: Option<Role>,
    /// Its unit (UCUM), for people.
    #[serde(default)]
    pub unit: Option<String>,
    /// Where its value is in the payload; absent for a point that only takes commands.
    #[serde(default)]
    pub pointer: Option<String>,
    /// What kind of value it has.
    pub kind: MqttKind,
    /// True where the device says the opposite of what the role means (a contact that is closed).
    #[serde(default)]
    pub invert: bool,
    /// A change of at most this much is not reported to the house, in the point's unit.
    #[serde(default)]
    pub dead_band: Option<f64>,
    /// The least that may be written.
    #[serde(default)]
    pub min: Option<f64>,
    /// The most that may be written.
    #[serde(default)]
    pub max: Option<f64>,
    /// The topic that commands go to, with the placeholders of `status_topic`; absent for a point that
    /// can't be written.
    #[serde(default)]
    pub command_topic: Option<String>,
    /// The payload of a command: `{value}` stands for the value as JSON, `{on_off}` for `ON` or `OFF`.
    /// Absent, the payload is the value.
    #[serde(default)]
    pub command_template: Option<String>,
}

/// The kind of a point's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MqttKind {
    /// `true`/`false`, 1/0, `"ON"`/`"OFF"`.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A text.
    Text,
}

/// What is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MqttProfileError {
    /// A topic that no message can have.
    #[error("topic `{0}`: it must not be empty nor hold `+`, `#` or a control character")]
    Topic(String),
    /// A placeholder that nothing stands for.
    #[error("`{0}`: `{1}` is not a placeholder here")]
    Placeholder(String, String),
    /// Not a JSON pointer.
    #[error("point `{0}`: `{1}` is not a JSON pointer such as `/climate/temperature`")]
    Pointer(String, String),
    /// Two points of one name.
    #[error("point `{0}` is there twice")]
    Twice(String),
    /// A point that can neither be read nor written.
    #[error("point `{0}` has neither `pointer` nor `command_topic`")]
    Idle(String),
    /// A template without a topic to send it to.
    #[error("point `{0}` has a `command_template` but no `command_topic`")]
    NoCommandTopic(String),
    /// A number that is none, or limits the wrong way round.
    #[error("point `{0}`: `{1}` can't be used")]
    Limit(String, &'static str),
}

impl MqttProfile {
    /// Checks what serde can't; the first fault.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), MqttProfileError> {
        self.check_all().into_iter().next().map_or(Ok(()), |(_, _, error)| Err(error))
    }

    /// Everything that is wrong: the point's index (`usize::MAX` for the profile itself), the field, and what it is.
    pub fn check_all(&self) -> Vec<(usize, &'static str, MqttProfileError)> {
        let mut faults = Vec::new();
        if let Err(error) = topic(&self.status_topic) {
            faults.push((usize::MAX, "status_topic", error));
        }
        let mut names = std::collections::BTreeSet::new();
        for (index, point) in self.points.iter().enumerate() {
            if !names.insert(&point.name) {
                faults.push((index, "name", MqttProfileError::Twice(point.name.clone())));
            }
            faults.extend(point.check_all().into_iter().map(|(field, error)| (index, field, error)));
        }
        faults
    }
}

impl MqttPoint {
    fn check_all(&self) -> Vec<(&'static str, MqttProfileError)> {
        let name = || self.name.clone();
        let mut faults = Vec::new();
        if let Some(pointer) = &self.pointer
            && !pointer.is_empty()
            && !pointer.starts_with('/')
        {
            faults.push(("pointer", MqttProfileError::Pointer(name(), pointer.clone())));
        }
        match (&self.pointer, &self.command_topic, &self.command_template) {
            (None, None, _) => faults.push(("pointer", MqttProfileError::Idle(name()))),
            (_, None, Some(_)) => faults.push(("command_template", MqttProfileError::NoCommandTopic(name()))),
            (_, Some(command), _) => {
                if let Err(error) = topic(command) {
                    faults.push(("command_topic", error));
                }
            }
            (Some(_), None, None) => {}
        }
        if self.dead_band.is_some_and(|band| !band.is_finite() || band < 0.0) {
            faults.push(("dead_band", MqttProfileError::Limit(name(), "dead_band")));
        }
        let limits = (self.min.unwrap_or(f64::MIN), self.max.unwrap_or(f64::MAX));
        if !limits.0.is_finite() || !limits.1.is_finite() || limits.0 > limits.1 {
            faults.push(("min", MqttProfileError::Limit(name(), "min, max")));
        }
        faults
    }
}

fn topic(template: &str) -> Result<(), MqttProfileError> {
    let bad = |c: char| matches!(c, '+' | '#') || c.is_control();
    if template.is_empty() || template.contains(bad) {
        return Err(MqttProfileError::Topic(template.to_owned()));
    }
    let rest = template.replace("{device}", "").replace("{room}", "");
    match rest.find(['{', '}']) {
        None => Ok(()),
        Some(at) => {
            let placeholder = rest[at..].split_inclusive('}').next().unwrap_or_default();
            Err(MqttProfileError::Placeholder(template.to_owned(), placeholder.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(topic: &str, point: &str) -> Result<(), MqttProfileError> {
        let text = format!("status_topic = '{topic}'\n[[points]]\nname = 'p'\nkind = 'float'\n{point}");
        toml::from_str::<MqttProfile>(&text).unwrap().check()
    }

    #[test]
    fn what_can_not_work_is_refused() {
        assert_eq!(checked("z/{device}", "pointer = '/t'"), Ok(()));
        assert_eq!(checked("z/{room}", "command_topic = 'z/{device}/set'"), Ok(()));
        for (topic, point, text) in [
            ("", "pointer = ''", "empty"),
            ("z/+", "pointer = ''", "z/+"),
            ("z/{name}", "pointer = ''", "{name}"),
            ("z", "pointer = 't'", "JSON pointer"),
            ("z", "", "neither"),
            ("z", "pointer = '/t'\ncommand_template = '{value}'", "command_topic"),
            ("z", "pointer = '/t'\ndead_band = -1.0", "dead_band"),
            ("z", "pointer = '/t'\nmin = 2.0\nmax = 1.0", "min"),
        ] {
            let error = checked(topic, point).unwrap_err().to_string();
            assert!(error.contains(text), "{error} lacks {text}");
        }
    }
}
