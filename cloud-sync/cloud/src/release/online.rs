//! The online keys, and what they sign: snapshots and timestamps. They say which of the signed targets are current, and that
//! somebody is still there; they can't sign targets.

use crate::release::expiry::{self, Expiry, NOTICE_DAYS};
use crate::release::folder::{Folder, known, write};
use crate::release::{keys, retire};
use anyhow::{Context, bail};
use engawa_tuf::metadata::{MetaFile, Metadata, Root, Snapshot, Targets, Timestamp};
use engawa_tuf::{Document, Ed25519Signer, PublicKey, Signer};
use jiff::{SignedDuration, Timestamp as Instant};
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where they are in the cloud's folder.
const FOLDER: &str = "release-keys";
/// How long a timestamp is good: so long a gateway may be without the cloud and still install what it hears of then.
const TIMESTAMP_DAYS: i64 = 7;
/// How long a snapshot is good.
const SNAPSHOT_DAYS: i64 = 30;
/// By so much the clocks of machines may differ that sign timestamps.
const CLOCKS: SignedDuration = SignedDuration::from_mins(10);
/// So long after a timestamp has expired `serve` does not renew it by itself any more, days: a clock that is wrong by so much has
/// gateways refuse whatever is signed by the right one.
const UNATTENDED_DAYS: i64 = 30;
/// How often `serve` looks whether they are to be renewed.
const PERIOD: Duration = Duration::from_secs(600);

fn days(n: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * n)
}

/// The online keys of a cloud.
pub(crate) struct Online {
    dir: PathBuf,
    keys: Vec<(PathBuf, Ed25519Signer)>,
}

impl Online {
    /// Those in the cloud's folder `dir`; none where it has none.
    pub(crate) fn load(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.join(FOLDER);
        let mut keys = Vec::new();
        if dir.is_dir() {
            let reading = || format!("reading {}", dir.display());
            for entry in std::fs::read_dir(&dir).with_context(reading)? {
                let path = entry.with_context(reading)?.path();
                if path.extension().is_some_and(|extension| extension == "key") {
                    let key = keys::read(&path, None)?;
                    keys.push((path, key));
                }
            }
            keys.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Ok(Self { dir, keys })
    }

    /// True where there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Makes a key for `role`.
    pub(crate) fn generate(&mut self, role: &str) -> anyhow::Result<PublicKey> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .with_context(|| format!("making {}", self.dir.display()))?;
        let n = (1..).find(|n| !self.dir.join(format!("{role}-{n}.key")).exists()).unwrap_or(1);
        let path = self.dir.join(format!("{role}-{n}.key"));
        let key = keys::generate(&path, None)?;
        self.keys.push((path.clone(), keys::read(&path, None)?));
        Ok(key)
    }

    /// Those that sign for `role` by one of `roots`.
    fn of<'a>(&'a self, role: &'a str, roots: &'a [&Root]) -> impl Iterator<Item = &'a Ed25519Signer> + 'a {
        let named = move |key: &PublicKey| {
            roots
                .iter()
                .filter_map(|root| root.roles.get(role))
                .any(|role| role.keyids.iter().any(|id| id == key.id()))
        };
        self.keys.iter().map(|(_, signer)| signer).filter(move |signer| named(signer.key()))
    }

    fn sign<T: Metadata>(&self, metadata: &T, roots: &[&Root]) -> anyhow::Result<Vec<u8>> {
        let mut document = Document::new(metadata)?;
        for signer in self.of(T::KIND, roots) {
            document.sign(signer)?;
        }
        if document.signatures.is_empty() {
            bail!(
                "{} has no key that may sign the {}: it is done on the machine with the cloud's folder (--dir); where `release init` was run elsewhere, bring its `{FOLDER}` here",
                self.dir.display(),
                T::KIND
            );
        }
        Ok(document.to_bytes()?)
    }

    /// Removes keys that one of the `former` roots names and `root`, which is current, does not. Those that no root names yet
    /// may be meant for the next one.
    pub(crate) fn forget(&self, former: &[Root], root: &Root) -> anyhow::Result<()> {
        for (path, signer) in &self.keys {
            let id = signer.key().id();
            if former.iter().any(|former| former.keys.contains_key(id)) && !root.keys.contains_key(id) {
                for path in [path.clone(), keys::public_path(path)] {
                    std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
                }
            }
        }
        Ok(())
    }
}

/// What another metadata file says of one.
pub(crate) fn meta(version: u64, bytes: &[u8]) -> MetaFile {
    let hash = data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    let hashes = Some(BTreeMap::from([("sha256".to_owned(), hash)]));
    MetaFile { version, length: Some(bytes.len() as u64), hashes, other: serde_json::Map::new() }
}

/// A snapshot and its timestamp, signed and ready to be written: name, bytes.
pub(crate) struct Signed {
    /// The snapshot; none where the old one is still meant.
    pub(crate) snapshot: Option<(String, Vec<u8>)>,
    /// The timestamp.
    pub(crate) timestamp: Vec<u8>,
}

/// The time by which something is signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By {
    /// This machine's time.
    pub(crate) now: Instant,
    /// Somebody says that its clock is right: a timestamp of later was signed by one that was ahead.
    pub(crate) is_right: bool,
}

/// Signs a snapshot with `targets` (the old ones where none are given) and a timestamp for it. Signed by the keys of all
/// `roots`, so that a gateway that has seen the newest root and one that has not take it.
pub(crate) fn sign(
    folder: &Folder,
    online: &Online,
    roots: &[&Root],
    targets: Option<MetaFile>,
    By { now, is_right }: By,
) -> anyhow::Result<Signed> {
    let known = folder.timestamp()?;
    if let Some(signed) = known.as_ref().and_then(|known| known.metadata.signed_at())
        && now + CLOCKS < signed
        && !is_right
    {
        bail!(
            "this machine's clock says {now:.0}, and the newest timestamp was signed at {signed:.0}: set the clock; nothing was signed. If the clock is right, the one that signed was ahead: `engawa-cloud release renew --clock-is-right` (or `publish` with that flag) signs all the same"
        );
    }
    let before = folder.snapshot()?;
    let expires = now + days(SNAPSHOT_DAYS);
    let lapses = before.as_ref().is_none_or(|before| before.metadata.expires < now + days(SNAPSHOT_DAYS / 2));
    // A root with another snapshot key makes the old one worthless.
    let stale = before.as_ref().is_some_and(|before| {
        roots.iter().any(|root| {
            engawa_tuf::Authority::of(root, Snapshot::KIND)
                .is_none_or(|authority| authority.verify(&before.document, "snapshot.json").is_err())
        })
    });
    let snapshot = if targets.is_some() || lapses || stale {
        let mut meta = before.map(|before| before.metadata.meta).unwrap_or_default();
        meta.extend(targets.map(|targets| ("targets.json".to_owned(), targets)));
        // Beyond whatever a publication that was cut short has left.
        let version = folder.versions(Snapshot::KIND)?.last().map_or(1, |last| last.saturating_add(1));
        let bytes = online.sign(&Snapshot::new(version, expires, meta), roots)?;
        Some((version, bytes))
    } else {
        None
    };
    let of_snapshot =
        match (&snapshot, known.as_ref().and_then(|known| known.metadata.meta.get("snapshot.json").cloned()))
        {
            (Some((version, bytes)), _) => meta(*version, bytes),
            (None, Some(meta)) => meta,
            (None, None) => bail!("the timestamp names no snapshot: publish a draft"),
        };
    let version = known.map_or(1, |known| known.metadata.version.saturating_add(1));
    let timestamp =
        online.sign(&Timestamp::new(version, now + days(TIMESTAMP_DAYS), of_snapshot, now), roots)?;
    Ok(Signed {
        snapshot: snapshot.map(|(version, bytes)| (format!("{version}.snapshot.json"), bytes)),
        timestamp,
    })
}

/// How many versions of snapshots and targets stay, so that whoever reads just now finds those that were current.
const KEPT: usize = 16;
/// Removes snapshots and targets' metadata that nobody reads any more, and files that none of the rest names.
pub(crate) fn prune(folder: &Folder) -> anyhow::Result<()> {
    for role in [Snapshot::KIND, Targets::KIND] {
        let versions = folder.versions(role)?;
        for version in versions.iter().take(versions.len().saturating_sub(KEPT)) {
            let path = folder.metadata(&format!("{version}.{role}.json"));
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    retire::prune(folder).map(drop)
}

/// Tells of what people have to sign again.
fn notice(all: &[Expiry], now: Instant) {
    for Expiry { role, expires, .. } in all.iter().filter(|expiry| expiry.is_peoples()) {
        if *expires < now + days(NOTICE_DAYS) {
            tracing::warn!(what = role, %expires, "the releases' metadata expires: sign it anew (engawa-cloud release root, create or revoke), or gateways take no release any more");
        }
    }
}

/// Renews timestamp and snapshot where half of their time is over. True: something was written.
fn renew_if_due(folder: &Folder, online: &Online, now: Instant) -> anyhow::Result<bool> {
    let due = |expires: Instant, life: i64| expires < now + days(life) / 2;
    let (Some(timestamp), Some(snapshot)) = (folder.timestamp()?, folder.snapshot()?) else {
        return Ok(false);
    };
    let expires = timestamp.metadata.expires;
    if !due(expires, TIMESTAMP_DAYS) && !due(snapshot.metadata.expires, SNAPSHOT_DAYS) {
        return Ok(false);
    }
    if expires + days(UNATTENDED_DAYS) < now {
        bail!(
            "the timestamp has expired at {expires}, and this machine's clock says {now:.0}: if the clock is right, renew it by `engawa-cloud release renew`; else set the clock"
        );
    }
    renew(folder, online, By { now, is_right: false }).map(|()| true)
}

/// Renews timestamp and snapshot.
pub(crate) fn renew(folder: &Folder, online: &Online, by: By) -> anyhow::Result<()> {
    let now = by.now;
    let _lock = folder.lock()?;
    let root = folder.some_root()?;
    // Beyond what offline keys have signed nobody takes a timestamp: so late it is not.
    let targets = folder.targets()?.map(|known| known.metadata.expires);
    let ends = [("root", Some(root.metadata.expires)), ("targets", targets)];
    let ended = ends.into_iter().find_map(|(what, at)| Some((what, at.filter(|at| *at < now)?)));
    if let Some((what, at)) = ended {
        bail!(
            "the releases' {what} metadata has expired at {at}, by this machine's clock ({now:.0}): if the clock is right, sign it anew (engawa-cloud release root, create or revoke)"
        );
    }
    let signed = sign(folder, online, &[&root.metadata], None, by)?;
    if let Some((name, bytes)) = &signed.snapshot {
        folder.put(name, bytes)?;
    }
    folder.put("timestamp.json", &signed.timestamp)?;
    prune(folder)?;
    let renewed = known::<Timestamp>(signed.timestamp, "timestamp.json")?;
    tracing::info!(version = renewed.metadata.version, expires = %renewed.metadata.expires, "the releases' timestamp is renewed");
    Ok(())
}

/// What `serve` does for a repository, until it is dropped: renews, tells each day of what expires, and writes gauges of it into
/// the file `metrics`. Without the online keys (another replica has them) nothing is renewed.
pub(crate) async fn keep_fresh(dir: PathBuf, releases: PathBuf, metrics: Option<PathBuf>) {
    let mut told: Option<Instant> = None;
    loop {
        let (dir, releases, metrics) = (dir.clone(), releases.clone(), metrics.clone());
        let now = Instant::now();
        let tells = told.is_none_or(|told| told + days(1) <= now || now < told);
        let looked = tokio::task::spawn_blocking(move || {
            let folder = Folder::new(&releases);
            if !folder.metadata("timestamp.json").exists() {
                return false;
            }
            // Each by itself: what fails keeps the others from nothing.
            let renewed = Online::load(&dir).and_then(|online| {
                if online.is_empty() { Ok(false) } else { renew_if_due(&folder, &online, now) }
            });
            if let Err(error) = renewed {
                tracing::warn!(
                    reason = format!("{error:#}"),
                    "the releases' timestamp is not looked after: gateways stop taking releases when it expires; trying again"
                );
            }
            let all = match expiry::all(&folder) {
                Ok(all) => all,
                Err(error) => {
                    tracing::warn!(
                        reason = format!("{error:#}"),
                        "until when the releases' metadata is good can't be told; trying again"
                    );
                    return false;
                }
            };
            if tells {
                notice(&all, now);
            }
            if let Some(path) = metrics
                && let Err(error) = write(&path, expiry::metrics(&all, now).as_bytes())
            {
                tracing::warn!(
                    reason = format!("{error:#}"),
                    "the gauges of the releases' metadata are not written; trying again"
                );
            }
            tells
        });
        // A panic is told by whoever catches it, and the next look is another one.
        if looked.await.unwrap_or(false) {
            told = Some(now);
        }
        tokio::time::sleep(PERIOD).await;
    }
}
