//! What time it is, as far as updates may believe it. Pure.
//!
//! A box may start in 1970 with no network, and somebody may have turned its clock back to show it metadata of last year. So
//! the time is never earlier than what is known to be over ([`Over`]), and whether metadata has expired is judged only by a time
//! that somebody has confirmed since the start: the cloud over its authenticated link, the service that sets the clock from the
//! network, or a person. Without one the installed version stays, and nothing new is installed.
//!
//! Whoever may be wrong can be put right: what the cloud alone has said the cloud can take back, and a person overrules both. What
//! keys have signed that lie offline nobody does.

use engawa_model::Timestamp;
use jiff::SignedDuration;
use std::time::Duration;

/// So far a clock may be off before it is said.
const OFF: SignedDuration = SignedDuration::from_mins(5);
/// How far what somebody says may lie before what is known to be over.
const SLACK: SignedDuration = SignedDuration::from_mins(10);
/// So long a person's word stands before the cloud's.
const WORD: Duration = Duration::from_secs(86_400);

/// Who has confirmed the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The cloud, over its authenticated link.
    Cloud,
    /// The service that sets the system's clock (NTP).
    System,
    /// A person, on the command line.
    Person,
}

/// What is known to be over, by who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    /// Keys have signed it that lie offline: when what runs was built. Nobody takes it back.
    pub(crate) signed: Timestamp,
    /// The cloud and the network's time service have both said it. A person takes it back.
    pub(crate) agreed: Timestamp,
    /// Somebody has said it once: the cloud, by its word or by a timestamp that its keys have signed, or the time service.
    pub(crate) said: Timestamp,
}

impl Over {
    /// Nothing of it is later than `until`: by then all that is trusted has expired, so that whoever says more may be wrong.
    pub(crate) fn bounded(self, until: Timestamp) -> Self {
        let Self { signed, agreed, said } = self;
        Self { signed: signed.min(until), agreed: agreed.min(until), said: said.min(until) }
    }
}

impl Default for Over {
    fn default() -> Self {
        let never = Timestamp::UNIX_EPOCH;
        Self { signed: never, agreed: never, said: never }
    }
}

/// What was made of somebody's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is believed.
    Believed,
    /// It is believed, though it was said to be later before.
    Earlier {
        /// How late.
        said: Timestamp,
    },
    /// It is not believed.
    Over {
        /// It is later than this.
        since: Timestamp,
    },
}

/// The time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// It is at least so late.
    pub(crate) at: Timestamp,
    /// Somebody has confirmed it; else nothing new is installed by it.
    pub(crate) confirmed: Option<By>,
    /// How far the system's clock is off, where that is much.
    pub(crate) off: Option<SignedDuration>,
}

/// The clock of updates.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    over: Over,
    confirmed: Option<(By, Timestamp, Duration)>,
    /// What the time service has said last.
    system: Option<(Timestamp, Duration)>,
    last: Option<(Timestamp, Duration)>,
}

fn later(at: Timestamp, since: Duration, mono: Duration) -> Timestamp {
    let passed = SignedDuration::try_from(mono.saturating_sub(since)).unwrap_or(SignedDuration::MAX);
    at.checked_add(passed).unwrap_or(Timestamp::MAX)
}

impl Clock {
    /// Nothing is earlier than what is `over`.
    pub(crate) fn new(over: Over) -> Self {
        Self { over, confirmed: None, system: None, last: None }
    }

    /// It is `at`, says somebody, `mono` after the start.
    pub(crate) fn confirm(&mut self, by: By, at: Timestamp, mono: Duration) -> Heard {
        let Over { signed, agreed, said } = self.over;
        // The time service has no signature: it takes back nothing. What both say no single one takes back.
        let since = match by {
            By::Person => signed,
            By::Cloud => signed.max(agreed),
            By::System => signed.max(agreed).max(said),
        };
        if at < since.checked_sub(SLACK).unwrap_or(since) {
            return Heard::Over { since };
        }
        let earlier = at < said.checked_sub(SLACK).unwrap_or(said);
        match (by, self.confirmed) {
            // The cloud's word stands before the system's, and bears witness for it.
            (By::System, Some((By::Cloud, cloud, since))) => {
                self.over.agreed = agreed.max(at.min(later(cloud, since, mono)));
                self.system = Some((at, mono));
                return Heard::Believed;
            }
            (By::System, Some((By::Person, ..))) => return Heard::Believed,
            (By::Cloud, Some((By::Person, _, since))) if mono.saturating_sub(since) < WORD => {
                return Heard::Believed;
            }
            (By::System, _) => {
                self.system = Some((at, mono));
                self.over.said = said.max(at);
            }
            (By::Cloud, _) => {
                if let Some((system, since)) = self.system {
                    self.over.agreed = agreed.max(at.min(later(system, since, mono)));
                }
                self.over.said = if earlier { at } else { said.max(at) };
            }
            (By::Person, _) => {
                self.system = None;
                self.over = Over { signed, agreed: agreed.min(at), said: at };
            }
        }
        self.confirmed = Some((by, at, mono));
        if earlier { Heard::Earlier { said } } else { Heard::Believed }
    }

    /// The time, where the system's clock says `wall`, `mono` after the start.
    pub(crate) fn now(&mut self, wall: Timestamp, mono: Duration) -> Now {
        let Over { signed, agreed, said } = self.over;
        let off = |expected: Timestamp| Some(wall.duration_since(expected)).filter(|off| off.abs() > OFF);
        let now = match self.confirmed {
            Some((by, at, since)) => {
                let at = later(at, since, mono).max(signed).max(agreed);
                Now { at, confirmed: Some(by), off: off(at) }
            }
            None => {
                let floor = signed.max(agreed).max(said);
                let jumped = self.last.and_then(|(at, since)| off(later(at, since, mono)));
                let behind = (wall < floor).then(|| off(floor)).flatten();
                Now { at: wall.max(floor), confirmed: None, off: behind.or(jumped) }
            }
        };
        self.last = Some((wall, mono));
        now
    }

    /// What is known to be over: to be kept over a restart.
    pub(crate) fn over(&self) -> Over {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn s(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn signed(second: i64) -> Clock {
        Clock::new(Over { signed: at(second), ..Over::default() })
    }

    fn said(second: i64) -> Clock {
        Clock::new(Over { said: at(second), ..Over::default() })
    }

    const YEAR: i64 = 86_400 * 365;

    #[test]
    fn a_box_that_starts_in_1970_knows_at_least_when_it_was_built() {
        let mut clock = signed(3600);
        let now = clock.now(Timestamp::UNIX_EPOCH, s(1));
        assert_eq!((now.at, now.confirmed), (at(3600), None));
        assert!(now.off.is_some(), "the clock is behind what is over");
        assert_eq!(clock.confirm(By::Cloud, at(900_000), s(10)), Heard::Believed);
        let now = clock.now(Timestamp::UNIX_EPOCH, s(70));
        assert_eq!((now.at, now.confirmed), (at(900_060), Some(By::Cloud)), "whatever the wall says");
        assert_eq!(clock.over(), Over { signed: at(3600), said: at(900_000), ..Over::default() });
    }

    #[test]
    fn a_clock_that_is_turned_back_changes_nothing_and_is_noticed() {
        let mut clock = said(0);
        assert_eq!(clock.now(at(100), s(0)).off, None);
        assert_eq!(clock.now(at(160), s(60)).off, None);
        let back = clock.now(at(170 - YEAR), s(70));
        assert_eq!(back.at, at(0), "not before what is over");
        assert!(back.off.unwrap() < SignedDuration::ZERO);
        assert_eq!(clock.confirm(By::System, at(200), s(100)), Heard::Believed);
        let now = clock.now(at(200 - YEAR), s(160));
        assert_eq!((now.at, now.confirmed), (at(260), Some(By::System)));
        assert!(now.off.is_some());
        assert_eq!(clock.now(at(262), s(161)).off, None);
    }

    #[test]
    fn nobody_confirms_what_offline_keys_say_is_over_and_the_cloud_s_word_stands_before_the_system_s() {
        let mut clock = signed(10_000);
        for by in [By::Cloud, By::System, By::Person] {
            assert_eq!(clock.confirm(by, at(0), s(1)), Heard::Over { since: at(10_000) }, "freeze");
        }
        assert_eq!(clock.now(at(10_001), s(1)).confirmed, None);
        assert_eq!(clock.confirm(By::Cloud, at(20_000), s(2)), Heard::Believed);
        assert_eq!(clock.confirm(By::System, at(19_900), s(3)), Heard::Believed);
        let now = clock.now(at(19_901), s(4));
        assert_eq!((now.at, now.confirmed), (at(20_002), Some(By::Cloud)));
        // Another hour, another confirmation.
        assert_eq!(clock.confirm(By::Cloud, at(23_600), s(3602)), Heard::Believed);
        assert_eq!(clock.now(at(23_600), s(3602)).at, at(23_600));
        assert_eq!(clock.now(at(0), Duration::MAX).at, Timestamp::MAX, "no overflow");
    }

    #[test]
    fn what_a_cloud_alone_has_said_wrongly_it_takes_back() {
        let mut clock = signed(0);
        assert_eq!(clock.confirm(By::Cloud, at(70 * YEAR), s(1)), Heard::Believed, "nobody knows better");
        assert_eq!(clock.confirm(By::Cloud, at(100), s(60)), Heard::Earlier { said: at(70 * YEAR) });
        assert_eq!(clock.now(at(100), s(60)).at, at(100));
        // Over a restart no more of it is kept than what is trusted lasts.
        let mut clock = Clock::new(Over { said: at(70 * YEAR), ..Over::default() }.bounded(at(YEAR)));
        assert_eq!(clock.confirm(By::System, at(100), s(1)), Heard::Over { since: at(YEAR) });
        assert_eq!(clock.confirm(By::Cloud, at(100), s(2)), Heard::Earlier { said: at(YEAR) });
        assert_eq!(clock.now(at(100), s(2)).at, at(100));
        assert_eq!(clock.confirm(By::System, at(101), s(3)), Heard::Believed);
    }

    #[test]
    fn what_cloud_and_network_have_both_said_the_cloud_does_not_take_back() {
        for system_first in [true, false] {
            let mut clock = signed(0);
            let mut tell = |by, second| clock.confirm(by, at(second), s(10));
            let both = [(By::System, 5_000), (By::Cloud, 5_060)];
            let both = if system_first { both } else { [both[1], both[0]] };
            assert!(both.into_iter().all(|(by, second)| tell(by, second) == Heard::Believed));
            assert_eq!(tell(By::Cloud, 100), Heard::Over { since: at(5_000) }, "freeze");
            assert_eq!(clock.over().agreed, at(5_000));
        }
        // One that lies alone is no second witness.
        let mut clock = signed(0);
        clock.confirm(By::Cloud, at(5_000), s(1));
        clock.confirm(By::System, at(70 * YEAR), s(2));
        assert_eq!(clock.over(), Over { signed: at(0), agreed: at(5_001), said: at(5_000) });
    }

    #[test]
    fn a_person_overrules_both_for_a_day() {
        let wrong = Over { signed: at(0), agreed: at(YEAR), said: at(YEAR) };
        let mut clock = Clock::new(wrong);
        assert_eq!(clock.confirm(By::Person, at(100), s(1)), Heard::Earlier { said: at(YEAR) });
        assert_eq!(clock.now(at(160), s(61)).at, at(160));
        assert_eq!(clock.over(), Over { signed: at(0), agreed: at(100), said: at(100) });
        assert_eq!(clock.confirm(By::Cloud, at(70 * YEAR), s(90)), Heard::Believed);
        assert_eq!(clock.confirm(By::System, at(70 * YEAR), s(90)), Heard::Believed);
        assert_eq!(clock.now(at(190), s(91)), Now { at: at(190), confirmed: Some(By::Person), off: None });
        assert_eq!(clock.confirm(By::Cloud, at(90_000), s(90_001)), Heard::Believed);
        assert_eq!(clock.now(at(90_000), s(90_001)).confirmed, Some(By::Cloud));
    }
}
