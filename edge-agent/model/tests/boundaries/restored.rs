//! What comes back from the store, and what the configuration no longer has.

use crate::house::{House, policy, restored, spec};
use engawa_model::firewall::FirewallConfig;
use engawa_model::*;
use serde_json::json;

#[test]
fn what_the_configuration_no_longer_has_is_left_out() {
    let rules = json!([{ "name": "lamp", "when": { "point": [{ "role": "window", "is": true, "for_s": 60 }] },
        "then": { "set": [{ "role": "light", "value": true }] } }]);
    let mut house = House::under(rules.clone());
    let eta = Some(house.now);
    house.comes("1", "101").set("101", "window", true).fact(Fact::ArrivalExpected {
        stay: "8".into(),
        room: "102".into(),
        date: None,
        eta,
        vip: Some("V1".into()),
    });
    house.fact(Fact::Noted { device: "d-101".into(), note: Some("n".into()) });
    house.fact(Fact::Health { device: "d-101".into(), state: DeviceState::Well, reason: None });
    let mut rows = house.rows();
    let strangers: Vec<_> = rows
        .iter()
        .filter_map(|(kind, key, body)| {
            let key = match (kind.as_str(), key.as_str()) {
                ("room" | "room_rules", "101") => "999",
                ("writes" | "device" | "note", "d-101") => "d-999",
                ("point", "d-101/window") => "d-101/door",
                ("meta", _) => return Some(("of-a-newer-release".to_owned(), "1".to_owned(), body.clone())),
                _ => return None,
            };
            Some((kind.clone(), key.to_owned(), body.clone()))
        })
        .collect();
    assert_eq!(strangers.len(), 7);
    let own = rows.clone();
    rows.extend(strangers);
    rows.push(("charge".into(), "many".into(), "{".into()));
    rows.push(("posting".into(), "many".into(), "{".into()));
    let again = House::of(restored(&rows));
    assert_eq!(again.rows(), own);
    assert_eq!(again.property.arrivals()[&"8".into()].vip.as_deref(), Some("V1"));
    // It goes on counting where it was.
    let mut again = again;
    again.property.govern(policy(rules, FirewallConfig::default()));
    again.now = house.now;
    again.clear().pass(59);
    assert!(again.on("101").is_empty());
    again.pass(1);
    assert_eq!(again.on("101"), ["lamp"]);
}

#[test]
fn what_can_not_be_read_is_named() {
    let error = Property::restore(spec(), [("stay", "4711", b"{".as_slice())]).unwrap_err();
    assert_eq!(error.to_string(), "stored stay `4711` can't be read");
}

#[test]
fn a_choice_stands_for_two_hours_where_nothing_else_is_said() {
    let climate = json!({ "comfort_c": 22, "eco_heating_c": 17, "eco_cooling_c": 27 });
    let climate: ClimateDefaults = serde_json::from_value(climate).unwrap();
    assert_eq!((climate.guest_hold_s, climate.season), (7200, Season::Heating));
}
