//! Erasure: the key of a record is destroyed, and a signed tombstone says so.
//!
//! The tombstone names the reservation number and the record, never the guest. It travels in the journal, so that the
//! cloud can drop what it holds of the stay, and is proof for whoever asked.

use super::keyring::Keyring;
use super::records::{self, Record};
use super::{RecordId, VaultKey};
use crate::StoreError;
use data_encoding::HEXLOWER;
use engawa_model::{Erasure, ErasureReason, StayId, Timestamp};
use ring::signature::{ED25519, UnparsedPublicKey};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

/// How long tombstones are kept, microseconds: longer than any backup should be.
const KEEP_TOMBSTONES_US: i64 = 3 * 366 * 86_400 * 1_000_000;

/// What is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everything of a reservation number.
    Stay(StayId),
    /// Who left before this instant, at most so many.
    LeftBefore(Timestamp, u32),
}

/// True where the tombstone was signed by the key that it names, and says what was signed.
pub fn verify(erasure: &Erasure) -> bool {
    let decode = |text: &str| HEXLOWER.decode(text.as_bytes()).ok();
    let (Some(signer), Some(signature)) = (decode(&erasure.signer), decode(&erasure.signature)) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, signer).verify(erasure.message().as_bytes(), &signature).is_ok()
}

/// The signed tombstones for `target`: what will be erased with the next commit that carries them.
pub(crate) fn plan(
    main: &Connection,
    key: &VaultKey,
    target: &Target,
    now: Timestamp,
) -> Result<Vec<Erasure>, StoreError> {
    let (found, reason) = match target {
        Target::Stay(stay) => (records::of_stay(main, stay.as_str())?, ErasureReason::Asked),
        Target::LeftBefore(before, most) => (expired(main, *before, *most)?, ErasureReason::Retention),
    };
    let signed = |record: Record| {
        let mut erasure = Erasure {
            stay: StayId::new(record.stay),
            record: HEXLOWER.encode(&record.id),
            at: now,
            reason,
            signer: HEXLOWER.encode(&key.public()),
            signature: String::new(),
        };
        erasure.signature = HEXLOWER.encode(&key.sign(erasure.message().as_bytes()));
        erasure
    };
    Ok(found.into_iter().map(signed).collect())
}

/// Records of who left before `before`, the oldest first.
pub(crate) fn expired(main: &Connection, before: Timestamp, most: u32) -> Result<Vec<Record>, StoreError> {
    let before = before.as_microsecond();
    records::all(main, &format!("left_us IS NOT NULL AND left_us < {before} ORDER BY left_us LIMIT {most}"))
}

fn id_of(erasure: &Erasure) -> Option<RecordId> {
    HEXLOWER.decode(erasure.record.as_bytes()).ok()?.try_into().ok()
}

/// Removes the sealed fields, and notes the tombstone as not done yet. The keys go once this is durable: [`finish`].
pub(crate) fn erase_in(transaction: &Transaction<'_>, erasures: &[Erasure]) -> rusqlite::Result<()> {
    for erasure in erasures {
        let Some(id) = id_of(erasure) else { continue };
        let span: Option<(i64, Option<i64>)> = transaction
            .prepare_cached("SELECT since_us, left_us FROM vault_subject WHERE subject = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        for table in ["vault_field", "vault_subject"] {
            transaction.prepare_cached(&format!("DELETE FROM {table} WHERE subject = ?1"))?.execute([id])?;
        }
        let reason = erasure.reason.as_str();
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO vault_tombstone (subject, stay, at_us, reason, signature, done, since_us, left_us)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)",
            )?
            .execute(params![
                id,
                erasure.stay.as_str(),
                erasure.at.as_microsecond(),
                reason,
                HEXLOWER.decode(erasure.signature.as_bytes()).unwrap_or_default(),
                span.map(|(since, _)| since),
                span.and_then(|(_, left)| left)
            ])?;
    }
    Ok(())
}

/// A guest who was erased while in the house has left.
pub(crate) fn erased_has_left(
    transaction: &Transaction<'_>,
    stay: &str,
    left_us: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE vault_tombstone SET left_us = ?2 WHERE stay = ?1 AND left_us IS NULL")?
        .execute(params![stay, left_us])
        .map(drop)
}

/// When guests other than that of the record `but` were in the house between `from` and `until` whose rooms nobody can tell
/// any more, since they were erased: each time by its first and last microsecond, in order, none of which overlap.
///
/// Of a tombstone of an older release only its own time is known, before which its guest was there at some time.
pub(crate) fn erased_between(
    main: &Connection,
    from: i64,
    until: i64,
    but: &RecordId,
) -> Result<Vec<(i64, i64)>, StoreError> {
    // What is of no stay names its document, with a control character before it.
    main.prepare_cached(
        "SELECT ifnull(since_us, ?4) AS since, CASE WHEN left_us IS NOT NULL THEN left_us
           WHEN since_us IS NULL THEN at_us ELSE ?5 END AS until
         FROM vault_tombstone WHERE subject <> ?3 AND substr(stay, 1, 1) <> char(1) AND since <= ?2 AND until >= ?1
         ORDER BY since",
    )
    .and_then(|mut statement| {
        let mut times: Vec<(i64, i64)> = Vec::new();
        let mut rows = statement.query(params![from, until, but, i64::MIN, i64::MAX])?;
        while let Some(row) = rows.next()? {
            let (since, end): (i64, i64) = (row.get(0)?, row.get(1)?);
            match times.last_mut() {
                Some((_, last)) if since <= *last => *last = end.max(*last),
                _ => times.push((since, end)),
            }
        }
        Ok(times)
    })
    .map_err(StoreError::sql("reading when erased guests were in the house"))
}

/// Destroys the keys of tombstones that are not done; true where none is left that is not.
pub(crate) fn finish(main: &Connection, keyring: &mut Keyring, now: Timestamp) -> Result<bool, StoreError> {
    let doing = StoreError::sql("ending an erasure");
    let pending: Vec<RecordId> = main
        .prepare_cached("SELECT subject FROM vault_tombstone WHERE done = 0")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .map_err(&doing)?;
    if pending.is_empty() {
        return Ok(true);
    }
    if !keyring.destroy(&pending, now.as_microsecond())? {
        return Ok(false);
    }
    main.execute("UPDATE vault_tombstone SET done = 1 WHERE done = 0", []).map_err(&doing)?;
    Ok(true)
}

/// Removes tombstones that are older than any backup, and keys that no record has.
pub(crate) fn sweep_tombstones(
    main: &Connection,
    keyring: &mut Keyring,
    now: Timestamp,
    most: u32,
) -> Result<(), StoreError> {
    let before = now.as_microsecond() - KEEP_TOMBSTONES_US;
    main.execute("DELETE FROM vault_tombstone WHERE done = 1 AND at_us < ?1", [before])
        .map_err(StoreError::sql("removing old tombstones"))?;
    keyring.sweep(before, |id| Ok(records::by_id(main, id)?.is_some()), most)
}
