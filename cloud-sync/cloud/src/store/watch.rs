//! Sees that another process (the command line) has written to the file.
//!
//! SQLite has no notification across processes, but `PRAGMA data_version` changes on a connection whenever
//! another one has committed; asking it costs no more than a look at the WAL's index.

use super::{StoreError, listing, open_reader};
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a new command may lie before it is noticed.
const PERIOD: Duration = Duration::from_millis(100);

/// A thread that looks for new commands until it is dropped.
pub struct Watch {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts; `wake` is called with each gateway that has new commands, from the thread. Commands that are already
    /// there are not told: a gateway gets them when it connects.
    ///
    /// # Errors
    /// A file that can't be read, or no thread.
    pub fn start(path: &Path, wake: impl Fn(&str) + Send + 'static) -> Result<Self, StoreError> {
        let connection = open_reader(path)?;
        let mut newest = listing::newest_command(&connection)?;
        let mut version = data_version(&connection)?;
        let (stop, stopped) = sync_channel::<()>(1);
        let look = move || {
            while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                let looked = data_version(&connection).and_then(|now| {
                    if now != version {
                        let (upto, gateways) = listing::commands_since(&connection, newest)?;
                        gateways.iter().for_each(|gateway| wake(gateway));
                        (version, newest) = (now, upto);
                    }
                    Ok(())
                });
                if let Err(error) = looked {
                    tracing::warn!(error = %error, "looking for new commands failed; trying again");
                }
            }
        };
        let thread =
            std::thread::Builder::new().name("store-watch".to_owned()).spawn(look).map_err(|error| {
                tracing::error!(%error, "no thread for the watch");
                StoreError::Stopped
            })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}

fn data_version(connection: &Connection) -> Result<i64, StoreError> {
    connection
        .query_row("PRAGMA data_version", [], |row| row.get(0))
        .map_err(StoreError::sql("asking whether the database has changed"))
}
