//! What gateways are asked about themselves, on both engines: values watched while they come, bundles in pieces over a
//! line that is cut, and how each command ended.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;
mod server;

use common::{Ran, change_row, program};
use data_encoding::{BASE64, HEXLOWER};
use engawa_link::{ClaimCode, EdgeLink, Identity, LinkState, Tuning, enroll};
use engawa_model::{Action, BundlePiece, Change, Command, CommandOutcome, Lane};
use engawa_protocol::live::{Live, LiveRow};
use engawa_protocol::ports::{EdgeStore, Row, StoreFault};
use serde_json::{Value, json};
use server::Server;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

const LONGEST: Duration = Duration::from_secs(60);

/// A gateway's journal in memory, and what is watched of it.
#[derive(Default)]
struct House {
    lanes: Mutex<BTreeMap<u8, Vec<Row>>>,
    inbox: Mutex<Vec<(u64, Command)>>,
    live: Mutex<VecDeque<Live>>,
    /// Rows of the bulk lane that may be read, so that a line is cut between two.
    bulk: AtomicU64,
    wake: Arc<Notify>,
}

impl House {
    fn tell(&self, change: &Change) {
        let mut lanes = self.lanes.lock().unwrap();
        let rows = lanes.entry(change.lane().number()).or_default();
        rows.push(change_row(rows.len() as u64 + 1, change));
        drop(lanes);
        self.wake.notify_one();
    }

    fn watched(&self, tail: &str, values: std::ops::Range<i64>, ended: Option<&str>) {
        let row = |n: i64| {
            let body = json!({ "point": "t/temperature", "value": n, "quality": "good" });
            LiveRow { at_micros: n * 1_000_000, body: body.to_string().into_bytes() }
        };
        let (rows, tail) = (values.map(row).collect(), tail.to_owned());
        let live = Live { tail, rows, dropped: 3, ended: ended.map(str::to_owned) };
        self.live.lock().unwrap().push_back(live);
        self.wake.notify_one();
    }

    /// The command of this kind that has come.
    fn asked(&self, is: impl Fn(&Action) -> bool) -> Command {
        let deadline = Instant::now() + LONGEST;
        loop {
            let found = self.inbox.lock().unwrap().iter().find(|(_, c)| is(&c.action)).cloned();
            if let Some((_, command)) = found {
                return command;
            }
            assert!(Instant::now() < deadline, "the command does not come");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

impl EdgeStore for House {
    fn epoch(&self) -> u64 {
        7
    }

    fn lanes(&self) -> Vec<u8> {
        Lane::ALL.map(Lane::number).to_vec()
    }

    fn read(&self, lane: u8, after: u64, max_rows: usize, _bytes: usize) -> Result<Vec<Row>, StoreFault> {
        let lanes = self.lanes.lock().unwrap();
        let rows = lanes.get(&lane).into_iter().flatten().skip(usize::try_from(after).unwrap());
        let most = self.head(lane)?;
        Ok(rows.take(max_rows.min(1)).filter(|row| row.seq <= most).cloned().collect())
    }

    fn head(&self, lane: u8) -> Result<u64, StoreFault> {
        let rows = self
            .lanes
            .try_lock()
            .map_or(u64::MAX, |lanes| lanes.get(&lane).map_or(0, |rows| rows.len() as u64));
        let most = if lane == 6 { self.bulk.load(Ordering::SeqCst) } else { u64::MAX };
        Ok(rows.min(most))
    }

    fn acknowledged(&self, _lane: u8, _mark: u64) -> Result<(), StoreFault> {
        Ok(())
    }

    fn inbox_mark(&self) -> Result<u64, StoreFault> {
        Ok(self.inbox.lock().unwrap().last().map_or(0, |(seq, _)| *seq))
    }

    fn accept(&self, commands: Vec<Row>) -> Result<u64, StoreFault> {
        let mut inbox = self.inbox.lock().unwrap();
        for row in commands {
            inbox.push((row.seq, serde_json::from_slice(&row.body).unwrap()));
        }
        Ok(inbox.last().map_or(0, |(seq, _)| *seq))
    }

    fn live(&self, _max_bytes: usize) -> Option<Live> {
        self.live.lock().unwrap().pop_front()
    }
}

struct Link {
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    state: watch::Receiver<LinkState>,
}

impl Link {
    async fn start(address: &str, identity: &Identity, house: &Arc<House>) -> Self {
        let (sender, state) = watch::channel(LinkState::Down { reason: "not begun".into() });
        let cancel = CancellationToken::new();
        let link = EdgeLink {
            cloud: address.into(),
            identity: identity.clone(),
            store: Arc::clone(house) as Arc<dyn EdgeStore>,
            wake: Arc::clone(&house.wake),
            state: sender,
            updates: None,
            tuning: Tuning { backoff_min: Duration::from_millis(10), ..Tuning::default() },
            seed: 5,
        };
        let task = tokio::spawn(link.run(cancel.clone()));
        let mut link = Self { cancel, task, state };
        let up = link.state.wait_for(|state| matches!(state, LinkState::Up { .. }));
        tokio::time::timeout(LONGEST, up).await.expect("up in time").unwrap();
        link
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

/// A cloud that serves; `database` in place of the file in its folder.
struct Cloud {
    folder: TempDir,
    database: Option<String>,
    serving: Vec<Child>,
    addresses: Vec<String>,
}

impl Cloud {
    fn new(database: Option<String>, replicas: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cloud = Self { folder, database, serving: vec![], addresses: vec![] };
        assert_eq!(cloud.run(&["init", "--name", "127.0.0.1"]).status, 0);
        for _ in 0..replicas {
            let mut child = cloud.command(&["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            cloud.addresses.push(line.trim_end().strip_prefix("listening on ").unwrap().to_owned());
            cloud.serving.push(child);
        }
        cloud
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = program();
        command
            .args(arguments)
            .env("ENGAWA_CLOUD_DIR", self.folder.path())
            .env("USER", "ann")
            .env_remove("SUDO_USER");
        if let Some(url) = &self.database {
            command.env("ENGAWA_CLOUD_DATABASE", url);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + LONGEST;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            std::thread::park_timeout(Duration::from_millis(30));
        }
    }

    fn bundle(&self, key: &str) -> Option<Value> {
        let listed = self.run(&["bundle", "list", "grand-1", "--json"]);
        assert_eq!(listed.status, 0, "{listed:?}");
        listed.json().into_iter().find(|bundle| bundle["key"] == key)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        for child in &mut self.serving {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A bundle in pieces of 20 bytes.
fn pieces(key: &str, text: &str) -> Vec<Change> {
    let packed = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
    let digest = |bytes: &[u8]| HEXLOWER.encode(&Sha256::digest(bytes));
    let of = u32::try_from(packed.chunks(20).count()).unwrap();
    let piece = |(data, number): (&[u8], u32)| Change::BundlePiece {
        key: key.into(),
        piece: BundlePiece {
            number,
            of,
            bytes: packed.len() as u64,
            sha256: digest(&packed),
            piece_sha256: digest(data),
            data: Some(BASE64.encode(data)),
        },
    };
    packed.chunks(20).zip(1..).map(piece).collect()
}

async fn plays(cloud: Cloud) {
    let claim = cloud.run(&["claim", "--property", "grand", "--gateway", "grand-1"]);
    let code: ClaimCode = claim.out.trim_end().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let identity = enroll(&cloud.addresses[0], &code, folder.path()).await.unwrap();
    let house = Arc::new(House { bulk: AtomicU64::new(0), ..House::default() });
    // The last replica has the connection; the command line is near none of them.
    let link = Link::start(cloud.addresses.last().unwrap(), &identity, &house).await;

    // Watched.
    let mut tail = cloud.command(&["tail", "grand-1", "room/101", "--for", "40", "--json"]).spawn().unwrap();
    let (mut out, mut err) = (BufReader::new(tail.stdout.take().unwrap()), tail.stderr.take().unwrap());
    let command = tokio::task::block_in_place(|| house.asked(|action| matches!(action, Action::Tail { .. })));
    assert_eq!(command.action.asked_by(), Some("ann"), "who asks goes along");
    assert!(command.expires.is_some());
    house.watched("somebody-else", 90..91, None);
    house.watched(command.key.as_str(), 1..3, None);
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        lines.push(serde_json::from_str::<Value>(&line).unwrap());
    }
    let values: Vec<&Value> = lines.iter().map(|line| &line["value"]["value"]).collect();
    assert_eq!(values, [&json!(1), &json!(2)], "{lines:?}");
    assert_eq!(lines[0]["at"], "1970-01-01T00:00:01Z");
    house.watched(command.key.as_str(), 3..4, Some("its time is over"));
    let note = "3 values told, 3 dropped".to_owned();
    house.tell(&Change::CommandNoted { key: command.key.clone(), note });
    house.tell(&Change::CommandEnded { key: command.key.clone(), outcome: CommandOutcome::Done });
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"value\":3"), "{rest}");
    assert_eq!(tail.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    err.read_to_string(&mut said).unwrap();
    assert!(said.contains("3 values were dropped"), "{said}");
    let commands = cloud.until("the durable end", |cloud| {
        let listed = cloud.run(&["commands", "grand-1", "--json"]).json();
        (listed[0]["state"] == "ended").then_some(listed)
    });
    assert_eq!(
        (&commands[0]["outcome"], &commands[0]["reason"]),
        (&json!("done"), &json!("3 values told, 3 dropped"))
    );
    assert_eq!(commands[0]["body"]["action"]["by"], "ann", "audited here too");
    // A tail whose gateway goes ends with it.
    let mut gone = cloud.command(&["tail", "grand-1", "device/t", "--as", "bea"]).spawn().unwrap();
    let is = |action: &Action| action.asked_by() == Some("bea");
    tokio::task::block_in_place(|| house.asked(is));

    // Sent in pieces, the line cut in the middle.
    let text = "a bundle of a gateway, long enough for some pieces: 1 2 3 4 5 6 7 8 9 10 11 12 13 14";
    let all = pieces("fault-1", text);
    assert!(all.len() > 3, "{}", all.len());
    all.iter().for_each(|piece| house.tell(piece));
    house.bulk.store(2, Ordering::SeqCst);
    house.wake.notify_one();
    cloud.until("two pieces", |cloud| (cloud.bundle("fault-1")?["sound"] == 2).then_some(()));
    assert_eq!(cloud.bundle("fault-1").unwrap()["state"], "coming");
    let file = folder.path().join("bundle.json");
    let save = |key: &str| cloud.run(&["bundle", "save", "grand-1", key, file.to_str().unwrap()]);
    let early = save("fault-1");
    assert!(early.status == 1 && early.err.contains("piece 3 of"), "{early:?}");
    link.stop().await;
    assert_eq!(gone.wait().unwrap().code(), Some(3), "it ended with the connection");
    house.bulk.store(u64::MAX, Ordering::SeqCst);
    let link = Link::start(&cloud.addresses[0], &identity, &house).await;
    cloud.until("all pieces", |cloud| (cloud.bundle("fault-1")?["state"] == "whole").then_some(()));
    let saved = save("fault-1");
    assert_eq!((saved.status, std::fs::read_to_string(&file).unwrap().as_str()), (0, text), "{saved:?}");
    assert_eq!(save("fault-1").status, 1, "a file that is there is not written over");
    assert!(save("no-such").err.contains("bundle list grand-1"));
    // The journal has its rows, each once, and their bytes are not in it.
    let rows = cloud.run(&["log", "grand-1", "--kind", "bundle_piece", "--json"]).json();
    assert_eq!(rows.len(), all.len());
    assert!(rows.iter().all(|row| row["lane"] == 6 && row["body"].get("data").is_none()), "{rows:?}");

    // A piece that comes spoilt.
    let mut spoilt = pieces("fault-2", text);
    if let Change::BundlePiece { piece, .. } = &mut spoilt[1] {
        piece.data = Some(BASE64.encode(b"not what was sent"));
    }
    spoilt.iter().for_each(|piece| house.tell(piece));
    cloud.until("the spoilt one", |cloud| (cloud.bundle("fault-2")?["state"] == "spoilt").then_some(()));
    let refused = save("fault-2");
    assert!(refused.status == 1 && refused.err.contains("piece 2 of"), "{refused:?}");

    // The newest few are kept.
    for n in 3..=11 {
        pieces(&format!("fault-{n}"), text).iter().for_each(|piece| house.tell(piece));
    }
    cloud.until("the last", |cloud| (cloud.bundle("fault-11")?["state"] == "whole").then_some(()));
    let listed = cloud.run(&["bundle", "list", "--json"]).json();
    assert_eq!(listed.len(), usize::try_from(engawa_cloud::bundles::KEPT).unwrap(), "{listed:?}");
    assert!(cloud.bundle("fault-1").is_none() && cloud.bundle("fault-2").is_none());
    // Second pieces alone, of ever other keys, come to no more.
    for n in 12..=24 {
        house.tell(&pieces(&format!("fault-{n}"), text)[1]);
    }
    cloud.until("the last alone", |cloud| (cloud.bundle("fault-24")?["state"] == "coming").then_some(()));
    let listed = cloud.run(&["bundle", "list", "--json"]).json();
    assert_eq!(listed.len(), usize::try_from(engawa_cloud::bundles::KEPT).unwrap(), "{listed:?}");
    link.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    plays(Cloud::new(None, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_with_the_connection_at_another_replica() {
    let server = Server::quick();
    let (_, url) = server.database();
    plays(Cloud::new(Some(url), 2)).await;
}
