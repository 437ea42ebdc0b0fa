//! The one writer. It is not shared: whoever owns the [`Store`] owns the only writing connection.

use crate::ballast::Ballast;
use crate::batch::{Durability, Limits};
use crate::carried::Carried;
use crate::connect::{connect, lock};
use crate::missed::{Missed, note_missed};
use crate::numbering::Shifts;
use crate::relief::Thinned;
use crate::retention::Noted;
use crate::vault::{self, AuditHead, AuditTrail, Keyring, Register, VaultKey};
use crate::{DATABASE_FILE, DatabaseKey, LaneMarks, Pressure, Reader, StoreError, epoch, migrations};
use engawa_model::{EpochReason, Erasure, Lane, Property, PropertySpec, Timestamp};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The database, open for writing.
pub struct Store {
    pub(crate) connection: Connection,
    /// Held as long as this is the one writer; the system lets go of it when the process ends, however it ends.
    _lock: File,
    path: PathBuf,
    key: DatabaseKey,
    pub(crate) keyring: Keyring,
    pub(crate) audit: AuditTrail,
    /// The guest register, where the house keeps one.
    pub(crate) register: Option<Register>,
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
    pub(crate) missed: Option<Missed>,
    epoch: u64,
    /// What rows are stored under: see [`crate::numbering`].
    pub(crate) shifts: Shifts,
    /// Rows of telemetry that were carried over from the life before.
    pub(crate) carried: Option<Carried>,
    /// The moments of acknowledgements that were noted last.
    pub(crate) noted: Noted,
    /// Why this is a new life of the journal.
    began: Option<EpochReason>,
    /// The house has not been told yet that this is a copy of an earlier time.
    pub(crate) put_back: bool,
    clean: bool,
    pub(crate) marks: BTreeMap<u8, LaneMarks>,
    /// The marks as a power cut would leave them.
    pub(crate) settled: BTreeMap<u8, LaneMarks>,
    /// What the connection is set to.
    durability: Durability,
    pub(crate) inbox: u64,
    pub(crate) dropped: u64,
    pub(crate) events_dropped: u64,
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
        Self::open_as(dir, key, vault_key, limits, false)
    }

    /// As [`Self::open_with`], by a release on trial: no step is taken that bars the way back to the release before.
    ///
    /// # Errors
    /// As [`Self::open_with`], and [`StoreError::NoWayBack`].
    pub fn open_on_trial(
        dir: &Path,
        key: &DatabaseKey,
        vault_key: &VaultKey,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        Self::open_as(dir, key, vault_key, limits, true)
    }

    fn open_as(
        dir: &Path,
        key: &DatabaseKey,
        vault_key: &VaultKey,
        limits: Limits,
        on_trial: bool,
    ) -> Result<Self, StoreError> {
        let ballast = Ballast::new(dir, limits.ballast);
        loop {
            match Self::open_once(dir, key, vault_key, limits, on_trial) {
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
        on_trial: bool,
    ) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Folder {
            doing: "making the store's folder",
            path: dir.to_owned(),
            source,
        })?;
        let lock = lock(dir)?;
        let path = dir.join(DATABASE_FILE);
        let mut connection = connect(&path, key)?;
        migrations::bring_up(&mut connection, on_trial)?;
        let mut keyring = Keyring::open(dir, vault_key)?;
        let audit = AuditTrail::open(dir, key)?;
        // Erasures that the last owner could not end come before anything is read.
        vault::finish(&connection, &mut keyring, Timestamp::now())?;
        let adopted = vault::adopt(&mut connection, &mut keyring)?;
        let (epoch, began) = epoch::open(&mut connection, dir, Timestamp::now())?;
        // A file that was never started has no crash behind it; a copy of an earlier time knows no better than one.
        let put_back = epoch::single(&connection, epoch::PUT_BACK)? == Some(1);
        let clean = epoch::single(&connection, "clean")?.is_none_or(|clean| clean == 1) && !put_back;
        let inbox = epoch::single(&connection, "inbox")?.unwrap_or(0).cast_unsigned();
        if !clean {
            vault::reindex(&connection, &mut keyring, Timestamp::now())?;
        }
        connection
            .execute("INSERT OR REPLACE INTO single (name, value) VALUES ('clean', 0)", [])
            .map_err(StoreError::sql("marking the store as in use"))?;
        let restored = put_back || vault::dark(&connection, &keyring)? > 0;
        vault::start_clocks(&connection, Timestamp::now())?;
        // The writes above were durable, and with them everything that the last owner had committed.
        let marks: BTreeMap<_, _> =
            crate::reader::marks(&connection)?.into_iter().map(|marks| (marks.lane, marks)).collect();
        let ballast = Ballast::new(dir, limits.ballast);
        let low = !ballast.keep();
        let pressure = limits.budget.pressure(&marks, Pressure::Free);
        let thinned = Thinned::read(&connection)?;
        let shifts = Shifts::read(&connection)?;
        let carried = Carried::read(&connection, Lane::Telemetry.number())?;
        let noted = Noted::read(&connection)?;
        Ok(Self {
            connection,
            ballast,
            low,
            asked_again: BTreeMap::new(),
            pressure,
            thinned,
            missed: None,
            began,
            put_back,
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
            shifts,
            carried,
            noted,
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

    /// True where the database is a copy of an earlier time and nothing has been stored of what follows from that for the
    /// house: since this opening, or since one before that did not come so far. It ends with a [`crate::Batch::put_back`].
    pub fn is_put_back(&self) -> bool {
        self.put_back
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

    /// True where nobody knows who came and went since: the database is a copy of an earlier time ([`Self::is_put_back`]), or
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

/// A write that makes its commit reach the disk. What it writes is new each time: SQLite leaves a page alone that would not
/// change.
pub(crate) fn force(connection: &Connection) -> rusqlite::Result<()> {
    epoch::set_single(connection, "settled", epoch::id().cast_signed())
}
