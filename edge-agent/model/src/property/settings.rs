//! Settings at the house: what is known of each, the log, and how they take effect.
//!
//! The configuration's values are underneath; a setting that somebody has changed, at either end, is on top of them until
//! it is given back. They take effect with the observation that changes them: rooms that stand at comfort or eco go to the
//! new one, where no rule has them and no choice of people stands; every room's rules are looked at again.
//!
//! Bounds: one register for each field of the table; [`MOST_ENTRIES`] entries of the log, the oldest go; preferences of
//! stays that are in the house alone.

use super::conditions::sooner;
use super::{Applied, ClimateDefaults, Entity, Property, Season};
use crate::arbitration::Occasion;
use crate::settings::{self, Clock, Field, Node, Note, Register, Scope, SettingValue};
use crate::{Change, CommandSource, RoomId, StayId, Timestamp};
use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Entries of the log that are kept.
const MOST_ENTRIES: usize = 1_000;
/// Why a set point is ordered when a setting has changed.
const REASON: &str = "settings";
/// The switch without which no preference leaves the house.
const SHARE: &str = "privacy.share-preferences";

/// An entry of the log of settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingEntry {
    /// When it was noted here.
    pub at: Timestamp,
    /// The setting.
    pub name: String,
    /// What.
    #[serde(flatten)]
    pub note: Note,
}

/// What the rules read, made anew whenever a setting changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InForce {
    pub(super) climate: ClimateDefaults,
    pub(super) lowest_c: Option<f64>,
    pub(super) highest_c: Option<f64>,
    pub(super) quiet: Option<(Time, Time)>,
    pub(super) pre_arrival: bool,
    pub(super) guest_texts: bool,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) registers: BTreeMap<String, Register>,
    pub(super) preferences: BTreeMap<StayId, BTreeMap<String, Register>>,
    pub(super) log: BTreeMap<u64, SettingEntry>,
    pub(super) clock: Clock,
    /// The configuration's.
    defaults: BTreeMap<&'static str, SettingValue>,
    pub(super) in_force: InForce,
    /// What was in force before the configuration was read again, until the next observation.
    before: Option<InForce>,
}

impl Settings {
    pub(super) fn new(climate: &ClimateDefaults) -> Self {
        let in_force = InForce {
            climate: climate.clone(),
            lowest_c: None,
            highest_c: None,
            quiet: None,
            pre_arrival: true,
            guest_texts: true,
        };
        Self {
            registers: BTreeMap::new(),
            preferences: BTreeMap::new(),
            log: BTreeMap::new(),
            clock: Clock::default(),
            defaults: defaults(climate),
            in_force,
            before: None,
        }
    }

    fn value(&self, name: &str) -> Option<&SettingValue> {
        let written = self.registers.get(name).and_then(|register| register.value(settings::field(name)?));
        written.or_else(|| self.defaults.get(name))
    }

    /// What the guest of `stay` prefers, where that was noted and not taken back.
    pub(super) fn preferred(&self, stay: &StayId, name: &str) -> Option<&SettingValue> {
        self.preferences.get(stay)?.get(name)?.value(settings::field(name)?)
    }

    fn is_on(&self, name: &str) -> bool {
        self.value(name) == Some(&SettingValue::Switch(true))
    }

    /// Reads what is in force anew.
    pub(super) fn refresh(&mut self) {
        let number = |name| self.value(name).and_then(SettingValue::number);
        let text = |name| match self.value(name) {
            Some(SettingValue::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let time = |name| text(name).and_then(settings::time);
        let mut climate = self.in_force.climate.clone();
        climate.comfort_c = number("climate.comfort-c").unwrap_or(climate.comfort_c);
        // Two settings may be right each and wrong together: eco never costs more than comfort.
        climate.eco_heating_c =
            number("climate.eco-heating-c").unwrap_or(climate.eco_heating_c).min(climate.comfort_c);
        climate.eco_cooling_c =
            number("climate.eco-cooling-c").unwrap_or(climate.eco_cooling_c).max(climate.comfort_c);
        climate.season = match text("climate.season") {
            Some("cooling") => Season::Cooling,
            _ => Season::Heating,
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a day of seconds")]
        if let Some(seconds) = number("climate.guest-hold-s") {
            climate.guest_hold_s = seconds as u32;
        }
        self.in_force = InForce {
            climate,
            lowest_c: number("climate.lowest-c"),
            highest_c: number("climate.highest-c"),
            quiet: time("quiet.from").zip(time("quiet.until")),
            pre_arrival: self.is_on("feature.pre-arrival"),
            guest_texts: self.is_on("feature.guest-texts"),
        };
    }

    pub(super) fn entities(&self) -> Vec<Entity> {
        let mut all: Vec<Entity> = self.registers.keys().cloned().map(Entity::Setting).collect();
        all.extend(self.preferences.keys().cloned().map(Entity::Preferences));
        all.extend(self.log.keys().copied().map(Entity::SettingEntry));
        if self.clock != Clock::default() {
            all.push(Entity::SettingClock);
        }
        all
    }
}

/// What counts without `[settings]`.
fn defaults(climate: &ClimateDefaults) -> BTreeMap<&'static str, SettingValue> {
    let number = SettingValue::Number;
    let season = match climate.season {
        Season::Heating => "heating",
        Season::Cooling => "cooling",
    };
    BTreeMap::from([
        ("climate.comfort-c", number(climate.comfort_c)),
        ("climate.eco-heating-c", number(climate.eco_heating_c)),
        ("climate.eco-cooling-c", number(climate.eco_cooling_c)),
        ("climate.season", SettingValue::Text(season.to_owned())),
        ("climate.guest-hold-s", number(f64::from(climate.guest_hold_s))),
        (SHARE, SettingValue::Switch(false)),
        ("feature.guest-texts", SettingValue::Switch(true)),
        ("feature.pre-arrival", SettingValue::Switch(true)),
    ])
}

/// A field of the house, or of a stay.
fn known(name: &str, scope: Scope) -> Result<&'static Field, String> {
    let unknown = || {
        format!(
            "there is no setting `{name}` in this release of the gateway: `engawa settings list` has all of them"
        )
    };
    let field = settings::field(name).ok_or_else(unknown)?;
    match (field.scope, scope) {
        (Scope::House, Scope::Stay) => Err(format!("`{name}` is a setting of the house, not of a guest")),
        (Scope::Stay, Scope::House) => Err(format!("`{name}` is a guest's: it needs the guest's stay")),
        _ => Ok(field),
    }
}

impl Property {
    /// The configuration's values of settings that have no place of their own in it. Those that are none of the table, or
    /// can't be, are left out.
    pub fn set_defaults<'a>(&mut self, values: impl IntoIterator<Item = (&'a str, SettingValue)>) {
        for (name, value) in values {
            if let Some(field) = settings::field(name).filter(|field| field.check(&value).is_ok()) {
                self.settings.defaults.insert(field.name, value);
            }
        }
        self.settings.refresh();
    }

    /// The configuration was read again: these are its values now, °C and seconds, and those of settings that have no place
    /// of their own in it; what is not among them is as without a configuration. They take effect with the next observation.
    pub fn retune<'a>(
        &mut self,
        climate: ClimateDefaults,
        resync_every_s: u32,
        order_ttl_s: u32,
        values: impl IntoIterator<Item = (&'a str, SettingValue)>,
    ) {
        self.spec.climate = climate;
        self.spec.resync_every_s = resync_every_s;
        self.spec.order_ttl_s = order_ttl_s;
        if self.settings.before.is_none() {
            self.settings.before = Some(self.settings.in_force.clone());
        }
        self.settings.defaults = defaults(&self.spec.climate);
        self.set_defaults(values);
    }

    /// What was read again takes effect.
    pub(super) fn take_retuned(&mut self, at: Timestamp, out: &mut Applied) {
        if let Some(before) = self.settings.before.take() {
            self.take_effect(at, &before, out);
        }
    }

    /// What is known of each setting that somebody has changed.
    pub fn registers(&self) -> &BTreeMap<String, Register> {
        &self.settings.registers
    }

    /// The value of a setting: what was written last, else the configuration's.
    pub fn setting(&self, name: &str) -> Option<&SettingValue> {
        self.settings.value(name)
    }

    /// The log of settings, the oldest entry first.
    pub fn setting_log(&self) -> impl DoubleEndedIterator<Item = &SettingEntry> {
        self.settings.log.values()
    }

    /// What a guest in the house prefers: personal.
    pub fn preferences(&self, stay: &StayId) -> Option<&BTreeMap<String, Register>> {
        self.settings.preferences.get(stay)
    }

    /// The set points in force.
    pub fn climate(&self) -> &ClimateDefaults {
        &self.settings.in_force.climate
    }

    /// The language of guests whose own is not known, where the house or a setting says one.
    pub fn guest_language(&self) -> Option<&str> {
        match self.setting("language.guests") {
            Some(SettingValue::Text(tag)) => Some(tag),
            _ => self.language(),
        }
    }

    /// How long after check-out a guest's data is kept, days, where settings or the configuration say so.
    pub fn retention_days(&self) -> Option<u32> {
        let days = self.setting("privacy.retention-days")?.number()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1098, by the table")]
        Some(days as u32)
    }

    /// Staff at the gateway change a setting.
    pub(super) fn set_setting(
        &mut self,
        at: Timestamp,
        source: CommandSource,
        name: &str,
        value: Option<SettingValue>,
        by: Option<&str>,
        out: &mut Applied,
    ) -> Result<(), String> {
        let field = known(name, Scope::House)?;
        if source != CommandSource::Local {
            return Err(format!(
                "{name} is set by staff at the gateway (`engawa settings set`) or in the cloud (`engawa-cloud settings set`)"
            ));
        }
        let own = self.settings.registers.get(name).cloned().unwrap_or_default();
        let by = by.unwrap_or("staff");
        let register = settings::write(field, Node::Edge, &own, value, by, &mut self.settings.clock, at)
            .map_err(|error| error.to_string())?;
        let mut notes = Vec::new();
        if let Some(write) = &register.edge {
            notes.push(Note::Written { node: Node::Edge, write: write.clone() });
        }
        self.keep_setting(at, field, register, notes, true, out);
        Ok(())
    }

    /// The cloud tells what it knows of a setting.
    pub(super) fn merge_setting(
        &mut self,
        at: Timestamp,
        source: CommandSource,
        name: &str,
        incoming: &Register,
        out: &mut Applied,
    ) -> Result<(), String> {
        let field = known(name, Scope::House)?;
        if source != CommandSource::Cloud {
            return Err("only the cloud tells what the cloud knows".to_owned());
        }
        let own = self.settings.registers.get(name).cloned().unwrap_or_default();
        let taken = settings::receive(field, Node::Edge, &own, incoming, &mut self.settings.clock, at)
            .map_err(|error| error.to_string())?;
        self.keep_setting(at, field, taken.register, taken.notes, taken.tell, out);
        Ok(())
    }

    fn keep_setting(
        &mut self,
        at: Timestamp,
        field: &'static Field,
        register: Register,
        notes: Vec<Note>,
        tell: bool,
        out: &mut Applied,
    ) {
        let (before, shared) = (self.settings.in_force.clone(), self.settings.is_on(SHARE));
        let name = field.name.to_owned();
        out.touched.insert(Entity::SettingClock);
        if self.settings.registers.get(&name) != Some(&register) {
            self.settings.registers.insert(name.clone(), register.clone());
            out.touched.insert(Entity::Setting(name.clone()));
        }
        for note in notes {
            if !matches!(note, Note::Written { .. }) {
                out.changes.push(Change::SettingNote { name: name.clone(), note: Box::new(note.clone()) });
            }
            self.enter(SettingEntry { at, name: name.clone(), note }, out);
        }
        if tell {
            out.changes.push(Change::Setting { name, register: Box::new(register) });
        }
        if !shared {
            self.tell_preferences(out);
        }
        self.settings.refresh();
        self.take_effect(at, &before, out);
    }

    fn enter(&mut self, entry: SettingEntry, out: &mut Applied) {
        let number = self.settings.log.last_key_value().map_or(1, |(last, _)| last + 1);
        self.settings.log.insert(number, entry);
        out.touched.insert(Entity::SettingEntry(number));
        while self.settings.log.len() > MOST_ENTRIES
            && let Some((oldest, _)) = self.settings.log.pop_first()
        {
            out.touched.insert(Entity::SettingEntry(oldest));
        }
    }

    /// Rooms that stand at a set point of before go to the new one; rules look again.
    fn take_effect(&mut self, at: Timestamp, before: &InForce, out: &mut Applied) {
        let now = self.settings.in_force.clone();
        if now == *before {
            return;
        }
        let rooms: Vec<RoomId> = self.rooms.keys().cloned().collect();
        for room in rooms {
            if self.governed.policy.is_some() {
                self.governed.schedule(&room, Some(Timestamp::MIN));
            }
            // A rule that has the room reckons with the new settings when it is looked at.
            let ruled = self.governed.rooms.get(&room).is_some_and(|state| state.wanted.is_some());
            let (was, is) = (self.base_under(before, &room), self.base_under(&now, &room));
            if ruled || (was - is).abs() < f64::EPSILON {
                continue;
            }
            if let Some(again) = self.order_setpoint(at, &room, is, Occasion::Routine, REASON, out) {
                let state = self.governed.rooms.entry(room.clone()).or_default();
                state.owed = Some(REASON.to_owned());
                let due = sooner(state.due, again);
                self.governed.schedule(&room, due);
                out.touched.insert(Entity::RoomRules(room));
            }
        }
    }

    /// What a room has underneath the rules.
    fn base_under(&self, settings: &InForce, room: &RoomId) -> f64 {
        let climate = &settings.climate;
        let mut stays: Vec<_> = self.stays_in(room).collect();
        stays.sort_by_key(|stay| stay.since);
        let base = if stays.is_empty() {
            match climate.season {
                Season::Heating => climate.eco_heating_c,
                Season::Cooling => climate.eco_cooling_c,
            }
        } else {
            stays.iter().find_map(|stay| self.comfort_of(stay)).unwrap_or(climate.comfort_c)
        };
        settings.limited(base)
    }

    /// Everything that is known is told once more: a cloud that was put back, or has learnt a new setting, has it then.
    pub(super) fn tell_settings(&self, out: &mut Applied) {
        for (name, register) in &self.settings.registers {
            out.changes.push(Change::Setting { name: name.clone(), register: Box::new(register.clone()) });
        }
        self.tell_preferences(out);
    }

    fn tell_preferences(&self, out: &mut Applied) {
        if self.settings.is_on(SHARE) {
            for (stay, all) in &self.settings.preferences {
                out.changes.extend(all.iter().map(|(name, register)| preference(stay, name, register)));
            }
        }
    }

    /// Staff, or something in the guest's room, note what a guest prefers.
    #[allow(clippy::too_many_arguments, reason = "each is a part of one wish")]
    pub(super) fn set_preference(
        &mut self,
        at: Timestamp,
        source: CommandSource,
        stay: &StayId,
        name: &str,
        wish: Option<SettingValue>,
        by: Option<&str>,
        out: &mut Applied,
    ) -> Result<(), String> {
        let field = known(name, Scope::Stay)?;
        if source == CommandSource::Cloud {
            return Err(
                "the cloud sets a guest's preference with `engawa-cloud settings set --stay`".to_owned()
            );
        }
        let own = self.preference_of(stay, name)?;
        let by = by.unwrap_or(if source == CommandSource::Mqtt { "room" } else { "staff" });
        let register = settings::write(field, Node::Edge, &own, wish, by, &mut self.settings.clock, at)
            .map_err(|error| error.to_string())?;
        self.keep_preference(at, field, stay, register, true, out);
        Ok(())
    }

    /// The cloud tells what it knows of a guest's preference.
    pub(super) fn merge_preference(
        &mut self,
        at: Timestamp,
        source: CommandSource,
        stay: &StayId,
        name: &str,
        incoming: Option<&Register>,
        out: &mut Applied,
    ) -> Result<(), String> {
        let field = known(name, Scope::Stay)?;
        if source != CommandSource::Cloud {
            return Err("only the cloud tells what the cloud knows".to_owned());
        }
        if !self.settings.is_on(SHARE) {
            return Err(format!("this house keeps guests' preferences to itself: {SHARE} is off"));
        }
        let incoming = incoming.ok_or("what the guest preferred was erased")?;
        let own = self.preference_of(stay, name)?;
        let taken = settings::receive(field, Node::Edge, &own, incoming, &mut self.settings.clock, at)
            .map_err(|error| error.to_string())?;
        self.keep_preference(at, field, stay, taken.register, taken.tell, out);
        Ok(())
    }

    fn preference_of(&self, stay: &StayId, name: &str) -> Result<Register, String> {
        match self.stays.get(stay) {
            None => Err(format!("no guest of reservation `{stay}` is in the house")),
            Some(stay) if stay.erased => Err("the guest's data was erased: nothing of it is kept".to_owned()),
            Some(_) => Ok(self
                .settings
                .preferences
                .get(stay)
                .and_then(|all| all.get(name))
                .cloned()
                .unwrap_or_default()),
        }
    }

    fn keep_preference(
        &mut self,
        at: Timestamp,
        field: &'static Field,
        stay: &StayId,
        register: Register,
        tell: bool,
        out: &mut Applied,
    ) {
        out.touched.insert(Entity::SettingClock);
        out.touched.insert(Entity::Preferences(stay.clone()));
        let before = self
            .settings
            .preferences
            .entry(stay.clone())
            .or_default()
            .insert(field.name.to_owned(), register.clone());
        if tell && self.settings.is_on(SHARE) {
            out.changes.push(preference(stay, field.name, &register));
        }
        let value = register.value(field);
        if before.as_ref().and_then(|before| before.value(field)) != value {
            self.prefer(at, field.name, stay, value.cloned(), out);
        }
    }

    /// What is kept of a guest's preferences goes.
    pub(super) fn forget_preferences(&mut self, stay: &StayId, out: &mut Applied) {
        if self.settings.preferences.remove(stay).is_some() {
            out.touched.insert(Entity::Preferences(stay.clone()));
        }
    }
}

impl InForce {
    /// The nearest set point that the limits allow; where they cross, the upper one holds.
    pub(super) fn limited(&self, celsius: f64) -> f64 {
        celsius.max(self.lowest_c.unwrap_or(celsius)).min(self.highest_c.unwrap_or(f64::INFINITY))
    }
}

fn preference(stay: &StayId, name: &str, register: &Register) -> Change {
    let register = Some(Box::new(register.clone()));
    Change::Preference { stay: stay.clone(), name: name.to_owned(), register }
}
