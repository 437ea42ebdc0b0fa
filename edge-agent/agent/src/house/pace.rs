//! How long commits take, counted in buckets: what a new release is judged by.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Upper ends of the buckets, ms; what is longer is in one more.
const ENDS_MS: [u64; 16] = [1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 250, 400, 700, 1_200, 3_000, 10_000];

/// The times of commits since the start.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    counts: [AtomicU32; ENDS_MS.len() + 1],
}

impl Pace {
    /// A commit took so long.
    pub(super) fn add(&self, took: Duration) {
        let bucket = ENDS_MS.partition_point(|end| Duration::from_millis(*end) < took);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were, and what so many of 100 took at most, ms: the upper end of a bucket.
    pub(crate) fn within(&self, of_100: u64) -> (u64, u64) {
        let counts = self.counts.each_ref().map(|count| u64::from(count.load(Ordering::Relaxed)));
        let all: u64 = counts.iter().sum();
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            seen * 100 >= all * of_100
        });
        let ms = bucket.map_or(0, |bucket| ENDS_MS.get(bucket).copied().unwrap_or(60_000));
        (all, if all == 0 { 0 } else { ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_a_hundred_is_let_go() {
        let pace = Pace::default();
        assert_eq!(pace.within(99), (0, 0));
        (0..99).for_each(|_| pace.add(Duration::from_micros(4_100)));
        pace.add(Duration::from_secs(30));
        assert_eq!(pace.within(99), (100, 5));
        pace.add(Duration::from_secs(30));
        assert_eq!(pace.within(99), (101, 60_000));
        assert_eq!(pace.within(90), (101, 5));
    }
}
