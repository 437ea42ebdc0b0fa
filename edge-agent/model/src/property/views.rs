//! What whoever looks at the property sees of it.

use super::{CommandRecord, DeviceSpec, Posting, Property, PropertySpec, Resync, Room};
use crate::ids::{CommandKey, DeviceId, FoundId, LinkId, PointId, PostingNumber};
use crate::{Alert, Date, DeviceHealth, Found, LinkHealth, Order, Role, RoomId, Stay, StayId};
use std::collections::BTreeMap;

impl Property {
    /// The configuration.
    pub fn spec(&self) -> &PropertySpec {
        &self.spec
    }

    /// The rooms by number.
    pub fn rooms(&self) -> &BTreeMap<RoomId, Room> {
        &self.rooms
    }

    /// The stays in the house, by reservation number.
    pub fn stays(&self) -> &BTreeMap<StayId, Stay> {
        &self.stays
    }

    /// The stays in one room.
    pub fn stays_in<'a>(&'a self, room: &'a RoomId) -> impl Iterator<Item = &'a Stay> {
        self.stays.values().filter(move |stay| stay.room == *room)
    }

    /// The points of `room` that play `role`.
    pub fn points_with_role(&self, room: &RoomId, role: Role) -> &[PointId] {
        self.by_role.get(&(room.clone(), role)).map_or(&[], Vec::as_slice)
    }

    /// What the configuration says of a device.
    pub fn device_spec(&self, device: &DeviceId) -> Option<&DeviceSpec> {
        self.spec.devices.get(*self.by_device.get(device)?)
    }

    /// The health of the devices.
    pub fn devices(&self) -> &BTreeMap<DeviceId, DeviceHealth> {
        &self.devices
    }

    /// The health of the links.
    pub fn links(&self) -> &BTreeMap<LinkId, LinkHealth> {
        &self.links
    }

    /// The postings, by number.
    pub fn postings(&self) -> &BTreeMap<PostingNumber, Posting> {
        &self.postings
    }

    /// The writes that the house owes.
    pub fn orders(&self) -> &BTreeMap<CommandKey, Order> {
        &self.orders
    }

    /// The commands of the last days, by key.
    pub fn commands(&self) -> &BTreeMap<CommandKey, CommandRecord> {
        &self.commands
    }

    /// The alerts, by `kind:source`.
    pub fn alerts(&self) -> &BTreeMap<String, Alert> {
        &self.alerts
    }

    /// The devices that were found and wait to be placed.
    pub fn found(&self) -> &BTreeMap<FoundId, Found> {
        &self.found
    }

    /// The business date, once the PMS has told one.
    pub fn business_date(&self) -> Option<Date> {
        self.meta.business_date
    }

    /// True between NS and NE of any PMS.
    pub fn night_audit(&self) -> bool {
        self.pms.all().any(|link| self.meta.of(link).night_audit)
    }

    /// A resync that is running.
    pub fn resync(&self) -> Option<&Resync> {
        self.resyncs.values().next()
    }

    /// Counters since the start, such as `malformed`.
    pub fn counters(&self) -> &BTreeMap<String, u64> {
        &self.counters
    }
}
