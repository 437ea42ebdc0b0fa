//! The first root, and the next ones: who may sign what.

use crate::release::draft::Draft;
use crate::release::expiry::NOTICE_DAYS;
use crate::release::folder::Folder;
use crate::release::keys::read_public;
use crate::release::online::Online;
use anyhow::{Context, bail};
use engawa_tuf::PublicKey;
use engawa_tuf::metadata::{Root, Targets};
use jiff::{SignedDuration, Timestamp as Instant};
use std::path::PathBuf;

/// A first root.
pub(crate) struct First {
    /// Public keys of those who sign roots.
    pub(crate) root: Vec<PathBuf>,
    /// Public keys of those who sign releases.
    pub(crate) targets: Vec<PathBuf>,
    /// The public snapshot key, where it is not made here.
    pub(crate) snapshot: Option<PathBuf>,
    /// The public timestamp key, where it is not made here.
    pub(crate) timestamp: Option<PathBuf>,
    /// How many must sign.
    pub(crate) thresholds: Thresholds,
    /// How long roots and targets are good, days.
    pub(crate) days: u32,
}

/// How many must sign; none: as it was.
#[derive(Default)]
pub(crate) struct Thresholds {
    /// A root.
    pub(crate) root: Option<u32>,
    /// A release.
    pub(crate) targets: Option<u32>,
}

/// A change of the root.
pub(crate) struct Change {
    /// Keys that come, with their role: `root=FILE.pub`.
    pub(crate) add: Vec<(String, PathBuf)>,
    /// Keys that go, with their role: `targets=ID`; the beginning of a name is enough.
    pub(crate) remove: Vec<(String, String)>,
    /// How many must sign.
    pub(crate) thresholds: Thresholds,
    /// New online keys in place of the old ones.
    pub(crate) rotate_online: bool,
    /// How long it is good, days.
    pub(crate) days: u32,
}

fn days(n: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * n)
}

fn in_days(now: Instant, days: u32) -> Instant {
    now + self::days(i64::from(days))
}

/// `engawa-cloud release init`.
pub(crate) fn first(draft: &Draft, online: &mut Online, first: &First, now: Instant) -> anyhow::Result<Root> {
    // Before keys are made that no root would have.
    draft.is_free()?;
    let expires = in_days(now, first.days);
    let mut root = Root::new(expires);
    for path in &first.root {
        root.add_key("root", &read_public(path)?);
    }
    for path in &first.targets {
        root.add_key("targets", &read_public(path)?);
    }
    for (role, path) in [("snapshot", &first.snapshot), ("timestamp", &first.timestamp)] {
        let key = match path {
            Some(path) => read_public(path)?,
            None => online.generate(role)?,
        };
        root.add_key(role, &key);
    }
    set(&mut root, &first.thresholds)?;
    check(&root)?;
    draft.folder.make()?;
    draft.put_root(&root)?;
    draft.put_targets(&Targets::new(1, expires))?;
    Ok(root)
}

/// `engawa-cloud release root`.
pub(crate) fn change(
    draft: &Draft,
    repository: &Folder,
    online: &mut Online,
    change: &Change,
    now: Instant,
) -> anyhow::Result<Root> {
    let current = repository.some_root()?.metadata;
    let mut root = current.next(in_days(now, change.days));
    for (role, path) in &change.add {
        if !root.add_key(role, &read_public(path)?) {
            bail!("there is no role `{role}`: root, targets, snapshot and timestamp are the roles");
        }
    }
    for (role, id) in &change.remove {
        let whole = one(&root, role, id)?;
        root.remove_key(role, &whole);
    }
    if change.rotate_online {
        for role in ["snapshot", "timestamp"] {
            let old = root.roles.get(role).map(|role| role.keyids.clone()).unwrap_or_default();
            let key: PublicKey = online.generate(role)?;
            root.add_key(role, &key);
            for id in old {
                root.remove_key(role, &id);
            }
        }
    }
    set(&mut root, &change.thresholds)?;
    check(&root)?;
    draft.begin(repository)?;
    draft.put_root(&root)?;
    // Other keys for releases: those that are current are signed again, by those. So are those that expire: a root alone would
    // not be published once they have.
    let lapses = repository.targets()?.is_some_and(|known| known.metadata.expires < now + days(NOTICE_DAYS));
    if (lapses || root.roles.get("targets") != current.roles.get("targets"))
        && let Some(targets) = draft.targets_or_current(repository)?
    {
        let next = if targets.1 { targets.0 } else { targets.0.next(in_days(now, change.days)) };
        draft.put_targets(&next)?;
    }
    Ok(root)
}

/// The key of `role` whose name begins with `id`.
fn one(root: &Root, role: &str, id: &str) -> anyhow::Result<String> {
    let entry = root.roles.get(role).with_context(|| {
        format!("there is no role `{role}`: root, targets, snapshot and timestamp are the roles")
    })?;
    let found: Vec<_> = entry.keyids.iter().filter(|own| own.starts_with(id)).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => bail!("no key of `{role}` begins with {id}: it has {}", entry.keyids.join(", ")),
        several => bail!("{} keys of `{role}` begin with {id}: write more of it", several.len()),
    }
}

fn set(root: &mut Root, thresholds: &Thresholds) -> anyhow::Result<()> {
    for (role, threshold) in [("root", thresholds.root), ("targets", thresholds.targets)] {
        if let (Some(threshold), Some(entry)) = (threshold, root.roles.get_mut(role)) {
            entry.threshold = threshold;
        }
    }
    Ok(())
}

/// What nobody could ever sign is no root, and one by which the cloud could sign releases is none.
pub(crate) fn check(root: &Root) -> anyhow::Result<()> {
    for (name, role) in &root.roles {
        if role.threshold == 0 || (role.keyids.len() as u64) < u64::from(role.threshold) {
            bail!(
                "`{name}` would have {} keys, and {} must sign: add keys, or lower the threshold",
                role.keyids.len(),
                role.threshold.max(1)
            );
        }
    }
    for offline in ["root", "targets"] {
        for online in ["snapshot", "timestamp"] {
            let (Some(a), Some(b)) = (root.roles.get(offline), root.roles.get(online)) else { continue };
            if let Some(id) = a.keyids.iter().find(|id| b.keyids.contains(id)) {
                bail!(
                    "the key {id} would sign for `{offline}` and `{online}`: the cloud could then forge releases"
                );
            }
        }
    }
    Ok(())
}
