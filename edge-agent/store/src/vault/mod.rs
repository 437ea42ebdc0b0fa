//! The guest vault: personal data sealed under a key for each stay, found through blind indexes, erased by destroying
//! the key.
//!
//! Why two files: the sealed fields lie in the database, of which backups are made; the stays' keys, wrapped by the
//! gateway's key, and the indexes lie in [`KEYS_FILE`], of which none is made. Once a key is gone, every copy of its
//! stay's data is dark, also one in a backup that was made before. The indexes lie there too because prefixes of a name
//! give the name away to whoever has the gateway's key.
//!
//! Order of writing: a new key before what it seals; a tombstone before its key goes. After a crash between the two
//! there is a key without data, or an erasure that the next start ends.
//!
//! Terms: a *record* is what is kept of one stay of one guest; it is *dark* where its key is gone.
//!
//! Never: a personal field in a document of the state, in the journal, in a log; a read by people without a row in the
//! [`AuditTrail`].

mod audit;
mod erasure;
mod fields;
mod held;
mod index;
mod key;
mod keyring;
mod records;
mod register;
mod seal;
mod stage;
mod viewer;

pub use audit::{AUDIT_FILE, AuditHead, AuditRow, AuditTrail, Tampered};
pub use erasure::{Target, verify};
pub use index::{Query, QueryError};
pub use key::VaultKey;
pub use keyring::KEYS_FILE;
pub use register::{REGISTER_FILE, Register, RegisterEntry};
pub use viewer::{Asker, FindError, GuestFile, Viewer};

pub(crate) use erasure::{erase_in, finish, plan, sweep_tombstones};
pub(crate) use fields::of as personal_kind;
pub(crate) use keyring::Keyring;
pub(crate) use records::{dark, unseal};
pub(crate) use stage::{Stage, adopt, reindex, start_clocks};

/// The file of the vault's key in the store's folder, where nothing else is configured.
pub const KEY_FILE: &str = "vault.key";

/// The name of a record: random, so that it says nothing and never comes twice.
pub(crate) type RecordId = [u8; 16];
