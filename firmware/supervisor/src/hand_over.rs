//! Between the supervisor and the agent: a process that says what only it can know, its own number, and becomes the agent.

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// `hand-over SUPERVISOR-PID PROGRAM ARGUMENTS...`
pub(crate) fn hand_over(words: &[OsString]) -> Result<(), String> {
    let [supervisor, program, arguments @ ..] = words else {
        return Err("hand-over is the supervisor's own".to_owned());
    };
    // Two agents at one database are worse than one that could not end in order.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|fault| format!("the agent can't be bound: {fault}"))?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if parent.as_deref() != supervisor.to_str() {
        return Err("the supervisor has ended meanwhile".to_owned());
    }
    let own = getpid().as_raw_nonzero().to_string();
    let fault =
        Command::new(program).args(arguments).env("LISTEN_PID", &own).env("WATCHDOG_PID", &own).exec();
    if let Some(number) = fault.raw_os_error() {
        // Still the same process: the supervisor takes it for the agent's last word.
        crate::dog::tell(&[sd_notify::NotifyState::Errno(number.cast_unsigned())]);
    }
    Err(format!("{} can't be started: {fault}", program.display()))
}
