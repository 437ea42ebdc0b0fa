//! `engawa profile`: what it lists, what it says of broken profiles, and what it finds on live devices.
//! The reports are kept as snapshots beside this file.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/profiles")
}

fn engawa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engawa"))
        .arg("profile")
        .args(arguments)
        .current_dir(folder())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_broken_profile_has_one_clear_report() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 10);
    for file in files {
        let output = engawa(&["check", &file]);
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{file}: {shown}");
        assert!(output.stdout.is_empty(), "{file}");
        assert!(shown.contains(&format!("--> {file}:")), "{file} has no places: {shown}");
        insta::assert_snapshot!(file.trim_end_matches(".toml").to_owned(), shown);
    }
}

#[test]
fn profiles_are_listed_and_shown() {
    let listed = text(&engawa(&["list"]).stdout);
    let lines = text(&engawa(&["list", "--json"]).stdout);
    assert_eq!(listed.lines().count(), lines.lines().count());
    for line in lines.lines() {
        let profile: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = profile["name"].as_str().unwrap();
        assert!(profile["points"].as_u64().unwrap() > 0, "{name}");
        assert!(listed.contains(name), "{listed}");
        let output = engawa(&["show", name]);
        // What is shown is a profile, as good as the one that is built in.
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), &output.stdout).unwrap();
        let checked = engawa(&["check", file.path().to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
        assert!(text(&checked.stdout).contains(name));
    }
    let unknown = engawa(&["show", "siemens-rdf303"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("is `siemens-rdf302` meant?"), "{}", text(&unknown.stderr));
    let missing = engawa(&["check", "nowhere.toml"]);
    assert!(text(&missing.stderr).contains("can't be read"), "{}", text(&missing.stderr));
}

#[test]
fn the_schema_is_the_published_one() {
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../field/profiles/profile.schema.json");
    assert!(
        text(&engawa(&["schema"]).stdout) == std::fs::read_to_string(published).unwrap(),
        "edge-agent/field/profiles/profile.schema.json is out of date: renew it with `engawa profile schema`"
    );
}

/// What a device holds: (function, address) to word; and what it says of itself.
struct Device {
    words: BTreeMap<(u8, u16), u16>,
    identity: Option<[&'static str; 3]>,
}

/// A Modbus TCP server on a free port, that answers one connection after another until the test ends.
fn device(device: Device) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let _ = serve(stream, &device);
        }
    });
    address
}

fn serve(mut stream: TcpStream, device: &Device) -> std::io::Result<()> {
    loop {
        let mut head = [0_u8; 7];
        stream.read_exact(&mut head)?;
        let mut pdu = vec![0_u8; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        stream.read_exact(&mut pdu)?;
        let answer = if pdu[0] == 0x2B { identity(device) } else { registers(device, &pdu) };
        let length = u16::try_from(answer.len() + 1).unwrap();
        let mut frame = head[..4].to_vec();
        frame.extend(length.to_be_bytes());
        frame.push(head[6]);
        frame.extend(answer);
        stream.write_all(&frame)?;
    }
}

fn registers(device: &Device, pdu: &[u8]) -> Vec<u8> {
    let (first, count) = (u16::from_be_bytes([pdu[1], pdu[2]]), u16::from_be_bytes([pdu[3], pdu[4]]));
    let words: Option<Vec<u16>> =
        (first..first + count).map(|at| device.words.get(&(pdu[0], at)).copied()).collect();
    match words {
        None => vec![pdu[0] | 0x80, 2],
        Some(words) if pdu[0] <= 2 => vec![pdu[0], 1, u8::try_from(words[0]).unwrap()],
        Some(words) => {
            let mut answer = vec![pdu[0], u8::try_from(words.len() * 2).unwrap()];
            answer.extend(words.into_iter().flat_map(u16::to_be_bytes));
            answer
        }
    }
}

fn identity(device: &Device) -> Vec<u8> {
    let Some(texts) = device.identity else { return vec![0xAB, 1] };
    let mut answer = vec![0x2B, 0x0E, 1, 1, 0, 0, 3];
    for (id, text) in texts.iter().enumerate() {
        answer.extend([u8::try_from(id).unwrap(), u8::try_from(text.len()).unwrap()]);
        answer.extend(text.bytes());
    }
    answer
}

const METER: &str = r#"
[profile]
name = "meter"
make = "Test"
model = "Meter"
kind = "meter"
protocol = "modbus"
sources = ["this test"]
[modbus]
notation = "five-digit"
[modbus.identity]
table = "holding"
address = 40001
expect = [131]
device_id = { vendor = "Engawa", product = "EM" }
[[modbus.points]]
name = "energy"
unit = "kW.h"
table = "holding"
address = 40011
type = "u64"
order = "cdab"
scale = "1/1000"
[[modbus.points]]
name = "temperature"
unit = "Cel"
table = "input"
address = 30001
type = "s16"
scale = "1/10"
valid = { min = -40.0, max = 80.0 }
[[modbus.points]]
name = "missing_sensor"
unit = "Cel"
table = "input"
address = 30002
type = "s16"
invalid = [0x7FFF]
[[modbus.points]]
name = "label"
table = "holding"
address = 40021
type = "ascii"
length = 3
[[modbus.points]]
name = "relay"
table = "coil"
address = 1
type = "bool"
names = { open = 0, closed = 1 }
"#;

fn meter() -> Device {
    let words = [
        ((3, 0), 131),
        ((3, 10), 0xD687),
        ((3, 11), 0x0012),
        ((3, 12), 0),
        ((3, 13), 0),
        ((4, 0), 0xFFCE),
        ((4, 1), 0x7FFF),
        ((3, 20), 0x526F),
        ((3, 21), 0x6F6D),
        ((3, 22), 0),
        ((1, 0), 1),
    ];
    Device { words: words.into(), identity: Some(["Engawa Works", "EM-3", "V1.2"]) }
}

fn tested(server: SocketAddr, more: &[&str]) -> (Option<i32>, String, String) {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), METER).unwrap();
    let server = server.to_string();
    let mut arguments = vec!["test", file.path().to_str().unwrap(), "--tcp", &server];
    arguments.extend(more);
    let output = engawa(&arguments);
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_live_device_that_fits_is_told_point_by_point() {
    let (status, shown, complaints) = tested(device(meter()), &["--unit", "7"]);
    assert_eq!(status, Some(0), "{shown}{complaints}");
    insta::assert_snapshot!("live", shown);
    let (status, lines, _) = tested(device(meter()), &["--json"]);
    assert_eq!(status, Some(0));
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2 + 5, "two identities and five points");
    assert_eq!(lines[2]["value"], 1_234.567);
    assert_eq!(lines[2]["raw"], serde_json::json!([0xD687, 0x12, 0, 0]));
    assert_eq!(lines[6]["value"], "closed");
}

#[test]
fn what_does_not_fit_is_named_and_the_status_says_so() {
    let mut other = meter();
    other.words.insert((3, 0), 132);
    other.words.insert((4, 0), 0x7000);
    other.words.remove(&(3, 11));
    other.identity = Some(["Somebody", "EM-3", ""]);
    let (status, shown, _) = tested(device(other), &[]);
    assert_eq!(status, Some(1), "{shown}");
    insta::assert_snapshot!("live-other", shown);

    let mut silent_about_itself = meter();
    silent_about_itself.identity = None;
    let (status, shown, _) = tested(device(silent_about_itself), &[]);
    assert_eq!(status, Some(1), "{shown}");
    assert!(shown.contains("answers exception 1 (illegal function) to function 43/14"), "{shown}");
}

#[test]
fn a_line_that_is_dead_or_wrong_is_said_to_be() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (status, _, complaints) = tested(free, &[]);
    assert_eq!(status, Some(1));
    assert!(complaints.contains(&format!("no connection to {free}")), "{complaints}");

    // A server that takes connections and says nothing: not every point is waited for.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (status, shown, _) = tested(silent.local_addr().unwrap(), &["--timeout-ms", "50"]);
    assert_eq!(status, Some(1));
    assert!(shown.contains("no answer within 50 ms") && shown.contains("not asked"), "{shown}");

    for (arguments, words) in [
        (&["test", "siemens-rdf302", "--tcp", "nowhere"][..], "is not `host:port`"),
        (&["test", "siemens-rdf302"], "--tcp"),
        (&["test", "siemens-rdf302", "--tcp", "a:1", "--serial", "/dev/null"], "cannot be used with"),
        (&["test", "siemens-rdf30", "--tcp", "a:1"], "is `siemens-rdf302` meant?"),
        (&["test", "01-bounds.toml", "--tcp", "a:1"], "126 registers"),
        (
            &["test", "intesis-inmbsdai", "--tcp", "a:1", "--var", "temperature=kelvin"],
            "it is one of: celsius",
        ),
        (&["test", "intesis-inmbsdai", "--tcp", "a:1", "--var", "x"], "expected NAME=CHOICE"),
    ] {
        let output = engawa(arguments);
        let complaints = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaints}");
        assert!(complaints.contains(words), "{arguments:?}: {complaints}");
    }
}

/// What `engawa profile hear` says of lines as `mosquitto_sub -v` writes them.
fn heard(arguments: &[&str], lines: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_engawa"))
        .args([&["profile", "hear"], arguments].concat())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // A command that ends before it reads closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn messages_of_an_mqtt_device_are_explained() {
    let arguments = ["zigbee2mqtt-trv", "--name", "trv 1", "--var", "base=z"];
    let state = "z/other {}\nz/trv 1 {\"local_temperature\":20.5}\n";
    let (status, shown, _) = heard(&arguments, state);
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("it is heard on z/bridge/state, z/trv 1, z/trv 1/availability"), "{shown}");
    assert!(shown.contains("temperature              20.5"), "{shown}");

    let lines =
        "z/trv {\"local_temperature\":20.5,\"occupied_heating_setpoint\":21}\nz/trv/availability online\n";
    let (status, shown, _) = heard(&["zigbee2mqtt-trv", "--name", "trv", "--var", "base=z"], lines);
    assert_eq!(status, Some(0), "{shown}");
    assert!(
        shown.contains(
            "it is asked on z/trv/get {\"occupied_heating_setpoint\":\"\",\"local_temperature\":\"\"}"
        ),
        "{shown}"
    );
    assert!(
        shown.contains("temperature              20.5") && shown.contains("setpoint                 21"),
        "{shown}"
    );
    let (status, lines, _) = heard(
        &["zigbee2mqtt-trv", "--name", "t", "--json"],
        "zigbee2mqtt/t {\"local_temperature\":\"warm\"}",
    );
    assert_eq!(status, Some(1));
    let line: serde_json::Value = serde_json::from_str(lines.trim()).unwrap();
    assert!(line["error"].as_str().unwrap().contains("expected a number"), "{line}");
    let (status, _, complaint) = heard(&["siemens-rdf302", "--name", "t"], "");
    assert_eq!(status, Some(2));
    assert!(complaint.contains("`engawa profile test` reads one"), "{complaint}");
    let (status, _, complaint) = heard(&["tasmota-plug", "--name", "t", "--var", "relais=POWER1"], "");
    assert_eq!(status, Some(2));
    assert!(complaint.contains("no variable `relais`"), "{complaint}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut listing = Command::new(env!("CARGO_BIN_EXE_engawa"))
        .args(["profile", "schema"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads: the first line that is written finds a closed pipe.
    drop(listing.stdout.take());
    let output = listing.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}
