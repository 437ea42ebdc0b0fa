//! Old releases go: the metadata that each gateway fetches whole, and the disk, are to hold what somebody may still want.

use crate::release::folder::Folder;
use anyhow::Context;
use engawa_cloud::rollout::plan::Kind;
use engawa_release::name;
use engawa_tuf::TARGETS_FOLDER;
use engawa_tuf::metadata::{Metadata, Snapshot, Targets};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many releases of a line stay where nothing else is said.
pub(crate) const KEPT: usize = 8;

/// What became of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Retired {
    /// Folders of releases that are gone.
    pub(crate) gone: Vec<String>,
    /// Folders of old releases that stay, since a gateway or a rollout has them.
    pub(crate) in_use: Vec<String>,
}

/// Takes releases out of `targets` that are older than the newest `keep` of their line (what they run on, and the boards that they
/// name), and that nobody uses; `triple`: only of this one.
pub(crate) fn retire(
    targets: &mut Targets,
    keep: usize,
    triple: Option<&str>,
    in_use: &BTreeSet<(Kind, String)>,
) -> Retired {
    /// Number, folder, layer.
    type Release = (u64, String, Option<Kind>);
    let mut lines: BTreeMap<(String, String), Vec<Release>> = BTreeMap::new();
    for (path, entry) in &targets.targets {
        let Some(folder) = path.strip_suffix(name::MANIFEST).and_then(|path| path.strip_suffix('/')) else {
            continue;
        };
        let (Some((line, _)), Some(custom)) = (folder.rsplit_once('/'), &entry.custom) else { continue };
        if triple.is_some_and(|triple| line.rsplit('/').next() != Some(triple)) {
            continue;
        }
        let number = custom.get("number").and_then(Value::as_u64).unwrap_or_default();
        let kind = custom.get("kind").and_then(Value::as_str).and_then(Kind::of);
        let boards = custom.get("hardware").map(Value::to_string).unwrap_or_default();
        lines.entry((line.to_owned(), boards)).or_default().push((number, folder.to_owned(), kind));
    }
    let mut retired = Retired::default();
    for mut releases in lines.into_values() {
        releases.sort_by(|a, b| b.cmp(a));
        for (_, folder, kind) in releases.into_iter().skip(keep) {
            let version = folder.rsplit('/').next().unwrap_or_default();
            // Of a kind that is not known here nobody knows who has it.
            if kind.is_none_or(|kind| in_use.contains(&(kind, version.to_owned()))) {
                retired.in_use.push(folder);
                continue;
            }
            let own = format!("{folder}/");
            targets.targets.retain(|path, _| !path.starts_with(&own));
            retired.gone.push(folder);
        }
    }
    retired
}

/// A release that is in one list of targets and not in another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Vanished {
    /// The path of its manifest.
    pub(crate) path: String,
    /// What it updates, where that is known here.
    pub(crate) kind: Option<Kind>,
    /// Its version.
    pub(crate) version: String,
}

impl Vanished {
    /// Its folder.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or(&self.path, |(folder, _)| folder)
    }
}

/// Releases of `before` that are not in `after`.
pub(crate) fn vanished(before: &Targets, after: &Targets) -> Vec<Vanished> {
    let gone = before.targets.iter().filter(|(path, _)| !after.targets.contains_key(*path));
    let manifests = gone.filter_map(|(path, entry)| {
        let folder = path.strip_suffix(name::MANIFEST)?.strip_suffix('/')?;
        let custom = entry.custom.as_ref();
        Some(Vanished {
            path: path.clone(),
            kind: custom.and_then(|custom| custom.get("kind")?.as_str()).and_then(Kind::of),
            version: folder.rsplit('/').next().unwrap_or_default().to_owned(),
        })
    });
    manifests.collect()
}

/// Removes files of targets that no metadata in the repository names any more. Metadata stays for some publications after it was
/// replaced, so whoever reads just now finds its files. Gives how many went.
pub(crate) fn prune(folder: &Folder) -> anyhow::Result<usize> {
    let mut named = BTreeSet::new();
    for version in folder.versions(Targets::KIND)? {
        let targets = folder.read::<Targets>(&format!("{version}.targets.json"))?;
        for (path, entry) in targets.iter().flat_map(|known| &known.metadata.targets) {
            let sha256 = entry.hashes.get("sha256").map_or("", String::as_str);
            named.insert(match path.rsplit_once('/') {
                Some((folder, file)) => format!("{folder}/{sha256}.{file}"),
                None => format!("{sha256}.{path}"),
            });
        }
    }
    for version in folder.versions(Snapshot::KIND)? {
        let snapshot = folder.read::<Snapshot>(&format!("{version}.snapshot.json"))?;
        let mut roles = snapshot.iter().flat_map(|known| known.metadata.meta.keys());
        if roles.any(|role| role != "targets.json" && role != "root.json") {
            // Made by something else, with roles whose targets are not known here.
            return Ok(0);
        }
    }
    let top = folder.dir().join(TARGETS_FOLDER);
    if named.is_empty() || !top.is_dir() {
        return Ok(0);
    }
    sweep(&top, "", &named)
}

fn sweep(dir: &Path, at: &str, named: &BTreeSet<String>) -> anyhow::Result<usize> {
    let reading = || format!("reading {}", dir.display());
    let mut gone = 0;
    for entry in fs::read_dir(dir).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let (path, file) = (entry.path(), entry.file_name());
        let Some(file) = file.to_str() else { continue };
        let name = if at.is_empty() { file.to_owned() } else { format!("{at}/{file}") };
        let kind = entry.file_type().with_context(reading)?;
        if kind.is_dir() {
            gone += sweep(&path, &name, named)?;
            // Only where nothing is left in it.
            let _ = fs::remove_dir(&path);
        } else if kind.is_file() && is_target(file) && !named.contains(&name) {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            gone += 1;
        }
    }
    Ok(gone)
}

/// A file's name as publications make it: a SHA-256, a dot, the name. Whatever else lies there is somebody's own.
fn is_target(file: &str) -> bool {
    let Some((hash, name)) = file.split_once('.') else { return false };
    hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) && !name.ends_with(".part")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use engawa_tuf::metadata::TargetFile;
    use serde_json::json;

    fn targets(releases: &[(&str, u64, &str, Value)]) -> Targets {
        let mut targets = Targets::new(1, "2030-01-01T00:00:00Z".parse().unwrap());
        for (folder, number, kind, hardware) in releases {
            let custom = json!({ "number": number, "kind": kind, "hardware": hardware });
            for (file, custom) in [("manifest.json", Some(custom)), ("pack", None)] {
                let entry =
                    TargetFile { length: 1, hashes: BTreeMap::new(), custom, other: serde_json::Map::new() };
                targets.targets.insert(format!("{folder}/{file}"), entry);
            }
        }
        targets
    }

    #[test]
    fn the_newest_of_each_line_stay_and_whatever_somebody_has() {
        let app = "application";
        let any = || Value::Null;
        let all = [
            ("engawa/x/1.9.0", 9, app, any()),
            ("engawa/x/1.10.0", 10, app, any()),
            ("engawa/x/1.8.0", 8, app, any()),
            ("engawa/x/1.7.0", 7, app, any()),
            ("engawa/x/1.6.0", 6, app, json!(["box2"])),
            ("engawa/y/1.0.0", 1, app, any()),
            ("system/box1/1.7.0", 1, "system", any()),
            ("system/box1/1.8.0", 2, "system", any()),
            ("other/x/1.0.0", 1, "firmware of a lamp", any()),
            ("other/x/2.0.0", 2, "firmware of a lamp", any()),
        ];
        let in_use = BTreeSet::from([(Kind::Application, "1.7.0".to_owned())]);
        let mut kept = targets(&all);
        let retired = retire(&mut kept, 1, None, &in_use);
        assert_eq!(retired.gone, ["engawa/x/1.9.0", "engawa/x/1.8.0", "system/box1/1.7.0"]);
        assert_eq!(retired.in_use, ["engawa/x/1.7.0", "other/x/1.0.0"]);
        assert_eq!(kept.targets.len(), 14, "all files of what went");
        assert!(!kept.targets.contains_key("engawa/x/1.9.0/pack"));
        let retired = retire(&mut kept, 1, None, &in_use);
        assert_eq!(retired.gone.len(), 0, "once is enough");
        let retired = retire(&mut targets(&all), 1, Some("x"), &BTreeSet::new());
        assert_eq!(retired.gone, ["engawa/x/1.9.0", "engawa/x/1.8.0", "engawa/x/1.7.0"]);
    }

    #[test]
    fn files_that_no_metadata_names_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        folder.make().unwrap();
        let (old, new, own) = ("a".repeat(64), "b".repeat(64), "notes.txt");
        let put = |version: u64, releases: &[(&str, &str)]| {
            let mut targets = Targets::new(version, "2030-01-01T00:00:00Z".parse().unwrap());
            for (path, sha256) in releases {
                let hashes = BTreeMap::from([("sha256".to_owned(), (*sha256).to_owned())]);
                let entry = TargetFile { length: 1, hashes, custom: None, other: serde_json::Map::new() };
                targets.targets.insert((*path).to_owned(), entry);
            }
            let bytes = engawa_tuf::Document::new(&targets).unwrap().to_bytes().unwrap();
            folder.put(&format!("{version}.targets.json"), &bytes).unwrap();
        };
        put(1, &[("engawa/x/1.0.0/pack", &old), ("engawa/x/2.0.0/pack", &new)]);
        put(2, &[("engawa/x/2.0.0/pack", &new)]);
        let file = |path: &str| dir.path().join("targets").join(path);
        let (gone, stays) =
            (file(&format!("engawa/x/1.0.0/{old}.pack")), file(&format!("engawa/x/2.0.0/{new}.pack")));
        for path in [&gone, &stays, &file(own)] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert_eq!(prune(&folder).unwrap(), 0, "the first version is still there");
        fs::remove_file(folder.metadata("1.targets.json")).unwrap();
        assert_eq!(prune(&folder).unwrap(), 1);
        assert!(!gone.exists() && !gone.parent().unwrap().exists() && stays.exists() && file(own).exists());
        // Metadata that can't be read names who knows what.
        fs::write(folder.metadata("3.targets.json"), "{").unwrap();
        assert!(prune(&folder).is_err() && stays.exists());
    }
}
