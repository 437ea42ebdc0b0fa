//! From what a device says to the value of a point.
//!
//! Never: panics, whatever the payload is.

use crate::profile::modbus::{Fraction, Range};
use crate::profile::mqtt::{Meaning, MqttKind, MqttPoint};
use engawa_model::Value;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Whole numbers up to here are exact as `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What a device says of a point.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// A value.
    Value(Value),
    /// That it has none, or something that can't be.
    NoValue,
    /// Something of another kind.
    Other,
}

/// Reads one point out of what stands at its place.
pub(super) fn decode(point: &MqttPoint, json: &Json) -> Said {
    let word = word(json);
    if let Some(word) = &word
        && point.invalid.iter().any(|invalid| invalid == word)
    {
        return Said::NoValue;
    }
    if !point.values.is_empty() {
        match word.as_deref().and_then(|word| meaning(&point.values, word)) {
            Some(value) => return plausible(point, value.clone()),
            // A text that has no name here is still a text.
            None if point.kind != MqttKind::Text => return Said::Other,
            None => {}
        }
    }
    match plain(point, json) {
        Some(value) => plausible(point, value),
        None => Said::Other,
    }
}

fn plain(point: &MqttPoint, json: &Json) -> Option<Value> {
    Some(match point.kind {
        MqttKind::Bool => Value::Bool(bool_from(json)? != point.invert),
        MqttKind::Int => Value::Int(int_from(json)?),
        MqttKind::Float => {
            let x = json.as_f64().or_else(|| json.as_str()?.trim().parse().ok())?;
            // Text such as `NaN` parses too; a sensor that says so has no value.
            Value::Float(Some(linear(point.scale, point.offset, x)).filter(|x| x.is_finite())?)
        }
        MqttKind::Text => Value::Text(word(json)?.into_owned()),
    })
}

fn plausible(point: &MqttPoint, value: Value) -> Said {
    let Some(Range { min, max }) = point.valid else { return Said::Value(value) };
    let within = value
        .as_f64()
        .is_none_or(|x| (min.unwrap_or(f64::NEG_INFINITY)..=max.unwrap_or(f64::INFINITY)).contains(&x));
    if within { Said::Value(value) } else { Said::NoValue }
}

/// One step, where there is one: 215 x 1/10 is 21.5.
fn linear(scale: Fraction, offset: Fraction, x: f64) -> f64 {
    scale.times(x) + offset.times(1.0)
}

/// A single thing as the word for it: `true`, `21`, `heat`.
pub(super) fn word(json: &Json) -> Option<Cow<'_, str>> {
    match json {
        Json::String(text) => Some(text.trim().into()),
        Json::Bool(true) => Some("true".into()),
        Json::Bool(false) => Some("false".into()),
        Json::Number(number) => Some(match int_from(json) {
            Some(whole) => whole.to_string().into(),
            None => number.to_string().into(),
        }),
        _ => None,
    }
}

/// What a word means; small and capital letters are alike where no word is the very same.
fn meaning<'a>(words: &'a BTreeMap<String, Meaning>, word: &str) -> Option<&'a Value> {
    let same =
        || words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, meaning)| meaning);
    words.get(word).or_else(same).map(|Meaning(value)| value)
}

fn bool_from(json: &Json) -> Option<bool> {
    match word(json)?.to_ascii_lowercase().as_str() {
        "on" | "true" | "1" => Some(true),
        "off" | "false" | "0" => Some(false),
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
    // `21.0` is how many devices write 21; `21.5` is another kind of value.
    #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and far inside of i64")]
    (x.fract() == 0.0 && x.abs() <= EXACT).then_some(x as i64)
}

/// What a point takes, and what was expected of it.
pub(super) fn in_words(point: &MqttPoint) -> (String, String) {
    let words = |words: &BTreeMap<String, Meaning>| {
        let known: Vec<&str> = words.keys().take(16).map(String::as_str).collect();
        format!("one of {}", known.join(", "))
    };
    let meanings = || {
        let known: Vec<String> =
            point.words().values().take(16).map(|Meaning(value)| value.to_string()).collect();
        format!("one of {}", known.join(", "))
    };
    let (takes, expected) = match point.kind {
        MqttKind::Bool => ("on or off", "true or false (or 1/0, ON/OFF)"),
        MqttKind::Int => ("a whole number", "a whole number"),
        MqttKind::Float => ("a number", "a number"),
        MqttKind::Text => ("a text", "a text"),
    };
    (
        if point.words().is_empty() || point.kind == MqttKind::Bool { takes.to_owned() } else { meanings() },
        if point.values.is_empty() { expected.to_owned() } else { words(&point.values) },
    )
}

/// What is there: its kind, not its content.
pub(super) fn found_in_words(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "another number",
        Json::String(_) => "another text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}
