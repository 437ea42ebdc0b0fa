//! How a device is judged, and how often a sick one is asked.

use std::time::Duration;

/// Failures in a row after which a device is called unwell.
const PATIENCE: u32 = 3;
/// The first pause of a device that did not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A device that does not answer gets at most this share of the bus's time: one part of so many.
const SHARE: u32 = 20;

/// The judgement of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    failures: u32,
    judged: Judged,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Judged {
    #[default]
    Nothing,
    Well,
    Unwell(String),
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The device is well (again).
    Well,
    /// It is unwell, or unwell for another reason.
    Unwell(String),
}

impl Health {
    /// Judged well.
    pub(crate) fn is_well(&self) -> bool {
        self.judged == Judged::Well && self.failures == 0
    }

    /// Judged sick.
    pub(crate) fn is_unwell(&self) -> bool {
        matches!(self.judged, Judged::Unwell(_))
    }

    /// A good answer.
    pub(crate) fn good(&mut self) -> Option<Verdict> {
        self.failures = 0;
        (self.judged != Judged::Well).then(|| {
            self.judged = Judged::Well;
            Verdict::Well
        })
    }

    /// A failure, and how long it held up the bus: the pause until the device may be asked again, and what is to be
    /// told.
    pub(crate) fn failed(&mut self, why: &str, took: Duration) -> (Duration, Option<Verdict>) {
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        // Never more than its share of the bus, however long it takes to fail.
        let pause = doubled.min(LONGEST_PAUSE).max(took.saturating_mul(SHARE - 1));
        let news =
            self.failures >= PATIENCE && !matches!(&self.judged, Judged::Unwell(known) if known == why);
        let verdict = news.then(|| {
            self.judged = Judged::Unwell(why.to_owned());
            Verdict::Unwell(why.to_owned())
        });
        (pause, verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_make_it_unwell_and_one_answer_well() {
        let mut health = Health::default();
        let took = Duration::from_millis(1);
        assert_eq!(health.good(), Some(Verdict::Well));
        assert_eq!(health.good(), None);
        assert_eq!(health.failed("no answer", took).1, None);
        assert_eq!(health.failed("no answer", took).1, None);
        assert_eq!(health.failed("no answer", took).1, Some(Verdict::Unwell("no answer".into())));
        assert_eq!(health.failed("no answer", took).1, None);
        assert_eq!(health.failed("garbage", took).1, Some(Verdict::Unwell("garbage".into())));
        assert_eq!(health.good(), Some(Verdict::Well));
    }

    #[test]
    fn a_dead_device_takes_at_most_a_twentieth_of_the_bus() {
        let mut health = Health::default();
        let took = Duration::from_secs(1);
        let (mut asked, mut all) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..50 {
            let (pause, _) = health.failed("no answer", took);
            asked += took;
            all += took + pause;
        }
        assert!(asked * 20 <= all, "{asked:?} of {all:?}");
        assert!(health.failed("no answer", Duration::from_millis(1)).0 <= LONGEST_PAUSE);
    }
}
