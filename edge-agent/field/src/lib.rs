//! The field: devices of the rooms, whatever they speak.
//!
//! Each device follows a [`profile`]: a TOML file that says where its points are and what they mean. Drivers turn what
//! devices say into observations, and the house's orders into writes that are read back.
//!
//! Never: rules of the hotel, the store, the PMS.

#[doc(hidden)]
pub mod fuzz;
pub mod modbus;
pub mod mqtt;
pub mod profile;
