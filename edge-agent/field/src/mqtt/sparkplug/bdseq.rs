//! Where the number of the last session is kept across restarts.
//!
//! Why: a host tells by `bdSeq` whether a death belongs to the birth it knows. With a number that began again at
//! each start, the death of a session before the restart could end the one after it.
//!
//! [`BdSeqFile`] replaces its file as a whole: after a power cut there is the old number or the new one.

use std::io::{self, Write};
use std::path::PathBuf;

/// Keeps the number of the last session. Called from a thread that may block.
pub trait BdSeqStore: Send + Sync + 'static {
    /// The number of the last session; `None` where there has been none.
    ///
    /// # Errors
    /// It can't be read.
    fn load(&self) -> io::Result<Option<u8>>;

    /// Keeps `number`; called before each connection.
    ///
    /// # Errors
    /// It can't be kept.
    fn store(&self, number: u8) -> io::Result<()>;
}

/// A file with the number in it.
#[derive(Clone, Debug)]
pub struct BdSeqFile {
    path: PathBuf,
}

impl BdSeqFile {
    /// The file at `path`; made when the first number is kept.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl BdSeqStore for BdSeqFile {
    fn load(&self) -> io::Result<Option<u8>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| {
                let path = self.path.display();
                io::Error::new(io::ErrorKind::InvalidData, format!("{path} holds no number from 0 to 255"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn store(&self, number: u8) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        writeln!(file, "{number}")?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = BdSeqFile::new(folder.path().join("bdseq"));
        assert_eq!(file.load().unwrap(), None);
        file.store(255).unwrap();
        file.store(0).unwrap();
        assert_eq!(file.load().unwrap(), Some(0));
        std::fs::write(folder.path().join("bdseq"), "256").unwrap();
        assert!(file.load().unwrap_err().to_string().contains("0 to 255"));
    }
}
