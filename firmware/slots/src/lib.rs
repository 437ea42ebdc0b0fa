//! The two slots of the application: which is started, which is on trial, which way back there is. Pure but for its files.
//!
//! [`table`] is what is remembered, [`machine`] decides, [`store`] keeps the table over power cuts, [`check`] tells whether
//! a slot's files are what its manifest says. [`ask`] is the agent's end of the supervisor's socket, [`request`] its words.
//! All of them reach the disk through [`files::Files`] alone, so that tests can cut the power at each step.

pub mod ask;
pub mod check;
pub mod digest;
pub mod files;
pub mod install;
pub mod machine;
pub mod request;
pub mod store;
pub mod table;

pub use ask::{AskError, Status, Supervisor};
pub use digest::Digest;
pub use table::{Outcome, Release, Slot, Table, Verdict};

/// The program of a slot that is started.
pub const PROGRAM: &str = "engawa";

/// The manifest of a slot.
pub const MANIFEST: &str = "manifest.json";

/// Where the agent finds the supervisor's socket: the environment variable with its path.
pub const SOCKET_VARIABLE: &str = "ENGAWA_SUPERVISOR";
