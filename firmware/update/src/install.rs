//! A slot made what a manifest says, or gone on with.

use crate::error::InstallError;
use crate::fetch::Release;
use crate::folder::{Folder, forget, set_mode};
use crate::held::{Shelf, digest, part, spool};
use engawa_release::source::{MOST_PIECE, Source};
use engawa_release::{Digest, Plan, Way, name, plan};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Room for folders and what the file system needs itself, bytes.
const SLACK: u64 = 256 << 10;

/// Bounds of an installation.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What must be free on the disk afterwards: the journal goes on meanwhile. Bytes.
    pub reserve: u64,
    /// What applying a patch may take of memory, bytes; what would take more goes by chunks.
    pub patch_memory: u64,
    /// The most that is asked of the source at once, bytes.
    pub piece: usize,
    /// After so many bytes what was written is forced to the disk: what a power cut costs.
    pub sync_every: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { reserve: 32 << 20, patch_memory: 64 << 20, piece: MOST_PIECE, sync_every: 4 << 20 }
    }
}

/// How far an installation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that came from the source in this run.
    pub fetched: u64,
    /// How many it will be, as far as is known.
    pub to_fetch: u64,
    /// Bytes of files that are in their place.
    pub written: u64,
    /// What all files come to.
    pub to_write: u64,
}

/// What an installation has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The manifest's SHA-256.
    pub manifest: Digest,
    /// Bytes that came from the source in this run, the manifest's not among them.
    pub fetched: u64,
    /// Bytes that were taken from old files as chunks.
    pub kept: u64,
    /// Patches that were tried and of no use, and why.
    pub refused: Vec<String>,
}

/// An installation at work.
pub(crate) struct Work<'a> {
    pub(crate) source: &'a mut dyn Source,
    pub(crate) release: &'a Release,
    pub(crate) slot: Folder,
    pub(crate) shelf: Shelf,
    pub(crate) limits: Limits,
    pub(crate) progress: Progress,
    pub(crate) kept: u64,
    pub(crate) refused: Vec<String>,
    watch: &'a mut dyn FnMut(&Progress) -> bool,
    unsynced: u64,
}

/// A slot that was looked at, and has room for a release. Nobody else works in it meanwhile.
pub struct Weighed<'a> {
    release: &'a Release,
    slot: Folder,
    seeds: Vec<Folder>,
    shelf: Shelf,
    /// The manifest that is there is the release's.
    is_there: bool,
    limits: Limits,
}

impl std::fmt::Debug for Weighed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weighed").field("release", &self.release.path).finish_non_exhaustive()
    }
}

/// Makes the folder `slot` what the release says, from what the folders `seeds` have (the running slot) and from `source` what they
/// lack. What is there from an attempt before is gone on with; everything else in `slot` is removed. `watch` hears how far it is,
/// and stops it by `false`.
///
/// Whoever calls has made sure that the slot is not started meanwhile. Memory: the largest chunk and piece, or what
/// [`Limits::patch_memory`] allows. Blocks.
///
/// # Errors
/// See [`InstallError`]: what was right so far stays, and is not fetched again by the next call.
pub fn install(
    source: &mut dyn Source,
    release: &Release,
    slot: &Path,
    seeds: &[&Path],
    limits: Limits,
    watch: &mut dyn FnMut(&Progress) -> bool,
) -> Result<Installed, InstallError> {
    weigh(release, slot, seeds, limits)?.install(source, watch)
}

/// The first half of [`install`]: what is there, and whether there is room for the rest, counting what is in its way and will be
/// removed. Nothing in the slot is changed, so that whoever has no room keeps the release that lies there. Blocks.
///
/// # Errors
/// [`InstallError::Space`], and that the slot can't be opened, or that somebody is at work in it.
pub fn weigh<'a>(
    release: &'a Release,
    slot: &Path,
    seeds: &[&Path],
    limits: Limits,
) -> Result<Weighed<'a>, InstallError> {
    let told = |what: &str, source| InstallError::Io {
        what: what.to_owned(),
        folder: slot.display().to_string(),
        source,
    };
    match std::fs::create_dir(slot) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(told("making the slot", error));
        }
        Err(_) => {}
        // The folder itself is to survive a power cut too.
        Ok(()) => {
            let parent = slot.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = Folder::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync());
            parent.map_err(|error| told("forcing the new slot to the disk", error))?;
        }
    }
    let folder = Folder::open(slot).map_err(|error| told("opening the slot", error))?;
    if !folder.lock().map_err(|error| told("locking the slot", error))? {
        return Err(InstallError::Busy(slot.display().to_string()));
    }
    // An old folder that is not there has nothing to give.
    let seeds: Vec<Folder> = seeds.iter().filter_map(|seed| Folder::open(seed).ok()).collect();
    let shelf = Shelf::look(&release.manifest, &folder, &seeds);
    let is_there = has_manifest(release, &folder);
    if !is_there || shelf.held.done.len() < release.manifest.files.len() {
        let plan = plan(&release.manifest, &shelf.held, limits.patch_memory);
        let freed = in_the_way(release, &folder, &shelf, false)
            .and_then(|names| names.iter().map(|name| folder.takes(name)).sum::<io::Result<u64>>());
        let freed = freed.map_err(|error| told("looking at the slot", error))?;
        space(release, &folder, &shelf, &plan, limits, freed)?;
    }
    Ok(Weighed { release, slot: folder, seeds, shelf, is_there, limits })
}

impl Weighed<'_> {
    /// The second half of [`install`].
    ///
    /// # Errors
    /// As [`install`].
    pub fn install(
        self,
        source: &mut dyn Source,
        watch: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Installed, InstallError> {
        let Self { release, slot, seeds, shelf, is_there, limits } = self;
        let progress = Progress { to_write: release.manifest.unpacked(), ..Progress::default() };
        let (kept, refused, unsynced) = (0, vec![], 0);
        let work = Work { source, release, slot, shelf, limits, progress, kept, refused, watch, unsynced };
        work.run(&seeds, is_there)
    }
}

impl Work<'_> {
    fn run(mut self, seeds: &[Folder], is_there: bool) -> Result<Installed, InstallError> {
        let manifest = &self.release.manifest;
        self.tidy(false)?;
        if !is_there || self.shelf.held.done.len() < manifest.files.len() {
            // From here on until the end the slot is none that could be started.
            self.slot.remove(name::MANIFEST).map_err(|error| self.io("removing the old manifest", error))?;
            self.sync()?;
            // Each round but the last bars a patch or an old file, so they come to an end.
            loop {
                let plan = plan(manifest, &self.shelf.held, self.limits.patch_memory);
                space(self.release, &self.slot, &self.shelf, &plan, self.limits, 0)?;
                if self.files(&plan)? {
                    break;
                }
                let (barred, gone) = (self.shelf.held.barred.clone(), self.shelf.held.files.clone());
                self.shelf = Shelf::look(manifest, &self.slot, seeds);
                self.tidy(false)?;
                self.shelf.held.barred = barred;
                self.shelf.held.files.retain(|file| gone.contains(file));
            }
            self.sync()?;
            self.manifest()?;
        }
        self.tidy(true)?;
        let Self { release, progress, kept, refused, .. } = self;
        Ok(Installed { manifest: release.sha256(), fetched: progress.fetched, kept, refused })
    }

    /// All files, each its way. False where one of the ways was none.
    fn files(&mut self, plan: &Plan) -> Result<bool, InstallError> {
        self.progress.to_fetch = self.progress.fetched + plan.bytes;
        let done: u64 =
            self.shelf.held.done.iter().map(|number| self.release.manifest.files[*number].size).sum();
        self.progress.written = done;
        let mut by_chunks = Vec::new();
        for (number, way) in plan.ways.iter().enumerate() {
            let is_done = match way {
                Way::Done => true,
                Way::Copy => self.copy(number)?,
                Way::Patch(patch) => self.patch(number, *patch)?,
                Way::Chunks => {
                    by_chunks.push(number);
                    true
                }
            };
            if !is_done {
                return Ok(false);
            }
        }
        self.chunks(&by_chunks)?;
        Ok(true)
    }

    /// Removes what is not of this release; at the end also what was only needed on the way.
    fn tidy(&self, at_the_end: bool) -> Result<(), InstallError> {
        let tidied = in_the_way(self.release, &self.slot, &self.shelf, at_the_end)
            .and_then(|names| names.iter().try_for_each(|name| self.slot.remove(name)));
        tidied.map_err(|error| self.io("removing what is not of this release", error))
    }

    /// A file has all its bytes: they are forced to the disk and read back from there before it gets its name.
    pub(crate) fn finish(&mut self, number: usize, file: &File) -> Result<(), InstallError> {
        let listed = &self.release.manifest.files[number];
        let (begun, written) =
            (part(&listed.name), |error| self.io(&format!("writing {}", listed.name), error));
        set_mode(file, listed.mode).map_err(written)?;
        file.sync_all().map_err(written)?;
        forget(file);
        let found = digest(file).map_err(|error| self.io(&format!("reading {} back", listed.name), error))?;
        if found != listed.sha256 {
            self.slot.remove(&begun).map_err(|error| self.io("removing a spoilt file", error))?;
            return Err(InstallError::Medium { file: listed.name.clone() });
        }
        self.slot.rename(&begun, &listed.name).map_err(|error| self.io("naming a file", error))?;
        let again = file.try_clone().map_err(|error| self.io("keeping a file open", error))?;
        self.shelf.done(number, listed, again);
        Ok(())
    }

    /// The last step: with its manifest the slot is complete.
    fn manifest(&self) -> Result<(), InstallError> {
        let begun = part(name::MANIFEST);
        let write = || -> io::Result<()> {
            self.slot.remove(&begun)?;
            let file = self.slot.write(&begun)?;
            file.write_all_at(&self.release.bytes, 0)?;
            set_mode(&file, 0o644)?;
            file.sync_all()?;
            self.slot.rename(&begun, name::MANIFEST)?;
            self.slot.sync()
        };
        write().map_err(|error| self.io("writing the manifest", error))
    }

    fn sync(&self) -> Result<(), InstallError> {
        self.slot.sync().map_err(|error| self.io("forcing the slot to the disk", error))
    }

    /// Forces what was written to the disk, when it is enough.
    pub(crate) fn sync_some(&mut self, file: &File, more: usize) -> Result<(), InstallError> {
        self.unsynced += more as u64;
        if self.unsynced >= self.limits.sync_every {
            file.sync_data().map_err(|error| self.io("forcing bytes to the disk", error))?;
            self.unsynced = 0;
        }
        Ok(())
    }

    pub(crate) fn fetched(&mut self, bytes: usize) -> Result<(), InstallError> {
        self.progress.fetched += bytes as u64;
        self.told()
    }

    pub(crate) fn written(&mut self, bytes: u64) -> Result<(), InstallError> {
        self.progress.written += bytes;
        self.told()
    }

    fn told(&mut self) -> Result<(), InstallError> {
        if (self.watch)(&self.progress) { Ok(()) } else { Err(InstallError::Stopped) }
    }

    pub(crate) fn io(&self, what: &str, source: io::Error) -> InstallError {
        InstallError::Io { what: what.to_owned(), folder: self.slot.path().display().to_string(), source }
    }
}

/// Whether the slot has the release's manifest. One that can't be read is none.
fn has_manifest(release: &Release, slot: &Folder) -> bool {
    let found = || -> io::Result<bool> {
        let Some(file) = slot.read(name::MANIFEST)? else { return Ok(false) };
        Ok(file.metadata()?.len() == release.bytes.len() as u64 && digest(&file)? == release.sha256())
    };
    found().unwrap_or(false)
}

/// Names in the slot of what is not of this release, or was found spoilt; at the end also of what was only needed on the way.
fn in_the_way(release: &Release, slot: &Folder, shelf: &Shelf, at_the_end: bool) -> io::Result<Vec<String>> {
    let manifest = &release.manifest;
    let mut stays: BTreeSet<String> = manifest.files.iter().map(|file| file.name.clone()).collect();
    stays.insert(name::MANIFEST.to_owned());
    if !at_the_end {
        stays.extend(manifest.files.iter().map(|file| part(&file.name)));
        stays.extend(manifest.patches.iter().map(|patch| spool(patch.sha256)));
        stays.extend(manifest.files.iter().flat_map(|file| &file.chunks).map(|chunk| spool(chunk.sha256)));
        stays.retain(|name| !shelf.spoilt.contains(name));
    }
    let mut names = slot.names()?;
    names.retain(|name| !(stays.contains(name) && slot.is_regular(name).unwrap_or(false)));
    Ok(names)
}

/// Whether there is room for what `plan` writes, beside the reserve, once `freed` bytes more are free than now.
fn space(
    release: &Release,
    slot: &Folder,
    shelf: &Shelf,
    plan: &Plan,
    limits: Limits,
    freed: u64,
) -> Result<(), InstallError> {
    let mut needed = (release.bytes.len() as u64).saturating_add(SLACK).saturating_add(plan.bytes);
    for (file, way) in release.manifest.files.iter().zip(&plan.ways) {
        if *way != Way::Done {
            // What is begun has its room; what is in the way gives it back with the rest.
            let begun = part(&file.name);
            let there = if shelf.spoilt.contains(&begun) { 0 } else { slot.takes(&begun).unwrap_or(0) };
            needed = needed.saturating_add(file.size.saturating_sub(there));
        }
    }
    let (folder, reserve) = (slot.path().display().to_string(), limits.reserve);
    let needed = needed.saturating_add(reserve);
    let free = slot.free().map_err(|source| {
        let what = "looking for space".to_owned();
        InstallError::Io { what, folder: folder.clone(), source }
    })?;
    let free = free.saturating_add(freed);
    if needed > free { Err(InstallError::Space { folder, needed, reserve, free }) } else { Ok(()) }
}
