//! The task: asks, fetches, waits, switches; in a new release, the trial.

mod asking;
mod beside;
mod going;
mod imaging;
#[cfg(test)]
mod tests;
mod timing;
mod trialling;

use super::clock::{Clock, Over};
use super::installer::Installer;
use super::kept::{By, Kept, Wanted, of_word};
use super::prepare::{Places, Ready, Stop};
use super::system::Image;
use super::trust::Trust;
use super::{Updates, Wish};
use engawa_model::{
    CommandKey, CommandOutcome, Fact, Observation, ObservationSink, Timestamp, UpdateNote, UpdateStep,
    UpkeepEnd,
};
use engawa_release::conditions::Conditions;
use engawa_slots::Status;
use engawa_update::{FolderSource, Limits, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{MutexGuard, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What the old release was like, for the new one.
const BASELINE: &str = "baseline.json";
/// How often a trial is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// So long before the supervisor's time is over a trial is ended here, where the reason is known.
const BEFORE_IT: Duration = Duration::from_secs(5);
/// After what may pass by itself it is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1800));
/// The longest that conditions are not looked at again: the house changes meanwhile.
const GLANCE: Duration = Duration::from_secs(60);
/// How old the cloud's word may be at a switch.
const FRESH: Duration = Duration::from_secs(30);
/// How long the supervisor may take to stop this process after it was told to switch.
const STOPPED_BY: Duration = Duration::from_secs(120);
/// How often a supervisor that can't be reached is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// The shortest pause between two questions to the cloud that it can ask for.
const SHORTEST_ASK: Duration = Duration::from_secs(5);

/// What is known and under way.
struct Run<'a> {
    parts: &'a Updates,
    places: Places,
    started: Instant,
    clock: Clock,
    /// No word of the cloud is kept that is later: by then all that is trusted has expired.
    trusted_until: Timestamp,
    /// Commands.
    wishes: MutexGuard<'a, mpsc::Receiver<Wish>>,
    /// A link that tells whether the cloud can be asked.
    connected: Option<watch::Receiver<bool>>,
    kept: Kept,
    /// The system image below, where it is one of ours.
    image: Option<Image>,
    installer: Installer,
    /// A bundle of a system image may lie on the disk.
    has_bundle: bool,
    /// What runs, as the supervisor says; `None`: there is none.
    running: Option<Status>,
    /// What lies ready in the spare slot, of what is wanted.
    ready: Option<Ready>,
    /// When the cloud was asked last and has answered.
    asked: Option<Instant>,
    /// When it is asked again.
    ask_at: Instant,
    /// When what is wanted is gone on with.
    go_on_at: Instant,
    /// When it is asked again how the last trial ended, where that is not known.
    outcome_at: Option<Instant>,
    /// The pause after the next failure.
    pause: Duration,
    /// When the box's installer was asked for a system image.
    asked_installer: Option<Instant>,
    /// The clock was said to be off.
    said_off: bool,
    cancel: CancellationToken,
}

impl Updates {
    /// Works until `cancel`.
    pub(crate) async fn run(&self, cancel: CancellationToken) -> anyhow::Result<()> {
        let wishes = self.wishes.lock().await;
        let mut run = Run::new(self, wishes, cancel.clone());
        let Some(()) = cancel.run_until_cancelled(run.begin()).await.transpose()? else { return Ok(()) };
        loop {
            let next = run.ask_at.min(run.next());
            let next = run.outcome_at.map_or(next, |at| next.min(at));
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                wish = run.wishes.recv() => match wish {
                    Some(wish) => run.wish(wish).await?,
                    None => return Ok(()),
                },
                () = changed(&mut run.connected) => run.ask_at = run.ask_at.min(Instant::now()),
                () = tokio::time::sleep_until(next.into()) => {}
            }
            let worked = async {
                if run.outcome_at.is_some_and(|at| at <= Instant::now()) {
                    run.outcome().await?;
                }
                if run.ask_at <= Instant::now() {
                    run.ask().await?;
                }
                // Before the next one needs the room.
                run.clear_images().await?;
                if run.next() <= Instant::now() {
                    run.go_on().await?;
                    run.clear_images().await?;
                }
                anyhow::Ok(())
            };
            let Some(worked) = cancel.run_until_cancelled(worked).await else { return Ok(()) };
            worked?;
        }
    }
}

/// Ready when there is a connection that was not there.
async fn changed(connected: &mut Option<watch::Receiver<bool>>) {
    let Some(connected) = connected else { return std::future::pending().await };
    loop {
        if connected.changed().await.is_err() {
            return std::future::pending().await;
        }
        if *connected.borrow_and_update() {
            return;
        }
    }
}

impl<'a> Run<'a> {
    fn new(
        parts: &'a Updates,
        wishes: MutexGuard<'a, mpsc::Receiver<Wish>>,
        cancel: CancellationToken,
    ) -> Self {
        let config = &parts.config;
        let kept = Kept::load(&config.dir);
        let limits = Limits { reserve: u64::from(config.reserve_mib) << 20, ..Limits::default() };
        let now = Instant::now();
        Self {
            places: Places { dir: config.dir.clone(), trust: Trust::new(&config.dir, &config.root), limits },
            started: now,
            clock: Clock::new(said(&kept)),
            trusted_until: Timestamp::MAX,
            wishes,
            connected: parts.connected.clone(),
            kept,
            image: system_image(),
            installer: Installer::new(&config.dir),
            // Of an earlier run.
            has_bundle: true,
            running: None,
            ready: None,
            asked: None,
            ask_at: now,
            go_on_at: now,
            outcome_at: None,
            pause: AGAIN.0,
            asked_installer: None,
            said_off: false,
            parts,
            cancel,
        }
    }

    /// What is to be settled before anything is asked: who runs, the trial, how the last one ended.
    async fn begin(&mut self) -> anyhow::Result<()> {
        let Some(supervisor) = self.parts.supervisor.clone() else {
            tracing::warn!(
                "this agent was not started by engawa-supervisor: it tells the cloud what it runs, and releases are installed by \
                 hand"
            );
            return Ok(());
        };
        let status = loop {
            let asked = supervisor.clone();
            match blocking(move || asked.status()).await? {
                Ok(status) => break status,
                Err(error) => {
                    tracing::warn!(%error, "the supervisor does not say what runs; it is asked again");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        };
        self.bound_time(&status).await?;
        let on_trial = status.trial.is_some();
        self.running = Some(status);
        self.clear_images().await?;
        if on_trial {
            self.trial().await?;
        }
        self.outcome().await
    }

    /// When what is wanted is gone on with.
    fn next(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(86_400);
        // What was just undone is not begun again.
        let open = self.kept.wanted.is_some() && self.running.is_some() && self.outcome_at.is_none();
        if open { self.go_on_at } else { far }
    }

    async fn end(
        &self,
        key: &CommandKey,
        outcome: CommandOutcome,
        note: Option<String>,
    ) -> anyhow::Result<()> {
        let end = UpkeepEnd { outcome, note, bundle: vec![] };
        let fact = Fact::UpkeepDone { key: key.clone(), end };
        Ok(self.parts.door.report_durable(Observation::new(Timestamp::now(), fact)).await?)
    }

    fn note_number(&mut self, number: u64) {
        // One that was announced stays what it was: whoever has announced it may be wrong.
        if let Some(wanted) = self.kept.wanted.as_mut().filter(|wanted| wanted.number == 0) {
            wanted.number = number;
        }
    }

    /// A step of what is wanted, told once.
    async fn tell(&mut self, step: UpdateStep, reason: Option<String>) -> anyhow::Result<()> {
        let Some(wanted) = self.kept.wanted.clone() else { return Ok(()) };
        let told = Some((step, reason.clone()));
        if self.kept.told == told {
            return Ok(());
        }
        self.report(UpdateNote {
            rollout: wanted.rollout().map(str::to_owned),
            attempt: wanted.attempt(),
            version: wanted.version,
            number: wanted.number,
            step,
            reason,
        })
        .await?;
        self.kept.told = told;
        self.save()
    }

    async fn tell_of(
        &mut self,
        status: &Status,
        step: UpdateStep,
        reason: Option<String>,
    ) -> anyhow::Result<()> {
        let (rollout, attempt) = status.trial.as_ref().map_or((None, 0), |trial| of_word(&trial.rollout));
        let (version, number) = (status.version.clone(), status.number);
        self.report(UpdateNote { rollout, attempt, version, number, step, reason: reason.clone() }).await?;
        self.kept.told = Some((step, reason));
        self.save()
    }

    async fn report(&self, update: UpdateNote) -> anyhow::Result<()> {
        let fact = Fact::Updated { update };
        Ok(self.parts.door.report_durable(Observation::new(Timestamp::now(), fact)).await?)
    }

    /// What can't be kept is said, and ends nothing: the house goes on.
    fn save(&self) -> anyhow::Result<()> {
        if let Err(error) = tokio::task::block_in_place(|| self.kept.save(&self.places.dir)) {
            tracing::error!(%error, "what updates remember can't be kept: after a restart they begin anew");
        }
        Ok(())
    }
}

/// Says `false` when it is dropped.
struct Stopper(Arc<AtomicBool>);

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn unsupervised() -> Stop {
    Stop::Failed("there is no supervisor that could start another release".to_owned())
}

/// Nothing but what holds always: no audit, no call, no charge.
fn unconditional() -> Conditions {
    Conditions { audit_margin_min: 0, check_in: None, ..Conditions::default() }
}

/// What is remembered of the time.
fn said(kept: &Kept) -> Over {
    let never = Timestamp::UNIX_EPOCH;
    Over { signed: never, agreed: kept.agreed.unwrap_or(never), said: kept.time.unwrap_or(never) }
}

/// Works with the source that has what is wanted, until `going` is false.
fn with_source<T>(
    line: Option<&Arc<engawa_link::UpdateLine>>,
    going: Arc<AtomicBool>,
    wanted: &Wanted,
    work: impl FnOnce(&mut dyn Source) -> Result<T, Stop>,
) -> Result<T, Stop> {
    match (&wanted.by, line) {
        (By::Stick { folder, .. }, _) => {
            let opened = FolderSource::open(folder);
            let mut source = opened.map_err(|error| {
                Stop::Refused(format!("the repository {} can't be opened: {error}", folder.display()))
            })?;
            // Whoever holds it waits for an answer.
            work(&mut source).map_err(|stop| match stop {
                Stop::Lacking(why) => Stop::Refused(why),
                stop => stop,
            })
        }
        (_, Some(line)) => work(&mut line.source(going)),
        (_, None) => Err(Stop::Later("there is no cloud that a release could come from".to_owned())),
    }
}

fn as_slot(digest: engawa_release::Digest) -> engawa_slots::Digest {
    engawa_slots::Digest(*digest.as_bytes())
}

fn as_release(digest: engawa_slots::Digest) -> engawa_release::Digest {
    engawa_release::Digest::from(digest.0)
}

/// The system image below (os-release(5)), where it is one of ours.
fn system_image() -> Option<Image> {
    Image::of(&std::fs::read_to_string("/etc/os-release").ok()?)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
