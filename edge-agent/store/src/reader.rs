//! Read-only connections: they see the last commit, and never make the writer wait.

use crate::carried::{Carried, CarriedOver};
use crate::epoch::single;
use crate::numbering::{shift_of, stored, told};
use crate::vault::{self, AuditHead, Keyring};
use crate::{DatabaseKey, JournalRow, LaneMarks, StoreError};
use data_encoding::HEXLOWER;
use engawa_model::{Lane, Property, PropertySpec, RestoreError};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::cmp::Reverse;
use std::path::Path;

/// An event that waits for a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingEvent {
    /// Grows with each event.
    pub number: u64,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: String,
}

/// A read-only connection.
pub struct Reader {
    pub(crate) connection: Connection,
}

impl Reader {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// A file that is absent, damaged, or locked by another key.
    pub fn open(path: &Path, key: &DatabaseKey) -> Result<Self, StoreError> {
        Ok(Self { connection: connect_read_only(path, key)? })
    }

    /// Rows of `lane` after `after`, in order; at most `max_rows`, and but for the first no more than
    /// `max_bytes` of bodies. Numbers that have no row are left out: what was thinned away is told by the row after it
    /// ([`JournalRow::tells_from`]), and what is missing before that was acknowledged and swept away ([`Self::oldest`]).
    ///
    /// # Errors
    /// SQLite's.
    pub fn journal(
        &self,
        lane: u8,
        after: u64,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Vec<JournalRow>, StoreError> {
        let doing = StoreError::sql("reading the journal");
        let shift = shift_of(&self.connection, lane).map_err(&doing)?;
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT seq, at_us, kind, body FROM journal WHERE lane = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )
            .map_err(&doing)?;
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![lane, stored(after, shift), limit]).map_err(&doing)?;
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        while let Some(row) = rows.next().map_err(&doing)? {
            let body: Vec<u8> = row.get(3).map_err(&doing)?;
            bytes = bytes.saturating_add(body.len());
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push(JournalRow {
                lane,
                seq: told(row.get(0).map_err(&doing)?, shift),
                at_micros: row.get(1).map_err(&doing)?,
                kind: row.get(2).map_err(&doing)?,
                body,
            });
        }
        Ok(found)
    }

    /// The newest rows over all lanes, newest first, that happened before `before` (microseconds).
    ///
    /// # Errors
    /// SQLite's.
    pub fn latest(&self, before: i64, max_rows: usize) -> Result<Vec<JournalRow>, StoreError> {
        let mut found = self.by_time(
            "SELECT lane, seq, at_us, kind, body FROM journal WHERE lane = ?1 AND at_us < ?2
             ORDER BY at_us DESC, seq DESC LIMIT ?3",
            before,
            max_rows,
        )?;
        found.sort_by_key(|row| (Reverse(row.at_micros), row.lane, Reverse(row.seq)));
        found.truncate(max_rows);
        Ok(found)
    }

    /// The oldest rows over all lanes, oldest first, that happened after `after` (microseconds): at most `max_rows`,
    /// and what else happened in the moment of the last of them, so that the next page begins cleanly after it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn since(&self, after: i64, max_rows: usize) -> Result<Vec<JournalRow>, StoreError> {
        let mut found = self.by_time(
            "SELECT lane, seq, at_us, kind, body FROM journal WHERE lane = ?1 AND at_us > ?2
             AND at_us <= ifnull((SELECT at_us FROM journal WHERE lane = ?1 AND at_us > ?2
                                  ORDER BY at_us, seq LIMIT 1 OFFSET ?3 - 1), 9223372036854775807)
             ORDER BY at_us, seq",
            after,
            max_rows.max(1),
        )?;
        found.sort_by_key(|row| (row.at_micros, row.lane, row.seq));
        if let Some(last) = found.get(max_rows.max(1) - 1).map(|row| row.at_micros) {
            found.retain(|row| row.at_micros <= last);
        }
        Ok(found)
    }

    /// Runs `sql` for each lane: the index is by lane and time.
    fn by_time(&self, sql: &str, at: i64, max_rows: usize) -> Result<Vec<JournalRow>, StoreError> {
        let doing = StoreError::sql("reading the journal by time");
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql).map_err(&doing)?;
        let mut found = Vec::new();
        for lane in Lane::ALL {
            let shift = shift_of(&self.connection, lane.number()).map_err(&doing)?;
            let rows = statement
                .query_map(params![lane.number(), at, limit], |row| {
                    Ok(JournalRow {
                        lane: row.get(0)?,
                        seq: told(row.get(1)?, shift),
                        at_micros: row.get(2)?,
                        kind: row.get(3)?,
                        body: row.get(4)?,
                    })
                })
                .map_err(&doing)?;
            for row in rows {
                found.push(row.map_err(&doing)?);
            }
        }
        Ok(found)
    }

    /// Events that wait for `broker`, oldest first, after the number `after`.
    ///
    /// # Errors
    /// SQLite's.
    pub fn events(&self, broker: &str, after: u64, most: usize) -> Result<Vec<WaitingEvent>, StoreError> {
        let doing = StoreError::sql("reading events that wait");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT number, topic, payload FROM event WHERE broker = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
            )
            .map_err(&doing)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let event = |row: &rusqlite::Row<'_>| {
            let number = row.get::<_, i64>(0)?.cast_unsigned();
            Ok(WaitingEvent { number, topic: row.get(1)?, payload: row.get(2)? })
        };
        let rows = statement.query_map(params![broker, after.cast_signed(), most], event).map_err(&doing)?;
        rows.collect::<Result<_, _>>().map_err(&doing)
    }

    /// The stored property, as of the last commit, without the personal data of its guests: those are read through
    /// [`crate::vault::Viewer`].
    ///
    /// # Errors
    /// A state that can't be read.
    pub fn load(&self, spec: PropertySpec) -> Result<Result<Property, RestoreError>, StoreError> {
        load(&self.connection, spec, None)
    }

    /// The end of the audit trail, as it was last told to the cloud.
    ///
    /// # Errors
    /// SQLite's.
    pub fn audit_told(&self) -> Result<Option<AuditHead>, StoreError> {
        audit_told(&self.connection)
    }

    ///
    /// # Errors
    /// SQLite's.
    pub fn oldest(&self, lane: u8) -> Result<Option<u64>, StoreError> {
        Ok(self.journal(lane, 0, 1, 0)?.first().map(JournalRow::tells_from))
    }

    /// How many rows of `lane` there are after `after`. Goes through the index of the lane.
    ///
    /// # Errors
    /// SQLite's.
    pub fn count(&self, lane: u8, after: u64) -> Result<u64, StoreError> {
        let doing = StoreError::sql("counting rows of the journal");
        let shift = shift_of(&self.connection, lane).map_err(&doing)?;
        // The index by time has the numbers, too, and is a fraction of the rows.
        let sql = "SELECT count(*) FROM journal INDEXED BY journal_by_time WHERE lane = ?1 AND seq > ?2";
        let count = self.connection.query_row(sql, params![lane, stored(after, shift)], |row| row.get(0));
        count.map(i64::cast_unsigned).map_err(doing)
    }

    /// The id of the journal's life; `None`: it was never opened.
    ///
    /// # Errors
    /// SQLite's.
    pub fn epoch(&self) -> Result<Option<u64>, StoreError> {
        Ok(single(&self.connection, "epoch")?.map(i64::cast_unsigned))
    }

    /// What this life of the journal has from the one before, where there was one.
    ///
    /// # Errors
    /// SQLite's.
    pub fn carried_over(&self) -> Result<Option<CarriedOver>, StoreError> {
        let Some(epoch) = single(&self.connection, "previous")?.map(i64::cast_unsigned) else {
            return Ok(None);
        };
        Ok(Some(CarriedOver { epoch, lanes: Carried::all(&self.connection)? }))
    }

    /// How far each lane is.
    ///
    /// # Errors
    /// SQLite's.
    pub fn marks(&self) -> Result<Vec<LaneMarks>, StoreError> {
        marks(&self.connection)
    }
}

/// A connection for reading.
#[allow(clippy::disallowed_methods, reason = "the one place that opens reading connections")]
pub(crate) fn connect_read_only(path: &Path, key: &DatabaseKey) -> Result<Connection, StoreError> {
    let fault = |source| StoreError::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection.execute_batch(&key.pragma()).map_err(fault)?;
    connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -512;").map_err(fault)?;
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())).map_err(fault)?;
    Ok(connection)
}

/// The stored property; with `keyring` its guests' personal data, too.
pub(crate) fn load(
    connection: &Connection,
    spec: PropertySpec,
    keyring: Option<&Keyring>,
) -> Result<Result<Property, RestoreError>, StoreError> {
    let doing = StoreError::sql("reading the stored state");
    let mut statement = connection.prepare("SELECT kind, key, body FROM state").map_err(&doing)?;
    let mut rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .and_then(Iterator::collect::<Result<Vec<(String, String, Vec<u8>)>, _>>)
        .map_err(&doing)?;
    if let Some(keyring) = keyring {
        for (kind, key, body) in &mut rows {
            if let Some(kind) = vault::personal_kind(kind) {
                vault::unseal(connection, keyring, kind, key, body)?;
            }
        }
    }
    Ok(Property::restore(spec, rows.iter().map(|(k, key, body)| (k.as_str(), key.as_str(), body.as_slice()))))
}

pub(crate) fn audit_told(connection: &Connection) -> Result<Option<AuditHead>, StoreError> {
    let head = |row: &rusqlite::Row<'_>| {
        let (rows, hash): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        Ok(AuditHead { rows: rows.cast_unsigned(), hash: HEXLOWER.encode(&hash) })
    };
    connection
        .query_row("SELECT rows, hash FROM audit_head", [], head)
        .optional()
        .map_err(StoreError::sql("reading what was told of the audit trail"))
}

pub(crate) fn marks(connection: &Connection) -> Result<Vec<LaneMarks>, StoreError> {
    marks_in(connection).map_err(StoreError::sql("reading the lanes' marks"))
}

pub(crate) fn marks_in(connection: &Connection) -> rusqlite::Result<Vec<LaneMarks>> {
    let mut statement = connection.prepare_cached("SELECT lane, head, acked, sent, bytes FROM lane")?;
    let number = |row: &rusqlite::Row<'_>, column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let marks = statement.query_map([], |row| {
        Ok(LaneMarks {
            lane: row.get(0)?,
            head: number(row, 1)?,
            acked: number(row, 2)?,
            sent: number(row, 3)?,
            bytes: number(row, 4)?,
        })
    })?;
    marks.collect()
}
