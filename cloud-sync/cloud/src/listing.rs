//! What the command line lists.

use crate::desk::{Desk, Home};
use crate::output::{note, plain};
use engawa_cloud::store::listing::LogFilter;
use engawa_model::Timestamp;
use serde::Serialize;
use std::io::{self, BufWriter, Write};

fn desk(home: &Home, gateway: Option<&str>) -> anyhow::Result<Desk> {
    let desk = home.desk()?;
    desk.require(gateway)?;
    Ok(desk)
}

/// Writes one JSON object a line, or a line for people.
fn list<T: Serialize>(items: &[T], as_json: bool, line: impl Fn(&T) -> String) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for item in items {
        let text = if as_json { serde_json::to_string(item)? } else { plain(&line(item)) };
        writeln!(out, "{text}")?;
    }
    Ok(out.flush()?)
}

fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| format!("{at:.3}"))
}

/// `engawa-cloud gateways`.
pub(crate) fn gateways(home: &Home, as_json: bool) -> anyhow::Result<()> {
    let gateways = desk(home, None)?.gateways()?;
    list(&gateways, as_json, |gateway| {
        let seen = match (gateway.connected, gateway.last_seen) {
            (true, Some(at)) => format!("connected since {at:.0}"),
            (false, Some(at)) => format!("away, seen {at:.0}"),
            (_, None) => "never seen".to_owned(),
        };
        let fenced = gateway.fenced.as_ref().map(|why| format!("; fenced: {why}")).unwrap_or_default();
        format!(
            "{:<20} {:<16} {:<9} {:>9} rows {:>5} waiting  {seen}{fenced}",
            gateway.id, gateway.property, gateway.status, gateway.rows, gateway.waiting
        )
    })
}

/// `engawa-cloud rooms`.
pub(crate) fn rooms(home: &Home, gateway: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let rooms = desk(home, gateway)?.rooms(gateway)?;
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    list(&rooms, as_json, |room| {
        let stays = if room.stays.is_empty() { "vacant".to_owned() } else { room.stays.join(", ") };
        let words = [room.housekeeping.as_deref(), room.sign.as_deref().filter(|sign| *sign != "off")];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        format!(
            "{:<20} {:>8}  {:>5} °C, set to {:>5}  {:<18}  {stays}",
            room.gateway,
            room.room,
            number(room.temperature),
            number(room.setpoint),
            if words.is_empty() { "-".to_owned() } else { words.join(", ") }
        )
    })
}

/// `engawa-cloud log`.
pub(crate) fn log(
    home: &Home,
    gateway: Option<String>,
    kind: Option<String>,
    limit: u32,
    as_json: bool,
) -> anyhow::Result<()> {
    let desk = desk(home, gateway.as_deref())?;
    let filter = LogFilter { gateway, kind, limit, ..LogFilter::default() };
    if let (Some(kind), true) = (&filter.kind, desk.log(&filter)?.is_empty()) {
        note(&format!("no row is of the kind `{kind}`; without --kind all kinds are shown"));
    }
    list(&desk.log(&filter)?, as_json, |row| {
        format!(
            "{:<24}  {}  {}/{}  {}  {}",
            instant(row.at),
            row.gateway,
            row.lane,
            row.seq,
            row.kind,
            row.body
        )
    })
}

/// `engawa-cloud commands`.
pub(crate) fn commands(home: &Home, gateway: Option<&str>, limit: u32, as_json: bool) -> anyhow::Result<()> {
    let commands = desk(home, gateway)?.commands(gateway, limit)?;
    list(&commands, as_json, |command| {
        let state = command.outcome.as_ref().unwrap_or(&command.state);
        let reason = command.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let by = command.body["action"]["by"].as_str().map(|by| format!(" by {by}")).unwrap_or_default();
        format!(
            "{:<24}  {}  {}  {}  {}{by}  {state}{reason}",
            instant(command.at),
            command.gateway,
            command.seq,
            command.key,
            command.kind
        )
    })
}
