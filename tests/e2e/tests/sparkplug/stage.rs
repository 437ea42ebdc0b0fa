//! The stage: a house with two thermostats, a broker that is Mosquitto, and a host that is pysparkplug.

use engawa_field::mqtt::sparkplug::{
    BdSeqFile, Broker, NodeNames, Sparkplug, SparkplugParts, Updates, picture, updates, updates_queue,
};
use engawa_model::{
    ClimateDefaults, Currency, DeviceSpec, DeviceState, Fact, Intent, Observation, ObservationSink, PointId,
    PointSpec, Property, PropertySpec, Quality, Role, RoomSpec, Season, SinkClosed, SinkFuture, Timestamp,
    Value,
};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_secs(30);
/// The version whose behaviour is known.
const HOST_PACKAGE: &str = "pysparkplug==0.6.1";

pub struct House {
    property: Mutex<Property>,
    feed: Mutex<Option<Updates>>,
    facts: watch::Sender<Vec<Fact>>,
    pub intents: Mutex<Vec<Intent>>,
}

impl House {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            property: Mutex::new(property()),
            feed: Mutex::new(None),
            facts: watch::Sender::default(),
            intents: Mutex::default(),
        })
    }

    pub fn fact(&self, fact: Fact) {
        let mut property = self.property.lock().unwrap();
        let applied = property.apply(&Observation::new(Timestamp::now(), fact.clone()));
        let told: Vec<_> = applied.changes.iter().flat_map(|change| updates(&property, change)).collect();
        drop(property);
        if let Some(feed) = self.feed.lock().unwrap().as_ref() {
            told.into_iter().for_each(|update| feed.push(update));
        }
        self.intents.lock().unwrap().extend(applied.intents);
        self.facts.send_modify(|facts| facts.push(fact));
    }

    pub fn reports(&self, device: &str, point: &str, value: Value) {
        let (point, sampled) = (PointId::new(device, point), Timestamp::now());
        self.fact(Fact::Reported { point, value: Some(value), quality: Quality::Good, sampled });
    }

    pub fn health(&self, device: &str, state: DeviceState) {
        self.fact(Fact::Health { device: device.into(), state, reason: None });
    }

    pub async fn seen(&self, what: &str, count: usize, wanted: impl Fn(&Fact) -> bool) {
        let mut facts = self.facts.subscribe();
        let enough = |facts: &Vec<Fact>| facts.iter().filter(|fact| wanted(fact)).count() >= count;
        let found = timeout(PATIENCE, facts.wait_for(enough)).await;
        assert!(found.is_ok(), "{what} did not come; came: {:#?}", self.facts.borrow());
    }
}

struct Sink(Arc<House>);

impl ObservationSink for Sink {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        self.0.fact(observation.fact);
        Box::pin(async { Ok(()) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        self.report(observation)
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
    let device = |id: &str| DeviceSpec {
        id: id.into(),
        room: Some("101".into()),
        profile: "p".to_owned(),
        points: [
            point("temperature", Role::RoomTemperature, false),
            point("setpoint", Role::ClimateSetpoint, true),
        ]
        .into(),
    };
    Property::new(PropertySpec {
        id: "grand".into(),
        zone: "Europe/Paris".to_owned(),
        currency: Currency::new("EUR").unwrap(),
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 27.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        },
        rooms: vec![RoomSpec { id: "101".into() }],
        devices: vec![device("t/1"), device("t2")],
        resync_every_s: 900,
        order_ttl_s: 3600,
    })
}

/// One run of the program.
pub struct Run {
    task: JoinHandle<Result<(), SinkClosed>>,
    cancel: CancellationToken,
}

pub fn start(house: &Arc<House>, port: u16, host: Option<&str>, number: &Path) -> Run {
    let (feed, queue) = updates_queue(1024);
    *house.feed.lock().unwrap() = Some(feed);
    let seen = Arc::clone(house);
    let sparkplug = Sparkplug::new(SparkplugParts {
        names: NodeNames::new("Hotels", "grand", host).unwrap(),
        broker: Broker::plain("127.0.0.1", port, "engawa-spb-grand"),
        snapshot: Arc::new(move || picture(&seen.property.lock().unwrap())),
        updates: queue,
        sink: Arc::new(Sink(Arc::clone(house))),
        bd_seq: Arc::new(BdSeqFile::new(number)),
    });
    let cancel = CancellationToken::new();
    Run { task: tokio::spawn(sparkplug.run(cancel.clone())), cancel }
}

impl Run {
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

pub async fn mosquitto() -> (u16, Child, tempfile::TempDir) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mosquitto.conf");
    std::fs::write(&file, format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"))
        .unwrap();
    // Debian keeps daemons out of the search path of users.
    let debian = PathBuf::from("/usr/sbin/mosquitto");
    let child = Command::new(if debian.exists() { debian } else { "mosquitto".into() })
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
    (port, child, folder)
}

/// Python with the host's package, made once below the target folder; `None` where the package index is out of reach.
pub async fn python() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("host-{HOST_PACKAGE}"));
    let (python, ready) = (folder.join("bin/python"), folder.join("ready"));
    if ready.exists() {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).output().await;
    let made = made.expect("`python3` must be installed");
    assert!(
        made.status.success(),
        "`python3-venv` must be installed: {}",
        String::from_utf8_lossy(&made.stdout)
    );
    let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "1", HOST_PACKAGE];
    let installed = Command::new(&python).args(pip).output().await.unwrap();
    let why = String::from_utf8_lossy(&installed.stderr).into_owned();
    if installed.status.success() {
        std::fs::write(ready, "").unwrap();
        return Some(python);
    }
    let unreachable =
        ["connection", "timed out", "name resolution", "Max retries", "No matching distribution"];
    assert!(unreachable.iter().any(|sign| why.contains(sign)), "{HOST_PACKAGE} can't be installed: {why}");
    eprintln!("SKIPPED: {HOST_PACKAGE} can't be fetched, the package index is out of reach: {why}");
    None
}

/// The host application.
pub struct Host {
    _child: Child,
    asks: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

fn script(python: &Path, args: &[&str]) -> Child {
    Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sparkplug/host.py"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

impl Host {
    pub async fn start(python: &Path, port: u16) -> Self {
        let mut child = script(python, &["host", &port.to_string(), "Hotels", "scada"]);
        let asks = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut host = Self { _child: child, asks, lines };
        host.sees("the connection", |it| it["kind"] == "connected").await;
        host
    }

    pub async fn ask(&mut self, ask: serde_json::Value) {
        self.asks.write_all(format!("{ask}\n").as_bytes()).await.unwrap();
        self.asks.flush().await.unwrap();
    }

    pub async fn state(&mut self, online: bool, timestamp: u64) {
        self.ask(serde_json::json!({ "do": "state", "online": online, "timestamp": timestamp })).await;
    }

    /// The next thing the host sees that is wanted; what comes before it is passed over.
    pub async fn sees(
        &mut self,
        what: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let mut came = Vec::new();
        let search = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap();
                if wanted(&line) {
                    return Some(line);
                }
                came.push(line.to_string());
            }
            None
        };
        let found = timeout(PATIENCE, search).await.ok().flatten();
        found.unwrap_or_else(|| panic!("the host did not see {what}; it saw {came:#?}"))
    }
}

/// What the published schema makes of `payloads`.
pub async fn decode(python: &Path, payloads: &[Vec<u8>]) -> Vec<serde_json::Value> {
    let mut child = script(python, &["decode"]);
    let lines: String = payloads
        .iter()
        .map(|payload| payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n")
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    let writing = tokio::spawn(async move { stdin.write_all(lines.as_bytes()).await });
    let out = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    writing.await.unwrap().unwrap();
    let told: Vec<serde_json::Value> = String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), payloads.len(), "every payload is one of the published schema");
    told.into_iter()
        .map(|mut it| {
            assert_eq!(it["whole"], true, "a field that the published schema does not know: {it}");
            it["payload"].take()
        })
        .collect()
}
