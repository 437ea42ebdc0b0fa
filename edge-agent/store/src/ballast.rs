//! Room that is set aside on the disk, so that a full one still takes deletions, acknowledgements and alarms.
//!
//! A file of that size lies beside the database. When a write finds the disk full a slice of it is given up, and the write
//! is tried again at once: whoever else fills the disk can take what is left of a slice, and not all of it. When there is
//! room once more the file is made whole.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file, beside the database.
const BALLAST_FILE: &str = "ballast";
/// What is given up at once, bytes: some transactions.
const SLICE: u64 = 256 << 10;

/// The room that is set aside.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    pub(crate) fn new(dir: &Path, bytes: u64) -> Self {
        Self { path: dir.join(BALLAST_FILE), bytes }
    }

    /// Makes sure that the room is there. False where the disk does not have all of it; what it has is kept.
    pub(crate) fn keep(&self) -> bool {
        if self.bytes == 0 || std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() == self.bytes) {
            return true;
        }
        self.make().is_ok()
    }

    fn make(&self) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, self.bytes) {
            // A file system that can't set room aside has it written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let zeros = [0_u8; 64 << 10];
                let mut left = self.bytes;
                while left > 0 {
                    let part = left.min(zeros.len() as u64);
                    // At most the length of `zeros`, which fits.
                    file.write_all(&zeros[..usize::try_from(part).unwrap_or(zeros.len())])?;
                    left -= part;
                }
            }
            other => other?,
        }
        file.sync_all()
    }

    /// Gives a slice up. False where nothing is left.
    pub(crate) fn release(&self) -> bool {
        let Ok(left) = std::fs::metadata(&self.path).map(|meta| meta.len()) else { return false };
        let file = OpenOptions::new().write(true).open(&self.path);
        left > 0 && file.and_then(|file| file.set_len(left.saturating_sub(SLICE))).is_ok()
    }
}
