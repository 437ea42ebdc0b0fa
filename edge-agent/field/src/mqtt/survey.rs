//! What the broker keeps of the house: heard once at each connection, so that only what differs is published again.
//!
//! Why: nothing is to be published twice to a retained topic without a change, across reconnections and restarts of
//! either side; and what the house no longer has (a device that was taken out) is to be cleared away. The broker is
//! asked, since only it knows what it still has.
//!
//! How the end is known: MQTT has no sign for it. A message of our own, the *mark*, is published after the
//! subscription; most brokers deliver it behind everything they keep. The survey is over when the mark and all that is
//! expected are here, or else after a pause; whatever was not heard is published anew, so that a survey that fails
//! costs messages and nothing else.
//!
//! Terms: a *stranger* is a retained topic of the house that the house no longer has.
//!
//! Never: the clock (time comes in), sockets.

use super::house::Publication;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// The pause after which nothing more is expected, once the mark has come. Brokers that are a cluster deliver what
/// they keep beside the mark.
const QUIET: Duration = Duration::from_millis(250);
/// The pause after which nothing is expected any more without the mark: the broker does not let us hear our own topics.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest survey.
const LONGEST: Duration = Duration::from_secs(30);
/// Topics that are remembered; those beyond are published anew.
const MOST: usize = 200_000;
/// Strangers that are cleared in one connection; those beyond in the next ones.
const MOST_STRANGERS: usize = 10_000;

/// A number that stands for a text.
pub(super) fn print(text: &[u8]) -> u64 {
    // The same in each process: what was heard and what is compared never leave it.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What was heard: the payload of each topic that the house has, as prints, and the strangers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) known: HashMap<u64, u64>,
    pub(super) strangers: HashSet<String>,
}

/// One survey.
#[derive(Debug)]
pub(super) struct Survey {
    mark: String,
    ours: HashSet<u64>,
    kept: Kept,
    marked: bool,
    began: Instant,
    last: Instant,
}

impl Survey {
    /// A survey that begins now, of a house that has `snapshot`. `mark` is nobody else's.
    pub(super) fn new(snapshot: &[Publication], mark: String, now: Instant) -> Self {
        let ours = snapshot.iter().take(MOST).map(|it| print(it.topic.as_bytes())).collect();
        Self { mark, ours, kept: Kept::default(), marked: false, began: now, last: now }
    }

    /// The mark's payload.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// A message on a topic that is surveyed.
    pub(super) fn hear(&mut self, topic: &str, payload: &[u8], retained: bool, now: Instant) {
        if !retained {
            if payload == self.mark.as_bytes() {
                self.marked = true;
                self.last = now;
            }
            return;
        }
        self.last = now;
        let key = print(topic.as_bytes());
        if self.ours.contains(&key) {
            self.kept.known.insert(key, print(payload));
        } else if self.kept.strangers.len() < MOST_STRANGERS {
            self.kept.strangers.insert(topic.to_owned());
        }
    }

    /// A kept message elsewhere, which is cleared by others if it is a stranger.
    pub(super) fn hear_foreign(&mut self, topic: &str, payload: &[u8], now: Instant) {
        self.last = now;
        let key = print(topic.as_bytes());
        if self.ours.contains(&key) {
            self.kept.known.insert(key, print(payload));
        }
    }

    /// The broker lets us hear nothing.
    pub(super) fn refused(&mut self) {
        self.marked = true;
        self.ours.clear();
    }

    /// True where nothing more is to be waited for.
    pub(super) fn over(&self, now: Instant) -> bool {
        (self.marked && self.kept.known.len() >= self.ours.len()) || now >= self.due()
    }

    /// When it is over if nothing more is heard.
    pub(super) fn due(&self) -> Instant {
        let pause = if self.marked { QUIET } else { PATIENCE };
        (self.last + pause).min(self.began + LONGEST)
    }

    /// What was heard.
    pub(super) fn outcome(self) -> Kept {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house() -> Vec<Publication> {
        ["a", "b"].map(|topic| Publication::state(topic.to_owned(), "1")).to_vec()
    }

    #[test]
    fn it_is_over_once_the_mark_and_all_that_is_expected_are_here() {
        let now = Instant::now();
        let mut survey = Survey::new(&house(), "m".to_owned(), now);
        survey.hear("a", b"1", true, now);
        survey.hear("b", b"0", true, now);
        assert!(!survey.over(now), "a broker may still have strangers");
        survey.hear("s", b"other", false, now);
        assert!(!survey.over(now), "another's message is no mark");
        survey.hear("gone", b"1", true, now);
        survey.hear("s", b"m", false, now);
        assert!(survey.over(now));
        let kept = survey.outcome();
        assert_eq!(kept.known.get(&print(b"a")), Some(&print(b"1")));
        assert_eq!(kept.known.get(&print(b"b")), Some(&print(b"0")));
        assert_eq!(kept.strangers, HashSet::from(["gone".to_owned()]));
    }

    #[test]
    fn a_broker_that_keeps_nothing_or_says_nothing_is_not_waited_for_long() {
        let now = Instant::now();
        let mut survey = Survey::new(&house(), "m".to_owned(), now);
        assert!(!survey.over(now + PATIENCE - QUIET) && survey.over(now + PATIENCE));
        survey.hear("s", b"m", false, now);
        assert!(!survey.over(now) && survey.over(now + QUIET));
        let mut survey = Survey::new(&house(), "m".to_owned(), now);
        for n in 1_u32.. {
            let at = now + PATIENCE / 2 * n;
            survey.hear("a", b"1", true, at);
            if survey.over(at) {
                assert!(at <= now + LONGEST + PATIENCE, "one that never ends is ended");
                break;
            }
        }
        let mut survey = Survey::new(&house(), "m".to_owned(), now);
        survey.refused();
        assert!(survey.over(now));
        assert_eq!(survey.outcome(), Kept::default());
    }
}
