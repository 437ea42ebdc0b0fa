//! Releases from the key's making to the gateway: the real program, a repository in a folder, and the client that gateways
//! have. And what somebody can do who has everything that the cloud has.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod care;
mod signing;

use common::{Ran, program};
use engawa_cloud::rollout::state::Software;
use engawa_cloud::store::{self, gateways, rollouts};
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

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
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
    house.release("1.0.0", &software(1), &["--lock", lock, "--package", "engawa", "--commit", COMMIT]);
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
        COMMIT
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
    for (more, why) in [
        (["--commit", "a\nb"], "--commit \"a\\nb\" is no commit"),
        (["--commit", &COMMIT[..39]], "all 40 (or 64) hex digits"),
        (["--builder", "not a uri"], "--builder \"not a uri\" is no URI"),
        (["--source", "xx"], "--source \"xx\" is no URI"),
        (["--source", "git+https://git.example/a\u{1b}[2J"], "is no URI"),
    ] {
        house.refused(&[&create[..], &more].concat(), why);
    }
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
