//! What a link wants to be remembered, and a status that it has no place for.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_model::{
    Action, ClimateDefaults, Command, CommandKey, CommandOutcome, CommandSource, Currency, Fact, Intent,
    LinkId, MOST_NOTE, Observation, PMS_LINK, Property, PropertyId, PropertySpec, RoomId, RoomSpec,
    Timestamp,
};

fn spec() -> PropertySpec {
    let climate: ClimateDefaults =
        serde_json::from_str(r#"{"comfort_c":22.0,"eco_heating_c":17.0,"eco_cooling_c":28.0}"#).unwrap();
    PropertySpec {
        id: PropertyId::from("test"),
        zone: "Asia/Tokyo".into(),
        currency: Currency::new("JPY").unwrap(),
        climate,
        rooms: vec![RoomSpec { id: RoomId::from("101") }],
        devices: vec![],
        resync_every_s: 3600,
        order_ttl_s: 600,
    }
}

fn tell(property: &mut Property, fact: Fact) -> engawa_model::Applied {
    let at: Timestamp = "2026-07-15T10:00:00Z".parse().unwrap();
    property.apply(&Observation::new(at, fact))
}

fn note(text: Option<&str>) -> Fact {
    Fact::LinkNoted { link: LinkId::from(PMS_LINK), note: text.map(str::to_owned) }
}

#[test]
fn a_links_note_outlives_a_restart_and_is_no_row_of_the_journal() {
    let mut property = Property::new(spec());
    let applied = tell(&mut property, note(Some("since noon")));
    assert!(applied.changes.is_empty(), "{:?}", applied.changes);
    let rows: Vec<(&str, String, Vec<u8>)> = applied
        .touched
        .iter()
        .map(|entity| (entity.kind(), entity.key(), property.save(entity).unwrap()))
        .collect();
    assert_eq!(rows.len(), 1);
    let again = rows.iter().map(|(kind, key, body)| (*kind, key.as_str(), body.as_slice()));
    let mut restored = Property::restore(spec(), again).unwrap();
    assert_eq!(restored.link_notes()[&LinkId::from(PMS_LINK)], "since noon");
    assert!(tell(&mut restored, note(Some("since noon"))).touched.is_empty(), "nothing new");
    // One that is too long is none, and the old one is not true any more.
    let applied = tell(&mut restored, note(Some(&"x".repeat(MOST_NOTE + 1))));
    assert!(restored.link_notes().is_empty());
    assert_eq!(restored.counters()["note-too-long"], 1);
    assert!(applied.touched.iter().all(|entity| restored.save(entity).is_none()));
}

#[test]
fn a_status_that_is_refused_has_ended_and_is_not_sent_again() {
    let mut property = Property::new(spec());
    let link = |up| Fact::Link { link: LinkId::from(PMS_LINK), up, detail: "x".to_owned() };
    tell(&mut property, link(true));
    let key = CommandKey::from("k");
    let action = Action::Service { room: RoomId::from("101"), sign: "make-up".to_owned() };
    let command = Command { key: key.clone(), source: CommandSource::Local, action, expires: None };
    let applied = tell(&mut property, Fact::Asked { command });
    let sent = |intents: &[Intent]| {
        intents.iter().filter(|intent| matches!(intent, Intent::SendRoomStatus { .. })).count()
    };
    assert_eq!(sent(&applied.intents), 1);
    let reason = "it has no place for signs".to_owned();
    tell(&mut property, Fact::StatusRefused { key: key.clone(), reason: reason.clone() });
    let ended = property.commands()[&key].ended.clone().map(|(_, outcome)| outcome);
    assert_eq!(ended, Some(CommandOutcome::Refused { reason }));
    tell(&mut property, link(false));
    assert_eq!(sent(&tell(&mut property, link(true)).intents), 0);
}
