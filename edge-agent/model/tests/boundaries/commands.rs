//! What may be asked, and what is kept of it.

use crate::house::{House, restored, spec};
use engawa_model::firewall::FirewallConfig;
use engawa_model::*;
use serde_json::json;

#[test]
fn what_a_point_takes() {
    for (point, value, with) in [
        ("d-101/setpoint", Value::Float(5.0), None),
        ("d-101/setpoint", Value::Float(30.0), None),
        ("d-101/setpoint", Value::Float(4.99), Some("4.99 is outside 5 to 30")),
        ("d-101/setpoint", Value::Float(30.01), Some("30.01 is outside 5 to 30")),
        ("d-101/setpoint", Value::Float(f64::NAN), Some("outside 5 to 30")),
        ("d-101/setpoint", Value::Text("warm".into()), Some("takes a number")),
        ("d-101/blind", Value::Float(1e6), None),
        ("d-101/blind", Value::Float(-0.1), Some("-0.1 is outside 0 to inf")),
        ("d-101/blind", Value::Float(f64::INFINITY), Some("inf is outside")),
        ("d-101/blind", Value::Text("up".into()), Some("takes a number")),
        ("d-101/vent", Value::Float(-1e6), None),
        ("d-101/vent", Value::Float(100.1), Some("100.1 is outside -inf to 100")),
        ("d-101/vent", Value::Text("up".into()), Some("takes a number")),
        ("d-101/scene", Value::Text("evening".into()), None),
        ("d-101/fan", Value::Float(f64::NEG_INFINITY), Some("-inf is outside")),
        ("d-101/window", Value::Bool(true), Some("can't be written")),
        ("d-101/none", Value::Bool(true), Some("there is no point `d-101/none`")),
    ] {
        let mut house = House::new();
        let (device, name) = point.split_once('/').unwrap();
        house.ask("k", Action::SetPoint { point: PointId::new(device, name), value: value.clone() });
        match with {
            None => assert_eq!((house.end("k"), house.writes()), (None, vec![(point.to_owned(), value)])),
            Some(with) => house.refused("k", with),
        }
    }
}

#[test]
fn the_points_of_a_role_are_written_all_or_none() {
    let light = || Action::SetRole { room: "101".into(), role: Role::Light, value: Value::Bool(true) };
    for (room_per_minute, passes) in [(2, false), (3, true)] {
        let firewall = FirewallConfig { room_per_minute, ..FirewallConfig::default() };
        let mut house = House::governed(spec(), json!([]), firewall);
        house.ask_point("one", "d-101/fan", 1.0).writes();
        house.ask("both", light());
        let lights = ["d-101/light", "e-101/light"].map(|point| (point.to_owned(), Value::Bool(true)));
        if passes {
            assert_eq!((house.end("both"), house.writes()), (None, lights.to_vec()));
        } else {
            house.refused("both", "the room had its 2 writes of this minute");
            assert_eq!((house.writes(), house.counted("firewall-budget")), (vec![], 1));
        }
    }
    let mut house = House::new();
    house.ask("none", Action::SetRole { room: "101".into(), role: Role::Lock, value: Value::Bool(true) });
    house.refused("none", "room 101 has no point for that");
    house.ask("nowhere", Action::SetRole { room: "9".into(), role: Role::Light, value: Value::Bool(true) });
    house.refused("nowhere", "there is no room `9`");
}

#[test]
fn a_command_is_carried_out_before_its_time_is_over_and_once() {
    let mut house = House::new();
    let later = house.now.checked_add(jiff::SignedDuration::from_millis(1)).unwrap();
    for (key, expires, ends) in [("at", house.now, Some(CommandOutcome::Expired)), ("before", later, None)] {
        let action = Action::SetPoint { point: PointId::new("d-101", "fan"), value: Value::Float(1.0) };
        let (key, source, expires) = (CommandKey::from(key), CommandSource::Cloud, Some(expires));
        let asked = Fact::Asked { command: Command { key: key.clone(), source, expires, action } };
        house.fact(asked.clone()).fact(asked);
        assert_eq!(house.end(key.as_str()), ends);
    }
    assert_eq!((house.writes().len(), house.counted("command-repeated")), (1, 2));
}

#[test]
fn the_last_ten_thousand_commands_are_kept_and_none_that_is_open() {
    let mut house = House::new();
    house
        .link(PMS_LINK, false)
        .ask("open", Action::RoomStatus { room: "101".into(), status: "dirty-vacant".into() });
    house.ask("ended", Action::ForgetArrival { stay: "1".into() });
    let (open, ended) = (Entity::Command("open".into()), Entity::Command("ended".into()));
    let mut rows = vec![("command".to_owned(), "open".to_owned(), house.saved(&open))];
    let ended = house.saved(&ended);
    let at = house.now.to_string();
    assert!(ended.contains(r#""key":"ended""#) && ended.matches(&at).count() == 2, "{ended}");
    for n in 0..9_999 {
        let key = format!("k{n:05}");
        // The later its key, the earlier it ended.
        let earlier = Timestamp::from_second(1_800_000_000 - n).unwrap().to_string();
        let body = ended.replace(r#""key":"ended""#, &format!(r#""key":"{key}""#)).replace(&at, &earlier);
        rows.push(("command".to_owned(), key, body));
    }
    let mut house = House::of(restored(&rows));
    house.fact(Fact::Tick);
    assert_eq!((house.property.commands().len(), house.touched.len()), (10_000, 0));
    house.ask("new", Action::ForgetArrival { stay: "1".into() });
    house.ask("newer", Action::ForgetArrival { stay: "1".into() }).fact(Fact::Tick);
    let kept = house.property.commands();
    assert_eq!(kept.len(), 10_000);
    for (key, there) in [
        ("open", true),
        ("new", true),
        ("k00000", true),
        ("k09996", true),
        ("k09997", false),
        ("k09998", false),
    ] {
        assert_eq!(kept.contains_key(&key.into()), there, "{key}");
    }
    assert!(house.touched.contains(&Entity::Command("k09998".into())));
}

#[test]
fn reasons_are_counted_and_bounded() {
    let mut house = House::of(Property::new(spec()));
    for n in 0..256 {
        house.fact(Fact::PmsRefused { why: format!("r{n:03}") });
    }
    house.fact(Fact::PmsRefused { why: "one-more".into() }).fact(Fact::PmsRefused { why: "r255".into() });
    let counters = house.property.counters();
    assert_eq!((counters.len(), counters["r255"], counters.get("one-more")), (256, 2, None));
}

#[test]
fn a_status_waits_for_the_link_in_the_order_in_which_it_was_asked() {
    let mut house = House::new();
    house.link(PMS_LINK, false);
    for (key, room, status) in [("z", "101", "dirty-vacant"), ("a", "101", "clean-vacant")] {
        house.pass(1).ask(key, Action::RoomStatus { room: room.into(), status: status.into() });
    }
    house.pass(1).ask("m", Action::Service { room: "102".into(), sign: "make-up".into() });
    house.clear().link(PMS_LINK, true);
    let sent: Vec<&str> = house
        .intents
        .iter()
        .filter_map(|intent| match intent {
            Intent::SendRoomStatus { key, .. } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(sent, ["z", "a", "m"]);
    house.fact(Fact::StatusSent { key: "a".into() }).fact(Fact::StatusSent { key: "m".into() });
    let rooms = house.property.rooms();
    assert_eq!(rooms[&"101".into()].status.as_deref(), Some("clean-vacant"));
    assert_eq!(
        (rooms[&"102".into()].sign.as_deref(), rooms[&"102".into()].status.as_deref()),
        (Some("make-up"), None)
    );
    house.clear().fact(Fact::StatusSent { key: "a".into() }).fact(Fact::StatusSent { key: "none".into() });
    assert_eq!(house.kinds(), [""; 0], "told once");
    house
        .fact(Fact::StatusRefused { key: "z".into(), reason: "no such field".into() })
        .refused("z", "no such field");
}

#[test]
fn the_last_guest_leaves_a_telephone_that_says_nothing() {
    let mut house = House::new();
    let flags = |on| RoomFlags { do_not_disturb: Some(on), message_light: Some(on), ..RoomFlags::default() };
    house.comes("1", "101").flags("101", flags(true)).clear().goes("1", "101");
    assert!(house.changes.contains(&Change::RoomFlagged { room: "101".into(), flags: flags(false) }));
    assert!(house.touched.contains(&Entity::Room("101".into())));
}
