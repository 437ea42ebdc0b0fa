//! The thermostat: one entity of a device's set point, its room temperature, its mode and its fan.
//!
//! Why together: people expect a dial with the temperature on it, not four sliders. What of a device does not fit (a mode
//! that Home Assistant has no word for, a second set point) is shown on its own.
//!
//! Never: a mode that the device does not have.

use super::component::{AS_JSON, Place, entry};
use crate::profile::{PointTraits, Takes, ValueKind};
use engawa_model::Role;
use serde_json::{Map, Value as Json, json};

/// The step of a set point that has none of its own, °C.
const STEP: f64 = 0.5;
/// The steps that make sense on a dial, °C.
const STEPS: std::ops::RangeInclusive<f64> = 0.1..=5.0;

/// The points that make a thermostat.
pub(super) struct Climate<'a> {
    pub(super) setpoint: &'a PointTraits,
    takes: &'a Takes,
    temperature: Option<&'a PointTraits>,
    mode: Option<Modes<'a>>,
    fan: Option<&'a PointTraits>,
}

/// A mode point, as far as Home Assistant has words for it.
struct Modes<'a> {
    point: &'a PointTraits,
    /// (Home Assistant's word, the device's name), the device's order.
    words: Vec<(&'static str, &'a str)>,
    /// True where every name has its word, both ways.
    whole: bool,
}

/// Home Assistant's word for a mode.
fn word(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace(['_', ' '], "-");
    Some(match name.as_str() {
        "off" => "off",
        "heat" | "heating" => "heat",
        "cool" | "cooling" => "cool",
        "auto" | "automatic" => "auto",
        "heat-cool" | "heatcool" => "heat_cool",
        "dry" | "dehumidify" => "dry",
        "fan" | "fan-only" | "vent" | "ventilation" => "fan_only",
        _ => return None,
    })
}

impl<'a> Modes<'a> {
    fn of(point: &'a PointTraits) -> Option<Self> {
        let mut words: Vec<(&'static str, &str)> = Vec::new();
        let named = point.names.iter().filter_map(|name| Some((word(name)?, name.as_str())));
        for (word, name) in named {
            // The first of two names for one word is the one that is set.
            if words.iter().all(|(known, _)| *known != word) {
                words.push((word, name));
            }
        }
        let settable = point.takes.as_ref().is_none_or(|takes| takes.names == point.names);
        let whole = settable && words.len() == point.names.len();
        (point.reads && !words.is_empty()).then_some(Self { point, words, whole })
    }
}

impl<'a> Climate<'a> {
    /// The thermostat that `points` make; `None` without a set point that can be written.
    pub(super) fn of(points: &'a [PointTraits]) -> Option<Self> {
        let with = |role: Role| points.iter().filter(move |point| point.role == Some(role));
        let setpoint = with(Role::ClimateSetpoint)
            .find(|point| point.kind == ValueKind::Number && point.reads && point.takes.is_some())?;
        let settable = |point: &&PointTraits| {
            let named = |takes: &Takes| takes.names == point.names;
            point.reads && !point.names.is_empty() && point.takes.as_ref().is_none_or(named)
        };
        Some(Self {
            setpoint,
            takes: setpoint.takes.as_ref()?,
            temperature: with(Role::RoomTemperature)
                .find(|point| point.kind == ValueKind::Number && point.reads),
            mode: with(Role::ClimateMode).find_map(Modes::of),
            fan: with(Role::Fan).find(settable),
        })
    }

    /// True for a point that needs no entity of its own. The room temperature has one all the same: statistics and
    /// automations want a sensor.
    pub(super) fn shows(&self, point: &PointTraits) -> bool {
        let mode = self.mode.as_ref().filter(|mode| mode.whole).map(|mode| mode.point);
        [Some(self.setpoint), mode, self.fan].into_iter().flatten().any(|shown| shown.name == point.name)
    }
}

/// The entity. `place` tells where a point is on the broker.
pub(super) fn entity(
    climate: &Climate<'_>,
    unique_id: String,
    place: impl Fn(&PointTraits) -> Place,
) -> Json {
    let mut entity = entry("climate", unique_id);
    let setpoint = place(climate.setpoint);
    let fahrenheit = climate.setpoint.unit.as_deref() == Some("[degF]");
    let step = climate.takes.step.filter(|step| STEPS.contains(step)).unwrap_or(STEP);
    let mut put = |key: &str, value: Json| entity.insert(key.to_owned(), value);
    // It is what the device is: it is called as the device is.
    put("name", Json::Null);
    put("qos", json!(1));
    put("temp_unit", json!(if fahrenheit { "F" } else { "C" }));
    put("temp_step", json!(step));
    for (key, bound) in [("min_temp", climate.takes.min), ("max_temp", climate.takes.max)] {
        if let Some(bound) = bound.filter(|bound| bound.is_finite()) {
            put(key, json!(bound));
        }
    }
    put("temp_cmd_t", json!(setpoint.set));
    put("temp_stat_t", json!(setpoint.state));
    put("temp_stat_tpl", json!(setpoint.number()));
    if let Some(temperature) = climate.temperature {
        let there = place(temperature);
        put("curr_temp_t", json!(there.state));
        put("curr_temp_tpl", json!(there.number()));
    }
    match &climate.mode {
        Some(modes) => {
            let there = place(modes.point);
            put("modes", modes.words.iter().map(|(word, _)| *word).collect());
            put("mode_stat_t", json!(there.state));
            let words = modes.point.names.iter().filter_map(|name| Some((name.clone(), json!(word(name)?))));
            put("mode_stat_tpl", json!(there.looked_up(&Json::Object(words.collect()))));
            if modes.point.takes.is_some() {
                put("mode_cmd_t", json!(there.set));
                let names = modes.words.iter().map(|(word, name)| (*word, Json::from(*name)));
                let names: Map<String, Json> = names.map(|(word, name)| (word.to_owned(), name)).collect();
                put("mode_cmd_tpl", json!(format!("{{{{ {}[value] | tojson }}}}", Json::Object(names))));
            }
        }
        None => {
            // The house does not know whether it heats or cools now: it keeps the set point by itself.
            put("modes", json!(["auto"]));
            put("mode_stat_t", json!(setpoint.state));
            put("mode_stat_tpl", json!("auto"));
        }
    }
    if let Some(fan) = climate.fan {
        let there = place(fan);
        put("fan_modes", json!(fan.names));
        put("fan_mode_stat_t", json!(there.state));
        put("fan_mode_stat_tpl", json!(there.one_of(&fan.names)));
        if fan.takes.is_some() {
            put("fan_mode_cmd_t", json!(there.set));
            put("fan_mode_cmd_tpl", json!(AS_JSON));
        }
    }
    Json::Object(entity)
}
