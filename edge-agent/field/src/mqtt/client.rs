//! The connection to a broker, over `rumqttc` (MQTT 3.1.1, which every broker speaks).
//!
//! Why so little is left to the library: it forgets what was under way when the broker has lost the session,
//! and a packet id that is in use twice can stop it for good. So each connection gets a client of its own,
//! thrown away with the connection; what must not be lost is kept here ([`Outbox`]) and at the desk.
//!
//! Terms: the *window* is what has been published and not acknowledged yet.
//!
//! Incoming messages of QoS 1 are acknowledged by hand, each when the desk says that it is durable; the
//! order of the acknowledgements is that of the messages.
//!
//! Never: decodes a payload.

use super::backoff::Backoff;
use super::desk::{Incoming, ToDesk};
use super::feed::{Fed, Feed};
use super::home_assistant::HomeAssistant;
use super::house::{OFFLINE, ONLINE, Publication};
use super::outbox::{Outbox, Outgoing};
use super::topic::HouseTopics;
use super::{Counters, Credential, Snapshot};
use engawa_model::Timestamp;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use rumqttc::{
    AsyncClient, ConnectionError, Event, LastWill, MqttOptions, Packet, Publish, QoS, StateError,
    SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Publications that may wait for their acknowledgement at once.
const WINDOW: usize = 100;
/// Packet ids that the library may use: far more than the window, so that none is in use twice even where a
/// broker acknowledges out of order.
const PACKET_IDS: u16 = 2_000;
/// Requests that wait inside the library: more than the window, the acknowledgements (bounded by the desk's
/// queue and window) and the subscriptions together.
const REQUESTS: usize = 4_096;
/// Events on their way from the library; at the bound it waits, and the broker with it.
const EVENTS: usize = 64;
/// Filters in one SUBSCRIBE.
const FILTERS: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The longest packet, bytes; the same as at the gateway's own broker.
const MAX_PACKET: usize = 1024 * 1024;
/// How long saying good-bye may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where to connect, and as whom.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) client_id: String,
    pub(super) credential: Option<Credential>,
    /// True at a site's broker: it keeps for us what comes while we are away.
    pub(super) persistent: bool,
    /// What to subscribe to; empty at the gateway's own broker, whose hook brings everything.
    pub(super) filters: Vec<String>,
}

/// The connection and what waits for it.
pub(super) struct Connection {
    pub(super) target: Target,
    pub(super) topics: HouseTopics,
    pub(super) snapshot: Snapshot,
    pub(super) feed: Feed,
    /// From the desk: writes and answers.
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
    pub(super) desk: mpsc::Sender<ToDesk>,
    pub(super) counters: Arc<Counters>,
    pub(super) outbox: Outbox,
    /// The house as Home Assistant discovers it.
    pub(super) home: Option<Arc<HomeAssistant>>,
}

/// Why a session ended.
enum End {
    Cancelled,
    Lost(String),
}

type Acknowledgement = BoxFuture<'static, Option<Publish>>;

/// One session: a client of the library, and what is under way on it.
struct Session {
    client: AsyncClient,
    events: mpsc::Receiver<Result<Event, ConnectionError>>,
    /// The library's loop; it ends with the session.
    _polling: AbortOnDropHandle<()>,
    /// Handed to the library, not numbered yet.
    handed: VecDeque<Outgoing>,
    /// Numbered, not acknowledged yet.
    numbered: HashMap<u16, Outgoing>,
    acknowledgements: FuturesOrdered<Acknowledgement>,
    connected: bool,
    /// SUBACKs that are still to come.
    subscriptions: usize,
    refused: usize,
}

impl Connection {
    /// Connects, and connects again, until `cancel`.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let mut session = Session::open(&self.target, &self.topics);
            let mut since = None;
            let end = self.serve(&mut session, &mut since, &cancel).await;
            let why = match end {
                End::Cancelled => return self.farewell(session).await,
                End::Lost(why) => why,
            };
            let unacknowledged = session.unacknowledged();
            drop(session);
            self.outbox.take_back(unacknowledged);
            let held = since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
            let pause = backoff.pause(held, rand::random());
            tracing::warn!(why, pause_ms = pause.as_millis(), "the broker can't be reached");
            let told = self.desk.send(ToDesk::Link { up: false, detail: why });
            if cancel.run_until_cancelled(told).await.is_none_or(|told| told.is_err()) {
                return;
            }
            if cancel.run_until_cancelled(self.wait(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Waits for `pause`; what comes meanwhile is kept as far as it is worth it.
    async fn wait(&mut self, pause: Duration) {
        let deadline = tokio::time::Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return,
                fed = self.feed.next() => self.fed(fed),
                Some(outgoing) = self.outgoing.recv() => self.queue(outgoing),
            }
            // State is in the snapshot that follows; only answers wait for the next connection.
            self.outbox.keep_only_events();
        }
    }

    fn fed(&mut self, fed: Fed) {
        match fed {
            Fed::Publication(publication) => self.outbox.push(publication),
            Fed::Overflowed => self.republish(),
        }
    }

    fn queue(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::House(publication) => self.outbox.push(publication),
            Outgoing::Write { key, publication, expires } => {
                self.outbox.push_write(key, publication, expires)
            }
        }
    }

    fn republish(&mut self) {
        for publication in self.feed.drain() {
            self.outbox.push(publication);
        }
        for publication in (self.snapshot)() {
            self.outbox.push(publication);
        }
    }

    async fn serve(
        &mut self,
        session: &mut Session,
        since: &mut Option<Instant>,
        cancel: &CancellationToken,
    ) -> End {
        loop {
            self.pump(session);
            tokio::select! {
                biased;
                () = cancel.cancelled() => return End::Cancelled,
                Some(publish) = session.acknowledgements.next() => {
                    // No answer means that the house has stopped: the broker keeps the message.
                    if let Some(publish) = publish && session.client.try_ack(&publish).is_err() {
                        return End::Lost("too many acknowledgements are waiting".to_owned());
                    }
                }
                event = session.events.recv() => {
                    let handled = match event {
                        Some(Ok(event)) => self.event(session, event, since, cancel).await,
                        Some(Err(error)) => Err(End::Lost(in_words(&error, &self.target))),
                        None => Err(End::Lost("the client stopped".to_owned())),
                    };
                    if let Err(end) = handled {
                        return end;
                    }
                }
                Some(outgoing) = self.outgoing.recv() => self.queue(outgoing),
                fed = self.feed.next() => self.fed(fed),
            }
        }
    }

    /// Hands over what fits into the window.
    fn pump(&mut self, session: &mut Session) {
        while session.connected && session.handed.len() + session.numbered.len() < WINDOW {
            let Some(outgoing) = self.outbox.pop(Timestamp::now()) else { break };
            let Publication { topic, payload, retain } = outgoing.publication().clone();
            match session.client.try_publish(&topic, QoS::AtLeastOnce, retain, payload) {
                Ok(()) => session.handed.push_back(outgoing),
                Err(_) => {
                    // The library's queue has room (see REQUESTS), so it is the topic that it can't take.
                    Counters::add(&self.counters.publications_lost);
                    tracing::warn!(topic, "a topic can't be published to");
                }
            }
        }
        let dropped = self.outbox.take_dropped();
        if dropped > 0 {
            Counters::add_many(&self.counters.publications_lost, dropped);
            tracing::warn!(dropped, "publications were dropped: the broker takes them too slowly");
        }
    }

    async fn event(
        &mut self,
        session: &mut Session,
        event: Event,
        since: &mut Option<Instant>,
        cancel: &CancellationToken,
    ) -> Result<(), End> {
        let tell = match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                *since = Some(Instant::now());
                session.subscribe(&self.target.filters)?;
                self.outbox.keep_only_events();
                self.republish();
                for announcement in self.home.iter().flat_map(|home| home.announcements()) {
                    self.outbox.push(announcement);
                }
                // Last, so that "online" means: the picture is complete.
                if self.topics.is_open() {
                    self.outbox.push(Publication::state(self.topics.status(), ONLINE));
                }
                session.connected = true;
                (session.subscriptions == 0).then(|| session.up(&self.target))
            }
            Event::Incoming(Packet::SubAck(ack)) => {
                session.subscriptions = session.subscriptions.saturating_sub(1);
                let refused = ack.return_codes.iter().filter(|code| **code == SubscribeReasonCode::Failure);
                session.refused += refused.count();
                (session.subscriptions == 0).then(|| session.up(&self.target))
            }
            Event::Outgoing(rumqttc::Outgoing::Publish(id)) => {
                if let Some(outgoing) = session.handed.pop_front() {
                    session.numbered.insert(id, outgoing);
                }
                None
            }
            Event::Incoming(Packet::PubAck(ack)) => match session.numbered.remove(&ack.pkid) {
                Some(Outgoing::Write { key, .. }) => Some(ToDesk::Delivered(key)),
                _ => None,
            },
            Event::Incoming(Packet::Publish(publish)) => {
                return self.incoming(session, publish, cancel).await;
            }
            _ => None,
        };
        if let Some(tell) = tell
            && cancel.run_until_cancelled(self.desk.send(tell)).await.is_none_or(|told| told.is_err())
        {
            return Err(End::Cancelled);
        }
        Ok(())
    }

    async fn incoming(
        &mut self,
        session: &mut Session,
        publish: Publish,
        cancel: &CancellationToken,
    ) -> Result<(), End> {
        if let Some(home) = self.home.as_ref().filter(|home| home.listens(&publish.topic)) {
            for announcement in home.hear(&publish.topic, &publish.payload, publish.retain) {
                self.outbox.push(announcement);
            }
            if publish.qos != QoS::AtMostOnce {
                // Nothing of it has to be kept; but acknowledgements go in the order of the messages.
                session.acknowledgements.push_back(Box::pin(std::future::ready(Some(publish))));
            }
            return Ok(());
        }
        let (topic, payload) = (publish.topic.clone(), publish.payload.clone());
        let mut message = Incoming { topic, payload, retained: publish.retain, durable: None };
        if publish.qos == QoS::AtMostOnce {
            // Nobody sends it again, and nobody may wait for it: at the bound it is dropped and counted.
            if self.desk.try_send(ToDesk::Message(message)).is_err() {
                Counters::add(&self.counters.messages_dropped);
            }
            return Ok(());
        }
        let (durable, confirmed) = oneshot::channel();
        message.durable = Some(durable);
        let handed_over = self.desk.send(ToDesk::Message(message));
        if cancel.run_until_cancelled(handed_over).await.is_none_or(|sent| sent.is_err()) {
            return Err(End::Cancelled);
        }
        session.acknowledgements.push_back(Box::pin(async move { confirmed.await.ok().map(|()| publish) }));
        Ok(())
    }

    /// Says "offline" oneself: after a proper good-bye the broker does not send the last will.
    async fn farewell(&self, mut session: Session) {
        if !session.connected {
            return;
        }
        if !self.topics.is_open() {
            // Nobody is told, so there is nothing to wait for.
            let _ = session.client.try_disconnect();
            return;
        }
        let bye = async {
            session.client.publish(self.topics.status(), QoS::AtLeastOnce, true, OFFLINE).await.ok()?;
            let mut ours = None;
            while let Some(Ok(event)) = session.events.recv().await {
                match event {
                    Event::Outgoing(rumqttc::Outgoing::Publish(id)) => {
                        // Those handed over before come first.
                        let before = session.handed.pop_front();
                        ours = if before.is_some() { ours } else { Some(id) };
                    }
                    Event::Incoming(Packet::PubAck(ack)) if Some(ack.pkid) == ours => {
                        session.client.disconnect().await.ok()?;
                    }
                    Event::Outgoing(rumqttc::Outgoing::Disconnect) => break,
                    _ => {}
                }
            }
            Some(())
        };
        if tokio::time::timeout(FAREWELL, bye).await.is_err() {
            tracing::warn!("the broker did not take the good-bye in time");
        }
    }
}

impl Session {
    fn open(target: &Target, topics: &HouseTopics) -> Self {
        let mut options = MqttOptions::new(&target.client_id, &target.host, target.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(!target.persistent)
            .set_manual_acks(true)
            .set_inflight(PACKET_IDS)
            .set_max_packet_size(MAX_PACKET, MAX_PACKET);
        if topics.is_open() {
            options.set_last_will(LastWill::new(topics.status(), OFFLINE, QoS::AtLeastOnce, true));
        }
        if let Some(credential) = &target.credential {
            options.set_credentials(credential.username(), credential.password());
        }
        if let Some(tls) = &target.tls {
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
        Self {
            client,
            events,
            _polling: AbortOnDropHandle::new(polling),
            handed: VecDeque::new(),
            numbered: HashMap::new(),
            acknowledgements: FuturesOrdered::new(),
            connected: false,
            subscriptions: 0,
            refused: 0,
        }
    }

    fn subscribe(&mut self, filters: &[String]) -> Result<(), End> {
        for chunk in filters.chunks(FILTERS) {
            let chunk = chunk.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
            if self.client.try_subscribe_many(chunk).is_err() {
                return Err(End::Lost("a device's topic can't be subscribed to".to_owned()));
            }
            self.subscriptions += 1;
        }
        Ok(())
    }

    fn up(&self, target: &Target) -> ToDesk {
        let mut detail = format!("connected to {}:{}", target.host, target.port);
        if self.refused > 0 {
            tracing::warn!(refused = self.refused, "the broker refuses subscriptions");
            detail = format!("{detail}; it refuses {} subscriptions", self.refused);
        }
        ToDesk::Link { up: true, detail }
    }

    /// What may or may not have reached the broker, oldest first as far as that is known.
    fn unacknowledged(&mut self) -> Vec<Outgoing> {
        let mut numbered: Vec<_> = self.numbered.drain().collect();
        numbered.sort_unstable_by_key(|(id, _)| *id);
        numbered.into_iter().map(|(_, outgoing)| outgoing).chain(self.handed.drain(..)).collect()
    }
}

/// The library's error, with the place.
fn in_words(error: &ConnectionError, target: &Target) -> String {
    let place = format!("{}:{}", target.host, target.port);
    match error {
        ConnectionError::Io(error) => format!("{place}: {error}"),
        ConnectionError::Tls(error) => format!("{place}: TLS: {error}"),
        ConnectionError::NetworkTimeout => format!("{place} does not answer"),
        ConnectionError::ConnectionRefused(code) => format!("{place} refuses the client: {code:?}"),
        ConnectionError::MqttState(StateError::AwaitPingResp) => format!("{place} answers no more pings"),
        ConnectionError::MqttState(StateError::CollisionTimeout) => {
            format!("{place} left a publication without acknowledgement")
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => format!("{place} closed the connection"),
        other => format!("{place}: {other}"),
    }
}
