//! `engawa`: the agent that runs in the hotel, and its command line.

mod config;
mod house;
mod listing;
mod run;

use clap::{Parser, Subcommand};
use config::Config;
use std::path::PathBuf;
use std::process::ExitCode;

/// The edge gateway of a hotel.
///
/// Exit status: 0 done; 1 failed, the reason is on standard error; 2 the command line or the configuration is wrong.
#[derive(Parser)]
#[command(name = "engawa", version, about, long_about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent in the foreground until it is asked to stop (SIGTERM, SIGINT).
    Run {
        /// The configuration.
        #[arg(default_value = "/etc/engawa/engawa.toml")]
        config: PathBuf,
    },
    /// Check a configuration without starting anything.
    Check {
        /// The configuration.
        config: PathBuf,
    },
    /// List the rooms with their stays. Reads the store, so it also works while the agent is stopped. Shows guests'
    /// names: whoever can read the store's key may see them.
    Rooms {
        /// The configuration.
        #[arg(default_value = "/etc/engawa/engawa.toml")]
        config: PathBuf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// List the newest rows of the journal, newest first.
    Log {
        /// The configuration.
        #[arg(default_value = "/etc/engawa/engawa.toml")]
        config: PathBuf,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let (path, outcome) = match Cli::parse().command {
        Command::Run { config } => (config.clone(), load(&config).map(|config| run::run(&config))),
        Command::Check { config } => (config.clone(), load(&config).map(|config| listing::summary(&config))),
        Command::Rooms { config, json } => (config.clone(), load(&config).map(|config| listing::rooms(&config, json))),
        Command::Log { config, limit, json } => {
            (config.clone(), load(&config).map(|config| listing::log(&config, limit, json)))
        }
    };
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("engawa: {error:#}");
            ExitCode::FAILURE
        }
        Err(faults) => {
            for fault in faults {
                eprintln!("{}: {fault}", path.display());
            }
            ExitCode::from(2)
        }
    }
}

fn load(path: &std::path::Path) -> Result<Config, Vec<String>> {
    config::load(path)
}
