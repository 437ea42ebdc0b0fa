//! The schema, as numbered steps that are never edited once released, and that run while older replicas serve.
//!
//! A step only adds (tables, columns with a default, indexes); what it makes useless is taken away by a step of a later
//! release, which says so in `oldest`. Each runs in a transaction of its own, waits for a lock no longer than
//! [`LOCK_WAIT`] (whoever came after it would wait with it), and is tried again. One replica migrates at a time.
//!
//! The migration crates know no such bound and take a newer schema for a fault; this is all that is left of them.

use super::Store;
use crate::store::StoreError;
use deadpool_postgres::Object;
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;

struct Step {
    sql: &'static str,
    /// The oldest schema whose release still works after this step.
    oldest: i32,
}

const STEPS: &[Step] = &[
    Step { sql: include_str!("migrations/001_journal.sql"), oldest: 1 },
    Step { sql: include_str!("migrations/002_telemetry_history.sql"), oldest: 1 },
    Step { sql: include_str!("migrations/003_tenants.sql"), oldest: 1 },
    Step { sql: include_str!("migrations/004_outbox.sql"), oldest: 1 },
    Step { sql: include_str!("migrations/005_trust.sql"), oldest: 1 },
    Step { sql: include_str!("migrations/006_settings.sql"), oldest: 1 },
    Step { sql: include_str!("migrations/007_bundles.sql"), oldest: 1 },
    Step { sql: include_str!("migrations/008_fanout.sql"), oldest: 1 },
    Step { sql: include_str!("migrations/009_rollouts.sql"), oldest: 1 },
    Step { sql: include_str!("migrations/010_publications.sql"), oldest: 1 },
];

/// The schema version of this release.
pub const LATEST: i32 = STEPS.len() as i32;

/// How long a step waits for a lock before it lets others go first.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '500ms'; SET LOCAL statement_timeout = 0";
/// How long a step is tried.
const LONGEST: Duration = Duration::from_secs(120);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(300);
/// The advisory lock that one migrating replica holds.
const LOCK: i64 = 0x656e_6761_7761_0001;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS engawa_schema (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), version integer NOT NULL, oldest integer NOT NULL)";

/// Brings the database to `version`, and says which it had. A newer one is left as it is.
///
/// # Errors
/// PostgreSQL's; a step that got no lock for two minutes.
pub async fn migrate_to(store: &Store, version: i32) -> Result<i32, StoreError> {
    let client = store.client().await?;
    let doing = StoreError::postgres("bringing the database's schema up to date");
    // Waits for a replica that is at it: what it does is then done.
    client
        .batch_execute(&format!(
            "SET lock_timeout = 0; SET statement_timeout = 0; SELECT pg_advisory_lock({LOCK})"
        ))
        .await
        .map_err(doing)?;
    let outcome = steps(&client, version).await;
    // The session's lock and settings end with it.
    drop(Object::take(client));
    outcome
}

async fn steps(client: &Object, version: i32) -> Result<i32, StoreError> {
    let doing = StoreError::postgres("bringing the database's schema up to date");
    let found = version_of(client).await?.map_or(0, |(version, _)| version);
    if found == 0 {
        return begin(client, version).await;
    }
    for (step, number) in STEPS.iter().zip(1..).filter(|(_, number)| *number > found && *number <= version) {
        let begun = Instant::now();
        let sql = format!(
            "BEGIN; {LOCK_WAIT}; {}; INSERT INTO engawa_schema (version, oldest) VALUES ({number}, {oldest})
             ON CONFLICT (one) DO UPDATE SET version = excluded.version, oldest = excluded.oldest; COMMIT",
            step.sql,
            oldest = step.oldest
        );
        while let Err(error) = client.batch_execute(&sql).await {
            client.batch_execute("ROLLBACK").await.map_err(doing)?;
            let waits = matches!(error.code(), Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE
                || *code == SqlState::T_R_DEADLOCK_DETECTED);
            if !waits || begun.elapsed() > LONGEST {
                return Err(StoreError::MigratePostgres { to: number, source: error });
            }
            tracing::info!(step = number, "a migration waits for others to finish; trying again");
            tokio::time::sleep(PAUSE).await;
        }
        tracing::info!(step = number, "the database's schema was brought up");
    }
    Ok(found)
}

/// The schema of a new cloud: all of it in one transaction, or nothing.
async fn begin(client: &Object, version: i32) -> Result<i32, StoreError> {
    let doing = StoreError::postgres("making the database's schema");
    client.batch_execute(&format!("BEGIN; {VERSIONS}")).await.map_err(doing)?;
    for (step, number) in STEPS.iter().zip(1..).filter(|(_, number)| *number <= version) {
        if let Err(source) = client.batch_execute(step.sql).await {
            // Where this fails too the connection is gone, and with it the transaction.
            let _ = client.batch_execute("ROLLBACK").await;
            return Err(StoreError::MigratePostgres { to: number, source });
        }
    }
    let oldest = STEPS.iter().take(usize::try_from(version).unwrap_or(0)).map(|step| step.oldest).max();
    client
        .execute(
            "INSERT INTO engawa_schema (version, oldest) VALUES ($1, $2)
             ON CONFLICT (one) DO UPDATE SET version = excluded.version, oldest = excluded.oldest",
            &[&version, &oldest.unwrap_or(0)],
        )
        .await
        .map_err(doing)?;
    client.batch_execute("COMMIT").await.map_err(doing)?;
    tracing::info!(version, "the database's schema was made");
    Ok(0)
}

/// Sees that this release can work with the database's schema, without writing.
///
/// # Errors
/// None, an older one, or one whose oldest release is newer than this.
pub(crate) async fn require(client: &Object) -> Result<(), StoreError> {
    match version_of(client).await? {
        None | Some((0, _)) => Err(StoreError::NoSchema),
        Some((found, _)) if found < LATEST => Err(StoreError::Older {
            found: usize::try_from(found).unwrap_or(0),
            wanted: usize::try_from(LATEST).unwrap_or(0),
        }),
        Some((found, oldest)) if oldest > LATEST => Err(StoreError::Newer {
            found: usize::try_from(found).unwrap_or(0),
            known: usize::try_from(LATEST).unwrap_or(0),
        }),
        Some(_) => Ok(()),
    }
}

/// The schema's version and its oldest release's; `None` where there is no schema.
pub(crate) async fn version_of(client: &Object) -> Result<Option<(i32, i32)>, StoreError> {
    let doing = StoreError::postgres("reading the schema version");
    let there = client
        .query_one("SELECT to_regclass('engawa_schema') IS NOT NULL", &[])
        .await
        .map_err(doing)?
        .get::<_, bool>(0);
    if !there {
        return Ok(None);
    }
    let row = client.query_opt("SELECT version, oldest FROM engawa_schema", &[]).await.map_err(doing)?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}
