//! The kinds of entities, one function each: which points they have, what their words mean, what they are to a room.

use super::points::{Config, Keys, USUAL, Understood, add, point, short};
use crate::profile::modbus::{Fraction, Range};
use crate::profile::mqtt::{Meaning, MqttKind, MqttPoint};
use crate::profile::unit;
use engawa_model::{Role, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The words by which many bridges say that there is no value.
fn nothing() -> Vec<String> {
    ["unknown", "unavailable", "None"].map(str::to_owned).to_vec()
}

pub(super) fn sensor(name: &str, config: &Config<'_>, found: &mut Understood) {
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
        // A difference of temperatures is another thing.
        if (class, unit) == (Some("temperature"), Some("[degF]")) {
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

pub(super) fn binary_sensor(name: &str, config: &Config<'_>, found: &mut Understood) {
    let mut values = config.words(("payload_on", "ON"), ("payload_off", "OFF"));
    let role = match config.text("device_class") {
        Some("door" | "garage_door") => Some(Role::Door),
        Some("window" | "opening") => Some(Role::Window),
        Some("moisture") => Some(Role::Leak),
        Some("smoke") => Some(Role::Smoke),
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

pub(super) fn on_off(
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

pub(super) fn light(name: &str, config: &Config<'_>, found: &mut Understood) {
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

pub(super) fn number(name: &str, config: &Config<'_>, found: &mut Understood) {
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

pub(super) fn select(name: &str, config: &Config<'_>, found: &mut Understood) {
    let options = config.0.get("options").and_then(Json::as_array);
    let options = options.into_iter().flatten().filter_map(Json::as_str).take(100);
    let words: BTreeMap<_, _> =
        options.map(|word| (word.to_owned(), Meaning(Value::Text(word.to_owned())))).collect();
    add(found, point(name, MqttKind::Text, config, &USUAL), |point| {
        point.values = words;
        point.invalid = nothing();
    });
}

pub(super) fn climate(name: &str, config: &Config<'_>, found: &mut Understood) {
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
