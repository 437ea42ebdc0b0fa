//! OPERA Cloud: shapes of Oracle's published descriptions, and its stream of business events.

use super::house::{House, rooms};
use super::vendor::{Asked, Hotel, Trouble, Vendor};
use engawa_model::{Action, Change, CommandOutcome, RoomId};
use engawa_pms::hosted::HostedConfig;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

#[derive(Default)]
struct Opera {
    reservations: Vec<Value>,
    charges: Vec<Value>,
    statuses: Vec<Value>,
}

impl Opera {
    fn check_in(&mut self, n: usize, room: &str, name: &str) {
        let id = n.to_string();
        self.reservations.retain(|one| one["reservationIdList"][0]["id"] != id.as_str());
        self.reservations.push(json!({
            "reservationIdList": [{ "id": n.to_string(), "type": "Reservation" }, { "id": "C1", "type": "Confirmation" }],
            "roomStay": { "arrivalDate": "2026-07-14", "departureDate": "2026-07-18", "roomId": room, "roomType": "KING" },
            "reservationGuest": { "id": "P1", "type": "Profile", "givenName": "A", "surname": name, "language": "E" },
            "reservationStatus": "InHouse", "computedReservationStatus": "InHouse", "hotelId": "HQ1" }));
    }

    fn state(&mut self, n: usize, status: &str) {
        let id = n.to_string();
        for one in &mut self.reservations {
            if one["reservationIdList"][0]["id"] == id.as_str() {
                one["computedReservationStatus"] = json!(status);
            }
        }
    }
}

impl Hotel for Opera {
    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        assert_eq!(asked.header("x-app-key"), Some("key-1"));
        if asked.path == "/oauth/v1/tokens" {
            assert_eq!(asked.header("enterpriseid"), Some("ENT1"));
            assert_eq!(asked.header("authorization"), Some("Basic b2hpcDpzM2NyZXQ="));
            assert!(asked.body.contains("scope=urn%3Aopc%3Ahgbu%3Aws%3A__myscopes__"), "{}", asked.body);
            return (200, json!({ "access_token": "t", "expires_in": 3600, "token_type": "Bearer" }));
        }
        assert_eq!(
            (asked.header("authorization"), asked.header("x-hotelid")),
            (Some("Bearer t"), Some("HQ1"))
        );
        match asked.path.as_str() {
            "/rsv/v1/hotels/HQ1/reservations" => {
                let numbers: Vec<&str> = asked
                    .query
                    .iter()
                    .filter(|(name, _)| name == "reservationIdList")
                    .map(|(_, id)| id.as_str())
                    .collect();
                let wanted = |one: &&Value| match asked.field("searchType") {
                    Some("InHouse") => {
                        matches!(one["computedReservationStatus"].as_str(), Some("InHouse" | "DueOut"))
                    }
                    _ if asked.field("arrivalStartDate").is_some() => {
                        let day = one["roomStay"]["arrivalDate"].as_str().unwrap();
                        asked.field("arrivalStartDate").unwrap() <= day
                            && day <= asked.field("arrivalEndDate").unwrap()
                    }
                    _ => numbers.contains(&one["reservationIdList"][0]["id"].as_str().unwrap()),
                };
                let all: Vec<Value> = self.reservations.iter().filter(wanted).cloned().collect();
                let number = |field: &str| asked.field(field).unwrap().parse::<usize>().unwrap();
                let (offset, limit) = (number("offset"), number("limit"));
                let page: Vec<_> = all.iter().skip(offset).take(limit).cloned().collect();
                let more = offset + page.len() < all.len();
                (
                    200,
                    json!({ "reservations": { "reservationInfo": page, "hasMore": more, "totalResults": all.len() } }),
                )
            }
            "/csh/v1/hotels/HQ1/reservations/7/charges" => {
                self.charges.push(asked.json());
                (201, json!({ "links": [] }))
            }
            "/csh/v1/hotels/HQ1/reservations/7/folios" => {
                assert_eq!(asked.field("fetchInstructions"), Some("Postings"));
                let postings: Vec<_> = self.charges.iter().map(|body| {
                    let reference = body["criteria"]["charges"][0]["postingReference"].as_str().unwrap();
                    json!({ "transactionNo": 1, "transactionCode": "1000", "reference": format!("{reference} ") })
                }).collect();
                (
                    200,
                    json!({ "reservationFolioInformation": { "folioWindows": [{ "folios": [{ "postings": postings }] }] } }),
                )
            }
            "/hsk/v1/hotels/HQ1/rooms/status" => {
                self.statuses.push(asked.json());
                (200, json!({}))
            }
            other => panic!("{other}"),
        }
    }
}

fn config(url: &str) -> HostedConfig {
    let ohip = json!({ "url": url, "hotel": "HQ1", "client_id": "ohip", "app_key": "key-1", "enterprise": "ENT1",
        "transaction_code": "1000", "cashier": 12, "stream_pause_s": 1 });
    let config: HostedConfig =
        serde_json::from_value(json!({ "insecure_loopback": true, "ohip": ohip })).unwrap();
    assert_eq!(config.validate(), []);
    config
}

#[tokio::test]
async fn reservations_charges_and_statuses() {
    const ROOMS: usize = 250;
    let vendor = Vendor::start(Opera::default()).await;
    let mut house = House::new(config(&vendor.url), "s3cret", &rooms(ROOMS), 120);
    vendor.hotel(|hotel| (0..ROOMS).for_each(|n| hotel.check_in(n, &format!("{}", 101 + n), "Hopper")));
    house.start();
    house.up().await;
    assert_eq!(house.stays().len(), ROOMS);
    house.charge("c1", "108", 1250);
    house.until("booked", |house| (house.outcome("c1") == Some(CommandOutcome::Done)).then_some(())).await;
    vendor.trouble("/charges", Trouble::CutAfter(9));
    house.charge("c2", "108", 300);
    house.until("found", |house| (house.outcome("c2") == Some(CommandOutcome::Done)).then_some(())).await;
    vendor.hotel(|hotel| {
        assert_eq!(hotel.charges.len(), 2);
        assert_eq!(hotel.charges[0], json!({ "criteria": { "hotelId": "HQ1", "cashierId": 12, "charges": [{
            "transactionCode": "1000", "price": { "amount": 12.5, "currencyCode": "EUR" }, "postingQuantity": 1,
            "postingReference": "grand-1-1", "postingRemark": "Laundry" }] } }));
    });
    house.ask("s", Action::RoomStatus { room: RoomId::from("108"), status: "dirty-vacant".to_owned() });
    assert_eq!(house.until("told", |house| house.outcome("s")).await, CommandOutcome::Done);
    let status = json!({ "roomList": [{ "roomId": "108" }], "housekeepingRoomStatus": "Dirty" });
    assert_eq!(vendor.hotel(|hotel| hotel.statuses.clone()), [status]);
    // A change is told without a list: the journal does not fill with lists that say nothing new.
    let lists = |house: &House| {
        house.changes().iter().filter(|change| matches!(change, Change::Resync { .. })).count()
    };
    let before = lists(&house);
    vendor.hotel(|hotel| hotel.check_in(9, "111", "Hopper"));
    house
        .until("moved", |house| {
            house.stays().iter().filter(|stay| stay.starts_with("111 ")).nth(1).map(|_| ())
        })
        .await;
    assert!(lists(&house) <= before + 2);
    house.stop().await;
}

#[tokio::test]
async fn the_stream_goes_on_from_its_last_offset_and_the_list_tells_the_rest() {
    let vendor = Vendor::start(Opera::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(&vendor.url);
    (config.poll_s, config.list_s) = (3_600, 86_400);
    config.ohip.as_mut().unwrap().chain = Some("CHAIN".to_owned());
    // One address for both: the stream's connections are told apart by their path and passed on.
    let events = listener.local_addr().unwrap();
    let front = super::vendor::front(&vendor.url, events).await;
    config.ohip.as_mut().unwrap().url = front;
    let mut house = House::new(config, "s3cret", &rooms(3), 1);
    vendor.hotel(|hotel| hotel.check_in(1, "101", "Hopper"));
    house.start();
    house.up().await;

    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = accept(stream).await;
    let init = text(&mut socket).await;
    assert_eq!(
        (&init["type"], &init["payload"]["Authorization"]),
        (&json!("connection_init"), &json!("Bearer t"))
    );
    say(&mut socket, json!({ "type": "connection_ack" })).await;
    let subscribe = text(&mut socket).await;
    assert_eq!(subscribe["payload"]["variables"]["input"], json!({ "chainCode": "CHAIN" }));
    say(&mut socket, json!({ "type": "ping" })).await;
    assert_eq!(text(&mut socket).await["type"], "pong");
    vendor.hotel(|hotel| hotel.check_in(2, "102", "Turing"));
    let event = |offset: &str, hotel: &str| {
        json!({ "id": "engawa", "type": "next", "payload": { "data": { "newEvent": {
            "metadata": { "offset": offset, "uniqueEventId": "u", "more": 1 }, "moduleName": "RESERVATION",
            "eventName": "CHECK IN", "primaryKey": "2", "hotelId": hotel } } } })
    };
    say(&mut socket, event("41", "ELSEWHERE")).await;
    say(&mut socket, event("42", "HQ1")).await;
    house.until("the event", |house| (house.stays().len() == 2).then_some(())).await;
    house.stop().await;

    // Another life: from the last offset on.
    vendor.hotel(|hotel| hotel.state(1, "CheckedOut"));
    house.start();
    house.up().await;
    assert_eq!(house.stays(), ["102 Turing"]);
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = accept(stream).await;
    text(&mut socket).await;
    say(&mut socket, json!({ "type": "connection_ack" })).await;
    let subscribe = text(&mut socket).await;
    assert_eq!(subscribe["payload"]["variables"]["input"], json!({ "chainCode": "CHAIN", "offset": "42" }));
    // Too old: the server says so, the next connection begins anew.
    say(&mut socket, json!({ "id": "engawa", "type": "error", "payload": [{ "message": "offset" }] })).await;
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = accept(stream).await;
    text(&mut socket).await;
    say(&mut socket, json!({ "type": "connection_ack" })).await;
    let subscribe = text(&mut socket).await;
    assert_eq!(subscribe["payload"]["variables"]["input"], json!({ "chainCode": "CHAIN" }));
    house.stop().await;
}

type Socket = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn accept(stream: tokio::net::TcpStream) -> Socket {
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let look = |request: &tokio_tungstenite::tungstenite::handshake::server::Request,
                mut response: tokio_tungstenite::tungstenite::handshake::server::Response| {
        // SHA-256 of the application key.
        let hash = "key=".len() + 64;
        assert_eq!(request.uri().query().map(str::len), Some(hash));
        let protocol = request.headers()["sec-websocket-protocol"].clone();
        assert_eq!(protocol, "graphql-transport-ws");
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap()
}

async fn text(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            _ => continue,
        }
    }
}

async fn say(socket: &mut Socket, value: Value) {
    socket.send(Message::text(value.to_string())).await.unwrap();
}

#[tokio::test]
async fn who_comes_today_or_tomorrow_is_expected() {
    let vendor = Vendor::start(Opera::default()).await;
    let mut house = House::new(config(&vendor.url), "s3cret", &rooms(4), 120);
    vendor.hotel(|hotel| {
        hotel.check_in(7, "101", "Hopper");
        for (n, room, arrival, status) in [
            (8, "102", "2026-07-16", "Reserved"),
            (9, "103", "2026-07-19", "Reserved"),
            (10, "104", "2026-07-15", "Cancelled"),
        ] {
            hotel.check_in(n, room, "Turing");
            hotel.state(n, status);
            hotel.reservations.last_mut().unwrap()["roomStay"]["arrivalDate"] = json!(arrival);
        }
    });
    house.start();
    house.up().await;
    assert_eq!(house.stays(), ["101 Hopper"]);
    house.look(|property| {
        let expected: Vec<_> = property.arrivals().values().collect();
        let [arrival] = expected.as_slice() else { panic!("{expected:?}") };
        assert_eq!(
            (arrival.room.as_str(), arrival.date.unwrap().to_string().as_str()),
            ("102", "2026-07-16")
        );
    });
    house.stop().await;
}
