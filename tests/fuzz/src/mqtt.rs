//! Payloads of MQTT devices.
//!
//! The script makes up a profile, which must be a valid one, and then messages: bytes of any kind, or JSON that has what
//! the profile points at, in kinds that fit and kinds that don't. Seen here:
//!
//! - Each reading is of a point of the profile, of its kind, finite, and what the JSON has at its pointer.
//! - A value that plainly fits is read; a payload that is not used is a fault with a reason, and makes its device unwell.
//! - The same message again brings nothing new.
//! - A command goes to the point's topic, and a value that is its own payload comes back as the value that was written.

use arbitrary::Unstructured;
use engawa_field::mqtt::MqttDevice;
use engawa_field::mqtt::devices::{Devices, Moment, News, Reading};
use engawa_field::profile::{self, Resolved};
use engawa_model::{DeviceState, Fact, PointId, Quality, Timestamp, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Messages of a script.
const MOST_MESSAGES: usize = 20;
/// Whole numbers up to here are exact as `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

const POINTERS: [&str; 6] = ["", "/a", "/b/c", "/d/0", "/x~1y", "/"];
const KINDS: [&str; 4] = ["bool", "int", "float", "text"];
/// The last two are for what is on or off.
const TEMPLATES: [&str; 5] = ["{value}", "{text}", r#"{"v":{value}}"#, r#"{"state":"{on_off}"}"#, "{on_off}"];

/// A point, as the script made it up.
#[derive(Clone)]
struct Point {
    name: String,
    kind: &'static str,
    pointer: Option<&'static str>,
    invert: bool,
    /// Words, scales, ranges: what it means is not worked out a second time then.
    special: bool,
    command: bool,
    template: Option<&'static str>,
}

/// Plays a script.
pub fn run(data: &[u8]) {
    let mut script = Unstructured::new(data);
    let _ = play(&mut script);
}

fn play(script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let (text, points) = made_up(script)?;
    let loaded = profile::load("made-up.toml", &text).unwrap_or_else(|report| panic!("{report}\n{text}"));
    let Ok(Resolved::Mqtt(profile)) = loaded.resolve(&BTreeMap::new()) else { panic!("not MQTT: {text}") };
    let device =
        MqttDevice { id: "t".into(), room: Some("101".into()), name: "floor1/t".to_owned(), profile };
    let mut devices = Devices::new(vec![device]);
    let topic = "made/up/101/floor1/t";
    let reports = points.iter().any(|point| point.pointer.is_some());
    assert_eq!(devices.subscriptions(), if reports { vec![topic] } else { vec![] });
    for _ in 0..MOST_MESSAGES {
        if script.is_empty() {
            break;
        }
        if script.ratio(1, 4)? {
            write(script, &mut devices, topic, &points)?;
        } else {
            let payload = payload(script)?;
            let retained = script.ratio(1, 8)?;
            hear(&mut devices, topic, &payload, retained, &points);
        }
    }
    Ok(())
}

fn made_up(script: &mut Unstructured<'_>) -> arbitrary::Result<(String, Vec<Point>)> {
    let mut text = String::from(
        "[profile]\nname = 'made-up'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'mqtt'\nsources = ['s']\n\
         [mqtt]\nstatus_topic = 'made/up/{room}/{device}'\n",
    );
    let mut points = Vec::new();
    for n in 0..script.int_in_range(1..=5)? {
        let pointer = if script.ratio(7, 8)? { Some(*script.choose(&POINTERS)?) } else { None };
        let command = pointer.is_none() || script.arbitrary()?;
        let mut point = Point {
            name: format!("p{n}"),
            kind: script.choose(&KINDS)?,
            pointer,
            invert: script.arbitrary()?,
            special: script.ratio(1, 3)?,
            command,
            template: None,
        };
        if command && script.arbitrary()? {
            let fit = if point.kind == "bool" { TEMPLATES.len() } else { 3 };
            point.template = Some(script.choose(&TEMPLATES[..fit])?);
        }
        point.invert &= point.kind == "bool" && !point.special;
        let number = matches!(point.kind, "int" | "float");
        text += &format!("[[mqtt.points]]\nname = '{}'\nkind = '{}'\n", point.name, point.kind);
        if let Some(pointer) = pointer {
            text += &format!("pointer = '{pointer}'\n");
        }
        if point.invert {
            text += "invert = true\n";
        }
        if point.special {
            text += special(script, point.kind)?;
        }
        if number && script.ratio(1, 4)? {
            text += &format!("dead_band = {}.5\n", script.arbitrary::<u8>()?);
        }
        if number && command && script.ratio(1, 4)? {
            let min: i16 = script.arbitrary()?;
            text += &format!(
                "min = {min}.0\nmax = {}.0\n",
                i32::from(min) + i32::from(script.arbitrary::<u8>()?)
            );
        }
        if command {
            text += &format!("command_topic = 'made/up/{{device}}/set/p{n}'\n");
        }
        if let Some(template) = point.template {
            text += &format!("command_template = '{template}'\n");
        }
        points.push(point);
    }
    Ok((text, points))
}

/// Keys that change what is said.
fn special(script: &mut Unstructured<'_>, kind: &str) -> arbitrary::Result<&'static str> {
    Ok(match (kind, script.int_in_range(0..=3_u8)?) {
        (_, 0) => "invalid = ['NaN', '1']\n",
        ("float", 1) => "scale = '1/10'\noffset = '-5'\n",
        ("float", _) => "valid = { min = -40.0, max = 60.0 }\n",
        ("bool", _) => "values = { heat = true, off = false, '2' = true }\n",
        ("int", _) => "values = { on = 1, auto = 2, '0' = 7 }\n",
        _ => "values = { 'ON' = 'heat', '1' = 'cool' }\n",
    })
}

fn payload(script: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    if script.ratio(1, 3)? {
        let count = script.int_in_range(0..=64_usize)?.min(script.len());
        return Ok(script.bytes(count)?.to_vec());
    }
    if script.ratio(1, 4)? {
        return Ok(json(script)?.into_bytes());
    }
    let (a, c, d, slash, empty) = (json(script)?, json(script)?, json(script)?, json(script)?, json(script)?);
    let mut text = format!(r#"{{"a":{a},"b":{{"c":{c}}},"d":[{d}],"x/y":{slash},"":{empty}}}"#);
    if script.ratio(1, 16)? {
        let end = script.choose_index(text.len())?;
        text.truncate(text.floor_char_boundary(end));
    }
    Ok(text.into_bytes())
}

fn json(script: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    Ok(match script.int_in_range(0..=9_u8)? {
        0 => "null".to_owned(),
        1 => script.arbitrary::<bool>()?.to_string(),
        2 => script.int_in_range(0..=2_u8)?.to_string(),
        3 => script.arbitrary::<i64>()?.to_string(),
        4 => script.arbitrary::<u64>()?.to_string(),
        5 => format!("{}.{}", script.arbitrary::<i16>()?, script.arbitrary::<u8>()?),
        6 => format!("{}e{}", script.arbitrary::<i8>()?, script.arbitrary::<i16>()?),
        7 => format!(
            "\"{}\"",
            script.choose(&["ON", "off", " 1 ", "21.5", "NaN", "-inf", "1e999", "true", ""])?
        ),
        8 => Json::String(script.arbitrary::<String>()?).to_string(),
        _ => "[1]".to_owned(),
    })
}

/// Nothing is stale here: no time passes.
fn now() -> Moment {
    Moment { steady: Duration::from_secs(1), clock: Timestamp::UNIX_EPOCH }
}

fn hear(devices: &mut Devices, topic: &str, payload: &[u8], retained: bool, points: &[Point]) {
    let bad = devices.bad_payloads();
    let heard = devices.hear(topic, payload, retained, now());
    assert!(heard.readings.len() <= points.len() && heard.errors.len() <= 1);
    assert_eq!(devices.bad_payloads() - bad, u64::try_from(heard.errors.len()).unwrap_or_default());
    let document = serde_json::from_slice::<Json>(payload).ok();
    for reading in &heard.readings {
        let point = points.iter().find(|point| *point.name == *reading.point.point).expect("of the profile");
        let pointer = point.pointer.expect("a point that reports");
        let at = match &document {
            Some(document) => document.pointer(pointer).expect("something at the pointer").clone(),
            None => {
                assert!(pointer.is_empty(), "something inside of what is no JSON");
                Json::String(std::str::from_utf8(payload).expect("a text").trim().to_owned())
            }
        };
        match (&reading.value, reading.quality) {
            (Some(Value::Float(x)), _) if !x.is_finite() => panic!("{x} from {at}"),
            (Some(value), Quality::Good) => {
                let meant = point.special || means(point, &at, value);
                assert!(meant, "{value:?} of {at} as {}", point.kind);
            }
            (None, Quality::Bad) => assert!(point.special, "no value from {at}"),
            other => panic!("{other:?} from {at}"),
        }
    }
    if let Some(document) = &document {
        for point in points.iter().filter(|point| !point.special) {
            let at = point.pointer.and_then(|pointer| document.pointer(pointer));
            let plain = match (point.kind, at) {
                ("bool", Some(Json::Bool(_))) | ("text", Some(Json::String(_))) => true,
                ("float", Some(Json::Number(number))) => number.as_f64().is_some_and(f64::is_finite),
                ("int", Some(Json::Number(number))) => number.is_i64(),
                _ => false,
            };
            let read = heard.readings.iter().any(|reading| *reading.point.point == *point.name);
            assert!(!plain || read, "{} was not read from {at:?}", point.name);
        }
    }
    for error in &heard.errors {
        let text = error.to_string();
        assert!(text.contains("t on made/up") && text.len() < 1000, "{text}");
    }
    for fact in &heard.facts {
        match fact {
            Fact::Health { state: DeviceState::Unwell, reason: Some(_), .. } => {
                assert!(!heard.errors.is_empty())
            }
            Fact::Health { state, .. } => assert!(*state == DeviceState::Well && heard.errors.is_empty()),
            Fact::Reported { point, value, .. } => {
                let same = |reading: &&Reading| reading.point == *point && reading.value == *value;
                assert_eq!(heard.readings.iter().find(same).map(|reading| reading.news), Some(News::Changed));
            }
            other => panic!("{other:?}"),
        }
    }
    let again = devices.hear(topic, payload, retained, now());
    let news = again.readings.iter().any(|reading| reading.news == News::Changed);
    assert!(!news && again.facts.is_empty(), "twice the same is news: {again:?}");
    assert_eq!(again.readings.len(), heard.readings.len());
}

/// What a single thing says, as a word.
fn word(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.trim().to_owned()),
        Json::Bool(on) => Some(on.to_string()),
        Json::Number(number) => match number.as_f64() {
            #[allow(clippy::cast_possible_truncation, reason = "whole, and far inside of an i64")]
            Some(x) if !number.is_i64() && x.fract() == 0.0 && x.abs() <= EXACT => {
                Some((x as i64).to_string())
            }
            _ => Some(number.to_string()),
        },
        _ => None,
    }
}

/// Whether the value is what the JSON says, for a point of this kind.
fn means(point: &Point, json: &Json, value: &Value) -> bool {
    let number = || json.as_f64().or_else(|| json.as_str()?.trim().parse().ok());
    #[allow(clippy::float_cmp, reason = "it must be the very number")]
    match (point.kind, value) {
        ("bool", Value::Bool(on)) => {
            let said = match word(json).unwrap_or_default().to_lowercase().as_str() {
                "true" | "1" | "on" => true,
                "false" | "0" | "off" => false,
                _ => return false,
            };
            *on == (said != point.invert)
        }
        ("int", Value::Int(whole)) => match (json.as_i64(), json.as_str()) {
            (Some(exact), _) => exact == *whole,
            (None, Some(text)) => text.trim().parse() == Ok(*whole),
            #[allow(clippy::cast_precision_loss, reason = "it must be exact, or it is wrong")]
            _ => number() == Some(*whole as f64) && whole.unsigned_abs() <= 1 << 53,
        },
        ("float", Value::Float(x)) => x.is_finite() && number() == Some(*x),
        ("text", Value::Text(text)) => word(json).as_ref() == Some(text),
        _ => false,
    }
}

fn write(
    script: &mut Unstructured<'_>,
    devices: &mut Devices,
    topic: &str,
    points: &[Point],
) -> arbitrary::Result<()> {
    let point = script.choose(points)?;
    let value = match script.int_in_range(0..=3_u8)? {
        0 => Value::Bool(script.arbitrary()?),
        1 => Value::Int(script.arbitrary()?),
        2 => Value::Float(script.arbitrary()?),
        _ => Value::Text(script.arbitrary()?),
    };
    let id = PointId::new("t", point.name.as_str());
    let Ok(message) = devices.write(&id, &value) else { return Ok(()) };
    assert!(point.command, "a point without a topic for commands was written");
    assert_eq!(message.publication.topic, format!("made/up/floor1/t/set/{}", point.name));
    assert!(!message.publication.retain, "a command that stays at the broker");
    assert!(message.tolerance.is_finite() && message.tolerance > 0.0);
    assert_eq!(message.reports, point.pointer.is_some());
    let payload = message.publication.payload;
    if point.template.is_some_and(|template| template.starts_with('{') && template.contains(':')) {
        assert!(serde_json::from_str::<Json>(&payload).is_ok(), "a command that is not JSON: {payload}");
    }
    let alone = points.iter().all(|other| other.pointer == Some("") && !other.special);
    if alone && matches!(point.template, None | Some("{value}" | "{text}")) {
        let heard = devices.hear(topic, payload.as_bytes(), false, now());
        let back = heard
            .readings
            .iter()
            .find(|reading| reading.point == id)
            .and_then(|reading| reading.value.clone());
        // A text that is a number, or nothing at all, may be read as what it looks like.
        if let (Value::Text(text), None) | (Value::Text(text), Some(Value::Text(_))) = (&value, &back)
            && (text.trim() != text || serde_json::from_str::<Json>(text).is_ok() || text.is_empty())
        {
            return Ok(());
        }
        let back =
            back.unwrap_or_else(|| panic!("{value:?} was written and does not come back from {payload}"));
        let same = match (&back, &value) {
            (Value::Text(back), Value::Text(text)) => back == text,
            (Value::Bool(back), value) => Some(*back) == value.as_bool(),
            // A decimal text is read to the nearest number or its neighbour.
            (back, value) => back
                .as_f64()
                .zip(value.as_f64())
                .is_some_and(|(back, value)| (back - value).abs() <= 2.0 * f64::EPSILON * value.abs()),
        };
        assert!(same, "{value:?} was written, {back:?} comes back from {payload}");
    }
    Ok(())
}
