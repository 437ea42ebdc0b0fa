//! Where a repository's files are read: the link to the cloud, a USB stick. The same checks follow, whichever it is.

use crate::name::BadName;

/// The most bytes of one [`Piece`], bytes.
pub const MOST_PIECE: usize = 256 << 10;

/// Bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// They: at most as many as were asked for, none at the end of the file only.
    pub bytes: Vec<u8>,
    /// How long the file is, bytes.
    pub total: u64,
}

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// Not just now: the link is down, or waits. Whoever asks again later goes on where it was.
    #[error("{0}")]
    Away(String),
    /// A name that no repository has.
    #[error(transparent)]
    Name(#[from] BadName),
    /// It can't be read.
    #[error("{name} can't be read: {reason}")]
    Broken {
        /// The file.
        name: String,
        /// Why.
        reason: String,
    },
}

/// A repository of releases, read piece by piece. Its methods block.
pub trait Source: Send {
    /// Bytes of the file `name` ([`crate::name::in_repository`]) from `offset` on, at most `most` and never more than [`MOST_PIECE`];
    /// `None` where there is no such file.
    ///
    /// # Errors
    /// Why there are no bytes now.
    fn read(&mut self, name: &str, offset: u64, most: usize) -> Result<Option<Piece>, SourceFault>;
}
