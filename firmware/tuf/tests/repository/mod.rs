//! A repository in memory, with its keys: what a faithful one publishes, and what somebody makes of it.

use engawa_tuf::metadata::{MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp};
use engawa_tuf::{Client, Document, Ed25519Signer, Fault, Limits, Signer, drive};
use jiff::{SignedDuration, Timestamp as Instant};
use ring::digest::{SHA256, digest};
use serde_json::Map;
use std::collections::BTreeMap;

pub fn now() -> Instant {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

pub fn days(n: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * n)
}

/// A key that is the same in each run.
pub fn key(n: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[n; 32]).unwrap()
}

pub const ROOT: u8 = 1;
pub const TARGETS: u8 = 2;
pub const SNAPSHOT: u8 = 3;
pub const TIMESTAMP: u8 = 4;

pub fn signed(document: &impl engawa_tuf::metadata::Metadata, keys: &[u8]) -> Vec<u8> {
    let mut document = Document::new(document).unwrap();
    for n in keys {
        document.sign(&key(*n)).unwrap();
    }
    document.to_bytes().unwrap()
}

pub fn meta(version: u64, bytes: &[u8]) -> MetaFile {
    let hash = data_encoding::HEXLOWER.encode(digest(&SHA256, bytes).as_ref());
    let hashes = Some(BTreeMap::from([("sha256".to_owned(), hash)]));
    MetaFile { version, length: Some(bytes.len() as u64), hashes, other: Map::new() }
}

pub fn target(bytes: &[u8]) -> TargetFile {
    let MetaFile { length, hashes, .. } = meta(1, bytes);
    TargetFile { length: length.unwrap(), hashes: hashes.unwrap(), custom: None, other: Map::new() }
}

pub struct Repository {
    /// What the folder of metadata has.
    pub files: BTreeMap<String, Vec<u8>>,
    pub root: Root,
    pub targets: Targets,
    pub snapshot: Snapshot,
    pub timestamp: Timestamp,
}

impl Repository {
    pub fn new() -> Self {
        let expires = now() + days(30);
        let mut root = Root::new(expires);
        for (role, n) in
            [("root", ROOT), ("targets", TARGETS), ("snapshot", SNAPSHOT), ("timestamp", TIMESTAMP)]
        {
            assert!(root.add_key(role, key(n).key()));
        }
        let mut repository = Self {
            files: BTreeMap::new(),
            targets: Targets::new(1, expires),
            snapshot: Snapshot::new(1, expires, BTreeMap::new()),
            timestamp: Timestamp::new(1, expires, meta(1, b""), now()),
            root,
        };
        repository.publish_root(&[ROOT]);
        repository.publish();
        repository
    }

    /// The root that comes with the device.
    pub fn first_root(&self) -> Vec<u8> {
        self.files["1.root.json"].clone()
    }

    pub fn publish_root(&mut self, keys: &[u8]) {
        self.files.insert(format!("{}.root.json", self.root.version), signed(&self.root, keys));
    }

    /// Publishes everything below the root with its own versions and the keys that are meant for it.
    pub fn publish(&mut self) {
        self.publish_with(TARGETS, SNAPSHOT, TIMESTAMP);
    }

    pub fn publish_with(&mut self, targets: u8, snapshot: u8, timestamp: u8) {
        let bytes = signed(&self.targets, &[targets]);
        self.snapshot.meta.insert("targets.json".to_owned(), meta(self.targets.version, &bytes));
        self.files.insert(format!("{}.targets.json", self.targets.version), bytes);
        self.publish_snapshot(snapshot, timestamp);
    }

    pub fn publish_snapshot(&mut self, snapshot: u8, timestamp: u8) {
        let bytes = signed(&self.snapshot, &[snapshot]);
        self.timestamp.meta.insert("snapshot.json".to_owned(), meta(self.snapshot.version, &bytes));
        self.files.insert(format!("{}.snapshot.json", self.snapshot.version), bytes);
        self.files.insert("timestamp.json".to_owned(), signed(&self.timestamp, &[timestamp]));
    }

    /// The next version of everything below the root.
    pub fn next(&mut self) {
        self.targets.version += 1;
        self.snapshot.version += 1;
        self.timestamp.version += 1;
        self.publish();
    }
}

/// A device: what it has kept.
pub struct Device {
    pub kept: BTreeMap<String, Vec<u8>>,
    pub at: Instant,
    pub limits: Limits,
    /// What it asked for in its last update.
    pub asked: Vec<String>,
}

impl Device {
    pub fn new(root: Vec<u8>) -> Self {
        let kept = BTreeMap::from([("root.json".to_owned(), root)]);
        Self { kept, at: now(), limits: Limits::default(), asked: Vec::new() }
    }

    /// An update; gives the client, that knows the targets.
    pub fn update(&mut self, files: &BTreeMap<String, Vec<u8>>) -> Result<Client, Fault> {
        let mut client = Client::open(self.kept.clone(), self.at, self.limits)?;
        self.asked.clear();
        self.go_on(&mut client, files)?;
        Ok(client)
    }

    /// Looks for a target.
    pub fn seek(
        &mut self,
        client: &mut Client,
        path: &str,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Option<engawa_tuf::Target>, Fault> {
        client.seek(path)?;
        self.go_on(client, files)?;
        Ok(client.target(path))
    }

    fn go_on(&mut self, client: &mut Client, files: &BTreeMap<String, Vec<u8>>) -> Result<(), Fault> {
        let Self { kept, asked, .. } = self;
        drive(
            client,
            |name, _| {
                asked.push(name.to_owned());
                Ok(files.get(name).cloned())
            },
            |file, bytes| {
                kept.insert(file.to_owned(), bytes.to_vec());
                Ok(())
            },
        )
    }

    pub fn version(&self, file: &str) -> Option<u64> {
        let document: serde_json::Value = serde_json::from_slice(self.kept.get(file)?).unwrap();
        document["signed"]["version"].as_u64()
    }
}
