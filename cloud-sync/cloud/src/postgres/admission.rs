//! How long whoever is told "later" is to wait: longer while the database does not keep up, shorter as it does.
//!
//! No clock and no chance of its own: time and a number of chance come in.

use std::time::Duration;

/// The shortest rest, and the first.
const SHORTEST: Duration = Duration::from_millis(250);
/// The longest: a database that is back is asked again soon.
const LONGEST: Duration = Duration::from_secs(15);

/// How a replica stands with its database.
#[derive(Debug)]
pub(crate) struct Admission {
    pause: Duration,
    changed: Duration,
    refused: Duration,
}

impl Admission {
    pub(crate) fn new() -> Self {
        Self { pause: SHORTEST, changed: Duration::ZERO, refused: Duration::ZERO }
    }

    /// Somebody is told "later" at `now`. Gives for how long: around the present pause, from three quarters to five, by
    /// `chance` (0 to 1), so that those who were refused together do not come back together. The pause doubles once in
    /// each of its own lengths, however many ask meanwhile.
    pub(crate) fn refused(&mut self, now: Duration, chance: f64) -> Duration {
        if now.saturating_sub(self.refused) > LONGEST {
            // Another trouble than the last one.
            (self.pause, self.changed) = (SHORTEST, now);
        }
        self.refused = now;
        if now.saturating_sub(self.changed) >= self.pause {
            self.pause = (self.pause * 2).min(LONGEST);
            self.changed = now;
        }
        self.pause.mul_f64(0.75 + 0.5 * chance.clamp(0.0, 1.0))
    }

    /// The database has taken a transaction at `now`: at most once in a shortest pause the pause is halved.
    pub(crate) fn served(&mut self, now: Duration) {
        if self.pause > SHORTEST && now.saturating_sub(self.changed) >= SHORTEST {
            self.pause = (self.pause / 2).max(SHORTEST);
            self.changed = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_pause_grows_with_time_not_with_the_crowd_and_shrinks_again() {
        let mut admission = Admission::new();
        for _ in 0..1_000 {
            assert_eq!(admission.refused(ms(0), 0.5), ms(250), "a burst is told the same");
        }
        assert_eq!(admission.refused(ms(250), 0.5), ms(500));
        assert_eq!(admission.refused(ms(749), 0.5), ms(500));
        assert_eq!(admission.refused(ms(750), 0.5), ms(1_000));
        let mut now = ms(750);
        for _ in 0..20 {
            now += LONGEST;
            admission.refused(now, 0.5);
        }
        assert_eq!(admission.refused(now, 0.5), LONGEST);
        for _ in 0..20 {
            now += SHORTEST;
            admission.served(now);
        }
        assert_eq!(admission.refused(now, 0.5), SHORTEST * 2);
        assert_eq!(admission.refused(now + LONGEST * 2, 0.5), SHORTEST, "another trouble");
    }

    #[test]
    fn those_who_were_refused_together_come_back_apart() {
        let mut admission = Admission::new();
        let at = |admission: &mut Admission, chance| admission.refused(ms(0), chance);
        assert_eq!(at(&mut admission, 0.0), ms(187) + Duration::from_micros(500));
        assert_eq!(at(&mut admission, 1.0), ms(312) + Duration::from_micros(500));
        assert_eq!(at(&mut admission, 7.0), ms(312) + Duration::from_micros(500));
    }
}
