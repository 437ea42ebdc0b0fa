//! The house: one thread that owns the model and the store. It takes observations in order, commits what follows
//! from them, and only then lets intents and acknowledgements out.

use engawa_model::{
    Fact, Intent, Observation, ObservationSink, Property, SinkClosed, SinkFuture, Timestamp,
};
use engawa_store::{Batch, Store, StoreError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Observations that may wait; a driver that is faster waits too.
const QUEUE: usize = 1024;
/// Observations in one transaction: enough to share one fsync, few enough to keep the first one's wait short.
const GROUP: usize = 256;
/// How often acknowledged rows of the journal are swept and old commands forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// Journal rows removed in one sweep.
const SWEEP_ROWS: u32 = 10_000;

/// An observation, and whom to tell when it is durable.
type Message = (Observation, Option<oneshot::Sender<()>>);

/// The way in.
#[derive(Clone)]
pub(crate) struct Door(mpsc::Sender<Message>);

impl ObservationSink for Door {
    fn report(&self, observation: Observation) -> SinkFuture<'_> {
        Box::pin(async move { self.0.send((observation, None)).await.map_err(|_| SinkClosed) })
    }

    fn report_durable(&self, observation: Observation) -> SinkFuture<'_> {
        Box::pin(async move {
            let (done, durable) = oneshot::channel();
            self.0.send((observation, Some(done))).await.map_err(|_| SinkClosed)?;
            durable.await.map_err(|_| SinkClosed)
        })
    }
}

/// The model, the store, and the queues around them.
pub(crate) struct House {
    property: Property,
    store: Store,
    messages: mpsc::Receiver<Message>,
    intents: mpsc::Sender<Intent>,
}

impl House {
    /// A house around what was stored; intents for the PMS go to `intents`.
    pub(crate) fn new(property: Property, store: Store, intents: mpsc::Sender<Intent>) -> (Self, Door) {
        let (door, messages) = mpsc::channel(QUEUE);
        (Self { property, store, messages, intents }, Door(door))
    }

    /// Works until every [`Door`] is gone, then closes the store in good order.
    pub(crate) async fn run(mut self) -> Result<(), StoreError> {
        let clean = self.store.was_closed();
        self.take(vec![(Observation::new(Timestamp::now(), Fact::Started { clean }), None)]).await?;
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        loop {
            let mut group = Vec::new();
            let wake = self.until_wake();
            tokio::select! {
                count = self.messages.recv_many(&mut group, GROUP) => {
                    if count == 0 {
                        break;
                    }
                }
                () = tokio::time::sleep(wake) => group.push(tick()),
                _ = housekeeping.tick() => {
                    self.store.sweep(Timestamp::now(), SWEEP_ROWS)?;
                    group.push(tick());
                }
            }
            self.take(group).await?;
        }
        self.store.close()
    }

    /// How long until the model wants a tick.
    fn until_wake(&self) -> Duration {
        let wake = self.property.next_wake().map(|at| at.duration_since(Timestamp::now()));
        wake.map_or(HOUSEKEEPING, |left| Duration::try_from(left).unwrap_or_default())
    }

    /// Applies a group, commits it in one transaction, then lets its effects out.
    async fn take(&mut self, group: Vec<Message>) -> Result<(), StoreError> {
        let (mut batch, mut intents, mut waiting) = (Batch::default(), Vec::new(), Vec::new());
        for (observation, done) in group {
            let applied = self.property.apply(&observation);
            batch.changes.extend(applied.changes.into_iter().map(|change| (observation.at, change)));
            batch.touched.extend(applied.touched);
            intents.extend(applied.intents);
            waiting.extend(done);
        }
        let (property, store) = (&self.property, &mut self.store);
        // The commit waits for the disk; other tasks of the runtime move to another thread meanwhile.
        tokio::task::block_in_place(|| store.commit(property, &batch, Timestamp::now()))?;
        for done in waiting {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
        for intent in intents {
            if let Intent::WritePoint { point, .. } = &intent {
                tracing::warn!(%point, "no driver for this device");
            } else if self.intents.send(intent).await.is_err() {
                tracing::warn!("no PMS link to carry this out");
            }
        }
        Ok(())
    }
}

fn tick() -> Message {
    (Observation::new(Timestamp::now(), Fact::Tick), None)
}
