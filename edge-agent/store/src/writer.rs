//! The one writer. It is not shared: whoever owns the [`Store`] owns the only writing connection.

use crate::vault::{self, AuditHead, AuditTrail, Keyring, Register, Stage, VaultKey};
use crate::{DATABASE_FILE, DatabaseKey, LaneMarks, Reader, StoreError, migrations};
use data_encoding::HEXLOWER;
use engawa_model::{Change, Entity, Erasure, Lane, Property, PropertySpec, Timestamp};
use rand::RngCore;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Beside the database; its lock tells that there is a writer.
const LOCK_FILE: &str = "engawa.lock";

/// Bounds of the store.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Telemetry rows that may wait for the cloud. Past it, values are no longer journalled (the state still
    /// has the newest) and are counted; every other lane goes on.
    pub telemetry_backlog: u64,
    /// How long acknowledged rows are kept, so that a cloud restored to an earlier point can ask again, seconds.
    pub keep_acknowledged_s: u32,
    /// Events that may wait for one broker; past it the oldest goes and is counted.
    pub events: u32,
    /// How long an event waits, seconds: nobody waits longer for an answer.
    pub keep_events_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            telemetry_backlog: 4_000_000,
            keep_acknowledged_s: 86_400,
            events: 10_000,
            keep_events_s: 86_400,
        }
    }
}

/// An event for a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which broker.
    pub broker: String,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: String,
}

/// What is to be written together: the outcome of one or more observations.
#[derive(Debug, Default)]
pub struct Batch {
    /// The changes and when they happened, in order.
    pub changes: Vec<(Timestamp, Change)>,
    /// The entities that have changed.
    pub touched: BTreeSet<Entity>,
    /// The inbox's new mark, where commands of the cloud were taken.
    pub inbox: Option<u64>,
    /// Lanes that the cloud now has up to a mark.
    pub acknowledged: BTreeMap<u8, u64>,
    /// Events that now wait for their brokers.
    pub events: Vec<Event>,
    /// Numbers of events that needn't wait any more.
    pub delivered: Vec<u64>,
    /// Guests' records that are erased.
    pub erased: Vec<Erasure>,
    /// The end of the audit trail, where it goes to the cloud.
    pub audit: Option<AuditHead>,
}

impl Batch {
    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.touched.is_empty()
            && self.inbox.is_none()
            && self.acknowledged.is_empty()
            && self.events.is_empty()
            && self.delivered.is_empty()
            && self.erased.is_empty()
            && self.audit.is_none()
    }
}

/// How soon a commit must survive a power cut. It survives the end of the process at once, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before [`Store::commit`] returns: for guests, money, commands, acknowledgements and alarms.
    Now,
    /// With the next commit that is durable, or [`Store::settle`]: for measured values, which the devices would tell
    /// again. Until then [`Store::marks`] does not show its rows, so that no row is sent that could still be lost.
    Soon,
}

/// The database, open for writing.
pub struct Store {
    connection: Connection,
    /// Held as long as this is the one writer; the system lets go of it when the process ends, however it ends.
    _lock: File,
    path: PathBuf,
    key: DatabaseKey,
    keyring: Keyring,
    audit: AuditTrail,
    /// The guest register, where the house keeps one.
    register: Option<Register>,
    /// Guests whose data was in documents of an older release.
    adopted: usize,
    /// The database is another than the one that was here last.
    restored: bool,
    limits: Limits,
    epoch: u64,
    clean: bool,
    marks: BTreeMap<u8, LaneMarks>,
    /// The marks as a power cut would leave them.
    settled: BTreeMap<u8, LaneMarks>,
    /// What the connection is set to.
    durability: Durability,
    inbox: u64,
    dropped: u64,
    events_dropped: u64,
}

impl Store {
    /// Opens or makes the database in `dir`, and brings it to this release's schema.
    ///
    /// # Errors
    /// A folder that can't be made, another writer, a file that is damaged, of a newer release, or locked by another key.
    pub fn open(dir: &Path, key: &DatabaseKey, limits: Limits) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Folder {
            doing: "making the store's folder",
            path: dir.to_owned(),
            source,
        })?;
        let vault_key = VaultKey::load_or_create(&dir.join(vault::KEY_FILE))?;
        Self::open_with(dir, key, &vault_key, limits)
    }

    /// As [`Self::open`], with a key of the vault that lies elsewhere.
    ///
    /// # Errors
    /// As [`Self::open`], and a vault that is locked by another key.
    pub fn open_with(
        dir: &Path,
        key: &DatabaseKey,
        vault_key: &VaultKey,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Folder {
            doing: "making the store's folder",
            path: dir.to_owned(),
            source,
        })?;
        let lock = lock(dir)?;
        let path = dir.join(DATABASE_FILE);
        let mut connection = connect(&path, key)?;
        migrations::migrate_to(&mut connection, migrations::LATEST)?;
        let mut keyring = Keyring::open(dir, vault_key)?;
        let audit = AuditTrail::open(dir, key)?;
        // Erasures that the last owner could not end come before anything is read.
        vault::finish(&connection, &mut keyring, Timestamp::now())?;
        let adopted = vault::adopt(&mut connection, &mut keyring)?;
        let single = |name: &'static str| {
            connection
                .query_row("SELECT value FROM single WHERE name = ?1", [name], |row| row.get::<_, i64>(0))
                .optional()
                .map_err(StoreError::sql("reading the journal's epoch and marks"))
        };
        let epoch = match single("epoch")? {
            Some(epoch) => epoch.cast_unsigned(),
            None => {
                // Bit 63 stays clear, so that the id is the same number everywhere it is shown.
                let epoch = rand::rng().next_u64() >> 1;
                connection
                    .execute("INSERT INTO single (name, value) VALUES ('epoch', ?1)", [epoch.cast_signed()])
                    .map_err(StoreError::sql("writing the journal's epoch"))?;
                epoch
            }
        };
        // A file that was never started has no crash behind it.
        let clean = single("clean")?.is_none_or(|clean| clean == 1);
        let restored = single("stamp")? != keyring.stamp()?;
        let inbox = single("inbox")?.unwrap_or(0).cast_unsigned();
        if !clean {
            vault::reindex(&connection, &mut keyring, Timestamp::now())?;
        }
        connection
            .execute("INSERT OR REPLACE INTO single (name, value) VALUES ('clean', 0)", [])
            .map_err(StoreError::sql("marking the store as in use"))?;
        put_stamp(&connection, &keyring)?;
        vault::start_clocks(&connection, Timestamp::now())?;
        // The writes above were durable, and with them everything that the last owner had committed.
        let marks: BTreeMap<_, _> =
            crate::reader::marks(&connection)?.into_iter().map(|marks| (marks.lane, marks)).collect();
        Ok(Self {
            connection,
            _lock: lock,
            path,
            key: key.clone(),
            keyring,
            audit,
            register: None,
            adopted,
            restored,
            limits,
            epoch,
            clean,
            settled: marks.clone(),
            marks,
            durability: Durability::Now,
            inbox,
            dropped: 0,
            events_dropped: 0,
        })
    }

    /// The random id of this journal's life.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// False if the last owner did not [`Store::close`]: it crashed, or the power went.
    pub fn was_closed(&self) -> bool {
        self.clean
    }

    /// The mark of the command inbox.
    pub fn inbox_mark(&self) -> u64 {
        self.inbox
    }

    /// Telemetry rows that were not journalled since the start, because too many waited.
    pub fn telemetry_dropped(&self) -> u64 {
        self.dropped
    }

    /// Events that no broker took in time, or that did not fit, since the start.
    pub fn events_dropped(&self) -> u64 {
        self.events_dropped
    }

    /// How far each lane is, counting only what a power cut would leave.
    pub fn marks(&self) -> impl Iterator<Item = LaneMarks> + '_ {
        self.settled.values().copied()
    }

    /// True while something is committed that a power cut could still take.
    pub fn is_unsettled(&self) -> bool {
        self.settled != self.marks
    }

    /// Makes everything that was committed durable.
    ///
    /// # Errors
    /// SQLite's.
    pub fn settle(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if !self.is_unsettled() {
            return Ok(());
        }
        self.set_durability(Durability::Now)?;
        // A durable write forces the whole log to the disk, and what was committed before it.
        self.connection
            .execute(
                "INSERT OR REPLACE INTO single (name, value) VALUES ('settled_us', ?1)",
                [now.as_microsecond()],
            )
            .map_err(StoreError::sql("forcing the journal to the disk"))?;
        self.settled.clone_from(&self.marks);
        Ok(())
    }

    fn set_durability(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.durability != durability {
            let synchronous = match durability {
                Durability::Now => "FULL",
                Durability::Soon => "NORMAL",
            };
            self.connection
                .pragma_update(None, "synchronous", synchronous)
                .map_err(StoreError::sql("choosing how soon a commit is durable"))?;
            self.durability = durability;
        }
        Ok(())
    }

    /// A read-only connection of its own.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path, &self.key)
    }

    /// Guests whose data was in documents of an older release, and is in the vault since this start.
    pub fn adopted(&self) -> usize {
        self.adopted
    }

    /// True where the database is not the one that was here when its writer last opened or closed it: a backup was put back,
    /// or the keys' file was lost. Who came and went since is not known.
    pub fn was_restored(&self) -> bool {
        self.restored
    }

    /// Records of guests in the house whose data can't be read, because their keys are not there: after a backup was
    /// put back, or the keys' file was lost.
    ///
    /// # Errors
    /// SQLite's.
    pub fn dark(&self) -> Result<usize, StoreError> {
        vault::dark(&self.connection, &self.keyring)
    }

    /// From now on guests are entered into `register`, too.
    pub fn keep_register(&mut self, register: Register) {
        self.register = Some(register);
    }

    /// The guest register, where the house keeps one.
    pub fn register(&self) -> Option<&Register> {
        self.register.as_ref()
    }

    /// The audit trail of personal data.
    pub fn audit(&mut self) -> &mut AuditTrail {
        &mut self.audit
    }

    /// The end of the audit trail, as it was last told to the cloud.
    ///
    /// # Errors
    /// SQLite's.
    pub fn audit_told(&self) -> Result<Option<AuditHead>, StoreError> {
        crate::reader::audit_told(&self.connection)
    }

    /// Signed tombstones of what `target` names. Nothing is erased before they are in a [`Batch`] that was committed.
    ///
    /// # Errors
    /// SQLite's.
    pub fn plan_erasure(&self, target: &vault::Target, now: Timestamp) -> Result<Vec<Erasure>, StoreError> {
        vault::plan(&self.connection, &self.keyring.key, target, now)
    }

    /// True once every erasure that was committed is complete on the disk; tries again where one is not.
    ///
    /// # Errors
    /// SQLite's.
    pub fn finish_erasures(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        vault::finish(&self.connection, &mut self.keyring, now)
    }

    /// The stored property, with its guests' personal data: for the house's own rules.
    ///
    /// # Errors
    /// A state that can't be read.
    pub fn load(
        &self,
        spec: PropertySpec,
    ) -> Result<Result<Property, engawa_model::RestoreError>, StoreError> {
        crate::reader::load(&self.connection, spec, Some(&self.keyring))
    }

    /// Writes `batch` and the entities it names, as they now are in `property`, in one transaction.
    ///
    /// # Errors
    /// SQLite's: a full disk, a damaged file. Nothing of the batch is then written.
    pub fn commit(
        &mut self,
        property: &Property,
        batch: &Batch,
        now: Timestamp,
        durability: Durability,
    ) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.set_durability(durability)?;
        let mut marks = self.marks.clone();
        let mut dropped = 0;
        let events_dropped;
        let doing = StoreError::sql("writing state and journal");
        let mut stage = Stage::default();
        let mut documents = Vec::with_capacity(batch.touched.len());
        for entity in &batch.touched {
            let (kind, key, mut body) = (entity.kind(), entity.key(), property.save(entity));
            if let Some(personal) = vault::personal_kind(kind) {
                let of = (personal, key.as_str());
                match &body {
                    Some(whole) => {
                        body = Some(stage.document(&self.connection, &self.keyring, of, whole, now)?);
                    }
                    None => stage.gone(&self.connection, of, now)?,
                }
            }
            if let (Some(register), Entity::Stay(id)) = (&self.register, entity) {
                match property.stays().get(id) {
                    Some(stay) => register.enter(stay)?,
                    None => register.leave(id.as_str(), now)?,
                }
            }
            documents.push((kind, key, body));
        }
        stage.write_keys(&mut self.keyring, now)?;
        let transaction = self.connection.transaction().map_err(&doing)?;
        stage.write_rows(&transaction).map_err(&doing)?;
        vault::erase_in(&transaction, &batch.erased).map_err(&doing)?;
        {
            let mut put = transaction
                .prepare_cached(
                    "INSERT INTO state (kind, key, body, changed_us) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (kind, key) DO UPDATE SET body = ?3, changed_us = ?4",
                )
                .map_err(&doing)?;
            let mut delete = transaction
                .prepare_cached("DELETE FROM state WHERE kind = ?1 AND key = ?2")
                .map_err(&doing)?;
            for (kind, key, body) in &documents {
                match body {
                    Some(body) => put.execute(params![kind, key, body, now.as_microsecond()]),
                    None => delete.execute(params![kind, key]),
                }
                .map_err(&doing)?;
            }
            let mut append = transaction
                .prepare_cached(
                    "INSERT INTO journal (lane, seq, at_us, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                )
                .map_err(&doing)?;
            for (at, change) in &batch.changes {
                let lane = change.lane();
                let mark = marks.entry(lane.number()).or_insert(LaneMarks {
                    lane: lane.number(),
                    head: 0,
                    acked: 0,
                });
                if lane == Lane::Telemetry && mark.head - mark.acked >= self.limits.telemetry_backlog {
                    dropped += 1;
                    continue;
                }
                mark.head += 1;
                // A change of our own plain types always has a JSON form.
                let body = serde_json::to_vec(change).unwrap_or_default();
                append
                    .execute(params![
                        lane.number(),
                        mark.head.cast_signed(),
                        at.as_microsecond(),
                        change.kind(),
                        body
                    ])
                    .map_err(&doing)?;
            }
            for (lane, upto) in &batch.acknowledged {
                let mark = marks.entry(*lane).or_insert(LaneMarks { lane: *lane, head: 0, acked: 0 });
                mark.acked = mark.acked.max((*upto).min(mark.head));
            }
            let mut set = transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO lane (lane, head, acked, acked_us) VALUES (?1, ?2, ?3, ?4)",
                )
                .map_err(&doing)?;
            for (lane, mark) in marks.iter().filter(|(lane, mark)| self.marks.get(lane) != Some(mark)) {
                set.execute(params![
                    lane,
                    mark.head.cast_signed(),
                    mark.acked.cast_signed(),
                    now.as_microsecond()
                ])
                .map_err(&doing)?;
            }
            events_dropped = put_events(&transaction, batch, now, self.limits.events).map_err(&doing)?;
            if let Some(AuditHead { rows, hash }) = &batch.audit {
                let hash = HEXLOWER.decode(hash.as_bytes()).unwrap_or_default();
                transaction
                    .execute(
                        "INSERT OR REPLACE INTO audit_head (only, rows, hash) VALUES (1, ?1, ?2)",
                        params![rows.cast_signed(), hash],
                    )
                    .map_err(&doing)?;
            }
            if let Some(inbox) = batch.inbox {
                transaction
                    .execute(
                        "INSERT OR REPLACE INTO single (name, value) VALUES ('inbox', ?1)",
                        [inbox.cast_signed()],
                    )
                    .map_err(&doing)?;
            }
        }
        transaction.commit().map_err(&doing)?;
        self.marks = marks;
        if durability == Durability::Now {
            self.settled.clone_from(&self.marks);
        }
        self.dropped += dropped;
        self.events_dropped += events_dropped;
        self.inbox = batch.inbox.unwrap_or(self.inbox);
        if !batch.erased.is_empty() {
            // What can't be ended now (somebody reads) is ended by the next sweep or start.
            vault::finish(&self.connection, &mut self.keyring, now)?;
        }
        Ok(())
    }

    /// Removes rows that the cloud has had for long enough, at most `most` of them, so that a long absence
    /// is cleared away in small steps. Returns how many went.
    ///
    /// # Errors
    /// SQLite's.
    pub fn sweep(&mut self, now: Timestamp, most: u32) -> Result<usize, StoreError> {
        let before = now.as_microsecond() - i64::from(self.limits.keep_acknowledged_s) * 1_000_000;
        let doing = StoreError::sql("removing old rows of the journal");
        let mut removed = 0;
        for mark in self.marks.values() {
            let lane = params![mark.lane, mark.acked.cast_signed(), before, most];
            removed += self
                .connection
                .execute(
                    "DELETE FROM journal WHERE lane = ?1 AND seq IN (SELECT seq FROM journal
                     WHERE lane = ?1 AND seq <= ?2 AND at_us < ?3 ORDER BY seq LIMIT ?4)",
                    lane,
                )
                .map_err(&doing)?;
        }
        let late = now.as_microsecond() - i64::from(self.limits.keep_events_s) * 1_000_000;
        let late = self.connection.execute("DELETE FROM event WHERE at_us < ?1", [late]).map_err(&doing)?;
        self.events_dropped += late as u64;
        vault::finish(&self.connection, &mut self.keyring, now)?;
        vault::start_clocks(&self.connection, now)?;
        vault::sweep_tombstones(&self.connection, &mut self.keyring, now, most)?;
        Ok(removed)
    }

    /// Ends in good order: the next start knows that nothing was lost on the way.
    ///
    /// # Errors
    /// SQLite's.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.set_durability(Durability::Now)?;
        let doing = StoreError::sql("closing the store");
        // A copy of the files that somebody made while we ran is older than what is here now.
        put_stamp(&self.connection, &self.keyring)?;
        self.connection.execute("UPDATE single SET value = 1 WHERE name = 'clean'", []).map_err(&doing)?;
        self.connection.close().map_err(|(_, source)| StoreError::Sql { doing: "closing the store", source })
    }
}

/// Gives the database a new stamp, and the keys' file beside it the same: no backup takes that one, so that a database that
/// was put back is known by its own. After a crash between the two they differ, and a list is asked for in vain.
fn put_stamp(connection: &Connection, keyring: &Keyring) -> Result<(), StoreError> {
    let stamp = (rand::rng().next_u64() >> 1).cast_signed();
    keyring.set_stamp(stamp)?;
    connection
        .execute("INSERT OR REPLACE INTO single (name, value) VALUES ('stamp', ?1)", [stamp])
        .map(drop)
        .map_err(StoreError::sql("writing the database's stamp"))
}

/// Adds and removes events; how many did not fit.
fn put_events(
    transaction: &Transaction<'_>,
    batch: &Batch,
    now: Timestamp,
    most: u32,
) -> rusqlite::Result<u64> {
    for number in &batch.delivered {
        transaction.prepare_cached("DELETE FROM event WHERE number = ?1")?.execute([number.cast_signed()])?;
    }
    for Event { broker, topic, payload } in &batch.events {
        transaction
            .prepare_cached("INSERT INTO event (broker, at_us, topic, payload) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![broker, now.as_microsecond(), topic, payload])?;
    }
    let brokers: BTreeSet<&str> = batch.events.iter().map(|event| event.broker.as_str()).collect();
    let mut dropped = 0;
    for broker in brokers {
        dropped += transaction
            .prepare_cached(
                "DELETE FROM event WHERE broker = ?1 AND number <=
                 (SELECT number FROM event WHERE broker = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![broker, most])? as u64;
    }
    Ok(dropped)
}

/// The right to write: two writers would each give out the journal's next number.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let fault = |source| StoreError::Folder { doing: "locking the store with", path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(fault(source)),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one place that opens the writing connection, with its pragmas"
)]
pub(crate) fn connect(path: &Path, key: &DatabaseKey) -> Result<Connection, StoreError> {
    let fault = |source| StoreError::Open { path: path.to_owned(), source };
    let connection = Connection::open(path).map_err(fault)?;
    connection.execute_batch(&key.pragma()).map_err(fault)?;
    // WAL so that readers never wait; FULL because an acknowledged change must survive a power cut.
    connection
        .execute_batch(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON; PRAGMA cache_size = -2048; PRAGMA wal_autocheckpoint = 1000;",
        )
        .map_err(fault)?;
    Ok(connection)
}
