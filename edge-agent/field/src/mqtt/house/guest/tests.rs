//! Guests read what concerns them in their language; nobody's name is on the bus.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::mqtt::ValueTopics;
use crate::mqtt::house::{carried_out, publications, snapshot};
use engawa_model::{
    Action, Command, CommandSource, Fact, GuestRecord, Observation, Personal, Presence, Property,
    PropertySpec, RoomFlags, RoomSpec, Timestamp,
};
use serde_json::Value;

struct House(Property);

/// What was published by one fact, by topic, in order.
type Said = Vec<(String, Value)>;

impl House {
    fn new() -> Self {
        let spec = PropertySpec {
            id: "h".into(),
            zone: "Asia/Tokyo".to_owned(),
            currency: engawa_model::Currency::new("JPY").unwrap(),
            climate: toml::from_str("comfort_c = 22.0\neco_heating_c = 18.0\neco_cooling_c = 26.0").unwrap(),
            rooms: ["101", "102"].map(|id| RoomSpec { id: id.into() }).to_vec(),
            devices: vec![],
            resync_every_s: 1,
            order_ttl_s: 1,
        };
        let mut property = Property::new(spec);
        property.speak("ja");
        property.welcome_to("Grand Hotel");
        Self(property)
    }

    fn at(&mut self, at: &str, fact: Fact) -> Said {
        let at: Timestamp = at.parse().unwrap();
        let applied = self.0.apply(&Observation::new(at, fact));
        let state =
            applied.changes.iter().flat_map(|change| publications(&self.0, change, ValueTopics::Points));
        let told = applied.intents.iter().filter_map(|intent| carried_out(&self.0, intent));
        let all: Vec<_> = state.chain(told).collect();
        for said in &all {
            assert!(!said.payload.contains("Sato"), "{}", said.payload);
            let moment = ["/message", "/result"].iter().any(|end| said.topic.ends_with(end));
            assert_eq!(said.retain, !moment, "{}", said.topic);
        }
        let of_guests = all.into_iter().filter(|said| said.topic.contains("/guest"));
        of_guests.map(|said| (said.topic, serde_json::from_str(&said.payload).unwrap())).collect()
    }
}

fn seen(language: Option<&str>, message_light: Option<bool>) -> Fact {
    Fact::GuestSeen {
        stay: "4711".into(),
        room: "101".into(),
        from: None,
        presence: Presence::In,
        listed: false,
        guest: GuestRecord {
            name: Some(Personal::new("Sato".to_owned())),
            language: language.map(str::to_owned),
            ..GuestRecord::default()
        },
        flags: RoomFlags { message_light, ..RoomFlags::default() },
    }
}

fn asked(key: &str, action: Action) -> Fact {
    let command = Command { key: key.into(), source: CommandSource::Mqtt, expires: None, action };
    Fact::Asked { command }
}

fn messages(said: &Said) -> Vec<(&str, &str, &str)> {
    let of = said.iter().filter(|(topic, _)| topic == "engawa/h/room/101/guest/message");
    of.map(|(_, it)| {
        (it["about"].as_str().unwrap(), it["language"].as_str().unwrap(), it["text"].as_str().unwrap())
    })
    .collect()
}

/// What the room's screen shows after all of `said`.
fn screen(said: &Said) -> Vec<String> {
    let last = said.iter().rfind(|(topic, _)| topic == "engawa/h/room/101/guest").unwrap();
    last.1["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_stay_is_told_from_welcome_to_goodbye_in_the_guests_language() {
    let mut house = House::new();
    let came = house.at("2026-10-24T06:00:00Z", seen(Some("de-CH"), None));
    assert_eq!(messages(&came), [("welcome", "de", "Willkommen im Grand Hotel.")]);
    assert_eq!(screen(&came), ["Willkommen im Grand Hotel."]);

    let call = Action::WakeUp { room: "101".into(), at: "2026-10-25T06:30:00".parse().unwrap(), stay: None };
    let set = house.at("2026-10-24T07:00:00Z", asked("k1", call));
    let noted = "Wir wecken Sie am 25.10.2026 um 06:30 Uhr.";
    assert_eq!(messages(&set), [("wake_up_set", "de", noted)]);
    assert_eq!(screen(&set), ["Willkommen im Grand Hotel.", noted]);

    let over = Action::WakeUp { room: "101".into(), at: "2026-10-24T06:30:00".parse().unwrap(), stay: None };
    let late = house.at("2026-10-24T07:01:00Z", asked("k2", over));
    assert_eq!(messages(&late)[0].0, "error");
    assert!(messages(&late)[0].2.starts_with("Diese Uhrzeit ist schon vorbei"), "{late:?}");

    let no_pms =
        house.at("2026-10-24T07:02:00Z", asked("k3", Action::AskBill { room: "101".into(), stay: None }));
    assert!(messages(&no_pms)[0].2.contains("in einigen Minuten"), "{no_pms:?}");

    let cleared =
        house.at("2026-10-24T07:03:00Z", asked("k4", Action::CancelWakeUp { room: "101".into(), at: None }));
    assert_eq!(messages(&cleared), [("wake_up_cleared", "de", "Ihr Weckruf um 06:30 Uhr wurde gelöscht.")]);

    let light = house.at("2026-10-24T08:00:00Z", seen(None, Some(true)));
    assert_eq!(screen(&light).len(), 2, "{light:?}");
    // Whoever subscribes now sees the same.
    let kept = snapshot(&house.0, ValueTopics::Points);
    let kept = kept.iter().find(|said| said.topic == "engawa/h/room/101/guest").unwrap();
    assert!(kept.payload.contains("Grand Hotel") && kept.payload.contains("\"de\""), "{}", kept.payload);

    let gone = Fact::GuestGone { room: "101".into(), stay: Some("4711".into()), listed: false };
    let gone = house.at("2026-10-25T01:00:00Z", gone);
    assert_eq!(messages(&gone).len(), 1);
    assert_eq!(messages(&gone)[0].1, "de", "the language goes with the guest, and is still known here");
    assert_eq!(screen(&gone), [] as [&str; 0], "nothing of it is there for the next guest");
}

#[test]
fn a_guest_without_a_language_reads_the_houses_and_a_silent_house_says_nothing() {
    let mut house = House::new();
    let came = house.at("2026-10-24T06:00:00Z", seen(None, None));
    assert_eq!(messages(&came), [("welcome", "ja", "Grand Hotelへようこそお越しくださいました。")]);
    // Who is in a list came earlier: the screen welcomes them, no message does.
    let mut house = House::new();
    house.at("2026-10-24T06:00:00Z", Fact::ResyncBegun);
    let listed = house.at("2026-10-24T06:00:01Z", seen(Some("en"), None));
    assert_eq!((messages(&listed).len(), screen(&listed).len()), (0, 1), "{listed:?}");
    let silent = Property::new(House::new().0.spec().clone());
    assert!(snapshot(&silent, ValueTopics::Points).iter().all(|said| !said.topic.contains("/guest")));
}
