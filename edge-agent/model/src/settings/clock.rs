//! A hybrid logical clock: the wall's milliseconds, and a count for what happens within one of them, or before the wall has
//! caught up with what was seen.
//!
//! A stamp from far ahead is not followed: one end whose clock is a year off must not drag the other there, where every
//! later write would stay for a year. What was written under such a stamp is overwritten all the same: a write is always
//! stamped after what it replaces ([`Clock::tick`]), so that only that one register lives in the future.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far ahead of the own clock another end's is believed, milliseconds: ten minutes, as NTP puts right at once what is
/// beyond, and certificates allow.
pub const MOST_AHEAD: i64 = 600_000;
/// The last millisecond of the year 9999: what is later is no stamp.
const LAST_MS: i64 = 253_402_300_799_999;

/// A moment of a hybrid logical clock. Ordered by the wall first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970, UTC; 0: never.
    pub ms: i64,
    /// The count within it.
    pub n: u32,
}

impl Stamp {
    /// Before everything.
    pub const NEVER: Self = Self { ms: 0, n: 0 };

    /// The wall's moment.
    pub fn of(now: Timestamp) -> Self {
        Self { ms: now.as_millisecond().clamp(1, LAST_MS), n: 0 }
    }

    /// The one right after it.
    #[must_use]
    pub fn next(self) -> Self {
        match self.n.checked_add(1) {
            Some(n) => Self { n, ..self },
            None => Self { ms: self.ms.saturating_add(1), n: 0 },
        }
    }

    /// True where it can be a stamp at all.
    pub fn is_sound(self) -> bool {
        (0..=LAST_MS).contains(&self.ms)
    }

    /// The wall's part of it.
    pub fn wall(self) -> Timestamp {
        Timestamp::from_millisecond(self.ms).unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.wall().strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))?;
        if self.n > 0 { write!(f, "+{}", self.n) } else { Ok(()) }
    }
}

/// Another end's clock is further ahead than is believed: one of the two is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// By so many milliseconds.
    pub by_ms: i64,
}

/// The clock of one end; kept over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    last: Stamp,
}

impl Clock {
    /// The newest stamp that was given or followed.
    pub fn last(&self) -> Stamp {
        self.last
    }

    /// The stamp of a write at `now` that replaces what was seen up to `after`: later than it, and than every stamp before,
    /// unless the own clock was far ahead and is right again.
    pub fn tick(&mut self, now: Timestamp, after: Stamp) -> Stamp {
        let wall = Stamp::of(now);
        if is_far(self.last, wall) {
            self.last = wall;
        }
        let base = self.last.max(after);
        let stamp = if wall > base { wall } else { base.next() };
        self.last = if is_far(stamp, wall) { self.last.max(wall) } else { stamp };
        stamp
    }

    /// Follows a stamp of the other end.
    ///
    /// # Errors
    /// It is further ahead of `now` than [`MOST_AHEAD`]: the clock stays as it was.
    pub fn follow(&mut self, stamp: Stamp, now: Timestamp) -> Result<(), Ahead> {
        let wall = Stamp::of(now);
        if is_far(stamp, wall) {
            return Err(Ahead { by_ms: stamp.ms.saturating_sub(wall.ms) });
        }
        self.last = self.last.max(stamp);
        Ok(())
    }
}

fn is_far(stamp: Stamp, wall: Stamp) -> bool {
    stamp.ms.saturating_sub(wall.ms) > MOST_AHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_800_000_000_000;
    const YEAR: i64 = 365 * 86_400_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn stamp(ms: i64, n: u32) -> Stamp {
        Stamp { ms, n }
    }

    #[test]
    fn stamps_grow_while_the_wall_stands_or_runs_back() {
        let mut clock = Clock::default();
        assert_eq!(clock.tick(at(NOON), Stamp::NEVER), stamp(NOON, 0));
        assert_eq!(clock.tick(at(NOON), Stamp::NEVER), stamp(NOON, 1));
        assert_eq!(clock.tick(at(NOON - 5_000), Stamp::NEVER), stamp(NOON, 2));
        assert_eq!(clock.tick(at(NOON + 1), Stamp::NEVER), stamp(NOON + 1, 0));
        assert_eq!(stamp(7, u32::MAX).next(), stamp(8, 0), "a full count goes on in the next millisecond");
    }

    #[test]
    fn another_end_is_followed_up_to_the_bound_and_not_beyond() {
        let mut clock = Clock::default();
        assert_eq!(clock.follow(stamp(NOON + MOST_AHEAD, 3), at(NOON)), Ok(()));
        assert_eq!(clock.tick(at(NOON), Stamp::NEVER), stamp(NOON + MOST_AHEAD, 4));
        let far = clock.follow(stamp(NOON + MOST_AHEAD + 1, 0), at(NOON));
        assert_eq!(far, Err(Ahead { by_ms: MOST_AHEAD + 1 }));
        assert_eq!(clock.last(), stamp(NOON + MOST_AHEAD, 4), "it has not moved");
    }

    #[test]
    fn a_year_ahead_drags_nothing_along_but_what_it_has_written() {
        let mut clock = Clock::default();
        let far = stamp(NOON + YEAR, 0);
        assert!(clock.follow(far, at(NOON)).is_err());
        assert_eq!(clock.tick(at(NOON), far), far.next(), "what replaces it comes after it");
        assert_eq!(clock.tick(at(NOON), Stamp::NEVER), stamp(NOON, 1), "everything else is written today");
    }

    #[test]
    fn the_own_clock_a_year_ahead_and_right_again() {
        let mut clock = Clock::default();
        let ahead = clock.tick(at(NOON + YEAR), Stamp::NEVER);
        assert_eq!(clock.tick(at(NOON), Stamp::NEVER), stamp(NOON, 1), "it does not stay there");
        assert!(clock.tick(at(NOON), ahead) > ahead, "but nothing is written before what it replaces");
    }

    #[test]
    fn the_own_clock_a_year_behind() {
        let mut clock = Clock::default();
        let right = clock.tick(at(NOON), Stamp::NEVER);
        let behind = clock.tick(at(NOON - YEAR), Stamp::NEVER);
        assert_eq!(
            behind.ms,
            NOON - YEAR,
            "a wall that far back is believed, as nobody knows which was right"
        );
        assert!(clock.tick(at(NOON - YEAR), right) > right);
        assert!(
            clock.follow(right, at(NOON - YEAR)).is_err(),
            "the other end is ahead of it, and it is said"
        );
        assert_eq!(clock.tick(at(NOON), Stamp::NEVER), stamp(NOON, 0));
    }

    #[test]
    fn what_no_clock_can_show_is_no_stamp() {
        for (ms, sound) in [(0, true), (LAST_MS, true), (-1, false), (LAST_MS + 1, false), (i64::MAX, false)]
        {
            assert_eq!(stamp(ms, 0).is_sound(), sound, "{ms}");
        }
        assert_eq!(Stamp::of(Timestamp::MIN).ms, 1, "never is earlier than every write");
        assert_eq!(stamp(NOON, 0).to_string(), "2027-01-15T08:00:00.000Z");
        assert_eq!(stamp(NOON, 2).to_string(), "2027-01-15T08:00:00.000Z+2");
    }
}
