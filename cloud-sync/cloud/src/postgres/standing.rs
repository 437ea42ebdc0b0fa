//! As [`crate::store::standing`], on PostgreSQL.

use super::ingest::TELEMETRY;
use super::{clean, gateways};
use crate::store::StoreError;
use crate::store::standing::TWIN;
use deadpool_postgres::Object;
use engawa_protocol::frame::Mark;
use engawa_protocol::ports::Row;
use engawa_protocol::reconcile::{AskSync, MOST_ROWS, Print, SyncStanding};
use engawa_protocol::trust::{Kept, Taken, take};

/// The answer to `ask`; no turn is taken, and nothing is changed.
///
/// # Errors
/// PostgreSQL's.
pub(crate) async fn standing(
    client: &Object,
    gateway: &str,
    ask: &AskSync,
) -> Result<SyncStanding, StoreError> {
    let doing = StoreError::postgres("reading how a gateway stands");
    let Some(status) = gateways::status(client, gateway, false).await? else {
        return Ok(SyncStanding::default());
    };
    let name = clean(gateway);
    let sql = "SELECT connected FROM presence WHERE property = $1 AND gateway = $2";
    let presence = client.query_opt(sql, &[&status.property, &name]).await.map_err(doing)?;
    let sql = "SELECT number, secret FROM turn WHERE property = $1 AND gateway = $2";
    let kept = client.query_opt(sql, &[&status.property, &name]).await.map_err(doing)?;
    let kept = kept.map(|row| Kept {
        number: row.get::<_, i64>(0).cast_unsigned(),
        secret: row.get::<_, Option<i64>>(1).map(i64::cast_unsigned),
    });
    let twin = ask.turn.is_some_and(|turn| take(kept, &turn) == Taken::Twin);
    let marks = gateways::marks_of(client, gateway, ask.epoch).await?;
    let mut prints = Vec::new();
    for mark in ask.rows.iter().take(MOST_ROWS) {
        let Ok(lane) = u8::try_from(mark.lane) else { continue };
        let (epoch, seq) = (ask.epoch.cast_signed(), mark.seq.cast_signed());
        let row = if lane == TELEMETRY {
            let sql = "SELECT at_micros, kind, body, raw FROM telemetry
                       WHERE property = $1 AND gateway = $2 AND epoch = $3 AND seq = $4";
            client.query_opt(sql, &[&status.property, &name, &epoch, &seq]).await
        } else {
            let sql = "SELECT at_micros, kind, body, raw FROM journal
                       WHERE property = $1 AND gateway = $2 AND epoch = $3 AND lane = $4 AND seq = $5";
            client.query_opt(sql, &[&status.property, &name, &epoch, &i16::from(lane), &seq]).await
        };
        prints.extend(row.map_err(doing)?.map(|row| {
            let text = row.get::<_, Option<String>>(2).map(String::into_bytes);
            let body = text.or_else(|| row.get(3)).unwrap_or_default();
            Print::of(lane, &Row { seq: mark.seq, at_micros: row.get(0), kind: row.get(1), body })
        }));
    }
    Ok(SyncStanding {
        epoch: status.epoch,
        marks: marks.into_iter().map(|(lane, seq)| Mark { lane: lane.into(), seq }).collect(),
        prints,
        connected: presence.is_some_and(|row| row.get(0)),
        twin: if twin { TWIN.to_owned() } else { String::new() },
    })
}
