//! What the logs of the field and of the subscriber say about a window of time.

use anyhow::Context;
use std::collections::HashMap;
use std::path::Path;

/// A spread of durations, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// How many were measured.
    pub count: usize,
    /// Half of them took at most this.
    pub p50: f64,
    /// Ninety-nine of a hundred took at most this.
    pub p99: f64,
    /// The longest.
    pub most: f64,
}

impl Spread {
    /// The spread of durations in nanoseconds; `None` of none.
    pub fn of(mut nanos: Vec<u64>) -> Option<Self> {
        nanos.sort_unstable();
        let at = |percent: usize| {
            let index = (nanos.len() * percent).div_ceil(100).saturating_sub(1);
            #[allow(clippy::cast_precision_loss, reason = "minutes at most")]
            nanos.get(index).map(|nanos| *nanos as f64 / 1e6)
        };
        Some(Self { count: nanos.len(), p50: at(50)?, p99: at(99)?, most: at(100)? })
    }
}

/// What the field counted in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wire {
    /// Requests a second.
    pub requests: f64,
    /// Registers a second.
    pub registers: f64,
    /// Exceptions that were answered, in all.
    pub exceptions: u64,
    /// Connections that were made, in all.
    pub connected: u64,
}

/// The way of the markers from register to broker.
#[derive(Clone, Debug, Default)]
pub struct Markers {
    /// Markers set in the window.
    pub set: usize,
    /// Of these, those that never came to the broker.
    pub missed: usize,
    /// From the change to the broker.
    pub change: Option<Spread>,
    /// From the request that first read the marker to the broker: what is left without the phase of the polling.
    pub read: Option<Spread>,
}

/// Lines of a log as numbers; a text field is 0. The last line may be half written, and is left out then.
fn lines(path: &Path) -> anyhow::Result<Vec<Vec<u64>>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let numbers = |line: &str| line.split(',').map(|field| field.parse().unwrap_or(0)).collect();
    Ok(whole.lines().map(numbers).collect())
}

/// The counters of two moments, and their distance in seconds.
fn between(all: &[Vec<u64>], from: u64, to: u64) -> Option<(&[u64], &[u64], f64)> {
    let at = |when: u64| all.iter().rev().find(|line| line.first().is_some_and(|at| *at <= when));
    let (begin, end) = (at(from)?, at(to)?);
    #[allow(clippy::cast_precision_loss, reason = "seconds of a bench")]
    let seconds = (end.first()? - begin.first()?) as f64 / 1e9;
    (seconds > 0.0).then_some((begin.as_slice(), end.as_slice(), seconds))
}

#[allow(clippy::cast_precision_loss, reason = "rates")]
fn rate(begin: u64, end: u64, seconds: f64) -> f64 {
    (end - begin) as f64 / seconds
}

/// What the field counted between two times; `None` while it has not counted for long enough.
///
/// # Errors
/// The log can't be read.
pub fn wire(folder: &Path, from: u64, to: u64) -> anyhow::Result<Option<Wire>> {
    let all = lines(&folder.join("counts.csv"))?;
    let wire = between(&all, from, to).and_then(|(begin, end, seconds)| match (begin, end) {
        ([_, r0, w0, e0, c0, ..], [_, r1, w1, e1, c1, ..]) => Some(Wire {
            requests: rate(*r0, *r1, seconds),
            registers: rate(*w0, *w1, seconds),
            exceptions: e1 - e0,
            connected: c1 - c0,
        }),
        _ => None,
    });
    Ok(wire)
}

/// Messages a second at the broker, and bytes of one.
///
/// # Errors
/// The log can't be read.
pub fn heard(folder: &Path, from: u64, to: u64) -> anyhow::Result<Option<(f64, f64)>> {
    let all = lines(&folder.join("heard.csv"))?;
    let heard = between(&all, from, to).and_then(|(begin, end, seconds)| match (begin, end) {
        ([_, m0, b0], [_, m1, b1]) => {
            let messages = rate(*m0, *m1, seconds);
            Some((messages, rate(*b0, *b1, seconds) / messages.max(f64::MIN_POSITIVE)))
        }
        _ => None,
    });
    Ok(heard)
}

/// The markers that were set between two times.
///
/// # Errors
/// A log can't be read.
pub fn markers(folder: &Path, from: u64, to: u64) -> anyhow::Result<Markers> {
    let text = std::fs::read_to_string(folder.join("markers.csv")).context("reading markers.csv")?;
    let (mut set, mut read) = (HashMap::new(), HashMap::new());
    for line in text.lines() {
        let fields: Vec<_> = line.split(',').collect();
        let [at, what, _, marker] = fields.as_slice() else { continue };
        let (Ok(at), Ok(marker)) = (at.parse::<u64>(), marker.parse::<u64>()) else { continue };
        match *what {
            "set" if (from..to).contains(&at) => drop(set.insert(marker, at)),
            "read" => drop(read.insert(marker, at)),
            _ => {}
        }
    }
    let arrivals: HashMap<u64, u64> = lines(&folder.join("arrivals.csv"))?
        .into_iter()
        .filter_map(|line| Some((*line.get(1)?, *line.first()?)))
        .collect();
    let arrived = |marker: &u64, since: &HashMap<u64, u64>| -> Option<u64> {
        Some(arrivals.get(marker)?.saturating_sub(*since.get(marker)?))
    };
    let changes: Vec<_> = set.keys().filter_map(|marker| arrived(marker, &set)).collect();
    let reads: Vec<_> = set.keys().filter_map(|marker| arrived(marker, &read)).collect();
    Ok(Markers {
        set: set.len(),
        missed: set.len() - changes.len(),
        change: Spread::of(changes),
        read: Spread::of(reads),
    })
}

/// How much later than one `period` each healthy device was polled again, within a window; a device that was not polled
/// at all counts with the whole window.
///
/// # Errors
/// The log can't be read.
pub fn lag(
    folder: &Path,
    from: u64,
    to: u64,
    period: u64,
    devices: &[usize],
) -> anyhow::Result<Option<Spread>> {
    let mut last: HashMap<u64, u64> = devices.iter().map(|device| (*device as u64, from)).collect();
    let mut late = Vec::new();
    let mut polled = |device: u64, at: u64| {
        let gap = last.insert(device, at).map_or(0, |before| at - before);
        late.push(gap.saturating_sub(period));
    };
    for line in lines(&folder.join("polls.csv"))? {
        if let [at, device] = line[..]
            && (from..to).contains(&at)
        {
            polled(device, at);
        }
    }
    for device in devices {
        polled(*device as u64, to);
    }
    Ok(Spread::of(late))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn rates_come_from_the_lines_around_the_window() {
        let counts = "1000000000,10,100,0,4,4\n2000000000,30,500,1,4,4\n3000000000,50,900,1,4,4\n40000";
        let folder = folder(&[("counts.csv", counts), ("heard.csv", "0,0,0\n2000000000,10,1000\n")]);
        let found = wire(folder.path(), 1_500_000_000, 3_100_000_000).unwrap().unwrap();
        assert_eq!(found, Wire { requests: 20.0, registers: 400.0, exceptions: 1, connected: 0 });
        assert_eq!(wire(folder.path(), 1, 2).unwrap(), None);
        assert_eq!(heard(folder.path(), 0, 2_000_000_000).unwrap(), Some((5.0, 100.0)));
    }

    #[test]
    fn a_marker_that_never_arrives_is_missed() {
        let set = "5,set,1,40000\n9,read,1,40000\n10,set,2,40001\n99,set,3,40002\n";
        let folder = folder(&[("markers.csv", set), ("arrivals.csv", "1000009,40000\n")]);
        let found = markers(folder.path(), 0, 50).unwrap();
        assert_eq!((found.set, found.missed), (2, 1));
        assert_eq!(found.read.unwrap().p50, 1.0);
    }

    #[test]
    fn a_device_that_is_forgotten_is_late_by_the_whole_window() {
        let folder = folder(&[("polls.csv", "1000000,0\n2000000,0\n3000000,0\n")]);
        let found = lag(folder.path(), 0, 4_000_000, 1_000_000, &[0, 1]).unwrap().unwrap();
        assert_eq!((found.p50, found.most), (0.0, 3.0));
    }
}
