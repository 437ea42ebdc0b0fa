//! Typed names of things. All are opaque: a room number's leading zero or blank is significant
//! (FIAS 2.20, field RN), so none is ever parsed as a number.
//!
//! Names are shared: a house of 8,000 devices has 160,000 points, and each of their names once.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the name as it is.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }
    };
}

id!(
    /// A property (one hotel), as named in the configuration and in the gateway's certificate.
    PropertyId
);
id!(
    /// A room number as the PMS writes it (field RN).
    RoomId
);
id!(
    /// A PMS reservation number (field G#): one guest's stay.
    StayId
);
id!(
    /// A device in a room, unique in the property.
    DeviceId
);
id!(
    /// A link of the gateway to something outside: `pms`, a Modbus line, the MQTT broker, the cloud.
    LinkId
);
id!(
    /// A device that was found on the broker, as it calls itself: its address, a serial number.
    FoundId
);
id!(
    /// The idempotency key that goes with a command from whoever asked to the wire and back.
    CommandKey
);

/// One point (a value that can be read or written) of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PointId {
    /// The device that has the point.
    pub device: DeviceId,
    /// The point's name in the device's profile.
    pub point: Arc<str>,
}

impl PointId {
    /// The point `point` of `device`.
    pub fn new(device: impl Into<Arc<str>>, point: impl Into<Arc<str>>) -> Self {
        Self { device: DeviceId::new(device), point: point.into() }
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.point)
    }
}

/// The number of a wake-up call, from 1; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WakeId(pub u64);

impl fmt::Display for WakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of a posting (FIAS field P#, 1 to 99,999,999).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PostingNumber(pub u32);

impl fmt::Display for PostingNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
