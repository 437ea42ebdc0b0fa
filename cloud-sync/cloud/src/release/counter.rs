//! The release counter and the floor, which only grow. The highest that were ever given stand in the targets' metadata, signed
//! like it: releases go (they are revoked), and gateways remember.

use anyhow::Context;
use engawa_release::manifest::Kind;
use engawa_release::name;
use engawa_tuf::metadata::Targets;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Under which name the metadata has them.
const KEPT: &str = "x-engawa-highest";

/// The highest of one line of releases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Highest {
    /// The release counter.
    pub(crate) number: u64,
    /// The floor.
    pub(crate) floor: u64,
}

/// The line of a release: the folder that its versions are in. Whichever boards a release of the application names, gateways
/// count by its triple alone.
pub(crate) fn line(kind: Kind, name: &str, triple: &str, hardware: &[String]) -> String {
    match kind {
        Kind::Application => format!("{name}/{triple}"),
        Kind::System => format!("system/{}", hardware.first().map_or("", String::as_str)),
    }
}

/// By line: what was kept, and what the targets have.
pub(crate) fn all(targets: &Targets) -> anyhow::Result<BTreeMap<String, Highest>> {
    let kept = targets.other.get(KEPT).cloned();
    let mut all: BTreeMap<String, Highest> = kept
        .map(serde_json::from_value)
        .transpose()
        .with_context(|| format!("`{KEPT}` in targets.json"))?
        .unwrap_or_default();
    for (path, entry) in &targets.targets {
        let Some(folder) = path.strip_suffix(name::MANIFEST).and_then(|path| path.strip_suffix('/')) else {
            continue;
        };
        let (Some((line, _version)), Some(custom)) = (folder.rsplit_once('/'), &entry.custom) else {
            continue;
        };
        let of = |name: &str| custom.get(name).and_then(serde_json::Value::as_u64).unwrap_or_default();
        let highest = all.entry(line.to_owned()).or_default();
        highest.number = highest.number.max(of("number"));
        highest.floor = highest.floor.max(of("floor"));
    }
    Ok(all)
}

/// Keeps them, before a release goes.
pub(crate) fn keep(targets: &mut Targets) -> anyhow::Result<()> {
    let all = all(targets)?;
    if !all.is_empty() {
        targets.other.insert(KEPT.to_owned(), serde_json::to_value(all)?);
    }
    Ok(())
}
