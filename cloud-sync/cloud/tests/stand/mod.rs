//! A cloud that really serves, and boxes with an identity in a folder.
#![allow(dead_code, unreachable_pub, reason = "a module of several tests")]

use crate::common::{Ran, change_row, program, run};
use engawa_link::{ClaimCode, EdgeLink, Identity, LinkState, Tuning, enroll};
use engawa_model::{Change, Lane};
use engawa_protocol::ports::{EdgeStore, Row, StoreFault};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
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
        let (sender, state) = watch::channel(LinkState::Down { reason: "not begun".into() });
        let cancel = CancellationToken::new();
        let link = EdgeLink {
            cloud: address.into(),
            identity,
            store: Arc::clone(house) as Arc<dyn EdgeStore>,
            wake: Arc::clone(&house.wake),
            state: sender,
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

/// A cloud's folder, and its `serve` while it runs.
pub struct Cloud {
    folder: TempDir,
    serving: Option<Child>,
    pub address: String,
}

impl Cloud {
    pub fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cloud = Self { folder, serving: None, address: "127.0.0.1:0".into() };
        let made = cloud.run("init", &[&["--name", "127.0.0.1"], arguments].concat());
        assert_eq!(made.status, 0, "{made:?}");
        cloud.serve();
        cloud
    }

    pub fn dir(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// Starts `serve` and waits for its one line.
    pub fn serve(&mut self) {
        let mut command = program();
        command.args(["serve", "--dir", self.dir(), "--listen", &self.address]).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        self.serving = Some(child);
        let (said, line) = sync_channel(1);
        std::thread::spawn(move || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            said.send(line).unwrap();
        });
        let line = line.recv_timeout(LONGEST).expect("the line in time");
        line.trim_end().strip_prefix("listening on ").expect(&line).clone_into(&mut self.address);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.serving.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        run(&[&[command, "--dir", self.dir()], arguments].concat())
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

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("cloud.db")
    }

    /// A value of the database.
    pub fn value<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        let connection = engawa_cloud::store::open_reader(&self.database()).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Changes the database as time would.
    pub fn change(&self, sql: &str) {
        let mut connection: Connection = engawa_cloud::store::open(&self.database()).unwrap();
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
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.kill();
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
