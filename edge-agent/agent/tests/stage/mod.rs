//! What the agent's tests share: running programs, the PMS's side of a link, a plain configuration, and waiting.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    reason = "a module of several tests, each of which uses a part"
)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything is waited for: a key's encoder alone has 25 seconds.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// A running program; killed when the test is over, however it ends.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `look` finds something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A port of loopback that nobody has now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The program with these arguments, without anything of the machine's own configuration.
pub fn engawa(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engawa"));
    command.args(arguments).env_remove("ENGAWA_CONFIG").env_remove("CREDENTIALS_DIRECTORY");
    command
}

/// Mosquitto at `port`, for anybody.
pub fn mosquitto(dir: &Path, port: u16) -> Running {
    let file = dir.join(format!("mosquitto-{port}.conf"));
    let settings = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
    std::fs::write(&file, settings).unwrap();
    // Debian keeps daemons out of the search path of users.
    let places = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
    let program = places.into_iter().find(|path| Path::new(path).exists()).unwrap_or("mosquitto");
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let broker = Running(command.spawn().expect("`mosquitto` must be installed"));
    wait_for("the broker", || TcpStream::connect(("127.0.0.1", port)).ok());
    broker
}

/// The PMS's side of a link.
pub struct Pms {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Pms {
    /// Takes the gateway's connection, greets, and lets the link come alive.
    pub fn start(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let mut pms = Self { stream, reader };
        pms.say("LS|DA260715|TI101500|");
        pms.hear("LA|");
        pms.say("LA|DA260715|TI101501|");
        pms
    }

    /// Sends a record.
    pub fn say(&mut self, record: impl AsRef<[u8]>) {
        self.stream.write_all(&[b"\x02", record.as_ref(), b"\x03"].concat()).unwrap();
    }

    /// The next record that begins with `begin`.
    pub fn hear(&mut self, begin: &str) -> String {
        loop {
            let mut record = Vec::new();
            assert!(self.reader.read_until(3, &mut record).unwrap() > 0, "the gateway closed before {begin}");
            let record = String::from_utf8_lossy(&record[1..record.len() - 1]).into_owned();
            if record.starts_with(begin) {
                return record;
            }
        }
    }

    /// A complete list of the house.
    pub fn list(&mut self, guests: &[impl AsRef<[u8]>]) {
        self.say("DS|DA260715|TI101500|");
        guests.iter().for_each(|guest| self.say(guest));
        self.say("DE|DA260715|TI101600|");
    }
}

/// As [`Pms::start`]: the stream, for whoever reads its bytes.
pub fn greet(listener: &TcpListener) -> TcpStream {
    Pms::start(listener).stream
}

/// A house in a folder of its own, with one PMS.
pub struct House {
    pub dir: tempfile::TempDir,
    pub config: PathBuf,
}

impl House {
    /// With the PMS at `pms`, and `more` lines at the configuration's end.
    pub fn new(pms: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("engawa.toml");
        let text = format!(
            "[property]\nid = 'test'\nname = 'Test'\nzone = 'Asia/Tokyo'\ncurrency = 'JPY'\nrooms = ['101', '102']\n\
             [climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n[store]\ndir = 'data'\n\
             [mqtt]\nlisten = '127.0.0.1:0'\n[api]\nlisten = '127.0.0.1:0'\nsocket = '{}'\n[pms]\naddress = '{pms}'\n{more}",
            dir.path().join("engawa.sock").display()
        );
        std::fs::write(&config, text).unwrap();
        Self { dir, config }
    }

    /// Starts the agent; what it says goes to `agent.log`.
    pub fn start(&self) -> Running {
        let log =
            std::fs::OpenOptions::new().append(true).create(true).open(self.dir.path().join("agent.log"));
        let mut command = engawa(&["run"]);
        command.arg(&self.config).stdout(Stdio::null()).stderr(log.unwrap());
        Running(command.spawn().unwrap())
    }

    /// What the agent has said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("agent.log")).unwrap()
    }

    /// A command with the configuration behind it.
    pub fn engawa(&self, arguments: &[&str]) -> Output {
        engawa(arguments).arg(&self.config).output().unwrap()
    }

    /// What a listing says, one object a line.
    pub fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let text = String::from_utf8(self.engawa(arguments).stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `engawa status`, once the agent answers.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_slice(&self.engawa(&["status", "--json"]).stdout).ok()
    }

    /// Asks the agent for something, by its socket, as another program does.
    pub fn ask(&self, command: &Value) -> String {
        let mut socket = UnixStream::connect(self.dir.path().join("engawa.sock")).unwrap();
        let body = command.to_string();
        write!(
            socket,
            "POST /api/commands HTTP/1.1\r\nHost: engawa\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}
