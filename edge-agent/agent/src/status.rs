//! `engawa status`: asks the running agent over its socket.

use crate::cli::Failure;
use crate::config::Loaded;
use anyhow::{Context, anyhow};
use engawa_api::{BusTraffic, Client, ClientError, DeviceView, PostingView, Status};
use engawa_model::{Alert, DeviceState, PostingState};
use engawa_words::Words;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// All that the answer is made of.
struct Answer {
    status: Status,
    devices: Vec<DeviceView>,
    postings: Vec<PostingView>,
    alerts: Vec<Alert>,
    counters: BTreeMap<String, u64>,
    traffic: Vec<BusTraffic>,
}

/// Prints how the agent is.
pub(crate) fn status(loaded: &Loaded, as_json: bool) -> Result<(), Failure> {
    let Some(socket) = &loaded.config.api.socket else {
        return Err(Failure::Failed(anyhow!("[api] names no socket, so the agent can't be asked")));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(ask(&Client::new(socket)))?;
    let mut out = crate::answer::lock();
    if as_json {
        let Answer { status, devices, postings, alerts, counters, traffic } = answer;
        let mut all = serde_json::to_value(status)?;
        if let Some(all) = all.as_object_mut() {
            all.insert("counters".to_owned(), json!(counters));
            all.insert("traffic".to_owned(), json!(traffic));
            all.insert("postings".to_owned(), json!(postings));
            all.insert("alerts".to_owned(), json!(alerts));
            all.insert("device_states".to_owned(), json!(devices));
        }
        writeln!(out, "{all}")?;
        return Ok(());
    }
    print(&mut out, &answer, &Words::of([Some(loaded.config.property.language.as_str())]))?;
    Ok(())
}

async fn ask(client: &Client) -> Result<Answer, Failure> {
    let failed = |error: ClientError| match error {
        error @ ClientError::NotRunning { .. } => Failure::NotRunning(error.into()),
        error => Failure::Failed(error.into()),
    };
    Ok(Answer {
        status: client.get("/api/status").await.map_err(failed)?,
        devices: client.get("/api/devices").await.map_err(failed)?,
        postings: client.get("/api/postings").await.map_err(failed)?,
        alerts: client.get("/api/alerts").await.map_err(failed)?,
        counters: client.get("/api/counters").await.map_err(failed)?,
        traffic: client.get("/api/traffic").await.map_err(failed)?,
    })
}

fn print(out: &mut impl Write, answer: &Answer, words: &Words) -> anyhow::Result<()> {
    let Answer { status, devices, postings, alerts, counters, traffic } = answer;
    let date = status.business_date.map_or_else(|| "not known yet".to_owned(), |date| date.to_string());
    let audit = if status.night_audit { ", night audit runs" } else { "" };
    writeln!(
        out,
        "{} ({}), engawa {}, up since {}",
        status.name, status.property, status.version, status.started_at
    )?;
    writeln!(
        out,
        "business date {date}{audit}; {} of {} rooms occupied",
        status.rooms_occupied, status.rooms
    )?;
    writeln!(out, "\nlinks")?;
    for link in &status.links {
        let up = if link.up { "up" } else { "DOWN" };
        writeln!(out, "  {:<16} {up:<5} since {}  {}", link.id.as_str(), link.since, link.detail)?;
    }
    writeln!(out, "\nsync: {}", status.sync.detail)?;
    for lane in &status.sync.lanes {
        let name = serde_json::to_value(lane.lane).context("naming a lane")?;
        let oldest = lane.oldest_waiting.map_or_else(String::new, |at| format!(", the oldest since {at}"));
        let waiting = lane.waiting();
        writeln!(
            out,
            "  {:<10} {:>9} rows, {waiting} waiting{oldest}",
            name.as_str().unwrap_or(""),
            lane.written
        )?;
    }
    let open: Vec<_> = postings
        .iter()
        .filter(|posting| !matches!(posting.state, PostingState::Posted | PostingState::Refused))
        .collect();
    writeln!(out, "\npostings: {} known, {} not ended", postings.len(), open.len())?;
    for posting in open {
        let state = serde_json::to_value(posting.state).context("naming a state")?;
        writeln!(
            out,
            "  P# {:<8} room {:<6} {} minor units of {}  {}",
            posting.number.0,
            posting.room,
            posting.amount.minor,
            posting.amount.currency,
            state.as_str().unwrap_or("")
        )?;
    }
    let unwell: Vec<_> = devices.iter().filter(|device| device.state == DeviceState::Unwell).collect();
    writeln!(out, "\ndevices: {}, {} unwell", devices.len(), unwell.len())?;
    for device in unwell {
        writeln!(out, "  {:<20} {}", device.id.as_str(), device.reason.as_deref().unwrap_or(""))?;
    }
    buses(out, traffic)?;
    for alert in alerts.iter().filter(|alert| alert.active) {
        let (kind, source) = (alert.kind.word(), &alert.source);
        writeln!(
            out,
            "ALERT {kind}:{source}  {} ({} times, last {})",
            words.detail(&alert.text),
            alert.count,
            alert.last
        )?;
    }
    if !counters.is_empty() {
        writeln!(out, "\ncounters since the start")?;
        for (name, count) in counters {
            writeln!(out, "  {name:<28} {count}")?;
        }
    }
    Ok(())
}

/// How busy each bus is, and where its failures come from.
fn buses(out: &mut impl Write, traffic: &[BusTraffic]) -> io::Result<()> {
    /// The units with the most failures that are shown for each bus; `engawa devices` shows all.
    const WORST: usize = 5;
    if !traffic.is_empty() {
        writeln!(out, "\nbuses")?;
    }
    for bus in traffic {
        let requests: u64 = bus.units.iter().map(|unit| unit.requests).sum();
        let errors: u64 = bus.units.iter().map(engawa_api::UnitTraffic::errors).sum();
        let lag = bus.units.iter().map(|unit| unit.lag.p99_ms).fold(0.0, f64::max);
        writeln!(
            out,
            "  {:<16} busy {:.0} %, {:.1} % with the dead; {requests} requests, {errors} failed; polls at most \
             {lag:.0} ms late (99 of 100)",
            bus.bus, bus.busy_percent, bus.dead_percent
        )?;
        let mut worst: Vec<_> = bus.units.iter().filter(|unit| unit.errors() > 0).collect();
        worst.sort_by_key(|unit| std::cmp::Reverse(unit.errors()));
        for unit in worst.iter().take(WORST) {
            let last = unit.last_error.as_ref().map_or("", |error| &error.what);
            writeln!(
                out,
                "    {:<18} {} of {} failed; last: {last}",
                unit.device.as_str(),
                unit.errors(),
                unit.requests
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use engawa_model::alert_text::ALERT_TEXTS;
    use engawa_words::{Language, Words};

    #[test]
    fn every_alert_of_the_house_and_of_the_standard_rules_is_told_in_every_language() {
        let mut all: Vec<String> = ALERT_TEXTS.iter().map(|sentence| sentence.replace("{}", "17")).collect();
        let rules = engawa_rules::standard().0.rule;
        let alerts = rules.into_iter().filter_map(|rule| rule.then.alert);
        for alert in alerts {
            all.push(alert.text);
            all.extend(alert.escalate.into_iter().map(|step| step.text));
        }
        assert!(all.len() >= 20, "{all:?}");
        for text in &all {
            assert!(Words::has_detail(text), "no catalogue has `{text}`");
            for language in Language::ALL.into_iter().filter(|language| *language != Language::En) {
                assert_ne!(&Words::in_language(language).detail(text), text, "{language:?}");
            }
        }
    }
}
