//! Rules at work: what they remember, what they tell, and what they are not let do.

use crate::house::{House, policy, restored, spec};
use engawa_model::firewall::FirewallConfig;
use engawa_model::*;
use serde_json::{Value as Json, json};

/// A rule on a switch of the room, with `more`.
fn on(name: &str, role: &str, more: Json) -> Json {
    let mut rule = json!({ "name": name, "when": { "point": [{ "role": role, "is": true }] } });
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

fn lamp() -> Json {
    json!({ "then": { "set": [{ "role": "light", "value": true }] } })
}

fn alert(kind: &str, steps: &[u32]) -> Json {
    let escalate: Vec<Json> = steps
        .iter()
        .map(|after_s| json!({ "after_s": after_s, "text": format!("after {after_s}") }))
        .collect();
    json!({ "then": { "alert": { "kind": kind, "text": "first", "escalate": escalate } } })
}

fn statuses(house: &mut House) -> Vec<(String, String)> {
    let status = |intent: Intent| match intent {
        Intent::SendRoomStatus { room, status, .. } => Some((room.to_string(), status)),
        _ => None,
    };
    std::mem::take(&mut house.intents).into_iter().filter_map(status).collect()
}

#[test]
fn a_rule_that_is_on_is_on_for_the_next_guest_too() {
    let mut house = House::under(json!([on("lamp", "window", lamp())]));
    house.set("103", "window", true);
    assert_eq!(house.writes(), [("d-103/light".to_owned(), Value::Bool(true))]);
    house.obey().comes("1", "103").obey();
    // Staff have switched it off; the guest's coming does not switch it on.
    house.set("103", "light", false).comes("2", "103").goes("1", "103").goes("2", "103");
    assert!(house.writes().iter().all(|(point, _)| point == "d-103/setpoint"));
    assert_eq!(house.on("103"), ["lamp"]);
}

#[test]
fn once_a_stay_is_by_when_it_came_on() {
    let once = json!({ "once_a_stay": true, "then": { "set": [{ "role": "light", "value": true }] } });
    let mut house = House::under(json!([on("lamp", "window", once)]));
    let shut_and_open = |house: &mut House| {
        house.obey().set("103", "window", false).set("103", "window", true);
        !house.on("103").is_empty()
    };
    house.comes("1", "103").set("103", "window", true);
    assert_eq!(house.on("103"), ["lamp"]);
    // It is still on when the next guest comes: going off then is no occasion of theirs.
    house.goes("1", "103").comes("2", "103");
    assert!(shut_and_open(&mut house), "the first time in this stay");
    assert!(!shut_and_open(&mut house), "and not again");
    house.goes("2", "103").comes("3", "103");
    assert!(shut_and_open(&mut house));
}

#[test]
fn a_rule_that_is_gone_takes_its_alert_along() {
    let rules = json!([on("a", "window", alert("rule", &[])), on("b", "occupancy", alert("rule", &[]))]);
    let mut house = House::under(rules);
    house.set("101", "window", true).set("101", "occupancy", true);
    let active = |house: &House| -> Vec<String> {
        let alerts = house.property.alerts().iter();
        alerts.filter(|(_, alert)| alert.active).map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(active(&house), ["rule:room 101: a", "rule:room 101: b"]);
    let mut again = House::of(restored(&house.rows()));
    again
        .property
        .govern(policy(json!([on("b", "occupancy", alert("rule", &[]))]), FirewallConfig::default()));
    again.fact(Fact::Tick);
    assert_eq!((active(&again), again.on("101")), (vec!["rule:room 101: b".to_owned()], vec!["b"]));
    again.set("101", "occupancy", false);
    assert_eq!(active(&again), [""; 0]);
}

#[test]
fn an_alert_is_raised_higher_step_by_step_until_somebody_sees_to_it() {
    let mut house = House::under(json!([on("a", "window", alert("rule", &[60, 120]))]));
    house.set("101", "window", true).clear();
    let is = |house: &House| {
        let alert = &house.property.alerts()["rule:room 101: a"];
        (alert.level, alert.count, alert.text.clone())
    };
    house.pass(59);
    assert_eq!(is(&house), (0, 1, "first".to_owned()));
    house.pass(1);
    assert_eq!(is(&house), (1, 2, "after 60".to_owned()));
    house.pass(59).set("101", "occupancy", true);
    assert_eq!(is(&house), (1, 2, "after 60".to_owned()));
    house.pass(1);
    assert_eq!((is(&house), house.kinds().len() - 1), ((2, 3, "after 120".to_owned()), 2));
    assert_eq!(house.property.alerts()["rule:room 101: a"].last, house.now);
    let mut seen = House::under(json!([on("a", "window", alert("rule", &[60]))]));
    seen.set("101", "window", true).ask("k", Action::AcknowledgeAlert { alert: "rule:room 101: a".into() });
    assert_eq!(is(seen.pass(60)), (0, 1, "first".to_owned()));
    // Both steps have come when it is looked at: it is told of the higher one.
    let mut late = House::under(json!([on("a", "window", alert("rule", &[60, 120]))]));
    late.set("101", "window", true);
    late.now = late.now.checked_add(jiff::SignedDuration::from_secs(120)).unwrap();
    assert_eq!(is(late.fact(Fact::Tick)), (2, 2, "after 120".to_owned()));
}

#[test]
fn two_rules_on_one_danger_tell_each_level_once() {
    let rules = json!([on("a", "leak", alert("leak", &[60])), on("b", "leak", alert("leak", &[90, 200]))]);
    let mut house = House::under(rules);
    house.set("101", "leak", true);
    let count = |house: &House| house.property.alerts()["leak:room 101"].count;
    assert_eq!((count(house.pass(60)), count(house.pass(30)), count(house.pass(110))), (2, 2, 3));
}

#[test]
fn water_that_comes_back_does_not_repeat_the_steps_that_were_taken() {
    let mut keeps = alert("leak", &[60]);
    keeps["keep_s"] = json!(600);
    let mut house = House::under(json!([on("a", "leak", keeps)]));
    house.set("101", "leak", true).pass(60);
    let is = |house: &House| (house.property.alerts()["leak:room 101"].level, house.on("101").len());
    assert_eq!(is(&house), (1, 1));
    house.set("101", "leak", false).pass(1).set("101", "leak", true);
    assert_eq!(is(&house), (0, 1), "a new alert of a rule that never went off");
    house.pass(1).set("101", "window", true).comes("1", "101");
    assert_eq!(is(&house), (0, 1));
}

#[test]
fn a_setback_follows_the_guests_choice_also_where_no_choice_is_held() {
    let back = json!({ "then": { "setpoint": { "setback_c": 2 } } });
    for hold_s in [0, 7200] {
        let mut spec = spec();
        spec.climate.guest_hold_s = hold_s;
        let rules = json!([on("back", "window", back.clone())]);
        let mut house = House::governed(spec, rules, FirewallConfig::default());
        house.comes("1", "103").obey().set("103", "window", true);
        assert_eq!(house.writes(), [("d-103/setpoint".to_owned(), Value::Float(20.0))]);
        house.obey().pass(1).set("103", "setpoint", 24.0);
        let wanted = ("d-103/setpoint".to_owned(), Value::Float(22.0));
        assert_eq!(house.writes(), if hold_s == 0 { vec![wanted.clone()] } else { vec![] });
        assert_eq!(house.pass(7200).writes(), if hold_s == 0 { vec![] } else { vec![wanted] });
    }
}

#[test]
fn what_a_choice_holds_back_is_counted_once() {
    let cold = json!({ "then": { "setpoint": { "celsius": 15 } } });
    let rules = json!([
        on("cold", "window", cold.clone()),
        on("other", "occupancy", cold),
        on("lamp", "leak", lamp())
    ]);
    let mut house = House::under(rules);
    house.comes("1", "103").obey().pass(1).set("103", "setpoint", 24.0);
    house.set("103", "leak", true).set("103", "leak", false);
    assert_eq!(house.counted("held-for-guest"), 0, "no rule wants a set point");
    house.set("103", "window", true).set("103", "leak", true).pass(60).set("103", "leak", false);
    assert_eq!(house.counted("held-for-guest"), 1);
    house.set("103", "window", false).set("103", "occupancy", true);
    assert_eq!(house.counted("held-for-guest"), 2, "another rule is held back");
    house.obey();
    house.pass(7200);
    assert_eq!(house.writes(), [("d-103/setpoint".to_owned(), Value::Float(15.0))]);
}

#[test]
fn a_rule_is_stored_when_it_changes_and_only_then() {
    let mut house = House::under(json!([on("lamp", "window", lamp())]));
    let stored = |house: &House, room: &str| house.touched.contains(&Entity::RoomRules(room.into()));
    house.set("103", "window", true);
    assert!(stored(&house, "103") && !stored(&house, "102"));
    house.obey().comes("1", "102");
    assert!(stored(&house, "102") && !stored(&house, "103"));
    house
        .set("103", "occupancy", true)
        .flags("103", RoomFlags { tv_right: Some("TU".into()), ..RoomFlags::default() });
    assert!(!stored(&house, "103"), "looked at, and as it was");
}

#[test]
fn a_rule_writes_what_fits() {
    let set = |role: &str, value: Json| json!({ "then": { "set": [{ "role": role, "value": value }] } });
    let rules = json!([
        on("a", "window", set("window", json!(true))),
        on("b", "occupancy", set("light", json!(true)))
    ]);
    let mut house = House::under(rules);
    house.set("103", "window", true);
    assert_eq!((house.writes(), house.counted("rule-write-unfit")), (vec![], 1), "a window is not written");
    house.set("103", "occupancy", true);
    assert_eq!((house.writes().len(), house.counted("rule-write-unfit")), (1, 1));
}

#[test]
fn the_newest_status_of_a_room_takes_the_place_of_one_that_waits() {
    let status = json!({ "then": { "status": "dirty-occupied", "sign": "make-up" }, "after": { "status": "clean-occupied", "sign": "off" } });
    let mut house = House::under(json!([on("s", "window", status)]));
    house.link(PMS_LINK, false);
    // Staff's own word waits beside them, and so does that of other rooms.
    house.ask("staff", Action::RoomStatus { room: "101".into(), status: "inspected-occupied".into() });
    house.set("102", "window", true).set("101", "window", true).set("101", "window", false);
    house.pass(1).clear().link(PMS_LINK, true);
    let mut sent = statuses(&mut house);
    sent.sort();
    let told = |room: &str, word: &str| (room.to_owned(), word.to_owned());
    assert_eq!(
        sent,
        [
            told("101", "clean-occupied"),
            told("101", "inspected-occupied"),
            told("101", "off"),
            told("102", "dirty-occupied"),
            told("102", "make-up"),
        ]
    );
    let superseded = house
        .property
        .commands()
        .values()
        .filter(|record| matches!(record.ended, Some((_, CommandOutcome::Superseded))))
        .count();
    assert_eq!(superseded, 2);
    // What was told is done, and stays so.
    let keys: Vec<CommandKey> = house.property.commands().keys().cloned().collect();
    for key in keys {
        house.fact(Fact::StatusSent { key });
    }
    house.clear().set("101", "window", true);
    assert_eq!(house.kinds().iter().filter(|kind| **kind == "command_ended").count(), 0);
}

#[test]
fn without_a_pms_no_status_is_told() {
    let status = json!({ "then": { "status": "dirty-occupied", "sign": "make-up" } });
    let mut property = Property::new(spec());
    property.govern(policy(json!([on("s", "window", status)]), FirewallConfig::default()));
    let mut house = House::of(property);
    house.set("101", "window", true);
    assert_eq!((house.counted("rule-status-without-pms"), house.property.commands().len()), (2, 0));
}

#[test]
fn a_sensor_that_says_nothing_is_waited_for_an_hour() {
    let mut house = House::under(json!([on("lamp", "window", lamp())]));
    house.set("103", "window", true).reports("d-103", "window", true, Quality::Stale);
    house.pass(3599);
    assert_eq!(house.on("103"), ["lamp"]);
    house.pass(1);
    assert_eq!(house.on("103"), [""; 0]);
    // It comes back in time: the hour is counted anew.
    house.set("103", "window", true).reports("d-103", "window", true, Quality::Stale).pass(1800);
    house.set("103", "window", true).pass(1).reports("d-103", "window", true, Quality::Stale).pass(3599);
    assert_eq!(house.on("103"), ["lamp"]);
}

#[test]
fn delays_before_it_comes_on_and_before_it_goes_off() {
    let mut slow = lamp();
    (slow["for_s"], slow["keep_s"]) = (json!(60), json!(30));
    let mut house = House::under(json!([on("lamp", "window", slow)]));
    house.set("103", "window", true);
    assert!(house.pass(59).on("103").is_empty());
    assert_eq!(house.pass(1).on("103"), ["lamp"]);
    house.set("103", "window", false);
    assert_eq!(house.pass(29).on("103"), ["lamp"]);
    assert!(house.pass(1).on("103").is_empty());
    house.set("103", "window", true).pass(59).set("103", "window", false).set("103", "window", true);
    assert!(house.pass(59).on("103").is_empty(), "counted anew");
}

#[test]
fn set_points_are_reckoned_by_season_and_priority() {
    for (setpoint, season, guest, celsius) in [
        (json!({ "setback_c": 3 }), Season::Heating, true, 19.0),
        (json!({ "setback_c": 3 }), Season::Cooling, true, 25.0),
        (json!({ "setback_c": 3 }), Season::Heating, false, 14.0),
        (json!({ "of": "comfort", "offset_c": 1 }), Season::Heating, false, 23.0),
        (json!({ "of": "eco", "offset_c": -1 }), Season::Cooling, true, 26.0),
        (json!({ "celsius": 20 }), Season::Cooling, false, 20.0),
    ] {
        let mut spec = spec();
        spec.climate.season = season;
        let mut low = json!({ "then": { "setpoint": { "celsius": 9 } } });
        low["priority"] = json!(1);
        let mut high = json!({ "then": { "setpoint": setpoint } });
        high["priority"] = json!(2);
        let rules = json!([on("low", "window", low), on("high", "window", high)]);
        let mut house = House::governed(spec, rules, FirewallConfig::default());
        if guest {
            house.comes("1", "103").obey();
        }
        house.set("103", "window", true);
        assert_eq!(
            house.writes(),
            [("d-103/setpoint".to_owned(), Value::Float(celsius))],
            "{setpoint} {season:?}"
        );
        house.obey().set("103", "window", false);
        let base = if guest {
            22.0
        } else if season == Season::Heating {
            17.0
        } else {
            27.0
        };
        assert_eq!(house.writes(), [("d-103/setpoint".to_owned(), Value::Float(base))], "{setpoint} over");
    }
}
