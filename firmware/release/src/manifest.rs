//! The manifest: what is in a release, and where its bytes are. JSON, format 1.
//!
//! Unknown fields are passed over, so that a newer release may say more. What is known is checked as a whole before anything
//! of it is used: names, modes, sums of sizes, ranges, and the ratio of what is unpacked to what is fetched.

use crate::cut::Cut;
use crate::name::{self, BadName};
use crate::{BadDigest, Digest};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The format that this release writes and reads.
pub const FORMAT: u32 = 1;
/// The longest manifest, bytes.
pub const MOST_MANIFEST: usize = 8 << 20;
/// The most files of a release.
pub const MOST_FILES: usize = 64;
/// The most chunks of a release.
pub const MOST_CHUNKS: usize = 65_536;
/// The most patches beside a release.
pub const MOST_PATCHES: usize = 256;
/// The most kinds of board that one release names.
pub const MOST_HARDWARE: usize = 32;
/// The most that a release may be when it is unpacked, bytes.
pub const MOST_UNPACKED: u64 = 2 << 30;
/// The longest chunk when it is unpacked, bytes.
pub const MOST_CHUNK: u64 = 1 << 20;
/// How much more a release may be unpacked than packed, above [`RATIO_FROM`]. Programs come to 3, file systems to 5.
pub const MOST_RATIO: u64 = 100;
/// So many bytes may be unpacked whatever the ratio.
pub const RATIO_FROM: u64 = 16 << 20;
/// The highest release counter: what every reader of JSON takes for the same number (RFC 8259, section 6).
pub const MOST_NUMBER: u64 = (1 << 53) - 1;
/// The longest version, bytes: the supervisor's table of slots has no more room.
pub const MOST_VERSION: usize = 64;
/// The file of an application that the supervisor starts.
pub const PROGRAM: &str = "engawa";
/// What a file may be allowed at most: nobody but its owner writes, and nothing runs as somebody else.
pub const MOST_MODE: u32 = 0o755;

/// What a release updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The agent and what lies beside it.
    Application,
    /// The image below it: kernel, root file system.
    System,
}

impl Kind {
    /// As the manifest and a target's `custom` say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::System => "system",
        }
    }
}

/// A range of the pack with a piece of a file, compressed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Of its bytes when they are unpacked.
    pub sha256: Digest,
    /// So many bytes when they are unpacked.
    pub size: u64,
    /// Where it begins in the pack.
    pub at: u64,
    /// So many bytes there.
    pub packed: u64,
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name in the slot, without any folder.
    pub name: String,
    /// Its permissions, such as 0o755 (493 in JSON): see [`MOST_MODE`].
    pub mode: u32,
    /// Its length, bytes.
    pub size: u64,
    /// Of all of it.
    pub sha256: Digest,
    /// Its pieces, in order.
    pub chunks: Vec<Chunk>,
}

/// The pack: all chunks behind each other, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Of all of it.
    pub sha256: Digest,
    /// Its length, bytes.
    pub size: u64,
}

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A zstd frame with the old file as its prefix, as `zstd --patch-from` writes it. For files whose parts move.
    #[default]
    Zstd,
    /// A zstd frame with what bsdiff writes: differences to the old file, byte by byte, and what is new. For programs, all of
    /// whose addresses change by little.
    Bsdiff,
    /// Of a newer release: not to be used.
    #[serde(other)]
    Unknown,
}

/// What makes a file of a former release into one of this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The name of the file of this release that it makes.
    pub file: String,
    /// The SHA-256 of the old file.
    pub from: Digest,
    /// Of the patch.
    pub sha256: Digest,
    /// The length of the old file, bytes: it is in memory while the patch is applied.
    pub size: u64,
    /// The length of the patch, bytes.
    pub packed: u64,
    /// How it is to be read.
    #[serde(default)]
    pub form: Form,
}

/// What is in a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The manifest's format: see [`FORMAT`].
    pub format: u32,
    /// What it is a release of, such as `engawa`.
    pub name: String,
    /// For people: a semantic version.
    pub version: String,
    /// The release counter, which only grows.
    pub number: u64,
    /// Once this release is confirmed, none with a lower number is installed any more.
    pub floor: u64,
    /// What it updates.
    pub kind: Kind,
    /// What it runs on, such as `aarch64-unknown-linux-gnu`.
    pub triple: String,
    /// The boards that it is for; empty: any.
    #[serde(default)]
    pub hardware: Vec<String>,
    /// When it was made, seconds since the Unix epoch.
    pub built: i64,
    /// How its files are cut: with the same measures old files give the same chunks.
    #[serde(default)]
    pub cut: Cut,
    /// The files.
    pub files: Vec<File>,
    /// Where their chunks are.
    pub pack: Pack,
    /// Shorter ways from former releases.
    #[serde(default)]
    pub patches: Vec<Patch>,
}

/// A manifest that can't be used. Each says where, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Longer than any manifest is.
    #[error("a manifest of {0} bytes; the most is {MOST_MANIFEST}")]
    TooLong(usize),
    /// Not JSON, or something is missing.
    #[error("the manifest can't be read")]
    Json(#[source] serde_json::Error),
    /// Of a format that a newer agent knows.
    #[error(
        "the manifest is of format {0}, this agent reads {FORMAT}: an agent in between is to be installed first"
    )]
    Format(u32),
    /// A name that can't be.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A digest that is none.
    #[error(transparent)]
    Digest(#[from] BadDigest),
    /// The version is no semantic version.
    #[error("`{version}` is no semantic version: {reason}")]
    Version {
        /// What stands there.
        version: String,
        /// Why it is none.
        reason: String,
    },
    /// The version is too long to be kept.
    #[error("the version has {0} characters; at most {MOST_VERSION} can be kept in the table of slots")]
    LongVersion(usize),
    /// An application without the program that is started.
    #[error("there is no executable file `{PROGRAM}` in it ({0}), which is what the supervisor starts")]
    Program(&'static str),
    /// A number after which there would be none.
    #[error("number {0}: at most {MOST_NUMBER} can be, for numbers only grow")]
    Number(u64),
    /// The number is below the floor that the release itself sets.
    #[error("number {number} is below the release's own floor {floor}")]
    Floor {
        /// The number.
        number: u64,
        /// The floor.
        floor: u64,
    },
    /// Too many of something.
    #[error("{count} {what}; at most {most} can be")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many may be.
        most: usize,
    },
    /// Two files of one name.
    #[error("two files are called `{0}`")]
    Twice(String),
    /// Permissions that nothing of a release has.
    #[error("{name}: mode {mode:o}; only what is within {MOST_MODE:o} can be")]
    Mode {
        /// The file.
        name: String,
        /// Its mode.
        mode: u32,
    },
    /// Measures of cutting that can't be.
    #[error("files can't be cut with min {}, average {}, max {}: {reason}", .cut.min, .cut.average, .cut.max)]
    Cut {
        /// The measures.
        cut: Cut,
        /// Which is wrong.
        reason: &'static str,
    },
    /// A chunk that can't be.
    #[error("{file}: chunk {number}: {reason}")]
    Chunk {
        /// The file.
        file: String,
        /// Which, from 0.
        number: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The chunks don't make up the file.
    #[error("{file}: its chunks come to {chunks} bytes, the file has {size}")]
    Sizes {
        /// The file.
        file: String,
        /// Its length.
        size: u64,
        /// What its chunks come to.
        chunks: u64,
    },
    /// A patch that can't be.
    #[error("patch {number} (of {file}): {reason}")]
    Patch {
        /// Which, from 0.
        number: usize,
        /// Of what.
        file: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// It would unpack to too much.
    #[error(
        "a release of {packed} bytes that unpacks to {unpacked}; the most is {MOST_UNPACKED}, and {MOST_RATIO} times what it is packed"
    )]
    Bomb {
        /// When it is unpacked.
        unpacked: u64,
        /// What is fetched.
        packed: u64,
    },
}

impl Manifest {
    /// Reads and checks a manifest. That these are the bytes that The Update Framework speaks of is for the caller to check.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MOST_MANIFEST {
            return Err(ManifestError::TooLong(bytes.len()));
        }
        /// The format alone: of a newer one nothing else can be expected to fit.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if head.format != FORMAT {
            return Err(ManifestError::Format(head.format));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// As it is stored and signed. The same manifest gives the same bytes.
    ///
    /// # Errors
    /// It is none that [`Self::read`] would take.
    pub fn write(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let bytes = serde_json::to_vec(self).map_err(ManifestError::Json)?;
        if bytes.len() > MOST_MANIFEST { Err(ManifestError::TooLong(bytes.len())) } else { Ok(bytes) }
    }

    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }

    /// What all files come to, bytes.
    pub fn unpacked(&self) -> u64 {
        // Checked to be no more than MOST_UNPACKED, and saturating where it was not checked.
        self.files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size))
    }

    /// Whether it may be installed on this board: its triple, and one of its boards where it names any.
    pub fn is_for(&self, triple: &str, hardware: &str) -> bool {
        self.triple == triple
            && (self.hardware.is_empty() || self.hardware.iter().any(|name| name == hardware))
    }

    /// Where the TUF target of its manifest is.
    ///
    /// # Errors
    /// The system's hardware is not named, or is more than one.
    pub fn folder(&self) -> Result<String, ManifestError> {
        match (self.kind, self.hardware.as_slice()) {
            (Kind::Application, _) => Ok(format!("{}/{}/{}", self.name, self.triple, self.version)),
            (Kind::System, [hardware]) => Ok(format!("system/{hardware}/{}", self.version)),
            (Kind::System, several) => Err(ManifestError::TooMany {
                what: "boards of a system release",
                count: several.len(),
                most: 1,
            }),
        }
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.format != FORMAT {
            return Err(ManifestError::Format(self.format));
        }
        for (what, count, most) in [
            ("files", self.files.len(), MOST_FILES),
            ("patches", self.patches.len(), MOST_PATCHES),
            ("kinds of board", self.hardware.len(), MOST_HARDWARE),
            ("chunks", self.files.iter().map(|file| file.chunks.len()).sum(), MOST_CHUNKS),
        ] {
            if count > most {
                return Err(ManifestError::TooMany { what, count, most });
            }
        }
        if let Err(error) = semver::Version::parse(&self.version) {
            let version = self.version.chars().take(80).collect();
            return Err(ManifestError::Version { version, reason: error.to_string() });
        }
        if self.version.len() > MOST_VERSION {
            return Err(ManifestError::LongVersion(self.version.len()));
        }
        if self.number > MOST_NUMBER {
            return Err(ManifestError::Number(self.number));
        }
        if self.number < self.floor {
            return Err(ManifestError::Floor { number: self.number, floor: self.floor });
        }
        name::segment(&self.name)?;
        name::segment(&self.version)?;
        name::segment(&self.triple)?;
        self.hardware.iter().try_for_each(|hardware| name::segment(hardware))?;
        self.cut.check()?;
        self.check_files()?;
        // What is started, by the same rule as the supervisor's: what it would refuse is neither published nor fetched.
        match (self.kind, self.file(PROGRAM)) {
            (Kind::Application, None) => return Err(ManifestError::Program("no such file")),
            (Kind::Application, Some(file)) if file.mode & 0o100 == 0 => {
                return Err(ManifestError::Program("its mode does not let it be executed: chmod +x"));
            }
            _ => {}
        }
        self.check_patches()?;
        let unpacked = self.unpacked();
        if unpacked > MOST_UNPACKED
            || unpacked > self.pack.size.saturating_mul(MOST_RATIO).saturating_add(RATIO_FROM)
        {
            return Err(ManifestError::Bomb { unpacked, packed: self.pack.size });
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), ManifestError> {
        let mut names = BTreeSet::new();
        let mut places: BTreeMap<Digest, (u64, u64, u64)> = BTreeMap::new();
        let mut begun: BTreeMap<u64, Digest> = BTreeMap::new();
        for file in &self.files {
            name::file(&file.name)?;
            if !names.insert(file.name.as_str()) {
                return Err(ManifestError::Twice(file.name.clone()));
            }
            if file.mode & !MOST_MODE != 0 {
                return Err(ManifestError::Mode { name: file.name.clone(), mode: file.mode });
            }
            let mut sum = 0_u64;
            for (number, chunk) in file.chunks.iter().enumerate() {
                let place = (chunk.at, chunk.packed, chunk.size);
                let known = *places.entry(chunk.sha256).or_insert(place);
                // One place of the pack has one content: what is fetched is known by its place.
                let alone = *begun.entry(chunk.at).or_insert(chunk.sha256) == chunk.sha256;
                if let Some(reason) = chunk.fault(self.pack.size, known == place && alone) {
                    return Err(ManifestError::Chunk { file: file.name.clone(), number, reason });
                }
                sum = sum.saturating_add(chunk.size);
            }
            if sum != file.size {
                return Err(ManifestError::Sizes { file: file.name.clone(), size: file.size, chunks: sum });
            }
        }
        Ok(())
    }

    fn check_patches(&self) -> Result<(), ManifestError> {
        for (number, patch) in self.patches.iter().enumerate() {
            let fault = match self.file(&patch.file) {
                None => "there is no such file in the release",
                Some(file) if file.sha256 == patch.from => "the file is what it was before",
                Some(_) if patch.packed == 0 => "it has no bytes",
                Some(_) if patch.packed > MOST_UNPACKED || patch.size > MOST_UNPACKED => "it is too long",
                Some(_) => continue,
            };
            let file = patch.file.chars().take(80).collect();
            return Err(ManifestError::Patch { number, file, reason: fault });
        }
        Ok(())
    }
}

impl Chunk {
    /// What can't be about it.
    fn fault(&self, pack: u64, one_place: bool) -> Option<&'static str> {
        if self.size == 0 || self.packed == 0 {
            Some("it has no bytes")
        } else if self.size > MOST_CHUNK {
            Some("it is longer than a chunk may be")
        } else if self.packed > self.size + self.size / 128 + 64 {
            // zstd's bound: what can't be compressed is stored as it is, with a header.
            Some("it is longer packed than unpacked")
        } else if self.at.checked_add(self.packed).is_none_or(|end| end > pack) {
            Some("it lies outside the pack")
        } else if !one_place {
            Some("the same bytes have two places in the pack, or one place has two contents")
        } else {
            None
        }
    }
}
