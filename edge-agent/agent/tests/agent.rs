//! The agent's program against a PMS on a real socket: what was stored outlives a `kill -9`.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

/// A running agent; killed when the test is over, however it ends.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn engawa(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
    command.args(arguments);
    command
}

fn configuration(dir: &Path, pms: &str) -> PathBuf {
    let path = dir.join("engawa.toml");
    let text = format!(
        r#"[property]
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
dir = "{}"

[pms]
address = "{pms}"
"#,
        dir.join("data").display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// The PMS's side: greets, and reads until the gateway has described itself.
fn greet(listener: &TcpListener) -> TcpStream {
    let (mut line, _) = listener.accept().unwrap();
    line.set_read_timeout(Some(DEADLINE)).unwrap();
    line.write_all(b"\x02LS|DA260715|TI101500|\x03").unwrap();
    let mut reader = BufReader::new(line.try_clone().unwrap());
    loop {
        let mut record = Vec::new();
        assert!(reader.read_until(3, &mut record).unwrap() > 0, "the gateway hung up");
        if record.starts_with(b"\x02LA|") {
            break;
        }
    }
    line.write_all(b"\x02LA|DA260715|TI101501|\x03").unwrap();
    line
}

fn rooms(config: &Path) -> String {
    let out = engawa(&["rooms", "--json", config.to_str().unwrap()]).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

fn wait_for_room(config: &Path, text: &str) {
    let start = Instant::now();
    while !rooms(config).contains(text) {
        assert!(start.elapsed() < DEADLINE, "{text} never came: {}", rooms(config));
        std::thread::yield_now();
    }
}

#[test]
fn a_stay_outlives_kill_9_and_the_list_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = configuration(dir.path(), &listener.local_addr().unwrap().to_string());
    let start = || Agent(engawa(&["run", config.to_str().unwrap()]).stderr(Stdio::null()).spawn().unwrap());

    let mut agent = start();
    let mut line = greet(&listener);
    line.write_all("\x02GI|RN101|G#4711|GNSato|GLJA|\x03".as_bytes()).unwrap();
    wait_for_room(&config, "4711");
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    assert!(rooms(&config).contains("Sato"), "the store is whole without its owner");

    let agent = start();
    let mut line = greet(&listener);
    line.write_all(b"\x02GC|RN102|G#4711|RO101|\x03").unwrap();
    wait_for_room(&config, r#""room":"101","status":null,"stays":[]"#);
    let log = engawa(&["log", "--json", config.to_str().unwrap()]).output().unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    for (kind, times) in [("checked_in", 1), ("moved", 1), ("checked_out", 0), ("started", 2)] {
        assert_eq!(log.matches(&format!(r#""kind":"{kind}""#)).count() / 2, times, "{kind} in {log}");
    }
    assert!(!log.contains("Sato"), "the journal carries no names");

    // An orderly stop says LE and waits for the answer.
    Command::new("kill").arg(agent.0.id().to_string()).status().unwrap();
    let mut rest = Vec::new();
    let mut byte = [0];
    while !rest.ends_with(b"\x02LE|") {
        line.read_exact(&mut byte).unwrap();
        rest.push(byte[0]);
    }
}

#[test]
fn a_wrong_configuration_is_told_with_its_place_and_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = configuration(dir.path(), "no-port");
    let out = engawa(&["check", path.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(text.contains("pms.address: `no-port` is not host:port"), "{text}");
    std::fs::write(&path, "[property]\nid = 5\n").unwrap();
    let out = engawa(&["check", path.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(text.contains("line 2"), "{text}");
}
