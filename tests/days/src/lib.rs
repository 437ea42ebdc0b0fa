//! Random days of a hotel, played against a reference.
//!
//! A simulated PMS holds the truth: a map of its guests. What it says goes through the real FIAS codec, the real link
//! machine and the real model, with broken connections, killed processes, lists at any moment, and records that come
//! twice, early or never. Two references watch: the PMS's own map, which the house must equal whenever nothing is lost,
//! and an auditor who knows the journal alone. A list that would empty the house is one that the reference doubts, too.
//!
//! A day is a list of steps made from a seed. A day that fails is cut down to the fewest steps that still fail the same
//! way, and printed.
//!
//! Never: sockets, files, clocks. A day costs less than a millisecond.

mod audit;
mod flaw;
mod house;
mod play;
mod pms;
mod script;
mod shrink;

pub use flaw::Flaw;
pub use play::{Fault, Tally, play};
pub use script::{Step, day};
pub use shrink::shrink;
