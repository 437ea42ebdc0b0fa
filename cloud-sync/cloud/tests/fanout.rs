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

use common::row;
use engawa_cloud::postgres::{Intake, fanout};
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

/// The numbers of the rows that are in the stream, and the subjects.
async fn told(port: u16) -> Option<(BTreeSet<i64>, BTreeSet<String>)> {
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
    let (mut numbers, mut subjects) = (BTreeSet::new(), BTreeSet::new());
    while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_millis(300), messages.next()).await
    {
        let body: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        numbers.insert(body["seq"].as_i64().unwrap());
        subjects.insert(message.subject.to_string());
    }
    Some((numbers, subjects))
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
