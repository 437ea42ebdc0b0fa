//! The command line: what can be asked, and what the exit status says.
#![allow(clippy::print_stdout, reason = "standard output is where an answer goes")]

use crate::config::{self, Loaded};
use crate::{
    backup_cmd, broker_cmd, devices_cmd, diagnose_cmd, enroll, guest_cmd, listing, pms_cmd, profile_cmd,
    reload_cmd, rules_cmd, run, settings_cmd, status, sync_cmd, update_cmd,
};
use clap::{CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use serde_json::json;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Done.
pub(crate) const DONE: u8 = 0;
/// It failed.
pub(crate) const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub(crate) const WRONG: u8 = 2;
/// The agent is not running.
pub(crate) const NOT_RUNNING: u8 = 3;

/// The edge gateway of a hotel: it carries the property-management system, the rooms' devices and the cloud.
#[derive(Parser)]
#[command(
    name = "engawa",
    version,
    about,
    after_help = "Exit status:
  0  done
  1  failed; the reason is on standard error
  2  the command line or the configuration is wrong
  3  the agent is not running (status, reload, devices forget, guest erase, pms resync, settings set,
     update install)

Examples:
  engawa check /etc/engawa/engawa.toml        what is wrong with a configuration, all at once
  engawa enroll ENGAWA-CLAIM-CODE             join the cloud, once, with the code that it gave
  engawa status                               links, sync, postings and counters of the running agent
  engawa reload                               a changed configuration, without a restart
  engawa diagnose fault.json                  a bundle for whoever looks for a fault
  engawa devices plan                         what the buses are asked, and how much of their time that takes
  engawa devices scan --serial /dev/ttyUSB0 --baud 9600 --parity none
                                              which units answer on a line, and which profiles fit them
  engawa profile test siemens-rdf302 --tcp 192.168.10.5:502 --unit 3
                                              whether a live device follows a profile
  engawa rules test --day day.jsonl --rules new.toml
                                              what other rules would have done on a recorded day
  engawa pms explain 'GI|RN101|G#4711|'       a record of the PMS in plain words
  engawa broker passwd sensor-101             the password of a device at the broker
  engawa guest find --room 101 --as ann --reason 'lost property'
                                              guests, with a row in the audit trail
  engawa pms import stays.csv                 the stays of a house without a PMS that could be asked
  engawa sync reconcile                       a gateway that the cloud turns away since its disk was restored
  engawa settings set climate.eco-heating-c 18 --as ann
                                              a setting that the cloud may change, too
  engawa update status                        which release runs, what is wanted, what it waits for
  engawa rooms --json | jq .points            every point of every room"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Which configuration.
#[derive(clap::Args)]
pub(crate) struct File {
    /// The configuration.
    #[arg(env = "ENGAWA_CONFIG", default_value = "/etc/engawa/engawa.toml", value_hint = ValueHint::FilePath)]
    pub(crate) config: PathBuf,
}

/// How a listing looks.
#[derive(clap::Args)]
pub(crate) struct Form {
    /// One JSON object a line, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent in the foreground until it is asked to stop (SIGTERM, SIGINT)
    #[command(
        after_help = "Logs go to standard error; RUST_LOG=engawa=debug says more. Under systemd the agent \
        tells when it is ready and feeds the watchdog."
    )]
    Run {
        #[command(flatten)]
        file: File,
    },
    /// Check a configuration, the profiles it uses and the files it names, without starting anything
    Check {
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
    /// Have the running agent read its configuration again
    #[command(
        after_help = "All or nothing: a file with a fault changes nothing. Rules, firewall, climate, wake-up calls, list \
        guard, times of keeping, name, language and the log's levels change at once; whatever else is other is named, and \
        comes with the next start. SIGHUP and `systemctl reload engawa` do the same; the outcome is in `engawa log`.

Example:
  engawa check && engawa reload"
    )]
    Reload {
        #[command(flatten)]
        file: File,
    },
    /// Write a diagnostics bundle: configuration without secrets, status, journal, log, machine; nothing of a guest
    #[command(
        after_help = "Also while the agent does not run, with what its files tell. The cloud asks for the same with \
        `engawa-cloud send GATEWAY diagnose`.

Example:
  engawa diagnose /tmp/fault.json"
    )]
    Diagnose {
        /// The new file.
        #[arg(value_hint = ValueHint::FilePath)]
        to: PathBuf,
        #[command(flatten)]
        file: File,
    },
    /// Show how the running agent is: links, sync, devices, postings, counters
    Status {
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
    /// List the devices with their health, plan their buses, and try what hangs on a line
    ///
    /// Without a subcommand the devices are listed from the store, also while the agent is stopped; of a running agent
    /// the traffic of each device is shown as well.
    #[command(args_conflicts_with_subcommands = true)]
    Devices {
        #[command(subcommand)]
        command: Option<devices_cmd::Command>,
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
    /// List the rooms with their stays and points. Reads the store, so it also works while the agent is stopped
    #[command(
        after_help = "Guests' names are shown to whoever says who they are and why; that is kept: see \
        engawa guest audit.

Example:
  engawa rooms --as ann --reason 'fire drill'"
    )]
    Rooms {
        #[command(flatten)]
        file: File,
        /// Who asks for the guests' names.
        #[arg(long = "as", value_name = "NAME", requires = "reason", value_parser = crate::words_args::filled)]
        who: Option<String>,
        /// Why.
        #[arg(long, value_name = "WHY", requires = "who")]
        reason: Option<String>,
        #[command(flatten)]
        form: Form,
    },
    /// List the newest rows of the journal, newest first
    Log {
        #[command(flatten)]
        file: File,
        /// How many rows.
        #[arg(long, default_value = "50", value_parser = crate::words_args::count)]
        limit: usize,
        #[command(flatten)]
        form: Form,
    },
    /// Join the cloud with a one-time claim code (`engawa-cloud claim` makes one)
    #[command(
        after_help = "The gateway's private key is made here and never leaves; the cloud signs a certificate for \
        it. If the answer is lost on the way, run the same command again. An agent that runs without \
        an identity connects by itself within seconds; with --replace it must be restarted. Under another name the cloud keeps \
        what it has of the old one, and a guest's erasure does not reach that.

With --key tpm the key is made in the machine's TPM 2.0 and can't be copied out of it; [cloud] key in the configuration \
        says the same for good, for renewals, too. The user needs the right to the device: usermod -aG tss engawa.

Examples:
  engawa enroll -                             paste the code that `engawa-cloud claim` printed
  engawa enroll CODE --property grand         refuse a code that was made for another property
  engawa enroll CODE --key tpm                the key in the TPM of this machine"
    )]
    Enroll {
        /// The claim code; `-` reads it from standard input, so that it is not in the shell's history.
        code: String,
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        wishes: enroll::Wishes,
    },
    /// Passwords at the broker, and the files of a Mosquitto for this house
    Broker {
        #[command(subcommand)]
        command: broker_cmd::Command,
    },
    /// Find, export and erase guests' data, and see who looked at it
    Guest {
        #[command(subcommand)]
        command: guest_cmd::Command,
    },
    /// Copy the database to a file while the agent works on
    #[command(
        after_help = "The copy is encrypted with the database's key, which belongs into another safe. The \
        guests' keys are in no backup, on purpose: who was erased stays erased, and on another gateway all guests are \
        dark until the PMS's list brings back who is in the house. To put a copy back: stop the agent, move \
        engawa.db, engawa.db-wal and engawa.db-shm away, copy the file to engawa.db, start the agent.

Example:
  engawa backup /var/backups/engawa-$(date +%F).db"
    )]
    Backup {
        /// The new file.
        #[arg(value_hint = ValueHint::FilePath)]
        to: PathBuf,
        #[command(flatten)]
        file: File,
    },
    /// List, show, check and try device profiles
    Profile {
        #[command(subcommand)]
        command: profile_cmd::Command,
    },
    /// List, check and try the rules of rooms; charges that they propose
    Rules {
        #[command(subcommand)]
        command: rules_cmd::Command,
    },
    /// Capture what goes over a PMS link, replay it, put it in plain words; take lists of stays; ask who is in the house
    Pms {
        #[command(subcommand)]
        command: pms_cmd::Command,
    },
    /// Show the journal's lanes: marks, budget, the oldest row, gaps; reconcile them with the cloud
    ///
    /// Without a subcommand the lanes are shown from the store, also while the agent is stopped.
    #[command(args_conflicts_with_subcommands = true)]
    Sync {
        #[command(subcommand)]
        command: Option<sync_cmd::Command>,
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
    /// Settings that staff here and the fleet's cloud may both change, and what guests prefer
    Settings {
        #[command(subcommand)]
        command: settings_cmd::Command,
    },
    /// What runs and what is wanted; check that updates are possible; install a release from a stick
    Update {
        #[command(subcommand)]
        command: update_cmd::Command,
    },
    /// Print the completions of a shell
    #[command(after_help = "For example: engawa completions bash > /etc/bash_completion.d/engawa")]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// How a command ended, beyond success.
pub(crate) enum Failure {
    /// It failed.
    Failed(anyhow::Error),
    /// Nobody answers at the agent's socket.
    NotRunning(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Does what the command line asks.
pub(crate) fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run { file } => with(&file, |loaded| run::run(loaded).map_err(Failure::from)),
        Command::Check { file, form } => return check(&file.config, form.json),
        Command::Reload { file } => with(&file, reload_cmd::reload),
        Command::Diagnose { to, file } => with(&file, |loaded| diagnose_cmd::diagnose(loaded, &to)),
        Command::Status { file, form } => with(&file, |loaded| status::status(loaded, form.json)),
        Command::Devices { command: Some(command), .. } => devices_cmd::main(command),
        Command::Devices { command: None, file, form } => {
            with(&file, |loaded| Ok(listing::devices(loaded, form.json)?))
        }
        Command::Rooms { file, who, reason, form } => with(&file, |loaded| {
            let who = who.zip(reason).map(|(who, reason)| guest_cmd::Who::new(who, reason));
            Ok(listing::rooms(loaded, who.as_ref(), form.json)?)
        }),
        Command::Log { file, limit, form } => {
            with(&file, |loaded| Ok(listing::log(loaded, limit, form.json)?))
        }
        Command::Enroll { code, file, wishes } => {
            with(&file, |loaded| Ok(enroll::enroll(loaded, &code, &wishes)?))
        }
        Command::Broker { command } => with(command.file(), |loaded| Ok(broker_cmd::main(&command, loaded)?)),
        Command::Guest { command } => with(command.file(), |loaded| guest_cmd::main(&command, loaded)),
        Command::Backup { to, file } => with(&file, |loaded| Ok(backup_cmd::backup(loaded, &to)?)),
        Command::Profile { command } => profile_cmd::main(command),
        Command::Rules { command } => rules_cmd::main(command),
        Command::Pms { command } => pms_cmd::main(command),
        Command::Sync { command: Some(command), .. } => {
            with(command.file(), |loaded| sync_cmd::main(&command, loaded))
        }
        Command::Sync { command: None, file, form } => {
            with(&file, |loaded| Ok(sync_cmd::status(loaded, form.json)?))
        }
        Command::Settings { command } => with(&command.file(), |loaded| settings_cmd::main(&command, loaded)),
        Command::Update { command } => with(command.file(), |loaded| update_cmd::main(&command, loaded)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "engawa", &mut crate::answer::lock());
            DONE
        }
    };
    ExitCode::from(outcome)
}

pub(crate) fn with(file: &File, work: impl FnOnce(&Loaded) -> Result<(), Failure>) -> u8 {
    let loaded = match config::load(&file.config) {
        Ok(loaded) => loaded,
        Err(reports) => {
            show(&reports);
            return WRONG;
        }
    };
    match work(&loaded) {
        Ok(()) => DONE,
        // A reader that has seen enough (`engawa log | head`) is no failure.
        Err(Failure::Failed(error)) if is_broken_pipe(&error) => DONE,
        Err(Failure::Failed(error)) => {
            eprintln!("engawa: {error:#}");
            FAILED
        }
        Err(Failure::NotRunning(error)) => {
            eprintln!("engawa: {error:#}");
            NOT_RUNNING
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

pub(crate) fn show(reports: &[engawa_diag::Report]) {
    let color = std::io::stderr().is_terminal();
    for report in reports {
        // Where standard error is closed nobody reads it.
        let _ = write!(std::io::stderr(), "{}", report.render(color));
    }
}

fn check(path: &Path, as_json: bool) -> ExitCode {
    let checked = config::load(path);
    match checked.and_then(|loaded| config::check_named_files(path).map(|()| loaded)) {
        Ok(loaded) => {
            let summary = loaded.summary();
            if as_json {
                println!("{}", json!({ "ok": true, "summary": summary }))
            } else {
                println!("{summary}")
            }
            ExitCode::from(DONE)
        }
        Err(reports) => {
            if as_json {
                for report in &reports {
                    for fault in &report.faults {
                        let position = report.position(fault);
                        println!(
                            "{}",
                            json!({ "file": report.file, "line": position.line, "column": position.column,
                                "message": fault.message, "label": fault.label, "help": fault.help })
                        );
                    }
                }
            } else {
                show(&reports);
            }
            ExitCode::from(WRONG)
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
