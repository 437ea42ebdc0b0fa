//! The few small files that updates keep beside the slots, each replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The longest file that is read back, bytes: metadata is bounded by far less.
const MOST: u64 = 16 << 20;

/// Replaces `path` by `bytes`: after a power cut there is the old file or the new one, whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let begun = folder.join(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&begun)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&begun, path)?;
    File::open(folder)?.sync_all()
}

/// The file, where there is one.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(there) if there.len() > MOST => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{} is larger than any of ours", path.display()),
        )),
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
