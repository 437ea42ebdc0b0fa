//! How the cloud stands to a gateway's journal, for whoever is about to have it begin anew.

use super::{StoreError, gateways, ingest};
use engawa_protocol::frame::Mark;
use engawa_protocol::ports::Row;
use engawa_protocol::reconcile::{AskSync, MOST_ROWS, Print, SyncStanding};
use engawa_protocol::trust::{Kept, Peer, Taken, take};
use rusqlite::{Connection, OptionalExtension, params};

/// What another box under the same identity is told by: the turn that would be refused. A fence is asked for before.
pub(crate) const TWIN: &str =
    "another box has had a session under this identity since this one's disk was copied";

/// The answer to `ask`; no turn is taken, and nothing is changed.
///
/// # Errors
/// SQLite's.
pub fn standing(connection: &Connection, peer: &Peer, ask: &AskSync) -> Result<SyncStanding, StoreError> {
    let doing = StoreError::sql("reading how a gateway stands");
    let gateway = peer.gateway.as_str();
    let number =
        |row: &rusqlite::Row<'_>, at| row.get::<_, Option<i64>>(at).map(|n| n.map(i64::cast_unsigned));
    let (connected, kept) = connection
        .query_row(
            "SELECT connected, turn_number, turn_secret FROM gateway WHERE id = ?1",
            [gateway],
            |row| Ok((row.get::<_, bool>(0)?, number(row, 1)?.zip(Some(number(row, 2)?)))),
        )
        .optional()
        .map_err(doing)?
        .unwrap_or((false, None));
    let kept = kept.map(|(number, secret)| Kept { number, secret });
    let twin = ask.turn.is_some_and(|turn| take(kept, &turn) == Taken::Twin);
    let marks = ingest::marks_of(connection, gateway, ask.epoch)?;
    let mut prints = Vec::new();
    for mark in ask.rows.iter().take(MOST_ROWS) {
        let Ok(lane) = u8::try_from(mark.lane) else { continue };
        let row = connection
            .prepare_cached(
                "SELECT at_micros, kind, CAST(body AS BLOB) FROM journal
                 WHERE gateway = ?1 AND epoch = ?2 AND lane = ?3 AND seq = ?4",
            )
            .and_then(|mut statement| {
                let keys = params![gateway, ask.epoch.cast_signed(), lane, mark.seq.cast_signed()];
                let row = statement.query_row(keys, |row| {
                    Ok(Row { seq: mark.seq, at_micros: row.get(0)?, kind: row.get(1)?, body: row.get(2)? })
                });
                row.optional()
            })
            .map_err(doing)?;
        prints.extend(row.map(|row| Print::of(lane, &row)));
    }
    Ok(SyncStanding {
        epoch: gateways::last_epoch(connection, gateway)?,
        marks: marks.into_iter().map(|(lane, seq)| Mark { lane: lane.into(), seq }).collect(),
        prints,
        connected,
        twin: if twin { TWIN.to_owned() } else { String::new() },
    })
}
