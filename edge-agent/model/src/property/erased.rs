//! A guest's personal data is erased while the guest may still be in the house: the stay goes on without it.

use super::{Applied, Entity, Property};
use crate::{Change, Erasure, ErasureReason, Timestamp};

impl Property {
    pub(super) fn guest_erased(&mut self, at: Timestamp, erasure: &Erasure, out: &mut Applied) {
        // What ends by its time is of somebody who has left; a stay of the same number is another guest's.
        if erasure.reason == ErasureReason::Asked
            && let Some(stay) = self.stays.get_mut(&erasure.stay)
        {
            stay.erased = true;
            (stay.name, stay.first_name, stay.title) = (None, None, None);
            (stay.phone, stay.email) = (None, None);
            out.touched.insert(Entity::Stay(erasure.stay.clone()));
            self.desk_forgets(at, &erasure.stay, out);
        }
        out.changes.push(Change::Erased { erasure: erasure.clone() });
    }
}

#[cfg(test)]
mod tests {
    use crate::*;

    fn property() -> Property {
        let climate = ClimateDefaults {
            comfort_c: 22.0,
            eco_heating_c: 17.0,
            eco_cooling_c: 28.0,
            season: Season::Heating,
            guest_hold_s: 7200,
        };
        Property::new(PropertySpec {
            id: PropertyId::from("test"),
            zone: "UTC".into(),
            currency: Currency::new("EUR").unwrap(),
            climate,
            rooms: ["101", "102"].map(|id| RoomSpec { id: RoomId::from(id) }).to_vec(),
            devices: vec![],
            resync_every_s: 3600,
            order_ttl_s: 600,
        })
    }

    fn apply(property: &mut Property, fact: Fact) -> Applied {
        property.apply(&Observation::new(Timestamp::UNIX_EPOCH, fact))
    }

    fn seen(room: &str) -> Fact {
        let personal = |text: &str| Some(Personal::new(text.to_owned()));
        Fact::GuestSeen {
            stay: StayId::from("4711"),
            room: RoomId::from(room),
            from: None,
            presence: Presence::In,
            listed: false,
            guest: GuestRecord {
                name: personal("Sato"),
                phone: personal("+81 3 1234 5678"),
                ..GuestRecord::default()
            },
            flags: RoomFlags::default(),
        }
    }

    fn erased(reason: ErasureReason) -> Fact {
        let erasure = Erasure {
            stay: StayId::from("4711"),
            record: "00".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            reason,
            signer: String::new(),
            signature: String::new(),
        };
        Fact::GuestErased { erasure }
    }

    #[test]
    fn an_erased_guest_stays_without_a_name_and_the_pms_does_not_bring_it_back() {
        let mut property = property();
        apply(&mut property, seen("101"));
        let applied = apply(&mut property, erased(ErasureReason::Retention));
        assert!(applied.touched.is_empty(), "an older stay of the same number");
        assert!(property.stays()[&StayId::from("4711")].name.is_some());
        let applied = apply(&mut property, erased(ErasureReason::Asked));
        assert!(matches!(applied.changes[..], [Change::Erased { .. }]));
        assert_eq!(applied.touched.len(), 1);
        apply(&mut property, seen("102"));
        let stay = &property.stays()[&StayId::from("4711")];
        assert_eq!((stay.room.as_str(), stay.erased), ("102", true));
        assert!(stay.name.is_none() && stay.phone.is_none());
        let saved = property.save(&Entity::Stay(StayId::from("4711"))).unwrap();
        assert!(!String::from_utf8(saved).unwrap().contains("Sato"));
    }

    #[test]
    fn messages_of_an_erased_guest_are_gone_and_one_that_waits_is_not_sent() {
        let mut property = property();
        apply(&mut property, seen("101"));
        let message = Message { id: "903".into(), text: Personal::new("taxi at six".into()), read: false };
        let told = |message| Fact::Pms {
            said: PmsFact::MessageLeft { room: "101".into(), stay: Some("4711".into()), message },
        };
        apply(&mut property, told(message));
        assert_eq!(property.messages(&"4711".into()).len(), 1);
        let action = Action::LeaveMessage {
            room: "101".into(),
            stay: None,
            text: Personal::new("your glasses".into()),
        };
        let key = CommandKey::from("k");
        let command = Command { key: key.clone(), source: CommandSource::Local, expires: None, action };
        apply(&mut property, Fact::Asked { command });
        let applied = apply(&mut property, erased(ErasureReason::Asked));
        assert!(property.messages(&"4711".into()).is_empty());
        assert!(applied.touched.contains(&Entity::Messages("4711".into())));
        assert!(matches!(property.commands()[&key].ended, Some((_, CommandOutcome::Refused { .. }))));
        let saved = property.save(&Entity::Command(key)).unwrap();
        assert!(!String::from_utf8(saved).unwrap().contains("glasses"));
    }
}
