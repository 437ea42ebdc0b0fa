//! `engawa devices plan`, `scan`, `probe`, `read`, `write`: on configurations, and on servers that are not ours
//! (libmodbus, over TCP and on a pair of pseudo-terminals) beside one that behaves as a gateway does.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod stage;

use serde_json::Value;
use stage::Running;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// libmodbus, `tcp` on a free port or `rtu PORT BAUD` as unit 5: holding register n (0 to 59) has 10000 + n, but 100 to
/// 108 and input registers 1000 to 1011 are as an RDF302 has them. Says its port, or `ready`.
const SERVER: &str = r#"
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **words) {
    modbus_mapping_t *map = modbus_mapping_new_start_address(0, 0, 0, 0, 0, 109, 1000, 12);
    if (map == NULL) return 1;
    for (int n = 0; n < 60; n++) map->tab_registers[n] = 10000 + n;
    map->tab_registers[100] = 1;
    map->tab_registers[102] = 1050;
    map->tab_input_registers[0] = 1;
    map->tab_input_registers[2] = 1063;
    map->tab_input_registers[3] = 200;
    map->tab_input_registers[7] = 0xFFFF;
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    if (count > 3 && strcmp(words[1], "rtu") == 0) {
        modbus_t *context = modbus_new_rtu(words[2], atoi(words[3]), 'N', 8, 2);
        if (modbus_set_slave(context, 5) < 0 || modbus_connect(context) < 0) return 1;
        puts("ready");
        fflush(stdout);
        for (;;) {
            int length = modbus_receive(context, query);
            if (length > 0) modbus_reply(context, query, length, map);
        }
    }
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    int listener = modbus_tcp_listen(context, 4);
    struct sockaddr_in at;
    socklen_t length = sizeof at;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&at, &length) != 0) return 1;
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        if (modbus_tcp_accept(context, &listener) < 0) return 1;
        for (;;) {
            int got = modbus_receive(context, query);
            if (got < 0) break;
            modbus_reply(context, query, got, map);
        }
        modbus_close(context);
    }
}
"#;

/// Starts libmodbus; gives the first line that it says.
fn libmodbus(folder: &Path, arguments: &[&str]) -> (Running, String) {
    let (source, program) = (folder.join("server.c"), folder.join("server"));
    std::fs::write(&source, SERVER).unwrap();
    let built = Command::new("cc")
        .args([source.as_os_str(), "-o".as_ref(), program.as_os_str()])
        .args(["-I/usr/include/modbus", "-lmodbus"])
        .output()
        .expect("install the Debian package build-essential");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "install the Debian package libmodbus-dev: {said}");
    let mut child = Command::new(&program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "the server has ended");
    (Running(child), line.trim().to_owned())
}

fn engawa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engawa"))
        .arg("devices")
        .args(arguments)
        .env_remove("ENGAWA_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A configuration with a bus `b` and `count` thermostats on it.
fn configuration(folder: &Path, bus: &str, count: usize) -> PathBuf {
    let path = folder.join("engawa.toml");
    let mut toml = format!(
        "[property]\nid = 'grand'\nname = 'Grand Hotel'\nzone = 'Asia/Tokyo'\ncurrency = 'JPY'\nrooms = ['101']\n\
         [climate]\ncomfort_c = 22\neco_heating_c = 18\neco_cooling_c = 26\n[store]\ndir = 'data'\n\
         [api]\nsocket = '{}'\n[[bus]]\nid = 'b'\n{bus}\n",
        folder.join("engawa.sock").display()
    );
    for unit in 1..=count {
        toml += &format!(
            "[[device]]\nid = 't-{unit}'\nroom = '101'\nprofile = 'siemens-rdf302'\nbus = 'b'\nunit = {unit}\n"
        );
    }
    std::fs::write(&path, toml).unwrap();
    path
}

#[test]
fn a_plan_tells_requests_reasons_and_load() {
    let folder = tempfile::tempdir().unwrap();
    let path = configuration(folder.path(), "serial = '/dev/ttyS9'\nbaud = 9600", 2);
    let output = engawa(&["plan", path.to_str().unwrap()]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
    assert!(shown.starts_with("bus b: /dev/ttyS9 at 9600 8E1\n  t-1 (unit 1)\n"), "{shown}");
    assert!(shown.contains("1000..1011") && shown.contains("every 1 s"), "{shown}");
    assert!(shown.contains("not with the one before: "), "{shown}");
    assert!(shown.contains("% of the line's time (at 9600 baud"), "{shown}");
    let planned = lines(&engawa(&["plan", path.to_str().unwrap(), "--json"]));
    let requests = planned[0]["requests"].as_array().unwrap();
    let sum: f64 = requests.iter().map(|request| request["share_percent"].as_f64().unwrap()).sum();
    assert!((sum - planned[0]["share_percent"].as_f64().unwrap()).abs() < 1e-6);
    assert_eq!(planned[0]["overloaded"], false);

    let path = configuration(folder.path(), "serial = '/dev/ttyS9'\nbaud = 1200", 30);
    let output = engawa(&["plan", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("OVERLOAD"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("more is asked for than can be carried: b"));
    let unknown = engawa(&["plan", path.to_str().unwrap(), "--bus", "c"]);
    assert!(text(&unknown.stderr).contains("there is no bus `c`; there is: b"), "{}", text(&unknown.stderr));
    // The listing is as it was, and wants a store.
    assert_eq!(engawa(&[path.to_str().unwrap()]).status.code(), Some(1));
}

/// A gateway with some units behind it: (function, address) to word. For the others it says that nobody answers.
type Units = BTreeMap<u8, BTreeMap<(u8, u16), u16>>;

fn gateway(units: Units) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let units = units.clone();
            std::thread::spawn(move || serve(stream, &units));
        }
    });
    address
}

fn serve(mut stream: TcpStream, units: &Units) -> std::io::Result<()> {
    loop {
        let mut head = [0; 7];
        stream.read_exact(&mut head)?;
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        stream.read_exact(&mut pdu)?;
        let answer = match units.get(&head[6]) {
            None => vec![pdu[0] | 0x80, 11],
            // Unit 9 says who it is.
            Some(_) if pdu[0] == 0x2b && head[6] == 9 => {
                let mut answer = vec![0x2b, 14, 1, 1, 0, 0, 3];
                for (n, word) in ["Schneider Electric", "iEM3155", "V1.3"].iter().enumerate() {
                    answer.extend([u8::try_from(n).unwrap(), u8::try_from(word.len()).unwrap()]);
                    answer.extend(word.bytes());
                }
                answer
            }
            Some(words) if matches!(pdu[0], 3 | 4) => {
                let (first, count) =
                    (u16::from_be_bytes([pdu[1], pdu[2]]), u16::from_be_bytes([pdu[3], pdu[4]]));
                let found: Option<Vec<u16>> =
                    (first..first + count).map(|address| words.get(&(pdu[0], address)).copied()).collect();
                match found {
                    Some(found) => {
                        let mut answer = vec![pdu[0], u8::try_from(count * 2).unwrap()];
                        answer.extend(found.iter().flat_map(|word| word.to_be_bytes()));
                        answer
                    }
                    None => vec![pdu[0] | 0x80, 2],
                }
            }
            Some(_) => vec![pdu[0] | 0x80, 1],
        };
        let mut frame = head[..4].to_vec();
        frame.extend(u16::try_from(answer.len() + 1).unwrap().to_be_bytes());
        frame.push(head[6]);
        frame.extend(answer);
        stream.write_all(&frame)?;
    }
}

/// The registers of an Eastron SDM120 on a usual day.
fn meter() -> BTreeMap<(u8, u16), u16> {
    let measured = [
        (0, 230.4_f32),
        (6, 1.2),
        (12, 276.0),
        (18, 280.0),
        (24, 30.0),
        (30, 0.98),
        (70, 50.0),
        (72, 1234.5),
        (74, 12.0),
        (76, 3.0),
        (78, 4.0),
        (342, 1246.5),
        (344, 7.0),
    ];
    let mut words = BTreeMap::new();
    for (address, value) in measured {
        let bits = value.to_bits();
        words.insert((4, address), u16::try_from(bits >> 16).unwrap());
        words.insert((4, address + 1), u16::try_from(bits & 0xffff).unwrap());
    }
    words
}

#[test]
fn a_scan_finds_units_behind_a_gateway_and_names_their_profiles() {
    let units: Units = [
        (3, meter()),
        // An Intesis by its mark (register 49), and nothing else that could be read.
        (7, [((3, 49), 0x0701)].into()),
        (9, [((3, 0), 1)].into()),
    ]
    .into();
    let address = gateway(units).to_string();
    let output = engawa(&["scan", "--tcp", &address, "--units", "1-12", "--json"]);
    let found = lines(&output);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let numbers: Vec<u64> = found.iter().filter_map(|line| line["unit"].as_u64()).collect();
    assert_eq!(numbers, [3, 7, 9], "exceptions of a device are a sign of life, the gateway's own is none");
    let best = |n: usize| found[n]["suggestions"][0]["profile"].as_str().unwrap_or("").to_owned();
    assert!(best(0).starts_with("eastron-sdm"), "{found:#?}");
    assert_eq!(best(1), "intesis-inmbsdai", "{found:#?}");
    assert!(found[1]["suggestions"][0]["reasons"][0].as_str().unwrap().contains("0x0701"), "{found:#?}");
    assert_eq!(found[2]["identity"]["product"], "iEM3155");
    assert!(
        text(&output.stderr).contains("unit 7 answers"),
        "how it goes on is told: {}",
        text(&output.stderr)
    );

    let nobody = engawa(&["scan", "--tcp", &address, "--units", "100-103"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stdout).contains("nothing answers at"), "{}", text(&nobody.stdout));
    let wrong = engawa(&["scan", "--tcp", &address, "--units", "0-300"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let closed = engawa(&["scan", "--tcp", &closed, "--units", "1", "--timeout-ms", "20"]);
    assert_eq!(closed.status.code(), Some(1));
    assert!(text(&closed.stderr).contains("no connection to"), "{}", text(&closed.stderr));
}

#[test]
fn a_device_that_ignores_its_unit_id_is_recognised_and_probed() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, port) = libmodbus(folder.path(), &["tcp"]);
    let address = format!("127.0.0.1:{port}");
    let output = engawa(&["scan", "--tcp", &address, "--units", "1-10"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("probably one device that does not look at it"), "{shown}");
    assert!(shown.contains("siemens-rdf302"), "{shown}");

    let output = engawa(&["probe", "--tcp", &address, "--unit", "5", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let probed = &lines(&output)[0];
    assert_eq!((&probed["table"], &probed["address"]), (&"holding".into(), &0.into()));
    assert_eq!(probed["most_in_one_request"], 109, "{probed}");
    assert!(probed["beyond"].as_str().unwrap().contains("exception 2"), "{probed}");
    assert_eq!((&probed["lost"], &probed["at_once"]["bears"]), (&0.into(), &16.into()), "{probed}");
    let words = text(&engawa(&["probe", "--tcp", &address, "--unit", "5"]).stdout);
    assert!(words.contains("one request   109 from 0 on"), "{words}");

    // A device on a configured bus, by point and as a whole.
    let path = configuration(folder.path(), &format!("address = '{address}'"), 1);
    let config = path.to_str().unwrap();
    let read = engawa(&["read", "--config", config, "t-1/comfort_setpoint", "--json"]);
    assert_eq!(lines(&read)[0]["value"], 21.0, "{}", text(&read.stderr));
    let misspelt = engawa(&["read", "--config", config, "t-1/comfort_setpiont"]);
    assert!(text(&misspelt.stderr).contains("is `comfort_setpoint` meant?"), "{}", text(&misspelt.stderr));
    let whole = engawa(&["read", "--config", config, "t-1"]);
    assert!(text(&whole.stdout).contains("t-1/room_temperature  21.26"), "{}", text(&whole.stdout));

    // A write is held to the profile, asked for, sent once and read back.
    let too_hot = engawa(&["write", "--config", config, "t-1/comfort_setpoint", "99", "--yes"]);
    assert_eq!(too_hot.status.code(), Some(2));
    assert!(text(&too_hot.stderr).contains("above 40"), "{}", text(&too_hot.stderr));
    let unasked = engawa(&["write", "--config", config, "t-1/comfort_setpoint", "22.5"]);
    assert_eq!(unasked.status.code(), Some(1));
    assert!(text(&unasked.stderr).contains("nothing was written"), "{}", text(&unasked.stderr));
    let written = engawa(&["write", "--config", config, "t-1/comfort_setpoint", "22.5", "--yes", "--json"]);
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    let written = &lines(&written)[0];
    assert_eq!(
        (&written["before"], &written["now"], &written["done"]),
        (&21.0.into(), &22.5.into(), &true.into())
    );
    let no_point = engawa(&["write", "--config", config, "t-1", "1", "--yes"]);
    assert_eq!(no_point.status.code(), Some(2));
    // A running agent is asked to forget; there is none.
    assert_eq!(engawa(&["forget", "t-1", config]).status.code(), Some(3));
    let nobody = engawa(&["forget", "t-9", config]);
    assert!(text(&nobody.stderr).contains("no device `t-9`"), "{}", text(&nobody.stderr));
}

#[test]
fn a_serial_line_is_scanned_read_and_written_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let ends = ["a", "b"].map(|end| folder.path().join(end));
    let end = |path: &Path| format!("pty,raw,echo=0,link={}", path.display());
    let socat = Command::new("socat")
        .args([end(&ends[0]), end(&ends[1])])
        .stderr(Stdio::null())
        .spawn()
        .expect("install the Debian package socat");
    let _socat = Running(socat);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ends.iter().all(|end| end.exists()) {
        assert!(Instant::now() < deadline, "no pair of terminals");
        std::thread::yield_now();
    }
    // A pair of terminals ends when nobody has its end open any more; a serial port does not.
    let open = std::fs::File::open(&ends[0]).unwrap();
    let (_server, ready) = libmodbus(folder.path(), &["rtu", ends[1].to_str().unwrap(), "115200"]);
    assert_eq!(ready, "ready");
    let port = ends[0].to_str().unwrap();
    let line = ["--serial", port, "--baud", "115200", "--parity", "none"];
    let run = |words: &[&str], more: &[&str]| engawa(&[words, &line[..], more].concat());

    let output = run(&["scan"], &["--units", "3-6", "--timeout-ms", "500", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found = lines(&output);
    assert_eq!(found[0]["unit"], 5, "{found:#?}");
    assert_eq!(found.iter().filter(|line| line["answered"].is_string()).count(), 1, "{found:#?}");

    let register = ["--unit", "5", "--table", "holding", "--address", "7"];
    let output = run(&["read"], &[&register[..], &["--json"]].concat());
    assert_eq!(lines(&output)[0]["value"], 10_007, "{}", text(&output.stderr));
    let output = run(&["read"], &[&register[..], &["--scale", "1/10", "--type", "s16"]].concat());
    assert!(text(&output.stdout).contains("holding 7 of unit 5  1000.7"), "{}", text(&output.stdout));
    let output = run(&["write"], &[&register[..], &["--yes", "--json", "42"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!((&lines(&output)[0]["before"], &lines(&output)[0]["now"]), (&10_007.into(), &42.into()));
    let output = run(&["write"], &["--unit", "5", "--table", "holding", "--address", "500", "--yes", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("illegal data address"), "{}", text(&output.stdout));
    let output = run(&["read"], &["--unit", "5", "--table", "holding", "--address", "7", "--type", "u17"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let output = run(&["probe"], &["--unit", "5"]);
    assert!(text(&output.stdout).contains("at once       1: an RTU line"), "{}", text(&output.stdout));

    // Another program has the line, as the agent has it.
    open.lock_shared().unwrap();
    let output = run(&["scan"], &["--units", "5", "--timeout-ms", "50"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("in use by another program, perhaps the agent"),
        "{}",
        text(&output.stderr)
    );
}
