//! Erased guests: what goes, what stays, and what is told of it; the same on either engine.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;
mod server;

use common::{EPOCH, GATEWAY, Ran, at, change_row, run};
use data_encoding::HEXLOWER;
use engawa_cloud::postgres::{self, Address, Intake, Store};
use engawa_cloud::store::{self, commands, erasure, gateways, ingest};
use engawa_model::settings::Register;
use engawa_model::{
    Action, Change, CommandSource, Currency, Erasure, ErasureReason, Money, PostingNumber, PostingState,
    StayEnd, Timestamp,
};
use engawa_protocol::ports::{Ingested, Row};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use server::Server;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// One server for all tests of this file; ended with the process.
fn the_server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::quick)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

/// A cloud with one enrolled gateway.
#[allow(clippy::large_enum_variant, reason = "one of it a test")]
enum Cloud {
    Sqlite(common::Cloud),
    Postgres { name: String, store: Store, intake: Intake, mark: u64 },
}

impl Cloud {
    async fn new(engine: Engine) -> Self {
        if engine == Engine::Sqlite {
            return Self::Sqlite(common::Cloud::new());
        }
        let (name, store) = server::store(the_server()).await;
        server::enrol(&store, "grand", GATEWAY, EPOCH).await;
        Self::Postgres { name, intake: Intake::start(&store), store, mark: 0 }
    }

    async fn ingest(&mut self, lane: u8, rows: &[Row]) -> Ingested {
        match self {
            // The cloud's clock is ahead of the gateway's.
            Self::Sqlite(cloud) => store::write(&mut cloud.connection, |connection| {
                gateways::epoch_seen(connection, GATEWAY, EPOCH, 1)?;
                ingest::ingest(connection, GATEWAY, EPOCH, lane, rows, at(1_000).as_microsecond())
            })
            .unwrap(),
            Self::Postgres { intake, .. } => {
                intake.ingest(GATEWAY, EPOCH, lane, rows.to_vec()).await.unwrap()
            }
        }
    }

    /// These changes, as the next rows of lane 3.
    async fn tell(&mut self, changes: &[Change]) {
        let mark = match self {
            Self::Sqlite(cloud) => cloud.mark(EPOCH, 3),
            Self::Postgres { mark, .. } => *mark,
        };
        let rows: Vec<Row> =
            changes.iter().zip(mark + 1..).map(|(change, seq)| change_row(seq, change)).collect();
        let last = mark + rows.len() as u64;
        for piece in rows.chunks(1_000) {
            let upto = piece.last().unwrap().seq;
            assert_eq!(self.ingest(3, piece).await, Ingested::Upto(upto));
        }
        if let Self::Postgres { mark, .. } = self {
            *mark = last;
        }
    }

    async fn send(&mut self, key: &str, action: &Action) {
        self.send_at(key, action, at(1)).await;
    }

    async fn send_at(&mut self, key: &str, action: &Action, now: Timestamp) {
        match self {
            Self::Sqlite(cloud) => store::write(&mut cloud.connection, |connection| {
                commands::send(connection, GATEWAY, &key.into(), action, now, at(3_600))
            })
            .map(drop)
            .unwrap(),
            Self::Postgres { store, .. } => {
                let mut client = store.client().await.unwrap();
                let expires = at(3_600);
                postgres::commands::send(&mut client, GATEWAY, &key.into(), action, now, expires)
                    .await
                    .unwrap();
            }
        }
    }

    async fn acknowledge(&mut self, mark: u64) {
        match self {
            Self::Sqlite(cloud) => store::write(&mut cloud.connection, |connection| {
                commands::acknowledged(connection, GATEWAY, mark, 5)
            })
            .unwrap(),
            Self::Postgres { store, .. } => {
                let mut client = store.client().await.unwrap();
                postgres::commands::acknowledged(&mut client, GATEWAY, mark, 5).await.unwrap();
            }
        }
    }

    /// What a query finds, `-` for what is not there.
    fn query(&self, sql: &str) -> Vec<String> {
        let name = match self {
            Self::Sqlite(cloud) => return cloud.query(sql),
            Self::Postgres { name, .. } => name,
        };
        let plain = |line: String| {
            let cells = line.split('|').map(|cell| if cell.is_empty() { "-" } else { cell });
            cells.collect::<Vec<_>>().join("|")
        };
        the_server().sql(name, sql).into_iter().map(plain).collect()
    }

    /// A copy as an administrator makes it, in `folder`.
    fn back_up(&self, folder: &Path) -> PathBuf {
        let copy = folder.join("copy");
        match self {
            Self::Sqlite(cloud) => {
                cloud.connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
            }
            Self::Postgres { name, .. } => {
                let dumped = server::client("pg_dump", the_server().port).arg(name).output().unwrap();
                std::fs::write(&copy, server::done(dumped, "pg_dump")).unwrap();
            }
        }
        copy
    }

    /// The cloud of a copy.
    fn put_back(&self, copy: &Path) -> Self {
        match self {
            Self::Sqlite(_) => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join(store::DATABASE_FILE);
                std::fs::copy(copy, &path).unwrap();
                Self::Sqlite(common::Cloud { folder, connection: store::open(&path).unwrap() })
            }
            Self::Postgres { mark, .. } => {
                let (name, url) = the_server().database();
                server::fill(the_server().port, &name, copy);
                let store = Store::new(Address::parse(&url).unwrap()).unwrap();
                Self::Postgres { name, intake: Intake::start(&store), store, mark: *mark }
            }
        }
    }

    /// Goes through the journal as `serve` does.
    async fn sweep(&mut self) -> usize {
        match self {
            Self::Sqlite(cloud) => {
                let reader = store::open_reader(&cloud.path()).unwrap();
                let connection = RefCell::new(&mut cloud.connection);
                let write = |work| store::write(&mut connection.borrow_mut(), work);
                erasure::sweep(&reader, &write, 9_000_000).unwrap()
            }
            Self::Postgres { store, .. } => {
                // Whoever was killed keeps the lock until the server sees that it is gone.
                let deadline = Instant::now() + Duration::from_secs(30);
                loop {
                    if let Some(applied) = postgres::erasure::sweep(store, 9_000_000).await.unwrap() {
                        return applied;
                    }
                    assert!(Instant::now() < deadline, "somebody else is at it");
                }
            }
        }
    }

    /// Everything in the database as text.
    fn all(&self) -> String {
        ["journal", "command", "posting", "stay"]
            .map(|table| self.query(&format!("SELECT * FROM {table}")).join("\n"))
            .join("\n")
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let home = match self {
            Self::Sqlite(cloud) => ["--dir", cloud.folder.path().to_str().unwrap()].map(str::to_owned),
            Self::Postgres { name, .. } => ["--database".to_owned(), the_server().url(name)],
        };
        run(&[arguments, &[home[0].as_str(), home[1].as_str()]].concat())
    }
}

fn vault() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// A tombstone of `stay`, signed as the gateway's vault signs.
fn tombstone(record: &str, stay: &str, second: i64, reason: ErasureReason) -> Erasure {
    let key = vault();
    let mut erasure = Erasure {
        stay: stay.into(),
        record: record.into(),
        at: at(second),
        reason,
        signer: HEXLOWER.encode(key.public_key().as_ref()),
        signature: String::new(),
    };
    erasure.signature = HEXLOWER.encode(key.sign(erasure.message().as_bytes()).as_ref());
    erasure
}

fn checked_in(stay: &str, room: &str) -> Change {
    let day = |day| Some(engawa_model::Date::constant(2026, 11, day));
    let (language, arrival, departure) = (Some("de".into()), day(24), day(26));
    Change::CheckedIn { stay: stay.into(), room: room.into(), language, arrival, departure }
}

fn posting(number: u32, stay: Option<&str>, text: &str) -> Change {
    Change::Posting {
        number: PostingNumber(number),
        key: format!("charge-{number}").as_str().into(),
        room: "101".into(),
        stay: stay.map(Into::into),
        amount: Money { minor: 1_250, currency: Currency::new("EUR").unwrap() },
        text: text.into(),
        outlet: Some("bar".into()),
        state: PostingState::Posted,
        answer: Some(format!("thanks to {text}")),
    }
}

fn post(stay: Option<&str>, text: &str) -> Action {
    Action::Post {
        room: "101".into(),
        stay: stay.map(Into::into),
        amount: Money { minor: 1_250, currency: Currency::new("EUR").unwrap() },
        text: text.into(),
        outlet: None,
    }
}

async fn a_tombstone_reaches_every_table_and_leaves_other_guests_and_the_money_alone(engine: Engine) {
    let mut cloud = Cloud::new(engine).await;
    cloud.send("charge-1", &post(None, "Rosenkavalier")).await;
    cloud.send("named", &post(Some("S1"), "Rosenkavalier again")).await;
    cloud.send("other", &post(Some("S2"), "Fledermaus")).await;
    cloud.acknowledge(1).await;
    cloud
        .tell(&[
            checked_in("S1", "101"),
            checked_in("S2", "102"),
            posting(1, Some("S1"), "Rosenkavalier"),
            posting(2, Some("S2"), "Fledermaus"),
            Change::CheckedOut { stay: "S1".into(), room: "101".into(), reason: StayEnd::CheckedOut },
        ])
        .await;
    // Asked a moment after, by the clock of a cloud that is ahead of the gateway's.
    let wish = Action::MergePreference {
        stay: "S1".into(),
        name: "guest.language".into(),
        register: Some(Box::new(Register::default())),
    };
    cloud.send_at("wish", &wish, at(101)).await;
    let erased = tombstone("0a", "S1", 100, ErasureReason::Asked);
    cloud.tell(&[Change::Erased { erasure: erased.clone() }]).await;
    assert_eq!(cloud.query("SELECT language, arrival FROM stay ORDER BY stay"), ["-|-", "de|2026-11-24"]);
    let charge = "SELECT minor, coalesce(nullif(text, ''), 'cleared'), answer FROM posting WHERE number = 1";
    assert_eq!(cloud.query(charge), ["1250|cleared|-"]);
    let report = cloud.run(&["erasure", "report"]);
    assert!(report.status == 1 && report.out.contains("not gone through yet"), "{report:?}");

    assert_eq!(cloud.sweep().await, 1);
    let left = cloud.all();
    assert!(!left.contains("Rosenkavalier") && left.contains("Fledermaus"), "{left}");
    assert!(cloud.query("SELECT body FROM journal WHERE seq = 1")[0].contains(r#""language":null"#));
    assert_eq!(cloud.query("SELECT count(*) FROM journal"), ["6"], "no row goes");
    // Every row is still one that can be read.
    for body in cloud.query("SELECT body FROM journal") {
        serde_json::from_str::<Change>(&body).unwrap_or_else(|error| panic!("{body}: {error}"));
    }
    for body in cloud.query("SELECT body FROM command") {
        serde_json::from_str::<engawa_model::Command>(&body)
            .unwrap_or_else(|error| panic!("{body}: {error}"));
    }
    // What had not gone out yet does not go out any more; what the gateway has is its own business.
    assert_eq!(
        cloud.query("SELECT key, state, coalesce(outcome, 'none') FROM command ORDER BY seq"),
        ["charge-1|acknowledged|none", "named|ended|superseded", "other|sent|none", "wish|ended|superseded"]
    );
    let wish = &cloud.query("SELECT body FROM command WHERE key = 'wish'")[0];
    assert!(wish.contains(r#""register":null"#), "{wish}");
    assert_eq!(cloud.sweep().await, 0, "once");

    // A row that was on its way on another lane is cleared as it comes, a later guest's of that number is not.
    let accepted = |text: &str| Change::CommandAccepted {
        key: "k".into(),
        source: CommandSource::Cloud,
        action: post(Some("S1"), text),
    };
    cloud.ingest(4, &[change_row(1, &accepted("Walkure"))]).await;
    let mut later = change_row(2, &accepted("Parsifal"));
    later.at_micros = at(200).as_microsecond();
    assert_eq!(cloud.ingest(4, &[later]).await, Ingested::Upto(2));
    let left = cloud.all();
    assert!(!left.contains("Walkure") && left.contains("Parsifal"), "{left}");
    // Whatever it is that names the stay: another command, or a kind that this release does not know.
    let (key, source) = ("k".into(), CommandSource::Cloud);
    let action = Action::PostToGuest {
        room: "101".into(),
        stay: "S1".into(),
        amount: Money { minor: 5, currency: Currency::new("EUR").unwrap() },
        text: "Siegfried".into(),
        outlet: None,
    };
    let to_guest = change_row(3, &Change::CommandAccepted { key, source, action });
    assert_eq!(cloud.ingest(4, &[to_guest]).await, Ingested::Upto(3));
    let body = r#"{"kind":"sung","to":[{"stay":"S1","text":"Lohengrin"},{"stay":"S2","text":"Rienzi"}]}"#;
    let unknown = Row { seq: 1, at_micros: 5, kind: "sung".into(), body: body.into() };
    assert_eq!(cloud.ingest(1, &[unknown]).await, Ingested::Upto(1));
    let left = cloud.all();
    assert!(!left.contains("Siegfried") && !left.contains("Lohengrin") && left.contains("Rienzi"), "{left}");

    let report = cloud.run(&["erasure", "report", "--stay", "S1", "--json"]);
    assert_eq!(report.status, 0, "{report:?}");
    let line = &report.json()[0];
    let of = |field: &str| line[field].clone();
    assert_eq!(
        (of("verified"), of("stays"), of("postings"), of("commands"), of("journal"), of("usual_signer")),
        (json!(true), json!(1), json!(1), json!(3), json!(3), json!(true))
    );
    assert!(of("copies").as_str().unwrap().contains("hold it until they are deleted"), "{line}");
    let none = cloud.run(&["erasure", "report", "--stay", "S2"]);
    assert!(none.status == 1 && none.err.contains("no tombstone"), "{none:?}");
}

async fn a_tombstone_that_was_changed_does_nothing_and_is_told(engine: Engine) {
    let mut cloud = Cloud::new(engine).await;
    cloud.tell(&[checked_in("S1", "101"), checked_in("S2", "102")]).await;
    let mut forged = tombstone("0a", "S1", 100, ErasureReason::Asked);
    forged.stay = "S2".into();
    cloud.tell(&[Change::Erased { erasure: forged }]).await;
    assert_eq!(cloud.sweep().await, 0);
    assert_eq!(cloud.query("SELECT language FROM stay"), ["de", "de"]);
    let report = cloud.run(&["erasure", "report"]);
    assert!(report.status == 1 && report.out.contains("DOES NOT FIT"), "{report:?}");
    // The right one comes after it: it counts.
    cloud.tell(&[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Asked) }]).await;
    assert_eq!(cloud.sweep().await, 1);
    assert_eq!(cloud.query("SELECT language FROM stay ORDER BY stay"), ["-", "de"]);
}

async fn an_older_stay_of_a_number_goes_and_the_guest_in_the_house_keeps_all(engine: Engine) {
    let mut cloud = Cloud::new(engine).await;
    let old = posting(1, Some("S1"), "Tosca");
    let left = Change::CheckedOut { stay: "S1".into(), room: "101".into(), reason: StayEnd::CheckedOut };
    cloud.tell(&[checked_in("S1", "101"), old, left, checked_in("S1", "102")]).await;
    cloud.tell(&[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Retention) }]).await;
    assert_eq!(cloud.sweep().await, 1);
    assert_eq!(cloud.query("SELECT room, language FROM stay"), ["102|de"]);
    let bodies = cloud.query("SELECT body FROM journal ORDER BY seq");
    assert!(bodies[0].contains(r#""language":null"#) && !bodies[1].contains("Tosca"), "{bodies:?}");
    assert!(bodies[3].contains(r#""language":"de""#), "{bodies:?}");
}

async fn a_copy_that_is_put_back_is_cleared_by_the_tombstones_kept_beside_it(engine: Engine) {
    let mut cloud = Cloud::new(engine).await;
    cloud.tell(&[checked_in("S1", "101"), posting(1, Some("S1"), "Norma")]).await;
    let folder = tempfile::tempdir().unwrap();
    let copy = cloud.back_up(folder.path());
    cloud.tell(&[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Asked) }]).await;
    assert_eq!(cloud.sweep().await, 1);
    let exported = cloud.run(&["erasure", "export"]);
    let file = folder.path().join("tombstones.jsonl");
    std::fs::write(&file, &exported.out).unwrap();

    let back = cloud.put_back(&copy);
    assert!(back.all().contains("Norma"));
    let applied = back.run(&["erasure", "apply", file.to_str().unwrap()]);
    assert!(applied.status == 0 && applied.out.contains("1 tombstones taken over, 1 applied"), "{applied:?}");
    assert!(!back.all().contains("Norma"));

    std::fs::write(&file, exported.out.replace("\"S1\"", "\"S2\"")).unwrap();
    let forged = back.run(&["erasure", "apply", file.to_str().unwrap()]);
    assert!(forged.status == 1 && forged.err.contains("line 1: the signature does not fit"), "{forged:?}");
}

/// Killed in the middle it begins again, and nothing is lost or counted twice.
async fn a_long_journal_is_gone_through_in_pieces_and_again_after_a_crash(engine: Engine) {
    let mut cloud = Cloud::new(engine).await;
    let changes: Vec<Change> =
        (0..5_000).map(|n| posting(n, Some(if n % 2 == 0 { "S1" } else { "S2" }), "Aida")).collect();
    cloud.tell(&changes).await;
    cloud.tell(&[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Asked) }]).await;
    match &mut cloud {
        Cloud::Sqlite(cloud) => {
            let reader = store::open_reader(&cloud.path()).unwrap();
            let pieces = RefCell::new(0);
            let connection = RefCell::new(&mut cloud.connection);
            let crash = |work: erasure::Work| {
                *pieces.borrow_mut() += 1;
                if *pieces.borrow() == 2 {
                    return Err(store::StoreError::Stopped);
                }
                store::write(&mut connection.borrow_mut(), work)
            };
            erasure::sweep(&reader, &crash, 9).unwrap_err();
        }
        Cloud::Postgres { store, .. } => {
            // Killed where it has cleared a piece, and not noted that all is done.
            let sweep = tokio::spawn({
                let store = store.clone();
                async move { postgres::erasure::sweep(&store, 9).await }
            });
            let client = store.client().await.unwrap();
            let cleared = "SELECT EXISTS (SELECT FROM journal WHERE body LIKE '%\"erased\":true%')";
            while !client.query_one(cleared, &[]).await.unwrap().get::<_, bool>(0) && !sweep.is_finished() {}
            sweep.abort();
            let _ = sweep.await;
            // Where it was quicker than that, it has ended in order; then this is a second way through.
            client.execute("UPDATE erasure SET applied_micros = NULL", &[]).await.unwrap();
        }
    }
    assert_eq!(cloud.query("SELECT applied_micros FROM erasure"), ["-"]);
    assert_eq!(cloud.sweep().await, 1);
    assert_eq!(cloud.query("SELECT journal, postings FROM erasure"), ["2500|2500"]);
    assert_eq!(cloud.query("SELECT count(*) FROM journal WHERE body LIKE '%Aida%'"), ["2500"]);
}

/// Indexes that a build was cut in are built anew, days of an older release get theirs, and a stay's rows are found by them.
#[tokio::test(flavor = "multi_thread")]
async fn a_stays_rows_are_found_without_reading_the_others() {
    let mut cloud = Cloud::new(Engine::Postgres).await;
    let long = "S".repeat(3_000);
    let odd = r#"{"kind":"sung","stay":"S1","text":"Manon \"Lescaut\""}"#;
    let two = r#"{"kind":"sung","to":{"stay":"S1","text":"Turandot"},"stay":"S2","text":"Liu"}"#;
    let spaced = r#"{"kind":"sung", "stay": "S1", "text": "Edgar"}"#;
    let rows = [odd, two, spaced].into_iter().zip(1..);
    let rows: Vec<Row> =
        rows.map(|(body, seq)| Row { seq, at_micros: 5, kind: "sung".into(), body: body.into() }).collect();
    cloud.ingest(1, &rows).await;
    cloud
        .tell(&[
            posting(1, Some("S1"), "Tosca"),
            posting(2, None, "Mimi"),
            posting(3, Some(&long), "Butterfly"),
        ])
        .await;
    let Cloud::Postgres { name, store, .. } = &cloud else { unreachable!("made above") };
    let (name, store) = (name.clone(), store.clone());
    // As a build that was killed leaves it, and a day that an older release has made.
    the_server().sql(&name, "CREATE INDEX journal_stay ON journal (property)");
    the_server()
        .sql(&name, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'journal_stay'::regclass");
    let day = postgres::partitions::name_of(Timestamp::now());
    the_server().sql(&name, &format!("DROP INDEX {day}_named"));
    let gone =
        [tombstone("0a", "S1", 100, ErasureReason::Asked), tombstone("0b", &long, 100, ErasureReason::Asked)];
    cloud.tell(&gone.map(|erasure| Change::Erased { erasure })).await;
    assert_eq!(cloud.sweep().await, 2);
    let left = cloud.all();
    for sung in ["Lescaut", "Turandot", "Edgar", "Tosca", "Butterfly"] {
        assert!(!left.contains(sung), "{sung}: {left}");
    }
    assert!(left.contains("Liu") && left.contains("Mimi"), "{left}");
    assert_eq!(cloud.query("SELECT journal FROM erasure ORDER BY record"), ["4", "1"]);
    let valid = format!(
        "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid IN
         ('journal_stay'::regclass, 'journal_erased'::regclass, '{day}_named'::regclass)"
    );
    assert_eq!(cloud.query(&valid), ["3"]);
    // A journal of many guests: one of them costs a look into the index.
    the_server().sql(
        &name,
        "INSERT INTO journal (property, gateway, epoch, lane, seq, at_micros, received_micros, kind, body)
         SELECT 'grand', 'grand-1', 7, 3, 1000 + n, 5, 5, 'posting', replace(json_build_object('stay', 'G' || n)::text, ' ', '')
         FROM generate_series(1, 20000) n; ANALYZE journal",
    );
    cloud.tell(&[Change::Erased { erasure: tombstone("0c", "S7", 100, ErasureReason::Asked) }]).await;
    assert_eq!(cloud.sweep().await, 1);
    drop(store);
    // Sessions tell their figures when they end.
    let deadline = Instant::now() + Duration::from_secs(30);
    let read = "SELECT idx_scan >= 2 AND idx_tup_read < 100 FROM pg_stat_user_indexes WHERE indexrelname = 'journal_stay'";
    while cloud.query(read) != ["t"] {
        let all =
            "SELECT indexrelname, idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'journal'";
        assert!(Instant::now() < deadline, "{:?}", cloud.query(all));
    }
}

/// A gateway whose erasures can't be ended holds up no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_fails_leaves_the_others_their_erasures() {
    let mut cloud = Cloud::new(Engine::Postgres).await;
    let Cloud::Postgres { store, name, .. } = &cloud else { unreachable!("made above") };
    let (store, name) = (store.clone(), name.clone());
    server::enrol(&store, "adlon", "adlon-1", EPOCH).await;
    cloud.tell(&[checked_in("S1", "101")]).await;
    let Cloud::Postgres { intake, .. } = &cloud else { unreachable!("made above") };
    let erased = Change::Erased { erasure: tombstone("0b", "S1", 100, ErasureReason::Asked) };
    intake.ingest("adlon-1", EPOCH, 3, vec![change_row(1, &erased)]).await.unwrap();
    cloud.tell(&[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Asked) }]).await;
    // A piece of history that can't be unpacked, of the one that comes first.
    let spoilt = "INSERT INTO telemetry_other (property, gateway, day, rows, data, named)
        VALUES ('adlon', 'adlon-1', '2026-01-01', 1, 'x', true)";
    the_server().sql(&name, spoilt);
    assert!(postgres::erasure::sweep(&store, 9).await.is_err(), "it is told of");
    let applied = "SELECT gateway, applied_micros IS NOT NULL FROM erasure ORDER BY gateway";
    assert_eq!(cloud.query(applied), ["adlon-1|f", "grand-1|t"]);
    // History is being made: the journal is not even begun, and what needs no history goes on.
    let client = store.client().await.unwrap();
    client.query_one("SELECT pg_advisory_lock(x'656e676177610002'::bigint)", &[]).await.unwrap();
    cloud.tell(&[Change::Erased { erasure: tombstone("0c", "S2", 100, ErasureReason::Asked) }]).await;
    assert_eq!(cloud.sweep().await, 1);
    assert_eq!(cloud.query(applied), ["adlon-1|f", "grand-1|t", "grand-1|t"]);
}

/// No release of today names a stay in telemetry; what another one sends is cleared all the same, also in old days.
#[tokio::test(flavor = "multi_thread")]
async fn telemetry_that_names_a_stay_is_cleared_as_it_came_and_as_history() {
    let mut cloud = Cloud::new(Engine::Postgres).await;
    let body = |text: &str| format!(r#"{{"kind":"sung","stay":"S1","text":"{text}"}}"#).into_bytes();
    let row = |seq, text| Row { seq, at_micros: 5, kind: "sung".into(), body: body(text) };
    cloud.ingest(5, &[row(1, "Salome"), row(2, "Elektra")]).await;
    let Cloud::Postgres { store, name, .. } = &cloud else { unreachable!("made above") };
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(24 * 31);
    assert!(postgres::history::age(store, later, postgres::history::KEPT_DAYS).await.unwrap().days > 0);
    postgres::partitions::ahead(store, Timestamp::now()).await.unwrap();
    let index = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'telemetry%_named'";
    assert_eq!(the_server().sql(name, index), ["3"], "such rows are found without reading the others");
    let store = store.clone();
    cloud.ingest(5, &[row(3, "Salome")]).await;
    cloud.tell(&[Change::Erased { erasure: tombstone("0a", "S1", 100, ErasureReason::Asked) }]).await;
    assert_eq!(cloud.sweep().await, 1);
    assert_eq!(cloud.query("SELECT body::json ->> 'text' FROM telemetry"), ["-"]);
    assert_eq!(cloud.query("SELECT journal FROM erasure"), ["3"]);
    let client = store.client().await.unwrap();
    let row = client.query_one("SELECT data FROM telemetry_other", &[]).await.unwrap();
    let kept = String::from_utf8(zstd::decode_all(row.get::<_, &[u8]>(0)).unwrap()).unwrap();
    assert_eq!(kept.lines().count(), 2);
    assert!(!kept.contains("Salome") && !kept.contains("Elektra") && kept.contains("sung"), "{kept}");
}

/// A replica of a release that knew no tombstones stores them as any row.
#[tokio::test(flavor = "multi_thread")]
async fn tombstones_that_an_older_replica_has_stored_are_found() {
    let mut cloud = Cloud::new(Engine::Postgres).await;
    let Cloud::Postgres { name, store, .. } = &cloud else { unreachable!("made above") };
    let (name, store) = (name.clone(), store.clone());
    let mut missed = postgres::erasure::Missed::default();
    // The first sweep builds the index; nothing is looked for without it.
    assert_eq!(missed.look(&store).await.unwrap(), 0);
    assert_eq!(cloud.sweep().await, 0);
    for (n, song) in [(0_u32, "Norma"), (1, "Sonnambula")] {
        let (record, stay) = (format!("{n:02x}"), format!("S{n}"));
        let erased = Change::Erased { erasure: tombstone(&record, &stay, 100, ErasureReason::Asked) };
        cloud.tell(&[checked_in(&stay, "101"), posting(n, Some(&stay), song), erased]).await;
        let as_before = format!(
            "DELETE FROM erasure WHERE record = '{record}'; UPDATE stay SET language = 'de' WHERE stay = '{stay}';
             UPDATE posting SET text = '{song}' WHERE stay = '{stay}'"
        );
        the_server().sql(&name, &as_before);
        assert_eq!(cloud.sweep().await, 0);
        assert!(cloud.all().contains(song));
        if n == 1 {
            // While the older one lives there may be more to come: once it has gone it is looked for again.
            assert_eq!(missed.look(&store).await.unwrap(), 0);
            the_server().sql(&name, "INSERT INTO replica (id, address) VALUES ('old', 'there')");
            assert_eq!(missed.look(&store).await.unwrap(), 0);
            the_server().sql(&name, "UPDATE replica SET beat = now() - interval '31 seconds'");
        }
        assert_eq!(missed.look(&store).await.unwrap(), 1);
        assert_eq!(cloud.sweep().await, 1);
        assert!(!cloud.all().contains(song), "{}", cloud.all());
        assert_eq!(cloud.query("SELECT language FROM stay WHERE language IS NOT NULL"), Vec::<String>::new());
    }
    assert_eq!(missed.look(&store).await.unwrap(), 0, "once");
}

/// Each of the tests, on either engine.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Engine::Sqlite).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Engine::Postgres).await;
            })*
        }
    };
}

on_both!(
    a_tombstone_reaches_every_table_and_leaves_other_guests_and_the_money_alone,
    a_tombstone_that_was_changed_does_nothing_and_is_told,
    an_older_stay_of_a_number_goes_and_the_guest_in_the_house_keeps_all,
    a_copy_that_is_put_back_is_cleared_by_the_tombstones_kept_beside_it,
    a_long_journal_is_gone_through_in_pieces_and_again_after_a_crash,
);
