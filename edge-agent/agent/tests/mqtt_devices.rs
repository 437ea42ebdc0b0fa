//! MQTT devices as they are sold, through the agent's program and Mosquitto: what is found and placed, one device of each
//! family, one that has gone and one that has fallen silent. Needs `mosquitto` and `mosquitto-clients`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::Value;
use stage::{DEADLINE, Running, free_port, mosquitto, wait_for};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A house with a broker of the site.
struct House {
    dir: tempfile::TempDir,
    port: u16,
    _broker: Running,
}

impl House {
    fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let broker = mosquitto(dir.path(), port);
        let text = format!(
            "[property]\nid = \"test\"\nname = \"Test\"\nzone = \"Asia/Tokyo\"\ncurrency = \"JPY\"\nrooms = [\"101\", \"102\"]\n\n\
             [climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n\n\
             [store]\ndir = \"data\"\n\n[api]\nlisten = \"127.0.0.1:0\"\nsocket = \"{}\"\n\n\
             [mqtt]\nbroker = \"mqtt://127.0.0.1:{port}\"\ndiscover = true\n\n{more}",
            dir.path().join("s").display()
        );
        std::fs::write(dir.path().join("engawa.toml"), text).unwrap();
        Self { dir, port, _broker: broker }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("engawa.toml")
    }

    fn agent(&self) -> Running {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        Running(self.command(&["run"]).stderr(log).spawn().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
        command.args(arguments).env("ENGAWA_CONFIG", self.config());
        command
    }

    fn engawa(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a listing says, one object a line.
    fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let text = String::from_utf8(self.engawa(arguments).stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn publish(&self, topic: &str, payload: &str, retain: bool) {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1", "-t", topic]);
        match payload {
            "" => command.arg("-n"),
            payload => command.args(["-m", payload]),
        };
        if retain {
            command.arg("-r");
        }
        assert!(command.status().expect("`mosquitto-clients` must be installed").success());
    }

    /// A subscriber that is there once this returns.
    fn subscribe(&self, filter: &str) -> Subscriber {
        // Line by line: into a pipe the C library would keep what was said until there is a lot of it.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1"])
            .args(["-v", "-d", "-t", filter])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (said, lines) = mpsc::sync_channel(1000);
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let mut subscriber = Subscriber { _child: Running(child), lines };
        subscriber.line("Subscribed");
        subscriber
    }

    /// Value and quality of a point, as the house has them.
    fn point(&self, device: &str, point: &str) -> Option<(Value, String)> {
        let rooms = self.listed(&["rooms", "--json"]);
        let mut points = rooms.iter().filter_map(|room| room["points"].as_array()).flatten();
        let found = points.find(|it| it["device"] == device && it["point"] == point)?;
        Some((found["value"].clone(), found["quality"].as_str()?.to_owned()))
    }

    fn wait_for_point(&self, device: &str, point: &str, value: impl Into<Value>, quality: &str) {
        let (value, quality) = (value.into(), quality.to_owned());
        let mut last = None;
        let start = Instant::now();
        while last != Some((value.clone(), quality.clone())) {
            assert!(
                start.elapsed() < DEADLINE,
                "{device}/{point} is {last:?}, not {value} {quality}\n{}",
                self.log()
            );
            last = self.point(device, point);
        }
    }

    fn state(&self, device: &str) -> (String, String) {
        let devices = self.listed(&["devices", "--json"]);
        let found = devices.iter().find(|it| it["device"] == device).unwrap();
        (found["state"].as_str().unwrap().to_owned(), found["reason"].as_str().unwrap_or("").to_owned())
    }

    fn found(&self) -> Vec<String> {
        let found = self.listed(&["devices", "found", "--json"]);
        found.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

struct Subscriber {
    _child: Running,
    lines: mpsc::Receiver<String>,
}

impl Subscriber {
    fn line(&mut self, begin: &str) -> String {
        let mut came = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            if line.starts_with(begin) {
                return line;
            }
            came.push(line);
        }
        panic!("`{begin}` did not come; came: {came:#?}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const WINDOW: &str = r#"{"availability":[{"topic":"z/bridge/state","value_template":"{{ value_json.state }}"},{"topic":"z/window 101/availability","value_template":"{{ value_json.state }}"}],"availability_mode":"all","device":{"identifiers":["z_0x01"],"manufacturer":"Aqara","model":"Contact","name":"window 101"},"device_class":"window","name":null,"object_id":"window_101_contact","payload_off":true,"payload_on":false,"state_topic":"z/window 101","unique_id":"0x01_contact","value_template":"{{ value_json.contact }}"}"#;

#[test]
fn a_found_device_waits_and_is_placed() {
    let house = House::new("");
    let config = "homeassistant/binary_sensor/0x01/contact/config";
    house.publish(config, WINDOW, true);
    house.publish("homeassistant/vacuum/robot/config", r#"{"name":"Robot","stat_t":"v"}"#, true);
    let agent = house.agent();
    wait_for("what is found", || (house.found() == ["robot", "z_0x01"]).then_some(()));
    let listed = text(&house.engawa(&["devices", "found"]).stdout);
    assert!(listed.contains("window 101  (Aqara Contact)"), "{listed}");
    assert!(listed.contains("NOT UNDERSTOOD: a vacuum is not known here"), "{listed}");

    // Nothing changes where something would be wrong.
    let before = std::fs::read_to_string(house.config()).unwrap();
    for (arguments, status, words) in [
        (vec!["z_0x01", "--room", "999"], 2, "there is no room `999`"),
        (vec!["z_0x01", "--room", "101", "--id", "a/b"], 2, "must not be empty nor hold `/`"),
        (vec!["robot", "--room", "101"], 1, "nothing that the device told is understood"),
        (vec!["z_0x99", "--room", "101"], 1, "no device `z_0x99` waits"),
    ] {
        let out = house.engawa(&[&["devices", "place"], &arguments[..]].concat());
        assert_eq!(out.status.code(), Some(status), "{arguments:?}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains(words), "{arguments:?}: {}", text(&out.stderr));
        assert_eq!(std::fs::read_to_string(house.config()).unwrap(), before);
        let written = std::fs::read_dir(house.dir.path().join("profiles")).map_or(0, Iterator::count);
        assert_eq!(written, 0, "{arguments:?}");
    }
    let dry = house.engawa(&["devices", "place", "z_", "--room", "101", "--dry-run"]);
    assert!(text(&dry.stdout).contains("profile = \"found-z-0x01-8e6864a1\""), "{}", text(&dry.stdout));
    assert_eq!(std::fs::read_to_string(house.config()).unwrap(), before);

    let out = house.engawa(&["devices", "place", "z_0x01", "--room", "101"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(
        text(&out.stdout).contains("window-101 is in room 101 now: window_101_contact"),
        "{}",
        text(&out.stdout)
    );
    let checked = house.engawa(&["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("1 devices"), "{}", text(&checked.stdout));
    let now = std::fs::read_to_string(house.config()).unwrap();
    assert!(now.starts_with("profiles = \"profiles\"\n") && now.contains(&before), "{now}");
    assert!(
        now.contains("# Found on the broker as z_0x01: window 101 (Aqara Contact).\n[[device]]"),
        "{now}"
    );
    let again = house.engawa(&["devices", "place", "z_0x01", "--room", "102"]);
    assert!(text(&again.stderr).contains("is there already"), "{}", text(&again.stderr));

    // What was taken back waits no more; what is placed does not after the next start.
    house.publish("homeassistant/vacuum/robot/config", "", true);
    wait_for("the end of the other", || (house.found() == ["z_0x01"]).then_some(()));
    drop(agent);
    let _agent = house.agent();
    wait_for("nothing to wait", || house.found().is_empty().then_some(()));
    house.publish("z/window 101", r#"{"contact":false}"#, false);
    house.wait_for_point("window-101", "window_101_contact", true, "good");
    house.publish("z/window 101/availability", r#"{"state":"offline"}"#, true);
    house.wait_for_point("window-101", "window_101_contact", true, "stale");
    assert_eq!(house.state("window-101"), ("unwell".to_owned(), "says that it is not there".to_owned()));
    let kinds: Vec<_> = house.listed(&["log", "--json"]).iter().map(|row| row["kind"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "device_found").count(), 2, "{kinds:?}");
}

const DEVICES: &str = r#"
[[device]]
id = "trv-101"
room = "101"
profile = "zigbee2mqtt-trv"
name = "floor1/trv"
[[device]]
id = "plug-102"
room = "102"
profile = "tasmota-plug"
name = "tasmota_A1"
[[device]]
id = "relay-102"
room = "102"
profile = "shelly-switch"
name = "shellyplus1pm-44179394d4d4"
vars = { channel = "0" }
"#;

#[test]
fn one_of_each_family_is_asked_read_written_and_missed() {
    let house = House::new(DEVICES);
    let mut asked = [
        house.subscribe("zigbee2mqtt/floor1/trv/+"),
        house.subscribe("cmnd/tasmota_A1/+"),
        house.subscribe("shellyplus1pm-44179394d4d4/rpc"),
    ];
    let _agent = house.agent();
    asked[0].line(r#"zigbee2mqtt/floor1/trv/get {"occupied_heating_setpoint":"","local_temperature":""}"#);
    asked[1].line("cmnd/tasmota_A1/STATUS 10");
    let request = asked[2].line("shellyplus1pm-44179394d4d4/rpc ");
    let (_, request) = request.split_once(' ').unwrap();
    let request: Value = serde_json::from_str(request).unwrap();
    assert_eq!(request["method"], "Switch.GetStatus");

    // Their answers.
    let trv = r#"{"occupied_heating_setpoint":19,"local_temperature":20.5,"battery":80,"linkquality":90}"#;
    house.publish("zigbee2mqtt/floor1/trv", trv, false);
    let sensors = r#"{"StatusSNS":{"Time":"2026-11-25T10:00:00","ENERGY":{"Total":41.573,"Power":2,"Voltage":230,"Current":0.094}}}"#;
    house.publish("stat/tasmota_A1/STATUS10", sensors, false);
    let answer_to = format!("{}/rpc", request["src"].as_str().unwrap());
    let status = r#"{"id":1,"src":"shellyplus1pm-44179394d4d4","result":{"id":0,"output":false,"apower":8.9,"aenergy":{"total":6500.0}}}"#;
    house.publish(&answer_to, status, false);
    house.wait_for_point("trv-101", "temperature", 20.5, "good");
    house.wait_for_point("plug-102", "energy", 41.573, "good");
    house.wait_for_point("relay-102", "energy", 6.5, "good");
    house.wait_for_point("relay-102", "on", false, "good");

    // A set point goes out in the device's words, and is done when the device says it.
    let mut results = house.subscribe("engawa/test/cmd/+/result");
    house.publish("engawa/test/room/101/setpoint/set", r#"{"value":21.5,"key":"k-1"}"#, false);
    asked[0].line(r#"zigbee2mqtt/floor1/trv/set {"occupied_heating_setpoint":21.5}"#);
    house.publish("zigbee2mqtt/floor1/trv", r#"{"occupied_heating_setpoint":21.5}"#, false);
    assert!(results.line("engawa/test/cmd/k-1/result ").contains("\"done\""));
    let set = r#"{"key":"k-2","do":"set-point","point":{"device":"relay-102","point":"on"},"value":true}"#;
    house.publish("engawa/test/cmd", set, false);
    assert!(
        asked[2]
            .line("shellyplus1pm-44179394d4d4/rpc ")
            .contains(r#""method":"Switch.Set","params":{"id":0,"on":true}"#)
    );
    let notified = r#"{"src":"shellyplus1pm-44179394d4d4","method":"NotifyStatus","params":{"ts":1.0,"switch:0":{"id":0,"output":true,"source":"mqtt"}}}"#;
    house.publish("shellyplus1pm-44179394d4d4/events/rpc", notified, false);
    assert!(results.line("engawa/test/cmd/k-2/result ").contains("\"done\""));

    // Each says in its own way that it has gone, and that it is there again.
    for (device, point, value, topic, [offline, online]) in [
        (
            "trv-101",
            "temperature",
            Value::from(20.5),
            "zigbee2mqtt/floor1/trv/availability",
            [r#"{"state":"offline"}"#, r#"{"state":"online"}"#],
        ),
        ("plug-102", "energy", 41.573.into(), "tele/tasmota_A1/LWT", ["Offline", "Online"]),
        ("relay-102", "on", true.into(), "shellyplus1pm-44179394d4d4/online", ["false", "true"]),
    ] {
        house.publish(topic, offline, true);
        house.wait_for_point(device, point, value, "stale");
        assert_eq!(house.state(device).0, "unwell");
        house.publish(topic, online, true);
        wait_for("the device's return", || (house.state(device).0 == "well").then_some(()));
    }
    // It is asked again when it comes.
    asked[2].line("shellyplus1pm-44179394d4d4/rpc ");
    // A broken word is told, and costs nothing else.
    house.publish("zigbee2mqtt/floor1/trv", r#"{"local_temperature":"warm","battery":79}"#, false);
    house.wait_for_point("trv-101", "battery", 79.0, "good");
    assert!(house.state("trv-101").1.contains("expected a number"), "{:?}", house.state("trv-101"));
}

const SILENT: &str = r#"[profile]
name = "silent"
make = "m"
model = "m"
kind = "sensors"
protocol = "mqtt"
sources = ["this test"]
[mqtt]
status_topic = "s/{device}"
stale_after_s = 1
[[mqtt.points]]
name = "open"
role = "window"
pointer = "/open"
kind = "bool"
"#;

#[test]
fn a_device_that_falls_silent_is_noticed_also_after_a_restart() {
    let house = House::new("[[device]]\nid = \"w\"\nroom = \"101\"\nprofile = \"silent\"\n");
    let folder = house.dir.path().join("profiles");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("silent.toml"), SILENT).unwrap();
    let text = std::fs::read_to_string(house.config()).unwrap();
    std::fs::write(house.config(), format!("profiles = \"profiles\"\n{text}")).unwrap();
    let agent = house.agent();
    let mut point = house.subscribe("engawa/test/room/101/point/w/open");
    wait_for("the link", || house.log().contains("the house is open").then_some(()));
    // Until it is heard: the subscription may still be on its way.
    wait_for("the first value", || {
        house.publish("s/w", r#"{"open":true}"#, false);
        house.point("w", "open").filter(|(value, quality)| *value == true && quality == "good")
    });
    assert!(point.line("engawa/test/room/101/point/w/open ").contains("\"good\""));
    assert!(point.line("engawa/test/room/101/point/w/open ").contains("\"stale\""));
    house.wait_for_point("w", "open", true, "stale");
    assert!(house.state("w").1.contains("was not heard of for 1 s"), "{:?}", house.state("w"));
    house.publish("s/w", r#"{"open":true}"#, false);
    house.wait_for_point("w", "open", true, "good");
    drop(agent);
    // Killed before it could become stale, or after: either way the next start knows it.
    let _agent = house.agent();
    house.wait_for_point("w", "open", true, "stale");
    house.publish("s/w", r#"{"open":false}"#, false);
    house.wait_for_point("w", "open", false, "good");
}

#[test]
fn a_wake_up_call_rings_over_a_kill_until_it_is_answered() {
    let house = House::new("[wake_up]\nrooms = [\"101\"]\n");
    let agent = house.agent();
    let mut bell = house.subscribe("engawa/test/room/101/wake");
    let mut results = house.subscribe("engawa/test/cmd/+/result");
    bell.line("engawa/test/room/101/wake {\"ringing\":false}");
    let soon = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(4)).unwrap();
    let local = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap().to_datetime(soon);
    let at = local.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let call = format!(r#"{{"key":"w","do":"wake-up","room":"101","at":"{at}"}}"#);
    house.publish("engawa/test/cmd", &call, false);
    assert!(results.line("engawa/test/cmd/w/result").contains("\"done\""));
    let rings = bell.line(&format!("engawa/test/room/101/wake {{\"at\":\"{at}\",\"id\":1"));
    assert!(rings.contains("Good morning") && rings.contains("\"ring\":1"), "{rings}");
    // `kill -9` while it rings: it is not forgotten, and not rung as a new one.
    drop(agent);
    let _agent = house.agent();
    let answered = r#"{"key":"a","do":"wake-answered","room":"101"}"#;
    // Nobody hears before it has subscribed; the key makes it happen once.
    let result = wait_for("the answer's result", || {
        house.publish("engawa/test/cmd", answered, false);
        let heard = results.lines.recv_timeout(Duration::from_millis(500)).ok();
        heard.filter(|line| line.starts_with("engawa/test/cmd/a/result"))
    });
    assert!(result.contains("\"done\""), "{result}");
    bell.line("engawa/test/room/101/wake {\"ringing\":false}");
    house.publish("engawa/test/cmd", r#"{"key":"b","do":"wake-answered","room":"101"}"#, false);
    assert!(results.line("engawa/test/cmd/b/result").contains("no wake-up call rings"));
}
