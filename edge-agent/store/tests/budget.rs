//! The journal while the cloud does not take it: what is thinned, what never is, and that every number is accounted for.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod month;

use engawa_model::{
    Change, EpochReason, Lane, LaneEnd, LinkId, PointId, Property, Quality, Thinning, Timestamp, Value,
};
use engawa_store::{
    Batch, Budget, DatabaseKey, Durability, JournalRow, LaneMarks, Limits, Pressure, Reader, Store,
};
use month::{Hotel, live, on_disk, open};
use std::path::Path;

const TELEMETRY: u8 = 5;

fn property() -> Property {
    Property::new(engawa_model::testing::house([]))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn reported(second: i64, point: i64) -> (Timestamp, Change) {
    let change = Change::Reported {
        point: PointId::new(format!("device-{point}"), "temperature"),
        room: None,
        role: None,
        value: Some(Value::Int(second % 50)),
        quality: Quality::Good,
        sampled: at(second),
    };
    (at(second), change)
}

fn link(second: i64) -> (Timestamp, Change) {
    (at(second), Change::Link { link: LinkId::from("pms"), up: second % 2 == 0, detail: "x".repeat(100) })
}

fn commit(store: &mut Store, changes: Vec<(Timestamp, Change)>) {
    let batch = Batch { changes, ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
}

/// `count` values of ten points, one each second from `from` on.
fn values(store: &mut Store, from: i64, count: i64) {
    commit(store, (from..from + count).map(|second| reported(second, second % 10)).collect());
}

fn relieve(store: &mut Store) {
    while store.relieve(at(0)).unwrap() {}
}

fn mark(store: &mut Store, lane: u8) -> LaneMarks {
    store.settle().unwrap();
    store.marks().find(|mark| mark.lane == lane).unwrap_or_default()
}

/// All rows of a lane, in pages as the link reads them.
fn all(reader: &Reader, lane: u8, mut after: u64) -> Vec<JournalRow> {
    let mut rows = Vec::new();
    loop {
        let page = reader.journal(lane, after, 256, 16 << 10).unwrap();
        let Some(last) = page.last() else { return rows };
        assert!(page.len() <= 256);
        assert!(page.iter().map(|row| row.body.len()).sum::<usize>() <= 16 << 10);
        after = last.seq;
        rows.extend(page);
    }
}

/// What rows of telemetry say of the values behind them: those they stand for, and those that are lost. Checks that
/// numbers are dense, and that each absent one is told of.
fn accounted(rows: &[JournalRow], first: u64) -> (u64, u64) {
    let (mut stood_for, mut lost, mut absent) = (0, 0, 0);
    for (row, expected) in rows.iter().zip(first..) {
        assert_eq!(row.seq, expected, "numbers are dense");
        let change: Change = serde_json::from_slice(&row.body).unwrap();
        assert_eq!(change.kind(), row.kind);
        match change {
            Change::Reported { .. } => stood_for += 1,
            Change::Summary { count, .. } => stood_for += u64::from(count),
            Change::Absent {} => absent += 1,
            Change::Thinned { numbers, lost: of, .. } => {
                assert_eq!(absent, numbers, "the record at {} tells of every absent number", row.seq);
                absent = 0;
                lost += of;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(absent, 0, "absent numbers without a record");
    (stood_for, lost)
}

fn small(telemetry: u64) -> Limits {
    Limits { budget: Budget { telemetry, ..Budget::default() }, ballast: 0, ..Limits::default() }
}

#[test]
fn telemetry_is_thinned_by_minutes_then_by_hours_then_the_oldest_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), small(3 << 20));
    let mut seen = Vec::new();
    for n in 0..48 {
        values(&mut store, n * 1000, 1000);
        relieve(&mut store);
        assert!(mark(&mut store, TELEMETRY).bytes <= 3 << 20);
        if n % 12 == 11 {
            let rows = all(&store.reader().unwrap(), TELEMETRY, 0);
            let gravest = rows.iter().filter_map(|row| match serde_json::from_slice(&row.body).unwrap() {
                Change::Thinned { how, .. } => Some(how),
                _ => None,
            });
            seen.push(gravest.max());
        }
    }
    // Ten points, ten values a second: their minutes, then hours, fit many times over, and nothing needs to go.
    seen.dedup();
    assert_eq!(seen, [Some(Thinning::PerMinute), Some(Thinning::PerHour)]);
    let rows = all(&store.reader().unwrap(), TELEMETRY, 0);
    assert_eq!(rows.len() as u64, mark(&mut store, TELEMETRY).head);
    assert_eq!(accounted(&rows, 1), (48_000, 0));
    // Fewer values a minute than points: only hours save anything; then only dropping does.
    let mut store = open(&dir.path().join("slow"), small(3 << 20));
    let mut told = 0;
    for day in 0..30 {
        let changes = (0..1000).map(|n| reported(day * 86_400 + n * 86, n % 40));
        commit(&mut store, changes.collect());
        told += 1000;
        relieve(&mut store);
        assert!(mark(&mut store, TELEMETRY).bytes <= (3 << 20) / 16 * 17);
    }
    let rows = all(&store.reader().unwrap(), TELEMETRY, 0);
    let (stood_for, lost) = accounted(&rows, 1);
    assert_eq!(stood_for + lost, told, "every value has a row, a part in one, or is told as lost");
    assert!(lost > 0 && stood_for > told / 5, "{stood_for} of {told}");
    assert_eq!(store.telemetry_dropped(), 0, "new values have always found room");
    // The oldest have gone, under one record; the newest are as they were told.
    assert!(matches!(
        serde_json::from_slice(&rows.iter().find(|row| row.kind != "absent").unwrap().body).unwrap(),
        Change::Thinned { how: Thinning::Dropped, .. }
    ));
    assert!(rows[rows.len() - 900..].iter().all(|row| row.kind == "reported"));
}

#[test]
fn what_may_have_been_handed_out_is_never_changed_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), small(6 << 20));
    values(&mut store, 0, 6000);
    // The link is about to read up to 100: that, and what it may read before the next word, stays.
    store
        .commit(&property(), &Batch { sent: Some(100), ..Batch::default() }, at(0), Durability::Now)
        .unwrap();
    let sent = mark(&mut store, TELEMETRY).sent;
    assert!(sent >= 100);
    let count = i64::try_from(sent).unwrap();
    values(&mut store, 6000, count - 6000);
    let before = all(&store.reader().unwrap(), TELEMETRY, 0);
    drop(store);
    let mut store = open(dir.path(), small(6 << 20));
    assert_eq!(mark(&mut store, TELEMETRY).sent, sent);
    for n in 0..20 {
        values(&mut store, count + n * 1000, 1000);
        relieve(&mut store);
    }
    let rows = all(&store.reader().unwrap(), TELEMETRY, 0);
    assert_eq!(rows[..before.len()], before, "what was or may have been sent");
    assert!(rows[before.len()..].iter().any(|row| row.kind == "absent"), "the rest was thinned");
    let (stood_for, lost) = accounted(&rows, 1);
    assert_eq!(stood_for + lost + store.telemetry_dropped(), u64::try_from(count + 20_000).unwrap());
}

#[test]
fn acknowledged_rows_go_early_before_anything_is_thinned() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), small(2 << 20));
    values(&mut store, 0, 7000);
    let batch = Batch { acknowledged: [(TELEMETRY, 6500)].into(), ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
    relieve(&mut store);
    let reader = store.reader().unwrap();
    let oldest = reader.oldest(TELEMETRY).unwrap().unwrap();
    assert!(oldest > 1 && oldest <= 6501, "{oldest}");
    let rows = all(&reader, TELEMETRY, oldest - 1);
    assert!(rows.iter().all(|row| row.kind == "reported"));
    assert_eq!(accounted(&rows, oldest), (7001 - oldest, 0));
    // From before the oldest the first row that there is comes, and shows by its number what is missing.
    assert_eq!(reader.journal(TELEMETRY, 0, 10, 1000).unwrap()[0].seq, oldest);
    assert_eq!(reader.oldest(4).unwrap(), None);
}

#[test]
fn an_acknowledgement_within_a_thinned_block_leaves_nothing_unexplained() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), small(1 << 20));
    for n in 0..12 {
        values(&mut store, n * 1000, 1000);
        relieve(&mut store);
    }
    let rows = all(&store.reader().unwrap(), TELEMETRY, 0);
    let blocks: Vec<&JournalRow> = rows.iter().filter(|row| row.kind == "thinned").collect();
    let Change::Thinned { numbers, .. } = serde_json::from_slice(&blocks[1].body).unwrap() else { panic!() };
    let (record, first) = (blocks[1].seq, blocks[1].seq - numbers);
    assert!(numbers > 4, "{numbers}");
    // The cloud has half of the block's numbers, and what came before is swept away.
    let batch = Batch { acknowledged: [(TELEMETRY, record - 2)].into(), ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
    while store.sweep(at(86_400 * 2), 10_000).unwrap() > 0 {}
    // A cloud that was put back asks from before it: what is not there any more was acknowledged, and the rest is told.
    let reader = store.reader().unwrap();
    let page = reader.journal(TELEMETRY, first - 4, 10_000, usize::MAX).unwrap();
    assert_eq!(page[0].seq, first);
    assert_eq!(reader.oldest(TELEMETRY).unwrap(), Some(first));
    accounted(&page, first);
}

#[test]
fn values_without_room_are_told_of_when_there_is_some_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), Limits { telemetry_backlog: 10, ..small(1 << 20) });
    values(&mut store, 0, 15);
    assert_eq!(store.telemetry_dropped(), 5);
    let batch = Batch { acknowledged: [(TELEMETRY, 10)].into(), ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
    values(&mut store, 20, 1);
    let rows = all(&store.reader().unwrap(), TELEMETRY, 0);
    assert_eq!(accounted(&rows, 1), (11, 5));
    let Change::Thinned { how, since, until, .. } = serde_json::from_slice(&rows[10].body).unwrap() else {
        panic!()
    };
    assert_eq!((how, since, until), (Thinning::NotWritten, at(10), at(14)));
}

#[test]
fn lanes_that_never_drop_press_and_take_of_telemetrys_share() {
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget { alarms: 100_000, telemetry: 1 << 20, ..Budget::default() };
    let limits = Limits { budget, ballast: 0, ..Limits::default() };
    let mut store = open(dir.path(), limits);
    values(&mut store, 0, 1000);
    let mut rows = 0;
    let mut pressures = vec![store.pressure()];
    while mark(&mut store, 2).bytes < 1 << 20 {
        commit(&mut store, (0..100).map(link).collect());
        rows += 100;
        relieve(&mut store);
        pressures.push(store.pressure());
    }
    pressures.dedup();
    assert_eq!(pressures.first(), Some(&Pressure::Free));
    assert_eq!(pressures.last(), Some(&Pressure::Full));
    assert_eq!(mark(&mut store, 2).head, rows, "none is dropped");
    values(&mut store, 2000, 10);
    assert_eq!(store.telemetry_dropped(), 10, "its share is used up by others");
    // The cloud takes them: the pressure is over, also for the next start.
    let batch = Batch { acknowledged: [(2, rows)].into(), ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
    relieve(&mut store);
    assert_eq!(store.pressure(), Pressure::Free);
    values(&mut store, 3000, 10);
    assert_eq!(store.telemetry_dropped(), 10);
    let bytes = mark(&mut store, 2).bytes;
    drop(store);
    assert_eq!(mark(&mut open(dir.path(), limits), 2).bytes, bytes);
}

#[test]
fn a_month_offline_fits_in_what_is_promised() {
    // A fiftieth of 200 rooms in a fiftieth of 512 MiB; the whole is in the bench.
    let full = Budget::default();
    let budget = Budget {
        control: full.control / 50,
        alarms: full.alarms / 50,
        stays: full.stays / 50,
        audit: full.audit / 50,
        telemetry: full.telemetry / 50,
    };
    let limits = Limits { budget, ballast: (8 << 20) / 50, ..Limits::default() };
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), limits);
    let mut hotel = Hotel::new(4, 1);
    live(&mut store, &property(), &mut hotel, (30, 5));
    // The log of writes under way (4 MiB) is the same in a house of any size.
    let files = on_disk(dir.path());
    assert!(files < (512 << 20) / 50, "{} KiB", files >> 10);
    assert_eq!(store.pressure(), Pressure::Free, "nothing had to be refused");
    let rows = all(&store.reader().unwrap(), TELEMETRY, 0);
    let (stood_for, lost) = accounted(&rows, 1);
    assert_eq!((stood_for + lost, store.telemetry_dropped()), (hotel.values, 0));
    assert_eq!(lost, 0, "a month is thinned, not dropped");
    for lane in Lane::ALL.into_iter().filter(|lane| lane.number() != TELEMETRY) {
        let (mark, rows) = (mark(&mut store, lane.number()), all(&store.reader().unwrap(), lane.number(), 0));
        assert_eq!(rows.len() as u64, mark.head, "{lane:?} has every row");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_database_that_was_put_back_begins_a_new_epoch_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let house = dir.path().join("house");
    let mut store = open(&house, small(1 << 20));
    let first = store.epoch();
    assert_eq!(store.began_anew(), None);
    commit(&mut store, (0..10).map(link).collect());
    values(&mut store, 0, 20);
    let batch = Batch { acknowledged: [(2, 4), (TELEMETRY, 20)].into(), ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
    store.close().unwrap();
    let kept = dir.path().join("kept");
    copy(&house, &kept);
    // Life goes on, with and without a good end: the same epoch.
    for clean in [true, false] {
        let mut store = open(&house, small(1 << 20));
        assert_eq!((store.epoch(), store.began_anew()), (first, None));
        commit(&mut store, (0..10).map(link).collect());
        if clean {
            store.close().unwrap();
        }
    }
    // The database is put back.
    std::fs::copy(kept.join("engawa.db"), house.join("engawa.db")).unwrap();
    for log in ["engawa.db-wal", "engawa.db-shm"] {
        let _ = std::fs::remove_file(house.join(log));
    }
    let mut store = open(&house, small(1 << 20));
    assert_eq!((store.began_anew(), store.was_closed()), (Some(EpochReason::Restored), false));
    assert_ne!(store.epoch(), first);
    let rows = all(&store.reader().unwrap(), 2, 0);
    assert_eq!(
        rows.iter().map(|row| row.seq).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7],
        "5 to 10 are 2 to 7"
    );
    let began: Change = serde_json::from_slice(&rows[0].body).unwrap();
    let lanes =
        vec![LaneEnd { lane: 2, acknowledged: 4, head: 10 }, LaneEnd { lane: 5, acknowledged: 20, head: 20 }];
    assert_eq!(began, Change::EpochBegan { previous: first, reason: EpochReason::Restored, lanes });
    assert_eq!(rows[1].body, serde_json::to_vec(&link(4).1).unwrap(), "row 5 was the fifth");
    assert_eq!(mark(&mut store, TELEMETRY).head, 0);
    values(&mut store, 0, 5);
    assert_eq!(accounted(&all(&store.reader().unwrap(), TELEMETRY, 0), 1), (5, 0));
    let second = store.epoch();
    drop(store);
    let store = open(&house, small(1 << 20));
    assert_eq!((store.epoch(), store.began_anew()), (second, None), "it is told once");
    drop(store);
    // A backup in a folder of its own has no stamp, and is a copy too.
    let store = open(&kept, small(1 << 20));
    drop(store);
    let alone = dir.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    for file in ["engawa.db", "key"] {
        std::fs::copy(kept.join(file), alone.join(file)).unwrap();
    }
    assert_eq!(open(&alone, small(1 << 20)).began_anew(), Some(EpochReason::Restored));
    // The whole folder on another machine.
    let moved = dir.path().join("moved");
    copy(&kept, &moved);
    let stamp = std::fs::read_to_string(moved.join("engawa.stamp")).unwrap();
    let mut stamp: serde_json::Value = serde_json::from_str(&stamp).unwrap();
    if stamp["machine"].is_string() {
        stamp["machine"] = "another".into();
        std::fs::write(moved.join("engawa.stamp"), stamp.to_string()).unwrap();
        assert_eq!(open(&moved, small(1 << 20)).began_anew(), Some(EpochReason::Moved));
    } else {
        eprintln!("skipped: this machine has no /etc/machine-id to tell machines apart by");
    }
}

#[test]
fn a_new_epoch_takes_thinned_rows_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), small(2 << 20));
    for n in 0..20 {
        values(&mut store, n * 1000, 1000);
        relieve(&mut store);
    }
    let before = all(&store.reader().unwrap(), TELEMETRY, 0);
    assert!(before.iter().any(|row| row.kind == "absent"));
    drop(store);
    std::fs::remove_file(dir.path().join("engawa.stamp")).unwrap();
    let mut store = open(dir.path(), small(2 << 20));
    assert!(store.began_anew().is_some());
    let rows = all(&store.reader().unwrap(), TELEMETRY, 0);
    assert_eq!(rows, before, "nothing was acknowledged: the numbers are the same ones");
    for n in 20..40 {
        values(&mut store, n * 1000, 1000);
        relieve(&mut store);
    }
    assert_eq!(accounted(&all(&store.reader().unwrap(), TELEMETRY, 0), 1), (40_000, 0));
}

/// A file system of its own, gone with the test.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// A tmpfs of `kib` at `path`; `None` where this user can't mount.
    fn tmpfs(path: &Path, kib: u64) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={kib}k");
        let mut mount = std::process::Command::new("mount");
        let made = mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(path).output();
        made.is_ok_and(|made| made.status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_takes_what_must_be_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small");
    let Some(_mounted) = Mounted::tmpfs(&path, 16 << 10) else {
        eprintln!("skipped: a file system of 16 MiB can be mounted by root only");
        return;
    };
    let limits = Limits { ballast: 4 << 20, ..Limits::default() };
    let mut store = open(&path, limits);
    values(&mut store, 0, 5000);
    assert!(!store.is_low());
    // Somebody fills the disk to the last byte.
    let junk = path.join("junk");
    let fill = || {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&junk).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    };
    fill();
    let mut rows = 0_u64;
    while !store.is_low() {
        commit(&mut store, (0..100).map(link).collect());
        rows += 100;
        assert!(rows < 100_000, "the disk never got full");
    }
    fill();
    // The room that was set aside is open: alarms, acknowledgements and deletions go on, measured values do not.
    values(&mut store, 6000, 50);
    assert_eq!(store.telemetry_dropped(), 50);
    commit(&mut store, (0..100).map(link).collect());
    rows += 100;
    let batch = Batch { acknowledged: [(2, rows / 2), (TELEMETRY, 5000)].into(), ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
    let day = at(86_400 * 3);
    assert!(store.sweep(day, 10_000).unwrap() > 0);
    let reader = store.reader().unwrap();
    assert_eq!(reader.oldest(TELEMETRY).unwrap(), None, "what was acknowledged is swept");
    assert_eq!(reader.oldest(2).unwrap(), Some(rows / 2 + 1));
    drop(reader);
    // The end, and a start on the full disk.
    drop(store);
    let mut store = open(&path, limits);
    commit(&mut store, (0..10).map(link).collect());
    rows += 10;
    // What was freed within the database bears new rows although the disk stays full.
    for _ in 0..20 {
        commit(&mut store, (0..100).map(link).collect());
        rows += 100;
        relieve(&mut store);
    }
    assert_eq!(mark(&mut store, 2).head, rows);
    assert!(!store.refill() || !store.is_low());
    std::fs::remove_file(&junk).unwrap();
    assert!(store.refill() && !store.is_low(), "there is room again");
    values(&mut store, 7000, 50);
    // Those that the first process did not write were told of by nobody: it ended before it could.
    assert_eq!(store.telemetry_dropped(), 0);
    let stored = all(&store.reader().unwrap(), 2, rows / 2);
    assert_eq!(stored.len() as u64, rows - rows / 2);
}

#[test]
fn a_disk_without_any_room_refuses_with_words_and_takes_the_same_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small");
    let Some(_mounted) = Mounted::tmpfs(&path, 8 << 10) else {
        eprintln!("skipped: a file system of 8 MiB can be mounted by root only");
        return;
    };
    let mut store = open(&path, Limits { ballast: 1 << 20, ..Limits::default() });
    let junk = path.join("junk");
    std::fs::write(&junk, vec![7; 4 << 20]).unwrap();
    let batch = || Batch { changes: (0..100).map(link).collect(), ..Batch::default() };
    let mut committed = 0;
    let error = loop {
        match store.commit(&property(), &batch(), at(0), Durability::Now) {
            Ok(()) => committed += 100,
            Err(error) => break error,
        }
        assert!(committed < 100_000, "the disk never got full");
    };
    assert!(error.is_of_disk() && error.is_disk_full(), "{error}");
    for _ in 0..3 {
        assert!(store.commit(&property(), &batch(), at(0), Durability::Now).is_err());
    }
    std::fs::remove_file(&junk).unwrap();
    store.commit(&property(), &batch(), at(0), Durability::Now).unwrap();
    assert!(store.refill());
    assert_eq!(mark(&mut store, 2).head, committed + 100);
    assert_eq!(all(&store.reader().unwrap(), 2, 0).len() as u64, committed + 100);
    let key = DatabaseKey::load_or_create(&path.join("key")).unwrap();
    drop(store);
    Store::open(&path, &key, Limits::default()).unwrap();
}
