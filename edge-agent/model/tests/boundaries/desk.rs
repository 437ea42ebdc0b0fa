//! The PMS's front desk: how much is kept, for how long, and what is refused in words.

use crate::house::{House, eur, restored, text};
use engawa_model::*;
use serde_json::json;

fn bill() -> Action {
    Action::AskBill { room: "101".into(), stay: None }
}

fn balance(stay: &str, room: &str) -> PmsFact {
    let balance = PmsAmount { value: 0, digits: None };
    PmsFact::BillBalance { room: room.into(), stay: Some(stay.into()), balance }
}

fn answered(key: &str, status: &str) -> PmsFact {
    PmsFact::Answered { key: key.into(), status: status.into(), text: None }
}

fn find(query: &str) -> Action {
    Action::FindGuests { query: text(query), outlet: None, most: None }
}

#[test]
fn a_bill_has_a_thousand_lines() {
    let mut house = House::new();
    house.comes("1", "101").ask("b", bill());
    let item = BillItem {
        folio: None,
        shown: true,
        department: None,
        text: None,
        amount: PmsAmount { value: 1, digits: None },
        date: None,
    };
    for n in 0..1001 {
        let line = PmsFact::BillLine { room: "101".into(), stay: Some("1".into()), item: item.clone() };
        assert_eq!(house.counted("bill-too-long"), 0, "line {n}");
        house.says(line);
    }
    assert_eq!(house.property.bill(&"1".into()).unwrap().lines.len(), 1000);
    assert_eq!(house.counted("bill-too-long"), 1);
}

#[test]
fn fifty_bills_and_fifty_results_are_kept() {
    let mut house = House::new();
    for n in 0..51 {
        let stay = format!("s{n}");
        house.pass(1).comes(&stay, "101");
        let (room, of) = (RoomId::from("101"), Some(StayId::new(stay.as_str())));
        house.ask(&format!("b{n}"), Action::AskBill { room, stay: of }).says(balance(&stay, "101"));
        house.ask(&format!("f{n}"), find("101"));
        let (place, key) = (text("pool"), CommandKey::new(format!("f{n}")));
        house.says(PmsFact::Located { key, place, until: None });
        let there = |house: &House, n: u32| {
            (
                house.property.bill(&StayId::new(format!("s{n}"))).is_some(),
                house.property.place_found(&CommandKey::new(format!("f{n}"))).is_some(),
            )
        };
        assert_eq!((there(&house, 0), there(&house, n)), ((n < 50, n < 50), (true, true)), "{n}");
        assert!(n < 50 || there(&house, 1) == (true, true));
    }
}

#[test]
fn bills_and_results_are_kept_for_ten_minutes() {
    let mut house = House::new();
    house.comes("1", "101").obey();
    house.ask("b", bill()).says(balance("1", "101")).says(answered("b", "OK"));
    let wake = house.property.next_wake().unwrap();
    assert_eq!(wake.duration_since(house.now).as_millis(), 600_001);
    house.pass(600);
    assert!(house.property.bill(&"1".into()).is_some());
    house.pass_ms(1);
    assert!(house.property.bill(&"1".into()).is_none());
    house.ask("f", find("101")).says(PmsFact::Located { key: "f".into(), place: text("bar"), until: None });
    assert!(house.pass(600).property.place_found(&"f".into()).is_some());
    assert!(house.pass_ms(1).property.place_found(&"f".into()).is_none());
}

#[test]
fn a_bill_that_was_lost_can_be_asked_for_again() {
    for lost in ["unanswered", "not-sent", "refused", "link"] {
        let mut house = House::new();
        house.comes("1", "101").ask("b", bill());
        match lost {
            "unanswered" => house.says(PmsFact::Unanswered { key: "b".into() }),
            "not-sent" => house.says(PmsFact::NotSent { key: "b".into(), reason: "busy".into() }),
            "refused" => house.says(answered("b", "NG")),
            _ => house.link(PMS_LINK, false).link(PMS_LINK, true),
        };
        assert!(matches!(house.end("b"), Some(CommandOutcome::Refused { .. })), "{lost}");
        assert_eq!(house.property.bill(&"1".into()), None, "{lost}");
        house.requests();
        house.ask("again", bill());
        assert_eq!((house.end("again"), house.requests().len()), (None, 1), "{lost}");
    }
}

#[test]
fn a_message_that_is_told_again_with_other_words_is_another_one() {
    let mut house = House::new();
    house.comes("1", "101").clear();
    let left = |words: &str| PmsFact::MessageLeft {
        room: "101".into(),
        stay: None,
        message: Message { id: "7".into(), text: text(words), read: false },
    };
    house.says(left("at six")).says(left("at six")).says(left("at seven"));
    let messages = house.property.messages(&"1".into());
    assert_eq!((messages.len(), messages[0].text.reveal().as_str()), (1, "at seven"));
    assert_eq!(house.kinds(), ["desk", "desk"]);
    // What is not there can't be read.
    house.clear().says(PmsFact::MessageGone { room: "101".into(), stay: None, message: "8".into() });
    assert_eq!(house.kinds(), [""; 0]);
    house.says(PmsFact::MessageGone { room: "102".into(), stay: None, message: "8".into() });
    assert_eq!(house.counted("message-without-stay"), 1);
}

#[test]
fn a_status_that_nobody_knows_is_counted() {
    let mut house = House::new();
    let told = |room: &str, status: &str| PmsFact::RoomStatus { room: room.into(), status: status.into() };
    house.says(told("101", "lovely")).says(told("999", "clean-vacant"));
    assert_eq!((house.counted("unknown-status"), house.counted("unknown-room")), (1, 1));
    let room = &house.property.rooms()[&"101".into()];
    assert_eq!((room.status.as_deref(), room.sign.as_deref(), house.kinds()), (None, None, vec![]));
}

#[test]
fn fifty_messages_are_fetched_with_one_command() {
    let mut house = House::new();
    house.comes("1", "101");
    let read = Action::ReadMessages { room: "101".into(), stay: None, message: None, keep_unread: false };
    house.ask("m", read).requests();
    for n in 1..=50 {
        let message = Message { id: n.to_string(), text: text("x"), read: false };
        house
            .says(PmsFact::MessageLeft { room: "101".into(), stay: None, message })
            .says(answered("m", "OK"));
        let more = n < 50;
        assert_eq!((house.requests().len(), house.done("m")), (usize::from(more), !more), "{n}");
    }
}

#[test]
fn what_may_be_told_and_charged_up_to_its_last_step() {
    let report = |report: RoomReport| Action::RoomReport { room: "101".into(), report };
    let mail = |unheard, heard| {
        report(RoomReport { voice_mail: Some(VoiceMail { unheard, heard }), ..RoomReport::default() })
    };
    let note =
        |length: usize| report(RoomReport { note: Some(text(&"x".repeat(length))), ..RoomReport::default() });
    let user = |length: usize| report(RoomReport { user: Some("x".repeat(length)), ..RoomReport::default() });
    let call = |dialled: Option<String>, seconds| Action::PostCall {
        room: "101".into(),
        amount: None,
        call: Call { dialled: dialled.map(Personal::new), seconds, pulses: None },
    };
    let bar = |articles: usize, article, count| Action::PostMinibar {
        room: "101".into(),
        items: vec![Article { article, count }; articles],
    };
    let leave =
        |words: String| Action::LeaveMessage { room: "101".into(), stay: None, text: Personal::new(words) };
    let card = |number: &str, words: Option<&str>| Action::AnswerKey {
        coder: "1".into(),
        workstation: None,
        status: "OK".into(),
        text: words.map(str::to_owned),
        card: Some(text(number)),
        room: None,
    };
    // Answers to a key that nobody wants get as far as that.
    let wanted = Some("no key is wanted");
    for (n, (action, with)) in [
        (mail(99, 99), None),
        (mail(100, 0), Some("at most 99")),
        (mail(101, 0), Some("at most 99")),
        (mail(0, 100), Some("at most 99")),
        (mail(0, 101), Some("at most 99")),
        (note(40), None),
        (note(41), Some("at most 40")),
        (user(16), None),
        (user(17), Some("at most 16")),
        (
            report(RoomReport { note: Some(text("a\u{7}")), ..RoomReport::default() }),
            Some("control character"),
        ),
        (report(RoomReport { note: Some(text("a\nb")), ..RoomReport::default() }), None),
        (call(None, Some(99 * 3600 + 59 * 60 + 59)), None),
        (call(None, Some(99 * 3600 + 59 * 60 + 60)), Some("more than the PMS")),
        (call(Some("+*#0123456789".into()), Some(1)), None),
        (call(Some("1".repeat(20)), None), None),
        (call(Some("1".repeat(21)), None), Some("1 to 20 digits")),
        (call(Some(String::new()), None), Some("1 to 20 digits")),
        (bar(50, 9_999, 99), None),
        (bar(51, 1, 1), Some("expected 1 to 50 articles, not 51")),
        (bar(52, 1, 1), Some("expected 1 to 50 articles, not 52")),
        (bar(1, 10_000, 1), Some("four digits")),
        (bar(1, 1, 100), Some("1 to 99")),
        (leave("x".repeat(2000)), None),
        (leave("x".repeat(2001)), Some("at most 2000")),
        (leave("a|b".into()), Some("can't be told")),
        (find(&"x".repeat(10)), None),
        (find(&"x".repeat(11)), Some("at most 10")),
        (card("0123456789abcdefABC", None), wanted),
        (card("0123456789abcdefABC0", None), Some("1 to 19")),
        (card("", None), Some("1 to 19")),
        (card("0g", None), Some("1 to 19")),
        (card("0", Some("made")), wanted),
        (card("0", Some("a|b")), Some("can't be told")),
        (card("0", Some("a\u{7}")), Some("can't be told")),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut house, key) = (House::new(), n.to_string());
        house.comes("1", "101").clear().ask(&key, action);
        match with {
            Some(with) => house.refused(&key, with),
            None => assert_eq!((house.end(&key), house.intents.len()), (None, 1), "{n}"),
        }
    }
}

#[test]
fn answers_of_the_pms_in_words() {
    for (status, words) in [
        ("NA", "night audit is running (NA)"),
        ("RY", "asks to try again later (RY)"),
        ("BY", "busy (BY)"),
        ("BM", "balance is not the bill's (BM)"),
        ("NM", "no message or locator (NM)"),
        ("??", "refused by the PMS (??)"),
    ] {
        let mut house = House::new();
        house.comes("1", "101").ask("l", Action::Locate { room: "101".into(), stay: None });
        house.says(answered("l", status)).refused("l", words);
        let told = PmsFact::Answered { key: "l".into(), status: "OK".into(), text: None };
        house.says(told);
        assert_eq!(house.counted("answer-not-asked"), 1);
    }
}

#[test]
fn news_waits_while_fewer_than_five_thousand_commands_do() {
    let mut house = House::new();
    house.comes("1", "101").link(PMS_LINK, false);
    house.ask("sample", Action::RoomStatus { room: "101".into(), status: "dirty-vacant".into() });
    let sample = house.saved(&Entity::Command("sample".into()));
    let rows = (0..4_999).map(|n| ("command".to_owned(), format!("k{n}"), sample.clone()));
    let property = restored(&rows.collect::<Vec<_>>());
    let report = RoomReport { user: Some("5".into()), ..RoomReport::default() };
    let news = [
        Action::RoomReport { room: "101".into(), report },
        Action::MessageRead { room: "101".into(), stay: None, message: "7".into() },
        Action::LeaveMessage { room: "101".into(), stay: None, text: text("x") },
    ];
    for action in news {
        let mut house = House::of(property.clone());
        house.comes("1", "101").ask("last", action.clone());
        assert_eq!(house.end("last"), None);
        house.ask("more", action).refused("more", "5001 commands wait already");
    }
}

#[test]
fn a_message_has_the_same_reference_whenever_it_is_sent() {
    // FNV-1a of the command's key, below 100,000,000: what was sent by an older release is known by it.
    let reference = |key: &str| {
        let mut house = House::new();
        house.comes("1", "101").requests();
        house.ask(key, Action::LeaveMessage { room: "101".into(), stay: None, text: text("x") });
        match house.requests().as_slice() {
            [PmsRequest::LeaveMessage { reference, .. }] => *reference,
            other => panic!("{other:?}"),
        }
    };
    let fnv = |key: &str| {
        let mut hash: u128 = 14_695_981_039_346_656_037;
        for byte in key.bytes() {
            hash = ((hash ^ u128::from(byte)) * 1_099_511_628_211) % (1 << 64);
        }
        u32::try_from(hash % 99_999_999).unwrap() + 1
    };
    for key in ["k", "4711", "550e8400-e29b-41d4-a716-446655440000"] {
        assert_eq!(reference(key), fnv(key), "{key}");
    }
    assert_eq!(reference("a"), 37_515_266);
}

#[test]
fn a_check_out_that_was_begun_has_two_minutes() {
    let mut house = House::new();
    house.comes("1", "101").ask("b", bill()).says(balance("1", "101")).says(answered("b", "OK"));
    let go = |room: &str| Action::RemoteCheckOut { room: room.into(), stay: None, balance: eur(0) };
    house.ask("go", go("101")).says(answered("go", "OK"));
    house.pass_ms(119_999);
    assert_eq!(house.end("go"), None);
    house.pass_ms(1);
    assert!(matches!(house.end("go"), Some(CommandOutcome::Doubtful { .. })));
    // What the PMS has begun does not end with the link.
    let mut house = House::new();
    house.comes("1", "101").ask("b", bill()).says(balance("1", "101")).says(answered("b", "OK"));
    house.ask("go", go("101")).says(answered("go", "OK")).link(PMS_LINK, false);
    assert_eq!(house.end("go"), None);
    house.goes("1", "101");
    assert!(house.done("go"));
}

#[test]
fn sixty_four_keys_are_waited_for() {
    let mut house = House::new();
    let request = |n: usize| KeyRequest {
        kind: KeyKind::New,
        coder: n.to_string(),
        workstation: None,
        room: Some("101".into()),
        stay: None,
        from: None,
        arrival: None,
        departure: None,
        until: None,
        areas: None,
        suite: vec![],
    };
    for n in 0..64 {
        house.says(PmsFact::KeyAsked { request: request(n), served: true });
    }
    assert_eq!((house.property.keys_wanted().count(), house.intents.len()), (64, 0));
    house.says(PmsFact::KeyAsked { request: request(64), served: true });
    assert!(matches!(&house.intents[..], [Intent::AnswerKey { answer }] if answer.status == "BY"));
    let by = house.property.key_answer_by(&request(0)).unwrap();
    assert_eq!(by.duration_since(house.now).as_secs(), 25);
    house.clear().pass_ms(24_999);
    assert_eq!(house.intents, []);
    house.pass_ms(1);
    assert_eq!((house.intents.len(), house.property.keys_wanted().count()), (64, 0));
}

#[test]
fn a_report_is_sent_with_what_it_was_given() {
    let mut house = House::new();
    let report: RoomReport = serde_json::from_value(json!({ "status": "clean-vacant", "units": 3 })).unwrap();
    house.ask("r", Action::RoomReport { room: "102".into(), report: report.clone() });
    assert_eq!(house.requests(), [PmsRequest::RoomReport { room: "102".into(), report }]);
    assert_eq!(house.property.rooms()[&"102".into()].status, None, "not yet told");
    house.says(PmsFact::Sent { key: "r".into() });
    assert_eq!(house.property.rooms()[&"102".into()].status.as_deref(), Some("clean-vacant"));
    assert!(house.done("r"));
}

#[test]
fn two_workstations_share_an_encoder() {
    let request = |workstation: &str| KeyRequest {
        kind: KeyKind::New,
        coder: "1".into(),
        workstation: Some(workstation.into()),
        room: Some("101".into()),
        stay: None,
        from: None,
        arrival: None,
        departure: None,
        until: None,
        areas: None,
        suite: vec![],
    };
    let mut house = House::new();
    house.says(PmsFact::KeyAsked { request: request("A"), served: true }).pass(5);
    house.says(PmsFact::KeyAsked { request: request("B"), served: true });
    let by = |house: &House, workstation: &str| house.property.key_answer_by(&request(workstation));
    assert_eq!(by(&house, "B").unwrap().duration_since(house.now).as_secs(), 25);
    assert_eq!(by(&house, "A").unwrap().duration_since(house.now).as_secs(), 20);
    let answer = |workstation: &str| Action::AnswerKey {
        coder: "1".into(),
        workstation: Some(workstation.into()),
        status: "OK".into(),
        text: None,
        card: None,
        room: None,
    };
    house.ask("a", answer("A")).ask("c", answer("C")).refused("c", "no key is wanted");
    assert!(house.done("a") && by(&house, "A").is_none() && by(&house, "B").is_some());
}

#[test]
fn what_was_asked_when_the_process_ended_is_asked_again_by_whoever_waits() {
    let mut house = House::new();
    house.comes("1", "101").ask("l", Action::Locate { room: "101".into(), stay: None });
    let mut again = House::of(restored(&house.rows()));
    again.fact(Fact::Started { clean: true }).refused("l", "restarted before the answer");
}

#[test]
fn news_that_an_older_release_kept_without_a_stay_ends_with_its_room() {
    let mut house = House::new();
    house.comes("1", "101").comes("2", "102").link(PMS_LINK, false);
    for (key, room) in [("near", "101"), ("far", "102")] {
        house.ask(key, Action::LeaveMessage { room: room.into(), stay: None, text: text("x") });
    }
    let mut rows = house.rows();
    for (_, _, body) in rows.iter_mut().filter(|(kind, ..)| kind == "command") {
        *body = body.replace(r#""stay":"1""#, r#""stay":null"#).replace(r#""stay":"2""#, r#""stay":null"#);
    }
    let mut again = House::of(restored(&rows));
    again.goes("1", "101").refused("near", "has left");
    assert_eq!(again.end("far"), None);
}
