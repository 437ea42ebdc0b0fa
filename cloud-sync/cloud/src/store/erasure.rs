//! Erased guests: the SQL of what [`crate::erasure`] says.

use super::StoreError;
use crate::erasure::{
    Gone, LANES, PIECE, Report, SUPERSEDED, TOGETHER, clear, clear_command, gone, names, reach, tombstone,
    verify,
};
use engawa_model::Erasure;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;

/// A tombstone has come: it is recorded, and the projections lose the stay's particulars.
///
/// # Errors
/// The database's.
pub fn received(
    connection: &Connection,
    gateway: &str,
    erasure: &Erasure,
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::sql("recording an erasure");
    let verified = verify(erasure);
    if !verified {
        tracing::error!(gateway, record = %erasure.record, "a tombstone's signature does not fit: recorded, nothing is erased");
    }
    let stay = erasure.stay.as_str();
    let at = erasure.at.as_microsecond();
    // A number whose older stay's time is over may be a guest's who is in the house now.
    let in_house: Option<i64> = connection
        .query_row(
            "SELECT arrived_at FROM stay WHERE gateway = ?1 AND stay = ?2 AND left_at IS NULL",
            [gateway, stay],
            |row| row.get(0),
        )
        .optional()
        .map_err(doing)?;
    let (upto, whole) = reach(erasure, in_house);
    let (mut stays, mut postings) = (0, 0);
    if verified {
        if whole {
            super::house_settings::forget(connection, gateway, Some(stay))?;
            stays = connection
                .execute(
                    "UPDATE stay SET language = NULL, arrival = NULL, departure = NULL
                     WHERE gateway = ?1 AND stay = ?2",
                    [gateway, stay],
                )
                .map_err(doing)?;
        }
        postings = connection
            .execute(
                "UPDATE posting SET text = '', answer = NULL
                 WHERE gateway = ?1 AND stay = ?2 AND changed_micros <= ?3",
                params![gateway, stay, upto],
            )
            .map_err(doing)?;
    }
    connection
        .execute(
            "INSERT INTO erasure (gateway, record, stay, at_micros, reason, signer, signature, verified,
             received_micros, upto_micros, stays, postings)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (gateway, record) DO UPDATE SET stay = excluded.stay, at_micros = excluded.at_micros,
             reason = excluded.reason, signer = excluded.signer, signature = excluded.signature,
             verified = excluded.verified, received_micros = excluded.received_micros,
             upto_micros = excluded.upto_micros, applied_micros = NULL,
             stays = stays + excluded.stays, postings = postings + excluded.postings
             WHERE excluded.verified >= verified",
            params![
                gateway,
                erasure.record,
                stay,
                at,
                erasure.reason.as_str(),
                erasure.signer,
                erasure.signature,
                verified,
                now_micros,
                upto,
                i64::try_from(stays).unwrap_or(i64::MAX),
                i64::try_from(postings).unwrap_or(i64::MAX)
            ],
        )
        .map(drop)
        .map_err(doing)
}

/// A row that came after the tombstone of a stay that it names (lanes are not ordered among each other), cleared.
///
/// # Errors
/// The database's.
pub fn late(
    connection: &Connection,
    gateway: &str,
    at_micros: i64,
    body: &str,
) -> Result<Option<String>, StoreError> {
    let mut gone = Gone::new();
    for stay in names(body) {
        let upto: Option<i64> = connection
            .prepare_cached(
                "SELECT max(upto_micros) FROM erasure WHERE gateway = ?1 AND stay = ?2 AND verified = 1",
            )
            .and_then(|mut statement| statement.query_row([gateway, &stay], |row| row.get(0)))
            .map_err(StoreError::sql("looking for a stay's erasure"))?;
        gone.extend(upto.map(|upto| (stay, upto)));
    }
    Ok(clear(body, at_micros, &gone).map(|(_, body)| body).filter(|cleared| cleared != body))
}

/// A row or command to be written anew.
struct Anew {
    epoch: i64,
    lane: u8,
    seq: i64,
    body: String,
}

/// Something to be written.
pub type Work = Box<dyn FnOnce(&Connection) -> Result<(), StoreError> + Send>;
/// Writes in a durable transaction: the running server's writer, or the command line's own.
pub type Write<'a> = &'a dyn Fn(Work) -> Result<(), StoreError>;

/// Goes through the journal and the commands of each gateway with tombstones that are not applied yet. Gives how many were
/// applied.
///
/// # Errors
/// The database's; what is done is done, the rest is done next time.
pub fn sweep(reader: &Connection, write: Write<'_>, now_micros: i64) -> Result<usize, StoreError> {
    let mut applied = 0;
    while let Some(gateway) = pending_gateway(reader)? {
        applied += sweep_gateway(reader, write, &gateway, now_micros)?;
    }
    Ok(applied)
}

fn pending_gateway(reader: &Connection) -> Result<Option<String>, StoreError> {
    reader
        .prepare_cached("SELECT gateway FROM erasure WHERE applied_micros IS NULL AND verified = 1 LIMIT 1")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
        .map_err(StoreError::sql("looking for erasures"))
}

fn sweep_gateway(
    reader: &Connection,
    write: Write<'_>,
    gateway: &str,
    now_micros: i64,
) -> Result<usize, StoreError> {
    let doing = StoreError::sql("going through the journal for erased stays");
    let pending: Vec<(String, String, i64, i64)> = reader
        .prepare_cached(
            "SELECT record, stay, upto_micros, CASE reason WHEN 'asked' THEN max(upto_micros, received_micros)
             ELSE upto_micros END FROM erasure
             WHERE gateway = ?1 AND applied_micros IS NULL AND verified = 1 LIMIT ?2",
        )
        .and_then(|mut statement| {
            statement
                .query_map(params![gateway, TOGETHER], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?
                .collect()
        })
        .map_err(doing)?;
    let gone_commands = gone(pending.iter().map(|(_, stay, _, until)| (stay.as_str(), *until)));
    let gone = gone(pending.iter().map(|(_, stay, upto, _)| (stay.as_str(), *upto)));
    let mut journal: HashMap<String, i64> = HashMap::new();
    let epochs: Vec<i64> = reader
        .prepare_cached("SELECT DISTINCT epoch FROM mark WHERE gateway = ?1")
        .and_then(|mut statement| statement.query_map([gateway], |row| row.get(0))?.collect())
        .map_err(doing)?;
    for epoch in epochs {
        for lane in LANES {
            sweep_lane(reader, write, (gateway, epoch, lane), &gone, &mut journal)?;
        }
    }
    let commands = sweep_commands(reader, write, gateway, &gone_commands, now_micros)?;
    let gateway = gateway.to_owned();
    let count = pending.len();
    write(Box::new(move |connection| {
        for (record, stay, ..) in &pending {
            let of = |counts: &HashMap<String, i64>| counts.get(stay).copied().unwrap_or(0);
            connection
                .prepare_cached(
                    "UPDATE erasure SET applied_micros = ?3, journal = ?4, commands = ?5
                     WHERE gateway = ?1 AND record = ?2",
                )
                .and_then(|mut statement| {
                    statement.execute(params![gateway, record, now_micros, of(&journal), of(&commands)])
                })
                .map_err(StoreError::sql("recording that an erasure is done"))?;
        }
        Ok(())
    }))?;
    Ok(count)
}

fn sweep_lane(
    reader: &Connection,
    write: Write<'_>,
    (gateway, epoch, lane): (&str, i64, u8),
    gone: &Gone,
    found: &mut HashMap<String, i64>,
) -> Result<(), StoreError> {
    let mut after = 0_i64;
    loop {
        let rows: Vec<(i64, i64, Option<String>)> = reader
            .prepare_cached(
                "SELECT seq, at_micros, CASE WHEN typeof(body) = 'text' AND instr(body, '\"stay\"') THEN body END
                 FROM journal WHERE gateway = ?1 AND epoch = ?2 AND lane = ?3 AND seq > ?4 ORDER BY seq LIMIT ?5",
            )
            .and_then(|mut statement| {
                let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                statement.query_map(params![gateway, epoch, lane, after, PIECE], row)?.collect()
            })
            .map_err(StoreError::sql("reading the journal for erased stays"))?;
        let Some((last, _, _)) = rows.last() else { return Ok(()) };
        after = *last;
        let mut anew = Vec::new();
        for (seq, at, body) in rows {
            let Some(before) = body else { continue };
            let Some((stay, body)) = clear(&before, at, gone) else { continue };
            *found.entry(stay).or_default() += 1;
            if body != before {
                anew.push(Anew { epoch, lane, seq, body });
            }
        }
        if anew.is_empty() {
            continue;
        }
        let gateway = gateway.to_owned();
        write(Box::new(move |connection| rewrite(connection, &gateway, &anew)))?;
    }
}

fn rewrite(connection: &Connection, gateway: &str, anew: &[Anew]) -> Result<(), StoreError> {
    for Anew { epoch, lane, seq, body } in anew {
        connection
            .prepare_cached(
                "UPDATE journal SET body = ?5 WHERE gateway = ?1 AND epoch = ?2 AND lane = ?3 AND seq = ?4",
            )
            .and_then(|mut statement| statement.execute(params![gateway, epoch, lane, seq, body]))
            .map_err(StoreError::sql("clearing an erased stay in the journal"))?;
    }
    Ok(())
}

/// Commands that name the stay, and those whose charge went to it. They have this clock's times, not the gateway's: where
/// all of a guest goes, those go that were asked before the tombstone came. One that has not gone out yet does not go out any more.
fn sweep_commands(
    reader: &Connection,
    write: Write<'_>,
    gateway: &str,
    gone: &Gone,
    now_micros: i64,
) -> Result<HashMap<String, i64>, StoreError> {
    let doing = StoreError::sql("going through the commands for erased stays");
    let mut found: HashMap<String, i64> = HashMap::new();
    let mut anew = Vec::new();
    let mut statement = reader
        .prepare_cached(
            "SELECT seq, at_micros, body, (SELECT stay FROM posting WHERE posting.gateway = command.gateway
             AND posting.key = command.key AND stay IS NOT NULL LIMIT 1) FROM command WHERE gateway = ?1",
        )
        .map_err(doing)?;
    let mut rows = statement.query([gateway]).map_err(doing)?;
    while let Some(row) = rows.next().map_err(doing)? {
        let (seq, at, before): (i64, i64, String) =
            (row.get(0).map_err(doing)?, row.get(1).map_err(doing)?, row.get(2).map_err(doing)?);
        let charged: Option<String> = row.get(3).map_err(doing)?;
        let Some((stay, body)) = clear_command(&before, at, charged, gone) else { continue };
        *found.entry(stay).or_default() += 1;
        if body != before {
            anew.push((seq, body));
        }
    }
    drop(rows);
    if !anew.is_empty() {
        let gateway = gateway.to_owned();
        write(Box::new(move |connection| {
            for (seq, body) in &anew {
                connection
                    .prepare_cached(
                        "UPDATE command SET body = ?3,
                         outcome = CASE state WHEN 'sent' THEN 'superseded' ELSE outcome END,
                         reason = CASE state WHEN 'sent' THEN ?5 ELSE reason END,
                         ended_at = CASE state WHEN 'sent' THEN ?4 ELSE ended_at END,
                         state = CASE state WHEN 'sent' THEN 'ended' ELSE state END
                         WHERE gateway = ?1 AND seq = ?2",
                    )
                    .and_then(|mut statement| {
                        statement.execute(params![gateway, seq, body, now_micros, SUPERSEDED])
                    })
                    .map_err(StoreError::sql("clearing an erased stay in a command"))?;
            }
            Ok(())
        }))?;
    }
    Ok(found)
}

/// What became of tombstones: all, or those of one gateway or stay.
///
/// # Errors
/// The database's.
pub fn report(
    connection: &Connection,
    gateway: Option<&str>,
    stay: Option<&str>,
) -> Result<Vec<Report>, StoreError> {
    let doing = StoreError::sql("reading what became of erasures");
    let mut statement = connection
        .prepare(
            "SELECT gateway, record, stay, at_micros, reason, signer, signature, verified, received_micros,
             applied_micros, stays, postings, commands, journal, NOT EXISTS (SELECT 1 FROM erasure o
             WHERE o.gateway = e.gateway AND o.verified = 1 AND o.signer <> e.signer) FROM erasure e
             WHERE (?1 IS NULL OR gateway = ?1) AND (?2 IS NULL OR stay = ?2) ORDER BY received_micros, record",
        )
        .map_err(doing)?;
    let read = |row: &Row<'_>| {
        let reason: String = row.get(4)?;
        Ok(Report {
            gateway: row.get(0)?,
            erasure: tombstone(row.get(1)?, row.get(2)?, row.get(3)?, &reason, row.get(5)?, row.get(6)?),
            verified: row.get(7)?,
            received_micros: row.get(8)?,
            applied_micros: row.get(9)?,
            stays: row.get(10)?,
            postings: row.get(11)?,
            commands: row.get(12)?,
            journal: row.get(13)?,
            usual_signer: row.get(14)?,
            told: 0,
            told_open: 0,
        })
    };
    statement.query_map([gateway, stay], read).and_then(Iterator::collect).map_err(doing)
}
