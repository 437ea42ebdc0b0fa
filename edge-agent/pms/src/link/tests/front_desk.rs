//! The front desk's records: which question an answer belongs to, and what each field means.

use super::*;
use engawa_model::{FoundGuest, KeyKind, KeyRequest, Personal, PmsAmount, RoomReport, VoiceMail};

fn desk() -> Talk {
    let mut talk = Talk::alive();
    talk.link.config.uses.extend([Use::Bill, Use::Messages, Use::Locator, Use::Inquiry, Use::Keys]);
    talk
}

fn ask(talk: &mut Talk, key: &str, request: PmsRequest) {
    talk.link.on_intent(talk.now, &Intent::AskPms { key: key.into(), request });
    talk.drain();
}

fn find(number: u32) -> PmsRequest {
    PmsRequest::FindGuests {
        number: PostingNumber(number),
        query: Personal::new("Sato".to_owned()),
        outlet: None,
        most: None,
    }
}

fn answered(key: &str, status: &str, text: Option<&str>) -> Fact {
    let text = text.map(str::to_owned);
    desk::fact(PmsFact::Answered { key: key.into(), status: status.into(), text })
}

fn refused(why: &str) -> Fact {
    Fact::PmsRefused { why: why.to_owned() }
}

#[test]
fn a_look_up_is_answered_by_its_number_alone() {
    let mut talk = desk();
    ask(&mut talk, "one", find(1));
    ask(&mut talk, "two", find(2));
    talk.pms("PL|P#2|RN101|G#4711|GNSato|");
    assert_eq!(talk.facts.last(), Some(&answered("two", "OK", None)));
    talk.facts.clear();
    talk.pms("PL|P#3|RN101|");
    assert_eq!(talk.facts, [refused("answer-not-asked")]);
    talk.facts.clear();
    talk.pms("PL|RN101|");
    assert_eq!(talk.facts, [refused("answer-not-asked")], "without a number it is nobody's");
    talk.facts.clear();
    // PA is the answer where nobody was found.
    talk.pms("PA|P#1|ASNG|CTnobody of that name|");
    assert_eq!(talk.facts, [answered("one", "NG", Some("nobody of that name"))]);
}

#[test]
fn what_is_known_of_each_guest_that_was_found() {
    let mut talk = desk();
    ask(&mut talk, "k", find(1));
    talk.pms("PL|P#1|GNbefore|RN101|G#4711|GNSato |GFHanako|GTMs|GV3|GA260714|GD260718|NPY|CL50000|RN102|NPN|GN|CLmuch|");
    let personal = |text: &str| Some(Personal::new(text.to_owned()));
    let first = FoundGuest {
        room: "101".into(),
        stay: "4711".into(),
        name: personal("Sato"),
        first_name: personal("Hanako"),
        title: personal("Ms"),
        vip: Some("3".into()),
        arrival: Some(engawa_model::Date::constant(2026, 7, 14)),
        departure: Some(engawa_model::Date::constant(2026, 7, 18)),
        no_post: Some(true),
        credit_limit: Some(PmsAmount { value: 50_000, digits: None }),
    };
    let second = FoundGuest {
        room: "102".into(),
        stay: "room:102".into(),
        name: None,
        first_name: None,
        title: None,
        vip: None,
        arrival: None,
        departure: None,
        no_post: Some(false),
        credit_limit: None,
    };
    assert_eq!(
        talk.facts,
        [
            desk::fact(PmsFact::GuestsFound { key: "k".into(), guests: vec![first, second] }),
            answered("k", "OK", None)
        ]
    );
}

#[test]
fn a_balance_counts_only_with_ok() {
    let bill = || PmsRequest::Bill { room: "101".into(), stay: "1".into() };
    let balance = |value| {
        let balance = PmsAmount { value, digits: None };
        desk::fact(PmsFact::BillBalance { room: "101".into(), stay: Some("1".into()), balance })
    };
    for (record, facts) in [
        ("XB|RN101|G#1|BA1450|ASOK|", vec![balance(1450), answered("b", "OK", None)]),
        ("XB|RN101|G#1|BA-50|", vec![balance(-50), answered("b", "OK", None)]),
        ("XB|RN101|G#1|BA1450|ASNF|", vec![answered("b", "NF", None)]),
        ("XB|RN101|G#1|ASNR|CTno rights|", vec![answered("b", "NR", Some("no rights"))]),
        ("XB|RN101|G#1|ASOK|", vec![refused("amount-is-no-number")]),
        ("XB|RN101|G#1|BAmuch|", vec![refused("amount-is-no-number")]),
        ("XB|G#1|BA1450|", vec![refused("no-room")]),
        ("XB|RN102|BA1450|ASNF|", vec![refused("answer-not-asked")]),
        ("XB|RN101|G#2|ASNF|", vec![refused("answer-not-asked")]),
        // What is not said tells nothing apart.
        ("XB|RN101|ASNF|", vec![answered("b", "NF", None)]),
        ("XC|RN101|G#1|ASOK|", vec![refused("answer-not-asked")]),
    ] {
        let mut talk = desk();
        ask(&mut talk, "b", bill());
        talk.pms(record);
        assert_eq!(talk.facts, facts, "{record}");
    }
}

#[test]
fn where_a_guest_is_or_that_nobody_knows() {
    let located = |until: Option<&str>| {
        let (place, until) = (Personal::new("the bar".to_owned()), until.map(str::to_owned));
        desk::fact(PmsFact::Located { key: "l".into(), place, until })
    };
    for (record, facts) in [
        ("LP|RN101|G#1|CTthe bar|LT1800|", vec![located(Some("1800")), answered("l", "OK", None)]),
        ("LP|RN101|G#1|CTthe bar|", vec![located(None), answered("l", "OK", None)]),
        ("LP|RN101|G#1|", vec![answered("l", "NM", None)]),
        ("LP|RN101|G#1|CT|ASNR|", vec![answered("l", "NR", None)]),
        ("LP|RN101|G#1|CTthe bar|ASOK|", vec![located(None), answered("l", "OK", None)]),
    ] {
        let mut talk = desk();
        ask(&mut talk, "l", PmsRequest::Locate { room: "101".into(), stay: "1".into() });
        talk.pms(record);
        assert_eq!(talk.facts, facts, "{record}");
    }
}

#[test]
fn each_kind_of_key_and_what_goes_with_it() {
    let asked = |talk: &mut Talk, record: &str| -> Result<(KeyRequest, bool), Box<Fact>> {
        talk.facts.clear();
        talk.pms(record);
        match talk.facts.pop() {
            Some(Fact::Pms { said: PmsFact::KeyAsked { request, served } }) => Ok((request, served)),
            other => Err(Box::new(other.unwrap())),
        }
    };
    let mut talk = desk();
    talk.link.config.encoders.insert("1".to_owned());
    for (record, kind) in [
        ("KR|KC1|RN101|", KeyKind::New),
        ("KR|KC1|KTN|RN101|", KeyKind::New),
        ("KR|KC1|KTD|RN101|", KeyKind::Duplicate),
        ("KR|KC1|KTO|RN101|", KeyKind::OneShot),
        ("KM|KC1|KTD|RN101|", KeyKind::Moved),
        ("KD|KC1|KTO|RN101|", KeyKind::Withdrawn),
        ("KZ|KC1|KTD|", KeyKind::Read),
    ] {
        let (request, served) = asked(&mut talk, record).unwrap();
        assert_eq!((request.kind, served), (kind, true), "{record}");
    }
    let (request, served) =
        asked(&mut talk, "KM|KC2|WS3|RN102|RO101|G#4711|GA260714|GD260718|DT12:00|KO1001|SI103;;104|")
            .unwrap();
    let want = KeyRequest {
        kind: KeyKind::Moved,
        coder: "2".into(),
        workstation: Some("3".into()),
        room: Some("102".into()),
        stay: Some("4711".into()),
        from: Some("101".into()),
        arrival: Some(engawa_model::Date::constant(2026, 7, 14)),
        departure: Some(engawa_model::Date::constant(2026, 7, 18)),
        until: Some("12:00".into()),
        areas: Some("1001".into()),
        suite: vec!["103".into(), "104".into()],
    };
    assert_eq!((request, served), (want, false), "no encoder of ours");
    for (record, why) in
        [("KR|RN101|", "key-without-encoder"), ("KR|KC1|", "no-room"), ("KD|KC1|RN|", "no-room")]
    {
        assert_eq!(asked(&mut talk, record), Err(Box::new(refused(why))), "{record}");
    }
}

#[test]
fn messages_that_are_there_and_that_are_not() {
    let read =
        || PmsRequest::ReadMessage { room: "101".into(), stay: "1".into(), message: None, keep_unread: true };
    let left = |text: &str| {
        let message =
            engawa_model::Message { id: "7".into(), text: Personal::new(text.to_owned()), read: false };
        desk::fact(PmsFact::MessageLeft { room: "101".into(), stay: Some("1".into()), message })
    };
    let gone =
        desk::fact(PmsFact::MessageGone { room: "101".into(), stay: Some("1".into()), message: "7".into() });
    for (record, facts) in [
        ("XL|RN101|G#1|MI7|MTcall home|", vec![left("call home")]),
        ("XL|RN101|G#1|MI7|MT|", vec![refused("message-without-text")]),
        ("XL|RN101|G#1|MTcall home|", vec![refused("message-without-text")]),
        ("XT|RN101|G#1|MI7|MTcall home|", vec![left("call home"), answered("m", "OK", None)]),
        ("XT|RN101|G#1|", vec![answered("m", "NM", None)]),
        ("XT|G#1|", vec![refused("no-room")]),
        ("XD|RN101|G#1|MI7|", vec![gone]),
        ("XD|G#1|MI7|", vec![refused("no-room")]),
        ("XD|RN101|G#1|", vec![refused("message-without-number")]),
        ("XI|RN101|BDbeer|", vec![refused("amount-is-no-number")]),
        ("XI|BI450|", vec![refused("no-room")]),
    ] {
        let mut talk = desk();
        ask(&mut talk, "m", read());
        talk.pms(record);
        assert_eq!(talk.facts, facts, "{record}");
    }
}

#[test]
fn a_line_of_the_bill() {
    for (record, shown) in [
        ("XI|RN101|G#1|F#2|FDN|DCBAR|BDbeer|BI450|DA260715|", false),
        ("XI|RN101|G#1|F#2|FDY|DCBAR|BDbeer|BI450|DA260715|", true),
        ("XI|RN101|G#1|F#2|DCBAR|BDbeer|BI450|DA260715|", true),
    ] {
        let mut talk = desk();
        talk.pms(record);
        let item = engawa_model::BillItem {
            folio: Some("2".into()),
            shown,
            department: Some("BAR".into()),
            text: Some(Personal::new("beer".to_owned())),
            amount: PmsAmount { value: 450, digits: None },
            date: Some(engawa_model::Date::constant(2026, 7, 15)),
        };
        let line = PmsFact::BillLine { room: "101".into(), stay: Some("1".into()), item };
        assert_eq!(talk.facts, [desk::fact(line)], "{record}");
    }
}

#[test]
fn a_report_needs_the_uses_that_it_is_of() {
    let nothing = RoomReport { status: None, units: None, user: None, note: None, voice_mail: None };
    let status = || Some("make-up".to_owned());
    let mail = |unheard, heard| Some(VoiceMail { unheard, heard });
    for (report, uses, sent) in [
        (RoomReport { status: status(), ..nothing.clone() }, vec![Use::RoomStatus], "RE|RN101|RS9|"),
        (
            RoomReport { status: status(), user: Some("12".into()), ..nothing.clone() },
            vec![Use::RoomReports],
            "RE|RN101|RS9|ID12|",
        ),
        (
            RoomReport { status: status(), units: Some(2), ..nothing.clone() },
            vec![Use::RoomReports],
            "RE|RN101|RS9|PU2|",
        ),
        (
            RoomReport { note: Some(Personal::new("tap drips".to_owned())), ..nothing.clone() },
            vec![Use::RoomReports],
            "RE|RN101|PP0|CTtap drips|",
        ),
        (RoomReport { voice_mail: mail(0, 0), ..nothing.clone() }, vec![Use::VoiceMail], "RE|RN101|VMN|"),
        (RoomReport { voice_mail: mail(1, 0), ..nothing.clone() }, vec![Use::VoiceMail], "RE|RN101|VM0100|"),
        (RoomReport { voice_mail: mail(0, 12), ..nothing.clone() }, vec![Use::VoiceMail], "RE|RN101|VM0012|"),
        (
            RoomReport { status: status(), voice_mail: mail(1, 0), ..nothing },
            vec![Use::RoomStatus, Use::VoiceMail],
            "RE|RN101|RS9|VM0100|",
        ),
    ] {
        let request = || PmsRequest::RoomReport { room: "101".into(), report: report.clone() };
        let mut talk = Talk::alive();
        talk.link.config.uses = uses.iter().copied().collect();
        ask(&mut talk, "r", request());
        assert_eq!(talk.sent, [sent], "{uses:?}");
        assert_eq!(talk.facts, [desk::fact(PmsFact::Sent { key: "r".into() })]);
        for missing in &uses {
            let mut talk = Talk::alive();
            talk.link.config.uses = uses.iter().copied().filter(|used| used != missing).collect();
            ask(&mut talk, "r", request());
            let Some(Fact::Pms { said: PmsFact::NotSent { reason, .. } }) = talk.facts.last() else {
                panic!("{:?}", talk.facts)
            };
            assert!(talk.sent.is_empty() && reason.contains(&format!("`{missing}`")), "{reason}");
        }
    }
}

#[test]
fn guests_as_the_pms_tells_of_them() {
    let seen = |record: &str| {
        let mut talk = Talk::alive();
        talk.pms(record);
        match talk.facts.pop() {
            Some(Fact::GuestSeen { stay, guest, flags, .. }) => (stay, guest, flags),
            other => panic!("{other:?}"),
        }
    };
    for (code, tag) in [
        ("EA", Some("en")),
        ("GE", Some("de")),
        ("SP", Some("es")),
        ("JA", Some("ja")),
        ("FR", Some("fr")),
        ("IT", Some("it")),
        ("ZH-HANT", Some("zh-Hant")),
        ("PT-BR-XY", Some("pt-BR")),
        ("Sato", None),
        ("TANAKA", None),
        ("E", None),
        ("E_", None),
        ("日本", None),
        ("", None),
    ] {
        assert_eq!(seen(&format!("GI|RN101|G#1|GL{code}|")).1.language.as_deref(), tag, "{code}");
    }
    for (field, want) in
        [("|NPY", Some(true)), ("|NPN", Some(false)), ("|NP", None), ("|NPX", None), ("", None)]
    {
        assert_eq!(seen(&format!("GI|RN101|G#1{field}|")).1.no_post, want, "{field}");
    }
    let (stay, _, flags) = seen("GI|RN101|DNY|MLN|CS2|MRMU|TVTN|VRVA|");
    assert_eq!(stay.as_str(), "room:101", "one guest a room where there are no numbers");
    assert_eq!((flags.do_not_disturb, flags.message_light), (Some(true), Some(false)));
    assert_eq!(
        [flags.class_of_service, flags.minibar_right, flags.tv_right, flags.video_right].map(Option::unwrap),
        ["2", "MU", "TN", "VA"]
    );
}

#[test]
fn the_night_and_what_nobody_knows() {
    for (record, fact) in [
        ("NS|DA260715|TI030000|", Fact::NightAuditBegun),
        (
            "NE|DA260716|TI030500|",
            Fact::NightAuditDone { date: Some(engawa_model::Date::constant(2026, 7, 16)), hour: Some(3) },
        ),
        ("NE|TI24|", Fact::NightAuditDone { date: None, hour: None }),
        ("NE|TI23|", Fact::NightAuditDone { date: None, hour: Some(23) }),
        ("ZZ|RN101|", refused("unknown-record")),
        ("GI|G#1|", refused("no-room")),
        ("RE|DNY|", refused("no-room")),
        ("PA|ASOK|", refused("answer-without-number")),
        ("PA|P#1|", refused("answer-without-number")),
    ] {
        let mut talk = Talk::alive();
        talk.pms(record);
        assert_eq!(talk.facts, [fact], "{record}");
    }
    let mut talk = Talk::alive();
    talk.pms("RE|RN101|RS77|DNY|");
    assert_eq!(talk.facts.last(), Some(&refused("unknown-status")));
}

#[test]
fn a_question_waits_half_a_minute_and_a_look_up_a_whole_one() {
    for (request, seconds) in [(PmsRequest::Bill { room: "101".into(), stay: "1".into() }, 30), (find(1), 60)]
    {
        let mut talk = desk();
        ask(&mut talk, "q", request);
        talk.link.on_wake(after(talk.now, seconds - 1));
        talk.drain();
        assert_eq!(talk.facts, [], "a second before");
        assert_eq!(talk.link.wake_at(), Some(after(talk.now, seconds)));
        talk.link.on_wake(after(talk.now, seconds));
        talk.drain();
        assert_eq!(talk.facts, [desk::fact(PmsFact::Unanswered { key: "q".into() })]);
    }
}

#[test]
fn a_charge_by_name_waits_as_long_as_a_look_up() {
    let mut talk = desk();
    let intent = Intent::SendPosting {
        number: PostingNumber(1),
        room: "101".into(),
        stay: None,
        amount: engawa_model::Money { minor: 1050, currency: engawa_model::Currency::new("EUR").unwrap() },
        text: "Laundry".into(),
        outlet: None,
        detail: PostingDetail::Guest { name: Personal::new("Sato".to_owned()) },
    };
    talk.link.on_intent(talk.now, &intent);
    talk.drain();
    assert_eq!((talk.ids(), talk.link.wake_at()), (vec!["PR"], Some(after(talk.now, 60))));
}

#[test]
fn the_pms_describes_itself_before_the_link_is_alive() {
    let mut talk = Talk::new();
    talk.pms("LC|A15.6|PHGrand|");
    let Some(Fact::Pms { said: PmsFact::Described { description } }) = talk.facts.pop() else {
        panic!("{:?}", talk.facts)
    };
    assert_eq!(
        (description.pms_version.as_deref(), description.hotel.as_deref()),
        (Some("5.6"), Some("Grand"))
    );
}

#[test]
fn what_is_in_the_wrong_field_is_told_once_by_the_fields_name_and_counted_each_time() {
    let mut talk = Talk::alive();
    for _ in 0..2 {
        talk.pms("GI|RN101|G#Nakamura|GNNakamura|GLNakamura|");
    }
    talk.pms("GI|RN102|G#4712|GNNakamura|GLJA|");
    let warnings: Vec<_> = std::iter::from_fn(|| talk.link.warning()).collect();
    assert!(
        warnings.len() == 2 && warnings[0].contains(" GL ") && warnings[1].contains(" G# "),
        "{warnings:?}"
    );
    let counted = |why: &str| {
        let refused = Fact::PmsRefused { why: why.to_owned() };
        talk.facts.iter().filter(|fact| **fact == refused).count()
    };
    assert_eq!((counted("odd-language"), counted("odd-reservation-number")), (2, 2));
    let stays: Vec<_> = talk
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::GuestSeen { stay, guest, .. } => Some((stay.to_string(), guest.language.clone())),
            _ => None,
        })
        .collect();
    assert!(stays[0] == stays[1] && stays[0].0.starts_with('~') && stays[0].1.is_none(), "{stays:?}");
    assert_eq!(stays[2], ("4712".to_owned(), Some("ja".to_owned())));
}

#[test]
fn a_stay_whose_own_number_is_forgotten_is_not_asked_about() {
    let mut talk = desk();
    talk.pms("GI|RN101|G#Nakamura|GNNakamura|");
    let Some(Fact::GuestSeen { stay, .. }) = talk.facts.pop() else { panic!("{:?}", talk.facts) };
    let locate = || PmsRequest::Locate { room: "101".into(), stay: stay.clone() };
    ask(&mut talk, "known", locate());
    assert!(talk.sent[0].contains("|G#Nakamura|"), "by the PMS's own text: {:?}", talk.sent);
    let mut restarted = desk();
    ask(&mut restarted, "forgotten", locate());
    assert!(restarted.sent.is_empty(), "{:?}", restarted.sent);
    let told = restarted.facts.pop();
    assert!(
        matches!(&told, Some(Fact::Pms { said: PmsFact::NotSent { reason, .. } }) if reason.contains("engawa pms resync")),
        "{told:?}"
    );
}
