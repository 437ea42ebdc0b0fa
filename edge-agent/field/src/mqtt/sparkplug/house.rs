//! The house as Sparkplug sees it: the property is the node, its devices are devices, their points are metrics.
//!
//! Why a device that is unwell is not in the picture: its values are not known to be true, and a host must see that
//! at once. It is born again, with everything, when it answers.
//!
//! The whole picture and single updates come from the same functions, so they can't disagree.
//!
//! Never: guests' names or anything else of theirs; a room says only whether it is occupied.

use super::super::topic::escape;
use super::{DataType, SPARKPLUG_LINK};
use engawa_model::{
    Change, DeviceId, DeviceSpec, DeviceState, LinkId, PointId, PointSpec, Property, Quality, Role, RoomId,
    Timestamp, Value,
};

/// What is known of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its name; unique in its device, or in the node.
    pub name: String,
    /// The value; `None` where there is none, or none yet.
    pub value: Option<Value>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// When it was so; `None` for now.
    pub at: Option<Timestamp>,
    /// The type to tell until a value shows it.
    pub expected: DataType,
    /// Its unit (UCUM).
    pub unit: Option<String>,
    /// The range that may be written.
    pub low: Option<f64>,
    /// The range that may be written.
    pub high: Option<f64>,
    /// True where a host may write it.
    pub writable: bool,
    /// True where it was buffered and something newer has been told meanwhile.
    pub historical: bool,
}

impl Reading {
    /// A metric without a value, that nobody may write.
    pub fn new(name: impl Into<String>, expected: DataType) -> Self {
        Self {
            name: name.into(),
            value: None,
            quality: Quality::Good,
            at: None,
            expected,
            unit: None,
            low: None,
            high: None,
            writable: false,
            historical: false,
        }
    }

    fn with(name: impl Into<String>, value: Value) -> Self {
        let expected = DataType::of(&value);
        Self { value: Some(value), ..Self::new(name, expected) }
    }
}

/// A device that is well, with all its metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct DevicePicture {
    /// Which.
    pub device: DeviceId,
    /// All that will ever be told of it.
    pub metrics: Vec<Reading>,
}

/// Everything that births tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// The metrics of the node itself.
    pub node: Vec<Reading>,
    /// The devices that are well.
    pub devices: Vec<DevicePicture>,
}

/// One thing that has changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A metric of the node.
    Node(Reading),
    /// A metric of a device.
    Metric {
        /// Whose.
        device: DeviceId,
        /// What.
        reading: Reading,
    },
    /// A device is well now.
    Well(DevicePicture),
    /// A device is not well, or not heard of any more.
    Unwell(DeviceId),
}

/// Everything as it is now.
pub fn picture(property: &Property) -> Picture {
    let mut node = vec![
        Reading::with("Properties/Software", Value::Text("Engawa".to_owned())),
        Reading::with("Properties/Software Version", Value::Text(env!("CARGO_PKG_VERSION").to_owned())),
        business_date(property),
        night_audit(property),
        active_alerts(property),
    ];
    node.extend(property.rooms().keys().map(|room| occupied(property, room)));
    node.extend(property.links().keys().filter_map(|link| link_up(property, link)));
    let well = |spec: &&DeviceSpec| {
        property.devices().get(&spec.id).is_some_and(|health| health.state == DeviceState::Well)
    };
    let devices = property.spec().devices.iter().filter(well).map(|spec| device(property, spec)).collect();
    Picture { node, devices }
}

/// What `change` changes. `property` is the picture after it.
pub fn updates(property: &Property, change: &Change) -> Vec<Update> {
    match change {
        Change::Reported { point, .. } => {
            let spec = property.point_spec(point).map(|(_, spec)| spec);
            let reading = spec.map(|spec| reading(property, &point.device, spec));
            reading
                .map(|reading| Update::Metric { device: point.device.clone(), reading })
                .into_iter()
                .collect()
        }
        Change::DeviceHealth { device: id, state: DeviceState::Well, .. } => {
            let spec = property.spec().devices.iter().find(|spec| spec.id == *id);
            spec.map(|spec| Update::Well(device(property, spec))).into_iter().collect()
        }
        Change::DeviceHealth { device, .. } => vec![Update::Unwell(device.clone())],
        Change::CheckedIn { room, .. } | Change::CheckedOut { room, .. } => {
            vec![Update::Node(occupied(property, room))]
        }
        Change::Moved { from, to, .. } => {
            [from, to].map(|room| Update::Node(occupied(property, room))).to_vec()
        }
        Change::BusinessDate { .. } => vec![Update::Node(business_date(property))],
        Change::NightAudit { .. } => vec![Update::Node(night_audit(property))],
        Change::Alert { .. } => vec![Update::Node(active_alerts(property))],
        Change::Link { link, .. } => link_up(property, link).map(Update::Node).into_iter().collect(),
        // The rest is the house's own business, or a guest's.
        _ => vec![],
    }
}

fn business_date(property: &Property) -> Reading {
    let date = property.business_date().map(|date| Value::Text(date.to_string()));
    Reading { value: date, ..Reading::new("Business Date", DataType::String) }
}

fn night_audit(property: &Property) -> Reading {
    Reading::with("Night Audit", Value::Bool(property.night_audit()))
}

fn active_alerts(property: &Property) -> Reading {
    let active = property.alerts().values().filter(|alert| alert.active).count();
    Reading::with("Alerts/Active", Value::Int(i64::try_from(active).unwrap_or(i64::MAX)))
}

fn occupied(property: &Property, room: &RoomId) -> Reading {
    let occupied = property.stays_in(room).next().is_some();
    Reading::with(format!("Rooms/{}/Occupied", escape(room.as_str())), Value::Bool(occupied))
}

/// None for the link that this is told over: whoever hears of it knows.
fn link_up(property: &Property, link: &LinkId) -> Option<Reading> {
    let health = property.links().get(link).filter(|_| link.as_str() != SPARKPLUG_LINK)?;
    let name = format!("Links/{}/Up", escape(link.as_str()));
    Some(Reading { at: Some(health.since), ..Reading::with(name, Value::Bool(health.up)) })
}

fn device(property: &Property, spec: &DeviceSpec) -> DevicePicture {
    let metrics = spec.points.iter().map(|point| reading(property, &spec.id, point)).collect();
    DevicePicture { device: spec.id.clone(), metrics }
}

fn reading(property: &Property, device: &DeviceId, spec: &PointSpec) -> Reading {
    let point = PointId { device: device.clone(), point: spec.name.clone() };
    let state = property.point(&point);
    Reading {
        value: state.and_then(|state| state.value.clone()),
        // Not heard of yet is not known to be true.
        quality: state.map_or(Quality::Stale, |state| state.quality),
        at: state.map(|state| state.at),
        unit: spec.unit.as_deref().map(str::to_owned),
        low: spec.min,
        high: spec.max,
        writable: spec.writable,
        ..Reading::new(&*spec.name, expected(spec))
    }
}

/// The type that a point is most likely of.
fn expected(spec: &PointSpec) -> DataType {
    match spec.role {
        Some(
            Role::Window
            | Role::Occupancy
            | Role::Door
            | Role::Lock
            | Role::Minibar
            | Role::Leak
            | Role::Smoke
            | Role::DoNotDisturb
            | Role::MakeUp,
        ) => DataType::Boolean,
        Some(Role::RoomTemperature | Role::ClimateSetpoint | Role::ClimateOutput | Role::Battery) => {
            DataType::Double
        }
        _ if spec.unit.is_some() || spec.min.is_some() || spec.max.is_some() => DataType::Double,
        _ => DataType::String,
    }
}

#[cfg(test)]
mod tests;
