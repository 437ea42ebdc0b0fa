//! The link's state machine: bytes, intents and time in; bytes and facts out (FIAS 2.20, chapters on link start,
//! database resync, night audit and posting).
//!
//! It decides how to speak; what is said, and when a posting may go, the model decides.

mod backoff;
mod desk;
mod facts;
mod naming;
mod odd;
mod out;
mod records;
#[cfg(test)]
mod tests;
mod wake;

pub use backoff::Backoff;
pub(crate) use facts::date;
pub use naming::{RoomNumbers, link_id};
pub use out::Out;

use crate::auth::AuthKey;
use crate::codec::{FrameEvent, Framer, Record};
use crate::config::PmsConfig;
use crate::reservation::Numbers;
use crate::uses::Use;
use desk::{MOST_ASKED, Question, Reply};
use engawa_model::{
    CommandKey, Fact, Intent, LinkId, PMS_LINK, PmsFact, PmsRequest, PostingDetail, PostingNumber, Timestamp,
};
use facts::Meaning;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use naming::Naming;
use odd::Oddities;
use records::{Patience, posting_use};
use std::collections::VecDeque;

/// A list in which nothing comes for this long has stalled: no idle check may be sent within a list, so this is what
/// finds a dead link there.
const LIST_STALLS_S: u32 = 300;
/// Answers that may wait for the end of a list; past this they are counted and dropped, and the PMS's clerk asks again.
const MOST_HELD: usize = 64;
/// A list that lasts longer than this has lost its end. The largest houses send theirs in minutes.
const LIST_LASTS_S: u32 = 900;
/// How long a stop waits for the PMS's own good-bye where it neither says it nor closes: the house stands still meanwhile. On
/// TCP it has had ours and the end of the stream; what it sends after this is refused by a reset, so that it knows.
const GOODBYE: SignedDuration = SignedDuration::from_millis(500);
/// The same on a serial line, which has no end of a stream: two blocks with their acknowledgements, one of them repeated.
const SERIAL_GOODBYE: SignedDuration = SignedDuration::from_secs(1);

/// What the link is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection.
    Closed,
    /// Connected; the PMS speaks first, or we do at the deadline.
    Greeting { until: Timestamp, spoke: bool },
    /// LD, LR and LA have gone out; the PMS owes its LA.
    Describing { until: Timestamp },
    /// Data flows.
    Alive,
    /// One side said LE; the connection is closed by the PMS, or by us at the deadline. Where it was `ours`, the PMS's
    /// LE is all that is left to wait for.
    Ended { until: Timestamp, ours: bool },
}

/// One PMS link.
#[derive(Debug)]
pub struct Link {
    config: PmsConfig,
    zone: TimeZone,
    state: State,
    framer: Framer,
    heard: Timestamp,
    /// When the answer to an idle check is due.
    check_due: Option<Timestamp>,
    /// The posting that waits for its PA, and until when.
    awaited: Option<(PostingNumber, Timestamp)>,
    /// Questions that wait for their answers; at most [`MOST_ASKED`].
    questions: Vec<Question>,
    /// Answers to the PMS that wait for the end of a list; at most [`MOST_HELD`].
    held: VecDeque<Record>,
    /// Since when a list runs: between DS and DE.
    listing: Option<Timestamp>,
    /// Renames rooms and reservations at the edge.
    naming: Naming,
    /// The site's key, a nonce of this connection, and how many proofs were made with it.
    auth: Option<(AuthKey, [u8; 16], u32)>,
    /// What is told while a link that failed is tried again.
    trying: Option<String>,
    /// Fields that hold what they are not for.
    oddities: Oddities,
    /// The digits of the last LS's date and time.
    stamp: String,
    /// What is to be done; drained after every input, so its length is bounded by one input's records.
    out: VecDeque<Out>,
}

impl Link {
    /// A link that is not connected yet. `zone` is the property's: DA and TI are local time.
    pub fn new(config: PmsConfig, zone: TimeZone) -> Self {
        Self {
            naming: Naming::new(
                config.name.as_deref(),
                config.rooms.clone(),
                Numbers::new(config.reservation_numbers, config.stay_key.clone()),
            ),
            oddities: Oddities::default(),
            auth: None,
            trying: None,
            stamp: String::new(),
            config,
            zone,
            state: State::Closed,
            framer: Framer::new(),
            heard: Timestamp::MIN,
            check_due: None,
            awaited: None,
            questions: Vec::new(),
            held: VecDeque::new(),
            listing: None,
            out: VecDeque::new(),
        }
    }

    /// With the site's AuthKey. `nonce` must be another for each connection.
    pub fn prove_with(&mut self, key: AuthKey, nonce: [u8; 16]) {
        self.auth = Some((key, nonce, 0));
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// A warning for whoever keeps the gateway: which field holds what it is not for, never what that is. Once for each
    /// field in the link's life.
    pub fn warning(&mut self) -> Option<&'static str> {
        self.oddities.next()
    }

    /// When [`Link::on_wake`] is wanted, if nothing happens before.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let state = match self.state {
            State::Closed => None,
            State::Greeting { until, .. } | State::Describing { until } | State::Ended { until, .. } => {
                Some(until)
            }
            State::Alive if let Some(since) = self.listing => {
                Some(after(self.heard, LIST_STALLS_S).min(after(since, LIST_LASTS_S)))
            }
            State::Alive => Some(self.check_due.unwrap_or_else(|| after(self.heard, self.config.idle_s))),
        };
        let asked = self.questions.iter().map(|question| question.due).min();
        [state, self.awaited.map(|(_, due)| due), asked].into_iter().flatten().min()
    }

    /// The connection stands.
    pub fn on_connected(&mut self, now: Timestamp) {
        self.framer = Framer::new();
        self.heard = now;
        self.state = State::Greeting { until: after(now, self.config.greet_s), spoke: false };
        let told = down(self.trying.as_deref().unwrap_or("starting"));
        self.observe(told);
    }

    /// The last attempt has failed: what is told of the link while the next one runs, instead of `starting`.
    pub fn trying_again(&mut self, told: String) {
        self.trying = Some(told);
    }

    /// The connection is gone, or could not be made.
    pub fn on_closed(&mut self, why: &str) {
        self.forget(why);
        self.state = State::Closed;
    }

    /// Bytes from the PMS.
    pub fn on_bytes(&mut self, now: Timestamp, bytes: &[u8]) {
        let mut framer = std::mem::take(&mut self.framer);
        framer.push(bytes, |event| match event {
            FrameEvent::Torn => self.refuse("malformed"),
            FrameEvent::Body(body) => match Record::decode(&body, self.config.charset) {
                Some(record) => {
                    let record = self.config.dialect.inward(record);
                    for odd in self.oddities.of(&record, &self.naming) {
                        self.refuse(odd);
                    }
                    let record = self.naming.inward(&record);
                    self.on_record(now, &record);
                }
                None => self.refuse("malformed"),
            },
        });
        self.framer = framer;
    }

    /// Time has come to what [`Link::wake_at`] named.
    pub fn on_wake(&mut self, now: Timestamp) {
        if let Some((number, _)) = self.awaited.filter(|(_, due)| *due <= now) {
            self.awaited = None;
            self.observe(Fact::PostingUnanswered { number });
        }
        for question in self.questions.extract_if(.., |question| question.due <= now).collect::<Vec<_>>() {
            self.observe(desk::fact(PmsFact::Unanswered { key: question.key }));
        }
        match self.state {
            State::Greeting { until, spoke: false } if until <= now => {
                self.send(&records::stamped("LS", now, &self.zone));
                self.state = State::Greeting { until: after(now, self.config.start_s), spoke: true };
            }
            State::Greeting { until, .. } if until <= now => self.give_up("the PMS says nothing"),
            State::Describing { until } if until <= now => {
                self.give_up("the PMS did not answer our descriptions with LA");
            }
            State::Ended { until, .. } if until <= now => self.give_up("the link was ended"),
            State::Alive if let Some(since) = self.listing => {
                if after(self.heard, LIST_STALLS_S) <= now {
                    self.give_up("the list stalled");
                } else if after(since, LIST_LASTS_S) <= now {
                    self.give_up("the list has no end");
                }
            }
            State::Alive => match self.check_due {
                Some(due) if due <= now => self.give_up("no answer to the idle check"),
                None if after(self.heard, self.config.idle_s) <= now => {
                    self.send(&records::stamped("LS", now, &self.zone));
                    self.check_due = Some(after(now, self.config.answer_s));
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// The house wants something of the PMS.
    pub fn on_intent(&mut self, now: Timestamp, intent: &Intent) {
        // Who has several links has chosen this one.
        let intent = if let Intent::AtLink { what, .. } = intent { what.as_ref() } else { intent };
        let free = self.state == State::Alive && self.listing.is_none();
        match intent {
            Intent::SendPosting { number, detail, .. }
                if let Some(lacking) = self.lacking(posting_use(detail)) =>
            {
                let (number, status) = (*number, "NF".to_owned());
                self.observe(Fact::PostingAnswered { number, status, text: Some(lacking) });
            }
            Intent::SendPosting { number, stay: Some(stay), detail: PostingDetail::Guest { .. }, .. }
                if self.naming.has_lost(stay.as_str()) =>
            {
                let (number, status) = (*number, "NF".to_owned());
                self.observe(Fact::PostingAnswered { number, status, text: Some(odd::LOST.to_owned()) });
            }
            Intent::SendPosting { number, .. } if !free || self.awaited.is_some() => {
                self.observe(Fact::PostingNotSent { number: *number });
            }
            Intent::SendPosting { number, room, stay, amount, text, outlet, detail } => {
                let posting = records::Posting {
                    number: *number,
                    room,
                    stay: stay.as_ref().filter(|stay| records::is_numbered(stay)),
                    amount,
                    text,
                    outlet,
                    detail,
                };
                let digits = self.config.digits_for(amount.currency.minor_digits());
                self.send(&posting.record(now, &self.zone, digits));
                let patience = match detail {
                    PostingDetail::Guest { .. } => self.config.inquiry_s,
                    _ => self.config.answer_s,
                };
                self.awaited = Some((*number, after(now, patience)));
            }
            Intent::SendRoomStatus { key, room, status } if free => {
                // The model only lets known words through, so a missing code is a configuration that was checked.
                if let Some(code) = self.config.status_code(status) {
                    self.send(&Record::new("RE").with("RN", room.as_str()).with("RS", code));
                    self.observe(Fact::StatusSent { key: key.clone() });
                }
            }
            Intent::RequestResync if free => {
                self.send(&records::stamped("DR", now, &self.zone));
                self.observe(Fact::ResyncAsked);
            }
            Intent::TellWakeUp { .. } if free => {
                if let Some((record, told)) = wake::record(intent) {
                    self.send(&record);
                    self.observe(told);
                }
            }
            Intent::AskPms { key, request } => self.ask(now, key, request, free),
            Intent::AnswerKey { answer } => {
                let record = records::key_answer(answer, now, &self.zone);
                match (self.state, self.listing) {
                    (State::Alive, None) => self.send(&record),
                    (State::Alive, Some(_)) if self.held.len() < MOST_HELD => self.held.push_back(record),
                    // The PMS waits no longer.
                    _ => self.refuse("key-answer-too-late"),
                }
            }
            // Not free: the model asks again when the link is up.
            Intent::SendRoomStatus { .. }
            | Intent::RequestResync
            | Intent::TellWakeUp { .. }
            | Intent::Wake { .. }
            | Intent::EndWake { .. }
            | Intent::AtLink { .. }
            | Intent::WritePoint { .. }
            | Intent::WithdrawWrite { .. }
            | Intent::TellGuest { .. }
            | Intent::Upkeep { .. }
            | Intent::ForgetNote { .. } => {}
        }
    }

    /// The gateway stops: the link is ended as the specification wants it, and nothing is sent after that. True if the PMS is to
    /// be waited for.
    pub fn end(&mut self, now: Timestamp) -> bool {
        if matches!(self.state, State::Closed | State::Ended { .. }) {
            return false;
        }
        self.forget("the gateway stops");
        self.send(&records::stamped("LE", now, &self.zone));
        let wait = if self.config.serial.is_some() { SERIAL_GOODBYE } else { GOODBYE };
        self.state = State::Ended { until: now.checked_add(wait).unwrap_or(Timestamp::MAX), ours: true };
        true
    }

    /// True while data flows.
    pub fn is_alive(&self) -> bool {
        self.state == State::Alive
    }

    fn on_record(&mut self, now: Timestamp, record: &Record) {
        self.heard = now;
        match record.id() {
            // We have said good-bye: the PMS's own is waited for. What it had sent before it read ours it won't send again.
            id if matches!(self.state, State::Ended { ours: true, .. }) => match id {
                "LE" => {
                    self.state = State::Closed;
                    self.out.push_back(Out::Close);
                }
                "LS" | "LA" | "LC" | "DS" | "DE" => {}
                _ => self.on_data(now, record),
            },
            "LS" => {
                if self.state == State::Alive {
                    self.forget("the PMS has restarted");
                }
                if let Some(date) = facts::date(record.get("DA")) {
                    self.observe(Fact::PmsDate { date });
                }
                let digits = |field| record.get(field).unwrap_or_default();
                self.stamp = format!("{}{}", digits("DA"), digits("TI"));
                self.describe(now);
            }
            "LA" => match self.state {
                State::Describing { .. } => {
                    self.state = State::Alive;
                    self.trying = None;
                    self.observe(up("alive"));
                }
                // It knows us from before; it may have missed our descriptions since.
                State::Greeting { .. } => self.describe(now),
                // An LA is never answered: two peers that do so never end.
                State::Alive => self.check_due = None,
                State::Closed | State::Ended { .. } => {}
            },
            "LE" => {
                if !matches!(self.state, State::Ended { .. }) {
                    self.send(&records::stamped("LE", now, &self.zone));
                    self.forget("the PMS ended the link");
                }
                self.state = State::Ended { until: after(now, self.config.start_s), ours: false };
            }
            "LC" => self.on_data(now, record),
            _ if self.state != State::Alive => self.refuse("before-alive"),
            _ => {
                self.check_due = None;
                self.on_data(now, record);
            }
        }
    }

    fn on_data(&mut self, now: Timestamp, record: &Record) {
        match facts::meaning(record, &self.config) {
            Meaning::ListBegins => {
                self.listing = Some(now);
                self.observe(up("resync"));
                self.observe(Fact::ResyncBegun);
            }
            Meaning::ListEnds if self.listing.is_some() => {
                self.listing = None;
                for record in std::mem::take(&mut self.held) {
                    self.send(&record);
                }
                self.observe(Fact::ResyncDone);
                self.observe(up("alive"));
            }
            Meaning::ListEnds => self.refuse("list-end-without-begin"),
            Meaning::Fact(Fact::PostingAnswered { number, .. })
                if self.questions.iter().any(|question| question.number == Some(number)) =>
            {
                self.answered(Reply::to_inquiry(record));
            }
            Meaning::Both(one, other) => {
                self.observe(one);
                self.observe(other);
            }
            Meaning::Desk(said, reply) => {
                for said in said {
                    self.observe(desk::fact(said));
                }
                if let Some(reply) = reply {
                    self.answered(reply);
                }
            }
            Meaning::Fact(fact) => {
                if let Fact::PostingAnswered { number, .. } = &fact {
                    self.awaited = self.awaited.filter(|(awaited, _)| awaited != number);
                }
                self.observe(fact);
            }
            Meaning::Refused(why) => self.refuse(why),
        }
    }

    /// What the configuration lacks for `needed`, in words.
    fn lacking(&self, needed: Use) -> Option<String> {
        let lacks = !self.config.uses.contains(&needed);
        lacks.then(|| {
            format!("`{needed}` is not among `uses` of the PMS link: add it, and restart the gateway")
        })
    }

    /// A question or news for the front desk.
    fn ask(&mut self, now: Timestamp, key: &CommandKey, request: &PmsRequest, free: bool) {
        let not_sent = |reason: String| desk::fact(PmsFact::NotSent { key: key.clone(), reason });
        if let Some(reason) =
            records::request_uses(request).into_iter().find_map(|needed| self.lacking(needed))
        {
            return self.observe(not_sent(reason));
        }
        let question = records::question(key, request, |patience| match patience {
            Patience::Answer => after(now, self.config.answer_s),
            Patience::Inquiry => after(now, self.config.inquiry_s),
        });
        match question {
            // News wait with the model until the link is free.
            None if !free => {}
            Some(_) if !free => self.observe(not_sent("the PMS link was not free: ask again".to_owned())),
            Some(_) if self.questions.len() >= MOST_ASKED => {
                self.observe(not_sent(format!("{MOST_ASKED} questions wait for the PMS already: ask again")));
            }
            question => match records::request(request, &self.config, now, &self.zone) {
                Ok(record) if record.filled("G#").is_some_and(|stay| self.naming.has_lost(stay)) => {
                    self.observe(not_sent(odd::LOST.to_owned()));
                }
                Ok(record) => {
                    self.send(&record);
                    match question {
                        Some(question) => self.questions.push(question),
                        None => self.observe(desk::fact(PmsFact::Sent { key: key.clone() })),
                    }
                }
                Err(reason) => self.observe(not_sent(reason)),
            },
        }
    }

    /// An answer has come: the oldest question that it fits is over.
    fn answered(&mut self, reply: Reply) {
        let Some(at) = self.questions.iter().position(|question| question.is_answered_by(&reply)) else {
            return self.refuse("answer-not-asked");
        };
        let key = self.questions.remove(at).key;
        if let Some(guests) = reply.guests {
            self.observe(desk::fact(PmsFact::GuestsFound { key: key.clone(), guests }));
        }
        if let Some((place, until)) = reply.place {
            self.observe(desk::fact(PmsFact::Located { key: key.clone(), place, until }));
        }
        self.observe(desk::fact(PmsFact::Answered { key, status: reply.status, text: reply.text }));
    }

    fn describe(&mut self, now: Timestamp) {
        for record in records::descriptions(&self.config, now, &self.zone) {
            match record.id() {
                "LD" => {
                    let record = self.proven(record);
                    self.send(&record);
                }
                _ => self.send(&record),
            }
        }
        self.state = State::Describing { until: after(now, self.config.start_s) };
    }

    /// LD with the proof that we may connect, where the site has a key.
    fn proven(&mut self, record: Record) -> Record {
        let Some((key, nonce, count)) = &mut self.auth else { return record };
        *count += 1;
        // The proof counts only with RT (FIAS 2.20: at least 1).
        let record = if record.has("RT") { record } else { record.with("RT", "1") };
        record.with("CG", key.proof(*nonce, *count, &self.stamp))
    }

    /// Whatever was under way on this connection is over.
    fn forget(&mut self, why: &str) {
        self.check_due = None;
        self.awaited = None;
        self.questions.clear();
        self.held.clear();
        self.listing = None;
        self.observe(down(why));
    }

    fn give_up(&mut self, why: &str) {
        self.forget(why);
        self.state = State::Closed;
        self.out.push_back(Out::Close);
    }

    fn send(&mut self, record: &Record) {
        let record = self.config.dialect.outward(self.naming.outward(record));
        self.out.push_back(Out::Send(record.encode(self.config.charset)));
    }

    fn observe(&mut self, fact: Fact) {
        self.out.push_back(Out::Observe(self.naming.told(fact)));
    }

    fn refuse(&mut self, why: &str) {
        self.observe(Fact::PmsRefused { why: why.to_owned() });
    }
}

/// YYMMDD as a date.
pub(crate) fn date_of(text: &str) -> Option<engawa_model::Date> {
    facts::date(Some(text))
}

fn after(at: Timestamp, seconds: u32) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX)
}

fn up(detail: &str) -> Fact {
    Fact::Link { link: LinkId::from(PMS_LINK), up: true, detail: detail.to_owned() }
}

fn down(detail: &str) -> Fact {
    Fact::Link { link: LinkId::from(PMS_LINK), up: false, detail: detail.to_owned() }
}
