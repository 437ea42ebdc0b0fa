//! How a case is read and replayed.

pub(crate) mod case;
pub(crate) mod home;
pub(crate) mod memory;
pub(crate) mod socket;
