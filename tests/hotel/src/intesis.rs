//! Intesis INMBSDAI001I000: gateway of one Daikin air conditioner, registers as in the maker's manual r2.3.
//!
//! Addresses are the protocol's (from 0). The DIP switch is at its default: temperatures in tenths of a degree. 03
//! and 04 read the same; 06 writes one; 16 is taken with one register only.

use crate::device::{Exception, Read, Registers, Write, signed, unsigned};
use crate::physics::Drive;

/// Raw value of a temperature that nobody has given.
const NONE: u16 = 0x8000;
const HEAT: u16 = 1;
const DRY: u16 = 2;
const FAN_ONLY: u16 = 3;
const COOL: u16 = 4;
const SETPOINT: u16 = 4;
const EXTERNAL: u16 = 22;

/// One gateway and its air conditioner.
#[derive(Clone, Debug)]
pub(crate) struct Intesis {
    on: u16,
    mode: u16,
    fan: u16,
    vane_up_down: u16,
    /// °C in tenths.
    setpoint: u16,
    air: u16,
    window: u16,
    disabled: u16,
    remote_disabled: u16,
    /// Hours that the unit has run.
    hours: f64,
    /// After so many minutes of open window the unit is switched off.
    window_timeout: u16,
    /// Hours that the window has been open.
    window_open_for: f64,
    external: u16,
    vane_left_right: u16,
    humidification: u16,
    on_change_only: u16,
}

impl Intesis {
    /// One that heats to `celsius`.
    pub(crate) fn new(celsius: f64) -> Self {
        Self {
            on: 1,
            mode: HEAT,
            fan: 0,
            vane_up_down: 0,
            setpoint: signed(celsius * 10.0),
            air: signed(celsius * 10.0),
            window: 0,
            disabled: 0,
            remote_disabled: 0,
            hours: 1203.0,
            window_timeout: 30,
            window_open_for: 0.0,
            external: NONE,
            vane_left_right: 0,
            humidification: 0,
            on_change_only: 1,
        }
    }

    pub(crate) fn setpoint(&self) -> f64 {
        f64::from(self.setpoint.cast_signed()) / 10.0
    }

    /// The set points that the mode allows, raw.
    fn limits(&self) -> (i16, i16) {
        match self.mode {
            HEAT => (160, 300),
            COOL => (180, 320),
            _ => (180, 300),
        }
    }

    pub(crate) fn turn(&mut self, celsius: f64) {
        let (low, high) = self.limits();
        self.setpoint = signed((celsius * 10.0).clamp(f64::from(low), f64::from(high)));
    }

    pub(crate) fn live(&mut self, air: f64, hours: f64) -> Drive {
        self.air = signed(air * 10.0);
        if self.window == 1 {
            self.window_open_for += hours;
            if self.window_timeout > 0 && self.window_open_for * 60.0 >= f64::from(self.window_timeout) {
                self.on = 0;
            }
        } else {
            self.window_open_for = 0.0;
        }
        if self.on == 0 {
            return 0.0;
        }
        self.hours += hours;
        let error = self.setpoint() - air;
        match self.mode {
            HEAT => (error + 0.2).clamp(0.0, 1.0),
            COOL => (error - 0.2).clamp(-1.0, 0.0),
            DRY | FAN_ONLY => 0.0,
            _ => error.clamp(-1.0, 1.0),
        }
    }
}

impl Registers for Intesis {
    fn read(&self, _: Read, address: u16) -> Result<u16, Exception> {
        Ok(match address {
            0 => self.on,
            1 => self.mode,
            2 => self.fan,
            3 => self.vane_up_down,
            // 23 is what the gateway sends to the unit; without an external sensor they are the same.
            SETPOINT | 23 => self.setpoint,
            5 => self.air,
            6 => self.window,
            7 => self.disabled,
            8 => self.remote_disabled,
            // The counter of hours begins again after 65535.
            9 => unsigned(self.hours.floor() % 65_536.0),
            // No alarm, no error.
            10 | 11 => 0,
            13 => self.window_timeout,
            14 => 9600,
            15 => 1,
            21 => 5,
            EXTERNAL => self.external,
            26 => self.vane_left_right,
            28 => self.humidification,
            49 => 0x0701,
            50 => 0x0203,
            97 => self.on_change_only,
            _ => return Err(Exception::Address),
        })
    }

    fn write(&mut self, _: Write, address: u16, values: &[u16]) -> Result<(), Exception> {
        // A block of more than one register is refused, whatever it holds.
        let &[value] = values else { return Err(Exception::Value) };
        let temperature = f64::from(value.cast_signed()) / 10.0;
        let (low, high) = self.limits();
        let within = (low..=high).contains(&value.cast_signed());
        let (slot, allowed) = match address {
            0 => (&mut self.on, value <= 1),
            1 => (&mut self.mode, value <= 4),
            2 => (&mut self.fan, value <= 5),
            3 => (&mut self.vane_up_down, value == 0 || value == 10),
            SETPOINT => (&mut self.setpoint, within),
            6 => (&mut self.window, value <= 1),
            7 => (&mut self.disabled, value <= 1),
            8 => (&mut self.remote_disabled, value <= 1),
            9 => {
                self.hours = f64::from(value);
                return Ok(());
            }
            13 => (&mut self.window_timeout, value <= 30),
            EXTERNAL => (&mut self.external, value == NONE || (-30.0..=60.0).contains(&temperature)),
            26 => (&mut self.vane_left_right, value == 0 || value == 10),
            28 => (&mut self.humidification, value <= 4),
            97 => (&mut self.on_change_only, value <= 1),
            _ => return Err(Exception::Address),
        };
        if !allowed {
            return Err(Exception::Value);
        }
        *slot = value;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_and_gaps() {
        let device = Intesis::new(19.0);
        for how in [Read::Holding, Read::Input] {
            for (address, want) in
                [(0, 1), (4, 190), (5, 190), (22, 0x8000), (23, 190), (49, 0x0701), (97, 1)]
            {
                assert_eq!(device.read(how, address), Ok(want), "{address}");
            }
            for address in [12, 16, 20, 24, 25, 27, 29, 48, 51, 96, 98] {
                assert_eq!(device.read(how, address), Err(Exception::Address), "{address}");
            }
        }
    }

    #[test]
    fn writes_and_their_limits() {
        let mut device = Intesis::new(19.0);
        for (how, address, values, want) in [
            (Write::Single, 4, &[220][..], Ok(())),
            (Write::Multiple, 4, &[225], Ok(())),
            (Write::Multiple, 4, &[225, 0], Err(Exception::Value)),
            (Write::Single, 4, &[159], Err(Exception::Value)),
            (Write::Single, 4, &[0x8000], Err(Exception::Value)),
            (Write::Single, 1, &[4], Ok(())),
            (Write::Single, 4, &[170], Err(Exception::Value)),
            (Write::Single, 4, &[315], Ok(())),
            (Write::Single, 3, &[5], Err(Exception::Value)),
            (Write::Single, 5, &[1], Err(Exception::Address)),
            (Write::Single, 12, &[1], Err(Exception::Address)),
        ] {
            assert_eq!(device.write(how, address, values), want, "{address} {values:?}");
        }
        assert!((device.setpoint() - 31.5).abs() < 1e-9);
    }

    #[test]
    fn it_goes_off_when_the_window_stays_open() {
        let mut device = Intesis::new(22.0);
        assert!(device.live(18.0, 0.1) > 0.9);
        device.write(Write::Single, 6, &[1]).unwrap();
        assert!(device.live(18.0, 0.4) > 0.9);
        assert!(device.live(18.0, 0.2) < 0.01);
        assert_eq!(device.read(Read::Holding, 0), Ok(0));
    }
}
