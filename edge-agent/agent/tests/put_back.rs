//! A backup that is put back under a running house: a charge that waited in it may have been booked since.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::{Value, json};
use stage::{House, Pms, Running, wait_for};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// What the first charge has come to.
fn state(house: &House) -> Option<Value> {
    house.status().map(|status| status["postings"][0]["state"].clone())
}

/// A charge waits for the PMS: the agent, and a backup of that moment.
fn a_backup_with_a_charge_that_waits(house: &House) -> (Running, PathBuf) {
    let agent = house.start();
    // The PMS has not answered yet: the charge waits, and so it is in the backup.
    wait_for("the agent", || house.status());
    let charge = json!({ "key": "bar-1", "do": "post", "room": "101", "stay": null,
        "amount": { "minor": 1200, "currency": "JPY" }, "text": "Bar", "outlet": null });
    let answer = house.ask(&charge);
    assert!(answer.contains(" 202 ") || answer.contains(" 200 "), "{answer}");
    wait_for("the charge", || state(house).filter(|state| state == "pending"));
    let backup = house.dir.path().join("backup.db");
    let taken = house.engawa(&["backup", backup.to_str().unwrap()]);
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    (agent, backup)
}

/// Puts the backup in the database's place.
fn put_back(house: &House, backup: &Path) {
    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(house.dir.path().join(format!("data/engawa.db{beside}")));
    }
    std::fs::copy(backup, house.dir.path().join("data/engawa.db")).unwrap();
}

#[test]
fn a_charge_of_the_time_before_ends_in_doubt_and_is_shown_to_staff() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let house = House::new(&listener.local_addr().unwrap().to_string(), "");
    let (agent, backup) = a_backup_with_a_charge_that_waits(&house);
    // It is booked after the backup.
    let mut pms = Pms::start(&listener);
    assert!(pms.hear("PS|").contains("P#1|"));
    pms.say("PA|RN101|ASOK|P#1|");
    wait_for("the booking", || state(&house).filter(|state| state == "posted"));
    drop((agent, pms));

    put_back(&house, &backup);
    let _agent = house.start();
    let mut pms = Pms::start(&listener);
    wait_for("the doubt", || state(&house).filter(|state| state == "doubtful"));
    let shown = String::from_utf8(house.engawa(&["status"]).stdout).unwrap();
    assert!(shown.contains("P# 1        room 101") && shown.contains("doubtful"), "{shown}");
    assert!(shown.contains("a backup was put back") && shown.contains("ALERT posting_doubtful:1"), "{shown}");
    let ended = house.listed(&["log", "--json"]);
    assert!(
        ended.iter().any(|row| row["kind"] == "command_ended" && row.to_string().contains("doubtful")),
        "{ended:?}"
    );
    // The next charge goes out, under a number that the PMS has not seen; the old one never does.
    house.ask(&json!({ "key": "bar-2", "do": "post", "room": "101", "stay": null,
        "amount": { "minor": 700, "currency": "JPY" }, "text": "Bar", "outlet": null }));
    let next = pms.hear("PS|");
    assert!(next.contains("P#100002|") && next.contains("TA700|"), "{next}");
}

#[test]
fn a_first_start_that_fails_does_not_have_the_charge_sent_by_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let house = House::new(&listener.local_addr().unwrap().to_string(), "[privacy]\nregister = true\n");
    let (agent, backup) = a_backup_with_a_charge_that_waits(&house);
    // Its connection waits at the listener, and must not be taken for the next one's.
    let connected = listener.accept().unwrap();
    drop((agent, connected));
    put_back(&house, &backup);
    // The store opens; what is opened after it does not.
    let (key, kept) = (house.dir.path().join("data/register.key"), house.dir.path().join("kept.key"));
    std::fs::rename(&key, &kept).unwrap();
    std::fs::create_dir(&key).unwrap();
    let failed = house.engawa(&["run"]);
    assert!(!failed.status.success());
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("register") && said.contains("begins a new epoch"), "{said}");
    std::fs::remove_dir(&key).unwrap();
    std::fs::rename(&kept, &key).unwrap();

    let _agent = house.start();
    let mut pms = Pms::start(&listener);
    wait_for("the doubt", || state(&house).filter(|state| state == "doubtful"));
    assert!(house.said().contains("ended before the house was told"), "{}", house.said());
    house.ask(&json!({ "key": "bar-2", "do": "post", "room": "101", "stay": null,
        "amount": { "minor": 700, "currency": "JPY" }, "text": "Bar", "outlet": null }));
    let next = pms.hear("PS|");
    assert!(next.contains("P#100002|") && next.contains("TA700|"), "the old one never goes out: {next}");
}
