//! A batch in columns.

use super::{BatchError, MAX_KIND, MAX_ROWS};
use crate::ports::Row;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Columns {
    /// The first row's number; the others follow.
    #[prost(uint64, tag = "1")]
    first: u64,
    /// Each row's time after the one before, microseconds; the first's since 1970.
    #[prost(sint64, repeated, tag = "2")]
    times: Vec<i64>,
    /// The names of kinds that there are.
    #[prost(string, repeated, tag = "3")]
    names: Vec<String>,
    /// Each row's name; left out where there is one only.
    #[prost(uint32, repeated, tag = "4")]
    kinds: Vec<u32>,
    /// How long each body is, bytes.
    #[prost(uint32, repeated, tag = "5")]
    lengths: Vec<u32>,
    /// All bodies.
    #[prost(bytes = "vec", tag = "6")]
    bodies: Vec<u8>,
}

pub(super) fn encode(rows: &[Row]) -> Result<Vec<u8>, BatchError> {
    let mut columns = Columns { first: rows.first().map_or(0, |row| row.seq), ..Columns::default() };
    let mut before = 0_i64;
    for row in rows {
        columns.times.push(row.at_micros.wrapping_sub(before));
        before = row.at_micros;
        let name = columns.names.iter().position(|name| *name == row.kind).unwrap_or_else(|| {
            columns.names.push(row.kind.clone());
            columns.names.len() - 1
        });
        // Fewer than rows, and a batch has few.
        columns.kinds.push(u32::try_from(name).unwrap_or(u32::MAX));
        let length = u32::try_from(row.body.len()).map_err(|_| BatchError::TooLarge(row.body.len()))?;
        columns.lengths.push(length);
        columns.bodies.extend_from_slice(&row.body);
    }
    if columns.names.len() == 1 {
        columns.kinds.clear();
    }
    Ok(columns.encode_to_vec())
}

pub(super) fn decode(plain: &[u8]) -> Result<Vec<Row>, BatchError> {
    let Columns { first, times, names, kinds, lengths, bodies } =
        Columns::decode(plain).map_err(BatchError::Malformed)?;
    if lengths.len() > MAX_ROWS {
        return Err(BatchError::TooMany(lengths.len()));
    }
    // Before a name is given to each row.
    if let Some(long) = names.iter().map(String::len).find(|length| *length > MAX_KIND) {
        return Err(BatchError::Kind(long));
    }
    if times.len() != lengths.len() {
        return Err(BatchError::Columns("times"));
    }
    if kinds.len() != if names.len() == 1 { 0 } else { lengths.len() } {
        return Err(BatchError::Columns("kinds"));
    }
    let (mut rows, mut rest, mut seq, mut at_micros) =
        (Vec::with_capacity(lengths.len()), bodies.as_slice(), Some(first), 0_i64);
    for (place, (time, length)) in times.iter().zip(&lengths).enumerate() {
        let name = kinds.get(place).map_or(0, |name| *name as usize);
        let kind = names.get(name).ok_or(BatchError::Columns("kinds"))?.clone();
        let (body, left) = rest.split_at_checked(*length as usize).ok_or(BatchError::Columns("bodies"))?;
        let number = seq.ok_or(BatchError::Order { before: u64::MAX, after: 0 })?;
        at_micros = at_micros.wrapping_add(*time);
        rows.push(Row { seq: number, at_micros, kind, body: body.to_vec() });
        (rest, seq) = (left, number.checked_add(1));
    }
    if rest.is_empty() { Ok(rows) } else { Err(BatchError::Columns("bodies")) }
}
