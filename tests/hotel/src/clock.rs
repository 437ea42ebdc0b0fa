//! The clock of the play: it runs while the PMS link is alive and stands still while it is not.
//!
//! Why: a real PMS keeps its records back while an interface is away and sends them when it is there again. Where a
//! whole day is two minutes long, an absence of some seconds would make the PMS send hours at once, check-in and
//! check-out of one stay in the same breath. So the whole hotel waits for the interface.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Span, civil};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The hotel's day begins at this hour and ends at the same one of the next day.
pub(crate) const FIRST_HOUR: i8 = 12;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The clock.
#[derive(Debug)]
pub(crate) struct Clock {
    state: Mutex<State>,
    /// How much faster than ours the hotel's clocks run.
    pub(crate) speed: f64,
    first: DateTime,
}

#[derive(Debug)]
struct State {
    before: Duration,
    since: Option<Instant>,
}

impl Clock {
    /// A clock that stands at the beginning of a day that begins on `date` and is played in `length`.
    pub(crate) fn new(date: civil::Date, length: Duration) -> Self {
        Self {
            state: Mutex::new(State { before: Duration::ZERO, since: None }),
            speed: DAY.as_secs_f64() / length.as_secs_f64(),
            first: date.at(FIRST_HOUR, 0, 0, 0),
        }
    }

    /// Lets it run, or stops it.
    pub(crate) fn run(&self, on: bool) {
        let mut state = self.lock();
        match (on, state.since) {
            (true, None) => state.since = Some(Instant::now()),
            (false, Some(since)) => {
                state.before += since.elapsed();
                state.since = None;
            }
            _ => {}
        }
    }

    /// The play time.
    pub(crate) fn elapsed(&self) -> Duration {
        let state = self.lock();
        state.before + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// What the hotel's clocks show.
    pub(crate) fn hotel_time(&self) -> DateTime {
        let seconds = self.elapsed().as_secs_f64() * self.speed;
        let passed = SignedDuration::try_from_secs_f64(seconds.floor()).unwrap_or(SignedDuration::ZERO);
        let span = Span::try_from(passed).unwrap_or_default();
        self.first.checked_add(span).unwrap_or(DateTime::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; even so the state would be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_until_it_is_let_run() {
        let clock = Clock::new(civil::date(2026, 7, 15), Duration::from_secs(120));
        assert_eq!(clock.elapsed(), Duration::ZERO);
        assert_eq!(clock.hotel_time(), civil::date(2026, 7, 15).at(12, 0, 0, 0));
        clock.run(true);
        while clock.hotel_time() == civil::date(2026, 7, 15).at(12, 0, 0, 0) {
            std::thread::yield_now();
        }
        clock.run(false);
        let stopped = clock.elapsed();
        assert_eq!(clock.elapsed(), stopped);
    }
}
