//! The edge's end of the sync: its journal and its durable inbox, as the session wants them.
//!
//! Reads go to read-only connections; what changes the store goes through the house, which is its only writer.

use crate::house::{Door, Shared};
use engawa_field::mqtt::{EventStore, StoredEvent};
use engawa_model::Lane;
use engawa_protocol::live::Live;
use engawa_protocol::ports::{EdgeStore, Gone, Origin, Previous, Row, StoreFault};
use engawa_store::{Carried, DATABASE_FILE, DatabaseKey, JournalRow, LaneMarks, Reader, WaitingEvent};
use futures::future::BoxFuture;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Idle read-only connections that are kept.
const KEPT_READERS: usize = 2;
/// How often rows that were thinned between a look and the word that they are handed out are looked at again.
const LOOKS: usize = 8;
/// How long the link may take to hear how far telemetry can be read while the disk takes nothing: it looks every two seconds
/// at least.
const HEAR: Duration = Duration::from_secs(5);

/// The journal, seen by the link to the cloud.
pub(crate) struct Journal {
    epoch: u64,
    path: PathBuf,
    key: DatabaseKey,
    door: Door,
    shared: Arc<Shared>,
    readers: Mutex<Vec<Reader>>,
    /// The head of telemetry that the link was told last.
    told: Mutex<u64>,
    /// Told when that is another.
    heard: Condvar,
}

impl Journal {
    /// The journal of the store in `dir`.
    pub(crate) fn new(epoch: u64, dir: &Path, key: DatabaseKey, door: Door, shared: Arc<Shared>) -> Self {
        let path = dir.join(DATABASE_FILE);
        let (readers, told) = (Mutex::default(), Mutex::new(u64::MAX));
        Self { epoch, path, key, door, shared, readers, told, heard: Condvar::new() }
    }

    /// Reads with a connection that nobody else uses meanwhile. Blocks on the disk.
    pub(crate) fn read_with<T, E>(&self, read: impl FnOnce(&Reader) -> Result<T, E>) -> Result<T, StoreFault>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.path, &self.key)
                .map_err(|source| StoreFault::new("opening the store for reading", source))?,
        };
        let found = read(&reader).map_err(|source| StoreFault::new("reading the journal", source))?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < KEPT_READERS {
            readers.push(reader);
        }
        Ok(found)
    }
}

impl Journal {
    fn marks(&self, lane: u8) -> LaneMarks {
        self.shared.marks().into_iter().find(|marks| marks.lane == lane).unwrap_or_default()
    }

    /// How far telemetry may be read where `wanted` numbers after `after` are: what could still be thinned is not sent. Blocks
    /// until what is wanted is noted as handed out; while the disk takes nothing, that is what was noted before.
    fn hand_out(&self, lane: u8, after: u64, wanted: u64) -> Result<u64, StoreFault> {
        let until = Instant::now() + HEAR;
        loop {
            let marks = self.marks(lane);
            let wanted = marks.head.min(after.saturating_add(wanted));
            if wanted > marks.sent
                && !self.shared.is_stuck()
                && let Err(source) = self.door.hand_out(wanted)
                && !self.shared.is_stuck()
            {
                return Err(StoreFault::new("noting what is handed out", source));
            }
            let marks = self.marks(lane);
            let most = marks.head.min(marks.sent);
            if most > after {
                return Ok(most);
            }
            // The link takes no rows for rows that are gone, up to the head that it knows: it hears of the lower one first.
            self.shared.written.notify_one();
            let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let left = until.saturating_duration_since(Instant::now());
            let heard = self.heard.wait_timeout_while(told, left, |told| *told > most);
            let (told, _) = heard.unwrap_or_else(PoisonError::into_inner);
            if *told <= most || Instant::now() >= until {
                return Ok(most);
            }
        }
    }

    /// When the first row of `lane` after `after` was written: for looking, not for sending.
    pub(crate) fn first_after(&self, lane: u8, after: u64) -> Option<i64> {
        let rows = self.read_with(|reader| reader.journal(lane, after, 1, 1)).ok()?;
        rows.first().map(|row| row.at_micros)
    }
}

impl EdgeStore for Journal {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn previous(&self) -> Result<Option<Previous>, StoreFault> {
        let Some(over) = self.read_with(Reader::carried_over)? else { return Ok(None) };
        let telemetry = Lane::Telemetry.number();
        if let Some(carried) = over.lanes.iter().find(|carried| carried.lane == telemetry) {
            let marks = self.marks(telemetry);
            // What the cloud has of it is known from the welcome on, and must not become part of other rows after that.
            let last = carried.last();
            if marks.acked < last && marks.sent < last {
                self.door
                    .hand_out(last)
                    .map_err(|source| StoreFault::new("noting what is handed out", source))?;
            }
        }
        // Read again: it may have been thinned until just now.
        let over = self.read_with(Reader::carried_over)?;
        let origin = |Carried { lane, first, acked, head, same }| Origin { lane, first, acked, head, same };
        Ok(over
            .map(|over| Previous { epoch: over.epoch, lanes: over.lanes.into_iter().map(origin).collect() }))
    }

    fn lanes(&self) -> Vec<u8> {
        Lane::ALL.into_iter().map(Lane::number).collect()
    }

    fn read(&self, lane: u8, after: u64, max_rows: usize, max_bytes: usize) -> Result<Vec<Row>, StoreFault> {
        let row =
            |row: JournalRow| Row { seq: row.seq, at_micros: row.at_micros, kind: row.kind, body: row.body };
        for _ in 0..LOOKS {
            // What a power cut could still take is not sent: the cloud would know rows that the house has lost.
            let most = if lane == Lane::Telemetry.number() {
                // Numbers may be missing before the next row, any number of them.
                let next = self.read_with(|reader| reader.journal(lane, after, 1, 0))?;
                let missing = next.first().map_or(0, |row| row.seq - after - 1);
                self.hand_out(lane, after, missing.saturating_add(max_rows as u64))?
            } else {
                self.marks(lane).head
            };
            let mut rows = self.read_with(|reader| reader.journal(lane, after, max_rows, max_bytes))?;
            let next = rows.first().map(|row| row.seq);
            rows.retain(|row| row.seq <= most);
            // Where what was next has become part of a later row meanwhile, that one is handed out first.
            if !rows.is_empty() || most <= after || next.is_none() || self.shared.is_stuck() {
                return Ok(rows.into_iter().map(row).collect());
            }
        }
        let context = format!("reading lane {lane} after {after}: it is thinned faster than it can be read");
        Err(StoreFault { context, source: None })
    }

    fn gone(&self, lane: u8, from: u64, to: u64) -> Result<Option<Gone>, StoreFault> {
        let next = self.read_with(|reader| reader.journal(lane, from.saturating_sub(1), 1, 0))?;
        let next = next.first();
        if next.is_some_and(|row| row.seq <= to) {
            return Ok(None);
        }
        // Up to there the next row tells of none, so that they were deleted: only what the cloud has had once ever is.
        let deleted = next.map_or(to, |row| row.tells_from() - 1).min(to);
        if from > deleted {
            let reason = "thinned: the next row tells what they have become".to_owned();
            return Ok(Some(Gone { reason, told: true }));
        }
        let reason = "the cloud had them, and the gateway keeps such rows for a day".to_owned();
        Ok((deleted <= self.marks(lane).acked).then_some(Gone { reason, told: false }))
    }

    fn head(&self, lane: u8) -> Result<u64, StoreFault> {
        let marks = self.marks(lane);
        if lane != Lane::Telemetry.number() {
            return Ok(marks.head);
        }
        // While the disk takes nothing, no more can be handed out than was noted before.
        let head = if self.shared.is_stuck() { marks.head.min(marks.sent) } else { marks.head };
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = head;
        self.heard.notify_all();
        Ok(head)
    }

    fn acknowledged(&self, lane: u8, mark: u64) -> Result<(), StoreFault> {
        self.door.acknowledge(lane, mark).map_err(|source| StoreFault::new("noting the cloud's mark", source))
    }

    fn inbox_mark(&self) -> Result<u64, StoreFault> {
        Ok(self.shared.inbox())
    }

    fn accept(&self, commands: Vec<Row>) -> Result<u64, StoreFault> {
        self.door.accept(commands).map_err(|source| StoreFault::new("taking commands of the cloud", source))
    }

    fn live(&self, max_bytes: usize) -> Option<Live> {
        self.shared.tails.next(max_bytes)
    }

    fn live_lost(&self, tail: &str, values: u64) {
        self.shared.tails.lost(tail, values);
    }

    fn live_over(&self) {
        self.shared.tails.over("the connection to the cloud has ended");
    }
}

/// The events that wait for one broker.
pub(crate) struct Events {
    pub(crate) broker: String,
    pub(crate) journal: Arc<Journal>,
    pub(crate) door: Door,
}

impl EventStore for Events {
    fn waiting(&self, after: u64, most: usize) -> Result<Vec<StoredEvent>, Box<dyn Error + Send + Sync>> {
        let events = self.journal.read_with(|reader| reader.events(&self.broker, after, most))?;
        let event = |WaitingEvent { number, topic, payload }| StoredEvent { number, topic, payload };
        Ok(events.into_iter().map(event).collect())
    }

    fn delivered(&self, number: u64) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Where the house has stopped, it is told once more after the next start.
            let _ = self.door.delivered(number).await;
        })
    }
}
