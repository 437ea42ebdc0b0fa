//! What drivers count on their buses: views for the JSON API, the command line and the metrics.

use engawa_model::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A bus since the start of the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BusTraffic {
    /// Its name.
    pub bus: String,
    /// Where it is.
    pub place: String,
    /// How much of the last minute it was busy, %.
    pub busy_percent: f64,
    /// How much of that minute went to devices that don't answer, %.
    pub dead_percent: f64,
    /// Answers that came when nobody waited for them any more.
    pub late: u64,
    /// Frames with a wrong check sum.
    pub crc: u64,
    /// Bytes that belong to no answer.
    pub noise: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// Its units.
    pub units: Vec<UnitTraffic>,
}

/// A unit on a bus, since the start of the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitTraffic {
    /// Its device.
    pub device: DeviceId,
    /// Its number on the bus.
    pub unit: u8,
    /// Requests sent to it.
    pub requests: u64,
    /// Registers and bits read from it.
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
    /// The last failure.
    pub last_error: Option<LastError>,
}

impl UnitTraffic {
    /// Requests that brought no good answer.
    pub fn errors(&self) -> u64 {
        self.timeouts + self.crc + self.garbage + self.broken + self.exceptions.values().sum::<u64>()
    }
}

/// Quantiles of a duration, ms: upper ends of fixed buckets, never more than the longest that was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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

/// A failure and when it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// What, in plain words.
    pub what: String,
}
