//! Device profiles: how one make of device speaks, as a TOML file that names its sources.
//!
//! A profile is read, checked as a whole (every fault at once, each at its place), and resolved for one device with its
//! variables (a DIP switch that changes the unit). Profiles of common devices are built in; others lie in a folder.
//!
//! Never: files or sockets; text comes in.

pub mod modbus;
pub mod mqtt;
mod schema;
mod shipped;
mod traits;
pub(crate) mod unit;

pub use schema::json_schema;

pub use shipped::builtin;
pub use traits::{PointTraits, Takes, ValueKind};

use engawa_diag::{Path, Report};
use engawa_model::PointSpec;
use modbus::{ModbusMap, ModbusProfile};
use mqtt::MqttProfile;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a profile says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileHead {
    /// The name by which configurations use it.
    pub name: String,
    /// Who makes the device.
    pub make: String,
    /// Which device it is.
    pub model: String,
    /// What it is: `thermostat`, `sensors`, `meter`, ...
    pub kind: String,
    /// How it speaks.
    pub protocol: ProtocolName,
    /// Where this is from: manual, edition, page.
    pub sources: Vec<String>,
}

/// The protocols that profiles can be written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProtocolName {
    /// Modbus, over whatever line.
    Modbus,
    /// MQTT.
    Mqtt,
}

/// How the device speaks, in full.
#[derive(Clone, Debug, PartialEq)]
pub enum Protocol {
    /// Modbus.
    Modbus(ModbusProfile),
    /// MQTT.
    Mqtt(MqttProfile),
}

/// A profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What it says of itself.
    pub head: ProfileHead,
    /// How the device speaks.
    pub protocol: Protocol,
}

/// How a make of devices speaks, for the gateway Engawa.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Engawa device profile")]
struct File {
    /// What the profile says of itself.
    profile: ProfileHead,
    /// How the device speaks Modbus.
    modbus: Option<ModbusProfile>,
    /// How the device speaks MQTT.
    mqtt: Option<MqttProfile>,
}

/// A variable that does not fit its profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarFault {
    /// Which.
    pub var: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

/// A profile with its variables filled in: what a driver works with.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// A Modbus device.
    Modbus(Arc<ModbusMap>),
    /// An MQTT device.
    Mqtt(Arc<MqttProfile>),
}

/// Reads and checks a profile.
///
/// # Errors
/// All faults of the text.
pub fn load(file: &str, text: &str) -> Result<Profile, Report> {
    let parsed = engawa_diag::read::<File>(file, text);
    let (doc, mut report) = (parsed.doc, parsed.report);
    let Some(File { profile: head, modbus, mqtt }) = parsed.value else { return Err(report) };
    let section = Path::root().key("profile");
    if head.name.is_empty()
        || head.name.contains(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
    {
        let fault =
            doc.fault(&section.key("name"), format!("`{}` can't be the name of a profile", head.name));
        report.push(fault.label("expected letters, digits, `-`, `_` or `.`"));
    }
    if head.sources.iter().all(|source| source.trim().is_empty()) {
        let fault = doc.fault(&section.key("sources"), "a profile names its sources");
        report.push(fault.label("expected at least one").help("name the manual, its edition and the page"));
    }
    let protocol = match (head.protocol, modbus, mqtt) {
        (ProtocolName::Modbus, Some(modbus), None) => {
            for fault in modbus.faults(&doc) {
                report.push(fault);
            }
            Some(Protocol::Modbus(modbus))
        }
        (ProtocolName::Mqtt, None, Some(mqtt)) => {
            for fault in mqtt.faults(&doc) {
                report.push(fault);
            }
            Some(Protocol::Mqtt(mqtt))
        }
        (name, modbus, mqtt) => {
            let (wanted, other) = match name {
                ProtocolName::Modbus => ("modbus", mqtt.is_some().then_some("mqtt")),
                ProtocolName::Mqtt => ("mqtt", modbus.is_some().then_some("modbus")),
            };
            let (at, what) = match other {
                Some(other) => (
                    Path::root().key(other),
                    format!("the protocol is `{wanted}`, so there is no section `[{other}]`"),
                ),
                None => (
                    section.key("protocol"),
                    format!("the protocol is `{wanted}`, and there is no section `[{wanted}]`"),
                ),
            };
            report.push(doc.fault_at_key(&at, what));
            None
        }
    };
    report.sort();
    match protocol {
        Some(protocol) if report.is_empty() => Ok(Profile { head, protocol }),
        _ => Err(report),
    }
}

impl Profile {
    /// The profile for a device with these variables.
    ///
    /// # Errors
    /// All variables that do not fit.
    pub fn resolve(&self, vars: &BTreeMap<String, String>) -> Result<Resolved, Vec<VarFault>> {
        match &self.protocol {
            Protocol::Modbus(profile) => profile.resolve(vars).map(|map| Resolved::Modbus(Arc::new(map))),
            Protocol::Mqtt(profile) => profile.resolve(vars).map(|profile| Resolved::Mqtt(Arc::new(profile))),
        }
    }
}

impl Resolved {
    /// The points, as rules and listings see them.
    pub fn point_specs(&self) -> Arc<[PointSpec]> {
        match self {
            Self::Modbus(map) => map.point_specs(),
            Self::Mqtt(profile) => profile
                .points
                .iter()
                .map(|point| PointSpec {
                    name: point.name.as_str().into(),
                    role: point.role,
                    unit: point.unit.as_deref().map(Into::into),
                    writable: point.command_topic.is_some(),
                    min: point.min,
                    max: point.max,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
