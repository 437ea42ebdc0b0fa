//! An MQTT client that gives up nothing: what it is told to publish is published, at least once, until the broker has
//! acknowledged it; across broken connections and restarts of the broker.
//!
//! A new client of the library is made for each connection: what is under way is known here, not there.

use crate::configuration::PASSWORD;
use crate::outbox::{MOST_FLYING, Outbox};
use crate::plan::Charge;
use crate::played::Happened;
use crate::tally::Tally;
use anyhow::{Context, bail};
use rumqttc::{AsyncClient, ConnectReturnCode, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(300);
/// A broker that leaves a message unacknowledged for this long is connected to anew.
const STALLED: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Requests that the library may hold: all that flies, and some of its own.
const REQUESTS: usize = 2 * MOST_FLYING;

/// The client.
pub(crate) struct Publisher {
    id: &'static str,
    broker: SocketAddr,
    outbox: Mutex<Outbox>,
    news: Notify,
    tally: Arc<Tally>,
    /// How often it has connected.
    connections: watch::Sender<u64>,
}

/// What one connection knows.
#[derive(Default)]
struct Session {
    connected: bool,
    /// Messages that were given to the library and have no packet id yet, in order.
    handed: VecDeque<u64>,
    /// Packet id to message, and since when.
    flying: HashMap<u16, (u64, Instant)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Publisher {
    /// A client with this id for the broker there.
    pub(crate) fn new(id: &'static str, broker: SocketAddr, tally: Arc<Tally>) -> Arc<Self> {
        let (outbox, news, connections) = (Mutex::default(), Notify::new(), watch::Sender::new(0));
        Arc::new(Self { id, broker, outbox, news, tally, connections })
    }

    /// Publishes with QoS 1.
    pub(crate) fn publish(&self, topic: String, payload: Vec<u8>, charge: Option<Charge>) {
        lock(&self.outbox).push(topic, payload, charge);
        self.news.notify_one();
    }

    /// Messages without an acknowledgement.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.outbox).len()
    }

    /// Changes with each new connection.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.connections.subscribe()
    }

    /// Keeps the connection until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let Some(ended) = stop.run_until_cancelled(self.session()).await else { return };
            if let Err(error) = ended {
                tracing::debug!(client = self.id, error = format!("{error:#}"), "no MQTT connection");
            }
            lock(&self.outbox).grounded();
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return;
            }
        }
    }

    async fn session(&self) -> anyhow::Result<()> {
        let mut options = MqttOptions::new(self.id, self.broker.ip().to_string(), self.broker.port());
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_credentials(self.id, PASSWORD);
        let (client, mut events) = AsyncClient::new(options, REQUESTS);
        let session = Mutex::new(Session::default());
        // Both go on until one fails; neither is dropped half way and begun again.
        tokio::select! {
            ended = self.listen(&mut events, &session) => ended,
            ended = self.feed(&client, &session) => ended,
        }
    }

    async fn listen(&self, events: &mut EventLoop, session: &Mutex<Session>) -> anyhow::Result<()> {
        loop {
            match events.poll().await.context("the MQTT connection broke")? {
                Event::Incoming(Packet::ConnAck(answer)) => {
                    if answer.code != ConnectReturnCode::Success {
                        bail!("the broker refuses: {:?}", answer.code);
                    }
                    lock(session).connected = true;
                    self.connections.send_modify(|count| *count += 1);
                    self.news.notify_one();
                }
                Event::Outgoing(Outgoing::Publish(packet)) => {
                    let mut session = lock(session);
                    if let Some(id) = session.handed.pop_front() {
                        session.flying.insert(packet, (id, Instant::now()));
                    }
                }
                Event::Incoming(Packet::PubAck(answer)) => {
                    let message = lock(session).flying.remove(&answer.pkid);
                    let done = message.and_then(|(id, _)| lock(&self.outbox).acknowledged(id));
                    if let Some(charge) = done.and_then(|message| message.charge) {
                        self.tally.enter(&Happened::ChargeAcknowledged { key: charge.key });
                    }
                    self.news.notify_one();
                }
                _ => {}
            }
        }
    }

    async fn feed(&self, client: &AsyncClient, session: &Mutex<Session>) -> anyhow::Result<()> {
        loop {
            let connected = lock(session).connected;
            while let Some(message) = connected.then(|| lock(&self.outbox).next()).flatten() {
                if let Some(charge) = message.charge.as_ref().filter(|_| message.tries == 1) {
                    self.tally.charge(charge);
                }
                lock(session).handed.push_back(message.id);
                client
                    .publish(message.topic, QoS::AtLeastOnce, false, message.payload)
                    .await
                    .context("handing a message to the MQTT client")?;
            }
            let oldest = lock(session).flying.values().map(|(_, since)| *since).min();
            if oldest.is_some_and(|since| since.elapsed() > STALLED) {
                bail!("no PUBACK for {STALLED:?}");
            }
            // News, or a look at the clock: the time-out is not an error.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.news.notified()).await;
        }
    }
}
