//! The pauses between attempts to connect: full jitter, so that a fleet that lost its cloud does not come back in step.

use std::time::Duration;

/// How long the pauses are.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// A connection that lasted this long was a good one: the pauses begin small again.
    pub const GOOD: Duration = Duration::from_secs(30);

    /// Pauses from `min` to `max`, each drawn from a range twice as wide as the one before.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min: min.min(max), max, next: min.min(max) }
    }

    /// A connection has ended that lasted `lasted`; the other end may have said when to come back. `chance` is anything
    /// from 0 to 1. The pause is at least the shortest one, and a hint is kept to, up to the longest, with jitter on top
    /// so that those who got the same hint do not come together.
    pub fn pause(&mut self, lasted: Duration, hint: Option<Duration>, chance: f64) -> Duration {
        if lasted >= Self::GOOD {
            self.next = self.min;
        }
        let jitter = self.next.mul_f64(chance.clamp(0.0, 1.0));
        self.next = (self.next * 2).min(self.max);
        match hint {
            None => jitter.max(self.min),
            Some(hint) => hint.min(self.max) + jitter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_small_again() {
        let mut backoff = Backoff::new(s(1), s(10));
        let pauses: Vec<u64> = (0..6).map(|_| backoff.pause(s(29), None, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.pause(s(30), None, 1.0), s(1));
        assert_eq!(backoff.pause(s(0), None, 0.5), s(1), "half of two seconds");
        assert_eq!(backoff.pause(s(0), None, 0.0), s(1), "never less than the shortest");
        assert_eq!(backoff.pause(s(0), None, 7.0), s(8), "chance is from 0 to 1");
    }

    #[test]
    fn a_hint_is_kept_to_and_spread() {
        let mut backoff = Backoff::new(s(1), s(60));
        assert_eq!(backoff.pause(s(0), Some(s(20)), 0.0), s(20));
        assert_eq!(backoff.pause(s(0), Some(s(20)), 1.0), s(22));
        assert_eq!(backoff.pause(s(0), Some(s(3_600)), 0.0), s(60), "nobody sends a gateway away for long");
    }

    #[test]
    fn bounds_that_cross_are_the_lower_one() {
        let mut backoff = Backoff::new(s(9), s(2));
        assert_eq!(backoff.pause(s(0), None, 0.0), s(2));
        assert_eq!(backoff.pause(s(0), None, 1.0), s(2));
    }
}
