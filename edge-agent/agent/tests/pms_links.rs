//! The agent between two PMS that use the same room and reservation numbers, one of them at another character set.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::Value;
use stage::{DEADLINE, Pms, Running, engawa};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

fn configuration(dir: &Path, hotel: &TcpListener, villas: &TcpListener) -> PathBuf {
    let path = dir.join("engawa.toml");
    let text = format!(
        r#"[property]
id = "resort"
name = "Resort"
zone = "Asia/Tokyo"
currency = "JPY"
rooms = ["12", "V12"]

[climate]
comfort_c = 22.0
eco_heating_c = 17.0
eco_cooling_c = 28.0

[store]
dir = "{}"

[[pms]]
address = "{}"

[[pms]]
name = "villas"
address = "{}"
charset = "cp932"
dialect = "opera-ifc8"

[[room]]
id = "V12"
pms = "villas"
pms_room = "12"

[mqtt]
listen = "127.0.0.1:0"

[api]
listen = "127.0.0.1:0"
socket = "{}"
"#,
        dir.join("data").display(),
        hotel.local_addr().unwrap(),
        villas.local_addr().unwrap(),
        dir.join("engawa.sock").display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn wait_for(what: &str, mut there: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(is) = there() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}: {is}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn stays(config: &Path) -> Vec<(String, Vec<String>)> {
    let out = engawa(&["rooms", "--json", "--as", "test", "--reason", "test", config.to_str().unwrap()])
        .output()
        .unwrap();
    let rooms = String::from_utf8(out.stdout).unwrap();
    let of = |room: &Value| {
        let stays = room["stays"].as_array().unwrap().iter();
        let stays = stays.map(|stay| {
            format!("{} {}", stay["stay"].as_str().unwrap(), stay["name"].as_str().unwrap_or_default())
        });
        (room["room"].as_str().unwrap().to_owned(), stays.collect())
    };
    rooms.lines().map(|line| of(&serde_json::from_str::<Value>(line).unwrap())).collect()
}

#[test]
fn two_systems_with_the_same_numbers_never_meet() {
    let dir = tempfile::tempdir().unwrap();
    let (hotel, villas) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let config = configuration(dir.path(), &hotel, &villas);
    let checked = engawa(&["check", config.to_str().unwrap()]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let _agent = Running(engawa(&["run", config.to_str().unwrap()]).stderr(Stdio::null()).spawn().unwrap());

    let (mut hotel, mut villas) = (Pms::start(&hotel), Pms::start(&villas));
    hotel.hear("DR|");
    villas.hear("DR|");
    hotel.list(&[b"GI|RN12|G#1|GNSato|SF|"]);
    // In CP932 the second byte of a character of this name is the separator's code.
    villas.list(&[b"GI|RN12|G#1|GN\x83\x7C|SF|"]);
    let both =
        [("12".to_owned(), vec!["1 Sato".to_owned()]), ("V12".to_owned(), vec!["villas:1 ポ".to_owned()])];
    wait_for("a guest in each house", || match stays(&config) {
        is if is == both => Ok(()),
        is => Err(format!("{is:?}")),
    });

    // A room of the hotel is none of the villas', and its check-out is none of theirs.
    villas.say(b"GO|RNV12|G#1|GSN|");
    hotel.list(&[] as &[&str]);
    let villas_only = [("12".to_owned(), vec![]), ("V12".to_owned(), vec!["villas:1 ポ".to_owned()])];
    wait_for("the hotel's list alone to count", || match stays(&config) {
        is if is == villas_only => Ok(()),
        is => Err(format!("{is:?}")),
    });

    let status = engawa(&["status", "--json", config.to_str().unwrap()]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let links: Vec<(&str, bool)> = status["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| (link["id"].as_str().unwrap(), link["up"].as_bool().unwrap()))
        .filter(|(id, _)| id.starts_with("pms"))
        .collect();
    assert_eq!(links, [("pms", true), ("pms-villas", true)]);
    assert_eq!(status["counters"]["unknown-room"], 1, "{status}");
    drop(hotel);
    wait_for("one link down", || {
        let status = engawa(&["status", config.to_str().unwrap()]).output().unwrap();
        let text = String::from_utf8(status.stdout).unwrap();
        let line =
            |id: &str| text.lines().find(|line| line.trim_start().starts_with(id)).unwrap_or("").to_owned();
        if line("pms ").contains("DOWN") && !line("pms-villas").contains("DOWN") { Ok(()) } else { Err(text) }
    });
}
