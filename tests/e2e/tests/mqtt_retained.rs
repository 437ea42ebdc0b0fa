//! What the broker keeps of the house, counted at a subscriber that is not ours: nothing is published twice without a
//! change, and nothing stays that the house no longer has.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod mqtt_stage;

use engawa_field::mqtt::{MqttConfig, MqttVersion};
use engawa_model::Fact;
use mqtt_stage::*;
use std::collections::HashMap;

const STATUS: &str = "engawa/hotel/status";
const TEMPERATURE: &str = "engawa/hotel/room/12%2F3/point/t1/temperature";

/// No topic says the same twice in a row; the mark of a survey is no state.
fn nothing_twice(seen: &[(String, String)], when: &str) {
    let mut last: HashMap<&str, &str> = HashMap::new();
    for (topic, payload) in seen.iter().filter(|(topic, _)| topic != "engawa/hotel/survey") {
        let before = last.insert(topic, payload);
        assert_ne!(before, Some(payload.as_str()), "{when}: {topic} came twice: {seen:#?}");
    }
}

async fn reports(running: &Running, broker: u16, temperature: f64) {
    let payload = format!("{{\"temp\":{temperature},\"heat\":19}}");
    publish(broker, &["-q", "1", "-t", "z2m/thermostat1", "-m", &payload]).await;
    let value = Some(engawa_model::Value::Float(temperature));
    running
        .house
        .seen("the report", |fact| matches!(fact, Fact::Reported { value: v, .. } if *v == value))
        .await;
}

async fn none_twice(version: MqttVersion) {
    let broker = free_port();
    let _mosquitto = mosquitto(broker, "").await;
    let relay = Relay::to(broker).await;
    let config = || MqttConfig { version: Some(version), ..site(relay.port) };
    let mut observer = observe(broker, "engawa/hotel/#").await;

    let running = start(config()).await;
    observer.wait(STATUS, "online", 1).await;
    reports(&running, broker, 21.5).await;
    // The same again is no change, and neither is what only the device has to know.
    reports(&running, broker, 21.5).await;

    // The line is cut: the last will, and then what differs, which is the link's own state.
    relay.cut();
    observer.wait(STATUS, "offline", 1).await;
    observer.wait(STATUS, "online", 2).await;
    nothing_twice(&observer.seen(), "after a reconnection");

    // The process is killed and started again with what is on its disk.
    let known = running.knows();
    running.kill().await;
    observer.wait(STATUS, "offline", 2).await;
    let running = begin(Start { property: known, ..Start::new(config()) }).await;
    observer.wait(STATUS, "online", 3).await;
    nothing_twice(&observer.seen(), "after a kill");

    // It is stopped in good order, and something changes while it is away.
    let mut known = running.knows();
    running.stop().await;
    observer.wait(STATUS, "offline", 3).await;
    let point = engawa_model::PointId::new("t1", "temperature");
    let at = engawa_model::Timestamp::now();
    let value = Some(engawa_model::Value::Float(23.5));
    let fact = Fact::Reported { point, value, quality: engawa_model::Quality::Good, sampled: at };
    known.apply(&engawa_model::Observation::new(at, fact));
    let running = begin(Start { property: known, ..Start::new(config()) }).await;
    observer.wait(STATUS, "online", 4).await;
    let seen = observer.seen();
    nothing_twice(&seen, "after a stop");
    let temperatures: Vec<_> = seen.iter().filter(|(topic, _)| topic == TEMPERATURE).collect();
    assert_eq!(temperatures.len(), 2, "{temperatures:#?}");
    assert!(temperatures[0].1.contains("21.5") && temperatures[1].1.contains("23.5"), "{temperatures:#?}");

    // And while everything stands still, nothing comes at all: the broker has no subscription of ours to state.
    publish(broker, &["-q", "1", "-r", "-t", "engawa/hotel/link/stranger", "-m", "x"]).await;
    observer.wait("engawa/hotel/link/stranger", "x", 1).await;
    reports(&running, broker, 24.5).await;
    running.stop().await;
    observer.wait(STATUS, "offline", 4).await;
    nothing_twice(&observer.seen(), "at the end");
}

#[tokio::test]
async fn nothing_is_published_twice_without_a_change_in_mqtt_5() {
    none_twice(MqttVersion::V5).await;
}

#[tokio::test]
async fn nothing_is_published_twice_without_a_change_in_mqtt_3_1_1() {
    none_twice(MqttVersion::V311).await;
}

#[tokio::test]
async fn what_the_house_no_longer_has_is_cleared_and_what_is_not_its_own_stays() {
    let port = free_port();
    let _mosquitto = mosquitto(port, "").await;
    let gone =
        ["engawa/hotel/device/gone/health", "engawa/hotel/room/999/state", "engawa/hotel/link/mqtt-gone"];
    let foreign = ["engawa/hotel2/device/gone/health", "engawa/hotel/notes", "homeassistant/x/config"];
    for topic in gone.iter().chain(&foreign) {
        publish(port, &["-q", "1", "-r", "-t", topic, "-m", "kept"]).await;
    }
    let mut observer = observe(port, "#").await;
    observer.wait(foreign[2], "kept", 1).await;
    let running = start(site(port)).await;
    observer.wait(STATUS, "online", 1).await;
    let seen = observer.seen();
    let last = |topic: &str| seen.iter().rfind(|(on, _)| on == topic).map(|(_, payload)| payload.as_str());
    for topic in gone {
        assert!(matches!(last(topic), Some("" | "(null)")), "{topic}: {seen:#?}");
    }
    for topic in foreign {
        assert_eq!(last(topic), Some("kept"), "{topic}");
    }
    assert!(last("engawa/hotel/room/12%2F3/state").is_some_and(|state| state.contains("occupied")));
    running.stop().await;
}

#[tokio::test]
async fn a_broker_that_lets_nobody_read_is_told_everything() {
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let acl = folder.path().join("acl");
    std::fs::write(&acl, "topic write engawa/hotel/#\nuser reader\ntopic readwrite #\n").unwrap();
    // Mosquitto reads it as the user that it becomes.
    std::os::unix::fs::chown(&acl, None, None).unwrap();
    let extra = format!("user root\nacl_file {}\n", acl.display());
    let _mosquitto = mosquitto(port, &extra).await;
    let running = start(site(port)).await;
    running.house.up().await;
    let mut reader = client("mosquitto_sub", port, &["-u", "reader", "-v", "-t", "engawa/hotel/#"]);
    let lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(reader.stdout.take().unwrap()));
    let mut reader = Subscriber { _child: reader, lines };
    reader.message(STATUS, "online").await;
    let lines = subscribe_as(port, "reader", "engawa/hotel/room/12%2F3/state");
    { lines }.message("engawa/hotel/room/12%2F3/state", "occupied").await;
    running.stop().await;
}

fn subscribe_as(port: u16, user: &str, filter: &str) -> Subscriber {
    let mut child = client("mosquitto_sub", port, &["-u", user, "-v", "-t", filter]);
    let lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    Subscriber { _child: child, lines }
}
