//! A release on its way into the spare slot: fetched, checked, written.
//!
//! [`install`] makes a slot's folder what a manifest says: from what the running slot has, and from a [`Source`] what it lacks.
//! Every byte is verified where it comes in (each chunk), before it counts (each file is read back), and whatever is found on
//! the disk later. There is no record of how far it is: that is read from what is there, so that a power cut at any moment
//! leaves nothing to be believed. The manifest is written last; a slot without it is not complete.
//!
//! Files are opened beneath their folder (openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS), regular files only. There is no
//! archive and no extractor.
//!
//! Never: a decision about trust (that is The Update Framework's), about slots (the supervisor's), about time.

mod apply;
mod begun;
mod error;
mod fetch;
mod folder;
mod held;
mod install;
mod stick;

pub use begun::{Begun, MOST_BEGUN};
pub use engawa_release::source::{self, Piece, Source, SourceFault};
pub use error::InstallError;
pub use fetch::{FetchError, Release, fetch, fetch_known, fetch_target};
pub use folder::Folder;
pub use install::{Installed, Limits, Progress, Weighed, install, weigh};
pub use stick::FolderSource;
