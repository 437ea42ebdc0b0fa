//! The PMS's list of the house (DR, DS, DE), applied as a difference.
//!
//! Nobody is turned out while a list is running; who is missing at its end is checked out, once. A list
//! that was cut proves nobody's absence and is asked for again.

use super::{Applied, Entity, Property};
use crate::{Change, Intent, StayEnd, StayId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A list that began and has not ended after this long is given up.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);

/// A list that breaks this often in a row is asked for at the ordinary interval only.
const PROMPT_RETRIES: u32 = 3;

/// A list that is running.
#[derive(Clone, Debug)]
pub struct Resync {
    /// When DS came.
    pub begun: Timestamp,
    /// The stays whose last record in or during the list says that they are in the house.
    pub seen: BTreeSet<StayId>,
}

/// Why the house owes itself a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// Staff asked.
    Asked,
    /// A list was cut before its end.
    Cut,
    /// The process ended without closing the link: records may have been read and not stored.
    Crash,
    /// Two records contradict each other.
    Contradiction,
    /// The store knows nobody.
    Empty,
}

impl Property {
    /// A request for a list is owed; a stronger reason is never replaced by a weaker one.
    pub(super) fn owe(&mut self, reason: Owed, out: &mut Applied) {
        let keep = matches!(self.meta.owed, Some(Owed::Asked | Owed::Cut)) && reason != Owed::Asked;
        if !keep && self.meta.owed != Some(reason) {
            self.meta.owed = Some(reason);
            out.touched.insert(Entity::Meta);
        }
    }

    pub(super) fn pms_link_up(&mut self) {
        if self.stays.is_empty() && self.meta.owed.is_none() {
            self.meta.owed = Some(Owed::Empty);
        }
    }

    /// Since when the owed list may be asked for.
    fn may_ask(&self) -> Option<Timestamp> {
        let owed = self.meta.owed?;
        let Some(asked) = self.meta.resync_asked else { return Some(Timestamp::MIN) };
        match owed {
            Owed::Asked => Some(Timestamp::MIN),
            Owed::Cut if self.meta.resyncs_cut <= PROMPT_RETRIES => Some(Timestamp::MIN),
            _ => asked.checked_add(SignedDuration::from_secs(i64::from(self.spec.resync_every_s))).ok(),
        }
    }

    pub(super) fn tend_resync(&mut self, at: Timestamp, out: &mut Applied) {
        if self.resync.as_ref().is_some_and(|resync| at.duration_since(resync.begun) > LONGEST) {
            self.resync_cut(out);
        }
        if self.resync.is_some() || !self.pms_alive() || self.may_ask().is_none_or(|since| since > at) {
            return;
        }
        if self.meta.owed == Some(Owed::Empty) && !self.stays.is_empty() {
            // The PMS's own queue has filled the house meanwhile.
            self.meta.owed = None;
            return;
        }
        self.meta.owed = None;
        self.meta.resync_asked = Some(at);
        out.touched.insert(Entity::Meta);
        out.intents.push(Intent::RequestResync);
    }

    pub(super) fn resync_wake(&self) -> Option<Timestamp> {
        match &self.resync {
            Some(resync) => resync.begun.checked_add(LONGEST + SignedDuration::from_millis(1)).ok(),
            None if self.pms_alive() => self.may_ask(),
            None => None,
        }
    }

    pub(super) fn resync_begun(&mut self, at: Timestamp, out: &mut Applied) {
        self.resync = Some(Resync { begun: at, seen: BTreeSet::new() });
        // The list that was asked for has come: only its end pays the debt.
        self.meta.owed = None;
        self.meta.resync_asked.get_or_insert(at);
        out.touched.insert(Entity::Meta);
        out.changes.push(Change::Resync { phase: "begun".to_owned(), listed: None });
    }

    pub(super) fn resync_done(&mut self, at: Timestamp, out: &mut Applied) {
        let Some(resync) = self.resync.take() else {
            self.count("list-end-without-begin");
            return;
        };
        let missing: Vec<StayId> =
            self.stays.keys().filter(|stay| !resync.seen.contains(*stay)).cloned().collect();
        for stay in missing {
            self.check_out(at, &stay, StayEnd::MissingInList, out);
        }
        self.meta.resyncs_cut = 0;
        out.touched.insert(Entity::Meta);
        out.changes.push(Change::Resync {
            phase: "done".to_owned(),
            listed: Some(u32::try_from(resync.seen.len()).unwrap_or(u32::MAX)),
        });
        self.send_waiting_statuses(out);
    }

    pub(super) fn resync_cut(&mut self, out: &mut Applied) {
        if self.resync.take().is_some() {
            self.meta.resyncs_cut = self.meta.resyncs_cut.saturating_add(1);
            self.owe(Owed::Cut, out);
            out.touched.insert(Entity::Meta);
            out.changes.push(Change::Resync { phase: "cut".to_owned(), listed: None });
        }
    }
}
