//! Whether a slot's files are what its manifest says, and the manifest what the table says. In steps, so that whoever
//! checks can do something else in between.

use crate::files::{Files, Look};
use crate::table::{Release, Slot, is_word};
use crate::{Digest, MANIFEST, PROGRAM};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufReader, Read};

/// How long a manifest may be, bytes.
pub const MANIFEST_MOST: u64 = 16 << 20;
/// How many files a release may have.
pub const FILES_MOST: usize = 64;

/// Why a slot can't be started.
#[derive(Debug, thiserror::Error)]
pub enum CheckFault {
    /// A file can't be read.
    #[error("{name} can't be read: {fault}")]
    Unreadable {
        /// Which.
        name: String,
        /// What the disk says.
        fault: io::Error,
    },
    /// The manifest is another one.
    #[error("its manifest.json has SHA-256 {found}, the slot table says {wanted}")]
    Manifest {
        /// That of the file.
        found: Digest,
        /// That of the table.
        wanted: Digest,
    },
    /// The manifest has the right digest and says nothing that can be used.
    #[error("its manifest.json can't be used: {0}")]
    Unusable(String),
    /// A file is another one.
    #[error("{name} has {found}, its manifest says {wanted}")]
    Other {
        /// Which.
        name: String,
        /// What it has.
        found: String,
        /// What it should have.
        wanted: String,
    },
    /// It could not be forced to the disk.
    #[error("{name} can't be forced to the disk: {fault}")]
    NotDurable {
        /// Which.
        name: String,
        /// What the disk says.
        fault: io::Error,
    },
}

impl CheckFault {
    /// Whether the disk did not give something that may be right all the same: a loose contact, no memory, too many open files.
    pub fn is_unreadable(&self) -> bool {
        use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound};
        let Self::Unreadable { fault, .. } = self else { return false };
        // What is not there, or is something else than a file, is wrong.
        let is_wrong = matches!(fault.kind(), NotFound | InvalidInput | IsADirectory | NotADirectory);
        !is_wrong && fault.raw_os_error() != Some(rustix::io::Errno::LOOP.raw_os_error())
    }
}

/// Why a slot is not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// In plain words.
    pub why: String,
    /// [`CheckFault::is_unreadable`]: it may be fit when it is read again.
    pub is_unreadable: bool,
}

impl From<CheckFault> for Unfit {
    fn from(fault: CheckFault) -> Self {
        Self { why: fault.to_string(), is_unreadable: fault.is_unreadable() }
    }
}

/// What the supervisor wants to know of a manifest. Everything else in it is for others.
#[derive(Debug, Deserialize)]
struct Listing {
    version: String,
    number: u64,
    #[serde(default)]
    floor: u64,
    files: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    size: u64,
    mode: u32,
    sha256: String,
}

struct Expected {
    name: String,
    size: u64,
    executable: bool,
    digest: Digest,
}

/// A slot that was found whole, and how its files looked then.
#[derive(Clone, Debug)]
pub struct Seen {
    slot: Slot,
    release: Release,
    stamps: Vec<(String, Look)>,
}

impl Seen {
    /// The release in this slot, if it is of this manifest and nobody has touched its files since.
    pub fn still<F: Files>(&self, files: &F, slot: Slot, manifest: Digest) -> Option<Release> {
        let untouched = |(name, look): &(String, Look)| {
            files
                .open(&format!("{slot}/{name}"))
                .and_then(|file| files.look(&file))
                .is_ok_and(|now| now == *look)
        };
        let same =
            slot == self.slot && manifest == self.release.manifest && self.stamps.iter().all(untouched);
        same.then(|| self.release.clone())
    }
}

/// A slot that is being checked.
pub struct Check<F: Files> {
    slot: Slot,
    wanted: Digest,
    durable: bool,
    release: Option<Release>,
    left: Vec<Expected>,
    stamps: Vec<(String, Look)>,
    reading: Option<(Expected, F::Reader, Sha256, u64)>,
    /// What is to be forced to the disk yet, the last one first; `None`: that has not begun.
    unsynced: Option<Vec<String>>,
}

impl<F: Files> std::fmt::Debug for Check<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check")
            .field("slot", &self.slot)
            .field("left", &self.left.len())
            .finish_non_exhaustive()
    }
}

impl<F: Files> Check<F> {
    /// A check of this slot against a manifest. `durable`: also forces its files to the disk at the end, which whoever
    /// wrote them should have done.
    pub fn new(slot: Slot, wanted: Digest, durable: bool) -> Self {
        Self {
            slot,
            wanted,
            durable,
            release: None,
            left: Vec::new(),
            stamps: Vec::new(),
            reading: None,
            unsynced: None,
        }
    }

    /// Which slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// What was seen, once all of it was found whole.
    pub fn seen(self) -> Option<Seen> {
        let whole = self.unsynced.is_some_and(|unsynced| unsynced.is_empty());
        self.release.filter(|_| whole).map(|release| Seen { slot: self.slot, release, stamps: self.stamps })
    }

    /// Goes on by about `buffer`'s length, or by one file that is forced to the disk. `None`: there is more to do.
    pub fn step(&mut self, files: &F, buffer: &mut [u8]) -> Option<Result<Release, CheckFault>> {
        self.go_on(files, buffer).transpose()
    }

    /// Goes on to the end.
    ///
    /// # Errors
    /// [`CheckFault`]: the slot can't be started.
    pub fn run(mut self, files: &F) -> Result<Release, CheckFault> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(done) = self.step(files, &mut buffer) {
                return done;
            }
        }
    }

    fn go_on(&mut self, files: &F, buffer: &mut [u8]) -> Result<Option<Release>, CheckFault> {
        let Some(release) = &self.release else {
            let (release, left) = self.read_manifest(files)?;
            (self.release, self.left) = (Some(release), left);
            return Ok(None);
        };
        let Some((expected, mut file, mut sum, read)) = self.reading.take() else {
            let Some(expected) = self.left.pop() else {
                let release = release.clone();
                return Ok(self.make_durable(files)?.then_some(release));
            };
            let file = self.open(files, &expected)?;
            self.reading = Some((expected, file, Sha256::new(), 0));
            return Ok(None);
        };
        let got = match file.read(buffer) {
            Ok(got) => got,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {
                self.reading = Some((expected, file, sum, read));
                return Ok(None);
            }
            Err(fault) => return Err(CheckFault::Unreadable { name: expected.name, fault }),
        };
        let read = read + got as u64;
        sum.update(&buffer[..got]);
        if read < expected.size && got > 0 {
            self.reading = Some((expected, file, sum, read));
            return Ok(None);
        }
        let found = Digest(sum.finalize().into());
        if read != expected.size || found != expected.digest {
            return Err(CheckFault::Other {
                found: format!("{read} bytes with SHA-256 {found}"),
                wanted: format!("{} with {}", expected.size, expected.digest),
                name: expected.name,
            });
        }
        Ok(None)
    }

    fn open(&mut self, files: &F, expected: &Expected) -> Result<F::Reader, CheckFault> {
        let unreadable = |fault| CheckFault::Unreadable { name: expected.name.clone(), fault };
        let file = files.open(&format!("{}/{}", self.slot, expected.name)).map_err(unreadable)?;
        let look = files.look(&file).map_err(unreadable)?;
        let other =
            |found: String, wanted: String| CheckFault::Other { name: expected.name.clone(), found, wanted };
        if look.size != expected.size {
            return Err(other(format!("{} bytes", look.size), expected.size.to_string()));
        }
        if expected.executable && look.mode & 0o100 == 0 {
            return Err(other(format!("mode {:o}", look.mode), "that it can be executed".to_owned()));
        }
        self.stamps.push((expected.name.clone(), look));
        Ok(file)
    }

    fn read_manifest(&mut self, files: &F) -> Result<(Release, Vec<Expected>), CheckFault> {
        let unreadable = |fault| CheckFault::Unreadable { name: MANIFEST.to_owned(), fault };
        let file = files.open(&format!("{}/{MANIFEST}", self.slot)).map_err(unreadable)?;
        self.stamps.push((MANIFEST.to_owned(), files.look(&file).map_err(unreadable)?));
        // Read once: what was hashed is what was understood, whatever happens to the file meanwhile.
        let mut file = Hashing { inner: file.take(MANIFEST_MOST), sum: Sha256::new() };
        let listing = serde_json::from_reader::<_, Listing>(BufReader::new(&mut file));
        io::copy(&mut file, &mut io::sink()).map_err(unreadable)?;
        let found = Digest(file.sum.finalize().into());
        if found != self.wanted {
            return Err(CheckFault::Manifest { found, wanted: self.wanted });
        }
        let listing = listing.map_err(|fault| CheckFault::Unusable(fault.to_string()))?;
        listing.judge(found).map_err(CheckFault::Unusable)
    }

    /// One file more. True once all are.
    fn make_durable(&mut self, files: &F) -> Result<bool, CheckFault> {
        let (durable, folder, stamps) = (self.durable, self.slot.name(), &self.stamps);
        let unsynced = self.unsynced.get_or_insert_with(|| {
            let files_of = stamps.iter().map(|(name, _)| format!("{folder}/{name}"));
            // The folder is the last one.
            let all = [folder.to_owned()].into_iter().chain(files_of.rev());
            if durable { all.collect() } else { Vec::new() }
        });
        if let Some(name) = unsynced.pop() {
            files.sync(&name).map_err(|fault| CheckFault::NotDurable { name, fault })?;
        }
        Ok(unsynced.is_empty())
    }
}

impl Listing {
    fn judge(self, manifest: Digest) -> Result<(Release, Vec<Expected>), String> {
        let Self { version, number, floor, files: listed } = self;
        if !is_word(&version) {
            return Err(format!("its version {version:?} is no plain word of 64 characters at most"));
        }
        if floor > number {
            return Err(format!(
                "its floor {floor} is above its own number {number}: it would forbid itself"
            ));
        }
        if listed.len() > FILES_MOST {
            return Err(format!("it has {} files, {FILES_MOST} can be", listed.len()));
        }
        let mut expected: Vec<Expected> = Vec::with_capacity(listed.len());
        for Listed { name, size, mode, sha256 } in listed {
            if !is_file_name(&name) || name == MANIFEST {
                return Err(format!("{name:?} is no name of a release's file"));
            }
            if expected.iter().any(|file| file.name == name) {
                return Err(format!("it has {name} twice"));
            }
            let digest = sha256.parse().map_err(|fault| format!("{name}: {fault}"))?;
            expected.push(Expected { name, size, executable: mode & 0o100 != 0, digest });
        }
        match expected.iter().find(|file| file.name == PROGRAM) {
            None => Err(format!("it has no file {PROGRAM}, which is what would be started")),
            Some(file) if !file.executable => {
                Err(format!("its file {PROGRAM} is not to be executed by its mode"))
            }
            Some(_) => Ok((Release { manifest, number, floor, version }, expected)),
        }
    }
}

/// The floor that the manifest in a slot speaks of, if there is one that can be read.
pub(crate) fn floor_of<F: Files>(files: &F, slot: Slot) -> Option<u64> {
    let file = files.open(&format!("{slot}/{MANIFEST}")).ok()?;
    let listing: Listing = serde_json::from_reader(BufReader::new(file.take(MANIFEST_MOST))).ok()?;
    Some(listing.floor)
}

/// Whether a release may have a file of this name.
pub fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

struct Hashing<R> {
    inner: R,
    sum: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.sum.update(&buffer[..got]);
        Ok(got)
    }
}
