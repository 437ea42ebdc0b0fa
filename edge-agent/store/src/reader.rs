//! Read-only connections: they see the last commit, and never make the writer wait.

use crate::{DatabaseKey, JournalRow, LaneMarks, StoreError};
use engawa_model::{Property, PropertySpec, RestoreError};
use rusqlite::{Connection, OpenFlags, params};
use std::path::Path;

/// A read-only connection.
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// A file that is absent, damaged, or locked by another key.
    #[allow(clippy::disallowed_methods, reason = "the one place that opens reading connections")]
    pub fn open(path: &Path, key: &DatabaseKey) -> Result<Self, StoreError> {
        let fault = |source| StoreError::Open { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
        connection.execute_batch(&key.pragma()).map_err(fault)?;
        connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -512;").map_err(fault)?;
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())).map_err(fault)?;
        Ok(Self { connection })
    }

    /// Rows of `lane` after `after`, in order; at most `max_rows`, and but for the first no more than
    /// `max_bytes` of bodies.
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
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT seq, at_us, kind, body FROM journal WHERE lane = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )
            .map_err(&doing)?;
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![lane, after.cast_signed(), limit]).map_err(&doing)?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(&doing)? {
            let body: Vec<u8> = row.get(3).map_err(&doing)?;
            bytes += body.len();
            if bytes > max_bytes && !found.is_empty() {
                break;
            }
            found.push(JournalRow {
                lane,
                seq: row.get::<_, i64>(0).map_err(&doing)?.cast_unsigned(),
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
        let doing = StoreError::sql("reading the newest rows of the journal");
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT lane, seq, at_us, kind, body FROM journal WHERE at_us < ?1 ORDER BY at_us DESC, lane, seq DESC LIMIT ?2",
            )
            .map_err(&doing)?;
        statement
            .query_map(params![before, limit], |row| {
                Ok(JournalRow {
                    lane: row.get(0)?,
                    seq: row.get::<_, i64>(1)?.cast_unsigned(),
                    at_micros: row.get(2)?,
                    kind: row.get(3)?,
                    body: row.get(4)?,
                })
            })
            .and_then(Iterator::collect)
            .map_err(&doing)
    }

    /// The stored property, as of the last commit.
    ///
    /// # Errors
    /// A state that can't be read.
    pub fn load(&self, spec: PropertySpec) -> Result<Result<Property, RestoreError>, StoreError> {
        load(&self.connection, spec)
    }

    /// How far each lane is.
    ///
    /// # Errors
    /// SQLite's.
    pub fn marks(&self) -> Result<Vec<LaneMarks>, StoreError> {
        marks(&self.connection)
    }
}

pub(crate) fn load(
    connection: &Connection,
    spec: PropertySpec,
) -> Result<Result<Property, RestoreError>, StoreError> {
    let doing = StoreError::sql("reading the stored state");
    let mut statement = connection.prepare("SELECT kind, key, body FROM state").map_err(&doing)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .and_then(Iterator::collect::<Result<Vec<(String, String, Vec<u8>)>, _>>)
        .map_err(&doing)?;
    Ok(Property::restore(spec, rows.iter().map(|(k, key, body)| (k.as_str(), key.as_str(), body.as_slice()))))
}

pub(crate) fn marks(connection: &Connection) -> Result<Vec<LaneMarks>, StoreError> {
    let doing = StoreError::sql("reading the lanes' marks");
    let mut statement = connection.prepare_cached("SELECT lane, head, acked FROM lane").map_err(&doing)?;
    statement
        .query_map([], |row| {
            Ok(LaneMarks {
                lane: row.get(0)?,
                head: row.get::<_, i64>(1)?.cast_unsigned(),
                acked: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
        .and_then(Iterator::collect)
        .map_err(&doing)
}
