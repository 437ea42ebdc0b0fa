//! What the repository of releases has, as its metadata tell: for `rollout create`, and to notice what was revoked. Pure;
//! [`folder`] reads the files.
//!
//! Nothing is trusted here: a gateway verifies metadata and release by its own keys, and refuses what does not fit. Formats:
//! TUF specification 1.0.33, 4.4 to 4.6 (timestamp, snapshot, targets), with consistent snapshots (6.2).

pub mod folder;

use super::Refused;
use super::plan::{Kind, Release, Variant};
use super::state::Software;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A metadata file at most, bytes.
pub const MOST_METADATA: usize = 16 << 20;
/// A manifest at most, bytes.
pub const MOST_MANIFEST: usize = 16 << 20;
/// Manifests that are looked at; those of the highest numbers.
pub const MOST_MANIFESTS: usize = 2_000;
/// Roles whose metadata are looked at.
const MOST_ROLES: usize = 64;

/// Releases, as one reading of the repository has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    version: u64,
    releases: Vec<(Kind, String, Variant)>,
    targets: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Signed<T> {
    signed: T,
}

#[derive(Deserialize)]
struct Versions {
    version: u64,
    meta: BTreeMap<String, MetaFile>,
}

#[derive(Deserialize)]
struct MetaFile {
    version: u64,
}

#[derive(Deserialize)]
struct Targets {
    targets: BTreeMap<String, Target>,
}

#[derive(Deserialize)]
struct Target {
    hashes: BTreeMap<String, String>,
    #[serde(default)]
    custom: Option<Custom>,
}

#[derive(Deserialize)]
struct Custom {
    version: String,
    number: u64,
    #[serde(default)]
    floor: u64,
    kind: String,
}

#[derive(Default, Deserialize)]
struct Manifest {
    #[serde(default)]
    triple: String,
    #[serde(default)]
    hardware: Vec<String>,
}

/// Reads a file of the repository, of at most so many bytes; `None`: it is not there.
pub type Read<'a> = dyn Fn(&str, usize) -> Result<Option<Vec<u8>>, Refused> + 'a;

impl Catalogue {
    /// Reads the repository's metadata.
    ///
    /// # Errors
    /// There is none, or a file of it is absent or no metadata: which.
    pub fn read(read: &Read<'_>) -> Result<Self, Refused> {
        let timestamp: Versions = metadata(read, "metadata/timestamp.json")?;
        let newest = timestamp.version;
        let version = timestamp.meta.get("snapshot.json").map(|file| file.version);
        let version = version.ok_or_else(|| Refused::because("metadata/timestamp.json names no snapshot"))?;
        let snapshot: Versions = metadata(read, &format!("metadata/{version}.snapshot.json"))?;
        let mut found = Vec::new();
        let mut targets = BTreeSet::new();
        for (file, MetaFile { version }) in snapshot.meta.iter().take(MOST_ROLES) {
            if file == "root.json" {
                continue;
            }
            let role: Targets = metadata(read, &format!("metadata/{version}.{file}"))?;
            for (path, target) in role.targets {
                if path.ends_with("/manifest.json")
                    && let Some(custom) = target.custom
                    && let Some(kind) = Kind::of(&custom.kind)
                {
                    let sha256 = target.hashes.get("sha256").cloned().unwrap_or_default();
                    found.push((path.clone(), sha256, kind, custom));
                }
                targets.insert(path);
            }
        }
        found.sort_by(|a, b| b.3.number.cmp(&a.3.number).then_with(|| a.0.cmp(&b.0)));
        let mut releases = Vec::new();
        for (path, sha256, kind, custom) in found.into_iter().take(MOST_MANIFESTS) {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let Some(bytes) = read(&format!("targets/{folder}/{sha256}.{name}"), MOST_MANIFEST)? else {
                tracing::warn!(path, "a manifest is among the targets and not in the repository");
                continue;
            };
            let manifest: Manifest = serde_json::from_slice(&bytes)
                .map_err(|error| Refused(format!("{path} is no manifest: {error}")))?;
            let mut variant = Variant {
                triple: manifest.triple,
                hardware: manifest.hardware,
                number: custom.number,
                floor: custom.floor,
                manifest: path.clone(),
            };
            // The path says for whom it is, too: engawa/TRIPLE/... and system/HARDWARE/...
            match (kind, path.split('/').nth(1)) {
                (Kind::Application, Some(triple)) if variant.triple.is_empty() => {
                    triple.clone_into(&mut variant.triple)
                }
                (Kind::System, Some(hardware)) if variant.hardware.is_empty() => {
                    variant.hardware.push(hardware.to_owned())
                }
                _ => {}
            }
            if kind == Kind::System {
                // A system image is bound to a board, whatever the agent on it was built for.
                variant.triple.clear();
            }
            releases.push((kind, custom.version, variant));
        }
        Ok(Self { version: newest, releases, targets })
    }

    /// A release, with what it is for each kind of machine.
    ///
    /// # Errors
    /// It is not in the repository; what is.
    pub fn release(&self, kind: Kind, version: &str) -> Result<Release, Refused> {
        let of = |(of, named, _): &&(Kind, String, Variant)| *of == kind && named == version;
        let variants: Vec<Variant> =
            self.releases.iter().filter(of).map(|(_, _, variant)| variant.clone()).collect();
        if variants.is_empty() {
            let mut there: Vec<&str> = Vec::new();
            for (_, version, _) in self.releases.iter().filter(|(of, ..)| *of == kind) {
                if !there.contains(&version.as_str()) {
                    there.push(version);
                }
            }
            there.truncate(8);
            let there = if there.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", there.join(", "))
            };
            let what = if kind == Kind::System { "system image" } else { "release" };
            return Err(Refused(format!(
                "{what} {version} is not in the repository: publish it first (`engawa-cloud release publish`); {there}"
            )));
        }
        Ok(Release { kind, version: version.to_owned(), variants })
    }

    /// What a box like this gets of a version.
    pub fn find(&self, kind: Kind, version: &str, software: &Software) -> Option<&Variant> {
        self.releases
            .iter()
            .find(|(of, named, variant)| *of == kind && named == version && variant.fits(software))
            .map(|(_, _, variant)| variant)
    }

    /// The version of its timestamp (TUF specification 1.0.33, 4.6): grows with whatever is published or revoked.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same, of another version.
    #[must_use]
    pub fn at(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// True if there is a target of this path.
    pub fn has(&self, path: &str) -> bool {
        self.targets.contains(path)
    }

    /// One with these releases: for whoever has read them elsewhere.
    pub fn of(releases: Vec<(Kind, String, Variant)>) -> Self {
        let targets = releases.iter().map(|(_, _, variant)| variant.manifest.clone()).collect();
        Self { version: 0, releases, targets }
    }
}

/// The newest version of the repository that any replica has seen, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of its timestamp.
    pub version: u64,
    /// When, µs.
    pub micros: i64,
}

/// A copy of the repository that is older than what another replica has seen: from what it lacks nothing is concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Its version.
    pub own: u64,
    /// The newest that was seen.
    pub newest: u64,
}

/// What [`Seen::judge`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// It may not be concluded from.
    pub behind: Option<Behind>,
    /// What is to be kept, where that changes.
    pub kept: Option<Seen>,
}

/// A look into the repository.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// What it has.
    pub catalogue: &'a Catalogue,
    /// It is a copy that is behind: what it has, it has, but nothing is concluded from what it lacks.
    pub behind: bool,
}

impl<'a> From<&'a Catalogue> for Look<'a> {
    fn from(catalogue: &'a Catalogue) -> Self {
        Self { catalogue, behind: false }
    }
}

impl Seen {
    /// A version that nobody has seen for so long is gone, µs: a timestamp lives for seven days. Whoever has begun the repository
    /// anew, with lower versions, waits for no longer.
    const GONE: i64 = 8 * 86_400 * super::SECOND;
    /// That it is still seen is kept at least so often, µs.
    const NOTED: i64 = 3_600 * super::SECOND;

    /// Whether a repository of `version`, seen at `micros`, may be concluded from: a copy that is behind what another replica has
    /// seen knows less than it. What was seen later than now (by a clock that was ahead) was seen now.
    pub fn judge(seen: Option<&Self>, version: u64, micros: i64) -> Judged {
        let Some(&seen) = seen else { return Judged { behind: None, kept: Some(Self { version, micros }) } };
        let age = micros.saturating_sub(seen.micros).max(0);
        let behind = version < seen.version && age <= Self::GONE;
        let kept = if behind { seen.version } else { version };
        let keeps = seen.micros > micros || kept != seen.version || (!behind && age > Self::NOTED);
        Judged {
            behind: behind.then_some(Behind { own: version, newest: seen.version }),
            kept: keeps.then_some(Self { version: kept, micros }),
        }
    }
}

fn metadata<T: for<'a> Deserialize<'a>>(read: &Read<'_>, name: &str) -> Result<T, Refused> {
    let bytes = read(name, MOST_METADATA)?.ok_or_else(|| Refused(format!("the repository has no {name}")))?;
    let signed: Signed<T> =
        serde_json::from_slice(&bytes).map_err(|error| Refused(format!("{name} is no metadata: {error}")))?;
    Ok(signed.signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_behind_is_told_from_a_repository_that_was_begun_anew() {
        const DAY: i64 = 86_400 * super::super::SECOND;
        let judge = |seen: Option<(u64, i64)>, version, micros| {
            let seen = seen.map(|(version, micros)| Seen { version, micros });
            let judged = Seen::judge(seen.as_ref(), version, micros);
            (judged.behind.is_some(), judged.kept.map(|kept| (kept.version, kept.micros)))
        };
        assert_eq!(judge(None, 7, DAY), (false, Some((7, DAY))));
        assert_eq!(judge(Some((7, DAY)), 7, DAY + 5), (false, None), "not at each look");
        assert_eq!(judge(Some((7, DAY)), 7, 2 * DAY), (false, Some((7, 2 * DAY))), "it is still seen");
        assert_eq!(judge(Some((7, DAY)), 8, DAY + 5), (false, Some((8, DAY + 5))));
        assert_eq!(judge(Some((7, DAY)), 6, 9 * DAY), (true, None));
        assert_eq!(judge(Some((7, DAY)), 6, 9 * DAY + 1), (false, Some((6, 9 * DAY + 1))), "begun anew");
        // Seen by a clock that was a year ahead: as if it were now, so that it ends in eight days and not in a year.
        assert_eq!(judge(Some((7, 365 * DAY)), 6, DAY), (true, Some((7, DAY))));
        assert_eq!(judge(Some((7, 365 * DAY)), 7, DAY), (false, Some((7, DAY))));
        assert_eq!(judge(Some((7, DAY)), 6, 10 * DAY), (false, Some((6, 10 * DAY))));
    }
}
