//! The way to a TPM: the kernel's device, or the socket of a software TPM.

use super::wire::{HEAD, MOST};
use super::{TpmAddress, TpmError};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a socket may take; the kernel has patience of its own with its devices.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open way to a TPM.
pub(super) enum Channel {
    Device(File),
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Channel {
    /// Opens it.
    ///
    /// # Errors
    /// No TPM there, or no right to use it.
    pub(super) fn open(at: &TpmAddress) -> Result<Self, TpmError> {
        let opened = match at {
            TpmAddress::Device(path) => {
                OpenOptions::new().read(true).write(true).open(path).map(Self::Device)
            }
            TpmAddress::Tcp { host, port } => tcp(host, *port).map(Self::Tcp),
            TpmAddress::Unix(path) => unix(path).map(Self::Unix),
        };
        opened.map_err(|source| {
            let at = at.clone();
            match source.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => TpmError::Absent { at },
                ErrorKind::PermissionDenied => TpmError::Denied { at, source },
                ErrorKind::ResourceBusy => TpmError::Busy { at },
                // A node without a device behind it.
                _ if source.raw_os_error().is_some_and(|code| code == ENODEV || code == ENXIO) => {
                    TpmError::Absent { at }
                }
                _ => TpmError::Silent { at, source },
            }
        })
    }

    /// True for a software TPM, which nobody has started yet where it has just got power. The kernel starts its own.
    pub(super) fn starts_by_us(&self) -> bool {
        !matches!(self, Self::Device(_))
    }

    /// Sends a command and waits for its answer.
    pub(super) fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            // The kernel takes a command in one piece and gives its answer in one.
            Self::Device(device) => {
                device.write_all(command)?;
                let mut answer = vec![0; MOST];
                let length = device.read(&mut answer)?;
                answer.truncate(length);
                Ok(answer)
            }
            Self::Tcp(stream) => over(stream, command),
            Self::Unix(stream) => over(stream, command),
        }
    }
}

const ENODEV: i32 = 19;
const ENXIO: i32 = 6;

fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let address = (host, port).to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn unix(path: &std::path::Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn over(stream: &mut (impl Read + Write), command: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(command)?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
    let length = usize::try_from(length).ok().filter(|length| (HEAD..=MOST).contains(length));
    let mut answer = head.to_vec();
    answer.resize(length.ok_or(ErrorKind::InvalidData)?, 0);
    stream.read_exact(&mut answer[HEAD..])?;
    Ok(answer)
}
