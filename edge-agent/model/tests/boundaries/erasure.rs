//! What an erasure takes from what the house keeps beside the stay, and what is not the guest's.

use crate::house::{House, eur, text};
use engawa_model::*;

fn erase(house: &mut House, stay: &str) {
    let erasure = Erasure {
        stay: stay.into(),
        record: "00".into(),
        at: house.now,
        reason: ErasureReason::Asked,
        signer: String::new(),
        signature: String::new(),
    };
    house.fact(Fact::GuestErased { erasure });
}

fn call(room: &str, number: &str) -> Action {
    let call = Call { dialled: Some(text(number)), seconds: Some(60), pulses: None };
    Action::PostCall { room: room.into(), amount: None, call }
}

fn to_guest(room: &str, stay: &str) -> Action {
    Action::PostToGuest {
        room: room.into(),
        stay: stay.into(),
        amount: eur(100),
        text: "Bar".into(),
        outlet: None,
    }
}

fn leave(room: &str, stay: Option<&str>, words: &str) -> Action {
    Action::LeaveMessage { room: room.into(), stay: stay.map(StayId::from), text: text(words) }
}

#[test]
fn the_guests_own_goes_and_nobody_elses() {
    let mut house = House::new();
    let named = |name: &str| GuestRecord { name: Some(text(name)), ..GuestRecord::default() };
    house.comes_as("1", "101", named("Sato")).comes_as("2", "101", named("Ueda")).comes_as(
        "3",
        "102",
        named("Ito"),
    );
    let ok = |house: &mut House, number| {
        house.fact(Fact::PostingAnswered { number: PostingNumber(number), status: "OK".into(), text: None });
    };
    for (n, action) in [
        call("101", "111111"),
        call("102", "222222"),
        to_guest("101", "1"),
        to_guest("101", "2"),
        to_guest("102", "3"),
    ]
    .into_iter()
    .enumerate()
    {
        house.ask(&format!("p{n}"), action);
        ok(&mut house, u32::try_from(n).unwrap() + 1);
    }
    // One that is still on its way keeps the name: the PMS needs it.
    house.link(PMS_LINK, false).ask("waits", to_guest("101", "1"));
    for (key, action) in [
        ("own", leave("101", Some("1"), "glasses")),
        ("other", leave("101", Some("2"), "umbrella")),
        ("elsewhere", leave("102", None, "parcel")),
        // Refused, since it does not say for whom: it may be the guest's all the same.
        ("whose", leave("101", None, "notebook")),
        ("nobody", leave("103", None, "suitcase")),
    ] {
        house.ask(key, action);
    }
    house.refused("whose", "name the stay");
    erase(&mut house, "1");
    let all: String = house.rows().into_iter().map(|(_, _, body)| body).collect();
    for (what, kept) in [
        ("111111", false),
        ("222222", true),
        ("Ueda", true),
        ("Ito", true),
        ("glasses", false),
        ("umbrella", true),
        ("parcel", true),
        ("notebook", false),
        ("suitcase", true),
    ] {
        assert_eq!(all.contains(what), kept, "{what}");
    }
    let body = |number| house.saved(&Entity::Posting(PostingNumber(number)));
    assert_eq!((body(3).contains("Sato"), body(6).contains("Sato")), (false, true));
    let touched: Vec<u32> =
        (1..=6).filter(|n| house.touched.contains(&Entity::Posting(PostingNumber(*n)))).collect();
    assert_eq!(touched, [1, 3]);
    assert!(house.touched.contains(&Entity::Command("p0".into())));
    assert!(!house.touched.contains(&Entity::Command("p1".into())));
    house.refused("own", "data was erased");
    assert_eq!((house.end("other"), house.end("elsewhere"), house.end("waits")), (None, None, None));
}

#[test]
fn what_was_found_is_gone_for_everybody() {
    let mut house = House::new();
    house.comes("1", "101").ask("l", Action::Locate { room: "101".into(), stay: None });
    house.says(PmsFact::Located { key: "l".into(), place: text("pool"), until: None });
    erase(&mut house, "1");
    assert_eq!(house.property.place_found(&"l".into()), None);
}

#[test]
fn what_was_left_for_a_guest_who_has_gone_and_nothing_else() {
    let mut house = House::new();
    house.comes("1", "101").comes("2", "102");
    for (key, room, stay) in [("own", "101", "1"), ("other", "102", "2")] {
        house.ask(key, leave(room, Some(stay), &format!("words for {stay}")));
        house.says(PmsFact::Sent { key: key.into() });
    }
    house.goes("1", "101").goes("2", "102");
    erase(&mut house, "1");
    let body = |house: &House, key: &str| house.saved(&Entity::Command(key.into()));
    assert!(!body(&house, "own").contains("words for") && body(&house, "other").contains("words for 2"));
    assert_eq!(house.touched.iter().filter(|entity| entity.kind() == "command").count(), 1);
    // By the name of a document: that one alone.
    for (key, number) in [("a", "111111"), ("b", "222222")] {
        house.ask(key, call("101", number));
        house.fact(Fact::PostingAnswered {
            number: PostingNumber(if key == "a" { 1 } else { 2 }),
            status: "OK".into(),
            text: None,
        });
    }
    erase(&mut house, "\u{1}command a");
    assert!(!body(&house, "a").contains("111111") && body(&house, "b").contains("222222"));
    erase(&mut house, "\u{1}posting 2");
    let posting = |house: &House, number| house.saved(&Entity::Posting(PostingNumber(number)));
    assert!(posting(&house, 1).contains("111111") && !posting(&house, 2).contains("222222"));
}

#[test]
fn charges_of_a_guest_who_has_gone_lose_the_name_and_no_other_does() {
    let mut house = House::new();
    for (number, stay, room, name) in [(1, "1", "101", "Sato"), (2, "2", "102", "Ueda")] {
        house.comes_as(stay, room, GuestRecord { name: Some(text(name)), ..GuestRecord::default() });
        house.ask(stay, to_guest(room, stay));
        let (number, status) = (PostingNumber(number), "OK".to_owned());
        house.fact(Fact::PostingAnswered { number, status, text: None }).goes(stay, room);
    }
    erase(&mut house, "1");
    let body = |number| house.saved(&Entity::Posting(PostingNumber(number)));
    assert!(!body(1).contains("Sato") && body(2).contains("Ueda"));
}
