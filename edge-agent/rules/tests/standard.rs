//! The standard rules, one by one: what happens, when, and what must follow.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod house;

use engawa_model::{Action, ChargeState, CommandOutcome, Currency, Money, Value};
use house::House;

#[test]
fn the_standard_rules_are_sound() {
    let (file, text) = engawa_rules::standard();
    assert_eq!(engawa_rules::load("standard.toml", text, None).unwrap(), file);
    assert_eq!(file.rule.len(), 14);
    assert!(file.rule.iter().all(|rule| !rule.says.is_empty()));
}

#[test]
fn comings_and_goings_are_as_without_rules() {
    let mut house = House::standard();
    house.comes("1", "101").pass(5);
    assert_eq!(house.done(), ["d-101/setpoint = 22 (check-in)"]);
    house.goes("1", "101").pass(5);
    assert_eq!(
        house.done(),
        ["d-101/setpoint = 17 (check-out)", "PMS 101 dirty-vacant"],
        "a light that is off is not written"
    );
}

#[test]
fn an_open_window_after_two_minutes_and_back_when_it_has_been_shut_for_a_while() {
    let mut house = House::standard();
    house.comes("1", "101").pass(10).done();
    house.on("101", "window").pass(119);
    assert_eq!(house.done(), [""; 0], "not yet");
    house.pass(1);
    assert_eq!(house.done(), ["d-101/setpoint = 16 (window-open)"]);
    house.off("101", "window").pass(10);
    house.on("101", "window").pass(100);
    house.off("101", "window").pass(29);
    assert_eq!(house.done(), [""; 0], "shut for less than half a minute");
    house.pass(1);
    assert_eq!(house.done(), ["d-101/setpoint = 22 (window-open over)"]);
}

#[test]
fn a_guests_choice_stands_against_the_window_until_its_hold_ends() {
    let mut house = House::standard();
    house.comes("1", "101").on("101", "motion").pass(10);
    house.set("101", "setpoint", Value::Float(24.0)).done();
    house.on("101", "window").pass(7100);
    assert_eq!(house.done(), [""; 0], "the guest has chosen");
    house.pass(100);
    assert_eq!(house.done(), ["d-101/setpoint = 16 (window-open)"], "two hours are over");
    house.off("101", "window").pass(60);
    assert_eq!(house.done(), ["d-101/setpoint = 24 (window-open over)"], "back to what the guest chose");
}

#[test]
fn set_back_while_nothing_moves_unless_the_guest_wants_rest() {
    let mut house = House::standard();
    house.comes("1", "101").on("101", "motion").pass(60).off("101", "motion").done();
    house.pass(1799);
    assert_eq!(house.done(), [""; 0]);
    house.pass(1);
    assert_eq!(house.done(), ["d-101/setpoint = 20 (set-back)"]);
    house.on("101", "motion").pass(1);
    assert_eq!(house.done(), ["d-101/setpoint = 22 (set-back over)"]);
    house.on("101", "dnd").pass(10).off("101", "motion").pass(4000);
    assert_eq!(house.done(), ["PMS 101 do-not-disturb"], "asleep: nothing is set back");
}

#[test]
fn the_room_is_warm_when_its_guest_comes() {
    let mut house = House::standard();
    // 4 °C are missing, at the usual 2 °C an hour, and ten minutes to be sure: 2 h 10 min before 16:00.
    house.warm("101", 18.0).expect("1", "101", "2027-01-15T16:00:00Z").pass(5 * 3600 + 2999);
    assert_eq!(house.done(), [""; 0], "13:49:59 is too early");
    house.pass(1);
    assert_eq!(house.done(), ["d-101/setpoint = 22 (pre-arrival)"]);
    house.comes("1", "101").pass(60);
    assert_eq!(house.done(), [""; 0], "it is warm already");
    assert_eq!(house.property.arrivals().len(), 0, "nobody is expected any more");
}

#[test]
fn a_room_that_was_slow_before_begins_earlier() {
    let mut house = House::standard();
    house.comes("1", "101").pass(10);
    // From 16 °C, 1 °C an hour.
    for quarter in 0..=16 {
        house.warm("101", 16.0 + 0.25 * f64::from(quarter)).pass(900);
    }
    let pace = house.property.room_rules()[&"101".into()].pace().0.unwrap();
    assert!((pace - 1.0).abs() < 0.01, "{pace}");
    house.goes("1", "101").warm("101", 19.0).expect("2", "101", "2027-01-15T18:00:00Z").done();
    // It is 12:15:10; 3 °C at 1 °C an hour and ten minutes: 14:50.
    house.pass(2 * 3600 + 30 * 60);
    assert!(!house.done().contains(&"d-101/setpoint = 22 (pre-arrival)".to_owned()), "not before 14:50");
    house.pass(5 * 60);
    assert_eq!(house.done(), ["d-101/setpoint = 22 (pre-arrival)"]);
}

#[test]
fn a_guest_who_does_not_come_is_not_waited_for_all_night() {
    let mut house = House::standard();
    house.expect("1", "101", "2027-01-15T10:00:00Z").pass(3600);
    assert_eq!(house.done(), ["d-101/setpoint = 22 (pre-arrival)"]);
    house.pass(7 * 3600);
    assert_eq!(house.done(), ["d-101/setpoint = 17 (pre-arrival over)"], "six hours late");
}

#[test]
fn the_pms_can_have_a_room_prepared_itself() {
    let mut house = House::standard();
    let flags = engawa_model::RoomFlags { class_of_service: Some("2".into()), ..Default::default() };
    house.fact(engawa_model::Fact::RoomFlagged { room: "101".into(), flags });
    assert_eq!(house.done(), ["d-101/setpoint = 22 (pre-arrival)"]);
}

#[test]
fn an_unsold_room_saves_more_than_one_that_waits() {
    let mut house = House::standard();
    house.expect("1", "101", "2027-01-15T20:00:00Z").pass(3700);
    assert_eq!(house.all_done(), ["d-102/setpoint = 15 (unsold)"], "101 is sold for today");
    house.fact(engawa_model::Fact::ArrivalCancelled { stay: "1".into() }).pass(1);
    assert_eq!(house.all_done(), ["d-101/setpoint = 15 (unsold)"]);
    // Expected tomorrow is sold from midnight in Berlin on.
    house.expect("2", "102", "2027-01-16T20:00:00Z").pass(1);
    assert_eq!(house.all_done(), [""; 0]);
    house.pass(14 * 3600);
    assert_eq!(house.all_done(), ["d-102/setpoint = 17 (unsold over)"]);
}

#[test]
fn the_welcome_scene_once_a_stay() {
    let mut house = House::standard();
    house.comes("1", "101").on("101", "motion").pass(600).done();
    house.on("101", "door").off("101", "door");
    assert_eq!(house.done(), ["d-101/scene = 1 (welcome)", "d-101/light = true (welcome)"]);
    house.pass(3600).off("101", "light").on("101", "door").off("101", "door");
    assert_eq!(house.done(), [""; 0], "not each time the door opens");
    house.goes("1", "101").comes("2", "101").done();
    house.set("101", "scene", Value::Int(3)).on("101", "door");
    assert_eq!(house.done(), ["d-101/scene = 1 (welcome)", "d-101/light = true (welcome)"], "another guest");
}

#[test]
fn signs_of_the_switches_go_to_the_pms() {
    let mut house = House::standard();
    house.comes("1", "101").pass(1).done();
    house.on("101", "make-up").pass(10);
    assert_eq!(house.done(), ["PMS 101 make-up"]);
    house.on("101", "dnd").pass(10);
    assert_eq!(house.done(), ["PMS 101 off", "PMS 101 do-not-disturb"], "not to be disturbed goes before");
    house.off("101", "dnd").off("101", "make-up").pass(10);
    assert_eq!(house.done(), ["PMS 101 off"]);
}

#[test]
fn check_out_switches_the_light_off() {
    let mut house = House::standard();
    house.comes("1", "101").on("101", "light").pass(1).done();
    house.goes("1", "101");
    assert_eq!(
        house.done(),
        ["d-101/setpoint = 17 (check-out)", "d-101/light = false (check-out)", "PMS 101 dirty-vacant"]
    );
}

#[test]
fn leak_and_smoke_are_told_at_once_and_escalate_until_somebody_sees_to_it() {
    for (point, kind, steps) in [("leak", "leak", [300, 600]), ("smoke", "smoke", [60, 120])] {
        let mut house = House::standard();
        house.on("101", point);
        assert_eq!(house.alerts(), [format!("alert {kind} room 101 level 0")]);
        house.pass(steps[0] - 1);
        assert_eq!(house.alerts(), [""; 0]);
        house.pass(1);
        assert_eq!(house.alerts(), [format!("alert {kind} room 101 level 1")]);
        house.pass(steps[1]);
        assert_eq!(house.alerts(), [format!("alert {kind} room 101 level 2")]);
        house.off("101", point);
        assert_eq!(house.alerts(), [format!("over {kind} room 101")]);
        // Again, and somebody goes.
        house.on("101", point).done();
        let alert = format!("{kind}:room 101");
        assert_eq!(house.ask(Action::AcknowledgeAlert { alert: alert.clone() }), CommandOutcome::Done);
        house.done();
        house.pass(3600);
        assert_eq!(house.alerts(), [""; 0], "{kind}: somebody sees to it");
        house.off("101", point);
        let none = house.ask(Action::AcknowledgeAlert { alert });
        assert!(matches!(none, CommandOutcome::Refused { reason } if reason.contains("no active alert")));
    }
}

#[test]
fn a_low_battery_after_an_hour_and_over_when_it_is_changed() {
    let mut house = House::standard();
    house.set("101", "battery", Value::Int(14)).pass(3599);
    assert_eq!(house.alerts(), [""; 0]);
    house.pass(1);
    assert_eq!(house.alerts(), ["alert battery_low room 101 level 0"]);
    house.set("101", "battery", Value::Int(17)).pass(7200);
    assert_eq!(house.alerts(), [""; 0], "a little warmer is not a new battery");
    house.set("101", "battery", Value::Int(100));
    assert_eq!(house.alerts(), ["over battery_low room 101"]);
}

#[test]
fn the_minibar_proposes_and_staff_decide() {
    let mut house = House::standard();
    house.on("101", "minibar").off("101", "minibar").pass(400);
    assert_eq!(house.done(), [""; 0], "nobody is in the room: housekeeping fills it");
    house.comes("1", "101").done();
    house
        .on("101", "minibar")
        .off("101", "minibar")
        .pass(60)
        .on("101", "minibar")
        .off("101", "minibar")
        .pass(400);
    assert_eq!(house.done(), ["charge 101 Minibar Proposed"], "twice within five minutes is once");
    house.on("101", "minibar").off("101", "minibar").pass(400);
    let charge = &house.property.charges()[&1];
    assert_eq!((charge.count, charge.stay.as_ref().unwrap().as_str()), (2, "1"), "still one that waits");
    assert_eq!(house.property.postings().len(), 0, "nothing is posted by itself");

    let settle = |accept, minor: Option<i64>| Action::SettleCharge {
        charge: 1,
        accept,
        amount: minor.map(|minor| Money { minor, currency: Currency::new("EUR").unwrap() }),
    };
    let refused = house.ask(settle(true, None));
    assert!(matches!(refused, CommandOutcome::Refused { reason } if reason.contains("give `amount`")));
    house.ask(settle(true, Some(950)));
    assert_eq!(house.property.charges()[&1].state, ChargeState::Accepted);
    let posting = house.property.postings().values().next().unwrap();
    assert_eq!((posting.amount.minor, posting.text.as_str()), (950, "Minibar"));
    let again = house.ask(settle(true, Some(950)));
    assert!(matches!(again, CommandOutcome::Refused { reason } if reason.contains("settled already")));
    assert_eq!(house.property.postings().len(), 1, "never twice");

    house.on("101", "minibar").off("101", "minibar").pass(400);
    assert_eq!(
        house.ask(Action::SettleCharge { charge: 2, accept: false, amount: None }),
        CommandOutcome::Done
    );
    assert_eq!(house.property.postings().len(), 1);
}

#[test]
fn a_guest_of_whom_nothing_is_heard_for_a_day() {
    let mut house = House::standard();
    house.comes("1", "101").on("101", "motion").pass(60).off("101", "motion").pass(86_399);
    assert!(!house.done().iter().any(|act| act.contains("well_being")));
    house.pass(1);
    assert!(house.done().contains(&"alert guest_well_being room 101 level 0".to_owned()));
    house.pass(3600);
    assert!(house.done().contains(&"alert guest_well_being room 101 level 1".to_owned()));
    house.on("101", "motion");
    assert!(house.done().contains(&"over guest_well_being room 101".to_owned()));
}

#[test]
fn a_vacant_room_is_kept_from_frost() {
    let mut house = House::standard();
    house.warm("101", 6.5);
    assert_eq!(house.done(), ["d-101/setpoint = 12 (frost)", "alert rule room 101: frost level 0"]);
    house.warm("101", 8.5);
    assert_eq!(house.done(), [""; 0], "hysteresis");
    house.warm("101", 9.5);
    assert_eq!(house.done(), ["d-101/setpoint = 17 (frost over)", "over rule room 101: frost"]);
}

#[test]
fn a_sensor_that_says_nothing_changes_nothing_for_an_hour() {
    let mut house = House::standard();
    house.comes("1", "101").on("101", "motion").on("101", "window").pass(120).done();
    let (point, quality) = (engawa_model::PointId::new("d-101", "window"), engawa_model::Quality::Stale);
    let sampled = house.now;
    house.fact(engawa_model::Fact::Reported { point, value: Some(Value::Bool(true)), quality, sampled });
    house.pass(3500);
    assert_eq!(house.done(), [""; 0]);
    house.pass(200);
    assert!(house.done().iter().any(|act| act.contains("window-open over")));
}

#[test]
fn a_restart_in_the_middle_of_a_delay_keeps_its_time() {
    let mut house = House::standard();
    house.comes("1", "101").on("101", "motion").pass(10).done();
    house.on("101", "window").pass(60).restart().pass(59);
    assert_eq!(house.done(), [""; 0], "not yet");
    house.pass(1);
    assert_eq!(house.done(), ["d-101/setpoint = 16 (window-open)"], "two minutes since it was opened");
    house.restart().pass(600);
    assert_eq!(house.done(), [""; 0], "what is so already is not written again");
    house.off("101", "window").pass(10).restart().pass(20);
    assert_eq!(house.done(), ["d-101/setpoint = 22 (window-open over)"]);
    // A leak's escalation, too.
    house.on("101", "leak").pass(200).restart().pass(99);
    assert_eq!(house.alerts(), ["alert leak room 101 level 0"]);
    house.pass(1);
    assert_eq!(house.alerts(), ["alert leak room 101 level 1"]);
}

#[test]
fn a_rule_by_the_clock_follows_the_zone_through_the_night_of_the_clock_change() {
    let night = "[[rule]]\nname = 'night'\nwhen = { time = { from = '01:30', to = '02:30' } }\n\
        then = { setpoint = { celsius = 16 } }\n";
    let night = engawa_rules::load("night.toml", night, None).unwrap();
    // Berlin: at 02:00 it is 03:00 on 28 March 2027, so that 02:30 is 03:30; at 03:00 it is 02:00 again on 31 October
    // 2027, and the first 02:30 counts.
    for (day, hours) in [
        ("2027-03-27", ["00:30", "01:30"]),
        ("2027-03-28", ["00:30", "01:30"]),
        ("2027-03-29", ["23:30", "00:30"]),
        ("2027-10-31", ["23:30", "00:30"]),
        ("2027-11-01", ["00:30", "01:30"]),
    ] {
        let mut house = House::under(&[&night]);
        house.now = format!("{day}T12:00:00Z").parse().unwrap();
        house.now = house.now.checked_sub(jiff::SignedDuration::from_hours(20)).unwrap();
        house.pass(1).done();
        let mut turned = vec![];
        for _ in 0..(20 * 60) {
            house.pass(60);
            turned.extend(house.done().into_iter().map(|act| (house.now.strftime("%H:%M").to_string(), act)));
        }
        let hours: Vec<&str> = hours.into();
        assert_eq!(turned.iter().map(|(at, _)| at.as_str()).collect::<Vec<_>>(), hours, "{day}: {turned:?}");
    }
}
