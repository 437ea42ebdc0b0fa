//! The program, met as a gateway meets it: a scripted FIAS client, a Modbus client, and a broker that is told when to
//! acknowledge and when to break.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(40);

/// The running hotel; killed when the test is over, however it ends.
struct Hotel {
    child: Child,
    dir: tempfile::TempDir,
    pms: Option<SocketAddr>,
    config: toml::Table,
}

impl Drop for Hotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Hotel {
    fn start(command: &str, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("engawa.toml");
        let mut child = Command::new(env!("CARGO_BIN_EXE_engawa-hotel"));
        child.arg(command).args(arguments).arg("--config-out").arg(&file);
        if command == "play" {
            child.arg("--dir").arg(dir.path());
        }
        let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready") && line.contains("config="), "{line}");
        let pms =
            line.split_whitespace().find_map(|word| word.strip_prefix("pms=")).map(|at| at.parse().unwrap());
        let config = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        Self { child, dir, pms, config }
    }

    fn play(broker: SocketAddr) -> Self {
        let broker = broker.to_string();
        Self::start("play", &["--rooms", "14", "--seed", "7", "--seconds", "60", "--mqtt", &broker])
    }

    /// Where the bus `id` listens.
    fn bus(&self, id: &str) -> SocketAddr {
        let bus =
            self.config["bus"].as_array().unwrap().iter().find(|bus| bus["id"].as_str() == Some(id)).unwrap();
        bus["address"].as_str().unwrap().parse().unwrap()
    }

    fn played(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("played.jsonl")).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until `count` events of one kind were played, and returns all of that kind.
    fn wait_for(&self, event: &str, count: usize) -> Vec<Value> {
        until(event, || {
            let found: Vec<Value> = self.played().into_iter().filter(|line| line["event"] == event).collect();
            (found.len() >= count).then_some(found)
        })
    }
}

fn until<T>(what: &str, mut test: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = test() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what} never came");
        std::thread::yield_now();
    }
}

/// The gateway's end of the PMS link.
struct Gateway(BufReader<TcpStream>);

impl Gateway {
    /// Connects and describes itself as a gateway does.
    fn connect(pms: SocketAddr) -> Self {
        let stream = TcpStream::connect(pms).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut gateway = Self(BufReader::new(stream));
        assert!(gateway.read().starts_with("LS|DA"));
        gateway.send("LD|DA260715|TI120000|V#1|IFEM|");
        for (record, fields) in [
            ("GI", "RNG#GSGNSF"),
            ("GC", "RNG#GSRO"),
            ("GO", "RNG#GSSF"),
            ("PS", "RNG#PTTAP#CT"),
            ("PA", "RNASP#CT"),
        ] {
            gateway.send(&format!("LR|RI{record}|FL{fields}|"));
        }
        gateway.send("LA|DA260715|TI120000|");
        assert!(gateway.read().starts_with("LA|DA"));
        gateway
    }

    fn send(&mut self, record: &str) {
        self.0.get_mut().write_all(&[b"\x02", record.as_bytes(), b"\x03"].concat()).unwrap();
    }

    fn read(&mut self) -> String {
        let mut frame = Vec::new();
        self.0.read_until(3, &mut frame).unwrap();
        let text = String::from_utf8(frame).unwrap();
        text.trim_start_matches('\x02').trim_end_matches('\x03').to_owned()
    }

    /// Reads up to a record that begins so.
    fn read_to(&mut self, id: &str) -> String {
        loop {
            let record = self.read();
            assert!(!record.is_empty(), "the PMS hung up before {id}");
            if record.starts_with(id) {
                return record;
            }
        }
    }
}

fn field<'a>(record: &'a str, id: &str) -> &'a str {
    record.split('|').find_map(|part| part.strip_prefix(id)).unwrap()
}

/// A broker of one connection at a time, by hand (MQTT 3.1.1, sections 2 and 3).
struct Broker(TcpListener);

struct Session(TcpStream);

impl Broker {
    fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection of the client `id`; others are closed at once, and come again.
    fn accept(&self, id: &str) -> Session {
        until("the client", || {
            let mut session = Session(self.0.accept().unwrap().0);
            session.0.set_read_timeout(Some(DEADLINE)).unwrap();
            let (kind, body) = session.read()?;
            assert_eq!(kind & 0xF0, 0x10, "CONNECT");
            // After ten bytes of header; user name and password follow.
            let end = 12 + usize::from(u16::from_be_bytes([body[10], body[11]]));
            if &body[12..end] != id.as_bytes() || !body[end..].windows(id.len()).any(|it| it == id.as_bytes())
            {
                return None;
            }
            session.0.write_all(&[0x20, 2, 0, 0]).unwrap();
            Some(session)
        })
    }
}

impl Session {
    /// One packet: its first byte and what follows the length.
    fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).ok()?;
        let kind = byte[0];
        let (mut length, mut shift) = (0, 0);
        loop {
            self.0.read_exact(&mut byte).ok()?;
            length |= usize::from(byte[0] & 0x7F) << shift;
            if byte[0] < 0x80 {
                break;
            }
            shift += 7;
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((kind, body))
    }

    /// The next publication: topic, packet id, payload. Pings are answered.
    fn published(&mut self) -> (String, [u8; 2], Value) {
        loop {
            let (kind, body) = self.read().expect("the client hung up");
            match kind & 0xF0 {
                0x30 => {
                    assert_eq!(kind & 0x07, 0x02, "QoS 1, not retained");
                    let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let topic = String::from_utf8(body[2..end].to_vec()).unwrap();
                    let payload = serde_json::from_slice(&body[end + 2..]).unwrap();
                    return (topic, [body[end], body[end + 1]], payload);
                }
                0xC0 => self.0.write_all(&[0xD0, 0]).unwrap(),
                other => panic!("packet {other:#x}"),
            }
        }
    }

    fn acknowledge(&mut self, packet: [u8; 2]) {
        self.0.write_all(&[0x40, 2, packet[0], packet[1]]).unwrap();
    }
}

#[test]
fn the_pms_plays_to_a_gateway_lists_the_house_and_books_once() {
    let broker = Broker::open();
    let hotel = Hotel::play(broker.address());
    let pms = hotel.pms.unwrap();
    let mut gateway = Gateway::connect(pms);
    gateway.send("DR|DA260715|TI120000|");
    assert!(gateway.read().starts_with("DS|"));
    for _ in 0..14 {
        assert!(gateway.read().starts_with("GO|RN"), "the house is empty");
    }
    assert!(gateway.read().starts_with("DE|"));
    let arrival = gateway.read_to("GI|");
    let (room, stay) = (field(&arrival, "RN").to_owned(), field(&arrival, "G#").to_owned());
    let told = hotel.wait_for("checked_in", 1);
    assert_eq!((told[0]["room"].as_str(), told[0]["stay"].as_str()), (Some(&*room), Some(&*stay)));

    let post = format!("PS|RN{room}|G#{stay}|PTC|TA1250|P#1|CTBar 999|");
    gateway.send(&post);
    let answer = gateway.read_to("PA|");
    gateway.send(&post);
    assert_eq!(gateway.read_to("PA|"), answer, "a number that comes again is answered the same");
    gateway.send(&format!("PS|RN999|G#{stay}|PTC|TA1250|P#2|CTBar 998|"));
    assert_eq!(field(&gateway.read_to("PA|"), "AS"), "NG");
    assert_eq!(hotel.wait_for("booked", 1).len() + hotel.wait_for("refused", 1).len(), 2);

    // The gateway is gone: the day stands still until it is back, and nobody is told twice as arrived.
    drop(gateway);
    hotel.wait_for("link_lost", 1);
    let before = hotel.played().len();
    let mut gateway = Gateway::connect(pms);
    gateway.send("DR|DA260715|TI120000|");
    gateway.read_to("DS|");
    let listed = gateway.read_to("GI|");
    assert!(listed.ends_with("SF|"), "{listed}");
    gateway.read_to("DE|");
    assert!(hotel.played()[before..].iter().all(|line| line["event"] != "checked_in"));
    gateway.read_to("GI|");
    let told = hotel.wait_for("checked_in", 2);
    let mut stays: Vec<&str> = told.iter().filter_map(|line| line["stay"].as_str()).collect();
    stays.sort_unstable();
    stays.dedup();
    assert_eq!(stays.len(), told.len());

    // A newcomer takes the place of the old connection; LE ends the link.
    let mut newcomer = Gateway::connect(pms);
    assert_eq!(gateway.read(), "", "the old one is dropped");
    newcomer.send("LE|DA260715|TI120000|");
    newcomer.read_to("LE|");
    hotel.wait_for("link_lost", 3);
}

#[test]
fn a_charge_is_published_until_it_is_acknowledged() {
    let broker = Broker::open();
    let hotel = Hotel::play(broker.address());
    let mut gateway = Gateway::connect(hotel.pms.unwrap());
    std::thread::spawn(move || while !gateway.read().is_empty() {});
    let mut session = broker.accept("hotel-till");
    let (topic, _, first) = session.published();
    assert_eq!((topic.as_str(), first["do"].as_str()), ("engawa/grand/cmd", Some("post")));
    assert_eq!(first["amount"]["currency"], "EUR");
    drop(session);
    let mut session = broker.accept("hotel-till");
    let (_, packet, again) = session.published();
    assert_eq!(again, first, "the same charge with the same key");
    assert!(hotel.played().iter().all(|line| line["event"] != "charge_acknowledged"));
    session.acknowledge(packet);
    assert_eq!(hotel.wait_for("charge_acknowledged", 1)[0]["key"], first["key"]);
    let charged = hotel.wait_for("charged", 1);
    assert_eq!(charged.iter().filter(|line| line["key"] == first["key"]).count(), 1, "logged once");
}

#[test]
fn sensors_report_after_each_connection() {
    let broker = Broker::open();
    let _hotel = Hotel::play(broker.address());
    for _ in 0..2 {
        let mut session = broker.accept("hotel-sensors");
        let mut rooms = std::collections::BTreeSet::new();
        while rooms.len() < 14 {
            let (topic, packet, payload) = session.published();
            assert!(topic.starts_with("hotel/") && topic.ends_with("/sensors"), "{topic}");
            assert_eq!((&payload["window"], &payload["locked"]), (&Value::Bool(false), &Value::Bool(true)));
            rooms.insert(topic);
            session.acknowledge(packet);
        }
    }
}

#[tokio::test]
async fn thermostats_answer_a_modbus_client_as_documented() {
    use tokio_modbus::prelude::*;
    let broker = Broker::open();
    let hotel = Hotel::play(broker.address());
    let mut line = tcp::connect_slave(hotel.bus("floor-1"), Slave(3)).await.unwrap();
    let status = line.read_input_registers(1000, 12).await.unwrap().unwrap();
    assert_eq!((status[0], status[3], status[7]), (1, 950, 0xFFFF));
    assert_eq!(line.read_holding_registers(1000, 1).await.unwrap(), Err(ExceptionCode::IllegalDataAddress));
    assert_eq!(line.read_input_registers(1000, 13).await.unwrap(), Err(ExceptionCode::IllegalDataAddress));
    line.write_single_register(102, 1100).await.unwrap().unwrap();
    // The same again changes nothing: no line in the log.
    line.write_single_register(102, 1100).await.unwrap().unwrap();
    assert_eq!(line.write_single_register(102, 2001).await.unwrap(), Err(ExceptionCode::IllegalDataValue));
    assert_eq!(line.read_holding_registers(102, 1).await.unwrap(), Ok(vec![1100]));
    line.set_slave(Slave(11));
    assert_eq!(line.read_holding_registers(102, 1).await.unwrap(), Err(ExceptionCode::GatewayTargetDevice));

    let mut unit = tcp::connect_slave(hotel.bus("room-202"), Slave(1)).await.unwrap();
    assert_eq!(unit.read_holding_registers(49, 1).await.unwrap(), Ok(vec![0x0701]));
    assert_eq!(unit.read_input_registers(12, 1).await.unwrap(), Err(ExceptionCode::IllegalDataAddress));
    assert_eq!(
        unit.write_multiple_registers(4, &[210, 0]).await.unwrap(),
        Err(ExceptionCode::IllegalDataValue)
    );
    unit.write_multiple_registers(4, &[210]).await.unwrap().unwrap();

    let written = hotel.wait_for("setpoint_written", 2);
    let line = |line: &Value| (line["room"].clone(), line["was"].as_f64(), line["celsius"].as_f64());
    let want = [("103".into(), Some(19.0), Some(22.0)), ("202".into(), Some(19.0), Some(21.0))];
    assert_eq!(written.iter().map(line).collect::<Vec<_>>(), want);
}

#[test]
fn mbpoll_reads_a_thermostat() {
    let broker = Broker::open();
    let hotel = Hotel::play(broker.address());
    let port = hotel.bus("floor-1").port().to_string();
    let out = Command::new("mbpoll")
        .args([
            "-m",
            "tcp",
            "-p",
            &port,
            "-a",
            "1",
            "-0",
            "-1",
            "-q",
            "-t",
            "4",
            "-r",
            "100",
            "-c",
            "9",
            "127.0.0.1",
        ])
        .output();
    // A machine without this tool still has the test with a Modbus client above.
    let Ok(out) = out else { return };
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("[102]: \t950"), "{text}");
}

#[test]
fn the_files_for_the_gateway_are_whole() {
    let broker = Broker::open();
    let hotel = Hotel::play(broker.address());
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    assert_eq!(text(&hotel.config["pms"]["address"]), hotel.pms.unwrap().to_string());
    assert_eq!(text(&hotel.config["mqtt"]["listen"]), broker.address().to_string());
    assert_eq!(hotel.config["property"]["rooms"].as_array().unwrap().len(), 14);
    // Ten thermostats behind one gateway, four units behind four, and sensors in each room.
    assert_eq!(hotel.config["bus"].as_array().unwrap().len(), 5);
    assert_eq!(hotel.config["device"].as_array().unwrap().len(), 28);
    let profile = hotel.dir.path().join("profiles").join("hotel-sensors.toml");
    let profile: toml::Table = std::fs::read_to_string(profile).unwrap().parse().unwrap();
    assert_eq!(profile["mqtt"]["points"].as_array().unwrap().len(), 4);
    let progress = until("the progress", || {
        let text = std::fs::read_to_string(hotel.dir.path().join("progress.json")).ok()?;
        Some(serde_json::from_str::<Value>(&text).expect("never half a file"))
    });
    assert_eq!(
        (progress["clock"].as_str(), progress["rooms"].as_array().unwrap().len()),
        (Some("12:00"), 14)
    );
}

#[test]
fn it_ends_cleanly_when_it_is_asked_to() {
    let broker = Broker::open();
    let mut hotel = Hotel::play(broker.address());
    let mut gateway = Gateway::connect(hotel.pms.unwrap());
    Command::new("kill").arg(hotel.child.id().to_string()).status().unwrap();
    assert!(gateway.read_to("LE|").starts_with("LE|DA"));
    assert!(hotel.child.wait().unwrap().success());
    assert!(hotel.played().iter().all(|line| line["event"] != "link_lost"), "the hotel's own end is no loss");
}

#[tokio::test]
async fn the_idle_hotel_serves_blocks() {
    use tokio_modbus::prelude::*;
    let hotel = Hotel::start("idle", &["--rooms", "30", "--registers", "20", "--still"]);
    assert!(hotel.pms.is_none() && !hotel.config.contains_key("pms"));
    let mut room = tcp::connect_slave(hotel.bus("room-310"), Slave(1)).await.unwrap();
    assert_eq!(room.read_holding_registers(0, 20).await.unwrap().unwrap()[19], 219);
    assert!(profile(hotel.dir.path()).exists());
}

fn profile(dir: &Path) -> PathBuf {
    dir.join("profiles").join("hotel-block.toml")
}
