//! A backup that was put back: what waited when it was made may be done already.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_model::{
    Action, AlertKind, Applied, Command, CommandOutcome, CommandSource, Currency, Fact, Intent, LinkId,
    Money, Observation, PMS_LINK, PostingNumber, PostingState, Property, PropertySpec, Timestamp,
};

fn spec() -> PropertySpec {
    engawa_model::testing::house(["101"])
}

fn tell(property: &mut Property, fact: Fact) -> Applied {
    property.apply(&Observation::new(Timestamp::UNIX_EPOCH, fact))
}

fn charge(property: &mut Property, key: &str) -> Applied {
    let amount = Money { minor: 1250, currency: Currency::new("EUR").unwrap() };
    let action = Action::Post { room: "101".into(), stay: None, amount, text: "Bar".into(), outlet: None };
    let command = Command { key: key.into(), source: CommandSource::Local, expires: None, action };
    tell(property, Fact::Asked { command })
}

fn link(up: bool) -> Fact {
    Fact::Link { link: LinkId::from(PMS_LINK), up, detail: String::new() }
}

/// The property as its stored form has it.
fn stored(property: &Property) -> Property {
    let rows: Vec<_> = property
        .entities()
        .into_iter()
        .filter_map(|entity| Some((entity.kind(), entity.key(), property.save(&entity)?)))
        .collect();
    Property::restore(spec(), rows.iter().map(|(kind, key, body)| (*kind, key.as_str(), body.as_slice())))
        .unwrap()
}

fn sent(applied: &Applied) -> Vec<u32> {
    let number = |intent: &Intent| match intent {
        Intent::SendPosting { number, .. } => Some(number.0),
        _ => None,
    };
    applied.intents.iter().filter_map(number).collect()
}

#[test]
fn a_charge_that_waited_in_the_backup_is_in_doubt_and_not_sent() {
    let mut property = Property::new(spec());
    charge(&mut property, "waits");
    let mut back = stored(&property);
    tell(&mut back, Fact::Started { clean: true });
    let applied = tell(&mut back, Fact::PutBack);
    assert_eq!(back.postings()[&PostingNumber(1)].state, PostingState::Doubtful);
    let ended = back.commands().values().next().unwrap().ended.clone();
    assert!(
        matches!(&ended, Some((_, CommandOutcome::Doubtful { reason })) if reason.contains("P# 1")),
        "{ended:?}"
    );
    let alert = back.alerts().values().find(|alert| alert.kind == AlertKind::PostingDoubtful).unwrap();
    assert!(alert.active && alert.text.contains("a backup was put back"), "{alert:?}");
    assert!(sent(&applied).is_empty());
    assert!(sent(&tell(&mut back, link(true))).is_empty(), "it may be booked already");
    assert_eq!(stored(&back).postings(), back.postings(), "what changed was told to the store");

    // A number of the time after the backup is not given again: the PMS may know it.
    let applied = charge(&mut back, "new");
    assert_eq!(sent(&applied), [100_002]);
}

#[test]
fn without_a_backup_it_waits_and_is_sent() {
    let mut property = Property::new(spec());
    charge(&mut property, "waits");
    let mut again = stored(&property);
    tell(&mut again, Fact::Started { clean: true });
    assert_eq!(sent(&tell(&mut again, link(true))), [1]);
}

#[test]
fn numbers_stay_within_their_eight_digits() {
    let mut property = Property::new(spec());
    for n in 0..2_100 {
        tell(&mut property, Fact::PutBack);
        charge(&mut property, &format!("k{n}"));
        let last = property.postings().keys().all(|number| (1..=99_999_999).contains(&number.0));
        assert!(last, "{:?}", property.postings().keys().collect::<Vec<_>>());
    }
}
