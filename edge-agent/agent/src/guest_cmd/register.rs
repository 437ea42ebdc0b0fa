//! `engawa guest register`.

use crate::config::Loaded;
use anyhow::{Context, ensure};
use engawa_model::{Personal, StayId, Timestamp};
use engawa_store::DatabaseKey;
use engawa_store::vault::{Asker, AuditTrail, REGISTER_FILE, Register, RegisterEntry};
use jiff::SignedDuration;
use jiff::civil::Date;
use serde_json::{Value, json};
use std::io::Write;

/// The years that a register can be asked for: further ones can't be meant, and the last of them end in no zone.
const YEARS: std::ops::RangeInclusive<i16> = 1900..=2999;

/// A day, as people write it in a command.
pub(super) fn day(text: &str) -> Result<Date, String> {
    let day: Option<Date> = text.trim().parse().ok();
    day.filter(|day| YEARS.contains(&day.year())).ok_or_else(|| {
        format!("this is no day between {} and {}; write it as 2026-11-01", YEARS.start(), YEARS.end())
    })
}

/// Why an entry is not erased with the rest.
const WHY: &str = "kept under the law that asks this house for a guest register; an erasure does not reach it before its time";

/// What the register holds of a reservation number; nothing where the house never kept one.
pub(super) fn held(loaded: &Loaded, stay: &StayId) -> anyhow::Result<Vec<RegisterEntry>> {
    let dir = &loaded.config.store.dir;
    if !dir.join(REGISTER_FILE).exists() {
        return Ok(Vec::new());
    }
    let key = DatabaseKey::load(&loaded.register_key_file()).context("the register's key")?;
    Ok(Register::open(dir, &key)?.entries_of(stay)?)
}

/// When the time of an entry is over; `None` while the guest is in the house.
fn until(loaded: &Loaded, entry: &RegisterEntry) -> Option<Timestamp> {
    let days = SignedDuration::from_hours(i64::from(loaded.config.privacy.register_days) * 24);
    entry.left?.checked_add(days).ok()
}

/// The register's part of an export: what it holds, why, and how long.
pub(super) fn export(loaded: &Loaded, stay: &StayId) -> anyhow::Result<Value> {
    let entries = held(loaded, stay)?.into_iter().map(|entry| {
        let until = until(loaded, &entry);
        Ok(json!({ "entry": serde_json::to_value(&entry)?, "until": until }))
    });
    let entries: Vec<Value> = entries.collect::<anyhow::Result<_>>()?;
    let days = loaded.config.privacy.register_days;
    Ok(json!({ "why": WHY, "days_after_check_out": days, "entries": entries }))
}

/// Says what an erasure has left, until when, and why. Nobody is named.
pub(super) fn tell_kept(loaded: &Loaded, stay: &StayId, as_json: bool) -> anyhow::Result<()> {
    let mut out = crate::answer::lock();
    for entry in held(loaded, stay)? {
        let until = until(loaded, &entry);
        if as_json {
            let kept = json!({ "kept": "register", "reservation": stay, "since": entry.since, "until": until, "why": WHY });
            writeln!(out, "{kept}")?;
            continue;
        }
        let days = loaded.config.privacy.register_days;
        let end = until.map_or_else(|| format!("{days} days after check-out"), |until| until.to_string());
        writeln!(out, "stays   the guest register's entry of {} until {end}:", entry.since)?;
        writeln!(out, "        {WHY}")?;
    }
    Ok(())
}

/// Prints the entries of guests who came in a time.
pub(super) fn main(
    loaded: &Loaded,
    (from, to): (Date, Date),
    asker: &Asker,
    as_json: bool,
) -> anyhow::Result<()> {
    if to <= from {
        let words = format!("--to {to} is not after --from {from}: --to is the day after the last\n");
        // A wrong command line ends as every other one, with status 2.
        clap::Error::raw(clap::error::ErrorKind::ValueValidation, words).exit();
    }
    ensure!(
        loaded.config.privacy.register,
        "this house keeps no guest register: where a law asks for one, set `register = true` in [privacy]"
    );
    let instant = |day: Date| -> anyhow::Result<Timestamp> {
        Ok(day.in_tz(&loaded.config.property.zone).context("a day in the hotel's zone")?.timestamp())
    };
    let dir = &loaded.config.store.dir;
    let key = DatabaseKey::load(&loaded.register_key_file()).context("the register's key")?;
    let entries = Register::open(dir, &key)?.entries(instant(from)?, instant(to)?)?;
    let what = format!("the guest register from {from} to {to}: {} entries", entries.len());
    let key = DatabaseKey::load(&loaded.key_file())?;
    AuditTrail::open(dir, &key)?.append(Timestamp::now(), asker.who(), asker.why(), &what)?;
    let mut out = crate::answer::lock();
    for entry in entries {
        if as_json {
            writeln!(out, "{}", serde_json::to_string(&entry)?)?;
            continue;
        }
        let text = |field: &Option<Personal<String>>| field.as_ref().map(|field| field.reveal().clone());
        let of_name = [&entry.title, &entry.first_name, &entry.name].map(text);
        let name: Vec<String> = of_name.into_iter().flatten().collect();
        let contact: Vec<String> = [&entry.phone, &entry.email].map(text).into_iter().flatten().collect();
        let left = entry.left.map_or_else(|| "in the house".to_owned(), |left| format!("left {left}"));
        writeln!(
            out,
            "{:<12} room {:<8} {}  came {}, {left}  {}",
            entry.reservation.as_str(),
            entry.room,
            name.join(" "),
            entry.since,
            contact.join(", ")
        )?;
    }
    Ok(())
}
