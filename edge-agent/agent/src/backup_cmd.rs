//! `engawa backup`: a copy of the database while the agent works on.
#![allow(clippy::print_stdout, reason = "standard output is where the answer goes")]

use crate::config::Loaded;
use engawa_store::{DATABASE_FILE, DatabaseKey, Reader};
use std::path::Path;

/// Copies the database to the new file `to`.
pub(crate) fn backup(loaded: &Loaded, to: &Path) -> anyhow::Result<()> {
    let key = DatabaseKey::load(&loaded.key_file())?;
    Reader::open(&loaded.config.store.dir.join(DATABASE_FILE), &key)?.backup(to, &key)?;
    println!("{}: the database, under the key of {}", to.display(), loaded.key_file().display());
    println!("guests' names can be read from it on this gateway only, and not once they are erased");
    Ok(())
}
