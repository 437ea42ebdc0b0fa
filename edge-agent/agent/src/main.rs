//! `engawa`: the agent that runs in the hotel, and its command line.

mod answer;
mod asking;
mod backup_cmd;
mod broker_cmd;
mod cli;
mod config;
mod desk;
mod devices_cmd;
mod diagnose_cmd;
mod enroll;
mod found_cmd;
mod guest_cmd;
mod hosted;
mod house;
mod journal;
mod line_args;
mod listeners;
mod listing;
mod logging;
mod outlets;
mod pan;
mod pms_cmd;
mod profile_cmd;
mod publishing;
mod recording;
mod reload_cmd;
mod rules_cmd;
mod run;
mod secrets;
mod service;
mod settings_cmd;
mod status;
mod supervisor;
mod sync_cmd;
mod tails;
mod update_cmd;
mod updates;
mod upkeep;
mod words_args;

use std::process::ExitCode;

fn main() -> ExitCode {
    end_quietly_at_a_closed_pipe();
    cli::main()
}

/// A reader that has seen enough (`engawa profile list | head`) is no failure, and nothing to tell anybody.
fn end_quietly_at_a_closed_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // `println!` knows no other way to say it.
        let closed = panic
            .payload_as_str()
            .is_some_and(|why| why.starts_with("failed printing to stdout") && why.contains("Broken pipe"));
        if closed {
            std::process::exit(0);
        }
        usual(panic);
    }));
}
