//! The gateway's own broker denies by default, tried with clients that are not ours: a device has its own topics, a
//! user what it is given, and who is not known nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod mqtt_stage;

use engawa_field::mqtt::{Allowed, Grant, User};
use engawa_model::Fact;
use mqtt_stage::*;
use std::path::Path;
use tokio::time::timeout;

fn user(folder: &Path, name: &str, grant: Grant) -> User {
    let password_file = folder.join(name);
    std::fs::write(&password_file, format!("{name}-secret\n")).unwrap();
    User { name: name.to_owned(), grant, password_file }
}

/// What `mosquitto_pub` says of a publication, and whether it succeeds.
async fn published(port: u16, user: &str, topic: &str) -> (bool, String) {
    let password = format!("{user}-secret");
    let args = ["-V", "mqttv5", "-u", user, "-P", &password, "-q", "1", "-t", topic, "-m", r#"{"temp":30}"#];
    let out = timeout(PATIENCE, start_publishing(port, &args).wait_with_output()).await.unwrap().unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stderr).to_lowercase())
}

/// Whether a subscription is granted.
async fn may_subscribe(port: u16, user: &str, filter: &str) -> bool {
    let password = format!("{user}-secret");
    let args = ["-V", "mqttv5", "-d", "-u", user, "-P", &password, "-q", "1", "-t", filter];
    let mut child = client("mosquitto_sub", port, &args);
    let lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let mut subscriber = Subscriber { _child: child, lines };
    let said = subscriber.line("an answer", |line| line.starts_with("Subscribed")).await;
    !said.contains("135") && !said.contains("128")
}

#[tokio::test]
async fn everybody_has_what_they_are_given_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let users = vec![
        user(folder.path(), "t1", Grant::Device("t1".into())),
        user(folder.path(), "panel", Grant::Allowed(vec![Allowed::Read])),
        user(folder.path(), "till", Grant::Allowed(vec![Allowed::Command])),
        user(folder.path(), "bridge", Grant::Allowed(vec![Allowed::Devices])),
    ];
    let running = begin(Start { users, ..Start::new(own()) }).await;
    running.house.up().await;
    let port = running.port;
    let set = "engawa/hotel/room/12%2F3/setpoint/set";

    let everywhere = [
        "z2m/thermostat1",
        "z2m/thermostat1/set",
        "z2m/other",
        set,
        "engawa/hotel/cmd",
        "engawa/hotel/status",
        "elsewhere",
    ];
    for (name, allowed) in [
        ("t1", &["z2m/thermostat1"][..]),
        ("panel", &[]),
        ("till", &[set, "engawa/hotel/cmd"]),
        ("bridge", &["z2m/thermostat1"]),
    ] {
        for topic in everywhere {
            let (_, said) = published(port, name, topic).await;
            let denied = said.contains("not authori");
            assert_eq!(!denied, allowed.contains(&topic), "{name} publishes to {topic}: {said}");
        }
    }
    let filters =
        ["#", "engawa/hotel/#", "engawa/hotel/cmd/k/result", "z2m/thermostat1/set", "z2m/+/set", "z2m/#"];
    for (name, allowed) in [
        ("t1", &["z2m/thermostat1/set"][..]),
        ("panel", &["engawa/hotel/#", "engawa/hotel/cmd/k/result"]),
        ("till", &["engawa/hotel/cmd/k/result"]),
        ("bridge", &["z2m/thermostat1/set"]),
    ] {
        for filter in filters {
            assert_eq!(
                may_subscribe(port, name, filter).await,
                allowed.contains(&filter),
                "{name} hears {filter}"
            );
        }
    }

    // Nobody, somebody unknown, and a wrong password; and one who speaks as the house.
    let none: &[&str] = &[];
    for stranger in [none, &["-u", "t1"], &["-u", "t1", "-P", "wrong"], &["-u", "x", "-P", "t1-secret"]] {
        let mut child = tokio::process::Command::new("mosquitto_pub");
        child.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "z2m/thermostat1", "-m", "x"]);
        let out = timeout(PATIENCE, child.args(stranger).output()).await.unwrap().unwrap();
        assert!(!out.status.success(), "{stranger:?} is let in");
    }
    // Nobody is thrown out by another user that takes its client id.
    let listening =
        ["-V", "mqttv5", "-d", "-u", "panel", "-P", "panel-secret", "-i", "p1", "-t", "engawa/hotel/#"];
    let mut child = client("mosquitto_sub", port, &listening);
    let lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let mut panel = Subscriber { _child: child, lines };
    panel.line("a subscription", |line| line.starts_with("Subscribed")).await;
    let args = [
        "-V",
        "mqttv5",
        "-u",
        "t1",
        "-P",
        "t1-secret",
        "-i",
        "p1",
        "-q",
        "1",
        "-t",
        "z2m/thermostat1",
        "-m",
        "{}",
    ];
    let thief = timeout(PATIENCE, start_publishing(port, &args).wait_with_output()).await.unwrap().unwrap();
    assert!(!thief.status.success(), "another's client id is taken");
    let last = ["-V", "mqttv5", "-u", "bridge", "-P", "bridge-secret", "-q", "1", "-t", "z2m/thermostat1"];
    let told: Vec<&str> = last.into_iter().chain(["-m", r#"{"temp":19.5}"#]).collect();
    let out = timeout(PATIENCE, start_publishing(port, &told).wait_with_output()).await.unwrap().unwrap();
    assert!(out.status.success());
    panel.line("the house, still", |line| line.contains("19.5") || line.contains("temperature")).await;

    // A new password is valid at once, and the old one no more.
    std::fs::write(folder.path().join("t1"), "another").unwrap();
    assert!(!published(port, "t1", "z2m/thermostat1").await.0);
    let asked = running.house.facts.borrow().iter().filter(|fact| matches!(fact, Fact::Asked { .. })).count();
    assert_eq!(asked, 0, "`temp` is no command, whoever may give one");
    running.stop().await;
}
