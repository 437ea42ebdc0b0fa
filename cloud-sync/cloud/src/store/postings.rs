//! Charges whose end will not be told any more: they are in doubt, and somebody must look in the PMS.
//!
//! A charge that was pending or in flight in an earlier life of the gateway's journal (a new disk, a backup that was put
//! back) has its end in rows that no longer exist; what the gateway still knows of it is told anew under the new epoch.
//! The same where rows of its lane will never come: if one of them does tell of it after all, that counts.

use super::StoreError;
use engawa_model::Lane;
use rusqlite::{Connection, params};

/// The gateway speaks of the epoch `epoch` from now on: what was open in others is in doubt. Returns how many.
pub(super) fn epoch_over(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    now_micros: i64,
) -> Result<usize, StoreError> {
    connection
        .execute(
            "UPDATE posting SET state = 'doubtful', changed_micros = ?3
             WHERE gateway = ?1 AND epoch <> ?2 AND state IN ('pending', 'in_flight')",
            params![gateway, epoch.cast_signed(), now_micros],
        )
        .map_err(StoreError::sql("settling the charges of an earlier epoch"))
}

/// Rows of `lane` will never come: what they may have told the end of is in doubt.
pub(super) fn rows_lost(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    lane: u8,
    now_micros: i64,
) -> Result<(), StoreError> {
    if lane != Lane::Stays.number() {
        return Ok(());
    }
    connection
        .execute(
            "UPDATE posting SET state = 'doubtful', changed_micros = ?3
             WHERE gateway = ?1 AND epoch = ?2 AND state IN ('pending', 'in_flight')",
            params![gateway, epoch.cast_signed(), now_micros],
        )
        .map(drop)
        .map_err(StoreError::sql("settling the charges in a gap"))
}
