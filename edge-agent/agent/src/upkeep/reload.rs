//! The configuration read again while the agent runs, all or nothing.
//!
//! A file with a fault changes nothing. In a sound one, what can change does, at once; what can't is named, and comes with the
//! next start. What is in force is therefore kept key by key: part of it may be of the file at the start.

use crate::config::{self, Loaded};
use crate::desk::Desk;
use crate::house::Door;
use crate::house::retune::Settings;
use crate::logging::Logging;
use crate::upkeep::secrets::Secrets;
use engawa_diag::Report;
use engawa_model::{CommandOutcome, UpkeepEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use toml::Value;

/// What changes at once: keys, and whole tables by a dot at the end.
const AT_ONCE: &[&str] = &[
    "rules.file",
    "rules.standard",
    "rules.arrival_time",
    "firewall.",
    "list_guard.",
    "wake_up.",
    "climate.",
    "settings.",
    "log.",
    "property.name",
    "property.language",
    "property.resync_every_s",
    "property.order_ttl_s",
    "privacy.retention_days",
    "privacy.register_days",
];
/// Faults and names in one answer; the rest is counted. The log has more of the faults; `engawa check` all of them.
const MOST_FAULTS: usize = 3;
const MOST_LOGGED: usize = 32;
const MOST_NAMES: usize = 16;

/// The keys of a configuration with their values, in TOML.
type Keys = BTreeMap<String, String>;

/// What is in force.
struct InForce {
    keys: Keys,
    /// The house's rules, as they were read.
    rules: String,
    /// What lies in the folder of profiles.
    profiles: u64,
}

/// Reads the configuration again.
pub(crate) struct Reload {
    file: PathBuf,
    logging: Logging,
    in_force: Mutex<InForce>,
}

impl Reload {
    /// With what the agent has started from.
    pub(crate) fn new(loaded: &Loaded, logging: Logging) -> Self {
        let in_force = InForce::of(loaded);
        Self { file: loaded.file.clone(), logging, in_force: Mutex::new(in_force) }
    }

    /// Reads the file again and takes what can be taken.
    pub(crate) async fn again(&self, door: &Door, desk: &Desk) -> UpkeepEnd {
        let file = self.file.clone();
        let reading = move || {
            let loaded = config::load(&file)?;
            config::check_named_files(&file).map(|()| loaded)
        };
        let loaded = match tokio::task::spawn_blocking(reading).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(reports)) => {
                // The log goes into bundles, and the reason to the cloud.
                let faults = told(&reports);
                tracing::error!(
                    faults = faults.len(),
                    "the configuration is not taken, and nothing has changed: `engawa check` shows its faults"
                );
                for fault in faults.iter().take(MOST_LOGGED) {
                    tracing::error!("{fault}");
                }
                return end(CommandOutcome::Refused { reason: faults_in_words(&faults) }, None);
            }
            Err(error) => {
                let reason = format!("the configuration could not be read: {error}");
                return end(CommandOutcome::Refused { reason }, None);
            }
        };
        let found = InForce::of(&loaded);
        let news = self.in_force.lock().unwrap_or_else(PoisonError::into_inner).news(&found);
        if !news.at_once.is_empty() && door.retune(Settings::of(&loaded)).await.is_err() {
            let reason = "the house is closing: the configuration is read at the next start".to_owned();
            return end(CommandOutcome::Refused { reason }, None);
        }
        desk.diagnosis.read_again(loaded.text.clone(), news.with_restart.iter().cloned().collect());
        desk.rename(&loaded.config.property.name, &loaded.config.property.language);
        let mut notes = Vec::new();
        if news.at_once.iter().any(|key| key.starts_with("log."))
            && let Err(why) = self.logging.change(&loaded.config.log)
        {
            notes.push(format!("log.filter has no effect now: {why}"));
        }
        if news.at_once.contains("property.name") && loaded.config.home_assistant.is_some() {
            notes.push("Home Assistant shows the new property.name after a restart".to_owned());
        }
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).take(found);
        let note = news.in_words(notes);
        tracing::info!(file = %self.file.display(), "the configuration was read again: {note}");
        end(CommandOutcome::Done, Some(note))
    }
}

fn end(outcome: CommandOutcome, note: Option<String>) -> UpkeepEnd {
    UpkeepEnd { outcome, note, bundle: vec![] }
}

/// What is other in a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    at_once: BTreeSet<String>,
    with_restart: BTreeSet<String>,
}

impl News {
    fn in_words(&self, notes: Vec<String>) -> String {
        let list = |names: &BTreeSet<String>| {
            let mut shown: Vec<&str> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
            let more = format!("and {} more", names.len().saturating_sub(MOST_NAMES));
            if names.len() > MOST_NAMES {
                shown.push(&more);
            }
            shown.join(", ")
        };
        let mut parts = Vec::new();
        if !self.at_once.is_empty() {
            parts.push(format!("changed: {}", list(&self.at_once)));
        }
        if !self.with_restart.is_empty() {
            parts.push(format!("needs a restart: {}", list(&self.with_restart)));
        }
        if parts.is_empty() {
            parts.push("nothing is other than before".to_owned());
        }
        parts.extend(notes);
        parts.join("; ")
    }
}

impl InForce {
    fn of(loaded: &Loaded) -> Self {
        let mut keys = Keys::new();
        // It was read as a whole before: as TOML it can be read again.
        if let Ok(table) = loaded.text.parse::<toml::Table>() {
            flatten("", &Value::Table(table), &mut keys);
        }
        let rules = serde_json::to_string(&loaded.rules).unwrap_or_default();
        Self { keys, rules, profiles: fingerprint(loaded) }
    }

    fn news(&self, found: &Self) -> News {
        let mut news = News::default();
        let all: BTreeSet<&String> = self.keys.keys().chain(found.keys.keys()).collect();
        for key in all.into_iter().filter(|key| self.keys.get(*key) != found.keys.get(*key)) {
            let which = if at_once(key) { &mut news.at_once } else { &mut news.with_restart };
            which.insert(named(key));
        }
        if self.rules != found.rules {
            news.at_once.insert("rules".to_owned());
        }
        if self.profiles != found.profiles {
            news.with_restart.insert("the profiles in the folder of profiles".to_owned());
        }
        news
    }

    /// What changes at once is in force now; the rest stays as it was at the start.
    fn take(&mut self, found: Self) {
        self.keys.retain(|key, _| !at_once(key));
        self.keys.extend(found.keys.into_iter().filter(|(key, _)| at_once(key)));
        self.rules = found.rules;
    }
}

fn at_once(key: &str) -> bool {
    AT_ONCE.iter().any(|known| key == *known || known.ends_with('.') && key.starts_with(known))
}

/// `device[3].room` as people look for it.
fn named(key: &str) -> String {
    key.split_once('[').map_or_else(|| key.to_owned(), |(table, _)| format!("[[{table}]]"))
}

fn flatten(at: &str, value: &Value, keys: &mut Keys) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                flatten(&at, value, keys);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (n, item) in items.iter().enumerate() {
                flatten(&format!("{at}[{n}]"), item, keys);
            }
        }
        plain => {
            keys.insert(at.to_owned(), plain.to_string());
        }
    }
}

/// What lies in the folder of profiles: which files, and what is in them.
fn fingerprint(loaded: &Loaded) -> u64 {
    let Some(folder) = &loaded.config.profiles else { return 0 };
    let base = loaded.file.parent().unwrap_or(std::path::Path::new(""));
    let files = std::fs::read_dir(base.join(folder)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    let mut hasher = DefaultHasher::new();
    for path in paths {
        path.hash(&mut hasher);
        // One that can't be read was found out by the check.
        std::fs::read(&path).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}

/// Each fault in a line, without the secrets of any of the files.
fn told(reports: &[Report]) -> Vec<String> {
    let secrets: Vec<Secrets> = reports.iter().map(|report| Secrets::of(&report.text)).collect();
    let mut lines: Vec<String> = reports
        .iter()
        .zip(&secrets)
        .flat_map(|(report, secrets)| report.faults.iter().map(|fault| secrets.in_words(report, fault)))
        .collect();
    for secrets in &secrets {
        lines.iter_mut().for_each(|line| *line = secrets.masked(line));
    }
    lines
}

/// What is wrong, where, and how to mend it; the first faults.
fn faults_in_words(faults: &[String]) -> String {
    let more = match faults.len().saturating_sub(MOST_FAULTS) {
        0 => String::new(),
        more => format!("; and {more} more faults: `engawa check` shows all"),
    };
    let first = faults.iter().take(MOST_FAULTS).map(String::as_str).collect::<Vec<_>>().join("; ");
    let text = format!("nothing has changed: {first}{more}");
    text.chars().take(engawa_model::MOST_NOTE_OF_END).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, rules: &str) -> InForce {
        let mut keys = Keys::new();
        flatten("", &Value::Table(text.parse().unwrap()), &mut keys);
        InForce { keys, rules: rules.to_owned(), profiles: 0 }
    }

    const START: &str = "[property]\nname = 'Grand'\nzone = 'UTC'\nrooms = ['101']\n[climate]\ncomfort_c = 22.0\n\
        [[device]]\nid = 'a'\n[[device]]\nid = 'b'\n";

    #[test]
    fn each_key_changes_at_once_or_needs_a_restart() {
        let mut in_force = of(START, "r");
        let text = START.replace("22.0", "21.0").replace("'UTC'", "'Asia/Tokyo'").replace("'b'", "'c'");
        let news = in_force.news(&of(&text, "other"));
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(names(&news.at_once), "climate.comfort_c rules");
        assert_eq!(names(&news.with_restart), "[[device]] property.zone");
        assert_eq!(
            news.in_words(vec![]),
            "changed: climate.comfort_c, rules; needs a restart: [[device]], property.zone"
        );
        in_force.take(of(&text, "other"));
        let again = in_force.news(&of(&text, "other"));
        assert!(again.at_once.is_empty(), "in force: {again:?}");
        assert_eq!(names(&again.with_restart), "[[device]] property.zone", "still as at the start");
        let back = in_force.news(&of(START, "other"));
        assert_eq!((names(&back.at_once).as_str(), back.with_restart.len()), ("climate.comfort_c", 0));
    }

    #[test]
    fn nothing_new_is_said_and_long_lists_are_cut() {
        assert_eq!(of(START, "r").news(&of(START, "r")).in_words(vec![]), "nothing is other than before");
        let many: String = (0..30).map(|n| format!("[t{n:02}]\nx = 1\n")).collect();
        let words = of(START, "r").news(&of(&format!("{START}{many}"), "r")).in_words(vec![]);
        assert!(words.starts_with("needs a restart: t00.x, ") && words.ends_with("and 14 more"), "{words}");
    }
}
