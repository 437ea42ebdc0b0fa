//! The adapter by itself: what it asks, page by page, and what it makes of the answers.

use super::super::drive::{answer, asks, at, ends, house, json_of, posting, target};
use super::*;
use engawa_model::{Presence, RoomFlags};

fn apaleo(guests: &[(&str, &str)]) -> Apaleo {
    let config = serde_json::from_value(json!({ "property": "MUC", "client_id": "APP" })).unwrap();
    Apaleo::new(config, Secret::new("s3cret"), house(guests))
}

fn now() -> Timestamp {
    at("2026-07-15T10:00:00Z")
}

fn changes() -> Job {
    Job::Changes { since: at("2026-07-15T09:00:00Z"), until: at("2026-07-15T09:59:30Z") }
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

fn gone(stay: &str, room: &str) -> Fact {
    Fact::GuestGone { room: room.into(), stay: Some(stay.into()), listed: false }
}

fn full(first: usize) -> serde_json::Value {
    let all: Vec<_> =
        (first..first + PAGE).map(|n| json!({ "id": format!("R{n}"), "status": "Confirmed" })).collect();
    json!({ "reservations": all })
}

#[test]
fn the_whole_house_is_units_stays_arrivals_and_who_is_missing() {
    let mut apaleo = apaleo(&[("gone", "103"), ("never", "104"), ("here", "101")]);
    let request = asks(apaleo.start(now(), &Job::List));
    assert_eq!((request.method, request.operation), ("GET", "inventory/units"));
    assert_eq!(target(&request), "inventory/v1/units propertyId=MUC pageNumber=1 pageSize=200");
    let units = json!({ "units": [{ "id": "MUC-1", "name": "101" }, { "id": "MUC-2", "name": "102" }] });
    let request = asks(apaleo.answered(now(), &answer(200, &units)));
    assert_eq!(
        target(&request),
        "booking/v1/reservations propertyIds=MUC status=InHouse pageNumber=1 pageSize=200"
    );
    let guest = json!({ "title": "Mrs", "firstName": "Ada", "lastName": "Okonkwo", "email": "a@example.com",
        "phone": "+44 20", "preferredLanguage": "en_GB" });
    let unit = |room: &str| json!({ "id": format!("MUC-{room}"), "name": room });
    let stays = json!({ "reservations": [
        { "id": "here", "status": "InHouse", "unit": unit("102"), "primaryGuest": guest,
            "arrival": "2026-07-14T23:30:00+02:00", "departure": "2026-07-18T23:00:00Z" },
        { "id": "nowhere", "status": "InHouse" },
    ] });
    let request = asks(apaleo.answered(now(), &answer(200, &stays)));
    assert_eq!(
        target(&request),
        "booking/v1/reservations propertyIds=MUC status=Confirmed dateFilter=Arrival \
         from=2026-07-14T22:00:00Z to=2026-07-17T10:00:00Z pageNumber=1 pageSize=200"
    );
    let due = json!({ "reservations": [
        { "id": "due", "status": "Confirmed", "unit": unit("101"), "arrival": "2026-07-16T22:30:00Z" },
        { "id": "without", "status": "Confirmed", "arrival": "2026-07-16T22:30:00Z" },
    ] });
    // Those whom the list does not have are asked for, the last first.
    let request = asks(apaleo.answered(now(), &answer(200, &due)));
    assert_eq!(target(&request), "booking/v1/reservations/never");
    let request = asks(apaleo.answered(now(), &answer(404, &json!({}))));
    assert_eq!(target(&request), "booking/v1/reservations/gone");
    let one = json!({ "id": "gone", "status": "CheckedOut" });
    let told = ends(apaleo.answered(now(), &answer(200, &one)));
    let guest = GuestRecord {
        name: guests::personal(Some("Okonkwo")),
        first_name: guests::personal(Some("Ada")),
        title: guests::personal(Some("Mrs")),
        language: Some("en-GB".to_owned()),
        arrival: Some("2026-07-14".parse().unwrap()),
        departure: Some("2026-07-19".parse().unwrap()),
        phone: guests::personal(Some("+44 20")),
        email: guests::personal(Some("a@example.com")),
        ..GuestRecord::default()
    };
    let expected = Fact::ArrivalExpected {
        stay: "due".into(),
        room: "101".into(),
        date: Some("2026-07-17".parse().unwrap()),
        eta: Some(at("2026-07-16T22:30:00Z")),
        vip: None,
    };
    let facts = vec![
        Fact::PmsRefused { why: "no-room".to_owned() },
        gone("gone", "103"),
        Fact::ResyncBegun,
        seen("here", "102", None, true, guest),
        Fact::ResyncDone,
        expected,
    ];
    assert_eq!(told, Outcome::Told(facts));
}

#[test]
fn of_changes_only_what_was_touched_is_asked_for() {
    let mut apaleo = apaleo(&[("a", "101"), ("b", "102"), ("c", "103")]);
    let request = asks(apaleo.start(now(), &changes()));
    assert_eq!(
        target(&request),
        "booking/v1/reservations propertyIds=MUC dateFilter=Modification from=2026-07-15T08:58:00Z \
         to=2026-07-15T09:59:30Z pageNumber=1 pageSize=200"
    );
    let page = json!({ "reservations": [
        { "id": "a", "status": "InHouse", "unit": { "id": "MUC-4", "name": "104" } },
        { "id": "b", "status": "CheckedOut", "unit": { "id": "MUC-2", "name": "102" } },
        { "id": "x", "status": "Canceled" },
    ] });
    let told = ends(apaleo.answered(now(), &answer(200, &page)));
    let facts = vec![gone("b", "102"), seen("a", "104", Some("101"), false, GuestRecord::default())];
    assert_eq!(told, Outcome::Told(facts));
    // Nobody was touched: 204.
    asks(apaleo.start(now(), &changes()));
    assert_eq!(ends(apaleo.answered(now(), &answer(204, &json!(null)))), Outcome::Told(Vec::new()));
}

#[test]
fn a_full_page_is_not_the_last_and_a_list_without_an_end_is_not_believed() {
    let mut apaleo = apaleo(&[]);
    asks(apaleo.start(now(), &changes()));
    for page in 1..=guests::MOST_PAGES {
        let body = full(if page < 3 { page as usize * PAGE } else { 0 });
        let request = asks(apaleo.answered(now(), &answer(200, &body)));
        let next = format!("pageNumber={} pageSize=200", page + 1);
        assert!(target(&request).ends_with(&next), "{}", target(&request));
    }
    let fault = apaleo.answered(now(), &answer(200, &full(0))).unwrap_err();
    assert_eq!(fault.to_string(), "the answers to booking/reservations make no sense: the list has no end");
}

#[test]
fn at_most_so_many_who_are_missing_are_asked_for() {
    let names: Vec<String> = (0..MOST_MISSING + 5).map(|n| format!("S{n:03}")).collect();
    let known: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "101")).collect();
    let mut apaleo = apaleo(&known);
    asks(apaleo.start(now(), &Job::List));
    let mut asked = 0;
    let mut step = apaleo.answered(now(), &answer(204, &json!(null)));
    while let Ok(Step::Ask(request)) = step {
        let missing = target(&request).starts_with("booking/v1/reservations/S");
        asked += usize::from(missing);
        step = apaleo.answered(now(), &answer(if missing { 404 } else { 204 }, &json!(null)));
    }
    assert_eq!(asked, MOST_MISSING);
    assert!(matches!(ends(step), Outcome::Told(_)));
}

#[test]
fn a_property_of_another_zone_or_currency_is_not_the_houses() {
    for (zone, currency, want) in [
        ("Europe/Berlin", Some("EUR"), None),
        ("Europe/Berlin", None, None),
        ("Europe/Berlin", Some("CZK"), Some("its property accounts in CZK, and property.currency is EUR")),
        (
            "Asia/Tokyo",
            Some("EUR"),
            Some("its property is in the time zone Asia/Tokyo, and property.zone is Europe/Berlin"),
        ),
    ] {
        let mut apaleo = apaleo(&[]);
        let request = asks(apaleo.start(now(), &Job::Open));
        assert_eq!(target(&request), "inventory/v1/properties/MUC");
        let property = json!({ "timeZone": zone, "currencyCode": currency });
        let step = apaleo.answered(now(), &answer(200, &property));
        match want {
            None => assert_eq!(ends(step), Outcome::Done),
            Some(want) => assert_eq!(step.unwrap_err().to_string(), want),
        }
    }
}

#[test]
fn a_token_is_renewed_before_it_ends_and_after_it_was_refused() {
    let mut apaleo = apaleo(&[]);
    assert_eq!(apaleo.name(), "Apaleo");
    assert!(!apaleo.forget_token(), "there is none");
    let later = |seconds| now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    for (expires_in, lasts) in [(3600, 3480), (151, 31), (150, 30), (20, 30)] {
        let request = apaleo.sign_in(now()).unwrap();
        assert_eq!(request.url, "https://identity.apaleo.com/connect/token");
        let token = json!({ "access_token": "t", "expires_in": expires_in });
        apaleo.signed_in(now(), &answer(200, &token)).unwrap();
        assert!(apaleo.sign_in(later(lasts - 1)).is_none(), "{expires_in}");
        assert!(apaleo.sign_in(later(lasts)).is_some(), "{expires_in}");
        let mut request = Request::get("x", "https://x/");
        apaleo.authorize(&mut request);
        assert_eq!(request.headers, [("authorization", "Bearer t".to_owned())]);
        assert!(apaleo.forget_token());
    }
    assert!(apaleo.signed_in(now(), &answer(200, &json!({}))).is_err(), "no token in it");
}

#[test]
fn a_charge_goes_to_the_main_folio_of_the_only_stay() {
    let mut apaleo = apaleo(&[("a", "101"), ("b", "102"), ("c", "102")]);
    let request = asks(apaleo.start(now(), &Job::Post(posting("101", None))));
    assert_eq!(target(&request), "finance/v1/folios reservationIds=a pageSize=200");
    let folios = json!({ "folios": [{ "id": "a-2" }, { "id": "a-1", "isMainFolio": true }] });
    let request = asks(apaleo.answered(now(), &answer(200, &folios)));
    assert_eq!(target(&request), "finance/v1/folio-actions/a-1/charges");
    assert!(request.once && request.headers.contains(&("idempotency-key", "h-7".to_owned())));
    assert_eq!(json_of(&request)["amount"], json!({ "amount": 12.5, "currency": "EUR" }));
    assert_eq!(ends(apaleo.answered(now(), &answer(201, &json!({ "id": "C1" })))), Outcome::Done);

    let request = asks(apaleo.start(now(), &Job::Post(posting("102", Some("c")))));
    assert_eq!(target(&request), "finance/v1/folios reservationIds=c pageSize=200");
    let refused = ends(apaleo.answered(now(), &answer(204, &json!(null))));
    let reason = "the reservation has no folio".to_owned();
    assert_eq!(refused, Outcome::Refused { status: "NG", reason });
    for room in ["102", "103"] {
        let refused = ends(apaleo.start(now(), &Job::Post(posting(room, None))));
        let reason = format!("room {room} has no stay, or several: name the stay");
        assert_eq!(refused, Outcome::Refused { status: "NG", reason });
    }
}

#[test]
fn a_charge_is_found_by_its_receipt_alone() {
    let look = |room| Job::LookUp { posting: posting(room, None), since: now(), until: now() };
    for (receipts, found) in [
        (json!([]), false),
        (json!([{ "receipt": null }, { "receipt": "h-70" }]), false),
        (json!([{ "receipt": "h-70" }, { "receipt": "h-7" }]), true),
    ] {
        let mut apaleo = apaleo(&[("a", "101")]);
        let request = asks(apaleo.start(now(), &look("101")));
        assert_eq!(target(&request), "finance/v1/folios reservationIds=a pageSize=200 expand=charges");
        let folios = json!({ "folios": [{ "id": "a-1" }, { "id": "a-2", "charges": receipts }] });
        assert_eq!(ends(apaleo.answered(now(), &answer(200, &folios))), Outcome::Found(found));
    }
    assert_eq!(ends(apaleo(&[]).start(now(), &look("101"))), Outcome::CannotLookUp);
}

#[test]
fn statuses_are_told_in_its_own_words() {
    let mut apaleo = apaleo(&[]);
    let units = json!({ "units": [{ "id": "MUC/1", "name": "101" }] });
    asks(apaleo.start(now(), &Job::List));
    asks(apaleo.answered(now(), &answer(200, &units)));
    asks(apaleo.answered(now(), &answer(204, &json!(null))));
    ends(apaleo.answered(now(), &answer(204, &json!(null))));
    let tell = |room: &str, status: &str| Job::Status { room: room.into(), status: status.to_owned() };
    for (status, word) in [
        ("dirty-vacant", "Dirty"),
        ("dirty-occupied", "Dirty"),
        ("clean-vacant", "CleanToBeInspected"),
        ("clean-occupied", "CleanToBeInspected"),
        ("inspected-vacant", "Clean"),
        ("inspected-occupied", "Clean"),
    ] {
        let request = asks(apaleo.start(now(), &tell("101", status)));
        assert_eq!((request.method, target(&request).as_str()), ("PATCH", "inventory/v1/units/MUC%2F1"));
        assert_eq!(request.body.as_ref().unwrap().0, "application/json-patch+json");
        assert_eq!(json_of(&request), json!([{ "op": "replace", "path": "/condition", "value": word }]));
        assert_eq!(ends(apaleo.answered(now(), &answer(204, &json!(null)))), Outcome::Done);
    }
    for (room, status, code, reason) in [
        ("102", "clean-vacant", "NG", "Apaleo has no unit 102"),
        ("101", "make-up", "NF", "Apaleo has no place for `make-up`"),
    ] {
        let refused = ends(apaleo.start(now(), &tell(room, status)));
        assert_eq!(refused, Outcome::Refused { status: code, reason: reason.to_owned() });
    }
    asks(apaleo.start(now(), &tell("101", "clean-vacant")));
    assert!(apaleo.answered(now(), &answer(422, &json!({}))).is_err());
}
