//! Group commit: what many gateways send at the same time goes into one transaction, and several transactions are on
//! their way at once, each with other gateways.
//!
//! Bounds: batches that wait, by their number ([`QUEUE`] a worker) and by their bytes; rows and batches of a transaction;
//! how long a transaction is tried, and tried again while PostgreSQL restarts or fails over. Whoever comes beyond them, or
//! whose turn has not come after [`TURN`], is told "later" ([`Ingested::Busy`]) with a rest of chance, and nothing of it is
//! kept. What people and alarms wait for goes before telemetry.

use super::admission::Admission;
use super::ingest::{Batch, Closed, TELEMETRY, take_in};
use super::{Store, partitions};
use crate::store::StoreError;
use deadpool_postgres::Object;
use engawa_model::Timestamp;
use engawa_protocol::ports::{Ingested, Row, Skip};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

/// Batches that may wait for a worker, in each of its two queues.
const QUEUE: usize = 256;
/// What may wait in all queues together, KiB of bodies: first what is urgent, then telemetry.
const WAITING_KIB: [u32; 2] = [16 << 10, 48 << 10];
/// How long a batch may wait for its turn.
const TURN: Duration = Duration::from_secs(3);
/// How long one try may take: a server that hangs says nothing at all.
const TRY: Duration = Duration::from_secs(20);
/// Batches in one transaction.
const BATCHES: usize = 256;
/// Rows in one transaction, but for those of its last batch.
const ROWS: usize = 16_384;
/// How long a transaction is tried again. After it the gateways are told "later".
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries, at first; it doubles up to a second.
const PAUSE: Duration = Duration::from_millis(50);

struct Job {
    batch: Batch,
    answer: oneshot::Sender<Result<Ingested, StoreError>>,
    /// Set by whoever is first: the worker that begins it, or the one that gives it up.
    taken: Arc<AtomicBool>,
    /// Its place among what may wait.
    room: OwnedSemaphorePermit,
}

/// What all workers share.
struct Shared {
    rooms: [Arc<Semaphore>; 2],
    admission: Mutex<Admission>,
    began: Instant,
}

impl Shared {
    fn admission<T>(&self, with: impl FnOnce(&mut Admission, Duration) -> T) -> T {
        let now = self.began.elapsed();
        with(&mut self.admission.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// "Later". What is durable is not known here: nothing is always true, and nobody goes by it.
    fn later(&self) -> Ingested {
        let pause = self.admission(|admission, now| admission.refused(now, rand::random()));
        Ingested::Busy { mark: 0, pause }
    }
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
    shared: Arc<Shared>,
}

impl Intake {
    /// Starts the workers, on the current runtime.
    pub fn start(store: &Store) -> Self {
        let shared = Arc::new(Shared {
            rooms: WAITING_KIB.map(|kib| Arc::new(Semaphore::new(kib as usize))),
            admission: Mutex::new(Admission::new()),
            began: Instant::now(),
        });
        let door = |_| {
            let (urgent, urgent_jobs) = mpsc::channel(QUEUE);
            let (bulk, bulk_jobs) = mpsc::channel(QUEUE);
            tokio::spawn(work(store.clone(), Arc::clone(&shared), urgent_jobs, bulk_jobs));
            Door { urgent, bulk }
        };
        let doors = (0..super::connect::INTAKE).map(door).collect();
        Self { doors, hash: RandomState::new(), shared }
    }

    /// Stores rows exactly once, and says how far the lane is durable; or "later", where the database does not keep up or
    /// does not answer.
    ///
    /// # Errors
    /// A gateway that is not admitted, or what PostgreSQL refuses.
    pub async fn ingest(
        &self,
        gateway: &str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
    ) -> Result<Ingested, StoreError> {
        self.put(Batch { gateway: gateway.to_owned(), epoch, lane, rows, skip: None }).await
    }

    /// Stores `rows`, and records that those of `skip`, which follow, will never come: a row of the kind `gap` stands for them
    /// under the last one's number, and the mark moves over them. At or below the mark it does nothing; behind a hole it is [`Ingested::Gap`].
    ///
    /// # Errors
    /// As [`Self::ingest`].
    pub async fn skip(
        &self,
        gateway: &str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
        skip: Skip,
    ) -> Result<Ingested, StoreError> {
        self.put(Batch { gateway: gateway.to_owned(), epoch, lane, rows, skip: Some(skip) }).await
    }

    async fn put(&self, batch: Batch) -> Result<Ingested, StoreError> {
        // One gateway's lanes always meet in one worker: in two they would wait for each other's lock.
        let place = usize::try_from(self.hash.hash_one(batch.gateway.as_str())).unwrap_or(usize::MAX)
            % self.doors.len();
        let door = &self.doors[place];
        let (answer, mut waiting) = oneshot::channel();
        let [urgent, bulk] = &self.shared.rooms;
        let bulky = batch.lane == TELEMETRY;
        let (queue, room) = if bulky { (&door.bulk, bulk) } else { (&door.urgent, urgent) };
        let bytes: usize = batch.rows.iter().map(|row| row.body.len()).sum();
        // One that is larger than all the room there is takes all of it.
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(WAITING_KIB[usize::from(bulky)]);
        let Ok(room) = Arc::clone(room).try_acquire_many_owned(kib) else { return Ok(self.shared.later()) };
        let taken = Arc::new(AtomicBool::new(false));
        match queue.try_send(Job { batch, answer, taken: Arc::clone(&taken), room }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Ok(self.shared.later()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(StoreError::Stopped),
        }
        let answer = match tokio::time::timeout(TURN, &mut waiting).await {
            Ok(answer) => answer,
            Err(_) if !taken.swap(true, Ordering::AcqRel) => return Ok(self.shared.later()),
            // It has begun: it ends in time.
            Err(_) => waiting.await,
        };
        match answer.unwrap_or(Err(StoreError::Stopped)) {
            Err(error) if is_passing(&error) => Ok(self.shared.later()),
            answer => answer,
        }
    }
}

async fn work(
    store: Store,
    shared: Arc<Shared>,
    mut urgent: mpsc::Receiver<Job>,
    mut bulk: mpsc::Receiver<Job>,
) {
    // Given up, or its connection has ended: it comes again.
    let wanted = |job: &Job| !job.taken.swap(true, Ordering::AcqRel) && !job.answer.is_closed();
    loop {
        let first = tokio::select! {
            biased;
            Some(job) = urgent.recv() => job,
            Some(job) = bulk.recv() => job,
            else => return,
        };
        if !wanted(&first) {
            continue;
        }
        let mut rows = first.batch.rows.len();
        let mut jobs = vec![first];
        while jobs.len() < BATCHES && rows < ROWS {
            let Ok(job) = urgent.try_recv().or_else(|_| bulk.try_recv()) else { break };
            if !wanted(&job) {
                continue;
            }
            rows += job.batch.rows.len();
            jobs.push(job);
        }
        // They keep their room until they are stored: what is under way is in memory, too.
        let mut rooms = Vec::with_capacity(jobs.len());
        let (batches, answers): (Vec<Batch>, Vec<_>) = jobs
            .into_iter()
            .map(|job| {
                rooms.push(job.room);
                (job.batch, job.answer)
            })
            .unzip();
        let outcomes = settle(&store, batches).await;
        drop(rooms);
        if outcomes.iter().any(Result::is_ok) {
            shared.admission(Admission::served);
        }
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
        Closed::Fenced => StoreError::Fenced(batch.gateway.clone()),
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
    let taking = take_in(&client, batches, Timestamp::now().as_microsecond());
    let taken = tokio::time::timeout(TRY, taking).await.unwrap_or(Err(StoreError::Slow(TRY)));
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
        StoreError::Pool(_) | StoreError::Slow(_) => return true,
        StoreError::Together(error) => return is_passing(error),
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
