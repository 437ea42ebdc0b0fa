//! The repository's folder: read as gateways read it, written so that whoever reads in between finds a whole one.

use anyhow::{Context, bail};
use engawa_tuf::metadata::{Metadata, Root, Snapshot, Targets, Timestamp};
use engawa_tuf::{Client, Document, Fault, Limits, METADATA_FOLDER, TARGETS_FOLDER, drive};
use jiff::Timestamp as Instant;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What writers hold, so that a publication and the server's renewal don't cross.
const LOCK: &str = ".lock";
/// How much of a file is in memory while it is copied or hashed, bytes.
const PIECE: usize = 1 << 20;

/// Metadata and the document it stands in.
pub(crate) struct Known<T> {
    /// As it came, with its signatures.
    pub(crate) document: Document,
    /// What it says.
    pub(crate) metadata: T,
    /// The file.
    pub(crate) bytes: Vec<u8>,
}

/// A repository, or a draft.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// At `dir`, which need not be there yet.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where metadata of this name is.
    pub(crate) fn metadata(&self, name: &str) -> PathBuf {
        self.dir.join(METADATA_FOLDER).join(name)
    }

    /// Where the target in this file is.
    pub(crate) fn target(&self, file: &str) -> PathBuf {
        self.dir.join(TARGETS_FOLDER).join(file)
    }

    /// Makes the two folders.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        for folder in [METADATA_FOLDER, TARGETS_FOLDER] {
            let path = self.dir.join(folder);
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        Ok(())
    }

    /// Takes the repository for writing, until the file is dropped.
    pub(crate) fn lock(&self) -> anyhow::Result<File> {
        self.make()?;
        let path = self.dir.join(LOCK);
        let locking = || format!("locking {}", path.display());
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .with_context(locking)?;
        file.lock().with_context(locking)?;
        Ok(file)
    }

    /// A metadata file; `None`: there is none.
    pub(crate) fn bytes(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        read(&self.metadata(name))
    }

    /// Metadata, as far as it can be read; nobody has judged it.
    pub(crate) fn read<T: Metadata>(&self, name: &str) -> anyhow::Result<Option<Known<T>>> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        known(bytes, name).with_context(|| self.metadata(name).display().to_string()).map(Some)
    }

    /// The numbers of the files `N.ROLE.json`.
    pub(crate) fn versions(&self, role: &str) -> anyhow::Result<Vec<u64>> {
        let path = self.dir.join(METADATA_FOLDER);
        let reading = || format!("reading {}", path.display());
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(reading),
        };
        let mut versions = Vec::new();
        for entry in entries {
            let name = entry.with_context(reading)?.file_name();
            let version = name.to_str().and_then(|name| name.strip_suffix(&format!(".{role}.json")));
            versions.extend(version.and_then(|version| version.parse::<u64>().ok()));
        }
        versions.sort_unstable();
        Ok(versions)
    }

    /// The newest root.
    pub(crate) fn root(&self) -> anyhow::Result<Option<Known<Root>>> {
        let Some(version) = self.versions(Root::KIND)?.pop() else { return Ok(None) };
        self.read(&format!("{version}.root.json"))
    }

    /// The newest root, which there must be.
    pub(crate) fn some_root(&self) -> anyhow::Result<Known<Root>> {
        self.root()?.with_context(|| {
            format!(
                "there is no repository in {}: make one with `engawa-cloud release init`, sign and publish it",
                self.dir.display()
            )
        })
    }

    /// The timestamp.
    pub(crate) fn timestamp(&self) -> anyhow::Result<Option<Known<Timestamp>>> {
        self.read("timestamp.json")
    }

    /// The snapshot that the timestamp means.
    pub(crate) fn snapshot(&self) -> anyhow::Result<Option<Known<Snapshot>>> {
        let Some(timestamp) = self.timestamp()? else { return Ok(None) };
        let Some(meta) = timestamp.metadata.meta.get("snapshot.json") else { return Ok(None) };
        self.read(&format!("{}.snapshot.json", meta.version))
    }

    /// The targets that the snapshot means.
    pub(crate) fn targets(&self) -> anyhow::Result<Option<Known<Targets>>> {
        let Some(snapshot) = self.snapshot()? else { return Ok(None) };
        let Some(meta) = snapshot.metadata.meta.get("targets.json") else { return Ok(None) };
        self.read(&format!("{}.targets.json", meta.version))
    }

    /// What a gateway has kept that is up to date with this repository but for its root.
    pub(crate) fn kept(&self) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        let mut kept = BTreeMap::new();
        for (name, bytes) in [
            ("timestamp.json", self.timestamp()?.map(|known| known.bytes)),
            ("snapshot.json", self.snapshot()?.map(|known| known.bytes)),
            ("targets.json", self.targets()?.map(|known| known.bytes)),
        ] {
            kept.extend(bytes.map(|bytes| (name.to_owned(), bytes)));
        }
        Ok(kept)
    }

    /// The repository as a gateway sees it that trusts the root in `kept`, at the time `now`, with `over` in place of files of
    /// the folder.
    pub(crate) fn client(
        &self,
        kept: BTreeMap<String, Vec<u8>>,
        over: &BTreeMap<String, Vec<u8>>,
        now: Instant,
    ) -> anyhow::Result<Client> {
        let mut client = Client::open(kept, now, Limits::default())?;
        drive(
            &mut client,
            |name, _| match over.get(name) {
                Some(bytes) => Ok(Some(bytes.clone())),
                None => self.bytes(name),
            },
            |_, _| Ok::<(), anyhow::Error>(()),
        )?;
        Ok(client)
    }

    /// As a new gateway sees it, that trusts `root`; without one, the repository's first.
    pub(crate) fn trusted(&self, root: Option<&Path>, now: Instant) -> anyhow::Result<Client> {
        let bytes = match root {
            Some(path) => fs::read(path).with_context(|| format!("reading {}", path.display()))?,
            None => {
                let first = self.versions(Root::KIND)?.first().copied();
                let name = format!("{}.root.json", first.unwrap_or(1));
                self.bytes(&name)?
                    .with_context(|| format!("there is no repository in {}", self.dir.display()))?
            }
        };
        self.client(BTreeMap::from([("root.json".to_owned(), bytes)]), &BTreeMap::new(), now)
    }

    /// Puts a metadata file there, whole or not at all, durably.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        write(&self.metadata(name), bytes)
    }
}

/// Metadata out of its bytes.
pub(crate) fn known<T: Metadata>(bytes: Vec<u8>, name: &str) -> Result<Known<T>, Fault> {
    let limits = Limits::default();
    let document = Document::parse(&bytes, name, limits.targets, &limits)?;
    let metadata = document.read(name)?;
    Ok(Known { document, metadata, bytes })
}

/// A file, where there is one.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Shows a file piece by piece.
pub(crate) fn pieces(path: &Path, mut piece: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let reading = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(reading)?;
    let mut buffer = vec![0; PIECE];
    loop {
        match file.read(&mut buffer).with_context(reading)? {
            0 => return Ok(()),
            n => piece(&buffer[..n])?,
        }
    }
}

/// Writes a file that must not be there yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!(
                "{} is there already, and is not overwritten: remove it or choose another name",
                path.display()
            )
        }
        Err(error) => return Err(error).with_context(|| format!("making {}", path.display())),
    };
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .with_context(|| format!("writing {}", path.display()))
}

/// Writes a file, whole or not at all, durably: another name first, then renamed.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_with(path, |file| file.write_all(bytes).with_context(|| format!("writing {}", path.display())))
}

/// The same, with whatever `content` writes.
pub(crate) fn write_with(
    path: &Path,
    content: impl FnOnce(&mut File) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    // The parent of a bare name is no name at all: the folder that one is in.
    let folder = match path.parent().with_context(writing)? {
        folder if folder.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    fs::create_dir_all(folder).with_context(writing)?;
    let mut temporary = path.as_os_str().to_owned();
    // One writer at a time; what a crash has left is overwritten.
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).with_context(writing)?;
    let written = content(&mut file).and_then(|()| {
        file.sync_all().with_context(writing)?;
        fs::rename(&temporary, path).with_context(writing)
    });
    if written.is_err() {
        // A full disk is not kept full by what can't be used.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(writing)
}
