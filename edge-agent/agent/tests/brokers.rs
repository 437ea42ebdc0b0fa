//! The agent at several brokers of Mosquitto: each has what the configuration gives it, and one that is down
//! disturbs no other.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::Value;
use stage::{Running, engawa, free_port, mosquitto, wait_for};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn configuration(dir: &Path, main: u16, building: u16, energy: u16) -> PathBuf {
    let profiles = dir.join("profiles");
    std::fs::create_dir_all(&profiles).unwrap();
    std::fs::write(
        profiles.join("sensor.toml"),
        r#"[profile]
name = "sensor"
make = "Nobody"
model = "S1"
kind = "sensors"
protocol = "mqtt"
sources = ["this test"]

[mqtt]
status_topic = "sensors/{device}"

[[mqtt.points]]
name = "temperature"
role = "room-temperature"
pointer = "/t"
kind = "float"
"#,
    )
    .unwrap();
    let path = dir.join("engawa.toml");
    let text = format!(
        r#"profiles = "profiles"

[property]
id = "test"
name = "Test"
zone = "Asia/Tokyo"
currency = "JPY"
rooms = ["101", "102"]

[climate]
comfort_c = 22.0
eco_heating_c = 17.0
eco_cooling_c = 28.0

[store]
dir = "data"

[mqtt]
broker = "mqtt://127.0.0.1:{main}"

[[broker]]
id = "building"
url = "mqtt://127.0.0.1:{building}"
publish = true

[[broker]]
id = "energy"
url = "mqtt://127.0.0.1:{energy}"
version = "3.1.1"

[[device]]
id = "s101"
room = "101"
profile = "sensor"

[[device]]
id = "s102"
room = "102"
profile = "sensor"
broker = "energy"

[api]
listen = "127.0.0.1:0"
socket = "{}"
"#,
        dir.join("engawa.sock").display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Whether the link is up, and its detail.
fn link(config: &Path, id: &str) -> Option<(bool, String)> {
    let out = engawa(&["status", "--json", config.to_str().unwrap()]).output().unwrap();
    let status: Value = serde_json::from_slice(&out.stdout).ok()?;
    let link = status["links"].as_array()?.iter().find(|link| link["id"] == id)?.clone();
    Some((link["up"].as_bool()?, link["detail"].as_str().unwrap_or_default().to_owned()))
}

fn up(config: &Path, id: &str, wanted: bool) -> String {
    wait_for(&format!("{id} {wanted}"), || link(config, id).filter(|(up, _)| *up == wanted)).1
}

/// The retained messages there, one a line.
fn kept(port: u16) -> String {
    let port = port.to_string();
    let arguments = ["-p", &port, "-t", "engawa/#", "-v", "-W", "1", "--retained-only"];
    let out = Command::new("mosquitto_sub").args(arguments).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

fn publish(port: u16, topic: &str, payload: &str) {
    let port = port.to_string();
    let arguments = ["-p", &port, "-q", "1", "-t", topic, "-m", payload];
    assert!(Command::new("mosquitto_pub").args(arguments).status().unwrap().success());
}

#[test]
fn each_broker_has_its_own_and_one_that_is_down_disturbs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (main, building, energy) = (free_port(), free_port(), free_port());
    let config = configuration(dir.path(), main, building, energy);
    let (_main, second, _energy) =
        (mosquitto(dir.path(), main), mosquitto(dir.path(), building), mosquitto(dir.path(), energy));
    let run = |config: &Path| engawa(&["run", config.to_str().unwrap()]).stderr(Stdio::null()).spawn();
    let _agent = Running(run(&config).unwrap());
    assert!(up(&config, "mqtt", true).contains("MQTT 5"));
    assert!(up(&config, "mqtt-building", true).contains(&building.to_string()));
    assert!(up(&config, "mqtt-energy", true).contains("MQTT 3.1.1"));

    publish(main, "sensors/s101", r#"{"t":20.5}"#);
    publish(energy, "sensors/s102", r#"{"t":21.5}"#);
    // Not this device's broker.
    publish(main, "sensors/s102", r#"{"t":99.5}"#);
    for port in [main, building] {
        let text = wait_for("both values", || {
            Some(kept(port)).filter(|text| text.contains("21.5") && text.contains("20.5"))
        });
        assert!(!text.contains("99.5") && text.contains("engawa/test/status online"), "{text}");
    }
    assert_eq!(kept(energy), "", "nothing of the house goes there");

    drop(second);
    assert!(up(&config, "mqtt-building", false).contains("127.0.0.1"));
    publish(energy, "sensors/s102", r#"{"t":18.5}"#);
    wait_for("the value at the main broker", || kept(main).contains("18.5").then_some(()));
    assert!(link(&config, "mqtt").unwrap().0 && link(&config, "mqtt-energy").unwrap().0);
    let _second = mosquitto(dir.path(), building);
    up(&config, "mqtt-building", true);
    wait_for("the picture at the broker that was down", || kept(building).contains("18.5").then_some(()));
}

/// A house with a thermostat that never answers, so that a command to it ends by its time only.
fn deaf_thermostat(dir: &Path, port: u16) -> PathBuf {
    let path = configuration(dir, port, port, port);
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, _) = text.split_once("[[broker]]").unwrap();
    let (_, api) = text.split_once("[api]").unwrap();
    let device = "[[device]]\nid = \"t101\"\nroom = \"101\"\nprofile = \"thermostat\"\n";
    std::fs::write(&path, format!("{head}{device}\n[api]{api}")).unwrap();
    let profile = std::fs::read_to_string(dir.join("profiles/sensor.toml")).unwrap();
    let profile = profile.replace("sensor\"", "thermostat\"").replace("room-temperature", "climate-setpoint");
    let command = "command_topic = \"sensors/{device}/set\"\n";
    std::fs::write(dir.join("profiles/thermostat.toml"), profile + command).unwrap();
    path
}

#[test]
fn an_answer_outlives_kill_9_and_a_broker_that_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = deaf_thermostat(dir.path(), port);
    let broker = mosquitto(dir.path(), port);
    let start = || Running(engawa(&["run", config.to_str().unwrap()]).stderr(Stdio::null()).spawn().unwrap());
    let mut agent = start();
    up(&config, "mqtt", true);
    let expires = (std::time::SystemTime::now() + Duration::from_secs(4))
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let expires = jiff::Timestamp::from_second(i64::try_from(expires).unwrap()).unwrap();
    let command = format!(r#"{{"value":22.5,"key":"late","expires":"{expires}"}}"#);
    publish(port, "engawa/test/room/101/setpoint/set", &command);
    let logged = |kind: &str| {
        wait_for(kind, || {
            let out = engawa(&["log", "--json", config.to_str().unwrap()]).output().unwrap();
            String::from_utf8(out.stdout).unwrap().contains(kind).then_some(())
        })
    };
    logged("command_accepted");
    drop(broker);
    up(&config, "mqtt", false);
    // It ends while nobody can be told; then the agent is killed.
    logged("command_ended");
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();

    let _broker = mosquitto(dir.path(), port);
    let mut listener = Command::new("stdbuf");
    listener.args(["-oL", "mosquitto_sub", "-p", &port.to_string(), "-q", "1", "-v", "-W", "60"]);
    listener.args(["-t", "engawa/test/cmd/+/result", "-t", "engawa/test/status", "-d"]);
    let mut listener = Running(listener.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(listener.0.stdout.take().unwrap()))
        .map(Result::unwrap)
        .filter(|line| !line.starts_with("Client"));
    assert!(lines.next().unwrap().starts_with("Subscribed"));
    let mut agent = start();
    let mut said = Vec::new();
    while !said.iter().any(|line: &String| line.contains("online"))
        || !said.iter().any(|line| line.contains("result"))
    {
        said.push(lines.next().unwrap());
    }
    let answer = said.iter().find(|line| line.contains("/result")).unwrap();
    assert!(answer.contains(r#""key":"late""#) && answer.contains("expired"), "{answer}");

    // What was acknowledged is not told again.
    Command::new("kill").arg(agent.0.id().to_string()).status().unwrap();
    agent.0.wait().unwrap();
    assert!(lines.next().unwrap().ends_with("offline"));
    let _agent = start();
    assert!(lines.next().unwrap().ends_with("online"));
    publish(port, "engawa/test/cmd", r#"{"key":"last","do":"resync"}"#);
    let next = lines.next().unwrap();
    assert!(next.contains("cmd/last/result"), "{next}");
}
