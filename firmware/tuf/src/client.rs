//! The client: what to fetch next, what to keep, what may be trusted (TUF specification 1.0.33, 5).
//!
//! It does nothing by itself. [`Client::next`] says what is to be done, [`Client::got`] takes what was fetched, and so on until
//! [`Step::Done`]; [`drive`] is that loop. What is to be kept must be kept durably before the next step: it is what later
//! rollbacks are judged by.

use crate::error::Fault;
use crate::limits::Limits;
use crate::metadata::{MetaFile, Root, Snapshot, Targets, Timestamp};
use crate::search::{Edge, Search};
use crate::target::{Target, check_path};
use crate::trusted::Trusted;
use jiff::Timestamp as Instant;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Where a repository has its metadata; names in [`Step::Fetch`] are below it.
pub const METADATA_FOLDER: &str = "metadata";
/// Where a repository has its targets; [`Target::file`] is below it.
pub const TARGETS_FOLDER: &str = "targets";

/// How many searches' results are remembered. At the bound the oldest path in the alphabet is forgotten: it can be searched again.
const MOST_FOUND: usize = 1024;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Fetch this file from the repository's folder of metadata, at most so many bytes (one more is refused), and tell it
    /// by [`Client::got`].
    Fetch {
        /// The file's name, such as `5.root.json`; no `/` is in it.
        name: String,
        /// How long it may be, bytes.
        most: usize,
    },
    /// Keep this durably: it is trusted from now on.
    Keep {
        /// Under which name, such as `root.json`; no `/` is in it.
        file: String,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// Everything is done: metadata is up to date, and the target that was sought is found or there is none.
    Done,
}

/// What signed metadata says of a file of metadata before it is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Its SHA-256, hex.
    pub sha256: String,
    /// How long it is, bytes, where that is said.
    pub length: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Root,
    Timestamp,
    Snapshot,
    Targets,
    Search,
    Done,
}

/// A client of a repository, for one update.
#[derive(Debug)]
pub struct Client {
    files: BTreeMap<String, Arc<[u8]>>,
    trusted: Trusted,
    phase: Phase,
    keep: VecDeque<Step>,
    asked: Option<(String, usize)>,
    announced: Option<Announced>,
    answer: Option<Option<Vec<u8>>>,
    rotations: u32,
    refreshed: bool,
    failed: Option<Fault>,
    search: Option<Search>,
    found: BTreeMap<String, Target>,
}

impl Client {
    /// From the files that were kept, by name (`root.json` at least), at the time `now`, which holds for the whole update.
    /// Others than `root.json` may be damaged or lacking: they are fetched again.
    ///
    /// # Errors
    /// There is no root, or it is not one that has signed itself.
    pub fn open(files: BTreeMap<String, Vec<u8>>, now: Instant, limits: Limits) -> Result<Self, Fault> {
        let root = files.get("root.json").ok_or(Fault::NoRoot)?;
        let trusted = Trusted::new(root, now, limits)?;
        Ok(Self {
            files: files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect(),
            trusted,
            phase: Phase::Root,
            keep: VecDeque::new(),
            asked: None,
            announced: None,
            answer: None,
            rotations: 0,
            refreshed: false,
            failed: None,
            search: None,
            found: BTreeMap::new(),
        })
    }

    /// What is to be done next. Asked again before it is done, it says the same.
    ///
    /// # Errors
    /// Something is not to be trusted; the update ends here, and says the same from now on. What was to be kept before stays
    /// trusted.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Step, Fault> {
        loop {
            if let Some(step) = self.keep.pop_front() {
                return Ok(step);
            }
            if let Some(fault) = &self.failed {
                return Err(fault.clone());
            }
            if let (Some((name, most)), None) = (&self.asked, &self.answer) {
                return Ok(Step::Fetch { name: name.clone(), most: *most });
            }
            if self.phase == Phase::Done {
                return Ok(Step::Done);
            }
            if let Err(fault) = self.advance() {
                self.failed = Some(fault);
            }
        }
    }

    /// What was fetched; `None`: the repository has no such file. Whoever could not reach the repository calls nothing, and
    /// ends here or tries again. Without a question it is not heard.
    pub fn got(&mut self, bytes: Option<Vec<u8>>) {
        if self.asked.is_some() {
            self.answer = Some(bytes);
        }
    }

    /// What is known of the file that is to be fetched next, for whoever keeps what has come of it when the line breaks. `None`:
    /// nobody has signed anything of it yet, as of a root or the timestamp.
    #[must_use]
    pub fn announced(&self) -> Option<&Announced> {
        self.announced.as_ref().filter(|_| self.asked.is_some())
    }

    /// Begins the search for a target; [`Client::next`] goes on with it. A client whose metadata is not up to date yet does
    /// that first.
    ///
    /// # Errors
    /// The path could lead elsewhere.
    pub fn seek(&mut self, path: &str) -> Result<(), Fault> {
        check_path(path)?;
        self.search =
            Some(Search::new(path, self.trusted.root.consistent_snapshot, self.trusted.limits.delegations));
        if self.refreshed {
            // Metadata at the top is good, whatever became of an earlier search.
            (self.failed, self.asked, self.answer) = (None, None, None);
            self.phase = Phase::Search;
        }
        Ok(())
    }

    /// A target: one that stands in the metadata at the top, or that was sought and found. `None` before [`Step::Done`].
    #[must_use]
    pub fn target(&self, path: &str) -> Option<Target> {
        if let Some(found) = self.found.get(path) {
            return Some(found.clone());
        }
        let targets = self.trusted.targets.as_ref().filter(|_| self.refreshed)?;
        Target::new(path, targets.targets.get(path)?, "targets", self.trusted.root.consistent_snapshot).ok()
    }

    /// All targets in the metadata at the top. None before [`Step::Done`].
    pub fn targets(&self) -> impl Iterator<Item = Target> + '_ {
        let targets = self.trusted.targets.as_ref().filter(|_| self.refreshed);
        targets.into_iter().flat_map(|targets| &targets.targets).filter_map(|(path, entry)| {
            Target::new(path, entry, "targets", self.trusted.root.consistent_snapshot).ok()
        })
    }

    /// The root that is trusted.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.trusted.root
    }

    /// The timestamp that is trusted.
    #[must_use]
    pub fn timestamp(&self) -> Option<&Timestamp> {
        self.trusted.timestamp.as_ref()
    }

    /// The targets at the top that are trusted. None before [`Step::Done`].
    #[must_use]
    pub fn targets_metadata(&self) -> Option<&Targets> {
        self.trusted.targets.as_deref().filter(|_| self.refreshed)
    }

    /// The snapshot that is trusted.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.trusted.snapshot.as_ref()
    }

    fn ask(&mut self, name: String, most: usize) {
        (self.asked, self.announced) = (Some((name, most)), None);
    }

    /// The file of metadata that `meta` speaks of.
    fn ask_for(&mut self, role: &str, meta: &MetaFile, most: usize) {
        let sha256 = meta.hashes.as_ref().and_then(|hashes| hashes.get("sha256"));
        self.asked = Some((self.name(role, meta), meta_most(meta, most)));
        self.announced = sha256.map(|sha256| Announced { sha256: sha256.clone(), length: meta.length });
    }

    /// What was fetched, with its name. `Ok(None)`: nothing was asked yet.
    fn answered(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        let answer = self.answer.take()?;
        let (name, _) = self.asked.take()?;
        Some((name, answer))
    }

    fn keep(&mut self, file: &str, bytes: Vec<u8>) {
        let bytes: Arc<[u8]> = bytes.into();
        self.files.insert(file.to_owned(), Arc::clone(&bytes));
        self.keep.push_back(Step::Keep { file: file.to_owned(), bytes });
    }

    fn advance(&mut self) -> Result<(), Fault> {
        match self.phase {
            Phase::Root => self.advance_root(),
            Phase::Timestamp => self.advance_timestamp(),
            Phase::Snapshot => self.advance_snapshot(),
            Phase::Targets => self.advance_targets(),
            Phase::Search => self.advance_search(),
            Phase::Done => Ok(()),
        }
    }

    fn advance_root(&mut self) -> Result<(), Fault> {
        match self.answered() {
            None if self.rotations < self.trusted.limits.rotations => {
                self.ask(
                    format!("{}.root.json", self.trusted.root.version.saturating_add(1)),
                    self.trusted.limits.root,
                );
                Ok(())
            }
            Some((name, Some(bytes))) => {
                self.trusted.update_root(&bytes, &name)?;
                self.rotations += 1;
                self.keep("root.json", bytes);
                Ok(())
            }
            Some((_, None)) | None => {
                self.trusted.check_root()?;
                if let Some(bytes) = self.files.get("timestamp.json").cloned() {
                    // One that is damaged or signed by a key of the past says nothing any more.
                    let _ = self.trusted.recall_timestamp(&bytes);
                }
                self.phase = Phase::Timestamp;
                Ok(())
            }
        }
    }

    fn advance_timestamp(&mut self) -> Result<(), Fault> {
        let Some((name, answer)) = self.answered() else {
            self.ask("timestamp.json".to_owned(), self.trusted.limits.timestamp);
            return Ok(());
        };
        let bytes = answer.ok_or_else(|| Fault::Missing { file: name.clone() })?;
        if self.trusted.update_timestamp(&bytes, &name)? {
            self.keep("timestamp.json", bytes);
        }
        self.phase = Phase::Snapshot;
        Ok(())
    }

    fn advance_snapshot(&mut self) -> Result<(), Fault> {
        let Some((name, answer)) = self.answered() else {
            let kept = self.files.get("snapshot.json").cloned();
            if kept.is_some_and(|bytes| self.trusted.recall_snapshot(&bytes).unwrap_or(false)) {
                self.phase = Phase::Targets;
                return Ok(());
            }
            let meta = self.trusted.snapshot_meta()?.clone();
            self.ask_for("snapshot", &meta, self.trusted.limits.snapshot);
            return Ok(());
        };
        let bytes = answer.ok_or_else(|| Fault::Missing { file: name.clone() })?;
        self.trusted.update_snapshot(&bytes, &name)?;
        self.keep("snapshot.json", bytes);
        self.phase = Phase::Targets;
        Ok(())
    }

    fn advance_targets(&mut self) -> Result<(), Fault> {
        if let Some((name, answer)) = self.answered() {
            let bytes = answer.ok_or_else(|| Fault::Missing { file: name.clone() })?;
            self.trusted.update_targets(&bytes, &name)?;
            self.keep("targets.json", bytes);
        } else {
            let kept = self.files.get("targets.json").cloned();
            if kept.is_none_or(|bytes| self.trusted.update_targets(&bytes, "targets.json").is_err()) {
                let meta = self.trusted.targets_meta("targets")?.clone();
                self.ask_for("targets", &meta, self.trusted.limits.targets);
                return Ok(());
            }
        }
        self.refreshed = true;
        self.phase = if self.search.is_some() { Phase::Search } else { Phase::Done };
        Ok(())
    }

    fn advance_search(&mut self) -> Result<(), Fault> {
        let (Some(mut search), Some(top)) = (self.search.take(), self.trusted.targets.clone()) else {
            self.phase = Phase::Done;
            return Ok(());
        };
        let found = match (search.current.take(), self.answered()) {
            (Some(edge), Some((name, answer))) => {
                let bytes = answer.ok_or_else(|| Fault::Missing { file: name.clone() })?;
                let targets = self.judge(&edge, &bytes, &name)?;
                self.keep(&format!("{}.json", quoted(&edge.role.name)), bytes);
                search.ask(&targets, &edge.role.name)?
            }
            _ => search.ask(&top, "targets")?,
        };
        let mut found = found;
        while found.is_none() {
            let Some(edge) = search.next()? else {
                self.phase = Phase::Done;
                return Ok(());
            };
            let file = format!("{}.json", quoted(&edge.role.name));
            let kept = self.files.get(&file).cloned();
            // Judged by the keys of whoever leads here, each time: being trusted for one path is not being trusted for another.
            if let Some(Ok(targets)) = kept.map(|bytes| self.judge(&edge, &bytes, &file)) {
                found = search.ask(&targets, &edge.role.name)?;
                continue;
            }
            let meta = self.trusted.targets_meta(&edge.role.name)?.clone();
            self.ask_for(&edge.role.name, &meta, self.trusted.limits.targets);
            self.search = Some(search);
            return Ok(());
        }
        if let Some(target) = found {
            if self.found.len() >= MOST_FOUND {
                self.found.pop_first();
            }
            self.found.insert(search.path, target);
        }
        self.phase = Phase::Done;
        Ok(())
    }

    fn judge(&self, edge: &Edge, bytes: &[u8], file: &str) -> Result<Arc<Targets>, Fault> {
        let delegations =
            edge.delegations().ok_or_else(|| Fault::NotInSnapshot { role: edge.role.name.clone() })?;
        self.trusted.delegated(bytes, file, delegations, &edge.role).map(Arc::new)
    }

    /// The name of a metadata file in the repository (TUF specification 1.0.33, 6.2).
    fn name(&self, role: &str, meta: &MetaFile) -> String {
        let role = quoted(role);
        if self.trusted.root.consistent_snapshot {
            format!("{}.{role}.json", meta.version)
        } else {
            format!("{role}.json")
        }
    }
}

/// A role's name as a file's name: whatever is not a letter, a digit or one of `-_.~` as `%` and its hex (RFC 3986, 2.1).
fn quoted(role: &str) -> String {
    let mut out = String::with_capacity(role.len());
    for byte in role.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    out
}

fn meta_most(meta: &MetaFile, most: usize) -> usize {
    meta.length.and_then(|length| usize::try_from(length).ok()).map_or(most, |length| length.min(most))
}

/// Goes on until everything is done: `fetch` reads a file of the repository's metadata (name, most bytes) and gives `None`
/// where there is none; `keep` keeps a file durably.
///
/// # Errors
/// Those of the client, and those of the two.
pub fn drive<E: From<Fault>>(
    client: &mut Client,
    mut fetch: impl FnMut(&str, usize) -> Result<Option<Vec<u8>>, E>,
    mut keep: impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        match client.next()? {
            Step::Fetch { name, most } => {
                let bytes = fetch(&name, most)?;
                client.got(bytes);
            }
            Step::Keep { file, bytes } => keep(&file, &bytes)?,
            Step::Done => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_roles_name_never_leads_elsewhere() {
        assert_eq!(quoted("../a?#~b"), "..%2Fa%3F%23~b");
    }
}
