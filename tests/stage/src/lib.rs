//! The stage: a whole house in one folder, made of real processes. The cloud, the agent and the simulated hotel run as
//! they would in a hotel, with a line between agent and cloud that can be cut.
//!
//! Why a crate of its own: the demo, the kill test and the benches play the same house.
//!
//! Never: a dependency on a crate of Engawa. What is proved here is read from the outside: the programs' command lines,
//! the hotel's own log, and the cloud's database through the `sqlite3` program.

pub mod figures;
pub mod house;
pub mod leaks;
pub mod played;
pub mod process;
pub mod proof;
pub mod seeds;
pub mod sqlite;
pub mod wait;

pub use engawa_relay as relay;
