//! Two releases made of two builds of the agent, and one of them installed, as a gateway does it: `run.sh` measures this
//! program from outside.
//!
//! `make OLD NEW REPOSITORY` makes releases 1 and 2. `install REPOSITORY NUMBER SLOT WAY [SEED]` installs one into the folder
//! SLOT, with what the folder SEED has; WAY is `patch` or `chunks`. It prints the bytes that came from the repository.
#![allow(clippy::print_stdout, reason = "the result")]

use anyhow::{Context as _, Result, bail};
use engawa_release::manifest::Kind;
use engawa_release::pack::{Content, Draft, Former, pack};
use engawa_release::{Digest, Piece, Source, SourceFault, name};
use engawa_update::{FolderSource, Limits, Release, install};
use std::fs;
use std::path::Path;

/// The target of the builds, as the manifest has it; the bench measures files, and runs none of them.
const TRIPLE: &str = "aarch64-unknown-linux-gnu";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["make", old, new, repository] => make(old, new, Path::new(repository)),
        ["install", repository, number, slot, way, ref seeds @ ..] => {
            let seeds: Vec<&Path> = seeds.iter().map(Path::new).collect();
            put(Path::new(repository), number, Path::new(slot), way, &seeds)
        }
        _ => bail!("make OLD NEW REPOSITORY, or install REPOSITORY NUMBER SLOT patch|chunks [SEED]"),
    }
}

fn make(old: &str, new: &str, repository: &Path) -> Result<()> {
    let read = |file: &str| fs::read(file).with_context(|| file.to_owned());
    let (old, new) = (read(old)?, read(new)?);
    let former = [Former { name: "engawa", bytes: &old }];
    for (number, bytes, former) in [(1, &old, &[][..]), (2, &new, &former[..])] {
        let draft = Draft {
            name: "engawa".to_owned(),
            version: format!("0.0.{number}"),
            number,
            floor: 1,
            kind: Kind::Application,
            triple: TRIPLE.to_owned(),
            hardware: Vec::new(),
            built: 0,
        };
        let made = pack(draft, &[Content { name: "engawa", mode: 0o755, bytes }], former)?;
        let folder = made.manifest.folder()?;
        let path = format!("{folder}/{}", name::MANIFEST);
        store(repository, &path, &made.manifest_bytes)?;
        store(repository, &format!("{folder}/{}", name::PACK), &made.pack)?;
        for (patch, bytes) in &made.patches {
            store(repository, &format!("{folder}/{patch}"), bytes)?;
        }
        // Where The Update Framework's metadata would say it.
        fs::write(
            repository.join(number.to_string()),
            format!("{path} {}", Digest::of(&made.manifest_bytes)),
        )?;
    }
    Ok(())
}

fn store(repository: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let file = repository.join(name::of_target(path, Digest::of(bytes))?);
    fs::create_dir_all(file.parent().context("a target without a folder")?)?;
    fs::write(&file, bytes).with_context(|| file.display().to_string())
}

/// Counts what is read.
struct Counted {
    from: FolderSource,
    bytes: u64,
}

impl Source for Counted {
    fn read(&mut self, name: &str, offset: u64, most: usize) -> Result<Option<Piece>, SourceFault> {
        let piece = self.from.piece(name, offset, most)?;
        self.bytes += piece.as_ref().map_or(0, |piece| piece.bytes.len() as u64);
        Ok(piece)
    }
}

fn put(repository: &Path, number: &str, slot: &Path, way: &str, seeds: &[&Path]) -> Result<()> {
    let said = fs::read_to_string(repository.join(number))?;
    let (path, digest) = said.split_once(' ').context("a release without its digest")?;
    let length = fs::metadata(repository.join(name::of_target(path, digest.parse()?)?))?.len();
    let patch_memory = match way {
        "patch" => Limits::default().patch_memory,
        "chunks" => 0,
        other => bail!("{other}: patch or chunks"),
    };
    let limits = Limits { patch_memory, ..Limits::default() };
    let mut source = Counted { from: FolderSource::open(repository)?, bytes: 0 };
    let release = Release::fetch(&mut source, path, length, digest.parse()?)?;
    install(&mut source, &release, slot, seeds, limits, &mut |_| true)?;
    println!("{}", source.bytes);
    Ok(())
}
