//! Files that are there as a whole or not at all.

use super::{unwritten, with_path};
use anyhow::bail;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes a file that is not there yet, and its folder where that is not either.
pub(super) fn create(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    if !folder.as_os_str().is_empty() {
        fs::create_dir_all(folder).map_err(unwritten(folder))?;
    }
    if path.exists() {
        bail!(
            "{} is there already: the device was placed before; remove the file to place it anew",
            path.display()
        );
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(unwritten(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritten(path))?;
    settle(folder)
}

/// Puts `text` into the place of `before`, with the owner and the rights that the file had.
pub(super) fn replace(path: &Path, before: &str, text: &str) -> anyhow::Result<()> {
    // The file itself, not a link to it.
    let path = &with_path(fs::canonicalize(path), path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let old = with_path(fs::metadata(path), path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.sync_all()
    };
    let written = write().map_err(unwritten(&new)).and_then(|()| {
        // Somebody may have saved it meanwhile.
        if with_path(fs::read(path), path)? != before.as_bytes() {
            bail!("{} was changed meanwhile: nothing was written, try again", path.display());
        }
        fs::rename(&new, path).map_err(unwritten(path))
    });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.and_then(|()| settle(folder))
}

/// The folder's entries survive a power cut.
fn settle(folder: &Path) -> anyhow::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    with_path(File::open(folder).and_then(|folder| folder.sync_all()), folder)
}

/// A text as TOML has it, on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
