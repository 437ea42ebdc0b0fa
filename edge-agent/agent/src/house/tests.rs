//! The house as the link to the cloud meets it.

use super::*;
use crate::journal::Journal;
use engawa_model::{Change, PointId, Quality, Value};
use engawa_protocol::ports::EdgeStore;
use engawa_store::Durability;
use engawa_store::{DatabaseKey, Limits};

const TELEMETRY: u8 = 5;

fn property() -> Property {
    Property::new(engawa_model::testing::house([]))
}

fn reported(second: i64) -> (Timestamp, Change) {
    let sampled = Timestamp::from_second(second).unwrap();
    let change = Change::Reported {
        point: PointId::new("device", "temperature"),
        room: None,
        role: None,
        value: Some(Value::Int(second)),
        quality: Quality::Good,
        sampled,
    };
    (sampled, change)
}

fn configured(dir: &std::path::Path, climate: &str, days: u32) -> crate::config::Loaded {
    let path = dir.join("engawa.toml");
    let text = format!(
        "[property]\nid = 'test'\nname = 'Test'\nzone = 'UTC'\ncurrency = 'EUR'\nrooms = ['101']\n\
         [climate]\n{climate}\n[store]\ndir = 'data'\n[privacy]\nretention_days = {days}\n"
    );
    std::fs::write(&path, text).unwrap();
    crate::config::load(&path).map_err(|reports| format!("{reports:?}")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_read_again_is_in_force_in_the_house() {
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
    let store = Store::open(dir.path(), &key, Limits::default()).unwrap();
    let mut spec = engawa_model::testing::house(["101"]);
    let setpoint = engawa_model::PointSpec {
        name: "setpoint".into(),
        role: Some(engawa_model::Role::ClimateSetpoint),
        unit: None,
        writable: true,
        min: None,
        max: None,
    };
    spec.devices.push(engawa_model::DeviceSpec {
        id: "t".into(),
        room: Some("101".into()),
        profile: "p".into(),
        points: [setpoint].into(),
    });
    let first = configured(dir.path(), "comfort_c = 22.0\neco_heating_c = 17.0\neco_cooling_c = 28.0", 90);
    let mut property = Property::new(spec);
    property.set_defaults(first.config.settings());
    let (mut house, _door, shared) =
        House::new(property, store, Outlets::default(), Publishing::default(), CancellationToken::new());
    assert_eq!(house.retention(), SignedDuration::from_hours(90 * 24));

    let again = configured(dir.path(), "comfort_c = 22.0\neco_heating_c = 16.0\neco_cooling_c = 28.0", 30);
    let (done, _told) = tokio::sync::oneshot::channel();
    house.take(vec![Message::Retune(Box::new(retune::Settings::of(&again)), done)]).unwrap();
    assert_eq!(house.retention(), SignedDuration::from_hours(30 * 24));
    let ordered: Vec<Value> =
        shared.look(|property| property.orders().values().map(|o| o.value.clone()).collect());
    assert_eq!(ordered, [Value::Float(16.0)], "the vacant room goes to the new one at once");
}

/// Telemetry is written up to 10, and was handed out up to `sent`.
fn marked(shared: &Shared, sent: u64) {
    let mark = LaneMarks { lane: TELEMETRY, head: 10, sent, ..LaneMarks::default() };
    *shared.marks.lock().unwrap() = vec![mark];
}

#[test]
fn while_the_disk_takes_nothing_telemetry_is_read_up_to_what_was_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
    let mut store = Store::open(dir.path(), &key, Limits::default()).unwrap();
    let (property, epoch) = (property(), store.epoch());
    let batch = Batch { changes: (0..10).map(reported).collect(), ..Batch::default() };
    store.commit(&property, &batch, Timestamp::UNIX_EPOCH, Durability::Now).unwrap();
    let closing = CancellationToken::new();
    let (mut house, door, shared) =
        House::new(property, store, Outlets::default(), Publishing::default(), closing);
    marked(&shared, 6);
    let journal = Arc::new(Journal::new(epoch, dir.path(), key, door, Arc::clone(&shared)));
    let read = |after| {
        let journal = Arc::clone(&journal);
        std::thread::spawn(move || {
            let rows = journal.read(TELEMETRY, after, 256, 1 << 16);
            rows.map(|rows| rows.iter().map(|row| row.seq).collect::<Vec<_>>())
                .map_err(|fault| fault.to_string())
        })
    };
    let mut asked = || match house.messages.blocking_recv() {
        Some(Message::Sent { upto, durable }) => (upto, durable),
        _ => panic!("something else was asked"),
    };
    assert_eq!(journal.head(TELEMETRY).unwrap(), 10);
    // The disk turns full while the link reads on: what was asked is dropped, as the house does it.
    let reading = read(6);
    let (upto, durable) = asked();
    assert_eq!(upto, 10);
    shared.stuck.store(true, Ordering::Release);
    drop(durable);
    // The read comes out empty once the link has been told to look, and has heard of the lower head.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let told = async { tokio::time::timeout(Duration::from_secs(10), shared.written.notified()).await };
    runtime.block_on(told).unwrap();
    assert!(!reading.is_finished());
    assert_eq!(journal.head(TELEMETRY).unwrap(), 6);
    assert_eq!(reading.join().unwrap(), Ok(vec![]));
    // What was handed out before is read as ever, and nobody asks a disk that takes nothing.
    assert_eq!(read(0).join().unwrap(), Ok((1..=6).collect()));
    assert_eq!(read(6).join().unwrap(), Ok(vec![]));
    // There is room again.
    shared.stuck.store(false, Ordering::Release);
    assert_eq!(journal.head(TELEMETRY).unwrap(), 10);
    let reading = read(6);
    let (upto, durable) = asked();
    marked(&shared, upto);
    durable.send(()).unwrap();
    assert_eq!(reading.join().unwrap(), Ok((7..=10).collect()));
    // A house that has ended is a fault.
    marked(&shared, 6);
    drop(house);
    assert!(read(6).join().unwrap().is_err());
}
