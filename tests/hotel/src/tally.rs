//! The log and the counts that follow from it, kept together so that they never disagree.

use crate::plan::Charge;
use crate::played::{Happened, Played};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was played so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Events of the plan that are out.
    pub(crate) played: usize,
    pub(crate) checked_in: usize,
    pub(crate) moved: usize,
    pub(crate) checked_out: usize,
    pub(crate) charged: usize,
    pub(crate) booked: usize,
    pub(crate) refused: usize,
    pub(crate) setpoints_written: usize,
    /// Guests by room; vacant rooms are not there.
    pub(crate) guests: BTreeMap<String, usize>,
}

struct State {
    counts: Counts,
    /// Charges that have no final answer of the PMS, by their text; at most the day's charges.
    open: BTreeMap<String, String>,
    /// When something last happened at a till or on a bill.
    moved: Instant,
}

/// The log with its counts.
pub(crate) struct Tally {
    played: Played,
    currency: String,
    state: Mutex<State>,
}

impl Tally {
    /// Counts what goes into `played`; charges are in `currency`.
    pub(crate) fn new(played: Played, currency: &str) -> Self {
        let state = State { counts: Counts::default(), open: BTreeMap::new(), moved: Instant::now() };
        Self { played, currency: currency.to_owned(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters what happened.
    pub(crate) fn enter(&self, happened: &Happened) {
        let mut state = self.lock();
        // Under the lock, so that lines are in the order of the counts.
        self.played.enter(happened);
        let counts = &mut state.counts;
        match happened {
            Happened::CheckedIn { room, .. } => {
                counts.checked_in += 1;
                *counts.guests.entry(room.clone()).or_default() += 1;
            }
            Happened::Moved { from, to, .. } => {
                counts.moved += 1;
                leave(&mut counts.guests, from);
                *counts.guests.entry(to.clone()).or_default() += 1;
            }
            Happened::CheckedOut { room, .. } => {
                counts.checked_out += 1;
                leave(&mut counts.guests, room);
            }
            Happened::Charged { .. } => counts.charged += 1,
            Happened::Booked { .. } => counts.booked += 1,
            Happened::Refused { .. } => counts.refused += 1,
            Happened::SetpointWritten { .. } => counts.setpoints_written += 1,
            _ => {}
        }
        if matches!(
            happened,
            Happened::Charged { .. }
                | Happened::ChargeAcknowledged { .. }
                | Happened::Booked { .. }
                | Happened::Refused { .. }
                | Happened::LinkAlive
        ) {
            state.moved = Instant::now();
        }
    }

    /// A till publishes a charge for the first time.
    pub(crate) fn charge(&self, charge: &Charge) {
        self.enter(&Happened::Charged {
            key: charge.key.clone(),
            room: charge.room.clone(),
            stay: charge.stay.clone(),
            minor: charge.minor,
            currency: self.currency.clone(),
        });
        self.lock().open.insert(charge.text.clone(), charge.key.clone());
    }

    /// The PMS has given its final answer to the posting with this text.
    pub(crate) fn settle(&self, text: &str) {
        self.lock().open.remove(text);
    }

    /// One more event of the plan is out.
    pub(crate) fn step(&self) {
        self.lock().counts.played += 1;
    }

    /// The counts now.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// The keys of the charges without a final answer, and for how long nothing has happened to any.
    pub(crate) fn unsettled(&self) -> (Vec<String>, Duration) {
        let state = self.lock();
        (state.open.values().cloned().collect(), state.moved.elapsed())
    }

    /// Why a line of the log could not be written.
    pub(crate) fn failure(&self) -> Option<std::io::Error> {
        self.played.failure()
    }
}

fn leave(guests: &mut BTreeMap<String, usize>, room: &str) {
    if let Some(count) = guests.get_mut(room) {
        *count -= 1;
        if *count == 0 {
            guests.remove(room);
        }
    }
}
