//! How long to wait before the next try at a broker: twice as long each time, with jitter, up to a minute.
//!
//! Never: the clock, randomness (the dice come in).

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);
/// A connection that held this long was a good one: the next try is a first one again. A shorter one may be
/// two gateways that throw each other out under one client id.
const GOOD: Duration = Duration::from_secs(10);

/// Counts the tries.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The pause after a connection that held for `held` (zero where there was none). `dice` is in 0..1.
    pub(super) fn pause(&mut self, held: Duration, dice: f64) -> Duration {
        if held >= GOOD {
            self.tries = 0;
        }
        let longest = FIRST.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        // Half fixed, half by chance: a house full of gateways does not come back in one instant.
        longest.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_start_again_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.pause(Duration::ZERO, 1.0).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!(backoff.pause(Duration::from_secs(1), 0.0), Duration::from_secs(30));
        assert_eq!(backoff.pause(GOOD, 0.0), Duration::from_millis(250));
    }
}
