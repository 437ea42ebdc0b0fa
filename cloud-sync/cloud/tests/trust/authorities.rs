//! Many replicas: who is a copy, who is revoked, and which authority signs, wherever it is asked.

use super::*;
use data_encoding::HEXLOWER;
use engawa_cloud::postgres::{Replica, authority};
use stand::copy;

/// A copy of a cloud's folder, as an operator makes it for one more replica.
fn copied(cloud: &Cloud) -> tempfile::TempDir {
    copy(Path::new(cloud.dir()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_notice_a_copy_and_a_revocation_wherever_it_comes() {
    let cloud = Cloud::new(Engine::Postgres, &[]);
    let folder = copied(&cloud);
    let other = cloud.replica(folder.path().to_str().unwrap());
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    cloud.enrol("g1", one.path()).await;
    cloud.enrol("g2", two.path()).await;
    let house = House::new(7);
    let mut link = Link::start(&cloud.address, one.path(), &house);
    link.up().await;
    let clone = copy(one.path());
    // The box itself goes over to the other replica, and back: one box.
    link.stop().await;
    let mut link = Link::start(&other.address, one.path(), &house);
    link.up().await;
    link.stop().await;
    let mut link = Link::start(&cloud.address, one.path(), &house);
    link.up().await;
    // Its copy comes to the other replica while it has a session at this one.
    let mut copied = Link::start(&other.address, clone.path(), &house);
    copied.down("fenced").await;
    let begun = Instant::now();
    link.down("fenced").await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    copied.stop().await;
    link.stop().await;
    cloud.does("gateways", &["unfence", "g1"]);

    // Revoked from anywhere, it is out everywhere.
    let mut here = Link::start(&cloud.address, two.path(), &House::new(8));
    here.up().await;
    let mut there = Link::start(&other.address, one.path(), &house);
    there.up().await;
    cloud.does("revoke", &["g1"]);
    cloud.does("revoke", &["g2"]);
    let begun = Instant::now();
    here.down("not enrolled here or was revoked").await;
    there.down("not enrolled here or was revoked").await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    here.stop().await;
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_authority_signs_once_every_replica_has_it() {
    let cloud = Cloud::new(Engine::Postgres, &[]);
    let folder = copied(&cloud);
    let dir = folder.path().to_str().unwrap();
    let other = cloud.replica(dir);
    let box_ = tempfile::tempdir().unwrap();
    let before = cloud.enrol("g1", box_.path()).await.peer().unwrap().serial;
    let house = House::new(7);
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    link.up().await;
    cloud.does("ca", &["rotate", "begin"]);
    // This replica has it and the other has not: nobody's certificate changes, and that is told.
    cloud
        .until("the first replica", |cloud| {
            cloud.count("SELECT max(cardinality(authorities)) FROM replica") == 2
        })
        .await;
    let status = cloud.does("ca", &["rotate", "status"]).out;
    assert!(status.contains(&format!("the replica at {}", other.address)), "{status}");
    let early = cloud.run("ca", &["rotate", "finish"]);
    assert!(early.status == 1 && early.err.contains("without the next authority"), "{early:?}");
    let step = renewal(&cloud, box_.path()).advance().await.unwrap();
    assert!(matches!(step, Step::Trusting | Step::Fresh), "{step:?}");
    assert_eq!(serial(box_.path()), before, "it trusts both, and that is all");
    // A folder of another cloud's, or one that was left behind, may not serve at all.
    let stranger = tempfile::tempdir().unwrap();
    let made = common::run(&["init", "--dir", stranger.path().to_str().unwrap(), "--name", "127.0.0.1"]);
    assert_eq!(made.status, 0, "{made:?}");
    let refused = cloud.run_in(stranger.path().to_str().unwrap(), "serve", &["--listen", "127.0.0.1:0"]);
    assert!(refused.status == 1 && refused.err.contains("copy the folder of a replica"), "{refused:?}");
    let left_behind = copy(folder.path());

    for file in ["ca-next.key", "ca-next.pem"] {
        std::fs::copy(Path::new(cloud.dir()).join(file), folder.path().join(file)).unwrap();
    }
    cloud.until("a certificate of the next authority", |_| serial(box_.path()) != before).await;
    // At either replica it is good.
    link.stop().await;
    for address in [&cloud.address, &other.address] {
        let mut link = Link::start(address, box_.path(), &house);
        link.up().await;
        link.stop().await;
    }
    let refused = cloud.run_in(left_behind.path().to_str().unwrap(), "serve", &["--listen", "127.0.0.1:0"]);
    assert!(refused.status == 1 && refused.err.contains("copy the folder of a replica"), "{refused:?}");
    let last_folder = copy(folder.path());
    let last = cloud.replica(last_folder.path().to_str().unwrap());
    cloud.until("the end of the old", |cloud| cloud.run("ca", &["rotate", "finish"]).status == 0).await;
    // While the other replica still shows a certificate of the old one, gateways go on trusting it.
    let mut link = Link::start(&cloud.address, box_.path(), &house);
    link.up().await;
    link.stop().await;
    let mut link = Link::start(&other.address, box_.path(), &house);
    link.up().await;
    link.stop().await;
    // The same from the second one, once it has come so far and the last one has not.
    let follow = |to: &Path| {
        for file in ["ca-retired.pem", "ca.pem", "ca.key", "server.pem"] {
            std::fs::copy(Path::new(cloud.dir()).join(file), to.join(file)).unwrap();
        }
        for file in ["ca-next.key", "ca-next.pem"] {
            std::fs::remove_file(to.join(file)).unwrap();
        }
    };
    let with_one = |cloud: &Cloud| {
        cloud.count("SELECT count(*) FROM replica WHERE cardinality(authorities) = 1 AND beat > now() - interval '30 s'")
    };
    let trusted = || Identity::load(box_.path()).unwrap().ca_pem.matches("BEGIN CERT").count();
    let second = Renewal { cloud: other.address.as_str().into(), ..renewal(&cloud, box_.path()) };
    follow(folder.path());
    cloud.until("the second replica", |cloud| with_one(cloud) == 2).await;
    while second.advance().await.unwrap() != Step::Fresh {}
    assert_eq!(trusted(), 2, "the last replica shows a certificate of the old one");
    let mut link = Link::start(&last.address, box_.path(), &house);
    link.up().await;
    link.stop().await;
    follow(last_folder.path());
    cloud.until("the last replica", |cloud| with_one(cloud) == 3).await;
    let deadline = Instant::now() + LONGEST;
    while trusted() > 1 {
        assert!(Instant::now() < deadline, "the old one is trusted for ever");
        second.advance().await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let mut link = Link::start(&last.address, box_.path(), &house);
    link.up().await;
    link.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_authority_is_trusted_for_those_that_have_it_and_not_for_a_newer_one() {
    let (_, store) = server::store(stand::the_server()).await;
    let client = store.client().await.unwrap();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    CertificateAuthority::create("test").unwrap().save(first.path()).unwrap();
    let old = CertificateAuthority::load(first.path()).unwrap();
    let both = rotation::begin(first.path()).unwrap();
    let (one, two) = (Replica::new("127.0.0.1:1".into()), Replica::new("127.0.0.1:2".into()));
    for replica in [&one, &two] {
        authority::require(&client, &old).await.unwrap();
        replica.beat(&store).await.unwrap();
    }
    for replica in [&one, &two] {
        authority::agree(&client, &replica.id, &both, None).await.unwrap();
    }
    // Finished in the first folder: the other replica may still show a certificate of the old one.
    let (server, key) = (first.path().join("server.pem"), first.path().join("server.key"));
    let (certificate, made) = old.server_certificate(&["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&server, certificate).unwrap();
    std::fs::write(&key, made).unwrap();
    let new = rotation::finish(first.path(), &server, &key).unwrap();
    let (_, retired) = rotation::retired(first.path()).unwrap().unwrap();
    assert_eq!(retired, old.pin());
    let agreed = authority::agree(&client, &one.id, &new, Some(retired)).await.unwrap();
    assert!(agreed.retired_lives && agreed.signing == HEXLOWER.encode(&new.pin()), "{agreed:?}");
    // The next change begins in the other folder, and is not copied yet.
    new.save(second.path()).unwrap();
    let newer = rotation::begin(second.path()).unwrap();
    authority::agree(&client, &two.id, &newer, None).await.unwrap();
    let agreed = authority::agree(&client, &one.id, &new, Some(retired)).await.unwrap();
    assert!(!agreed.retired_lives && agreed.signing == HEXLOWER.encode(&new.pin()), "{agreed:?}");
    std::fs::write(first.path().join(rotation::RETIRED_FILE), "cut").unwrap();
    let words = rotation::retired(first.path()).unwrap_err().to_string();
    assert!(words.contains("ca-retired.pem holds no certificate: copy it anew"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_left_behind_ends_and_its_gateways_go_elsewhere() {
    let cloud = Cloud::new(Engine::Postgres, &[]);
    let folder = copied(&cloud);
    let mut other = cloud.replica(folder.path().to_str().unwrap());
    let box_ = tempfile::tempdir().unwrap();
    cloud.enrol("g1", box_.path()).await;
    let mut line = Line::new([&other.address, &cloud.address]);
    line.next_after = Duration::from_millis(100);
    let house = House::new(7);
    let mut link = Link::by(line, Identity::load(box_.path()).unwrap(), &house);
    link.up().await;
    // The first one has the next authority, and the other one is as good as gone when that is counted.
    cloud.does("ca", &["rotate", "begin"]);
    let gone = format!(
        "UPDATE replica SET authorities = '{{}}', beat = to_timestamp(0) WHERE address = '{}'",
        other.address
    );
    let before = cloud.text("SELECT signing FROM authority");
    cloud
        .until("the next authority", |cloud| {
            cloud.change(&gone);
            cloud.text("SELECT signing FROM authority") != before
        })
        .await;
    let deadline = Instant::now() + LONGEST;
    let ended = loop {
        if let Some(ended) = other.ended() {
            break ended;
        }
        assert!(Instant::now() < deadline, "it goes on serving");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(ended.code(), Some(1));
    house.tell(&check_in("S1"));
    cloud.until("the row", |cloud| cloud.count("SELECT count(*) FROM journal") == 1).await;
    link.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_begins_before_or_after_the_authority_is_changed_and_never_meanwhile() {
    let (name, store) = server::store(stand::the_server()).await;
    let count = |sql: &str| stand::the_server().sql(&name, sql).remove(0);
    let folder = tempfile::tempdir().unwrap();
    CertificateAuthority::create("test").unwrap().save(folder.path()).unwrap();
    let client = store.client().await.unwrap();
    authority::require(&client, &CertificateAuthority::load(folder.path()).unwrap()).await.unwrap();
    let next = rotation::begin(folder.path()).unwrap();
    let (one, two) = (Replica::new("127.0.0.1:1".into()), Replica::new("127.0.0.1:2".into()));
    one.beat(&store).await.unwrap();
    // Two begins, and its beat is not durable yet.
    let mut beating = store.client().await.unwrap();
    let beginning = beating.transaction().await.unwrap();
    beginning.execute("SELECT pg_advisory_xact_lock_shared($1)", &[&authority::LOCK]).await.unwrap();
    beginning
        .execute("INSERT INTO replica (id, address) VALUES ($1, $2)", &[&two.id, &two.address])
        .await
        .unwrap();
    let agreeing = {
        let store = store.clone();
        let id = one.id.clone();
        tokio::spawn(async move {
            authority::agree(&store.client().await.unwrap(), &id, &next, None).await.unwrap()
        })
    };
    let waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                 WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted";
    let waited = async |n: &str| {
        let deadline = Instant::now() + LONGEST;
        while count(waits) != n {
            assert!(Instant::now() < deadline, "nobody waits");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    waited("1").await;
    beginning.commit().await.unwrap();
    let agreed = agreeing.await.unwrap();
    let next = CertificateAuthority::load(folder.path()).unwrap();
    assert_eq!(agreed.signing, HEXLOWER.encode(&next.pin()), "the one that begins is counted");
    // The other way round: whoever begins waits until it is changed.
    let changing = beating.transaction().await.unwrap();
    changing.execute("SELECT pg_advisory_xact_lock($1)", &[&authority::LOCK]).await.unwrap();
    let begins = {
        let store = store.clone();
        tokio::spawn(async move { Replica::new("127.0.0.1:3".into()).beat(&store).await.unwrap() })
    };
    waited("1").await;
    assert_eq!(count("SELECT count(*) FROM replica"), "2");
    changing.commit().await.unwrap();
    begins.await.unwrap();
    assert_eq!(count("SELECT count(*) FROM replica"), "3");
}
