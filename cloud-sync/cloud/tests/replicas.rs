//! Many replicas, one database: restarted, killed, raced and migrated while rows come, and every row is there once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod common;
mod server;

use common::{program, row};
use engawa_cloud::postgres::{self, Address, Intake, Store, migrations};
use engawa_cloud::store::StoreError;
use engawa_link::{EdgeLink, Identity, LinkState, Tuning};
use engawa_protocol::ports::{EdgeStore, Ingested, Row, StoreFault};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server::{Server, enrol, store};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

const EPOCH: u64 = 7;
const LONGEST: Duration = Duration::from_secs(90);

/// One server for the tests that leave it alone; ended with the process.
fn the_server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::quick)
}

/// Each row once, none missing, and the mark where the rows end.
fn complete(server: &Server, name: &str, gateway: &str, lane: u8, rows: u64) {
    let of = if lane == 5 { "telemetry WHERE" } else { "journal WHERE lane = 3 AND" };
    let sql = format!(
        "SELECT count(*), min(seq), max(seq), count(DISTINCT seq),
         (SELECT seq FROM mark WHERE gateway = '{gateway}' AND lane = {lane}) FROM {of} gateway = '{gateway}'"
    );
    assert_eq!(server.sql(name, &sql), [format!("{rows}|1|{rows}|{rows}|{rows}")], "{gateway} lane {lane}");
}

/// A gateway that sends as a link does: from the mark again where the answer did not come. Returns how far it came, and
/// the longest time that it waited for an answer.
async fn produce(
    intake: Intake,
    gateway: String,
    lane: u8,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
) -> (u64, Duration) {
    let (mut mark, mut longest, mut settled) = (0, Duration::ZERO, true);
    // What was not answered may be stored: it is sent until it is.
    while !settled || !stop.load(Ordering::Relaxed) {
        settled = false;
        let rows: Vec<Row> = (mark + 1..=mark + 20).map(row).collect();
        let begun = Instant::now();
        match intake.ingest(&gateway, EPOCH, lane, rows).await {
            Ok(Ingested::Upto(upto) | Ingested::Gap(upto)) => {
                assert_eq!(upto, mark + 20, "{gateway}");
                (mark, settled) = (upto, true);
                sent.fetch_add(20, Ordering::Relaxed);
            }
            Ok(Ingested::Busy { pause, .. }) => tokio::time::sleep(pause).await,
            Err(StoreError::Revoked(gateway)) => panic!("{gateway} is not admitted"),
            Err(error) => {
                eprintln!("{gateway}: {error:?}");
                tokio::task::yield_now().await;
            }
        }
        longest = longest.max(begun.elapsed());
    }
    (mark, longest)
}

/// How a replica of the first release with PostgreSQL takes rows in: its statements, as they were. They must work with every
/// schema that comes after.
async fn ingest_as_first_release(
    store: &Store,
    gateway: &str,
    lane: u8,
    rows: &[Row],
) -> Result<u64, StoreError> {
    let fault = |source| StoreError::Postgres { doing: "as the first release", source };
    let mut client = store.client().await?;
    let transaction = client.transaction().await.map_err(fault)?;
    let found = transaction
        .query_one(
            "SELECT id, property, enrolled_at IS NOT NULL AND revoked_at IS NULL, epoch FROM gateway
             WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE",
            &[&vec![gateway]],
        )
        .await
        .map_err(fault)?;
    let property: &str = found.get(1);
    let (seqs, bodies): (Vec<i64>, Vec<&str>) =
        rows.iter().map(|row| (row.seq.cast_signed(), std::str::from_utf8(&row.body).unwrap())).unzip();
    let (epoch, before) = (EPOCH.cast_signed(), seqs[0] - 1);
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&property, &gateway, &epoch, &before, &1_i64, &vec![5_i64; rows.len()], &bodies];
    if lane == 5 {
        // Today's partition is there: another statement than that of the journal, without `tx`.
        let now = engawa_model::Timestamp::now().as_microsecond();
        let values = [values[0], values[1], values[2], values[3], &now, values[5], values[6]];
        transaction
            .execute(
                "INSERT INTO telemetry (property, gateway, epoch, seq, at_micros, received_micros, kind, body, raw)
                 SELECT $1, $2, $3, $4 + n, at, $5, 'night_audit', body, NULL
                 FROM unnest($6::bigint[], $7::text[]) WITH ORDINALITY AS r (at, body, n)",
                &values,
            )
            .await
            .map_err(fault)?;
    } else {
        transaction
            .execute(
                "INSERT INTO journal (property, gateway, epoch, lane, seq, at_micros, received_micros, kind, body, raw)
                 SELECT $1, $2, $3, 3, $4 + n, at, $5, 'night_audit', body, NULL
                 FROM unnest($6::bigint[], $7::text[]) WITH ORDINALITY AS r (at, body, n)",
                &values,
            )
            .await
            .map_err(fault)?;
    }
    let last = seqs[seqs.len() - 1];
    transaction
        .execute(
            "INSERT INTO mark (property, gateway, epoch, lane, seq) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (property, gateway, epoch, lane) DO UPDATE SET seq = excluded.seq",
            &[&property, &gateway, &epoch, &i16::from(lane), &last],
        )
        .await
        .map_err(fault)?;
    transaction.commit().await.map_err(fault)?;
    Ok(last.cast_unsigned())
}

/// A gateway at a replica of the first release.
async fn produce_at_first_release(
    store: Store,
    gateway: String,
    lane: u8,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
) -> (u64, Duration) {
    let (mut mark, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let rows: Vec<Row> = (mark + 1..=mark + 20).map(row).collect();
        let begun = Instant::now();
        mark = ingest_as_first_release(&store, &gateway, lane, &rows).await.unwrap();
        sent.fetch_add(20, Ordering::Relaxed);
        longest = longest.max(begun.elapsed());
    }
    (mark, longest)
}

type Producer = tokio::task::JoinHandle<(u64, Duration)>;

struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    producers: Vec<(String, u8, Producer)>,
}

impl Load {
    /// Some gateways, on two replicas.
    fn start(stores: [&Store; 2]) -> Self {
        let intakes = stores.map(Intake::start);
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let producers = (0..6)
            .map(|n| {
                let (gateway, lane) = (format!("g{n}"), [3, 5][n % 2]);
                let produce =
                    produce(intakes[n / 3].clone(), gateway.clone(), lane, stop.clone(), sent.clone());
                (gateway, lane, tokio::spawn(produce))
            })
            .collect();
        Self { stop, sent, producers }
    }

    /// The same, on two replicas of the first release.
    fn start_at_first_release(stores: [&Store; 2]) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let producers = (0..6)
            .map(|n| {
                let (gateway, lane, store) = (format!("g{n}"), [3, 5][n % 2], stores[n / 3].clone());
                let produce =
                    produce_at_first_release(store, gateway.clone(), lane, stop.clone(), sent.clone());
                (gateway, lane, tokio::spawn(produce))
            })
            .collect();
        Self { stop, sent, producers }
    }

    /// Waits until so many rows more are stored.
    async fn more(&self, rows: u64) {
        let (until, deadline) = (self.sent.load(Ordering::Relaxed) + rows, Instant::now() + LONGEST);
        while self.sent.load(Ordering::Relaxed) < until {
            assert!(Instant::now() < deadline, "no rows come through any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self, server: &Server, name: &str) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for (gateway, lane, producer) in self.producers {
            let (mark, waited) = producer.await.unwrap();
            complete(server, name, &gateway, lane, mark);
            longest = longest.max(waited);
        }
        longest
    }
}

async fn gateways(store: &Store) {
    for n in 0..6 {
        enrol(store, &format!("p{}", n % 3), &format!("g{n}"), EPOCH).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_and_restarts_costs_time_and_nothing_else() {
    let mut server = Server::new(&[]);
    let (name, one) = store(&server).await;
    gateways(&one).await;
    let other = Store::open(one.address().clone()).await.unwrap();
    let load = Load::start([&one, &other]);
    load.more(2_000).await;
    for crash in [true, false] {
        let begun = Instant::now();
        if crash {
            server.kill();
        } else {
            server.stop();
        }
        server.start();
        let ready = begun.elapsed();
        load.more(100).await;
        println!(
            "{}: the server was back after {ready:?}, rows after {:?}",
            if crash { "killed" } else { "stopped" },
            begun.elapsed()
        );
        load.more(2_000).await;
    }
    let longest = load.end(&server, &name).await;
    println!("the longest that a gateway waited for an answer: {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_race_for_one_gateway_store_each_row_once() {
    let server = the_server();
    let (name, one) = store(server).await;
    enrol(&one, "grand", "racer", EPOCH).await;
    let other = Store::open(one.address().clone()).await.unwrap();
    let racers: Vec<_> = [&one, &other, &one, &other]
        .into_iter()
        .enumerate()
        .map(|(seed, store)| {
            let intake = Intake::start(store);
            tokio::spawn(async move {
                let mut random = StdRng::seed_from_u64(seed as u64);
                let mut marks = [0_u64; 2];
                while marks.iter().any(|mark| *mark < 600) {
                    let of = random.random_range(0..2);
                    let first = (marks[of] + 1).saturating_sub(random.random_range(0..8)).max(1);
                    let rows: Vec<Row> =
                        (first..=(first + random.random_range(0..30)).min(600)).map(row).collect();
                    match intake.ingest("racer", EPOCH, [3, 5][of], rows).await.unwrap() {
                        // Never back: what was durable once stays durable.
                        Ingested::Upto(mark) => {
                            assert!(mark >= marks[of], "{mark} after {}", marks[of]);
                            marks[of] = mark;
                        }
                        Ingested::Busy { pause, .. } => tokio::time::sleep(pause).await,
                        Ingested::Gap(mark) => panic!("no gap was sent, and there is one at {mark}"),
                    }
                }
            })
        })
        .collect();
    for racer in racers {
        racer.await.unwrap();
    }
    for lane in [3, 5] {
        complete(server, &name, "racer", lane, 600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_grows_while_older_replicas_take_rows_in() {
    let server = the_server();
    let (name, url) = server.database();
    let old = Store::new(Address::parse(&url).unwrap()).unwrap();
    migrations::migrate_to(&old, 1).await.unwrap();
    postgres::partitions::ahead(&old, engawa_model::Timestamp::now()).await.unwrap();
    assert!(matches!(Store::open(old.address().clone()).await, Err(StoreError::Older { found: 1, .. })));
    for n in 0..6 {
        let gateway = format!(
            "INSERT INTO gateway (property, id, name, enrolled_at, epoch)
            VALUES ('p{}', 'g{n}', 'g', 1, {EPOCH})",
            n % 3
        );
        server.sql(&name, &gateway);
    }
    let other = Store::new(old.address().clone()).unwrap();
    let load = Load::start_at_first_release([&old, &other]);
    load.more(1_000).await;
    // Somebody reads for a while: a step that changes the table waits, and must not let everybody wait behind it.
    let mut reading = old.client().await.unwrap();
    let reader = reading.transaction().await.unwrap();
    reader.query("SELECT count(*) FROM journal", &[]).await.unwrap();
    let steps: Vec<_> = (0..2)
        .map(|_| {
            let store = Store::new(old.address().clone()).unwrap();
            tokio::spawn(async move { migrations::migrate_to(&store, migrations::LATEST).await.unwrap() })
        })
        .collect();
    load.more(3_000).await;
    assert!(steps.iter().all(|step| !step.is_finished()), "the reader holds them up");
    reader.rollback().await.unwrap();
    let mut found: Vec<i32> = Vec::new();
    for step in steps {
        found.push(step.await.unwrap());
    }
    found.sort_unstable();
    assert_eq!(found, [1, migrations::LATEST], "one replica did it, the other found it done");
    load.more(1_000).await;
    Store::open(old.address().clone()).await.unwrap();
    let longest = load.end(server, &name).await;
    println!("the longest that a gateway waited for an answer: {longest:?}");
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    // What a later release has done is borne as long as it says so.
    server.sql(&name, "UPDATE engawa_schema SET version = 99");
    Store::open(old.address().clone()).await.unwrap();
    server.sql(&name, "UPDATE engawa_schema SET oldest = 98");
    assert!(matches!(Store::open(old.address().clone()).await, Err(StoreError::Newer { found: 99, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_waits_for_what_is_being_stored_elsewhere() {
    let server = the_server();
    let (name, one) = store(server).await;
    enrol(&one, "grand", "g0", EPOCH).await;
    let mut elsewhere = one.client().await.unwrap();
    let storing = elsewhere.transaction().await.unwrap();
    storing.execute("SELECT FROM gateway WHERE id = 'g0' FOR NO KEY UPDATE", &[]).await.unwrap();
    storing.execute("INSERT INTO mark VALUES ('grand', 'g0', 7, 3, 20)", &[]).await.unwrap();
    let greeting = tokio::spawn({
        let store = one.clone();
        async move {
            let mut client = store.client().await.unwrap();
            postgres::gateways::welcome(&mut client, "g0", EPOCH, &[(3, 25)], 9).await.unwrap()
        }
    });
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock')";
    until("the greeting waits", || server.sql(&name, waits) == ["t"]).await;
    storing.commit().await.unwrap();
    assert_eq!(greeting.await.unwrap(), Ok(vec![(3, 20)]));
}

/// A gateway's journal in memory.
struct Journal {
    rows: Mutex<Vec<Row>>,
    inbox: Mutex<Vec<Row>>,
    acked: AtomicU64,
    wake: Arc<Notify>,
}

impl Journal {
    fn write(&self, count: u64) {
        let mut rows = self.rows.lock().unwrap();
        for _ in 0..count {
            let seq = rows.len() as u64 + 1;
            rows.push(row(seq));
        }
        drop(rows);
        self.wake.notify_one();
    }
}

impl EdgeStore for Journal {
    fn epoch(&self) -> u64 {
        EPOCH
    }
    fn lanes(&self) -> Vec<u8> {
        vec![3]
    }
    fn read(
        &self,
        _lane: u8,
        after: u64,
        max_rows: usize,
        _max_bytes: usize,
    ) -> Result<Vec<Row>, StoreFault> {
        let rows = self.rows.lock().unwrap();
        Ok(rows.iter().skip(usize::try_from(after).unwrap()).take(max_rows.min(50)).cloned().collect())
    }
    fn head(&self, _lane: u8) -> Result<u64, StoreFault> {
        Ok(self.rows.lock().unwrap().len() as u64)
    }
    fn acknowledged(&self, _lane: u8, mark: u64) -> Result<(), StoreFault> {
        self.acked.fetch_max(mark, Ordering::SeqCst);
        Ok(())
    }
    fn inbox_mark(&self) -> Result<u64, StoreFault> {
        Ok(self.inbox.lock().unwrap().last().map_or(0, |row| row.seq))
    }
    fn accept(&self, commands: Vec<Row>) -> Result<u64, StoreFault> {
        let mut inbox = self.inbox.lock().unwrap();
        for row in commands {
            if row.seq > inbox.last().map_or(0, |row| row.seq) {
                inbox.push(row);
            }
        }
        Ok(inbox.last().map_or(0, |row| row.seq))
    }
}

/// The program, serving.
struct Replica {
    child: Child,
    address: String,
}

impl Replica {
    fn start(dir: &str, database: &str) -> Self {
        let mut child = program()
            .args(["serve", "--dir", dir, "--database", database, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .env("RUST_LOG", "warn")
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("the line that says where").to_owned();
        Self { child, address }
    }

    fn terminate(mut self) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "an orderly end");
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(home: [&str; 4], arguments: &[&str]) -> String {
    let output = program().arg(arguments[0]).args(home).args(&arguments[1..]).output().unwrap();
    server::done(output, &arguments.join(" ")).trim().to_owned()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LONGEST;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn link(
    cloud: &str,
    identity: Identity,
    journal: &Arc<Journal>,
) -> (CancellationToken, watch::Receiver<LinkState>) {
    let (sender, state) = watch::channel(LinkState::Down { reason: "not begun".into() });
    let cancel = CancellationToken::new();
    let edge = EdgeLink {
        cloud: cloud.into(),
        identity,
        store: Arc::clone(journal) as Arc<dyn EdgeStore>,
        wake: Arc::clone(&journal.wake),
        state: sender,
        updates: None,
        tuning: Tuning { backoff_max: Duration::from_millis(200), ..Tuning::default() },
        seed: 1,
    };
    tokio::spawn(edge.run(cancel.clone()));
    (cancel, state)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_goes_on_where_another_was_killed() {
    let server = the_server();
    let (name, url) = server.database();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cloud").display().to_string();
    let home = ["--dir", &dir, "--database", &url];
    ask(home, &["init", "--name", "127.0.0.1"]);
    let code = ask(home, &["claim", "--property", "grand", "--gateway", "grand-1"]);
    // A second cloud is not made in the same database.
    let second = folder.path().join("second").display().to_string();
    let refused = program().args(["init", "--dir", &second, "--database", &url]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("a cloud in it already"));

    let (first, other) = (Replica::start(&dir, &url), Replica::start(&dir, &url));
    let gateway = folder.path().join("gateway");
    std::fs::create_dir(&gateway).unwrap();
    let wanted = engawa_link::Enrolment { keys: None, property: Some("palace".to_owned()) };
    let code = code.parse().unwrap();
    let refused = engawa_link::enroll_with(&first.address, &code, &gateway, &wanted).await.unwrap_err();
    assert!(refused.to_string().contains("meant for `palace`"), "{refused}");
    engawa_link::enroll(&first.address, &code, &gateway).await.unwrap();
    let identity = || Identity::load(&gateway).unwrap();
    let journal = Arc::new(Journal {
        rows: Mutex::default(),
        inbox: Mutex::default(),
        acked: AtomicU64::new(0),
        wake: Arc::default(),
    });
    journal.write(500);
    let (cancel, _state) = link(&first.address, identity(), &journal);
    until("rows by the first replica", || journal.acked.load(Ordering::SeqCst) == 500).await;
    assert!(ask(home, &["gateways", "--json"]).contains("\"connected\":true"));

    // The command is sent by a process of its own: PostgreSQL wakes the replica that has the gateway.
    let begun = Instant::now();
    ask(home, &["send", "grand-1", "resync"]);
    until("the command", || journal.inbox.lock().unwrap().len() == 1).await;
    println!("a command was at the gateway after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(4), "it was woken, and did not look by itself");

    // Killed in the middle: the other goes on from the database's marks.
    journal.write(3_000);
    drop(first);
    cancel.cancel();
    let (cancel, _state) = link(&other.address, identity(), &journal);
    journal.write(500);
    until("rows by the other replica", || journal.acked.load(Ordering::SeqCst) == 4_000).await;
    ask(home, &["send", "grand-1", "room-status", "101", "clean-vacant"]);
    until("a command by the other replica", || journal.inbox.lock().unwrap().len() == 2).await;
    complete(server, &name, "grand-1", 3, 4_000);
    assert_eq!(ask(home, &["log", "--limit", "7", "--json"]).lines().count(), 7);

    assert_eq!(ask(home, &["commands", "grand-1", "--json"]).lines().count(), 2);
    assert_eq!(ask(home, &["rooms"]), "");

    // An orderly end says that nobody is connected any more.
    other.terminate();
    assert!(ask(home, &["gateways", "--json"]).contains("\"connected\":false"));
    cancel.cancel();
    ask(home, &["revoke", "grand-1"]);
    let refused = program().arg("send").args(home).args(["grand-1", "resync"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("was revoked"));
}

/// `GATEWAYS` (60) of them over three replicas, one of which is killed while they write.
#[tokio::test(flavor = "multi_thread")]
async fn every_gateway_of_a_killed_replica_is_back_soon_and_nothing_is_lost() {
    const SOON: Duration = Duration::from_secs(30);
    let count: usize = std::env::var("GATEWAYS").ok().map_or(60, |count| count.parse().expect("GATEWAYS"));
    let server = the_server();
    let (name, url) = server.database();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cloud").display().to_string();
    let home = ["--dir", &dir, "--database", &url];
    ask(home, &["init", "--name", "127.0.0.1"]);
    let code = ask(home, &["claim", "--property", "grand", "--gateway", "first"]);
    let mut replicas: Vec<Replica> = (0..3).map(|_| Replica::start(&dir, &url)).collect();
    let addresses: Vec<String> = replicas.iter().map(|replica| replica.address.clone()).collect();

    // One key for all: it is the connections that count.
    let first = folder.path().join("first");
    engawa_link::enroll(&addresses[0], &code.parse().unwrap(), &first).await.unwrap();
    let csr = std::fs::read_to_string(first.join("gateway.csr")).unwrap();
    let key_pem = Identity::load(&first).unwrap().key_pem.clone();
    let authority = engawa_link::pki::CertificateAuthority::load(std::path::Path::new(&dir)).unwrap();
    let store = Store::open(Address::parse(&url).unwrap()).await.unwrap();
    let stop = CancellationToken::new();
    let mut fleet = Vec::new();
    for n in 0..count {
        let gateway = format!("gateway-{n}");
        enrol(&store, &format!("hotel-{}", n / 10), &gateway, EPOCH).await;
        let (from, to) = (std::time::SystemTime::now(), std::time::SystemTime::now() + LONGEST * 60);
        let certificate_pem = authority.sign_gateway(&gateway, &csr, from, to).unwrap();
        let (key_pem, ca_pem) = (key_pem.clone(), authority.pem().to_owned());
        let identity =
            Identity { gateway: gateway.clone(), certificate_pem, key_pem, ca_pem, folder: None, keys: None };
        let journal = Arc::new(Journal {
            rows: Mutex::default(),
            inbox: Mutex::default(),
            acked: AtomicU64::new(0),
            wake: Arc::default(),
        });
        let (sender, state) = watch::channel(LinkState::Down { reason: "not begun".into() });
        let edge = EdgeLink {
            cloud: engawa_link::Line::new(addresses.clone()),
            identity,
            store: Arc::clone(&journal) as Arc<dyn EdgeStore>,
            wake: Arc::clone(&journal.wake),
            state: sender,
            updates: None,
            tuning: Tuning::default(),
            seed: n as u64,
        };
        journal.write(10);
        tokio::spawn(edge.run(stop.clone()));
        fleet.push((gateway, journal, state));
    }
    until("all gateways to have sent", || {
        fleet.iter().all(|(_, journal, _)| journal.acked.load(Ordering::SeqCst) >= 10)
    })
    .await;
    let writing = {
        let (stop, journals) =
            (stop.clone(), fleet.iter().map(|(_, journal, _)| Arc::clone(journal)).collect::<Vec<_>>());
        tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(200));
            while stop.run_until_cancelled(every.tick()).await.is_some() {
                journals.iter().for_each(|journal| journal.write(1));
            }
        })
    };

    let of = |state: &watch::Receiver<LinkState>| match &*state.borrow() {
        LinkState::Up { address, .. } => addresses.iter().position(|known| address.starts_with(known)),
        LinkState::Down { .. } => None,
    };
    let killed = of(&fleet[0].2).expect("it is connected");
    let orphans: Vec<_> = fleet.iter().filter(|(.., state)| of(state) == Some(killed)).collect();
    assert!((1..count).contains(&orphans.len()), "{} of {count} on one replica", orphans.len());
    drop(replicas.remove(killed));
    let begun = Instant::now();
    let heads: Vec<u64> =
        orphans.iter().map(|(_, journal, _)| journal.rows.lock().unwrap().len() as u64).collect();
    let mut back: Vec<Option<Duration>> = vec![None; orphans.len()];
    let deadline = begun + LONGEST;
    while !back.iter().all(Option::is_some) {
        assert!(Instant::now() < deadline, "not all of them are back");
        tokio::time::sleep(Duration::from_millis(10)).await;
        for ((back, head), (_, journal, _)) in back.iter_mut().zip(&heads).zip(&orphans) {
            if journal.acked.load(Ordering::SeqCst) > *head {
                back.get_or_insert_with(|| begun.elapsed());
            }
        }
    }
    back.sort_unstable();
    println!(
        "{} of {count} gateways lost their replica: half of them were back after {:?}, the last after {:?}",
        back.len(),
        back[back.len() / 2].unwrap(),
        back.last().unwrap().unwrap()
    );
    assert!(back.last().unwrap().unwrap() < SOON);
    // What was written meanwhile has come too, each row once; the links go on until then.
    writing.abort();
    let head = |journal: &Journal| journal.rows.lock().unwrap().len() as u64;
    until("everything to be acknowledged", || {
        fleet.iter().all(|(_, journal, _)| journal.acked.load(Ordering::SeqCst) == head(journal))
    })
    .await;
    stop.cancel();
    for (gateway, journal, _) in &fleet {
        complete(server, &name, gateway, 3, head(journal));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_that_fails_leaves_nothing_and_can_be_run_again() {
    let server = the_server();
    // The role that reads for one property is there, and is not this user's to give.
    let _ = store(server).await;
    server.sql("postgres", "CREATE ROLE plain LOGIN");
    server.sql("postgres", "CREATE DATABASE plain OWNER plain");
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cloud").display().to_string();
    let url = format!("postgres://plain@127.0.0.1:{}/plain", server.port);
    let init = || {
        program().args(["init", "--name", "127.0.0.1", "--dir", &dir, "--database", &url]).output().unwrap()
    };
    let failed = init();
    let err = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && err.contains("engawa_tenant"), "{err}");
    assert!(err.contains("it is as it was before, mend what is named and run the same again"), "{err}");
    let left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(server.sql("plain", left), ["0"]);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    server.sql("postgres", "GRANT engawa_tenant TO plain");
    server::done(init(), "init");
    assert_eq!(ask(["--dir", &dir, "--database", &url], &["gateways"]), "");
}
