//! Alerts: one per (kind, source), with a count, a first and a last time.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A posting whose answer never came: staff must look in the PMS, it is not sent again.
    PostingDoubtful,
    /// A leak sensor is wet.
    Leak,
    /// A set point could not be written or did not stick.
    WriteFailed,
    /// A wake-up call that no device can ring, that nobody answered, or that can't be kept: somebody must go.
    WakeUp,
    /// A smoke detector sounds.
    Smoke,
    /// A battery is low.
    BatteryLow,
    /// A guest may need help.
    GuestWellBeing,
    /// The write firewall refuses something again and again.
    WriteBlocked,
    /// A rule of the site's own.
    Rule,
    /// A complete list of a PMS would check out so much of the house that nobody believes it unasked.
    ListDoubted,
    /// The disk, or the journal's share of it, is full.
    Storage,
}

impl AlertKind {
    /// The kind's word, as it is stored; never renamed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::PostingDoubtful => "posting_doubtful",
            Self::Leak => "leak",
            Self::WriteFailed => "write_failed",
            Self::WakeUp => "wake_up",
            Self::Smoke => "smoke",
            Self::BatteryLow => "battery_low",
            Self::GuestWellBeing => "guest_well_being",
            Self::WriteBlocked => "write_blocked",
            Self::Rule => "rule",
            Self::ListDoubted => "list_doubted",
            Self::Storage => "storage",
        }
    }
}

/// An alert and its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about.
    pub kind: AlertKind,
    /// The room, device or posting concerned.
    pub source: String,
    /// True until what caused it is over.
    pub active: bool,
    /// How often it was raised.
    pub count: u32,
    /// When it was raised first.
    pub first: Timestamp,
    /// When it was raised last.
    pub last: Timestamp,
    /// What happened, in plain words, without personal data.
    pub text: String,
    /// How far it has been escalated: 0 at first.
    #[serde(default)]
    pub level: u8,
    /// When somebody said that they see to it; no further escalation follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
}
