//! The way to the cloud, without I/O: frames, lanes, cursors, and both ends' session state machines.
//!
//! How it goes: the edge says [`Hello`](frame::Hello) with its journal's epoch and heads; the cloud welcomes it with
//! the marks it holds. Then each lane ships its rows from the mark on, in order, in compressed batches; the cloud
//! stores a batch and its mark in one transaction and acknowledges the mark. Commands come down the same way, with
//! numbers of their own. Delivery is at least once; the mark makes the effect exactly once.
//!
//! Terms: *lane*, *row*, *mark*, *epoch*: see [`ports`].
//!
//! Never: sockets, files, the clock, randomness, tokio.

pub mod batch;
pub mod cloud;
pub mod edge;
pub mod frame;
pub mod ports;
#[cfg(test)]
mod simulation;
