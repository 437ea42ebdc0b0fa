//! What is wrong with rules, up to the last step that is right.

use crate::house::file;
use engawa_model::rules::{LONGEST_DELAY_S, MOST_RULES, RuleFile, Rulebook};
use engawa_model::{Role, RoomId};
use serde_json::{Value, json};

/// A rule that is sound, with `more` in place of what it has.
fn rule(more: Value) -> Value {
    let mut rule =
        json!({ "name": "r", "when": { "occupied": true }, "then": { "setpoint": { "of": "eco" } } });
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

/// Where its faults are.
fn faults(rule: Value) -> Vec<String> {
    file(json!([rule])).faults().into_iter().map(|fault| fault.at[2..].join(".")).collect()
}

fn deep(depth: usize) -> Value {
    (0..depth).fold(json!({ "occupied": true }), |inner, n| {
        if n % 2 == 0 { json!({ "any": [inner] }) } else { json!({ "not": inner }) }
    })
}

fn point(more: Value) -> Value {
    let mut point = json!({ "role": "room-temperature" });
    for (key, value) in more.as_object().unwrap() {
        point[key] = value.clone();
    }
    rule(json!({ "when": { "point": [point] } }))
}

fn points(direct: usize, nested: usize) -> Value {
    let one = json!({ "role": "window", "is": true });
    rule(json!({ "when": { "point": vec![one.clone(); direct], "any": [{ "point": vec![one; nested] }] } }))
}

fn setpoint(setpoint: Value) -> Value {
    rule(json!({ "then": { "setpoint": setpoint } }))
}

fn alert(text: &str, escalate: Value) -> Value {
    rule(json!({ "then": { "alert": { "kind": "rule", "text": text, "escalate": escalate } } }))
}

fn steps(seconds: &[u32]) -> Value {
    alert("x", seconds.iter().map(|after_s| json!({ "after_s": after_s, "text": "y" })).collect())
}

#[test]
fn each_fault_and_what_is_just_right() {
    let long = LONGEST_DELAY_S;
    let time = |from: &str, to: &str| rule(json!({ "when": { "time": { "from": from, "to": to } } }));
    let arriving = |minutes: u32| rule(json!({ "when": { "arriving": { "within_min": minutes } } }));
    let set = |role: &str| rule(json!({ "then": { "set": [{ "role": role, "value": 1.5 }] } }));
    let charge = |minor: i64| rule(json!({ "then": { "charge": { "text": "x", "amount_minor": minor } } }));
    for (rule, at) in [
        (rule(json!({})), vec![]),
        (rule(json!({ "name": "" })), vec!["name"]),
        (rule(json!({ "name": "a".repeat(40) })), vec![]),
        (rule(json!({ "name": "a".repeat(41) })), vec!["name"]),
        (rule(json!({ "name": "a".repeat(42) })), vec!["name"]),
        (rule(json!({ "name": "night-2" })), vec![]),
        (rule(json!({ "name": "Night" })), vec!["name"]),
        (rule(json!({ "priority": 100 })), vec![]),
        (rule(json!({ "priority": 101 })), vec!["priority"]),
        (rule(json!({ "for_s": long, "keep_s": long })), vec![]),
        (rule(json!({ "for_s": long + 1, "keep_s": long + 1 })), vec!["for_s", "keep_s"]),
        (rule(json!({ "for_s": long + 2 })), vec!["for_s"]),
        (rule(json!({ "when": {} })), vec!["when"]),
        (rule(json!({ "then": {} })), vec!["then"]),
        (rule(json!({ "then": {}, "after": { "sign": "off" } })), vec![]),
        (rule(json!({ "enabled": false, "when": {}, "then": {}, "priority": 101 })), vec![]),
        (points(20, 12), vec![]),
        (points(21, 12), vec!["when"]),
        (points(20, 14), vec!["when"]),
        (rule(json!({ "when": deep(4) })), vec![]),
        (rule(json!({ "when": deep(5) })), vec!["when.any.0.not.any.0.not.any.0"]),
        (rule(json!({ "when": { "any": [{}] } })), vec!["when.any.0"]),
        (rule(json!({ "when": { "occupied_for_s": long } })), vec![]),
        (rule(json!({ "when": { "occupied_for_s": long + 1 } })), vec!["when.occupied_for_s"]),
        (rule(json!({ "when": { "vacant_for_s": long + 1 } })), vec!["when.vacant_for_s"]),
        (rule(json!({ "when": { "came_within_s": long + 1 } })), vec!["when.came_within_s"]),
        (rule(json!({ "when": { "left_within_s": long + 1 } })), vec!["when.left_within_s"]),
        (arriving(0), vec!["when.arriving.within_min"]),
        (arriving(1), vec![]),
        (arriving(1440), vec![]),
        (arriving(1441), vec!["when.arriving.within_min"]),
        (time("22:00", "06:00"), vec![]),
        (time("06:00", "06:00"), vec!["when.time.to"]),
        (point(json!({ "above": 25, "hysteresis": 1 })), vec![]),
        (point(json!({ "above": 25, "for_s": long + 1 })), vec!["when.point.0.for_s"]),
        (point(json!({})), vec!["when.point.0"]),
        (point(json!({ "above": 25, "below": 15 })), vec!["when.point.0"]),
        (point(json!({ "is": true, "below": 15 })), vec!["when.point.0"]),
        (point(json!({ "is": true })), vec![]),
        (point(json!({ "is": true, "hysteresis": 0.5 })), vec!["when.point.0.hysteresis"]),
        (point(json!({ "below": 15, "hysteresis": -0.5 })), vec!["when.point.0.hysteresis"]),
        (setpoint(json!({ "celsius": 5 })), vec![]),
        (setpoint(json!({ "celsius": 35 })), vec![]),
        (setpoint(json!({ "celsius": 4.9 })), vec!["then.setpoint.celsius"]),
        (setpoint(json!({ "celsius": 35.1 })), vec!["then.setpoint.celsius"]),
        (setpoint(json!({ "celsius": 20, "of": "eco" })), vec!["then.setpoint"]),
        (setpoint(json!({ "celsius": 20, "setback_c": 1 })), vec!["then.setpoint"]),
        (setpoint(json!({ "celsius": 20, "offset_c": -1 })), vec!["then.setpoint"]),
        (setpoint(json!({ "setback_c": 15, "offset_c": -15 })), vec![]),
        (setpoint(json!({ "setback_c": 15.1 })), vec!["then.setpoint.setback_c"]),
        (setpoint(json!({ "offset_c": -15.1 })), vec!["then.setpoint.offset_c"]),
        (set("light"), vec![]),
        (set("climate-setpoint"), vec!["then.set.0.role"]),
        (set("lock"), vec!["then.set.0.role"]),
        (rule(json!({ "after": { "set": [{ "role": "lock", "value": true }] } })), vec!["after.set.0.role"]),
        (rule(json!({ "then": { "status": "clean-vacant" } })), vec![]),
        (rule(json!({ "then": { "status": "lovely" } })), vec!["then.status"]),
        (rule(json!({ "after": { "status": "lovely" } })), vec!["after.status"]),
        (alert("x", json!([])), vec![]),
        (alert("", json!([])), vec!["then.alert.text"]),
        (alert("  ", json!([])), vec!["then.alert.text"]),
        (alert(&"é".repeat(200), json!([])), vec![]),
        (alert(&"é".repeat(201), json!([])), vec!["then.alert.text"]),
        (alert(&"é".repeat(202), json!([])), vec!["then.alert.text"]),
        (alert("a\tb", json!([])), vec!["then.alert.text"]),
        (
            rule(json!({ "then": { "alert": { "kind": "write_blocked", "text": "x" } } })),
            vec!["then.alert.kind"],
        ),
        (steps(&[1, 2, 3, 4, 5, 6, 7, 8]), vec![]),
        (steps(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), vec!["then.alert.escalate"]),
        (steps(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), vec!["then.alert.escalate"]),
        (steps(&[0]), vec!["then.alert.escalate.0.after_s"]),
        (steps(&[5, 5]), vec!["then.alert.escalate.1.after_s"]),
        (steps(&[5, 4]), vec!["then.alert.escalate.1.after_s"]),
        (charge(1), vec![]),
        (charge(0), vec!["then.charge.amount_minor"]),
        (charge(-1), vec!["then.charge.amount_minor"]),
    ] {
        assert_eq!(faults(rule.clone()), at, "{rule}");
    }
}

#[test]
fn two_hundred_rules_and_no_name_twice_for_the_same_rooms() {
    let many = |count: usize| -> RuleFile {
        file((0..count).map(|n| rule(json!({ "name": format!("r{n}") }))).collect())
    };
    assert_eq!(many(MOST_RULES).faults(), []);
    for more in [1, 2] {
        let faults = many(MOST_RULES + more).faults();
        assert_eq!(faults.iter().map(|fault| fault.at.join(".")).collect::<Vec<_>>(), ["rule"]);
    }
    let twice = file(json!([rule(json!({})), rule(json!({ "rooms": ["101"] })), rule(json!({}))])).faults();
    assert_eq!(twice.iter().map(|fault| fault.at.join(".")).collect::<Vec<_>>(), ["rule.2.name"]);
    let types = file(json!([rule(json!({ "types": ["suite", "attic"] }))]));
    let types = RuleFile { types: [("suite".to_owned(), vec![])].into(), ..types };
    assert_eq!(types.faults().iter().map(|fault| fault.at.join(".")).collect::<Vec<_>>(), ["rule.0.types.1"]);
}

#[test]
fn a_rulebook_knows_what_its_rules_look_at() {
    let rooms = [RoomId::from("101"), RoomId::from("102")];
    let book = |when: Value| {
        Rulebook::compile(&[&file(json!([rule(json!({ "when": when, "rooms": ["101"] }))]))], &rooms)
    };
    let looks = |when: Value| {
        let book = book(when);
        let all = [Role::Window, Role::RoomTemperature, Role::DoNotDisturb, Role::MakeUp, Role::Leak];
        all.map(|role| book.looks_at(role))
    };
    assert_eq!(looks(json!({ "occupied": true })), [false; 5]);
    let window = json!({ "point": [{ "role": "window", "is": true }] });
    assert_eq!(looks(window.clone()), [true, false, false, false, false]);
    assert_eq!(looks(json!({ "not": window })), [true, false, false, false, false]);
    assert_eq!(looks(json!({ "any": [window] })), [true, false, false, false, false]);
    assert_eq!(looks(json!({ "sign": "off" })), [false, false, true, true, false]);
    assert_eq!(
        looks(json!({ "arriving": { "within_min": 60, "warm_up": true } })),
        [false, true, false, false, false]
    );
    assert_eq!(looks(json!({ "arriving": { "within_min": 60 } })), [false; 5]);
    let book = book(json!({ "occupied": true }));
    let count = |room: &str| book.of(&room.into()).len();
    assert_eq!((count("101"), count("102"), count("999"), book.rooms().count()), (1, 0, 0, 2));
}

#[test]
fn the_narrower_rule_counts_and_of_two_the_later_file() {
    let types = [("suite".to_owned(), vec![RoomId::from("101"), RoomId::from("102")])];
    let with = |rules: Value| RuleFile { types: types.clone().into(), ..file(rules) };
    let first = with(json!([
        rule(json!({ "name": "a", "priority": 1 })),
        rule(json!({ "name": "a", "priority": 2, "types": ["suite"] })),
        rule(json!({ "name": "a", "priority": 3, "rooms": ["101"] })),
        rule(json!({ "name": "b", "priority": 9 })),
    ]));
    let second = with(json!([
        rule(json!({ "name": "a", "priority": 4, "types": ["suite"] })),
        rule(json!({ "name": "b", "enabled": false, "rooms": ["102"] })),
    ]));
    let rooms = ["101", "102", "103"].map(RoomId::from);
    let book = Rulebook::compile(&[&first, &second], &rooms);
    let of = |room: &str| -> Vec<(String, u8)> {
        book.of(&room.into()).iter().map(|rule| (rule.name.clone(), rule.priority)).collect()
    };
    let named = |all: &[(&str, u8)]| -> Vec<(String, u8)> {
        all.iter().map(|(name, priority)| ((*name).to_owned(), *priority)).collect()
    };
    assert_eq!(of("101"), named(&[("b", 9), ("a", 3)]));
    assert_eq!(of("102"), named(&[("a", 4)]));
    assert_eq!(of("103"), named(&[("b", 9), ("a", 1)]));
}
