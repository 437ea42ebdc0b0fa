//! Signals as something to wait for.

use rustix::fd::{AsFd, BorrowedFd};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use std::io::Read as _;
use std::os::unix::net::UnixStream;

/// What was signalled.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) stop: bool,
    pub(crate) reload: bool,
}

/// The pipes that the handlers write to.
#[derive(Debug)]
pub(crate) struct Signals {
    stop: UnixStream,
    reload: UnixStream,
    child: UnixStream,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, String> {
        let pipe = |signals: &[i32]| -> std::io::Result<UnixStream> {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            for signal in signals {
                signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
            }
            Ok(read)
        };
        let all = || {
            Ok(Self { stop: pipe(&[SIGTERM, SIGINT])?, reload: pipe(&[SIGHUP])?, child: pipe(&[SIGCHLD])? })
        };
        all().map_err(|fault: std::io::Error| format!("signals can't be waited for: {fault}"))
    }

    /// What to wait on.
    pub(crate) fn sources(&self) -> [BorrowedFd<'_>; 3] {
        [self.stop.as_fd(), self.reload.as_fd(), self.child.as_fd()]
    }

    /// What came. The pipes are emptied before anything is looked at, so that nothing is missed.
    pub(crate) fn take(&mut self) -> Told {
        drain(&mut self.child);
        Told { stop: drain(&mut self.stop), reload: drain(&mut self.reload) }
    }
}

fn drain(pipe: &mut UnixStream) -> bool {
    let mut buffer = [0; 16];
    let mut any = false;
    while matches!(pipe.read(&mut buffer), Ok(got) if got > 0) {
        any = true;
    }
    any
}
