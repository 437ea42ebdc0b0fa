//! Modbus TCP as a server sees it: whole frames out of a stream, reads answered from a [`Field`].
//!
//! Never: sockets or the clock; time is an argument.

use super::field::{Answer, Field};

/// The longest frame of the protocol: 7 bytes of header and 253 of PDU.
const LONGEST: usize = 260;

/// The bytes of a stream are no Modbus TCP.
#[derive(Debug, PartialEq, Eq)]
pub struct NoFrame;

/// Answers every whole request at the beginning of `bytes`; gives how many bytes those were.
///
/// # Errors
/// What comes next is no frame; the connection is of no use any more.
pub fn answer(
    field: &mut Field,
    port: usize,
    bytes: &[u8],
    now: u64,
    out: &mut Vec<u8>,
) -> Result<usize, NoFrame> {
    let mut used = 0;
    while let Some(header) = bytes.get(used..used + 6) {
        let length = 6 + usize::from(u16::from_be_bytes([header[4], header[5]]));
        if !(8..=LONGEST).contains(&length) {
            return Err(NoFrame);
        }
        let Some(frame) = bytes.get(used..used + length) else { break };
        one(field, port, frame, now, out);
        used += length;
    }
    Ok(used)
}

/// Answers one frame of at least 8 bytes.
fn one(field: &mut Field, port: usize, frame: &[u8], now: u64, out: &mut Vec<u8>) {
    let (unit, function) = (frame[6], frame[7]);
    let begin = out.len();
    out.extend_from_slice(&[frame[0], frame[1], 0, 0, 0, 0, unit, function]);
    let answer = match (function, frame.get(8..12)) {
        (3 | 4, Some(rest)) => {
            let first = u16::from_be_bytes([rest[0], rest[1]]);
            let count = u16::from_be_bytes([rest[2], rest[3]]);
            field.read(port, unit, first, count, now, out)
        }
        _ => field.refuse(port, unit, now),
    };
    match answer {
        Answer::Well => {}
        Answer::Nothing => {
            out.truncate(begin);
            return;
        }
        Answer::Exception(code) => {
            out.truncate(begin + 8);
            out[begin + 7] |= 0x80;
            out.push(code);
        }
        Answer::Garbage => {
            out.truncate(begin + 8);
            // Another transaction, another function, a length that is right: what broken firmware sends.
            out[begin] ^= 0x5A;
            out[begin + 7] = 0x2B;
            out.extend_from_slice(&[0xDE, 0xAD]);
        }
    }
    let length = out.len() - begin - 6;
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    (out[begin + 4], out[begin + 5]) = (high, low);
}

#[cfg(test)]
mod tests {
    use super::super::field::{Field, Plan, Sick};
    use super::*;

    fn field(sick: Sick) -> Field {
        Field::new(&Plan { ports: 4, units: 50, registers: 20, sick })
    }

    fn ask(field: &mut Field, unit: u8, first: u16, count: u16) -> Vec<u8> {
        let mut frame = vec![0, 7, 0, 0, 0, 6, unit, 3];
        frame.extend(first.to_be_bytes());
        frame.extend(count.to_be_bytes());
        let mut out = vec![];
        assert_eq!(answer(field, 0, &frame, 1, &mut out), Ok(12));
        out
    }

    #[test]
    fn a_read_is_answered_word_for_word() {
        let mut field = field(Sick::None);
        assert_eq!(ask(&mut field, 1, 0, 2), [0, 7, 0, 0, 0, 7, 1, 3, 4, 0, 0, 0, 7]);
        assert_eq!((field.counts.requests, field.counts.registers), (1, 2));
        assert_eq!(ask(&mut field, 1, 19, 2), [0, 7, 0, 0, 0, 3, 1, 0x83, 2], "past the end");
        assert_eq!(ask(&mut field, 51, 0, 1), [0, 7, 0, 0, 0, 3, 51, 0x83, 11], "nobody there");
    }

    #[test]
    fn requests_come_in_any_pieces() {
        let mut field = field(Sick::None);
        let frame = [0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
        let two = [frame, frame].concat();
        let mut out = vec![];
        assert_eq!(answer(&mut field, 0, &two[..20], 1, &mut out), Ok(12));
        assert_eq!(answer(&mut field, 0, &two[12..], 1, &mut out), Ok(12));
        assert_eq!(field.counts.requests, 2);
        assert_eq!(answer(&mut field, 0, &[0, 7, 0, 0, 0xFF, 0xFF], 1, &mut out), Err(NoFrame));
    }

    #[test]
    fn sick_devices_are_silent_or_talk_nonsense() {
        let mut field = field(Sick::Some);
        let unit = |device: usize| u8::try_from(device + 1).unwrap();
        let dead = (0..50).find(|n| field.health(*n) == super::super::field::Health::Dead).unwrap();
        assert!(ask(&mut field, unit(dead), 0, 1).is_empty());
        let garbage = (0..50).find(|n| field.health(*n) == super::super::field::Health::Garbage).unwrap();
        assert_ne!(ask(&mut field, unit(garbage), 0, 1)[..2], [0, 7]);
    }
}
