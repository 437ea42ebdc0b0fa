//! The way into the house: what tasks hand over, in order, with bounds behind it.

use super::retune::Settings;
use crate::outlets::OutletId;
use engawa_field::mqtt::{Publisher, ValueTopics, sparkplug};
use engawa_model::{Erasure, Intent, Observation, ObservationSink, SinkClosed, SinkFuture};
use engawa_protocol::ports::Row;
use engawa_store::vault::Target;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Messages that may wait; a driver that is faster waits too.
const QUEUE: usize = 1024;
/// Observations in messages of many that may wait. At the start every device tells all its points at once: without this
/// bound a house of 8,000 devices would hold 50 MB of them.
const ROOM: u32 = 4096;

/// What the house takes.
#[allow(clippy::large_enum_variant, reason = "the largest is the usual one, and the queue is bounded")]
pub(super) enum Message {
    /// An observation, and whom to tell when it is durable.
    Observed(Observation, Option<oneshot::Sender<()>>),
    /// What a driver noticed at once, and the room that it takes until then.
    AllObserved(Vec<Observation>, OwnedSemaphorePermit),
    /// The cloud has a lane up to a mark.
    Acknowledged { lane: u8, mark: u64, durable: oneshot::Sender<()> },
    /// Telemetry up to a number is about to be handed out.
    Sent { upto: u64, durable: oneshot::Sender<()> },
    /// Commands of the cloud; answered with the inbox's mark once they are durable.
    Accept { commands: Vec<Row>, durable: oneshot::Sender<u64> },
    /// A driver asks for its intents: at its first start and at each later one.
    Connect { outlet: OutletId, intents: oneshot::Sender<mpsc::Receiver<Intent>> },
    /// A broker's task has started: what changes is published there through this from now on.
    Publish(OutletId, Publisher, ValueTopics),
    /// An event of the store needn't wait any more.
    Delivered(u64),
    /// The same for the Sparkplug node.
    Update(sparkplug::Updates),
    /// What is held on guests is to be erased; answered once that is durable.
    Erase(Target, Option<oneshot::Sender<Erasures>>),
    /// Something is to be written that changes nothing; answered when it is durable.
    Probe(oneshot::Sender<()>),
    /// The end of the audit trail goes to the cloud, where it has grown.
    TellAudit,
    /// This release was confirmed.
    Confirmed(oneshot::Sender<()>),
    /// Other settings hold from now on.
    Retune(Box<Settings>, oneshot::Sender<()>),
}

/// What was erased, and whether that is complete on the disk.
pub(crate) type Erasures = (Vec<Erasure>, bool);

/// The way in.
#[derive(Clone)]
pub(crate) struct Door {
    messages: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
}

impl ObservationSink for Door {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        Box::pin(async move {
            self.messages.send(Message::Observed(observation, None)).await.map_err(|_| SinkClosed)
        })
    }

    fn report_all(&self, observations: Vec<Observation>) -> SinkFuture<'_> {
        Box::pin(async move {
            // What is larger than all the room there is waits until there is nothing else.
            let wanted = u32::try_from(observations.len()).unwrap_or(ROOM).min(ROOM);
            let room = Arc::clone(&self.room).acquire_many_owned(wanted).await.map_err(|_| SinkClosed)?;
            self.messages.send(Message::AllObserved(observations, room)).await.map_err(|_| SinkClosed)
        })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        Box::pin(async move {
            let (done, durable) = oneshot::channel();
            self.messages.send(Message::Observed(observation, Some(done))).await.map_err(|_| SinkClosed)?;
            durable.await.map_err(|_| SinkClosed)
        })
    }
}

impl Door {
    /// A door, and what comes through it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (messages, taken) = mpsc::channel(QUEUE);
        (Self { messages, room: Arc::new(Semaphore::new(ROOM as usize)) }, taken)
    }

    /// The cloud has `lane` up to `mark`. Blocks until that is durable.
    pub(crate) fn acknowledge(&self, lane: u8, mark: u64) -> Result<(), SinkClosed> {
        let (durable, done) = oneshot::channel();
        self.messages.blocking_send(Message::Acknowledged { lane, mark, durable }).map_err(|_| SinkClosed)?;
        done.blocking_recv().map_err(|_| SinkClosed)
    }

    /// Telemetry up to `upto` is about to be handed out. Blocks until it is durable that its rows are not changed any more.
    pub(crate) fn hand_out(&self, upto: u64) -> Result<(), SinkClosed> {
        let (durable, done) = oneshot::channel();
        self.messages.blocking_send(Message::Sent { upto, durable }).map_err(|_| SinkClosed)?;
        done.blocking_recv().map_err(|_| SinkClosed)
    }

    /// Takes commands of the cloud. Blocks until they are durable; gives the inbox's new mark.
    pub(crate) fn accept(&self, commands: Vec<Row>) -> Result<u64, SinkClosed> {
        let (durable, done) = oneshot::channel();
        self.messages.blocking_send(Message::Accept { commands, durable }).map_err(|_| SinkClosed)?;
        done.blocking_recv().map_err(|_| SinkClosed)
    }

    /// The queue of intents for a driver that starts now, with everything that is owed.
    pub(crate) async fn connect(&self, outlet: OutletId) -> Result<mpsc::Receiver<Intent>, SinkClosed> {
        let (intents, queue) = oneshot::channel();
        self.messages.send(Message::Connect { outlet, intents }).await.map_err(|_| SinkClosed)?;
        queue.await.map_err(|_| SinkClosed)
    }

    /// From now on what changes is published at `broker` through `publisher`.
    pub(crate) async fn publish_through(
        &self,
        broker: OutletId,
        publisher: Publisher,
        values: ValueTopics,
    ) -> Result<(), SinkClosed> {
        self.messages.send(Message::Publish(broker, publisher, values)).await.map_err(|_| SinkClosed)
    }

    /// The broker has the event `number`.
    pub(crate) async fn delivered(&self, number: u64) -> Result<(), SinkClosed> {
        self.messages.send(Message::Delivered(number)).await.map_err(|_| SinkClosed)
    }

    /// Erases what is held on the guests of a stay; ready when that is durable.
    pub(crate) async fn erase(&self, target: Target) -> Result<Erasures, SinkClosed> {
        let (done, erased) = oneshot::channel();
        self.messages.send(Message::Erase(target, Some(done))).await.map_err(|_| SinkClosed)?;
        erased.await.map_err(|_| SinkClosed)
    }

    /// This release was confirmed: a later one on trial leaves the way back to it open. Ready when that is stored.
    pub(crate) async fn confirmed(&self) -> Result<(), SinkClosed> {
        let (done, stored) = oneshot::channel();
        self.messages.send(Message::Confirmed(done)).await.map_err(|_| SinkClosed)?;
        stored.await.map_err(|_| SinkClosed)
    }

    /// Has the house write durably what changes nothing, for whoever wants to know how long that takes; ready when it is done.
    /// `None` while the house has too much to do.
    pub(crate) fn probe(&self) -> Option<oneshot::Receiver<()>> {
        let (done, written) = oneshot::channel();
        self.messages.try_send(Message::Probe(done)).is_ok().then_some(written)
    }

    /// Other settings hold once this is ready.
    pub(crate) async fn retune(&self, settings: Settings) -> Result<(), SinkClosed> {
        let (done, taken) = oneshot::channel();
        self.messages.send(Message::Retune(Box::new(settings), done)).await.map_err(|_| SinkClosed)?;
        taken.await.map_err(|_| SinkClosed)
    }

    /// From now on Sparkplug's metrics go through `updates`.
    pub(crate) async fn update_through(&self, updates: sparkplug::Updates) -> Result<(), SinkClosed> {
        self.messages.send(Message::Update(updates)).await.map_err(|_| SinkClosed)
    }
}
