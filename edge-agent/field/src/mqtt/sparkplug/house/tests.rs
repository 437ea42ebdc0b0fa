//! What a hotel's day looks like to Sparkplug.

use super::*;
use engawa_model::{
    ClimateDefaults, Currency, Fact, GuestRecord, Observation, Personal, Presence, PropertySpec, RoomFlags,
    RoomSpec, Season,
};

fn property() -> Property {
    let point = |name: &str, role: Option<Role>, unit: Option<&str>, writable| PointSpec {
        name: name.into(),
        role,
        unit: unit.map(Into::into),
        writable,
        min: writable.then_some(5.0),
        max: writable.then_some(30.0),
    };
    let points = vec![
        point("setpoint", Some(Role::ClimateSetpoint), Some("Cel"), true),
        point("window", Some(Role::Window), None, false),
        point("mode", Some(Role::ClimateMode), None, false),
    ];
    Property::new(PropertySpec {
        id: "grand".into(),
        zone: "Europe/Paris".to_owned(),
        currency: Currency::new("EUR").unwrap(),
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 27.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        },
        rooms: vec![RoomSpec { id: "1/2".into() }, RoomSpec { id: "102".into() }],
        devices: vec![DeviceSpec {
            id: "t1".into(),
            room: Some("1/2".into()),
            profile: "p".to_owned(),
            points: points.into(),
        }],
        resync_every_s: 900,
        order_ttl_s: 3600,
    })
}

fn at() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn told(property: &mut Property, fact: Fact) -> Vec<Update> {
    let applied = property.apply(&Observation::new(at(), fact));
    applied.changes.iter().flat_map(|change| updates(property, change)).collect()
}

fn guest(room: &str) -> Fact {
    Fact::GuestSeen {
        stay: "4711".into(),
        room: room.into(),
        from: None,
        presence: Presence::In,
        listed: false,
        guest: GuestRecord { name: Some(Personal::new("Satoshi".to_owned())), ..GuestRecord::default() },
        flags: RoomFlags::default(),
    }
}

fn flag(name: &str, on: bool) -> Update {
    Update::Node(Reading::with(name, Value::Bool(on)))
}

#[test]
fn a_room_says_that_it_is_occupied_and_nothing_of_its_guest() {
    let mut property = property();
    assert_eq!(told(&mut property, guest("1/2")), [flag("Rooms/1%2F2/Occupied", true)]);
    let shown = serde_json::to_string(&format!("{:?}", picture(&property))).unwrap();
    assert!(!shown.contains("Satoshi") && !shown.contains("4711"), "{shown}");
    let moved = told(&mut property, guest("102"));
    assert_eq!(moved, [flag("Rooms/1%2F2/Occupied", false), flag("Rooms/102/Occupied", true)]);
}

#[test]
fn a_device_is_in_the_picture_while_it_is_well_with_all_its_points() {
    let mut property = property();
    assert!(picture(&property).devices.is_empty(), "nothing is known of it yet");
    let health = |state| Fact::Health { device: "t1".into(), state, reason: None };
    let born = told(&mut property, health(DeviceState::Well));
    let [Update::Well(device)] = born.as_slice() else { panic!("{born:?}") };
    assert_eq!(picture(&property).devices, std::slice::from_ref(device));
    let types: Vec<_> = device.metrics.iter().map(|it| (it.name.as_str(), it.expected, it.quality)).collect();
    let stale = Quality::Stale;
    assert_eq!(
        types,
        [
            ("setpoint", DataType::Double, stale),
            ("window", DataType::Boolean, stale),
            ("mode", DataType::String, stale)
        ]
    );
    let setpoint = &device.metrics[0];
    assert_eq!((setpoint.unit.as_deref(), setpoint.low, setpoint.high), (Some("Cel"), Some(5.0), Some(30.0)));
    assert!(setpoint.writable && !device.metrics[1].writable);
    assert_eq!(told(&mut property, health(DeviceState::Unwell)), [Update::Unwell("t1".into())]);
    assert!(picture(&property).devices.is_empty());
}

#[test]
fn a_report_is_told_with_its_time_and_quality() {
    let mut property = property();
    let sampled = Timestamp::from_second(1_600_000_000).unwrap();
    let point = PointId::new("t1", "setpoint");
    let fact = Fact::Reported { point, value: Some(Value::Float(21.0)), quality: Quality::Bad, sampled };
    let updates = told(&mut property, fact);
    let [Update::Metric { device, reading }] = updates.as_slice() else { panic!("{updates:?}") };
    assert_eq!((device.as_str(), reading.value.clone()), ("t1", Some(Value::Float(21.0))));
    assert_eq!((reading.quality, reading.at), (Quality::Bad, Some(sampled)));
}

#[test]
fn links_are_told_but_for_the_one_that_this_goes_over() {
    let mut property = property();
    let mut link = |name: &str, up| {
        let updates = told(&mut property, Fact::Link { link: name.into(), up, detail: String::new() });
        updates.into_iter().map(|update| format!("{update:?}")).collect::<Vec<_>>().join(" ")
    };
    assert!(link("cloud", true).contains("Links/cloud/Up"));
    assert_eq!(link(SPARKPLUG_LINK, true), "");
}
