//! The write firewall at the one place where writes are ordered.
//!
//! What passed is kept with the device, durable, so that a restart does not begin a new minute. An order that is given
//! to its driver again (after a restart) is the same write, and is not judged twice.

use super::{Applied, Entity, Property};
use crate::alert_text::{self, filled};
use crate::firewall::{Attempt, Refusal, judge};
use crate::ids::PointId;
use crate::{AlertKind, CommandSource, DeviceId, Timestamp, Value};

impl Property {
    /// Whether the firewall lets `value` through to `point` now, after `ahead` others of the same breath.
    pub(super) fn passes(
        &self,
        at: Timestamp,
        source: CommandSource,
        point: &PointId,
        value: &Value,
        ahead: u32,
    ) -> Result<(), Refusal> {
        let Some(policy) = &self.governed.policy else { return Ok(()) };
        let Some((room, spec)) = self.point_spec(point) else { return Ok(()) };
        let attempt = Attempt { source: source.into(), point: &point.point, role: spec.role, value };
        let none = Default::default();
        let device = self.governed.writes.get(&point.device).unwrap_or(&none);
        let devices = room.and_then(|room| self.governed.by_room.get(room)).into_iter().flatten();
        let of_room = devices.filter_map(|device| self.governed.writes.get(device));
        judge(&policy.firewall, &attempt, device, of_room, ahead, at)
    }

    /// A write has passed and is ordered.
    pub(super) fn let_through(&mut self, at: Timestamp, point: &PointId, out: &mut Applied) {
        if self.governed.policy.is_some() {
            self.governed.writes.entry(point.device.clone()).or_default().wrote(at, &point.point);
            out.touched.insert(Entity::Writes(point.device.clone()));
        }
    }

    /// A write was refused: counted, and an alert when it repeats.
    pub(super) fn turned_away(
        &mut self,
        at: Timestamp,
        point: &PointId,
        refusal: &Refusal,
        out: &mut Applied,
    ) {
        self.count(refusal.counter());
        let Some(policy) = self.governed.policy.clone() else { return };
        let device = self.governed.writes.entry(point.device.clone()).or_default();
        if device.refused(at, policy.firewall.alarm_after) {
            self.governed.alarmed.insert(point.device.clone());
            let text = filled(alert_text::WRITES_REFUSED, &[point, refusal]);
            self.raise(at, AlertKind::WriteBlocked, point.device.as_str(), &text, out);
        }
        out.touched.insert(Entity::Writes(point.device.clone()));
    }

    /// Alerts end when nothing has been refused for a while.
    pub(super) fn tend_wall(&mut self, at: Timestamp, out: &mut Applied) {
        let quiet = |id: &&DeviceId| {
            let writes = self.governed.writes.get(*id);
            writes.and_then(|writes| writes.quiet_at()).is_none_or(|quiet| quiet <= at)
        };
        let over: Vec<DeviceId> = self.governed.alarmed.iter().filter(quiet).cloned().collect();
        for id in over {
            self.governed.alarmed.remove(&id);
            if let Some(writes) = self.governed.writes.get_mut(&id) {
                writes.quiet();
            }
            out.touched.insert(Entity::Writes(id.clone()));
            self.clear(AlertKind::WriteBlocked, id.as_str(), out);
        }
    }

    pub(super) fn wall_wake(&self) -> Option<Timestamp> {
        let alarmed = self.governed.alarmed.iter();
        alarmed.filter_map(|id| self.governed.writes.get(id)?.quiet_at()).min()
    }
}
