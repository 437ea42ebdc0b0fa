//! The reference implementation, python-tuf, as a peer: we read what it makes, it reads what we make.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use data_encoding::HEXLOWER;
use engawa_tuf::metadata::{
    DelegatedRole, Delegations, MetaFile, Metadata, Root, Snapshot, TargetFile, Targets, Timestamp,
};
use engawa_tuf::{Client, Document, Ed25519Signer, Fault, Limits, Signer, drive};
use jiff::{SignedDuration, Timestamp as Instant};
use ring::digest::{SHA256, digest};
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// Python with python-tuf; none where this machine can't have it. Installed once, whichever test is first.
static PYTHON: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("peers/python-tuf");
    let ran = Command::new("bash").arg(here.join("peers/install.sh")).arg(&into).output().unwrap();
    if ran.status.code() == Some(3) {
        eprintln!("skipped: no python3 with venv and pip here; `make setup-test` installs it");
        return None;
    }
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Some(into.join("venv/bin/python"))
});

fn run(python: &Path, script: &str, words: &[&Path]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    Command::new(python).arg(script).args(words).output().unwrap()
}

fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

fn go_on(client: &mut Client, repository: &Path) -> Result<(), Fault> {
    drive(client, |name, _| Ok(fs::read(repository.join("metadata").join(name)).ok()), |_, _| Ok(()))
}

#[test]
fn we_read_what_python_tuf_makes() {
    let Some(python) = PYTHON.as_ref() else { return };
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    let made = run(python, "build.py", &[&repository]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let root = fs::read(repository.join("metadata/1.root.json")).unwrap();
    let kept = BTreeMap::from([("root.json".to_owned(), root)]);
    let mut client = Client::open(kept, Instant::now(), Limits::default()).unwrap();
    go_on(&mut client, &repository).unwrap();
    assert_eq!(client.root().version, 2);
    for (path, bytes, role) in [
        ("engawa/x86_64/1.0.0/manifest.json", &b"{}"[..], "targets"),
        ("apps/one/engawa", b"by a delegate", "apps"),
        ("hashed/file", b"by hash", "hashed"),
    ] {
        client.seek(path).unwrap();
        go_on(&mut client, &repository).unwrap();
        let target = client.target(path).unwrap();
        assert_eq!((target.role.as_str(), target.custom["number"].as_u64()), (role, Some(7)));
        assert_eq!(target.custom["name"], "é \"quoted\" \\ and more");
        let found = fs::read(repository.join("targets").join(&target.file)).unwrap();
        assert_eq!(found, bytes);
        let mut check = target.check();
        check.update(&found).unwrap();
        check.finish().unwrap();
    }
    client.seek("apps/one/other").unwrap();
    go_on(&mut client, &repository).unwrap();
    assert_eq!(client.target("apps/one/other"), None);
}

/// A repository of ours, on disk.
struct Ours {
    dir: PathBuf,
}

impl Ours {
    fn put(&self, name: &str, metadata: &impl Metadata, keys: &[&Ed25519Signer]) -> MetaFile {
        let mut document = Document::new(metadata).unwrap();
        keys.iter().for_each(|key| document.sign(*key).unwrap());
        let bytes = document.to_bytes().unwrap();
        fs::write(self.dir.join("metadata").join(name), &bytes).unwrap();
        let hashes = Some(BTreeMap::from([("sha256".to_owned(), hash(&bytes))]));
        MetaFile { version: metadata.version(), length: Some(bytes.len() as u64), hashes, other: Map::new() }
    }

    fn target(&self, targets: &mut Targets, path: &str, bytes: &[u8]) {
        let (folder, name) = path.rsplit_once('/').unwrap();
        let folder = self.dir.join("targets").join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{}.{name}", hash(bytes))), bytes).unwrap();
        let hashes = BTreeMap::from([("sha256".to_owned(), hash(bytes))]);
        let custom = Some(json!({"version": "1.0.0", "text": "é \"\\\u{1}"}));
        let entry = TargetFile { length: bytes.len() as u64, hashes, custom, other: Map::new() };
        targets.targets.insert(path.to_owned(), entry);
    }

    /// Everything below the root.
    fn publish(
        &self,
        version: u64,
        keys: [&Ed25519Signer; 2],
        delegate: &Ed25519Signer,
        online: &Ed25519Signer,
    ) {
        let expires = Instant::now() + SignedDuration::from_hours(48);
        let mut apps = Targets::new(version, expires);
        self.target(&mut apps, "apps/a", format!("app {version}").as_bytes());
        let mut top = Targets::new(version, expires);
        self.target(&mut top, "engawa/t/1.0.0/pack", format!("pack {version}").as_bytes());
        let role = DelegatedRole {
            name: "apps".to_owned(),
            keyids: vec![delegate.key().id().to_owned()],
            threshold: 1,
            terminating: true,
            paths: Some(vec!["apps/*".to_owned()]),
            path_hash_prefixes: None,
            other: Map::new(),
        };
        let known = BTreeMap::from([(delegate.key().id().to_owned(), delegate.key().value().clone())]);
        let roles = Some(vec![role]);
        top.delegations = Some(Delegations { keys: known, roles, succinct_roles: None, other: Map::new() });
        let meta = BTreeMap::from([
            ("targets.json".to_owned(), self.put(&format!("{version}.targets.json"), &top, &keys)),
            ("apps.json".to_owned(), self.put(&format!("{version}.apps.json"), &apps, &[delegate])),
        ]);
        let snapshot = Snapshot::new(version, expires, meta);
        let meta = self.put(&format!("{version}.snapshot.json"), &snapshot, &[online]);
        self.put("timestamp.json", &Timestamp::new(version, expires, meta, Instant::now()), &[online]);
    }
}

#[test]
fn python_tuf_reads_what_we_make() {
    let Some(python) = PYTHON.as_ref() else { return };
    let folder = tempfile::tempdir().unwrap();
    let ours = Ours { dir: folder.path().join("repository") };
    fs::create_dir_all(ours.dir.join("metadata")).unwrap();
    let key = |n: u8| Ed25519Signer::from_seed(&[n; 32]).unwrap();
    let (a, b, c, online, delegate) = (key(1), key(2), key(3), key(4), key(5));
    let expires = Instant::now() + SignedDuration::from_hours(48);
    let mut root = Root::new(expires);
    for signer in [&a, &b] {
        assert!(root.add_key("root", signer.key()) && root.add_key("targets", signer.key()));
    }
    for role in ["snapshot", "timestamp"] {
        root.add_key(role, online.key());
    }
    for role in ["root", "targets"] {
        root.roles.get_mut(role).unwrap().threshold = 2;
    }
    ours.put("1.root.json", &root, &[&a, &b]);
    ours.publish(1, [&a, &b], &delegate, &online);
    let state = folder.path().join("state");
    let read = || {
        let words = [ours.dir.as_path(), &state, Path::new("engawa/t/1.0.0/pack"), Path::new("apps/a")];
        let ran = run(python, "read.py", &words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) }
    };
    let expected = |version: u64| {
        let of = |what: &str| hash(format!("{what} {version}").as_bytes());
        format!("engawa/t/1.0.0/pack {}\napps/a {}\n", of("pack"), of("app"))
    };
    assert_eq!(read().unwrap(), expected(1));
    // Another key in the place of one, and new releases.
    let mut next = root.next(expires);
    for role in ["root", "targets"] {
        next.remove_key(role, a.key().id());
        next.add_key(role, c.key());
    }
    ours.put("2.root.json", &next, &[&a, &b, &c]);
    ours.publish(2, [&b, &c], &delegate, &online);
    assert_eq!(read().unwrap(), expected(2));
    // It is not merely content with everything.
    ours.publish(3, [&a, &b], &delegate, &online);
    assert!(read().unwrap_err().contains("UnsignedMetadataError"));
}
