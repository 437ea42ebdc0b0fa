//! Charges whose answer was lost: each is looked up until it is found, or is certainly not there.
//!
//! A charge that is found is booked. One that is not there at the last look, long after any server would still work on
//! the request, was never booked and goes back to the house, which sends it again with the same identifier. One that was
//! in flight when an earlier process ended is different: staff may have booked it by hand meanwhile, so it is told when it
//! is found, and left to them where it is not.

use super::Posting;
use engawa_model::{PostingNumber, Timestamp};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// Doubtful charges that are looked up at once; more than that is a matter for people.
const MOST: usize = 200;
/// The first look after the doubt.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(5);
/// No vendor works on one request for this long: theirs give up after tens of seconds.
const SETTLED: SignedDuration = SignedDuration::from_secs(120);
/// Looks that may fail before it is left to staff.
const MOST_LOOKS: u32 = 12;

/// A charge in doubt.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubted {
    /// Which.
    pub posting: Posting,
    /// It was not sent before this.
    pub since: Timestamp,
}

#[derive(Debug)]
struct Doubt {
    doubted: Doubted,
    /// When its request was given up.
    given_up: Timestamp,
    /// It may be sent again where it is not there.
    ours: bool,
    next: Timestamp,
    failed: u32,
}

/// What a look means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is booked.
    Booked,
    /// It certainly is not.
    NotSent,
    /// Another look follows.
    Open,
    /// Staff must look.
    Staff,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<PostingNumber, Doubt>);

impl Doubts {
    /// `posting` went out and its answer was lost at `now`. False: too many; it stays with staff.
    pub(super) fn add(&mut self, now: Timestamp, doubted: Doubted, ours: bool) -> bool {
        if self.0.len() >= MOST {
            return false;
        }
        let next = after(now, FIRST_LOOK);
        let doubt = Doubt { given_up: now, ours, next, failed: 0, doubted };
        self.0.insert(doubt.doubted.posting.number, doubt);
        true
    }

    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.0.values().map(|doubt| doubt.next).min()
    }

    /// The one to look up now.
    pub(super) fn due(&self, now: Timestamp) -> Option<&Doubted> {
        let due = self.0.values().filter(|doubt| doubt.next <= now).min_by_key(|doubt| doubt.next);
        due.map(|doubt| &doubt.doubted)
    }

    /// A look has told whether it is there.
    pub(super) fn looked(&mut self, now: Timestamp, number: PostingNumber, found: bool) -> Verdict {
        let Some(doubt) = self.0.get_mut(&number) else { return Verdict::Staff };
        let verdict = if found {
            Verdict::Booked
        } else if now.duration_since(doubt.given_up) < SETTLED {
            doubt.next = after(doubt.given_up, SETTLED);
            return Verdict::Open;
        } else if doubt.ours {
            Verdict::NotSent
        } else {
            Verdict::Staff
        };
        self.0.remove(&number);
        verdict
    }

    /// A look has failed.
    pub(super) fn failed(&mut self, now: Timestamp, number: PostingNumber) -> Verdict {
        let Some(doubt) = self.0.get_mut(&number) else { return Verdict::Staff };
        doubt.failed += 1;
        if doubt.failed >= MOST_LOOKS {
            self.0.remove(&number);
            return Verdict::Staff;
        }
        doubt.next = after(now, SignedDuration::from_secs(15 << doubt.failed.min(7)));
        Verdict::Open
    }

    /// It can't be looked up.
    pub(super) fn leave(&mut self, number: PostingNumber) {
        self.0.remove(&number);
    }
}

fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
