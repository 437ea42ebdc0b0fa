//! What a draft changes, in lines for people: they read these, and sign what lies behind. So everything that gateways act on is
//! among them, and what nobody here makes is refused.

use crate::release::baseline::Baseline;
use crate::release::counter;
use crate::release::draft::Draft;
use crate::release::folder;
use crate::release::roots;
use crate::release::signing::Contents;
use anyhow::bail;
use engawa_release::manifest::Manifest;
use engawa_release::name;
use engawa_tuf::metadata::{Role, Root, TargetFile, Targets};
use jiff::Timestamp as Instant;

/// Refuses what no command here makes, and what would give signing away: whoever signs would not expect it.
pub(crate) fn refuse(root: Option<&Root>, targets: Option<&Targets>) -> anyhow::Result<()> {
    if let Some(root) = root {
        roots::check(root)?;
    }
    if let Some(roles) = targets.map(delegated).filter(|roles| !roles.is_empty()) {
        bail!(
            "targets.json lets others sign releases (delegations to {}), which no command here does: somebody has changed the draft; make it again, and look who had it",
            roles.join(", ")
        );
    }
    Ok(())
}

/// To whom targets delegate: names of roles, with the first of their keys' names.
fn delegated(targets: &Targets) -> Vec<String> {
    let Some(delegations) = &targets.delegations else { return Vec::new() };
    let roles = delegations.roles.iter().flatten();
    let mut all: Vec<String> =
        roles.map(|role| format!("`{}`: {} of {}", role.name, role.threshold, ids(&role.keyids))).collect();
    if all.is_empty() {
        // Hash bins, or keys for roles that are to come.
        all.push(ids(&delegations.keys.keys().cloned().collect::<Vec<_>>()));
    }
    all
}

fn short(id: &str) -> String {
    id.chars().take(16).collect()
}

fn ids(ids: &[String]) -> String {
    ids.iter().map(|id| short(id)).collect::<Vec<_>>().join(", ")
}

/// What `draft`, which says `contents`, changes of `baseline`.
pub(crate) fn changes(
    draft: &Draft,
    contents: &Contents,
    baseline: &Baseline,
) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    if let Some(root) = &contents.root {
        lines.push(format!(
            "root.json version {}, good until {}",
            root.metadata.version, root.metadata.expires
        ));
        lines.extend(baseline.of_root.iter().map(|line| format!("  {line}")));
        for (name, role) in &root.metadata.roles {
            let before = baseline.root.as_ref().map(|before| before.roles.get(name));
            lines.push(format!("  {name}: {} of {}", role.threshold, ids(&role.keyids)));
            lines.extend(before.map(|before| keys(before, role)).into_iter().flatten());
        }
    }
    if let Some(targets) = &contents.targets {
        let targets = &targets.metadata;
        lines.push(format!("targets.json version {}, good until {}", targets.version, targets.expires));
        lines.push(format!("  {}", baseline.line));
        lines.extend(delegated(targets).into_iter().map(|role| format!("  ! others may sign: {role}")));
        lines.extend(counters(baseline.targets.as_ref(), targets)?);
        lines.extend(difference(draft, baseline.targets.as_ref(), targets)?);
    }
    Ok(lines)
}

/// What has changed of a role of the root.
fn keys(before: Option<&Role>, after: &Role) -> Vec<String> {
    let of = |role: Option<&Role>| role.map(|role| role.keyids.clone()).unwrap_or_default();
    let (old, new) = (of(before), of(Some(after)));
    let mut lines = Vec::new();
    if let Some(before) = before.filter(|before| before.threshold != after.threshold) {
        lines.push(format!("    ~ {} had to sign", before.threshold));
    }
    lines.extend(new.iter().filter(|id| !old.contains(id)).map(|id| format!("    + {id}")));
    lines.extend(old.iter().filter(|id| !new.contains(id)).map(|id| format!("    - {id}")));
    lines
}

/// The counters that the targets keep, where they are others than their releases and the former ones make: numbers and floors
/// never fall again.
fn counters(before: Option<&Targets>, after: &Targets) -> anyhow::Result<Vec<String>> {
    let mut made = after.clone();
    made.other = before.map(|before| before.other.clone()).unwrap_or_default();
    let old = before.into_iter().flat_map(|before| &before.targets);
    made.targets.extend(old.map(|(path, entry)| (path.clone(), entry.clone())));
    for (path, entry) in &after.targets {
        made.targets.insert(path.clone(), entry.clone());
    }
    let expected = counter::all(&made)?;
    let said = counter::all(after)?.into_iter().filter(|(line, highest)| expected.get(line) != Some(highest));
    Ok(said
        .map(|(line, highest)| {
            format!("  ! {line}: numbers go on from {}, the floor is {}", highest.number, highest.floor)
        })
        .collect())
}

fn difference(draft: &Draft, before: Option<&Targets>, after: &Targets) -> anyhow::Result<Vec<String>> {
    let old = |path: &String| before.and_then(|before| before.targets.get(path));
    let mut lines = Vec::new();
    for (path, entry) in &after.targets {
        let mark = match old(path) {
            Some(known) if known == entry => continue,
            Some(_) => '~',
            None => '+',
        };
        let hash = entry.hashes.get("sha256").map_or("?", String::as_str);
        lines.push(format!("  {mark} {path}  {} bytes  sha256 {hash}", entry.length));
        if path.rsplit('/').next() == Some(name::MANIFEST) {
            lines.push(format!("    {}", release(draft, path, entry)?));
        }
    }
    let gone = before.into_iter().flat_map(|before| before.targets.keys());
    lines.extend(gone.filter(|path| !after.targets.contains_key(*path)).map(|path| format!("  - {path}")));
    Ok(lines)
}

/// What a release is, as its manifest says; where that does not travel with the draft, as the metadata say.
fn release(draft: &Draft, path: &str, entry: &TargetFile) -> anyhow::Result<String> {
    let said =
        |name: &str| entry.custom.as_ref().and_then(|custom| custom[name].as_u64()).unwrap_or_default();
    let Some(bytes) = folder::read(&draft.folder.target(path))? else {
        return Ok(format!(
            "number {}, floor {} by the metadata; its manifest is not in this draft",
            said("number"),
            said("floor")
        ));
    };
    let hash = data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref());
    if entry.hashes.get("sha256") != Some(&hash) {
        bail!("{} is not what would be signed: make the draft again", draft.folder.target(path).display());
    }
    let manifest = match Manifest::read(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => bail!("{path} is no manifest that a gateway takes: {:#}", anyhow::Error::from(error)),
    };
    if (manifest.number, manifest.floor) != (said("number"), said("floor")) {
        bail!(
            "{path} has number {} and floor {}, and the metadata say {} and {}: make the draft again",
            manifest.number,
            manifest.floor,
            said("number"),
            said("floor")
        );
    }
    let boards =
        if manifest.hardware.is_empty() { "any board".to_owned() } else { manifest.hardware.join(", ") };
    let built = Instant::from_second(manifest.built).map_or_else(|_| "never".to_owned(), |at| at.to_string());
    Ok(format!(
        "number {}, floor {}, {}, for {boards}, built {built}",
        manifest.number,
        manifest.floor,
        manifest.kind.as_str()
    ))
}
