//! The audit trail: who looked at personal data, why, at what, when. Each row carries the digest of itself and the row
//! before it (SHA-256), so that a row that is changed, put in or taken out breaks the chain at its place.
//!
//! Why a file of its own: the command line reads the vault while the agent writes the database, and must leave its row
//! before it shows anything. SQLite lets several programs append here, one at a time.
//!
//! What was looked for is not written when it is a name or a telephone number: rows outlive the guests.
//!
//! Bound: [`MOST_ROWS`] rows; the oldest then go, and the digest of the last that went stays as the chain's beginning.

use crate::connect::connect;
use crate::{DatabaseKey, StoreError};
use data_encoding::HEXLOWER;
use engawa_model::Timestamp;
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;

/// The trail's file in the store's folder.
pub const AUDIT_FILE: &str = "audit.db";
/// Rows that are kept.
const MOST_ROWS: i64 = 1_000_000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS audit (
        n     INTEGER PRIMARY KEY,
        at_us INTEGER NOT NULL,
        who   TEXT NOT NULL,
        why   TEXT NOT NULL,
        what  TEXT NOT NULL,
        hash  BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS beginning (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        n    INTEGER NOT NULL,
        hash BLOB NOT NULL
    ) STRICT;";

/// One read, or one erasure.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AuditRow {
    /// Its number, dense from 1.
    pub n: u64,
    /// When.
    pub at: Timestamp,
    /// Who, as they said and as the system knows them.
    pub who: String,
    /// Why.
    pub why: String,
    /// What was looked at or done.
    pub what: String,
}

/// The end of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditHead {
    /// The number of the newest row.
    pub rows: u64,
    /// Its digest, hexadecimal; empty where there is no row.
    pub hash: String,
}

/// Where the chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Tampered {
    /// A row does not fit its digest, or the digest of the row before it.
    #[error("row {0} of the audit trail was changed, or one before it was taken out or put in")]
    Row(u64),
    /// Rows at the end are missing.
    #[error(
        "the audit trail ends at row {ends}, and had row {known} when the cloud was told: its end was cut off"
    )]
    Cut {
        /// The newest row there is.
        ends: u64,
        /// The newest row that was told.
        known: u64,
    },
}

/// The trail.
pub struct AuditTrail {
    connection: Connection,
}

impl AuditTrail {
    /// Opens or makes the trail in `dir`.
    ///
    /// # Errors
    /// A file that is damaged or locked by another key.
    pub fn open(dir: &Path, key: &DatabaseKey) -> Result<Self, StoreError> {
        let connection = connect(&dir.join(AUDIT_FILE), key)?;
        connection.execute_batch(SCHEMA).map_err(StoreError::sql("preparing the audit trail"))?;
        Ok(Self { connection })
    }

    /// Adds a row; durable when it returns.
    ///
    /// # Errors
    /// SQLite's: then what was to be looked at must not be shown.
    pub fn append(
        &mut self,
        at: Timestamp,
        who: &str,
        why: &str,
        what: &str,
    ) -> Result<AuditHead, StoreError> {
        let doing = StoreError::sql("writing the audit trail");
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&doing)?;
        let (before, digest) = end(&transaction).map_err(&doing)?;
        let n = before + 1;
        let hash = digest_of(&digest, n, at.as_microsecond(), [who, why, what]);
        transaction
            .execute(
                "INSERT INTO audit (n, at_us, who, why, what, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![n, at.as_microsecond(), who, why, what, hash],
            )
            .map_err(&doing)?;
        let last_gone = n - MOST_ROWS;
        if last_gone > 0 {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO beginning (only, n, hash) SELECT 1, n, hash FROM audit WHERE n = ?1",
                    [last_gone],
                )
                .and_then(|_| transaction.execute("DELETE FROM audit WHERE n <= ?1", [last_gone]))
                .map_err(&doing)?;
        }
        transaction.commit().map_err(&doing)?;
        Ok(AuditHead { rows: n.cast_unsigned(), hash: HEXLOWER.encode(&hash) })
    }

    /// The end of the chain.
    ///
    /// # Errors
    /// SQLite's.
    pub fn head(&self) -> Result<AuditHead, StoreError> {
        let (n, hash) = end(&self.connection).map_err(StoreError::sql("reading the audit trail's end"))?;
        Ok(AuditHead { rows: n.cast_unsigned(), hash: HEXLOWER.encode(&hash) })
    }

    /// The newest rows, the newest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn newest(&self, most: u32) -> Result<Vec<AuditRow>, StoreError> {
        let doing = StoreError::sql("reading the audit trail");
        let row = |row: &rusqlite::Row<'_>| {
            Ok(AuditRow {
                n: row.get::<_, i64>(0)?.cast_unsigned(),
                at: Timestamp::from_microsecond(row.get(1)?).unwrap_or(Timestamp::UNIX_EPOCH),
                who: row.get(2)?,
                why: row.get(3)?,
                what: row.get(4)?,
            })
        };
        let sql = "SELECT n, at_us, who, why, what FROM audit ORDER BY n DESC LIMIT ?1";
        let mut statement = self.connection.prepare(sql).map_err(&doing)?;
        let rows = statement.query_map([most], row).map_err(&doing)?;
        rows.collect::<Result<_, _>>().map_err(&doing)
    }

    /// Checks every row, and that the row `known`, which was told to the cloud, is in the chain.
    ///
    /// # Errors
    /// SQLite's. What was tampered with is in the inner result.
    pub fn verify(&self, known: Option<&AuditHead>) -> Result<Result<AuditHead, Tampered>, StoreError> {
        let doing = StoreError::sql("reading the audit trail");
        let mut chain = beginning(&self.connection).map_err(&doing)?;
        let sql = "SELECT n, at_us, who, why, what, hash FROM audit ORDER BY n";
        let mut statement = self.connection.prepare(sql).map_err(&doing)?;
        let mut rows = statement.query([]).map_err(&doing)?;
        while let Some(row) = rows.next().map_err(&doing)? {
            let n: i64 = row.get(0).map_err(&doing)?;
            let at_us: i64 = row.get(1).map_err(&doing)?;
            let text = |column| row.get::<_, String>(column).map_err(&doing);
            let (who, why, what) = (text(2)?, text(3)?, text(4)?);
            let stored: Vec<u8> = row.get(5).map_err(&doing)?;
            let digest = digest_of(&chain.1, n, at_us, [&who, &why, &what]);
            let told = known.filter(|known| known.rows == n.cast_unsigned());
            if n != chain.0 + 1
                || stored != digest
                || told.is_some_and(|known| known.hash != HEXLOWER.encode(&digest))
            {
                return Ok(Err(Tampered::Row(n.cast_unsigned())));
            }
            chain = (n, digest);
        }
        let ends = chain.0.cast_unsigned();
        if let Some(known) = known.filter(|known| known.rows > ends) {
            return Ok(Err(Tampered::Cut { ends, known: known.rows }));
        }
        Ok(Ok(AuditHead { rows: ends, hash: HEXLOWER.encode(&chain.1) }))
    }
}

fn beginning(connection: &Connection) -> rusqlite::Result<(i64, Vec<u8>)> {
    let found = connection
        .query_row("SELECT n, hash FROM beginning", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn end(connection: &Connection) -> rusqlite::Result<(i64, Vec<u8>)> {
    let newest = connection
        .query_row("SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    newest.map_or_else(|| beginning(connection), Ok)
}

fn digest_of(before: &[u8], n: i64, at_us: i64, texts: [&str; 3]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(&(before.len() as u64).to_be_bytes());
    context.update(before);
    context.update(&n.to_be_bytes());
    context.update(&at_us.to_be_bytes());
    for text in texts {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(rows: i64) -> (tempfile::TempDir, AuditTrail) {
        let dir = tempfile::tempdir().unwrap();
        let key = DatabaseKey::load_or_create(&dir.path().join("key")).unwrap();
        let mut trail = AuditTrail::open(dir.path(), &key).unwrap();
        for n in 0..rows {
            trail.append(Timestamp::from_second(n).unwrap(), "ann", "lost keys", "find by room").unwrap();
        }
        (dir, trail)
    }

    #[test]
    fn tampering_is_told_with_its_row() {
        for (sql, row) in [
            ("UPDATE audit SET who = 'bob' WHERE n = 3", 3),
            ("UPDATE audit SET at_us = 1 WHERE n = 1", 1),
            ("DELETE FROM audit WHERE n = 2", 3),
            ("UPDATE audit SET hash = x'00' WHERE n = 5", 5),
            ("UPDATE audit SET who = why, why = who WHERE n = 4", 4),
        ] {
            let (_dir, trail) = trail(5);
            assert_eq!(trail.verify(None).unwrap(), Ok(trail.head().unwrap()));
            trail.connection.execute(sql, []).unwrap();
            assert_eq!(trail.verify(None).unwrap(), Err(Tampered::Row(row)), "{sql}");
        }
    }

    #[test]
    fn an_end_that_was_cut_off_or_made_anew_is_noticed_by_what_was_told() {
        let (_dir, mut trail) = trail(5);
        let told = trail.head().unwrap();
        trail.connection.execute("DELETE FROM audit WHERE n > 3", []).unwrap();
        assert!(trail.verify(None).unwrap().is_ok(), "the chain alone can't know");
        assert_eq!(trail.verify(Some(&told)).unwrap(), Err(Tampered::Cut { ends: 3, known: 5 }));
        for _ in 0..4 {
            trail.append(Timestamp::UNIX_EPOCH, "bob", "made up", "nothing").unwrap();
        }
        assert_eq!(trail.verify(Some(&told)).unwrap(), Err(Tampered::Row(5)));
    }

    #[test]
    fn two_programs_append_to_one_chain() {
        let (dir, mut first) = trail(1);
        let key = DatabaseKey::load(&dir.path().join("key")).unwrap();
        let mut second = AuditTrail::open(dir.path(), &key).unwrap();
        for _ in 0..3 {
            first.append(Timestamp::UNIX_EPOCH, "a", "b", "c").unwrap();
            second.append(Timestamp::UNIX_EPOCH, "d", "e", "f").unwrap();
        }
        assert_eq!(first.verify(None).unwrap().unwrap().rows, 7);
    }
}
