//! The way to the cloud, without I/O: frames, lanes, cursors, and both ends' session state machines.

pub mod ports;
