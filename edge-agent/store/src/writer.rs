//! The one writer. It is not shared: whoever owns the [`Store`] owns the only writing connection.

use crate::ballast::Ballast;
use crate::budget::row_bytes;
use crate::relief::{Thinned, put_mark};
use crate::thin::json;
use crate::vault::{self, AuditHead, AuditTrail, Keyring, Register, Stage, VaultKey};
use crate::{
    Budget, DATABASE_FILE, DatabaseKey, LaneMarks, Pressure, Reader, StoreError, epoch, migrations, retention,
};
use data_encoding::HEXLOWER;
use engawa_model::{Change, Entity, EpochReason, Erasure, Lane, Property, PropertySpec, Thinning, Timestamp};
use rusqlite::{CachedStatement, Connection, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Beside the database; its lock tells that there is a writer.
const LOCK_FILE: &str = "engawa.lock";
/// How many further numbers may be handed out before the next durable word of it.
const SENT_AHEAD: u64 = 16_384;

/// Bounds of the store.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that the rows of each lane may take.
    pub budget: Budget,
    /// Bytes that are set aside on the disk, so that a full one still takes deletions, acknowledgements and alarms.
    pub ballast: u64,
    /// Numbers of telemetry that may wait for the cloud, beside its budget. Past either, values are no longer journalled
    /// (the state still has the newest) and are counted; every other lane goes on.
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
            budget: Budget::default(),
            ballast: 8 << 20,
            telemetry_backlog: u64::MAX,
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
    /// Telemetry up to this number is about to be handed out: it, and some numbers after it, will not be changed any more
    /// ([`LaneMarks::sent`]).
    pub sent: Option<u64>,
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
            && self.sent.is_none()
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

/// Measured values that got no row.
#[derive(Clone, Copy, Debug)]
struct Missed {
    values: u64,
    since: Timestamp,
    until: Timestamp,
}

/// The database, open for writing.
pub struct Store {
    pub(crate) connection: Connection,
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
    /// What has happened since the database was written is not known.
    restored: bool,
    pub(crate) limits: Limits,
    pub(crate) ballast: Ballast,
    /// The room set aside is in use.
    pub(crate) low: bool,
    /// Lanes that a cloud which was put back asks for again, and from where.
    pub(crate) asked_again: BTreeMap<u8, u64>,
    pub(crate) pressure: Pressure,
    pub(crate) thinned: Thinned,
    /// What the next row of telemetry has before it: a record of these.
    missed: Option<Missed>,
    epoch: u64,
    /// Why this is a new life of the journal.
    began: Option<EpochReason>,
    clean: bool,
    pub(crate) marks: BTreeMap<u8, LaneMarks>,
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
        let vault_key = VaultKey::load_or_create_for(&dir.join(vault::KEY_FILE), dir)?;
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
        let ballast = Ballast::new(dir, limits.ballast);
        loop {
            match Self::open_once(dir, key, vault_key, limits) {
                // On a full disk opening is done with the room that was set aside.
                Err(error) if error.is_disk_full() && ballast.release() => {}
                opened => return opened,
            }
        }
    }

    fn open_once(
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
        let (epoch, began) = epoch::open(&mut connection, dir, Timestamp::now())?;
        // A file that was never started has no crash behind it; a copy of an earlier time knows no better than one.
        let clean = epoch::single(&connection, "clean")?.is_none_or(|clean| clean == 1) && began.is_none();
        let inbox = epoch::single(&connection, "inbox")?.unwrap_or(0).cast_unsigned();
        if !clean {
            vault::reindex(&connection, &mut keyring, Timestamp::now())?;
        }
        connection
            .execute("INSERT OR REPLACE INTO single (name, value) VALUES ('clean', 0)", [])
            .map_err(StoreError::sql("marking the store as in use"))?;
        let restored = began.is_some() || vault::dark(&connection, &keyring)? > 0;
        vault::start_clocks(&connection, Timestamp::now())?;
        // The writes above were durable, and with them everything that the last owner had committed.
        let marks: BTreeMap<_, _> =
            crate::reader::marks(&connection)?.into_iter().map(|marks| (marks.lane, marks)).collect();
        let ballast = Ballast::new(dir, limits.ballast);
        let low = !ballast.keep();
        let pressure = limits.budget.pressure(&marks, Pressure::Free);
        let thinned = Thinned::read(&connection)?;
        Ok(Self {
            connection,
            ballast,
            low,
            asked_again: BTreeMap::new(),
            pressure,
            thinned,
            missed: None,
            began,
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

    /// Why the journal has begun a new life with this opening, where it has: the database is a copy of an earlier time.
    pub fn began_anew(&self) -> Option<EpochReason> {
        self.began
    }

    /// False if the last owner did not [`Store::close`] (it crashed, or the power went), or the database is a copy of an
    /// earlier time: what has happened since it was written is not known.
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
    pub fn settle(&mut self) -> Result<(), StoreError> {
        if !self.is_unsettled() {
            return Ok(());
        }
        self.with_room(|store| {
            store.set_durability(Durability::Now)?;
            // A durable write forces the whole log to the disk, and what was committed before it.
            force(&store.connection).map_err(StoreError::sql("forcing the journal to the disk"))
        })?;
        self.settled.clone_from(&self.marks);
        Ok(())
    }

    pub(crate) fn set_durability(&mut self, durability: Durability) -> Result<(), StoreError> {
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

    /// A lane is now as in `mark`; with everything committed durable where `settled`.
    pub(crate) fn set_mark(&mut self, mark: LaneMarks, settled: bool) {
        self.marks.insert(mark.lane, mark);
        if settled {
            self.settled.clone_from(&self.marks);
        }
        self.pressure = self.limits.budget.pressure(&self.marks, self.pressure);
    }

    /// Counts measured values that are not to be journalled, because there is nowhere to write them.
    pub fn miss(&mut self, values: u64, at: Timestamp) {
        self.dropped += values;
        note_missed(&mut self.missed, values, at);
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

    /// True where nobody knows who came and went since: the database is a copy of an earlier time ([`Self::began_anew`]), or
    /// the keys of guests in the house are lost.
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
    /// SQLite's: a full disk, a damaged file. Nothing of the batch is then written. On a full disk the room that was set
    /// aside is given up first ([`Self::is_low`]), and the write tried again.
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
        self.with_room(|store| store.write(property, batch, now, durability))
    }

    /// Tries again with what was set aside, slice by slice, where the disk is full.
    pub(crate) fn with_room<T>(
        &mut self,
        mut write: impl FnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            match write(self) {
                Err(error) if error.is_disk_full() && self.ballast.release() => self.low = true,
                done => return done,
            }
        }
    }

    fn write(
        &mut self,
        property: &Property,
        batch: &Batch,
        now: Timestamp,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.set_durability(durability)?;
        let mut marks = self.marks.clone();
        let mut dropped = 0;
        let mut missed = self.missed;
        // Thinning begins at half of it: this is met where more comes than it can keep up with.
        let left = self.limits.budget.telemetry_left(&marks);
        let most = left + left / 16;
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
                let mark = mark_of(&mut marks, lane.number());
                if lane == Lane::Telemetry {
                    let waiting = mark.head - mark.acked;
                    if self.low || waiting >= self.limits.telemetry_backlog || mark.bytes >= most {
                        dropped += 1;
                        note_missed(&mut missed, 1, *at);
                        continue;
                    }
                    if let Some(missed) = missed.take() {
                        put_row(&mut append, mark, missed.until, &missed.record()).map_err(&doing)?;
                    }
                }
                put_row(&mut append, mark, *at, change).map_err(&doing)?;
            }
            for (lane, upto) in &batch.acknowledged {
                let mark = mark_of(&mut marks, *lane);
                mark.acked = mark.acked.max((*upto).min(mark.head));
                retention::note(&transaction, *lane, mark.acked, now).map_err(&doing)?;
            }
            if let Some(upto) = batch.sent {
                let mark = mark_of(&mut marks, Lane::Telemetry.number());
                mark.sent = mark.sent.max(upto.saturating_add(SENT_AHEAD));
            }
            for (_, mark) in marks.iter().filter(|(lane, mark)| self.marks.get(lane) != Some(mark)) {
                put_mark(&transaction, *mark, now).map_err(&doing)?;
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
        if durability == Durability::Now && self.settled != self.marks {
            // A transaction that writes nothing forces nothing to the disk, and what was committed before it would still
            // be a power cut's.
            force(&transaction).map_err(&doing)?;
        }
        transaction.commit().map_err(&doing)?;
        for (lane, upto) in &batch.acknowledged {
            let before = self.marks.get(lane).map_or(0, |mark| mark.acked);
            self.heard(*lane, *upto, before);
        }
        self.marks = marks;
        if durability == Durability::Now {
            self.settled.clone_from(&self.marks);
        }
        self.missed = missed;
        self.pressure = self.limits.budget.pressure(&self.marks, self.pressure);
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
        self.with_room(|store| store.sweep_once(now, most))
    }

    fn sweep_once(&mut self, now: Timestamp, most: u32) -> Result<usize, StoreError> {
        let before = now.as_microsecond() - i64::from(self.limits.keep_acknowledged_s) * 1_000_000;
        let doing = StoreError::sql("removing old rows of the journal");
        let mut removed = 0;
        for (lane, acked) in self.marks.values().map(|mark| (mark.lane, mark.acked)).collect::<Vec<_>>() {
            if let Some(upto) = self.acknowledged_since(lane, before)? {
                removed += self.remove_acknowledged(lane, upto, most, now)?;
            }
            retention::note(&self.connection, lane, acked, now).map_err(&doing)?;
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
        // The database lies in a folder.
        epoch::close(&mut self.connection, self.path.parent().unwrap_or(Path::new(".")))?;
        self.connection.execute("UPDATE single SET value = 1 WHERE name = 'clean'", []).map_err(&doing)?;
        self.connection.close().map_err(|(_, source)| StoreError::Sql { doing: "closing the store", source })
    }
}

impl Missed {
    fn record(&self) -> Change {
        Change::Thinned {
            numbers: 0,
            values: 0,
            into: 0,
            lost: self.values,
            since: self.since,
            until: self.until,
            how: Thinning::NotWritten,
        }
    }
}

/// A write that makes its commit reach the disk. What it writes is new each time: SQLite leaves a page alone that would not
/// change.
fn force(connection: &Connection) -> rusqlite::Result<()> {
    epoch::set_single(connection, "settled", epoch::id().cast_signed())
}

fn note_missed(missed: &mut Option<Missed>, values: u64, at: Timestamp) {
    let before = missed.get_or_insert(Missed { values: 0, since: at, until: at });
    before.values += values;
    before.until = before.until.max(at);
}

fn mark_of(marks: &mut BTreeMap<u8, LaneMarks>, lane: u8) -> &mut LaneMarks {
    marks.entry(lane).or_insert(LaneMarks { lane, ..LaneMarks::default() })
}

fn put_row(
    append: &mut CachedStatement<'_>,
    mark: &mut LaneMarks,
    at: Timestamp,
    change: &Change,
) -> rusqlite::Result<()> {
    let body = json(change);
    mark.head += 1;
    mark.bytes += row_bytes(change.kind(), &body);
    let row = params![mark.lane, mark.head.cast_signed(), at.as_microsecond(), change.kind(), body];
    append.execute(row).map(drop)
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
