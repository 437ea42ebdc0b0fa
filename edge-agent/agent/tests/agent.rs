//! The agent's program against a PMS on a real socket: what was stored outlives a `kill -9`.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::Value;
use stage::{Running, engawa, greet, wait_for};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

[mqtt]
listen = "127.0.0.1:0"

[api]
listen = "127.0.0.1:0"
socket = "{}"
"#,
        dir.join("data").display(),
        dir.join("engawa.sock").display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// What a listing says, one object a line.
fn listed(arguments: &[&str], config: &Path) -> Vec<Value> {
    let out = engawa(&[arguments, &[config.to_str().unwrap()]].concat()).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rooms(config: &Path) -> Vec<Value> {
    listed(&["rooms", "--json", "--as", "test", "--reason", "test"], config)
}

fn stays(rooms: &[Value], room: &str) -> Vec<String> {
    let of = rooms.iter().find(|of| of["room"] == room);
    let stays = of.and_then(|of| of["stays"].as_array()).into_iter().flatten();
    stays
        .map(|stay| format!("{} {}", stay["stay"].as_str().unwrap(), stay["name"].as_str().unwrap_or("")))
        .collect()
}

#[test]
fn a_stay_outlives_kill_9_and_the_list_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = configuration(dir.path(), &listener.local_addr().unwrap().to_string());
    let start = || Running(engawa(&["run", config.to_str().unwrap()]).stderr(Stdio::null()).spawn().unwrap());

    let mut agent = start();
    let mut line = greet(&listener);
    line.write_all("\x02GI|RN101|G#4711|GNSato|GLJA|\x03".as_bytes()).unwrap();
    wait_for("the stay", || (!stays(&rooms(&config), "101").is_empty()).then_some(()));
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    assert_eq!(stays(&rooms(&config), "101"), ["4711 Sato"], "the store is whole without its owner");
    let asked = engawa(&["status", config.to_str().unwrap()]).output().unwrap();
    assert_eq!(asked.status.code(), Some(3), "nobody answers: {}", String::from_utf8_lossy(&asked.stderr));

    let agent = start();
    let mut line = greet(&listener);
    line.write_all(b"\x02GC|RN102|G#4711|RO101|\x03").unwrap();
    wait_for("the move", || (stays(&rooms(&config), "102") == ["4711 Sato"]).then_some(()));
    assert_eq!(stays(&rooms(&config), "101"), [] as [&str; 0]);
    let log = listed(&["log", "--json"], &config);
    for (kind, times) in [("checked_in", 1), ("moved", 1), ("checked_out", 0), ("started", 2)] {
        assert_eq!(log.iter().filter(|row| row["kind"] == kind).count(), times, "{kind} in {log:?}");
    }
    assert!(!format!("{log:?}").contains("Sato"), "the journal carries no names");
    let status = wait_for("an answer of the running agent", || listed(&["status", "--json"], &config).pop());
    assert_eq!((&status["rooms_occupied"], &status["sync"]["enrolled"]), (&1.into(), &false.into()));
    let pms = status["links"].as_array().unwrap().iter().find(|link| link["id"] == "pms").unwrap();
    assert_eq!(pms["up"], true);

    // An orderly stop says LE and waits for the answer.
    Command::new("kill").arg(agent.0.id().to_string()).status().unwrap();
    let mut rest = Vec::new();
    let mut byte = [0];
    while !rest.ends_with(b"\x02LE|") {
        line.read_exact(&mut byte).unwrap();
        rest.push(byte[0]);
    }
}

/// A Modbus server on a free port: input registers answer with 7, everything else is refused.
fn modbus() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |mut stream: TcpStream| -> std::io::Result<()> {
        loop {
            let mut frame = [0; 12];
            stream.read_exact(&mut frame)?;
            let count = u16::from_be_bytes([frame[10], frame[11]]);
            let mut pdu = vec![frame[7] | 0x80, 2];
            if frame[7] == 4 {
                pdu = vec![4, u8::try_from(count * 2).unwrap()];
                pdu.extend((0..count).flat_map(|_| [0, 7]));
            }
            let mut answer = frame[..4].to_vec();
            answer.extend(u16::try_from(pdu.len() + 1).unwrap().to_be_bytes());
            answer.push(frame[6]);
            answer.extend(pdu);
            stream.write_all(&answer)?;
        }
    };
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

#[test]
fn what_devices_refuse_is_counted_learnt_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "127.0.0.1:9");
    let profile = "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'modbus'\nsources = ['s']\n\
        [modbus]\ninterval_ms = 100\n[[modbus.points]]\nname = 'in'\ntable = 'input'\naddress = 0\ntype = 'u16'\n\
        [[modbus.points]]\nname = 'hole'\ntable = 'holding'\naddress = 3\ntype = 'u16'\n";
    std::fs::create_dir(dir.path().join("profiles")).unwrap();
    std::fs::write(dir.path().join("profiles/p.toml"), profile).unwrap();
    let mut text = std::fs::read_to_string(&config).unwrap();
    text = format!("profiles = 'profiles'\n{text}\n[[bus]]\nid = 'b'\naddress = '{}'\n", modbus());
    text += "[[device]]\nid = 't'\nroom = '101'\nprofile = 'p'\nbus = 'b'\nunit = 4\n";
    std::fs::write(&config, text).unwrap();
    let _agent = Running(engawa(&["run", config.to_str().unwrap()]).stderr(Stdio::null()).spawn().unwrap());

    let planned = || {
        let plan = listed(&["devices", "plan", "--json"], &config).pop()?;
        let requests = plan["requests"].as_array()?;
        Some(requests.iter().filter(|request| request["refused"] == true).count())
    };
    wait_for("what was learnt, in the store and the plan", || (planned() == Some(1)).then_some(()));
    let device = wait_for("the traffic of the device", || {
        listed(&["devices", "--json"], &config)
            .pop()
            .filter(|device| device["traffic"]["values"].as_u64() > Some(3))
    });
    assert_eq!(device["state"], "well", "a hole is no sickness: {device}");
    assert_eq!(device["traffic"]["exceptions"]["2 illegal data address"], 1, "{device}");
    let out = engawa(&["devices", config.to_str().unwrap()]).output().unwrap();
    let shown = String::from_utf8(out.stdout).unwrap();
    assert!(shown.contains("1 exception 2 illegal data address; round trip"), "{shown}");
    let status = listed(&["status", "--json"], &config).pop().unwrap();
    assert_eq!(status["traffic"][0]["bus"], "b");
    assert!(status["traffic"][0]["busy_percent"].as_f64().unwrap() >= 0.0);
    let out = engawa(&["status", config.to_str().unwrap()]).output().unwrap();
    let shown = String::from_utf8(out.stdout).unwrap();
    assert!(shown.contains("\nbuses\n  b ") && shown.contains("1 failed"), "{shown}");

    // Forgotten, it is found out anew: the device refuses it a second time.
    let forgot = engawa(&["devices", "forget", "t", config.to_str().unwrap()]).output().unwrap();
    assert_eq!(forgot.status.code(), Some(0), "{}", String::from_utf8_lossy(&forgot.stderr));
    wait_for("a second refusal", || {
        let device = listed(&["devices", "--json"], &config).pop()?;
        (device["traffic"]["exceptions"]["2 illegal data address"] == 2).then_some(())
    });
    wait_for("what was learnt again", || (planned() == Some(1)).then_some(()));
}

#[test]
fn a_wrong_configuration_is_told_with_its_place_and_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = configuration(dir.path(), "no-port");
    let out = engawa(&["check", path.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(text.contains("engawa.toml:17:11") && text.contains("`no-port` is not host:port"), "{text}");
}
