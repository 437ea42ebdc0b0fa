//! Tombstones that were stored as rows and nothing else: by a release that did not know them yet, before the schema had a
//! place for them (5) or after, while replicas of that release still served beside newer ones.

use super::received;
use crate::postgres::Store;
use crate::postgres::listing::BEAT_OVER;
use crate::store::StoreError;
use engawa_model::Change;

/// Tombstones that are read at once.
const PAGE: i64 = 500;

/// When there may be such tombstones: once after a start, and again when the last older replica has gone.
#[derive(Debug)]
pub struct Missed {
    due: bool,
    older: bool,
}

impl Default for Missed {
    fn default() -> Self {
        Self { due: true, older: false }
    }
}

impl Missed {
    /// Records the tombstones that were missed, for the sweep that comes after. Gives how many there were. Several replicas
    /// may do it at once: recorded twice is recorded once.
    ///
    /// # Errors
    /// PostgreSQL's; it is done again then.
    pub async fn look(&mut self, store: &Store) -> Result<usize, StoreError> {
        let doing = StoreError::postgres("looking for tombstones that older replicas have stored");
        let mut client = store.client().await?;
        // A replica that knows tombstones says which authorities its folder has, soon after its first beat. Without its
        // index the look would read the whole journal: the sweep builds it.
        let row = client
            .query_one(
                &format!(
                    "SELECT EXISTS (SELECT FROM replica WHERE beat > now() - interval '{BEAT_OVER}' AND authorities = '{{}}'),
                     EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('journal_erased') AND indisvalid)"
                ),
                &[],
            )
            .await
            .map_err(doing)?;
        let older: bool = row.get(0);
        self.due |= self.older && !older;
        self.older = older;
        if !self.due || !row.get::<_, bool>(1) {
            return Ok(0);
        }
        let mut found = 0;
        let mut after = (String::new(), String::new(), i64::MIN, 0_i16, 0_i64);
        loop {
            let rows = client
                .query(
                    "SELECT property, gateway, epoch, lane, seq, received_micros, body FROM journal j
                     WHERE kind = 'erased' AND (property, gateway, epoch, lane, seq) > ($1, $2, $3, $4, $5)
                     AND NOT EXISTS (SELECT FROM erasure e WHERE (e.property, e.gateway) = (j.property, j.gateway)
                       AND e.record = substring(j.body from '\"record\":\"([^\"]*)\"'))
                     ORDER BY property, gateway, epoch, lane, seq LIMIT $6",
                    &[&after.0, &after.1, &after.2, &after.3, &after.4, &PAGE],
                )
                .await
                .map_err(doing)?;
            let Some(last) = rows.last() else { break };
            after = (last.get(0), last.get(1), last.get(2), last.get(3), last.get(4));
            for row in &rows {
                let (gateway, body): (&str, Option<&str>) = (row.get(1), row.get(6));
                // What is no tombstone to this release either was passed over when it came.
                if let Some(Ok(Change::Erased { erasure })) = body.map(serde_json::from_str::<Change>) {
                    found += usize::from(received(&mut client, gateway, &erasure, row.get(5)).await?);
                }
            }
        }
        self.due = false;
        if found > 0 {
            tracing::info!(found, "tombstones that an older replica had stored are recorded");
        }
        Ok(found)
    }
}
