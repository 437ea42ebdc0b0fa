//! The conversation in virtual time: pauses, days, and a charge whose every step can fail.

mod pauses;

use super::super::config::{MewsConfig, OfHouse};
use super::super::mews::Mews;
use super::super::{Guests, Secret};
use super::*;
use engawa_model::{Currency, Money, StayId};
use serde_json::{Value, json};

const STAY: &str = "bfee2c44-1f84-4326-a862-5289598f6e2d";

struct Talk {
    machine: Machine,
    now: Timestamp,
    asked: Option<String>,
    request: Option<Request>,
    /// How far the system's clock is ahead, where it tells its time.
    skew: Option<SignedDuration>,
    operations: Vec<String>,
    facts: Vec<Fact>,
}

fn pace(day_ends: &str, zone: &str) -> Pace {
    Pace {
        poll_s: 30,
        list_s: 900,
        reconnect_max_s: 60,
        day_ends: super::super::config::time(day_ends).unwrap(),
        zone: TimeZone::get(zone).unwrap(),
    }
}

impl Talk {
    fn new(now: &str, pace: Pace) -> Self {
        Self::resuming(now, pace, Resume::default())
    }

    fn resuming(now: &str, pace: Pace, resume: Resume) -> Self {
        let config: MewsConfig = serde_json::from_value(json!({ "charge_service": "s" })).unwrap();
        let house = OfHouse {
            zone: pace.zone.clone(),
            zone_name: pace.zone.iana_name().unwrap().to_owned(),
            currency: Currency::new("EUR").unwrap(),
            guests: Guests::default(),
        };
        let mews = Mews::new(config, Secret::new("c"), Secret::new("a"), house);
        Self::with(now, Box::new(mews), pace, resume)
    }

    fn with(now: &str, system: Box<dyn HostedPms>, pace: Pace, resume: Resume) -> Self {
        let now: Timestamp = now.parse().unwrap();
        let machine = Machine::new(now, system, pace, "h", 1, resume);
        let mut talk =
            Self { machine, now, asked: None, request: None, skew: None, operations: vec![], facts: vec![] };
        talk.machine.on_wake(now);
        talk.drain();
        talk
    }

    fn up(now: &str, pace: Pace) -> Self {
        let mut talk = Self::new(now, pace);
        talk.serve_all();
        talk.operations.clear();
        talk.facts.clear();
        talk
    }

    fn drain(&mut self) {
        while let Some(out) = self.machine.poll() {
            match out {
                Out::Ask(request) => {
                    assert!(self.asked.is_none(), "one request at a time");
                    self.operations.push(request.operation.to_owned());
                    self.asked = Some(request.operation.to_owned());
                    self.request = Some(request);
                }
                Out::Observe(facts) => self.facts.extend(facts),
                Out::Say(_) | Out::Reopen => {}
            }
        }
    }

    fn answer(&mut self, answer: Result<Answer, Failure>) {
        (self.asked, self.request) = (None, None);
        self.machine.on_answer(self.now, answer);
        self.drain();
    }

    fn status(&mut self, status: u16, retry_after_s: Option<u32>) {
        self.answer(Ok(Answer { status, retry_after_s, date: None, body: Vec::new() }));
    }

    fn is_due(&self) -> bool {
        let body = self.request.as_ref().map(|request| &request.body);
        body.is_some_and(|body| format!("{body:?}").contains("Confirmed"))
    }

    /// Mews as it should be.
    fn serve(&mut self) {
        let zone = self.machine.pace.zone.iana_name().unwrap();
        let body: Value = match self.asked.as_deref().unwrap() {
            "configuration/get" => json!({ "Enterprise": { "TimeZoneIdentifier": zone, "Currencies": [] } }),
            "resources/getAll" => json!({ "Resources": [{ "Id": "r", "Name": "101" }] }),
            "companionships/getAll" => json!({ "Companionships": [] }),
            "reservations/getAll/2023-06-06" if self.is_due() => json!({ "Reservations": [] }),
            "reservations/getAll/2023-06-06" => json!({ "Reservations": [{ "Id": STAY, "State": "Started",
                "AccountId": "k", "AssignedResourceId": "r" }] }),
            "customers/getAll" => json!({ "Customers": [] }),
            "orders/add" => json!({ "OrderId": "o" }),
            "orderItems/getAll" => json!({ "OrderItems": [] }),
            "resources/update" => json!({}),
            // OPERA Cloud.
            "oauth/tokens" => json!({ "access_token": "t", "expires_in": 3600 }),
            "reservations" => json!({ "reservations": {} }),
            "charges" => json!({}),
            other => panic!("{other}"),
        };
        let body = body.to_string().into_bytes();
        let date = self.skew.map(|skew| self.now.checked_add(skew).unwrap());
        self.answer(Ok(Answer { status: 200, retry_after_s: None, date, body }));
    }

    fn serve_all(&mut self) {
        while self.asked.is_some() {
            self.serve();
        }
    }

    /// Time passes; the system answers as it should.
    fn wait(&mut self, seconds: i64) {
        let until = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        while let Some(wake) = self.machine.wake_at().filter(|wake| *wake <= until) {
            assert!(self.asked.is_none());
            self.now = self.now.max(wake);
            self.machine.on_wake(self.now);
            self.drain();
            self.serve_all();
        }
        self.now = until;
    }

    fn post(&mut self, number: u32) {
        let intent = Intent::SendPosting {
            number: PostingNumber(number),
            room: RoomId::from("101"),
            stay: Some(StayId::from(STAY)),
            amount: Money { minor: 100, currency: Currency::new("EUR").unwrap() },
            text: "x".into(),
            outlet: None,
            detail: engawa_model::PostingDetail::Plain,
        };
        self.machine.on_intent(self.now, &intent);
        self.drain();
    }

    fn outcome(&self) -> Vec<String> {
        let word = |fact: &Fact| match fact {
            Fact::PostingAnswered { status, .. } => Some(format!("answered {status}")),
            Fact::PostingUnanswered { .. } => Some("unanswered".to_owned()),
            Fact::PostingNotSent { .. } => Some("not sent".to_owned()),
            _ => None,
        };
        self.facts.iter().filter_map(word).collect()
    }
}

#[test]
fn an_hour_asks_for_changes_twice_a_minute_and_for_four_lists() {
    let mut talk = Talk::up("2026-07-15T10:00:00Z", pace("03:00", "Europe/Berlin"));
    talk.wait(3600);
    let lists = talk.operations.iter().filter(|one| *one == "resources/getAll").count();
    let questions = talk.operations.iter().filter(|one| one.starts_with("reservations")).count();
    assert_eq!(lists, 4);
    assert!((119..=129).contains(&questions), "{questions}");
}

#[test]
fn a_refused_pace_is_waited_for_as_long_as_it_says() {
    let mut talk = Talk::up("2026-07-15T10:00:00Z", pace("03:00", "Europe/Berlin"));
    talk.post(1);
    talk.status(429, Some(17));
    assert_eq!(talk.machine.wake_at(), Some("2026-07-15T10:00:17Z".parse().unwrap()));
    talk.wait(17);
    assert_eq!(talk.outcome(), ["answered OK"], "429 means that nothing was done");
    assert_eq!(talk.operations.iter().filter(|one| *one == "orders/add").count(), 2);
}

#[test]
fn what_a_failure_at_each_step_of_a_charge_means() {
    let cut = || Err(Failure::Cut("gone".into()));
    let not_sent = || Err(Failure::NotSent("away".into()));
    let status = |status| Ok(Answer { status, retry_after_s: None, date: None, body: Vec::new() });
    // What comes at once, and what follows when the order is not found.
    type Row = (Result<Answer, Failure>, &'static [&'static str], &'static [&'static str]);
    let table: [Row; 8] = [
        (not_sent(), &["not sent"], &[]),
        (status(401), &["not sent"], &[]),
        (status(400), &["answered UR"], &[]),
        (status(403), &["answered UR"], &[]),
        (cut(), &["unanswered"], &["not sent"]),
        (status(500), &["unanswered"], &["not sent"]),
        (status(409), &["unanswered"], &["not sent"]),
        // 200 without what it should have.
        (status(200), &["unanswered"], &["not sent"]),
    ];
    for (answer, at_once, later) in table {
        let mut talk = Talk::up("2026-07-15T10:00:00Z", pace("03:00", "Europe/Berlin"));
        talk.post(1);
        let told = format!("{answer:?}");
        talk.answer(answer);
        assert_eq!(talk.outcome(), at_once, "{told}");
        talk.serve_all();
        talk.facts.clear();
        talk.wait(100);
        assert_eq!(talk.outcome(), [] as [&str; 0], "not before it is certain: {told}");
        talk.wait(60);
        assert_eq!(talk.outcome(), later, "{told}");
    }
}

#[test]
fn a_charge_in_doubt_is_found_and_a_look_that_fails_is_repeated() {
    let mut talk = Talk::up("2026-07-15T10:00:00Z", pace("03:00", "Europe/Berlin"));
    talk.post(1);
    talk.answer(Err(Failure::Cut("gone".into())));
    while talk.asked.as_deref() != Some("orderItems/getAll") {
        talk.serve_all();
        talk.now = talk.machine.wake_at().unwrap();
        talk.machine.on_wake(talk.now);
        talk.drain();
    }
    talk.status(400, None);
    talk.facts.clear();
    let found = json!({ "OrderItems": [{ "ExternalIdentifier": "h-1", "CanceledUtc": null }] }).to_string();
    loop {
        if talk.asked.as_deref() == Some("orderItems/getAll") {
            break;
        }
        talk.serve_all();
        talk.now = talk.machine.wake_at().unwrap();
        talk.machine.on_wake(talk.now);
        talk.drain();
    }
    talk.answer(Ok(Answer { status: 200, retry_after_s: None, date: None, body: found.into_bytes() }));
    assert_eq!(talk.outcome(), ["answered OK"]);
}

#[test]
fn a_system_that_is_away_is_tried_ever_more_rarely_and_charges_wait() {
    let mut talk = Talk::up("2026-07-15T10:00:00Z", pace("03:00", "Europe/Berlin"));
    let mut tries = 0;
    let end: Timestamp = "2026-07-15T11:00:00Z".parse().unwrap();
    while talk.now < end {
        talk.now = talk.machine.wake_at().unwrap();
        talk.machine.on_wake(talk.now);
        talk.drain();
        while talk.asked.is_some() {
            tries += 1;
            talk.answer(Err(Failure::NotSent("no route".into())));
        }
    }
    assert!((50..130).contains(&tries), "{tries}");
    let downs: Vec<_> =
        talk.facts.iter().filter(|fact| matches!(fact, Fact::Link { up: false, .. })).collect();
    assert!(!downs.is_empty());
    talk.facts.clear();
    talk.post(9);
    assert_eq!(talk.outcome(), ["not sent"]);
}

#[test]
fn the_business_day_turns_once_a_day_also_when_the_clock_changes() {
    for (start, ends, zone, want) in [
        // Summer time begins at 02:00 on the 29th: half past two does not exist.
        (
            "2026-03-27T12:00:00Z",
            "02:30",
            "Europe/Berlin",
            ["2026-03-27", "2026-03-28", "2026-03-29", "2026-03-30"],
        ),
        (
            "2026-10-23T12:00:00Z",
            "02:30",
            "Europe/Berlin",
            ["2026-10-23", "2026-10-24", "2026-10-25", "2026-10-26"],
        ),
        (
            "2026-07-15T12:00:00Z",
            "23:00",
            "Asia/Tokyo",
            ["2026-07-15", "2026-07-16", "2026-07-17", "2026-07-18"],
        ),
    ] {
        let mut talk = Talk::new(start, Pace { poll_s: 600, ..pace(ends, zone) });
        talk.serve_all();
        talk.wait(72 * 3600);
        let days: Vec<String> = talk
            .facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::NightAuditDone { date: Some(date), hour: Some(0) } => Some(date.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(days, want, "{zone} {ends}");
    }
}

#[test]
fn a_status_that_is_on_its_way_is_not_sent_again_after_a_list() {
    let mut talk = Talk::up("2026-07-15T10:00:00Z", pace("03:00", "Europe/Berlin"));
    let told = |key: &str| Intent::SendRoomStatus {
        key: key.into(),
        room: "101".into(),
        status: "clean-vacant".to_owned(),
    };
    // A question for changes is under way, so both wait; the list ends, and the house tells what has not ended.
    talk.now = talk.machine.wake_at().unwrap();
    talk.machine.on_wake(talk.now);
    talk.drain();
    assert!(talk.asked.is_some());
    for key in ["a", "b", "a", "b"] {
        talk.machine.on_intent(talk.now, &told(key));
    }
    talk.drain();
    talk.serve_all();
    let updates = talk.operations.iter().filter(|operation| *operation == "resources/update").count();
    let sent = talk.facts.iter().filter(|fact| matches!(fact, Fact::StatusSent { .. })).count();
    assert_eq!((updates, sent), (2, 2), "{:?}", talk.operations);
}

#[test]
fn the_note_brings_back_since_when_and_the_mark() {
    let at: Timestamp = "2026-07-15T10:00:00Z".parse().unwrap();
    assert_eq!(unnote(&note(at, Some("4 2"))), (Some(at), Some("4 2".to_owned())));
    assert_eq!(unnote(&note(at, None)), (Some(at), None));
    assert_eq!(unnote("of another release"), (None, None));
    assert_eq!(unnote(""), (None, None));
}

/// A vendor that works on a request also after its connection has gone, and numbers that say when.
struct Unreliable {
    seed: u64,
    /// When an order is (or will be) booked, and its name.
    orders: Vec<(Timestamp, String)>,
}

impl Unreliable {
    fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % sides
    }

    fn answer(&mut self, now: Timestamp, asked: &Request, calm: bool) -> Option<Result<Answer, Failure>> {
        let body: Value = serde_json::from_slice(&asked.body.as_ref()?.1).ok()?;
        let status =
            |status, retry_after_s| Some(Ok(Answer { status, retry_after_s, date: None, body: Vec::new() }));
        match asked.operation {
            "orders/add" => {
                let name = body["Items"][0]["ExternalIdentifier"].as_str()?.to_owned();
                let trouble = if calm { 9 } else { self.roll(10) };
                // It is still at work on it for up to 100 s.
                let late = SignedDuration::from_secs(i64::try_from(self.roll(100)).ok()?);
                let done = if trouble < 3 { now.checked_add(late).ok()? } else { now };
                if matches!(trouble, 0..=4 | 8..) {
                    self.orders.push((done, name));
                }
                match trouble {
                    0 | 3 | 5 => Some(Err(Failure::Cut("cut".into()))),
                    1 | 4 | 6 => status(500, None),
                    2 => status(504, Some(1)),
                    7 => status(429, Some(3)),
                    _ => None,
                }
            }
            "orderItems/getAll" => {
                if !calm && self.roll(4) == 0 {
                    return Some(Err(Failure::Cut("cut".into())));
                }
                let there = self.orders.iter().filter(|(at, _)| *at <= now);
                let items: Vec<Value> = there
                    .map(|(_, name)| json!({ "ExternalIdentifier": name, "CanceledUtc": null }))
                    .collect();
                let body = json!({ "OrderItems": items }).to_string().into_bytes();
                Some(Ok(Answer { status: 200, retry_after_s: None, date: None, body }))
            }
            _ if !calm && self.roll(6) == 0 => Some(Err(Failure::Cut("cut".into()))),
            _ => None,
        }
    }
}

/// The house does as the model does: what was certainly not sent is sent again.
#[test]
fn whatever_breaks_each_charge_is_booked_exactly_once() {
    for seed in 1..=200_u64 {
        let mut talk = Talk::up("2026-07-15T10:00:00Z", pace("03:00", "Europe/Berlin"));
        let mut vendor = Unreliable { seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), orders: Vec::new() };
        let mut open: VecDeque<u32> = (1..=6).collect();
        let mut doubtful: Vec<u32> = Vec::new();
        let (mut flying, mut booked) = (None, 0);
        let start = talk.now;
        while booked < 6 {
            let calm = talk.now.duration_since(start) > SignedDuration::from_mins(30);
            assert!(
                talk.now.duration_since(start) < SignedDuration::from_hours(6),
                "seed {seed}: it never ends"
            );
            for fact in std::mem::take(&mut talk.facts) {
                match fact {
                    Fact::PostingAnswered { number, status, .. } => {
                        assert_eq!(status, "OK", "seed {seed}");
                        booked += 1;
                        doubtful.retain(|one| *one != number.0);
                        flying = flying.filter(|one| *one != number.0);
                    }
                    Fact::PostingUnanswered { number } => {
                        doubtful.push(number.0);
                        flying = None;
                    }
                    Fact::PostingNotSent { number } => {
                        doubtful.retain(|one| *one != number.0);
                        flying = flying.filter(|one| *one != number.0);
                        open.push_back(number.0);
                    }
                    _ => {}
                }
            }
            if let Some(request) = talk.request.clone() {
                match vendor.answer(talk.now, &request, calm) {
                    Some(answer) => talk.answer(answer),
                    None => talk.serve(),
                }
            } else if let (None, true, Some(number)) = (flying, talk.machine.up, open.front().copied()) {
                open.pop_front();
                flying = Some(number);
                talk.post(number);
            } else if let Some(wake) = talk.machine.wake_at() {
                talk.now = talk.now.max(wake);
                talk.machine.on_wake(talk.now);
                talk.drain();
            }
        }
        let mut names: Vec<&String> = vendor.orders.iter().map(|(_, name)| name).collect();
        names.sort();
        assert_eq!(names, ["h-1", "h-2", "h-3", "h-4", "h-5", "h-6"], "seed {seed}");
        assert!(doubtful.is_empty(), "seed {seed}");
    }
}

#[test]
fn changes_are_asked_for_by_the_systems_clock_since_the_last_question_began() {
    for skew_min in [-60, 45] {
        let skew = SignedDuration::from_mins(skew_min);
        let mut talk = Talk::new("2026-07-15T10:00:00Z", pace("03:00", "Europe/Berlin"));
        talk.skew = Some(skew);
        let mut began = None;
        // The first list takes twelve minutes, page by page.
        while !talk.machine.up {
            if talk.asked.as_deref() == Some("resources/getAll") {
                began = Some(talk.now);
            }
            talk.now = talk.now.checked_add(SignedDuration::from_mins(2)).unwrap();
            talk.serve();
        }
        // The next question is due already.
        let body: Value = serde_json::from_slice(&talk.request.clone().unwrap().body.unwrap().1).unwrap();
        let time = |name: &str| body["UpdatedUtc"][name].as_str().unwrap().parse::<Timestamp>().unwrap();
        let minutes = |at: Timestamp, of: Timestamp| at.duration_since(of).as_mins();
        let began = began.unwrap().checked_add(skew).unwrap();
        assert!((-3..=-2).contains(&minutes(time("StartUtc"), began)), "{body}");
        assert_eq!(minutes(time("EndUtc"), talk.now.checked_add(skew).unwrap()), 0, "{body}");
    }
}
