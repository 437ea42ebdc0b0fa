//! Rule files: every fault at its place, and how files replace each other.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod house;

use engawa_model::RoomId;
use engawa_model::rules::Rulebook;

#[test]
fn every_fault_of_a_file_is_shown_at_its_place() {
    let rooms = ["101", "102"].map(RoomId::from);
    let report =
        engawa_rules::load("rules.toml", include_str!("broken/faults.toml"), Some(&rooms)).unwrap_err();
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn narrower_and_later_rules_replace_others_of_their_name() {
    let house = "[types]\nsuite = ['201', '202']\n\
        [[rule]]\nname = 'window-open'\nwhen = { occupied = true }\nthen = { setpoint = { celsius = 15 } }\n\
        [[rule]]\nname = 'window-open'\ntypes = ['suite']\nwhen = { occupied = true }\nthen = { setpoint = { celsius = 16 } }\n\
        [[rule]]\nname = 'window-open'\nrooms = ['202']\nenabled = false\n\
        [[rule]]\nname = 'own'\npriority = 100\nwhen = { vip = true }\nthen = { setpoint = { offset_c = 1 } }\n";
    let (standard, own) =
        (engawa_rules::standard().0, engawa_rules::load("rules.toml", house, None).unwrap());
    let rooms = ["101", "201", "202"].map(RoomId::from);
    let book = Rulebook::compile(&[&standard, &own], &rooms);
    let of = |room: &str, name: &str| {
        let rules = book.of(&room.into());
        rules.iter().find(|rule| rule.name == name).map(|rule| rule.then.setpoint.clone().unwrap())
    };
    assert_eq!(of("101", "window-open").unwrap().celsius, Some(15.0));
    assert_eq!(of("201", "window-open").unwrap().celsius, Some(16.0));
    assert_eq!(of("202", "window-open"), None, "switched off there");
    assert!(of("101", "set-back").is_some(), "the others are as they were");
    assert_eq!(book.of(&"101".into())[0].name, "own", "the highest priority first");
}
