//! The Update Framework (TUF specification 1.0.33): which metadata and which targets may be trusted, and how they are signed.
//!
//! Pure: bytes and the time come in, decisions and names of files to fetch go out. [`Client`] is the gateway's half,
//! [`Document`] with [`metadata`] and [`Signer`] that of whoever signs. Both ends judge with the same code.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod canonical;
mod client;
mod document;
mod error;
mod key;
mod known;
mod limits;
pub mod metadata;
mod pattern;
mod role;
mod search;
mod sign;
mod target;
mod trusted;

pub use canonical::{NotCanonical, encode as canonical};
pub use client::{Announced, Client, METADATA_FOLDER, Step, TARGETS_FOLDER, drive};
pub use document::{Document, Signature, Signatures};
pub use error::{Attack, Fault};
pub use key::{KeyFault, PublicKey, Scheme};
pub use known::{Known, check_root};
pub use limits::Limits;
pub use role::Authority;
pub use sign::{Ed25519Signer, SignFault, Signer};
pub use target::{Check, Target};

/// The version of the TUF specification that metadata of ours names.
pub const SPEC_VERSION: &str = "1.0.33";
