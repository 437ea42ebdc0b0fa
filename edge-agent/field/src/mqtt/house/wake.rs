//! What rings in a room, told to whatever rings there: a telephone, a loudspeaker, a light scene.
//!
//! Why retained state and not an event: a device that comes back in the middle of a call rings at once, and one that
//! missed the answer stops. Whoever hears the guest answers with `{"do":"wake-answered","room":"101","key":"..."}` on
//! `cmd`.
//!
//! Never: a name.

use crate::mqtt::house::Publication;
use crate::mqtt::topic::HouseTopics;
use engawa_model::{Property, RoomId};
use engawa_words::{Arg, Words};
use serde_json::json;

pub(super) fn state(topics: &HouseTopics, property: &Property, room: &RoomId) -> Publication {
    let payload = match property.ringing(room) {
        None => json!({ "ringing": false }),
        Some(call) => {
            let language = property.wake_language(call);
            let words = Words::of([language.as_deref(), property.guest_language()]);
            let time = call.at.strftime("%H:%M").to_string();
            json!({
                "ringing": true,
                "id": call.id,
                "at": call.at,
                "ring": call.rings,
                "language": words.language().tag(),
                "text": words.text("wake-up-call", &[("time", Arg::from(time.as_str()))]),
            })
        }
    };
    Publication::state(topics.wake(room), payload)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::mqtt::ValueTopics;
    use crate::mqtt::house::{carried_out, snapshot};
    use engawa_model::{
        Action, Command, CommandSource, Fact, GuestRecord, Observation, Presence, PropertySpec, RoomFlags,
        RoomSpec, Timestamp, WakeRooms, WakeSpec,
    };

    struct House(Property);

    impl House {
        fn new() -> Self {
            let spec = PropertySpec {
                id: "h".into(),
                zone: "Asia/Tokyo".to_owned(),
                currency: engawa_model::Currency::new("JPY").unwrap(),
                climate: toml::from_str("comfort_c = 22.0\neco_heating_c = 18.0\neco_cooling_c = 26.0")
                    .unwrap(),
                rooms: ["1/2", "3"].map(|id| RoomSpec { id: id.into() }).to_vec(),
                devices: vec![],
                resync_every_s: 1,
                order_ttl_s: 1,
            };
            let mut property = Property::new(spec);
            let rooms = WakeRooms::These([RoomId::from("1/2")].into());
            property.ring_with(WakeSpec { rooms, ..WakeSpec::default() });
            property.speak("de");
            Self(property)
        }

        /// What is published by what follows from `fact`.
        fn at(&mut self, at: &str, fact: Fact) -> Vec<(String, serde_json::Value)> {
            let at: Timestamp = at.parse().unwrap();
            let applied = self.0.apply(&Observation::new(at, fact));
            let said = applied.intents.iter().filter_map(|intent| carried_out(&self.0, intent));
            said.map(|said| {
                assert!(said.retain);
                (said.topic, serde_json::from_str(&said.payload).unwrap())
            })
            .collect()
        }

        fn bells(&self) -> Vec<(String, String)> {
            let all = snapshot(&self.0, ValueTopics::Points).into_iter();
            all.filter(|said| said.topic.ends_with("/wake")).map(|said| (said.topic, said.payload)).collect()
        }
    }

    fn asked(key: &str, action: Action) -> Fact {
        Fact::Asked {
            command: Command { key: key.into(), source: CommandSource::Mqtt, expires: None, action },
        }
    }

    #[test]
    fn a_bell_rings_in_the_guests_language_until_somebody_answers() {
        let mut house = House::new();
        let topic = "engawa/h/room/1%2F2/wake".to_owned();
        let quiet = r#"{"ringing":false}"#.to_owned();
        assert_eq!(house.bells(), [(topic.clone(), quiet.clone())], "only where something rings");
        let guest = GuestRecord { language: Some("ja".to_owned()), ..GuestRecord::default() };
        let fact = Fact::GuestSeen {
            stay: "7".into(),
            room: "1/2".into(),
            from: None,
            presence: Presence::In,
            listed: false,
            guest,
            flags: RoomFlags::default(),
        };
        house.at("2026-07-15T20:00:00Z", fact);
        for room in ["1/2", "3"] {
            let at = "2026-07-16T06:30:00".parse().unwrap();
            let action = Action::WakeUp { room: room.into(), at, stay: None };
            house.at("2026-07-15T20:00:01Z", asked(room, action));
        }
        let rings = house.at("2026-07-15T21:30:00Z", Fact::Tick);
        let [(at, payload)] = rings.as_slice() else { panic!("{rings:?}") };
        assert_eq!(*at, topic);
        let expected = json!({
            "ringing": true, "id": 1, "at": "2026-07-16T06:30:00", "ring": 1, "language": "ja",
            "text": "おはようございます。モーニングコールのお時間でございます。ただいま06:30でございます。",
        });
        assert_eq!(*payload, expected);
        // A broker that comes back hears the same.
        assert_eq!(house.bells(), [(topic.clone(), expected.to_string())]);
        // The room without a bell has an alert, in the language of the house.
        let alert = snapshot(&house.0, ValueTopics::Points)
            .into_iter()
            .find(|said| said.topic == "engawa/h/alert/wake_up/room 3")
            .unwrap();
        let alert: serde_json::Value = serde_json::from_str(&alert.payload).unwrap();
        assert_eq!((&alert["title"], &alert["active"]), (&json!("Weckruf"), &json!(true)));
        assert!(alert["do"].as_str().unwrap().starts_with("Den Gast anrufen"));
        let stops = house
            .at("2026-07-15T21:30:20Z", asked("k", Action::WakeAnswered { room: "1/2".into(), id: None }));
        assert_eq!(stops, [(topic.clone(), json!({ "ringing": false }))]);
        assert_eq!(house.bells(), [(topic, quiet)]);
    }
}
