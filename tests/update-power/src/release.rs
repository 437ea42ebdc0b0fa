//! Releases of a program that is only as large as it must be: a script that hands over to these tests, and data beside it.

use anyhow::{Context as _, Result};
use engawa_release::manifest::Kind;
use engawa_release::pack::{Content, Draft, Former, pack};
use engawa_release::{Digest, name};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What the releases are built for.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// A release as its repository has it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// Its number.
    pub(crate) number: u64,
    /// Its version.
    pub(crate) version: String,
    /// Its manifest's digest.
    pub(crate) manifest: Digest,
    /// The manifest.
    pub(crate) manifest_bytes: Vec<u8>,
    /// The target path of the manifest.
    pub(crate) path: String,
    /// Its files.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// Makes releases 1 to `last` in a repository's folder: each has a patch from the one before, and a floor at itself.
pub(crate) fn make(repository: &Path, last: u64) -> Result<Vec<Made>> {
    let mut all: Vec<Made> = Vec::new();
    for number in 1..=last {
        let files =
            BTreeMap::from([("engawa".to_owned(), program(number)), ("data".to_owned(), data(number))]);
        let contents: Vec<Content<'_>> =
            files.iter().map(|(name, bytes)| Content { name, mode: mode(name), bytes }).collect();
        let former: Vec<Former<'_>> = all
            .last()
            .map(|old| old.files.iter().map(|(name, bytes)| Former { name, bytes }).collect())
            .unwrap_or_default();
        let version = format!("0.{number}.0");
        let draft = Draft {
            name: "engawa".to_owned(),
            version: version.clone(),
            number,
            floor: number,
            kind: Kind::Application,
            triple: TRIPLE.to_owned(),
            hardware: Vec::new(),
            built: 1_700_000_000,
        };
        let made = pack(draft, &contents, &former).with_context(|| format!("release {number}"))?;
        let folder = made.manifest.folder()?;
        let path = format!("{folder}/{}", name::MANIFEST);
        store(repository, &path, &made.manifest_bytes)?;
        store(repository, &format!("{folder}/pack"), &made.pack)?;
        for (patch, bytes) in &made.patches {
            store(repository, &format!("{folder}/{patch}"), bytes)?;
        }
        let manifest = Digest::of(&made.manifest_bytes);
        all.push(Made { number, version, manifest, manifest_bytes: made.manifest_bytes, path, files });
    }
    Ok(all)
}

/// The permissions of a release's file.
pub(crate) fn mode(name: &str) -> u32 {
    if name == "engawa" { 0o755 } else { 0o644 }
}

fn store(repository: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let file: PathBuf = repository.join(name::of_target(path, Digest::of(bytes))?);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&file, bytes).with_context(|| file.display().to_string())
}

/// It is the tests' program that runs; what follows is never read, and is another in each release.
fn program(number: u64) -> Vec<u8> {
    let mut text = String::from("#!/bin/sh\nexec /tools/engawa-update-power agent \"$0\"\n");
    for line in 0..600_u64 {
        // One line in sixty is of this release alone.
        let salt = if line % 60 == number % 60 { number } else { 0 };
        let _ = writeln!(
            text,
            "# {:016x}{:016x}",
            noise(line ^ (salt << 32)),
            noise(line ^ (salt << 32) ^ 0xa5a5)
        );
    }
    text.into_bytes()
}

fn data(number: u64) -> Vec<u8> {
    let words = (0..24 * 1024_u64).flat_map(|word| {
        let block = word / 512;
        noise(if block % 8 == number % 8 { word ^ (number << 40) } else { word }).to_le_bytes()
    });
    words.collect()
}

fn noise(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
