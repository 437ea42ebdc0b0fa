//! The broker part of the configuration file, and what of it can be used.
//!
//! Why: either a broker of the site is used, or the gateway brings its own; a file that asks for both, or
//! that opens a broker to the network without a password, is refused before anything starts. Further brokers
//! ([`BrokerConfig`]) are brokers of others: a building's, an energy manager's.
//!
//! Never: sockets. Files named here are read by the shell, not by this module.

use super::access::Allowed;
use super::documents::ValueTopics;
use super::tls::TlsFiles;
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

/// Which MQTT a broker is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MqttVersion {
    /// 5, and 3.1.1 where the broker does not know that.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// 5.
    #[serde(rename = "5")]
    V5,
    /// 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
}

/// The main broker, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// The site's broker, `mqtt://host:port` or `mqtts://host:port`. Without it the gateway brings its own.
    #[serde(default)]
    pub broker: Option<String>,
    /// The version of MQTT at the site's broker: `auto` (when absent), `5` or `3.1.1`.
    #[serde(default)]
    pub version: Option<MqttVersion>,
    /// The certificate authority of an `mqtts` broker, PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Our certificate with its chain, PEM, for an `mqtts` broker that asks for one. Read at each connection.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// The certificate's private key, PEM; nobody else may be able to read it.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
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
    /// Who else may use the broker, and for what; at the gateway's own one, and at a Mosquitto that it configures.
    #[serde(default)]
    pub user: Vec<UserConfig>,
    /// The folder of the passwords that `engawa broker passwd` makes; `mqtt` in the store's folder when absent.
    #[serde(default)]
    pub secrets: Option<PathBuf>,
}

/// A user of the gateway's own broker, or of the Mosquitto that it configures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The user name; no device's.
    pub name: String,
    /// What it may do: `read`, `command`, `devices`, `home-assistant`.
    pub allowed: Vec<Allowed>,
    /// A file whose first line is the password; one made by `engawa broker passwd` when absent.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// A further broker, as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// Its name in this file; its link is `mqtt-<id>`.
    pub id: String,
    /// `mqtt://host:port` or `mqtts://host:port`.
    pub url: String,
    /// As in [`MqttConfig::version`].
    #[serde(default)]
    pub version: Option<MqttVersion>,
    /// As in [`MqttConfig::ca_file`].
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// As in [`MqttConfig::cert_file`].
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// As in [`MqttConfig::key_file`].
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Our user name there.
    #[serde(default)]
    pub username: Option<String>,
    /// A file whose first line is the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The client id; `engawa-<property>` when absent.
    #[serde(default)]
    pub client_id: Option<String>,
    /// True where the house is published there too, and takes commands from there.
    #[serde(default)]
    pub publish: bool,
    /// As in [`MqttConfig::values`].
    #[serde(default)]
    pub values: ValueTopics,
}

/// A broker of somebody, ready to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The files of a connection over TLS.
    pub tls: Option<TlsFiles>,
    /// The version of MQTT.
    pub version: MqttVersion,
}

/// What the configuration comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A broker of the site.
    Site(Site),
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
    /// Not a URL of a broker.
    #[error("`{key}` is `{url}`: expected `mqtt://host:port` or `mqtts://host:port`")]
    Broker {
        /// The key.
        key: &'static str,
        /// What is there.
        url: String,
    },
    /// TLS without a certificate authority.
    #[error("an `mqtts` broker needs `ca_file`: the PEM file of the authority that signed its certificate")]
    NoAuthority,
    /// A file for TLS that nothing would use.
    #[error("`{0}` is of use only with a broker at `mqtts://`")]
    UselessFile(&'static str),
    /// One half of a certificate.
    #[error("`cert_file` and `key_file` go together")]
    HalfCertificate,
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
    /// A key that only a site's broker has.
    #[error("`{0}` is of use only with `broker`")]
    Useless(&'static str),
    /// A name that can't be a broker's.
    #[error("`{0}` can't be a broker's id: expected 1 to 64 letters, digits, `-`, `_` or `.`")]
    Id(String),
}

impl MqttConfigError {
    /// The key of the section that is to be mended.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Both => "broker",
            Self::Broker { key, .. } | Self::UselessFile(key) | Self::Useless(key) => key,
            Self::NoAuthority => "ca_file",
            Self::HalfCertificate => "cert_file",
            Self::Listen(_) | Self::Open(_) => "listen",
            Self::HalfCredential => "username",
            Self::ClientId => "client_id",
            Self::Id(_) => "id",
        }
    }
}

/// What every way to a broker of others has.
struct Access<'a> {
    version: Option<MqttVersion>,
    ca_file: Option<&'a PathBuf>,
    cert_file: Option<&'a PathBuf>,
    key_file: Option<&'a PathBuf>,
    username: Option<&'a String>,
    password_file: Option<&'a PathBuf>,
    client_id: Option<&'a String>,
}

impl MqttConfig {
    /// True where the house is on its plain topics.
    pub fn has_topics(&self) -> bool {
        self.topics.unwrap_or(true)
    }

    /// Everything that is wrong.
    pub fn faults(&self) -> Vec<MqttConfigError> {
        self.read().err().unwrap_or_default()
    }

    /// Checks the whole and says what it comes to.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<Endpoint, MqttConfigError> {
        self.read().map_err(first)
    }

    fn access(&self) -> Access<'_> {
        Access {
            version: self.version,
            ca_file: self.ca_file.as_ref(),
            cert_file: self.cert_file.as_ref(),
            key_file: self.key_file.as_ref(),
            username: self.username.as_ref(),
            password_file: self.password_file.as_ref(),
            client_id: self.client_id.as_ref(),
        }
    }

    fn read(&self) -> Result<Endpoint, Vec<MqttConfigError>> {
        let mut faults = self.access().faults();
        let endpoint = match (&self.broker, &self.listen) {
            (broker, listen @ Some(_)) | (broker @ None, listen) => {
                if broker.is_some() {
                    faults.push(MqttConfigError::Both);
                }
                self.embedded(listen.as_deref().unwrap_or(DEFAULT_LISTEN), broker.is_some(), &mut faults)
            }
            (Some(broker), None) => self.access().site("broker", broker, &mut faults).map(Endpoint::Site),
        };
        endpoint.filter(|_| faults.is_empty()).ok_or(faults)
    }

    fn embedded(&self, listen: &str, both: bool, faults: &mut Vec<MqttConfigError>) -> Option<Endpoint> {
        let files =
            [("ca_file", &self.ca_file), ("cert_file", &self.cert_file), ("key_file", &self.key_file)];
        if !both {
            let useless = files.into_iter().filter(|(_, file)| file.is_some());
            faults.extend(useless.map(|(key, _)| MqttConfigError::UselessFile(key)));
            for (key, there) in [("client_id", self.client_id.is_some()), ("version", self.version.is_some())]
            {
                if there {
                    faults.push(MqttConfigError::Useless(key));
                }
            }
        }
        let Ok(listen) = listen.parse::<SocketAddr>() else {
            faults.push(MqttConfigError::Listen(listen.to_owned()));
            return None;
        };
        if !listen.ip().is_loopback() && self.username.is_none() {
            faults.push(MqttConfigError::Open(listen));
        }
        Some(Endpoint::Embedded { listen })
    }
}

impl BrokerConfig {
    /// Everything that is wrong.
    pub fn faults(&self) -> Vec<MqttConfigError> {
        self.read().err().unwrap_or_default()
    }

    /// Checks the whole and says what it comes to.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<Site, MqttConfigError> {
        self.read().map_err(first)
    }

    /// The same as a main broker.
    pub fn as_main(&self) -> MqttConfig {
        let Self {
            url,
            version,
            ca_file,
            cert_file,
            key_file,
            username,
            password_file,
            client_id,
            values,
            id: _,
            publish: _,
        } = self.clone();
        let broker = Some(url);
        MqttConfig {
            broker,
            version,
            ca_file,
            cert_file,
            key_file,
            username,
            password_file,
            client_id,
            values,
            listen: None,
            topics: None,
            discover: false,
            user: Vec::new(),
            secrets: None,
        }
    }

    fn read(&self) -> Result<Site, Vec<MqttConfigError>> {
        let access = Access {
            version: self.version,
            ca_file: self.ca_file.as_ref(),
            cert_file: self.cert_file.as_ref(),
            key_file: self.key_file.as_ref(),
            username: self.username.as_ref(),
            password_file: self.password_file.as_ref(),
            client_id: self.client_id.as_ref(),
        };
        let mut faults = access.faults();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.id.is_empty() || self.id.len() > 64 || !self.id.chars().all(fits) {
            faults.push(MqttConfigError::Id(self.id.clone()));
        }
        let site = access.site("url", &self.url, &mut faults);
        site.filter(|_| faults.is_empty()).ok_or(faults)
    }
}

impl Access<'_> {
    fn faults(&self) -> Vec<MqttConfigError> {
        let mut faults = Vec::new();
        if self.username.is_some() != self.password_file.is_some() {
            faults.push(MqttConfigError::HalfCredential);
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            faults.push(MqttConfigError::HalfCertificate);
        }
        let wrong =
            |id: &&String| id.is_empty() || id.chars().count() > 128 || id.chars().any(char::is_control);
        if self.client_id.filter(wrong).is_some() {
            faults.push(MqttConfigError::ClientId);
        }
        faults
    }

    fn site(&self, key: &'static str, url: &str, faults: &mut Vec<MqttConfigError>) -> Option<Site> {
        let Some((secure, host, port)) = split(url) else {
            faults.push(MqttConfigError::Broker { key, url: url.to_owned() });
            return None;
        };
        if !secure {
            let files =
                [("ca_file", self.ca_file), ("cert_file", self.cert_file), ("key_file", self.key_file)];
            let useless = files.into_iter().filter(|(_, file)| file.is_some());
            faults.extend(useless.map(|(key, _)| MqttConfigError::UselessFile(key)));
        }
        let tls = match (secure, self.ca_file) {
            (false, _) => None,
            (true, None) => {
                faults.push(MqttConfigError::NoAuthority);
                None
            }
            (true, Some(ca)) => {
                let identity = self.cert_file.cloned().zip(self.key_file.cloned());
                Some(TlsFiles { ca: ca.clone(), identity })
            }
        };
        Some(Site { host: host.to_owned(), port, tls, version: self.version.unwrap_or_default() })
    }
}

fn first(faults: Vec<MqttConfigError>) -> MqttConfigError {
    // A configuration is refused for at least one reason.
    faults.into_iter().next().unwrap_or(MqttConfigError::Both)
}

/// Whether over TLS, host and port of a broker's URL.
fn split(url: &str) -> Option<(bool, &str, u16)> {
    let (secure, rest) = match url.split_once("://")? {
        ("mqtt", rest) => (false, rest),
        ("mqtts", rest) => (true, rest),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let default = if secure { TLS_PORT } else { PORT };
    let (host, port) = match rest.strip_prefix('[') {
        // An IPv6 address stands in brackets (RFC 3986, section 3.2.2).
        Some(rest) => match rest.split_once(']')? {
            (host, "") => (host, default),
            (host, port) => (host, port.strip_prefix(':')?.parse().ok()?),
        },
        None => match rest.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (rest, default),
        },
    };
    let sound = !host.is_empty() && !host.contains(['/', '@', '?', ' ']) && port != 0;
    sound.then_some((secure, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> MqttConfig {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn a_file_comes_to_one_endpoint() {
        let site = |host: &str, port, ca: Option<&str>| {
            let tls = ca.map(|ca| TlsFiles { ca: ca.into(), identity: None });
            Endpoint::Site(Site { host: host.to_owned(), port, tls, version: MqttVersion::Auto })
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
    fn a_certificate_and_a_version_are_taken() {
        let toml = "broker = 'mqtts://b'\nca_file = '/ca'\ncert_file = '/c'\nkey_file = '/k'\nversion = '5'";
        let Ok(Endpoint::Site(site)) = config(toml).validate() else { panic!("not a site's broker") };
        assert_eq!(site.version, MqttVersion::V5);
        assert_eq!(site.tls.unwrap().identity, Some(("/c".into(), "/k".into())));
        assert!(toml::from_str::<MqttConfig>("version = '4'").is_err());
    }

    #[test]
    fn a_further_broker_is_the_same_but_for_its_keys() {
        let further = |toml: &str| toml::from_str::<BrokerConfig>(toml).unwrap();
        let bms = further("id = 'bms'\nurl = 'mqtt://10.0.0.7'\nversion = '3.1.1'");
        let site = bms.validate().unwrap();
        assert_eq!((site.host.as_str(), site.version), ("10.0.0.7", MqttVersion::V311));
        assert_eq!(bms.as_main().validate(), Ok(Endpoint::Site(site)));
        let fields: Vec<_> = further("id = 'a b'\nurl = 'tcp://x'\nusername = 'u'\ncert_file = '/c'")
            .faults()
            .iter()
            .map(MqttConfigError::field)
            .collect();
        assert_eq!(fields, ["username", "cert_file", "id", "url"], "all at once");
    }

    #[test]
    fn what_can_not_be_used_is_refused_with_its_reason() {
        let broker = |url: &str| MqttConfigError::Broker { key: "broker", url: url.to_owned() };
        for (toml, error) in [
            ("broker = 'mqtt://b'\nlisten = '127.0.0.1:1883'", MqttConfigError::Both),
            ("broker = 'tcp://b'", broker("tcp://b")),
            ("broker = 'mqtt://'", broker("mqtt://")),
            ("broker = 'mqtt://b:99999'", broker("mqtt://b:99999")),
            ("broker = 'mqtt://u:p@b'", broker("mqtt://u:p@b")),
            ("broker = 'mqtts://b'", MqttConfigError::NoAuthority),
            ("broker = 'mqtt://b'\nca_file = '/c'", MqttConfigError::UselessFile("ca_file")),
            ("listen = '1883'", MqttConfigError::Listen("1883".to_owned())),
            ("listen = '0.0.0.0:1883'", MqttConfigError::Open("0.0.0.0:1883".parse().unwrap())),
            ("username = 'x'", MqttConfigError::HalfCredential),
            ("broker = 'mqtt://b'\nclient_id = ''", MqttConfigError::ClientId),
            ("broker = 'mqtts://b'\nca_file = '/c'\nkey_file = '/k'", MqttConfigError::HalfCertificate),
            ("version = '5'", MqttConfigError::Useless("version")),
            ("client_id = 'x'", MqttConfigError::Useless("client_id")),
        ] {
            assert_eq!(config(toml).validate(), Err(error), "{toml}");
        }
        assert!(toml::from_str::<MqttConfig>("brokr = 'x'").is_err());
    }
}
