//! The first release of a box, laid by whoever installs it: slot a and the table. Repeatable until its table is there.

use crate::Digest;
use crate::check::{Check, CheckFault, is_file_name};
use crate::files::Files;
use crate::store::{Store, StoreFault};
use crate::table::{Slot, Table};
use std::io::{self, Read};

/// Bytes that are read and written at once.
const PIECE: usize = 256 << 10;

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallFault {
    /// There is a release already.
    #[error("a release is installed here already ({0}): install others by `engawa update install`")]
    There(String),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The files are not what the manifest says.
    #[error("what was laid can't be started: {0}")]
    Check(#[from] CheckFault),
    /// A name that no file of a release has.
    #[error(
        "{0:?} is no name of a release's file: small letters, digits, '.', '_' and '-', no dot first, 64 at most"
    )]
    Name(String),
    /// A file.
    #[error("{name}: {fault}")]
    Disk {
        /// Which.
        name: String,
        /// What the disk says.
        fault: io::Error,
    },
}

/// A file of the first release.
pub struct Source<R> {
    /// Its name in the slot.
    pub name: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its bytes.
    pub from: R,
}

/// Lays the files, [`MANIFEST`] among them, into slot a, checks them, and writes the first table. `manifest` is the
/// SHA-256 of the manifest.
///
/// # Errors
/// [`InstallFault`]. After one, and after a power cut, it can be done again from the beginning.
pub fn install<F: Files, R: Read>(
    files: F,
    sources: Vec<Source<R>>,
    manifest: Digest,
) -> Result<Table, InstallFault> {
    match Store::peek(&files) {
        Ok(table) => return Err(InstallFault::There(describe(&table))),
        // What nobody can read is replaced: the folder's owner has asked for it.
        Err(StoreFault::Nothing | StoreFault::Damaged(..)) => {}
        Err(fault) => return Err(fault.into()),
    }
    for slot in [Slot::A, Slot::B] {
        let folder = slot.name().to_owned();
        files.make_folder(&folder).map_err(|fault| InstallFault::Disk { name: folder, fault })?;
    }
    for source in sources {
        if !is_file_name(&source.name) {
            return Err(InstallFault::Name(source.name));
        }
        let name = format!("{}/{}", Slot::A, source.name);
        lay(&files, &name, source).map_err(|fault| InstallFault::Disk { name, fault })?;
    }
    let release = Check::<F>::new(Slot::A, manifest, true).run(&files)?;
    // The folders have to be there before the table that speaks of them.
    files.sync("").map_err(|fault| InstallFault::Disk { name: "the folder".to_owned(), fault })?;
    let table = Table::first(Slot::A, release);
    Store::create(&files, &table)?;
    Ok(table)
}

fn lay<F: Files, R: Read>(files: &F, name: &str, mut source: Source<R>) -> io::Result<()> {
    files.remove(name)?;
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        let got = source.from.read(&mut buffer)?;
        if got == 0 && at > 0 {
            return Ok(());
        }
        files.write(name, at, &buffer[..got], source.mode)?;
        if got == 0 {
            return Ok(());
        }
        at += got as u64;
    }
}

/// A line about what a table says is started.
pub fn describe(table: &Table) -> String {
    let slot = table.wanted();
    table.release(slot).map_or_else(
        || format!("slot {slot}, which has nothing"),
        |release| format!("version {}, number {}, slot {slot}", release.version, release.number),
    )
}
