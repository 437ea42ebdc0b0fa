//! Mews: shapes of its documentation, version 2023-06-06 of reservations.

mod authority;
mod server;

use super::house::{House, rooms};
use super::vendor::{Trouble, Vendor};
use authority::authority;
use engawa_model::{Action, Change, CommandOutcome, PostingState, RoomId, StayEnd};
use engawa_pms::hosted::HostedConfig;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use server::{Mews, id};
use std::time::Duration;

const SECRET: &str = "client-E0D4\naccess-C66E\n";

fn config(url: &str) -> HostedConfig {
    let config: HostedConfig = serde_json::from_value(json!({
        "insecure_loopback": true,
        "mews": { "url": url, "events": "", "charge_service": "service-1", "tax_codes": ["DE-S"] },
    }))
    .unwrap();
    assert_eq!(config.validate(), []);
    config
}

async fn hotel(count: usize) -> Vendor<Mews> {
    Vendor::start(Mews::with(&rooms(count))).await
}

fn house(vendor: &Vendor<Mews>, count: usize, times: u32) -> House {
    House::new(config(&vendor.url), SECRET, &rooms(count), times)
}

#[tokio::test]
async fn a_house_of_three_pages_is_listed_moved_and_checked_out() {
    const ROOMS: usize = 1203;
    let vendor = hotel(ROOMS).await;
    let mut house = house(&vendor, ROOMS, 60);
    let now = house.clock.start_time();
    vendor.hotel(|hotel| (0..ROOMS).for_each(|n| hotel.check_in(n, n, &format!("Guest{n}"), now)));
    house.start();
    house.up().await;
    assert_eq!(house.stays().len(), ROOMS);
    assert_eq!(house.stays()[0], "1000 Guest899");
    // 3 pages of resources, 3 of reservations, 4 chunks of customers.
    assert_eq!((vendor.count("resources/getAll"), vendor.count("customers/getAll")), (3, 4));
    house.look(|property| {
        let stay = &property.stays()[&engawa_model::StayId::new(id(2, 7))];
        assert_eq!(stay.language.as_deref(), Some("de-DE"));
        assert_eq!(stay.arrival.unwrap().to_string(), "2026-07-14");
        assert_eq!(stay.departure.unwrap().to_string(), "2026-07-18");
        assert_eq!(stay.vip.as_deref(), Some("VIP"));
        assert!(stay.phone.is_some() && stay.email.is_none());
    });
    // One leaves, one moves into the room: changes tell it at the next question, with its reason.
    vendor.hotel(|hotel| {
        hotel.state(5, "Processed", house.clock_now());
        hotel.check_in(6, 5, "Guest6", house.clock_now());
    });
    house
        .until("the change is known", |house| house.stays().contains(&"106 Guest6".to_owned()).then_some(()))
        .await;
    let changes = house.changes();
    let left = changes.iter().filter(
        |change| matches!(change, Change::CheckedOut { reason, .. } if *reason == StayEnd::CheckedOut),
    );
    assert_eq!(left.count(), 1);
    assert!(
        changes.iter().any(|change| matches!(change, Change::Moved { to, .. } if *to == RoomId::from("106")))
    );
    house.stop().await;
}

#[tokio::test]
async fn who_accompanies_a_guest_lives_there_and_who_comes_tomorrow_is_expected() {
    let vendor = hotel(4).await;
    let mut house = house(&vendor, 4, 200);
    let now = house.clock.start_time();
    vendor.hotel(|hotel| {
        hotel.check_in(0, 0, "Sato", now);
        hotel.check_in(1, 1, "Mori", now);
        // Two with Sato, of whom one is Sato; and somebody of a group without a reservation of it.
        hotel.customers.push(json!({ "Id": id(3, 7), "LastName": "Sato", "FirstName": "Ken", "LanguageCode": "ja-JP" }));
        for (n, customer) in [(0, 7), (0, 0)] {
            let companionship = json!({ "Id": id(6, customer), "CustomerId": id(3, customer), "ReservationId": id(2, n),
                "ReservationGroupId": id(7, 0) });
            hotel.companionships.push(companionship);
        }
        hotel.companionships.push(json!({ "Id": id(6, 9), "CustomerId": id(3, 9), "ReservationId": null,
            "ReservationGroupId": id(7, 0) }));
        // Tomorrow, next week, and one without a room.
        for (n, room, start) in [(8, json!(id(1, 2)), "2026-07-16T12:30:00Z"), (9, json!(id(1, 3)), "2026-07-22T13:00:00Z"),
            (10, Value::Null, "2026-07-16T13:00:00Z")] {
            hotel.reservations.push(json!({ "Id": id(2, n), "AccountId": id(3, n), "AccountType": "Customer",
                "State": "Confirmed", "AssignedResourceId": room, "UpdatedUtc": "2026-07-01T00:00:00Z",
                "ScheduledStartUtc": start, "ScheduledEndUtc": "2026-07-24T09:00:00Z" }));
        }
    });
    house.start();
    house.up().await;
    assert_eq!(house.stays(), ["101 Sato", "101 Sato", "102 Mori"]);
    house.look(|property| {
        let with = engawa_model::StayId::new(format!("{}+{}", id(2, 0), id(3, 7)));
        assert_eq!(property.stays()[&with].language.as_deref(), Some("ja-JP"));
        let expected: Vec<_> = property.arrivals().iter().map(|(stay, one)| (stay.as_str(), one)).collect();
        let [(stay, arrival)] = expected.as_slice() else { panic!("{expected:?}") };
        assert_eq!((*stay, arrival.room.as_str()), (id(2, 8).as_str(), "103"));
        assert_eq!(arrival.eta.unwrap().to_string(), "2026-07-16T12:30:00Z");
    });
    // The room is charged to who made the reservation, as before.
    house.charge("c1", "101", 500);
    house.until("booked", |house| (house.outcome("c1") == Some(CommandOutcome::Done)).then_some(())).await;
    vendor.hotel(|hotel| assert_eq!(hotel.orders[0]["AccountId"], id(3, 0)));
    // Both leave together; tomorrow's guest cancels.
    vendor.hotel(|hotel| {
        hotel.state(0, "Processed", house.clock_now());
        hotel.state(8, "Canceled", house.clock_now());
    });
    house.until("they have left", |house| (house.stays() == ["102 Mori"]).then_some(())).await;
    house.ask("list", Action::Resync);
    house
        .until("nobody is expected", |house| {
            house.look(|property| property.arrivals().is_empty()).then_some(())
        })
        .await;
    let changes = house.changes();
    let left = |change: &&Change| matches!(change, Change::CheckedOut { reason: StayEnd::CheckedOut, .. });
    assert_eq!(changes.iter().filter(left).count(), 2, "each with its reason");
    house.stop().await;
}

#[tokio::test]
async fn what_happened_while_nobody_listened_is_told_with_its_reason() {
    let vendor = hotel(4).await;
    let mut house = house(&vendor, 4, 60);
    let now = house.clock.start_time();
    vendor.hotel(|hotel| (0..3).for_each(|n| hotel.check_in(n, n, "Sato", now)));
    house.start();
    house.up().await;
    house.stop().await;
    vendor.hotel(|hotel| {
        hotel.state(0, "Processed", house.clock_now());
        // An update that nobody can see: its time is older than any question.
        hotel.state(1, "Processed", "2026-07-01T00:00:00Z".parse().unwrap());
    });
    house.start();
    house.until("both have left", |house| (house.stays().len() == 1).then_some(())).await;
    let reasons: Vec<StayEnd> = house
        .changes()
        .into_iter()
        .filter_map(|change| match change {
            Change::CheckedOut { reason, .. } => Some(reason),
            _ => None,
        })
        .collect();
    // The second is missing in the list and was asked for by its number.
    assert_eq!(reasons, [StayEnd::CheckedOut, StayEnd::CheckedOut]);
    house.stop().await;
}

#[tokio::test]
async fn a_list_that_breaks_off_changes_nothing_and_is_asked_for_again() {
    let vendor = hotel(3).await;
    let mut house = house(&vendor, 3, 200);
    let now = house.clock.start_time();
    vendor.hotel(|hotel| (0..3).for_each(|n| hotel.check_in(n, n, "Sato", now)));
    house.start();
    house.up().await;
    for trouble in [
        Trouble::Status(500, None),
        Trouble::Status(503, Some(2)),
        Trouble::Status(429, Some(3)),
        Trouble::Status(408, None),
        Trouble::CutBefore,
        Trouble::CutAfter(300),
        Trouble::Silence,
    ] {
        vendor.trouble("reservations/getAll", trouble);
    }
    let before = vendor.count("reservations/getAll");
    let list = |house: &House| {
        house
            .changes()
            .iter()
            .filter(|change| matches!(change, Change::Resync { phase, .. } if phase == "done"))
            .count()
    };
    let lists = list(&house);
    house.ask("list", Action::Resync);
    house.until("another list", |house| (list(house) > lists).then_some(())).await;
    house.up().await;
    assert!(vendor.count("reservations/getAll") >= before + 8, "each trouble was met");
    assert_eq!(house.stays().len(), 3);
    assert!(!house.changes().iter().any(|change| matches!(change, Change::CheckedOut { .. })));
    house.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_named_by_its_place_without_a_guest() {
    let vendor = hotel(2).await;
    let mut house = house(&vendor, 2, 60);
    vendor.trouble(
        "reservations/getAll",
        Trouble::Body(r#"{"Reservations":[{"Id":"a","State":{"Name":"Okonkwo"}}],"Cursor":null}"#.to_owned()),
    );
    house.start();
    let why = house.down().await;
    assert_eq!(
        why,
        "Mews: the answer to reservations/getAll can't be read at Reservations[0].State (line 1, column 35): \
         expected a string"
    );
    house.up().await;
    house.stop().await;
}

#[tokio::test]
async fn a_property_of_another_currency_and_wrong_tokens_are_told() {
    let vendor = hotel(1).await;
    vendor.hotel(|hotel| hotel.currency = Some("CZK"));
    let mut house = house(&vendor, 1, 60);
    house.start();
    assert_eq!(house.down().await, "Mews: its property accounts in CZK, and property.currency is EUR");
    house.stop().await;
    let mut house = House::new(config(&vendor.url), "wrong\ntokens", &rooms(1), 60);
    house.start();
    let why = house.down().await;
    assert!(why.starts_with("Mews refuses our credentials (401 to configuration/get)"), "{why}");
    assert!(!why.contains("wrong"));
    house.stop().await;
}

#[tokio::test]
async fn a_charge_is_booked_once_and_a_refusal_is_told() {
    let vendor = hotel(2).await;
    let mut house = house(&vendor, 2, 60);
    let now = house.clock.start_time();
    vendor.hotel(|hotel| hotel.check_in(0, 0, "Sato", now));
    house.start();
    house.up().await;
    house.charge("c1", "101", 1250);
    let done = house.until("it is booked", |house| house.outcome("c1")).await;
    assert_eq!(done, CommandOutcome::Done);
    vendor.hotel(|hotel| {
        let order = &hotel.orders[0];
        assert_eq!(order["AccountId"], id(3, 0));
        assert_eq!(order["LinkedReservationId"], id(2, 0));
        let item = &order["Items"][0];
        assert_eq!(
            item["UnitAmount"],
            json!({ "Currency": "EUR", "GrossValue": 12.5, "TaxCodes": ["DE-S"] })
        );
        assert_eq!(item["ExternalIdentifier"], "grand-1-1");
    });
    // Nobody is in 102.
    house.charge("c2", "102", 100);
    let refused = house.until("an outcome", |house| house.outcome("c2")).await;
    assert!(
        matches!(&refused, CommandOutcome::Refused { reason } if reason.contains("name the stay")),
        "{refused:?}"
    );
    let amount = engawa_model::Money { minor: 1, currency: engawa_model::Currency::new("EUR").unwrap() };
    let text = "Refuse me".to_owned();
    house.ask("c3", Action::Post { room: RoomId::from("101"), stay: None, amount, text, outlet: None });
    let refused = house.until("an outcome", |house| house.outcome("c3")).await;
    // The vendor's words hold a name: they are not told.
    assert!(
        matches!(&refused, CommandOutcome::Refused { reason } if reason.contains("403") && !reason.contains("Okonkwo"))
    );
    assert_eq!(vendor.hotel(|hotel| hotel.orders.len()), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_charge_whose_answer_is_cut_at_any_byte_is_booked_exactly_once() {
    let vendor = hotel(1).await;
    let mut house = house(&vendor, 1, 120);
    let now = house.clock.start_time();
    vendor.hotel(|hotel| hotel.check_in(0, 0, "Sato", now));
    house.start();
    house.up().await;
    // The answer has less than 150 bytes: at the end it is whole.
    for count in 0..150 {
        vendor.trouble("orders/add", Trouble::CutAfter(count));
        let key = format!("cut-{count}");
        house.charge(&key, "101", 100 + count as i64);
        house.until(&key, |house| (house.outcome(&key) == Some(CommandOutcome::Done)).then_some(())).await;
    }
    let mut idents: Vec<String> = vendor.hotel(|hotel| {
        let of = |order: &Value| order["Items"][0]["ExternalIdentifier"].as_str().unwrap().to_owned();
        hotel.orders.iter().map(of).collect()
    });
    assert_eq!(idents.len(), 150, "none twice, none lost");
    idents.sort();
    idents.dedup();
    assert_eq!(idents.len(), 150);
    house.stop().await;
}

#[tokio::test]
async fn a_charge_that_never_arrived_is_sent_again_and_one_of_an_earlier_life_is_left_to_staff() {
    let vendor = hotel(1).await;
    let mut house = house(&vendor, 1, 120);
    let now = house.clock.start_time();
    vendor.hotel(|hotel| hotel.check_in(0, 0, "Sato", now));
    house.start();
    house.up().await;
    for (key, trouble) in [
        ("cut", Trouble::CutBefore),
        ("broken", Trouble::Status(500, None)),
        ("slow", Trouble::Status(429, Some(5))),
    ] {
        vendor.trouble("orders/add", trouble);
        house.charge(key, "101", 700);
        house.until(key, |house| (house.outcome(key) == Some(CommandOutcome::Done)).then_some(())).await;
    }
    assert_eq!(vendor.hotel(|hotel| hotel.orders.len()), 3);

    // Booked, the answer lost, and the process dies before it could look.
    vendor.trouble("orders/add", Trouble::Silence);
    house.charge("booked", "101", 800);
    house.until("it is booked", |_| (vendor.hotel(|hotel| hotel.orders.len()) == 4).then_some(())).await;
    house.kill();
    house.start();
    house
        .until("it is found", |house| (house.outcome("booked") == Some(CommandOutcome::Done)).then_some(()))
        .await;

    // Never arrived, and the process dies: staff may have booked it by hand, so nobody sends it again.
    let looks = vendor.count("orderItems/getAll");
    vendor.trouble("orders/add", Trouble::Status(500, None));
    house.charge("lost", "101", 900);
    house.until("it went out", |_| (vendor.count("orders/add") == 8).then_some(())).await;
    house.until("it is in doubt", |house| house.outcome("lost")).await;
    house.kill();
    house.start();
    house
        .until("it was looked for", |_| (vendor.count("orderItems/getAll") >= looks + 2).then_some(()))
        .await;
    house.charge("next", "101", 1000);
    house
        .until("the next", |house| (house.outcome("next") == Some(CommandOutcome::Done)).then_some(()))
        .await;
    assert!(matches!(house.outcome("lost"), Some(CommandOutcome::Doubtful { .. })));
    let doubtful = house.look(|property| {
        property.postings().values().filter(|posting| posting.state == PostingState::Doubtful).count()
    });
    assert_eq!((doubtful, vendor.hotel(|hotel| hotel.orders.len())), (1, 5));
    house.stop().await;
}

#[tokio::test]
async fn statuses_are_told_and_signs_are_refused() {
    let vendor = hotel(2).await;
    let mut house = house(&vendor, 2, 60);
    house.start();
    house.up().await;
    let room = || RoomId::from("102");
    house.ask("s1", Action::RoomStatus { room: room(), status: "inspected-vacant".to_owned() });
    house.ask("s2", Action::Service { room: room(), sign: "make-up".to_owned() });
    assert_eq!(house.until("told", |house| house.outcome("s1")).await, CommandOutcome::Done);
    let refused = house.until("refused", |house| house.outcome("s2")).await;
    assert_eq!(refused, CommandOutcome::Refused { reason: "Mews has no place for `make-up`".to_owned() });
    let update = vendor.hotel(|hotel| hotel.updates.clone());
    assert_eq!(update, [json!({ "ResourceId": id(1, 1), "State": { "Value": "Inspected" } })]);
    house.stop().await;
}

#[tokio::test]
async fn events_are_hints_and_what_they_miss_is_polled() {
    let vendor = hotel(3).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&vendor.url);
    let mews = config.mews.as_mut().unwrap();
    mews.events = format!("ws://{}", listener.local_addr().unwrap());
    // Without events nothing would be known for an hour.
    config.poll_s = 3_600;
    config.list_s = 86_400;
    let mut house = House::new(config, SECRET, &rooms(3), 1);
    house.start();
    house.up().await;
    let accept = async || {
        let (stream, _) = listener.accept().await.unwrap();
        let mut cookie = String::new();
        #[allow(clippy::result_large_err, reason = "the library's own type")]
        let look = |request: &tokio_tungstenite::tungstenite::handshake::server::Request, response| {
            request.headers()["cookie"].to_str().unwrap().clone_into(&mut cookie);
            assert_eq!(request.uri().path(), "/ws/connector");
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
        assert_eq!(cookie, "ClientToken=client-E0D4; AccessToken=access-C66E");
        socket
    };
    let mut socket = accept().await;
    let event = |n: usize| {
        let events = json!({ "Events": [
            { "Type": "PriceUpdate", "Id": "x", "RateId": "y" },
            { "Type": "Reservation", "Id": id(2, n), "State": "Started" },
            { "Type": "OfTomorrow", "Id": "z", "More": [1] }] });
        tokio_tungstenite::tungstenite::Message::text(events.to_string())
    };
    vendor.hotel(|hotel| hotel.check_in(0, 0, "Sato", house.clock_now()));
    socket.send(event(0)).await.unwrap();
    house.until("the hint", |house| (house.stays().len() == 1).then_some(())).await;
    // The connection breaks, and something happens before it is there again: the opening asks.
    drop(socket);
    vendor.hotel(|hotel| hotel.check_in(1, 1, "Mori", house.clock_now()));
    let mut socket = accept().await;
    house.until("the gap", |house| (house.stays().len() == 2).then_some(())).await;
    // A message that can't be read is a hint, too.
    vendor.hotel(|hotel| hotel.state(0, "Processed", house.clock_now()));
    socket.send(tokio_tungstenite::tungstenite::Message::text("{\"Events\":[{}]}")).await.unwrap();
    house.until("the last", |house| (house.stays().len() == 1).then_some(())).await;
    house.stop().await;
    assert!(
        tokio::time::timeout(Duration::from_secs(5), socket.next()).await.is_ok(),
        "the feed ends with the shell"
    );
}

#[tokio::test]
async fn tls_is_with_the_authority_that_was_named_and_no_other() {
    let (good, other) = (authority(), authority());
    let vendor = Vendor::with(Mews::with(&rooms(1)), Some(good.acceptor())).await;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let config = || {
        let mews = json!({ "mews": { "url": vendor.url, "events": "" } });
        let config: HostedConfig = serde_json::from_value(mews).unwrap();
        assert_eq!(config.validate(), []);
        config
    };
    let mut house = House::new(config(), SECRET, &rooms(1), 60).trusting(write("other.pem", &other.pem));
    house.start();
    let why = house.down().await;
    assert!(why.contains("TLS: invalid peer certificate"), "{why}");
    house.stop().await;
    assert_eq!(vendor.count(""), 0, "no token left the house");
    let mut house = House::new(config(), SECRET, &rooms(1), 60).trusting(write("good.pem", &good.pem));
    house.start();
    house.up().await;
    house.stop().await;
}
