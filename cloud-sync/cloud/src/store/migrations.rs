//! The schema, as numbered steps that are never edited once released.

use super::StoreError;
use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

const STEPS: &[M<'_>] = &[
    M::up(include_str!("migrations/001_gateways_and_journal.sql")),
    M::up(include_str!("migrations/002_commands.sql")),
    M::up(include_str!("migrations/003_rooms.sql")),
    M::up(include_str!("migrations/004_epochs.sql")),
    M::up(include_str!("migrations/005_trust.sql")),
    M::up(include_str!("migrations/006_settings.sql")),
    M::up(include_str!("migrations/007_bundles.sql")),
    M::up(include_str!("migrations/008_rollouts.sql")),
    M::up(include_str!("migrations/009_publications.sql")),
];

/// The schema version of this release.
pub const LATEST: usize = STEPS.len();

/// Brings the file to `version`.
pub(crate) fn migrate_to(connection: &mut Connection, version: usize) -> Result<(), StoreError> {
    version_of(connection)?;
    Migrations::from_slice(STEPS)
        .to_version(connection, version)
        .map_err(|source| StoreError::Migrate { to: version, source })
}

/// Sees that the file has this release's schema, without writing.
pub(crate) fn require_latest(connection: &Connection) -> Result<(), StoreError> {
    let found = version_of(connection)?;
    if found < LATEST { Err(StoreError::Older { found, wanted: LATEST }) } else { Ok(()) }
}

/// The file's version, unless it is of a newer release.
fn version_of(connection: &Connection) -> Result<usize, StoreError> {
    let found: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(StoreError::sql("reading the schema version"))?;
    let found = found as usize;
    if found > LATEST { Err(StoreError::Newer { found, known: LATEST }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{commands, connect, gateways, ingest, listing, open_reader};
    use engawa_model::{Action, Timestamp};
    use engawa_protocol::ports::{Ingested, Row};
    use rusqlite::OpenFlags;
    use std::path::Path;

    fn file(path: &Path) -> Connection {
        connect(path, OpenFlags::SQLITE_OPEN_CREATE).unwrap()
    }

    /// What a release with schema `from` may have left behind.
    fn populate(connection: &Connection, from: usize) {
        let steps = [
            "INSERT INTO gateway (id, property, name, enrolled_at) VALUES ('gw', 'hotel', 'Hotel', 1);
             INSERT INTO journal VALUES ('gw', 7, 3, 1, 10, 'checked_in', '{}', 20);
             INSERT INTO mark VALUES ('gw', 7, 3, 1);",
            "INSERT INTO command (gateway, seq, key, at_micros, kind, body) VALUES ('gw', 1, 'k', 5, 'resync', '{}');
             UPDATE gateway SET command_head = 1;",
            "INSERT INTO room_state (gateway, room, stays, changed_micros) VALUES ('gw', '101', 1, 10);
             INSERT INTO stay (gateway, stay, room, arrived_at) VALUES ('gw', 'S1', '101', 10);
             INSERT INTO posting VALUES ('gw', 7, 1, 'k', '101', NULL, 1250, 'EUR', 'bar', NULL, 'posted', NULL, 10);",
        ];
        for step in &steps[..from.min(steps.len())] {
            connection.execute_batch(step).unwrap();
        }
    }

    /// Every schema that was ever released can be brought to this release's, with its rows in it, and goes on.
    #[test]
    fn migrates_from_every_older_version() {
        for from in 0..=LATEST {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("cloud.db");
            let mut connection = file(&path);
            migrate_to(&mut connection, from).unwrap();
            populate(&connection, from);
            drop(connection);
            if from < LATEST {
                assert!(matches!(open_reader(&path), Err(StoreError::Older { .. })), "from version {from}");
            }
            let mut connection = file(&path);
            migrate_to(&mut connection, LATEST).unwrap();
            if from == 0 {
                assert!(listing::gateways(&connection).unwrap().is_empty());
                continue;
            }
            let listed = listing::gateways(&connection).unwrap();
            assert_eq!(
                (listed.len(), listed[0].rows, listed[0].waiting),
                (1, 1, u64::from(from >= 2)),
                "{from}"
            );
            assert_eq!(listing::rooms(&connection, None).unwrap().len(), usize::from(from >= 3), "{from}");
            // The marks and numbers that were there go on.
            assert_eq!(ingest::hello(&connection, "gw", 7, &[(3, 1)]).unwrap(), Ok(vec![(3, 1)]));
            gateways::epoch_seen(&connection, "gw", 7, 30).unwrap();
            let row = |seq| Row { seq, at_micros: 11, kind: "night_audit".into(), body: b"{}".to_vec() };
            let stored = ingest::ingest(&connection, "gw", 7, 3, &[row(1), row(2)], 30).unwrap();
            assert_eq!(stored, Ingested::Upto(2));
            let now = Timestamp::UNIX_EPOCH;
            let sent = commands::send(&connection, "gw", &"new".into(), &Action::Resync, now, now).unwrap();
            assert_eq!(sent.seq, 1 + u64::from(from >= 2), "from version {from}");
            open_reader(&path).unwrap();
        }
    }

    #[test]
    fn a_newer_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cloud.db");
        let mut connection = file(&path);
        connection.execute_batch("CREATE TABLE later (x); PRAGMA user_version = 99").unwrap();
        assert!(matches!(migrate_to(&mut connection, LATEST), Err(StoreError::Newer { found: 99, .. })));
        assert!(matches!(open_reader(&path), Err(StoreError::Newer { found: 99, .. })));
    }
}
