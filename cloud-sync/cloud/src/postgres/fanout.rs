//! Tells the journal to other consumers, by NATS JetStream: `engawa.<property>.<kind>`, telemetry left out.
//!
//! PostgreSQL stays the one place where rows are durable. One replica at a time publishes (an advisory lock); the mark of
//! what JetStream has acknowledged is in `outbox`, so a NATS that is away costs time alone, and a stream that begins
//! anew, with its data gone, is filled again with the last [`KEPT`]. A row may come twice: consumers know it by gateway,
//! epoch, lane and number.
//!
//! The mark counts transactions. A dump that is put back into another server brings rows of transactions that server has
//! not had yet, so a mark from before would wait for years, or once they have passed it leave rows out: that is noticed
//! (`notice_restart`) by the server's name and by its numbers, also while NATS is away, and what the dump brought is told by
//! the order of arrival, from shortly before the last row that was told.
//!
//! Rows of guests who were erased since are taken out of the stream, and told again as they are now.
//!
//! Bounds: [`PAGE`] rows on their way; the stream forgets by age and size, and a consumer that was away longer reads the
//! journal.

use super::Store;
use crate::store::StoreError;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::context::{CreateStreamErrorKind, PublishAckFuture};
use async_nats::jetstream::{self, ErrorCode, stream};
use async_nats::{HeaderMap, header};
use deadpool_postgres::Object;
use engawa_model::Timestamp;
use futures::StreamExt;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;

/// The stream's name.
pub const STREAM: &str = "ENGAWA";
/// How long the stream keeps rows.
pub const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How long after it came a row can be in the stream: it is told up to [`KEPT`] late, and kept from then on.
pub const HELD: Duration = Duration::from_secs(2 * KEPT.as_secs());
/// How much of it, bytes; the oldest go. A NATS with less room gets a stream of half as much, and half of that, down to
/// [`LEAST_BYTES`].
const MOST_BYTES: i64 = 16 << 30;
/// The smallest stream that is worth having: some 100,000 rows.
const LEAST_BYTES: i64 = 64 << 20;
/// Rows that are on their way at once.
const PAGE: i64 = 500;
/// How often the journal is looked at where there was nothing new.
const LOOK: Duration = Duration::from_millis(250);
/// Between two tries after a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// How often erased rows are taken out of the stream while there is much to tell.
const FORGET: Duration = Duration::from_secs(3);
/// How long JetStream may take for an acknowledgement.
const ACK: Duration = Duration::from_secs(10);
/// So much before the last row that was told the rows of a dump are told again, µs.
const AGAIN_FROM: i64 = 600_000_000;
/// The name of the mark.
const CONSUMER: &str = "nats";
/// The advisory lock of whoever publishes.
const LOCK: i64 = 0x656e_6761_7761_0003;

/// What goes wrong on the way to NATS; it is tried again.
#[derive(Debug, thiserror::Error)]
enum FanoutError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("NATS: {0}")]
    Nats(String),
}

fn nats(error: impl std::fmt::Display) -> FanoutError {
    FanoutError::Nats(error.to_string())
}

/// Publishes until `cancel`, whenever no other replica does.
pub async fn run(store: Store, url: String, cancel: CancellationToken) {
    let publishing = async {
        loop {
            if let Err(error) = publish(&store, &url).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the journal is not told to NATS; trying again"
                );
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    // What was told and not noted is told again.
    let _: Option<()> = cancel.run_until_cancelled(publishing).await;
}

async fn publish(store: &Store, url: &str) -> Result<(), FanoutError> {
    // While NATS is away, too: the server's numbers may have passed the mark before it is back.
    notice(store).await?;
    let client = async_nats::connect(url).await.map_err(nats)?;
    let context = jetstream::new(client);
    // A connection of its own: the lock must end when this does, also in the middle.
    let session = Session(Some(store.client().await?));
    loop {
        let asked = session.get()?.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await;
        let mine = asked.map_err(StoreError::postgres("telling the journal to NATS"))?;
        if mine.get::<_, bool>(0) {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    let database = session.get()?;
    let mut mark = Mark::read(database).await?;
    mark.notice_restart(database).await?;
    let mut stream = open_stream(&context).await?;
    if stream.info().await.map_err(nats)?.state.last_sequence == 0 {
        mark = Mark { tx: 0, id: 0, restored_id: 0, told_micros: 0, ..mark };
        tracing::info!("NATS has a new stream: it gets what the journal has of the last days");
    }
    mark.begin(database).await?;
    // It looks through a property's messages: where that takes long, as much time is for new rows.
    let (mut forgotten, mut pause) = (Instant::now(), FORGET);
    let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    loop {
        // Nothing that came before this is told any more, however long this goes on.
        let since = Timestamp::now().as_microsecond() - kept;
        if forgotten.elapsed() >= pause {
            let begun = Instant::now();
            // What was read as it was has been told by now.
            forget(database, &context, &stream).await?;
            forgotten = Instant::now();
            pause = FORGET.max(begun.elapsed());
        }
        let restored = mark.restored_id < mark.floor_id;
        let rows = if restored {
            let from = since.max(mark.told_micros.saturating_sub(AGAIN_FROM));
            mark.restored(database, from).await?
        } else {
            mark.fresh(database, since).await?
        };
        let Some(last) = rows.last() else {
            if restored {
                mark.restored_id = mark.floor_id;
                mark.write(database).await?;
                continue;
            }
            // What is told as it was has gone out by now.
            if !forget(database, &context, &stream).await? {
                tokio::time::sleep(LOOK).await;
            }
            continue;
        };
        if restored {
            mark.restored_id = last.get(1);
        } else {
            (mark.tx, mark.id) = (last.get(0), last.get(1));
            mark.told_micros = rows.iter().map(|row| row.get(10)).fold(mark.told_micros, i64::max);
        }
        tell(&context, &rows, "").await?;
        mark.write(database).await?;
    }
}

/// Looks whether the database came of a dump, unless another replica is publishing: that one has looked.
async fn notice(store: &Store) -> Result<(), StoreError> {
    let session = Session(Some(store.client().await?));
    let database = session.get()?;
    let asked = database.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await;
    if asked.map_err(StoreError::postgres("looking whether transactions begin anew"))?.get(0) {
        Mark::read(database).await?.notice_restart(database).await?;
    }
    Ok(())
}

/// Publishes rows, and waits until JetStream has them.
async fn tell(context: &jetstream::Context, rows: &[Row], suffix: &str) -> Result<(), FanoutError> {
    let mut acks: Vec<PublishAckFuture> = Vec::with_capacity(rows.len());
    for row in rows {
        let (subject, id, body) = message(row);
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_MESSAGE_ID, format!("{id}{suffix}").as_str());
        acks.push(context.publish_with_headers(subject, headers, body.into()).await.map_err(nats)?);
    }
    for ack in acks {
        tokio::time::timeout(ACK, ack).await.map_err(nats)?.map_err(nats)?;
    }
    Ok(())
}

/// What a row's message is made of; [`message`] reads it.
const COLUMNS: &str =
    "tx, id, property, kind, gateway, epoch, lane, seq, at_micros, body, received_micros FROM journal";

/// How far NATS was told.
#[derive(Clone, Copy, Debug)]
struct Mark {
    tx: i64,
    id: i64,
    /// Rows up to `floor_id` with transactions from `base_tx` on came with a dump, and count by id.
    base_tx: i64,
    floor_id: i64,
    restored_id: i64,
    /// When the last row that was told had come, µs.
    told_micros: i64,
    /// The server whose transactions these are, as it names itself.
    system: Option<i64>,
}

impl Mark {
    async fn read(database: &Object) -> Result<Self, StoreError> {
        let row = database
            .query_opt(
                "SELECT tx, id, base_tx, floor_id, restored_id, told_micros, system FROM outbox WHERE consumer = $1",
                &[&CONSUMER],
            )
            .await
            .map_err(StoreError::postgres("reading how far NATS was told"))?;
        let none = Self {
            tx: 0,
            id: 0,
            base_tx: i64::MAX,
            floor_id: 0,
            restored_id: 0,
            told_micros: 0,
            system: None,
        };
        Ok(row.map_or(none, |row| Self {
            tx: row.get(0),
            id: row.get(1),
            base_tx: row.get(2),
            floor_id: row.get(3),
            restored_id: row.get(4),
            told_micros: row.get(5),
            system: row.get(6),
        }))
    }

    /// From here on NATS may have rows: the mark is there before the first is told. Whoever clears an erased guest's rows at
    /// this moment has done so before this returns, or looks after it whether there is a mark.
    async fn begin(&self, database: &Object) -> Result<(), StoreError> {
        let doing = StoreError::postgres("noting that NATS is told the journal");
        // The session is closed, and the transaction with it, where one of these fails.
        database.batch_execute("BEGIN; LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await.map_err(doing)?;
        self.write(database).await?;
        database.batch_execute("COMMIT").await.map_err(doing)
    }

    async fn write(&self, database: &Object) -> Result<(), StoreError> {
        database
            .execute(
                "INSERT INTO outbox (consumer, tx, id, base_tx, floor_id, restored_id, told_micros, system)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (consumer) DO UPDATE SET tx = excluded.tx,
                 id = excluded.id, base_tx = excluded.base_tx, floor_id = excluded.floor_id,
                 restored_id = excluded.restored_id, told_micros = excluded.told_micros,
                 system = excluded.system",
                &[
                    &CONSUMER,
                    &self.tx,
                    &self.id,
                    &self.base_tx,
                    &self.floor_id,
                    &self.restored_id,
                    &self.told_micros,
                    &self.system,
                ],
            )
            .await
            .map(drop)
            .map_err(StoreError::postgres("noting how far NATS was told"))
    }

    /// Another server than the mark's, or rows or a mark of transactions that this one has not had: it was filled from a
    /// dump.
    async fn notice_restart(&mut self, database: &Object) -> Result<(), StoreError> {
        let doing = StoreError::postgres("looking whether transactions begin anew");
        // First this, then the transaction: whatever has drawn a lower number has its transaction already.
        let floor: i64 =
            database.query_one("SELECT last_value FROM arrival", &[]).await.map_err(doing)?.get(0);
        let system = system(database).await?;
        let another = self.system.is_some() && system.is_some() && self.system != system;
        let row = database
            .query_one(
                "SELECT next, $1::bigint >= next OR EXISTS (SELECT FROM journal
                   WHERE tx >= next AND NOT (tx >= $2::bigint AND id <= $3::bigint))
                 FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) now",
                &[&self.tx, &self.base_tx, &self.floor_id],
            )
            .await
            .map_err(doing)?;
        if another || row.get(1) {
            *self = Self {
                tx: 0,
                id: 0,
                base_tx: row.get(0),
                floor_id: floor,
                restored_id: 0,
                told_micros: self.told_micros,
                system,
            };
            tracing::warn!("the database was filled from a dump: what it brought is told to NATS once more");
            self.write(database).await?;
        }
        self.system = system.or(self.system);
        Ok(())
    }

    async fn fresh(&self, database: &Object, since: i64) -> Result<Vec<Row>, StoreError> {
        // What is still in an open transaction is not overtaken: its numbers may be lower than those that are seen.
        let sql = format!(
            "SELECT {COLUMNS} WHERE tx >= $1 AND (tx, id) > ($1, $2) AND received_micros >= $3
             AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint AND NOT (tx >= $5 AND id <= $6)
             ORDER BY tx, id LIMIT $4"
        );
        database
            .query(&sql, &[&self.tx, &self.id, &since, &PAGE, &self.base_tx, &self.floor_id])
            .await
            .map_err(StoreError::postgres("telling the journal to NATS"))
    }

    async fn restored(&self, database: &Object, since: i64) -> Result<Vec<Row>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} WHERE id > $1 AND id <= $2 AND tx >= $3 AND received_micros >= $4
             ORDER BY id LIMIT $5"
        );
        database
            .query(&sql, &[&self.restored_id, &self.floor_id, &self.base_tx, &since, &PAGE])
            .await
            .map_err(StoreError::postgres("telling a dump's journal to NATS"))
    }
}

/// The name that a server has from its making on; `None` where it can't be asked, as on other engines.
async fn system(database: &Object) -> Result<Option<i64>, StoreError> {
    match database.query_one("SELECT system_identifier FROM pg_control_system()", &[]).await {
        Ok(row) => Ok(Some(row.get(0))),
        Err(error) if error.as_db_error().is_some() => Ok(None),
        Err(error) => Err(StoreError::postgres("asking for the server's name")(error)),
    }
}

/// Rows of erased guests that were told as they were: told again as they are, then taken out. True where there were some.
/// Cut in the middle it is done again.
async fn forget(
    database: &Object,
    context: &jetstream::Context,
    stream: &stream::Stream,
) -> Result<bool, FanoutError> {
    let doing = StoreError::postgres("taking erased rows out of NATS");
    let rows = database
        .query(
            &format!(
                "SELECT {COLUMNS} JOIN erasure_told USING (property, gateway, epoch, lane, seq, received_micros)
                 WHERE property = (SELECT property FROM erasure_told ORDER BY property LIMIT 1)
                 ORDER BY gateway, epoch, lane, seq LIMIT {PAGE}"
            ),
            &[],
        )
        .await
        .map_err(doing)?;
    let Some(first) = rows.first() else { return Ok(false) };
    let property: &str = first.get(2);
    tell(context, &rows, "/erased").await?;
    let places: HashMap<String, usize> =
        rows.iter().enumerate().map(|(n, row)| (message(row).1, n)).collect();
    let config = pull::OrderedConfig {
        filter_subject: format!("engawa.{}.>", token(property)),
        headers_only: true,
        ..pull::OrderedConfig::default()
    };
    let mut consumer = stream.create_consumer(config).await.map_err(nats)?;
    let mut left = consumer.info().await.map_err(nats)?.num_pending;
    let mut messages = consumer.messages().await.map_err(nats)?;
    let mut found = vec![false; rows.len()];
    while left > 0 && !places.is_empty() {
        let Some(told) = tokio::time::timeout(ACK, messages.next()).await.map_err(nats)? else { break };
        let told = told.map_err(nats)?;
        let info = told.info().map_err(nats)?;
        left = info.pending;
        let id = told.headers.as_ref().and_then(|headers| headers.get(header::NATS_MESSAGE_ID));
        // The same row may have been told twice: every one of them is looked at.
        if let Some(place) = id.and_then(|id| places.get(id.as_str())) {
            stream.delete_message(info.stream_sequence).await.map_err(nats)?;
            found[*place] = true;
        }
    }
    let of = |number: usize| rows.iter().map(move |row| row.get::<_, String>(number)).collect::<Vec<_>>();
    let numbers = |number: usize| rows.iter().map(move |row| row.get::<_, i64>(number)).collect::<Vec<_>>();
    let lanes: Vec<i16> = rows.iter().map(|row| row.get(6)).collect();
    database
        .execute(
            "WITH gone AS (DELETE FROM erasure_told t USING unnest($2::text[], $3::bigint[], $4::smallint[], $5::bigint[],
                 $6::boolean[]) AS r (gateway, epoch, lane, seq, found)
               WHERE t.property = $1 AND (t.gateway, t.epoch, t.lane, t.seq) = (r.gateway, r.epoch, r.lane, r.seq)
               RETURNING t.gateway, t.record, r.found),
             counted AS (SELECT gateway, record, count(*) FILTER (WHERE found) AS told FROM gone GROUP BY gateway, record)
             UPDATE erasure e SET told = e.told + counted.told FROM counted
             WHERE e.property = $1 AND e.gateway = counted.gateway AND e.record = counted.record",
            &[&property, &of(4), &numbers(5), &lanes, &numbers(7), &found],
        )
        .await
        .map_err(doing)?;
    tracing::info!(rows = rows.len(), "rows of erased guests were taken out of NATS");
    Ok(true)
}

/// The stream, made where there is none, as large as the server has room for: JetStream sets a stream's bytes aside when
/// it is made, and refuses one that its disk can't hold.
async fn open_stream(context: &jetstream::Context) -> Result<stream::Stream, FanoutError> {
    let mut bytes = MOST_BYTES;
    loop {
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec!["engawa.>".to_owned()],
            max_age: KEPT,
            max_bytes: bytes,
            duplicate_window: Duration::from_secs(120),
            ..stream::Config::default()
        };
        let refused = match context.get_or_create_stream(config).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let full = match refused.kind() {
            CreateStreamErrorKind::JetStream(error) => matches!(
                error.error_code(),
                ErrorCode::INSUFFICIENT_RESOURCES
                    | ErrorCode::STORAGE_RESOURCES_EXCEEDED
                    | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
            ),
            _ => false,
        };
        if !full || bytes <= LEAST_BYTES {
            return Err(nats(refused));
        }
        bytes /= 2;
        tracing::info!(bytes, "NATS has not the room for the whole stream; a smaller one is tried");
    }
}

/// A connection that is closed when it is dropped, and not given back with its lock.
struct Session(Option<Object>);

impl Session {
    fn get(&self) -> Result<&Object, StoreError> {
        self.0.as_ref().ok_or(StoreError::Stopped)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

/// A row's subject, the name by which a repeat is known, and its JSON.
fn message(row: &Row) -> (String, String, Vec<u8>) {
    let (property, kind, gateway): (&str, &str, &str) = (row.get(2), row.get(3), row.get(4));
    let epoch = row.get::<_, i64>(5).cast_unsigned();
    let (lane, seq): (i16, i64) = (row.get(6), row.get(7));
    let body = row
        .get::<_, Option<&str>>(9)
        .and_then(|body| serde_json::from_str::<serde_json::Value>(body).ok())
        .unwrap_or_default();
    let message = serde_json::json!({ "property": property, "gateway": gateway, "epoch": epoch, "lane": lane, "seq": seq,
        "at_micros": row.get::<_, i64>(8), "kind": kind, "body": body });
    let subject = format!("engawa.{}.{}", token(property), token(kind));
    (subject, format!("{gateway}/{epoch:x}/{lane}/{seq}"), message.to_string().into_bytes())
}

/// `text` as one token of a subject.
fn token(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let token: String = text.chars().take(64).map(plain).collect();
    if token.is_empty() { "_".to_owned() } else { token }
}
