//! One connection to a broker in MQTT 5 or 3.1.1, told in the same words; over `rumqttc`.
//!
//! Why so little is left to the library: it forgets what was under way when the broker has lost the session, and a
//! packet id that is in use twice can stop it for good. So each connection gets a client of its own, thrown away with
//! the connection; what must not be lost is kept by whoever uses it.
//!
//! Terms: the *greeting* is the broker's CONNACK. A *receipt* is what a message of QoS 1 is acknowledged with.
//!
//! Never: keeps anything from one connection to the next; decodes a payload.

mod v311;
mod v5;

use super::Credential;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Events on their way from the library; at the bound it waits, and the broker with it.
const EVENTS: usize = 64;
/// The longest packet, bytes; the same as at the gateway's own broker.
pub(super) const MAX_PACKET: usize = 1024 * 1024;
/// What a packet needs beside its topic and payload, bytes: header, lengths, packet id, properties.
const OVERHEAD: usize = 32;

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V311,
}

impl Dialect {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V5 => "MQTT 5",
            Self::V311 => "MQTT 3.1.1",
        }
    }
}

/// What the broker says when the connection ends without a good-bye.
#[derive(Clone, Debug)]
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
}

/// Where to connect, and as whom.
pub(super) struct Hello<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) client_id: &'a str,
    pub(super) credential: Option<&'a Credential>,
    pub(super) will: Option<Will>,
    /// How long the broker keeps the session for us; `None` for a clean one.
    pub(super) session: Option<Duration>,
    pub(super) keep_alive: Duration,
    /// Packet ids that may be in use at once.
    pub(super) in_flight: u16,
    /// Requests that wait inside the library.
    pub(super) requests: usize,
}

/// What happens on the connection.
#[derive(Debug)]
pub(super) enum Event {
    /// The broker has let us in. `most` is the longest packet that it takes, where it says so.
    Greeted { most: Option<usize> },
    /// The oldest publication of QoS 1 that has no packet id yet has got this one.
    Numbered(u16),
    /// A publication of QoS 0 is on its way: there is room for another.
    Sent,
    /// The broker has this publication, or refuses it for a reason.
    Acknowledged { id: u16, refused: Option<&'static str> },
    /// The oldest SUBSCRIBE without an answer has got it: how many of its filters are refused.
    Subscribed { refused: Vec<bool> },
    /// A message has come.
    Message(Message),
    /// Our good-bye is on its way.
    Left,
}

/// A message that has come.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) retained: bool,
    /// `None` for QoS 0.
    pub(super) receipt: Option<Receipt>,
}

/// What a message of QoS 1 is acknowledged with.
#[derive(Debug)]
pub(super) struct Receipt(u16);

/// Why the connection is over.
#[derive(Debug)]
pub(super) struct Failure {
    /// In words, without the place.
    pub(super) why: String,
    /// What it tells about the broker.
    pub(super) kind: FailureKind,
}

/// What a failure tells about the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It does not know this version of MQTT.
    Version,
    /// It was there and ended the connection without a greeting, as brokers do that don't know the version, and as TLS
    /// does that misses a certificate.
    Mute,
    /// Anything else.
    Other,
}

/// How a publication travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
}

/// The library can't take it: its queue is full, or the topic is none.
#[derive(Debug)]
pub(super) struct NotTaken;

enum Client {
    V5(rumqttc::v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// The connection.
pub(super) struct Wire {
    client: Client,
    events: mpsc::Receiver<Result<Event, Failure>>,
    /// The library's loop; it ends with the connection.
    _polling: AbortOnDropHandle<()>,
}

impl Wire {
    /// Begins to connect.
    pub(super) fn open(dialect: Dialect, hello: Hello<'_>) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let requests = hello.requests;
        // A task of its own: the library's poll is not made to be dropped half-way.
        let (client, polling) = match dialect {
            Dialect::V5 => {
                let (client, events) = rumqttc::v5::AsyncClient::new(v5::options(hello), requests);
                (Client::V5(client), tokio::spawn(v5::poll(events, sender)))
            }
            Dialect::V311 => {
                let (client, events) = rumqttc::AsyncClient::new(v311::options(hello), requests);
                (Client::V311(client), tokio::spawn(v311::poll(events, sender)))
            }
        };
        Self { client, events, _polling: AbortOnDropHandle::new(polling) }
    }

    /// The next event, or why the connection is over. May be dropped while it waits.
    pub(super) async fn event(&mut self) -> Result<Event, Failure> {
        let stopped = || Failure { why: "the client stopped".to_owned(), kind: FailureKind::Other };
        self.events.recv().await.unwrap_or_else(|| Err(stopped()))
    }

    /// Publishes; `expires_in` is how long the broker may keep it for a subscriber that is away, where it can be told.
    pub(super) fn publish(
        &self,
        topic: &str,
        payload: Vec<u8>,
        delivery: Delivery,
        retain: bool,
        expires_in: Option<Duration>,
    ) -> Result<(), NotTaken> {
        match &self.client {
            Client::V5(client) => v5::publish(client, topic, payload, delivery, retain, expires_in),
            Client::V311(client) => v311::publish(client, topic, payload, delivery, retain),
        }
    }

    /// Subscribes, in one packet.
    pub(super) fn subscribe(&self, filters: &[String], delivery: Delivery) -> Result<(), NotTaken> {
        match &self.client {
            Client::V5(client) => v5::subscribe(client, filters, delivery),
            Client::V311(client) => v311::subscribe(client, filters, delivery),
        }
    }

    /// Ends a subscription.
    pub(super) fn unsubscribe(&self, filter: &str) -> Result<(), NotTaken> {
        match &self.client {
            Client::V5(client) => client.try_unsubscribe(filter).map_err(|_| NotTaken),
            Client::V311(client) => client.try_unsubscribe(filter).map_err(|_| NotTaken),
        }
    }

    /// Acknowledges a message.
    pub(super) fn acknowledge(&self, receipt: Receipt) -> Result<(), NotTaken> {
        match &self.client {
            Client::V5(client) => v5::acknowledge(client, receipt.0),
            Client::V311(client) => v311::acknowledge(client, receipt.0),
        }
    }

    /// Says good-bye: the broker drops the will.
    pub(super) fn disconnect(&self) -> Result<(), NotTaken> {
        match &self.client {
            Client::V5(client) => client.try_disconnect().map_err(|_| NotTaken),
            Client::V311(client) => client.try_disconnect().map_err(|_| NotTaken),
        }
    }
}

/// True where a publication fits into a packet of `most` bytes.
pub(super) fn fits(topic: &str, payload: usize, most: usize) -> bool {
    topic.len().saturating_add(payload).saturating_add(OVERHEAD) <= most
}

/// What broke the stream, in words, and whether it was the other side that ended it.
fn broken(error: &io::Error) -> (String, bool) {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let by_them = matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
    match super::tls::in_words(error) {
        Some((why, alert)) => (why, alert),
        None => (error.to_string(), by_them),
    }
}
