//! Group commit: what many gateways send at the same time goes into one transaction, and several transactions are on
//! their way at once, each with other gateways.
//!
//! Bounds: batches that wait ([`QUEUE`] a worker; whoever brings more waits, which slows its gateway down), rows and
//! batches of a transaction, and how long a transaction is tried again while PostgreSQL restarts or fails over. What
//! people and alarms wait for goes before telemetry.

use super::ingest::{Batch, Closed, TELEMETRY, take_in};
use super::{Store, partitions};
use crate::store::StoreError;
use deadpool_postgres::Object;
use engawa_model::Timestamp;
use engawa_protocol::ports::{Ingested, Row, Skip};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

/// Batches that may wait for a worker, in each of its two queues.
const QUEUE: usize = 32;
/// Batches in one transaction.
const BATCHES: usize = 256;
/// Rows in one transaction, but for those of its last batch.
const ROWS: usize = 16_384;
/// How long a transaction is tried again. After it the gateways' connections end, and come back by themselves.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries, at first; it doubles up to a second.
const PAUSE: Duration = Duration::from_millis(50);

struct Job {
    batch: Batch,
    answer: oneshot::Sender<Result<Ingested, StoreError>>,
}

#[derive(Clone)]
struct Door {
    urgent: mpsc::Sender<Job>,
    bulk: mpsc::Sender<Job>,
}

/// The way in for rows; the workers end when it is dropped.
#[derive(Clone)]
pub struct Intake {
    doors: Arc<[Door]>,
    hash: RandomState,
}

impl Intake {
    /// Starts the workers, on the current runtime.
    pub fn start(store: &Store) -> Self {
        let door = |_| {
            let (urgent, urgent_jobs) = mpsc::channel(QUEUE);
            let (bulk, bulk_jobs) = mpsc::channel(QUEUE);
            tokio::spawn(work(store.clone(), urgent_jobs, bulk_jobs));
            Door { urgent, bulk }
        };
        Self { doors: (0..super::connect::INTAKE).map(door).collect(), hash: RandomState::new() }
    }

    /// Stores rows exactly once, and says how far the lane is durable.
    ///
    /// # Errors
    /// A gateway that is not admitted, or PostgreSQL's after it was tried again for a while.
    pub async fn ingest(
        &self,
        gateway: &str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
    ) -> Result<Ingested, StoreError> {
        self.put(Batch { gateway: gateway.to_owned(), epoch, lane, rows, skip: None }).await
    }

    /// Records that rows will never come: a row of the kind `gap` stands for them under the last one's number, and the
    /// mark moves over them. At or below the mark it does nothing; behind a hole it is [`Ingested::Gap`].
    ///
    /// # Errors
    /// As [`Self::ingest`].
    pub async fn skip(
        &self,
        gateway: &str,
        epoch: u64,
        lane: u8,
        skip: Skip,
    ) -> Result<Ingested, StoreError> {
        self.put(Batch { gateway: gateway.to_owned(), epoch, lane, rows: Vec::new(), skip: Some(skip) }).await
    }

    async fn put(&self, batch: Batch) -> Result<Ingested, StoreError> {
        // One gateway's lanes always meet in one worker: in two they would wait for each other's lock.
        let place = usize::try_from(self.hash.hash_one(batch.gateway.as_str())).unwrap_or(usize::MAX)
            % self.doors.len();
        let door = &self.doors[place];
        let (answer, waiting) = oneshot::channel();
        let queue = if batch.lane == TELEMETRY { &door.bulk } else { &door.urgent };
        queue.send(Job { batch, answer }).await.map_err(|_| StoreError::Stopped)?;
        waiting.await.unwrap_or(Err(StoreError::Stopped))
    }
}

async fn work(store: Store, mut urgent: mpsc::Receiver<Job>, mut bulk: mpsc::Receiver<Job>) {
    loop {
        let first = tokio::select! {
            biased;
            Some(job) = urgent.recv() => job,
            Some(job) = bulk.recv() => job,
            else => return,
        };
        let mut rows = first.batch.rows.len();
        let mut jobs = vec![first];
        while jobs.len() < BATCHES && rows < ROWS {
            let Ok(job) = urgent.try_recv().or_else(|_| bulk.try_recv()) else { break };
            rows += job.batch.rows.len();
            jobs.push(job);
        }
        let (batches, answers): (Vec<Batch>, Vec<_>) =
            jobs.into_iter().map(|job| (job.batch, job.answer)).unzip();
        let outcomes = settle(&store, batches).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Whoever asked may be gone: what is durable stays durable.
            let _ = answer.send(outcome);
        }
    }
}

/// Stores the batches, together if it can be, else each for itself, so that one that PostgreSQL refuses harms no other.
async fn settle(store: &Store, batches: Vec<Batch>) -> Vec<Result<Ingested, StoreError>> {
    let (error, batches) = match patiently(store, &batches).await {
        Ok(outcomes) => return named(&batches, outcomes),
        Err(error) => (error, batches),
    };
    tracing::error!(
        error = &error as &dyn std::error::Error,
        batches = batches.len(),
        "rows were not stored"
    );
    if batches.len() == 1 {
        return vec![Err(error)];
    }
    if is_passing(&error) {
        let error = Arc::new(error);
        return batches.iter().map(|_| Err(StoreError::Together(Arc::clone(&error)))).collect();
    }
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        let one = [batch];
        outcomes.extend(match patiently(store, &one).await {
            Ok(outcome) => named(&one, outcome),
            Err(error) => vec![Err(error)],
        });
    }
    outcomes
}

fn named(batches: &[Batch], outcomes: Vec<Result<Ingested, Closed>>) -> Vec<Result<Ingested, StoreError>> {
    let why = |batch: &Batch, closed| match closed {
        Closed::NotAdmitted => StoreError::Revoked(batch.gateway.clone()),
        Closed::EpochOver => StoreError::EpochOver(batch.gateway.clone()),
    };
    batches
        .iter()
        .zip(outcomes)
        .map(|(batch, outcome)| outcome.map_err(|closed| why(batch, closed)))
        .collect()
}

/// Tries until it is stored, it can't be, or it has taken too long. An answer to a commit that was lost is no harm: the
/// next try finds the marks where they are.
async fn patiently(store: &Store, batches: &[Batch]) -> Result<Vec<Result<Ingested, Closed>>, StoreError> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = PAUSE;
    loop {
        let error = match attempt(store, batches).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(error) => error,
        };
        if is_missing_day(&error) {
            partitions::ahead(store, Timestamp::now()).await?;
        } else if !is_passing(&error) || Instant::now() + pause > deadline {
            return Err(error);
        } else {
            tracing::warn!(error = &error as &dyn std::error::Error, "rows were not stored; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
        if Instant::now() > deadline {
            return Err(error);
        }
    }
}

async fn attempt(store: &Store, batches: &[Batch]) -> Result<Vec<Result<Ingested, Closed>>, StoreError> {
    let client = store.intake().await?;
    let taken = take_in(&client, batches, Timestamp::now().as_microsecond()).await;
    if taken.is_err() {
        // Its transaction may be open: the server rolls it back with the connection.
        drop(Object::take(client));
    }
    taken
}

/// True where the same may work a moment later: a server that restarts or fails over, a deadlock, a lock that took long.
fn is_passing(error: &StoreError) -> bool {
    let source = match error {
        StoreError::Pool(deadpool_postgres::PoolError::Backend(error)) => error,
        StoreError::Pool(_) => return true,
        StoreError::Postgres { source, .. } => source,
        _ => return false,
    };
    let Some(code) = source.code() else {
        // No answer of the server: the connection was lost, or could not be made.
        return true;
    };
    let passing = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        // A primary that has become a standby.
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::DISK_FULL,
    ];
    passing.contains(code) || code.code().starts_with("08")
}

fn is_missing_day(error: &StoreError) -> bool {
    matches!(error, StoreError::Postgres { source, .. }
        if source.as_db_error().is_some_and(|error| *error.code() == SqlState::CHECK_VIOLATION
            && error.table().is_some_and(|table| table.starts_with("telemetry"))))
}
