//! From what is wanted to the switch.

use super::super::kept::{Last, Wanted, word};
use super::super::prepare::{self, Fits, Ready, Stop};
use super::super::{TRIPLE, facts, files, system};
use super::{
    AGAIN, BASELINE, FRESH, GLANCE, Run, STOPPED_BY, as_release, as_slot, blocking, unconditional,
    unsupervised, with_source,
};
use engawa_model::{Timestamp, UpdateStep};
use engawa_release::conditions::{Conditions, Verdict, may_switch_by_both};
use engawa_slots::Status;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Run<'_> {
    /// A step further with what is wanted.
    pub(super) async fn go_on(&mut self) -> anyhow::Result<()> {
        let (Some(wanted), Some(running)) = (self.kept.wanted.clone(), self.running.clone()) else {
            return Ok(());
        };
        if system::is_image(&wanted.target) {
            return self.go_on_with_image(&wanted).await;
        }
        // What can't come true any more is not worth a byte of the line.
        if let Verdict::Never { why } = self.may_switch(&wanted)? {
            return self.over(UpdateStep::Refused, why).await;
        }
        if self.ready.is_none() {
            let fetched = self.fetch(&wanted, &running).await?;
            // To begin may have settled that the slot which could not be read is given up: told before the next trial's end
            // takes its place.
            self.outcome().await?;
            match fetched {
                None => return Ok(()),
                Some(Ok(ready)) => {
                    tracing::info!(version = %wanted.version, bytes = ready.fetched, "a release lies ready in the spare slot");
                    self.note_number(ready.number);
                    self.ready = Some(ready);
                    self.tell(UpdateStep::Ready, None).await?;
                }
                Some(Err(stop)) => return self.stopped(&wanted, stop).await,
            }
        }
        // Its conditions, or whoever wants it, may have changed while it came.
        let Some(wanted) = self.kept.wanted.clone() else { return Ok(()) };
        let Some(ready) = self.ready.clone() else { return Ok(()) };
        if self.outcome_at.is_some() {
            return Ok(());
        }
        self.pause = AGAIN.0;
        if !self.is_a_good_moment(&wanted).await? {
            return Ok(());
        }
        // The release may have been revoked meanwhile, and the rollout halted.
        if wanted.rollout().is_some() && self.asked.is_none_or(|at| at.elapsed() > FRESH) {
            self.asked = None;
            self.ask().await?;
            if self.kept.wanted.as_ref() != Some(&wanted) {
                return Ok(());
            }
            if self.asked.is_none() {
                self.go_on_at = Instant::now() + GLANCE;
                let why = "the cloud can't be asked whether the release is still wanted".to_owned();
                return self.tell(UpdateStep::Waiting, Some(why)).await;
            }
        }
        match self.look_again(&wanted, &running).await? {
            None => Ok(()),
            Some(Ok(_)) if self.kept.wanted.as_ref() != Some(&wanted) => Ok(()),
            Some(Ok(manifest)) if manifest == ready.manifest => self.switch(&wanted, &ready).await,
            Some(Ok(_)) => {
                // Another release of the same name: it is fetched.
                self.ready = None;
                self.go_on_at = Instant::now();
                Ok(())
            }
            Some(Err(stop)) => self.stopped(&wanted, stop).await,
        }
    }

    /// Whether it may be switched now; where not, that is told, and it is looked at again later.
    async fn is_a_good_moment(&mut self, wanted: &Wanted) -> anyhow::Result<bool> {
        let verdict = self.may_switch(wanted)?;
        self.is_good(verdict).await
    }

    /// What the judge has said of the moment, told.
    pub(super) async fn is_good(&mut self, verdict: Verdict) -> anyhow::Result<bool> {
        match verdict {
            Verdict::Yes => return Ok(true),
            Verdict::Wait { until, why } => {
                let left = Duration::try_from(until.duration_since(self.now().at)).unwrap_or_default();
                self.go_on_at = Instant::now() + left.clamp(Duration::from_secs(1), GLANCE);
                self.tell(UpdateStep::Waiting, Some(why)).await?;
            }
            Verdict::Never { why } => self.over(UpdateStep::Refused, why).await?,
        }
        Ok(false)
    }

    /// Conditions of the house and of whoever wants the release, both.
    pub(super) fn may_switch(&mut self, wanted: &Wanted) -> anyhow::Result<Verdict> {
        let now = self.now().at;
        self.may_switch_at(wanted, now)
    }

    /// The same at `now`.
    pub(super) fn may_switch_at(&self, wanted: &Wanted, now: Timestamp) -> anyhow::Result<Verdict> {
        let asked = match Conditions::parse(wanted.conditions.as_bytes()) {
            Ok(asked) => asked,
            Err(error) => return Ok(Verdict::Never { why: error.to_string() }),
        };
        let zone = self.parts.zone.clone();
        let facts = self.parts.watch.shared.look(|property| facts::of(property, &zone, now));
        let config = &self.parts.config;
        // Going back is for a reason: what the house has set for its convenience does not hold it up, unless it says so.
        let at_once = wanted.is_back() && !config.back_waits;
        let own = if at_once { unconditional() } else { config.conditions() };
        Ok(may_switch_by_both(&own, &asked, &facts, now))
    }

    pub(super) fn fits(&self, running: &Status) -> Fits {
        Fits {
            triple: TRIPLE.to_owned(),
            hardware: self.parts.config.hardware.clone(),
            floor: running.floor,
            running: running.number,
        }
    }

    /// The time that metadata is judged by, or that there is none.
    pub(super) fn confirmed(&mut self) -> Result<Timestamp, Stop> {
        let now = self.now();
        // A box without a cloud remembers the network's time.
        if let Err(error) = self.keep_time() {
            tracing::debug!(%error, "the time is not remembered");
        }
        match now.confirmed {
            Some(_) => Ok(now.at),
            None => Err(Stop::Later(
                "what time it is was not confirmed since the start, by the cloud or from the network: whether metadata has expired \
                 can't be said"
                    .to_owned(),
            )),
        }
    }

    /// Fetches it into the spare slot; `None` where something else is wanted meanwhile.
    pub(super) async fn fetch(
        &mut self,
        wanted: &Wanted,
        running: &Status,
    ) -> anyhow::Result<Option<Result<Ready, Stop>>> {
        let now = match self.confirmed() {
            Ok(now) => now,
            Err(stop) => return Ok(Some(Err(stop))),
        };
        let Some(supervisor) = self.parts.supervisor.clone() else { return Ok(Some(Err(unsupervised()))) };
        let (places, fits) = (self.places.clone(), self.fits(running));
        let (line, to_find) = (self.parts.line.clone(), wanted.clone());
        let found = self.beside(wanted, move |going| {
            with_source(line.as_ref(), going, &to_find, |source| {
                prepare::find(&places, source, &to_find, &fits, now)
            })
        });
        let release = match found.await? {
            None => return Ok(None),
            Some(Ok(release)) => release,
            Some(Err(stop)) => return Ok(Some(Err(stop))),
        };
        self.note_number(release.manifest.number);
        if release.manifest.number == running.number && release.sha256() == as_release(running.manifest) {
            return Ok(Some(Err(Stop::Refused("it is what runs".to_owned()))));
        }
        self.tell(UpdateStep::Downloading, None).await?;
        let (places, line, to_lay) = (self.places.clone(), self.parts.line.clone(), wanted.clone());
        let (slot, cancel) = (running.slot, self.cancel.clone());
        let laid = self.beside(wanted, move |going| {
            let on = going.clone();
            let mut watch =
                |_: &engawa_update::Progress| on.load(Ordering::Relaxed) && !cancel.is_cancelled();
            with_source(line.as_ref(), going, &to_lay, |source| {
                prepare::lay(&places, source, &release, &supervisor, slot, &mut watch)
            })
        });
        laid.await
    }

    /// The manifest's digest by metadata of this moment; `None` where something else is wanted meanwhile.
    pub(super) async fn look_again(
        &mut self,
        wanted: &Wanted,
        running: &Status,
    ) -> anyhow::Result<Option<Result<engawa_release::Digest, Stop>>> {
        let now = match self.confirmed() {
            Ok(now) => now,
            Err(stop) => return Ok(Some(Err(stop))),
        };
        let (places, fits, to_find) = (self.places.clone(), self.fits(running), wanted.clone());
        let line = self.parts.line.clone();
        self.beside(wanted, move |going| {
            with_source(line.as_ref(), going, &to_find, |source| {
                prepare::find(&places, source, &to_find, &fits, now)
            })
            .map(|release| release.sha256())
        })
        .await
    }

    pub(super) async fn switch(&mut self, wanted: &Wanted, ready: &Ready) -> anyhow::Result<()> {
        let Some(supervisor) = self.parts.supervisor.clone() else { return Ok(()) };
        let state = serde_json::to_vec_pretty(&self.parts.watch.look())?;
        let path = self.places.dir.join(BASELINE);
        if let Err(error) = blocking(move || files::replace(&path, &state)).await? {
            // A disk that is full now need not be so later.
            let why = format!("the state before the switch can't be kept: {error}");
            return self.stopped(wanted, Stop::Later(why)).await;
        }
        let (manifest, number, version) = (as_slot(ready.manifest), ready.number, wanted.version.clone());
        if wanted.command().is_some() {
            // A person's word is newer than what an earlier trial has shown.
            let asked = supervisor.clone();
            if let Err(error) = blocking(move || asked.forget(manifest)).await? {
                return self.stopped(wanted, error.into()).await;
            }
        }
        // The line took its time since the house was judged: a night audit may have begun, a call may ring.
        if !self.is_a_good_moment(wanted).await? {
            return Ok(());
        }
        tracing::info!(version = %wanted.version, "the supervisor is asked to switch");
        self.tell(UpdateStep::Switching, None).await?;
        let rollout = word(wanted.rollout(), wanted.attempt());
        match blocking(move || supervisor.try_release(manifest, number, &version, &rollout)).await? {
            Ok(()) => {
                tokio::time::sleep(STOPPED_BY).await;
                self.over(UpdateStep::Failed, "the supervisor said yes, and has not switched".to_owned())
                    .await
            }
            Err(error) => self.stopped(wanted, error.into()).await,
        }
    }

    /// The work for `wanted` has stopped. Where something else is wanted by now that says nothing of it.
    pub(super) async fn stopped(&mut self, wanted: &Wanted, stop: Stop) -> anyhow::Result<()> {
        if !self.kept.wanted.as_ref().is_some_and(|now| now.is_still(wanted)) {
            return Ok(());
        }
        match stop {
            Stop::Later(why) | Stop::Lacking(why) => {
                self.go_on_at = Instant::now() + self.pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
                tracing::info!(%why, "the update is gone on with later");
                self.pause = (self.pause * 2).min(AGAIN.1);
                Ok(())
            }
            Stop::Refused(why) => self.over(UpdateStep::Refused, why).await,
            Stop::Failed(why) => self.over(UpdateStep::Failed, why).await,
        }
    }

    /// It comes to nothing.
    pub(super) async fn over(&mut self, step: UpdateStep, why: String) -> anyhow::Result<()> {
        let Some(wanted) = self.kept.wanted.clone() else { return Ok(()) };
        tracing::error!(version = %wanted.version, how = step.word(), %why, "the update comes to nothing");
        let last = Last {
            rollout: wanted.rollout().unwrap_or_default().to_owned(),
            attempt: wanted.attempt(),
            version: wanted.version.clone(),
            step,
            reason: why.clone(),
            command: wanted.command().map(str::to_owned),
        };
        if self.kept.last.as_ref() != Some(&last) {
            self.tell(step, Some(why.clone())).await?;
        }
        self.end_command(&wanted, step, Some(&why)).await?;
        self.kept.ended(last);
        self.ready = None;
        self.save()
    }
}
