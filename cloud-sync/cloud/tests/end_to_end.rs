//! The program with a real gateway link: enrolment, rows up, commands down, outcomes up; killed, restarted, revoked.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;

use common::{Ran, change_row, program, run};
use engawa_link::{ClaimCode, EdgeLink, Identity, LinkState, Tuning, enroll};
use engawa_model::{
    Action, Change, Command, CommandOutcome, Lane, PointId, Quality, Role, RoomId, Timestamp, Value,
};
use engawa_protocol::ports::{EdgeStore, Row, StoreFault};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LONGEST: Duration = Duration::from_secs(60);
/// The only room of this house.
const ROOM: &str = "101";

/// A small house: a journal in memory, and a thermostat that does what it is told.
struct House {
    epoch: u64,
    lanes: Mutex<BTreeMap<u8, Vec<Row>>>,
    inbox: Mutex<Vec<Row>>,
    wake: Arc<Notify>,
}

impl House {
    fn new(epoch: u64) -> Arc<Self> {
        Arc::new(Self { epoch, lanes: Mutex::default(), inbox: Mutex::default(), wake: Arc::default() })
    }

    fn tell(&self, change: &Change) {
        let mut lanes = self.lanes.lock().unwrap();
        let rows = lanes.entry(change.lane().number()).or_default();
        rows.push(change_row(rows.len() as u64 + 1, change));
        drop(lanes);
        self.wake.notify_one();
    }

    fn check_in(&self, stay: &str) {
        let room = RoomId::from(ROOM);
        self.tell(&Change::CheckedIn {
            stay: stay.into(),
            room,
            language: None,
            arrival: None,
            departure: None,
        });
    }

    fn obey(&self, command: Command) {
        let outcome = match command.action {
            _ if command.expires.is_some_and(|expires| expires <= Timestamp::now()) => {
                CommandOutcome::Expired
            }
            Action::SetRole { room, role: Role::ClimateSetpoint, value } if room.as_str() == ROOM => {
                self.tell(&Change::Reported {
                    point: PointId::new("thermostat", "setpoint"),
                    room: Some(room),
                    role: Some(Role::ClimateSetpoint),
                    value: Some(value),
                    quality: Quality::Good,
                    sampled: Timestamp::now(),
                });
                CommandOutcome::Done
            }
            _ => CommandOutcome::Refused { reason: "this house has no such thing".into() },
        };
        self.tell(&Change::CommandEnded { key: command.key, outcome });
    }

    fn rows(&self) -> Vec<(u8, u64, String)> {
        let lanes = self.lanes.lock().unwrap();
        let row = |lane: u8, row: &Row| (lane, row.seq, String::from_utf8(row.body.clone()).unwrap());
        lanes.iter().flat_map(|(lane, rows)| rows.iter().map(|r| row(*lane, r)).collect::<Vec<_>>()).collect()
    }
}

impl EdgeStore for House {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn lanes(&self) -> Vec<u8> {
        Lane::ALL.map(Lane::number).to_vec()
    }

    fn read(&self, lane: u8, after: u64, max_rows: usize, max_bytes: usize) -> Result<Vec<Row>, StoreFault> {
        let lanes = self.lanes.lock().unwrap();
        let mut bytes = 0;
        let rows =
            lanes.get(&lane).into_iter().flatten().skip(usize::try_from(after).unwrap()).take(max_rows);
        let fits = |row: &&Row| {
            let first = bytes == 0;
            bytes += row.body.len();
            first || bytes <= max_bytes
        };
        Ok(rows.take_while(fits).cloned().collect())
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
        for row in commands {
            if row.seq > inbox.last().map_or(0, |row| row.seq) {
                let command =
                    serde_json::from_slice(&row.body).map_err(|e| StoreFault::new("a command", e))?;
                inbox.push(row);
                self.obey(command);
            }
        }
        Ok(inbox.last().map_or(0, |row| row.seq))
    }
}

/// A link that runs until it is dropped.
struct Link {
    state: watch::Receiver<LinkState>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Link {
    fn start(address: &str, identity: &Identity, house: &Arc<House>) -> Self {
        let (sender, state) = watch::channel(LinkState::Down { reason: "not begun".into() });
        let cancel = CancellationToken::new();
        let tuning = Tuning {
            keep_alive: Duration::from_millis(100),
            idle: Duration::from_millis(600),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(100),
            ..Tuning::default()
        };
        let store = Arc::clone(house) as Arc<dyn EdgeStore>;
        let wake = Arc::clone(&house.wake);
        let (cloud, identity) = (address.to_owned(), identity.clone());
        let link = EdgeLink {
            cloud: cloud.into(),
            identity,
            store,
            wake,
            state: sender,
            updates: None,
            tuning,
            seed: 5,
        };
        let task = tokio::spawn(link.run(cancel.clone()));
        Self { state, cancel, task }
    }

    async fn until(&mut self, wanted: impl Fn(&LinkState) -> bool) -> LinkState {
        let waiting = self.state.wait_for(|state| wanted(state));
        tokio::time::timeout(LONGEST, waiting).await.expect("the state in time").unwrap().clone()
    }

    async fn up(&mut self) {
        self.until(|state| matches!(state, LinkState::Up { .. })).await;
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

/// A cloud's folder, and its `serve` while it runs.
struct Cloud {
    folder: TempDir,
    serving: Option<Child>,
    address: String,
}

impl Cloud {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cloud = Self { folder, serving: None, address: "127.0.0.1:0".into() };
        assert_eq!(cloud.run("init", &["--name", "127.0.0.1"]).status, 0);
        cloud.serve();
        cloud
    }

    fn dir(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// Starts `serve` and waits for its one line.
    fn serve(&mut self) {
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

    /// Kills it without a word.
    fn kill(&mut self) {
        let mut child = self.serving.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to stop.
    fn stop(&mut self, signal: &str) -> ExitStatus {
        let mut child = self.serving.take().unwrap();
        let asked = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(asked.unwrap().success());
        let deadline = Instant::now() + LONGEST;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        run(&[&[command, "--dir", self.dir()], arguments].concat())
    }

    fn list(&self, command: &str) -> Vec<Json> {
        let ran = self.run(command, &["--json"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        ran.json()
    }

    fn claim(&self, gateway: &str) -> ClaimCode {
        let ran = self.run("claim", &["--property", "grand", "--gateway", gateway]);
        ran.out.trim_end().parse().unwrap()
    }

    async fn enrol(&self, gateway: &str) -> Identity {
        let dir = tempfile::tempdir().unwrap();
        enroll(&self.address, &self.claim(gateway), dir.path()).await.unwrap()
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("cloud.db")
    }

    /// The journal of one life, as anybody can read it.
    fn journal(&self, epoch: u64) -> Vec<(u8, u64, String)> {
        let connection = engawa_cloud::store::open_reader(&self.database()).unwrap();
        let mut statement = connection
            .prepare("SELECT lane, seq, body FROM journal WHERE epoch = ?1 ORDER BY lane, seq")
            .unwrap();
        let row =
            |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), row.get(2)?));
        statement.query_map([epoch.cast_signed()], row).unwrap().collect::<Result<_, _>>().unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONGEST;
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if self.serving.is_some() {
            self.kill();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_joins_tells_obeys_and_is_turned_out() {
    let mut cloud = Cloud::new();
    let code = cloud.claim("grand-1");
    let dir = tempfile::tempdir().unwrap();
    let identity = enroll(&cloud.address, &code, dir.path()).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let used = enroll(&cloud.address, &code, other.path()).await.unwrap_err();
    assert!(used.to_string().contains("unknown, used, or expired"), "{used}");

    let house = House::new(7);
    house.check_in("S1");
    let mut link = Link::start(&cloud.address, &identity, &house);
    link.up().await;
    cloud.until("the rows", |cloud| cloud.journal(7) == house.rows()).await;
    let gateways = cloud.list("gateways");
    let of = |field: &str| gateways[0][field].clone();
    assert_eq!(
        (of("id"), of("status"), of("connected"), of("rows")),
        (json!("grand-1"), json!("enrolled"), json!(true), json!(1))
    );
    assert_eq!(cloud.list("rooms")[0]["stays"], json!(["S1"]));

    let send = |arguments: &[&str]| cloud.run("send", &[&["grand-1", "--wait", "30"], arguments].concat());
    let begun = Instant::now();
    let done = send(&["--key", "warmer", "setpoint", ROOM, "22.5"]);
    assert_eq!((done.status, done.out.as_str()), (0, "done\n"), "{done:?}");
    // `serve` was woken; the link's own look comes only every few seconds.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    cloud.until("the set point", |cloud| cloud.list("rooms")[0]["setpoint"] == json!(22.5)).await;
    let rows = house.rows().len();
    let again = send(&["--key", "warmer", "setpoint", ROOM, "22.5"]);
    assert_eq!((again.status, house.rows().len()), (0, rows), "done once: {again:?}");
    let refused = send(&["setpoint", "999", "20"]);
    assert_eq!((refused.status, refused.out.as_str()), (3, "refused: this house has no such thing\n"));
    let refused = send(&["--json", "post", "999", "1.00", "EUR", "x"]);
    assert_eq!((refused.status, &refused.json()[0]["outcome"]), (3, &json!("refused")));
    assert_eq!(cloud.list("gateways")[0]["waiting"], 0);
    assert_eq!(house.inbox.lock().unwrap().len(), 3);

    assert_eq!(cloud.run("revoke", &["grand-1"]).status, 0);
    // Its connection ends, and the next attempt is told why.
    link.until(|state| matches!(state, LinkState::Down { reason } if reason.contains("revoked"))).await;
    cloud.until("it to be gone", |cloud| cloud.list("gateways")[0]["connected"] == json!(false)).await;
    let before = cloud.journal(7);
    house.check_in("S2");
    // It tries again and is refused each time.
    link.until(|state| matches!(state, LinkState::Down { reason } if reason.contains("not enrolled"))).await;
    assert_eq!(cloud.journal(7), before);
    link.stop().await;
    assert!(cloud.stop("-TERM").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_has_every_row_once() {
    let mut cloud = Cloud::new();
    let identity = cloud.enrol("grand-1").await;
    let house = House::new(7);
    let mut link = Link::start(&cloud.address, &identity, &house);
    link.up().await;
    let mut sent = 0;
    for round in 0..6 {
        let before = cloud.journal(7).len();
        for n in 0..800 {
            let value = Some(Value::Int(round * 1_000 + n));
            let (point, quality) = (PointId::new("t", "x"), Quality::Good);
            house.tell(&Change::Reported {
                point,
                room: None,
                role: None,
                value,
                quality,
                sampled: Timestamp::now(),
            });
            if n % 40 == 0 {
                house.check_in(&format!("S{round}-{n}"));
            }
        }
        // In the middle of it: some rows of this round are stored, the rest are not.
        cloud.until("some rows", |cloud| cloud.journal(7).len() > before).await;
        cloud.kill();
        assert!(cloud.list("gateways").iter().all(|gateway| gateway["connected"] == json!(false)));
        sent += 1;
        let waiting = cloud.run("send", &["grand-1", "--key", &format!("k{sent}"), "setpoint", ROOM, "21"]);
        assert_eq!(waiting.status, 0, "commands are taken while nobody serves: {waiting:?}");
        cloud.serve();
    }
    let done = |cloud: &Cloud| cloud.list("commands").iter().filter(|line| line["outcome"] == "done").count();
    cloud.until("all outcomes", |cloud| done(cloud) == sent).await;
    cloud.until("all rows", |cloud| cloud.journal(7) == house.rows()).await;
    assert_eq!(house.inbox.lock().unwrap().len(), sent, "each command came once");
    assert_eq!(house.rows().len(), 6 * 820 + sent * 2);
    link.stop().await;
    let connection = engawa_cloud::store::open_reader(&cloud.database()).unwrap();
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_disk_is_fenced_and_a_new_one_is_welcome() {
    let mut cloud = Cloud::new();
    let identity = cloud.enrol("grand-1").await;
    let house = House::new(7);
    (0..5).for_each(|n| house.check_in(&format!("S{n}")));
    let mut link = Link::start(&cloud.address, &identity, &house);
    link.up().await;
    cloud.until("the rows", |cloud| cloud.journal(7) == house.rows()).await;
    let done = cloud.run("send", &["grand-1", "--key", "k", "--wait", "30", "setpoint", ROOM, "21"]);
    assert_eq!(done.status, 0, "{done:?}");
    link.stop().await;

    // The disk as it was some rows ago, under the same epoch.
    let restored = House::new(7);
    (0..2).for_each(|n| restored.check_in(&format!("S{n}")));
    let mut link = Link::start(&cloud.address, &identity, &restored);
    link.until(|state| matches!(state, LinkState::Down { reason } if reason.contains("restored or cloned")))
        .await;
    link.stop().await;
    assert_eq!(cloud.journal(7), house.rows());

    // A new disk: its journal begins anew, and the command that was done is not done again.
    let new = House::new(u64::MAX);
    new.check_in("S9");
    let mut link = Link::start(&cloud.address, &identity, &new);
    link.up().await;
    cloud.until("the command again", |_| new.inbox.lock().unwrap().len() == 1).await;
    cloud.until("the new rows", |cloud| cloud.journal(u64::MAX) == new.rows()).await;
    assert!(new.rows().iter().all(|(_, _, body)| !body.contains("reported")), "{:?}", new.rows());
    assert_eq!(cloud.list("commands")[0]["outcome"], "done");
    assert_eq!(cloud.journal(7), house.rows(), "the old life stays");
    link.stop().await;
    assert!(cloud.stop("-INT").success());
}

#[test]
fn a_folder_is_served_by_one() {
    let mut cloud = Cloud::new();
    let second = cloud.run("serve", &["--listen", "127.0.0.1:0"]);
    assert_eq!((second.status, second.out.as_str()), (1, ""), "{second:?}");
    assert!(second.err.contains("another `engawa-cloud serve`"), "{second:?}");
    assert!(cloud.stop("-TERM").success());
    let wal = cloud.database().with_extension("db-wal");
    assert!(std::fs::metadata(&wal).map_or(0, |found| found.len()) == 0, "a clean stop leaves a tidy file");
    cloud.serve();
    let taken = tempfile::tempdir().unwrap();
    let dir = taken.path().to_str().unwrap();
    assert_eq!(run(&["init", "--dir", dir]).status, 0);
    let busy = run(&["serve", "--dir", dir, "--listen", &cloud.address]);
    assert_eq!(busy.status, 1);
    assert!(busy.err.contains(&cloud.address), "{busy:?}");
}
