//! What goes wrong with a running agent, and what follows: on trial the way back, else another start after a rest.

use super::{Exit, LOOKS, Limits, Machine, Phase, Run, Then};
use crate::machine::Action;
use crate::store::Keep;
use crate::table::{Slot, reason_of};
use std::time::Duration;

impl<K: Keep> Machine<K> {
    pub(super) fn tick(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Resting { until, .. } if now >= *until => self.choose(now),
            Phase::Stopping { kill_at, killed, .. } if now >= *kill_at && !*killed => {
                *killed = true;
                self.actions.push(Action::Kill);
            }
            Phase::Running(run) => {
                let run = run.clone();
                self.look(now, &run);
            }
            _ => {}
        }
    }

    fn look(&mut self, now: Duration, run: &Run) {
        let Run { slot, since, start_by, beat, .. } = *run;
        let Limits { heartbeat, trial, stop, stop_hung, .. } = self.limits;
        let (reason, patience) = match beat {
            None if now >= start_by => {
                let given = start_by.saturating_sub(since);
                (format!("it was not ready within {} s", given.as_secs_f32()), stop_hung)
            }
            Some(beat) if now.saturating_sub(beat) >= heartbeat => {
                (format!("no heartbeat for {} s", heartbeat.as_secs_f32()), stop_hung)
            }
            _ if self.trial_end(slot).is_some_and(|end| now >= end) => {
                (format!("it was not confirmed within {} s", trial.as_secs_f32()), stop)
            }
            _ => return,
        };
        self.unwell(now, slot, &reason, patience);
    }

    pub(super) fn weigh(&mut self, now: Duration, mib: u64) {
        let Phase::Running(run) = &mut self.phase else { return };
        let Some(budget) = self.limits.memory.filter(|budget| mib > *budget) else {
            run.over = 0;
            return;
        };
        run.over += 1;
        if run.over >= LOOKS {
            let slot = run.slot;
            self.unwell(now, slot, &format!("{mib} MiB of memory, its budget is {budget}"), self.limits.stop);
        }
    }

    /// The agent runs and is not well.
    pub(super) fn unwell(&mut self, now: Duration, slot: Slot, reason: &str, patience: Duration) {
        self.withdraw("the agent is not well");
        if self.on_trial(slot) {
            self.undo(reason);
            self.halt(now, slot, patience, Then::Start);
        } else {
            self.say(format!("the agent is stopped and started again: {reason}"));
            self.halt(now, slot, patience, Then::Rest);
        }
    }

    pub(super) fn exited(&mut self, now: Duration, exit: Exit) {
        match &self.phase {
            Phase::Running(_) => {
                let how = if matches!(exit, Exit::Signal(_)) { "was killed" } else { "ended" };
                self.ended(now, how, &exit.to_string());
            }
            Phase::Stopping { then, .. } => match then {
                Then::Start => self.choose(now),
                Then::Rest => self.rest(now),
                Then::Leave => {
                    self.phase = Phase::Over;
                    self.actions.push(Action::Leave);
                }
            },
            Phase::Resting { .. } | Phase::Checking { .. } | Phase::Over => {}
        }
    }

    /// A program that can't be executed now can't be later: on trial there is no second try. A machine that lacks memory or
    /// processes just now may have them in a second.
    pub(super) fn not_started(&mut self, now: Duration, why: &str, for_good: bool) {
        match &self.phase {
            Phase::Running(run) if for_good && self.on_trial(run.slot) => {
                self.undo(&format!("it can't be started: {why}"));
                self.choose(now);
            }
            Phase::Running(_) => self.ended(now, "could not be started", why),
            _ => self.exited(now, Exit::Code(1)),
        }
    }

    /// It ended, and nobody had asked it to.
    fn ended(&mut self, now: Duration, how: &str, what: &str) {
        let Phase::Running(run) = &self.phase else { return };
        let (slot, since) = (run.slot, run.since);
        self.withdraw("the agent has ended");
        if now.saturating_sub(since) >= self.limits.settled {
            self.crashes = 0;
        }
        let tries = self.limits.tries;
        match self.table.trial.as_mut().filter(|trial| trial.slot == slot) {
            Some(trial) if trial.tries >= tries => {
                let times =
                    if trial.tries == 1 { "once".to_owned() } else { format!("{} times", trial.tries) };
                self.undo(&format!("it {how} {times} in its trial: {what}"));
                self.choose(now);
                return;
            }
            // Kept with the next try's count.
            Some(trial) => trial.last = reason_of(what),
            None => {}
        }
        self.say(format!("the agent {how}: {what}"));
        self.rest(now);
    }

    /// One second, then twice as long each time, up to the longest rest.
    fn rest(&mut self, now: Duration) {
        let wait = Duration::from_secs(1 << self.crashes.min(10)).min(self.limits.rest);
        self.crashes = self.crashes.saturating_add(1);
        self.phase = Phase::Resting { until: now + wait, stuck: false };
    }
}
