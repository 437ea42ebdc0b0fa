//! The four kinds of metadata (TUF specification 1.0.33, 4.3 to 4.6), read and written. What is not known in them is kept.

use crate::SPEC_VERSION;
use crate::key::PublicKey;
use jiff::{Timestamp as Instant, Unit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The roles at the top, which no delegated role may be called.
pub const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

/// What every kind of metadata has.
pub trait Metadata: Serialize + DeserializeOwned {
    /// What stands in `_type`.
    const KIND: &'static str;
    /// Its version.
    fn version(&self) -> u64;
    /// Until when it is good.
    fn expires(&self) -> Instant;
}

macro_rules! metadata {
    ($name:ident, $kind:literal, { $($(#[$meta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        #[doc = concat!("Metadata of the type `", $kind, "`.")]
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            /// What kind it is.
            #[serde(rename = "_type")]
            pub kind: String,
            /// The version of the specification it follows.
            pub spec_version: String,
            /// Its version, from 1.
            pub version: u64,
            /// Until when it is good.
            pub expires: Instant,
            $($(#[$meta])* pub $field: $type,)*
            /// What else it has.
            #[serde(flatten)]
            pub other: Map<String, Value>,
        }

        impl Metadata for $name {
            const KIND: &'static str = $kind;
            fn version(&self) -> u64 {
                self.version
            }
            fn expires(&self) -> Instant {
                self.expires
            }
        }
    };
}

metadata!(Root, "root", {
    /// Whether files' names carry versions and hashes.
    #[serde(default)]
    consistent_snapshot: bool,
    /// The keys, by their names.
    keys: BTreeMap<String, Value>,
    /// Whose keys sign what, and how many must.
    roles: BTreeMap<String, Role>,
});

metadata!(Timestamp, "timestamp", {
    /// The snapshot: one entry, `snapshot.json`.
    meta: BTreeMap<String, MetaFile>,
});

metadata!(Snapshot, "snapshot", {
    /// The metadata of all targets, by file name without its version.
    meta: BTreeMap<String, MetaFile>,
});

metadata!(Targets, "targets", {
    /// The targets, by path.
    targets: BTreeMap<String, TargetFile>,
    /// Roles that it trusts for some paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegations: Option<Delegations>,
});

/// Which keys sign for a role, and how many of them must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The keys' names.
    pub keyids: Vec<String>,
    /// How many of them must sign.
    pub threshold: u32,
    /// What else it has.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Which version of another metadata file is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFile {
    /// The version.
    pub version: u64,
    /// Its length, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Its hashes in hex, by algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<BTreeMap<String, String>>,
    /// What else it has.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a target must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFile {
    /// Its length, bytes.
    pub length: u64,
    /// Its hashes in hex, by algorithm.
    pub hashes: BTreeMap<String, String>,
    /// What the signer says of it besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
    /// What else it has.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Whom targets trust for some of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegations {
    /// The keys, by their names.
    pub keys: BTreeMap<String, Value>,
    /// The roles, the first that has a target wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<DelegatedRole>>,
    /// Hash bins (TAP 15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succinct_roles: Option<Value>,
    /// What else it has.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A role that is trusted for some paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegatedRole {
    /// Its name.
    pub name: String,
    /// Its keys' names.
    pub keyids: Vec<String>,
    /// How many of them must sign.
    pub threshold: u32,
    /// Whether nobody after it is asked for its paths.
    pub terminating: bool,
    /// Patterns of the paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// What the SHA-256 of the paths begins with, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hash_prefixes: Option<Vec<String>>,
    /// What else it has.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Whole seconds, as the specification writes times.
fn whole_seconds(at: Instant) -> Instant {
    // It fails only beyond the year 9999.
    at.round(Unit::Second).unwrap_or(at)
}

impl Root {
    /// A first root: no keys, thresholds of one, consistent snapshots.
    #[must_use]
    pub fn new(expires: Instant) -> Self {
        let role = || Role { keyids: Vec::new(), threshold: 1, other: Map::new() };
        Self {
            kind: Self::KIND.to_owned(),
            spec_version: SPEC_VERSION.to_owned(),
            version: 1,
            expires: whole_seconds(expires),
            consistent_snapshot: true,
            keys: BTreeMap::new(),
            roles: TOP_LEVEL.iter().map(|name| ((*name).to_owned(), role())).collect(),
            other: Map::new(),
        }
    }

    /// Lets `key` sign for `role`. False: there is no such role.
    pub fn add_key(&mut self, role: &str, key: &PublicKey) -> bool {
        let Some(entry) = self.roles.get_mut(role) else { return false };
        if !entry.keyids.iter().any(|id| id == key.id()) {
            entry.keyids.push(key.id().to_owned());
        }
        self.keys.insert(key.id().to_owned(), key.value().clone());
        true
    }

    /// Lets the key called `id` sign for `role` no more, and forgets it where no role has it. False: it did not sign for it.
    pub fn remove_key(&mut self, role: &str, id: &str) -> bool {
        let Some(entry) = self.roles.get_mut(role) else { return false };
        let before = entry.keyids.len();
        entry.keyids.retain(|own| own != id);
        let removed = entry.keyids.len() < before;
        if !self.roles.values().any(|role| role.keyids.iter().any(|own| own == id)) {
            self.keys.remove(id);
        }
        removed
    }

    /// The next version, good until `expires`.
    #[must_use]
    pub fn next(&self, expires: Instant) -> Self {
        Self { version: self.version.saturating_add(1), expires: whole_seconds(expires), ..self.clone() }
    }
}

impl Targets {
    /// Without targets.
    #[must_use]
    pub fn new(version: u64, expires: Instant) -> Self {
        Self {
            kind: Self::KIND.to_owned(),
            spec_version: SPEC_VERSION.to_owned(),
            version,
            expires: whole_seconds(expires),
            targets: BTreeMap::new(),
            delegations: None,
            other: Map::new(),
        }
    }

    /// The next version, good until `expires`.
    #[must_use]
    pub fn next(&self, expires: Instant) -> Self {
        Self { version: self.version.saturating_add(1), expires: whole_seconds(expires), ..self.clone() }
    }
}

impl Snapshot {
    /// Of these files of targets, by name (`targets.json`).
    #[must_use]
    pub fn new(version: u64, expires: Instant, meta: BTreeMap<String, MetaFile>) -> Self {
        Self {
            kind: Self::KIND.to_owned(),
            spec_version: SPEC_VERSION.to_owned(),
            version,
            expires: whole_seconds(expires),
            meta,
            other: Map::new(),
        }
    }
}

/// Under which name a timestamp of ours says when it was signed.
const SIGNED_AT: &str = "x-engawa-signed-at";

impl Timestamp {
    /// Of this snapshot, signed `now`.
    #[must_use]
    pub fn new(version: u64, expires: Instant, snapshot: MetaFile, now: Instant) -> Self {
        let mut other = Map::new();
        other.insert(SIGNED_AT.to_owned(), Value::String(whole_seconds(now).to_string()));
        Self {
            kind: Self::KIND.to_owned(),
            spec_version: SPEC_VERSION.to_owned(),
            version,
            expires: whole_seconds(expires),
            meta: BTreeMap::from([("snapshot.json".to_owned(), snapshot)]),
            other,
        }
    }

    /// When it was signed, where it says so: it can't be earlier than this now.
    #[must_use]
    pub fn signed_at(&self) -> Option<Instant> {
        self.other.get(SIGNED_AT)?.as_str()?.parse().ok()
    }
}
