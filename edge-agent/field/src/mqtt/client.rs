//! The connection to a broker: connects, and connects again; says what the house is, and takes what comes.
//!
//! Why each connection is one of its own ([`Wire`]): what must not be lost is kept here ([`Outbox`]), at the desk and
//! in the store, never in the library.
//!
//! Terms: the *window* is what has been published and not acknowledged yet.
//!
//! Incoming messages of QoS 1 are acknowledged by hand, each when the desk says that it is durable; the
//! order of the acknowledgements is that of the messages.
//!
//! Never: decodes a payload.

mod session;
mod target;

pub(super) use target::{Dialled, Login, Target};

use super::backoff::Backoff;
use super::desk::{Incoming, ToDesk};
use super::events::{AT_ONCE, EventStore, StoredEvent};
use super::feed::{Fed, Feed};
use super::home_assistant::HomeAssistant;
use super::house::{OFFLINE, ONLINE, Publication};
use super::outbox::{Outbox, Outgoing};
use super::survey::{Kept, Survey};
use super::topic::HouseTopics;
use super::wire::{self, Delivery, Event, Message};
use super::{Counters, Snapshot};
use engawa_model::Timestamp;
use futures::StreamExt;
use session::{Answers, Session};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How long saying good-bye may take.
const FAREWELL: Duration = Duration::from_secs(2);

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
    pub(super) events: Arc<dyn EventStore>,
    /// The house as Home Assistant discovers it.
    pub(super) home: Option<Arc<HomeAssistant>>,
    /// How far the store has been read on this connection.
    pub(super) cursor: u64,
    /// True where there may be more in it.
    pub(super) more: bool,
    /// Events that the broker has, or will never take: the store is to be told.
    pub(super) done: Vec<u64>,
}

/// Why a session ended.
enum End {
    Cancelled,
    Lost(String),
}

impl Connection {
    /// Connects, and connects again, until `cancel`.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let mut since = None;
            let why = match self.target.open(&self.topics).await {
                Ok(mut session) => match self.serve(&mut session, &mut since, &cancel).await {
                    End::Cancelled => return self.farewell(session).await,
                    End::Lost(why) => {
                        self.outbox.take_back(session.unacknowledged());
                        why
                    }
                },
                Err(error) => in_one_line(&error),
            };
            let held = since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
            let pause = backoff.pause(held, rand::random());
            let why = format!("{}: {why}", self.target.place());
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
            Fed::Events => self.more = true,
        }
    }

    fn queue(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::House(publication) => self.outbox.push(publication),
            Outgoing::Stored { number, publication } => self.outbox.push_stored(number, publication),
            Outgoing::Write { key, publication, expires } => {
                self.outbox.push_write(key, publication, expires)
            }
        }
    }

    /// Reads events from the store while few are in memory.
    async fn read_events(&mut self, greeted: bool) {
        if !self.more || !greeted || self.outbox.events() >= AT_ONCE {
            return;
        }
        let (events, after) = (Arc::clone(&self.events), self.cursor);
        let read = tokio::task::spawn_blocking(move || events.waiting(after, AT_ONCE)).await;
        // What can't be read now is read at the next event or connection.
        self.more = false;
        match read {
            Ok(Ok(events)) => {
                self.more = events.len() >= AT_ONCE;
                for StoredEvent { number, topic, payload } in events {
                    self.cursor = number;
                    self.outbox.push_stored(number, Publication::event(topic, payload));
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "events that wait for the broker can't be read"),
            Err(error) => tracing::warn!(%error, "reading events was interrupted"),
        }
    }

    /// Queues the whole picture; what the broker has of it is left out by the outbox.
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
            self.read_events(session.is_greeted()).await;
            self.pump(session);
            for number in std::mem::take(&mut self.done) {
                if cancel.run_until_cancelled(self.events.delivered(number)).await.is_none() {
                    return End::Cancelled;
                }
            }
            let wake = session.wake();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return End::Cancelled,
                Some(receipt) = session.acknowledgements.next() => {
                    // No answer means that the house has stopped: the broker keeps the message.
                    if let Some(receipt) = receipt && session.dialled.wire.acknowledge(receipt).is_err() {
                        return End::Lost("too many acknowledgements are waiting".to_owned());
                    }
                }
                event = session.dialled.wire.event() => {
                    let handled = match event {
                        Ok(event) => self.event(session, event, since, cancel).await,
                        Err(failure) => {
                            let explained = self.target.explain(&session.dialled, &failure);
                            Err(End::Lost(explained))
                        }
                    };
                    if let Err(end) = handled {
                        return end;
                    }
                }
                Some(outgoing) = self.outgoing.recv() => self.queue(outgoing),
                fed = self.feed.next() => self.fed(fed),
                () = until(wake), if wake.is_some() => {
                    if let Some(why) = session.stuck(Instant::now()) {
                        return End::Lost(why);
                    }
                }
            }
            self.finish_survey(session);
        }
    }

    /// Hands over what fits into the window.
    fn pump(&mut self, session: &mut Session) {
        while session.has_room() {
            let Some(outgoing) = self.outbox.pop(Timestamp::now(), session.allowed()) else { break };
            let Publication { topic, payload, retain } = outgoing.publication().clone();
            let expires_in = match &outgoing {
                Outgoing::Write { expires, .. } => {
                    Duration::try_from(expires.duration_since(Timestamp::now())).ok()
                }
                Outgoing::House(_) | Outgoing::Stored { .. } => None,
            };
            // The library's queue has room (see `session`), so it is the topic or the length that it can't take.
            let fits = wire::fits(&topic, payload.len(), session.most);
            let taken = fits.then(|| {
                session.dialled.wire.publish(
                    &topic,
                    payload.into_bytes(),
                    Delivery::AtLeastOnce,
                    retain,
                    expires_in,
                )
            });
            match taken {
                Some(Ok(())) => session.handed.push_back(outgoing),
                _ => {
                    if let Outgoing::Stored { number, .. } = outgoing {
                        self.done.push(number);
                    }
                    Counters::add(&self.counters.publications_lost);
                    tracing::warn!(topic, too_long = !fits, "this can't be published");
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
            Event::Greeted { most } => {
                *since = Some(Instant::now());
                self.target.greeted(session.dialled.dialect);
                session.greeted(most);
                self.outbox.keep_only_events();
                (self.cursor, self.more) = (0, self.target.house);
                session.subscribe(&self.target.filters, Answers::Topics)?;
                self.begin_survey(session)?;
                session.news(&self.target)
            }
            Event::Subscribed { refused } => {
                session.subscribed(&refused);
                session.news(&self.target)
            }
            Event::Numbered(id) => {
                session.numbered(id);
                None
            }
            Event::Acknowledged { id, refused } => self.acknowledged(session, id, refused),
            Event::Message(message) => return self.incoming(session, message, cancel).await,
            Event::Sent | Event::Left => None,
        };
        if let Some(tell) = tell
            && cancel.run_until_cancelled(self.desk.send(tell)).await.is_none_or(|told| told.is_err())
        {
            return Err(End::Cancelled);
        }
        Ok(())
    }

    fn acknowledged(
        &mut self,
        session: &mut Session,
        id: u16,
        refused: Option<&'static str>,
    ) -> Option<ToDesk> {
        let outgoing = session.acknowledged(id)?;
        if let Some(why) = refused {
            let publication = outgoing.publication();
            self.outbox.forget(&publication.topic);
            if let Outgoing::Stored { number, .. } = &outgoing {
                self.done.push(*number);
            }
            Counters::add(&self.counters.publications_lost);
            tracing::warn!(topic = publication.topic, why, "the broker does not take a publication");
            return None;
        }
        match outgoing {
            Outgoing::Write { key, .. } => Some(ToDesk::Delivered(key)),
            Outgoing::Stored { number, .. } => {
                self.done.push(number);
                None
            }
            Outgoing::House(_) => None,
        }
    }

    /// Asks the broker what it keeps of the house. Until that is known, state waits.
    fn begin_survey(&mut self, session: &mut Session) -> Result<(), End> {
        if !self.target.house && self.home.is_none() {
            return Ok(());
        }
        if std::mem::take(&mut self.target.fresh) {
            self.publish_all(Kept::default());
            return Ok(());
        }
        let mark = format!("{:032x}", rand::random::<u128>());
        let survey = Survey::new(&self.picture(), mark, Instant::now());
        session.survey(&self.topics.state_filters(), &self.topics.survey(), survey)
    }

    /// Everything that is retained: the house, and how it announces itself.
    fn picture(&self) -> Vec<Publication> {
        let mut all = (self.snapshot)();
        all.extend(self.home.iter().flat_map(|home| home.announcements()));
        all
    }

    /// Once the broker has said what it keeps: the rest follows.
    fn finish_survey(&mut self, session: &mut Session) {
        if let Some(kept) = session.end_of_survey(Instant::now(), &self.topics.state_filters()) {
            self.publish_all(kept);
        }
    }

    fn publish_all(&mut self, kept: Kept) {
        let Kept { known, mut strangers } = kept;
        self.outbox.learn(known);
        for publication in self.feed.drain() {
            self.outbox.push(publication);
        }
        for publication in self.picture() {
            strangers.remove(&publication.topic);
            self.outbox.push(publication);
        }
        // An empty payload clears a retained topic (MQTT 3.1.1, section 3.3.1.3).
        if !strangers.is_empty() {
            tracing::info!(
                topics = strangers.len(),
                "the house no longer has these: they are cleared at the broker"
            );
        }
        for topic in strangers {
            self.outbox.push(Publication::state(topic, ""));
        }
        // Last, so that "online" means: the picture is complete.
        if self.target.house {
            self.outbox.push(Publication::state(self.topics.status(), ONLINE));
        }
    }

    async fn incoming(
        &mut self,
        session: &mut Session,
        message: Message,
        cancel: &CancellationToken,
    ) -> Result<(), End> {
        let Message { topic, payload, retained, receipt } = message;
        if session.surveyed(&self.topics, &topic, &payload, retained) {
            return Ok(());
        }
        if let Some(home) = self.home.as_ref().filter(|home| home.listens(&topic)) {
            session.hear_kept(&topic, &payload, retained && home.owns(&topic));
            for announcement in home.hear(&topic, &payload, retained) {
                if !home.owns(&topic) {
                    // Whoever was born asks for it: it is told again, whether the broker has it or not.
                    self.outbox.forget(&announcement.topic);
                }
                self.outbox.push(announcement);
            }
            if let Some(receipt) = receipt {
                // Nothing of it has to be kept; but acknowledgements go in the order of the messages.
                session.acknowledgements.push_back(Box::pin(std::future::ready(Some(receipt))));
            }
            return Ok(());
        }
        let mut message = Incoming { topic, payload, retained, durable: None };
        let Some(receipt) = receipt else {
            // Nobody sends it again, and nobody may wait for it: at the bound it is dropped and counted.
            if self.desk.try_send(ToDesk::Message(message)).is_err() {
                Counters::add(&self.counters.messages_dropped);
            }
            return Ok(());
        };
        let (durable, confirmed) = oneshot::channel();
        message.durable = Some(durable);
        let handed_over = self.desk.send(ToDesk::Message(message));
        if cancel.run_until_cancelled(handed_over).await.is_none_or(|sent| sent.is_err()) {
            return Err(End::Cancelled);
        }
        session.acknowledgements.push_back(Box::pin(async move { confirmed.await.ok().map(|()| receipt) }));
        Ok(())
    }

    /// Says "offline" oneself: after a proper good-bye the broker does not send the last will.
    async fn farewell(&self, mut session: Session) {
        if !session.is_greeted() {
            return;
        }
        let status = self.target.house.then(|| self.topics.status());
        let bye = async {
            let mut ours = None;
            match &status {
                Some(topic) => {
                    let offline = OFFLINE.as_bytes().to_vec();
                    session.dialled.wire.publish(topic, offline, Delivery::AtLeastOnce, true, None).ok()?;
                }
                None => session.dialled.wire.disconnect().ok()?,
            }
            while let Ok(event) = session.dialled.wire.event().await {
                match event {
                    Event::Numbered(id) => {
                        // Those handed over before come first.
                        let before = session.handed.pop_front();
                        ours = if before.is_some() { ours } else { Some(id) };
                    }
                    Event::Acknowledged { id, .. } if Some(id) == ours => {
                        session.dialled.wire.disconnect().ok()?;
                    }
                    Event::Left => break,
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

async fn until(instant: Option<Instant>) {
    if let Some(instant) = instant {
        tokio::time::sleep_until(instant.into()).await;
    }
}

/// An error with what caused it, in one line.
pub(super) fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests;
