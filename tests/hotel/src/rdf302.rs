//! Siemens RDF302: fan-coil room thermostat, registers as in the maker's basic documentation CE1P3079en.
//!
//! Addresses here are those on the wire (the printed ones less 1). Temperatures are in steps of 0.02 K. Status
//! registers answer to function 04 only, single settings to 03 and 06, texts and the clock to 03 and 16. What the
//! documentation does not list has exception 02.

use crate::device::{Exception, Read, Registers, Write, unsigned};
use crate::physics::Drive;
use std::collections::BTreeMap;

/// Steps in 1 K.
const PER_KELVIN: f64 = 50.0;
/// Raw value of a sensor that is not there.
const NO_SENSOR: u16 = 0xFFFF;
const MODE: u16 = 100;
const FAN: u16 = 101;
const SETPOINT: u16 = 102;
const WINDOW: u16 = 104;
const ECO_HEATING: u16 = 10;
const PROTECTION_HEATING: u16 = 64;
const COMFORT: u16 = 1;
const ECONOMY: u16 = 3;
const PROTECTION: u16 = 4;
/// The object of the fault text, its length in registers.
const FAULT_TEXT: (u16, u16) = (1099, 10);
/// Objects that are written as a whole with function 16: four texts and the clock.
const BLOCKS: [(u16, u16); 5] = [(199, 10), (299, 10), (399, 10), (499, 10), (599, 4)];
const TEXTS: [(u16, &str); 4] =
    [(199, "condensation in room"), (299, "fault input 1"), (399, "fault input 2"), (499, "filter dirty")];

/// Which values a setting takes.
enum Takes {
    /// From the first to the second; signed where the first is negative.
    Range(i32, i32),
    /// One of these.
    OneOf(&'static [u16]),
    /// From the first to the second, or the third, which means off.
    RangeOrOff(i32, i32, u16),
    /// Two bytes, each at most this.
    Bytes(u8),
}

/// The settings: address, factory value, what may be written. Commands from 100 on, parameters P01 to P81 below.
const SETTINGS: [(u16, u16, Takes); 40] = [
    (MODE, COMFORT, Takes::OneOf(&[1, 3, 4])),
    (FAN, 0, Takes::OneOf(&[0, 33, 66, 100])),
    (SETPOINT, 1050, Takes::Range(250, 2000)),
    (103, 0, Takes::Range(0, 2450)),
    (WINDOW, 0, Takes::OneOf(&[0, 1])),
    (105, 1, Takes::OneOf(&[0, 1])),
    (106, 1, Takes::OneOf(&[0, 1])),
    (107, 0, Takes::Range(0, 4)),
    (108, 1, Takes::Range(0, 4)),
    (0, 4, Takes::Range(0, 4)),
    (1, 2, Takes::OneOf(&[1, 2])),
    (3, 0, Takes::OneOf(&[0, 1])),
    (4, 0, Takes::Range(-150, 150)),
    (5, 0, Takes::OneOf(&[0, 1])),
    (6, 0, Takes::Range(0, 4)),
    (7, 1050, Takes::Range(250, 2000)),
    (8, 250, Takes::Range(250, 2000)),
    (9, 1750, Takes::Range(250, 2000)),
    (ECO_HEATING, 750, Takes::RangeOrOff(250, 2000, 225)),
    (11, 1500, Takes::RangeOrOff(250, 2000, 2025)),
    (12, 1, Takes::OneOf(&[0, 1])),
    (13, 0, Takes::Range(0, 2)),
    (29, 100, Takes::Range(25, 300)),
    (30, 50, Takes::Range(25, 300)),
    (32, 100, Takes::Range(25, 250)),
    (33, 100, Takes::Range(25, 250)),
    (34, 5, Takes::Range(0, 10)),
    (35, 800, Takes::Range(500, 1250)),
    (36, 1400, Takes::Range(1350, 2000)),
    (37, 0, Takes::Bytes(8)),
    (39, 0, Takes::OneOf(&[0, 1])),
    (40, 0, Takes::OneOf(&[0, 1])),
    (50, 450, Takes::RangeOrOff(500, 2500, 450)),
    (51, 1, Takes::Range(0, 3)),
    (52, 2, Takes::OneOf(&[1, 2])),
    (PROTECTION_HEATING, 400, Takes::RangeOrOff(250, 2000, 225)),
    (65, 2025, Takes::RangeOrOff(250, 2000, 2025)),
    (67, 2, Takes::Range(0, 3)),
    (69, 1, Takes::Range(0, 2)),
    (80, 1, Takes::Range(1, 247)),
];

impl Takes {
    fn allows(&self, raw: u16) -> bool {
        let within = |low: i32, high: i32| {
            let value = if low < 0 { i32::from(raw.cast_signed()) } else { i32::from(raw) };
            (low..=high).contains(&value)
        };
        match self {
            Self::Range(low, high) => within(*low, *high),
            Self::OneOf(values) => values.contains(&raw),
            Self::RangeOrOff(low, high, off) => within(*low, *high) || raw == *off,
            Self::Bytes(most) => raw.to_be_bytes().iter().all(|byte| byte <= most),
        }
    }
}

/// One thermostat.
#[derive(Clone, Debug)]
pub(crate) struct Rdf302 {
    settings: BTreeMap<u16, u16>,
    blocks: BTreeMap<u16, u16>,
    /// Room temperature, raw.
    air: u16,
    /// Heating output, %.
    heating: u16,
}

impl Rdf302 {
    /// One from the factory with this address and set point.
    pub(crate) fn new(unit: u8, celsius: f64) -> Self {
        let mut settings: BTreeMap<u16, u16> = SETTINGS.iter().map(|(at, value, _)| (*at, *value)).collect();
        settings.insert(80, u16::from(unit));
        settings.insert(SETPOINT, unsigned(celsius * PER_KELVIN));
        let mut blocks: BTreeMap<u16, u16> =
            BLOCKS.iter().flat_map(|(first, count)| (*first..first + count).map(|at| (at, 0))).collect();
        for (first, text) in TEXTS {
            for (at, pair) in (first..).zip(text.as_bytes().chunks(2)) {
                blocks.insert(at, u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            }
        }
        Self { settings, blocks, air: unsigned(celsius * PER_KELVIN), heating: 0 }
    }

    fn setting(&self, address: u16) -> u16 {
        self.settings.get(&address).copied().unwrap_or_default()
    }

    pub(crate) fn setpoint(&self) -> f64 {
        f64::from(self.setting(SETPOINT)) / PER_KELVIN
    }

    pub(crate) fn turn(&mut self, celsius: f64) {
        self.settings.insert(SETPOINT, unsigned((celsius * PER_KELVIN).clamp(250.0, 2000.0)));
    }

    /// The mode that it works in: an open window, told over the bus, protects.
    fn mode(&self) -> u16 {
        if self.setting(WINDOW) == 1 { PROTECTION } else { self.setting(MODE) }
    }

    /// The set point that it works with, raw.
    fn current(&self) -> u16 {
        let raw = match self.mode() {
            ECONOMY => self.setting(ECO_HEATING),
            PROTECTION => self.setting(PROTECTION_HEATING),
            _ => self.setting(SETPOINT),
        };
        // Off, in the current set point, is 4 °C.
        if raw == 225 { 200 } else { raw }
    }

    pub(crate) fn live(&mut self, air: f64) -> Drive {
        self.air = unsigned(air * PER_KELVIN);
        let error = f64::from(self.current()) - f64::from(self.air);
        let band = f64::from(self.setting(29).max(1));
        self.heating = unsigned((error / band * 100.0 + 20.0).clamp(0.0, 100.0));
        f64::from(self.heating) / 100.0
    }

    fn fan(&self) -> u16 {
        match (self.setting(FAN), self.heating) {
            (0, 0) => 0,
            (0, 1..=33) => 33,
            (0, 34..=66) => 66,
            (0, _) => 100,
            (command, _) => command,
        }
    }
}

impl Registers for Rdf302 {
    fn read(&self, how: Read, address: u16) -> Result<u16, Exception> {
        let (fault, length) = FAULT_TEXT;
        match (how, address) {
            (Read::Input, 1000) => Ok(self.mode()),
            (Read::Input, 1001) => Ok(self.fan()),
            (Read::Input, 1002) => Ok(self.air),
            (Read::Input, 1003) => Ok(self.current()),
            (Read::Input, 1004) => Ok(self.heating),
            // Neither cooling nor an electric heater is connected.
            (Read::Input, 1005 | 1006 | 1010 | 1011) => Ok(0),
            (Read::Input, 1007 | 1008) => Ok(NO_SENSOR),
            (Read::Input, 1009) => Ok(u16::from(self.setting(FAN) != 0)),
            // No fault: the text is empty.
            (Read::Input, at) if (fault..fault + length).contains(&at) => Ok(0),
            (Read::Holding, at) => {
                self.settings.get(&at).or_else(|| self.blocks.get(&at)).copied().ok_or(Exception::Address)
            }
            (Read::Input, _) => Err(Exception::Address),
        }
    }

    fn write(&mut self, how: Write, address: u16, values: &[u16]) -> Result<(), Exception> {
        match (how, values) {
            (Write::Single, [value]) => {
                let (_, _, takes) =
                    SETTINGS.iter().find(|(at, _, _)| *at == address).ok_or(Exception::Address)?;
                if !takes.allows(*value) {
                    return Err(Exception::Value);
                }
                self.settings.insert(address, *value);
                Ok(())
            }
            (Write::Multiple, values) => {
                let block = BLOCKS.iter().find(|(first, _)| *first == address).ok_or(Exception::Address)?;
                if values.len() != usize::from(block.1) {
                    return Err(Exception::Value);
                }
                self.blocks.extend((address..).zip(values.iter().copied()));
                Ok(())
            }
            (Write::Single, _) => Err(Exception::Value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_register_answers_to_its_functions_only() {
        let mut device = Rdf302::new(3, 19.0);
        for (how, address, want) in [
            (Read::Input, 1000, Ok(COMFORT)),
            (Read::Input, 1002, Ok(950)),
            (Read::Input, 1003, Ok(950)),
            (Read::Input, 1007, Ok(0xFFFF)),
            (Read::Input, 1011, Ok(0)),
            (Read::Input, 1012, Err(Exception::Address)),
            (Read::Input, 1108, Ok(0)),
            (Read::Input, 1109, Err(Exception::Address)),
            (Read::Input, 102, Err(Exception::Address)),
            (Read::Holding, 1002, Err(Exception::Address)),
            (Read::Holding, 102, Ok(950)),
            (Read::Holding, 109, Err(Exception::Address)),
            (Read::Holding, 2, Err(Exception::Address)),
            (Read::Holding, 80, Ok(3)),
            (Read::Holding, 199, Ok(u16::from_be_bytes(*b"co"))),
        ] {
            assert_eq!(device.read(how, address), want, "{how:?} {address}");
        }
        for (how, address, values, want) in [
            (Write::Single, 102, &[1100][..], Ok(())),
            (Write::Multiple, 102, &[1100], Err(Exception::Address)),
            (Write::Single, 102, &[249], Err(Exception::Value)),
            (Write::Single, 102, &[2001], Err(Exception::Value)),
            (Write::Single, 100, &[2], Err(Exception::Value)),
            (Write::Single, 10, &[225], Ok(())),
            (Write::Single, 10, &[226], Err(Exception::Value)),
            (Write::Single, 4, &[0xFFFF], Ok(())),
            (Write::Single, 4, &[151], Err(Exception::Value)),
            (Write::Single, 37, &[0x0108], Ok(())),
            (Write::Single, 37, &[0x0900], Err(Exception::Value)),
            (Write::Single, 1002, &[1], Err(Exception::Address)),
            (Write::Single, 199, &[1], Err(Exception::Address)),
            (Write::Multiple, 599, &[1, 2, 3, 4], Ok(())),
            (Write::Multiple, 599, &[1], Err(Exception::Value)),
        ] {
            assert_eq!(device.write(how, address, values), want, "{how:?} {address} {values:?}");
        }
        assert!((device.setpoint() - 22.0).abs() < 1e-9);
    }

    #[test]
    fn factory_values_may_be_written_back() {
        for (address, value, takes) in &SETTINGS {
            assert!(takes.allows(*value), "{address}");
        }
    }

    #[test]
    fn it_heats_to_its_set_point_and_protects_while_the_window_is_open() {
        let mut device = Rdf302::new(1, 22.0);
        assert!(device.live(18.0) > 0.9);
        assert_eq!(device.read(Read::Input, 1001), Ok(100));
        assert!(device.live(23.0) < 0.01);
        device.write(Write::Single, WINDOW, &[1]).unwrap();
        assert!(device.live(18.0) < 0.01);
        assert_eq!((device.read(Read::Input, 1000), device.read(Read::Input, 1003)), (Ok(4), Ok(400)));
    }
}
