//! Whether a guest's name is in any file that a day leaves behind: databases, their logs, the programs' output, keys,
//! configuration. Only the hotel's own folder may have names: it is the other side.

use crate::played::{self, Event};
use crate::proof::Check;
use anyhow::Context;
use std::collections::BTreeSet;
use std::path::Path;

/// Names with fewer bytes are in any random file sooner or later.
const FEWEST_BYTES: usize = 5;
/// What is read of one file at most, bytes; a day leaves far less.
const MOST_READ: u64 = 512 << 20;

/// Searches every file below `folder` for the names that the hotel's guests have.
///
/// # Errors
/// A file that can't be read, or is too large to be searched.
pub fn check(folder: &Path, events: &[Event]) -> anyhow::Result<Check> {
    let names: BTreeSet<String> = played::of(events, "checked_in")
        .flat_map(|event| [event.text("name"), event.text("first_name")])
        .map(|name| name.trim().to_owned())
        .filter(|name| name.len() >= FEWEST_BYTES)
        .collect();
    let (mut faults, mut files) = (Vec::new(), 0);
    search(folder, &Needles::new(&names), &mut faults, &mut files)?;
    let found = faults.len();
    if names.is_empty() || files == 0 {
        faults.push(format!("{} names in {files} files: a search of nothing proves nothing", names.len()));
    }
    Ok(Check {
        name: format!("guests' names in the {files} files left behind"),
        hotel: names.len(),
        cloud: found,
        faults,
    })
}

fn search(
    folder: &Path,
    needles: &Needles<'_>,
    faults: &mut Vec<String>,
    files: &mut usize,
) -> anyhow::Result<()> {
    let reading = || format!("reading {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        // A log beside a database may go while we look.
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            if path.file_name().is_none_or(|name| name != "hotel") {
                search(&path, needles, faults, files)?;
            }
        } else if meta.is_file() {
            anyhow::ensure!(meta.len() <= MOST_READ, "{} is too large to be searched", path.display());
            let Ok(bytes) = std::fs::read(&path) else { continue };
            *files += 1;
            faults.extend(needles.first_in(&bytes).map(|name| format!("{name} is in {}", path.display())));
        }
    }
    Ok(())
}

/// Names by their first byte.
struct Needles<'a>(Vec<Vec<&'a str>>);

impl<'a> Needles<'a> {
    fn new(names: &'a BTreeSet<String>) -> Self {
        let mut by_byte = vec![Vec::new(); 256];
        for name in names {
            by_byte[usize::from(name.as_bytes()[0])].push(name.as_str());
        }
        Self(by_byte)
    }

    fn first_in(&self, bytes: &[u8]) -> Option<&'a str> {
        (0..bytes.len()).find_map(|at| {
            let here = &self.0[usize::from(bytes[at])];
            here.iter().find(|name| bytes[at..].starts_with(name.as_bytes())).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_in_a_file_is_found_and_the_hotels_own_folder_is_not_searched() {
        let folder = tempfile::tempdir().unwrap();
        let event = |name: &str| Event {
            at: 0,
            event: "checked_in".into(),
            body: json!({ "name": name, "first_name": "Li" }),
        };
        let events = [event("Köhler "), event("佐藤")];
        let write = |path: &str, bytes: &[u8]| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        write("hotel/played.jsonl", "Köhler".as_bytes());
        assert!(!check(folder.path(), &events).unwrap().holds(), "nothing was searched");
        write("agent/x.db", b"Li is too short to say anything");
        let clean = check(folder.path(), &events).unwrap();
        assert!(clean.holds() && (clean.hotel, clean.cloud) == (2, 0), "{clean:?}");
        write("agent/deep/y.db-wal", "\0\0佐藤\0".as_bytes());
        let found = check(folder.path(), &events).unwrap();
        assert!(found.faults.len() == 1 && found.faults[0].starts_with("佐藤 is in "), "{found:?}");
        assert!(!check(folder.path(), &[]).unwrap().holds(), "without names");
    }
}
