//! Rows in a frame: protobuf, compressed as a whole. A batch of some twenty rows takes a quarter of its size.

use crate::frame::Rows;
use crate::ports::Row;
use prost::Message;

/// The most that a batch may be before compression, bytes. A frame that says more, or turns out to be more, is refused.
pub const MAX_PLAIN: usize = 1 << 20;
/// Level 3 is the library's own default: faster than any line, and within a few per cent of the slow levels here.
const LEVEL: i32 = 3;

#[derive(Clone, PartialEq, Message)]
struct Batch {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<WireRow>,
}

#[derive(Clone, PartialEq, Message)]
struct WireRow {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(sint64, tag = "2")]
    at_micros: i64,
    #[prost(string, tag = "3")]
    kind: String,
    #[prost(bytes = "vec", tag = "4")]
    body: Vec<u8>,
}

/// A batch that can't be read or made.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// More than [`MAX_PLAIN`] bytes.
    #[error("a batch of {0} bytes before compression; the most is {MAX_PLAIN}")]
    TooLarge(usize),
    /// Not what zstd makes, or more than it said.
    #[error("a batch that can't be decompressed to the length it says")]
    Compression(#[source] std::io::Error),
    /// Not protobuf.
    #[error("a batch that is not one of this protocol")]
    Malformed(#[source] prost::DecodeError),
    /// The numbers do not follow each other.
    #[error("a batch whose rows are not in order: {after} after {before}")]
    Order {
        /// A row's number.
        before: u64,
        /// The next row's.
        after: u64,
    },
}

/// Packs rows.
///
/// # Errors
/// More than [`MAX_PLAIN`] bytes, or the compressor's.
pub fn pack(rows: Vec<Row>) -> Result<Rows, BatchError> {
    let row = |row: Row| WireRow { seq: row.seq, at_micros: row.at_micros, kind: row.kind, body: row.body };
    let plain = Batch { rows: rows.into_iter().map(row).collect() }.encode_to_vec();
    let plain_length = u32::try_from(plain.len()).unwrap_or(u32::MAX);
    if plain.len() > MAX_PLAIN {
        return Err(BatchError::TooLarge(plain.len()));
    }
    let zstd = zstd::bulk::compress(&plain, LEVEL).map_err(BatchError::Compression)?;
    Ok(Rows { zstd: zstd.into(), plain_length })
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
    let plain = zstd::bulk::decompress(&rows.zstd, length).map_err(BatchError::Compression)?;
    let batch = Batch::decode(plain.as_slice()).map_err(BatchError::Malformed)?;
    for pair in batch.rows.windows(2) {
        let (before, after) = (pair[0].seq, pair[1].seq);
        if before.checked_add(1) != Some(after) {
            return Err(BatchError::Order { before, after });
        }
    }
    let row = |row: WireRow| Row { seq: row.seq, at_micros: row.at_micros, kind: row.kind, body: row.body };
    Ok(batch.rows.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(seq: u64) -> Row {
        Row { seq, at_micros: -5, kind: "moved".into(), body: br#"{"kind":"moved"}"#.to_vec() }
    }

    #[test]
    fn rows_come_back_as_they_went() {
        let rows: Vec<Row> = (4..40).map(row).collect();
        let packed = pack(rows.clone()).unwrap();
        assert!(packed.zstd.len() * 4 < packed.plain_length as usize);
        assert_eq!(unpack(&packed).unwrap(), rows);
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let zeros = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
        for plain_length in [10, 1 << 20, u32::MAX] {
            assert!(unpack(&Rows { zstd: zeros.clone().into(), plain_length }).is_err());
        }
    }

    #[test]
    fn rows_out_of_order_are_refused() {
        for numbers in [vec![1, 3], vec![2, 1], vec![1, 1], vec![u64::MAX, 0]] {
            let packed = pack(numbers.iter().map(|seq| row(*seq)).collect()).unwrap();
            assert!(matches!(unpack(&packed), Err(BatchError::Order { .. })), "{numbers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(zstd in any::<Vec<u8>>(), plain_length in 0_u32..4096) {
            let _ = unpack(&Rows { zstd: zstd.into(), plain_length });
        }
    }
}
