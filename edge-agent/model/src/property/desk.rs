//! The PMS's front desk: what is asked of it, and what it tells and wants beyond stays and charges.
//!
//! Questions (bill, messages, look-up, check-out, locator) are for somebody who waits: they are refused at once while
//! the PMS can't be asked, and end with the link. What is only told (a room's status, a message that was read) waits
//! for the link. Bills and found guests are kept in memory alone and not for long: their home is the PMS.

mod asked;
mod keys;
#[cfg(test)]
mod tests;

use super::commands::{SIGNS, STATUSES};
use super::postings::in_words;
use super::{Applied, Entity, Property};
use crate::ids::{CommandKey, LinkId};
use crate::{
    Action, BillItem, Change, CommandOutcome, DeskEvent, FoundGuest, Intent, Message, Money, Personal,
    PmsDescription, PmsFact, PmsRequest, RoomId, StayId, Timestamp,
};
use jiff::SignedDuration;
use keys::KeyJob;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Messages of one stay; past this the oldest goes.
const MOST_MESSAGES: usize = 100;
/// Lines of one bill; past this they are counted and left out.
const MOST_LINES: usize = 1_000;
/// Bills and results of look-ups that are kept; past this the oldest goes.
const MOST_KEPT: usize = 50;
/// How long they are kept.
const KEPT: SignedDuration = SignedDuration::from_mins(10);
/// A check-out that the PMS has begun and not finished by then is left to people (FIAS 2.20, XC).
const CHECK_OUT_LASTS: SignedDuration = SignedDuration::from_mins(2);

/// A guest's bill, as the PMS told it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// When it was asked for.
    pub asked: Timestamp,
    /// Its lines, oldest first.
    pub lines: Vec<BillItem>,
    /// The balance; `None` while lines are still coming.
    pub balance: Option<Money>,
}

/// What a look-up has found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// Guests.
    Guests(Vec<FoundGuest>),
    /// Where a guest is, and until when.
    Place(Personal<String>, Option<String>),
}

/// The state of the front desk.
#[derive(Clone, Debug, Default)]
pub(super) struct Desk {
    /// By stay; the only part that is stored.
    pub(super) messages: BTreeMap<StayId, Vec<Message>>,
    bills: BTreeMap<StayId, Bill>,
    found: BTreeMap<CommandKey, (Timestamp, Found)>,
    /// Key requests that wait for their encoder, by PMS, coder and workstation. They end with the link: the PMS waits no
    /// longer.
    keys: BTreeMap<keys::Slot, KeyJob>,
    /// Check-outs that the PMS has begun, and until when they are waited for.
    leaving: BTreeMap<StayId, (CommandKey, Timestamp)>,
    description: PmsDescription,
}

impl Property {
    /// The messages of a stay, oldest first.
    pub fn messages(&self, stay: &StayId) -> &[Message] {
        self.desk.messages.get(stay).map_or(&[], Vec::as_slice)
    }

    /// The bill of a stay, where it was asked for lately.
    pub fn bill(&self, stay: &StayId) -> Option<&Bill> {
        self.desk.bills.get(stay)
    }

    /// The guests that the command `key` has found.
    pub fn guests_found(&self, key: &CommandKey) -> &[FoundGuest] {
        match self.desk.found.get(key) {
            Some((_, Found::Guests(guests))) => guests,
            _ => &[],
        }
    }

    /// Where the guest is that the command `key` has asked for, and until when (HHMM).
    pub fn place_found(&self, key: &CommandKey) -> Option<(&Personal<String>, Option<&str>)> {
        match self.desk.found.get(key) {
            Some((_, Found::Place(place, until))) => Some((place, until.as_deref())),
            _ => None,
        }
    }

    /// The key requests that wait for an encoder of the house.
    pub fn keys_wanted(&self) -> impl Iterator<Item = &crate::KeyRequest> {
        self.desk.keys.values().map(|job| &job.request)
    }

    /// Until when a key request waits for its encoder's answer; then the PMS is told that it failed.
    pub fn key_answer_by(&self, request: &crate::KeyRequest) -> Option<Timestamp> {
        let job = self.desk.keys.values().find(|job| job.request == *request);
        job.map(|job| job.until)
    }

    /// What the PMS says of itself.
    pub fn pms_description(&self) -> &PmsDescription {
        &self.desk.description
    }

    pub(super) fn desk_said(&mut self, at: Timestamp, link: &LinkId, said: &PmsFact, out: &mut Applied) {
        match said {
            PmsFact::MessageLeft { room, stay, message } => {
                self.message_left(room, stay.as_ref(), message, out);
            }
            PmsFact::MessageGone { room, stay, message } => {
                self.message_gone(room, stay.as_ref(), message, out);
            }
            PmsFact::BillLine { room, stay, item } => {
                let bill = self.inhabitant(room, stay.as_ref()).ok();
                match bill.and_then(|stay| self.desk.bills.get_mut(&stay)) {
                    None => self.count("bill-not-asked"),
                    Some(bill) if bill.lines.len() >= MOST_LINES => self.count("bill-too-long"),
                    Some(bill) => bill.lines.push(item.clone()),
                }
            }
            PmsFact::BillBalance { room, stay, balance } => {
                let currency = self.spec.currency;
                let bill = self.inhabitant(room, stay.as_ref()).ok();
                match bill.and_then(|stay| self.desk.bills.get_mut(&stay)) {
                    None => self.count("bill-not-asked"),
                    Some(bill) => bill.balance = Some(balance.money(currency)),
                }
            }
            PmsFact::KeyAsked { request, served } => self.key_asked(at, link, request, *served, out),
            PmsFact::RoomStatus { room, status } => self.status_told(room, status, out),
            PmsFact::GuestsFound { key, guests } => {
                self.found_at_desk(at, key, Found::Guests(guests.clone()));
            }
            PmsFact::Located { key, place, until } => {
                self.found_at_desk(at, key, Found::Place(place.clone(), until.clone()));
            }
            PmsFact::Answered { key, status, text } => {
                self.request_answered(at, key, status, text.as_deref(), out);
            }
            PmsFact::Unanswered { key } => self.request_lost(at, key, "the PMS did not answer in time", out),
            PmsFact::Sent { key } => self.request_sent(at, key, out),
            PmsFact::NotSent { key, reason } => {
                let asked = self.commands.get(key).map(|record| record.command.action.clone());
                if let Some(Action::AskBill { room, stay }) = asked {
                    self.forget_bill(&room, stay.as_ref());
                }
                self.end_command(at, key, CommandOutcome::Refused { reason: reason.clone() }, out);
            }
            PmsFact::Described { description } => self.desk.description = description.clone(),
        }
    }

    /// The stay that is meant: the named one, or the only one of the room.
    pub(super) fn inhabitant(&self, room: &RoomId, stay: Option<&StayId>) -> Result<StayId, String> {
        let mut stays = self.stays_in(room).map(|stay| &stay.id);
        match stay {
            Some(stay) if self.stays.get(stay).is_some_and(|known| known.room == *room) => Ok(stay.clone()),
            Some(stay) => Err(format!("stay {stay} is not in room {room}")),
            None => match (stays.next(), stays.next()) {
                (Some(stay), None) => Ok(stay.clone()),
                (None, _) => Err(format!("nobody is in room {room}")),
                (Some(_), Some(_)) => Err(format!("several guests are in room {room}: name the stay")),
            },
        }
    }

    fn message_left(&mut self, room: &RoomId, stay: Option<&StayId>, message: &Message, out: &mut Applied) {
        let Ok(stay) = self.inhabitant(room, stay) else {
            self.count("message-without-stay");
            return;
        };
        if self.stays.get(&stay).is_some_and(|stay| stay.erased) {
            // Whoever asked for erasure is not written down again: the PMS has the message, and so has its clerk.
            self.count("message-of-erased");
            return;
        }
        let messages = self.desk.messages.entry(stay.clone()).or_default();
        match messages.iter_mut().find(|known| known.id == message.id) {
            Some(known) if known.text == message.text => return,
            Some(known) => known.text = message.text.clone(),
            None => {
                messages.push(message.clone());
                if messages.len() > MOST_MESSAGES {
                    messages.remove(0);
                }
            }
        }
        let what = DeskEvent::MessageLeft { stay: stay.clone(), message: message.id.clone() };
        out.touched.insert(Entity::Messages(stay));
        out.changes.push(Change::Desk { what });
    }

    /// Read or deleted: the PMS does not say which, and its text is no longer ours to keep.
    fn message_gone(&mut self, room: &RoomId, stay: Option<&StayId>, id: &str, out: &mut Applied) {
        let Ok(stay) = self.inhabitant(room, stay) else {
            self.count("message-without-stay");
            return;
        };
        let Some(messages) = self.desk.messages.get_mut(&stay) else { return };
        let before = messages.len();
        messages.retain(|message| message.id != id);
        if messages.len() == before {
            return;
        }
        if messages.is_empty() {
            self.desk.messages.remove(&stay);
        }
        let what = DeskEvent::MessageGone { stay: stay.clone(), message: id.to_owned() };
        out.touched.insert(Entity::Messages(stay));
        out.changes.push(Change::Desk { what });
    }

    fn status_told(&mut self, room: &RoomId, status: &str, out: &mut Applied) {
        let Some(state) = self.rooms.get_mut(room) else {
            self.count("unknown-room");
            return;
        };
        let field = match status {
            status if SIGNS.contains(&status) => &mut state.sign,
            status if STATUSES.contains(&status) => &mut state.status,
            _ => {
                self.count("unknown-status");
                return;
            }
        };
        if field.as_deref() != Some(status) {
            *field = Some(status.to_owned());
            out.touched.insert(Entity::Room(room.clone()));
            out.changes.push(Change::RoomStatus { room: room.clone(), status: status.to_owned() });
        }
    }

    fn found_at_desk(&mut self, at: Timestamp, key: &CommandKey, found: Found) {
        if self.commands.get(key).is_none_or(|record| record.ended.is_some()) {
            self.count("answer-not-asked");
            return;
        }
        if self.desk.found.len() >= MOST_KEPT
            && let Some(oldest) =
                self.desk.found.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone())
        {
            self.desk.found.remove(&oldest);
        }
        self.desk.found.insert(key.clone(), (at, found));
    }

    /// A guest has left: nothing of the stay is kept here.
    pub(super) fn desk_left(&mut self, at: Timestamp, stay: &StayId, room: &RoomId, out: &mut Applied) {
        if self.desk.messages.remove(stay).is_some() {
            out.touched.insert(Entity::Messages(stay.clone()));
        }
        self.desk.bills.remove(stay);
        if let Some((key, _)) = self.desk.leaving.remove(stay) {
            self.end_command(at, &key, CommandOutcome::Done, out);
        }
        let waiting = self.commands.values().filter(|record| record.ended.is_none());
        let theirs: Vec<CommandKey> = waiting
            .filter(|record| asked::is_news_of(&record.command.action, stay, room))
            .map(|record| record.command.key.clone())
            .collect();
        for key in theirs {
            let reason = format!("stay {stay} has left before the PMS could be told");
            self.end_command(at, &key, CommandOutcome::Refused { reason }, out);
        }
    }

    pub(super) fn desk_link_lost(&mut self, at: Timestamp, link: &LinkId, out: &mut Applied) {
        self.keys_link_lost(link, out);
        self.end_questions(at, Some(link), "the PMS link broke before the answer", out);
    }

    /// A guest's data is erased while the guest is in the house. A charge to the guest's name that is still on its way
    /// keeps the name: the PMS needs it.
    pub(super) fn desk_forgets(&mut self, at: Timestamp, stay: &StayId, out: &mut Applied) {
        if self.desk.messages.remove(stay).is_some() {
            out.touched.insert(Entity::Messages(stay.clone()));
        }
        self.desk.bills.remove(stay);
        // Whoever looked for whom is not known any more: all results of the last minutes go.
        self.desk.found.clear();
        let room = self.stays.get(stay).map(|stay| stay.room.clone());
        // A call is the room's: whose of several guests it was nobody knows.
        let calls: Vec<CommandKey> = self
            .commands
            .values()
            .filter(|record| {
                matches!(&record.command.action, Action::PostCall { room: of, .. } if Some(of) == room.as_ref())
            })
            .map(|record| record.command.key.clone())
            .collect();
        for key in calls {
            if let Some(record) = self.commands.get_mut(&key) {
                record.command.action = record.command.action.without_personal();
                out.touched.insert(Entity::Command(key));
            }
        }
        let of_stay = |record: &&super::CommandRecord| match &record.command.action {
            Action::LeaveMessage { stay: Some(of), .. } => of == stay,
            Action::LeaveMessage { stay: None, room: of, .. } => Some(of) == room.as_ref(),
            // What the guest preferred, and who noted it. A message that was read names nothing.
            action => action.news_of() == Some(stay) && action.without_personal() != *action,
        };
        let messages: Vec<CommandKey> =
            self.commands.values().filter(of_stay).map(|record| record.command.key.clone()).collect();
        for key in messages {
            if self.commands.get(&key).is_some_and(|record| record.ended.is_none()) {
                let reason = "the guest's data was erased".to_owned();
                self.end_command(at, &key, CommandOutcome::Refused { reason }, out);
            }
            if let Some(record) = self.commands.get_mut(&key) {
                record.command.action = record.command.action.without_personal();
                out.touched.insert(Entity::Command(key));
            }
        }
        for posting in self.postings.values_mut() {
            let theirs = match &posting.stay {
                Some(of) => of == stay,
                None => Some(&posting.room) == room.as_ref(),
            };
            if theirs && posting.state.is_settled() && posting.detail.forget() {
                out.touched.insert(Entity::Posting(posting.number));
            }
        }
    }

    pub(super) fn desk_restarted(&mut self, at: Timestamp, out: &mut Applied) {
        self.end_questions(at, None, "the gateway restarted before the answer", out);
    }

    /// Ends what was asked of the PMS `link`, or of any.
    fn end_questions(&mut self, at: Timestamp, link: Option<&LinkId>, why: &str, out: &mut Applied) {
        let begun: Vec<&CommandKey> = self.desk.leaving.values().map(|(key, _)| key).collect();
        let open: Vec<CommandKey> = self
            .commands
            .values()
            .filter(|record| record.ended.is_none() && asked::is_question(&record.command.action))
            .filter(|record| link.is_none_or(|link| self.link_for(&record.command.action) == *link))
            .map(|record| record.command.key.clone())
            .filter(|key| !begun.contains(&key))
            .collect();
        for key in open {
            self.request_lost(at, &key, why, out);
        }
    }

    /// What time ends here.
    pub(super) fn tend_desk(&mut self, at: Timestamp, out: &mut Applied) {
        let late: Vec<StayId> = self
            .desk
            .leaving
            .iter()
            .filter(|(_, (_, until))| *until <= at)
            .map(|(stay, _)| stay.clone())
            .collect();
        for stay in late {
            if let Some((key, _)) = self.desk.leaving.remove(&stay) {
                let reason = format!(
                    "the PMS began to check stay {stay} out and did not finish in two minutes: look at the desk"
                );
                self.end_command(at, &key, CommandOutcome::Doubtful { reason }, out);
            }
        }
        self.tend_keys(at, out);
        let old = |since: Timestamp| at.duration_since(since) > KEPT;
        self.desk.found.retain(|_, (since, _)| !old(*since));
        self.desk.bills.retain(|_, bill| !old(bill.asked));
    }

    pub(super) fn desk_wake(&self) -> Option<Timestamp> {
        let kept = self.desk.found.values().map(|(since, _)| *since);
        let kept = kept.chain(self.desk.bills.values().map(|bill| bill.asked));
        let kept = kept.filter_map(|since| since.checked_add(KEPT + SignedDuration::from_millis(1)).ok());
        kept.chain(self.desk.leaving.values().map(|(_, until)| *until)).chain(self.keys_wake()).min()
    }

    /// What is about a room finds its PMS by that; a look-up by what it looks for.
    fn ask_pms(&self, key: &CommandKey, request: PmsRequest, out: &mut Applied) {
        let first = match &request {
            PmsRequest::FindGuests { query, .. } => Some(self.pms_for_query(query)),
            _ => None,
        };
        let intent = Intent::AskPms { key: key.clone(), request };
        out.intents.push(match first {
            Some(link) => Self::at_link(&link, intent),
            None => intent,
        });
    }
}
