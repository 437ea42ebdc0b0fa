//! The supervisor on the mounted disk, and the agent that it starts.

use crate::disk::MOUNTED;
use anyhow::{Context as _, Result, bail};
use engawa_slots::Supervisor;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where each start of an agent is told.
pub(crate) const STARTED: &str = "/tmp/started";
/// Orders for the agents, by number.
pub(crate) const ORDERS: &str = "/tmp/orders";
/// The supervisor's socket.
const SOCKET: &str = "/tmp/supervisor";
/// What the supervisor has said.
const SAID: &str = "/tmp/said";
/// The slots.
pub(crate) const SLOTS: &str = "/mnt/engawa";
/// How long anything may take: emulated processors are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A supervisor at work.
pub(crate) struct Supervised {
    child: Child,
    /// Its socket.
    pub(crate) socket: Supervisor,
}

impl Supervised {
    /// Starts it on the disk.
    pub(crate) fn start() -> Result<Self> {
        let _ = fs::remove_dir_all(ORDERS);
        fs::create_dir_all(ORDERS)?;
        let _ = fs::remove_file(STARTED);
        let _ = fs::remove_file(SOCKET);
        let said = File::create(SAID)?;
        let child = Command::new("/tools/engawa-supervisor")
            .args([SLOTS, "--run-dir", "/tmp", "--", "/tmp/config"])
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("engawa-supervisor")?;
        Ok(Self { child, socket: Supervisor::at(SOCKET) })
    }

    /// Waits until an agent other than the first `seen` ones has been started: its number, and its slot.
    pub(crate) fn started(&mut self, seen: usize) -> Result<(u64, String)> {
        let mut found = None;
        self.wait("an agent to be started", || {
            let lines = fs::read_to_string(STARTED).unwrap_or_default();
            found = lines.lines().nth(seen).and_then(|line| {
                let (number, slot) = line.split_once(' ')?;
                Some((number.parse().ok()?, slot.to_owned()))
            });
            found.is_some()
        })?;
        found.context("no agent")
    }

    /// How many starts there were.
    pub(crate) fn starts() -> usize {
        fs::read_to_string(STARTED).unwrap_or_default().lines().count()
    }

    /// Orders the agent of a release something.
    pub(crate) fn tell(number: u64, what: &str) -> Result<()> {
        let order = Path::new(ORDERS).join(number.to_string());
        let _ = fs::remove_file(order.with_extension("done"));
        fs::write(order.with_extension("new"), what)?;
        Ok(fs::rename(order.with_extension("new"), &order)?)
    }

    /// Orders it something that it lives on after, and waits until its supervisor has done it.
    pub(crate) fn order(&mut self, number: u64, what: &str) -> Result<()> {
        Self::tell(number, what)?;
        let done = Path::new(ORDERS).join(number.to_string()).with_extension("done");
        self.wait("the agent to do as it was ordered", || {
            done.exists() && fs::read(&done).is_ok_and(|text| !text.is_empty())
        })?;
        let answer = fs::read_to_string(&done)?;
        if answer != "ok" { bail!("release {number}, ordered {what}: {answer}") } else { Ok(()) }
    }

    /// Waits for something, with a deadline.
    pub(crate) fn wait(&mut self, what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is_so() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the supervisor has ended ({status}) while waiting for {what}: {}", said());
            }
            if begun.elapsed() > PATIENCE {
                bail!("waited {} s for {what}: {}", PATIENCE.as_secs(), said());
            }
            pause();
        }
        Ok(())
    }

    /// Stops it in order; the agent has ended then.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                bail!("the supervisor does not stop: {}", said());
            }
            pause();
        }
        Ok(())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Only where something went wrong: the guest is thrown away then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Before the condition that is waited for is looked at again.
#[allow(
    clippy::disallowed_methods,
    reason = "a step of waiting for a condition, whose deadline the caller has"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// Ends whatever is left of a gateway that went wrong, and lets its disk go.
pub(crate) fn clear() -> Result<()> {
    for program in ["engawa-supervisor", "engawa-update-power agent"] {
        // Its failure is that there is none.
        let _ = crate::disk::tool("/bin/pkill", &["-KILL", "-f", program]);
    }
    let begun = Instant::now();
    while let Err(why) = crate::disk::unmount() {
        if begun.elapsed() > PATIENCE {
            return Err(why);
        }
        pause();
    }
    Ok(())
}

/// The last that the supervisor has said.
pub(crate) fn said() -> String {
    let text = fs::read_to_string(SAID).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join(" / ")
}

/// Lays the first release.
pub(crate) fn install(files: &[&Path]) -> Result<()> {
    fs::create_dir_all(SLOTS)?;
    let mut arguments = vec!["install", "--dir", SLOTS];
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    arguments.extend(files.iter().map(String::as_str));
    crate::disk::tool("/tools/engawa-supervisor", &arguments)?;
    rustix::fs::syncfs(&File::open(MOUNTED)?)?;
    Ok(())
}
