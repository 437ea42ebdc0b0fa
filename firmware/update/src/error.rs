//! What can go wrong with an installation.

use crate::fetch::FetchError;
use std::io;

/// An installation that came to nothing, or not yet. What is on the disk is gone on from the next time, as far as it is right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Too little room. Somebody may make some.
    #[error("{needed} bytes are needed in {folder} (with {reserve} in reserve), {free} are free or would be")]
    Space {
        /// The slot.
        folder: String,
        /// What is to be written, with the reserve, bytes.
        needed: u64,
        /// The reserve, bytes.
        reserve: u64,
        /// What is free, with what would be removed from the slot, bytes.
        free: u64,
    },
    /// Something can't be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The disk gives back something else than was written.
    #[error("{file} is not what was written: the disk is failing")]
    Medium {
        /// The file.
        file: String,
    },
    /// The system's.
    #[error("{what} in {folder}")]
    Io {
        /// What was being done.
        what: String,
        /// Where.
        folder: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Another installation is at work in the same slot.
    #[error("another installation is at work in {0}")]
    Busy(String),
    /// Whoever watched has stopped it.
    #[error("stopped")]
    Stopped,
}

impl InstallError {
    /// Whether trying again later may help without anybody mending anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_passing(),
            Self::Busy(_) | Self::Stopped | Self::Space { .. } => true,
            // Others write to the disk too, after the space was looked at.
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Medium { .. } => false,
        }
    }
}
