//! Tools for whoever installs devices: a device read once by its profile; a line scanned for units ([`scan`]); what a
//! unit bears ([`probe`]); one point read or written on purpose ([`access`]).
//!
//! Each point is asked for on its own, so that what the device refuses has a name; the planner's requests come with the
//! bus. Never: a write that nobody asked for.

pub mod access;
mod guess;
pub mod probe;
pub mod scan;

use super::config::BusConfig;
use super::decode::{Words, judge};
use super::line::{DeviceIdentity, Failure, Line};
use crate::profile::modbus::{DeviceIdRule, MapPoint, ModbusMap, Table};
use engawa_model::{Quality, Value};
use std::sync::Arc;
use std::time::Duration;

/// After so many points without any answer the others are not asked for: nobody waits a minute for a dead line.
const MOST_SILENT: u32 = 3;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// One for each way of telling the device that the profile has; none where it has none.
    pub identity: Vec<IdentityFinding>,
    /// The points, in the profile's order.
    pub points: Vec<PointFinding>,
}

impl Findings {
    /// True where the device is the profile's, and every point answered. A sensor that is missing has answered too.
    pub fn fits(&self) -> bool {
        self.identity.iter().all(|identity| identity.fits)
            && self.points.iter().all(|point| point.answer.is_ok())
    }
}

/// Whether the device is one of the profile's make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFinding {
    /// What was asked for, and what was expected.
    pub expected: String,
    /// What it says, or why it says nothing.
    pub found: String,
    /// True where it fits.
    pub fits: bool,
}

/// One point.
#[derive(Clone, Debug, PartialEq)]
pub struct PointFinding {
    /// Its name.
    pub name: Arc<str>,
    /// Its unit (UCUM).
    pub unit: Option<Arc<str>>,
    /// Its address space.
    pub table: Table,
    /// Its wire address.
    pub address: u16,
    /// What came; or why nothing did, in plain words.
    pub answer: Result<PointAnswer, String>,
}

/// What came for one point.
#[derive(Clone, Debug, PartialEq)]
pub struct PointAnswer {
    /// The registers as they came; of a bit 0 or 1.
    pub raw: Vec<u16>,
    /// What they mean.
    pub value: Option<Value>,
    /// Good, or bad.
    pub quality: Quality,
    /// Whether that can be, in plain words.
    pub verdict: String,
}

/// Reads every point of `map` once, from the device `unit` on this line.
///
/// # Errors
/// In plain words: there is no connection. What the device does not answer is a finding and no error.
pub async fn read(config: &BusConfig, unit: u8, map: &ModbusMap) -> Result<Findings, String> {
    let mut asker = Asker {
        line: Line::new(config, 1),
        unit,
        longest: map.timeout.unwrap_or(Duration::from_millis(u64::from(config.timeout_ms))),
        pause: map.pause,
        attempts: u32::from(map.retries) + 1,
        first: true,
    };
    asker.line.connect().await.map_err(|failure| failure.in_words(""))?;
    let identity = asker.identity(map).await;
    let mut points = Vec::with_capacity(map.points.len());
    let mut silent = 0;
    for point in &map.points {
        let answer = if silent < MOST_SILENT {
            asker.point(map, point).await
        } else {
            Err(Failure::NoConnection(format!("not asked: {MOST_SILENT} points before it had no answer")))
        };
        silent = match &answer {
            Ok(_) | Err(Failure::Exception(_)) => 0,
            Err(_) => silent + 1,
        };
        points.push(PointFinding {
            name: point.name.clone(),
            unit: point.unit.clone(),
            table: point.table,
            address: point.address,
            answer: answer.map_err(|failure| {
                failure.in_words(&format!("{} {}", point.table.in_words(), point.address))
            }),
        });
    }
    Ok(Findings { identity, points })
}

/// One device on one line, and how it is asked.
struct Asker {
    line: Line,
    unit: u8,
    longest: Duration,
    pause: Duration,
    attempts: u32,
    first: bool,
}

impl Asker {
    /// The device's own pace.
    async fn wait(&mut self) {
        if !std::mem::take(&mut self.first) {
            tokio::time::sleep(self.pause).await;
        }
    }

    /// Reads, and again where nothing came: reading changes nothing.
    async fn read(&mut self, function: u8, first: u16, count: u16) -> Result<Words, Failure> {
        let mut tried = 1;
        loop {
            self.wait().await;
            match self.line.lane(0).read(self.unit, function, first, count, self.longest).await {
                Err(failure) if !matches!(failure, Failure::Exception(_)) && tried < self.attempts => {
                    tried += 1
                }
                answer => return answer,
            }
        }
    }

    async fn point(&mut self, map: &ModbusMap, point: &MapPoint) -> Result<PointAnswer, Failure> {
        let words = self.read(point.function, point.address, point.length).await?;
        answer(map, point, words).ok_or_else(|| Failure::Garbage("an answer of another kind".to_owned()))
    }

    async fn identity(&mut self, map: &ModbusMap) -> Vec<IdentityFinding> {
        let mut findings = Vec::new();
        if let Some((function, address, expect)) = &map.identity {
            let expected = expect.iter().map(|word| format!("{word:#06x}")).collect::<Vec<_>>().join(" or ");
            let (found, fits) = match self.read(*function, *address, 1).await {
                Ok(Words::Registers(words)) => {
                    let word = words.first().copied().unwrap_or_default();
                    (format!("{word:#06x}"), expect.contains(&word))
                }
                Ok(Words::Bits(_)) => ("an answer of another kind".to_owned(), false),
                Err(failure) => (failure.in_words(&format!("register {address}")), false),
            };
            let expected = format!("register {address} (function {function}) is {expected}");
            findings.push(IdentityFinding { expected, found, fits });
        }
        if let Some(rule) = &map.device_id {
            self.wait().await;
            let (found, fits) = match self.line.lane(0).identify(self.unit, self.longest).await {
                Ok(id) => {
                    let fits = rule.fits(&id.vendor, &id.product, &id.revision);
                    let DeviceIdentity { vendor, product, revision } = id;
                    (format!("vendor `{vendor}`, product `{product}`, revision `{revision}`"), fits)
                }
                Err(failure) => (failure.in_words("function 43/14"), false),
            };
            findings.push(IdentityFinding { expected: rule.in_words(), found, fits });
        }
        findings
    }
}

/// What words read for a point mean.
fn answer(map: &ModbusMap, point: &MapPoint, words: Words) -> Option<PointAnswer> {
    let (decoded, verdict) = judge(map, point, point.address, &words)?;
    let raw = match words {
        Words::Registers(registers) => registers,
        Words::Bits(bits) => bits.into_iter().map(u16::from).collect(),
    };
    Some(PointAnswer { raw, value: decoded.value, quality: decoded.quality, verdict: verdict.in_words() })
}

impl DeviceIdRule {
    /// True where the device's own words begin as they must.
    pub(crate) fn fits(&self, vendor: &str, product: &str, revision: &str) -> bool {
        let begins = |said: &str, must: &Option<String>| {
            must.as_ref().is_none_or(|must| said.trim_start().starts_with(must.as_str()))
        };
        begins(vendor, &self.vendor) && begins(product, &self.product) && begins(revision, &self.revision)
    }

    /// In plain words.
    pub(crate) fn in_words(&self) -> String {
        let parts = [("vendor", &self.vendor), ("product", &self.product), ("revision", &self.revision)];
        let parts: Vec<String> = parts
            .into_iter()
            .filter_map(|(what, must)| must.as_ref().map(|must| format!("{what} begins with `{must}`")))
            .collect();
        format!("function 43/14: {}", parts.join(", "))
    }
}
