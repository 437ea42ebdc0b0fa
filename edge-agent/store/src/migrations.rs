//! The schema, as numbered steps that are never edited once released.

use crate::StoreError;
use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

const STEPS: &[M<'_>] = &[
    M::up(include_str!("migrations/001_state_and_journal.sql")),
    M::up(include_str!("migrations/002_inbox.sql")),
    M::up(include_str!("migrations/003_events.sql")),
    M::up(include_str!("migrations/004_vault.sql")),
    M::up(include_str!("migrations/005_budget.sql")),
    M::up(include_str!("migrations/006_acknowledged.sql")),
    M::up(include_str!("migrations/007_shift.sql")),
    M::up(include_str!("migrations/008_erased_span.sql")),
];

/// The schema version of this release.
pub const LATEST: usize = STEPS.len();

/// Brings the file to `version`.
pub(crate) fn migrate_to(connection: &mut Connection, version: usize) -> Result<(), StoreError> {
    let found: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(StoreError::sql("reading the schema version"))?;
    let found = found as usize;
    if found > LATEST {
        return Err(StoreError::Newer { found, known: LATEST });
    }
    Migrations::from_slice(STEPS)
        .to_version(connection, version)
        .map_err(|source| StoreError::Migrate { to: version, source })
}
