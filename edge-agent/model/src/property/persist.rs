//! How the property is kept: a set of entities, each a small JSON document under (kind, key).

use super::{Property, PropertySpec};
use crate::ids::{CommandKey, DeviceId, FoundId, LinkId, PointId, PostingNumber};
use crate::{RoomId, StayId, WakeId};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One thing that is stored on its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// Business date, counters of numbers, what is owed.
    Meta,
    /// A room.
    Room(RoomId),
    /// A stay; personal.
    Stay(StayId),
    /// A point's last report.
    Point(PointId),
    /// A device's health.
    Device(DeviceId),
    /// A driver's note of a device.
    Note(DeviceId),
    /// A link's health.
    Link(LinkId),
    /// A posting.
    Posting(PostingNumber),
    /// An order that is still owed.
    Order(CommandKey),
    /// A command.
    Command(CommandKey),
    /// An alert.
    Alert(String),
    /// A found device.
    Found(FoundId),
    /// A wake-up call.
    WakeUp(WakeId),
    /// How the rules of a room stand, and what was learnt of it.
    RoomRules(RoomId),
    /// An expected guest.
    Arrival(StayId),
    /// A proposed charge.
    Charge(u32),
    /// What was written to a device of late.
    Writes(DeviceId),
    /// The messages of a stay; personal.
    Messages(StayId),
    /// A link's note.
    LinkNote(LinkId),
    /// What is known of a setting.
    Setting(String),
    /// An entry of the log of settings.
    SettingEntry(u64),
    /// The hybrid clock of settings.
    SettingClock,
    /// What a guest prefers; personal.
    Preferences(StayId),
    /// The last steps of updates of the agent.
    Updates,
}

impl Entity {
    /// The kind, as stored; never renamed.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Room(_) => "room",
            Self::Stay(_) => "stay",
            Self::Point(_) => "point",
            Self::Device(_) => "device",
            Self::Note(_) => "note",
            Self::Link(_) => "link",
            Self::Posting(_) => "posting",
            Self::Order(_) => "order",
            Self::Command(_) => "command",
            Self::Alert(_) => "alert",
            Self::Found(_) => "found",
            Self::WakeUp(_) => "wake_up",
            Self::RoomRules(_) => "room_rules",
            Self::Arrival(_) => "arrival",
            Self::Charge(_) => "charge",
            Self::Writes(_) => "writes",
            Self::Messages(_) => "messages",
            Self::LinkNote(_) => "link_note",
            Self::Setting(_) => "setting",
            Self::SettingEntry(_) => "setting_entry",
            Self::SettingClock => "setting_clock",
            Self::Preferences(_) => "preferences",
            Self::Updates => "updates",
        }
    }

    /// The key within the kind.
    pub fn key(&self) -> String {
        match self {
            Self::Meta | Self::SettingClock | Self::Updates => String::new(),
            Self::Room(id) | Self::RoomRules(id) => id.to_string(),
            Self::Stay(id) | Self::Arrival(id) | Self::Messages(id) | Self::Preferences(id) => id.to_string(),
            Self::Point(id) => id.to_string(),
            Self::Device(id) | Self::Note(id) | Self::Writes(id) => id.to_string(),
            Self::Link(id) | Self::LinkNote(id) => id.to_string(),
            Self::Posting(number) => number.to_string(),
            Self::Order(key) | Self::Command(key) => key.to_string(),
            Self::Alert(name) => name.clone(),
            Self::Found(id) => id.to_string(),
            Self::WakeUp(id) => id.to_string(),
            Self::Charge(number) => number.to_string(),
            Self::Setting(name) => name.clone(),
            Self::SettingEntry(number) => number.to_string(),
        }
    }
}

/// A stored entity that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("stored {kind} `{key}` can't be read")]
pub struct RestoreError {
    kind: String,
    key: String,
    #[source]
    source: serde_json::Error,
}

impl Property {
    /// The stored form of `entity`; `None` where it is gone and its row is to be deleted.
    pub fn save(&self, entity: &Entity) -> Option<Vec<u8>> {
        match entity {
            Entity::Meta => bytes(Some(&self.meta)),
            Entity::Room(id) => bytes(self.rooms.get(id)),
            Entity::Stay(id) => bytes(self.stays.get(id)),
            Entity::Point(id) => bytes(self.point(id)),
            Entity::Device(id) => bytes(self.devices.get(id)),
            Entity::Note(id) => bytes(self.notes.get(id)),
            Entity::Link(id) => bytes(self.links.get(id)),
            Entity::Posting(number) => bytes(self.postings.get(number)),
            Entity::Order(key) => bytes(self.orders.get(key)),
            Entity::Command(key) => bytes(self.commands.get(key)),
            Entity::Alert(name) => bytes(self.alerts.get(name)),
            Entity::Found(id) => bytes(self.found.get(id)),
            Entity::WakeUp(id) => bytes(self.wakes.get(*id)),
            Entity::RoomRules(id) => bytes(self.governed.rooms.get(id)),
            Entity::Arrival(id) => bytes(self.governed.arrivals.get(id)),
            Entity::Charge(number) => bytes(self.governed.charges.get(number)),
            Entity::Writes(id) => bytes(self.governed.writes.get(id)),
            Entity::Messages(id) => bytes(self.desk.messages.get(id)),
            Entity::LinkNote(id) => bytes(self.link_notes.get(id)),
            Entity::Setting(name) => bytes(self.settings.registers.get(name)),
            Entity::SettingEntry(number) => bytes(self.settings.log.get(number)),
            Entity::SettingClock => bytes(Some(&self.settings.clock)),
            Entity::Preferences(id) => bytes(self.settings.preferences.get(id)),
            Entity::Updates => bytes(Some(&self.updates)),
        }
    }

    /// The property that `spec` describes, with what was stored of it. Rooms, devices and points that the
    /// configuration no longer has are left out; unknown kinds (of a newer version) are left alone.
    ///
    /// # Errors
    /// A stored document that can't be read: better not to start than to forget a guest.
    pub fn restore<'a>(
        spec: PropertySpec,
        rows: impl IntoIterator<Item = (&'a str, &'a str, &'a [u8])>,
    ) -> Result<Self, RestoreError> {
        let mut property = Self::new(spec);
        for (kind, key, body) in rows {
            property.restore_one(kind, key, body).map_err(|source| RestoreError {
                kind: kind.to_owned(),
                key: key.to_owned(),
                source,
            })?;
        }
        property.settings.refresh();
        Ok(property)
    }

    fn restore_one(&mut self, kind: &str, key: &str, body: &[u8]) -> Result<(), serde_json::Error> {
        match kind {
            "meta" => self.meta = parse(body)?,
            "room" => {
                if let Some(room) = self.rooms.get_mut(&RoomId::from(key)) {
                    *room = parse(body)?;
                }
            }
            "stay" => {
                self.stays.insert(StayId::from(key), parse(body)?);
            }
            "point" => {
                if let Some((device, point)) = key.rsplit_once('/') {
                    let id = PointId::new(device, point);
                    if self.point_spec(&id).is_some() {
                        self.set_state(&id, parse(body)?);
                    }
                }
            }
            "device" => {
                if let Some(health) = self.devices.get_mut(&DeviceId::from(key)) {
                    *health = parse(body)?;
                }
            }
            "note" => {
                let id = DeviceId::from(key);
                if self.device_spec(&id).is_some() {
                    self.notes.insert(id, parse(body)?);
                }
            }
            "link" => {
                self.links.insert(LinkId::from(key), parse(body)?);
            }
            "posting" => {
                if let Ok(number) = key.parse() {
                    self.keep_posting(PostingNumber(number), parse(body)?);
                }
            }
            "order" => {
                self.orders.insert(CommandKey::from(key), parse(body)?);
            }
            "command" => {
                self.commands.insert(CommandKey::from(key), parse(body)?);
            }
            "alert" => {
                self.alerts.insert(key.to_owned(), parse(body)?);
            }
            "found" => {
                self.found.insert(FoundId::from(key), parse(body)?);
            }
            "wake_up" => self.wakes.restore(parse(body)?),
            "room_rules" if self.rooms.contains_key(&RoomId::from(key)) => {
                self.governed.rooms.insert(RoomId::from(key), parse(body)?);
            }
            "arrival" => {
                self.governed.arrivals.insert(StayId::from(key), parse(body)?);
            }
            "charge" => {
                if let Ok(number) = key.parse() {
                    self.governed.charges.insert(number, parse(body)?);
                }
            }
            "writes" if self.devices.contains_key(&DeviceId::from(key)) => {
                self.governed.writes.insert(DeviceId::from(key), parse(body)?);
            }
            "messages" => {
                self.desk.messages.insert(StayId::from(key), parse(body)?);
            }
            "link_note" => {
                self.link_notes.insert(LinkId::from(key), parse(body)?);
            }
            "setting" => {
                self.settings.registers.insert(key.to_owned(), parse(body)?);
            }
            "setting_entry" => {
                if let Ok(number) = key.parse() {
                    self.settings.log.insert(number, parse(body)?);
                }
            }
            "setting_clock" => self.settings.clock = parse(body)?,
            "preferences" => {
                self.settings.preferences.insert(StayId::from(key), parse(body)?);
            }
            "updates" => self.updates = parse(body)?,
            _ => {}
        }
        Ok(())
    }

    /// Every entity that the property has now: for a first store, or a copy.
    pub fn entities(&self) -> Vec<Entity> {
        let mut all = vec![Entity::Meta];
        all.extend(self.rooms.keys().cloned().map(Entity::Room));
        all.extend(self.stays.keys().cloned().map(Entity::Stay));
        all.extend(self.points().map(|(id, _)| Entity::Point(id)));
        all.extend(self.devices.keys().cloned().map(Entity::Device));
        all.extend(self.notes.keys().cloned().map(Entity::Note));
        all.extend(self.links.keys().cloned().map(Entity::Link));
        all.extend(self.postings.keys().copied().map(Entity::Posting));
        all.extend(self.orders.keys().cloned().map(Entity::Order));
        all.extend(self.commands.keys().cloned().map(Entity::Command));
        all.extend(self.alerts.keys().cloned().map(Entity::Alert));
        all.extend(self.found.keys().cloned().map(Entity::Found));
        all.extend(self.wakes.ids().map(Entity::WakeUp));
        all.extend(self.governed.entities());
        all.extend(self.desk.messages.keys().cloned().map(Entity::Messages));
        all.extend(self.link_notes.keys().cloned().map(Entity::LinkNote));
        all.extend(self.settings.entities());
        all.extend((!self.updates.is_empty()).then_some(Entity::Updates));
        all
    }
}

fn bytes<T: Serialize>(entity: Option<&T>) -> Option<Vec<u8>> {
    // Serializing our own plain types to JSON has no failing case: keys are strings, floats are finite or null.
    entity.map(|entity| serde_json::to_vec(entity).unwrap_or_default())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body)
}
