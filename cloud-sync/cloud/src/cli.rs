//! The command line: what can be asked, and what the exit status says.

use crate::asker;
use crate::bundle_cmd::{self, BundleAct};
use crate::desk::Home;
use crate::erasure_cmd::{self, ErasureAct};
use crate::release_cmd::{self, ReleaseAct};
use crate::rollout_cmd::{self, RolloutAct};
use crate::settings_cmd::{self, SettingsAct};
use crate::trust_cmd::{self, CaAct, GatewaysAct, RegionsAct};
use crate::{listing, output, send, serve, setup, tail_cmd};
use clap::{CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Done.
pub(crate) const DONE: u8 = 0;
/// It failed.
const FAILED: u8 = 1;
/// The command ended, and not as done.
pub(crate) const NOT_DONE: u8 = 3;
/// The command has not ended in time.
pub(crate) const NOT_ENDED: u8 = 4;

/// The cloud end of Engawa: enrols gateways, takes their journals in, sends them commands.
#[derive(Parser)]
#[command(
    name = "engawa-cloud",
    version,
    about,
    after_help = "Exit status:
  0  done
  1  failed; the reason is on standard error
  2  the command line is wrong
  3  the command ended as refused, doubtful, superseded or expired (send --wait, tail)
  4  the command has not ended in time (send --wait, tail)

A first cloud:
  engawa-cloud init --dir /var/lib/engawa-cloud --name cloud.example.com
  engawa-cloud serve --dir /var/lib/engawa-cloud --listen 0.0.0.0:8443
  engawa-cloud claim --dir /var/lib/engawa-cloud --property grand --gateway grand-1
      and on the gateway: engawa enroll CODE

Then, with ENGAWA_CLOUD_DIR set instead of --dir:
  engawa-cloud gateways                                   who is connected, and what waits
  engawa-cloud send grand-1 --wait 30 setpoint 101 22.5   and wait until the room has it
  engawa-cloud log grand-1 --kind posting --json          what was charged
  engawa-cloud tail grand-1 room/101 --for 60             a room's values as they come
  engawa-cloud send grand-1 --wait 60 diagnose            what whoever looks for a fault wants to know

Many replicas on one PostgreSQL (any of them serves any gateway; give each the same folder):
  export ENGAWA_CLOUD_DATABASE='postgres://engawa:SECRET@db.example.com/engawa?sslmode=verify-full'
  engawa-cloud init --name cloud.example.com && engawa-cloud serve --listen 0.0.0.0:8443"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// How an answer looks.
#[derive(clap::Args)]
struct Form {
    /// One JSON object a line, for scripts.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new cloud: its private authority, its certificate, its database. Once
    #[command(
        after_help = "The folder is the cloud: back it up, ca.key above all. Its database is plain SQLite; the disk \
        should be encrypted by the host.\n\nExample:\n  engawa-cloud init --dir /var/lib/engawa-cloud --name \
        cloud.example.com --name 192.0.2.7"
    )]
    Init {
        #[command(flatten)]
        home: Home,
        /// A host name or address under which gateways reach this cloud; may be given several times. Without it:
        /// localhost and its addresses, and this machine's own name.
        #[arg(long = "name", value_name = "HOST-OR-IP", value_hint = ValueHint::Hostname)]
        names: Vec<String>,
        /// The region whose properties this cloud holds, such as eu-1: its gateways talk to no other
        #[arg(long)]
        region: Option<String>,
        /// Share the authority of the cloud in this folder, which is of another region
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "region")]
        authority: Option<PathBuf>,
        /// How long gateways' certificates are valid, days; they are renewed at two thirds [default: 30]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        certificate_days: Option<u32>,
        /// How long after its time a certificate may still be renewed (a box from storage), days [default: 365]
        #[arg(long, value_parser = clap::value_parser!(u32).range(0..=3650))]
        renewal_grace_days: Option<u32>,
    },
    /// Take gateways' connections until asked to stop (SIGTERM, SIGINT)
    #[command(
        after_help = "Says on standard output where it listens, once: a line for UDP, then one for TCP. Logs go to standard error; RUST_LOG=debug says \
        more. What a gateway was told is stored survives a crash and a power cut.\n\nExample:\n  engawa-cloud serve \
        --dir /var/lib/engawa-cloud --listen '[::]:8443'"
    )]
    Serve {
        #[command(flatten)]
        home: Home,
        /// Where to listen, UDP. Port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
        /// Tell the journal (but for telemetry) to a NATS JetStream too, for other consumers: subjects
        /// engawa.PROPERTY.KIND. With --database.
        #[arg(long, env = "ENGAWA_CLOUD_NATS", hide_env_values = true, value_name = "URL")]
        nats: Option<String>,
        /// Where to listen for gateways whose UDP does not get through, TCP. Without it: at the same address and port.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen_tcp: Option<SocketAddr>,
        #[command(flatten)]
        releases: serve::Releases,
    },
    /// Make a one-time code with which a gateway joins
    #[command(
        after_help = "Only the code goes to standard output, so that a script can take it. Of the code the cloud \
        keeps only a hash: it can't be shown again.\n\nExample:\n  engawa-cloud claim --property grand --gateway grand-1 \
        --hours 2"
    )]
    Claim {
        #[command(flatten)]
        home: Home,
        /// The property (the hotel): letters, digits, `-`, `_`, `.`.
        #[arg(long)]
        property: String,
        /// The gateway's name in the fleet: letters, digits, `-`, `_`, `.`.
        #[arg(long)]
        gateway: String,
        /// A name for people.
        #[arg(long)]
        name: Option<String>,
        /// How long the code is good for, hours.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
        hours: u32,
        #[command(flatten)]
        form: Form,
    },
    /// List the gateways: who is connected, how many rows came, how many commands wait
    Gateways {
        #[command(flatten)]
        home: Home,
        #[command(flatten)]
        form: Form,
        #[command(subcommand)]
        act: Option<GatewaysAct>,
    },
    /// List the rooms as the journals tell of them
    Rooms {
        #[command(flatten)]
        home: Home,
        /// Only this gateway's.
        gateway: Option<String>,
        #[command(flatten)]
        form: Form,
    },
    /// List the newest journal rows, newest first
    #[command(
        after_help = "For more than a look, read the table `journal` with sqlite3; SCHEMA.md tells of it.\n\n\
        Example:\n  engawa-cloud log grand-1 --kind checked_in --limit 10"
    )]
    Log {
        #[command(flatten)]
        home: Home,
        /// Only this gateway's.
        gateway: Option<String>,
        /// Only this kind, such as `checked_in`.
        #[arg(long)]
        kind: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        #[command(flatten)]
        form: Form,
    },
    /// Send a gateway a command; it is kept until the gateway comes for it, and done once
    #[command(after_help = "Options stand before the name of the command.\n\nExamples:
  engawa-cloud send grand-1 --wait 30 setpoint 101 22.5
  engawa-cloud send grand-1 --key bar-4711 --expires-s 600 post 101 12.50 EUR \"Bar\" --stay 88123
  engawa-cloud send grand-1 room-status 101 clean-vacant
  engawa-cloud send grand-1 service 101 make-up
  engawa-cloud send grand-1 --wait 30 reload
  engawa-cloud send grand-1 --wait 60 diagnose
  engawa-cloud send grand-1 json '{\"do\":\"resync\"}'

Exit status with --wait: 0 done; 3 refused, doubtful, superseded or expired; 4 not ended in time.")]
    Send {
        #[command(flatten)]
        home: Home,
        /// Which gateway.
        gateway: String,
        /// The idempotency key: the same key again does nothing twice. Without it a new one is made and printed.
        #[arg(long)]
        key: Option<String>,
        /// After this time it is not carried out any more, seconds.
        #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=2_592_000))]
        expires_s: u32,
        /// Wait for the outcome, at most so many seconds.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
        wait: Option<u32>,
        /// Who asks, for the audit at both ends; without it, the login.
        #[arg(long = "as", value_name = "NAME", value_parser = asker::name)]
        who: Option<String>,
        #[command(flatten)]
        form: Form,
        #[command(subcommand)]
        what: send::What,
    },
    /// Print a room's or a device's values as they come, beside the journal and kept nowhere
    #[command(
        after_help = "It ends after its time, when interrupted, and with the gateway's connection. What is dropped on the \
        way is counted and told; alarms never wait for it. At most four at a time on a gateway.\n\nExamples:\n  \
        engawa-cloud tail grand-1 room/101 --for 60\n  engawa-cloud tail grand-1 device/thermostat-101 --json"
    )]
    Tail {
        #[command(flatten)]
        home: Home,
        #[command(flatten)]
        tail: tail_cmd::Watching,
    },
    /// Diagnostics bundles that gateways have sent (`send GATEWAY diagnose` asks for one)
    Bundle {
        #[command(flatten)]
        home: Home,
        #[command(subcommand)]
        act: BundleAct,
    },
    /// List the newest commands and what became of them, newest first
    Commands {
        #[command(flatten)]
        home: Home,
        /// Only this gateway's.
        gateway: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        #[command(flatten)]
        form: Form,
    },
    /// Turn a gateway out: its connection ends within seconds, and it is not let in again
    #[command(
        after_help = "What it sent stays. Its name is not given again. With --serial one certificate is revoked, and the \
        gateway goes on with another, where it has one."
    )]
    Revoke {
        #[command(flatten)]
        home: Home,
        /// Which gateway.
        gateway: String,
        /// Only this one of its certificates, by its serial number: see `engawa-cloud certificates`.
        #[arg(long)]
        serial: Option<String>,
    },
    /// List gateways' certificates: signed when, good until when, used last when, revoked why
    Certificates {
        #[command(flatten)]
        home: Home,
        /// Only this gateway's.
        gateway: Option<String>,
        #[command(flatten)]
        form: Form,
    },
    /// The authority that signs certificates
    #[command(
        after_help = "A change of the authority:\n  engawa-cloud ca rotate begin     both are trusted from now on\n  \
        engawa-cloud ca rotate status    who has a certificate of the new one\n  engawa-cloud ca rotate finish    the \
        old one is gone\n\nOn PostgreSQL each replica has a folder of its own, where it is not shared: copy what `begin` and \
        `finish` name to all of them. The next authority signs once all that serve have it."
    )]
    Ca {
        #[command(flatten)]
        home: Home,
        #[command(subcommand)]
        act: CaAct,
    },
    /// The directory of regions: where gateways of another region are sent
    Regions {
        #[command(flatten)]
        home: Home,
        #[command(subcommand)]
        act: RegionsAct,
    },
    /// Settings of houses (list, get, set, log); without these words, those of this cloud
    #[command(
        after_help = "Examples:\n  engawa-cloud settings certificate-days 60                  of this cloud, without a \
        restart\n  engawa-cloud settings list grand                           of a house\n  engawa-cloud settings set \
        grand climate.eco-heating-c 18\n  engawa-cloud settings log grand"
    )]
    Settings {
        #[command(flatten)]
        home: Home,
        /// Which.
        key: Option<String>,
        /// Its new value.
        value: Option<u32>,
        #[command(subcommand)]
        act: Option<SettingsAct>,
    },
    /// Which release goes to which gateways: in rings, with conditions, stopped where it goes wrong
    #[command(
        after_help = "A rollout in three lines:\n  engawa-cloud rollout create 0.3.0 --window 02:00-05:00 --start\n  engawa-cloud \
        rollout show r-1                     who has it, who waits for what, why some failed\n  engawa-cloud rollout back r-1 \
        --why \"the PMS link\"  all go back"
    )]
    Rollout {
        #[command(flatten)]
        home: Home,
        #[command(subcommand)]
        act: RolloutAct,
    },
    /// What became of guests' erasures here
    Erasure {
        #[command(flatten)]
        home: Home,
        #[command(subcommand)]
        act: ErasureAct,
    },
    /// Releases: made, signed offline, published for the gateways
    #[command(after_help = "The first ones, on a machine that is on no network but for the last line:
  engawa-cloud release keygen root.key && engawa-cloud release keygen releases.key
  engawa-cloud release init first --root root.key.pub --targets releases.key.pub
  engawa-cloud release sign first --key root.key --key releases.key
  engawa-cloud release publish first

And each further one:
  engawa-cloud release create build/aarch64 --draft next --triple aarch64-unknown-linux-gnu --version 1.3.0
  engawa-cloud release sign next --key releases.key
  engawa-cloud release publish next")]
    Release {
        #[command(flatten)]
        home: Home,
        #[command(subcommand)]
        act: ReleaseAct,
    },
    /// Print the completions of a shell
    #[command(
        after_help = "For example: engawa-cloud completions bash > /etc/bash_completion.d/engawa-cloud"
    )]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Does what the command line asks.
pub(crate) fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Init { home, names, region, authority, certificate_days, renewal_grace_days } => {
            let grace_days = renewal_grace_days;
            setup::init(&home, setup::New { names, region, authority, certificate_days, grace_days })
        }
        Command::Serve { home, listen, listen_tcp, nats, releases } => {
            serve::serve(&home, (listen, listen_tcp), nats, &releases)
        }
        Command::Claim { home, property, gateway, name, hours, form } => {
            setup::claim(&home, &property, &gateway, name.as_deref(), hours, form.json)
        }
        Command::Gateways { home, act: Some(GatewaysAct::Unfence { gateway }), .. } => {
            trust_cmd::unfence(&home, &gateway)
        }
        Command::Gateways { home, form, act: None } => listing::gateways(&home, form.json),
        Command::Rooms { home, gateway, form } => listing::rooms(&home, gateway.as_deref(), form.json),
        Command::Log { home, gateway, kind, limit, form } => {
            listing::log(&home, gateway, kind, limit, form.json)
        }
        Command::Commands { home, gateway, limit, form } => {
            listing::commands(&home, gateway.as_deref(), limit, form.json)
        }
        Command::Tail { home, tail } => return end(tail_cmd::tail(&home, tail)),
        Command::Bundle { home, act } => bundle_cmd::bundle(&home, act),
        Command::Send { home, gateway, key, expires_s, wait, who, form, what } => {
            let order = send::Order { gateway, key, expires_s, wait, json: form.json, who };
            return end(send::send(&home, order, what));
        }
        Command::Revoke { home, gateway, serial } => setup::revoke(&home, &gateway, serial.as_deref()),
        Command::Certificates { home, gateway, form } => {
            trust_cmd::certificates(&home, gateway.as_deref(), form.json)
        }
        Command::Ca { home, act: CaAct::Rotate { act } } => trust_cmd::rotate(&home, &act),
        Command::Regions { home, act } => trust_cmd::regions(&home, act),
        Command::Settings { home, act: Some(act), .. } => settings_cmd::main(&home, &act),
        Command::Settings { home, key, value, act: None } => {
            trust_cmd::settings(&home, key.as_deref(), value)
        }
        Command::Rollout { home, act } => rollout_cmd::rollout(&home, act),
        Command::Release { home, act } => release_cmd::release(&home, act),
        Command::Erasure { home, act } => erasure_cmd::erasure(&home, act),
        Command::Completions { shell } => completions(shell),
    };
    end(outcome.map(|()| DONE))
}

fn completions(shell: Shell) -> anyhow::Result<()> {
    // By way of memory: the generator would panic where standard output is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "engawa-cloud", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

fn end(outcome: anyhow::Result<u8>) -> ExitCode {
    match outcome {
        Ok(status) => ExitCode::from(status),
        // A reader that has seen enough (`engawa-cloud log | head`) is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::from(DONE),
        Err(error) => {
            output::note(&format!("engawa-cloud: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
