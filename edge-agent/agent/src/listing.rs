//! What the command line lists from the store, whether the agent runs or not.

use crate::config::Loaded;
use crate::guest_cmd::{self, Who};
use engawa_api::{BusTraffic, Client, UnitTraffic};
use engawa_model::{DeviceId, DeviceState, PointId, Property, Quality, Stay};
use engawa_store::{DATABASE_FILE, DatabaseKey, Reader};
use engawa_words::{Language, Words};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;

fn reader(loaded: &Loaded) -> anyhow::Result<Reader> {
    let key = DatabaseKey::load(&loaded.key_file())?;
    Ok(Reader::open(&loaded.config.store.dir.join(DATABASE_FILE), &key)?)
}

pub(crate) fn stored(loaded: &Loaded) -> anyhow::Result<Property> {
    Ok(reader(loaded)?.load(loaded.property_spec())??)
}

/// What drivers have noted of devices; nothing where there is no store yet.
pub(crate) fn notes(loaded: &Loaded) -> anyhow::Result<BTreeMap<DeviceId, String>> {
    if !loaded.config.store.dir.join(DATABASE_FILE).exists() {
        return Ok(BTreeMap::new());
    }
    Ok(stored(loaded)?.notes().clone())
}

/// `engawa rooms`; with guests' names where `who` asks for them.
pub(crate) fn rooms(loaded: &Loaded, who: Option<&Who>, as_json: bool) -> anyhow::Result<()> {
    let property = match who {
        Some(who) => guest_cmd::viewer(loaded)?.house(
            &who.asker()?,
            loaded.property_spec(),
            jiff::Timestamp::now(),
        )??,
        None => stored(loaded)?,
    };
    let mut out = crate::answer::lock();
    for (id, room) in property.rooms() {
        let stays: Vec<&Stay> = property.stays_in(id).collect();
        let devices = property.spec().devices.iter().filter(|device| device.room.as_ref() == Some(id));
        let points: Vec<_> = devices
            .flat_map(|device| {
                device.points.iter().map(move |point| {
                    (PointId { device: device.id.clone(), point: point.name.clone() }, point)
                })
            })
            .collect();
        if as_json {
            let points: Vec<Value> = points
                .iter()
                .map(|(id, spec)| {
                    let state = property.point(id);
                    json!({ "device": id.device, "point": id.point, "role": spec.role, "unit": spec.unit,
                        "value": state.and_then(|s| s.value.clone()), "quality": state.map(|s| s.quality),
                        "at": state.map(|s| s.at) })
                })
                .collect();
            let stays: Vec<Value> = stays.iter().map(|stay| stay_json(&property, stay)).collect();
            writeln!(
                out,
                "{}",
                json!({ "room": id, "stays": stays, "flags": room.flags, "status": room.status,
                "sign": room.sign, "points": points })
            )?;
        } else {
            let guests: Vec<String> =
                stays.iter().map(|stay| format!("{} {}", stay.id, name(stay).unwrap_or_default())).collect();
            let guests = if guests.is_empty() { "vacant".to_owned() } else { guests.join(", ") };
            writeln!(out, "{id:>8}  {guests}")?;
            for (id, spec) in &points {
                let Some(state) = property.point(id) else { continue };
                let value = state.value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
                let mark = match state.quality {
                    Quality::Good => "",
                    Quality::Stale => "  (stale)",
                    Quality::Bad => "  (not valid, says the device)",
                };
                writeln!(out, "            {id}  {value} {}{mark}", spec.unit.as_deref().unwrap_or(""))?;
            }
        }
    }
    Ok(())
}

fn name(stay: &Stay) -> Option<&str> {
    stay.name.as_ref().map(|name| name.reveal().as_str())
}

fn stay_json(property: &Property, stay: &Stay) -> Value {
    json!({ "stay": stay.id, "name": name(stay), "language": property.language_of(stay), "arrival": stay.arrival,
        "departure": stay.departure, "comfort_c": property.comfort_of(stay), "since": stay.since })
}

/// `engawa devices`.
pub(crate) fn devices(loaded: &Loaded, as_json: bool) -> anyhow::Result<()> {
    let property = stored(loaded)?;
    let traffic = traffic(loaded);
    let mut out = crate::answer::lock();
    for spec in &property.spec().devices {
        let counts = traffic.get(&spec.id);
        let health = property.devices().get(&spec.id).cloned().unwrap_or_default();
        if as_json {
            let mut line = json!({ "device": spec.id, "room": spec.room, "profile": spec.profile,
                "state": health.state, "reason": health.reason, "since": health.since });
            if let Some(counts) = counts {
                line["traffic"] = json!(counts);
            }
            writeln!(out, "{line}")?;
        } else {
            let state = match health.state {
                DeviceState::Unknown => "not heard of yet",
                DeviceState::Well => "well",
                DeviceState::Unwell => "UNWELL",
            };
            let room = spec.room.as_ref().map_or("-", engawa_model::RoomId::as_str);
            let reason = health.reason.as_deref().unwrap_or("");
            writeln!(out, "{:<20} {room:>8}  {:<20} {state}  {reason}", spec.id.as_str(), spec.profile)?;
            if let Some(counts) = counts {
                writeln!(out, "{:<20} {}", "", in_numbers(counts))?;
            }
        }
    }
    Ok(())
}

/// What the running agent has counted, by device; nothing where none answers.
fn traffic(loaded: &Loaded) -> BTreeMap<DeviceId, UnitTraffic> {
    let Some(socket) = &loaded.config.api.socket else { return BTreeMap::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return BTreeMap::new();
    };
    let client = Client::new(socket);
    let asked = runtime.block_on(client.get::<Vec<BusTraffic>>("/api/traffic"));
    let buses = asked.unwrap_or_default();
    buses.into_iter().flat_map(|bus| bus.units).map(|unit| (unit.device.clone(), unit)).collect()
}

/// A unit's counts in one line.
fn in_numbers(unit: &UnitTraffic) -> String {
    let mut failures = Vec::new();
    for (count, what) in [
        (unit.timeouts, "without answer"),
        (unit.crc, "wrong check sums"),
        (unit.garbage, "garbage"),
        (unit.broken, "broken off"),
    ] {
        if count > 0 {
            failures.push(format!("{count} {what}"));
        }
    }
    failures.extend(unit.exceptions.iter().map(|(name, count)| format!("{count} exception {name}")));
    let failures = if failures.is_empty() { "no failures".to_owned() } else { failures.join(", ") };
    let (trip, lag) = (unit.round_trip, unit.lag);
    format!(
        "{} requests ({} writes, {} tried again), {failures}; round trip {:.0}/{:.0} ms (half/99 of 100), late by {:.0} ms",
        unit.requests, unit.writes, unit.retries, trip.p50_ms, trip.p99_ms, lag.p99_ms
    )
}

/// `engawa log`.
pub(crate) fn log(loaded: &Loaded, limit: usize, as_json: bool) -> anyhow::Result<()> {
    let mut out = crate::answer::lock();
    let words = Words::of([Some(loaded.config.property.language.as_str())]);
    for row in reader(loaded)?.latest(i64::MAX, limit)? {
        let body: Value = serde_json::from_slice(&row.body)?;
        let at = jiff::Timestamp::from_microsecond(row.at_micros)?;
        if as_json {
            writeln!(
                out,
                "{}",
                json!({ "at": at, "lane": row.lane, "seq": row.seq, "kind": row.kind, "change": body })
            )?;
        } else {
            writeln!(out, "{at}  {}/{}  {}  {body}", row.lane, row.seq, row.kind)?;
            // The row is as it was written; what an alert says is told in the house's language below it.
            if let Some(text) = body["alert"]["text"].as_str().filter(|_| row.kind == "alert")
                && words.language() != Language::En
            {
                writeln!(out, "    {}", words.detail(text))?;
            }
        }
    }
    Ok(())
}
