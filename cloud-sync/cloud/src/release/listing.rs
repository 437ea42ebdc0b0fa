//! What is in a repository, as a gateway finds it.

use crate::release::folder::{Folder, pieces};
use anyhow::Context;
use engawa_tuf::{Client, Target};
use serde_json::{Value, json};

/// A release.
pub(crate) struct Listed {
    /// The path of its manifest.
    pub(crate) path: String,
    /// What the signer says of it.
    pub(crate) custom: Value,
    /// All its files, bytes.
    pub(crate) bytes: u64,
    /// How many files it has.
    pub(crate) files: usize,
}

impl Listed {
    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        let mut line = self.custom.clone();
        if !line.is_object() {
            line = json!({});
        }
        line["manifest"] = self.path.clone().into();
        line["bytes"] = self.bytes.into();
        line["files"] = self.files.into();
        line
    }
}

/// The releases, in the order of their paths.
pub(crate) fn releases(client: &Client) -> Vec<Listed> {
    let all: Vec<Target> = client.targets().collect();
    let manifests = all.iter().filter(|target| target.path.ends_with("/manifest.json"));
    manifests
        .map(|manifest| {
            let folder = manifest.path.trim_end_matches("manifest.json");
            let own = all.iter().filter(|target| target.path.starts_with(folder));
            let (bytes, files) =
                own.fold((0_u64, 0), |(bytes, files), target| (bytes + target.length, files + 1));
            Listed { path: manifest.path.clone(), custom: manifest.custom.clone(), bytes, files }
        })
        .collect()
}

/// Reads every target, and checks that it is what was signed. Gives how many there are.
pub(crate) fn verify(folder: &Folder, client: &Client) -> anyhow::Result<usize> {
    let mut count = 0;
    for target in client.targets() {
        let path = folder.target(&target.file);
        let mut check = target.check();
        pieces(&path, |piece| Ok(check.update(piece)?))
            .and_then(|()| Ok(check.finish()?))
            .with_context(|| format!("{} is not as it was signed", path.display()))?;
        count += 1;
    }
    Ok(count)
}
