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
use engawa_field::mqtt::devices::Devices;
use engawa_field::profile::{self, Resolved};
use engawa_model::{DeviceState, Fact, PointId, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Messages of a script.
const MOST_MESSAGES: usize = 20;

const POINTERS: [&str; 6] = ["", "/a", "/b/c", "/d/0", "/x~1y", "/"];
const KINDS: [&str; 4] = ["bool", "int", "float", "text"];
const TEMPLATES: [&str; 4] = ["{value}", r#"{"v":{value}}"#, r#"{"state":"{on_off}"}"#, "{on_off}"];

/// A point, as the script made it up.
#[derive(Clone)]
struct Point {
    name: String,
    kind: &'static str,
    pointer: Option<&'static str>,
    invert: bool,
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
    let topics = devices.subscriptions();
    assert_eq!(topics, ["made/up/101/floor1/t"]);
    for _ in 0..MOST_MESSAGES {
        if script.is_empty() {
            break;
        }
        if script.ratio(1, 4)? {
            write(script, &mut devices, &topics[0], &points)?;
        } else {
            let payload = payload(script)?;
            hear(&mut devices, &topics[0], &payload, &points);
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
        let point = Point {
            name: format!("p{n}"),
            kind: script.choose(&KINDS)?,
            pointer,
            invert: script.arbitrary()?,
            command,
            template: if command && script.arbitrary()? { Some(script.choose(&TEMPLATES)?) } else { None },
        };
        text += &format!("[[mqtt.points]]\nname = '{}'\nkind = '{}'\n", point.name, point.kind);
        if let Some(pointer) = pointer {
            text += &format!("pointer = '{pointer}'\n");
        }
        if point.invert {
            text += "invert = true\n";
        }
        if script.ratio(1, 4)? {
            text += &format!("dead_band = {}.5\n", script.arbitrary::<u8>()?);
        }
        if script.ratio(1, 4)? {
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

fn hear(devices: &mut Devices, topic: &str, payload: &[u8], points: &[Point]) {
    let bad = devices.bad_payloads();
    let heard = devices.hear(topic, payload);
    assert!(heard.readings.len() <= points.len() && heard.errors.len() <= 1);
    assert_eq!(devices.bad_payloads() - bad, u64::try_from(heard.errors.len()).unwrap_or_default());
    let document = serde_json::from_slice::<Json>(payload).ok();
    for reading in &heard.readings {
        let point = points.iter().find(|point| *point.name == *reading.point.point).expect("of the profile");
        let pointer = point.pointer.expect("a point that reports");
        match &document {
            Some(document) => {
                let at = document.pointer(pointer).expect("something at the pointer");
                assert!(means(point, at, &reading.value), "{:?} of {at} as {}", reading.value, point.kind);
            }
            None => {
                let text = std::str::from_utf8(payload).expect("a text").trim();
                let text = Json::String(text.to_owned());
                assert!(pointer.is_empty() && means(point, &text, &reading.value), "{:?}", reading.value);
            }
        }
    }
    if let Some(document) = &document {
        for point in points {
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
    let unwell =
        |fact: &Fact| matches!(fact, Fact::Health { state: DeviceState::Unwell, reason: Some(_), .. });
    for error in &heard.errors {
        let text = error.to_string();
        assert!(text.contains("t on made/up") && text.len() < 1000, "{text}");
    }
    assert!(heard.health.iter().all(|fact| unwell(fact) != heard.errors.is_empty()), "{:?}", heard.health);
    let again = devices.hear(topic, payload);
    assert!(again.readings.iter().all(|reading| !reading.changed), "twice the same is news: {again:?}");
    assert!(again.health.is_empty() && again.readings.len() == heard.readings.len());
}

/// Whether the value is what the JSON says, for a point of this kind.
fn means(point: &Point, json: &Json, value: &Value) -> bool {
    let number = || json.as_f64().or_else(|| json.as_str()?.trim().parse().ok());
    #[allow(clippy::float_cmp, reason = "it must be the very number")]
    match (point.kind, value) {
        ("bool", Value::Bool(on)) => {
            let words = json.as_str().map_or_else(|| json.to_string(), |text| text.trim().to_lowercase());
            let said = match &*words {
                "true" | "1" | "on" => true,
                "false" | "0" | "off" | "-0" => false,
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
        ("text", Value::Text(text)) => *text == json.as_str().map_or_else(|| json.to_string(), str::to_owned),
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
    let alone = points.iter().all(|other| other.pointer == Some(""));
    if alone && matches!(point.template, None | Some("{value}")) {
        let heard = devices.hear(topic, payload.as_bytes());
        let back = heard.readings.iter().find(|reading| reading.point == id);
        let back =
            back.unwrap_or_else(|| panic!("{value:?} was written and does not come back from {payload}"));
        let same = match (&back.value, &value) {
            (Value::Text(back), Value::Text(text)) => back == text,
            (Value::Bool(back), value) => Some(*back) == value.as_bool(),
            (back, value) => back.as_f64() == value.as_f64(),
        };
        assert!(same, "{value:?} was written, {:?} comes back from {payload}", back.value);
    }
    Ok(())
}
