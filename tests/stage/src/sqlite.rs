//! The cloud's database, read by the `sqlite3` program: a reader that shares no code with the cloud.

use crate::process;
use anyhow::Context;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A database file.
#[derive(Clone, Debug)]
pub struct Database(PathBuf);

impl Database {
    /// The database in `path`.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The rows that `sql` selects, as objects.
    ///
    /// # Errors
    /// `sqlite3` is not installed, or refuses.
    pub fn rows(&self, sql: &str) -> anyhow::Result<Vec<Value>> {
        let arguments = [
            "-readonly".into(),
            "-json".into(),
            "-cmd".into(),
            ".timeout 5000".into(),
            self.0.clone().into_os_string(),
            sql.into(),
        ];
        let arguments: [std::ffi::OsString; 6] = arguments;
        let text = process::run(Path::new("sqlite3"), arguments)
            .context("reading the cloud's database (is the package sqlite3 installed?)")?;
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_str(&text).with_context(|| format!("reading what sqlite3 said to `{sql}`"))
    }

    /// The one number that `sql` selects.
    ///
    /// # Errors
    /// As [`Self::rows`], or there is none.
    pub fn number(&self, sql: &str) -> anyhow::Result<i64> {
        let rows = self.rows(sql)?;
        let first = rows.first().and_then(Value::as_object).and_then(|row| row.values().next());
        first.and_then(Value::as_i64).with_context(|| format!("`{sql}` gave no number"))
    }
}
