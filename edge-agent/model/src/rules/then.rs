//! What a rule does.

use super::Sign;
use crate::{AlertKind, Role, Value};
use serde::{Deserialize, Serialize};

/// What a rule does when it comes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Then {
    /// The room's set point, while the rule is on and none of higher priority wants another.
    pub setpoint: Option<Setpoint>,
    /// What is written once: lights, scenes, modes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Write>,
    /// An alert, active while the rule is on.
    pub alert: Option<AlertThen>,
    /// A housekeeping status for the PMS, as in [`crate::Action::RoomStatus`].
    pub status: Option<String>,
    /// A door sign for the PMS.
    pub sign: Option<Sign>,
    /// A charge proposed to staff; never posted without them.
    pub charge: Option<ChargeThen>,
}

/// What a rule does when it is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct After {
    /// What is written once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Write>,
    /// A housekeeping status for the PMS.
    pub status: Option<String>,
    /// A door sign for the PMS.
    pub sign: Option<Sign>,
}

/// What a set point is reckoned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Of {
    /// What the room would have without rules: its guest's choice or comfort when occupied, eco when vacant.
    #[default]
    Base,
    /// The house's comfort.
    Comfort,
    /// The house's eco of the season.
    Eco,
}

/// A set point: `celsius`, or reckoned from another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setpoint {
    /// This one, °C.
    pub celsius: Option<f64>,
    /// Reckoned from this.
    pub of: Of,
    /// So much towards saving: lower while the house heats, higher while it cools; °C.
    pub setback_c: f64,
    /// So much higher, °C.
    pub offset_c: f64,
}

/// One write to the points of a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// Which points of the room.
    pub role: Role,
    /// The value, in their unit.
    pub value: Value,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertThen {
    /// What it is about.
    pub kind: AlertKind,
    /// What happened, for staff; no personal data.
    pub text: String,
    /// What follows while it is active and nobody has acknowledged it.
    #[serde(default)]
    pub escalate: Vec<Escalation>,
}

/// One step of an escalation: the alert is raised again, one level higher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// So long after the rule came on, seconds; each later than the one before.
    pub after_s: u32,
    /// What is said then.
    pub text: String,
}

/// A charge proposed to staff.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeThen {
    /// What for; no personal data.
    pub text: String,
    /// How much, in minor units of the property's currency; where absent, staff name it.
    #[serde(default)]
    pub amount_minor: Option<i64>,
    /// The outlet, as the PMS names it.
    #[serde(default)]
    pub outlet: Option<String>,
}
