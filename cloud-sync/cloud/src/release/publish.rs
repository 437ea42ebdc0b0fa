//! Publishing a draft: judged first as a gateway would, by the gateway's own code, then written in an order in which whoever
//! reads in between finds a whole repository. Cut short, it is mended by publishing again.

use crate::release::audit::{self, Publication};
use crate::release::changes;
use crate::release::draft::{Draft, copy};
use crate::release::folder::{Folder, Known, pieces};
use crate::release::online::{By, Online, meta, prune, sign};
use crate::release::retire::vanished;
use anyhow::{Context, bail};
use engawa_cloud::rollout::plan::Kind;
use engawa_tuf::metadata::{Metadata, Root, TargetFile, Targets};
use engawa_tuf::{Authority, Client, Target};
use jiff::Timestamp as Instant;
use std::collections::{BTreeMap, BTreeSet};

/// What was published.
pub(crate) struct Published {
    /// The root's version.
    pub(crate) root: u64,
    /// The targets' version.
    pub(crate) targets: u64,
    /// How many files came.
    pub(crate) files: usize,
    /// False: it was published before.
    pub(crate) changed: bool,
}

/// Which versions somebody has.
pub(crate) type InUse<'a> = &'a dyn Fn() -> anyhow::Result<BTreeSet<(Kind, String)>>;

/// Publishes `draft` into `repository`. `in_use` is asked where releases go that were not revoked, and none of them is in it;
/// without it they go whoever has them. `who` publishes, for the audit.
pub(crate) fn publish(
    draft: &Draft,
    repository: &Folder,
    online: &Online,
    in_use: Option<InUse<'_>>,
    by: By,
    who: &str,
) -> anyhow::Result<Published> {
    let now = by.now;
    let _lock = repository.lock()?;
    audit::settle(repository)?;
    let current = repository.root()?;
    let next_root = pending_root(draft, current.as_ref())?;
    let targets = pending_targets(draft, repository)?;
    let root = match (&next_root, &current) {
        (Some(next), _) => &next.metadata,
        (None, Some(current)) => &current.metadata,
        (None, None) => bail!(
            "{} has no root.json, and the repository has none: begin with `engawa-cloud release init`",
            draft.folder.dir().display()
        ),
    };
    changes::refuse(
        next_root.as_ref().map(|known| &known.metadata),
        targets.as_ref().map(|known| &known.metadata),
    )?;
    if next_root.is_none() && targets.is_none() {
        // What was left to do where the last time was cut short.
        tidy(repository, online, root)?;
        let version = repository.targets()?.map_or(0, |known| known.metadata.version);
        return Ok(Published { root: root.version, targets: version, files: 0, changed: false });
    }
    if let (Some(next), Some(in_use)) = (&targets, in_use) {
        spare(draft, repository, &next.metadata, in_use)?;
    }
    let before = repository.targets()?.map(|known| known.metadata);
    if let Some(next) = &targets {
        audit::refuse_again(repository, &audit::new_manifests(before.as_ref(), &next.metadata))?;
    }
    // A gateway that has not seen the next root takes the timestamp all the same.
    let roots: Vec<&Root> = current
        .iter()
        .map(|known| &known.metadata)
        .chain(next_root.iter().map(|known| &known.metadata))
        .collect();
    let of_targets = targets.as_ref().map(|known| meta(known.metadata.version, &known.bytes));
    let signed = sign(repository, online, &roots, of_targets, by)?;
    let mut over = BTreeMap::from([("timestamp.json".to_owned(), signed.timestamp.clone())]);
    over.extend(signed.snapshot.clone());
    over.extend(
        targets.iter().map(|known| (format!("{}.targets.json", known.metadata.version), known.bytes.clone())),
    );
    over.extend(
        next_root.iter().map(|known| (format!("{}.root.json", known.metadata.version), known.bytes.clone())),
    );
    let client = judge(repository, &over, current.as_ref(), next_root.as_ref(), now)?;
    let known = before.as_ref().map(|before| before.targets.clone()).unwrap_or_default();
    let files = put_targets(draft, repository, &client, &known)?;
    let publication = Publication {
        who,
        now,
        draft,
        current_root: current.as_ref(),
        next_root: next_root.as_ref(),
        current: before.as_ref(),
        next: targets.as_ref(),
        signed: &signed,
    };
    publication.announce(repository)?;
    // Where the current root would not take the new targets (a key of theirs is lost), the next root is to be seen first;
    // else last, for then there is no moment at which one who reads finds what he can't take.
    let old_takes = |root: &Known<Root>| {
        targets.as_ref().is_none_or(|targets| {
            Authority::of(&root.metadata, "targets")
                .is_some_and(|authority| authority.verify(&targets.document, "targets.json").is_ok())
        })
    };
    let root_first = current.as_ref().is_none_or(|current| !old_takes(current));
    let put = |name: &str| over.get(name).map_or(Ok(()), |bytes| repository.put(name, bytes));
    let root_name = next_root.as_ref().map(|known| format!("{}.root.json", known.metadata.version));
    if let Some(name) = root_name.as_deref().filter(|_| root_first) {
        put(name)?;
    }
    if let Some(known) = &targets {
        put(&format!("{}.targets.json", known.metadata.version))?;
    }
    if let Some((name, _)) = &signed.snapshot {
        put(name)?;
    }
    put("timestamp.json")?;
    if let Some(name) = root_name.as_deref().filter(|_| !root_first) {
        put(name)?;
    }
    audit::settle(repository)?;
    tidy(repository, online, root)?;
    let targets = client
        .snapshot()
        .and_then(|snapshot| snapshot.meta.get("targets.json"))
        .map_or(0, |meta| meta.version);
    Ok(Published { root: root.version, targets, files, changed: true })
}

/// Refuses where a release would go that somebody has and nobody has revoked: between the draft and now a gateway may have got
/// it, or a rollout of it may have begun.
fn spare(draft: &Draft, repository: &Folder, next: &Targets, in_use: InUse<'_>) -> anyhow::Result<()> {
    let revoked = draft.revoked()?;
    let Some(current) = repository.targets()? else { return Ok(()) };
    let mut gone = vanished(&current.metadata, next);
    gone.retain(|gone| !revoked.contains(&gone.path));
    if gone.is_empty() {
        return Ok(());
    }
    let in_use = in_use()?;
    // Of a kind that is not known here nobody knows who has it.
    let used = |kind: Option<Kind>, version: &str| {
        kind.is_none_or(|kind| in_use.contains(&(kind, version.to_owned())))
    };
    gone.retain(|gone| used(gone.kind, &gone.version));
    if gone.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = gone.iter().map(|gone| gone.folder()).collect();
    bail!(
        "{} would go, and a gateway or a rollout has it by now; nothing was published: make the draft again (`engawa-cloud release retire` keeps what is in use), or say --even-in-use",
        names.join(", ")
    )
}

/// Removes what nobody needs any more.
fn tidy(repository: &Folder, online: &Online, root: &Root) -> anyhow::Result<()> {
    let mut former = Vec::new();
    for version in repository.versions(Root::KIND)? {
        former.extend(repository.read::<Root>(&format!("{version}.root.json"))?.map(|known| known.metadata));
    }
    online.forget(&former, root)?;
    prune(repository)
}

/// The draft's root, if it is the next one.
fn pending_root(draft: &Draft, current: Option<&Known<Root>>) -> anyhow::Result<Option<Known<Root>>> {
    let Some(next) = draft.root()? else { return Ok(None) };
    let Some(current) = current else { return Ok(Some(next)) };
    let (is, wanted) = (next.metadata.version, current.metadata.version.saturating_add(1));
    if next.bytes == current.bytes {
        return Ok(None);
    }
    if is != wanted {
        bail!(
            "the draft's root is version {is}, and the repository's next one is {wanted}: somebody has published another meanwhile; make the draft again"
        );
    }
    Ok(Some(next))
}

/// The draft's targets, if they are the next ones.
fn pending_targets(draft: &Draft, repository: &Folder) -> anyhow::Result<Option<Known<Targets>>> {
    let Some(next) = draft.targets()? else { return Ok(None) };
    let Some(current) = repository.targets()? else { return Ok(Some(next)) };
    let (is, wanted) = (next.metadata.version, current.metadata.version.saturating_add(1));
    if next.bytes == current.bytes {
        return Ok(None);
    }
    if is != wanted {
        bail!(
            "the draft's targets are version {is}, and the repository's next ones are {wanted}: somebody has published others meanwhile; make the draft again"
        );
    }
    Ok(Some(next))
}

/// Whether gateways will take it: one with the repository's first root, and one that is up to date.
fn judge(
    repository: &Folder,
    over: &BTreeMap<String, Vec<u8>>,
    current: Option<&Known<Root>>,
    next: Option<&Known<Root>>,
    now: Instant,
) -> anyhow::Result<Client> {
    let refused = "gateways would not take this, and nothing was published";
    let first = repository.versions("root")?.first().map(|first| format!("{first}.root.json"));
    let first = first.map(|name| repository.bytes(&name)).transpose()?.flatten();
    let first = first.or_else(|| next.map(|next| next.bytes.clone())).context("there is no root")?;
    let client =
        repository.client(BTreeMap::from([("root.json".to_owned(), first)]), over, now).context(refused)?;
    if let Some(current) = current {
        let mut kept = repository.kept()?;
        kept.insert("root.json".to_owned(), current.bytes.clone());
        repository.client(kept, over, now).context(refused)?;
    }
    Ok(client)
}

/// Brings new files of targets into the repository, where nobody looks for them before metadata names them.
fn put_targets(
    draft: &Draft,
    repository: &Folder,
    client: &Client,
    known: &BTreeMap<String, TargetFile>,
) -> anyhow::Result<usize> {
    let mut came = 0;
    for target in client.targets() {
        let to = repository.target(&target.file);
        let from = draft.folder.target(&target.path);
        let is_there = std::fs::metadata(&to).is_ok_and(|found| found.len() == target.length);
        // What was published before is for `verify` to read; what is new is read, whoever has put it there.
        let is_old = known.contains_key(&target.path) && !from.exists();
        if is_there && (is_old || is_whole(&to, &target)) {
            continue;
        }
        if !from.exists() {
            bail!(
                "the target {} is neither in the repository nor in the draft ({}): bring the draft with all its files",
                target.path,
                from.display()
            );
        }
        copy(&from, &to, &target)?;
        came += 1;
    }
    Ok(came)
}

/// Whether the file is what was signed.
fn is_whole(path: &std::path::Path, target: &Target) -> bool {
    let mut check = target.check();
    pieces(path, |piece| Ok(check.update(piece)?)).is_ok() && check.finish().is_ok()
}
