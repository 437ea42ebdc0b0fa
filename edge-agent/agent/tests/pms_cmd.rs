//! `engawa pms`: captures in plain words, replayed, and made. What is shown is kept as snapshots beside this file.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod stage;

use stage::{DEADLINE, Running};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pms")
}

fn engawa(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
    command.arg("pms").args(arguments).current_dir(folder()).env_remove("ENGAWA_CONFIG");
    command
}

fn run(arguments: &[&str]) -> Output {
    engawa(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_record_and_captures_in_plain_words() {
    let one = run(&["explain", "GI|RN0101|G#4711|GNSato|GA260714|GLJA|GSN|"]);
    assert_eq!(one.status.code(), Some(0));
    insta::assert_snapshot!("explain-one", text(&one.stdout));
    let day = run(&["explain", "day.fias"]);
    assert_eq!(day.status.code(), Some(1), "one of them has no room");
    insta::assert_snapshot!("explain-day", text(&day.stdout));
    let odd = run(&["explain", "odd.fias"]);
    assert_eq!(odd.status.code(), Some(1));
    insta::assert_snapshot!("explain-odd", text(&odd.stdout));
    assert!(!text(&odd.stdout).contains("4111 1111"), "a card number is shown nowhere");
}

#[test]
fn scripts_get_an_object_a_record_also_from_standard_input() {
    let mut child =
        engawa(&["explain", "--json", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"PMS> GO|RN101|GSN|\n# x\nIFC> DR|DA1|TI2|\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let lines: Vec<serde_json::Value> =
        text(&out.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["from"], &lines[0]["says"]), (&"PMS".into(), &"room 101 is vacant".into()));
    assert_eq!(lines[1]["faults"][0]["at"], 6);
}

#[test]
fn what_the_house_makes_of_a_capture() {
    let day = run(&["replay", "day.fias"]);
    assert_eq!(day.status.code(), Some(0), "{}", text(&day.stderr));
    insta::assert_snapshot!("replay-day", text(&day.stdout));
}

#[test]
fn bad_input_says_what_is_wrong_and_where() {
    for (arguments, words) in [
        (&["explain", "nowhere.fias"][..], "nowhere.fias: can't be read"),
        (&["explain", "."], "is a folder"),
        (&["explain", "not-utf-8.fias"], "byte 11 is not UTF-8"),
        (&["replay", "empty.fias"], "has no records; expected lines such as"),
        (&["replay", "day.fias", "--config", "nowhere.toml"], "nowhere.toml can't be used"),
        (&["replay", "day.fias", "--link", "villas"], "--config"),
        (&["replay", "day.fias", "--serve", "nowhere", "--speed=-1"], "expected 0 or more"),
        (&["replay", "day.fias", "--serve", "127.0.0.1:0", "--charset", "latin"], "windows-1252"),
        (&["replay", "day.fias", "--serve", "nowhere"], "can't be listened at"),
        (&["record", "--to", "127.0.0.1:1", "--listen", "127.0.0.1:0", "day.fias"], "day.fias: File exists"),
    ] {
        let out = run(arguments);
        let shown = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {shown}");
        assert!(shown.contains(words), "{arguments:?}: {shown}");
    }
}

/// A program that has said where it listens; killed when the test is over.
struct Listening {
    child: Child,
    lines: Receiver<String>,
    address: String,
}

impl Listening {
    fn start(arguments: &[&str]) -> Self {
        let mut child = engawa(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = sync_channel(1024);
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let line = lines.recv_timeout(DEADLINE).unwrap();
        let address = line.split(' ').find(|word| word.starts_with("127.")).expect("an address");
        let address = address.trim_end_matches(':').to_owned();
        Self { child, lines, address }
    }

    /// Reads lines until one holds `words`; gives all of them.
    fn until(&self, words: &str) -> String {
        let mut said = String::new();
        while !said.contains(words) {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => said += &format!("{line}\n"),
                Err(_) => panic!("waited in vain for {words:?}: {said}"),
            }
        }
        said
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until `end` has come.
fn hear(stream: &mut TcpStream, end: &str) -> String {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut heard = String::new();
    let mut buffer = [0; 1024];
    while !heard.contains(end) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed before {end:?}: {heard:?}");
        heard.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    heard
}

#[test]
fn a_capture_has_no_names_and_changes_nothing_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture.fias");
    let pms = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = pms.local_addr().unwrap().to_string();
    let tape = Listening::start(&["record", "--listen", "127.0.0.1:0", "--to", &to, file.to_str().unwrap()]);
    let mut gateway = TcpStream::connect(&tape.address).unwrap();
    let (mut pms, _) = pms.accept().unwrap();
    let greeting = "\x02LS|DA260715|TI101500|\x03";
    let guests = "\x02GI|RN101|G#4711|GNNakamura|GFHanako|A01980-02-29|GSN|\x03\x02GC|RN102|G#4711|GNNAKAMURA|RO101|\x03";
    pms.write_all(greeting.as_bytes()).unwrap();
    assert_eq!(hear(&mut gateway, "\x03"), greeting);
    pms.write_all(guests.as_bytes()).unwrap();
    assert_eq!(hear(&mut gateway, "RO101|\x03"), guests);
    let charge = "\x02PS|RN102|G#4711|PTC|TA500|CTfor Nakamura|P#1|\x03";
    gateway.write_all(charge.as_bytes()).unwrap();
    assert_eq!(hear(&mut pms, "\x03"), charge);
    // A `|` was lost behind the room, and names are where they do not belong.
    let broken =
        "\x02GI|RN101 WWNakamura|G#Hanako|GLHanako|GSN|\x03\x02GI|RN1 WWNAME|G#4711 GNHanako|Nakamura|\x03";
    pms.write_all(broken.as_bytes()).unwrap();
    assert_eq!(hear(&mut gateway, "|Nakamura|\x03"), broken);
    gateway.write_all(b"\x02never ended\x02?\x03").unwrap();
    hear(&mut pms, "?\x03");
    drop(gateway);
    let begun = Instant::now();
    let capture = loop {
        let capture = std::fs::read_to_string(&file).unwrap();
        if capture.contains("closed the connection") {
            break capture;
        }
        assert!(begun.elapsed() < DEADLINE, "{capture}");
        std::thread::yield_now();
    };
    for secret in ["akamura", "AKAMURA", "Hanako", "1980", "WWNA", "NAME", "|Na"] {
        assert!(!capture.contains(secret), "{capture}");
    }
    for kept in [
        "PMS> LS|DA260715|TI101500|",
        "PMS> GI|RN101|G#4711|GN~",
        "PMS> GI|RN~",
        "IFC> PS|RN102|G#4711|PTC|TA500|CT~",
        "# IFC> a torn record",
        "# IFC> 1 bytes that are no record",
    ] {
        assert!(capture.contains(kept), "{kept}: {capture}");
    }
    let name = |record: &str| {
        let after = capture.split(record).nth(1).unwrap().split("|GN").nth(1).unwrap();
        after.split('|').next().unwrap().to_owned()
    };
    assert_eq!(name("PMS> GI"), name("PMS> GC"), "one guest has one pseudonym");
    // What was captured can be replayed and explained.
    let replayed = text(&run(&["replay", file.to_str().unwrap()]).stdout);
    assert!(replayed.contains("move: stay 4711 from room 101 to room 102"), "{replayed}");
}

#[test]
fn a_capture_plays_the_pms_for_a_running_agent() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Listening::start(&["replay", "day.fias", "--serve", "127.0.0.1:0", "--speed", "0"]);
    let config = dir.path().join("engawa.toml");
    let written = format!(
        "[property]\nid = 't'\nname = 'T'\nzone = 'Europe/Berlin'\ncurrency = 'EUR'\nrooms = ['101', '102', '103']\n\
         [climate]\ncomfort_c = 22\neco_heating_c = 18\neco_cooling_c = 26\n[store]\ndir = 'data'\n\
         [pms]\naddress = '{}'\n[mqtt]\nlisten = '127.0.0.1:0'\n[api]\nlisten = '127.0.0.1:0'\nsocket = '{}'\n",
        stage.address,
        dir.path().join("engawa.sock").display()
    );
    std::fs::write(&config, written).unwrap();
    let agent = Command::new(env!("CARGO_BIN_EXE_engawa"))
        .args(["run", config.to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut agent = Running(agent);
    let said = stage.until("all 12 records are played");
    assert!(said.contains("IFC> DR|") && said.contains("asks for the list of the house"), "{said}");
    let begun = Instant::now();
    loop {
        let listed = Command::new(env!("CARGO_BIN_EXE_engawa"))
            .args(["rooms", "--json", config.to_str().unwrap()])
            .output()
            .unwrap();
        let rooms: Vec<serde_json::Value> =
            text(&listed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let stays: Vec<(String, usize)> = rooms
            .iter()
            .map(|room| (room["room"].as_str().unwrap().to_owned(), room["stays"].as_array().unwrap().len()))
            .collect();
        if stays == [("101".to_owned(), 0), ("102".to_owned(), 1), ("103".to_owned(), 1)] {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{stays:?}");
        std::thread::yield_now();
    }
    let stopped = Command::new("kill").args(["-TERM", &agent.0.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    agent.0.wait().unwrap();
    stage.until("the gateway has said good-bye");
    assert!(stage.child.wait().unwrap().success());
}

#[test]
fn what_happens_at_the_desk_is_told_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("engawa.toml");
    // Rooms with numbers of their own: the PMS's 777 is not one of them.
    let text_of_file = "[property]\nid = 'grand'\nname = 'Grand'\nzone = 'UTC'\ncurrency = 'EUR'\nrooms = ['101']\n\
        [climate]\ncomfort_c = 22\neco_heating_c = 18\neco_cooling_c = 26\n[store]\ndir = 'data'\n\
        [pms]\naddress = 'pms:1'\nuses = ['guests', 'keys']\nencoders = ['1']\n[[room]]\nid = '101'\npms_room = '101'\n";
    std::fs::write(&config, text_of_file).unwrap();
    let out = run(&["replay", "--config", config.to_str().unwrap(), "desk.fias"]);
    let said = text(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{said}{}", text(&out.stderr));
    for words in [
        "a key is wanted (new) for room 101 at encoder 1",
        "key for room 101 at encoder 1: not made, the encoder is busy or does not answer (BY)",
        "key for room 777 (not a room of this house) at encoder 1: not made",
        "the house has no room 777",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    assert!(!said.contains("pms:777") && !said.contains('{'), "{said}");
}
