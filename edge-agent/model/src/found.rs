//! Devices that have told of themselves on the broker and wait to be placed in a room.
//!
//! Terms: a *source* is the message by which a device told of itself, or of a part of itself; an *entity* is one thing
//! that it has to tell or takes.
//!
//! Never: a meaning of what an entity's `config` says; whoever places the device reads it.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a device says that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundAbout {
    /// Its name, for people.
    pub name: String,
    /// Who makes it.
    pub make: Option<String>,
    /// Which it is.
    pub model: Option<String>,
    /// Where somebody said that it is.
    pub area: Option<String>,
}

/// One thing that a found device has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundEntity {
    /// What kind: `sensor`, `switch`, `climate`, ...
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why it can't be used, or not wholly, in plain words.
    pub problem: Option<String>,
    /// How it speaks, as it told.
    pub config: String,
}

/// A device that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What it says that it is.
    pub about: FoundAbout,
    /// When it was found.
    pub first: Timestamp,
    /// When it told of itself last, to the hour.
    pub last: Timestamp,
    /// What it has, by source.
    pub sources: BTreeMap<String, Vec<FoundEntity>>,
}

impl Found {
    /// All its entities, in the order of their sources.
    pub fn entities(&self) -> impl Iterator<Item = &FoundEntity> {
        self.sources.values().flatten()
    }

    /// Roughly what it takes in memory, bytes.
    pub(crate) fn size(&self) -> usize {
        let entity = |entity: &FoundEntity| entity.kind.len() + entity.name.len() + entity.config.len();
        self.sources.iter().map(|(source, all)| source.len() + all.iter().map(entity).sum::<usize>()).sum()
    }
}
