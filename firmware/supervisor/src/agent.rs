//! The agent's process.

use crate::listen::Held;
use command_fds::{CommandFdExt as _, FdMapping};
use engawa_slots::machine::Exit;
use engawa_slots::{PROGRAM, SOCKET_VARIABLE, Slot};
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};
use std::ffi::OsString;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where inherited sockets begin (sd_listen_fds).
const FIRST: i32 = 3;

/// How agents are started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) folder: PathBuf,
    pub(crate) config: OsString,
    pub(crate) notify: PathBuf,
    pub(crate) control: PathBuf,
    pub(crate) heartbeat: Duration,
    pub(crate) held: Held,
    pub(crate) lock: OwnedFd,
}

/// One that was started.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    pid: Pid,
}

impl Launch {
    pub(crate) fn start(&mut self, slot: Slot) -> Result<Agent, String> {
        // Nobody else has them now: what could not be opened before may be by now.
        self.held.open();
        self.spawn(slot).map_err(|fault| fault.to_string())
    }

    fn spawn(&self, slot: Slot) -> std::io::Result<Agent> {
        // This very file, also where another one lies at its path by now.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("hand-over")
            .arg(getpid().as_raw_nonzero().to_string())
            .arg(self.folder.join(slot.name()).join(PROGRAM))
            .arg("run")
            .arg(&self.config)
            .env("NOTIFY_SOCKET", &self.notify)
            .env(SOCKET_VARIABLE, &self.control)
            .env("WATCHDOG_USEC", self.heartbeat.as_micros().to_string())
            .stdin(Stdio::null())
            // A group of its own: what it leaves behind is ended with it.
            .process_group(0);
        let (names, sockets): (Vec<&str>, Vec<&OwnedFd>) = self.held.sockets().unzip();
        if sockets.is_empty() {
            command.env_remove("LISTEN_FDS").env_remove("LISTEN_FDNAMES");
        } else {
            command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        let inherited = sockets.into_iter().chain([&self.lock]).zip(FIRST..);
        let mapping =
            |(file, child_fd): (&OwnedFd, i32)| Ok(FdMapping { parent_fd: file.try_clone()?, child_fd });
        let mappings = inherited.map(mapping).collect::<std::io::Result<Vec<_>>>()?;
        command.fd_mappings(mappings).map_err(std::io::Error::other)?;
        let child = command.spawn()?;
        Ok(Agent { pid: Pid::from_child(&child), child })
    }
}

impl Agent {
    /// Its number.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended, once it has. What it had started is ended too.
    pub(crate) fn ended(&mut self) -> Option<Exit> {
        let status = self.child.try_wait().ok().flatten()?;
        let _ = kill_process_group(self.pid, Signal::KILL);
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        })
    }

    /// Signals it. One that has ended hears nothing.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    /// Ends it, and what it has started.
    pub(crate) fn kill(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.signal(Signal::KILL);
    }

    /// What it has resident, MiB; `None` where nobody can tell.
    pub(crate) fn memory_mib(&self) -> Option<u64> {
        let mut text = String::new();
        let file = std::fs::File::open(format!("/proc/{}/statm", self.pid.as_raw_nonzero())).ok()?;
        file.take(256).read_to_string(&mut text).ok()?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages.saturating_mul(rustix::param::page_size() as u64) >> 20)
    }
}
