//! `engawa-cloud`: the cloud end, and its command line.

mod asker;
mod bundle_cmd;
mod cli;
mod desk;
mod erasure_cmd;
mod listing;
mod lock;
mod output;
mod publications;
mod reconcile;
mod release;
mod release_cmd;
mod rollout_cmd;
mod send;
mod serve;
mod settings_cmd;
mod setup;
mod tail_cmd;
mod trust_cmd;
mod upkeep;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
