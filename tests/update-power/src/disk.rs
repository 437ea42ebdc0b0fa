//! The guest's disks: the one whose writes are recorded, its log, and the one in memory on which cuts are tried.

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

/// The disk.
pub(crate) const DISK: &str = "/dev/vda";
/// Where its log goes.
const LOG: &str = "/dev/vdb";
/// The disk through the log.
pub(crate) const LOGGED: &str = "/dev/mapper/logged";
/// The disk in memory.
pub(crate) const MEMORY: &str = "/dev/ram0";
/// Where any of them is mounted.
pub(crate) const MOUNTED: &str = "/mnt";
/// The most of a log that is read, bytes.
const MOST_LOG: usize = 1 << 30;

/// Runs a program, whose failure is one of the campaign.
pub(crate) fn tool(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .env("DM_DISABLE_UDEV", "1")
        .output()
        .context(program.to_owned())?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// An empty file system, as a gateway has it.
pub(crate) fn format() -> Result<()> {
    tool(
        "/tools/mke2fs",
        &["-q", "-t", "ext4", "-b", "4096", "-J", "size=4", "-E", "nodiscard,lazy_itable_init=0", DISK],
    )
}

pub(crate) fn mount(device: &str) -> Result<()> {
    rustix::mount::mount(device, MOUNTED, "ext4", MountFlags::NOATIME, None)
        .with_context(|| format!("{device} can't be mounted"))
}

pub(crate) fn unmount() -> Result<()> {
    rustix::mount::unmount(MOUNTED, UnmountFlags::empty())
        .context("the disk can't be unmounted: something uses it")
}

/// What the kernel has found wrong with a mounted file system.
pub(crate) fn errors(device: &str) -> Result<u64> {
    let name = Path::new(device).file_name().context("a device without a name")?;
    let file = Path::new("/sys/fs/ext4").join(name).join("errors_count");
    let count = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(count.trim().parse()?)
}

/// From now on every write of [`LOGGED`] is recorded.
pub(crate) fn log() -> Result<()> {
    let sectors = size(DISK)? / 512;
    tool(
        "/tools/dmsetup",
        &["create", "--noudevsync", "logged", "--table", &format!("0 {sectors} log-writes {DISK} {LOG}")],
    )
}

/// A word into the log, behind all that was forced to the disk until now.
pub(crate) fn mark(word: &str) -> Result<()> {
    tool("/tools/dmsetup", &["message", "logged", "0", "mark", word])
}

/// The end of the record, and all of it.
pub(crate) fn logged() -> Result<Vec<u8>> {
    tool("/tools/dmsetup", &["remove", "--noudevsync", "logged"])?;
    let mut length = 16 << 20;
    loop {
        let mut bytes = vec![0; length];
        File::open(LOG)?.read_exact(&mut bytes)?;
        match engawa_update_power::log::read(&bytes) {
            Err(engawa_update_power::log::LogFault::Short { .. }) if length < MOST_LOG => length *= 2,
            Err(fault) => return Err(fault.into()),
            Ok(_) => return Ok(bytes),
        }
    }
}

fn size(device: &str) -> Result<u64> {
    use std::io::Seek as _;
    Ok(File::open(device)?.seek(std::io::SeekFrom::End(0))?)
}

/// All of a disk.
pub(crate) fn read(device: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(device)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The disk in memory, which is written only where it is to change.
pub(crate) struct Memory {
    device: File,
}

impl Memory {
    pub(crate) fn open() -> Result<Self> {
        Ok(Self { device: OpenOptions::new().read(true).write(true).open(MEMORY)? })
    }

    /// Makes it this image.
    pub(crate) fn put(&mut self, image: &[u8]) -> Result<()> {
        const PIECE: usize = 64 << 10;
        let mut there = vec![0; PIECE];
        for (number, piece) in image.chunks(PIECE).enumerate() {
            let at = (number * PIECE) as u64;
            self.device.read_exact_at(&mut there[..piece.len()], at)?;
            if there[..piece.len()] != *piece {
                self.device.write_all_at(piece, at)?;
            }
        }
        self.device.flush()?;
        rustix::fs::fsync(&self.device)?;
        Ok(())
    }
}
