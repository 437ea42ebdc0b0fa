//! What a gateway is told before its journal begins anew: the real program, real certificates, and the same on either engine.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;
mod server;
mod stand;

use engawa_link::{RenewError, Renewal};
use engawa_protocol::frame::Mark;
use engawa_protocol::reconcile::Print;
use stand::{Cloud, Engine, House, Link, check_in, copy, tuning};
use std::path::Path;

const EPOCH: u64 = 7;
const STAYS: u8 = 3;

fn renewal(cloud: &Cloud, folder: &Path) -> Renewal {
    Renewal { cloud: cloud.address.as_str().into(), folder: folder.to_owned(), keys: None, tuning: tuning() }
}

fn mark(seq: u64) -> Mark {
    Mark { lane: STAYS.into(), seq }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_told_what_the_cloud_has_and_who_else_lives_under_its_name() {
    told(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_on_postgresql_it_is_told_the_same() {
    told(Engine::Postgres).await;
}

async fn told(engine: Engine) {
    let cloud = Cloud::new(engine, &[]);
    let box_ = tempfile::tempdir().unwrap();
    cloud.enrol("g1", box_.path()).await;
    let asks = renewal(&cloud, box_.path());
    let new = asks.look(EPOCH, vec![mark(1)]).await.unwrap();
    assert_eq!(
        (new.epoch, new.marks, new.prints, new.connected, new.twin.as_str()),
        (None, vec![], vec![], false, "")
    );

    let house = House::new(EPOCH);
    (1..=5).for_each(|n| house.tell(&check_in(&format!("S{n}"))));
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    link.up().await;
    cloud.until("the rows", |cloud| cloud.count("SELECT count(*) FROM journal") == 5).await;
    // Rows that are there and one that is not; another life of the journal has none.
    let told = asks.look(EPOCH, vec![mark(5), mark(2), mark(6), Mark { lane: 999, seq: 1 }]).await.unwrap();
    assert_eq!((told.epoch, told.marks), (Some(EPOCH), vec![mark(5)]));
    let rows = engawa_protocol::ports::EdgeStore::read(house.as_ref(), STAYS, 0, 9, 9).unwrap();
    assert_eq!(told.prints, [Print::of(STAYS, &rows[4]), Print::of(STAYS, &rows[1])]);
    assert!(told.connected && told.twin.is_empty(), "its own session");
    let other = asks.look(EPOCH + 1, vec![mark(2)]).await.unwrap();
    assert_eq!((other.epoch, other.marks, other.prints), (Some(EPOCH), vec![], vec![]));

    // A copy of the disk: asking takes no turn, so nobody is fenced for it, and it is told that the other one lives.
    let clone = copy(box_.path());
    link.kill().await;
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    link.up().await;
    for _ in 0..2 {
        let told = renewal(&cloud, clone.path()).look(EPOCH, vec![]).await.unwrap();
        assert!(told.twin.contains("another box has had a session"), "{told:?}");
    }
    assert_eq!(asks.look(EPOCH, vec![]).await.unwrap().twin, "");
    let mut twin = Link::start(&cloud.address, clone.path(), &house);
    twin.down("fenced").await;
    link.down("fenced").await;
    twin.stop().await;
    link.stop().await;
    for folder in [box_.path(), clone.path()] {
        let told = renewal(&cloud, folder).look(EPOCH, vec![]).await.unwrap();
        assert!(told.twin.contains("is fenced") && told.twin.contains("unfence g1"), "{told:?}");
    }
    cloud.does("gateways", &["unfence", "g1"]);
    assert_eq!(asks.look(EPOCH, vec![]).await.unwrap().twin, "");

    // Who is revoked is told nothing.
    cloud.does("revoke", &["g1"]);
    let refused = asks.look(EPOCH, vec![mark(1)]).await;
    assert!(matches!(&refused, Err(RenewError::Refused(why)) if why.contains("revoked")), "{refused:?}");
}
