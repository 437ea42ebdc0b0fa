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
use rusqlite::{Connection, Transaction, params};

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
        for table in ["vault_field", "vault_subject"] {
            transaction.prepare_cached(&format!("DELETE FROM {table} WHERE subject = ?1"))?.execute([id])?;
        }
        let reason = erasure.reason.as_str();
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO vault_tombstone (subject, stay, at_us, reason, signature, done)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0)",
            )?
            .execute(params![
                id,
                erasure.stay.as_str(),
                erasure.at.as_microsecond(),
                reason,
                HEXLOWER.decode(erasure.signature.as_bytes()).unwrap_or_default()
            ])?;
    }
    Ok(())
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
