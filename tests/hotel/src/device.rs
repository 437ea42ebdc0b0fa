//! What every Modbus device of the hotel can do: answer for registers, and live in a room's air.

use crate::intesis::Intesis;
use crate::physics::Drive;
use crate::rdf302::Rdf302;

/// How a register is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Function 03.
    Holding,
    /// Function 04.
    Input,
}

/// How registers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// Function 06: one register.
    Single,
    /// Function 16: a block.
    Multiple,
}

/// Why a device refuses a request: the exception codes of the Modbus application protocol 1.1b3, section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exception {
    /// 01: the device has no such function.
    Function = 1,
    /// 02: it has no such register, or not for this function.
    Address = 2,
    /// 03: the value, or the number of registers, can't be.
    Value = 3,
    /// 0B: nobody answers behind the gateway.
    NoAnswer = 0x0B,
}

/// The registers of a device.
pub(crate) trait Registers {
    /// One register.
    ///
    /// # Errors
    /// The device has none there for this function.
    fn read(&self, how: Read, address: u16) -> Result<u16, Exception>;

    /// Writes `values` from `address` on, all or none.
    ///
    /// # Errors
    /// The device does not take them.
    fn write(&mut self, how: Write, address: u16, values: &[u16]) -> Result<(), Exception>;
}

/// The device on a room's wall.
#[derive(Clone, Debug)]
pub(crate) enum ClimateDevice {
    /// Siemens RDF302.
    Rdf302(Rdf302),
    /// Intesis INMBSDAI001I000 with its Daikin unit.
    Intesis(Intesis),
}

impl ClimateDevice {
    /// The set point in its register, °C.
    pub(crate) fn setpoint(&self) -> f64 {
        match self {
            Self::Rdf302(device) => device.setpoint(),
            Self::Intesis(device) => device.setpoint(),
        }
    }

    /// The guest turns the knob, or presses the remote control.
    pub(crate) fn turn(&mut self, celsius: f64) {
        match self {
            Self::Rdf302(device) => device.turn(celsius),
            Self::Intesis(device) => device.turn(celsius),
        }
    }

    /// What it measures is `air`, and `hours` of hotel time have passed; what it does to the room.
    pub(crate) fn live(&mut self, air: f64, hours: f64) -> Drive {
        match self {
            Self::Rdf302(device) => device.live(air),
            Self::Intesis(device) => device.live(air, hours),
        }
    }
}

impl Registers for ClimateDevice {
    fn read(&self, how: Read, address: u16) -> Result<u16, Exception> {
        match self {
            Self::Rdf302(device) => device.read(how, address),
            Self::Intesis(device) => device.read(how, address),
        }
    }

    fn write(&mut self, how: Write, address: u16, values: &[u16]) -> Result<(), Exception> {
        match self {
            Self::Rdf302(device) => device.write(how, address, values),
            Self::Intesis(device) => device.write(how, address, values),
        }
    }
}

/// A number as a register; what does not fit is cut off at the ends.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the register's range")]
pub(crate) fn unsigned(value: f64) -> u16 {
    value.round().clamp(0.0, 65_535.0) as u16
}

/// A signed number as a register in two's complement; what does not fit is cut off at the ends.
#[allow(clippy::cast_possible_truncation, reason = "clamped to the register's range")]
pub(crate) fn signed(value: f64) -> u16 {
    (value.round().clamp(-32_768.0, 32_767.0) as i16).cast_unsigned()
}
