//! The one place where messages become observations and orders become messages. Both ways in (the site's
//! broker through our client, the gateway's own broker through its hook) end here.
//!
//! Why one: the report-on-change filter, the unconfirmed writes and the order of observations are one state
//! with one owner, whatever connections come and go. A message is confirmed to its sender only when what it
//! said is durable; a message that says nothing new is confirmed only after those before it.
//!
//! Never: sockets; and it never waits for a connection, so a connection may wait for it.

use super::Counters;
use super::commands::{self, Arrival};
use super::devices::{Devices, Moment};
use super::discovery::{self, Topics};
use super::house::Publication;
use super::outbox::Outgoing;
use super::topic::HouseTopics;
use super::writes::{Write, Writes};
use bytes::Bytes;
use engawa_model::{
    CommandOutcome, Fact, Intent, LinkId, Observation, ObservationSink, PointId, SinkClosed, Timestamp, Value,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Messages whose durability is waited for at once: enough for the store to group its commits. At the bound
/// the desk takes no more messages, its queue fills, and the connections wait.
const WINDOW: usize = 64;
/// Requests to devices that go out together, and the pause until the next: thousands of devices answer one after another
/// instead of at once, and the outbox has room for what matters more.
const REQUESTS: usize = 50;
const BETWEEN_REQUESTS: Duration = Duration::from_millis(100);

/// What connections tell the desk.
#[derive(Debug)]
pub(super) enum ToDesk {
    /// A message came.
    Message(Incoming),
    /// The connection came up or went down.
    Link { up: bool, detail: String },
    /// The broker has acknowledged a write.
    Delivered(engawa_model::CommandKey),
}

/// A message, on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// The broker had kept it: it is no news, and a command must not be carried out.
    pub(super) retained: bool,
    /// Answered when what the message said is durable; dropped without an answer if it never will be.
    pub(super) durable: Option<oneshot::Sender<()>>,
}

/// Whose topics are known.
pub(super) struct Known<'a> {
    pub(super) house: &'a HouseTopics,
    pub(super) devices: &'a Devices,
}

impl Topics for Known<'_> {
    fn is_ours(&self, topic: &str) -> bool {
        self.house.owns(topic)
    }

    fn is_placed(&self, topic: &str) -> bool {
        self.devices.listens(topic)
    }
}

type Report = BoxFuture<'static, Result<Option<oneshot::Sender<()>>, SinkClosed>>;

/// The desk's state.
pub(super) struct Desk {
    /// The link whose health it tells.
    pub(super) link: LinkId,
    pub(super) topics: HouseTopics,
    pub(super) devices: Devices,
    pub(super) sink: Arc<dyn ObservationSink>,
    /// To the connection; never waited for. Where it is full, a write is repeated by its timer.
    pub(super) outgoing: mpsc::Sender<Outgoing>,
    pub(super) counters: Arc<Counters>,
    pub(super) writes: Writes,
    pub(super) reports: FuturesOrdered<Report>,
    pub(super) connected: bool,
    pub(super) arrivals: u64,
    /// True where devices tell of themselves.
    pub(super) discover: bool,
    /// What the house is told before anything comes.
    pub(super) first: Vec<Fact>,
    /// What silence is measured from.
    pub(super) started: Instant,
    /// When the next requests may go out.
    pub(super) ask_at: Instant,
}

impl Desk {
    /// Works until `cancel`, or until the house takes no more observations.
    pub(super) async fn run(
        mut self,
        mut messages: mpsc::Receiver<ToDesk>,
        mut intents: mpsc::Receiver<Intent>,
        cancel: CancellationToken,
    ) -> Result<(), SinkClosed> {
        let mut orders_open = true;
        let first = std::mem::take(&mut self.first);
        self.report(first, Timestamp::now(), None);
        loop {
            let timer = self.until_due(Timestamp::now());
            let (ask_at, asking) = (self.ask_at, self.connected && self.devices.has_requests());
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                Some(reported) = self.reports.next() => {
                    if let Some(durable) = reported? {
                        // The sender may have gone; then it sends the message again and is answered then.
                        let _ = durable.send(());
                    }
                }
                Some(message) = messages.recv(), if self.reports.len() < WINDOW => {
                    self.take(message, Timestamp::now());
                }
                intent = intents.recv(), if orders_open => match intent {
                    Some(intent) => self.order(intent, Timestamp::now()),
                    None => orders_open = false,
                },
                () = tokio::time::sleep(timer.unwrap_or(Duration::MAX)), if timer.is_some() => {
                    self.publish_due(Timestamp::now());
                    self.expire(Timestamp::now());
                }
                () = tokio::time::sleep_until(ask_at), if asking => self.ask(),
            }
        }
    }

    fn until_due(&self, now: Timestamp) -> Option<Duration> {
        let write = self.writes.next().filter(|_| self.connected);
        let write = write.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO));
        let stale = self.devices.next_expiry().map(|at| at.saturating_sub(self.started.elapsed()));
        [write, stale].into_iter().flatten().min()
    }

    fn expire(&mut self, now: Timestamp) {
        let facts = self.devices.expire(self.started.elapsed());
        self.report(facts, now, None);
    }

    fn ask(&mut self) {
        for request in self.devices.requests(REQUESTS) {
            self.send(Outgoing::House(request));
        }
        self.ask_at = Instant::now() + BETWEEN_REQUESTS;
    }

    fn take(&mut self, message: ToDesk, now: Timestamp) {
        match message {
            ToDesk::Message(message) => self.message(message, now),
            ToDesk::Link { up, detail } => {
                self.connected = up;
                self.report(vec![Fact::Link { link: self.link.clone(), up, detail }], now, None);
                if up {
                    self.writes.connected(now);
                    self.publish_due(now);
                    self.devices.connected();
                } else {
                    self.devices.disconnected();
                }
            }
            ToDesk::Delivered(key) => {
                let facts = self.writes.delivered(&key).into_iter().collect();
                self.report(facts, now, None);
            }
        }
    }

    fn message(&mut self, message: Incoming, now: Timestamp) {
        let Incoming { topic, payload, retained, durable } = message;
        let mut facts = Vec::new();
        if let Some(command) = self.topics.command(&topic) {
            self.arrivals += 1;
            let arrival = Arrival { at: now, count: self.arrivals };
            match commands::read(&command, &payload, retained, arrival) {
                Ok(command) => facts.push(Fact::Asked { command }),
                Err(error) => {
                    Counters::add(&self.counters.bad_commands);
                    tracing::warn!(topic, %error, "a message is not a command");
                    let answer = commands::answer(&topic, &error, now);
                    let answer = Publication::event(self.topics.error(), answer);
                    self.send(Outgoing::House(answer));
                }
            }
        }
        if self.discover && discovery::listens(&topic) {
            match discovery::hear(&topic, &payload, &Known { house: &self.topics, devices: &self.devices }) {
                Ok(found) => facts.extend(found),
                Err(error) => {
                    Counters::add(&self.counters.bad_payloads);
                    tracing::warn!(topic, %error, "a device tells of itself in a way that can't be read");
                }
            }
        }
        let moment = Moment { steady: self.started.elapsed(), clock: now };
        let heard = self.devices.hear(&topic, &payload, retained, moment);
        for error in &heard.errors {
            Counters::add(&self.counters.bad_payloads);
            tracing::warn!(device = %error.device, topic, problem = %error.problem, "a payload can't be used");
        }
        // The model sees the values before the outcomes that they confirm.
        facts.extend(heard.facts);
        // What the broker had kept was said before the write.
        for reading in heard.readings.iter().filter(|_| !retained) {
            facts
                .extend(reading.value.as_ref().and_then(|value| self.writes.reported(&reading.point, value)));
        }
        self.report(facts, now, durable);
    }

    fn order(&mut self, intent: Intent, now: Timestamp) {
        let (key, point, value, expires) = match intent {
            Intent::WritePoint { key, point, value, expires } => (key, point, value, expires),
            Intent::WithdrawWrite { key, point } => return self.writes.withdraw(&key, &point),
            _ => {
                tracing::warn!("an intent that is no write came to the MQTT devices: it is left alone");
                return;
            }
        };
        if let Err(error) = self.enter(&key, &point, &value, expires, now) {
            let outcome = CommandOutcome::Refused { reason: error.to_string() };
            return self.report(vec![Fact::Written { key, outcome, read_back: None }], now, None);
        }
        self.publish_due(now);
    }

    fn enter(
        &mut self,
        key: &engawa_model::CommandKey,
        point: &PointId,
        value: &Value,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), super::devices::WriteError> {
        let message = self.devices.write(point, value)?;
        let write = Write { key: key.clone(), publication: message.publication, expires };
        self.writes.order(point, value.clone(), message.tolerance, message.reports, write, now);
        Ok(())
    }

    fn publish_due(&mut self, now: Timestamp) {
        if !self.connected {
            return;
        }
        let (due, unconfirmed) = self.writes.due(now);
        for Write { key, publication, expires } in due {
            self.send(Outgoing::Write { key, publication, expires });
        }
        for point in unconfirmed {
            let reason = format!("takes no commands: `{}` was written and is not reported back", point.point);
            let facts = self.devices.unwell(&point.device, &reason).into_iter().collect();
            self.report(facts, now, None);
        }
    }

    fn send(&self, outgoing: Outgoing) {
        if self.outgoing.try_send(outgoing).is_err() {
            Counters::add(&self.counters.publications_lost);
        }
    }

    fn report(&mut self, mut facts: Vec<Fact>, now: Timestamp, durable: Option<oneshot::Sender<()>>) {
        if facts.is_empty() && durable.is_none() {
            return;
        }
        let sink = Arc::clone(&self.sink);
        let last = facts.pop();
        self.reports.push_back(Box::pin(async move {
            for fact in facts {
                sink.report(Observation::new(now, fact)).await?;
            }
            // The sink keeps the order: where the last is durable, those before it are.
            match last {
                Some(last) if durable.is_some() => sink.report_durable(Observation::new(now, last)).await?,
                Some(last) => sink.report(Observation::new(now, last)).await?,
                None => {}
            }
            Ok(durable)
        }));
    }
}
