//! Guests, staff, programs and a device that is away: whose wish reaches the thermostat, in tables and by chance.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_model::{
    Action, Change, ClimateDefaults, Command, CommandKey, CommandOutcome, CommandSource, Currency, DeviceId,
    DeviceSpec, Fact, GuestRecord, Intent, Observation, PointId, PointSpec, Presence, Property, PropertyId,
    PropertySpec, Quality, Role, RoomFlags, RoomId, RoomSpec, Season, StayId, Timestamp, Value,
};
use jiff::SignedDuration;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const HOLD_S: u32 = 3600;

struct House {
    property: Property,
    now: Timestamp,
    changes: Vec<Change>,
    intents: Vec<Intent>,
    asked: u32,
}

fn point(name: &str, role: Role) -> PointSpec {
    let (min, max) = if role == Role::ClimateSetpoint { (Some(5.0), Some(30.0)) } else { (None, None) };
    PointSpec { name: name.into(), role: Some(role), unit: None, writable: true, min, max }
}

impl House {
    fn new(hold_s: u32) -> Self {
        let thermostat = |room: &str| DeviceSpec {
            id: DeviceId::new(format!("t-{room}")),
            room: Some(RoomId::from(room)),
            profile: "test".into(),
            points: [point("setpoint", Role::ClimateSetpoint), point("light", Role::Light)].into(),
        };
        let property = Property::new(PropertySpec {
            id: PropertyId::from("test"),
            zone: "Europe/Berlin".into(),
            currency: Currency::new("EUR").unwrap(),
            climate: ClimateDefaults {
                comfort_c: 22.0,
                eco_heating_c: 17.0,
                eco_cooling_c: 28.0,
                season: Season::Heating,
                guest_hold_s: hold_s,
            },
            rooms: ["101", "102"].map(|id| RoomSpec { id: RoomId::from(id) }).to_vec(),
            devices: vec![thermostat("101"), thermostat("102")],
            resync_every_s: 3600,
            order_ttl_s: 100_000,
        });
        let now = "2026-07-15T10:00:00Z".parse().unwrap();
        Self { property, now, changes: vec![], intents: vec![], asked: 0 }
    }

    fn fact(&mut self, fact: Fact) {
        self.pass(1);
        let applied = self.property.apply(&Observation::new(self.now, fact));
        self.changes.extend(applied.changes);
        self.intents.extend(applied.intents);
    }

    fn pass(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    fn comes(&mut self, stay: &str, room: &str) {
        self.fact(Fact::GuestSeen {
            stay: stay.into(),
            room: room.into(),
            from: None,
            presence: Presence::In,
            listed: false,
            guest: GuestRecord::default(),
            flags: RoomFlags::default(),
        });
    }

    fn goes(&mut self, stay: &str, room: &str) {
        self.fact(Fact::GuestGone { room: room.into(), stay: Some(stay.into()), listed: false });
    }

    fn wall(&mut self, room: &str, celsius: f64) {
        let sampled = self.now.checked_add(SignedDuration::from_secs(1)).unwrap();
        self.fact(Fact::Reported {
            point: PointId::new(format!("t-{room}"), "setpoint"),
            value: Some(Value::Float(celsius)),
            quality: Quality::Good,
            sampled,
        });
    }

    /// The device takes all that is owed to it.
    fn device_is_there(&mut self) {
        let owed: Vec<_> = self.property.orders().values().cloned().collect();
        for order in owed {
            let sampled = self.now.checked_add(SignedDuration::from_secs(1)).unwrap();
            let (value, quality) = (Some(order.value.clone()), Quality::Good);
            self.fact(Fact::Reported { point: order.point, value, quality, sampled });
            let read_back = Some(order.value);
            self.fact(Fact::Written { key: order.key, outcome: CommandOutcome::Done, read_back });
        }
    }

    fn asks(&mut self, source: CommandSource, room: &str, role: Role, value: Value) -> CommandKey {
        self.asked += 1;
        let key = CommandKey::new(format!("k-{}", self.asked));
        let action = Action::SetRole { room: room.into(), role, value };
        self.fact(Fact::Asked { command: Command { key: key.clone(), source, expires: None, action } });
        key
    }

    fn asks_for(&mut self, source: CommandSource, room: &str, celsius: f64) -> CommandKey {
        self.asks(source, room, Role::ClimateSetpoint, Value::Float(celsius))
    }

    fn end(&self, key: &CommandKey) -> Option<CommandOutcome> {
        self.property.commands()[key].ended.clone().map(|(_, outcome)| outcome)
    }

    fn refused(&self, key: &CommandKey) -> Option<String> {
        match self.end(key) {
            Some(CommandOutcome::Refused { reason }) => Some(reason),
            _ => None,
        }
    }
}

/// A guest in 101 who has turned the thermostat to 24.
fn chosen(hold_s: u32) -> House {
    let mut house = House::new(hold_s);
    house.comes("1", "101");
    house.device_is_there();
    house.wall("101", 24.0);
    house
}

#[test]
fn a_guests_choice_stands_for_its_time() {
    for (source, name) in [(CommandSource::Cloud, "the cloud"), (CommandSource::Mqtt, "another system")] {
        let mut house = chosen(HOLD_S);
        let key = house.asks_for(source, "101", 20.0);
        let reason = house.refused(&key).unwrap_or_else(|| panic!("{name} has overwritten it"));
        assert!(reason.contains("room 101: a guest has chosen"), "{reason}");
        assert_eq!(house.property.counters()["held-for-guest"], 1);
        assert!(house.property.orders().is_empty());
        // Other rooms and other points are free.
        let other = house.asks_for(source, "102", 20.0);
        let light = house.asks(source, "101", Role::Light, Value::Bool(true));
        assert_eq!((house.end(&other), house.end(&light)), (None, None));
        house.pass(i64::from(HOLD_S));
        let late = house.asks_for(source, "101", 20.0);
        assert_eq!(house.end(&late), None, "{name}: the hold is over");
    }
}

#[test]
fn staff_override_a_guest_and_stand_against_programs_themselves() {
    let mut house = chosen(HOLD_S);
    let staff = house.asks_for(CommandSource::Local, "101", 20.0);
    assert_eq!(house.end(&staff), None, "it is on its way");
    // Not even while it waits for the device does a program take its place.
    let cloud = house.asks_for(CommandSource::Cloud, "101", 25.0);
    assert!(house.refused(&cloud).unwrap().contains("staff have set"));
    house.device_is_there();
    assert_eq!(house.end(&staff), Some(CommandOutcome::Done));
    house.wall("101", 23.0);
    assert_eq!(house.property.stays()[&StayId::from("1")].comfort, Some(23.0), "a guest may always");
}

#[test]
fn without_a_hold_the_newest_wish_wins() {
    let mut house = chosen(0);
    let key = house.asks_for(CommandSource::Cloud, "101", 20.0);
    house.device_is_there();
    assert_eq!(house.end(&key), Some(CommandOutcome::Done));
}

#[test]
fn check_out_and_check_in_go_over_any_choice() {
    let mut house = chosen(HOLD_S);
    house.goes("1", "101");
    let eco = house.property.orders().values().next().unwrap();
    assert_eq!((&eco.value, eco.reason.as_str()), (&Value::Float(17.0), "check-out"));
    let cloud = house.asks_for(CommandSource::Cloud, "101", 18.0);
    assert_eq!(house.end(&cloud), None, "nobody's choice stands in a vacant room");
}

#[test]
fn a_turned_wheel_in_a_vacant_room_holds_nothing() {
    let mut house = House::new(HOLD_S);
    house.wall("101", 17.0);
    house.wall("101", 25.0);
    let cloud = house.asks_for(CommandSource::Cloud, "101", 18.0);
    assert_eq!(house.end(&cloud), None);
}

#[test]
fn a_hold_outlives_a_restart() {
    let house = chosen(HOLD_S);
    let rows: Vec<_> = house.property.entities().into_iter().collect();
    let rows: Vec<_> = rows.iter().map(|e| (e.kind(), e.key(), house.property.save(e).unwrap())).collect();
    let spec = house.property.spec().clone();
    let property =
        Property::restore(spec, rows.iter().map(|(kind, key, body)| (*kind, key.as_str(), body.as_slice())));
    let mut house = House { property: property.unwrap(), ..house };
    let key = house.asks_for(CommandSource::Cloud, "101", 20.0);
    assert!(house.refused(&key).is_some());
}

#[test]
fn what_was_asked_for_other_guests_is_not_written() {
    type Step = fn(&mut House);
    let steps: [(&str, Step); 4] = [
        ("check-out", |house| house.goes("1", "101")),
        ("a second guest", |house| house.comes("2", "101")),
        ("a move away", |house| house.comes("1", "102")),
        ("a move in", |house| house.comes("3", "101")),
    ];
    for (name, step) in steps {
        let mut house = House::new(HOLD_S);
        house.comes("1", "101");
        house.comes("3", "102");
        house.device_is_there();
        let light = house.asks(CommandSource::Cloud, "101", Role::Light, Value::Bool(true));
        let warm = house.asks_for(CommandSource::Local, "101", 25.0);
        house.intents.clear();
        step(&mut house);
        for key in [&light, &warm] {
            let reason = house.refused(key).unwrap_or_else(|| panic!("{name}: {key} is still wanted"));
            assert!(reason.contains("room 101 has changed guests"), "{name}: {reason}");
            let withdrawn =
                |intent: &Intent| matches!(intent, Intent::WithdrawWrite { key: of, .. } if of == key);
            assert!(house.intents.iter().any(withdrawn), "{name}: the driver is not told of {key}");
        }
        assert_eq!(house.property.alerts().len(), 0, "{name}: no device has failed");
        // The rule's own order for the change comes after, and stays.
        let rules = house.property.orders().values().filter(|order| order.source == CommandSource::Rule);
        let of_room = rules.filter(|order| order.room == Some(RoomId::from("101"))).count();
        assert_eq!(of_room, usize::from(matches!(name, "check-out" | "a move away")), "{name}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Comes(u8, u8),
    Goes(u8, u8),
    Wall(u8, u8),
    Asks(u8, u8, u8, bool),
    Device,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u8, 0..2_u8).prop_map(|(stay, room)| Step::Comes(stay, room)),
        (0..3_u8, 0..2_u8).prop_map(|(stay, room)| Step::Goes(stay, room)),
        (0..2_u8, 0..4_u8).prop_map(|(room, celsius)| Step::Wall(room, celsius)),
        (0..3_u8, 0..2_u8, 0..4_u8, any::<bool>())
            .prop_map(|(who, r, c, light)| Step::Asks(who, r, c, light)),
        Just(Step::Device),
        (1..5000_u16).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn by_chance(steps in proptest::collection::vec(step(), 1..60)) {
        let mut house = House::new(HOLD_S);
        let room = |n: u8| ["101", "102"][usize::from(n)];
        // When each room last changed guests, and until when a guest's own choice stands in it.
        let mut held: BTreeMap<&str, Timestamp> = BTreeMap::new();
        let inhabitants = |house: &House, room: &str| -> BTreeSet<StayId> {
            let room = RoomId::from(room);
            house.property.stays_in(&room).map(|stay| stay.id.clone()).collect()
        };
        for step in steps {
            let before: Vec<_> = ["101", "102"].map(|room| inhabitants(&house, room)).into();
            let orders: Vec<_> = house.property.orders().values().cloned().collect();
            house.changes.clear();
            match step {
                Step::Comes(stay, r) => house.comes(&stay.to_string(), room(r)),
                Step::Goes(stay, r) => house.goes(&stay.to_string(), room(r)),
                Step::Wall(r, celsius) => {
                    let (point, celsius) = (PointId::new(format!("t-{}", room(r)), "setpoint"), 20.0 + f64::from(celsius));
                    let known = house.property.point(&point).and_then(|state| state.value.clone());
                    let busy = orders.iter().any(|order| order.point == point);
                    house.wall(room(r), celsius);
                    let own = known.is_some_and(|was| was != Value::Float(celsius)) && !busy;
                    if own && !inhabitants(&house, room(r)).is_empty() {
                        let until = house.now.checked_add(SignedDuration::from_secs(HOLD_S.into())).unwrap();
                        held.insert(room(r), until);
                    }
                }
                Step::Asks(who, r, celsius, light) => {
                    let source = [CommandSource::Cloud, CommandSource::Mqtt, CommandSource::Local][usize::from(who)];
                    let key = if light {
                        house.asks(source, room(r), Role::Light, Value::Bool(celsius > 1))
                    } else {
                        house.asks_for(source, room(r), 20.0 + f64::from(celsius))
                    };
                    let stands = !light && held.get(room(r)).is_some_and(|until| house.now < *until);
                    if source == CommandSource::Local {
                        prop_assert_eq!(house.refused(&key), None, "staff are never refused");
                        if !light {
                            // Their choice stands now, as a guest's did.
                            held.insert(room(r), house.now.checked_add(SignedDuration::from_secs(HOLD_S.into())).unwrap());
                        }
                    } else {
                        prop_assert_eq!(house.refused(&key).is_some(), stands, "{:?}", house.end(&key));
                    }
                }
                Step::Device => house.device_is_there(),
                Step::Pass(seconds) => {
                    house.pass(seconds.into());
                    house.fact(Fact::Tick);
                }
            }
            for (room, before) in ["101", "102"].into_iter().zip(before) {
                let after = inhabitants(&house, room);
                if before == after {
                    continue;
                }
                if before.is_empty() || after.is_empty() {
                    held.remove(room);
                }
                // Whatever somebody had asked for the room has ended, each with a reason.
                for order in orders.iter().filter(|order| order.reason == "command" && order.room == Some(RoomId::from(room))) {
                    prop_assert!(!house.property.orders().contains_key(&order.key), "{} is still owed", order.key);
                    let told = house.changes.iter().any(|change| matches!(change,
                        Change::OrderEnded { key, outcome: CommandOutcome::Refused { reason }, .. }
                            if *key == order.key && reason.contains("changed guests")));
                    prop_assert!(told, "{} ended without being told", order.key);
                }
            }
            // Every order that ended did so once.
            let mut ended = BTreeSet::new();
            for change in &house.changes {
                if let Change::OrderEnded { key, .. } = change {
                    prop_assert!(ended.insert(key.clone()), "{key} ended twice");
                }
            }
        }
    }
}
