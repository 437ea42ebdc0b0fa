//! Listening sockets that outlive the agent: whoever connects while versions are switched waits in the backlog.

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// How many may wait to be let in while no agent is there; the kernel has a bound of its own (net.core.somaxconn).
const WAITING: i32 = 1024;

/// Where one listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// Reads `NAME=ADDR`.
    pub(crate) fn named(text: &str) -> Result<(String, Self), String> {
        let fault = || format!("--listen: {text:?} is not NAME=IP:PORT or NAME=unix:/PATH");
        let (name, address) = text.split_once('=').ok_or_else(fault)?;
        // The names go into one variable, with colons between them.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            return Err(format!("--listen: {name:?} is no name: plain letters without ':'"));
        }
        let address = match address.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Self::Unix(path.into()),
            Some(_) => return Err(fault()),
            None => Self::Tcp(address.parse().map_err(|_| fault())?),
        };
        Ok((name.to_owned(), address))
    }

    fn open(&self) -> std::io::Result<OwnedFd> {
        match self {
            Self::Tcp(address) => listening(*address),
            Self::Unix(path) => {
                clear_socket(path)?;
                UnixListener::bind(path).map(OwnedFd::from)
            }
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is to be held, and what is.
#[derive(Debug)]
pub(crate) struct Held(Vec<Door>);

#[derive(Debug)]
struct Door {
    name: String,
    address: Address,
    socket: Option<OwnedFd>,
    /// Why it is not there, as far as that was said.
    said: String,
}

impl Held {
    /// Nothing is open yet.
    pub(crate) fn new(wanted: &[(String, Address)]) -> Self {
        let door = |(name, address): &(String, Address)| Door {
            name: name.clone(),
            address: address.clone(),
            socket: None,
            said: String::new(),
        };
        Self(wanted.iter().map(door).collect())
    }

    /// Opens those that are not open. One that can't be is said and left to the agent, which opens what it is not handed.
    pub(crate) fn open(&mut self) {
        for door in self.0.iter_mut().filter(|door| door.socket.is_none()) {
            match door.address.open() {
                Ok(socket) => door.socket = Some(socket),
                Err(fault) => {
                    let why = fault.to_string();
                    if why != door.said {
                        let Door { name, address, .. } = door;
                        eprintln!(
                            "engawa-supervisor: --listen {name}: {address} can't be listened on: {why}; the agent has to open it itself"
                        );
                        door.said = why;
                    }
                }
            }
        }
    }

    /// Those that are open, by name.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = (&str, &OwnedFd)> {
        self.0.iter().filter_map(|door| Some((door.name.as_str(), door.socket.as_ref()?)))
    }
}

/// Also where the machine does not have the address yet (IP_FREEBIND, ip(7)): networks come up when they like.
fn listening(address: SocketAddr) -> std::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv4() {
        sockopt::set_ip_freebind(&socket, true)?;
    } else {
        sockopt::set_ipv6_freebind(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, WAITING)?;
    Ok(socket)
}

/// Removes what an earlier process has left at a socket's path; anything else there is an error.
pub(crate) fn clear_socket(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(std::io::Error::other("there is a file that is no socket")),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(fault) => Err(fault),
    }
}
