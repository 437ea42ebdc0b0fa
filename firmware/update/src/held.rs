//! What is on the disk already: in the running slot, and in the spare one from a time before.

use crate::folder::Folder;
use engawa_release::cut::cut;
use engawa_release::manifest::{File as Listed, MOST_UNPACKED, Manifest};
use engawa_release::{Digest, Held, Sum, name};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// Old files that are looked at; further ones are passed over, and what is in them is fetched.
const MOST_SEEDS: usize = 256;
/// Bytes that are read at once.
const STEP: usize = 64 << 10;

/// The name of a file that is being put together.
pub(crate) fn part(name: &str) -> String {
    format!(".part-{name}")
}

/// The name of a patch that is being fetched, or of a chunk whose fetching was interrupted.
pub(crate) fn spool(sha256: Digest) -> String {
    format!(".fetch-{sha256}")
}

/// A place where bytes of a known SHA-256 were found.
#[derive(Clone, Copy)]
struct Place {
    file: usize,
    at: u64,
    size: u64,
}

/// What was found, and where. It was so when it was looked at; whoever takes it looks again.
#[derive(Default)]
pub(crate) struct Shelf {
    files: Vec<File>,
    chunks: BTreeMap<Digest, Place>,
    whole: BTreeMap<Digest, Place>,
    /// For planning.
    pub(crate) held: Held,
    /// Of each file of the manifest: the chunks that are in its part already, by number.
    pub(crate) present: BTreeMap<usize, BTreeSet<usize>>,
    /// Names in the slot with something else behind them than the release has there, or what the disk does not give: in the way.
    pub(crate) spoilt: BTreeSet<String>,
}

impl Shelf {
    /// Looks at the slot and at the folders of old files. Nothing is changed.
    pub(crate) fn look(manifest: &Manifest, slot: &Folder, seeds: &[Folder]) -> Self {
        let mut shelf = Self::default();
        for (number, file) in manifest.files.iter().enumerate() {
            match slot.read(&file.name).and_then(|found| whole(found, file)) {
                Ok(Some(found)) => shelf.done(number, file, found),
                Ok(None) => {}
                // Of another release, or what can't be read: it is made anew.
                Err(_) => drop(shelf.spoilt.insert(file.name.clone())),
            }
            let begun = part(&file.name);
            if shelf.held.done.contains(&number) {
                continue;
            }
            let looked = slot
                .read(&begun)
                .and_then(|found| found.map_or(Ok(()), |found| shelf.look_at_part(number, file, found)));
            if looked.is_err() {
                shelf.spoilt.insert(begun);
            }
        }
        for patch in &manifest.patches {
            let name = spool(patch.sha256);
            match slot.read(&name).and_then(|found| found.map(|found| found.metadata()).transpose()) {
                Ok(None) => {}
                Ok(Some(data)) => {
                    shelf.held.spooled.insert(patch.sha256, data.len().min(patch.packed));
                }
                Err(_) => drop(shelf.spoilt.insert(name)),
            }
        }
        if shelf.held.done.len() < manifest.files.len() {
            shelf.look_at_seeds(manifest, seeds);
        }
        shelf.held.chunks = shelf.chunks.keys().copied().collect();
        shelf.held.files = shelf.whole.keys().copied().collect();
        shelf
    }

    /// A file of the release is there, and was verified: its chunks can be had from it.
    pub(crate) fn done(&mut self, number: usize, listed: &Listed, found: File) {
        let (mut at, file) = (0, self.files.len());
        for chunk in &listed.chunks {
            self.chunks.entry(chunk.sha256).or_insert(Place { file, at, size: chunk.size });
            at += chunk.size;
        }
        self.files.push(found);
        self.held.done.insert(number);
    }

    fn look_at_part(&mut self, number: usize, listed: &Listed, found: File) -> io::Result<()> {
        if found.metadata()?.len() != listed.size {
            return Ok(());
        }
        let (mut at, mut bytes, file) = (0, Vec::new(), self.files.len());
        let (mut present, mut places) = (BTreeSet::new(), Vec::new());
        for (chunk_number, chunk) in listed.chunks.iter().enumerate() {
            bytes.resize(usize::try_from(chunk.size).unwrap_or_default(), 0);
            found.read_exact_at(&mut bytes, at)?;
            if Digest::of(&bytes) == chunk.sha256 {
                present.insert(chunk_number);
                places.push((chunk.sha256, Place { file, at, size: chunk.size }));
            }
            at += chunk.size;
        }
        self.present.insert(number, present);
        self.chunks.extend(places);
        self.files.push(found);
        Ok(())
    }

    fn look_at_seeds(&mut self, manifest: &Manifest, seeds: &[Folder]) {
        // Only what is asked for is remembered.
        let chunks: BTreeSet<Digest> =
            manifest.files.iter().flat_map(|file| &file.chunks).map(|chunk| chunk.sha256).collect();
        let mut files: BTreeSet<Digest> = manifest.files.iter().map(|file| file.sha256).collect();
        files.extend(manifest.patches.iter().map(|patch| patch.from));
        let mut looked_at = 0;
        for folder in seeds {
            for old in folder.names().unwrap_or_default() {
                if name::file(&old).is_err() || looked_at == MOST_SEEDS {
                    continue;
                }
                // What can't be read is fetched instead.
                let Ok(Some(found)) = folder.read(&old) else { continue };
                if found.metadata().map_or(u64::MAX, |data| data.len()) <= MOST_UNPACKED {
                    looked_at += 1;
                    self.look_at_seed(manifest, found, &chunks, &files);
                }
            }
        }
    }

    fn look_at_seed(
        &mut self,
        manifest: &Manifest,
        found: File,
        chunks: &BTreeSet<Digest>,
        files: &BTreeSet<Digest>,
    ) {
        let (mut whole, mut size, file, before) = (Sum::default(), 0, self.files.len(), self.chunks.len());
        let places = &mut self.chunks;
        let cut = cut(&found, manifest.cut, |at, sha256, bytes| {
            whole.add(bytes);
            size += bytes.len() as u64;
            if chunks.contains(&sha256) {
                places.entry(sha256).or_insert(Place { file, at, size: bytes.len() as u64 });
            }
            Ok(())
        });
        let mut is_useful = self.chunks.len() > before;
        let whole = whole.digest();
        if cut.is_ok() && files.contains(&whole) {
            self.whole.entry(whole).or_insert(Place { file, at: 0, size });
            is_useful = true;
        }
        if is_useful {
            self.files.push(found);
        }
    }

    /// The chunk's bytes, if they are still what they were.
    pub(crate) fn chunk(&self, sha256: Digest) -> Option<Vec<u8>> {
        self.bytes(*self.chunks.get(&sha256)?, sha256)
    }

    /// The whole old file, if it is still what it was. It is in memory then: only for patches.
    pub(crate) fn old(&self, sha256: Digest) -> Option<Vec<u8>> {
        self.bytes(*self.whole.get(&sha256)?, sha256)
    }

    fn bytes(&self, place: Place, sha256: Digest) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(place.size).ok()?];
        self.files.get(place.file)?.read_exact_at(&mut bytes, place.at).ok()?;
        (Digest::of(&bytes) == sha256).then_some(bytes)
    }

    /// Copies an old file. False where it is not what it was.
    pub(crate) fn copy(&self, sha256: Digest, to: &File) -> io::Result<bool> {
        let Some((place, file)) =
            self.whole.get(&sha256).and_then(|place| Some((place, self.files.get(place.file)?)))
        else {
            return Ok(false);
        };
        let (mut at, mut sum, mut step) = (0, Sum::default(), vec![0; STEP]);
        while at < place.size {
            let Ok(read) = file.read_at(&mut step, at) else { return Ok(false) };
            if read == 0 {
                return Ok(false);
            }
            sum.add(&step[..read]);
            to.write_all_at(&step[..read], at)?;
            at += read as u64;
        }
        Ok(sum.digest() == sha256)
    }

    /// There is no such old file after all.
    pub(crate) fn bar_file(&mut self, sha256: Digest) {
        self.whole.remove(&sha256);
        self.held.files.remove(&sha256);
    }
}

/// The file, if there is one: an error where it is not all that it should be, or does not look like it.
fn whole(found: Option<File>, listed: &Listed) -> io::Result<Option<File>> {
    use std::os::unix::fs::PermissionsExt;
    let Some(file) = found else { return Ok(None) };
    let data = file.metadata()?;
    let looks = data.len() == listed.size && data.permissions().mode() & 0o7777 == listed.mode;
    if looks && digest(&file)? == listed.sha256 {
        Ok(Some(file))
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// The SHA-256 of a whole file.
pub(crate) fn digest(mut file: &File) -> io::Result<Digest> {
    use std::io::Seek;
    file.rewind()?;
    let (mut sum, mut step) = (Sum::default(), vec![0; STEP]);
    loop {
        let read = file.read(&mut step)?;
        if read == 0 {
            return Ok(sum.digest());
        }
        sum.add(&step[..read]);
    }
}
