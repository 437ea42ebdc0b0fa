//! Wake-up calls: how late they still ring, how many wait, whose they are.

use crate::house::House;
use engawa_model::*;

impl House {
    fn ringing_house() -> Self {
        let mut house = Self::new();
        house.property.ring_with(WakeSpec { rooms: WakeRooms::All, ..WakeSpec::default() });
        house.comes("1", "101").comes("2", "102");
        house
    }

    /// The PMS asks for a call at an hour and a minute of this day on the wall.
    fn call(&mut self, room: &str, clock: &str) -> &mut Self {
        let at = format!("2027-01-15T{clock}:00").parse().unwrap();
        self.fact(Fact::WakeUpAsked { room: room.into(), at: Some(at), time: Some(clock.replace(':', "")) })
    }

    fn calls(&self) -> Vec<(u64, &str, WakeState)> {
        self.property.wake_ups().map(|call| (call.id.0, call.room.as_str(), call.state)).collect()
    }
}

#[test]
fn a_call_rings_by_the_wall_and_a_quarter_of_an_hour_late() {
    let house = House::ringing_house();
    let at = house.property.wake_instant("2027-01-15T10:00:00".parse().unwrap());
    assert_eq!(at, Some("2027-01-15T09:00:00Z".parse().unwrap()));
    for (late_s, state) in [(900, WakeState::Ringing), (901, WakeState::Missed)] {
        let mut house = House::ringing_house();
        house.call("101", "10:00");
        house.now = at.unwrap().checked_add(jiff::SignedDuration::from_secs(late_s)).unwrap();
        house.fact(Fact::Tick);
        assert_eq!(house.calls(), [(1, "101", state)], "{late_s}");
    }
}

#[test]
fn one_of_two_that_ring_is_answered_by_its_number() {
    let mut house = House::ringing_house();
    house
        .call("101", "10:00")
        .call("101", "10:01")
        .call("102", "10:00")
        .until("2027-01-15T09:01:30Z".parse().unwrap());
    assert!(house.calls().iter().all(|(_, _, state)| *state == WakeState::Ringing));
    assert_eq!(house.property.ringing(&"101".into()).unwrap().id, WakeId(1));
    house.ask("k", Action::WakeAnswered { room: "101".into(), id: Some(WakeId(2)) });
    assert!(house.done("k"));
    let (rings, over) = (WakeState::Ringing, WakeState::Answered);
    assert_eq!(house.calls(), [(1, "101", rings), (2, "101", over), (3, "102", rings)]);
    house.ask("again", Action::WakeAnswered { room: "101".into(), id: Some(WakeId(2)) });
    house.refused("again", "no wake-up call rings");
    house.ask("all", Action::WakeAnswered { room: "101".into(), id: None });
    assert_eq!(house.calls(), [(1, "101", over), (2, "101", over), (3, "102", rings)]);
}

#[test]
fn a_room_has_32_open_calls() {
    let mut house = House::ringing_house();
    for n in 0..31 {
        house.call("101", &format!("12:{n:02}"));
    }
    // What has ended, and what other rooms have, does not count.
    house.call("102", "12:00").call("101", "13:00");
    house.fact(Fact::WakeUpCleared { room: "101".into(), at: Some("2027-01-15T13:00:00".parse().unwrap()) });
    house.call("101", "13:01");
    assert_eq!((house.calls().len(), house.property.alerts().len()), (34, 0));
    house.call("101", "13:02");
    assert_eq!(house.calls().len(), 34);
    assert!(house.property.alerts()["wake_up:room 101, as asked for"].active);
    house.call("102", "13:02");
    assert_eq!(house.calls().len(), 35);
}

#[test]
fn who_comes_back_gets_their_own_calls_again() {
    let mut house = House::ringing_house();
    house.comes("3", "101").call("102", "12:00");
    for (key, clock) in [("a", "12:10"), ("b", "12:20")] {
        let stay = Some(StayId::from(if key == "a" { "1" } else { "3" }));
        let at = format!("2027-01-15T{clock}:00").parse().unwrap();
        house.ask(key, Action::WakeUp { room: "101".into(), at, stay });
    }
    house.goes("1", "101").pass(600).comes("1", "103");
    let (waits, left) = (WakeState::Waiting, WakeState::GuestLeft);
    assert_eq!(house.calls(), [(1, "102", waits), (2, "103", waits), (3, "101", waits)]);
    house.goes("1", "103").pass(601).comes("1", "103");
    assert_eq!(house.calls(), [(1, "102", waits), (2, "103", left), (3, "101", waits)]);
    // One that was taken back stays so.
    house.fact(Fact::WakeUpCleared { room: "101".into(), at: None }).goes("3", "101").comes("3", "101");
    assert_eq!(house.calls()[2], (3, "101", WakeState::Cleared));
}

#[test]
fn a_call_is_of_the_only_guest_of_its_room() {
    let mut house = House::ringing_house();
    house.comes("3", "102").call("101", "12:00").call("102", "12:00").call("103", "12:00");
    let whose: Vec<_> = house.property.wake_ups().map(|call| call.stay.clone()).collect();
    assert_eq!(whose, [Some("1".into()), None, None]);
}
