//! The store on real files: migrations from every older version, one transaction for state and journal,
//! encryption, and what a crash leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_model::{
    Change, Entity, Fact, GuestRecord, LinkId, Observation, Personal, Presence, Property, PropertySpec,
    RoomFlags, RoomId, StayId, Timestamp,
};
use engawa_store::vault::VaultKey;
use engawa_store::{Batch, DatabaseKey, Durability, Event, Limits, SCHEMA_VERSION, Store, StoreError};
use std::path::Path;

const LANE_STAYS: u8 = 3;

fn spec() -> PropertySpec {
    engawa_model::testing::house(["101"])
}

fn now() -> Timestamp {
    "2026-07-15T10:00:00Z".parse().unwrap()
}

fn check_in(stay: &str, name: &str) -> Observation {
    Observation::new(
        now(),
        Fact::GuestSeen {
            stay: StayId::from(stay),
            room: RoomId::from("101"),
            from: None,
            presence: Presence::In,
            listed: false,
            guest: GuestRecord { name: Some(Personal::new(name.to_owned())), ..GuestRecord::default() },
            flags: RoomFlags::default(),
        },
    )
}

fn apply(store: &mut Store, property: &mut Property, observation: &Observation) {
    let applied = property.apply(observation);
    let changes = applied.changes.into_iter().map(|change| (observation.at, change)).collect();
    let batch = Batch { changes, touched: applied.touched, ..Batch::default() };
    store.commit(property, &batch, observation.at, Durability::Now).unwrap();
}

fn key(dir: &Path) -> DatabaseKey {
    DatabaseKey::load_or_create(&dir.join("key")).unwrap()
}

#[test]
fn what_was_committed_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(dir.path());
    let epoch = {
        let mut store = Store::open(dir.path(), &key, Limits::default()).unwrap();
        assert!(store.was_closed(), "a new file has no crash behind it");
        let mut property = Property::new(spec());
        for stay in ["1", "2", "3"] {
            apply(&mut store, &mut property, &check_in(stay, "Sato"));
        }
        store.epoch()
        // dropped without close: the same as a crash, as far as the next owner can tell
    };
    let store = Store::open(dir.path(), &key, Limits::default()).unwrap();
    assert_eq!((store.was_closed(), store.epoch()), (false, epoch));
    let property = store.load(spec()).unwrap().unwrap();
    assert_eq!(property.stays().len(), 3);
    assert_eq!(property.stays()[&StayId::from("1")].name.as_ref().unwrap().reveal(), "Sato");
    let rows = store.reader().unwrap().journal(LANE_STAYS, 0, 100, usize::MAX).unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(rows.iter().all(|row| row.kind == "checked_in"));
    store.close().unwrap();
    assert!(Store::open(dir.path(), &key, Limits::default()).unwrap().was_closed());
}

#[test]
fn the_file_shows_nothing_without_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &key(dir.path()), Limits::default()).unwrap();
    let mut property = Property::new(spec());
    apply(&mut store, &mut property, &check_in("4711", "Wiedererkennbar"));
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for needle in [b"Wiedererkennbar".as_slice(), b"checked_in", b"SQLite format"] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
    }
    drop(store);
    let other = DatabaseKey::load_or_create(&dir.path().join("other")).unwrap();
    let refused = Store::open(dir.path(), &other, Limits::default()).err().unwrap();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    DatabaseKey::load_or_create(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = DatabaseKey::load(&path).unwrap_err().to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
}

#[test]
fn marks_move_with_the_rows_and_old_acknowledged_rows_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &key(dir.path()), Limits::default()).unwrap();
    let mut property = Property::new(spec());
    for stay in ["1", "2", "3"] {
        apply(&mut store, &mut property, &check_in(stay, "x"));
    }
    // An acknowledgement beyond what was written is cut back: it can't be true.
    let batch = Batch { acknowledged: [(LANE_STAYS, 99)].into(), inbox: Some(7), ..Batch::default() };
    store.commit(&property, &batch, now(), Durability::Now).unwrap();
    let marks = store.reader().unwrap().marks().unwrap();
    assert_eq!(marks.iter().map(|m| (m.lane, m.head, m.acked)).collect::<Vec<_>>(), [(LANE_STAYS, 3, 3)]);
    assert_eq!(store.inbox_mark(), 7);
    let tomorrow = now().checked_add(jiff::SignedDuration::from_hours(23)).unwrap();
    assert_eq!(store.sweep(tomorrow, 10).unwrap(), 0, "kept for a day");
    let later = now().checked_add(jiff::SignedDuration::from_hours(25)).unwrap();
    assert_eq!(store.sweep(later, 2).unwrap(), 2);
    assert_eq!(store.sweep(later, 2).unwrap(), 1);
    apply(&mut store, &mut property, &check_in("4", "x"));
    let rows = store.reader().unwrap().journal(LANE_STAYS, 0, 10, usize::MAX).unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [4], "numbers are never used again");
}

#[test]
fn telemetry_past_its_bound_is_counted_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { telemetry_backlog: 2, ..Limits::default() };
    let mut store = Store::open(dir.path(), &key(dir.path()), limits).unwrap();
    let property = Property::new(spec());
    let report = |n: i64| Change::Reported {
        point: engawa_model::PointId::new("d", "p"),
        room: None,
        role: None,
        value: Some(engawa_model::Value::Int(n)),
        quality: engawa_model::Quality::Good,
        sampled: now(),
    };
    let link = Change::Link { link: LinkId::from("pms"), up: true, detail: "alive".into() };
    let changes = vec![(now(), report(1)), (now(), report(2)), (now(), report(3)), (now(), link)];
    store.commit(&property, &Batch { changes, ..Batch::default() }, now(), Durability::Now).unwrap();
    assert_eq!(store.telemetry_dropped(), 1);
    let heads: Vec<_> = store.marks().map(|marks| (marks.lane, marks.head)).collect();
    assert_eq!(heads, [(2, 1), (5, 2)], "dense: what was not written took no number");
}

#[test]
fn every_older_schema_is_brought_up_and_keeps_its_rows() {
    for version in 1..=SCHEMA_VERSION {
        let dir = tempfile::tempdir().unwrap();
        let key = key(dir.path());
        engawa_store::testing::make_at_version(dir.path(), &key, version);
        let mut store = Store::open(dir.path(), &key, Limits::default())
            .unwrap_or_else(|error| panic!("from version {version}: {error}"));
        let mut property = store.load(spec()).unwrap().unwrap();
        assert_eq!(property.stays().len(), 1, "from version {version}");
        let name = property.stays()[&StayId::from("1")].name.as_ref().map(|name| name.reveal().clone());
        assert_eq!((name.as_deref(), store.adopted()), (Some("Altbestand"), 1), "from version {version}");
        let vault_key = VaultKey::load(&dir.path().join(engawa_store::vault::KEY_FILE)).unwrap();
        let all = engawa_store::testing::dump(dir.path(), &key, &vault_key);
        assert!(!all.windows(10).any(|window| window == b"Altbestand"), "from version {version}");
        let rows = store.reader().unwrap().journal(LANE_STAYS, 0, 10, usize::MAX).unwrap();
        assert_eq!(rows.len(), 1, "from version {version}");
        apply(&mut store, &mut property, &check_in("2", "x"));
        assert_eq!(store.marks().find(|marks| marks.lane == LANE_STAYS).unwrap().head, 2);
    }
}

#[test]
fn a_file_of_a_newer_release_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(dir.path());
    engawa_store::testing::make_at_version(dir.path(), &key, SCHEMA_VERSION);
    engawa_store::testing::pretend_version(dir.path(), &key, SCHEMA_VERSION + 1);
    let refused = Store::open(dir.path(), &key, Limits::default()).err().unwrap();
    assert!(matches!(refused, StoreError::Newer { .. }), "{refused}");
}

#[test]
fn an_entity_that_is_gone_is_gone_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &key(dir.path()), Limits::default()).unwrap();
    let mut property = Property::new(spec());
    apply(&mut store, &mut property, &check_in("1", "x"));
    let gone = Fact::GuestGone { room: RoomId::from("101"), stay: None, listed: false };
    apply(&mut store, &mut property, &Observation::new(now(), gone));
    assert!(property.save(&Entity::Stay(StayId::from("1"))).is_none());
    assert_eq!(store.load(spec()).unwrap().unwrap().stays().len(), 0);
}

#[test]
fn pages_by_time_are_whole_and_none_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &key(dir.path()), Limits::default()).unwrap();
    let property = Property::new(spec());
    // Three rows of two lanes in each of four moments.
    for second in 0..4 {
        let at = now() + jiff::SignedDuration::from_secs(second);
        let link = |up| Change::Link { link: LinkId::from("pms"), up, detail: String::new() };
        let changes =
            vec![(at, link(true)), (at, link(false)), (at, Change::NightAudit { running: true, link: None })];
        store.commit(&property, &Batch { changes, ..Batch::default() }, at, Durability::Now).unwrap();
    }
    let reader = store.reader().unwrap();
    for limit in [1, 2, 3, 4, 7, 100] {
        let (mut after, mut seen) = (0, Vec::new());
        loop {
            let page = reader.since(after, limit).unwrap();
            let Some(last) = page.last() else { break };
            after = last.at_micros;
            seen.extend(page.iter().map(|row| (row.at_micros, row.lane, row.seq)));
        }
        assert_eq!(seen.len(), 12, "pages of {limit}");
        assert!(seen.is_sorted(), "pages of {limit}");
    }
    let newest = reader.latest(i64::MAX, 4).unwrap();
    assert_eq!(newest.iter().map(|row| row.lane).collect::<Vec<_>>(), [2, 2, LANE_STAYS, 2]);
}

#[test]
fn what_a_power_cut_could_take_is_not_shown_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(dir.path());
    let mut store = Store::open(dir.path(), &key, Limits::default()).unwrap();
    let property = Property::new(spec());
    let commit = |store: &mut Store, durability| {
        let link = Change::Link { link: LinkId::from("pms"), up: true, detail: String::new() };
        let batch = Batch { changes: vec![(now(), link)], ..Batch::default() };
        store.commit(&property, &batch, now(), durability).unwrap();
    };
    let head = |store: &Store| store.marks().map(|marks| marks.head).sum::<u64>();
    commit(&mut store, Durability::Soon);
    assert_eq!((head(&store), store.is_unsettled()), (0, true), "committed, and not yet on the disk");
    // The end of the process takes nothing: the next owner finds the row, and has made it durable by opening.
    drop(store);
    let mut store = Store::open(dir.path(), &key, Limits::default()).unwrap();
    assert_eq!((head(&store), store.is_unsettled()), (1, false));
    commit(&mut store, Durability::Soon);
    store.settle().unwrap();
    assert_eq!((head(&store), store.is_unsettled()), (2, false), "settled by itself");
    commit(&mut store, Durability::Soon);
    commit(&mut store, Durability::Now);
    assert_eq!((head(&store), store.is_unsettled()), (4, false), "settled with a durable commit");
    // Also with one that has nothing to write: it must force what was committed before it.
    commit(&mut store, Durability::Soon);
    let wal = || std::fs::read(dir.path().join("engawa.db-wal")).unwrap();
    let before = wal();
    let batch = Batch { acknowledged: [(2, 0)].into(), ..Batch::default() };
    store.commit(&property, &batch, now(), Durability::Now).unwrap();
    assert_eq!(head(&store), 5);
    assert!(wal() != before, "something was written, and forced");
}

#[test]
fn events_wait_for_their_broker_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(dir.path());
    let limits = Limits { events: 3, keep_events_s: 60, ..Limits::default() };
    let mut store = Store::open(dir.path(), &key, limits).unwrap();
    let property = Property::new(spec());
    let event = |broker: &str, n: u64| Event {
        broker: broker.to_owned(),
        topic: format!("t/{n}"),
        payload: format!("{n}"),
    };
    let put = |store: &mut Store, events: Vec<Event>, delivered: Vec<u64>, second: i64| {
        let batch = Batch { events, delivered, ..Batch::default() };
        let now = Timestamp::from_second(second).unwrap();
        store.commit(&property, &batch, now, Durability::Now).unwrap();
    };
    let waiting = |store: &Store, broker: &str, after: u64| -> Vec<String> {
        let events = store.reader().unwrap().events(broker, after, 10).unwrap();
        events.into_iter().map(|event| format!("{}:{}", event.number, event.payload)).collect()
    };
    put(&mut store, vec![event("a", 1), event("b", 1), event("a", 2)], vec![], 0);
    assert_eq!(waiting(&store, "a", 0), ["1:1", "3:2"]);
    assert_eq!(waiting(&store, "a", 1), ["3:2"]);
    put(&mut store, vec![], vec![1], 1);
    put(&mut store, vec![event("a", 3), event("a", 4), event("a", 5)], vec![], 100);
    assert_eq!(waiting(&store, "a", 0), ["4:3", "5:4", "6:5"], "the oldest made room");
    assert_eq!((waiting(&store, "b", 0).len(), store.events_dropped()), (1, 1));
    store.sweep(Timestamp::from_second(120).unwrap(), 10).unwrap();
    assert_eq!((waiting(&store, "b", 0).len(), store.events_dropped()), (0, 2), "too old");
    drop(store);
    let store = Store::open(dir.path(), &key, limits).unwrap();
    assert_eq!(waiting(&store, "a", 0), ["4:3", "5:4", "6:5"]);
}

#[test]
fn a_second_writer_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(dir.path());
    let mut store = Store::open(dir.path(), &key, Limits::default()).unwrap();
    let second = Store::open(dir.path(), &key, Limits::default()).err();
    assert!(matches!(second, Some(StoreError::InUse(_))), "{second:?}");
    let mut property = Property::new(spec());
    apply(&mut store, &mut property, &check_in("1", "Sato"));
    drop(store);
    Store::open(dir.path(), &key, Limits::default()).unwrap();
}

#[test]
fn rows_of_a_long_absence_are_kept_for_a_day_after_they_were_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &key(dir.path()), Limits::default()).unwrap();
    let mut property = Property::new(spec());
    for stay in ["1", "2", "3"] {
        apply(&mut store, &mut property, &check_in(stay, "x"));
    }
    let hours = |hours| now().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
    let acknowledge = |store: &mut Store, upto, at| {
        let batch = Batch { acknowledged: [(LANE_STAYS, upto)].into(), ..Batch::default() };
        store.commit(&property, &batch, at, Durability::Now).unwrap();
    };
    // Two days without a line, then the cloud has them.
    acknowledge(&mut store, 3, hours(48));
    assert_eq!(store.sweep(hours(49), 10).unwrap(), 0);
    assert_eq!(store.sweep(hours(71), 10).unwrap(), 0);
    // The cloud is put back, and asks from the second on: what it asks for stays until it has it again.
    acknowledge(&mut store, 1, hours(72));
    assert_eq!(store.sweep(hours(73), 10).unwrap(), 1);
    let rows = store.reader().unwrap().journal(LANE_STAYS, 1, 10, usize::MAX).unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [2, 3]);
    acknowledge(&mut store, 3, hours(74));
    assert_eq!(store.sweep(hours(75), 10).unwrap(), 2);
}

#[test]
fn a_clock_that_was_ahead_keeps_no_row_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), &key(dir.path()), Limits::default()).unwrap();
    let mut property = Property::new(spec());
    apply(&mut store, &mut property, &check_in("1", "x"));
    apply(&mut store, &mut property, &check_in("2", "x"));
    let hours = |hours| now().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
    for (upto, at) in [(1, hours(24 * 365)), (2, hours(1))] {
        let batch = Batch { acknowledged: [(LANE_STAYS, upto)].into(), ..Batch::default() };
        store.commit(&property, &batch, at, Durability::Now).unwrap();
    }
    assert_eq!(store.sweep(hours(26), 10).unwrap(), 2);
}

/// Each time in a process of its own: it is the first connections that would fail.
#[test]
fn many_stores_are_opened_at_once_by_a_process_that_has_just_begun() {
    const IN_CHILD: &str = "ENGAWA_TEST_OPENS_AT_ONCE";
    if std::env::var_os(IN_CHILD).is_none() {
        for _ in 0..20 {
            let me = std::env::current_exe().unwrap();
            let mut child = std::process::Command::new(me);
            child.args(["--exact", "many_stores_are_opened_at_once_by_a_process_that_has_just_begun"]);
            let output = child.env(IN_CHILD, "1").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        return;
    }
    let begin = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let dir = tempfile::tempdir().unwrap();
                begin.wait();
                Store::open(dir.path(), &key(dir.path()), Limits::default()).unwrap();
            });
        }
    });
}
