//! Who may sign for a role, and whether enough of them have (TUF specification 1.0.33, 5.3.4 and its likes).

use crate::document::Document;
use crate::error::Fault;
use crate::key::PublicKey;
use crate::metadata::{DelegatedRole, Delegations, Root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The keys of a role and how many of them must sign.
#[derive(Debug, Clone, Copy)]
pub struct Authority<'a> {
    /// The role's name.
    pub role: &'a str,
    /// Its keys' names.
    pub keyids: &'a [String],
    /// How many of them must sign.
    pub threshold: u32,
    /// The keys, by name.
    pub keys: &'a BTreeMap<String, Value>,
}

impl<'a> Authority<'a> {
    /// Who signs for a role at the top.
    #[must_use]
    pub fn of(root: &'a Root, role: &'a str) -> Option<Self> {
        let entry = root.roles.get(role)?;
        Some(Self { role, keyids: &entry.keyids, threshold: entry.threshold, keys: &root.keys })
    }

    /// Who signs for a delegated role.
    pub(crate) fn delegated(delegations: &'a Delegations, role: &'a DelegatedRole) -> Self {
        Self { role: &role.name, keyids: &role.keyids, threshold: role.threshold, keys: &delegations.keys }
    }

    /// The names of the keys that have signed `document`. A key counts once, under however many names it stands there, and
    /// not at all where it is of a kind that is not known here or its signature is wrong: others may still be enough.
    #[must_use]
    pub fn signed_by(&self, document: &Document) -> Vec<String> {
        let Ok(message) = document.message() else { return Vec::new() };
        let mut seen = BTreeSet::new();
        let mut valid = Vec::new();
        for id in self.keyids.iter().collect::<BTreeSet<_>>() {
            let Some(signature) = document.signature_by(id) else { continue };
            let Some(key) = self.keys.get(id).and_then(|value| PublicKey::from_value(value).ok()) else {
                continue;
            };
            if key.id() == id && key.verifies(&message, &signature) && seen.insert(key.bytes().to_vec()) {
                valid.push(id.clone());
            }
        }
        valid
    }

    /// Whether enough keys have signed `document`, which came as `file`.
    ///
    /// # Errors
    /// Too few have.
    pub fn verify(&self, document: &Document, file: &str) -> Result<(), Fault> {
        let valid = self.signed_by(document).len();
        // A threshold of 0 would trust everybody.
        if self.threshold == 0 || u32::try_from(valid).is_ok_and(|valid| valid < self.threshold) {
            let (file, role) = (file.to_owned(), self.role.to_owned());
            return Err(Fault::Unsigned { file, role, valid, threshold: self.threshold.max(1) });
        }
        Ok(())
    }
}
