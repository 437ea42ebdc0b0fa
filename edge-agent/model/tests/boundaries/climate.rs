//! Set points and other writes: what is there already, what is on its way, what a guest has chosen.

use crate::house::{House, spec};
use engawa_model::firewall::{FirewallConfig, RoleLimits, Source};
use engawa_model::*;
use serde_json::json;

fn chosen(house: &House) -> usize {
    house.changes.iter().filter(|change| change.kind() == "comfort_chosen").count()
}

fn comfort(house: &House, stay: &str) -> Option<f64> {
    house.property.stays()[&stay.into()].comfort
}

#[test]
fn half_a_step_of_a_thermostat_is_another_set_point() {
    let mut house = House::new();
    house.comes("1", "101").obey().pass(1).set("101", "setpoint", 0.0);
    assert_eq!((chosen(&house), comfort(&house, "1")), (1, Some(0.0)));
    house.set("101", "setpoint", 0.04);
    assert_eq!((chosen(&house), comfort(&house, "1")), (1, Some(0.0)), "it rounds");
    house.set("101", "setpoint", 0.0).set("101", "setpoint", 0.05);
    assert_eq!((chosen(&house), comfort(&house, "1")), (2, Some(0.05)));
    // What is no number is nobody's wish.
    for odd in [f64::NAN, f64::INFINITY] {
        house.set("101", "setpoint", odd);
        assert_eq!((chosen(&house), comfort(&house, "1")), (2, Some(0.05)), "{odd}");
    }
}

#[test]
fn a_choice_is_of_those_in_the_room() {
    let mut house = House::new();
    house.comes("1", "101").comes("2", "101").comes("3", "103").obey().pass(1).set("101", "setpoint", 24.0);
    assert_eq!((chosen(&house), comfort(&house, "1"), comfort(&house, "2")), (2, Some(24.0), Some(24.0)));
    assert_eq!(comfort(&house, "3"), None);
    let hold = house.property.rooms()[&"101".into()].hold.unwrap();
    assert_eq!(hold.until.duration_since(house.now).as_secs(), 7200);
    house.goes("3", "103").obey().set("103", "setpoint", 25.0);
    assert_eq!(house.property.rooms()[&"103".into()].hold, None, "in a vacant room it is nobody's");
}

#[test]
fn a_value_that_is_there_is_not_written_again() {
    let mut house = House::new();
    house.set("101", "fan", 0.0).ask_point("near", "d-101/fan", 0.04);
    assert_eq!((house.done("near"), house.writes()), (true, vec![]));
    house.ask_point("step", "d-101/fan", 0.05);
    assert_eq!((house.end("step"), house.writes().len()), (None, 1));
    house.obey().set("101", "fan", 2_i64).ask_point("same", "d-101/fan", 2.0);
    assert_eq!((house.done("same"), house.writes()), (true, vec![]), "two is two");
    house.set("101", "scene", "evening").ask_point("there", "d-101/scene", "evening");
    assert_eq!((house.done("there"), house.writes()), (true, vec![]));
    house.ask_point("night", "d-101/scene", "night");
    assert_eq!(house.writes(), [("d-101/scene".to_owned(), Value::Text("night".into()))]);
    house.ask_point("number", "d-101/fan", "2");
    assert_eq!((house.end("number"), house.writes().len()), (None, 1), "a text is no number");
}

#[test]
fn a_routine_order_that_is_on_its_way_is_not_given_twice() {
    let window = |name: &str, role: &str, celsius: u8, priority: u8| {
        json!({ "name": name, "priority": priority, "when": { "point": [{ "role": role, "is": true }] },
            "then": { "setpoint": { "celsius": celsius } } })
    };
    let rules =
        json!([window("a", "window", 15, 1), window("b", "occupancy", 15, 2), window("c", "leak", 14, 3)]);
    let mut house = House::under(rules);
    // 102 has two thermostats; one of them has 15 already.
    house.reports("e-102", "setpoint", 15.0, Quality::Good).set("102", "window", true);
    let to = |device: &str, celsius: f64| (format!("{device}/setpoint"), Value::Float(celsius));
    assert_eq!(house.writes(), [to("d-102", 15.0)]);
    // It is turned away from it while the other's order is on its way.
    house.reports("e-102", "setpoint", 19.0, Quality::Good).set("102", "occupancy", true);
    assert_eq!(house.writes(), [to("e-102", 15.0)], "the other's is on its way already");
    house.set("102", "leak", true);
    assert_eq!(house.writes(), [to("d-102", 14.0), to("e-102", 14.0)], "another value takes its place");
    assert_eq!(house.property.orders().len(), 2);
}

#[test]
fn what_the_wall_puts_off_and_what_it_turns_away() {
    let lamp = json!([{ "name": "lamp", "when": { "point": [{ "role": "window", "is": true }] },
        "then": { "set": [{ "role": "light", "value": true }] },
        "after": { "set": [{ "role": "light", "value": false }] } }]);
    let once = FirewallConfig { point_per_minute: 1, ..FirewallConfig::default() };
    let mut house = House::governed(spec(), lamp, once);
    house.set("103", "window", true).obey().set("103", "window", false);
    // Put off once or more often, and turned away so many times.
    let counts = |house: &House| {
        let [deferred, budget, source] =
            ["firewall-deferred", "firewall-budget", "firewall-source"].map(|reason| house.counted(reason));
        (deferred > 0, budget, source)
    };
    assert_eq!((house.writes(), counts(&house)), (vec![], (false, 1, 0)), "a light does not wait");
    // A set point of the house does, until the minute is over.
    house.comes("1", "103").obey().goes("1", "103");
    assert_eq!((house.writes(), counts(&house)), (vec![], (true, 1, 0)));
    house.pass_ms(59_999);
    assert_eq!(house.writes(), []);
    house.pass_ms(1);
    assert_eq!(house.writes(), [("d-103/setpoint".to_owned(), Value::Float(17.0))]);
    // What is never allowed does not wait either.
    let mut staff = FirewallConfig::default();
    let sources = Some(vec![Source::Staff]);
    staff.role.insert(Role::ClimateSetpoint, RoleLimits { sources, ..RoleLimits::default() });
    let mut house = House::governed(spec(), json!([]), staff);
    house.comes("1", "103");
    assert_eq!((house.writes(), counts(&house)), (vec![], (false, 0, 1)));
    assert_eq!(house.property.next_wake(), None);
}

#[test]
fn the_houses_own_set_points_are_cut_to_what_is_allowed() {
    let mut narrow = FirewallConfig::default();
    let limits = RoleLimits { min: Some(18.0), max: Some(21.0), ..RoleLimits::default() };
    narrow.role.insert(Role::ClimateSetpoint, limits);
    let mut house = House::governed(spec(), json!([]), narrow);
    house.comes("1", "101");
    assert_eq!(house.writes(), [("d-101/setpoint".to_owned(), Value::Float(21.0))]);
    house.goes("1", "101");
    assert_eq!(house.writes(), [("d-101/setpoint".to_owned(), Value::Float(18.0))]);
    // And to what the device takes.
    let mut cold = spec();
    (cold.climate.comfort_c, cold.climate.eco_heating_c) = (31.0, 4.0);
    let mut house = House::of(Property::new(cold));
    house.comes("1", "101");
    assert_eq!(house.writes(), [("d-101/setpoint".to_owned(), Value::Float(30.0))]);
    house.goes("1", "101");
    assert_eq!(house.writes(), [("d-101/setpoint".to_owned(), Value::Float(5.0))]);
}

#[test]
fn what_staff_set_is_the_guests_comfort_once_it_is_done() {
    let failed = CommandOutcome::Refused { reason: "no answer".into() };
    for (outcome, is) in [(CommandOutcome::Done, Some(20.0)), (failed, None), (CommandOutcome::Expired, None)]
    {
        let mut house = House::new();
        house.comes("1", "101").obey().ask_point("k", "d-101/setpoint", 20.0);
        house.fact(Fact::Written { key: "k".into(), outcome: outcome.clone(), read_back: None });
        assert_eq!((comfort(&house, "1"), house.end("k")), (is, Some(outcome.clone())));
        let failed = house.property.alerts().get("write_failed:d-101/setpoint");
        assert_eq!(failed.is_some(), matches!(outcome, CommandOutcome::Refused { .. }));
        house.ask_point("again", "d-101/setpoint", 21.0);
        house.fact(Fact::Written { key: "again".into(), outcome: CommandOutcome::Done, read_back: None });
        assert!(house.property.alerts().values().all(|alert| !alert.active), "it works again");
    }
    let mut house = House::new();
    house.comes("1", "101").obey().ask_point("k", "d-101/fan", 2.0).obey();
    assert_eq!((house.done("k"), comfort(&house, "1")), (true, None), "a fan is no set point");
}

#[test]
fn a_blocked_device_is_an_alert_until_ten_quiet_minutes_have_passed() {
    let firewall = FirewallConfig { point_per_minute: 1, alarm_after: 2, ..FirewallConfig::default() };
    let mut house = House::governed(spec(), json!([]), firewall);
    house.ask_point("a", "d-103/fan", 1.0).obey().ask_point("b", "d-103/fan", 2.0).pass(1);
    let active = |house: &House| house.property.alerts().get("write_blocked:d-103").map(|alert| alert.active);
    assert_eq!((active(&house), house.property.next_wake()), (None, None));
    house.ask_point("c", "d-103/fan", 2.0);
    assert_eq!(active(&house), Some(true));
    assert_eq!(house.property.next_wake().unwrap().duration_since(house.now).as_secs(), 600);
    house.pass_ms(599_999);
    assert_eq!(active(&house), Some(true));
    house.pass_ms(1);
    assert_eq!((active(&house), house.property.next_wake()), (Some(false), None));
}

#[test]
fn water_is_over_when_no_sensor_of_the_room_is_wet() {
    let mut house = House::new();
    let active = |house: &House| house.property.alerts()["leak:room 101"].active;
    house.set("101", "leak", true).reports("e-101", "leak", true, Quality::Good).set("101", "leak", false);
    assert!(active(&house));
    house.reports("e-101", "leak", false, Quality::Good);
    assert!(!active(&house));
    house.set("101", "leak", true).set("101", "leak", false);
    assert!(!active(&house));
}
