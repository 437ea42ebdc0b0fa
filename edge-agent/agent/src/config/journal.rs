//! How much room the journal has while the cloud does not take it.

use super::Config;
use super::check::at;
use engawa_diag::{Doc, Report};
use engawa_store::{Budget, Limits};
use serde::Deserialize;

/// The least that a lane needs: some transactions of a busy minute, MiB.
const LEAST_MIB: u64 = 4;
/// The least for measured values, which are thinned in blocks of a mebibyte, MiB.
const LEAST_TELEMETRY_MIB: u64 = 8;
/// More than any gateway's disk, MiB.
const MOST_MIB: u64 = 1 << 20;
/// The longest that acknowledged rows are kept, hours.
const LONGEST_KEPT_H: u32 = 24 * 31;

/// The journal's share of the disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct JournalConfig {
    /// Measured values, MiB. They are thinned from half of it on.
    pub(crate) telemetry_mib: u64,
    /// Stays, rooms and postings, MiB.
    pub(crate) stays_mib: u64,
    /// Alerts and the health of links and devices, MiB.
    pub(crate) alarms_mib: u64,
    /// Who asked what, MiB.
    pub(crate) audit_mib: u64,
    /// Outcomes of commands, MiB.
    pub(crate) control_mib: u64,
    /// Room set aside, so that a full disk still takes deletions, acknowledgements and alarms, MiB. 0: none.
    pub(crate) reserve_mib: u64,
    /// How long rows are kept that the cloud has, hours, so that a cloud restored to an earlier point can ask again.
    pub(crate) keep_acknowledged_h: u32,
}

impl Default for JournalConfig {
    fn default() -> Self {
        let Limits { budget, ballast, keep_acknowledged_s, .. } = Limits::default();
        Self {
            telemetry_mib: budget.telemetry >> 20,
            stays_mib: budget.stays >> 20,
            alarms_mib: budget.alarms >> 20,
            audit_mib: budget.audit >> 20,
            control_mib: budget.control >> 20,
            reserve_mib: ballast >> 20,
            keep_acknowledged_h: keep_acknowledged_s / 3600,
        }
    }
}

impl JournalConfig {
    /// The store's bounds.
    pub(crate) fn limits(&self) -> Limits {
        let budget = Budget {
            control: self.control_mib << 20,
            alarms: self.alarms_mib << 20,
            stays: self.stays_mib << 20,
            audit: self.audit_mib << 20,
            telemetry: self.telemetry_mib << 20,
        };
        let keep_acknowledged_s = self.keep_acknowledged_h * 3600;
        Limits { budget, ballast: self.reserve_mib << 20, keep_acknowledged_s, ..Limits::default() }
    }
}

pub(super) fn check(config: &Config, doc: &Doc, report: &mut Report) {
    let journal = &config.journal;
    let sizes = [
        ("telemetry_mib", journal.telemetry_mib, LEAST_TELEMETRY_MIB),
        ("stays_mib", journal.stays_mib, LEAST_MIB),
        ("alarms_mib", journal.alarms_mib, LEAST_MIB),
        ("audit_mib", journal.audit_mib, LEAST_MIB),
        ("control_mib", journal.control_mib, LEAST_MIB),
        ("reserve_mib", journal.reserve_mib, 0),
    ];
    for (key, mib, least) in sizes {
        if !(least..=MOST_MIB).contains(&mib) {
            report.push(
                doc.fault(&at("journal", key), format!("{mib} MiB can't be meant"))
                    .label(format!("expected {least} to {MOST_MIB}"))
                    .help("a month of 200 rooms without the cloud needs the defaults: leave the key out"),
            );
        }
    }
    let hours = journal.keep_acknowledged_h;
    if !(1..=LONGEST_KEPT_H).contains(&hours) {
        report.push(
            doc.fault(&at("journal", "keep_acknowledged_h"), format!("{hours} hours can't be meant"))
                .label(format!("expected 1 to {LONGEST_KEPT_H}"))
                .help("24 hours are how far back a restored cloud may be"),
        );
    }
}
