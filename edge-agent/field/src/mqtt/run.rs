//! Puts the parts together and runs them: desk, connection, and the gateway's own broker where there is one.
//!
//! Why two steps: [`prepare`] checks the configuration, reads the files it names and binds the broker, so
//! that what is wrong is known before anything runs, and a broker on port 0 can say where it is.

use super::broker::{BrokerError, BrokerSettings, EmbeddedBroker, Mqtt5Broker};
use super::client::{Connection, Target};
use super::config::{Endpoint, MqttConfig, MqttConfigError};
use super::credential::Credential;
use super::desk::{Desk, Known};
use super::devices::{Devices, MqttDevice};
use super::discovery;
use super::door::DeskDoor;
use super::feed::Feed;
use super::home_assistant::HomeAssistant;
use super::house::Publication;
use super::outbox::Outbox;
use super::topic::{HouseTopics, escape};
use super::writes::Writes;
use engawa_model::{Found, Intent, ObservationSink, PointId, PointState, PropertyId, SinkClosed};
use futures::stream::FuturesOrdered;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that wait for the desk. At the bound those of QoS 1 wait at their senders, those of QoS 0 are
/// dropped and counted.
const TO_DESK: usize = 256;
/// Writes and answers that wait for the connection; at the bound they are dropped, and writes repeated by
/// their timer.
const FROM_DESK: usize = 256;

/// Builds all retained publications of the house from its picture as it is now; see
/// [`super::house::snapshot`]. Called from the connection's task: it must not block for long.
pub type Snapshot = Arc<dyn Fn() -> Vec<Publication> + Send + Sync>;

/// What MQTT is made of.
pub struct MqttParts {
    /// The broker.
    pub config: MqttConfig,
    /// The property whose topics these are.
    pub property: PropertyId,
    /// The devices, with profiles that have been checked.
    pub devices: Vec<MqttDevice>,
    /// Where observations go.
    pub sink: Arc<dyn ObservationSink>,
    /// The house's state as a whole.
    pub snapshot: Snapshot,
    /// The house's state as it changes.
    pub publications: Feed,
    /// Writes to these devices ([`Intent::WritePoint`]).
    pub writes: mpsc::Receiver<Intent>,
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Payloads of devices that could not be used.
    pub bad_payloads: AtomicU64,
    /// Messages on command topics that were no commands.
    pub bad_commands: AtomicU64,
    /// Messages of QoS 0 that came faster than they could be taken.
    pub messages_dropped: AtomicU64,
    /// Publications that never reached the broker and are in no snapshot.
    pub publications_lost: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        Self::add_many(counter, 1);
    }

    pub(super) fn add_many(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// Why MQTT can't start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MqttError {
    /// The configuration can't be used.
    #[error("the broker's configuration can't be used")]
    Config(#[source] MqttConfigError),
    /// A file that the configuration names can't be read.
    #[error("{} can't be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The password file is empty.
    #[error("{} has no password in its first line", .0.display())]
    NoPassword(PathBuf),
    /// The file of the certificate authority holds none.
    #[error("{} holds no certificate that can be used: {reason}", path.display())]
    Authority {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
    /// A broker of the site is needed, and the gateway brings its own.
    #[error("Sparkplug needs a broker of the site")]
    NoSiteBroker,
    /// The gateway's own broker.
    #[error("the gateway's own broker failed")]
    Broker(#[source] BrokerError),
    /// The house has stopped.
    #[error("the house has stopped")]
    Closed(#[source] SinkClosed),
}

/// MQTT, ready to run.
pub struct Mqtt {
    broker: Option<Box<dyn EmbeddedBroker>>,
    desk: Desk,
    messages: mpsc::Receiver<super::desk::ToDesk>,
    connection: Connection,
    writes: mpsc::Receiver<Intent>,
    counters: Arc<Counters>,
    /// Cancelled when [`Mqtt::run`] ends, however it ends.
    stop: CancellationToken,
}

/// Checks the configuration, reads its files, and binds the gateway's own broker where it is to be used.
pub async fn prepare(parts: MqttParts) -> Result<Mqtt, MqttError> {
    let MqttParts { config, property, devices, sink, snapshot, publications, writes } = parts;
    let endpoint = config.validate().map_err(MqttError::Config)?;
    let discover = config.discover;
    let credential = credential(&config).await?;
    let topics =
        if config.has_topics() { HouseTopics::new(&property) } else { HouseTopics::closed(&property) };
    let (devices, counters) = (Devices::new(devices), Arc::new(Counters::default()));
    let (to_desk, messages) = mpsc::channel(TO_DESK);
    let (from_desk, outgoing) = mpsc::channel(FROM_DESK);
    let stop = CancellationToken::new();
    let (broker, target) = match endpoint {
        Endpoint::Site { host, port, tls } => {
            let mut filters = devices.subscriptions();
            filters.extend(topics.command_filters());
            if discover {
                filters.extend(discovery::filters());
            }
            let tls = match tls {
                Some(file) => Some(Arc::new(tls_config(&file).await?)),
                None => None,
            };
            let client_id =
                config.client_id.unwrap_or_else(|| format!("engawa-{}", escape(property.as_str())));
            (None, Target { host, port, tls, client_id, credential, persistent: true, filters })
        }
        Endpoint::Embedded { listen } => {
            // By its id the broker knows the house from a device that would speak for it.
            let client_id = format!("engawa-{:032x}", rand::random::<u128>());
            let door = DeskDoor {
                topics: topics.clone(),
                devices: devices.subscriptions().into_iter().collect(),
                discover,
                desk: to_desk.clone(),
                counters: Arc::clone(&counters),
                cancel: stop.clone(),
            };
            let settings = BrokerSettings {
                listen,
                credential: credential.clone(),
                house_client: client_id.clone(),
                topics: topics.clone(),
                door: Arc::new(door),
            };
            let broker = Mqtt5Broker::bind(settings).await.map_err(MqttError::Broker)?;
            let address = reachable(broker.address());
            let (host, port) = (address.ip().to_string(), address.port());
            let target =
                Target { host, port, tls: None, client_id, credential, persistent: false, filters: vec![] };
            (Some(Box::new(broker) as Box<dyn EmbeddedBroker>), target)
        }
    };
    let desk = Desk {
        topics: topics.clone(),
        devices,
        sink,
        outgoing: from_desk,
        counters: Arc::clone(&counters),
        writes: Writes::default(),
        reports: FuturesOrdered::new(),
        connected: false,
        arrivals: 0,
        discover,
        first: Vec::new(),
        started: tokio::time::Instant::now(),
        ask_at: tokio::time::Instant::now(),
    };
    let connection = Connection {
        target,
        topics,
        snapshot,
        feed: publications,
        outgoing,
        desk: to_desk,
        counters: Arc::clone(&counters),
        outbox: Outbox::default(),
        home: None,
    };
    Ok(Mqtt { broker, desk, messages, connection, writes, counters, stop })
}

/// The site's broker for a second session, as another client: Sparkplug's last will is not the house's.
///
/// # Errors
/// As [`prepare`]; [`MqttError::NoSiteBroker`] where the gateway brings its own.
pub async fn site_broker(
    config: &MqttConfig,
    client_id: String,
) -> Result<super::sparkplug::Broker, MqttError> {
    let Endpoint::Site { host, port, tls } = config.validate().map_err(MqttError::Config)? else {
        return Err(MqttError::NoSiteBroker);
    };
    let tls = match tls {
        Some(file) => Some(Arc::new(tls_config(&file).await?)),
        None => None,
    };
    Ok(super::sparkplug::Broker { host, port, tls, client_id, credential: credential(config).await? })
}

impl Mqtt {
    /// Announces the house to Home Assistant as well.
    #[must_use]
    pub fn with_home_assistant(mut self, home: Arc<HomeAssistant>) -> Self {
        self.connection.target.filters.extend(home.filters());
        self.connection.home = Some(home);
        self
    }

    /// Where the gateway's own broker listens; `None` with a broker of the site.
    pub fn broker_address(&self) -> Option<SocketAddr> {
        self.broker.as_ref().map(|broker| broker.address())
    }

    /// Tells what the house knows from before: the values of points, which become stale if they are not heard again, and
    /// the devices that wait, of which some may be configured by now.
    pub fn remember<'a>(
        &mut self,
        points: impl IntoIterator<Item = (PointId, &'a PointState)>,
        found: impl IntoIterator<Item = &'a Found>,
    ) {
        let Desk { devices, topics, first, .. } = &mut self.desk;
        for (point, PointState { value, quality, at }) in points {
            devices.prime(&point, value.clone(), *quality, *at, Duration::ZERO);
        }
        first.extend(discovery::placed(found, &Known { house: topics, devices }));
    }

    /// The counters, for the metrics.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Runs until `cancel`; then says "offline" and stops. An error ends the whole.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), MqttError> {
        let Self { broker, desk, messages, connection, writes, stop, .. } = self;
        let _stop_anyway = stop.clone().drop_guard();
        // The desk and the connection go first, so that the broker still hears the good-bye.
        let broker_stop = CancellationToken::new();
        let _broker_stops_anyway = broker_stop.clone().drop_guard();
        let serving = async {
            match broker {
                Some(broker) => broker.run(broker_stop.clone()).await.map_err(MqttError::Broker),
                None => {
                    broker_stop.cancelled().await;
                    Ok(())
                }
            }
        };
        let working = async {
            let desk = async {
                let ended = desk.run(messages, writes, stop.clone()).await;
                stop.cancel();
                ended.map_err(MqttError::Closed)
            };
            let stopping = async {
                tokio::select! {
                    () = cancel.cancelled() => stop.cancel(),
                    () = stop.cancelled() => {}
                }
            };
            let (desk, (), ()) = tokio::join!(desk, connection.run(stop.clone()), stopping);
            broker_stop.cancel();
            desk
        };
        tokio::pin!(serving, working);
        // Whichever ends first, the other is told and waited for.
        tokio::select! {
            served = &mut serving => {
                stop.cancel();
                working.await.and(served)
            }
            worked = &mut working => serving.await.and(worked),
        }
    }
}

/// The address at which a broker that listens on `listen` is reached from the box itself.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn credential(config: &MqttConfig) -> Result<Option<Credential>, MqttError> {
    let (Some(username), Some(path)) = (&config.username, &config.password_file) else { return Ok(None) };
    let text = read(path).await?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(MqttError::NoPassword(path.clone()));
    }
    Ok(Some(Credential::new(username, password)))
}

async fn read(path: &Path) -> Result<String, MqttError> {
    tokio::fs::read_to_string(path).await.map_err(|source| MqttError::File { path: path.to_owned(), source })
}

async fn tls_config(path: &Path) -> Result<rustls::ClientConfig, MqttError> {
    let unusable = |reason: String| MqttError::Authority { path: path.to_owned(), reason };
    let pem = read(path).await?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is none".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(MqttError::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
