//! Certificates, copies of boxes, the change of the authority, regions and limits: the real program, real sockets, and the
//! same on either engine.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../server/mod.rs"]
mod server;
#[path = "../stand/mod.rs"]
mod stand;

mod authorities;

use engawa_link::pki::CertificateAuthority;
use engawa_link::{ClaimCode, EnrollError, Enrolment, Identity, Line, Renewal, Step, enroll_with, rotation};
use engawa_protocol::ports::Row;
use serde_json::json;
use stand::{Cloud, Engine, House, LONGEST, Link, check_in, copy, tuning};
use std::path::Path;
use std::time::{Duration, Instant};

fn serial(folder: &Path) -> String {
    Identity::load(folder).unwrap().peer().unwrap().serial
}

/// The box in `folder` gets a session.
async fn works(cloud: &Cloud, folder: &Path) {
    let mut link = Link::start(&cloud.address, folder, &House::new(99));
    link.up().await;
    link.stop().await;
}

fn renewal(cloud: &Cloud, folder: &Path) -> Renewal {
    // Whoever looks after the certificate in the background must not take the steps that are tried here.
    Renewal { cloud: cloud.address.as_str().into(), folder: folder.to_owned(), keys: None, tuning: tuning() }
}

const STEPS: [Step; 5] = [Step::KeyMade, Step::Signed, Step::Switched, Step::OldGone, Step::Fresh];

async fn a_renewal_that_is_cut_short_anywhere_leaves_a_working_identity_and_goes_on(engine: Engine) {
    let cloud = Cloud::new(engine, &[]);
    let box_ = tempfile::tempdir().unwrap();
    cloud.enrol("g1", box_.path()).await;
    let renewal = renewal(&cloud, box_.path());
    assert_eq!(renewal.advance().await.unwrap(), Step::Fresh, "not due");
    let days = "SELECT (max(expires) - max(issued_at) + 43200000000) / 86400000000 FROM certificate";
    assert_eq!(cloud.count(days), 30);
    for cut in 0..STEPS.len() {
        cloud.age_certificates();
        let (before, key) = (serial(box_.path()), std::fs::read(box_.path().join("gateway.key")).unwrap());
        for wanted in &STEPS[..cut] {
            assert_eq!(renewal.advance().await.unwrap(), *wanted, "cut at {cut}");
        }
        // Here it is killed; all that is left is the folder. A copy of it is used, without its folder: it would go on renewing.
        let left = copy(box_.path());
        let identity = Identity::load(left.path()).unwrap();
        assert_eq!(identity.peer().unwrap().serial == before, cut < 3, "cut at {cut}");
        let mut bare = identity.clone();
        bare.folder = None;
        let mut link = Link::of(&cloud.address, bare, &House::new(99));
        link.up().await;
        link.stop().await;
        for wanted in &STEPS[cut..] {
            assert_eq!(renewal.advance().await.unwrap(), *wanted, "after a cut at {cut}");
        }
        assert_ne!(serial(box_.path()), before);
        assert_ne!(std::fs::read(box_.path().join("gateway.key")).unwrap(), key, "the old key is gone");
        for file in ["next.key", "next.csr", "next.pem", "gateway.csr"] {
            assert!(!box_.path().join(file).exists(), "{file}");
        }
    }
    // Answers that are lost are asked for again: here the answer to the request itself.
    cloud.age_certificates();
    assert_eq!(renewal.advance().await.unwrap(), Step::KeyMade);
    assert_eq!(renewal.advance().await.unwrap(), Step::Signed);
    std::fs::remove_file(box_.path().join("next.pem")).unwrap();
    for wanted in &STEPS[1..] {
        assert_eq!(renewal.advance().await.unwrap(), *wanted);
    }
    // Parts that don't belong together are given up.
    cloud.age_certificates();
    assert_eq!(renewal.advance().await.unwrap(), Step::KeyMade);
    std::fs::remove_file(box_.path().join("next.csr")).unwrap();
    assert_eq!(renewal.advance().await.unwrap(), Step::GivenUp);
    assert_eq!(cloud.count("SELECT count(*) FROM certificate WHERE authority IS NOT NULL"), 8);
}

async fn a_running_link_renews_by_itself_and_never_without_end(engine: Engine) {
    let cloud = Cloud::new(engine, &[]);
    let box_ = tempfile::tempdir().unwrap();
    let before = cloud.enrol("g1", box_.path()).await.peer().unwrap().serial;
    let house = House::new(7);
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    link.up().await;
    cloud.age_certificates();
    cloud.until("a new certificate", |_| serial(box_.path()) != before).await;
    // The session has begun anew with it, and the old one is needed no more.
    let used =
        format!("SELECT seen_at IS NOT NULL FROM certificate WHERE serial = '{}'", serial(box_.path()));
    cloud.until("its use", |cloud| cloud.holds(&used)).await;
    cloud.does("revoke", &["g1", "--serial", &before]);
    house.tell(&check_in("S1"));
    cloud.until("the row", |cloud| cloud.count("SELECT count(*) FROM journal") == 1).await;
    // However often it asks (it does so every second here): signed is what is due.
    let mut renewals = renewal(&cloud, box_.path());
    renewals.tuning.certificates = Duration::from_millis(1);
    for _ in 0..10 {
        assert_eq!(renewals.advance().await.unwrap(), Step::Fresh);
    }
    assert_eq!(cloud.count("SELECT count(*) FROM certificate"), 2);
    // One certificate is revoked: a live session with it ends within seconds, in words.
    cloud.does("revoke", &["g1", "--serial", &serial(box_.path())]);
    let begun = Instant::now();
    link.down("was revoked").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let failed = cloud.run("revoke", &["g1", "--serial", "77"]);
    assert!(failed.status == 1 && failed.err.contains("no certificate `77`"), "{failed:?}");
    link.stop().await;
    let listed = cloud.does("certificates", &["g1", "--json"]).json();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|one| one["revoked"] == json!("somebody revoked it")), "{listed:?}");
    // With its gateway a certificate is revoked, whatever it says itself.
    cloud.enrol("g2", tempfile::tempdir().unwrap().path()).await;
    cloud.does("revoke", &["g2"]);
    let listed = cloud.does("certificates", &["g2", "--json"]).json();
    assert_eq!(listed[0]["revoked"], json!("its gateway was revoked"), "{listed:?}");
}

async fn a_box_from_storage_may_renew_and_nothing_else(engine: Engine) {
    let cloud = Cloud::new(engine, &["--renewal-grace-days", "0"]);
    let box_ = tempfile::tempdir().unwrap();
    // A second and a half: it is over before anything else happens.
    cloud.change("UPDATE setting SET value = '0.00002' WHERE key = 'certificate-days'");
    let before = cloud.enrol("g1", box_.path()).await.peer().unwrap();
    cloud
        .until("its end", |_| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
                > before.not_after_s.cast_unsigned() + 1
        })
        .await;
    let house = House::new(7);
    house.tell(&check_in("S1"));
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    link.down("has expired").await;
    let refused = renewal(&cloud, box_.path()).advance().await.unwrap_err();
    assert!(refused.to_string().contains("more than 0 days ago"), "{refused}");
    assert_eq!(cloud.count("SELECT count(*) FROM journal"), 0);
    cloud.does("settings", &["renewal-grace-days", "365"]);
    cloud.does("settings", &["certificate-days", "30"]);
    // By itself, although nobody restarts anything.
    link.up().await;
    assert_ne!(serial(box_.path()), before.serial);
    cloud.until("the row", |cloud| cloud.count("SELECT count(*) FROM journal") == 1).await;
    link.stop().await;
    // A revoked gateway may not even renew.
    cloud.age_certificates();
    cloud.does("revoke", &["g1"]);
    let refused = renewal(&cloud, box_.path()).advance().await.unwrap_err();
    assert!(refused.to_string().contains("not enrolled here or was revoked"), "{refused}");
}

async fn a_session_ends_with_its_certificate(engine: Engine) {
    let cloud = Cloud::new(engine, &[]);
    let box_ = tempfile::tempdir().unwrap();
    cloud.change("UPDATE setting SET value = '0.00006' WHERE key = 'certificate-days'");
    let mut identity = cloud.enrol("g1", box_.path()).await;
    // It can't renew: it has no folder.
    identity.folder = None;
    let mut link = Link::of(&cloud.address, identity, &House::new(7));
    link.up().await;
    link.down("has expired").await;
    link.stop().await;
}

async fn a_cloned_box_is_noticed_and_the_same_box_is_not(engine: Engine) {
    let mut cloud = Cloud::new(engine, &[]);
    let box_ = tempfile::tempdir().unwrap();
    cloud.does("settings", &["connections-per-minute", "6000"]);
    cloud.enrol("g1", box_.path()).await;
    let house = House::new(7);
    house.tell(&check_in("S1"));
    // The same box over its own dead sessions, and over a cloud that dies: never taken for two.
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    for n in 0..5 {
        link.up().await;
        if n == 2 {
            cloud.kill();
            cloud.serve();
        }
        link.kill().await;
        link = Link::start(&cloud.address, box_.path(), &house);
    }
    link.up().await;
    let clone = copy(box_.path());
    link.kill().await;
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    link.up().await;

    // Somebody switches the copy on: both are held off, and both say why.
    let mut other = Link::start(&cloud.address, clone.path(), &house);
    let words = other.down("fenced").await;
    assert!(words.contains("another box has used its identity") && words.contains("unfence g1"), "{words}");
    link.down("fenced").await;
    let before = cloud.count("SELECT count(*) FROM journal");
    house.tell(&check_in("S2"));
    let listed = cloud.does("gateways", &["--json"]).json();
    assert_eq!(listed[0]["status"], json!("fenced"));
    assert!(listed[0]["fenced"].as_str().unwrap().contains("a disk was copied"), "{listed:?}");
    assert!(cloud.does("gateways", &[]).out.contains("fenced: another box"), "for people, too");
    assert_eq!(cloud.count("SELECT count(*) FROM journal"), before);

    // The copy is switched off, and somebody lifts the fence: nothing was lost.
    other.stop().await;
    let lifted = cloud.does("gateways", &["unfence", "g1"]);
    assert!(lifted.out.contains("may talk again"), "{lifted:?}");
    link.up().await;
    cloud.until("the row", |cloud| cloud.count("SELECT count(*) FROM journal") == 2).await;
    let twice = cloud.run("gateways", &["unfence", "g1"]);
    assert!(twice.status == 1 && twice.err.contains("not fenced"), "{twice:?}");
    // Switched on again it is noticed again.
    let mut other = Link::start(&cloud.address, clone.path(), &house);
    other.down("fenced").await;
    other.stop().await;
    link.stop().await;

    // The way out where nobody knows who has the copy: the right box is enrolled anew.
    let anew = tempfile::tempdir().unwrap();
    cloud.enrol("g1", anew.path()).await;
    cloud.does("gateways", &["unfence", "g1"]);
    works(&cloud, anew.path()).await;
    let mut other = Link::start(&cloud.address, clone.path(), &house);
    other.down("another machine was enrolled in its place").await;
    other.stop().await;
    works(&cloud, anew.path()).await;
}

async fn a_used_code_brings_no_box_back(engine: Engine) {
    let cloud = Cloud::new(engine, &[]);
    let code = |gateway: &str| -> ClaimCode {
        cloud.does("claim", &["--property", "grand", "--gateway", gateway]).out.trim_end().parse().unwrap()
    };
    let refused = async |code: &ClaimCode, folder: &Path| {
        // Its key and its request are those of before.
        let again = engawa_link::enroll(&cloud.address, code, folder).await.unwrap_err();
        let EnrollError::Refused(words) = &again else { panic!("{again:?}") };
        assert!(words.contains("claim code"), "{words}");
    };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // An answer that was lost: the same request again is good until its certificate is used.
    let (first, second) = (code("g1"), code("g1"));
    for _ in 0..2 {
        engawa_link::enroll(&cloud.address, &first, one.path()).await.unwrap();
    }
    let kept = copy(one.path());
    works(&cloud, one.path()).await;
    refused(&first, kept.path()).await;
    // Another box takes its place, and has not been connected yet.
    engawa_link::enroll(&cloud.address, &second, two.path()).await.unwrap();
    assert_eq!(cloud.count("SELECT count(*) FROM claim WHERE used_at IS NOT NULL"), 1);
    refused(&first, kept.path()).await;
    // Nor where both claims are there still, as an older release leaves them.
    cloud.change("UPDATE certificate SET seen_at = NULL");
    let third = code("g1");
    cloud.change("UPDATE gateway SET enrolled_at = enrolled_at + 1");
    refused(&second, two.path()).await;
    works(&cloud, two.path()).await;
    // A revoked certificate is not made anew, though it was never used.
    let three = tempfile::tempdir().unwrap();
    engawa_link::enroll(&cloud.address, &third, three.path()).await.unwrap();
    cloud.does("revoke", &["g1", "--serial", &serial(three.path())]);
    refused(&third, three.path()).await;
    let mut link = Link::start(&cloud.address, three.path(), &House::new(7));
    link.down("somebody revoked it").await;
    link.stop().await;
}

async fn a_cloud_that_was_restored_takes_nobody_for_a_copy(engine: Engine) {
    let mut cloud = Cloud::new(engine, &[]);
    let box_ = tempfile::tempdir().unwrap();
    cloud.enrol("g1", box_.path()).await;
    works(&cloud, box_.path()).await;
    let (turn, table) = match engine {
        Engine::Sqlite => ("SELECT turn_number || ',' || turn_secret FROM gateway", "gateway"),
        Engine::Postgres => ("SELECT number || ',' || secret FROM turn", "turn"),
    };
    let then = cloud.text(turn);
    for _ in 0..3 {
        works(&cloud, box_.path()).await;
    }
    // It has renewed its certificate meanwhile, too.
    cloud.age_certificates();
    let renewal = renewal(&cloud, box_.path());
    while renewal.advance().await.unwrap() != Step::Fresh {}
    works(&cloud, box_.path()).await;
    cloud.kill();
    let (number, secret) = then.split_once(',').unwrap();
    let of = |column: &str| if table == "turn" { column.to_owned() } else { format!("turn_{column}") };
    cloud.change(&format!(
        "UPDATE {table} SET {} = {number}, {} = {secret};
         DELETE FROM certificate WHERE serial = '{}'",
        of("number"),
        of("secret"),
        serial(box_.path())
    ));
    cloud.serve();
    works(&cloud, box_.path()).await;
}

async fn the_authority_is_changed_while_gateways_go_on(engine: Engine) {
    let cloud = Cloud::new(engine, &[]);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    cloud.enrol("g1", one.path()).await;
    cloud.enrol("g2", two.path()).await;
    works(&cloud, two.path()).await;
    let house = House::new(7);
    let mut link = Link::start(&cloud.address, one.path(), &house);
    link.up().await;
    assert!(cloud.run("ca", &["rotate", "finish"]).err.contains("no change of the authority"));
    cloud.does("ca", &["rotate", "begin"]);
    assert!(cloud.run("ca", &["rotate", "begin"]).err.contains("is there already"));
    let hanging = |cloud: &Cloud| {
        let status = cloud.does("ca", &["rotate", "status", "--json"]).json();
        let names = status[0]["hanging"].as_array().unwrap().iter();
        names.map(|one| one["gateway"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // The one that is connected gets its next certificate, the other one is told of.
    cloud.until("the first gateway", |cloud| hanging(cloud) == ["g2"]).await;
    // It was proven a moment before it takes the old one's place.
    cloud
        .until("the first gateway to trust both", |_| {
            Identity::load(one.path()).unwrap().ca_pem.matches("BEGIN CERT").count() == 2
        })
        .await;
    let refused = cloud.run("ca", &["rotate", "finish"]);
    assert!(refused.status == 1 && refused.out.contains("g2"), "{refused:?}");
    assert!(refused.err.contains("1 gateways still hang"), "{refused:?}");
    // New gateways can come in the middle of it.
    let three = tempfile::tempdir().unwrap();
    cloud.enrol("g3", three.path()).await;
    works(&cloud, three.path()).await;
    let mut late = Link::start(&cloud.address, two.path(), &House::new(9));
    cloud.until("the second gateway", |cloud| hanging(cloud).is_empty()).await;
    late.up().await;
    late.stop().await;
    let open = cloud.does("claim", &["--property", "grand", "--gateway", "g4"]);
    let finished = cloud.does("ca", &["rotate", "finish"]);
    assert!(finished.err.contains("1 claim codes"), "{finished:?}");
    // Everybody goes on, also those that come later; the old authority is forgotten.
    cloud
        .until("the old one to be forgotten", |_| {
            Identity::load(one.path()).unwrap().ca_pem.matches("BEGIN CERT").count() == 1
        })
        .await;
    house.tell(&check_in("S1"));
    cloud.until("the row", |cloud| cloud.count("SELECT count(*) FROM journal") == 1).await;
    works(&cloud, two.path()).await;
    works(&cloud, three.path()).await;
    let code = open.out.trim_end().parse().unwrap();
    let four = tempfile::tempdir().unwrap();
    assert!(
        engawa_link::enroll(&cloud.address, &code, four.path()).await.is_err(),
        "its pin is the old one's"
    );
    cloud.enrol("g4", four.path()).await;
    works(&cloud, four.path()).await;
    link.stop().await;
}

async fn a_gateway_talks_to_its_own_region_only_and_goes_there_by_itself_once_it_is_told_where_that_is(
    engine: Engine,
) {
    let here = Cloud::new(engine, &["--region", "eu-1"]);
    let there = Cloud::new(engine, &["--region", "us-1", "--authority", here.dir()]);
    let box_ = tempfile::tempdir().unwrap();
    let identity = here.enrol("g1", box_.path()).await;
    assert_eq!(identity.peer().unwrap().region.as_deref(), Some("eu-1"));
    works(&here, box_.path()).await;

    let house = House::new(7);
    house.tell(&check_in("S1"));
    let mut way = Line::new([&there.address]);
    way.memory = Some(box_.path().join("line"));
    let mut link = Link::by(way.clone(), Identity::load(box_.path()).unwrap(), &house);
    let words = link.down("belongs to eu-1").await;
    assert!(
        words.contains("region us-1") && words.contains("put the address of the cloud of eu-1"),
        "{words}"
    );
    here.does("regions", &["set", "eu-1", &here.address]);
    let signed = here.does("regions", &["export"]).out;
    let file = box_.path().join("regions.json");
    std::fs::write(&file, signed.replace("eu-1", "eu-2")).unwrap();
    let forged = there.run("regions", &["import", file.to_str().unwrap()]);
    assert!(forged.status == 1 && forged.err.contains("not signed"), "{forged:?}");
    std::fs::write(&file, signed).unwrap();
    there.does("regions", &["import", file.to_str().unwrap()]);
    // The running link goes there by itself.
    let rows = "SELECT count(*) FROM journal";
    link.up().await;
    here.until("the row", |here| here.count(rows) == 1).await;
    link.stop().await;
    assert_eq!(there.count(rows), 0);
    // After a restart it goes there at once; the other cloud need not even be there. Its renewals go there, too.
    drop(there);
    here.age_certificates();
    let before = serial(box_.path());
    let mut link = Link::by(way.clone(), Identity::load(box_.path()).unwrap(), &house);
    link.up().await;
    house.tell(&check_in("S2"));
    here.until("the next row", |here| here.count(rows) == 2).await;
    here.until("a new certificate", |_| serial(box_.path()) != before).await;
    link.stop().await;
    assert_eq!(
        std::fs::read_to_string(box_.path().join("line.home")).unwrap(),
        format!("eu-1 {}\n", here.address)
    );
    // A configured address of the right region is enough again, and what was learnt is forgotten where it leads nowhere.
    std::fs::write(box_.path().join("line.home"), "eu-1 127.0.0.1:1\n").unwrap();
    way.addresses = vec![here.address.clone()];
    way.next_after = Duration::from_millis(100);
    let mut link = Link::by(way, Identity::load(box_.path()).unwrap(), &house);
    link.up().await;
    link.stop().await;
    assert!(!box_.path().join("line.home").exists());
    for wrong in ["EU", "gateway", "1"] {
        let dir = tempfile::tempdir().unwrap();
        let made = common::run(&["init", "--dir", dir.path().join("c").to_str().unwrap(), "--region", wrong]);
        assert!(made.status == 1 && made.err.contains("can't name a region"), "{made:?}");
    }
    // Two clouds of one region would be one region with two authorities' records.
    let dir = tempfile::tempdir().unwrap();
    let made = common::run(&["init", "--dir", dir.path().to_str().unwrap(), "--authority", here.dir()]);
    assert!(made.status == 2 && made.err.contains("--region"), "{made:?}");
}

async fn a_code_of_another_property_is_refused_and_is_not_used_up(engine: Engine) {
    let cloud = Cloud::new(engine, &["--region", "eu-1"]);
    let box_ = tempfile::tempdir().unwrap();
    let claimed = cloud.does("claim", &["--property", "grand", "--gateway", "g1"]);
    let code: ClaimCode = claimed.out.trim_end().parse().unwrap();
    let for_property = |property: &str| Enrolment { property: Some(property.to_owned()), keys: None };
    let refused = enroll_with(&cloud.address, &code, box_.path(), &for_property("palace")).await.unwrap_err();
    let EnrollError::Refused(words) = &refused else { panic!("{refused:?}") };
    assert!(words.contains("of property `grand`") && words.contains("meant for `palace`"), "{words}");
    assert!(!box_.path().join("identity.pem").exists());
    let joined = enroll_with(&cloud.address, &code, box_.path(), &for_property("grand")).await.unwrap();
    assert_eq!(joined.property.as_deref(), Some("grand"));
    assert_eq!(joined.identity.peer().unwrap().region.as_deref(), Some("eu-1"));
    works(&cloud, box_.path()).await;
}

async fn a_hostile_gateway_writes_under_its_own_name_alone(engine: Engine) {
    let cloud = Cloud::new(engine, &[]);
    let (good, bad) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    cloud.enrol("good", good.path()).await;
    cloud.enrol("bad", bad.path()).await;
    let house = House::new(7);
    house.tell(&check_in("S1"));
    let mut link = Link::start(&cloud.address, good.path(), &house);
    link.up().await;
    cloud.until("the row", |cloud| cloud.count("SELECT count(*) FROM journal") == 1).await;
    cloud.does("send", &["good", "--key", "k", "resync"]);

    // The other's epoch, the other's stay and command, and a body that names the other.
    let hostile = House::new(7);
    for (seq, body) in [
        r#"{"kind":"checked_out","gateway":"good","property":"other","stay":"S1","room":"101","reason":"check_out"}"#,
        r#"{"kind":"command_ended","gateway":"good","key":"k","outcome":{"outcome":"done"}}"#,
        "not even JSON",
    ]
    .iter()
    .enumerate()
    {
        let row = Row { seq: seq as u64 + 1, at_micros: i64::MAX, kind: "good".into(), body: body.as_bytes().to_vec() };
        hostile.put(3, row);
    }
    // It claims to have commands that it was never given.
    hostile.inbox.lock().unwrap().push(Row { seq: u64::MAX, at_micros: 0, kind: "x".into(), body: vec![] });
    let mut other = Link::start(&cloud.address, bad.path(), &hostile);
    other.up().await;
    let of = |gateway: &str| format!("SELECT count(*) FROM journal WHERE gateway = '{gateway}'");
    cloud.until("the hostile rows", |cloud| cloud.count(&of("bad")) == 3).await;
    assert_eq!(cloud.count(&of("good")), 1);
    assert_eq!(cloud.count("SELECT count(*) FROM stay WHERE gateway = 'good' AND left_at IS NULL"), 1);
    assert_eq!(cloud.count("SELECT count(*) FROM mark WHERE gateway = 'good' AND seq = 1"), 1);
    assert_ne!(cloud.text("SELECT state FROM command WHERE gateway = 'good'"), "ended");
    other.stop().await;
    link.stop().await;
}

async fn who_sends_too_much_is_slowed_and_loses_nothing(engine: Engine) {
    let cloud = Cloud::new(engine, &[]);
    let box_ = tempfile::tempdir().unwrap();
    cloud.enrol("g1", box_.path()).await;
    let wrong = cloud.run("settings", &["rows-per-second", "1"]);
    assert!(wrong.status == 1 && wrong.err.contains("not between 10 and"), "{wrong:?}");
    assert!(cloud.run("settings", &["nonsense"]).err.contains("certificate-days"));
    cloud.does("settings", &["rows-per-second", "200"]);
    cloud.does("settings", &["burst-seconds", "1"]);
    let house = House::new(7);
    (0..1_000).for_each(|n| house.tell(&check_in(&format!("S{n}"))));
    let begun = Instant::now();
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    link.up().await;
    let rows = "SELECT count(*) FROM journal WHERE lane = 3";
    cloud.until("some rows", |cloud| cloud.count(rows) > 0).await;
    cloud.until("all rows", |cloud| cloud.count(rows) == 1_000).await;
    assert!(begun.elapsed() > Duration::from_millis(3_500), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
    link.stop().await;
    // So many connections, and then words.
    cloud.does("settings", &["connections-per-minute", "2"]);
    for _ in 0..2 {
        let link = Link::start(&cloud.address, box_.path(), &house);
        let mut state = link.state.clone();
        let _ = tokio::time::timeout(Duration::from_secs(5), state.changed()).await;
        link.stop().await;
    }
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    link.down("connects more than 2 times a minute").await;
    link.stop().await;
}

/// Each of the tests, on either engine.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            use super::stand::Engine;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(Engine::Sqlite).await;
            })*
        }
        mod on_postgres {
            use super::stand::Engine;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(Engine::Postgres).await;
            })*
        }
    };
}

on_both!(
    a_renewal_that_is_cut_short_anywhere_leaves_a_working_identity_and_goes_on,
    a_running_link_renews_by_itself_and_never_without_end,
    a_box_from_storage_may_renew_and_nothing_else,
    a_session_ends_with_its_certificate,
    a_cloned_box_is_noticed_and_the_same_box_is_not,
    a_used_code_brings_no_box_back,
    a_cloud_that_was_restored_takes_nobody_for_a_copy,
    the_authority_is_changed_while_gateways_go_on,
    a_gateway_talks_to_its_own_region_only_and_goes_there_by_itself_once_it_is_told_where_that_is,
    a_code_of_another_property_is_refused_and_is_not_used_up,
    a_hostile_gateway_writes_under_its_own_name_alone,
    who_sends_too_much_is_slowed_and_loses_nothing,
);
