//! Whoever uses the program for the first time: wrong arguments, empty ones, files that are not there. Each error says what
//! is wrong and how to mend it, on standard error, and the exit status is not 0.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod stage;

use stage::{House, engawa, wait_for};
use std::path::Path;

/// Runs it; the status, what it printed, and what it said.
fn run(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let out = engawa(arguments).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

fn refused(dir: &Path, arguments: &[&str], status: i32, words: &str) {
    let (code, out, err) = run(dir, arguments);
    assert_eq!((code, out.as_str()), (Some(status), ""), "{arguments:?}: {err}");
    assert!(err.contains(words), "{arguments:?}: expected `{words}` in: {err}");
    assert!(
        !err.contains("panicked") && !err.contains("Error {") && !err.contains("Os {"),
        "{arguments:?}: {err}"
    );
}

#[test]
fn what_can_not_be_meant_is_refused_with_what_to_do() {
    let house = House::new("127.0.0.1:1", "");
    let dir = house.dir.path();
    std::fs::create_dir(dir.join("folder")).unwrap();
    std::fs::write(dir.join("empty"), "").unwrap();
    let who = ["--as", "ann", "--reason", "x"];
    let guest = |words: &[&'static str]| [&["guest"], words, &who[..], &["engawa.toml"]].concat();
    for (arguments, status, words) in [
        (vec!["run", "nowhere.toml"], 2, "is the path right, and may this user read it?"),
        (vec!["check", "folder"], 2, "name the file in it"),
        (vec!["status", "engawa.toml"], 3, "is engawa running? nobody answers at /"),
        (vec!["rooms", "engawa.toml"], 1, "the agent makes it at its first start"),
        (vec!["log", "--limit", "0", "engawa.toml"], 2, "expected a number from 1"),
        (vec!["broker", "passwd", "", "engawa.toml"], 1, "there are: local"),
        (guest(&["find", "--room", ""]), 2, "it is empty"),
        (guest(&["find", "--name", " "]), 2, "it is empty"),
        (guest(&["find", "--room", "101", "--limit", "0"]), 2, "expected a number from 1"),
        (guest(&["export", ""]), 2, "it is empty"),
        (guest(&["erase", ""]), 2, "it is empty"),
        (vec!["guest", "audit", "--limit", "0", "engawa.toml"], 2, "0 is not in 1.."),
        (vec!["profile", "hear", "zigbee2mqtt-trv", "--name", ""], 2, "it is empty"),
        (vec!["devices", "scan", "--bus", "b", "--config", "engawa.toml"], 2, "has no bus `b`; it has none"),
        (vec!["rules", "test", "--day", "nowhere.jsonl"], 1, "`engawa rules days` lists them"),
        (vec!["rules", "test", "--day", "empty"], 1, "the file is empty"),
        (vec!["rules", "test", "--day", "folder"], 1, "line 1 can't be read: Is a directory (os error 21)\n"),
        (vec!["pms", "record", "new.fias", "--to", ""], 2, "it is not `host:port`"),
        (vec!["pms", "record", "new.fias", "--to", "nowhere"], 2, "expected for example `10.0.0.5:5010`"),
        (vec!["pms", "record", "new.fias", "--to", "a:1", "--listen", ""], 2, "it is not `host:port`"),
        (vec!["pms", "record", "empty", "--to", "a:1", "--listen", "127.0.0.1:0"], 2, "name a new file"),
        (vec!["pms", "record", "no/x", "--to", "a:1", "--listen", "127.0.0.1:0"], 2, "is its folder there?"),
        (vec!["pms", "explain", ""], 2, "it is empty"),
        (vec!["pms", "resync", "x", "--config", "engawa.toml"], 2, "this house has `pms`"),
        (vec!["rules", "charges", "--accept", "1", "--amount", "", "engawa.toml"], 1, "not an amount in JPY"),
    ] {
        refused(dir, &arguments, status, words);
    }
    assert!(!dir.join("new.fias").exists(), "nothing is begun before the arguments are looked at");
}

#[test]
fn what_is_not_there_is_said_to_be_missing() {
    let house = House::new("127.0.0.1:1", "");
    let agent = house.start();
    wait_for("the agent", || house.status());
    let dir = house.dir.path();
    for (arguments, status, words) in [
        (
            vec!["guest", "export", "9999", "--as", "ann", "--reason", "x", "engawa.toml"],
            1,
            "nothing is held on reservation 9999: `engawa guest find`",
        ),
        (vec!["guest", "export", "1", "--as", " ", "--reason", "x", "engawa.toml"], 2, "it is empty"),
        (vec!["backup", "folder/x.db", "engawa.toml"], 1, "folder/x.db"),
        (vec!["rules", "acknowledge", "", "engawa.toml"], 1, "no active alert"),
        (
            vec!["rules", "charges", "--accept", "7", "--amount", "5", "engawa.toml"],
            1,
            "no proposed charge 7",
        ),
        (vec!["devices", "forget", "x", "engawa.toml"], 1, "no device `x`"),
    ] {
        refused(dir, &arguments, status, words);
    }
    let (code, out, err) =
        run(dir, &["guest", "find", "--room", "999", "--as", "a", "--reason", "x", "engawa.toml"]);
    assert_eq!((code, out.as_str()), (Some(0), "nobody found\n"), "{err}");
    drop(agent);
}
