//! What can be set, and where the clouds of other regions are. All the SQL of these is here.

use super::StoreError;
use crate::trust::settings::{Policy, value};
use rusqlite::{Connection, OptionalExtension, params};

/// The value of a setting; its default where it is not set.
///
/// # Errors
/// The database's.
pub fn setting(connection: &Connection, key: &str) -> Result<f64, StoreError> {
    let set = connection
        .prepare_cached("SELECT value FROM setting WHERE key = ?1")
        .and_then(|mut statement| statement.query_row([key], |row| row.get::<_, String>(0)).optional())
        .map_err(StoreError::sql("reading a setting"))?;
    Ok(value(key, set.as_deref()))
}

/// Sets one; whether it is in its range is the caller's business.
///
/// # Errors
/// The database's.
pub fn set(connection: &Connection, key: &str, value: u32) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            params![key, value.to_string()],
        )
        .map(drop)
        .map_err(StoreError::sql("changing a setting"))
}

/// All settings together.
///
/// # Errors
/// The database's.
pub fn policy(connection: &Connection) -> Result<Policy, StoreError> {
    Policy::of(|key| setting(connection, key))
}

/// The regions and their clouds' addresses.
///
/// # Errors
/// The database's.
pub fn regions(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    let doing = StoreError::sql("reading the regions");
    let mut statement =
        connection.prepare_cached("SELECT region, address FROM region ORDER BY region").map_err(doing)?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect).map_err(doing)
}

/// Notes where a region's cloud is.
///
/// # Errors
/// The database's.
pub fn set_region(connection: &Connection, region: &str, address: &str) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO region (region, address) VALUES (?1, ?2)
             ON CONFLICT (region) DO UPDATE SET address = excluded.address",
            [region, address],
        )
        .map(drop)
        .map_err(StoreError::sql("noting a region"))
}

/// Forgets a region; true where it was known.
///
/// # Errors
/// The database's.
pub fn remove_region(connection: &Connection, region: &str) -> Result<bool, StoreError> {
    connection
        .execute("DELETE FROM region WHERE region = ?1", [region])
        .map(|rows| rows > 0)
        .map_err(StoreError::sql("forgetting a region"))
}
