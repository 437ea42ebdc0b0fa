//! Who may talk: claims, enrolment, revocation, and who is connected.

use super::{StoreError, commands, postings};
use engawa_protocol::ports::Refusal;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

/// True if `id` can name a gateway: it goes into a certificate's URI and into file names.
pub fn good_name(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && id.as_bytes()[0].is_ascii_alphanumeric()
}

/// Notes a claim for `gateway` of `property`, adding the gateway if it is new. Of the secret only a hash is kept.
///
/// # Errors
/// A revoked gateway, one of another property, or SQLite's.
pub fn claim(
    connection: &Connection,
    property: &str,
    gateway: &str,
    name: Option<&str>,
    secret: &str,
    now_micros: i64,
    expires_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::sql("noting a claim");
    match status(connection, gateway)? {
        Some(Status { revoked: true, .. }) => return Err(StoreError::Revoked(gateway.to_owned())),
        Some(Status { property: other, .. }) if other != property => {
            return Err(StoreError::OtherProperty { gateway: gateway.to_owned(), property: other });
        }
        Some(_) => {
            if let Some(name) = name {
                connection
                    .execute("UPDATE gateway SET name = ?2 WHERE id = ?1", [gateway, name])
                    .map_err(doing)?;
            }
        }
        None => {
            connection
                .execute(
                    "INSERT INTO gateway (id, property, name) VALUES (?1, ?2, ?3)",
                    [gateway, property, name.unwrap_or(gateway)],
                )
                .map_err(doing)?;
        }
    }
    // Claims that can't be used any more serve nobody after a week.
    let old = now_micros.saturating_sub(7 * 86_400 * 1_000_000);
    connection.execute("DELETE FROM claim WHERE expires < ?1", [old]).map_err(doing)?;
    connection
        .execute(
            "INSERT INTO claim (secret_hash, gateway, expires) VALUES (?1, ?2, ?3)",
            params![hash(secret), gateway, expires_micros],
        )
        .map(drop)
        .map_err(doing)
}

/// The gateway that a claim names, if `csr_pem` may use it now: a claim that is not used yet, or again for the same request
/// while its answer may be lost. It is not once the certificate was used, or another machine was enrolled since.
///
/// # Errors
/// SQLite's.
pub fn claimed(
    connection: &Connection,
    secret: &str,
    csr_pem: &str,
    now_micros: i64,
) -> Result<Option<String>, StoreError> {
    let found = connection
        .query_row(
            "SELECT claim.gateway, claim.expires, request_hash, enrolled_at = used_at AND NOT EXISTS (
               SELECT 1 FROM certificate c WHERE c.gateway = claim.gateway
               AND seen_at IS NOT NULL AND coalesce(issued_at, seen_at) >= used_at)
             FROM claim JOIN gateway ON gateway.id = claim.gateway
             WHERE secret_hash = ?1 AND gateway.revoked_at IS NULL",
            [hash(secret)],
            |row| {
                let repeatable = row.get::<_, Option<bool>>(3)?.unwrap_or(false);
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<Vec<u8>>>(2)?,
                    repeatable,
                ))
            },
        )
        .optional()
        .map_err(StoreError::sql("looking a claim up"))?;
    let request = hash(csr_pem);
    Ok(found
        .filter(|(_, expires, used_by, repeatable)| {
            *expires > now_micros && used_by.as_ref().is_none_or(|used_by| *used_by == request && *repeatable)
        })
        .map(|(gateway, ..)| gateway))
}

/// The property of the gateway that a claim names, whether or not it can still be used.
///
/// # Errors
/// SQLite's.
pub fn claimed_property(connection: &Connection, secret: &str) -> Result<Option<String>, StoreError> {
    connection
        .query_row(
            "SELECT gateway.property FROM claim JOIN gateway ON gateway.id = claim.gateway WHERE secret_hash = ?1",
            [hash(secret)],
            |row| row.get(0),
        )
        .optional()
        .map_err(StoreError::sql("looking a claim up"))
}

/// Uses a claim up for the certificate request `csr_pem`: `sign` makes the certificate for the gateway that the
/// claim names. The same request may come again, since the answer may have been lost on the way (see [`claimed`]); another
/// one may not. Claims that the gateway has used before go.
///
/// # Errors
/// SQLite's. A refusal is not an error: it is the inner result, and the claim is then not used up.
pub fn enrol(
    connection: &Connection,
    secret: &str,
    csr_pem: &str,
    now_micros: i64,
    sign: impl FnOnce(&str) -> Result<String, Refusal>,
) -> Result<Result<(String, String), Refusal>, StoreError> {
    let doing = StoreError::sql("redeeming a claim");
    let Some(gateway) = claimed(connection, secret, csr_pem, now_micros)? else {
        return Ok(Err(Refusal::BadClaim));
    };
    let request = hash(csr_pem);
    let certificate = match sign(&gateway) {
        Ok(certificate) => certificate,
        Err(refusal) => return Ok(Err(refusal)),
    };
    connection
        .execute(
            "UPDATE claim SET used_at = ?2, request_hash = ?3 WHERE secret_hash = ?1",
            params![hash(secret), now_micros, request],
        )
        .map_err(doing)?;
    connection
        .execute(
            "DELETE FROM claim WHERE gateway = ?1 AND used_at IS NOT NULL AND secret_hash <> ?2",
            params![gateway, hash(secret)],
        )
        .map_err(doing)?;
    connection
        .execute("UPDATE gateway SET enrolled_at = ?2 WHERE id = ?1", params![gateway, now_micros])
        .map_err(doing)?;
    Ok(Ok((gateway, certificate)))
}

/// True while the gateway may talk: enrolled, and neither revoked nor fenced.
///
/// # Errors
/// SQLite's.
pub fn admitted(connection: &Connection, gateway: &str) -> Result<bool, StoreError> {
    Ok(status(connection, gateway)?
        .is_some_and(|status| status.enrolled && !status.revoked && !status.fenced))
}

/// The gateway may talk.
///
/// # Errors
/// Why it may not, or SQLite's.
pub(super) fn require_admitted(connection: &Connection, gateway: &str) -> Result<(), StoreError> {
    match status(connection, gateway)? {
        Some(Status { fenced: true, revoked: false, .. }) => Err(StoreError::Fenced(gateway.to_owned())),
        Some(Status { enrolled: true, revoked: false, .. }) => Ok(()),
        _ => Err(StoreError::Revoked(gateway.to_owned())),
    }
}

/// The gateway may not talk any more, from this transaction on. Its unused claims go too.
///
/// # Errors
/// No such gateway, or SQLite's.
pub fn revoke(connection: &Connection, gateway: &str, now_micros: i64) -> Result<(), StoreError> {
    let doing = StoreError::sql("revoking a gateway");
    let found = connection
        .execute(
            "UPDATE gateway SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1",
            params![gateway, now_micros],
        )
        .map_err(doing)?;
    if found == 0 {
        return Err(StoreError::NoGateway(gateway.to_owned()));
    }
    connection
        .execute("DELETE FROM claim WHERE gateway = ?1 AND used_at IS NULL", [gateway])
        .map(drop)
        .map_err(doing)
}

/// The gateway was seen now, from `address`; or its connection from there has gone. A gateway that came back before
/// its old connection was given up stays connected: the old one's end is told by its address.
///
/// # Errors
/// SQLite's.
pub fn seen(
    connection: &Connection,
    gateway: &str,
    connected: bool,
    address: &str,
    now_micros: i64,
) -> Result<(), StoreError> {
    let sql = if connected {
        "UPDATE gateway SET last_seen = ?3, connected = 1, address = ?2 WHERE id = ?1"
    } else {
        "UPDATE gateway SET last_seen = ?3, connected = 0 WHERE id = ?1 AND address = ?2"
    };
    connection
        .execute(sql, params![gateway, address, now_micros])
        .map(drop)
        .map_err(StoreError::sql("noting that a gateway was seen"))
}

/// True if the gateway has spoken of this life of its journal last.
///
/// # Errors
/// SQLite's.
pub fn is_known_epoch(connection: &Connection, gateway: &str, epoch: u64) -> Result<bool, StoreError> {
    Ok(last_epoch(connection, gateway)? == Some(epoch))
}

/// The life of its journal that the gateway has spoken of last.
pub(super) fn last_epoch(connection: &Connection, gateway: &str) -> Result<Option<u64>, StoreError> {
    connection
        .prepare_cached("SELECT epoch FROM gateway WHERE id = ?1")
        .and_then(|mut statement| {
            statement.query_row([gateway], |row| row.get::<_, Option<i64>>(0)).optional()
        })
        .map(|epoch| epoch.flatten().map(i64::cast_unsigned))
        .map_err(StoreError::sql("reading a gateway's epoch"))
}

/// The gateway speaks of this life of its journal. Where it is another one than before, its disk is new and its inbox
/// is lost: see [`commands::inbox_lost`]. Charges that were open in it are in doubt.
///
/// # Errors
/// SQLite's.
pub fn epoch_seen(
    connection: &Connection,
    gateway: &str,
    epoch: u64,
    now_micros: i64,
) -> Result<(), StoreError> {
    let before = last_epoch(connection, gateway)?;
    if before == Some(epoch) {
        return Ok(());
    }
    connection
        .execute("UPDATE gateway SET epoch = ?2 WHERE id = ?1", params![gateway, epoch.cast_signed()])
        .map_err(StoreError::sql("noting a gateway's epoch"))?;
    if before.is_some() {
        super::house_settings::tell_all(connection, gateway, epoch, now_micros)?;
        let doubtful = commands::inbox_lost(connection, gateway, now_micros)?
            + postings::epoch_over(connection, gateway, epoch, now_micros)?;
        tracing::warn!(gateway, doubtful, "the gateway's journal begins anew: a new or restored disk");
    }
    Ok(())
}

/// Nobody is connected: the server starts.
///
/// # Errors
/// SQLite's.
pub fn all_gone(connection: &Connection) -> Result<(), StoreError> {
    connection
        .execute("UPDATE gateway SET connected = 0 WHERE connected <> 0", [])
        .map(drop)
        .map_err(StoreError::sql("noting that no gateway is connected"))
}

/// The gateway is known and not revoked (enrolled or only claimed).
pub(super) fn require_enrollable(connection: &Connection, gateway: &str) -> Result<(), StoreError> {
    match status(connection, gateway)? {
        None => Err(StoreError::NoGateway(gateway.to_owned())),
        Some(Status { revoked: true, .. }) => Err(StoreError::Revoked(gateway.to_owned())),
        Some(_) => Ok(()),
    }
}

struct Status {
    property: String,
    enrolled: bool,
    revoked: bool,
    fenced: bool,
}

fn status(connection: &Connection, gateway: &str) -> Result<Option<Status>, StoreError> {
    connection
        .prepare_cached("SELECT property, enrolled_at, revoked_at, fenced_at FROM gateway WHERE id = ?1")
        .and_then(|mut statement| {
            statement
                .query_row([gateway], |row| {
                    Ok(Status {
                        property: row.get(0)?,
                        enrolled: row.get::<_, Option<i64>>(1)?.is_some(),
                        revoked: row.get::<_, Option<i64>>(2)?.is_some(),
                        fenced: row.get::<_, Option<i64>>(3)?.is_some(),
                    })
                })
                .optional()
        })
        .map_err(StoreError::sql("looking a gateway up"))
}

pub(crate) fn hash(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}
