//! Charges whose end will not be told any more, as [`crate::store`] has them.

use crate::store::StoreError;
use deadpool_postgres::Transaction;

/// Rows of the charges' lane will never come: what they may have told the end of is in doubt.
pub(super) const IN_A_GAP: &str = "UPDATE posting SET state = 'doubtful', changed_micros = $4
    WHERE property = $1 AND gateway = $2 AND epoch = $3 AND state IN ('pending', 'in_flight')";

/// The gateway speaks of the epoch `epoch` from now on: what was open in others is in doubt. Returns how many.
///
/// # Errors
/// PostgreSQL's.
pub(super) async fn epoch_over(
    transaction: &Transaction<'_>,
    gateway: &str,
    epoch: u64,
    now_micros: i64,
) -> Result<u64, StoreError> {
    transaction
        .execute(
            "UPDATE posting SET state = 'doubtful', changed_micros = $3
             WHERE (property, gateway) = (SELECT property, id FROM gateway WHERE id = $1) AND epoch <> $2
             AND state IN ('pending', 'in_flight')",
            &[&gateway, &epoch.cast_signed(), &now_micros],
        )
        .await
        .map_err(StoreError::postgres("settling the charges of an earlier epoch"))
}
