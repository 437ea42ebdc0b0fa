//! Certificates on record, fences and turns: the SQL of what [`crate::trust`] decides, as [`crate::store::trust`].
//!
//! Whatever is written is written under the lock of the gateway's row, so that a copy of a box that comes to another replica
//! at the same moment is seen.

use super::clean;
use super::gateways::status;
use super::settings;
use crate::store::StoreError;
use crate::trust::{
    BY_HAND, Certificate, DAY_MICROS, Greeted, Hanging, Keys, Known, Now, REPLACED, Record, WITH_GATEWAY,
    fenced,
};
use data_encoding::HEXLOWER;
use deadpool_postgres::{GenericClient, Object, Transaction};
use engawa_protocol::ports::Refusal;
use engawa_protocol::trust::{Kept, Peer, Session, Turn};
use tokio_postgres::Row;

fn certificate_of(row: &Row) -> Certificate {
    Certificate {
        gateway: row.get(0),
        serial: row.get(1),
        authority: row.get(2),
        issued_micros: row.get(3),
        expires_micros: row.get(4),
        seen_micros: row.get(5),
        revoked: row.get(6),
    }
}

/// The newest certificates, of one gateway or of all. Those of a revoked gateway are revoked with it.
///
/// # Errors
/// PostgreSQL's.
pub async fn certificates(
    client: &impl GenericClient,
    gateway: Option<&str>,
    limit: u32,
) -> Result<Vec<Certificate>, StoreError> {
    let sql = format!(
        "SELECT gateway, serial, authority, issued_at, expires, seen_at,
         CASE WHEN c.revoked_at IS NOT NULL THEN coalesce(revoked_why, '')
              WHEN g.revoked_at IS NOT NULL THEN '{WITH_GATEWAY}' END
         FROM certificate c JOIN gateway g ON (g.property, g.id) = (c.property, c.gateway)
         WHERE $1::text IS NULL OR gateway = $1 ORDER BY gateway, coalesce(issued_at, 0) DESC LIMIT $2"
    );
    let rows = client
        .query(&sql, &[&gateway, &i64::from(limit)])
        .await
        .map_err(StoreError::postgres("listing certificates"))?;
    Ok(rows.iter().map(certificate_of).collect())
}

/// A certificate was signed.
///
/// # Errors
/// PostgreSQL's.
pub async fn issued(
    transaction: &Transaction<'_>,
    peer: &Peer,
    authority: [u8; 32],
    now_micros: i64,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO certificate (property, gateway, serial, key_hash, authority, issued_at, expires)
             SELECT property, id, $2, $3, $4, $5, $6 FROM gateway WHERE id = $1",
            &[
                &peer.gateway,
                &peer.serial,
                &peer.key.as_slice(),
                &HEXLOWER.encode(&authority),
                &now_micros,
                &peer.not_after_s.saturating_mul(1_000_000),
            ],
        )
        .await
        .map(drop)
        .map_err(StoreError::postgres("recording a certificate"))
}

/// A gateway is enrolled with this certificate: what another machine had under its name is revoked, and turns begin anew.
///
/// # Errors
/// PostgreSQL's.
pub async fn enrolled(
    transaction: &Transaction<'_>,
    peer: &Peer,
    authority: [u8; 32],
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres("recording an enrolment");
    let Some(found) = status(transaction, &peer.gateway, true).await? else {
        return Err(StoreError::NoGateway(peer.gateway.clone()));
    };
    issued(transaction, peer, authority, now_micros).await?;
    let others = transaction
        .execute(
            "UPDATE certificate SET revoked_at = $4, revoked_why = $5
             WHERE property = $1 AND gateway = $2 AND key_hash <> $3 AND revoked_at IS NULL",
            &[&found.property, &peer.gateway, &peer.key.as_slice(), &now_micros, &REPLACED],
        )
        .await
        .map_err(doing)?;
    if others > 0 {
        tracing::warn!(gateway = %peer.gateway, others, "certificates of another machine were revoked");
    }
    transaction
        .execute("UPDATE gateway SET certificates_since = $2 WHERE id = $1", &[&peer.gateway, &now_micros])
        .await
        .map_err(doing)?;
    transaction
        .execute("DELETE FROM turn WHERE property = $1 AND gateway = $2", &[&found.property, &peer.gateway])
        .await
        .map(drop)
        .map_err(doing)
}

/// A gateway uses this certificate now. One that is not on record is put there.
///
/// # Errors
/// PostgreSQL's.
pub async fn used(client: &impl GenericClient, peer: &Peer, now_micros: i64) -> Result<(), StoreError> {
    let doing = StoreError::postgres("noting that a certificate is used");
    let statement = client
        .prepare_cached(
            "INSERT INTO certificate (property, gateway, serial, key_hash, expires, seen_at)
             SELECT property, id, $2, $3, $4, $5 FROM gateway WHERE id = $1
             ON CONFLICT (property, gateway, serial) DO UPDATE SET seen_at = excluded.seen_at",
        )
        .await
        .map_err(doing)?;
    let expires = peer.not_after_s.saturating_mul(1_000_000);
    client
        .execute(&statement, &[&peer.gateway, &peer.serial, &peer.key.as_slice(), &expires, &now_micros])
        .await
        .map(drop)
        .map_err(doing)
}

/// As [`crate::store::trust::proven`].
///
/// # Errors
/// PostgreSQL's. A refusal is not an error: it is the inner result.
pub async fn proven(
    client: &mut Object,
    peer: &Peer,
    now_micros: i64,
) -> Result<Result<(), Refusal>, StoreError> {
    let doing = StoreError::postgres("noting that a certificate works");
    let transaction = client.transaction().await.map_err(doing)?;
    status(&transaction, &peer.gateway, true).await?;
    if let Err(refusal) = standing(&transaction, peer, None).await? {
        return Ok(Err(refusal));
    }
    used(&transaction, peer, now_micros).await?;
    transaction.commit().await.map_err(doing)?;
    Ok(Ok(()))
}

/// As [`crate::store::trust::revoke_certificate`].
///
/// # Errors
/// None such on record, or PostgreSQL's.
pub async fn revoke_certificate(
    client: &mut Object,
    gateway: &str,
    serial: &str,
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres("revoking a certificate");
    let transaction = client.transaction().await.map_err(doing)?;
    status(&transaction, gateway, true).await?;
    let found = transaction
        .execute(
            "UPDATE certificate SET revoked_at = coalesce(revoked_at, $3), revoked_why = coalesce(revoked_why, $4)
             WHERE gateway = $1 AND serial = $2",
            &[&gateway, &serial, &now_micros, &BY_HAND],
        )
        .await
        .map_err(doing)?;
    if found == 0 {
        return Err(StoreError::NoCertificate { gateway: gateway.to_owned(), serial: serial.to_owned() });
    }
    transaction
        .execute("DELETE FROM claim WHERE gateway = $1 AND used_at IS NOT NULL", &[&gateway])
        .await
        .map_err(doing)?;
    transaction.commit().await.map_err(doing)
}

/// What is on record of a certificate and its gateway, in one question. `s` is what is asked for.
const RECORD: &str = "SELECT g.id IS NOT NULL, g.enrolled_at IS NOT NULL, g.revoked_at IS NOT NULL,
      CASE WHEN g.fenced_at IS NOT NULL THEN coalesce(g.fenced_why, '') END, t.number, t.secret, p.address,
      g.certificates_since, c.serial, c.authority, c.issued_at, c.expires, c.seen_at,
      CASE WHEN c.revoked_at IS NOT NULL THEN coalesce(c.revoked_why, '') END
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS s (id, serial, n) LEFT JOIN gateway g ON g.id = s.id
    LEFT JOIN turn t ON (t.property, t.gateway) = (g.property, g.id)
    LEFT JOIN presence p ON (p.property, p.gateway) = (g.property, g.id)
    LEFT JOIN certificate c ON (c.property, c.gateway, c.serial) = (g.property, g.id, s.serial) ORDER BY s.n";

fn record_of(row: &Row, peer: &Peer) -> Record {
    if !row.get::<_, bool>(0) {
        return Record::default();
    }
    let number = row.get::<_, Option<i64>>(4).map(i64::cast_unsigned);
    let secret = row.get::<_, Option<i64>>(5).map(i64::cast_unsigned);
    let gateway = Known {
        enrolled: row.get(1),
        revoked: row.get(2),
        fenced: row.get(3),
        turn: number.map(|number| Kept { number, secret }),
        address: row.get(6),
        certificates_since: row.get(7),
    };
    let serial: Option<String> = row.get(8);
    let certificate = serial.map(|serial| Certificate {
        gateway: peer.gateway.clone(),
        serial,
        authority: row.get(9),
        issued_micros: row.get(10),
        expires_micros: row.get(11),
        seen_micros: row.get(12),
        revoked: row.get(13),
    });
    Record { gateway: Some(gateway), certificate }
}

async fn record(client: &impl GenericClient, peer: &Peer) -> Result<Record, StoreError> {
    let doing = StoreError::postgres("looking a certificate up");
    let statement = client.prepare_cached(RECORD).await.map_err(doing)?;
    let (gateways, serials) = ([clean(&peer.gateway)], [peer.serial.as_str()]);
    let row = client.query_one(&statement, &[&gateways.as_slice(), &serials.as_slice()]).await;
    Ok(record_of(&row.map_err(doing)?, peer))
}

/// The same as [`standing`] for many sessions, in their order.
///
/// # Errors
/// PostgreSQL's.
pub async fn standings(
    client: &impl GenericClient,
    sessions: &[Session],
) -> Result<Vec<Result<(), Refusal>>, StoreError> {
    let doing = StoreError::postgres("looking certificates up");
    let statement = client.prepare_cached(RECORD).await.map_err(doing)?;
    let gateways: Vec<_> = sessions.iter().map(|session| clean(&session.peer.gateway)).collect();
    let serials: Vec<&str> = sessions.iter().map(|session| session.peer.serial.as_str()).collect();
    let rows = client.query(&statement, &[&gateways, &serials]).await.map_err(doing)?;
    let stands = |(row, session): (&Row, &Session)| {
        record_of(row, &session.peer).standing(&session.peer, session.turn)
    };
    Ok(rows.iter().zip(sessions).map(stands).collect())
}

/// As [`crate::store::trust::standing`].
///
/// # Errors
/// PostgreSQL's. A refusal is not an error: it is the inner result.
pub async fn standing(
    client: &impl GenericClient,
    peer: &Peer,
    turn: Option<Turn>,
) -> Result<Result<(), Refusal>, StoreError> {
    Ok(record(client, peer).await?.standing(peer, turn))
}

/// As [`crate::store::trust::greet`]: the turn, or the fence, is durable when it is answered.
///
/// # Errors
/// PostgreSQL's. A refusal is not an error: it is the inner result.
pub async fn greet(
    client: &mut Object,
    peer: &Peer,
    turn: Option<Turn>,
    now_micros: i64,
) -> Result<Result<u64, Refusal>, StoreError> {
    let doing = StoreError::postgres("noting a gateway's turn");
    let transaction = client.transaction().await.map_err(doing)?;
    let found = status(&transaction, &peer.gateway, true).await?;
    let greeted = match record(&transaction, peer).await?.greet(peer, turn) {
        Ok(greeted) => greeted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // Whoever is greeted is known.
    let Some(found) = found else { return Ok(Err(Refusal::Unknown(peer.gateway.clone()))) };
    used(&transaction, peer, now_micros).await?;
    let answer = match greeted {
        Greeted::Session { number, keep } => {
            if let Some(kept) = keep {
                let statement = transaction
                    .prepare_cached(
                        "INSERT INTO turn (property, gateway, number, secret) VALUES ($1, $2, $3, $4)
                         ON CONFLICT (property, gateway) DO UPDATE SET number = excluded.number, secret = excluded.secret",
                    )
                    .await
                    .map_err(doing)?;
                let (number, secret) = (kept.number.cast_signed(), kept.secret.map(u64::cast_signed));
                transaction
                    .execute(&statement, &[&found.property, &peer.gateway, &number, &secret])
                    .await
                    .map_err(doing)?;
            }
            Ok(number)
        }
        Greeted::Twin { why } => {
            fence(&transaction, &peer.gateway, &why, now_micros).await?;
            Err(fenced(peer, why))
        }
    };
    transaction.commit().await.map_err(doing)?;
    Ok(answer)
}

/// Nobody talks under this identity until somebody has looked.
///
/// # Errors
/// PostgreSQL's.
pub async fn fence(
    client: &impl GenericClient,
    gateway: &str,
    why: &str,
    now_micros: i64,
) -> Result<(), StoreError> {
    tracing::error!(gateway, why, "a gateway is fenced");
    client
        .execute(
            "UPDATE gateway SET fenced_at = coalesce(fenced_at, $3), fenced_why = coalesce(fenced_why, $2)
             WHERE id = $1",
            &[&gateway, &why, &now_micros],
        )
        .await
        .map(drop)
        .map_err(StoreError::postgres("fencing a gateway"))
}

/// As [`crate::store::trust::unfence`].
///
/// # Errors
/// No such gateway, one that is not fenced, or PostgreSQL's.
pub async fn unfence(client: &mut Object, gateway: &str) -> Result<String, StoreError> {
    let doing = StoreError::postgres("lifting a gateway's fence");
    let transaction = client.transaction().await.map_err(doing)?;
    let found = transaction
        .query_opt(
            "SELECT CASE WHEN fenced_at IS NOT NULL THEN coalesce(fenced_why, '') END FROM gateway
             WHERE id = $1 FOR NO KEY UPDATE",
            &[&gateway],
        )
        .await
        .map_err(doing)?
        .ok_or_else(|| StoreError::NoGateway(gateway.to_owned()))?;
    let why: Option<String> = found.get(0);
    let why = why.ok_or_else(|| StoreError::NotFenced(gateway.to_owned()))?;
    for sql in [
        "UPDATE gateway SET fenced_at = NULL, fenced_why = NULL WHERE id = $1",
        "UPDATE turn SET secret = NULL WHERE gateway = $1",
    ] {
        transaction.execute(sql, &[&gateway]).await.map_err(doing)?;
    }
    transaction.commit().await.map_err(doing)?;
    Ok(why)
}

/// As [`crate::store::trust::due`].
///
/// # Errors
/// PostgreSQL's. A refusal is not an error: it is the inner result.
pub async fn due(
    client: &impl GenericClient,
    peer: &Peer,
    now: Now<'_>,
) -> Result<Result<bool, Refusal>, StoreError> {
    let grace_days = settings::policy(client).await?.grace_days;
    Ok(record(client, peer).await?.due(peer, now, grace_days))
}

/// As [`crate::store::trust::may_renew`].
///
/// # Errors
/// PostgreSQL's. A refusal is not an error: it is the inner result.
pub async fn may_renew(
    client: &impl GenericClient,
    peer: &Peer,
    key: [u8; 32],
    now: Now<'_>,
) -> Result<Result<(), Refusal>, StoreError> {
    let row = client
        .query_one(
            "SELECT count(*) FILTER (WHERE key_hash = $2 AND seen_at IS NOT NULL) > 0,
             count(*) FILTER (WHERE issued_at > $3) FROM certificate
             WHERE (property, gateway) = (SELECT property, id FROM gateway WHERE id = $1)",
            &[&peer.gateway, &key.as_slice(), &(now.micros - DAY_MICROS)],
        )
        .await
        .map_err(StoreError::postgres("looking a gateway's keys up"))?;
    let keys = Keys { used_before: row.get(0), today: row.get(1) };
    let grace_days = settings::policy(client).await?.grace_days;
    Ok(record(client, peer).await?.may_renew(peer, key, now, grace_days, keys))
}

/// The next certificate of a gateway, signed already, goes on record, if it may be.
///
/// # Errors
/// PostgreSQL's. A refusal is not an error: it is the inner result.
pub async fn renewed(
    client: &mut Object,
    old: &Peer,
    next: &Peer,
    now: Now<'_>,
) -> Result<Result<(), Refusal>, StoreError> {
    let doing = StoreError::postgres("recording a renewed certificate");
    let transaction = client.transaction().await.map_err(doing)?;
    // Looked at again under the lock: it may have been revoked, or have asked twice at once.
    status(&transaction, &old.gateway, true).await?;
    if let Err(refusal) = may_renew(&transaction, old, next.key, now).await? {
        return Ok(Err(refusal));
    }
    issued(&transaction, next, now.signer, now.micros).await?;
    transaction.commit().await.map_err(doing)?;
    Ok(Ok(()))
}

/// As [`crate::store::trust::hanging`].
///
/// # Errors
/// PostgreSQL's.
pub async fn hanging(client: &impl GenericClient, authority: [u8; 32]) -> Result<Vec<Hanging>, StoreError> {
    let rows = client
        .query(
            "SELECT g.id, g.property, p.last_seen FROM gateway g
             LEFT JOIN presence p ON (p.property, p.gateway) = (g.property, g.id)
             WHERE enrolled_at IS NOT NULL AND revoked_at IS NULL
             AND coalesce((SELECT authority FROM certificate c WHERE (c.property, c.gateway) = (g.property, g.id)
                           AND seen_at IS NOT NULL ORDER BY seen_at DESC, issued_at DESC NULLS LAST LIMIT 1), '') <> $1
             ORDER BY g.id",
            &[&HEXLOWER.encode(&authority)],
        )
        .await
        .map_err(StoreError::postgres("looking for gateways under an older authority"))?;
    let hanging = |row: &Row| Hanging { gateway: row.get(0), property: row.get(1), seen_micros: row.get(2) };
    Ok(rows.iter().map(hanging).collect())
}

/// As [`crate::store::trust::drop_open_claims`].
///
/// # Errors
/// PostgreSQL's.
pub async fn drop_open_claims(client: &impl GenericClient) -> Result<usize, StoreError> {
    client
        .execute("DELETE FROM claim WHERE used_at IS NULL", &[])
        .await
        .map(|rows| usize::try_from(rows).unwrap_or(usize::MAX))
        .map_err(StoreError::postgres("removing claim codes of an older authority"))
}
