//! The socket for requests: one line in, one line out. Only the supervisor's own user and root are heard.

use engawa_slots::request::{Answer, LINE_MOST, Request, answer_line, later};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::process::Pid;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Who may wait at once; the next one is told to come again.
const MOST: usize = 8;
/// How long somebody may take for a line.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request, and who asks.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ticket: u64,
    pub(crate) pid: Pid,
    pub(crate) request: Request,
}

#[derive(Debug)]
struct Caller {
    ticket: u64,
    pid: Pid,
    stream: UnixStream,
    line: Vec<u8>,
    since: Instant,
    /// Its line is complete: it waits for the answer.
    waits: bool,
}

/// The socket, and who is there.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    callers: Vec<Caller>,
    next: u64,
}

enum Line {
    Incomplete,
    Complete(String),
    Gone,
}

impl Control {
    pub(crate) fn bind(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        crate::listen::clear_socket(path)?;
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, callers: Vec::new(), next: 0 })
    }

    /// What to wait on.
    pub(crate) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let reading = self.callers.iter().filter(|caller| !caller.waits).map(|caller| caller.stream.as_fd());
        std::iter::once(self.listener.as_fd()).chain(reading)
    }

    /// What is asked.
    pub(crate) fn take(&mut self) -> Vec<Asked> {
        for _ in 0..2 * MOST {
            let Ok((stream, _)) = self.listener.accept() else { break };
            self.admit(stream);
        }
        let mut asked = Vec::new();
        self.callers.retain_mut(|caller| {
            if caller.waits {
                return true;
            }
            let line = match caller.read() {
                Line::Incomplete => return caller.since.elapsed() < PATIENCE,
                Line::Gone => return false,
                Line::Complete(line) => line,
            };
            match Request::parse(&line) {
                Ok(request) => {
                    caller.waits = true;
                    asked.push(Asked { ticket: caller.ticket, pid: caller.pid, request });
                    true
                }
                Err(fault) => {
                    caller.answer(&Err(fault.to_string()));
                    false
                }
            }
        });
        asked
    }

    fn admit(&mut self, stream: UnixStream) {
        let Ok(who) = rustix::net::sockopt::socket_peercred(&stream) else { return };
        let since = Instant::now();
        let mut caller =
            Caller { ticket: self.next, pid: who.pid, stream, line: Vec::new(), since, waits: false };
        let own = rustix::process::geteuid();
        if caller.stream.set_nonblocking(true).is_err() {
            return;
        }
        if who.uid != own && !who.uid.is_root() {
            caller.answer(&Err(format!("only user {} and root may ask", own.as_raw())));
        } else if self.callers.len() >= MOST {
            caller.answer(&Err(later("too many ask at once")));
        } else {
            self.next += 1;
            self.callers.push(caller);
        }
    }

    /// Answers, and lets go.
    pub(crate) fn answer(&mut self, ticket: u64, answer: &Answer) {
        if let Some(at) = self.callers.iter().position(|caller| caller.ticket == ticket) {
            self.callers.swap_remove(at).answer(answer);
        }
    }
}

impl Caller {
    fn read(&mut self) -> Line {
        loop {
            let mut buffer = [0; 256];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Line::Gone,
                Ok(got) => self.line.extend_from_slice(&buffer[..got]),
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Line::Incomplete,
                Err(fault) if fault.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Line::Gone,
            }
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                return Line::Complete(String::from_utf8_lossy(&self.line[..end]).into_owned());
            }
            if self.line.len() >= LINE_MOST {
                self.answer(&Err(format!("a line has {LINE_MOST} bytes at most")));
                return Line::Gone;
            }
        }
    }

    /// A line fits into the socket's buffer; whoever does not read it has gone.
    fn answer(&mut self, answer: &Answer) {
        let _ = self.stream.write_all(format!("{}\n", answer_line(answer)).as_bytes());
    }
}
