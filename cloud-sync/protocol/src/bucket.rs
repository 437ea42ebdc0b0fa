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

/// A bucket that fills with time and may go below nothing: what was taken is paid for by waiting before the next. It owes
/// no more than one burst, or one batch that is more than that.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate_per_s: f64,
    most: f64,
    level: f64,
    at: Duration,
}

/// What [`Bucket::take`] has taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// How much of it counts: what may be given back.
    pub amount: f64,
    /// How long to wait before it is used: nothing while there was enough.
    pub wait: Duration,
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
        self.level = self.level.max(-most).min(most);
    }

    /// A clock that went back fills nothing and takes nothing.
    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate_per_s).min(self.most);
        self.at = self.at.max(now);
    }

    /// Takes `amount` in any case, and says how long to wait before it is used.
    pub fn take(&mut self, amount: f64, now: Duration) -> Taken {
        self.fill(now);
        let before = self.level;
        self.level = (before - amount).max(-self.most.max(amount)).min(before);
        let wait = if self.level >= 0.0 || self.rate_per_s <= 0.0 {
            Duration::ZERO
        } else {
            Duration::try_from_secs_f64(-self.level / self.rate_per_s).unwrap_or(Duration::MAX)
        };
        Taken { amount: before - self.level, wait }
    }

    /// Gives back what was taken and not used.
    pub fn give_back(&mut self, taken: Taken, now: Duration) {
        self.fill(now);
        self.level = (self.level + taken.amount).min(self.most);
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
        assert_eq!(bucket.take(50.0, s(0)).wait, s(0));
        assert_eq!(bucket.take(20.0, s(0)).wait, s(2));
        assert_eq!(bucket.take(0.0, s(2)).wait, s(0));
        assert!(!bucket.is_full(s(6)));
        assert!(bucket.is_full(s(7)));
        assert_eq!(bucket.take(60.0, s(1_000)).wait, s(1), "no more than the bound gathers");
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
        assert_eq!(bucket.take(30.0, s(0)).wait, s(1));
    }

    #[test]
    fn what_was_not_used_comes_back_and_nothing_more() {
        let mut bucket = Bucket::new(10.0, 50.0, s(0));
        let taken = bucket.take(70.0, s(0));
        assert_eq!(taken, Taken { amount: 70.0, wait: s(2) });
        bucket.give_back(taken, s(0));
        assert!(bucket.is_full(s(0)));
        // Never more than the bound, and never what did not count.
        bucket.give_back(taken, s(0));
        assert_eq!(bucket.take(95.0, s(0)).wait, Duration::from_millis(4_500));
        let most = bucket.take(40.0, s(0));
        assert_eq!(most, Taken { amount: 5.0, wait: s(5) });
        bucket.give_back(most, s(0));
        assert_eq!(bucket.take(0.0, s(0)).wait, Duration::from_millis(4_500));
    }

    #[test]
    fn nobody_owes_more_than_a_burst_or_a_batch_above_it() {
        let mut bucket = Bucket::new(10.0, 50.0, s(0));
        (0..1_000).for_each(|_| assert!(bucket.take(40.0, s(0)).wait <= s(5)));
        assert_eq!(bucket.take(0.0, s(0)).wait, s(5));
        assert_eq!(bucket.take(80.0, s(0)), Taken { amount: 30.0, wait: s(8) });
        assert_eq!(bucket.take(1.0, s(0)), Taken { amount: 0.0, wait: s(8) }, "what is owed is not let off");
        bucket.adjust(1.0, 20.0, s(0));
        assert_eq!(bucket.take(0.0, s(0)).wait, s(20));
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
                clock += bucket.take(amount, clock).wait;
                taken += amount;
                prop_assert!(taken <= 30.0 + 10.0 * clock.as_secs_f64() + 1e-3, "{taken} in {clock:?}");
            }
        }

        #[test]
        fn a_clock_that_goes_back_gives_nothing(back in 0_u64..100) {
            let mut bucket = Bucket::new(1.0, 10.0, s(100));
            bucket.take(10.0, s(100));
            prop_assert_eq!(bucket.take(1.0, s(100 - back)).wait, s(1));
        }
    }

    #[test]
    fn the_wait_for_one_is_what_it_lacks_at_the_rate() {
        let mut bucket = Bucket::new(2.0, 1.0, s(0));
        assert_eq!(bucket.try_one(s(0)), Ok(()));
        assert_eq!(bucket.try_one(Duration::from_millis(250)), Err(Duration::from_millis(250)));
    }
}
