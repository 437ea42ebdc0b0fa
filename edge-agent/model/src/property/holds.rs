//! Choices of people that stand against programs, and wishes that end when a room changes guests.
//!
//! A wish for a room (a command that could not be carried out yet, since its device is away) was meant for those who
//! were there: whoever comes or goes ends it, and it is told why. What the house itself orders on that occasion is
//! entered afterwards, and stays.

use super::{Applied, Entity, Property};
use crate::arbitration::{Asker, Hold, Holder, judge};
use crate::ids::{CommandKey, PointId};
use crate::{CommandOutcome, Intent, Role, RoomId, Timestamp};
use jiff::SignedDuration;

/// The reason of orders that somebody asked for.
pub(super) const COMMAND: &str = "command";

/// The counter of what a choice of people has held back.
pub(super) const fn held(by: Holder) -> &'static str {
    match by {
        Holder::Guest => "held-for-guest",
        Holder::Staff => "held-for-staff",
    }
}

impl Property {
    /// The room whose set point `point` is.
    fn climate_of(&self, point: &PointId) -> Option<RoomId> {
        let (room, spec) = self.point_spec(point)?;
        room.filter(|_| spec.role == Some(Role::ClimateSetpoint)).cloned()
    }

    /// Whether `asker` may write `point` now; only set points are held.
    pub(super) fn may_set(&mut self, at: Timestamp, asker: Asker, point: &PointId) -> Result<(), String> {
        let Some(room) = self.climate_of(point) else { return Ok(()) };
        let hold = self.rooms.get(&room).and_then(|state| state.hold);
        judge(asker, hold, at).map_err(|held| {
            self.count(self::held(held.0.by));
            format!("room {room}: {held}")
        })
    }

    /// Staff have asked for this set point.
    pub(super) fn staff_chose(&mut self, at: Timestamp, point: &PointId, out: &mut Applied) {
        if let Some(room) = self.climate_of(point) {
            self.hold(at, &room, Holder::Staff, out);
        }
    }

    /// The choice in `room` stands from now on.
    pub(super) fn hold(&mut self, at: Timestamp, room: &RoomId, by: Holder, out: &mut Applied) {
        let seconds = i64::from(self.climate().guest_hold_s);
        if seconds == 0 {
            return;
        }
        let until = at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        if let Some(state) = self.rooms.get_mut(room) {
            state.hold = Some(Hold { by, until });
            out.touched.insert(Entity::Room(room.clone()));
        }
    }

    /// Somebody has come into `room` or left it: what was asked for it and not done yet is no longer wanted, and where
    /// nobody of before is left, nobody's choice stands.
    pub(super) fn guests_changed(&mut self, at: Timestamp, room: &RoomId, anew: bool, out: &mut Applied) {
        if anew && let Some(state) = self.rooms.get_mut(room).filter(|state| state.hold.is_some()) {
            state.hold = None;
            out.touched.insert(Entity::Room(room.clone()));
        }
        let asked: Vec<(CommandKey, PointId)> = self
            .orders
            .values()
            .filter(|order| order.room.as_ref() == Some(room) && order.reason == COMMAND)
            .map(|order| (order.key.clone(), order.point.clone()))
            .collect();
        for (key, point) in asked {
            self.count("withdrawn-guests-changed");
            let reason = format!("room {room} has changed guests since this was asked");
            self.withdraw_order(at, &key, &CommandOutcome::Refused { reason }, out);
            out.intents.push(Intent::WithdrawWrite { key, point });
        }
    }
}
