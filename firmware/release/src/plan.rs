//! What is to be fetched: for each file the way with the fewest bytes on the line.

use crate::manifest::{File, Form, Manifest};
use crate::unpack::patch_memory;
use crate::{Chunk, Digest};
use std::collections::{BTreeMap, BTreeSet};

/// What is on the gateway's disk.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Files of the release that are there and were verified, by their number.
    pub done: BTreeSet<usize>,
    /// Chunks that can be read from somewhere.
    pub chunks: BTreeSet<Digest>,
    /// Whole files that can be read from somewhere.
    pub files: BTreeSet<Digest>,
    /// How much of which patch (by its SHA-256) was fetched before, bytes.
    pub spooled: BTreeMap<Digest, u64>,
    /// Patches that have proved useless, by their number.
    pub barred: BTreeSet<usize>,
}

/// How a file comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is there.
    Done,
    /// An old file is the same.
    Copy,
    /// By the patch of this number.
    Patch(usize),
    /// Chunk by chunk: those that are held, and those of the pack.
    Chunks,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For each file of the manifest, in its order.
    pub ways: Vec<Way>,
    /// Chunks to be fetched, each once, as they lie in the pack.
    pub fetch: Vec<Chunk>,
    /// What is still to be fetched of chunks and patches, bytes.
    pub bytes: u64,
    /// Bytes of memory that the largest patch takes.
    pub memory: u64,
}

/// Decides what to fetch. A patch is taken only where it and both files take at most `most_memory` bytes while it is applied.
pub fn plan(manifest: &Manifest, held: &Held, most_memory: u64) -> Plan {
    let mut plan = Plan { ways: vec![], fetch: vec![], bytes: 0, memory: 0 };
    let mut asked: BTreeMap<u64, Chunk> = BTreeMap::new();
    // Files that are there, or come without a chunk of their own, come first.
    let mut coming: BTreeSet<Digest> = manifest
        .files
        .iter()
        .enumerate()
        .filter(|(number, file)| held.done.contains(number) || held.files.contains(&file.sha256))
        .flat_map(|(_, file)| file.chunks.iter().map(|chunk| chunk.sha256))
        .collect();
    for (number, file) in manifest.files.iter().enumerate() {
        let way = if held.done.contains(&number) {
            Way::Done
        } else if held.files.contains(&file.sha256) {
            Way::Copy
        } else {
            let mut seen = BTreeSet::new();
            let lacking: Vec<Chunk> = file
                .chunks
                .iter()
                .filter(|chunk| !held.chunks.contains(&chunk.sha256) && !coming.contains(&chunk.sha256))
                .filter(|chunk| seen.insert(chunk.sha256))
                .copied()
                .collect();
            let chunks = lacking.iter().fold(0, |sum: u64, chunk| sum.saturating_add(chunk.packed));
            match best_patch(manifest, file, held, most_memory).filter(|(bytes, _)| *bytes < chunks) {
                Some((bytes, patch)) => {
                    plan.bytes = plan.bytes.saturating_add(bytes);
                    plan.memory = plan.memory.max(patch_memory(&manifest.patches[patch], file.size));
                    Way::Patch(patch)
                }
                None => {
                    plan.bytes = plan.bytes.saturating_add(chunks);
                    asked.extend(lacking.into_iter().map(|chunk| (chunk.at, chunk)));
                    Way::Chunks
                }
            }
        };
        // Whichever way the file comes, other files find its chunks there.
        coming.extend(file.chunks.iter().map(|chunk| chunk.sha256));
        plan.ways.push(way);
    }
    plan.fetch = asked.into_values().collect();
    plan
}

/// The patch with the fewest bytes still to be fetched, and how many they are.
fn best_patch(manifest: &Manifest, file: &File, held: &Held, most_memory: u64) -> Option<(u64, usize)> {
    let usable = manifest.patches.iter().enumerate().filter(|(number, patch)| {
        patch.file == file.name
            && held.files.contains(&patch.from)
            && !held.barred.contains(number)
            && patch.form != Form::Unknown
            && patch_memory(patch, file.size) <= most_memory
    });
    let rest = usable.map(|(number, patch)| {
        let spooled = held.spooled.get(&patch.sha256).copied().unwrap_or(0);
        (patch.packed.saturating_sub(spooled), number)
    });
    rest.min()
}
