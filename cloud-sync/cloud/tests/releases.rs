//! A release from the real cloud into a slot: over the link that carries the journal, broken off in the middle.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;
mod server;
mod stand;

use engawa_link::updates;
use engawa_protocol::update::UpdateAsk;
use engawa_release::manifest::Kind;
use engawa_release::pack::{Content, Draft, Made, pack};
use engawa_release::{Digest, Source, SourceFault, name};
use engawa_update::{InstallError, Limits, Release, install};
use stand::{Cloud, Engine, House, Link, check_in};
use std::path::Path;

/// Bytes in which little comes again.
fn program(length: u32) -> Vec<u8> {
    (0..length).flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 13).to_le_bytes()).collect()
}

/// Puts a release into the repository.
fn publish(repository: &Path) -> (Made, String) {
    let draft = Draft {
        name: "engawa".into(),
        version: "2.0.0".into(),
        number: 20,
        floor: 0,
        kind: Kind::Application,
        triple: "x86_64-unknown-linux-gnu".into(),
        hardware: vec![],
        built: 1_800_000_000,
    };
    let bytes = program(300_000);
    let made = pack(draft, &[Content { name: "engawa", mode: 0o755, bytes: &bytes }], &[]).unwrap();
    let path = format!("{}/manifest.json", made.manifest.folder().unwrap());
    let pack = name::beside(&path, name::PACK).unwrap();
    for (path, bytes) in [(&path, &made.manifest_bytes), (&pack, &made.pack)] {
        let file = repository.join(name::of_target(path, Digest::of(bytes)).unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    (made, path)
}

async fn a_release_comes_over_the_link_and_goes_on_after_a_break(engine: Engine) {
    let mut cloud = Cloud::new(engine, &[]);
    let box_ = tempfile::tempdir().unwrap();
    let identity = cloud.enrol("g1", box_.path()).await;
    // The folder comes while the cloud serves, where nobody has named another.
    let (made, path) = publish(&Path::new(cloud.dir()).join("releases"));
    let (mut line, port) = updates(600_000);
    let mut connected = line.connected();
    let house = House::new(7);
    let mut link = Link::updating(&cloud.address, identity, &house, port);
    link.up().await;
    connected.wait_for(|open| *open).await.unwrap();
    let slot = box_.path().join("slot");
    let (length, sha256) = (made.manifest_bytes.len() as u64, Digest::of(&made.manifest_bytes));
    let (first, second) = (slot.clone(), slot.clone());
    let begun = tokio::task::spawn_blocking(move || {
        // What is to run is not decided here: nothing is wanted, and that is an answer.
        let told = line.told(UpdateAsk { version: "1.0.0".into(), ..UpdateAsk::default() }).unwrap();
        assert_eq!(told.fault, "");
        assert!(matches!(line.read("metadata/../cloud.db", 0, 9), Err(SourceFault::Name(_))));
        assert_eq!(line.read("metadata/2.root.json", 0, 9).unwrap(), None);
        // A repository that is not whole (yet) gives no answer.
        assert!(matches!(line.read("metadata/timestamp.json", 0, 9), Err(SourceFault::Away(_))));
        let release = Release::fetch(&mut line, &path, length, sha256).unwrap();
        let (halfway, mut seen) = (release.manifest.pack.size / 2, 0);
        let limits = Limits { reserve: 0, ..Limits::default() };
        let stopped = install(&mut line, &release, &first, &[], limits, &mut |progress| {
            seen = progress.fetched;
            progress.fetched < halfway
        });
        assert!(matches!(stopped, Err(InstallError::Stopped)), "{stopped:?}");
        (line, release, seen)
    });
    // Meanwhile the house goes on.
    house.tell(&check_in("S1"));
    cloud.until("the row", |cloud| cloud.count("SELECT count(*) FROM journal") == 1).await;
    let (mut line, release, fetched) = begun.await.unwrap();
    // The cloud dies without a word, and comes back.
    cloud.kill();
    connected.wait_for(|open| !open).await.unwrap();
    let (ended, mut line) =
        tokio::task::spawn_blocking(move || (line.read("metadata/1.root.json", 0, 9), line)).await.unwrap();
    assert!(matches!(ended, Err(SourceFault::Away(_))), "{ended:?}");
    cloud.serve();
    connected.wait_for(|open| *open).await.unwrap();
    line.set_rate(0);
    let installed = tokio::task::spawn_blocking(move || {
        let limits = Limits { reserve: 0, ..Limits::default() };
        let installed = install(&mut line, &release, &second, &[], limits, &mut |_| true).unwrap();
        assert_eq!(fetched + installed.fetched, release.manifest.pack.size, "no byte twice");
        installed
    });
    assert_eq!(installed.await.unwrap().manifest, sha256);
    assert!(std::fs::read(slot.join("engawa")).unwrap() == program(300_000));
    link.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_comes_over_the_link_and_goes_on_after_a_break_sqlite() {
    a_release_comes_over_the_link_and_goes_on_after_a_break(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_comes_over_the_link_and_goes_on_after_a_break_postgres() {
    a_release_comes_over_the_link_and_goes_on_after_a_break(Engine::Postgres).await;
}
