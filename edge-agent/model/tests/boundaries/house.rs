//! A house of three rooms with a device of every kind, its time an argument.

use engawa_model::firewall::FirewallConfig;
use engawa_model::rules::{Policy, RuleFile, Rulebook};
use engawa_model::*;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// The second PMS of a resort.
pub(crate) const VILLAS: &str = "pms-villas";

pub(crate) struct House {
    pub(crate) property: Property,
    pub(crate) now: Timestamp,
    pub(crate) changes: Vec<Change>,
    pub(crate) intents: Vec<Intent>,
    /// Of the last fact alone.
    pub(crate) touched: BTreeSet<Entity>,
}

fn point(name: &str, role: Option<Role>, writable: bool, min: Option<f64>, max: Option<f64>) -> PointSpec {
    PointSpec { name: name.into(), role, unit: None, writable, min, max }
}

/// Each room has a device `d-<room>` with everything. 101 has a second light and leak sensor, and 102 a second thermostat.
pub(crate) fn spec() -> PropertySpec {
    let setpoint = point("setpoint", Some(Role::ClimateSetpoint), true, Some(5.0), Some(30.0));
    let light = point("light", Some(Role::Light), true, None, None);
    let mut points = vec![setpoint.clone(), light.clone()];
    points.extend(
        [
            ("temperature", Role::RoomTemperature),
            ("window", Role::Window),
            ("occupancy", Role::Occupancy),
            ("leak", Role::Leak),
            ("smoke", Role::Smoke),
            ("minibar", Role::Minibar),
            ("dnd", Role::DoNotDisturb),
            ("make-up", Role::MakeUp),
        ]
        .map(|(name, role)| point(name, Some(role), false, None, None)),
    );
    points.push(point("scene", Some(Role::Scene), true, None, None));
    points.push(point("fan", Some(Role::Fan), true, None, None));
    points.push(point("blind", None, true, Some(0.0), None));
    points.push(point("vent", None, true, None, Some(100.0)));
    let device = |id: &str, room: &str, points: Vec<PointSpec>| DeviceSpec {
        id: id.into(),
        room: Some(room.into()),
        profile: "p".into(),
        points: points.into(),
    };
    PropertySpec {
        id: "h".into(),
        zone: "Europe/Berlin".into(),
        currency: Currency::new("EUR").unwrap(),
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 27.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        },
        rooms: ["101", "102", "103"].map(|id| RoomSpec { id: id.into() }).to_vec(),
        devices: vec![
            device("d-101", "101", points.clone()),
            device("d-102", "102", points.clone()),
            device("d-103", "103", points),
            device("e-101", "101", vec![light, point("leak", Some(Role::Leak), false, None, None)]),
            device("e-102", "102", vec![setpoint]),
        ],
        resync_every_s: 3600,
        order_ttl_s: 600,
    }
}

pub(crate) fn file(rules: serde_json::Value) -> RuleFile {
    serde_json::from_value(serde_json::json!({ "rule": rules })).unwrap()
}

pub(crate) fn policy(rules: serde_json::Value, firewall: FirewallConfig) -> Policy {
    let file = file(rules);
    assert_eq!(file.faults(), []);
    let rooms: Vec<RoomId> = ["101", "102", "103"].map(RoomId::from).into();
    Policy {
        rules: Rulebook::compile(&[&file], &rooms),
        firewall,
        zone: TimeZone::get("Europe/Berlin").unwrap(),
        arrival_time: jiff::civil::time(15, 0, 0, 0),
    }
}

pub(crate) fn eur(minor: i64) -> Money {
    Money { minor, currency: Currency::new("EUR").unwrap() }
}

pub(crate) fn text(text: &str) -> Personal<String> {
    Personal::new(text.to_owned())
}

impl House {
    /// On the morning of a winter's Friday, nine o'clock on the wall.
    pub(crate) fn of(property: Property) -> Self {
        let now = "2027-01-15T08:00:00Z".parse().unwrap();
        Self { property, now, changes: vec![], intents: vec![], touched: BTreeSet::new() }
    }

    /// Without rules or a firewall, its PMS alive and its list told.
    pub(crate) fn new() -> Self {
        let mut house = Self::of(Property::new(spec()));
        house.link(PMS_LINK, true).fact(Fact::ResyncBegun).fact(Fact::ResyncDone).clear();
        house
    }

    pub(crate) fn under(rules: serde_json::Value) -> Self {
        Self::governed(spec(), rules, FirewallConfig::default())
    }

    pub(crate) fn governed(spec: PropertySpec, rules: serde_json::Value, firewall: FirewallConfig) -> Self {
        let mut property = Property::new(spec);
        property.govern(policy(rules, firewall));
        let mut house = Self::of(property);
        house.link(PMS_LINK, true).fact(Fact::ResyncBegun).fact(Fact::ResyncDone).clear();
        house
    }

    /// Two PMS; the second has 103. Both are alive and their lists told.
    pub(crate) fn resort() -> Self {
        let mut property = Property::new(spec());
        let links = vec![PMS_LINK.into(), VILLAS.into()];
        property.serve(links, BTreeMap::from([("103".into(), VILLAS.into())]));
        let mut house = Self::of(property);
        for link in [PMS_LINK, VILLAS] {
            house.link(link, true).at(link, Fact::ResyncBegun).at(link, Fact::ResyncDone);
        }
        house.clear();
        house
    }

    pub(crate) fn clear(&mut self) -> &mut Self {
        self.changes.clear();
        self.intents.clear();
        self
    }

    pub(crate) fn fact(&mut self, fact: Fact) -> &mut Self {
        let applied = self.property.apply(&Observation::new(self.now, fact));
        self.changes.extend(applied.changes);
        self.intents.extend(applied.intents);
        self.touched = applied.touched;
        self
    }

    pub(crate) fn at(&mut self, link: &str, fact: Fact) -> &mut Self {
        if link == PMS_LINK {
            return self.fact(fact);
        }
        self.fact(Fact::AtLink { link: link.into(), what: Box::new(fact) })
    }

    pub(crate) fn says(&mut self, said: PmsFact) -> &mut Self {
        self.fact(Fact::Pms { said })
    }

    pub(crate) fn link(&mut self, link: &str, up: bool) -> &mut Self {
        let detail = if up { "alive" } else { "gone" };
        self.fact(Fact::Link { link: link.into(), up, detail: detail.into() })
    }

    pub(crate) fn pass(&mut self, seconds: i64) -> &mut Self {
        self.pass_ms(seconds * 1000)
    }

    pub(crate) fn pass_ms(&mut self, milliseconds: i64) -> &mut Self {
        let until = self.now.checked_add(SignedDuration::from_millis(milliseconds)).unwrap();
        self.until(until)
    }

    /// Time passes, as the agent lets it: from one wake of the property to the next.
    pub(crate) fn until(&mut self, until: Timestamp) -> &mut Self {
        let mut ticks = 0;
        while let Some(wake) = self.property.next_wake().filter(|wake| *wake < until) {
            self.now = self.now.max(wake);
            self.fact(Fact::Tick);
            ticks += 1;
            assert!(ticks < 1000, "the house never comes to rest");
        }
        self.now = until;
        self.fact(Fact::Tick)
    }

    pub(crate) fn comes(&mut self, stay: &str, room: &str) -> &mut Self {
        self.comes_as(stay, room, GuestRecord::default())
    }

    pub(crate) fn comes_as(&mut self, stay: &str, room: &str, guest: GuestRecord) -> &mut Self {
        self.fact(Fact::GuestSeen {
            stay: stay.into(),
            room: room.into(),
            from: None,
            presence: Presence::In,
            listed: false,
            guest,
            flags: RoomFlags::default(),
        })
    }

    pub(crate) fn goes(&mut self, stay: &str, room: &str) -> &mut Self {
        self.fact(Fact::GuestGone { room: room.into(), stay: Some(stay.into()), listed: false })
    }

    pub(crate) fn flags(&mut self, room: &str, flags: RoomFlags) -> &mut Self {
        self.fact(Fact::RoomFlagged { room: room.into(), flags })
    }

    /// `d-<room>` reports a point.
    pub(crate) fn set(&mut self, room: &str, point: &str, value: impl Into<Told>) -> &mut Self {
        self.reports(&format!("d-{room}"), point, value, Quality::Good)
    }

    pub(crate) fn reports(
        &mut self,
        device: &str,
        point: &str,
        value: impl Into<Told>,
        quality: Quality,
    ) -> &mut Self {
        let (point, value) = (PointId::new(device, point), Some(value.into().0));
        self.fact(Fact::Reported { point, value, quality, sampled: self.now })
    }

    /// Staff ask.
    pub(crate) fn ask(&mut self, key: &str, action: Action) -> &mut Self {
        self.ask_as(CommandSource::Local, key, action)
    }

    pub(crate) fn ask_as(&mut self, source: CommandSource, key: &str, action: Action) -> &mut Self {
        self.fact(Fact::Asked { command: Command { key: key.into(), source, expires: None, action } })
    }

    pub(crate) fn ask_point(&mut self, key: &str, point: &str, value: impl Into<Told>) -> &mut Self {
        let (device, point) = point.split_once('/').unwrap();
        self.ask(key, Action::SetPoint { point: PointId::new(device, point), value: value.into().0 })
    }

    pub(crate) fn end(&self, key: &str) -> Option<CommandOutcome> {
        self.property.commands()[&key.into()].ended.clone().map(|(_, outcome)| outcome)
    }

    pub(crate) fn done(&self, key: &str) -> bool {
        self.end(key) == Some(CommandOutcome::Done)
    }

    pub(crate) fn refused(&self, key: &str, with: &str) {
        match self.end(key) {
            Some(CommandOutcome::Refused { reason }) if reason.contains(with) => {}
            other => panic!("{key} ended with {other:?}, not refused with `{with}`"),
        }
    }

    /// What was to be written since this was asked last.
    pub(crate) fn writes(&mut self) -> Vec<(String, Value)> {
        let write = |intent: Intent| match intent {
            Intent::WritePoint { point, value, .. } => Some((point.to_string(), value)),
            _ => None,
        };
        std::mem::take(&mut self.intents).into_iter().filter_map(write).collect()
    }

    /// The devices take all that is owed to them, and say so.
    pub(crate) fn obey(&mut self) -> &mut Self {
        let owed: Vec<Order> = self.property.orders().values().cloned().collect();
        for order in owed {
            let (value, sampled) = (Some(order.value.clone()), self.now);
            self.fact(Fact::Reported { point: order.point, value, quality: Quality::Good, sampled });
            self.fact(Fact::Written {
                key: order.key,
                outcome: CommandOutcome::Done,
                read_back: Some(order.value),
            });
        }
        self.intents.clear();
        self
    }

    /// What the PMS was asked since this was asked last.
    pub(crate) fn requests(&mut self) -> Vec<PmsRequest> {
        fn request(intent: Intent) -> Option<PmsRequest> {
            match intent {
                Intent::AskPms { request, .. } => Some(request),
                Intent::AtLink { what, .. } => request(*what),
                _ => None,
            }
        }
        std::mem::take(&mut self.intents).into_iter().filter_map(request).collect()
    }

    pub(crate) fn counted(&self, reason: &str) -> u64 {
        self.property.counters().get(reason).copied().unwrap_or(0)
    }

    pub(crate) fn kinds(&self) -> Vec<&str> {
        self.changes.iter().map(Change::kind).collect()
    }

    pub(crate) fn on(&self, room: &str) -> Vec<&str> {
        self.property.room_rules()[&room.into()].on().collect()
    }

    pub(crate) fn saved(&self, entity: &Entity) -> String {
        String::from_utf8(self.property.save(entity).unwrap()).unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<(String, String, String)> {
        let all = self.property.entities();
        all.iter().map(|entity| (entity.kind().into(), entity.key(), self.saved(entity))).collect()
    }
}

/// A property from stored rows.
pub(crate) fn restored(rows: &[(String, String, String)]) -> Property {
    let rows = rows.iter().map(|(kind, key, body)| (kind.as_str(), key.as_str(), body.as_bytes()));
    Property::restore(spec(), rows).unwrap()
}

/// A value in the words of a test.
pub(crate) struct Told(pub(crate) Value);

impl From<bool> for Told {
    fn from(on: bool) -> Self {
        Self(Value::Bool(on))
    }
}

impl From<f64> for Told {
    fn from(number: f64) -> Self {
        Self(Value::Float(number))
    }
}

impl From<i64> for Told {
    fn from(number: i64) -> Self {
        Self(Value::Int(number))
    }
}

impl From<&str> for Told {
    fn from(text: &str) -> Self {
        Self(Value::Text(text.to_owned()))
    }
}
