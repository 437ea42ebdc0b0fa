//! The conversation with a hosted system: what is asked when, and what follows from each answer or from none.
//!
//! One request at a time. Charges go first, then statuses, look-ups, the list, changes. What a 401, a 408, a 429, a 5xx
//! and a lost connection mean is decided here, for every system alike.

mod day;
mod jobs;
#[cfg(test)]
mod tests;

use super::budget::Budget;
use super::settle::{Doubted, Doubts};
use super::{Answer, Failure, Heard, HostedPms, Job, Posting, Request};
use crate::link::Backoff;
use engawa_model::{
    CommandKey, Date, Fact, Intent, LinkId, PMS_LINK, PmsFact, PostingDetail, PostingNumber, RoomId,
    Timestamp,
};
use jiff::SignedDuration;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use std::collections::VecDeque;

/// How often a reading request is tried.
const MOST_TRIES: u32 = 4;
/// How often a system may say 429 to one request.
const MOST_WAITS: u32 = 20;
/// The pause after a 429 that names none, seconds.
const WAIT_S: u32 = 5;
/// The longest pause after a 429, seconds.
const LONGEST_WAIT_S: u32 = 300;
/// Statuses that may wait; the house keeps them, too, and says so when one is refused here.
const MOST_STATUSES: usize = 1_000;
/// Changes older than this are not asked for: the list tells.
const OLDEST_CHANGES: SignedDuration = SignedDuration::from_hours(24);

/// A question for changes that is due and can't be asked comes again after this.
const MOMENT: SignedDuration = SignedDuration::from_secs(1);
/// No request lasts longer: one that was given up was not sent before.
const LONGEST_REQUEST: SignedDuration = SignedDuration::from_mins(10);

/// How often things are asked, and when the day turns.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Between two questions for changes, seconds.
    pub poll_s: u32,
    /// Between two lists, seconds.
    pub list_s: u32,
    /// The longest pause before a system that is away is tried again, seconds.
    pub reconnect_max_s: u32,
    /// When the business day ends, local time: before noon it closes the day before.
    pub day_ends: Time,
    /// The property's zone.
    pub zone: TimeZone,
}

/// What an earlier process left.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// The note that was kept of the link ([`Fact::LinkNoted`]).
    pub note: Option<String>,
    /// Charges that were in doubt when it ended.
    pub doubtful: Vec<Doubted>,
}

/// What is to be done by the shell, in order.
#[derive(Debug)]
pub enum Out {
    /// Tell the house these, together.
    Observe(Vec<Fact>),
    /// Ask the system. Answered by [`Machine::on_answer`].
    Ask(Request),
    /// Say this on the feed.
    Say(String),
    /// Open the feed anew.
    Reopen,
}

/// A job under way.
struct Current {
    job: Job,
    /// The command of a status.
    key: Option<CommandKey>,
    /// When it began, by the system's clock.
    began: Timestamp,
    request: Request,
    tries: u32,
    waits: u32,
    /// The token was renewed for this request.
    renewed: bool,
    doing: Doing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Its request is out.
    Asking,
    /// The request for a token is out.
    SigningIn,
    /// It goes at this moment.
    Waiting(Timestamp),
}

/// One hosted system.
pub struct Machine {
    system: Box<dyn HostedPms>,
    pace: Pace,
    /// Before the number of a charge, to make it unique.
    ident: String,
    budget: Budget,
    backoff: Backoff,
    up: bool,
    opened: bool,
    /// Not before this after a failure.
    not_before: Timestamp,
    current: Option<Current>,
    posting: Option<Posting>,
    statuses: VecDeque<(CommandKey, RoomId, String)>,
    doubts: Doubts,
    /// Everything before this is known, by the system's clock.
    since: Option<Timestamp>,
    /// How far the system's clock is ahead of ours. Ours may be wrong: it is only used for pauses.
    skew: SignedDuration,
    /// The feed's mark.
    mark: Option<String>,
    noted: Option<String>,
    next_list: Timestamp,
    next_poll: Timestamp,
    day: Option<Date>,
    out: VecDeque<Out>,
}

impl Machine {
    /// A system that has not been asked yet. `ident` is the house's own, and another after its database was made anew.
    pub fn new(
        now: Timestamp,
        system: Box<dyn HostedPms>,
        pace: Pace,
        ident: &str,
        seed: u64,
        resume: Resume,
    ) -> Self {
        let (since, mark) = resume.note.as_deref().map_or((None, None), unnote);
        let mut doubts = Doubts::default();
        for doubted in resume.doubtful {
            doubts.add(now, doubted, false);
        }
        Self {
            budget: Budget::new(system.limit()),
            backoff: Backoff::new(pace.reconnect_max_s, seed),
            system,
            pace,
            ident: ident.to_owned(),
            up: false,
            opened: false,
            not_before: now,
            current: None,
            posting: None,
            statuses: VecDeque::new(),
            doubts,
            since,
            skew: SignedDuration::ZERO,
            mark,
            noted: resume.note,
            next_list: now,
            next_poll: now,
            day: None,
            out: VecDeque::new(),
        }
    }

    /// What a charge is called in the hosted system.
    pub fn ident_of(house: &str, number: PostingNumber) -> String {
        format!("{house}-{number}")
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// When [`Machine::on_wake`] is wanted, if nothing happens before.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let day = self.up.then(|| self.day_turns()).flatten();
        let work = match self.current.as_ref().map(|current| current.doing) {
            Some(Doing::Waiting(until)) => Some(until),
            Some(_) => None,
            None if !self.opened => Some(self.not_before),
            None => {
                let asked = [Some(self.next_list), Some(self.next_poll), self.doubts.next_at()];
                asked.into_iter().flatten().min()
            }
        };
        [day, work].into_iter().flatten().min()
    }

    /// Time has come to what [`Machine::wake_at`] named. Called once at the start, too.
    pub fn on_wake(&mut self, now: Timestamp) {
        self.turn_day(now);
        match self.current.as_mut() {
            Some(current) if matches!(current.doing, Doing::Waiting(until) if until <= now) => {
                self.dispatch(now)
            }
            Some(_) => {}
            None => self.next_job(now),
        }
    }

    /// The answer to the last [`Out::Ask`], or why there is none.
    pub fn on_answer(&mut self, now: Timestamp, answered: Result<Answer, Failure>) {
        let Some(mut current) = self.current.take() else { return };
        if let Ok(Answer { date: Some(date), .. }) = &answered {
            self.skew = date.duration_since(now);
        }
        let once = current.request.once && current.doing == Doing::Asking;
        let name = self.system.name();
        match answered {
            Err(Failure::NotSent(why)) => self.again(now, current, format!("{name}: {why}"), false),
            Err(Failure::Cut(why)) => self.again(now, current, format!("{name}: {why}"), once),
            Ok(answer) if answer.status == 429 => {
                current.waits += 1;
                if current.waits > MOST_WAITS {
                    return self.fail(now, current, format!("{name} is asked too often for it"), false);
                }
                let wait = answer.retry_after_s.unwrap_or(WAIT_S).clamp(1, LONGEST_WAIT_S);
                self.wait(after(now, wait), current);
            }
            Ok(answer) if answer.status == 408 || answer.status >= 500 => {
                let why = format!("{name} answered {} to {}", answer.status, current.request.operation);
                let wait = answer.retry_after_s.filter(|_| !once);
                self.again_after(now, current, wait, why, once);
            }
            Ok(answer) if current.doing == Doing::SigningIn => {
                let signed = answer.check("sign-in").and_then(|()| self.system.signed_in(now, &answer));
                match signed {
                    Ok(()) => {
                        self.current = Some(current);
                        self.dispatch(now);
                    }
                    Err(fault) => {
                        self.fail(now, current, format!("{name} gives us no token: {fault}"), false);
                    }
                }
            }
            Ok(answer) if answer.status == 401 => {
                if !current.renewed && self.system.forget_token() {
                    current.renewed = true;
                    self.current = Some(current);
                    return self.dispatch(now);
                }
                let why = format!(
                    "{name} refuses our credentials ({} to {}): are the secrets those of this house?",
                    answer.status, current.request.operation
                );
                self.fail(now, current, why, false);
            }
            Ok(answer) if answer.status == 409 && once => {
                let why = format!("{name} answered 409 to {}", current.request.operation);
                self.again(now, current, why, true);
            }
            Ok(answer) => {
                let step = self.system.answered(now, &answer);
                let doubt = once && answer.is_success();
                self.step(now, current, step, doubt);
            }
        }
    }

    /// The house wants something of the PMS.
    pub fn on_intent(&mut self, now: Timestamp, intent: &Intent) {
        match intent {
            Intent::SendPosting { number, .. } if !self.up || self.posting.is_some() => {
                self.observe(Fact::PostingNotSent { number: *number });
            }
            // The PMS would have to know the price; these take amounts.
            Intent::SendPosting {
                number,
                detail: PostingDetail::Minibar(_) | PostingDetail::Call(_),
                ..
            } => {
                let text = Some(format!("{} takes charges with an amount only", self.system.name()));
                self.observe(Fact::PostingAnswered { number: *number, status: "NF".to_owned(), text });
            }
            Intent::AskPms { key, .. } => {
                let reason = format!("{} is not asked for that", self.system.name());
                self.observe(Fact::Pms { said: PmsFact::NotSent { key: key.clone(), reason } });
            }
            // It keeps no wake-up calls: there is nobody to tell.
            Intent::TellWakeUp { id, word, .. } => self.observe(Fact::WakeUpTold { id: *id, word: *word }),
            Intent::SendPosting { number, room, stay, amount, text, outlet, .. } => {
                self.posting = Some(Posting {
                    number: *number,
                    ident: Self::ident_of(&self.ident, *number),
                    room: room.clone(),
                    stay: stay.clone(),
                    amount: *amount,
                    text: text.clone(),
                    outlet: outlet.clone(),
                });
            }
            Intent::SendRoomStatus { key, room, status } if self.up => {
                let current = self.current.as_ref().and_then(|current| current.key.as_ref());
                if current == Some(key) || self.statuses.iter().any(|(waits, ..)| waits == key) {
                    // After each list the house tells again what has not ended: it is on its way.
                } else if self.statuses.len() >= MOST_STATUSES {
                    let reason = "too many statuses wait for the PMS".to_owned();
                    self.observe(Fact::StatusRefused { key: key.clone(), reason });
                } else {
                    self.statuses.push_back((key.clone(), room.clone(), status.clone()));
                }
            }
            Intent::RequestResync if self.up => {
                self.observe(Fact::ResyncAsked);
                self.next_list = now;
            }
            // Not up: the model asks again when the link is. Others are for other drivers.
            _ => {}
        }
        if self.current.is_none() {
            self.next_job(now);
        }
    }

    /// The feed is open: what changed before is asked for.
    pub fn on_feed_open(&mut self, now: Timestamp) {
        for text in self.system.feed_opened(now, self.mark.as_deref()) {
            self.out.push_back(Out::Say(text));
        }
        self.hint(now);
    }

    /// A message of the feed.
    pub fn on_feed(&mut self, now: Timestamp, text: &str) {
        match self.system.feed_heard(now, text) {
            Ok(Heard { say, changed, mark, ended }) => {
                self.out.extend(say.into_iter().map(Out::Say));
                if let Some(mark) = mark {
                    // An empty one: from now on.
                    self.mark = Some(mark).filter(|mark| !mark.is_empty());
                }
                if changed {
                    self.hint(now);
                }
                if ended.is_some() {
                    self.out.push_back(Out::Reopen);
                }
            }
            // A hint that can't be read is a hint, too.
            Err(_) => {
                self.observe(Fact::PmsRefused { why: "feed-malformed".to_owned() });
                self.hint(now);
            }
        }
    }

    /// How the feed is to be opened, where there is one.
    pub fn feed(&self, now: Timestamp) -> Option<super::Feed> {
        self.system.feed(now, self.mark.as_deref()).filter(|_| self.opened)
    }

    /// True while a charge is on its way: worth waiting for at the end.
    pub fn is_charging(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.request.once && current.doing == Doing::Asking)
    }

    /// The gateway stops. A charge that is on its way is a doubt.
    pub fn end(&mut self, now: Timestamp) {
        if let Some(current) = self.current.take() {
            let once = current.request.once && current.doing == Doing::Asking;
            self.close_job(now, &current, once);
        }
        self.down("the gateway stops");
    }

    fn hint(&mut self, now: Timestamp) {
        if self.up {
            self.next_poll = now;
            if self.current.is_none() {
                self.next_job(now);
            }
        }
    }

    fn dispatch(&mut self, now: Timestamp) {
        let Some(mut current) = self.current.take() else { return };
        let ready = self.budget.ready_at(now);
        if ready > now {
            return self.wait(ready, current);
        }
        self.budget.spend(now);
        let request = match self.system.sign_in(now) {
            Some(request) => {
                current.doing = Doing::SigningIn;
                request
            }
            None => {
                current.doing = Doing::Asking;
                let mut request = current.request.clone();
                self.system.authorize(&mut request);
                request
            }
        };
        self.current = Some(current);
        self.out.push_back(Out::Ask(request));
    }

    fn wait(&mut self, until: Timestamp, mut current: Current) {
        current.doing = Doing::Waiting(until);
        self.current = Some(current);
    }

    /// No answer that says anything: again, or given up.
    fn again(&mut self, now: Timestamp, current: Current, why: String, doubt: bool) {
        self.again_after(now, current, None, why, doubt);
    }

    /// The same, after `wait` seconds where the system names a pause.
    fn again_after(
        &mut self,
        now: Timestamp,
        mut current: Current,
        wait: Option<u32>,
        why: String,
        doubt: bool,
    ) {
        current.tries += 1;
        if (current.request.once && wait.is_none()) || current.tries >= MOST_TRIES {
            return self.fail(now, current, why, doubt);
        }
        let until = match wait {
            Some(wait) => after(now, wait.clamp(1, LONGEST_WAIT_S)),
            None => now.checked_add(self.backoff.pause()).unwrap_or(Timestamp::MAX),
        };
        self.wait(until, current);
    }

    /// The job is given up. But for a lost answer to a charge the link is down with it.
    fn fail(&mut self, now: Timestamp, current: Current, why: String, doubt: bool) {
        if doubt {
            // The connection may be well: the next question will tell.
            self.close_job(now, &current, true);
            self.next_job(now);
            return;
        }
        self.down(&why);
        self.close_job(now, &current, false);
        self.not_before = now.checked_add(self.backoff.pause()).unwrap_or(Timestamp::MAX);
        self.opened = false;
        self.statuses.clear();
        if let Some(posting) = self.posting.take() {
            self.observe(Fact::PostingNotSent { number: posting.number });
        }
    }

    fn close_job(&mut self, now: Timestamp, current: &Current, doubt: bool) {
        match &current.job {
            Job::Post(posting) => {
                self.posting = None;
                let number = posting.number;
                if doubt {
                    self.observe(Fact::PostingUnanswered { number });
                    let since = self.theirs(now).checked_sub(LONGEST_REQUEST).unwrap_or(Timestamp::MIN);
                    let doubted = Doubted { posting: posting.clone(), since };
                    self.doubts.add(now, doubted, true);
                } else {
                    self.observe(Fact::PostingNotSent { number });
                }
            }
            Job::LookUp { posting, .. } => {
                self.judge(posting.number, |doubts, number| doubts.failed(now, number));
            }
            _ => {}
        }
    }

    /// The time of the system's clock.
    fn theirs(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.skew).unwrap_or(now)
    }

    fn down(&mut self, why: &str) {
        self.up = false;
        self.observe(link(false, why));
    }

    fn observe(&mut self, fact: Fact) {
        self.out.push_back(Out::Observe(vec![fact]));
    }
}

fn after(at: Timestamp, seconds: u32) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX)
}

fn link(up: bool, detail: &str) -> Fact {
    Fact::Link { link: LinkId::from(PMS_LINK), up, detail: detail.to_owned() }
}

/// `since` and the feed's mark in one text.
fn note(since: Timestamp, mark: Option<&str>) -> String {
    format!("{since} {}", mark.unwrap_or_default())
}

/// What [`note`] wrote; nothing of one that another release wrote otherwise.
fn unnote(note: &str) -> (Option<Timestamp>, Option<String>) {
    let parsed = note.split_once(' ').and_then(|(since, mark)| Some((since.parse().ok()?, mark)));
    let Some((since, mark)) = parsed else { return (None, None) };
    (Some(since), Some(mark.to_owned()).filter(|mark| !mark.is_empty()))
}
