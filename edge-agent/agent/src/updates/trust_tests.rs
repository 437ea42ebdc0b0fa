use super::*;
use engawa_tuf::metadata::{MetaFile, Metadata, Root, Snapshot, TargetFile, Targets, Timestamp as Stamp};
use engawa_tuf::{Attack, Document, Ed25519Signer, Signer};
use engawa_update::FolderSource;
use sha2::{Digest as _, Sha256};

const PATH: &str = "engawa/x86_64-unknown-linux-gnu/1.2.0/manifest.json";

fn key(n: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[n; 32]).unwrap()
}

fn signed(document: &impl Metadata, n: u8) -> Vec<u8> {
    let mut document = Document::new(document).unwrap();
    document.sign(&key(n)).unwrap();
    document.to_bytes().unwrap()
}

fn meta(version: u64, bytes: &[u8]) -> MetaFile {
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
    let hashes = Some(BTreeMap::from([("sha256".to_owned(), hash)]));
    MetaFile { version, length: Some(bytes.len() as u64), hashes, other: serde_json::Map::new() }
}

fn day(n: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + n * 86_400).unwrap()
}

/// A repository in a folder; one key for each role.
struct Repository {
    folder: PathBuf,
    root: Root,
}

impl Repository {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join("metadata")).unwrap();
        let mut root = Root::new(day(300));
        for (role, n) in [("root", 1), ("targets", 2), ("snapshot", 3), ("timestamp", 4)] {
            assert!(root.add_key(role, key(n).key()));
        }
        let this = Self { folder: folder.to_owned(), root };
        this.put("1.root.json", &signed(&this.root, 1));
        this
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.join("metadata").join(name), bytes).unwrap();
    }

    fn rotate(&mut self) {
        self.root.version += 1;
        self.put(&format!("{}.root.json", self.root.version), &signed(&self.root, 1));
    }

    /// Version `n` of all below the root, with one target of that many bytes, signed on day `n`.
    fn publish(&self, n: u8) {
        let version = u64::from(n);
        let MetaFile { length, hashes, .. } = meta(1, &vec![0; usize::from(n)]);
        let (length, hashes) = (length.unwrap(), hashes.unwrap());
        let mut targets = Targets::new(version, day(200));
        let target = TargetFile { length, hashes, custom: None, other: serde_json::Map::new() };
        targets.targets.insert(PATH.to_owned(), target);
        let targets = signed(&targets, 2);
        let listed = BTreeMap::from([("targets.json".to_owned(), meta(version, &targets))]);
        let snapshot = signed(&Snapshot::new(version, day(200), listed), 3);
        let at = day(i64::from(n));
        let stamp = Stamp::new(version, day(i64::from(n) + 7), meta(version, &snapshot), at);
        self.put(&format!("{n}.targets.json"), &targets);
        self.put(&format!("{n}.snapshot.json"), &snapshot);
        self.put("timestamp.json", &signed(&stamp, 4));
    }

    /// As it is now, elsewhere.
    fn copy(&self, to: &Path) -> PathBuf {
        std::fs::create_dir_all(to.join("metadata")).unwrap();
        for entry in std::fs::read_dir(self.folder.join("metadata")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join("metadata").join(entry.file_name())).unwrap();
        }
        to.to_owned()
    }
}

/// How long the target is by what `folder` has, at the time `now`.
fn length(trust: &Trust, folder: &Path, now: Timestamp) -> Result<u64, TrustError> {
    let mut source = FolderSource::open(folder).unwrap();
    let mut client = trust.refresh(&mut source, now, true)?;
    trust.target(&mut client, &mut source, PATH, true).map(|(target, _)| target.length)
}

fn stand() -> (tempfile::TempDir, Repository, Trust) {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::new(&dir.path().join("releases"));
    repository.publish(1);
    let trust = Trust::new(&dir.path().join("slots"), &repository.folder.join("metadata/1.root.json"));
    assert_eq!(length(&trust, &repository.folder, day(1)).unwrap(), 1);
    (dir, repository, trust)
}

#[test]
fn a_source_that_is_behind_is_read_by_what_is_known_while_that_is_good() {
    let (dir, repository, trust) = stand();
    let old = repository.copy(&dir.path().join("old"));
    repository.publish(2);
    assert_eq!(length(&trust, &repository.folder, day(2)).unwrap(), 2);
    // A stick of last week: it has the timestamp of then, and by the known one the release is the newer.
    assert_eq!(length(&trust, &old, day(3)).unwrap(), 2);
    let version = |file: &str| {
        let files = trust.files().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&files[file]).unwrap();
        value["signed"]["version"].as_u64().unwrap()
    };
    assert_eq!((version("timestamp.json"), version("targets.json")), (2, 2), "nothing went back");
    // Once the known one is over, an older one is what it looks like.
    let error = length(&trust, &old, day(10)).unwrap_err();
    assert!(!error.is_passing() && !error.is_lacking());
    let TrustError::Fault { fault } = error else { panic!("{error}") };
    assert_eq!(fault.attack(), Some(Attack::Rollback));
}

#[test]
fn a_copy_that_is_not_done_is_asked_again() {
    let (dir, repository, trust) = stand();
    repository.publish(2);
    let half = repository.copy(&dir.path().join("half"));
    std::fs::remove_file(half.join("metadata/2.targets.json")).unwrap();
    let error = length(&trust, &half, day(2)).unwrap_err();
    assert!(error.is_lacking() && !error.is_passing(), "{error}");
    assert_eq!(length(&trust, &repository.folder, day(2)).unwrap(), 2);
    // The other way round: known is version 2, and the copy has nothing but version 1 and, of it, no snapshot.
    let empty = dir.path().join("empty");
    std::fs::create_dir_all(empty.join("metadata")).unwrap();
    let error = length(&trust, &empty, day(2)).unwrap_err();
    assert!(error.is_lacking(), "{error}");
}

#[test]
fn a_root_that_the_disk_has_lost_is_walked_to_once_more() {
    let (dir, mut repository, trust) = stand();
    repository.rotate();
    repository.rotate();
    repository.publish(2);
    assert_eq!(length(&trust, &repository.folder, day(2)).unwrap(), 2);
    let kept = dir.path().join("slots/metadata");
    let version = || {
        let root: serde_json::Value = serde_json::from_slice(&trust.files().unwrap()[ROOT]).unwrap();
        root["signed"]["version"].as_u64().unwrap()
    };
    assert_eq!(version(), 3);
    // One of the two copies.
    std::fs::write(kept.join(ROOT), b"\0\0\0").unwrap();
    assert_eq!(version(), 3, "the other has it");
    assert_eq!(length(&trust, &repository.folder, day(2)).unwrap(), 2);
    assert!(check_root(&std::fs::read(kept.join(ROOT)).unwrap(), Limits::default()).is_ok(), "put back");
    // Both: from the root that came with the gateway. What else is known stays.
    for name in [ROOT, ROOT_COPY] {
        std::fs::write(kept.join(name), b"{\"signed\":").unwrap();
    }
    assert_eq!(version(), 1);
    assert_eq!(length(&trust, &repository.folder, day(3)).unwrap(), 2);
    assert_eq!(version(), 3);
    // One that is not signed by itself is none, either.
    let strange = signed(&repository.root, 9);
    std::fs::write(kept.join(ROOT), strange).unwrap();
    assert_eq!((version(), length(&trust, &repository.folder, day(3)).unwrap()), (3, 2));
}

#[test]
fn the_time_is_bounded_by_what_was_signed() {
    let (_dir, repository, trust) = stand();
    repository.publish(5);
    length(&trust, &repository.folder, day(6)).unwrap();
    let known = trust.known().unwrap();
    assert_eq!((known.signed_at, known.expires), (Some(day(5)), day(200)));
}

#[test]
fn metadata_goes_on_where_a_line_broke() {
    struct Breaks(FolderSource, u32);
    impl Source for Breaks {
        fn read(
            &mut self,
            name: &str,
            offset: u64,
            most: usize,
        ) -> Result<Option<engawa_update::Piece>, engawa_update::SourceFault> {
            let is_targets = name.ends_with("targets.json");
            if is_targets && self.1 == 0 {
                return Err(engawa_update::SourceFault::Away("the line is down".to_owned()));
            }
            self.1 = self.1.saturating_sub(u32::from(is_targets));
            self.0.read(name, offset, if is_targets { most.min(300) } else { most })
        }
    }
    let (dir, repository, trust) = stand();
    repository.publish(2);
    let size = std::fs::metadata(repository.folder.join("metadata/2.targets.json")).unwrap().len();
    let mut tries = 0;
    loop {
        tries += 1;
        assert!(tries < 20, "it begins anew each time");
        let mut line = Breaks(FolderSource::open(&repository.folder).unwrap(), 1);
        match trust.refresh(&mut line, day(2), true) {
            Ok(_) => break,
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    }
    assert_eq!(tries, size.div_ceil(300));
    assert!(dir.path().join("slots/metadata/begun").exists());
}
