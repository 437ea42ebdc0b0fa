//! Rollouts on PostgreSQL, as [`crate::store::rollouts`].
//!
//! Who changes a turn holds its rollout's row: shared where a gateway tells of itself, alone where the rollout goes on or
//! somebody acts. So what is decided from rows read is decided from rows that hold.

use super::clean;
use super::listing::BEAT_OVER;
use crate::rollout::answer::{Asking, Told as Answer, answer};
use crate::rollout::catalogue::{Behind, Catalogue, Look, Seen};
use crate::rollout::cohorts::Cohorts;
use crate::rollout::health::WATCHED;
use crate::rollout::heard::{self, Heard};
use crate::rollout::machine::{self, Now};
use crate::rollout::plan::{Kind, Plan};
use crate::rollout::state::{
    BY_GATEWAY, Block, Entry, Fleet, MOST_BLOCKS, Member, Rollout, Row, Software, State, Step, Write,
};
use crate::rollout::statements::{self as sql, ROLLOUT, ROLLOUT_OF_ONE, ROW, SOFTWARE};
use crate::store::StoreError;
use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::Row as Found;
use tokio_postgres::types::ToSql;

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
        plan: Plan::of_stored(row.get(2), row.get(11))
            .map_err(|error| unknown("the plan of a rollout", error))?,
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
        attempt: small(row, 16),
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
    let meant = format!("$1::text IS NULL OR id = $1 OR state IN {}", sql::HOLDING);
    for row in client.query(&format!("{ROLLOUT} WHERE {meant}"), &[&of]).await.map_err(doing)? {
        let rollout = rollout(&row)?;
        fleet.rollouts.insert(rollout.id.clone(), rollout);
    }
    let rows = format!("{ROW} WHERE rollout IN (SELECT id FROM rollout WHERE {meant})");
    for row in client.query(&rows, &[&of]).await.map_err(doing)? {
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
    let run = async |sql: &str, values: &[&(dyn ToSql + Sync)]| {
        let statement = client.prepare_cached(sql).await?;
        client.execute(&statement, values).await
    };
    for write in writes {
        let done = match write {
            Write::Rollout(r) => {
                let (plan, cohort) = r.plan.stored();
                let values: &[&(dyn ToSql + Sync)] = &[
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
                    &clean(&cohort),
                ];
                run(sql::PUT_ROLLOUT, values).await
            }
            Write::Row(r) => {
                let values: &[&(dyn ToSql + Sync)] = &[
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
                    &i64::from(r.attempt),
                ];
                run(sql::PUT_ROW, values).await
            }
            Write::Block(b) => {
                let (version, why, by) = (clean(&b.version), clean(&b.why), clean(&b.by));
                let values: &[&(dyn ToSql + Sync)] =
                    &[&b.gateway, &b.kind.word(), &version, &why, &by, &b.at_micros];
                run(sql::PUT_BLOCK, values).await.map_err(doing)?;
                run(sql::TRIM_BLOCKS, &[&b.gateway, &BY_GATEWAY, &(MOST_BLOCKS as i64)]).await
            }
            Write::Unblock { gateway, kind, version } => {
                run(sql::DROP_BLOCK, &[gateway, &kind.word(), version]).await
            }
            Write::Label { gateway, label, on } => {
                run(if *on { sql::PUT_LABEL } else { sql::DROP_LABEL }, &[gateway, label]).await
            }
            Write::Forget(id) => {
                run(sql::DROP_ROWS, &[id]).await.map_err(doing)?;
                run(sql::DROP_ROLLOUT, &[id]).await
            }
            Write::Log(e) => {
                let (rollout, gateway) = (clean(&e.rollout), clean(&e.gateway));
                let (who, detail) = (clean(&e.who), clean(&e.detail));
                run(sql::PUT_LOG, &[&e.at_micros, &rollout, &gateway, &who, &e.what, &detail]).await
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
    client.query_one(sql::MOVES, &[]).await.map(|row| row.get(0)).map_err(StoreError::postgres(DOING))
}

/// As [`crate::store::rollouts::reconcile`], by one replica at a time; `None`: another one is at it.
///
/// # Errors
/// PostgreSQL's.
pub async fn reconcile(
    client: &mut Object,
    catalogue: Option<&Catalogue>,
    now: Now,
) -> Result<Option<(Vec<Rollout>, Option<Behind>)>, StoreError> {
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
    let behind = match catalogue {
        Some(known) => behind(&transaction, known, now).await?,
        None => None,
    };
    let look = catalogue.map(|catalogue| Look { catalogue, behind: behind.is_some() });
    let (writes, changed) = machine::go_on(&mut fleet(&transaction, Some("")).await?, look, now);
    apply(&transaction, &writes).await?;
    transaction.commit().await.map_err(doing)?;
    Ok(Some((changed, behind)))
}

/// Whether a replica has seen a newer one; what was seen is kept.
async fn behind(
    client: &impl GenericClient,
    known: &Catalogue,
    now: Now,
) -> Result<Option<Behind>, StoreError> {
    let doing = StoreError::postgres(WRITING);
    let seen = client.query_opt(sql::SEEN, &[]).await.map_err(doing)?;
    let seen = seen.map(|row| Seen { version: row.get::<_, i64>(0).cast_unsigned(), micros: row.get(1) });
    let judged = Seen::judge(seen.as_ref(), known.version(), now.micros);
    if let Some(seen) = judged.kept {
        let version = seen.version.cast_signed();
        client.execute(sql::PUT_SEEN, &[&version, &seen.micros]).await.map_err(doing)?;
    }
    Ok(judged.behind)
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

/// The turn of a gateway in the rollout `of`, or all that have not ended for good; their rollouts are held so that they don't change meanwhile.
async fn held(
    client: &impl GenericClient,
    gateway: &str,
    of: Option<&str>,
) -> Result<Vec<(Rollout, Row)>, StoreError> {
    let doing = StoreError::postgres(DOING);
    let which = if of.is_some() {
        "SELECT rollout FROM rollout_gateway WHERE gateway = $1 AND rollout = $2"
    } else {
        sql::OPEN_TURNS
    };
    let sql = format!("{ROLLOUT_OF_ONE} WHERE id IN ({which}) ORDER BY id FOR SHARE");
    let statement = client.prepare_cached(&sql).await.map_err(doing)?;
    let both: [&(dyn ToSql + Sync); 2] = [&gateway, &of];
    let values = if of.is_some() { &both[..] } else { &both[..1] };
    let rollouts = client.query(&statement, values).await.map_err(doing)?;
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

/// As [`crate::store::rollouts`] has it.
async fn soon(
    client: &impl GenericClient,
    cohorts: &Cohorts,
    gateway: &str,
    software: &Software,
) -> Result<bool, StoreError> {
    let doing = StoreError::postgres(DOING);
    let statement = client.prepare_cached(sql::MAY_CHANGE).await.map_err(doing)?;
    if client.query_opt(&statement, &[&gateway]).await.map_err(doing)?.is_some() {
        return Ok(true);
    }
    let statement = client.prepare_cached(sql::MAY_COME).await.map_err(doing)?;
    let running = client.query(&statement, &[&gateway]).await.map_err(doing)?;
    if running.is_empty() {
        return Ok(false);
    }
    let one = async |sql: &str, of: &str| -> Result<Vec<String>, StoreError> {
        let statement = client.prepare_cached(sql).await.map_err(doing)?;
        let rows = client.query(&statement, &[&of]).await.map_err(doing)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    let property = one("SELECT property FROM gateway WHERE id = $1", gateway).await?.pop();
    let member = Member {
        gateway: gateway.to_owned(),
        property: property.unwrap_or_default(),
        labels: one("SELECT label FROM gateway_label WHERE gateway = $1", gateway)
            .await?
            .into_iter()
            .collect(),
        software: Some(software.clone()),
        ..Member::default()
    };
    for row in running {
        let id: String = row.get(0);
        let cohort = match cohorts.get(&id) {
            Some(cohort) => cohort,
            None => {
                let Some(text) = one("SELECT cohort FROM rollout WHERE id = $1", &id).await?.pop() else {
                    continue;
                };
                let read =
                    serde_json::from_str(&text).map_err(|error| unknown("the cohort of a rollout", error))?;
                cohorts.keep(&id, read)
            }
        };
        if cohort.means(&member) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is wanted of a gateway that tells this of itself; it is stored that it was told.
///
/// # Errors
/// PostgreSQL's.
pub async fn told(
    client: &mut Object,
    cohorts: &Cohorts,
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
    let soon = soon(&transaction, cohorts, gateway, software_now).await?;
    let asking = Asking { turns, blocked, soon };
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
    let statement = client.prepare_cached(sql::PUT_SOFTWARE).await.map_err(doing)?;
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
        let turn = turns.first().map(|(rollout, row)| (row, rollout.plan.release.kind));
        apply(client, &heard::taken(turn, gateway, heard, micros)).await?;
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

/// As [`crate::store::rollouts::publications`]. Cut in the middle, the rest is entered the next time.
///
/// # Errors
/// PostgreSQL's.
pub async fn publications(
    client: &impl GenericClient,
    entries: &[(String, Entry)],
) -> Result<(), StoreError> {
    let doing = StoreError::postgres(WRITING);
    let statement = client.prepare_cached(sql::PUT_PUBLICATION).await.map_err(doing)?;
    for (id, e) in entries {
        let (who, what, detail) = (clean(&e.who), clean(&e.what), clean(&e.detail));
        let values: &[&(dyn ToSql + Sync)] =
            &[&e.at_micros, &e.rollout, &e.gateway, &who, &what, &detail, id];
        client.execute(&statement, values).await.map_err(doing)?;
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
