//! From what was fetched to what it stands for, with every bound kept while it streams.

use crate::manifest::{Chunk, Form, Patch};
use crate::{Digest, Sum};
use std::io::{self, Read, Write};
use zstd::stream::read::Decoder;

/// The largest window that a chunk's frame may ask for: 2^this bytes.
const CHUNK_WINDOW: u32 = 20;
/// The same for patches, whose window spans the old file and the new one.
const PATCH_WINDOW: u32 = 31;
/// The window of a frame with what bsdiff writes: 2^this bytes.
pub(crate) const DIFF_WINDOW: u32 = 23;
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

/// How much memory it takes to apply `patch` for a file of `size` bytes: the old file, and the window of the frame.
pub fn patch_memory(patch: &Patch, size: u64) -> u64 {
    let window = if patch.form == Form::Bsdiff { 1 << DIFF_WINDOW } else { size };
    patch.size.saturating_add(window)
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
    to: impl Write,
) -> Result<(), UnpackError> {
    let found = Digest::of(old);
    if found != patch.from {
        return Err(UnpackError::Other { found, wanted: patch.from });
    }
    let mut out = Bounded { to, left: size, size, sum: Sum::default() };
    match patch.form {
        Form::Zstd => moved(old, packed, patch_memory(patch, size), &mut out)?,
        Form::Bsdiff => changed(old, packed, &mut out)?,
        Form::Unknown => {
            let unknown =
                io::Error::new(io::ErrorKind::Unsupported, "a kind of patch that this release does not know");
            return Err(UnpackError::Frame(unknown));
        }
    }
    if out.left > 0 {
        return Err(UnpackError::Length { longer: false, size });
    }
    same(out.sum.digest(), sha256)
}

/// What is written: never more than the file has.
struct Bounded<W> {
    to: W,
    left: u64,
    size: u64,
    sum: Sum,
}

impl<W: Write> Bounded<W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(UnpackError::Length { longer: true, size: self.size });
        };
        self.left = left;
        self.sum.add(bytes);
        self.to.write_all(bytes).map_err(UnpackError::Write)
    }
}

/// A frame with the old file as its prefix.
fn moved(
    old: &[u8],
    packed: impl io::BufRead,
    memory: u64,
    out: &mut Bounded<impl Write>,
) -> Result<(), UnpackError> {
    let mut decoder = Decoder::with_ref_prefix(packed, old).map_err(UnpackError::Frame)?;
    // As long as both files and no longer: the frame's header can't ask for more than planned.
    let window = memory.max(1).next_power_of_two().trailing_zeros().clamp(10, PATCH_WINDOW);
    decoder.window_log_max(window).map_err(UnpackError::Frame)?;
    let mut step = vec![0; STEP];
    loop {
        match decoder.read(&mut step).map_err(UnpackError::Frame)? {
            0 => return Ok(()),
            read => out.put(&step[..read])?,
        }
    }
}

/// What bsdiff writes, again and again: three numbers (how many bytes are to be added to those of the old file, how many follow that
/// are new, by how much the place in the old file moves then), the differences, the new bytes. As of Matthew Endsley's bsdiff,
/// without its header: <https://github.com/mendsley/bsdiff>.
fn changed(old: &[u8], packed: impl io::BufRead, out: &mut Bounded<impl Write>) -> Result<(), UnpackError> {
    let mut decoder = Decoder::with_buffer(packed).map_err(UnpackError::Frame)?;
    decoder.window_log_max(DIFF_WINDOW).map_err(UnpackError::Frame)?;
    let senseless = |what: &str| UnpackError::Frame(io::Error::new(io::ErrorKind::InvalidData, what));
    let (mut at, mut step) = (0_i64, vec![0; STEP]);
    loop {
        let mut head = [0; 24];
        if decoder.read(&mut head[..1]).map_err(UnpackError::Frame)? == 0 {
            return Ok(());
        }
        decoder.read_exact(&mut head[1..]).map_err(UnpackError::Frame)?;
        let mut numbers = head.as_chunks::<8>().0.iter().map(|bytes| number(*bytes));
        let [differ, fresh, seek] =
            [numbers.next(), numbers.next(), numbers.next()].map(Option::unwrap_or_default);
        let differ = u64::try_from(differ).map_err(|_| senseless("fewer than no bytes that differ"))?;
        let mut left = u64::try_from(fresh).map_err(|_| senseless("fewer than no new bytes"))?;
        let mut changed = differ;
        while changed > 0 {
            let some = STEP.min(usize::try_from(changed).unwrap_or(STEP));
            decoder.read_exact(&mut step[..some]).map_err(UnpackError::Frame)?;
            for byte in &mut step[..some] {
                // Beyond the old file there is nothing to add to.
                let before = usize::try_from(at).ok().and_then(|at| old.get(at)).copied().unwrap_or(0);
                *byte = byte.wrapping_add(before);
                at = at.saturating_add(1);
            }
            out.put(&step[..some])?;
            changed -= some as u64;
        }
        while left > 0 {
            let some = STEP.min(usize::try_from(left).unwrap_or(STEP));
            decoder.read_exact(&mut step[..some]).map_err(UnpackError::Frame)?;
            out.put(&step[..some])?;
            left -= some as u64;
        }
        at = at.saturating_add(seek);
    }
}

/// A number as bsdiff writes it: the magnitude little-endian, and the highest bit for a minus.
fn number(bytes: [u8; 8]) -> i64 {
    let raw = u64::from_le_bytes(bytes);
    let magnitude = i64::try_from(raw & (u64::MAX >> 1)).unwrap_or(i64::MAX);
    if raw >> 63 == 1 { -magnitude } else { magnitude }
}
