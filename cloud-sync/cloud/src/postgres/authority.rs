//! Which authority signs gateways' certificates, agreed on by all replicas.
//!
//! Each replica has the authority in its own folder, and folders are copied one after another. So each tells which
//! authorities it has; the next one signs once all that live have it, and from then on a replica whose folder lacks it may
//! not serve: it would turn gateways away that have the newest certificates.

use super::listing::BEAT_OVER;
use crate::store::StoreError;
use data_encoding::HEXLOWER;
use deadpool_postgres::GenericClient;
use engawa_link::pki::CertificateAuthority;

/// The advisory lock between those that begin to live ([`Replica::beat`](super::Replica::beat), shared) and the one that has
/// the next authority sign: whoever begins meanwhile is counted, or finds the next one in force. Each holds it within one
/// statement, so that a process that hangs does not hold it.
pub const LOCK: i64 = 0x656e_6761_7761_0005;

/// What the replicas agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// SHA-256 of the key of the authority that signs, hexadecimal.
    pub signing: String,
    /// Some replica that lives still has the authority that was retired here, and may show a certificate of it.
    pub retired_lives: bool,
}

/// The authorities in a folder, hexadecimal; the newest last.
fn pins(authority: &CertificateAuthority) -> Vec<String> {
    [Some(authority.pin()), authority.next_pin()]
        .into_iter()
        .flatten()
        .map(|pin| HEXLOWER.encode(&pin))
        .collect()
}

/// A new cloud begins in this database, with this authority.
///
/// # Errors
/// PostgreSQL's.
pub async fn begin(client: &impl GenericClient, authority: &CertificateAuthority) -> Result<(), StoreError> {
    client
        .execute(
            "INSERT INTO authority (signing) VALUES ($1) ON CONFLICT (one) DO UPDATE SET signing = excluded.signing",
            &[&HEXLOWER.encode(&authority.pin())],
        )
        .await
        .map(drop)
        .map_err(StoreError::postgres("noting the authority"))
}

/// May a replica serve with this authority? The first one of a database decides which it is.
///
/// # Errors
/// It is not the database's, or PostgreSQL's.
pub async fn require(
    client: &impl GenericClient,
    authority: &CertificateAuthority,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres("looking the authority up");
    client
        .execute(
            "INSERT INTO authority (signing) VALUES ($1) ON CONFLICT (one) DO NOTHING",
            &[&HEXLOWER.encode(&authority.signing_pin())],
        )
        .await
        .map_err(doing)?;
    let signing: String = client.query_one("SELECT signing FROM authority", &[]).await.map_err(doing)?.get(0);
    if pins(authority).contains(&signing) { Ok(()) } else { Err(StoreError::OtherAuthority(signing)) }
}

/// Tells what this replica has, and hears what holds. `retired` is the pin of the authority before, where it was changed.
///
/// # Errors
/// PostgreSQL's.
pub async fn agree(
    client: &impl GenericClient,
    replica: &str,
    authority: &CertificateAuthority,
    retired: Option<[u8; 32]>,
) -> Result<Agreed, StoreError> {
    let doing = StoreError::postgres("agreeing on the authority");
    let mine = pins(authority);
    let tell = client
        .prepare_cached(
            "UPDATE replica SET authorities = $2 WHERE id = $1 AND authorities IS DISTINCT FROM $2",
        )
        .await
        .map_err(doing)?;
    client.execute(&tell, &[&replica, &mine]).await.map_err(doing)?;
    if let [now, next] = &mine[..] {
        move_on(client, now, next).await?;
    }
    let sql = format!(
        "SELECT signing, EXISTS (SELECT FROM replica WHERE beat > now() - interval '{BEAT_OVER}'
           AND $1::text = ANY(authorities)) FROM authority"
    );
    let hear = client.prepare_cached(&sql).await.map_err(doing)?;
    // Asked for by its name: what another replica has and this one lacks may as well be a newer one.
    let retired = retired.map(|pin| HEXLOWER.encode(&pin));
    let row = client.query_opt(&hear, &[&retired]).await.map_err(doing)?;
    Ok(row.map(|row| Agreed { signing: row.get(0), retired_lives: row.get(1) }).unwrap_or_default())
}

/// Whoever has both authorities has the next one sign, once nobody who lives lacks it.
async fn move_on(client: &impl GenericClient, now: &str, next: &str) -> Result<(), StoreError> {
    let doing = StoreError::postgres("agreeing on the authority");
    let signs = client.prepare_cached("SELECT FROM authority WHERE signing = $1").await.map_err(doing)?;
    if client.query_opt(&signs, &[&now]).await.map_err(doing)?.is_none() {
        return Ok(());
    }
    // One request; what is looked at is looked at after the lock is there. Pins are hexadecimal: nothing is to be escaped.
    let sql = format!(
        "DO $$ BEGIN
           PERFORM pg_advisory_xact_lock({LOCK});
           UPDATE authority SET signing = '{next}' WHERE signing = '{now}' AND NOT EXISTS
             (SELECT FROM replica WHERE beat > now() - interval '{BEAT_OVER}' AND NOT '{next}' = ANY(authorities));
         END $$"
    );
    client.batch_execute(&sql).await.map_err(doing)?;
    if client.query_opt(&signs, &[&next]).await.map_err(doing)?.is_some() {
        tracing::info!(authority = next, "every replica has the next authority: it signs from now on");
    }
    Ok(())
}

/// The addresses of the replicas that live and do not have the authority of this pin yet.
///
/// # Errors
/// PostgreSQL's.
pub async fn lagging(client: &impl GenericClient, pin: [u8; 32]) -> Result<Vec<String>, StoreError> {
    let sql = format!(
        "SELECT address FROM replica WHERE beat > now() - interval '{BEAT_OVER}' AND NOT $1 = ANY(authorities)
         ORDER BY address"
    );
    let rows = client
        .query(&sql, &[&HEXLOWER.encode(&pin)])
        .await
        .map_err(StoreError::postgres("looking for replicas without the next authority"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
