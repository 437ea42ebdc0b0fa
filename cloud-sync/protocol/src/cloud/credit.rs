//! How much the cloud lets a lane send: a window beyond what is stored, which shrinks while the store is slow.

use std::time::Duration;

/// Bounds of the window, bytes of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditBounds {
    /// Where it begins.
    pub start: u64,
    /// Never less.
    pub min: u64,
    /// Never more: what waits in memory for one lane of one gateway.
    pub max: u64,
    /// A batch that took longer halves it.
    pub slow: Duration,
    /// A batch that took less doubles it.
    pub quick: Duration,
}

impl Default for CreditBounds {
    fn default() -> Self {
        Self {
            start: 256 << 10,
            min: 32 << 10,
            max: 512 << 10,
            slow: Duration::from_secs(1),
            quick: Duration::from_millis(200),
        }
    }
}

/// One lane's account.
#[derive(Debug)]
pub(super) struct Account {
    bounds: CreditBounds,
    window: u64,
    received: u64,
    stored: u64,
    limit: u64,
    /// The limit that the edge knows.
    told: u64,
}

impl Account {
    pub(super) fn new(bounds: CreditBounds) -> Self {
        let window = bounds.start.clamp(bounds.min, bounds.max);
        Self { bounds, window, received: 0, stored: 0, limit: window, told: window }
    }

    /// A frame has begun to come. False where it may not: the limit was reached before it.
    pub(super) fn received(&mut self, bytes: u64) -> bool {
        let may = self.received < self.limit;
        self.received = self.received.saturating_add(bytes);
        may
    }

    /// Frames of `bytes` are done with. `took`: how long the store worked at them, if it did.
    pub(super) fn stored(&mut self, bytes: u64, took: Option<Duration>) {
        self.stored = self.stored.saturating_add(bytes);
        match took {
            Some(took) if took > self.bounds.slow => self.window = (self.window / 2).max(self.bounds.min),
            Some(took) if took < self.bounds.quick => self.window = (self.window * 2).min(self.bounds.max),
            _ => {}
        }
        self.limit = self.limit.max(self.stored.saturating_add(self.window));
    }

    /// The limit, where it is worth telling: a word for every quarter of the window is enough to keep it open.
    pub(super) fn news(&mut self) -> Option<u64> {
        (self.limit - self.told >= self.window / 4).then(|| self.limit())
    }

    /// The limit, told again.
    pub(super) fn limit(&mut self) -> u64 {
        self.told = self.limit;
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_secs(2);
    const FAIR: Duration = Duration::from_millis(500);
    const BOUNDS: CreditBounds = CreditBounds {
        start: 200,
        min: 50,
        max: 400,
        slow: Duration::from_secs(1),
        quick: Duration::from_millis(200),
    };

    fn stored(account: &mut Account, bytes: u64, took: Duration) -> Option<u64> {
        account.stored(bytes, Some(took));
        account.news()
    }

    #[test]
    fn a_frame_may_begin_below_the_limit_only() {
        let mut account = Account::new(BOUNDS);
        assert!(account.received(199));
        assert!(account.received(1_000), "it began below");
        assert!(!account.received(1));
        assert_eq!(stored(&mut account, 1_199, FAIR), Some(1_399));
        assert!(account.received(198) && account.received(1));
        assert!(!account.received(1));
    }

    #[test]
    fn a_slow_store_shrinks_the_window_and_a_quick_one_opens_it() {
        let mut account = Account::new(BOUNDS);
        let first = stored(&mut account, 100, SLOW);
        assert_eq!(first, None, "half the window beyond what is stored is not more than before");
        assert_eq!(stored(&mut account, 100, SLOW), Some(250), "the least window");
        assert_eq!(stored(&mut account, 100, SLOW), Some(350));
        assert_eq!(stored(&mut account, 100, Duration::from_secs(1)), Some(450), "not slow yet");
        assert_eq!(stored(&mut account, 100, Duration::from_millis(200)), Some(550), "not quick yet");
        assert_eq!(stored(&mut account, 100, QUICK), Some(700));
        assert_eq!(stored(&mut account, 100, QUICK), Some(900));
        assert_eq!(stored(&mut account, 100, QUICK), Some(1_200), "the most window");
        assert_eq!(stored(&mut account, 99, QUICK), None, "less than a quarter of it is new");
        assert_eq!(stored(&mut account, 1, QUICK), Some(1_300));
        assert_eq!((account.limit(), account.news()), (1_300, None));
    }

    #[test]
    fn what_the_store_never_saw_says_nothing_of_its_pace() {
        let mut account = Account::new(BOUNDS);
        account.stored(100, None);
        assert_eq!(account.news(), Some(300));
    }

    #[test]
    fn the_beginning_keeps_its_bounds() {
        assert_eq!(Account::new(CreditBounds { start: 1, ..BOUNDS }).limit(), 50);
        assert_eq!(Account::new(CreditBounds { start: 1_000, ..BOUNDS }).limit(), 400);
        assert_eq!(Account::new(BOUNDS).limit(), 200);
    }

    #[test]
    fn what_is_slow_halves_and_what_is_just_not_slow_does_not() {
        let mut account = Account::new(BOUNDS);
        assert_eq!(stored(&mut account, 100, BOUNDS.slow), Some(300), "just not slow");
        let mut account = Account::new(BOUNDS);
        account.stored(100, Some(SLOW));
        assert_eq!(stored(&mut account, 100, FAIR), Some(300), "half of two hundred beyond what is stored");
    }
}
