//! Apaleo: shapes of its public API description; pages of 200, 204 for nothing, tokens that end.

use super::house::{House, rooms};
use super::vendor::{Asked, Hotel, Trouble, Vendor};
use engawa_model::{Action, CommandOutcome, RoomId, Timestamp};
use engawa_pms::hosted::HostedConfig;
use serde_json::{Value, json};

#[derive(Default)]
struct Apaleo {
    rooms: Vec<String>,
    reservations: Vec<Value>,
    /// Charges by idempotency key.
    charges: Vec<(String, Value)>,
    patches: Vec<(String, Value)>,
    tokens: usize,
    /// The token that counts.
    token: String,
}

impl Apaleo {
    fn check_in(&mut self, n: usize, room: usize, name: &str, at: Timestamp) {
        let id = format!("XPGMSXGF-{n}");
        self.reservations.retain(|one| one["id"] != id);
        self.reservations.push(
            json!({ "id": id, "bookingId": "XPGMSXGF", "status": "InHouse", "modified": at,
            "unit": { "id": format!("MUC-{room}"), "name": self.rooms[room], "unitGroupId": "MUC-DBL" },
            "arrival": "2026-07-14T17:00:00+02:00", "departure": "2026-07-18T11:00:00+02:00",
            "primaryGuest": { "title": "Mr", "firstName": "J", "lastName": name, "preferredLanguage": "en",
                "email": "j@example.com", "address": { "city": "X" } },
            "guaranteeType": "OfTomorrow", "balance": { "amount": 0.0, "currency": "EUR" } }),
        );
    }

    fn state(&mut self, n: usize, status: &str, at: Timestamp) {
        for one in self.reservations.iter_mut().filter(|one| one["id"] == format!("XPGMSXGF-{n}")) {
            one["status"] = json!(status);
            one["modified"] = json!(at);
        }
    }
}

fn page(asked: &Asked, name: &str, all: &[Value]) -> (u16, Value) {
    let number = |field: &str| asked.field(field).unwrap().parse::<usize>().unwrap();
    let (page, size) = (number("pageNumber"), number("pageSize"));
    assert!(size <= 200, "a larger page is refused");
    let items: Vec<_> = all.iter().skip((page - 1) * size).take(size).cloned().collect();
    if items.is_empty() { (204, Value::Null) } else { (200, json!({ "count": all.len(), name: items })) }
}

impl Hotel for Apaleo {
    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        if asked.path == "/connect/token" {
            assert_eq!(asked.header("authorization"), Some("Basic QVBQOnMzY3JldA=="));
            assert_eq!(asked.body, "grant_type=client_credentials");
            self.tokens += 1;
            self.token = format!("token-{}", self.tokens);
            return (200, json!({ "access_token": self.token, "expires_in": 3600, "token_type": "Bearer" }));
        }
        if asked.header("authorization") != Some(&format!("Bearer {}", self.token)) {
            return (401, json!({ "messages": ["expired"] }));
        }
        let path: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
        match path.as_slice() {
            ["inventory", "v1", "properties", "MUC"] => (
                200,
                json!({ "id": "MUC", "timeZone": "Europe/Berlin", "currencyCode": "EUR", "name": { "de": "X" } }),
            ),
            ["inventory", "v1", "units"] => {
                let units = self.rooms.iter().enumerate().map(|(n, name)| {
                    json!({ "id": format!("MUC-{n}"), "name": name, "status": { "condition": "Clean" } })
                });
                page(asked, "units", &units.collect::<Vec<_>>())
            }
            ["inventory", "v1", "units", unit] => {
                assert_eq!(
                    (asked.method.as_str(), asked.header("content-type")),
                    ("PATCH", Some("application/json-patch+json"))
                );
                self.patches.push(((*unit).to_owned(), asked.json()));
                (204, Value::Null)
            }
            ["booking", "v1", "reservations"] => {
                assert_eq!(asked.field("propertyIds"), Some("MUC"));
                let time = |text: &str| text.parse::<Timestamp>().unwrap();
                let wanted = |one: &&Value| match asked.field("dateFilter") {
                    None => one["status"] == asked.field("status").unwrap(),
                    Some(filter) => {
                        let at = match filter {
                            "Modification" => time(one["modified"].as_str().unwrap()),
                            "Arrival" if one["status"] != asked.field("status").unwrap() => return false,
                            "Arrival" => time(one["arrival"].as_str().unwrap()),
                            other => panic!("{other}"),
                        };
                        time(asked.field("from").unwrap()) <= at && at <= time(asked.field("to").unwrap())
                    }
                };
                let all: Vec<Value> = self.reservations.iter().filter(wanted).cloned().collect();
                page(asked, "reservations", &all)
            }
            ["booking", "v1", "reservations", id] => {
                match self.reservations.iter().find(|one| one["id"] == *id) {
                    Some(one) => (200, one.clone()),
                    None => (404, json!({})),
                }
            }
            ["finance", "v1", "folios"] => {
                let stay = asked.field("reservationIds").unwrap();
                let charges: Vec<Value> = self.charges.iter().map(|(_, body)| body.clone()).collect();
                let shown = if asked.field("expand") == Some("charges") { charges } else { Vec::new() };
                (
                    200,
                    json!({ "count": 2, "folios": [
                    { "id": format!("{stay}-2"), "isMainFolio": false },
                    { "id": format!("{stay}-1"), "isMainFolio": true, "charges": shown }] }),
                )
            }
            ["finance", "v1", "folio-actions", folio, "charges"] => {
                assert!(folio.ends_with("-1"), "the main folio");
                let key = asked.header("idempotency-key").unwrap().to_owned();
                if !self.charges.iter().any(|(known, _)| *known == key) {
                    self.charges.push((key, asked.json()));
                }
                (201, json!({ "id": format!("C{}", self.charges.len()) }))
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn hotel(count: usize) -> Vendor<Apaleo> {
    Vendor::start(Apaleo { rooms: rooms(count), ..Apaleo::default() }).await
}

fn house(vendor: &Vendor<Apaleo>, count: usize, times: u32) -> House {
    let apaleo =
        json!({ "property": "MUC", "client_id": "APP", "url": vendor.url, "identity_url": vendor.url });
    let config: HostedConfig =
        serde_json::from_value(json!({ "insecure_loopback": true, "apaleo": apaleo })).unwrap();
    assert_eq!(config.validate(), []);
    House::new(config, "s3cret\n", &rooms(count), times)
}

#[tokio::test]
async fn pages_tokens_and_changes() {
    const ROOMS: usize = 450;
    let vendor = hotel(ROOMS).await;
    let mut house = house(&vendor, ROOMS, 60);
    let now = house.clock.start_time();
    house.start();
    house.up().await;
    assert_eq!(house.stays().len(), 0, "204 is an empty house");
    vendor.hotel(|hotel| (0..ROOMS).for_each(|n| hotel.check_in(n, n, &format!("Guest{n}"), now)));
    // The token ends early: it is renewed, and the question is asked again.
    vendor.hotel(|hotel| hotel.token = "another".to_owned());
    house.ask("list", Action::Resync);
    house.until("all are there", |house| (house.stays().len() == ROOMS).then_some(())).await;
    assert_eq!(vendor.hotel(|hotel| hotel.tokens), 2);
    vendor.hotel(|hotel| {
        hotel.state(3, "CheckedOut", house.clock_now());
        hotel.check_in(4, 3, "Guest4", house.clock_now());
    });
    house.until("changes", |house| house.stays().contains(&"104 Guest4".to_owned()).then_some(())).await;
    assert_eq!(house.stays().len(), ROOMS - 1);
    house.stop().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_charge_is_never_a_second_charge() {
    let vendor = hotel(1).await;
    let mut house = house(&vendor, 1, 120);
    let now = house.clock.start_time();
    vendor.hotel(|hotel| hotel.check_in(0, 0, "Doe", now));
    house.start();
    house.up().await;
    for (key, trouble) in [
        ("whole", None),
        ("cut", Some(Trouble::CutAfter(20))),
        ("silent", Some(Trouble::Silence)),
        ("broken", Some(Trouble::Status(502, None))),
        ("conflict", Some(Trouble::Status(409, None))),
        ("nonsense", Some(Trouble::Body("<html>".to_owned()))),
    ] {
        if let Some(trouble) = trouble {
            vendor.trouble("/charges", trouble);
        }
        house.charge(key, "101", 1999);
        house.until(key, |house| (house.outcome(key) == Some(CommandOutcome::Done)).then_some(())).await;
    }
    vendor.hotel(|hotel| {
        assert_eq!(hotel.charges.len(), 6);
        assert_eq!(
            hotel.charges[0],
            (
                "grand-1-1".to_owned(),
                json!({ "serviceType": "Other", "vatType": "Normal", "name": "Laundry",
                "amount": { "amount": 19.99, "currency": "EUR" }, "receipt": "grand-1-1" })
            )
        );
    });
    house.ask("s", Action::RoomStatus { room: RoomId::from("101"), status: "clean-vacant".to_owned() });
    assert_eq!(house.until("told", |house| house.outcome("s")).await, CommandOutcome::Done);
    let patch = json!([{ "op": "replace", "path": "/condition", "value": "CleanToBeInspected" }]);
    assert_eq!(vendor.hotel(|hotel| hotel.patches.clone()), [("MUC-0".to_owned(), patch)]);
    house.stop().await;
}

#[tokio::test]
async fn who_comes_tomorrow_is_expected_until_it_is_cancelled() {
    let vendor = hotel(3).await;
    let mut house = house(&vendor, 3, 120);
    let now = house.clock.start_time();
    vendor.hotel(|hotel| {
        hotel.check_in(0, 0, "Sato", now);
        for (n, arrival) in [(1, "2026-07-16T16:00:00+02:00"), (2, "2026-07-20T16:00:00+02:00")] {
            hotel.check_in(n, n, "Mori", now);
            hotel.state(n, "Confirmed", now);
            hotel.reservations.last_mut().unwrap()["arrival"] = json!(arrival);
        }
    });
    house.start();
    house.up().await;
    house.look(|property| {
        let expected: Vec<_> = property.arrivals().values().collect();
        let [arrival] = expected.as_slice() else { panic!("{expected:?}") };
        assert_eq!(
            (arrival.room.as_str(), arrival.eta.unwrap().to_string().as_str()),
            ("102", "2026-07-16T14:00:00Z")
        );
    });
    vendor.hotel(|hotel| hotel.state(1, "Canceled", house.clock_now()));
    house.ask("list", Action::Resync);
    house
        .until("nobody is expected", |house| {
            house.look(|property| property.arrivals().is_empty()).then_some(())
        })
        .await;
    house.stop().await;
}
