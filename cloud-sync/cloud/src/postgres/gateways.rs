//! Who may talk: claims, enrolment, revocation, and who is connected where.

use super::{clean, trust};
use crate::store::StoreError;
use crate::store::gateways::hash;
use deadpool_postgres::{GenericClient, Object, Transaction};
use engawa_protocol::ports::Refusal;
use engawa_protocol::trust::Peer;

/// What is known of a gateway.
pub(crate) struct Status {
    pub(crate) property: String,
    pub(crate) enrolled: bool,
    pub(crate) revoked: bool,
    pub(crate) fenced: bool,
    pub(crate) epoch: Option<u64>,
}

impl Status {
    pub(crate) fn admitted(&self) -> bool {
        self.enrolled && !self.revoked && !self.fenced
    }
}

const STATUS: &str =
    "SELECT property, enrolled_at IS NOT NULL, revoked_at IS NOT NULL, fenced_at IS NOT NULL, epoch
    FROM gateway WHERE id = $1";

pub(crate) async fn status(
    client: &impl GenericClient,
    gateway: &str,
    lock: bool,
) -> Result<Option<Status>, StoreError> {
    let doing = StoreError::postgres("looking a gateway up");
    let sql = if lock { format!("{STATUS} FOR NO KEY UPDATE") } else { STATUS.to_owned() };
    let statement = client.prepare_cached(&sql).await.map_err(doing)?;
    let row = client.query_opt(&statement, &[&clean(gateway)]).await.map_err(doing)?;
    Ok(row.map(|row| Status {
        property: row.get(0),
        enrolled: row.get(1),
        revoked: row.get(2),
        fenced: row.get(3),
        epoch: row.get::<_, Option<i64>>(4).map(i64::cast_unsigned),
    }))
}

/// As [`crate::store::gateways::claim`]. True where the gateway is enrolled already.
///
/// # Errors
/// A revoked gateway, one of another property, or PostgreSQL's.
pub async fn claim(
    client: &mut Object,
    property: &str,
    gateway: &str,
    name: Option<&str>,
    secret: &str,
    now_micros: i64,
    expires_micros: i64,
) -> Result<bool, StoreError> {
    let doing = StoreError::postgres("noting a claim");
    let transaction = client.transaction().await.map_err(doing)?;
    let enrolled = match status(&transaction, gateway, true).await? {
        Some(Status { revoked: true, .. }) => return Err(StoreError::Revoked(gateway.to_owned())),
        Some(Status { property: other, .. }) if other != property => {
            return Err(StoreError::OtherProperty { gateway: gateway.to_owned(), property: other });
        }
        Some(status) => {
            if let Some(name) = name {
                transaction
                    .execute("UPDATE gateway SET name = $2 WHERE id = $1", &[&gateway, &name])
                    .await
                    .map_err(doing)?;
            }
            status.admitted()
        }
        None => {
            transaction
                .execute(
                    "INSERT INTO gateway (property, id, name) VALUES ($1, $2, $3)",
                    &[&property, &gateway, &name.unwrap_or(gateway)],
                )
                .await
                .map_err(doing)?;
            false
        }
    };
    // Claims that can't be used any more serve nobody after a week.
    let old = now_micros.saturating_sub(7 * 86_400 * 1_000_000);
    transaction.execute("DELETE FROM claim WHERE expires < $1", &[&old]).await.map_err(doing)?;
    transaction
        .execute(
            "INSERT INTO claim (secret_hash, property, gateway, expires) VALUES ($1, $2, $3, $4)",
            &[&hash(secret), &property, &gateway, &expires_micros],
        )
        .await
        .map_err(doing)?;
    transaction.commit().await.map_err(doing)?;
    Ok(enrolled)
}

/// As [`crate::store::gateways::claimed`].
///
/// # Errors
/// PostgreSQL's.
pub async fn claimed(
    client: &impl GenericClient,
    secret: &str,
    csr_pem: &str,
    now_micros: i64,
) -> Result<Option<String>, StoreError> {
    let found = client
        .query_opt(
            "SELECT claim.gateway, expires, request_hash, enrolled_at = used_at AND NOT EXISTS (
               SELECT FROM certificate c WHERE (c.property, c.gateway) = (claim.property, claim.gateway)
               AND seen_at IS NOT NULL AND coalesce(issued_at, seen_at) >= used_at)
             FROM claim JOIN gateway ON gateway.id = claim.gateway
             WHERE secret_hash = $1 AND revoked_at IS NULL FOR UPDATE OF claim",
            &[&hash(secret)],
        )
        .await
        .map_err(StoreError::postgres("looking a claim up"))?;
    let request = hash(csr_pem);
    Ok(found.and_then(|row| {
        let (used_by, repeatable): (Option<Vec<u8>>, Option<bool>) = (row.get(2), row.get(3));
        let unused_or_lost = used_by.is_none_or(|used_by| used_by == request && repeatable == Some(true));
        let good = row.get::<_, i64>(1) > now_micros && unused_or_lost;
        good.then(|| row.get(0))
    }))
}

/// As [`crate::store::gateways::enrol`].
///
/// # Errors
/// PostgreSQL's. A refusal is not an error: it is the inner result, and the claim is then not used up.
pub async fn enrol(
    client: &mut Object,
    secret: &str,
    csr_pem: &str,
    now_micros: i64,
    sign: impl FnOnce(&str) -> Result<String, Refusal>,
) -> Result<Result<(String, String), Refusal>, StoreError> {
    let doing = StoreError::postgres("redeeming a claim");
    let transaction = client.transaction().await.map_err(doing)?;
    let redeemed = redeem(&transaction, secret, csr_pem, now_micros, sign).await?;
    if redeemed.is_ok() {
        transaction.commit().await.map_err(doing)?;
    }
    Ok(redeemed)
}

/// Uses a claim up for a certificate that is signed already, of what `peer` says, by the authority of the pin `signer`; the
/// machine before is out. Gives false where the claim is not (any more) for that gateway.
///
/// # Errors
/// PostgreSQL's.
pub async fn enrol_signed(
    client: &mut Object,
    secret: &str,
    csr_pem: &str,
    peer: &Peer,
    signer: [u8; 32],
    now_micros: i64,
) -> Result<bool, StoreError> {
    let doing = StoreError::postgres("redeeming a claim");
    let transaction = client.transaction().await.map_err(doing)?;
    let sign = |named: &str| if named == peer.gateway { Ok(String::new()) } else { Err(Refusal::BadClaim) };
    if redeem(&transaction, secret, csr_pem, now_micros, sign).await?.is_err() {
        return Ok(false);
    }
    trust::enrolled(&transaction, peer, signer, now_micros).await?;
    transaction.commit().await.map_err(doing)?;
    Ok(true)
}

async fn redeem(
    transaction: &Transaction<'_>,
    secret: &str,
    csr_pem: &str,
    now_micros: i64,
    sign: impl FnOnce(&str) -> Result<String, Refusal>,
) -> Result<Result<(String, String), Refusal>, StoreError> {
    let doing = StoreError::postgres("redeeming a claim");
    let sql = "SELECT gateway FROM claim WHERE secret_hash = $1";
    let Some(named) = transaction.query_opt(sql, &[&hash(secret)]).await.map_err(doing)? else {
        return Ok(Err(Refusal::BadClaim));
    };
    // The gateway's lock before the claim's, as whoever revokes it: neither waits for the other, and what the other has
    // done is seen below.
    status(transaction, named.get(0), true).await?;
    let Some(gateway) = claimed(transaction, secret, csr_pem, now_micros).await? else {
        return Ok(Err(Refusal::BadClaim));
    };
    let certificate = match sign(&gateway) {
        Ok(certificate) => certificate,
        Err(refusal) => return Ok(Err(refusal)),
    };
    transaction
        .execute(
            "UPDATE claim SET used_at = $2, request_hash = $3 WHERE secret_hash = $1",
            &[&hash(secret), &now_micros, &hash(csr_pem)],
        )
        .await
        .map_err(doing)?;
    transaction
        .execute(
            "DELETE FROM claim WHERE gateway = $1 AND used_at IS NOT NULL AND secret_hash <> $2",
            &[&gateway, &hash(secret)],
        )
        .await
        .map_err(doing)?;
    transaction
        .execute("UPDATE gateway SET enrolled_at = $2 WHERE id = $1", &[&gateway, &now_micros])
        .await
        .map_err(doing)?;
    Ok(Ok((gateway, certificate)))
}

/// As [`crate::store::gateways::revoke`].
///
/// # Errors
/// No such gateway, or PostgreSQL's.
pub async fn revoke(client: &mut Object, gateway: &str, now_micros: i64) -> Result<(), StoreError> {
    let doing = StoreError::postgres("revoking a gateway");
    let transaction = client.transaction().await.map_err(doing)?;
    let found = transaction
        .execute(
            "UPDATE gateway SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1",
            &[&gateway, &now_micros],
        )
        .await
        .map_err(doing)?;
    if found == 0 {
        return Err(StoreError::NoGateway(gateway.to_owned()));
    }
    transaction
        .execute("DELETE FROM claim WHERE gateway = $1 AND used_at IS NULL", &[&gateway])
        .await
        .map_err(doing)?;
    transaction.commit().await.map_err(doing)
}

/// As [`crate::store::gateways::epoch_seen`].
///
/// # Errors
/// PostgreSQL's.
pub async fn epoch_seen(
    client: &mut Object,
    gateway: &str,
    epoch: u64,
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres("noting a gateway's epoch");
    let transaction = client.transaction().await.map_err(doing)?;
    match status(&transaction, gateway, true).await? {
        Some(status) if status.epoch != Some(epoch) => {
            begin_epoch(&transaction, gateway, status.epoch, epoch, now_micros).await?;
        }
        _ => return Ok(()),
    }
    transaction.commit().await.map_err(doing)
}

async fn begin_epoch(
    transaction: &Transaction<'_>,
    gateway: &str,
    before: Option<u64>,
    epoch: u64,
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres("noting a gateway's epoch");
    transaction
        .execute("UPDATE gateway SET epoch = $2 WHERE id = $1", &[&gateway, &epoch.cast_signed()])
        .await
        .map_err(doing)?;
    if before.is_some() {
        super::house_settings::tell_all(transaction, gateway, epoch, now_micros).await?;
        let doubtful = super::commands::inbox_lost(transaction, gateway, now_micros).await?
            + super::postings::epoch_over(transaction, gateway, epoch, now_micros).await?;
        tracing::warn!(gateway, doubtful, "the gateway's journal begins anew: a new or restored disk");
    }
    Ok(())
}

/// As [`crate::store::gateways::seen`], on the replica `replica`.
///
/// # Errors
/// PostgreSQL's.
pub async fn seen(
    client: &Object,
    gateway: &str,
    replica: &str,
    connected: bool,
    address: &str,
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres("noting that a gateway was seen");
    let sql = if connected {
        "INSERT INTO presence (property, gateway, replica, address, connected, last_seen)
         SELECT property, id, $2, $3, true, $4 FROM gateway WHERE id = $1
         ON CONFLICT (property, gateway) DO UPDATE SET replica = excluded.replica, address = excluded.address,
         connected = true, last_seen = excluded.last_seen"
    } else {
        "UPDATE presence SET last_seen = $4, connected = false
         WHERE (property, gateway) IN (SELECT property, id FROM gateway WHERE id = $1)
         AND replica = $2 AND address = $3"
    };
    let statement = client.prepare_cached(sql).await.map_err(doing)?;
    client.execute(&statement, &[&gateway, &replica, &address, &now_micros]).await.map(drop).map_err(doing)
}

/// A gateway begins a session: its marks, and this is its epoch from now on. Rows that are on their way elsewhere are
/// waited for (the gateway's lock), and those that come later know a later epoch or find the marks where they are.
///
/// # Errors
/// PostgreSQL's. A refusal is not an error: it is the inner result.
pub async fn welcome(
    client: &mut Object,
    gateway: &str,
    epoch: u64,
    heads: &[(u8, u64)],
    now_micros: i64,
) -> Result<Result<Vec<(u8, u64)>, Refusal>, StoreError> {
    let doing = StoreError::postgres("welcoming a gateway");
    let transaction = client.transaction().await.map_err(doing)?;
    let (marks, last) = match greeting(&transaction, gateway, epoch, heads).await? {
        Ok(greeting) => greeting,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if last != Some(epoch) {
        // Before any command goes out: what the lost disk may have done is not to be done again.
        begin_epoch(&transaction, gateway, last, epoch, now_micros).await?;
    }
    transaction.commit().await.map_err(doing)?;
    Ok(Ok(marks))
}

/// The marks of a gateway that may go on, or why it may not; and whether it spoke of this epoch last. As
/// [`crate::store::ingest::hello`].
///
/// # Errors
/// PostgreSQL's. A refusal is not an error: it is the inner result.
pub async fn hello(
    client: &impl GenericClient,
    gateway: &str,
    epoch: u64,
    heads: &[(u8, u64)],
) -> Result<Result<(Vec<(u8, u64)>, bool), Refusal>, StoreError> {
    let greeting = greeting(client, gateway, epoch, heads).await?;
    Ok(greeting.map(|(marks, last)| (marks, last == Some(epoch))))
}

/// Marks, and the epoch that the gateway spoke of last. Under the gateway's lock: a transaction that stores its rows
/// elsewhere has ended before, and its marks are seen.
async fn greeting(
    client: &impl GenericClient,
    gateway: &str,
    epoch: u64,
    heads: &[(u8, u64)],
) -> Result<Result<(Vec<(u8, u64)>, Option<u64>), Refusal>, StoreError> {
    let Some(status) = status(client, gateway, true).await?.filter(Status::admitted) else {
        return Ok(Err(Refusal::Unknown(gateway.to_owned())));
    };
    let mut marks = marks(client, &status.property, gateway, epoch).await?;
    for &(lane, cloud) in &marks {
        if let Some(&(_, edge)) = heads.iter().find(|(of, head)| *of == lane && *head < cloud) {
            return Ok(Err(Refusal::EdgeBehind { lane, cloud, edge }));
        }
    }
    for (lane, _) in heads {
        if !marks.iter().any(|(known, _)| known == lane) {
            marks.push((*lane, 0));
        }
    }
    Ok(Ok((marks, status.epoch)))
}

/// The marks of one epoch of a gateway, present or past; none of a gateway that is not known.
///
/// # Errors
/// PostgreSQL's.
pub async fn marks_of(
    client: &impl GenericClient,
    gateway: &str,
    epoch: u64,
) -> Result<Vec<(u8, u64)>, StoreError> {
    match status(client, gateway, false).await? {
        Some(status) => marks(client, &status.property, gateway, epoch).await,
        None => Ok(vec![]),
    }
}

async fn marks(
    client: &impl GenericClient,
    property: &str,
    gateway: &str,
    epoch: u64,
) -> Result<Vec<(u8, u64)>, StoreError> {
    let doing = StoreError::postgres("reading a gateway's marks");
    let statement = client
        .prepare_cached(
            "SELECT lane, seq FROM mark WHERE property = $1 AND gateway = $2 AND epoch = $3 ORDER BY lane",
        )
        .await
        .map_err(doing)?;
    let rows = client.query(&statement, &[&property, &gateway, &epoch.cast_signed()]).await.map_err(doing)?;
    // Only lanes of a byte are ever written.
    let lane = |lane: i16| u8::try_from(lane).unwrap_or(u8::MAX);
    Ok(rows.iter().map(|row| (lane(row.get(0)), row.get::<_, i64>(1).cast_unsigned())).collect())
}

/// As [`crate::store::gateways::claimed_property`].
///
/// # Errors
/// PostgreSQL's.
pub async fn claimed_property(client: &Object, secret: &str) -> Result<Option<String>, StoreError> {
    let found = client
        .query_opt("SELECT property FROM claim WHERE secret_hash = $1", &[&hash(secret)])
        .await
        .map_err(StoreError::postgres("looking a claim up"))?;
    Ok(found.map(|row| row.get(0)))
}
