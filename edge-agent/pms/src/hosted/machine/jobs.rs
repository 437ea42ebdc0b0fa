//! Jobs: which comes next, and what its end means.

use super::super::settle::{Doubts, Verdict};
use super::super::{Fault, Job, Outcome, Request, Step};
use super::{Current, Doing, MOMENT, Machine, OLDEST_CHANGES, Out, after, link, note, unnote};
use engawa_model::{CommandKey, Fact, LinkId, PMS_LINK, PostingNumber, Timestamp};
use jiff::SignedDuration;

impl Machine {
    pub(super) fn next_job(&mut self, now: Timestamp) {
        if !self.opened {
            if self.not_before <= now {
                self.begin(now, Job::Open, None);
            }
            return;
        }
        if let Some(posting) = self.posting.clone() {
            return self.begin(now, Job::Post(posting), None);
        }
        if let Some((key, room, status)) = self.statuses.pop_front() {
            return self.begin(now, Job::Status { room, status }, Some(key));
        }
        if let Some(doubted) = self.doubts.due(now).cloned() {
            let (posting, since) = (doubted.posting, doubted.since);
            return self.begin(now, Job::LookUp { posting, since, until: self.theirs(now) }, None);
        }
        // What an earlier process had not heard: with their own reasons first, then the list proves the rest.
        let until = self.theirs(now);
        let recent = self.since.filter(|since| until.duration_since(*since) < OLDEST_CHANGES);
        match recent {
            Some(since) if !self.up => self.begin(now, Job::Changes { since, until }, None),
            Some(since) if self.next_poll <= now && self.next_list > now => {
                self.begin(now, Job::Changes { since, until }, None);
            }
            _ if self.next_list <= now || !self.up => self.begin(now, Job::List, None),
            _ if self.next_poll <= now => self.next_poll = now.checked_add(MOMENT).unwrap_or(Timestamp::MAX),
            _ => {}
        }
    }

    pub(super) fn begin(&mut self, now: Timestamp, job: Job, key: Option<CommandKey>) {
        match &job {
            Job::List => self.next_list = after(now, self.pace.list_s),
            Job::Changes { .. } => self.next_poll = after(now, self.pace.poll_s),
            _ => {}
        }
        let step = self.system.start(now, &job);
        let request = Request::get("nothing", "");
        let doing = Doing::Waiting(now);
        let current =
            Current { job, key, began: self.theirs(now), request, tries: 0, waits: 0, renewed: false, doing };
        self.step(now, current, step, false);
    }

    /// `doubt`: the answer was to a request that is not done twice, and it was done.
    pub(super) fn step(
        &mut self,
        now: Timestamp,
        mut current: Current,
        step: Result<Step, Fault>,
        doubt: bool,
    ) {
        match step {
            Ok(Step::Ask(request)) => {
                current.request = request;
                (current.tries, current.waits, current.renewed) = (0, 0, false);
                self.current = Some(current);
                self.dispatch(now);
            }
            Ok(Step::Done(outcome)) => {
                self.done(now, current, outcome);
                self.next_job(now);
            }
            Err(fault) if doubt => {
                self.observe(Fact::PmsRefused { why: "malformed".to_owned() });
                self.again(now, current, format!("{}: {fault}", self.system.name()), true);
            }
            Err(fault) => self.faulty(now, current, &fault),
        }
    }

    /// What was refused, or can't be read.
    pub(super) fn faulty(&mut self, now: Timestamp, current: Current, fault: &Fault) {
        let name = self.system.name();
        match (&current.job, fault) {
            (Job::Post(posting), _) => {
                let (number, text) = (posting.number, Some(format!("{name}: {fault}")));
                self.posting = None;
                self.observe(Fact::PostingAnswered { number, status: "UR".to_owned(), text });
                self.next_job(now);
            }
            (Job::Status { .. }, _) => {
                if let Some(key) = current.key {
                    self.observe(Fact::StatusRefused { key, reason: format!("{name}: {fault}") });
                }
                self.next_job(now);
            }
            (Job::LookUp { posting, .. }, _) => {
                self.judge(posting.number, |doubts, number| doubts.failed(now, number));
                self.next_job(now);
            }
            _ => {
                if matches!(fault, Fault::Malformed { .. }) {
                    self.observe(Fact::PmsRefused { why: "malformed".to_owned() });
                }
                self.fail(now, current, format!("{name}: {fault}"), false);
            }
        }
    }

    pub(super) fn done(&mut self, now: Timestamp, current: Current, outcome: Outcome) {
        match (current.job, outcome) {
            (Job::Open, _) => {
                self.opened = true;
                self.next_list = now;
            }
            (Job::List, Outcome::Told(facts)) => {
                let mut facts = facts;
                self.told(current.began, &mut facts);
                if !self.up {
                    facts.push(link(true, &format!("alive: {}", self.system.name())));
                    self.up = true;
                }
                self.backoff.reset();
                self.out.push_back(Out::Observe(facts));
                self.turn_day(now);
            }
            (Job::Changes { .. }, Outcome::Told(mut facts)) => {
                self.told(current.began, &mut facts);
                if !self.up {
                    // The list that follows proves the rest.
                    self.since = None;
                }
                self.out.push_back(Out::Observe(facts));
            }
            (Job::Post(posting), outcome) => {
                self.posting = None;
                let (status, text) = match outcome {
                    Outcome::Refused { status, reason } => (status, Some(reason)),
                    _ => ("OK", None),
                };
                let fact = Fact::PostingAnswered { number: posting.number, status: status.to_owned(), text };
                self.observe(fact);
            }
            (Job::LookUp { posting, .. }, outcome) => {
                let number = posting.number;
                match outcome {
                    Outcome::Found(found) => {
                        self.judge(number, |doubts, number| doubts.looked(now, number, found));
                    }
                    _ => self.doubts.leave(number),
                }
            }
            (Job::Status { .. }, outcome) => {
                if let Some(key) = current.key {
                    self.observe(match outcome {
                        Outcome::Refused { reason, .. } => Fact::StatusRefused { key, reason },
                        _ => Fact::StatusSent { key },
                    });
                }
            }
            (Job::List | Job::Changes { .. }, _) => {}
        }
    }

    pub(super) fn judge(
        &mut self,
        number: PostingNumber,
        verdict: impl FnOnce(&mut Doubts, PostingNumber) -> Verdict,
    ) {
        match verdict(&mut self.doubts, number) {
            Verdict::Booked => {
                self.observe(Fact::PostingAnswered { number, status: "OK".to_owned(), text: None });
            }
            Verdict::NotSent => self.observe(Fact::PostingNotSent { number }),
            // The house shows it as doubtful already.
            Verdict::Open | Verdict::Staff => {}
        }
    }

    /// What is known up to now, so that the next process need not ask for it again.
    pub(super) fn told(&mut self, began: Timestamp, facts: &mut Vec<Fact>) {
        self.since = Some(began);
        let note = note(began, self.mark.as_deref());
        // A note a minute is enough: adapters overlap, and facts that are known change nothing.
        let old = self.noted.as_deref().map(unnote);
        let stale = old.is_none_or(|(since, mark)| {
            mark != self.mark
                || since.is_none_or(|since| began.duration_since(since).abs() >= SignedDuration::from_mins(1))
        });
        if stale {
            self.noted = Some(note.clone());
            facts.push(Fact::LinkNoted { link: LinkId::from(PMS_LINK), note: Some(note) });
        }
    }
}
