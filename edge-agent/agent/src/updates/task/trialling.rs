//! A new release on trial, and how the last trial ended.

use super::super::files;
use super::super::kept::{By, Last, Wanted, of_word};
use super::super::slots;
use super::super::trial::{Budget, State, Trial, Verdict};
use super::{ASK_AGAIN, BASELINE, BEFORE_IT, LOOK, Run, STOPPED_BY, blocking};
use crate::desk::CLOUD_LINK;
use engawa_model::{CommandKey, CommandOutcome, UpdateNote, UpdateStep};
use engawa_slots::{AskError, Status, Supervisor};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

impl Run<'_> {
    /// The trial of this release, to its end.
    pub(super) async fn trial(&mut self) -> anyhow::Result<()> {
        let (Some(supervisor), Some(status)) = (self.parts.supervisor.clone(), self.running.clone()) else {
            return Ok(());
        };
        let left = status.trial.as_ref().map_or(0, |trial| trial.left);
        let own = Duration::from_secs(u64::from(self.parts.config.trial_s));
        let budget = Budget {
            time: own.min(Duration::from_secs(left).saturating_sub(BEFORE_IT)),
            memory_kib: self.parts.config.memory_mib.map(|mib| u64::from(mib) << 10),
            cloud: CLOUD_LINK,
        };
        let mut judge = Trial::new(self.baseline(), budget);
        tracing::info!(version = %status.version, seconds = budget.time.as_secs(), "this release is on trial");
        self.tell_of(&status, UpdateStep::Trial, None).await?;
        let mut waiting = String::new();
        // One at a time: a disk that takes nothing is no reason to fill the house's queue.
        let mut probe = None;
        loop {
            let now = self.parts.watch.look();
            if Trial::wants_commits(&now) && is_over(&mut probe) {
                probe = self.parts.door.probe();
            }
            match judge.judge(&now, self.started.elapsed()) {
                Verdict::Wait(what) => {
                    if what != waiting && self.started.elapsed() > Duration::from_secs(10) {
                        tracing::info!(%what, "the trial goes on");
                        waiting = what;
                    }
                    tokio::time::sleep(LOOK).await;
                }
                Verdict::Healthy => {
                    if self.confirm(&supervisor, &status).await? {
                        return Ok(());
                    }
                }
                Verdict::Unwell(why) => {
                    tracing::error!(%why, "this release is unwell: the one before is started again");
                    let asked = supervisor.clone();
                    match blocking(move || asked.unwell(&why)).await? {
                        // It stops this process; what is said of it is for the release before.
                        Ok(()) => tokio::time::sleep(STOPPED_BY).await,
                        Err(error) => not_told(&error).await,
                    }
                }
            }
        }
    }

    /// Tells the supervisor that what is on trial as `tried` is well. True: it stays.
    pub(super) async fn confirm(&mut self, supervisor: &Supervisor, tried: &Status) -> anyhow::Result<bool> {
        let asked = supervisor.clone();
        match blocking(move || (asked.healthy(), asked.status())).await? {
            // Its yes may have been lost on the way: then it says no to the next, and what it says of itself counts.
            (said, Ok(now)) if said.is_ok() || is_confirmed(tried, &now) => {
                self.running = Some(now);
                // Where the power goes before this, the next start, which is none on trial, writes it down.
                self.parts.door.confirmed().await?;
                return Ok(true);
            }
            (said, now) => {
                if let Some(error) = said.err().or(now.err()) {
                    not_told(&error).await;
                }
            }
        }
        Ok(false)
    }

    pub(super) fn baseline(&self) -> Option<State> {
        let read = files::read(&self.places.dir.join(BASELINE));
        let state = read.ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if state.is_none() {
            tracing::warn!(
                "what the release before was like is not known: this one is judged by its budget alone"
            );
        }
        state
    }

    /// How the last trial ended, told once: the supervisor keeps it until the row is durable.
    pub(super) async fn outcome(&mut self) -> anyhow::Result<()> {
        let Some(supervisor) = self.parts.supervisor.clone() else { return Ok(()) };
        let asked = supervisor.clone();
        self.outcome_at = None;
        let outcome = match blocking(move || asked.outcome()).await? {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                self.forget_unfinished();
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(%error, "how the last update ended can't be asked: it is asked again");
                self.outcome_at = Some(Instant::now() + ASK_AGAIN);
                return Ok(());
            }
        };
        let step = match outcome.verdict {
            engawa_slots::Verdict::Confirmed => UpdateStep::Confirmed,
            engawa_slots::Verdict::RolledBack => UpdateStep::RolledBack,
            engawa_slots::Verdict::Failed => UpdateStep::Failed,
        };
        let (rollout, attempt) = of_word(&outcome.rollout);
        let reason = Some(outcome.reason.clone()).filter(|reason| !reason.is_empty());
        tracing::info!(version = %outcome.version, how = step.word(), reason = reason.as_deref().unwrap_or(""), "an update is over");
        let note = UpdateNote {
            rollout: rollout.clone(),
            attempt,
            version: outcome.version.clone(),
            number: outcome.number,
            step,
            reason: reason.clone(),
        };
        self.report(note).await?;
        // What has yet to be switched to has not ended: this is of a release that broke, be it the same one.
        let yet_to_switch = matches!(
            self.kept.told,
            Some((
                UpdateStep::Offered | UpdateStep::Downloading | UpdateStep::Ready | UpdateStep::Waiting,
                _
            ))
        );
        let aside = yet_to_switch.then(|| (self.kept.wanted.take(), self.kept.told.take()));
        if let Some(wanted) = self.kept.wanted.clone().filter(|wanted| wanted.version == outcome.version) {
            self.end_command(&wanted, step, reason.as_deref()).await?;
        }
        let is_blamed =
            outcome.verdict != engawa_slots::Verdict::Failed || self.is_found_bad(&outcome).await?;
        let (rollout, version) = (rollout.unwrap_or_default(), outcome.version);
        let wanted = self.kept.wanted.as_ref().filter(|wanted| wanted.version == version);
        let command = wanted.and_then(|wanted| wanted.command().map(str::to_owned));
        let reason = reason.unwrap_or_default();
        let last = Last { rollout, attempt, version, step, reason, command };
        if is_blamed {
            self.kept.ended(last);
        } else {
            self.kept.over(last);
        }
        if let Some((wanted, told)) = aside {
            (self.kept.wanted, self.kept.told) = (wanted, told);
        }
        self.save()?;
        if let Ok(Err(error)) = blocking(move || supervisor.outcome_seen()).await {
            tracing::warn!(%error, "the supervisor keeps how the update ended: the same is told again, and counted once");
        }
        Ok(())
    }

    /// Whether the supervisor blames the release: a trial that the disk did not bear may be brought again.
    async fn is_found_bad(&self, outcome: &engawa_slots::Outcome) -> anyhow::Result<bool> {
        let dir = self.places.dir.clone();
        // Where its table can't be read, the release counts as bad: it is not tried again and again.
        Ok(blocking(move || slots::peek(&dir)).await?.map_or(true, |table| {
            table.bad.iter().any(|bad| (&bad.rollout, &bad.version) == (&outcome.rollout, &outcome.version))
        }))
    }

    /// The process ended between asking for the switch and the switch: it begins anew.
    pub(super) fn forget_unfinished(&mut self) {
        if matches!(self.kept.told, Some((UpdateStep::Switching | UpdateStep::Trial, _))) {
            self.kept.told = None;
        }
    }

    /// The command that wanted it is over, where it was one.
    pub(super) async fn end_command(
        &self,
        wanted: &Wanted,
        step: UpdateStep,
        why: Option<&str>,
    ) -> anyhow::Result<()> {
        let (By::Command { key } | By::Stick { key, .. }) = &wanted.by else { return Ok(()) };
        let outcome = match step {
            UpdateStep::Confirmed => CommandOutcome::Done,
            step => {
                let how = if step == UpdateStep::RolledBack { "it was tried and is back: " } else { "" };
                CommandOutcome::Refused { reason: format!("{how}{}", why.unwrap_or("no reason was told")) }
            }
        };
        self.end(&CommandKey::new(key.clone()), outcome, None).await
    }
}

/// Whether the release that was on trial as `tried` is what stays, by what the supervisor says `now`. One that was undone is not on
/// trial either.
fn is_confirmed(tried: &Status, now: &Status) -> bool {
    now.trial.is_none() && (now.active, now.slot, now.manifest) == (tried.slot, tried.slot, tried.manifest)
}

/// Whether what was asked for last, if anything, is done.
fn is_over(probe: &mut Option<oneshot::Receiver<()>>) -> bool {
    probe.as_mut().is_none_or(|probe| !matches!(probe.try_recv(), Err(oneshot::error::TryRecvError::Empty)))
}

/// Whoever can't be told in time ends the trial by itself.
async fn not_told(error: &AskError) {
    tracing::warn!(%error, "the supervisor could not be told how the trial went");
    tokio::time::sleep(ASK_AGAIN).await;
}
