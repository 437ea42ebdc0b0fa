//! What the command line lists, as [`crate::store::listing`].

use crate::store::StoreError;
use crate::store::listing::{Command, Entry, Gateway, LogFilter, Room};
use deadpool_postgres::{GenericClient, Object};
use engawa_model::Timestamp;
use tokio_postgres::Row;

/// A replica whose last beat is older is gone, and with it whoever was connected to it.
pub(crate) const BEAT_OVER: &str = "30 seconds";

/// All gateways.
///
/// # Errors
/// PostgreSQL's.
pub async fn gateways(client: &impl GenericClient) -> Result<Vec<Gateway>, StoreError> {
    let rows = client
        .query(
            &format!(
                "SELECT g.id, g.property, g.name, enrolled_at IS NOT NULL, revoked_at IS NOT NULL,
                 coalesce(p.connected AND r.beat > now() - interval '{BEAT_OVER}', false), p.last_seen, p.address,
                 (SELECT coalesce(sum(seq), 0)::bigint FROM mark m WHERE (m.property, m.gateway) = (g.property, g.id)),
                 (SELECT count(*) FROM command c
                  WHERE (c.property, c.gateway) = (g.property, g.id) AND state = 'sent'),
                 CASE WHEN fenced_at IS NOT NULL THEN coalesce(fenced_why, '') END
                 FROM gateway g LEFT JOIN presence p ON (p.property, p.gateway) = (g.property, g.id)
                 LEFT JOIN replica r ON r.id = p.replica ORDER BY g.property COLLATE \"C\", g.id COLLATE \"C\""
            ),
            &[],
        )
        .await
        .map_err(StoreError::postgres("listing gateways"))?;
    let gateway = |row: Row| {
        let fenced: Option<String> = row.get(10);
        Gateway {
            id: row.get(0),
            property: row.get(1),
            name: row.get(2),
            status: match (row.get(3), row.get(4)) {
                (_, true) => "revoked",
                _ if fenced.is_some() => "fenced",
                (true, false) => "enrolled",
                (false, false) => "claimed",
            },
            connected: row.get(5),
            last_seen: instant(row.get(6)),
            address: row.get(7),
            rows: row.get::<_, i64>(8).cast_unsigned(),
            waiting: row.get::<_, i64>(9).cast_unsigned(),
            fenced,
        }
    };
    Ok(rows.into_iter().map(gateway).collect())
}

/// True if there is a gateway of this name.
///
/// # Errors
/// PostgreSQL's.
pub async fn gateway_exists(client: &impl GenericClient, gateway: &str) -> Result<bool, StoreError> {
    client
        .query_one("SELECT EXISTS (SELECT FROM gateway WHERE id = $1)", &[&gateway])
        .await
        .map(|row| row.get(0))
        .map_err(StoreError::postgres("looking a gateway up"))
}

/// The rooms, of one gateway or of all.
///
/// # Errors
/// PostgreSQL's.
pub async fn rooms(client: &impl GenericClient, gateway: Option<&str>) -> Result<Vec<Room>, StoreError> {
    let rows = client
        .query(
            "SELECT gateway, room, do_not_disturb, message_light, class_of_service, minibar_right, tv_right,
             housekeeping, sign, setpoint, temperature, changed_micros,
             ARRAY(SELECT stay FROM stay s WHERE (s.property, s.gateway, s.room) = (r.property, r.gateway, r.room)
                   AND left_at IS NULL ORDER BY arrived_at, stay COLLATE \"C\")
             FROM room_state r WHERE $1::text IS NULL OR gateway = $1
             ORDER BY gateway COLLATE \"C\", room COLLATE \"C\"",
            &[&gateway],
        )
        .await
        .map_err(StoreError::postgres("listing rooms"))?;
    let room = |row: Row| Room {
        gateway: row.get(0),
        room: row.get(1),
        stays: row.get(12),
        do_not_disturb: row.get(2),
        message_light: row.get(3),
        class_of_service: row.get(4),
        minibar_right: row.get(5),
        tv_right: row.get(6),
        housekeeping: row.get(7),
        sign: row.get(8),
        setpoint: row.get(9),
        temperature: row.get(10),
        changed: instant(row.get(11)),
    };
    Ok(rows.into_iter().map(room).collect())
}

/// The newest journal rows that `filter` wants, newest first.
///
/// # Errors
/// PostgreSQL's.
pub async fn log(client: &impl GenericClient, filter: &LogFilter) -> Result<Vec<Entry>, StoreError> {
    let doing = StoreError::postgres("listing journal rows");
    let newest =
        client.query_one("SELECT last_value FROM arrival", &[]).await.map_err(doing)?.get::<_, i64>(0);
    let limit = i64::from(filter.limit);
    // The index by arrival is a coarse one: it finds the newest rows where it is told how far to look. Further each time,
    // at last over everything.
    let mut width = limit.saturating_mul(4).max(1_000);
    loop {
        let from = newest.saturating_sub(width);
        let rows = client
            .query(
                "SELECT id, gateway, epoch, lane, seq, at_micros, received_micros, kind, body FROM (
                   SELECT id, gateway, epoch, lane, seq, at_micros, received_micros, kind, body FROM journal
                   UNION ALL
                   SELECT id, gateway, epoch, 5::smallint, seq, at_micros, received_micros, kind, body FROM telemetry
                 ) every_row
                 WHERE id > $1 AND ($2::text IS NULL OR gateway = $2) AND ($3::smallint IS NULL OR lane = $3)
                 AND ($4::text IS NULL OR kind = $4) ORDER BY id DESC LIMIT $5",
                &[&from, &filter.gateway, &filter.lane.map(i16::from), &filter.kind, &limit],
            )
            .await
            .map_err(doing)?;
        if rows.len() as u64 >= u64::from(filter.limit) || from <= 0 {
            return Ok(rows.into_iter().map(entry).collect());
        }
        width = width.saturating_mul(16);
    }
}

fn entry(row: Row) -> Entry {
    Entry {
        id: row.get(0),
        gateway: row.get(1),
        epoch: row.get::<_, i64>(2).cast_unsigned(),
        lane: u8::try_from(row.get::<_, i16>(3)).unwrap_or(u8::MAX),
        seq: row.get::<_, i64>(4).cast_unsigned(),
        at: instant(row.get(5)),
        received: instant(row.get(6)),
        kind: row.get(7),
        body: row
            .get::<_, Option<&str>>(8)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default(),
    }
}

const COMMAND: &str =
    "SELECT gateway, seq, key, kind, at_micros, expires, state, outcome, reason, body FROM command";

/// The newest commands, of one gateway or of all, newest first.
///
/// # Errors
/// PostgreSQL's.
pub async fn commands(
    client: &impl GenericClient,
    gateway: Option<&str>,
    limit: u32,
) -> Result<Vec<Command>, StoreError> {
    let sql = format!("{COMMAND} WHERE $1::text IS NULL OR gateway = $1 ORDER BY id DESC LIMIT $2");
    let rows = client
        .query(&sql, &[&gateway, &i64::from(limit)])
        .await
        .map_err(StoreError::postgres("listing commands"))?;
    Ok(rows.into_iter().map(command_from).collect())
}

/// One command.
///
/// # Errors
/// PostgreSQL's.
pub async fn command(client: &Object, gateway: &str, seq: u64) -> Result<Option<Command>, StoreError> {
    let sql = format!("{COMMAND} WHERE gateway = $1 AND seq = $2");
    client
        .query_opt(&sql, &[&gateway, &i64::try_from(seq).unwrap_or(i64::MAX)])
        .await
        .map(|row| row.map(command_from))
        .map_err(StoreError::postgres("reading a command"))
}

fn command_from(row: Row) -> Command {
    Command {
        gateway: row.get(0),
        seq: row.get::<_, i64>(1).cast_unsigned(),
        key: row.get(2),
        kind: row.get(3),
        at: instant(row.get(4)),
        expires: instant(row.get(5)),
        state: row.get(6),
        outcome: row.get(7),
        reason: row.get(8),
        body: serde_json::from_str(row.get(9)).unwrap_or_default(),
    }
}

/// A gateway's clock can be anything: what no calendar has is left out.
fn instant(micros: Option<i64>) -> Option<Timestamp> {
    micros.and_then(|micros| Timestamp::from_microsecond(micros).ok())
}
