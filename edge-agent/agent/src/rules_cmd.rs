//! `engawa rules`: what the rules of rooms are, whether a file of them is sound, and what it would change.
//!
//! `check`, `standard` and `test` need no agent and no store: they are for the laptop of whoever writes rules, too.
#![allow(clippy::print_stdout, reason = "standard output is where an answer goes")]

mod charges;
mod test;

use crate::cli::{DONE, Failure, File, Form, WRONG, show, with};
use crate::config::{self, Loaded, files};
use crate::profile_cmd::failed;
use crate::recording;
use clap::{Subcommand, ValueHint};
use engawa_model::RoomId;
use engawa_model::rules::Rule;
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can be asked of rules.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the rules of the house, highest priority first, and in how many rooms each holds
    List {
        #[command(flatten)]
        file: File,
        /// Only those of this room.
        #[arg(long)]
        room: Option<String>,
        #[command(flatten)]
        form: Form,
    },
    /// Print the rules that every house has, as they are written
    #[command(after_help = "A good beginning for your own: engawa rules standard > rules.toml")]
    Standard,
    /// Check rule files, each for all its faults at once
    #[command(after_help = "Exit status 0: they are sound. 2: one is not.

Examples:
  engawa rules check rules.toml
  engawa rules check rules.toml --config /etc/engawa/engawa.toml       also whether the rooms are there")]
    Check {
        /// The files.
        #[arg(required = true, value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// The configuration whose rooms they speak of.
        #[arg(long, value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
    },
    /// Play a recorded day under other rules, and show what would have been different
    #[command(
        after_help = "Nothing is written to any device. The day is played twice: under the rules of --config (without it \
        those that the day was recorded under), and with the file of --rules on top. A line with - is what only the first did, with + what \
        only the second would have done. Without --rules all that was done is shown. Temperatures and people are as \
        they were recorded.

A line that a power cut has cut off at the end is passed over; broken ones in the middle are named, counted and passed over,
or the day is refused (--strict).

Exit status 0: played, with or without differences. 1: the day can't be read, or has no such room. 2: the rules are wrong.

Examples:
  engawa rules test --day /var/lib/engawa/days/2026-07-15-000000.jsonl --rules new.toml --config /etc/engawa/engawa.toml
  engawa rules test --day day.jsonl --rules new.toml --room 101"
    )]
    Test(test::Test),
    /// List the recorded days ([rules] record = true)
    Days {
        #[command(flatten)]
        file: File,
    },
    /// List the charges that rules have proposed, and accept or decline one
    #[command(after_help = "Exit status 3: the agent is not running; it must be, to accept or decline.

Examples:
  engawa rules charges
  engawa rules charges --accept 12 --amount 9.50
  engawa rules charges --decline 13")]
    Charges(charges::Charges),
    /// Say that somebody sees to an alert: it is not escalated further
    Acknowledge {
        /// Its name, such as `leak:room 101` (see `engawa status --json`).
        alert: String,
        #[command(flatten)]
        file: File,
    },
}

/// Does what is asked; the exit status.
pub(crate) fn main(command: Command) -> u8 {
    match command {
        Command::List { file, room, form } => {
            with(&file, |loaded| Ok(list(loaded, room.as_deref(), form.json)?))
        }
        Command::Standard => {
            print!("{}", engawa_rules::standard().1);
            DONE
        }
        Command::Check { files, config } => check(&files, config.as_deref()),
        Command::Test(test) => test.run(),
        Command::Days { file } => with(&file, |loaded| Ok(days(loaded)?)),
        Command::Charges(charges) => charges.run(),
        Command::Acknowledge { alert, file } => with(&file, |loaded| {
            crate::asking::ask(loaded, "rules", json!({ "do": "acknowledge-alert", "alert": alert }))?;
            println!("{alert}: somebody sees to it");
            Ok(())
        }),
    }
}

fn list(loaded: &Loaded, room: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let policy = loaded.policy();
    if let Some(room) = room
        && !loaded.config.property.rooms.iter().any(|known| known == room)
    {
        anyhow::bail!("there is no room `{room}`: rooms are written as in property.rooms");
    }
    // The same rule in a hundred rooms is one line; by name, rooms may have different ones.
    let mut found: Vec<(Arc<Rule>, Vec<&RoomId>)> = Vec::new();
    for (id, rules) in policy.rules.rooms().filter(|(id, _)| room.is_none_or(|room| id.as_str() == room)) {
        for rule in rules {
            match found.iter_mut().find(|(known, _)| Arc::ptr_eq(known, rule)) {
                Some((_, rooms)) => rooms.push(id),
                None => found.push((Arc::clone(rule), vec![id])),
            }
        }
    }
    found.sort_by_key(|(rule, _)| (std::cmp::Reverse(rule.priority), rule.name.clone()));
    let mut out = crate::answer::lock();
    for (rule, rooms) in found {
        if as_json {
            writeln!(out, "{}", json!({ "rule": &*rule, "rooms": rooms }))?;
        } else {
            writeln!(out, "{:<16} {:>3}  {:>5} rooms  {}", rule.name, rule.priority, rooms.len(), rule.says)?;
        }
    }
    Ok(())
}

fn check(paths: &[PathBuf], config: Option<&Path>) -> u8 {
    let rooms: Option<Vec<RoomId>> = match config.map(config::load).transpose() {
        Ok(loaded) => {
            loaded.map(|loaded| loaded.property_spec().rooms.into_iter().map(|room| room.id).collect())
        }
        Err(reports) => {
            show(&reports);
            return WRONG;
        }
    };
    let mut reports = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        match files::read(path).and_then(|text| engawa_rules::load(&name, &text, rooms.as_deref())) {
            Ok(file) => println!("{name}: {} rules, {} room types", file.rule.len(), file.types.len()),
            Err(report) => reports.push(report),
        }
    }
    if reports.is_empty() {
        return DONE;
    }
    show(&reports);
    WRONG
}

fn days(loaded: &Loaded) -> anyhow::Result<()> {
    let dir = loaded.days_dir();
    let files = match recording::recorded(&dir) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if files.is_empty() {
        let hint = if loaded.config.rules.record {
            "the agent has not begun one yet"
        } else {
            "[rules] record is false"
        };
        println!("no day is recorded: {hint}");
    }
    for file in files {
        let bytes = file.metadata()?.len();
        println!("{}  {:>8} kB  {}", recording::begun(&file), bytes.div_ceil(1024), file.display());
    }
    Ok(())
}

/// The exit status of a failure without a configuration.
pub(super) fn ended(result: Result<(), Failure>) -> u8 {
    match result {
        Ok(()) => DONE,
        Err(Failure::Failed(error) | Failure::NotRunning(error)) => failed(format!("{error:#}")),
    }
}
