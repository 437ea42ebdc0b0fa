//! A found device as a profile, written as a person would.

use super::points::{Config, Understood, understand};
use crate::profile::mqtt::{Availability, Meaning, MqttKind, MqttPoint};
use engawa_model::{Found, FoundEntity, Role, Value};
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Sources that are named in the profile.
const MOST_SOURCES: usize = 8;

/// A profile made from what a device told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The profile's text.
    pub toml: String,
    /// Its points, by name.
    pub points: Vec<String>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// Nothing of what a device told is understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing that the device told is understood: {0}")]
pub struct NothingUnderstood(String);

/// The profile `name` of a found device.
///
/// # Errors
/// A device without a point.
pub fn profile(found: &Found, name: &str) -> Result<Rendered, NothingUnderstood> {
    let mut taken = BTreeSet::new();
    let understood: Vec<(&FoundEntity, Understood)> = found
        .entities()
        .map(|entity| {
            let config: Map<String, Json> = serde_json::from_str(&entity.config).unwrap_or_default();
            (entity, understand(&entity.kind, &unique(&entity.name, &mut taken), &Config(&config)))
        })
        .collect();
    let mut left_out: Vec<String> = Vec::new();
    for (entity, understood) in &understood {
        left_out.extend(
            understood.left_out.iter().map(|why| format!("{} `{}`: {why}", entity.kind, entity.name)),
        );
    }
    let availability = shared_availability(&understood);
    let climate = understood.iter().any(|(entity, _)| entity.kind == "climate");
    let mut points: Vec<MqttPoint> = Vec::new();
    let mut names = BTreeSet::new();
    // The thermostat's own temperature is the room's before that of another sensor.
    let (first, rest): (Vec<_>, Vec<_>) =
        understood.into_iter().partition(|(entity, _)| entity.kind == "climate");
    for mut point in first.into_iter().chain(rest).flat_map(|(_, understood)| understood.points) {
        while !names.insert(point.name.clone()) {
            point.name.push('_');
        }
        points.push(point);
    }
    one_of_each(&mut points, &mut left_out);
    if points.is_empty() {
        return Err(NothingUnderstood(left_out.join("; ")));
    }
    let toml = write(found, name, climate, &availability, &points, &left_out);
    Ok(Rendered { toml, points: points.into_iter().map(|point| point.name).collect(), left_out })
}

/// A room has one temperature and one set point: a second one of a device has no role, and two sensors none at all.
fn one_of_each(points: &mut [MqttPoint], left_out: &mut Vec<String>) {
    for role in [Role::RoomTemperature, Role::ClimateSetpoint] {
        let of_climate =
            |point: &MqttPoint| point.name.ends_with("_temperature") || point.name.ends_with("_setpoint");
        let holders: Vec<usize> = (0..points.len()).filter(|n| points[*n].role == Some(role)).collect();
        if holders.len() < 2 {
            continue;
        }
        let mut best = holders.iter().filter(|n| of_climate(&points[**n]));
        let keep = match (best.next(), best.next()) {
            (Some(one), None) => Some(*one),
            _ => None,
        };
        for n in holders.into_iter().filter(|n| Some(*n) != keep) {
            points[n].role = None;
            left_out.push(format!("`{}` has no role: there are several like it", points[n].name));
        }
    }
}

/// What all entities agree on; what only one says is about that one.
fn shared_availability(understood: &[(&FoundEntity, Understood)]) -> Vec<Availability> {
    let mut all = understood.iter().filter(|(_, understood)| !understood.points.is_empty());
    let Some((_, first)) = all.next() else { return vec![] };
    let rest: Vec<_> = all.collect();
    let mut shared: Vec<Availability> = Vec::new();
    for entry in &first.availability {
        if !shared.contains(entry) && rest.iter().all(|(_, other)| other.availability.contains(entry)) {
            shared.push(entry.clone());
        }
    }
    shared
}

/// A name as a point's: small letters, digits and `_`.
fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            c if c.is_alphanumeric() => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('_') => slug.push('_'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches('_');
    let slug = if slug.is_empty() { "value" } else { slug };
    let mut unique = slug.to_owned();
    let mut n = 2;
    while !taken.insert(unique.clone()) {
        unique = format!("{slug}_{n}");
        n += 1;
    }
    unique
}

/// A basic string on one line: keys can be nothing else.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn write(
    found: &Found,
    name: &str,
    climate: bool,
    availability: &[Availability],
    points: &[MqttPoint],
    left_out: &[String],
) -> String {
    let about = &found.about;
    let kind = if climate { "thermostat" } else { "sensors" };
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(
        out,
        "# {}, as it told of itself when it was found. It is for this one device.",
        comment(&about.name)
    );
    for why in left_out {
        let _ = writeln!(out, "# Left out: {}", comment(why));
    }
    let _ = writeln!(
        out,
        "\n[profile]\nname = {}\nmake = {}\nmodel = {}\nkind = {}\nprotocol = \"mqtt\"\nsources = [",
        quoted(name),
        quoted(about.make.as_deref().unwrap_or("unknown")),
        quoted(about.model.as_deref().unwrap_or(&about.name)),
        quoted(kind)
    );
    for source in found.sources.keys().take(MOST_SOURCES) {
        let _ = writeln!(out, "  {},", quoted(&format!("what the device told on {source}")));
    }
    let more = found.sources.len().saturating_sub(MOST_SOURCES);
    if more > 0 {
        let _ = writeln!(out, "  {},", quoted(&format!("and {more} more topics like these")));
    }
    out.push_str("]\n\n[mqtt]\n");
    if !availability.is_empty() {
        out.push_str("availability = [\n");
        for Availability { topic, pointer, online, offline } in availability {
            let (topic, pointer, online, offline) =
                (quoted(topic), quoted(pointer), quoted(online), quoted(offline));
            let _ = writeln!(
                out,
                "  {{ topic = {topic}, pointer = {pointer}, online = {online}, offline = {offline} }},"
            );
        }
        out.push_str("]\n");
    }
    for point in points {
        write_point(&mut out, point);
    }
    out
}

fn write_point(out: &mut String, point: &MqttPoint) {
    let kind = match point.kind {
        MqttKind::Bool => "bool",
        MqttKind::Int => "int",
        MqttKind::Float => "float",
        MqttKind::Text => "text",
    };
    let role = point.role.and_then(|role| serde_json::to_value(role).ok());
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(out, "{key} = {value}");
        }
    };
    line("\n[[mqtt.points]]\nname", Some(quoted(&point.name)));
    line("role", role.as_ref().and_then(Json::as_str).map(quoted));
    line("unit", point.unit.as_deref().map(quoted));
    line("topic", point.topic.as_deref().map(quoted));
    line("pointer", point.pointer.as_deref().map(quoted));
    line("kind", Some(quoted(kind)));
    line("values", words(&point.values));
    let invalid: Vec<String> = point.invalid.iter().map(|word| quoted(word)).collect();
    line(
        "invalid",
        (!invalid.is_empty() && point.pointer.is_some()).then(|| format!("[{}]", invalid.join(", "))),
    );
    line("scale", (!point.scale.is_one()).then(|| quoted(&point.scale.to_string())));
    line("offset", (!point.offset.is_zero()).then(|| quoted(&point.offset.to_string())));
    if let Some(valid) = point.valid {
        let limit = |key: &str, limit: Option<f64>| limit.map(|limit| format!("{key} = {limit:?}"));
        let limits: Vec<String> =
            [limit("min", valid.min), limit("max", valid.max)].into_iter().flatten().collect();
        line("valid", Some(format!("{{ {} }}", limits.join(", "))));
    }
    line("stale_after_s", point.stale_after_s.map(|s| s.to_string()));
    line("min", point.min.map(|min| format!("{min:?}")));
    line("max", point.max.map(|max| format!("{max:?}")));
    line("command_topic", point.command_topic.as_deref().map(quoted));
    line("command_template", point.command_template.as_deref().map(quoted));
    line("command_values", words(&point.command_values));
    line("command_retain", point.command_retain.then(|| "true".to_owned()));
}

fn words(words: &BTreeMap<String, Meaning>) -> Option<String> {
    let shown: Vec<String> = words
        .iter()
        .map(|(word, Meaning(meaning))| {
            let meaning = match meaning {
                Value::Text(text) => quoted(text),
                Value::Float(x) => format!("{x:?}"),
                other => other.to_string(),
            };
            format!("{} = {meaning}", quoted(word))
        })
        .collect();
    (!shown.is_empty()).then(|| format!("{{ {} }}", shown.join(", ")))
}
