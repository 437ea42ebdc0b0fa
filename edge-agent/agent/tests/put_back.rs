//! A backup that is put back under a running house: a charge that waited in it may have been booked since.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::json;
use stage::{House, Pms, wait_for};
use std::net::TcpListener;

#[test]
fn a_charge_of_the_time_before_ends_in_doubt_and_is_shown_to_staff() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let house = House::new(&listener.local_addr().unwrap().to_string(), "");
    let agent = house.start();
    // The PMS has not answered yet: the charge waits, and so it is in the backup.
    wait_for("the agent", || house.status());
    let charge = json!({ "key": "bar-1", "do": "post", "room": "101", "stay": null,
        "amount": { "minor": 1200, "currency": "JPY" }, "text": "Bar", "outlet": null });
    let answer = house.ask(&charge);
    assert!(answer.contains(" 202 ") || answer.contains(" 200 "), "{answer}");
    let state = || house.status().map(|status| status["postings"][0]["state"].clone());
    wait_for("the charge", || state().filter(|state| state == "pending"));
    let backup = house.dir.path().join("backup.db");
    let taken = std::process::Command::new(env!("CARGO_BIN_EXE_engawa"))
        .args(["backup", backup.to_str().unwrap(), house.config.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    // It is booked after the backup.
    let mut pms = Pms::start(&listener);
    assert!(pms.hear("PS|").contains("P#1|"));
    pms.say("PA|RN101|ASOK|P#1|");
    wait_for("the booking", || state().filter(|state| state == "posted"));
    drop((agent, pms));

    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(house.dir.path().join(format!("data/engawa.db{beside}")));
    }
    std::fs::copy(&backup, house.dir.path().join("data/engawa.db")).unwrap();
    let _agent = house.start();
    let mut pms = Pms::start(&listener);
    wait_for("the doubt", || state().filter(|state| state == "doubtful"));
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
