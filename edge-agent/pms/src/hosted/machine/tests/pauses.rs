//! Boundaries in time and number: the second a day ends, the try after which a system is away, what may wait.

use super::super::super::drive::house;
use super::super::super::ohip::Ohip;
use super::*;
use engawa_model::{PmsRequest, WakeId, WakeWord};

const NOON: &str = "2026-07-15T10:00:00Z";

/// Nothing is asked by itself for a week.
fn idle() -> Pace {
    Pace { poll_s: 600_000, list_s: 600_000, ..pace("03:00", "Europe/Berlin") }
}

fn ending(day_ends: &str) -> Pace {
    Pace { poll_s: 600_000, list_s: 600_000, ..pace(day_ends, "Europe/Berlin") }
}

fn status(key: &str) -> Intent {
    Intent::SendRoomStatus { key: key.into(), room: "101".into(), status: "clean-vacant".to_owned() }
}

impl Talk {
    fn tell(&mut self, intent: &Intent) {
        self.machine.on_intent(self.now, intent);
        self.drain();
    }

    fn pass(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    fn wake(&mut self) {
        self.machine.on_wake(self.now);
        self.drain();
    }

    /// On to the next moment that is asked for.
    fn next(&mut self) {
        self.now = self.machine.wake_at().unwrap();
        self.wake();
    }

    fn wakes_in(&self) -> Option<i64> {
        self.machine.wake_at().map(|at| at.duration_since(self.now).as_secs())
    }

    fn taken(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    fn days(&mut self) -> Vec<String> {
        let day = |fact| match fact {
            Fact::NightAuditDone { date: Some(date), hour: Some(0) } => Some(date.to_string()),
            _ => None,
        };
        self.taken().into_iter().filter_map(day).collect()
    }

    fn downs(&mut self) -> Vec<String> {
        let why = |fact| match fact {
            Fact::Link { up: false, detail, .. } => Some(detail),
            _ => None,
        };
        self.taken().into_iter().filter_map(why).collect()
    }

    fn notes(&mut self) -> usize {
        self.taken().iter().filter(|fact| matches!(fact, Fact::LinkNoted { .. })).count()
    }
}

#[test]
fn the_business_day_ends_on_its_second() {
    for (now, ends, day, next) in [
        ("2026-07-15T00:59:59Z", "03:00", "2026-07-14", "2026-07-15T01:00:00Z"),
        ("2026-07-15T01:00:00Z", "03:00", "2026-07-15", "2026-07-16T01:00:00Z"),
        ("2026-07-15T09:58:59Z", "11:59", "2026-07-14", "2026-07-15T09:59:00Z"),
        ("2026-07-15T09:59:00Z", "11:59", "2026-07-15", "2026-07-16T09:59:00Z"),
        // From noon on it is the evening that ends the day.
        ("2026-07-15T09:59:59Z", "12:00", "2026-07-15", "2026-07-15T10:00:00Z"),
        ("2026-07-15T10:00:00Z", "12:00", "2026-07-16", "2026-07-16T10:00:00Z"),
        ("2026-07-15T20:59:59Z", "23:00", "2026-07-15", "2026-07-15T21:00:00Z"),
        ("2026-07-15T21:00:00Z", "23:00", "2026-07-16", "2026-07-16T21:00:00Z"),
    ] {
        let mut talk = Talk::new(now, ending(ends));
        talk.wake();
        assert_eq!(talk.days(), [] as [&str; 0], "no day is told before the system is there");
        talk.serve_all();
        assert_eq!(talk.days(), [day], "{now} {ends}");
        assert_eq!(talk.machine.wake_at(), Some(next.parse().unwrap()), "{now} {ends}");
        talk.next();
        assert_eq!(talk.days().len(), 1, "{now} {ends}");
        talk.wake();
        talk.pass(-2);
        talk.wake();
        assert_eq!(talk.days(), [] as [&str; 0], "once, and never back");
    }
}

#[test]
fn an_hour_that_comes_twice_ends_one_day() {
    // At 01:00 UTC three o'clock becomes two o'clock.
    let mut talk = Talk::new("2026-10-25T00:29:59Z", ending("02:30"));
    talk.serve_all();
    assert_eq!(talk.days(), ["2026-10-24"]);
    for (seconds, days) in [(1, vec!["2026-10-25"]), (1800, vec![]), (1800, vec![]), (3600, vec![])] {
        talk.pass(seconds);
        talk.wake();
        assert_eq!(talk.days(), days, "{}", talk.now);
    }
}

#[test]
fn a_system_may_say_so_often_that_it_is_asked_too_often() {
    for (waits, down) in [(20, false), (21, true)] {
        let mut talk = Talk::new(NOON, idle());
        talk.serve();
        for _ in 0..waits {
            talk.status(429, None);
            if talk.machine.wake_at().is_some_and(|at| at > talk.now) && !down {
                assert_eq!(talk.wakes_in(), Some(5));
            }
            if talk.facts.is_empty() {
                talk.next();
            }
        }
        let downs = talk.downs();
        assert_eq!(!downs.is_empty(), down, "{downs:?}");
        assert!(downs.iter().all(|why| why == "Mews is asked too often for it"), "{downs:?}");
        talk.serve_all();
        assert_eq!(talk.machine.up, !down);
    }
    // As long as it says, within bounds.
    for (named, pause) in [(0, 1), (17, 17), (300, 300), (301, 300)] {
        for status in [429, 503, 408, 500] {
            let mut talk = Talk::new(NOON, idle());
            talk.status(status, Some(named));
            assert_eq!(talk.wakes_in(), Some(pause), "{status} {named}");
        }
    }
}

#[test]
fn a_question_is_tried_four_times() {
    type Row = (&'static str, fn() -> Result<Answer, Failure>);
    let failures: [Row; 5] = [
        ("Mews: cut", || Err(Failure::Cut("cut".into()))),
        ("Mews: away", || Err(Failure::NotSent("away".into()))),
        ("Mews answered 408 to configuration/get", || status_of(408, None)),
        ("Mews answered 500 to configuration/get", || status_of(500, None)),
        ("Mews answered 503 to configuration/get", || status_of(503, Some(7))),
    ];
    for (why, failure) in failures {
        for (times, down) in [(3, false), (4, true)] {
            let mut talk = Talk::new(NOON, idle());
            for n in 0..times {
                if n > 0 {
                    talk.next();
                }
                talk.answer(failure());
            }
            assert_eq!(talk.downs(), if down { vec![why] } else { vec![] }, "{times}");
            talk.next();
            talk.serve_all();
            assert!(talk.machine.up, "it is well again");
        }
    }
    // 499 is a refusal, and no second try.
    let mut talk = Talk::new(NOON, idle());
    talk.status(499, Some(7));
    assert_eq!(talk.downs(), ["Mews: configuration/get was refused with status 499"]);
}

fn status_of(status: u16, retry_after_s: Option<u32>) -> Result<Answer, Failure> {
    Ok(Answer { status, retry_after_s, date: None, body: Vec::new() })
}

#[test]
fn nothing_is_asked_twice_and_nothing_before_its_time() {
    let mut talk = Talk::up(NOON, idle());
    talk.post(1);
    assert!(talk.machine.is_charging());
    talk.wake();
    assert_eq!(talk.operations, ["orders/add"], "its answer is waited for");
    talk.status(429, Some(17));
    assert!(!talk.machine.is_charging(), "it was not done");
    talk.pass(16);
    talk.wake();
    assert_eq!(talk.operations, ["orders/add"]);
    talk.pass(1);
    talk.wake();
    assert_eq!(talk.operations, ["orders/add", "orders/add"]);
    assert!(talk.machine.is_charging());
    talk.serve_all();
    assert_eq!(talk.outcome(), ["answered OK"]);
    assert!(!talk.machine.is_charging());
}

#[test]
fn a_charge_that_is_out_when_the_gateway_stops_is_in_doubt_and_no_other() {
    // Out; refused for a while; not begun; a list instead.
    let mut talk = Talk::up(NOON, idle());
    talk.post(1);
    talk.machine.end(talk.now);
    talk.drain();
    assert_eq!(
        (talk.outcome(), talk.downs()),
        (vec!["unanswered".to_owned()], vec!["the gateway stops".to_owned()])
    );
    let mut talk = Talk::up(NOON, idle());
    talk.post(1);
    talk.status(429, Some(17));
    talk.machine.end(talk.now);
    talk.drain();
    assert_eq!(talk.outcome(), ["not sent"]);
    let mut talk = Talk::up(NOON, idle());
    talk.tell(&Intent::RequestResync);
    assert!(talk.asked.is_some() && !talk.machine.is_charging());
    talk.taken();
    talk.machine.end(talk.now);
    talk.drain();
    assert_eq!((talk.outcome(), talk.downs().len()), (vec![], 1));
}

#[test]
fn one_charge_at_a_time_and_none_while_the_system_is_away() {
    let mut talk = Talk::new(NOON, idle());
    talk.post(1);
    assert_eq!(talk.outcome(), ["not sent"]);
    talk.serve_all();
    talk.taken();
    talk.post(2);
    talk.post(3);
    assert_eq!(talk.outcome(), ["not sent"], "another is on its way");
    talk.serve_all();
    assert_eq!(talk.outcome(), ["not sent", "answered OK"]);
    talk.post(4);
    talk.serve_all();
    assert_eq!(talk.outcome().len(), 3);
}

#[test]
fn what_cannot_be_asked_is_answered_at_once() {
    let mut talk = Talk::up(NOON, idle());
    let articles = vec![engawa_model::Article { article: 1, count: 1 }];
    let call = engawa_model::Call { dialled: None, seconds: Some(60), pulses: None };
    for detail in [PostingDetail::Minibar(articles), PostingDetail::Call(call)] {
        let charge = Intent::SendPosting {
            number: PostingNumber(1),
            room: "101".into(),
            stay: Some(STAY.into()),
            amount: Money { minor: 0, currency: Currency::new("EUR").unwrap() },
            text: "x".into(),
            outlet: None,
            detail,
        };
        talk.tell(&charge);
        let text = Some("Mews takes charges with an amount only".to_owned());
        let (number, status) = (PostingNumber(1), "NF".to_owned());
        assert_eq!(talk.taken(), [Fact::PostingAnswered { number, status, text }]);
    }
    let key = || CommandKey::from("k");
    let request = PmsRequest::MessageRead { room: "101".into(), stay: STAY.into(), message: "1".into() };
    talk.tell(&Intent::AskPms { key: key(), request });
    let reason = "Mews is not asked for that".to_owned();
    assert_eq!(talk.taken(), [Fact::Pms { said: PmsFact::NotSent { key: key(), reason } }]);
    let (id, word, at) = (WakeId(3), WakeWord::Asked, "2026-07-16T07:00:00".parse().unwrap());
    talk.tell(&Intent::TellWakeUp { id, room: "101".into(), at, time: None, word });
    assert_eq!(talk.taken(), [Fact::WakeUpTold { id, word }]);
    assert_eq!(talk.operations, [] as [&str; 0]);
}

#[test]
fn what_is_wanted_while_the_system_is_away_is_not_kept() {
    let mut talk = Talk::new(NOON, idle());
    talk.tell(&status("a"));
    talk.tell(&Intent::RequestResync);
    assert_eq!(talk.taken(), []);
    talk.serve_all();
    let lists = talk.operations.iter().filter(|operation| *operation == "resources/getAll").count();
    assert_eq!(lists, 1);
    assert!(!talk.operations.contains(&"resources/update".to_owned()));
    talk.taken();
    talk.tell(&Intent::RequestResync);
    assert_eq!((talk.taken(), talk.asked.as_deref()), (vec![Fact::ResyncAsked], Some("resources/getAll")));
}

#[test]
fn so_many_statuses_wait_and_no_more() {
    let mut talk = Talk::up(NOON, idle());
    talk.post(1);
    for n in 0..MOST_STATUSES {
        talk.tell(&status(&n.to_string()));
    }
    assert_eq!(talk.taken(), []);
    talk.tell(&status("7"));
    assert_eq!(talk.taken(), [], "it waits already");
    talk.tell(&status("one more"));
    let reason = "too many statuses wait for the PMS".to_owned();
    assert_eq!(talk.taken(), [Fact::StatusRefused { key: "one more".into(), reason }]);
}

#[test]
fn a_status_that_is_refused_is_told_and_the_link_stays() {
    let mut talk = Talk::up(NOON, idle());
    talk.tell(&status("a"));
    talk.status(400, None);
    let reason = "Mews: resources/update was refused with status 400".to_owned();
    assert_eq!(talk.taken(), [Fact::StatusRefused { key: "a".into(), reason }]);
    talk.tell(&Intent::SendRoomStatus { key: "b".into(), room: "909".into(), status: "clean-vacant".into() });
    let reason = "Mews has no room 909".to_owned();
    assert_eq!(talk.taken(), [Fact::StatusRefused { key: "b".into(), reason }]);
    talk.tell(&status("c"));
    talk.serve_all();
    assert_eq!(talk.taken(), [Fact::StatusSent { key: "c".into() }]);
    assert!(talk.machine.up);
}

/// A charge in doubt, whose first look is asked for now.
fn looking() -> Talk {
    let mut talk = Talk::up(NOON, idle());
    talk.post(1);
    talk.answer(Err(Failure::Cut("cut".into())));
    assert_eq!((talk.outcome(), talk.wakes_in()), (vec!["unanswered".to_owned()], Some(5)));
    talk.taken();
    talk.next();
    assert_eq!(talk.asked.as_deref(), Some("orderItems/getAll"));
    talk
}

#[test]
fn a_look_that_is_refused_or_lost_is_repeated_later() {
    let mut talk = looking();
    talk.status(400, None);
    assert_eq!((talk.taken(), talk.machine.up), (vec![], true), "the link is well");
    assert_eq!(talk.wakes_in(), Some(30));
    talk.next();
    assert_eq!(talk.asked.as_deref(), Some("orderItems/getAll"));

    let mut talk = looking();
    for _ in 0..3 {
        talk.answer(Err(Failure::NotSent("away".into())));
        talk.next();
    }
    talk.answer(Err(Failure::NotSent("away".into())));
    assert_eq!(talk.downs(), ["Mews: away"]);
    let failed = talk.now;
    talk.operations.clear();
    talk.next();
    talk.serve_all();
    assert!(
        talk.machine.up && !talk.operations.contains(&"orderItems/getAll".to_owned()),
        "{:?}",
        talk.operations
    );
    let again = talk.machine.wake_at().unwrap().duration_since(failed);
    assert_eq!(again, SignedDuration::from_secs(30));
}

#[test]
fn changes_are_asked_for_first_where_the_note_is_of_the_last_day() {
    for (before, first) in [(86_399, "reservations/getAll/2023-06-06"), (86_400, "resources/getAll")] {
        let since =
            NOON.parse::<Timestamp>().unwrap().checked_sub(SignedDuration::from_secs(before)).unwrap();
        let resume = Resume { note: Some(note(since, None)), doubtful: Vec::new() };
        let mut talk = Talk::resuming(NOON, idle(), resume);
        talk.serve();
        assert_eq!(talk.asked.as_deref(), Some(first), "{before}");
        assert!(!talk.machine.up);
        talk.serve_all();
        assert!(talk.machine.up, "the list follows");
        assert_eq!(talk.facts.iter().filter(|fact| matches!(fact, Fact::ResyncBegun)).count(), 1);
    }
}

#[test]
fn a_list_that_is_due_goes_before_changes() {
    for (poll_s, list_s, first) in [
        (100, 100, "resources/getAll"),
        (100, 101, "reservations/getAll/2023-06-06"),
        (101, 100, "resources/getAll"),
    ] {
        let mut talk = Talk::up(NOON, Pace { poll_s, list_s, ..idle() });
        assert_eq!(talk.wakes_in(), Some(100));
        talk.pass(99);
        talk.wake();
        assert_eq!(talk.asked, None);
        talk.pass(1);
        talk.wake();
        assert_eq!(talk.asked.as_deref(), Some(first), "{poll_s} {list_s}");
    }
}

#[test]
fn a_note_is_kept_once_a_minute() {
    for (poll_s, notes) in [(59, 0), (60, 1), (61, 1)] {
        let mut talk = Talk::new(NOON, Pace { poll_s, ..idle() });
        talk.serve_all();
        assert_eq!(talk.notes(), 1, "of the list");
        talk.wait(i64::from(poll_s));
        assert_eq!(talk.notes(), notes, "{poll_s}");
    }
}

#[test]
fn changes_that_cannot_be_asked_for_are_not_asked_for_without_a_pause() {
    let mut talk = Talk::up(NOON, Pace { poll_s: 1_000, ..idle() });
    // The system's clock jumps a day ahead.
    talk.skew = Some(SignedDuration::from_hours(25));
    talk.tell(&status("a"));
    talk.serve();
    assert_eq!((talk.asked.as_deref(), talk.wakes_in()), (None, Some(1_000)));
    talk.machine.on_feed_open(talk.now);
    talk.drain();
    assert_eq!((talk.asked.as_deref(), talk.wakes_in()), (None, Some(1)));
    talk.next();
    assert_eq!((talk.asked.as_deref(), talk.wakes_in()), (None, Some(1)));
    // The list tells.
    talk.tell(&Intent::RequestResync);
    assert_eq!(talk.asked.as_deref(), Some("resources/getAll"));
    talk.serve_all();
    talk.next();
    assert_eq!(talk.asked.as_deref(), Some("reservations/getAll/2023-06-06"), "they can be asked for again");
}

#[test]
fn a_hint_asks_for_changes_at_once_and_only_where_the_system_is_there() {
    let hint = json!({ "Events": [{ "Type": "Reservation" }] }).to_string();
    let mut talk = Talk::new(NOON, idle());
    assert!(talk.machine.feed(talk.now).is_none(), "not before it was spoken to");
    talk.serve();
    assert!(talk.machine.feed(talk.now).is_some());
    talk.serve_all();
    for (text, asks, refused) in [
        (hint.as_str(), true, false),
        (r#"{"Events":[]}"#, false, false),
        (r#"{"Events":[{"Type":"PriceUpdate"}]}"#, false, false),
        ("no JSON", true, true),
    ] {
        talk.taken();
        talk.machine.on_feed(talk.now, text);
        let mut outs = Vec::new();
        while let Some(out) = talk.machine.poll() {
            outs.push(out);
        }
        let operations = outs.iter().filter_map(|out| match out {
            Out::Ask(request) => Some(request.clone()),
            _ => None,
        });
        let asked: Vec<Request> = operations.collect();
        assert_eq!(asked.len(), usize::from(asks), "{text}");
        let malformed = outs.iter().any(|out| {
            matches!(out, Out::Observe(facts)
            if *facts == [Fact::PmsRefused { why: "feed-malformed".to_owned() }])
        });
        assert_eq!(malformed, refused, "{text}");
        if let Some(request) = asked.into_iter().next() {
            (talk.asked, talk.request) = (Some(request.operation.to_owned()), Some(request));
            talk.serve_all();
        }
    }
    talk.machine.on_feed_open(talk.now);
    let mut says = 0;
    while let Some(out) = talk.machine.poll() {
        says += usize::from(matches!(out, Out::Say(_) | Out::Reopen));
    }
    assert_eq!(says, 0, "Mews is told nothing on it");
}

fn opera() -> Box<Ohip> {
    let config = json!({ "url": "https://opera.example", "hotel": "HQ1", "client_id": "ohip", "app_key": "key-1",
        "chain": "CHAIN", "transaction_code": "1000" });
    Box::new(Ohip::new(serde_json::from_value(config).unwrap(), Secret::new("s"), house(&[])))
}

#[test]
fn a_charge_whose_token_is_not_given_was_not_sent() {
    type Row = (fn() -> Result<Answer, Failure>, &'static [&'static str], bool);
    let table: [Row; 6] = [
        (|| Err(Failure::Cut("cut".into())), &["not sent"], false),
        (|| Err(Failure::NotSent("away".into())), &["not sent"], false),
        (|| status_of(500, None), &["not sent"], false),
        (|| status_of(401, None), &["not sent"], false),
        (|| status_of(503, Some(7)), &["answered OK"], true),
        (|| status_of(429, Some(7)), &["answered OK"], true),
    ];
    for (answer, outcome, up) in table {
        let mut talk = Talk::with(NOON, opera(), idle(), Resume::default());
        assert_eq!(talk.asked.as_deref(), Some("oauth/tokens"));
        talk.serve_all();
        assert!(talk.machine.up);
        // The token has ended.
        talk.pass(3_600);
        talk.post(1);
        assert_eq!(talk.asked.as_deref(), Some("oauth/tokens"));
        assert!(!talk.machine.is_charging(), "the charge is not out yet");
        let told = format!("{:?}", answer());
        talk.answer(answer());
        if up {
            assert_eq!(talk.wakes_in(), Some(7), "{told}");
            talk.next();
            talk.serve();
            assert!(talk.machine.is_charging(), "{told}");
            talk.serve_all();
        }
        assert_eq!(
            (talk.outcome(), talk.machine.up),
            (outcome.iter().map(ToString::to_string).collect(), up),
            "{told}"
        );
    }
    // Stopped while the token is asked for: nothing is in doubt.
    let mut talk = Talk::with(NOON, opera(), idle(), Resume::default());
    talk.serve_all();
    talk.pass(3_600);
    talk.post(1);
    talk.machine.end(talk.now);
    talk.drain();
    assert_eq!(talk.outcome(), ["not sent"]);
}

#[test]
fn a_token_that_is_refused_is_renewed_once_for_each_question() {
    let mut talk = Talk::with(NOON, opera(), idle(), Resume::default());
    talk.serve_all();
    talk.operations.clear();
    talk.post(1);
    talk.status(401, None);
    assert_eq!(talk.asked.as_deref(), Some("oauth/tokens"));
    talk.serve();
    talk.serve();
    assert_eq!(talk.outcome(), ["answered OK"]);
    assert_eq!(talk.operations, ["charges", "oauth/tokens", "charges"]);
    talk.post(2);
    talk.status(401, None);
    talk.serve();
    talk.status(401, None);
    assert_eq!(talk.outcome(), ["answered OK", "not sent"]);
    let downs = talk.downs();
    assert!(downs[0].starts_with("OPERA Cloud refuses our credentials (401 to charges)"), "{downs:?}");
}

#[test]
fn a_mark_of_the_feed_is_kept_until_it_is_taken_back() {
    let mut talk = Talk::with(NOON, opera(), idle(), Resume::default());
    talk.serve_all();
    let opened = |talk: &mut Talk| {
        talk.machine.on_feed_open(talk.now);
        talk.machine.on_feed(talk.now, r#"{"type":"connection_ack"}"#);
        let mut said = Vec::new();
        while let Some(out) = talk.machine.poll() {
            match out {
                Out::Say(text) => said.push(serde_json::from_str::<Value>(&text).unwrap()),
                Out::Ask(request) => {
                    (talk.asked, talk.request) = (Some(request.operation.to_owned()), Some(request));
                }
                _ => {}
            }
        }
        talk.serve_all();
        said[1]["payload"]["variables"]["input"]["offset"].clone()
    };
    assert_eq!(opened(&mut talk), Value::Null);
    let event = json!({ "type": "next", "payload": { "data": { "newEvent": { "metadata": { "offset": "41" }, "moduleName": "RATES" } } } });
    talk.machine.on_feed(talk.now, &event.to_string());
    assert!(talk.machine.poll().is_none(), "rates are no matter of ours");
    assert_eq!(opened(&mut talk), json!("41"));
    talk.machine.on_feed(talk.now, r#"{"type":"complete"}"#);
    let mut reopens = 0;
    while let Some(out) = talk.machine.poll() {
        match out {
            Out::Reopen => reopens += 1,
            Out::Ask(request) => {
                (talk.asked, talk.request) = (Some(request.operation.to_owned()), Some(request));
            }
            _ => {}
        }
    }
    talk.serve_all();
    assert_eq!((reopens, opened(&mut talk)), (1, Value::Null));
}
