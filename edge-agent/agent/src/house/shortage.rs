//! When there is little room to write: what is refused at its source, and what waits for a disk that takes nothing.
//!
//! Guests come first. Near the bound of a lane that never drops a row, commands that can wait are refused before they cause
//! one; what the PMS tells goes on. A disk that takes no write stops nobody in the house: the picture in memory goes on, set
//! points go out (the devices tell them again after a crash), and everything else that must not go out before it is stored
//! waits, in memory and within a bound, for the next try.

use super::Effects;
use engawa_model::{
    Action, Change, Command, CommandSource, Fact, Intent, Lane, Observation, StoragePart, Timestamp,
};
use engawa_store::{Batch, Pressure, Store, StoreError};
use std::time::Duration;
use tokio::time::Instant;

/// Changes that may wait for the disk, beside measured values, which don't. At the bound the house takes nothing more until
/// the disk does: drivers and links wait.
const MOST_OWED: usize = 50_000;
/// How soon a disk is tried again at first, and at last.
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// What somebody at the desk or in a room stands and waits for: it costs few rows.
pub(super) fn is_needed(action: &Action) -> bool {
    matches!(
        action,
        Action::AnswerKey { .. }
            | Action::WakeAnswered { .. }
            | Action::CancelWakeUp { .. }
            | Action::AcknowledgeAlert { .. }
            // The cloud says it once.
            | Action::MergeSetting { .. }
            | Action::MergePreference { .. }
    )
}

/// Why `command` is not to be taken now.
pub(crate) fn refusal(command: &Command, pressure: Pressure, stuck: bool) -> Option<&'static str> {
    let needed = is_needed(&command.action);
    let of_guests = matches!(
        command.action,
        Action::WakeUp { .. } | Action::Resync | Action::AskList { .. } | Action::RemoteCheckOut { .. }
    );
    match pressure {
        _ if needed => None,
        _ if stuck => Some("the gateway's disk takes nothing now: try again when there is room on it"),
        Pressure::Free => None,
        Pressure::Tight if command.source == CommandSource::Local || of_guests => None,
        Pressure::Tight => Some(
            "the gateway's journal is nearly full, because the cloud has taken nothing for long: only staff and the PMS are \
             served until it does",
        ),
        Pressure::Full if of_guests => None,
        Pressure::Full => Some(
            "the gateway's journal is full, because the cloud has taken nothing for long: only what guests need is taken \
             until it does",
        ),
    }
}

/// What was applied and is not stored yet.
#[derive(Default)]
pub(super) struct Owed {
    batch: Batch,
    effects: Effects,
    /// When it is tried again; `None`: nothing is owed.
    retry: Option<(Instant, Duration)>,
    /// What the disk said.
    why: String,
}

impl Owed {
    /// True while the disk takes nothing.
    pub(super) fn is_stuck(&self) -> bool {
        self.retry.is_some()
    }

    /// True where it is time to try, or nothing is owed.
    pub(super) fn is_due(&self) -> bool {
        self.retry.is_none_or(|(at, _)| at <= Instant::now())
    }

    /// When it is time to try.
    pub(super) fn due(&self) -> Option<Instant> {
        self.retry.map(|(at, _)| at)
    }

    /// True where nothing more may be taken.
    pub(super) fn is_full(&self) -> bool {
        self.batch.changes.len() >= MOST_OWED
    }

    /// What is owed, with `batch` and `effects` after it.
    pub(super) fn join(&mut self, batch: Batch, effects: Effects) -> (Batch, Effects) {
        let (mut all, mut out) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.effects));
        if all.is_empty() {
            out.join(effects);
            return (batch, out);
        }
        all.changes.extend(batch.changes);
        all.touched.extend(batch.touched);
        all.inbox = batch.inbox.or(all.inbox);
        for (lane, mark) in batch.acknowledged {
            let before = all.acknowledged.entry(lane).or_default();
            *before = (*before).max(mark);
        }
        all.events.extend(batch.events);
        all.delivered.extend(batch.delivered);
        all.erased.extend(batch.erased);
        all.audit = batch.audit.or(all.audit);
        all.sent = all.sent.max(batch.sent);
        all.put_back |= batch.put_back;
        all.confirmed |= batch.confirmed;
        out.join(effects);
        (all, out)
    }

    /// Keeps what the disk did not take. Measured values are not kept, but counted: devices tell them again.
    pub(super) fn keep(&mut self, mut batch: Batch, effects: Effects, store: &mut Store) {
        batch.changes.retain(|(at, change)| {
            let measured = change.lane() == Lane::Telemetry;
            if measured {
                store.miss(1, *at);
            }
            !measured
        });
        (self.batch, self.effects) = (batch, effects);
    }

    /// The disk has refused.
    pub(super) fn refused(&mut self, error: &StoreError) {
        let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        let wait = match self.retry {
            Some((_, wait)) => (wait * 2).min(LONGEST_RETRY),
            None => {
                tracing::error!(
                    "the disk takes nothing ({error}{source}): the house goes on in memory and tries again"
                );
                RETRY
            }
        };
        self.why = format!("{error}{source}");
        self.retry = Some((Instant::now() + wait, wait));
    }

    /// The disk has taken everything.
    pub(super) fn done(&mut self) {
        if self.retry.take().is_some() {
            tracing::info!("the disk takes what is written again");
        }
    }

    /// The mark of the inbox, where it moves with what is owed.
    pub(super) fn inbox(&self) -> Option<u64> {
        self.batch.inbox
    }

    /// It is tried with whatever comes next.
    pub(super) fn hurry(&mut self) {
        if let Some((at, _)) = &mut self.retry {
            *at = Instant::now();
        }
    }

    /// How many changes wait.
    pub(super) fn len(&self) -> usize {
        self.batch.changes.len()
    }

    /// How the storage is, for an alert; the model tells what is new.
    pub(super) fn facts(&self, store: &Store, now: Timestamp) -> [Observation; 2] {
        let disk = if self.is_stuck() {
            Some(format!("the disk takes nothing: {}", self.why))
        } else {
            store.is_low().then(|| "the disk is full: measured values are not kept".to_owned())
        };
        let journal = match store.pressure() {
            Pressure::Free => None,
            Pressure::Tight => Some("the journal is nearly full: what can wait is refused"),
            Pressure::Full => Some("the journal is full: only what guests need is taken"),
        };
        let fact = |part, trouble| Observation::new(now, Fact::Storage { part, trouble });
        [fact(StoragePart::Disk, disk), fact(StoragePart::Journal, journal.map(str::to_owned))]
    }
}

/// True for what goes out although the disk takes nothing: doing it twice is doing it once.
pub(super) fn goes_out_anyway(intent: &Intent) -> bool {
    matches!(intent, Intent::WritePoint { .. } | Intent::WithdrawWrite { .. })
}

/// The answer to a command that was refused at its source.
pub(super) fn ended(command: &Command, reason: &str) -> Change {
    let outcome = engawa_model::CommandOutcome::Refused { reason: reason.to_owned() };
    Change::CommandEnded { key: command.key.clone(), outcome }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::CommandKey;

    fn command(source: CommandSource, action: Action) -> Command {
        Command { key: CommandKey::from("k"), source, expires: None, action }
    }

    #[test]
    fn what_can_wait_is_refused_first_and_what_somebody_waits_for_never() {
        let device = command(CommandSource::Mqtt, Action::ForgetLearnt { device: "d".into() });
        let staff = command(CommandSource::Local, Action::ForgetLearnt { device: "d".into() });
        let list = command(CommandSource::Mqtt, Action::Resync);
        let alert = command(CommandSource::Mqtt, Action::AcknowledgeAlert { alert: "leak:x".into() });
        let taken = |pressure| {
            [&device, &staff, &list, &alert].map(|command| refusal(command, pressure, false).is_none())
        };
        let stuck =
            [&device, &staff, &list, &alert].map(|command| refusal(command, Pressure::Free, true).is_none());
        assert_eq!(stuck, [false, false, false, true]);
        assert_eq!(taken(Pressure::Free), [true, true, true, true]);
        assert_eq!(taken(Pressure::Tight), [false, true, true, true]);
        assert_eq!(taken(Pressure::Full), [false, false, true, true]);
    }

    #[test]
    fn what_is_owed_is_joined_in_order() {
        let at = Timestamp::UNIX_EPOCH;
        let started = |clean| Batch {
            changes: vec![(at, Change::Started { clean })],
            acknowledged: [(2, if clean { 5 } else { 9 })].into(),
            inbox: Some(if clean { 1 } else { 2 }),
            put_back: clean,
            confirmed: clean,
            ..Batch::default()
        };
        let mut owed = Owed { batch: started(true), ..Owed::default() };
        let (all, _) = owed.join(started(false), Effects::default());
        let kinds: Vec<_> =
            all.changes.iter().map(|(_, change)| matches!(change, Change::Started { clean: true })).collect();
        assert_eq!(kinds, [true, false]);
        assert_eq!((all.acknowledged[&2], all.inbox, all.put_back, all.confirmed), (9, Some(2), true, true));
        assert_eq!(owed.len(), 0, "it is whoever writes who has it now");
    }
}
