//! One supervisor, and one agent, at a time: a lock that the agent inherits, so that it lasts as long as either of them.

use rustix::fs::{FlockOperation, Mode, OFlags};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// An agent whose supervisor was killed is killed by the kernel; its end takes a moment.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes the lock of a folder.
pub(crate) fn take(folder: &Path) -> Result<OwnedFd, String> {
    let path = folder.join("lock");
    if !folder.is_dir() {
        return Err(format!(
            "the folder {0} is missing: `engawa-supervisor install --dir {0} FILES...` makes it, and lays the first release",
            folder.display()
        ));
    }
    let fault = |fault: rustix::io::Errno| format!("{}: {fault}", path.display());
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(fault)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                let _ = rustix::event::poll(&mut [], Some(&moment));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let seconds = PATIENCE.as_secs();
                return Err(format!(
                    "{} was not free for {seconds} s: another supervisor, or an agent that one has left, runs here",
                    path.display()
                ));
            }
            Err(other) => return Err(fault(other)),
        }
    }
}
