//! One `serve` for a folder: two on one database would each believe to know who is connected.
//!
//! The operating system drops the lock with the process, however that ends; so it also tells whether anybody serves.

use anyhow::{Context, bail};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const LOCK_FILE: &str = "serve.lock";
/// A listing holds the lock for a moment, to see whether it is free.
const LONGEST: Duration = Duration::from_secs(1);

/// Takes the folder for this process, until the file is dropped.
pub(crate) fn take(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("making {}", path.display()))?;
    let deadline = Instant::now() + LONGEST;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => {
                bail!("another `engawa-cloud serve` already serves {}: stop it first", dir.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
    }
}

/// True while a process serves the folder. Where that can't be found out, it is taken as served.
pub(crate) fn is_served(dir: &Path) -> bool {
    match File::open(dir.join(LOCK_FILE)) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_served_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_served(dir.path()));
        let held = take(dir.path()).unwrap();
        assert!(is_served(dir.path()));
        assert!(take(dir.path()).unwrap_err().to_string().contains("another"));
        drop(held);
        assert!(!is_served(dir.path()));
        take(dir.path()).unwrap();
    }
}
