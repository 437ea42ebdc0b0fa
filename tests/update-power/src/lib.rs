//! Power cuts under an update, at the block layer: a kernel's record of every write and flush of a disk, and from it the
//! disk as a cut at any moment could have left it. Pure; `guest` makes the record and tries the disks.

pub mod cut;
pub mod log;
