//! What a release is made of: its manifest, its chunks, its patches. Pure; both ends.
//!
//! A release is a flat list of files. Their contents lie in one file, the *pack*, cut by content into *chunks* that are
//! compressed one by one; beside it lie *patches*, each of which makes a file of a former release into one of this. So
//! everything that is ever fetched is a range of bytes of a named file. What is believed: the manifest, because The Update
//! Framework says so; everything else, because the manifest says so.
//!
//! Terms: *pack*, *chunk*, *patch*: see [`manifest`]. *Held*: what is on the gateway's disk already ([`plan`]).
//!
//! Never: a socket, a file, the clock.

pub mod conditions;
pub mod cut;
mod digest;
pub mod manifest;
pub mod name;
pub mod pack;
pub mod plan;
pub mod source;
pub mod unpack;

pub use digest::{BadDigest, Digest, Sum};
pub use manifest::{Chunk, File, Kind, Manifest, ManifestError, Patch};
pub use plan::{Held, Plan, Way, plan};
pub use source::{Piece, Source, SourceFault};
