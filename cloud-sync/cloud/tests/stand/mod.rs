//! A cloud that really serves, and boxes with an identity in a folder.
#![allow(dead_code, unreachable_pub, reason = "a module of several tests")]

use crate::common::{Ran, change_row, program, run};
use crate::server::Server;
use engawa_link::{ClaimCode, EdgeLink, Identity, Line, LinkState, Tuning, UpdatePort, enroll};
use engawa_model::{Change, Lane};
use engawa_protocol::ports::{EdgeStore, Row, StoreFault};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const LONGEST: Duration = Duration::from_secs(60);

/// A journal in memory; commands are taken and never done.
pub struct House {
    epoch: u64,
    lanes: Mutex<BTreeMap<u8, Vec<Row>>>,
    pub inbox: Mutex<Vec<Row>>,
    wake: Arc<Notify>,
}

impl House {
    pub fn new(epoch: u64) -> Arc<Self> {
        Arc::new(Self { epoch, lanes: Mutex::default(), inbox: Mutex::default(), wake: Arc::default() })
    }

    pub fn tell(&self, change: &Change) {
        let lane = change.lane().number();
        let seq = self.lanes.lock().unwrap().entry(lane).or_default().len() as u64 + 1;
        self.put(lane, change_row(seq, change));
    }

    pub fn put(&self, lane: u8, row: Row) {
        self.lanes.lock().unwrap().entry(lane).or_default().push(row);
        self.wake.notify_one();
    }

    pub fn count(&self) -> usize {
        self.lanes.lock().unwrap().values().map(Vec::len).sum()
    }
}

impl EdgeStore for House {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn lanes(&self) -> Vec<u8> {
        Lane::ALL.map(Lane::number).to_vec()
    }

    fn read(&self, lane: u8, after: u64, max_rows: usize, _bytes: usize) -> Result<Vec<Row>, StoreFault> {
        let lanes = self.lanes.lock().unwrap();
        let rows = lanes.get(&lane).into_iter().flatten();
        Ok(rows.skip(usize::try_from(after).unwrap()).take(max_rows).cloned().collect())
    }

    fn head(&self, lane: u8) -> Result<u64, StoreFault> {
        Ok(self.lanes.lock().unwrap().get(&lane).map_or(0, |rows| rows.len() as u64))
    }

    fn acknowledged(&self, _lane: u8, _mark: u64) -> Result<(), StoreFault> {
        Ok(())
    }

    fn inbox_mark(&self) -> Result<u64, StoreFault> {
        Ok(self.inbox.lock().unwrap().last().map_or(0, |row| row.seq))
    }

    fn accept(&self, commands: Vec<Row>) -> Result<u64, StoreFault> {
        let mut inbox = self.inbox.lock().unwrap();
        inbox.extend(commands);
        Ok(inbox.last().map_or(0, |row| row.seq))
    }
}

/// A link that runs until it is dropped.
pub struct Link {
    pub state: watch::Receiver<LinkState>,
    cancel: CancellationToken,
    pub task: JoinHandle<()>,
}

pub fn tuning() -> Tuning {
    Tuning {
        keep_alive: Duration::from_millis(100),
        idle: Duration::from_millis(800),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(200),
        certificates: Duration::from_secs(2),
        ..Tuning::default()
    }
}

impl Link {
    /// The box whose identity is in `folder`.
    pub fn start(address: &str, folder: &Path, house: &Arc<House>) -> Self {
        Self::of(address, Identity::load(folder).unwrap(), house)
    }

    pub fn of(address: &str, identity: Identity, house: &Arc<House>) -> Self {
        Self::by(address.into(), identity, house)
    }

    pub fn by(line: Line, identity: Identity, house: &Arc<House>) -> Self {
        Self::with(line, identity, house, None)
    }

    /// With questions about updates.
    pub fn updating(address: &str, identity: Identity, house: &Arc<House>, updates: UpdatePort) -> Self {
        Self::with(address.into(), identity, house, Some(updates))
    }

    fn with(line: Line, identity: Identity, house: &Arc<House>, updates: Option<UpdatePort>) -> Self {
        let (sender, state) = watch::channel(LinkState::Down { reason: "not begun".into() });
        let cancel = CancellationToken::new();
        let link = EdgeLink {
            cloud: line,
            identity,
            store: Arc::clone(house) as Arc<dyn EdgeStore>,
            wake: Arc::clone(&house.wake),
            state: sender,
            updates,
            tuning: tuning(),
            seed: 5,
        };
        let task = tokio::spawn(link.run(cancel.clone()));
        Self { state, cancel, task }
    }

    pub async fn until(&mut self, wanted: impl Fn(&LinkState) -> bool) -> LinkState {
        let seen = self.state.clone();
        let waiting = tokio::time::timeout(LONGEST, self.state.wait_for(|state| wanted(state))).await;
        let Ok(state) = waiting else { panic!("waited in vain at {:?}", seen.borrow()) };
        state.unwrap().clone()
    }

    pub async fn up(&mut self) {
        self.until(|state| matches!(state, LinkState::Up { .. })).await;
    }

    /// Waits until it is down for a reason with these words, and gives the reason.
    pub async fn down(&mut self, words: &str) -> String {
        match self.until(|state| matches!(state, LinkState::Down { reason } if reason.contains(words))).await
        {
            LinkState::Down { reason } => reason,
            LinkState::Up { .. } => unreachable!("it was waited for"),
        }
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }

    /// Dies without a word.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Where a cloud keeps what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// One server for all tests of a file; ended with the process.
pub fn the_server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    // Several replicas a test, and several tests at once.
    SERVER.get_or_init(|| Server::new(&["fsync=off", "full_page_writes=off", "max_connections=150"]))
}

/// A running `serve`; killed when dropped.
pub struct Serving {
    child: Child,
    pub address: String,
}

impl Serving {
    /// Starts one and waits for its first line.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = program();
        command.arg("serve").args(arguments).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (said, line) = sync_channel(1);
        std::thread::spawn(move || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            said.send(line).unwrap();
        });
        let line = line.recv_timeout(LONGEST).expect("the line in time");
        let address = line.trim_end().strip_prefix("listening on ").expect(&line).to_owned();
        Self { child, address }
    }
}

impl Serving {
    /// How it has ended, where it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cloud's folder, and its `serve` while it runs.
pub struct Cloud {
    pub engine: Engine,
    folder: TempDir,
    /// The name of its database, and the URL; on SQLite it is in the folder.
    database: Option<(String, String)>,
    serving: Option<Serving>,
    pub address: String,
}

impl Cloud {
    pub fn new(engine: Engine, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = (engine == Engine::Postgres).then(|| the_server().database());
        let mut cloud = Self { engine, folder, database, serving: None, address: "127.0.0.1:0".into() };
        let made = cloud.run("init", &[&["--name", "127.0.0.1"], arguments].concat());
        assert_eq!(made.status, 0, "{made:?}");
        cloud.serve();
        cloud
    }

    pub fn dir(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// How the folder `dir` and the database are named on a command line.
    fn home<'a>(&'a self, dir: &'a str) -> Vec<&'a str> {
        let mut home = vec!["--dir", dir];
        if let Some((_, url)) = &self.database {
            home.extend(["--database", url]);
        }
        home
    }

    /// Starts `serve` and waits for its first line.
    pub fn serve(&mut self) {
        let serving = Serving::start(&[&self.home(self.dir())[..], &["--listen", &self.address]].concat());
        self.address.clone_from(&serving.address);
        self.serving = Some(serving);
    }

    /// One more `serve` on the same database, with the folder `dir`.
    pub fn replica(&self, dir: &str) -> Serving {
        Serving::start(&[&self.home(dir)[..], &["--listen", "127.0.0.1:0"]].concat())
    }

    pub fn kill(&mut self) {
        self.serving = None;
    }

    pub fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        self.run_in(self.dir(), command, arguments)
    }

    pub fn run_in(&self, dir: &str, command: &str, arguments: &[&str]) -> Ran {
        run(&[&[command], &self.home(dir)[..], arguments].concat())
    }

    /// Runs it, and wants it to go well.
    pub fn does(&self, command: &str, arguments: &[&str]) -> Ran {
        let ran = self.run(command, arguments);
        assert_eq!(ran.status, 0, "{ran:?}");
        ran
    }

    pub async fn enrol(&self, gateway: &str, folder: &Path) -> Identity {
        let claimed = self.does("claim", &["--property", "grand", "--gateway", gateway]);
        let code: ClaimCode = claimed.out.trim_end().parse().unwrap();
        enroll(&self.address, &code, folder).await.unwrap()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("cloud.db")
    }

    /// A value of the database, as text.
    pub fn text(&self, sql: &str) -> String {
        if let Some((name, _)) = &self.database {
            return the_server().sql(name, sql).first().cloned().unwrap_or_default();
        }
        let connection = engawa_cloud::store::open_reader(&self.file()).unwrap();
        connection
            .query_row(sql, [], |row| {
                Ok(match row.get_ref(0)? {
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    other => panic!("neither number nor text: {other:?}"),
                })
            })
            .unwrap()
    }

    /// A number of the database.
    pub fn count(&self, sql: &str) -> i64 {
        self.text(sql).parse().unwrap()
    }

    /// True where the database says so.
    pub fn holds(&self, sql: &str) -> bool {
        matches!(self.text(sql).as_str(), "1" | "t")
    }

    /// Changes the database as time would.
    pub fn change(&self, sql: &str) {
        if let Some((name, _)) = &self.database {
            the_server().sql(name, sql);
            return;
        }
        let mut connection: Connection = engawa_cloud::store::open(&self.file()).unwrap();
        engawa_cloud::store::write(&mut connection, |connection| {
            connection.execute_batch(sql).unwrap();
            Ok(())
        })
        .unwrap();
    }

    /// Makes every certificate look as old as needs be for its renewal.
    pub fn age_certificates(&self) {
        self.change("UPDATE certificate SET issued_at = issued_at - 70 * 86400000000");
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONGEST;
        // On PostgreSQL each look is a process of its own.
        let pause = if self.engine == Engine::Sqlite { 20 } else { 100 };
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

pub fn check_in(stay: &str) -> Change {
    Change::CheckedIn {
        stay: stay.into(),
        room: "101".into(),
        language: Some("de".into()),
        arrival: None,
        departure: None,
    }
}

/// A copy of a box's identity, as a copied disk has it.
pub fn copy(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}
