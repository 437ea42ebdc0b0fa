//! The adapter by itself: what it asks, page by page, and what it makes of the answers.

use super::super::drive::{answer, asks, at, ends, house, json_of, posting};
use super::*;
use engawa_model::{Fact, GuestRecord, StayId};

fn id(n: u32) -> String {
    format!("bfee2c44-1f84-4326-a862-{n:012x}")
}

fn with(config: &Value, guests: &[(&str, &str)]) -> Mews {
    let config = serde_json::from_value(config.clone()).unwrap();
    Mews::new(config, Secret::new("client"), Secret::new("access"), house(guests))
}

fn mews(guests: &[(&str, &str)]) -> Mews {
    with(&json!({ "charge_service": "s1", "outlets": { "bar": "s2" } }), guests)
}

fn now() -> Timestamp {
    at("2026-07-15T10:00:00Z")
}

fn changes() -> Job {
    Job::Changes { since: at("2026-07-15T09:00:00Z"), until: at("2026-07-15T09:59:30Z") }
}

/// What is asked, without what every request has.
fn said(request: &Request) -> (&'static str, Value) {
    let mut body = json_of(request);
    assert_eq!(request.url, format!("https://api.mews.com/api/connector/v1/{}", request.operation));
    assert_eq!((&body["ClientToken"], &body["AccessToken"]), (&json!("client"), &json!("access")));
    for name in ["ClientToken", "AccessToken", "Client"] {
        body.as_object_mut().unwrap().remove(name);
    }
    (request.operation, body)
}

fn rooms() -> Value {
    json!({ "Resources": [{ "Id": "r1", "Name": "101" }, { "Id": "r2", "Name": "102" }], "Cursor": "r2" })
}

fn nobody() -> Answer {
    answer(200, &json!({ "Reservations": [] }))
}

fn told(step: Result<Step, Fault>) -> Vec<Fact> {
    match ends(step) {
        Outcome::Told(facts) => facts,
        other => panic!("{other:?}"),
    }
}

const STAYS: &str = "reservations/getAll/2023-06-06";

#[test]
fn the_whole_house_is_rooms_stays_arrivals_companions_and_customers() {
    let (known, away) = (id(9), id(1));
    let mut mews = mews(&[(&known, "102"), (&away, "101"), ("17", "103"), (&"x".repeat(36), "104")]);
    let count = json!({ "Count": 500 });
    let request = asks(mews.start(now(), &Job::List));
    let want = json!({ "Extent": { "Resources": true }, "Limitation": count });
    assert_eq!(said(&request), ("resources/getAll", want));
    let request = asks(mews.answered(now(), &answer(200, &rooms())));
    assert_eq!(said(&request), (STAYS, json!({ "States": ["Started"], "Limitation": count })));
    let stays = json!({ "Reservations": [
        { "Id": known, "State": "Started", "AccountId": "k1", "AccountType": "Customer", "AssignedResourceId": "r1",
            "ScheduledStartUtc": "2026-07-13T13:00:00Z", "ActualStartUtc": "2026-07-13T22:10:00Z",
            "ScheduledEndUtc": "2026-07-18T09:00:00Z" },
        { "Id": id(2), "State": "Started", "AccountId": "firm", "AccountType": "Company", "AssignedResourceId": "r2" },
        { "Id": id(3), "State": "Started", "AccountId": "k3", "AssignedResourceId": "elsewhere" },
        { "Id": id(4), "State": "Started", "AccountId": "k4" },
    ], "Cursor": id(4) });
    // Of the two that are missing only one has a number of this system.
    let request = asks(mews.answered(now(), &answer(200, &stays)));
    assert_eq!(said(&request), (STAYS, json!({ "ReservationIds": [away], "Limitation": count })));
    let missing = json!({ "Reservations": [{ "Id": away, "State": "Processed" }] });
    let request = asks(mews.answered(now(), &answer(200, &missing)));
    let between = json!({ "StartUtc": "2026-07-14T22:00:00Z", "EndUtc": "2026-07-17T10:00:00Z" });
    let want = json!({ "States": ["Confirmed"], "ScheduledStartUtc": between, "Limitation": count });
    assert_eq!(said(&request), (STAYS, want));
    let due = json!({ "Reservations": [
        { "Id": id(5), "State": "Confirmed", "AssignedResourceId": "r2", "ScheduledStartUtc": "2026-07-16T22:30:00Z" },
        { "Id": id(6), "State": "Confirmed", "ScheduledStartUtc": "2026-07-16T22:30:00Z" },
    ] });
    let request = asks(mews.answered(now(), &answer(200, &due)));
    let started = json!([id(2), id(3), id(4), known]);
    let want = json!({ "ReservationIds": started, "Limitation": count });
    assert_eq!(said(&request), ("companionships/getAll", want));
    // The guest travels with one more, and is their own companion.
    let with = json!({ "Companionships": [
        { "CustomerId": "k1", "ReservationId": known }, { "CustomerId": "k7", "ReservationId": known },
        { "CustomerId": "k8", "ReservationId": null } ] });
    let request = asks(mews.answered(now(), &answer(200, &with)));
    let want = json!({ "CustomerIds": ["k1", "k3", "k4", "k7"], "Extent": { "Customers": true }, "Limitation": count });
    assert_eq!(said(&request), ("customers/getAll", want), "the firm is no customer");
    let customers = json!({ "Customers": [
        { "Id": "k1", "LastName": "Okonkwo", "FirstName": "Ada", "Title": "Mister", "LanguageCode": "en-GB",
            "Phone": "+44 20", "Email": "a@example.com", "Classifications": ["Returning", "VeryImportant"] },
        { "Id": "k7", "LastName": "Sato", "Classifications": ["Returning"] } ] });
    let facts = told(mews.answered(now(), &answer(200, &customers)));
    let word = |fact: &Fact| match fact {
        Fact::GuestSeen { stay, room, listed: true, .. } => format!("{stay} in {room}"),
        Fact::GuestGone { stay: Some(stay), room, .. } => format!("{stay} left {room}"),
        Fact::ArrivalExpected { stay, room, date: Some(date), eta: Some(eta), .. } => {
            format!("{stay} to {room} on {date} at {eta}")
        }
        other => format!("{other:?}"),
    };
    let words: Vec<String> = facts.iter().map(word).collect();
    let no_room = format!("{:?}", Fact::PmsRefused { why: "no-room".to_owned() });
    assert_eq!(
        words,
        [
            no_room.clone(),
            no_room,
            format!("{away} left 101"),
            "ResyncBegun".to_owned(),
            format!("{} in 102", id(2)),
            format!("{known}+k7 in 101"),
            format!("{known} in 101"),
            "ResyncDone".to_owned(),
            format!("{} to 102 on 2026-07-17 at 2026-07-16T22:30:00Z", id(5)),
        ]
    );
    let guest_of = |name: &str| {
        let guest = facts.iter().find_map(|fact| match fact {
            Fact::GuestSeen { stay, guest, .. } if stay.as_str() == name => Some(guest.clone()),
            _ => None,
        });
        guest.unwrap()
    };
    let dates = GuestRecord {
        arrival: Some("2026-07-14".parse().unwrap()),
        departure: Some("2026-07-18".parse().unwrap()),
        ..GuestRecord::default()
    };
    let owner = GuestRecord {
        name: guests::personal(Some("Okonkwo")),
        first_name: guests::personal(Some("Ada")),
        title: guests::personal(Some("Mister")),
        language: Some("en-GB".to_owned()),
        vip: Some("VIP".to_owned()),
        phone: guests::personal(Some("+44 20")),
        email: guests::personal(Some("a@example.com")),
        ..dates.clone()
    };
    assert_eq!(guest_of(&known), owner);
    let companion = GuestRecord { name: guests::personal(Some("Sato")), ..dates };
    assert_eq!(guest_of(&format!("{known}+k7")), companion);
    let account = |stay: &str| mews.house.guests.get(&StayId::from(stay)).unwrap().account.clone();
    assert_eq!(account(&format!("{known}+k7")).as_deref(), Some("k7"), "each pays for themselves");
    assert_eq!(account(&known).as_deref(), Some("k1"));
}

#[test]
fn a_house_of_nobody_asks_for_nobody() {
    let mut mews = mews(&[]);
    asks(mews.start(now(), &Job::List));
    let request = asks(mews.answered(now(), &answer(200, &rooms())));
    assert_eq!(said(&request).1["States"], json!(["Started"]));
    let request = asks(mews.answered(now(), &nobody()));
    assert_eq!(said(&request).1["States"], json!(["Confirmed"]), "nobody is missing");
    assert_eq!(told(mews.answered(now(), &nobody())), [Fact::ResyncBegun, Fact::ResyncDone]);
}

#[test]
fn of_changes_only_rooms_that_are_new_are_asked_for() {
    let mut mews = mews(&[]);
    for known in [false, true] {
        let request = asks(mews.start(now(), &changes()));
        let between = json!({ "StartUtc": "2026-07-15T08:58:00Z", "EndUtc": "2026-07-15T09:59:30Z" });
        assert_eq!(said(&request), (STAYS, json!({ "UpdatedUtc": between, "Limitation": { "Count": 500 } })));
        let page = json!({ "Reservations": [
            { "Id": id(1), "State": "Started", "AssignedResourceId": "r1" },
            { "Id": id(2), "State": "Processed", "AssignedResourceId": "r7" }] });
        let mut request = asks(mews.answered(now(), &answer(200, &page)));
        if !known {
            let (operation, body) = said(&request);
            assert_eq!((operation, &body["ResourceIds"]), ("resources/getAll", &json!(["r1"])));
            let one = json!({ "Resources": [{ "Id": "r1", "Name": "101" }] });
            request = asks(mews.answered(now(), &answer(200, &one)));
        }
        assert_eq!(said(&request).0, "companionships/getAll");
        let none = json!({ "Companionships": [] });
        // It has no account: nobody is asked for.
        let facts = told(mews.answered(now(), &answer(200, &none)));
        let [Fact::GuestSeen { room, listed: false, .. }] = facts.as_slice() else { panic!("{facts:?}") };
        assert_eq!(room.as_str(), "101");
    }
    asks(mews.start(now(), &changes()));
    assert_eq!(told(mews.answered(now(), &nobody())), []);
}

#[test]
fn stays_are_those_of_the_services_and_the_enterprise_that_are_named() {
    let mut mews = with(&json!({ "services": ["stay"], "enterprise": "e" }), &[]);
    let request = asks(mews.start(now(), &Job::Open));
    assert_eq!(said(&request), ("configuration/get", json!({ "EnterpriseId": "e" })));
    let request = asks(mews.start(now(), &Job::List));
    assert_eq!(said(&request).1["EnterpriseIds"], json!(["e"]));
    let request = asks(mews.answered(now(), &answer(200, &rooms())));
    assert_eq!(said(&request).1["ServiceIds"], json!(["stay"]));
    let request = asks(mews.answered(now(), &nobody()));
    assert_eq!(
        (&said(&request).1["ServiceIds"], &said(&request).1["States"]),
        (&json!(["stay"]), &json!(["Confirmed"]))
    );
}

/// A page of 500 that nobody has to look at.
fn full(cursor: &str) -> Value {
    let all: Vec<Value> = (0..500).map(|n| json!({ "Id": id(n), "State": "Processed" })).collect();
    json!({ "Reservations": all, "Cursor": cursor })
}

#[test]
fn a_full_page_is_followed_by_the_next_and_a_short_one_is_the_last() {
    let mut mews = mews(&[]);
    asks(mews.start(now(), &changes()));
    let request = asks(mews.answered(now(), &answer(200, &full("c1"))));
    assert_eq!(said(&request).1["Limitation"], json!({ "Count": 500, "Cursor": "c1" }));
    let short = json!({ "Reservations": [{ "Id": id(1), "State": "Processed" }], "Cursor": "c2" });
    assert_eq!(told(mews.answered(now(), &answer(200, &short))), []);
    // A full one without a cursor is the last, too.
    asks(mews.start(now(), &changes()));
    let mut last = full("c1");
    last["Cursor"] = Value::Null;
    assert_eq!(told(mews.answered(now(), &answer(200, &last))), []);
}

#[test]
fn a_list_that_stands_still_or_never_ends_is_not_believed() {
    let mut mews = mews(&[]);
    asks(mews.start(now(), &changes()));
    asks(mews.answered(now(), &answer(200, &full("c1"))));
    let fault = mews.answered(now(), &answer(200, &full("c1"))).unwrap_err();
    assert!(fault.to_string().ends_with("its cursor does not move"), "{fault}");
    asks(mews.start(now(), &changes()));
    for page in 1..=guests::MOST_PAGES {
        asks(mews.answered(now(), &answer(200, &full(&format!("c{page}")))));
    }
    let fault = mews.answered(now(), &answer(200, &full("c"))).unwrap_err();
    assert!(fault.to_string().ends_with("the list has no end"), "{fault}");
}

#[test]
fn many_numbers_are_asked_for_in_parts() {
    let names: Vec<String> = (0..401).map(id).collect();
    let known: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "101")).collect();
    let mut mews = mews(&known);
    asks(mews.start(now(), &Job::List));
    asks(mews.answered(now(), &answer(200, &rooms())));
    let first = said(&asks(mews.answered(now(), &nobody()))).1["ReservationIds"].clone();
    let second = said(&asks(mews.answered(now(), &nobody()))).1["ReservationIds"].clone();
    assert_eq!((first.as_array().unwrap().len(), &second), (400, &json!([names[400]])));
    let request = asks(mews.answered(now(), &nobody()));
    assert_eq!(said(&request).1["States"], json!(["Confirmed"]));
}

#[test]
fn a_property_of_another_zone_or_currency_is_not_the_houses() {
    let default = |code: &str| json!([{ "Currency": "GBP" }, { "Currency": code, "IsDefault": true }]);
    for (zone, currencies, want) in [
        ("Europe/Berlin", default("EUR"), None),
        ("Europe/Berlin", json!([{ "Currency": "GBP" }]), None),
        ("Europe/Berlin", default("CZK"), Some("its property accounts in CZK, and property.currency is EUR")),
        (
            "Asia/Tokyo",
            default("EUR"),
            Some("its property is in the time zone Asia/Tokyo, and property.zone is Europe/Berlin"),
        ),
    ] {
        let mut mews = mews(&[]);
        asks(mews.start(now(), &Job::Open));
        let property = json!({ "Enterprise": { "TimeZoneIdentifier": zone, "Currencies": currencies } });
        let step = mews.answered(now(), &answer(200, &property));
        match want {
            None => assert_eq!(ends(step), Outcome::Done),
            Some(want) => assert_eq!(step.unwrap_err().to_string(), want),
        }
    }
}

#[test]
fn a_charge_is_gross_or_net_as_the_property_accounts() {
    for (pricing, value) in [("Gross", "GrossValue"), ("Net", "NetValue"), ("OfTomorrow", "GrossValue")] {
        let mut mews = mews(&[]);
        assert_eq!(mews.name(), "Mews");
        asks(mews.start(now(), &Job::Open));
        let property = json!({ "Enterprise": { "TimeZoneIdentifier": "Europe/Berlin", "Pricing": pricing } });
        ends(mews.answered(now(), &answer(200, &property)));
        let known = guests::Known { room: "101".into(), account: Some("k1".to_owned()) };
        let stay = guests::companion("a", "k1");
        let guest = GuestRecord::default();
        mews.house.guests.seen(guests::Present { stay, known, guest }, false);
        let mut charge = posting("101", Some("a+k1"));
        charge.outlet = Some("bar".to_owned());
        let request = asks(mews.start(now(), &Job::Post(charge)));
        let (operation, body) = said(&request);
        assert!(request.once && operation == "orders/add");
        let amount = json!({ "Currency": "EUR", "TaxCodes": [], value: 12.5 });
        let item =
            json!({ "Name": "Laundry", "UnitCount": 1, "UnitAmount": amount, "ExternalIdentifier": "h-7" });
        let want =
            json!({ "ServiceId": "s2", "AccountId": "k1", "LinkedReservationId": "a", "Items": [item] });
        assert_eq!(body, want);
        assert_eq!(ends(mews.answered(now(), &answer(200, &json!({ "OrderId": "o" })))), Outcome::Done);
    }
    let refused = ends(with(&json!({}), &[]).start(now(), &Job::Post(posting("101", None))));
    assert!(matches!(refused, Outcome::Refused { status: "NF", .. }), "{refused:?}");
    let refused = ends(mews(&[]).start(now(), &Job::Post(posting("101", None))));
    assert!(matches!(refused, Outcome::Refused { status: "NG", .. }), "{refused:?}");
}

#[test]
fn a_charge_is_looked_for_page_by_page() {
    let look = Job::LookUp { posting: posting("101", None), since: now(), until: at("2026-07-15T10:05:00Z") };
    let page =
        |items: Value, cursor: Option<&str>| answer(200, &json!({ "OrderItems": items, "Cursor": cursor }));
    let full = json!(vec![json!({ "ExternalIdentifier": "h-70" }); PAGE]);
    let mut mews = mews(&[]);
    let request = asks(mews.start(now(), &look));
    let between = json!({ "StartUtc": "2026-07-15T09:58:00Z", "EndUtc": "2026-07-15T10:07:00Z" });
    let want = json!({ "ServiceIds": ["s1", "s2"], "CreatedUtc": between, "Limitation": { "Count": 500 } });
    assert_eq!(said(&request), ("orderItems/getAll", want));
    let request = asks(mews.answered(now(), &page(full.clone(), Some("c1"))));
    assert_eq!(said(&request).1["Limitation"], json!({ "Count": 500, "Cursor": "c1" }));
    let found =
        json!([{ "ExternalIdentifier": "h-70" }, { "ExternalIdentifier": "h-7", "CanceledUtc": null }]);
    assert_eq!(ends(mews.answered(now(), &page(found, None))), Outcome::Found(true));
    for items in [
        json!([]),
        json!([{ "ExternalIdentifier": "h-70" }]),
        json!([{ "ExternalIdentifier": "h-7", "CanceledUtc": "2026-07-15T10:00:30Z" }]),
    ] {
        asks(mews.start(now(), &look));
        // A page that is not full is the last, though a cursor comes with it.
        assert_eq!(ends(mews.answered(now(), &page(items, Some("c")))), Outcome::Found(false));
    }
    asks(mews.start(now(), &look));
    assert_eq!(ends(mews.answered(now(), &page(full.clone(), None))), Outcome::Found(false));
    asks(mews.start(now(), &look));
    for _ in 1..guests::MOST_PAGES {
        asks(mews.answered(now(), &page(full.clone(), Some("c"))));
    }
    let fault = mews.answered(now(), &page(full, Some("c"))).unwrap_err();
    assert!(fault.to_string().ends_with("the list has no end"), "{fault}");
}

#[test]
fn statuses_are_told_in_its_own_words() {
    let mut mews = mews(&[]);
    asks(mews.start(now(), &Job::List));
    asks(mews.answered(now(), &answer(200, &rooms())));
    asks(mews.answered(now(), &nobody()));
    ends(mews.answered(now(), &nobody()));
    let tell = |room: &str, status: &str| Job::Status { room: room.into(), status: status.to_owned() };
    for (status, word) in [
        ("dirty-vacant", "Dirty"),
        ("dirty-occupied", "Dirty"),
        ("clean-vacant", "Clean"),
        ("clean-occupied", "Clean"),
        ("inspected-vacant", "Inspected"),
        ("inspected-occupied", "Inspected"),
    ] {
        let request = asks(mews.start(now(), &tell("102", status)));
        let update = json!({ "ResourceUpdates": [{ "ResourceId": "r2", "State": { "Value": word } }] });
        assert_eq!(said(&request), ("resources/update", update));
        assert_eq!(ends(mews.answered(now(), &answer(200, &json!({})))), Outcome::Done);
    }
    for (room, status, code) in [("103", "clean-vacant", "NG"), ("101", "make-up", "NF")] {
        let refused = ends(mews.start(now(), &tell(room, status)));
        assert!(matches!(&refused, Outcome::Refused { status, .. } if *status == code), "{refused:?}");
    }
}

#[test]
fn events_of_rooms_and_stays_are_hints_and_others_are_none() {
    let mut mews = mews(&[]);
    for (events, changed) in [
        (json!([]), false),
        (json!([{ "Type": "PriceUpdate" }, { "Type": "OfTomorrow" }]), false),
        (json!([{ "Type": "PriceUpdate" }, { "Type": "Reservation" }]), true),
        (json!([{ "Type": "Resource" }]), true),
    ] {
        let heard = mews.feed_heard(now(), &json!({ "Events": events }).to_string()).unwrap();
        assert_eq!(heard, Heard { changed, ..Heard::default() }, "{events}");
    }
    assert!(mews.feed_heard(now(), "no JSON").is_err());
    assert_eq!(mews.feed(now(), None).unwrap().url, "wss://ws.mews.com/ws/connector");
    assert_eq!(mews.feed_opened(now(), None), [] as [&str; 0], "nothing is said on it");
    assert!(with(&json!({ "events": "" }), &[]).feed(now(), None).is_none());
}
