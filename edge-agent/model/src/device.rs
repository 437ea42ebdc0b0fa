//! Devices, their points, and the gateway's links: what is known of their health.

use crate::{Quality, Timestamp, Value};
use serde::{Deserialize, Serialize};

/// How a device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Not heard of yet.
    #[default]
    Unknown,
    /// Answers as it should.
    Well,
    /// Does not answer, or not as it should; the reason says which.
    Unwell,
}

/// The longest note that a driver can leave of a device, bytes.
pub const MOST_NOTE: usize = 8192;

/// A device's health, as last reported by its driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHealth {
    /// Well or not.
    pub state: DeviceState,
    /// Why it is unwell, in plain words.
    pub reason: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// The last report of a point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointState {
    /// The value; `None` where the device says it has none.
    pub value: Option<Value>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// When the device had this value.
    pub at: Timestamp,
}

/// How a link of the gateway (PMS, Modbus line, broker, cloud) is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkHealth {
    /// True while it can be used.
    pub up: bool,
    /// What it is doing or why it is down: `alive`, `resync`, `refused by 10.0.0.5:5010`.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}
