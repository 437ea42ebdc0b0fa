//! From registers to values, and back.
//!
//! Terms: a *raw value* is the point's bits, right-aligned, before sign and scale; *wire order* is how the device has
//! them; a *part* is a point that is some bits or one byte of a register.
//!
//! Numbers of 64 bits: without a scale they are whole numbers and exact; one from 2^63 on, which the house has no whole
//! number for, is reported as bad, never as another number. With a scale they are rounded once, to the nearest `f64`.

mod change;
mod compose;
mod encode;
mod raw;

pub(crate) use change::{differs, same};
pub(crate) use compose::{Outgoing, Register, compose, needs};
pub(crate) use encode::encode;
#[allow(unused_imports, reason = "the bus writes parts of registers")]
pub(crate) use encode::{encode_into, mask};
pub(crate) use raw::ordered;

use crate::profile::modbus::{MapPoint, ModbusMap, Type};
use engawa_model::{Quality, Value};

/// What a device answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// Registers.
    Registers(Vec<u16>),
    /// Coils or discrete inputs.
    Bits(Vec<bool>),
}

impl Words {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Registers(words) => words.len(),
            Self::Bits(bits) => bits.len(),
        }
    }
}

/// A decoded point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) value: Option<Value>,
    pub(crate) quality: Quality,
}

impl Decoded {
    fn good(value: Value) -> Self {
        Self { value: Some(value), quality: Quality::Good }
    }

    const BAD: Self = Self { value: None, quality: Quality::Bad };
    const OFF: Self = Self { value: None, quality: Quality::Good };
}

/// Why a point has the value that it has, or none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is what the device measures or holds.
    Plausible,
    /// The device says that it is off.
    Off,
    /// The device says that it has no value.
    Invalid,
    /// The device says that it does not have this.
    Unsupported,
    /// Beyond what the profile takes for possible.
    Implausible(f64),
    /// Infinite, or no number at all.
    NotFinite,
    /// A digit above 9.
    NotDecimal,
    /// From 2^63 on.
    TooLarge(u64),
}

impl Verdict {
    /// In plain words.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Plausible => "plausible".to_owned(),
            Self::Off => "off, says the device".to_owned(),
            Self::Invalid => "no value, says the device".to_owned(),
            Self::Unsupported => "not supported, says the device".to_owned(),
            Self::Implausible(value) => format!("{value} is beyond what is plausible: dropped"),
            Self::NotFinite => "not a finite number".to_owned(),
            Self::NotDecimal => "not decimal digits".to_owned(),
            Self::TooLarge(raw) => format!("{raw} is too large: whole numbers end at 2^63"),
        }
    }
}

/// Decodes `point` of an answer that begins at `first`. `None` where the answer does not hold it.
pub(crate) fn decode(map: &ModbusMap, point: &MapPoint, first: u16, words: &Words) -> Option<Decoded> {
    judge(map, point, first, words).map(|(decoded, _)| decoded)
}

/// As [`decode`], and why it is so.
pub(crate) fn judge(
    _map: &ModbusMap,
    point: &MapPoint,
    first: u16,
    words: &Words,
) -> Option<(Decoded, Verdict)> {
    let at = usize::from(point.address.checked_sub(first)?);
    match words {
        // A point of the one kind of table is in no answer of the other.
        Words::Bits(bits) => {
            let bit = bits.get(at).filter(|_| point.table.is_bits())?;
            Some((Decoded::good(bit_value(point, *bit)), Verdict::Plausible))
        }
        Words::Registers(registers) => {
            let registers = registers.get(at..at + usize::from(point.length))?;
            (!point.table.is_bits()).then(|| of_registers(point, registers))
        }
    }
}

fn bit_value(point: &MapPoint, bit: bool) -> Value {
    point.names.get(&i64::from(bit)).map_or(Value::Bool(bit), |name| Value::Text(name.clone()))
}

/// The value of exactly the point's registers.
fn of_registers(point: &MapPoint, registers: &[u16]) -> (Decoded, Verdict) {
    if point.kind.is_text() {
        return (Decoded::good(Value::Text(raw::text(point, registers))), Verdict::Plausible);
    }
    let raw = raw::raw(point, registers);
    // Sentinels are compared as the device sends them, before sign and scale.
    if point.invalid.contains(&raw) {
        return (Decoded::BAD, Verdict::Invalid);
    }
    if point.unsupported.contains(&raw) {
        return (Decoded::BAD, Verdict::Unsupported);
    }
    if point.off.contains(&raw) {
        return (Decoded::OFF, Verdict::Off);
    }
    if let Some(number) = raw::float(point.kind, raw) {
        if !number.is_finite() {
            return (Decoded::BAD, Verdict::NotFinite);
        }
        let value = point.scale.times(number) + point.offset.times(1.0);
        return checked(point, Value::Float(value));
    }
    let number = match point.kind {
        Type::Bcd16 | Type::Bcd32 => match raw::from_bcd(raw) {
            Some(number) => i128::from(number),
            None => return (Decoded::BAD, Verdict::NotDecimal),
        },
        kind => raw::signed(kind, raw),
    };
    let whole = i64::try_from(number).ok();
    if let Some(name) = whole.and_then(|whole| point.names.get(&whole)) {
        return (Decoded::good(Value::Text(name.clone())), Verdict::Plausible);
    }
    if point.kind == Type::Bool {
        return (Decoded::good(Value::Bool(raw != 0)), Verdict::Plausible);
    }
    if !(point.scale.is_one() && point.offset.is_zero()) {
        return checked(
            point,
            Value::Float(crate::profile::modbus::linear(point.scale, point.offset, number)),
        );
    }
    match whole {
        Some(whole) => checked(point, Value::Int(whole)),
        None => (Decoded::BAD, Verdict::TooLarge(raw)),
    }
}

/// The value, unless it can't be.
fn checked(point: &MapPoint, value: Value) -> (Decoded, Verdict) {
    let number = value.as_f64().unwrap_or(f64::NAN);
    if !number.is_finite() {
        return (Decoded::BAD, Verdict::NotFinite);
    }
    let beyond =
        point.valid.min.is_some_and(|min| number < min) || point.valid.max.is_some_and(|max| number > max);
    if beyond {
        return (Decoded::BAD, Verdict::Implausible(number));
    }
    (Decoded::good(value), Verdict::Plausible)
}

#[cfg(test)]
mod tests;
