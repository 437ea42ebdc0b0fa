//! The writing connection, and the right to it.

use crate::{DatabaseKey, StoreError};
use rusqlite::Connection;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Beside the database; its lock tells that there is a writer.
const LOCK_FILE: &str = "engawa.lock";

/// The right to write: two writers would each give out the journal's next number.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let fault = |source| StoreError::Folder { doing: "locking the store with", path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(fault(source)),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place that opens the writing connection, with its pragmas"
)]
pub(crate) fn connect(path: &Path, key: &DatabaseKey) -> Result<Connection, StoreError> {
    let fault = |source| StoreError::Open { path: path.to_owned(), source };
    let connection = Connection::open(path).map_err(fault)?;
    connection.execute_batch(&key.pragma()).map_err(fault)?;
    // WAL so that readers never wait; FULL because an acknowledged change must survive a power cut.
    connection
        .execute_batch(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON; PRAGMA cache_size = -2048; PRAGMA wal_autocheckpoint = 1000;",
        )
        .map_err(fault)?;
    Ok(connection)
}
