//! The gateway's own broker, for a hotel that has none: small, on the box itself, and honest about
//! acknowledgements.
//!
//! Why behind a trait: the broker is a part that can be exchanged; the rest of this module needs an address
//! to connect to and a hook that is awaited before a publication is acknowledged. That hook makes a device's
//! acknowledgement mean *durable*, which no setting of a stand-alone broker does.
//!
//! Terms: the *door* is what the hook calls; its verdict decides what becomes of a publication.
//!
//! Who is not known may do nothing; who is known, what its [`Rights`] say. The house's topics are the house's alone.
//!
//! Never: keeps anything on disk. The house's state is published anew at each start.

mod serve;

use self::serve::Server;
use super::access::Rights;
use super::credential::{self, Credential};
use bytes::Bytes;
use futures::future::BoxFuture;
use mqtt5::broker::{
    AuthProvider, AuthResult, BrokerConfig, BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent,
    ClientPublishEvent, PublishAction,
};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::packet::publish::PublishPacket;
use mqtt5::{QoS, types::ReasonCode};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Connections at once; more are refused. A hotel has a few hundred devices at most behind one gateway.
const MAX_CLIENTS: usize = 2_000;
/// The longest packet, bytes; longer ones end their connection.
const MAX_PACKET: usize = 1024 * 1024;
/// Retained topics; more are refused with "quota exceeded".
const MAX_RETAINED: usize = 250_000;
/// What waits for a client that is away; older messages make room.
const MAX_QUEUED: usize = 1_000;
/// The same in bytes.
const MAX_QUEUED_BYTES: usize = 1024 * 1024;
/// How long a client may be away and find its session again.
const SESSION_EXPIRY: Duration = Duration::from_hours(24);

/// What becomes of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to its subscribers and is acknowledged.
    Pass,
    /// It is acknowledged and goes no further.
    Consume,
    /// It goes on to its subscribers, but is not acknowledged: its sender has to send it again.
    Withhold,
}

/// What stands between the broker and the house.
pub trait Door: Send + Sync + 'static {
    /// Asked for each publication of a client, before it is acknowledged; the acknowledgement waits.
    /// `retain` is the sender's flag, `acknowledged` is false for QoS 0.
    fn publication<'a>(
        &'a self,
        topic: &'a str,
        payload: Bytes,
        retain: bool,
        acknowledged: bool,
    ) -> BoxFuture<'a, Verdict>;
}

/// Why the broker can't start or go on. The library's own error is told as text: its type is not ours to
/// pass on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// It can't listen.
    #[error("the broker can't listen on {listen}: {reason}")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// Why.
        reason: String,
    },
}

/// A broker that runs in this process.
pub trait EmbeddedBroker: Send + 'static {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// Serves until `cancel`.
    fn run(self: Box<Self>, cancel: CancellationToken) -> BoxFuture<'static, Result<(), BrokerError>>;
}

/// Somebody who may use the broker.
#[derive(Clone, Debug)]
pub struct Client {
    /// What it may do.
    pub rights: Rights,
    /// The file of its password, read at each login.
    pub password_file: PathBuf,
}

/// What a broker must know before it starts.
pub struct BrokerSettings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The house: its user name is its client id too. Its publications do not go through the door. Must not be
    /// guessable.
    pub house: Credential,
    /// Everybody else, by user name.
    pub clients: BTreeMap<String, Client>,
    /// Asked before acknowledgements.
    pub door: Arc<dyn Door>,
}

/// A broker with the sessions and routes of the crate `mqtt5`: MQTT 5 and 3.1.1, memory only.
pub struct Mqtt5Broker(Server);

impl Mqtt5Broker {
    /// Binds the address; clients are served once it runs.
    pub async fn bind(settings: BrokerSettings) -> Result<Self, BrokerError> {
        let BrokerSettings { listen, house, clients, door } = settings;
        let connected = Arc::new(Connected::default());
        let config = BrokerConfig::default()
            .with_max_clients(MAX_CLIENTS)
            .with_max_packet_size(MAX_PACKET)
            .with_session_expiry(SESSION_EXPIRY);
        let hook =
            Hook { house_client: house.username().to_owned(), door, connected: Arc::clone(&connected) };
        let guard = Guard { house, clients, connected };
        let server = Server::bind(listen, config, Arc::new(hook), Arc::new(guard)).await;
        server.map(Self).map_err(|error| BrokerError::Listen { listen, reason: error.to_string() })
    }
}

impl EmbeddedBroker for Mqtt5Broker {
    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    fn run(self: Box<Self>, cancel: CancellationToken) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            self.0.serve(cancel).await;
            Ok(())
        })
    }
}

/// Whose the client ids of the live connections are. A broker ends a connection when another comes with its client id;
/// a user may do that to itself (it connects anew before the old connection is known to be dead), and to nobody else.
///
/// Bounded by [`MAX_CLIENTS`].
#[derive(Default)]
struct Connected(Mutex<HashMap<String, (String, usize)>>);

impl Connected {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (String, usize)>> {
        // Plain counts: a panic elsewhere leaves them as they are.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_of_another(&self, client: &str, user: &str) -> bool {
        self.lock().get(client).is_some_and(|(owner, _)| owner != user)
    }

    fn came(&self, client: &str, user: &str) {
        self.lock().entry(client.to_owned()).or_insert_with(|| (user.to_owned(), 0)).1 += 1;
    }

    fn went(&self, client: &str) {
        let mut all = self.lock();
        if let Some((_, count)) = all.get_mut(client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(client);
            }
        }
    }
}

struct Hook {
    house_client: String,
    door: Arc<dyn Door>,
    connected: Arc<Connected>,
}

impl BrokerEventHandler for Hook {
    fn on_client_connect<'a>(
        &'a self,
        event: ClientConnectEvent,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.connected.came(&event.client_id, event.user_id.as_deref().unwrap_or_default());
        Box::pin(async {})
    }

    fn on_client_disconnect<'a>(
        &'a self,
        event: ClientDisconnectEvent,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.connected.went(&event.client_id);
        Box::pin(async {})
    }

    fn on_client_publish<'a>(
        &'a self,
        event: ClientPublishEvent,
    ) -> Pin<Box<dyn Future<Output = PublishAction> + Send + 'a>> {
        Box::pin(async move {
            if *event.client_id == *self.house_client {
                return PublishAction::Continue;
            }
            let acknowledged = event.qos != QoS::AtMostOnce;
            let verdict =
                self.door.publication(&event.topic, event.payload.clone(), event.retain, acknowledged).await;
            match verdict {
                Verdict::Pass => PublishAction::Continue,
                Verdict::Consume => PublishAction::Handled,
                Verdict::Withhold => {
                    // What is routed with QoS 0 is not acknowledged, so the sender keeps what it sent.
                    let mut packet = PublishPacket::new(&*event.topic, event.payload, QoS::AtMostOnce);
                    packet.retain = event.retain;
                    PublishAction::Transform(packet)
                }
            }
        })
    }
}

struct Guard {
    house: Credential,
    clients: BTreeMap<String, Client>,
    connected: Arc<Connected>,
}

impl Guard {
    /// Why the client is not let in.
    async fn check(&self, connect: &ConnectPacket) -> Result<(), String> {
        let user = connect.username.as_deref().ok_or("it gives no user name")?;
        let password = connect.password.as_deref().unwrap_or_default();
        if self.house.matches(user, password) {
            let itself = *connect.client_id == *user;
            return if itself { Ok(()) } else { Err("its client id is not the house's".to_owned()) };
        }
        if *connect.client_id == *self.house.username() {
            return Err("the client id is the house's".to_owned());
        }
        let client = self.clients.get(user).ok_or("there is no such user")?;
        let (name, path) = (user.to_owned(), client.password_file.clone());
        let read = tokio::task::spawn_blocking(move || credential::read(&name, &path)).await;
        let expected = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        if !expected.matches(user, password) {
            return Err("the password is wrong".to_owned());
        }
        if self.connected.is_of_another(&connect.client_id, user) {
            return Err(format!(
                "the client id `{}` is in use by another user",
                connect.client_id.escape_default()
            ));
        }
        Ok(())
    }

    fn is_house(&self, user: Option<&str>) -> bool {
        user == Some(self.house.username())
    }

    fn rights(&self, user: Option<&str>) -> Option<&Rights> {
        Some(&self.clients.get(user?)?.rights)
    }
}

impl AuthProvider for Guard {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        from: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = mqtt5::error::Result<AuthResult>> + Send + 'a>> {
        Box::pin(async move {
            let user = connect.username.as_deref();
            match self.check(connect).await {
                Ok(()) => Ok(AuthResult::success_with_user(user.unwrap_or_default())),
                Err(why) => {
                    tracing::warn!(%from, user, why, "a client is not let in");
                    Ok(AuthResult::fail(ReasonCode::BadUsernameOrPassword))
                }
            }
        })
    }

    fn authorize_publish<'a>(
        &'a self,
        client: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        let allowed =
            self.is_house(user) || self.rights(user).is_some_and(|rights| rights.may_publish(topic));
        if !allowed {
            tracing::warn!(client, user, topic, "a client may not publish there");
        }
        Box::pin(async move { allowed })
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client: &str,
        user: Option<&'a str>,
        filter: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        let allowed =
            self.is_house(user) || self.rights(user).is_some_and(|rights| rights.may_subscribe(filter));
        if !allowed {
            tracing::warn!(client, user, filter, "a client may not subscribe to that");
        }
        Box::pin(async move { allowed })
    }
}
