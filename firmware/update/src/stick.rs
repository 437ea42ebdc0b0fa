//! A repository in a folder: a USB stick, the cloud's own disk.

use crate::folder::Folder;
use engawa_release::name;
use engawa_release::source::{MOST_PIECE, Piece, Source, SourceFault};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A repository in a folder.
#[derive(Debug)]
pub struct FolderSource(Folder);

impl FolderSource {
    /// Opens the repository: the folder with `metadata` and `targets` in it.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Folder::open(path).map(Self)
    }

    /// How long a file is, bytes; `None` where there is no such file.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn size(&self, name: &str) -> Result<Option<u64>, SourceFault> {
        name::in_repository(name)?;
        let size = || -> io::Result<Option<u64>> {
            self.0.read(name)?.map(|file| Ok(file.metadata()?.len())).transpose()
        };
        size().map_err(|error| SourceFault::Broken { name: name.to_owned(), reason: error.to_string() })
    }

    /// Bytes of a file, as [`Source::read`].
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn piece(&self, name: &str, offset: u64, most: usize) -> Result<Option<Piece>, SourceFault> {
        name::in_repository(name)?;
        let broken =
            |error: io::Error| SourceFault::Broken { name: name.to_owned(), reason: error.to_string() };
        let Some(file) = self.0.read(name).map_err(broken)? else { return Ok(None) };
        let total = file.metadata().map_err(broken)?.len();
        let rest = usize::try_from(total.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; most.min(MOST_PIECE).min(rest)];
        file.read_exact_at(&mut bytes, offset).map_err(broken)?;
        Ok(Some(Piece { bytes, total }))
    }
}

impl Source for FolderSource {
    fn read(&mut self, name: &str, offset: u64, most: usize) -> Result<Option<Piece>, SourceFault> {
        self.piece(name, offset, most)
    }
}
