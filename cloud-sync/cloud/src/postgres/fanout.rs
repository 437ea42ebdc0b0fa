//! Tells the journal to other consumers, by NATS JetStream: `engawa.<property>.<kind>`, telemetry left out.
//!
//! PostgreSQL stays the one place where rows are durable. One replica at a time publishes (an advisory lock); the mark of
//! what JetStream has acknowledged is in `outbox`, so a NATS that is away costs time alone, and a stream that begins
//! anew, with its data gone, is filled again with the last [`KEPT`]. A row may come twice: consumers know it by gateway,
//! epoch, lane and number.
//!
//! Bounds: [`PAGE`] rows on their way; the stream forgets by age and size, and a consumer that was away longer reads the
//! journal.

use super::Store;
use crate::store::StoreError;
use async_nats::jetstream::context::{CreateStreamErrorKind, PublishAckFuture};
use async_nats::jetstream::{self, ErrorCode, stream};
use async_nats::{HeaderMap, header};
use deadpool_postgres::Object;
use engawa_model::Timestamp;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The stream's name.
pub const STREAM: &str = "ENGAWA";
/// How long the stream keeps rows.
pub const KEPT: Duration = Duration::from_secs(7 * 86_400);
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
/// How long JetStream may take for an acknowledgement.
const ACK: Duration = Duration::from_secs(10);
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
    let client = async_nats::connect(url).await.map_err(nats)?;
    let context = jetstream::new(client);
    // A connection of its own: the lock must end when this does, also in the middle.
    let session = Session(Some(store.client().await?));
    let doing = StoreError::postgres("telling the journal to NATS");
    loop {
        let mine =
            session.get()?.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await.map_err(doing)?;
        if mine.get::<_, bool>(0) {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    let database = session.get()?;
    let mut mark = mark(database).await?;
    let mut stream = open_stream(&context).await?;
    if stream.info().await.map_err(nats)?.state.last_sequence == 0 {
        mark = (0, 0);
        tracing::info!("NATS has a new stream: it gets what the journal has of the last days");
    }
    let since = Timestamp::now().as_microsecond() - i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    loop {
        let rows = database
            .query(
                // What is still in an open transaction is not overtaken: its numbers may be lower than those that are seen.
                "SELECT tx, id, property, kind, gateway, epoch, lane, seq, at_micros, body FROM journal
                 WHERE tx >= $1 AND (tx, id) > ($1, $2) AND received_micros >= $3
                 AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY tx, id LIMIT $4",
                &[&mark.0, &mark.1, &since, &PAGE],
            )
            .await
            .map_err(doing)?;
        let Some(last) = rows.last() else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        mark = (last.get(0), last.get(1));
        let mut acks: Vec<PublishAckFuture> = Vec::with_capacity(rows.len());
        for row in &rows {
            let (subject, id, body) = message(row);
            let mut headers = HeaderMap::new();
            headers.insert(header::NATS_MESSAGE_ID, id.as_str());
            acks.push(context.publish_with_headers(subject, headers, body.into()).await.map_err(nats)?);
        }
        for ack in acks {
            tokio::time::timeout(ACK, ack).await.map_err(nats)?.map_err(nats)?;
        }
        database
            .execute(
                "INSERT INTO outbox (consumer, tx, id) VALUES ($1, $2, $3)
                 ON CONFLICT (consumer) DO UPDATE SET tx = excluded.tx, id = excluded.id",
                &[&CONSUMER, &mark.0, &mark.1],
            )
            .await
            .map_err(doing)?;
    }
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

async fn mark(database: &Object) -> Result<(i64, i64), StoreError> {
    database
        .query_opt("SELECT tx, id FROM outbox WHERE consumer = $1", &[&CONSUMER])
        .await
        .map(|row| row.map_or((0, 0), |row| (row.get(0), row.get(1))))
        .map_err(StoreError::postgres("reading how far NATS was told"))
}

/// A row's subject, the name by which a repeat is known, and its JSON.
fn message(row: &tokio_postgres::Row) -> (String, String, Vec<u8>) {
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
