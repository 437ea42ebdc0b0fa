//! Which of two hosts a line talks to.
//!
//! The first is the one that is meant; the standby is there for when it does not answer. Back to the first it goes when
//! the first has been found there [`FOUND`] times in a row, and after each return that did not last the next one takes
//! twice as long: two hosts between which a line jumps are worse than one that is slow.
//!
//! Pure. Never: a socket, a clock.

use std::time::Duration;

/// How often the first must be found there before the line goes back to it.
const FOUND: u32 = 3;
/// The pause between two looks at the first, while the line is with the standby.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST_LOOK: Duration = Duration::from_secs(600);
/// A stay at the first that lasted so long is a good one.
const LASTING: Duration = Duration::from_secs(600);

/// Which host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// The one that is meant.
    First,
    /// The one that stands by.
    Standby,
}

/// Where the line is, and how it fared.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    with: Host,
    look: Duration,
    pause: Duration,
    /// When the line last came back to the first from the standby.
    returned: Option<Duration>,
    found: u32,
}

impl Hosts {
    /// With the first; `look` is the shortest pause between two looks at it, [`LOOK`] usually.
    pub(crate) fn new(look: Duration) -> Self {
        Self { with: Host::First, look, pause: look, returned: None, found: 0 }
    }

    /// The order in which they are tried.
    pub(crate) fn order(&self) -> [Host; 2] {
        match self.with {
            Host::First => [Host::First, Host::Standby],
            Host::Standby => [Host::Standby, Host::First],
        }
    }

    /// The line is connected with this one.
    pub(crate) fn connected(&mut self, host: Host, now: Duration) {
        self.found = 0;
        match (self.with, host) {
            (Host::First, Host::Standby) => {
                let lasted = self.returned.is_none_or(|returned| now >= returned + LASTING);
                self.pause = if lasted { self.look } else { (self.pause * 2).min(LONGEST_LOOK) };
            }
            (Host::Standby, Host::First) => self.returned = Some(now),
            _ => {}
        }
        self.with = host;
    }

    /// How long to wait before looking for the first; `None` where the line is with it.
    pub(crate) fn look_after(&self) -> Option<Duration> {
        (self.with == Host::Standby).then_some(self.pause)
    }

    /// The first was looked for. True: the line goes back to it.
    pub(crate) fn looked(&mut self, there: bool, now: Duration) -> bool {
        self.found = if there { self.found + 1 } else { 0 };
        if self.found < FOUND || self.with == Host::First {
            return false;
        }
        self.found = 0;
        self.with = Host::First;
        self.returned = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_goes_back_when_the_first_is_there_to_stay() {
        let mut hosts = Hosts::new(LOOK);
        assert_eq!(hosts.order(), [Host::First, Host::Standby]);
        hosts.connected(Host::Standby, SECOND);
        assert_eq!(hosts.look_after(), Some(LOOK));
        assert_eq!(
            hosts.order()[0],
            Host::Standby,
            "a break of the standby's connection is no reason to change"
        );
        for there in [true, true, false, true, true] {
            assert!(!hosts.looked(there, SECOND));
        }
        assert!(hosts.looked(true, 2 * SECOND));
        assert_eq!(hosts.order()[0], Host::First);
    }

    #[test]
    fn it_does_not_jump_to_and_fro() {
        let (mut hosts, mut now) = (Hosts::new(LOOK), Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            hosts.connected(Host::Standby, now);
            pauses.push(hosts.look_after().unwrap());
            while !hosts.looked(true, now) {
                now += hosts.look_after().unwrap();
            }
            hosts.connected(Host::First, now);
            now += SECOND;
        }
        assert!(pauses.windows(2).all(|pair| pair[1] == (pair[0] * 2).min(LONGEST_LOOK)), "{pauses:?}");
        now += LASTING;
        hosts.connected(Host::Standby, now);
        assert_eq!(hosts.look_after(), Some(LOOK), "after a good stay it begins anew");
    }
}
