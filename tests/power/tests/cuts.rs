//! The store under power cuts at random moments: every database that is found afterwards is whole, and has what was
//! promised. `CUTS` histories (a slice by default), from `SEED` on; a failure names the seed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_model::{
    Change, Fact, GuestRecord, Observation, Personal, PointId, Presence, Property, PropertySpec, Quality,
    RoomFlags, RoomId, StayId, Timestamp, Value,
};
use engawa_power::disk::{Disk, Luck, Step};
use engawa_power::vfs;
use engawa_store::vault::VaultKey;
use engawa_store::{Batch, Budget, DatabaseKey, Durability, JournalRow, LaneMarks, Limits, Store};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;

const ALARMS: u8 = 2;
const STAYS: u8 = 3;
const TELEMETRY: u8 = 5;
/// Cuts into one history.
const CUTS_EACH: usize = 12;

struct Dice(StdRng);

impl Luck for Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }
}

fn spec() -> PropertySpec {
    engawa_model::testing::house(["101"])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Small enough that thinning begins after some thousand values.
fn limits() -> Limits {
    let budget = Budget { telemetry: 1 << 20, ..Budget::default() };
    Limits { budget, ballast: 0, keep_acknowledged_s: 60, ..Limits::default() }
}

/// What was promised at a position of the record.
#[derive(Clone, Default)]
struct Promise {
    position: usize,
    /// As the store shows them: what a power cut can't take.
    marks: BTreeMap<u8, LaneMarks>,
    /// Telemetry that was handed out, by number.
    handed: BTreeMap<u64, JournalRow>,
    inbox: u64,
    epoch: u64,
    /// The stamp is another one: the next opening takes the database for a copy, unless the stamp did not get to the disk.
    copied: bool,
}

struct History {
    steps: Vec<Step>,
    promises: Vec<Promise>,
    key: DatabaseKey,
    keys: Vec<(String, Vec<u8>)>,
}

struct Life<'a> {
    dir: &'a Path,
    random: StdRng,
    property: Property,
    second: i64,
    guests: u64,
    now: Promise,
    promises: Vec<Promise>,
}

impl Life<'_> {
    fn open(&mut self) -> Store {
        let key = DatabaseKey::load_or_create(&self.dir.join("key")).unwrap();
        let store = Store::open(self.dir, &key, limits()).unwrap();
        assert_eq!(store.began_anew().is_some(), self.now.copied);
        self.stamped();
        if self.now.copied {
            // The rows have other numbers now.
            assert_ne!(store.epoch(), self.now.epoch);
            (self.now.copied, self.now.handed) = (false, BTreeMap::new());
        }
        self.now.epoch = store.epoch();
        self.promise(&store);
        store
    }

    fn stamped(&self) {
        let bytes = std::fs::read(self.dir.join("engawa.stamp")).unwrap();
        vfs::add(self.dir, Step::Replace { file: "engawa.stamp".into(), bytes });
    }

    /// As if the database were a copy: the stamp beside it is of another opening.
    fn copied(&mut self) {
        let path = self.dir.join("engawa.stamp");
        let mut stamp: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        stamp["opening"] = self.random.random_range(1..i64::MAX).into();
        std::fs::write(path, stamp.to_string()).unwrap();
        self.now.copied = true;
        self.now.position = vfs::position(self.dir);
        self.promises.push(self.now.clone());
        self.stamped();
    }

    fn promise(&mut self, store: &Store) {
        self.now.position = vfs::position(self.dir);
        self.now.marks = store.marks().map(|mark| (mark.lane, mark)).collect();
        self.now.inbox = store.inbox_mark();
        self.promises.push(self.now.clone());
    }

    fn commit(&mut self, store: &mut Store, batch: &Batch, durability: Durability) {
        store.commit(&self.property, batch, at(self.second), durability).unwrap();
        self.promise(store);
    }

    fn check_in(&mut self, store: &mut Store) {
        self.guests += 1;
        let fact = Fact::GuestSeen {
            stay: StayId::from(self.guests.to_string().as_str()),
            room: RoomId::from("101"),
            from: None,
            presence: Presence::In,
            listed: false,
            guest: GuestRecord {
                name: Some(Personal::new(format!("Guest {}", self.guests))),
                ..GuestRecord::default()
            },
            flags: RoomFlags::default(),
        };
        let observation = Observation::new(at(self.second), fact);
        let applied = self.property.apply(&observation);
        let changes = applied.changes.into_iter().map(|change| (observation.at, change)).collect();
        let inbox = Some(self.now.inbox + 1);
        let batch = Batch { changes, touched: applied.touched, inbox, ..Batch::default() };
        self.commit(store, &batch, Durability::Now);
    }

    fn values(&mut self, store: &mut Store) {
        let count = self.random.random_range(1..=1200);
        let changes = (0..count).map(|_| {
            self.second += 1;
            let point = PointId::new(format!("d{}", self.second % 20), "t");
            let (value, sampled) = (Some(Value::Int(self.second % 97)), at(self.second));
            let quality = Quality::Good;
            (at(self.second), Change::Reported { point, room: None, role: None, value, quality, sampled })
        });
        let changes = changes.collect();
        self.commit(store, &Batch { changes, ..Batch::default() }, Durability::Soon);
    }

    /// As the link does it: first a durable word of what is handed out, then the rows, none that a cut could take.
    fn hand_out(&mut self, store: &mut Store) {
        let after = self.now.handed.keys().next_back().copied().unwrap_or(0);
        let settled = store.marks().find(|mark| mark.lane == TELEMETRY).unwrap_or_default();
        let wanted = settled.head.min(after + 300);
        if wanted > settled.sent {
            let sent = Some(wanted);
            self.commit(store, &Batch { sent, ..Batch::default() }, Durability::Now);
        }
        let rows = store.reader().unwrap().journal(TELEMETRY, after, 300, 1 << 20).unwrap();
        let rows = rows.into_iter().filter(|row| row.seq <= wanted);
        self.now.handed.extend(rows.map(|row| (row.seq, row)));
        self.promise(store);
    }

    fn live(&mut self) {
        let mut store = self.open();
        for _ in 0..self.random.random_range(15..45) {
            self.second += 1;
            match self.random.random_range(0..13) {
                0..=2 => self.check_in(&mut store),
                3..=6 => self.values(&mut store),
                7 => {
                    store.settle().unwrap();
                    self.promise(&store);
                }
                8 => self.hand_out(&mut store),
                9 => {
                    // The cloud has some of what was handed out.
                    let handed = self.now.handed.keys().next_back().copied().unwrap_or(0);
                    let acknowledged = [(TELEMETRY, self.random.random_range(0..=handed))].into();
                    self.commit(&mut store, &Batch { acknowledged, ..Batch::default() }, Durability::Now);
                    store.sweep(at(self.second + 61), 500).unwrap();
                }
                10 => while store.relieve(at(self.second)).unwrap() {},
                11 => {
                    drop(store);
                    self.copied();
                    store = self.open();
                }
                _ => {
                    if self.random.random_bool(0.5) {
                        store.close().unwrap();
                        self.stamped();
                    } else {
                        drop(store);
                    }
                    store = self.open();
                }
            }
        }
    }
}

fn history(seed: u64) -> History {
    vfs::install();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    vfs::record(&dir);
    let mut life = Life {
        dir: &dir,
        random: StdRng::seed_from_u64(seed),
        property: Property::new(spec()),
        second: 1_780_000_000,
        guests: 0,
        now: Promise::default(),
        promises: Vec::new(),
    };
    life.live();
    let promises = life.promises;
    let steps = vfs::taken(&dir);
    let keys = ["key", "vault.key"].map(|name| (name.to_owned(), std::fs::read(dir.join(name)).unwrap()));
    let key = DatabaseKey::load(&dir.join("key")).unwrap();
    History { steps, promises, key, keys: keys.into() }
}

/// What is wrong with the store that a cut has left; `Ok`: it is whole, and keeps what was promised.
fn check(history: &History, files: &BTreeMap<String, Vec<u8>>, promise: &Promise) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for (name, bytes) in files.iter().chain(history.keys.iter().map(|(name, bytes)| (name, bytes))) {
        std::fs::write(dir.join(name), bytes).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let wrong = |what: String| Err(what);
    let store =
        Store::open(dir, &history.key, limits()).map_err(|error| format!("it does not open: {error:?}"))?;
    if store.began_anew().is_some() && !promise.copied {
        return wrong("it is taken for a copy of an earlier time".into());
    }
    // Where the cut was in the beginning of a new epoch, that has begun or not; whole, in either case.
    let other = store.epoch() != promise.epoch;
    if promise.epoch != 0 && other && !promise.copied {
        return wrong("another epoch".into());
    }
    if store.inbox_mark() < promise.inbox {
        return wrong(format!("the inbox is at {}, {} was promised", store.inbox_mark(), promise.inbox));
    }
    let dark = store.dark().map_err(|error| error.to_string())?;
    if dark > 0 {
        return wrong(format!("{dark} guests without their keys"));
    }
    let marks: BTreeMap<u8, LaneMarks> = store.marks().map(|mark| (mark.lane, mark)).collect();
    let reader = store.reader().unwrap();
    for (lane, promised) in promise.marks.iter().filter(|_| !other) {
        let mark = marks.get(lane).copied().unwrap_or_default();
        if mark.head < promised.head || mark.acked < promised.acked || mark.sent < promised.sent {
            return wrong(format!("lane {lane} is at {mark:?}, promised was {promised:?}"));
        }
    }
    if other && promise.epoch != 0 {
        let over = reader.carried_over().map_err(|error| error.to_string())?;
        if over.as_ref().map(|over| over.epoch) != Some(promise.epoch) {
            return wrong(format!("it goes on from {over:?}, not from {}", promise.epoch));
        }
        for (lane, promised) in &promise.marks {
            let (head, first) = (marks.get(lane).map_or(0, |mark| mark.head), u64::from(*lane == ALARMS));
            // What was shown, and what else the disk may have got.
            if head < promised.head - promised.acked + first {
                return wrong(format!("lane {lane}: {head} of {promised:?} are carried over"));
            }
        }
    }
    for (lane, mark) in &marks {
        if mark.acked > mark.head {
            return wrong(format!("lane {lane}: a mark ahead of its rows: {mark:?}"));
        }
        let first = reader.oldest(*lane).map_err(|error| error.to_string())?.unwrap_or(mark.head + 1);
        let mut after = first - 1;
        let mut rows: Vec<JournalRow> = Vec::new();
        loop {
            let page = reader.journal(*lane, after, 10_000, usize::MAX).map_err(|error| error.to_string())?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            rows.extend(page);
        }
        // Each number has a row, or one that tells of it.
        let mut next = first;
        let holed = rows.iter().any(|row| std::mem::replace(&mut next, row.seq + 1) != row.tells_from());
        if holed || after != mark.head {
            return wrong(format!("lane {lane}: rows up to {after} from {first} for {mark:?}, with a hole"));
        }
        if *lane == TELEMETRY {
            let kept: BTreeMap<u64, &JournalRow> = rows.iter().map(|row| (row.seq, row)).collect();
            let gone = |seq: u64| seq < first && seq <= mark.acked;
            for (seq, row) in promise.handed.iter().filter(|_| !other) {
                if !gone(*seq) && kept.get(seq) != Some(&row) {
                    return wrong(format!("row {seq} was handed out as {row:?}, and is {:?}", kept.get(seq)));
                }
            }
        }
    }
    let property =
        store.load(spec()).map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let stays = marks.get(&STAYS).map_or(0, |mark| mark.head);
    if property.stays().len() as u64 != stays {
        return wrong(format!("{} stays in the state, {stays} in the journal", property.stays().len()));
    }
    drop((reader, store));
    let vault_key = VaultKey::load(&dir.join("vault.key")).unwrap();
    let faults = engawa_store::testing::faults(dir, &history.key, &vault_key);
    if faults.is_empty() { Ok(()) } else { wrong(faults.join("; ")) }
}

/// Cuts the history of `seed` at random moments; the first that leaves something wrong.
fn cut(seed: u64, disk: &Disk) -> Result<(), String> {
    let history = history(seed);
    let mut dice = Dice(StdRng::seed_from_u64(seed ^ 0xc07));
    // Before the first opening was over there is nothing that was promised.
    let begin = history.promises[0].position;
    let mut moments: Vec<usize> =
        (0..CUTS_EACH).map(|_| dice.0.random_range(begin..=history.steps.len())).collect();
    moments.sort_unstable();
    let (mut disk, mut done) = (disk.clone(), 0);
    for moment in moments {
        while done < moment {
            disk.done(&history.steps[done]);
            done += 1;
        }
        let promise = history.promises.iter().rev().find(|promise| promise.position <= moment).unwrap();
        let files = disk.cut(history.steps.get(moment), &mut dice);
        let found = std::panic::catch_unwind(|| check(&history, &files, promise));
        let found = found.unwrap_or_else(|_| Err("it can't be read".into()));
        found.map_err(|wrong| {
            format!("SEED={seed}, cut at step {moment} of {}: {wrong}", history.steps.len())
        })?;
    }
    Ok(())
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn every_cut_leaves_a_whole_database_with_what_was_promised() {
    let (first, count) = (number("SEED", 1), number("CUTS", 8));
    for seed in first..first + count {
        if let Err(wrong) = cut(seed, &Disk::new()) {
            panic!("{wrong}");
        }
    }
    eprintln!("{count} histories, {} cuts: all whole", count * CUTS_EACH as u64);
}

#[test]
fn without_syncs_it_is_seen() {
    let found = (1..=20).find_map(|seed| cut(seed, &Disk::that_never_syncs()).err());
    assert!(found.is_some(), "a store that never syncs has passed: the test has no teeth");
}

#[test]
fn a_disk_that_refuses_writes_is_said_to_and_takes_them_later() {
    vfs::install();
    // Of its own process: the fault is for all files.
    if std::env::var_os("ENGAWA_POWER_FAULTS").is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let again = again.env("ENGAWA_POWER_FAULTS", "1");
        let name = "a_disk_that_refuses_writes_is_said_to_and_takes_them_later";
        let out = again.args(["--exact", name, "--nocapture"]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
    let mut store = Store::open(dir.path(), &key, limits()).unwrap();
    let property = Property::new(spec());
    let batch = || Batch { changes: vec![(at(0), Change::Started { clean: true })], ..Batch::default() };
    let codes = [
        rusqlite::ffi::SQLITE_READONLY,
        rusqlite::ffi::SQLITE_FULL,
        rusqlite::ffi::SQLITE_IOERR_WRITE,
        rusqlite::ffi::SQLITE_IOERR_FSYNC,
    ];
    for (code, rows) in codes.into_iter().zip(1..) {
        vfs::fail_writes(code);
        for _ in 0..3 {
            let error = store.commit(&property, &batch(), at(0), Durability::Now).unwrap_err();
            assert!(error.is_of_disk(), "{code}: {error:?}");
        }
        vfs::fail_writes(0);
        store.commit(&property, &batch(), at(0), Durability::Now).unwrap();
        assert_eq!(store.marks().next().unwrap().head, rows, "each once, whatever was tried before");
    }
    drop(store);
    let store = Store::open(dir.path(), &key, limits()).unwrap();
    assert_eq!(store.reader().unwrap().journal(2, 0, 10, 10_000).unwrap().len(), 4);
}
