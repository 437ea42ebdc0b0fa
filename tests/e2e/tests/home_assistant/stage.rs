//! The stage: Mosquitto, the agent's own program, a real Home Assistant, and devices played by Mosquitto's clients.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long anything may take but the start of Home Assistant.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long Home Assistant may take to start.
const START: Duration = Duration::from_secs(240);

/// A broker on a port of its own.
pub async fn mosquitto(folder: &Path) -> (u16, Child) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = folder.join("mosquitto.conf");
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
    listens(port).await;
    (port, child)
}

/// Waits until somebody listens on `port`.
pub async fn listens(port: u16) {
    let listening = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listening).await.expect("the broker listens");
}

/// Publishes, and is done when the broker has it.
pub async fn publish(port: u16, topic: &str, payload: &str) {
    publish_as(&[], port, topic, payload).await;
}

/// The same with a user name and a password.
pub async fn publish_as(login: &[&str], port: u16, topic: &str, payload: &str) {
    let port = port.to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-m", payload];
    let done = Command::new("mosquitto_pub").args(login).args(arguments).status();
    assert!(timeout(PATIENCE, done).await.unwrap().unwrap().success(), "{topic} can be published to");
}

/// What comes on some topics.
pub struct Subscriber {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    /// Subscribed once the first message has come; `arguments` are those of `mosquitto_sub`.
    pub fn new(port: u16, arguments: &[&str]) -> Self {
        // Line by line: into a pipe the C library would keep what was said until there is a lot of it.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-q", "1", "-p", &port.to_string()])
            .args(arguments)
            .kill_on_drop(true)
            .stdout(Stdio::piped())
            .spawn()
            .expect("`mosquitto-clients` must be installed");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    /// The next message that is wanted; what comes before it is passed over.
    pub async fn next(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
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
}

/// The agent's program, as `cargo build --workspace --bins` makes it: beside this test's folder.
pub struct Agent(Child);

impl Agent {
    pub fn start(config: &Path) -> Self {
        let here = std::env::current_exe().unwrap();
        let program = here.ancestors().nth(2).unwrap().join("engawa");
        assert!(program.is_file(), "run `cargo build --workspace --bins` first: {}", program.display());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(config.with_extension("log"));
        let child = Command::new(program)
            .arg("run")
            .arg(config)
            .kill_on_drop(true)
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        Self(child.unwrap())
    }

    /// An orderly stop.
    pub async fn stop(mut self) {
        let id = self.0.id().unwrap().to_string();
        assert!(Command::new("kill").arg(id).status().await.unwrap().success());
        assert!(timeout(PATIENCE, self.0.wait()).await.unwrap().unwrap().success(), "it stops in good order");
    }
}

/// Home Assistant.
pub struct Home {
    _child: Child,
    asks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Home {
    /// Installed where it is not yet, and running with the broker at `port`.
    pub async fn start(folder: &Path, port: u16) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/home_assistant");
        // The target folder: this package's own part of it lies within.
        let peers = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("peers/home-assistant");
        let installed = Command::new("bash").arg(here.join("install.sh")).arg(&peers).status().await.unwrap();
        assert!(installed.success(), "Home Assistant can be installed; see above");
        let mut child = Command::new(peers.join("venv/bin/python"))
            .arg(here.join("peer.py"))
            .arg(folder.join("home-assistant"))
            .arg(port.to_string())
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let asks = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut home = Self { _child: child, asks, answers };
        assert_eq!(home.answer("its start", START).await, "running");
        home
    }

    async fn answer(&mut self, what: &str, patience: Duration) -> Value {
        let line = timeout(patience, self.answers.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("waited in vain for {what}")).unwrap();
        serde_json::from_str(&line.unwrap_or_else(|| panic!("Home Assistant ended before {what}"))).unwrap()
    }

    async fn ask(&mut self, ask: Value) -> Value {
        self.asks.write_all(format!("{ask}\n").as_bytes()).await.unwrap();
        self.asks.flush().await.unwrap();
        self.answer(&ask.to_string(), PATIENCE).await
    }

    /// Waits until `entity` has this state and these attributes.
    pub async fn shows(&mut self, entity: &str, state: &str, attributes: Value) -> Value {
        self.ask(json!({ "do": "state", "entity": entity, "state": state, "attributes": attributes })).await
    }

    /// Waits until there is no `entity`.
    pub async fn lacks(&mut self, entity: &str) {
        self.ask(json!({ "do": "gone", "entity": entity })).await;
    }

    /// Calls a service, such as `climate/set_temperature`.
    pub async fn call(&mut self, service: &str, data: Value) {
        self.ask(json!({ "do": "call", "service": service, "data": data })).await;
    }

    /// What Home Assistant makes of a template.
    pub async fn renders(&mut self, template: &str, variables: Value) -> String {
        let rendered =
            self.ask(json!({ "do": "template", "template": template, "variables": variables })).await;
        rendered.as_str().unwrap().to_owned()
    }

    /// Waits until a template comes to `text`.
    pub async fn comes_to(&mut self, template: &str, text: &str) {
        self.ask(json!({ "do": "template", "template": template, "is": text })).await;
    }

    /// What it has to complain of.
    pub async fn log(&mut self) -> String {
        self.ask(json!({ "do": "log" })).await.as_str().unwrap().to_owned()
    }
}
