//! What the agent asks for.

use super::{Action, Machine, Phase, Run, Then, Wish};
use crate::Digest;
use crate::check::Unfit;
use crate::request::{Answer, Request, later, outcome_text};
use crate::store::Keep;
use crate::table::{Release, Slot, Table, Trial};
use std::time::Duration;

impl<K: Keep> Machine<K> {
    pub(super) fn asked(&mut self, now: Duration, ticket: u64, agent: bool, request: Request) {
        let answer = match request {
            Request::Status => Ok(self.status(now)),
            Request::Outcome => Ok(outcome_text(self.table.outcome.as_ref())),
            Request::OutcomeSeen => self.settle(|table| table.outcome = None),
            Request::Forget(manifest) => {
                self.settle(|table| table.bad.retain(|bad| bad.manifest != manifest))
            }
            Request::Begin => self.begin(),
            Request::Try { manifest, number, version, rollout } => {
                let wish = Wish { ticket, slot: self.table.spare(), number, version, rollout };
                match self.wish(manifest, wish) {
                    // Answered when the slot has been read.
                    Ok(()) => return,
                    Err(why) => Err(why),
                }
            }
            Request::Healthy => self.trial_of(agent).and_then(|_| self.settle(Table::confirm)),
            Request::Unwell(reason) => match self.trial_of(agent) {
                Ok(slot) => {
                    self.actions.push(Action::Answer { ticket, answer: Ok(String::new()) });
                    self.unwell(now, slot, &reason, self.limits.stop);
                    return;
                }
                Err(why) => Err(why),
            },
        };
        self.actions.push(Action::Answer { ticket, answer });
    }

    /// Changes the table if the change can be kept.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Table)) -> Answer {
        let mut table = self.table.clone();
        change(&mut table);
        if table == self.table {
            return Ok(String::new());
        }
        let kept = self.keep.keep(&mut table);
        if kept.is_ok() {
            self.table = table;
        } else {
            // Which of the two is on the disk nobody knows; whatever is written next counts on from both.
            self.table.sequence = table.sequence;
        }
        kept.map(|()| String::new())
    }

    /// The same for whoever asks: a disk that is full or read-only now need not be so later.
    fn settle(&mut self, change: impl FnOnce(&mut Table)) -> Answer {
        self.change(change).map_err(later)
    }

    fn begin(&mut self) -> Answer {
        if self.table.trial.is_some() {
            return Err(later("a trial runs: its slot can't be written before it is over"));
        }
        if self.wish.is_some() {
            return Err(later("the spare slot is being read for a try: begin when that is answered"));
        }
        if matches!(self.phase, Phase::Checking { instead: Some(_), .. }) {
            return Err(later("the spare slot is being read in place of the active one, which is broken"));
        }
        let spare = self.table.spare();
        match &self.phase {
            // It runs for one that could not be read. That it is about to be overwritten settles which of the two stays.
            Phase::Running(run) if run.slot == spare => {
                let broken = self.table.active;
                return self
                    .settle(|table| table.fall_back("its files could not be read"))
                    .map(|_| broken.to_string());
            }
            Phase::Stopping { slot, .. } if *slot == spare && self.table.release(spare).is_some() => {
                return Err(later("the agent of the spare slot is being stopped: ask again later"));
            }
            _ => {}
        }
        self.settle(|table| *table.entry(spare) = None).map(|_| spare.to_string())
    }

    fn wish(&mut self, manifest: Digest, wish: Wish) -> Result<(), String> {
        let table = &self.table;
        if table.trial.is_some() {
            return Err(later("a trial runs: it has to end first"));
        }
        if self.wish.is_some() {
            return Err(later("another try is being answered"));
        }
        match &self.phase {
            Phase::Running(run) if run.slot != wish.slot => {}
            Phase::Running(_) => {
                return Err(format!(
                    "slot {} runs in place of the other one: begin has to come first",
                    wish.slot
                ));
            }
            _ => return Err(later("the agent does not run, or is being stopped: ask again later")),
        }
        if wish.number < table.floor {
            return Err(format!(
                "number {} is below the floor of {}: it is never started again",
                wish.number, table.floor
            ));
        }
        if let Some(bad) =
            table.bad.iter().find(|bad| bad.manifest == manifest && bad.rollout == wish.rollout)
        {
            return Err(format!(
                "version {} was tried in this rollout already and undone: {}",
                bad.version, bad.reason
            ));
        }
        if table.release(wish.slot).is_some_and(|release| release.manifest != manifest) {
            return Err(format!("slot {} has another release: begin has to come first", wish.slot));
        }
        self.actions.push(Action::Check { slot: wish.slot, manifest, durable: true });
        self.wish = Some(wish);
        Ok(())
    }

    /// The files of a release that shall be tried were read.
    pub(super) fn wished(&mut self, now: Duration, result: Result<Release, Unfit>) {
        let Some(Wish { ticket, slot, number, version, rollout }) = self.wish.take() else { return };
        let Phase::Running(Run { slot: running, .. }) = self.phase else { return };
        let answer = match result {
            Err(Unfit { why, is_unreadable: true }) => {
                Err(later(format!("slot {slot} can't be read: {why}")))
            }
            Err(Unfit { why, .. }) => Err(format!("slot {slot} is not complete: {why}")),
            Ok(release) if release.number != number || release.version != version => Err(format!(
                "the manifest is of version {}, number {}; asked for was {version}, number {number}",
                release.version, release.number
            )),
            Ok(release) => self.settle(|table| {
                *table.entry(slot) = Some(release);
                table.trial = Some(Trial { slot, tries: 0, rollout, last: String::new() });
            }),
        };
        let switches = answer.is_ok();
        self.actions.push(Action::Answer { ticket, answer });
        if switches {
            self.say(format!("version {version} is tried"));
            self.crashes = 0;
            // Its time counts from its own first start, however long ago the last trial was.
            self.trial_since = None;
            self.halt(now, running, self.limits.stop, Then::Start);
        }
    }

    /// Nobody waits for the answer to a try any more.
    pub(super) fn withdraw(&mut self, why: &str) {
        if let Some(wish) = self.wish.take() {
            self.actions.push(Action::NoCheck);
            self.actions.push(Action::Answer { ticket: wish.ticket, answer: Err(later(why)) });
        }
    }

    /// The slot of the trial, if its agent asks.
    fn trial_of(&self, agent: bool) -> Result<Slot, String> {
        match &self.phase {
            _ if !agent => Err("only the version on trial itself may say how it is".to_owned()),
            Phase::Running(run) if self.on_trial(run.slot) => Ok(run.slot),
            _ => Err("no trial runs".to_owned()),
        }
    }

    fn status(&self, now: Duration) -> String {
        let (state, slot) = match &self.phase {
            Phase::Resting { stuck: true, .. } => ("stuck", self.table.wanted()),
            Phase::Resting { .. } => ("resting", self.table.wanted()),
            Phase::Checking { slot, .. } => ("checking", *slot),
            Phase::Running(run) => ("running", run.slot),
            Phase::Stopping { slot, .. } => ("stopping", *slot),
            Phase::Over => ("stopping", self.table.wanted()),
        };
        let table = &self.table;
        // The slot of a trial that was undone has nothing any more, while its agent is being stopped.
        let shown = table.release(slot).or_else(|| table.release(table.active));
        let (version, number, manifest) = shown.map_or(("-", 0, Digest([0; 32])), |release| {
            (release.version.as_str(), release.number, release.manifest)
        });
        let (trial, tries) =
            table.trial.as_ref().map_or(("", 0), |trial| (trial.rollout.as_str(), trial.tries));
        let left = self.trial_end(slot).map_or(Duration::ZERO, |end| end.saturating_sub(now)).as_secs();
        format!(
            "state={state} slot={slot} active={} version={version} number={number} manifest={manifest} floor={} trial={trial} tries={tries} left={left}",
            table.active, table.floor
        )
    }
}
