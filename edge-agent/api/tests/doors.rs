//! Both doors on real sockets, with a small house behind them: what they show, to whom, and what they refuse.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_api::{
    Accepted, ApiConfig, Asker, BusTraffic, Client, ClientError, CommandError, CommandReport, Erase, Erased,
    FrontDeskView, Health, House, HouseError, HouseView, LogRow, Quantiles, RoomView, Surroundings, SyncView,
    UnitTraffic, serve,
};
use engawa_model::{
    ClimateDefaults, Command, CommandKey, CommandSource, Currency, DeviceId, DeviceSpec, Erasure,
    ErasureReason, Fact, GuestRecord, Observation, Personal, PointId, PointSpec, Presence, Property,
    PropertyId, PropertySpec, Quality, Role, RoomFlags, RoomId, RoomSpec, Season, StayId, Timestamp, Value,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);
/// A name that must not be found anywhere on the TCP door, and that would break a page that does not escape.
const NAME: &str = "Sato<script>alert(1)</script>";
/// A room number that would do the same.
const ROOM: &str = "1<b>&\"'/2";

struct SmallHouse {
    property: Mutex<Property>,
    version: watch::Sender<u64>,
    asked: Mutex<Vec<Asker>>,
}

impl SmallHouse {
    fn apply(&self, fact: Fact) {
        self.property.lock().unwrap().apply(&Observation::new(Timestamp::now(), fact));
        self.version.send_modify(|version| *version += 1);
    }

    fn temperature(&self, celsius: f64) {
        let (value, sampled) = (Some(Value::Float(celsius)), Timestamp::now());
        self.apply(Fact::Reported {
            point: PointId::new("t", "air"),
            value,
            quality: Quality::Good,
            sampled,
        });
    }
}

impl House for SmallHouse {
    fn view(&self) -> Arc<HouseView> {
        let surroundings = Surroundings {
            name: "Grand Hotel".into(),
            started_at: Timestamp::UNIX_EPOCH,
            version: "0".into(),
            sync: SyncView::default(),
            device_counters: BTreeMap::new(),
        };
        Arc::new(HouseView::build(&self.property.lock().unwrap(), &surroundings))
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn front_desk(&self) -> FrontDeskView {
        FrontDeskView::build(&self.property.lock().unwrap())
    }

    fn command(&self, command: Command) -> BoxFuture<'_, Result<Accepted, CommandError>> {
        let key = command.key.clone();
        assert_eq!(command.source, CommandSource::Local, "the door says who asked");
        self.apply(Fact::Asked { command });
        async move { Ok(Accepted { key, duplicate: false }) }.boxed()
    }

    fn outcome(&self, key: CommandKey) -> BoxFuture<'_, Result<Option<CommandReport>, HouseError>> {
        let record = self.property.lock().unwrap().commands().get(&key).cloned();
        let report = record.map(|record| {
            let (ended, outcome) = record.ended.unzip();
            CommandReport { key, accepted: Some(record.asked), outcome, ended, note: record.note }
        });
        async move { Ok(report) }.boxed()
    }

    fn log(&self, _after: u64, _limit: usize) -> BoxFuture<'_, Result<Vec<LogRow>, HouseError>> {
        async move { Ok(Vec::new()) }.boxed()
    }

    fn named_front_desk(&self, asker: Asker) -> BoxFuture<'_, Result<FrontDeskView, HouseError>> {
        self.asked.lock().unwrap().push(asker);
        async move { Ok(self.front_desk()) }.boxed()
    }

    fn named_view(&self, asker: Asker) -> BoxFuture<'_, Result<Arc<HouseView>, HouseError>> {
        self.asked.lock().unwrap().push(asker);
        async move { Ok(self.view()) }.boxed()
    }

    fn erase(&self, asker: Asker, stay: StayId) -> BoxFuture<'_, Result<Erased, HouseError>> {
        self.asked.lock().unwrap().push(asker);
        let erasure = Erasure {
            stay,
            record: "00".into(),
            at: Timestamp::UNIX_EPOCH,
            reason: ErasureReason::Asked,
            signer: String::new(),
            signature: String::new(),
        };
        async move { Ok(Erased { tombstones: vec![erasure], complete: true }) }.boxed()
    }

    fn traffic(&self) -> Vec<BusTraffic> {
        let unit = UnitTraffic {
            device: DeviceId::from("t"),
            unit: 4,
            requests: 12,
            values: 100,
            writes: 1,
            retries: 0,
            timeouts: 2,
            crc: 0,
            garbage: 0,
            broken: 0,
            exceptions: [("2 illegal data address".to_owned(), 3)].into(),
            round_trip: Quantiles { count: 10, p50_ms: 5.0, p95_ms: 7.0, p99_ms: 7.0, max_ms: 6.5 },
            lag: Quantiles::default(),
            last_error: None,
        };
        vec![BusTraffic {
            bus: "b".into(),
            place: "10.0.0.5:502".into(),
            busy_percent: 25.0,
            dead_percent: 1.0,
            late: 0,
            crc: 0,
            noise: 0,
            reconnects: 1,
            units: vec![unit],
        }]
    }

    fn language(&self) -> Option<&str> {
        Some("ja")
    }

    fn health(&self) -> Health {
        Health { ok: true, reasons: Vec::new() }
    }
}

struct Open {
    house: Arc<SmallHouse>,
    tcp: SocketAddr,
    client: Client,
    cancel: CancellationToken,
    _folder: tempfile::TempDir,
}

async fn open() -> Open {
    let point = PointSpec {
        name: "air".into(),
        role: Some(Role::RoomTemperature),
        unit: Some("Cel".into()),
        writable: false,
        min: None,
        max: None,
    };
    let spec = PropertySpec {
        id: PropertyId::from("grand"),
        zone: "Europe/Berlin".into(),
        currency: Currency::new("EUR").unwrap(),
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 18.0,
            eco_cooling_c: 26.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        },
        rooms: vec![RoomSpec { id: RoomId::from(ROOM) }],
        devices: vec![DeviceSpec {
            id: DeviceId::from("t"),
            room: Some(RoomId::from(ROOM)),
            profile: "p".into(),
            points: [point].into(),
        }],
        resync_every_s: 3600,
        order_ttl_s: 3600,
    };
    let house = Arc::new(SmallHouse {
        property: Mutex::new(Property::new(spec)),
        version: watch::Sender::new(0),
        asked: Mutex::default(),
    });
    house.apply(Fact::GuestSeen {
        stay: StayId::from("4711"),
        room: RoomId::from(ROOM),
        from: None,
        presence: Presence::In,
        listed: false,
        guest: GuestRecord {
            name: Some(Personal::new(NAME.into())),
            first_name: Some(Personal::new("Hanako-unseen".into())),
            language: Some("ja-unseen".into()),
            ..GuestRecord::default()
        },
        flags: RoomFlags::default(),
    });
    house.temperature(21.5);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engawa.sock");
    let config = ApiConfig {
        listen: Some(([127, 0, 0, 1], 0).into()),
        socket: Some(socket.clone()),
        allow_remote: false,
    };
    let cancel = CancellationToken::new();
    let (bound, serving) =
        serve(&config, Arc::clone(&house) as Arc<dyn House>, cancel.clone()).await.unwrap();
    tokio::spawn(serving);
    Open { house, tcp: bound.tcp.unwrap(), client: Client::new(socket), cancel, _folder: folder }
}

/// Sends bytes and reads until the other end closes, or `enough`.
async fn talk(address: SocketAddr, request: &str, enough: impl Fn(&str) -> bool) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut heard, mut buffer) = (Vec::new(), vec![0; 65_536]);
    let reading = async {
        loop {
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            heard.extend_from_slice(&buffer[..count]);
            if count == 0 || enough(&String::from_utf8_lossy(&heard)) {
                break;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(ended.is_ok(), "no end of: {heard}");
    heard
}

async fn get(address: SocketAddr, path: &str) -> String {
    talk(
        address,
        &format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Language: en\r\nConnection: close\r\n\r\n"
        ),
        |_| false,
    )
    .await
}

#[tokio::test]
async fn the_page_shows_the_house_and_no_guest() {
    let open = open().await;
    let page = get(open.tcp, "/").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("Grand Hotel") && page.contains("21.5"), "{page}");
    assert!(page.to_lowercase().contains("content-security-policy: default-src 'none'"));
    assert!(!page.contains("1<b>"), "a room's number is escaped");
    for path in [
        "/",
        "/api/status",
        "/api/rooms",
        "/api/devices",
        "/api/links",
        "/api/postings",
        "/api/alerts",
        "/api/counters",
        "/api/log",
        "/healthz",
        "/nothing",
    ] {
        let answer = get(open.tcp, path).await;
        for hidden in ["Sato", "Hanako-unseen", "ja-unseen"] {
            assert!(!answer.contains(hidden), "{path} shows {hidden}");
        }
    }
    assert!(get(open.tcp, "/api/log").await.starts_with("HTTP/1.1 403"), "a history of stays is personal");
    assert!(
        get(open.tcp, "/api/diagnose").await.starts_with("HTTP/1.1 403"),
        "how the house is built is for the socket"
    );
    assert!(get(open.tcp, "/api/rooms?as=me&reason=x").await.starts_with("HTTP/1.1 403"), "not on this door");
    assert!(get(open.tcp, "/api/front-desk").await.starts_with("HTTP/1.1 403"), "messages are personal");
    // Who can open the socket sees them, with a name and a reason.
    let rooms: Vec<RoomView> = open.client.get("/api/rooms").await.unwrap();
    assert_eq!((rooms[0].occupied, rooms[0].stays[0].name.as_deref()), (true, None));
    for half in ["/api/rooms?as=ann", "/api/rooms?reason=x", "/api/rooms?as=ann&reason=%20"] {
        let refused = open.client.get::<Vec<RoomView>>(half).await;
        assert!(matches!(refused, Err(ClientError::Refused(_))), "{half}: {refused:?}");
    }
    assert_eq!(open.house.asked.lock().unwrap().len(), 0);
    let rooms: Vec<RoomView> = open.client.get("/api/rooms?as=ann&reason=lost%20keys").await.unwrap();
    assert_eq!(rooms[0].stays[0].name, Some(format!("Hanako-unseen {NAME}")));
    let asked = open.house.asked.lock().unwrap().clone();
    assert_eq!(asked, [Asker { who: "ann".into(), reason: "lost keys".into() }]);
    let erase = Erase { reservation: "4711".into(), who: "ann".into(), reason: "asked".into() };
    let erased: Erased = open.client.post("/api/guests/erase", &erase).await.unwrap();
    assert_eq!((erased.tombstones[0].stay.as_str(), erased.complete), ("4711", true));
    let unsaid = Erase { who: String::new(), ..erase };
    let refused = open.client.post::<_, Erased>("/api/guests/erase", &unsaid).await;
    assert!(matches!(refused, Err(ClientError::Refused(_))), "{refused:?}");
    open.cancel.cancel();
}

#[tokio::test]
async fn the_page_speaks_the_readers_language_else_the_houses() {
    let open = open().await;
    for (wanted, html, words) in [
        ("de-CH,de;q=0.9,en;q=0.5", "<html lang=\"de\" dir=\"ltr\">", "1 Zimmer"),
        ("ar-EG", "<html lang=\"ar\" dir=\"rtl\">", "الغرف: \u{2068}1\u{2069}"),
        ("en-GB", "<html lang=\"en\" dir=\"ltr\">", "1 room"),
        // The house of this test speaks Japanese.
        ("pt-BR", "<html lang=\"ja\" dir=\"ltr\">", "1室"),
    ] {
        for path in ["/", "/events"] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Language: {wanted}\r\nConnection: close\r\n\r\n"
            );
            let page = talk(open.tcp, &request, |heard| path == "/events" && heard.contains(words)).await;
            assert!(page.contains(words), "{wanted} {path}: {page}");
            assert!(path == "/events" || page.contains(html), "{wanted}: {page}");
        }
    }
    open.cancel.cancel();
}

#[tokio::test]
async fn a_change_comes_to_an_open_page_without_a_reload() {
    let open = open().await;
    let house = Arc::clone(&open.house);
    let request = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let changed = std::sync::atomic::AtomicBool::new(false);
    let heard = talk(open.tcp, request, |heard| {
        if heard.contains("21.5") && !changed.swap(true, std::sync::atomic::Ordering::SeqCst) {
            house.temperature(23.7);
        }
        heard.contains("23.7")
    })
    .await;
    assert!(heard.contains("text/event-stream") && heard.contains("event: patch"), "{heard}");
    assert!(!heard.contains("Sato"));
}

#[tokio::test]
async fn what_may_not_be_done_is_refused_with_its_reason() {
    let open = open().await;
    let post = |head: &str, body: &str| {
        format!(
            "POST /api/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{head}\r\n{body}",
            body.len()
        )
    };
    let command = r#"{"key":"k","do":"resync"}"#;
    for (name, request, status) in [
        (
            "another host",
            "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".to_owned(),
            "421",
        ),
        ("no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), "421"),
        ("a command on the open door", post("", command), "403"),
        ("a body beyond the bound", post("", &"x".repeat(70_000)), "403"),
        (
            "a wrong method",
            "DELETE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned(),
            "405",
        ),
        (
            "a head beyond the bound",
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(40_000)),
            "431",
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = talk(open.tcp, &request, |heard| heard.starts_with("HTTP/1.1 ")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{name}: {}",
            answer.lines().next().unwrap_or("")
        );
    }
    assert!(open.house.property.lock().unwrap().commands().is_empty(), "nothing was done");
}

#[tokio::test]
async fn commands_go_through_the_socket() {
    let open = open().await;
    let command = serde_json::json!({ "key": "k/1", "do": "set-role", "room": ROOM, "role": "climate-setpoint", "value": 21.0 });
    let accepted: Accepted = open.client.post("/api/commands", &command).await.unwrap();
    assert_eq!(accepted.key, CommandKey::from("k/1"));
    let path = format!("/api/commands/{}", Client::segment("k/1"));
    let report: CommandReport = open.client.get(&path).await.unwrap();
    assert!(report.outcome.is_some(), "the room has no thermostat: refused at once");
    for wrong in [
        serde_json::json!({ "do": "resync" }),
        serde_json::json!({ "key": "", "do": "resync" }),
        serde_json::json!([1]),
    ] {
        let refused = open.client.post::<_, Accepted>("/api/commands", &wrong).await.unwrap_err();
        assert!(matches!(refused, ClientError::Refused(_)), "{wrong}: {refused:?}");
    }
    let unknown = open.client.get::<CommandReport>("/api/commands/unknown").await.unwrap_err();
    assert!(matches!(unknown, ClientError::Refused(_)), "{unknown:?}");
}

#[tokio::test]
async fn live_pages_are_bounded_and_free_their_place() {
    let open = open().await;
    let request = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut streams = Vec::new();
    for _ in 0..engawa_api::MAX_EVENT_STREAMS {
        let mut stream = TcpStream::connect(open.tcp).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut buffer = [0; 64];
        stream.read_exact(&mut buffer).await.unwrap();
        assert!(buffer.starts_with(b"HTTP/1.1 200"));
        streams.push(stream);
    }
    let full = talk(open.tcp, request, |heard| heard.starts_with("HTTP/1.1 ")).await;
    assert!(full.starts_with("HTTP/1.1 503"), "{full}");
    streams.pop();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // The place is free once the door has noticed, at the next change at the latest.
    while !talk(open.tcp, request, |heard| heard.starts_with("HTTP/1.1 ")).await.starts_with("HTTP/1.1 200") {
        assert!(tokio::time::Instant::now() < deadline, "the place stays taken");
        open.house.temperature(20.0 + f64::from(u32::try_from(streams.len()).unwrap()));
        open.house.temperature(19.0);
    }
}

#[tokio::test]
async fn the_socket_is_the_owners_and_there_is_one_agent() {
    use std::os::unix::fs::PermissionsExt;
    let open = open().await;
    let path = open.client.socket().to_owned();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let config = ApiConfig { listen: None, socket: Some(path.clone()), allow_remote: false };
    let second = serve(&config, Arc::clone(&open.house) as Arc<dyn House>, CancellationToken::new()).await;
    assert!(second.is_err_and(|error| error.to_string().contains("another engawa is running")));
    // A socket that a killed agent left behind is no obstacle.
    let left = path.with_file_name("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    let config = ApiConfig { socket: Some(left.clone()), ..config };
    let cancel = CancellationToken::new();
    let (_, serving) =
        serve(&config, Arc::clone(&open.house) as Arc<dyn House>, cancel.clone()).await.unwrap();
    cancel.cancel();
    tokio::time::timeout(PATIENCE, serving).await.unwrap();
    assert!(!left.exists(), "an orderly stop removes it");
    assert!(matches!(Client::new(left).get::<Health>("/healthz").await, Err(ClientError::NotRunning { .. })));
}

#[tokio::test]
async fn a_connection_that_asks_nothing_holds_up_no_stop() {
    let open = open().await;
    let house = Arc::clone(&open.house) as Arc<dyn House>;
    let config =
        ApiConfig { listen: Some("127.0.0.1:0".parse().unwrap()), socket: None, allow_remote: false };
    let cancel = CancellationToken::new();
    let (bound, serving) = serve(&config, house, cancel.clone()).await.unwrap();
    let serving = tokio::spawn(serving);
    // One that says nothing, and one that has asked and may ask again.
    let mut silent = TcpStream::connect(bound.tcp.unwrap()).await.unwrap();
    let mut kept = TcpStream::connect(bound.tcp.unwrap()).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(kept.read(&mut [0; 16]).await.unwrap() > 0);
    let began = std::time::Instant::now();
    cancel.cancel();
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    assert!(matches!(silent.read(&mut [0; 1]).await, Ok(0)), "it is closed as it should be");
}

#[tokio::test]
async fn three_hundred_half_open_requests_keep_nobody_from_the_page() {
    let open = open().await;
    let mut silent = Vec::new();
    for n in 0..300 {
        let mut stream = TcpStream::connect(open.tcp).await.unwrap();
        // Some say nothing at all, the others half a head.
        if n % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: local").await.unwrap();
        }
        silent.push(stream);
    }
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        let page = get(open.tcp, "/").await;
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("Grand Hotel"), "{page}");
    }
    let took = began.elapsed();
    assert!(
        took < engawa_api::REQUEST_TIMEOUT / 2,
        "the page came after {took:?}, when the others had timed out"
    );
    // Those that are too many were closed; none of the rest is kept for longer than a head may take.
    let mut closed = 0;
    for stream in &mut silent {
        let mut byte = [0];
        match tokio::time::timeout(Duration::from_millis(1), stream.read(&mut byte)).await {
            Ok(Ok(0) | Err(_)) => closed += 1,
            _ => break,
        }
    }
    assert!(closed >= 200, "{closed}");
    let deadline = engawa_api::REQUEST_TIMEOUT + PATIENCE;
    let mut last = silent.pop().unwrap();
    let rest = tokio::time::timeout(deadline, last.read_to_end(&mut Vec::new())).await;
    assert!(rest.is_ok(), "a connection without a request is held open");
}
