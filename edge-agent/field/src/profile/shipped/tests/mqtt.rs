//! Messages as the makers document them, through the profiles of MQTT devices.

use super::super::builtin;
use crate::mqtt::MqttDevice;
use crate::mqtt::devices::{Devices, Moment};
use crate::profile::{Resolved, load};
use engawa_model::{DeviceState, Fact, PointId, Quality, Timestamp, Value};
use std::collections::BTreeMap;
use std::time::Duration;

fn at(seconds: u64) -> Moment {
    Moment { steady: Duration::from_secs(seconds), clock: Timestamp::UNIX_EPOCH }
}

fn device(profile: &str, name: &str, vars: &[(&str, &str)]) -> Devices {
    let (_, text) = builtin().iter().find(|(of, _)| *of == profile).unwrap_or_else(|| panic!("no {profile}"));
    let vars: BTreeMap<_, _> = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let profile = match load(profile, text).unwrap_or_else(|report| panic!("{report}")).resolve(&vars) {
        Ok(Resolved::Mqtt(map)) => map,
        other => panic!("{profile}: {other:?}"),
    };
    Devices::new(vec![MqttDevice { id: "d".into(), room: None, name: name.to_owned(), profile }])
}

/// All that came of one message: `point=value`, in the profile's order.
fn said(devices: &mut Devices, topic: &str, payload: &str) -> String {
    let heard = devices.hear(topic, payload.as_bytes(), false, at(0));
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

fn health(facts: &[Fact]) -> Option<DeviceState> {
    facts.iter().find_map(|fact| match fact {
        Fact::Health { state, .. } => Some(*state),
        _ => None,
    })
}

type Vars = &'static [(&'static str, &'static str)];

#[test]
fn documented_messages_mean_what_their_source_says() {
    for (profile, vars, name, topic, payload, want) in [
        // Zigbee2MQTT: the examples of its page on topics, and the names of its pages on devices.
        (
            "zigbee2mqtt-contact",
            &[] as Vars,
            "0x00158d0001",
            "zigbee2mqtt/0x00158d0001",
            r#"{"battery":100,"contact":false,"linkquality":84,"temperature":24,"voltage":3025}"#,
            "open=true battery=100 link_quality=84 battery_voltage=3025",
        ),
        ("zigbee2mqtt-contact", &[], "w", "zigbee2mqtt/w", r#"{"contact":true}"#, "open=false"),
        ("zigbee2mqtt-door", &[("base", "z/floor2")], "d", "z/floor2/d", r#"{"contact":false}"#, "open=true"),
        (
            "zigbee2mqtt-leak",
            &[],
            "bath/101",
            "zigbee2mqtt/bath/101",
            r#"{"water_leak":true,"battery_low":false,"voltage":2995}"#,
            "leak=true battery_low=false",
        ),
        ("zigbee2mqtt-motion", &[], "m", "zigbee2mqtt/m", r#"{"occupancy":true}"#, "occupied=true"),
        (
            "zigbee2mqtt-motion",
            &[],
            "m",
            "zigbee2mqtt/m",
            r#"{"presence":false,"illuminance":12}"#,
            "occupied=false illuminance=12",
        ),
        (
            "zigbee2mqtt-temperature-humidity",
            &[],
            "t",
            "zigbee2mqtt/t",
            r#"{"temperature":27.34,"humidity":44.72}"#,
            "temperature=27.34 humidity=44.72",
        ),
        (
            "zigbee2mqtt-trv",
            &[],
            "trv",
            "zigbee2mqtt/trv",
            r#"{"occupied_heating_setpoint":21.5,"local_temperature":20.83,"pi_heating_demand":40,"system_mode":"heat","running_state":"heat","battery":87,"window_open_internal":1}"#,
            "temperature=20.83 setpoint=21.5 mode=heat heating_demand=40 running_state=heat battery=87",
        ),
        (
            "zigbee2mqtt-trv",
            &[("setpoint", "current_heating_setpoint")],
            "trv",
            "zigbee2mqtt/trv",
            r#"{"current_heating_setpoint":19,"local_temperature":19.5}"#,
            "temperature=19.5 setpoint=19",
        ),
        (
            "zigbee2mqtt-plug",
            &[],
            "p",
            "zigbee2mqtt/p",
            r#"{"state":"ON","power":12,"current":0.05,"voltage":231,"energy":1.35}"#,
            "on=true power=12 energy=1.35 voltage=231 current=0.05",
        ),
        (
            "zigbee2mqtt-light",
            &[],
            "l",
            "zigbee2mqtt/l",
            r#"{"state":"ON","brightness":127,"color_temp":325}"#,
            "on=true brightness=50 color_temperature=325",
        ),
        // Tasmota: the command flow of its page on MQTT, and its telemetry.
        (
            "tasmota-switch",
            &[],
            "tasmota_switch",
            "stat/tasmota_switch/RESULT",
            r#"{"POWER":"OFF"}"#,
            "on=false",
        ),
        (
            "tasmota-switch",
            &[("relay", "POWER2")],
            "t",
            "tele/t/STATE",
            r#"{"Time":"2024-02-24T22:20:38","Uptime":"0T00:10:11","POWER1":"OFF","POWER2":"ON","Wifi":{"RSSI":44,"Signal":-78}}"#,
            "on=true wifi_quality=44",
        ),
        ("tasmota-switch", &[], "t", "stat/t/RESULT", r#"{"TelePeriod":300}"#, ""),
        (
            "tasmota-plug",
            &[],
            "sonoff_desk",
            "tele/sonoff_desk/SENSOR",
            r#"{"Time":"2023-05-19T20:52:56","ENERGY":{"TotalStartTime":"2022-03-20T15:20:48","Total":514.153,"Yesterday":1.495,"Today":0.537,"Period":0,"Power":56,"ApparentPower":92,"ReactivePower":73,"Factor":0.61,"Voltage":234,"Current":0.392}}"#,
            "power=56 apparent_power=92 voltage=234 current=0.392 energy=514.153 energy_today=0.537 power_factor=0.61",
        ),
        (
            "tasmota-plug",
            &[],
            "t",
            "stat/t/STATUS10",
            r#"{"StatusSNS":{"Time":"2020-06-29T22:22:24","ENERGY":{"Total":41.573,"Power":2,"Voltage":230,"Current":0.094}}}"#,
            "power=2 voltage=230 current=0.094 energy=41.573",
        ),
        (
            "tasmota-sensor",
            &[("sensor", "DHT11")],
            "t",
            "tele/t/SENSOR",
            r#"{"Time":"2021-06-13T06:59:52","DHT11":{"Temperature":23.0,"Humidity":37.0,"DewPoint":7.5},"TempUnit":"C"}"#,
            "temperature=23 humidity=37",
        ),
        (
            "tasmota-sensor",
            &[("sensor", "DS18B20"), ("temperature", "fahrenheit")],
            "t",
            "stat/t/STATUS10",
            r#"{"StatusSNS":{"DS18B20":{"Temperature":68.0},"TempUnit":"F"}}"#,
            "temperature=20",
        ),
        (
            "tasmota-contact",
            &[],
            "t",
            "tele/t/SENSOR",
            r#"{"Time":"2024-02-24T22:20:38","Switch1":"ON"}"#,
            "open=true",
        ),
        ("tasmota-contact", &[], "t", "stat/t/RESULT", r#"{"Switch1":{"Action":"OFF"}}"#, "open=false"),
        // Shelly: notifications, whole states, answers.
        (
            "shelly-switch",
            &[],
            "shellyplus1pm-44179394d4d4",
            "shellyplus1pm-44179394d4d4/events/rpc",
            r#"{"src":"shellyplus1pm-44179394d4d4","dst":"shellyplus1pm-44179394d4d4/events","method":"NotifyStatus","params":{"ts":1631186545.04,"switch:0":{"id":0,"output":true,"source":"button"}}}"#,
            "on=true",
        ),
        (
            "shelly-switch",
            &[],
            "s",
            "s/events/rpc",
            r#"{"method":"NotifyStatus","params":{"ts":1.0,"sys":{"available_updates":{}}}}"#,
            "",
        ),
        (
            "shelly-switch",
            &[("channel", "1")],
            "s",
            "s/engawa/1/rpc",
            r#"{"id":1,"src":"s","dst":"s/engawa/1","result":{"id":1,"source":"WS_in","output":false,"apower":8.9,"voltage":237.5,"current":0.1,"aenergy":{"total":6.532,"by_minute":[45.199,47.141,88.397],"minute_ts":1626935779},"temperature":{"tC":23.5,"tF":74.4}}}"#,
            "on=false power=8.9 voltage=237.5 current=0.1 energy=0.006532 device_temperature=23.5",
        ),
        (
            "shelly-switch",
            &[],
            "s",
            "s/status/switch:0",
            r#"{"id":0,"output":true,"apower":0.0}"#,
            "on=true power=0",
        ),
        (
            "shelly-ht",
            &[],
            "shellyplusht-b8d61a8b17cc",
            "shellyplusht-b8d61a8b17cc/events/rpc",
            r#"{"src":"shellyplusht-b8d61a8b17cc","dst":"shellyplusht-b8d61a8b17cc/events","method":"NotifyFullStatus","params":{"ts":1680962879.62,"devicepower:0":{"id":0,"battery":{"V":5.46,"percent":73},"external":{"present":false}},"humidity:0":{"id":0,"rh":42.2},"temperature:0":{"id":0,"tC":19.8,"tF":67.6}}}"#,
            "temperature=19.8 humidity=42.2 battery=73",
        ),
        (
            "shelly-ht",
            &[],
            "h",
            "h/status/temperature:0",
            r#"{"id": 0,"tC":20.1, "tF":68.3}"#,
            "temperature=20.1",
        ),
        (
            "shelly-flood",
            &[],
            "f",
            "f/events/rpc",
            r#"{"method":"NotifyStatus","params":{"ts":1.0,"flood:0":{"id":0,"alarm":true,"mute":false}}}"#,
            "leak=true muted=false",
        ),
        (
            "shelly-blu-trv",
            &[("trv", "201")],
            "shellyblugwg3-aacdb0784278",
            "shellyblugwg3-aacdb0784278/status/blutrv:201",
            r#"{"id":201,"target_C":17.8,"current_C":18.5,"pos":54,"connected":true,"rssi":-60,"battery":100,"packet_id":243,"last_updated_ts":1766497610,"paired":true,"rpc":true}"#,
            "temperature=18.5 setpoint=17.8 valve_position=54 battery=100 signal=-60",
        ),
    ] {
        let mut devices = device(profile, name, vars);
        assert_eq!(said(&mut devices, topic, payload), want, "{profile} {topic} {payload}");
    }
}

#[test]
fn commands_are_what_the_makers_document() {
    for (profile, vars, point, value, topic, payload) in [
        (
            "zigbee2mqtt-trv",
            &[] as Vars,
            "setpoint",
            Value::Float(21.5),
            "zigbee2mqtt/d1/set",
            r#"{"occupied_heating_setpoint":21.5}"#,
        ),
        (
            "zigbee2mqtt-trv",
            &[],
            "mode",
            Value::Text("heat".to_owned()),
            "zigbee2mqtt/d1/set",
            r#"{"system_mode":"heat"}"#,
        ),
        ("zigbee2mqtt-plug", &[], "on", Value::Bool(false), "zigbee2mqtt/d1/set", r#"{"state":"OFF"}"#),
        (
            "zigbee2mqtt-light",
            &[],
            "brightness",
            Value::Float(50.0),
            "zigbee2mqtt/d1/set",
            r#"{"brightness":127.0}"#,
        ),
        ("tasmota-switch", &[("relay", "POWER4")], "on", Value::Bool(false), "cmnd/d1/POWER4", "OFF"),
        (
            "shelly-switch",
            &[],
            "on",
            Value::Bool(true),
            "d1/rpc",
            r#"{"id":2,"src":"d1/engawa/0","method":"Switch.Set","params":{"id":0,"on":true}}"#,
        ),
        (
            "shelly-blu-trv",
            &[],
            "setpoint",
            Value::Float(21.0),
            "d1/rpc",
            r#"{"id":2,"src":"d1/engawa/200","method":"BluTrv.Call","params":{"id":200,"method":"Trv.SetTarget","params":{"id":0,"target_C":21.0}}}"#,
        ),
    ] {
        let devices = device(profile, "d1", vars);
        let message = devices.write(&PointId::new("d", point), &value).unwrap();
        assert_eq!(
            (message.publication.topic.as_str(), message.publication.payload.as_str()),
            (topic, payload)
        );
        assert!(message.reports && !message.publication.retain, "{profile} {point}");
    }
}

#[test]
fn each_family_says_in_its_own_way_that_a_device_has_gone() {
    for (profile, state, payload, availability, [offline, online]) in [
        (
            "zigbee2mqtt-contact",
            "zigbee2mqtt/d1",
            r#"{"contact":true}"#,
            "zigbee2mqtt/d1/availability",
            [r#"{"state":"offline"}"#, r#"{"state":"online"}"#],
        ),
        (
            "zigbee2mqtt-leak",
            "zigbee2mqtt/d1",
            r#"{"water_leak":false}"#,
            "zigbee2mqtt/bridge/state",
            ["offline", "online"],
        ),
        ("tasmota-plug", "stat/d1/RESULT", r#"{"POWER":"ON"}"#, "tele/d1/LWT", ["Offline", "Online"]),
        ("shelly-switch", "d1/status/switch:0", r#"{"output":true}"#, "d1/online", ["false", "true"]),
    ] {
        let mut devices = device(profile, "d1", &[]);
        said(&mut devices, state, payload);
        let gone = devices.hear(availability, offline.as_bytes(), true, at(1));
        assert_eq!(health(&gone.facts), Some(DeviceState::Unwell), "{profile}");
        let stale =
            |fact: &Fact| matches!(fact, Fact::Reported { quality: Quality::Stale, value: Some(_), .. });
        assert!(gone.facts.iter().any(stale), "{profile}: {gone:?}");
        let back = devices.hear(availability, online.as_bytes(), false, at(2));
        assert_eq!(health(&back.facts), Some(DeviceState::Well), "{profile}");
    }
}

#[test]
fn what_mains_devices_are_asked_is_what_the_makers_document() {
    for (profile, requests) in [
        ("zigbee2mqtt-light", vec![("zigbee2mqtt/d1/get", r#"{"state":""}"#)]),
        ("zigbee2mqtt-contact", vec![]),
        ("tasmota-plug", vec![("cmnd/d1/STATUS", "11"), ("cmnd/d1/STATUS", "10")]),
        (
            "shelly-switch",
            vec![("d1/rpc", r#"{"id":1,"src":"d1/engawa/0","method":"Switch.GetStatus","params":{"id":0}}"#)],
        ),
    ] {
        let mut devices = device(profile, "d1", &[]);
        devices.connected();
        let asked = devices.requests(10);
        let asked: Vec<_> = asked.iter().map(|it| (it.topic.as_str(), it.payload.as_str())).collect();
        assert_eq!(asked, requests, "{profile}");
    }
}

#[test]
fn every_profile_of_an_mqtt_device_notices_silence_or_a_last_will() {
    for (name, text) in builtin().iter().filter(|(_, text)| text.contains("protocol = \"mqtt\"")) {
        let Ok(Resolved::Mqtt(profile)) = load(name, text).unwrap().resolve(&BTreeMap::new()) else {
            panic!("{name}")
        };
        assert!(profile.stale_after_s.is_some() || !profile.availability.is_empty(), "{name}");
        let devices = MqttDevice { id: "d".into(), room: None, name: "x".to_owned(), profile };
        for topic in Devices::new(vec![devices]).subscriptions() {
            assert!(!topic.contains(['{', '}', '+', '#']), "{name}: {topic}");
        }
    }
}
