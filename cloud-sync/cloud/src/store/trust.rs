//! Certificates on record, fences and turns, regions, and what can be set. All the SQL of these is here.

use super::StoreError;
use data_encoding::HEXLOWER;
use engawa_protocol::bucket::Limits;
use engawa_protocol::ports::Refusal;
use engawa_protocol::trust::{Distrust, Kept, Peer, Taken, Turn, take};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// Certificates that one gateway may have signed in a day: a gateway that asks without end gets no end of them.
const MOST_A_DAY: i64 = 12;
const DAY_MICROS: i64 = 86_400 * 1_000_000;

/// Something that can be set, with its bounds and its default.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// The least and the most.
    pub range: (u32, u32),
    /// What holds where nothing is set.
    pub default: u32,
}

const DEFAULT: Limits =
    Limits { rows_per_s: 20_000, bytes_per_s: 8_000_000, burst_s: 60, connections_per_minute: 600 };

/// All that can be set.
pub const SETTINGS: [Setting; 6] = [
    Setting {
        key: "certificate-days",
        what: "how long a gateway's certificate is valid; renewed at two thirds",
        range: (1, 3650),
        default: 30,
    },
    Setting {
        key: "renewal-grace-days",
        what: "how long after its time a certificate may still be renewed, and nothing else",
        range: (0, 3650),
        default: 365,
    },
    Setting {
        key: "rows-per-second",
        what: "what one gateway may send, telemetry apart from the rest; above it waits",
        range: (10, 10_000_000),
        default: DEFAULT.rows_per_s,
    },
    Setting {
        key: "bytes-per-second",
        what: "the same in bytes of bodies",
        range: (10_000, 1_000_000_000),
        default: DEFAULT.bytes_per_s,
    },
    Setting {
        key: "burst-seconds",
        what: "so many seconds' worth may come at once",
        range: (1, 3600),
        default: DEFAULT.burst_s,
    },
    Setting {
        key: "connections-per-minute",
        what: "how often one gateway may connect",
        range: (2, 6000),
        default: DEFAULT.connections_per_minute,
    },
];

/// Everything that can be set, as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How long a certificate is valid, microseconds.
    pub valid_micros: i64,
    /// How long after that it may be renewed, days.
    pub grace_days: u32,
    /// What one gateway may send.
    pub limits: Limits,
}

/// The value of a setting; its default where it is not set.
///
/// # Errors
/// The database's.
pub fn setting(connection: &Connection, key: &str) -> Result<f64, StoreError> {
    let default = SETTINGS.iter().find(|setting| setting.key == key).map_or(0, |setting| setting.default);
    let set = connection
        .prepare_cached("SELECT value FROM setting WHERE key = ?1")
        .and_then(|mut statement| statement.query_row([key], |row| row.get::<_, String>(0)).optional())
        .map_err(StoreError::sql("reading a setting"))?;
    Ok(set.and_then(|value| value.parse().ok()).unwrap_or_else(|| f64::from(default)))
}

/// Sets one; whether it is in its range is the caller's business.
///
/// # Errors
/// The database's.
pub fn set(connection: &Connection, key: &str, value: u32) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            params![key, value.to_string()],
        )
        .map(drop)
        .map_err(StoreError::sql("changing a setting"))
}

/// All settings together.
///
/// # Errors
/// The database's.
pub fn policy(connection: &Connection) -> Result<Policy, StoreError> {
    // In range by the command line; what was put there by hand is cut off at the type's bounds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = |key| setting(connection, key).map(|value| value as u32);
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "saturates")]
    let valid_micros = (setting(connection, "certificate-days")? * DAY_MICROS as f64) as i64;
    Ok(Policy {
        valid_micros,
        grace_days: whole("renewal-grace-days")?,
        limits: Limits {
            rows_per_s: whole("rows-per-second")?,
            bytes_per_s: whole("bytes-per-second")?,
            burst_s: whole("burst-seconds")?,
            connections_per_minute: whole("connections-per-minute")?,
        },
    })
}

/// A certificate, as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// Whose.
    pub gateway: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of its signer's key, hexadecimal.
    pub authority: Option<String>,
    /// When it was signed, µs.
    pub issued_micros: Option<i64>,
    /// Until when it is valid, µs.
    pub expires_micros: i64,
    /// When it was used last, µs.
    pub seen_micros: Option<i64>,
    /// Why it was revoked, where it was.
    pub revoked: Option<String>,
}

const COLUMNS: &str = "gateway, serial, authority, issued_at, expires, seen_at,
    CASE WHEN revoked_at IS NULL THEN NULL ELSE coalesce(revoked_why, '') END";

fn certificate_of(row: &Row<'_>) -> rusqlite::Result<Certificate> {
    Ok(Certificate {
        gateway: row.get(0)?,
        serial: row.get(1)?,
        authority: row.get(2)?,
        issued_micros: row.get(3)?,
        expires_micros: row.get(4)?,
        seen_micros: row.get(5)?,
        revoked: row.get(6)?,
    })
}

/// The newest certificates, of one gateway or of all.
///
/// # Errors
/// The database's.
pub fn certificates(
    connection: &Connection,
    gateway: Option<&str>,
    limit: u32,
) -> Result<Vec<Certificate>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM certificate WHERE ?1 IS NULL OR gateway = ?1
         ORDER BY gateway, coalesce(issued_at, 0) DESC LIMIT ?2"
    );
    let mut statement = connection.prepare(&sql).map_err(StoreError::sql("listing certificates"))?;
    statement
        .query_map(params![gateway, limit], certificate_of)
        .and_then(Iterator::collect)
        .map_err(StoreError::sql("listing certificates"))
}

fn on_record(connection: &Connection, peer: &Peer) -> Result<Option<Certificate>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM certificate WHERE gateway = ?1 AND serial = ?2");
    connection
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            statement.query_row([&peer.gateway, &peer.serial], certificate_of).optional()
        })
        .map_err(StoreError::sql("looking a certificate up"))
}

/// A certificate was signed.
///
/// # Errors
/// The database's.
pub fn issued(
    connection: &Connection,
    peer: &Peer,
    authority: [u8; 32],
    now_micros: i64,
) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO certificate (gateway, serial, key_hash, authority, issued_at, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                peer.gateway,
                peer.serial,
                peer.key,
                HEXLOWER.encode(&authority),
                now_micros,
                peer.not_after_s.saturating_mul(1_000_000)
            ],
        )
        .map(drop)
        .map_err(StoreError::sql("recording a certificate"))
}

/// A gateway is enrolled with this certificate: what another machine had under its name is revoked, and turns begin anew.
///
/// # Errors
/// The database's.
pub fn enrolled(
    connection: &Connection,
    peer: &Peer,
    authority: [u8; 32],
    now_micros: i64,
) -> Result<(), StoreError> {
    let doing = StoreError::sql("recording an enrolment");
    issued(connection, peer, authority, now_micros)?;
    let others = connection
        .execute(
            "UPDATE certificate SET revoked_at = ?3, revoked_why = 'another machine was enrolled in its place'
             WHERE gateway = ?1 AND key_hash <> ?2 AND revoked_at IS NULL",
            params![peer.gateway, peer.key, now_micros],
        )
        .map_err(doing)?;
    if others > 0 {
        tracing::warn!(gateway = %peer.gateway, others, "certificates of another machine were revoked");
    }
    connection
        .execute(
            "UPDATE gateway SET certificates_since = ?2, turn_number = NULL, turn_secret = NULL WHERE id = ?1",
            params![peer.gateway, now_micros],
        )
        .map(drop)
        .map_err(doing)
}

/// A gateway uses this certificate now. One that is not on record is put there.
///
/// # Errors
/// The database's.
pub fn used(connection: &Connection, peer: &Peer, now_micros: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO certificate (gateway, serial, key_hash, expires, seen_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (gateway, serial) DO UPDATE SET seen_at = excluded.seen_at",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                peer.gateway,
                peer.serial,
                peer.key,
                peer.not_after_s.saturating_mul(1_000_000),
                now_micros
            ])
        })
        .map(drop)
        .map_err(StoreError::sql("noting that a certificate is used"))
}

/// Revokes one certificate of a gateway.
///
/// # Errors
/// None such on record, or the database's.
pub fn revoke_certificate(
    connection: &Connection,
    gateway: &str,
    serial: &str,
    now_micros: i64,
) -> Result<(), StoreError> {
    let found = connection
        .execute(
            "UPDATE certificate SET revoked_at = coalesce(revoked_at, ?3), revoked_why = coalesce(revoked_why,
             'somebody revoked it') WHERE gateway = ?1 AND serial = ?2",
            params![gateway, serial, now_micros],
        )
        .map_err(StoreError::sql("revoking a certificate"))?;
    if found == 0 {
        return Err(StoreError::NoCertificate { gateway: gateway.to_owned(), serial: serial.to_owned() });
    }
    Ok(())
}

struct Gateway {
    enrolled: bool,
    revoked: bool,
    fenced: Option<String>,
    turn: Option<Kept>,
    address: Option<String>,
    certificates_since: Option<i64>,
}

fn gateway(connection: &Connection, id: &str) -> Result<Option<Gateway>, StoreError> {
    let read = |row: &Row<'_>| {
        let number = row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned);
        let secret = row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned);
        let fenced = row.get::<_, Option<i64>>(2)?.is_some();
        Ok(Gateway {
            enrolled: row.get::<_, Option<i64>>(0)?.is_some(),
            revoked: row.get::<_, Option<i64>>(1)?.is_some(),
            fenced: if fenced { Some(row.get::<_, Option<String>>(3)?.unwrap_or_default()) } else { None },
            turn: number.map(|number| Kept { number, secret }),
            address: row.get(6)?,
            certificates_since: row.get(7)?,
        })
    };
    connection
        .prepare_cached(
            "SELECT enrolled_at, revoked_at, fenced_at, fenced_why, turn_number, turn_secret, address,
             certificates_since FROM gateway WHERE id = ?1",
        )
        .and_then(|mut statement| statement.query_row([id], read).optional())
        .map_err(StoreError::sql("looking a gateway up"))
}

/// What is against the certificate or its gateway, whatever it wants.
fn against(connection: &Connection, peer: &Peer) -> Result<Result<Gateway, Refusal>, StoreError> {
    let unknown = || Ok(Err(Refusal::Unknown(peer.gateway.clone())));
    let Some(found) = gateway(connection, &peer.gateway)? else { return unknown() };
    if !found.enrolled || found.revoked {
        return unknown();
    }
    let revoked = match on_record(connection, peer)? {
        Some(certificate) => certificate.revoked,
        None => {
            // A certificate begins a day before it was signed, since clocks differ.
            let signed = peer.not_before_s.saturating_mul(1_000_000).saturating_add(DAY_MICROS);
            let replaced = found.certificates_since.is_some_and(|since| signed < since - 1_000_000);
            replaced.then(|| "another machine was enrolled in its place".to_owned())
        }
    };
    if let Some(why) = revoked {
        let (gateway, serial) = (peer.gateway.clone(), peer.serial.clone());
        return Ok(Err(Distrust::Revoked { gateway, serial, why }.into()));
    }
    if let Some(why) = &found.fenced {
        return Ok(Err(Distrust::Fenced { gateway: peer.gateway.clone(), why: why.clone() }.into()));
    }
    Ok(Ok(found))
}

/// May the session go on that began with this certificate and this turn?
///
/// # Errors
/// The database's. A refusal is not an error: it is the inner result.
pub fn standing(
    connection: &Connection,
    peer: &Peer,
    turn: Option<Turn>,
) -> Result<Result<(), Refusal>, StoreError> {
    let found = match against(connection, peer)? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let newest = found.turn.and_then(|kept| kept.secret);
    Ok(match (turn, newest) {
        (Some(turn), Some(newest)) if newest != turn.mine => {
            Err(Distrust::Superseded(peer.gateway.clone()).into())
        }
        _ => Ok(()),
    })
}

/// A gateway comes for a session: its turn is noted, and gets its number. Where another box has had a turn under this
/// identity, the gateway is fenced: nobody can tell which of them is the copy.
///
/// # Errors
/// The database's. A refusal is not an error: it is the inner result, and is to be committed, for it may be a fence.
pub fn greet(
    connection: &Connection,
    peer: &Peer,
    turn: Option<Turn>,
    now_micros: i64,
) -> Result<Result<u64, Refusal>, StoreError> {
    let found = match against(connection, peer)? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    used(connection, peer, now_micros)?;
    let Some(turn) = turn else { return Ok(Ok(0)) };
    match take(found.turn, &turn) {
        Taken::Same(kept) => {
            connection
                .prepare_cached("UPDATE gateway SET turn_number = ?2, turn_secret = ?3 WHERE id = ?1")
                .and_then(|mut statement| {
                    let secret = kept.secret.map(u64::cast_signed);
                    statement.execute(params![peer.gateway, kept.number.cast_signed(), secret])
                })
                .map_err(StoreError::sql("noting a gateway's turn"))?;
            Ok(Ok(kept.number))
        }
        Taken::Twin => {
            let last = found.address.map(|address| format!(", last from {address}")).unwrap_or_default();
            let why = format!(
                "another box has used its identity{last}: a disk was copied, or restored from an old copy"
            );
            fence(connection, &peer.gateway, &why, now_micros)?;
            Ok(Err(Distrust::Fenced { gateway: peer.gateway.clone(), why }.into()))
        }
    }
}

/// Nobody talks under this identity until somebody has looked.
///
/// # Errors
/// The database's.
pub fn fence(connection: &Connection, gateway: &str, why: &str, now_micros: i64) -> Result<(), StoreError> {
    tracing::error!(gateway, why, "a gateway is fenced");
    connection
        .execute(
            "UPDATE gateway SET fenced_at = coalesce(fenced_at, ?3), fenced_why = coalesce(fenced_why, ?2)
             WHERE id = ?1",
            params![gateway, why, now_micros],
        )
        .map(drop)
        .map_err(StoreError::sql("fencing a gateway"))
}

/// Somebody has looked: whichever box comes first is the gateway from now on. Gives why it was fenced.
///
/// # Errors
/// No such gateway, one that is not fenced, or the database's.
pub fn unfence(connection: &Connection, id: &str) -> Result<String, StoreError> {
    let found = gateway(connection, id)?.ok_or_else(|| StoreError::NoGateway(id.to_owned()))?;
    let why = found.fenced.ok_or_else(|| StoreError::NotFenced(id.to_owned()))?;
    connection
        .execute(
            "UPDATE gateway SET fenced_at = NULL, fenced_why = NULL, turn_secret = NULL WHERE id = ?1",
            [id],
        )
        .map_err(StoreError::sql("lifting a gateway's fence"))?;
    Ok(why)
}

/// What decides whether a certificate is to be renewed.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The authority that signs gateways' certificates.
    pub signer: [u8; 32],
    /// The cloud's region.
    pub region: Option<&'a str>,
    /// The cloud's clock, µs.
    pub micros: i64,
}

/// Is the certificate to be renewed? At two thirds of its life; at once where another authority signs now, where it does
/// not say the region, and where it is not on record (of an older release).
///
/// # Errors
/// The database's. A refusal is not an error: it is the inner result.
pub fn due(connection: &Connection, peer: &Peer, now: Now<'_>) -> Result<Result<bool, Refusal>, StoreError> {
    if let Err(refusal) = against(connection, peer)? {
        return Ok(Err(refusal));
    }
    let grace = i64::from(policy(connection)?.grace_days);
    let over = now.micros.saturating_sub(peer.not_after_s.saturating_mul(1_000_000));
    if over > grace.saturating_mul(DAY_MICROS) {
        let days = u32::try_from(grace).unwrap_or(u32::MAX);
        return Ok(Err(Distrust::TooLate { gateway: peer.gateway.clone(), days }.into()));
    }
    let signer = HEXLOWER.encode(&now.signer);
    Ok(Ok(match on_record(connection, peer)? {
        Some(Certificate {
            authority: Some(authority), issued_micros: Some(issued), expires_micros, ..
        }) => {
            let third = expires_micros.saturating_sub(issued) / 3;
            authority != signer
                || peer.region.as_deref() != now.region
                || now.micros >= expires_micros - third
        }
        _ => true,
    }))
}

/// May a certificate over the key of this hash be signed for the gateway now?
///
/// # Errors
/// The database's. A refusal is not an error: it is the inner result.
pub fn may_renew(
    connection: &Connection,
    peer: &Peer,
    key: [u8; 32],
    now: Now<'_>,
) -> Result<Result<(), Refusal>, StoreError> {
    match due(connection, peer, now)? {
        Err(refusal) => return Ok(Err(refusal)),
        Ok(false) => return Ok(Err(Distrust::NotDue(peer.gateway.clone()).into())),
        Ok(true) => {}
    }
    let doing = StoreError::sql("looking a gateway's keys up");
    // An unused one is a request that was made again, since its answer was lost.
    let used_before = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM certificate WHERE gateway = ?1 AND key_hash = ?2 AND seen_at IS NOT NULL)",
            params![peer.gateway, key],
            |row| row.get::<_, bool>(0),
        )
        .map_err(doing)?;
    if used_before || key == peer.key {
        return Ok(Err(Refusal::BadRequest("a renewal is for a new key".to_owned())));
    }
    let today = connection
        .query_row(
            "SELECT count(*) FROM certificate WHERE gateway = ?1 AND issued_at > ?2",
            params![peer.gateway, now.micros - DAY_MICROS],
            |row| row.get::<_, i64>(0),
        )
        .map_err(doing)?;
    if today >= MOST_A_DAY {
        return Ok(Err(Refusal::BadRequest(format!("{today} certificates were signed for it in a day"))));
    }
    Ok(Ok(()))
}

/// A gateway that still hangs on an older authority.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hanging {
    /// The gateway.
    pub gateway: String,
    /// Its property.
    pub property: String,
    /// When it was seen last, µs.
    pub seen_micros: Option<i64>,
}

/// The gateways that are enrolled, and whose newest certificate in use was not signed by the authority of this pin.
///
/// # Errors
/// The database's.
pub fn hanging(connection: &Connection, authority: [u8; 32]) -> Result<Vec<Hanging>, StoreError> {
    let doing = StoreError::sql("looking for gateways under an older authority");
    let mut statement = connection
        .prepare(
            "SELECT id, property, last_seen FROM gateway WHERE enrolled_at IS NOT NULL AND revoked_at IS NULL
             AND coalesce((SELECT authority FROM certificate WHERE gateway = id AND seen_at IS NOT NULL
                           ORDER BY seen_at DESC, issued_at DESC LIMIT 1), '') <> ?1 ORDER BY id",
        )
        .map_err(doing)?;
    let read =
        |row: &Row<'_>| Ok(Hanging { gateway: row.get(0)?, property: row.get(1)?, seen_micros: row.get(2)? });
    statement.query_map([HEXLOWER.encode(&authority)], read).and_then(Iterator::collect).map_err(doing)
}

/// Claim codes that are not used yet go: they name an authority that is no more. Gives how many.
///
/// # Errors
/// The database's.
pub fn drop_open_claims(connection: &Connection) -> Result<usize, StoreError> {
    connection
        .execute("DELETE FROM claim WHERE used_at IS NULL", [])
        .map_err(StoreError::sql("removing claim codes of an older authority"))
}

/// The regions and their clouds' addresses.
///
/// # Errors
/// The database's.
pub fn regions(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    let doing = StoreError::sql("reading the regions");
    let mut statement =
        connection.prepare_cached("SELECT region, address FROM region ORDER BY region").map_err(doing)?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).and_then(Iterator::collect).map_err(doing)
}

/// Notes where a region's cloud is.
///
/// # Errors
/// The database's.
pub fn set_region(connection: &Connection, region: &str, address: &str) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO region (region, address) VALUES (?1, ?2)
             ON CONFLICT (region) DO UPDATE SET address = excluded.address",
            [region, address],
        )
        .map(drop)
        .map_err(StoreError::sql("noting a region"))
}

/// Forgets a region; true where it was known.
///
/// # Errors
/// The database's.
pub fn remove_region(connection: &Connection, region: &str) -> Result<bool, StoreError> {
    connection
        .execute("DELETE FROM region WHERE region = ?1", [region])
        .map(|rows| rows > 0)
        .map_err(StoreError::sql("forgetting a region"))
}
