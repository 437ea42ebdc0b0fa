//! Who is told what, and when.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{
    ClimateDefaults, Command, Currency, Fact, GuestRecord, Observation, Presence, PropertySpec, RoomFlags,
    RoomSpec, Season,
};

fn house() -> Property {
    let mut property = Property::new(PropertySpec {
        id: "h".into(),
        zone: "Asia/Tokyo".to_owned(),
        currency: Currency::new("JPY").unwrap(),
        climate: ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 18.0,
            eco_cooling_c: 26.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        },
        rooms: ["101", "102"].map(|id| RoomSpec { id: id.into() }).to_vec(),
        devices: Vec::new(),
        resync_every_s: 3600,
        order_ttl_s: 3600,
    });
    property.welcome_to("Grand");
    property
}

fn told(property: &mut Property, fact: Fact) -> Vec<(String, Option<String>, GuestText)> {
    let at = "2026-10-24T06:00:00Z".parse().unwrap();
    let applied = property.apply(&Observation::new(at, fact));
    let said = applied.intents.into_iter().filter_map(|intent| match intent {
        Intent::TellGuest { told } => Some((told.room.to_string(), told.language, told.text)),
        _ => None,
    });
    said.collect()
}

fn seen(stay: &str, room: &str, language: &str) -> Fact {
    Fact::GuestSeen {
        stay: stay.into(),
        room: room.into(),
        from: None,
        presence: Presence::In,
        listed: false,
        guest: GuestRecord { language: Some(language.to_owned()), ..GuestRecord::default() },
        flags: RoomFlags::default(),
    }
}

fn gone(stay: &str) -> Fact {
    Fact::GuestGone { room: "101".into(), stay: Some(stay.into()), listed: false }
}

fn refused(property: &mut Property, source: CommandSource, action: Action) -> Vec<GuestText> {
    let key: CommandKey = format!("k{}", property.commands().len()).as_str().into();
    let command = Command { key, source, expires: None, action };
    told(property, Fact::Asked { command }).into_iter().map(|(.., text)| text).collect()
}

#[test]
fn the_last_to_leave_is_bidden_goodbye_in_their_language() {
    let mut property = house();
    let of = |language: &str, text| ("101".to_owned(), Some(language.to_owned()), text);
    assert_eq!(told(&mut property, seen("1", "101", "fr")), [of("fr", GuestText::Welcome)]);
    assert_eq!(told(&mut property, seen("2", "101", "es")), [of("es", GuestText::Welcome)]);
    assert_eq!(property.language_in(&"101".into()), Some("fr"), "who is longest in it");
    assert_eq!(told(&mut property, gone("1")), [], "somebody is still there");
    assert_eq!(told(&mut property, gone("2")), [of("es", GuestText::Goodbye)]);
}

#[test]
fn who_is_missing_in_a_list_hears_no_goodbye() {
    let mut property = house();
    told(&mut property, seen("1", "101", "fr"));
    assert_eq!(told(&mut property, Fact::ResyncBegun), []);
    assert_eq!(told(&mut property, Fact::ResyncDone), []);
    assert!(property.stays().is_empty(), "checked out all the same");
}

#[test]
fn what_a_room_asked_for_in_vain_is_excused_and_nobody_else_s() {
    let mut property = house();
    told(&mut property, seen("1", "101", "fr"));
    let call = |at: &str| Action::WakeUp { room: "101".into(), at: at.parse().unwrap(), stay: None };
    let why = |texts: Vec<GuestText>| match texts.as_slice() {
        [GuestText::Error { why, .. }] => Some(*why),
        _ => None,
    };
    // 15:00 in Tokyo.
    let over = || call("2026-10-24T14:59:00");
    assert_eq!(why(refused(&mut property, CommandSource::Mqtt, over())), Some(GuestError::Time));
    assert_eq!(why(refused(&mut property, CommandSource::Local, over())), None, "staff read the reason");
    let never = Action::CancelWakeUp { room: "101".into(), at: None };
    assert_eq!(why(refused(&mut property, CommandSource::Mqtt, never)), Some(GuestError::Refused));
    let bill = Action::AskBill { room: "101".into(), stay: None };
    assert_eq!(why(refused(&mut property, CommandSource::Mqtt, bill)), Some(GuestError::Later));
    let nowhere = Action::AskBill { room: "999".into(), stay: None };
    assert_eq!(refused(&mut property, CommandSource::Mqtt, nowhere), [], "there is no such room");
}

#[test]
fn who_is_in_a_list_came_some_time_ago() {
    let mut property = house();
    assert_eq!(property.hotel(), Some("Grand"));
    told(&mut property, Fact::ResyncBegun);
    assert_eq!(told(&mut property, seen("1", "101", "fr")), []);
    told(&mut property, Fact::ResyncDone);
    assert_eq!(told(&mut property, seen("2", "102", "fr")).len(), 1);
}

#[test]
fn a_call_that_is_noted_or_taken_back_is_confirmed_in_the_guests_language() {
    let mut property = house();
    told(&mut property, seen("1", "101", "fr"));
    let at = "2026-10-25T06:30:00".parse().unwrap();
    let of = |text| ("101".to_owned(), Some("fr".to_owned()), text);
    let asked = Fact::WakeUpAsked { room: "101".into(), at: Some(at), time: Some("063000".into()) };
    assert_eq!(told(&mut property, asked), [of(GuestText::WakeUpSet { at })]);
    let cleared = Fact::WakeUpCleared { room: "101".into(), at: Some(at) };
    assert_eq!(told(&mut property, cleared), [of(GuestText::WakeUpCleared { at })]);
}

#[test]
fn a_message_that_waits_is_told() {
    let mut property = house();
    told(&mut property, seen("1", "101", "fr"));
    let message = crate::Message { id: "7".into(), text: crate::Personal::new("taxi".into()), read: false };
    let said = crate::PmsFact::MessageLeft { room: "101".into(), stay: Some("1".into()), message };
    let of = ("101".to_owned(), Some("fr".to_owned()), GuestText::Message);
    assert_eq!(told(&mut property, Fact::Pms { said }), [of]);
}
