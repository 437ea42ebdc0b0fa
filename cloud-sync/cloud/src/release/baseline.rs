//! What a draft is compared with. The draft says itself what is current, and whoever has the cloud's machine writes that: before
//! somebody signs, it is believed by a signature alone.

use crate::release::draft::Draft;
use crate::release::folder::{Known, known};
use anyhow::{Context, bail};
use engawa_tuf::metadata::{Root, Targets};
use engawa_tuf::{Authority, Document, Signer};
use std::collections::BTreeMap;
use std::path::Path;

/// By what the state that a draft calls current is believed.
pub(crate) enum Anchor<'a> {
    /// By the draft's word: to look at, not to sign by.
    Word,
    /// By a root that the reader has.
    Root(&'a Path),
    /// By one of these keys, which has signed it before.
    Keys(&'a [Box<dyn Signer>]),
}

/// What a draft is compared with.
pub(crate) struct Baseline {
    /// The root; none: it is compared with nothing.
    pub(crate) root: Option<Root>,
    /// By what the root is believed, for people.
    pub(crate) of_root: Option<String>,
    /// The targets; none: everything is new.
    pub(crate) targets: Option<Targets>,
    /// By what it is believed, for people.
    pub(crate) line: String,
}

/// What `draft` is compared with, as far as it is to be believed.
pub(crate) fn baseline(draft: &Draft, anchor: &Anchor<'_>) -> anyhow::Result<Baseline> {
    let root = match anchor {
        Anchor::Root(path) => Some(chain(draft, path)?),
        Anchor::Word | Anchor::Keys(_) => None,
    };
    let (own, of_root) = match (&root, draft.current_root()?) {
        (Some(root), _) => {
            (Some(root.clone()), Some(format!("compared with version {}, which was checked", root.version)))
        }
        (None, None) => (None, None),
        (None, Some(current)) => root_by(current, anchor),
    };
    if let (Some(own), Some(next)) = (&own, draft.root()?)
        && !matches!(anchor, Anchor::Word)
    {
        follows("root.json", own.version, next.metadata.version)?;
    }
    let known = |targets, line| Baseline { root: own, of_root, targets, line };
    let Some(current) = draft.current_targets()? else {
        let line = "the draft tells of no former state: everything is listed as new".to_owned();
        return Ok(known(None, line));
    };
    let version = current.metadata.version;
    let by = match anchor {
        Anchor::Word => "which nobody has checked: `sign` does, or --root".to_owned(),
        Anchor::Root(path) => {
            let root = root.context("there is no root")?;
            let authority = Authority::of(&root, "targets").context("the root has no role `targets`")?;
            let refused =
                || format!("what the draft says to be current is not what {} leads to", path.display());
            authority.verify(&current.document, "current.targets.json").with_context(refused)?;
            format!(
                "which is signed as root version {} says, to which {} leads",
                root.version,
                path.display()
            )
        }
        Anchor::Keys(keys) => match signed_by(&current.document, "targets", keys) {
            Some(id) => format!("which the key {id} has signed before"),
            None => {
                let line = format!(
                    "none of these keys has signed what the draft says to be current (targets.json version {version}): \
                        everything is listed as new; with --root and a root of your own it is compared"
                );
                return Ok(known(None, line));
            }
        },
    };
    // An old state, well signed, would hide what has gone since.
    if let (Some(next), false) = (draft.targets()?, matches!(anchor, Anchor::Word)) {
        follows("targets.json", version, next.metadata.version)?;
    }
    let line = format!("compared with targets.json version {version}, {by}");
    Ok(known(Some(current.metadata), line))
}

/// Refuses what is not the next version.
fn follows(file: &str, current: u64, next: u64) -> anyhow::Result<()> {
    if next != current.saturating_add(1) {
        bail!(
            "the draft's {file} is version {next}, and what it says to be current is version {current}: make the draft again"
        );
    }
    Ok(())
}

/// The name of one of `keys` that has signed `document`.
fn signed_by(document: &Document, role: &str, keys: &[Box<dyn Signer>]) -> Option<String> {
    let own: Vec<String> = keys.iter().map(|key| key.key().id().to_owned()).collect();
    let values = keys.iter().map(|key| (key.key().id().to_owned(), key.key().value().clone()));
    let values: BTreeMap<_, _> = values.collect();
    Authority { role, keyids: &own, threshold: 1, keys: &values }.signed_by(document).into_iter().next()
}

/// The root that the draft says to be current, as far as it is to be believed without one of the reader's.
fn root_by(current: Known<Root>, anchor: &Anchor<'_>) -> (Option<Root>, Option<String>) {
    let version = current.metadata.version;
    let by = match anchor {
        Anchor::Keys(keys) => match signed_by(&current.document, "root", keys) {
            Some(id) => format!("which the key {id} has signed before"),
            None => {
                let line = format!(
                    "none of these keys has signed what the draft says to be current (root.json version {version}): \
                    with --root and a root of your own it is compared"
                );
                return (None, Some(line));
            }
        },
        Anchor::Word | Anchor::Root(_) => "which nobody has checked: `sign` does, or --root".to_owned(),
    };
    (Some(current.metadata), Some(format!("compared with root.json version {version}, {by}")))
}

/// The root that is current, from one that is trusted, each signed by the keys of the one before it.
fn chain(draft: &Draft, from: &Path) -> anyhow::Result<Root> {
    let bytes = std::fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    let mut root: Known<Root> = known(bytes, "root.json").with_context(|| from.display().to_string())?;
    loop {
        let wanted = root.metadata.version.saturating_add(1);
        let name = format!("{wanted}.root.json");
        let Some(next) = draft.folder.read::<Root>(&name)? else { break };
        for by in [&root.metadata, &next.metadata] {
            let authority =
                Authority::of(by, "root").with_context(|| format!("{name} has no role `root`"))?;
            authority.verify(&next.document, &name)?;
        }
        if next.metadata.version != wanted {
            bail!("{name} of the draft is version {}", next.metadata.version);
        }
        root = next;
    }
    if let Some(current) = draft.current_root()?
        && current.metadata != root.metadata
    {
        bail!(
            "what the draft says to be the current root (version {}) is not what {} leads to (version {})",
            current.metadata.version,
            from.display(),
            root.metadata.version
        );
    }
    Ok(root.metadata)
}
