//! How a point of a Modbus profile may be written, and what has to be written along with it.

use super::Table;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How a point may be written.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// 5 or 15 for coils; 6, 16 or (some bits of a register) 22 for holding registers; the usual one where absent.
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
    /// How far the value that is read back may be from the one written, in the point's unit; half of the device's step
    /// where absent.
    pub tolerance: Option<f64>,
    /// True for what wears the device's memory: neither rules nor commands write it.
    #[serde(default)]
    pub never_in_routine: bool,
    /// Registers that are written along: in the same request (function 16) where they are next to the point, else
    /// before it.
    #[serde(default)]
    pub companion: Vec<Companion>,
    /// Registers whose state is read and put into the same request first, where a command takes a whole block.
    #[serde(default)]
    pub copy_from: Vec<CopyFrom>,
}

const fn yes() -> bool {
    true
}

/// A register (or coil) that is written along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Companion {
    /// Holding or coil.
    pub table: Table,
    /// The address, as printed.
    pub address: u32,
    /// The value of the whole register; of a coil 0 or 1.
    pub value: u16,
    /// The bits of the register that are the companion's; the others stay as they are. All where absent.
    pub mask: Option<u16>,
}

/// A register whose state is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyFrom {
    /// Where the state is.
    pub from: Place,
    /// The holding register that takes it, as printed.
    pub to: u32,
    /// The bits that are copied; the others stay as they are. All where absent.
    pub mask: Option<u16>,
}

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Holding or input.
    pub table: Table,
    /// The address, as printed.
    pub address: u32,
}
