//! The shell around the edge node: its connection, its clock, and the way of commands to the house.
//!
//! Why a connection of its own: Sparkplug's rules for sessions (clean, with a death as will) are not those of the
//! house's topics, and the system that receives it is often another broker.
//!
//! Never: keeps anything for a broker that is away; births tell everything.

use super::SPARKPLUG_LINK;
use super::bdseq::BdSeqStore;
use super::feed::{Fed, UpdatesQueue};
use super::house::Picture;
use super::names::NodeNames;
use super::node::{EdgeNode, Message, Out};
use super::session::Session;
use crate::mqtt::backoff::Backoff;
use crate::mqtt::client::Target;
use crate::mqtt::config::MqttVersion;
use crate::mqtt::wire::{Event, Message as Incoming};
use engawa_model::{
    Action, Command, CommandKey, CommandSource, Fact, LinkId, Observation, ObservationSink, SinkClosed,
    Timestamp,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Builds the picture of the house as it is now; see [`super::picture`]. Called from the connection's task: it must
/// not block for long.
pub type SparkplugSnapshot = Arc<dyn Fn() -> Picture + Send + Sync>;

/// Where to connect, and as whom; see [`crate::mqtt::site_broker`].
#[derive(Clone)]
pub struct Broker {
    pub(super) target: Target,
}

impl Broker {
    pub(in crate::mqtt) fn new(target: Target) -> Self {
        Self { target }
    }

    /// A broker without TLS that asks for no name, in MQTT 3.1.1. `client_id` must be nobody else's there.
    pub fn plain(host: impl Into<String>, port: u16, client_id: impl Into<String>) -> Self {
        let target = Target::new(host.into(), port, client_id.into(), MqttVersion::V311);
        Self { target }
    }

    pub(super) fn place(&self) -> String {
        self.target.place()
    }
}

/// What Sparkplug is made of.
pub struct SparkplugParts {
    /// The node's names; see [`super::SparkplugConfig::names`].
    pub names: NodeNames,
    /// The broker.
    pub broker: Broker,
    /// The house's state as a whole.
    pub snapshot: SparkplugSnapshot,
    /// The house's state as it changes.
    pub updates: UpdatesQueue,
    /// Where commands and the link's health go.
    pub sink: Arc<dyn ObservationSink>,
    /// Keeps the number of the last session.
    pub bd_seq: Arc<dyn BdSeqStore>,
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct SparkplugCounters {
    /// Messages handed to the connection.
    pub published: AtomicU64,
    /// Births of the node: one for each session, one for each that a host asked for.
    pub births: AtomicU64,
    /// Writes that hosts asked for.
    pub commands: AtomicU64,
    /// Messages that could not be used.
    pub refused: AtomicU64,
}

/// Sparkplug, ready to run.
pub struct Sparkplug {
    broker: Broker,
    node: EdgeNode,
    look: Looker,
    sink: Arc<dyn ObservationSink>,
    bd_seq: Arc<dyn BdSeqStore>,
    counters: Arc<SparkplugCounters>,
    arrivals: u64,
}

/// What it takes to see the whole house.
struct Looker {
    updates: UpdatesQueue,
    snapshot: SparkplugSnapshot,
}

impl Looker {
    /// Everything that waits is older than what is seen now.
    fn look(&mut self) -> Picture {
        self.updates.drain();
        (self.snapshot)()
    }
}

/// Why a session ended.
enum End {
    Cancelled,
    /// The primary host is gone.
    HostGone(Option<Message>),
    Lost(String),
    Closed(SinkClosed),
}

impl From<String> for End {
    fn from(why: String) -> Self {
        Self::Lost(why)
    }
}

impl Sparkplug {
    /// Puts the parts together. Nothing is connected or read before [`Sparkplug::run`].
    pub fn new(parts: SparkplugParts) -> Self {
        let SparkplugParts { names, broker, snapshot, updates, sink, bd_seq } = parts;
        Self {
            broker,
            node: EdgeNode::new(names, None),
            look: Looker { updates, snapshot },
            sink,
            bd_seq,
            counters: Arc::default(),
            arrivals: 0,
        }
    }

    /// The counters, for the metrics.
    pub fn counters(&self) -> Arc<SparkplugCounters> {
        Arc::clone(&self.counters)
    }

    /// Connects, and connects again, until `cancel`; then says that the node is gone, and stops.
    ///
    /// # Errors
    /// The house takes no more observations.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), SinkClosed> {
        self.node = EdgeNode::new(self.node.names().clone(), self.last_number().await);
        let mut backoff = Backoff::default();
        loop {
            let (number, will) = self.node.connect(Timestamp::now());
            self.keep_number(number).await;
            let mut since = None;
            let why = match Session::open(&self.broker.target, will).await {
                Err(why) => why,
                Ok(mut session) => {
                    let end = match self.serve(&mut session, &mut since, &cancel).await {
                        Ok(never) => match never {},
                        Err(end) => end,
                    };
                    match end {
                        End::Closed(closed) => return Err(closed),
                        End::Cancelled => {
                            session.farewell(self.node.farewell(Timestamp::now())).await;
                            return Ok(());
                        }
                        End::HostGone(death) => {
                            session.farewell(death).await;
                            "the primary host is offline".to_owned()
                        }
                        End::Lost(why) => why,
                    }
                }
            };
            self.node.disconnected();
            let held = since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
            let pause = backoff.pause(held, rand::random());
            let why = format!("{}: {why}", self.broker.place());
            tracing::warn!(why, pause_ms = pause.as_millis(), "Sparkplug is not connected");
            self.link(false, why).await?;
            if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn serve(
        &mut self,
        session: &mut Session,
        since: &mut Option<Instant>,
        cancel: &CancellationToken,
    ) -> Result<std::convert::Infallible, End> {
        loop {
            let wake = self.node.next_wake();
            let wake =
                wake.map(|at| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default());
            let was_born = self.node.born();
            let out = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(End::Cancelled),
                event = session.event() => {
                    let event = event.map_err(|failure| {
                        End::Lost(self.broker.target.explain(&session.dialled, &failure))
                    })?;
                    let out = self.event(session, event, since).await?;
                    session.pump();
                    out
                }
                () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {
                    self.node.tick(Timestamp::now(), &mut || self.look.look())
                }
                // While a slow broker takes what there is, or none is there, updates overflow, which is all right.
                fed = self.look.updates.next(), if was_born && session.idle() => match fed {
                    Fed::Updates(updates) => {
                        self.node.changed(updates, Timestamp::now(), &mut || self.look.look())
                    }
                    Fed::Overflowed => self.node.catch_up(Timestamp::now(), &mut || self.look.look()),
                },
            };
            self.carry_out(session, out, cancel).await?;
            if self.node.born() && !was_born {
                self.link(true, format!("connected to {}", self.broker.place()))
                    .await
                    .map_err(End::Closed)?;
            }
        }
    }

    async fn event(
        &mut self,
        session: &mut Session,
        event: Event,
        since: &mut Option<Instant>,
    ) -> Result<Vec<Out>, End> {
        let out = match event {
            Event::Greeted { .. } => {
                *since = Some(Instant::now());
                self.broker.target.greeted(session.dialled.dialect);
                session.subscribe(self.node.names().filters())?;
                vec![]
            }
            Event::Subscribed { refused } => {
                for (filter, refused) in self.node.names().filters().iter().zip(refused) {
                    if !refused {
                        continue;
                    }
                    let why = format!("it refuses the subscription to {filter}");
                    if self.node.names().state().as_ref() == Some(filter) {
                        // The primary host would be waited for without end.
                        return Err(End::Lost(why));
                    }
                    tracing::warn!(why, "hosts can't give commands");
                }
                let out = self.node.connected(Timestamp::now(), &mut || self.look.look());
                if !self.node.born() {
                    let detail = format!("connected to {}; waits for the primary host", self.broker.place());
                    self.link(true, detail).await.map_err(End::Closed)?;
                }
                out
            }
            Event::Message(message) => {
                let Incoming { topic, payload, retained, receipt } = message;
                if let Some(receipt) = receipt {
                    session.acknowledge(receipt)?;
                }
                self.node.heard(&topic, &payload, retained, Timestamp::now(), &mut || self.look.look())
            }
            _ => vec![],
        };
        Ok(out)
    }

    async fn carry_out(
        &mut self,
        session: &mut Session,
        out: Vec<Out>,
        cancel: &CancellationToken,
    ) -> Result<(), End> {
        let birth = self.node.names().of_node("NBIRTH");
        let mut death = None;
        for out in out {
            match out {
                Out::Publish(message) if message.at_least_once => death = Some(message),
                Out::Publish(message) => {
                    let counted =
                        [(&self.counters.published, true), (&self.counters.births, message.topic == birth)];
                    counted.iter().filter(|(_, counts)| *counts).for_each(|(counter, _)| add(counter));
                    session.publish(message)?;
                }
                Out::Ask { point, value } => {
                    add(&self.counters.commands);
                    let now = Timestamp::now();
                    self.arrivals += 1;
                    // A DCMD has no key of its own; with QoS 0 it comes once.
                    let key = format!("sparkplug-{}-{}", now.as_millisecond(), self.arrivals);
                    let command = Command {
                        key: CommandKey::new(key),
                        source: CommandSource::Mqtt,
                        expires: None,
                        action: Action::SetPoint { point, value },
                    };
                    let told = self.sink.report(Observation::new(now, Fact::Asked { command }));
                    match cancel.run_until_cancelled(told).await {
                        None => return Err(End::Cancelled),
                        Some(told) => told.map_err(End::Closed)?,
                    }
                }
                Out::Refused { topic, why } => {
                    add(&self.counters.refused);
                    tracing::warn!(topic, why, "a Sparkplug message can't be used");
                }
                Out::Leave => return Err(End::HostGone(death)),
            }
        }
        Ok(())
    }

    async fn link(&self, up: bool, detail: String) -> Result<(), SinkClosed> {
        let fact = Fact::Link { link: LinkId::from(SPARKPLUG_LINK), up, detail };
        self.sink.report(Observation::new(Timestamp::now(), fact)).await
    }

    async fn last_number(&self) -> Option<u8> {
        let store = Arc::clone(&self.bd_seq);
        match tokio::task::spawn_blocking(move || store.load()).await {
            Ok(Ok(number)) => number,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the number of the last Sparkplug session can't be read: begins at 0");
                None
            }
            Err(_) => None,
        }
    }

    /// A number that can't be kept is used all the same: the worst is a late death that a host takes for a new one.
    async fn keep_number(&self, number: u8) {
        let store = Arc::clone(&self.bd_seq);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.store(number)).await {
            tracing::warn!(%error, number, "the number of the Sparkplug session can't be kept");
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
