//! What is wanted: the cloud is asked, commands are heard.

use super::super::kept::{By, Last, Wanted};
use super::super::{TRIPLE, Wish, system};
use super::{AGAIN, GLANCE, Run, SHORTEST_ASK, as_release, blocking, unconditional};
use engawa_model::{CommandOutcome, Timestamp, UpdateStep};
use engawa_protocol::update::{UpdateAsk, UpdateTold};
use engawa_release::conditions::{Conditions, Hours};
use engawa_release::name;
use engawa_slots::Status;
use engawa_update::SourceFault;
use std::time::{Duration, Instant};

impl Run<'_> {
    /// Asks the cloud what is to run here.
    pub(super) async fn ask(&mut self) -> anyhow::Result<()> {
        let every = Duration::from_secs(u64::from(self.parts.config.ask_every_s));
        // Neither the whole fleet at once, nor always at the same minute.
        self.ask_at = Instant::now() + every.mul_f64(0.8 + rand::random::<f64>() * 0.4);
        let Some(line) = self.parts.line.clone() else { return Ok(()) };
        let ask = self.what_runs();
        match blocking(move || line.told(ask)).await? {
            Ok(told) => {
                self.asked = Some(Instant::now());
                if told.ask_again_s > 0 {
                    let pause = Duration::from_secs(u64::from(told.ask_again_s)).max(SHORTEST_ASK);
                    self.ask_at = self.ask_at.min(Instant::now() + pause);
                }
                self.told(told).await
            }
            Err(SourceFault::Away(why)) => {
                tracing::debug!(%why, "the cloud can't be asked what is to run here");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "the cloud can't be asked what is to run here");
                Ok(())
            }
        }
    }

    pub(super) fn what_runs(&self) -> UpdateAsk {
        let last = self.kept.last.as_ref();
        let text = |part: fn(&Last) -> &str| last.map_or_else(String::new, |last| part(last).to_owned());
        let (version, number, slot, floor) = self.running.as_ref().map_or_else(
            || (env!("CARGO_PKG_VERSION").to_owned(), 0, String::new(), 0),
            |status| (status.version.clone(), status.number, status.slot.name().to_owned(), status.floor),
        );
        let state = match (&self.running, &self.kept.told, &self.kept.wanted) {
            (None, ..) => "unsupervised",
            _ if self.is_image_on_trial() => UpdateStep::Trial.word(),
            (_, Some((step, _)), Some(_)) => step.word(),
            _ => "idle",
        };
        let (system_version, system_number) =
            self.image.clone().map_or_else(Default::default, |image| (image.version, image.number));
        UpdateAsk {
            version,
            number,
            slot,
            triple: TRIPLE.to_owned(),
            hardware: self.parts.config.hardware.clone(),
            system_version,
            state: state.to_owned(),
            floor,
            last_rollout: text(|last| &last.rollout),
            last_outcome: text(|last| last.step.word()),
            last_reason: text(|last| &last.reason),
            last_attempt: last.map_or(0, |last| last.attempt),
            system_number,
        }
    }

    /// What the cloud wants.
    pub(super) async fn told(&mut self, told: UpdateTold) -> anyhow::Result<()> {
        let was_confirmed = self.now().confirmed.is_some();
        if let Ok(at) = Timestamp::from_second(told.now_s)
            && told.now_s > 0
        {
            self.cloud_says(at)?;
        }
        if self.ready.is_none() && !was_confirmed {
            // What waited for the time is gone on with.
            self.go_on_at = self.go_on_at.min(Instant::now());
        }
        let Some(running) = &self.running else { return Ok(()) };
        if self.is_imaging() {
            // It is past the point where it could be called back.
            return Ok(());
        }
        let runs = if system::is_image(&told.target) {
            self.image.clone().map(|image| (image.version, image.number))
        } else {
            Some((running.version.clone(), running.number))
        };
        let nothing = told.version.is_empty() || runs == Some((told.version.clone(), told.number));
        match (&self.kept.wanted, nothing) {
            // Somebody here wants something: that comes first.
            (Some(Wanted { by: By::Command { .. } | By::Stick { .. }, .. }), _) | (None, true) => Ok(()),
            (Some(wanted), true) => {
                tracing::info!(version = %wanted.version, "the cloud wants that release no longer");
                (self.kept.wanted, self.kept.told, self.ready) = (None, None, None);
                self.save()
            }
            (before, false) => {
                let wanted = Wanted {
                    by: By::Rollout { id: told.rollout, attempt: told.attempt, back: told.back },
                    version: told.version,
                    number: told.number,
                    target: told.target,
                    conditions: String::from_utf8_lossy(&told.conditions).into_owned(),
                };
                if before.as_ref() == Some(&wanted) {
                    return Ok(());
                }
                if let Some(why) = wanted.unspeakable() {
                    return self.decline(wanted, why).await;
                }
                if let Some(bad) = self.kept.found_bad(&wanted) {
                    let why = format!("it was found bad here in this rollout already: {}", bad.reason);
                    return self.decline(wanted, why).await;
                }
                self.want(wanted).await
            }
        }
    }

    /// What is offered is not taken. What was wanted before is wanted no longer: the cloud's newest word counts. The reason is
    /// told once; an offer that comes again is answered by what the question says of the last update: how this very one ended,
    /// where it was the last.
    async fn decline(&mut self, offered: Wanted, why: String) -> anyhow::Result<()> {
        if self.started.elapsed() < GLANCE {
            // The cloud has not heard yet how it ended here.
            (self.kept.wanted, self.kept.told, self.ready) = (None, None, None);
            return self.save();
        }
        if self.kept.last.as_ref().is_some_and(|last| last.is_of(&offered)) {
            (self.kept.wanted, self.kept.told, self.ready) = (None, None, None);
            return self.save();
        }
        (self.kept.wanted, self.kept.told, self.ready) = (Some(offered), None, None);
        self.over(UpdateStep::Refused, why).await
    }

    pub(super) async fn want(&mut self, wanted: Wanted) -> anyhow::Result<()> {
        // Of the same release with other conditions what lies ready stays.
        if self.kept.wanted.as_ref().is_none_or(|before| before.target != wanted.target) {
            self.ready = None;
        }
        let last = self.kept.last.as_ref();
        let again = last.is_some_and(|last| last.step == UpdateStep::Refused && last.is_of(&wanted));
        (self.kept.wanted, self.kept.told) = (Some(wanted), None);
        (self.go_on_at, self.pause) = (Instant::now(), AGAIN.0);
        self.save()?;
        // What was refused for the same reason before needs no second row.
        if again { Ok(()) } else { self.tell(UpdateStep::Offered, None).await }
    }

    /// Whether the release of this version is the one that runs, as far as that is known: what is trusted may name another one.
    async fn may_be_what_runs(&self, running: &Status, version: &str) -> anyhow::Result<bool> {
        let path = format!("engawa/{TRIPLE}/{version}/manifest.json");
        let trust = self.places.trust.clone();
        let known = blocking(move || trust.known_digest(&path)).await?;
        Ok(known.is_none_or(|known| known == as_release(running.manifest)))
    }

    /// A command.
    pub(super) async fn wish(&mut self, wish: Wish) -> anyhow::Result<()> {
        let Wish { key, version, window, from, clock_is_right } = wish;
        // Told again after a restart: it is under way, or over.
        let known = self.kept.wanted.as_ref().and_then(Wanted::command);
        let over = self.kept.last.as_ref().and_then(|last| last.command.as_deref());
        if [known, over].contains(&Some(key.as_str())) {
            return Ok(());
        }
        let runs = match &self.running {
            Some(status) if status.version == version => self.may_be_what_runs(status, &version).await?,
            _ => false,
        };
        let refused = match &self.running {
            None => Some(
                "no updater on this box: the agent was not started by engawa-supervisor, a release is installed by hand"
                    .to_owned(),
            ),
            Some(_) if runs => {
                let note = Some(format!("{version} runs already"));
                return self.end(&key, CommandOutcome::Done, note).await;
            }
            // It is past the point where it could be called back.
            Some(_) if self.is_imaging() => Some(
                "a system image is being installed or tried: ask again when the box has said how that ended".to_owned(),
            ),
            Some(_) if from.is_none() && self.parts.line.is_none() => {
                Some("there is no [cloud] that a release could come from: name a folder".to_owned())
            }
            Some(_) => None,
        };
        let window = window.map(|window| Hours::new(&window.from, &window.to)).transpose();
        let target = name::target_path(&format!("engawa/{TRIPLE}/{version}/manifest.json"));
        let refused = refused
            .or_else(|| window.as_ref().err().map(ToString::to_string))
            .or_else(|| target.err().map(|error| error.to_string()));
        if let Some(reason) = refused {
            return self.end(&key, CommandOutcome::Refused { reason }, None).await;
        }
        if clock_is_right && let Err(reason) = self.person_says(Timestamp::now())? {
            return self.end(&key, CommandOutcome::Refused { reason }, None).await;
        }
        // The house's own conditions hold as well; check-in and audit are those of the house alone.
        let conditions = window
            .ok()
            .flatten()
            .map(|hours| Conditions { window: Some(hours), ..unconditional() })
            .unwrap_or(unconditional());
        let key = key.to_string();
        let by = match from {
            Some(folder) => By::Stick { folder, key },
            None => By::Command { key },
        };
        let target = format!("engawa/{TRIPLE}/{version}/manifest.json");
        let conditions = serde_json::to_string(&conditions)?;
        self.want(Wanted { by, version, number: 0, target, conditions }).await
    }
}
