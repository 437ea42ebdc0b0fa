//! Telling a restored, moved or cloned database from the one that was last written here.
//!
//! A small file beside the database holds the number of its last opening and the machine. The database holds that number
//! and the one before (the power may go between the two writes). A database whose numbers don't fit the stamp is an older
//! copy: its journal must not give out numbers again that the cloud has seen under its old epoch.

use crate::StoreError;
use data_encoding::HEXLOWER;
use engawa_model::EpochReason;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// The file, beside the database. No backup takes it.
const STAMP_FILE: &str = "engawa.stamp";
/// What the machine's own id is mixed with, so that it is not given away.
const PURPOSE: &[u8] = b"engawa: the machine of a journal";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// The number of the last opening.
    opening: i64,
    /// A digest of the machine's id; absent where it has none.
    machine: Option<String>,
}

/// What the database says of its openings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Openings {
    pub(crate) last: i64,
    pub(crate) before: i64,
}

impl Stamp {
    pub(crate) fn new(opening: i64) -> Self {
        Self { opening, machine: machine() }
    }

    /// The stamp in `dir`; `None` where there is none, or none that can be read.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(STAMP_FILE)).ok()?).ok()
    }

    /// Writes the stamp, whole or not at all, to the disk.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(STAMP_FILE);
        let new = dir.join("engawa.stamp.new");
        let write = || {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&new)?;
            // Plain types: they have a JSON form.
            file.write_all(&serde_json::to_vec(self).unwrap_or_default())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|source| StoreError::Folder {
            doing: "writing the stamp of the database",
            path: path.clone(),
            source,
        })
    }

    /// Takes the stamp in `dir` away, for good: the next opening takes the database for a copy.
    pub(crate) fn remove(dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(STAMP_FILE);
        let remove = || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => File::open(dir)?.sync_all(),
        };
        remove().map_err(|source| StoreError::Folder {
            doing: "removing the stamp of the database",
            path: path.clone(),
            source,
        })
    }

    pub(crate) fn opening(&self) -> i64 {
        self.opening
    }
}

/// Why the database can't be the one that was last written here; `None`: it is. One without openings is of an older
/// release, or new.
pub(crate) fn misfit(stamp: Option<&Stamp>, openings: Option<Openings>) -> Option<EpochReason> {
    let openings = openings?;
    match stamp {
        Some(stamp) if stamp.machine.is_some() && stamp.machine != machine() && machine().is_some() => {
            Some(EpochReason::Moved)
        }
        Some(stamp) if [openings.last, openings.before].contains(&stamp.opening) => None,
        _ => Some(EpochReason::Restored),
    }
}

fn machine() -> Option<String> {
    let id = std::fs::read("/etc/machine-id").ok()?;
    let id = id.trim_ascii();
    let mixed = [PURPOSE, id].concat();
    (!id.is_empty()).then(|| HEXLOWER.encode(&digest(&SHA256, &mixed).as_ref()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_fits_the_last_opening_and_the_one_that_the_power_cut_off() {
        let openings = Some(Openings { last: 7, before: 6 });
        let misfit = |opening, openings| misfit(Some(&Stamp::new(opening)), openings);
        assert_eq!(misfit(7, openings), None);
        assert_eq!(misfit(6, openings), None, "the database was opened, the stamp not written yet");
        assert_eq!(misfit(5, openings), Some(EpochReason::Restored));
        assert_eq!(misfit(8, openings), Some(EpochReason::Restored));
        assert_eq!(misfit(8, None), None, "of an older release");
        assert_eq!(super::misfit(None, openings), Some(EpochReason::Restored));
        let elsewhere = Stamp { opening: 7, machine: Some("another".into()) };
        if machine().is_some() {
            assert_eq!(super::misfit(Some(&elsewhere), openings), Some(EpochReason::Moved));
        }
    }
}
