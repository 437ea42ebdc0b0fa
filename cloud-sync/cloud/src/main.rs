//! `engawa-cloud`: the cloud end, and its command line.

mod cli;
mod listing;
mod lock;
mod output;
mod send;
mod serve;
mod setup;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
