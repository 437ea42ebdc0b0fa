//! Signing a draft, by several people one after another, and what is still missing.

use crate::release::changes;
use crate::release::draft::Draft;
use crate::release::folder::Known;
use anyhow::bail;
use engawa_tuf::metadata::{Root, Targets};
use engawa_tuf::{Authority, Document, Signer};
use serde_json::json;
use std::collections::BTreeSet;

/// How far the signatures of a document are, by the keys of one root.
pub(crate) struct Progress {
    /// The file.
    pub(crate) file: &'static str,
    /// Its version.
    pub(crate) version: u64,
    /// By whose keys: those of the root that is current, or of the one that is to come.
    pub(crate) by: &'static str,
    /// How many have signed.
    pub(crate) valid: usize,
    /// How many must.
    pub(crate) threshold: u32,
}

impl Progress {
    /// True once enough have signed.
    pub(crate) fn done(&self) -> bool {
        u32::try_from(self.valid).unwrap_or(u32::MAX) >= self.threshold
    }

    /// For scripts.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({"file": self.file, "version": self.version, "by": self.by, "signatures": self.valid, "threshold": self.threshold})
    }
}

/// The roots that count: the one that is current, the one that is to come.
struct Roots {
    current: Option<Root>,
    next: Option<Root>,
}

impl Roots {
    fn of(draft: &Draft) -> anyhow::Result<Self> {
        let current = draft.current_root()?.map(|known| known.metadata);
        let next = draft.root()?.map(|known| known.metadata);
        if current.is_none() && next.is_none() {
            bail!(
                "{} is no draft: make one with `engawa-cloud release init`, `root`, `create` or `revoke`",
                draft.folder.dir().display()
            );
        }
        Ok(Self { current, next })
    }

    /// Whose keys must sign a document of `role`. A root: those of both. Targets: those of the root that will be current.
    fn authorities<'a>(&'a self, role: &'a str) -> Vec<(&'static str, Authority<'a>)> {
        let of = |name, root: &'a Option<Root>| Some((name, Authority::of(root.as_ref()?, role)?));
        let (current, next) =
            (of("the current root's keys", &self.current), of("the next root's keys", &self.next));
        match role {
            "root" => current.into_iter().chain(next).collect(),
            _ => next.or(current).into_iter().collect(),
        }
    }
}

/// What a draft says, read once: what is shown is what is signed, whatever becomes of the stick meanwhile.
pub(crate) struct Contents {
    /// The root that is to come.
    pub(crate) root: Option<Known<Root>>,
    /// The targets that are to come.
    pub(crate) targets: Option<Known<Targets>>,
}

impl Contents {
    /// Reads it.
    pub(crate) fn read(draft: &Draft) -> anyhow::Result<Self> {
        Ok(Self { root: draft.root()?, targets: draft.targets()? })
    }
}

/// Signs everything of `contents` that one of `keys` may sign, and puts it into the draft.
pub(crate) fn sign(draft: &Draft, contents: Contents, keys: &[Box<dyn Signer>]) -> anyhow::Result<()> {
    let roots = Roots::of(draft)?;
    changes::refuse(
        contents.root.as_ref().map(|known| &known.metadata),
        contents.targets.as_ref().map(|known| &known.metadata),
    )?;
    let mut used = BTreeSet::new();
    let documents: [(&str, &str, Option<Document>); 2] = [
        ("root", "root.json", contents.root.map(|known| known.document)),
        ("targets", "targets.json", contents.targets.map(|known| known.document)),
    ];
    for (role, file, document) in documents {
        let Some(mut document) = document else { continue };
        // Both roots' keys, for targets too: whoever has not seen the next root yet reads them as well.
        let both =
            [&roots.current, &roots.next].into_iter().flatten().filter_map(|root| root.roles.get(role));
        let allowed: BTreeSet<&String> = both.flat_map(|role| &role.keyids).collect();
        let mut signed = false;
        for key in keys {
            if allowed.contains(&key.key().id().to_owned()) {
                document.sign(key.as_ref())?;
                used.insert(key.key().id().to_owned());
                signed = true;
            }
        }
        if signed {
            draft.folder.put(file, &document.to_bytes()?)?;
        }
    }
    for key in keys {
        if !used.contains(key.key().id()) {
            bail!(
                "the key {} may sign nothing in this draft: it is neither of those that sign roots nor, where there are new releases, of those that sign them",
                key.key().id()
            );
        }
    }
    Ok(())
}

/// How far the draft is.
pub(crate) fn progress(draft: &Draft) -> anyhow::Result<Vec<Progress>> {
    let roots = Roots::of(draft)?;
    let mut all = Vec::new();
    let mut tell = |file, role, version, document: &Document| {
        for (by, authority) in roots.authorities(role) {
            let valid = authority.signed_by(document).len();
            all.push(Progress { file, version, by, valid, threshold: authority.threshold });
        }
    };
    if let Some(root) = draft.root()? {
        tell("root.json", "root", root.metadata.version, &root.document);
    }
    if let Some(targets) = draft.targets()? {
        tell("targets.json", "targets", targets.metadata.version, &targets.document);
    }
    Ok(all)
}
