//! A recorded day: one JSON object a line. The first is the [`Header`]: the house and its stored state at the beginning;
//! each further one an observation.
//!
//! Personal data is left out when it is written, not when it is read: only facts that rules can ask for are recorded,
//! and of a guest nothing but stay, room, dates, language and VIP code. What the house itself wrote is not recorded: under
//! other rules it would not have been written.

use engawa_model::firewall::FirewallConfig;
use engawa_model::rules::RuleFile;
use engawa_model::{
    Action, Fact, LinkId, ListGuard, Observation, PMS_LINK, Property, PropertySpec, RoomId, Stay, Timestamp,
};
use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::BufRead;

/// The version of the format.
pub const VERSION: u32 = 1;
/// Observations that a day may have; a file with more is refused.
pub const MOST_OBSERVATIONS: usize = 5_000_000;
/// Broken lines that are named; further ones are counted.
pub const MOST_NAMED: usize = 20;
/// The longest line, bytes.
const MOST_LINE: u64 = 256 << 20;

/// The first line of a recorded day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub engawa_day: u32,
    /// When the recording began.
    pub begun: Timestamp,
    /// The house.
    pub property: PropertySpec,
    /// Its PMS, where there are several or the only one has a name: the first has the rooms that are not in `pms_rooms`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkId>,
    /// The rooms of further PMS.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pms_rooms: BTreeMap<RoomId, LinkId>,
    /// When it does not believe a list.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub list_guard: ListGuard,
    /// The rules of that day; days of older releases do not say them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<InForce>,
    /// Its stored state, without personal data: kind, key, document.
    pub state: Vec<(String, String, serde_json::Value)>,
}

/// What governed the house on the recorded day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InForce {
    /// The rule files, those that count less first.
    pub files: Vec<RuleFile>,
    /// What might be written.
    pub firewall: FirewallConfig,
    /// When guests arrived of whom only the day was known.
    #[serde(with = "engawa_model::rules::clock")]
    pub arrival_time: Time,
}

/// A recorded day.
#[derive(Clone, Debug)]
pub struct Day {
    /// Its first line.
    pub header: Header,
    /// What happened, in order.
    pub observations: Vec<Observation>,
    /// Observations that could not be recorded.
    pub gaps: u64,
    /// What could not be read of it.
    pub broken: Broken,
}

/// Lines of a day that can't be read, as a power cut leaves them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// The last line has no end: it was being written.
    pub cut: bool,
    /// Lines in the middle, from 1, and what is wrong with each: the first [`MOST_NAMED`].
    pub named: Vec<(usize, String)>,
    /// How many lines in the middle there are in all.
    pub count: u64,
}

/// What is done with a broken line in the middle of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// It is passed over and counted.
    Lenient,
    /// The day is refused.
    Strict,
}

/// Why a day can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DayError {
    /// The file.
    #[error("line {line} can't be read")]
    Io {
        /// From 1.
        line: usize,
        /// Why.
        source: std::io::Error,
    },
    /// Its form.
    #[error(
        "line {line}, column {column}: {why}; a recorded day has one JSON object a line, as the agent writes it with [rules] record = true"
    )]
    Form {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// Why.
        why: String,
    },
    /// A day of another release.
    #[error(
        "the day has version {0} and this release reads {VERSION}: use the release that recorded it, or a newer one"
    )]
    Version(u32),
    /// Nothing in it.
    #[error("the file is empty; a recorded day begins with a line about the house")]
    Empty,
    /// More than is read.
    #[error(
        "the day has more than {MOST_OBSERVATIONS} observations; take a part of it: its first line and some that follow"
    )]
    TooMany,
    /// Out of order.
    #[error(
        "line {line}: it happened before the line above it; a day is in the order in which things happened"
    )]
    Order {
        /// From 1.
        line: usize,
    },
}

impl Header {
    /// The house as it is at `now`, without personal data.
    pub fn of(property: &Property, now: Timestamp) -> Self {
        const KINDS: [&str; 12] = [
            "meta",
            "room",
            "stay",
            "point",
            "device",
            "link",
            "order",
            "alert",
            "room_rules",
            "arrival",
            "charge",
            "writes",
        ];
        let mut state = Vec::new();
        for entity in property.entities().into_iter().filter(|entity| KINDS.contains(&entity.kind())) {
            let document = property.save(&entity).and_then(|body| serde_json::from_slice(&body).ok());
            let Some(document) = document else { continue };
            let document = if entity.kind() == "stay" { without_names(document) } else { document };
            state.push((entity.kind().to_owned(), entity.key(), document));
        }
        let (links, rooms) = property.served();
        let usual = [LinkId::from(PMS_LINK)];
        Self {
            engawa_day: VERSION,
            begun: now,
            property: property.spec().clone(),
            links: if links == usual { Vec::new() } else { links.to_vec() },
            pms_rooms: rooms.clone(),
            list_guard: property.list_guard(),
            in_force: None,
            state,
        }
    }

    /// The same, with the rules that govern the house.
    #[must_use]
    pub fn under(self, in_force: InForce) -> Self {
        Self { in_force: Some(in_force), ..self }
    }
}

fn is_usual(guard: &ListGuard) -> bool {
    *guard == ListGuard::default()
}

/// The document of a stay without what names its guest.
fn without_names(document: serde_json::Value) -> serde_json::Value {
    let Ok(stay) = serde_json::from_value::<Stay>(document) else { return serde_json::Value::Null };
    let stay = Stay { name: None, first_name: None, title: None, phone: None, email: None, ..stay };
    serde_json::to_value(stay).unwrap_or_default()
}

/// What of an observation is recorded, given the property before it; `None`: nothing.
pub fn masked(observation: &Observation, property: &Property) -> Option<Observation> {
    Some(Observation::new(observation.at, masked_fact(&observation.fact, property)?))
}

fn masked_fact(fact: &Fact, property: &Property) -> Option<Fact> {
    Some(match fact {
        // What a further PMS tells is told as it is, of that PMS.
        Fact::AtLink { link, what } => {
            Fact::AtLink { link: link.clone(), what: Box::new(masked_fact(what, property)?) }
        }
        Fact::GuestSeen { stay, room, from, presence, listed, guest, flags } => Fact::GuestSeen {
            stay: stay.clone(),
            room: room.clone(),
            from: from.clone(),
            presence: *presence,
            listed: *listed,
            guest: engawa_model::GuestRecord {
                language: guest.language.clone(),
                arrival: guest.arrival,
                departure: guest.departure,
                vip: guest.vip.clone(),
                ..Default::default()
            },
            flags: flags.clone(),
        },
        Fact::Reported { point, value, .. } => {
            // The echo of an order of the house: under other rules there would be none.
            let echo = property
                .orders()
                .values()
                .any(|order| order.point == *point && Some(&order.value) == value.as_ref());
            if echo {
                return None;
            }
            fact.clone()
        }
        Fact::Asked { command } => match &command.action {
            Action::SetRole { .. }
            | Action::SetPoint { .. }
            | Action::RoomStatus { .. }
            | Action::Service { .. }
            | Action::ExpectArrival { .. }
            | Action::ForgetArrival { .. }
            | Action::AskList { .. }
            | Action::SetSetting { .. }
            | Action::MergeSetting { .. }
            | Action::AcknowledgeAlert { .. } => fact.clone(),
            _ => return None,
        },
        Fact::GuestGone { .. }
        | Fact::RoomFlagged { .. }
        | Fact::ResyncBegun
        | Fact::ResyncDone
        | Fact::NightAuditBegun
        | Fact::NightAuditDone { .. }
        | Fact::PmsDate { .. }
        | Fact::Link { .. }
        | Fact::Health { .. }
        | Fact::ArrivalExpected { .. }
        | Fact::ArrivalCancelled { .. } => fact.clone(),
        _ => return None,
    })
}

/// One line of a day, without its end.
pub fn line(of: &impl Serialize) -> String {
    // Our own types have no failing case in JSON: keys are strings.
    serde_json::to_string(of).unwrap_or_default()
}

impl Day {
    /// Reads a day. What a power cut leaves of it is read, too: a last line without an end is passed over, and so is a broken
    /// line in the middle unless `strictness` refuses it. The first line is the house: without it there is no day.
    ///
    /// # Errors
    /// Which line is wrong, and how it should be.
    pub fn read(mut from: impl BufRead, strictness: Strictness) -> Result<Self, DayError> {
        let mut header: Option<Header> = None;
        let mut day = Reading::default();
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let mut limited = std::io::Read::take(&mut from, MOST_LINE);
            let read = limited.read_until(b'\n', &mut text);
            if read.map_err(|source| DayError::Io { line: number, source })? == 0 {
                break;
            }
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let ended = text.ends_with(b"\n");
            if header.is_none() {
                header = Some(first(&text).map_err(|fault| fault.at(number))?);
                continue;
            }
            match day.line(&text) {
                Ok(()) => {}
                Err(Fault::Form(..)) if !ended => day.broken.cut = true,
                Err(Fault::Form(column, why)) if strictness == Strictness::Lenient => {
                    day.broken.count += 1;
                    if day.broken.named.len() < MOST_NAMED {
                        day.broken.named.push((number, format!("column {column}: {why}")));
                    }
                }
                Err(fault) => return Err(fault.at(number)),
            }
        }
        let Reading { observations, gaps, broken } = day;
        Ok(Self { header: header.ok_or(DayError::Empty)?, observations, gaps, broken })
    }
}

/// What is wrong with one line.
enum Fault {
    /// Column, from 1, and why.
    Form(usize, String),
    Order,
    Other(DayError),
}

impl Fault {
    fn at(self, line: usize) -> DayError {
        match self {
            Self::Form(column, why) => DayError::Form { line, column, why },
            Self::Order => DayError::Order { line },
            Self::Other(error) => error,
        }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        let why = error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
        Self::Form(error.column().max(1), why)
    }
}

/// The house, of a day's first line.
fn first(text: &[u8]) -> Result<Header, Fault> {
    let versioned: serde_json::Value = serde_json::from_slice(text)?;
    let version = versioned.get("engawa_day").and_then(serde_json::Value::as_u64);
    if let Some(version) = version.filter(|version| *version != u64::from(VERSION)) {
        return Err(Fault::Other(DayError::Version(u32::try_from(version).unwrap_or(u32::MAX))));
    }
    Ok(serde_json::from_slice(text)?)
}

/// A day that is being read.
#[derive(Default)]
struct Reading {
    observations: Vec<Observation>,
    gaps: u64,
    broken: Broken,
}

impl Reading {
    /// Takes one line after the first.
    fn line(&mut self, text: &[u8]) -> Result<(), Fault> {
        // An untagged enum would not say what is wrong: look first.
        let value: serde_json::Value = serde_json::from_slice(text)?;
        if let Some(gap) = value.get("gap").and_then(serde_json::Value::as_u64) {
            self.gaps = self.gaps.saturating_add(gap);
            return Ok(());
        }
        let observation: Observation = serde_json::from_slice(text)?;
        if self.observations.last().is_some_and(|last| observation.at < last.at) {
            return Err(Fault::Order);
        }
        if self.observations.len() >= MOST_OBSERVATIONS {
            return Err(Fault::Other(DayError::TooMany));
        }
        self.observations.push(observation);
        Ok(())
    }
}
