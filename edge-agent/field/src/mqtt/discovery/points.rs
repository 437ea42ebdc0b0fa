//! From what an entity tells of itself to points of a profile. What is not understood is said, never guessed.

use super::template;
use crate::profile::modbus::{Fraction, Range};
use crate::profile::mqtt::{Availability, Meaning, MqttKind, MqttPoint};
use crate::profile::unit;
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

    fn number(&self, key: &str) -> Option<f64> {
        self.0.get(key)?.as_f64().filter(|x| x.is_finite())
    }

    fn is_diagnostic(&self) -> bool {
        self.text("entity_category").is_some()
    }

    fn words(&self, on: (&str, &str), off: (&str, &str)) -> BTreeMap<String, Meaning> {
        let word = |(key, usual): (&str, &str)| self.word(key).unwrap_or_else(|| usual.to_owned());
        [(word(on), Meaning(Value::Bool(true))), (word(off), Meaning(Value::Bool(false)))].into()
    }
}

/// Reads one entity of `kind`; `name` is its points' name.
pub(super) fn understand(kind: &str, name: &str, config: &Config<'_>) -> Understood {
    let mut found = Understood::default();
    match kind {
        "sensor" => sensor(name, config, &mut found),
        "binary_sensor" => binary_sensor(name, config, &mut found),
        "switch" | "siren" | "fan" => {
            let words = config.words(("state_on", "ON"), ("state_off", "OFF"));
            let payloads = config.words(("payload_on", "ON"), ("payload_off", "OFF"));
            let words = if config.0.contains_key("state_on") { words } else { payloads.clone() };
            on_off(name, config, None, words, payloads, &mut found);
        }
        "light" => light(name, config, &mut found),
        "lock" => {
            let words = config.words(("state_locked", "LOCKED"), ("state_unlocked", "UNLOCKED"));
            let payloads = config.words(("payload_lock", "LOCK"), ("payload_unlock", "UNLOCK"));
            on_off(name, config, Some(Role::Lock), words, payloads, &mut found);
        }
        "number" => number(name, config, &mut found),
        "select" | "text" => select(name, config, &mut found),
        "climate" => climate(name, config, &mut found),
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
fn short(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect();
    text
}

/// Where a point is read, and how it is written: the keys of its four parts.
struct Keys<'a> {
    state: &'a str,
    value: &'a str,
    command: &'a str,
    template: &'a str,
}

const USUAL: Keys<'_> = Keys {
    state: "state_topic",
    value: "value_template",
    command: "command_topic",
    template: "command_template",
};

/// A point with its places, or why there is none.
fn point(
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

fn add(
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

/// The words by which many bridges say that there is no value.
fn nothing() -> Vec<String> {
    ["unknown", "unavailable", "None"].map(str::to_owned).to_vec()
}

fn sensor(name: &str, config: &Config<'_>, found: &mut Understood) {
    let class = config.text("device_class");
    let written = config.text("unit_of_measurement");
    let unit = written.and_then(|text| if unit::is_code(text) { Some(text) } else { unit::meant(text) });
    let counted = config.text("state_class").is_some() || written.is_some();
    let numeric = counted || !matches!(class, None | Some("enum" | "timestamp" | "date"));
    let kind = if numeric && !matches!(class, Some("timestamp" | "date" | "enum")) {
        MqttKind::Float
    } else {
        MqttKind::Text
    };
    if let (Some(written), None) = (written, unit) {
        found.left_out.push(format!("{name} has no unit: `{}` has no code here", short(written)));
    }
    add(found, point(name, kind, config, &USUAL), |point| {
        point.unit = unit.map(str::to_owned);
        point.invalid = nothing();
        let fahrenheit = unit == Some("[degF]");
        if fahrenheit {
            to_celsius(point);
        }
        point.role = match (class, unit) {
            (Some("temperature"), Some("Cel" | "[degF]")) if !config.is_diagnostic() => {
                Some(Role::RoomTemperature)
            }
            (Some("battery"), Some("%")) => Some(Role::Battery),
            _ => None,
        };
    });
}

/// The house thinks in °C.
fn to_celsius(point: &mut MqttPoint) {
    point.unit = Some("Cel".to_owned());
    (point.scale, point.offset) = (Fraction::new(5, 9), Fraction::new(-160, 9));
}

fn binary_sensor(name: &str, config: &Config<'_>, found: &mut Understood) {
    let mut values = config.words(("payload_on", "ON"), ("payload_off", "OFF"));
    let role = match config.text("device_class") {
        Some("door" | "garage_door") => Some(Role::Door),
        Some("window" | "opening") => Some(Role::Window),
        Some("moisture") => Some(Role::Leak),
        Some("occupancy" | "motion" | "presence") => Some(Role::Occupancy),
        // `on` is unlocked there.
        Some("lock") => {
            for Meaning(value) in values.values_mut() {
                *value = Value::Bool(*value != Value::Bool(true));
            }
            Some(Role::Lock)
        }
        _ => None,
    };
    add(found, point(name, MqttKind::Bool, config, &Keys { command: "", template: "", ..USUAL }), |point| {
        point.values = values;
        point.invalid = nothing();
        point.role = role.filter(|_| !config.is_diagnostic());
    });
}

fn on_off(
    name: &str,
    config: &Config<'_>,
    role: Option<Role>,
    words: BTreeMap<String, Meaning>,
    payloads: BTreeMap<String, Meaning>,
    found: &mut Understood,
) {
    add(found, point(name, MqttKind::Bool, config, &USUAL), |point| {
        point.role = role;
        point.invalid = nothing();
        if point.command_topic.is_some() && payloads != words {
            point.command_values = payloads;
        }
        point.values = words;
    });
}

fn light(name: &str, config: &Config<'_>, found: &mut Understood) {
    let words = config.words(("payload_on", "ON"), ("payload_off", "OFF"));
    match config.text("schema") {
        Some("json") => {
            let in_json = |name: &str, key: &str, kind, template: &str| {
                let (mut point, left_out) =
                    point(name, kind, config, &Keys { value: "", template: "", ..USUAL })?;
                point.pointer = point.topic.is_some().then(|| format!("/{key}"));
                point.command_template = point.command_topic.is_some().then(|| template.to_owned());
                Ok((point, left_out))
            };
            add(found, in_json(name, "state", MqttKind::Bool, "{\"state\":\"{text}\"}"), |point| {
                point.role = Some(Role::Light);
                point.values = words;
            });
            if config.0.get("brightness").and_then(Json::as_bool) == Some(true) {
                let name = format!("{name}_brightness");
                add(
                    found,
                    in_json(&name, "brightness", MqttKind::Int, "{\"brightness\":{value}}"),
                    |point| {
                        limit(point, Some(0.0), Some(config.number("brightness_scale").unwrap_or(255.0)));
                    },
                );
            }
        }
        Some("template") => found.left_out.push("lights with templates are not understood".to_owned()),
        _ => {
            let keys = Keys { value: "state_value_template", ..USUAL };
            add(found, point(name, MqttKind::Bool, config, &keys), |point| {
                point.role = Some(Role::Light);
                point.values = words;
            });
            if config.text("brightness_state_topic").or(config.text("brightness_command_topic")).is_some() {
                let keys = Keys {
                    state: "brightness_state_topic",
                    value: "brightness_value_template",
                    command: "brightness_command_topic",
                    template: "brightness_command_template",
                };
                add(found, point(&format!("{name}_brightness"), MqttKind::Int, config, &keys), |point| {
                    limit(point, Some(0.0), Some(config.number("brightness_scale").unwrap_or(255.0)));
                });
            }
        }
    }
}

fn limit(point: &mut MqttPoint, min: Option<f64>, max: Option<f64>) {
    if point.command_topic.is_some() && min.unwrap_or(f64::MIN) <= max.unwrap_or(f64::MAX) {
        (point.min, point.max) = (min, max);
    }
}

fn number(name: &str, config: &Config<'_>, found: &mut Understood) {
    let written = config.text("unit_of_measurement");
    let unit = written.and_then(|text| if unit::is_code(text) { Some(text) } else { unit::meant(text) });
    add(found, point(name, MqttKind::Float, config, &USUAL), |point| {
        point.unit = unit.map(str::to_owned);
        point.invalid = nothing();
        // What the protocol takes where nothing is said.
        let (min, max) = (config.number("min").unwrap_or(1.0), config.number("max").unwrap_or(100.0));
        limit(point, Some(min), Some(max));
    });
}

fn select(name: &str, config: &Config<'_>, found: &mut Understood) {
    let options = config.0.get("options").and_then(Json::as_array);
    let options = options.into_iter().flatten().filter_map(Json::as_str).take(100);
    let words: BTreeMap<_, _> =
        options.map(|word| (word.to_owned(), Meaning(Value::Text(word.to_owned())))).collect();
    add(found, point(name, MqttKind::Text, config, &USUAL), |point| {
        point.values = words;
        point.invalid = nothing();
    });
}

fn climate(name: &str, config: &Config<'_>, found: &mut Understood) {
    let fahrenheit = config.text("temperature_unit") == Some("F");
    let parts = [
        (
            "temperature",
            Keys {
                state: "current_temperature_topic",
                value: "current_temperature_template",
                command: "",
                template: "",
            },
            MqttKind::Float,
            Some(Role::RoomTemperature),
        ),
        (
            "setpoint",
            Keys {
                state: "temperature_state_topic",
                value: "temperature_state_template",
                command: "temperature_command_topic",
                template: "temperature_command_template",
            },
            MqttKind::Float,
            Some(Role::ClimateSetpoint),
        ),
        (
            "mode",
            Keys {
                state: "mode_state_topic",
                value: "mode_state_template",
                command: "mode_command_topic",
                template: "mode_command_template",
            },
            MqttKind::Text,
            Some(Role::ClimateMode),
        ),
        (
            "fan",
            Keys {
                state: "fan_mode_state_topic",
                value: "fan_mode_state_template",
                command: "fan_mode_command_topic",
                template: "fan_mode_command_template",
            },
            MqttKind::Text,
            Some(Role::Fan),
        ),
        (
            "action",
            Keys { state: "action_topic", value: "action_template", command: "", template: "" },
            MqttKind::Text,
            None,
        ),
    ];
    for (part, keys, kind, role) in parts {
        if config.text(keys.state).or(config.text(keys.command)).is_none() {
            continue;
        }
        let made = point(&format!("{name}_{part}"), kind, config, &keys)
            .map_err(|why| format!("{name} has no {part}: {why}"));
        add(found, made, |point| {
            point.role = role;
            if kind == MqttKind::Float {
                point.unit = Some("Cel".to_owned());
                point.valid = Some(Range { min: Some(-60.0), max: Some(125.0) });
                let celsius = |limit: f64| if fahrenheit { (limit - 32.0) * 5.0 / 9.0 } else { limit };
                limit(point, config.number("min_temp").map(celsius), config.number("max_temp").map(celsius));
                if fahrenheit {
                    to_celsius(point);
                }
            }
        });
    }
    if found.points.is_empty() && found.left_out.is_empty() {
        found.left_out.push("it names no topic that is known here".to_owned());
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
