//! Rules in the running agent: from a window's bit on the wire to a set point on the wire, recorded, and played again
//! under other rules. And `engawa rules` on files.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod stage;

use stage::{Running, wait_for};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

fn engawa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engawa")).args(arguments).env_remove("ENGAWA_CONFIG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A thermostat with a window contact, as a Modbus TCP server: holding register 0 is the set point in tenths of °C,
/// input register 0 the window.
#[derive(Clone, Default)]
struct Thermostat(Arc<Mutex<(u16, u16, Vec<u16>)>>);

impl Thermostat {
    fn serve(&self) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let this = self.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let this = this.clone();
                std::thread::spawn(move || this.converse(stream));
            }
        });
        address
    }

    fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let mut head = [0; 7];
            stream.read_exact(&mut head)?;
            let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
            stream.read_exact(&mut pdu)?;
            let answer = {
                let mut state = self.0.lock().unwrap();
                match pdu[0] {
                    3 => [vec![3, 2], state.0.to_be_bytes().to_vec()].concat(),
                    4 => [vec![4, 2], state.1.to_be_bytes().to_vec()].concat(),
                    6 | 16 => {
                        let value = &pdu[pdu.len() - 2..];
                        state.0 = u16::from_be_bytes([value[0], value[1]]);
                        let written = state.0;
                        state.2.push(written);
                        pdu[..5].to_vec()
                    }
                    other => vec![other | 0x80, 1],
                }
            };
            let length = u16::try_from(answer.len() + 1).unwrap().to_be_bytes();
            stream.write_all(&[&head[..4], &length[..], &head[6..7], &answer[..]].concat())?;
        }
    }

    fn window(&self, open: bool) {
        self.0.lock().unwrap().1 = u16::from(open);
    }

    fn written(&self) -> Vec<u16> {
        self.0.lock().unwrap().2.clone()
    }
}

const PROFILE: &str = "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'thermostat'\nprotocol = 'modbus'\nsources = ['s']\n\
    [modbus]\ninterval_ms = 100\n\
    [[modbus.points]]\nname = 'setpoint'\nrole = 'climate-setpoint'\nunit = 'Cel'\ntable = 'holding'\naddress = 0\n\
    type = 'u16'\nscale = '1/10'\nwrite = { min = 5, max = 30 }\n\
    [[modbus.points]]\nname = 'window'\nrole = 'window'\ntable = 'input'\naddress = 0\ntype = 'bool'\n";

fn configuration(dir: &Path, bus: std::net::SocketAddr) -> PathBuf {
    std::fs::create_dir(dir.join("profiles")).unwrap();
    std::fs::write(dir.join("profiles/p.toml"), PROFILE).unwrap();
    let path = dir.join("engawa.toml");
    let text = format!(
        "profiles = 'profiles'\n[property]\nid = 'test'\nname = 'Test'\nzone = 'Asia/Tokyo'\ncurrency = 'JPY'\n\
         rooms = ['101', '102']\n[climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n\
         [store]\ndir = 'data'\n[mqtt]\nlisten = '127.0.0.1:0'\n[api]\nlisten = '127.0.0.1:0'\nsocket = '{}'\n\
         [rules]\nfile = 'rules.toml'\nrecord = true\n\
         [firewall.role.climate-setpoint]\nmin = 15\n\
         [[bus]]\nid = 'b'\naddress = '{bus}'\n\
         [[device]]\nid = 't'\nroom = '101'\nprofile = 'p'\nbus = 'b'\nunit = 1\n",
        dir.join("engawa.sock").display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::write(
        dir.join("rules.toml"),
        "[[rule]]\nname = 'window-open'\nwhen = { point = [{ role = 'window', is = true }] }\n\
         then = { setpoint = { celsius = 15.5 }, alert = { kind = 'rule', text = 'a window is open' } }\n",
    )
    .unwrap();
    path
}

#[test]
fn from_a_window_on_the_wire_to_a_set_point_on_the_wire_and_into_a_recorded_day() {
    let dir = tempfile::tempdir().unwrap();
    let thermostat = Thermostat::default();
    thermostat.0.lock().unwrap().0 = 170;
    let path = configuration(dir.path(), thermostat.serve());
    let config = path.to_str().unwrap();
    let _agent = Running(
        Command::new(env!("CARGO_BIN_EXE_engawa"))
            .args(["run", config])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let status =
        || serde_json::from_slice::<serde_json::Value>(&engawa(&["status", "--json", config]).stdout).ok();
    let active = |status: &serde_json::Value| {
        let alerts = status["alerts"].as_array().unwrap();
        alerts
            .iter()
            .filter(|alert| alert["active"] == true)
            .map(|alert| alert["source"].to_string())
            .collect::<Vec<_>>()
    };
    wait_for("the agent", || {
        status().filter(|status| status["devices"].is_object() || status["links"].is_array())
    });
    wait_for("the thermostat's set point in the house", || {
        let rooms = text(&engawa(&["rooms", "--json", config]).stdout);
        rooms.contains("17.0").then_some(())
    });
    thermostat.window(true);
    wait_for("the window's set point on the wire", || (thermostat.written() == [155]).then_some(()));
    wait_for("the alert", || {
        let status = status()?;
        (active(&status) == ["\"room 101: window-open\""]).then_some(())
    });
    let acknowledged = engawa(&["rules", "acknowledge", "rule:room 101: window-open", config]);
    assert_eq!(acknowledged.status.code(), Some(0), "{}", text(&acknowledged.stderr));
    thermostat.window(false);
    wait_for("back again", || (thermostat.written() == [155, 170]).then_some(()));
    wait_for("the alert's end", || active(&status()?).is_empty().then_some(()));

    // What can't be: in words, with the agent's own reason.
    for (arguments, words) in [
        (&["rules", "acknowledge", "leak:room 101"][..], "no active alert"),
        (&["rules", "charges", "--accept", "7", "--amount", "500"], "no proposed charge 7"),
        (&["rules", "charges", "--accept", "7", "--amount", "5.5"], "not an amount in JPY"),
    ] {
        let mut arguments = arguments.to_vec();
        arguments.push(config);
        // `charges` has its options behind the configuration, too.
        let out = engawa(&arguments);
        assert_eq!(out.status.code(), Some(1), "{arguments:?}");
        assert!(text(&out.stderr).contains(words), "{}", text(&out.stderr));
    }

    // The day is recorded, without what the house wrote; under other rules another thing would have been written.
    let day = wait_for("the recorded day", || {
        let days = text(&engawa(&["rules", "days", config]).stdout);
        let file = PathBuf::from(days.lines().next()?.rsplit("  ").next()?);
        let recorded = std::fs::read_to_string(&file).ok()?;
        (recorded.matches("\"point\":\"window\"").count() >= 3).then_some(file)
    });
    let other = dir.path().join("other.toml");
    std::fs::write(&other, "[[rule]]\nname = 'window-open'\nenabled = false\n").unwrap();
    let tried = ["--rules", other.to_str().unwrap(), "--config", config];
    let out = engawa(&[&["rules", "test", "--day", day.to_str().unwrap()], &tried[..]].concat());
    let shown = text(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let lines: Vec<&str> = shown.lines().filter(|line| line.starts_with(['-', '+'])).collect();
    assert_eq!(lines.len(), 5, "two writes, the alert, who saw to it, its end, and nothing instead: {shown}");
    assert!(lines[0].starts_with("- ") && shown.contains("set t/setpoint to 15.5 (window-open)"), "{shown}");
    assert!(shown.contains("5 differences in 1 place\n"), "{shown}");
    // The day holds the rules that it was recorded under: without the configuration it is the same.
    let alone = ["rules", "test", "--day", day.to_str().unwrap(), "--rules", other.to_str().unwrap()];
    let out = engawa(&alone);
    assert_eq!((text(&out.stdout), text(&out.stderr)), (shown, String::new()));
}

fn in_tree(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/tests").join(path).display().to_string()
}

#[test]
fn a_day_is_played_under_other_rules_and_the_difference_is_shown() {
    let (day, softer) = (in_tree("day.jsonl"), in_tree("softer.toml"));
    let once = text(&engawa(&["rules", "test", "--day", &day, "--rules", &softer]).stdout);
    insta::assert_snapshot!("rules_test", once);
    assert_eq!(once, text(&engawa(&["rules", "test", "--day", &day, "--rules", &softer]).stdout));
    let of_room = text(&engawa(&["rules", "test", "--day", &day, "--room", "102"]).stdout);
    assert!(of_room.contains("leak") && !of_room.contains("d-101"), "{of_room}");
    let lines = text(&engawa(&["rules", "test", "--json", "--day", &day, "--rules", &softer]).stdout);
    assert!(lines.lines().count() > 3);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(["-", "+"].contains(&line["sign"].as_str().unwrap()), "{line}");
    }
}

#[test]
fn a_day_that_a_power_cut_has_cut_is_played_and_what_is_broken_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let day = dir.path().join("day.jsonl");
    let played = |lines: &[&str], options: &[&str]| {
        std::fs::write(&day, lines.concat()).unwrap();
        engawa(&[&["rules", "test", "--day", day.to_str().unwrap()], options].concat())
    };
    let whole = std::fs::read_to_string(in_tree("day.jsonl")).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let sound = text(&played(&lines, &[]).stdout);
    let (last, before) = lines.split_last().unwrap();

    // The last line was being written.
    for cut in [&last[..last.len() / 2], "\0\0\0\0", "{"] {
        for options in [&[][..], &["--strict"]] {
            let out = played(&[before, &[cut]].concat(), options);
            assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
            let said = text(&out.stderr);
            assert!(said.contains("the last line has no end") && !said.contains("broken"), "{said}");
            assert!(text(&out.stdout).contains("since 2027-01-15T08:00:00Z"));
        }
    }
    // One in the middle, with its number; its observation is missing and the others are there.
    let broken = [&lines[..3], &["{\"at\":\n"], &lines[3..]].concat();
    let out = played(&broken, &[]);
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(0), sound));
    let said = text(&out.stderr);
    assert!(
        said.contains("line 4 is broken and passed over") && said.contains("1 broken line passed over"),
        "{said}"
    );
    let out = played(&broken, &["--strict"]);
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(1), String::new()));
    assert!(text(&out.stderr).contains("line 4, column"), "{}", text(&out.stderr));
    // Many are counted, and not all named.
    let many = [&lines[..1], &["x\n"; 50], &lines[1..]].concat();
    let said = text(&played(&many, &[]).stderr);
    assert!(
        said.contains("50 broken lines passed over")
            && said.matches("is broken and passed over").count() == 20,
        "{said}"
    );
    // Without its house there is no day.
    let out = played(&["{\"engawa_day\":1,"], &[]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("line 1, column"), "{}", text(&out.stderr));
}

#[test]
fn a_room_that_the_day_does_not_have_is_no_answer() {
    for room in ["999", "", "10"] {
        let out = engawa(&["rules", "test", "--day", &in_tree("day.jsonl"), "--room", room]);
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(1), String::new()), "{room}");
        let said = text(&out.stderr);
        assert!(
            said.contains(&format!("no room `{room}` in this day")) && said.contains("101, 102"),
            "{said}"
        );
    }
}

#[test]
fn files_are_checked_listed_and_refused() {
    let out = engawa(&["rules", "check", &in_tree("softer.toml"), &in_tree("broken/faults.toml")]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stdout).contains("softer.toml: 2 rules"), "{}", text(&out.stdout));
    assert!(text(&out.stderr).contains("faults.toml:7:19"), "{}", text(&out.stderr));
    let standard = text(&engawa(&["rules", "standard"]).stdout);
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("rules.toml");
    std::fs::write(&copy, standard).unwrap();
    assert_eq!(engawa(&["rules", "check", copy.to_str().unwrap()]).status.code(), Some(0));

    let config = configuration(dir.path(), "127.0.0.1:9".parse().unwrap());
    let listed = engawa(&["rules", "list", "--room", "101", config.to_str().unwrap()]);
    let shown = text(&listed.stdout);
    assert!(shown.contains("pre-arrival") && shown.lines().count() == 14, "{shown}{}", text(&listed.stderr));
    let nowhere = engawa(&["rules", "list", "--room", "999", config.to_str().unwrap()]);
    assert!(nowhere.status.code() == Some(1) && text(&nowhere.stderr).contains("no room `999`"));
    let days = text(&engawa(&["rules", "days", config.to_str().unwrap()]).stdout);
    assert!(days.contains("the agent has not begun one yet"), "{days}");

    for (day, words) in [("nowhere.jsonl", "nowhere.jsonl"), (&*in_tree("softer.toml"), "line 1, column 1")] {
        let out = engawa(&["rules", "test", "--day", day]);
        assert_eq!(out.status.code(), Some(1));
        assert!(text(&out.stderr).contains(words), "{}", text(&out.stderr));
    }
}
