//! One of the processes that serve a database: its name, and the beat that tells that it lives.

use super::Store;
use super::authority::LOCK;
use super::listing::BEAT_OVER;
use crate::store::StoreError;
use deadpool_postgres::Object;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a replica tells that it lives. Its gateways are taken as gone after thirty seconds without it.
const BEAT: Duration = Duration::from_secs(10);
/// Rows of replicas that are gone are kept for so long, for whoever looks what happened.
const KEPT: &str = "7 days";

/// A process among those that serve one database.
#[derive(Clone, Debug)]
pub struct Replica {
    /// A new one for each start.
    pub id: String,
    /// Where it listens.
    pub address: String,
}

impl Replica {
    /// This process, listening at `address`.
    pub fn new(address: String) -> Self {
        Self { id: format!("{:016x}", rand::random::<u64>()), address }
    }

    /// True if any process serves the database.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn any(client: &Object) -> Result<bool, StoreError> {
        client
            .query_one(
                &format!("SELECT EXISTS (SELECT FROM replica WHERE beat > now() - interval '{BEAT_OVER}')"),
                &[],
            )
            .await
            .map(|row| row.get(0))
            .map_err(StoreError::postgres("looking for replicas"))
    }

    /// Tells that it lives, and waits for whoever has another authority sign at this moment.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn beat(&self, store: &Store) -> Result<(), StoreError> {
        let doing = StoreError::postgres("telling that this replica lives");
        let client = store.client().await?;
        client
            .execute(
                &format!(
                    "WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared({LOCK}))
                     INSERT INTO replica (id, address) SELECT $1, $2 FROM held ON CONFLICT (id)
                     DO UPDATE SET beat = now(), address = excluded.address"
                ),
                &[&self.id, &self.address],
            )
            .await
            .map_err(doing)?;
        client
            .execute(&format!("DELETE FROM replica WHERE beat < now() - interval '{KEPT}'"), &[])
            .await
            .map(drop)
            .map_err(doing)
    }

    /// Beats until `cancel`, then says good-bye.
    pub async fn live(self, store: Store, cancel: CancellationToken) {
        loop {
            if let Err(error) = self.beat(&store).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "this replica's beat was not noted");
            }
            if cancel.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_none() {
                break;
            }
        }
        if let Err(error) = self.leave(&store).await {
            // Its beat gets old: the same, half a minute later.
            tracing::debug!(error = &error as &dyn std::error::Error, "this replica's end was not noted");
        }
    }

    async fn leave(&self, store: &Store) -> Result<(), StoreError> {
        let doing = StoreError::postgres("noting that this replica ends");
        let client = store.client().await?;
        client
            .execute("UPDATE presence SET connected = false WHERE replica = $1 AND connected", &[&self.id])
            .await
            .map_err(doing)?;
        client.execute("DELETE FROM replica WHERE id = $1", &[&self.id]).await.map(drop).map_err(doing)
    }
}
