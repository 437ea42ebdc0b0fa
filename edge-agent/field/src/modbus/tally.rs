//! What happened on a bus, counted for each unit: requests, failures by kind, and how long things took.
//!
//! Kept outside the bus's task, so that the counts outlive its restarts and can be read while it works. Times go into
//! fixed buckets: a quantile is the upper end of its bucket, never more than the longest that was seen.
//!
//! Bounds: one entry a device, of a fixed size; the last minute of the line's time in six slots.

use super::device::ModbusDevice;
use super::line::{Failure, LineCounters, exception};
use engawa_model::{DeviceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Upper ends of the buckets, ms; what is longer is in one more.
const ENDS_MS: [u32; 23] = [
    1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 10_000,
];
/// Exception codes that have a place of their own; others share the first.
const CODES: usize = 12;
/// The line's time is looked at in slots of so long,
const SLOT: Duration = Duration::from_secs(10);
/// so many of them.
const SLOTS: usize = 6;
/// The longest text of a last error, characters.
const LONGEST_ERROR: usize = 160;

/// Durations in buckets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: [u32; ENDS_MS.len() + 1],
    longest: Duration,
}

/// The usual quantiles, ms; 0 where nothing was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// How many were counted.
    pub count: u64,
    /// Half took at most this.
    pub p50_ms: f64,
    /// 95 of 100 took at most this.
    pub p95_ms: f64,
    /// 99 of 100 took at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Histogram {
    pub(crate) fn add(&mut self, took: Duration) {
        let bucket = ENDS_MS.partition_point(|end| Duration::from_millis(u64::from(*end)) < took);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.longest = self.longest.max(took);
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let count: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let longest = self.longest.as_secs_f64() * 1000.0;
        let at = |percent: u64| {
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            for (bucket, of_bucket) in self.counts.iter().enumerate() {
                seen += u64::from(*of_bucket);
                if seen >= rank {
                    return ENDS_MS.get(bucket).map_or(longest, |end| f64::from(*end).min(longest));
                }
            }
            0.0
        };
        Quantiles { count, p50_ms: at(50), p95_ms: at(95), p99_ms: at(99), max_ms: longest }
    }
}

/// How the last minute of a line was used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// Busy, and busy with the dead.
    slots: [(Duration, Duration); SLOTS],
    /// The newest slot's number since the beginning.
    newest: u64,
}

impl Window {
    /// The line was busy for `took` until `now`, with a device that is dead or not.
    pub(crate) fn busy(&mut self, now: Duration, took: Duration, dead: bool) {
        self.turn(now);
        let slot = &mut self.slots[Self::place(self.newest)];
        slot.0 += took;
        if dead {
            slot.1 += took;
        }
    }

    /// The shares of the time of `lanes` lanes, %: busy, and busy with the dead.
    pub(crate) fn shares(&mut self, now: Duration, lanes: usize) -> (f64, f64) {
        self.turn(now);
        let full = SLOT * u32::try_from(SLOTS - 1).unwrap_or(1);
        let into = now.saturating_sub(SLOT * u32::try_from(self.newest).unwrap_or(u32::MAX));
        let looked_at = (full + into).min(now).max(Duration::from_millis(1));
        #[allow(clippy::cast_precision_loss, reason = "there are at most 32 lanes")]
        let whole = looked_at.as_secs_f64() * lanes.max(1) as f64;
        let sum = |of: fn(&(Duration, Duration)) -> Duration| {
            let sum: Duration = self.slots.iter().map(of).sum();
            (100.0 * sum.as_secs_f64() / whole).min(100.0)
        };
        (sum(|slot| slot.0), sum(|slot| slot.1))
    }

    fn turn(&mut self, now: Duration) {
        let number = now.as_secs() / SLOT.as_secs();
        let past = number.saturating_sub(self.newest).min(SLOTS as u64);
        for step in 1..=past {
            self.slots[Self::place(number + 1 - step)] = Default::default();
        }
        self.newest = self.newest.max(number);
    }

    fn place(number: u64) -> usize {
        usize::try_from(number % SLOTS as u64).unwrap_or(0)
    }
}

/// Counts of one unit.
#[derive(Clone, Debug, Default)]
struct Unit {
    requests: u64,
    values: u64,
    writes: u64,
    retries: u64,
    timeouts: u64,
    crc: u64,
    garbage: u64,
    broken: u64,
    exceptions: [u32; CODES],
    round_trip: Histogram,
    lag: Histogram,
    last_error: Option<(Timestamp, String)>,
}

struct State {
    units: Vec<Unit>,
    window: Window,
    lanes: usize,
}

/// The counts of one bus, since the start of the agent.
pub struct Tally {
    bus: String,
    place: String,
    /// Device and unit id, in the order of the configuration.
    devices: Vec<(DeviceId, u8)>,
    began: Instant,
    state: Mutex<State>,
    line: Arc<LineCounters>,
}

/// What has been counted on a bus.
#[derive(Clone, Debug, PartialEq)]
pub struct BusReport {
    /// The bus.
    pub bus: String,
    /// Where it is.
    pub place: String,
    /// How much of the last minute it was busy, %.
    pub busy_percent: f64,
    /// How much of that minute went to devices that don't answer, %.
    pub dead_percent: f64,
    /// Answers to requests that had been given up.
    pub late: u64,
    /// Frames with a wrong check sum, whoever sent them.
    pub crc: u64,
    /// Bytes that belong to no answer.
    pub noise: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// The units, in the order of the configuration.
    pub units: Vec<UnitReport>,
}

/// What has been counted of one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitReport {
    /// The device.
    pub device: DeviceId,
    /// Its unit id.
    pub unit: u8,
    /// Requests sent.
    pub requests: u64,
    /// Registers and bits read.
    pub values: u64,
    /// Writes among the requests.
    pub writes: u64,
    /// Reads that were sent once more at once.
    pub retries: u64,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// Answers with a wrong check sum.
    pub crc: u64,
    /// Other answers that were none.
    pub garbage: u64,
    /// Requests during which the connection broke.
    pub broken: u64,
    /// Refusals, by code and its name.
    pub exceptions: BTreeMap<String, u64>,
    /// From a request to its answer.
    pub round_trip: Quantiles,
    /// How much later than its time each poll went out.
    pub lag: Quantiles,
    /// The last failure: when, and what.
    pub last_error: Option<(Timestamp, String)>,
}

impl Tally {
    /// Nothing counted yet for these devices.
    pub fn new(bus: &super::BusConfig, devices: &[ModbusDevice]) -> Arc<Self> {
        let state =
            State { units: vec![Unit::default(); devices.len()], window: Window::default(), lanes: 1 };
        Arc::new(Self {
            bus: bus.id.clone(),
            place: bus.place(),
            devices: devices.iter().map(|device| (device.id.clone(), device.unit)).collect(),
            began: Instant::now(),
            state: Mutex::new(state),
            line: Arc::default(),
        })
    }

    /// The line's own counters.
    pub(crate) fn line(&self) -> Arc<LineCounters> {
        Arc::clone(&self.line)
    }

    pub(crate) fn lanes(&self, lanes: usize) {
        self.lock().lanes = lanes;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain numbers: a panic elsewhere leaves them good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unit(&self, n: usize, note: impl FnOnce(&mut Unit)) {
        if let Some(unit) = self.lock().units.get_mut(n) {
            note(unit);
        }
    }

    /// A request goes out to device `n`; `lag` is how late, where it is a poll of a device that is well.
    pub(crate) fn asked(&self, n: usize, write: bool, lag: Option<Duration>) {
        self.unit(n, |unit| {
            unit.requests += 1;
            unit.writes += u64::from(write);
            if let Some(lag) = lag {
                unit.lag.add(lag);
            }
        });
    }

    /// A request to device `n` has ended after `took`; `dead`: of a device that was judged sick.
    pub(crate) fn ended(&self, n: usize, took: Duration, dead: bool, failure: Option<&Failure>) {
        let now = self.began.elapsed();
        let mut state = self.lock();
        state.window.busy(now, took, dead);
        let Some(unit) = state.units.get_mut(n) else { return };
        match failure {
            None => unit.round_trip.add(took),
            Some(Failure::Exception(code)) => {
                unit.round_trip.add(took);
                let place = usize::from(*code);
                let count = &mut unit.exceptions[if place < CODES { place } else { 0 }];
                *count = count.saturating_add(1);
            }
            Some(Failure::Silent(_) | Failure::Late(_) | Failure::HeldUp(_)) => unit.timeouts += 1,
            Some(Failure::Crc) => unit.crc += 1,
            Some(Failure::Garbage(_) | Failure::Half(..)) => unit.garbage += 1,
            Some(Failure::Broken(_) | Failure::NoConnection(_)) => unit.broken += 1,
        }
    }

    /// Device `n` has answered so many registers or bits.
    pub(crate) fn values(&self, n: usize, count: u16) {
        self.unit(n, |unit| unit.values += u64::from(count));
    }

    /// A read of device `n` is sent once more.
    pub(crate) fn retried(&self, n: usize) {
        self.unit(n, |unit| unit.retries += 1);
    }

    /// What went wrong with device `n` last.
    pub(crate) fn failed(&self, n: usize, at: Timestamp, why: &str) {
        let why: String = why.chars().take(LONGEST_ERROR).collect();
        self.unit(n, |unit| unit.last_error = Some((at, why)));
    }

    /// What has been counted so far.
    pub fn report(&self) -> BusReport {
        let now = self.began.elapsed();
        let mut state = self.lock();
        let lanes = state.lanes;
        let (busy_percent, dead_percent) = state.window.shares(now, lanes);
        let units = self.devices.iter().zip(&state.units).map(|((device, unit), counts)| UnitReport {
            device: device.clone(),
            unit: *unit,
            requests: counts.requests,
            values: counts.values,
            writes: counts.writes,
            retries: counts.retries,
            timeouts: counts.timeouts,
            crc: counts.crc,
            garbage: counts.garbage,
            broken: counts.broken,
            exceptions: exceptions(&counts.exceptions),
            round_trip: counts.round_trip.quantiles(),
            lag: counts.lag.quantiles(),
            last_error: counts.last_error.clone(),
        });
        BusReport {
            bus: self.bus.clone(),
            place: self.place.clone(),
            busy_percent,
            dead_percent,
            late: self.line.late.load(Ordering::Relaxed),
            crc: self.line.crc.load(Ordering::Relaxed),
            noise: self.line.noise.load(Ordering::Relaxed),
            reconnects: self.line.reconnects.load(Ordering::Relaxed),
            units: units.collect(),
        }
    }
}

/// The codes that were counted, with their names.
fn exceptions(counts: &[u32; CODES]) -> BTreeMap<String, u64> {
    let counted = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    counted
        .map(|(code, count)| {
            let name = match u8::try_from(code) {
                Ok(0) | Err(_) => "others".to_owned(),
                Ok(code) => format!("{code} {}", exception(code)),
            };
            (name, u64::from(*count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn quantiles_are_never_below_what_was_seen_nor_above_the_longest() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantiles(), Quantiles::default());
        for n in 1..=100 {
            histogram.add(ms(n));
        }
        let quantiles = histogram.quantiles();
        assert_eq!((quantiles.count, quantiles.max_ms), (100, 100.0));
        assert_eq!((quantiles.p50_ms, quantiles.p95_ms, quantiles.p99_ms), (50.0, 100.0, 100.0));
        histogram.add(Duration::from_secs(60));
        assert_eq!(histogram.quantiles().max_ms, 60_000.0);
        let mut one = Histogram::default();
        one.add(Duration::from_micros(400));
        assert_eq!(one.quantiles().p50_ms, 0.4, "not the end of its bucket");
    }

    #[test]
    fn a_share_is_of_the_last_minute() {
        let mut window = Window::default();
        let s = Duration::from_secs;
        window.busy(s(5), s(2), false);
        window.busy(s(10), s(1), true);
        let (busy, dead) = window.shares(s(10), 1);
        assert!((busy - 30.0).abs() < 0.1 && (dead - 10.0).abs() < 0.1, "{busy} {dead}");
        let (busy, _) = window.shares(s(10), 2);
        assert!((busy - 15.0).abs() < 0.1, "two lanes have twice the time");
        let (busy, dead) = window.shares(s(60), 1);
        assert!(
            (busy - 2.0).abs() < 0.1 && (dead - 2.0).abs() < 0.1,
            "the first slot has gone: {busy} {dead}"
        );
        assert_eq!(window.shares(s(3600), 1), (0.0, 0.0));
        window.busy(s(3605), s(5), false);
        assert!(window.shares(s(3605), 1).0 > 5.0);
    }

    #[test]
    fn exceptions_have_names() {
        let mut counts = [0; CODES];
        (counts[0], counts[2], counts[11]) = (1, 5, 3);
        let named = exceptions(&counts);
        assert_eq!(named["2 illegal data address"], 5);
        assert_eq!(named["11 the gateway's device does not answer"], 3);
        assert_eq!(named["others"], 1);
    }
}
