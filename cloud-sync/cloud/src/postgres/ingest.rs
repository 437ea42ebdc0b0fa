//! One transaction that takes in what several gateways have sent: gateways locked in order, rows by whole runs, projections
//! as sets, marks moved. The semantics are those of [`crate::store::ingest`].

use super::clean;
use super::projection::Projection;
use crate::bundles::{BULK, split};
use crate::store::StoreError;
use deadpool_postgres::Object;
use engawa_protocol::ports::{Ingested, Row, Skip};
use futures::future::BoxFuture;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::Poll;

/// Telemetry's lane: its rows lie in partitions by day.
pub(crate) const TELEMETRY: u8 = 5;

/// What one gateway has sent.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) gateway: String,
    pub(crate) epoch: u64,
    pub(crate) lane: u8,
    pub(crate) rows: Vec<Row>,
    /// Rows that will never come, in place of rows.
    pub(crate) skip: Option<Skip>,
}

/// New rows of one lane, one after another.
struct Run<'a> {
    property: &'a str,
    first: u64,
    rows: Vec<Cow<'a, Row>>,
}

type Key<'a> = (&'a str, i64, u8);

/// The one lock of a gateway: two replicas with one gateway take turns, a revocation waits or is seen. In the order of
/// names, so that two transactions never wait for each other.
const LOCK: &str = "SELECT id, property, enrolled_at IS NOT NULL AND revoked_at IS NULL, epoch,
    fenced_at IS NOT NULL FROM gateway
    WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE";
const MARKS: &str = "SELECT m.gateway, m.epoch, m.lane, m.seq FROM gateway g
    JOIN mark m ON m.property = g.property AND m.gateway = g.id WHERE g.id = ANY($1::text[])";
const JOURNAL: &str = "INSERT INTO journal
    (property, gateway, epoch, lane, seq, at_micros, received_micros, kind, body, raw)
    SELECT $1, $2, $3, $4, $5 + n, at, $6, kind, body, raw
    FROM unnest($7::bigint[], $8::text[], $9::text[], $10::bytea[]) WITH ORDINALITY AS r (at, kind, body, raw, n)";
const TELEMETRY_ROWS: &str = "INSERT INTO telemetry
    (property, gateway, epoch, seq, at_micros, received_micros, kind, body, raw)
    SELECT $1, $2, $3, $4 + n, at, $5, kind, body, raw
    FROM unnest($6::bigint[], $7::text[], $8::text[], $9::bytea[]) WITH ORDINALITY AS r (at, kind, body, raw, n)";
const MOVE: &str = "INSERT INTO mark (property, gateway, epoch, lane, seq)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::smallint[], $5::bigint[])
    ON CONFLICT (property, gateway, epoch, lane) DO UPDATE SET seq = excluded.seq";

/// Statements that are on their way together: a round trip for all of them, in their order.
pub(crate) type Pipeline<'a> = Vec<BoxFuture<'a, Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>>>;

/// Sends all of `statements` in their order (a statement is sent when its future is polled first), and waits for all.
pub(crate) async fn in_order(
    mut statements: Pipeline<'_>,
) -> Result<Vec<Vec<tokio_postgres::Row>>, tokio_postgres::Error> {
    let mut answers: Vec<Option<Vec<tokio_postgres::Row>>> = statements.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waits = false;
        for (statement, answer) in statements.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match Pin::new(statement).poll(context) {
                    Poll::Ready(Ok(rows)) => *answer = Some(rows),
                    // The first that failed: those after it fail for its sake.
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => waits = true,
                }
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(answers.into_iter().flatten().collect())
}

/// Why nothing of a batch is stored, though nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The gateway is not enrolled, or revoked.
    NotAdmitted,
    /// Two boxes with its identity were seen.
    Fenced,
    /// The gateway has begun another life of its journal: what was on its way of the one before must not slip in after its
    /// marks were told.
    EpochOver,
}

/// Takes `batches` in, in one transaction, and says for each how far its lane is durable.
///
/// # Errors
/// PostgreSQL's: nothing is stored then, and the connection is to be thrown away (its transaction may be open), unless
/// the answer to the commit was lost.
pub(crate) async fn take_in(
    client: &Object,
    batches: &[Batch],
    now_micros: i64,
) -> Result<Vec<Result<Ingested, Closed>>, StoreError> {
    let doing = StoreError::postgres("storing gateways' rows");
    let lock = client.prepare_cached(LOCK).await.map_err(doing)?;
    let read_marks = client.prepare_cached(MARKS).await.map_err(doing)?;
    let journal = client.prepare_cached(JOURNAL).await.map_err(doing)?;
    let telemetry = client.prepare_cached(TELEMETRY_ROWS).await.map_err(doing)?;
    let move_marks = client.prepare_cached(MOVE).await.map_err(doing)?;
    let mut ids: Vec<Cow<'_, str>> = batches.iter().map(|batch| clean(&batch.gateway)).collect();
    ids.sort_unstable();
    ids.dedup();

    let begin: Pipeline<'_> = vec![
        Box::pin(async { client.batch_execute("BEGIN").await.map(|()| Vec::new()) }),
        Box::pin(async { client.query(&lock, &[&ids]).await }),
        Box::pin(async { client.query(&read_marks, &[&ids]).await }),
    ];
    let answers = in_order(begin).await.map_err(doing)?;
    let gateways: BTreeMap<&str, (&str, Option<i64>, bool)> = answers[1]
        .iter()
        .filter(|row| row.get(2))
        .map(|row| (row.get(0), (row.get(1), row.get(3), row.get(4))))
        .collect();
    let mut marks: BTreeMap<Key<'_>, u64> = answers[2]
        .iter()
        .map(|row| {
            let lane = u8::try_from(row.get::<_, i16>(2)).unwrap_or(u8::MAX);
            ((row.get(0), row.get(1), lane), row.get::<_, i64>(3).cast_unsigned())
        })
        .collect();

    // Runs without a hole, and which of them a lane's next row goes on.
    let (mut runs, mut open): (Vec<(Key<'_>, Run<'_>)>, BTreeMap<Key<'_>, usize>) = Default::default();
    let mut moved: BTreeMap<Key<'_>, &str> = BTreeMap::new();
    let mut projection = Projection::new(now_micros);
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        let Some((property, epoch, fenced)) = gateways.get(batch.gateway.as_str()).copied() else {
            outcomes.push(Err(Closed::NotAdmitted));
            continue;
        };
        if fenced {
            outcomes.push(Err(Closed::Fenced));
            continue;
        }
        if epoch.is_some_and(|epoch| epoch != batch.epoch.cast_signed()) {
            outcomes.push(Err(Closed::EpochOver));
            continue;
        }
        let key = (batch.gateway.as_str(), batch.epoch.cast_signed(), batch.lane);
        let mark = marks.entry(key).or_insert(0);
        let mut hole = false;
        for row in &batch.rows {
            if row.seq <= *mark {
                continue;
            }
            // No overflow: it is above the mark, so at least 1.
            if row.seq - 1 != *mark {
                hole = true;
                break;
            }
            let place = *open.entry(key).or_insert_with(|| {
                runs.push((key, Run { property, first: row.seq, rows: Vec::new() }));
                runs.len() - 1
            });
            moved.insert(key, property);
            // The bytes of a bundle are kept beside the journal.
            if let Some((piece, kept)) = (batch.lane == BULK).then(|| split(row)).flatten() {
                projection.bundle(property, &batch.gateway, row.at_micros, now_micros, piece);
                runs[place].1.rows.push(Cow::Owned(kept));
            } else {
                runs[place].1.rows.push(Cow::Borrowed(row));
                projection.row(property, &batch.gateway, batch.epoch, batch.lane, row);
            }
            *mark = row.seq;
        }
        if let Some(skip) = batch.skip.as_ref().filter(|skip| skip.to > *mark) {
            if skip.from > mark.saturating_add(1) {
                hole = true;
            } else {
                let body = serde_json::json!({ "kind": Skip::KIND, "from": *mark + 1, "to": skip.to, "reason": skip.reason });
                let (seq, body) = (skip.to, body.to_string().into_bytes());
                let row = Row { seq, at_micros: now_micros, kind: Skip::KIND.to_owned(), body };
                runs.push((key, Run { property, first: seq, rows: vec![Cow::Owned(row)] }));
                open.remove(&key);
                moved.insert(key, property);
                projection.gap(property, &batch.gateway, batch.epoch, batch.lane, now_micros);
                *mark = skip.to;
            }
        }
        outcomes.push(Ok(if hole { Ingested::Gap(*mark) } else { Ingested::Upto(*mark) }));
    }

    let mut statements: Pipeline<'_> = Vec::new();
    for ((gateway, epoch, lane), run) in &runs {
        let statement = if *lane == TELEMETRY { &telemetry } else { &journal };
        statements.push(Box::pin(insert(client, statement, gateway, *epoch, *lane, run, now_micros)));
    }
    if !runs.is_empty() {
        let keys = || moved.keys();
        let properties: Vec<&str> = moved.values().copied().collect();
        let names: Vec<&str> = keys().map(|key| key.0).collect();
        let epochs: Vec<i64> = keys().map(|key| key.1).collect();
        let lanes: Vec<i16> = keys().map(|key| i16::from(key.2)).collect();
        let seqs: Vec<i64> = keys().map(|key| marks[key].cast_signed()).collect();
        let move_marks = &move_marks;
        statements.push(Box::pin(async move {
            client.query(move_marks, &[&properties, &names, &epochs, &lanes, &seqs]).await
        }));
    }
    in_order(statements).await.map_err(doing)?;
    projection.store(client).await?;
    client.batch_execute("COMMIT").await.map_err(doing)?;
    Ok(outcomes)
}

async fn insert(
    client: &Object,
    statement: &tokio_postgres::Statement,
    gateway: &str,
    epoch: i64,
    lane: u8,
    run: &Run<'_>,
    now_micros: i64,
) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    // What PostgreSQL calls text is UTF-8 without the character 0.
    let text = |row: &Row| std::str::from_utf8(&row.body).ok().filter(|text| !text.contains('\0')).is_some();
    let plain = run.rows.iter().all(|row| text(row));
    let bodies: Vec<Option<&str>> = run
        .rows
        .iter()
        .map(|row| if plain || text(row) { std::str::from_utf8(&row.body).ok() } else { None })
        .collect();
    let raw: Option<Vec<Option<&[u8]>>> =
        (!plain).then(|| run.rows.iter().map(|row| (!text(row)).then_some(row.body.as_slice())).collect());
    if !plain {
        tracing::warn!(gateway, lane, "a body is not UTF-8: stored, not projected");
    }
    let kinds: Vec<Cow<'_, str>> = run.rows.iter().map(|row| clean(&row.kind)).collect();
    let times: Vec<i64> = run.rows.iter().map(|row| row.at_micros).collect();
    // The first row has the ordinal 1.
    let before = (run.first - 1).cast_signed();
    if lane == TELEMETRY {
        client
            .query(
                statement,
                &[&run.property, &gateway, &epoch, &before, &now_micros, &times, &kinds, &bodies, &raw],
            )
            .await
    } else {
        client
            .query(
                statement,
                &[
                    &run.property,
                    &gateway,
                    &epoch,
                    &i16::from(lane),
                    &before,
                    &now_micros,
                    &times,
                    &kinds,
                    &bodies,
                    &raw,
                ],
            )
            .await
    }
}
