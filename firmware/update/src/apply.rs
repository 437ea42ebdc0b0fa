//! Files put together: by a patch, or chunk by chunk.

use crate::error::InstallError;
use crate::fetch::{FetchError, range};
use crate::folder::reserve;
use crate::held::{digest, part, spool};
use crate::install::Work;
use engawa_release::manifest::{Chunk, File as Listed};
use engawa_release::unpack;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::os::unix::fs::FileExt;

/// Where a chunk goes: in the part of the file of this number, from this byte on.
struct Spot {
    file: usize,
    at: u64,
}

/// A chunk to be fetched, and where it goes.
struct Lack {
    chunk: Chunk,
    spots: Vec<Spot>,
}

impl Work<'_> {
    /// An old file is the same. False where it is not any more.
    pub(crate) fn copy(&mut self, number: usize) -> Result<bool, InstallError> {
        let listed = &self.release.manifest.files[number];
        let to = self.fresh_part(listed)?;
        let copied =
            self.shelf.copy(listed.sha256, &to).map_err(|error| self.io("copying an old file", error))?;
        if !copied {
            self.shelf.bar_file(listed.sha256);
            return Ok(false);
        }
        self.written(listed.size)?;
        self.finish(number, &to).map(|()| true)
    }

    /// Fetches the patch and applies it. False where it is of no use: then it is gone.
    pub(crate) fn patch(&mut self, number: usize, patch_number: usize) -> Result<bool, InstallError> {
        let release = self.release;
        let (listed, patch) = (&release.manifest.files[number], &release.manifest.patches[patch_number]);
        let (name, kept) = (release.patch_name(patch)?, spool(patch.sha256));
        let packed = self.slot.write(&kept).map_err(|error| self.io("opening the patch's place", error))?;
        let mut at = packed.metadata().map_err(|error| self.io("looking at a patch", error))?.len();
        let mut begun_before = at > 0;
        loop {
            if at > patch.packed {
                at = 0;
            }
            if at == 0 {
                packed.set_len(0).map_err(|error| self.io("emptying the patch's place", error))?;
            }
            while at < patch.packed {
                let most = usize::try_from(patch.packed - at).unwrap_or(usize::MAX).min(self.limits.piece);
                let bytes = match range(self.source, &name, (at, most), patch.packed) {
                    Ok(bytes) => bytes,
                    Err(error @ FetchError::Source(_)) => return Err(error.into()),
                    // There are the chunks.
                    Err(error) => {
                        self.useless(patch_number, &kept, &error.to_string())?;
                        return Ok(false);
                    }
                };
                packed.write_all_at(&bytes, at).map_err(|error| self.io("writing a patch", error))?;
                at += bytes.len() as u64;
                self.fetched(bytes.len())?;
                self.sync_some(&packed, bytes.len())?;
            }
            let found = digest(&packed);
            if found.as_ref().is_ok_and(|found| *found == patch.sha256) {
                break;
            }
            // What was kept from before may have suffered; what comes fresh may not.
            if !begun_before {
                found.map_err(|error| self.io("reading a patch", error))?;
                self.useless(patch_number, &kept, &format!("{name} is not what was signed"))?;
                return Ok(false);
            }
            (begun_before, at) = (false, 0);
        }
        let Some(old) = self.shelf.old(patch.from) else {
            self.shelf.bar_file(patch.from);
            return Ok(false);
        };
        let mut to = self.fresh_part(listed)?;
        (&packed).rewind().map_err(|error| self.io("reading a patch", error))?;
        let applied =
            unpack::patch(patch, &old, BufReader::new(&packed), (listed.size, listed.sha256), &mut to);
        drop(old);
        match applied {
            Ok(()) => {}
            Err(unpack::UnpackError::Write(error)) => return Err(self.io("writing a patched file", error)),
            Err(error) => {
                self.useless(patch_number, &kept, &format!("{name}: {error}"))?;
                return Ok(false);
            }
        }
        self.written(listed.size)?;
        self.finish(number, &to)?;
        self.slot.remove(&kept).map_err(|error| self.io("removing a patch", error))?;
        Ok(true)
    }

    fn useless(&mut self, patch: usize, kept: &str, why: &str) -> Result<(), InstallError> {
        self.shelf.held.barred.insert(patch);
        self.refused.push(why.to_owned());
        self.slot.remove(kept).map_err(|error| self.io("removing a patch", error))
    }

    /// Puts files together chunk by chunk: what is held first, then what is lacking, in the order of the pack.
    pub(crate) fn chunks(&mut self, numbers: &[usize]) -> Result<(), InstallError> {
        let release = self.release;
        let (mut parts, mut lacks) = (BTreeMap::new(), BTreeMap::new());
        for &number in numbers {
            let listed = &release.manifest.files[number];
            let to = self.part(listed)?;
            self.fill(number, listed, &to, &mut lacks)?;
            let left =
                lacks.values().flat_map(|lack: &Lack| &lack.spots).filter(|spot| spot.file == number).count();
            if left == 0 {
                self.finish(number, &to)?;
            } else {
                parts.insert(number, (to, left));
            }
        }
        let lacks: Vec<Lack> = lacks.into_values().collect();
        self.progress.to_fetch =
            self.progress.fetched + lacks.iter().map(|lack| lack.chunk.packed).sum::<u64>();
        self.fetch(&lacks, &mut parts)
    }

    /// Writes the chunks that are held to where they belong, and notes the others, by their place in the pack.
    fn fill(
        &mut self,
        number: usize,
        listed: &Listed,
        to: &File,
        lacks: &mut BTreeMap<u64, Lack>,
    ) -> Result<(), InstallError> {
        let present = self.shelf.present.get(&number).cloned().unwrap_or_default();
        let mut at = 0;
        for (chunk_number, chunk) in listed.chunks.iter().enumerate() {
            if present.contains(&chunk_number) {
                self.written(chunk.size)?;
            } else if let Some(bytes) = self.shelf.chunk(chunk.sha256) {
                to.write_all_at(&bytes, at).map_err(|error| self.io("writing a chunk", error))?;
                self.kept += chunk.size;
                self.written(chunk.size)?;
                self.sync_some(to, bytes.len())?;
            } else {
                let lack = lacks.entry(chunk.at).or_insert_with(|| Lack { chunk: *chunk, spots: vec![] });
                lack.spots.push(Spot { file: number, at });
            }
            at += chunk.size;
        }
        Ok(())
    }

    fn fetch(
        &mut self,
        lacks: &[Lack],
        parts: &mut BTreeMap<usize, (File, usize)>,
    ) -> Result<(), InstallError> {
        let name = self.release.pack_name()?;
        let total = self.release.manifest.pack.size;
        // How far the pack is wanted without a hole, for each chunk: what may be asked for at once.
        let mut ends = vec![0; lacks.len()];
        for index in (0..lacks.len()).rev() {
            let own = lacks[index].chunk.at + lacks[index].chunk.packed;
            let follows = lacks.get(index + 1).is_some_and(|next| next.chunk.at == own);
            ends[index] = if follows { ends[index + 1] } else { own };
        }
        let (mut at, mut buffer) = (0, Vec::new());
        for (index, (lack, end)) in lacks.iter().zip(ends).enumerate() {
            let chunk = lack.chunk;
            if at != chunk.at {
                buffer.clear();
                at = chunk.at;
            }
            let mut is_kept = buffer.is_empty() && self.take_interrupted(&chunk, &mut buffer)?;
            // Checked to be at most a little more than MOST_CHUNK.
            let packed = usize::try_from(chunk.packed).unwrap_or(usize::MAX);
            let bytes = loop {
                if let Err(error) = self.fetch_upto(&name, (at, end, total), packed, &mut buffer) {
                    self.keep_interrupted(&lacks[index..], &buffer)?;
                    return Err(error);
                }
                match unpack::chunk(&chunk, &buffer[..packed]) {
                    Ok(bytes) => break bytes,
                    // What was kept may have suffered; what comes fresh may not.
                    Err(_) if is_kept => {
                        buffer.clear();
                        is_kept = false;
                    }
                    Err(error) => {
                        let reason = format!("the chunk of {packed} bytes at {at}: {error}");
                        return Err(FetchError::Damaged { name, reason }.into());
                    }
                }
            };
            buffer.drain(..packed);
            at += chunk.packed;
            if let Err(error) = self.place(lack, &bytes, parts) {
                self.keep_interrupted(&lacks[index + 1..], &buffer)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes a chunk to where it belongs.
    fn place(
        &mut self,
        lack: &Lack,
        bytes: &[u8],
        parts: &mut BTreeMap<usize, (File, usize)>,
    ) -> Result<(), InstallError> {
        for spot in &lack.spots {
            let Some((to, left)) = parts.get_mut(&spot.file) else { continue };
            to.write_all_at(bytes, spot.at).map_err(|error| self.io("writing a chunk", error))?;
            *left -= 1;
            let is_last = *left == 0;
            self.sync_some(to, bytes.len())?;
            self.written(lack.chunk.size)?;
            if is_last {
                self.finish(spot.file, to)?;
            }
        }
        Ok(())
    }

    /// Fetches until the buffer, which begins at `at` of the pack, has `packed` bytes; asks for no more than up to `end`.
    fn fetch_upto(
        &mut self,
        name: &str,
        (at, end, total): (u64, u64, u64),
        packed: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), InstallError> {
        while buffer.len() < packed {
            let from = at + buffer.len() as u64;
            let most = usize::try_from(end - from).unwrap_or(usize::MAX).min(self.limits.piece);
            let bytes = range(self.source, name, (from, most), total)?;
            buffer.extend_from_slice(&bytes);
            self.fetched(bytes.len())?;
        }
        Ok(())
    }

    /// What had come of these chunks when their fetching was interrupted: so a line that breaks often gets on too. The buffer
    /// begins with the first of them.
    fn keep_interrupted(&self, lacks: &[Lack], mut buffer: &[u8]) -> Result<(), InstallError> {
        for Lack { chunk, .. } in lacks {
            if buffer.is_empty() {
                break;
            }
            let length = buffer.len().min(usize::try_from(chunk.packed).unwrap_or(usize::MAX));
            let (some, rest) = buffer.split_at(length);
            let kept = self.slot.write(&spool(chunk.sha256)).and_then(|file| {
                file.set_len(0)?;
                file.write_all_at(some, 0)
            });
            kept.map_err(|error| self.io("keeping what was fetched of a chunk", error))?;
            buffer = rest;
        }
        Ok(())
    }

    fn take_interrupted(&self, chunk: &Chunk, buffer: &mut Vec<u8>) -> Result<bool, InstallError> {
        let name = spool(chunk.sha256);
        let read = || -> std::io::Result<Vec<u8>> {
            let Some(file) = self.slot.read(&name)? else { return Ok(Vec::new()) };
            let length = file.metadata()?.len();
            let mut bytes = vec![0; usize::try_from(length.min(chunk.packed)).unwrap_or_default()];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        // What can't be read is fetched again.
        let bytes = read().unwrap_or_default();
        self.slot.remove(&name).map_err(|error| self.io("removing what was fetched of a chunk", error))?;
        if bytes.is_empty() {
            return Ok(false);
        }
        *buffer = bytes;
        Ok(true)
    }

    /// The place where a file is put together, of the file's length, with what is there from before.
    fn part(&self, listed: &Listed) -> Result<File, InstallError> {
        let file = self.slot.write(&part(&listed.name)).and_then(|file| {
            reserve(&file, listed.size)?;
            Ok(file)
        });
        file.map_err(|error| self.io(&format!("making room for {}", listed.name), error))
    }

    /// The same, with nothing in it.
    fn fresh_part(&self, listed: &Listed) -> Result<File, InstallError> {
        let file = self.slot.remove(&part(&listed.name));
        file.map_err(|error| self.io("removing what was begun", error))?;
        self.part(listed)
    }
}
