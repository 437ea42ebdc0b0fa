//! The first rules, as tables of what happens and what must follow.

use super::*;
use crate::{
    Action, Command, CommandOutcome, CommandSource, Currency, GuestRecord, Money, Presence, PropertyId,
    Quality, StayEnd, Value,
};

pub(super) struct House {
    pub(super) property: Property,
    pub(super) now: Timestamp,
    pub(super) changes: Vec<Change>,
    pub(super) intents: Vec<Intent>,
}

impl House {
    pub(super) fn new() -> Self {
        let thermostat = |room: &str| DeviceSpec {
            id: DeviceId::new(format!("t-{room}")),
            room: Some(RoomId::from(room)),
            profile: "test".into(),
            points: [PointSpec {
                name: "setpoint".into(),
                role: Some(Role::ClimateSetpoint),
                unit: Some("Cel".into()),
                writable: true,
                min: Some(5.0),
                max: Some(30.0),
            }]
            .into(),
        };
        let spec = PropertySpec {
            id: PropertyId::from("test"),
            zone: "Europe/Berlin".into(),
            currency: Currency::new("EUR").unwrap(),
            climate: crate::testing::climate(),
            rooms: ["101", "102", "103"].map(|id| RoomSpec { id: RoomId::from(id) }).to_vec(),
            devices: vec![thermostat("101"), thermostat("102"), thermostat("103")],
            resync_every_s: 3600,
            order_ttl_s: 600,
        };
        let mut house = Self {
            property: Property::new(spec),
            now: "2026-07-15T10:00:00Z".parse().unwrap(),
            changes: vec![],
            intents: vec![],
        };
        house.fact(Fact::Link { link: PMS_LINK.into(), up: true, detail: "alive".into() });
        house.changes.clear();
        house.intents.clear();
        house
    }

    /// What a restart finds in the store.
    pub(super) fn restored(&self) -> Property {
        let rows: Vec<_> = self
            .property
            .entities()
            .into_iter()
            .map(|entity| (entity.kind(), entity.key(), self.property.save(&entity).unwrap()))
            .collect();
        let rows = rows.iter().map(|(kind, key, body)| (*kind, key.as_str(), body.as_slice()));
        Property::restore(self.property.spec().clone(), rows).unwrap()
    }

    pub(super) fn fact(&mut self, fact: Fact) -> &mut Self {
        self.now = self.now.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
        let applied = self.property.apply(&Observation::new(self.now, fact));
        self.changes.extend(applied.changes);
        self.intents.extend(applied.intents);
        self
    }

    pub(super) fn seen(&mut self, stay: &str, room: &str) -> &mut Self {
        self.fact(Fact::GuestSeen {
            stay: stay.into(),
            room: room.into(),
            from: None,
            presence: Presence::In,
            listed: false,
            guest: GuestRecord::default(),
            flags: RoomFlags::default(),
        })
    }

    pub(super) fn gone(&mut self, stay: Option<&str>, room: &str) -> &mut Self {
        self.fact(Fact::GuestGone { room: room.into(), stay: stay.map(StayId::from), listed: false })
    }

    fn report(&mut self, room: &str, setpoint: f64) -> &mut Self {
        let sampled = self.now.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
        self.fact(Fact::Reported {
            point: PointId::new(format!("t-{room}"), "setpoint"),
            value: Some(Value::Float(setpoint)),
            quality: Quality::Good,
            sampled,
        })
    }

    /// The driver does what it was asked: reports the new value, then the outcome.
    fn carry_out(&mut self) -> Vec<(String, f64)> {
        let mut written = vec![];
        for intent in std::mem::take(&mut self.intents) {
            if let Intent::WritePoint { key, point, value, .. } = intent {
                let number = value.as_f64().unwrap();
                written.push((point.device.to_string(), number));
                self.report(&point.device.as_str()[2..], number);
                self.fact(Fact::Written { key, outcome: CommandOutcome::Done, read_back: Some(value) });
            }
        }
        written
    }

    fn count(&self, kind: &str) -> usize {
        self.changes.iter().filter(|change| change.kind() == kind).count()
    }

    fn ask(&mut self, key: &str, action: Action) -> &mut Self {
        self.fact(Fact::Asked {
            command: Command { key: key.into(), source: CommandSource::Cloud, expires: None, action },
        })
    }

    fn post(&mut self, key: &str) -> &mut Self {
        let amount = Money { minor: 1050, currency: Currency::new("EUR").unwrap() };
        self.ask(
            key,
            Action::Post { room: "101".into(), stay: None, amount, text: "Laundry".into(), outlet: None },
        )
    }
}

#[test]
fn check_in_brings_comfort_and_check_out_eco() {
    let mut house = House::new();
    house.seen("4711", "101");
    assert_eq!(house.carry_out(), [("t-101".to_owned(), 22.0)]);
    house.gone(Some("4711"), "101");
    assert_eq!(house.carry_out(), [("t-101".to_owned(), 17.0)]);
    assert_eq!(
        (house.count("checked_in"), house.count("checked_out"), house.count("order_ended")),
        (1, 1, 2)
    );
}

#[test]
fn a_shared_room_ends_with_its_last_guest() {
    let mut house = House::new();
    house.seen("1", "101").seen("2", "101");
    assert_eq!(house.carry_out().len(), 1, "the second guest changes nothing");
    house.gone(Some("1"), "101");
    assert_eq!(house.carry_out(), []);
    house.gone(Some("2"), "101");
    assert_eq!(house.carry_out(), [("t-101".to_owned(), 17.0)]);
}

#[test]
fn a_move_takes_the_guests_own_setting_along() {
    let mut house = House::new();
    house.seen("1", "101");
    house.carry_out();
    house.report("101", 24.5);
    assert_eq!(house.count("comfort_chosen"), 1);
    house.seen("1", "102");
    assert_eq!(house.carry_out(), [("t-102".to_owned(), 24.5), ("t-101".to_owned(), 17.0)]);
    assert_eq!((house.count("moved"), house.count("checked_out")), (1, 0));
}

#[test]
fn an_echo_of_our_own_write_is_not_the_guests_wish() {
    let mut house = House::new();
    house.report("101", 17.0).seen("1", "101").report("101", 17.5);
    house.carry_out();
    assert_eq!(house.count("comfort_chosen"), 0);
}

#[test]
fn a_newer_order_supersedes_the_waiting_one() {
    let mut house = House::new();
    house.seen("1", "101").gone(Some("1"), "101");
    assert_eq!(house.property.orders().len(), 1);
    assert_eq!(house.count("order_ended"), 1);
    assert_eq!(house.carry_out().last(), Some(&("t-101".to_owned(), 17.0)));
    assert_eq!(house.count("order_ended"), 2, "each order ends once, the superseded one too");
}

#[test]
fn the_same_key_posts_once_and_an_answer_settles_it() {
    let mut house = House::new();
    house.post("k").post("k");
    let sent = house.intents.iter().filter(|intent| matches!(intent, Intent::SendPosting { .. })).count();
    assert_eq!(sent, 1);
    house.fact(Fact::PostingAnswered { number: PostingNumber(1), status: "OK".into(), text: None });
    assert_eq!(house.property.postings()[&PostingNumber(1)].state, PostingState::Posted);
    assert_eq!(house.count("command_ended"), 1);
}

#[test]
fn a_posting_in_flight_at_a_crash_is_doubtful_and_never_sent_again() {
    let mut house = House::new();
    house.seen("1", "101").post("k");
    let entities = house.property.entities();
    let saved: Vec<_> =
        entities.iter().map(|e| (e.kind(), e.key(), house.property.save(e).unwrap())).collect();
    let spec = house.property.spec().clone();
    house.property =
        Property::restore(spec, saved.iter().map(|(k, key, body)| (*k, key.as_str(), body.as_slice())))
            .unwrap();
    house.intents.clear();
    house.fact(Fact::Started { clean: false });
    house.fact(Fact::Link { link: PMS_LINK.into(), up: true, detail: "alive".into() });
    assert_eq!(house.property.postings()[&PostingNumber(1)].state, PostingState::Doubtful);
    assert!(!house.intents.iter().any(|intent| matches!(intent, Intent::SendPosting { .. })));
    assert_eq!(house.property.stays().len(), 1);
    assert!(house.property.orders().len() == 1, "the owed set point is still owed");
}

#[test]
fn a_list_is_applied_as_a_difference() {
    let mut house = House::new();
    house.seen("1", "101").seen("2", "102");
    house.fact(Fact::ResyncBegun);
    house.fact(Fact::GuestGone { room: "101".into(), stay: None, listed: true });
    assert_eq!(house.property.stays().len(), 2, "nobody is turned out while a list is running");
    house.seen("1", "103");
    house.fact(Fact::ResyncDone);
    assert_eq!(house.property.stays()[&StayId::from("1")].room, RoomId::from("103"));
    assert!(!house.property.stays().contains_key(&StayId::from("2")));
    let missing = Change::CheckedOut { stay: "2".into(), room: "102".into(), reason: StayEnd::MissingInList };
    assert!(house.changes.contains(&missing));
}

#[test]
fn a_command_outside_the_range_is_refused_with_its_reason() {
    let mut house = House::new();
    let role = Role::ClimateSetpoint;
    house.ask("k", Action::SetRole { room: "101".into(), role, value: Value::Float(99.0) });
    assert!(house.intents.is_empty());
    let ended = house.property.commands()[&CommandKey::from("k")].ended.clone().unwrap().1;
    assert!(matches!(ended, CommandOutcome::Refused { reason } if reason.contains("outside 5 to 30")));
}

#[test]
fn a_drivers_note_is_kept_until_it_is_forgotten() {
    let mut house = House::new();
    let device = DeviceId::from("t-101");
    let noted = |note: Option<String>| Fact::Noted { device: DeviceId::from("t-101"), note };
    house.fact(noted(Some("holes".into())));
    let saved = house.property.save(&Entity::Note(device.clone())).unwrap();
    let rows = [("note", "t-101", saved.as_slice()), ("note", "gone", saved.as_slice())];
    let restored = Property::restore(house.property.spec().clone(), rows).unwrap();
    assert_eq!(restored.notes().get(&device).map(String::as_str), Some("holes"));
    assert_eq!(restored.notes().len(), 1, "a device that is no longer configured has none");
    house.fact(noted(Some("x".repeat(crate::MOST_NOTE + 1))));
    assert_eq!(house.property.notes().len(), 0, "too long to be kept");
    house.fact(noted(Some("holes".into())));
    house.ask("k", Action::ForgetLearnt { device: device.clone() });
    assert_eq!(house.property.notes().len(), 0);
    assert_eq!(house.intents.last(), Some(&Intent::ForgetNote { device }));
    house.ask("k2", Action::ForgetLearnt { device: DeviceId::from("t-999") });
    let ended = house.property.commands()[&CommandKey::from("k2")].ended.clone().unwrap().1;
    assert!(matches!(ended, CommandOutcome::Refused { reason } if reason.contains("t-999")));
}

#[test]
fn a_posting_that_no_field_can_carry_is_refused() {
    let mut house = House::new();
    let post = |minor| Action::Post {
        room: RoomId::from("101"),
        stay: None,
        amount: Money { minor, currency: Currency::new("EUR").unwrap() },
        text: "Bar".into(),
        outlet: None,
    };
    house.ask("largest", post(99_999_999_999)).ask("credit", post(-99_999_999_999));
    assert_eq!(house.property.postings().len(), 2);
    house.ask("more", post(100_000_000_000)).ask("least", post(i64::MIN));
    assert_eq!(house.property.postings().len(), 2);
    for key in ["more", "least"] {
        let ended = house.property.commands()[&key.into()].ended.clone();
        assert!(matches!(ended, Some((_, CommandOutcome::Refused { .. }))), "{key}");
    }
}
