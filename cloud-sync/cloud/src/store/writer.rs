//! The one writing connection of `serve`, owned by one thread, with group commit: what many gateways send at the
//! same time becomes durable with one fsync.
//!
//! A piece of work that fails is undone alone (a savepoint), the others of its group go on. Nobody gets an answer
//! before the group's commit.

use super::StoreError;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

/// Pieces of work that may wait; at the bound whoever brings more waits, which slows its gateway down.
const QUEUE: usize = 256;
/// Pieces of work in one transaction.
const GROUP: usize = 128;
/// How long a group may grow: keeps the file free for the command line, and answers prompt: an alarm waits for two at most.
const GROUP_TIME: Duration = Duration::from_millis(8);

/// After this long without a rest the file is left free.
const TURN: Duration = Duration::from_millis(100);
/// For so long: whoever waits looks each millisecond.
const PAUSE: Duration = Duration::from_millis(4);

type Shared = Arc<rusqlite::Error>;
/// Given the open transaction, or why there is none, does its work.
type Job = Box<dyn FnOnce(Result<&Connection, Shared>) -> Done + Send>;
/// Answers whoever waits, once it is known whether the group is durable.
type Answer = Box<dyn FnOnce(Result<(), Shared>) + Send>;

struct Done {
    failed: bool,
    answer: Answer,
}

/// A handle on the writing thread; the thread ends when all handles are gone.
#[derive(Clone)]
pub struct Writer {
    jobs: SyncSender<Job>,
}

impl Writer {
    /// Opens `path`, brings it to this release's schema and starts the thread. The receiver fires (or closes) when
    /// the thread has ended: `serve` then has to stop, since nothing can be stored any more.
    ///
    /// # Errors
    /// As [`super::open`]; or that no thread could be started.
    pub fn start(path: &Path) -> Result<(Self, tokio::sync::oneshot::Receiver<()>), StoreError> {
        let connection = super::open(path)?;
        let (jobs, queue) = sync_channel(QUEUE);
        let (ended, watch) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                // Dropped when the thread ends, in whatever way: the receiver then knows.
                let _ended = ended;
                run(&connection, &queue);
            })
            .map_err(|error| {
                tracing::error!(%error, "no thread for the writer");
                StoreError::Stopped
            })?;
        Ok((Self { jobs }, watch))
    }

    /// Does `work` in the next group, and waits until it is durable.
    ///
    /// # Errors
    /// What `work` returned (nothing of it is then written), or why the group could not be made durable.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, waiting) = sync_channel(1);
        let job = move |connection: Result<&Connection, Shared>| {
            let result = connection.map_err(StoreError::Commit).and_then(work);
            Done {
                failed: result.is_err(),
                answer: Box::new(move |commit| {
                    let result = result.and_then(|value| commit.map(|()| value).map_err(StoreError::Commit));
                    // Whoever asked may be gone: what is durable stays durable.
                    let _ = answer.send(result);
                }),
            }
        };
        self.jobs.send(Box::new(job)).map_err(|_| StoreError::Stopped)?;
        waiting.recv().unwrap_or(Err(StoreError::Stopped))
    }
}

fn run(connection: &Connection, queue: &Receiver<Job>) {
    let mut busy_since = Instant::now();
    loop {
        let first = match queue.try_recv() {
            Ok(job) => job,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                let Ok(job) = queue.recv() else { break };
                busy_since = Instant::now();
                job
            }
        };
        let mut answers = Vec::new();
        let committed = group(connection, first, queue, &mut answers);
        if let Err(error) = &committed {
            tracing::error!(error = %error, writes = answers.len(), "a group of writes was not stored");
            if !connection.is_autocommit() {
                // The failed commit left its transaction open (a busy file, say): it must not leak into the next.
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        for answer in answers {
            answer(committed.clone());
        }
        if busy_since.elapsed() >= TURN {
            // SQLite keeps no queue of writers: without a pause the command line could wait for ever.
            std::thread::park_timeout(PAUSE);
            busy_since = Instant::now();
        }
    }
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::debug!(%error, "the last checkpoint did not run");
    }
}

fn group(
    connection: &Connection,
    first: Job,
    queue: &Receiver<Job>,
    answers: &mut Vec<Answer>,
) -> Result<(), Shared> {
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        let error = Arc::new(error);
        answers.push(first(Err(error.clone())).answer);
        return Err(error);
    }
    let begun = Instant::now();
    let mut next = Some(first);
    while let Some(job) = next {
        if let Err(error) = connection.execute_batch("SAVEPOINT piece") {
            let error = Arc::new(error);
            answers.push(job(Err(error.clone())).answer);
            return Err(error);
        }
        let done = job(Ok(connection));
        answers.push(done.answer);
        if connection.is_autocommit() {
            // SQLite itself rolls the whole transaction back on a full disk or an I/O error.
            return Err(Arc::new(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
                Some("the transaction was rolled back: is the disk full?".to_owned()),
            )));
        }
        let close = if done.failed { "ROLLBACK TO piece; RELEASE piece" } else { "RELEASE piece" };
        connection.execute_batch(close).map_err(Arc::new)?;
        let room = answers.len() < GROUP && begun.elapsed() < GROUP_TIME;
        next = if room { queue.try_recv().ok() } else { None };
    }
    connection.execute_batch("COMMIT").map_err(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(id: i64) -> impl FnOnce(&Connection) -> Result<(), StoreError> + Send {
        move |connection| {
            connection
                .execute("INSERT INTO gateway (id, property, name) VALUES (?1, 'h', 'h')", [id.to_string()])
                .map(drop)
                .map_err(StoreError::sql("test"))
        }
    }

    #[test]
    fn a_failing_piece_does_not_harm_its_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cloud.db");
        drop(super::super::create(&path).unwrap());
        let (writer, mut ended) = Writer::start(&path).unwrap();
        let threads: Vec<_> = (0..40)
            .map(|id| {
                let writer = writer.clone();
                // Each number comes twice: the second of each pair breaks the primary key.
                std::thread::spawn(move || writer.run(insert(id / 2)))
            })
            .collect();
        let failed = threads.into_iter().map(|t| t.join().unwrap()).filter(Result::is_err).count();
        assert_eq!(failed, 20);
        let count: i64 = super::super::open_reader(&path)
            .unwrap()
            .query_row("SELECT count(*) FROM gateway", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 20);
        assert!(matches!(ended.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty)));
        drop(writer);
        assert!(ended.blocking_recv().is_err(), "closed when the thread has ended");
    }

    #[test]
    fn the_command_line_gets_its_turn_beside_a_flood() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cloud.db");
        drop(super::super::create(&path).unwrap());
        let (writer, _ended) = Writer::start(&path).unwrap();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flood: Vec<_> = (0..8)
            .map(|thread| {
                let (writer, stop) = (writer.clone(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let ids = (0_i64..).map(|n| 1_000_000 * (thread + 1) + n);
                    ids.take_while(|_| !stop.load(std::sync::atomic::Ordering::Relaxed))
                        .map(|id| writer.run(insert(id)).unwrap())
                        .count()
                })
            })
            .collect();
        let mut other = super::super::open(&path).unwrap();
        let mut longest = Duration::ZERO;
        for id in 0..20 {
            let begun = Instant::now();
            super::super::write(&mut other, insert(id)).unwrap();
            longest = longest.max(begun.elapsed());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let written: usize = flood.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(longest < Duration::from_secs(5), "waited {longest:?} beside {written} writes");
        let count: i64 = other.query_row("SELECT count(*) FROM gateway", [], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(count).unwrap(), written + 20);
    }

    #[test]
    fn nothing_of_a_full_disk_is_answered_as_stored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cloud.db");
        drop(super::super::create(&path).unwrap());
        let (writer, _ended) = Writer::start(&path).unwrap();
        let limit = |pages: i64| {
            move |connection: &Connection| {
                connection
                    .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0))
                    .map_err(StoreError::sql("test"))
            }
        };
        writer.run(limit(60)).unwrap();
        let large = |id: i64| {
            move |connection: &Connection| {
                connection
                    .execute(
                        "INSERT INTO gateway (id, property, name) VALUES (?1, 'h', zeroblob(?2) || '')",
                        (id.to_string(), 100_000),
                    )
                    .map(drop)
                    .map_err(StoreError::sql("test"))
            }
        };
        let stored = (0..10).filter(|id| writer.run(large(*id)).is_ok()).count();
        assert!(stored < 10, "the disk was never full");
        let count = || -> i64 {
            super::super::open_reader(&path)
                .unwrap()
                .query_row("SELECT count(*) FROM gateway", [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(usize::try_from(count()).unwrap(), stored);
        // Once there is room again it goes on.
        writer.run(limit(100_000)).unwrap();
        writer.run(insert(77)).unwrap();
        assert_eq!(usize::try_from(count()).unwrap(), stored + 1);
    }
}
