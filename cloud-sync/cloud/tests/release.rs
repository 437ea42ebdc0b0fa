//! Releases from the key's making to the gateway: the real program, a repository in a folder, and the client that gateways
//! have. And what somebody can do who has everything that the cloud has.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;

use common::{Ran, program};
use engawa_tuf::metadata::{MetaFile, Snapshot, TargetFile, Targets, Timestamp};
use engawa_tuf::{Client, Document, Ed25519Signer, Fault, Limits, Signer, drive};
use jiff::{SignedDuration, Timestamp as Instant};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant as Clock};
use tempfile::TempDir;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const LONGEST: Duration = Duration::from_secs(60);

/// A house that makes releases: keys, drafts, and the cloud's folder with the repository.
struct House {
    folder: TempDir,
}

impl House {
    fn new() -> Self {
        let house = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(house.path("cloud")).unwrap();
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `engawa-cloud release …` in the house's folder.
    fn run(&self, words: &[&str]) -> Ran {
        let mut command = program();
        command.arg("release").args(words).args(["--dir", "cloud"]).current_dir(self.folder.path());
        command.env_remove("ENGAWA_RELEASE_PASSPHRASE");
        if words[0] == "sign" {
            command.arg("--yes");
        }
        let output = command.output().unwrap();
        Ran {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn done(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.status, 0, "{words:?}: {ran:?}");
        ran.out
    }

    fn refused(&self, words: &[&str], why: &str) {
        let ran = self.run(words);
        assert!(ran.status != 0 && ran.err.contains(why), "{words:?}: expected `{why}` in {ran:?}");
        assert!(!ran.err.contains("panicked"), "{ran:?}");
    }

    /// One root key, one for releases.
    fn with_repository() -> Self {
        let house = Self::new();
        house.done(&["keygen", "root.key"]);
        house.done(&["keygen", "releases.key"]);
        house.done(&["init", "first", "--root", "root.key.pub", "--targets", "releases.key.pub"]);
        house.done(&["sign", "first", "--key", "root.key", "--key", "releases.key"]);
        house.done(&["publish", "first"]);
        house
    }

    /// Makes a release of one program.
    fn create(&self, draft: &str, version: &str, program: &[u8], more: &[&str]) -> String {
        let files = self.path(&format!("files-{version}"));
        fs::create_dir_all(&files).unwrap();
        fs::write(files.join("engawa"), program).unwrap();
        fs::set_permissions(files.join("engawa"), PermissionsExt::from_mode(0o755)).unwrap();
        let files = files.to_str().unwrap().to_owned();
        let words = ["create", &files, "--draft", draft, "--triple", TRIPLE, "--version", version];
        self.done(&[&words, more].concat())
    }

    fn release(&self, version: &str, program: &[u8], more: &[&str]) {
        let draft = format!("draft-{version}");
        self.create(&draft, version, program, more);
        self.done(&["sign", &draft, "--key", "releases.key"]);
        self.done(&["publish", &draft]);
    }

    fn repository(&self) -> PathBuf {
        self.path("cloud/releases")
    }

    fn gateway(&self) -> Gateway {
        let root = fs::read(self.repository().join("metadata/1.root.json")).unwrap();
        Gateway { kept: BTreeMap::from([("root.json".to_owned(), root)]) }
    }
}

/// A gateway, with what it has kept.
#[derive(Clone)]
struct Gateway {
    kept: BTreeMap<String, Vec<u8>>,
}

impl Gateway {
    fn update(&mut self, repository: &Path) -> Result<Client, Fault> {
        self.update_at(repository, Instant::now())
    }

    fn update_at(&mut self, repository: &Path, now: Instant) -> Result<Client, Fault> {
        let mut client = Client::open(self.kept.clone(), now, Limits::default())?;
        drive(
            &mut client,
            |name, _| Ok::<_, Fault>(fs::read(repository.join("metadata").join(name)).ok()),
            |file, bytes| {
                self.kept.insert(file.to_owned(), bytes.to_vec());
                Ok(())
            },
        )?;
        Ok(client)
    }
}

fn manifest(version: &str) -> String {
    format!("engawa/{TRIPLE}/{version}/manifest.json")
}

/// Bytes that don't compress, with a mark.
fn software(mark: u8) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes: Vec<u8> = (0..200_000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect();
    bytes[100_000] = mark;
    bytes
}

#[test]
fn a_release_goes_from_the_keys_to_the_gateway_and_is_revoked() {
    let house = House::with_repository();
    let mut gateway = house.gateway();
    assert!(gateway.update(&house.repository()).unwrap().targets().next().is_none());
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    house.release("1.0.0", &software(1), &["--lock", lock, "--package", "engawa", "--commit", "abc123"]);
    house.release("1.1.0", &software(2), &["--floor", "1", "--built", "1700000000"]);
    let client = gateway.update(&house.repository()).unwrap();
    let found = client.target(&manifest("1.1.0")).unwrap();
    assert_eq!((&found.custom["version"], &found.custom["number"]), (&Value::from("1.1.0"), &Value::from(2)));
    assert_eq!(
        (&found.custom["floor"], &found.custom["kind"]),
        (&Value::from(1), &Value::from("application"))
    );
    let bytes = fs::read(house.repository().join("targets").join(&found.file)).unwrap();
    let read = engawa_release::Manifest::read(&bytes).unwrap();
    assert_eq!((read.number, read.built, read.patches.len()), (2, 1_700_000_000, 1));
    // Everything that a manifest speaks of is a signed target.
    for file in
        ["pack".to_owned(), format!("patch-{}.zst", read.patches[0].from), "provenance.json".to_owned()]
    {
        assert!(client.target(&format!("engawa/{TRIPLE}/1.1.0/{file}")).is_some(), "{file}");
    }
    let file = |name: &str| {
        let target = client.target(&format!("engawa/{TRIPLE}/1.0.0/{name}")).unwrap();
        serde_json::from_slice::<Value>(
            &fs::read(house.repository().join("targets").join(target.file)).unwrap(),
        )
        .unwrap()
    };
    let sbom = file("sbom.json");
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&Value::from("CycloneDX"), &Value::from("1.5")));
    let components = sbom["components"].as_array().unwrap();
    assert!(
        components
            .iter()
            .any(|c| c["name"] == "rustls" && c["purl"].as_str().unwrap().starts_with("pkg:cargo/rustls@"))
    );
    assert!(
        !components.iter().any(|c| c["name"] == "engawa-cloud"),
        "what the release does not need is not in it"
    );
    let provenance = file("provenance.json");
    assert_eq!(provenance["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(provenance["subject"][0]["name"], "engawa");
    assert_eq!(
        provenance["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"],
        "abc123"
    );
    let listed = house.done(&["list", "--json"]);
    let lines: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines.iter().map(|line| line["version"].as_str().unwrap()).collect::<Vec<_>>(),
        ["1.0.0", "1.1.0"]
    );
    assert!(
        house
            .done(&["verify", "--root", "cloud/releases/metadata/1.root.json"])
            .contains("all as they were signed")
    );
    // What was released is not changed.
    house.create("other", "1.2.0", &software(3), &[]);
    let again = house.path("files-1.1.0").to_str().unwrap().to_owned();
    let words = ["create", &again, "--draft", "other", "--triple", TRIPLE, "--version", "1.1.0"];
    house.refused(&words, "what is released is not changed");
    house.refused(&[&words[..7], &["1.1.1", "--number", "2"]].concat(), "numbers only grow");
    // A system image for one board, in the same draft.
    let image = ["create", &again, "--draft", "other", "--kind", "system", "--hardware", "qemu-virt"];
    let made = house.done(&[&image[..], &["--triple", TRIPLE, "--version", "7.0.0"]].concat());
    assert!(made.contains("+ system/qemu-virt/7.0.0/manifest.json"), "{made}");
    // Revoked: gone for everybody.
    house.refused(&["revoke", "9.9.9", "--draft", "revocation"], "no release 9.9.9");
    let shown = house.done(&["revoke", "1.1.0", "--draft", "revocation"]);
    assert!(shown.contains(&format!("- {}", manifest("1.1.0"))), "{shown}");
    house.done(&["sign", "revocation", "--key", "releases.key"]);
    house.done(&["publish", "revocation"]);
    let client = gateway.update(&house.repository()).unwrap();
    assert!(client.target(&manifest("1.1.0")).is_none() && client.target(&manifest("1.0.0")).is_some());
    // The other draft is of a state that is no more.
    house.done(&["sign", "other", "--key", "releases.key"]);
    house.refused(&["publish", "other"], "make the draft again");
}

/// The reference implementation, which `make test` installs, finds and checks the same.
#[test]
fn python_tuf_reads_the_repository() {
    let python =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("peers/python-tuf/venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no python-tuf; `make setup-test` installs it");
        return;
    }
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    let read = || {
        std::process::Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tuf/peers/read.py"))
            .args([house.repository(), house.path("state")])
            .args([manifest("1.0.0"), format!("engawa/{TRIPLE}/1.0.0/pack")])
            .output()
            .unwrap()
    };
    let ran = read();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8(ran.stdout).unwrap().lines().count(), 2);
    house.done(&["root", "next", "--rotate-online"]);
    house.done(&["sign", "next", "--key", "root.key"]);
    house.done(&["publish", "next"]);
    assert!(read().status.success());
    house.done(&["revoke", "1.0.0", "--draft", "gone"]);
    house.done(&["sign", "gone", "--key", "releases.key"]);
    house.done(&["publish", "gone"]);
    assert!(String::from_utf8(read().stderr).unwrap().contains("no target"));
}

#[test]
fn a_file_that_was_changed_is_found() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    let client = house.gateway().update(&house.repository()).unwrap();
    let pack = client.target(&format!("engawa/{TRIPLE}/1.0.0/pack")).unwrap();
    let path = house.repository().join("targets").join(&pack.file);
    let good = fs::read(&path).unwrap();
    let mut bytes = good.clone();
    bytes[1000] ^= 1;
    fs::write(&path, bytes).unwrap();
    house.refused(&["verify"], "not as it was signed");
    fs::write(&path, good).unwrap();
    // Before it is published, too.
    house.create("next", "1.1.0", &software(2), &[]);
    house.done(&["sign", "next", "--key", "releases.key"]);
    fs::write(house.path(&format!("next/targets/engawa/{TRIPLE}/1.1.0/pack")), b"something else").unwrap();
    house.refused(&["publish", "next"], "is not what was signed");
    assert!(house.gateway().update(&house.repository()).unwrap().target(&manifest("1.1.0")).is_none());
}

/// Whoever has the cloud's machine writes the draft: his target, and that it has long been there.
#[test]
fn a_signer_is_shown_what_was_slipped_in() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    house.create("next", "1.1.0", &software(2), &[]);
    let evil = manifest("6.6.6");
    let edit = |name: &str| {
        let path = house.path(&format!("next/metadata/{name}"));
        let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        value["signed"]["targets"][&evil] =
            serde_json::json!({"length": 1, "hashes": {"sha256": "00".repeat(32)}});
        fs::write(path, value.to_string()).unwrap();
    };
    let good = fs::read(house.path("next/metadata/current.targets.json")).unwrap();
    edit("targets.json");
    edit("current.targets.json");
    assert!(!house.done(&["show", "next"]).contains(&evil));
    let root = ["--root", "cloud/releases/metadata/1.root.json"];
    house.refused(&[&["show", "next"][..], &root].concat(), "valid signatures");
    house.refused(&[&["sign", "next", "--key", "releases.key"][..], &root].concat(), "valid signatures");
    let shown = house.done(&["sign", "next", "--key", "releases.key"]);
    assert!(shown.contains(&format!("+ {evil}")) && shown.contains("everything is listed as new"), "{shown}");
    // With what is current as it is, the difference alone.
    fs::write(house.path("next/metadata/current.targets.json"), good).unwrap();
    for more in [&root[..], &[]] {
        let shown = house.done(&[&["sign", "next", "--key", "releases.key"], more].concat());
        assert!(shown.contains(&format!("+ {evil}")), "{shown}");
        assert!(!shown.contains(&manifest("1.0.0")), "{shown}");
    }
    // Nobody is there to be asked.
    let ran = program()
        .args(["release", "sign", "next", "--key", "releases.key"])
        .current_dir(house.folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("say --yes"), "{ran:?}");
}

#[test]
fn numbers_and_floors_only_grow() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    house.release("1.2.0", &software(2), &["--number", "10", "--floor", "10"]);
    house.done(&["revoke", "1.2.0", "--draft", "gone"]);
    house.done(&["sign", "gone", "--key", "releases.key"]);
    house.done(&["publish", "gone"]);
    let made = |version: &str, more: &[&str]| house.create("next", version, &software(3), more);
    assert!(made("1.2.1", &[]).contains("number 11, floor 10"));
    // In the same draft, and for one board alone.
    assert!(made("1.3.0", &["--hardware", "box1"]).contains("number 12, floor 10"));
    let files = house.path("files-1.3.0").to_str().unwrap().to_owned();
    let words = ["create", &files, "--draft", "next", "--triple", TRIPLE, "--version", "1.4.0"];
    house.refused(&[&words[..], &["--floor", "9"]].concat(), "floors only grow");
    house.refused(&[&words[..], &["--number", "5"]].concat(), "numbers only grow");
}

#[test]
fn a_file_that_lies_there_already_is_read_before_it_is_published() {
    let house = House::with_repository();
    house.create("next", "1.0.0", &software(1), &[]);
    house.done(&["sign", "next", "--key", "releases.key"]);
    let pack = fs::read(house.path(&format!("next/targets/engawa/{TRIPLE}/1.0.0/pack"))).unwrap();
    let hash = data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, &pack).as_ref());
    let place = house.repository().join(format!("targets/engawa/{TRIPLE}/1.0.0/{hash}.pack"));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, vec![0; pack.len()]).unwrap();
    house.done(&["publish", "next"]);
    assert_eq!(fs::read(&place).unwrap(), pack);
}

#[test]
fn several_sign_one_after_another_and_a_lost_key_is_replaced() {
    let house = House::new();
    fs::write(house.path("phrase"), "correct horse battery\n").unwrap();
    fs::set_permissions(house.path("phrase"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for key in ["a.key", "d.key", "r.key"] {
        house.done(&["keygen", key, "--passphrase-file", "phrase"]);
    }
    for key in ["b.key", "c.key", "s.key", "t.key"] {
        house.done(&["keygen", key]);
    }
    let sign = |draft: &str, keys: &[&str]| {
        let keys: Vec<&str> = keys.iter().flat_map(|key| ["--key", key]).collect();
        house.done(&[&["sign", draft, "--passphrase-file", "phrase"], keys.as_slice()].concat())
    };
    let roots =
        ["--root", "a.key.pub", "--root", "b.key.pub", "--root", "c.key.pub", "--root-threshold", "2"];
    let releases = ["--targets", "r.key.pub", "--targets", "s.key.pub", "--targets-threshold", "2"];
    house.done(&[&["init", "first"], &roots[..], &releases[..]].concat());
    house.refused(&["sign", "first", "--key", "a.key"], "is encrypted");
    house.refused(&["sign", "first", "--key", "d.key", "--passphrase-file", "phrase"], "may sign nothing");
    sign("first", &["a.key"]);
    house.refused(&["publish", "first"], "root.json is signed by 1 of 2");
    // The same again is not another's.
    assert!(sign("first", &["a.key"]).contains("1 of 2"));
    sign("first", &["b.key"]);
    house.refused(&["publish", "first"], "targets.json is signed by 0 of 2");
    sign("first", &["r.key"]);
    sign("first", &["s.key"]);
    house.done(&["publish", "first"]);
    assert!(house.done(&["publish", "first"]).contains("published already"));
    let mut gateway = house.gateway();
    gateway.update(&house.repository()).unwrap();
    // The key c is lost, s and the online keys may be in other hands.
    let key = |name: &str| {
        let value: Value = serde_json::from_slice(&fs::read(house.path(name)).unwrap()).unwrap();
        engawa_tuf::PublicKey::from_value(&value).unwrap().id().to_owned()
    };
    let (lost, stolen) =
        (format!("root={}", &key("c.key.pub")[..16]), format!("targets={}", key("s.key.pub")));
    house.refused(
        &["root", "next", "--remove", "root=ffffffff0", "--rotate-online"],
        "no key of `root` begins",
    );
    house.refused(&["root", "next", "--root-threshold", "4"], "lower the threshold");
    house.refused(&["root", "next", "--add", "snapshot=r.key.pub"], "could then forge releases");
    house.done(&[
        "root",
        "next",
        "--remove",
        &lost,
        "--add",
        "root=d.key.pub",
        "--remove",
        &stolen,
        "--add",
        "targets=t.key.pub",
        "--rotate-online",
    ]);
    sign("next", &["a.key", "d.key", "r.key", "t.key"]);
    house.refused(&["publish", "next"], "root.json is signed by 1 of 2 of the current root's keys");
    sign("next", &["b.key"]);
    let online = || fs::read_dir(house.path("cloud/release-keys")).unwrap().count();
    assert_eq!(online(), 8, "the old keys sign until gateways have the new root");
    house.done(&["publish", "next"]);
    assert_eq!(online(), 4);
    let client = gateway.update(&house.repository()).unwrap();
    assert_eq!(client.root().version, 2);
    assert_eq!(house.gateway().update(&house.repository()).unwrap().root().version, 2);
    // Who still has the lost and the stolen key makes nothing with them.
    house.done(&["root", "third"]);
    house.refused(&["sign", "third", "--key", "c.key", "--passphrase-file", "phrase"], "may sign nothing");
    house.create("release", "1.0.0", &software(1), &[]);
    house.refused(&["sign", "release", "--key", "s.key", "--passphrase-file", "phrase"], "may sign nothing");
}

/// Everything that whoever breaks into the cloud has: its folder, the repository, the online keys.
struct Thief<'a> {
    house: &'a House,
    snapshot: Ed25519Signer,
    timestamp: Ed25519Signer,
}

impl<'a> Thief<'a> {
    fn of(house: &'a House) -> Self {
        let key = |role: &str| {
            let text = fs::read_to_string(house.path(&format!("cloud/release-keys/{role}-1.key"))).unwrap();
            let lines: String = text.lines().filter(|line| !line.starts_with('-')).collect();
            Ed25519Signer::from_pkcs8(&data_encoding::BASE64.decode(lines.as_bytes()).unwrap()).unwrap()
        };
        Self { house, snapshot: key("snapshot"), timestamp: key("timestamp") }
    }

    fn metadata(&self, name: &str) -> PathBuf {
        self.house.repository().join("metadata").join(name)
    }

    fn put(&self, name: &str, document: &Document) -> MetaFile {
        let bytes = document.to_bytes().unwrap();
        fs::write(self.metadata(name), &bytes).unwrap();
        let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let hashes = BTreeMap::from([("sha256".to_owned(), data_encoding::HEXLOWER.encode(hash.as_ref()))]);
        let version = document.signed["version"].as_u64().unwrap();
        MetaFile {
            version,
            length: Some(bytes.len() as u64),
            hashes: Some(hashes),
            other: serde_json::Map::new(),
        }
    }

    /// Publishes these targets with its keys, as far ahead as need be.
    fn publish(&self, targets: MetaFile, version: u64) {
        let in_a_week = Instant::now() + SignedDuration::from_hours(24 * 7);
        let meta = BTreeMap::from([("targets.json".to_owned(), targets)]);
        let mut snapshot = Document::new(&Snapshot::new(version, in_a_week, meta)).unwrap();
        snapshot.sign(&self.snapshot).unwrap();
        let of_snapshot = self.put(&format!("{version}.snapshot.json"), &snapshot);
        let mut timestamp =
            Document::new(&Timestamp::new(version, in_a_week, of_snapshot, Instant::now())).unwrap();
        timestamp.sign(&self.timestamp).unwrap();
        self.put("timestamp.json", &timestamp);
    }

    fn targets(&self, version: u64) -> Targets {
        let bytes = fs::read(self.metadata(&format!("{version}.targets.json"))).unwrap();
        let limits = Limits::default();
        Document::parse(&bytes, "targets.json", limits.targets, &limits)
            .unwrap()
            .read("targets.json")
            .unwrap()
    }
}

#[test]
fn a_compromised_cloud_forges_nothing() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    house.release("1.1.0", &software(2), &[]);
    let mut gateway = house.gateway();
    gateway.update(&house.repository()).unwrap();
    let thief = Thief::of(&house);
    let evil = TargetFile {
        length: 4,
        hashes: BTreeMap::from([("sha256".to_owned(), "00".repeat(32))]),
        custom: None,
        other: serde_json::Map::new(),
    };
    // Software of its own, signed by all keys that it has.
    let mut targets = thief.targets(3);
    targets.version = 4;
    targets.targets.insert(manifest("6.6.6"), evil);
    let mut document = Document::new(&targets).unwrap();
    document.sign(&thief.snapshot).unwrap();
    document.sign(&thief.timestamp).unwrap();
    thief.publish(thief.put("4.targets.json", &document), 50);
    for mut victim in [gateway.clone(), house.gateway()] {
        let fault = victim.update(&house.repository()).unwrap_err();
        assert!(matches!(&fault, Fault::Unsigned { role, valid: 0, .. } if role == "targets"), "{fault}");
    }
    // The signature of others' targets on them.
    let before = fs::read(thief.metadata("3.targets.json")).unwrap();
    document.signatures = serde_json::from_slice::<Document>(&before).unwrap().signatures;
    thief.publish(thief.put("4.targets.json", &document), 60);
    assert!(matches!(gateway.clone().update(&house.repository()).unwrap_err(), Fault::Unsigned { .. }));
    // Back to a release with a known hole: who has seen the newer one does not go back.
    let old: Document = serde_json::from_slice(&fs::read(thief.metadata("2.targets.json")).unwrap()).unwrap();
    thief.publish(thief.put("2.targets.json", &old), 70);
    let fault = gateway.clone().update(&house.repository()).unwrap_err();
    assert!(matches!(fault, Fault::Rollback { trusted: 3, offered: 2, .. }), "{fault}");
    // A root that trusts the thief.
    let limits = Limits::default();
    let bytes = fs::read(thief.metadata("1.root.json")).unwrap();
    let root: engawa_tuf::metadata::Root =
        Document::parse(&bytes, "root.json", limits.root, &limits).unwrap().read("root.json").unwrap();
    let mut root = root.next(Instant::now() + SignedDuration::from_hours(1000));
    root.add_key("targets", thief.snapshot.key());
    root.add_key("root", thief.snapshot.key());
    let mut document = Document::new(&root).unwrap();
    document.sign(&thief.snapshot).unwrap();
    thief.put("2.root.json", &document);
    let fault = gateway.clone().update(&house.repository()).unwrap_err();
    assert!(matches!(&fault, Fault::Unsigned { role, .. } if role == "root"), "{fault}");
    fs::remove_file(thief.metadata("2.root.json")).unwrap();
    // Other bytes in a release that is good.
    let good: Document = serde_json::from_slice(&before).unwrap();
    thief.publish(thief.put("3.targets.json", &good), 80);
    let client = gateway.clone().update(&house.repository()).unwrap();
    let mut check = client.target(&format!("engawa/{TRIPLE}/1.1.0/pack")).unwrap().check();
    let length = client.target(&format!("engawa/{TRIPLE}/1.1.0/pack")).unwrap().length;
    check.update(&vec![0; usize::try_from(length).unwrap()]).unwrap();
    assert!(matches!(check.finish(), Err(Fault::WrongDigest { .. })));
    // All that is left is to hold everything back, until that is noticed.
    let fault = gateway
        .update_at(&house.repository(), Instant::now() + SignedDuration::from_hours(24 * 8))
        .unwrap_err();
    assert!(matches!(fault, Fault::Expired { .. }), "{fault}");
}

/// The files below `dir`, by path.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// A publication with a new root and a new release, cut after each of its writes, in the order in which the program made them:
/// whoever reads then finds a whole repository, and publishing again mends it.
#[test]
fn a_publication_that_is_cut_short_is_whole_and_is_mended() {
    for rotation in [&["--rotate-online"][..], &["--add", "targets=new.key.pub", "--rotate-online"]] {
        let house = House::with_repository();
        house.done(&["keygen", "new.key"]);
        house.release("1.0.0", &software(1), &[]);
        let mut known = house.gateway();
        known.update(&house.repository()).unwrap();
        house.done(&[&["root", "next"], rotation].concat());
        house.create("next", "1.1.0", &software(2), &[]);
        house.done(&["sign", "next", "--key", "root.key", "--key", "releases.key"]);
        let before = files(&house.path("cloud"));
        house.done(&["publish", "next"]);
        let after = files(&house.path("cloud"));
        let mut written: Vec<(std::time::SystemTime, PathBuf)> = after
            .iter()
            .filter(|(path, bytes)| before.get(*path) != Some(*bytes))
            .map(|(path, _)| {
                (fs::metadata(house.path("cloud").join(path)).unwrap().modified().unwrap(), path.clone())
            })
            .collect();
        written.sort();
        assert!(written.len() >= 7, "{written:?}");
        for cut in 0..=written.len() {
            fs::remove_dir_all(house.path("cloud")).unwrap();
            let keep = written[..cut].iter().map(|(_, path)| (path, &after[path]));
            for (path, bytes) in before.iter().chain(keep) {
                let path = house.path("cloud").join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, bytes).unwrap();
                if path.extension().is_some_and(|extension| extension == "key") {
                    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
                }
            }
            // What the cut leaves of the file that was being written.
            if let Some((_, path)) = written.get(cut) {
                let part = house.path("cloud").join(format!("{}.part", path.display()));
                fs::create_dir_all(part.parent().unwrap()).unwrap();
                fs::write(part, &after[path][..after[path].len() / 2]).unwrap();
            }
            let at = written.get(cut).map(|(_, path)| path);
            let mut gateways = [known.clone(), house.gateway()];
            for gateway in &mut gateways {
                let client = gateway
                    .update(&house.repository())
                    .unwrap_or_else(|fault| panic!("before {at:?}: {fault}"));
                assert!(client.target(&manifest("1.0.0")).is_some(), "before {at:?}");
            }
            house.done(&["publish", "next"]);
            for gateway in &mut gateways {
                let client = gateway
                    .update(&house.repository())
                    .unwrap_or_else(|fault| panic!("after {at:?}: {fault}"));
                assert!(client.target(&manifest("1.1.0")).is_some(), "after {at:?}");
                assert_eq!(client.root().version, 2);
            }
        }
        house.done(&["verify"]);
    }
}

#[test]
fn what_can_t_be_done_says_why() {
    let house = House::new();
    for (words, why) in [
        (&["publish", "nothing"][..], "is no draft"),
        (&["list"], "there is no repository in"),
        (&["root", "next"], "there is no repository in"),
        (&["keygen", "pkcs11:token=a;object=b?module-path=/none.so"], "--public"),
        (&["keygen", "pkcs11:token=a;object=b?module-path=/none.so", "--public", "b.pub"], "/none.so"),
        (&["keygen", "a.key", "--passphrase-file", "none"], "none"),
        (&["init", "first", "--root", "none.pub", "--targets", "none.pub"], "reading none.pub"),
        (&["sign", "first", "--key", "none.key"], "none.key"),
    ] {
        house.refused(words, why);
    }
    house.done(&["keygen", "root.key"]);
    fs::write(house.path("bad.pub"), "{\"keytype\":\"dsa\",\"scheme\":\"dsa\"}").unwrap();
    let init = ["init", "first", "--targets", "root.key.pub", "--root"];
    house.refused(&[&init[..], &["bad.pub"]].concat(), "`dsa`");
    house.refused(&[&init[..], &["root.key.pub", "--root-threshold", "2"]].concat(), "2 must sign");
    assert!(!house.path("first").exists(), "what was refused leaves nothing behind");
    house.done(&[&init[..], &["root.key.pub"]].concat());
    house.refused(&[&init[..], &["root.key.pub"]].concat(), "has a draft already");
    house.done(&["sign", "first", "--key", "root.key"]);
    // Not on the cloud's machine.
    house.refused(&["publish", "first", "--dir", "elsewhere"], "cannot be used multiple times");
    fs::rename(house.path("cloud/release-keys"), house.path("elsewhere")).unwrap();
    house.refused(&["publish", "first"], "has no key that may sign");
    fs::rename(house.path("elsewhere"), house.path("cloud/release-keys")).unwrap();
    house.done(&["publish", "first"]);
    let files = house.path("files");
    fs::create_dir(&files).unwrap();
    let create = ["create", "files", "--draft", "next", "--triple", TRIPLE, "--version", "1.0.0"];
    house.refused(&create, "has no files");
    fs::write(files.join("engawa"), "x").unwrap();
    // What every gateway would refuse.
    house.refused(&create, "no executable file `engawa`");
    fs::set_permissions(files.join("engawa"), PermissionsExt::from_mode(0o755)).unwrap();
    house.refused(&[&create[..], &["--lock", "none.lock"]].concat(), "none.lock");
    house.refused(&[&create[..7], &["one"]].concat(), "no semantic version");
    fs::create_dir(files.join("folder")).unwrap();
    house.refused(&create, "flat list");
    fs::remove_dir(files.join("folder")).unwrap();
    let long = format!("1.0.0-{}", "a".repeat(60));
    house.refused(&[&create[..7], &[&long]].concat(), "at most 64");
    fs::rename(files.join("engawa"), files.join("other")).unwrap();
    house.refused(&create, "no executable file `engawa`");
    fs::write(files.join("Engawa"), "x").unwrap();
    house.refused(&create, "Engawa");
}

/// A server whose clock is days ahead renews the timestamp; what it signs then, gateways of that time take.
#[test]
fn the_server_renews_the_timestamp() {
    let house = House::with_repository();
    house.release("1.0.0", &software(1), &[]);
    let init =
        program().args(["init", "--name", "127.0.0.1", "--dir"]).arg(house.path("cloud")).output().unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let version = || {
        let bytes = fs::read(house.repository().join("metadata/timestamp.json")).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()["signed"]["version"].as_u64().unwrap()
    };
    let before = version();
    // Not by the program `faketime`, which leaves something in /dev/shm when it is killed.
    let folders = ["x86_64-linux-gnu/faketime", "aarch64-linux-gnu/faketime", "faketime"];
    let libraries = folders.map(|folder| format!("/usr/lib/{folder}/libfaketimeMT.so.1"));
    let library = libraries.iter().find(|path| Path::new(path).exists());
    let library = library.expect("libfaketime: `make setup-test` installs it (package faketime)");
    let mut server = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--dir"])
        .arg(house.path("cloud"))
        .env("LD_PRELOAD", library)
        .env("FAKETIME", "+5d")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Clock::now() + LONGEST;
    while version() == before && Clock::now() < deadline && server.try_wait().unwrap().is_none() {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let ended = server.try_wait().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!((version(), ended), (before + 1, None));
    let in_ten_days = Instant::now() + SignedDuration::from_hours(24 * 10);
    assert!(
        house
            .gateway()
            .update_at(&house.repository(), in_ten_days)
            .unwrap()
            .target(&manifest("1.0.0"))
            .is_some()
    );
}

/// Keys in a token of SoftHSM 2: made there, signing root and releases.
#[test]
fn keys_in_a_token_sign() {
    let modules = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
    let Some(module) = modules.into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("skipped: SoftHSM 2 is not installed; `make setup-test` installs it");
        return;
    };
    let house = House::new();
    fs::create_dir(house.path("tokens")).unwrap();
    let configuration = house.path("softhsm2.conf");
    fs::write(&configuration, format!("directories.tokendir = {}\n", house.path("tokens").display()))
        .unwrap();
    fs::write(house.path("pin"), "4711\n").unwrap();
    fs::set_permissions(house.path("pin"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let made = std::process::Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "release", "--so-pin", "0815", "--pin", "4711"])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let run = |words: &[&str]| {
        let mut command = program();
        command.arg("release").args(words).args(["--dir", "cloud"]).current_dir(house.folder.path());
        command.args((words[0] == "sign").then_some("--yes"));
        let output = command.env("SOFTHSM2_CONF", &configuration).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let uri = |object: &str, pin: &str| {
        let pin = house.path(pin);
        format!("pkcs11:token=release;object={object}?module-path={module}&pin-source=file:{}", pin.display())
    };
    let (root, releases) = (uri("root-1", "pin"), uri("releases-1", "pin"));
    for (key, public) in [(&root, "root.pub"), (&releases, "releases.pub")] {
        assert_eq!(run(&["keygen", key, "--public", public]), (true, String::new()));
    }
    let again = run(&["keygen", &root, "--public", "again.pub"]);
    assert!(!again.0 && again.1.contains("already"), "{again:?}");
    assert!(run(&["init", "first", "--root", "root.pub", "--targets", "releases.pub"]).0);
    fs::write(house.path("wrong"), "0000\n").unwrap();
    fs::set_permissions(house.path("wrong"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let wrong = run(&["sign", "first", "--key", &uri("root-1", "wrong")]);
    assert!(!wrong.0 && wrong.1.contains("logging in to the token"), "{wrong:?}");
    let missing = run(&["sign", "first", "--key", &uri("root-2", "pin")]);
    assert!(!missing.0 && missing.1.contains("no public key called `root-2`"), "{missing:?}");
    assert_eq!(run(&["sign", "first", "--key", &root, "--key", &releases]), (true, String::new()));
    assert_eq!(run(&["publish", "first"]), (true, String::new()));
    house.gateway().update(&house.repository()).unwrap();
}
