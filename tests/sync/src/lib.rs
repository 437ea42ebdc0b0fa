//! The sync under faults that are made up: both ends' real machines in one process, with a network, disks and clocks that
//! a seed breaks; and rows as a hotel writes them, to train the dictionary and to measure the wire.
//!
//! A history is a script of [`Step`]s. [`play`] plays it and then lets both ends come to rest on a good line; what each end
//! keeps is then compared row by row. [`play_on_store`] does the same with the gateway's real store. [`shrink`] finds the few
//! steps that a failure needs.
//!
//! Limits: one restore of the gateway and one clone a history, since a restore is told apart from the next only when the cloud
//! was reached between them; a clone is made while its box is off the line, since turns tell boxes apart at their next session.

mod cloud;
mod disk;
mod edge;
mod flaw;
mod ids;
mod line;
mod random;
mod real;
pub mod rows;
mod script;
mod shrink;
mod world;

pub use flaw::Flaw;
pub use script::{Step, history};
pub use shrink::shrink;
pub use world::{Fault, Tally, play, play_on_store};
