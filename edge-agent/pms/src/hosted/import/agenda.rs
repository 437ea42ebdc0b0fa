//! Who is in the house by the lists at a moment, and when that changes next.

use super::super::guests::{AHEAD, Arrivals, Due, Known, Present};
use super::super::{Guests, guests};
use super::Listed;
use engawa_model::{Fact, StayId, Timestamp};
use std::collections::BTreeMap;

/// The stays of the files.
#[derive(Debug, Default)]
pub struct Agenda {
    stays: Vec<Listed>,
    guests: Guests,
    arrivals: Arrivals,
}

impl Agenda {
    /// An agenda that knows who was in the house.
    pub fn new(guests: Guests) -> Self {
        Self { stays: Vec::new(), guests, arrivals: Arrivals::default() }
    }

    /// The files say this now.
    pub fn replace(&mut self, stays: Vec<Listed>) {
        self.stays = stays;
    }

    /// The whole house at `now`.
    pub fn list(&mut self, now: Timestamp) -> Vec<Fact> {
        let present: Vec<Present> = self.here(now).map(present).collect();
        let left: Vec<StayId> =
            self.stays.iter().filter(|one| one.until <= now).map(|one| one.stay.clone()).collect();
        let mut facts = self.guests.list(present, &left);
        facts.extend(self.expect(now));
        facts
    }

    /// Who comes today or tomorrow, where that differs from what was told.
    fn expect(&mut self, now: Timestamp) -> Vec<Fact> {
        let ahead = now.checked_add(AHEAD).unwrap_or(now);
        let due =
            self.stays.iter().filter(|one| now < one.from && one.from <= ahead).take(guests::MOST_STAYS);
        let due: BTreeMap<StayId, Due> = due.map(|one| (one.stay.clone(), self::due(one))).collect();
        self.arrivals.replace(due, &self.guests)
    }

    /// What time has changed since the last list.
    pub fn pass(&mut self, now: Timestamp) -> Vec<Fact> {
        let came: Vec<Present> =
            self.here(now).filter(|one| self.guests.get(&one.stay).is_none()).map(present).collect();
        let left = self.stays.iter().filter(|one| one.until <= now).map(|one| one.stay.clone());
        let left: Vec<StayId> = left.collect();
        let mut facts: Vec<Fact> = left.iter().filter_map(|stay| self.guests.gone(stay)).collect();
        facts.extend(came.into_iter().map(|one| self.guests.seen(one, false)));
        facts.extend(self.expect(now));
        facts
    }

    /// When somebody comes or goes next, or begins to be expected.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let moments = self.stays.iter().flat_map(|one| {
            let expected = one.from.checked_sub(AHEAD).unwrap_or(one.from);
            [expected, one.from, one.until]
        });
        moments.filter(|at| *at > now).min()
    }

    /// How many are in the house.
    pub fn count(&self, now: Timestamp) -> usize {
        self.here(now).count()
    }

    fn here(&self, now: Timestamp) -> impl Iterator<Item = &Listed> {
        self.stays.iter().filter(move |one| one.from <= now && now < one.until).take(guests::MOST_STAYS)
    }
}

fn due(one: &Listed) -> Due {
    Due {
        room: one.room.clone(),
        date: one.guest.arrival,
        eta: one.timed.then_some(one.from),
        vip: one.guest.vip.clone(),
    }
}

fn present(one: &Listed) -> Present {
    let known = Known { room: one.room.clone(), account: None };
    Present { stay: one.stay.clone(), known, guest: one.guest.clone() }
}
