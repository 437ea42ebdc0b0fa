//! From registers to values, and back.

use crate::profile::modbus::{MapPoint, ModbusMap, Type, WordOrder, WriteRule};
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
}

/// Decodes `point` of an answer that begins at `first`. `None` where the answer does not hold it.
pub(crate) fn decode(map: &ModbusMap, point: &MapPoint, first: u16, words: &Words) -> Option<Decoded> {
    let at = usize::from(point.address.checked_sub(first)?);
    let registers = match words {
        Words::Bits(bits) => return bits.get(at).map(|bit| Decoded::good(Value::Bool(*bit))),
        Words::Registers(registers) => registers.get(at..at + usize::from(point.length))?,
    };
    if point.kind == Type::Ascii {
        return Some(Decoded::good(Value::Text(text(map, registers))));
    }
    let raw = raw(map, point, registers);
    // Sentinels are compared as the device sends them, before sign and scale.
    if point.invalid.contains(&raw) {
        return Some(Decoded::BAD);
    }
    if point.off.contains(&raw) {
        return Some(Decoded { value: None, quality: Quality::Good });
    }
    if point.kind == Type::F32 {
        #[allow(clippy::cast_possible_truncation, reason = "two registers")]
        let number = f32::from_bits(raw as u32);
        return Some(if number.is_finite() { scaled(point, f64::from(number)) } else { Decoded::BAD });
    }
    let signed = signed(point.kind, raw);
    if let Some(name) = point.names.get(&signed) {
        return Some(Decoded::good(Value::Text(name.clone())));
    }
    if point.kind == Type::Bool {
        return Some(Decoded::good(Value::Bool(raw != 0)));
    }
    if point.scale.is_one() && point.offset.is_zero() {
        return Some(Decoded::good(Value::Int(signed)));
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "counters above 2^53 lose their last digits, as in every f64"
    )]
    Some(scaled(point, signed as f64))
}

fn scaled(point: &MapPoint, raw: f64) -> Decoded {
    Decoded::good(Value::Float(point.scale.times(raw) + point.offset.times(1.0)))
}

/// The value's bits, unsigned.
fn raw(map: &ModbusMap, point: &MapPoint, registers: &[u16]) -> u64 {
    let register = |word: &u16| if map.swap_bytes { word.swap_bytes() } else { *word };
    let join = |value: u64, word: &u16| value << 16 | u64::from(register(word));
    let whole = match map.word_order {
        WordOrder::HighFirst => registers.iter().fold(0, join),
        WordOrder::LowFirst => registers.iter().rev().fold(0, join),
    };
    match (point.kind, point.bits) {
        (Type::U8Hi, _) => whole >> 8 & 0xFF,
        (Type::U8Lo | Type::S8, _) => whole & 0xFF,
        (_, Some((bit, count))) => whole >> bit & ((1 << count) - 1),
        _ => whole,
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the kind says how many bits there are")]
fn signed(kind: Type, raw: u64) -> i64 {
    match kind {
        Type::S8 => i64::from((raw as u8).cast_signed()),
        Type::S16 => i64::from((raw as u16).cast_signed()),
        Type::S32 => i64::from((raw as u32).cast_signed()),
        // A counter above 2^63 is none that a hotel has.
        _ => raw.cast_signed(),
    }
}

fn text(map: &ModbusMap, registers: &[u16]) -> String {
    let bytes = registers
        .iter()
        .flat_map(|word| if map.swap_bytes { word.to_le_bytes() } else { word.to_be_bytes() });
    let text: String = bytes
        .take_while(|byte| *byte != 0)
        .map(|byte| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' })
        .collect();
    text.trim().to_owned()
}

/// True where `new` is worth a report after `old`.
pub(crate) fn differs(point: &MapPoint, old: &Decoded, new: &Decoded) -> bool {
    if old.quality != new.quality {
        return true;
    }
    match (&old.value, &new.value) {
        (Some(Value::Float(old)), Some(Value::Float(new))) => (old - new).abs() > point.dead_band,
        (old, new) => old != new,
    }
}

/// True where a value that was read back is the one that was written: within half of the device's step.
pub(crate) fn same(point: &MapPoint, written: &Value, read: &Decoded) -> bool {
    if read.quality != Quality::Good {
        return false;
    }
    let Some(read) = &read.value else { return false };
    match (written.as_f64(), read.as_f64()) {
        (Some(written), Some(read)) => {
            (written - read).abs() <= point.scale.times(1.0).abs().max(1e-6) * 0.501
        }
        // A command may have a name and its status a number, or the other way round.
        _ => {
            written == read
                || encode(point, written).is_ok_and(|raw| encode(point, read).is_ok_and(|back| raw == back))
        }
    }
}

/// The registers that hold `value`, most significant first.
///
/// # Errors
/// In plain words: a value that the point does not take.
pub(crate) fn encode(point: &MapPoint, value: &Value) -> Result<Vec<u16>, String> {
    let rule = point.write.as_ref().ok_or_else(|| format!("{} can't be written", point.name))?;
    let number = number(rule, point, value)?;
    for (limit, beyond, word) in [
        (rule.min, rule.min.is_some_and(|min| number < min), "below"),
        (rule.max, rule.max.is_some_and(|max| number > max), "above"),
    ] {
        if let (Some(limit), true) = (limit, beyond) {
            return Err(format!("{number} is {word} {limit}, which {} takes", point.name));
        }
    }
    if point.kind == Type::F32 {
        #[allow(clippy::cast_possible_truncation, reason = "the device has 32 bits")]
        let bits = (point.scale.divide(number - point.offset.times(1.0)) as f32).to_bits();
        return Ok(vec![(bits >> 16) as u16, (bits & 0xFFFF) as u16]);
    }
    // A named code is raw already.
    let named = matches!(value, Value::Text(_));
    let raw = if named { number } else { point.scale.divide(number - point.offset.times(1.0)).round() };
    let (least, most) = match point.kind {
        Type::Bool => (0.0, 1.0),
        Type::S16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
        Type::U32 => (0.0, f64::from(u32::MAX)),
        Type::S32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        Type::U64 | Type::S64 => (-9.0e15, 9.0e15),
        _ => (0.0, f64::from(u16::MAX)),
    };
    if !(least..=most).contains(&raw) {
        return Err(format!("{number} does not fit into {}", point.name));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    let bits = (raw as i64).cast_unsigned();
    let words = usize::from(point.length).clamp(1, 4);
    #[allow(clippy::cast_possible_truncation, reason = "one word at a time")]
    Ok((0..words).rev().map(|word| (bits >> (16 * word)) as u16).collect())
}

fn number(rule: &WriteRule, point: &MapPoint, value: &Value) -> Result<f64, String> {
    #[allow(clippy::cast_precision_loss, reason = "codes are small")]
    match value {
        Value::Text(name) => rule.names.get(name).map(|raw| *raw as f64).ok_or_else(|| {
            let known: Vec<&str> = rule.names.keys().map(String::as_str).collect();
            format!(
                "`{name}` is not a value of {}; it takes {}",
                point.name,
                if known.is_empty() { "numbers".to_owned() } else { known.join(", ") }
            )
        }),
        value => value
            .as_f64()
            .filter(|number| number.is_finite())
            .ok_or_else(|| format!("{} takes numbers", point.name)),
    }
}

/// Words in the order in which the device wants them.
pub(crate) fn ordered(map: &ModbusMap, mut words: Vec<u16>) -> Vec<u16> {
    if map.word_order == WordOrder::LowFirst {
        words.reverse();
    }
    if map.swap_bytes {
        for word in &mut words {
            *word = word.swap_bytes();
        }
    }
    words
}

#[cfg(test)]
mod tests;
