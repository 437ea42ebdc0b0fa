//! Which units answer on a line, and which profiles fit them.
//!
//! Each unit is asked one cheap question first: one register. Whatever comes back as an answer or a refusal is a sign of
//! life, but for a gateway's word that nobody is there. Those that were silent are asked once more for their
//! identification, since some devices answer nothing about registers that they don't have.
//!
//! Bounds: so many questions a unit, each with its own patience, and an end for the whole. Never: a write.

use super::guess::{self, LEAST_SCORE, Mark, Sight};
use crate::modbus::config::BusConfig;
use crate::modbus::decode::{Words, judge};
use crate::modbus::line::{DeviceIdentity, Failure, Line};
use crate::profile::modbus::ModbusMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Profiles that are named for one unit.
const MOST_SUGGESTIONS: usize = 3;
/// After so many points of a profile that the device does not have, it is not the profile's.
const MOST_MISSING: usize = 2;
/// After so many questions without an answer in a row a unit is left alone.
const MOST_SILENT: u32 = 4;
/// Connections in a row that can't be made.
const MOST_LOST: u32 = 3;

/// What is scanned, and how.
pub struct Scan {
    /// The units, in the order in which they are asked.
    pub units: Vec<u8>,
    /// How long one question waits.
    pub patience: Duration,
    /// The end for the whole.
    pub longest: Duration,
    /// Names and maps that may be suggested.
    pub profiles: Vec<(String, Arc<ModbusMap>)>,
}

/// How a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This unit is asked whether it is there.
    Asking(u8),
    /// It is.
    Found(u8),
    /// It is looked at more closely.
    LookingAt(u8),
}

/// What a scan has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanReport {
    /// The units that answer.
    pub units: Vec<FoundUnit>,
    /// Units of which something came that is no answer: noise, or two devices with one number.
    pub garbled: Vec<(u8, String)>,
    /// Units that were not asked any more, since the time was over.
    pub not_asked: Vec<u8>,
    /// What else is worth knowing.
    pub remarks: Vec<String>,
}

/// A unit that answers.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundUnit {
    /// Its number.
    pub unit: u8,
    /// What it answered to the first question.
    pub answered: String,
    /// How long that took.
    pub took: Duration,
    /// What it says that it is.
    pub identity: Option<Said>,
    /// The profiles that fit best, the best first.
    pub suggestions: Vec<Suggestion>,
}

/// A device's own words (function 43/14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its maker.
    pub vendor: String,
    /// Its product code.
    pub product: String,
    /// Its revision.
    pub revision: String,
}

impl From<&DeviceIdentity> for Said {
    fn from(identity: &DeviceIdentity) -> Self {
        let DeviceIdentity { vendor, product, revision } = identity.clone();
        Self { vendor, product, revision }
    }
}

/// A profile that may be the unit's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The profile.
    pub profile: String,
    /// How likely, 0 to 100.
    pub score: u8,
    /// Why.
    pub reasons: Vec<String>,
}

/// Scans a line. `tell` is told how it goes on.
///
/// # Errors
/// In plain words: there is no connection.
pub async fn scan(config: &BusConfig, scan: &Scan, tell: impl FnMut(Progress)) -> Result<ScanReport, String> {
    let line = Line::new(config, 1);
    let mut scanner = Scanner { line, scan, end: Instant::now() + scan.longest, lost: 0, tell };
    scanner.connect().await?;
    scanner.run().await
}

struct Scanner<'a, F> {
    line: Line,
    scan: &'a Scan,
    end: Instant,
    lost: u32,
    tell: F,
}

/// What a question brought.
type Answer<T> = Result<T, Failure>;

impl<F: FnMut(Progress)> Scanner<'_, F> {
    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Some devices hang up on whom they don't like: that must not end the scan.
    async fn connect(&mut self) -> Result<(), String> {
        while !self.line.is_connected() {
            match self.line.connect().await {
                Ok(()) => self.lost = 0,
                Err(failure) if self.lost + 1 >= MOST_LOST || self.is_over() => {
                    return Err(failure.in_words(""));
                }
                Err(_) => {
                    self.lost += 1;
                    tokio::time::sleep(self.scan.patience).await;
                }
            }
        }
        Ok(())
    }

    async fn run(&mut self) -> Result<ScanReport, String> {
        let mut report = ScanReport::default();
        let mut silent = Vec::new();
        for (n, unit) in self.scan.units.iter().copied().enumerate() {
            if self.is_over() {
                report.not_asked.extend(&self.scan.units[n..]);
                break;
            }
            self.connect().await?;
            (self.tell)(Progress::Asking(unit));
            let began = Instant::now();
            let answer = self.line.lane(0).read(unit, 3, 0, 1, self.scan.patience).await;
            match sign_of_life(&answer, "holding register 0") {
                Sign::There(answered) => self.found(&mut report, unit, answered, began.elapsed()),
                Sign::Nobody => {}
                Sign::Garbled(why) => {
                    report.garbled.push((unit, why));
                    silent.push(unit);
                }
                Sign::Silent => silent.push(unit),
            }
        }
        for unit in silent {
            if self.is_over() {
                let words = "the time was over before silent units could be asked for their identification; \
                             give more with --longest-s";
                report.remarks.push(words.to_owned());
                break;
            }
            self.connect().await?;
            (self.tell)(Progress::Asking(unit));
            let began = Instant::now();
            let answer = self.line.lane(0).identify(unit, self.scan.patience).await;
            if let Sign::There(answered) = sign_of_life(&answer, "function 43/14") {
                report.garbled.retain(|(of, _)| *of != unit);
                self.found(&mut report, unit, answered, began.elapsed());
            }
        }
        report.units.sort_by_key(|found| found.unit);
        self.look_closer(&mut report).await?;
        Ok(report)
    }

    fn found(&mut self, report: &mut ScanReport, unit: u8, answered: String, took: Duration) {
        (self.tell)(Progress::Found(unit));
        report.units.push(FoundUnit { unit, answered, took, identity: None, suggestions: Vec::new() });
    }

    async fn look_closer(&mut self, report: &mut ScanReport) -> Result<(), String> {
        let all = report.units.len() == self.scan.units.len() && report.units.len() >= 8;
        if all {
            let words = "every unit id answers: this is probably one device that does not look at it; only the first \
                         was looked at closely";
            report.remarks.push(words.to_owned());
        }
        let count = if all { 1 } else { report.units.len() };
        for n in 0..count {
            if self.is_over() {
                let words =
                    "the time was over before all units were looked at closely; give more with --longest-s";
                report.remarks.push(words.to_owned());
                break;
            }
            let unit = report.units[n].unit;
            (self.tell)(Progress::LookingAt(unit));
            let (identity, suggestions) = self.look_at(unit).await?;
            report.units[n].identity = identity.as_ref().map(Said::from);
            report.units[n].suggestions = suggestions;
        }
        Ok(())
    }

    async fn look_at(&mut self, unit: u8) -> Result<(Option<DeviceIdentity>, Vec<Suggestion>), String> {
        self.connect().await?;
        let identity = self.line.lane(0).identify(unit, self.scan.patience).await.ok();
        // What was read once is not asked for again: profiles of one make look at the same registers.
        let mut known: BTreeMap<(u8, u16, u16), Answer<Words>> = BTreeMap::new();
        let (mut suggestions, mut silent) = (Vec::new(), 0);
        for (name, map) in &self.scan.profiles {
            if self.is_over() || silent >= MOST_SILENT {
                break;
            }
            let register = match &map.identity {
                Some((function, address, _)) => {
                    match self.ask(&mut known, &mut silent, unit, (*function, *address, 1)).await? {
                        Ok(Words::Registers(words)) => words.first().copied(),
                        _ => None,
                    }
                }
                None => None,
            };
            let mark = guess::mark(map, register, identity.as_ref());
            if mark == Mark::Differs {
                continue;
            }
            let (mut seen, mut missing) = (Vec::new(), 0);
            for n in guess::samples(map) {
                let point = &map.points[n];
                let place = (point.function, point.address, point.length);
                let words = self.ask(&mut known, &mut silent, unit, place).await?;
                let sight = words.ok().and_then(|words| {
                    let zero = match &words {
                        Words::Registers(words) => words.iter().all(|word| *word == 0),
                        Words::Bits(bits) => bits.iter().all(|bit| !bit),
                    };
                    let (decoded, verdict) = judge(map, point, point.address, &words)?;
                    Some(Sight::Value { decoded, verdict, zero })
                });
                missing += usize::from(sight.is_none());
                seen.push((n, sight.unwrap_or(Sight::Nothing)));
                if missing >= MOST_MISSING && mark == Mark::None {
                    break;
                }
            }
            if missing >= MOST_MISSING && mark == Mark::None {
                continue;
            }
            if let Some(likely) = guess::judge(map, &mark, &seen).filter(|likely| likely.score >= LEAST_SCORE)
            {
                let (score, reasons) = (likely.score, likely.reasons);
                suggestions.push(Suggestion { profile: name.clone(), score, reasons });
            }
        }
        suggestions.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.profile.cmp(&b.profile)));
        suggestions.truncate(MOST_SUGGESTIONS);
        Ok((identity, suggestions))
    }

    async fn ask(
        &mut self,
        known: &mut BTreeMap<(u8, u16, u16), Answer<Words>>,
        silent: &mut u32,
        unit: u8,
        place: (u8, u16, u16),
    ) -> Result<Answer<Words>, String> {
        if let Some(answer) = known.get(&place) {
            return Ok(answer.clone());
        }
        if self.is_over() || *silent >= MOST_SILENT {
            return Ok(Err(Failure::NoConnection("the time is over".to_owned())));
        }
        self.connect().await?;
        let (function, first, count) = place;
        let answer = self.line.lane(0).read(unit, function, first, count, self.scan.patience).await;
        *silent = if matches!(answer, Ok(_) | Err(Failure::Exception(_))) { 0 } else { *silent + 1 };
        known.insert(place, answer.clone());
        Ok(answer)
    }
}

enum Sign {
    There(String),
    /// A gateway says that nobody is there.
    Nobody,
    Silent,
    Garbled(String),
}

fn sign_of_life<T>(answer: &Answer<T>, what: &str) -> Sign {
    match answer {
        Ok(_) => Sign::There(format!("answers {what}")),
        Err(Failure::Exception(10 | 11)) => Sign::Nobody,
        Err(failure @ Failure::Exception(_)) => Sign::There(failure.in_words(what)),
        Err(Failure::Crc) => Sign::Garbled(
            "an answer with a wrong check sum: noise, another speed or parity, or two devices with this unit id"
                .to_owned(),
        ),
        Err(failure @ (Failure::Garbage(_) | Failure::Half(..))) => Sign::Garbled(failure.in_words(what)),
        Err(_) => Sign::Silent,
    }
}
