//! What can go wrong in the store.

use std::path::PathBuf;

/// A store that can't do what was asked; nothing already stored is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file can't be opened, or not with this key.
    #[error("opening the database {}: is the key the one it was made with?", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's answer.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process is the store's writer.
    #[error(
        "the store in {} is in use by another agent: stop that one (`systemctl stop engawa`), or give this one a `dir` of its own",
        .0.display()
    )]
    InUse(PathBuf),
    /// A migration failed; the file is as it was before.
    #[error("bringing the database to schema version {to}")]
    Migrate {
        /// The version aimed at.
        to: usize,
        /// Why.
        #[source]
        source: rusqlite_migration::Error,
    },
    /// The file is of a newer release.
    #[error(
        "the database has schema version {found}, this release knows up to {known}: install the newer release again"
    )]
    Newer {
        /// The file's.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// After this release's steps the release before could not open the file, and this one is on trial.
    #[error(
        "this release would bring the database to schema version {to}, which the release before, of version {confirmed}, can't \
         open: it can't be tried. Install a release in between first"
    )]
    NoWayBack {
        /// That of the release that was confirmed last.
        confirmed: usize,
        /// Ours.
        to: usize,
    },
    /// A statement failed.
    #[error("{doing}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// SQLite's answer.
        #[source]
        source: rusqlite::Error,
    },
    /// The vault's keys can't be opened, or not with this key.
    #[error(
        "opening the guests' keys in {}: is the vault's key the one they were made with? Put that key back; or move this \
         file away: the agent then starts with the guests' data dark, and the PMS's next list brings back who is in the \
         house",
        path.display()
    )]
    Vault {
        /// The file.
        path: PathBuf,
        /// SQLite's answer.
        #[source]
        source: rusqlite::Error,
    },
    /// A key can't be had.
    #[error(transparent)]
    Key(#[from] crate::KeyError),
    /// What is stored can't be opened, though its key is there: it was changed by somebody else, or the disk is bad.
    #[error(
        "{0} is damaged, or was changed by somebody else: restore the last backup, and tell who maintains the gateway"
    )]
    Damaged(&'static str),
    /// The system gives no random bytes, or a value can't be sealed.
    #[error("sealing personal data failed: {0}")]
    Sealing(&'static str),
    /// A read of personal data without a word of who reads, or why.
    #[error(
        "personal data is given out with a name and a reason only: `{0}` is empty or longer than 200 characters"
    )]
    Unsaid(&'static str),
    /// The folder can't be made or read.
    #[error("{doing} {}", path.display())]
    Folder {
        /// What was being done.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    /// True where the disk has no room left.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Folder { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => self.sqlite() == Some(rusqlite::ErrorCode::DiskFull),
        }
    }

    /// True where the disk did not take a write: it is full, read-only, or fails. It may take the same write later.
    pub fn is_of_disk(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
        match self {
            Self::Folder { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull
                    | std::io::ErrorKind::ReadOnlyFilesystem
                    | std::io::ErrorKind::QuotaExceeded
            ),
            _ => matches!(self.sqlite(), Some(CannotOpen | DiskFull | ReadOnly | SystemIoFailure)),
        }
    }

    fn sqlite(&self) -> Option<rusqlite::ErrorCode> {
        match self {
            Self::Sql { source, .. } => source.sqlite_error_code(),
            _ => None,
        }
    }

    pub(crate) fn sql(doing: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self::Sql { doing, source }
    }
}
