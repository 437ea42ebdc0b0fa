//! What can be set, and where the clouds of other regions are, as [`crate::store::settings`].

use crate::store::StoreError;
use crate::trust::settings::{Policy, value};
use deadpool_postgres::GenericClient;
use std::collections::HashMap;

/// The value of a setting; its default where it is not set.
///
/// # Errors
/// PostgreSQL's.
pub async fn setting(client: &impl GenericClient, key: &str) -> Result<f64, StoreError> {
    let set = client
        .query_opt("SELECT value FROM setting WHERE key = $1", &[&key])
        .await
        .map_err(StoreError::postgres("reading a setting"))?;
    Ok(value(key, set.as_ref().map(|row| row.get(0))))
}

/// Sets one; whether it is in its range is the caller's business.
///
/// # Errors
/// PostgreSQL's.
pub async fn set(client: &impl GenericClient, key: &str, value: u32) -> Result<(), StoreError> {
    client
        .execute(
            "INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            &[&key, &value.to_string()],
        )
        .await
        .map(drop)
        .map_err(StoreError::postgres("changing a setting"))
}

/// All settings together.
///
/// # Errors
/// PostgreSQL's.
pub async fn policy(client: &impl GenericClient) -> Result<Policy, StoreError> {
    let doing = StoreError::postgres("reading the settings");
    let statement = client.prepare_cached("SELECT key, value FROM setting").await.map_err(doing)?;
    let rows = client.query(&statement, &[]).await.map_err(doing)?;
    let set: HashMap<&str, &str> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Policy::of(|key| Ok(value(key, set.get(key).copied())))
}

/// The regions and their clouds' addresses.
///
/// # Errors
/// PostgreSQL's.
pub async fn regions(client: &impl GenericClient) -> Result<Vec<(String, String)>, StoreError> {
    let rows = client
        .query("SELECT region, address FROM region ORDER BY region", &[])
        .await
        .map_err(StoreError::postgres("reading the regions"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Notes where regions' clouds are, all or none.
///
/// # Errors
/// PostgreSQL's.
pub async fn set_regions(
    client: &impl GenericClient,
    directory: &[(String, String)],
) -> Result<(), StoreError> {
    let (regions, addresses): (Vec<&str>, Vec<&str>) =
        directory.iter().map(|(region, address)| (region.as_str(), address.as_str())).unzip();
    client
        .execute(
            "INSERT INTO region (region, address) SELECT * FROM unnest($1::text[], $2::text[])
             ON CONFLICT (region) DO UPDATE SET address = excluded.address",
            &[&regions, &addresses],
        )
        .await
        .map(drop)
        .map_err(StoreError::postgres("noting a region"))
}

/// Forgets a region; true where it was known.
///
/// # Errors
/// PostgreSQL's.
pub async fn remove_region(client: &impl GenericClient, region: &str) -> Result<bool, StoreError> {
    client
        .execute("DELETE FROM region WHERE region = $1", &[&region])
        .await
        .map(|rows| rows > 0)
        .map_err(StoreError::postgres("forgetting a region"))
}
