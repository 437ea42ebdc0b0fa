//! What a draft is compared with. The draft says itself what is current, and whoever has the cloud's machine writes that: before
//! somebody signs, it is believed by a signature alone.

use crate::release::draft::Draft;
use crate::release::folder::{Known, known};
use anyhow::{Context, bail};
use engawa_tuf::metadata::{Root, Targets};
use engawa_tuf::{Authority, Signer};
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
    let Some(current) = draft.current_targets()? else {
        let line = "the draft tells of no former state: everything is listed as new".to_owned();
        return Ok(Baseline { targets: None, line });
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
        Anchor::Keys(keys) => {
            let own: Vec<String> = keys.iter().map(|key| key.key().id().to_owned()).collect();
            let values = keys.iter().map(|key| (key.key().id().to_owned(), key.key().value().clone()));
            let values: BTreeMap<_, _> = values.collect();
            let authority = Authority { role: "targets", keyids: &own, threshold: 1, keys: &values };
            match authority.signed_by(&current.document).first() {
                Some(id) => format!("which the key {id} has signed before"),
                None => {
                    let line = format!(
                        "none of these keys has signed what the draft says to be current (targets.json version {version}): \
                        everything is listed as new; with --root and a root of your own it is compared"
                    );
                    return Ok(Baseline { targets: None, line });
                }
            }
        }
    };
    // An old state, well signed, would hide what has gone since.
    if let (Some(next), false) = (draft.targets()?, matches!(anchor, Anchor::Word))
        && next.metadata.version != version.saturating_add(1)
    {
        bail!(
            "the draft's targets.json is version {}, and what it says to be current is version {version}: make the draft again",
            next.metadata.version
        );
    }
    let line = format!("compared with targets.json version {version}, {by}");
    Ok(Baseline { targets: Some(current.metadata), line })
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
