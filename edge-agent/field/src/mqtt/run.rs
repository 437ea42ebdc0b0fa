//! Puts the parts together and runs them: desk, connection, and the gateway's own broker where there is one.
//!
//! Why two steps: [`prepare`] checks the configuration, reads the files it names and binds the broker, so
//! that what is wrong is known before anything runs, and a broker on port 0 can say where it is.

use super::access::{Allowed, Rights, Scene};
use super::broker::{BrokerError, BrokerSettings, Client, EmbeddedBroker, Mqtt5Broker};
use super::client::{Connection, Login, Target};
use super::config::{Endpoint, MqttConfig, MqttConfigError, MqttVersion, Site};
use super::credential::{self, Credential, CredentialError};
use super::desk::{Desk, Known};
use super::devices::{Devices, MqttDevice};
use super::discovery;
use super::door::DeskDoor;
use super::events::EventStore;
use super::feed::{Feed, feed};
use super::home_assistant::HomeAssistant;
use super::house::Publication;
use super::outbox::Outbox;
use super::tls::TlsError;
use super::topic::{HouseTopics, escape};
use super::writes::Writes;
use engawa_model::{
    DeviceId, Found, Intent, LinkId, ObservationSink, PointId, PointState, PropertyId, SinkClosed,
};
use futures::stream::FuturesOrdered;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
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
    /// Its link: [`super::MQTT_LINK`], or [`super::link_to`] a further broker.
    pub link: LinkId,
    /// True where the house is published, and takes commands.
    pub publish: bool,
    /// The property whose topics these are.
    pub property: PropertyId,
    /// The devices, with profiles that have been checked.
    pub devices: Vec<MqttDevice>,
    /// Who may use the gateway's own broker; of no use at a site's.
    pub users: Vec<User>,
    /// Where observations go.
    pub sink: Arc<dyn ObservationSink>,
    /// The house's state as a whole.
    pub snapshot: Snapshot,
    /// The house's state as it changes.
    pub publications: Feed,
    /// The house as Home Assistant discovers it, where it is announced at this broker.
    pub home: Option<Arc<HomeAssistant>>,
    /// The house's events that wait for this broker.
    pub events: Arc<dyn EventStore>,
    /// Writes to these devices ([`Intent::WritePoint`]).
    pub writes: mpsc::Receiver<Intent>,
}

/// A user of the gateway's own broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub grant: Grant,
    /// The file of its password, read at each login: a new one needs no restart.
    pub password_file: PathBuf,
}

/// What a user may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// What this device does.
    Device(DeviceId),
    /// These.
    Allowed(Vec<Allowed>),
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
    /// There is no password.
    #[error("the broker's password")]
    Credential(#[source] CredentialError),
    /// TLS can't be used.
    #[error("TLS to the broker")]
    Tls(#[source] TlsError),
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
    let MqttParts {
        config,
        link,
        publish,
        property,
        devices,
        users,
        sink,
        snapshot,
        publications,
        home,
        events,
        writes,
    } = parts;
    // Where the house is not published nobody feeds the connection.
    let publications = if publish { publications } else { feed(1).1 };
    let endpoint = config.validate().map_err(MqttError::Config)?;
    let (discover, publish) = (config.discover, publish && config.has_topics());
    let topics = if publish { HouseTopics::new(&property) } else { HouseTopics::closed(&property) };
    let counters = Arc::new(Counters::default());
    let configured = devices.clone();
    let devices = Devices::new(devices);
    let (to_desk, messages) = mpsc::channel(TO_DESK);
    let (from_desk, outgoing) = mpsc::channel(FROM_DESK);
    let stop = CancellationToken::new();
    let (broker, target) = match endpoint {
        Endpoint::Site(site) => {
            // What is wrong with the files is known before anything runs; they are read again at each connection.
            readable(&config, &site).await?;
            let mut filters = devices.subscriptions();
            filters.extend(topics.command_filters());
            filters.extend(home.iter().flat_map(|home| home.filters()));
            if discover {
                filters.extend(discovery::filters());
            }
            let login = login(&config);
            let client_id =
                config.client_id.unwrap_or_else(|| format!("engawa-{}", escape(property.as_str())));
            let Site { host, port, tls, version } = site;
            let target =
                Target { tls, login, filters, house: publish, ..Target::new(host, port, client_id, version) };
            (None, target)
        }
        Endpoint::Embedded { listen } => {
            // By its id and password the broker knows the house from a device that would speak for it.
            let client_id = format!("engawa-{:032x}", rand::random::<u128>());
            let house = Credential::new(&client_id, format!("{:032x}", rand::random::<u128>()));
            let home = home.as_deref();
            let scene = Scene { topics: &topics, devices: &configured, discover, home };
            let rights = |user: &User| match &user.grant {
                Grant::Allowed(allowed) => Rights::of(allowed, scene),
                Grant::Device(id) => {
                    let device = configured.iter().find(|device| device.id == *id);
                    device.map(Rights::of_device).unwrap_or_default()
                }
            };
            let clients = users.into_iter().map(|user| {
                let rights = rights(&user);
                (user.name, Client { rights, password_file: user.password_file })
            });
            let clients = clients.collect();
            let door = DeskDoor {
                topics: topics.clone(),
                devices: devices.subscriptions().into_iter().collect(),
                discover,
                desk: to_desk.clone(),
                counters: Arc::clone(&counters),
                cancel: stop.clone(),
            };
            let settings = BrokerSettings { listen, house: house.clone(), clients, door: Arc::new(door) };
            let broker = Mqtt5Broker::bind(settings).await.map_err(MqttError::Broker)?;
            let address = reachable(broker.address());
            let (host, port) = (address.ip().to_string(), address.port());
            // It begins with nothing, and only the house publishes on the house's topics.
            let target = Target {
                login: Login::Given(house),
                persistent: false,
                house: publish,
                filters: home.into_iter().flat_map(HomeAssistant::filters).collect(),
                fresh: true,
                ..Target::new(host, port, client_id, MqttVersion::V5)
            };
            (Some(Box::new(broker) as Box<dyn EmbeddedBroker>), target)
        }
    };
    let desk = Desk {
        link,
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
        events,
        home,
        cursor: 0,
        more: false,
        done: Vec::new(),
    };
    Ok(Mqtt { broker, desk, messages, connection, writes, counters, stop })
}

/// A broker of the site for a second session, as another client: Sparkplug's last will is not the house's.
///
/// # Errors
/// As [`prepare`]; [`MqttError::NoSiteBroker`] where the gateway brings its own.
pub async fn site_broker(
    config: &MqttConfig,
    client_id: String,
) -> Result<super::sparkplug::Broker, MqttError> {
    let Endpoint::Site(site) = config.validate().map_err(MqttError::Config)? else {
        return Err(MqttError::NoSiteBroker);
    };
    readable(config, &site).await?;
    let Site { host, port, tls, version } = site;
    // Each clause of Sparkplug is shown in 3.1.1; 5 is spoken where it is asked for.
    let version = if version == MqttVersion::Auto { MqttVersion::V311 } else { version };
    let target = Target {
        tls,
        login: login(config),
        persistent: false,
        house: false,
        ..Target::new(host, port, client_id, version)
    };
    Ok(super::sparkplug::Broker::new(target))
}

impl Mqtt {
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

fn login(config: &MqttConfig) -> Login {
    match (&config.username, &config.password_file) {
        (Some(username), Some(path)) => Login::File(username.clone(), path.clone()),
        _ => Login::Anonymous,
    }
}

/// Reads the files that the configuration names.
async fn readable(config: &MqttConfig, site: &Site) -> Result<(), MqttError> {
    let (user, tls) = (config.username.clone().zip(config.password_file.clone()), site.tls.clone());
    let read = move || {
        if let Some((name, path)) = user {
            credential::read(&name, &path).map_err(MqttError::Credential)?;
        }
        tls.map_or(Ok(()), |tls| tls.read().map(drop).map_err(MqttError::Tls))
    };
    tokio::task::spawn_blocking(read).await.map_err(|_| MqttError::Closed(SinkClosed))?
}
