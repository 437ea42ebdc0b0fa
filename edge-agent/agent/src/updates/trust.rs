//! What releases are trusted by: signed metadata, kept durably, and brought up to date before anything is installed.

use super::files;
use engawa_model::Timestamp;
use engawa_release::Digest;
use engawa_tuf::metadata::Targets;
use engawa_tuf::{Client, Document, Fault, Known, Limits, METADATA_FOLDER, Step, Target, check_root};
use engawa_update::{Begun, FetchError, Source, fetch, fetch_known};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of trusted metadata, beside the slots.
const FOLDER: &str = "metadata";
/// The first that is trusted.
const ROOT: &str = "root.json";
/// The same once more, should the disk lose the other.
const ROOT_COPY: &str = "root.copy";
/// The folder of small files on their way, in that of metadata.
const BEGUN: &str = "begun";
/// What says which metadata is current.
const TIMESTAMP: &str = "timestamp.json";
/// What says which releases there are.
const TARGETS: &str = "targets.json";
/// Files of metadata that are read back: the roles at the top, and those delegated to.
const MOST_FILES: usize = 64;

/// Why nothing can be trusted just now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// Metadata is not to be trusted.
    #[error("{}{fault}", attack(fault))]
    Fault {
        /// Why.
        #[from]
        fault: Fault,
    },
    /// Metadata can't be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The root that trust begins with can't be read.
    #[error("the root metadata {} can't be read: {source}: put there the `root.json` that came with the gateway", path.display())]
    Root {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Trusted metadata can't be kept.
    #[error("trusted metadata can't be kept in {}: {source}", path.display())]
    Keep {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The attack that a fault looks like, for whoever reads it.
fn attack(fault: &Fault) -> String {
    fault.attack().map_or_else(String::new, |attack| format!("not trusted ({attack}): "))
}

impl TrustError {
    /// Whether trying again later may help without anybody mending anything.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Fetch(error) if error.is_passing())
    }

    /// Whether the source lacks what it should have, as a copy does that is behind or not done.
    pub(crate) fn is_lacking(&self) -> bool {
        matches!(
            self,
            Self::Fault { fault: Fault::Missing { .. } | Fault::Behind { .. } }
                | Self::Fetch(FetchError::Absent(_))
        )
    }
}

/// Files of metadata, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// Trusted metadata.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    folder: PathBuf,
    root: PathBuf,
}

impl Trust {
    /// Kept beside the slots in `dir`; at first what is in the file `root` is trusted.
    pub(crate) fn new(dir: &Path, root: &Path) -> Self {
        Self { folder: dir.join(FOLDER), root: root.to_owned() }
    }

    /// The files that are trusted, by name.
    pub(crate) fn files(&self) -> Result<Files, TrustError> {
        self.read().map(|(files, _)| files)
    }

    /// What has come of small files whose digest is known.
    pub(crate) fn begun(&self) -> Begun {
        Begun::new(&self.folder.join(BEGUN))
    }

    /// What metadata that is trusted bounds the time by.
    pub(crate) fn known(&self) -> Result<Known, TrustError> {
        Ok(Known::of(&self.files()?, Limits::default())?)
    }

    /// The files that are trusted, and why the root among them is not the one that was kept last, where it isn't. The root
    /// that came with the gateway is the last resort: from it the way to the newest is walked once more.
    fn read(&self) -> Result<(Files, Option<String>), TrustError> {
        let keep = |source| TrustError::Keep { path: self.folder.clone(), source };
        let mut files = BTreeMap::new();
        match std::fs::read_dir(&self.folder) {
            Ok(entries) => {
                for entry in entries.take(MOST_FILES * 2) {
                    let name = entry.map_err(keep)?.file_name().to_string_lossy().into_owned();
                    if !name.ends_with(".json") || name == ROOT || files.len() >= MOST_FILES {
                        continue;
                    }
                    match files::read(&self.folder.join(&name)) {
                        Ok(Some(bytes)) => drop(files.insert(name, bytes)),
                        Ok(None) => {}
                        // It is fetched again.
                        Err(error) if is_spoilt(&error) => {
                            tracing::warn!(%name, %error, "trusted metadata can't be read any more");
                        }
                        Err(error) => return Err(keep(error)),
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(keep(error)),
        }
        let mut lost = None;
        for name in [ROOT, ROOT_COPY] {
            let why = match files::read(&self.folder.join(name)) {
                Ok(None) => continue,
                Ok(Some(root)) => match check_root(&root, Limits::default()) {
                    Ok(()) => {
                        files.insert(ROOT.to_owned(), root);
                        return Ok((files, lost));
                    }
                    Err(fault) => fault.to_string(),
                },
                Err(error) if is_spoilt(&error) => error.to_string(),
                Err(error) => return Err(keep(error)),
            };
            lost = lost.or(Some(why));
        }
        let root = std::fs::read(&self.root);
        let root = root.map_err(|source| TrustError::Root { path: self.root.clone(), source })?;
        files.insert(ROOT.to_owned(), root);
        Ok((files, lost))
    }

    /// A client of what is trusted. With `keep`, a root that was lost is put back.
    fn client(&self, now: Timestamp, keep: bool) -> Result<Client, TrustError> {
        let (files, lost) = self.read()?;
        if let Some(why) = lost {
            tracing::error!(
                %why,
                folder = %self.folder.display(),
                "the trusted root can't be used any more: trust goes on from its copy, or from the root that came with the gateway"
            );
            if let (true, Some(root)) = (keep, files.get(ROOT)) {
                self.keep(ROOT, root)?;
            }
        }
        Ok(Client::open(files, now, Limits::default())?)
    }

    fn keep(&self, file: &str, bytes: &[u8]) -> Result<(), TrustError> {
        let write = |name| files::replace(&self.folder.join(name), bytes);
        let written = write(file).and_then(|()| if file == ROOT { write(ROOT_COPY) } else { Ok(()) });
        written.map_err(|source| TrustError::Keep { path: self.folder.clone(), source })
    }

    /// Brings metadata up to date from `source`, by the time `now`. What was kept before a fault stays trusted. With `keep` false
    /// nothing is written: for a look at a stick.
    pub(crate) fn refresh(
        &self,
        source: &mut dyn Source,
        now: Timestamp,
        keep: bool,
    ) -> Result<Client, TrustError> {
        let mut client = self.client(now, keep)?;
        match self.go_on(&mut client, source, keep, None) {
            // An older copy: a stick of last week, a replica that lags. What is known is newer, and good.
            Err(TrustError::Fault { fault: fault @ Fault::Behind { .. } }) => {
                tracing::info!(%fault, "releases are taken from it by the metadata that is known");
                let known = self.files()?.remove(TIMESTAMP);
                client = self.client(now, keep)?;
                self.go_on(&mut client, source, keep, known.as_deref())?;
            }
            went => went?,
        }
        Ok(client)
    }

    /// The target of this path, or that there is none.
    pub(crate) fn target(
        &self,
        client: &mut Client,
        source: &mut dyn Source,
        path: &str,
        keep: bool,
    ) -> Result<(Target, Digest), TrustError> {
        client.seek(path)?;
        self.go_on(client, source, keep, None)?;
        let target = client.target(path).ok_or_else(|| Fault::NotATarget { path: path.to_owned() })?;
        let digest = target.sha256.as_ref().and_then(|hex| hex.parse().ok());
        let digest = digest.ok_or_else(|| Fault::NoKnownHash { file: path.to_owned() })?;
        Ok((target, digest))
    }

    /// The digest of the target of this path by the metadata that was trusted last; `None` where nothing is known of it. It was
    /// judged when it was kept, and is not once more: nothing is installed by this.
    pub(crate) fn known_digest(&self, path: &str) -> Option<Digest> {
        let bytes = files::read(&self.folder.join(TARGETS)).ok()??;
        let limits = Limits::default();
        let document = Document::parse(&bytes, TARGETS, limits.targets, &limits).ok()?;
        let targets: Targets = document.read(TARGETS).ok()?;
        targets.targets.get(path)?.hashes.get("sha256")?.parse().ok()
    }

    /// With a `timestamp`: by that one, whichever the source has.
    fn go_on(
        &self,
        client: &mut Client,
        source: &mut dyn Source,
        keep: bool,
        timestamp: Option<&[u8]>,
    ) -> Result<(), TrustError> {
        let begun = self.begun();
        loop {
            match client.next()? {
                Step::Fetch { name, .. } if name == TIMESTAMP && timestamp.is_some() => {
                    client.got(timestamp.map(<[u8]>::to_vec));
                }
                Step::Fetch { name, most } => {
                    let sha256 = client.announced().and_then(|announced| announced.sha256.parse().ok());
                    let name = format!("{METADATA_FOLDER}/{name}");
                    let came = match sha256 {
                        Some(sha256) if keep => fetch_known(source, &name, sha256, most, &begun),
                        _ => fetch(source, &name, most),
                    };
                    client.got(came.map_err(too_long)?);
                }
                Step::Keep { file, bytes } if keep => self.keep(&file, &bytes)?,
                Step::Keep { .. } => {}
                Step::Done => return Ok(()),
            }
        }
    }
}

/// Whether the disk has lost what it had: a bad block, a damaged file system, a file that has grown to what none of ours is. Other
/// faults pass.
fn is_spoilt(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let lost = [Errno::IO, Errno::BADMSG, Errno::UCLEAN].map(Errno::raw_os_error);
    error.kind() == std::io::ErrorKind::FileTooLarge
        || error.raw_os_error().is_some_and(|code| lost.contains(&code))
}

/// A file that does not end is an attack, not an accident of the line.
fn too_long(error: FetchError) -> TrustError {
    match error {
        FetchError::Length { name, found, wanted } if found > wanted => {
            Fault::TooLong { file: name, most: wanted }.into()
        }
        other => TrustError::Fetch(other),
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
