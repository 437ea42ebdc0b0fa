//! Messages as programs send them, and what comes of them.

use super::*;
use crate::mqtt::MqttDevice;
use crate::mqtt::devices::{Devices, Moment};
use crate::profile::{Resolved, load};
use engawa_model::{Observation, PointId, Property, Role, Timestamp, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// `engawa/` is the house's; `placed/` belongs to a device that is configured.
struct Known;

impl Topics for Known {
    fn is_ours(&self, topic: &str) -> bool {
        topic.starts_with("engawa/")
    }

    fn is_placed(&self, topic: &str) -> bool {
        topic.starts_with("placed/")
    }
}

const CONTACT: &str = r#"{"availability":[{"topic":"zigbee2mqtt/bridge/state","value_template":"{{ value_json.state }}"},
 {"topic":"zigbee2mqtt/window 101/availability","value_template":"{{ value_json.state }}"}],"availability_mode":"all",
 "device":{"identifiers":["zigbee2mqtt_0x00158d0001"],"manufacturer":"Aqara","model":"Door and window sensor","model_id":"MCCGQ11LM","name":"window 101","via_device":"zigbee2mqtt_bridge_0x1"},
 "device_class":"door","name":null,"object_id":"window_101_contact","origin":{"name":"Zigbee2MQTT","sw":"2.1.3","url":"https://www.zigbee2mqtt.io"},
 "payload_off":true,"payload_on":false,"state_topic":"zigbee2mqtt/window 101","unique_id":"0x00158d0001_contact_zigbee2mqtt","value_template":"{{ value_json.contact }}"}"#;
const BATTERY: &str = r#"{"avty":[{"t":"zigbee2mqtt/bridge/state","val_tpl":"{{ value_json.state }}"},
 {"t":"zigbee2mqtt/window 101/availability","val_tpl":"{{ value_json.state }}"}],"avty_mode":"all",
 "dev":{"ids":["zigbee2mqtt_0x00158d0001"],"mf":"Aqara","mdl":"Door and window sensor","name":"window 101"},
 "dev_cla":"battery","ent_cat":"diagnostic","name":"Battery","stat_cla":"measurement","stat_t":"zigbee2mqtt/window 101","uniq_id":"x","unit_of_meas":"%","val_tpl":"{{ value_json.battery }}"}"#;
const THERMOSTAT: &str = r#"{"action_template":"{% set values = {None:None,'idle':'idle','heat':'heating'} %}{{ values[value_json.running_state] }}","action_topic":"zigbee2mqtt/trv",
 "current_temperature_template":"{{ value_json.local_temperature }}","current_temperature_topic":"zigbee2mqtt/trv",
 "device":{"identifiers":"zigbee2mqtt_0x0022","name":"trv","manufacturer":"Danfoss"},"max_temp":"32","min_temp":5,
 "mode_command_topic":"zigbee2mqtt/trv/set/system_mode","mode_state_template":"{{ value_json.system_mode }}","mode_state_topic":"zigbee2mqtt/trv","modes":["heat"],
 "temp_step":0.5,"temperature_command_topic":"zigbee2mqtt/trv/set/occupied_heating_setpoint","temperature_state_template":"{{ value_json.occupied_heating_setpoint }}","temperature_state_topic":"zigbee2mqtt/trv","temperature_unit":"C"}"#;
const DEVICE: &str = r#"{"dev":{"ids":"ea334450945afc","name":"Kitchen","mf":"Bla electronics","mdl":"xya","sw":"1.0","sn":"ea334450945afc","hw":"1.0rev2","sa":"101"},
 "o":{"name":"bla2mqtt","sw":"2.1","url":"https://bla2mqtt.example.com/support"},"~":"kitchen",
 "cmps":{
  "t1":{"p":"sensor","device_class":"temperature","unit_of_measurement":"°C","value_template":"{{ value_json.temperature }}","unique_id":"temp01ae_t"},
  "h1":{"p":"sensor","dev_cla":"humidity","unit_of_meas":"%","val_tpl":"{{ value_json.humidity | round(0) }}","uniq_id":"temp01ae_h"},
  "leak":{"p":"binary_sensor","dev_cla":"moisture","stat_t":"~/leak","pl_on":"wet","pl_off":"dry"},
  "sum":{"p":"sensor","name":"Sum","unit_of_meas":"kWh","val_tpl":"{{ value_json.a + value_json.b }}"},
  "relay":{"p":"switch","name":"Relay","stat_t":"~/relay","cmd_t":"~/relay/set","ret":true},
  "ident":{"p":"button","cmd_t":"~/identify"},
  "old":{"p":"sensor"}
 },
 "state_topic":"sensors/kitchen","avty_t":"~/status","pl_avail":"up","pl_not_avail":"down","qos":2}"#;

fn facts(topic: &str, payload: &str) -> Vec<Fact> {
    hear(topic, payload.as_bytes(), &Known).unwrap()
}

fn house(messages: &[(&str, &str)]) -> Property {
    let spec = serde_json::json!({ "id": "test", "zone": "UTC", "currency": "EUR", "climate": { "comfort_c": 22.0,
        "eco_heating_c": 17.0, "eco_cooling_c": 28.0 }, "rooms": [], "devices": [], "resync_every_s": 3600,
        "order_ttl_s": 600 });
    let mut property = Property::new(serde_json::from_value(spec).unwrap());
    for (topic, payload) in messages {
        for fact in facts(topic, payload) {
            property.apply(&Observation::new(Timestamp::UNIX_EPOCH, fact));
        }
    }
    property
}

fn rendered(messages: &[(&str, &str)], id: &str) -> (Rendered, Devices) {
    let property = house(messages);
    let found = &property.found()[&id.into()];
    let rendered = profile(found, "found-1").unwrap();
    let loaded =
        load("found-1.toml", &rendered.toml).unwrap_or_else(|report| panic!("{}\n{report}", rendered.toml));
    let Ok(Resolved::Mqtt(map)) = loaded.resolve(&BTreeMap::new()) else { panic!("{}", rendered.toml) };
    let device = MqttDevice { id: "d".into(), room: None, name: "d".to_owned(), profile: map };
    (rendered, Devices::new(vec![device]))
}

fn said(devices: &mut Devices, topic: &str, payload: &str) -> String {
    let now = Moment { steady: Duration::ZERO, clock: Timestamp::UNIX_EPOCH };
    let heard = devices.hear(topic, payload.as_bytes(), false, now);
    assert!(heard.errors.is_empty(), "{topic} {payload}: {:?}", heard.errors);
    let shown = heard.readings.iter().map(|reading| {
        format!(
            "{}={}",
            reading.point.point,
            reading.value.as_ref().map_or("none".to_owned(), Value::to_string)
        )
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn role(text: &str, name: &str) -> Option<Role> {
    let loaded = load("found-1.toml", text).unwrap();
    let Ok(resolved) = loaded.resolve(&BTreeMap::new()) else { panic!("{text}") };
    resolved
        .point_specs()
        .iter()
        .find(|spec| &*spec.name == name)
        .unwrap_or_else(|| panic!("{name}: {text}"))
        .role
}

#[test]
fn configuration_topics_are_told_from_others() {
    for (topic, is) in [
        ("homeassistant/sensor/x/config", true),
        ("homeassistant/binary_sensor/node/object/config", true),
        ("homeassistant/device/0AFFD2/config", true),
        ("homeassistant/status", false),
        ("homeassistant/sensor/config", false),
        ("homeassistant/a/b/c/d/config", false),
        ("homeassistant/sensor//config", false),
        ("home/sensor/x/config", false),
    ] {
        assert_eq!(listens(topic), is, "{topic}");
    }
}

#[test]
fn entities_with_one_device_are_one_device() {
    let contact = "homeassistant/binary_sensor/0x00158d0001/contact/config";
    let battery = "homeassistant/sensor/0x00158d0001/battery/config";
    let property = house(&[(contact, CONTACT), (battery, BATTERY)]);
    let found = &property.found()[&"zigbee2mqtt_0x00158d0001".into()];
    assert_eq!(found.about.name, "window 101");
    assert_eq!(found.about.make.as_deref(), Some("Aqara"));
    let entities: Vec<_> =
        found.entities().map(|it| (it.kind.as_str(), it.name.as_str(), &it.problem)).collect();
    assert_eq!(entities, [("binary_sensor", "window_101_contact", &None), ("sensor", "Battery", &None)]);
    let (rendered, mut devices) =
        rendered(&[(contact, CONTACT), (battery, BATTERY)], "zigbee2mqtt_0x00158d0001");
    assert_eq!(rendered.points, ["window_101_contact", "battery"]);
    assert!(rendered.left_out.is_empty());
    assert_eq!(role(&rendered.toml, "window_101_contact"), Some(Role::Door));
    assert_eq!(role(&rendered.toml, "battery"), Some(Role::Battery));
    let state = r#"{"contact":false,"battery":91}"#;
    assert_eq!(said(&mut devices, "zigbee2mqtt/window 101", state), "window_101_contact=true battery=91");
    assert_eq!(
        devices.subscriptions(),
        ["zigbee2mqtt/bridge/state", "zigbee2mqtt/window 101", "zigbee2mqtt/window 101/availability"]
    );
    assert_eq!(facts(contact, ""), [Fact::FoundGone { source: contact.to_owned() }]);
}

#[test]
fn a_thermostat_has_its_parts_and_says_which_is_not_understood() {
    let topic = "homeassistant/climate/0x0022/climate/config";
    let (rendered, mut devices) = rendered(&[(topic, THERMOSTAT)], "zigbee2mqtt_0x0022");
    assert_eq!(rendered.points, ["climate_temperature", "climate_setpoint", "climate_mode"]);
    assert_eq!(role(&rendered.toml, "climate_temperature"), Some(Role::RoomTemperature));
    assert_eq!(role(&rendered.toml, "climate_setpoint"), Some(Role::ClimateSetpoint));
    assert!(
        rendered.left_out[0].contains("climate has no action: `action_template` is not understood"),
        "{rendered:?}"
    );
    let state = r#"{"local_temperature":20.5,"occupied_heating_setpoint":21,"system_mode":"heat","running_state":"idle"}"#;
    assert_eq!(
        said(&mut devices, "zigbee2mqtt/trv", state),
        "climate_temperature=20.5 climate_setpoint=21 climate_mode=heat"
    );
    let write = devices.write(&PointId::new("d", "climate_setpoint"), &Value::Float(22.5)).unwrap();
    assert_eq!(
        (write.publication.topic.as_str(), write.publication.payload.as_str()),
        ("zigbee2mqtt/trv/set/occupied_heating_setpoint", "22.5")
    );
    assert!(devices.write(&PointId::new("d", "climate_setpoint"), &Value::Float(4.0)).is_err());
}

#[test]
fn a_device_payload_has_all_its_components_short_names_and_a_base() {
    let topic = "homeassistant/device/ea334450945afc/config";
    let property = house(&[(topic, DEVICE)]);
    let found = &property.found()[&"ea334450945afc".into()];
    assert_eq!((found.about.model.as_deref(), found.about.area.as_deref()), (Some("xya"), Some("101")));
    assert_eq!(found.entities().count(), 6, "the component without anything was taken back");
    let (rendered, mut devices) = rendered(&[(topic, DEVICE)], "ea334450945afc");
    assert_eq!(rendered.points, ["h1", "leak", "relay", "t1"]);
    assert_eq!(rendered.left_out.len(), 2, "{:?}", rendered.left_out);
    assert!(rendered.left_out.iter().any(|why| why.contains("`Sum`: `value_template` is not understood")));
    assert!(rendered.left_out.iter().any(|why| why.contains("a button has no state")));
    assert_eq!(
        said(&mut devices, "sensors/kitchen", r#"{"temperature":21.5,"humidity":44}"#),
        "h1=44 t1=21.5"
    );
    assert_eq!(said(&mut devices, "kitchen/leak", "wet"), "leak=true");
    assert_eq!(said(&mut devices, "kitchen/relay", "OFF"), "relay=false");
    assert_eq!(role(&rendered.toml, "leak"), Some(Role::Leak));
    assert_eq!(role(&rendered.toml, "t1"), Some(Role::RoomTemperature));
    let write = devices.write(&PointId::new("d", "relay"), &Value::Bool(true)).unwrap().publication;
    assert_eq!(
        (write.topic.as_str(), write.payload.as_str(), write.retain),
        ("kitchen/relay/set", "ON", true)
    );
    let now = Moment { steady: Duration::ZERO, clock: Timestamp::UNIX_EPOCH };
    let down = devices.hear("kitchen/status", b"down", false, now);
    assert!(down.facts.iter().any(|fact| matches!(fact, Fact::Health { reason: Some(_), .. })), "{down:?}");
}

#[test]
fn lights_locks_numbers_and_selects_take_what_they_tell() {
    for (component, config, point, value, topic, payload) in [
        (
            "light",
            r#"{"schema":"json","brightness":true,"brightness_scale":254,"stat_t":"l","cmd_t":"l/set"}"#,
            "o_brightness",
            Value::Int(127),
            "l/set",
            r#"{"brightness":127}"#,
        ),
        (
            "light",
            r#"{"schema":"json","stat_t":"l","cmd_t":"l/set"}"#,
            "o",
            Value::Bool(true),
            "l/set",
            r#"{"state":"ON"}"#,
        ),
        (
            "light",
            r#"{"stat_t":"l","cmd_t":"l/set","pl_on":"1","pl_off":"0"}"#,
            "o",
            Value::Bool(false),
            "l/set",
            "0",
        ),
        ("lock", r#"{"stat_t":"l","cmd_t":"l/set"}"#, "o", Value::Bool(true), "l/set", "LOCK"),
        (
            "number",
            r#"{"stat_t":"n","cmd_t":"n/set","min":0,"max":50}"#,
            "o",
            Value::Float(12.5),
            "n/set",
            "12.5",
        ),
        (
            "number",
            r#"{"cmd_t":"n/set","cmd_tpl":"{\"v\": {{ value }}}"}"#,
            "o",
            Value::Float(7.0),
            "n/set",
            r#"{"v": 7.0}"#,
        ),
        (
            "select",
            r#"{"stat_t":"s","cmd_t":"s/set","ops":["auto","low"]}"#,
            "o",
            Value::Text("low".to_owned()),
            "s/set",
            "low",
        ),
    ] {
        let source = format!("homeassistant/{component}/o/config");
        let (_, devices) = rendered(&[(&source, config)], "o");
        let write = devices.write(&PointId::new("d", point), &value).unwrap().publication;
        assert_eq!((write.topic.as_str(), write.payload.as_str()), (topic, payload), "{config}");
    }
    let (_, devices) =
        rendered(&[("homeassistant/select/o/config", r#"{"cmd_t":"s/set","ops":["auto"]}"#)], "o");
    assert!(devices.write(&PointId::new("d", "o"), &Value::Text("high".to_owned())).is_err());
    let sensor = r#"{"dev_cla":"lock","stat_t":"b"}"#;
    let (_, mut devices) = rendered(&[("homeassistant/binary_sensor/o/config", sensor)], "o");
    assert_eq!(said(&mut devices, "b", "ON"), "o=false", "on is unlocked there");
    let fahrenheit = r#"{"dev_cla":"temperature","unit_of_meas":"°F","stat_t":"f"}"#;
    let (_, mut devices) = rendered(&[("homeassistant/sensor/o/config", fahrenheit)], "o");
    assert_eq!(said(&mut devices, "f", "68"), "o=20");
}

#[test]
fn two_temperatures_are_nobody_s_room_and_a_thermostat_s_goes_first() {
    let sensor = |topic: &str| {
        format!(r#"{{"dev":{{"ids":"d"}},"dev_cla":"temperature","unit_of_meas":"°C","stat_t":"{topic}"}}"#)
    };
    let (one, two) = (sensor("a"), sensor("b"));
    let both =
        [("homeassistant/sensor/a/config", one.as_str()), ("homeassistant/sensor/b/config", two.as_str())];
    let (rendered_both, _) = rendered(&both, "d");
    assert_eq!([role(&rendered_both.toml, "a"), role(&rendered_both.toml, "b")], [None, None]);
    let climate = r#"{"dev":{"ids":"d"},"curr_temp_t":"c","temp_cmd_t":"c/set"}"#;
    let (with_climate, _) = rendered(&[both[0], ("homeassistant/climate/c/config", climate)], "d");
    assert_eq!(role(&with_climate.toml, "c_temperature"), Some(Role::RoomTemperature));
    assert_eq!(role(&with_climate.toml, "a"), None);
}

#[test]
fn what_is_ours_or_placed_does_not_wait() {
    let topic = "homeassistant/sensor/x/config";
    assert_eq!(facts(topic, r#"{"stat_t":"engawa/hotel/room/101/state"}"#), []);
    assert_eq!(facts(topic, r#"{"stat_t":"x","o":{"name":"Engawa"}}"#), []);
    let gone = [Fact::FoundGone { source: topic.to_owned() }];
    assert_eq!(facts(topic, r#"{"stat_t":"placed/x"}"#), gone);
    assert!(matches!(&*facts(topic, r#"{"stat_t":"x","avty_t":"placed/x"}"#), [Fact::DeviceFound { .. }]));
    let property = house(&[(topic, r#"{"stat_t":"x"}"#)]);
    struct Now;
    impl Topics for Now {
        fn is_ours(&self, _: &str) -> bool {
            false
        }
        fn is_placed(&self, topic: &str) -> bool {
            topic == "x"
        }
    }
    assert_eq!(placed(property.found().values(), &Now), gone);
    assert_eq!(placed(property.found().values(), &Known), []);
}

#[test]
fn what_can_not_be_read_is_said() {
    let topic = "homeassistant/sensor/x/config";
    let error = |payload: &[u8]| hear(topic, payload, &Known).unwrap_err().to_string();
    assert!(error(b"[1]").contains("not a JSON object"));
    assert!(error(b"\xff").contains("not a JSON object"));
    assert!(error(&vec![b' '; MAX_PAYLOAD + 1]).contains("at most"));
    for (component, config, why) in [
        ("vacuum", r#"{"stat_t":"x"}"#, "a vacuum is not known here"),
        ("sensor", r#"{}"#, "neither `state_topic` nor `command_topic`"),
        ("sensor", r#"{"stat_t":"a/+"}"#, "`state_topic` can't be used as a topic"),
        ("sensor", r#"{"stat_t":"x","unit_of_meas":"furlong"}"#, "`furlong` has no code here"),
        (
            "switch",
            r#"{"stat_t":"x","cmd_t":"y","cmd_tpl":"{{ value * 2 }}"}"#,
            "o can only be read: `command_template`",
        ),
        ("sensor", r#"{"stat_t":"x","avty":[{"t":"a"},{"t":"b"}]}"#, "not all are to count (`latest`)"),
    ] {
        let told = facts(&format!("homeassistant/{component}/o/config"), config);
        let [Fact::DeviceFound { entities, .. }] = &*told else { panic!("{told:?}") };
        let problem = entities[0].problem.as_deref().unwrap_or_default();
        assert!(problem.contains(why), "{component} {config}: {problem}");
    }
    let property = house(&[("homeassistant/vacuum/o/config", r#"{"stat_t":"x"}"#)]);
    let refused = profile(&property.found()[&"o".into()], "p").unwrap_err().to_string();
    assert!(refused.contains("a vacuum is not known here"), "{refused}");
}

proptest::proptest! {
    #[test]
    fn no_payload_makes_it_panic(payload in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        let _ = hear("homeassistant/sensor/x/config", &payload, &Known);
    }

    /// Whatever is told is either left out or makes a profile that is sound.
    #[test]
    fn what_is_rendered_is_a_sound_profile(
        kind in "sensor|binary_sensor|switch|light|lock|number|select|climate|fan|text",
        name in "[^\"\\\\\\x00-\\x1f]{0,12}",
        state in "[a-zé /+{}'\"]{0,10}",
        word in "[a-z\\\\'\"{}\\n ]{0,8}",
        template in "\\{\\{ value_json(\\.[a-z]{1,4}|\\['[a-z/~{}]{0,4}'\\]){0,3} \\}\\}|\\{\\{ value \\}\\}",
        limits in (-1e9..1e9_f64, -1e9..1e9_f64),
    ) {
        let config = serde_json::json!({ "name": name, "stat_t": state, "cmd_t": state, "val_tpl": template, "pl_on": word,
            "curr_temp_t": state, "temp_cmd_t": state, "mode_stat_t": state, "avty_t": state, "pl_avail": word,
            "min": limits.0, "max": limits.1, "min_temp": limits.0, "max_temp": limits.1, "ops": [word, name],
            "unit_of_meas": word, "dev": { "ids": "d", "name": word, "mf": name, "mdl": word } });
        let property = house(&[(&format!("homeassistant/{kind}/o/config"), &config.to_string())]);
        for found in property.found().values() {
            if let Ok(rendered) = profile(found, "found-d") {
                let loaded = load("found-d.toml", &rendered.toml);
                proptest::prop_assert!(loaded.is_ok(), "{}\n{}", rendered.toml, loaded.unwrap_err());
            }
        }
    }
}
