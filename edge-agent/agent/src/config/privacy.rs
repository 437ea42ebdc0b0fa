//! How long what is held on guests is kept.

use super::Config;
use super::check::at;
use engawa_diag::{Doc, Report};
use serde::Deserialize;

/// The longest retention, days: three years, as the law on guest registers has it.
const LONGEST_DAYS: u32 = 3 * 366;
/// The longest that a register is kept, days.
const LONGEST_REGISTER_DAYS: u32 = 10 * 366;

/// The guests' data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrivacyConfig {
    /// How long after check-out a guest's data is kept, days; then it is erased by itself. 0: at the next sweep.
    #[serde(default = "month")]
    pub(crate) retention_days: u32,
    /// Keep a guest register, as some laws ask.
    #[serde(default)]
    pub(crate) register: bool,
    /// How long after check-out an entry of the register is kept, days.
    #[serde(default = "three_years")]
    pub(crate) register_days: u32,
}

impl Default for PrivacyConfig {
    fn default() -> Self {
        Self { retention_days: month(), register: false, register_days: three_years() }
    }
}

const fn month() -> u32 {
    30
}

const fn three_years() -> u32 {
    3 * 366
}

pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let days = config.privacy.retention_days;
    if days > LONGEST_DAYS {
        report.push(
            doc.fault(
                &at("privacy", "retention_days"),
                format!("{days} days are longer than any purpose lasts"),
            )
            .label(format!("expected 0 to {LONGEST_DAYS}"))
            .help("guests' names are kept for questions after check-out: 30 days are usual"),
        );
    }
    let days = config.privacy.register_days;
    if days == 0 || days > LONGEST_REGISTER_DAYS {
        report.push(
            doc.fault(&at("privacy", "register_days"), format!("a register of {days} days is none"))
                .label(format!("expected 1 to {LONGEST_REGISTER_DAYS}"))
                .help("1098 days are three years, as in Japan; without a law leave `register` off"),
        );
    }
}
