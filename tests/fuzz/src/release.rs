//! Manifests of releases.
//!
//! Seen here: a manifest that is taken keeps every bound (names without a way out of a folder, modes, sums, ranges within the
//! pack, the ratio), comes back as it was when it is written and read; what is planned by it, whatever is held, is no more than the
//! pack, asks for nothing twice, and leaves no chunk that a file lacks; what a chunk or a patch is unpacked to is never more than
//! it says, nor anything else. Names of a repository lead nowhere else.

use arbitrary::Unstructured;
use engawa_release::manifest::{MOST_MODE, MOST_UNPACKED};
use engawa_release::{Chunk, Digest, Held, Manifest, Way, name, plan, unpack};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Plays bytes as a manifest, and as a script that changes a good one.
pub fn run(data: &[u8]) {
    if let Ok(manifest) = Manifest::read(data) {
        taken(&manifest, data);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        names(text);
    }
    let mut script = Unstructured::new(data);
    // A script that is over has been played as far as it goes.
    let _ = play(&mut script);
}

/// A manifest with two files, whose chunks are shared, and a patch.
fn good() -> Value {
    let digest = |of: &str| Digest::of(of.as_bytes()).to_string();
    let chunk =
        |of: &str, at: u64, size: u64| json!({"sha256": digest(of), "size": size, "at": at, "packed": 40});
    json!({
        "format": 1, "name": "engawa", "version": "1.2.3", "number": 5, "floor": 4, "kind": "application",
        "triple": "aarch64-unknown-linux-gnu", "hardware": ["rpi4"], "built": 1_800_000_000,
        "cut": {"min": 8192, "average": 32768, "max": 131_072},
        "files": [
            {"name": "engawa", "mode": 493, "size": 300, "sha256": digest("e"),
             "chunks": [chunk("1", 0, 100), chunk("2", 40, 100), chunk("1", 0, 100)]},
            {"name": "other", "mode": 420, "size": 150, "sha256": digest("o"),
             "chunks": [chunk("2", 40, 100), chunk("3", 80, 50)]},
        ],
        "pack": {"sha256": digest("p"), "size": 120},
        "patches": [{"file": "engawa", "from": digest("old"), "sha256": digest("patch"), "size": 290, "packed": 30}],
    })
}

const PLACES: [&str; 22] = [
    "/format",
    "/name",
    "/version",
    "/number",
    "/floor",
    "/triple",
    "/hardware/0",
    "/cut/min",
    "/cut/max",
    "/files/0/name",
    "/files/0/mode",
    "/files/0/size",
    "/files/0/chunks/0/size",
    "/files/0/chunks/0/at",
    "/files/0/chunks/1/packed",
    "/files/1/chunks/0/sha256",
    "/files/1/name",
    "/pack/size",
    "/patches/0/file",
    "/patches/0/size",
    "/patches/0/packed",
    "/patches/0/from",
];

fn play(script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut value = good();
    for _ in 0..script.int_in_range(0..=4_u8)? {
        let place = *script.choose(&PLACES)?;
        let wrong = match script.int_in_range(0..=4_u8)? {
            0 => json!(*script.choose(&[0_u64, 1, 40, 100, 150, 1 << 21, u64::MAX])?),
            1 => json!(script.arbitrary::<u64>()?),
            2 => json!(*script.choose(&["", ".", "..", "a/b", "manifest.json", "x", "engawa", "1.0.0"])?),
            3 => json!(Digest::of(&[script.arbitrary::<u8>()? % 4 + b'0']).to_string()),
            _ => json!(script.arbitrary::<i16>()?),
        };
        if let Some(found) = value.pointer_mut(place) {
            *found = wrong;
        }
    }
    let bytes = value.to_string();
    if let Ok(manifest) = Manifest::read(bytes.as_bytes()) {
        taken(&manifest, script.take_rest_of(200));
    }
    Ok(())
}

/// The rest of a script, as bits.
trait Rest {
    fn take_rest_of(&mut self, most: usize) -> &[u8];
}

impl Rest for Unstructured<'_> {
    fn take_rest_of(&mut self, most: usize) -> &[u8] {
        let count = self.len().min(most);
        self.bytes(count).unwrap_or_default()
    }
}

fn taken(manifest: &Manifest, bits: &[u8]) {
    let written = manifest.write().expect("what was taken can be written");
    assert_eq!(Manifest::read(&written).expect("and read"), *manifest);
    let mut unpacked = 0_u64;
    let mut seen = BTreeSet::new();
    for file in &manifest.files {
        assert!(!file.name.contains('/') && !file.name.starts_with('.') && !file.name.contains('\0'));
        assert!(seen.insert(&file.name), "{} twice", file.name);
        assert!(file.mode & !MOST_MODE == 0);
        let chunks: u128 = file.chunks.iter().map(|chunk| u128::from(chunk.size)).sum();
        assert_eq!(chunks, u128::from(file.size));
        for chunk in &file.chunks {
            assert!(u128::from(chunk.at) + u128::from(chunk.packed) <= u128::from(manifest.pack.size));
        }
        unpacked += file.size;
    }
    assert!(unpacked <= MOST_UNPACKED);
    planned(manifest, bits);
    if let Some(chunk) = manifest.files.iter().flat_map(|file| &file.chunks).next() {
        unpacked_to(chunk, bits);
    }
}

fn planned(manifest: &Manifest, bits: &[u8]) {
    let mut bits = bits.iter().map(|byte| byte & 1 == 1).chain(std::iter::repeat(false));
    let mut bit = || bits.next().unwrap_or(false);
    let mut held = Held::default();
    for chunk in manifest.files.iter().flat_map(|file| &file.chunks) {
        if bit() {
            held.chunks.insert(chunk.sha256);
        }
    }
    for patch in &manifest.patches {
        if bit() {
            held.files.insert(patch.from);
            held.spooled.insert(patch.sha256, patch.packed / 2);
        }
    }
    let memory = if bit() { u64::MAX } else { 500 };
    let plan = plan(manifest, &held, memory);
    assert!(plan.memory <= memory);
    assert_eq!(plan.ways.len(), manifest.files.len());
    let fetched: BTreeSet<Digest> = plan.fetch.iter().map(|chunk| chunk.sha256).collect();
    assert_eq!(fetched.len(), plan.fetch.len(), "nothing twice");
    assert!(fetched.is_disjoint(&held.chunks), "nothing that is held");
    let mut there: BTreeSet<Digest> = fetched.union(&held.chunks).copied().collect();
    for (file, way) in manifest.files.iter().zip(&plan.ways) {
        if *way != Way::Chunks {
            there.extend(file.chunks.iter().map(|chunk| chunk.sha256));
        }
    }
    for (file, way) in manifest.files.iter().zip(&plan.ways) {
        match way {
            Way::Patch(number) => assert!(held.files.contains(&manifest.patches[*number].from)),
            Way::Copy => assert!(held.files.contains(&file.sha256)),
            Way::Done => unreachable!("nothing was done"),
            Way::Chunks => assert!(file.chunks.iter().all(|chunk| there.contains(&chunk.sha256))),
        }
    }
}

fn unpacked_to(chunk: &Chunk, bytes: &[u8]) {
    if let Ok(out) = unpack::chunk(chunk, bytes) {
        assert_eq!((out.len() as u64, Digest::of(&out)), (chunk.size, chunk.sha256));
    }
}

fn names(text: &str) {
    if name::in_repository(text).is_ok() {
        assert!(text.starts_with("metadata/") || text.starts_with("targets/"));
        assert!(text.split('/').all(|part| !matches!(part, "" | "." | "..")));
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
    }
    let sum = Digest::of(b"");
    if let Ok(name) = name::of_target(text, sum) {
        assert_eq!(name::in_repository(&name), Ok(()));
    }
}
