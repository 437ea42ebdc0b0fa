//! What the supervisor does when: a state machine without a process, a socket or a clock. Events and the time come in,
//! actions go out; what must be remembered is kept through [`Keep`] before the action that needs it.
//!
//! Time is monotonic: how long ago any fixed moment was. Should it go back none the less, nothing is due earlier.

mod faults;
mod requests;
#[cfg(test)]
mod tests;

use crate::Digest;
use crate::check::Unfit;
use crate::request::{Answer, Request};
use crate::store::Keep;
use crate::table::{Release, Slot, Table};
use std::fmt;
use std::time::Duration;

/// Bounds of time, memory and tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the agent says that it is ready.
    pub start: Duration,
    /// Between two heartbeats once it is ready.
    pub heartbeat: Duration,
    /// Until a version on trial is confirmed, from its first start on.
    pub trial: Duration,
    /// How often a version on trial is started.
    pub tries: u8,
    /// From asking the agent to stop until it is killed.
    pub stop: Duration,
    /// The same, of one that hangs.
    pub stop_hung: Duration,
    /// Resident memory, MiB; `None`: no bound.
    pub memory: Option<u64>,
    /// Having run for so long an agent that ends is started again without a longer wait.
    pub settled: Duration,
    /// The longest wait before a start.
    pub rest: Duration,
    /// For how long the watchdog is fed without a heartbeat while the agent is being stopped, checked or started.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(60),
            heartbeat: Duration::from_secs(20),
            trial: Duration::from_secs(600),
            tries: 3,
            stop: Duration::from_secs(15),
            stop_hung: Duration::from_secs(2),
            memory: None,
            settled: Duration::from_secs(60),
            rest: Duration::from_secs(60),
            patience: Duration::from_secs(300),
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The supervisor has started.
    Begun,
    /// A check is over.
    Checked(Slot, Result<Release, Unfit>),
    /// The process could not be made, or could not become the agent and has ended.
    NotStarted {
        /// Why.
        why: String,
        /// It is the program's fault, not that of a machine which lacks something just now.
        for_good: bool,
    },
    /// The agent's process has ended.
    Exited(Exit),
    /// The agent says that it is ready.
    Ready,
    /// The agent says that its start goes on for so long from now: its database is brought up to date.
    Extended(Duration),
    /// The agent says that it is alive.
    Heartbeat,
    /// What the agent has resident, MiB.
    Memory(u64),
    /// Somebody asks.
    Asked {
        /// Goes with the answer.
        ticket: u64,
        /// The agent itself asks.
        agent: bool,
        /// What.
        request: Request,
    },
    /// The supervisor shall end, and the agent with it.
    Stop,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Check a slot; a check that is under way is given up.
    Check {
        /// Which.
        slot: Slot,
        /// Against which manifest.
        manifest: Digest,
        /// And force its files to the disk.
        durable: bool,
    },
    /// Give up the check that is under way.
    NoCheck,
    /// Start the agent of a slot.
    Start(Slot),
    /// Ask the agent to end.
    Terminate,
    /// End it.
    Kill,
    /// Answer who asked.
    Answer {
        /// As it was asked with.
        ticket: u64,
        /// The answer.
        answer: Answer,
    },
    /// Tell whoever reads the log.
    Say(String),
    /// The supervisor ends.
    Leave,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing runs until then.
    Resting { until: Duration, stuck: bool },
    /// A slot's files are read. `instead`: of the active one, which is not started for this reason.
    Checking { slot: Slot, instead: Option<Unfit> },
    /// The agent runs.
    Running(Run),
    /// The agent was asked to end.
    Stopping { slot: Slot, kill_at: Duration, killed: bool, then: Then },
    /// The supervisor has ended.
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    slot: Slot,
    since: Duration,
    /// When it has to be ready.
    start_by: Duration,
    beat: Option<Duration>,
    /// How often in a row it had too much memory.
    over: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    /// What the table says is started at once.
    Start,
    /// It is started again, after a rest: it was unwell.
    Rest,
    /// The supervisor ends too.
    Leave,
}

/// A release that somebody wants to try, while its files are read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    ticket: u64,
    slot: Slot,
    number: u64,
    version: String,
    rollout: String,
}

/// The machine.
#[derive(Debug)]
pub struct Machine<K> {
    keep: K,
    table: Table,
    limits: Limits,
    phase: Phase,
    wish: Option<Wish>,
    /// When the version on trial was started first, in this life of the supervisor.
    trial_since: Option<Duration>,
    /// The last sign of life of an agent, or the supervisor's own start.
    progress: Duration,
    /// How often in a row the agent ended soon.
    crashes: u32,
    /// How often in a row the slot that is wanted could not be read.
    unread: u8,
    /// When the machine was told of the time last.
    seen: Duration,
    actions: Vec<Action>,
}

/// The longest time between two ticks while an agent runs.
const TICK: Duration = Duration::from_secs(2);
/// So long without any event, and nobody was there to hear a heartbeat: the supervisor did not run.
const PAUSE: Duration = Duration::from_secs(5);
/// A memory that is over its budget is looked at so often before it counts.
const LOOKS: u8 = 2;
/// A slot that the disk does not give is read so often, a rest between, before it counts as one that can't be.
const READS: u8 = 3;
/// That rest.
const REREAD: Duration = Duration::from_secs(1);

impl<K: Keep> Machine<K> {
    /// A machine with what was kept.
    pub fn new(keep: K, table: Table, limits: Limits) -> Self {
        let zero = Duration::ZERO;
        let phase = Phase::Resting { until: zero, stuck: false };
        Self {
            keep,
            table,
            limits,
            phase,
            wish: None,
            trial_since: None,
            progress: zero,
            crashes: 0,
            unread: 0,
            seen: zero,
            actions: Vec::new(),
        }
    }

    /// What is remembered.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Where it is kept.
    pub fn keeper(&self) -> &K {
        &self.keep
    }

    /// When [`Event::Tick`] is needed at the latest.
    pub fn due(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Resting { until, .. } => Some(*until),
            Phase::Stopping { kill_at, killed: false, .. } => Some(*kill_at),
            Phase::Running(run) => {
                let alive = match run.beat {
                    None => run.start_by,
                    Some(beat) => beat + self.limits.heartbeat,
                };
                // Often enough that time without a tick is time in which the supervisor did not run.
                let due = alive.min(self.seen + TICK);
                Some(self.trial_end(run.slot).map_or(due, |end| due.min(end)))
            }
            Phase::Checking { .. } | Phase::Stopping { .. } | Phase::Over => None,
        }
    }

    /// Whether a watchdog may be fed: the agent shows that it is alive, or is being helped to its feet for not too long.
    pub fn feeds(&self, now: Duration) -> bool {
        let patience = match &self.phase {
            Phase::Running(Run { beat: Some(_), .. }) => self.limits.heartbeat,
            Phase::Over => return true,
            _ => self.limits.patience,
        };
        now.saturating_sub(self.progress) <= patience
    }

    /// Whether the agent runs and has said that it is ready.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Running(Run { beat: Some(_), .. }))
    }

    /// Takes in what has happened.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let now = self.time(now);
        match event {
            Event::Begun => {
                self.progress = now;
                self.choose(now);
            }
            Event::Checked(slot, result) => self.checked(now, slot, result),
            Event::NotStarted { why, for_good } => self.not_started(now, &why, for_good),
            Event::Exited(exit) => self.exited(now, exit),
            Event::Extended(more) => self.extend(now, more),
            Event::Ready | Event::Heartbeat => self.alive(now, matches!(event, Event::Ready)),
            Event::Memory(mib) => self.weigh(now, mib),
            Event::Asked { ticket, agent, request } => self.asked(now, ticket, agent, request),
            Event::Stop => self.stop(now),
            Event::Tick => self.tick(now),
        }
        std::mem::take(&mut self.actions)
    }

    /// The time, which never goes back. Time in which the supervisor itself was held up is nobody's silence.
    fn time(&mut self, now: Duration) -> Duration {
        let now = now.max(self.seen);
        let gap = now - self.seen;
        if gap > PAUSE
            && let Phase::Running(run) = &mut self.phase
            && self.seen > Duration::ZERO
        {
            run.since += gap;
            run.start_by += gap;
            run.beat = run.beat.map(|beat| beat + gap);
            self.progress += gap;
            self.trial_since = self.trial_since.map(|since| since + gap);
        }
        self.seen = now;
        now
    }

    fn say(&mut self, text: impl Into<String>) {
        self.actions.push(Action::Say(text.into()));
    }

    fn trial_end(&self, slot: Slot) -> Option<Duration> {
        self.trial_since.filter(|_| self.on_trial(slot)).map(|since| since + self.limits.trial)
    }

    fn on_trial(&self, slot: Slot) -> bool {
        self.table.trial.as_ref().is_some_and(|trial| trial.slot == slot)
    }

    /// Goes on with what the table says.
    fn choose(&mut self, now: Duration) {
        let worn = self.table.trial.as_ref().filter(|trial| trial.tries >= self.limits.tries);
        if let Some(trial) = worn {
            let last = if trial.last.is_empty() { "nobody saw why the last one ended" } else { &trial.last };
            let reason =
                format!("it was started {} times in its trial and never confirmed: {last}", trial.tries);
            self.undo(&reason);
        }
        self.check(now, self.table.wanted(), None);
    }

    fn check(&mut self, now: Duration, slot: Slot, instead: Option<Unfit>) {
        let Some(release) = self.table.release(slot) else {
            // A table that was read has something in its active slot, and in that of its trial.
            self.stuck(now, "there is nothing in it");
            return;
        };
        let manifest = release.manifest;
        self.phase = Phase::Checking { slot, instead };
        self.actions.push(Action::Check { slot, manifest, durable: false });
    }

    fn checked(&mut self, now: Duration, checked: Slot, result: Result<Release, Unfit>) {
        if self.wish.as_ref().is_some_and(|wish| wish.slot == checked) {
            self.wished(now, result);
            return;
        }
        let Phase::Checking { slot, instead } = self.phase.clone() else { return };
        if slot != checked {
            return;
        }
        match (result, instead) {
            (Ok(_), None) => {
                self.unread = 0;
                self.start(now, slot);
            }
            (Ok(_), Some(Unfit { why, is_unreadable })) => {
                self.say(format!("slot {} is started in place of slot {}: {why}", slot, slot.other()));
                // What can't be read just now keeps its place: the next start asks for it again.
                if !is_unreadable {
                    self.table.fall_back(&why);
                    self.remember();
                }
                self.start(now, slot);
            }
            (Err(Unfit { why, is_unreadable: true }), None) if self.unread + 1 < READS => {
                self.unread += 1;
                self.say(format!("slot {slot} can't be read: {why}; it is read again"));
                self.phase = Phase::Resting { until: now + REREAD, stuck: false };
            }
            (Err(unfit), None) => self.unfit(now, slot, unfit),
            (Err(Unfit { why, .. }), Some(_)) => self.stuck(now, &format!("nor can slot {slot}: {why}")),
        }
    }

    /// The slot that is wanted can't be started.
    fn unfit(&mut self, now: Duration, slot: Slot, Unfit { why, is_unreadable }: Unfit) {
        let what =
            if is_unreadable { "its files can't be read" } else { "its files are not what they should be" };
        let why = format!("{what}: {why}");
        if self.on_trial(slot) {
            if is_unreadable {
                self.unread = 0;
                self.give_up(&why);
            } else {
                self.undo(&why);
            }
            self.choose(now);
            return;
        }
        self.say(format!("slot {slot} can't be started: {why}"));
        let other = slot.other();
        if self.table.may_start(other) {
            self.check(now, other, Some(Unfit { why, is_unreadable }));
        } else {
            self.stuck(now, "the other slot has nothing that may be started");
        }
    }

    /// Nothing can be started. What the disk does not give now it may give later.
    fn stuck(&mut self, now: Duration, why: &str) {
        let seconds = self.limits.rest.as_secs();
        self.say(format!("no version can be started: {why}; it is looked at again in {seconds} s"));
        self.phase = Phase::Resting { until: now + self.limits.rest, stuck: true };
    }

    fn start(&mut self, now: Duration, slot: Slot) {
        if self.on_trial(slot) {
            // Counted before it is started: a version that takes the box down with it has had its try.
            let count = |table: &mut Table| {
                if let Some(trial) = &mut table.trial {
                    trial.tries = trial.tries.saturating_add(1);
                }
            };
            if let Err(why) = self.change(count) {
                self.give_up(&format!("its try can't be counted: {why}"));
                self.choose(now);
                return;
            }
            self.trial_since.get_or_insert(now);
        } else {
            self.trial_since = None;
        }
        self.phase =
            Phase::Running(Run { slot, since: now, start_by: now + self.limits.start, beat: None, over: 0 });
        self.actions.push(Action::Start(slot));
    }

    fn alive(&mut self, now: Duration, ready: bool) {
        let Phase::Running(run) = &mut self.phase else { return };
        // A heartbeat before it is ready promises nothing.
        if ready || run.beat.is_some() {
            run.beat = Some(now);
            self.progress = now;
        }
    }

    /// A start that moves has as long as a trial; that of a trial ends with it all the same.
    fn extend(&mut self, now: Duration, more: Duration) {
        let Phase::Running(run) = &mut self.phase else { return };
        let most = run.since + self.limits.trial;
        if run.beat.is_none() && now < most {
            run.start_by = run.start_by.max(now.saturating_add(more).min(most));
            self.progress = now;
        }
    }

    fn stop(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Running(run) => {
                let slot = run.slot;
                self.withdraw("the supervisor is being stopped");
                if let Some(trial) = self.table.trial.as_mut().filter(|trial| trial.slot == slot) {
                    // It counts as a try all the same: a version could have the box restarted again and again.
                    "the supervisor was stopped".clone_into(&mut trial.last);
                    self.remember();
                }
                self.halt(now, slot, self.limits.stop, Then::Leave);
            }
            Phase::Stopping { then, .. } => *then = Then::Leave,
            Phase::Resting { .. } | Phase::Checking { .. } => {
                self.phase = Phase::Over;
                self.actions.extend([Action::NoCheck, Action::Leave]);
            }
            Phase::Over => {}
        }
    }

    fn halt(&mut self, now: Duration, slot: Slot, patience: Duration, then: Then) {
        self.phase = Phase::Stopping { slot, kill_at: now + patience, killed: false, then };
        self.actions.push(Action::Terminate);
    }

    /// Keeps the table; where it can't be, what was decided holds until the power goes.
    fn remember(&mut self) {
        if let Err(why) = self.keep.keep(&mut self.table) {
            self.say(why);
        }
    }

    /// Ends the trial: the old version is wanted again.
    fn undo(&mut self, reason: &str) {
        self.end_trial(Table::undo, reason);
    }

    /// The same, and the version on trial is not blamed for it.
    fn give_up(&mut self, reason: &str) {
        self.end_trial(Table::give_up, reason);
    }

    fn end_trial(&mut self, how: fn(&mut Table, &str), reason: &str) {
        if let Some(release) = self.table.trial.as_ref().and_then(|trial| self.table.release(trial.slot)) {
            self.actions.push(Action::Say(format!("version {} is undone: {reason}", release.version)));
        }
        how(&mut self.table, reason);
        self.trial_since = None;
        self.remember();
    }
}
