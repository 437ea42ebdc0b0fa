//! What drivers report: the health of devices, and the values of their points.

use super::{Applied, Entity, Property};
use crate::ids::{DeviceId, PointId};
use crate::{Change, DeviceState, PointState, Quality, Role, Timestamp, Value};

impl Property {
    pub(super) fn device_health(
        &mut self,
        at: Timestamp,
        device: &DeviceId,
        state: DeviceState,
        reason: Option<&str>,
        out: &mut Applied,
    ) {
        let Some(spec) = self.device_spec(device) else {
            self.count("unknown-device");
            return;
        };
        let room = spec.room.clone();
        let before = self.devices.entry(device.clone()).or_default();
        if before.state == state && before.reason.as_deref() == reason {
            return;
        }
        if before.state != state {
            before.since = Some(at);
        }
        before.state = state;
        before.reason = reason.map(str::to_owned);
        out.touched.insert(Entity::Device(device.clone()));
        out.changes.push(Change::DeviceHealth {
            device: device.clone(),
            room,
            state,
            reason: reason.map(str::to_owned),
        });
    }

    pub(super) fn reported(
        &mut self,
        at: Timestamp,
        point: &PointId,
        value: Option<&Value>,
        quality: Quality,
        sampled: Timestamp,
        out: &mut Applied,
    ) {
        let Some((room, spec)) = self.point_spec(point) else {
            self.count("unknown-point");
            return;
        };
        let (room, role) = (room.cloned(), spec.role);
        let before = self.point(point).cloned();
        if before.as_ref().is_some_and(|state| state.value.as_ref() == value && state.quality == quality) {
            return;
        }
        self.set_state(point, PointState { value: value.cloned(), quality, at: sampled });
        out.touched.insert(Entity::Point(point.clone()));
        out.changes.push(Change::Reported {
            point: point.clone(),
            room: room.clone(),
            role,
            value: value.cloned(),
            quality,
            sampled,
        });
        match role {
            Some(Role::ClimateSetpoint) if quality == Quality::Good => {
                let was = before.and_then(|state| state.value).and_then(|value| value.as_f64());
                self.setpoint_reported(at, point, room.as_ref(), was, value, sampled, out);
            }
            Some(role @ (Role::Leak | Role::Smoke)) if quality == Quality::Good => {
                self.danger(at, role, point, room.as_ref(), value, out);
            }
            Some(Role::RoomTemperature) if quality == Quality::Good => {
                self.warmed(at, room.as_ref(), value, out);
            }
            _ => {}
        }
    }

    /// A heartbeat: the same value, known to be so at a later time.
    pub(super) fn confirmed(&mut self, point: &PointId, sampled: Timestamp, out: &mut Applied) {
        let Some((room, spec)) = self.point_spec(point) else {
            self.count("unknown-point");
            return;
        };
        let (room, role) = (room.cloned(), spec.role);
        let Some(state) = self.state_mut(point) else { return };
        state.at = state.at.max(sampled);
        let (value, quality, sampled) = (state.value.clone(), state.quality, state.at);
        out.touched.insert(Entity::Point(point.clone()));
        out.changes.push(Change::Reported { point: point.clone(), room, role, value, quality, sampled });
    }
}
