//! Bits, digits and characters: between registers in wire order and raw values.

use crate::profile::modbus::{MapPoint, Type};
use half::f16;

/// The point's bits, right-aligned, of its registers in wire order.
pub(super) fn raw(point: &MapPoint, registers: &[u16]) -> u64 {
    let join = |value: u64, word: &u16| value << 16 | u64::from(point.order.turned(*word));
    let whole = if point.order.low_word_first() {
        registers.iter().rev().fold(0, join)
    } else {
        registers.iter().fold(0, join)
    };
    match point.bits {
        Some((bit, count)) => whole >> bit & field(count),
        None => whole,
    }
}

/// `count` ones.
pub(super) fn field(count: u8) -> u64 {
    1_u64.checked_shl(count.into()).map_or(u64::MAX, |end| end - 1)
}

/// Words, most significant first, in wire order. Texts keep their reading order; only bytes are turned.
pub(crate) fn ordered(point: &MapPoint, mut words: Vec<u16>) -> Vec<u16> {
    if point.order.low_word_first() && !point.kind.is_text() {
        words.reverse();
    }
    for word in &mut words {
        *word = point.order.turned(*word);
    }
    words
}

/// The raw value as a number with its sign.
#[allow(clippy::cast_possible_truncation, reason = "the kind says how many bits there are")]
pub(super) fn signed(kind: Type, raw: u64) -> i128 {
    match kind {
        Type::S8Hi | Type::S8Lo => i128::from((raw as u8).cast_signed()),
        Type::S16 => i128::from((raw as u16).cast_signed()),
        Type::S32 => i128::from((raw as u32).cast_signed()),
        Type::S64 => i128::from(raw.cast_signed()),
        _ => i128::from(raw),
    }
}

/// The raw value as an IEEE 754 number; `None` where the kind is another.
#[allow(clippy::cast_possible_truncation, reason = "the kind says how many bits there are")]
pub(super) fn float(kind: Type, raw: u64) -> Option<f64> {
    match kind {
        Type::F16 => Some(f16::from_bits(raw as u16).to_f64()),
        Type::F32 => Some(f64::from(f32::from_bits(raw as u32))),
        Type::F64 => Some(f64::from_bits(raw)),
        _ => None,
    }
}

/// The bits of an IEEE 754 number of this kind; `None` where it does not fit, or the kind is another.
pub(super) fn float_bits(kind: Type, number: f64) -> Option<u64> {
    match kind {
        Type::F16 => {
            let half = f16::from_f64(number);
            half.is_finite().then(|| half.to_bits().into())
        }
        Type::F32 => {
            #[allow(clippy::cast_possible_truncation, reason = "the device has 32 bits")]
            let single = number as f32;
            single.is_finite().then(|| single.to_bits().into())
        }
        Type::F64 => number.is_finite().then(|| number.to_bits()),
        _ => None,
    }
}

/// Decimal digits of 4 bits each; `None` where one is above 9.
pub(super) fn from_bcd(raw: u64) -> Option<u64> {
    (0..16).rev().try_fold(0_u64, |number, digit| {
        let digit = raw >> (4 * digit) & 0xF;
        (digit <= 9).then_some(number * 10 + digit)
    })
}

/// The number as decimal digits of 4 bits each, up to eight.
pub(super) fn to_bcd(number: u64) -> u64 {
    (0..8).fold(0, |bits, digit| bits | (number / 10_u64.pow(digit) % 10) << (4 * digit))
}

/// The text in registers in wire order: up to the first zero, without blanks around it. What can't be shown is `?`.
pub(super) fn text(point: &MapPoint, registers: &[u16]) -> String {
    let words = registers.iter().map(|word| point.order.turned(*word));
    let text: String = if point.kind == Type::Utf16 {
        char::decode_utf16(words.take_while(|unit| *unit != 0))
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .map(|c| if c.is_control() { '?' } else { c })
            .collect()
    } else {
        words
            .flat_map(u16::to_be_bytes)
            .take_while(|byte| *byte != 0)
            .map(|byte| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' })
            .collect()
    };
    text.trim().to_owned()
}

/// The words of a text, filled up with zeros.
///
/// # Errors
/// In plain words: a text that the point does not take.
pub(super) fn text_words(point: &MapPoint, text: &str) -> Result<Vec<u16>, String> {
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Err(format!("{} takes no control character ({c:?})", point.name));
    }
    let length = usize::from(point.length);
    let mut words: Vec<u16> = if point.kind == Type::Utf16 {
        text.encode_utf16().take(length + 1).collect()
    } else {
        if let Some(c) = text.chars().find(|c| !c.is_ascii()) {
            return Err(format!("{} takes ASCII characters, and `{c}` is none", point.name));
        }
        let pair = |pair: &[u8]| {
            u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)])
        };
        text.as_bytes().chunks(2).take(length + 1).map(pair).collect()
    };
    if words.len() > length {
        let most = if point.kind == Type::Utf16 { length } else { length * 2 };
        return Err(format!("{} takes at most {most} characters", point.name));
    }
    words.resize(length, 0);
    Ok(words)
}
