//! The watchdogs above: the hardware's, and the service manager's.

use sd_notify::NotifyState;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Drivers bark after some ten seconds at the earliest.
const PERIOD: Duration = Duration::from_secs(1);

/// Both of them, where they are there.
#[derive(Debug)]
pub(crate) struct Dogs {
    device: Option<File>,
    manager: bool,
    fed: Option<Instant>,
    complained: bool,
}

impl Dogs {
    pub(crate) fn open(device: Option<&Path>) -> Result<Self, String> {
        let open = |path: &Path| {
            File::options()
                .write(true)
                .open(path)
                .map_err(|fault| format!("--watchdog {}: {fault}", path.display()))
        };
        let manager = sd_notify::watchdog_enabled().is_some();
        Ok(Self { device: device.map(open).transpose()?, manager, fed: None, complained: false })
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
        if let Some(Err(fault)) = self.device.as_mut().map(|device| device.write_all(b"\0"))
            && !std::mem::replace(&mut self.complained, true)
        {
            eprintln!("engawa-supervisor: the watchdog can't be fed: {fault}");
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
