//! The adapter by itself: what it asks, page by page, and what it makes of the answers.

use super::super::drive::{answer, asks, at, ends, house, json_of, posting, target};
use super::*;
use engawa_model::{Presence, RoomFlags};

fn ohip(guests: &[(&str, &str)]) -> Ohip {
    let config = json!({ "url": "https://opera.example", "hotel": "HQ 1", "client_id": "ohip", "app_key": "key-1",
        "chain": "CHAIN", "transaction_code": "1000", "outlets": { "bar": "2000" } });
    Ohip::new(serde_json::from_value(config).unwrap(), Secret::new("s3cret"), house(guests))
}

fn now() -> Timestamp {
    at("2026-07-15T10:00:00Z")
}

fn changes() -> Job {
    Job::Changes { since: at("2026-07-15T09:00:00Z"), until: now() }
}

const LIST: &str = "rsv/v1/hotels/HQ%201/reservations limit=200 offset=";

fn one(number: &str, room: Option<&str>, status: &str) -> Value {
    json!({ "reservationIdList": [{ "id": "C9", "type": "Confirmation" }, { "id": number, "type": "Reservation" }],
        "roomStay": { "roomId": room, "arrivalDate": "2026-07-14", "departureDate": "2026-07-18" },
        "reservationStatus": "Reserved", "computedReservationStatus": status })
}

fn page(all: &[Value], more: bool) -> Answer {
    answer(200, &json!({ "reservations": { "reservationInfo": all, "hasMore": more } }))
}

fn seen(stay: &str, room: &str, from: Option<&str>, listed: bool, guest: GuestRecord) -> Fact {
    Fact::GuestSeen {
        stay: stay.into(),
        room: room.into(),
        from: from.map(RoomId::from),
        presence: if listed { Presence::In } else { Presence::Changed },
        listed,
        guest,
        flags: RoomFlags::default(),
    }
}

fn dates() -> GuestRecord {
    GuestRecord {
        arrival: Some("2026-07-14".parse().unwrap()),
        departure: Some("2026-07-18".parse().unwrap()),
        ..GuestRecord::default()
    }
}

#[test]
fn the_whole_house_is_stays_who_is_missing_and_arrivals() {
    let mut ohip = ohip(&[("1", "101"), ("5", "105"), ("6", "106"), ("of another system", "107")]);
    let request = asks(ohip.start(now(), &Job::List));
    assert_eq!(target(&request), format!("{LIST}0 searchType=InHouse"));
    let mut first = one("1", Some("101"), "InHouse");
    first["reservationGuest"] = json!({ "surname": "Hopper", "givenName": "Grace", "nameTitle": "Adm",
        "language": "en_US", "phoneNumber": "+1 20", "email": "g@example.com" });
    let all = [first, one("2", None, "InHouse")];
    let request = asks(ohip.answered(now(), &page(&all, true)));
    assert_eq!(target(&request), format!("{LIST}2 searchType=InHouse"));
    let request = asks(ohip.answered(now(), &page(&[one("3", Some("103"), "DueOut")], false)));
    assert_eq!(target(&request), format!("{LIST}0 reservationIdList=5 reservationIdList=6"));
    let all = [one("5", Some("105"), "CheckedOut"), one("6", Some("106"), "Walkin")];
    let request = asks(ohip.answered(now(), &page(&all, false)));
    assert_eq!(target(&request), format!("{LIST}0 arrivalStartDate=2026-07-15 arrivalEndDate=2026-07-16"));
    // More arrivals than stays.
    let due = [one("7", Some("107"), "Reserved"), one("8", Some("108"), "DueIn"), one("9", None, "Reserved")];
    let request = asks(ohip.answered(now(), &page(&due, true)));
    assert_eq!(target(&request), format!("{LIST}3 arrivalStartDate=2026-07-15 arrivalEndDate=2026-07-16"));
    let due = [one("10", Some("110"), "Cancelled"), one("11", Some("111"), "InHouse")];
    let told = ends(ohip.answered(now(), &page(&due, false)));
    let guest = GuestRecord {
        name: guests::personal(Some("Hopper")),
        first_name: guests::personal(Some("Grace")),
        title: guests::personal(Some("Adm")),
        language: Some("en-US".to_owned()),
        phone: guests::personal(Some("+1 20")),
        email: guests::personal(Some("g@example.com")),
        ..dates()
    };
    let expected = |stay: &str, room: &str| Fact::ArrivalExpected {
        stay: stay.into(),
        room: room.into(),
        date: dates().arrival,
        eta: None,
        vip: None,
    };
    let facts = vec![
        Fact::PmsRefused { why: "no-room".to_owned() },
        Fact::GuestGone { room: "105".into(), stay: Some("5".into()), listed: false },
        Fact::ResyncBegun,
        seen("1", "101", None, true, guest),
        seen("3", "103", None, true, dates()),
        seen("6", "106", None, true, dates()),
        Fact::ResyncDone,
        expected("7", "107"),
        expected("8", "108"),
    ];
    assert_eq!(told, Outcome::Told(facts));
}

#[test]
fn a_change_is_a_list_without_arrivals_that_tells_what_differs() {
    let mut ohip = ohip(&[("1", "101"), ("5", "105")]);
    asks(ohip.start(now(), &changes()));
    let request = asks(ohip.answered(now(), &page(&[one("1", Some("111"), "InHouse")], false)));
    assert_eq!(target(&request), format!("{LIST}0 reservationIdList=5"));
    let told = ends(ohip.answered(now(), &page(&[one("5", Some("105"), "CheckedOut")], false)));
    let gone = Fact::GuestGone { room: "105".into(), stay: Some("5".into()), listed: false };
    assert_eq!(told, Outcome::Told(vec![gone, seen("1", "111", Some("101"), false, dates())]));
    // Nobody is missing, and arrivals are of a list only.
    asks(ohip.start(now(), &changes()));
    let told = ends(ohip.answered(now(), &page(&[one("1", Some("111"), "InHouse")], false)));
    assert_eq!(told, Outcome::Told(vec![seen("1", "111", None, false, dates())]));
}

#[test]
fn an_empty_house_is_204_and_missing_ones_are_asked_for_in_parts() {
    let numbers: Vec<String> = (100..151).map(|n| n.to_string()).collect();
    let known: Vec<(&str, &str)> = numbers.iter().map(|number| (number.as_str(), "101")).collect();
    let mut ohip = ohip(&known);
    asks(ohip.start(now(), &Job::List));
    let nobody = || answer(204, &json!(null));
    let asked = |request: &Request| target(request).matches("reservationIdList=").count();
    let mut parts = Vec::new();
    for _ in 0..3 {
        parts.push(asked(&asks(ohip.answered(now(), &nobody()))));
    }
    assert_eq!(parts, [CHUNK, 1, 0]);
    assert_eq!(
        ends(ohip.answered(now(), &nobody())),
        Outcome::Told(vec![Fact::ResyncBegun, Fact::ResyncDone])
    );
}

#[test]
fn lists_that_make_no_sense_are_not_believed() {
    let mut ohip = ohip(&[]);
    asks(ohip.start(now(), &Job::List));
    let fault = ohip.answered(now(), &page(&[], true)).unwrap_err();
    assert!(fault.to_string().ends_with("the list has no end"), "more, and nothing there: {fault}");
    asks(ohip.start(now(), &Job::List));
    let mut unnumbered = one("1", Some("101"), "InHouse");
    unnumbered["reservationIdList"] = json!([{ "id": "C9", "type": "Confirmation" }]);
    let fault = ohip.answered(now(), &page(&[unnumbered], false)).unwrap_err();
    assert!(fault.to_string().ends_with("a reservation has no number"), "{fault}");
    asks(ohip.start(now(), &Job::List));
    for n in 1..=guests::MOST_PAGES {
        let request = asks(ohip.answered(now(), &page(&[one("1", Some("101"), "InHouse")], true)));
        assert_eq!(target(&request), format!("{LIST}{n} searchType=InHouse"));
    }
    let fault = ohip.answered(now(), &page(&[one("1", Some("101"), "InHouse")], true)).unwrap_err();
    assert!(fault.to_string().ends_with("the list has no end"), "{fault}");
}

#[test]
fn a_token_is_renewed_before_it_ends_and_after_it_was_refused() {
    let mut ohip = ohip(&[]);
    assert_eq!(ohip.name(), "OPERA Cloud");
    assert!(!ohip.forget_token(), "there is none");
    assert!(ohip.feed(now(), None).is_none(), "the stream is opened with a token");
    assert_eq!(ohip.feed_opened(now(), None), [] as [&str; 0]);
    let later = |seconds| now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    for (expires_in, lasts) in [(3600, 3000), (631, 31), (630, 30), (60, 30)] {
        let request = ohip.sign_in(now()).unwrap();
        assert_eq!(request.url, "https://opera.example/oauth/v1/tokens");
        ohip.signed_in(now(), &answer(200, &json!({ "access_token": "t", "expires_in": expires_in })))
            .unwrap();
        for (seconds, lives) in [(lasts - 1, true), (lasts, false), (lasts + 1, false)] {
            assert_eq!(ohip.sign_in(later(seconds)).is_none(), lives, "{expires_in} {seconds}");
            assert_eq!(ohip.feed(later(seconds), None).is_some(), lives, "{expires_in} {seconds}");
        }
        let mut request = Request::get("x", "https://x/");
        ohip.authorize(&mut request);
        let headers = [("x-app-key", "key-1"), ("x-hotelid", "HQ 1"), ("authorization", "Bearer t")];
        assert_eq!(request.headers, headers.map(|(name, value)| (name, value.to_owned())));
        assert!(ohip.forget_token());
    }
}

#[test]
fn a_charge_goes_to_the_only_stay_with_the_code_of_its_outlet() {
    let mut ohip = ohip(&[("1", "101")]);
    for (outlet, code) in [(None, "1000"), (Some("bar"), "2000"), (Some("spa"), "1000")] {
        let mut charge = posting("101", None);
        charge.outlet = outlet.map(str::to_owned);
        let request = asks(ohip.start(now(), &Job::Post(charge)));
        assert_eq!(target(&request), "csh/v1/hotels/HQ%201/reservations/1/charges");
        assert!(request.once);
        let charges = json!([{ "transactionCode": code, "price": { "amount": 12.5, "currencyCode": "EUR" },
            "postingQuantity": 1, "postingReference": "h-7", "postingRemark": "Laundry" }]);
        assert_eq!(json_of(&request), json!({ "criteria": { "hotelId": "HQ 1", "charges": charges } }));
        assert_eq!(ends(ohip.answered(now(), &answer(201, &json!({})))), Outcome::Done);
    }
    let refused = ends(ohip.start(now(), &Job::Post(posting("102", None))));
    assert!(matches!(refused, Outcome::Refused { status: "NG", .. }), "{refused:?}");
    ohip.config.transaction_code = None;
    let refused = ends(ohip.start(now(), &Job::Post(posting("101", None))));
    assert!(matches!(refused, Outcome::Refused { status: "NF", .. }), "{refused:?}");
}

#[test]
fn a_charge_is_found_by_its_reference_however_deep_it_lies() {
    let look = |room| Job::LookUp { posting: posting(room, None), since: now(), until: now() };
    for (folios, found) in [
        (json!({}), false),
        (json!({ "reference": "h-7" }), true),
        (json!({ "reference": "h-70" }), false),
        (json!({ "remark": "h-7" }), false),
        (json!({ "reference": 7 }), false),
        (
            json!({ "folioWindows": [{}, { "folios": [{ "postings": [{ "reference": "x" }, { "reference": " h-7 " }] }] }] }),
            true,
        ),
        (json!({ "reference": { "of": [{ "reference": "h-7" }] } }), true),
        (json!({ "reference": { "of": ["h-7"] } }), false),
    ] {
        let mut ohip = ohip(&[("1", "101")]);
        let request = asks(ohip.start(now(), &look("101")));
        let path = "csh/v1/hotels/HQ%201/reservations/1/folios";
        assert_eq!(
            target(&request),
            format!("{path} fetchInstructions=Postings summaryOnly=false limit=200")
        );
        assert_eq!(ends(ohip.answered(now(), &answer(200, &folios))), Outcome::Found(found), "{folios}");
    }
    let mut ohip = ohip(&[("1", "101")]);
    asks(ohip.start(now(), &look("101")));
    assert_eq!(ends(ohip.answered(now(), &answer(204, &json!(null)))), Outcome::Found(false));
    assert_eq!(ends(ohip.start(now(), &look("102"))), Outcome::CannotLookUp);
}

#[test]
fn statuses_are_told_in_its_own_words() {
    let mut ohip = ohip(&[]);
    let tell = |status: &str| Job::Status { room: "101".into(), status: status.to_owned() };
    for (status, word) in [
        ("dirty-vacant", "Dirty"),
        ("dirty-occupied", "Dirty"),
        ("clean-vacant", "Clean"),
        ("clean-occupied", "Clean"),
        ("inspected-vacant", "Inspected"),
        ("inspected-occupied", "Inspected"),
    ] {
        let request = asks(ohip.start(now(), &tell(status)));
        let body = json!({ "roomList": [{ "roomId": "101" }], "housekeepingRoomStatus": word });
        assert_eq!((request.method, json_of(&request)), ("PUT", body));
        assert_eq!(ends(ohip.answered(now(), &answer(200, &json!({})))), Outcome::Done);
    }
    let refused = ends(ohip.start(now(), &tell("make-up")));
    assert!(matches!(refused, Outcome::Refused { status: "NF", .. }), "{refused:?}");
}

#[test]
fn the_stream_is_opened_with_the_token_and_goes_on_from_its_mark() {
    let mut ohip = ohip(&[]);
    ohip.signed_in(now(), &answer(200, &json!({ "access_token": "t", "expires_in": 3600 }))).unwrap();
    let feed = ohip.feed(now(), None).unwrap();
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    // SHA-256 of the key (`printf key-1 | sha256sum`).
    let hash = "be2974546978e3739e6d6da85c4be9f334ce32df2b9fd4b6ff1b55c0d57e9d44";
    assert_eq!(feed.url, format!("wss://opera.example/subscriptions?key={hash}"));
    assert_eq!((feed.pause_s, read(&feed.ping.unwrap())), (15, json!({ "type": "ping" })));
    let said = ohip.feed_opened(now(), Some("41"));
    let payload = json!({ "Authorization": "Bearer t", "x-app-key": "key-1" });
    assert_eq!(read(&said[0]), json!({ "type": "connection_init", "payload": payload }));
    let heard = ohip.feed_heard(now(), r#"{"type":"connection_ack"}"#).unwrap();
    let input = read(&heard.say[0])["payload"]["variables"]["input"].clone();
    assert_eq!(input, json!({ "chainCode": "CHAIN", "offset": "41" }));
    assert_eq!(Heard { say: Vec::new(), ..heard }, Heard::default());
}

#[test]
fn what_each_message_of_the_stream_means() {
    let mut ohip = ohip(&[]);
    let event = |module: Value, hotel: Value, offset: Value| {
        json!({ "type": "next", "payload": { "data": { "newEvent": {
            "metadata": { "offset": offset }, "moduleName": module, "hotelId": hotel } } } })
    };
    let here = json!("HQ 1");
    let mark = |mark: &str| Some(mark.to_owned());
    let ended = |why: &str| Some(why.to_owned());
    let none = Heard::default;
    for (message, want) in [
        (
            event(json!("Reservation"), here.clone(), json!("7")),
            Heard { changed: true, mark: mark("7"), ..none() },
        ),
        (
            event(json!("HOUSEKEEPING"), here.clone(), json!(8)),
            Heard { changed: true, mark: mark("8"), ..none() },
        ),
        (event(json!("RoomRotation"), json!(null), json!(null)), Heard { changed: true, ..none() }),
        (event(json!(null), here.clone(), json!("9")), Heard { changed: true, mark: mark("9"), ..none() }),
        (event(json!("RATES"), here.clone(), json!("9")), Heard { mark: mark("9"), ..none() }),
        (event(json!("RESERVATION"), json!("HQ2"), json!("9")), Heard { mark: mark("9"), ..none() }),
        (json!({ "type": "next", "payload": { "data": null } }), none()),
        (
            json!({ "type": "next", "payload": { "errors": [{}] } }),
            Heard { ended: ended("the stream tells an error"), ..none() },
        ),
        (json!({ "type": "ping" }), Heard { say: vec![r#"{"type":"pong"}"#.to_owned()], ..none() }),
        (json!({ "type": "pong" }), none()),
        (
            json!({ "type": "complete" }),
            Heard { changed: true, mark: mark(""), ended: ended("the stream was ended"), ..none() },
        ),
        (
            json!({ "type": "error", "payload": [{}] }),
            Heard { changed: true, mark: mark(""), ended: ended("the stream was ended"), ..none() },
        ),
    ] {
        assert_eq!(ohip.feed_heard(now(), &message.to_string()).unwrap(), want, "{message}");
    }
    assert!(ohip.feed_heard(now(), "{}").is_err());
    ohip.stream = None;
    assert_eq!(ohip.feed_heard(now(), "{}").unwrap(), none(), "a house without a stream hears nothing");
}
