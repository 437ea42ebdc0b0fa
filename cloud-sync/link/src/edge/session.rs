//! One session over one connection: does what the protocol's machine says, and tells it what comes of it.
//!
//! Each stream has a task that reads and one that writes, so that a lane whose stream is full holds up no other. What
//! waits to be written is bounded by the machine: by what a lane may have under way, and on the control stream by what it
//! answers.

use super::EdgeLink;
use crate::keeper::Keeper;
use crate::transport::{Connection, ReceiveHalf, SendHalf};
use crate::{LinkError, LinkState, stream};
use engawa_protocol::edge::{EdgeMachine, End, MOST_FLYING, Out, Settings, Start, Stream, Want};
use engawa_protocol::frame::Body;
use engawa_protocol::live::{LIVE, LIVE_EVERY, MOST_LIVE_BYTES};
use engawa_protocol::liveness::Liveness;
use engawa_protocol::ports::{EdgeStore, Gone, Row, StoreFault};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What has happened and waits to be handled; more waits on the wire.
const EVENTS: usize = 64;
/// Frames that may wait to be written to one stream: above what the machine lets a lane have under way, so that only a
/// cloud which asks again and again gets there; the session then ends.
const UNSENT: usize = 2 * MOST_FLYING;
/// Frames of live values that may wait to be written: what is more is dropped, and never waited for.
const UNSENT_LIVE: usize = 4;
/// How often the journal is looked at though nobody said that it was written: a lost word must not stop the sync.
const LOOK: Duration = Duration::from_secs(2);

/// What has happened.
enum Event {
    Frame(Stream, Body),
    Finished(Stream),
    Rows(Want, Vec<Row>),
    Gone { lane: u8, range: (u64, u64), at_micros: i64, why: Option<Gone> },
    Accepted(u64),
    Failed(LinkError),
}

struct Session<'a> {
    link: &'a EdgeLink,
    keeper: &'a Keeper,
    connection: &'a Connection,
    machine: EdgeMachine,
    began: Instant,
    events: mpsc::Sender<Event>,
    writers: BTreeMap<Stream, mpsc::Sender<Body>>,
    told: watch::Sender<BTreeMap<u8, u64>>,
    /// When the next live values may go.
    live_at: Instant,
    /// Live values wait for that.
    live_due: bool,
    /// All of them end with the session: a set of tasks aborts what it still has.
    tasks: JoinSet<()>,
}

impl EdgeLink {
    /// Greets the cloud, then ships rows and takes commands until the connection breaks. Bulk waits while `held` says so.
    pub(super) async fn sync(
        &self,
        connection: &Connection,
        keeper: &Keeper,
        mut held: watch::Receiver<bool>,
    ) -> Result<Infallible, LinkError> {
        let heads = self.blocking(heads).await?;
        let start = Start {
            epoch: self.store.epoch(),
            heads,
            inbox: self.blocking(|store| store.inbox_mark()).await?,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            previous: self.blocking(|store| store.previous()).await?,
        };
        let settings = Settings {
            bounds: self.tuning.bounds,
            liveness: Liveness { keep_alive: self.tuning.idle / 4, idle: self.tuning.idle },
            handshake: self.tuning.handshake,
        };
        let (events, mut heard) = mpsc::channel(EVENTS);
        let (told, marks) = watch::channel(BTreeMap::new());
        let mut session = Session {
            link: self,
            keeper,
            connection,
            machine: EdgeMachine::new(settings, start, Duration::ZERO),
            began: Instant::now(),
            events,
            writers: BTreeMap::new(),
            told,
            live_at: Instant::now(),
            live_due: false,
            tasks: JoinSet::new(),
        };
        session.tasks.spawn(tell_journal(Arc::clone(&self.store), marks, session.events.clone()));
        session.open(Stream::Control).await?;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        session.hold(*held.borrow_and_update());
        loop {
            while let Some(out) = session.machine.poll(session.now()) {
                session.act(out).await?;
            }
            let wake = session.machine.wake_at(session.now()).map(|at| session.began + at);
            tokio::select! {
                Some(event) = heard.recv() => session.on_event(event)?,
                () = self.wake.notified() => {
                    session.refresh().await?;
                    session.watch();
                }
                _ = look.tick() => {
                    session.refresh().await?;
                    session.watch();
                }
                () = tokio::time::sleep_until(session.live_at), if session.live_due => session.watch(),
                Ok(()) = held.changed() => session.hold(*held.borrow_and_update()),
                () = until(wake) => session.machine.on_wake(session.now()),
                ended = connection.closed() => return Err(LinkError::Broken(ended)),
            }
        }
    }

    /// Asks the store off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn EdgeStore) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, LinkError> {
        ask_store(Arc::clone(&self.store), ask).await
    }
}

impl Session<'_> {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Bulk waits, or does not.
    fn hold(&mut self, held: bool) {
        self.machine.hold_bulk(held);
        if let Some(port) = &self.link.updates {
            port.hold(held);
        }
    }

    async fn act(&mut self, out: Out) -> Result<(), LinkError> {
        match out {
            Out::Open(lane) => self.open(Stream::Lane(lane)).await?,
            Out::Send { stream, body } => {
                // A writer that has gone has told why, or will: it is heard as an event.
                if let (Stream::Lane(LIVE), Body::Live(live)) = (stream, &body) {
                    let (tail, values) = (live.tail.clone(), live.rows.len() as u64);
                    let writer = self.writers.get(&stream);
                    if writer.is_none_or(|writer| writer.try_send(body).is_err()) {
                        self.link.store.live_lost(&tail, values);
                    }
                } else if let Some(writer) = self.writers.get(&stream)
                    && let Err(TrySendError::Full(_)) = writer.try_send(body)
                {
                    return Err(LinkError::Stream(format!("{stream:?} does not take what is sent")));
                }
            }
            Out::Read(want) => self.ask(move |store| {
                let rows = store.read(want.lane, want.after, want.max_rows, want.max_bytes)?;
                Ok(Event::Rows(want, rows))
            }),
            Out::Gone { lane, from, to, at_micros } => self.ask(move |store| {
                let why = store.gone(lane, from, to)?;
                Ok(Event::Gone { lane, range: (from, to), at_micros, why })
            }),
            Out::Acknowledged { lane, mark } => self.told.send_modify(|marks| {
                marks.insert(lane, mark);
            }),
            Out::Accept(commands) => self.ask(move |store| Ok(Event::Accepted(store.accept(commands)?))),
            Out::Welcomed { version } => {
                tracing::info!(cloud = %self.connection, version, "the link to the cloud is up");
                let address = self.connection.to_string();
                self.link.state.send_replace(LinkState::Up { since: SystemTime::now(), address });
                if let Some(port) = self.link.updates.clone().filter(|_| self.machine.takes_updates()) {
                    let (connection, events) = (self.connection.clone(), self.events.clone());
                    self.tasks.spawn(async move {
                        let error = port.serve(connection).await;
                        // Whoever waits for events has gone where this fails.
                        let _ = events.send(Event::Failed(error)).await;
                    });
                }
            }
            Out::Rebind => match self.connection.rebind() {
                Ok(moved) => tracing::info!(moved, "the cloud is silent: the line is tried from a new port"),
                Err(error) => tracing::warn!(%error, "there is no new port for the silent line"),
            },
            Out::End(end) => return Err(self.ended(end)),
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event) -> Result<(), LinkError> {
        let now = self.now();
        match event {
            Event::Frame(Stream::Control, Body::TurnTaken(taken)) => self.keeper.taken(taken.number),
            Event::Frame(stream @ Stream::Lane(LIVE), body) => {
                self.machine.on_frame(now, stream, body);
                self.watch();
            }
            Event::Frame(stream, body) => {
                if let (Stream::Lane(lane), Body::Gap(gap)) = (stream, &body) {
                    let mark = gap.mark;
                    tracing::warn!(lane, mark, "the cloud found a hole and gets the rows after it again");
                }
                self.machine.on_frame(now, stream, body);
            }
            Event::Finished(stream) => {
                // Where the connection has ended, its reason says more.
                if let Some(reason) = self.connection.close_reason() {
                    return Err(LinkError::Broken(reason));
                }
                self.machine.on_finished(stream);
            }
            Event::Rows(want, rows) => self.machine.on_rows(now, want, &rows),
            Event::Gone { lane, range, at_micros, why } => {
                // What was thinned is told by the rows that are there.
                if let Some(Gone { reason, told: false }) = &why {
                    let (from, to) = range;
                    tracing::warn!(lane, from, to, %reason, "rows that the cloud wants are gone: it is told so");
                }
                self.machine.on_gone(now, lane, range, at_micros, why);
            }
            Event::Accepted(mark) => self.machine.on_accepted(mark),
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Sends what somebody watches, as often as it may. What waits longer is dropped where it waits.
    fn watch(&mut self) {
        if !self.machine.takes_live() {
            // The answer to the frame under way, or the next look, asks again.
            self.live_due = false;
            return;
        }
        let now = Instant::now();
        if now < self.live_at {
            self.live_due = true;
            return;
        }
        let live = self.link.store.live(MOST_LIVE_BYTES);
        self.live_due = live.is_some();
        if let Some(live) = live {
            self.live_at = now + LIVE_EVERY;
            self.machine.on_live(live);
        }
    }

    async fn refresh(&mut self) -> Result<(), LinkError> {
        for (lane, head) in self.link.blocking(heads).await? {
            self.machine.on_written(lane, head);
        }
        Ok(())
    }

    async fn open(&mut self, stream: Stream) -> Result<(), LinkError> {
        let (mut up, down) = self.connection.open_lane().await?;
        match stream {
            Stream::Control => self.keeper.greet(&mut up).await?,
            // Beside our own scheduling: what is lost and sent again goes out by urgency too.
            Stream::Lane(lane) => up.set_priority(-i32::from(lane)),
        }
        let most = if stream == Stream::Lane(LIVE) { UNSENT_LIVE } else { UNSENT };
        let (writer, bodies) = mpsc::channel(most);
        self.writers.insert(stream, writer);
        self.tasks.spawn(write(up, bodies, self.events.clone()));
        self.tasks.spawn(read(stream, down, self.events.clone()));
        Ok(())
    }

    /// Asks the store; the answer comes as an event.
    fn ask(&mut self, ask: impl FnOnce(&dyn EdgeStore) -> Result<Event, StoreFault> + Send + 'static) {
        let (store, events) = (Arc::clone(&self.link.store), self.events.clone());
        self.tasks.spawn(async move {
            let event = ask_store(store, ask).await.unwrap_or_else(Event::Failed);
            // Whoever waits for events has gone where this fails.
            let _ = events.send(event).await;
        });
        // What has ended before is forgotten.
        while self.tasks.try_join_next().is_some() {}
    }

    fn ended(&self, end: End) -> LinkError {
        if let Some(reason) = self.connection.close_reason() {
            return LinkError::Broken(reason);
        }
        match end {
            End::Refused { reason, retry_after, .. } => LinkError::Refused {
                reason,
                retry_after_s: retry_after
                    .map_or(0, |pause| u32::try_from(pause.as_secs()).unwrap_or(u32::MAX)),
            },
            End::Silent(_) => LinkError::Silent { address: self.connection.address() },
            End::Senseless(error) => LinkError::Session(error),
            End::Missing { lane, after } => LinkError::Missing { lane, after },
            end @ End::Unsendable { .. } => LinkError::Stream(end.to_string()),
        }
    }
}

fn heads(store: &dyn EdgeStore) -> Result<Vec<(u8, u64)>, StoreFault> {
    store.lanes().into_iter().map(|lane| Ok((lane, store.head(lane)?))).collect()
}

/// Waits until then; for ever where there is nothing to wait for.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

async fn ask_store<T: Send + 'static>(
    store: Arc<dyn EdgeStore>,
    ask: impl FnOnce(&dyn EdgeStore) -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, LinkError> {
    let asked = tokio::task::spawn_blocking(move || ask(store.as_ref())).await;
    asked.map_err(|error| LinkError::Stream(format!("the store's task: {error}")))?.map_err(LinkError::Store)
}

async fn write(mut up: SendHalf, mut bodies: mpsc::Receiver<Body>, events: mpsc::Sender<Event>) {
    while let Some(body) = bodies.recv().await {
        if let Err(error) = stream::send(&mut up, body).await {
            // Whoever waits for events has gone where this fails.
            let _ = events.send(Event::Failed(error)).await;
            return;
        }
    }
}

async fn read(stream: Stream, mut down: ReceiveHalf, events: mpsc::Sender<Event>) {
    loop {
        let event = match stream::receive(&mut down).await {
            Ok(Some(body)) => Event::Frame(stream, body),
            Ok(None) => Event::Finished(stream),
            Err(error) => Event::Failed(error),
        };
        let last = !matches!(event, Event::Frame(..));
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

/// Tells the journal how far the cloud is: the newest marks, as fast as the disk takes them, and never a queue of them.
async fn tell_journal(
    store: Arc<dyn EdgeStore>,
    mut marks: watch::Receiver<BTreeMap<u8, u64>>,
    events: mpsc::Sender<Event>,
) {
    let mut told: BTreeMap<u8, u64> = BTreeMap::new();
    while marks.changed().await.is_ok() {
        let now = marks.borrow_and_update().clone();
        let news: Vec<(u8, u64)> = now
            .iter()
            .filter(|(lane, mark)| told.get(lane) != Some(mark))
            .map(|(lane, mark)| (*lane, *mark))
            .collect();
        let telling = move |store: &dyn EdgeStore| {
            news.into_iter().try_for_each(|(lane, mark)| store.acknowledged(lane, mark))
        };
        if let Err(error) = ask_store(Arc::clone(&store), telling).await {
            // Whoever waits for events has gone where this fails.
            let _ = events.send(Event::Failed(error)).await;
            return;
        }
        told = now;
    }
}
