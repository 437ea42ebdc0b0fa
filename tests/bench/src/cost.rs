//! What programs cost: CPU time and memory of a process and all below it, from `/proc`.

use anyhow::Context;
use std::collections::BTreeMap;
use std::fs;

/// Processes in one tree at most: a loop in a table that changes while it is read must end.
const MOST: usize = 1024;

/// CPU time and memory of some processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// CPU time since their start, user and system, ended threads included, seconds.
    pub cpu_s: f64,
    /// The sum of the most that each ever had resident, kB.
    pub peak_kb: u64,
    /// Resident now, kB.
    pub resident_kb: u64,
}

/// What the processes `roots` and all below them have cost so far.
///
/// # Errors
/// `/proc` can't be read.
pub fn of(roots: &[u32]) -> anyhow::Result<Cost> {
    let mut cost = Cost::default();
    for process in tree(roots)? {
        // A process may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
        let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else { continue };
        let fields = after_name(&stat);
        let ticks: u64 = [11, 12].iter().filter_map(|n| fields.get(*n)?.parse::<u64>().ok()).sum();
        #[allow(clippy::cast_precision_loss, reason = "seconds of a bench")]
        let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        cost.cpu_s += seconds;
        cost.peak_kb += kilobytes(&status, "VmHWM:");
        cost.resident_kb += kilobytes(&status, "VmRSS:");
    }
    Ok(cost)
}

/// The processes themselves and all below them.
fn tree(roots: &[u32]) -> anyhow::Result<Vec<u32>> {
    let mut children = BTreeMap::<u32, Vec<u32>>::new();
    for entry in fs::read_dir("/proc").context("reading /proc")? {
        let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
        if let Some(parent) = after_name(&stat).get(1).and_then(|field| field.parse().ok()) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut all = roots.to_vec();
    let mut at = 0;
    while let Some(process) = all.get(at).copied().filter(|_| all.len() < MOST) {
        all.extend(children.remove(&process).unwrap_or_default());
        at += 1;
    }
    Ok(all)
}

/// The fields of a `stat` from the state on; the name before them may hold anything, spaces and parentheses too.
fn after_name(stat: &str) -> Vec<&str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect()
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        assert_eq!(after_name("12 (a ) b) S 1 2"), ["S", "1", "2"]);
    }

    #[test]
    fn a_child_is_counted_with_its_parent() {
        let me = std::process::id();
        let alone = of(&[me]).unwrap();
        assert!(alone.resident_kb > 0 && alone.peak_kb >= alone.resident_kb);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = tree(&[me]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&child.id()), "{found:?}");
    }
}
