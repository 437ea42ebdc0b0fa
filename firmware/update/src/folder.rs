//! A folder, and files beneath it: nothing that a name, a symbolic link or a file of another kind could lead out of.

use rustix::fs::{self, AtFlags, Mode, OFlags, RawMode, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Names in a folder that are looked at; there are never so many.
const MOST_ENTRIES: usize = 4_096;
/// How often an open is tried that met a folder in the middle of being renamed.
const TRIES: usize = 8;

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens it.
    ///
    /// # Errors
    /// The system's: it is not there, it is no folder, it may not be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: fs::open(path, flags, Mode::empty())?, path: path.to_owned() })
    }

    /// Where it was opened, for words.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nobody else works in it until this is dropped. False where somebody does.
    pub(crate) fn lock(&self) -> io::Result<bool> {
        match fs::flock(&self.fd, fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the regular file `name`, parts with `/` between, for reading; `None` where there is none.
    ///
    /// # Errors
    /// It is something else, or lies behind a symbolic link, or the system's.
    pub fn read(&self, name: &str) -> io::Result<Option<File>> {
        match self.beneath(name, OFlags::RDONLY, Mode::empty()) {
            Ok(file) => regular(file).map(Some),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the regular file `name` for writing what is not there yet; makes it where it is absent.
    pub(crate) fn write(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        regular(self.beneath(name, flags, Mode::RUSR | Mode::WUSR)?)
    }

    fn beneath(&self, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        // Without blocking: a named pipe in the place of a file would else hold up whoever opens it.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            match fs::openat2(&self.fd, name, flags, mode, resolve) {
                Err(Errno::AGAIN) => {}
                // Linux before 5.6, emulators, and containers that know the call for none.
                Err(Errno::NOSYS | Errno::PERM) => return self.walk(name, flags, mode),
                opened => return opened,
            }
        }
        Err(Errno::AGAIN)
    }

    /// The same, one part after the other: none of them is followed where it is a link, and none is `..`.
    fn walk(&self, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let mut parts: Vec<&str> = name.split('/').collect();
        let last = parts.pop().unwrap_or_default();
        let is_name = |part: &&str| !matches!(*part, "" | "." | "..");
        if !is_name(&last) || !parts.iter().all(is_name) {
            return Err(Errno::XDEV);
        }
        let mut at: Option<OwnedFd> = None;
        for part in parts {
            let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            at = Some(fs::openat(at.as_ref().unwrap_or(&self.fd), part, folder, Mode::empty())?);
        }
        fs::openat(at.as_ref().unwrap_or(&self.fd), last, flags, mode)
    }

    /// The names in it.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !matches!(name.as_str(), "." | "..") {
                names.push(name);
            }
            if names.len() > MOST_ENTRIES {
                return Err(io::Error::other(format!(
                    "more than {MOST_ENTRIES} files in {}",
                    self.path.display()
                )));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether `name` here is a regular file, and not only leads to one.
    pub(crate) fn is_regular(&self, name: &str) -> io::Result<bool> {
        let stat = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        // The field's width is the platform's; a mode fits any of them.
        Ok(fs::FileType::from_raw_mode(stat.st_mode as RawMode) == fs::FileType::RegularFile)
    }

    /// How much of the disk the regular file `name` takes, bytes; none where it is something else, or has another name too.
    pub(crate) fn takes(&self, name: &str) -> io::Result<u64> {
        let stat = match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let is_alone = stat.st_nlink == 1
            && fs::FileType::from_raw_mode(stat.st_mode as RawMode) == fs::FileType::RegularFile;
        // Blocks of 512 bytes, whatever the file system's are.
        Ok(if is_alone { u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512) } else { 0 })
    }

    /// Removes what is called `name` here, whatever it is; nothing where there is nothing.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            // Follows no links (CVE-2022-21658).
            Err(Errno::ISDIR | Errno::PERM) => std::fs::remove_dir_all(self.path.join(name)),
            Err(error) => Err(error.into()),
        }
    }

    /// From now on `from` is called `to`, durably once [`Self::sync`] has returned.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// What was made, renamed and removed here survives a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.fd)?)
    }

    /// How much may still be written here, bytes.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let stat = fs::fstatvfs(&self.fd)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn regular(fd: OwnedFd) -> io::Result<File> {
    let stat = fs::fstat(&fd)?;
    // The field's width is the platform's; a mode fits any of them.
    if fs::FileType::from_raw_mode(stat.st_mode as RawMode) == fs::FileType::RegularFile {
        Ok(File::from(fd))
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}

/// Makes room for `size` bytes of a file, so that the disk can't be full in the middle of it. What is there stays.
pub(crate) fn reserve(file: &File, size: u64) -> io::Result<()> {
    if file.metadata()?.len() != size {
        file.set_len(size)?;
    }
    if size == 0 {
        return Ok(());
    }
    match fs::fallocate(file, fs::FallocateFlags::empty(), 0, size) {
        // A file system that can't; the space was looked at before.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The file's permissions.
pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    Ok(fs::fchmod(file, Mode::from_raw_mode(mode as RawMode))?)
}

/// What is read next comes from the disk, as far as the system does as it is told.
pub(crate) fn forget(file: &File) {
    // Advice: whoever can't take it reads from memory.
    let _ = fs::fadvise(file, 0, None, fs::Advice::DontNeed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Both ways to open: by the system, and part by part where the system can't.
    #[test]
    fn nothing_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        std::fs::write(inside.join("sub/file"), "good").unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        std::os::unix::fs::symlink("..", inside.join("up")).unwrap();
        std::os::unix::fs::symlink("sub/file", inside.join("within")).unwrap();
        let folder = Folder::open(&inside).unwrap();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        for walks in [false, true] {
            let open = |name: &str| {
                if walks {
                    folder.walk(name, flags, Mode::empty())
                } else {
                    folder.beneath(name, flags, Mode::empty())
                }
            };
            let mut text = String::new();
            File::from(open("sub/file").unwrap()).read_to_string(&mut text).unwrap();
            assert_eq!(text, "good");
            let absolute = dir.path().join("secret");
            for name in
                ["../secret", "sub/../../secret", "link", "up/secret", "within", absolute.to_str().unwrap()]
            {
                assert!(open(name).is_err(), "{name} (walks: {walks})");
            }
            assert_eq!(open("sub/absent").unwrap_err(), Errno::NOENT);
        }
        assert!(folder.read("sub").is_err(), "a folder is no file");
        assert!(folder.read("absent").unwrap().is_none());
        assert!(folder.is_regular("sub/file").unwrap() && !folder.is_regular("link").unwrap());
    }

    #[test]
    fn what_is_removed_is_what_is_here() {
        let dir = tempfile::tempdir().unwrap();
        let (slot, other) = (dir.path().join("slot"), dir.path().join("other"));
        std::fs::create_dir_all(slot.join("folder/deep")).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(&other, slot.join("link")).unwrap();
        std::os::unix::fs::symlink(&other, slot.join("folder/deep/link")).unwrap();
        let folder = Folder::open(&slot).unwrap();
        for name in ["folder", "link", "absent"] {
            folder.remove(name).unwrap();
        }
        assert!(folder.names().unwrap().is_empty());
        assert!(other.join("kept").exists());
    }
}
