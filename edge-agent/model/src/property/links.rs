//! A house with several PMS: which of them has which rooms, and what is kept for each.
//!
//! Room ids and reservation numbers are the house's own here (the links rename them at their edge), so a stay belongs to the
//! PMS of its room. Lists, night audits, health and the limit of requests are of each PMS alone; the business date is the
//! first one's.

use super::{Applied, Owed, PMS_LINK, Property};
use crate::ids::LinkId;
use crate::{Intent, RoomId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is kept for one PMS over a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LinkMeta {
    pub(crate) night_audit: bool,
    pub(crate) owed: Option<Owed>,
    pub(crate) resync_asked: Option<Timestamp>,
    pub(crate) resyncs_cut: u32,
    /// Until when staff take a list's word for it, whoever it turns out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) list_accepted: Option<Timestamp>,
}

impl super::Meta {
    pub(super) fn of(&self, link: &LinkId) -> LinkMeta {
        if link.as_str() == PMS_LINK { self.pms } else { self.further.get(link).copied().unwrap_or_default() }
    }

    /// Links are those of the configuration: they bound the map.
    pub(super) fn of_mut(&mut self, link: &LinkId) -> &mut LinkMeta {
        if link.as_str() == PMS_LINK { &mut self.pms } else { self.further.entry(link.clone()).or_default() }
    }
}

/// The PMS of the house.
#[derive(Clone, Debug)]
pub(super) struct PmsLinks {
    /// The link of facts and intents that name none.
    first: LinkId,
    /// The first of them has the rooms that name none, and the business date.
    ids: Vec<LinkId>,
    rooms: BTreeMap<RoomId, LinkId>,
}

impl Default for PmsLinks {
    fn default() -> Self {
        let first = LinkId::from(PMS_LINK);
        Self { ids: vec![first.clone()], first, rooms: BTreeMap::new() }
    }
}

impl PmsLinks {
    pub(super) fn first_id(&self) -> LinkId {
        self.first.clone()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &LinkId> {
        self.ids.iter()
    }

    pub(super) fn ids(&self) -> Vec<LinkId> {
        self.ids.clone()
    }

    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn nth(&self, n: usize) -> Option<LinkId> {
        self.ids.get(n).cloned()
    }

    pub(super) fn has(&self, link: &LinkId) -> bool {
        self.ids.contains(link)
    }

    /// True for the link that has the rooms which name none.
    pub(super) fn is_default(&self, link: &LinkId) -> bool {
        self.ids.first() == Some(link)
    }

    /// How journal rows name the link: not at all in a house with one PMS.
    pub(super) fn in_rows(&self, link: &LinkId) -> Option<LinkId> {
        (self.ids.len() > 1).then(|| link.clone())
    }

    pub(super) fn of_room(&self, room: &RoomId) -> &LinkId {
        self.rooms.get(room).or(self.ids.first()).unwrap_or(&self.first)
    }
}

/// The link's id where it is not the first one, whose facts and intents name none.
pub(super) fn further(link: &LinkId) -> Option<LinkId> {
    (link.as_str() != PMS_LINK).then(|| link.clone())
}

impl Property {
    /// The house has several PMS: `links` are all, the first of them has the rooms that are not in `rooms`. Without this the
    /// house has one, [`PMS_LINK`], with all rooms.
    pub fn serve(&mut self, links: Vec<LinkId>, rooms: BTreeMap<RoomId, LinkId>) {
        if !links.is_empty() {
            self.pms = PmsLinks { first: LinkId::from(PMS_LINK), ids: links, rooms };
        }
    }

    /// The PMS of the house in order, and the rooms that are not the first one's: what [`Self::serve`] takes.
    pub fn served(&self) -> (&[LinkId], &BTreeMap<RoomId, LinkId>) {
        (&self.pms.ids, &self.pms.rooms)
    }

    /// The PMS link that has `room`.
    pub fn pms_of(&self, room: &RoomId) -> &LinkId {
        self.pms.of_room(room)
    }

    /// The lists of the house that run, by PMS.
    pub fn resyncs(&self) -> &BTreeMap<LinkId, super::Resync> {
        &self.resyncs
    }

    /// The PMS that a request of the front desk goes to: that of its room; a name is looked up at the first.
    pub(super) fn link_for(&self, action: &crate::Action) -> LinkId {
        use crate::Action;
        match action {
            Action::ReadMessages { room, .. }
            | Action::MessageRead { room, .. }
            | Action::LeaveMessage { room, .. }
            | Action::RoomReport { room, .. }
            | Action::AskBill { room, .. }
            | Action::RemoteCheckOut { room, .. }
            | Action::Locate { room, .. } => self.pms.of_room(room).clone(),
            Action::FindGuests { query, .. } => self.pms_for_query(query),
            _ => self.first_pms(),
        }
    }

    /// A look-up by one of the house's rooms goes to that room's PMS, any other to the first.
    pub(super) fn pms_for_query(&self, query: &crate::Personal<String>) -> LinkId {
        let room = RoomId::from(query.reveal().trim());
        if self.rooms.contains_key(&room) { self.pms.of_room(&room).clone() } else { self.first_pms() }
    }

    /// The PMS that has the rooms which name none.
    pub(super) fn first_pms(&self) -> LinkId {
        self.pms.nth(0).unwrap_or_else(|| self.pms.first_id())
    }

    /// `intent`, for the PMS `link`.
    pub(super) fn at_link(link: &LinkId, intent: Intent) -> Intent {
        match further(link) {
            Some(link) => Intent::AtLink { link, what: Box::new(intent) },
            None => intent,
        }
    }

    pub(super) fn is_alive(&self, link: &LinkId) -> bool {
        self.links.get(link).is_some_and(|health| health.up)
    }

    /// True where records may be sent on this link now: it is alive and sends no list.
    pub(super) fn takes_records(&self, link: &LinkId) -> bool {
        self.is_alive(link) && !self.resyncs.contains_key(link)
    }

    /// True where charges may be sent on this link now.
    pub(super) fn takes_postings(&self, link: &LinkId) -> bool {
        self.takes_records(link) && !self.meta.of(link).night_audit
    }

    /// True where the house knows guests of this PMS.
    pub(super) fn has_guests(&self, link: &LinkId) -> bool {
        self.stays.values().any(|stay| self.pms.of_room(&stay.room) == link)
    }

    /// Intents that concern a room go to the PMS of that room.
    pub(super) fn address(&self, out: &mut Applied) {
        for intent in &mut out.intents {
            let Some(link) = intent.pms_room().map(|room| self.pms.of_room(room)) else { continue };
            if link.as_str() != PMS_LINK {
                // What stands there for the moment is never seen.
                let inner = Box::new(std::mem::replace(intent, Intent::RequestResync));
                *intent = Intent::AtLink { link: link.clone(), what: inner };
            }
        }
    }
}

#[cfg(test)]
mod tests;
