//! Which profile fits a device, from a few of its registers: how likely, and why.
//!
//! What a profile names to tell its make by (a register, the device's own words) counts most; a device without it is
//! told by what its registers could mean. A value proves little where everything would be plausible, and a zero proves
//! less; so scores stay low without such a mark.
//!
//! Pure: what was read comes in.

use crate::modbus::decode::{Decoded, Verdict};
use crate::modbus::line::DeviceIdentity;
use crate::profile::modbus::{MapPoint, ModbusMap, Type};
use engawa_model::Value;
use std::cmp::Reverse;

/// Points that are looked at for one profile.
pub(super) const MOST_SAMPLES: usize = 6;
/// Below this a profile is not worth being named.
pub(super) const LEAST_SCORE: u8 = 20;
/// What the make's own mark is worth, of 100; plausible values are worth the rest.
const MARK: f64 = 70.0;
/// What plausible values are worth where a profile names no mark.
const VALUES_ALONE: f64 = 60.0;
/// So much telling weight is enough to believe the values as far as they go.
const ENOUGH: f64 = 3.0;

/// What was seen of one point.
#[derive(Clone, Debug)]
pub(super) enum Sight {
    /// The device refuses it, or does not answer.
    Nothing,
    /// A value, and whether its registers hold anything but zeros.
    Value { decoded: Decoded, verdict: Verdict, zero: bool },
}

/// What was found out about a profile's mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The profile names none.
    None,
    /// The device has it, in these words.
    Fits(String),
    /// The device does not have it.
    Differs,
}

/// How likely a profile is, 0 to 100, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Likely {
    pub(super) score: u8,
    pub(super) reasons: Vec<String>,
}

/// The points that tell most, each in other registers.
pub(super) fn samples(map: &ModbusMap) -> Vec<usize> {
    let mut order: Vec<usize> = (0..map.points.len()).filter(|n| telling(&map.points[*n]) > 0.0).collect();
    #[allow(clippy::cast_possible_truncation, reason = "weights are small")]
    order.sort_by_key(|n| (Reverse((telling(&map.points[*n]) * 100.0) as i64), *n));
    let mut chosen: Vec<usize> = Vec::new();
    for n in order {
        let point = &map.points[n];
        let taken = chosen.iter().any(|of| {
            let of = &map.points[*of];
            of.function == point.function && of.address == point.address
        });
        if !taken {
            chosen.push(n);
        }
        if chosen.len() == MOST_SAMPLES {
            break;
        }
    }
    chosen
}

/// How much a plausible value of this point tells.
fn telling(point: &MapPoint) -> f64 {
    if point.kind.is_text() {
        0.25
    } else if range(point).is_some() || !point.names.is_empty() || point.kind.is_float() {
        1.0
    } else if point.bits.is_some() || point.table.is_bits() || point.kind == Type::Bool {
        0.1
    } else {
        0.25
    }
}

/// What the point's value can be: by its profile, else by its unit.
fn range(point: &MapPoint) -> Option<(f64, f64)> {
    if let (Some(min), Some(max)) = (point.valid.min, point.valid.max) {
        return Some((min, max));
    }
    Some(match point.unit.as_deref()? {
        "Cel" => (-40.0, 95.0),
        "%" => (0.0, 100.0),
        "Hz" => (45.0, 65.0),
        "V" => (0.0, 500.0),
        "A" => (0.0, 1000.0),
        "[ppm]" => (0.0, 10_000.0),
        _ => return None,
    })
}

/// Whether the device has what tells the make, as far as the profile names it: `register` is what the named register
/// has, `said` the device's own words.
pub(super) fn mark(map: &ModbusMap, register: Option<u16>, said: Option<&DeviceIdentity>) -> Mark {
    let mut words = Vec::new();
    if let Some((_, address, expect)) = &map.identity {
        match register {
            Some(word) if expect.contains(&word) => {
                words.push(format!("register {address} has {word:#06x}, as devices of this make have"));
            }
            _ => return Mark::Differs,
        }
    }
    if let Some(rule) = &map.device_id {
        match said {
            Some(said) if rule.fits(&said.vendor, &said.product, &said.revision) => {
                words.push(format!("it says vendor `{}`, product `{}`", said.vendor, said.product));
            }
            _ => return Mark::Differs,
        }
    }
    if words.is_empty() { Mark::None } else { Mark::Fits(words.join("; ")) }
}

/// Judges a profile by its mark and what was seen of some points. `None`: it is another device.
pub(super) fn judge(map: &ModbusMap, mark: &Mark, seen: &[(usize, Sight)]) -> Option<Likely> {
    let (mut reasons, marked) = match mark {
        Mark::Differs => return None,
        Mark::Fits(words) => (vec![words.clone()], true),
        Mark::None => (Vec::new(), false),
    };
    let (mut weight, mut good, mut plausible, mut silent) = (0.0, 0.0, Vec::new(), Vec::new());
    for (n, sight) in seen {
        let Some(point) = map.points.get(*n) else { continue };
        let worth = telling(point);
        weight += worth;
        match sight {
            Sight::Nothing => silent.push(point.name.to_string()),
            Sight::Value { decoded, verdict, zero } => {
                let share = plausibility(point, decoded, verdict, *zero);
                good += worth * share;
                if share >= 0.5 {
                    plausible.push((share, worth, shown(point, decoded)));
                }
            }
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a handful of samples")]
    let answered = 1.0 - silent.len() as f64 / seen.len().max(1) as f64;
    let share = if weight > 0.0 { good / weight * answered * answered } else { 0.0 };
    let score = if marked {
        MARK + (100.0 - MARK) * share
    } else {
        VALUES_ALONE * share * (weight / ENOUGH).min(1.0)
    };
    plausible.sort_by(|a, b| (b.0 * b.1).total_cmp(&(a.0 * a.1)));
    if let Some((_, _, best)) = plausible.first() {
        reasons.push(format!("{} of {} points plausible, such as {best}", plausible.len(), seen.len()));
    } else if !seen.is_empty() {
        reasons.push(format!("none of {} points plausible", seen.len()));
    }
    if !silent.is_empty() {
        reasons.push(format!("does not have {}", silent.join(", ")));
    }
    if !marked {
        reasons.push("the profile names nothing that tells this make from others".to_owned());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    Some(Likely { score: score.clamp(0.0, 100.0).round() as u8, reasons })
}

/// 0 to 1.
fn plausibility(point: &MapPoint, decoded: &Decoded, verdict: &Verdict, zero: bool) -> f64 {
    let good = match (verdict, &decoded.value) {
        (Verdict::Off, _) => 1.0,
        // A sentinel of the profile's own says as much as a value.
        (Verdict::Invalid | Verdict::Unsupported, _) => 0.6,
        (Verdict::Plausible, Some(Value::Text(text))) if point.kind.is_text() => {
            let readable = !text.is_empty() && text.chars().all(|c| !c.is_control());
            f64::from(u8::from(readable))
        }
        (Verdict::Plausible, Some(Value::Text(_) | Value::Bool(_))) => 1.0,
        // A code without a name, where the profile names its codes.
        (Verdict::Plausible, Some(_)) if !point.names.is_empty() => 0.0,
        (Verdict::Plausible, Some(value)) => match (value.as_f64(), range(point)) {
            (Some(number), Some((min, max))) => f64::from(u8::from((min..=max).contains(&number))),
            // A float that is read from registers of another kind is usually huge or next to nothing.
            (Some(number), None) if point.kind.is_float() => {
                f64::from(u8::from(number == 0.0 || (1e-3..1e7).contains(&number.abs())))
            }
            _ => 0.5,
        },
        _ => 0.0,
    };
    if zero { good * 0.3 } else { good }
}

fn shown(point: &MapPoint, decoded: &Decoded) -> String {
    let value = decoded.value.as_ref().map_or_else(|| "off".to_owned(), ToString::to_string);
    let unit = point.unit.as_deref().unwrap_or("");
    format!("{} {value} {unit}", point.name).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus::decode::{Words, judge as decode};
    use crate::profile::{self, Resolved};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn map(name: &str) -> Arc<ModbusMap> {
        let (_, text) = profile::builtin().iter().find(|(of, _)| *of == name).unwrap();
        let Ok(Resolved::Modbus(map)) = profile::load(name, text).unwrap().resolve(&BTreeMap::new()) else {
            panic!()
        };
        map
    }

    fn seen(map: &ModbusMap, registers: &BTreeMap<u16, u16>) -> Vec<(usize, Sight)> {
        let see = |n: usize| {
            let point = &map.points[n];
            let words: Option<Vec<u16>> =
                (0..point.length).map(|of| registers.get(&(point.address + of)).copied()).collect();
            let decoded = words.and_then(|words| {
                let zero = words.iter().all(|word| *word == 0);
                decode(map, point, point.address, &Words::Registers(words)).map(|found| (found, zero))
            });
            let sight = match decoded {
                Some(((decoded, verdict), zero)) => Sight::Value { decoded, verdict, zero },
                None => Sight::Nothing,
            };
            (n, sight)
        };
        samples(map).into_iter().map(see).collect()
    }

    #[test]
    fn a_mark_outweighs_all_values() {
        let map = map("intesis-inmbsdai");
        let (_, _, expect) = map.identity.clone().unwrap();
        assert_eq!(mark(&map, Some(expect[0] ^ 1), None), Mark::Differs);
        assert_eq!(mark(&map, None, None), Mark::Differs);
        let fits = mark(&map, Some(expect[0]), None);
        let nothing = seen(&map, &BTreeMap::new());
        let likely = judge(&map, &fits, &nothing).unwrap();
        assert!(likely.score >= 70, "{likely:?}");
        assert_eq!(judge(&map, &Mark::Differs, &nothing), None);
    }

    #[test]
    fn zeros_everywhere_are_no_evidence() {
        let zeros: BTreeMap<u16, u16> = (0..2000).map(|address| (address, 0)).collect();
        for (name, text) in profile::builtin() {
            let Ok(Resolved::Modbus(map)) = profile::load(name, text).unwrap().resolve(&BTreeMap::new())
            else {
                continue;
            };
            let likely = judge(&map, &Mark::None, &seen(&map, &zeros)).unwrap();
            assert!(likely.score < LEAST_SCORE, "{name}: {likely:?}");
        }
    }

    #[test]
    fn a_meter_is_told_by_what_it_measures() {
        let map = map("eastron-sdm120");
        let mut registers = BTreeMap::new();
        for point in &map.points {
            let value: f32 = match point.unit.as_deref() {
                Some("V") => 230.4,
                Some("Hz") => 50.0,
                Some("A") => 1.2,
                _ => 276.0,
            };
            let bits = value.to_bits();
            registers.insert(point.address, u16::try_from(bits >> 16).unwrap());
            registers.insert(point.address + 1, u16::try_from(bits & 0xffff).unwrap());
        }
        let likely = judge(&map, &Mark::None, &seen(&map, &registers)).unwrap();
        assert!(likely.score >= 55, "{likely:?}");
        assert!(likely.reasons[0].contains("6 of 6 points plausible"), "{likely:?}");
        let thermostat = judge(&super::tests::map("beca-bac-002aln"), &Mark::None, &[]).unwrap();
        assert_eq!(thermostat.score, 0);
    }
}
