//! Reading for one property alone: what keeps a hotel from seeing another's rows is the database, not our queries.

use crate::store::StoreError;
use deadpool_postgres::{Object, Transaction};

/// A transaction that only reads, and only the rows of `property`: whatever is asked in it.
///
/// # Errors
/// PostgreSQL's.
pub async fn reading<'a>(client: &'a mut Object, property: &str) -> Result<Transaction<'a>, StoreError> {
    let doing = StoreError::postgres("beginning to read for one property");
    let transaction = client.build_transaction().read_only(true).start().await.map_err(doing)?;
    transaction.batch_execute("SET LOCAL ROLE engawa_tenant").await.map_err(doing)?;
    transaction
        .query_one("SELECT set_config('engawa.property', $1, true)", &[&property])
        .await
        .map_err(doing)?;
    Ok(transaction)
}
