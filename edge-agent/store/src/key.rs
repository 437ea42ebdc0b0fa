//! The key of the database: 256 bits, in a file that only the service can read, or handed over by systemd.

use crate::DATABASE_FILE;
use data_encoding::HEXLOWER;
use rand::TryRngCore;
use rusqlite::Connection;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;
use zeroize::Zeroizing;

/// A raw SQLCipher key. Its text never appears in a log: there is no `Debug` that shows it.
#[derive(Clone)]
pub struct DatabaseKey(Zeroizing<String>);

/// A key that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or written.
    #[error("{doing} the key file {}{}", path.display(), remedy(source))]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others could read it.
    #[error("the key file {} can be read by others (mode {mode:o}): run `chmod 600 {}`", path.display(), path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not 64 hexadecimal digits.
    #[error("the key file {} does not hold 64 hexadecimal digits: put the right key back", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
    },
    /// The key of something that is there is gone.
    #[error(
        "the key file {} is missing, and {} is locked with it: put the key back from its safe, or hand it over as a systemd \
         credential (deploy/README.md). Where it is lost for good, move {} away {without}",
        path.display(), locked.display(), locked.display()
    )]
    Lost {
        /// The key's file.
        path: PathBuf,
        /// What it opens.
        locked: PathBuf,
        /// What is then.
        without: &'static str,
    },
    /// No randomness.
    #[error("the system gave no random bytes for a new key")]
    Random,
}

impl std::fmt::Debug for DatabaseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseKey(..)")
    }
}

/// What whoever has no such file can do.
fn remedy(why: &std::io::Error) -> &'static str {
    match why.kind() {
        std::io::ErrorKind::NotFound => {
            " (the agent makes it at its first start: did it run, and is [store] right?)"
        }
        std::io::ErrorKind::PermissionDenied => " (run this as root or as the agent's user)",
        _ => "",
    }
}

/// Fails where `locked` is there and its key is not: a new one would open nothing, and hide that the old one is lost.
pub(crate) fn not_lost(path: &Path, locked: &Path, without: &'static str) -> Result<(), KeyError> {
    // What can't be looked at is told of when it is read.
    if locked.exists() && !path.try_exists().unwrap_or(true) {
        return Err(KeyError::Lost { path: path.to_owned(), locked: locked.to_owned(), without });
    }
    Ok(())
}

impl DatabaseKey {
    /// Reads the key from `path`; makes a new one there (mode 0600) if the file is absent.
    ///
    /// # Errors
    /// A file that others can read, that is malformed, or that can't be read or made.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Self::create(path)
            }
            other => other,
        }
    }

    /// As [`Self::load_or_create`], for the database in `dir`: where that is there and its key is not, none is made anew.
    ///
    /// # Errors
    /// As [`Self::load_or_create`], and a key that is lost.
    pub fn load_or_create_for(path: &Path, dir: &Path) -> Result<Self, KeyError> {
        let without = "(and audit.db with it): the house then begins anew and hears from its PMS who is in";
        not_lost(path, &dir.join(DATABASE_FILE), without)?;
        Self::load_or_create(path)
    }

    /// Reads the key from `path`.
    ///
    /// # Errors
    /// As [`Self::load_or_create`], and an absent file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let fault = |doing| move |source| KeyError::File { doing, path: path.to_owned(), source };
        let meta = std::fs::metadata(path).map_err(fault("reading"))?;
        let mode = meta.permissions().mode() & 0o777;
        // systemd hands credentials over as 0400 or 0440 in a folder of the service's own.
        if mode & 0o037 != 0 {
            return Err(KeyError::Open { path: path.to_owned(), mode });
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(fault("reading"))?);
        let digits = text.trim();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(KeyError::Form { path: path.to_owned() });
        }
        Ok(Self::of(Zeroizing::new(digits.to_owned())))
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        let fault = |doing| move |source| KeyError::File { doing, path: path.to_owned(), source };
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::rngs::OsRng.try_fill_bytes(bytes.as_mut()).map_err(|_| KeyError::Random)?;
        let mut digits = Zeroizing::new(String::with_capacity(64));
        for byte in bytes.iter() {
            // Writing to a String has no failing case.
            let _ = write!(digits, "{byte:02x}");
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(fault("making"))?;
        file.write_all(digits.as_bytes()).and_then(|()| file.sync_all()).map_err(fault("writing"))?;
        Ok(Self::of(digits))
    }

    /// Whoever opens a database has a key first. SQLite tells a second thread that it is ready while SQLCipher still gets
    /// ready in the first (`sqlite3_initialize` notes that it is done before it calls `SQLITE_EXTRA_INIT`), and the second
    /// thread's key is then refused: one connection has come and gone before anybody has a key.
    fn of(digits: Zeroizing<String>) -> Self {
        static READY: Once = Once::new();
        // Whatever it says is said again, with its file, by the connection that is wanted.
        READY.call_once(|| drop(Connection::open_in_memory()));
        Self(digits)
    }

    /// A key made of 32 bytes.
    pub(crate) fn of_bytes(bytes: &[u8; 32]) -> Self {
        Self::of(Zeroizing::new(HEXLOWER.encode(bytes)))
    }

    /// The key's 64 hexadecimal digits.
    pub(crate) fn digits(&self) -> &str {
        &self.0
    }

    /// The statement that unlocks a connection.
    pub(crate) fn pragma(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("PRAGMA key = \"x'{}'\";", self.0.as_str()))
    }
}
