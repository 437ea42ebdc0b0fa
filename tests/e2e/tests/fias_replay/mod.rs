//! How a case is read and replayed.

pub(crate) mod case;
mod conformance;
pub(crate) mod home;
pub(crate) mod memory;
pub(crate) mod socket;
