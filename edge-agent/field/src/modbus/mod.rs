//! Modbus: buses, the devices on them, and how they are polled and written.
//!
//! One task for each bus, one request at a time, writes before polls. The plan of requests, the decoding, the judgement
//! of sick devices and the state of writes are pure; [`bus`] is the thin shell with the socket and the clock.
//!
//! Why sick devices are judged one by one: on a bus of thirty thermostats one that is unplugged must not slow the
//! other twenty-nine. A device that does not answer is asked ever more rarely, and never for more than a twentieth of
//! the bus's time.

mod agenda;
mod aside;
mod asks;
mod bus;
mod config;
mod cost;
pub(crate) mod decode;
mod device;
mod health;
pub(crate) mod learnt;
pub(crate) mod line;
mod outline;
pub(crate) mod plan;
mod tally;
pub mod tool;
mod writes;

pub use bus::{Bus, BusParts};
pub use config::{BusConfig, Framing, Parity, TlsConfig};
pub use device::ModbusDevice;
pub use outline::{Outline, PlannedRequest, outline};
pub use tally::{BusReport, Quantiles, Tally, UnitReport};

use std::time::Duration;

/// How often a device is asked again for what it has refused: a setting or a newer firmware may have changed that.
const REFUSED_AGAIN: Duration = Duration::from_secs(600);
