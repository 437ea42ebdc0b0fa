//! The days of `telemetry`: a partition for each day of receipt, made ahead of time.

use super::Store;
use crate::store::StoreError;
use engawa_model::{Date, Timestamp};
use jiff::tz::Offset;
use jiff::{Span, ToSpan};

/// Days that are there ahead of time, today included.
const AHEAD: i64 = 3;

/// The partition's name.
pub(crate) fn name(day: Date) -> String {
    format!("telemetry_{}", day.strftime("%Y%m%d"))
}

/// The day of the partition `name`; `None` where it is no partition's name.
pub(crate) fn day_named(name: &str) -> Option<Date> {
    Date::strptime("%Y%m%d", name.strip_prefix("telemetry_")?).ok()
}

/// The name of the partition for rows that come at `at`.
pub fn name_of(at: Timestamp) -> String {
    name(day_of(at))
}

/// When the day begins, µs since 1970; days are UTC's.
pub(crate) fn begins(day: Date) -> Result<i64, StoreError> {
    let midnight =
        Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).map_err(|_| StoreError::Day(day.to_string()))?;
    Ok(midnight.as_microsecond())
}

/// The day of an instant.
pub(crate) fn day_of(at: Timestamp) -> Date {
    Offset::UTC.to_datetime(at).date()
}

/// The day `days` after `day`.
pub(crate) fn after(day: Date, days: i64) -> Result<Date, StoreError> {
    let span: Span = days.days();
    day.checked_add(span).map_err(|_| StoreError::Day(day.to_string()))
}

/// Makes the partitions of today and the days after it, where they are absent.
///
/// A table is made first and attached then: attaching lets others read and write meanwhile.
///
/// # Errors
/// PostgreSQL's.
pub async fn ahead(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    for days in 0..AHEAD {
        make(store, after(day_of(now), days)?).await?;
    }
    Ok(())
}

/// Makes one day's partition, where it is absent.
///
/// # Errors
/// PostgreSQL's.
pub async fn make(store: &Store, day: Date) -> Result<(), StoreError> {
    let doing = StoreError::postgres("making the partitions of telemetry");
    let client = store.client().await?;
    let (name, from, until) = (name(day), begins(day)?, begins(after(day, 1)?)?);
    let there = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&name]).await.map_err(doing)?;
    if there.get(0) {
        return Ok(());
    }
    // One replica makes it, the others find it.
    client
        .batch_execute(&format!(
            "BEGIN; SET LOCAL lock_timeout = '5s';
                 SELECT pg_advisory_xact_lock(hashtextextended('engawa telemetry days', 0));
                 DO $$ BEGIN IF to_regclass('{name}') IS NULL THEN
                   CREATE TABLE {name} (LIKE telemetry INCLUDING DEFAULTS);
                   CREATE INDEX {name}_named ON {name} (property, gateway) WHERE strpos(body, '\"stay\"') > 0;
                   ALTER TABLE telemetry ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({until});
                 END IF; END $$; COMMIT"
        ))
        .await
        .map_err(|error| {
            tracing::warn!(%name, "a day of telemetry could not be made");
            doing(error)
        })?;
    tracing::info!(%name, "a new day of telemetry");
    Ok(())
}
