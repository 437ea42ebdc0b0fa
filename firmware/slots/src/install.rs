//! The first release of a box, laid by whoever installs it: slot a and the table. Repeatable until its table is there.

use crate::Digest;
use crate::check::{Check, CheckFault, floor_of, is_file_name};
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
    /// What was there may not be gone behind.
    #[error(
        "number {number} is below {floor}, the floor of a release that lies here: install one that is not older"
    )]
    Floor {
        /// Of what should have been laid.
        number: u64,
        /// Of what is there.
        floor: u64,
    },
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
/// SHA-256 of the manifest. `replaces`: a table that is damaged, or of another format, is replaced too; the highest floor of
/// the manifests that can be read holds on. A table that the disk does not give is never replaced.
///
/// # Errors
/// [`InstallFault`]. After one, and after a power cut, it can be done again from the beginning.
pub fn install<F: Files, R: Read>(
    files: F,
    sources: Vec<Source<R>>,
    manifest: Digest,
    replaces: bool,
) -> Result<Table, InstallFault> {
    let (mut slot, mut floor) = (Slot::A, 0);
    match Store::peek(&files) {
        Ok(table) => return Err(InstallFault::There(describe(&table))),
        Err(StoreFault::Nothing | StoreFault::Unfinished(_)) => {}
        Err(StoreFault::Damaged(..)) if replaces => {
            let [a, b] = [Slot::A, Slot::B].map(|slot| floor_of(&files, slot).unwrap_or(0));
            floor = a.max(b);
            // The manifest with the higher floor stays: it is asked again where this is refused, or cut short.
            if a > b {
                slot = Slot::B;
            }
        }
        Err(fault) => return Err(fault.into()),
    }
    for each in [Slot::A, Slot::B] {
        let folder = each.name().to_owned();
        files.make_folder(&folder).map_err(|fault| InstallFault::Disk { name: folder, fault })?;
    }
    for source in sources {
        if !is_file_name(&source.name) {
            return Err(InstallFault::Name(source.name));
        }
        let name = format!("{slot}/{}", source.name);
        lay(&files, &name, source).map_err(|fault| InstallFault::Disk { name, fault })?;
    }
    let release = Check::<F>::new(slot, manifest, true).run(&files)?;
    if release.number < floor {
        return Err(InstallFault::Floor { number: release.number, floor });
    }
    // The folders have to be there before the table that speaks of them.
    files.sync("").map_err(|fault| InstallFault::Disk { name: "the folder".to_owned(), fault })?;
    let mut table = Table::first(slot, release);
    table.floor = table.floor.max(floor);
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
