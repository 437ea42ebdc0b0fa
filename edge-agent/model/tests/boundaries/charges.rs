//! Charges that are proposed to staff.

use crate::house::{House, eur, policy, restored};
use engawa_model::firewall::FirewallConfig;
use engawa_model::*;
use serde_json::json;

fn bar() -> serde_json::Value {
    json!([{ "name": "bar", "when": { "point": [{ "role": "minibar", "is": true }] },
        "then": { "charge": { "text": "Minibar", "amount_minor": 450, "outlet": "4" } } }])
}

fn opened() -> House {
    let mut house = House::under(bar());
    house.comes("1", "101").clear().set("101", "minibar", true);
    house
}

fn settle(charge: u32, accept: bool, amount: Option<i64>) -> Action {
    Action::SettleCharge { charge, accept, amount: amount.map(eur) }
}

#[test]
fn one_open_proposal_for_each_room_and_rule() {
    let mut house = opened();
    let first = house.now;
    house.pass(60).set("101", "minibar", false).set("101", "minibar", true);
    let charge = house.property.charges()[&1].clone();
    assert_eq!((charge.count, charge.first, charge.last), (2, first, house.now));
    assert_eq!(
        (charge.stay, charge.amount, charge.outlet),
        (Some("1".into()), Some(eur(450)), Some("4".into()))
    );
    house.comes("2", "102").comes("3", "102").set("102", "minibar", true);
    assert_eq!(house.property.charges()[&2].stay, None, "of two guests nobody knows whose it is");
    house.set("103", "minibar", true);
    assert_eq!((house.property.charges().len(), &house.property.charges()[&3].stay), (3, &None));
}

#[test]
fn staff_decide_once() {
    let mut house = opened();
    house.ask("no-such", settle(9, true, None)).refused("no-such", "no proposed charge 9");
    house.ask("no", settle(1, false, None));
    assert!(house.done("no"), "nothing is to be waited for");
    assert_eq!(house.property.charges()[&1].state, ChargeState::Declined);
    house.ask("yes", settle(1, true, None)).refused("yes", "settled already");
    assert!(house.property.postings().is_empty());
    // A new occasion is a new proposal; what it becomes is the posting's business.
    house.set("101", "minibar", false).set("101", "minibar", true).ask("two", settle(2, true, Some(300)));
    assert_eq!((house.end("two"), house.property.charges()[&2].state), (None, ChargeState::Accepted));
    assert_eq!(house.property.postings()[&PostingNumber(1)].amount, eur(300));
    house.fact(Fact::PostingAnswered { number: PostingNumber(1), status: "OK".into(), text: None });
    assert!(house.done("two"));
    // Without an amount of its own staff must say one.
    let rules = json!([{ "name": "bar", "when": { "point": [{ "role": "minibar", "is": true }] },
        "then": { "charge": { "text": "Minibar" } } }]);
    let mut house = House::under(rules);
    house.set("101", "minibar", true).ask("k", settle(1, true, None)).refused("k", "give `amount`");
    assert_eq!(house.property.charges()[&1].state, ChargeState::Proposed);
}

#[test]
fn what_nobody_decides_is_forgotten_after_three_days() {
    let mut house = opened();
    house.set("102", "minibar", true).ask("no", settle(2, false, None));
    house.pass(3600).set("101", "minibar", false).set("101", "minibar", true).clear();
    house.pass(72 * 3600 - 1);
    assert_eq!(house.property.charges()[&1].state, ChargeState::Proposed, "counted from the last time");
    house.pass(1);
    assert_eq!(house.property.charges()[&1].state, ChargeState::Forgotten);
    assert_eq!(house.property.charges()[&2].state, ChargeState::Declined, "what was decided stays so");
    assert_eq!(house.kinds(), ["charge_proposed"]);
}

/// A house whose store has `count` proposals of other rooms, each in `state`, from number 1 on.
fn with_proposals(count: u32, state: &str) -> House {
    let sample = opened().saved(&Entity::Charge(1)).replace("proposed", state);
    let row = |n: u32| {
        let body = sample.replace(r#""number":1"#, &format!(r#""number":{n}"#));
        ("charge".to_owned(), n.to_string(), body.replace(r#""room":"101""#, &format!(r#""room":"r{n}""#)))
    };
    let mut rows: Vec<_> = (1..=count).map(row).collect();
    let meta = json!({ "business_date": null, "last_posting": 0, "last_order": 0, "last_charge": count });
    rows.push(("meta".to_owned(), String::new(), meta.to_string()));
    let mut property = restored(&rows);
    property.govern(policy(bar(), FirewallConfig::default()));
    House::of(property)
}

#[test]
fn five_thousand_wait_and_no_more() {
    let mut house = with_proposals(4_999, "proposed");
    house.set("101", "minibar", true);
    assert_eq!((house.property.charges().len(), house.counted("charge-proposals-full")), (5_000, 0));
    house.set("102", "minibar", true);
    assert_eq!((house.property.charges().len(), house.counted("charge-proposals-full")), (5_000, 1));
    // One that waits already counts its occasions all the same.
    house.set("101", "minibar", false).set("101", "minibar", true);
    assert_eq!((house.property.charges()[&5_000].count, house.counted("charge-proposals-full")), (2, 1));
    house.ask("no", settle(1, false, None)).set("103", "minibar", true);
    assert_eq!(house.property.charges().len(), 5_001);
}

#[test]
fn of_those_that_ended_the_last_thousand_are_kept() {
    let mut house = with_proposals(1000, "accepted");
    // The oldest of all waits: it is not one of them.
    house.set("101", "minibar", true).fact(Fact::Tick);
    assert_eq!(house.property.charges().len(), 1001);
    house.ask("no", settle(1001, false, None)).set("102", "minibar", true).fact(Fact::Tick);
    let kept: Vec<u32> = house.property.charges().keys().copied().collect();
    assert_eq!((kept.len(), kept[0], kept[1000]), (1001, 2, 1002));
    assert!(house.touched.contains(&Entity::Charge(1)) && !house.touched.contains(&Entity::Charge(2)));
}
