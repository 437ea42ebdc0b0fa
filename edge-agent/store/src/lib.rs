//! SQLite: the current state, the journal that sync sends, and the inbox's mark, encrypted at rest.
//!
//! Why one file: state and journal rows of one observation are written in ONE transaction. After any crash
//! the journal tells exactly what the state has become, so the cloud can't miss a change nor see one twice.
//!
//! Terms: the *journal* is the outbox, rows with dense sequence numbers per lane; the *epoch* is the random
//! id of this journal's life; a *mark* is the highest sequence number that the other side has.
//!
//! Personal data is sealed under a key for each stay before it reaches this file: see [`vault`].
//!
//! Never: a second writer; an effect before its commit; a journal row changed after it may have been handed out.

mod backup;
mod ballast;
mod batch;
mod budget;
mod carried;
mod commit;
mod connect;
mod epoch;
mod error;
mod journal;
mod key;
mod migrations;
mod missed;
mod numbering;
mod reader;
mod relief;
mod retention;
mod stamp;
#[doc(hidden)]
pub mod testing;
mod thin;
pub mod vault;
mod writer;

pub use batch::{Batch, Durability, Event, Limits};
pub use budget::{Budget, Pressure};
pub use carried::{Carried, CarriedOver};
pub use epoch::{begin_anew_when_opened, is_in_use};
pub use error::StoreError;
pub use journal::{JournalRow, LaneMarks};
pub use key::{DatabaseKey, KeyError};
pub use migrations::LATEST as SCHEMA_VERSION;
pub use reader::{Reader, WaitingEvent};
pub use writer::Store;

/// The database's file in the store's folder.
pub const DATABASE_FILE: &str = "engawa.db";
