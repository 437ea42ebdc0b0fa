//! From what an entity tells of itself to points of a profile: where they are, how they are written, and whether the
//! device is there. What is not understood is said, never guessed.

use super::{kinds, template};
use crate::profile::modbus::Fraction;
use crate::profile::mqtt::{Availability, Meaning, MqttKind, MqttPoint};
use engawa_model::{Role, Value};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// What one entity comes to.
#[derive(Debug, Default)]
pub(super) struct Understood {
    /// Its points; none where there is a problem with the whole.
    pub(super) points: Vec<MqttPoint>,
    /// Where it says whether it is there.
    pub(super) availability: Vec<Availability>,
    /// What was left out, and why.
    pub(super) left_out: Vec<String>,
}

/// An entity's configuration, its keys written out.
pub(super) struct Config<'a>(pub(super) &'a Map<String, Json>);

impl<'a> Config<'a> {
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.0.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// A payload: a text, a number, true or false.
    fn word(&self, key: &str) -> Option<String> {
        match self.0.get(key)? {
            Json::String(text) => Some(text.clone()),
            word @ (Json::Bool(_) | Json::Number(_)) => Some(word.to_string()),
            _ => None,
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        let value = self.0.get(key)?;
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        number.filter(|x: &f64| x.is_finite())
    }

    pub(super) fn is_diagnostic(&self) -> bool {
        self.text("entity_category").is_some()
    }

    pub(super) fn words(&self, on: (&str, &str), off: (&str, &str)) -> BTreeMap<String, Meaning> {
        let word = |(key, usual): (&str, &str)| self.word(key).unwrap_or_else(|| usual.to_owned());
        [(word(on), Meaning(Value::Bool(true))), (word(off), Meaning(Value::Bool(false)))].into()
    }
}

/// Reads one entity of `kind`; `name` is its points' name.
pub(super) fn understand(kind: &str, name: &str, config: &Config<'_>) -> Understood {
    let mut found = Understood::default();
    match kind {
        "sensor" => kinds::sensor(name, config, &mut found),
        "binary_sensor" => kinds::binary_sensor(name, config, &mut found),
        "switch" | "siren" | "fan" => {
            let words = config.words(("state_on", "ON"), ("state_off", "OFF"));
            let payloads = config.words(("payload_on", "ON"), ("payload_off", "OFF"));
            let words = if config.0.contains_key("state_on") { words } else { payloads.clone() };
            kinds::on_off(name, config, None, words, payloads, &mut found);
        }
        "light" => kinds::light(name, config, &mut found),
        "lock" => {
            let words = config.words(("state_locked", "LOCKED"), ("state_unlocked", "UNLOCKED"));
            let payloads = config.words(("payload_lock", "LOCK"), ("payload_unlock", "UNLOCK"));
            kinds::on_off(name, config, Some(Role::Lock), words, payloads, &mut found);
        }
        "number" => kinds::number(name, config, &mut found),
        "select" | "text" => kinds::select(name, config, &mut found),
        "climate" => kinds::climate(name, config, &mut found),
        "button" | "device_automation" | "event" | "image" | "scene" | "tag" | "notify" => {
            found.left_out.push(format!("a {kind} has no state that could be shown"));
        }
        _ => found.left_out.push(format!("a {kind} is not known here")),
    }
    if !found.points.is_empty() {
        availability(config, &mut found);
    }
    found
}

/// A topic that a profile can have.
fn topic(config: &Config<'_>, key: &str) -> Result<Option<String>, String> {
    match config.text(key) {
        None => Ok(None),
        Some(topic) if topic.contains(['+', '#', '{', '}']) || topic.contains(char::is_control) => {
            Err(format!("`{key}` can't be used as a topic"))
        }
        Some(topic) => Ok(Some(topic.to_owned())),
    }
}

fn pointer(config: &Config<'_>, key: &str) -> Result<String, String> {
    match config.text(key) {
        None => Ok(String::new()),
        Some(text) => template::pointer(text)
            .filter(|pointer| !pointer.contains(['{', '}']))
            .ok_or_else(|| format!("`{key}` is not understood: {}", short(text))),
    }
}

/// The beginning of a text that somebody else wrote.
pub(super) fn short(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect();
    text
}

/// Where a point is read, and how it is written: the keys of its four parts.
pub(super) struct Keys<'a> {
    pub(super) state: &'a str,
    pub(super) value: &'a str,
    pub(super) command: &'a str,
    pub(super) template: &'a str,
}

pub(super) const USUAL: Keys<'_> = Keys {
    state: "state_topic",
    value: "value_template",
    command: "command_topic",
    template: "command_template",
};

/// A point with its places, or why there is none.
pub(super) fn point(
    name: &str,
    kind: MqttKind,
    config: &Config<'_>,
    keys: &Keys<'_>,
) -> Result<(MqttPoint, Option<String>), String> {
    let state = topic(config, keys.state)?;
    let at = match state {
        Some(_) => Some(pointer(config, keys.value)?),
        None => None,
    };
    // A command that is not understood leaves a point that can be read.
    let (command, template, mut left_out) = match (topic(config, keys.command), config.text(keys.template)) {
        (Err(why), _) => (None, None, Some(why)),
        (Ok(None), _) => (None, None, None),
        (Ok(command), None) => (command, None, None),
        (Ok(command), Some(text)) => match template::command(text) {
            Some(template) => (command, Some(template), None),
            None => {
                let why = format!("`{}` is not understood: {}", keys.template, short(text));
                (None, None, Some(why))
            }
        },
    };
    if at.is_none() && command.is_none() {
        let why = left_out
            .take()
            .unwrap_or_else(|| format!("it has neither `{}` nor `{}`", keys.state, keys.command));
        return Err(why);
    }
    let retain = config.0.get("retain").and_then(Json::as_bool).unwrap_or(false);
    let point = MqttPoint {
        name: name.to_owned(),
        role: None,
        unit: None,
        topic: state,
        pointer: at,
        also: vec![],
        kind,
        invert: false,
        values: BTreeMap::new(),
        invalid: vec![],
        scale: Fraction::default(),
        offset: Fraction::zero(),
        scale_var: None,
        valid: None,
        dead_band: None,
        heartbeat_s: None,
        stale_after_s: config.number("expire_after").and_then(seconds),
        min: None,
        max: None,
        command_retain: command.is_some() && retain,
        command_topic: command,
        command_template: template,
        command_values: BTreeMap::new(),
    };
    Ok((point, left_out.map(|why| format!("{name} can only be read: {why}"))))
}

fn seconds(x: f64) -> Option<u32> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within a year")]
    (1.0..=31_536_000.0).contains(&x).then_some(x as u32)
}

pub(super) fn add(
    found: &mut Understood,
    made: Result<(MqttPoint, Option<String>), String>,
    finish: impl FnOnce(&mut MqttPoint),
) {
    match made {
        Ok((mut point, left_out)) => {
            finish(&mut point);
            found.points.push(point);
            found.left_out.extend(left_out);
        }
        Err(why) => found.left_out.push(why),
    }
}

/// Where it says whether it is there: one topic, or a list; all of them count.
fn availability(config: &Config<'_>, found: &mut Understood) {
    let entries: Vec<Map<String, Json>> = match config.0.get("availability") {
        Some(Json::Object(one)) => vec![one.clone()],
        Some(Json::Array(all)) => all.iter().filter_map(Json::as_object).cloned().collect(),
        _ => match config.text("availability_topic") {
            Some(topic) => {
                let mut one = Map::new();
                one.insert("topic".to_owned(), topic.into());
                for (from, to) in [
                    ("availability_template", "value_template"),
                    ("payload_available", "payload_available"),
                    ("payload_not_available", "payload_not_available"),
                ] {
                    if let Some(value) = config.0.get(from) {
                        one.insert(to.to_owned(), value.clone());
                    }
                }
                vec![one]
            }
            None => return,
        },
    };
    if entries.len() > 1 && config.text("availability_mode") != Some("all") {
        let mode = config.text("availability_mode").unwrap_or("latest");
        found
            .left_out
            .push(format!("availability: of several topics not all are to count (`{}`)", short(mode)));
        return;
    }
    for entry in entries.iter().take(8).map(Config) {
        let word = |key: &str, usual: &str| entry.word(key).unwrap_or_else(|| usual.to_owned());
        match (topic(&entry, "topic"), pointer(&entry, "value_template")) {
            (Ok(Some(topic)), Ok(pointer)) => {
                let known = Availability {
                    topic,
                    pointer,
                    online: word("payload_available", "online"),
                    offline: word("payload_not_available", "offline"),
                };
                if known.online != known.offline {
                    found.availability.push(known);
                }
            }
            (Ok(None), _) => found.left_out.push("availability: a topic is missing".to_owned()),
            (Err(why), _) | (_, Err(why)) => found.left_out.push(format!("availability: {why}")),
        }
    }
}
