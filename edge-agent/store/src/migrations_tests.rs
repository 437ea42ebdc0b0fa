//! One version back: what a later release has brought up is opened by this one, and nothing is lost on the way there and back.

use super::*;
use crate::{DATABASE_FILE, DatabaseKey, Durability, Limits, Store, connect::connect, testing};
use engawa_model::{Fact, Observation, Presence, Property, PropertySpec, Timestamp};
use std::path::Path;

/// What a later release may add: a table, an index, and a column in each table that this release writes.
const ADDS: &str = "
    CREATE TABLE later (name TEXT PRIMARY KEY, value BLOB) STRICT;
    ALTER TABLE state ADD COLUMN later TEXT;
    ALTER TABLE journal ADD COLUMN later INTEGER NOT NULL DEFAULT 7;
    ALTER TABLE lane ADD COLUMN later INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE single ADD COLUMN later TEXT;
    ALTER TABLE event ADD COLUMN later TEXT;
    ALTER TABLE vault_field ADD COLUMN later TEXT;
    ALTER TABLE vault_tombstone ADD COLUMN later TEXT;
    ALTER TABLE carried ADD COLUMN later TEXT;
    CREATE INDEX journal_later ON journal (later);";
/// What it may not, without a release in between: the column is read by this one.
const TAKES: &str = "ALTER TABLE lane DROP COLUMN shift;";

fn spec() -> PropertySpec {
    engawa_model::testing::house(["101", "102"])
}

fn of_this_release() -> Vec<Step> {
    STEPS.iter().map(|step| Step { up: step.up, works_from: step.works_from }).collect()
}

/// The steps of a later release.
fn with(further: impl IntoIterator<Item = Step>) -> &'static [Step] {
    let mut steps = of_this_release();
    steps.extend(further);
    steps.leak()
}

fn adding() -> Step {
    Step { up: ADDS, works_from: LATEST }
}

fn as_release(
    dir: &Path,
    key: &DatabaseKey,
    steps: &'static [Step],
    on_trial: bool,
) -> Result<(), StoreError> {
    migrate(&mut connect(&dir.join(DATABASE_FILE), key)?, steps, steps.len(), on_trial)
}

fn guest(stay: &str, room: &str) -> Observation {
    let guest = engawa_model::GuestRecord {
        name: Some(engawa_model::Personal::new(format!("Guest {stay}"))),
        ..engawa_model::GuestRecord::default()
    };
    let fact = Fact::GuestSeen {
        stay: stay.into(),
        room: room.into(),
        from: None,
        presence: Presence::In,
        listed: false,
        guest,
        flags: engawa_model::RoomFlags::default(),
    };
    Observation::new(Timestamp::now(), fact)
}

fn check_in(dir: &Path, key: &DatabaseKey, stay: &str, room: &str) -> (usize, u64) {
    let mut store = Store::open(dir, key, Limits::default()).unwrap();
    let mut property: Property = store.load(spec()).unwrap().unwrap();
    let applied = property.apply(&guest(stay, room));
    let changes = applied.changes.into_iter().map(|change| (Timestamp::now(), change)).collect();
    let batch = crate::Batch { changes, touched: applied.touched, ..crate::Batch::default() };
    store.commit(&property, &batch, Timestamp::now(), Durability::Now).unwrap();
    let head = store.marks().find(|mark| mark.lane == 3).unwrap().head;
    store.close().unwrap();
    (property.stays().len(), head)
}

#[test]
fn this_release_works_on_what_the_next_one_has_brought_up_and_nothing_is_lost_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create_for(&dir.path().join("key"), dir.path()).unwrap();
    assert_eq!(check_in(dir.path(), &key, "1", "101"), (1, 1));
    let newer = with([adding()]);
    as_release(dir.path(), &key, newer, true).unwrap();
    {
        // The next release has worked for a while.
        let connection = connect(&dir.path().join(DATABASE_FILE), &key).unwrap();
        let sql =
            "INSERT INTO journal (lane, seq, at_us, kind, body, later) VALUES (3, 2, 0, 'of_later', CAST('{}' AS BLOB), 9);
                   UPDATE lane SET head = 2 WHERE lane = 3; INSERT INTO later VALUES ('a', x'01');
                   INSERT INTO state (kind, key, body, changed_us) VALUES ('of_later', '', CAST('{}' AS BLOB), 0);";
        connection.execute_batch(sql).unwrap();
    }
    assert_eq!(check_in(dir.path(), &key, "2", "102"), (2, 3), "back again: nothing is lost");
    as_release(dir.path(), &key, newer, true).unwrap();
    let connection = connect(&dir.path().join(DATABASE_FILE), &key).unwrap();
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM journal WHERE lane = 3"), 3);
    assert_eq!(
        count("SELECT count(*) FROM journal WHERE later = 9"),
        1,
        "what only the next one knows is there"
    );
    assert_eq!(count("SELECT count(*) FROM later"), 1);
    assert_eq!(count("SELECT count(*) FROM state WHERE kind = 'stay'"), 2);
    assert_eq!(count("SELECT count(*) FROM state WHERE kind = 'of_later'"), 1);
    assert_eq!(count("PRAGMA user_version"), i64::try_from(LATEST + 1).unwrap(), "never lowered");
}

#[test]
fn what_this_release_does_not_work_on_is_left_alone_with_words() {
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create_for(&dir.path().join("key"), dir.path()).unwrap();
    testing::make_at_version(dir.path(), &key, LATEST);
    let contracting = with([adding(), Step { up: TAKES, works_from: LATEST + 1 }]);
    as_release(dir.path(), &key, contracting, false).unwrap();
    let refused = Store::open(dir.path(), &key, Limits::default()).err().unwrap();
    assert!(matches!(refused, StoreError::Newer { found, known } if (found, known) == (LATEST + 2, LATEST)));
    assert!(refused.to_string().contains("install the newer release again"), "{refused}");
    // A release that knows the first of the two steps still works on it.
    as_release(dir.path(), &key, with([adding()]), false).unwrap();
}

#[test]
fn on_trial_no_step_is_taken_that_bars_the_way_back() {
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create_for(&dir.path().join("key"), dir.path()).unwrap();
    testing::make_at_version(dir.path(), &key, LATEST);
    let contracting = with([adding(), Step { up: TAKES, works_from: LATEST + 1 }]);
    let barred = || {
        let refused = as_release(dir.path(), &key, contracting, true).unwrap_err();
        assert!(
            matches!(refused, StoreError::NoWayBack { confirmed, to } if (confirmed, to) == (LATEST, LATEST + 2)),
            "{refused}"
        );
        assert!(refused.to_string().contains("a release in between"), "{refused}");
    };
    barred();
    let opens = || drop(Store::open(dir.path(), &key, Limits::default()).unwrap());
    opens();
    // The release in between was tried and undone: its step stays, and what is gone back to is the one before all the same.
    let between = with([adding()]);
    as_release(dir.path(), &key, between, true).unwrap();
    barred();
    opens();
    barred();
    // Once it has started off trial it is what is gone back to.
    as_release(dir.path(), &key, between, false).unwrap();
    as_release(dir.path(), &key, contracting, true).unwrap();
    as_release(dir.path(), &key, between, false).unwrap();
    // An empty box has nothing to go back to.
    let empty = tempfile::tempdir().unwrap();
    as_release(empty.path(), &key, contracting, true).unwrap();
}

#[test]
fn a_file_that_does_not_say_which_release_was_confirmed_has_the_one_of_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create_for(&dir.path().join("key"), dir.path()).unwrap();
    testing::make_at_version(dir.path(), &key, LATEST);
    let forget = "DELETE FROM single WHERE name = 'confirmed_schema'";
    connect(&dir.path().join(DATABASE_FILE), &key).unwrap().execute(forget, []).unwrap();
    let contracting = with([Step { up: TAKES, works_from: LATEST + 1 }]);
    let refused = as_release(dir.path(), &key, contracting, true).unwrap_err();
    assert!(matches!(refused, StoreError::NoWayBack { confirmed: LATEST, .. }), "{refused}");
    as_release(dir.path(), &key, with([adding()]), true).unwrap();
}

#[test]
fn a_trial_that_ends_well_is_written_down_with_what_else_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let key = DatabaseKey::load_or_create_for(&dir.path().join("key"), dir.path()).unwrap();
    let vault_key =
        crate::vault::VaultKey::load_or_create_for(&dir.path().join("vault"), dir.path()).unwrap();
    testing::make_at_version(dir.path(), &key, LATEST);
    let database = || connect(&dir.path().join(DATABASE_FILE), &key).unwrap();
    set_single(&database(), CONFIRMED, 1).unwrap();
    let mut store = Store::open_on_trial(dir.path(), &key, &vault_key, Limits::default()).unwrap();
    assert_eq!(version_in(&database(), CONFIRMED).unwrap(), Some(1), "a trial is no confirmation");
    let batch = crate::Batch { confirmed: true, ..crate::Batch::default() };
    assert!(!batch.is_empty());
    store.commit(&Property::new(spec()), &batch, Timestamp::now(), Durability::Now).unwrap();
    assert_eq!(version_in(&database(), CONFIRMED).unwrap(), Some(LATEST));
    store.close().unwrap();
}

#[test]
fn steps_are_numbered_and_claim_nothing_of_the_future() {
    for (n, step) in STEPS.iter().enumerate() {
        assert!((1..=n + 1).contains(&step.works_from), "step {}", n + 1);
    }
}
