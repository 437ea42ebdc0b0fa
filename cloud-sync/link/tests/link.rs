//! Both ends over real sockets: exactly once across broken connections, commands down, and who is let in.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod ends;

use ends::{Cloud, Journal, LANES, enrolled, link, quick, until, until_state};
use engawa_link::pki::CertificateAuthority;
use engawa_link::{ClaimCode, EnrollError, LinkState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

type Serving = (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<()>);

async fn serve(cloud: &Arc<Cloud>, listen: &str) -> Serving {
    let bound = cloud.end(listen.parse().unwrap(), quick()).await;
    let (address, cancel) = (bound.address(), CancellationToken::new());
    let stop = cancel.clone();
    let task = tokio::spawn(async move { bound.run(stop).await.unwrap() });
    (address, cancel, task)
}

fn same(cloud: &Cloud, journal: &Journal) -> bool {
    let rows = cloud.rows.lock().unwrap();
    let journal = journal.lanes.lock().unwrap();
    LANES.iter().all(|lane| {
        let stored = rows.get(&("g1".to_owned(), 7, *lane)).cloned().unwrap_or_default();
        stored == journal.get(lane).cloned().unwrap_or_default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_commands_arrive_once_whatever_breaks() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11);
    let mut random = StdRng::seed_from_u64(seed);
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let (address, mut stop, mut serving) = serve(&cloud, "127.0.0.1:0").await;
    let identity = enrolled(&cloud, address, "g1").await;
    let mut edge = link(address, identity.clone(), &journal, seed);
    let mut sent = 0;
    for round in 0..30 {
        for lane in LANES {
            journal.write(lane, random.random_range(0..200));
        }
        for _ in 0..random.random_range(0..3) {
            sent += 1;
            cloud.send(&format!("command {sent}"));
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
        match random.random_range(0..4) {
            // The gateway dies without a word.
            0 => {
                edge.task.abort();
                let _ = edge.task.await;
                edge = link(address, identity.clone(), &journal, seed + round);
            }
            // The cloud restarts.
            1 => {
                stop.cancel();
                serving.await.unwrap();
                (_, stop, serving) = serve(&cloud, &address.to_string()).await;
            }
            // The cloud dies without a word.
            2 => {
                serving.abort();
                let _ = serving.await;
                (_, stop, serving) = serve(&cloud, &address.to_string()).await;
            }
            _ => {}
        }
    }
    until(&format!("SEED={seed}: the cloud has what the journal has"), || same(&cloud, &journal)).await;
    until(&format!("SEED={seed}: all commands are acknowledged"), || *cloud.acked.lock().unwrap() == sent)
        .await;
    assert_eq!(*journal.inbox.lock().unwrap(), *cloud.commands.lock().unwrap(), "SEED={seed}");
    until(&format!("SEED={seed}: the journal knows it"), || {
        LANES.iter().all(|lane| {
            let head = journal.lanes.lock().unwrap().get(lane).map_or(0, |rows| rows.len() as u64);
            journal.told.lock().unwrap().get(lane).copied().unwrap_or(0) == head
        })
    })
    .await;
    edge.cancel.cancel();
    edge.task.await.unwrap();
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_claim_is_used_once_and_only_with_the_right_cloud() {
    let cloud = Cloud::new();
    let (address, _stop, _serving) = serve(&cloud, "127.0.0.1:0").await;
    let dir = tempfile::tempdir().unwrap();
    let code = ClaimCode::new(cloud.authority.pin()).unwrap();
    let refused = engawa_link::enroll(&address.to_string(), &code, dir.path()).await.unwrap_err();
    assert!(matches!(&refused, EnrollError::Refused(reason) if reason.contains("claim code")), "{refused:?}");
    cloud.claims.lock().unwrap().insert(code.secret.clone(), "g1".into());
    let identity = engawa_link::enroll(&address.to_string(), &code, dir.path()).await.unwrap();
    assert_eq!(identity.gateway, "g1");
    assert!(engawa_link::enroll(&address.to_string(), &code, dir.path()).await.is_err(), "used up");
    // A code of another cloud does not fit this one.
    let other = ClaimCode::new([9; 32]).unwrap();
    cloud.claims.lock().unwrap().insert(other.secret.clone(), "g2".into());
    let wrong = engawa_link::enroll(&address.to_string(), &other, dir.path()).await.unwrap_err();
    assert!(matches!(wrong, EnrollError::Link(_)), "{wrong:?}");
    assert!(cloud.claims.lock().unwrap().contains_key(&other.secret), "its secret was not given away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_of_the_fleet_is_turned_away() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    journal.write(3, 5);
    let (address, _stop, _serving) = serve(&cloud, "127.0.0.1:0").await;
    let good = enrolled(&cloud, address, "g1").await;

    // Signed by another authority, though it trusts the right one.
    let other = CertificateAuthority::create("other").unwrap();
    let now = SystemTime::now();
    let csr = {
        let dir = tempfile::tempdir().unwrap();
        let code = ClaimCode::new(cloud.authority.pin()).unwrap();
        // Refused, but the request is made before the cloud is asked.
        engawa_link::enroll(&address.to_string(), &code, dir.path()).await.unwrap_err();
        let read = |file| std::fs::read_to_string(dir.path().join(file)).unwrap();
        (read("gateway.csr"), read("gateway.key"))
    };
    let mut foreign = good.clone();
    foreign.certificate_pem = other.sign_gateway("g1", &csr.0, now, now + Duration::from_secs(60)).unwrap();
    foreign.key_pem.clone_from(&csr.1);
    // Signed by the right one, but its time is over.
    let mut expired = good.clone();
    let long_ago = now - Duration::from_secs(86_400 * 30);
    expired.certificate_pem =
        cloud.authority.sign_gateway("g1", &csr.0, long_ago, long_ago + Duration::from_secs(60)).unwrap();
    expired.key_pem.clone_from(&csr.1);
    // It trusts another authority than the cloud's.
    let mut deceived = good.clone();
    deceived.ca_pem = other.pem().to_owned();
    for (name, identity) in [("foreign", foreign), ("expired", expired), ("deceived", deceived)] {
        let mut edge = link(address, identity, &journal, 1);
        let down = until_state(
            &mut edge,
            |state| matches!(state, LinkState::Down { reason } if reason != "not begun"),
        )
        .await;
        assert!(!matches!(down, LinkState::Up { .. }), "{name}: {down:?}");
        edge.task.abort();
    }
    assert!(cloud.rows.lock().unwrap().is_empty());

    // A good one is let in, and put out within moments once it is revoked.
    let mut edge = link(address, good, &journal, 1);
    until_state(&mut edge, |state| matches!(state, LinkState::Up { .. })).await;
    cloud.revoked.lock().unwrap().insert("g1".into());
    let down = until_state(&mut edge, |state| matches!(state, LinkState::Down { .. })).await;
    assert!(matches!(&down, LinkState::Down { reason } if reason.contains("revoked")), "{down:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_went_back_in_time_is_refused_in_words() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let (address, _stop, _serving) = serve(&cloud, "127.0.0.1:0").await;
    let identity = enrolled(&cloud, address, "g1").await;
    journal.write(3, 50);
    let edge = link(address, identity.clone(), &journal, 1);
    until("50 rows", || same(&cloud, &journal)).await;
    edge.task.abort();
    journal.lanes.lock().unwrap().get_mut(&3).unwrap().truncate(20);
    let mut edge = link(address, identity, &journal, 1);
    let refused = |state: &LinkState| matches!(state, LinkState::Down { reason } if reason.contains("restored or cloned"));
    until_state(&mut edge, refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_hurts_nobody() {
    let (cloud, journal) = (Cloud::new(), Arc::new(Journal::default()));
    let (address, _stop, _serving) = serve(&cloud, "127.0.0.1:0").await;
    let identity = enrolled(&cloud, address, "g1").await;
    let mut edge = link(address, identity, &journal, 1);
    until_state(&mut edge, |state| matches!(state, LinkState::Up { .. })).await;
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..2_000 {
        let mut datagram = vec![0_u8; random.random_range(1..1_400)];
        random.fill(datagram.as_mut_slice());
        stranger.send_to(&datagram, address).await.unwrap();
    }
    journal.write(1, 10);
    until("rows beside the garbage", || same(&cloud, &journal)).await;
}
