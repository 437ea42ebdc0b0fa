//! The program with a real gateway link: enrolment, rows up, commands down, outcomes up; killed, restarted, revoked.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;
mod stand;

use common::run;
use engawa_link::{Identity, LinkState, enroll};
use engawa_model::{Action, Change, Command, CommandOutcome, PointId, Quality, Role, Timestamp, Value};
use serde_json::json;
use stand::{Cloud, House, Link, check_in};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The only room of this house.
const ROOM: &str = "101";

/// A small house: a thermostat that does what it is told.
fn small_house(epoch: u64) -> Arc<House> {
    House::obeying(epoch, obey)
}

fn obey(house: &House, command: Command) {
    let outcome = match command.action {
        _ if command.expires.is_some_and(|expires| expires <= Timestamp::now()) => CommandOutcome::Expired,
        Action::SetRole { room, role: Role::ClimateSetpoint, value } if room.as_str() == ROOM => {
            house.tell(&Change::Reported {
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
    house.tell(&Change::CommandEnded { key: command.key, outcome });
}

async fn enrolled(cloud: &Cloud) -> Identity {
    let folder = tempfile::tempdir().unwrap();
    cloud.enrol("grand-1", folder.path()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_joins_tells_obeys_and_is_turned_out() {
    let mut cloud = Cloud::new(&[]);
    let code = cloud.claim("grand-1");
    let dir = tempfile::tempdir().unwrap();
    let identity = enroll(&cloud.address, &code, dir.path()).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let used = enroll(&cloud.address, &code, other.path()).await.unwrap_err();
    assert!(used.to_string().contains("unknown, used, or expired"), "{used}");

    let house = small_house(7);
    house.tell(&check_in("S1"));
    let mut link = Link::of(&cloud.address, identity.clone(), &house);
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
    house.tell(&check_in("S2"));
    // It tries again and is refused each time.
    link.until(|state| matches!(state, LinkState::Down { reason } if reason.contains("not enrolled"))).await;
    assert_eq!(cloud.journal(7), before);
    link.stop().await;
    assert!(cloud.stop("-TERM").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_has_every_row_once() {
    let mut cloud = Cloud::new(&[]);
    let identity = enrolled(&cloud).await;
    let house = small_house(7);
    let mut link = Link::of(&cloud.address, identity.clone(), &house);
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
                house.tell(&check_in(&format!("S{round}-{n}")));
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
    let mut cloud = Cloud::new(&[]);
    let identity = enrolled(&cloud).await;
    let house = small_house(7);
    (0..5).for_each(|n| house.tell(&check_in(&format!("S{n}"))));
    let mut link = Link::of(&cloud.address, identity.clone(), &house);
    link.up().await;
    cloud.until("the rows", |cloud| cloud.journal(7) == house.rows()).await;
    let done = cloud.run("send", &["grand-1", "--key", "k", "--wait", "30", "setpoint", ROOM, "21"]);
    assert_eq!(done.status, 0, "{done:?}");
    link.stop().await;

    // The disk as it was some rows ago, under the same epoch.
    let restored = small_house(7);
    (0..2).for_each(|n| restored.tell(&check_in(&format!("S{n}"))));
    let mut link = Link::of(&cloud.address, identity.clone(), &restored);
    link.until(|state| matches!(state, LinkState::Down { reason } if reason.contains("restored or cloned")))
        .await;
    link.stop().await;
    assert_eq!(cloud.journal(7), house.rows());

    // A new disk: its journal begins anew, and the command that was done is not done again.
    let new = small_house(u64::MAX);
    new.tell(&check_in("S9"));
    let mut link = Link::of(&cloud.address, identity.clone(), &new);
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
    let mut cloud = Cloud::new(&[]);
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
