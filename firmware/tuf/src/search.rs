//! The search for a target through delegations (TUF specification 1.0.33, 5.6.7): pre-order, depth first, bounded.

use crate::error::Fault;
use crate::metadata::{DelegatedRole, Delegations, Targets};
use crate::pattern;
use crate::target::Target;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A role that is to be asked, and who trusts it: its keys are those that this one names, whoever else trusts it too.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(crate) delegator: Arc<Targets>,
    pub(crate) role: DelegatedRole,
}

impl Edge {
    pub(crate) fn delegations(&self) -> Option<&Delegations> {
        self.delegator.delegations.as_ref()
    }
}

/// A search that is under way.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) path: String,
    consistent: bool,
    stack: Vec<Edge>,
    visited: BTreeSet<String>,
    most: usize,
    /// The role that is being fetched.
    pub(crate) current: Option<Edge>,
}

impl Search {
    pub(crate) fn new(path: &str, consistent: bool, most: usize) -> Self {
        let path = path.to_owned();
        Self { path, consistent, stack: Vec::new(), visited: BTreeSet::new(), most, current: None }
    }

    /// Asks targets that are trusted: the target, or `None` and the roles that may have it are asked next.
    pub(crate) fn ask(&mut self, targets: &Arc<Targets>, role: &str) -> Result<Option<Target>, Fault> {
        if let Some(entry) = targets.targets.get(&self.path) {
            return Target::new(&self.path, entry, role, self.consistent).map(Some);
        }
        let mut next = Vec::new();
        for role in targets.delegations.iter().flat_map(|delegations| delegations.roles.iter().flatten()) {
            if !trusts(role, &self.path) {
                continue;
            }
            next.push(Edge { delegator: Arc::clone(targets), role: role.clone() });
            if role.terminating {
                self.stack.clear();
                break;
            }
        }
        self.stack.extend(next.into_iter().rev());
        Ok(None)
    }

    /// The next role to ask.
    pub(crate) fn next(&mut self) -> Result<Option<Edge>, Fault> {
        while let Some(edge) = self.stack.pop() {
            if self.visited.contains(&edge.role.name) {
                continue;
            }
            if self.visited.len() >= self.most {
                let (file, what) = (self.path.clone(), "delegated roles to be asked");
                return Err(Fault::TooMany { file, what, is: self.visited.len() + 1, most: self.most });
            }
            self.visited.insert(edge.role.name.clone());
            self.current = Some(edge.clone());
            return Ok(Some(edge));
        }
        Ok(None)
    }
}

fn trusts(role: &DelegatedRole, path: &str) -> bool {
    if let Some(prefixes) = &role.path_hash_prefixes {
        let hash = HEXLOWER.encode(digest(&SHA256, path.as_bytes()).as_ref());
        return prefixes.iter().any(|prefix| hash.starts_with(&prefix.to_ascii_lowercase()));
    }
    role.paths.iter().flatten().any(|own| pattern::matches(own, path))
}
