//! How fast a room warms up and cools down, learnt from its thermostat.

use crate::house::{House, spec};
use engawa_model::firewall::FirewallConfig;
use engawa_model::*;
use serde_json::json;

fn house(season: Season) -> House {
    let mut spec = spec();
    spec.climate.season = season;
    let mut house = House::governed(spec, json!([]), FirewallConfig::default());
    house.set("101", "setpoint", 22.0);
    house
}

/// What was learnt of 101 from temperatures at minutes.
fn learnt(season: Season, told: &[(i64, f64)]) -> (Option<f64>, Option<f64>) {
    let mut house = house(season);
    let begun = house.now;
    for (minute, celsius) in told {
        house.now = begun.checked_add(jiff::SignedDuration::from_mins(*minute)).unwrap();
        house.set("101", "temperature", *celsius);
    }
    house.property.room_rules()[&"101".into()].pace()
}

#[test]
fn a_pace_follows_a_quarter_of_the_way() {
    use Season::{Cooling, Heating};
    for (what, season, told, heating, cooling) in [
        ("a degree in a quarter of an hour", Heating, vec![(0, 18.0), (15, 19.0)], Some(4.0), None),
        ("a minute less", Heating, vec![(0, 18.0), (14, 19.0)], None, None),
        ("then half of it", Heating, vec![(0, 18.0), (15, 19.0), (30, 19.5)], Some(3.5), None),
        ("cooling", Cooling, vec![(0, 26.0), (15, 25.0)], None, Some(4.0)),
        ("cooling, then half of it", Cooling, vec![(0, 26.0), (15, 25.0), (30, 24.5)], None, Some(3.5)),
        ("half a degree away it is watched", Heating, vec![(0, 21.0), (15, 21.5)], Some(2.0), None),
        ("nearer it is there", Heating, vec![(0, 21.0), (15, 21.75)], None, None),
        ("a fifth of a degree says nothing", Heating, vec![(0, 0.0), (15, 0.2)], None, None),
        (
            "up and down to where it was",
            Heating,
            vec![(0, 18.0), (5, 18.1), (10, 18.0), (15, 19.0)],
            Some(4.0),
            None,
        ),
        ("it cools first", Heating, vec![(0, 18.0), (5, 17.0), (19, 18.0)], None, None),
        ("counted from the coldest", Heating, vec![(0, 18.0), (5, 17.0), (20, 18.0)], Some(4.0), None),
        (
            "a dull hour and a half is forgotten",
            Heating,
            vec![(0, 18.0), (90, 18.1), (104, 19.1)],
            None,
            None,
        ),
        ("and what follows counts", Heating, vec![(0, 18.0), (90, 18.0625), (105, 18.5625)], Some(2.0), None),
        ("a minute less is not", Heating, vec![(0, 18.0), (89, 18.1), (90, 19.5)], Some(1.0), None),
        ("never faster than rooms are", Heating, vec![(0, 5.0), (15, 20.0)], Some(12.0), None),
        ("nor slower", Heating, vec![(0, 18.0), (600, 18.5)], Some(0.2), None),
        ("there in between", Cooling, vec![(0, 24.0), (5, 22.2), (10, 24.0), (16, 23.0)], None, None),
        ("there in between, heated", Heating, vec![(0, 20.0), (5, 21.8), (10, 20.0), (16, 21.0)], None, None),
        ("too cold while it cools", Cooling, vec![(0, 20.0), (15, 19.0)], None, None),
        ("too warm while it heats", Heating, vec![(0, 24.0), (15, 25.0)], None, None),
    ] {
        assert_eq!(learnt(season, &told), (heating, cooling), "{what}");
    }
}

#[test]
fn a_stretch_that_says_nothing() {
    let stretch = |house: &mut House, quality| {
        house.reports("d-101", "temperature", 18.0, quality).pass(900);
        house.reports("d-101", "temperature", 19.0, quality);
        house.property.room_rules()[&"101".into()].pace().0
    };
    assert_eq!(stretch(&mut house(Season::Heating), Quality::Good), Some(4.0));
    assert_eq!(stretch(&mut house(Season::Heating), Quality::Stale), None, "a sensor that is not sure");
    assert_eq!(
        stretch(house(Season::Heating).set("101", "window", true), Quality::Good),
        None,
        "an open window"
    );
    assert_eq!(stretch(house(Season::Heating).set("101", "window", false), Quality::Good), Some(4.0));
    let mut unsure = house(Season::Heating);
    unsure.reports("d-101", "setpoint", 22.5, Quality::Stale);
    assert_eq!(stretch(&mut unsure, Quality::Good), None, "a set point that is not sure");
    // Without rules nothing is learnt, or kept.
    let mut plain = House::new();
    plain.set("101", "setpoint", 22.0).set("101", "temperature", 18.0).pass(900).set(
        "101",
        "temperature",
        19.0,
    );
    assert!(plain.property.room_rules().is_empty());
    // What was learnt is stored when it changes.
    let mut house = house(Season::Heating);
    let rules = Entity::RoomRules("101".into());
    assert!(house.set("101", "temperature", 18.0).touched.contains(&rules));
    assert!(!house.pass(60).set("101", "temperature", 18.1).touched.contains(&rules));
}
