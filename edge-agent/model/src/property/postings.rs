//! Charges to guests' bills: one at a time, never sent again without an answer that says so.
//!
//! A posting's number (P#) is durable, and marked as in flight, before its bytes leave. What is in flight
//! when the link or the process dies is doubtful: it may be booked, so staff look and nobody guesses.

use super::{Applied, Entity, Property};
use crate::alert_text::{self, filled};
use crate::ids::{CommandKey, LinkId, PostingNumber};
use crate::{AlertKind, Change, CommandOutcome, Intent, Money, PostingDetail, RoomId, StayId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// After `RY`, or `NA` without a night audit that we know of.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// How often the PMS may say "again later" before staff are asked.
const MOST_TRIES: u32 = 50;
/// Ended postings that are kept for the panel; the journal and the PMS have them all.
const KEPT_ENDED: usize = 2_000;
/// Postings that may wait: past this, new ones are refused at the source.
const MOST_WAITING: usize = 5_000;
/// TA has 15 digits (FIAS 2.20, PS), and a site may want four more than the currency has.
const MOST_AMOUNT: u64 = 99_999_999_999;
/// P# has eight digits.
const LAST_NUMBER: u32 = 99_999_999;
/// Numbers that are passed over where a backup was put back: more than a house charges in the time that a backup is old.
const PASSED_OVER: u32 = 100_000;

/// How far a posting has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostingState {
    /// Waits for the link, for night audit, or for "again later".
    Pending,
    /// Its bytes may have left.
    InFlight,
    /// Booked (PA with OK).
    Posted,
    /// Not booked, and it will not be.
    Refused,
    /// It may be booked: staff must look.
    Doubtful,
}

impl PostingState {
    /// True once nothing more of it goes to the PMS by itself.
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Pending | Self::InFlight)
    }
}

/// A charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posting {
    /// P#.
    pub number: PostingNumber,
    /// The command's key.
    pub key: CommandKey,
    /// The room.
    pub room: RoomId,
    /// The stay, where it is known: as asked, else the only one that was in the room at that time.
    pub stay: Option<StayId>,
    /// The stay was not named, but found by the room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_room: bool,
    /// How much.
    pub amount: Money,
    /// What for.
    pub text: String,
    /// The outlet.
    pub outlet: Option<String>,
    /// How far it has come.
    pub state: PostingState,
    /// AS of the last answer.
    pub answer: Option<String>,
    /// When it was asked.
    pub asked: Timestamp,
    /// Not before.
    pub not_before: Timestamp,
    /// How often it went out.
    pub tries: u32,
    /// What kind of charge it is.
    #[serde(default, skip_serializing_if = "PostingDetail::is_plain")]
    pub detail: PostingDetail,
}

/// An answer code in plain words (FIAS 2.20, answer status).
pub(super) fn in_words(status: &str) -> &'static str {
    match status {
        "NG" => "guest not found or unknown room",
        "NP" => "the guest has a no-post flag",
        "UR" => "the PMS can't do it and asks not to retry",
        "CO" => "over the guest's credit limit",
        "DM" => "subtotals do not match the total",
        "DN" => "denied",
        "IA" => "invalid account",
        "FX" => "not allowed for this guest",
        "NF" => "the feature is off",
        "NA" => "night audit is running",
        "RY" => "the PMS asks to try again later",
        "NM" => "there is no message or locator",
        "BY" => "busy",
        "BM" => "the balance is not the bill's",
        "CD" => "the departure is not today",
        _ => "refused by the PMS",
    }
}

impl Property {
    #[allow(clippy::too_many_arguments, reason = "the fields of a PS record")]
    pub(super) fn post(
        &mut self,
        at: Timestamp,
        key: &CommandKey,
        room: &RoomId,
        stay: Option<&StayId>,
        amount: Money,
        text: &str,
        outlet: Option<&str>,
        detail: PostingDetail,
        out: &mut Applied,
    ) -> Result<(), String> {
        // The record has no currency: the PMS would take the number for its own (FIAS 2.20, TA).
        let ours = self.spec.currency;
        if amount.currency != ours {
            return Err(format!(
                "this house charges in {ours}, not in {}: name the amount in {ours}",
                amount.currency
            ));
        }
        if amount.minor.unsigned_abs() > MOST_AMOUNT {
            return Err(format!("{} {} is more than a posting can carry", amount.currency, amount.decimal()));
        }
        let waiting = self.open_postings().filter(|posting| posting.state == PostingState::Pending).count();
        if waiting >= MOST_WAITING {
            return Err(format!("{waiting} postings wait already: is the PMS link up?"));
        }
        let number = self.next_number(out);
        let found = if stay.is_none() { self.inhabitant(room, None).ok() } else { None };
        let posting = Posting {
            number,
            key: key.clone(),
            room: room.clone(),
            by_room: found.is_some(),
            stay: stay.cloned().or(found),
            amount,
            text: text.to_owned(),
            outlet: outlet.map(str::to_owned),
            state: PostingState::Pending,
            answer: None,
            asked: at,
            not_before: at,
            tries: 0,
            detail,
        };
        self.keep_posting(number, posting);
        self.tell_posting(number, out);
        Ok(())
    }

    /// The next P#, for a charge or an inquiry.
    pub(super) fn next_number(&mut self, out: &mut Applied) -> PostingNumber {
        self.meta.last_posting =
            if self.meta.last_posting >= LAST_NUMBER { 1 } else { self.meta.last_posting + 1 };
        out.touched.insert(Entity::Meta);
        PostingNumber(self.meta.last_posting)
    }

    /// Takes a posting into the picture.
    pub(super) fn keep_posting(&mut self, number: PostingNumber, posting: Posting) {
        self.postings.insert(number, posting);
        self.note_open(number);
    }

    /// Keeps the set of open postings true to their states.
    fn note_open(&mut self, number: PostingNumber) {
        let open =
            |posting: &Posting| matches!(posting.state, PostingState::Pending | PostingState::InFlight);
        if self.postings.get(&number).is_some_and(open) {
            self.open_postings.insert(number);
        } else {
            self.open_postings.remove(&number);
        }
    }

    /// The postings that wait or fly.
    fn open_postings(&self) -> impl Iterator<Item = &Posting> {
        self.open_postings.iter().filter_map(|number| self.postings.get(number))
    }

    fn tell_posting(&mut self, number: PostingNumber, out: &mut Applied) {
        self.note_open(number);
        if let Some(posting) = self.postings.get(&number) {
            out.touched.insert(Entity::Posting(number));
            out.changes.push(Change::Posting {
                number,
                key: posting.key.clone(),
                room: posting.room.clone(),
                stay: posting.stay.clone(),
                amount: posting.amount,
                text: posting.text.clone(),
                outlet: posting.outlet.clone(),
                state: posting.state,
                answer: posting.answer.clone(),
            });
        }
    }

    fn set_posting(&mut self, number: PostingNumber, state: PostingState, out: &mut Applied) {
        if let Some(posting) = self.postings.get_mut(&number) {
            posting.state = state;
            self.tell_posting(number, out);
        }
    }

    /// Sends the next posting of each PMS that can take one now.
    pub(super) fn pump_postings(&mut self, at: Timestamp, out: &mut Applied) {
        for n in 0..self.pms.count() {
            if let Some(link) = self.pms.nth(n).filter(|link| self.takes_postings(link)) {
                self.pump_posting(at, &link, out);
            }
        }
    }

    fn pump_posting(&mut self, at: Timestamp, link: &LinkId, out: &mut Applied) {
        if self.has_in_flight(link) {
            return;
        }
        let next = self
            .open_postings()
            .filter(|posting| posting.state == PostingState::Pending && posting.not_before <= at)
            .filter(|posting| self.pms.of_room(&posting.room) == link)
            .min_by_key(|posting| (posting.asked, posting.number))
            .map(|posting| posting.number);
        let Some(number) = next else { return };
        let stay = self.postings.get(&number).and_then(|posting| self.named_stay(posting));
        let Some(posting) = self.postings.get_mut(&number) else { return };
        posting.state = PostingState::InFlight;
        posting.tries += 1;
        out.intents.push(Intent::SendPosting {
            number: posting.number,
            room: posting.room.clone(),
            stay,
            amount: posting.amount,
            text: posting.text.clone(),
            outlet: posting.outlet.clone(),
            detail: posting.detail.clone(),
        });
        self.tell_posting(number, out);
    }

    /// The stay that the PMS is told with a charge. It knows its rooms itself, so a room's charge names nobody while its guest is
    /// alone in it; once the guest has left, moved or got company, the next one must not pay.
    fn named_stay(&self, posting: &Posting) -> Option<StayId> {
        let by_room = posting.by_room && self.inhabitant(&posting.room, None).ok() == posting.stay;
        posting.stay.clone().filter(|_| !by_room)
    }

    fn has_in_flight(&self, link: &LinkId) -> bool {
        let of_link = |posting: &Posting| self.pms.of_room(&posting.room) == link;
        self.open_postings().any(|posting| posting.state == PostingState::InFlight && of_link(posting))
    }

    pub(super) fn postings_wake(&self) -> Option<Timestamp> {
        // One at a time: what follows is woken by the answer to the one before.
        let ready = |link: &&LinkId| self.takes_postings(link) && !self.has_in_flight(link);
        let of_link = |link| {
            let pending = self.open_postings().filter(|posting| posting.state == PostingState::Pending);
            let of_it = pending.filter(move |posting| self.pms.of_room(&posting.room) == link);
            of_it.map(|posting| posting.not_before).min()
        };
        if self.open_postings.is_empty() {
            return None;
        }
        self.pms.all().filter(ready).filter_map(of_link).min()
    }

    pub(super) fn posting_answered(
        &mut self,
        at: Timestamp,
        number: PostingNumber,
        status: &str,
        text: Option<&str>,
        out: &mut Applied,
    ) {
        let Some(posting) = self.postings.get_mut(&number) else {
            self.count("answer-to-unknown-posting");
            return;
        };
        if matches!(posting.state, PostingState::Posted | PostingState::Refused) {
            self.count("answer-repeated");
            return;
        }
        posting.answer = Some(status.to_owned());
        let key = posting.key.clone();
        let was_doubtful = posting.state == PostingState::Doubtful;
        let again = matches!(status, "NA" | "RY") && posting.tries < MOST_TRIES;
        if again {
            posting.not_before = at.checked_add(AGAIN_AFTER).unwrap_or(at);
            self.set_posting(number, PostingState::Pending, out);
        } else if status == "OK" {
            self.set_posting(number, PostingState::Posted, out);
            self.end_command(at, &key, CommandOutcome::Done, out);
        } else {
            self.set_posting(number, PostingState::Refused, out);
            let reason = match text {
                Some(text) => format!("{} ({status}): {text}", in_words(status)),
                None => format!("{} ({status})", in_words(status)),
            };
            self.end_command(at, &key, CommandOutcome::Refused { reason }, out);
        }
        if was_doubtful {
            self.clear(AlertKind::PostingDoubtful, &number.to_string(), out);
        }
    }

    fn doubt(&mut self, at: Timestamp, number: PostingNumber, why: &str, out: &mut Applied) {
        let Some(posting) = self.postings.get(&number) else { return };
        let (key, room) = (posting.key.clone(), posting.room.clone());
        self.set_posting(number, PostingState::Doubtful, out);
        let reason = filled(why, &[&number, &room]);
        self.raise(at, AlertKind::PostingDoubtful, &number.to_string(), &reason, out);
        self.end_command(at, &key, CommandOutcome::Doubtful { reason }, out);
    }

    pub(super) fn posting_unanswered(&mut self, at: Timestamp, number: PostingNumber, out: &mut Applied) {
        if self.postings.get(&number).is_some_and(|posting| posting.state == PostingState::InFlight) {
            self.doubt(at, number, alert_text::DOUBT_NO_ANSWER, out);
        }
    }

    pub(super) fn posting_not_sent(&mut self, at: Timestamp, number: PostingNumber, out: &mut Applied) {
        let Some(posting) = self.postings.get_mut(&number) else { return };
        match posting.state {
            PostingState::InFlight => self.set_posting(number, PostingState::Pending, out),
            PostingState::Doubtful => {
                // The link went down before the posting reached it: there is no doubt after all.
                let key = posting.key.clone();
                self.set_posting(number, PostingState::Pending, out);
                self.clear(AlertKind::PostingDoubtful, &number.to_string(), out);
                self.reopen_command(at, &key, out);
            }
            _ => {}
        }
    }

    /// The postings that fly, of one PMS or of all.
    fn in_flight(&self, link: Option<&LinkId>) -> Vec<PostingNumber> {
        let flying = self.open_postings().filter(|posting| posting.state == PostingState::InFlight);
        flying
            .filter(|posting| link.is_none_or(|link| self.pms.of_room(&posting.room) == link))
            .map(|posting| posting.number)
            .collect()
    }

    pub(super) fn postings_link_lost(&mut self, at: Timestamp, link: &LinkId, out: &mut Applied) {
        for number in self.in_flight(Some(link)) {
            self.doubt(at, number, alert_text::DOUBT_LINK_BROKE, out);
        }
    }

    pub(super) fn postings_restarted(&mut self, at: Timestamp, out: &mut Applied) {
        for number in self.in_flight(None) {
            self.doubt(at, number, alert_text::DOUBT_RESTARTED, out);
        }
    }

    /// A backup was put back: what waited when it was made may have been booked since, so it is not sent now. Numbers of
    /// that time are not used again either: the PMS may take a charge with a number that it knows for the old one.
    pub(super) fn postings_put_back(&mut self, at: Timestamp, out: &mut Applied) {
        for number in self.open_postings.clone() {
            self.doubt(at, number, alert_text::DOUBT_PUT_BACK, out);
        }
        self.meta.last_posting = (self.meta.last_posting + PASSED_OVER) % LAST_NUMBER;
        out.touched.insert(Entity::Meta);
    }

    pub(super) fn postings_after_audit(&mut self, at: Timestamp, link: &LinkId, out: &mut Applied) {
        let pms = &self.pms;
        for posting in self.postings.values_mut().filter(|posting| pms.of_room(&posting.room) == link) {
            if posting.state == PostingState::Pending && posting.not_before > at {
                posting.not_before = at;
                out.touched.insert(Entity::Posting(posting.number));
            }
        }
    }

    pub(super) fn prune_postings(&mut self, out: &mut Applied) {
        let ended: Vec<PostingNumber> = self
            .postings
            .values()
            .filter(|posting| matches!(posting.state, PostingState::Posted | PostingState::Refused))
            .map(|posting| posting.number)
            .collect();
        for number in ended.iter().take(ended.len().saturating_sub(KEPT_ENDED)) {
            self.postings.remove(number);
            self.open_postings.remove(number);
            out.touched.insert(Entity::Posting(*number));
        }
    }
}
