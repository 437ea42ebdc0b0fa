//! How long each step took, and what the agent needs: measured from the outside.

use crate::played::{self, Event};
use crate::sqlite::Database;
use anyhow::Context;
use serde_json::Value;
use std::fmt;

/// A spread of durations, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// How many were measured.
    pub count: usize,
    /// Half of them took at most this.
    pub p50: f64,
    /// Nineteen of twenty took at most this.
    pub p95: f64,
    /// The longest.
    pub max: f64,
}

impl Spread {
    /// The spread of durations in microseconds.
    pub fn of(mut micros: Vec<i64>) -> Self {
        micros.sort_unstable();
        let at = |percent: usize| {
            let index = (micros.len() * percent).div_ceil(100).saturating_sub(1);
            #[allow(clippy::cast_precision_loss, reason = "microseconds within a demo")]
            micros.get(index).map_or(0.0, |micros| *micros as f64 / 1000.0)
        };
        Self { count: micros.len(), p50: at(50), p95: at(95), max: at(100) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:>7.1} ms   p95 {:>7.1} ms   longest {:>7.1} ms   ({} measured)",
            self.p50, self.p95, self.max, self.count
        )
    }
}

/// From the check-in's bytes on the PMS's socket to the comfort set point on the room's Modbus wire. A room whose
/// thermostat already held it has nothing to measure: the next write there is of the next record that spoke of the room.
pub fn check_in_to_wire(events: &[Event]) -> Spread {
    let longest = 10_000_000;
    let took = played::of(events, "checked_in").filter_map(|check_in| {
        let room = check_in.text("room");
        let written = played::of(events, "setpoint_written")
            .find(|event| event.at >= check_in.at && event.text("room") == room)?;
        let another = events.iter().any(|event| {
            matches!(event.event.as_str(), "checked_in" | "moved" | "checked_out")
                && (check_in.at + 1..=written.at).contains(&event.at)
                && ["room", "from", "to"].iter().any(|field| event.text(field) == room)
        });
        Some(written.at - check_in.at).filter(|took| !another && *took < longest)
    });
    Spread::of(took.collect())
}

/// From the moment at which the house noticed a change to its row in the cloud's database, for what happened while the
/// line was up: not between `cut` (microseconds).
///
/// # Errors
/// The database can't be read.
pub fn change_to_cloud(cloud: &Database, cut: Option<(i64, i64)>) -> anyhow::Result<Spread> {
    let (from, to) = cut.unwrap_or((0, 0));
    let rows = cloud.rows(&format!(
        "SELECT received_micros - at_micros AS took FROM journal WHERE lane <= 4 AND kind <> 'started'
         AND NOT (at_micros BETWEEN {from} AND {to})"
    ))?;
    Ok(Spread::of(rows.iter().filter_map(|row| row["took"].as_i64()).collect()))
}

/// Memory of a process, kB: what is resident now, and the most that ever was.
///
/// # Errors
/// It has ended.
pub fn memory_kb(process: u32) -> anyhow::Result<(u64, u64)> {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let field = |name: &str| -> anyhow::Result<u64> {
        let line =
            text.lines().find(|line| line.starts_with(name)).with_context(|| format!("{path}: no {name}"))?;
        let number = line.split_whitespace().nth(1).with_context(|| format!("{path}: {line}"))?;
        Ok(number.parse()?)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// CPU time that a process has used so far, in user and system mode, seconds.
///
/// # Errors
/// It has ended.
pub fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    // Nanoseconds on the run queue's clock, summed over the threads: finer than the ticks of /proc/PID/stat.
    let mut nanos = 0_u64;
    let folder = format!("/proc/{process}/task");
    for thread in std::fs::read_dir(&folder).with_context(|| format!("reading {folder}"))? {
        let path = thread?.path().join("schedstat");
        // A thread may end between the listing and the reading.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        nanos += text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    #[allow(clippy::cast_precision_loss, reason = "seconds of a bench")]
    Ok(nanos as f64 / 1e9)
}

/// A spread as JSON.
pub fn json(spread: &Spread) -> Value {
    serde_json::json!({ "count": spread.count, "p50_ms": spread.p50, "p95_ms": spread.p95, "max_ms": spread.max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_of_a_hundred() {
        let spread = Spread::of((1..=100).rev().map(|n| n * 1000).collect());
        assert_eq!(spread, Spread { count: 100, p50: 50.0, p95: 95.0, max: 100.0 });
        assert_eq!(Spread::of(vec![]), Spread::default());
    }

    #[test]
    fn this_process_has_memory_and_cpu() {
        assert!(memory_kb(std::process::id()).unwrap().0 > 0);
        assert!(cpu_seconds(std::process::id()).unwrap() > 0.0);
    }
}
