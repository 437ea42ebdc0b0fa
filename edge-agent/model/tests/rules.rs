//! Rules and the write firewall by chance: whatever the rules and the events are.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_model::firewall::FirewallConfig;
use engawa_model::rules::{Policy, RuleFile, Rulebook};
use engawa_model::{
    Action, AlertKind, Change, ClimateDefaults, Command, CommandKey, CommandOutcome, CommandSource, Currency,
    DeviceId, DeviceSpec, Fact, GuestRecord, Intent, Observation, PointId, PointSpec, Presence, Property,
    PropertyId, PropertySpec, Quality, Role, RoomFlags, RoomId, RoomSpec, Season, StayId, Timestamp, Value,
};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

const HOLD_S: i64 = 3600;
const ROOMS: [&str; 2] = ["101", "102"];

fn spec() -> PropertySpec {
    let points: Vec<PointSpec> = [
        ("setpoint", Role::ClimateSetpoint),
        ("temperature", Role::RoomTemperature),
        ("window", Role::Window),
        ("motion", Role::Occupancy),
        ("light", Role::Light),
        ("leak", Role::Leak),
        ("minibar", Role::Minibar),
    ]
    .into_iter()
    .map(|(name, role)| {
        let (min, max) = if role == Role::ClimateSetpoint { (Some(5.0), Some(30.0)) } else { (None, None) };
        PointSpec { name: name.into(), role: Some(role), unit: None, writable: true, min, max }
    })
    .collect();
    PropertySpec {
        id: PropertyId::from("test"),
        zone: "Europe/Berlin".into(),
        currency: Currency::new("EUR").unwrap(),
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 28.0,
            season: Season::Heating,
            guest_hold_s: 3600,
        },
        rooms: ROOMS.map(|id| RoomSpec { id: RoomId::from(id) }).to_vec(),
        devices: ROOMS
            .iter()
            .flat_map(|room| ["d", "e"].map(|kind| (kind, room)))
            .map(|(kind, room)| DeviceSpec {
                id: DeviceId::new(format!("{kind}-{room}")),
                room: Some(RoomId::from(*room)),
                profile: "test".into(),
                // The second device of a room has a light more.
                points: if kind == "d" { points.clone().into() } else { points[4..5].to_vec().into() },
            })
            .collect(),
        resync_every_s: 3600,
        order_ttl_s: 1_000_000,
    }
}

fn policy(rules: serde_json::Value, firewall: FirewallConfig) -> Policy {
    let file: RuleFile = serde_json::from_value(json!({ "rule": rules })).unwrap();
    assert_eq!(file.faults(), []);
    let rooms: Vec<RoomId> = ROOMS.map(RoomId::from).to_vec();
    Policy {
        rules: Rulebook::compile(&[&file], &rooms),
        firewall,
        zone: TimeZone::get("Europe/Berlin").unwrap(),
        arrival_time: jiff::civil::time(15, 0, 0, 0),
    }
}

/// How many houses are played: `make soak` plays more.
fn cases() -> u32 {
    std::env::var("RULES_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96)
}

/// A wall that lets nearly everything through.
fn open() -> FirewallConfig {
    FirewallConfig {
        point_per_minute: 10_000,
        device_per_minute: 10_000,
        room_per_minute: 10_000,
        ..FirewallConfig::default()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Comes(u8, u8),
    Goes(u8, u8),
    Expects(u8, u8, i32),
    Wall(u8, u8),
    Sense(u8, u8, bool),
    Warm(u8, u8),
    Asks(u8, u8, u8),
    Devices,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..3_u8, 0..2_u8).prop_map(|(stay, room)| Step::Comes(stay, room)),
        1 => (0..3_u8, 0..2_u8).prop_map(|(stay, room)| Step::Goes(stay, room)),
        1 => (3..6_u8, 0..2_u8, -3600..90_000_i32).prop_map(|(stay, room, s)| Step::Expects(stay, room, s)),
        3 => (0..2_u8, 0..5_u8).prop_map(|(room, celsius)| Step::Wall(room, celsius)),
        4 => (0..2_u8, 0..4_u8, any::<bool>()).prop_map(|(room, what, on)| Step::Sense(room, what, on)),
        2 => (0..2_u8, 5..28_u8).prop_map(|(room, celsius)| Step::Warm(room, celsius)),
        1 => (0..3_u8, 0..2_u8, 0..5_u8).prop_map(|(who, room, celsius)| Step::Asks(who, room, celsius)),
        3 => Just(Step::Devices),
        5 => (1..4000_u16).prop_map(Step::Pass),
    ]
}

/// Conditions and set points of every kind, put together by chance.
fn rule(n: usize) -> impl Strategy<Value = serde_json::Value> {
    let condition = prop_oneof![
        any::<bool>().prop_map(|is| json!({ "occupied": is })),
        any::<bool>().prop_map(|is| json!({ "sold": is })),
        (any::<bool>(), 0..3000_u32)
            .prop_map(|(is, s)| json!({ "point": [{ "role": "window", "is": is, "for_s": s }] })),
        (any::<bool>(), 0..3000_u32)
            .prop_map(|(is, s)| json!({ "point": [{ "role": "occupancy", "is": is, "for_s": s }] })),
        (8..26_u32, 0..3_u32).prop_map(
            |(c, h)| json!({ "point": [{ "role": "room-temperature", "below": c, "hysteresis": h }] })
        ),
        (8..26_u32, 0..600_u32)
            .prop_map(|(c, s)| json!({ "point": [{ "role": "room-temperature", "above": c, "for_s": s }] })),
        (1..600_u32, any::<bool>())
            .prop_map(|(m, w)| json!({ "arriving": { "within_min": m, "warm_up": w } })),
        (0..5000_u32).prop_map(|s| json!({ "vacant_for_s": s })),
        (0..5000_u32).prop_map(|s| json!({ "occupied_for_s": s })),
        (1..5000_u32).prop_map(|s| json!({ "came_within_s": s })),
        (0..24_u32).prop_map(
            |h| json!({ "time": { "from": format!("{h:02}:30"), "to": format!("{:02}:00", (h + 7) % 24) } })
        ),
        Just(json!({ "time": { "from": "02:30", "to": "09:00", "days": ["mon", "sat"] } })),
    ];
    let when = (condition.clone(), condition, 0..4_u8).prop_map(|(one, other, how)| match how {
        0 => one,
        1 => json!({ "any": [one, other] }),
        2 => json!({ "not": one, "any": [other] }),
        _ => json!({ "any": [one], "not": { "any": [other] } }),
    });
    let setpoint = prop_oneof![
        (10..28_u32).prop_map(|c| json!({ "celsius": c })),
        (0..5_u32).prop_map(|c| json!({ "setback_c": c })),
        Just(json!({ "of": "comfort" })),
        Just(json!({ "of": "eco", "offset_c": 1 })),
    ];
    let delays = (0..900_u32, 0..900_u32, 0..100_u8, any::<bool>());
    (when, setpoint, delays).prop_map(move |(when, setpoint, (for_s, keep_s, priority, once))| {
        json!({ "name": format!("r{n}"), "when": when, "for_s": for_s, "keep_s": keep_s, "priority": priority,
            "once_a_stay": once,
            "then": { "setpoint": setpoint, "set": [{ "role": "light", "value": true }],
                "alert": { "kind": "rule", "text": "x", "escalate": [{ "after_s": 700, "text": "y" }] },
                "charge": { "text": "z" } },
            "after": { "set": [{ "role": "light", "value": false }] } })
    })
}

fn rules() -> impl Strategy<Value = serde_json::Value> {
    (rule(0), rule(1), rule(2), rule(3)).prop_map(|(a, b, c, d)| json!([a, b, c, d]))
}

#[derive(Clone)]
struct House {
    property: Property,
    now: Timestamp,
    asked: u32,
}

impl House {
    fn new(policy: Policy) -> Self {
        let mut property = Property::new(spec());
        property.govern(policy);
        // The clock goes back in the night after this Saturday.
        Self { property, now: "2026-10-24T20:00:00Z".parse().unwrap(), asked: 0 }
    }

    /// What one step is in facts; the time is set on for each.
    fn facts(&mut self, step: &Step) -> Vec<Fact> {
        self.now = later(self.now, 1);
        let point = |room: u8, name: &str| PointId::new(format!("d-{}", ROOMS[usize::from(room)]), name);
        let room = |room: u8| RoomId::from(ROOMS[usize::from(room)]);
        let report = |point, value| Fact::Reported {
            point,
            value: Some(value),
            quality: Quality::Good,
            sampled: self.now,
        };
        match step {
            Step::Comes(stay, at) => vec![Fact::GuestSeen {
                stay: StayId::new(stay.to_string()),
                room: room(*at),
                from: None,
                presence: Presence::In,
                listed: false,
                guest: GuestRecord::default(),
                flags: RoomFlags::default(),
            }],
            Step::Goes(stay, at) => {
                vec![Fact::GuestGone {
                    room: room(*at),
                    stay: Some(StayId::new(stay.to_string())),
                    listed: false,
                }]
            }
            Step::Expects(stay, at, seconds) => vec![Fact::ArrivalExpected {
                stay: StayId::new(stay.to_string()),
                room: room(*at),
                date: None,
                eta: Some(later(self.now, i64::from(*seconds))),
                vip: None,
            }],
            Step::Wall(at, celsius) => {
                vec![report(point(*at, "setpoint"), Value::Float(20.5 + f64::from(*celsius)))]
            }
            Step::Sense(at, what, on) => {
                let name = ["window", "motion", "leak", "minibar"][usize::from(*what)];
                vec![report(point(*at, name), Value::Bool(*on))]
            }
            Step::Warm(at, celsius) => {
                vec![report(point(*at, "temperature"), Value::Float(f64::from(*celsius)))]
            }
            Step::Asks(who, at, celsius) => {
                self.asked += 1;
                let source =
                    [CommandSource::Cloud, CommandSource::Mqtt, CommandSource::Local][usize::from(*who)];
                let value = Value::Float(20.0 + f64::from(*celsius));
                let action = Action::SetRole { room: room(*at), role: Role::ClimateSetpoint, value };
                let key = CommandKey::new(format!("k-{}", self.asked));
                vec![Fact::Asked { command: Command { key, source, expires: None, action } }]
            }
            Step::Devices => {
                let owed: Vec<_> = self.property.orders().values().cloned().collect();
                let told = owed.into_iter().flat_map(|order| {
                    let done = Fact::Written {
                        key: order.key,
                        outcome: CommandOutcome::Done,
                        read_back: Some(order.value.clone()),
                    };
                    [report(order.point, order.value), done]
                });
                told.collect()
            }
            Step::Pass(_) => vec![Fact::Tick],
        }
    }

    fn saved(&self) -> BTreeMap<(String, String), String> {
        let entities = self.property.entities();
        let row = |entity: &engawa_model::Entity| {
            let body = String::from_utf8(self.property.save(entity)?).unwrap();
            Some(((entity.kind().to_owned(), entity.key()), body))
        };
        entities.iter().filter_map(row).collect()
    }

    fn restored(&self, policy: Policy) -> Self {
        let rows = self.saved();
        let rows = rows.iter().map(|((kind, key), body)| (kind.as_str(), key.as_str(), body.as_bytes()));
        let mut property = Property::restore(spec(), rows).unwrap();
        property.govern(policy);
        Self { property, ..self.clone() }
    }
}

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// Both have the same stored.
fn same(one: &House, other: &House) {
    let (one, other) = (one.saved(), other.saved());
    for key in one.keys().chain(other.keys()) {
        assert_eq!(one.get(key), other.get(key), "{key:?}");
    }
}

/// The moments at which a house that waits `seconds` asks for the time, and the last one.
fn ticks(house: &mut House, seconds: u16, mut each: impl FnMut(&mut House)) {
    let until = later(house.now, i64::from(seconds));
    let mut count = 0;
    while let Some(wake) = house.property.next_wake().filter(|wake| *wake < until) {
        house.now = wake.max(house.now);
        each(house);
        count += 1;
        assert!(count < 1000, "the house never comes to rest");
    }
    house.now = until;
}

/// Whose choice stands in each room, told from what happens alone.
#[derive(Default)]
struct Holds(BTreeMap<RoomId, Timestamp>);

impl Holds {
    /// What the observation means for the choices that stand, and whether the house wrote over one.
    fn judge(&mut self, before: &Property, fact: &Fact, changes: &[Change], after: &Property, at: Timestamp) {
        // A guest at the wall: another value than before, and no order of the house under way.
        if let Fact::Reported { point, value: Some(Value::Float(now)), .. } = fact
            && &*point.point == "setpoint"
        {
            let was = before.point(point).and_then(|state| state.value.as_ref()).and_then(Value::as_f64);
            let ordered = before.orders().values().any(|order| order.point == *point);
            let (room, _) = before.point_spec(point).unwrap();
            let room = room.unwrap().clone();
            if was.is_some_and(|was| (was - now).abs() > 0.1)
                && !ordered
                && before.stays_in(&room).next().is_some()
            {
                self.0.insert(room, later(at, HOLD_S));
            }
        }
        if let Fact::Asked { command } = fact
            && command.source == CommandSource::Local
            && let Action::SetRole { room, .. } = &command.action
            && !matches!(after.commands()[&command.key].ended, Some((_, CommandOutcome::Refused { .. })))
        {
            self.0.insert(room.clone(), later(at, HOLD_S));
        }
        for room in ROOMS.map(RoomId::from) {
            let (was, is) = (before.stays_in(&room).count(), after.stays_in(&room).count());
            if was != is && (was == 0 || is == 0) {
                self.0.remove(&room);
            }
        }
        for change in changes {
            let Change::Ordered { point, room: Some(room), source: CommandSource::Rule, reason, .. } = change
            else {
                continue;
            };
            let by_guests = matches!(reason.as_str(), "check-in" | "check-out" | "move");
            if &*point.point == "setpoint" && reason != "command" && !by_guests {
                let held = self.0.get(room).is_some_and(|until| at < *until);
                assert!(!held, "{reason} wrote over the choice in {room}: {change:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn no_rule_ever_writes_over_a_choice_of_people(
        rules in rules(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut house = House::new(policy(rules, open()));
        let mut holds = Holds::default();
        let mut take = |house: &mut House, fact: Fact| {
            let before = house.property.clone();
            let applied = house.property.apply(&Observation::new(house.now, fact.clone()));
            holds.judge(&before, &fact, &applied.changes, &house.property, house.now);
        };
        for step in steps {
            if let Step::Pass(seconds) = step {
                ticks(&mut house, seconds, |house| take(house, Fact::Tick));
            }
            for fact in house.facts(&step) {
                take(&mut house, fact);
            }
        }
    }

    #[test]
    fn a_restored_property_goes_on_as_if_nothing_had_happened(
        rules in rules(),
        before in proptest::collection::vec(step(), 1..40),
        after in proptest::collection::vec(step(), 1..30),
    ) {
        let governed = policy(rules, FirewallConfig { point_per_minute: 3, room_per_minute: 5, ..FirewallConfig::default() });
        let mut house = House::new(governed.clone());
        for step in &before {
            if let Step::Pass(seconds) = step {
                ticks(&mut house, *seconds, |house| drop(house.property.apply(&Observation::new(house.now, Fact::Tick))));
            }
            for fact in house.facts(step) {
                house.property.apply(&Observation::new(house.now, fact));
            }
        }
        let mut other = house.restored(governed);
        same(&house, &other);
        let mut take = |house: &mut House, fact: Fact| {
            let observation = Observation::new(house.now, fact);
            let (one, two) = (house.property.apply(&observation), other.property.apply(&observation));
            assert_eq!(one.changes, two.changes, "{observation:?}");
            assert_eq!(one.intents, two.intents, "{observation:?}");
            assert_eq!(house.property.next_wake(), other.property.next_wake(), "{observation:?}");
        };
        for step in &after {
            if let Step::Pass(seconds) = step {
                ticks(&mut house, *seconds, |house| take(house, Fact::Tick));
            }
            for fact in house.facts(step) {
                take(&mut house, fact);
            }
        }
        same(&house, &other);
    }
}

/// The most writes that left for one of `keys` within any minute.
fn most_in_a_minute(left: &[(Timestamp, String)]) -> usize {
    let mut most = 0;
    let mut by_key: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for (at, key) in left {
        let of_key = by_key.entry(key).or_default();
        of_key.push(*at);
        let within = of_key.iter().rev().take_while(|then| later(**then, 60) > *at).count();
        most = most.max(within);
    }
    most
}

#[test]
fn ten_thousand_requests_never_exceed_the_budgets() {
    let firewall = FirewallConfig {
        point_per_minute: 4,
        device_per_minute: 6,
        room_per_minute: 7,
        alarm_after: 5,
        ..FirewallConfig::default()
    };
    // A rule that flutters with the window as well, at the same devices.
    let fluttering = json!([{ "name": "flutter", "when": { "point": [{ "role": "window", "is": true }] },
        "then": { "setpoint": { "celsius": 15 }, "set": [{ "role": "light", "value": true }] },
        "after": { "set": [{ "role": "light", "value": false }] } }]);
    let governed = policy(fluttering, firewall);
    let mut house = House::new(governed.clone());
    let (mut points, mut devices, mut rooms) = (vec![], vec![], vec![]);
    let mut seed = 1_u64;
    let mut chance = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut refused = 0;
    for n in 0..10_000_u64 {
        house.now =
            house.now.checked_add(SignedDuration::from_millis(i64::try_from(chance(120)).unwrap())).unwrap();
        if n % 2500 == 1249 {
            house = house.restored(governed.clone());
        }
        let room = ROOMS[usize::try_from(chance(2)).unwrap()];
        let value = |n: u64| Value::Float(18.0 + f64::from(u8::try_from(n % 9).unwrap()));
        let key = CommandKey::new(format!("flood-{n}"));
        let source = [CommandSource::Cloud, CommandSource::Mqtt, CommandSource::Local]
            [usize::try_from(chance(3)).unwrap()];
        let action = match chance(4) {
            0 => Action::SetRole { room: room.into(), role: Role::ClimateSetpoint, value: value(n) },
            1 => Action::SetRole { room: room.into(), role: Role::Light, value: Value::Bool(n % 3 == 0) },
            2 => Action::SetPoint {
                point: PointId::new(format!("e-{room}"), "light"),
                value: Value::Bool(n % 2 == 0),
            },
            _ => Action::SetPoint { point: PointId::new(format!("d-{room}"), "setpoint"), value: value(n) },
        };
        let window = Fact::Reported {
            point: PointId::new(format!("d-{room}"), "window"),
            value: Some(Value::Bool(n % 2 == 0)),
            quality: Quality::Good,
            sampled: house.now,
        };
        let asked = Fact::Asked { command: Command { key: key.clone(), source, expires: None, action } };
        for fact in [window, asked] {
            let applied = house.property.apply(&Observation::new(house.now, fact));
            for intent in applied.intents {
                if let Intent::WritePoint { point, .. } = intent {
                    points.push((house.now, point.to_string()));
                    devices.push((house.now, point.device.to_string()));
                    rooms.push((house.now, point.device.as_str()[2..].to_owned()));
                }
            }
        }
        if let Some((_, CommandOutcome::Refused { reason })) = &house.property.commands()[&key].ended {
            refused += usize::from(reason.contains("the write firewall"));
        }
    }
    assert!(most_in_a_minute(&points) <= 4, "{}", most_in_a_minute(&points));
    assert!(most_in_a_minute(&devices) <= 6, "{}", most_in_a_minute(&devices));
    assert!(most_in_a_minute(&rooms) <= 7, "{}", most_in_a_minute(&rooms));
    assert!(points.len() > 100, "the wall is no dead end: {} left", points.len());
    assert!(refused > 5_000, "whoever asks is told: {refused}");
    let blocked = |property: &Property| {
        property
            .alerts()
            .values()
            .filter(|alert| alert.kind == AlertKind::WriteBlocked && alert.active)
            .count()
    };
    assert!(blocked(&house.property) > 0, "and staff see it");
    // Ten quiet minutes later it is over.
    house.now = later(house.now, 601);
    house.property.apply(&Observation::new(house.now, Fact::Tick));
    assert_eq!(blocked(&house.property), 0);
}

#[test]
fn a_check_in_behind_a_flood_is_warm_when_the_minute_is_over() {
    let firewall = FirewallConfig { point_per_minute: 2, ..FirewallConfig::default() };
    let mut house = House::new(policy(json!([]), firewall));
    for (n, celsius) in [19_u8, 20].into_iter().enumerate() {
        let key = CommandKey::new(format!("k-{n}"));
        let action = Action::SetRole {
            room: "101".into(),
            role: Role::ClimateSetpoint,
            value: Value::Float(f64::from(celsius)),
        };
        let command = Command { key, source: CommandSource::Cloud, expires: None, action };
        house.property.apply(&Observation::new(house.now, Fact::Asked { command }));
    }
    let come = house.facts(&Step::Comes(1, 0)).remove(0);
    let begun = house.property.apply(&Observation::new(house.now, come));
    assert!(!begun.intents.iter().any(|intent| matches!(intent, Intent::WritePoint { .. })), "{begun:?}");
    let mut written = vec![];
    ticks(&mut house, 120, |house| {
        written.extend(house.property.apply(&Observation::new(house.now, Fact::Tick)).intents);
    });
    let warm =
        |intent: &Intent| matches!(intent, Intent::WritePoint { value, .. } if *value == Value::Float(22.0));
    assert_eq!(written.iter().filter(|intent| warm(intent)).count(), 1, "{written:?}");
}
