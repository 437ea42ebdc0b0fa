//! Where a gateway's private key is: in a file, or in a TPM.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The TPM of a machine behind the kernel's resource manager, which several programs share.
const USUAL_DEVICE: &str = "/dev/tpmrm0";

/// Where a private key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file of mode 0600.
    File,
    /// In a TPM 2.0. The file beside the certificate then holds what the TPM has wrapped, of use in that TPM alone.
    Tpm(TpmAddress),
}

/// How a TPM is reached. As text it is what tpm2-tools call a TCTI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TpmAddress {
    /// A device of the kernel.
    Device(PathBuf),
    /// A software TPM (swtpm) on TCP.
    Tcp {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A software TPM (swtpm) on a Unix socket.
    Unix(PathBuf),
}

/// A text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no place for a key: expected `file`, `tpm`, `tpm:device:/dev/tpmrm0`, `tpm:swtpm:host=HOST,port=PORT` or `tpm:swtpm:path=SOCKET`"
)]
pub struct NoPlace(String);

impl FromStr for KeyPlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let fault = || NoPlace(text.to_owned());
        match text.split_once(':') {
            None if text == "file" => Ok(Self::File),
            None if text == "tpm" => Ok(Self::Tpm(TpmAddress::Device(USUAL_DEVICE.into()))),
            Some(("tpm", address)) => TpmAddress::read(address).map(Self::Tpm).ok_or_else(fault),
            _ => Err(fault()),
        }
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Tpm(address) => write!(f, "tpm:{address}"),
        }
    }
}

impl TpmAddress {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let path = |path: &str| path.starts_with('/').then(|| PathBuf::from(path));
        match text.split_once(':')? {
            ("device", device) => path(device).map(Self::Device),
            ("swtpm", socket) => match socket.strip_prefix("path=") {
                Some(socket) => path(socket).map(Self::Unix),
                None => {
                    let (host, port) = socket.strip_prefix("host=")?.split_once(",port=")?;
                    let port = port.parse().ok().filter(|port| *port > 0)?;
                    (!host.is_empty()).then(|| Self::Tcp { host: host.to_owned(), port })
                }
            },
            _ => None,
        }
    }
}

impl fmt::Display for TpmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "device:{}", path.display()),
            Self::Tcp { host, port } => write!(f, "swtpm:host={host},port={port}"),
            Self::Unix(path) => write!(f, "swtpm:path={}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was_written_and_nonsense_is_named() {
        for text in [
            "file",
            "tpm:device:/dev/tpm0",
            "tpm:swtpm:host=127.0.0.1,port=2321",
            "tpm:swtpm:path=/run/tpm.sock",
        ] {
            assert_eq!(text.parse::<KeyPlace>().unwrap().to_string(), text);
        }
        assert_eq!("tpm".parse::<KeyPlace>().unwrap().to_string(), "tpm:device:/dev/tpmrm0");
        for text in [
            "",
            "disk",
            "tpm:",
            "tpm:device:tpm0",
            "tpm:swtpm:host=,port=1",
            "tpm:swtpm:host=a,port=0",
            "tpm:swtpm:host=a",
            "tpm:swtpm:path=x",
            "tpm:mssim:host=a,port=1",
            "file:/x",
        ] {
            let fault = text.parse::<KeyPlace>().unwrap_err().to_string();
            assert!(fault.contains(&format!("`{text}`")) && fault.contains("expected"), "{fault}");
        }
    }
}
