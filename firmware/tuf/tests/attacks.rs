//! The attacks of the TUF specification (1.0.33, 1.5.2), each against a device that a faithful repository has served before:
//! each is refused by its own name, and leaves the device with what it trusted.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod repository;

use engawa_tuf::metadata::{DelegatedRole, Delegations, Targets};
use engawa_tuf::{Attack, Client, Fault, Known, Limits, Signer, Step, check_root};
use repository::{
    Device, ROOT, Repository, SNAPSHOT, TARGETS, TIMESTAMP, days, key, meta, now, signed, target,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const PATH: &str = "engawa/x86_64-unknown-linux-gnu/1.2.0/pack";
/// Of a key that nobody trusts.
const STRANGER: u8 = 99;

/// A repository with a release, and a device that is up to date with it.
fn served() -> (Repository, Device) {
    let mut repository = Repository::new();
    repository.targets.targets.insert(PATH.to_owned(), target(b"good"));
    repository.next();
    let mut device = Device::new(repository.first_root());
    device.update(&repository.files).unwrap();
    (repository, device)
}

/// The device refuses what is published: with which fault, and it trusts what it trusted.
fn refused(device: &mut Device, repository: &Repository) -> Fault {
    let before = device.version("targets.json");
    let fault = device.update(&repository.files).unwrap_err();
    assert_eq!(device.version("targets.json"), before, "{fault}");
    // It goes on saying so, and a faithful repository is served again afterwards.
    assert_eq!(device.update(&repository.files).unwrap_err(), fault);
    fault
}

#[test]
fn a_faithful_repository_is_served_with_what_changed_alone() {
    let (mut repository, mut device) = served();
    let client = device.update(&repository.files).unwrap();
    assert_eq!(device.asked, ["2.root.json", "timestamp.json"]);
    let found = client.target(PATH).unwrap();
    assert_eq!(found.length, 4);
    assert!(
        found.file.starts_with("engawa/x86_64-unknown-linux-gnu/1.2.0/") && found.file.ends_with(".pack")
    );
    assert_eq!(client.timestamp().unwrap().signed_at(), Some(now()));
    let mut check = found.check();
    check.update(b"go").unwrap();
    check.update(b"od").unwrap();
    check.finish().unwrap();
    repository.next();
    device.update(&repository.files).unwrap();
    assert_eq!(device.asked, ["2.root.json", "timestamp.json", "3.snapshot.json", "3.targets.json"]);
}

#[test]
fn arbitrary_software_is_not_what_was_signed() {
    let (repository, mut device) = served();
    let client = device.update(&repository.files).unwrap();
    let found = client.target(PATH).unwrap();
    let mut check = found.check();
    check.update(b"evil").unwrap();
    let fault = check.finish().unwrap_err();
    assert!(matches!(fault, Fault::WrongDigest { .. }), "{fault}");
    assert_eq!(fault.attack(), Some(Attack::ArbitrarySoftware));
}

#[test]
fn a_wrong_key_signs_nothing() {
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let (mut repository, mut device) = served();
        let of = |own: &str, n: u8| if own == role { STRANGER } else { n };
        if role == "root" {
            repository.root = repository.root.next(now() + days(30));
            repository.root.add_key("targets", key(STRANGER).key());
            repository.publish_root(&[STRANGER]);
        } else {
            repository.targets.version += 1;
            repository.snapshot.version += 1;
            repository.timestamp.version += 1;
            repository.publish_with(
                of("targets", TARGETS),
                of("snapshot", SNAPSHOT),
                of("timestamp", TIMESTAMP),
            );
        }
        let fault = refused(&mut device, &repository);
        assert!(
            matches!(&fault, Fault::Unsigned { role: whose, valid: 0, .. } if whose == role),
            "{role}: {fault}"
        );
        assert_eq!(fault.attack(), Some(Attack::ArbitrarySoftware));
    }
}

#[test]
fn one_key_under_two_names_is_one_key() {
    let (mut repository, mut device) = served();
    // The same key with something beside it has another name.
    let mut value = key(TARGETS).key().value().clone();
    value["note"] = Value::from("the same");
    let twin = engawa_tuf::PublicKey::from_value(&value).unwrap();
    assert_ne!(twin.id(), key(TARGETS).key().id());
    repository.root = repository.root.next(now() + days(30));
    repository.root.add_key("targets", &twin);
    repository.root.roles.get_mut("targets").unwrap().threshold = 2;
    repository.publish_root(&[ROOT]);
    repository.targets.version += 1;
    let mut document = engawa_tuf::Document::new(&repository.targets).unwrap();
    document.sign(&key(TARGETS)).unwrap();
    let sig = document.signatures[0].sig.clone();
    document.signatures.push(engawa_tuf::Signature { keyid: twin.id().to_owned(), sig });
    let bytes = document.to_bytes().unwrap();
    repository.snapshot.version += 1;
    repository.snapshot.meta.insert("targets.json".to_owned(), meta(repository.targets.version, &bytes));
    repository.files.insert(format!("{}.targets.json", repository.targets.version), bytes);
    repository.timestamp.version += 1;
    repository.publish_snapshot(SNAPSHOT, TIMESTAMP);
    let fault = refused(&mut device, &repository);
    assert!(matches!(fault, Fault::Unsigned { valid: 1, threshold: 2, .. }), "{fault}");
}

#[test]
fn rollback_of_each_file_is_seen() {
    // The timestamp.
    let (mut repository, mut device) = served();
    repository.timestamp.version = 1;
    repository.publish_snapshot(SNAPSHOT, TIMESTAMP);
    let fault = refused(&mut device, &repository);
    // A copy of the repository that is behind, as long as what is known is good.
    assert!(matches!(&fault, Fault::Behind { trusted: 2, offered: 1, .. }), "{fault}");
    assert_eq!(fault.attack(), None);
    repository.timestamp.version = 3;
    repository.timestamp.expires = now() + days(2);
    repository.publish_snapshot(SNAPSHOT, TIMESTAMP);
    device.update(&repository.files).unwrap();
    repository.timestamp.version = 1;
    repository.publish_snapshot(SNAPSHOT, TIMESTAMP);
    device.at = now() + days(3);
    let fault = refused(&mut device, &repository);
    assert!(
        matches!(&fault, Fault::Rollback { what, trusted: 3, offered: 1, .. } if what == "timestamp.json"),
        "{fault}"
    );
    assert_eq!(fault.attack(), Some(Attack::Rollback));
    // The snapshot, under a new timestamp.
    let (mut repository, mut device) = served();
    repository.snapshot.version = 1;
    repository.timestamp.version = 3;
    repository.publish_snapshot(SNAPSHOT, TIMESTAMP);
    let fault = refused(&mut device, &repository);
    assert!(
        matches!(&fault, Fault::Rollback { what, trusted: 2, offered: 1, .. } if what == "snapshot.json"),
        "{fault}"
    );
    // Targets, under a new snapshot.
    let (mut repository, mut device) = served();
    repository.targets = Targets::new(1, now() + days(30));
    repository.snapshot.version = 3;
    repository.timestamp.version = 3;
    repository.publish();
    let fault = refused(&mut device, &repository);
    assert!(
        matches!(&fault, Fault::Rollback { what, trusted: 2, offered: 1, .. } if what == "targets.json"),
        "{fault}"
    );
    // A root that was there before.
    let (mut repository, mut device) = served();
    let first = repository.first_root();
    repository.files.insert("2.root.json".to_owned(), first);
    let fault = refused(&mut device, &repository);
    assert!(
        matches!(&fault, Fault::Rollback { what, trusted: 1, offered: 1, .. } if what == "root.json"),
        "{fault}"
    );
}

#[test]
fn a_freeze_ends_when_what_is_held_back_expires() {
    let (repository, mut device) = served();
    device.at = now() + days(31);
    let fault = refused(&mut device, &repository);
    assert!(matches!(&fault, Fault::Expired { file, .. } if file == "root.json"), "{fault}");
    assert_eq!(fault.attack(), Some(Attack::IndefiniteFreeze));
    // Each file by itself.
    for file in ["timestamp.json", "2.snapshot.json", "2.targets.json"] {
        let (mut repository, mut device) = served();
        device.kept.retain(|name, _| name == "root.json");
        let past = now() - days(1);
        match file {
            "timestamp.json" => repository.timestamp.expires = past,
            "2.snapshot.json" => repository.snapshot.expires = past,
            _ => repository.targets.expires = past,
        }
        repository.publish();
        let fault = device.update(&repository.files).unwrap_err();
        assert!(matches!(&fault, Fault::Expired { file: own, .. } if own == file), "{file}: {fault}");
    }
    // The same timestamp again, once it has expired.
    let (mut repository, mut device) = served();
    repository.timestamp.expires = now() + days(2);
    repository.timestamp.version += 1;
    repository.publish_snapshot(SNAPSHOT, TIMESTAMP);
    device.update(&repository.files).unwrap();
    device.at = now() + days(3);
    let fault = refused(&mut device, &repository);
    assert!(matches!(&fault, Fault::Expired { file, .. } if file == "timestamp.json"), "{fault}");
}

#[test]
fn endless_data_is_read_to_a_bound() {
    for (file, most) in [("2.root.json", 512 * 1024), ("timestamp.json", 16 * 1024)] {
        let (mut repository, mut device) = served();
        repository.files.insert(file.to_owned(), vec![b' '; most + 1]);
        let fault = refused(&mut device, &repository);
        assert_eq!(fault, Fault::TooLong { file: file.to_owned(), most: most as u64 });
        assert_eq!(fault.attack(), Some(Attack::EndlessData));
    }
    // Longer than the timestamp announced.
    let (mut repository, mut device) = served();
    repository.next();
    repository.files.get_mut("3.snapshot.json").unwrap().extend_from_slice(&[b' '; 10_000]);
    let fault = refused(&mut device, &repository);
    assert!(matches!(fault, Fault::TooLong { .. }), "{fault}");
    // As long as may be, and nothing but values, each of which would cost memory before anybody looks at signatures.
    let (mut repository, mut device) = served();
    let many = format!("{{\"signatures\":[],\"signed\":{{\"x\":[0{}]}}}}", ",0".repeat(7_000));
    device.limits.values = 5_000;
    repository.files.insert("timestamp.json".to_owned(), many.into_bytes());
    let fault = refused(&mut device, &repository);
    assert!(matches!(fault, Fault::TooMany { what: "values", most: 5_000, .. }), "{fault}");
    assert_eq!(fault.attack(), Some(Attack::EndlessData));
    // A target without end is left at the first byte too many.
    let found = served().1.update(&served().0.files).unwrap().target(PATH).unwrap();
    let mut check = found.check();
    assert!(matches!(check.update(b"good and more").unwrap_err(), Fault::TooLong { most: 4, .. }));
    // Roots without end: so many in one update, and the next goes on from there.
    let (mut repository, mut device) = served();
    for _ in 0..5 {
        repository.root = repository.root.next(now() + days(30));
        repository.publish_root(&[ROOT]);
    }
    device.limits.rotations = 3;
    device.update(&repository.files).unwrap();
    assert_eq!(device.version("root.json"), Some(4));
    device.update(&repository.files).unwrap();
    assert_eq!(device.version("root.json"), Some(6));
}

#[test]
fn files_of_different_times_do_not_mix() {
    // Old targets under the new snapshot's name.
    let (mut repository, mut device) = served();
    let old = repository.files["2.targets.json"].clone();
    repository.next();
    repository.files.insert("3.targets.json".to_owned(), old.clone());
    let fault = refused(&mut device, &repository);
    assert!(matches!(fault, Fault::WrongDigest { .. } | Fault::TooShort { .. }), "{fault}");
    // The same where the snapshot has no hashes: the version tells.
    repository.snapshot.version += 1;
    repository.timestamp.version += 1;
    let entry = repository.snapshot.meta.get_mut("targets.json").unwrap();
    (entry.length, entry.hashes) = (None, None);
    repository.publish_snapshot(SNAPSHOT, TIMESTAMP);
    let fault = refused(&mut device, &repository);
    assert_eq!(fault, Fault::WrongVersion { file: "3.targets.json".to_owned(), wanted: 3, is: 2 });
    assert_eq!(fault.attack(), Some(Attack::MixAndMatch));
    // Metadata of one role in the place of another's, signed by a key that both have.
    let (mut repository, mut device) = served();
    repository.root = repository.root.next(now() + days(30));
    repository.root.add_key("snapshot", key(TIMESTAMP).key());
    repository.publish_root(&[ROOT]);
    repository.snapshot.version = 9;
    repository.files.insert("timestamp.json".to_owned(), signed(&repository.snapshot, &[TIMESTAMP]));
    let fault = refused(&mut device, &repository);
    assert!(matches!(fault, Fault::WrongType { wanted: "timestamp", .. }), "{fault}");
    assert_eq!(fault.attack(), Some(Attack::MixAndMatch));
}

#[test]
fn nothing_comes_along_that_was_not_signed() {
    let (repository, mut device) = served();
    let mut client = device.update(&repository.files).unwrap();
    assert_eq!(
        device.seek(&mut client, "engawa/x86_64-unknown-linux-gnu/1.2.0/extra", &repository.files),
        Ok(None)
    );
    let fault = Fault::NotATarget { path: "extra".to_owned() };
    assert_eq!(fault.attack(), Some(Attack::ExtraneousDependencies));
    for path in ["../../etc/passwd", "/etc/passwd", "a//b", "a/./b", ""] {
        assert!(matches!(client.seek(path), Err(Fault::BadPath { .. })), "{path}");
    }
    // A role that was listed is not left out later.
    let (mut repository, mut device) = served();
    repository.snapshot.meta.insert("extra.json".to_owned(), meta(1, b""));
    repository.next();
    device.update(&repository.files).unwrap();
    repository.snapshot.meta.remove("extra.json");
    repository.next();
    let before = device.version("snapshot.json");
    let fault = device.update(&repository.files).unwrap_err();
    assert!(matches!(&fault, Fault::Vanished { what, .. } if what == "extra.json"), "{fault}");
    assert_eq!(device.version("snapshot.json"), before);
}

#[test]
fn a_compromised_key_is_rotated_out() {
    let (mut repository, mut device) = served();
    // A thief has the targets key and signs software with it.
    let mut evil = repository.targets.next(now() + days(30));
    evil.targets.insert(PATH.to_owned(), target(b"evil"));
    // The root gives targets another key.
    repository.root = repository.root.next(now() + days(30));
    assert!(repository.root.remove_key("targets", key(TARGETS).key().id()));
    repository.root.add_key("targets", key(20).key());
    repository.publish_root(&[ROOT]);
    repository.targets = evil.clone();
    repository.snapshot.version += 1;
    repository.timestamp.version += 1;
    repository.publish_with(TARGETS, SNAPSHOT, TIMESTAMP);
    let fault = refused(&mut device, &repository);
    assert!(matches!(&fault, Fault::Unsigned { role, .. } if role == "targets"), "{fault}");
    // What is signed by the new key goes through.
    repository.targets.targets.insert(PATH.to_owned(), target(b"good"));
    repository.targets.version += 1;
    repository.snapshot.version += 1;
    repository.timestamp.version += 1;
    repository.publish_with(20, SNAPSHOT, TIMESTAMP);
    assert!(device.update(&repository.files).unwrap().target(PATH).is_some());
}

#[test]
fn a_root_needs_enough_of_the_old_and_of_the_new_keys() {
    let (mut repository, mut device) = served();
    repository.root = repository.root.next(now() + days(30));
    repository.root.add_key("root", key(11).key());
    repository.root.add_key("root", key(12).key());
    repository.root.remove_key("root", key(ROOT).key().id());
    repository.root.roles.get_mut("root").unwrap().threshold = 2;
    for keys in [&[ROOT, 11][..], &[11, 12], &[ROOT, 11, STRANGER]] {
        repository.publish_root(keys);
        let fault = refused(&mut device, &repository);
        assert!(matches!(&fault, Fault::Unsigned { role, .. } if role == "root"), "{keys:?}: {fault}");
    }
    repository.publish_root(&[ROOT, 11, 12]);
    device.update(&repository.files).unwrap();
    assert_eq!(device.version("root.json"), Some(2));
    // The old key is worth nothing any more.
    repository.root = repository.root.next(now() + days(30));
    repository.publish_root(&[ROOT, 11]);
    refused(&mut device, &repository);
    repository.publish_root(&[11, 12]);
    device.update(&repository.files).unwrap();
}

#[test]
fn a_fast_forward_is_recovered_from_by_rotation() {
    let (mut repository, mut device) = served();
    // A thief of both online keys sets the versions as high as they go.
    let faithful = (repository.targets.version, repository.snapshot.version, repository.timestamp.version);
    repository.snapshot.version = u64::MAX;
    repository.timestamp.version = u64::MAX;
    repository.publish_snapshot(SNAPSHOT, TIMESTAMP);
    device.update(&repository.files).unwrap();
    (repository.targets.version, repository.snapshot.version, repository.timestamp.version) = faithful;
    repository.next();
    let fault = refused(&mut device, &repository);
    assert!(matches!(fault, Fault::Behind { trusted: u64::MAX, .. }), "{fault}");
    // New online keys: what was signed by the old ones says nothing any more.
    repository.root = repository.root.next(now() + days(30));
    for (role, old, new) in [("snapshot", SNAPSHOT, 30), ("timestamp", TIMESTAMP, 40)] {
        repository.root.remove_key(role, key(old).key().id());
        repository.root.add_key(role, key(new).key());
    }
    repository.publish_root(&[ROOT]);
    repository.publish_with(TARGETS, 30, 40);
    device.update(&repository.files).unwrap();
    assert_eq!(device.version("timestamp.json"), Some(3));
}

fn delegated(name: &str, n: u8, paths: &[&str], terminating: bool) -> DelegatedRole {
    DelegatedRole {
        name: name.to_owned(),
        keyids: vec![key(n).key().id().to_owned()],
        threshold: 1,
        terminating,
        paths: Some(paths.iter().map(|path| (*path).to_owned()).collect()),
        path_hash_prefixes: None,
        other: Map::new(),
    }
}

fn delegations(roles: Vec<DelegatedRole>, keys: &[u8]) -> Option<Delegations> {
    let keys = keys.iter().map(|n| (key(*n).key().id().to_owned(), key(*n).key().value().clone())).collect();
    Some(Delegations { keys, roles: Some(roles), succinct_roles: None, other: Map::new() })
}

/// Puts a delegated role's targets into the repository.
fn put(repository: &mut Repository, name: &str, n: u8, targets: &[(&str, &[u8])], own: Option<Delegations>) {
    let mut metadata = Targets::new(1, now() + days(30));
    metadata.targets = targets.iter().map(|(path, bytes)| ((*path).to_owned(), target(bytes))).collect();
    metadata.delegations = own;
    let bytes = signed(&metadata, &[n]);
    repository.snapshot.meta.insert(format!("{name}.json"), meta(1, &bytes));
    repository.files.insert(format!("1.{name}.json"), bytes);
}

#[test]
fn a_delegate_signs_for_its_paths_alone() {
    let (mut repository, mut device) = served();
    let mut hashed = delegated("by-hash", 53, &[], false);
    // The SHA-256 of `hashed/a` begins with this, that of `hashed/b` does not.
    let hash =
        data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, b"hashed/a").as_ref());
    (hashed.paths, hashed.path_hash_prefixes) = (None, Some(vec![hash[..6].to_owned()]));
    repository.targets.delegations = delegations(
        vec![delegated("system", 50, &["system/*/*"], true), delegated("apps", 51, &["*/*"], false), hashed],
        &[50, 51, 53],
    );
    put(&mut repository, "system", 50, &[("system/x/1", b"s"), ("apps/1", b"out of its paths")], None);
    put(&mut repository, "apps", 51, &[("apps/1", b"a"), ("system/x/2", b"terminated before")], None);
    put(&mut repository, "by-hash", 53, &[("hashed/a", b"h"), ("hashed/b", b"h")], None);
    repository.next();
    let files = repository.files.clone();
    let mut client = device.update(&files).unwrap();
    let mut seek =
        |path: &str| device.seek(&mut client, path, &files).unwrap().map(|found| (found.role, found.length));
    assert_eq!(seek("system/x/1"), Some(("system".to_owned(), 1)));
    assert_eq!(seek("apps/1"), Some(("apps".to_owned(), 1)));
    assert_eq!(seek("system/x/2"), None);
    assert_eq!(seek("hashed/a"), Some(("by-hash".to_owned(), 1)));
    assert_eq!(seek("hashed/b"), None);
}

#[test]
fn a_search_is_bounded_and_a_forged_delegate_ends_it() {
    let (mut repository, mut device) = served();
    let many = (0..40).map(|n| delegated(&format!("r{n}"), 50, &["*"], false)).collect();
    repository.targets.delegations = delegations(many, &[50]);
    for n in 0..40 {
        put(&mut repository, &format!("r{n}"), 50, &[], None);
    }
    repository.next();
    let mut client = device.update(&repository.files).unwrap();
    let fault = device.seek(&mut client, "nowhere", &repository.files).unwrap_err();
    assert!(matches!(fault, Fault::TooMany { most: 32, .. }), "{fault}");
    // The client is still good for what is known.
    assert!(device.seek(&mut client, PATH, &repository.files).unwrap().is_some());
    let (mut repository, mut device) = served();
    repository.targets.delegations = delegations(vec![delegated("apps", 50, &["*"], false)], &[50]);
    put(&mut repository, "apps", STRANGER, &[("a", b"evil")], None);
    repository.next();
    let mut client = device.update(&repository.files).unwrap();
    let fault = device.seek(&mut client, "a", &repository.files).unwrap_err();
    assert!(matches!(&fault, Fault::Unsigned { role, .. } if role == "apps"), "{fault}");
    assert_eq!(client.target("a"), None);
}

#[test]
fn damaged_files_are_fetched_again_but_for_the_root() {
    let (repository, mut device) = served();
    for file in ["timestamp.json", "snapshot.json", "targets.json"] {
        let good = device.kept.insert(file.to_owned(), b"{".to_vec()).unwrap();
        device.update(&repository.files).unwrap();
        assert_eq!(device.kept[file], good, "{file}");
    }
    device.kept.insert("root.json".to_owned(), b"{".to_vec());
    assert!(matches!(device.update(&repository.files), Err(Fault::Malformed { .. })));
    assert!(matches!(
        Device { kept: BTreeMap::new(), ..device }.update(&repository.files),
        Err(Fault::NoRoot)
    ));
}

/// Any byte of any file, changed: the update fails, or the change was none to what is signed (white space, another spelling,
/// a signature more than is needed), and the same is trusted.
#[test]
fn no_changed_byte_brings_in_anything() {
    let (repository, _) = served();
    let honest = |files: &BTreeMap<String, Vec<u8>>| {
        let mut device = Device::new(repository.first_root());
        device.update(files).map(|client| client.targets().collect::<Vec<_>>())
    };
    let expected = honest(&repository.files).unwrap();
    let mut refused = 0;
    for file in ["timestamp.json", "2.snapshot.json", "2.targets.json"] {
        let length = repository.files[file].len();
        for at in (0..length).step_by(13) {
            for change in [0x01_u8, 0x20, 0x80] {
                let mut files = repository.files.clone();
                files.get_mut(file).unwrap()[at] ^= change;
                match honest(&files) {
                    Ok(targets) => assert_eq!(targets, expected, "{file} at {at}"),
                    Err(_) => refused += 1,
                }
            }
            let mut files = repository.files.clone();
            files.get_mut(file).unwrap().truncate(at);
            assert!(honest(&files).is_err(), "{file} cut at {at}");
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn what_was_kept_bounds_the_time_by_its_signatures_alone() {
    let (mut repository, mut device) = served();
    let known = |device: &Device| Known::of(&device.kept, Limits::default()).unwrap();
    assert_eq!(known(&device), Known { expires: now() + days(30), signed_at: Some(now()) });
    // Targets that are over sooner than the root count, also when they are over.
    repository.targets.expires = now() + days(9);
    repository.next();
    device.update(&repository.files).unwrap();
    assert_eq!(known(&device).expires, now() + days(9));
    // What is damaged or was signed by somebody else says nothing.
    device.kept.insert("targets.json".to_owned(), b"{".to_vec());
    device.kept.insert("timestamp.json".to_owned(), signed(&repository.timestamp, &[STRANGER]));
    assert_eq!(known(&device), Known { expires: now() + days(30), signed_at: None });
    assert!(check_root(&repository.first_root(), Limits::default()).is_ok());
    let strange = signed(&repository.root, &[STRANGER]);
    assert!(matches!(check_root(&strange, Limits::default()), Err(Fault::Unsigned { .. })));
    device.kept.insert("root.json".to_owned(), strange);
    assert!(Known::of(&device.kept, Limits::default()).is_err());
}

#[test]
fn what_is_signed_of_a_file_is_known_before_it_is_fetched() {
    let (repository, _) = served();
    let kept = BTreeMap::from([("root.json".to_owned(), repository.first_root())]);
    let mut client = Client::open(kept, now(), Limits::default()).unwrap();
    let mut announced = Vec::new();
    loop {
        match client.next().unwrap() {
            Step::Fetch { name, .. } => {
                announced.push((name.clone(), client.announced().cloned()));
                client.got(repository.files.get(&name).cloned());
            }
            Step::Keep { .. } => {}
            Step::Done => break,
        }
    }
    let names: Vec<&str> = announced.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"]);
    for (name, announced) in announced {
        let wanted = name.starts_with("2.") && name != "2.root.json";
        let is = announced.map(|it| (Some(it.sha256), it.length));
        let bytes = repository.files.get(&name);
        let meta = bytes.filter(|_| wanted).map(|bytes| meta(2, bytes));
        assert_eq!(is, meta.map(|it| (it.hashes.unwrap().remove("sha256"), it.length)), "{name}");
    }
    assert_eq!(client.announced(), None, "nothing is to be fetched");
}
