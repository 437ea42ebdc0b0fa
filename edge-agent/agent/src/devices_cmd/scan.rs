//! `engawa devices scan`: the units that answer on a line.

use super::block_on;
use crate::cli::{DONE, FAILED, Form, WRONG};
use crate::config::files;
use crate::line_args::LineArgs;
use crate::profile_cmd::{failed, wrong};
use clap::{ArgGroup, Args, ValueHint};
use engawa_diag::Report;
use engawa_field::modbus::tool::scan::{self, FoundUnit, Progress, ScanReport};
use engawa_field::profile::{self, Resolved};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is scanned.
#[derive(Args)]
#[command(group = ArgGroup::new("line").required(true))]
pub(crate) struct Scan {
    #[command(flatten)]
    line: LineArgs,
    /// The unit ids, such as `1-32` or `1,5,10-12`.
    #[arg(long, default_value = "1-247", value_parser = units)]
    units: Units,
    /// How long one question waits for its answer, ms.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(20..=10_000))]
    timeout_ms: u32,
    /// How long the whole may take, s.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    longest_s: u32,
    /// A folder of further profiles that may fit.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    profiles: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// Unit ids in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Units(Vec<u8>);

fn units(text: &str) -> Result<Units, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        // 0 and 255 are devices at a TCP address of their own; on a line, 0 is everybody, and nobody answers.
        let number = |text: &str| {
            text.trim().parse::<u8>().ok().filter(|unit| (0..=247).contains(unit) || *unit == 255)
        };
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => {
                // From 248 to 254 the numbers are reserved.
                let range = (first..=last).filter(|unit| !(248..255).contains(unit) && !all.contains(unit));
                all.extend(range.collect::<Vec<_>>());
            }
            _ => {
                return Err(format!(
                    "`{part}` is no range of unit ids; expected for example 1-32 or 1,5,10-12 (1 to 247, and 0 or 255)"
                ));
            }
        }
    }
    Ok(Units(all))
}

impl Scan {
    pub(super) fn run(&self) -> u8 {
        let bus = match self.line.bus(self.timeout_ms) {
            Ok(bus) => bus,
            Err(fault) => {
                eprintln!("engawa: {fault}");
                return WRONG;
            }
        };
        let profiles = match self.candidates() {
            Ok(profiles) => profiles,
            Err(report) => return wrong(report),
        };
        let scan = scan::Scan {
            units: self.units.0.clone(),
            patience: Duration::from_millis(u64::from(self.timeout_ms)),
            longest: Duration::from_secs(u64::from(self.longest_s)),
            profiles,
        };
        let mut progress = Shown { live: std::io::stderr().is_terminal(), asked: 0, of: scan.units.len() };
        let found = block_on(scan::scan(&bus, &scan, |step| progress.tell(step)));
        progress.end();
        match found {
            Err(status) => status,
            Ok(Err(reason)) => failed(reason),
            Ok(Ok(report)) => {
                if self.form.json {
                    in_json(&report)
                } else {
                    in_words(&report, &bus.place())
                }
                if report.units.is_empty() { FAILED } else { DONE }
            }
        }
    }

    /// The Modbus profiles of the gateway and of the folder.
    fn candidates(&self) -> Result<Vec<(String, std::sync::Arc<profile::modbus::ModbusMap>)>, Report> {
        let mut texts: BTreeMap<String, String> =
            profile::builtin().iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        for path in self.profiles.iter().flat_map(|folder| toml_files(folder)) {
            texts.insert(path.display().to_string(), files::read(&path)?);
        }
        let mut maps = Vec::new();
        for (file, text) in texts {
            let profile = profile::load(&file, &text)?;
            // Variables change scales, and what can be told from values holds for each of them.
            if let Ok(Resolved::Modbus(map)) = profile.resolve(&BTreeMap::new()) {
                maps.push((profile.head.name, map));
            }
        }
        // Those with a mark of their own first: where the time ends, the surest have been tried.
        maps.sort_by_key(|(name, map)| (!map.has_mark(), name.clone()));
        Ok(maps)
    }
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            eprintln!("engawa: the folder {} can't be read: {error}", folder.display());
            return Vec::new();
        }
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    paths.sort();
    paths
}

/// How it goes on, on standard error; on a terminal in one line that is written over.
struct Shown {
    live: bool,
    asked: usize,
    of: usize,
}

impl Shown {
    fn tell(&mut self, step: Progress) {
        let line = match step {
            Progress::Asking(unit) => {
                self.asked += 1;
                if !self.live && self.asked % 50 != 1 {
                    return;
                }
                format!("asking unit {unit} ({} of {})", self.asked.min(self.of), self.of)
            }
            Progress::Found(unit) => format!("unit {unit} answers"),
            Progress::LookingAt(unit) => format!("looking at unit {unit}"),
        };
        // Where standard error is closed nobody reads it.
        let _ = if self.live {
            write!(std::io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(std::io::stderr(), "{line}")
        };
    }

    fn end(&self) {
        if self.live {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn in_words(report: &ScanReport, place: &str) {
    for found in &report.units {
        let FoundUnit { unit, answered, took, identity, suggestions } = found;
        println!("unit {unit:>3}  {answered} ({:.0} ms)", took.as_secs_f64() * 1000.0);
        if let Some(said) = identity {
            println!(
                "          it says: vendor `{}`, product `{}`, revision `{}`",
                said.vendor, said.product, said.revision
            );
        }
        for suggestion in suggestions {
            println!(
                "          {:>3} %  {:<28} {}",
                suggestion.score,
                suggestion.profile,
                suggestion.reasons.join("; ")
            );
        }
        if suggestions.is_empty() {
            println!("          no profile is likely");
        }
    }
    for (unit, why) in &report.garbled {
        println!("unit {unit:>3}  {why}");
    }
    if !report.not_asked.is_empty() {
        println!("{} units were not asked: the time was over (--longest-s)", report.not_asked.len());
    }
    for remark in &report.remarks {
        println!("note: {remark}");
    }
    if report.units.is_empty() {
        // Where a unit was heard badly, its reason stands above.
        println!(
            "nothing answers at {place}; are the address or the line (speed, parity, A and B) and the unit ids right?"
        );
    } else {
        println!(
            "{} units answer; try a profile with `engawa profile test PROFILE ... --unit N`",
            report.units.len()
        );
    }
}

fn in_json(report: &ScanReport) {
    for found in &report.units {
        let identity = found
            .identity
            .as_ref()
            .map(|said| json!({ "vendor": said.vendor, "product": said.product, "revision": said.revision }));
        let suggestions: Vec<_> = found
            .suggestions
            .iter()
            .map(|of| json!({ "profile": of.profile, "score": of.score, "reasons": of.reasons }))
            .collect();
        println!(
            "{}",
            json!({ "unit": found.unit, "answered": found.answered, "took_ms": found.took.as_secs_f64() * 1000.0,
                "identity": identity, "suggestions": suggestions })
        );
    }
    for (unit, why) in &report.garbled {
        println!("{}", json!({ "unit": unit, "garbled": why }));
    }
    if !report.not_asked.is_empty() {
        println!("{}", json!({ "not_asked": report.not_asked }));
    }
    for remark in &report.remarks {
        println!("{}", json!({ "note": remark }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_ids_are_read_as_people_write_them() {
        for (text, want) in [
            ("1-3", Some(vec![1, 2, 3])),
            ("247", Some(vec![247])),
            ("5,1-2,2-6", Some(vec![5, 1, 2, 3, 4, 6])),
            ("0-3", Some(vec![0, 1, 2, 3])),
            ("255", Some(vec![255])),
            ("250", None),
            ("246-255", Some(vec![246, 247, 255])),
            ("3-1", None),
            ("1-300", None),
            ("", None),
            ("a", None),
        ] {
            assert_eq!(units(text).ok().map(|Units(all)| all), want, "{text}");
        }
    }
}
