//! A PMS that was set up badly: names in the fields of the language and of the reservation number stay in the house.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod stage;

use stage::{House, Pms, wait_for};
use std::net::TcpListener;

const NAME: &str = "Wiedererkennbar";

#[test]
fn a_name_as_language_or_reservation_number_does_not_reach_the_journal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let house = House::new(&listener.local_addr().unwrap().to_string(), "");
    let agent = house.start();
    let mut pms = Pms::start(&listener);
    pms.hear("DR|");
    pms.list(&["GI|RN102|G#4712|GNAnders|GLEA|SF|"]);
    pms.say(format!("GI|RN101|G#{NAME}|GN{NAME}|GL{NAME}|GSN|"));
    let stay = |room: usize| {
        let rooms = house.listed(&["rooms", "--json"]);
        rooms.get(room).and_then(|of| of["stays"][0]["stay"].as_str().map(str::to_owned))
    };
    let stand_in = wait_for("the guest", || stay(0));
    assert!(stand_in.starts_with('~') && stay(1).as_deref() == Some("4712"), "{stand_in}");
    // What goes to the cloud is the journal, row by row.
    let rows = house.listed(&["log", "--json", "--limit", "1000"]);
    assert!(rows.iter().any(|row| row.to_string().contains(&stand_in)), "{rows:?}");
    assert!(rows.iter().any(|row| row["change"]["language"] == "en"), "a sound language is told: {rows:?}");
    assert!(!rows.iter().any(|row| row.to_string().to_lowercase().contains("wieder")), "{rows:?}");
    let counters = house.status().unwrap()["counters"].clone();
    assert_eq!((&counters["odd-language"], &counters["odd-reservation-number"]), (&1.into(), &1.into()));
    let said = house.said();
    assert!(
        said.contains("in GL that is no language") && said.contains("in G# that does not look like"),
        "{said}"
    );
    assert!(!said.contains(NAME), "{said}");

    // It is the same guest after a crash, and the PMS is asked by its own text.
    drop((agent, pms));
    let _agent = house.start();
    let mut pms = Pms::start(&listener);
    pms.say(format!("GC|RN101|G#{NAME}|GN{NAME}|GSN|"));
    pms.say("GO|RN102|G#4712|");
    wait_for("the other's check-out", || stay(1).is_none().then_some(()));
    assert_eq!(stay(0).as_deref(), Some(stand_in.as_str()));
    let rows = house.listed(&["log", "--json", "--limit", "1000"]);
    let came = rows.iter().filter(|row| row["kind"] == "checked_in" && row["change"]["stay"] == *stand_in);
    assert_eq!(came.count(), 1);
    pms.say(format!("GO|RN101|G#{NAME}|"));
    wait_for("the check-out", || stay(0).is_none().then_some(()));
}

#[test]
fn a_site_says_what_its_numbers_look_like() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let house = House::new(&listener.local_addr().unwrap().to_string(), "reservation_numbers = 'codes'\n");
    let _agent = house.start();
    let mut pms = Pms::start(&listener);
    pms.say("GI|RN101|G#XPGMSXGF-1|GNAnders|GSN|");
    let stay = wait_for("the guest", || {
        house.listed(&["rooms", "--json"]).first()?["stays"][0]["stay"].as_str().map(str::to_owned)
    });
    assert_eq!(stay, "XPGMSXGF-1");
}
