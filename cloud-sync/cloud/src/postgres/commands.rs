//! Commands: numbered densely per gateway, taken once by key, settled once by the gateway's outcome. As
//! [`crate::store::commands`].

use super::gateways::status;
use crate::commands::{Draft, LOST, Sent, again, bounded, expired, room, warn_ahead};
use crate::store::StoreError;
use deadpool_postgres::{GenericClient, Object, Transaction};
use engawa_model::{Action, CommandKey, Timestamp};
use engawa_protocol::ports::Row;

/// The channel on which replicas hear of new commands; the payload is the gateway.
pub(crate) const CHANNEL: &str = "engawa_command";

/// Stores a command for `gateway`, once per `key`, and wakes the replicas.
///
/// # Errors
/// As [`crate::store::commands::send`], or PostgreSQL's.
pub async fn send(
    client: &mut Object,
    gateway: &str,
    key: &CommandKey,
    action: &Action,
    now: Timestamp,
    expires: Timestamp,
) -> Result<Sent, StoreError> {
    let doing = StoreError::postgres("storing a command");
    let transaction = client.transaction().await.map_err(doing)?;
    // Locked: numbers are given one after another, and a revocation is seen.
    let property = match status(&transaction, gateway, true).await? {
        None => return Err(StoreError::NoGateway(gateway.to_owned())),
        Some(status) if status.revoked => return Err(StoreError::Revoked(gateway.to_owned())),
        Some(status) => status.property,
    };
    let sent = enqueue(&transaction, (&property, gateway), key, action, now, expires).await?;
    transaction.commit().await.map_err(doing)?;
    Ok(sent)
}

/// Stores a command for a gateway whose row is locked, in the open transaction of `client`.
///
/// # Errors
/// As [`send`].
pub(crate) async fn enqueue(
    client: &impl GenericClient,
    (property, gateway): (&str, &str),
    key: &CommandKey,
    action: &Action,
    now: Timestamp,
    expires: Timestamp,
) -> Result<Sent, StoreError> {
    let doing = StoreError::postgres("storing a command");
    let of = (&property, &gateway);
    let earlier = client
        .query_opt(
            "SELECT seq, body FROM command WHERE property = $1 AND gateway = $2 AND key = $3",
            &[of.0, of.1, &key.as_str()],
        )
        .await
        .map_err(doing)?;
    if let Some(row) = earlier {
        let seq = row.get::<_, i64>(0).cast_unsigned();
        return again(gateway, key, action, seq, row.get(1));
    }
    let draft = Draft::new(key, action, expires)?;
    let waiting = client
        .query_one(
            "SELECT count(*) FROM command WHERE property = $1 AND gateway = $2 AND state = 'sent'",
            &[of.0, of.1],
        )
        .await
        .map_err(doing)?
        .get::<_, i64>(0)
        .cast_unsigned();
    room(gateway, waiting)?;
    let seq: i64 = client
        .query_one(
            "UPDATE gateway SET command_head = command_head + 1 WHERE property = $1 AND id = $2
             RETURNING command_head",
            &[of.0, of.1],
        )
        .await
        .map_err(doing)?
        .get(0);
    client
        .execute(
            "INSERT INTO command (property, gateway, seq, key, at_micros, kind, body, expires)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                of.0,
                of.1,
                &seq,
                &key.as_str(),
                &now.as_microsecond(),
                &draft.kind,
                &draft.body,
                &expires.as_microsecond(),
            ],
        )
        .await
        .map_err(doing)?;
    // Heard when the transaction is durable, not before.
    client.execute("SELECT pg_notify($1, $2)", &[&CHANNEL, of.1]).await.map_err(doing)?;
    Ok(Sent { seq: seq.cast_unsigned(), fresh: true })
}

/// The commands of `gateway` after `after`, in order, at most `max`.
///
/// # Errors
/// PostgreSQL's.
pub async fn after(client: &Object, gateway: &str, after: u64, max: usize) -> Result<Vec<Row>, StoreError> {
    let doing = StoreError::postgres("reading a gateway's commands");
    let statement = client
        .prepare_cached(
            "SELECT seq, at_micros, kind, body, state = 'ended' FROM command
             WHERE (property, gateway) = (SELECT property, id FROM gateway WHERE id = $1) AND seq > $2
             ORDER BY seq LIMIT $3",
        )
        .await
        .map_err(doing)?;
    let (after, max) = (i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(max).unwrap_or(i64::MAX));
    let rows = client.query(&statement, &[&gateway, &after, &max]).await.map_err(doing)?;
    let row = |row: tokio_postgres::Row| {
        let body: String = row.get(3);
        Row {
            seq: row.get::<_, i64>(0).cast_unsigned(),
            at_micros: row.get(1),
            kind: row.get(2),
            body: if row.get(4) { expired(body) } else { body }.into_bytes(),
        }
    };
    Ok(rows.into_iter().map(row).collect())
}

/// As [`crate::store::commands::inbox_lost`].
///
/// # Errors
/// PostgreSQL's.
pub(crate) async fn inbox_lost(
    transaction: &Transaction<'_>,
    gateway: &str,
    now_micros: i64,
) -> Result<u64, StoreError> {
    transaction
        .execute(
            "UPDATE command SET state = 'ended', outcome = 'doubtful', ended_at = $2, reason = $3
             WHERE (property, gateway) = (SELECT property, id FROM gateway WHERE id = $1)
             AND state = 'acknowledged' AND kind = 'post'",
            &[&gateway, &now_micros, &LOST],
        )
        .await
        .map_err(StoreError::postgres("settling the commands of a lost inbox"))
}

/// As [`crate::store::commands::acknowledged`].
///
/// # Errors
/// PostgreSQL's.
pub async fn acknowledged(
    client: &mut Object,
    gateway: &str,
    mark: u64,
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres("marking commands as acknowledged");
    let mark = bounded(mark);
    let transaction = client.transaction().await.map_err(doing)?;
    transaction
        .execute(
            "UPDATE command SET state = 'acknowledged', acknowledged_at = $3
             WHERE (property, gateway) = (SELECT property, id FROM gateway WHERE id = $1)
             AND seq <= $2 AND state = 'sent'",
            &[&gateway, &mark, &now_micros],
        )
        .await
        .map_err(doing)?;
    let ahead = transaction
        .execute(
            "UPDATE gateway SET command_head = $2 WHERE id = $1 AND command_head < $2",
            &[&gateway, &mark],
        )
        .await
        .map_err(doing)?;
    transaction.commit().await.map_err(doing)?;
    if ahead > 0 {
        warn_ahead(gateway, mark);
    }
    Ok(())
}
