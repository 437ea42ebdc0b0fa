//! What became of guests' erasures, from the command line.

use crate::desk::{Home, TakenOver};
use crate::output::{note, plain, say};
use anyhow::{Context, bail};
use clap::Subcommand;
use engawa_cloud::erasure::{self, Report};
use engawa_model::{Erasure, Timestamp};
use serde_json::json;
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// What can be asked.
#[derive(Subcommand)]
pub(crate) enum ErasureAct {
    /// Prove for each tombstone what became of it
    #[command(
        after_help = "Each tombstone is told with its signature's check, when it came, how many rows of which \
        table were cleared and when, and what that means for copies of the database.\n\nExit status 1 where one is not \
        applied, or its signature does not fit."
    )]
    Report {
        /// Only this gateway's.
        #[arg(long)]
        gateway: Option<String>,
        /// Only of this stay (the PMS's reservation number).
        #[arg(long)]
        stay: Option<String>,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Print all tombstones, one JSON object a line: keep them beside the backups
    Export,
    /// Apply tombstones of an `export` to this database: after an older copy of it was put back
    Apply {
        /// The file; `-`: standard input.
        file: PathBuf,
    },
}

fn instant(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| "-".to_owned(), |at| format!("{at:.0}"))
}

/// What a copy of the database holds that is older than the erasure.
fn of_copies(report: &Report) -> String {
    let done = report.applied_micros.unwrap_or(i64::MAX);
    if done == i64::MAX {
        return "copies of the database hold it until the erasure is applied here".to_owned();
    }
    format!(
        "copies of the database from before {} hold it until they are deleted; one that is put back is cleared by \
         `engawa-cloud erasure apply`",
        instant(done)
    )
}

/// `engawa-cloud erasure`.
pub(crate) fn erasure(home: &Home, act: ErasureAct) -> anyhow::Result<()> {
    match act {
        ErasureAct::Report { gateway, stay, json: as_json } => {
            let reports = home.desk()?.erasures(gateway.as_deref(), stay.as_deref())?;
            if reports.is_empty() {
                let of_whom = gateway.is_some() || stay.is_some();
                bail!("no tombstone has come{}", if of_whom { " of that gateway or stay" } else { " yet" });
            }
            let mut open = 0;
            for report in &reports {
                let whole = report.verified && report.applied_micros.is_some() && report.told_open == 0;
                open += usize::from(!whole);
                let copies = of_copies(report);
                if as_json {
                    let mut line = serde_json::to_value(report)?;
                    line["copies"] = json!(copies);
                    say(&line.to_string())?;
                } else {
                    say(&plain(&in_words(report, &copies)))?;
                }
            }
            if open > 0 {
                bail!("{open} of {} are not applied", reports.len());
            }
            Ok(())
        }
        ErasureAct::Export => {
            for report in home.desk()?.erasures(None, None)? {
                say(&json!({ "gateway": report.gateway, "erasure": report.erasure }).to_string())?;
            }
            Ok(())
        }
        ErasureAct::Apply { file } => apply(home, &file),
    }
}

fn in_words(report: &Report, copies: &str) -> String {
    let Report { gateway, erasure, .. } = report;
    let signature = match (report.verified, report.usual_signer) {
        (false, _) => "ITS SIGNATURE DOES NOT FIT: nothing was done",
        (true, false) => "its signature fits, though another key of this gateway has signed others",
        (true, true) => "its signature fits",
    };
    let applied = match report.applied_micros {
        None if !report.verified => "not applied".to_owned(),
        None => "stay and charges cleared; the journal is not gone through yet (`serve` does it)".to_owned(),
        Some(at) => format!(
            "applied {}: cleared {} rows of stay, {} of posting, {} of command, {} of journal",
            instant(at),
            report.stays,
            report.postings,
            report.commands,
            report.journal
        ),
    };
    let told = match (report.told, report.told_open) {
        (0, 0) => String::new(),
        (told, 0) => format!("; {told} rows were taken out of NATS and told again as they are"),
        (_, open) => format!("; NATS MAY STILL HOLD {open} rows as they were: `serve --nats` takes them out"),
    };
    format!(
        "{gateway}  stay {}  erased {:.0} ({}), received {}, {signature}; {applied}{told}; {copies}",
        erasure.stay,
        erasure.at,
        erasure.reason.as_str(),
        instant(report.received_micros)
    )
}

fn apply(home: &Home, file: &Path) -> anyhow::Result<()> {
    let input: Box<dyn BufRead> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let open = std::fs::File::open(file).with_context(|| format!("reading {}", file.display()))?;
        Box::new(std::io::BufReader::new(open))
    };
    let desk = home.desk()?;
    let mut tombstones: Vec<(String, Erasure)> = Vec::new();
    for (n, line) in input.lines().enumerate() {
        let line = line.with_context(|| format!("reading the tombstones in {}", file.display()))?;
        let at = || format!("{}, line {}", file.display(), n + 1);
        let value: serde_json::Value = serde_json::from_str(&line).with_context(|| {
            format!("{}: expected a tombstone a line, as `engawa-cloud erasure export` prints them", at())
        })?;
        let gateway = value.get("gateway").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let tombstone = serde_json::from_value(value.get("erasure").cloned().unwrap_or_default())
            .with_context(|| format!("{}: not a tombstone", at()))?;
        if !erasure::verify(&tombstone) {
            bail!("{}: the signature does not fit: the file was changed", at());
        }
        tombstones.push((gateway, tombstone));
    }
    let TakenOver { taken, strange, applied } = desk.take_over(&tombstones)?;
    if strange > 0 {
        note(&format!("{strange} tombstones are of gateways that this database does not know"));
    }
    match applied {
        Some(applied) => say(&format!("{taken} tombstones taken over, {applied} applied")),
        None => say(&format!("{taken} tombstones taken over; a running `serve` applies them")),
    }
}
