//! `engawa update`: what runs, what is wanted, what a stick has, and a release from it.
//!
//! Status, check and history read files, also while the agent is stopped. An installation goes through the agent, which checks what
//! it is given as it checks what the cloud gives it.

use crate::asking::{ask_and_wait_through, asker};
use crate::cli::{Failure, File, Form};
use crate::config::{Loaded, UpdateConfig};
use crate::listing;
use crate::updates::kept::{By, Kept};
use crate::updates::prepare::in_words;
use crate::updates::system::is_image;
use crate::updates::trust::Trust;
use crate::updates::{TRIPLE, slots};
use anyhow::{Context, anyhow, bail};
use clap::{Subcommand, ValueHint};
use engawa_model::{CommandOutcome, Timestamp, UpdateStep};
use engawa_slots::Table;
use engawa_update::{FolderSource, Release};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an installation may take until the command line gives up waiting; the agent goes on.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long the agent may be away while releases are switched.
const RESTART: Duration = Duration::from_secs(300);

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show what runs, what lies in the spare slot, what is wanted and what it waits for
    #[command(after_help = "Reads files, so it also works while the agent is stopped.")]
    Status {
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
    /// Check that this gateway can be updated; with --from, also what a repository has for it
    #[command(after_help = "Nothing is written, and nothing installed. Exit status 1: something is missing.

Examples:
  engawa update check
  engawa update check --from /media/stick/releases")]
    Check {
        /// The folder of a repository: `metadata` and `targets` are in it.
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        from: Option<PathBuf>,
        #[command(flatten)]
        file: File,
    },
    /// Have the running agent install a release from a folder, such as a USB stick
    #[command(
        after_help = "The release is checked as one of the cloud: signed metadata, hardware, release counter. It is switched to at \
        the next good moment (window, night audit, wake-up calls), tried, and left again by itself if it is unwell. Waits for \
        the end; the agent goes on if this is interrupted.

Whether metadata has expired is judged by a time that the cloud or the network has confirmed. Where there is neither, look at \
        the clock (date) and say --clock-is-right.

Exit status 1: refused, with the reason. 3: the agent is not running.

Examples:
  engawa update install --from /media/stick/releases              the newest for this gateway
  engawa update install --from /media/stick/releases --release 1.4.0 --clock-is-right"
    )]
    Install {
        /// The folder of a repository: `metadata` and `targets` are in it.
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        from: PathBuf,
        /// Which release, where it is not the newest.
        #[arg(long, value_name = "VERSION", value_parser = version)]
        release: Option<String>,
        /// The gateway's clock was looked at, and is right.
        #[arg(long)]
        clock_is_right: bool,
        #[command(flatten)]
        file: File,
    },
    /// List the last steps of updates, newest first
    History {
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
}

/// A version as releases have it.
fn version(text: &str) -> Result<String, String> {
    semver::Version::parse(text).map(|_| text.to_owned()).map_err(|error| {
        format!("it is no semantic version such as 1.4.0 ({error}); `engawa update check --from FOLDER` lists what there is")
    })
}

impl Command {
    pub(crate) fn file(&self) -> &File {
        match self {
            Self::Status { file, .. }
            | Self::Check { file, .. }
            | Self::Install { file, .. }
            | Self::History { file, .. } => file,
        }
    }
}

pub(crate) fn main(command: &Command, loaded: &Loaded) -> Result<(), Failure> {
    match command {
        Command::Status { form, .. } => Ok(status(loaded, form.json)?),
        Command::Check { from, .. } => Ok(check(loaded, from.as_deref())?),
        Command::Install { from, release, clock_is_right, .. } => {
            install(loaded, from, release.as_deref(), *clock_is_right)
        }
        Command::History { form, .. } => Ok(history(loaded, form.json)?),
    }
}

fn section(loaded: &Loaded) -> anyhow::Result<&UpdateConfig> {
    loaded.config.update.as_ref().ok_or_else(|| {
        anyhow!(
            "{} has no [update]: this gateway's releases are installed by hand. The section is explained in \
             engawa.example.toml",
            loaded.file.display()
        )
    })
}

/// The slot table, or why there is none.
fn table(config: &UpdateConfig) -> Result<Table, String> {
    slots::peek(&config.dir).map_err(|error| format!("{}: {error}", config.dir.display()))
}

/// What is in a slot of which the table says nothing: a release that lies ready there is entered once it is tried.
fn spare_word(kept: &Kept) -> String {
    match (&kept.wanted, &kept.told) {
        (Some(wanted), Some((step, _))) if !is_image(&wanted.target) => match step {
            UpdateStep::Ready | UpdateStep::Waiting => {
                format!("{}, ready: it waits to be switched to", wanted.version)
            }
            UpdateStep::Downloading => format!("{}, being written", wanted.version),
            _ => "empty, or being written".to_owned(),
        },
        _ => "empty, or being written".to_owned(),
    }
}

fn status(loaded: &Loaded, as_json: bool) -> anyhow::Result<()> {
    let config = section(loaded)?;
    let (table, kept) = (table(config), Kept::load(&config.dir));
    let trusted = trusted(config);
    let mut out = crate::answer::lock();
    if as_json {
        let slots = table.as_ref().map_or(Value::Null, |table| {
            let release = |slot| {
                table.release(slot).map(|it| json!({ "version": it.version, "number": it.number, "manifest": it.manifest.to_string() }))
            };
            json!({ "active": table.active.name(), "floor": table.floor, "a": release(engawa_slots::Slot::A),
                "b": release(engawa_slots::Slot::B), "trial": table.trial.as_ref().map(|it| it.slot.name()) })
        });
        let trusted: Vec<_> = trusted
            .iter()
            .map(|(role, version, expires)| json!({ "role": role, "version": version, "expires": expires }))
            .collect();
        writeln!(
            out,
            "{}",
            json!({ "slots": slots, "fault": table.err(), "wanted": kept.wanted, "told": kept.told, "last": kept.last,
                "bad": kept.bad, "time": kept.time, "trusted": trusted, "target": TRIPLE, "hardware": config.hardware })
        )?;
        return Ok(());
    }
    match &table {
        Err(why) => writeln!(
            out,
            "no slots: {why}\nwithout engawa-supervisor no release is installed by the agent: see deploy/README.md"
        )?,
        Ok(table) => {
            for slot in [table.active, table.active.other()] {
                let what = table.release(slot).map_or_else(
                    || spare_word(&kept),
                    |release| format!("{}, number {}", release.version, release.number),
                );
                let on_trial = table.trial.as_ref().is_some_and(|trial| trial.slot == slot);
                let role = if on_trial {
                    "on trial"
                } else if slot == table.active {
                    "confirmed"
                } else {
                    "spare"
                };
                writeln!(out, "slot {slot}  {role:<10} {what}")?;
            }
            writeln!(out, "nothing below number {} is installed", table.floor)?;
        }
    }
    match (&kept.wanted, &kept.told) {
        (None, _) => writeln!(out, "nothing else is wanted")?,
        (Some(wanted), told) => {
            let by = match &wanted.by {
                By::Rollout { id, attempt, back } => {
                    let attempt =
                        if *attempt > 0 { format!(", attempt {}", attempt + 1) } else { String::new() };
                    format!("rollout {id}{attempt}{}", if *back { ", a way back" } else { "" })
                }
                By::Command { key } => format!("command {key}"),
                By::Stick { folder, .. } => folder.display().to_string(),
            };
            let step = told.as_ref().map_or("not begun", |(step, _)| step.word());
            let why = told.as_ref().and_then(|(_, why)| why.as_ref());
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            writeln!(out, "wanted: {} ({by}), {step}{why}", wanted.version)?;
        }
    }
    if let Some(last) = &kept.last {
        let why = if last.reason.is_empty() { String::new() } else { format!(": {}", last.reason) };
        writeln!(out, "last: {} {}{why}", last.version, last.step.word())?;
    }
    for (role, version, expires) in &trusted {
        writeln!(out, "trusted: {role:<10} version {version}, until {expires}")?;
    }
    if trusted.is_empty() {
        writeln!(out, "trusted: nothing but {} yet", config.root.display())?;
    }
    Ok(())
}

/// The roles of trusted metadata with version and expiry, as they are kept.
fn trusted(config: &UpdateConfig) -> Vec<(String, u64, String)> {
    let files = Trust::new(&config.dir, &config.root).files().unwrap_or_default();
    let read = |(name, bytes): (String, Vec<u8>)| {
        let metadata: Value = serde_json::from_slice(&bytes).ok()?;
        let signed = &metadata["signed"];
        let role = name.trim_end_matches(".json").to_owned();
        Some((role, signed["version"].as_u64()?, signed["expires"].as_str()?.to_owned()))
    };
    files.into_iter().filter_map(read).collect()
}

fn check(loaded: &Loaded, from: Option<&Path>) -> anyhow::Result<()> {
    let config = section(loaded)?;
    let mut out = crate::answer::lock();
    let mut missing = 0;
    let mut line = |what: &str, is: Result<String, String>| {
        let (mark, text) = match is {
            Ok(text) => ("ok     ", text),
            Err(text) => {
                missing += 1;
                ("MISSING", text)
            }
        };
        writeln!(out, "{mark} {what:<12} {text}")
    };
    let slots = table(config).map(|table| {
        let runs = table.release(table.active).map_or("nothing", |release| release.version.as_str());
        format!("{runs} is confirmed in slot {}", table.active)
    });
    line("slots", slots)?;
    let trust = Trust::new(&config.dir, &config.root);
    let roots = trust.files().map(|files| format!("{} files of metadata", files.len()));
    line("trust", roots.map_err(|error| in_words(&error)))?;
    let probe = tempfile_in(&config.dir);
    line("writable", probe.map_err(|error| format!("{}: {error}", config.dir.display())))?;
    let cloud = match (&loaded.config.cloud, from) {
        (Some(cloud), _) => Ok(cloud.named()),
        (None, Some(_)) => Ok("none: by a folder alone".to_owned()),
        (None, None) => {
            Err("no [cloud] in the configuration: releases come from a folder alone (--from)".to_owned())
        }
    };
    line("cloud", cloud)?;
    if let Some(folder) = from {
        match offered(config, &trust, folder) {
            Ok(releases) if releases.is_empty() => {
                line("repository", Err(format!("it is trusted, and has nothing for {TRIPLE}")))?;
            }
            Ok(releases) => {
                for Offered { version, number, fits } in releases {
                    let what = format!("{version}, number {number}");
                    let said = match fits {
                        Fits::Yes => Ok(what),
                        Fits::Other(boards) => Ok(format!("{what}, for another board: {boards}")),
                        Fits::Unread(why) => Err(format!("{what}: {why}")),
                    };
                    line("repository", said)?;
                }
            }
            Err(error) => line("repository", Err(format!("{error:#}")))?,
        }
    }
    if missing > 0 {
        bail!("{missing} of these are missing: no release can be installed before they are there");
    }
    Ok(())
}

/// Whether files can be made in the folder.
fn tempfile_in(dir: &Path) -> Result<String, std::io::Error> {
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    std::fs::File::create_new(&probe)?;
    std::fs::remove_file(&probe)?;
    Ok(dir.display().to_string())
}

/// Releases of a folder that are looked at; older ones are for whoever names one.
const MOST_OFFERED: usize = 64;

/// A release that a folder has.
struct Offered {
    version: String,
    number: u64,
    fits: Fits,
}

/// Whether a release is for this board, as its manifest says.
enum Fits {
    Yes,
    /// Which boards it is for.
    Other(String),
    /// Why its manifest can't be read.
    Unread(String),
}

/// The releases that a folder has for machines of this kind, the newest first, by the clock of this machine. Nothing is kept of it.
fn offered(config: &UpdateConfig, trust: &Trust, folder: &Path) -> anyhow::Result<Vec<Offered>> {
    let opened = FolderSource::open(folder);
    let mut source = opened.with_context(|| format!("opening the repository {}", folder.display()))?;
    let first = "metadata/timestamp.json";
    if matches!(source.size(first), Ok(None)) {
        bail!(
            "{} is no repository, for it has no {first}: name the folder with `metadata` and `targets`, such as {}",
            folder.display(),
            folder.join("releases").display()
        );
    }
    let client = trust.refresh(&mut source, Timestamp::now(), false);
    let client = client.map_err(|error| anyhow!("{}", in_words(&error)))?;
    let floor = table(config).map_or(0, |table| table.floor);
    let mut found: Vec<_> = client
        .targets()
        .filter_map(|target| {
            let version =
                target.path.strip_prefix(&format!("engawa/{TRIPLE}/"))?.strip_suffix("/manifest.json")?;
            let number = target.custom["number"].as_u64().unwrap_or(0);
            (number >= floor).then(|| (number, version.to_owned(), target.clone()))
        })
        .collect();
    found.sort_by_key(|(number, ..)| std::cmp::Reverse(*number));
    let offered = found.into_iter().take(MOST_OFFERED).map(|(number, version, target)| {
        // Which boards a release is for its manifest alone says. One that can't be read bars none of the others.
        let digest = target.sha256.as_ref().and_then(|hex| hex.parse().ok());
        let release = digest
            .ok_or_else(|| format!("{} has no SHA-256 in signed metadata", target.path))
            .and_then(|digest| {
                Release::fetch(&mut source, &target.path, target.length, digest)
                    .map_err(|error| in_words(&error))
            });
        let fits = match release.map(|release| release.manifest) {
            Ok(manifest) if manifest.is_for(TRIPLE, &config.hardware) => Fits::Yes,
            Ok(manifest) => Fits::Other(manifest.hardware.join(", ")),
            Err(why) => Fits::Unread(why),
        };
        Offered { version, number, fits }
    });
    Ok(offered.collect())
}

/// The version of the newest that is for this board.
fn newest(config: &UpdateConfig, folder: &Path, offered: Vec<Offered>) -> anyhow::Result<String> {
    let mut others = Vec::new();
    for Offered { version, fits, .. } in offered {
        match fits {
            Fits::Yes => return Ok(version),
            Fits::Other(boards) => others.push(format!("{version} is for {boards}")),
            Fits::Unread(why) => others.push(format!("{version} can't be read: {why}")),
        }
    }
    if others.is_empty() {
        bail!("{} has no release for {TRIPLE}", folder.display());
    }
    let board = match config.hardware.as_str() {
        "" => "a board that [update] hardware does not name",
        board => board,
    };
    bail!("{} has no release for {board}: {}", folder.display(), others.join("; "))
}

fn install(loaded: &Loaded, from: &Path, release: Option<&str>, clock_is_right: bool) -> Result<(), Failure> {
    let config = section(loaded)?;
    let from = from.canonicalize().with_context(|| format!("looking for {}", from.display()))?;
    let Some(folder) = from.to_str() else {
        return Err(anyhow!(
            "the name of the folder {} is no UTF-8, and can't be told to the agent: mount or rename it to one that is",
            from.display()
        )
        .into());
    };
    let version = match release {
        Some(version) => version.to_owned(),
        None => {
            let trust = Trust::new(&config.dir, &config.root);
            newest(config, &from, offered(config, &trust, &from)?)?
        }
    };
    eprintln!(
        "engawa: asking for {version}: the agent checks and installs it, and switches at the next good moment; `engawa update status` says more"
    );
    let action = json!({ "do": "update", "version": version, "channel": "stable", "from": folder,
        "clock_is_right": clock_is_right, "by": asker() });
    let report = ask_and_wait_through(loaded, "update", action, LONGEST, RESTART)?;
    let mut out = crate::answer::lock();
    match report.outcome {
        Some(CommandOutcome::Done) => {
            let note = report.note.unwrap_or_else(|| format!("{version} runs, and is confirmed"));
            writeln!(out, "{note}")?;
            Ok(())
        }
        Some(CommandOutcome::Refused { reason }) => Err(anyhow!("{version} does not run: {reason}").into()),
        other => Err(anyhow!("{version}: {other:?}").into()),
    }
}

fn history(loaded: &Loaded, as_json: bool) -> anyhow::Result<()> {
    let property = listing::stored(loaded)?;
    let mut out = crate::answer::lock();
    for (at, note) in property.updates().rev() {
        if as_json {
            writeln!(out, "{}", json!({ "at": at, "update": note }))?;
            continue;
        }
        let by = note.rollout.as_ref().map_or_else(String::new, |id| format!("  rollout {id}"));
        let why = note.reason.as_ref().map_or_else(String::new, |why| format!("  {why}"));
        writeln!(out, "{at}  {:<12} {:<12}{by}{why}", note.version, note.step.word())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::updates::kept::Wanted;

    #[test]
    fn a_release_that_lies_ready_is_told_as_that() {
        let wanted = |target: &str| Wanted {
            by: By::Rollout { id: "r-1".into(), attempt: 0, back: false },
            version: "1.4.0".into(),
            number: 4,
            target: target.to_owned(),
            conditions: String::new(),
        };
        let word = |target, step| {
            let told = Some((step, Some("the window is not open".to_owned())));
            spare_word(&Kept { wanted: Some(wanted(target)), told, ..Kept::default() })
        };
        let application = "engawa/t/1.4.0/manifest.json";
        for step in [UpdateStep::Ready, UpdateStep::Waiting] {
            assert_eq!(word(application, step), "1.4.0, ready: it waits to be switched to");
        }
        assert_eq!(word(application, UpdateStep::Downloading), "1.4.0, being written");
        for (target, step) in
            [(application, UpdateStep::Offered), ("system/virt/1.4.0/manifest.json", UpdateStep::Waiting)]
        {
            assert_eq!(word(target, step), "empty, or being written");
        }
        assert_eq!(spare_word(&Kept::default()), "empty, or being written");
    }

    #[test]
    fn a_version_is_checked_before_the_agent_is_asked() {
        assert_eq!(version("1.4.0-rc.1").unwrap(), "1.4.0-rc.1");
        assert!(version("banana").unwrap_err().contains("no semantic version such as 1.4.0"));
    }

    #[test]
    fn a_stick_for_several_boards_has_the_newest_of_this_one() {
        let text = "dir = '/slots'\nroot = '/root.json'\nhardware = 'box1'";
        let config: UpdateConfig = toml::from_str(text).unwrap();
        let of = |version: &str, fits: Fits| Offered { version: version.to_owned(), number: 1, fits };
        let (other, unread) = (|| Fits::Other("box2, box3".to_owned()), || Fits::Unread("torn".to_owned()));
        let stick =
            vec![of("1.6.0", unread()), of("1.5.0", other()), of("1.4.0", Fits::Yes), of("1.3.0", Fits::Yes)];
        assert_eq!(newest(&config, Path::new("/stick"), stick).unwrap(), "1.4.0");
        let none = vec![of("1.6.0", unread()), of("1.5.0", other())];
        let error = newest(&config, Path::new("/stick"), none).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/stick has no release for box1: 1.6.0 can't be read: torn; 1.5.0 is for box2, box3"
        );
        assert!(newest(&config, Path::new("/stick"), vec![]).is_err());
    }
}
