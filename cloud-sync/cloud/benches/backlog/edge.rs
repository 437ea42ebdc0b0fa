//! A gateway: its encrypted journal, full, and the link that empties it.

use engawa_link::{EdgeLink, Identity, LinkState, Tuning};
use engawa_model::{Change, Lane, PointId, Property, PropertySpec, Quality, Role, Timestamp, Value};
use engawa_protocol::ports::{EdgeStore, Row, StoreFault};
use engawa_store::{Batch, DATABASE_FILE, DatabaseKey, Durability, Limits, Reader, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

const KEY: &str = "bench.key";
/// What is committed at once when the journal is made.
const CHANGES: u64 = 5_000;
/// Points of the house, told in turn.
const POINTS: u64 = 600;

/// The changes of telemetry, as a house of two hundred rooms tells them.
pub(crate) fn change(house: usize, n: u64) -> (Timestamp, Change) {
    let (point, turn) = (n % POINTS, n / POINTS);
    let room = 101 + point / 3;
    let (name, role, value) = match point % 3 {
        0 => ("temperature", Some(Role::RoomTemperature), 20.0 + ((turn * 7 + room) % 40) as f64 / 10.0),
        1 => ("setpoint", Some(Role::ClimateSetpoint), 20.0 + ((turn / 12 + room) % 8) as f64 / 2.0),
        _ => ("humidity", None, 40.0 + ((turn * 3 + room) % 200) as f64 / 10.0),
    };
    let micros =
        1_800_000_000_000_000 + (turn * 1_000_000_000 + point * 1_613_000 + house as u64).cast_signed();
    let at = Timestamp::from_microsecond(micros).unwrap();
    let change = Change::Reported {
        point: PointId::new(format!("thermostat-{room}").as_str(), name),
        room: Some(room.to_string().as_str().into()),
        role,
        value: Some(Value::Float(value)),
        quality: Quality::Good,
        sampled: at,
    };
    (at, change)
}

fn spec() -> PropertySpec {
    engawa_model::testing::house([])
}

/// Fills the journal in `dir`.
pub(crate) fn fill(dir: &Path, house: usize, rows: u64) {
    std::fs::create_dir_all(dir).unwrap();
    let key = DatabaseKey::load_or_create(&dir.join(KEY)).unwrap();
    let limits = Limits { telemetry_backlog: u64::MAX >> 1, ..Limits::default() };
    let mut store = Store::open(dir, &key, limits).unwrap();
    let property = Property::new(spec());
    for first in (0..rows).step_by(usize::try_from(CHANGES).unwrap()) {
        let changes = (first..(first + CHANGES).min(rows)).map(|n| change(house, n)).collect();
        let batch = Batch { changes, ..Batch::default() };
        store.commit(&property, &batch, Timestamp::now(), Durability::Soon).unwrap();
    }
    store.settle().unwrap();
    store.close().unwrap();
}

struct Journal {
    epoch: u64,
    path: PathBuf,
    key: DatabaseKey,
    heads: BTreeMap<u8, u64>,
    store: Mutex<Store>,
    property: Property,
    readers: Mutex<Vec<Reader>>,
    acknowledged: AtomicU64,
}

impl EdgeStore for Journal {
    fn epoch(&self) -> u64 {
        self.epoch
    }
    fn lanes(&self) -> Vec<u8> {
        Lane::ALL.into_iter().map(Lane::number).collect()
    }
    fn read(&self, lane: u8, after: u64, max_rows: usize, max_bytes: usize) -> Result<Vec<Row>, StoreFault> {
        let idle = self.readers.lock().unwrap().pop();
        let reader = idle.unwrap_or_else(|| Reader::open(&self.path, &self.key).unwrap());
        let rows = reader.journal(lane, after, max_rows, max_bytes).unwrap();
        self.readers.lock().unwrap().push(reader);
        let row = |row: engawa_store::JournalRow| Row {
            seq: row.seq,
            at_micros: row.at_micros,
            kind: row.kind,
            body: row.body,
        };
        Ok(rows.into_iter().map(row).collect())
    }
    fn head(&self, lane: u8) -> Result<u64, StoreFault> {
        Ok(self.heads.get(&lane).copied().unwrap_or(0))
    }
    fn acknowledged(&self, lane: u8, mark: u64) -> Result<(), StoreFault> {
        let batch = Batch { acknowledged: BTreeMap::from([(lane, mark)]), ..Batch::default() };
        self.store.lock().unwrap().commit(&self.property, &batch, Timestamp::now(), Durability::Now).unwrap();
        if lane == Lane::Telemetry.number() {
            self.acknowledged.store(mark, Ordering::SeqCst);
        }
        Ok(())
    }
    fn inbox_mark(&self) -> Result<u64, StoreFault> {
        Ok(0)
    }
    fn accept(&self, _commands: Vec<Row>) -> Result<u64, StoreFault> {
        Ok(0)
    }
}

/// Sends everything that the journal in `dir` has, and says its CPU seconds.
pub(crate) fn run(dir: &Path, cloud: &str) {
    let key = || DatabaseKey::load(&dir.join(KEY)).unwrap();
    let store =
        Store::open(dir, &key(), Limits { telemetry_backlog: u64::MAX >> 1, ..Limits::default() }).unwrap();
    let heads: BTreeMap<u8, u64> = store.marks().map(|marks| (marks.lane, marks.head)).collect();
    let head = heads[&Lane::Telemetry.number()];
    let journal = Arc::new(Journal {
        epoch: store.epoch(),
        path: dir.join(DATABASE_FILE),
        key: key(),
        heads,
        store: Mutex::new(store),
        property: Property::new(spec()),
        readers: Mutex::default(),
        acknowledged: AtomicU64::new(0),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (state, _watch) = watch::channel(LinkState::Down { reason: "not begun".into() });
        let cancel = CancellationToken::new();
        let link = EdgeLink {
            cloud: cloud.into(),
            identity: Identity::load(dir).unwrap(),
            store: Arc::clone(&journal) as Arc<dyn EdgeStore>,
            wake: Arc::new(Notify::new()),
            state,
            updates: None,
            tuning: Tuning::default(),
            seed: 1,
        };
        let linked = tokio::spawn(link.run(cancel.clone()));
        while journal.acknowledged.load(Ordering::SeqCst) < head {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        cancel.cancel();
        linked.await.unwrap();
    });
    println!("{}", crate::cost_of(std::process::id()));
}
