//! How long to wait before the next attempt to connect: doubled each time, spread over half of itself, so that
//! several gateways do not knock in step.

use jiff::SignedDuration;

const FIRST_MS: u64 = 250;

/// The pauses between attempts. Randomness comes from the seed alone.
#[derive(Clone, Debug)]
pub struct Backoff {
    longest_ms: u64,
    next_ms: u64,
    state: u64,
}

impl Backoff {
    /// Pauses of at most `longest_s` seconds.
    pub fn new(longest_s: u32, seed: u64) -> Self {
        Self { longest_ms: u64::from(longest_s) * 1000, next_ms: FIRST_MS, state: seed | 1 }
    }

    /// The connection was good: begin from the shortest pause again.
    pub fn reset(&mut self) {
        self.next_ms = FIRST_MS;
    }

    /// The next pause: between half and the whole of the current step.
    pub fn pause(&mut self) -> SignedDuration {
        let step = self.next_ms.min(self.longest_ms).max(2);
        self.next_ms = step.saturating_mul(2);
        // xorshift64: enough to keep gateways out of step.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let pause = step / 2 + self.state % (step / 2 + 1);
        SignedDuration::from_millis(i64::try_from(pause).unwrap_or(i64::MAX))
    }
}
