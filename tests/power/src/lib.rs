//! Power cuts under SQLite: every write and every sync of its files is recorded, and from the record a disk is made as a
//! cut at any moment could leave it.
//!
//! [`vfs`] records; [`disk`] is the disk, pure.

pub mod disk;
pub mod vfs;
