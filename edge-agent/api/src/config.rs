//! The `[api]` section of the configuration.
//!
//! Why a check of its own: there is no login yet, so an address that others can reach has to be asked for
//! in so many words.

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where the page is served when the configuration says nothing.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8480);

/// Where the command line finds the agent when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/engawa/engawa.sock";

/// The longest path of a Unix socket: `sun_path` holds 108 bytes with its closing zero (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// What makes an `[api]` section unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiConfigError {
    /// Others on the network could read the page, and nobody has said that they may.
    #[error(
        "api.listen = \"{listen}\" can be reached from other machines, and the page has no login: use a \
         loopback address such as \"127.0.0.1:8480\", or set api.allow_remote = true if this network is \
         meant to see room states"
    )]
    Remote {
        /// The address asked for.
        listen: SocketAddr,
    },
    /// The path does not fit a socket address.
    #[error("api.socket is {length} bytes long; a Unix socket's path has at most {MAX_SOCKET_PATH}")]
    SocketPathTooLong {
        /// Bytes of the path.
        length: usize,
    },
    /// The path depends on where the agent was started.
    #[error("api.socket = {path:?} must be an absolute path to a file, such as \"{DEFAULT_SOCKET}\"")]
    SocketPathRelative {
        /// The path asked for.
        path: PathBuf,
    },
}

impl ApiConfigError {
    /// The key of the section that is to be mended.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Remote { .. } => "listen",
            Self::SocketPathTooLong { .. } | Self::SocketPathRelative { .. } => "socket",
        }
    }
}

/// The `[api]` section. A missing section means [`ApiConfig::default`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// The TCP door's address; port 0 takes a free one. `None` (from code; a file always has a value)
    /// closes the door.
    pub listen: Option<SocketAddr>,
    /// The socket door's path. `None` closes the door.
    pub socket: Option<PathBuf>,
    /// True where `listen` may be an address that other machines can reach.
    pub allow_remote: bool,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { listen: Some(DEFAULT_LISTEN), socket: Some(DEFAULT_SOCKET.into()), allow_remote: false }
    }
}

impl ApiConfig {
    /// Checks what serde can't.
    ///
    /// # Errors
    /// The first thing that is wrong, with what to write instead.
    pub fn validate(&self) -> Result<(), ApiConfigError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is wrong.
    pub fn faults(&self) -> Vec<ApiConfigError> {
        let mut faults = Vec::new();
        if let Some(listen) = self.listen.filter(|listen| !listen.ip().to_canonical().is_loopback())
            && !self.allow_remote
        {
            faults.push(ApiConfigError::Remote { listen });
        }
        if let Some(path) = &self.socket {
            let length = path.as_os_str().len();
            if !path.is_absolute() || path.file_name().is_none() {
                faults.push(ApiConfigError::SocketPathRelative { path: path.clone() });
            } else if length > MAX_SOCKET_PATH {
                faults.push(ApiConfigError::SocketPathTooLong { length });
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(address: &str) -> ApiConfig {
        ApiConfig { listen: Some(address.parse().expect("an address")), ..ApiConfig::default() }
    }

    #[test]
    fn loopback_needs_no_permission() {
        for address in ["127.0.0.1:8480", "127.9.9.9:1", "[::1]:8480", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(listening(address).validate(), Ok(()), "{address}");
        }
    }

    #[test]
    fn the_network_needs_permission() {
        for address in ["0.0.0.0:8480", "192.168.1.4:8480", "[::]:8480", "[::ffff:10.0.0.1]:80"] {
            let mut config = listening(address);
            assert!(matches!(config.validate(), Err(ApiConfigError::Remote { .. })), "{address}");
            config.allow_remote = true;
            assert_eq!(config.validate(), Ok(()), "{address}");
        }
    }

    #[test]
    fn socket_paths_are_absolute_and_short() {
        let with = |path: &str| ApiConfig { socket: Some(path.into()), ..ApiConfig::default() }.validate();
        assert!(matches!(with("engawa.sock"), Err(ApiConfigError::SocketPathRelative { .. })));
        assert!(matches!(with("/"), Err(ApiConfigError::SocketPathRelative { .. })));
        assert_eq!(with(&format!("/{}", "x".repeat(106))), Ok(()));
        assert_eq!(
            with(&format!("/{}", "x".repeat(107))),
            Err(ApiConfigError::SocketPathTooLong { length: 108 })
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        let parsed = serde_json::from_str::<ApiConfig>(r#"{"listen": "127.0.0.1:1", "lisen": 1}"#);
        assert!(parsed.is_err_and(|error| error.to_string().contains("lisen")));
        assert_eq!(serde_json::from_str::<ApiConfig>("{}").ok(), Some(ApiConfig::default()));
    }
}
