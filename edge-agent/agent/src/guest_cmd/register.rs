//! `engawa guest register`.

use crate::config::Loaded;
use anyhow::{Context, ensure};
use engawa_model::{Personal, Timestamp};
use engawa_store::DatabaseKey;
use engawa_store::vault::{Asker, AuditTrail, Register};
use jiff::civil::Date;
use std::io::{self, Write};

/// Prints the entries of guests who came in a time.
pub(super) fn main(
    loaded: &Loaded,
    (from, to): (Date, Date),
    asker: &Asker,
    as_json: bool,
) -> anyhow::Result<()> {
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
    let mut out = io::stdout().lock();
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
