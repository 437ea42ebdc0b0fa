//! Releases in a folder, and a source that breaks.
#![allow(unreachable_pub, dead_code, reason = "a module of several tests")]

use engawa_release::manifest::Kind;
use engawa_release::pack::{Content, Draft, Former, Made, pack};
use engawa_release::source::{Piece, Source, SourceFault};
use engawa_release::{Digest, name};
use engawa_update::{FolderSource, Release};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const TRIPLE: &str = "aarch64-unknown-linux-gnu";

/// Bytes that look like a program: words that come again among noise, by a seed.
pub fn program(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        let word = next();
        if word.is_multiple_of(3) {
            bytes.extend_from_slice(b"mov eax, [rbp-8]");
        } else {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }
    bytes.truncate(length);
    bytes
}

pub fn draft(version: &str, number: u64) -> Draft {
    Draft {
        name: "engawa".into(),
        version: version.into(),
        number,
        floor: 0,
        kind: Kind::Application,
        triple: TRIPLE.into(),
        hardware: vec![],
        built: 1_800_000_000,
    }
}

/// A repository with one release, a slot, and a folder with old files.
pub struct Stand {
    pub dir: TempDir,
    pub release: Release,
    pub made: Made,
}

impl Stand {
    /// The release has these files (name, content); the old folder has those. Patches are made from all old files.
    pub fn new(files: &[(&str, &[u8])], old: &[(&str, &[u8])], with_patches: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let contents: Vec<_> =
            files.iter().map(|&(name, bytes)| Content { name, mode: 0o755, bytes }).collect();
        let former: Vec<_> = old.iter().map(|&(name, bytes)| Former { name, bytes }).collect();
        let made = pack(draft("1.1.0", 11), &contents, if with_patches { &former } else { &[] }).unwrap();
        let path = format!("{}/manifest.json", made.manifest.folder().unwrap());
        let store = |path: &str, bytes: &[u8]| {
            let file = dir.path().join("repository").join(name::of_target(path, Digest::of(bytes)).unwrap());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        };
        store(&path, &made.manifest_bytes);
        store(&name::beside(&path, name::PACK).unwrap(), &made.pack);
        for (file, bytes) in &made.patches {
            store(&name::beside(&path, file).unwrap(), bytes);
        }
        std::fs::create_dir(dir.path().join("old")).unwrap();
        for (name, bytes) in old {
            std::fs::write(dir.path().join("old").join(name), bytes).unwrap();
        }
        let release = Release::read(&path, made.manifest_bytes.clone()).unwrap();
        Self { dir, release, made }
    }

    pub fn slot(&self) -> PathBuf {
        self.dir.path().join("slot")
    }

    pub fn old(&self) -> PathBuf {
        self.dir.path().join("old")
    }

    pub fn source(&self) -> FolderSource {
        FolderSource::open(&self.dir.path().join("repository")).unwrap()
    }

    /// The files of the repository whose names end so.
    pub fn files(&self, end: &str) -> Vec<PathBuf> {
        let mut found = vec![];
        let mut folders = vec![self.dir.path().join("repository")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().ends_with(end) {
                    found.push(path);
                }
            }
        }
        found
    }

    /// Panics where the slot is not the release and nothing else.
    pub fn assert_installed(&self, files: &[(&str, &[u8])]) {
        let mut names = list(&self.slot());
        names.sort();
        let mut wanted: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
        wanted.push("manifest.json".into());
        wanted.sort();
        assert_eq!(names, wanted);
        for (name, bytes) in files {
            let found = std::fs::read(self.slot().join(name)).unwrap();
            assert!(found == *bytes, "{name} is something else");
        }
        assert_eq!(std::fs::read(self.slot().join("manifest.json")).unwrap(), self.made.manifest_bytes);
    }
}

pub fn list(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A source that gives at most `piece` bytes at once, and breaks when it has given `left`.
pub struct Breaking<S> {
    pub inner: S,
    pub piece: usize,
    pub left: u64,
    pub given: u64,
    /// It does not say so: whoever reads dies.
    pub kills: bool,
}

impl<S: Source> Source for Breaking<S> {
    fn read(&mut self, name: &str, offset: u64, most: usize) -> Result<Option<Piece>, SourceFault> {
        if self.left == 0 {
            assert!(!self.kills, "killed");
            return Err(SourceFault::Away("broken off".into()));
        }
        let most = most.min(self.piece).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let piece = self.inner.read(name, offset, most)?;
        let given = piece.as_ref().map_or(0, |piece| piece.bytes.len() as u64);
        self.left -= given;
        self.given += given;
        Ok(piece)
    }
}
