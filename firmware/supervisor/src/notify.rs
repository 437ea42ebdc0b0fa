//! The agent's side of `sd_notify`: what it says of itself, and whether it was really it.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// How long a message may be, bytes; what is longer is cut.
const MOST: usize = 2048;

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Ready,
    Heartbeat,
    /// Its start goes on for so many microseconds from now.
    Extended(u64),
    Status(String),
    /// The program could not be executed, with this error number; `hand_over.rs` says so.
    Failed(i32),
}

/// The socket that agents write to.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: UnixDatagram,
}

impl Notify {
    pub(crate) fn bind(path: &Path) -> std::io::Result<Self> {
        crate::listen::clear_socket(path)?;
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        Ok(Self { socket })
    }

    pub(crate) fn source(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next message of this process; those of others are passed over. `None`: there are no more.
    pub(crate) fn next(&self, from: Option<rustix::process::Pid>) -> Option<Vec<Word>> {
        loop {
            let mut bytes = [0; MOST];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let got = rustix::net::recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut beside,
                RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
            );
            let length = match got {
                Ok(got) => got.bytes,
                Err(Errno::INTR) => continue,
                Err(_) => return None,
            };
            let sender = beside.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmCredentials(who) => Some(who.pid),
                _ => None,
            });
            if from.is_some() && sender == from {
                return Some(read(&String::from_utf8_lossy(&bytes[..length.min(MOST)])));
            }
        }
    }
}

fn read(text: &str) -> Vec<Word> {
    let word = |line: &str| match line.split_once('=')? {
        ("READY", "1") => Some(Word::Ready),
        ("WATCHDOG", "1") => Some(Word::Heartbeat),
        ("EXTEND_TIMEOUT_USEC", more) => more.parse().ok().map(Word::Extended),
        ("ERRNO", number) => number.parse().ok().map(Word::Failed),
        ("STATUS", text) => Some(Word::Status(text.chars().filter(|letter| !letter.is_control()).collect())),
        _ => None,
    };
    text.lines().filter_map(word).collect()
}
