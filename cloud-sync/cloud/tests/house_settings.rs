//! Settings in the cloud, on both engines: the same rows and writes leave the same behind.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs, reason = "tests")]

mod common;
mod server;

use common::{Cloud, EPOCH, GATEWAY, at, change_row};
use engawa_cloud::house_settings::{Entry, Setting};
use engawa_cloud::postgres::{self, Intake, Store};
use engawa_cloud::store::{self, StoreError, gateways, write};
use engawa_model::settings::{Clock, Conflict, Node, Note, Register, SettingValue, field, write as written};
use engawa_model::{Action, Change, Command, Erasure, ErasureReason, StayEnd, Timestamp};
use engawa_protocol::ports::Row;
use ring::signature::{Ed25519KeyPair, KeyPair};
use server::{Server, enrol, store as database};
use std::sync::OnceLock;

const COMFORT: &str = "climate.comfort-c";
const SHARE: &str = "privacy.share-preferences";

fn the_server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::quick)
}

fn number(number: f64) -> Option<SettingValue> {
    Some(SettingValue::Number(number))
}

/// One of each engine, and a gateway's end of the settings.
struct Both {
    sqlite: Cloud,
    name: String,
    store: Store,
    intake: Intake,
    mark: u64,
    clock: Clock,
}

impl Both {
    async fn new() -> Self {
        let (name, store) = database(the_server()).await;
        enrol(&store, "grand", GATEWAY, EPOCH).await;
        let (sqlite, intake) = (Cloud::new(), Intake::start(&store));
        Self { sqlite, name, intake, store, mark: 0, clock: Clock::default() }
    }

    /// Rows of the lane of guests and stays, one after another.
    async fn tell(&mut self, epoch: u64, changes: &[Change]) {
        let rows: Vec<Row> =
            changes.iter().zip(self.mark + 1..).map(|(change, seq)| change_row(seq, change)).collect();
        self.mark += rows.len() as u64;
        self.sqlite.ingest(epoch, 3, &rows);
        self.intake.ingest(GATEWAY, epoch, 3, rows).await.unwrap();
    }

    async fn set(
        &mut self,
        stay: &str,
        name: &str,
        value: Option<SettingValue>,
        now: Timestamp,
    ) -> Result<(), String> {
        let one = write(&mut self.sqlite.connection, |connection| {
            store::house_settings::set(connection, GATEWAY, stay, name, value.clone(), "fleet", now)
        });
        let mut client = self.store.client().await.unwrap();
        let other =
            postgres::house_settings::set(&mut client, GATEWAY, stay, name, value, "fleet", now).await;
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        one.map_err(|error| error.to_string())
    }

    /// What is known, with the times of arrival left out, which the two engines don't share.
    async fn settings(&self) -> Vec<Setting> {
        let client = self.store.client().await.unwrap();
        let plain = |mut all: Vec<Setting>| {
            all.iter_mut().for_each(|setting| setting.changed_micros = 0);
            all
        };
        let one = plain(store::house_settings::list(&self.sqlite.connection, GATEWAY).unwrap());
        assert_eq!(one, plain(postgres::house_settings::list(&client, GATEWAY).await.unwrap()));
        one
    }

    async fn log(&self) -> Vec<Note> {
        let client = self.store.client().await.unwrap();
        // How far ahead a clock is depends on when the row came.
        let plain = |all: Vec<Entry>| {
            let notes = all.into_iter().map(|entry| entry.note);
            notes.filter(|note| !matches!(note, Note::ClockAhead { .. })).collect::<Vec<_>>()
        };
        let one = plain(store::house_settings::log(&self.sqlite.connection, GATEWAY, None, 100).unwrap());
        assert_eq!(one, plain(postgres::house_settings::log(&client, GATEWAY, None, 100).await.unwrap()));
        one
    }

    /// The commands that tell the gateway of settings, the newest last.
    async fn told(&self) -> Vec<Action> {
        let client = self.store.client().await.unwrap();
        let plain = |rows: Vec<Row>| -> Vec<Action> {
            rows.iter().map(|row| serde_json::from_slice::<Command>(&row.body).unwrap().action).collect()
        };
        let one = plain(store::commands::after(&self.sqlite.connection, GATEWAY, 0, 1_000).unwrap());
        assert_eq!(one, plain(postgres::commands::after(&client, GATEWAY, 0, 1_000).await.unwrap()));
        one
    }

    /// The gateway writes, knowing of `own`.
    fn gateway(
        &mut self,
        name: &str,
        own: &Register,
        value: Option<SettingValue>,
        now: Timestamp,
    ) -> Register {
        written(field(name).unwrap(), Node::Edge, own, value, "ann", &mut self.clock, now).unwrap()
    }
}

fn row(name: &str, register: &Register) -> Change {
    Change::Setting { name: name.into(), register: Box::new(register.clone()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_wrote_is_decided_recorded_and_told() {
    let mut both = Both::new().await;
    both.set("", COMFORT, number(23.0), at(100)).await.unwrap();
    let sent = both.told().await;
    let [Action::MergeSetting { document, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(document.cloud.as_ref().unwrap().value, number(23.0));
    // The gateway has not come for it, and writes later.
    let edge = both.gateway(COMFORT, &Register::default(), number(21.0), at(200));
    both.tell(EPOCH, &[row(COMFORT, &edge)]).await;
    let known = both.settings().await;
    assert_eq!((known.len(), known[0].value.clone()), (1, number(21.0)));
    let log = both.log().await;
    let Some(Note::Conflict { conflict: Conflict { edge: one, cloud: two, kept } }) = log.first() else {
        panic!("{log:?}")
    };
    assert_eq!((one.value.clone(), two.value.clone(), *kept), (number(21.0), number(23.0), Node::Edge));
    assert_eq!(both.told().await.len(), 2, "the gateway is told of both");
    // The same row in a later life of the journal, and the answer of the gateway: nothing new.
    both.tell(EPOCH, &[row(COMFORT, &known[0].register)]).await;
    assert_eq!((both.log().await.len(), both.told().await.len()), (3, 2));
    // Who writes next has seen both.
    both.set("", COMFORT, None, at(150)).await.unwrap();
    let known = both.settings().await;
    assert_eq!((known[0].value.clone(), known[0].register.edge.clone()), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_a_new_disk_is_told_everything_once_more() {
    let mut both = Both::new().await;
    both.set("", COMFORT, number(23.0), at(100)).await.unwrap();
    both.set("", "quiet.from", Some(SettingValue::Text("22:00".into())), at(101)).await.unwrap();
    let before = both.told().await.len();
    let mut client = both.store.client().await.unwrap();
    write(&mut both.sqlite.connection, |connection| gateways::epoch_seen(connection, GATEWAY, 9, 77))
        .unwrap();
    postgres::gateways::epoch_seen(&mut client, GATEWAY, 9, 77).await.unwrap();
    assert_eq!((before, both.told().await.len()), (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_says_something_else_since_holds_no_row_up() {
    let mut both = Both::new().await;
    both.set("", COMFORT, number(23.0), at(100)).await.unwrap();
    // Cleared, as an erasure leaves a command behind.
    let clear = "UPDATE command SET body = replace(body, '23.0', '24.0')";
    both.sqlite.connection.execute(clear, []).unwrap();
    the_server().sql(&both.name, clear);
    let known = both.settings().await[0].register.clone();
    let (epoch, now) = (Some(EPOCH), at(101));
    let (key, action) = engawa_cloud::house_settings::telling(epoch, COMFORT, "", &known);
    let sent = store::commands::send(&both.sqlite.connection, GATEWAY, &key, &action, now, at(9_000));
    assert!(matches!(sent, Err(StoreError::KeyTaken { .. })), "{sent:?}");
    // The gateway knows nothing of it: it is to be told once more, with the key that is taken.
    both.tell(EPOCH, &[row(COMFORT, &Register::default())]).await;
    assert_eq!((both.settings().await.len(), both.told().await.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_or_not_there_is_refused_and_a_row_of_it_is_stored_all_the_same() {
    let mut both = Both::new().await;
    for (stay, name, value, why) in [
        ("", "climate.nothing", number(1.0), "no setting `climate.nothing`"),
        ("", SHARE, Some(SettingValue::Switch(true)), "at the gateway only"),
        ("", COMFORT, number(50.0), "from 5 to 35"),
        ("", "guest.light", Some(SettingValue::Switch(true)), "needs --stay"),
        ("S1", COMFORT, number(20.0), "not of a guest"),
        ("S1", "guest.light", Some(SettingValue::Switch(true)), "no guest of reservation `S1`"),
    ] {
        let refused = both.set(stay, name, value, at(1)).await.unwrap_err();
        assert!(refused.contains(why), "{name}: {refused}");
    }
    let nobody = store::house_settings::gateways_of(&both.sqlite.connection, "elsewhere");
    assert!(matches!(nobody, Err(StoreError::NoGateway(_))));
    assert_eq!(store::house_settings::gateways_of(&both.sqlite.connection, "grand").unwrap(), [GATEWAY]);
    let client = both.store.client().await.unwrap();
    assert_eq!(postgres::house_settings::gateways_of(&client, "grand").await.unwrap(), [GATEWAY]);

    let mut bad = Register::default();
    bad.seen.edge.ms = i64::MAX;
    let good = both.gateway(COMFORT, &Register::default(), number(20.0), at(5));
    both.tell(EPOCH, &[row("climate.later", &good), row(COMFORT, &bad), row(COMFORT, &good)]).await;
    assert_eq!(both.settings().await.len(), 1);
    assert_eq!(both.sqlite.query("SELECT count(*) FROM journal WHERE kind = 'setting'"), ["3"]);
    let read = the_server().sql(&both.name, "SELECT count(*) FROM journal WHERE kind = 'setting'");
    assert_eq!(read, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_s_preferences_end_with_the_stay_and_with_the_guest_s_data() {
    let mut both = Both::new().await;
    let light = "guest.light";
    let (on, off) = (Some(SettingValue::Switch(true)), Some(SettingValue::Switch(false)));
    let comes = |stay: &str| Change::CheckedIn {
        stay: stay.into(),
        room: "101".into(),
        language: None,
        arrival: None,
        departure: None,
    };
    both.tell(EPOCH, &[comes("S1"), comes("S2")]).await;
    let refused = both.set("S1", light, on.clone(), at(10)).await.unwrap_err();
    assert!(refused.contains("keeps guests' preferences to itself"), "{refused}");
    let share = both.gateway(SHARE, &Register::default(), on.clone(), at(11));
    both.tell(EPOCH, &[row(SHARE, &share)]).await;
    both.set("S1", light, on.clone(), at(12)).await.unwrap();
    let theirs = both.gateway(light, &Register::default(), off, at(13));
    let preference = |stay: &str| Change::Preference {
        stay: stay.into(),
        name: light.into(),
        register: Some(Box::new(theirs.clone())),
    };
    both.tell(EPOCH, &[preference("S2"), preference("S1"), preference("S9")]).await;
    let stays: Vec<String> = both.settings().await.into_iter().map(|setting| setting.stay).collect();
    assert_eq!(stays, ["", "S1", "S2"], "of S9, who is not in the house, nothing");
    assert!(both.log().await.iter().any(|note| matches!(note, Note::Conflict { .. })));

    // A house that shares no more.
    assert_eq!(both.settings().await.len(), 3);
    let share = both.gateway(SHARE, &share, None, at(14));
    both.tell(EPOCH, &[row(SHARE, &share)]).await;
    assert_eq!(both.settings().await.len(), 1, "what guests prefer is gone");
    let share = both.gateway(SHARE, &share, on.clone(), at(15));
    both.tell(EPOCH, &[row(SHARE, &share), preference("S2"), preference("S1")]).await;
    both.set("S1", light, on.clone(), at(12)).await.unwrap();
    assert_eq!(both.settings().await.len(), 3);

    let reason = StayEnd::CheckedOut;
    both.tell(EPOCH, &[Change::CheckedOut { stay: "S2".into(), room: "101".into(), reason }]).await;
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let mut erasure = Erasure {
        stay: "S1".into(),
        record: "0a".into(),
        at: at(1_000),
        reason: ErasureReason::Asked,
        signer: hex(key.public_key().as_ref()),
        signature: String::new(),
    };
    erasure.signature = hex(key.sign(erasure.message().as_bytes()).as_ref());
    both.tell(EPOCH, &[Change::Erased { erasure }]).await;
    let stays: Vec<String> = both.settings().await.into_iter().map(|setting| setting.stay).collect();
    assert_eq!(stays, [""], "the house's alone");
    assert!(!both.log().await.iter().any(|note| matches!(note, Note::Conflict { .. })));
    // The journal and the commands lose it with the tombstone's sweep.
    let reader = store::open_reader(&both.sqlite.path()).unwrap();
    let connection = std::cell::RefCell::new(store::open(&both.sqlite.path()).unwrap());
    let doing = |work: store::erasure::Work| {
        store::write(&mut connection.borrow_mut(), |connection| work(connection))
    };
    store::erasure::sweep(&reader, &doing, 5).unwrap();
    let left = both.sqlite.query(
        "SELECT body FROM journal WHERE kind = 'preference' AND json_extract(body, '$.stay') = 'S1'
         UNION ALL SELECT body FROM command WHERE kind = 'merge-preference'",
    );
    assert!(left.len() >= 3, "rows, and what the gateway was told: {}", left.len());
    assert!(left.iter().all(|body| body.contains("\"register\":null")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_property_s_readers_see_its_settings_alone() {
    let mut both = Both::new().await;
    both.set("", COMFORT, number(23.0), at(100)).await.unwrap();
    enrol(&both.store, "other", "other-1", EPOCH).await;
    let mut client = both.store.client().await.unwrap();
    for (property, rows) in [("grand", 1_i64), ("other", 0)] {
        let reading = postgres::tenant::reading(&mut client, property).await.unwrap();
        for table in ["gateway_setting", "gateway_setting_log", "gateway_setting_clock"] {
            let seen: i64 =
                reading.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
            assert_eq!(seen, rows, "{table} for {property}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_too_many_commands_wait_whoever_writes_is_told_and_rows_go_on() {
    let mut both = Both::new().await;
    both.set("", COMFORT, number(23.0), at(100)).await.unwrap();
    let most = engawa_cloud::commands::MOST_WAITING;
    let copies = "key || '-' || i, at_micros, kind, body, expires FROM command,";
    let sqlite = format!(
        "WITH RECURSIVE n(i) AS (VALUES (2) UNION ALL SELECT i + 1 FROM n WHERE i < {most})
         INSERT INTO command (gateway, seq, key, at_micros, kind, body, expires) SELECT gateway, i, {copies} n;
         UPDATE gateway SET command_head = {most}"
    );
    both.sqlite.connection.execute_batch(&sqlite).unwrap();
    let insert = format!(
        "INSERT INTO command (property, gateway, seq, key, at_micros, kind, body, expires)
         SELECT property, gateway, i, {copies} generate_series(2, {most}) AS i"
    );
    the_server().sql(&both.name, &insert);
    the_server().sql(&both.name, &format!("UPDATE gateway SET command_head = {most}"));
    let refused = both.set("", COMFORT, number(24.0), at(101)).await.unwrap_err();
    assert!(refused.contains("wait"), "{refused}");
    assert_eq!(both.settings().await[0].value, number(23.0), "nothing of it is kept");
    let edge =
        both.gateway("quiet.from", &Register::default(), Some(SettingValue::Text("22:00".into())), at(102));
    both.tell(EPOCH, &[row("quiet.from", &edge)]).await;
    assert_eq!(both.settings().await.len(), 2);
}
