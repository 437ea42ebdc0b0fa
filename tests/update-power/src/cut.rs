//! What a power cut leaves of a disk: all that was flushed, and of the rest any part, torn between sectors.
//!
//! A cut is a position in the log. Writes up to it and after the last flush before it may be lost or torn, each by itself;
//! nothing behind it was begun. That is sound: the log has a write where its flush is, so whatever was on the disk for good
//! at a position stands before the flush.

use crate::log::{Entry, Write};

/// What a disk writes whole or not at all, bytes.
const SECTOR: usize = 512;

/// What becomes of writes that no flush has made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// All of them got to the disk.
    Kept,
    /// Each is kept, lost or torn as the seed says.
    Chance(u64),
    /// As `Chance`, on a disk that says "flushed" and is not: for as many flushes as are named, what they have made durable
    /// may be lost, too. No file system bears that; whoever looks for faults must find them here.
    Lying {
        /// The seed.
        seed: u64,
        /// How many flushes before the cut are lies.
        flushes: usize,
    },
}

/// A disk that follows a log, and can be had as a cut left it.
pub struct Disk<'a> {
    log: &'a [u8],
    entries: &'a [Entry],
    image: Vec<u8>,
    position: usize,
}

impl<'a> Disk<'a> {
    /// A disk as it was before the log began.
    pub fn new(image: Vec<u8>, log: &'a [u8], entries: &'a [Entry]) -> Self {
        Self { log, entries, image, position: 0 }
    }

    /// The disk after a cut behind `position` entries of the log (their number at most). Positions only go up.
    pub fn cut(&mut self, position: usize, pending: Pending) -> Vec<u8> {
        let position = position.min(self.entries.len());
        let lies = match pending {
            Pending::Lying { flushes, .. } => flushes,
            Pending::Kept | Pending::Chance(_) => 0,
        };
        let durable = flushed(self.entries, position, lies);
        // What the image has can't be taken back: it only goes as far as no later cut may lose anything.
        let settled = flushed(self.entries, position, LIES);
        for entry in self.entries.get(self.position..settled).unwrap_or_default() {
            if let Some(write) = &entry.write {
                put(&mut self.image, self.log, write, |_| true);
            }
        }
        self.position = self.position.max(settled);
        let mut image = self.image.clone();
        let mut dice = Dice(match pending {
            Pending::Kept => 0,
            Pending::Chance(seed) | Pending::Lying { seed, .. } => seed ^ position as u64,
        });
        for (index, entry) in self.entries.iter().enumerate().take(position).skip(self.position) {
            let Some(write) = &entry.write else { continue };
            let certain = pending == Pending::Kept || index < durable || (write.durable && lies == 0);
            match if certain { 0 } else { dice.below(4) } {
                0 | 1 => put(&mut image, self.log, write, |_| true),
                2 => {}
                _ => put(&mut image, self.log, write, |_| dice.below(2) == 0),
            }
        }
        image
    }
}

/// The most flushes that a disk of these tests lies about.
pub const LIES: usize = 8;

/// How many entries before a position are durable, when the last `lies` flushes are none.
fn flushed(entries: &[Entry], position: usize, lies: usize) -> usize {
    let flushes = entries.iter().enumerate().take(position).rev().filter(|(_, entry)| entry.flush);
    flushes.map(|(index, _)| index).nth(lies).unwrap_or(0)
}

fn put(image: &mut [u8], log: &[u8], write: &Write, mut sector: impl FnMut(usize) -> bool) {
    let bytes = log.get(write.bytes.clone()).unwrap_or_default();
    for (index, part) in bytes.chunks(SECTOR).enumerate() {
        let from = write.at + index * SECTOR;
        if let Some(place) = image.get_mut(from..from + part.len()).filter(|_| sector(index)) {
            place.copy_from_slice(part);
        }
    }
}

/// Luck from a seed: SplitMix64, so that a seed means the same in every release.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(at: usize, from: usize, sectors: usize, durable: bool) -> Entry {
        Entry {
            flush: false,
            write: Some(Write { at, bytes: from..from + sectors * SECTOR, durable }),
            mark: None,
        }
    }

    fn flush() -> Entry {
        Entry { flush: true, write: None, mark: None }
    }

    /// Data of the log: the first kilobyte ones, the second twos, and so on.
    fn data() -> Vec<u8> {
        (0..8192).map(|at| (at / 1024 + 1) as u8).collect()
    }

    #[test]
    fn what_was_flushed_stays_whatever_the_seed() {
        let data = data();
        let entries = [write(0, 0, 2, false), flush(), write(0, 1024, 2, false), write(1024, 2048, 2, true)];
        let mut torn = 0;
        for seed in 0..64 {
            let mut disk = Disk::new(vec![0; 2048], &data, &entries);
            let image = disk.cut(4, Pending::Chance(seed));
            assert!(
                image[..1024].iter().all(|byte| *byte == 1 || *byte == 2),
                "seed {seed}: a flushed write is gone"
            );
            assert!(
                image[1024..].iter().all(|byte| *byte == 3),
                "seed {seed}: what went past the cache is gone"
            );
            torn += usize::from(image[0] != image[512]);
        }
        assert!(torn > 0, "no seed tears a write");
    }

    #[test]
    fn nothing_behind_the_cut_is_there_and_all_before_it_where_it_was_kept() {
        let data = data();
        let entries = [write(0, 0, 2, false), write(1024, 1024, 2, false), flush(), write(0, 2048, 2, false)];
        let mut disk = Disk::new(vec![0; 2048], &data, &entries);
        assert_eq!(disk.cut(0, Pending::Kept), vec![0; 2048]);
        assert_eq!(disk.cut(1, Pending::Kept)[..1024], [1; 1024]);
        assert_eq!(disk.cut(1, Pending::Kept)[1024..], [0; 1024]);
        assert_eq!(disk.cut(4, Pending::Kept)[..1024], [3; 1024]);
    }

    #[test]
    fn a_disk_that_lies_loses_what_was_flushed() {
        let data = data();
        let entries = [write(0, 0, 2, false), flush(), write(1024, 1024, 2, false), flush()];
        let lost = (0..64).filter(|seed| {
            let mut disk = Disk::new(vec![0; 2048], &data, &entries);
            disk.cut(4, Pending::Lying { seed: *seed, flushes: 2 })[0] == 0
        });
        assert!(lost.count() > 0, "the lie costs nothing");
    }
}
