//! Whether the other end is still there, seen by what it says and by pings on the control stream.
//!
//! A line that lets nothing through is not told by its socket. So whoever has heard nothing for a while asks; who gets
//! no answer tries another local port first, since a NAT may have forgotten the old one, and then gives the connection
//! up. Only the edge rebinds: the cloud can't reach behind a NAT.

use std::time::Duration;

/// How long silence may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// Silence after which the other end is asked, and how often it is asked again.
    pub keep_alive: Duration,
    /// Silence after which the connection is given up.
    pub idle: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { keep_alive: Duration::from_secs(15), idle: Duration::from_secs(60) }
    }
}

/// What silence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask with this number.
    Ping(u64),
    /// Ask with this number, from another local port.
    Rebind(u64),
    /// Give up.
    Dead,
}

/// The pulse of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    times: Liveness,
    heard: Duration,
    asked: Duration,
    /// Pings since something was heard.
    unanswered: u32,
    number: u64,
}

impl Pulse {
    pub(crate) fn new(times: Liveness, now: Duration) -> Self {
        Self { times, heard: now, asked: now, unanswered: 0, number: 0 }
    }

    /// Something came.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard = self.heard.max(now);
        self.unanswered = 0;
    }

    /// How long nothing was heard.
    pub(crate) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard)
    }

    /// When it is to be looked at again.
    pub(crate) fn wake_at(&self) -> Duration {
        let ask = self.heard.max(self.asked).saturating_add(self.times.keep_alive);
        ask.min(self.heard.saturating_add(self.times.idle))
    }

    /// What is due now.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Due> {
        if now < self.wake_at() {
            return None;
        }
        if self.silence(now) >= self.times.idle {
            return Some(Due::Dead);
        }
        self.asked = now;
        self.unanswered += 1;
        self.number += 1;
        // The second ping in a row without an answer.
        Some(if self.unanswered == 2 { Due::Rebind(self.number) } else { Due::Ping(self.number) })
    }
}

/// Pings that are answered in [`PINGS_PER`]; a peer that sends more is not worth a line.
const MOST_PINGS: u32 = 64;
/// A ping is due every few seconds at most.
const PINGS_PER: Duration = Duration::from_secs(10);

/// How often the other end has asked lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pings {
    since: Duration,
    count: u32,
}

impl Pings {
    pub(crate) fn may_answer(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= PINGS_PER {
            (self.since, self.count) = (now, 0);
        }
        self.count += 1;
        self.count <= MOST_PINGS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_asked_then_rebound_then_given_up() {
        let mut pulse = Pulse::new(Liveness::default(), s(100));
        let mut seen = Vec::new();
        for second in 100..=200 {
            if let Some(due) = pulse.due(s(second)) {
                seen.push((second, due));
                if due == Due::Dead {
                    break;
                }
            }
        }
        let want = [(115, Due::Ping(1)), (130, Due::Rebind(2)), (145, Due::Ping(3)), (160, Due::Dead)];
        assert_eq!(seen, want);
    }

    #[test]
    fn whatever_is_heard_counts() {
        let mut pulse = Pulse::new(Liveness::default(), s(0));
        assert_eq!(pulse.due(s(15)), Some(Due::Ping(1)));
        pulse.heard(s(16));
        assert_eq!(pulse.wake_at(), s(31));
        assert_eq!(pulse.due(s(30)), None);
        assert_eq!(pulse.due(s(31)), Some(Due::Ping(2)), "the first of a new silence");
        pulse.heard(s(20));
        assert_eq!(pulse.due(s(46)), Some(Due::Ping(3)));
    }

    #[test]
    fn a_pause_of_the_process_is_seen_as_silence() {
        let mut pulse = Pulse::new(Liveness::default(), s(0));
        assert_eq!(pulse.due(s(86_400 * 365)), Some(Due::Dead));
    }

    #[test]
    fn many_pings_are_too_many() {
        let mut pings = Pings::default();
        assert!((0..64).all(|_| pings.may_answer(s(3))));
        assert!(!pings.may_answer(s(9)));
        assert!(pings.may_answer(s(10)));
        assert!((11..2_000).all(|second| pings.may_answer(s(second))), "one a second is well");
    }
}
