//! A draft: what is to be published, on its way between those who sign it.

use crate::release::counter;
use crate::release::folder::{Folder, Known, read, write, write_with};
use anyhow::{Context, bail};
use engawa_tuf::Document;
use engawa_tuf::metadata::{Metadata, Root, TargetFile, Targets};
use jiff::{SignedDuration, Timestamp as Instant};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

/// The folder of a draft.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// What is in it.
    pub(crate) folder: Folder,
}

/// Where a draft's revocations are noted, beside its metadata.
const REVOKED: &str = "revoked.json";
/// How long targets are good that are signed now, days.
pub(crate) const TARGETS_DAYS: i64 = 365;

impl Draft {
    /// At `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { folder: Folder::new(dir) }
    }

    /// Refuses where a draft is begun already.
    pub(crate) fn is_free(&self) -> anyhow::Result<()> {
        for name in ["root.json", "targets.json"] {
            if self.folder.metadata(name).exists() {
                bail!(
                    "{} has a draft already: publish or remove it, or choose another folder",
                    self.folder.dir().display()
                );
            }
        }
        Ok(())
    }

    /// Begins, or goes on with, a draft of the next state of `repository`. What is current goes with it, so that whoever signs
    /// elsewhere sees what changes.
    pub(crate) fn begin(&self, repository: &Folder) -> anyhow::Result<()> {
        self.folder.make()?;
        let root = repository.some_root()?;
        self.folder.put("current.root.json", &root.bytes)?;
        // The way there, for whoever has an older root to begin with.
        for version in repository.versions(Root::KIND)? {
            let name = format!("{version}.root.json");
            if let Some(bytes) = repository.bytes(&name)? {
                self.folder.put(&name, &bytes)?;
            }
        }
        if let Some(targets) = repository.targets()? {
            self.folder.put("current.targets.json", &targets.bytes)?;
        }
        Ok(())
    }

    /// The root that is to come.
    pub(crate) fn root(&self) -> anyhow::Result<Option<Known<Root>>> {
        self.folder.read("root.json")
    }

    /// The root that is there.
    pub(crate) fn current_root(&self) -> anyhow::Result<Option<Known<Root>>> {
        self.folder.read("current.root.json")
    }

    /// The targets that are to come.
    pub(crate) fn targets(&self) -> anyhow::Result<Option<Known<Targets>>> {
        self.folder.read("targets.json")
    }

    /// The targets that are there.
    pub(crate) fn current_targets(&self) -> anyhow::Result<Option<Known<Targets>>> {
        self.folder.read("current.targets.json")
    }

    /// The targets that are to come (true), or those that are there (false).
    pub(crate) fn targets_or_current(&self, repository: &Folder) -> anyhow::Result<Option<(Targets, bool)>> {
        if let Some(own) = self.targets()? {
            return Ok(Some((own.metadata, true)));
        }
        Ok(repository.targets()?.map(|known| (known.metadata, false)))
    }

    /// Puts a root there, which nobody has signed.
    pub(crate) fn put_root(&self, root: &Root) -> anyhow::Result<()> {
        self.put("root.json", root)
    }

    /// Puts targets there, which nobody has signed.
    pub(crate) fn put_targets(&self, targets: &Targets) -> anyhow::Result<()> {
        self.put("targets.json", targets)
    }

    fn put<T: Metadata>(&self, name: &str, metadata: &T) -> anyhow::Result<()> {
        self.folder.put(name, &Document::new(metadata)?.to_bytes()?)
    }

    /// Notes paths of targets as revoked: they go whoever has them.
    pub(crate) fn note_revoked(&self, paths: Vec<String>) -> anyhow::Result<()> {
        let mut all = self.revoked()?;
        all.extend(paths);
        self.folder.put(REVOKED, &serde_json::to_vec(&all)?)
    }

    /// Paths that were noted as revoked. Nobody has signed that: it only spares the question who has them.
    pub(crate) fn revoked(&self) -> anyhow::Result<BTreeSet<String>> {
        let path = self.folder.metadata(REVOKED);
        let bytes = read(&path)?;
        let all = bytes.map(|bytes| {
            serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is no list of paths: remove it, and revoke again", path.display())
            })
        });
        Ok(all.transpose()?.unwrap_or_default())
    }

    /// The targets to be edited: those of the draft, or the next version of the repository's.
    pub(crate) fn edit(&self, repository: &Folder, now: Instant) -> anyhow::Result<Targets> {
        self.begin(repository)?;
        let expires = now + SignedDuration::from_hours(24 * TARGETS_DAYS);
        let mut targets = match self.targets_or_current(repository)? {
            Some((targets, true)) => targets,
            Some((targets, false)) => targets.next(expires),
            None => bail!(
                "the repository in {} has no targets: publish its first draft",
                repository.dir().display()
            ),
        };
        // Nobody here makes any: whoever had the repository did, and they don't outlive the next release.
        targets.delegations = None;
        counter::keep(&mut targets)?;
        Ok(targets)
    }

    /// Puts a file there as the target `path`.
    pub(crate) fn add(
        &self,
        targets: &mut Targets,
        path: &str,
        bytes: &[u8],
        custom: Option<Value>,
    ) -> anyhow::Result<()> {
        write(&self.folder.target(path), bytes)?;
        let hash =
            data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        let hashes = BTreeMap::from([("sha256".to_owned(), hash)]);
        let entry = TargetFile { length: bytes.len() as u64, hashes, custom, other: serde_json::Map::new() };
        targets.targets.insert(path.to_owned(), entry);
        Ok(())
    }
}

/// Takes a version out of `targets`. Gives the paths that are gone.
pub(crate) fn revoke(targets: &mut Targets, version: &str, triple: Option<&str>) -> Vec<String> {
    let is = |path: &str| {
        let parts: Vec<&str> = path.split('/').collect();
        matches!(parts.as_slice(), [_, of, own, _] if *own == version && triple.is_none_or(|triple| *of == triple))
    };
    let gone: Vec<String> = targets.targets.keys().filter(|path| is(path)).cloned().collect();
    for path in &gone {
        targets.targets.remove(path);
    }
    gone
}

/// Copies a target into the repository, if its bytes are those that `target` means.
pub(crate) fn copy(from: &Path, to: &Path, target: &engawa_tuf::Target) -> anyhow::Result<()> {
    write_with(to, |file| {
        let mut check = target.check();
        crate::release::folder::pieces(from, |piece| {
            check.update(piece)?;
            file.write_all(piece).with_context(|| format!("writing {}", to.display()))
        })?;
        check.finish().with_context(|| format!("{} is not what was signed", from.display()))
    })
}
