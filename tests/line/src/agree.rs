//! Whether gateway and cloud agree, row by row.

use anyhow::{Context, bail, ensure};
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The gateway's database, and its key beside it.
const DATABASE: &str = "engawa.db";
const KEY: &str = "key";
/// How many differences are told.
const TOLD: usize = 5;

/// A row's time, kind and body.
type Body = (i64, String, Vec<u8>);

/// What one end holds.
#[derive(Debug, Default)]
pub struct End {
    /// The journal's life.
    pub epoch: i64,
    /// The rows by lane and number.
    pub rows: BTreeMap<(u8, u64), Body>,
    /// By lane: how far it is written (the gateway), or has come (the cloud).
    pub heads: BTreeMap<u8, u64>,
    /// By lane, at the gateway: how far the cloud has said that it has it.
    pub acked: BTreeMap<u8, u64>,
}

/// The databases of a house.
#[derive(Clone, Debug)]
pub struct Both {
    /// The gateway's store.
    pub store: PathBuf,
    /// The cloud's database.
    pub cloud: PathBuf,
    /// The gateway's name.
    pub gateway: String,
}

/// The first number of the gap that a row of the cloud tells of.
fn gap_from((_, kind, body): &Body) -> Option<u64> {
    let body: Option<serde_json::Value> =
        (kind == "gap").then(|| serde_json::from_slice(body).ok()).flatten();
    body?["from"].as_u64()
}

/// Opens a database of one of the programs for reading, or for writing while its program is stopped.
///
/// # Errors
/// SQLite's.
#[allow(clippy::disallowed_methods, reason = "looked at from outside, not through the store")]
pub fn open(path: &Path, key: Option<&Path>, write: bool) -> anyhow::Result<Connection> {
    let flags = if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .with_context(|| format!("opening {}", path.display()))?;
    if let Some(key) = key {
        let digits = std::fs::read_to_string(key).with_context(|| format!("reading {}", key.display()))?;
        connection.execute_batch(&format!("PRAGMA key = \"x'{}'\";", digits.trim()))?;
    }
    connection.execute_batch("PRAGMA busy_timeout = 5000")?;
    Ok(connection)
}

/// Opens the gateway's database in the folder `store`.
///
/// # Errors
/// SQLite's.
pub fn open_store(store: &Path, write: bool) -> anyhow::Result<Connection> {
    open(&store.join(DATABASE), Some(&store.join(KEY)), write)
}

fn number<T: TryFrom<i64>>(value: i64) -> rusqlite::Result<T> {
    T::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, value))
}

impl Both {
    /// What the gateway holds, as of one moment.
    ///
    /// # Errors
    /// SQLite's.
    pub fn edge(&self) -> anyhow::Result<End> {
        let mut connection = open_store(&self.store, false)?;
        let snapshot = connection.transaction()?;
        let epoch =
            snapshot.query_row("SELECT value FROM single WHERE name = 'epoch'", [], |row| row.get(0))?;
        let mut end = End { epoch, ..End::default() };
        let mut lanes = snapshot.prepare("SELECT lane, head, acked FROM lane")?;
        let mut rows = lanes.query([])?;
        while let Some(row) = rows.next()? {
            let lane = number(row.get(0)?)?;
            end.heads.insert(lane, number(row.get(1)?)?);
            end.acked.insert(lane, number(row.get(2)?)?);
        }
        drop(rows);
        drop(lanes);
        let mut journal = snapshot.prepare(
            "SELECT j.lane, j.seq - l.shift, j.at_us, j.kind, CAST(j.body AS BLOB) FROM journal j
                JOIN lane l ON l.lane = j.lane WHERE j.seq > l.shift",
        )?;
        read(&mut journal, rusqlite::params![], &mut end)?;
        Ok(end)
    }

    /// What the cloud holds of the journal's life `epoch`, as of one moment.
    ///
    /// # Errors
    /// SQLite's.
    pub fn cloud(&self, epoch: i64) -> anyhow::Result<End> {
        let mut connection = open(&self.cloud, None, false)?;
        let snapshot = connection.transaction()?;
        let mut end = End { epoch, ..End::default() };
        let mut marks = snapshot.prepare("SELECT lane, seq FROM mark WHERE gateway = ?1 AND epoch = ?2")?;
        let mut rows = marks.query(rusqlite::params![self.gateway, epoch])?;
        while let Some(row) = rows.next()? {
            end.heads.insert(number(row.get(0)?)?, number(row.get(1)?)?);
        }
        drop(rows);
        drop(marks);
        let mut journal = snapshot.prepare(
            "SELECT lane, seq, at_micros, kind, CAST(body AS BLOB) FROM journal WHERE gateway = ?1 AND epoch = ?2",
        )?;
        read(&mut journal, rusqlite::params![self.gateway, epoch], &mut end)?;
        Ok(end)
    }

    /// What must hold at any moment, whatever is broken: what the gateway was told is durable is in the cloud, as it was
    /// written; the cloud's lanes are dense, and have nothing that the gateway has not.
    ///
    /// # Errors
    /// It does not hold, or SQLite's.
    pub fn agree_so_far(&self) -> anyhow::Result<usize> {
        // In this order: an acknowledgement is of what the cloud had before.
        let before = self.edge()?;
        let cloud = self.cloud(before.epoch)?;
        let after = self.edge()?;
        let mut wrong = Vec::new();
        for ((lane, seq), row) in &before.rows {
            if *seq <= before.acked.get(lane).copied().unwrap_or(0)
                && cloud.rows.get(&(*lane, *seq)) != Some(row)
            {
                let found = cloud.rows.get(&(*lane, *seq));
                wrong.push(format!("lane {lane} row {seq}: acknowledged {row:?}, the cloud has {found:?}"));
            }
        }
        for (at, row) in &cloud.rows {
            // Rows that were acknowledged a day ago may be gone from the gateway.
            if after.rows.get(at).is_some_and(|edge| edge != row) {
                wrong.push(format!("lane {} row {}: not as it was written", at.0, at.1));
            }
        }
        for (lane, head) in &cloud.heads {
            // Each number has a row, or is in the gap that a row tells of.
            let mut last = 0;
            for ((_, seq), row) in cloud.rows.range((*lane, 0)..=(*lane, u64::MAX)) {
                let first = gap_from(row).unwrap_or(*seq);
                if first != last + 1 {
                    wrong.push(format!("lane {lane}: after {last} comes {first}"));
                }
                last = *seq;
            }
            if last != *head {
                wrong.push(format!("lane {lane}: the mark is {head}, with rows up to {last}"));
            }
            let edge = after.heads.get(lane).copied().unwrap_or(0);
            if *head > edge {
                wrong.push(format!("lane {lane}: the cloud has {head}, the gateway only {edge}"));
            }
        }
        ensure!(wrong.is_empty(), "they differ in {}: {:#?}", wrong.len(), &wrong[..wrong.len().min(TOLD)]);
        Ok(cloud.rows.len())
    }

    /// As [`Self::agree_so_far`], and nothing is under way: the cloud has every row, and the gateway knows it.
    ///
    /// # Errors
    /// It does not hold, or SQLite's.
    pub fn agree(&self) -> anyhow::Result<usize> {
        let rows = self.agree_so_far()?;
        let edge = self.edge()?;
        let cloud = self.cloud(edge.epoch)?;
        for (lane, head) in &edge.heads {
            let (acked, mark) = (edge.acked.get(lane).copied(), cloud.heads.get(lane).copied());
            if acked != Some(*head) || mark.unwrap_or(0) != *head {
                bail!("lane {lane}: written up to {head}, acknowledged {acked:?}, in the cloud {mark:?}");
            }
        }
        Ok(rows)
    }

    /// How many rows were written or received half a year or more from now.
    ///
    /// # Errors
    /// SQLite's.
    pub fn from_another_year(&self) -> anyhow::Result<i64> {
        let sql = "SELECT count(*) FROM journal WHERE
            abs(at_micros - unixepoch() * 1000000) > 15768000000000
            OR abs(received_micros - unixepoch() * 1000000) > 15768000000000";
        Ok(open(&self.cloud, None, false)?.query_row(sql, [], |row| row.get(0))?)
    }

    /// Both files are sound.
    ///
    /// # Errors
    /// One is not.
    pub fn sound(&self) -> anyhow::Result<()> {
        for connection in [open_store(&self.store, false)?, open(&self.cloud, None, false)?] {
            let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            ensure!(said == "ok", "{:?}: {said}", connection.path());
        }
        Ok(())
    }
}

fn read(
    journal: &mut rusqlite::Statement<'_>,
    of: &[&dyn rusqlite::ToSql],
    end: &mut End,
) -> anyhow::Result<()> {
    let mut rows = journal.query(of)?;
    while let Some(row) = rows.next()? {
        let at = (number(row.get(0)?)?, number(row.get(1)?)?);
        end.rows.insert(at, (row.get(2)?, row.get(3)?, row.get(4)?));
    }
    Ok(())
}
