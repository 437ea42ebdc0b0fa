//! The way to the cloud over bad lines: UDP blocked, addresses that are dead, NATs that forget, clouds of other regions.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod ends;

use ends::{Cloud, Journal, LANES, Link, enrolled, link_by, quick, until, until_state};
use engawa_link::{Line, LinkState, Metered};
use engawa_relay::Relay;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

async fn serve(cloud: &Arc<Cloud>) -> SocketAddr {
    let bound = cloud.end("127.0.0.1:0".parse().unwrap(), quick()).await;
    let address = bound.address();
    assert_eq!(address, bound.tcp_address());
    tokio::spawn(bound.run(CancellationToken::new()));
    address
}

fn line(addresses: &[SocketAddr]) -> Line {
    let mut line = Line::new(addresses.iter().map(ToString::to_string));
    line.tcp_after = Duration::from_millis(100);
    line.next_after = Duration::from_millis(150);
    line.quic_again = Duration::from_millis(300);
    line.look = Duration::from_millis(100);
    line
}

fn same(cloud: &Cloud, journal: &Journal) -> bool {
    let rows = cloud.rows.lock().unwrap();
    let journal = journal.lanes.lock().unwrap();
    LANES.iter().all(|lane| {
        let stored = rows.get(&("g1".to_owned(), 7, *lane)).cloned().unwrap_or_default();
        stored == journal.get(lane).cloned().unwrap_or_default()
    })
}

fn up(state: &LinkState, over_tcp: bool) -> bool {
    matches!(state, LinkState::Up { address, .. } if address.contains("TCP") == over_tcp)
}

async fn stop(link: Link) {
    link.cancel.cancel();
    link.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_udp_is_blocked_tcp_carries_until_quic_gets_through() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let relay = Relay::open(serve(&cloud).await).unwrap();
    relay.set(|weather| weather.udp_blocked = true);
    // Enrolment gets through, too.
    let identity = enrolled(&cloud, relay.address(), "g1").await;
    let folder = tempfile::tempdir().unwrap();
    let mut way = line(&[relay.address()]);
    let memory = folder.path().join("line");
    way.memory = Some(memory.clone());
    let mut edge = link_by(way.clone(), identity.clone(), &journal, 1);
    until_state(&mut edge, |state| up(state, true)).await;
    for lane in LANES {
        journal.write(lane, 500);
    }
    cloud.send("a command");
    until("the rows over TCP", || same(&cloud, &journal)).await;
    until("the command over TCP", || *cloud.acked.lock().unwrap() == 1).await;
    assert_eq!(std::fs::read_to_string(&memory).unwrap(), format!("tcp {}\n", relay.address()));
    // It is remembered: the next time TCP is not made to wait.
    stop(edge).await;
    way.tcp_after = Duration::from_secs(30);
    let mut edge = link_by(way, identity, &journal, 2);
    until_state(&mut edge, |state| up(state, true)).await;
    // A firewall that was opened.
    relay.set(|weather| weather.udp_blocked = false);
    until_state(&mut edge, |state| up(state, false)).await;
    journal.write(5, 500);
    until("the rows over QUIC", || same(&cloud, &journal)).await;
    assert_eq!(std::fs::read_to_string(&memory).unwrap(), format!("quic {}\n", relay.address()));
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_quic_gets_its_handshake_and_no_more_tcp_carries() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let relay = Relay::open(serve(&cloud).await).unwrap();
    let identity = enrolled(&cloud, relay.address(), "g1").await;
    let folder = tempfile::tempdir().unwrap();
    let mut way = line(&[relay.address()]);
    let memory = folder.path().join("line");
    way.memory = Some(memory.clone());
    way.tcp_after = Duration::from_secs(1);
    way.quic_again = Duration::from_secs(3600);
    let mut edge = link_by(way, identity, &journal, 1);
    until_state(&mut edge, |state| up(state, false)).await;
    relay.set(|weather| weather.udp_blocked = true);
    until_state(&mut edge, |state| matches!(state, LinkState::Down { .. })).await;
    // The next handshake would get through, as every first one does.
    relay.set(|weather| weather.udp_blocked = false);
    let is_up = |state: &LinkState| matches!(state, LinkState::Up { .. });
    let state = until_state(&mut edge, is_up).await;
    assert!(up(&state, true), "{state:?}");
    journal.write(1, 50);
    until("the rows over TCP", || same(&cloud, &journal)).await;
    assert_eq!(std::fs::read_to_string(&memory).unwrap(), format!("tcp {}\n", relay.address()));
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp_too_a_gateway_learns_why_it_is_put_out_and_a_cut_line_is_found() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let relay = Relay::open(serve(&cloud).await).unwrap();
    relay.set(|weather| weather.udp_blocked = true);
    let identity = enrolled(&cloud, relay.address(), "g1").await;
    let mut edge = link_by(line(&[relay.address()]), identity, &journal, 1);
    until_state(&mut edge, |state| up(state, true)).await;
    relay.cut(true);
    until_state(&mut edge, |state| matches!(state, LinkState::Down { .. })).await;
    journal.write(1, 50);
    relay.cut(false);
    until("rows after the cut", || same(&cloud, &journal)).await;
    // A NAT that resets.
    relay.rebind();
    journal.write(3, 50);
    until("rows after the reset", || same(&cloud, &journal)).await;
    until_state(&mut edge, |state| up(state, true)).await;
    cloud.revoked.lock().unwrap().insert("g1".into());
    let revoked =
        |state: &LinkState| matches!(state, LinkState::Down { reason } if reason.contains("revoked"));
    until_state(&mut edge, revoked).await;
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_address_holds_nobody_up_and_the_next_one_takes_over() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let first = serve(&cloud).await;
    let (one, two) = (Relay::open(first).unwrap(), Relay::open(first).unwrap());
    let identity = enrolled(&cloud, first, "g1").await;
    // A socket that never answers.
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = [dead.local_addr().unwrap(), one.address(), two.address()];
    let mut edge = link_by(line(&addresses), identity, &journal, 1);
    for round in 0..3 {
        let LinkState::Up { address, .. } = until_state(&mut edge, |state| up(state, false)).await else {
            unreachable!()
        };
        let relay = if address == one.address().to_string() { &one } else { &two };
        assert_eq!(address, relay.address().to_string());
        journal.write(3, 10);
        until("the rows", || same(&cloud, &journal)).await;
        let other = if address == one.address().to_string() { &two } else { &one };
        relay.cut(true);
        other.cut(false);
        let moved = |state: &LinkState| up(state, false) && !format!("{state:?}").contains(&address);
        let began = Instant::now();
        until_state(&mut edge, moved).await;
        assert!(began.elapsed() < Duration::from_secs(10), "round {round}: {:?}", began.elapsed());
    }
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nat_that_forgets_and_datagrams_that_are_lost_break_no_connection() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let relay = Relay::open(serve(&cloud).await).unwrap();
    let identity = enrolled(&cloud, relay.address(), "g1").await;
    let mut edge = link_by(line(&[relay.address()]), identity, &journal, 1);
    let LinkState::Up { since, .. } = until_state(&mut edge, |state| up(state, false)).await else {
        unreachable!()
    };
    relay.set(|weather| {
        weather.loss = 0.05;
        weather.duplicate = 0.05;
        weather.reorder = 0.05;
        weather.delay = Duration::from_millis(5);
        weather.jitter = Duration::from_millis(10);
    });
    for _ in 0..10 {
        relay.rebind();
        journal.write(5, 200);
        journal.write(1, 1);
        until("the rows from a new port", || same(&cloud, &journal)).await;
    }
    assert!(relay.rebound() >= 10);
    assert!(
        matches!(&*edge.state.borrow(), LinkState::Up { since: now, .. } if *now == since),
        "it was broken"
    );
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_of_another_region_is_refused_by_the_gateway() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let address = serve(&cloud).await;
    let identity = enrolled(&cloud, address, "g1").await;
    journal.write(3, 5);
    let mut way = line(&[address]);
    way.region = Some("eu-2".to_owned());
    let mut edge = link_by(way.clone(), identity.clone(), &journal, 1);
    let refused = |state: &LinkState| matches!(state, LinkState::Down { reason } if reason.contains("of region `eu-1`, this gateway belongs to `eu-2`"));
    until_state(&mut edge, refused).await;
    assert!(cloud.rows.lock().unwrap().is_empty());
    stop(edge).await;
    way.region = Some("eu-1".to_owned());
    let mut edge = link_by(way, identity, &journal, 1);
    until_state(&mut edge, |state| up(state, false)).await;
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_budget_of_a_metered_way_telemetry_waits_and_the_rest_goes() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let relay = Relay::open(serve(&cloud).await).unwrap();
    let identity = enrolled(&cloud, relay.address(), "g1").await;
    relay.set(|weather| weather.bits_per_second = Some(500_000));
    let folder = tempfile::tempdir().unwrap();
    let mut way = line(&[relay.address()]);
    way.memory = Some(folder.path().join("line"));
    way.metered = Some(Metered { interface: Some("lo".to_owned()), network: None, bytes_per_day: 50_000 });
    journal.write(5, 200_000);
    let edge = link_by(way.clone(), identity.clone(), &journal, 1);
    let stored = |lane| cloud.rows.lock().unwrap().get(&("g1".to_owned(), 7, lane)).map_or(0, Vec::len);
    until("telemetry to begin", || stored(5) > 0).await;
    // While telemetry goes, it brings rows all the time; once it waits, a second brings none.
    let (mut before, mut since) = (0, Instant::now());
    let deadline = Instant::now() + Duration::from_secs(30);
    while since.elapsed() < Duration::from_secs(1) {
        assert!(Instant::now() < deadline, "telemetry does not wait");
        if stored(5) != before {
            (before, since) = (stored(5), Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let waits = stored(5);
    journal.write(1, 10);
    journal.write(3, 100);
    until("alarms to arrive", || same_lane(&cloud, &journal, 1)).await;
    until("stays to arrive", || same_lane(&cloud, &journal, 3)).await;
    assert!(stored(5) == waits && waits < 200_000, "{waits}, then {}", stored(5));
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_do_not_wait_for_live_values_that_fill_a_narrow_line() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let relay = Relay::open(serve(&cloud).await).unwrap();
    let identity = enrolled(&cloud, relay.address(), "g1").await;
    // 32 KB a second, and live values of 40.
    relay.set(|weather| {
        weather.bits_per_second = Some(256_000);
        weather.delay = Duration::from_millis(10);
    });
    for blocked in [false, true] {
        relay.set(|weather| weather.udp_blocked = blocked);
        let mut edge = link_by(line(&[relay.address()]), identity.clone(), &journal, 1);
        until_state(&mut edge, |state| up(state, blocked)).await;
        journal.floods.store(true, Ordering::SeqCst);
        journal.wake.notify_one();
        let before = cloud.watched.load(Ordering::SeqCst);
        let watched = || cloud.watched.load(Ordering::SeqCst) - before;
        until("live values", || watched() > 5).await;
        let mut times = Vec::new();
        for _ in 0..20 {
            journal.write(1, 1);
            let began = Instant::now();
            until("the alarm", || same_lane(&cloud, &journal, 1)).await;
            times.push(began.elapsed());
        }
        times.sort();
        // What is on the line before it is one frame of 4 KiB: 130 ms; the rest is for a busy machine.
        assert!(times[10] < Duration::from_millis(400), "TCP {blocked}: {times:?}");
        until("more live values", || watched() > 15).await;
        journal.floods.store(false, Ordering::SeqCst);
        stop(edge).await;
    }
}

fn same_lane(cloud: &Cloud, journal: &Journal, lane: u8) -> bool {
    let stored = cloud.rows.lock().unwrap().get(&("g1".to_owned(), 7, lane)).cloned();
    stored == journal.lanes.lock().unwrap().get(&lane).cloned()
}
