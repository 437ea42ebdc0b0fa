//! Time, CPU and bytes.

use std::fs;
use std::time::{Duration, Instant};

pub(crate) const HEAD: &str =
    "way                                rows/s     bytes/row on the line   CPU µs/row";

/// CPU seconds.
pub(crate) type Cost = f64;

/// CPU seconds of a process and its children that still run.
pub(crate) fn cost(pid: u32) -> Cost {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    all.into_iter().map(one).sum()
}

fn one(pid: u32) -> Cost {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything: field 14 and 15 are user and system time, 16 and 17 those of children that
    // have ended, in hundredths of a second.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 =
        rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// Bytes that went over the loopback.
fn loopback() -> u64 {
    let devices = fs::read_to_string("/proc/net/dev").unwrap();
    let line = devices.lines().find(|line| line.trim_start().starts_with("lo:")).expect("a loopback");
    line.split_once(':').unwrap().1.split_whitespace().next().unwrap().parse().unwrap()
}

pub(crate) struct Meter {
    begun: Instant,
    took: Duration,
    before: u64,
    bytes: u64,
    watched: Vec<(&'static str, u32, Cost)>,
    costs: Vec<(&'static str, Cost)>,
}

impl Meter {
    pub(crate) fn start(watched: &[(&'static str, u32)]) -> Self {
        Self {
            before: loopback(),
            bytes: 0,
            watched: watched.iter().map(|(name, pid)| (*name, *pid, cost(*pid))).collect(),
            costs: Vec::new(),
            took: Duration::ZERO,
            begun: Instant::now(),
        }
    }

    /// What was until now; may be asked again, until now.
    pub(crate) fn stop(&mut self) {
        self.took = self.begun.elapsed();
        self.bytes = loopback() - self.before;
        self.costs = self.watched.iter().map(|(name, pid, before)| (*name, cost(*pid) - before)).collect();
    }

    pub(crate) fn add(&mut self, name: &'static str, cost: Cost) {
        self.costs.push((name, cost));
    }

    pub(crate) fn print(&self, way: &str, rows: u64) {
        let rows = rows as f64;
        let costs: Vec<String> =
            self.costs.iter().map(|(name, cost)| format!("{name} {:.1}", cost * 1e6 / rows)).collect();
        println!(
            "{way:<32} {:>9.0} {:>12.1}               {}",
            rows / self.took.as_secs_f64(),
            self.bytes as f64 / rows,
            costs.join(", ")
        );
    }
}
