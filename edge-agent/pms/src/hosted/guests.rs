//! Who is in the house by the hosted system, and the facts that follow from what it tells.

use crate::codec::{mask_card_numbers, plain};
use engawa_model::{Date, Fact, GuestRecord, Personal, Presence, RoomFlags, RoomId, StayId, Timestamp};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// The most stays in a house: past it a list is not believed.
pub(super) const MOST_STAYS: usize = 20_000;
/// Pages of one list: past it, its end is not believed to come.
pub(super) const MOST_PAGES: u32 = 100;

/// True for a list that is longer than any house's: by its pages, or by the stays and arrivals that were gathered.
pub(super) fn has_no_end(pages: u32, gathered: [usize; 2]) -> bool {
    pages > MOST_PAGES || gathered.iter().sum::<usize>() > MOST_STAYS
}

/// What is remembered of a stay in the house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its room.
    pub room: RoomId,
    /// The account that is charged, where the system has one.
    pub account: Option<String>,
}

/// The stays in the house.
#[derive(Clone, Debug, Default)]
pub struct Guests(BTreeMap<StayId, Known>);

/// A stay that is in the house, as the system tells it.
#[derive(Clone, Debug)]
pub(super) struct Present {
    pub(super) stay: StayId,
    pub(super) known: Known,
    pub(super) guest: GuestRecord,
}

impl Guests {
    /// Those that the house knew when it started.
    pub fn remembered(stays: impl IntoIterator<Item = (StayId, RoomId)>) -> Self {
        Self(stays.into_iter().map(|(stay, room)| (stay, Known { room, account: None })).collect())
    }

    /// What is known of a stay.
    pub fn get(&self, stay: &StayId) -> Option<&Known> {
        self.0.get(stay)
    }

    /// The only reservation in `room`; `None` where there is none, or several. Who accompanies somebody is none.
    pub fn only_in(&self, room: &RoomId) -> Option<&StayId> {
        let mut in_room = self.0.iter().filter(|(stay, known)| known.room == *room && !is_companion(stay));
        match (in_room.next(), in_room.next()) {
            (Some((stay, _)), None) => Some(stay),
            _ => None,
        }
    }

    /// Those who accompany the guest of `stay`.
    pub(super) fn companions(&self, stay: &StayId) -> Vec<StayId> {
        let theirs = |one: &&StayId| {
            one.as_str().strip_prefix(stay.as_str()).is_some_and(|rest| rest.starts_with(COMPANION))
        };
        self.0.keys().filter(theirs).cloned().collect()
    }

    /// Those of which `listed` says nothing.
    pub fn missing<'a>(&'a self, listed: &'a [StayId]) -> impl Iterator<Item = &'a StayId> {
        let listed: std::collections::BTreeSet<_> = listed.iter().collect();
        self.0.keys().filter(move |stay| !listed.contains(stay))
    }

    /// The whole house: `present` is in it, `left` has certainly gone.
    pub(super) fn list(&mut self, present: Vec<Present>, left: &[StayId]) -> Vec<Fact> {
        let mut facts: Vec<Fact> = left.iter().filter_map(|stay| self.gone(stay)).collect();
        facts.push(Fact::ResyncBegun);
        self.0.clear();
        for one in present {
            facts.push(self.seen(one, true));
        }
        facts.push(Fact::ResyncDone);
        facts
    }

    /// A stay is in the house.
    pub(super) fn seen(&mut self, one: Present, listed: bool) -> Fact {
        let Present { stay, known, guest } = one;
        let room = known.room.clone();
        let before = self.0.insert(stay.clone(), known);
        let from = before.map(|before| before.room).filter(|before| *before != room);
        let presence = if listed { Presence::In } else { Presence::Changed };
        Fact::GuestSeen { stay, room, from, presence, listed, guest, flags: RoomFlags::default() }
    }

    /// A stay is not in the house; `None` where it was not known.
    pub(super) fn gone(&mut self, stay: &StayId) -> Option<Fact> {
        let known = self.0.remove(stay)?;
        Some(Fact::GuestGone { room: known.room, stay: Some(stay.clone()), listed: false })
    }
}

/// Between a reservation's number and that of whoever accompanies its guest: a stay of its own in the same room.
const COMPANION: char = '+';

/// The stay of somebody who accompanies the guest of `reservation`.
pub(super) fn companion(reservation: &str, person: &str) -> StayId {
    StayId::new(format!("{reservation}{COMPANION}{person}"))
}

/// The reservation of a stay, also of somebody who accompanies its guest.
pub(super) fn reservation(stay: &StayId) -> &str {
    stay.as_str().split_once(COMPANION).map_or(stay.as_str(), |(reservation, _)| reservation)
}

fn is_companion(stay: &StayId) -> bool {
    reservation(stay) != stay.as_str()
}

/// How far ahead reservations are told as expected: today's and tomorrow's guests, in any zone.
pub(super) const AHEAD: SignedDuration = SignedDuration::from_hours(48);
/// A guest whose time is over is still expected this long: guests are late.
pub(super) const LATE: SignedDuration = SignedDuration::from_hours(12);

/// A reservation that is due and has a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) room: RoomId,
    pub(super) date: Option<Date>,
    /// When, where the system tells a time.
    pub(super) eta: Option<Timestamp>,
    pub(super) vip: Option<String>,
}

/// Who is expected, as it was last told.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals(BTreeMap<StayId, Due>);

impl Arrivals {
    /// `due` are all that are expected now: what differs is told, but of who is in the house the house knows by itself. No
    /// name is among it: nobody is here yet.
    pub(super) fn replace(&mut self, due: BTreeMap<StayId, Due>, guests: &Guests) -> Vec<Fact> {
        let mut facts: Vec<Fact> = self
            .0
            .keys()
            .filter(|stay| !due.contains_key(*stay) && guests.get(stay).is_none())
            .map(|stay| Fact::ArrivalCancelled { stay: stay.clone() })
            .collect();
        for (stay, one) in due.iter().filter(|(stay, one)| self.0.get(*stay) != Some(*one)) {
            facts.push(Fact::ArrivalExpected {
                stay: stay.clone(),
                room: one.room.clone(),
                date: one.date,
                eta: one.eta,
                vip: one.vip.clone(),
            });
        }
        self.0 = due;
        facts
    }
}

/// A text about a person, where there is one; card numbers masked.
pub(super) fn personal(text: Option<&str>) -> Option<Personal<String>> {
    let text = text?.trim();
    (!text.is_empty()).then(|| Personal::new(mask_card_numbers(&plain(text))))
}

/// A BCP 47 tag, where it is one.
pub(super) fn language(text: Option<&str>) -> Option<String> {
    text.and_then(crate::language::tag)
}

/// The day of an instant in the property's zone.
pub(super) fn day(at: Option<Timestamp>, zone: &TimeZone) -> Option<Date> {
    at.map(|at| zone.to_datetime(at).date())
}

/// Minor units as a decimal number of JSON. The division is rounded once and printed in the shortest form that reads
/// back as the same number: up to 15 digits, which no bill exceeds, it is the amount itself.
pub(super) fn decimal(amount: &engawa_model::Money) -> f64 {
    amount.minor as f64 / 10_f64.powi(i32::from(amount.currency.minor_digits()))
}

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod tests {
    use super::*;
    use engawa_model::{Currency, Money};

    #[test]
    fn amounts_are_written_as_people_would() {
        for (minor, code, want) in [
            (1050, "EUR", "10.5"),
            (-1, "EUR", "-0.01"),
            (1500, "JPY", "1500.0"),
            (12_345, "KWD", "12.345"),
            (999_999_999_999, "EUR", "9999999999.99"),
        ] {
            let money = Money { minor, currency: Currency::new(code).unwrap() };
            assert_eq!(serde_json::json!(decimal(&money)).to_string(), want);
        }
    }

    #[test]
    fn what_is_expected_is_told_where_it_differs() {
        let due = |room: &str| Due { room: RoomId::from(room), date: None, eta: None, vip: None };
        let mut arrivals = Arrivals::default();
        let both = [(StayId::from("a"), due("101")), (StayId::from("b"), due("102"))];
        assert_eq!(arrivals.replace(both.clone().into(), &Guests::default()).len(), 2);
        assert_eq!(arrivals.replace(both.into(), &Guests::default()), []);
        let facts = arrivals.replace([(StayId::from("b"), due("103"))].into(), &Guests::default());
        assert_eq!(facts[0], Fact::ArrivalCancelled { stay: "a".into() });
        assert!(matches!(&facts[1], Fact::ArrivalExpected { room, .. } if room.as_str() == "103"));
        assert_eq!(facts.len(), 2);
        let here = Guests::remembered([(StayId::from("b"), RoomId::from("103"))]);
        assert_eq!(arrivals.replace(BTreeMap::new(), &here), [], "who has come is not cancelled");
    }

    #[test]
    fn a_companion_is_found_by_the_reservation_and_is_not_who_is_charged() {
        let with = companion("a", "k");
        let rooms = [(StayId::from("a"), "101"), (with.clone(), "101"), (StayId::from("ab"), "102")];
        let guests = Guests::remembered(rooms.map(|(stay, room)| (stay, RoomId::from(room))));
        assert_eq!(guests.companions(&"a".into()), vec![with.clone()]);
        assert_eq!((reservation(&with), reservation(&"ab".into())), ("a", "ab"));
        assert_eq!(guests.only_in(&RoomId::from("101")), Some(&StayId::from("a")));
    }

    #[test]
    fn a_room_with_two_stays_names_neither() {
        let rooms = [("a", "101"), ("b", "102"), ("c", "102")];
        let guests = Guests::remembered(rooms.map(|(stay, room)| (StayId::from(stay), RoomId::from(room))));
        assert_eq!(guests.only_in(&RoomId::from("101")), Some(&StayId::from("a")));
        assert_eq!(guests.only_in(&RoomId::from("102")), None);
        assert_eq!(guests.only_in(&RoomId::from("103")), None);
    }
}
