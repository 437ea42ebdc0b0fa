//! The MQTT side against programs that are not ours: Mosquitto's broker and its command-line clients, with
//! the site's broker and with the gateway's own.
//!
//! Why: what a PUBACK means, what a broker keeps for a client that is away, and when a last will comes, is
//! decided by the other end. Needs `mosquitto` and `mosquitto-clients` (Debian package names).
//!
//! Never sleeps to wait: each wait is for a condition, with [`PATIENCE`] as its deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_field::mqtt::{
    self, Feed, Mqtt, MqttConfig, MqttDevice, MqttParts, Publisher, ValueTopics, house,
};
use engawa_model::{
    ClimateDefaults, Currency, DeviceSpec, Fact, Intent, Observation, ObservationSink, PointSpec, Property,
    PropertySpec, Role, RoomSpec, Season, SinkFuture, Value,
};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

const PROFILE: &str = r#"
status_topic = "z2m/{device}"
[[points]]
name = "temperature"
role = "room-temperature"
unit = "Cel"
pointer = "/temp"
kind = "float"
[[points]]
name = "setpoint"
role = "climate-setpoint"
unit = "Cel"
pointer = "/heat"
kind = "float"
min = 5.0
max = 30.0
command_topic = "z2m/{device}/set"
command_template = '{"heat":{value}}'
"#;

/// A house with one room and one thermostat, that says when things are durable.
struct House {
    property: Mutex<Property>,
    facts: watch::Sender<Vec<Fact>>,
    durable: watch::Sender<bool>,
    publisher: Publisher,
    writes: mpsc::Sender<Intent>,
}

impl House {
    fn apply(&self, observation: &Observation) {
        let mut property = self.property.lock().unwrap();
        let applied = property.apply(observation);
        for change in &applied.changes {
            house::publications(&property, change, ValueTopics::Points)
                .into_iter()
                .for_each(|it| self.publisher.publish(it));
        }
        drop(property);
        for intent in applied.intents {
            self.writes.try_send(intent).unwrap();
        }
        self.facts.send_modify(|facts| facts.push(observation.fact.clone()));
    }

    async fn seen(&self, what: &str, wanted: impl Fn(&Fact) -> bool) {
        let mut facts = self.facts.subscribe();
        let found = timeout(PATIENCE, facts.wait_for(|facts| facts.iter().any(&wanted))).await;
        assert!(found.is_ok(), "{what} did not come; came: {:#?}", self.facts.borrow());
    }

    async fn up(&self) {
        self.seen("the link", |fact| matches!(fact, Fact::Link { up: true, .. })).await;
    }
}

struct Sink(Arc<House>);

impl ObservationSink for Sink {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        self.0.apply(&observation);
        Box::pin(async { Ok(()) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.0.apply(&observation);
        let mut durable = self.0.durable.subscribe();
        Box::pin(async move {
            durable.wait_for(|durable| *durable).await.unwrap();
            Ok(())
        })
    }
}

fn property() -> Property {
    let point = |name: &str, role, writable| PointSpec {
        name: name.into(),
        role: Some(role),
        unit: Some("Cel".into()),
        writable,
        min: Some(5.0),
        max: Some(30.0),
    };
    let points = vec![
        point("temperature", Role::RoomTemperature, false),
        point("setpoint", Role::ClimateSetpoint, true),
    ];
    Property::new(PropertySpec {
        id: "hotel".into(),
        zone: "Europe/Paris".to_owned(),
        currency: Currency::new("EUR").unwrap(),
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 27.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        },
        rooms: vec![RoomSpec { id: "12/3".into() }],
        devices: vec![DeviceSpec {
            id: "t1".into(),
            room: Some("12/3".into()),
            profile: "z2m".into(),
            points: points.into(),
        }],
        resync_every_s: 900,
        order_ttl_s: 3600,
    })
}

struct Running {
    house: Arc<House>,
    task: JoinHandle<Result<(), mqtt::MqttError>>,
    cancel: CancellationToken,
    port: u16,
}

async fn start(config: MqttConfig) -> Running {
    let (publisher, publications): (Publisher, Feed) = mqtt::feed(1000);
    let (writes_in, writes) = mpsc::channel(100);
    let house = Arc::new(House {
        property: Mutex::new(property()),
        facts: watch::Sender::default(),
        durable: watch::Sender::new(true),
        publisher,
        writes: writes_in,
    });
    let picture = Arc::clone(&house);
    let parts = MqttParts {
        property: "hotel".into(),
        devices: vec![MqttDevice {
            id: "t1".into(),
            room: Some("12/3".into()),
            name: "thermostat1".to_owned(),
            profile: Arc::new(toml::from_str(PROFILE).unwrap()),
        }],
        sink: Arc::new(Sink(Arc::clone(&house))),
        snapshot: Arc::new(move || house::snapshot(&picture.property.lock().unwrap(), ValueTopics::Points)),
        publications,
        writes,
        config: config.clone(),
    };
    let mqtt: Mqtt = mqtt::prepare(parts).await.unwrap();
    let site = || config.broker.as_deref().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let port = mqtt.broker_address().map_or_else(site, |address| address.port());
    let cancel = CancellationToken::new();
    let task = tokio::spawn(mqtt.run(cancel.clone()));
    Running { house, task, cancel, port }
}

impl Running {
    /// The process is gone: no good-bye, sockets closed by the system.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn stop(self) {
        self.cancel.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn site(port: u16) -> MqttConfig {
    MqttConfig { broker: Some(format!("mqtt://127.0.0.1:{port}")), ..MqttConfig::default() }
}

fn own() -> MqttConfig {
    MqttConfig { listen: Some("127.0.0.1:0".to_owned()), ..MqttConfig::default() }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Debian keeps daemons out of the search path of users.
fn mosquitto_path() -> PathBuf {
    let found = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    found.unwrap_or_else(|| "mosquitto".into())
}

async fn mosquitto(port: u16, extra: &str) -> (Child, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mosquitto.conf");
    let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n{extra}");
    std::fs::write(&file, text).unwrap();
    let child = Command::new(mosquitto_path())
        .arg("-c")
        .arg(&file)
        .kill_on_drop(true)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`mosquitto` must be installed");
    let listening = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listening).await.expect("mosquitto listens");
    (child, folder)
}

fn client(program: &str, port: u16, args: &[&str]) -> Child {
    // Line by line: into a pipe the C library would keep what was said until there is a lot of it.
    Command::new("stdbuf")
        .args(["-oL", program, "-h", "127.0.0.1", "-p", &port.to_string()])
        .args(args)
        .kill_on_drop(true)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`mosquitto-clients` must be installed")
}

fn start_publishing(port: u16, args: &[&str]) -> Child {
    client("mosquitto_pub", port, args)
}

async fn publish(port: u16, args: &[&str]) {
    let out = timeout(PATIENCE, start_publishing(port, args).wait_with_output()).await.unwrap().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

struct Subscriber {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Subscribed once this returns.
async fn subscribe(port: u16, filter: &str) -> Subscriber {
    let mut child = client("mosquitto_sub", port, &["-q", "1", "-v", "-d", "-t", filter]);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut subscriber = Subscriber { _child: child, lines };
    subscriber.line("SUBACK", |line| line.starts_with("Subscribed")).await;
    subscriber
}

impl Subscriber {
    async fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut came = Vec::new();
        let search = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if wanted(&line) {
                    return Some(line);
                }
                came.push(line);
            }
            None
        };
        let found = timeout(PATIENCE, search).await.ok().flatten();
        found.unwrap_or_else(|| panic!("{what} did not come; came: {came:#?}"))
    }

    /// The next message on `topic` whose payload holds `part`.
    async fn message(&mut self, topic: &str, part: &str) -> String {
        let head = format!("{topic} ");
        let line =
            self.line(&format!("{part} on {topic}"), |l| l.starts_with(&head) && l.contains(part)).await;
        line[head.len()..].to_owned()
    }
}

/// From the house to a subscriber, from a commander to the device, and from the device back.
async fn whole_circle(config: MqttConfig) {
    let running = start(config).await;
    running.house.up().await;
    let port = running.port;
    let mut house = subscribe(port, "engawa/hotel/#").await;
    let mut device = subscribe(port, "z2m/thermostat1/set").await;
    house.message("engawa/hotel/status", "online").await;

    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":21.5,"heat":19}"#]).await;
    running
        .house
        .seen("the temperature", |fact| {
            matches!(fact, Fact::Reported { point, value, .. }
                if &*point.point == "temperature" && *value == Some(Value::Float(21.5)))
        })
        .await;
    let state = house.message("engawa/hotel/room/12%2F3/point/t1/temperature", "21.5").await;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(
        (&state["value"], &state["quality"], &state["unit"]),
        (&21.5.into(), &"good".into(), &"Cel".into())
    );
    house.message("engawa/hotel/device/t1/health", "well").await;

    let set = "engawa/hotel/room/12%2F3/setpoint/set";
    publish(port, &["-q", "1", "-t", set, "-m", r#"{"value":22.5,"key":"panel/1"}"#]).await;
    running.house.seen("the command", |fact| matches!(fact, Fact::Asked { .. })).await;
    assert_eq!(device.message("z2m/thermostat1/set", "heat").await, r#"{"heat":22.5}"#);
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":21.5,"heat":22.5}"#]).await;
    running.house.seen("the outcome", |fact| matches!(fact, Fact::Written { .. })).await;
    house.message("engawa/hotel/cmd/panel%2F1/result", r#""outcome":"done""#).await;
    let room = subscribe(port, "engawa/hotel/room/12%2F3/state").await;
    let room = { room }.message("engawa/hotel/room/12%2F3/state", "22.5").await;
    let room: serde_json::Value = serde_json::from_str(&room).unwrap();
    assert_eq!(room["climate"], serde_json::json!({ "temperature": 21.5, "setpoint": 22.5 }));

    publish(port, &["-q", "1", "-t", set, "-m", "warm"]).await;
    house.message("engawa/hotel/cmd/error", "expected a number").await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", "warm"]).await;
    house.message("engawa/hotel/device/t1/health", "not JSON").await;
    publish(port, &["-q", "1", "-t", set, "-m", "21"]).await;
    assert_eq!(device.message("z2m/thermostat1/set", "heat").await, r#"{"heat":21.0}"#);
    running.stop().await;
}

#[tokio::test]
async fn the_house_and_its_devices_meet_at_mosquitto() {
    let port = free_port();
    let _broker = mosquitto(port, "").await;
    whole_circle(site(port)).await;
}

#[tokio::test]
async fn the_house_and_its_devices_meet_at_the_gateways_own_broker() {
    whole_circle(own()).await;
}

#[tokio::test]
async fn the_own_broker_acknowledges_what_is_durable_and_nothing_else() {
    let running = start(own()).await;
    running.house.up().await;
    for (version, temperature) in [("mqttv311", 20.5), ("mqttv5", 21.5)] {
        running.house.durable.send_replace(false);
        let payload = format!("{{\"temp\":{temperature}}}");
        let args = ["-V", version, "-q", "1", "-t", "z2m/thermostat1", "-m", &payload];
        let mut publishing = start_publishing(running.port, &args);
        let came = |fact: &Fact| matches!(fact, Fact::Reported { value, .. } if *value == Some(Value::Float(temperature)));
        running.house.seen("the report", came).await;
        // The broker is not stuck: others are served meanwhile, to the end.
        publish(running.port, &["-q", "1", "-t", "elsewhere", "-m", "x"]).await;
        assert!(publishing.try_wait().unwrap().is_none(), "{version}: acknowledged before it was durable");
        running.house.durable.send_replace(true);
        assert!(timeout(PATIENCE, publishing.wait()).await.unwrap().unwrap().success());
    }
    // What is at the door when the house stops is not acknowledged at all.
    running.house.durable.send_replace(false);
    let args = ["-q", "1", "-t", "engawa/hotel/cmd", "-m", r#"{"key":"late","do":"resync"}"#];
    let mut publishing = start_publishing(running.port, &args);
    running.house.seen("the command", |fact| matches!(fact, Fact::Asked { .. })).await;
    running.stop().await;
    let ended = timeout(Duration::from_millis(300), publishing.wait()).await;
    assert!(ended.is_err() || !ended.unwrap().unwrap().success(), "acknowledged by a house that has stopped");
}

#[tokio::test]
async fn a_message_that_was_not_durable_comes_again_after_a_crash() {
    let port = free_port();
    let _broker = mosquitto(port, "").await;
    let first = start(site(port)).await;
    first.house.up().await;
    first.house.durable.send_replace(false);
    let payload = r#"{"key":"once","do":"resync"}"#;
    publish(port, &["-q", "1", "-t", "engawa/hotel/cmd", "-m", payload]).await;
    let came = |fact: &Fact| matches!(fact, Fact::Asked { command } if command.key.as_str() == "once");
    first.house.seen("the command", came).await;
    first.kill().await;
    // The one sent while nobody is there is kept as well.
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":18.5}"#]).await;

    let second = start(site(port)).await;
    second.house.seen("the command again", came).await;
    second
        .house
        .seen("the report", |fact| matches!(fact, Fact::Reported { value: Some(Value::Float(18.5)), .. }))
        .await;
    second.stop().await;
    // Acknowledged now: a third start does not get it again, but what is published after it.
    let third = start(site(port)).await;
    third.house.up().await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":18.5}"#]).await;
    third.house.seen("the report", |fact| matches!(fact, Fact::Reported { .. })).await;
    assert!(!third.house.facts.borrow().iter().any(came));
    third.stop().await;
}

#[tokio::test]
async fn birth_and_last_will_tell_whether_the_house_is_there() {
    let port = free_port();
    let _broker = mosquitto(port, "").await;
    let mut status = subscribe(port, "engawa/hotel/status").await;
    let running = start(site(port)).await;
    status.message("engawa/hotel/status", "online").await;
    running.kill().await;
    status.message("engawa/hotel/status", "offline").await;
    let running = start(site(port)).await;
    status.message("engawa/hotel/status", "online").await;
    running.stop().await;
    status.message("engawa/hotel/status", "offline").await;
    // Both are kept for those who come later.
    subscribe(port, "engawa/hotel/status").await.message("engawa/hotel/status", "offline").await;
}

#[tokio::test]
async fn after_a_restart_of_the_broker_everything_is_there_again() {
    let port = free_port();
    let broker = mosquitto(port, "").await;
    let running = start(site(port)).await;
    running.house.up().await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":20.5}"#]).await;
    running.house.seen("the report", |fact| matches!(fact, Fact::Reported { .. })).await;
    drop(broker);
    running.house.seen("the link's end", |fact| matches!(fact, Fact::Link { up: false, .. })).await;
    running.house.facts.send_modify(Vec::clear);
    let _broker = mosquitto(port, "").await;
    running.house.up().await;
    let mut house = subscribe(port, "engawa/hotel/#").await;
    house.message("engawa/hotel/room/12%2F3/point/t1/temperature", "20.5").await;
    publish(port, &["-q", "1", "-t", "z2m/thermostat1", "-m", r#"{"temp":23.5}"#]).await;
    house.message("engawa/hotel/room/12%2F3/point/t1/temperature", "23.5").await;
    running.stop().await;
}

#[tokio::test]
async fn the_own_broker_keeps_strangers_out_and_the_house_s_topics_for_the_house() {
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "tea house\n").unwrap();
    let config =
        MqttConfig { username: Some("room".to_owned()), password_file: Some(password_file), ..own() };
    let running = start(config).await;
    running.house.up().await;
    let topic = ["-q", "1", "-V", "mqttv5", "-t", "engawa/hotel/link/pms", "-m", "up"];
    for stranger in [&[][..], &["-u", "room"], &["-u", "room", "-P", "tea"], &["-u", "x", "-P", "tea house"]]
    {
        let args = [stranger, &["-t", "elsewhere", "-m", "x"]].concat();
        let out = start_publishing(running.port, &args).wait_with_output();
        assert!(!timeout(PATIENCE, out).await.unwrap().unwrap().status.success(), "{stranger:?}");
    }
    let known = ["-u", "room", "-P", "tea house"];
    publish(running.port, &[&known[..], &["-q", "1", "-t", "elsewhere", "-m", "x"]].concat()).await;
    let out = start_publishing(running.port, &[&known[..], &topic].concat()).wait_with_output();
    let out = timeout(PATIENCE, out).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).to_lowercase();
    assert!(said.contains("not authori"), "{said}");
    running.stop().await;
}

#[tokio::test]
async fn tls_is_checked_against_the_given_authority() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let stranger = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap();
    std::fs::write(path("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(path("other.pem"), stranger.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let port = free_port();
    let extra = format!("certfile {}\nkeyfile {}\n", path("cert.pem").display(), path("key.pem").display());
    let _broker = mosquitto(port, &extra).await;
    let broker = Some(format!("mqtts://localhost:{port}"));
    let config =
        |ca: &str| MqttConfig { broker: broker.clone(), ca_file: Some(path(ca)), ..MqttConfig::default() };

    let running = start(config("cert.pem")).await;
    running.house.up().await;
    running.stop().await;
    let refused = start(config("other.pem")).await;
    refused
        .house
        .seen(
            "the refusal",
            |fact| matches!(fact, Fact::Link { up: false, detail, .. } if detail.contains("ertificate")),
        )
        .await;
    refused.stop().await;
}
