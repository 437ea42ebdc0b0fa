//! The sync under faults that are made up: both ends' real machines in one process, with a network, disks and clocks that
//! a seed breaks; and rows as a hotel writes them, to train the dictionary and to measure the wire.
//!
//! A history is a script of [`Step`]s. [`play`] plays it and then lets both ends come to rest on a good line; what each end
//! keeps is then compared row by row. [`shrink`] finds the few steps that a failure needs.

mod cloud;
mod edge;
mod flaw;
mod line;
mod random;
pub mod rows;
mod script;
mod shrink;
mod world;

pub use flaw::Flaw;
pub use script::{Step, history};
pub use shrink::shrink;
pub use world::{Fault, Tally, play};
