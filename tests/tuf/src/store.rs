//! Trusted metadata in a folder.

use anyhow::Context;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder.
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// In `dir`, which is there.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Everything that was kept.
    pub(crate) fn read(&self) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        let reading = || format!("reading {}", self.dir.display());
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.dir).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".json") {
                files.insert(name, std::fs::read(entry.path()).with_context(reading)?);
            }
        }
        Ok(files)
    }

    /// Keeps a file durably: whole or not at all.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        let writing = || format!("writing {}", path.display());
        let mut file = tempfile::NamedTempFile::new_in(&self.dir).with_context(writing)?;
        file.write_all(bytes).with_context(writing)?;
        file.as_file().sync_all().with_context(writing)?;
        file.persist(&path).with_context(writing)?;
        std::fs::File::open(&self.dir)?.sync_all().with_context(writing)
    }
}
