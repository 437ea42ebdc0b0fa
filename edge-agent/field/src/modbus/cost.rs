//! How long a request holds its line.
//!
//! On a serial line that is arithmetic: characters at the baud rate, two silences, the pauses, and what the device
//! takes to answer. In a network it is the round trip, which nobody knows before it was measured; so it is an estimate
//! that can be given.
//!
//! Pure. Never: a measurement; those are in [`super::tally`].

use super::config::{BusConfig, Framing, Parity};
use std::time::Duration;

/// What a device on a serial line takes to answer, where nothing better is known.
const SERIAL_ANSWER: Duration = Duration::from_millis(10);
/// A round trip in a network, with what the device takes, where nothing better is known.
const ROUND_TRIP: Duration = Duration::from_millis(5);
/// Above 19200 baud silences are fixed (serial line guide V1.02, section 2.5.1.1).
const FIXED_SILENCE: Duration = Duration::from_micros(1750);
/// Unit, function, address, count, check sum.
const REQUEST_BYTES: u64 = 8;
/// Unit, function, count of bytes, check sum.
const ANSWER_BYTES: u64 = 5;

/// How fast a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Characters one after another.
    Serial { character: Duration, silence: Duration, turnaround: Duration, answer: Duration },
    /// Frames, each within a round trip.
    Network { round_trip: Duration },
}

impl Pace {
    /// The pace of a configured line; `answer` is what a device takes to answer, or the round trip, where it is known.
    pub(crate) fn of(config: &BusConfig, answer: Option<Duration>) -> Self {
        if config.serial.is_none() {
            let pause = if config.framing == Framing::Rtu { config.turnaround() } else { Duration::ZERO };
            return Self::Network { round_trip: answer.unwrap_or(ROUND_TRIP) + pause };
        }
        let parity = u32::from(config.parity.unwrap_or_default() != Parity::None);
        let bits = 9 + parity + u32::from(config.stop_bits.unwrap_or(1));
        let baud = config.baud_or_default().max(1);
        let character = Duration::from_secs(1) * bits / baud;
        let silence = if baud > 19_200 { FIXED_SILENCE } else { character * 7 / 2 };
        let answer = answer.unwrap_or(SERIAL_ANSWER);
        Self::Serial { character, silence, turnaround: config.turnaround(), answer }
    }

    /// How long a read of `count` registers or bits holds the line.
    pub(crate) fn read(&self, function: u8, count: u16) -> Duration {
        match *self {
            Self::Network { round_trip } => round_trip,
            Self::Serial { character, silence, turnaround, answer } => {
                let bytes = if function <= 2 { count.div_ceil(8) } else { count.saturating_mul(2) };
                let characters = REQUEST_BYTES + ANSWER_BYTES + u64::from(bytes);
                character * u32::try_from(characters).unwrap_or(u32::MAX) + silence * 2 + turnaround + answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_what_its_characters_take() {
        let line = |baud, parity, stop_bits| {
            let config = BusConfig {
                baud: Some(baud),
                parity: Some(parity),
                stop_bits: Some(stop_bits),
                ..BusConfig::serial("b", "/dev/ttyS0")
            };
            Pace::of(&config, Some(Duration::ZERO))
        };
        for (name, pace, function, count, want_us) in [
            // 8 + 5 + 20 characters of 11 bits, and twice 3.5 of silence: 40 x 11 / 9600.
            ("9600 8E1", line(9600, Parity::Even, 1), 3, 10, 45_833),
            ("9600 8N2", line(9600, Parity::None, 2), 4, 10, 45_833),
            ("9600 8N1", line(9600, Parity::None, 1), 3, 10, 41_666),
            ("bits", line(9600, Parity::Even, 1), 1, 10, 25_208),
            ("a fast line", line(115_200, Parity::Even, 1), 3, 10, 6_651),
        ] {
            let took = pace.read(function, count).as_micros();
            assert!(took.abs_diff(want_us) <= 2, "{name}: {took} and not {want_us}");
        }
        let network = Pace::of(&BusConfig::tcp("b", "10.0.0.1:502"), None);
        assert_eq!(network.read(3, 1), network.read(3, 125));
    }
}
