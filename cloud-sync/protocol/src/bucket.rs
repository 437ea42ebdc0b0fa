//! Token buckets: how much one gateway may send. Pure: time is an argument.
//!
//! Whoever is over the limit waits and loses nothing: its batches stay on its own streams until they are taken.

use std::time::Duration;

/// What one gateway may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows a second, over a long time.
    pub rows_per_s: u32,
    /// Bytes of bodies a second, over a long time.
    pub bytes_per_s: u32,
    /// So many seconds' worth may come at once, after silence.
    pub burst_s: u32,
    /// Connections a minute; as many at once.
    pub connections_per_minute: u32,
}

impl Default for Limits {
    /// A house of 1,000 rooms writes some 50 rows a second: a day's backlog of it comes in the burst, and a month's in two hours.
    fn default() -> Self {
        Self { rows_per_s: 20_000, bytes_per_s: 8_000_000, burst_s: 60, connections_per_minute: 600 }
    }
}

/// A bucket that fills with time and may go below nothing: what was taken is paid for by waiting before the next.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate_per_s: f64,
    most: f64,
    level: f64,
    at: Duration,
}

impl Bucket {
    /// A full bucket at `now`, a time since any fixed instant.
    pub fn new(rate_per_s: f64, most: f64, now: Duration) -> Self {
        Self { rate_per_s, most, level: most, at: now }
    }

    /// Other limits from now on; what is in it stays, up to the new bound.
    pub fn adjust(&mut self, rate_per_s: f64, most: f64, now: Duration) {
        self.fill(now);
        (self.rate_per_s, self.most) = (rate_per_s, most);
        self.level = self.level.min(most);
    }

    /// A clock that went back fills nothing and takes nothing.
    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate_per_s).min(self.most);
        self.at = self.at.max(now);
    }

    /// Takes `amount` in any case, and says how long to wait before it is used: nothing while there was enough.
    pub fn take(&mut self, amount: f64, now: Duration) -> Duration {
        self.fill(now);
        self.level -= amount;
        if self.level >= 0.0 || self.rate_per_s <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.level / self.rate_per_s).unwrap_or(Duration::MAX)
    }

    /// Takes one, if there is one; else when there will be.
    ///
    /// # Errors
    /// The wait.
    pub fn try_one(&mut self, now: Duration) -> Result<(), Duration> {
        self.fill(now);
        if self.level >= 1.0 || self.rate_per_s <= 0.0 {
            self.level = (self.level - 1.0).max(0.0);
            return Ok(());
        }
        let wait = (1.0 - self.level) / self.rate_per_s;
        Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }

    /// True where it is full: forgetting it changes nothing.
    pub fn is_full(&mut self, now: Duration) -> bool {
        self.fill(now);
        self.level >= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_is_free_and_the_rest_is_paid_in_time() {
        let mut bucket = Bucket::new(10.0, 50.0, s(0));
        assert_eq!(bucket.take(50.0, s(0)), s(0));
        assert_eq!(bucket.take(20.0, s(0)), s(2));
        assert_eq!(bucket.take(0.0, s(2)), s(0));
        assert!(!bucket.is_full(s(6)));
        assert!(bucket.is_full(s(7)));
        assert_eq!(bucket.take(60.0, s(1_000)), s(1), "no more than the bound gathers");
    }

    #[test]
    fn attempts_are_counted_only_when_let_in() {
        let mut bucket = Bucket::new(1.0, 2.0, s(0));
        assert_eq!((bucket.try_one(s(0)), bucket.try_one(s(0))), (Ok(()), Ok(())));
        assert_eq!(bucket.try_one(s(0)), Err(s(1)));
        assert_eq!(bucket.try_one(s(0)), Err(s(1)));
        assert_eq!(bucket.try_one(s(1)), Ok(()));
    }

    #[test]
    fn other_limits_hold_from_then_on() {
        let mut bucket = Bucket::new(1.0, 100.0, s(0));
        bucket.adjust(10.0, 20.0, s(0));
        assert_eq!(bucket.take(30.0, s(0)), s(1));
    }

    proptest! {
        /// Whatever is taken and however the clock jumps: over any time no more goes through than burst and rate.
        #[test]
        fn the_rate_holds(takes in prop::collection::vec((0.0..100.0_f64, 0_u64..20), 1..60)) {
            let mut bucket = Bucket::new(10.0, 30.0, s(0));
            let (mut clock, mut taken) = (s(0), 0.0);
            for (amount, pause) in takes {
                clock += s(pause);
                // Whoever takes waits as long as it is told, then goes on.
                clock += bucket.take(amount, clock);
                taken += amount;
                prop_assert!(taken <= 30.0 + 10.0 * clock.as_secs_f64() + 1e-3, "{taken} in {clock:?}");
            }
        }

        #[test]
        fn a_clock_that_goes_back_gives_nothing(back in 0_u64..100) {
            let mut bucket = Bucket::new(1.0, 10.0, s(100));
            bucket.take(10.0, s(100));
            prop_assert_eq!(bucket.take(1.0, s(100 - back)), s(1));
        }
    }
}
