//! Guests that are expected.

use crate::house::House;
use engawa_model::*;
use serde_json::json;

fn expects(house: &mut House, stay: &str, room: &str, date: Option<&str>, eta: Option<&str>) {
    house.fact(Fact::ArrivalExpected {
        stay: stay.into(),
        room: room.into(),
        date: date.map(|date| date.parse().unwrap()),
        eta: eta.map(|eta| eta.parse().unwrap()),
        vip: None,
    });
}

fn expect(stay: &str, room: &str, date: Option<&str>) -> Action {
    Action::ExpectArrival {
        stay: stay.into(),
        room: room.into(),
        date: date.map(|date| date.parse().unwrap()),
        at: None,
    }
}

#[test]
fn eight_a_room_are_expected_and_no_more() {
    let mut house = House::under(json!([]));
    for n in 0..24 {
        expects(&mut house, &format!("r{n}"), "101", Some("2027-01-15"), None);
    }
    assert_eq!((house.property.arrivals().len(), house.counted("arrivals-full")), (24, 0));
    expects(&mut house, "r24", "103", Some("2027-01-15"), None);
    assert_eq!((house.property.arrivals().len(), house.counted("arrivals-full")), (24, 1));
    house.ask("full", expect("r25", "101", Some("2027-01-15"))).refused("full", "too many arrivals");
    // One that is known may change its room all the same, and both rooms hear of it.
    house.clear();
    expects(&mut house, "r0", "102", Some("2027-01-15"), None);
    assert_eq!(house.property.arrivals()[&"r0".into()].room, "102".into());
    let told = |room: &str, eta: Option<&str>| Change::ArrivalExpected {
        stay: "r0".into(),
        room: room.into(),
        eta: eta.map(|eta| eta.parse().unwrap()),
    };
    // By the day alone: at the house's usual time, three o'clock on the wall.
    assert_eq!(house.changes, [told("101", None), told("102", Some("2027-01-15T14:00:00Z"))]);
    house.clear();
    expects(&mut house, "r0", "102", Some("2027-01-15"), None);
    assert_eq!((house.kinds().len(), house.touched.len()), (0, 0), "the same again is no news");
}

#[test]
fn an_arrival_that_can_not_be_is_refused_in_words() {
    let mut house = House::under(json!([]));
    house.comes("1", "101");
    for (n, (action, with)) in [
        (expect("7", "999", Some("2027-01-15")), "there is no room `999`"),
        (expect("7", "102", None), "needs `date` or `at`"),
        (expect("1", "102", Some("2027-01-15")), "`1` is in the house already"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("k{n}");
        house.ask(&key, action).refused(&key, with);
    }
    assert!(house.property.arrivals().is_empty());
    house.ask("good", expect("7", "102", Some("2027-01-15")));
    assert!(house.done("good") && house.property.arrivals().contains_key(&"7".into()));
    house.ask("forget", Action::ForgetArrival { stay: "7".into() });
    assert!(house.done("forget") && house.property.arrivals().is_empty());
}

#[test]
fn one_that_nobody_came_for_is_forgotten_a_day_after_its_time() {
    let mut house = House::under(json!([]));
    expects(&mut house, "7", "102", None, Some("2027-01-15T12:00:00Z"));
    expects(&mut house, "8", "102", Some("2027-01-16"), None);
    house.clear().until("2027-01-16T11:59:59Z".parse().unwrap());
    assert_eq!((house.property.arrivals().len(), house.changes.len()), (2, 0));
    house.pass(1);
    let over = Change::ArrivalExpected { stay: "7".into(), room: "102".into(), eta: None };
    assert_eq!((house.property.arrivals().len(), house.changes.as_slice()), (1, [over].as_slice()));
    assert!(house.touched.contains(&Entity::Arrival("7".into())));
    // Whoever has come is not expected any more.
    house.comes("8", "102");
    assert!(house.property.arrivals().is_empty());
}
