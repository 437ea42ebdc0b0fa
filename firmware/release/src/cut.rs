//! Cutting files by content (FastCDC, 2020), so that what an insertion moves is still found in the old file.
//!
//! That both ends cut alike saves bytes and nothing else: a chunk is known by its SHA-256.

use crate::Digest;
use crate::manifest::{MOST_CHUNK, ManifestError};
use fastcdc::v2020::{AVERAGE_MAX, AVERAGE_MIN, Error, MAXIMUM_MIN, MINIMUM_MAX, MINIMUM_MIN, StreamCDC};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// The measures, bytes. The default is for programs; images of hundreds of megabytes take [`Cut::LARGE`], or their manifest
/// would be longer than what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// No chunk but the last of a file is shorter.
    pub min: u32,
    /// How long they are meant to be.
    pub average: u32,
    /// None is longer.
    pub max: u32,
}

impl Default for Cut {
    fn default() -> Self {
        Self { min: 8 << 10, average: 32 << 10, max: 128 << 10 }
    }
}

impl Cut {
    /// For images.
    pub const LARGE: Self = Self { min: 32 << 10, average: 128 << 10, max: 512 << 10 };
    /// Releases that are larger than this are cut with [`Self::LARGE`], bytes.
    pub const LARGE_FROM: u64 = 64 << 20;

    /// The measures for a release of so many bytes.
    pub fn for_size(unpacked: u64) -> Self {
        if unpacked > Self::LARGE_FROM { Self::LARGE } else { Self::default() }
    }

    pub(crate) fn check(&self) -> Result<(), ManifestError> {
        let (min, average, max) = (self.min as usize, self.average as usize, self.max as usize);
        let reason = if !(MINIMUM_MIN..=MINIMUM_MAX).contains(&min) {
            "min is out of range"
        } else if !(AVERAGE_MIN..=AVERAGE_MAX).contains(&average) || average < min {
            "average is out of range"
        } else if max < MAXIMUM_MIN || max < average || u64::from(self.max) > MOST_CHUNK {
            "max is out of range"
        } else {
            return Ok(());
        };
        Err(ManifestError::Cut { cut: *self, reason })
    }
}

/// Cuts what `from` gives, and shows each piece: where it begins, its SHA-256, its bytes. Memory: one chunk's `max`. The measures
/// are those of a manifest that was checked; others give an error.
///
/// # Errors
/// What reading, or `piece`, fails with.
pub fn cut(
    from: impl Read,
    measures: Cut,
    mut piece: impl FnMut(u64, Digest, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    measures.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    let (min, average, max) = (measures.min as usize, measures.average as usize, measures.max as usize);
    for found in StreamCDC::new(from, min, average, max) {
        let found = found.map_err(|error| match error {
            Error::IoError(error) => error,
            other => io::Error::other(other.to_string()),
        })?;
        piece(found.offset, Digest::of(&found.data), &found.data)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8]) -> Vec<(u64, Digest, usize)> {
        let mut all = vec![];
        cut(bytes, Cut::default(), |at, digest, bytes| {
            all.push((at, digest, bytes.len()));
            Ok(())
        })
        .unwrap();
        all
    }

    /// Bytes that look like nothing.
    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn an_insertion_moves_chunks_and_changes_few() {
        let old = noise(2 << 20, 7);
        let mut new = old.clone();
        new.splice(500_000..500_000, *b"one more line");
        let (old, new) = (pieces(&old), pieces(&new));
        let had: std::collections::BTreeSet<_> = old.iter().map(|(_, digest, _)| digest).collect();
        let changed = new.iter().filter(|(_, digest, _)| !had.contains(digest)).count();
        assert!(new.len() > 30 && changed <= 3, "{changed} of {}", new.len());
        assert_eq!(new.iter().map(|(.., length)| length).sum::<usize>(), (2 << 20) + 13);
    }

    #[test]
    fn where_chunks_end_is_what_it_was() {
        // The cut is part of the format in so far as bytes are saved by it: another one would fetch whole releases once.
        let found = pieces(&noise(300_000, 42));
        let lengths: Vec<usize> = found.iter().map(|(.., length)| *length).collect();
        assert_eq!(lengths, [14_458, 35_562, 64_980, 65_518, 35_171, 43_196, 36_094, 5_021]);
    }

    #[test]
    fn measures_that_can_t_be_are_told() {
        for cut in [
            Cut { min: 1, ..Cut::default() },
            Cut { average: 4 << 10, ..Cut::default() },
            Cut { max: 2 << 20, ..Cut::default() },
            Cut { max: 0, ..Cut::default() },
        ] {
            assert!(super::cut(&b"x"[..], cut, |_, _, _| Ok(())).is_err(), "{cut:?}");
        }
    }
}
