//! `engawa`: the agent that runs in the hotel, and its command line.

mod broker_cmd;
mod cli;
mod config;
mod desk;
mod devices_cmd;
mod enroll;
mod found_cmd;
mod house;
mod journal;
mod line_args;
mod listing;
mod outlets;
mod profile_cmd;
mod publishing;
mod run;
mod secrets;
mod service;
mod status;
mod supervisor;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
