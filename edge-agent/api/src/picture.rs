//! From the property to its view. Pure: the same property gives the same view.

use crate::view::{
    DeviceView, HouseView, LinkView, PointView, PostingView, Reading, RoomView, StayView, SyncView,
};
use engawa_model::{
    DeviceId, DeviceSpec, DeviceState, Order, OrderState, PointId, PointState, Property, Quality, Role,
    RoomId, Stay, Timestamp, Value,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a view shows and the property does not know.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The hotel's name, for people.
    pub name: String,
    /// When the agent started.
    pub started_at: Timestamp,
    /// The agent's version.
    pub version: String,
    /// How far the cloud has the journal.
    pub sync: SyncView,
    /// What drivers count, by device.
    pub device_counters: BTreeMap<DeviceId, BTreeMap<String, u64>>,
}

/// The property's devices and open orders, sorted by what the rooms ask for. Built once per view, so that
/// a view costs one pass over the house and not one for each room.
struct Index<'a> {
    property: &'a Property,
    devices: BTreeMap<&'a RoomId, Vec<&'a DeviceSpec>>,
    stays: BTreeMap<&'a RoomId, Vec<&'a Stay>>,
    open_orders: BTreeMap<&'a PointId, &'a Order>,
}

impl<'a> Index<'a> {
    fn new(property: &'a Property) -> Self {
        let mut devices: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for device in &property.spec().devices {
            if let Some(room) = &device.room {
                devices.entry(room).or_default().push(device);
            }
        }
        let mut stays: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for stay in property.stays().values() {
            stays.entry(&stay.room).or_default().push(stay);
        }
        let open_orders = property
            .orders()
            .values()
            .filter(|order| order.state == OrderState::Pending)
            .map(|order| (&order.point, order))
            .collect();
        Self { property, devices, stays, open_orders }
    }

    /// The states of the room's points that play `role`, as far as anything was heard of them.
    fn states(&self, room: &'a RoomId, role: Role) -> impl Iterator<Item = (&'a PointId, &'a PointState)> {
        let points = self.property.points_with_role(room, role).iter();
        points.filter_map(|id| self.property.point(id).map(|state| (id, state)))
    }

    /// The number of the first such point that has one; a trusted one before a stale one. A value that the
    /// device itself calls invalid is no reading.
    fn reading(&self, room: &'a RoomId, role: Role) -> Option<Reading> {
        self.states(room, role)
            .filter(|(_, state)| state.quality != Quality::Bad)
            .filter_map(|(id, state)| {
                let value = state.value.as_ref()?.as_f64()?;
                Some(Reading { value, quality: state.quality, at: state.at, device: id.device.clone() })
            })
            .min_by_key(|reading| reading.quality != Quality::Good)
    }

    /// True where any such point is true, false where all that are known are false.
    fn any(&self, room: &'a RoomId, role: Role) -> Option<bool> {
        self.states(room, role)
            .filter(|(_, state)| state.quality != Quality::Bad)
            .filter_map(|(_, state)| state.value.as_ref().and_then(Value::as_bool))
            .reduce(|one, other| one || other)
    }

    fn setpoint_ordered(&self, room: &RoomId) -> Option<f64> {
        self.property
            .points_with_role(room, Role::ClimateSetpoint)
            .iter()
            .find_map(|point| self.open_orders.get(point)?.value.as_f64())
    }

    fn room(&self, id: &'a RoomId, room: &engawa_model::Room) -> RoomView {
        let devices = self.devices.get(id).map_or(&[][..], Vec::as_slice);
        let stays: Vec<StayView> =
            self.stays.get(id).into_iter().flatten().map(|stay| stay_view(self.property, stay)).collect();
        let health = self.property.devices();
        RoomView {
            id: id.clone(),
            occupied: !stays.is_empty(),
            stays,
            flags: room.flags.clone(),
            status: room.status.clone(),
            sign: room.sign.clone(),
            temperature: self.reading(id, Role::RoomTemperature),
            setpoint: self.reading(id, Role::ClimateSetpoint),
            setpoint_ordered: self.setpoint_ordered(id),
            window_open: self.any(id, Role::Window),
            presence: self.any(id, Role::Occupancy),
            leak: self.any(id, Role::Leak),
            unwell: devices
                .iter()
                .filter(|device| health.get(&device.id).is_some_and(|h| h.state == DeviceState::Unwell))
                .map(|device| device.id.clone())
                .collect(),
            points: devices.iter().flat_map(|device| self.points(device)).collect(),
        }
    }

    fn points(&self, device: &'a DeviceSpec) -> impl Iterator<Item = PointView> {
        device.points.iter().map(|spec| {
            let id = PointId { device: device.id.clone(), point: spec.name.clone() };
            let state = self.property.point(&id);
            PointView {
                device: id.device,
                name: id.point.to_string(),
                role: spec.role,
                value: state.and_then(|state| state.value.clone()),
                unit: spec.unit.as_deref().map(str::to_owned),
                quality: state.map(|state| state.quality),
                at: state.map(|state| state.at),
            }
        })
    }
}

fn stay_view(property: &Property, stay: &Stay) -> StayView {
    let parts: Vec<&str> = [&stay.title, &stay.first_name, &stay.name]
        .into_iter()
        .filter_map(|part| part.as_ref().map(|part| part.reveal().trim()))
        .filter(|part| !part.is_empty())
        .collect();
    StayView {
        id: stay.id.clone(),
        name: (!parts.is_empty()).then(|| parts.join(" ")),
        language: property.language_of(stay).map(str::to_owned),
        arrival: stay.arrival,
        departure: stay.departure,
    }
}

impl HouseView {
    /// The full view of `property`.
    pub fn build(property: &Property, surroundings: &Surroundings) -> Self {
        let index = Index::new(property);
        let spec = property.spec();
        let mut alerts: Vec<_> = property.alerts().values().cloned().collect();
        alerts.sort_by_key(|alert| (!alert.active, Reverse(alert.last)));
        Self {
            property: spec.id.clone(),
            name: surroundings.name.clone(),
            zone: spec.zone.clone(),
            business_date: property.business_date(),
            night_audit: property.night_audit(),
            resync_running: property.resync().is_some(),
            rooms: property.rooms().iter().map(|(id, room)| index.room(id, room)).collect(),
            devices: spec.devices.iter().map(|device| device_view(device, property, surroundings)).collect(),
            links: property
                .links()
                .iter()
                .map(|(id, health)| LinkView {
                    id: id.clone(),
                    up: health.up,
                    detail: health.detail.clone(),
                    since: health.since,
                })
                .collect(),
            sync: surroundings.sync.clone(),
            postings: property
                .postings()
                .values()
                .rev()
                .map(|posting| PostingView {
                    number: posting.number,
                    key: posting.key.clone(),
                    room: posting.room.clone(),
                    stay: posting.stay.clone(),
                    amount: posting.amount,
                    text: Some(posting.text.clone()),
                    outlet: posting.outlet.clone(),
                    state: posting.state,
                    answer: posting.answer.clone(),
                    asked: posting.asked,
                    tries: posting.tries,
                })
                .collect(),
            alerts,
            counters: property.counters().clone(),
            started_at: surroundings.started_at,
            version: surroundings.version.clone(),
        }
    }
}

fn device_view(device: &DeviceSpec, property: &Property, surroundings: &Surroundings) -> DeviceView {
    let health = property.devices().get(&device.id).cloned().unwrap_or_default();
    DeviceView {
        id: device.id.clone(),
        room: device.room.clone(),
        profile: device.profile.clone(),
        state: health.state,
        reason: health.reason,
        since: health.since,
        counters: surroundings.device_counters.get(&device.id).cloned().unwrap_or_default(),
    }
}
