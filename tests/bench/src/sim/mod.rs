//! The field: many devices behind Modbus TCP addresses, in one thread.
//!
//! `frame` takes requests apart, `field` has the devices' registers and markers, `serve` is the shell around them.

pub mod field;
pub mod frame;
pub mod serve;
