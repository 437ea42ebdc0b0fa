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

/// What rows of telemetry say of the values behind them: those they stand for, and those that are lost. Checks that each
/// number has a row, or one that tells of it.
fn accounted(rows: &[JournalRow], first: u64) -> (u64, u64) {
    let (mut stood_for, mut lost, mut next) = (0, 0, first);
    for row in rows {
        assert_eq!(row.tells_from(), next, "row {} tells of every number before it that has none", row.seq);
        next = row.seq + 1;
        let change: Change = serde_json::from_slice(&row.body).unwrap();
        assert_eq!(change.kind(), row.kind);
        match change {
            Change::Reported { .. } => stood_for += 1,
            Change::Summary { count, .. } => stood_for += u64::from(count),
            Change::Thinned { lost: of, .. } => lost += of,
            other => panic!("{other:?}"),
        }
    }
    (stood_for, lost)
}

/// True where numbers have no rows any more.
fn has_holes(rows: &[JournalRow]) -> bool {
    rows.iter().any(|row| row.tells_from() < row.seq)
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
    assert_eq!(rows.last().unwrap().seq, mark(&mut store, TELEMETRY).head);
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
        serde_json::from_slice(&rows[0].body).unwrap(),
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
    assert!(has_holes(&rows[before.len()..]), "the rest was thinned");
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
    assert_eq!((page[0].seq, page[0].tells_from()), (record, first));
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
    // Nothing of it is stored yet: that start ended too early, and the next one knows as much.
    let mut store = open(&house, small(1 << 20));
    assert_eq!((store.epoch(), store.began_anew()), (second, None), "the journal begins anew once");
    assert_eq!((store.is_put_back(), store.was_closed(), store.was_restored()), (true, false, true));
    let told = Batch { put_back: true, ..Batch::default() };
    store.commit(&property(), &told, at(0), Durability::Now).unwrap();
    assert!(!store.is_put_back());
    store.close().unwrap();
    let store = open(&house, small(1 << 20));
    assert_eq!((store.is_put_back(), store.was_closed(), store.was_restored()), (false, true, false));
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
    assert!(has_holes(&before));
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

/// A copy without its stamp: the next opening begins a new epoch.
fn as_a_copy(dir: &Path) {
    std::fs::remove_file(dir.join("engawa.stamp")).unwrap();
}

#[test]
fn a_new_epoch_writes_no_row_anew_and_the_next_one_goes_on_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let limits = small(64 << 20);
    let mut store = open(dir.path(), limits);
    values(&mut store, 0, 30_000);
    commit(&mut store, (0..10).map(link).collect());
    let batch = Batch { acknowledged: [(2, 4), (TELEMETRY, 20_000)].into(), ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
    let before = all(&store.reader().unwrap(), TELEMETRY, 20_000);
    store.close().unwrap();
    let log = dir.path().join("engawa.db-wal");
    for life in 1..=3_u64 {
        as_a_copy(dir.path());
        let store = open(dir.path(), limits);
        assert!(store.began_anew().is_some());
        // Ten thousand rows would be two megabytes.
        let written = std::fs::metadata(&log).unwrap().len();
        assert!(written < 200_000, "{written} bytes were written");
        let reader = store.reader().unwrap();
        let rows = all(&reader, TELEMETRY, 0);
        assert_eq!(rows.len(), before.len());
        assert!(
            rows.iter().zip(&before).all(|(now, then)| now.seq == then.seq - 20_000 && now.body == then.body)
        );
        let alarms = all(&reader, 2, 0);
        assert_eq!(alarms.iter().map(|row| row.seq).collect::<Vec<_>>(), (1..=6 + life).collect::<Vec<_>>());
        assert!(alarms[..usize::try_from(life).unwrap()].iter().all(|row| row.kind == "epoch_began"));
        let over = reader.carried_over().unwrap().unwrap();
        let telemetry = over.lanes.iter().find(|lane| lane.lane == TELEMETRY).unwrap();
        let acked = if life == 1 { 20_000 } else { 0 };
        assert_eq!((telemetry.first, telemetry.acked, telemetry.head), (1, acked, 10_000 + acked));
        assert_eq!(telemetry.last(), 10_000);
    }
    let mut store = open(dir.path(), limits);
    // What was acknowledged in the first life goes with the next sweep, and the room that it took is free again.
    let room = mark(&mut store, TELEMETRY).bytes;
    let mut swept = 0;
    loop {
        match store.sweep(at(10), 5_000).unwrap() {
            0 => break,
            count => swept += count,
        }
    }
    assert_eq!(swept, 20_000 + 1, "the rows that say so have taken the places of three alarms");
    assert!(mark(&mut store, TELEMETRY).bytes * 5 / 2 < room);
    values(&mut store, 30_000, 10);
    assert_eq!(accounted(&all(&store.reader().unwrap(), TELEMETRY, 0), 1), (10_010, 0));
}

#[test]
fn rows_of_the_life_before_are_never_thinned_together_with_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), small(1 << 20));
    values(&mut store, 0, 1500);
    // The cloud had some, and may have been given some more.
    let batch = Batch { sent: Some(1), acknowledged: [(TELEMETRY, 100)].into(), ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
    drop(store);
    as_a_copy(dir.path());
    let mut store = open(dir.path(), small(1 << 20));
    let same = |store: &Store| {
        let over = store.reader().unwrap().carried_over().unwrap().unwrap();
        over.lanes.iter().find(|lane| lane.lane == TELEMETRY).map(|lane| (lane.last(), lane.same)).unwrap()
    };
    assert_eq!(same(&store), (1400, 1400), "it may all have been handed out");
    for n in 0..12 {
        values(&mut store, 1500 + n * 1000, 1000);
        relieve(&mut store);
    }
    let rows = all(&store.reader().unwrap(), TELEMETRY, 0);
    assert_eq!(accounted(&rows, 1), (13_400, 0));
    assert!(has_holes(&rows));
    // Values were a second apart: what was told up to 1499 s was carried over.
    for row in &rows {
        match serde_json::from_slice(&row.body).unwrap() {
            Change::Summary { since, until, .. } => {
                assert_eq!(since < at(1500), until < at(1500), "row {} is of both lives", row.seq);
                assert_eq!(until < at(1500), row.seq <= 1400);
            }
            Change::Reported { sampled, .. } => assert_eq!(sampled < at(1500), row.seq <= 1400),
            _ => {}
        }
    }
    let first = rows.iter().find(|row| row.kind == "thinned").unwrap();
    assert_eq!(same(&store), (1400, first.tells_from() - 1), "the same only up to what was thinned");
}

#[test]
fn where_a_journal_and_its_copy_part_is_kept_until_it_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let limits = small(64 << 20);
    let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
    let mut store = open(dir.path(), limits);
    commit(&mut store, (0..10).map(link).collect());
    values(&mut store, 0, 50);
    let batch = Batch { acknowledged: [(2, 4)].into(), ..Batch::default() };
    store.commit(&property(), &batch, at(0), Durability::Now).unwrap();
    let parted = [(2, (7, 7)), (TELEMETRY, (20, 30))].into();
    assert!(engawa_store::is_in_use(dir.path()).unwrap());
    let refused = engawa_store::begin_anew_when_opened(dir.path(), &key, &parted);
    assert!(refused.unwrap_err().to_string().contains("in use"));
    store.close().unwrap();
    assert!(!engawa_store::is_in_use(dir.path()).unwrap());
    engawa_store::begin_anew_when_opened(dir.path(), &key, &parted).unwrap();
    let store = open(dir.path(), limits);
    assert_eq!(store.began_anew(), Some(EpochReason::Restored));
    let over = store.reader().unwrap().carried_over().unwrap().unwrap();
    let of = |lane| over.lanes.iter().find(|carried| carried.lane == lane).copied().unwrap();
    assert_eq!((of(2).first, of(2).acked, of(2).head, of(2).same), (2, 4, 7, 3));
    assert_eq!((of(TELEMETRY).acked, of(TELEMETRY).head, of(TELEMETRY).same), (0, 30, 20));
    assert_eq!((of(TELEMETRY).last(), of(2).last()), (30, 4));
    drop(store);
    // It was of that beginning alone.
    as_a_copy(dir.path());
    let store = open(dir.path(), limits);
    let over = store.reader().unwrap().carried_over().unwrap().unwrap();
    assert_eq!(over.lanes.iter().find(|carried| carried.lane == 2).map(|carried| carried.head), Some(7));
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
