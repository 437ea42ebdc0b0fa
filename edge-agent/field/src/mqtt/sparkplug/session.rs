//! One connection to the broker for Sparkplug, over `rumqttc` (MQTT 3.1.1).
//!
//! A client for each connection, thrown away with it: what was under way is of no use in the next one, which begins
//! with births.
//!
//! Never: decodes a payload.

use super::node::Message;
use super::run::Broker;
use rumqttc::{
    AsyncClient, ConnectionError, Event, LastWill, MqttOptions, Packet, QoS, StateError, SubscribeFilter,
    TlsConfiguration, Transport,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Messages that wait inside the library. What does not fit waits in [`Session::queue`].
const REQUESTS: usize = 256;
/// Events on their way from the library; at the bound it waits, and the broker with it.
const EVENTS: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The longest packet, bytes: a house of a thousand rooms tells less than a tenth of it in one birth.
const MAX_PACKET: usize = 1024 * 1024;
/// The topic and the packet's own fields, bytes, at most.
const OVERHEAD: usize = 1024;
/// How long saying good-bye may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// One connection.
pub(super) struct Session {
    client: AsyncClient,
    events: mpsc::Receiver<Result<Event, ConnectionError>>,
    /// The library's loop; it ends with the session.
    _polling: AbortOnDropHandle<()>,
    /// What the library had no room for yet, in order. No updates are taken meanwhile, so this is bounded by the
    /// births of the house and one batch.
    queue: VecDeque<Message>,
}

impl Session {
    /// Begins to connect.
    pub(super) fn open(broker: &Broker, will: Message) -> Self {
        let mut options = MqttOptions::new(&broker.client_id, &broker.host, broker.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            // Sections 2.5 and 5.4: no session outlives its connection.
            .set_clean_session(true)
            .set_max_packet_size(MAX_PACKET, MAX_PACKET)
            .set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, false));
        if let Some(credential) = &broker.credential {
            options.set_credentials(credential.username(), credential.password());
        }
        if let Some(tls) = &broker.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        let (client, mut connection) = AsyncClient::new(options, REQUESTS);
        let (sender, events) = mpsc::channel(EVENTS);
        // A task of its own: the library's poll is not made to be dropped half-way.
        let polling = tokio::spawn(async move {
            loop {
                let event = connection.poll().await;
                let over = event.is_err();
                if sender.send(event).await.is_err() || over {
                    break;
                }
            }
        });
        Self { client, events, _polling: AbortOnDropHandle::new(polling), queue: VecDeque::new() }
    }

    /// The next event, or why the connection is over. May be dropped while it waits.
    pub(super) async fn event(&mut self, broker: &Broker) -> Result<Event, String> {
        match self.events.recv().await {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(in_words(&error, broker)),
            None => Err("the client stopped".to_owned()),
        }
    }

    /// Subscribes to `filters`, in one packet and with QoS 1.
    pub(super) fn subscribe(&self, filters: Vec<String>) -> Result<(), String> {
        let filters = filters.into_iter().map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).map_err(|_| "the subscriptions can't be sent".to_owned())
    }

    /// True where everything has been handed over: updates may be taken.
    pub(super) fn idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Publishes `message` after those before it.
    ///
    /// # Errors
    /// It is longer than any broker is sent; nothing that follows could be understood without it.
    pub(super) fn publish(&mut self, message: Message) -> Result<(), String> {
        if message.payload.len() + OVERHEAD > MAX_PACKET {
            return Err(format!("a message of {} bytes on {}", message.payload.len(), message.topic));
        }
        self.queue.push_back(message);
        self.pump();
        Ok(())
    }

    /// Hands over what the library has room for. To be called after each event.
    pub(super) fn pump(&mut self) {
        while let Some(message) = self.queue.front() {
            let qos = if message.at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            if self.client.try_publish(&message.topic, qos, false, message.payload.as_slice()).is_err() {
                // Full: each event that the library reports makes room.
                return;
            }
            self.queue.pop_front();
        }
    }

    /// Leaves on purpose: the death first, and DISCONNECT when the broker has it (section 5.5). Where nothing was
    /// said there is no death to say, and the connection is just dropped: the broker then publishes the will.
    pub(super) async fn farewell(mut self, death: Option<Message>) {
        let Some(death) = death else { return };
        let bye = async {
            self.publish(death).ok()?;
            while let Some(Ok(event)) = self.events.recv().await {
                self.pump();
                match event {
                    // Deaths are the only messages that are acknowledged.
                    Event::Incoming(Packet::PubAck(_)) => self.client.disconnect().await.ok()?,
                    Event::Outgoing(rumqttc::Outgoing::Disconnect) => break,
                    _ => {}
                }
            }
            Some(())
        };
        if tokio::time::timeout(FAREWELL, bye).await.is_err() {
            tracing::warn!("the Sparkplug broker did not take the good-bye in time");
        }
    }
}

/// The library's error, with the place.
fn in_words(error: &ConnectionError, broker: &Broker) -> String {
    let place = broker.place();
    match error {
        ConnectionError::Io(error) => format!("{place}: {error}"),
        ConnectionError::Tls(error) => format!("{place}: TLS: {error}"),
        ConnectionError::NetworkTimeout => format!("{place} does not answer"),
        ConnectionError::ConnectionRefused(code) => format!("{place} refuses the client: {code:?}"),
        ConnectionError::MqttState(StateError::AwaitPingResp) => format!("{place} answers no more pings"),
        ConnectionError::MqttState(StateError::ConnectionAborted) => format!("{place} closed the connection"),
        other => format!("{place}: {other}"),
    }
}
