//! The PMS's list of the house (DR, DS, DE), applied as a difference.
//!
//! Nobody is turned out while a list is running; who is missing at its end is checked out, once. A list
//! that was cut proves nobody's absence and is asked for again. One that would empty most of the house ([`ListGuard`]) turns
//! nobody out until staff say that it is right; that it comes a second time proves nothing, for a PMS that has lost its
//! data, or is the wrong hotel's, says the same as often as it is asked. Each PMS has lists of its own: one proves nothing of the
//! others' guests.

use super::links::further;
use super::{Applied, Entity, Property};
use crate::ids::LinkId;
use crate::{AlertKind, Change, Intent, StayEnd, StayId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A list that began and has not ended after this long is given up.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);

/// A list that breaks this often in a row is asked for at the ordinary interval only.
const PROMPT_RETRIES: u32 = 3;

/// How long staff's word counts for the list that they have asked for.
const ACCEPTED_FOR: SignedDuration = SignedDuration::from_mins(30);

/// When a complete list of a PMS is not acted upon before staff have said that it is right: where it would check out more
/// than `percent` of at least `at_least` stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListGuard {
    /// A house, or a PMS's part of it, with fewer stays is small enough to empty by itself.
    pub at_least: u32,
    /// 1 to 100; 100 believes every list.
    pub percent: u8,
}

impl Default for ListGuard {
    fn default() -> Self {
        Self { at_least: 10, percent: 50 }
    }
}

impl ListGuard {
    /// True where a list that does not name `missing` of `stays` is not to be believed unasked.
    pub fn doubts(self, missing: usize, stays: usize) -> bool {
        stays >= self.at_least as usize && missing * 100 > stays * usize::from(self.percent)
    }
}

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
    pub(super) fn owe(&mut self, link: &LinkId, reason: Owed, out: &mut Applied) {
        let owed = self.meta.of(link).owed;
        let keep = matches!(owed, Some(Owed::Asked | Owed::Cut)) && reason != Owed::Asked;
        if !keep && owed != Some(reason) {
            self.meta.of_mut(link).owed = Some(reason);
            out.touched.insert(Entity::Meta);
        }
    }

    /// Staff ask for the lists of all PMS.
    pub(super) fn owe_all(&mut self, out: &mut Applied) {
        for link in self.pms.ids() {
            self.owe(&link, Owed::Asked, out);
        }
    }

    /// From now on lists are believed as `guard` says.
    pub fn guard_lists(&mut self, guard: ListGuard) {
        self.list_guard = guard;
    }

    /// How lists are believed.
    pub fn list_guard(&self) -> ListGuard {
        self.list_guard
    }

    /// Staff ask one PMS for its list, or all, and may say beforehand that it is right.
    pub(super) fn ask_list(
        &mut self,
        at: Timestamp,
        link: Option<&LinkId>,
        accept: bool,
        out: &mut Applied,
    ) -> Result<(), String> {
        let links = match link {
            Some(link) if self.pms.has(link) => vec![link.clone()],
            Some(link) => {
                let known: Vec<&str> = self.pms.all().map(LinkId::as_str).collect();
                return Err(format!("there is no PMS link `{link}`, only {}", known.join(", ")));
            }
            None => self.pms.ids(),
        };
        for link in links {
            if accept {
                self.meta.of_mut(&link).list_accepted = at.checked_add(ACCEPTED_FOR).ok();
                out.touched.insert(Entity::Meta);
            }
            self.owe(&link, Owed::Asked, out);
        }
        Ok(())
    }

    pub(super) fn pms_link_up(&mut self, link: &LinkId) {
        if self.meta.of(link).owed.is_none() && !self.has_guests(link) {
            self.meta.of_mut(link).owed = Some(Owed::Empty);
        }
    }

    /// Since when the owed list may be asked for.
    fn may_ask(&self, link: &LinkId) -> Option<Timestamp> {
        let meta = self.meta.of(link);
        let owed = meta.owed?;
        let Some(asked) = meta.resync_asked else { return Some(Timestamp::MIN) };
        match owed {
            Owed::Asked => Some(Timestamp::MIN),
            Owed::Cut if meta.resyncs_cut <= PROMPT_RETRIES => Some(Timestamp::MIN),
            _ => asked.checked_add(SignedDuration::from_secs(i64::from(self.spec.resync_every_s))).ok(),
        }
    }

    pub(super) fn tend_resyncs(&mut self, at: Timestamp, out: &mut Applied) {
        for n in 0..self.pms.count() {
            if let Some(link) = self.pms.nth(n) {
                self.tend_resync(at, &link, out);
            }
        }
    }

    fn tend_resync(&mut self, at: Timestamp, link: &LinkId, out: &mut Applied) {
        if self.resyncs.get(link).is_some_and(|resync| at.duration_since(resync.begun) > LONGEST) {
            self.resync_cut(link, out);
        }
        if !self.takes_records(link) || self.may_ask(link).is_none_or(|since| since > at) {
            return;
        }
        if self.meta.of(link).owed == Some(Owed::Empty) && self.has_guests(link) {
            // The PMS's own queue has filled the house meanwhile.
            self.meta.of_mut(link).owed = None;
            return;
        }
        let meta = self.meta.of_mut(link);
        meta.owed = None;
        meta.resync_asked = Some(at);
        out.touched.insert(Entity::Meta);
        out.intents.push(match further(link) {
            None => Intent::RequestResync,
            Some(link) => Intent::AtLink { link, what: Box::new(Intent::RequestResync) },
        });
    }

    pub(super) fn resync_wake(&self) -> Option<Timestamp> {
        let wake = |link: &LinkId| match self.resyncs.get(link) {
            Some(resync) => resync.begun.checked_add(LONGEST + SignedDuration::from_millis(1)).ok(),
            None if self.is_alive(link) => self.may_ask(link),
            None => None,
        };
        self.pms.all().filter_map(wake).min()
    }

    pub(super) fn resync_begun(&mut self, at: Timestamp, link: &LinkId, out: &mut Applied) {
        if !self.pms.has(link) {
            // A link that the configuration no longer has: its last words prove nothing.
            self.count("list-of-unknown-link");
            return;
        }
        self.resyncs.insert(link.clone(), Resync { begun: at, seen: BTreeSet::new() });
        // The list that was asked for has come: only its end pays the debt.
        let meta = self.meta.of_mut(link);
        meta.owed = None;
        meta.resync_asked.get_or_insert(at);
        out.touched.insert(Entity::Meta);
        out.changes.push(Change::Resync {
            phase: "begun".to_owned(),
            listed: None,
            link: self.pms.in_rows(link),
        });
    }

    pub(super) fn resync_done(&mut self, at: Timestamp, link: &LinkId, out: &mut Applied) {
        let Some(resync) = self.resyncs.remove(link) else {
            self.count("list-end-without-begin");
            return;
        };
        // Only guests in this PMS's rooms can be missing in its list.
        let of_link = self.stays.values().filter(|stay| self.pms.of_room(&stay.room) == link);
        let missing: Vec<StayId> =
            of_link.filter(|stay| !resync.seen.contains(&stay.id)).map(|stay| stay.id.clone()).collect();
        let stays = self.stays.values().filter(|stay| self.pms.of_room(&stay.room) == link).count();
        let accepted = self.meta.of(link).list_accepted.is_some_and(|until| at <= until);
        let doubted = !accepted && self.list_guard.doubts(missing.len(), stays);
        if doubted {
            let text = format!(
                "the list of {link} would check out {} of {stays} stays: nobody is. Where it is right, say `engawa pms resync \
                 --accept {link}`",
                missing.len()
            );
            self.raise_once(at, AlertKind::ListDoubted, link.as_str(), &text, out);
        } else {
            for stay in missing {
                self.check_out(at, &stay, StayEnd::MissingInList, out);
            }
            self.clear(AlertKind::ListDoubted, link.as_str(), out);
        }
        let meta = self.meta.of_mut(link);
        meta.resyncs_cut = 0;
        meta.list_accepted = None;
        out.touched.insert(Entity::Meta);
        out.changes.push(Change::Resync {
            phase: if doubted { "doubted" } else { "done" }.to_owned(),
            listed: Some(u32::try_from(resync.seen.len()).unwrap_or(u32::MAX)),
            link: self.pms.in_rows(link),
        });
        self.send_waiting_statuses(link, out);
    }

    pub(super) fn resync_cut(&mut self, link: &LinkId, out: &mut Applied) {
        if self.resyncs.remove(link).is_some() {
            let meta = self.meta.of_mut(link);
            meta.resyncs_cut = meta.resyncs_cut.saturating_add(1);
            self.owe(link, Owed::Cut, out);
            out.touched.insert(Entity::Meta);
            out.changes.push(Change::Resync {
                phase: "cut".to_owned(),
                listed: None,
                link: self.pms.in_rows(link),
            });
        }
    }
}
