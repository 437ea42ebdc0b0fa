//! The gateway's own upkeep: what whoever looks after it asks from afar.

use crate::ids::{CommandKey, DeviceId};
use crate::{CommandOutcome, RoomId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Tails that may run at once: each is read by somebody who sits before it.
pub const MOST_TAILS: usize = 4;
/// The longest tail, seconds.
pub const LONGEST_TAIL_S: u32 = 3600;
/// The longest name of whoever asks, characters.
pub const MOST_ASKER: usize = 64;
/// The largest bundle, bytes as it travels.
pub const MOST_BUNDLE: usize = 192 << 10;
/// Bytes of a bundle in one piece: with its digests and in Base64 below 9 KiB.
pub const BUNDLE_PIECE: usize = 6 << 10;
/// The longest note of how a command ended, characters.
pub const MOST_NOTE_OF_END: usize = 1000;

/// What is watched: `room/101` or `device/thermostat-101`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// Every point of a room.
    Room(RoomId),
    /// Every point of a device.
    Device(DeviceId),
}

impl Watched {
    /// Reads `room/101` or `device/thermostat-101`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some(("room", id)) if !id.is_empty() => Ok(Self::Room(RoomId::from(id))),
            Some(("device", id)) if !id.is_empty() => Ok(Self::Device(DeviceId::from(id))),
            _ => Err(format!("`{text}` can't be watched: expected room/NUMBER or device/NAME")),
        }
    }

    /// True where the point of `device`, which is in `room`, is watched.
    pub fn has(&self, device: &DeviceId, room: Option<&RoomId>) -> bool {
        match self {
            Self::Room(id) => room == Some(id),
            Self::Device(id) => device == id,
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(id) => write!(f, "room/{id}"),
            Self::Device(id) => write!(f, "device/{id}"),
        }
    }
}

impl Serialize for Watched {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// When an update may be installed, on the clocks of the property; past midnight where it ends before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateWindow {
    /// From this time of day on, `HH:MM`.
    pub from: String,
    /// Until this one.
    pub to: String,
}

/// A task for whoever looks after the running agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Upkeep {
    /// Read the configuration again.
    Reload,
    /// Gather a bundle for whoever looks for a fault.
    Diagnose,
    /// Tell the cloud what is watched, as it is, until then.
    Tail {
        /// What.
        of: Watched,
        /// Until when.
        until: Timestamp,
    },
    /// End a tail; its own command ends with it.
    EndTail {
        /// The key of its command.
        tail: CommandKey,
    },
    /// Install a release.
    Update {
        /// Which, by semantic versioning.
        version: String,
        /// When it may be switched to; at any quiet time where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<UpdateWindow>,
        /// The folder of a repository on this gateway; the cloud's where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The gateway's clock is right, says whoever asks.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        clock_is_right: bool,
    },
}

/// What a task came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpkeepEnd {
    /// How it ended.
    pub outcome: CommandOutcome,
    /// More of it, in plain words, at most [`MOST_NOTE_OF_END`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The bundle that was gathered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundle: Vec<BundlePiece>,
}

/// A piece of a diagnostics bundle, as it travels in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundlePiece {
    /// Its number, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// Bytes of the whole bundle.
    pub bytes: u64,
    /// SHA-256 of the whole bundle, hexadecimal.
    pub sha256: String,
    /// SHA-256 of this piece, hexadecimal.
    pub piece_sha256: String,
    /// The piece, Base64 (RFC 4648, section 4). Absent in the cloud's journal, which keeps pieces beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}
