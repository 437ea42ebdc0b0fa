//! Releases: a repository of The Update Framework, made, signed, published and kept fresh.
//!
//! Three places. A *draft* is a folder that travels between the people who sign: `metadata/root.json` and
//! `metadata/targets.json` as they are to become, `metadata/current.*.json` as they are, `targets/` with new files. The
//! *repository* is what gateways read. The *online keys* lie in the cloud's folder; they sign snapshots and timestamps, with
//! which nobody can bring in a file that the offline keys have not signed.

pub(crate) mod audit;
pub(crate) mod baseline;
pub(crate) mod changes;
pub(crate) mod counter;
pub(crate) mod create;
pub(crate) mod draft;
pub(crate) mod expiry;
pub(crate) mod folder;
pub(crate) mod keys;
pub(crate) mod listing;
pub(crate) mod online;
pub(crate) mod provenance;
pub(crate) mod publish;
pub(crate) mod retire;
pub(crate) mod roots;
pub(crate) mod sbom;
pub(crate) mod signing;
#[cfg(feature = "pkcs11")]
pub(crate) mod token;
