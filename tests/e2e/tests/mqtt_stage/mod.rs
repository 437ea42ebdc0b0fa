//! A house with one room and one thermostat at a broker, and programs that are not ours at the same one.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use engawa_field::mqtt::{
    self, Allowed, EventStore, Feed, Grant, Mqtt, MqttConfig, MqttDevice, MqttParts, Publication, Publisher,
    StoredEvent, User, ValueTopics, house,
};
use engawa_model::{
    ClimateDefaults, Currency, DeviceSpec, Fact, Intent, LinkId, Observation, ObservationSink, PointSpec,
    Property, PropertySpec, Role, RoomSpec, Season, SinkFuture,
};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Whom the clients log in as where they don't say; a Mosquitto without passwords does not care.
pub const USER: &str = "everybody";
const PASSWORD: &str = "tea house";

/// The file of that user's password.
fn password_file() -> PathBuf {
    static FILE: LazyLock<tempfile::NamedTempFile> = LazyLock::new(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), PASSWORD).unwrap();
        file
    });
    FILE.path().to_owned()
}

pub const PROFILE: &str = r#"
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
pub struct House {
    pub property: Mutex<Property>,
    pub facts: watch::Sender<Vec<Fact>>,
    pub durable: watch::Sender<bool>,
    pub publisher: Publisher,
    pub writes: mpsc::Sender<Intent>,
    /// Events that wait, and the last number.
    pub events: Mutex<(BTreeMap<u64, StoredEvent>, u64)>,
}

struct Events(Arc<House>);

impl EventStore for Events {
    fn waiting(&self, after: u64, most: usize) -> Result<Vec<StoredEvent>, Box<dyn Error + Send + Sync>> {
        Ok(self.0.events.lock().unwrap().0.range(after + 1..).take(most).map(|(_, it)| it.clone()).collect())
    }

    fn delivered(&self, number: u64) -> BoxFuture<'_, ()> {
        self.0.events.lock().unwrap().0.remove(&number);
        Box::pin(async {})
    }
}

impl House {
    pub fn apply(&self, observation: &Observation) {
        let mut property = self.property.lock().unwrap();
        let applied = property.apply(observation);
        for publication in
            applied.changes.iter().flat_map(|it| house::publications(&property, it, ValueTopics::Points))
        {
            if publication.retain {
                self.publisher.publish(publication);
                continue;
            }
            let (events, last) = &mut *self.events.lock().unwrap();
            *last += 1;
            let Publication { topic, payload, .. } = publication;
            events.insert(*last, StoredEvent { number: *last, topic, payload });
            self.publisher.remind();
        }
        drop(property);
        for intent in applied.intents {
            self.writes.try_send(intent).unwrap();
        }
        self.facts.send_modify(|facts| facts.push(observation.fact.clone()));
    }

    pub async fn seen(&self, what: &str, wanted: impl Fn(&Fact) -> bool) {
        let mut facts = self.facts.subscribe();
        let found = timeout(PATIENCE, facts.wait_for(|facts| facts.iter().any(&wanted))).await;
        assert!(found.is_ok(), "{what} did not come; came: {:#?}", self.facts.borrow());
    }

    pub async fn up(&self) {
        self.seen("the link", |fact| matches!(fact, Fact::Link { up: true, .. })).await;
    }
}

pub struct Sink(pub Arc<House>);

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

pub fn property() -> Property {
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

pub struct Running {
    pub house: Arc<House>,
    pub task: JoinHandle<Result<(), mqtt::MqttError>>,
    pub cancel: CancellationToken,
    pub port: u16,
}

/// How a house is started, beyond its configuration.
pub struct Start {
    pub config: MqttConfig,
    pub link: LinkId,
    pub publish: bool,
    pub property: Property,
    pub devices: Vec<MqttDevice>,
    pub users: Vec<User>,
}

impl Start {
    pub fn new(config: MqttConfig) -> Self {
        let device = MqttDevice {
            id: "t1".into(),
            room: Some("12/3".into()),
            name: "thermostat1".to_owned(),
            profile: Arc::new(toml::from_str(PROFILE).unwrap()),
        };
        Self {
            config,
            link: mqtt::MQTT_LINK.into(),
            publish: true,
            property: property(),
            devices: vec![device],
            users: vec![],
        }
    }
}

pub async fn start(config: MqttConfig) -> Running {
    begin(Start::new(config)).await
}

pub async fn begin(start: Start) -> Running {
    let config = start.config.clone();
    let (house, parts) = parts(start);
    let mqtt: Mqtt = mqtt::prepare(parts).await.unwrap();
    let site = || config.broker.as_deref().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let port = mqtt.broker_address().map_or_else(site, |address| address.port());
    let cancel = CancellationToken::new();
    let task = tokio::spawn(mqtt.run(cancel.clone()));
    Running { house, task, cancel, port }
}

pub fn parts(start: Start) -> (Arc<House>, MqttParts) {
    let Start { config, link, publish, property, devices, mut users } = start;
    if users.is_empty() {
        let all = vec![Allowed::Read, Allowed::Command, Allowed::Devices];
        users.push(User {
            name: USER.to_owned(),
            grant: Grant::Allowed(all),
            password_file: password_file(),
        });
    }
    let (publisher, publications): (Publisher, Feed) = mqtt::feed(1000);
    let (writes_in, writes) = mpsc::channel(100);
    let house = Arc::new(House {
        property: Mutex::new(property),
        facts: watch::Sender::default(),
        durable: watch::Sender::new(true),
        publisher,
        writes: writes_in,
        events: Mutex::default(),
    });
    let picture = Arc::clone(&house);
    let parts = MqttParts {
        link,
        publish,
        property: "hotel".into(),
        devices,
        users,
        sink: Arc::new(Sink(Arc::clone(&house))),
        snapshot: Arc::new(move || house::snapshot(&picture.property.lock().unwrap(), ValueTopics::Points)),
        publications,
        home: None,
        events: Arc::new(Events(Arc::clone(&house))),
        writes,
        config,
    };
    (house, parts)
}

impl Running {
    /// What the house knows: for the next start, which reads it from the disk.
    pub fn knows(&self) -> Property {
        std::mem::replace(&mut *self.house.property.lock().unwrap(), property())
    }

    /// The process is gone: no good-bye, sockets closed by the system.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

pub fn site(port: u16) -> MqttConfig {
    MqttConfig { broker: Some(format!("mqtt://127.0.0.1:{port}")), ..MqttConfig::default() }
}

pub fn own() -> MqttConfig {
    MqttConfig { listen: Some("127.0.0.1:0".to_owned()), ..MqttConfig::default() }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Debian keeps daemons out of the search path of users.
pub fn mosquitto_path() -> PathBuf {
    let found = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    found.unwrap_or_else(|| "mosquitto".into())
}

pub async fn mosquitto(port: u16, extra: &str) -> (Child, tempfile::TempDir) {
    mosquitto_with(port, &format!("allow_anonymous true\n{extra}")).await
}

pub async fn mosquitto_with(port: u16, extra: &str) -> (Child, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mosquitto.conf");
    let text = format!("listener {port} 127.0.0.1\npersistence false\n{extra}");
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

pub fn client(program: &str, port: u16, args: &[&str]) -> Child {
    let known: &[&str] = if args.contains(&"-u") { &[] } else { &["-u", USER, "-P", PASSWORD] };
    // Line by line: into a pipe the C library would keep what was said until there is a lot of it.
    Command::new("stdbuf")
        .args(["-oL", program, "-h", "127.0.0.1", "-p", &port.to_string()])
        .args(known)
        .args(args)
        .kill_on_drop(true)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`mosquitto-clients` must be installed")
}

pub fn start_publishing(port: u16, args: &[&str]) -> Child {
    client("mosquitto_pub", port, args)
}

pub async fn publish(port: u16, args: &[&str]) {
    let out = timeout(PATIENCE, start_publishing(port, args).wait_with_output()).await.unwrap().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

pub struct Subscriber {
    pub _child: Child,
    pub lines: Lines<BufReader<ChildStdout>>,
}

/// Subscribed once this returns.
pub async fn subscribe(port: u16, filter: &str) -> Subscriber {
    subscribe_with(port, &["-v", "-t", filter]).await
}

/// Subscribed once this returns; with further options.
pub async fn subscribe_with(port: u16, args: &[&str]) -> Subscriber {
    let mut child = client("mosquitto_sub", port, &[&["-q", "1", "-d"][..], args].concat());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut subscriber = Subscriber { _child: child, lines };
    subscriber.line("SUBACK", |line| line.starts_with("Subscribed")).await;
    subscriber
}

impl Subscriber {
    pub async fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
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
    pub async fn message(&mut self, topic: &str, part: &str) -> String {
        let head = format!("{topic} ");
        let line =
            self.line(&format!("{part} on {topic}"), |l| l.starts_with(&head) && l.contains(part)).await;
        line[head.len()..].to_owned()
    }
}

/// Everything that comes on a filter, kept in order.
pub struct Observer {
    _child: Child,
    seen: watch::Receiver<Vec<(String, String)>>,
}

/// Observes once this returns.
pub async fn observe(port: u16, filter: &str) -> Observer {
    let mut subscriber = subscribe(port, filter).await;
    let (tell, seen) = watch::channel(Vec::new());
    tokio::spawn(async move {
        while let Ok(Some(line)) = subscriber.lines.next_line().await {
            // Debug lines of the client begin with its name.
            if !line.starts_with("Client ") && !line.starts_with("Subscribed") {
                let (topic, payload) = line.split_once(' ').unwrap_or((&line, ""));
                tell.send_modify(|seen: &mut Vec<_>| seen.push((topic.to_owned(), payload.to_owned())));
            }
        }
    });
    Observer { _child: subscriber._child, seen }
}

impl Observer {
    /// Waits until `count` messages on `topic` with this payload have come.
    pub async fn wait(&mut self, topic: &str, payload: &str, count: usize) {
        let came = |seen: &Vec<(String, String)>| {
            seen.iter().filter(|(on, said)| on == topic && said == payload).count() >= count
        };
        let found = timeout(PATIENCE, self.seen.wait_for(came)).await.map(drop);
        assert!(found.is_ok(), "{count} times {payload} on {topic} did not come: {:#?}", self.seen.borrow());
    }

    pub fn seen(&self) -> Vec<(String, String)> {
        self.seen.borrow().clone()
    }
}

/// A line to a broker that can be cut.
pub struct Relay {
    pub port: u16,
    cut: Arc<tokio::sync::Notify>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Relay {
    pub async fn to(broker: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(tokio::sync::Notify::new());
        let cutting = Arc::clone(&cut);
        let task = tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let cutting = Arc::clone(&cutting);
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", broker)).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        () = cutting.notified() => {}
                    }
                });
            }
        });
        Self { port, cut, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }

    /// Cuts the connections that are there.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}
