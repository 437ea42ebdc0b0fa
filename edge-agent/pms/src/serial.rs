//! FIAS on a serial line: the line's own protocol ([`Line`]), and the port.

mod line;

pub use line::{Act, Counters, Line};

use serde::{Deserialize, Serialize};

/// The speeds that the specification names (FIAS 2.20: 1,200 to 38,400 baud).
const SPEEDS: [u32; 6] = [1_200, 2_400, 4_800, 9_600, 19_200, 38_400];

/// The parity of a serial line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Parity {
    #[default]
    None,
    Even,
    Odd,
}

/// A serial line to the PMS. One stop bit and full duplex, as the specification has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SerialConfig {
    /// The port: `/dev/ttyUSB0`.
    pub port: String,
    /// Its speed, baud.
    #[serde(default = "usual_speed")]
    pub baud: u32,
    /// Its parity.
    #[serde(default)]
    pub parity: Parity,
    /// Bits of a character: 7 or 8.
    #[serde(default = "eight")]
    pub data_bits: u8,
}

const fn usual_speed() -> u32 {
    9_600
}
const fn eight() -> u8 {
    8
}

impl SerialConfig {
    /// A line on `port` with the usual settings.
    pub fn new(port: impl Into<String>) -> Self {
        Self { port: port.into(), baud: usual_speed(), parity: Parity::default(), data_bits: eight() }
    }

    /// What is wrong: field, and what was expected.
    pub(crate) fn validate(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.port.trim().is_empty() {
            faults.push(("serial.port", "expected a serial port, such as `/dev/ttyUSB0`".to_owned()));
        }
        if !SPEEDS.contains(&self.baud) {
            let known = SPEEDS.map(|speed| speed.to_string()).join(", ");
            faults.push((
                "serial.baud",
                format!("{} is no speed of a FIAS line; expected one of {known}", self.baud),
            ));
        }
        if !matches!(self.data_bits, 7 | 8) {
            faults.push(("serial.data_bits", "expected 7 or 8".to_owned()));
        }
        faults
    }
}
