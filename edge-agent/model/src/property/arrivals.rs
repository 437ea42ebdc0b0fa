//! Guests that are expected: what a system of reservations, staff or the cloud tell of the days to come.
//!
//! Bound: [`MOST_PER_ROOM`] for each room of the house; further ones are refused and counted. One that nobody came for is
//! forgotten a day after its time.

use super::{Applied, Entity, Property};
use crate::rules::Policy;
use crate::{Change, Date, RoomId, StayId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Expected guests for each room, on average of the house.
const MOST_PER_ROOM: usize = 8;
/// So long after its time an arrival is forgotten.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// An expected guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The room.
    pub room: RoomId,
    /// The day of arrival, in the property's zone.
    pub date: Option<Date>,
    /// When, where it is known.
    pub eta: Option<Timestamp>,
    /// VIP code of the PMS.
    pub vip: Option<String>,
}

impl Arrival {
    /// When the guest is expected: where only the day is known, at the house's usual time.
    pub fn expected(&self, policy: &Policy) -> Option<Timestamp> {
        let of_day = || policy.zone.to_timestamp(self.date?.to_datetime(policy.arrival_time)).ok();
        self.eta.or_else(of_day)
    }
}

impl Property {
    #[allow(clippy::too_many_arguments, reason = "each is a part of one reservation")]
    pub(super) fn arrival_expected(
        &mut self,
        _at: Timestamp,
        stay: &StayId,
        room: &RoomId,
        date: Option<Date>,
        eta: Option<Timestamp>,
        vip: Option<&str>,
        out: &mut Applied,
    ) {
        if let Err(counter) = self.enter_arrival(stay, room, date, eta, vip, out) {
            self.count(counter);
        }
    }

    fn enter_arrival(
        &mut self,
        stay: &StayId,
        room: &RoomId,
        date: Option<Date>,
        eta: Option<Timestamp>,
        vip: Option<&str>,
        out: &mut Applied,
    ) -> Result<(), &'static str> {
        if !self.rooms.contains_key(room) {
            return Err("unknown-room");
        }
        if self.stays.contains_key(stay) {
            return Err("arrival-of-a-guest-in-the-house");
        }
        if date.is_none() && eta.is_none() {
            return Err("arrival-without-a-day");
        }
        let arrival = Arrival { room: room.clone(), date, eta, vip: vip.map(str::to_owned) };
        let before = self.governed.arrivals.get(stay);
        if before == Some(&arrival) {
            return Ok(());
        }
        if before.is_none() && self.governed.arrivals.len() >= MOST_PER_ROOM * self.rooms.len() {
            return Err("arrivals-full");
        }
        if let Some(other) = before.filter(|before| before.room != *room).map(|before| before.room.clone()) {
            out.changes.push(Change::ArrivalExpected { stay: stay.clone(), room: other, eta: None });
        }
        let policy = self.governed.policy.as_deref();
        let told = policy.map_or(eta, |policy| arrival.expected(policy));
        out.changes.push(Change::ArrivalExpected { stay: stay.clone(), room: room.clone(), eta: told });
        self.governed.arrivals.insert(stay.clone(), arrival);
        out.touched.insert(Entity::Arrival(stay.clone()));
        Ok(())
    }

    /// A command's arrival: refused in words.
    pub(super) fn expect_arrival(
        &mut self,
        stay: &StayId,
        room: &RoomId,
        date: Option<Date>,
        eta: Option<Timestamp>,
        out: &mut Applied,
    ) -> Result<(), String> {
        self.enter_arrival(stay, room, date, eta, None, out).map_err(|why| match why {
            "arrival-without-a-day" => "an arrival needs `date` or `at`".to_owned(),
            "arrivals-full" => "too many arrivals are expected already".to_owned(),
            "unknown-room" => format!("there is no room `{room}`"),
            _ => format!("the guest of `{stay}` is in the house already"),
        })
    }

    pub(super) fn arrival_gone(&mut self, stay: &StayId, out: &mut Applied) {
        if let Some(arrival) = self.governed.arrivals.remove(stay) {
            out.touched.insert(Entity::Arrival(stay.clone()));
            out.changes.push(Change::ArrivalExpected { stay: stay.clone(), room: arrival.room, eta: None });
        }
    }

    pub(super) fn prune_arrivals(&mut self, at: Timestamp, out: &mut Applied) {
        let Some(policy) = self.governed.policy.clone() else { return };
        let over = |arrival: &super::Arrival| {
            let expected = arrival.expected(&policy);
            expected.is_none_or(|eta| eta.checked_add(KEPT).is_ok_and(|until| until <= at))
        };
        let gone: Vec<StayId> = self
            .governed
            .arrivals
            .iter()
            .filter(|(_, arrival)| over(arrival))
            .map(|(stay, _)| stay.clone())
            .collect();
        for stay in gone {
            self.arrival_gone(&stay, out);
        }
    }
}
