//! The MQTT side against programs that are not ours: Mosquitto's broker and its command-line clients, with
//! the site's broker and with the gateway's own.
//!
//! Why: what a PUBACK means, what a broker keeps for a client that is away, and when a last will comes, is
//! decided by the other end. Needs `mosquitto` and `mosquitto-clients` (Debian package names).
//!
//! Never sleeps to wait: each wait is for a condition, with [`PATIENCE`] as its deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod mqtt_stage;

use engawa_field::mqtt::MqttConfig;
use engawa_model::{Fact, Value};
use mqtt_stage::*;
use std::time::Duration;
use tokio::time::timeout;

/// From the house to a subscriber, from a commander to the device, and from the device back.
async fn whole_circle(config: MqttConfig) {
    let running = start(config).await;
    running.house.up().await;
    let port = running.port;
    let mut house = subscribe(port, "engawa/hotel/#").await;
    let mut device = subscribe(port, "z2m/thermostat1/set").await;
    house.message("engawa/hotel/status", "online").await;

    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":21.5,"heat":19}"#]).await;
    running
        .house
        .seen("the temperature", |fact| {
            matches!(fact, Fact::Reported { point, value, .. }
                if &*point.point == "temperature" && *value == Some(Value::Float(21.5)))
        })
        .await;
    let state = house.message("engawa/hotel/room/12%2F3/point/t1/temperature", "21.5").await;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(
        (&state["value"], &state["quality"], &state["unit"]),
        (&21.5.into(), &"good".into(), &"Cel".into())
    );
    house.message("engawa/hotel/device/t1/health", "well").await;

    let set = "engawa/hotel/room/12%2F3/setpoint/set";
    publish(port, &["-q", "1", "-t", set, "-m", r#"{"value":22.5,"key":"panel/1"}"#]).await;
    running.house.seen("the command", |fact| matches!(fact, Fact::Asked { .. })).await;
    assert_eq!(device.message("z2m/thermostat1/set", "heat").await, r#"{"heat":22.5}"#);
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":21.5,"heat":22.5}"#]).await;
    running.house.seen("the outcome", |fact| matches!(fact, Fact::Written { .. })).await;
    house.message("engawa/hotel/cmd/panel%2F1/result", r#""outcome":"done""#).await;
    let room = subscribe(port, "engawa/hotel/room/12%2F3/state").await;
    let room = { room }.message("engawa/hotel/room/12%2F3/state", "22.5").await;
    let room: serde_json::Value = serde_json::from_str(&room).unwrap();
    assert_eq!(room["climate"], serde_json::json!({ "temperature": 21.5, "setpoint": 22.5 }));

    publish(port, &["-q", "1", "-t", set, "-m", "warm"]).await;
    house.message("engawa/hotel/cmd/error", "expected a number").await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", "warm"]).await;
    house.message("engawa/hotel/device/t1/health", "not JSON").await;
    publish(port, &["-q", "1", "-t", set, "-m", "21"]).await;
    assert_eq!(device.message("z2m/thermostat1/set", "heat").await, r#"{"heat":21.0}"#);
    running.stop().await;
}

#[tokio::test]
async fn the_house_and_its_devices_meet_at_mosquitto() {
    let port = free_port();
    let _broker = mosquitto(port, "").await;
    whole_circle(site(port)).await;
}

#[tokio::test]
async fn the_house_and_its_devices_meet_at_the_gateways_own_broker() {
    whole_circle(own()).await;
}

#[tokio::test]
async fn the_own_broker_acknowledges_what_is_durable_and_nothing_else() {
    let running = start(own()).await;
    running.house.up().await;
    for (version, temperature) in [("mqttv311", 20.5), ("mqttv5", 21.5)] {
        running.house.durable.send_replace(false);
        let payload = format!("{{\"temp\":{temperature}}}");
        let args = ["-V", version, "-q", "1", "-t", "z2m/thermostat1", "-m", &payload];
        let mut publishing = start_publishing(running.port, &args);
        let came = |fact: &Fact| matches!(fact, Fact::Reported { value, .. } if *value == Some(Value::Float(temperature)));
        running.house.seen("the report", came).await;
        // The broker is not stuck: others are served meanwhile, to the end.
        subscribe(running.port, "engawa/hotel/#").await.message("engawa/hotel/status", "online").await;
        assert!(publishing.try_wait().unwrap().is_none(), "{version}: acknowledged before it was durable");
        running.house.durable.send_replace(true);
        assert!(timeout(PATIENCE, publishing.wait()).await.unwrap().unwrap().success());
    }
    // What is at the door when the house stops is not acknowledged at all.
    running.house.durable.send_replace(false);
    let args = ["-q", "1", "-t", "engawa/hotel/cmd", "-m", r#"{"key":"late","do":"resync"}"#];
    let mut publishing = start_publishing(running.port, &args);
    running.house.seen("the command", |fact| matches!(fact, Fact::Asked { .. })).await;
    running.stop().await;
    let ended = timeout(Duration::from_millis(300), publishing.wait()).await;
    assert!(ended.is_err() || !ended.unwrap().unwrap().success(), "acknowledged by a house that has stopped");
}

#[tokio::test]
async fn a_message_that_was_not_durable_comes_again_after_a_crash() {
    let port = free_port();
    let _broker = mosquitto(port, "").await;
    let first = start(site(port)).await;
    first.house.up().await;
    first.house.durable.send_replace(false);
    let payload = r#"{"key":"once","do":"resync"}"#;
    publish(port, &["-q", "1", "-t", "engawa/hotel/cmd", "-m", payload]).await;
    let came = |fact: &Fact| matches!(fact, Fact::Asked { command } if command.key.as_str() == "once");
    first.house.seen("the command", came).await;
    first.kill().await;
    // The one sent while nobody is there is kept as well.
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":18.5}"#]).await;

    let second = start(site(port)).await;
    second.house.seen("the command again", came).await;
    second
        .house
        .seen("the report", |fact| matches!(fact, Fact::Reported { value: Some(Value::Float(18.5)), .. }))
        .await;
    second.stop().await;
    // Acknowledged now: a third start does not get it again, but what is published after it.
    let third = start(site(port)).await;
    third.house.up().await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":18.5}"#]).await;
    third.house.seen("the report", |fact| matches!(fact, Fact::Reported { .. })).await;
    assert!(!third.house.facts.borrow().iter().any(came));
    third.stop().await;
}

#[tokio::test]
async fn birth_and_last_will_tell_whether_the_house_is_there() {
    let port = free_port();
    let _broker = mosquitto(port, "").await;
    let mut status = subscribe(port, "engawa/hotel/status").await;
    let running = start(site(port)).await;
    status.message("engawa/hotel/status", "online").await;
    running.kill().await;
    status.message("engawa/hotel/status", "offline").await;
    let running = start(site(port)).await;
    status.message("engawa/hotel/status", "online").await;
    running.stop().await;
    status.message("engawa/hotel/status", "offline").await;
    // Both are kept for those who come later.
    subscribe(port, "engawa/hotel/status").await.message("engawa/hotel/status", "offline").await;
}

#[tokio::test]
async fn after_a_restart_of_the_broker_everything_is_there_again() {
    let port = free_port();
    let broker = mosquitto(port, "").await;
    let running = start(site(port)).await;
    running.house.up().await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":20.5}"#]).await;
    running.house.seen("the report", |fact| matches!(fact, Fact::Reported { .. })).await;
    drop(broker);
    running.house.seen("the link's end", |fact| matches!(fact, Fact::Link { up: false, .. })).await;
    running.house.facts.send_modify(Vec::clear);
    let _broker = mosquitto(port, "").await;
    running.house.up().await;
    let mut house = subscribe(port, "engawa/hotel/#").await;
    house.message("engawa/hotel/room/12%2F3/point/t1/temperature", "20.5").await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":23.5}"#]).await;
    house.message("engawa/hotel/room/12%2F3/point/t1/temperature", "23.5").await;
    running.stop().await;
}

#[tokio::test]
async fn tls_is_checked_against_the_given_authority() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let stranger = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap();
    std::fs::write(path("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(path("other.pem"), stranger.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let port = free_port();
    let extra = format!("certfile {}\nkeyfile {}\n", path("cert.pem").display(), path("key.pem").display());
    let _broker = mosquitto(port, &extra).await;
    let broker = Some(format!("mqtts://localhost:{port}"));
    let config =
        |ca: &str| MqttConfig { broker: broker.clone(), ca_file: Some(path(ca)), ..MqttConfig::default() };

    let running = start(config("cert.pem")).await;
    running.house.up().await;
    running.stop().await;
    let refused = start(config("other.pem")).await;
    refused
        .house
        .seen(
            "the refusal",
            |fact| matches!(fact, Fact::Link { up: false, detail, .. } if detail.contains("ertificate")),
        )
        .await;
    refused.stop().await;
}
