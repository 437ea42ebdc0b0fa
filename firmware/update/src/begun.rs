//! Small files on their way: what has come of one stays, by its digest, so that a line that breaks goes on where it was.
//!
//! A memory, no truth: what is read back is believed by its SHA-256 alone. So nothing here is forced to the disk, and what can't
//! be kept is fetched again.

use engawa_release::Digest;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files that are kept; at the bound the one goes that was written longest ago. Each is at most as long as its caller allows.
pub const MOST_BEGUN: usize = 4;

/// A folder of small files that have begun to come, or have come.
#[derive(Clone, Debug)]
pub struct Begun {
    folder: PathBuf,
}

impl Begun {
    /// In this folder, which is made when it is needed, and is nobody else's.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, of: Digest) -> PathBuf {
        self.folder.join(of.to_string())
    }

    /// What has come of a file of at most `most` bytes; nothing where nothing has, or it can't be read.
    pub(crate) fn read(&self, of: Digest, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read =
            fs::File::open(self.path(of)).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() <= most => bytes,
            Ok(_) => {
                self.forget(of);
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Keeps what has come of it from `at` on. False where it can't be: it is fetched again then.
    pub(crate) fn add(&self, of: Digest, at: u64, bytes: &[u8]) -> bool {
        let path = self.path(of);
        let write = || {
            if at == 0 {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
                self.make_room()?;
            }
            let file =
                OpenOptions::new().write(true).create(at == 0).truncate(at == 0).mode(0o600).open(&path)?;
            file.write_all_at(bytes, at)
        };
        let written = write();
        if written.is_err() {
            self.forget(of);
        }
        written.is_ok()
    }

    /// It is of no use.
    pub(crate) fn forget(&self, of: Digest) {
        // What can't be removed is refused by its digest again, and makes room at the bound.
        let _ = fs::remove_file(self.path(of));
    }

    /// Room for one more.
    fn make_room(&self) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let at = entry.metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((at, entry.path()));
        }
        files.sort();
        let over = (files.len() + 1).saturating_sub(MOST_BEGUN);
        files.into_iter().take(over).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_kept_and_what_is_too_long_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Begun::new(&dir.path().join("metadata/begun"));
        let of = |n: u8| Digest::of(&[n]);
        assert!(begun.read(of(0), 9).is_empty());
        for n in 0..20 {
            assert!(begun.add(of(n), 0, b"abc") && begun.add(of(n), 3, b"de"));
            assert_eq!(begun.read(of(n), 5), b"abcde");
        }
        let left = fs::read_dir(dir.path().join("metadata/begun")).unwrap().count();
        assert_eq!(left, MOST_BEGUN);
        assert!(begun.read(of(19), 4).is_empty() && begun.read(of(19), 9).is_empty(), "it is forgotten");
        assert!(!begun.add(of(19), 5, b"x"), "the beginning of it is gone");
    }
}
