//! The first release, laid by whoever installs the box; and a look at what is there.

use crate::args::Install;
use engawa_slots::check::{Check, is_file_name};
use engawa_slots::files::Folder;
use engawa_slots::install::{Source, describe};
use engawa_slots::store::{Store, StoreFault};
use engawa_slots::{Digest, MANIFEST, PROGRAM, Slot};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Cursor, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A manifest for files that come without one. It has no chunks: nothing is fetched by it.
#[derive(Serialize)]
struct Plain<'a> {
    format: u32,
    name: &'a str,
    version: &'a str,
    number: u64,
    floor: u64,
    kind: &'a str,
    triple: &'a str,
    hardware: [&'a str; 0],
    built: i64,
    files: Vec<PlainFile>,
    pack: Pack,
    patches: [&'a str; 0],
}

#[derive(Serialize)]
struct PlainFile {
    name: String,
    mode: u32,
    size: u64,
    sha256: String,
    chunks: [u8; 0],
}

#[derive(Serialize)]
struct Pack {
    sha256: String,
    size: u64,
}

pub(crate) fn install(options: Install) -> Result<String, String> {
    let Install { folder, version, number, once, replaces, files } = options;
    if !engawa_slots::table::is_word(&version) {
        return Err(format!("--release {version:?} is no plain word of 64 characters at most"));
    }
    if once && let Ok(table) = Store::peek(&Folder::new(&folder)) {
        return Ok(format!("installed already: {}\n", describe(&table)));
    }
    let mut sources: Vec<Source<Box<dyn Read>>> = Vec::new();
    let mut listed = Vec::new();
    let mut manifest = None;
    for path in files {
        let name = name_of(&path)?;
        let at = |fault: std::io::Error| format!("{}: {fault}", path.display());
        let mut file = File::open(&path).map_err(at)?;
        let mode = file.metadata().map_err(at)?.permissions().mode() & 0o777;
        let mut sum = Sha256::new();
        let size = std::io::copy(&mut file, &mut Summing(&mut sum)).map_err(at)?;
        let digest = Digest(sum.finalize().into());
        if name == MANIFEST {
            manifest = Some(digest);
        } else {
            listed.push(PlainFile { name: name.clone(), mode, size, sha256: digest.to_string(), chunks: [] });
        }
        let from = Box::new(File::open(&path).map_err(at)?);
        sources.push(Source { name, mode, from });
    }
    let digest = match manifest {
        Some(digest) => digest,
        None => {
            let text = plain(&version, number, listed)?;
            let digest = Digest::of(&text);
            sources.push(Source {
                name: MANIFEST.to_owned(),
                mode: 0o644,
                from: Box::new(Cursor::new(text)),
            });
            digest
        }
    };
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    let slots = [Slot::A, Slot::B].map(|slot| folder.join(slot.name()));
    let folders = slots.into_iter().chain([folder.clone()]);
    let fresh: Vec<PathBuf> = folders.filter(|path| !path.exists()).collect();
    std::fs::create_dir_all(&folder).map_err(|fault| format!("{}: {fault}", folder.display()))?;
    let table = engawa_slots::install::install(Folder::new(&folder), sources, digest, replaces);
    let table = table.map_err(|fault| {
        clear(&folder, &names, &fresh);
        fault.to_string()
    })?;
    let (shown, about) = (folder.display(), describe(&table));
    Ok(format!(
        "installed in {shown}: {about}\nstart it:  engawa-supervisor {shown} -- /etc/engawa/engawa.toml\n"
    ))
}

/// Takes away what was laid for nothing: the files, and the folders that were not there before. Where there is a table, or the
/// beginning of one, all stays: what lies here may be started by it.
fn clear(folder: &Path, names: &[String], fresh: &[PathBuf]) {
    if !matches!(Store::peek(&Folder::new(folder)), Err(StoreFault::Nothing)) {
        return;
    }
    // What can't be removed is written over by the next installation.
    for name in names {
        let _ = std::fs::remove_file(folder.join(Slot::A.name()).join(name));
    }
    for path in fresh {
        let _ = std::fs::remove_dir(path);
    }
}

fn plain(version: &str, number: u64, files: Vec<PlainFile>) -> Result<Vec<u8>, String> {
    let triple = match std::env::consts::ARCH {
        "arm" => "armv7-unknown-linux-gnueabihf".to_owned(),
        other => format!("{other}-unknown-linux-gnu"),
    };
    let plain = Plain {
        format: 1,
        name: "engawa",
        version,
        number,
        floor: 0,
        kind: "application",
        triple: &triple,
        hardware: [],
        built: 0,
        files,
        pack: Pack { sha256: Digest::of(b"").to_string(), size: 0 },
        patches: [],
    };
    serde_json::to_vec_pretty(&plain).map_err(|fault| fault.to_string())
}

fn name_of(path: &Path) -> Result<String, String> {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_file_name(name));
    name.map(str::to_owned).ok_or_else(|| {
        format!(
            "{}: a release's file has small letters, digits, '.', '_' and '-' in its name, 64 at most",
            path.display()
        )
    })
}

/// Reads all slots, and says what would be started.
pub(crate) fn check(folder: PathBuf) -> Result<String, String> {
    let files = Folder::new(&folder);
    let table = Store::peek(&files).map_err(|fault| fault.to_string())?;
    let mut text = format!("floor {}\n", table.floor);
    let mut startable = false;
    for slot in [Slot::A, Slot::B] {
        let role = match &table.trial {
            _ if slot == table.active => "active",
            Some(trial) if trial.slot == slot => "on trial",
            _ => "spare",
        };
        let found = match table.release(slot) {
            None => "nothing".to_owned(),
            Some(release) => match Check::new(slot, release.manifest, false).run(&files) {
                Ok(release) => {
                    startable |= table.may_start(slot);
                    format!("version {}, number {}: whole", release.version, release.number)
                }
                Err(fault) => {
                    format!("version {}, number {}: broken: {fault}", release.version, release.number)
                }
            },
        };
        text.push_str(&format!("slot {slot} ({role}): {found}\n"));
    }
    if startable { Ok(text) } else { Err(format!("no version can be started\n{text}")) }
}

/// The program that is started, by the table alone: nothing is read but that.
pub(crate) fn which(folder: &Path) -> Result<String, String> {
    let table = Store::peek(&Folder::new(folder)).map_err(|fault| fault.to_string())?;
    Ok(format!("{}\n", folder.join(table.wanted().name()).join(PROGRAM).display()))
}

struct Summing<'a>(&'a mut Sha256);

impl std::io::Write for Summing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
