//! Tables of payloads and writes.

use super::*;

const PROFILE: &str = r#"
status_topic = "z2m/{device}"
[[points]]
name = "temperature"
role = "room-temperature"
unit = "Cel"
pointer = "/local_temperature"
kind = "float"
dead_band = 0.2
[[points]]
name = "setpoint"
role = "climate-setpoint"
pointer = "/set/heat"
kind = "float"
min = 5.0
max = 30.0
command_topic = "z2m/{device}/set"
command_template = '{"set":{"heat":{value}}}'
[[points]]
name = "window"
pointer = "/contact"
kind = "bool"
invert = true
[[points]]
name = "battery"
pointer = "/battery"
kind = "int"
[[points]]
name = "locked"
pointer = "/lock"
kind = "bool"
command_topic = "z2m/{device}/set"
command_template = '{"lock":"{on_off}"}'
"#;

fn devices() -> Devices {
    let profile: MqttProfile = toml::from_str(PROFILE).unwrap();
    profile.check().unwrap();
    let plain: MqttProfile = toml::from_str(
        "status_topic = 'relay/{room}/{device}'\n[[points]]\nname = 'on'\nkind = 'bool'\npointer = ''\n\
         command_topic = 'relay/{room}/{device}/cmd'",
    )
    .unwrap();
    let device = |id: &str, room: &str, profile: &MqttProfile| MqttDevice {
        id: id.into(),
        room: Some(room.into()),
        name: format!("floor1/{id}"),
        profile: profile.clone(),
    };
    Devices::new(vec![device("t101", "101", &profile), device("r7", "12/3", &plain)])
}

fn values(heard: &Heard) -> Vec<String> {
    let shown = heard.readings.iter().map(|reading| {
        format!("{}={:?}{}", reading.point.point, reading.value, if reading.changed { "" } else { " (same)" })
    });
    shown.collect()
}

fn health(heard: &Heard) -> Vec<(DeviceState, Option<&str>)> {
    let judged = heard.health.iter().map(|fact| match fact {
        Fact::Health { state, reason, .. } => (*state, reason.as_deref()),
        other => panic!("{other:?}"),
    });
    judged.collect()
}

#[test]
fn topics_are_expanded_and_rooms_escaped() {
    let devices = devices();
    assert_eq!(devices.subscriptions(), ["relay/12%2F3/floor1/r7", "z2m/floor1/t101"]);
    assert!(devices.listens("z2m/floor1/t101"));
    assert!(!devices.listens("z2m/floor1/t101/set"));
}

#[test]
fn payloads_are_read_by_pointer_and_kind() {
    for (payload, expected) in [
        (r#"{"local_temperature":21.5}"#, vec!["temperature=Float(21.5)"]),
        (
            r#"{"local_temperature":"21.5","contact":true}"#,
            vec!["temperature=Float(21.5)", "window=Bool(false)"],
        ),
        (r#"{"contact":false,"battery":88.0}"#, vec!["window=Bool(true)", "battery=Int(88)"]),
        (r#"{"lock":"ON","set":{"heat":19}}"#, vec!["setpoint=Float(19.0)", "locked=Bool(true)"]),
        (r#"{"local_temperature":null,"battery":1}"#, vec!["battery=Int(1)"]),
        (r#"{"battery":null}"#, vec![]),
    ] {
        let heard = devices().hear("z2m/floor1/t101", payload.as_bytes());
        assert_eq!(values(&heard), expected, "{payload}");
        assert_eq!(health(&heard), [(DeviceState::Well, None)], "{payload}");
        assert!(heard.errors.is_empty());
    }
    for (payload, on) in [("ON", true), ("false", false), ("1", true), ("\"off\"", false)] {
        let heard = devices().hear("relay/12%2F3/floor1/r7", payload.as_bytes());
        assert_eq!(heard.readings[0].value, Value::Bool(on), "{payload}");
    }
}

#[test]
fn what_does_not_fit_makes_the_device_unwell_and_says_what_was_expected() {
    for (payload, text) in [
        (&b"on"[..], "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{\"humidity\":3}", "expected /local_temperature, /set/heat"),
        (b"21.5", "none of the profile's points"),
        (b"{\"local_temperature\":\"warm\"}", "point temperature at `/local_temperature`: expected a number"),
        (b"{\"local_temperature\":\"NaN\"}", "expected a number"),
        (b"{\"local_temperature\":[1]}", "found an array"),
        (b"{\"battery\":1.5}", "expected a whole number, found another number"),
        (b"{\"contact\":2}", "expected true or false"),
    ] {
        let mut devices = devices();
        let heard = devices.hear("z2m/floor1/t101", payload);
        assert_eq!(devices.bad_payloads(), 1);
        assert!(values(&heard).is_empty());
        let error = heard.errors[0].to_string();
        assert!(error.starts_with("t101 on z2m/floor1/t101: ") && error.contains(text), "{error}");
        let judged = health(&heard);
        assert!(judged[0].0 == DeviceState::Unwell && judged[0].1.unwrap().contains(text), "{judged:?}");
        assert!(health(&devices.hear("z2m/floor1/t101", payload)).is_empty(), "said once");
        let good = devices.hear("z2m/floor1/t101", b"{\"battery\":1}");
        assert_eq!(health(&good), [(DeviceState::Well, None)]);
    }
    assert_eq!(devices().hear("z2m/floor1/t101", &vec![b' '; MAX_PAYLOAD + 1]).errors.len(), 1);
    assert_eq!(devices().hear("z2m/other", b"{}"), Heard::default());
}

#[test]
fn the_good_values_of_a_half_bad_payload_are_kept() {
    let heard = devices().hear("z2m/floor1/t101", br#"{"battery":"low","contact":true}"#);
    assert_eq!(values(&heard), ["window=Bool(false)"]);
    assert_eq!(heard.errors.len(), 1);
}

#[test]
fn a_value_is_reported_when_it_leaves_the_dead_band_of_the_last_report() {
    let mut devices = devices();
    let mut told = Vec::new();
    for tenths in [210, 211, 212, 213, 214, 212, 209, 208] {
        let payload = format!("{{\"local_temperature\":{}}}", f64::from(tenths) / 10.0);
        let heard = devices.hear("z2m/floor1/t101", payload.as_bytes());
        told.extend(heard.readings.iter().filter(|reading| reading.changed).map(|_| tenths));
    }
    assert_eq!(told, [210, 213, 209]);
    let again = devices.hear("z2m/floor1/t101", b"{\"local_temperature\":20.9}");
    assert_eq!(values(&again), ["temperature=Float(20.9) (same)"]);
}

#[test]
fn a_write_is_made_from_the_template_and_checked() {
    let devices = devices();
    for (point, value, topic, payload) in [
        (
            PointId::new("t101", "setpoint"),
            Value::Float(21.5),
            "z2m/floor1/t101/set",
            r#"{"set":{"heat":21.5}}"#,
        ),
        (PointId::new("t101", "locked"), Value::Bool(true), "z2m/floor1/t101/set", r#"{"lock":"ON"}"#),
        (PointId::new("r7", "on"), Value::Int(0), "relay/12%2F3/floor1/r7/cmd", "false"),
    ] {
        let write = devices.write(&point, &value).unwrap();
        assert_eq!((write.publication.topic.as_str(), write.publication.payload.as_str()), (topic, payload));
        assert!(!write.publication.retain && write.reports);
    }
    let point = |name: &str| PointId::new("t101", name);
    for (point, value, error) in [
        (point("setpoint"), Value::Float(31.0), "takes 5 to 30"),
        (point("setpoint"), Value::Float(f64::NAN), "takes a number"),
        (point("setpoint"), Value::Text("warm".to_owned()), "takes a number"),
        (point("temperature"), Value::Float(1.0), "can't be written"),
        (point("nothing"), Value::Float(1.0), "not a point"),
        (PointId::new("t9", "setpoint"), Value::Float(1.0), "not a point"),
    ] {
        let text = devices.write(&point, &value).unwrap_err().to_string();
        assert!(text.contains(error), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_payload_makes_it_panic(payload in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        devices().hear("z2m/floor1/t101", &payload);
        devices().hear("relay/12%2F3/floor1/r7", &payload);
    }
}
