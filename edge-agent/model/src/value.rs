//! Values of points, their quality, and the role a point plays in its room.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The value of a point, in the point's engineering unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// On/off, open/closed, occupied/vacant.
    Bool(bool),
    /// A count or a raw code.
    Int(i64),
    /// A measurement.
    Float(f64),
    /// A text or the name of an enumeration's value.
    Text(String),
}

impl Value {
    /// The value as a number, where it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            #[allow(clippy::cast_precision_loss, reason = "register values are far below 2^53")]
            Self::Int(i) => Some(*i as f64),
            Self::Float(x) => Some(*x),
            Self::Text(_) => None,
        }
    }

    /// The value as on/off, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            Self::Int(i) => Some(*i != 0),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Text(t) => f.write_str(t),
        }
    }
}

/// How far a value can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Fresh from the device.
    #[default]
    Good,
    /// The last known value of a device that does not answer now.
    Stale,
    /// The device says itself that the value is not valid (a sentinel such as 0xFFFF).
    Bad,
}

/// What a point is to the room, whatever its device calls it. Rules speak of roles, profiles give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The air temperature of the room, °C.
    RoomTemperature,
    /// The set point that the thermostat holds, °C, written by the house and by the guest at the wall.
    ClimateSetpoint,
    /// The thermostat's operating mode.
    ClimateMode,
    /// The fan's speed or command.
    Fan,
    /// Heating or cooling output, %.
    ClimateOutput,
    /// True while a window is open.
    Window,
    /// True while somebody is in the room.
    Occupancy,
    /// True while the door is open.
    Door,
    /// True while the door is locked.
    Lock,
    /// Battery charge of a device, %.
    Battery,
    /// True while the minibar is open.
    Minibar,
    /// True while a leak sensor is wet.
    Leak,
    /// A light's state or level.
    Light,
    /// A fault code or text.
    Fault,
    /// True while a smoke detector sounds.
    Smoke,
    /// The lighting scene, by its number or name.
    Scene,
    /// True while the guest's "do not disturb" switch is on.
    DoNotDisturb,
    /// True while the guest's "make up room" switch is on.
    MakeUp,
}
