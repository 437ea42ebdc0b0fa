//! What the command line lists.
#![allow(clippy::print_stdout, reason = "standard output is where a listing goes")]

use crate::config::Config;
use engawa_model::Property;
use engawa_store::{DATABASE_FILE, DatabaseKey, Reader};
use serde_json::json;

fn reader(config: &Config) -> anyhow::Result<Reader> {
    let key = DatabaseKey::load(&config.key_file())?;
    Ok(Reader::open(&config.store.dir.join(DATABASE_FILE), &key)?)
}

fn stored(config: &Config) -> anyhow::Result<Property> {
    Ok(reader(config)?.load(config.property_spec())??)
}

/// `engawa check`, when all is well.
pub(crate) fn summary(config: &Config) -> anyhow::Result<()> {
    let pms = config.pms.as_ref().map_or("no PMS".to_owned(), |pms| format!("PMS at {}", pms.address));
    println!("{} ({}): {} rooms, {pms}", config.property.name, config.property.id, config.property.rooms.len());
    Ok(())
}

/// `engawa rooms`.
pub(crate) fn rooms(config: &Config, json: bool) -> anyhow::Result<()> {
    let property = stored(config)?;
    for (id, room) in property.rooms() {
        let stays: Vec<_> = property.stays_in(id).collect();
        let name = |stay: &engawa_model::Stay| stay.name.as_ref().map(|name| name.reveal().clone());
        if json {
            let stays: Vec<_> = stays
                .iter()
                .map(|stay| {
                    json!({ "stay": stay.id, "name": name(stay), "language": stay.language,
                        "arrival": stay.arrival, "departure": stay.departure })
                })
                .collect();
            println!("{}", json!({ "room": id, "stays": stays, "flags": room.flags, "status": room.status }));
        } else {
            let stays: Vec<_> =
                stays.iter().map(|stay| format!("{} {}", stay.id, name(stay).unwrap_or_default())).collect();
            println!("{id:>8}  {}", if stays.is_empty() { "vacant".to_owned() } else { stays.join(", ") });
        }
    }
    Ok(())
}

/// `engawa log`.
pub(crate) fn log(config: &Config, limit: usize, json: bool) -> anyhow::Result<()> {
    for row in reader(config)?.latest(i64::MAX, limit)? {
        let body: serde_json::Value = serde_json::from_slice(&row.body)?;
        let at = jiff::Timestamp::from_microsecond(row.at_micros)?;
        if json {
            println!("{}", json!({ "at": at, "lane": row.lane, "seq": row.seq, "kind": row.kind, "change": body }));
        } else {
            println!("{at}  {}/{}  {}  {body}", row.lane, row.seq, row.kind);
        }
    }
    Ok(())
}
