//! A box with its cloud and its PMS, and a house that makes releases.
#![allow(dead_code, reason = "each test uses a part of it")]

use crate::pms::Pms;
use engawa_stage::process::{self, Running};
use engawa_stage::sqlite::Database;
use engawa_stage::wait;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub(crate) const LONGEST: Duration = Duration::from_secs(90);
const GATEWAY: &str = "grand-1";

/// What releases are for.
pub(crate) fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn arguments<const N: usize>(words: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<OsString> {
    words.into_iter().map(|word| word.as_ref().to_owned()).collect()
}

/// A release counter that grows with the version: 101 for 1.1.0.
fn number(version: &str) -> u32 {
    version.split('.').take(2).fold(0, |sum, part| sum * 100 + part.parse::<u32>().unwrap())
}

/// What the shops of all tests share, made once: the agent without its debug information, which is seven eighths of it.
static PROGRAM: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("engawa");
    let engawa = process::program("engawa").unwrap();
    process::run(Path::new("strip"), arguments([&"-o", &program, &engawa])).unwrap();
    (folder, program)
});

/// What a release does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// What it should.
    Good,
    /// It ends right after its start.
    Panics,
    /// It never says that it is ready.
    Mute,
    /// It looks for its PMS where there is none.
    LosesThePms,
    /// It takes more and more memory.
    EatsMemory,
}

impl Kind {
    /// What is started in place of the agent; `None`: the agent itself.
    fn script(self) -> Option<&'static str> {
        match self {
            Self::Good => None,
            Self::Panics => Some("echo 'thread main panicked' >&2; exit 101"),
            Self::Mute => Some("exec sleep 600"),
            Self::LosesThePms => Some(
                "sed \"s/^address = .* # pms/address = '127.0.0.1:1'/\" \"$2\" > \"$2.other.toml\"\n\
                 exec \"$(dirname \"$0\")/agent\" run \"$2.other.toml\"",
            ),
            Self::EatsMemory => Some(
                "exec awk 'BEGIN { hoard = \"a\"; while (length(hoard) < 150000000) hoard = hoard hoard; system(\"sleep 600\") }'",
            ),
        }
    }
}

/// Whoever makes releases: keys, drafts, and the cloud's folder with the repository.
pub(crate) struct Shop {
    pub(crate) folder: PathBuf,
    cloud: PathBuf,
}

impl Shop {
    /// With one root key and one for releases, and a repository without releases.
    pub(crate) fn open(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("cloud")).unwrap();
        let shop = Self { folder: folder.to_owned(), cloud: process::program("engawa-cloud").unwrap() };
        shop.done(&["keygen", "root.key"]);
        shop.done(&["keygen", "releases.key"]);
        shop.done(&["init", "first", "--root", "root.key.pub", "--targets", "releases.key.pub"]);
        shop.done(&["sign", "first", "--key", "root.key", "--key", "releases.key", "--yes"]);
        shop.done(&["publish", "first"]);
        shop
    }

    pub(crate) fn done(&self, words: &[&str]) {
        let mut command = Command::new(&self.cloud);
        command.arg("release").args(words).args(["--dir", "cloud"]).current_dir(&self.folder);
        let output = command.env_remove("ENGAWA_RELEASE_PASSPHRASE").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}{}", text(&output.stdout), text(&output.stderr));
    }

    pub(crate) fn release(&self, version: &str, kind: Kind) {
        self.release_as(version, kind, &[]);
    }

    pub(crate) fn release_as(&self, version: &str, kind: Kind, more: &[&str]) {
        self.release_for(&triple(), version, kind, more);
    }

    pub(crate) fn release_for(&self, triple: &str, version: &str, kind: Kind, more: &[&str]) {
        let files = self.folder.join(format!("files-{version}"));
        fs::create_dir(&files).unwrap();
        let agent = match kind.script() {
            None => files.join("engawa"),
            Some(script) => {
                fs::write(files.join("engawa"), format!("#!/bin/sh\n{script}\n")).unwrap();
                fs::set_permissions(files.join("engawa"), fs::Permissions::from_mode(0o755)).unwrap();
                files.join("agent")
            }
        };
        // What never comes to the agent need not have it.
        if matches!(kind, Kind::Good | Kind::LosesThePms) {
            fs::hard_link(&PROGRAM.1, &agent).or_else(|_| fs::copy(&PROGRAM.1, &agent).map(drop)).unwrap();
        }
        fs::write(files.join("notes.txt"), version).unwrap();
        let (files, draft) = (files.to_str().unwrap().to_owned(), format!("draft-{version}"));
        let number = number(version).to_string();
        let words = [
            "create",
            &files,
            "--draft",
            &draft,
            "--triple",
            triple,
            "--version",
            version,
            "--number",
            &number,
            // Made quickly: nobody waits for its bytes.
            "--level",
            "1",
        ];
        self.done(&[&words, more].concat());
        self.done(&["sign", &draft, "--key", "releases.key", "--yes"]);
        self.done(&["publish", &draft]);
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.join("cloud/releases")
    }

    /// The repository as it is, put aside.
    pub(crate) fn copy(&self, to: &str) -> PathBuf {
        let to = self.folder.join(to);
        process::run(Path::new("cp"), arguments([&"-a", &self.repository(), &to])).unwrap();
        to
    }

    /// The repository is what was put aside.
    pub(crate) fn put_back(&self, from: &Path) {
        fs::remove_dir_all(self.repository()).unwrap();
        process::run(Path::new("cp"), arguments([&"-a", &from, &self.repository()])).unwrap();
    }
}

/// A box: supervisor, slots with the first release, configuration; and its cloud.
pub(crate) struct Box {
    pub(crate) shop: Shop,
    folder: PathBuf,
    page: SocketAddr,
    pub(crate) pms: Pms,
    cloud: PathBuf,
    cloud_at: String,
    serving: Option<Running>,
    pub(crate) supervisor: Running,
    _dir: tempfile::TempDir,
}

impl Box {
    /// Version 1.0.0 runs, is connected to the cloud and to its PMS.
    pub(crate) fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_owned();
        let (cloud, engawa) =
            (process::program("engawa-cloud").unwrap(), process::program("engawa").unwrap());
        let shop = Shop::open(&folder);
        let home = folder.join("cloud");
        process::run(&cloud, arguments([&"init", &"--dir", &home, &"--name", &"127.0.0.1"])).unwrap();
        let claim = ["claim", "--property", "grand", "--gateway", GATEWAY, "--dir"];
        let code =
            process::run(&cloud, claim.map(OsString::from).into_iter().chain([home.clone().into()])).unwrap();
        let pms = Pms::open();
        let page = free();
        let cloud_at = free().to_string();
        let mut this = Self {
            supervisor: Running::start("none", "true".into(), vec![], &folder).unwrap(),
            shop,
            page,
            pms,
            cloud,
            cloud_at,
            serving: None,
            folder: folder.clone(),
            _dir: dir,
        };
        this.serve(&[]);
        let at = folder.display();
        let config = format!(
            "[property]\nid = 'grand'\nname = 'Grand'\nzone = 'UTC'\ncurrency = 'EUR'\nrooms = ['101', '102']\n\
             [climate]\ncomfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0\n[store]\ndir = '{at}/data'\n\
             [pms]\naddress = '{}' # pms\n[mqtt]\nlisten = '127.0.0.1:0'\n\
             [api]\nlisten = '{page}'\nsocket = '{at}/engawa.sock'\n\
             [cloud]\naddress = '{}'\nidentity_dir = '{at}/identity'\n\
             [update]\ndir = '{at}/slots'\nroot = '{at}/root.json'\nask_every_s = 5\ntrial_s = 12\n\
             check_in = 'any'\naudit_margin_min = 0\nreserve_mib = 1\nrate_kib_s = 0\n",
            this.pms.at, this.cloud_at
        );
        fs::write(this.config(), config).unwrap();
        // It comes with the gateway.
        fs::copy(this.shop.repository().join("metadata/1.root.json"), folder.join("root.json")).unwrap();
        process::run(&engawa, arguments([&"enroll", &code.trim(), &this.config()])).unwrap();
        let supervisor = process::program("engawa-supervisor").unwrap();
        let slots = folder.join("slots");
        let lay = arguments([
            &"install",
            &"--dir",
            &slots,
            &"--release",
            &"1.0.0",
            &"--number",
            &number("1.0.0").to_string(),
            &PROGRAM.1,
        ]);
        process::run(&supervisor, lay).unwrap();
        // As the shipped unit starts it: the socket to hold is in the configuration.
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/supervised/engawa-supervised");
        let start = folder.join("engawa-supervised");
        fs::copy(shipped, &start).unwrap();
        std::os::unix::fs::symlink(supervisor, folder.join("engawa-supervisor")).unwrap();
        let run = arguments([
            &slots,
            &"--run-dir",
            &folder,
            &"--start",
            &"10",
            &"--trial",
            &"60",
            &"--tries",
            &"2",
            &"--memory-mib",
            &"200",
            &"--",
            &this.config(),
        ]);
        this.supervisor = Running::start("box", start, run, &folder).unwrap();
        this.until("the first release to be connected", |this| {
            let fleet = this.cloud(&["rollout", "fleet", "--gateways", "--json"]);
            (text(&fleet.stdout).contains("1.0.0") && this.is_up("pms")).then_some(())
        });
        this
    }

    fn config(&self) -> PathBuf {
        self.folder.join("engawa.toml")
    }

    /// The cloud serves (again); `before` goes before the program, such as `faketime`.
    pub(crate) fn serve(&mut self, before: &[&str]) {
        self.serving = None;
        let serve = ["serve", "--listen", &self.cloud_at, "--dir"].map(OsString::from);
        let home: OsString = self.folder.join("cloud").into();
        let (program, words): (PathBuf, Vec<OsString>) = match before.split_first() {
            None => (self.cloud.clone(), serve.into_iter().chain([home]).collect()),
            Some((first, rest)) => {
                let rest = rest.iter().map(OsString::from).chain([self.cloud.clone().into()]);
                (first.into(), rest.chain(serve).chain([home]).collect())
            }
        };
        let mut serving = Running::start("cloud", program, words, &self.folder).unwrap();
        let listens = |serving: &mut Running| {
            serving.must_run()?;
            Ok(TcpStream::connect(&self.cloud_at).is_ok().then_some(()))
        };
        wait::until("the cloud to listen", LONGEST, || listens(&mut serving)).unwrap();
        self.serving = Some(serving);
    }

    pub(crate) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let waited = wait::until(what, LONGEST, || {
            self.supervisor.must_run()?;
            Ok(look(self))
        });
        waited.unwrap_or_else(|error| {
            panic!(
                "{error}
steps: {:?}
the box said last:
{}",
                self.steps(),
                self.log()
            )
        })
    }

    /// `engawa-cloud …`.
    pub(crate) fn cloud(&self, words: &[&str]) -> Output {
        let mut command = Command::new(&self.cloud);
        command
            .args(words)
            .env("ENGAWA_CLOUD_DIR", self.folder.join("cloud"))
            .env("USER", "ann")
            .output()
            .unwrap()
    }

    /// Writes into the cloud's database, past the cloud.
    pub(crate) fn tamper(&self, sql: &str) {
        let database = self.folder.join("cloud/cloud.db");
        let words = arguments([&"-cmd", &".timeout 10000", &database, &sql]);
        process::run(Path::new("sqlite3"), words).unwrap();
    }

    /// Rolls a version out, and gives the rollout's id.
    pub(crate) fn roll_out(&self, version: &str) -> String {
        let words = [
            "rollout",
            "create",
            version,
            "--ring",
            "all:all,soak=0s",
            "--not-during",
            "none",
            "--start",
            "--json",
        ];
        let output = self.cloud(&words);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        made["id"].as_str().or(made["rollout"].as_str()).unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    /// Asks the gateway itself to install a version, from the cloud's desk; what it answers.
    pub(crate) fn send(&self, version: &str) -> (bool, String) {
        let output = self.cloud(&["send", GATEWAY, "--wait", "80", "update", version]);
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// The steps of updates that the cloud's journal has, with their reasons.
    pub(crate) fn steps(&self) -> Vec<(String, String, String)> {
        let database = Database::new(self.folder.join("cloud/cloud.db"));
        let rows = database
            .rows("SELECT body FROM journal WHERE kind = 'update' ORDER BY rowid")
            .unwrap_or_default();
        let read = |row: &Value| {
            let body: Value = serde_json::from_str(row["body"].as_str()?).ok()?;
            let part = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            Some((part("version"), part("step"), part("reason")))
        };
        rows.iter().filter_map(read).collect()
    }

    /// What the box has said last.
    pub(crate) fn log(&self) -> String {
        let log = self.supervisor.output().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// The reason of a version's last step, once that is `step`.
    pub(crate) fn ended(&mut self, version: &str, step: &str) -> String {
        self.until(&format!("{version} to be {step}"), |this| {
            let steps = this.steps();
            let (_, is, reason) = steps.iter().rev().find(|(of, ..)| of == version)?;
            (is == step).then(|| reason.clone())
        })
    }

    /// `engawa …` on this box: whether it has done it, and what it says.
    pub(crate) fn engawa(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new(process::program("engawa").unwrap());
        let output = command.args(words).env("ENGAWA_CONFIG", self.config()).output().unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// What `engawa update status --json` says of the slots.
    pub(crate) fn table(&self) -> Value {
        let engawa = process::program("engawa").unwrap();
        let status =
            process::run(&engawa, arguments([&"update", &"status", &"--json", &self.config()])).unwrap();
        serde_json::from_str(&status).unwrap()
    }

    /// The version in the confirmed slot.
    pub(crate) fn runs(&self) -> String {
        let table = self.table();
        let slots = &table["slots"];
        slots[slots["active"].as_str().unwrap_or_default()]["version"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether a link is up; false while nobody answers.
    pub(crate) fn is_up(&self, link: &str) -> bool {
        let Some(status) = self.get("/api/status") else { return false };
        let links = status["links"].as_array().cloned().unwrap_or_default();
        links.iter().any(|it| it["id"] == link && it["up"] == true)
    }

    fn get(&self, path: &str) -> Option<Value> {
        let answer = http(self.page, path, Duration::from_secs(20)).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    pub(crate) fn page(&self) -> SocketAddr {
        self.page
    }
}

pub(crate) fn http(page: SocketAddr, path: &str, longest: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&page, longest)?;
    stream.set_read_timeout(Some(longest))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {page}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err(std::io::Error::other(answer)) }
}

/// A port that is free for TCP and UDP: below those that the system gives to connections, so that it stays so.
fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let at = SocketAddr::from(([127, 0, 0, 1], first + NEXT.fetch_add(1, Ordering::Relaxed)));
        if TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok() {
            return at;
        }
    }
}
