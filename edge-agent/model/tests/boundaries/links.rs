//! Two PMS: what is asked for a room is asked of its own, and once.

use crate::house::{House, VILLAS, spec};
use engawa_model::*;

#[test]
fn news_is_sent_by_the_link_of_its_room_when_that_comes_up() {
    let mut house = House::resort();
    house.comes("1", "101").comes("3", "103").link(PMS_LINK, false).clear();
    let report = |user: &str| RoomReport { user: Some(user.into()), ..RoomReport::default() };
    house.ask("far", Action::RoomReport { room: "103".into(), report: report("9") });
    house.ask("near", Action::RoomReport { room: "101".into(), report: report("5") });
    assert!(matches!(&house.intents[..], [Intent::AtLink { link, .. }] if link.as_str() == VILLAS));
    house.requests();
    house.link(PMS_LINK, true);
    let wanted = PmsRequest::RoomReport { room: "101".into(), report: report("5") };
    assert_eq!(house.requests(), [wanted], "the other's is under way already");
    house.link(VILLAS, false).requests();
    house.link(VILLAS, true);
    assert_eq!(house.requests(), [PmsRequest::RoomReport { room: "103".into(), report: report("9") }]);
}

#[test]
fn each_question_ends_with_the_link_of_its_room() {
    let bill = |room: &str| Action::AskBill { room: room.into(), stay: None };
    let at = |room: &str| Action::Locate { room: room.into(), stay: None };
    for ask in [bill, at] {
        let mut house = House::resort();
        house.comes("1", "101").comes("3", "103").ask("near", ask("101")).ask("far", ask("103"));
        house.link(VILLAS, false).refused("far", "link broke");
        assert_eq!(house.end("near"), None);
        house.ask("down", ask("103")).refused("down", "link is down");
        house.link(PMS_LINK, false).refused("near", "link broke");
    }
}

#[test]
fn lists_run_by_link_and_a_status_waits_for_the_end_of_its_own() {
    let mut house = House::resort();
    house.at(VILLAS, Fact::ResyncBegun);
    assert_eq!(house.property.resyncs().keys().collect::<Vec<_>>(), [&LinkId::from(VILLAS)]);
    let status = |room: &str| Action::RoomStatus { room: room.into(), status: "clean-vacant".into() };
    house.clear().ask("far", status("103")).ask("near", status("101"));
    let sent = |house: &House| {
        let all = house.intents.iter().map(|intent| match intent {
            Intent::AtLink { what, .. } => what,
            intent => intent,
        });
        all.filter(|intent| matches!(intent, Intent::SendRoomStatus { .. })).count()
    };
    assert_eq!(sent(&house), 1);
    house.at(VILLAS, Fact::ResyncDone);
    assert_eq!((sent(&house), house.property.resyncs().len()), (2, 0));
}

/// Why a list is owed, as it is stored.
fn owed(house: &House) -> Option<String> {
    let meta: serde_json::Value = serde_json::from_str(&house.saved(&Entity::Meta)).unwrap();
    meta["owed"].as_str().map(str::to_owned)
}

#[test]
fn a_stronger_reason_for_a_list_is_never_replaced_by_a_weaker_one() {
    let mut house = House::new();
    house.comes("1", "101").link(PMS_LINK, false);
    assert_eq!(owed(&house), None);
    let contradiction = || Fact::GuestGone { room: "102".into(), stay: Some("1".into()), listed: false };
    house.fact(contradiction());
    assert_eq!(owed(&house).as_deref(), Some("contradiction"));
    house.fact(Fact::Started { clean: true });
    assert_eq!(owed(&house).as_deref(), Some("contradiction"), "an orderly start owes nothing");
    house.fact(Fact::Started { clean: false });
    assert_eq!(owed(&house).as_deref(), Some("crash"));
    house.fact(Fact::ResyncBegun).link(PMS_LINK, true).link(PMS_LINK, false);
    assert_eq!(owed(&house).as_deref(), Some("cut"));
    house.fact(contradiction());
    assert_eq!(owed(&house).as_deref(), Some("cut"));
    house.ask("k", Action::Resync);
    assert_eq!(owed(&house).as_deref(), Some("asked"));
    house.fact(contradiction()).fact(Fact::Started { clean: false });
    assert_eq!(owed(&house).as_deref(), Some("asked"));
    assert!(!house.fact(contradiction()).touched.contains(&Entity::Meta), "nothing new is to be stored");
}

#[test]
fn a_note_is_counted_where_it_is_too_long_alone() {
    let mut house = House::of(Property::new(spec()));
    let noted = |length: usize| Fact::LinkNoted { link: PMS_LINK.into(), note: Some("x".repeat(length)) };
    house.fact(noted(MOST_NOTE));
    assert_eq!((house.counted("note-too-long"), house.property.link_notes().len()), (0, 1));
    house.fact(noted(MOST_NOTE + 1));
    assert_eq!((house.counted("note-too-long"), house.property.link_notes().len()), (1, 0));
    house.fact(Fact::Noted { device: "none".into(), note: Some("x".into()) });
    assert_eq!((house.counted("unknown-device"), house.property.notes().len()), (1, 0));
}

#[test]
fn a_link_that_says_something_else_is_still_the_same_link() {
    let mut house = House::new();
    let says = |up, detail: &str| Fact::Link { link: PMS_LINK.into(), up, detail: detail.into() };
    let status = Action::RoomStatus { room: "101".into(), status: "clean-vacant".into() };
    house.comes("1", "101").ask("s", status).ask("q", Action::Locate { room: "101".into(), stay: None });
    house.fact(Fact::ResyncBegun).clear().fact(says(true, "resync"));
    assert!(house.property.resync().is_some(), "its list runs on");
    assert_eq!((house.end("q"), house.kinds(), house.intents.len()), (None, vec![], 0));
    house.fact(Fact::ResyncDone).clear().fact(says(true, "alive"));
    assert_eq!(house.intents, [], "what is under way is not sent again");
    house.fact(says(false, "gone")).refused("q", "link broke");
    house.clear().fact(says(false, "refused"));
    assert_eq!((house.kinds(), house.intents.len()), (vec![], 0));
}

#[test]
fn rows_name_their_link_in_a_house_with_several() {
    let mut house = House::resort();
    let named = |house: &House| -> Vec<Option<LinkId>> {
        let links = house.changes.iter().filter_map(|change| match change {
            Change::Resync { link, .. } | Change::NightAudit { link, .. } => Some(link.clone()),
            _ => None,
        });
        links.collect()
    };
    house.at(VILLAS, Fact::ResyncBegun).fact(Fact::NightAuditBegun);
    assert_eq!(named(&house), [Some(VILLAS.into()), Some(PMS_LINK.into())]);
    let (links, rooms) = house.property.served();
    assert_eq!((links.len(), rooms.get(&"103".into()), rooms.len()), (2, Some(&VILLAS.into()), 1));
    let mut house = House::new();
    house.fact(Fact::ResyncBegun);
    assert_eq!(named(&house), [None]);
}

#[test]
fn lists_are_believed_as_the_house_was_told() {
    let mut house = House::new();
    assert_eq!(house.property.list_guard(), ListGuard { at_least: 10, percent: 50 });
    let guard = ListGuard { at_least: 2, percent: 50 };
    house.property.guard_lists(guard);
    assert_eq!(house.property.list_guard(), guard);
    assert!(!guard.doubts(1, 1) && !guard.doubts(1, 2) && guard.doubts(2, 3) && guard.doubts(2, 2));
}

#[test]
fn what_the_pms_says_of_itself_is_kept() {
    let mut house = House::new();
    let description = PmsDescription { pms_version: Some("8.14".into()), ..PmsDescription::default() };
    house.says(PmsFact::Described { description: description.clone() });
    assert_eq!(house.property.pms_description(), &description);
}
