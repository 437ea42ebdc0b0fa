//! The disk, as the slots see it: few steps, each of which a test can cut the power at.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What a file's metadata says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Changes with whatever is done to the file: device, inode, time of its last change in seconds and nanoseconds.
    pub stamp: (u64, u64, i64, i64),
}

/// A folder with the table's copies and the slots' folders in it. Names are `table.0` or `a/engawa`: ours, never a stranger's.
pub trait Files {
    /// A file that is being read.
    type Reader: Read;

    /// Opens a regular file; symbolic links are not followed.
    ///
    /// # Errors
    /// `NotFound` where there is none, and whatever the disk says.
    fn open(&self, name: &str) -> io::Result<Self::Reader>;

    /// What the metadata of an open file says.
    ///
    /// # Errors
    /// What the disk says.
    fn look(&self, file: &Self::Reader) -> io::Result<Look>;

    /// Writes bytes in place; makes the file, with these permission bits, where it is not there. Nothing is durable yet.
    ///
    /// # Errors
    /// What the disk says.
    fn write(&self, name: &str, at: u64, bytes: &[u8], mode: u32) -> io::Result<()>;

    /// Removes a file, or does nothing where there is none. Not durable before its folder is synced.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes a folder, or does nothing where it is there.
    ///
    /// # Errors
    /// What the disk says.
    fn make_folder(&self, name: &str) -> io::Result<()>;

    /// Forces a file's bytes, or a folder's entries (`a`; the empty name is the whole folder), to the disk.
    ///
    /// # Errors
    /// What the disk says.
    fn sync(&self, name: &str) -> io::Result<()>;
}

/// A real folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder that a name lies in, and what it is called there. A slot that is a symbolic link is refused.
    fn place<'n>(&self, name: &'n str) -> io::Result<(OwnedFd, &'n str)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(&self.0, flags, Mode::empty())?;
        match name.rsplit_once('/') {
            None => Ok((top, name)),
            Some((folder, name)) => {
                Ok((rustix::fs::openat(&top, folder, flags | OFlags::NOFOLLOW, Mode::empty())?, name))
            }
        }
    }
}

impl Files for Folder {
    type Reader = File;

    fn open(&self, name: &str) -> io::Result<File> {
        let (folder, name) = self.place(name)?;
        // Not blocking, or a pipe of this name would hold the supervisor for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&folder, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Ok(file)
    }

    fn look(&self, file: &File) -> io::Result<Look> {
        let found = file.metadata()?;
        Ok(Look {
            size: found.len(),
            mode: found.mode() & 0o7777,
            stamp: (found.dev(), found.ino(), found.ctime(), found.ctime_nsec()),
        })
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8], mode: u32) -> io::Result<()> {
        let (folder, name) = self.place(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(mode))?);
        file.write_all_at(bytes, at)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (folder, name) = self.place(name)?;
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        let (folder, name) = self.place(name)?;
        match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let (folder, name) = self.place(name)?;
        if name.is_empty() {
            return Ok(rustix::fs::fsync(&folder)?);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::fsync(rustix::fs::openat(&folder, name, flags, Mode::empty())?)?)
    }
}
