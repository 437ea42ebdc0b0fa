//! Each condition of a rule, where it holds and where not.

use crate::house::{House, spec};
use engawa_model::firewall::FirewallConfig;
use engawa_model::*;
use serde_json::json;

/// A house with one rule, `r`.
fn under(when: serde_json::Value) -> House {
    House::under(rule(when))
}

fn rule(when: serde_json::Value) -> serde_json::Value {
    json!([{ "name": "r", "when": when, "then": { "alert": { "kind": "rule", "text": "x" } } }])
}

impl House {
    fn holds(&self) -> bool {
        self.on("101") == ["r"]
    }

    /// It does not hold a second before `instant`, and holds from then on; or the other way round.
    fn turns_at(&mut self, instant: &str, on: bool) -> &mut Self {
        let instant: Timestamp = instant.parse().unwrap();
        self.until(instant.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap());
        assert_eq!(self.holds(), !on, "before {instant}");
        self.until(instant);
        assert_eq!(self.holds(), on, "at {instant}");
        self
    }

    fn vip(&mut self, stay: &str, vip: &str) -> &mut Self {
        self.comes_as(stay, "101", GuestRecord { vip: Some(vip.into()), ..GuestRecord::default() })
    }

    fn expects(&mut self, stay: &str, eta: &str, vip: Option<&str>) -> &mut Self {
        self.fact(Fact::ArrivalExpected {
            stay: stay.into(),
            room: "101".into(),
            date: None,
            eta: Some(eta.parse().unwrap()),
            vip: vip.map(str::to_owned),
        })
    }
}

#[test]
fn occupied_and_by_how_many() {
    let mut house = under(json!({ "stays_at_least": 2 }));
    assert!(!house.holds());
    assert!(!house.comes("1", "101").holds());
    assert!(house.comes("2", "101").holds());
    assert!(house.comes("3", "101").holds());
    assert!(!house.goes("1", "101").goes("2", "101").holds());
    let mut vacant = under(json!({ "occupied": false }));
    assert!(vacant.holds());
    assert!(!vacant.comes("1", "101").holds());
}

#[test]
fn a_vip_is_who_has_a_code() {
    let mut house = under(json!({ "vip": true }));
    assert!(!house.vip("1", "  ").holds(), "blanks are none");
    assert!(house.vip("2", "V1").holds(), "one of two is enough");
    assert!(house.comes("3", "101").holds());
    assert!(!house.goes("2", "101").holds());
    let mut plain = under(json!({ "vip": false }));
    assert!(plain.comes("1", "101").holds());
    assert!(!plain.vip("2", "V1").holds());
    // In a vacant room the next who is expected counts.
    let mut house = under(json!({ "vip": true }));
    house.expects("8", "2027-01-15T12:00:00Z", None).expects("9", "2027-01-15T11:00:00Z", Some("V1"));
    assert!(house.holds());
    assert!(!house.expects("9", "2027-01-15T13:00:00Z", Some("V1")).holds());
    assert!(!house.expects("8", "2027-01-15T12:00:00Z", Some(" ")).holds());
}

#[test]
fn one_of_any_none_of_not() {
    let window = json!({ "point": [{ "role": "window", "is": true }] });
    for (guest, open, any, not) in [
        (false, Some(false), false, true),
        (true, Some(false), true, true),
        (false, Some(true), true, false),
        (true, Some(true), true, false),
        (true, None, true, false),
        (false, None, false, false),
    ] {
        for (when, holds) in
            [(json!({ "any": [{ "occupied": true }, window] }), any), (json!({ "not": window }), not)]
        {
            let mut house = under(when);
            if guest {
                house.comes("1", "101");
            }
            match open {
                Some(open) => house.set("101", "window", open),
                None => house.reports("d-101", "window", true, Quality::Stale),
            };
            assert_eq!(house.holds(), holds, "guest {guest}, window {open:?}");
        }
    }
}

#[test]
fn sold_is_occupied_prepared_or_expected_today() {
    let mut house = under(json!({ "sold": true }));
    assert!(!house.holds());
    assert!(house.comes("1", "101").holds());
    assert!(!house.goes("1", "101").holds());
    for (class, prepared) in [("1", true), ("0", false), ("3", true), ("4", false)] {
        house.flags("101", RoomFlags { class_of_service: Some(class.into()), ..RoomFlags::default() });
        assert_eq!(house.holds(), prepared, "{class}");
    }
    // Midnight on the wall is an hour before that of UTC.
    house.expects("8", "2027-01-15T23:00:00Z", None);
    house.turns_at("2027-01-15T23:00:00Z", true);
    let mut unsold = under(json!({ "sold": false }));
    assert!(unsold.holds());
    assert!(!unsold.expects("8", "2027-01-15T22:59:59Z", None).holds());
}

#[test]
fn signs_are_what_was_told_or_what_a_switch_says() {
    let switch = |house: &mut House, dnd: bool, make_up: bool| {
        house.set("101", "dnd", dnd).set("101", "make-up", make_up);
    };
    for (sign, dnd, make_up, holds) in [
        ("do-not-disturb", true, false, true),
        ("do-not-disturb", false, true, false),
        ("make-up", false, true, true),
        ("make-up", true, false, false),
        ("off", false, false, true),
        ("off", true, false, false),
        ("off", false, true, false),
    ] {
        let mut house = under(json!({ "sign": sign }));
        assert!(!house.holds(), "{sign}: nothing is known");
        switch(&mut house, dnd, make_up);
        assert_eq!(house.holds(), holds, "{sign} {dnd} {make_up}");
        // Told to the PMS it counts whatever the switch says.
        switch(&mut house, false, false);
        let told = if sign == "off" { "make-up" } else { sign };
        house.ask("s", Action::Service { room: "101".into(), sign: told.into() });
        house.fact(Fact::StatusSent { key: "s".into() });
        assert_eq!(house.holds(), sign != "off", "{sign}");
    }
}

#[test]
fn a_time_of_day_past_midnight() {
    let night =
        |days: serde_json::Value| under(json!({ "time": { "from": "22:00", "to": "06:00", "days": days } }));
    // Nine o'clock on Friday; Berlin is an hour ahead.
    let mut house = night(json!([]));
    assert!(!house.holds());
    house.turns_at("2027-01-15T21:00:00Z", true).turns_at("2027-01-16T05:00:00Z", false);
    house.turns_at("2027-01-16T21:00:00Z", true);
    // By the day on which it begins.
    let mut house = night(json!(["fri"]));
    house.turns_at("2027-01-15T21:00:00Z", true).turns_at("2027-01-16T05:00:00Z", false);
    house.until("2027-01-16T22:00:00Z".parse().unwrap());
    assert!(!house.holds(), "Saturday's night is none");
    house.turns_at("2027-01-22T21:00:00Z", true);
    let mut house = night(json!(["sat"]));
    house.turns_at("2027-01-16T21:00:00Z", true).turns_at("2027-01-17T05:00:00Z", false);
    // One that is running when the house is first looked at began yesterday.
    let mut house = House::of(Property::new(spec()));
    let when = json!({ "time": { "from": "22:00", "to": "09:30" } });
    house.property.govern(crate::house::policy(rule(when), FirewallConfig::default()));
    assert!(house.fact(Fact::Tick).holds());
    house.turns_at("2027-01-15T08:30:00Z", false);
}

#[test]
fn each_day_of_the_week() {
    for (n, day) in ["fri", "sat", "sun", "mon", "tue", "wed", "thu"].into_iter().enumerate() {
        let mut house = under(json!({ "time": { "from": "10:00", "to": "12:00", "days": [day] } }));
        for later in 0..7 {
            house.until(format!("2027-01-{}T10:00:00Z", 15 + later).parse().unwrap());
            assert_eq!(house.holds(), later == n, "{day}, {later} days after Friday");
        }
    }
}

#[test]
fn so_long_occupied_or_vacant() {
    for (when, after_s, on) in
        [(json!({ "occupied_for_s": 60 }), 60, true), (json!({ "came_within_s": 60 }), 60, false)]
    {
        let mut house = under(when);
        house.pass(100).comes("1", "101");
        assert_eq!(house.holds(), !on);
        assert_eq!(house.pass(after_s - 1).holds(), !on);
        assert_eq!(house.pass(1).holds(), on);
        assert!(!house.goes("1", "101").holds());
    }
    for (when, after_s, on) in
        [(json!({ "vacant_for_s": 60 }), 60, true), (json!({ "left_within_s": 60 }), 60, false)]
    {
        let mut house = under(when);
        house.comes("1", "101").pass(100);
        assert!(!house.holds());
        house.goes("1", "101");
        assert_eq!(house.holds(), !on);
        assert_eq!(house.pass(after_s - 1).holds(), !on);
        assert_eq!(house.pass(1).holds(), on);
    }
    // A vacancy that the house has only found so is none that it saw begin.
    assert!(!under(json!({ "left_within_s": 60 })).holds());
}

#[test]
fn above_and_below_with_a_way_back() {
    let point = |point: serde_json::Value| under(json!({ "point": [point] }));
    let table = |house: &mut House, steps: &[(f64, bool)]| {
        for (celsius, holds) in steps {
            assert_eq!(house.set("101", "temperature", *celsius).holds(), *holds, "{celsius} of {steps:?}");
        }
    };
    let hot = json!({ "role": "room-temperature", "above": 25, "hysteresis": 1 });
    table(
        &mut point(hot),
        &[(25.0, false), (25.5, true), (24.5, true), (24.0, false), (24.5, false), (25.5, true)],
    );
    let cold = json!({ "role": "room-temperature", "below": 15, "hysteresis": 1 });
    table(
        &mut point(cold),
        &[(15.0, false), (14.5, true), (15.5, true), (16.0, false), (15.5, false), (14.5, true)],
    );
    let plain = json!({ "role": "room-temperature", "above": 25 });
    table(&mut point(plain), &[(25.0, false), (25.5, true), (25.0, false)]);
    let plain = json!({ "role": "room-temperature", "below": 15 });
    table(&mut point(plain), &[(15.0, false), (14.5, true), (15.0, false)]);
}

#[test]
fn a_point_that_has_been_so_for_a_while() {
    let mut house = under(json!({ "point": [{ "role": "window", "is": true, "for_s": 120 }] }));
    house.set("101", "window", true);
    assert!(!house.pass(119).holds());
    assert!(house.pass(1).holds());
    assert!(!house.set("101", "window", false).holds());
    house.set("101", "window", true).pass(60).set("101", "window", false).set("101", "window", true);
    assert!(!house.pass(119).holds(), "counted anew");
    assert!(house.pass(1).holds());
    let rules = |house: &House| house.saved(&Entity::RoomRules("101".into()));
    assert!(rules(&house).contains("leaves"), "a restart goes on counting");
    // What neither lasts nor comes back slowly has nothing to be remembered.
    let mut house = under(json!({ "point": [{ "role": "window", "is": true }] }));
    house.set("101", "window", true);
    assert!(house.holds() && !rules(&house).contains("leaves"));
}

#[test]
fn a_guest_who_is_expected_soon() {
    let eta = "2027-01-15T18:00:00Z";
    let mut house = under(json!({ "arriving": { "within_min": 60 } }));
    house.expects("8", eta, None);
    house.turns_at("2027-01-15T17:00:00Z", true).turns_at("2027-01-16T00:00:00Z", false);
    // By what the room needs: two degrees an hour are the usual pace, and ten minutes are added.
    let warm = json!({ "arriving": { "within_min": 240, "warm_up": true } });
    let mut house = under(warm.clone());
    house.set("101", "temperature", 20.0).expects("8", eta, None);
    house.turns_at("2027-01-15T16:50:00Z", true);
    let mut summer = spec();
    summer.climate.season = Season::Cooling;
    let mut house = House::governed(summer, rule(warm.clone()), FirewallConfig::default());
    house.set("101", "temperature", 26.0).expects("8", eta, None);
    house.turns_at("2027-01-15T15:50:00Z", true);
    let mut warm_already = under(warm.clone());
    warm_already.set("101", "temperature", 23.0).expects("8", eta, None);
    warm_already.turns_at("2027-01-15T17:50:00Z", true);
    // Not longer than it says; as long where nothing is known.
    for temperature in [Some(5.0), None] {
        let mut house = under(warm.clone());
        if let Some(celsius) = temperature {
            house.set("101", "temperature", celsius);
        }
        house.expects("8", eta, None).turns_at("2027-01-15T14:00:00Z", true);
    }
    let mut prepared = under(json!({ "arriving": { "within_min": 60 } }));
    let class = RoomFlags { class_of_service: Some("2".into()), ..RoomFlags::default() };
    assert!(prepared.flags("101", class.clone()).holds());
    assert!(!prepared.comes("1", "101").flags("101", class).holds(), "somebody is there");
}

#[test]
fn the_season() {
    assert!(under(json!({ "season": "heating" })).holds());
    assert!(!under(json!({ "season": "cooling" })).holds());
}
