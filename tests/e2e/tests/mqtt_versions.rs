//! MQTT 5 and 3.1.1 against Mosquitto: which one is spoken, and what MQTT 5 adds.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod mqtt_stage;

use engawa_field::mqtt::{MqttConfig, MqttVersion, link_to};
use engawa_model::{CommandKey, Fact, Intent, PointId, Timestamp, Value};
use mqtt_stage::*;
use std::time::Duration;

async fn link_says(running: &Running, is_up: bool, words: &str) {
    let says =
        |fact: &Fact| matches!(fact, Fact::Link { up, detail, .. } if *up == is_up && detail.contains(words));
    running.house.seen(words, says).await;
}

#[tokio::test]
async fn the_newest_version_is_spoken_unless_another_is_wanted() {
    let port = free_port();
    let _mosquitto = mosquitto(port, "").await;
    for (version, words) in
        [(None, "MQTT 5"), (Some(MqttVersion::V5), "MQTT 5"), (Some(MqttVersion::V311), "MQTT 3.1.1")]
    {
        let running = start(MqttConfig { version, ..site(port) }).await;
        link_says(&running, true, words).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let passwords = folder.path().join("passwd");
    std::fs::write(&passwords, "").unwrap();
    let closed = free_port();
    let extra = format!("user root\npassword_file {}\n", passwords.display());
    let _closed = mosquitto_with(closed, &format!("allow_anonymous false\n{extra}")).await;
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let running = start(MqttConfig { version: Some(version), ..site(closed) }).await;
        link_says(&running, false, "user name or password are wrong").await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_write_carries_its_end_to_the_broker() {
    let port = free_port();
    let _mosquitto = mosquitto(port, "").await;
    let running = start(site(port)).await;
    running.house.up().await;
    let mut device =
        subscribe_with(port, &["-V", "mqttv5", "-F", "%t expires=%E %p", "-t", "z2m/thermostat1/set"]).await;
    let expires = Timestamp::now() + Duration::from_secs(90);
    let write = Intent::WritePoint {
        key: CommandKey::from("k"),
        point: PointId::new("t1", "setpoint"),
        value: Value::Float(21.0),
        expires,
    };
    running.house.writes.try_send(write).unwrap();
    let line = device.message("z2m/thermostat1/set", "heat").await;
    let seconds: u64 = line.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
    assert!((60..=90).contains(&seconds), "{line}");
    running.stop().await;
}

#[tokio::test]
async fn a_further_broker_has_devices_and_nothing_of_the_house_unless_it_is_said() {
    let port = free_port();
    let _mosquitto = mosquitto(port, "").await;
    let mut observer = observe(port, "#").await;
    let further = begin(Start { link: link_to("bms"), publish: false, ..Start::new(site(port)) }).await;
    further.house.up().await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":20.5,"heat":19}"#]).await;
    further.house.seen("the report", |fact| matches!(fact, Fact::Reported { .. })).await;
    // Commands are the house's, so they are not taken here.
    let topic = "engawa/hotel/room/12%2F3/setpoint/set";
    publish(port, &["-q", "1", "-t", topic, "-m", "22"]).await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":22.5,"heat":19}"#]).await;
    let later =
        |fact: &Fact| matches!(fact, Fact::Reported { value, .. } if *value == Some(Value::Float(22.5)));
    further.house.seen("the later report", later).await;
    assert!(!further.house.facts.borrow().iter().any(|fact| matches!(fact, Fact::Asked { .. })));
    let link = further.house.facts.borrow().iter().find_map(|fact| match fact {
        Fact::Link { link, .. } => Some(link.clone()),
        _ => None,
    });
    assert_eq!(link, Some(link_to("bms")));
    further.stop().await;
    observer.wait("z2m/thermostat1", r#"{"temp":22.5,"heat":19}"#, 1).await;
    let ours: Vec<_> =
        observer.seen().into_iter().filter(|(on, _)| on.starts_with("engawa/") && on != topic).collect();
    assert_eq!(ours, []);
}
