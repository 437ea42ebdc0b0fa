//! `engawa pms replay`: a capture played to a house in memory.

use super::capture::{self, Entry, mark, text_of};
use super::{Fault, play, words};
use crate::config::{self, Loaded};
use clap::ValueHint;
use engawa_model::{
    ClimateDefaults, Currency, Fact, Intent, Observation, Property, PropertyId, PropertySpec, RoomId,
    RoomSpec, Season, Timestamp,
};
use engawa_pms::codec::Record;
use engawa_pms::explain::Direction;
use engawa_pms::link::{Link, Out};
use engawa_pms::{Charset, PmsConfig};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

/// Wake-ups between two records of a capture that are played; a capture with a gap of years ends in a finite time.
const MOST_WAKES: usize = 10_000;

/// What to replay, and to whom.
#[derive(clap::Args)]
pub(crate) struct Replay {
    /// The capture.
    #[arg(value_hint = ValueHint::FilePath)]
    capture: PathBuf,
    /// The configuration whose rooms and PMS are meant.
    #[arg(long, value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The name of the PMS link, where the configuration has several; the first where absent.
    #[arg(long, requires = "config")]
    link: Option<String>,
    /// Play the PMS for a running gateway at this address.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "config")]
    serve: Option<String>,
    /// So many times faster than it was; 0: as fast as the gateway takes it.
    #[arg(long, default_value_t = 1.0, requires = "serve", value_parser = speed)]
    speed: f64,
    /// The character set of the link that is served, as in the configuration.
    #[arg(long, default_value = "utf-8", requires = "serve", value_parser = charset)]
    charset: Charset,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "expected a number, such as 1, 60 or 0".to_owned())?;
    if speed.is_finite() && speed >= 0.0 { Ok(speed) } else { Err("expected 0 or more".to_owned()) }
}

/// A character set by its name in the configuration.
pub(super) fn charset(text: &str) -> Result<Charset, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
        "expected a character set as the configuration names it, such as windows-1252 or cp932".to_owned()
    })
}

/// True when it is done.
pub(super) fn replay(arguments: &Replay) -> Result<bool, Fault> {
    let entries = capture::load(&arguments.capture)?;
    if let Some(address) = &arguments.serve {
        return play::play(&entries, address, arguments.speed, arguments.charset);
    }
    let loaded = match &arguments.config {
        None => None,
        Some(path) => Some(config::load(path).map_err(|reports| {
            crate::cli::show(&reports);
            Fault::Wrong(format!("{} can't be used", path.display()))
        })?),
    };
    let house = House::new(&entries, loaded.as_ref(), arguments.link.as_deref())?;
    let mut out = crate::answer::lock();
    house.play(&entries, &mut out).map_err(|error| Fault::Failed(format!("writing: {error}")))?;
    Ok(true)
}

/// A house without walls: its link, its picture, and its clock.
struct House {
    link: Link,
    property: Property,
    now: Timestamp,
    said: Vec<String>,
    counted: BTreeMap<String, u64>,
}

impl House {
    fn new(entries: &[Entry], loaded: Option<&Loaded>, name: Option<&str>) -> Result<Self, Fault> {
        let (property, config, zone) = match loaded {
            None => (Property::new(spec_of(entries)?), PmsConfig::new("replay:1"), TimeZone::UTC),
            Some(loaded) => {
                let mut links = loaded.config.pms_links();
                let names = links
                    .iter()
                    .map(|link| link.name.clone().unwrap_or_else(|| "(without a name)".to_owned()));
                let names = names.collect::<Vec<_>>().join(", ");
                links.retain(|link| name.is_none() || link.name.as_deref() == name);
                if links.is_empty() {
                    let why = match name {
                        Some(name) => format!("the configuration has no PMS `{name}`; it has: {names}"),
                        None => "the configuration has no PMS".to_owned(),
                    };
                    return Err(Fault::Wrong(why));
                }
                let mut property = Property::new(loaded.property_spec());
                let (ids, rooms) = loaded.config.pms_of_rooms();
                property.serve(ids, rooms);
                // The configuration was checked: the zone is known.
                let zone = TimeZone::get(&loaded.config.property.zone).unwrap_or(TimeZone::UTC);
                (property, links.swap_remove(0), zone)
            }
        };
        // A capture is UTF-8, whatever the link speaks; and its gateway has described itself already.
        let config = PmsConfig { charset: Charset::Utf8, auth_key_file: None, ..config };
        let now = entries.iter().find_map(|entry| entry.at).unwrap_or(Timestamp::UNIX_EPOCH);
        let link = Link::new(config, zone);
        Ok(Self { link, property, now, said: Vec::new(), counted: BTreeMap::new() })
    }

    fn play(mut self, entries: &[Entry], out: &mut impl Write) -> io::Result<()> {
        self.observe(Fact::Started { clean: true });
        self.link.on_connected(self.now);
        self.settle();
        self.said.clear();
        for entry in entries {
            let at = entry.at.unwrap_or_else(|| later(self.now, SignedDuration::from_secs(1)));
            self.wait(at);
            let direction = entry.direction.unwrap_or(Direction::FromPms);
            writeln!(out, "{:>5} {} {}", entry.line, mark(direction), entry.text)?;
            if direction == Direction::FromPms {
                // A capture may begin in the middle of a conversation.
                if !self.link.is_alive() && !entry.id().starts_with('L') {
                    for start in ["LS|", "LA|"] {
                        self.hear(start);
                    }
                }
                self.hear(&entry.text);
            }
            for said in self.said.drain(..) {
                writeln!(out, "           {said}")?;
            }
        }
        self.summary(out)
    }

    fn summary(&self, out: &mut impl Write) -> io::Result<()> {
        let stays = self.property.stays().len();
        writeln!(out, "\nin the house at the end: {stays} stays")?;
        for room in self.property.rooms().keys() {
            let in_it: Vec<_> = self.property.stays_in(room).map(|stay| stay.id.to_string()).collect();
            if !in_it.is_empty() {
                writeln!(out, "  room {:<10} {}", room.as_str(), in_it.join(", "))?;
            }
        }
        if let Some(date) = self.property.business_date() {
            writeln!(out, "business date {date}")?;
        }
        for (name, count) in self.property.counters() {
            writeln!(out, "counted: {name} {count}")?;
        }
        Ok(())
    }

    fn hear(&mut self, text: &str) {
        let frame = [b"\x02", text.as_bytes(), b"\x03"].concat();
        self.link.on_bytes(self.now, &frame);
        self.settle();
    }

    /// Time passes until `at`; a capture whose clock jumps back stands still.
    fn wait(&mut self, at: Timestamp) {
        for _ in 0..MOST_WAKES {
            let wakes = [self.link.wake_at(), self.property.next_wake()];
            let Some(wake) = wakes.into_iter().flatten().min().filter(|wake| *wake <= at) else { break };
            self.now = self.now.max(wake);
            // The capture's own gateway kept its link up: our idle checks and time-outs would only be in the way.
            if self.property.next_wake().is_some_and(|wake| wake <= self.now) {
                self.observe(Fact::Tick);
            } else {
                break;
            }
        }
        self.now = self.now.max(at);
    }

    fn settle(&mut self) {
        while let Some(out) = self.link.poll() {
            match out {
                Out::Observe(fact) => self.observe(fact),
                Out::Send(frame) => {
                    let body = frame.get(1..frame.len().saturating_sub(1)).unwrap_or_default();
                    if let Some(record) = Record::decode(body, Charset::Utf8)
                        && !record.id().starts_with('L')
                    {
                        self.said.push(format!("the gateway would send {}", text_of(&record)));
                    }
                }
                Out::Close => {}
            }
        }
    }

    fn observe(&mut self, fact: Fact) {
        let applied = self.property.apply(&Observation::new(self.now, fact));
        self.said.extend(applied.changes.iter().map(words::of));
        for (name, count) in self.property.counters() {
            if self.counted.get(name) != Some(count) {
                self.said.push(format!("counted: {name}"));
            }
        }
        self.counted.clone_from(self.property.counters());
        for intent in applied.intents {
            match &intent {
                Intent::WritePoint { point, value, .. } => {
                    self.said.push(format!("{point} would be set to {}", value_of(value)));
                }
                _ => self.link.on_intent(self.now, &intent),
            }
        }
    }
}

fn value_of(value: &engawa_model::Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(at)
}

/// A house with the rooms that the capture names.
fn spec_of(entries: &[Entry]) -> Result<PropertySpec, Fault> {
    let rooms: BTreeSet<&str> = entries
        .iter()
        .flat_map(|entry| entry.text.split('|'))
        .filter_map(|part| part.strip_prefix("RN").or_else(|| part.strip_prefix("RO")))
        .filter(|room| !room.is_empty())
        .collect();
    // ISO 4217 for no currency: a capture does not name its.
    let currency = Currency::new("XXX").ok_or_else(|| Fault::Failed("no currency".to_owned()))?;
    Ok(PropertySpec {
        id: PropertyId::from("replay"),
        zone: "UTC".to_owned(),
        currency,
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 18.0,
            eco_cooling_c: 26.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        },
        rooms: rooms.into_iter().map(|id| RoomSpec { id: RoomId::from(id) }).collect(),
        devices: Vec::new(),
        resync_every_s: 3600,
        order_ttl_s: 3600,
    })
}
