//! The command line, read by hand: a parser of its own would be a third of this program.

use crate::listen::Address;
use engawa_slots::machine::Limits;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Starts the agent from its active slot, tries new versions, and goes back by itself when one is unwell.

Usage:
  engawa-supervisor DIR [OPTIONS] -- CONFIG     run the agent of DIR with this configuration
  engawa-supervisor install --dir DIR [OPTIONS] FILES...
                                                lay the first release: the program engawa and what belongs to it
  engawa-supervisor check DIR                   read all slots; which version would be started. Writes nothing
  engawa-supervisor which DIR                   the program of the slot that is started, by the table alone

Options of a run (times in seconds, 0.5 is possible):
  --run-dir DIR         where the sockets are put; else $RUNTIME_DIRECTORY, else DIR
  --listen NAME=ADDR    hold a listening socket for the agent (LISTEN_FDS): IP:PORT or unix:/PATH; can be repeated.
                        What can't be opened is left to the agent, and tried again with its next start
  --watchdog DEVICE     feed a hardware watchdog such as /dev/watchdog; one that is not there is tried again
  --memory-mib N        the agent's budget of resident memory; without it there is none
  --heartbeat S         longest time between two heartbeats of the agent [20]
  --start S             longest time until it says that it is ready [60]
  --trial S             longest time until a new version is confirmed [600]
  --tries N             how often a new version is started [3]
  --stop S              from asking the agent to stop until it is killed [15]

Options of an installation:
  --release VERSION     its version for people, where FILES have no manifest.json [0.0.0]
  --number N            its release counter [0]
  --once                do nothing where a release is installed already
  --replace-damaged     also where there is a slot table that can't be read: the floor of the releases that lie there stays

  --help, --version
";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Version,
    Run(Box<Options>),
    Install(Install),
    Check(PathBuf),
    Which(PathBuf),
    /// Internal: what becomes the agent.
    HandOver(Vec<OsString>),
}

/// A run.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) folder: PathBuf,
    pub(crate) config: OsString,
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) listen: Vec<(String, Address)>,
    pub(crate) watchdog: Option<PathBuf>,
    pub(crate) limits: Limits,
}

/// An installation.
#[derive(Debug)]
pub(crate) struct Install {
    pub(crate) folder: PathBuf,
    pub(crate) version: String,
    pub(crate) number: u64,
    pub(crate) once: bool,
    pub(crate) replaces: bool,
    pub(crate) files: Vec<PathBuf>,
}

pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut words = words.peekable();
    let Some(first) = words.next() else {
        return Err("there is nothing to do".to_owned());
    };
    match first.to_str() {
        Some("--help" | "-h" | "help") => Ok(Command::Help),
        Some("--version" | "-V") => Ok(Command::Version),
        Some("install") => parse_install(words),
        Some("check" | "which") if words.peek().is_some_and(is_help) => Ok(Command::Help),
        Some(word @ ("check" | "which")) => match (words.next(), words.next()) {
            (Some(folder), None) if word == "check" => Ok(Command::Check(folder.into())),
            (Some(folder), None) => Ok(Command::Which(folder.into())),
            _ => Err(format!("{word} needs one folder: engawa-supervisor {word} DIR")),
        },
        Some("hand-over") => Ok(Command::HandOver(words.collect())),
        _ => parse_run(first, words),
    }
}

fn is_help(word: &OsString) -> bool {
    word == "--help" || word == "-h"
}

fn parse_run(first: OsString, words: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut options = Options {
        folder: PathBuf::new(),
        config: OsString::new(),
        run_dir: None,
        listen: Vec::new(),
        watchdog: None,
        limits: Limits::default(),
    };
    let mut words = std::iter::once(first).chain(words);
    let mut folder = None;
    let mut config = None;
    while let Some(word) = words.next() {
        let Some(name) = word.to_str().filter(|word| word.starts_with('-')) else {
            if folder.replace(PathBuf::from(&word)).is_some() {
                return Err(format!("{} is one folder too many; CONFIG comes behind --", word.display()));
            }
            continue;
        };
        if name == "--" {
            let rest: Vec<OsString> = words.by_ref().collect();
            let [one] = <[OsString; 1]>::try_from(rest)
                .map_err(|_| "behind -- there is one thing: CONFIG".to_owned())?;
            config = Some(one);
            break;
        }
        let name = name.to_owned();
        let mut value = || words.next().ok_or_else(|| format!("{name} needs a value"));
        let limits = &mut options.limits;
        match name.as_str() {
            "--run-dir" => options.run_dir = Some(value()?.into()),
            "--watchdog" => options.watchdog = Some(value()?.into()),
            "--listen" => options.listen.push(Address::named(&text(&name, &value()?)?)?),
            "--memory-mib" => limits.memory = Some(number(&name, &value()?)?),
            "--heartbeat" => limits.heartbeat = seconds(&name, &value()?)?,
            "--start" => limits.start = seconds(&name, &value()?)?,
            "--trial" => limits.trial = seconds(&name, &value()?)?,
            "--stop" => limits.stop = seconds(&name, &value()?)?,
            "--tries" => {
                limits.tries = u8::try_from(number(&name, &value()?)?)
                    .ok()
                    .filter(|tries| *tries > 0)
                    .ok_or_else(|| format!("{name}: from 1 to 255"))?;
            }
            _ => return Err(format!("{name} is no option")),
        }
    }
    options.folder = folder.ok_or_else(|| "the folder of the slots is missing".to_owned())?;
    options.config =
        config.ok_or_else(|| "the configuration is missing: engawa-supervisor DIR -- CONFIG".to_owned())?;
    Ok(Command::Run(Box::new(options)))
}

fn parse_install(mut words: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut folder = None;
    let (mut version, mut given, mut files) = ("0.0.0".to_owned(), 0, Vec::new());
    let (mut once, mut replaces) = (false, false);
    while let Some(word) = words.next() {
        if is_help(&word) {
            return Ok(Command::Help);
        }
        let Some(name) = word.to_str().filter(|word| word.starts_with('-')).map(str::to_owned) else {
            files.push(PathBuf::from(word));
            continue;
        };
        let mut value = || words.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--dir" => folder = Some(PathBuf::from(value()?)),
            "--release" => version = text(&name, &value()?)?,
            "--number" => given = number(&name, &value()?)?,
            "--once" => once = true,
            "--replace-damaged" => replaces = true,
            _ => return Err(format!("{name} is no option of install")),
        }
    }
    let folder = folder.ok_or_else(|| "install needs --dir DIR".to_owned())?;
    if files.is_empty() {
        return Err("install needs the files of the release, the program engawa at least".to_owned());
    }
    Ok(Command::Install(Install { folder, version, number: given, once, replaces, files }))
}

fn text(name: &str, value: &OsString) -> Result<String, String> {
    value.to_str().map(str::to_owned).ok_or_else(|| format!("{name}: {} is no text", value.display()))
}

fn number(name: &str, value: &OsString) -> Result<u64, String> {
    text(name, value)?.parse().map_err(|_| format!("{name}: {} is no whole number", value.display()))
}

fn seconds(name: &str, value: &OsString) -> Result<Duration, String> {
    let fault = || format!("{name}: {} is no time in seconds, from 0.1 to a million", value.display());
    let seconds: f64 = text(name, value)?.parse().map_err(|_| fault())?;
    if (0.1..=1e6).contains(&seconds) {
        Duration::try_from_secs_f64(seconds).map_err(|_| fault())
    } else {
        Err(fault())
    }
}
