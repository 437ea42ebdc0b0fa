//! Several PMS in one house: whose room 12 is it, and whose reservation 4711?
//!
//! Every record is renamed at the link's edge, on its way in and out, so that behind it there are only the house's own
//! room ids and reservation numbers that no other link has. Nothing else in the gateway knows that the PMS's differ.

use crate::codec::Record;
use crate::reservation::Numbers;
use engawa_model::{Fact, LinkId, PMS_LINK};
use std::collections::BTreeMap;

/// What stands between a link's name and what it names.
const SEPARATOR: char = ':';
/// What a stay is called whose PMS sends no reservation numbers (see `facts`); it never goes out.
const BY_ROOM: &str = "room:";

/// The room numbers of one PMS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomNumbers {
    /// The PMS's number of a room, and the house's id.
    inward: BTreeMap<String, String>,
    outward: BTreeMap<String, String>,
    /// True where numbers that are not listed may belong to another PMS's rooms.
    closed: bool,
}

impl RoomNumbers {
    /// The rooms of one of several PMS: its own number and the house's id of each. A number that is not here is no room
    /// of this PMS, whatever the house calls its others.
    pub fn of(rooms: impl IntoIterator<Item = (String, String)>) -> Self {
        let inward: BTreeMap<_, _> = rooms.into_iter().collect();
        let outward = inward.iter().map(|(number, id)| (id.clone(), number.clone())).collect();
        Self { inward, outward, closed: true }
    }
}

/// A link's name and its rooms.
#[derive(Clone, Debug)]
pub(super) struct Naming {
    link: LinkId,
    /// Goes before reservation numbers: the name and the separator. `None` for the house's first PMS, whose numbers stay as
    /// they are.
    prefix: Option<String>,
    rooms: RoomNumbers,
    /// Reservation numbers that are none have stand-ins.
    numbers: Numbers,
}

/// The id of the PMS link with this name; the link without a name is the house's first.
pub fn link_id(name: Option<&str>) -> LinkId {
    name.map_or_else(|| LinkId::from(PMS_LINK), |name| LinkId::new(format!("{PMS_LINK}-{name}")))
}

/// The encoder as the PMS calls it, of what it is called in the house.
pub(super) fn own_encoder<'a>(name: Option<&str>, coder: &'a str) -> &'a str {
    let own = name.and_then(|name| coder.strip_prefix(name)).and_then(|rest| rest.strip_prefix(SEPARATOR));
    own.unwrap_or(coder)
}

impl Naming {
    pub(super) fn new(name: Option<&str>, rooms: RoomNumbers, numbers: Numbers) -> Self {
        Self { link: link_id(name), prefix: name.map(|name| format!("{name}{SEPARATOR}")), rooms, numbers }
    }

    pub(super) fn link(&self) -> LinkId {
        self.link.clone()
    }

    /// A record of the PMS, in the house's names.
    pub(super) fn inward(&mut self, record: &Record) -> Record {
        let mut numbers = std::mem::take(&mut self.numbers);
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let renamed = renamed(record, |field, value| {
            Some(match field {
                "RN" | "RO" => self.room_in(value),
                "SI" => value.split(';').map(|room| self.room_in(room)).collect::<Vec<_>>().join(";"),
                "G#" => format!("{prefix}{}", numbers.inward(value)),
                // Encoders as reservations: two PMS may call one of theirs alike.
                "KC" => format!("{prefix}{value}"),
                _ => value.to_owned(),
            })
        });
        self.numbers = numbers;
        renamed
    }

    /// True where a record of the PMS has a reservation number that is none.
    pub(super) fn is_odd(&self, record: &Record) -> bool {
        record.fields().any(|(field, value)| field == "G#" && self.numbers.is_odd(value))
    }

    /// True where a record names a stay whose number at the PMS is not known any more.
    pub(super) fn has_lost(&self, stay: &str) -> bool {
        self.numbers.outward(self.own(stay)).is_none()
    }

    /// A record for the PMS, in its own names.
    pub(super) fn outward(&self, record: &Record) -> Record {
        renamed(record, |field, value| match field {
            // What is searched for (PI) may be a room, by the house's name of it.
            "RN" | "RO" | "PI" => Some(self.room_out(value)),
            "SI" => Some(value.split(';').map(|room| self.room_out(room)).collect::<Vec<_>>().join(";")),
            "G#" => self.stay_out(value),
            "KC" => Some(self.own(value).to_owned()),
            _ => Some(value.to_owned()),
        })
    }

    /// What is told to the house: of one of several links it must be known of which.
    pub(super) fn told(&self, fact: Fact) -> Fact {
        match fact {
            Fact::Link { up, detail, .. } => Fact::Link { link: self.link(), up, detail },
            fact if self.prefix.is_none() => fact,
            fact => Fact::AtLink { link: self.link(), what: Box::new(fact) },
        }
    }

    fn room_in(&self, number: &str) -> String {
        match self.rooms.inward.get(number) {
            Some(id) => id.clone(),
            // A room of this PMS that the house does not have: named so that it can't be taken for one that it has.
            None if self.rooms.closed && !number.is_empty() => format!("{}{SEPARATOR}{number}", self.link),
            None => number.to_owned(),
        }
    }

    fn room_out(&self, id: &str) -> String {
        self.rooms.outward.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    /// The PMS's own name of what the house calls by the link's name and it.
    fn own<'a>(&self, name: &'a str) -> &'a str {
        self.prefix.as_deref().and_then(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
    }

    fn stay_out(&self, stay: &str) -> Option<String> {
        let number = self.own(stay);
        if number.starts_with(BY_ROOM) { None } else { self.numbers.outward(number) }
    }
}

/// The record with other values; a field without one is left out. Empty values stay: the PMS has said that it knows none.
fn renamed(record: &Record, mut value: impl FnMut(&str, &str) -> Option<String>) -> Record {
    record.fields().fold(Record::new(record.id()), |new, (field, old)| match old {
        "" => new.with(field, ""),
        old => match value(field, old) {
            Some(value) => new.with(field, value),
            None => new,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(record: &Record) -> String {
        record.fields().fold(format!("{}|", record.id()), |text, (id, value)| format!("{text}{id}{value}|"))
    }

    fn gi(room: &str) -> Record {
        Record::new("GI").with("RN", room).with("G#", "4711").with("GN", "Sato").with("GS", "")
    }

    #[test]
    fn the_only_pms_keeps_its_own_numbers() {
        let mut naming = Naming::new(None, RoomNumbers::default(), Numbers::default());
        assert_eq!(shown(&naming.inward(&gi("0101"))), "GI|RN0101|G#4711|GNSato|GS|");
        assert_eq!(naming.told(Fact::ResyncBegun), Fact::ResyncBegun);
        let made_up = Record::new("PS").with("RN", "101").with("G#", "room:101").with("TA", "100");
        assert_eq!(shown(&naming.outward(&made_up)), "PS|RN101|TA100|", "no PMS knows that reservation");
    }

    #[test]
    fn a_second_pms_is_renamed_both_ways_and_never_meets_the_firsts_rooms() {
        let rooms =
            RoomNumbers::of([("12".to_owned(), "V12".to_owned()), ("13".to_owned(), "V13".to_owned())]);
        let mut naming = Naming::new(Some("villas"), rooms, Numbers::default());
        assert_eq!(shown(&naming.inward(&gi("12"))), "GI|RNV12|G#villas:4711|GNSato|GS|");
        assert_eq!(shown(&naming.inward(&gi("101"))), "GI|RNpms-villas:101|G#villas:4711|GNSato|GS|");
        let suite = Record::new("KR").with("RN", "12").with("SI", "12;13");
        assert_eq!(shown(&naming.inward(&suite)), "KR|RNV12|SIV12;V13|");
        let suite = Record::new("KR").with("RN", "12").with("SI", "12;;14");
        assert_eq!(shown(&naming.inward(&suite)), "KR|RNV12|SIV12;;pms-villas:14|", "nothing is no room");
        let suite = Record::new("KA").with("RN", "V12").with("SI", "V12;;V13");
        assert_eq!(shown(&naming.outward(&suite)), "KA|RN12|SI12;;13|");
        let posting = Record::new("PS").with("RN", "V12").with("G#", "villas:4711");
        assert_eq!(shown(&naming.outward(&posting)), "PS|RN12|G#4711|");
        // A look-up by the house's room, by a name, and an encoder: the record goes out as the PMS has it.
        for (query, want) in [("V12", "12"), ("Sato", "Sato"), ("101", "101")] {
            assert_eq!(shown(&naming.outward(&Record::new("PR").with("PI", query))), format!("PR|PI{want}|"));
        }
        let key = naming.inward(&Record::new("KR").with("KC", "1").with("RN", "12"));
        assert_eq!(shown(&key), "KR|KCvillas:1|RNV12|");
        assert_eq!(shown(&naming.outward(&key)), "KR|KC1|RN12|");
        assert_eq!(
            (
                own_encoder(Some("villas"), "villas:1"),
                own_encoder(Some("villas"), "1"),
                own_encoder(None, "1")
            ),
            ("1", "1", "1")
        );
        let told = naming.told(Fact::ResyncBegun);
        assert_eq!(told, Fact::AtLink { link: "pms-villas".into(), what: Box::new(Fact::ResyncBegun) });
        let up = Fact::Link { link: PMS_LINK.into(), up: true, detail: "alive".into() };
        assert!(matches!(naming.told(up), Fact::Link { link, .. } if link.as_str() == "pms-villas"));
    }

    #[test]
    fn the_first_of_several_does_not_reach_into_the_others_rooms() {
        let rooms = RoomNumbers::of([("101".to_owned(), "101".to_owned())]);
        let mut naming = Naming::new(None, rooms, Numbers::default());
        assert_eq!(shown(&naming.inward(&gi("101"))), "GI|RN101|G#4711|GNSato|GS|");
        assert_eq!(shown(&naming.inward(&gi("V12"))), "GI|RNpms:V12|G#4711|GNSato|GS|");
    }

    #[test]
    fn a_name_in_the_place_of_a_reservation_number_stays_at_the_edge() {
        for link in [None, Some("villas")] {
            let mut naming = Naming::new(link, RoomNumbers::default(), Numbers::default());
            let named = Record::new("GI").with("RN", "101").with("G#", "Sato").with("GN", "Sato");
            assert!(naming.is_odd(&named) && !naming.is_odd(&gi("101")));
            let inside = naming.inward(&named);
            let stay = inside.get("G#").unwrap().to_owned();
            assert!(!stay.contains("Sato") && !naming.has_lost(&stay), "{stay}");
            let bill = Record::new("XR").with("RN", "101").with("G#", stay.as_str());
            assert_eq!(shown(&naming.outward(&bill)), "XR|RN101|G#Sato|");
            let restarted = Naming::new(link, RoomNumbers::default(), Numbers::default());
            assert!(
                restarted.has_lost(&stay) && !restarted.has_lost("4711") && !restarted.has_lost("room:101")
            );
            assert_eq!(shown(&restarted.outward(&bill)), "XR|RN101|", "never the stand-in");
        }
    }
}
