//! The cloud's memory on PostgreSQL: the same promises as [`crate::store`] keeps on SQLite, for any number of `serve` on
//! one database.
//!
//! The property leads every key, so that a property's rows can be moved or spread by it. Rows, marks and projections
//! move in ONE transaction; a gateway's row is locked in it, so that two replicas never count one lane twice.
//!
//! Never: a mark that runs ahead of its rows; an answer before its commit; a replica that has to be the one that a
//! gateway spoke to last.

mod admission;
pub mod authority;
pub mod bundles;
pub mod commands;
mod connect;
pub mod end;
pub mod erasure;
pub mod fanout;
pub mod gateways;
mod group;
pub mod history;
pub mod house_settings;
mod ingest;
pub mod listing;
pub mod live;
pub mod migrations;
pub mod partitions;
mod postings;
mod projection;
mod replica;
pub mod rollouts;
pub mod settings;
mod standing;
pub mod tenant;
pub mod trust;
mod wake;

pub use connect::{Address, Store};
pub use end::End;
pub use group::Intake;
pub use replica::Replica;
pub use wake::Wake;

use std::borrow::Cow;

/// `text` as PostgreSQL can hold it: it has no character of the number 0.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}
