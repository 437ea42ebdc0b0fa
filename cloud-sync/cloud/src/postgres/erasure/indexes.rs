//! The indexes by which a sweep finds a stay's rows without reading a journal of years. They are built while the cloud
//! serves (`CONCURRENTLY`, which no migration's transaction can), by whoever sweeps, once. A build that was cut leaves an
//! index that is not valid: it is taken away and built anew.

use crate::store::StoreError;
use deadpool_postgres::ClientWrapper;

/// Rows that may name a stay.
pub(super) const NAMED: &str = "strpos(body, '\"stay\"') > 0";

/// The one stay that a body names; NULL where it names none (`null`), and the empty text where that can't be said so
/// simply (several, an escape, spaces): those rows are all looked at. Only the first [`LENGTH`] characters, since an
/// index refuses long ones, and with them the row.
pub(super) const STAY: &str = "left(CASE
    WHEN strpos(body, chr(92)) > 0 OR strpos(substr(body, strpos(body, '\"stay\"') + 6), '\"stay\"') > 0 THEN ''
    WHEN substr(body, strpos(body, '\"stay\"') + 6, 5) = ':null' THEN NULL
    ELSE coalesce(substring(body from '\"stay\":\"([^\"]*)\"'), '') END, 100)";
/// As many characters of a stay are in the index.
const LENGTH: usize = 100;

/// A stay as [`STAY`] has it.
pub(super) fn key(stay: &str) -> String {
    stay.chars().take(LENGTH).collect()
}

/// Tables and the names of the indexes that they lack; `journal` comes before the days of telemetry.
const LACKING: &str = "SELECT tab, name FROM (
      VALUES ('journal', 'journal_erased'), ('journal', 'journal_stay')
      UNION ALL SELECT c.relname::text, c.relname::text || '_named' FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'telemetry'::regclass) AS wanted (tab, name)
    WHERE NOT EXISTS (SELECT FROM pg_index x WHERE x.indexrelid = to_regclass(name) AND x.indisvalid) ORDER BY tab, name";

/// True where one is absent, or not valid.
///
/// # Errors
/// PostgreSQL's.
pub(super) async fn lacking(client: &ClientWrapper) -> Result<bool, StoreError> {
    let sql = format!("SELECT EXISTS ({LACKING})");
    let row = client.query_one(&sql, &[]).await.map_err(StoreError::postgres("looking for indexes"))?;
    Ok(row.get(0))
}

/// Builds what is lacking, on a connection of the caller's own: it waits for every transaction that is open, however long.
/// A day of telemetry without its index is no harm but for time.
///
/// # Errors
/// PostgreSQL's, for the journal's.
pub(super) async fn build(client: &ClientWrapper) -> Result<(), StoreError> {
    let doing = StoreError::postgres("building the indexes of erasures");
    client.batch_execute("SET lock_timeout = 0; SET statement_timeout = 0").await.map_err(doing)?;
    for row in client.query(LACKING, &[]).await.map_err(doing)? {
        let (of, name): (&str, &str) = (row.get(0), row.get(1));
        let what = match name {
            "journal_erased" => "(property, gateway, epoch, lane, seq) WHERE kind = 'erased'".to_owned(),
            "journal_stay" => {
                format!("(property, gateway, ({STAY}), epoch, lane, seq) WHERE {NAMED}")
            }
            _ => format!("(property, gateway) WHERE {NAMED}"),
        };
        let begin = format!("CREATE INDEX CONCURRENTLY \"{name}\" ON \"{of}\" {what}");
        let built = async {
            client.batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS \"{name}\"")).await?;
            client.batch_execute(&begin).await
        };
        match built.await {
            Ok(()) => tracing::info!(name, "an index was built"),
            // It has become history meanwhile, or is at the next look.
            Err(error) if of != "journal" && !client.is_closed() => {
                tracing::warn!(name, error = &error as &dyn std::error::Error, "a day's index was not built");
            }
            Err(error) => return Err(doing(error)),
        }
    }
    client.batch_execute("SET lock_timeout = '10s'; SET statement_timeout = '60s'").await.map_err(doing)
}
