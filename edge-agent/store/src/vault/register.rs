//! The guest register that some laws ask for (Japan: 旅館業法, article 6, three years): a record of its own, with its own
//! file, key and clock. Off by default.
//!
//! Erasing a guest elsewhere does not touch it: a law that asks for the register goes before the wish to be forgotten
//! (GDPR, article 17(3)(b)). Its rows go by themselves when their time is over.

use crate::connect::connect;
use crate::key::not_lost;
use crate::{DatabaseKey, KeyError, StoreError};
use engawa_model::{Personal, Stay, StayId, Timestamp};
use rusqlite::{Connection, params};
use std::path::Path;

/// The register's file in the store's folder.
pub const REGISTER_FILE: &str = "register.db";

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entry (
        stay       TEXT NOT NULL,
        since_us   INTEGER NOT NULL,
        left_us    INTEGER,
        room       TEXT NOT NULL,
        arrival    TEXT,
        departure  TEXT,
        title      TEXT,
        first_name TEXT,
        name       TEXT,
        phone      TEXT,
        email      TEXT,
        PRIMARY KEY (stay, since_us)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX IF NOT EXISTS entry_by_time ON entry (since_us);";

/// One guest's entry.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RegisterEntry {
    /// The PMS's reservation number.
    pub reservation: StayId,
    /// When the house learnt of the check-in.
    pub since: Timestamp,
    /// When the guest left.
    pub left: Option<Timestamp>,
    /// The last room.
    pub room: String,
    /// Day of arrival.
    pub arrival: Option<String>,
    /// Day of departure.
    pub departure: Option<String>,
    /// Title.
    pub title: Option<Personal<String>>,
    /// First name.
    pub first_name: Option<Personal<String>>,
    /// Surname.
    pub name: Option<Personal<String>>,
    /// Telephone number: the law's word is contact.
    pub phone: Option<Personal<String>>,
    /// Address for mail.
    pub email: Option<Personal<String>>,
}

/// The register.
pub struct Register {
    connection: Connection,
}

impl Register {
    /// The register's key from `path`; makes one where there is none and the folder `dir` has no register yet.
    ///
    /// # Errors
    /// As [`DatabaseKey::load_or_create`], and a key that is lost.
    pub fn key_for(path: &Path, dir: &Path) -> Result<DatabaseKey, KeyError> {
        let without =
            "alone: what the law asks this house to keep is then gone, and the register begins anew";
        not_lost(path, &dir.join(REGISTER_FILE), without)?;
        DatabaseKey::load_or_create(path)
    }

    /// Opens or makes the register in `dir`.
    ///
    /// # Errors
    /// A file that is damaged or locked by another key.
    pub fn open(dir: &Path, key: &DatabaseKey) -> Result<Self, StoreError> {
        let connection = connect(&dir.join(REGISTER_FILE), key)?;
        let doing = StoreError::sql("preparing the guest register");
        connection.execute_batch("PRAGMA secure_delete = ON").map_err(&doing)?;
        connection.execute_batch(SCHEMA).map_err(&doing)?;
        Ok(Self { connection })
    }

    /// A guest is here. What is not told any more (also because it was erased elsewhere) stays as it was told.
    pub(crate) fn enter(&self, stay: &Stay) -> Result<(), StoreError> {
        let text = |field: &Option<Personal<String>>| field.as_ref().map(|field| field.reveal().clone());
        let day = |day: Option<engawa_model::Date>| day.map(|day| day.to_string());
        self.connection
            .prepare_cached(
                "INSERT INTO entry (stay, since_us, room, arrival, departure, title, first_name, name, phone, email)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (stay, since_us) DO UPDATE SET room = excluded.room,
                 arrival = coalesce(excluded.arrival, arrival), departure = coalesce(excluded.departure, departure),
                 title = coalesce(excluded.title, title), first_name = coalesce(excluded.first_name, first_name),
                 name = coalesce(excluded.name, name), phone = coalesce(excluded.phone, phone),
                 email = coalesce(excluded.email, email)",
            )
            .and_then(|mut put| {
                put.execute(params![
                    stay.id.as_str(),
                    stay.since.as_microsecond(),
                    stay.room.as_str(),
                    day(stay.arrival),
                    day(stay.departure),
                    text(&stay.title),
                    text(&stay.first_name),
                    text(&stay.name),
                    text(&stay.phone),
                    text(&stay.email)
                ])
            })
            .map(drop)
            .map_err(StoreError::sql("writing the guest register"))
    }

    /// A guest has left.
    pub(crate) fn leave(&self, stay: &str, now: Timestamp) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE entry SET left_us = ?2 WHERE stay = ?1 AND left_us IS NULL")
            .and_then(|mut put| put.execute(params![stay, now.as_microsecond()]))
            .map(drop)
            .map_err(StoreError::sql("writing the guest register"))
    }

    /// Removes the entries of guests who left before `before`; how many.
    ///
    /// # Errors
    /// SQLite's.
    pub fn sweep(&self, before: Timestamp) -> Result<usize, StoreError> {
        let doing = StoreError::sql("removing old entries of the guest register");
        let gone = self
            .connection
            .execute("DELETE FROM entry WHERE left_us < ?1", [before.as_microsecond()])
            .map_err(&doing)?;
        if gone > 0 {
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(&doing)?;
        }
        Ok(gone)
    }

    /// The entries of guests who came in a time, the oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn entries(&self, from: Timestamp, to: Timestamp) -> Result<Vec<RegisterEntry>, StoreError> {
        let (from, to) = (from.as_microsecond(), to.as_microsecond());
        self.read("since_us >= ?1 AND since_us < ?2", params![from, to])
    }

    /// The entries of a reservation number, the oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn entries_of(&self, stay: &StayId) -> Result<Vec<RegisterEntry>, StoreError> {
        self.read("stay = ?1", params![stay.as_str()])
    }

    fn read(&self, which: &str, of: impl rusqlite::Params) -> Result<Vec<RegisterEntry>, StoreError> {
        let doing = StoreError::sql("reading the guest register");
        let time = |micros| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        let entry = |row: &rusqlite::Row<'_>| {
            let personal = |column| row.get::<_, Option<String>>(column).map(|text| text.map(Personal::new));
            Ok(RegisterEntry {
                reservation: StayId::new(row.get::<_, String>(0)?),
                since: time(row.get(1)?),
                left: row.get::<_, Option<i64>>(2)?.map(time),
                room: row.get(3)?,
                arrival: row.get(4)?,
                departure: row.get(5)?,
                title: personal(6)?,
                first_name: personal(7)?,
                name: personal(8)?,
                phone: personal(9)?,
                email: personal(10)?,
            })
        };
        let mut statement = self
            .connection
            .prepare(&format!(
                "SELECT stay, since_us, left_us, room, arrival, departure, title, first_name, name, phone, email
                 FROM entry WHERE {which} ORDER BY since_us"
            ))
            .map_err(&doing)?;
        let rows = statement.query_map(of, entry).map_err(&doing)?;
        rows.collect::<Result<_, _>>().map_err(&doing)
    }
}
