//! A batch of release 0.1: one message a row.

use super::{BatchError, MAX_ROWS};
use crate::ports::Row;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

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

pub(super) fn encode(rows: &[Row]) -> Vec<u8> {
    let row = |row: &Row| WireRow {
        seq: row.seq,
        at_micros: row.at_micros,
        kind: row.kind.clone(),
        body: row.body.clone(),
    };
    Batch { rows: rows.iter().map(row).collect() }.encode_to_vec()
}

pub(super) fn decode(plain: &[u8]) -> Result<Vec<Row>, BatchError> {
    let count = count(plain).map_err(BatchError::Malformed)?;
    if count > MAX_ROWS {
        return Err(BatchError::TooMany(count));
    }
    let batch = Batch::decode(plain).map_err(BatchError::Malformed)?;
    let row = |row: WireRow| Row { seq: row.seq, at_micros: row.at_micros, kind: row.kind, body: row.body };
    Ok(batch.rows.into_iter().map(row).collect())
}

/// How many fields there are, before anything is made of them: an empty row is two bytes here and a hundred in memory.
fn count(mut plain: &[u8]) -> Result<usize, prost::DecodeError> {
    let mut count = 0;
    while !plain.is_empty() {
        let (tag, wire_type): (u32, WireType) = decode_key(&mut plain)?;
        skip_field(wire_type, tag, &mut plain, DecodeContext::default())?;
        count += 1;
    }
    Ok(count)
}
