//! One point of a Modbus profile: where it is, what kind of value it has, and what its raw values mean.

use super::{Fraction, Write};
use crate::profile::schema;
use engawa_model::Role;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The order of bytes, named by how the value ABCD lies in two registers; values of four registers go likewise. In one
/// register (and in texts, whose words always come in reading order) only the bytes within registers matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Most significant word first, most significant byte first: as the specification has it.
    #[default]
    Abcd,
    /// Least significant word first.
    Cdab,
    /// Most significant word first, the bytes of each swapped.
    Badc,
    /// Least significant byte first throughout.
    Dcba,
}

impl Order {
    /// True where the least significant word comes first.
    pub(crate) const fn low_word_first(self) -> bool {
        matches!(self, Self::Cdab | Self::Dcba)
    }

    /// A register as the value has it, or a register of the value as the device has it: the same step both ways.
    pub(crate) const fn turned(self, register: u16) -> u16 {
        if matches!(self, Self::Badc | Self::Dcba) { register.swap_bytes() } else { register }
    }
}

/// Modbus's address spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Bits that can be written (functions 01, 05, 15).
    Coil,
    /// Bits that can only be read (02).
    Discrete,
    /// Registers that can be written (03, 06, 16, 22).
    Holding,
    /// Registers that can only be read (04).
    Input,
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

    /// What one of its addresses holds, for people.
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::Coil => "coil",
            Self::Discrete => "discrete input",
            Self::Holding => "holding register",
            Self::Input => "input register",
        }
    }
}

/// The kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// One bit: of the coil and discrete tables, or of a register (`bit`); a whole register that is 0 or not.
    Bool,
    /// Some bits of a register (`bit` and `bits`), unsigned.
    Bits,
    /// The upper byte of a register, unsigned.
    U8Hi,
    /// The lower byte of a register, unsigned.
    U8Lo,
    /// The upper byte of a register, signed.
    S8Hi,
    /// The lower byte of a register, signed.
    #[serde(alias = "s8")]
    S8Lo,
    /// An unsigned register.
    U16,
    /// A signed register.
    S16,
    /// Two registers, unsigned.
    U32,
    /// Two registers, signed.
    S32,
    /// Four registers, unsigned. A value from 2^63 on is reported as bad unless it is scaled.
    U64,
    /// Four registers, signed.
    S64,
    /// One register, IEEE 754.
    F16,
    /// Two registers, IEEE 754.
    F32,
    /// Four registers, IEEE 754.
    F64,
    /// One register of four decimal digits, 4 bits each.
    Bcd16,
    /// Two registers of eight decimal digits.
    Bcd32,
    /// Text, two ASCII characters a register.
    Ascii,
    /// Text, one UTF-16 unit a register.
    Utf16,
}

impl Type {
    /// Registers that a value takes (a text says itself).
    pub(crate) const fn registers(self) -> u16 {
        match self {
            Self::U32 | Self::S32 | Self::F32 | Self::Bcd32 => 2,
            Self::U64 | Self::S64 | Self::F64 => 4,
            _ => 1,
        }
    }

    /// True for texts.
    pub(crate) const fn is_text(self) -> bool {
        matches!(self, Self::Ascii | Self::Utf16)
    }

    /// True for IEEE 754 numbers.
    pub(crate) const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    /// The lowest bit and the count of what is one byte of a register.
    pub(crate) const fn byte(self) -> Option<(u8, u8)> {
        match self {
            Self::U8Hi | Self::S8Hi => Some((8, 8)),
            Self::U8Lo | Self::S8Lo => Some((0, 8)),
            _ => None,
        }
    }

    /// True where raw values have a sign.
    pub(crate) const fn is_signed(self) -> bool {
        matches!(self, Self::S8Hi | Self::S8Lo | Self::S16 | Self::S32 | Self::S64)
    }
}

/// One point.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModbusPoint {
    /// Its name.
    pub name: String,
    /// What it is to its room.
    #[schemars(with = "Option<schema::RoleSchema>")]
    pub role: Option<Role>,
    /// Its unit, a UCUM code: `Cel`, `%`, `kW.h`.
    pub unit: Option<String>,
    /// The address space.
    pub table: Table,
    /// The address, as printed.
    pub address: u32,
    /// The kind of value.
    #[serde(rename = "type")]
    pub kind: Type,
    /// The order of bytes, where it is not the profile's.
    pub order: Option<Order>,
    /// Registers of a text.
    pub length: Option<u16>,
    /// The lowest bit of a `bool` or `bits` in a register, 0 to 15.
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
    /// Raw values by which the device says that it has no value: its bits (0x8000) or, where it has a sign, the number
    /// (-32768). Of an IEEE 754 value: its bits.
    #[serde(default)]
    pub invalid: Vec<i128>,
    /// Raw values by which the device says that it does not have this at all.
    #[serde(default)]
    pub unsupported: Vec<i128>,
    /// Raw values that mean off, in a point that is otherwise a measure: it then has no number, and is good.
    #[serde(default)]
    pub off: Vec<i128>,
    /// Names of raw values.
    #[serde(default)]
    pub names: BTreeMap<String, i64>,
    /// What the value can be at all: beyond it is dropped, and the point is bad.
    pub valid: Option<Range>,
    /// How often it is read, ms.
    pub interval_ms: Option<u32>,
    /// A change of at most this much is not reported, in the point's unit.
    pub dead_band: Option<f64>,
    /// A change of at most this share of the value last reported is not reported, %. Of two dead bands the wider counts.
    pub dead_band_percent: Option<f64>,
    /// The value is reported at least this often, ms, changed or not.
    pub heartbeat_ms: Option<u32>,
    /// How it may be written; absent: not at all.
    pub write: Option<Write>,
}

/// What is plausible, in the point's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The least value.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
}
