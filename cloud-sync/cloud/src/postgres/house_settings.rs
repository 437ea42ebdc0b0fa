//! Settings that a house and the cloud may both change, as [`crate::store::house_settings`]. The gateway's row is locked by whoever
//! calls, so that what is read here and written back is nobody else's meanwhile.

use super::commands::enqueue;
use super::gateways::status;
use crate::house_settings::{
    Entry, MOST_ENTRIES, Outcome, SHARE, Setting, expires, json, known, may_prefer, read, received, telling,
    waits, withdrawn, written,
};
use crate::store::StoreError;
use deadpool_postgres::{GenericClient, Object};
use engawa_model::Timestamp;
use engawa_model::settings::{Clock, Register, SettingValue};

/// What rows of gateways tell of settings.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// All that a gateway knows of one.
    Known {
        /// Property and gateway.
        of: (String, String),
        /// The guest's reservation; empty: the house's.
        stay: String,
        /// Which.
        name: String,
        /// All of it.
        register: Box<Register>,
    },
    /// A guest was erased, or (`None`) guests have left.
    Over {
        /// Property and gateway.
        of: (String, String),
        /// Whose.
        stay: Option<String>,
    },
}

impl Told {
    /// Property and gateway.
    pub(crate) fn of(&self) -> &(String, String) {
        let (Self::Known { of, .. } | Self::Over { of, .. }) = self;
        of
    }
}

type Of<'a> = (&'a str, &'a str);

const DOING: &str = "keeping a setting";
/// Whether the guest is in the house, and was erased there.
const GUEST: &str = "SELECT EXISTS (SELECT FROM stay WHERE property = $1 AND gateway = $2 AND stay = $3
      AND left_at IS NULL),
    EXISTS (SELECT FROM erasure e JOIN stay s USING (property, gateway, stay)
      WHERE property = $1 AND gateway = $2 AND stay = $3 AND verified AND upto_micros >= arrived_at)";
const IN_HOUSE: &str = "SELECT EXISTS (SELECT FROM stay WHERE property = $1 AND gateway = $2 AND stay = $3
    AND left_at IS NULL)";

/// As [`crate::store::house_settings::gateways_of`].
///
/// # Errors
/// There is none, or PostgreSQL's.
pub async fn gateways_of(client: &impl GenericClient, target: &str) -> Result<Vec<String>, StoreError> {
    let rows = client
        .query(
            "SELECT id FROM gateway WHERE id = $1 OR (property = $1 AND revoked_at IS NULL
             AND NOT EXISTS (SELECT FROM gateway WHERE id = $1)) ORDER BY id",
            &[&target],
        )
        .await
        .map_err(StoreError::postgres("looking a gateway up"))?;
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if found.is_empty() { Err(StoreError::NoGateway(target.to_owned())) } else { Ok(found) }
}

async fn stored(
    client: &impl GenericClient,
    of: Of<'_>,
    stay: &str,
    name: &str,
) -> Result<Register, StoreError> {
    let row = client
        .query_opt(
            "SELECT register FROM gateway_setting
             WHERE property = $1 AND gateway = $2 AND stay = $3 AND name = $4",
            &[&of.0, &of.1, &stay, &name],
        )
        .await
        .map_err(StoreError::postgres(DOING))?;
    row.map_or_else(|| Ok(Register::default()), |row| read(row.get(0)))
}

async fn clock(client: &impl GenericClient, of: Of<'_>) -> Result<Clock, StoreError> {
    let row = client
        .query_opt(
            "SELECT clock FROM gateway_setting_clock WHERE property = $1 AND gateway = $2",
            &[&of.0, &of.1],
        )
        .await
        .map_err(StoreError::postgres(DOING))?;
    // A clock that is lost begins anew: what is written is after what it replaces all the same.
    Ok(row.and_then(|row| serde_json::from_str(row.get(0)).ok()).unwrap_or_default())
}

/// Stores `outcome`, and what the gateway is to be told.
async fn keep(
    client: &impl GenericClient,
    of: Of<'_>,
    (stay, name): (&str, &str),
    outcome: &Outcome,
    epoch: Option<u64>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres(DOING);
    let now_micros = now.as_microsecond();
    let value = outcome.value.as_ref().map(json);
    client
        .execute(
            "INSERT INTO gateway_setting (property, gateway, stay, name, register, value, changed_micros)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (property, gateway, stay, name) DO UPDATE SET register = excluded.register,
             value = excluded.value, changed_micros = excluded.changed_micros",
            &[&of.0, &of.1, &stay, &name, &json(&outcome.register), &value, &now_micros],
        )
        .await
        .map_err(doing)?;
    client
        .execute(
            "INSERT INTO gateway_setting_clock (property, gateway, clock) VALUES ($1, $2, $3)
             ON CONFLICT (property, gateway) DO UPDATE SET clock = excluded.clock",
            &[&of.0, &of.1, &json(&outcome.clock)],
        )
        .await
        .map_err(doing)?;
    if withdrawn(name, outcome) {
        for table in ["gateway_setting", "gateway_setting_log"] {
            let sql = format!("DELETE FROM {table} WHERE property = $1 AND gateway = $2 AND stay <> ''");
            client.execute(&sql, &[&of.0, &of.1]).await.map_err(doing)?;
        }
    }
    for note in &outcome.notes {
        client
            .execute(
                "INSERT INTO gateway_setting_log (property, gateway, number, at_micros, stay, name, note)
                 SELECT $1, $2, 1 + coalesce(max(number), 0), $3, $4, $5, $6 FROM gateway_setting_log
                 WHERE property = $1 AND gateway = $2",
                &[&of.0, &of.1, &now_micros, &stay, &name, &json(note)],
            )
            .await
            .map_err(doing)?;
    }
    if !outcome.notes.is_empty() {
        client
            .execute(
                "DELETE FROM gateway_setting_log WHERE property = $1 AND gateway = $2 AND number <=
                 (SELECT max(number) FROM gateway_setting_log WHERE property = $1 AND gateway = $2) - $3",
                &[&of.0, &of.1, &MOST_ENTRIES],
            )
            .await
            .map_err(doing)?;
    }
    if outcome.tell {
        tell(client, of, epoch, (stay, name), &outcome.register, now).await?;
    }
    Ok(())
}

async fn tell(
    client: &impl GenericClient,
    of: Of<'_>,
    epoch: Option<u64>,
    (stay, name): (&str, &str),
    register: &Register,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (key, action) = telling(epoch, name, stay, register);
    match enqueue(client, of, &key, &action, now, expires(now)).await {
        // A key that is taken was told before; what it said has been cleared since, or written otherwise by another release.
        Ok(_) | Err(StoreError::KeyTaken { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// As [`crate::store::house_settings::set`].
///
/// # Errors
/// As there, with PostgreSQL's.
#[allow(clippy::too_many_arguments, reason = "each is a part of one write")]
pub async fn set(
    client: &mut Object,
    gateway: &str,
    stay: &str,
    name: &str,
    value: Option<SettingValue>,
    by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let doing = StoreError::postgres(DOING);
    let transaction = client.transaction().await.map_err(doing)?;
    let (property, epoch) = match status(&transaction, gateway, true).await? {
        None => return Err(StoreError::NoGateway(gateway.to_owned())),
        Some(status) if status.revoked => return Err(StoreError::Revoked(gateway.to_owned())),
        Some(status) => (status.property, status.epoch),
    };
    let of = (property.as_str(), gateway);
    let field = known(name, stay)?;
    if !stay.is_empty() {
        let row = transaction.query_one(GUEST, &[&of.0, &of.1, &stay]).await.map_err(doing)?;
        may_prefer(stay, row.get(0), row.get(1), &stored(&transaction, of, "", SHARE).await?)?;
    }
    let own = stored(&transaction, of, stay, name).await?;
    let outcome = written(field, &own, clock(&transaction, of).await?, value, by, now)?;
    keep(&transaction, of, (stay, name), &outcome, epoch, now).await?;
    transaction.commit().await.map_err(doing)
}

/// Takes in what rows tell, in the connection's open transaction.
///
/// # Errors
/// PostgreSQL's.
pub(crate) async fn take(client: &Object, told: &[Told], now_micros: i64) -> Result<(), StoreError> {
    let now = Timestamp::from_microsecond(now_micros).unwrap_or(Timestamp::MAX);
    let doing = StoreError::postgres(DOING);
    for told in told {
        match told {
            Told::Known { of, stay, name, register } => {
                let of = (of.0.as_str(), of.1.as_str());
                if !stay.is_empty() {
                    let row = client.query_one(IN_HOUSE, &[&of.0, &of.1, stay]).await.map_err(doing)?;
                    if !row.get::<_, bool>(0) {
                        continue;
                    }
                }
                let own = stored(client, of, stay, name).await?;
                let clock = clock(client, of).await?;
                let taken = received((of.1, name, stay), &own, register, clock, now_micros);
                if let Some(outcome) = taken {
                    let epoch = status(client, of.1, false).await?.and_then(|status| status.epoch);
                    let kept = keep(client, of, (stay, name), &outcome, epoch, now).await;
                    kept.or_else(|error| waits(of.1, name, error))?;
                }
            }
            Told::Over { of, stay } => {
                for table in ["gateway_setting", "gateway_setting_log"] {
                    let sql = format!(
                        "DELETE FROM {table} WHERE property = $1 AND gateway = $2 AND stay <> '' AND
                         CASE WHEN $3::text IS NULL THEN stay NOT IN (SELECT stay FROM stay
                         WHERE property = $1 AND gateway = $2 AND left_at IS NULL) ELSE stay = $3 END"
                    );
                    let statement = client.prepare_cached(&sql).await.map_err(doing)?;
                    client.execute(&statement, &[&of.0, &of.1, stay]).await.map_err(doing)?;
                }
            }
        }
    }
    Ok(())
}

/// As [`crate::store::house_settings`]: the gateway has a new or restored disk, and is told everything anew.
///
/// # Errors
/// PostgreSQL's.
pub(crate) async fn tell_all(
    client: &impl GenericClient,
    gateway: &str,
    epoch: u64,
    now_micros: i64,
) -> Result<(), StoreError> {
    let now = Timestamp::from_microsecond(now_micros).unwrap_or(Timestamp::MAX);
    let Some(status) = status(client, gateway, false).await? else { return Ok(()) };
    for setting in list(client, gateway).await? {
        let of = (status.property.as_str(), gateway);
        let told =
            tell(client, of, Some(epoch), (&setting.stay, &setting.name), &setting.register, now).await;
        told.or_else(|error| waits(gateway, &setting.name, error))?;
    }
    Ok(())
}

/// As [`crate::store::house_settings::list`].
///
/// # Errors
/// PostgreSQL's.
pub async fn list(client: &impl GenericClient, gateway: &str) -> Result<Vec<Setting>, StoreError> {
    let rows = client
        .query(
            "SELECT stay, name, register, value, changed_micros FROM gateway_setting
             WHERE (property, gateway) = (SELECT property, id FROM gateway WHERE id = $1) ORDER BY stay, name",
            &[&gateway],
        )
        .await
        .map_err(StoreError::postgres("listing settings"))?;
    let setting = |row: tokio_postgres::Row| {
        let value: Option<String> = row.get(3);
        Ok(Setting {
            gateway: gateway.to_owned(),
            stay: row.get(0),
            name: row.get(1),
            value: value.and_then(|value| serde_json::from_str(&value).ok()),
            register: read(row.get(2))?,
            changed_micros: row.get(4),
        })
    };
    rows.into_iter().map(setting).collect()
}

/// As [`crate::store::house_settings::log`].
///
/// # Errors
/// PostgreSQL's.
pub async fn log(
    client: &impl GenericClient,
    gateway: &str,
    name: Option<&str>,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let rows = client
        .query(
            "SELECT at_micros, stay, name, note FROM gateway_setting_log
             WHERE (property, gateway) = (SELECT property, id FROM gateway WHERE id = $1)
             AND ($2::text IS NULL OR name = $2) ORDER BY number DESC LIMIT $3",
            &[&gateway, &name, &i64::from(limit)],
        )
        .await
        .map_err(StoreError::postgres("reading the log of settings"))?;
    let rows = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    Ok(crate::house_settings::entries(gateway, rows))
}
