//! Releases over the link: by QUIC and TCP, no faster than allowed, behind everything else; and clouds that know no updates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "tests")]

mod ends;

use ends::{Cloud, Journal, Link, enrolled, link_with, quick, until, until_state};
use engawa_link::{Line, LinkState, UpdateLine, updates};
use engawa_protocol::update::UpdateAsk;
use engawa_relay::Relay;
use engawa_release::{Digest, Source, SourceFault};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

fn name() -> String {
    format!("targets/engawa/t/1.0.0/{}.pack", Digest::of(b"pack"))
}

fn pack(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from((n * 2_654_435_761) >> 13 & 0xff).unwrap()).collect()
}

async fn serve(cloud: &Arc<Cloud>) -> SocketAddr {
    let bound = cloud.end("127.0.0.1:0".parse().unwrap(), quick()).await;
    let address = bound.address();
    tokio::spawn(bound.run(CancellationToken::new()));
    address
}

/// A cloud with a release of so many bytes, or without any word of releases.
async fn cloud(length: Option<usize>) -> (Arc<Cloud>, SocketAddr) {
    let cloud = Cloud::new();
    *cloud.releases.lock().unwrap() = length.map(|length| BTreeMap::from([(name(), pack(length))]));
    let address = serve(&cloud).await;
    (cloud, address)
}

async fn gateway(cloud: &Arc<Cloud>, way: SocketAddr, rate: u64) -> (Link, UpdateLine, Arc<Journal>) {
    let identity = enrolled(cloud, way, "g1").await;
    let journal = Arc::new(Journal::default());
    let mut line = Line::new([way.to_string()]);
    line.tcp_after = Duration::from_millis(100);
    let (asker, port) = updates(rate);
    let mut link = link_with(line, identity, &journal, 3, Some(port));
    until_state(&mut link, |state| matches!(state, LinkState::Up { .. })).await;
    (link, asker, journal)
}

/// Reads the whole file as an installer would, on a thread of its own.
async fn fetch(mut asker: UpdateLine) -> (UpdateLine, Result<Vec<u8>, SourceFault>) {
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![];
        loop {
            match asker.read(&name(), bytes.len() as u64, 1 << 20) {
                Ok(Some(piece)) => {
                    bytes.extend_from_slice(&piece.bytes);
                    if bytes.len() as u64 == piece.total {
                        return (asker, Ok(bytes));
                    }
                }
                Ok(None) => panic!("there is such a file"),
                Err(fault) => return (asker, Err(fault)),
            }
        }
    });
    reading.await.unwrap()
}

async fn told(asker: UpdateLine, state: &'static str) -> (UpdateLine, Result<String, SourceFault>) {
    let asking = tokio::task::spawn_blocking(move || {
        let told =
            asker.told(UpdateAsk { version: "1.0.0".into(), state: state.into(), ..UpdateAsk::default() });
        (asker, told.map(|told| told.rollout))
    });
    asking.await.unwrap()
}

async fn open(asker: &UpdateLine, wanted: bool) {
    let mut connected = asker.connected();
    let waiting = connected.wait_for(|open| *open == wanted);
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_comes_over_quic_and_over_tcp() {
    for over_tcp in [false, true] {
        let (cloud, address) = cloud(Some(3 << 20)).await;
        let relay = Relay::open(address).unwrap();
        relay.set(|weather| weather.udp_blocked = over_tcp);
        let (link, asker, _) = gateway(&cloud, relay.address(), 0).await;
        let address = match &*link.state.borrow() {
            LinkState::Up { address, .. } => address.clone(),
            LinkState::Down { reason } => panic!("{reason}"),
        };
        assert_eq!(address.contains("TCP"), over_tcp);
        open(&asker, true).await;
        let (asker, rollout) = told(asker, "idle").await;
        assert_eq!(rollout.unwrap(), "for g1");
        assert_eq!(cloud.asks.lock().unwrap()[0].version, "1.0.0");
        let (asker, bytes) = fetch(asker).await;
        assert!(bytes.unwrap() == pack(3 << 20), "over_tcp: {over_tcp}");
        // A fault of the cloud's database is told and ends nothing.
        let (asker, rollout) = told(asker, "fault").await;
        assert!(
            matches!(rollout, Err(SourceFault::Away(ref words)) if words.contains("ask again")),
            "{rollout:?}"
        );
        let (mut asker, rollout) = told(asker, "idle").await;
        rollout.unwrap();
        let missing = tokio::task::spawn_blocking(move || {
            assert!(matches!(asker.read("keys/secret", 0, 9), Err(SourceFault::Name(_))));
            asker.read("metadata/9.root.json", 0, 9).unwrap()
        });
        assert_eq!(missing.await.unwrap(), None);
        link.cancel.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_on_while_a_release_comes_slowly_or_is_stuck() {
    let (cloud, address) = cloud(Some(1 << 20)).await;
    let (link, asker, journal) = gateway(&cloud, address, 400_000).await;
    open(&asker, true).await;
    let began = Instant::now();
    let fetching = tokio::spawn(fetch(asker));
    let stored = |lane: u8| {
        let rows = cloud.rows.lock().unwrap();
        rows.get(&("g1".to_owned(), 7, lane)).map_or(0, Vec::len)
    };
    for n in 1..=20 {
        journal.write(1, 1);
        until("an alarm in the middle of it", || stored(1) == n).await;
    }
    assert!(!fetching.is_finished(), "alarms were quicker than the release");
    let (asker, bytes) = fetching.await.unwrap();
    assert!(bytes.unwrap() == pack(1 << 20));
    // A megabyte at 400 kB a second, of which half a second's worth is free.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
    // An answer that does not come holds up nobody.
    cloud.stuck.send_replace(true);
    let fetching = tokio::spawn(fetch(asker));
    for n in 1..=5 {
        journal.write(3, 10);
        until("rows beside an answer that does not come", || stored(3) == n * 10).await;
    }
    assert!(!fetching.is_finished());
    cloud.stuck.send_replace(false);
    assert!(fetching.await.unwrap().1.unwrap() == pack(1 << 20));
    link.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_breaks_is_told_and_the_next_one_goes_on() {
    let (cloud, address) = cloud(Some(2 << 20)).await;
    let relay = Relay::open(address).unwrap();
    let (mut link, asker, _) = gateway(&cloud, relay.address(), 600_000).await;
    open(&asker, true).await;
    let fetching = tokio::spawn(fetch(asker));
    relay.set(|weather| weather.cut = true);
    let (asker, broken) = fetching.await.unwrap();
    assert!(matches!(broken, Err(SourceFault::Away(_))), "{broken:?}");
    open(&asker, false).await;
    let (asker, rollout) = told(asker, "idle").await;
    assert!(
        matches!(rollout, Err(SourceFault::Away(_))),
        "nobody waits for a line that is down: {rollout:?}"
    );
    relay.set(|weather| weather.cut = false);
    until_state(&mut link, |state| matches!(state, LinkState::Up { .. })).await;
    open(&asker, true).await;
    asker.set_rate(0);
    let (_, bytes) = fetch(asker).await;
    assert!(bytes.unwrap() == pack(2 << 20));
    link.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_that_knows_no_updates_is_not_asked() {
    let (cloud, address) = cloud(None).await;
    let (link, asker, journal) = gateway(&cloud, address, 0).await;
    let (_, rollout) = told(asker, "idle").await;
    assert!(matches!(rollout, Err(SourceFault::Away(_))), "{rollout:?}");
    journal.write(1, 3);
    let stored = || cloud.rows.lock().unwrap().values().map(Vec::len).sum::<usize>();
    until("the session goes on", || stored() == 3).await;
    assert!(cloud.asks.lock().unwrap().is_empty());
    assert!(matches!(*link.state.borrow(), LinkState::Up { .. }));
    link.cancel.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_are_not_held_up_by_a_release_that_fills_the_line() {
    for over_tcp in [false, true] {
        let (cloud, address) = cloud(Some(8 << 20)).await;
        let relay = Relay::open(address).unwrap();
        relay.set(|weather| {
            weather.udp_blocked = over_tcp;
            weather.bits_per_second = Some(4_000_000);
            weather.delay = Duration::from_millis(10);
        });
        let (link, asker, journal) = gateway(&cloud, relay.address(), 0).await;
        open(&asker, true).await;
        let fetching = tokio::spawn(fetch(asker));
        // Until the pieces have found their size.
        until("the release fills the line", || cloud.pieces.load(Ordering::SeqCst) >= 10).await;
        let mut waits = vec![];
        for n in 1..=25 {
            let raised = Instant::now();
            journal.write(1, 1);
            // Its answer comes the way that the release takes.
            until("an alarm's answer", || journal.told.lock().unwrap().get(&1) == Some(&n)).await;
            waits.push(raised.elapsed());
        }
        waits.sort_unstable();
        let carrier = if over_tcp { "TCP" } else { "QUIC" };
        let (half, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
        println!(
            "alarms beside a release over {carrier} at 4 Mbit/s: answers after {half:?}, the longest {longest:?}"
        );
        assert!(!fetching.is_finished());
        assert!(half < Duration::from_millis(400), "{carrier}: {waits:?}");
        link.cancel.cancel();
        // It ends with the link.
        assert!(fetching.await.unwrap().1.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_what_is_to_run_does_not_wait_for_a_download_which_can_be_stopped() {
    let (cloud, address) = cloud(Some(1 << 20)).await;
    // Some 60 s for the whole.
    let (link, asker, _) = gateway(&cloud, address, 16 << 10).await;
    open(&asker, true).await;
    let line = Arc::new(asker);
    let going = Arc::new(AtomicBool::new(true));
    let mut source = line.source(Arc::clone(&going));
    let reading = tokio::task::spawn_blocking(move || {
        let mut at = 0;
        loop {
            match source.read(&name(), at, 1 << 20) {
                Ok(piece) => at += piece.unwrap().bytes.len() as u64,
                Err(fault) => return (at, fault),
            }
        }
    });
    for _ in 0..2 {
        let line = Arc::clone(&line);
        let told = tokio::task::spawn_blocking(move || line.told(UpdateAsk::default()));
        let told = tokio::time::timeout(Duration::from_secs(20), told).await.expect("beside it").unwrap();
        assert_eq!(told.unwrap().rollout, "for g1");
    }
    going.store(false, Ordering::Relaxed);
    let (at, fault) = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("soon").unwrap();
    assert!(at < 1 << 20 && matches!(&fault, SourceFault::Away(why) if why.contains("any more")), "{fault}");
    link.cancel.cancel();
}
