//! Backups: a whole, encrypted copy of the database while the agent works on.
//!
//! Never: the vault's keys. Guests who were erased since are dark in every copy, and so is everybody on another gateway.

use crate::connect::connect;
use crate::{DatabaseKey, Reader, StoreError};
use rusqlite::backup::{Backup, StepResult};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Pages that are copied at a time.
const PAGES: i32 = 256;
/// How long the copy may make no headway, because somebody writes.
const PATIENCE: Duration = Duration::from_secs(30);

impl Reader {
    /// Copies the database to the new file `to` (mode 0600), under the same key. What is committed meanwhile is in the
    /// copy or not, whole.
    ///
    /// # Errors
    /// A file that is there already or can't be made; SQLite's. What was begun is removed.
    pub fn backup(&self, to: &Path, key: &DatabaseKey) -> Result<(), StoreError> {
        let folder = |source| StoreError::Folder { doing: "making the backup", path: to.to_owned(), source };
        let file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(folder)?;
        let copied = self.copy(to, key);
        if copied.is_err() {
            // The reason of the failure says more than that of the removal.
            let _ = std::fs::remove_file(to);
        }
        copied?;
        file.sync_all().map_err(folder)
    }

    fn copy(&self, to: &Path, key: &DatabaseKey) -> Result<(), StoreError> {
        let doing = StoreError::sql("copying the database");
        let mut copy = connect(to, key)?;
        // One file: the copy has no log of its own beside it.
        copy.pragma_update(None, "journal_mode", "DELETE").map_err(&doing)?;
        let backup = Backup::new(&self.connection, &mut copy).map_err(&doing)?;
        let mut headway = Instant::now();
        loop {
            match backup.step(PAGES).map_err(&doing)? {
                StepResult::Done => break,
                StepResult::More => headway = Instant::now(),
                _ if headway.elapsed() > PATIENCE => {
                    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                    return Err(doing(rusqlite::Error::SqliteFailure(busy, None)));
                }
                _ => std::thread::park_timeout(Duration::from_millis(20)),
            }
        }
        drop(backup);
        // An opening that no stamp fits: whenever the copy is put back, it is known as one.
        for name in ["opening", "opening_before"] {
            copy.execute("INSERT OR REPLACE INTO single (name, value) VALUES (?1, random())", [name])
                .map_err(&doing)?;
        }
        Ok(())
    }
}
