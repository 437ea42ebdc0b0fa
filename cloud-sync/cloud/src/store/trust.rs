//! Certificates on record, fences and turns: the SQL of what [`crate::trust`] decides.

use super::{StoreError, settings};
use crate::trust::{
    BY_HAND, Certificate, DAY_MICROS, Greeted, Hanging, Keys, Known, Now, REPLACED, Record, WITH_GATEWAY,
    fenced,
};
use data_encoding::HEXLOWER;
use engawa_protocol::ports::Refusal;
use engawa_protocol::trust::{Kept, Peer, Turn};
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "gateway, serial, authority, issued_at, expires, seen_at,
    CASE WHEN revoked_at IS NULL THEN NULL ELSE coalesce(revoked_why, '') END";

fn certificate_of(row: &Row<'_>) -> rusqlite::Result<Certificate> {
    Ok(Certificate {
        gateway: row.get(0)?,
        serial: row.get(1)?,
        authority: row.get(2)?,
        issued_micros: row.get(3)?,
        expires_micros: row.get(4)?,
        seen_micros: row.get(5)?,
        revoked: row.get(6)?,
    })
}

/// The newest certificates, of one gateway or of all. Those of a revoked gateway are revoked with it.
///
/// # Errors
/// The database's.
pub fn certificates(
    connection: &Connection,
    gateway: Option<&str>,
    limit: u32,
) -> Result<Vec<Certificate>, StoreError> {
    let sql = format!(
        "SELECT gateway, serial, authority, issued_at, expires, seen_at,
         CASE WHEN certificate.revoked_at IS NOT NULL THEN coalesce(revoked_why, '')
              WHEN gateway.revoked_at IS NOT NULL THEN '{WITH_GATEWAY}' END
         FROM certificate JOIN gateway ON gateway.id = certificate.gateway WHERE ?1 IS NULL OR gateway = ?1
         ORDER BY gateway, coalesce(issued_at, 0) DESC LIMIT ?2"
    );
    let mut statement = connection.prepare(&sql).map_err(StoreError::sql("listing certificates"))?;
    statement
        .query_map(params![gateway, limit], certificate_of)
        .and_then(Iterator::collect)
        .map_err(StoreError::sql("listing certificates"))
}

/// A certificate was signed.
///
/// # Errors
/// The database's.
pub fn issued(
    connection: &Connection,
    peer: &Peer,
    authority: [u8; 32],
    now_micros: i64,
) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO certificate (gateway, serial, key_hash, authority, issued_at, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                peer.gateway,
                peer.serial,
                peer.key,
                HEXLOWER.encode(&authority),
                now_micros,
                peer.not_after_s.saturating_mul(1_000_000)
            ],
        )
        .map(drop)
        .map_err(StoreError::sql("recording a certificate"))
}

/// A gateway is enrolled with this certificate: what another machine had under its name is revoked, and turns begin anew.
///
/// # Errors
/// The database's.
pub fn enrolled(
    connection: &Connection,
    peer: &Peer,
    authority: [u8; 32],
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::sql("recording an enrolment");
    issued(connection, peer, authority, now_micros)?;
    let others = connection
        .execute(
            "UPDATE certificate SET revoked_at = ?3, revoked_why = ?4
             WHERE gateway = ?1 AND key_hash <> ?2 AND revoked_at IS NULL",
            params![peer.gateway, peer.key, now_micros, REPLACED],
        )
        .map_err(doing)?;
    if others > 0 {
        tracing::warn!(gateway = %peer.gateway, others, "certificates of another machine were revoked");
    }
    connection
        .execute(
            "UPDATE gateway SET certificates_since = ?2, turn_number = NULL, turn_secret = NULL WHERE id = ?1",
            params![peer.gateway, now_micros],
        )
        .map(drop)
        .map_err(doing)
}

/// A gateway uses this certificate now. One that is not on record is put there.
///
/// # Errors
/// The database's.
pub fn used(connection: &Connection, peer: &Peer, now_micros: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO certificate (gateway, serial, key_hash, expires, seen_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (gateway, serial) DO UPDATE SET seen_at = excluded.seen_at",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                peer.gateway,
                peer.serial,
                peer.key,
                peer.not_after_s.saturating_mul(1_000_000),
                now_micros
            ])
        })
        .map(drop)
        .map_err(StoreError::sql("noting that a certificate is used"))
}

/// A gateway shows that it can use this certificate; one that may not be used is not noted.
///
/// # Errors
/// The database's. A refusal is not an error: it is the inner result.
pub fn proven(
    connection: &Connection,
    peer: &Peer,
    now_micros: i64,
) -> Result<Result<(), Refusal>, StoreError> {
    if let Err(refusal) = standing(connection, peer, None)? {
        return Ok(Err(refusal));
    }
    used(connection, peer, now_micros).map(Ok)
}

/// Revokes one certificate of a gateway. The claims that the gateway has used go too: they would give another one.
///
/// # Errors
/// None such on record, or the database's.
pub fn revoke_certificate(
    connection: &Connection,
    gateway: &str,
    serial: &str,
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::sql("revoking a certificate");
    let found = connection
        .execute(
            "UPDATE certificate SET revoked_at = coalesce(revoked_at, ?3), revoked_why = coalesce(revoked_why, ?4)
             WHERE gateway = ?1 AND serial = ?2",
            params![gateway, serial, now_micros, BY_HAND],
        )
        .map_err(doing)?;
    if found == 0 {
        return Err(StoreError::NoCertificate { gateway: gateway.to_owned(), serial: serial.to_owned() });
    }
    connection
        .execute("DELETE FROM claim WHERE gateway = ?1 AND used_at IS NOT NULL", [gateway])
        .map(drop)
        .map_err(doing)
}

fn known(connection: &Connection, id: &str) -> Result<Option<Known>, StoreError> {
    let read = |row: &Row<'_>| {
        let number = row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned);
        let secret = row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned);
        let fenced = row.get::<_, Option<i64>>(2)?.is_some();
        Ok(Known {
            enrolled: row.get::<_, Option<i64>>(0)?.is_some(),
            revoked: row.get::<_, Option<i64>>(1)?.is_some(),
            fenced: if fenced { Some(row.get::<_, Option<String>>(3)?.unwrap_or_default()) } else { None },
            turn: number.map(|number| Kept { number, secret }),
            address: row.get(6)?,
            certificates_since: row.get(7)?,
        })
    };
    connection
        .prepare_cached(
            "SELECT enrolled_at, revoked_at, fenced_at, fenced_why, turn_number, turn_secret, address,
             certificates_since FROM gateway WHERE id = ?1",
        )
        .and_then(|mut statement| statement.query_row([id], read).optional())
        .map_err(StoreError::sql("looking a gateway up"))
}

fn record(connection: &Connection, peer: &Peer) -> Result<Record, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM certificate WHERE gateway = ?1 AND serial = ?2");
    let certificate = connection
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            statement.query_row([&peer.gateway, &peer.serial], certificate_of).optional()
        })
        .map_err(StoreError::sql("looking a certificate up"))?;
    Ok(Record { gateway: known(connection, &peer.gateway)?, certificate })
}

/// May the session go on that began with this certificate and this turn?
///
/// # Errors
/// The database's. A refusal is not an error: it is the inner result.
pub fn standing(
    connection: &Connection,
    peer: &Peer,
    turn: Option<Turn>,
) -> Result<Result<(), Refusal>, StoreError> {
    Ok(record(connection, peer)?.standing(peer, turn))
}

/// A gateway comes for a session: its turn is noted, and gets its number. Where another box has had a turn under this
/// identity, the gateway is fenced: nobody can tell which of them is the copy.
///
/// # Errors
/// The database's. A refusal is not an error: it is the inner result, and is to be committed, for it may be a fence.
pub fn greet(
    connection: &Connection,
    peer: &Peer,
    turn: Option<Turn>,
    now_micros: i64,
) -> Result<Result<u64, Refusal>, StoreError> {
    let greeted = match record(connection, peer)?.greet(peer, turn) {
        Ok(greeted) => greeted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    used(connection, peer, now_micros)?;
    match greeted {
        Greeted::Session { number, keep } => {
            if let Some(kept) = keep {
                connection
                    .prepare_cached("UPDATE gateway SET turn_number = ?2, turn_secret = ?3 WHERE id = ?1")
                    .and_then(|mut statement| {
                        let secret = kept.secret.map(u64::cast_signed);
                        statement.execute(params![peer.gateway, kept.number.cast_signed(), secret])
                    })
                    .map_err(StoreError::sql("noting a gateway's turn"))?;
            }
            Ok(Ok(number))
        }
        Greeted::Twin { why } => {
            fence(connection, &peer.gateway, &why, now_micros)?;
            Ok(Err(fenced(peer, why)))
        }
    }
}

/// Nobody talks under this identity until somebody has looked.
///
/// # Errors
/// The database's.
pub fn fence(connection: &Connection, gateway: &str, why: &str, now_micros: i64) -> Result<(), StoreError> {
    tracing::error!(gateway, why, "a gateway is fenced");
    connection
        .execute(
            "UPDATE gateway SET fenced_at = coalesce(fenced_at, ?3), fenced_why = coalesce(fenced_why, ?2)
             WHERE id = ?1",
            params![gateway, why, now_micros],
        )
        .map(drop)
        .map_err(StoreError::sql("fencing a gateway"))
}

/// Somebody has looked: whichever box comes first is the gateway from now on. Gives why it was fenced.
///
/// # Errors
/// No such gateway, one that is not fenced, or the database's.
pub fn unfence(connection: &Connection, id: &str) -> Result<String, StoreError> {
    let found = known(connection, id)?.ok_or_else(|| StoreError::NoGateway(id.to_owned()))?;
    let why = found.fenced.ok_or_else(|| StoreError::NotFenced(id.to_owned()))?;
    connection
        .execute(
            "UPDATE gateway SET fenced_at = NULL, fenced_why = NULL, turn_secret = NULL WHERE id = ?1",
            [id],
        )
        .map_err(StoreError::sql("lifting a gateway's fence"))?;
    Ok(why)
}

/// Is the certificate to be renewed?
///
/// # Errors
/// The database's. A refusal is not an error: it is the inner result.
pub fn due(connection: &Connection, peer: &Peer, now: Now<'_>) -> Result<Result<bool, Refusal>, StoreError> {
    let grace_days = settings::policy(connection)?.grace_days;
    Ok(record(connection, peer)?.due(peer, now, grace_days))
}

/// May a certificate over the key of this hash be signed for the gateway now?
///
/// # Errors
/// The database's. A refusal is not an error: it is the inner result.
pub fn may_renew(
    connection: &Connection,
    peer: &Peer,
    key: [u8; 32],
    now: Now<'_>,
) -> Result<Result<(), Refusal>, StoreError> {
    let keys = connection
        .query_row(
            "SELECT count(*) FILTER (WHERE key_hash = ?2 AND seen_at IS NOT NULL), count(*) FILTER (WHERE issued_at > ?3)
             FROM certificate WHERE gateway = ?1",
            params![peer.gateway, key, now.micros - DAY_MICROS],
            |row| Ok(Keys { used_before: row.get::<_, i64>(0)? > 0, today: row.get(1)? }),
        )
        .map_err(StoreError::sql("looking a gateway's keys up"))?;
    let grace_days = settings::policy(connection)?.grace_days;
    Ok(record(connection, peer)?.may_renew(peer, key, now, grace_days, keys))
}

/// The gateways that are enrolled, and whose newest certificate in use was not signed by the authority of this pin.
///
/// # Errors
/// The database's.
pub fn hanging(connection: &Connection, authority: [u8; 32]) -> Result<Vec<Hanging>, StoreError> {
    let doing = StoreError::sql("looking for gateways under an older authority");
    let mut statement = connection
        .prepare(
            "SELECT id, property, last_seen FROM gateway WHERE enrolled_at IS NOT NULL AND revoked_at IS NULL
             AND coalesce((SELECT authority FROM certificate WHERE gateway = id AND seen_at IS NOT NULL
                           ORDER BY seen_at DESC, issued_at DESC LIMIT 1), '') <> ?1 ORDER BY id",
        )
        .map_err(doing)?;
    let read =
        |row: &Row<'_>| Ok(Hanging { gateway: row.get(0)?, property: row.get(1)?, seen_micros: row.get(2)? });
    statement.query_map([HEXLOWER.encode(&authority)], read).and_then(Iterator::collect).map_err(doing)
}

/// Claim codes that are not used yet go: they name an authority that is no more. Gives how many.
///
/// # Errors
/// The database's.
pub fn drop_open_claims(connection: &Connection) -> Result<usize, StoreError> {
    connection
        .execute("DELETE FROM claim WHERE used_at IS NULL", [])
        .map_err(StoreError::sql("removing claim codes of an older authority"))
}
