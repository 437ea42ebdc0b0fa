//! One gateway's session over one connection: does what the protocol's machine says, and tells it what comes of it.
//!
//! Each stream has a task that reads one frame whenever the machine has room for one. The lanes' batches go to the store
//! beside each other.

use super::admission::Place;
use super::{Shared, finish, updates};
use crate::gate;
use crate::transport::{Connection, ReceiveHalf, SendHalf};
use crate::{LinkError, stream};
use engawa_protocol::cloud::{
    CONTROL, CloudMachine, CloudSessionError, End, Greeting, MOST_LANES, Marks, Out, Settings,
};
use engawa_protocol::frame::Body;
use engawa_protocol::liveness::Liveness;
use engawa_protocol::ports::{CloudStore, Ingested, Refusal, Row, StoreFault};
use engawa_protocol::trust::{Distrust, Peer, Turn};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Frames that were received and wait to be handled: one for each stream, since each waits for leave.
const EVENTS: usize = MOST_LANES + 3;

/// What a reader has met.
enum Heard {
    Frame(u32, Body),
    Finished(u32),
    Failed(LinkError),
}

/// What the store has answered.
enum Answer {
    Ingested(u32, Option<Ingested>),
    Commands(Option<Vec<Row>>),
    Acknowledged,
    /// What was asked about updates has gone out on this stream.
    Told(u32, SendHalf, Result<(), LinkError>),
}

/// Tells the store when a gateway has gone, however its connection ended.
struct Presence {
    shared: Shared,
    gateway: Arc<str>,
    address: String,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let (store, gateway, address) =
            (Arc::clone(&self.shared.store), Arc::clone(&self.gateway), self.address.clone());
        // A task of its own; where the runtime is ending, the start of the next one says that nobody is connected.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { store.seen(&gateway, false, &address).await });
        }
    }
}

struct Session {
    shared: Shared,
    connection: Connection,
    gateway: Arc<str>,
    peer: Arc<Peer>,
    /// Its turn, where it has shown one, which comes before the hello.
    turn: Option<Turn>,
    place: Place,
    greeted: bool,
    machine: CloudMachine,
    began: Instant,
    epoch: u64,
    /// For each stream what it is written to, but while an answer about updates is being written, and the leave to read.
    streams: BTreeMap<u32, (Option<SendHalf>, mpsc::Sender<()>)>,
    heard: mpsc::Sender<Heard>,
    /// All of them end with the session: a set of tasks aborts what it still has.
    readers: JoinSet<()>,
    store: JoinSet<Answer>,
    presence: Option<Presence>,
}

impl Shared {
    /// Serves an enrolled gateway.
    pub(super) async fn gateway(&self, connection: &Connection) -> Result<(), LinkError> {
        let peer = Arc::new(gate::peer(connection)?);
        self.gate.connect(self.store.as_ref(), &peer).await?;
        let first = tokio::time::timeout(self.tuning.handshake, connection.accept()).await;
        let (up, down) = first.map_err(|_| LinkError::Silent { address: connection.address() })??;
        let settings = Settings {
            liveness: Liveness { keep_alive: self.tuning.idle / 4, idle: self.tuning.idle },
            handshake: self.tuning.handshake,
            live: self.store.takes_live(),
            updates: self.store.takes_updates(),
            ..Settings::default()
        };
        let (heard, events) = mpsc::channel(EVENTS);
        let mut session = Session {
            shared: self.clone(),
            connection: connection.clone(),
            gateway: peer.gateway.as_str().into(),
            peer: Arc::clone(&peer),
            turn: None,
            place: self.admission.enter(&peer, connection),
            greeted: false,
            machine: CloudMachine::new(settings, Duration::ZERO),
            began: Instant::now(),
            epoch: 0,
            streams: BTreeMap::new(),
            heard,
            readers: JoinSet::new(),
            store: JoinSet::new(),
            presence: None,
        };
        session.add(CONTROL, up, down);
        session.run(events).await
    }
}

impl Session {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn add(&mut self, number: u32, up: SendHalf, down: ReceiveHalf) {
        let (leave, leaves) = mpsc::channel(1);
        self.streams.insert(number, (Some(up), leave));
        self.readers.spawn(read(number, down, leaves, self.heard.clone()));
    }

    async fn run(&mut self, mut events: mpsc::Receiver<Heard>) -> Result<(), LinkError> {
        let (mut next, mut commands) = (CONTROL + 1, self.shared.commands.clone());
        loop {
            while let Some(out) = self.machine.poll() {
                self.act(out).await?;
            }
            let wake = self.machine.wake_at().map(|at| self.began + at);
            tokio::select! {
                Some(heard) = events.recv() => match heard {
                    Heard::Frame(CONTROL, body @ (Body::Turn(_) | Body::WhereTo(_))) if !self.greeted => {
                        self.before_hello(body).await?;
                    }
                    Heard::Frame(stream, body) => self.machine.on_frame(self.now(), stream, body),
                    Heard::Finished(stream) => self.machine.on_finished(stream),
                    Heard::Failed(error) => return Err(error),
                },
                Some(answer) = self.store.join_next() => match answer {
                    Ok(Answer::Ingested(stream, answer)) => self.machine.on_ingested(self.now(), stream, answer),
                    Ok(Answer::Commands(rows)) => self.machine.on_commands(self.now(), rows.as_deref()),
                    Ok(Answer::Acknowledged) => {}
                    Ok(Answer::Told(stream, up, sent)) => {
                        sent?;
                        if let Some((place, _)) = self.streams.get_mut(&stream) {
                            *place = Some(up);
                        }
                        self.machine.on_answered(stream);
                    }
                    Err(error) => return Err(LinkError::Stream(format!("a task of the connection: {error}"))),
                },
                opened = self.connection.accept() => {
                    let (up, down) = opened?;
                    self.add(next, up, down);
                    self.machine.on_open(next);
                    next = next.saturating_add(1);
                }
                Ok(()) = commands.changed() => {
                    commands.borrow_and_update();
                    self.machine.on_commands_changed(self.now());
                }
                refused = self.place.refused() => return Err(refused),
                () = until(wake) => self.machine.on_wake(self.now()),
            }
        }
    }

    async fn act(&mut self, out: Out) -> Result<(), LinkError> {
        let (store, gateway, epoch) = (Arc::clone(&self.shared.store), Arc::clone(&self.gateway), self.epoch);
        let may = Standing { store: Arc::clone(&store), peer: Arc::clone(&self.peer), turn: self.turn };
        match out {
            Out::Receive(stream) => {
                if let Some((_, leave)) = self.streams.get(&stream) {
                    // A reader that has ended has told so, and needs no leave.
                    let _ = leave.try_send(());
                }
            }
            Out::Hello(greeting) => self.greet(greeting).await,
            Out::Send { stream, body } => {
                if let Some((Some(up), _)) = self.streams.get_mut(&stream) {
                    // Answers are small: who does not take them for so long is gone.
                    let sent = tokio::time::timeout(self.shared.tuning.idle, stream::send(up, body)).await;
                    sent.map_err(|_| LinkError::Silent { address: self.connection.address() })??;
                }
            }
            Out::Ingest { stream, lane, rows } => {
                let gate = Arc::clone(&self.shared.gate);
                self.store.spawn(async move {
                    let charge = gate.pace(&gateway, lane, &rows).await;
                    let answer = store.ingest(&gateway, epoch, lane, rows).await;
                    charge.settle(&answer);
                    Answer::Ingested(stream, may.said(lane, answer).await)
                });
            }
            Out::Skip { stream, lane, rows, skip } => {
                tracing::info!(%gateway, lane, from = skip.from, to = skip.to, reason = %skip.reason, "numbers without rows");
                let gate = Arc::clone(&self.shared.gate);
                self.store.spawn(async move {
                    let charge = gate.pace(&gateway, lane, &rows).await;
                    let answer = store.skip(&gateway, epoch, lane, rows, skip).await;
                    charge.settle(&answer);
                    Answer::Ingested(stream, may.said(lane, answer).await)
                });
            }
            Out::Commands { after, max } => {
                self.store.spawn(async move {
                    let found = store.commands(&gateway, after, max).await;
                    Answer::Commands(may.said(0, found).await)
                });
            }
            Out::CommandsAcknowledged(mark) => {
                self.store.spawn(async move {
                    // It is told again with the next mark, or by the next hello.
                    let answer = store.commands_acknowledged(&gateway, mark).await;
                    let _ = may.said(0, answer).await;
                    Answer::Acknowledged
                });
            }
            Out::Live(live) => store.live(&gateway, live),
            Out::Question { stream, question } => {
                if let Some(mut up) = self.streams.get_mut(&stream).and_then(|(up, _)| up.take()) {
                    self.store.spawn(async move {
                        // Beside the session, which goes on acknowledging meanwhile.
                        let sent = updates::answer(store.as_ref(), &gateway, question, &mut up).await;
                        Answer::Told(stream, up, sent)
                    });
                }
            }
            Out::End(end) => return Err(self.end(end).await),
        }
        Ok(())
    }

    /// What may come before the hello is not the machine's business.
    async fn before_hello(&mut self, body: Body) -> Result<(), LinkError> {
        let Some((Some(up), leave)) = self.streams.get_mut(&CONTROL) else { return Ok(()) };
        match body {
            Body::Turn(_) if self.turn.is_some() => {
                return Err(LinkError::Gateway(CloudSessionError::Unexpected { expected: "a hello" }));
            }
            Body::Turn(turn) => {
                self.turn = Some(turn);
                self.place.turn(turn);
            }
            Body::WhereTo(_) => gate::where_to(self.shared.store.as_ref(), up).await?,
            _ => {}
        }
        // The machine has given leave for one frame, and did not get it.
        let _ = leave.try_send(());
        Ok(())
    }

    async fn greet(&mut self, greeting: Greeting) {
        let Greeting { epoch, heads, release, previous, .. } = greeting;
        let (store, gateway, address) =
            (Arc::clone(&self.shared.store), Arc::clone(&self.gateway), self.connection.address());
        self.greeted = true;
        let turn = self.turn;
        let answer = match gate::greet(store.as_ref(), &self.peer, turn).await {
            Ok(taken) => {
                if let (Some(taken), Some((Some(up), _))) = (taken, self.streams.get_mut(&CONTROL)) {
                    // A stream that is broken is heard of by its reader.
                    let _ = tokio::time::timeout(self.shared.tuning.idle, stream::send(up, taken)).await;
                }
                store.hello(&gateway, epoch, &heads).await
            }
            Err(refusal) => Err(refusal),
        };
        match &answer {
            Ok(_) => {
                let at = address.to_string();
                store.seen(&gateway, true, &at).await;
                self.epoch = epoch;
                self.presence = Some(Presence {
                    shared: self.shared.clone(),
                    gateway: Arc::clone(&gateway),
                    address: at,
                });
                tracing::info!(%gateway, connection = %self.connection, release, "a gateway is connected");
            }
            Err(refusal) => tracing::warn!(%gateway, %address, %refusal, "a gateway is turned away"),
        }
        let answer = match (answer, previous) {
            (Ok(present), Some(previous)) => {
                let may = Standing { store: Arc::clone(&store), peer: Arc::clone(&self.peer), turn };
                let had = may.said(0, store.marks_of(&gateway, previous).await).await;
                // Without them rows would be stored twice: it is to come again.
                had.map(|previous| Marks { present, previous }).ok_or(Refusal::Unavailable)
            }
            (answer, _) => answer.map(|present| Marks { present, previous: vec![] }),
        };
        self.machine.on_welcome(self.now(), answer);
    }

    async fn end(&mut self, end: End) -> LinkError {
        match end {
            End::Refused(refusal) => {
                if let Some((Some(up), _)) = self.streams.get_mut(&CONTROL) {
                    finish(up, &self.connection).await;
                }
                LinkError::Refused { reason: refusal.to_string(), retry_after_s: 0 }
            }
            End::Senseless(error) => {
                let gateway = &self.gateway;
                tracing::warn!(%gateway, error = &error as &dyn std::error::Error, "a gateway that keeps to no protocol is dropped");
                LinkError::Gateway(error)
            }
            End::Silent(_) => LinkError::Silent { address: self.connection.address() },
            End::Store => {
                let may = Standing {
                    store: Arc::clone(&self.shared.store),
                    peer: Arc::clone(&self.peer),
                    turn: self.turn,
                };
                match may.against().await {
                    Some(refusal) => LinkError::Refused { reason: refusal.to_string(), retry_after_s: 0 },
                    None => LinkError::Store(StoreFault {
                        context: "the database failed again and again".to_owned(),
                        source: None,
                    }),
                }
            }
            end @ End::Unsendable(_) => LinkError::Stream(end.to_string()),
        }
    }
}

/// Whether a gateway may still talk, asked of the store.
struct Standing {
    store: Arc<dyn CloudStore>,
    peer: Arc<Peer>,
    turn: Option<Turn>,
}

impl Standing {
    /// Why the gateway may not talk any more, where that is so.
    async fn against(&self) -> Option<Refusal> {
        if gate::expired(&self.peer) {
            return Some(Distrust::Expired(self.peer.gateway.clone()).into());
        }
        let standing = self.store.standing(&self.peer, self.turn).await;
        standing.err().filter(|refusal| !matches!(refusal, Refusal::Unavailable))
    }

    /// The answer, or nothing where there is none; why is told here. That a gateway was fenced or revoked in the middle of
    /// its session is no fault of the store.
    async fn said<T>(&self, lane: u8, answer: Result<T, StoreFault>) -> Option<T> {
        let fault = match answer {
            Ok(answer) => return Some(answer),
            Err(fault) => fault,
        };
        let gateway = &self.peer.gateway;
        match self.against().await {
            Some(refusal) => {
                tracing::info!(%gateway, lane, %refusal, "a gateway that may not talk any more: nothing of it is stored");
            }
            None => {
                tracing::warn!(%gateway, lane, error = &fault as &dyn std::error::Error, "the store failed");
            }
        }
        None
    }
}

/// Waits until then; for ever where there is nothing to wait for.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

async fn read(
    number: u32,
    mut down: ReceiveHalf,
    mut leaves: mpsc::Receiver<()>,
    heard: mpsc::Sender<Heard>,
) {
    while leaves.recv().await.is_some() {
        let event = match stream::receive(&mut down).await {
            Ok(Some(body)) => Heard::Frame(number, body),
            Ok(None) => Heard::Finished(number),
            Err(error) => Heard::Failed(error),
        };
        let last = !matches!(event, Heard::Frame(..));
        if heard.send(event).await.is_err() || last {
            return;
        }
    }
}
