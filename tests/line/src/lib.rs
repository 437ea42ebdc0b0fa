//! The line between gateway and cloud put to the test: real programs over a bad relay, with faults of every kind, and
//! what it is worth in figures.
//!
//! The programs are looked at from outside: their databases are read with SQLite, not through their own crates. Only the
//! bench's load of many gateways is made of the link itself, since ten thousand programs do not fit on a machine.

pub mod agree;
pub mod faults;
pub mod fleet;
pub mod gateways;
pub mod offline;
