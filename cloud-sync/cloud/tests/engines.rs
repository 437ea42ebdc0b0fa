//! Both engines keep the same promises: the same days of chance are played against SQLite and PostgreSQL, and everything
//! that can be asked is compared.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs, reason = "tests")]

mod common;
mod server;

use common::{Cloud, EPOCH, GATEWAY, at, change_row, row};
use engawa_cloud::postgres::{self, Intake, Store};
use engawa_cloud::store::listing::{self, LogFilter};
use engawa_cloud::store::{StoreError, commands, gateways, ingest, write};
use engawa_model::{
    Action, Change, CommandOutcome, Currency, Date, Erasure, ErasureReason, Money, PointId, PostingNumber,
    PostingState, Quality, Role, RoomFlags, StayEnd, Timestamp, Value,
};
use engawa_protocol::ports::{Ingested, Row, Skip};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use server::{Server, enrol, store};
use std::sync::OnceLock;

/// One server for all tests of this file; ended with the process.
fn the_server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::quick)
}

/// One of each engine, with the same gateways.
struct Both {
    sqlite: Cloud,
    name: String,
    store: Store,
    intake: Intake,
}

impl Both {
    async fn new() -> Self {
        let (name, store) = store(the_server()).await;
        let mut sqlite = Cloud::new();
        sqlite.enrol("grand-2");
        for gateway in [GATEWAY, "grand-2"] {
            enrol(&store, "grand", gateway, EPOCH).await;
        }
        Self { sqlite, name, intake: Intake::start(&store), store }
    }

    async fn ingest(&mut self, gateway: &str, epoch: u64, lane: u8, rows: &[Row]) -> Ingested {
        let one = self.sqlite.ingest_of(gateway, epoch, lane, rows);
        let other = self.intake.ingest(gateway, epoch, lane, rows.to_vec()).await.unwrap();
        assert_eq!(one, other, "{gateway} {epoch} {lane}");
        one
    }

    async fn send(&mut self, key: &str, action: &Action) {
        let one = self.sqlite.send(key, action);
        let mut client = self.store.client().await.unwrap();
        let other =
            postgres::commands::send(&mut client, GATEWAY, &key.into(), action, at(1), at(3_600)).await;
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }

    /// The gateways have new disks.
    async fn begin(&mut self, epoch: u64) {
        let mut client = self.store.client().await.unwrap();
        for gateway in [GATEWAY, "grand-2"] {
            write(&mut self.sqlite.connection, |connection| {
                gateways::epoch_seen(connection, gateway, epoch, 77)
            })
            .unwrap();
            postgres::gateways::epoch_seen(&mut client, gateway, epoch, 77).await.unwrap();
            let late = self.intake.ingest(gateway, EPOCH, 3, vec![row(1)]).await;
            assert!(matches!(late, Err(StoreError::EpochOver(_))), "{late:?}");
        }
    }

    /// The same query of both; `{where}` differs in nothing but the property.
    fn same(&self, sql: &str) {
        let one = self.sqlite.query(sql);
        let plain = |lines: Vec<String>| -> Vec<String> {
            let cell = |cell: &str| if cell.is_empty() { "-".to_owned() } else { cell.to_owned() };
            lines.iter().map(|line| line.split('|').map(cell).collect::<Vec<_>>().join("|")).collect()
        };
        assert_eq!(plain(one), plain(the_server().sql(&self.name, sql)), "{sql}");
    }

    /// Everything that can be asked of both.
    async fn compare(&self) {
        let client = self.store.client().await.unwrap();
        let connection = &self.sqlite.connection;
        assert_eq!(
            listing::rooms(connection, None).unwrap(),
            postgres::listing::rooms(&client, None).await.unwrap()
        );
        assert_eq!(
            listing::gateways(connection).unwrap(),
            postgres::listing::gateways(&client).await.unwrap()
        );
        assert_eq!(
            listing::commands(connection, None, 1_000).unwrap(),
            postgres::listing::commands(&client, None, 1_000).await.unwrap()
        );
        for gateway in [GATEWAY, "grand-2"] {
            for (of, lane) in [(Some(gateway), Some(3)), (Some(gateway), Some(5))] {
                let filter = LogFilter { gateway: of.map(str::to_owned), lane, kind: None, limit: 5_000 };
                let plain = |mut entries: Vec<listing::Entry>| {
                    for entry in &mut entries {
                        (entry.id, entry.received) = (0, None);
                    }
                    entries.sort_by_key(|entry| (entry.epoch, entry.seq));
                    entries
                };
                assert_eq!(
                    plain(listing::log(connection, &filter).unwrap()),
                    plain(postgres::listing::log(&client, &filter).await.unwrap())
                );
            }
            for after in [0, 3] {
                assert_eq!(
                    commands::after(connection, gateway, after, 50).unwrap(),
                    postgres::commands::after(&client, gateway, after, 50).await.unwrap()
                );
            }
            for (epoch, heads) in
                [(EPOCH, vec![(3, u64::MAX), (1, 0)]), (EPOCH, vec![(3, 0)]), (99, vec![(5, 2)])]
            {
                let one = ingest::hello(connection, gateway, epoch, &heads).unwrap();
                let other = postgres::gateways::hello(&client, gateway, epoch, &heads).await.unwrap();
                assert_eq!(one, other.map(|(marks, _)| marks), "{gateway} {epoch}");
            }
        }
        for sql in [
            "SELECT gateway, epoch, lane, seq FROM mark ORDER BY gateway, epoch, lane",
            "SELECT gateway, stay, room, language, arrival, departure, arrived_at, left_at, epoch FROM stay
             ORDER BY gateway, stay",
            "SELECT gateway, epoch, number, key, room, stay, minor, currency, text, outlet, state, answer, changed_micros
             FROM posting ORDER BY gateway, epoch, number",
            "SELECT gateway, room, stays, changed_micros FROM room_state ORDER BY gateway, room",
            "SELECT gateway, seq, key, state, outcome, reason, ended_at FROM command ORDER BY gateway, seq",
        ] {
            self.same(sql);
        }
    }
}

/// A change of chance, of few rooms and stays, so that they meet.
fn change(random: &mut StdRng) -> Change {
    let room = ["101", "102", "103", "007"][random.random_range(0..4)];
    let stay = ["S1", "S2", "S3", "S4", "S5"][random.random_range(0..5)];
    let day = random.random_bool(0.5).then(|| Date::constant(2026, 11, random.random_range(1..28)));
    let language = random.random_bool(0.5).then(|| "de".to_owned());
    match random.random_range(0..13) {
        0 | 1 => Change::CheckedIn {
            stay: stay.into(),
            room: room.into(),
            language,
            arrival: day,
            departure: None,
        },
        2 => Change::StayChanged {
            stay: stay.into(),
            room: room.into(),
            language,
            arrival: None,
            departure: day,
        },
        3 => Change::Moved { stay: stay.into(), from: "101".into(), to: room.into() },
        4 | 5 => Change::CheckedOut { stay: stay.into(), room: room.into(), reason: StayEnd::CheckedOut },
        6 => Change::Resync { phase: "done".into(), listed: Some(random.random_range(0..4)), link: None },
        7 => Change::RoomFlagged {
            room: room.into(),
            flags: RoomFlags {
                do_not_disturb: random.random_bool(0.5).then(|| random.random()),
                message_light: random.random_bool(0.5).then(|| random.random()),
                class_of_service: random.random_bool(0.3).then(|| "2".into()),
                ..RoomFlags::default()
            },
        },
        8 => Change::RoomStatus {
            room: room.into(),
            status: ["make-up", "off", "clean-vacant", "dirty-occupied"][random.random_range(0..4)].into(),
        },
        9 => Change::Posting {
            number: PostingNumber(random.random_range(1..6)),
            key: "k".into(),
            room: room.into(),
            stay: Some(stay.into()),
            amount: Money { minor: random.random_range(-500..500), currency: Currency::new("EUR").unwrap() },
            text: "bar".into(),
            outlet: None,
            state: [PostingState::Pending, PostingState::InFlight, PostingState::Posted]
                [random.random_range(0..3)],
            answer: None,
        },
        10 => Change::Erased {
            erasure: Erasure {
                stay: stay.into(),
                reason: [ErasureReason::Asked, ErasureReason::Retention][random.random_range(0..2)],
                record: "00".into(),
                at: Timestamp::UNIX_EPOCH,
                signer: "00".into(),
                signature: "00".into(),
            },
        },
        11 => Change::CommandEnded {
            key: format!("key-{}", random.random_range(0..6)).as_str().into(),
            outcome: [
                CommandOutcome::Done,
                CommandOutcome::Refused { reason: "no such room".into() },
                CommandOutcome::Expired,
            ][random.random_range(0..3)]
            .clone(),
        },
        _ => reported(random, room),
    }
}

fn reported(random: &mut StdRng, room: &str) -> Change {
    Change::Reported {
        point: PointId::new("t", "x"),
        room: random.random_bool(0.9).then(|| room.into()),
        role: [Some(Role::RoomTemperature), Some(Role::ClimateSetpoint), Some(Role::Light), None]
            [random.random_range(0..4)],
        value: [
            Some(Value::Float(f64::from(random.random_range(0..60)) / 2.0)),
            Some(Value::Bool(true)),
            None,
        ][random.random_range(0..3)]
        .clone(),
        quality: if random.random_bool(0.8) { Quality::Good } else { Quality::Bad },
        sampled: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_of_chance_end_the_same_on_both() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut random = StdRng::seed_from_u64(seed);
    let mut both = Both::new().await;
    let mut marks = std::collections::BTreeMap::<(usize, u64, u8), u64>::new();
    for turn in 0..150 {
        if turn == 110 {
            both.begin(8).await;
        }
        let (of, epoch) = (random.random_range(0..2), if turn < 110 { EPOCH } else { 8 });
        let lane = [1, 3, 3, 3, 5][random.random_range(0..5)];
        let mark = marks.entry((of, epoch, lane)).or_default();
        let first = (*mark + 2).saturating_sub(random.random_range(0..5));
        let rows: Vec<Row> = (first..first + random.random_range(0..9))
            .map(|seq| {
                // The same number is the same row, however often it comes.
                let mut of_row = StdRng::seed_from_u64(seed ^ (seq << 8) ^ (epoch << 40) ^ u64::from(lane));
                let change = if lane == 5 { reported(&mut of_row, "101") } else { change(&mut of_row) };
                change_row(seq, &change)
            })
            .collect();
        if turn % 20 == 0 {
            both.send(&format!("key-{}", turn / 25), &Action::Resync).await;
        }
        if let Ingested::Upto(upto) = both.ingest([GATEWAY, "grand-2"][of], epoch, lane, &rows).await {
            *mark = upto;
        }
    }
    println!("SEED={seed}");
    both.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_release_understands_is_stored_on_both() {
    let mut both = Both::new().await;
    let of = |seq, kind: &str, body: &[u8]| Row {
        seq,
        at_micros: i64::MIN,
        kind: kind.into(),
        body: body.to_vec(),
    };
    let strange = [
        of(1, "teleported", br#"{"kind":"teleported","room":"101"}"#),
        of(2, "checked_in", br#"{"kind":"checked_in","room":101}"#),
        of(3, "checked_in", b"{"),
        of(4, "", b""),
        of(5, "checked_in", &[0xff, 0xfe, 0x00]),
        of(6, "reported", "[".repeat(100_000).as_bytes()),
        of(7, "\u{0}\u{1b}[2J", b"null"),
        of(8, "nul", b"\"\0\""),
        of(
            9,
            "checked_in",
            br#"{"kind":"checked_in","stay":"S\u0000","room":"1\u0000","language":"\u0000"}"#,
        ),
    ];
    for lane in [3, 5] {
        assert_eq!(both.ingest(GATEWAY, EPOCH, lane, &strange).await, Ingested::Upto(9));
        assert_eq!(both.ingest(GATEWAY, EPOCH, lane, &strange).await, Ingested::Upto(9), "once more");
    }
    let kept = |table| format!("SELECT count(*), count(body), sum(length(raw)) FROM {table}");
    assert_eq!(the_server().sql(&both.name, &kept("journal")), ["9|7|6"]);
    assert_eq!(the_server().sql(&both.name, &kept("telemetry")), ["9|7|6"]);
    assert_eq!(the_server().sql(&both.name, "SELECT room, stays FROM room_state"), ["1\u{fffd}|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_never_come_are_told_and_passed_over() {
    let both = Both::new().await;
    let gone = |from, to| Skip { from, to, reason: "the disk was full".into() };
    for (lane, table) in [(3, "journal"), (5, "telemetry")] {
        let rows = |numbers: std::ops::RangeInclusive<u64>| numbers.map(row).collect::<Vec<_>>();
        let intake = &both.intake;
        assert_eq!(intake.ingest(GATEWAY, EPOCH, lane, rows(1..=3)).await.unwrap(), Ingested::Upto(3));
        assert_eq!(intake.skip(GATEWAY, EPOCH, lane, vec![], gone(6, 9)).await.unwrap(), Ingested::Gap(3));
        assert_eq!(intake.skip(GATEWAY, EPOCH, lane, vec![], gone(1, 2)).await.unwrap(), Ingested::Upto(3));
        // Half of it is there already; sent twice it is told once.
        for _ in 0..2 {
            assert_eq!(
                intake.skip(GATEWAY, EPOCH, lane, vec![], gone(2, 9)).await.unwrap(),
                Ingested::Upto(9)
            );
        }
        assert_eq!(intake.ingest(GATEWAY, EPOCH, lane, rows(8..=12)).await.unwrap(), Ingested::Upto(12));
        let told = the_server().sql(&both.name, &format!("SELECT seq, kind, body FROM {table} ORDER BY seq"));
        assert_eq!(told.len(), 7, "{told:?}");
        assert_eq!(told[3], r#"9|gap|{"from":4,"kind":"gap","reason":"the disk was full","to":9}"#);
        // Rows and the gap behind them are one batch, which may come twice, and in which a hole stops everything.
        for _ in 0..2 {
            let both = intake.skip(GATEWAY, EPOCH, lane, rows(11..=14), gone(15, 90)).await.unwrap();
            assert_eq!(both, Ingested::Upto(90));
        }
        let holed = intake.skip(GATEWAY, EPOCH, lane, rows(95..=96), gone(97, 99)).await.unwrap();
        assert_eq!(holed, Ingested::Gap(90));
        let told = the_server()
            .sql(&both.name, &format!("SELECT seq, kind FROM {table} WHERE seq > 12 ORDER BY seq"));
        assert_eq!(told, ["13|night_audit", "14|night_audit", "90|gap"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_holds_in_the_middle_of_a_session_on_both() {
    let mut both = Both::new().await;
    both.ingest(GATEWAY, EPOCH, 3, &[row(1), row(2)]).await;
    write(&mut both.sqlite.connection, |connection| gateways::revoke(connection, GATEWAY, 9)).unwrap();
    let mut client = both.store.client().await.unwrap();
    postgres::gateways::revoke(&mut client, GATEWAY, 9).await.unwrap();
    drop(client);
    let late = both.intake.ingest(GATEWAY, EPOCH, 3, vec![row(3)]).await;
    assert!(matches!(late, Err(StoreError::Revoked(_))), "{late:?}");
    // Its neighbour of the same moment is not harmed.
    assert_eq!(both.ingest("grand-2", EPOCH, 3, &[row(1)]).await, Ingested::Upto(1));
    both.send("late", &Action::Resync).await;
    let nobody = both.intake.ingest("nobody", EPOCH, 3, vec![row(1)]).await;
    assert!(matches!(nobody, Err(StoreError::Revoked(_))), "{nobody:?}");
    both.compare().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_names_and_commands_are_judged_the_same() {
    let both = Both::new().await;
    let mut client = both.store.client().await.unwrap();
    let other = postgres::gateways::claim(&mut client, "other", GATEWAY, None, "s", 5, 50).await;
    assert!(matches!(other, Err(StoreError::OtherProperty { .. })), "{other:?}");
    assert!(
        !postgres::gateways::claim(&mut client, "grand", "g3", Some("Lobby"), "secret", 5, 50).await.unwrap()
    );
    let refuse = |_: &str| Err(engawa_protocol::ports::Refusal::BadRequest("no".into()));
    let enrolled = postgres::gateways::enrol(&mut client, "secret", "csr", 10, refuse).await.unwrap();
    assert!(enrolled.is_err(), "the claim is not used up");
    for (csr, now, good) in [("csr", 10, true), ("csr", 20, true), ("other", 20, false), ("csr", 60, false)] {
        let signed = |_: &str| Ok("certificate".to_owned());
        let enrolled = postgres::gateways::enrol(&mut client, "secret", csr, now, signed).await.unwrap();
        assert_eq!(enrolled.is_ok(), good, "{csr} {now}");
    }
    assert!(matches!(
        postgres::gateways::revoke(&mut client, "nobody", 1).await,
        Err(StoreError::NoGateway(_))
    ));
    let taken = postgres::commands::send(&mut client, "g3", &"k".into(), &Action::Resync, at(1), at(9)).await;
    assert_eq!(taken.unwrap().seq, 1);
    let action = Action::RoomStatus { room: "1".into(), status: "clean-vacant".into() };
    let again = postgres::commands::send(&mut client, "g3", &"k".into(), &action, at(1), at(9)).await;
    assert!(matches!(again, Err(StoreError::KeyTaken { seq: 1, .. })), "{again:?}");
    // A mark ahead of every number: the database was restored, and numbering goes on above it.
    postgres::commands::acknowledged(&mut client, "g3", 40, 5).await.unwrap();
    let next = postgres::commands::send(&mut client, "g3", &"n".into(), &Action::Resync, at(1), at(9)).await;
    assert_eq!(next.unwrap().seq, 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_property_sees_nothing_whatever_it_asks() {
    let both = Both::new().await;
    enrol(&both.store, "palace", "palace-1", EPOCH).await;
    let checked_in = Change::CheckedIn {
        stay: "S".into(),
        room: "1".into(),
        language: None,
        arrival: None,
        departure: None,
    };
    for gateway in [GATEWAY, "palace-1"] {
        both.intake.ingest(gateway, EPOCH, 3, vec![change_row(1, &checked_in)]).await.unwrap();
        both.intake.ingest(gateway, EPOCH, 5, vec![row(1)]).await.unwrap();
    }
    let mut client = both.store.client().await.unwrap();
    let tables = ["gateway", "mark", "journal", "telemetry", "room_state", "stay"];
    for (property, seen) in
        [("grand", vec!["grand"]), ("palace", vec!["palace"]), ("", vec![]), ("other", vec![])]
    {
        let transaction = postgres::tenant::reading(&mut client, property).await.unwrap();
        for table in tables {
            let rows =
                transaction.query(&format!("SELECT DISTINCT property FROM {table}"), &[]).await.unwrap();
            let found: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
            assert_eq!(found, seen, "{table} as {property:?}");
        }
        let rooms = postgres::listing::rooms(&transaction, None).await.unwrap();
        assert_eq!(rooms.len(), seen.len());
        transaction.rollback().await.unwrap();
    }
    // Without a property nothing, and never a write, a claim or a partition around the policy.
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("SET LOCAL ROLE engawa_tenant").await.unwrap();
    for table in tables {
        let rows = transaction.query(&format!("SELECT 1 FROM {table}"), &[]).await.unwrap();
        assert!(rows.is_empty(), "{table}");
    }
    let day = postgres::partitions::name_of(Timestamp::now());
    for sql in [
        "DELETE FROM stay".to_owned(),
        "SELECT 1 FROM claim".to_owned(),
        "SELECT 1 FROM turn".to_owned(),
        "SELECT 1 FROM certificate".to_owned(),
        "SELECT 1 FROM erasure_told".to_owned(),
        "SELECT channel FROM live_watcher".to_owned(),
        "SELECT 1 FROM bundle".to_owned(),
        "SELECT 1 FROM bundle_piece".to_owned(),
        format!("SELECT 1 FROM {day}"),
        "UPDATE mark SET seq = 0".to_owned(),
    ] {
        transaction.batch_execute("SAVEPOINT one").await.unwrap();
        let error = transaction.batch_execute(&sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{sql}");
        transaction.batch_execute("ROLLBACK TO one").await.unwrap();
    }
}

/// A day of a house's telemetry, some of it told late, some of it no values.
fn day_of_telemetry(rows: u64) -> Vec<Row> {
    (1..=rows)
        .map(|seq| {
            let micros = 1_700_000_000_000_000 + (seq / 20 * 60_000_000).cast_signed();
            let change = Change::Reported {
                point: PointId::new(format!("thermostat-{}", seq % 20).as_str(), "temperature"),
                room: Some("101".into()),
                role: Some(Role::RoomTemperature),
                value: Some(Value::Float(20.0 + (seq / 20 % 15) as f64 / 10.0)),
                quality: if seq % 50 == 0 { Quality::Bad } else { Quality::Good },
                sampled: Timestamp::from_microsecond(micros).unwrap(),
            };
            let row = change_row(seq, &change);
            if seq % 500 == 0 {
                Row { body: b"{".to_vec(), at_micros: micros, ..row }
            } else {
                Row { at_micros: micros, ..row }
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_telemetry_becomes_history_once_whoever_is_killed() {
    const ROWS: u64 = 6_000;
    let both = Both::new().await;
    let now = Timestamp::now();
    for gateway in [GATEWAY, "grand-2"] {
        for rows in day_of_telemetry(ROWS).chunks(1_000) {
            both.intake.ingest(gateway, EPOCH, 5, rows.to_vec()).await.unwrap();
        }
    }
    let sql = |sql: &str| the_server().sql(&both.name, sql);
    let raw: f64 = sql("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
        WHERE inhparent = 'telemetry'::regclass")[0]
        .parse()
        .unwrap();
    let sums = sql("SELECT sum((body::jsonb ->> 'value')::float8), count(*) FROM telemetry
        WHERE body LIKE '%\"good\"%'");
    // Young telemetry stays.
    assert_eq!(postgres::history::age(&both.store, now, postgres::history::KEPT_DAYS).await.unwrap().days, 0);
    let later = now + jiff::SignedDuration::from_hours(24 * 31);
    // Several at once, and each killed somewhere in the middle.
    for after in 0..30 {
        let aging = postgres::history::age(&both.store, later, postgres::history::KEPT_DAYS);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(3 * after), aging).await;
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let noted = "SELECT count(*), sum(rows) FROM telemetry_done";
    // Whoever was killed keeps the lock until the server sees that it is gone.
    while sql("SELECT count(*) FROM telemetry") != ["0"] {
        assert!(std::time::Instant::now() < deadline, "it does not become history: {:?}", sql(noted));
        postgres::history::age(&both.store, later, postgres::history::KEPT_DAYS).await.unwrap();
        postgres::partitions::ahead(&both.store, now).await.unwrap();
    }
    assert_eq!(sql(noted), [format!("2|{}", 2 * ROWS)]);
    assert_eq!(sql("SELECT sum(samples) FROM telemetry_chunk"), [(2 * (ROWS - ROWS / 500)).to_string()]);
    assert_eq!(sql("SELECT sum(rows) FROM telemetry_other"), [(2 * (ROWS / 500)).to_string()]);
    let told: Vec<f64> = sums[0].split('|').map(|cell| cell.parse().unwrap()).collect();
    let kept = sql("SELECT sum(sum), sum(samples), min(least), max(most) FROM telemetry_hour");
    let kept: Vec<f64> = kept[0].split('|').map(|cell| cell.parse().unwrap()).collect();
    assert!((kept[0] - told[0]).abs() < 0.01 && kept[1] == told[1], "{kept:?} {told:?}");
    assert_eq!(kept[2..], [20.0, 21.4]);
    // A piece is lines that anybody can read.
    let client = both.store.client().await.unwrap();
    let row = client
        .query_one(
            "SELECT data, samples FROM telemetry_chunk ORDER BY gateway, device, from_micros LIMIT 1",
            &[],
        )
        .await
        .unwrap();
    let text = String::from_utf8(zstd::bulk::decompress(row.get(0), 1 << 20).unwrap()).unwrap();
    assert_eq!(text.lines().count(), usize::try_from(row.get::<_, i32>(1)).unwrap());
    assert!(text.lines().all(|line| line.ends_with(",good") || line.ends_with(",bad")), "{text}");
    let left: f64 =
        sql("SELECT pg_total_relation_size('telemetry_chunk') + pg_total_relation_size('telemetry_hour')")[0]
            .parse()
            .unwrap();
    println!(
        "{:.0} bytes a row as it came, {:.1} as history",
        raw / (2 * ROWS) as f64,
        left / (2 * ROWS) as f64
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_spoken_to_by_tls_where_the_url_says_so() {
    use engawa_link::pki::CertificateAuthority;
    let folder = server::folder();
    let names = ["localhost".to_owned()];
    let [ours, another] = ["ours", "another"].map(|name| {
        let authority = CertificateAuthority::create(name).unwrap();
        let (certificate, key) = authority.server_certificate(&names).unwrap();
        let path = |what: &str| folder.path().join(format!("{name}.{what}"));
        for (what, text) in [("ca", authority.pem()), ("pem", &*certificate), ("key", &*key)] {
            std::fs::write(path(what), text).unwrap();
        }
        std::fs::set_permissions(path("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path("ca").display().to_string()
    });
    server::own(folder.path());
    let file = |what: &str| folder.path().join(format!("ours.{what}")).display().to_string();
    let (certificate, key) =
        (format!("ssl_cert_file={}", file("pem")), format!("ssl_key_file={}", file("key")));
    let server = Server::new(&["fsync=off", "ssl=on", &certificate, &key]);
    let ask = |host: &str, how: &str| {
        let url = format!("postgres://postgres@{host}:{}/postgres?{how}", server.port);
        async move {
            let store = Store::new(postgres::Address::parse(&url).unwrap()).unwrap();
            let client = store.client().await?;
            let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await;
            Ok::<bool, StoreError>(row.unwrap().get(0))
        }
    };
    assert!(!ask("localhost", "sslmode=disable").await.unwrap());
    assert!(ask("localhost", &format!("sslmode=verify-full&sslrootcert={ours}")).await.unwrap());
    let wrong_authority = ask("localhost", &format!("sslmode=require&sslrootcert={another}")).await;
    assert!(matches!(wrong_authority, Err(StoreError::Pool(_))), "{wrong_authority:?}");
    let wrong_name = ask("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={ours}")).await;
    assert!(matches!(wrong_name, Err(StoreError::Pool(_))), "{wrong_name:?}");
}
