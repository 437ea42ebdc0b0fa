//! `engawa profile`: what profiles there are, whether one is sound, and whether a live device follows it.
//!
//! Never: a configuration or the store; it is for the installer's laptop as well as for the gateway.
#![allow(clippy::print_stdout, reason = "standard output is where an answer goes")]

mod hear;
mod live;

use crate::cli::{DONE, FAILED, Form, WRONG, show};
use crate::config::files;
use clap::{Subcommand, ValueHint};
use engawa_diag::Report;
use engawa_field::profile::{self, Profile, ProtocolName, Resolved};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What can be asked of profiles.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the profiles that every gateway has
    List {
        #[command(flatten)]
        form: Form,
    },
    /// Print a profile as it was written
    #[command(
        after_help = "A good beginning for one of your own: engawa profile show siemens-rdf302 > mine.toml"
    )]
    Show {
        /// The name of a profile (see `engawa profile list`), or a file.
        profile: String,
    },
    /// Print the JSON Schema of profiles, for editors
    #[command(
        after_help = "A profile whose first line is `#:schema ./profile.schema.json` is completed and checked \
        by editors while it is written (Even Better TOML, Taplo)."
    )]
    Schema,
    /// Check profiles, each for all its faults at once
    Check {
        /// The files.
        #[arg(required = true, value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// Read every point of a live device once, and say whether the profile fits it
    #[command(
        after_help = "Nothing is written. Exit status 0: the device is the one that the profile is for, and \
        every point answered. 1: it is not, one did not, or there is no connection. 2: the command line or the \
        profile is wrong.

Examples:
  engawa profile test siemens-rdf302 --tcp 192.168.10.5:502 --unit 3
  engawa profile test mine.toml --serial /dev/ttyUSB0 --baud 9600 --parity none --unit 1"
    )]
    Test(live::Test),
    /// Say what the house would make of an MQTT device's messages, from standard input: a topic and a payload a line
    #[command(
        after_help = "No broker and no house are needed; nothing is sent. First it says which topics the device is heard \
        on, and what it would be asked. Exit status 0: everything on these topics is understood. 1: something is not. 2: \
        the command line or the profile is wrong.

Examples:
  mosquitto_sub -v -t 'zigbee2mqtt/#' | engawa profile hear zigbee2mqtt-trv --name trv-101
  engawa profile hear mine.toml --name x < recorded.txt"
    )]
    Hear(hear::Hear),
}

/// Does what is asked; the exit status.
pub(crate) fn main(command: Command) -> u8 {
    match command {
        Command::List { form } => list(form.json),
        Command::Show { profile } => match text(&profile) {
            Ok((_, text)) => {
                print!("{text}");
                DONE
            }
            Err(report) => wrong(report),
        },
        Command::Schema => {
            print!("{}", profile::json_schema());
            DONE
        }
        Command::Check { files } => check(&files),
        Command::Test(test) => live::test(&test),
        Command::Hear(hear) => hear::hear(&hear),
    }
}

pub(crate) fn wrong(report: Report) -> u8 {
    show(&[report]);
    WRONG
}

fn list(as_json: bool) -> u8 {
    for (name, text) in profile::builtin() {
        // They are tested when the agent is built.
        let Ok(profile) = profile::load(name, text) else { continue };
        let points = match profile.resolve(&BTreeMap::new()) {
            Ok(resolved) => resolved.point_specs().len(),
            Err(_) => 0,
        };
        let Profile { head, .. } = profile;
        let protocol = protocol(head.protocol);
        if as_json {
            println!(
                "{}",
                json!({ "name": head.name, "make": head.make, "model": head.model, "kind": head.kind,
                    "protocol": protocol, "points": points, "sources": head.sources })
            );
        } else {
            println!(
                "{name:<32} {protocol:<7} {:<12} {points:>3} points  {} {}",
                head.kind, head.make, head.model
            );
        }
    }
    DONE
}

const fn protocol(name: ProtocolName) -> &'static str {
    match name {
        ProtocolName::Modbus => "modbus",
        ProtocolName::Mqtt => "mqtt",
    }
}

fn check(paths: &[PathBuf]) -> u8 {
    let mut reports = Vec::new();
    for path in paths {
        let loaded = files::read(path).and_then(|text| profile::load(&path.display().to_string(), &text));
        match loaded {
            Ok(profile) => println!("{}: {}", path.display(), summary(&profile)),
            Err(report) => reports.push(report),
        }
    }
    if reports.is_empty() {
        return DONE;
    }
    show(&reports);
    WRONG
}

fn summary(profile: &Profile) -> String {
    let head = &profile.head;
    let points = profile.resolve(&BTreeMap::new()).map(|resolved| resolved.point_specs());
    let (count, writable) =
        points.map_or((0, 0), |points| (points.len(), points.iter().filter(|point| point.writable).count()));
    format!(
        "`{}` for {} {} ({}): {count} points, {writable} of them writable",
        head.name,
        head.make,
        head.model,
        protocol(head.protocol)
    )
}

/// Name and text of a profile that is built in, or of a file.
pub(crate) fn text(name_or_file: &str) -> Result<(String, String), Report> {
    let path = Path::new(name_or_file);
    let of_gateway = profile::builtin().iter().find(|(name, _)| *name == name_or_file);
    let as_file = path.exists() || path.extension().is_some() || name_or_file.contains('/');
    match of_gateway {
        Some((name, text)) => Ok(((*name).to_owned(), (*text).to_owned())),
        None if as_file => Ok((name_or_file.to_owned(), files::read(path)?)),
        None => {
            let names = profile::builtin().iter().map(|(name, _)| *name);
            let mut report = Report::new("the command line", name_or_file);
            let fault = engawa_diag::Fault::new(
                0..name_or_file.len(),
                format!("there is no profile `{name_or_file}`"),
            );
            report.push(match engawa_diag::nearest(name_or_file, names) {
                Some(near) => fault.help(format!("is `{near}` meant? `engawa profile list` shows all")),
                None => fault.help("`engawa profile list` shows all; a file is named by its path"),
            });
            Err(report)
        }
    }
}

/// A profile that is built in, or of a file, with its variables filled in.
pub(crate) fn resolved(name_or_file: &str, vars: &[(String, String)]) -> Result<Resolved, Report> {
    let (file, text) = text(name_or_file)?;
    let profile = profile::load(&file, &text)?;
    let vars: BTreeMap<String, String> = vars.iter().cloned().collect();
    profile.resolve(&vars).map_err(|faults| {
        let shown =
            vars.iter().map(|(var, value)| format!("--var {var}={value}")).collect::<Vec<_>>().join(" ");
        let mut report = Report::new("the command line", shown.clone());
        for fault in faults {
            let at = shown.find(&format!("--var {}=", fault.var)).unwrap_or(0);
            let length = shown[at..].find(" --var ").unwrap_or(shown.len() - at);
            let shown = engawa_diag::Fault::new(at..at + length, fault.message);
            report.push(match fault.help {
                Some(help) => shown.help(help),
                None => shown,
            });
        }
        report
    })
}

/// The exit status of something that failed, with its reason.
pub(crate) fn failed(reason: impl std::fmt::Display) -> u8 {
    eprintln!("engawa: {reason}");
    FAILED
}
