//! Charges: what an audit, a word of the link and the bounds do to them.

use crate::house::{House, eur, text};
use engawa_model::*;

impl House {
    fn post(&mut self, key: &str, minor: i64) -> &mut Self {
        let (room, text) = (RoomId::from("101"), "Bar".to_owned());
        self.ask(key, Action::Post { room, stay: None, amount: eur(minor), text, outlet: None })
    }

    fn answer(&mut self, number: u32, status: &str) -> &mut Self {
        let status = status.to_owned();
        self.fact(Fact::PostingAnswered { number: PostingNumber(number), status, text: None })
    }

    fn sent(&mut self) -> Vec<u32> {
        let sent = |intent| match intent {
            Intent::SendPosting { number, .. } => Some(number.0),
            _ => None,
        };
        std::mem::take(&mut self.intents).into_iter().filter_map(sent).collect()
    }

    fn state(&self, number: u32) -> PostingState {
        self.property.postings()[&PostingNumber(number)].state
    }
}

#[test]
fn what_was_certainly_not_sent_is_sent() {
    let mut house = House::new();
    house.post("a", 100);
    assert_eq!(house.sent(), [1]);
    house.fact(Fact::PostingNotSent { number: PostingNumber(1) });
    assert_eq!((house.sent(), house.state(1), house.end("a")), (vec![1], PostingState::InFlight, None));
    house.fact(Fact::PostingNotSent { number: PostingNumber(9) });
    assert_eq!(house.sent(), [0; 0]);
}

#[test]
fn the_end_of_an_audit_is_a_chance_for_what_waits_alone() {
    let mut house = House::new();
    house.post("posted", 1).answer(1, "OK").post("flies", 2).post("later", 3).pass(1).post("now", 4);
    house.answer(2, "RY").answer(3, "NA");
    // 2 and 3 are to be tried in half a minute; 4 flies meanwhile, and 5 waits for it from now on.
    assert_eq!(house.state(4), PostingState::InFlight);
    house.post("waits", 5).sent();
    let before: Vec<String> = (1..=5).map(|n| house.saved(&Entity::Posting(PostingNumber(n)))).collect();
    house.fact(Fact::NightAuditDone { date: None, hour: None });
    let touched: Vec<u32> =
        (1..=5).filter(|n| house.touched.contains(&Entity::Posting(PostingNumber(*n)))).collect();
    assert_eq!(touched, [2, 3]);
    let after: Vec<String> = (1..=5).map(|n| house.saved(&Entity::Posting(PostingNumber(n)))).collect();
    let changed: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
    assert_eq!(changed, [false, true, true, false, false]);
    house.answer(4, "OK");
    assert_eq!(house.sent(), [2], "the oldest first");
}

#[test]
fn the_pms_may_say_again_later_fifty_times() {
    let mut house = House::new();
    house.post("k", 100);
    for n in 1..=50 {
        assert_eq!((house.sent(), house.state(1)), (vec![1], PostingState::InFlight), "{n}");
        house.answer(1, if n % 2 == 0 { "RY" } else { "NA" }).pass(30);
    }
    assert_eq!((house.sent(), house.state(1)), (vec![], PostingState::Refused));
    house.refused("k", "asks to try again later (RY)");
}

#[test]
fn of_those_that_ended_two_thousand_are_kept() {
    let mut house = House::new();
    for n in 0..2000 {
        house.post(&format!("k{n}"), 1).answer(n + 1, "OK");
    }
    house.post("open", 1).fact(Fact::Tick);
    assert_eq!(house.property.postings().len(), 2001);
    assert!(!house.touched.contains(&Entity::Posting(PostingNumber(1))));
    house.answer(2001, "NG").fact(Fact::Tick);
    let kept: Vec<u32> = house.property.postings().keys().map(|number| number.0).collect();
    assert_eq!((kept.len(), kept[0]), (2000, 2));
    assert!(house.touched.contains(&Entity::Posting(PostingNumber(1))));
}

#[test]
fn each_step_of_a_charge_is_told_and_stored() {
    let mut house = House::new();
    let told = |house: &mut House| -> Vec<PostingState> {
        let states = std::mem::take(&mut house.changes).into_iter().filter_map(|change| match change {
            Change::Posting { state, .. } => Some(state),
            _ => None,
        });
        states.collect()
    };
    let stored = |house: &House| house.touched.contains(&Entity::Posting(PostingNumber(1)));
    house.post("k", 100);
    assert_eq!(
        (told(&mut house), stored(&house)),
        (vec![PostingState::Pending, PostingState::InFlight], true)
    );
    house.answer(1, "RY");
    assert_eq!((told(&mut house), stored(&house)), (vec![PostingState::Pending], true));
    house.pass(30).answer(1, "OK");
    assert_eq!(
        (told(&mut house), stored(&house)),
        (vec![PostingState::InFlight, PostingState::Posted], true)
    );
}

#[test]
fn a_charge_in_another_currency_is_refused_and_no_number_is_used() {
    let mut house = House::new();
    let yen = Money { minor: 1000, currency: Currency::new("JPY").unwrap() };
    let (room, text) = (RoomId::from("101"), "Sushi".to_owned());
    house.ask("k", Action::Post { room, stay: None, amount: yen, text, outlet: None });
    assert!(house.property.postings().is_empty());
    let ended = house.property.commands()[&CommandKey::from("k")].ended.clone().unwrap().1;
    let CommandOutcome::Refused { reason } = ended else { panic!("{ended:?}") };
    assert_eq!(reason, "this house charges in EUR, not in JPY: name the amount in EUR");
}

/// The stays that the journal's rows of charges name, those of what was asked first.
fn named(house: &House) -> Vec<Option<StayId>> {
    let stay_of = |change: &Change| match change {
        Change::CommandAccepted {
            action: Action::Post { stay, .. } | Action::PostSlip { stay, .. }, ..
        }
        | Change::Posting { stay, .. } => Some(stay.clone()),
        _ => None,
    };
    house.changes.iter().filter_map(stay_of).collect()
}

fn told(house: &mut House) -> Vec<Option<StayId>> {
    let stay = |intent| match intent {
        Intent::SendPosting { stay, .. } => Some(stay),
        _ => None,
    };
    std::mem::take(&mut house.intents).into_iter().filter_map(stay).collect()
}

#[test]
fn a_charge_of_a_room_is_its_only_guests_and_names_that_guest_to_the_pms_once_it_must() {
    let mut house = House::new();
    house.post("nobody", 1);
    assert_eq!((named(&house), told(&mut house)), (vec![None; 3], vec![None]));
    house.answer(1, "OK").comes("1", "101").clear().post("alone", 2);
    // Asked, waits, flies.
    assert_eq!((named(&house), told(&mut house)), (vec![Some("1".into()); 3], vec![None]));
    let asked =
        Action::Post { room: "101".into(), stay: None, amount: eur(2), text: "Bar".into(), outlet: None };
    assert_eq!(
        house.property.commands()[&CommandKey::from("alone")].command.action,
        asked,
        "as it was asked"
    );
    // Three wait; the guest goes, and another one comes.
    house.clear().post("waits", 3).answer(2, "RY");
    assert_eq!(told(&mut house), [None], "the third, while the second waits");
    house.answer(3, "RY").goes("1", "101").comes("2", "101").pass(31);
    let went = house.property.postings()[&PostingNumber(2)].clone();
    assert_eq!((went.state, went.stay), (PostingState::InFlight, Some("1".into())));
    assert_eq!(told(&mut house), [Some("1".into())], "not the next one's");
    // Of two guests nobody knows whose it is.
    house.answer(2, "OK").answer(3, "OK").comes("3", "101").clear().post("two", 4);
    assert_eq!(named(&house), vec![None; 3]);
}

#[test]
fn calls_and_minibars_of_a_room_are_its_only_guests() {
    let mut house = House::new();
    house.comes("1", "101").clear();
    let call = Call { dialled: Some(text("030123")), seconds: Some(60), pulses: None };
    house.ask("call", Action::PostCall { room: "101".into(), amount: Some(eur(250)), call });
    house.ask(
        "bar",
        Action::PostMinibar { room: "101".into(), items: vec![Article { article: 7, count: 1 }] },
    );
    assert_eq!(named(&house), vec![Some("1".into()); 3], "the call waits and flies, the minibar waits");
    assert_eq!(told(&mut house), [None]);
}
