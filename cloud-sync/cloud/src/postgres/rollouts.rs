//! Rollouts on PostgreSQL, as [`crate::store::rollouts`].
//!
//! Who changes a turn holds its rollout's row: shared where a gateway tells of itself, alone where the rollout goes on or
//! somebody acts. So what is decided from rows read is decided from rows that hold.

use super::clean;
use super::listing::BEAT_OVER;
use crate::rollout::answer::{Asking, Told as Answer, answer};
use crate::rollout::catalogue::Catalogue;
use crate::rollout::health::WATCHED;
use crate::rollout::heard::{self, Heard};
use crate::rollout::machine::{self, Now};
use crate::rollout::plan::Kind;
use crate::rollout::state::{
    BY_GATEWAY, Block, Entry, Fleet, MOST_BLOCKS, Member, Rollout, Row, Software, State, Step, Write,
};
use crate::store::StoreError;
use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::Row as Found;

/// What rows of gateways tell, for [`take`].
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// This gateway tells of an update.
    Update(String, Heard),
    /// This gateway has raised an alert.
    Alert(String),
}

const DOING: &str = "reading rollouts";
const WRITING: &str = "writing what a rollout decides";
/// The lock of the one replica that goes on with rollouts.
const LOCK: i64 = 0x656e_6761_7761_0007;
const ROLLOUT: &str =
    "SELECT id, number, plan, state, reason, ring, ring_micros, judged_micros, created_by, created_micros,
    changed_micros FROM rollout";
const ROW: &str = "SELECT rollout, gateway, ring, back, version, number, manifest, from_version, from_number,
    assigned_micros, told_micros, step, step_micros, reason, ended_micros, alerts FROM rollout_gateway";
const SOFTWARE: &str =
    "SELECT gateway, version, number, slot, triple, hardware, system, system_number, state, floor, region,
    asked_micros FROM gateway_software";

fn small(row: &Found, at: usize) -> u32 {
    // Only what was a u32 is written.
    u32::try_from(row.get::<_, i64>(at)).unwrap_or(u32::MAX)
}

fn unknown(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Rollout(format!(
        "{what} can't be read, the database is damaged or of a newer release: {error}"
    ))
}

fn rollout(row: &Found) -> Result<Rollout, StoreError> {
    let state: &str = row.get(3);
    Ok(Rollout {
        id: row.get(0),
        number: row.get(1),
        plan: serde_json::from_str(row.get(2)).map_err(|error| unknown("the plan of a rollout", error))?,
        state: State::of(state).ok_or_else(|| unknown("the state of a rollout", state))?,
        reason: row.get(4),
        ring: small(row, 5),
        ring_micros: row.get(6),
        judged_micros: row.get(7),
        created_by: row.get(8),
        created_micros: row.get(9),
        changed_micros: row.get(10),
    })
}

fn turn(row: &Found) -> Result<Row, StoreError> {
    let step: &str = row.get(11);
    Ok(Row {
        rollout: row.get(0),
        gateway: row.get(1),
        ring: small(row, 2),
        back: row.get(3),
        version: row.get(4),
        number: row.get::<_, i64>(5).cast_unsigned(),
        manifest: row.get(6),
        from_version: row.get(7),
        from_number: row.get::<_, i64>(8).cast_unsigned(),
        assigned_micros: row.get(9),
        told_micros: row.get(10),
        step: Step::of(step).ok_or_else(|| unknown("the step of a gateway", step))?,
        step_micros: row.get(12),
        reason: row.get(13),
        ended_micros: row.get(14),
        alerts: small(row, 15),
    })
}

fn software(row: &Found) -> (String, Software) {
    let software = Software {
        version: row.get(1),
        number: row.get::<_, i64>(2).cast_unsigned(),
        slot: row.get(3),
        triple: row.get(4),
        hardware: row.get(5),
        system: row.get(6),
        system_number: row.get::<_, i64>(7).cast_unsigned(),
        state: row.get(8),
        floor: row.get::<_, i64>(9).cast_unsigned(),
        region: row.get(10),
        asked_micros: row.get(11),
    };
    (row.get(0), software)
}

/// As [`crate::store::rollouts::fleet`].
///
/// # Errors
/// PostgreSQL's.
pub async fn fleet(client: &impl GenericClient, of: Option<&str>) -> Result<Fleet, StoreError> {
    let doing = StoreError::postgres(DOING);
    let mut fleet = Fleet::default();
    let members = client
        .query(
            &format!(
                "SELECT g.id, g.property, coalesce(p.connected AND r.beat > now() - interval '{BEAT_OVER}', false),
                 p.last_seen FROM gateway g LEFT JOIN presence p ON (p.property, p.gateway) = (g.property, g.id)
                 LEFT JOIN replica r ON r.id = p.replica WHERE enrolled_at IS NOT NULL AND revoked_at IS NULL"
            ),
            &[],
        )
        .await
        .map_err(doing)?;
    for row in members {
        let (gateway, property): (String, String) = (row.get(0), row.get(1));
        let member =
            Member { gateway, property, connected: row.get(2), seen_micros: row.get(3), ..Member::default() };
        fleet.members.insert(member.gateway.clone(), member);
    }
    for row in client.query(SOFTWARE, &[]).await.map_err(doing)? {
        let (gateway, software) = software(&row);
        if let Some(member) = fleet.members.get_mut(&gateway) {
            member.software = Some(software);
        }
    }
    for row in client.query("SELECT gateway, label FROM gateway_label", &[]).await.map_err(doing)? {
        if let Some(member) = fleet.members.get_mut(row.get::<_, &str>(0)) {
            member.labels.insert(row.get(1));
        }
    }
    fleet.blocks = blocks(client, None).await?.into_iter().collect();
    for row in client.query(ROLLOUT, &[]).await.map_err(doing)? {
        let rollout = rollout(&row)?;
        fleet.rollouts.insert(rollout.id.clone(), rollout);
    }
    let sql = format!(
        "{ROW} WHERE $1::text IS NULL OR rollout = $1
         OR rollout IN (SELECT id FROM rollout WHERE state IN ('running', 'paused', 'rolling_back'))"
    );
    for row in client.query(&sql, &[&of]).await.map_err(doing)? {
        let row = turn(&row)?;
        fleet.rows.entry(row.rollout.clone()).or_default().insert(row.gateway.clone(), row);
    }
    Ok(fleet)
}

/// As [`crate::store::rollouts::blocks`].
///
/// # Errors
/// PostgreSQL's.
pub async fn blocks(client: &impl GenericClient, gateway: Option<&str>) -> Result<Vec<Block>, StoreError> {
    let rows = client
        .query(
            "SELECT gateway, kind, version, why, by, at_micros FROM blocked_version
             WHERE $1::text IS NULL OR gateway IN ('', $1) ORDER BY gateway, kind, version",
            &[&gateway],
        )
        .await
        .map_err(StoreError::postgres(DOING))?;
    rows.iter()
        .map(|row| {
            let kind: &str = row.get(1);
            Ok(Block {
                gateway: row.get(0),
                kind: Kind::of(kind).ok_or_else(|| unknown("the kind of a blocked version", kind))?,
                version: row.get(2),
                why: row.get(3),
                by: row.get(4),
                at_micros: row.get(5),
            })
        })
        .collect()
}

/// Writes what was decided.
///
/// # Errors
/// PostgreSQL's.
pub async fn apply(client: &impl GenericClient, writes: &[Write]) -> Result<(), StoreError> {
    let doing = StoreError::postgres(WRITING);
    for write in writes {
        let done = match write {
            Write::Rollout(r) => {
                // Our own types always have a JSON form.
                let plan = serde_json::to_string(&r.plan).unwrap_or_default();
                let statement = client
                    .prepare_cached(
                        "INSERT INTO rollout VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                         ON CONFLICT (id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
                         ring = excluded.ring, ring_micros = excluded.ring_micros,
                         judged_micros = excluded.judged_micros, changed_micros = excluded.changed_micros",
                    )
                    .await
                    .map_err(doing)?;
                client
                    .execute(
                        &statement,
                        &[
                            &r.id,
                            &r.number,
                            &clean(&plan),
                            &r.state.word(),
                            &clean(&r.reason),
                            &i64::from(r.ring),
                            &r.ring_micros,
                            &r.judged_micros,
                            &clean(&r.created_by),
                            &r.created_micros,
                            &r.changed_micros,
                        ],
                    )
                    .await
            }
            Write::Row(r) => {
                let statement = client
                    .prepare_cached(
                        "INSERT INTO rollout_gateway (rollout, gateway, ring, back, version, number, manifest,
                         from_version, from_number, assigned_micros, told_micros, step, step_micros, reason,
                         ended_micros) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
                         ON CONFLICT (rollout, gateway) DO UPDATE SET ring = excluded.ring, back = excluded.back,
                         version = excluded.version, number = excluded.number, manifest = excluded.manifest,
                         from_version = excluded.from_version, from_number = excluded.from_number,
                         assigned_micros = excluded.assigned_micros, told_micros = excluded.told_micros,
                         step = excluded.step, step_micros = excluded.step_micros, reason = excluded.reason,
                         ended_micros = excluded.ended_micros",
                    )
                    .await
                    .map_err(doing)?;
                client
                    .execute(
                        &statement,
                        &[
                            &r.rollout,
                            &r.gateway,
                            &i64::from(r.ring),
                            &r.back,
                            &clean(&r.version),
                            &r.number.cast_signed(),
                            &clean(&r.manifest),
                            &clean(&r.from_version),
                            &r.from_number.cast_signed(),
                            &r.assigned_micros,
                            &r.told_micros,
                            &r.step.word(),
                            &r.step_micros,
                            &clean(&r.reason),
                            &r.ended_micros,
                        ],
                    )
                    .await
            }
            Write::Block(b) => {
                client
                    .execute(
                        "INSERT INTO blocked_version VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                        &[
                            &b.gateway,
                            &b.kind.word(),
                            &clean(&b.version),
                            &clean(&b.why),
                            &clean(&b.by),
                            &b.at_micros,
                        ],
                    )
                    .await
                    .map_err(StoreError::postgres(WRITING))?;
                // Of what a gateway tells of itself the oldest goes.
                client
                    .execute(
                        "DELETE FROM blocked_version WHERE gateway = $1 AND by = $2 AND (kind, version) IN
                         (SELECT kind, version FROM blocked_version WHERE gateway = $1 AND by = $2
                         ORDER BY at_micros DESC, version COLLATE \"C\" OFFSET $3)",
                        &[&b.gateway, &BY_GATEWAY, &(MOST_BLOCKS as i64)],
                    )
                    .await
            }
            Write::Unblock { gateway, kind, version } => {
                client
                    .execute(
                        "DELETE FROM blocked_version WHERE gateway = $1 AND kind = $2 AND version = $3",
                        &[gateway, &kind.word(), version],
                    )
                    .await
            }
            Write::Label { gateway, label, on } => {
                let sql = if *on {
                    "INSERT INTO gateway_label VALUES ($1, $2) ON CONFLICT DO NOTHING"
                } else {
                    "DELETE FROM gateway_label WHERE gateway = $1 AND label = $2"
                };
                client.execute(sql, &[gateway, label]).await
            }
            Write::Log(e) => {
                let statement = client
                    .prepare_cached(
                        "INSERT INTO rollout_log (at_micros, rollout, gateway, who, what, detail)
                         VALUES ($1, $2, $3, $4, $5, $6)",
                    )
                    .await
                    .map_err(doing)?;
                client
                    .execute(
                        &statement,
                        &[
                            &e.at_micros,
                            &clean(&e.rollout),
                            &clean(&e.gateway),
                            &clean(&e.who),
                            &e.what,
                            &clean(&e.detail),
                        ],
                    )
                    .await
            }
        };
        done.map_err(doing)?;
    }
    Ok(())
}

/// As [`crate::store::rollouts::moves`].
///
/// # Errors
/// PostgreSQL's.
pub async fn moves(client: &impl GenericClient) -> Result<bool, StoreError> {
    client
        .query_one("SELECT EXISTS (SELECT FROM rollout WHERE state IN ('running', 'rolling_back'))", &[])
        .await
        .map(|row| row.get(0))
        .map_err(StoreError::postgres(DOING))
}

/// As [`crate::store::rollouts::reconcile`], by one replica at a time; `None`: another one is at it.
///
/// # Errors
/// PostgreSQL's.
pub async fn reconcile(
    client: &mut Object,
    catalogue: Option<&Catalogue>,
    now: Now,
) -> Result<Option<Vec<Rollout>>, StoreError> {
    let doing = StoreError::postgres("going on with rollouts");
    let transaction = client.transaction().await.map_err(doing)?;
    let mine: bool =
        transaction.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK]).await.map_err(doing)?.get(0);
    if !mine {
        return Ok(None);
    }
    // Waits for gateways that just tell of themselves, and holds up those that come meanwhile.
    transaction
        .execute("SELECT FROM rollout WHERE state IN ('running', 'rolling_back') ORDER BY id FOR UPDATE", &[])
        .await
        .map_err(doing)?;
    let mut fleet = fleet(&transaction, Some("")).await?;
    let moving: Vec<Rollout> =
        fleet.rollouts.values().filter(|rollout| rollout.state.moves()).cloned().collect();
    let mut changed = Vec::new();
    for rollout in moving {
        let decisions = machine::step(&rollout, &fleet, catalogue, now);
        let writes = machine::writes(&rollout, decisions, now);
        apply(&transaction, &writes).await?;
        for write in &writes {
            fleet.apply(write);
            if let Write::Rollout(after) = write
                && after.state != rollout.state
            {
                changed.push((**after).clone());
            }
        }
    }
    transaction.commit().await.map_err(doing)?;
    Ok(Some(changed))
}

/// What somebody does: `act` decides from the fleet, and what it decides is stored, in one transaction that nothing moves beside.
///
/// # Errors
/// What `act` refuses, or PostgreSQL's.
pub async fn act<T>(
    client: &mut Object,
    of: Option<&str>,
    act: impl FnOnce(&Fleet) -> Result<(T, Vec<Write>), StoreError>,
) -> Result<T, StoreError> {
    let doing = StoreError::postgres(WRITING);
    let transaction = client.transaction().await.map_err(doing)?;
    // Waits for whoever goes on with rollouts, and for others that act.
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(doing)?;
    transaction.execute("SELECT FROM rollout ORDER BY id FOR UPDATE", &[]).await.map_err(doing)?;
    let (value, writes) = act(&fleet(&transaction, of).await?)?;
    apply(&transaction, &writes).await?;
    transaction.commit().await.map_err(doing)?;
    Ok(value)
}

/// Turns of a gateway, their rollouts held so that they don't change meanwhile.
async fn held(
    client: &impl GenericClient,
    gateway: &str,
    of: Option<&str>,
) -> Result<Vec<(Rollout, Row)>, StoreError> {
    let doing = StoreError::postgres(DOING);
    let sql = format!(
        "{ROLLOUT} WHERE id IN (SELECT rollout FROM rollout_gateway WHERE gateway = $1 AND ($2::text IS NULL OR rollout = $2))
         ORDER BY id FOR SHARE"
    );
    let statement = client.prepare_cached(&sql).await.map_err(doing)?;
    let rollouts = client.query(&statement, &[&gateway, &of]).await.map_err(doing)?;
    let mut turns = Vec::new();
    let statement = client
        .prepare_cached(&format!("{ROW} WHERE rollout = $1 AND gateway = $2 FOR UPDATE"))
        .await
        .map_err(doing)?;
    for found in &rollouts {
        let rollout = rollout(found)?;
        if let Some(row) = client.query_opt(&statement, &[&rollout.id, &gateway]).await.map_err(doing)? {
            turns.push((rollout, turn(&row)?));
        }
    }
    Ok(turns)
}

/// What is wanted of a gateway that tells this of itself; it is stored that it was told.
///
/// # Errors
/// PostgreSQL's.
pub async fn told(
    client: &mut Object,
    gateway: &str,
    software_now: &Software,
    last: Option<&Heard>,
    micros: i64,
) -> Result<Answer, StoreError> {
    let doing = StoreError::postgres("telling a gateway its version");
    let transaction = client.transaction().await.map_err(doing)?;
    let known = transaction
        .query_opt(&format!("{SOFTWARE} WHERE gateway = $1"), &[&gateway])
        .await
        .map_err(doing)?
        .map(|row| software(&row).1);
    let turns = held(&transaction, gateway, None).await?;
    let blocked = blocks(&transaction, Some(gateway)).await?;
    let blocked = blocked.into_iter().map(|block| (block.kind, block.version)).collect();
    let asking = Asking { turns, blocked, running: moves(&transaction).await? };
    let (told, writes) = answer(software_now, last, &asking, micros);
    apply(&transaction, &writes).await?;
    if known.is_none_or(|known| known.is_stale(software_now)) {
        note_software(&transaction, gateway, software_now).await?;
    }
    transaction.commit().await.map_err(doing)?;
    Ok(told)
}

/// Stores what a gateway has told of itself.
///
/// # Errors
/// PostgreSQL's.
pub async fn note_software(
    client: &impl GenericClient,
    gateway: &str,
    s: &Software,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres("noting a gateway's software");
    let statement = client
        .prepare_cached(
            "INSERT INTO gateway_software VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (gateway) DO UPDATE SET version = excluded.version, number = excluded.number,
             slot = excluded.slot, triple = excluded.triple, hardware = excluded.hardware, system = excluded.system,
             system_number = excluded.system_number, state = excluded.state, floor = excluded.floor, region = excluded.region,
             asked_micros = excluded.asked_micros",
        )
        .await
        .map_err(doing)?;
    client
        .execute(
            &statement,
            &[
                &gateway,
                &clean(&s.version),
                &s.number.cast_signed(),
                &clean(&s.slot),
                &clean(&s.triple),
                &clean(&s.hardware),
                &clean(&s.system),
                &s.system_number.cast_signed(),
                &clean(&s.state),
                &s.floor.cast_signed(),
                &clean(&s.region),
                &s.asked_micros,
            ],
        )
        .await
        .map(drop)
        .map_err(doing)
}

/// What rows of several gateways tell, in the open transaction that stores them. Updates first: their rollouts are held before
/// any turn is.
///
/// # Errors
/// PostgreSQL's.
pub(crate) async fn take(client: &Object, told: &[Told], micros: i64) -> Result<(), StoreError> {
    let doing = StoreError::postgres("counting an alert");
    let mut named: Vec<&str> = Vec::new();
    for told in told {
        if let Told::Update(_, heard) = told {
            named.push(&heard.rollout);
        }
    }
    if !named.is_empty() {
        // All of them in one order, so that nobody waits for somebody who waits for it.
        client
            .execute("SELECT FROM rollout WHERE id = ANY($1::text[]) ORDER BY id FOR SHARE", &[&named])
            .await
            .map_err(StoreError::postgres(DOING))?;
    }
    for told in told {
        let Told::Update(gateway, heard) = told else { continue };
        let turns = held(client, gateway, Some(&heard.rollout)).await?;
        match turns.first() {
            None => {
                apply(client, heard::blocks(gateway, Kind::Application, heard, micros).as_slice()).await?
            }
            Some((rollout, row)) => {
                if let Some((_, writes)) = heard::heard(row, rollout.plan.release.kind, heard, micros) {
                    apply(client, &writes).await?;
                }
            }
        }
    }
    let alerts: Vec<&str> = told
        .iter()
        .filter_map(|told| match told {
            Told::Alert(gateway) => Some(gateway.as_str()),
            Told::Update(..) => None,
        })
        .collect();
    if !alerts.is_empty() {
        let statement = client
            .prepare_cached(
                "UPDATE rollout_gateway r SET alerts = r.alerts + t.count
                 FROM (SELECT gateway, count(*) FROM unnest($1::text[]) AS u (gateway) GROUP BY gateway) t
                 WHERE r.gateway = t.gateway AND step = 'confirmed'
                 AND ended_micros BETWEEN $2::bigint - $3::bigint AND $2",
            )
            .await
            .map_err(doing)?;
        client.execute(&statement, &[&alerts, &micros, &WATCHED]).await.map_err(doing)?;
    }
    Ok(())
}

/// As [`crate::store::rollouts::log`].
///
/// # Errors
/// PostgreSQL's.
pub async fn log(
    client: &impl GenericClient,
    rollout: Option<&str>,
    gateway: Option<&str>,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let rows = client
        .query(
            "SELECT at_micros, rollout, gateway, who, what, detail FROM rollout_log
             WHERE ($1::text IS NULL OR rollout = $1) AND ($2::text IS NULL OR gateway = $2)
             ORDER BY number DESC LIMIT $3",
            &[&rollout, &gateway, &i64::from(limit)],
        )
        .await
        .map_err(StoreError::postgres(DOING))?;
    let entry = |row: &Found| Entry {
        at_micros: row.get(0),
        rollout: row.get(1),
        gateway: row.get(2),
        who: row.get(3),
        what: row.get(4),
        detail: row.get(5),
    };
    Ok(rows.iter().map(entry).collect())
}
