//! The power goes at every step of installing, switching, confirming and going back; at each, every part of what was not
//! forced to the disk is kept, lost or torn; then again at every step of the supervisor's next life. And the supervisor's
//! process alone is killed at every step, and the power goes in its next life.
//! With any one sync left out, the same search finds a box that does not start.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod disk;
mod house;

use disk::{Disk, Image};
use house::{Expect, Files, next_life, play, survives};
use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

#[derive(Default)]
struct Search {
    without: Option<String>,
    /// What was looked at already, by its hash.
    known: HashSet<u64>,
    moments: usize,
    images: usize,
}

impl Search {
    fn run(without: Option<&str>, careful: bool, twice: bool) -> Result<(Self, BTreeSet<String>), String> {
        let mut search = Self { without: without.map(str::to_owned), ..Self::default() };
        let files = Files::new(Disk::default(), Expect::default(), without);
        play(&files, careful)?;
        for (disk, expect) in files.moments() {
            search.moments += 1;
            for image in disk.cuts() {
                if search.holds(&image, &expect)? && twice {
                    search.again(Disk::of(&image), &expect)?;
                }
            }
            // Only the process ends: what was not forced to the disk is still seen.
            search.again(disk, &expect)?;
        }
        Ok((search, files.syncs()))
    }

    /// Whether this image was new; an error where the box does not start from it.
    fn holds(&mut self, image: &Image, expect: &Expect) -> Result<bool, String> {
        let mut hasher = DefaultHasher::new();
        (image, expect).hash(&mut hasher);
        if !self.known.insert(hasher.finish()) {
            return Ok(false);
        }
        self.images += 1;
        survives(image, expect)?;
        Ok(true)
    }

    fn again(&mut self, disk: Disk, expect: &Expect) -> Result<(), String> {
        let files = Files::new(disk, expect.clone(), self.without.as_deref());
        next_life(&files, expect)?;
        for (disk, expect) in files.moments() {
            for image in disk.cuts() {
                self.holds(&image, &expect)?;
            }
        }
        Ok(())
    }
}

#[test]
fn wherever_the_power_goes_and_goes_again_a_whole_version_starts() {
    let (search, _) = Search::run(None, true, true).unwrap();
    println!("{} moments, {} different disks", search.moments, search.images);
    assert!(
        search.moments > 100 && search.images > 400,
        "{} moments, {} disks",
        search.moments,
        search.images
    );
}

#[test]
fn an_installer_that_forces_nothing_to_the_disk_harms_nobody() {
    let (search, _) = Search::run(None, false, false).unwrap();
    println!("{} moments, {} different disks", search.moments, search.images);
}

#[test]
fn without_any_one_sync_a_box_is_found_that_does_not_start() {
    let files = Files::new(Disk::default(), Expect::default(), None);
    play(&files, false).unwrap();
    let mut syncs = files.syncs();
    syncs.extend(["open:table.0", "open:table.1"].map(str::to_owned));
    let spared: Vec<&String> =
        syncs.iter().filter(|sync| Search::run(Some(sync), false, false).is_ok()).collect();
    println!("{} syncs", syncs.len());
    assert!(spared.is_empty(), "nobody misses {spared:?}");
}
