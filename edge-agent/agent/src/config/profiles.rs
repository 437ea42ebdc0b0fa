//! The profiles that a configuration can use: those built in, and those of its folder.

use super::{Config, files};
use engawa_diag::{Doc, Path as Place, Report};
use engawa_field::profile::{self, Profile};
use std::collections::BTreeMap;
use std::path::Path;

/// The profiles by name. `None`: the profile is there, and faulty; devices that use it have no fault of their own.
pub(super) type Profiles = BTreeMap<String, Option<Profile>>;

/// Loads all profiles; faults of the profiles' own files go to `reports`.
pub(super) fn load(
    config: &Config,
    base: &Path,
    doc: &Doc,
    report: &mut Report,
    reports: &mut Vec<Report>,
) -> Profiles {
    let mut profiles = Profiles::new();
    for (name, text) in profile::builtin() {
        // They are tested when the agent is built.
        profiles.insert((*name).to_owned(), profile::load(name, text).ok());
    }
    let Some(folder) = &config.profiles else { return profiles };
    let place = Place::root().key("profiles");
    if doc.is_hole(&place) {
        return profiles;
    }
    let folder = base.join(folder);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            report.push(
                doc.fault(&place, format!("the folder {} can't be read: {error}", folder.display()))
                    .help("it is relative to the configuration; leave `profiles` out where there is none"),
            );
            return profiles;
        }
    };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    for path in paths {
        let loaded = files::read(&path).and_then(|text| profile::load(&path.display().to_string(), &text));
        match loaded {
            // One of the folder goes before one that is built in: that is how a site mends a profile.
            Ok(profile) => drop(profiles.insert(profile.head.name.clone(), Some(profile))),
            Err(faults) => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                profiles.insert(name, None);
                reports.push(faults);
            }
        }
    }
    profiles
}
