//! The table on the disk: two copies, written in place one after the other. Whichever is being written when the power goes,
//! the other is whole; and both are the same again before anything else is written.

use crate::files::Files;
use crate::table::{Damage, TABLE_BYTES, Table};
use std::io::{self, Read};

/// The names of the copies, in the order in which they are written.
pub const COPIES: [&str; 2] = ["table.0", "table.1"];
const MODE: u32 = 0o644;

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// Nothing was installed here.
    #[error(
        "no release was installed here: there is neither table.0 nor table.1; `engawa-supervisor install` lays the first one"
    )]
    Nothing,
    /// The first installation was cut short: the only copy was not written to its end, and nothing was ever started by it.
    #[error("the first installation was not over: table.0: {0}; `engawa-supervisor install` does it again")]
    Unfinished(String),
    /// Neither copy can be used.
    #[error(
        "neither copy of the slot table can be used: table.0: {0}; table.1: {1}. A newer supervisor may have written them: then \
         install that one. `engawa-supervisor install --replace-damaged` lays a release anew"
    )]
    Damaged(String, String),
    /// The disk can't be read or written.
    #[error("{name}: {fault}")]
    Disk {
        /// Which copy.
        name: &'static str,
        /// What the disk says.
        fault: io::Error,
    },
    /// A table that does not fit into its page.
    #[error("the slot table has grown beyond {TABLE_BYTES} bytes")]
    TooLong,
}

/// Where the machine's decisions are made durable.
pub trait Keep {
    /// Keeps a table, durably, as the newest; its `sequence` is counted up.
    ///
    /// # Errors
    /// Why not, in plain words. Which of the two tables, the old or the new one, is found afterwards is not known.
    fn keep(&mut self, table: &mut Table) -> Result<(), String>;
}

/// The table of a folder.
#[derive(Debug)]
pub struct Store<F> {
    files: F,
    /// The copy that may not be whole, and is therefore written before the other one.
    doubtful: usize,
}

impl<F: Files> Store<F> {
    /// The folder.
    pub fn files(&self) -> &F {
        &self.files
    }

    /// Reads the newest copy that is whole, and makes the other one the same.
    ///
    /// A disk that can be read and not written still gives its table; the fault is told beside it.
    ///
    /// # Errors
    /// [`StoreFault`]: there is no table.
    pub fn open(files: F) -> Result<(Self, Table, Option<StoreFault>), StoreFault> {
        let (newest, stale) = Self::read_both(&files)?;
        let mended = mend(&files, &newest, stale);
        let doubtful = if mended.is_ok() { 0 } else { stale.unwrap_or(0) };
        Ok((Self { files, doubtful }, newest, mended.err()))
    }

    /// Reads the newest copy that is whole, and writes nothing.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn peek(files: &F) -> Result<Table, StoreFault> {
        Self::read_both(files).map(|(newest, _)| newest)
    }

    /// The newest copy, and the one of the two that has to be made the same.
    fn read_both(files: &F) -> Result<(Table, Option<usize>), StoreFault> {
        let [first, second] = COPIES.map(|name| read(files, name));
        match (first, second) {
            (Ok(first), Ok(second)) if first == second => Ok((first, None)),
            (Ok(first), Ok(second)) if first.sequence >= second.sequence => Ok((first, Some(1))),
            (Ok(_), Ok(second)) => Ok((second, Some(0))),
            (Ok(first), Err(_)) => Ok((first, Some(1))),
            (Err(_), Ok(second)) => Ok((second, Some(0))),
            (Err(Unread::Missing), Err(Unread::Missing)) => Err(StoreFault::Nothing),
            (Err(Unread::Disk(fault)), Err(_)) => Err(StoreFault::Disk { name: COPIES[0], fault }),
            (Err(_), Err(Unread::Disk(fault))) => Err(StoreFault::Disk { name: COPIES[1], fault }),
            // The second copy is made by the first start, before anything else.
            (Err(Unread::Damaged(torn @ (Damage::Length(_) | Damage::Checksum))), Err(Unread::Missing)) => {
                Err(StoreFault::Unfinished(torn.to_string()))
            }
            (Err(first), Err(second)) => Err(StoreFault::Damaged(first.to_string(), second.to_string())),
        }
    }

    /// Lays the first table: one copy, the other one is made when it is opened. The release that it speaks of must be
    /// durable.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn create(files: &F, table: &Table) -> Result<(), StoreFault> {
        let page = table.page().ok_or(StoreFault::TooLong)?;
        let name = COPIES[0];
        let put = || {
            // What is there is none that could be read, or this would not be the first table.
            files.remove(name)?;
            files.write(name, 0, &page, MODE)?;
            files.sync(name)?;
            files.sync("")
        };
        put().map_err(|fault| StoreFault::Disk { name, fault })
    }
}

impl<F: Files> Keep for Store<F> {
    fn keep(&mut self, table: &mut Table) -> Result<(), String> {
        table.sequence = table.sequence.saturating_add(1);
        let page = table.page().ok_or_else(|| StoreFault::TooLong.to_string())?;
        for index in [self.doubtful, 1 - self.doubtful] {
            let name = COPIES[index];
            if let Err(fault) = write(&self.files, name, &page) {
                self.doubtful = index;
                return Err(format!("the slot table can't be written: {fault}"));
            }
        }
        self.doubtful = 0;
        Ok(())
    }
}

fn write<F: Files>(files: &F, name: &'static str, page: &[u8]) -> Result<(), StoreFault> {
    let put = files.write(name, 0, page, MODE).and_then(|()| files.sync(name));
    put.map_err(|fault| StoreFault::Disk { name, fault })
}

/// What was read may not be on the disk yet, where only the process ended and not the power: each copy is made durable
/// before the other one is written, or the next cut would find both of them torn.
fn mend<F: Files>(files: &F, newest: &Table, stale: Option<usize>) -> Result<(), StoreFault> {
    let durable = |name| files.sync(name).map_err(|fault| StoreFault::Disk { name, fault });
    let Some(stale) = stale else {
        return COPIES.into_iter().try_for_each(durable);
    };
    durable(COPIES[1 - stale])?;
    write(files, COPIES[stale], &newest.page().ok_or(StoreFault::TooLong)?)?;
    files.sync("").map_err(|fault| StoreFault::Disk { name: COPIES[stale], fault })
}

#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("it is not there")]
    Missing,
    #[error("{0}")]
    Damaged(#[from] Damage),
    #[error("{0}")]
    Disk(io::Error),
}

fn read<F: Files>(files: &F, name: &str) -> Result<Table, Unread> {
    let file = match files.open(name) {
        Ok(file) => file,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Err(Unread::Missing),
        Err(fault) => return Err(Unread::Disk(fault)),
    };
    let mut page = Vec::with_capacity(TABLE_BYTES);
    file.take(TABLE_BYTES as u64 + 1).read_to_end(&mut page).map_err(Unread::Disk)?;
    Ok(Table::of_page(&page)?)
}
