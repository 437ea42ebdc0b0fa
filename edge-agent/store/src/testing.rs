//! Databases of older releases, made for migration tests. Not part of the agent's own work.
#![allow(clippy::expect_used, reason = "test support: a failure here is the test's failure")]

use crate::vault::{AUDIT_FILE, KEYS_FILE, VaultKey};
use crate::{DATABASE_FILE, DatabaseKey, connect::connect, migrations};
use rusqlite::types::ValueRef;
use std::path::Path;

/// Makes a database in `dir` at schema `version` with one stay and its journal row, as that release wrote them.
///
/// # Panics
/// If it can't.
pub fn make_at_version(dir: &Path, key: &DatabaseKey, version: usize) {
    let mut connection = connect(&dir.join(DATABASE_FILE), key).expect("opens");
    migrations::migrate_to(&mut connection, version).expect("migrates");
    connection
        .execute_batch(
            r#"INSERT INTO single (name, value) VALUES ('epoch', 42);
            INSERT INTO state VALUES ('stay', '1', CAST('{"id":"1","room":"101","name":"Altbestand","first_name":null,
              "title":null,"language":null,"arrival":null,"departure":null,"vip":null,"comfort":null,
              "since":"2026-07-15T10:00:00Z"}' AS BLOB), 0);
            INSERT INTO journal VALUES (3, 1, 0, 'checked_in', CAST('{}' AS BLOB));
            INSERT INTO lane (lane, head) VALUES (3, 1);"#,
        )
        .expect("fills");
}

/// Marks the database in `dir` as one of schema `version`.
///
/// # Panics
/// If it can't.
pub fn pretend_version(dir: &Path, key: &DatabaseKey, version: usize) {
    let connection = connect(&dir.join(DATABASE_FILE), key).expect("opens");
    connection.execute_batch(&format!("PRAGMA user_version = {version}")).expect("sets");
}

/// Every value of every row of the store's files in `dir`, as whoever has all keys reads them.
///
/// # Panics
/// If it can't.
pub fn dump(dir: &Path, key: &DatabaseKey, vault_key: &VaultKey) -> Vec<u8> {
    let mut all = Vec::new();
    for (file, key) in [(DATABASE_FILE, key), (AUDIT_FILE, key), (KEYS_FILE, vault_key.file())] {
        let connection = connect(&dir.join(file), key).expect("opens");
        let mut tables =
            connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").expect("lists");
        let tables = tables.query_map([], |row| row.get::<_, String>(0)).expect("lists");
        for table in tables.map(|table| table.expect("names")) {
            let mut rows = connection.prepare(&format!("SELECT * FROM {table}")).expect("reads");
            let columns = rows.column_count();
            let mut rows = rows.query([]).expect("reads");
            while let Some(row) = rows.next().expect("reads") {
                for column in 0..columns {
                    match row.get_ref(column).expect("reads") {
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => all.extend_from_slice(bytes),
                        ValueRef::Integer(number) => all.extend_from_slice(&number.to_be_bytes()),
                        ValueRef::Real(_) | ValueRef::Null => {}
                    }
                    all.push(0);
                }
            }
        }
    }
    all
}

/// Marks every tombstone as not done, as a crash before the end of an erasure leaves it.
///
/// # Panics
/// If it can't.
pub fn undo_erasures_end(dir: &Path, key: &DatabaseKey) {
    let connection = connect(&dir.join(DATABASE_FILE), key).expect("opens");
    connection.execute_batch("UPDATE vault_tombstone SET done = 0").expect("sets");
}

/// How many erasures are not done.
///
/// # Panics
/// If it can't.
pub fn open_erasures(dir: &Path, key: &DatabaseKey) -> i64 {
    let connection = connect(&dir.join(DATABASE_FILE), key).expect("opens");
    let sql = "SELECT count(*) FROM vault_tombstone WHERE done = 0";
    connection.query_row(sql, [], |row| row.get(0)).expect("counts")
}

/// Gives the sealed name of one stay to another, as somebody with the database's key could.
///
/// # Panics
/// If it can't.
pub fn swap_names(dir: &Path, key: &DatabaseKey, from: &str, to: &str) {
    let connection = connect(&dir.join(DATABASE_FILE), key).expect("opens");
    let sql =
        "UPDATE vault_field SET sealed = (SELECT sealed FROM vault_field WHERE key = ?1 AND field = '/name')
               WHERE key = ?2 AND field = '/name'";
    assert_eq!(connection.execute(sql, [from, to]).expect("writes"), 1);
}

/// What SQLite finds wrong with the store's files in `dir`; nothing: all is well.
///
/// # Panics
/// If one can't be opened.
pub fn faults(dir: &Path, key: &DatabaseKey, vault_key: &VaultKey) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, key) in [(DATABASE_FILE, key), (AUDIT_FILE, key), (KEYS_FILE, vault_key.file())] {
        let connection = connect(&dir.join(file), key).expect("opens");
        let mut check = connection.prepare("PRAGMA integrity_check").expect("prepares");
        let found = check.query_map([], |row| row.get::<_, String>(0)).expect("checks");
        let found = found.map(|fault| fault.unwrap_or_else(|error| error.to_string()));
        faults.extend(found.filter(|fault| fault != "ok").map(|fault| format!("{file}: {fault}")));
    }
    faults
}
