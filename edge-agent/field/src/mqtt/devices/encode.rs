//! From a value to the payload of the command that writes it.

use crate::profile::mqtt::{Meaning, MqttKind, MqttPoint, fill};
use engawa_model::Value;
use serde_json::Value as Json;

/// Digits of a scaled number that a device can mean: what is beyond comes from the arithmetic.
const DIGITS: f64 = 1e6;

/// Why a value has no payload.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// It is of another kind, or no word means it.
    Kind,
    /// It is outside of these limits.
    Range(f64, f64),
}

/// The payload that writes `value`, after the device's own template.
pub(super) fn payload(point: &MqttPoint, template: &str, value: &Value) -> Result<String, Refusal> {
    if point.kind != MqttKind::Text
        && let Some(x) = value.as_f64()
    {
        let (min, max) = (point.min.unwrap_or(f64::MIN), point.max.unwrap_or(f64::MAX));
        if x < min || x > max {
            return Err(Refusal::Range(min, max));
        }
    }
    let json = json(point, value).ok_or(Refusal::Kind)?;
    let on_off = if value.as_bool().unwrap_or(false) != point.invert { "ON" } else { "OFF" };
    Ok(fill(template, |name| match name {
        "value" => Some(json.to_string().into()),
        "text" => Some(json.as_str().map_or_else(|| json.to_string(), str::to_owned).into()),
        "on_off" => Some(on_off.into()),
        _ => None,
    }))
}

fn json(point: &MqttPoint, value: &Value) -> Option<Json> {
    let words = point.words();
    if !words.is_empty() {
        let means = |Meaning(meaning): &Meaning| agrees(meaning, value);
        match words.iter().find(|(_, meaning)| means(meaning)) {
            Some((word, _)) => return Some(of_word(word)),
            None if point.kind != MqttKind::Text => return None,
            // A name of the device itself is as good as the house's name for it.
            None => {
                let Value::Text(text) = value else { return None };
                return words.contains_key(text).then(|| Json::String(text.clone()));
            }
        }
    }
    Some(match point.kind {
        MqttKind::Bool => Json::Bool(value.as_bool()? != point.invert),
        MqttKind::Int => Json::from(whole(value.as_f64()?)?),
        MqttKind::Float => {
            let x = value.as_f64()?;
            let raw = if point.is_scaled() {
                (point.scale.divide(x - point.offset.times(1.0)) * DIGITS).round() / DIGITS
            } else {
                x
            };
            // `from` gives null for what is not finite; there is no such set point.
            Some(Json::from(raw)).filter(Json::is_number)?
        }
        MqttKind::Text => match value {
            Value::Text(text) => Json::String(text.clone()),
            _ => return None,
        },
    })
}

/// A word as a device writes it in JSON: numbers, true and false have no quotes there.
fn of_word(word: &str) -> Json {
    match serde_json::from_str(word) {
        Ok(json @ (Json::Bool(_) | Json::Number(_))) => json,
        _ => Json::String(word.to_owned()),
    }
}

fn whole(x: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and far inside of i64")]
    (x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0).then_some(x as i64)
}

#[allow(clippy::float_cmp, reason = "what a profile names is what is asked for, or it is not")]
fn agrees(meaning: &Value, value: &Value) -> bool {
    match (meaning, value) {
        (Value::Bool(meaning), value) => value.as_bool() == Some(*meaning),
        (Value::Text(_), _) | (_, Value::Text(_)) => meaning == value,
        _ => meaning.as_f64() == value.as_f64(),
    }
}
