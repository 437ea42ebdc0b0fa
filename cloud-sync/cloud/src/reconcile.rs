//! What `serve` does for rollouts beside serving: looks every second what comes next. It keeps nothing: killed at any moment,
//! the next one goes on from the rows.

use crate::publications::TakeUp;
use crate::release::audit::News;
use engawa_cloud::postgres;
use engawa_cloud::rollout::catalogue::folder::Shelf;
use engawa_cloud::rollout::catalogue::{Behind, Catalogue};
use engawa_cloud::rollout::machine::Now;
use engawa_cloud::rollout::state::{Rollout, State};
use engawa_cloud::store::{DATABASE_FILE, StoreError, Writer, open_reader, rollouts};
use engawa_model::Timestamp;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often rollouts are looked at.
const PERIOD: Duration = Duration::from_secs(1);

fn micros() -> i64 {
    Timestamp::now().as_microsecond()
}

/// What the repository has; a folder that can't be read, or is a copy that is behind, says nothing, which is told once.
struct Looking {
    shelf: Shelf,
    fault: String,
    is_behind: bool,
}

impl Looking {
    fn new(releases: PathBuf) -> Self {
        Self { shelf: Shelf::new(releases), fault: String::new(), is_behind: false }
    }

    fn look(&mut self) -> Option<Arc<Catalogue>> {
        match self.shelf.look() {
            Ok(catalogue) => {
                self.fault.clear();
                Some(catalogue)
            }
            Err(error) => {
                let fault = error.to_string();
                if fault != self.fault {
                    tracing::warn!(
                        reason = fault,
                        "rollouts go on without a look into the repository of releases"
                    );
                    self.fault = fault;
                }
                None
            }
        }
    }
}

impl Looking {
    fn told(&mut self, behind: Option<Behind>) {
        if let Some(Behind { own, newest }) = behind
            && !self.is_behind
        {
            tracing::warn!(
                own,
                newest,
                "this copy of the repository of releases is behind what another replica has seen: bring it up to date; until then rollouts conclude nothing from what it lacks"
            );
        }
        self.is_behind = behind.is_some();
    }
}

fn tell(changed: &[Rollout]) {
    for rollout in changed {
        let (rollout_id, version, reason) = (&rollout.id, &rollout.plan.release.version, &rollout.reason);
        if rollout.state == State::Halted {
            tracing::error!(rollout = %rollout_id, %version, %reason, "a rollout has halted");
        } else {
            tracing::info!(rollout = %rollout_id, %version, %reason, state = rollout.state.word(), "a rollout has ended");
        }
    }
}

/// Does `work` with `state` off the async threads. Only a panic ends that otherwise: without it no rollout would go on, and nobody
/// would know.
async fn off_threads<S: Send + 'static, T: Send + 'static>(
    mut state: S,
    work: impl FnOnce(&mut S) -> T + Send + 'static,
) -> Option<(S, T)> {
    let worked = tokio::task::spawn_blocking(move || {
        let outcome = work(&mut state);
        (state, outcome)
    });
    match worked.await {
        Ok(done) => Some(done),
        Err(error) => {
            tracing::error!(%error, "rollouts don't go on until the cloud is started again");
            None
        }
    }
}

/// Runs until it is dropped.
pub(crate) async fn on_sqlite(dir: PathBuf, releases: PathBuf, writer: Writer) {
    let serving_since = micros();
    let mut taking = TakeUp::new(&releases);
    let mut looking = Looking::new(releases);
    loop {
        let (path, writer) = (dir.join(DATABASE_FILE), writer.clone());
        let both = (taking, looking);
        let looked = off_threads(both, move |(taking, looking)| {
            if let Err(error) = enter(taking, &writer) {
                warn(&error);
            }
            one(&path, looking, &writer, serving_since)
        });
        let Some((back, outcome)) = looked.await else { return };
        (taking, looking) = back;
        match outcome {
            Ok(changed) => tell(&changed),
            Err(error) => warn(&error),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn enter(taking: &mut TakeUp, writer: &Writer) -> Result<(), StoreError> {
    if let Some(News { entries, length }) = taking.look() {
        writer.run(move |connection| rollouts::publications(connection, &entries))?;
        taking.entered(length);
    }
    Ok(())
}

fn one(
    path: &std::path::Path,
    looking: &mut Looking,
    writer: &Writer,
    serving_since: i64,
) -> Result<Vec<Rollout>, StoreError> {
    // Nothing is written, and no gateway's rows wait, where nothing is under way.
    if !rollouts::moves(&open_reader(path)?)? {
        return Ok(vec![]);
    }
    let catalogue = looking.look();
    let now = Now { micros: micros(), serving_since };
    let (changed, behind) =
        writer.run(move |connection| rollouts::reconcile(connection, catalogue.as_deref(), now))?;
    looking.told(behind);
    Ok(changed)
}

fn warn(error: &StoreError) {
    tracing::warn!(error = error as &dyn std::error::Error, "rollouts could not be looked at; trying again");
}

/// Runs until `cancel`; one replica at a time has a look.
pub(crate) async fn on_postgres(store: postgres::Store, releases: PathBuf, cancel: CancellationToken) {
    let serving_since = micros();
    let mut taking = TakeUp::new(&releases);
    let mut looking = Looking::new(releases);
    let going = async {
        loop {
            let Some((back, news)) = off_threads(taking, TakeUp::look).await else { return };
            taking = back;
            if let Some(News { entries, length }) = news {
                let entering =
                    async { postgres::rollouts::publications(&store.client().await?, &entries).await };
                match entering.await {
                    Ok(()) => taking.entered(length),
                    Err(error) => warn(&error),
                }
            }
            let moves = async { postgres::rollouts::moves(&store.client().await?).await };
            match moves.await {
                Ok(false) => {}
                Ok(true) => {
                    // A few kilobytes where nothing has changed, else up to two thousand manifests: off the async threads, and
                    // before a connection is taken for it.
                    let Some((back, catalogue)) = off_threads(looking, Looking::look).await else { return };
                    looking = back;
                    let going_on = async {
                        let now = Now { micros: micros(), serving_since };
                        let mut client = store.client().await?;
                        postgres::rollouts::reconcile(&mut client, catalogue.as_deref(), now).await
                    };
                    match going_on.await {
                        Ok(Some((changed, behind))) => {
                            looking.told(behind);
                            tell(&changed);
                        }
                        // Another replica is at it.
                        Ok(None) => {}
                        Err(error) => warn(&error),
                    }
                }
                Err(error) => warn(&error),
            }
            tokio::time::sleep(PERIOD).await;
        }
    };
    // Cut in the middle, it is as after a kill.
    let _: Option<()> = cancel.run_until_cancelled(going).await;
}
