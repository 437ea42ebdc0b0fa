//! One point of a live device, read or written on purpose.
//!
//! A write is sent once. What the device has afterwards is read back, also where the answer to the write was lost; what
//! that means is for whoever asked.

use super::{PointAnswer, answer};
use crate::modbus::asks::{self, Answer, Manner, WriteFailure};
use crate::modbus::config::BusConfig;
use crate::modbus::decode::{Decoded, encode, same};
use crate::modbus::line::{Failure, Line, exception};
use crate::profile::modbus::{MapPoint, ModbusMap};
use engawa_model::Value;
use std::sync::Arc;
use std::time::Duration;

/// How a write ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The device has the value.
    Done(PointAnswer),
    /// The device has taken it, and its profile says that it can't be read back.
    Unverified,
    /// The device has taken it and has another value all the same.
    Differs(PointAnswer),
    /// Whether the device has taken it is not known: why, and what it has now, where it says so.
    Doubtful(String, Option<PointAnswer>),
    /// Nothing was written: why.
    Not(String),
}

/// What a point had before a write, and how that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// What it had; or why that is not known.
    pub before: Result<PointAnswer, String>,
    /// How it ended.
    pub ending: Ending,
}

/// Whether the profile lets `value` be written to the point `name`; if so, what that is in registers.
///
/// # Errors
/// In plain words: there is no such point, it can't be written, or not with this value.
pub fn may_write(map: &ModbusMap, name: &str, value: &Value) -> Result<Vec<u16>, String> {
    let point = find(map, name)?;
    if point.write.as_ref().is_some_and(|rule| rule.never_in_routine) {
        return Err(format!(
            "{name} wears out the device's memory (never_in_routine), so it is not written by its name; where it must \
             be, write its register by --table and --address"
        ));
    }
    encode(point, value)
}

/// Reads the point `name` once.
///
/// # Errors
/// In plain words: no such point, no connection, or why the device does not answer.
pub async fn read(config: &BusConfig, unit: u8, map: &ModbusMap, name: &str) -> Result<PointAnswer, String> {
    let point = find(map, name)?;
    let mut line = Line::new(config, 1);
    line.connect().await.map_err(|failure| failure.in_words(""))?;
    read_on(&line, unit, map, point, longest(config, map)).await
}

/// Writes `value` to the point `name`, once, and reads it back.
///
/// # Errors
/// In plain words: what the profile forbids, or there is no connection. Nothing was written then.
pub async fn write(
    config: &BusConfig,
    unit: u8,
    map: &Arc<ModbusMap>,
    name: &str,
    value: &Value,
) -> Result<Written, String> {
    may_write(map, name, value)?;
    let number = map.position(name).ok_or_else(|| no_point(map, name))?;
    let point = find(map, name)?;
    let longest = longest(config, map);
    let mut line = Line::new(config, 1);
    line.connect().await.map_err(|failure| failure.in_words(""))?;
    let before = read_on(&line, unit, map, point, longest).await;
    tokio::time::sleep(map.pause).await;
    let manner = Manner { unit, longest, map: Arc::clone(map) };
    let written = match asks::write(line.lane(0), manner, number, value.clone()).await {
        Answer::Written(written) => written,
        _ => Ok(()),
    };
    let rule = point.write.as_ref();
    let (verify, settle) = rule.map_or((false, Duration::ZERO), |rule| (rule.verify, rule.settle));
    let ending = match written {
        Err(WriteFailure::Refused(reason)) => Ending::Not(reason),
        Err(WriteFailure::Unsent(failure)) => {
            Ending::Not(format!("what must be read first: {}", failure.in_words("that read")))
        }
        Err(WriteFailure::Sent(Failure::Exception(code))) => {
            Ending::Not(format!("the device refuses it: exception {code} ({})", exception(code)))
        }
        Err(WriteFailure::Sent(failure)) => {
            // Reading changes nothing; a second write might.
            tokio::time::sleep(settle.max(map.pause)).await;
            if !line.is_connected() {
                // Where there is no connection any more, nothing is read either, and that is said.
                let _ = line.connect().await;
            }
            let now = read_on(&line, unit, map, point, longest).await.ok();
            Ending::Doubtful(failure.in_words("the write"), now)
        }
        Ok(()) if !verify => Ending::Unverified,
        Ok(()) => {
            tokio::time::sleep(settle.max(map.pause)).await;
            match read_on(&line, unit, map, point, longest).await {
                Ok(now) if is_same(point, value, &now) => Ending::Done(now),
                Ok(now) => Ending::Differs(now),
                Err(reason) => Ending::Doubtful(format!("the device took it; read back: {reason}"), None),
            }
        }
    };
    Ok(Written { before, ending })
}

fn is_same(point: &MapPoint, written: &Value, now: &PointAnswer) -> bool {
    same(point, written, &Decoded { value: now.value.clone(), quality: now.quality })
}

async fn read_on(
    line: &Line,
    unit: u8,
    map: &ModbusMap,
    point: &MapPoint,
    longest: Duration,
) -> Result<PointAnswer, String> {
    let place = format!("{} {}", point.table.in_words(), point.address);
    let words = line.lane(0).read(unit, point.function, point.address, point.length, longest).await;
    let words = words.map_err(|failure| failure.in_words(&place))?;
    answer(map, point, words).ok_or_else(|| "an answer of another kind".to_owned())
}

fn longest(config: &BusConfig, map: &ModbusMap) -> Duration {
    map.timeout.unwrap_or(Duration::from_millis(u64::from(config.timeout_ms)))
}

fn find<'a>(map: &'a ModbusMap, name: &str) -> Result<&'a MapPoint, String> {
    map.points.iter().find(|point| *point.name == *name).ok_or_else(|| no_point(map, name))
}

fn no_point(map: &ModbusMap, name: &str) -> String {
    let names = map.points.iter().map(|point| &*point.name);
    match engawa_diag::nearest(name, names.clone()) {
        Some(near) => format!("there is no point `{name}`; is `{near}` meant?"),
        None => format!("there is no point `{name}`; there is: {}", names.collect::<Vec<_>>().join(", ")),
    }
}
