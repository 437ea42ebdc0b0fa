//! Starts the agent from its active slot, and goes back by itself when a new version is unwell. One thread, no runtime.
//! What it does when is decided by `engawa_slots::machine`; here are the processes, sockets and clocks around it.

mod agent;
mod args;
mod control;
mod dog;
mod hand_over;
mod install;
mod listen;
mod lock;
mod notify;
mod run;
mod signals;

use args::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(fault) => {
            eprintln!("engawa-supervisor: {fault}\nengawa-supervisor --help tells how it is used");
            return ExitCode::from(2);
        }
    };
    let done = match command {
        Command::Help => write(args::HELP),
        Command::Version => write(concat!("engawa-supervisor ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Run(options) => run::run(&options),
        Command::Install(options) => install::install(options).and_then(|text| write(&text)),
        Command::Check(folder) => install::check(folder).and_then(|text| write(&text)),
        Command::Which(folder) => install::which(&folder).and_then(|text| write(&text)),
        Command::HandOver(words) => hand_over::hand_over(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("engawa-supervisor: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// A closed pipe is a quiet end.
fn write(text: &str) -> Result<(), String> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(fault) if fault.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("nothing can be printed: {fault}"))
        }
        _ => Ok(()),
    }
}
