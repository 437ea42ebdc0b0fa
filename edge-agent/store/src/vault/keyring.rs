//! The file of the stays' keys and of the blind indexes: outside the backups, on purpose.

use super::seal::{self, Place};
use super::{RecordId, VaultKey};
use crate::StoreError;
use crate::connect::connect;
use crate::reader::connect_read_only;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;
use std::path::Path;
use zeroize::Zeroizing;

/// The file of the stays' keys in the store's folder. No backup takes it.
pub const KEYS_FILE: &str = "vault-keys.db";

/// Written once, so a step of its own is not needed yet; `user_version` is there for the next one.
const SCHEMA: &str = "
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS subject (
        n       INTEGER PRIMARY KEY AUTOINCREMENT,
        id      BLOB NOT NULL UNIQUE,
        wrapped BLOB NOT NULL,
        made_us INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS token (
        token INTEGER NOT NULL,
        n     INTEGER NOT NULL,
        PRIMARY KEY (token, n)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX IF NOT EXISTS token_by_subject ON token (n);
    CREATE TABLE IF NOT EXISTS destroyed (
        id    BLOB PRIMARY KEY,
        at_us INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    COMMIT;";
const VERSION: i64 = 1;

/// The stays' keys.
pub(crate) struct Keyring {
    connection: Connection,
    pub(crate) key: VaultKey,
}

/// What is written together.
#[derive(Default)]
pub(crate) struct KeyWrites {
    pub(crate) keys: Vec<(RecordId, Zeroizing<[u8; 32]>)>,
    pub(crate) tokens: Vec<(RecordId, BTreeSet<i64>)>,
}

fn of_vault(error: StoreError) -> StoreError {
    match error {
        StoreError::Open { path, source } => StoreError::Vault { path, source },
        other => other,
    }
}

fn place(id: &RecordId) -> Place<'_> {
    Place { table: "subject", column: "wrapped", row: [id, b"", b""], version: 1 }
}

impl Keyring {
    /// Opens or makes the file in `dir`, for writing.
    pub(crate) fn open(dir: &Path, key: &VaultKey) -> Result<Self, StoreError> {
        let connection = connect(&dir.join(KEYS_FILE), key.file()).map_err(of_vault)?;
        let doing = StoreError::sql("preparing the guests' keys");
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&doing)?;
        if found > VERSION {
            let number = |version: i64| usize::try_from(version).unwrap_or(0);
            return Err(StoreError::Newer { found: number(found), known: number(VERSION) });
        }
        // What is deleted is overwritten with zeros: a key that was destroyed is in no free page.
        connection.execute_batch("PRAGMA secure_delete = ON").map_err(&doing)?;
        if found < VERSION {
            connection.execute_batch(SCHEMA).map_err(&doing)?;
            connection.pragma_update(None, "user_version", VERSION).map_err(&doing)?;
        }
        Ok(Self { connection, key: key.clone() })
    }

    /// Opens the file in `dir`, for reading.
    pub(crate) fn read(dir: &Path, key: &VaultKey) -> Result<Self, StoreError> {
        let connection = connect_read_only(&dir.join(KEYS_FILE), key.file()).map_err(of_vault)?;
        Ok(Self { connection, key: key.clone() })
    }

    /// The key of a record; `None` where there is none (any more).
    pub(crate) fn data_key(&self, id: &RecordId) -> Result<Option<Zeroizing<[u8; 32]>>, StoreError> {
        let doing = StoreError::sql("reading a stay's key");
        let wrapped: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT wrapped FROM subject WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
            .map_err(&doing)?;
        let Some(wrapped) = wrapped else { return Ok(None) };
        let damaged = || StoreError::Damaged("a stay's key");
        let opened = seal::open(self.key.wrap(), &place(id), &wrapped).ok_or_else(damaged)?;
        let key: [u8; 32] = opened.as_slice().try_into().map_err(|_| damaged())?;
        Ok(Some(Zeroizing::new(key)))
    }

    /// True where the key of a record was destroyed on purpose.
    pub(crate) fn was_destroyed(&self, id: &RecordId) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached("SELECT 1 FROM destroyed WHERE id = ?1")
            .and_then(|mut statement| statement.exists([id]))
            .map_err(StoreError::sql("reading what was erased"))
    }

    /// Records with `token`, the newest first, older than the number `before`.
    pub(crate) fn with_token(
        &self,
        token: i64,
        before: i64,
        most: u32,
    ) -> Result<Vec<(i64, RecordId)>, StoreError> {
        let doing = StoreError::sql("looking a guest up");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT token.n, subject.id FROM token JOIN subject ON subject.n = token.n
                 WHERE token.token = ?1 AND token.n < ?2 ORDER BY token.n DESC LIMIT ?3",
            )
            .map_err(&doing)?;
        let rows = statement
            .query_map(params![token, before, most], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(&doing)?;
        rows.collect::<Result<_, _>>().map_err(&doing)
    }

    /// Writes new keys and what their records are found by. Durable when it returns.
    pub(crate) fn write(&mut self, writes: &KeyWrites, now_us: i64) -> Result<(), StoreError> {
        if writes.keys.is_empty() && writes.tokens.is_empty() {
            return Ok(());
        }
        let doing = StoreError::sql("writing the guests' keys");
        let transaction = self.connection.transaction().map_err(&doing)?;
        for (id, key) in &writes.keys {
            let wrapped = seal::seal(self.key.wrap(), &place(id), key.as_slice())?;
            transaction
                .prepare_cached("INSERT INTO subject (id, wrapped, made_us) VALUES (?1, ?2, ?3)")
                .and_then(|mut put| put.execute(params![id, wrapped, now_us]))
                .map_err(&doing)?;
        }
        for (id, tokens) in &writes.tokens {
            let n: i64 = transaction
                .prepare_cached("SELECT n FROM subject WHERE id = ?1")
                .and_then(|mut statement| statement.query_row([id], |row| row.get(0)))
                .map_err(&doing)?;
            let mut gone = transaction.prepare_cached("DELETE FROM token WHERE n = ?1").map_err(&doing)?;
            gone.execute([n]).map_err(&doing)?;
            let mut put =
                transaction.prepare_cached("INSERT INTO token (token, n) VALUES (?1, ?2)").map_err(&doing)?;
            for token in tokens {
                put.execute([*token, n]).map_err(&doing)?;
            }
        }
        transaction.commit().map_err(&doing)
    }

    /// Destroys the keys of `ids`, and what their records are found by. True once no file holds them any more; false
    /// where somebody who reads keeps the log from being emptied: to be tried again.
    pub(crate) fn destroy(&mut self, ids: &[RecordId], now_us: i64) -> Result<bool, StoreError> {
        let doing = StoreError::sql("destroying a stay's key");
        let transaction = self.connection.transaction().map_err(&doing)?;
        for id in ids {
            for statement in [
                "DELETE FROM token WHERE n = (SELECT n FROM subject WHERE id = ?1)",
                "DELETE FROM subject WHERE id = ?1",
            ] {
                transaction
                    .prepare_cached(statement)
                    .and_then(|mut statement| statement.execute([id]))
                    .map_err(&doing)?;
            }
            transaction
                .prepare_cached("INSERT OR IGNORE INTO destroyed (id, at_us) VALUES (?1, ?2)")
                .and_then(|mut statement| statement.execute(params![id, now_us]))
                .map_err(&doing)?;
        }
        transaction.commit().map_err(&doing)?;
        // The log still holds pages with the key: it is carried over and cut to nothing.
        let busy: i64 = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(&doing)?;
        Ok(busy == 0)
    }

    /// Forgets what was destroyed before `before_us`, and keys made before it whose record no file has any more.
    pub(crate) fn sweep(
        &mut self,
        before_us: i64,
        known: impl Fn(&RecordId) -> Result<bool, StoreError>,
        most: u32,
    ) -> Result<(), StoreError> {
        let doing = StoreError::sql("sweeping the guests' keys");
        self.connection.execute("DELETE FROM destroyed WHERE at_us < ?1", [before_us]).map_err(&doing)?;
        let old: Vec<RecordId> = self
            .connection
            .prepare_cached("SELECT id FROM subject WHERE made_us < ?1 ORDER BY n LIMIT ?2")
            .and_then(|mut statement| {
                statement.query_map(params![before_us, most], |row| row.get(0))?.collect()
            })
            .map_err(&doing)?;
        let mut orphans = Vec::new();
        for id in old {
            if !known(&id)? {
                orphans.push(id);
            }
        }
        if !orphans.is_empty() {
            self.destroy(&orphans, before_us)?;
        }
        Ok(())
    }
}
