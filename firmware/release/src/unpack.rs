//! From what was fetched to what it stands for, with every bound kept while it streams.

use crate::manifest::{Chunk, Patch};
use crate::{Digest, Sum};
use std::io::{self, Read, Write};
use zstd::stream::read::Decoder;

/// The largest window that a chunk's frame may ask for: 2^this bytes.
const CHUNK_WINDOW: u32 = 20;
/// The same for patches, whose window spans the old file and the new one.
const PATCH_WINDOW: u32 = 31;
/// Bytes that are unpacked at once.
const STEP: usize = 64 << 10;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// No zstd frame, or one that needs more memory than it may.
    #[error("it can't be unpacked")]
    Frame(#[source] io::Error),
    /// More or fewer bytes than the manifest says.
    #[error("it unpacks to {0} than {1} bytes", if *.longer { "more" } else { "fewer" }, .size)]
    Length {
        /// More than.
        longer: bool,
        /// So many.
        size: u64,
    },
    /// Other bytes than the manifest says.
    #[error("its SHA-256 is {found}, {wanted} was expected")]
    Digest {
        /// What it is.
        found: Digest,
        /// What it should be.
        wanted: Digest,
    },
    /// The old file is not the one that the patch is for.
    #[error("the patch is for a file with the SHA-256 {wanted}, this one has {found}")]
    Other {
        /// What the old file is.
        found: Digest,
        /// What it should be.
        wanted: Digest,
    },
    /// What is unpacked can't be written.
    #[error("what is unpacked can't be written")]
    Write(#[source] io::Error),
}

fn same(found: Digest, wanted: Digest) -> Result<(), UnpackError> {
    if found == wanted { Ok(()) } else { Err(UnpackError::Digest { found, wanted }) }
}

/// A chunk's bytes from its range of the pack.
///
/// # Errors
/// They are not what the manifest says.
pub fn chunk(chunk: &Chunk, packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let mut decoder = Decoder::with_buffer(packed).map_err(UnpackError::Frame)?;
    decoder.window_log_max(CHUNK_WINDOW).map_err(UnpackError::Frame)?;
    // Checked to be at most MOST_CHUNK.
    let mut bytes = Vec::with_capacity(usize::try_from(chunk.size).unwrap_or_default());
    decoder.take(chunk.size + 1).read_to_end(&mut bytes).map_err(UnpackError::Frame)?;
    let length = bytes.len() as u64;
    if length != chunk.size {
        return Err(UnpackError::Length { longer: length > chunk.size, size: chunk.size });
    }
    same(Digest::of(&bytes), chunk.sha256)?;
    Ok(bytes)
}

/// How much memory it takes to apply `patch` for a file of `size` bytes: the old file, and the window over the new one.
pub fn patch_memory(patch: &Patch, size: u64) -> u64 {
    patch.size.saturating_add(size)
}

/// Makes the new file (of `size` and `sha256`) out of `old` and the patch that `packed` gives, and writes it.
///
/// # Errors
/// It is not what the manifest says; what was written then is worth nothing.
pub fn patch(
    patch: &Patch,
    old: &[u8],
    packed: impl io::BufRead,
    (size, sha256): (u64, Digest),
    mut to: impl Write,
) -> Result<(), UnpackError> {
    let found = Digest::of(old);
    if found != patch.from {
        return Err(UnpackError::Other { found, wanted: patch.from });
    }
    let mut decoder = Decoder::with_ref_prefix(packed, old).map_err(UnpackError::Frame)?;
    // As long as both files and no longer: the frame's header can't ask for more than planned.
    let window =
        patch_memory(patch, size).max(1).next_power_of_two().trailing_zeros().clamp(10, PATCH_WINDOW);
    decoder.window_log_max(window).map_err(UnpackError::Frame)?;
    let (mut written, mut sum, mut step) = (0_u64, Sum::default(), vec![0; STEP]);
    loop {
        let read = decoder.read(&mut step).map_err(UnpackError::Frame)?;
        if read == 0 {
            break;
        }
        written = written.saturating_add(read as u64);
        if written > size {
            return Err(UnpackError::Length { longer: true, size });
        }
        sum.add(&step[..read]);
        to.write_all(&step[..read]).map_err(UnpackError::Write)?;
    }
    if written != size {
        return Err(UnpackError::Length { longer: false, size });
    }
    same(sum.digest(), sha256)
}
