//! The front desk, as tables of what is said and asked, and what must follow.

use super::*;
use crate::property::tests::House;
use crate::{
    Article, Call, Command, CommandSource, Currency, Fact, FoundGuest, KeyKind, KeyRequest, PMS_LINK,
    PmsAmount, PostingDetail, PostingNumber, PostingState, RoomReport, Slip, VoiceMail,
};

fn eur(minor: i64) -> Money {
    Money { minor, currency: Currency::new("EUR").unwrap() }
}

fn message(id: &str, text: &str) -> Message {
    Message { id: id.into(), text: Personal::new(text.to_owned()), read: false }
}

impl House {
    fn asks(&mut self, key: &str, action: Action) -> &mut Self {
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        self.fact(Fact::Asked { command })
    }

    fn says(&mut self, said: PmsFact) -> &mut Self {
        self.fact(Fact::Pms { said })
    }

    fn end(&self, key: &str) -> Option<&CommandOutcome> {
        self.property.commands()[&CommandKey::from(key)].ended.as_ref().map(|(_, outcome)| outcome)
    }

    fn refused(&self, key: &str, with: &str) {
        match self.end(key) {
            Some(CommandOutcome::Refused { reason }) if reason.contains(with) => {}
            other => panic!("{key} ended with {other:?}, not refused with `{with}`"),
        }
    }

    fn requests(&mut self) -> Vec<PmsRequest> {
        let intents = std::mem::take(&mut self.intents);
        intents
            .into_iter()
            .filter_map(|intent| match intent {
                Intent::AskPms { request, .. } => Some(request),
                _ => None,
            })
            .collect()
    }

    fn key_answers(&mut self) -> Vec<(String, String)> {
        let intents = std::mem::take(&mut self.intents);
        intents
            .into_iter()
            .filter_map(|intent| match intent {
                Intent::AnswerKey { answer } => Some((answer.coder, answer.status)),
                _ => None,
            })
            .collect()
    }

    fn link(&mut self, up: bool) -> &mut Self {
        let detail = if up { "alive" } else { "gone" };
        self.fact(Fact::Link { link: PMS_LINK.into(), up, detail: detail.into() })
    }

    fn wait(&mut self, seconds: i64) -> &mut Self {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds - 1)).unwrap();
        self.fact(Fact::Tick)
    }
}

fn bill(stay: Option<&str>) -> Action {
    Action::AskBill { room: "101".into(), stay: stay.map(StayId::from) }
}

fn answered(key: &str, status: &str) -> PmsFact {
    PmsFact::Answered { key: key.into(), status: status.into(), text: None }
}

fn line(value: i64) -> PmsFact {
    let item = BillItem {
        folio: Some("1".into()),
        shown: true,
        department: None,
        text: Some(Personal::new("Bar".into())),
        amount: PmsAmount { value, digits: None },
        date: None,
    };
    PmsFact::BillLine { room: "101".into(), stay: Some("1".into()), item }
}

fn balance(value: i64) -> PmsFact {
    let balance = PmsAmount { value, digits: None };
    PmsFact::BillBalance { room: "101".into(), stay: Some("1".into()), balance }
}

#[test]
fn amounts_of_the_pms_in_the_currencys_digits() {
    for (value, digits, code, minor) in [
        (1050, None, "EUR", 1050),
        (1050, Some(0), "EUR", 105_000),
        (150_000, Some(2), "JPY", 1500),
        (150_050, Some(2), "JPY", 1501),
        (-150_050, Some(2), "JPY", -1501),
        (-150_049, Some(2), "JPY", -1500),
        (i64::MAX, Some(0), "EUR", i64::MAX),
        (i64::MIN, Some(2), "JPY", -92_233_720_368_547_758),
    ] {
        let currency = Currency::new(code).unwrap();
        assert_eq!(PmsAmount { value, digits }.money(currency).minor, minor, "{value} {digits:?} {code}");
    }
}

#[test]
fn messages_are_kept_for_the_stay_and_go_with_it() {
    let mut house = House::new();
    house.seen("1", "101");
    let left = |id: &str, text: &str| PmsFact::MessageLeft {
        room: "101".into(),
        stay: Some("1".into()),
        message: message(id, text),
    };
    house.says(left("7", "call home")).says(left("7", "call home")).says(left("8", "taxi at six"));
    assert_eq!(house.property.messages(&"1".into()).len(), 2);
    let told = house.changes.iter().filter(|change| matches!(change, Change::Desk { .. })).count();
    assert_eq!(told, 2, "the same message twice is told once");
    assert!(!serde_json::to_string(&house.changes).unwrap().contains("taxi"), "texts stay on the box");

    house.says(PmsFact::MessageGone { room: "101".into(), stay: None, message: "7".into() });
    assert_eq!(house.property.messages(&"1".into()), [message("8", "taxi at six")]);

    // A stay that is not in that room is somebody else's.
    house.says(PmsFact::MessageLeft {
        room: "102".into(),
        stay: Some("1".into()),
        message: message("9", "x"),
    });
    assert_eq!(house.property.counters()["message-without-stay"], 1);

    let restored = house.restored();
    assert_eq!(restored.messages(&"1".into()), [message("8", "taxi at six")]);

    house.gone(Some("1"), "101");
    assert!(house.property.messages(&"1".into()).is_empty());
    assert!(house.restored().messages(&"1".into()).is_empty(), "nor in the store");
}

#[test]
fn messages_of_a_stay_are_bounded() {
    let mut house = House::new();
    house.seen("1", "101");
    for n in 0..=MOST_MESSAGES {
        let message = message(&n.to_string(), "x");
        house.says(PmsFact::MessageLeft { room: "101".into(), stay: None, message });
    }
    let kept = house.property.messages(&"1".into());
    assert_eq!((kept.len(), &*kept[0].id), (MOST_MESSAGES, "1"));
}

#[test]
fn all_messages_are_fetched_one_by_one() {
    let mut house = House::new();
    house.seen("1", "101").requests();
    let read = Action::ReadMessages { room: "101".into(), stay: None, message: None, keep_unread: false };
    house.asks("m", read);
    let ask =
        PmsRequest::ReadMessage { room: "101".into(), stay: "1".into(), message: None, keep_unread: false };
    assert_eq!(house.requests(), std::slice::from_ref(&ask));
    house.says(PmsFact::MessageLeft { room: "101".into(), stay: None, message: message("7", "x") });
    house.says(answered("m", "OK"));
    assert_eq!((house.requests(), house.end("m")), (vec![ask], None));
    house.says(answered("m", "NM"));
    assert_eq!((house.requests(), house.end("m")), (vec![], Some(&CommandOutcome::Done)));

    // One by its number, and one that stays unread, is one question.
    for (key, message, keep_unread) in [("one", Some("7".to_owned()), false), ("kept", None, true)] {
        house.asks(key, Action::ReadMessages { room: "101".into(), stay: None, message, keep_unread });
        house.requests();
        house.says(answered(key, "OK"));
        assert_eq!((house.requests(), house.end(key)), (vec![], Some(&CommandOutcome::Done)), "{key}");
    }
}

#[test]
fn a_question_is_asked_now_or_not_at_all() {
    let mut house = House::new();
    house.seen("1", "101").seen("2", "102").seen("3", "102").requests();
    house.asks("nobody", Action::AskBill { room: "103".into(), stay: None });
    house.refused("nobody", "nobody is in room 103");
    house.asks("which", Action::AskBill { room: "102".into(), stay: None });
    house.refused("which", "name the stay");
    house.asks("elsewhere", bill(Some("2")));
    house.refused("elsewhere", "stay 2 is not in room 101");
    assert_eq!(house.requests(), []);

    house.fact(Fact::ResyncBegun).asks("listing", bill(None));
    house.refused("listing", "the list of the house");
    house.link(false).asks("down", bill(None));
    house.refused("down", "link is down");
    house.link(true);
    assert_eq!(house.requests(), [], "what was refused is not asked later");
}

#[test]
fn a_bill_is_shown_for_a_while_and_checks_the_guest_out() {
    let mut house = House::new();
    house.seen("1", "101");
    let leave = |minor| Action::RemoteCheckOut { room: "101".into(), stay: None, balance: eur(minor) };
    house.asks("early", leave(350)).refused("early", "ask for it first");
    house.says(line(1)).says(balance(1));
    assert_eq!(house.property.counters()["bill-not-asked"], 2);

    house.asks("b", bill(None)).says(line(100)).says(line(250));
    assert_eq!(house.property.bill(&"1".into()).unwrap().balance, None);
    house.asks("again", bill(None)).refused("again", "already");
    house.says(balance(350)).says(answered("b", "OK"));
    let shown = house.property.bill(&"1".into()).unwrap();
    assert_eq!((shown.lines.len(), shown.balance), (2, Some(eur(350))));
    assert!(!serde_json::to_string(&house.changes).unwrap().contains("Bar"), "lines stay on the box");

    house.asks("wrong", leave(351)).refused("wrong", "not the bill's balance");
    house.requests();
    house.asks("go", leave(350));
    let wanted = PmsRequest::CheckOut { room: "101".into(), stay: "1".into(), balance: eur(350) };
    assert_eq!(house.requests(), [wanted]);
    house.says(answered("go", "OK"));
    assert_eq!(house.end("go"), None, "begun is not done");
    house.asks("twice", leave(350)).refused("twice", "already");
    house.gone(Some("1"), "101");
    assert_eq!(house.end("go"), Some(&CommandOutcome::Done));
    assert_eq!(house.property.bill(&"1".into()), None);
}

#[test]
fn a_check_out_that_is_not_finished_is_for_people() {
    for how in ["late", "link", "refused", "unanswered"] {
        let mut house = House::new();
        house.seen("1", "101").asks("b", bill(None)).says(balance(0)).says(answered("b", "OK"));
        house.asks("go", Action::RemoteCheckOut { room: "101".into(), stay: None, balance: eur(0) });
        match how {
            "late" => house.says(answered("go", "OK")).wait(119),
            "link" => house.link(false),
            "refused" => house.says(answered("go", "CD")),
            _ => house.says(PmsFact::Unanswered { key: "go".into() }),
        };
        match how {
            "late" => {
                assert_eq!(house.end("go"), None);
                assert!(house.property.next_wake().is_some());
                house.wait(1);
                assert!(matches!(house.end("go"), Some(CommandOutcome::Doubtful { .. })));
            }
            "refused" => house.refused("go", "the departure is not today (CD)"),
            _ => assert!(matches!(house.end("go"), Some(CommandOutcome::Doubtful { .. })), "{how}"),
        }
    }
}

#[test]
fn bills_and_found_guests_are_forgotten() {
    let mut house = House::new();
    house.seen("1", "101").asks("b", bill(None)).says(balance(0)).says(answered("b", "OK"));
    house.asks("f", Action::FindGuests { query: Personal::new("101".into()), outlet: None, most: Some(3) });
    let guest = FoundGuest {
        room: "101".into(),
        stay: "1".into(),
        name: Some(Personal::new("Example".into())),
        first_name: None,
        title: None,
        vip: None,
        arrival: None,
        departure: None,
        no_post: Some(true),
        credit_limit: None,
    };
    house
        .says(PmsFact::GuestsFound { key: "f".into(), guests: vec![guest.clone()] })
        .says(answered("f", "OK"));
    assert_eq!(house.property.guests_found(&"f".into()), [guest]);
    assert_eq!(house.end("f"), Some(&CommandOutcome::Done));
    house.says(PmsFact::GuestsFound { key: "f".into(), guests: vec![] });
    assert_eq!(house.property.counters()["answer-not-asked"], 1, "a second answer is nobody's");

    house.asks("l", Action::Locate { room: "101".into(), stay: None });
    house.says(PmsFact::Located {
        key: "l".into(),
        place: Personal::new("pool".into()),
        until: Some("1400".into()),
    });
    house.says(answered("l", "OK"));
    assert_eq!(house.property.place_found(&"l".into()).unwrap().1, Some("1400"));

    house.wait(601);
    assert_eq!(house.property.bill(&"1".into()), None);
    assert_eq!(house.property.guests_found(&"f".into()), []);
    assert_eq!(house.property.place_found(&"l".into()), None);
}

#[test]
fn what_is_personal_in_a_command_is_not_journalled() {
    let mut house = House::new();
    house.seen("1", "101").changes.clear();
    let secret = || Personal::new("5551234".to_owned());
    house.asks("a", Action::LeaveMessage { room: "101".into(), stay: None, text: secret() });
    house.asks("b", Action::FindGuests { query: secret(), outlet: None, most: None });
    let call = Call { dialled: Some(secret()), seconds: Some(61), pulses: None };
    house.asks("c", Action::PostCall { room: "101".into(), amount: Some(eur(120)), call });
    let report = RoomReport { note: Some(secret()), ..RoomReport::default() };
    house.asks("d", Action::RoomReport { room: "101".into(), report });
    let text = serde_json::to_string(&house.changes).unwrap();
    assert!(!text.contains("5551234") && text.contains("[personal]"), "{text}");
    assert!(house.intents.len() >= 4, "it was done nevertheless");
}

#[test]
fn what_is_only_told_waits_for_the_link() {
    let mut house = House::new();
    house.seen("1", "101").link(false);
    house.says(PmsFact::MessageLeft { room: "101".into(), stay: None, message: message("7", "x") });
    house.asks("r", Action::MessageRead { room: "101".into(), stay: None, message: "7".into() });
    let report = RoomReport {
        status: Some("clean-vacant".into()),
        user: Some("5".into()),
        voice_mail: Some(VoiceMail { unheard: 1, heard: 3 }),
        ..RoomReport::default()
    };
    house.asks("s", Action::RoomReport { room: "102".into(), report: report.clone() });
    let text = Personal::new("your glasses are here".to_owned());
    house.asks("l", Action::LeaveMessage { room: "101".into(), stay: None, text });
    assert_eq!((house.requests(), house.end("r"), house.end("s")), (vec![], None, None));

    house.link(true);
    let sent = house.requests();
    assert_eq!(sent.len(), 3);
    assert!(sent.contains(&PmsRequest::RoomReport { room: "102".into(), report }));
    for key in ["r", "s", "l"] {
        house.says(PmsFact::Sent { key: key.into() });
        assert_eq!(house.end(key), Some(&CommandOutcome::Done), "{key}");
    }
    assert!(house.property.messages(&"1".into()).is_empty(), "a message that was read is not kept");
    assert_eq!(house.property.rooms()[&"102".into()].status.as_deref(), Some("clean-vacant"));
    house.link(false).link(true);
    assert_eq!(house.requests(), [], "told once");
}

#[test]
fn news_of_a_guest_who_has_left_waits_no_longer() {
    let mut house = House::new();
    house.seen("1", "101").seen("2", "102").link(false);
    let read = |stay: Option<&str>| Action::MessageRead {
        room: "101".into(),
        stay: stay.map(StayId::from),
        message: "7".into(),
    };
    house.asks("named", read(Some("1"))).asks("only", read(None));
    house.gone(Some("2"), "102");
    assert_eq!((house.end("named"), house.end("only")), (None, None), "somebody else has left");
    house.gone(Some("1"), "101");
    for key in ["named", "only"] {
        house.refused(key, "has left");
    }
}

#[test]
fn odd_commands_are_refused_in_words() {
    let mut house = House::new();
    house.seen("1", "101");
    let report = |report| Action::RoomReport { room: "101".into(), report };
    let text = |text: &str| Some(Personal::new(text.to_owned()));
    let call = |dialled: Option<&str>, seconds| Action::PostCall {
        room: "101".into(),
        amount: None,
        call: Call { dialled: dialled.and_then(text), seconds, pulses: None },
    };
    let bar = |items: Vec<Article>| Action::PostMinibar { room: "101".into(), items };
    let slip = Slip { subtotals: vec![900], tip: Some(50), ..Slip::default() };
    for (n, (action, with)) in [
        (report(RoomReport::default()), "nothing is reported"),
        (report(RoomReport { status: Some("lovely".into()), ..RoomReport::default() }), "not one of"),
        (report(RoomReport { units: Some(3), ..RoomReport::default() }), "with a status only"),
        (report(RoomReport { note: text("a|b"), ..RoomReport::default() }), "can't be told"),
        (report(RoomReport { note: text(&"x".repeat(41)), ..RoomReport::default() }), "at most 40"),
        (call(None, None), "say what was dialled"),
        (call(Some("five"), None), "1 to 20 digits"),
        (call(None, Some(360_000)), "more than the PMS"),
        (bar(vec![]), "expected 1 to 50"),
        (bar(vec![Article { article: 10_000, count: 1 }]), "four digits"),
        (bar(vec![Article { article: 1, count: 0 }]), "1 to 99"),
        (
            Action::PostSlip {
                room: "101".into(),
                stay: None,
                amount: eur(1000),
                text: "Bar".into(),
                outlet: None,
                slip,
            },
            "add up to 950, not to the amount 1000",
        ),
        (
            Action::PostToGuest {
                room: "101".into(),
                stay: "1".into(),
                amount: eur(1),
                text: "Bar".into(),
                outlet: None,
            },
            "no name",
        ),
        (Action::FindGuests { query: Personal::new("x".repeat(11)), outlet: None, most: None }, "at most 10"),
        (
            Action::LeaveMessage { room: "101".into(), stay: None, text: Personal::new(String::new()) },
            "is empty",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("odd-{n}");
        house.asks(&key, action).refused(&key, with);
    }
    assert!(house.property.postings().is_empty());
}

#[test]
fn charges_of_every_kind_have_a_number_and_one_end() {
    let mut house = House::new();
    house.seen("1", "101");
    let items = vec![Article { article: 4000, count: 1 }, Article { article: 4011, count: 2 }];
    house.asks("bar", Action::PostMinibar { room: "101".into(), items: items.clone() });
    let number = PostingNumber(1);
    assert_eq!(house.property.postings()[&number].detail, PostingDetail::Minibar(items));
    house.fact(Fact::PostingAnswered { number, status: "OK".into(), text: None });
    assert_eq!(house.property.postings()[&number].state, PostingState::Posted);
    assert_eq!(house.end("bar"), Some(&CommandOutcome::Done));
    let stored = house.restored();
    assert_eq!(stored.postings()[&number], house.property.postings()[&number]);
}

#[test]
fn a_charge_that_waits_for_another_wakes_nobody() {
    let mut house = House::new();
    house.seen("1", "101");
    let items = vec![Article { article: 1, count: 1 }];
    house.asks("a", Action::PostMinibar { room: "101".into(), items: items.clone() });
    house.asks("b", Action::PostMinibar { room: "101".into(), items });
    let states: Vec<_> = house.property.postings().values().map(|posting| posting.state).collect();
    assert_eq!(states, [PostingState::InFlight, PostingState::Pending]);
    assert!(house.property.next_wake().is_none_or(|wake| wake > house.now), "it would be woken without end");
}

fn wanted(coder: &str, room: &str) -> KeyRequest {
    KeyRequest {
        kind: KeyKind::New,
        coder: coder.into(),
        workstation: Some("FO1".into()),
        room: Some(room.into()),
        stay: Some("1".into()),
        from: None,
        arrival: None,
        departure: None,
        until: None,
        areas: None,
        suite: vec![],
    }
}

fn answer(coder: &str, status: &str) -> Action {
    Action::AnswerKey {
        coder: coder.into(),
        workstation: Some("FO1".into()),
        status: status.into(),
        text: None,
        card: None,
        room: None,
    }
}

#[test]
fn every_key_request_is_answered() {
    let mut house = House::new();
    let asked = |coder: &str, room: &str, served| PmsFact::KeyAsked { request: wanted(coder, room), served };
    let one = |coder: &str, status: &str| vec![(coder.to_owned(), status.to_owned())];
    assert_eq!(house.says(asked("9", "101", false)).key_answers(), one("9", "UR"), "no such encoder");
    assert_eq!(house.says(asked("1", "999", true)).key_answers(), one("1", "NG"), "no such room");
    assert_eq!(house.says(asked("1", "101", true)).key_answers(), [], "the encoder works");
    assert_eq!(house.says(asked("1", "102", true)).key_answers(), one("1", "BY"), "one at a time");
    assert_eq!(house.property.keys_wanted().count(), 1);
    house.asks("bad", answer("1", "PERHAPS")).refused("bad", "not one of");
    assert_eq!(house.asks("ok", answer("1", "OK")).key_answers(), one("1", "OK"));
    assert_eq!(house.end("ok"), Some(&CommandOutcome::Done));
    house.asks("late", answer("1", "OK")).refused("late", "no key is wanted");

    // An encoder that is silent.
    house.says(asked("1", "101", true)).wait(24);
    assert_eq!(house.key_answers(), []);
    assert!(house.property.next_wake().is_some());
    assert_eq!(house.wait(1).key_answers(), one("1", "BY"));

    // The link ends: the PMS waits no longer.
    house.says(asked("1", "101", true)).link(false);
    assert_eq!((house.key_answers(), house.property.keys_wanted().count()), (vec![], 0));
}

#[test]
fn a_status_of_the_pms_is_shown() {
    let mut house = House::new();
    let told = |status: &str| PmsFact::RoomStatus { room: "101".into(), status: status.into() };
    house.says(told("clean-vacant")).says(told("clean-vacant")).says(told("make-up"));
    let room = &house.property.rooms()[&"101".into()];
    assert_eq!((room.status.as_deref(), room.sign.as_deref()), (Some("clean-vacant"), Some("make-up")));
    let changes = house.changes.iter().filter(|change| matches!(change, Change::RoomStatus { .. })).count();
    assert_eq!(changes, 2);
}

#[test]
fn a_restart_ends_questions_and_keeps_news() {
    let mut house = House::new();
    house.seen("1", "101").asks("b", bill(None));
    house.link(false).asks("n", Action::MessageRead { room: "101".into(), stay: None, message: "7".into() });
    house.property = house.restored();
    house.fact(Fact::Started { clean: false });
    house.refused("b", "ask again");
    house.requests();
    house.link(true);
    assert_eq!(house.requests().len(), 1, "the news goes out after the restart");
}

#[test]
fn a_message_without_a_stay_is_for_whoever_was_there() {
    let leave = || Action::LeaveMessage {
        room: "101".into(),
        stay: None,
        text: Personal::new("Your parcel is here".into()),
    };
    let told = |house: &mut House| -> Vec<(String, String)> {
        let requests = house.requests().into_iter();
        let told = requests.filter_map(|request| match request {
            PmsRequest::LeaveMessage { room, stay, .. } => Some((room.to_string(), stay.to_string())),
            _ => None,
        });
        told.collect()
    };
    // The guest moves, and somebody else gets the room: the message goes along.
    let mut house = House::new();
    house.seen("1", "101").link(false).asks("m", leave());
    house.seen("1", "102").seen("2", "101");
    house.property = house.restored();
    house.fact(Fact::Started { clean: true }).link(true);
    assert_eq!(told(&mut house), [("102".to_owned(), "1".to_owned())]);

    // The guest leaves after a move, while the next one of the old room stays: it is told to nobody, with the reason.
    let mut house = House::new();
    house.seen("1", "101").link(false).asks("m", leave());
    house.seen("1", "102").seen("2", "101").gone(Some("1"), "102");
    house.refused("m", "stay 1 has left");
    house.link(true);
    assert_eq!(told(&mut house), []);
}

#[test]
fn a_message_that_was_read_goes_with_the_guest_who_has_moved() {
    let mut house = House::new();
    house.seen("1", "101");
    let left =
        PmsFact::MessageLeft { room: "101".into(), stay: Some("1".into()), message: message("7", "taxi") };
    house.says(left).link(false);
    house.asks("r", Action::MessageRead { room: "101".into(), stay: None, message: "7".into() });
    house.seen("1", "102").link(true).says(PmsFact::Sent { key: "r".into() });
    assert!(house.property.messages(&"1".into()).is_empty());
}
