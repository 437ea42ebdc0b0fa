//! Trains the dictionary of the wire: `engawa-sync FILE`. A file that a release has carried is never trained again: the
//! next one gets the next number in `cloud-sync/protocol/src/dictionaries`.
#![allow(clippy::print_stdout, reason = "a program for the command line")]

use engawa_protocol::batch::{self, BatchError, Form};
use engawa_protocol::ports::Row;
use engawa_sync::rows::Hotel;
use std::error::Error;

/// What a dictionary may be, bytes: it is kept in the memory of every gateway.
const SIZE: usize = 12 << 10;
/// Hotels from which rows are taken.
const HOTELS: u64 = 60;

/// The bytes that the compressor sees.
fn plain(rows: &[Row]) -> Result<Vec<u8>, BatchError> {
    let packed = batch::pack(rows, Form::Columns { dictionary: 0 })?;
    zstd::bulk::decompress(&packed.zstd, packed.plain_length as usize).map_err(BatchError::Compression)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: engawa-sync FILE")?;
    let mut samples = Vec::new();
    for seed in 1..=HOTELS {
        let mut hotel = Hotel::new(seed);
        for round in 1..=20 {
            samples.push(plain(&hotel.telemetry(round * 1_000, 5 + round * 2))?);
            samples.push(plain(&hotel.stays(round * 100, 1 + round % 9))?);
            samples.push(plain(&hotel.alarms(round * 50, 1 + round % 3))?);
        }
    }
    let dictionary = zstd::dict::from_samples(&samples, SIZE)?;
    std::fs::write(&path, &dictionary)?;
    println!("{} bytes from {} batches in {path}", dictionary.len(), samples.len());
    Ok(())
}
