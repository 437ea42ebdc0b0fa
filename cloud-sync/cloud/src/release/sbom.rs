//! What a release is made of: a CycloneDX 1.5 document out of the `Cargo.lock` that it was built with.
//!
//! The same input gives the same bytes: no time, no serial number of chance.

use anyhow::{Context, bail};
use engawa_release::manifest::Manifest;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Its name beside the manifest.
pub(crate) const FILE: &str = "sbom.json";

/// What of a `Cargo.lock` is read.
#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Package {
    fn reference(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    /// True for a line `name`, `name version` or `name version (source)` of another's dependencies.
    fn is(&self, line: &str) -> bool {
        let mut words = line.split(' ');
        words.next() == Some(&self.name) && words.next().is_none_or(|version| version == self.version)
    }
}

/// The document for the packages called `roots` and everything that they need. A lock file does not tell what is needed to run
/// from what is needed to build or to test, so it may name more than is in the programs, never less.
pub(crate) fn write(lock: &str, roots: &[String], manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let lock: Lock =
        toml::from_str(lock).map_err(|error| anyhow::anyhow!("it is no Cargo.lock: {}", error.message()))?;
    let mut wanted: Vec<&Package> = Vec::new();
    for root in roots {
        let Some(package) = lock.package.iter().find(|package| package.name == *root) else {
            bail!("the Cargo.lock has no package `{root}`: name those that the release is by --package");
        };
        wanted.push(package);
    }
    let mut reached: BTreeMap<String, (&Package, BTreeSet<String>)> = BTreeMap::new();
    while let Some(package) = wanted.pop() {
        if reached.contains_key(&package.reference()) {
            continue;
        }
        let mut needs = BTreeSet::new();
        for line in &package.dependencies {
            let need = lock.package.iter().find(|other| other.is(line));
            let need =
                need.with_context(|| format!("the Cargo.lock names `{line}`, and has no such package"))?;
            needs.insert(need.reference());
            wanted.push(need);
        }
        reached.insert(package.reference(), (package, needs));
    }
    let own = format!("pkg:generic/{}@{}", manifest.name, manifest.version);
    let component = |(reference, (package, _)): (&String, &(&Package, BTreeSet<String>))| {
        let mut component = json!({
            "type": "library", "bom-ref": reference, "name": package.name, "version": package.version, "purl": reference,
        });
        if let Some(checksum) = &package.checksum {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        if package.source.is_none() {
            component["scope"] = "required".into();
            component["properties"] = json!([{"name": "cargo:workspace", "value": "true"}]);
        }
        component
    };
    let mut dependencies: Vec<Value> = vec![json!({
        "ref": own, "dependsOn": roots.iter().filter_map(|root| {
            lock.package.iter().find(|package| package.name == *root).map(Package::reference)
        }).collect::<BTreeSet<_>>(),
    })];
    dependencies
        .extend(reached.iter().map(|(reference, (_, needs))| json!({"ref": reference, "dependsOn": needs})));
    let files: Vec<Value> = manifest
        .files
        .iter()
        .map(|file| json!({"type": "file", "name": file.name, "hashes": [{"alg": "SHA-256", "content": file.sha256.to_string()}]}))
        .collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": own, "name": manifest.name, "version": manifest.version, "components": files,
        }},
        "components": reached.iter().map(component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    });
    Ok(serde_json::to_vec(&document)?)
}
