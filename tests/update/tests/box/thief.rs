//! Somebody has stolen the cloud's online keys: what can be done with them, and that a root signed offline ends it (TUF
//! specification 1.0.33, 1.5.2, 5.3.11 and 6.1).

use crate::attacks::{newest, refused};
use crate::stand::{Box, Kind};
use engawa_tuf::metadata::{MetaFile, Metadata, Snapshot, Targets, Timestamp};
use engawa_tuf::{Document, Ed25519Signer};
use jiff::{SignedDuration, Timestamp as Instant};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Whoever has the keys.
struct Thief {
    snapshot: Ed25519Signer,
    timestamp: Ed25519Signer,
    repository: PathBuf,
}

impl Thief {
    /// With a copy of the cloud's folder of keys.
    fn of(gateway: &Box) -> Self {
        let key = |role: &str| {
            let file = gateway.shop.folder.join(format!("cloud/release-keys/{role}-1.key"));
            let pem = pem::parse(fs::read(file).unwrap()).unwrap();
            Ed25519Signer::from_pkcs8(pem.contents()).unwrap()
        };
        Self { snapshot: key("snapshot"), timestamp: key("timestamp"), repository: gateway.shop.repository() }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.repository.join("metadata").join(name), bytes).unwrap();
    }

    /// The cloud serves these metadata of targets, under a snapshot and a timestamp of this version.
    fn serve(&self, version: u64, targets: &[u8]) {
        let expires = expires();
        let of = read::<Targets>(targets).version;
        let meta = BTreeMap::from([("targets.json".to_owned(), meta(of, targets))]);
        let snapshot = sign(&Snapshot::new(version, expires, meta), &self.snapshot);
        let of_snapshot = self::meta(version, &snapshot);
        let timestamp = Timestamp::new(version, expires, of_snapshot, Instant::now());
        self.put(&format!("{of}.targets.json"), targets);
        self.put(&format!("{version}.snapshot.json"), &snapshot);
        self.put("timestamp.json", &sign(&timestamp, &self.timestamp));
    }
}

fn expires() -> Instant {
    Instant::now() + SignedDuration::from_hours(24 * 3650)
}

fn sign(metadata: &impl Metadata, key: &Ed25519Signer) -> Vec<u8> {
    let mut document = Document::new(metadata).unwrap();
    document.sign(key).unwrap();
    document.to_bytes().unwrap()
}

fn meta(version: u64, bytes: &[u8]) -> MetaFile {
    // Without a hash: the version is what counts.
    MetaFile { version, length: Some(bytes.len() as u64), hashes: None, other: serde_json::Map::new() }
}

fn read<T: Metadata>(bytes: &[u8]) -> T {
    let document: Value = serde_json::from_slice(bytes).unwrap();
    serde_json::from_value(document["signed"].clone()).unwrap()
}

/// The version of the timestamp that the gateway trusts.
fn trusted(gateway: &Box) -> u64 {
    let kept = gateway.shop.folder.join("slots/metadata/timestamp.json");
    read::<Timestamp>(&fs::read(kept).unwrap()).version
}

/// `before` is a repository of before, in which `version` is a release as it is now.
pub(crate) fn steals_the_online_keys(gateway: &mut Box, before: &Path, version: &str) {
    let good = gateway.shop.copy("robbed");
    let thief = Thief::of(gateway);
    let old = fs::read(newest(before, "targets")).unwrap();
    let current = fs::read(newest(&good, "targets")).unwrap();
    let known = trusted(gateway);

    // Rollback: older targets, signed as they are, under newer online metadata.
    thief.serve(known + 100, &old);
    refused(gateway, "stolen keys: rollback", version, "not trusted (rollback): ");
    gateway.shop.put_back(&good);

    // Fast-forward: what the faithful cloud signs from now on is older for ever.
    thief.serve(u64::MAX - 1, &current);
    refused(gateway, "stolen keys: what is not there", "1.9.0", "no signed metadata names");
    assert_eq!(trusted(gateway), u64::MAX - 1, "this is what the keys are good for");
    gateway.shop.put_back(&good);
    gateway.shop.release_as("1.4.0", Kind::Panics, &["--hardware", "another-board"]);
    let good = gateway.shop.copy("robbed again");
    refused(gateway, "fast-forward", "1.4.0", "no signed metadata names");

    // Arbitrary software: targets of the thief's own signing. That there are such is seen all the same, and bars the true ones.
    let mut forged = read::<Targets>(&current);
    forged.version = u64::MAX;
    thief.serve(u64::MAX, &sign(&forged, &thief.snapshot));
    let why = "not trusted (arbitrary software): 18446744073709551615.targets.json has 0 valid signatures";
    refused(gateway, "stolen keys: forged release", version, why);
    gateway.shop.put_back(&good);

    // The root, offline, names new keys; what the old ones have signed says nothing any more, nor do its versions.
    gateway.shop.done(&["root", "rotation", "--rotate-online"]);
    gateway.shop.done(&["sign", "rotation", "--key", "root.key", "--yes"]);
    gateway.shop.done(&["publish", "rotation"]);
    let rotated = gateway.shop.copy("rotated");
    refused(gateway, "after the rotation the new release is seen", "1.4.0", "it is for");
    assert!(trusted(gateway) < known + 100, "{}", trusted(gateway));

    // The thief has the old keys still, and serves the repository without the root that took their power.
    let root = newest(&rotated, "root");
    for (attack, hidden) in [("old keys after the rotation", false), ("the new root is held back", true)] {
        thief.serve(u64::MAX, &current);
        if hidden {
            fs::remove_file(thief.repository.join("metadata").join(root.file_name().unwrap())).unwrap();
        }
        let why = "not trusted (arbitrary software): timestamp.json";
        refused(gateway, attack, version, why);
        gateway.shop.put_back(&rotated);
    }
    refused(gateway, "the faithful cloud is believed again", "1.4.0", "it is for");
}
