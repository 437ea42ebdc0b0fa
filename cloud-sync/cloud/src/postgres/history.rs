//! Telemetry as it gets old: after [`KEPT_DAYS`] a day's rows become compressed quarters of an hour and figures of hours,
//! and its partition goes.
//!
//! Any replica may do it, one at a time (an advisory lock), and may be killed at any moment: what is made of a gateway's
//! day, and the note that it is made, are one transaction; the partition goes when every gateway of it is noted.

use super::{Store, clean, partitions};
use crate::erasure::{Gone, clear};
use crate::store::StoreError;
use deadpool_postgres::{ClientWrapper, Object};
use engawa_model::{Change, Date, Quality, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Days that rows stay as they came, today not counted.
pub const KEPT_DAYS: i64 = 30;
/// How often a replica looks whether there is something to do.
const LOOK: Duration = Duration::from_secs(600);
/// A piece of history, and a row of figures, µs.
const QUARTER: i64 = 900_000_000;
const HOUR: i64 = 4 * QUARTER;
/// Pieces are written once and read rarely: more work for fewer bytes.
const LEVEL: i32 = 9;
/// The advisory lock of whoever makes history.
pub(crate) const LOCK: i64 = 0x656e_6761_7761_0002;
/// Rows that are read at once.
const PAGE: i64 = 20_000;

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Days whose partition went.
    pub days: u64,
    /// Rows that became history.
    pub rows: u64,
    /// Bytes of the pieces.
    pub bytes: u64,
}

/// Looks after the days until `cancel`: those to come are made, those that are old become history.
pub async fn keep(store: Store, cancel: CancellationToken) {
    loop {
        let now = Timestamp::now();
        let work = async {
            partitions::ahead(&store, now).await?;
            age(&store, now, KEPT_DAYS).await
        };
        // Cut in the middle, it is as after a kill.
        match cancel.run_until_cancelled(work).await {
            None => return,
            Some(Ok(made)) if made.days > 0 => {
                tracing::info!(
                    days = made.days,
                    rows = made.rows,
                    bytes = made.bytes,
                    "old telemetry became history"
                );
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "telemetry's days were not looked after"
                );
            }
        }
        if cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
    }
}

/// Makes history of the days that are more than `kept` days before `now`.
///
/// # Errors
/// PostgreSQL's. What was made until then stays.
pub async fn age(store: &Store, now: Timestamp, kept: i64) -> Result<Made, StoreError> {
    let doing = StoreError::postgres("making history of telemetry");
    // Out of the pool at once: whoever cuts this in the middle ends the session, and with it the lock and what is half
    // written. Back in the pool, it would hand both to the next.
    let client = Object::take(store.client().await?);
    let mine = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await.map_err(doing)?;
    if !mine.get::<_, bool>(0) {
        return Ok(Made::default());
    }
    days(&client, partitions::after(partitions::day_of(now), -kept)?).await
}

async fn days(client: &ClientWrapper, until: Date) -> Result<Made, StoreError> {
    let doing = StoreError::postgres("making history of telemetry");
    let last = partitions::name(until);
    let names = client
        .query(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'telemetry'::regclass
             AND inhrelid::regclass::text < $1 ORDER BY 1",
            &[&last],
        )
        .await
        .map_err(doing)?;
    let mut made = Made::default();
    for name in names {
        let name: String = name.get(0);
        let Some(day) = partitions::day_named(&name) else { continue };
        let told = day.to_string();
        // Those that are left of a task that was killed, too.
        let gateways = client
            .query(
                &format!(
                    "WITH RECURSIVE g AS (
                       (SELECT property, gateway FROM {name} ORDER BY property, gateway LIMIT 1)
                       UNION ALL SELECT n.property, n.gateway FROM g, LATERAL (SELECT property, gateway FROM {name} t
                         WHERE (t.property, t.gateway) > (g.property, g.gateway)
                         ORDER BY property, gateway LIMIT 1) n)
                     SELECT property, gateway FROM g WHERE NOT EXISTS (SELECT FROM telemetry_done d
                       WHERE (d.property, d.gateway) = (g.property, g.gateway) AND d.day = '{told}'::date)"
                ),
                &[],
            )
            .await
            .map_err(doing)?;
        for row in gateways {
            let (rows, bytes) = gateway(client, &name, &told, row.get(0), row.get(1)).await?;
            made.rows += rows;
            made.bytes += bytes;
        }
        // It has old rows alone: nobody writes to it. A reader is waited for, a little.
        client
            .batch_execute(&format!(
                "BEGIN; SET LOCAL lock_timeout = '5s'; ALTER TABLE telemetry DETACH PARTITION {name};
                 DROP TABLE {name}; COMMIT"
            ))
            .await
            .map_err(doing)?;
        made.days += 1;
    }
    Ok(made)
}

/// Rows that are no values, as they are kept.
#[derive(Default)]
struct Others {
    lines: Vec<u8>,
    rows: i32,
    /// Some of them may name a stay.
    named: bool,
}

#[derive(Default)]
struct Piece {
    samples: i32,
    lines: String,
}

struct Hour {
    samples: i64,
    sum: f64,
    least: f64,
    most: f64,
}

type Point = (String, String);

/// One gateway's rows of one day. Returns their number, and the bytes of what is left of them.
async fn gateway(
    client: &ClientWrapper,
    partition: &str,
    day: &str,
    property: &str,
    gateway: &str,
) -> Result<(u64, u64), StoreError> {
    let doing = StoreError::postgres("making history of a gateway's day");
    let mut pieces: BTreeMap<(Point, i64), Piece> = BTreeMap::new();
    let mut hours: BTreeMap<(Point, i64), Hour> = BTreeMap::new();
    let (mut others, mut rows) = (Others::default(), 0_u64);
    let (mut epoch, mut seq) = (i64::MIN, -1_i64);
    let page = client
        .prepare(&format!(
            "SELECT epoch, seq, at_micros, kind, body, raw FROM {partition}
             WHERE property = $1 AND gateway = $2 AND (epoch, seq) > ($3, $4) ORDER BY epoch, seq LIMIT {PAGE}"
        ))
        .await
        .map_err(doing)?;
    loop {
        let found = client.query(&page, &[&property, &gateway, &epoch, &seq]).await.map_err(doing)?;
        let Some(last) = found.last() else { break };
        (epoch, seq) = (last.get(0), last.get(1));
        for row in &found {
            rows += 1;
            let (at, body): (i64, Option<&str>) = (row.get(2), row.get(4));
            if let Some(Change::Reported { point, value, quality, .. }) =
                body.and_then(|body| serde_json::from_str(body).ok())
            {
                let name = (clean(point.device.as_str()).into_owned(), clean(&point.point).into_owned());
                let piece = pieces.entry((name.clone(), at.div_euclid(QUARTER) * QUARTER)).or_default();
                piece.samples += 1;
                let value_text = serde_json::to_string(&value).unwrap_or_default();
                let quality_text = crate::commands::word(&quality);
                // Writing to a string never fails.
                let _ = writeln!(piece.lines, "{},{value_text},{quality_text}", at.rem_euclid(QUARTER));
                if let (Quality::Good, Some(number)) =
                    (quality, value.as_ref().and_then(engawa_model::Value::as_f64))
                {
                    let hour = hours.entry((name, at.div_euclid(HOUR) * HOUR)).or_insert(Hour {
                        samples: 0,
                        sum: 0.0,
                        least: f64::INFINITY,
                        most: f64::NEG_INFINITY,
                    });
                    hour.samples += 1;
                    hour.sum += number;
                    hour.least = hour.least.min(number);
                    hour.most = hour.most.max(number);
                }
            } else {
                let raw: Option<&[u8]> = row.get(5);
                let line = serde_json::json!({ "epoch": row.get::<_, i64>(0), "seq": row.get::<_, i64>(1), "at_micros": at,
                    "kind": row.get::<_, &str>(3), "body": body, "raw": raw });
                others.rows += 1;
                others.named |= body.is_none_or(|body| body.contains("\"stay\""));
                others.lines.extend_from_slice(line.to_string().as_bytes());
                others.lines.push(b'\n');
            }
        }
    }
    let bytes = write(client, &doing, (property, gateway, day), pieces, hours, others, rows).await;
    if bytes.is_err() {
        // A transaction may be open: the session is thrown away by whoever has the lock.
        tracing::warn!(property, gateway, day, "a gateway's day did not become history");
    }
    Ok((rows, bytes?))
}

fn packed(bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::compress(bytes, LEVEL).map_err(StoreError::Compression)
}

/// What is kept of a day's rows that are no values, without the particulars of erased stays; counts them in `found`. `None`:
/// there is nothing to clear.
///
/// # Errors
/// It can't be unpacked.
pub(crate) fn cleared(
    data: &[u8],
    gone: &Gone,
    found: &mut HashMap<String, i64>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let plain = zstd::decode_all(data).map_err(StoreError::Compression)?;
    let (mut anew, mut changed) = (Vec::with_capacity(plain.len()), false);
    for line in plain.split_inclusive(|byte| *byte == b'\n') {
        let mut value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        let at = value.get("at_micros").and_then(serde_json::Value::as_i64).unwrap_or(i64::MAX);
        let before = value.get("body").and_then(serde_json::Value::as_str);
        let Some((stay, body)) = before.and_then(|before| clear(before, at, gone)) else {
            anew.extend_from_slice(line);
            continue;
        };
        changed |= Some(body.as_str()) != before;
        *found.entry(stay).or_default() += 1;
        value["body"] = body.into();
        anew.extend_from_slice(value.to_string().as_bytes());
        anew.push(b'\n');
    }
    if changed { packed(&anew).map(Some) } else { Ok(None) }
}

async fn write(
    client: &ClientWrapper,
    doing: &(impl Fn(tokio_postgres::Error) -> StoreError + Copy),
    (property, gateway, day): (&str, &str, &str),
    pieces: BTreeMap<(Point, i64), Piece>,
    hours: BTreeMap<(Point, i64), Hour>,
    others: Others,
    rows: u64,
) -> Result<u64, StoreError> {
    let doing = *doing;
    let mut bytes = 0_u64;
    let (mut device, mut point, mut from, mut samples, mut data) = (vec![], vec![], vec![], vec![], vec![]);
    for (((of, name), at), piece) in pieces {
        let piece_data = packed(piece.lines.as_bytes())?;
        bytes += piece_data.len() as u64;
        device.push(of);
        point.push(name);
        from.push(at);
        samples.push(piece.samples);
        data.push(piece_data);
    }
    client.batch_execute("BEGIN").await.map_err(doing)?;
    client
        .execute(
            "INSERT INTO telemetry_chunk (property, gateway, device, point, from_micros, day, samples, data)
             SELECT $1, $2, d, p, f, $3::text::date, s, b
             FROM unnest($4::text[], $5::text[], $6::bigint[], $7::integer[], $8::bytea[]) AS t (d, p, f, s, b)",
            &[&property, &gateway, &day, &device, &point, &from, &samples, &data],
        )
        .await
        .map_err(doing)?;
    let (mut device, mut point, mut from) = (vec![], vec![], vec![]);
    let (mut samples, mut sum, mut least, mut most) = (vec![], vec![], vec![], vec![]);
    for (((of, name), at), hour) in hours {
        device.push(of);
        point.push(name);
        from.push(at);
        samples.push(hour.samples);
        sum.push(hour.sum);
        least.push(hour.least);
        most.push(hour.most);
    }
    // Late rows of another day add to the same hour.
    client
        .execute(
            "INSERT INTO telemetry_hour AS h (property, gateway, device, point, from_micros, samples, sum, least, most)
             SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::float8[],
               $8::float8[], $9::float8[])
             ON CONFLICT (property, gateway, device, point, from_micros) DO UPDATE SET
             samples = h.samples + excluded.samples, sum = h.sum + excluded.sum,
             least = least(h.least, excluded.least), most = greatest(h.most, excluded.most)",
            &[&property, &gateway, &device, &point, &from, &samples, &sum, &least, &most],
        )
        .await
        .map_err(doing)?;
    if others.rows > 0 {
        let data = packed(&others.lines)?;
        bytes += data.len() as u64;
        client
            .execute(
                "INSERT INTO telemetry_other (property, gateway, day, rows, data, named)
                 VALUES ($1, $2, $3::text::date, $4, $5, $6)",
                &[&property, &gateway, &day, &others.rows, &data, &others.named],
            )
            .await
            .map_err(doing)?;
    }
    client
        .execute(
            "INSERT INTO telemetry_done (property, gateway, day, rows, bytes) VALUES ($1, $2, $3::text::date, $4, $5)",
            &[&property, &gateway, &day, &rows.cast_signed(), &bytes.cast_signed()],
        )
        .await
        .map_err(doing)?;
    client.batch_execute("COMMIT").await.map_err(doing)?;
    Ok(bytes)
}
