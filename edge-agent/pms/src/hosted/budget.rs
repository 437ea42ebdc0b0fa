//! How fast a system may be asked: so many requests in any span of so many seconds.

use engawa_model::Timestamp;
use jiff::SignedDuration;
use std::collections::VecDeque;

/// A limit of a vendor, or of our own where it names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Requests.
    pub requests: u32,
    /// In any span of this many seconds.
    pub seconds: u32,
}

/// What is left of it.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Limit,
    /// When requests went out; at most `limit.requests`.
    sent: VecDeque<Timestamp>,
}

impl Budget {
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, sent: VecDeque::new() }
    }

    /// When the next request may go.
    pub(super) fn ready_at(&self, now: Timestamp) -> Timestamp {
        let Some(oldest) =
            self.sent.front().filter(|_| self.sent.len() >= self.limit.requests.max(1) as usize)
        else {
            return now;
        };
        let span = SignedDuration::from_secs(i64::from(self.limit.seconds));
        oldest.checked_add(span).unwrap_or(Timestamp::MAX).max(now)
    }

    /// A request goes out.
    pub(super) fn spend(&mut self, now: Timestamp) {
        while self.sent.len() >= self.limit.requests.max(1) as usize {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_ever_holds_more_than_the_limit() {
        let mut budget = Budget::new(Limit { requests: 5, seconds: 30 });
        let start: Timestamp = "2026-07-15T10:00:00Z".parse().unwrap();
        let (mut now, mut sent) = (start, Vec::new());
        for n in 0..40_i64 {
            now = budget.ready_at(now.checked_add(SignedDuration::from_millis(n * 37 % 900)).unwrap());
            budget.spend(now);
            sent.push(now);
        }
        for six in sent.windows(6) {
            assert!(six[5].duration_since(six[0]) >= SignedDuration::from_secs(30), "{six:?}");
        }
    }
}
