//! Where to connect, as whom, and in which version of MQTT.
//!
//! Why the version may be found out: installers don't know what a broker of theirs speaks. MQTT 5 is tried first; a
//! broker that refuses it, or that ends the connection without a word, is greeted in MQTT 3.1.1 the next time, and
//! what has worked once stays.
//!
//! Never: a password or key kept longer than a connection is opened; files are read at each.

use super::session::{PACKET_IDS, PATIENCE, REQUESTS, Session};
use crate::mqtt::config::MqttVersion;
use crate::mqtt::credential::{self, Credential, CredentialError};
use crate::mqtt::house::OFFLINE;
use crate::mqtt::tls::{Ready, TlsError, TlsFiles};
use crate::mqtt::topic::HouseTopics;
use crate::mqtt::wire::{Dialect, Failure, FailureKind, Hello, Will, Wire};
use engawa_model::Timestamp;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a broker keeps what could not be delivered to us: a gateway that is replaced takes over on the same day.
const SESSION: Duration = Duration::from_hours(7 * 24);

/// Who we are at the broker.
#[derive(Clone, Debug)]
pub(in crate::mqtt) enum Login {
    /// Nobody.
    Anonymous,
    /// These.
    Given(Credential),
    /// The name, and the file of the password.
    File(String, PathBuf),
}

/// See the module.
#[derive(Clone)]
pub(in crate::mqtt) struct Target {
    pub(in crate::mqtt) host: String,
    pub(in crate::mqtt) port: u16,
    pub(in crate::mqtt) tls: Option<TlsFiles>,
    pub(in crate::mqtt) client_id: String,
    pub(in crate::mqtt) login: Login,
    /// True at a site's broker: it keeps for us what comes while we are away.
    pub(in crate::mqtt) persistent: bool,
    /// What to subscribe to; empty at the gateway's own broker, whose hook brings everything.
    pub(in crate::mqtt) filters: Vec<String>,
    /// True where the house is published.
    pub(in crate::mqtt) house: bool,
    /// True where the broker can't keep anything of the house yet.
    pub(in crate::mqtt) fresh: bool,
    /// How long the broker may leave something without an answer.
    pub(in crate::mqtt) patience: Duration,
    pub(in crate::mqtt) keep_alive: Duration,
    /// What the next greeting is in.
    pub(in crate::mqtt) next: Dialect,
    /// True once the broker has understood that.
    pub(in crate::mqtt) proven: bool,
}

/// A connection that was begun.
pub(in crate::mqtt) struct Dialled {
    pub(in crate::mqtt) wire: Wire,
    pub(in crate::mqtt) dialect: Dialect,
    /// What TLS can tell about a connection that was refused.
    tls: Option<Ready>,
}

/// Why there can't even be a try.
#[derive(Debug, thiserror::Error)]
pub(in crate::mqtt) enum OpenError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("reading files: {0}")]
    Interrupted(String),
}

impl Target {
    /// A broker at `host:port`, without TLS or a name, whose house is published.
    pub(in crate::mqtt) fn new(host: String, port: u16, client_id: String, version: MqttVersion) -> Self {
        let next = if version == MqttVersion::V311 { Dialect::V311 } else { Dialect::V5 };
        Self {
            host,
            port,
            tls: None,
            client_id,
            login: Login::Anonymous,
            persistent: true,
            filters: Vec::new(),
            house: true,
            fresh: false,
            patience: PATIENCE,
            keep_alive: KEEP_ALIVE,
            next,
            proven: version != MqttVersion::Auto,
        }
    }

    /// `host:port`, for people.
    pub(in crate::mqtt) fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Reads the files and begins to connect. `session` is how long the broker keeps a session for us; `None` for a
    /// clean one.
    pub(in crate::mqtt) async fn dial(
        &self,
        will: Option<Will>,
        session: Option<Duration>,
        requests: usize,
    ) -> Result<Dialled, OpenError> {
        let (login, files) = (self.login.clone(), self.tls.clone());
        let read = move || -> Result<_, OpenError> {
            let credential = match login {
                Login::Anonymous => None,
                Login::Given(credential) => Some(credential),
                Login::File(user, path) => Some(credential::read(&user, &path)?),
            };
            Ok((credential, files.map(|files| files.read()).transpose()?))
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (credential, tls) = read.map_err(|error| OpenError::Interrupted(error.to_string()))??;
        let hello = Hello {
            host: &self.host,
            port: self.port,
            tls: tls.as_ref().map(|ready| Arc::clone(&ready.config)),
            client_id: &self.client_id,
            credential: credential.as_ref(),
            will,
            session,
            keep_alive: self.keep_alive,
            in_flight: PACKET_IDS,
            requests,
        };
        Ok(Dialled { wire: Wire::open(self.next, hello), dialect: self.next, tls })
    }

    /// Begins a session of the house.
    pub(super) async fn open(&self, topics: &HouseTopics) -> Result<Session, OpenError> {
        let will = self.house.then(|| Will {
            topic: topics.status(),
            payload: OFFLINE.as_bytes().to_vec(),
            retain: true,
        });
        let dialled = self.dial(will, self.persistent.then_some(SESSION), REQUESTS).await?;
        Ok(Session::new(dialled, self.patience))
    }

    /// The broker has understood `dialect`.
    pub(in crate::mqtt) fn greeted(&mut self, dialect: Dialect) {
        self.next = dialect;
        self.proven = true;
    }

    /// Why the connection is over, in words; and what is tried next.
    pub(in crate::mqtt) fn explain(&mut self, dialled: &Dialled, failure: &Failure) -> String {
        let mut why = failure.why.clone();
        let now = Timestamp::now().as_second();
        let tls = dialled.tls.as_ref().filter(|_| failure.kind == FailureKind::Mute);
        if let Some(explained) = tls.and_then(|ready| ready.explain(now)) {
            return format!("{why}; {explained}");
        }
        let other = matches!(failure.kind, FailureKind::Version | FailureKind::Mute);
        if other && !self.proven {
            self.next = match dialled.dialect {
                Dialect::V5 => Dialect::V311,
                Dialect::V311 => Dialect::V5,
            };
            why = format!("{why}; {} is tried next", self.next.name());
        } else if failure.kind == FailureKind::Version {
            why = format!("{why}; set `version = \"auto\"` or another version");
        }
        why
    }
}
