//! The broker part of the configuration file, and what of it can be used.
//!
//! Why: either a broker of the site is used, or the gateway brings its own; a file that asks for both, or
//! that opens a broker to the network without a password, is refused before anything starts.
//!
//! Never: sockets. Files named here are read by the shell, not by this module.

use super::documents::ValueTopics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The port of MQTT without TLS (IANA service name `mqtt`).
const PORT: u16 = 1883;
/// The port of MQTT over TLS (IANA service name `secure-mqtt`).
const TLS_PORT: u16 = 8883;
/// Where the gateway's own broker listens when the file says nothing: reachable from the box only.
const DEFAULT_LISTEN: &str = "127.0.0.1:1883";

/// The broker, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// The site's broker, `mqtt://host:port` or `mqtts://host:port`. Without it the gateway brings its own.
    #[serde(default)]
    pub broker: Option<String>,
    /// The certificate authority of an `mqtts` broker, PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The user name: ours at the site's broker, or the one that devices must give to the gateway's own.
    #[serde(default)]
    pub username: Option<String>,
    /// A file whose first line is the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Where the gateway's own broker listens, `address:port`; `127.0.0.1:1883` when absent.
    #[serde(default)]
    pub listen: Option<String>,
    /// False: the house neither publishes on its plain topics nor takes commands there; devices speak all the same. True
    /// when absent.
    #[serde(default)]
    pub topics: Option<bool>,
    /// The client id at the site's broker; `engawa-<property>` when absent. The broker keeps what could not
    /// be delivered under this name, so it must stay the same and be nobody else's.
    #[serde(default)]
    pub client_id: Option<String>,
    /// How values are published: `points` (a topic for each), `devices` (a document for each device) or `both`.
    #[serde(default)]
    pub values: ValueTopics,
    /// True where devices that tell of themselves (Home Assistant's MQTT discovery, below `homeassistant/`) are to be
    /// found: `engawa devices found` lists them, `engawa devices place` gives one its room.
    #[serde(default)]
    pub discover: bool,
}

/// What the configuration comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A broker of the site.
    Site {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// The certificate authority, for a connection over TLS.
        tls: Option<PathBuf>,
    },
    /// The gateway's own broker.
    Embedded {
        /// Where it listens.
        listen: SocketAddr,
    },
}

/// Why the configuration can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MqttConfigError {
    /// Both `broker` and `listen` are there.
    #[error("`broker` and `listen` exclude each other: use the site's broker or the gateway's own")]
    Both,
    /// `broker` is not a URL of a broker.
    #[error("`broker` is `{0}`: expected `mqtt://host:port` or `mqtts://host:port`")]
    Broker(String),
    /// TLS without a certificate authority.
    #[error("an `mqtts` broker needs `ca_file`: the PEM file of the authority that signed its certificate")]
    NoAuthority,
    /// A certificate authority that nothing would use.
    #[error("`ca_file` is of use only with a broker at `mqtts://`")]
    UselessAuthority,
    /// `listen` is not an address.
    #[error("`listen` is `{0}`: expected an address and port such as `127.0.0.1:1883`")]
    Listen(String),
    /// A broker that everybody on the network could use.
    #[error("`listen` is `{0}`, which the network can reach: `username` and `password_file` are needed")]
    Open(SocketAddr),
    /// One half of a credential.
    #[error("`username` and `password_file` go together")]
    HalfCredential,
    /// A client id that brokers refuse.
    #[error("`client_id` must have 1 to 128 characters, none of them a control character")]
    ClientId,
    /// A client id that nothing would use.
    #[error("`client_id` is of use only with `broker`")]
    UselessClientId,
}

impl MqttConfigError {
    /// The key of the section that is to be mended.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Both | Self::Broker(_) => "broker",
            Self::NoAuthority | Self::UselessAuthority => "ca_file",
            Self::Listen(_) | Self::Open(_) => "listen",
            Self::HalfCredential => "username",
            Self::ClientId | Self::UselessClientId => "client_id",
        }
    }
}

impl MqttConfig {
    /// True where the house is on its plain topics.
    pub fn has_topics(&self) -> bool {
        self.topics.unwrap_or(true)
    }

    /// Checks the whole and says what it comes to.
    pub fn validate(&self) -> Result<Endpoint, MqttConfigError> {
        if self.username.is_some() != self.password_file.is_some() {
            return Err(MqttConfigError::HalfCredential);
        }
        if let Some(id) = &self.client_id {
            if id.is_empty() || id.chars().count() > 128 || id.chars().any(char::is_control) {
                return Err(MqttConfigError::ClientId);
            }
            if self.broker.is_none() {
                return Err(MqttConfigError::UselessClientId);
            }
        }
        match (&self.broker, &self.listen) {
            (Some(_), Some(_)) => Err(MqttConfigError::Both),
            (Some(broker), None) => self.site(broker),
            (None, listen) => self.embedded(listen.as_deref().unwrap_or(DEFAULT_LISTEN)),
        }
    }

    fn site(&self, broker: &str) -> Result<Endpoint, MqttConfigError> {
        let wrong = || MqttConfigError::Broker(broker.to_owned());
        let (secure, rest) = match broker.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let default = if secure { TLS_PORT } else { PORT };
        let (host, port) = match rest.strip_prefix('[') {
            // An IPv6 address stands in brackets (RFC 3986, section 3.2.2).
            Some(rest) => match rest.split_once(']').ok_or_else(wrong)? {
                (host, "") => (host, default),
                (host, port) => {
                    (host, port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(wrong)?)
                }
            },
            None => match rest.split_once(':') {
                Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
                None => (rest, default),
            },
        };
        if host.is_empty() || host.contains(['/', '@', '?', ' ']) || port == 0 {
            return Err(wrong());
        }
        let tls = match (secure, &self.ca_file) {
            (true, Some(file)) => Some(file.clone()),
            (true, None) => return Err(MqttConfigError::NoAuthority),
            (false, Some(_)) => return Err(MqttConfigError::UselessAuthority),
            (false, None) => None,
        };
        Ok(Endpoint::Site { host: host.to_owned(), port, tls })
    }

    fn embedded(&self, listen: &str) -> Result<Endpoint, MqttConfigError> {
        let address: SocketAddr = listen.parse().map_err(|_| MqttConfigError::Listen(listen.to_owned()))?;
        if self.ca_file.is_some() {
            return Err(MqttConfigError::UselessAuthority);
        }
        if !address.ip().is_loopback() && self.username.is_none() {
            return Err(MqttConfigError::Open(address));
        }
        Ok(Endpoint::Embedded { listen: address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> MqttConfig {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn a_file_comes_to_one_endpoint() {
        let site = |host: &str, port, tls: Option<&str>| Endpoint::Site {
            host: host.to_owned(),
            port,
            tls: tls.map(PathBuf::from),
        };
        let embedded = |listen: &str| Endpoint::Embedded { listen: listen.parse().unwrap() };
        for (toml, endpoint) in [
            ("", embedded("127.0.0.1:1883")),
            ("listen = '127.0.0.1:0'", embedded("127.0.0.1:0")),
            ("listen = '0.0.0.0:1883'\nusername = 'd'\npassword_file = '/p'", embedded("0.0.0.0:1883")),
            ("broker = 'mqtt://10.0.0.5'", site("10.0.0.5", 1883, None)),
            ("broker = 'mqtt://broker.local:2883/'", site("broker.local", 2883, None)),
            ("broker = 'mqtts://[::1]'\nca_file = '/ca.pem'", site("::1", 8883, Some("/ca.pem"))),
            ("broker = 'mqtt://[::1]:1884'", site("::1", 1884, None)),
        ] {
            assert_eq!(config(toml).validate(), Ok(endpoint), "{toml}");
        }
    }

    #[test]
    fn what_can_not_be_used_is_refused_with_its_reason() {
        let broker = |text: &str| MqttConfigError::Broker(text.to_owned());
        for (toml, error) in [
            ("broker = 'mqtt://b'\nlisten = '127.0.0.1:1883'", MqttConfigError::Both),
            ("broker = 'tcp://b'", broker("tcp://b")),
            ("broker = 'mqtt://'", broker("mqtt://")),
            ("broker = 'mqtt://b:99999'", broker("mqtt://b:99999")),
            ("broker = 'mqtt://u:p@b'", broker("mqtt://u:p@b")),
            ("broker = 'mqtts://b'", MqttConfigError::NoAuthority),
            ("broker = 'mqtt://b'\nca_file = '/c'", MqttConfigError::UselessAuthority),
            ("listen = '1883'", MqttConfigError::Listen("1883".to_owned())),
            ("listen = '0.0.0.0:1883'", MqttConfigError::Open("0.0.0.0:1883".parse().unwrap())),
            ("username = 'x'", MqttConfigError::HalfCredential),
            ("broker = 'mqtt://b'\nclient_id = ''", MqttConfigError::ClientId),
            ("client_id = 'x'", MqttConfigError::UselessClientId),
        ] {
            assert_eq!(config(toml).validate(), Err(error), "{toml}");
        }
        assert!(toml::from_str::<MqttConfig>("brokr = 'x'").is_err());
    }
}
