//! The rules of rooms and the write firewall: their sections, and the house's own rule file.

use super::{Config, Loaded, files};
use engawa_diag::{Doc, Path as Place, Report};
use engawa_model::RoomId;
use engawa_model::firewall::FirewallConfig;
use engawa_model::rules::{Policy, RuleFile, Rulebook};
use jiff::civil::{Time, time};
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The rules of rooms.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RulesConfig {
    /// The house's own rules; relative to the configuration.
    pub(crate) file: Option<PathBuf>,
    /// False leaves the standard rules out.
    pub(crate) standard: bool,
    /// When guests arrive of whom only the day is known.
    #[serde(with = "engawa_model::rules::clock")]
    pub(crate) arrival_time: Time,
    /// Days are recorded, to try other rules on them.
    pub(crate) record: bool,
    /// So many recorded days are kept.
    pub(crate) record_days: u32,
    /// The most that one recorded day may take, MB; after that it ends.
    pub(crate) record_mb: u32,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            file: None,
            standard: true,
            arrival_time: time(15, 0, 0, 0),
            record: false,
            record_days: 7,
            record_mb: 64,
        }
    }
}

/// Checks both sections; gives the rule files, the standard ones first.
pub(super) fn check(
    config: &Config,
    base: &Path,
    doc: &Doc,
    report: &mut Report,
    reports: &mut Vec<Report>,
) -> Vec<RuleFile> {
    let section = Place::root().key("rules");
    for (key, value, most) in
        [("record_days", config.rules.record_days, 366), ("record_mb", config.rules.record_mb, 4096)]
    {
        if !(1..=most).contains(&value) {
            report.push(
                doc.fault(&section.key(key), format!("{value} can't be meant"))
                    .label(format!("expected 1 to {most}")),
            );
        }
    }
    for (key, fault) in config.firewall.faults() {
        let place = key.split('.').fold(Place::root().key("firewall"), |place, key| place.key(key));
        report.push(doc.fault(&place, fault));
    }
    let mut files = Vec::new();
    if config.rules.standard {
        files.push(engawa_rules::standard().0);
    }
    let place = section.key("file");
    if let Some(file) = config.rules.file.as_ref().filter(|_| !doc.is_hole(&place)) {
        let path = base.join(file);
        let rooms: Vec<RoomId> =
            config.property.rooms.iter().map(|room| RoomId::from(room.as_str())).collect();
        let read = files::read(&path)
            .and_then(|text| engawa_rules::load(&path.display().to_string(), &text, Some(&rooms)));
        match read {
            Ok(file) => files.push(file),
            Err(faults) => reports.push(faults),
        }
    }
    files
}

/// What governs `rooms`.
pub(crate) fn policy(
    files: &[&RuleFile],
    rooms: &[RoomId],
    zone: &str,
    arrival_time: Time,
    firewall: &FirewallConfig,
) -> Policy {
    Policy {
        rules: Rulebook::compile(files, rooms),
        firewall: firewall.clone(),
        // Configurations are checked: their zone is known.
        zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC),
        arrival_time,
    }
}

impl Loaded {
    /// What governs the house.
    pub(crate) fn policy(&self) -> Policy {
        let config = &self.config;
        let rooms: Vec<RoomId> =
            config.property.rooms.iter().map(|room| RoomId::from(room.as_str())).collect();
        let files: Vec<&RuleFile> = self.rules.iter().collect();
        policy(&files, &rooms, &config.property.zone, config.rules.arrival_time, &config.firewall)
    }

    /// What governs the house, as a recorded day keeps it.
    pub(crate) fn in_force(&self) -> engawa_rules::InForce {
        engawa_rules::InForce {
            files: self.rules.clone(),
            firewall: self.config.firewall.clone(),
            arrival_time: self.config.rules.arrival_time,
        }
    }

    /// The folder of the recorded days.
    pub(crate) fn days_dir(&self) -> PathBuf {
        self.config.store.dir.join("days")
    }
}
