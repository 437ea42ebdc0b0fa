//! Orders to devices through time, restarts and reports that say nothing; what a link's state and an erasure leave.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_model::*;
use jiff::SignedDuration;

struct House {
    property: Property,
    now: Timestamp,
    intents: Vec<Intent>,
    changes: Vec<Change>,
}

fn spec() -> PropertySpec {
    let point = |name: &str, role, writable| PointSpec {
        name: name.into(),
        role: Some(role),
        unit: None,
        writable,
        min: None,
        max: None,
    };
    PropertySpec {
        id: "h".into(),
        zone: "UTC".to_owned(),
        currency: Currency::new("EUR").unwrap(),
        climate: engawa_model::testing::climate(),
        rooms: vec![RoomSpec { id: "101".into() }],
        devices: vec![DeviceSpec {
            id: "d".into(),
            room: Some("101".into()),
            profile: "p".into(),
            points: [
                point("setpoint", Role::ClimateSetpoint, true),
                point("light", Role::Light, true),
                point("leak", Role::Leak, false),
            ]
            .into(),
        }],
        resync_every_s: 3600,
        order_ttl_s: 600,
    }
}

impl House {
    fn new() -> Self {
        let now = "2026-07-15T10:00:00Z".parse().unwrap();
        Self { property: Property::new(spec()), now, intents: vec![], changes: vec![] }
    }

    fn fact(&mut self, fact: Fact) -> &mut Self {
        let applied = self.property.apply(&Observation::new(self.now, fact));
        self.intents.extend(applied.intents);
        self.changes.extend(applied.changes);
        self
    }

    fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        self
    }

    fn comes(&mut self, stay: &str) -> &mut Self {
        self.fact(Fact::GuestSeen {
            stay: stay.into(),
            room: "101".into(),
            from: None,
            presence: Presence::In,
            listed: false,
            guest: GuestRecord::default(),
            flags: RoomFlags::default(),
        })
    }

    fn report(&mut self, point: &str, value: Value, quality: Quality, ago: i64) -> &mut Self {
        let sampled = self.now.checked_sub(SignedDuration::from_secs(ago)).unwrap();
        self.fact(Fact::Reported { point: PointId::new("d", point), value: Some(value), quality, sampled })
    }

    fn shows(&mut self, celsius: f64) -> &mut Self {
        self.report("setpoint", Value::Float(celsius), Quality::Good, 0)
    }

    fn asks(&mut self, key: &str, action: Action) -> &mut Self {
        let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
        self.fact(Fact::Asked { command })
    }

    fn light(&mut self, key: &str, on: bool) -> &mut Self {
        self.asks(key, Action::SetRole { room: "101".into(), role: Role::Light, value: Value::Bool(on) })
    }

    /// The values that the driver was told to write since it was asked last.
    fn writes(&mut self) -> Vec<Value> {
        let value = |intent: Intent| match intent {
            Intent::WritePoint { value, .. } => Some(value),
            _ => None,
        };
        std::mem::take(&mut self.intents).into_iter().filter_map(value).collect()
    }

    fn outcome(&self, key: &str) -> Option<CommandOutcome> {
        self.property.commands()[&key.into()].ended.clone().map(|(_, outcome)| outcome)
    }

    /// The driver wrote what is owed, and reads the same back.
    fn carried_out(&mut self) -> &mut Self {
        let owed: Vec<Order> = self.property.orders().values().cloned().collect();
        for order in owed {
            let read_back = Some(order.value.clone());
            self.report(order.point.point.as_ref(), order.value, Quality::Good, 0);
            self.fact(Fact::Written { key: order.key, outcome: CommandOutcome::Done, read_back });
        }
        self.intents.clear();
        self
    }

    fn chosen(&self) -> usize {
        self.changes.iter().filter(|change| change.kind() == "comfort_chosen").count()
    }
}

#[test]
fn what_is_owed_is_written_again_after_a_restart_until_its_time_is_over() {
    let mut house = House::new();
    house.light("k", true);
    assert_eq!(house.writes(), [Value::Bool(true)]);
    let expires = house.now.checked_add(SignedDuration::from_secs(600)).unwrap();
    assert_eq!(house.property.next_wake(), Some(expires));
    house.pass(599).fact(Fact::Started { clean: true });
    assert_eq!(house.writes(), [Value::Bool(true)], "a second is left");
    assert_eq!(house.outcome("k"), None);
    house.pass(1).fact(Fact::Started { clean: true });
    assert_eq!(house.writes(), [], "its time is over");
    house.fact(Fact::Tick);
    assert_eq!((house.outcome("k"), house.property.orders().len()), (Some(CommandOutcome::Expired), 0));
    // What the driver says of it now is too late to mean anything.
    house.fact(Fact::Written { key: "k".into(), outcome: CommandOutcome::Done, read_back: None });
    assert_eq!(house.outcome("k"), Some(CommandOutcome::Expired));
    assert_eq!(house.property.counters()["late-write-outcome"], 1);
}

#[test]
fn what_a_device_is_known_to_have_is_not_written_again() {
    let mut house = House::new();
    house.report("light", Value::Bool(true), Quality::Good, 0).light("there", true);
    assert_eq!((house.writes(), house.outcome("there")), (vec![], Some(CommandOutcome::Done)));
    house.light("other", false);
    assert_eq!(house.writes(), [Value::Bool(false)]);
    // With that on its way, what the point had before is no longer there.
    house.light("back", true);
    assert_eq!(house.writes(), [Value::Bool(true)]);
    assert_eq!(house.outcome("other"), Some(CommandOutcome::Superseded));
    // A value that can't be trusted is not known.
    let mut house = House::new();
    house.report("light", Value::Bool(true), Quality::Stale, 0).light("k", true);
    assert_eq!(house.writes(), [Value::Bool(true)]);
}

#[test]
fn only_a_good_report_of_another_set_point_is_a_guests_choice() {
    let settled = || {
        let mut house = House::new();
        house.shows(17.0).comes("1").carried_out().pass(60);
        assert_eq!(house.chosen(), 0);
        house
    };
    assert_eq!(settled().shows(24.0).chosen(), 1);
    assert_eq!(settled().shows(20.0).chosen(), 1, "also downwards");
    assert_eq!(settled().shows(22.04).chosen(), 0, "a thermostat rounds");
    assert_eq!(settled().report("setpoint", Value::Float(24.0), Quality::Stale, 0).chosen(), 0);
    let older = settled().report("setpoint", Value::Float(17.0), Quality::Good, 61).chosen();
    assert_eq!(older, 0, "sampled before the house wrote");
    assert_eq!(settled().report("setpoint", Value::Float(17.0), Quality::Good, 60).chosen(), 1);
    // While a write is on its way nothing that the wall shows is a wish.
    let mut house = House::new();
    house.shows(17.0).comes("1").pass(1).shows(19.0);
    assert_eq!(house.chosen(), 0);
}

#[test]
fn water_is_told_when_a_sensor_is_sure_and_counted_each_time() {
    let mut house = House::new();
    house.report("leak", Value::Bool(true), Quality::Stale, 0);
    assert_eq!(house.property.alerts().len(), 0);
    house.report("leak", Value::Bool(true), Quality::Good, 0).report(
        "leak",
        Value::Bool(false),
        Quality::Good,
        0,
    );
    house.pass(9).report("leak", Value::Bool(true), Quality::Good, 0);
    let alert = &house.property.alerts()["leak:room 101"];
    assert_eq!((alert.active, alert.count, alert.level), (true, 2, 0));
    assert_eq!(alert.last.duration_since(alert.first), SignedDuration::from_secs(9));
    // Somebody sees to it; when it comes again somebody has to see to it again.
    let acknowledge = |name: &str| Action::AcknowledgeAlert { alert: name.to_owned() };
    house.asks("see", acknowledge("leak:room 101")).asks("none", acknowledge("leak:room 102"));
    assert_eq!(house.outcome("see"), Some(CommandOutcome::Done));
    assert!(
        matches!(house.outcome("none"), Some(CommandOutcome::Refused { reason }) if reason.contains("room 102"))
    );
    let since = house.property.alerts()["leak:room 101"].acknowledged;
    assert_eq!(since, Some(house.now));
    house.pass(5).asks("again", acknowledge("leak:room 101"));
    assert_eq!(house.property.alerts()["leak:room 101"].acknowledged, since, "the first time counts");
    house.report("leak", Value::Bool(false), Quality::Good, 0).report(
        "leak",
        Value::Bool(true),
        Quality::Good,
        0,
    );
    assert_eq!(house.property.alerts()["leak:room 101"].acknowledged, None);
}

#[test]
fn a_link_is_news_when_it_changes_and_dates_from_then() {
    let mut house = House::new();
    let link = |up, detail: &str| Fact::Link { link: PMS_LINK.into(), up, detail: detail.into() };
    let begun = house.now;
    house.fact(link(true, "alive")).pass(60).fact(link(true, "alive")).fact(link(true, "slow"));
    let health = house.property.links()[&PMS_LINK.into()].clone();
    assert_eq!((health.up, health.detail.as_str(), health.since), (true, "slow", begun));
    house.fact(link(false, "slow"));
    let health = house.property.links()[&PMS_LINK.into()].clone();
    assert_eq!((health.up, health.since), (false, house.now));
    let told = house.changes.iter().filter(|change| change.kind() == "link").count();
    assert_eq!(told, 2, "up, down");
}

#[test]
fn the_house_speaks_the_language_it_was_told() {
    let mut house = House::new();
    assert_eq!(house.property.language(), None);
    house.property.speak("ja");
    assert_eq!(house.property.language(), Some("ja"));
}

#[test]
fn an_erased_guests_call_keeps_its_price_and_loses_its_number() {
    let mut house = House::new();
    house.comes("1").fact(Fact::Link { link: PMS_LINK.into(), up: true, detail: "alive".into() });
    let amount = Money { minor: 250, currency: Currency::new("EUR").unwrap() };
    let call = Call { dialled: Some(Personal::new("0312345678".into())), seconds: Some(60), pulses: None };
    house.asks("call", Action::PostCall { room: "101".into(), amount: Some(amount), call });
    house.fact(Fact::PostingAnswered { number: PostingNumber(1), status: "OK".into(), text: None });
    let saved = |house: &House| {
        String::from_utf8(house.property.save(&Entity::Posting(PostingNumber(1))).unwrap()).unwrap()
    };
    assert!(saved(&house).contains("0312345678"));
    let erasure = Erasure {
        stay: "1".into(),
        record: "00".into(),
        at: house.now,
        reason: ErasureReason::Asked,
        signer: String::new(),
        signature: String::new(),
    };
    let applied =
        house.property.apply(&Observation::new(house.now, Fact::GuestErased { erasure: erasure.clone() }));
    assert!(applied.touched.contains(&Entity::Posting(PostingNumber(1))), "it is written down without it");
    assert!(!saved(&house).contains("0312345678") && saved(&house).contains("250"));
    let command = house.property.save(&Entity::Command("call".into())).unwrap();
    assert!(!String::from_utf8(command).unwrap().contains("0312345678"));
    let applied = house.property.apply(&Observation::new(house.now, Fact::GuestErased { erasure }));
    assert!(!applied.touched.contains(&Entity::Posting(PostingNumber(1))), "nothing is left to be forgotten");
}
