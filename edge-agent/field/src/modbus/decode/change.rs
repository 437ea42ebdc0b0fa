//! Whether two values are the same: for a report, and after a write.

use super::{Decoded, encode};
use crate::profile::modbus::MapPoint;
use engawa_model::{Quality, Value};

/// True where `new` is worth a report after `old`: it has changed by more than the wider of the point's dead bands.
pub(crate) fn differs(point: &MapPoint, old: &Decoded, new: &Decoded) -> bool {
    if old.quality != new.quality {
        return true;
    }
    let band = |old: f64| point.dead_band.max(old.abs() * point.dead_band_percent / 100.0);
    match (&old.value, &new.value) {
        (Some(Value::Float(old)), Some(Value::Float(new))) => (old - new).abs() > band(*old),
        #[allow(
            clippy::cast_precision_loss,
            reason = "against a band, the last digits of a difference do not count"
        )]
        (Some(Value::Int(old)), Some(Value::Int(new))) => {
            old != new && old.abs_diff(*new) as f64 > band(*old as f64)
        }
        (old, new) => old != new,
    }
}

/// True where a value that was read back is the one that was written: within the point's tolerance, or half of the
/// device's step.
pub(crate) fn same(point: &MapPoint, written: &Value, read: &Decoded) -> bool {
    if read.quality != Quality::Good {
        return false;
    }
    let Some(read) = &read.value else { return is_off(point, written) };
    match (written.as_f64(), read.as_f64()) {
        (Some(written), Some(read)) => {
            let step = if point.kind.is_float() {
                // The device keeps as many digits as its type has.
                written.abs() * if point.length == 1 { 1e-3 } else { 1e-6 }
            } else {
                point.scale.times(1.0).abs() * 0.501
            };
            let tolerance = point.write.as_ref().and_then(|rule| rule.tolerance).unwrap_or(step);
            // Beyond 2^53 an `f64` itself is coarser than that: it is rounded once on the way out and once on the way in.
            let digits = written.abs() * 4.0 * f64::EPSILON;
            (written - read).abs() <= tolerance.max(1e-6).max(digits)
        }
        // A command may have a name and its status a number, or the other way round.
        _ => {
            written == read
                || match (written, read) {
                    (Value::Text(written), Value::Text(read)) if point.kind.is_text() => {
                        written.trim() == read.trim()
                    }
                    _ => encode(point, written)
                        .is_ok_and(|raw| encode(point, read).is_ok_and(|back| raw == back)),
                }
        }
    }
}

/// True where what was written is one of the point's raw values for off, which are read back without a number.
fn is_off(point: &MapPoint, written: &Value) -> bool {
    let whole = |words: Vec<u16>| words.iter().fold(0, |raw: u64, word| raw << 16 | u64::from(*word));
    encode(point, written).is_ok_and(|words| point.off.contains(&whole(words)))
}
