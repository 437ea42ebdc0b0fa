//! Lists of stays in files, for houses without a PMS that could be asked: `*.csv`, and `*.ics` with one room each.
//!
//! The files of one folder together are the whole house: what they no longer say has ended. They are taken as a whole or
//! not at all. Reading is pure: text and time in; stays, faults and facts out. [`Watcher`] looks at the folder.
//!
//! Never: a guest's name in a fault; a folder of which one file can't be read taken for the house.

mod agenda;
mod csv;
mod ics;
mod watch;

pub use agenda::Agenda;
pub use watch::{Watcher, read_file, read_folder};

use super::config::{ImportConfig, time};
use engawa_model::{GuestRecord, RoomId, StayId, Timestamp};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The largest file, bytes.
pub const MOST_BYTES: u64 = 8 << 20;
/// The most stays in all files together.
pub const MOST_STAYS: usize = 20_000;
/// Faults that are told of one file.
const MOST_FAULTS: usize = 50;

/// A stay as a file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its number, or one made of room and arrival.
    pub stay: StayId,
    /// Its room.
    pub room: RoomId,
    /// In the house from here...
    pub from: Timestamp,
    /// ... until here.
    pub until: Timestamp,
    /// True where the list names the time of arrival, and not its day alone.
    pub timed: bool,
    /// The guest.
    pub guest: GuestRecord,
}

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file's name.
    pub file: String,
    /// Its line, from 1.
    pub line: u64,
    /// The column: of a table the field's number, of a calendar the character, from 1.
    pub column: u64,
    /// What is wrong and what was expected; never what was there of a guest.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.what)
    }
}

/// What reading has to know of the house.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its zone.
    pub zone: TimeZone,
    /// Its rooms.
    pub rooms: BTreeSet<RoomId>,
    /// When a stay begins whose arrival has no time.
    pub check_in: Time,
    /// When a stay ends whose departure has no time.
    pub check_out: Time,
}

impl Reading {
    /// As the house is configured.
    pub fn new(config: &ImportConfig, zone: TimeZone, rooms: impl IntoIterator<Item = RoomId>) -> Self {
        Self {
            zone,
            rooms: rooms.into_iter().collect(),
            // Checked by `HostedConfig::validate`.
            check_in: time(&config.check_in).unwrap_or(Time::midnight()),
            check_out: time(&config.check_out).unwrap_or(Time::midnight()),
        }
    }

    /// The stays of all files, by name and text.
    ///
    /// # Errors
    /// Every mistake, up to a bound for each file.
    pub fn read<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<Listed>, Vec<Mistake>> {
        let (mut stays, mut mistakes) = (Vec::new(), Vec::new());
        for (name, text) in files {
            let mut file = File { name, reading: self, stays: Vec::new(), mistakes: Vec::new() };
            // A mark at the beginning is an editor's, not the list's.
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            if name.to_ascii_lowercase().ends_with(".ics") {
                ics::read(&mut file, text);
            } else {
                csv::read(&mut file, text);
            }
            file.mistakes.truncate(MOST_FAULTS);
            mistakes.append(&mut file.mistakes);
            stays.append(&mut file.stays);
        }
        let mut seen: BTreeMap<StayId, (String, u64)> = BTreeMap::new();
        for (at, listed) in &stays {
            if let Some((file, line)) = seen.get(&listed.stay) {
                let what = format!("this stay is there already ({file}, line {line}): each once");
                mistakes.push(Mistake { what, ..at.clone() });
            } else {
                seen.insert(listed.stay.clone(), (at.file.clone(), at.line));
            }
        }
        if stays.len() > MOST_STAYS {
            let at = stays[MOST_STAYS].0.clone();
            mistakes.push(Mistake { what: format!("there are more than {MOST_STAYS} stays"), ..at });
        }
        if mistakes.is_empty() {
            Ok(stays.into_iter().map(|(_, listed)| listed).collect())
        } else {
            Err(mistakes)
        }
    }

    fn instant(&self, at: DateTime) -> Option<Timestamp> {
        // An hour that does not exist is the moment the clock jumps; one that comes twice is the first.
        self.zone.to_ambiguous_timestamp(at).compatible().ok()
    }
}

/// A file that is being read.
struct File<'a> {
    name: &'a str,
    reading: &'a Reading,
    /// Each with its place.
    stays: Vec<(Mistake, Listed)>,
    mistakes: Vec<Mistake>,
}

impl File<'_> {
    fn at(&self, line: u64, column: u64) -> Mistake {
        Mistake { file: self.name.to_owned(), line, column, what: String::new() }
    }

    fn wrong(&mut self, line: u64, column: u64, what: impl Into<String>) {
        let at = self.at(line, column);
        self.mistakes.push(Mistake { what: what.into(), ..at });
    }
}

/// A day, or a day and a time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Day(Date),
    Local(DateTime),
    Instant(Timestamp),
}

impl When {
    fn is_timed(self) -> bool {
        !matches!(self, Self::Day(_))
    }

    fn instant(self, reading: &Reading, usual: Time) -> Option<Timestamp> {
        match self {
            Self::Day(day) => reading.instant(day.to_datetime(usual)),
            Self::Local(at) => reading.instant(at),
            Self::Instant(at) => Some(at),
        }
    }
}

#[cfg(test)]
mod lists;
#[cfg(test)]
mod tests;
