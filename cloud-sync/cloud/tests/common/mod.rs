//! What the tests share: a database in a folder of its own, and rows as a gateway writes them.
#![allow(dead_code, unreachable_pub, reason = "a module of several tests")]

use engawa_cloud::store::{self, commands, gateways, ingest};
use engawa_model::{Action, Change, CommandOutcome, Timestamp};
use engawa_protocol::ports::{Ingested, Row};
use rusqlite::Connection;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

pub const GATEWAY: &str = "grand-1";
pub const EPOCH: u64 = 7;

/// A new database with one enrolled gateway.
pub struct Cloud {
    pub folder: TempDir,
    pub connection: Connection,
}

impl Cloud {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = store::create(&folder.path().join(store::DATABASE_FILE)).unwrap();
        let mut cloud = Self { folder, connection };
        cloud.enrol(GATEWAY);
        cloud
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(store::DATABASE_FILE)
    }

    pub fn enrol(&mut self, gateway: &str) {
        store::write(&mut self.connection, |connection| {
            gateways::claim(connection, "grand", gateway, None, gateway, 0, 10)?;
            let enrolled = gateways::enrol(connection, gateway, "csr", 1, |_| Ok("certificate".into()))?;
            assert!(enrolled.is_ok());
            gateways::epoch_seen(connection, gateway, EPOCH, 1)
        })
        .unwrap();
    }

    /// Ingests in a transaction of its own, received at `seq`'s own time.
    pub fn ingest(&mut self, epoch: u64, lane: u8, rows: &[Row]) -> Ingested {
        self.ingest_of(GATEWAY, epoch, lane, rows)
    }

    pub fn ingest_of(&mut self, gateway: &str, epoch: u64, lane: u8, rows: &[Row]) -> Ingested {
        store::write(&mut self.connection, |connection| {
            // As its hello would have said before.
            gateways::epoch_seen(connection, gateway, epoch, 1)?;
            ingest::ingest(connection, gateway, epoch, lane, rows, 1_000_000)
        })
        .unwrap()
    }

    /// Ingests these changes as the next rows of lane 3.
    pub fn tell(&mut self, epoch: u64, changes: &[Change]) {
        let mark = self.mark(epoch, 3);
        let rows: Vec<Row> =
            changes.iter().zip(mark + 1..).map(|(change, seq)| change_row(seq, change)).collect();
        let last = mark + rows.len() as u64;
        assert_eq!(self.ingest(epoch, 3, &rows), Ingested::Upto(last));
    }

    pub fn mark(&self, epoch: u64, lane: u8) -> u64 {
        let marks = ingest::hello(&self.connection, GATEWAY, epoch, &[(lane, u64::MAX)]).unwrap().unwrap();
        marks.into_iter().find(|(of, _)| *of == lane).map_or(0, |(_, mark)| mark)
    }

    pub fn send(&mut self, key: &str, action: &Action) -> Result<commands::Sent, store::StoreError> {
        store::write(&mut self.connection, |connection| {
            commands::send(connection, GATEWAY, &key.into(), action, at(1), at(3_600))
        })
    }

    /// All that a query finds, each row as text with `|` between columns.
    pub fn query(&self, sql: &str) -> Vec<String> {
        let mut statement = self.connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let text = |value: rusqlite::types::ValueRef<'_>| match value {
            rusqlite::types::ValueRef::Null => "-".to_owned(),
            rusqlite::types::ValueRef::Integer(n) => n.to_string(),
            rusqlite::types::ValueRef::Real(x) => x.to_string(),
            rusqlite::types::ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            rusqlite::types::ValueRef::Blob(bytes) => format!("{bytes:?}"),
        };
        let row = |row: &rusqlite::Row<'_>| {
            Ok((0..columns).map(|n| text(row.get_ref(n).unwrap())).collect::<Vec<_>>().join("|"))
        };
        statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub fn row(seq: u64) -> Row {
    let body = format!(r#"{{"kind":"night_audit","running":true,"n":{seq}}}"#);
    Row { seq, at_micros: 5, kind: "night_audit".into(), body: body.into_bytes() }
}

pub fn change_row(seq: u64, change: &Change) -> Row {
    let body = serde_json::to_vec(change).unwrap();
    Row { seq, at_micros: i64::try_from(seq).unwrap() * 1_000, kind: change.kind().into(), body }
}

pub fn ended(key: &str, outcome: CommandOutcome) -> Change {
    Change::CommandEnded { key: key.into(), outcome }
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Each line of standard output as JSON.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
            .collect()
    }
}

pub fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_engawa-cloud"));
    program.env_remove("ENGAWA_CLOUD_DIR").env_remove("RUST_LOG");
    program
}

pub fn run(arguments: &[&str]) -> Ran {
    let output = program().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}
