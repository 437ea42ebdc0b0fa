//! Whoever looks after the agent itself: reads its configuration again, gathers bundles, minds the tails.
//!
//! Its tasks come as intents, each once its command is durable, and end as facts. One is done after the other; a tail is no
//! task that lasts.

pub(crate) mod bundle;
pub(crate) mod mask;
pub(crate) mod reload;
pub(crate) mod secrets;

use crate::desk::Desk;
use crate::house::{Door, Shared};
use crate::outlets::OutletId;
use crate::updates::{Wish, Wishes};
use bundle::Diagnosis;
use engawa_model::{
    Action, Command, CommandKey, CommandOutcome, CommandSource, Fact, Intent, Lane, Observation,
    ObservationSink, Timestamp, Upkeep, UpkeepEnd,
};
use reload::Reload;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Rows of bundles that may wait for the cloud; with more no other bundle is gathered.
const MOST_WAITING: u64 = 128;
/// How often the tails are looked at though none is due.
const LOOK: Duration = Duration::from_secs(60);

/// What it works with.
#[derive(Clone)]
pub(crate) struct Caretaker {
    pub(crate) door: Door,
    pub(crate) shared: Arc<Shared>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) reload: Arc<Reload>,
    /// Where commands to install a release go.
    pub(crate) wishes: Wishes,
}

impl Caretaker {
    /// Does what comes through `outlet` until `cancel`.
    pub(crate) async fn run(self, outlet: OutletId, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut intents = self.door.connect(outlet).await?;
        loop {
            let now = Timestamp::now();
            let due = self.shared.tails.expire(now).map(|at| at.duration_since(now));
            let due = due.map_or(LOOK, |left| Duration::try_from(left).unwrap_or_default().min(LOOK));
            tokio::select! {
                () = cancel.cancelled() => {
                    self.shared.tails.over("the gateway's agent stops");
                    return self.tell_ended().await;
                }
                intent = intents.recv() => match intent {
                    Some(Intent::Upkeep { key, task }) => self.begin(key, task).await?,
                    Some(other) => tracing::warn!(?other, "this is for somebody else"),
                    None => return Ok(()),
                },
                () = self.shared.tails.ended.notified() => self.tell_ended().await?,
                () = tokio::time::sleep(due) => {}
            }
        }
    }

    async fn begin(&self, key: CommandKey, task: Upkeep) -> anyhow::Result<()> {
        match task {
            Upkeep::Reload => {
                let end = self.reload.again(&self.door, &self.desk).await;
                self.tell(key, end).await
            }
            Upkeep::Diagnose => {
                let end = self.diagnose(&key).await;
                self.tell(key, end).await
            }
            Upkeep::Tail { of, until } => {
                tracing::info!(%key, %of, %until, "the cloud watches");
                let now = Timestamp::now();
                self.shared.look(|property| self.shared.tails.begin(property, key, of, until, now));
                self.shared.written.notify_one();
                Ok(())
            }
            Upkeep::Update { version, window, from, clock_is_right } => {
                let from = from.map(Into::into);
                let wish = Wish { key: key.clone(), version, window, from, clock_is_right };
                // Who takes it tells its end.
                match self.wishes.give(wish) {
                    Ok(()) => Ok(()),
                    Err(reason) => self.tell(key, refused(reason)).await,
                }
            }
            Upkeep::EndTail { tail } => {
                // One that has ended in the meantime has said so.
                self.shared.tails.end(&tail, "by command");
                self.shared.written.notify_one();
                Ok(())
            }
        }
    }

    async fn diagnose(&self, key: &CommandKey) -> UpkeepEnd {
        let bulk = Lane::Bulk.number();
        let marks = self.shared.marks().into_iter().find(|mark| mark.lane == bulk);
        let waiting = marks.map_or(0, |mark| mark.head.saturating_sub(mark.acked));
        if waiting > MOST_WAITING {
            return refused(format!("{waiting} pieces of earlier bundles still wait for the cloud"));
        }
        let asker = self.shared.look(|property| {
            let command = &property.commands().get(key)?.command;
            command.action.asked_by().map(str::to_owned)
        });
        tracing::info!(%key, by = asker.as_deref().unwrap_or("-"), "a diagnostics bundle is gathered");
        let desk = Arc::clone(&self.desk);
        let gathering = tokio::task::spawn_blocking(move || {
            let (bundle, names) = desk.bundle(asker.as_deref());
            Diagnosis::pack(bundle, &names)
        });
        match gathering.await {
            Ok(Ok(packed)) => UpkeepEnd {
                outcome: CommandOutcome::Done,
                note: Some(format!("a bundle of {} bytes in {} pieces", packed.bytes, packed.pieces.len())),
                bundle: packed.pieces,
            },
            Ok(Err(error)) => refused(format!("{error:#}")),
            Err(error) => refused(format!("the bundle could not be gathered: {error}")),
        }
    }

    async fn tell_ended(&self) -> anyhow::Result<()> {
        for ended in self.shared.tails.take_ended() {
            tracing::info!(key = %ended.key, note = %ended.note, "a tail is over");
            let end = UpkeepEnd { outcome: CommandOutcome::Done, note: Some(ended.note), bundle: vec![] };
            self.tell(ended.key, end).await?;
        }
        // Whoever watches is told over the line.
        self.shared.written.notify_one();
        Ok(())
    }

    async fn tell(&self, key: CommandKey, end: UpkeepEnd) -> anyhow::Result<()> {
        Ok(self.door.report(Observation::new(Timestamp::now(), Fact::UpkeepDone { key, end })).await?)
    }
}

fn refused(reason: String) -> UpkeepEnd {
    UpkeepEnd { outcome: CommandOutcome::Refused { reason }, note: None, bundle: vec![] }
}

/// SIGHUP: the configuration is read again, as by command.
pub(crate) async fn hung_up(door: Door) {
    let key = CommandKey::new(format!("sighup-{}", Timestamp::now().as_microsecond()));
    let action = Action::Reload { by: Some("SIGHUP".to_owned()) };
    let command = Command { key, source: CommandSource::Local, expires: None, action };
    // A house that has closed reads nothing.
    let _ = door.report(Observation::new(Timestamp::now(), Fact::Asked { command })).await;
}
