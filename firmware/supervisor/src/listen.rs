//! Listening sockets that outlive the agent: whoever connects while versions are switched waits in the backlog.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

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
            Self::Tcp(address) => TcpListener::bind(address).map(OwnedFd::from),
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

/// Sockets and their names.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) names: String,
}

/// Opens all of them.
pub(crate) fn hold(wanted: &[(String, Address)]) -> Result<Held, String> {
    let mut sockets = Vec::with_capacity(wanted.len());
    for (name, address) in wanted {
        sockets.push(
            address
                .open()
                .map_err(|fault| format!("--listen {name}: {address} can't be listened on: {fault}"))?,
        );
    }
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    Ok(Held { sockets, names: names.join(":") })
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
