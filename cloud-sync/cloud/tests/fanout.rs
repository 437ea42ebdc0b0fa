//! The journal told to NATS: killed, and its data deleted, and every row reaches the stream all the same.
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

use common::{at, change_row, row};
use engawa_cloud::postgres::{self, Address, Intake, Store, fanout};
use engawa_model::{Change, Erasure, ErasureReason, Timestamp};
use engawa_protocol::ports::Row;
use server::{Server, enrol, store};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const EPOCH: u64 = 7;
const LONGEST: Duration = Duration::from_secs(60);

struct Nats(Child);

impl Nats {
    fn start(port: u16, data: &Path) -> Self {
        // A machine with a small disk: less room than the stream would have.
        let settings = data.with_extension("conf");
        let store = data.join("store");
        let text = format!("jetstream {{ store_dir: {store:?}, max_file_store: 1GB }}");
        std::fs::write(&settings, text).unwrap();
        let mut nats = Command::new("nats-server");
        nats.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"]).arg(settings);
        Self(server::spawn({
            nats.stdout(Stdio::null()).stderr(Stdio::null());
            nats
        }))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A subject, and what was told under it.
type Told = (String, serde_json::Value);

/// What is in the stream.
async fn stream(port: u16) -> Option<Vec<Told>> {
    use futures::StreamExt;
    let client = async_nats::connect(format!("127.0.0.1:{port}")).await.ok()?;
    let context = async_nats::jetstream::new(client);
    let stream = context.get_stream(fanout::STREAM).await.ok()?;
    let config = async_nats::jetstream::consumer::pull::Config::default();
    let consumer = match stream.create_consumer(config).await {
        Ok(consumer) => consumer,
        Err(error) => panic!("{error:?}"),
    };
    let mut messages = consumer.stream().max_messages_per_batch(500).messages().await.unwrap();
    let mut all = Vec::new();
    while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_millis(300), messages.next()).await
    {
        all.push((message.subject.to_string(), serde_json::from_slice(&message.payload).unwrap()));
    }
    Some(all)
}

/// The numbers of the rows that are in the stream, and the subjects.
async fn told(port: u16) -> Option<(BTreeSet<i64>, BTreeSet<String>)> {
    let all = stream(port).await?;
    let numbers = all.iter().map(|(_, body)| body["seq"].as_i64().unwrap()).collect();
    Some((numbers, all.into_iter().map(|(subject, _)| subject).collect()))
}

async fn until_told(port: u16, rows: i64) {
    let deadline = Instant::now() + LONGEST;
    loop {
        let found = told(port).await.unwrap_or_default();
        if found.0 == (1..=rows).collect() {
            assert_eq!(found.1, BTreeSet::from(["engawa.grand_hotel.night_audit".to_owned()]));
            return;
        }
        assert!(Instant::now() < deadline, "{} of {rows} rows came", found.0.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_is_killed_and_emptied_and_hears_everything() {
    let server = Server::quick();
    let (_, store) = store(&server).await;
    enrol(&store, "grand.hotel", "grand-1", EPOCH).await;
    let intake = Intake::start(&store);
    let (port, folder) = (server::free_port(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let (cancel, url) = (CancellationToken::new(), format!("127.0.0.1:{port}"));
    // Two replicas: one of them publishes.
    for _ in 0..2 {
        tokio::spawn(fanout::run(store.clone(), url.clone(), cancel.clone()));
    }
    let rows = |numbers: std::ops::RangeInclusive<u64>| numbers.map(row).collect::<Vec<Row>>();
    // It was never there yet.
    intake.ingest("grand-1", EPOCH, 3, rows(1..=700)).await.unwrap();
    let nats = Nats::start(port, &data);
    until_told(port, 700).await;
    // Killed while rows come; then with nothing left of it.
    drop(nats);
    intake.ingest("grand-1", EPOCH, 3, rows(701..=900)).await.unwrap();
    let nats = Nats::start(port, &data);
    until_told(port, 900).await;
    drop(nats);
    std::fs::remove_dir_all(&data).unwrap();
    intake.ingest("grand-1", EPOCH, 3, rows(901..=1_000)).await.unwrap();
    let _nats = Nats::start(port, &data);
    until_told(port, 1_000).await;
    cancel.cancel();
}

/// A tombstone as a gateway's vault signs it.
fn tombstone(stay: &str) -> Erasure {
    use data_encoding::HEXLOWER;
    use ring::signature::{Ed25519KeyPair, KeyPair};
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let mut erasure = Erasure {
        stay: stay.into(),
        record: "0a".into(),
        at: at(100),
        reason: ErasureReason::Asked,
        signer: HEXLOWER.encode(key.public_key().as_ref()),
        signature: String::new(),
    };
    erasure.signature = HEXLOWER.encode(key.sign(erasure.message().as_bytes()).as_ref());
    erasure
}

async fn until(port: u16, what: &str, holds: impl Fn(&[Told]) -> bool) {
    let deadline = Instant::now() + LONGEST;
    loop {
        let all = stream(port).await.unwrap_or_default();
        if holds(&all) {
            return;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}: {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_who_is_erased_goes_from_nats_too() {
    let server = Server::quick();
    let (name, store) = store(&server).await;
    enrol(&store, "grand", "grand-1", EPOCH).await;
    let intake = Intake::start(&store);
    let (port, folder) = (server::free_port(), tempfile::tempdir().unwrap());
    let _nats = Nats::start(port, &folder.path().join("data"));
    let (cancel, url) = (CancellationToken::new(), format!("127.0.0.1:{port}"));
    // The mark is there before anything is told: whoever clears rows knows that NATS may have them.
    let fanout = tokio::spawn(fanout::run(store.clone(), url.clone(), cancel.clone()));
    let deadline = Instant::now() + LONGEST;
    while server.sql(&name, "SELECT count(*) FROM outbox") != ["1"] {
        assert!(Instant::now() < deadline, "no mark before the first row");
    }
    cancel.cancel();
    fanout.await.unwrap();
    let cancel = CancellationToken::new();
    let checked_in = |stay: &str| Change::CheckedIn {
        stay: stay.into(),
        room: "101".into(),
        language: Some("tlh".into()),
        arrival: None,
        departure: None,
    };
    let rows = [change_row(1, &checked_in("S1")), change_row(2, &checked_in("S2"))];
    intake.ingest("grand-1", EPOCH, 3, rows.to_vec()).await.unwrap();
    // NATS was away: they are told almost as late as rows are told at all, and it keeps them from then on.
    server.sql(&name, "UPDATE journal SET received_micros = received_micros - 596160000000");
    let fanout = tokio::spawn(fanout::run(store.clone(), url.clone(), cancel.clone()));
    until(port, "both rows", |all| all.len() == 2).await;
    // Nobody tells NATS while the guest is erased: what it holds is known to be open, and told of.
    cancel.cancel();
    fanout.await.unwrap();
    let erased = change_row(3, &Change::Erased { erasure: tombstone("S1") });
    intake.ingest("grand-1", EPOCH, 3, vec![erased]).await.unwrap();
    let in_two_days = (Timestamp::now() + jiff::SignedDuration::from_hours(48)).as_microsecond();
    assert_eq!(postgres::erasure::sweep(&store, in_two_days).await.unwrap(), Some(1));
    let database = server.url(&name);
    let report = common::run(&["erasure", "report", "--database", &database]);
    assert!(report.status == 1 && report.out.contains("NATS MAY STILL HOLD 1 rows"), "{report:?}");

    // A NATS that is given up forgets by time: a fortnight after the last that it was told nothing is open any more.
    let listed = || server.sql(&name, "SELECT count(*) FROM erasure_told")[0].clone();
    let days = |days: i64| (Timestamp::now() + jiff::SignedDuration::from_hours(24 * days)).as_microsecond();
    server.sql(&name, "CREATE TABLE kept AS SELECT * FROM erasure_told");
    for (day, left) in [(7, "1"), (16, "0")] {
        assert_eq!(postgres::erasure::sweep(&store, days(day)).await.unwrap(), Some(0));
        assert_eq!(listed(), left, "after {day} days");
    }
    server.sql(&name, "INSERT INTO erasure_told SELECT * FROM kept");

    let cancel = CancellationToken::new();
    tokio::spawn(fanout::run(store.clone(), url, cancel.clone()));
    let language = |all: &[Told], stay: &str| {
        let of = |(_, told): &&Told| told["body"]["stay"] == stay && told["kind"] == "checked_in";
        all.iter().filter(of).map(|(_, told)| told["body"]["language"].clone()).collect::<Vec<_>>()
    };
    until(port, "the cleared row alone, the tombstone and the other guest", |all| {
        language(all, "S1") == [serde_json::Value::Null]
            && language(all, "S2") == ["tlh"]
            && all.iter().any(|(subject, _)| subject == "engawa.grand.erased")
    })
    .await;
    let deadline = Instant::now() + LONGEST;
    let report = || common::run(&["erasure", "report", "--database", &database]);
    while report().status != 0 {
        assert!(Instant::now() < deadline, "{:?}", report());
    }
    assert!(report().out.contains("1 rows were taken out of NATS"), "{:?}", report());
    cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_put_back_does_not_make_nats_go_silent() {
    put_back(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_put_back_is_noticed_after_its_server_has_had_as_many_transactions() {
    put_back(true).await;
}

/// `late`: nobody looks before the new server's numbers have passed those of the old one.
async fn put_back(late: bool) {
    let server = Server::quick();
    let (name, first) = store(&server).await;
    enrol(&first, "grand.hotel", "grand-1", EPOCH).await;
    // A server that has run for a while: its transactions have higher numbers than a new one's.
    server.sql(
        &name,
        "CREATE PROCEDURE burn() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..5000 LOOP
           PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$",
    );
    server.sql(&name, "CALL burn()");
    let (port, folder) = (server::free_port(), tempfile::tempdir().unwrap());
    let _nats = Nats::start(port, &folder.path().join("data"));
    let (cancel, url) = (CancellationToken::new(), format!("127.0.0.1:{port}"));
    let fanout = tokio::spawn(fanout::run(first.clone(), url.clone(), cancel.clone()));
    let rows = |numbers: std::ops::RangeInclusive<u64>| numbers.map(row).collect::<Vec<Row>>();
    let intake = Intake::start(&first);
    intake.ingest("grand-1", EPOCH, 3, rows(1..=300)).await.unwrap();
    until_told(port, 300).await;
    // The last rows before the dump were not told any more.
    cancel.cancel();
    fanout.await.unwrap();
    intake.ingest("grand-1", EPOCH, 3, rows(301..=350)).await.unwrap();
    let dumped = server::client("pg_dump", server.port).arg(&name).output().unwrap();
    let dump = folder.path().join("dump.sql");
    std::fs::write(&dump, server::done(dumped, "pg_dump")).unwrap();

    let another = Server::quick();
    let (name, url_of_it) = another.database();
    // A dump of one database brings no roles.
    another.sql("postgres", "CREATE ROLE engawa_tenant NOLOGIN");
    server::fill(another.port, &name, &dump);
    let second = Store::open(Address::parse(&url_of_it).unwrap()).await.unwrap();
    postgres::partitions::ahead(&second, Timestamp::now()).await.unwrap();
    let intake = Intake::start(&second);
    intake.ingest("grand-1", EPOCH, 3, rows(351..=400)).await.unwrap();
    if late {
        another.sql(&name, "CALL burn()");
        another.sql(&name, "CALL burn()");
        let passed = "SELECT tx < pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM outbox";
        assert_eq!(another.sql(&name, passed), ["t"]);
    }
    let cancel = CancellationToken::new();
    for _ in 0..2 {
        // It is noticed once, and a second start goes on from there.
        let cancel = CancellationToken::new();
        let fanout = tokio::spawn(fanout::run(second.clone(), url.clone(), cancel.clone()));
        until_told(port, 400).await;
        cancel.cancel();
        fanout.await.unwrap();
    }
    let marks = "SELECT base_tx < 9223372036854775807, restored_id = floor_id FROM outbox";
    assert_eq!(another.sql(&name, marks), ["t|t"]);
    tokio::spawn(fanout::run(second.clone(), url, cancel.clone()));
    intake.ingest("grand-1", EPOCH, 3, rows(401..=450)).await.unwrap();
    until_told(port, 450).await;
    cancel.cancel();
}
