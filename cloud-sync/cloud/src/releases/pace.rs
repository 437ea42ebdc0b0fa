//! How fast releases go out to all gateways together: a queue of promises, kept as the moment at which it is empty.

use std::time::Duration;

/// What is promised to nobody for so long is lost: a second's worth may go at once.
const BURST: Duration = Duration::from_secs(1);

/// The pace. Time is how long ago any fixed moment was.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_s: f64,
    /// When all that was promised is gone.
    free_at: Duration,
}

impl Pace {
    /// So many bytes a second, above zero.
    pub(super) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1) as f64, free_at: Duration::ZERO }
    }

    /// How long `bytes` have to wait behind all that was promised before; `None`: longer than `most`, and nothing is promised.
    pub(super) fn promise(&mut self, bytes: u64, now: Duration, most: Duration) -> Option<Duration> {
        let now = now + BURST;
        let begins = self.free_at.max(now.saturating_sub(BURST));
        let takes = Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_s).unwrap_or(most);
        let wait = (begins + takes).saturating_sub(now);
        if wait > most {
            return None;
        }
        self.free_at = begins + takes;
        Some(wait)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(30);

    #[test]
    fn a_thousand_at_once_get_what_is_allowed_and_the_rest_is_told_to_come_again() {
        let mut pace = Pace::new(10_000_000);
        let waits: Vec<_> =
            (0..2_000).map(|_| pace.promise(256 << 10, Duration::from_secs(5), MOST)).collect();
        let promised: Vec<Duration> = waits.iter().copied().flatten().collect();
        // A second's worth at once, then thirty seconds of it.
        assert_eq!(promised.len(), 31 * 10_000_000 / (256 << 10));
        assert!(promised.windows(2).all(|pair| pair[0] <= pair[1]), "one behind another");
        let within = |seconds: u64| promised.iter().filter(|wait| wait.as_secs() < seconds).count() << 18;
        for seconds in 1..30 {
            let bytes = within(seconds);
            assert!(bytes <= (seconds as usize + 1) * 10_000_000, "{bytes} within {seconds} s");
        }
        // Whoever was refused costs nobody anything.
        assert!(pace.promise(256 << 10, Duration::from_secs(36), MOST).unwrap() < Duration::from_secs(1));
    }

    #[test]
    fn one_alone_gets_its_rate() {
        let mut pace = Pace::new(1_000);
        let mut now = Duration::from_secs(9);
        for _ in 0..100 {
            now += pace.promise(500, now, MOST).unwrap();
        }
        assert_eq!(now, Duration::from_secs(9 + 50 - 1));
    }
}
