//! Who published, revoked, retired what, and who changed the root: a file of lines in the repository's folder, since whoever
//! publishes may have no database at hand. The cloud takes the lines up into its own audit, each once.
//!
//! Lines are laid beside the file before the repository changes, and added to it once that has: cut short in between, whoever
//! takes the repository next adds those whose metadata is current, and drops those that never came to be. Nothing takes lines
//! out again: it grows by some hundred bytes a release. It has no signature: it can be believed as far as the folder.

use crate::release::draft::Draft;
use crate::release::folder::{Folder, Known, read, write};
use crate::release::online::Signed;
use crate::release::retire::vanished;
use anyhow::{Context, bail};
use engawa_cloud::rollout::state::Entry;
use engawa_release::name;
use engawa_tuf::metadata::{Root, Targets};
use engawa_tuf::{Authority, Document};
use jiff::Timestamp as Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The file, in the repository's folder, where gateways can't ask for it.
const FILE: &str = "audit.jsonl";
/// What is about to be added.
const PENDING: &str = "audit.pending";

/// A line of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// When, µs since 1970.
    at_micros: i64,
    /// Who did it.
    who: String,
    /// What: `published`, `revoked`, `retired`, `signed_anew`, `root`, `renewed`.
    what: String,
    /// Which release, which versions of metadata, by which keys.
    detail: String,
    /// The path of the release's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The SHA-256 of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    /// The metadata file, and the SHA-256 of its bytes, by which it holds.
    of: (String, String),
}

impl Line {
    /// A name of its own, by which it is taken up once.
    fn id(&self) -> anyhow::Result<String> {
        Ok(sha256(&serde_json::to_vec(self)?))
    }

    fn entry(self) -> Entry {
        let plain = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Entry {
            at_micros: self.at_micros,
            rollout: String::new(),
            gateway: String::new(),
            who: plain(self.who),
            what: plain(self.what),
            detail: plain(self.detail),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// Where it is.
pub(crate) fn path(repository: &Folder) -> PathBuf {
    repository.dir().join(FILE)
}

/// All lines, oldest first. A line that a power cut has torn is passed over: what it said is there again.
pub(crate) fn lines(repository: &Folder) -> anyhow::Result<Vec<Line>> {
    let bytes = read(&path(repository))?.unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// All of it for the cloud's audit: a name of its own, and what is entered.
pub(crate) fn entries(repository: &Folder) -> anyhow::Result<Vec<(String, Entry)>> {
    lines(repository)?.into_iter().map(|line| Ok((line.id()?, line.entry()))).collect()
}

/// What is new in it.
pub(crate) struct News {
    /// All of it: a name of its own, and what is entered.
    pub(crate) entries: Vec<(String, Entry)>,
    /// How long it is by now, bytes.
    pub(crate) length: u64,
}

/// All of it where it is not as long as it was (`length`). What was about to be added is added first, if it came to be.
pub(crate) fn news(repository: &Folder, length: u64) -> anyhow::Result<Option<News>> {
    if repository.dir().join(PENDING).exists() {
        let _lock = repository.lock()?;
        settle(repository)?;
    }
    let found = match fs::metadata(path(repository)) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => {
            return Err(error).with_context(|| format!("reading {}", path(repository).display()));
        }
    };
    if found == length {
        return Ok(None);
    }
    Ok(Some(News { entries: entries(repository)?, length: found }))
}

/// Refuses a release whose version was published before with other content: who has the old one would take it for the new one.
pub(crate) fn refuse_again(repository: &Folder, manifests: &[(&str, &str)]) -> anyhow::Result<()> {
    if manifests.is_empty() {
        return Ok(());
    }
    let lines = lines(repository)?;
    for (path, digest) in manifests {
        let before = lines.iter().find(|line| {
            line.path.as_deref() == Some(path)
                && line.manifest.as_deref().is_some_and(|before| before != *digest)
        });
        if let Some(before) = before {
            bail!(
                "{} was published before with other content (at {}, by {}): gateways that have it would take this for the same; give it another version",
                path.trim_end_matches("/manifest.json"),
                Instant::from_microsecond(before.at_micros)
                    .map_or_else(|_| "-".to_owned(), |at| format!("{at:.0}")),
                before.who
            );
        }
    }
    Ok(())
}

/// Releases that are in `next` and not, or with another manifest, in `current`: path, SHA-256 of the manifest.
pub(crate) fn new_manifests<'a>(current: Option<&Targets>, next: &'a Targets) -> Vec<(&'a str, &'a str)> {
    let of = |targets: &'a Targets| {
        targets.targets.iter().filter_map(|(path, entry)| {
            path.ends_with(&format!("/{}", name::MANIFEST))
                .then_some((path.as_str(), entry.hashes.get("sha256")?.as_str()))
        })
    };
    let known = |path: &str| current?.targets.get(path)?.hashes.get("sha256").map(String::as_str);
    of(next).filter(|(path, digest)| known(path) != Some(digest)).collect()
}

/// A publication that is about to be.
pub(crate) struct Publication<'a> {
    /// Who publishes.
    pub(crate) who: &'a str,
    /// When.
    pub(crate) now: Instant,
    /// What is published.
    pub(crate) draft: &'a Draft,
    /// The root that is there.
    pub(crate) current_root: Option<&'a Known<Root>>,
    /// The root that is to come.
    pub(crate) next_root: Option<&'a Known<Root>>,
    /// The targets that are there.
    pub(crate) current: Option<&'a Targets>,
    /// The targets that are to come.
    pub(crate) next: Option<&'a Known<Targets>>,
    /// What the cloud's own keys have signed for it.
    pub(crate) signed: &'a Signed,
}

impl Publication<'_> {
    /// Lays down what is about to be.
    pub(crate) fn announce(&self, repository: &Folder) -> anyhow::Result<()> {
        let lines: Vec<Line> = self.root().into_iter().chain(self.releases()?).collect();
        write(&repository.dir().join(PENDING), &serde_json::to_vec(&lines)?)
    }

    fn line(&self, what: &str, detail: String, of: (String, &[u8])) -> Line {
        Line {
            at_micros: self.now.as_microsecond(),
            who: self.who.to_owned(),
            what: what.to_owned(),
            detail,
            path: None,
            manifest: None,
            of: (of.0, sha256(of.1)),
        }
    }

    /// Who has signed a document of `role`, by the root that is there and the one that is to come.
    fn signers(&self, role: &str, document: &Document) -> String {
        let roots = self.current_root.into_iter().chain(self.next_root);
        let mut ids = BTreeSet::new();
        for root in roots {
            if let Some(authority) = Authority::of(&root.metadata, role) {
                ids.extend(authority.signed_by(document).into_iter().map(|id| id.to_string()));
            }
        }
        ids.into_iter().collect::<Vec<_>>().join(", ")
    }

    fn root(&self) -> Option<Line> {
        let next = self.next_root?;
        let version = next.metadata.version;
        let mut words = vec![format!("root {version}, good until {:.0}", next.metadata.expires)];
        for (role, entry) in &next.metadata.roles {
            let before = self.current_root.and_then(|root| root.metadata.roles.get(role));
            let had = |id: &String| before.is_some_and(|role| role.keyids.contains(id));
            for id in entry.keyids.iter().filter(|id| !had(id)) {
                words.push(format!("{role} key {id} comes"));
            }
            let gone = before.into_iter().flat_map(|role| &role.keyids);
            for id in gone.filter(|id| !entry.keyids.contains(id)) {
                words.push(format!("{role} key {id} goes"));
            }
            if before.map(|role| role.threshold) != Some(entry.threshold) {
                words.push(format!("{} must sign {role}", entry.threshold));
            }
        }
        words.push(format!("signed by {}", self.signers("root", &next.document)));
        Some(self.line("root", words.join("; "), (format!("{version}.root.json"), &next.bytes)))
    }

    fn releases(&self) -> anyhow::Result<Vec<Line>> {
        let Some(next) = self.next else { return Ok(Vec::new()) };
        let version = next.metadata.version;
        let of = || (format!("{version}.targets.json"), next.bytes.as_slice());
        let timestamp: engawa_tuf::metadata::Timestamp =
            crate::release::folder::known(self.signed.timestamp.clone(), "timestamp.json")?.metadata;
        let snapshot = timestamp.meta.get("snapshot.json").map_or(0, |meta| meta.version);
        let by = format!(
            "targets {version}, snapshot {snapshot}, timestamp {}; signed by {}",
            timestamp.version,
            self.signers("targets", &next.document)
        );
        let mut lines = Vec::new();
        let about = |targets: Option<&Targets>, path: &str| {
            let custom = targets.and_then(|targets| targets.targets.get(path)?.custom.clone());
            let number = |name: &str| {
                let known = custom.as_ref().and_then(|custom| custom.get(name)?.as_u64());
                known.map_or_else(|| "-".to_owned(), |number| number.to_string())
            };
            let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
            format!("{folder}, number {}, floor {}; {by}", number("number"), number("floor"))
        };
        for (path, digest) in new_manifests(self.current, &next.metadata) {
            let mut line = self.line("published", about(Some(&next.metadata), path), of());
            (line.path, line.manifest) = (Some(path.to_owned()), Some(digest.to_owned()));
            lines.push(line);
        }
        let revoked = self.draft.revoked()?;
        for gone in self.current.map(|current| vanished(current, &next.metadata)).unwrap_or_default() {
            let what = if revoked.contains(&gone.path) { "revoked" } else { "retired" };
            lines.push(self.line(what, about(self.current, &gone.path), of()));
        }
        if lines.is_empty() {
            lines.push(self.line("signed_anew", format!("no release comes or goes; {by}"), of()));
        }
        Ok(lines)
    }
}

/// Adds what was about to be, as far as it came to be. Under the repository's lock.
pub(crate) fn settle(repository: &Folder) -> anyhow::Result<()> {
    let pending = repository.dir().join(PENDING);
    let Some(bytes) = read(&pending)? else { return Ok(()) };
    let pended: Vec<Line> = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{} is no list of lines for the audit: enter by hand what it says, and remove it",
            pending.display()
        )
    })?;
    let targets = repository.targets()?.map(|known| sha256(&known.bytes));
    let mut held = Vec::new();
    for line in pended {
        let (file, digest) = &line.of;
        let holds = if file.ends_with(".root.json") {
            repository.bytes(file)?.is_some_and(|bytes| sha256(&bytes) == *digest)
        } else {
            targets.as_ref() == Some(digest)
        };
        if holds {
            held.push(line);
        }
    }
    add(repository, held)?;
    fs::remove_file(&pending).with_context(|| format!("removing {}", pending.display()))
}

/// The timestamp was signed anew by hand.
pub(crate) fn renewed(repository: &Folder, who: &str, now: Instant, is_right: bool) -> anyhow::Result<()> {
    let _lock = repository.lock()?;
    let Some(timestamp) = repository.timestamp()? else { return Ok(()) };
    let clock = if is_right { "; this machine's clock was said to be right" } else { "" };
    let detail = format!(
        "timestamp {}, good until {:.0}{clock}",
        timestamp.metadata.version, timestamp.metadata.expires
    );
    let of = ("timestamp.json".to_owned(), sha256(&timestamp.bytes));
    let line = Line {
        at_micros: now.as_microsecond(),
        who: who.to_owned(),
        what: "renewed".to_owned(),
        detail,
        path: None,
        manifest: None,
        of,
    };
    add(repository, vec![line])
}

/// Adds lines that are not there yet, durably.
fn add(repository: &Folder, new: Vec<Line>) -> anyhow::Result<()> {
    let path = path(repository);
    let known = lines(repository)?;
    let mut text = Vec::new();
    for line in new.into_iter().filter(|line| !known.contains(line)) {
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    if text.is_empty() {
        return Ok(());
    }
    // A line that was torn ends here.
    if read(&path)?.is_some_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n')) {
        text.insert(0, b'\n');
    }
    let writing = || format!("writing {}", path.display());
    let mut file =
        OpenOptions::new().append(true).create(true).mode(0o644).open(&path).with_context(writing)?;
    file.write_all(&text).and_then(|()| file.sync_all()).with_context(writing)?;
    File::open(repository.dir()).and_then(|folder| folder.sync_all()).with_context(writing)
}
