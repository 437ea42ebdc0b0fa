//! A real PostgreSQL in a temporary folder on a free port, and databases in it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a module of several tests"
)]

use engawa_cloud::postgres::{Address, Store, gateways, migrations, partitions};
use engawa_model::Timestamp;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LONGEST: Duration = Duration::from_secs(60);
/// Whom the server runs as where the tests are root's: it refuses to be root.
const USER: &str = "postgres";

/// The folder with PostgreSQL's programs, as Debian lays them out, or as the PATH has them.
pub fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("initdb").exists())
        .collect();
    found.sort();
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    };
    found.pop().or_else(in_path).expect("PostgreSQL's programs: `make setup-test` installs them")
}

pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim() == "0"
}

/// `setpriv`, to which a program and its arguments are added: it then runs as the server's user, and ends with this
/// process.
pub fn as_server() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
    }
    command
}

/// A program of PostgreSQL's that ends with this process, and runs as its own user where this one is root.
pub fn command(program: &str) -> Command {
    let mut command = as_server();
    command.arg(programs().join(program)).current_dir("/").env("LC_ALL", "C.UTF-8");
    command
}

/// Starts a program that ends with this process. What asks for it is a thread that never ends: the system counts from it,
/// and a test's own thread ends with its test.
pub fn spawn(mut program: Command) -> Child {
    let (started, child) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        started.send(program.spawn()).unwrap();
        loop {
            std::thread::park();
        }
    });
    child.recv().unwrap().unwrap()
}

pub fn done(output: Output, what: &str) -> String {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A client program of PostgreSQL's that speaks to the server at `port`.
pub fn client(program: &str, port: u16) -> Command {
    let mut client = command(program);
    client.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres"]);
    client
}

/// Fills the new database `name` of the server at `port` from a dump.
pub fn fill(port: u16, name: &str, dump: &Path) {
    let mut psql = client("psql", port);
    psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-d", name]).stdin(fs::File::open(dump).unwrap());
    done(psql.output().unwrap(), "psql");
}

/// A folder that the server's user owns.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("engawa-pg").tempdir().unwrap();
    own(folder.path());
    folder
}

pub fn own(path: &Path) {
    if is_root() {
        done(Command::new("chown").args(["-R", USER]).arg(path).output().unwrap(), "chown");
    }
}

/// A server; killed when dropped.
pub struct Server {
    pub folder: TempDir,
    pub data: PathBuf,
    pub port: u16,
    settings: Vec<String>,
    child: Option<Child>,
    databases: AtomicU32,
}

impl Server {
    /// A new server whose disk is not waited for: for what is not about crashes.
    pub fn quick() -> Self {
        Self::new(&["fsync=off", "full_page_writes=off"])
    }

    pub fn new(settings: &[&str]) -> Self {
        let folder = folder();
        let data = folder.path().join("data");
        let made = command("initdb")
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        done(made, "initdb");
        Self::over(folder, data, settings)
    }

    /// A server over a data folder that is there.
    pub fn over(folder: TempDir, data: PathBuf, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server =
            Self { folder, data, port: free_port(), settings, child: None, databases: AtomicU32::new(0) };
        server.start();
        server
    }

    pub fn start(&mut self) {
        let mut postgres = command("postgres");
        postgres.arg("-D").arg(&self.data).args(["-p", &self.port.to_string(), "-k"]).arg(self.folder.path());
        for setting in ["listen_addresses=127.0.0.1", "max_connections=60", "shared_buffers=64MB"] {
            postgres.args(["-c", setting]);
        }
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("server.log"))
            .unwrap();
        postgres.stdout(Stdio::null()).stderr(log);
        self.child = Some(spawn(postgres));
        self.until_ready();
    }

    fn until_ready(&self) {
        let deadline = Instant::now() + LONGEST;
        while !self.try_sql("postgres", "SELECT 1").status.success() {
            let log = || fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not answer: {}", log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn try_sql(&self, database: &str, sql: &str) -> Output {
        let port = self.port.to_string();
        command("psql")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "postgres",
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-F",
                "|",
            ])
            .args(["-d", database, "-c", sql])
            .output()
            .unwrap()
    }

    /// What `psql` says, a line a row.
    pub fn sql(&self, database: &str, sql: &str) -> Vec<String> {
        done(self.try_sql(database, sql), sql).lines().map(str::to_owned).collect()
    }

    /// The process that all others of the server are children of.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// It hangs, and all that it has begun: nothing answers, and no connection ends.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// It goes on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        // The parent first when it stops: it must not notice its children.
        let all = std::iter::once(pid.to_string()).chain(children.split_whitespace().map(str::to_owned));
        let all: Vec<String> = all.collect();
        // One that has ended since is no harm.
        let _ = Command::new("kill").arg(signal).args(all).output().unwrap();
    }

    /// The power goes: no checkpoint, nothing is written any more.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The postmaster's children see its end and go.
            child.kill().unwrap();
            child.wait().unwrap();
            let deadline = Instant::now() + LONGEST;
            while self.data.join("postmaster.pid").exists() && Instant::now() < deadline {
                if fs::remove_file(self.data.join("postmaster.pid")).is_ok() {
                    break;
                }
            }
        }
    }

    /// Stopped as an administrator stops it: sessions are ended.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let stopped =
                command("pg_ctl").arg("-D").arg(&self.data).args(["-m", "fast", "-w", "stop"]).output();
            done(stopped.unwrap(), "pg_ctl stop");
            child.wait().unwrap();
        }
    }

    /// The name of a new database, and its URL.
    pub fn database(&self) -> (String, String) {
        let name = format!("engawa_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        let url = self.url(&name);
        (name, url)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A store over a new database with this release's schema.
pub async fn store(server: &Server) -> (String, Store) {
    let (name, url) = server.database();
    let store = Store::new(Address::parse(&url).unwrap()).unwrap();
    assert_eq!(migrations::migrate_to(&store, migrations::LATEST).await.unwrap(), 0);
    partitions::ahead(&store, Timestamp::now()).await.unwrap();
    (name, store)
}

/// Enrols a gateway of `property`.
pub async fn enrol(store: &Store, property: &str, gateway: &str, epoch: u64) {
    let mut client = store.client().await.unwrap();
    gateways::claim(&mut client, property, gateway, None, gateway, 0, 10).await.unwrap();
    let enrolled =
        gateways::enrol(&mut client, gateway, "csr", 1, |_| Ok("certificate".into())).await.unwrap();
    assert!(enrolled.is_ok());
    gateways::epoch_seen(&mut client, gateway, epoch, 1).await.unwrap();
}
