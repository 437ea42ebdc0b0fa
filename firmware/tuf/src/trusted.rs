//! Which metadata is trusted, and whether more may be (TUF specification 1.0.33, 5.3 to 5.6).

use crate::document::Document;
use crate::error::Fault;
use crate::key::key_id;
use crate::limits::Limits;
use crate::metadata::{
    DelegatedRole, Delegations, MetaFile, Metadata, Root, Snapshot, TOP_LEVEL, Targets, Timestamp,
};
use crate::role::Authority;
use crate::target::check_meta;
use jiff::Timestamp as Instant;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest name of a delegated role, bytes: as a file's name, quoted, it must stay below 255.
const MOST_NAME: usize = 72;

/// What is trusted by now.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) now: Instant,
    pub(crate) limits: Limits,
    pub(crate) root: Root,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) targets: Option<Arc<Targets>>,
}

impl Trusted {
    /// Trusts the root that came with the device, or that was kept. It must have signed itself.
    pub(crate) fn new(bytes: &[u8], now: Instant, limits: Limits) -> Result<Self, Fault> {
        let file = "root.json";
        let document = Document::parse(bytes, file, limits.root, &limits)?;
        let root = read_root(&document, file, &limits)?;
        top(&root, Root::KIND, file)?.verify(&document, file)?;
        Ok(Self { now, limits, root, timestamp: None, snapshot: None, targets: None })
    }

    /// The next root (5.3.4 to 5.3.8).
    pub(crate) fn update_root(&mut self, bytes: &[u8], file: &str) -> Result<(), Fault> {
        let document = Document::parse(bytes, file, self.limits.root, &self.limits)?;
        let root = read_root(&document, file, &self.limits)?;
        // By enough of those whom the old one trusts, and by enough of those whom it names itself.
        top(&self.root, Root::KIND, file)?.verify(&document, file)?;
        top(&root, Root::KIND, file)?.verify(&document, file)?;
        let wanted = self.root.version.saturating_add(1);
        if root.version < wanted {
            return Err(rollback(file, "root.json", self.root.version, root.version));
        }
        if root.version != wanted {
            return Err(Fault::WrongVersion { file: file.to_owned(), wanted, is: root.version });
        }
        self.root = root;
        Ok(())
    }

    /// Whether the last root is still good (5.3.10).
    pub(crate) fn check_root(&self) -> Result<(), Fault> {
        self.check_expiry(&self.root, "root.json")
    }

    /// A timestamp that was trusted before: for its versions, whether it is still good or not. Where the root trusts another
    /// key by now it is not, and neither are its versions (5.3.11).
    pub(crate) fn recall_timestamp(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.timestamp = Some(self.read_timestamp(bytes, "timestamp.json")?);
        Ok(())
    }

    fn read_timestamp(&self, bytes: &[u8], file: &str) -> Result<Timestamp, Fault> {
        let document = Document::parse(bytes, file, self.limits.timestamp, &self.limits)?;
        let timestamp: Timestamp = document.read(file)?;
        top(&self.root, Timestamp::KIND, file)?.verify(&document, file)?;
        snapshot_meta(&timestamp, file)?;
        Ok(timestamp)
    }

    /// The repository's timestamp (5.4). False: it is the one that is known.
    pub(crate) fn update_timestamp(&mut self, bytes: &[u8], file: &str) -> Result<bool, Fault> {
        let offered = self.read_timestamp(bytes, file)?;
        if let Some(known) = &self.timestamp {
            if offered.version < known.version {
                if self.check_expiry(known, file).is_ok() {
                    let (file, trusted, offered) = (file.to_owned(), known.version, offered.version);
                    return Err(Fault::Behind { file, trusted, offered });
                }
                return Err(rollback(file, "timestamp.json", known.version, offered.version));
            }
            if offered.version == known.version {
                self.check_expiry(known, file)?;
                return Ok(false);
            }
            let (before, after) =
                (snapshot_meta(known, file)?.version, snapshot_meta(&offered, file)?.version);
            if after < before {
                return Err(rollback(file, "snapshot.json", before, after));
            }
        }
        self.check_expiry(&offered, file)?;
        self.timestamp = Some(offered);
        Ok(true)
    }

    /// What the timestamp says of the snapshot.
    pub(crate) fn snapshot_meta(&self) -> Result<&MetaFile, Fault> {
        let timestamp =
            self.timestamp.as_ref().ok_or_else(|| Fault::Missing { file: "timestamp.json".to_owned() })?;
        snapshot_meta(timestamp, "timestamp.json")
    }

    /// A snapshot that was trusted before: for its versions, and, where that is so, as the one that the timestamp means. True:
    /// it is, and need not be fetched.
    pub(crate) fn recall_snapshot(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let file = "snapshot.json";
        let meta = self.snapshot_meta()?.clone();
        let known = self.read_snapshot(bytes, file)?;
        let current = known.version == meta.version
            && check_meta(bytes, file, &meta).is_ok()
            && self.check_expiry(&known, file).is_ok();
        self.snapshot = Some(known);
        Ok(current)
    }

    fn read_snapshot(&self, bytes: &[u8], file: &str) -> Result<Snapshot, Fault> {
        let document = Document::parse(bytes, file, self.limits.snapshot, &self.limits)?;
        let snapshot: Snapshot = document.read(file)?;
        top(&self.root, Snapshot::KIND, file)?.verify(&document, file)?;
        Ok(snapshot)
    }

    /// The repository's snapshot (5.5).
    pub(crate) fn update_snapshot(&mut self, bytes: &[u8], file: &str) -> Result<(), Fault> {
        let meta = self.snapshot_meta()?;
        check_meta(bytes, file, meta)?;
        let wanted = meta.version;
        let offered = self.read_snapshot(bytes, file)?;
        if offered.version != wanted {
            return Err(Fault::WrongVersion { file: file.to_owned(), wanted, is: offered.version });
        }
        for (name, before) in self.snapshot.iter().flat_map(|known| &known.meta) {
            let Some(after) = offered.meta.get(name) else {
                return Err(Fault::Vanished { file: file.to_owned(), what: name.clone() });
            };
            if after.version < before.version {
                return Err(rollback(file, name, before.version, after.version));
            }
        }
        self.check_expiry(&offered, file)?;
        self.snapshot = Some(offered);
        Ok(())
    }

    /// What the snapshot says of a role's targets.
    pub(crate) fn targets_meta(&self, role: &str) -> Result<&MetaFile, Fault> {
        self.snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.meta.get(&format!("{role}.json")))
            .ok_or_else(|| Fault::NotInSnapshot { role: role.to_owned() })
    }

    /// Targets at the top (5.6).
    pub(crate) fn update_targets(&mut self, bytes: &[u8], file: &str) -> Result<(), Fault> {
        let authority = top(&self.root, Targets::KIND, file)?;
        self.targets = Some(Arc::new(self.judge_targets(bytes, file, authority)?));
        Ok(())
    }

    /// When targets at the top that were kept expire: by the root's keys alone, whatever the snapshot says.
    pub(crate) fn targets_until(&self, bytes: &[u8]) -> Result<Instant, Fault> {
        let file = "targets.json";
        let document = Document::parse(bytes, file, self.limits.targets, &self.limits)?;
        top(&self.root, Targets::KIND, file)?.verify(&document, file)?;
        Ok(document.read::<Targets>(file)?.expires())
    }

    /// Targets of a role that other targets trust (5.6.7).
    pub(crate) fn delegated(
        &self,
        bytes: &[u8],
        file: &str,
        delegations: &Delegations,
        role: &DelegatedRole,
    ) -> Result<Targets, Fault> {
        self.judge_targets(bytes, file, Authority::delegated(delegations, role))
    }

    fn judge_targets(&self, bytes: &[u8], file: &str, authority: Authority<'_>) -> Result<Targets, Fault> {
        let meta = self.targets_meta(authority.role)?;
        check_meta(bytes, file, meta)?;
        let document = Document::parse(bytes, file, self.limits.targets, &self.limits)?;
        let targets: Targets = document.read(file)?;
        authority.verify(&document, file)?;
        if targets.version != meta.version {
            return Err(Fault::WrongVersion {
                file: file.to_owned(),
                wanted: meta.version,
                is: targets.version,
            });
        }
        self.check_expiry(&targets, file)?;
        if let Some(delegations) = &targets.delegations {
            check_keys(&delegations.keys, file, &self.limits)?;
            if delegations.succinct_roles.is_some() {
                return Err(Fault::SuccinctRoles { file: file.to_owned() });
            }
            for role in delegations.roles.iter().flatten() {
                if !(1..=MOST_NAME).contains(&role.name.len()) || TOP_LEVEL.contains(&role.name.as_str()) {
                    let reason = format!("a delegated role can't be called `{}`", role.name);
                    return Err(Fault::Malformed { file: file.to_owned(), reason });
                }
            }
        }
        Ok(targets)
    }

    fn check_expiry<T: Metadata>(&self, metadata: &T, file: &str) -> Result<(), Fault> {
        if self.now >= metadata.expires() {
            return Err(Fault::Expired { file: file.to_owned(), expires: metadata.expires(), now: self.now });
        }
        Ok(())
    }
}

fn top<'a>(root: &'a Root, role: &'static str, file: &str) -> Result<Authority<'a>, Fault> {
    Authority::of(root, role).ok_or_else(|| Fault::Malformed {
        file: file.to_owned(),
        reason: format!("root.json has no role `{role}`"),
    })
}

fn read_root(document: &Document, file: &str, limits: &Limits) -> Result<Root, Fault> {
    let root: Root = document.read(file)?;
    check_keys(&root.keys, file, limits)?;
    for role in TOP_LEVEL {
        top(&root, role, file)?;
    }
    Ok(root)
}

/// Every key must stand under its own name (TUF specification 1.0.33, 4.3).
fn check_keys(keys: &BTreeMap<String, Value>, file: &str, limits: &Limits) -> Result<(), Fault> {
    if keys.len() > limits.keys {
        return Err(Fault::TooMany {
            file: file.to_owned(),
            what: "keys",
            is: keys.len(),
            most: limits.keys,
        });
    }
    for (keyid, key) in keys {
        let is = key_id(key);
        if is != *keyid {
            return Err(Fault::WrongKeyId { file: file.to_owned(), keyid: keyid.clone(), is });
        }
    }
    Ok(())
}

fn snapshot_meta<'a>(timestamp: &'a Timestamp, file: &str) -> Result<&'a MetaFile, Fault> {
    let reason = "`meta` must have one entry, snapshot.json";
    let entry = timestamp.meta.get("snapshot.json").filter(|_| timestamp.meta.len() == 1);
    entry.ok_or_else(|| Fault::Malformed { file: file.to_owned(), reason: reason.to_owned() })
}

fn rollback(file: &str, what: &str, trusted: u64, offered: u64) -> Fault {
    Fault::Rollback { file: file.to_owned(), what: what.to_owned(), trusted, offered }
}
