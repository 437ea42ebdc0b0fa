//! What the configuration says of the property.

use crate::ids::{DeviceId, PropertyId};
use crate::{Currency, Role, RoomId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which way the climate works now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Season {
    /// Rooms are heated: eco is lower than comfort.
    #[default]
    Heating,
    /// Rooms are cooled: eco is higher than comfort.
    Cooling,
}

/// How long a guest's choice at the thermostat stands against the cloud and routine rules, where nothing else is said.
const fn two_hours() -> u32 {
    7200
}

/// The set points of rooms that no guest has set otherwise, °C.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClimateDefaults {
    /// For an occupied room.
    pub comfort_c: f64,
    /// For a vacant room in the heating season.
    pub eco_heating_c: f64,
    /// For a vacant room in the cooling season.
    pub eco_cooling_c: f64,
    /// Heating or cooling.
    #[serde(default)]
    pub season: Season,
    /// How long what a guest chose at the thermostat, or staff set, is not overwritten by the cloud, other systems or
    /// routine rules, seconds; 0: the newest wish wins.
    #[serde(default = "two_hours")]
    pub guest_hold_s: u32,
}

/// A point, as its device's profile describes it to the rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointSpec {
    /// The point's name.
    pub name: Arc<str>,
    /// Its role in the room.
    pub role: Option<Role>,
    /// Its unit (UCUM), for people.
    pub unit: Option<Arc<str>>,
    /// True where the house may write it.
    pub writable: bool,
    /// The range that may be written.
    pub min: Option<f64>,
    /// The range that may be written.
    pub max: Option<f64>,
}

/// A device, as configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// Its name.
    pub id: DeviceId,
    /// Where it is.
    pub room: Option<RoomId>,
    /// The profile it follows.
    pub profile: String,
    /// Its points; shared by all devices of a profile.
    pub points: Arc<[PointSpec]>,
}

/// A room, as configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomSpec {
    /// Its number, as the PMS writes it.
    pub id: RoomId,
}

/// What the configuration says of the property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PropertySpec {
    /// Its name in the fleet.
    pub id: PropertyId,
    /// IANA time zone.
    pub zone: String,
    /// The currency of postings that name none.
    pub currency: Currency,
    /// Set points.
    pub climate: ClimateDefaults,
    /// The rooms. A room that the PMS speaks of and that is not here is refused and counted.
    pub rooms: Vec<RoomSpec>,
    /// The devices.
    pub devices: Vec<DeviceSpec>,
    /// How long after an unasked resync the house does not ask again by itself, seconds.
    pub resync_every_s: u32,
    /// How long a set point that could not be written stays wanted, seconds.
    pub order_ttl_s: u32,
}
