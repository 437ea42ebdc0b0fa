//! What a power cut leaves: what was synced, and of what was not any part, in any order, torn between sectors. Pure.

use std::collections::BTreeMap;

/// The size that a disk writes whole or not at all, bytes.
const SECTOR: usize = 512;

/// One step of what was done to files, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes at an offset.
    Write {
        /// The file.
        file: String,
        /// Where.
        at: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// A new length.
    Truncate {
        /// The file.
        file: String,
        /// How long it is now.
        len: usize,
    },
    /// Everything before it in this file is on the disk once it is over.
    Sync {
        /// The file.
        file: String,
    },
    /// A file was removed.
    Delete {
        /// The file.
        file: String,
        /// It is certain that it is gone.
        synced: bool,
    },
    /// A file was replaced as a whole and synced, by other means than SQLite.
    Replace {
        /// The file.
        file: String,
        /// Its content.
        bytes: Vec<u8>,
    },
}

/// Where luck comes from.
pub trait Luck {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64;
}

#[derive(Clone, Default)]
struct File {
    synced: Option<Vec<u8>>,
    pending: Vec<Step>,
    /// It was synced since it was made.
    known: bool,
}

/// A disk on which steps were done.
#[derive(Clone, Default)]
pub struct Disk {
    files: BTreeMap<String, File>,
    lies: bool,
}

impl Disk {
    /// A disk that keeps its word.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk under a database that never syncs (`synchronous = OFF`): what counts as written is anybody's guess.
    pub fn that_never_syncs() -> Self {
        Self { lies: true, ..Self::default() }
    }

    /// Does a step, to its end.
    pub fn done(&mut self, step: &Step) {
        match step {
            Step::Sync { .. } if self.lies => {}
            Step::Sync { file: name } => {
                let file = self.file(name);
                file.settle();
                let new = !std::mem::replace(&mut file.known, true);
                // With the first sync of a journal that it has made SQLite syncs the folder, and what was removed there.
                if new && (name.ends_with("-wal") || name.ends_with("-journal")) {
                    self.files.retain(|_, file| !file.is_removed());
                }
            }
            Step::Delete { file, synced: true } => {
                self.files.remove(file);
            }
            Step::Delete { file: name, synced: false } => {
                let file = self.file(name);
                file.pending.push(step.clone());
                file.known = false;
            }
            Step::Replace { file, bytes } => {
                *self.file(file) = File { synced: Some(bytes.clone()), pending: vec![], known: true };
            }
            Step::Write { file, .. } | Step::Truncate { file, .. } => {
                self.file(file).pending.push(step.clone());
            }
        }
    }

    fn file(&mut self, name: &str) -> &mut File {
        self.files.entry(name.to_owned()).or_default()
    }

    /// What is there after a power cut now, while `step` was being done.
    pub fn cut(&self, step: Option<&Step>, luck: &mut dyn Luck) -> BTreeMap<String, Vec<u8>> {
        let mut disk = self.clone();
        // What was under way may have been done in part, as what was done and not synced; a sync has promised nothing yet.
        if let Some(step @ (Step::Write { .. } | Step::Truncate { .. })) = step {
            disk.done(step);
        }
        let files = disk.files.into_iter();
        files.filter_map(|(name, file)| Some((name, file.survives(luck)?))).collect()
    }
}

impl File {
    /// Its removal is the last that was done to it.
    fn is_removed(&self) -> bool {
        matches!(self.pending.last(), Some(Step::Delete { .. }))
    }

    fn settle(&mut self) {
        let mut content = self.synced.take();
        for step in self.pending.drain(..) {
            apply(&mut content, &step, &mut |_| true);
        }
        self.synced = Some(content.unwrap_or_default());
    }

    fn survives(self, luck: &mut dyn Luck) -> Option<Vec<u8>> {
        let mut content = self.synced;
        // Mostly little is lost, sometimes everything: each cut has its own weather.
        let weather = luck.below(5);
        for step in &self.pending {
            let (whole, torn) = match weather {
                0 => (false, false),
                1 => (true, false),
                2 => (luck.below(2) == 0, false),
                _ => (luck.below(3) == 0, luck.below(3) == 0),
            };
            if matches!(step, Step::Delete { .. }) && !whole {
                // Without its removal nothing of the new file of this name is there either.
                break;
            }
            if torn {
                apply(&mut content, step, &mut |_| luck.below(2) == 0);
            } else if whole {
                apply(&mut content, step, &mut |_| true);
            }
        }
        content
    }
}

fn apply(content: &mut Option<Vec<u8>>, step: &Step, takes: &mut dyn FnMut(usize) -> bool) {
    match step {
        Step::Write { at, bytes, .. } => {
            let content = content.get_or_insert_default();
            let mut from = 0;
            while from < bytes.len() {
                let sector = (at + from) / SECTOR;
                let to = ((sector + 1) * SECTOR - at).min(bytes.len());
                if takes(sector) {
                    if content.len() < at + to {
                        content.resize(at + to, 0);
                    }
                    content[at + from..at + to].copy_from_slice(&bytes[from..to]);
                }
                from = to;
            }
        }
        Step::Truncate { len, .. } => {
            if takes(0) {
                content.get_or_insert_default().resize(*len, 0);
            }
        }
        Step::Delete { .. } => {
            if takes(0) {
                *content = None;
            }
        }
        Step::Sync { .. } | Step::Replace { .. } => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    struct Seeded(u64);

    impl Luck for Seeded {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }
    }

    fn write(at: usize, bytes: &[u8]) -> Step {
        Step::Write { file: "f".into(), at, bytes: bytes.to_vec() }
    }

    #[test]
    fn what_was_synced_stays_and_what_was_not_may_be_torn_between_sectors() {
        let mut disk = Disk::new();
        disk.done(&write(0, &[1; 1024]));
        disk.done(&Step::Sync { file: "f".into() });
        disk.done(&write(0, &[2; 1024]));
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let after = disk.cut(None, &mut Seeded(seed)).remove("f").unwrap();
            assert_eq!(after.len(), 1024);
            assert!(after.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            seen.insert((after[0], after[512]));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(1, 1), (1, 2), (2, 1), (2, 2)]);
    }

    #[test]
    fn a_sync_that_is_under_way_has_promised_nothing_and_one_that_lies_never_does() {
        let mut disk = Disk::that_never_syncs();
        disk.done(&write(0, b"x"));
        disk.done(&Step::Sync { file: "f".into() });
        assert!((0..50).any(|seed| disk.cut(None, &mut Seeded(seed)).is_empty()));
        let mut disk = Disk::new();
        disk.done(&write(0, b"x"));
        let sync = Step::Sync { file: "f".into() };
        assert!((0..50).any(|seed| disk.cut(Some(&sync), &mut Seeded(seed)).is_empty()));
        disk.done(&sync);
        assert!((0..50).all(|seed| disk.cut(None, &mut Seeded(seed))["f"] == b"x"));
    }
}
