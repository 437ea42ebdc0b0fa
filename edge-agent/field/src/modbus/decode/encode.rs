//! From a value to the registers that hold it.

use super::raw;
use crate::profile::modbus::{MapPoint, ModbusMap, Type, WriteRule};
use engawa_model::Value;

/// The words that hold `value`, most significant first (see [`super::ordered`]). Of a part: its bits, right-aligned.
///
/// # Errors
/// In plain words: a value that the point does not take.
pub(crate) fn encode(point: &MapPoint, value: &Value) -> Result<Vec<u16>, String> {
    let rule = point.write.as_ref().ok_or_else(|| format!("{} can't be written", point.name))?;
    if point.kind.is_text() {
        return match value {
            Value::Text(text) => raw::text_words(point, text),
            _ => Err(format!("{} takes texts", point.name)),
        };
    }
    let bits = match value {
        // A named code is raw already, and its limits are the profile's own.
        Value::Text(name) => named(rule, point, name)?,
        value => number(rule, point, value)?,
    };
    let words = usize::from(point.length).clamp(1, 4);
    #[allow(clippy::cast_possible_truncation, reason = "one word at a time")]
    Ok((0..words).rev().map(|word| (bits >> (16 * word)) as u16).collect())
}

fn named(rule: &WriteRule, point: &MapPoint, name: &str) -> Result<u64, String> {
    let raw = rule.names.get(name).ok_or_else(|| {
        let known: Vec<&str> = rule.names.keys().map(String::as_str).collect();
        format!(
            "`{name}` is not a value of {}; it takes {}",
            point.name,
            if known.is_empty() { "numbers".to_owned() } else { known.join(", ") }
        )
    })?;
    whole(point, i128::from(*raw)).ok_or_else(|| format!("`{name}` does not fit into {}", point.name))
}

fn number(rule: &WriteRule, point: &MapPoint, value: &Value) -> Result<u64, String> {
    let number = value
        .as_f64()
        .filter(|number| number.is_finite())
        .ok_or_else(|| format!("{} takes numbers", point.name))?;
    for (limit, beyond, word) in [
        (rule.min, rule.min.is_some_and(|min| number < min), "below"),
        (rule.max, rule.max.is_some_and(|max| number > max), "above"),
    ] {
        if let (Some(limit), true) = (limit, beyond) {
            return Err(format!("{number} is {word} {limit}, which {} takes", point.name));
        }
    }
    let unfit = || format!("{number} does not fit into {}", point.name);
    let plain = point.scale.is_one() && point.offset.is_zero();
    let unscaled = point.scale.divide(number - point.offset.times(1.0));
    if point.kind.is_float() {
        return raw::float_bits(point.kind, unscaled).ok_or_else(unfit);
    }
    let count = match value {
        // Whole numbers stay whole: an `f64` would lose digits of 64 bits.
        Value::Int(number) if plain => i128::from(*number),
        #[allow(
            clippy::cast_possible_truncation,
            reason = "an `as` cast ends at the bounds, and these do not fit"
        )]
        _ => unscaled.round() as i128,
    };
    whole(point, count).ok_or_else(unfit)
}

/// The bits of a whole number, where the point's kind has it.
fn whole(point: &MapPoint, number: i128) -> Option<u64> {
    let (least, most) = match (point.kind, point.bits) {
        (Type::Bool, _) => (0, 1),
        (Type::Bcd16, _) => (0, 9999),
        (Type::Bcd32, _) => (0, 99_999_999),
        (kind, bits) => {
            let width = bits.map_or_else(|| u32::from(kind.registers()) * 16, |(_, count)| count.into());
            let end = 1_i128 << width.min(64);
            if kind.is_signed() { (-(end >> 1), (end >> 1) - 1) } else { (0, end - 1) }
        }
    };
    if !(least..=most).contains(&number) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    let bits = number as u64;
    Some(match (point.kind, point.bits) {
        (Type::Bcd16 | Type::Bcd32, _) => raw::to_bcd(bits),
        (_, Some((_, count))) => bits & raw::field(count),
        _ => bits,
    })
}

/// The point's registers in wire order with `value` in them: of a part, the other bits are as in `current`, which are
/// the same registers as they were read.
///
/// # Errors
/// In plain words: a value that the point does not take, or registers that are not the point's.
#[allow(dead_code, reason = "the bus writes parts of registers")]
pub(crate) fn encode_into(
    _map: &ModbusMap,
    point: &MapPoint,
    value: &Value,
    current: &[u16],
) -> Result<Vec<u16>, String> {
    if point.bits.is_none() {
        return encode(point, value).map(|words| super::ordered(point, words));
    }
    let [register] = current else {
        return Err(format!("{} is a part of one register, and {} were read", point.name, current.len()));
    };
    let (keep, set) = mask_of(point, value)?;
    Ok(vec![register & keep | set])
}

/// The masks of function 22 that put `value` into its register: (and, or).
///
/// # Errors
/// In plain words: a value that the point does not take, or a point that is no part of a register.
#[allow(dead_code, reason = "the bus writes parts of registers")]
pub(crate) fn mask(_map: &ModbusMap, point: &MapPoint, value: &Value) -> Result<(u16, u16), String> {
    mask_of(point, value)
}

/// The bits to keep and the bits to set, in wire order.
pub(super) fn mask_of(point: &MapPoint, value: &Value) -> Result<(u16, u16), String> {
    let Some((bit, count)) = point.bits else {
        return Err(format!("{} is no part of a register", point.name));
    };
    let words = encode(point, value)?;
    let raw = u64::from(words.last().copied().unwrap_or_default());
    #[allow(clippy::cast_possible_truncation, reason = "bits and count are within a register")]
    let (field, set) = ((raw::field(count) << bit) as u16, (raw << bit) as u16);
    Ok((!point.order.turned(field), point.order.turned(set)))
}
