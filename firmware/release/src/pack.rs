//! Making a release out of files: the pack, the patches, the manifest. The same files give the same bytes.

use crate::cut::{Cut, cut};
use crate::manifest::{Chunk, FORMAT, File, Form, Kind, Manifest, ManifestError, Pack, Patch};
use crate::unpack::DIFF_WINDOW;
use crate::{Digest, name};
use std::collections::BTreeMap;
use std::io::{self, Write};
use zstd::bulk::Compressor;
use zstd::stream::write::Encoder;

/// How hard chunks and patches are compressed where nothing else is asked: once here, for every gateway.
pub const LEVEL: i32 = 19;
/// The largest window that a patch is written with: 2^this bytes, zstd's bound on machines of 32 bits.
const MOST_WINDOW: u32 = 30;
/// bsdiff is slow: it is tried from this level on.
const DIFF_FROM: i32 = 10;
/// The largest file that bsdiff is tried on, bytes: it takes 16 times as much memory here.
const MOST_DIFF: usize = 64 << 20;

/// What a release says of itself.
#[derive(Clone, Debug)]
pub struct Draft {
    /// See [`Manifest::name`].
    pub name: String,
    /// See [`Manifest::version`].
    pub version: String,
    /// See [`Manifest::number`].
    pub number: u64,
    /// See [`Manifest::floor`].
    pub floor: u64,
    /// See [`Manifest::kind`].
    pub kind: Kind,
    /// See [`Manifest::triple`].
    pub triple: String,
    /// See [`Manifest::hardware`].
    pub hardware: Vec<String>,
    /// See [`Manifest::built`].
    pub built: i64,
}

/// A file that goes into a release.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Its name in the slot.
    pub name: &'a str,
    /// Its permissions.
    pub mode: u32,
    /// All of it.
    pub bytes: &'a [u8],
}

/// A file of a former release that a patch is to be made from.
#[derive(Clone, Copy, Debug)]
pub struct Former<'a> {
    /// Its name, which is also the new one's.
    pub name: &'a str,
    /// All of it.
    pub bytes: &'a [u8],
}

/// A release, to be stored and signed.
#[derive(Clone, Debug)]
pub struct Made {
    /// What is in it.
    pub manifest: Manifest,
    /// The manifest as it is stored.
    pub manifest_bytes: Vec<u8>,
    /// The pack.
    pub pack: Vec<u8>,
    /// The patches: file name in the release's folder, content.
    pub patches: Vec<(String, Vec<u8>)>,
}

/// A release that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// What would be in the manifest can't be.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// zstd failed.
    #[error("{name} can't be compressed")]
    Compress {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes a release. Patches are kept only where they are shorter than the chunks that the old file lacks.
///
/// # Errors
/// Names, modes or sizes that a manifest can't have.
pub fn pack(draft: Draft, contents: &[Content<'_>], former: &[Former<'_>]) -> Result<Made, PackError> {
    pack_at(LEVEL, draft, contents, former)
}

/// As [`pack`], compressed as hard as `level` of zstd's says: a lower one is quicker, and longer on the line; below
/// 10 there are no patches by bsdiff.
///
/// # Errors
/// As [`pack`].
pub fn pack_at(
    level: i32,
    draft: Draft,
    contents: &[Content<'_>],
    former: &[Former<'_>],
) -> Result<Made, PackError> {
    let unpacked = contents.iter().fold(0_u64, |sum, content| sum.saturating_add(content.bytes.len() as u64));
    let measures = Cut::for_size(unpacked);
    let (mut pack, mut places) = (Vec::new(), BTreeMap::new());
    let mut files = Vec::with_capacity(contents.len());
    for content in contents {
        let chunks = lay(level, content.bytes, measures, &mut pack, &mut places);
        let chunks =
            chunks.map_err(|source| PackError::Compress { name: content.name.to_owned(), source })?;
        files.push(File {
            name: content.name.to_owned(),
            mode: content.mode,
            size: content.bytes.len() as u64,
            sha256: Digest::of(content.bytes),
            chunks,
        });
    }
    let (mut listed, mut patches) = (Vec::new(), BTreeMap::new());
    for old in former {
        let Some(file) = files.iter().find(|file| file.name == old.name) else { continue };
        let Some(content) = contents.iter().find(|content| content.name == old.name) else { continue };
        let from = Digest::of(old.bytes);
        let key = name::patch(from);
        if from == file.sha256 || patches.contains_key(&key) {
            continue;
        }
        let failed = |source| PackError::Compress { name: old.name.to_owned(), source };
        let (form, bytes) = shortest(level, old.bytes, content.bytes).map_err(failed)?;
        if bytes.len() as u64 >= lacking(file, old.bytes, measures).map_err(failed)? {
            continue;
        }
        listed.push(Patch {
            file: file.name.clone(),
            from,
            sha256: Digest::of(&bytes),
            size: old.bytes.len() as u64,
            packed: bytes.len() as u64,
            form,
        });
        patches.insert(key, bytes);
    }
    let Draft { name, version, number, floor, kind, triple, hardware, built } = draft;
    let manifest = Manifest {
        format: FORMAT,
        name,
        version,
        number,
        floor,
        kind,
        triple,
        hardware,
        built,
        cut: measures,
        files,
        pack: Pack { sha256: Digest::of(&pack), size: pack.len() as u64 },
        patches: listed,
    };
    let manifest_bytes = manifest.write()?;
    Ok(Made { manifest, manifest_bytes, pack, patches: patches.into_iter().collect() })
}

/// Lays a file's chunks into the pack, those that are not there yet.
fn lay(
    level: i32,
    bytes: &[u8],
    measures: Cut,
    pack: &mut Vec<u8>,
    places: &mut BTreeMap<Digest, Chunk>,
) -> io::Result<Vec<Chunk>> {
    let mut compressor = Compressor::new(level)?;
    let mut chunks = Vec::new();
    cut(bytes, measures, |_, sha256, piece| {
        if let Some(known) = places.get(&sha256) {
            chunks.push(*known);
            return Ok(());
        }
        let packed = compressor.compress(piece)?;
        let chunk =
            Chunk { sha256, size: piece.len() as u64, at: pack.len() as u64, packed: packed.len() as u64 };
        pack.extend_from_slice(&packed);
        places.insert(sha256, chunk);
        chunks.push(chunk);
        Ok(())
    })?;
    Ok(chunks)
}

/// What a gateway with the old file would fetch of the pack, bytes.
fn lacking(file: &File, old: &[u8], measures: Cut) -> io::Result<u64> {
    let mut held = std::collections::BTreeSet::new();
    cut(old, measures, |_, sha256, _| {
        held.insert(sha256);
        Ok(())
    })?;
    Ok(file.chunks.iter().filter(|chunk| held.insert(chunk.sha256)).map(|chunk| chunk.packed).sum())
}

/// The shorter of both kinds of patch.
fn shortest(level: i32, old: &[u8], new: &[u8]) -> io::Result<(Form, Vec<u8>)> {
    let moved = patch_from(level, old, new)?;
    if level < DIFF_FROM || old.len().max(new.len()) > MOST_DIFF {
        return Ok((Form::Zstd, moved));
    }
    let changed = diff(level, old, new)?;
    Ok(if changed.len() < moved.len() { (Form::Bsdiff, changed) } else { (Form::Zstd, moved) })
}

/// What bsdiff writes, compressed.
fn diff(level: i32, old: &[u8], new: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    bsdiff::diff(old, new, &mut plain)?;
    let mut encoder = Encoder::new(Vec::new(), level)?;
    encoder.window_log(DIFF_WINDOW)?;
    encoder.write_all(&plain)?;
    encoder.finish()
}

/// What `zstd --patch-from` writes: a frame whose window spans both files, with the old one as its prefix.
fn patch_from(level: i32, old: &[u8], new: &[u8]) -> io::Result<Vec<u8>> {
    let span = (old.len() as u64).saturating_add(new.len() as u64).max(1);
    let window = span.next_power_of_two().trailing_zeros().clamp(10, MOST_WINDOW);
    let mut encoder = Encoder::with_ref_prefix(Vec::new(), level, old)?;
    encoder.window_log(window)?;
    encoder.long_distance_matching(true)?;
    encoder.set_pledged_src_size(Some(new.len() as u64))?;
    encoder.include_contentsize(true)?;
    encoder.write_all(new)?;
    encoder.finish()
}
