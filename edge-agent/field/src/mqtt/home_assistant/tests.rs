//! Each kind of entity as a snapshot; and that no configuration makes an announcement that can't be read.

use super::*;
use crate::profile::{PointTraits, Takes, ValueKind};
use engawa_model::{DeviceId, Role};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

fn point(name: &str, role: Option<Role>, unit: Option<&str>, kind: ValueKind) -> PointTraits {
    PointTraits {
        name: name.into(),
        role,
        unit: unit.map(Into::into),
        kind,
        reads: true,
        names: vec![],
        takes: None,
    }
}

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn device(id: &str, room: Option<&str>, points: Vec<PointTraits>) -> HomeDevice {
    HomeDevice {
        id: id.into(),
        room: room.map(Into::into),
        make: "Maker".to_owned(),
        model: "M 1".to_owned(),
        points: points.into(),
    }
}

fn home(devices: Vec<HomeDevice>) -> HomeAssistant {
    home_with(ValueTopics::Both, devices)
}

fn home_with(values: ValueTopics, devices: Vec<HomeDevice>) -> HomeAssistant {
    let links = vec!["pms".into(), "modbus-floor1".into()];
    HomeAssistant::new(HomeAssistantConfig::default(), &"grand".into(), "Grand Hotel", values, links, devices)
}

fn told(home: &HomeAssistant) -> Vec<(String, Json)> {
    let told = home.announcements().into_iter();
    told.map(|it| {
        assert!(it.retain);
        (it.topic, serde_json::from_str(&it.payload).unwrap())
    })
    .collect()
}

/// The entities of a device in room 101 with these points.
fn entities(points: Vec<PointTraits>) -> Json {
    let mut told = told(&home(vec![device("d", Some("101"), points)]));
    told.pop().unwrap().1["cmps"].take()
}

fn thermostat() -> HomeDevice {
    let setpoint = PointTraits {
        takes: Some(Takes { min: Some(5.0), max: Some(30.0), step: Some(0.5), names: vec![] }),
        ..point("setpoint", Some(Role::ClimateSetpoint), Some("Cel"), ValueKind::Number)
    };
    let modes = named(&["heat", "cool", "fan", "dry"]);
    let mode = PointTraits {
        names: modes.clone(),
        takes: Some(Takes { names: modes, ..Takes::default() }),
        ..point("mode", Some(Role::ClimateMode), None, ValueKind::Text)
    };
    let speeds = named(&["low", "it's \"high\""]);
    let fan = PointTraits {
        names: speeds.clone(),
        takes: Some(Takes { names: speeds, ..Takes::default() }),
        ..point("fan", Some(Role::Fan), None, ValueKind::Text)
    };
    let temperature = point("room_temperature", Some(Role::RoomTemperature), Some("Cel"), ValueKind::Number);
    device("t/1", Some("12/3"), vec![temperature, setpoint, mode, fan])
}

#[test]
fn the_house_and_a_thermostat() {
    let told = told(&home(vec![thermostat()]));
    let topics: Vec<_> = told.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(
        topics,
        ["homeassistant/device/engawa-grand/config", "homeassistant/device/engawa-grand/t_2f1/config"]
    );
    let whole: Vec<_> = told.iter().map(|(_, payload)| payload).collect();
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&whole).unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
}

#[test]
fn a_thermostat_shows_no_mode_that_it_does_not_have() {
    let only = |names: &[&str], takes: &[&str]| {
        let mut thermostat = thermostat();
        let mut points = thermostat.points.to_vec();
        points[2].names = named(names);
        points[2].takes = (!takes.is_empty()).then(|| Takes { names: named(takes), ..Takes::default() });
        thermostat.points = points.into();
        let cmps = told(&home(vec![thermostat])).pop().unwrap().1["cmps"].take();
        let climate = &cmps["climate_-setpoint"];
        (climate["modes"].clone(), climate.get("mode_cmd_t").is_some(), cmps["mode"]["p"].clone())
    };
    // Words for all: the mode needs no entity of its own.
    assert_eq!(only(&["heat", "cool"], &["heat", "cool"]), (json!(["heat", "cool"]), true, json!(null)));
    assert_eq!(only(&["heating", "cooling"], &[]), (json!(["heat", "cool"]), false, json!(null)));
    // Two names for one word, or one without a word: the list shows what the dial can't.
    assert_eq!(only(&["fan", "vent"], &["fan", "vent"]), (json!(["fan_only"]), true, json!("select")));
    assert_eq!(only(&["heat", "slave"], &["heat", "slave"]), (json!(["heat"]), true, json!("select")));
    // None at all: the thermostat holds its set point, and that is all that is said.
    assert_eq!(only(&["comfort", "eco"], &[]), (json!(["auto"]), false, json!("sensor")));
}

#[test]
fn where_values_are_in_documents_they_are_found_there() {
    let points = vec![point("it's", None, Some("Cel"), ValueKind::Number)];
    let home = home_with(ValueTopics::Devices, vec![device("t/1", Some("101"), points)]);
    let entity = told(&home).pop().unwrap().1["cmps"]["it_27s"].take();
    assert_eq!(entity["stat_t"], "engawa/grand/device/t%2F1/values");
    let value = "value_json['values'].get(\"it's\")";
    assert_eq!(entity["val_tpl"], format!("{{{{ {value} if {value} is number else None }}}}"));
}

#[test]
fn sensors_and_contacts() {
    let names =
        PointTraits { names: named(&["idle", "heating"]), ..point("status", None, None, ValueKind::Text) };
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&entities(vec![
            point("energy", None, Some("kW.h"), ValueKind::Number),
            point("code", Some(Role::Fault), None, ValueKind::Number),
            point("charge", Some(Role::Battery), Some("%"), ValueKind::Number),
            point("serial", None, None, ValueKind::Text),
            names,
            point("window", Some(Role::Window), None, ValueKind::Bool),
            point("door", Some(Role::Door), None, ValueKind::Number),
            point("lock", Some(Role::Lock), None, ValueKind::Bool),
            point("leak", Some(Role::Leak), None, ValueKind::Bool),
            point("somebody", Some(Role::Occupancy), None, ValueKind::Bool),
            point("input 1", None, None, ValueKind::Bool),
        ]))
        .unwrap()
    );
}

#[test]
fn switches_numbers_lists_texts_lights_and_locks() {
    let taking = |takes: Takes, point: PointTraits| PointTraits { takes: Some(takes), ..point };
    let range = Takes { min: Some(0.0), max: Some(100.0), step: Some(1.0), names: vec![] };
    let listed = Takes { names: named(&["off", "on"]), ..Takes::default() };
    let buzzer = PointTraits { reads: false, ..point("buzzer", None, None, ValueKind::Bool) };
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&entities(vec![
            taking(Takes::default(), point("relay", None, None, ValueKind::Bool)),
            taking(Takes::default(), buzzer),
            taking(Takes::default(), point("lamp", Some(Role::Light), None, ValueKind::Bool)),
            taking(range.clone(), point("dimmer", Some(Role::Light), Some("%"), ValueKind::Number)),
            taking(Takes::default(), point("delay", None, Some("s"), ValueKind::Number)),
            taking(
                listed,
                PointTraits { names: named(&["off", "on"]), ..point("power", None, None, ValueKind::Text) }
            ),
            taking(Takes::default(), point("label", None, None, ValueKind::Text)),
            taking(Takes::default(), point("lock", Some(Role::Lock), None, ValueKind::Bool)),
            // A range of one value is nothing to set.
            taking(
                Takes { min: Some(1.0), ..Takes { max: Some(1.0), ..range } },
                point("fixed", None, None, ValueKind::Number)
            ),
        ]))
        .unwrap()
    );
}

#[test]
fn all_is_told_again_when_home_assistant_starts() {
    let home = home(vec![thermostat()]);
    assert_eq!(home.hear("homeassistant/status", b"online", false), home.announcements());
    assert_eq!(home.hear("homeassistant/status", b"online", true), []);
    assert_eq!(home.hear("homeassistant/status", b"offline", false), []);
}

#[test]
fn what_is_no_longer_there_is_taken_back() {
    let before =
        home(vec![thermostat(), device("gone", None, vec![point("a", None, None, ValueKind::Bool)])]);
    let kept: Vec<_> = before.announcements();
    let mut changed = thermostat();
    let mut points = changed.points.to_vec();
    points.truncate(2);
    points[0].kind = ValueKind::Text;
    points.swap(0, 1);
    points[0].takes = None;
    changed.points = points.into();
    let after = home(vec![changed]);
    let said: Vec<_> =
        kept.iter().flat_map(|it| after.hear(&it.topic, it.payload.as_bytes(), true)).collect();
    let [cleared, left, now] = &said[..] else { panic!("{said:#?}") };
    assert_eq!(
        (cleared.topic.as_str(), cleared.payload.as_str(), cleared.retain),
        ("homeassistant/device/engawa-grand/gone/config", "", true)
    );
    assert!(!left.retain && now.retain && left.topic == now.topic);
    assert_eq!(now.payload, after.announcements()[1].payload);
    let left: Json = serde_json::from_str(&left.payload).unwrap();
    // The thermostat has become two sensors; the mode and the fan were parts of it.
    assert_eq!(left["cmps"]["climate_-setpoint"], json!({ "p": "climate" }));
    assert_eq!(left["cmps"]["setpoint"]["p"], "sensor");
    // The same again is left alone, and so is what is none of ours.
    assert_eq!(after.hear(&now.topic, now.payload.as_bytes(), true), []);
    for payload in [&b"{}"[..], b"no JSON", b"[1]", b"{\"cmps\":{\"x\":1}}"] {
        assert_eq!(after.hear(&now.topic, payload, true), []);
    }
    assert!(!after.listens("homeassistant/device/engawa-grand2/x/config"));

    let config = HomeAssistantConfig { announce: false, ..HomeAssistantConfig::default() };
    let off = HomeAssistant::new(config, &"grand".into(), "G", ValueTopics::Points, vec![], [thermostat()]);
    assert_eq!(off.announcements(), []);
    let said: Vec<_> = kept.iter().flat_map(|it| off.hear(&it.topic, it.payload.as_bytes(), true)).collect();
    assert!(
        said.len() == kept.len() && said.iter().all(|it| it.retain && it.payload.is_empty()),
        "{said:#?}"
    );
}

fn any_point() -> impl Strategy<Value = PointTraits> {
    let role = prop_oneof![
        Just(None),
        Just(Some(Role::ClimateSetpoint)),
        Just(Some(Role::RoomTemperature)),
        Just(Some(Role::ClimateMode)),
        Just(Some(Role::Fan)),
        Just(Some(Role::Lock)),
        Just(Some(Role::Light)),
    ];
    let kind = prop_oneof![Just(ValueKind::Bool), Just(ValueKind::Number), Just(ValueKind::Text)];
    let names = || proptest::collection::vec(prop_oneof!["heat|off|fan", any::<String>()], 0..4);
    let takes =
        proptest::option::of((any::<Option<f64>>(), any::<Option<f64>>(), any::<Option<f64>>(), names()));
    let unit = proptest::option::of(prop_oneof!["Cel|%|kW.h", any::<String>()]);
    let name = prop_oneof!["[a-c_/]{0,3}", any::<String>()];
    (name, role, unit, kind, any::<bool>(), names(), takes).prop_map(
        |(name, role, unit, kind, reads, names, takes)| {
            let takes = takes.map(|(min, max, step, names)| Takes { min, max, step, names });
            PointTraits { name: name.into(), role, unit: unit.map(Into::into), kind, reads, names, takes }
        },
    )
}

proptest! {
    #[test]
    fn every_configuration_makes_json_with_ids_that_are_unique(
        property in any::<String>(),
        points in proptest::collection::btree_map("[a-c_/%]{0,3}", proptest::collection::vec(any_point(), 0..6), 0..5),
    ) {
        let devices: Vec<_> = points.into_iter().map(|(id, mut points)| {
            // The profile's check: each name once.
            let mut seen = BTreeSet::new();
            points.retain(|point| seen.insert(point.name.clone()));
            HomeDevice {
                id: DeviceId::from(id.as_str()),
                room: Some(id.as_str().into()),
                make: property.clone(),
                model: String::new(),
                points: points.into(),
            }
        }).collect();
        let expected = devices.len();
        let home = HomeAssistant::new(HomeAssistantConfig::default(), &property.as_str().into(), &property, ValueTopics::Points, vec!["link".into()], devices);
        let (mut topics, mut ids) = (BTreeSet::new(), BTreeSet::new());
        let announcements = home.announcements();
        prop_assert!(announcements.len() <= expected + 1);
        for announcement in announcements {
            let fits = announcement.topic.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/'));
            prop_assert!(fits && home.owns(&announcement.topic), "{}", announcement.topic);
            let payload: Json = serde_json::from_str(&announcement.payload).unwrap();
            prop_assert!(payload["dev"]["ids"][0].is_string() && payload["o"]["name"] == "Engawa");
            for entity in payload["cmps"].as_object().unwrap().values() {
                prop_assert!(ids.insert(entity["uniq_id"].as_str().unwrap().to_owned()), "{} is there twice", entity["uniq_id"]);
                if entity["p"] == "number" {
                    prop_assert!(entity["min"].as_f64().unwrap() < entity["max"].as_f64().unwrap());
                    prop_assert!(entity["step"].as_f64().unwrap() >= 0.001);
                }
                if entity["p"] == "select" {
                    prop_assert!(!entity["ops"].as_array().unwrap().is_empty());
                }
            }
            // What was announced is heard again after a restart, and is left as it is.
            prop_assert_eq!(home.hear(&announcement.topic, announcement.payload.as_bytes(), true), vec![]);
            prop_assert!(topics.insert(announcement.topic));
        }
    }
}
