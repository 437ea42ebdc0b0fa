//! Profiles of devices that speak Modbus: where the points are, what their registers mean, and how they may be read
//! and written.
//!
//! Terms: a *table* is one of Modbus's four address spaces; the *wire address* counts from 0 in its table, whatever the
//! maker prints ([`Notation`]); a *sentinel* is a raw value that is no value.
//!
//! What serde can't see is checked in [`check`]; [`ModbusMap`] is a profile with its variables filled in and its
//! addresses on the wire.

mod address;
mod check;
mod map;
mod point;
mod scale;
mod write;

pub use map::{DeviceIdRule, MapPoint, ModbusMap, WriteRule};
pub use point::{ModbusPoint, Order, Range, Table, Type};
pub use scale::Fraction;
pub(crate) use scale::linear;
pub use write::{Companion, CopyFrom, Place, Write};

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How devices of one make speak Modbus.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModbusProfile {
    /// How the maker prints addresses; as they are on the wire where neither this nor `printed_base` is there.
    pub notation: Option<Notation>,
    /// What the maker prints for wire address 0, where that is an odd number (2000, say); instead of `notation`.
    pub printed_base: Option<u32>,
    /// The order of bytes and words of all points that do not say it themselves.
    #[serde(default)]
    pub order: Order,
    /// The most registers in one read, 1 to 125.
    #[serde(default = "most_registers")]
    #[schemars(range(min = 1, max = 125))]
    pub max_registers: u16,
    /// The most coils or discrete inputs in one read, 1 to 2000; 512 where absent: bits are few, and devices differ.
    #[serde(default = "most_bits")]
    #[schemars(range(min = 1, max = 2000))]
    pub max_bits: u16,
    /// The most registers in one write, 1 to 123.
    #[serde(default = "most_write_registers")]
    #[schemars(range(min = 1, max = 123))]
    pub max_write_registers: u16,
    /// Registers between two points that may be read along and passed over; 0: none, they may answer an exception.
    #[serde(default)]
    pub max_gap: u16,
    /// Blocks beyond whose borders no request may go.
    #[serde(default)]
    pub blocks: Vec<Block>,
    /// Holes that no request may touch, even within `max_gap`.
    #[serde(default)]
    pub unreadable: Vec<Block>,
    /// Requests that the device bears at once on one TCP connection, 1 to 32.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 32))]
    pub max_in_flight: u8,
    /// The pause between two requests to the device, ms.
    #[serde(default)]
    pub pause_ms: u32,
    /// How long the device may take to answer, ms; the bus's own time-out where absent.
    #[schemars(range(min = 50, max = 86400000))]
    pub timeout_ms: Option<u32>,
    /// How often a read without an answer is tried again before it counts as failed, 0 to 5.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 5))]
    pub retries: u8,
    /// How often a point is read where it does not say itself, ms.
    #[serde(default = "interval")]
    pub interval_ms: u32,
    /// What must stand where for the device to be one of this make.
    pub identity: Option<Identity>,
    /// What differs between devices of this make, by a DIP switch for example.
    #[serde(default)]
    pub vars: BTreeMap<String, Var>,
    /// The points.
    pub points: Vec<ModbusPoint>,
}

const fn most_registers() -> u16 {
    125
}

const fn most_bits() -> u16 {
    512
}

const fn most_write_registers() -> u16 {
    123
}

const fn one() -> u8 {
    1
}

const fn interval() -> u32 {
    1000
}

/// How a maker prints addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Notation {
    /// As on the wire: 0 to 65535 in each table.
    Wire,
    /// From 1 on: 1 to 65536 in each table.
    OneBased,
    /// The first of five digits tells the table: 1 to 9999 coils, 10001 to 19999 discrete inputs, 30001 to 39999 input
    /// registers, 40001 to 49999 holding registers.
    FiveDigit,
    /// The first of six digits tells the table: 1 to 65536 coils, 100001 to 165536 discrete inputs, 300001 to 365536
    /// input registers, 400001 to 465536 holding registers.
    SixDigit,
}

/// Addresses of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The address space.
    pub table: Table,
    /// The first address, as printed.
    pub first: u32,
    /// The last address, as printed.
    pub last: u32,
}

/// What tells a device of this make from others: a register, what it says of itself, or both.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The address space of the register.
    pub table: Option<Table>,
    /// Its address, as printed.
    pub address: Option<u32>,
    /// The values that devices of this make have there.
    #[serde(default)]
    pub expect: Vec<u16>,
    /// What the device says of itself (Read Device Identification, function 43/14).
    pub device_id: Option<DeviceId>,
}

/// How the device's own words begin; what is absent may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceId {
    /// The beginning of its vendor name (object 0).
    pub vendor: Option<String>,
    /// The beginning of its product code (object 1).
    pub product: Option<String>,
    /// The beginning of its revision (object 2).
    pub revision: Option<String>,
}

/// A variable and its choices.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Var {
    /// What is taken where a device does not say.
    pub default: String,
    /// What each choice means.
    pub choices: BTreeMap<String, Choice>,
}

/// What a choice means: value = raw x scale + offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The scale.
    #[serde(default)]
    pub scale: Fraction,
    /// The offset.
    #[serde(default = "Fraction::zero")]
    pub offset: Fraction,
}
