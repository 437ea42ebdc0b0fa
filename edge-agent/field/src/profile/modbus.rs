//! Profiles of devices that speak Modbus: where the points are, what their registers mean, and how they may be read
//! and written.
//!
//! The format says more than the poller does yet; what it does not do is refused with its place ([`check`]), so that no
//! profile is half followed.
//!
//! Terms: a *table* is one of Modbus's four address spaces; the *wire address* counts from 0 in its table, whatever the
//! maker prints ([`ModbusProfile::printed_base`]); a *sentinel* is a raw value that is no value.

mod check;
mod map;
mod scale;

pub use map::{MapPoint, ModbusMap, WriteRule};
pub use scale::Fraction;

use engawa_model::Role;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How devices of one make speak Modbus.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModbusProfile {
    /// What the maker prints for wire address 0: 1 or 40001 for most, 0 where protocol addresses are printed.
    #[serde(default)]
    pub printed_base: u32,
    /// The order of words in values of two or four registers.
    #[serde(default)]
    pub word_order: WordOrder,
    /// True where the two bytes of each register are swapped.
    #[serde(default)]
    pub swap_bytes: bool,
    /// The most registers in one request; the protocol's own bound is 125.
    #[serde(default = "most_registers")]
    pub max_registers: u16,
    /// Registers between two points that may be read along and passed over; 0: none, they may answer an exception.
    #[serde(default)]
    pub max_gap: u16,
    /// Blocks beyond whose borders no request may go.
    #[serde(default)]
    pub blocks: Vec<Block>,
    /// The pause between two requests to the device, ms.
    #[serde(default)]
    pub pause_ms: u32,
    /// How long the device may take to answer, ms; the bus's own time-out where absent.
    #[serde(default)]
    pub timeout_ms: Option<u32>,
    /// How often a point is read where it does not say itself, ms.
    #[serde(default = "interval")]
    pub interval_ms: u32,
    /// What must stand where for the device to be one of this make.
    #[serde(default)]
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

const fn interval() -> u32 {
    1000
}

/// The order of words: which comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WordOrder {
    /// The most significant word first (ABCD), as most do.
    #[default]
    HighFirst,
    /// The least significant word first (CDAB).
    LowFirst,
}

/// Modbus's address spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Bits that can be written (functions 01, 05, 15).
    Coil,
    /// Bits that can only be read (02).
    Discrete,
    /// Registers that can be written (03, 06, 16).
    Holding,
    /// Registers that can only be read (04).
    Input,
}

/// Addresses that may be read in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The address space.
    pub table: Table,
    /// The first address, as printed.
    pub first: u32,
    /// The last address, as printed.
    pub last: u32,
}

/// What tells a device of this make from others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The address space of the register.
    pub table: Option<Table>,
    /// Its address, as printed.
    pub address: Option<u32>,
    /// The values that devices of this make have there.
    #[serde(default)]
    pub expect: Vec<u16>,
    /// Read Device Identification (43/14): not used by the poller yet.
    pub device_id: Option<String>,
}

/// A variable and its choices.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Var {
    /// What is taken where a device does not say.
    pub default: String,
    /// What each choice means.
    pub choices: BTreeMap<String, Choice>,
}

/// What a choice means: value = raw x scale + offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The scale.
    #[serde(default)]
    pub scale: Fraction,
    /// The offset.
    #[serde(default = "Fraction::zero")]
    pub offset: Fraction,
}

/// The kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// One bit: of the coil and discrete tables, or of a register (`bit`).
    Bool,
    /// An unsigned register.
    U16,
    /// A signed register.
    S16,
    /// The upper byte of a register, unsigned.
    U8Hi,
    /// The lower byte of a register, unsigned.
    U8Lo,
    /// The lower byte of a register, signed.
    S8,
    /// Two registers, unsigned.
    U32,
    /// Two registers, signed.
    S32,
    /// Two registers, IEEE 754.
    F32,
    /// Four registers, unsigned.
    U64,
    /// Four registers, signed.
    S64,
    /// Text, two characters a register.
    Ascii,
    /// Some bits of a register (`bit` and `bits`).
    Bits,
}

/// One point.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModbusPoint {
    /// Its name.
    pub name: String,
    /// What it is to its room.
    pub role: Option<Role>,
    /// Its unit (UCUM), for people.
    pub unit: Option<String>,
    /// The address space.
    pub table: Table,
    /// The address, as printed.
    pub address: u32,
    /// The kind of value.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Registers of a text.
    pub length: Option<u16>,
    /// The lowest bit of a `bool` or `bits` in a register.
    pub bit: Option<u8>,
    /// How many bits.
    pub bits: Option<u8>,
    /// value = raw x scale + offset; a fraction such as `1/50`.
    #[serde(default)]
    pub scale: Fraction,
    /// The offset.
    #[serde(default = "Fraction::zero")]
    pub offset: Fraction,
    /// The variable that gives scale and offset instead.
    pub scale_var: Option<String>,
    /// The function that reads it, where it is not the table's own: some devices answer 04 for holding registers only.
    pub read_function: Option<u8>,
    /// Raw values by which the device says that it has no value.
    #[serde(default)]
    pub invalid: Vec<u64>,
    /// Raw values by which the device says that it does not have this at all.
    #[serde(default)]
    pub unsupported: Vec<u64>,
    /// Raw values that mean off, in a point that is otherwise a measure: it then has no number, and is good.
    #[serde(default)]
    pub off: Vec<u64>,
    /// Names of raw values.
    #[serde(default)]
    pub names: BTreeMap<String, i64>,
    /// How often it is read, ms.
    pub interval_ms: Option<u32>,
    /// A change of at most this much is not reported, in the point's unit.
    pub dead_band: Option<f64>,
    /// How it may be written; absent: not at all.
    pub write: Option<Write>,
}

/// How a point may be written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// 5, 6, 15 or 16; the table's usual one where absent.
    pub function: Option<u8>,
    /// The least value.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
    /// Names of raw values, where commands have others than the status.
    #[serde(default)]
    pub names: BTreeMap<String, i64>,
    /// Time that the device takes to show a write, ms.
    #[serde(default)]
    pub settle_ms: u32,
    /// The shortest time between two writes, ms.
    #[serde(default)]
    pub min_interval_ms: u32,
    /// False where the value can't be read back.
    #[serde(default = "yes")]
    pub verify: bool,
    /// True for what wears the device's memory: neither rules nor commands write it.
    #[serde(default)]
    pub never_in_routine: bool,
    /// Registers that must be written along: not used by the poller yet.
    pub companion: Option<toml::Value>,
    /// Registers whose state must be copied first: not used by the poller yet.
    pub copy_from: Option<toml::Value>,
}

const fn yes() -> bool {
    true
}

impl Type {
    /// Registers that a value takes (a text says itself).
    pub(crate) const fn registers(self) -> u16 {
        match self {
            Self::U32 | Self::S32 | Self::F32 => 2,
            Self::U64 | Self::S64 => 4,
            _ => 1,
        }
    }
}

impl Table {
    /// True for tables of single bits.
    pub(crate) const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }

    /// The function that reads it.
    pub(crate) const fn read_function(self) -> u8 {
        match self {
            Self::Coil => 1,
            Self::Discrete => 2,
            Self::Holding => 3,
            Self::Input => 4,
        }
    }
}
