//! `[settings]`: the values that settings have until somebody changes them, here or in the cloud.

use super::Config;
use super::check::at;
use engawa_diag::{Doc, Report, nearest};
use engawa_model::settings::{FIELDS, Scope, SettingValue, field};

/// Settings whose configured value stands elsewhere in the file.
const ELSEWHERE: [(&str, &str); 6] = [
    ("climate.comfort-c", "[climate] comfort_c"),
    ("climate.eco-heating-c", "[climate] eco_heating_c"),
    ("climate.eco-cooling-c", "[climate] eco_cooling_c"),
    ("climate.season", "[climate] season"),
    ("climate.guest-hold-s", "[climate] guest_hold_s"),
    ("privacy.retention-days", "[privacy] retention_days"),
];

/// The cloud takes and gives guests' preferences only where a register that somebody has written says so.
const SHARE: &str = "privacy.share-preferences";

impl Config {
    /// What the model wants to know of them.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&str, SettingValue)> {
        let days = SettingValue::Number(f64::from(self.privacy.retention_days));
        let own = self.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
        own.chain([("privacy.retention-days", days)])
    }
}

pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    for (name, value) in &config.settings {
        let place = at("settings", name);
        let Some(field) = field(name).filter(|field| field.scope == Scope::House) else {
            let fault = doc.fault(&place, format!("there is no setting `{name}`"));
            let house = FIELDS.iter().filter(|field| field.scope == Scope::House);
            let near = nearest(name, house.map(|field| field.name));
            report.push(match near {
                _ if name.starts_with("guest.") => {
                    fault.help("what a guest prefers is noted for a stay: `engawa settings set --stay`")
                }
                Some(near) => fault.help(format!("did you mean \"{near}\"? `engawa settings list` has all")),
                None => fault.help("`engawa settings list` has all"),
            });
            continue;
        };
        if let Some((_, there)) = ELSEWHERE.iter().find(|(elsewhere, _)| elsewhere == name) {
            let fault = doc.fault(&place, format!("the value of `{name}` stands elsewhere in this file"));
            report.push(fault.label(format!("expected at {there}")));
        } else if name == SHARE {
            let fault = doc.fault(&place, format!("`{name}` is switched in the house, not in this file"));
            report.push(
                fault
                    .label("the cloud would not learn of it")
                    .help(format!("take the line out, and run `engawa settings set {name} on`")),
            );
        } else if let Err(why) = field.check(value) {
            report.push(doc.fault(&place, why).label(format!("expected {}", field.expected())));
        }
    }
}
