//! A house of a few rooms with every role, its devices obedient, its time an argument.
#![allow(dead_code, clippy::unwrap_used, reason = "tests; each file uses a part")]

use engawa_model::firewall::FirewallConfig;
use engawa_model::rules::{Policy, RuleFile, Rulebook};
use engawa_model::{
    Action, Change, ClimateDefaults, Command, CommandOutcome, CommandSource, Currency, DeviceId, DeviceSpec,
    Fact, GuestRecord, Intent, Observation, PointId, PointSpec, Presence, Property, PropertyId, PropertySpec,
    Quality, Role, RoomFlags, RoomId, RoomSpec, Season, StayId, Timestamp, Value,
};
use jiff::SignedDuration;
use jiff::tz::TimeZone;

pub(crate) const POINTS: [(&str, Role); 13] = [
    ("setpoint", Role::ClimateSetpoint),
    ("temperature", Role::RoomTemperature),
    ("window", Role::Window),
    ("door", Role::Door),
    ("motion", Role::Occupancy),
    ("leak", Role::Leak),
    ("smoke", Role::Smoke),
    ("battery", Role::Battery),
    ("minibar", Role::Minibar),
    ("light", Role::Light),
    ("scene", Role::Scene),
    ("dnd", Role::DoNotDisturb),
    ("make-up", Role::MakeUp),
];

pub(crate) fn spec(rooms: &[&str]) -> PropertySpec {
    let points: Vec<PointSpec> = POINTS
        .iter()
        .map(|(name, role)| {
            let (min, max) =
                if *role == Role::ClimateSetpoint { (Some(5.0), Some(30.0)) } else { (None, None) };
            let writable = matches!(role, Role::ClimateSetpoint | Role::Light | Role::Scene);
            PointSpec { name: (*name).into(), role: Some(*role), unit: None, writable, min, max }
        })
        .collect();
    PropertySpec {
        id: PropertyId::from("grand"),
        zone: "Europe/Berlin".into(),
        currency: Currency::new("EUR").unwrap(),
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 27.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        },
        rooms: rooms.iter().map(|id| RoomSpec { id: RoomId::from(*id) }).collect(),
        devices: rooms
            .iter()
            .map(|room| DeviceSpec {
                id: DeviceId::new(format!("d-{room}")),
                room: Some(RoomId::from(*room)),
                profile: "test".into(),
                points: points.clone().into(),
            })
            .collect(),
        resync_every_s: 3600,
        order_ttl_s: 3600,
    }
}

pub(crate) fn policy(spec: &PropertySpec, files: &[&RuleFile]) -> Policy {
    Policy {
        rules: Rulebook::compile(files, spec.rooms.iter().map(|room| &room.id)),
        firewall: FirewallConfig::default(),
        zone: TimeZone::get(&spec.zone).unwrap(),
        arrival_time: jiff::civil::time(15, 0, 0, 0),
    }
}

pub(crate) struct House {
    pub(crate) property: Property,
    pub(crate) now: Timestamp,
    /// What the house did, in words.
    pub(crate) acts: Vec<String>,
    /// What a recorder would have been given.
    pub(crate) seen: Vec<Observation>,
    asked: u32,
}

impl House {
    /// Rooms 101 and 102 in the morning of a winter's day, under the standard rules, their PMS alive.
    pub(crate) fn standard() -> Self {
        Self::under(&[&engawa_rules::standard().0])
    }

    pub(crate) fn under(files: &[&RuleFile]) -> Self {
        let spec = spec(&["101", "102"]);
        let mut property = Property::new(spec.clone());
        property.govern(policy(&spec, files));
        let now = "2027-01-15T08:00:00Z".parse().unwrap();
        let mut house = Self { property, now, acts: vec![], seen: vec![], asked: 0 };
        house.fact(Fact::Link { link: "pms".into(), up: true, detail: "alive".into() });
        for room in ["101", "102"] {
            house.set(room, "setpoint", Value::Float(17.0));
            for point in ["window", "door", "motion", "leak", "smoke", "minibar", "light", "dnd", "make-up"] {
                house.set(room, point, Value::Bool(false));
            }
            house.set(room, "temperature", Value::Float(20.0));
            house.set(room, "battery", Value::Int(80));
        }
        house.acts.clear();
        house
    }

    pub(crate) fn fact(&mut self, fact: Fact) -> &mut Self {
        let observation = Observation::new(self.now, fact);
        self.seen.extend(engawa_rules::masked(&observation, &self.property));
        let applied = self.property.apply(&observation);
        for change in &applied.changes {
            let told = match change {
                Change::Ordered { point, value, reason, .. } => format!("{point} = {value} ({reason})"),
                Change::Alert { alert } if alert.active => {
                    format!("alert {} {} level {}", alert.kind.word(), alert.source, alert.level)
                }
                Change::Alert { alert } => format!("over {} {}", alert.kind.word(), alert.source),
                Change::RoomStatus { room, status } => format!("PMS {room} {status}"),
                Change::ChargeProposed { room, text, state, .. } => format!("charge {room} {text} {state:?}"),
                _ => continue,
            };
            self.acts.push(told);
        }
        for intent in applied.intents {
            match intent {
                Intent::WritePoint { key, point, value, .. } => {
                    let (told, quality) = (Some(value.clone()), Quality::Good);
                    self.fact(Fact::Reported { point, value: told, quality, sampled: self.now });
                    self.fact(Fact::Written { key, outcome: CommandOutcome::Done, read_back: Some(value) });
                }
                Intent::SendRoomStatus { key, .. } => drop(self.fact(Fact::StatusSent { key })),
                _ => {}
            }
        }
        self
    }

    /// Time passes, with a tick whenever the house wants one.
    pub(crate) fn pass(&mut self, seconds: i64) -> &mut Self {
        let until = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        let mut ticks = 0;
        while let Some(wake) = self.property.next_wake().filter(|wake| *wake <= until) {
            self.now = wake.max(self.now);
            self.fact(Fact::Tick);
            ticks += 1;
            assert!(ticks < 1000, "the house never comes to rest");
        }
        self.now = until;
        self
    }

    pub(crate) fn set(&mut self, room: &str, point: &str, value: Value) -> &mut Self {
        let point = PointId::new(format!("d-{room}"), point);
        self.fact(Fact::Reported { point, value: Some(value), quality: Quality::Good, sampled: self.now })
    }

    pub(crate) fn on(&mut self, room: &str, point: &str) -> &mut Self {
        self.set(room, point, Value::Bool(true))
    }

    pub(crate) fn off(&mut self, room: &str, point: &str) -> &mut Self {
        self.set(room, point, Value::Bool(false))
    }

    pub(crate) fn warm(&mut self, room: &str, celsius: f64) -> &mut Self {
        self.set(room, "temperature", Value::Float(celsius))
    }

    pub(crate) fn comes(&mut self, stay: &str, room: &str) -> &mut Self {
        self.fact(Fact::GuestSeen {
            stay: stay.into(),
            room: room.into(),
            from: None,
            presence: Presence::In,
            listed: false,
            guest: GuestRecord {
                name: Some(engawa_model::Personal::new("Sakura Ito".into())),
                ..Default::default()
            },
            flags: RoomFlags::default(),
        })
    }

    pub(crate) fn goes(&mut self, stay: &str, room: &str) -> &mut Self {
        self.fact(Fact::GuestGone { room: room.into(), stay: Some(StayId::from(stay)), listed: false })
    }

    pub(crate) fn expect(&mut self, stay: &str, room: &str, eta: &str) -> &mut Self {
        self.fact(Fact::ArrivalExpected {
            stay: stay.into(),
            room: room.into(),
            date: None,
            eta: Some(eta.parse().unwrap()),
            vip: None,
        })
    }

    pub(crate) fn ask(&mut self, action: Action) -> CommandOutcome {
        self.asked += 1;
        let key = engawa_model::CommandKey::new(format!("k-{}", self.asked));
        let command = Command { key: key.clone(), source: CommandSource::Local, expires: None, action };
        self.fact(Fact::Asked { command });
        let ended = self.property.commands()[&key].ended.clone();
        ended.map_or(CommandOutcome::Done, |(_, outcome)| outcome)
    }

    /// The process dies and comes again, from what was stored.
    pub(crate) fn restart(&mut self) -> &mut Self {
        let entities = self.property.entities();
        let rows: Vec<_> =
            entities.iter().map(|e| (e.kind(), e.key(), self.property.save(e).unwrap())).collect();
        let rows = rows.iter().map(|(kind, key, body)| (*kind, key.as_str(), body.as_slice()));
        let policy = self.property.policy().unwrap().clone();
        self.property = Property::restore(self.property.spec().clone(), rows).unwrap();
        self.property.govern(policy);
        self.fact(Fact::Started { clean: false })
    }

    /// What was done in room 101 since this was asked last.
    pub(crate) fn done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.acts).into_iter().filter(|act| act.contains("101")).collect()
    }

    /// What was told to staff, in room 101, since this was asked last.
    pub(crate) fn alerts(&mut self) -> Vec<String> {
        self.done().into_iter().filter(|act| act.starts_with("alert") || act.starts_with("over")).collect()
    }

    pub(crate) fn all_done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.acts)
    }
}
