//! Rows in a frame: protobuf, compressed as a whole.
//!
//! Since version 2 a batch is in columns (numbers, times, kinds, lengths, then all bodies), so that like stands beside
//! like; it is compressed with a dictionary, and carries a checksum of what was compressed: between the store that wrote
//! a row and the one that keeps it there is memory, too. A batch of release 0.1 has neither and is still read and, to a
//! peer of that release, written.

mod columns;
mod plain;
#[cfg(test)]
pub(crate) mod tests;

use crate::dictionary::{self, LEVEL};
use crate::frame::{FIRST_VERSION, Rows};
use crate::ports::Row;
use crc::{CRC_32_ISCSI, Crc, Table};

/// The most that a batch may be before compression, bytes. A frame that says more, or turns out to be more, is refused.
pub const MAX_PLAIN: usize = 1 << 20;
/// The most rows of a batch: many small ones take more memory than their bytes.
pub const MAX_ROWS: usize = 4_096;
/// The longest name of a kind, bytes: it is kept with each row.
pub const MAX_KIND: usize = 64;

const CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// How batches are written to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As release 0.1 did.
    Plain,
    /// In columns, with a checksum.
    Columns {
        /// The dictionary's number; 0: none.
        dictionary: u32,
    },
}

impl Form {
    /// The form for a peer with which this was agreed.
    pub fn of(version: u32, dictionary: u32) -> Self {
        if version <= FIRST_VERSION { Self::Plain } else { Self::Columns { dictionary } }
    }
}

/// A batch that can't be read or made.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// More than [`MAX_PLAIN`] bytes.
    #[error("a batch of {0} bytes before compression; the most is {MAX_PLAIN}")]
    TooLarge(usize),
    /// More than [`MAX_ROWS`] rows.
    #[error("a batch of {0} rows; the most is {MAX_ROWS}")]
    TooMany(usize),
    /// Not what zstd makes, or more than it said.
    #[error("a batch that can't be decompressed to the length it says")]
    Compression(#[source] std::io::Error),
    /// A dictionary that this release does not have.
    #[error("a batch compressed with dictionary {0}, which this release does not have")]
    Dictionary(u32),
    /// It was spoilt on its way.
    #[error("a batch whose checksum is {found:08x} and should be {wanted:08x}")]
    Checksum {
        /// Of what came.
        found: u32,
        /// Of what was sent.
        wanted: u32,
    },
    /// Not protobuf.
    #[error("a batch that is not one of this protocol")]
    Malformed(#[source] prost::DecodeError),
    /// Columns that do not fit each other.
    #[error("a batch whose {0} do not fit its rows")]
    Columns(&'static str),
    /// A kind whose name is longer than [`MAX_KIND`].
    #[error("a kind whose name is {0} bytes long; the most is {MAX_KIND}")]
    Kind(usize),
    /// The numbers do not follow each other.
    #[error("a batch whose rows are not in order: {after} after {before}")]
    Order {
        /// A row's number.
        before: u64,
        /// The next row's.
        after: u64,
    },
}

/// Packs rows, whose numbers follow each other.
///
/// # Errors
/// Rows out of order, more than [`MAX_ROWS`] or [`MAX_PLAIN`], or the compressor's.
pub fn pack(rows: &[Row], form: Form) -> Result<Rows, BatchError> {
    check(rows)?;
    let (plain, dictionary) = match form {
        Form::Plain => (plain::encode(rows), 0),
        Form::Columns { dictionary } => (columns::encode(rows)?, dictionary),
    };
    if plain.len() > MAX_PLAIN {
        return Err(BatchError::TooLarge(plain.len()));
    }
    let zstd = match dictionary {
        0 => zstd::bulk::compress(&plain, LEVEL),
        number => {
            let prepared = dictionary::encoder(number).ok_or(BatchError::Dictionary(number))?;
            zstd::bulk::Compressor::with_prepared_dictionary(prepared)
                .and_then(|mut compressor| compressor.compress(&plain))
        }
    };
    let zstd = zstd.map_err(BatchError::Compression)?.into();
    // At most MAX_PLAIN, so it fits.
    let plain_length = u32::try_from(plain.len()).unwrap_or(u32::MAX);
    let crc32c = matches!(form, Form::Columns { .. }).then(|| CRC32C.checksum(&plain));
    Ok(Rows { zstd, plain_length, dictionary, crc32c })
}

/// Unpacks rows, and sees that their numbers follow each other.
///
/// # Errors
/// A batch that is too large, damaged, or out of order.
pub fn unpack(rows: &Rows) -> Result<Vec<Row>, BatchError> {
    let length = rows.plain_length as usize;
    if length > MAX_PLAIN {
        return Err(BatchError::TooLarge(length));
    }
    // The bound goes to the decompressor: a small frame can't make a large buffer.
    let plain = match rows.dictionary {
        0 => zstd::bulk::decompress(&rows.zstd, length),
        number => {
            let prepared = dictionary::decoder(number).ok_or(BatchError::Dictionary(number))?;
            zstd::bulk::Decompressor::with_prepared_dictionary(prepared)
                .and_then(|mut decompressor| decompressor.decompress(&rows.zstd, length))
        }
    };
    let plain = plain.map_err(BatchError::Compression)?;
    let unpacked = match rows.crc32c {
        None => plain::decode(&plain)?,
        Some(wanted) => {
            let found = CRC32C.checksum(&plain);
            if found != wanted {
                return Err(BatchError::Checksum { found, wanted });
            }
            columns::decode(&plain)?
        }
    };
    check(&unpacked)?;
    Ok(unpacked)
}

fn check(rows: &[Row]) -> Result<(), BatchError> {
    if rows.len() > MAX_ROWS {
        return Err(BatchError::TooMany(rows.len()));
    }
    for pair in rows.windows(2) {
        let (before, after) = (pair[0].seq, pair[1].seq);
        if before.checked_add(1) != Some(after) {
            return Err(BatchError::Order { before, after });
        }
    }
    match rows.iter().find(|row| row.kind.len() > MAX_KIND) {
        Some(row) => Err(BatchError::Kind(row.kind.len())),
        None => Ok(()),
    }
}
