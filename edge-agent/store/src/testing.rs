//! Databases of older releases, made for migration tests. Not part of the agent's own work.
#![allow(clippy::expect_used, reason = "test support: a failure here is the test's failure")]

use crate::{DATABASE_FILE, DatabaseKey, migrations, writer::connect};
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
            INSERT INTO state VALUES ('stay', '1', CAST('{"id":"1","room":"101","name":null,"first_name":null,
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
