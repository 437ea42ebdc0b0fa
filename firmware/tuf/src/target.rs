//! A target that signed metadata names, and the check that bytes are it, while they come.

use crate::error::Fault;
use crate::metadata::{MetaFile, TargetFile};
use data_encoding::HEXLOWER;
use ring::digest::{Algorithm, Context, SHA256, SHA512};
use serde_json::Value;
use std::collections::BTreeMap;

/// A target that may be trusted once its bytes are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its path in the metadata.
    pub path: String,
    /// The file in the repository's folder of targets.
    pub file: String,
    /// Its length, bytes.
    pub length: u64,
    /// Its SHA-256 in hex, where metadata has it.
    pub sha256: Option<String>,
    /// Its SHA-512 in hex, where metadata has it.
    pub sha512: Option<String>,
    /// What the signer says of it besides; null where nothing.
    pub custom: Value,
    /// The role that names it.
    pub role: String,
}

impl Target {
    pub(crate) fn new(path: &str, entry: &TargetFile, role: &str, consistent: bool) -> Result<Self, Fault> {
        check_path(path)?;
        let hash = |name: &str| entry.hashes.get(name).map(|hash| hash.to_ascii_lowercase());
        let (sha256, sha512) = (hash("sha256"), hash("sha512"));
        let Some(prefix) = sha256.as_ref().or(sha512.as_ref()) else {
            return Err(Fault::NoKnownHash { file: path.to_owned() });
        };
        // It becomes part of a file's name.
        if !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Fault::Malformed { file: path.to_owned(), reason: "its hash is not hex".to_owned() });
        }
        let file = match (consistent, path.rsplit_once('/')) {
            (false, _) => path.to_owned(),
            (true, None) => format!("{prefix}.{path}"),
            (true, Some((folder, name))) => format!("{folder}/{prefix}.{name}"),
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            length: entry.length,
            custom: entry.custom.clone().unwrap_or(Value::Null),
            role: role.to_owned(),
            sha256,
            sha512,
        })
    }

    /// A check that bytes are this target.
    #[must_use]
    pub fn check(&self) -> Check {
        let hashes = [("sha256", &SHA256, &self.sha256), ("sha512", &SHA512, &self.sha512)];
        Check::new(
            &self.path,
            Some(self.length),
            hashes
                .into_iter()
                .filter_map(|(name, algorithm, hash)| hash.clone().map(|hash| (name, algorithm, hash))),
        )
    }
}

/// A path of names, none of which leads elsewhere.
pub(crate) fn check_path(path: &str) -> Result<(), Fault> {
    let good = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    if path.split('/').all(good) { Ok(()) } else { Err(Fault::BadPath { path: path.to_owned() }) }
}

/// Checks length and hashes of bytes that come in pieces.
pub struct Check {
    file: String,
    wanted: Option<u64>,
    is: u64,
    contexts: Vec<(&'static str, Context, String)>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check")
            .field("file", &self.file)
            .field("wanted", &self.wanted)
            .field("is", &self.is)
            .finish()
    }
}

impl Check {
    fn new(
        file: &str,
        wanted: Option<u64>,
        hashes: impl Iterator<Item = (&'static str, &'static Algorithm, String)>,
    ) -> Self {
        let contexts = hashes.map(|(name, algorithm, hash)| (name, Context::new(algorithm), hash)).collect();
        Self { file: file.to_owned(), wanted, is: 0, contexts }
    }

    /// More of it.
    ///
    /// # Errors
    /// It is longer than it should be: nothing more need be read.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.is = self.is.saturating_add(bytes.len() as u64);
        if let Some(most) = self.wanted.filter(|wanted| self.is > *wanted) {
            return Err(Fault::TooLong { file: self.file.clone(), most });
        }
        for (_, context, _) in &mut self.contexts {
            context.update(bytes);
        }
        Ok(())
    }

    /// That was all.
    ///
    /// # Errors
    /// It is too short, or another content.
    pub fn finish(self) -> Result<(), Fault> {
        if let Some(wanted) = self.wanted.filter(|wanted| self.is < *wanted) {
            return Err(Fault::TooShort { file: self.file, wanted, is: self.is });
        }
        for (algorithm, context, hash) in self.contexts {
            if HEXLOWER.encode(context.finish().as_ref()) != hash {
                return Err(Fault::WrongDigest { file: self.file, algorithm });
            }
        }
        Ok(())
    }
}

/// Whether `bytes`, which came as `file`, are what other metadata announced.
pub(crate) fn check_meta(bytes: &[u8], file: &str, meta: &MetaFile) -> Result<(), Fault> {
    let none = BTreeMap::new();
    let hashes = meta.hashes.as_ref().unwrap_or(&none);
    let known = [("sha256", &SHA256), ("sha512", &SHA512)].into_iter().filter_map(|(name, algorithm)| {
        hashes.get(name).map(|hash| (name, algorithm, hash.to_ascii_lowercase()))
    });
    let mut check = Check::new(file, meta.length, known);
    if check.contexts.is_empty() && !hashes.is_empty() {
        return Err(Fault::NoKnownHash { file: file.to_owned() });
    }
    check.update(bytes)?;
    check.finish()
}
