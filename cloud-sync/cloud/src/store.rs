//! The cloud's memory: one SQLite file, plain, so that the `sqlite3` command line can read it.
//!
//! Why one file: journal rows, their high-water mark and the projections of them move in ONE transaction, so that
//! a row that comes twice has its effect once, whatever crashed in between.
//!
//! Terms: an *epoch* is one life of a gateway's journal; a *mark* is the highest sequence number that is durable
//! here, per gateway, epoch and lane; a *projection* is a table that says what the rows add up to (rooms, stays,
//! postings).
//!
//! Never: a mark that runs ahead of its rows; a row changed after it came; an answer before its commit.

pub mod bundles;
pub mod commands;
pub mod erasure;
mod error;
pub mod gateways;
pub mod house_settings;
pub mod ingest;
pub mod listing;
pub mod migrations;
mod postings;
pub(crate) mod projection;
pub mod rollouts;
pub mod settings;
pub mod standing;
pub mod trust;
mod watch;
mod writer;

pub use error::StoreError;
pub use watch::Watch;
pub use writer::Writer;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The database's file in the cloud's folder.
pub const DATABASE_FILE: &str = "cloud.db";

/// How often a writer that finds the file taken looks again: one millisecond each.
const TRIES: i32 = 30_000;
/// Prepared statements kept by a connection: all that ingest and its projections use.
const STATEMENTS: usize = 64;
/// Memory for pages of a reading connection, KiB: there may be [`Readers::KEPT`] of them.
const READER_CACHE_KIB: i64 = 512;
/// What is left of the write-ahead log after a checkpoint, bytes: a slow reader must not make it large for good.
const WAL_KEPT: i64 = 64 << 20;

/// Looks again in a millisecond. SQLite's own waiting backs off to 100 ms a look, and would hardly ever meet one of the
/// short moments in which a busy `serve` leaves the file free.
fn wait_for_writer(tries: i32) -> bool {
    std::thread::park_timeout(Duration::from_millis(1));
    tries < TRIES
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place that opens writing connections, with their pragmas"
)]
fn connect(path: &Path, make: OpenFlags) -> Result<Connection, StoreError> {
    let fault = |source| StoreError::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | make;
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection.busy_handler(Some(wait_for_writer)).map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // WAL so that readers never wait; FULL because an acknowledged row must survive a power cut.
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA journal_size_limit = {WAL_KEPT};"
        ))
        .map_err(fault)?;
    Ok(connection)
}

/// Makes the file, with this release's schema. It is for the owner's eyes only.
///
/// # Errors
/// There is one already, or it can't be made.
pub fn create(path: &Path) -> Result<Connection, StoreError> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|source| StoreError::Create { path: path.to_owned(), source })?;
    open(path)
}

/// Opens the file for writing and brings it to this release's schema. Never makes one: a slip in a folder's name must
/// not look like an empty cloud.
///
/// # Errors
/// A file that is absent, can't be opened, is damaged, or is of a newer release.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = connect(path, OpenFlags::empty())?;
    migrations::migrate_to(&mut connection, migrations::LATEST)?;
    Ok(connection)
}

/// Opens the file for reading only.
///
/// # Errors
/// A file that is absent, damaged, or of another release's schema.
#[allow(clippy::disallowed_methods, reason = "the one place that opens reading connections")]
pub fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let fault = |source| StoreError::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection
        .execute_batch(&format!("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -{READER_CACHE_KIB}"))
        .map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())).map_err(fault)?;
    migrations::require_latest(&connection)?;
    Ok(connection)
}

/// Does `work` in one durable transaction of its own: for the command line.
///
/// # Errors
/// What `work` returned (nothing is then written), or SQLite's.
pub fn write<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // IMMEDIATE: a transaction that begins by reading could not wait for another writer, it would fail.
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(StoreError::sql("waiting for the database's other writers"))?;
    let value = work(&transaction)?;
    transaction.commit().map_err(StoreError::sql("making the write durable"))?;
    Ok(value)
}

/// Read-only connections, opened when needed.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// How many idle connections are kept; further ones are closed after use. To open one costs more than to use it.
    pub const KEPT: usize = 32;

    /// Readers of the file `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    /// Does `work` with a connection that nobody else uses meanwhile.
    ///
    /// # Errors
    /// What `work` returned, or that the file can't be opened.
    pub fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let value = work(&connection)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < Self::KEPT {
            idle.push(connection);
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_made_once_for_its_owner_and_never_by_accident() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cloud.db");
        assert!(matches!(open(&path), Err(StoreError::Open { .. })));
        assert!(matches!(open_reader(&path), Err(StoreError::Open { .. })));
        assert!(!path.exists());
        drop(create(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(create(&path), Err(StoreError::Create { .. })));
        drop(open_reader(&path).unwrap());
    }

    #[test]
    fn what_is_no_database_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cloud.db");
        std::fs::write(&path, "a letter, not a database, and long enough to be looked at as one").unwrap();
        assert!(open(&path).is_err());
        assert!(open_reader(&path).is_err());
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("a letter"));
    }

    #[test]
    fn an_acknowledged_write_survives_a_power_cut() {
        let dir = tempfile::tempdir().unwrap();
        let connection = create(&dir.path().join("cloud.db")).unwrap();
        let pragma = |name: &str| {
            connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!(pragma("synchronous"), 2.into(), "FULL");
    }
}
