//! Tables of payloads and writes.

use super::*;
use crate::profile::{Profile, Protocol, load};
use engawa_model::DeviceState;

const HEAD: &str =
    "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'mqtt'\nsources = ['s']\n";

const PROFILE: &str = r#"
[mqtt]
status_topic = "z2m/{device}"
stale_after_s = 3600
availability = [
  { topic = "z2m/bridge/state", pointer = "/state" },
  { topic = "z2m/{device}/availability", pointer = "/state" },
]
requests = [{ topic = "z2m/{device}/get", payload = '{"local_temperature":""}' }]
[[mqtt.points]]
name = "temperature"
role = "room-temperature"
unit = "Cel"
pointer = "/local_temperature"
kind = "float"
dead_band = 0.2
valid = { min = -40.0, max = 80.0 }
heartbeat_s = 600
[[mqtt.points]]
name = "setpoint"
role = "climate-setpoint"
pointer = "/set/heat"
kind = "float"
min = 5.0
max = 30.0
command_topic = "z2m/{device}/set"
command_template = '{"set":{"heat":{value}}}'
[[mqtt.points]]
name = "window"
pointer = "/contact"
kind = "bool"
invert = true
[[mqtt.points]]
name = "battery"
pointer = "/battery"
kind = "int"
stale_after_s = 7200
[[mqtt.points]]
name = "locked"
pointer = "/lock"
kind = "bool"
command_topic = "z2m/{device}/set"
command_template = '{"lock":"{on_off}"}'
[[mqtt.points]]
name = "mode"
pointer = "/mode"
also = [{ topic = "z2m/{device}/mode", pointer = "" }]
kind = "int"
values = { "auto" = 0, "heat" = 1, "7" = 2 }
invalid = ["unknown"]
command_topic = "z2m/{device}/set/mode"
[[mqtt.points]]
name = "power"
topic = "z2m/{device}/power"
pointer = "/mW"
kind = "float"
scale = "1/1000"
offset = "5"
command_topic = "z2m/{device}/power/set"
"#;

const RELAY: &str = "
[mqtt]
status_topic = 'relay/{room}/{device}'
[[mqtt.points]]
name = 'on'
kind = 'bool'
pointer = ''
command_topic = 'relay/{room}/{device}/cmd'
[[mqtt.points]]
name = 'label'
kind = 'text'
command_topic = 'relay/{room}/{device}/label'
command_retain = true
";

const T101: &str = "z2m/floor1/t101";
const R7: &str = "relay/12%2F3/floor1/r7";

fn profile(text: &str) -> Arc<MqttProfile> {
    match load("p.toml", &format!("{HEAD}{text}")) {
        Ok(Profile { protocol: Protocol::Mqtt(profile), .. }) => {
            Arc::new(profile.resolve(&BTreeMap::new()).unwrap())
        }
        Ok(other) => panic!("{other:?}"),
        Err(report) => panic!("{report}"),
    }
}

fn devices() -> Devices {
    let device = |id: &str, room: &str, text: &str| MqttDevice {
        id: id.into(),
        room: Some(room.into()),
        name: format!("floor1/{id}"),
        profile: profile(text),
    };
    Devices::new(vec![device("t101", "101", PROFILE), device("r7", "12/3", RELAY)])
}

fn at(seconds: u64) -> Moment {
    let clock = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap();
    Moment { steady: Duration::from_secs(seconds), clock }
}

fn hear(devices: &mut Devices, topic: &str, payload: &[u8]) -> Heard {
    devices.hear(topic, payload, false, at(0))
}

fn values(heard: &Heard) -> Vec<String> {
    let shown = heard.readings.iter().map(|reading| {
        let value = reading.value.as_ref().map_or_else(|| "none".to_owned(), |value| format!("{value:?}"));
        format!(
            "{}={value}{}",
            reading.point.point,
            if reading.news == News::Known { " (known)" } else { "" }
        )
    });
    shown.collect()
}

fn health(facts: &[Fact]) -> Vec<(DeviceState, Option<&str>)> {
    let judged = facts.iter().filter_map(|fact| match fact {
        Fact::Health { state, reason, .. } => Some((*state, reason.as_deref())),
        _ => None,
    });
    judged.collect()
}

/// What the house is told of values: point and quality.
fn told(facts: &[Fact]) -> Vec<(&str, Quality)> {
    let told = facts.iter().filter_map(|fact| match fact {
        Fact::Reported { point, quality, .. } => Some((&*point.point, *quality)),
        _ => None,
    });
    told.collect()
}

#[test]
fn topics_are_expanded_and_rooms_escaped() {
    let devices = devices();
    assert_eq!(
        devices.subscriptions(),
        [
            R7,
            "z2m/bridge/state",
            T101,
            "z2m/floor1/t101/availability",
            "z2m/floor1/t101/mode",
            "z2m/floor1/t101/power"
        ]
    );
    assert!(devices.listens(T101));
    assert!(!devices.listens("z2m/floor1/t101/set"));
}

#[test]
fn payloads_are_read_by_topic_pointer_and_kind() {
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
        // Words, whole numbers as words, and words for nothing.
        (r#"{"mode":"HEAT"}"#, vec!["mode=Int(1)"]),
        (r#"{"mode":7.0}"#, vec!["mode=Int(2)"]),
        (r#"{"mode":"unknown"}"#, vec!["mode=none"]),
        // What can't be is no value.
        (r#"{"local_temperature":327.67}"#, vec!["temperature=none"]),
    ] {
        let heard = hear(&mut devices(), T101, payload.as_bytes());
        assert_eq!(values(&heard), expected, "{payload}");
        assert_eq!(health(&heard.facts), [(DeviceState::Well, None)], "{payload}");
        assert!(heard.errors.is_empty());
    }
    for (payload, on) in [("ON", true), ("false", false), ("1", true), ("\"off\"", false)] {
        let heard = hear(&mut devices(), R7, payload.as_bytes());
        assert_eq!(heard.readings[0].value, Some(Value::Bool(on)), "{payload}");
    }
    let power = hear(&mut devices(), "z2m/floor1/t101/power", br#"{"mW":20500}"#);
    assert_eq!(values(&power), ["power=Float(25.5)"]);
    assert_eq!(values(&hear(&mut devices(), "z2m/floor1/t101/mode", b"auto")), ["mode=Int(0)"]);
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
        (b"{\"mode\":\"dry\"}", "expected one of 7, auto, heat, found another text"),
    ] {
        let mut devices = devices();
        let heard = hear(&mut devices, T101, payload);
        assert_eq!(devices.bad_payloads(), 1);
        assert!(values(&heard).is_empty());
        let error = heard.errors[0].to_string();
        assert!(error.starts_with("t101 on z2m/floor1/t101: ") && error.contains(text), "{error}");
        let judged = health(&heard.facts);
        assert!(judged[0].0 == DeviceState::Unwell && judged[0].1.unwrap().contains(text), "{judged:?}");
        assert!(health(&hear(&mut devices, T101, payload).facts).is_empty(), "said once");
        let good = hear(&mut devices, T101, b"{\"battery\":1}");
        assert_eq!(health(&good.facts), [(DeviceState::Well, None)]);
    }
    assert_eq!(hear(&mut devices(), T101, &vec![b' '; MAX_PAYLOAD + 1]).errors.len(), 1);
    assert_eq!(hear(&mut devices(), "z2m/other", b"{}"), Heard::default());
}

#[test]
fn messages_about_other_things_are_no_fault_once_the_device_was_understood() {
    let mut devices = devices();
    hear(&mut devices, T101, b"{\"battery\":1}");
    for (topic, payload) in
        [(T101, &b"{\"linkquality\":80}"[..]), (T101, b""), ("z2m/floor1/t101/power", b"{\"V\":230}")]
    {
        assert!(hear(&mut devices, topic, payload).errors.is_empty(), "{topic}");
    }
    // On a topic of its own it never was one.
    assert!(hear(&mut self::devices(), "z2m/floor1/t101/power", b"{\"V\":230}").errors.is_empty());
    assert_eq!(hear(&mut devices, T101, b"80").errors.len(), 1);
}

#[test]
fn the_good_values_of_a_half_bad_payload_are_kept() {
    let heard = hear(&mut devices(), T101, br#"{"battery":"low","contact":true}"#);
    assert_eq!(values(&heard), ["window=Bool(false)"]);
    assert_eq!(heard.errors.len(), 1);
}

#[test]
fn a_value_is_reported_when_it_leaves_the_dead_band_of_the_last_report() {
    let mut devices = devices();
    let mut told = Vec::new();
    for tenths in [210, 211, 212, 213, 214, 212, 209, 208] {
        let payload = format!("{{\"local_temperature\":{}}}", f64::from(tenths) / 10.0);
        let heard = hear(&mut devices, T101, payload.as_bytes());
        told.extend(heard.readings.iter().filter(|reading| reading.news == News::Changed).map(|_| tenths));
    }
    assert_eq!(told, [210, 213, 209]);
    let again = hear(&mut devices, T101, b"{\"local_temperature\":20.9}");
    assert_eq!(values(&again), ["temperature=Float(20.9) (known)"]);
}

#[test]
fn a_value_that_stays_is_confirmed_at_each_heartbeat() {
    let mut devices = devices();
    let mut confirmed = Vec::new();
    for second in (0..2000).step_by(100) {
        let heard = devices.hear(T101, b"{\"local_temperature\":21}", false, at(second));
        confirmed
            .extend(heard.facts.iter().filter(|fact| matches!(fact, Fact::Confirmed { .. })).map(|_| second));
    }
    assert_eq!(confirmed, [600, 1200, 1800]);
}

#[test]
fn a_point_that_is_not_heard_of_becomes_stale_and_then_the_device_silent() {
    let mut devices = devices();
    devices.hear(T101, b"{\"local_temperature\":21,\"battery\":90}", false, at(0));
    devices.hear(T101, b"{\"battery\":90}", false, at(1000));
    assert_eq!(devices.next_expiry(), Some(Duration::from_secs(3600)));
    assert!(devices.expire(Duration::from_secs(3599)).is_empty());
    let facts = devices.expire(Duration::from_secs(3600));
    assert_eq!(told(&facts), [("temperature", Quality::Stale)]);
    let Fact::Reported { value, sampled, .. } = &facts[0] else { panic!("{facts:?}") };
    assert_eq!(
        (value, *sampled),
        (&Some(Value::Float(21.0)), at(0).clock),
        "the last value, and when it was so"
    );
    assert!(health(&facts).is_empty());
    let facts = devices.expire(Duration::from_secs(9000));
    assert_eq!(told(&facts), [("battery", Quality::Stale)]);
    assert_eq!(health(&facts), [(DeviceState::Unwell, Some("was not heard of for 7200 s"))]);
    assert_eq!(devices.next_expiry(), None);
    // The same value again is news now.
    let heard = devices.hear(T101, b"{\"battery\":90}", false, at(9001));
    assert_eq!(told(&heard.facts), [("battery", Quality::Good)]);
    assert_eq!(health(&heard.facts), [(DeviceState::Well, None)]);
    assert_eq!(devices.next_expiry(), Some(Duration::from_secs(9001 + 7200)));
}

#[test]
fn what_the_broker_had_kept_is_no_fresher_by_it() {
    let mut devices = devices();
    let before = at(0).clock;
    let point = PointId::new("t101", "temperature");
    devices.prime(&point, Some(Value::Float(21.0)), Quality::Good, before, Duration::ZERO);
    let heard = devices.hear(T101, b"{\"local_temperature\":21}", true, at(3000));
    assert_eq!(values(&heard), ["temperature=Float(21.0) (known)"]);
    let facts = devices.expire(Duration::from_secs(3600));
    assert_eq!(told(&facts), [("temperature", Quality::Stale)]);
    assert_eq!(health(&facts).len(), 1, "it is all that was ever known of the device");
}

#[test]
fn a_device_that_says_that_it_has_gone_is_believed() {
    let mut devices = devices();
    hear(&mut devices, T101, b"{\"contact\":false}");
    let availability = "z2m/floor1/t101/availability";
    let heard = hear(&mut devices, availability, b"{\"state\":\"offline\"}");
    assert_eq!(told(&heard.facts), [("window", Quality::Stale)]);
    assert_eq!(health(&heard.facts), [(DeviceState::Unwell, Some("says that it is not there"))]);
    // Its kept state is its last; what it says now is its present.
    let kept = devices.hear(T101, b"{\"battery\":5}", true, at(1));
    assert_eq!(told(&kept.facts), [("battery", Quality::Stale)]);
    let now = devices.hear(T101, b"{\"battery\":5}", false, at(2));
    assert_eq!(told(&now.facts), [("battery", Quality::Good)]);
    // The other topic does not make it come; both together do, and it is asked how it is.
    devices.connected();
    devices.requests(10);
    assert!(hear(&mut devices, "z2m/bridge/state", b"online").facts.is_empty());
    assert!(!devices.has_requests());
    let came = hear(&mut devices, availability, b"online");
    assert_eq!(health(&came.facts), [(DeviceState::Well, None)]);
    let asked = devices.requests(10);
    assert_eq!(asked, [Publication::event(format!("{T101}/get"), r#"{"local_temperature":""}"#)]);
    let unsure = hear(&mut devices, availability, b"{\"state\":\"asleep\"}");
    assert!(unsure.errors[0].to_string().contains("expected `online` or `offline`"), "{unsure:?}");
    assert_eq!(health(&hear(&mut devices, availability, b"online").facts), [(DeviceState::Well, None)]);
    assert!(hear(&mut devices, availability, b"").errors.is_empty());
}

#[test]
fn requests_go_out_in_parts_on_each_connection() {
    let profile = profile(PROFILE);
    let device = |n: usize| MqttDevice {
        id: format!("d{n}").as_str().into(),
        room: None,
        name: format!("d{n}"),
        profile: Arc::clone(&profile),
    };
    let mut devices = Devices::new((0..120).map(device).collect());
    devices.connected();
    assert_eq!(devices.requests(50).len(), 50);
    devices.disconnected();
    assert!(!devices.has_requests());
    devices.connected();
    let all: Vec<_> =
        std::iter::from_fn(|| Some(devices.requests(50)).filter(|some| !some.is_empty())).collect();
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
}

#[test]
fn a_write_is_made_from_the_template_and_checked() {
    let devices = devices();
    let point = |name: &str| PointId::new("t101", name);
    for (point, value, topic, payload) in [
        (point("setpoint"), Value::Float(21.5), "z2m/floor1/t101/set", r#"{"set":{"heat":21.5}}"#),
        (point("locked"), Value::Bool(true), "z2m/floor1/t101/set", r#"{"lock":"ON"}"#),
        (point("mode"), Value::Int(1), "z2m/floor1/t101/set/mode", "heat"),
        (point("mode"), Value::Float(2.0), "z2m/floor1/t101/set/mode", "7"),
        (point("power"), Value::Float(26.3), "z2m/floor1/t101/power/set", "21300.0"),
        (PointId::new("r7", "on"), Value::Int(0), "relay/12%2F3/floor1/r7/cmd", "false"),
        (
            PointId::new("r7", "label"),
            Value::Text("{value} \"x\"".to_owned()),
            "relay/12%2F3/floor1/r7/label",
            "{value} \"x\"",
        ),
    ] {
        let write = devices.write(&point, &value).unwrap();
        assert_eq!((write.publication.topic.as_str(), write.publication.payload.as_str()), (topic, payload));
        assert_eq!(write.publication.retain, &*point.point == "label");
        assert_eq!(write.reports, &*point.point != "label");
    }
    for (point, value, error) in [
        (point("setpoint"), Value::Float(31.0), "takes 5 to 30"),
        (point("setpoint"), Value::Float(f64::NAN), "takes a number"),
        (point("setpoint"), Value::Text("warm".to_owned()), "takes a number"),
        (point("mode"), Value::Int(9), "takes one of 2, 0, 1"),
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
        let mut devices = devices();
        for topic in devices.subscriptions() {
            hear(&mut devices, &topic, &payload);
        }
    }

    #[test]
    fn no_json_makes_it_panic(
        key in "local_temperature|set|contact|battery|lock|mode|mW|state",
        inner in "-?[0-9]{1,400}(\\.[0-9]{1,20})?(e-?[0-9]{1,3})?|\"[^\"\\\\]{0,20}\"|\\[\\]|\\{\"heat\":1e308\\}|null|true",
        retained in proptest::bool::ANY,
    ) {
        let mut devices = devices();
        let payload = format!("{{\"{key}\":{inner}}}");
        for topic in devices.subscriptions() {
            let heard = devices.hear(&topic, payload.as_bytes(), retained, at(1));
            for reading in heard.readings {
                let finite = reading.value.as_ref().and_then(Value::as_f64).is_none_or(f64::is_finite);
                proptest::prop_assert!(finite, "{}", reading.point);
            }
        }
        devices.expire(Duration::MAX);
    }
}
