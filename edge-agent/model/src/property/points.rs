//! The last reports of the points.
//!
//! Why by number and not by name: a house has a hundred thousand points and more, and their names are in the
//! specification already.

use super::Property;
use crate::ids::PointId;
use crate::{PointSpec, PointState, RoomId};

/// The reports of one device's points, by their place in its specification; empty before the first.
pub(super) type States = Vec<Option<PointState>>;

impl Property {
    /// The last report of a point.
    pub fn point(&self, point: &PointId) -> Option<&PointState> {
        let (device, n) = self.place(point)?;
        self.states.get(device)?.get(n)?.as_ref()
    }

    /// The points that have reported, with their last reports: by device in the order of the configuration.
    pub fn points(&self) -> impl Iterator<Item = (PointId, &PointState)> {
        self.spec.devices.iter().zip(&self.states).flat_map(|(device, states)| {
            device.points.iter().zip(states).filter_map(|(spec, state)| {
                let id = PointId { device: device.id.clone(), point: spec.name.clone() };
                Some((id, state.as_ref()?))
            })
        })
    }

    /// What the configuration says of a point: its room and its description.
    pub fn point_spec(&self, point: &PointId) -> Option<(Option<&RoomId>, &PointSpec)> {
        let (device, n) = self.place(point)?;
        let device = self.spec.devices.get(device)?;
        Some((device.room.as_ref(), device.points.get(n)?))
    }

    /// Which device of the specification, and which of its points.
    fn place(&self, point: &PointId) -> Option<(usize, usize)> {
        let device = *self.by_device.get(&point.device)?;
        // A device has a few dozen points: looking through them costs less than an index of all.
        let n = self.spec.devices.get(device)?.points.iter().position(|spec| spec.name == point.point)?;
        Some((device, n))
    }

    pub(super) fn state_mut(&mut self, point: &PointId) -> Option<&mut PointState> {
        let (device, n) = self.place(point)?;
        self.states.get_mut(device)?.get_mut(n)?.as_mut()
    }

    /// Keeps `state` as the last report; a point that the configuration does not have is left out.
    pub(super) fn set_state(&mut self, point: &PointId, state: PointState) {
        let Some((device, n)) = self.place(point) else { return };
        let count = self.spec.devices.get(device).map_or(0, |device| device.points.len());
        if let Some(states) = self.states.get_mut(device) {
            states.resize(count, None);
            if let Some(place) = states.get_mut(n) {
                *place = Some(state);
            }
        }
    }
}
