//! Erased guests, as [`crate::store::erasure`], and what NATS was told of them.
//!
//! The tombstone is recorded in the transaction of its row. Then one replica at a time (an advisory lock) goes through the
//! journal's rows of the stay (found by an index, see `indexes`), telemetry that names a stay, and the commands, in pieces. Cleared rows that NATS may have been told go into
//! `erasure_told` with the same statement; whoever tells NATS takes them out there (`super::fanout`). All of it may be
//! killed at any moment.

mod indexes;
mod missed;

pub use missed::Missed;

use super::{Store, clean, fanout, history};
use crate::erasure::{
    Gone, LANES, PIECE, Report, SUPERSEDED, TOGETHER, clear, clear_command, gone, tombstone, verify,
};
use crate::store::StoreError;
use deadpool_postgres::{ClientWrapper, GenericClient, Object};
use engawa_model::{Erasure, ErasureReason};
use indexes::{NAMED, STAY, key};
use std::collections::{BTreeSet, HashMap};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The advisory lock of whoever goes through the journal.
const LOCK: i64 = 0x656e_6761_7761_0004;
/// What NATS forgets by time it may keep a little longer, µs.
const MARGIN: i64 = 3_600 * 1_000_000;

/// Rows that came before this are in NATS no more, µs.
fn not_held(now_micros: i64) -> i64 {
    let held = i64::try_from(fanout::HELD.as_micros()).unwrap_or(i64::MAX);
    now_micros.saturating_sub(held.saturating_add(MARGIN))
}

/// What NATS has forgotten by time is not open any more. Counted from the last row that was told, too: whoever tells NATS
/// takes its rows out itself; this is for a NATS that was given up. `$1`: [`not_held`].
const FORGOTTEN: &str = "received_micros < $1 AND NOT EXISTS (SELECT FROM outbox WHERE told_micros >= $1)";

/// Records a tombstone, and clears stay and charges. `$1` property, `$2` gateway, then as [`parameters`] has them.
/// Of a number whose older stay's time is over, while it is a guest's who is in the house now, only what is older goes (see
/// [`crate::erasure::reach`]).
pub(crate) const RECEIVED: &str = "WITH house AS (SELECT arrived_at FROM stay
      WHERE property = $1 AND gateway = $2 AND stay = $3 AND left_at IS NULL),
    reach AS (SELECT $5::boolean OR NOT EXISTS (SELECT FROM house) AS whole,
      CASE WHEN $5::boolean THEN $4::bigint
           ELSE coalesce((SELECT least($4::bigint, arrived_at - 1) FROM house), $4::bigint) END AS upto),
    stays AS (UPDATE stay SET language = NULL, arrival = NULL, departure = NULL FROM reach
      WHERE property = $1 AND gateway = $2 AND stay = $3 AND $10::boolean AND reach.whole RETURNING 1),
    charges AS (UPDATE posting SET text = '', answer = NULL FROM reach
      WHERE property = $1 AND gateway = $2 AND stay = $3 AND $10::boolean AND changed_micros <= reach.upto RETURNING 1)
    INSERT INTO erasure AS e (property, gateway, stay, at_micros, reason, record, signer, signature, verified,
      received_micros, upto_micros, stays, postings)
    SELECT $1, $2, $3, $4, $6, $7, $8, $9, $10, $11, upto, (SELECT count(*) FROM stays), (SELECT count(*) FROM charges)
    FROM reach
    ON CONFLICT (property, gateway, record) DO UPDATE SET stay = excluded.stay, at_micros = excluded.at_micros,
    reason = excluded.reason, signer = excluded.signer, signature = excluded.signature, verified = excluded.verified,
    received_micros = excluded.received_micros, upto_micros = excluded.upto_micros, applied_micros = NULL,
    stays = e.stays + excluded.stays, postings = e.postings + excluded.postings
    WHERE excluded.verified >= e.verified";

type Parameter = Box<dyn ToSql + Sync + Send>;

/// The parameters of [`RECEIVED`] from the third on.
pub(crate) fn parameters(gateway: &str, erasure: &Erasure, now_micros: i64) -> Vec<Parameter> {
    let verified = verify(erasure);
    if !verified {
        tracing::error!(gateway, record = %erasure.record, "a tombstone's signature does not fit: recorded, nothing is erased");
    }
    let text = |text: &str| -> Parameter { Box::new(clean(text).into_owned()) };
    vec![
        text(erasure.stay.as_str()),
        Box::new(erasure.at.as_microsecond()),
        Box::new(erasure.reason == ErasureReason::Asked),
        text(erasure.reason.as_str()),
        text(&erasure.record),
        text(&erasure.signer),
        text(&erasure.signature),
        Box::new(verified),
        Box::new(now_micros),
    ]
}

/// A tombstone was taken over from a file: as if its row had come. False where the gateway is not known.
///
/// # Errors
/// PostgreSQL's.
pub async fn received(
    client: &mut Object,
    gateway: &str,
    erasure: &Erasure,
    now_micros: i64,
) -> Result<bool, StoreError> {
    let doing = StoreError::postgres("recording an erasure");
    let transaction = client.transaction().await.map_err(doing)?;
    let Some(found) = super::gateways::status(&transaction, gateway, true).await? else { return Ok(false) };
    let mut all: Vec<Parameter> = vec![Box::new(found.property), Box::new(gateway.to_owned())];
    all.extend(parameters(gateway, erasure, now_micros));
    let all: Vec<&(dyn ToSql + Sync)> = all.iter().map(|one| &**one as &(dyn ToSql + Sync)).collect();
    transaction.execute(RECEIVED, &all).await.map_err(doing)?;
    transaction.commit().await.map_err(doing)?;
    Ok(true)
}

/// A row that names stays, on a lane of its own, and may come after their tombstones.
pub(crate) struct Late {
    pub(crate) property: String,
    pub(crate) gateway: String,
    pub(crate) epoch: i64,
    pub(crate) lane: i16,
    pub(crate) seq: i64,
    pub(crate) at: i64,
    pub(crate) stays: Vec<String>,
    pub(crate) body: String,
}

/// Clears those of `rows` that name a stay which is erased already, in the connection's open transaction that has stored
/// them.
///
/// # Errors
/// PostgreSQL's.
pub(crate) async fn clear_late(client: &Object, rows: &[Late]) -> Result<(), StoreError> {
    let doing = StoreError::postgres("clearing late rows of erased stays");
    let named: Vec<(usize, &Late, &str)> = rows
        .iter()
        .enumerate()
        .flat_map(|(place, row)| row.stays.iter().map(move |stay| (place, row, stay.as_str())))
        .collect();
    let properties: Vec<&str> = named.iter().map(|(_, row, _)| row.property.as_str()).collect();
    let gateways: Vec<&str> = named.iter().map(|(_, row, _)| row.gateway.as_str()).collect();
    // As tombstones have them.
    let stays: Vec<_> = named.iter().map(|(.., stay)| clean(stay)).collect();
    let look = client
        .prepare_cached(
            "SELECT n, max(upto_micros) FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS r (p, g, s, n)
             JOIN erasure ON property = p AND gateway = g AND stay = s AND verified GROUP BY n",
        )
        .await
        .map_err(doing)?;
    let mut gone: HashMap<usize, Gone> = HashMap::new();
    for answer in client.query(&look, &[&properties, &gateways, &stays]).await.map_err(doing)? {
        let ordinal = usize::try_from(answer.get::<_, i64>(0) - 1).unwrap_or(usize::MAX);
        let Some((place, _, stay)) = named.get(ordinal) else { continue };
        gone.entry(*place).or_default().insert((*stay).to_owned(), answer.get(1));
    }
    for (place, gone) in gone {
        let row = &rows[place];
        let Some((_, body)) = clear(&row.body, row.at, &gone).filter(|(_, body)| *body != row.body) else {
            continue;
        };
        client
            .execute(
                "UPDATE journal SET body = $6
                 WHERE property = $1 AND gateway = $2 AND epoch = $3 AND lane = $4 AND seq = $5",
                &[&row.property, &row.gateway, &row.epoch, &row.lane, &row.seq, &body],
            )
            .await
            .map_err(doing)?;
    }
    Ok(())
}

/// Whom and what one way through a journal is for.
struct Way<'a> {
    client: &'a ClientWrapper,
    property: &'a str,
    gateway: &'a str,
    gone: Gone,
    /// The same for commands, which have this clock's times: where all of a guest goes, up to when the tombstone came.
    gone_commands: Gone,
    /// A tombstone of each stay, for the record of what NATS was told.
    records: HashMap<String, String>,
    /// Rows that came later may still be in NATS, µs.
    told_since: i64,
}

/// Goes through the journal and the commands of each gateway with tombstones that are not applied yet. Gives how many were
/// applied; `None`: another replica is at it. A gateway that fails is told of, and the others are gone through all the same.
///
/// # Errors
/// PostgreSQL's, the first gateway's that failed; what is done is done, the rest is done next time.
pub async fn sweep(store: &Store, now_micros: i64) -> Result<Option<usize>, StoreError> {
    let doing = StoreError::postgres("looking for erasures");
    let any = {
        let client = store.client().await?;
        let any = "SELECT EXISTS (SELECT FROM erasure WHERE applied_micros IS NULL AND verified)";
        let forgotten = format!("DELETE FROM erasure_told WHERE {FORGOTTEN}");
        let forgotten = client.execute(&forgotten, &[&not_held(now_micros)]).await.map_err(doing)?;
        if forgotten > 0 {
            tracing::info!(
                rows = forgotten,
                "rows of erased guests are in NATS no more: their time there is over"
            );
        }
        client.query_one(any, &[]).await.map_err(doing)?.get::<_, bool>(0)
            || indexes::lacking(&client).await?
    };
    if !any {
        return Ok(Some(0));
    }
    // Out of the pool at once: whoever cuts this in the middle ends the session, and the lock with it.
    let client = Object::take(store.client().await?);
    let mine = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await.map_err(doing)?;
    if !mine.get::<_, bool>(0) {
        return Ok(None);
    }
    if indexes::lacking(&client).await? {
        indexes::build(&client).await?;
    }
    let (mut applied, mut failed) = (0, None);
    let (mut property, mut gateway) = (String::new(), String::new());
    let next = "SELECT property, gateway FROM erasure WHERE applied_micros IS NULL AND verified
        AND (property, gateway) > ($1, $2) ORDER BY property, gateway LIMIT 1";
    while let Some(row) = client.query_opt(next, &[&property, &gateway]).await.map_err(doing)? {
        (property, gateway) = (row.get(0), row.get(1));
        loop {
            match sweep_gateway(&client, &property, &gateway, now_micros).await {
                Ok(Some(count)) => {
                    applied += count;
                    if i64::try_from(count).unwrap_or(0) < TOGETHER {
                        break;
                    }
                }
                // Its telemetry is being made history of: the next look.
                Ok(None) => break,
                Err(error) if client.is_closed() => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        property,
                        gateway,
                        error = &error as &dyn std::error::Error,
                        "a gateway's erasures could not be ended; the others go on"
                    );
                    failed.get_or_insert(error);
                    break;
                }
            }
        }
    }
    client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK]).await.map_err(doing)?;
    failed.map_or(Ok(Some(applied)), Err)
}

async fn sweep_gateway(
    client: &ClientWrapper,
    property: &str,
    gateway: &str,
    now_micros: i64,
) -> Result<Option<usize>, StoreError> {
    let doing = StoreError::postgres("going through the journal for erased stays");
    let pending: Vec<(String, String, i64, i64)> = client
        .query(
            "SELECT record, stay, upto_micros, CASE reason WHEN 'asked' THEN greatest(upto_micros, received_micros)
             ELSE upto_micros END FROM erasure WHERE property = $1 AND gateway = $2
             AND applied_micros IS NULL AND verified LIMIT $3",
            &[&property, &gateway, &TOGETHER],
        )
        .await
        .map_err(doing)?
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect();
    let way = Way {
        client,
        property,
        gateway,
        gone: gone(pending.iter().map(|(_, stay, upto, _)| (stay.as_str(), *upto))),
        gone_commands: gone(pending.iter().map(|(_, stay, _, until)| (stay.as_str(), *until))),
        records: pending.iter().map(|(record, stay, ..)| (stay.clone(), record.clone())).collect(),
        told_since: not_held(now_micros),
    };
    let telemetry = way.in_telemetry().await?;
    if telemetry {
        let lock = "SELECT pg_try_advisory_lock($1)";
        let mine = client.query_one(lock, &[&history::LOCK]).await.map_err(doing)?;
        if !mine.get::<_, bool>(0) {
            return Ok(None);
        }
    }
    let found = way.rows(telemetry).await;
    if telemetry {
        let unlock = "SELECT pg_advisory_unlock($1)";
        client.query_one(unlock, &[&history::LOCK]).await.map_err(doing)?;
    }
    let journal = found?;
    let commands = way.commands(now_micros).await?;
    let of = |counts: &HashMap<String, i64>, stay: &String| counts.get(stay).copied().unwrap_or(0);
    let records: Vec<&str> = pending.iter().map(|(record, ..)| record.as_str()).collect();
    let journal: Vec<i64> = pending.iter().map(|(_, stay, ..)| of(&journal, stay)).collect();
    let commands: Vec<i64> = pending.iter().map(|(_, stay, ..)| of(&commands, stay)).collect();
    // One that came again with another reach meanwhile is gone through once more.
    let uptos: Vec<i64> = pending.iter().map(|(_, _, upto, _)| *upto).collect();
    client
        .execute(
            "UPDATE erasure e SET applied_micros = $3, journal = r.journal, commands = r.commands
             FROM unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[]) AS r (record, journal, commands, upto)
             WHERE property = $1 AND gateway = $2 AND e.record = r.record AND e.upto_micros = r.upto",
            &[&property, &gateway, &now_micros, &records, &journal, &commands, &uptos],
        )
        .await
        .map_err(doing)?;
    Ok(Some(pending.len()))
}

impl Way<'_> {
    /// Clears the rows; gives how many there are of each stay.
    async fn rows(&self, telemetry: bool) -> Result<HashMap<String, i64>, StoreError> {
        let mut found = HashMap::new();
        // Each row has one of the keys. The empty one is of those that must be read to be known, and is last: a row that is
        // cleared may be a simpler one afterwards, and would be counted again.
        let keys: BTreeSet<String> = self.gone.keys().map(|stay| key(stay)).chain([String::new()]).collect();
        for key in keys.into_iter().rev() {
            self.journal(&key, &mut found).await?;
        }
        if telemetry {
            self.telemetry(&mut found).await?;
        }
        Ok(found)
    }

    async fn journal(&self, key: &str, found: &mut HashMap<String, i64>) -> Result<(), StoreError> {
        let doing = StoreError::postgres("reading the journal for erased stays");
        let read = self
            .client
            .prepare_cached(&format!(
                "SELECT epoch, lane, seq, at_micros, received_micros, body FROM journal
                 WHERE property = $1 AND gateway = $2 AND {STAY} = $3 AND {NAMED} AND lane = ANY($4)
                 AND (epoch, lane, seq) > ($5, $6, $7) ORDER BY epoch, lane, seq LIMIT $8"
            ))
            .await
            .map_err(doing)?;
        let write = self
            .client
            .prepare_cached(
                "WITH r AS (SELECT * FROM unnest($3::bigint[], $4::smallint[], $5::bigint[], $6::text[], $7::text[],
                   $8::bigint[]) AS r (epoch, lane, seq, body, record, received)),
                 told AS (INSERT INTO erasure_told (property, gateway, epoch, lane, seq, record, received_micros)
                   SELECT $1, $2, epoch, lane, seq, record, received FROM r
                   WHERE received >= $9 AND EXISTS (SELECT FROM outbox) ON CONFLICT DO NOTHING)
                 UPDATE journal j SET body = r.body FROM r
                 WHERE property = $1 AND gateway = $2 AND (j.epoch, j.lane, j.seq) = (r.epoch, r.lane, r.seq)",
            )
            .await
            .map_err(doing)?;
        let lanes = LANES.map(i16::from);
        let mut after = (i64::MIN, 0_i16, 0_i64);
        loop {
            let (epoch, lane, seq) = after;
            let rows = self
                .client
                .query(
                    &read,
                    &[&self.property, &self.gateway, &key, &lanes.as_slice(), &epoch, &lane, &seq, &PIECE],
                )
                .await
                .map_err(doing)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.get(0), last.get(1), last.get(2));
            let (mut epochs, mut lanes, mut seqs) = (Vec::<i64>::new(), Vec::<i16>::new(), Vec::<i64>::new());
            let (mut bodies, mut records, mut received) = (Vec::new(), Vec::<&str>::new(), Vec::<i64>::new());
            for row in &rows {
                let before: &str = row.get(5);
                let Some((stay, body)) = clear(before, row.get(3), &self.gone) else { continue };
                if body != before {
                    epochs.push(row.get(0));
                    lanes.push(row.get(1));
                    seqs.push(row.get(2));
                    bodies.push(body);
                    records.push(self.records.get(&stay).map_or("", String::as_str));
                    received.push(row.get(4));
                }
                *found.entry(stay).or_default() += 1;
            }
            if !seqs.is_empty() {
                self.client
                    .execute(
                        &write,
                        &[
                            &self.property,
                            &self.gateway,
                            &epochs,
                            &lanes,
                            &seqs,
                            &bodies,
                            &records,
                            &received,
                            &self.told_since,
                        ],
                    )
                    .await
                    .map_err(doing)?;
            }
        }
    }

    /// Telemetry of this release names no stay; that of another might, and what is not known may not be passed over. Each day
    /// has an index of such rows, so that this costs nothing.
    async fn in_telemetry(&self) -> Result<bool, StoreError> {
        self.client
            .query_one(
                &format!(
                    "SELECT EXISTS (SELECT FROM telemetry WHERE property = $1 AND gateway = $2 AND {NAMED})
                     OR EXISTS (SELECT FROM telemetry_other WHERE property = $1 AND gateway = $2 AND named)"
                ),
                &[&self.property, &self.gateway],
            )
            .await
            .map(|row| row.get(0))
            .map_err(StoreError::postgres("looking for erased stays in telemetry"))
    }

    /// Whoever calls has the lock of history: what becomes history meanwhile would slip through.
    async fn telemetry(&self, found: &mut HashMap<String, i64>) -> Result<(), StoreError> {
        let doing = StoreError::postgres("going through telemetry for erased stays");
        let (mut epoch, mut seq) = (i64::MIN, -1_i64);
        loop {
            let rows = self
                .client
                .query(
                    "SELECT epoch, seq, received_micros, at_micros, body FROM telemetry
                     WHERE property = $1 AND gateway = $2 AND strpos(body, '\"stay\"') > 0 AND (epoch, seq) > ($3, $4)
                     ORDER BY epoch, seq LIMIT $5",
                    &[&self.property, &self.gateway, &epoch, &seq, &PIECE],
                )
                .await
                .map_err(doing)?;
            let Some(last) = rows.last() else { break };
            (epoch, seq) = (last.get(0), last.get(1));
            for row in &rows {
                let before: &str = row.get(4);
                let Some((stay, body)) = clear(before, row.get(3), &self.gone) else { continue };
                *found.entry(stay).or_default() += 1;
                if body == before {
                    continue;
                }
                let (epoch, seq, received): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
                self.client
                    .execute(
                        "UPDATE telemetry SET body = $6 WHERE property = $1 AND gateway = $2 AND epoch = $3
                         AND seq = $4 AND received_micros = $5",
                        &[&self.property, &self.gateway, &epoch, &seq, &received, &body],
                    )
                    .await
                    .map_err(doing)?;
            }
        }
        let days = self
            .client
            .query(
                "SELECT day::text, data FROM telemetry_other WHERE property = $1 AND gateway = $2 AND named",
                &[&self.property, &self.gateway],
            )
            .await
            .map_err(doing)?;
        for row in days {
            let (day, data): (&str, &[u8]) = (row.get(0), row.get(1));
            let Some(anew) = history::cleared(data, &self.gone, found)? else { continue };
            self.client
                .execute(
                    "UPDATE telemetry_other SET data = $4
                     WHERE property = $1 AND gateway = $2 AND day = $3::text::date",
                    &[&self.property, &self.gateway, &day, &anew],
                )
                .await
                .map_err(doing)?;
        }
        Ok(())
    }

    /// Commands that name the stay, and those whose charge went to it. One that has not gone out yet does not go out any
    /// more.
    async fn commands(&self, now_micros: i64) -> Result<HashMap<String, i64>, StoreError> {
        let doing = StoreError::postgres("going through the commands for erased stays");
        let mut found: HashMap<String, i64> = HashMap::new();
        let mut after = 0_i64;
        loop {
            let rows = self
                .client
                .query(
                    "SELECT seq, at_micros, body, (SELECT stay FROM posting p WHERE p.property = $1 AND p.gateway = $2
                       AND p.key = c.key AND stay IS NOT NULL LIMIT 1)
                     FROM command c WHERE property = $1 AND gateway = $2 AND seq > $3 ORDER BY seq LIMIT $4",
                    &[&self.property, &self.gateway, &after, &PIECE],
                )
                .await
                .map_err(doing)?;
            let Some(last) = rows.last() else { return Ok(found) };
            after = last.get(0);
            let (mut seqs, mut bodies) = (Vec::<i64>::new(), Vec::new());
            for row in &rows {
                let before: &str = row.get(2);
                let Some((stay, body)) = clear_command(before, row.get(1), row.get(3), &self.gone_commands)
                else {
                    continue;
                };
                *found.entry(stay).or_default() += 1;
                if body != before {
                    seqs.push(row.get(0));
                    bodies.push(body);
                }
            }
            if seqs.is_empty() {
                continue;
            }
            self.client
                .execute(
                    "UPDATE command c SET body = r.body,
                     outcome = CASE state WHEN 'sent' THEN 'superseded' ELSE outcome END,
                     reason = CASE state WHEN 'sent' THEN $5 ELSE reason END,
                     ended_at = CASE state WHEN 'sent' THEN $6::bigint ELSE ended_at END,
                     state = CASE state WHEN 'sent' THEN 'ended' ELSE state END
                     FROM unnest($3::bigint[], $4::text[]) AS r (seq, body)
                     WHERE property = $1 AND gateway = $2 AND c.seq = r.seq",
                    &[&self.property, &self.gateway, &seqs, &bodies, &SUPERSEDED, &now_micros],
                )
                .await
                .map_err(doing)?;
        }
    }
}

/// What became of tombstones: all, or those of one gateway or stay.
///
/// # Errors
/// PostgreSQL's.
pub async fn report(
    client: &impl GenericClient,
    gateway: Option<&str>,
    stay: Option<&str>,
) -> Result<Vec<Report>, StoreError> {
    let rows = client
        .query(
            "SELECT gateway, record, stay, at_micros, reason, signer, signature, verified, received_micros,
             applied_micros, stays, postings, commands, journal, told, NOT EXISTS (SELECT FROM erasure o
               WHERE (o.property, o.gateway) = (e.property, e.gateway) AND o.verified AND o.signer <> e.signer),
             (SELECT count(*) FROM erasure_told t
               WHERE (t.property, t.gateway, t.record) = (e.property, e.gateway, e.record))
             FROM erasure e WHERE ($1::text IS NULL OR gateway = $1) AND ($2::text IS NULL OR stay = $2)
             ORDER BY received_micros, record",
            &[&gateway, &stay],
        )
        .await
        .map_err(StoreError::postgres("reading what became of erasures"))?;
    let report = |row: &Row| Report {
        gateway: row.get(0),
        erasure: tombstone(row.get(1), row.get(2), row.get(3), row.get(4), row.get(5), row.get(6)),
        verified: row.get(7),
        received_micros: row.get(8),
        applied_micros: row.get(9),
        stays: row.get(10),
        postings: row.get(11),
        commands: row.get(12),
        journal: row.get(13),
        told: row.get(14),
        usual_signer: row.get(15),
        told_open: row.get(16),
    };
    Ok(rows.iter().map(report).collect())
}
