//! The watchdogs above: the hardware's, and the service manager's.

use sd_notify::NotifyState;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Drivers bark after some ten seconds at the earliest.
const PERIOD: Duration = Duration::from_secs(1);
/// How often one that could not be opened is tried again: its driver may come later, its last owner may go.
const AGAIN: Duration = Duration::from_secs(10);

/// Both of them, where they are there.
#[derive(Debug)]
pub(crate) struct Dogs {
    path: Option<PathBuf>,
    device: Option<File>,
    manager: bool,
    fed: Option<Instant>,
    tried: Option<Instant>,
    /// What was said last of the hardware's.
    said: String,
}

impl Dogs {
    /// That of the hardware is opened with the first feeding. A house without one is better off than one without its agent.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        let manager = sd_notify::watchdog_enabled().is_some();
        Self { path, device: None, manager, fed: None, tried: None, said: String::new() }
    }

    /// Feeds them, once a second. Whoever calls has seen that the agent is alive.
    pub(crate) fn feed(&mut self) {
        if self.fed.is_some_and(|fed| fed.elapsed() < PERIOD) {
            return;
        }
        self.fed = Some(Instant::now());
        if self.manager {
            tell(&[NotifyState::Watchdog]);
        }
        if let Err(fault) = self.feed_device() {
            self.say(&format!("can't be fed: {fault}"));
        }
    }

    fn feed_device(&mut self) -> std::io::Result<()> {
        if let (None, Some(path)) = (&self.device, &self.path)
            && self.tried.is_none_or(|tried| tried.elapsed() >= AGAIN)
        {
            self.tried = Some(Instant::now());
            self.device = Some(File::options().write(true).open(path)?);
            if !self.said.is_empty() {
                self.say("is there");
            }
        }
        self.device.as_mut().map_or(Ok(()), |device| device.write_all(b"\0"))
    }

    /// The same is said once.
    fn say(&mut self, what: &str) {
        if what != self.said
            && let Some(path) = &self.path
        {
            eprintln!("engawa-supervisor: --watchdog {}: it {what}", path.display());
            what.clone_into(&mut self.said);
        }
    }

    /// An orderly stop: the hardware's is switched off (magic close), where its driver allows that.
    pub(crate) fn leave(mut self) {
        if let Some(device) = &mut self.device {
            let _ = device.write_all(b"V");
        }
    }
}

/// Tells the service manager, if there is one. That it does not listen is no reason to end.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}
