//! The repository as a folder, read again when it has changed.

use super::Catalogue;
use crate::rollout::Refused;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder with releases.
#[derive(Debug)]
pub struct Shelf {
    dir: PathBuf,
    known: Option<(Vec<u8>, Arc<Catalogue>)>,
}

impl Shelf {
    /// The folder `dir`; nothing is read yet.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, known: None }
    }

    /// What it has; what was read before, where the timestamp is the same.
    ///
    /// # Errors
    /// The folder has no repository, or it can't be read: what is wrong with which file.
    pub fn look(&mut self) -> Result<Arc<Catalogue>, Refused> {
        let timestamp = read(&self.dir, "metadata/timestamp.json", super::MOST_METADATA)?;
        if let (Some(timestamp), Some((known, catalogue))) = (&timestamp, &self.known)
            && timestamp == known
        {
            return Ok(Arc::clone(catalogue));
        }
        let catalogue = Catalogue::read(&|name, most| read(&self.dir, name, most))
            .map_err(|Refused(why)| Refused(format!("the repository in {}: {why}", self.dir.display())))?;
        let catalogue = Arc::new(catalogue);
        self.known = timestamp.map(|timestamp| (timestamp, Arc::clone(&catalogue)));
        Ok(catalogue)
    }
}

fn read(dir: &Path, name: &str, most: usize) -> Result<Option<Vec<u8>>, Refused> {
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Refused(format!("`{name}` leads out of the repository")));
    }
    let path = dir.join(name);
    let fault = |error: std::io::Error| Refused(format!("reading {}: {error}", path.display()));
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > most {
        return Err(Refused(format!("{} has more than {most} bytes", path.display())));
    }
    Ok(Some(bytes))
}
