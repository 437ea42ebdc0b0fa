//! How a release came about: an in-toto statement (version 1) with SLSA provenance (version 1).

use anyhow::bail;
use engawa_release::manifest::Manifest;
use serde_json::{Value, json};

/// Its name beside the manifest.
pub(crate) const FILE: &str = "provenance.json";

/// Where a release comes from.
pub(crate) struct Source {
    /// The repository that it was built from.
    pub(crate) repository: Option<String>,
    /// The commit.
    pub(crate) commit: Option<String>,
    /// Who built it, as a URI.
    pub(crate) builder: Option<String>,
}

impl Source {
    /// Refuses what would be signed and says nothing: the field, and what it should be.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for (field, uri) in [("--source", &self.repository), ("--builder", &self.builder)] {
            if let Some(uri) = uri.as_deref().filter(|uri| !is_uri(uri)) {
                bail!(
                    "{field} {uri:?} is no URI: expected a scheme, a colon and no space, such as git+https://git.example/engawa"
                );
            }
        }
        let is_commit = |commit: &str| {
            matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if let Some(commit) = self.commit.as_deref().filter(|commit| !is_commit(commit)) {
            bail!(
                "--commit {commit:?} is no commit: expected all 40 (or 64) hex digits, as `git rev-parse HEAD` prints them"
            );
        }
        Ok(())
    }
}

/// Whether it is a URI (RFC 3986, 3): a scheme, a colon, and characters that may stand in one.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme
        && !rest.is_empty()
        && text.len() <= MOST_URI
        && rest.chars().all(|c| c.is_ascii_graphic() && !"<>\"{}|\\^`".contains(c))
}

/// The longest URI, bytes.
const MOST_URI: usize = 2_048;

/// What kind of build it is: cargo, as the project's own makefile runs it.
const BUILD_TYPE: &str = "urn:engawa:build:cargo:v1";
/// A builder that has no name.
const UNNAMED: &str = "urn:engawa:builder:unnamed";

/// The statement on the files of a release. It is believed because it is signed as a target; it has no signature of its own.
pub(crate) fn write(manifest: &Manifest, source: &Source, lock: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let subject: Vec<Value> = manifest
        .files
        .iter()
        .map(|file| json!({"name": file.name, "digest": {"sha256": file.sha256.to_string()}}))
        .collect();
    let mut materials = Vec::new();
    if let Some(commit) = &source.commit {
        let repository = source.repository.as_deref().unwrap_or("git+file:.");
        materials.push(json!({"uri": format!("{repository}@{commit}"), "digest": {"gitCommit": commit}}));
    }
    if let Some(lock) = lock {
        let hash = ring::digest::digest(&ring::digest::SHA256, lock.as_bytes());
        let hash = data_encoding::HEXLOWER.encode(hash.as_ref());
        materials.push(json!({"name": "Cargo.lock", "digest": {"sha256": hash}}));
    }
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "triple": manifest.triple, "version": manifest.version, "number": manifest.number,
                    "kind": manifest.kind.as_str(), "hardware": manifest.hardware,
                },
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": source.builder.as_deref().unwrap_or(UNNAMED)}},
        },
    });
    Ok(serde_json::to_vec(&statement)?)
}
