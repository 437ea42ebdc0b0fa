//! What releases are trusted by: signed metadata, kept durably, and brought up to date before anything is installed.

use super::files;
use engawa_model::Timestamp;
use engawa_release::Digest;
use engawa_tuf::{Client, Fault, Limits, METADATA_FOLDER, Target, drive};
use engawa_update::{FetchError, Source, fetch};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of trusted metadata, beside the slots.
const FOLDER: &str = "metadata";
/// The first that is trusted.
const ROOT: &str = "root.json";
/// What says which metadata is current.
const TIMESTAMP: &str = "timestamp.json";
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
    pub(crate) fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, TrustError> {
        let keep = |source| TrustError::Keep { path: self.folder.clone(), source };
        let mut files = BTreeMap::new();
        match std::fs::read_dir(&self.folder) {
            Ok(entries) => {
                for entry in entries.take(MOST_FILES * 2) {
                    let name = entry.map_err(keep)?.file_name().to_string_lossy().into_owned();
                    if !name.ends_with(".json") || files.len() >= MOST_FILES {
                        continue;
                    }
                    if let Some(bytes) = files::read(&self.folder.join(&name)).map_err(keep)? {
                        files.insert(name, bytes);
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(keep(error)),
        }
        if !files.contains_key(ROOT) {
            let root = std::fs::read(&self.root);
            let root = root.map_err(|source| TrustError::Root { path: self.root.clone(), source })?;
            files.insert(ROOT.to_owned(), root);
        }
        Ok(files)
    }

    /// Brings metadata up to date from `source`, by the time `now`. What was kept before a fault stays trusted. With `keep` false
    /// nothing is written: for a look at a stick.
    pub(crate) fn refresh(
        &self,
        source: &mut dyn Source,
        now: Timestamp,
        keep: bool,
    ) -> Result<Client, TrustError> {
        let mut client = Client::open(self.files()?, now, Limits::default())?;
        match self.go_on(&mut client, source, keep, None) {
            // An older copy: a stick of last week, a replica that lags. What is known is newer, and good.
            Err(TrustError::Fault { fault: fault @ Fault::Behind { .. } }) => {
                tracing::info!(%fault, "releases are taken from it by the metadata that is known");
                let files = self.files()?;
                let known = files.get(TIMESTAMP).cloned();
                client = Client::open(files, now, Limits::default())?;
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

    /// With a `timestamp`: by that one, whichever the source has.
    fn go_on(
        &self,
        client: &mut Client,
        source: &mut dyn Source,
        keep: bool,
        timestamp: Option<&[u8]>,
    ) -> Result<(), TrustError> {
        drive(
            client,
            |name, most| match timestamp {
                Some(known) if name == TIMESTAMP => Ok(Some(known.to_vec())),
                _ => fetch(source, &format!("{METADATA_FOLDER}/{name}"), most).map_err(too_long),
            },
            |file, bytes| match keep {
                true => files::replace(&self.folder.join(file), bytes)
                    .map_err(|source| TrustError::Keep { path: self.folder.clone(), source }),
                false => Ok(()),
            },
        )
    }
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
