//! What a change costs on the line: a release made of NEW, installed beside OLD, by patch and by chunks.
//!
//! ```text
//! cargo run --release -p engawa-update --example delta -- OLD NEW          # a table, one row a way
//! cargo run --release -p engawa-update --example delta -- OLD NEW --json   # one object a line
//! ```
//!
//! `OLD` and `NEW` are two builds of one program. Each way is a process of its own, so that its peak of memory is its own.
#![allow(clippy::print_stdout, reason = "it prints a table")]

use engawa_release::manifest::Kind;
use engawa_release::pack::{Content, Draft, Former, pack};
use engawa_release::{Digest, name};
use engawa_update::{FolderSource, Limits, Release, install};
use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The ways: their names, whether there is an old slot, and what a patch may take of memory, bytes.
const WAYS: [(&str, bool, u64); 3] = [("whole", false, 0), ("chunks", true, 0), ("patch", true, u64::MAX)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["apply", folder, way] => apply(Path::new(folder), way),
        [old, new] => compare(Path::new(old), Path::new(new), false),
        [old, new, "--json"] => compare(Path::new(old), Path::new(new), true),
        _ => Err("usage: delta OLD NEW [--json]: two builds of one program".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("delta: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(old: &Path, new: &Path, as_json: bool) -> Result<()> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (old, new) = (read(old)?, read(new)?);
    let folder = std::env::temp_dir().join(format!("engawa-delta-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let done = make(&folder, &old, &new).and_then(|made| table(&folder, &made, as_json));
    std::fs::remove_dir_all(&folder)?;
    done
}

struct Made {
    size: usize,
    pack: usize,
    manifest: usize,
    seconds: f64,
}

/// A repository with the release, the running slot, and which release it is.
fn make(folder: &Path, old: &[u8], new: &[u8]) -> Result<Made> {
    let began = Instant::now();
    let draft = Draft {
        name: "engawa".into(),
        version: "1.0.1".into(),
        number: 2,
        floor: 0,
        kind: Kind::Application,
        triple: "any".into(),
        hardware: vec![],
        built: 0,
    };
    let content = Content { name: "engawa", mode: 0o755, bytes: new };
    let made = pack(draft, &[content], &[Former { name: "engawa", bytes: old }])?;
    let seconds = began.elapsed().as_secs_f64();
    let path = format!("{}/{}", made.manifest.folder()?, name::MANIFEST);
    let store = |path: &str, bytes: &[u8]| -> Result<()> {
        let file = folder.join("repository").join(name::of_target(path, Digest::of(bytes))?);
        std::fs::create_dir_all(file.parent().ok_or("a file without a folder")?)?;
        Ok(std::fs::write(file, bytes)?)
    };
    store(&name::beside(&path, name::PACK)?, &made.pack)?;
    for (file, bytes) in &made.patches {
        store(&name::beside(&path, file)?, bytes)?;
    }
    std::fs::create_dir(folder.join("old"))?;
    std::fs::write(folder.join("old/engawa"), old)?;
    std::fs::write(folder.join("path"), &path)?;
    std::fs::write(folder.join("manifest"), &made.manifest_bytes)?;
    Ok(Made { size: new.len(), pack: made.pack.len(), manifest: made.manifest_bytes.len(), seconds })
}

fn table(folder: &Path, made: &Made, as_json: bool) -> Result<()> {
    let Made { size, pack, manifest, seconds } = made;
    if !as_json {
        println!(
            "the program {size} bytes, the full release {pack}, its manifest {manifest}; made in {seconds:.1} s"
        );
        println!("{:<8} {:>12} {:>8} {:>9} {:>10}", "way", "bytes", "of full", "seconds", "peak KiB");
    }
    for (way, ..) in WAYS {
        let ran = Command::new(std::env::current_exe()?).arg("apply").arg(folder).arg(way).output()?;
        if !ran.status.success() {
            return Err(String::from_utf8_lossy(&ran.stderr).into_owned().into());
        }
        let told = String::from_utf8(ran.stdout)?;
        let [bytes, seconds, peak] = told.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("`{told}` is not what was expected").into());
        };
        // The manifest is fetched whichever way.
        let bytes = bytes.parse::<usize>()? + manifest;
        let share = 100.0 * bytes as f64 / (pack + manifest) as f64;
        if as_json {
            println!(
                r#"{{"way":"{way}","size":{size},"full":{},"bytes":{bytes},"percent":{share:.2},"seconds":{seconds},"peak_kib":{peak}}}"#,
                pack + manifest
            );
        } else {
            println!("{way:<8} {bytes:>12} {share:>7.2}% {seconds:>9} {peak:>10}");
        }
    }
    Ok(())
}

/// One way, in a process of its own: bytes that were fetched, seconds, peak of memory in KiB.
fn apply(folder: &Path, way: &str) -> Result<()> {
    let (_, has_old, patch_memory) = WAYS.into_iter().find(|(name, ..)| *name == way).ok_or("no such way")?;
    let path = std::fs::read_to_string(folder.join("path"))?;
    let release = Release::read(&path, std::fs::read(folder.join("manifest"))?)?;
    let (slot, old) = (folder.join(way), folder.join("old"));
    let seeds: &[&Path] = if has_old { &[&old] } else { &[] };
    let mut source = FolderSource::open(&folder.join("repository"))?;
    let limits = Limits { reserve: 0, patch_memory, ..Limits::default() };
    let began = Instant::now();
    let installed = install(&mut source, &release, &slot, seeds, limits, &mut |_| true)?;
    let seconds = began.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0").replace("kB", "");
    println!("{} {seconds:.3} {}", installed.fetched, peak.trim());
    Ok(())
}
