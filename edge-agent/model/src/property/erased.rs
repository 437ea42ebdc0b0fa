//! A guest's personal data is erased while the guest may still be in the house: the stay goes on without it. What names
//! somebody outside a stay, such as a look-up, is erased by its own time.

use super::{Applied, Entity, Property};
use crate::{Change, CommandOutcome, Erasure, ErasureReason, Timestamp};

impl Property {
    pub(super) fn guest_erased(&mut self, at: Timestamp, erasure: &Erasure, out: &mut Applied) {
        // What ends by its time is of somebody who has left; a stay of the same number is another guest's.
        if erasure.reason == ErasureReason::Asked
            && let Some(stay) = self.stays.get_mut(&erasure.stay)
        {
            stay.erased = true;
            (stay.name, stay.first_name, stay.title) = (None, None, None);
            (stay.phone, stay.email) = (None, None);
            (stay.comfort, stay.language) = (None, None);
            out.touched.insert(Entity::Stay(erasure.stay.clone()));
            self.desk_forgets(at, &erasure.stay, out);
            self.forget_preferences(&erasure.stay, out);
        }
        if !self.stays.contains_key(&erasure.stay) {
            self.forget_what_is_left(at, erasure, out);
        }
        out.changes.push(Change::Erased { erasure: erasure.clone() });
    }

    /// Commands and settled charges of nobody in the house lose what names the guest.
    fn forget_what_is_left(&mut self, at: Timestamp, erasure: &Erasure, out: &mut Applied) {
        let stay = &erasure.stay;
        let own = erasure.of_document();
        let theirs = |record: &&mut super::CommandRecord| match own {
            Some((kind, key)) => kind == "command" && record.command.key.as_str() == key,
            None => record.command.action.news_of() == Some(stay),
        };
        let mut open = Vec::new();
        for record in self.commands.values_mut().filter(theirs) {
            let clean = record.command.action.without_personal();
            if clean != record.command.action {
                record.command.action = clean;
                out.touched.insert(Entity::Command(record.command.key.clone()));
                open.extend(record.ended.is_none().then(|| record.command.key.clone()));
            }
        }
        for key in open {
            let reason = "what it says of a guest was erased: its time is over".to_owned();
            self.end_command(at, &key, CommandOutcome::Refused { reason }, out);
        }
        for posting in self.postings.values_mut() {
            let theirs = match own {
                Some((kind, key)) => kind == "posting" && posting.number.to_string() == key,
                None => posting.stay.as_ref() == Some(stay),
            };
            if theirs && posting.state.is_settled() && posting.detail.forget() {
                out.touched.insert(Entity::Posting(posting.number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::*;

    fn property() -> Property {
        Property::new(crate::testing::house(["101", "102"]))
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
    fn what_named_a_guest_outside_a_stay_ends_with_its_record() {
        let mut property = property();
        let ask = |key: &str, action| Fact::Asked {
            command: Command { key: key.into(), source: CommandSource::Local, expires: None, action },
        };
        let amount = Some(Money { minor: 100, currency: Currency::new("EUR").unwrap() });
        let call =
            Call { dialled: Some(Personal::new("5551234".to_owned())), seconds: Some(60), pulses: None };
        apply(&mut property, ask("c", Action::PostCall { room: "101".into(), amount, call }));
        let report = RoomReport { note: Some(Personal::new("for Sato".to_owned())), ..RoomReport::default() };
        apply(&mut property, ask("r", Action::RoomReport { room: "101".into(), report }));
        let refused = Fact::PostingAnswered { number: PostingNumber(1), status: "NG".into(), text: None };
        apply(&mut property, refused);
        for document in ["command c", "posting 1", "command r"] {
            let Fact::GuestErased { erasure } = erased(ErasureReason::Retention) else { unreachable!() };
            let erasure = Erasure { stay: StayId::new(format!("\u{1}{document}")), ..erasure };
            let applied = apply(&mut property, Fact::GuestErased { erasure });
            assert!(!applied.touched.is_empty(), "{document}");
        }
        for entity in property.entities() {
            let body = String::from_utf8(property.save(&entity).unwrap()).unwrap();
            assert!(!body.contains("5551234") && !body.contains("Sato"), "{entity:?}: {body}");
        }
        let ended = &property.commands()[&"r".into()].ended;
        assert!(
            matches!(ended, Some((_, CommandOutcome::Refused { reason })) if reason.contains("its time is over"))
        );
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

    #[test]
    fn what_comes_of_an_erased_guest_later_is_not_kept_and_not_told() {
        let mut property = property();
        apply(&mut property, seen("101"));
        apply(&mut property, erased(ErasureReason::Asked));
        let message = Message { id: "904".into(), text: Personal::new("taxi at six".into()), read: false };
        let said = PmsFact::MessageLeft { room: "101".into(), stay: Some("4711".into()), message };
        apply(&mut property, Fact::Pms { said });
        assert!(property.messages(&"4711".into()).is_empty());
        assert_eq!(property.counters()["message-of-erased"], 1);
        let mut again = seen("101");
        if let Fact::GuestSeen { guest, .. } = &mut again {
            guest.language = Some("fr".into());
            guest.departure = Some("2026-12-24".parse().unwrap());
        }
        let applied = apply(&mut property, again);
        let told = applied.changes.iter().find_map(|change| match change {
            Change::StayChanged { language, arrival, departure, .. } => Some((language, arrival, departure)),
            _ => None,
        });
        assert_eq!(told, Some((&None, &None, &None)));
    }
}
