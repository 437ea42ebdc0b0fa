//! A system image: from what is wanted to the word whether it stayed.

use super::super::kept::{Last, Wanted, word};
use super::super::prepare::{Ready, Stop};
use super::super::system::{self, Image, Stage};
use super::{AGAIN, FRESH, GLANCE, Run, blocking, with_source};
use engawa_model::{Timestamp, UpdateNote, UpdateStep};
use engawa_release::conditions::Verdict;
use jiff::SignedDuration;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the installer's word is looked for.
const LISTEN: Duration = Duration::from_secs(2);
/// What it takes to write an image and to start anew, minutes: so long the house must allow it.
const INSTALLS_MIN: i64 = 10;
/// So long it may be at work, the machine's way down with it. It gives up by itself after 30 minutes (`engawa-system.service`),
/// and says so.
const INSTALLED_BY: Duration = Duration::from_secs(2400);

impl Run<'_> {
    /// What is left of an image that nobody wants any more goes.
    pub(super) async fn clear_images(&mut self) -> anyhow::Result<()> {
        let wanted = self.kept.wanted.as_ref().is_some_and(|wanted| system::is_image(&wanted.target));
        if wanted || !self.has_bundle || self.running.is_none() { Ok(()) } else { self.forget_bundle().await }
    }

    /// How far the wanted image is; `None` where none is wanted, or this is no system of ours.
    fn stage(&self) -> Option<Stage> {
        let wanted = self.kept.wanted.as_ref().filter(|wanted| system::is_image(&wanted.target))?;
        let runs = self.image.as_ref()?;
        let image = Image { version: wanted.version.clone(), number: wanted.number };
        Some(system::stage(&image, &request(wanted), runs, &self.installer.told()))
    }

    /// True as long as an image is being installed or on trial: then nobody's other word counts.
    pub(super) fn is_imaging(&self) -> bool {
        self.stage().is_some_and(|stage| stage != Stage::NotAsked)
    }

    /// The system that runs is on trial: it is not what the box keeps, yet, whatever is wanted.
    pub(super) fn is_image_on_trial(&self) -> bool {
        self.image.as_ref().is_some_and(|runs| system::is_on_trial(runs, &self.installer.told()))
    }

    /// A step further with a system image that is wanted.
    pub(super) async fn go_on_with_image(&mut self, wanted: &Wanted) -> anyhow::Result<()> {
        let Some(runs) = self.image.clone() else {
            let why = "this box does not run one of Engawa's system images: its system is kept by whoever has set it up";
            return self.over(UpdateStep::Refused, why.to_owned()).await;
        };
        match self.stage() {
            Some(Stage::Good) => self.image_is(wanted, UpdateStep::Confirmed, None).await,
            Some(Stage::Back(why)) => self.image_is(wanted, UpdateStep::RolledBack, Some(why)).await,
            Some(Stage::Refused(why)) => {
                self.forget_bundle().await?;
                self.over(UpdateStep::Refused, format!("the box's installer refuses it: {why}")).await
            }
            Some(Stage::Trial) => self.listen(UpdateStep::Trial).await,
            Some(Stage::Installing) if self.asked_installer.is_some_and(|at| at.elapsed() > INSTALLED_BY) => {
                self.forget_bundle().await?;
                let why =
                    format!("the box's installer was not done with it within {} s", INSTALLED_BY.as_secs());
                self.over(UpdateStep::Failed, why).await
            }
            Some(Stage::Installing) => {
                self.asked_installer.get_or_insert_with(Instant::now);
                self.listen(UpdateStep::Switching).await
            }
            Some(Stage::NotAsked) if self.asked_installer.take().is_some() => {
                // It has neither written nor refused it: it has no bundle, and what lay ready is gone.
                self.ready = None;
                let why = "the box's installer has let go of the request without a word".to_owned();
                self.stopped(wanted, Stop::Later(why)).await
            }
            Some(Stage::NotAsked) | None => self.bring_image(wanted, &runs).await,
        }
    }

    async fn listen(&mut self, step: UpdateStep) -> anyhow::Result<()> {
        self.go_on_at = Instant::now() + LISTEN;
        self.tell(step, None).await
    }

    /// Fetches it, waits for a good moment, and asks the installer.
    async fn bring_image(&mut self, wanted: &Wanted, runs: &Image) -> anyhow::Result<()> {
        if let Verdict::Never { why } = self.may_switch(wanted)? {
            return self.over(UpdateStep::Refused, why).await;
        }
        if self.ready.is_none() {
            match self.fetch_image(wanted, runs).await? {
                None => return Ok(()),
                Some(Ok(ready)) => {
                    tracing::info!(version = %wanted.version, bytes = ready.fetched, "a system image lies ready");
                    self.ready = Some(ready);
                    self.tell(UpdateStep::Ready, None).await?;
                }
                Some(Err(stop)) => return self.stopped(wanted, stop).await,
            }
        }
        // Its conditions, or whoever wants it, may have changed while it came.
        let (Some(wanted), Some(ready)) = (self.kept.wanted.clone(), self.ready.clone()) else {
            return Ok(());
        };
        self.pause = AGAIN.0;
        if !self.is_a_good_while(&wanted).await? {
            return Ok(());
        }
        if wanted.rollout().is_some() && self.asked.is_none_or(|at| at.elapsed() > FRESH) {
            self.asked = None;
            self.ask().await?;
            if !self.kept.wanted.as_ref().is_some_and(|now| now.is_still(&wanted)) {
                return Ok(());
            }
            if self.asked.is_none() {
                self.go_on_at = Instant::now() + GLANCE;
                let why = "the cloud can't be asked whether the image is still wanted".to_owned();
                return self.tell(UpdateStep::Waiting, Some(why)).await;
            }
        }
        // It may have been revoked while it waited.
        let found = self.find_image(&wanted, runs).await?;
        if !self.kept.wanted.as_ref().is_some_and(|now| now.is_still(&wanted)) {
            return Ok(());
        }
        match found {
            None => return Ok(()),
            Some(Ok(release)) if release.sha256() == ready.manifest => {}
            Some(Ok(_)) => {
                // Another image of the same name: it is fetched.
                self.ready = None;
                self.go_on_at = Instant::now();
                return Ok(());
            }
            Some(Err(stop)) => return self.stopped(&wanted, stop).await,
        }
        // The line took its time since the house was judged.
        if !self.is_a_good_while(&wanted).await? {
            return Ok(());
        }
        self.tell(UpdateStep::Switching, None).await?;
        // With the number, which is known by now.
        let request = request(self.kept.wanted.as_ref().unwrap_or(&wanted));
        let installer = self.installer.clone();
        tracing::info!(version = %wanted.version, "the box's installer is asked");
        match blocking(move || installer.ask(&request)).await? {
            Ok(()) => {
                // The bundle is the installer's from here on.
                self.ready = None;
                self.asked_installer = Some(Instant::now());
                self.go_on_at = Instant::now() + LISTEN;
                Ok(())
            }
            Err(error) => {
                let why = format!("the box's installer can't be asked: {error}");
                self.stopped(&wanted, Stop::Later(why)).await
            }
        }
    }

    /// Whether the house may stand still at any time from now until the image is installed: the installer starts the machine anew
    /// when it is done, and the boot loader would start the new image after a power cut, too. Where not, that is told.
    async fn is_a_good_while(&mut self, wanted: &Wanted) -> anyhow::Result<bool> {
        let now = self.now().at;
        let mut verdict = self.may_switch_at(wanted, now)?;
        for minute in 1..=INSTALLS_MIN {
            if verdict != Verdict::Yes {
                break;
            }
            let at = now.checked_add(SignedDuration::from_mins(minute)).unwrap_or(Timestamp::MAX);
            verdict = match self.may_switch_at(wanted, at)? {
                Verdict::Wait { until, why } => {
                    let why = format!(
                        "a system image takes up to {INSTALLS_MIN} min, and before they are over: {why}"
                    );
                    Verdict::Wait { until, why }
                }
                verdict => verdict,
            };
        }
        self.is_good(verdict).await
    }

    /// Fetches its bundle; `None` where something else is wanted meanwhile.
    async fn fetch_image(
        &mut self,
        wanted: &Wanted,
        runs: &Image,
    ) -> anyhow::Result<Option<Result<Ready, Stop>>> {
        let found = match self.find_image(wanted, runs).await? {
            None => return Ok(None),
            Some(Ok(release)) => release,
            Some(Err(stop)) => return Ok(Some(Err(stop))),
        };
        self.note_number(found.manifest.number);
        self.tell(UpdateStep::Downloading, None).await?;
        self.has_bundle = true;
        let (installer, places) = (self.installer.clone(), self.places.clone());
        let (line, to_lay, cancel) = (self.parts.line.clone(), wanted.clone(), self.cancel.clone());
        let laid = self.beside(wanted, move |going| {
            let on = going.clone();
            let mut watch =
                |_: &engawa_update::Progress| on.load(Ordering::Relaxed) && !cancel.is_cancelled();
            with_source(line.as_ref(), going, &to_lay, |source| {
                installer.lay(&places, source, &found, &mut watch)
            })
        });
        laid.await
    }

    /// `None` where something else is wanted meanwhile.
    async fn find_image(
        &mut self,
        wanted: &Wanted,
        runs: &Image,
    ) -> anyhow::Result<Option<Result<engawa_update::Release, Stop>>> {
        let now = match self.confirmed() {
            Ok(now) => now,
            Err(stop) => return Ok(Some(Err(stop))),
        };
        let (installer, places) = (self.installer.clone(), self.places.clone());
        let (to_find, runs, hardware) = (wanted.clone(), runs.clone(), self.parts.config.hardware.clone());
        let line = self.parts.line.clone();
        self.beside(wanted, move |going| {
            with_source(line.as_ref(), going, &to_find, |source| {
                installer.find(&places, source, &to_find, &hardware, &runs, now)
            })
        })
        .await
    }

    async fn forget_bundle(&mut self) -> anyhow::Result<()> {
        let installer = self.installer.clone();
        self.asked_installer = None;
        match blocking(move || installer.forget()).await? {
            Ok(()) => self.has_bundle = false,
            Err(error) => {
                tracing::warn!(%error, "the bundle of a system image can't be removed: it takes its room until the next turn");
            }
        }
        Ok(())
    }

    /// The image has stayed, or has not.
    async fn image_is(
        &mut self,
        wanted: &Wanted,
        step: UpdateStep,
        why: Option<String>,
    ) -> anyhow::Result<()> {
        self.forget_bundle().await?;
        tracing::info!(version = %wanted.version, how = step.word(), why = why.as_deref().unwrap_or(""), "an update of the system is over");
        self.report(UpdateNote {
            rollout: wanted.rollout().map(str::to_owned),
            attempt: wanted.attempt(),
            version: wanted.version.clone(),
            number: wanted.number,
            step,
            reason: why.clone(),
        })
        .await?;
        self.end_command(wanted, step, why.as_deref()).await?;
        self.kept.ended(Last {
            rollout: wanted.rollout().unwrap_or_default().to_owned(),
            attempt: wanted.attempt(),
            version: wanted.version.clone(),
            step,
            reason: why.unwrap_or_default(),
            command: wanted.command().map(str::to_owned),
        });
        self.ready = None;
        // What waited for this one is asked for.
        self.ask_at = Instant::now();
        self.save()
    }
}

fn request(wanted: &Wanted) -> String {
    system::request(&wanted.version, wanted.number, &word(wanted.rollout(), wanted.attempt()))
}
