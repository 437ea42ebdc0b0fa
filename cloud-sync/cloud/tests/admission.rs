//! A database that hangs, and two hundred gateways: each is told "later" in time, nothing piles up, and all is stored once
//! when it is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "tests")]

mod common;
mod server;

use common::row;
use engawa_cloud::postgres::end::Authorities;
use engawa_cloud::postgres::{End, Replica, Store, authority};
use engawa_link::pki::CertificateAuthority;
use engawa_protocol::ports::{CloudStore, Ingested, Refusal, Row};
use engawa_protocol::trust::{Peer, Session};
use server::{Server, store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const EPOCH: u64 = 7;
const GATEWAYS: usize = 200;
/// Rows that each gateway has at least.
const ROWS: u64 = 100;
const LONGEST: Duration = Duration::from_secs(90);

async fn end(store: &Store) -> End {
    let folder = tempfile::tempdir().unwrap();
    CertificateAuthority::create("test").unwrap().save(folder.path()).unwrap();
    let authorities = Authorities::load(folder.path()).unwrap();
    authority::require(&store.client().await.unwrap(), authorities.whole()).await.unwrap();
    let replica = Replica::new("127.0.0.1:1".into());
    replica.beat(store).await.unwrap();
    let end = End::new(store.clone(), replica, authorities);
    end.tend().await.unwrap();
    end
}

fn peer() -> Peer {
    Peer {
        gateway: "g0".into(),
        region: None,
        serial: "01".into(),
        key: [0; 32],
        not_before_s: 0,
        not_after_s: i64::MAX / 1_000_000,
    }
}

/// What all gateways together have met.
#[derive(Default)]
struct Met {
    stored: AtomicU64,
    later: AtomicU64,
    /// The longest that one waited for any answer, and the longest rest that it was given, ms.
    longest_ms: AtomicU64,
    rest_ms: AtomicU64,
    /// It is over: whoever has its rows stored ends.
    enough: AtomicBool,
}

/// A gateway as its session is: one batch of each lane at a time, a rest where it is told to.
async fn gateway(end: Arc<End>, name: String, lane: u8, met: Arc<Met>) -> u64 {
    let mut mark = 0_u64;
    let mut settled = true;
    // What was not answered may be stored: it is sent until it is.
    while !settled || mark < ROWS || !met.enough.load(Ordering::Relaxed) {
        settled = false;
        let rows: Vec<Row> = (mark + 1..=mark + 20).map(row).collect();
        let begun = Instant::now();
        let answer = end.ingest(&name, EPOCH, lane, rows).await.expect("a store that is slow does not fail");
        met.longest_ms.fetch_max(begun.elapsed().as_millis().try_into().unwrap(), Ordering::Relaxed);
        match answer {
            Ingested::Upto(upto) => {
                assert!(upto > mark && upto <= mark + 20, "{name}: {upto} after {mark}");
                met.stored.fetch_add(upto - mark, Ordering::Relaxed);
                (mark, settled) = (upto, true);
                // Telemetry comes every so often; without it this would be a test of speed.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ingested::Busy { pause, .. } => {
                met.later.fetch_add(1, Ordering::Relaxed);
                met.rest_ms.fetch_max(pause.as_millis().try_into().unwrap(), Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
            Ingested::Gap(_) => panic!("{name}: a gap, and none was sent"),
        }
    }
    mark
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LONGEST;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_answers_later_and_loses_nothing() {
    let server = Server::quick();
    let (name, store) = store(&server).await;
    server.sql(
        &name,
        &format!(
            "INSERT INTO gateway (property, id, name, enrolled_at, epoch)
             SELECT 'p' || n % 10, 'g' || n, 'g', 1, {EPOCH} FROM generate_series(0, {GATEWAYS} - 1) n"
        ),
    );
    let end = Arc::new(end(&store).await);
    let met = Arc::new(Met::default());
    let gateways: Vec<_> = (0..GATEWAYS)
        .map(|n| tokio::spawn(gateway(Arc::clone(&end), format!("g{n}"), [3, 5][n % 2], Arc::clone(&met))))
        .collect();
    let stored = || met.stored.load(Ordering::Relaxed);
    until("rows are stored", || stored() > 2_000).await;

    // All sessions in one question, each with its own answer.
    let session =
        |name: &str| Session { peer: Arc::new(Peer { gateway: name.into(), ..peer() }), turn: None };
    let stand = end.standings(&[session("g1"), session("nobody"), session("g2")]).await;
    assert_eq!(stand, [Ok(()), Err(Refusal::Unknown("nobody".into())), Ok(())]);

    server.pause();
    let (begun, before) = (Instant::now(), met.later.load(Ordering::Relaxed));
    // Everybody has been told, and whoever has come again has been told again, for a longer time.
    let later = || met.later.load(Ordering::Relaxed) - before;
    // A question that can't be answered is one for later, too: nobody is taken for unknown.
    let (peer, sessions) = (peer(), [session("g1"), session("g2")]);
    let heads = [(3, 9)];
    let told = until("everybody is told to come later", || later() > 2 * GATEWAYS as u64);
    let ((), standing, standings, hello) = tokio::join!(
        told,
        end.standing(&peer, None),
        end.standings(&sessions),
        end.hello("g0", EPOCH, &heads)
    );
    assert_eq!(standings, [Err(Refusal::Unavailable), Err(Refusal::Unavailable)]);
    assert_eq!((standing, hello), (Err(Refusal::Unavailable), Err(Refusal::Unavailable)));
    let hung = begun.elapsed();
    assert!(hung < Duration::from_secs(30), "{hung:?}");
    server.resume();
    let (back, then) = (Instant::now(), stored());
    until("rows are stored again", || stored() > then + 2_000).await;
    let again = back.elapsed();
    met.enough.store(true, Ordering::Relaxed);
    let mut marks: Vec<String> = Vec::new();
    for (n, gateway) in gateways.into_iter().enumerate() {
        let mark = gateway.await.unwrap();
        marks.push(format!("g{n}|{mark}|1|{mark}|{mark}|{mark}"));
    }
    marks.sort();
    let mut found = server.sql(
        &name,
        "SELECT gateway, count(*), min(r.seq), max(r.seq), count(DISTINCT r.seq), max(m.seq)
         FROM (SELECT gateway, seq FROM journal UNION ALL SELECT gateway, seq FROM telemetry) r
         JOIN mark m USING (gateway) GROUP BY gateway",
    );
    found.sort();
    assert_eq!(found, marks, "each row once, none missing");
    let ms = |of: &AtomicU64| Duration::from_millis(of.load(Ordering::Relaxed));
    println!(
        "hung for {hung:?}; {} times told to come later, the longest rest {:?}, the longest wait for an answer {:?}; rows \
         again {again:?} after it was back",
        met.later.load(Ordering::Relaxed),
        ms(&met.rest_ms),
        ms(&met.longest_ms)
    );
    // In its turn at most, or within a try that has begun.
    assert!(ms(&met.longest_ms) < Duration::from_secs(45), "{:?}", ms(&met.longest_ms));
    assert!(again < Duration::from_secs(30), "{again:?}");
}
