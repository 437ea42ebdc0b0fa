//! `[update]`: how the agent changes its own release.

use super::Config;
use super::check::at;
use engawa_diag::{Doc, Report};
use engawa_release::conditions::{Conditions, Hours, WIDEST_MARGIN_MIN};
use serde::Deserialize;
use std::path::PathBuf;

/// The longest name of a board, characters.
const MOST_HARDWARE: usize = 64;
/// The word for "at any hour".
const ANY: &str = "any";

/// The section. Without it this gateway is updated by hand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateConfig {
    /// The folder of the slots, as the supervisor has it.
    pub(crate) dir: PathBuf,
    /// The root metadata that releases are trusted by at first (The Update Framework's `root.json`).
    pub(crate) root: PathBuf,
    /// Which board this is, where releases are made for boards.
    #[serde(default)]
    pub(crate) hardware: String,
    /// The most that a download takes of the line, KiB a second; 0: all there is.
    #[serde(default = "rate")]
    pub(crate) rate_kib_s: u32,
    /// How often the cloud is asked, seconds.
    #[serde(default = "hour")]
    pub(crate) ask_every_s: u32,
    /// The house's own window, on top of a rollout's.
    pub(crate) window: Option<String>,
    /// The hours of check-in, or `any`.
    pub(crate) check_in: Option<String>,
    /// How far to keep from the usual time of night audit, minutes.
    pub(crate) audit_margin_min: Option<u16>,
    /// Not while more of the rooms than this have guests, percent.
    pub(crate) fullest_percent: Option<u8>,
    /// Whether a way back from a bad release waits for these conditions, too.
    #[serde(default)]
    pub(crate) back_waits: bool,
    /// How long a new release may take until it is as well as the old one was, seconds.
    #[serde(default = "trial")]
    pub(crate) trial_s: u32,
    /// The most memory that a new release may take, MiB; by what the old one takes where absent.
    pub(crate) memory_mib: Option<u32>,
    /// What must be free on the disk beside a new release, MiB.
    #[serde(default = "reserve")]
    pub(crate) reserve_mib: u32,
}

const fn rate() -> u32 {
    256
}

const fn hour() -> u32 {
    3600
}

const fn trial() -> u32 {
    240
}

const fn reserve() -> u32 {
    64
}

impl UpdateConfig {
    /// The house's own conditions, or which key is wrong, and why.
    fn read_conditions(&self) -> Result<Conditions, (&'static str, String)> {
        let hours = |key, text: &String| Hours::parse(text).map_err(|error| (key, error.to_string()));
        let mut conditions = Conditions::default();
        if let Some(window) = &self.window {
            conditions.window = Some(hours("window", window)?);
        }
        match self.check_in.as_ref() {
            Some(any) if any == ANY => conditions.check_in = None,
            Some(text) => conditions.check_in = Some(hours("check_in", text)?),
            None => {}
        }
        if let Some(minutes) = self.audit_margin_min {
            if minutes > WIDEST_MARGIN_MIN {
                return Err(("audit_margin_min", format!("{minutes} minutes can't be meant")));
            }
            conditions.audit_margin_min = minutes;
        }
        if self.fullest_percent.is_some_and(|percent| percent > 100) {
            return Err(("fullest_percent", "a house can't be fuller than 100 percent".to_owned()));
        }
        conditions.fullest_percent = self.fullest_percent;
        let key = if self.window.is_some() { "window" } else { "check_in" };
        conditions.check().map_err(|error| (key, error.to_string()))?;
        Ok(conditions)
    }

    /// The house's own conditions.
    pub(crate) fn conditions(&self) -> Conditions {
        // They were checked.
        self.read_conditions().unwrap_or_default()
    }
}

/// Checks the section.
pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let Some(update) = &config.update else { return };
    let mut wrong = |key: &str, what: String, label: String| {
        report.push(doc.fault(&at("update", key), what).label(label));
    };
    if let Err((key, what)) = update.read_conditions() {
        let label = match key {
            "audit_margin_min" => format!("expected at most {WIDEST_MARGIN_MIN}"),
            "fullest_percent" => "expected 0 to 100".to_owned(),
            "check_in" => "expected hours such as \"14:00-18:00\", or \"any\"".to_owned(),
            _ => "expected hours such as \"02:00-05:00\"".to_owned(),
        };
        wrong(key, what, label);
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    if !update.hardware.chars().all(good) || update.hardware.len() > MOST_HARDWARE {
        let what = format!("`{}` can't name a board", update.hardware);
        wrong(
            "hardware",
            what,
            format!("expected up to {MOST_HARDWARE} letters, digits, `.`, `_`, `+`, `-`"),
        );
    }
    for (key, value, range) in [
        ("ask_every_s", update.ask_every_s, 5..=86_400),
        ("trial_s", update.trial_s, 10..=3_600),
        ("reserve_mib", update.reserve_mib, 0..=1 << 20),
        ("memory_mib", update.memory_mib.unwrap_or(64), 16..=1 << 20),
        ("rate_kib_s", update.rate_kib_s, 0..=1 << 20),
    ] {
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            wrong(key, format!("{value} can't be meant"), format!("expected {least} to {most}"));
        }
    }
}
