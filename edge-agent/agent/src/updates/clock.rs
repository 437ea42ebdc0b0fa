//! What time it is, as far as updates may believe it. Pure.
//!
//! A box may start in 1970 with no network, and somebody may have turned its clock back to show it metadata of last year. So
//! the time is never earlier than what is known to be over (when this release was built, the newest time that was ever
//! confirmed), and whether metadata has expired is judged only by a time that somebody has confirmed since the start: the
//! cloud over its authenticated link, or the service that sets the clock from the network. Without one the installed version
//! stays, and nothing new is installed.

use engawa_model::Timestamp;
use jiff::SignedDuration;
use std::time::Duration;

/// So far a clock may be off before it is said.
const OFF: SignedDuration = SignedDuration::from_mins(5);
/// How far what the cloud says may lie before what is known to be over.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// Who has confirmed the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The cloud, over its authenticated link.
    Cloud,
    /// The service that sets the system's clock (NTP).
    System,
    /// A person, on the command line.
    Person,
}

/// The time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// It is at least so late.
    pub(crate) at: Timestamp,
    /// Somebody has confirmed it; else nothing new is installed by it.
    pub(crate) confirmed: Option<By>,
    /// How far the system's clock is off, where that is much.
    pub(crate) off: Option<SignedDuration>,
}

/// The clock of updates.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    floor: Timestamp,
    confirmed: Option<(By, Timestamp, Duration)>,
    last: Option<(Timestamp, Duration)>,
}

impl Clock {
    /// Nothing is earlier than any of `over`: when this release was built, what was confirmed before.
    pub(crate) fn new(over: impl IntoIterator<Item = Timestamp>) -> Self {
        let floor = over.into_iter().max().unwrap_or(Timestamp::UNIX_EPOCH);
        Self { floor, confirmed: None, last: None }
    }

    /// It is `at`, says somebody, `mono` after the start. False where that can't be: it would be before what is over.
    pub(crate) fn confirm(&mut self, by: By, at: Timestamp, mono: Duration) -> bool {
        let earliest = self.floor.checked_sub(SLACK).unwrap_or(self.floor);
        // The cloud's word stands before the system's: that one is read from a file and has no signature.
        let better = matches!((self.confirmed, by), (Some((By::Cloud | By::Person, ..)), By::System));
        if at < earliest || better {
            return at >= earliest;
        }
        self.floor = self.floor.max(at);
        self.confirmed = Some((by, at, mono));
        true
    }

    /// The time, where the system's clock says `wall`, `mono` after the start.
    pub(crate) fn now(&mut self, wall: Timestamp, mono: Duration) -> Now {
        let passed = |since: Duration| {
            SignedDuration::try_from(mono.saturating_sub(since)).unwrap_or(SignedDuration::MAX)
        };
        let off = |expected: Timestamp| Some(wall.duration_since(expected)).filter(|off| off.abs() > OFF);
        let now = match self.confirmed {
            Some((by, at, since)) => {
                let at = at.checked_add(passed(since)).unwrap_or(Timestamp::MAX).max(self.floor);
                Now { at, confirmed: Some(by), off: off(at) }
            }
            None => {
                let jumped = self.last.and_then(|(at, since)| off(at.checked_add(passed(since)).ok()?));
                let behind = (wall < self.floor).then(|| off(self.floor)).flatten();
                Now { at: wall.max(self.floor), confirmed: None, off: behind.or(jumped) }
            }
        };
        self.last = Some((wall, mono));
        now
    }

    /// What is known to be over: to be kept over a restart.
    pub(crate) fn floor(&self) -> Timestamp {
        self.floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn s(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_box_that_starts_in_1970_knows_at_least_when_it_was_built() {
        let mut clock = Clock::new([at(0), at(-500), at(3600)]);
        let now = clock.now(Timestamp::UNIX_EPOCH, s(1));
        assert_eq!((now.at, now.confirmed), (at(3600), None));
        assert!(now.off.is_some(), "the clock is behind what is over");
        assert!(clock.confirm(By::Cloud, at(900_000), s(10)));
        let now = clock.now(Timestamp::UNIX_EPOCH, s(70));
        assert_eq!((now.at, now.confirmed), (at(900_060), Some(By::Cloud)), "whatever the wall says");
        assert_eq!(clock.floor(), at(900_000));
    }

    #[test]
    fn a_clock_that_is_turned_back_changes_nothing_and_is_noticed() {
        let mut clock = Clock::new([at(0)]);
        assert_eq!(clock.now(at(100), s(0)).off, None);
        assert_eq!(clock.now(at(160), s(60)).off, None);
        let year = 86_400 * 365;
        let back = clock.now(at(170 - year), s(70));
        assert_eq!(back.at, at(0), "not before what is over");
        assert!(back.off.unwrap() < SignedDuration::ZERO);
        assert!(clock.confirm(By::System, at(200), s(100)));
        let now = clock.now(at(200 - year), s(160));
        assert_eq!((now.at, now.confirmed), (at(260), Some(By::System)));
        assert!(now.off.is_some());
        assert_eq!(clock.now(at(262), s(161)).off, None);
    }

    #[test]
    fn nobody_confirms_a_time_that_is_over_and_the_cloud_s_word_stands_before_the_system_s() {
        let mut clock = Clock::new([at(10_000)]);
        assert!(!clock.confirm(By::Cloud, at(0), s(1)), "freeze: an old time");
        assert_eq!(clock.now(at(10_001), s(1)).confirmed, None);
        assert!(clock.confirm(By::Cloud, at(20_000), s(2)));
        assert!(clock.confirm(By::System, at(19_900), s(3)));
        let now = clock.now(at(19_901), s(4));
        assert_eq!((now.at, now.confirmed), (at(20_002), Some(By::Cloud)));
        // Another hour, another confirmation.
        assert!(clock.confirm(By::Cloud, at(23_600), s(3602)));
        assert_eq!(clock.now(at(23_600), s(3602)).at, at(23_600));
        let far = Duration::MAX;
        assert_eq!(clock.now(at(0), far).at, Timestamp::MAX, "no overflow");
    }
}
