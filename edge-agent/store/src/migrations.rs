//! The schema, as numbered steps that are never edited once released.
//!
//! An update of the agent goes back by itself when the new release is unwell, and then the release before opens what the new one
//! has brought up. So each step says which schema's release still works on the database after it ([`Step::works_from`]), and
//! that is kept in the database (`single`, `works_from`): a release that is not older than that opens a newer database as it is.
//!
//! A step that adds (a table, an index, a column with a default) works from the schema before. One that takes away or changes a
//! meaning comes a release later than the one that has stopped to need it ("expand, then contract"), and works from that one's
//! schema.
//!
//! On trial no step is taken after which the release that one would go back to could not open the file
//! ([`StoreError::NoWayBack`]). That is the one confirmed last, not whichever has brought the file to where it is: a release that
//! was undone leaves its steps behind. So each release writes its own schema down once it is confirmed (`single`,
//! `confirmed_schema`): when it starts off trial, and at the end of its trial.

use crate::StoreError;
use crate::epoch::{set_single, single};
use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

/// A step of the schema.
pub(crate) struct Step {
    /// What it does.
    pub(crate) up: &'static str,
    /// The lowest schema version whose release works on the database after this step.
    pub(crate) works_from: usize,
}

/// Releases that know no `works_from` open their own schema alone.
const fn alone(number: usize, up: &'static str) -> Step {
    Step { up, works_from: number }
}

const STEPS: &[Step] = &[
    alone(1, include_str!("migrations/001_state_and_journal.sql")),
    alone(2, include_str!("migrations/002_inbox.sql")),
    alone(3, include_str!("migrations/003_events.sql")),
    alone(4, include_str!("migrations/004_vault.sql")),
    alone(5, include_str!("migrations/005_budget.sql")),
    alone(6, include_str!("migrations/006_acknowledged.sql")),
    alone(7, include_str!("migrations/007_shift.sql")),
    alone(8, include_str!("migrations/008_erased_span.sql")),
];

/// The schema version of this release.
pub const LATEST: usize = STEPS.len();

/// The single value with the lowest schema version whose release works on this database. Without it that is its own.
const WORKS_FROM: &str = "works_from";

/// The single value with the schema version of the release that was confirmed last. Without it that is the file's.
const CONFIRMED: &str = "confirmed_schema";

/// Brings the file to `version`.
pub(crate) fn migrate_to(connection: &mut Connection, version: usize) -> Result<(), StoreError> {
    migrate(connection, STEPS, version, false)
}

/// Brings the file to this release's schema; leaves a newer one alone where this release works on it. Where `on_trial`, a step
/// after which the release before could not open the file is refused.
pub(crate) fn bring_up(connection: &mut Connection, on_trial: bool) -> Result<(), StoreError> {
    migrate(connection, STEPS, LATEST, on_trial)
}

/// As a release with these steps does it.
pub(crate) fn migrate(
    connection: &mut Connection,
    steps: &'static [Step],
    version: usize,
    on_trial: bool,
) -> Result<(), StoreError> {
    let found: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(StoreError::sql("reading the schema version"))?;
    let found = found as usize;
    if found > steps.len() {
        let works_from = version_in(connection, WORKS_FROM)?.unwrap_or(found);
        if works_from > steps.len() {
            return Err(StoreError::Newer { found, known: steps.len() });
        }
    } else {
        go_up(connection, steps, (found, version), on_trial)?;
    }
    if on_trial || version < steps.len() { Ok(()) } else { confirm(connection, steps.len()) }
}

/// The release with this schema is the one to go back to from now on.
pub(crate) fn confirm(connection: &Connection, schema: usize) -> Result<(), StoreError> {
    if version_in(connection, CONFIRMED)? == Some(schema) {
        return Ok(());
    }
    set_single(connection, CONFIRMED, i64::try_from(schema).unwrap_or(i64::MAX))
        .map_err(StoreError::sql("keeping the schema of the confirmed release"))
}

fn go_up(
    connection: &mut Connection,
    steps: &'static [Step],
    (found, version): (usize, usize),
    on_trial: bool,
) -> Result<(), StoreError> {
    let needs = steps[found.min(version)..version].iter().map(|step| step.works_from).max().unwrap_or(0);
    if on_trial && found > 0 {
        let confirmed = version_in(connection, CONFIRMED)?.unwrap_or(found);
        if needs > confirmed {
            return Err(StoreError::NoWayBack { confirmed, to: version });
        }
    }
    let ups = steps.iter().enumerate().map(|(n, step)| {
        let lowest = steps[..=n].iter().map(|step| step.works_from).max().unwrap_or(0);
        // Within the step's own transaction. Of the first ones no release before could make use.
        M::up_with_hook(step.up, move |transaction| {
            if lowest <= n {
                transaction.execute(
                    "INSERT OR REPLACE INTO single (name, value) VALUES (?1, ?2)",
                    (WORKS_FROM, i64::try_from(lowest).unwrap_or(i64::MAX)),
                )?;
            } else {
                transaction.execute("DELETE FROM single WHERE name = ?1", [WORKS_FROM])?;
            }
            Ok(())
        })
    });
    Migrations::new(ups.collect())
        .to_version(connection, version)
        .map_err(|source| StoreError::Migrate { to: version, source })
}

fn version_in(connection: &Connection, name: &str) -> Result<Option<usize>, StoreError> {
    Ok(single(connection, name)?.and_then(|value| usize::try_from(value).ok()))
}

#[cfg(test)]
#[path = "migrations_tests.rs"]
mod tests;
