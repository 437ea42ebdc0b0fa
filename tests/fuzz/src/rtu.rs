//! An RTU line in virtual time.
//!
//! The script asks, lets a device answer (whole, cut, with a flipped bit, twice at once, with an exception, or after its
//! request was given up, but never later than the line says that it bears), puts noise on the wire and lets time pass.
//! Each byte on the wire is marked with the request that it truly answers. Seen here:
//!
//! - What is called an answer has a good check sum, unit, function, length and echo.
//! - No answer to one request is ever taken for another's, however alike they are.
//! - A request goes out at most once, unchanged, and after the silence that separates frames.
//! - Every request ends, and within a bounded number of steps.

use crate::modbus::{answer, fits, request, sealed};
use arbitrary::Unstructured;
use engawa_field::fuzz::{Act, LATE, RtuLine};
use std::time::Duration;

/// Steps of a script, and of a request until it ends.
const MOST_STEPS: usize = 400;
/// The line looks back two frames at most.
const LOOKS_BACK: usize = 4 * 256;

/// A request and what has become of it.
struct Asked {
    unit: u8,
    pdu: Vec<u8>,
    longest: Duration,
    sent: bool,
    ended: Option<Duration>,
    /// The device has answered it.
    answered: bool,
    /// Something that is nobody's answer came since: the line may have taken it for this one's.
    disturbed: bool,
}

struct Wire {
    line: RtuLine,
    now: Duration,
    /// When a byte last came or went.
    last: Duration,
    character: Duration,
    asked: Vec<Asked>,
    /// The bytes that have come, each with the number of the request that it answers.
    stream: Vec<(u8, Option<usize>)>,
}

/// Plays a script.
pub fn run(data: &[u8]) {
    let mut script = Unstructured::new(data);
    let Ok(mut wire) = Wire::new(&mut script) else { return };
    for _ in 0..MOST_STEPS {
        if script.is_empty() || wire.step(&mut script).is_err() {
            break;
        }
    }
    wire.come_to_rest();
}

impl Wire {
    fn new(script: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let baud = *script.choose(&[Some(9_600), Some(1_200), Some(115_200), None])?;
        let turnaround = Duration::from_millis(script.int_in_range(0..=30)?);
        Ok(Self {
            line: RtuLine::new(baud, turnaround, Duration::ZERO),
            now: Duration::ZERO,
            last: Duration::ZERO,
            character: baud.map_or(Duration::ZERO, |baud| Duration::from_secs(11) / baud),
            asked: Vec::new(),
            stream: Vec::new(),
        })
    }

    fn step(&mut self, script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        match script.int_in_range(0..=5_u8)? {
            0 | 1 => {
                if !self.line.is_free() {
                    self.come_to_rest();
                }
                self.ask(script)?;
            }
            2 => {
                // The one that waits, as good devices do.
                let n = self.asked.len().wrapping_sub(1);
                self.answer(script, n)?;
            }
            3 => {
                let n = script.choose_index(self.asked.len().max(1))?;
                self.answer(script, n)?;
            }
            4 => {
                let count = script.int_in_range(1..=40_usize)?.min(script.len());
                let noise = script.bytes(count)?.to_vec();
                self.asked.iter_mut().for_each(|asked| asked.disturbed = true);
                self.come(noise.into_iter().map(|byte| (byte, None)).collect());
            }
            _ => {
                let us = script.int_in_range(0..=400_000_u32)?;
                self.pass(Duration::from_micros(u64::from(us)));
            }
        }
        Ok(())
    }

    fn ask(&mut self, script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let unit = script.int_in_range(1..=3_u8)?;
        let pdu = request(script)?;
        let longest = Duration::from_millis(script.int_in_range(20..=200)?);
        let frame = sealed(unit, &pdu);
        self.asked.push(Asked {
            unit,
            pdu,
            longest,
            sent: false,
            ended: None,
            answered: false,
            disturbed: false,
        });
        let act = self.line.ask(self.now, frame, longest);
        self.done(act);
        Ok(())
    }

    /// The device answers request `n`, if it has not done so and is not later than may be.
    fn answer(&mut self, script: &mut Unstructured<'_>, n: usize) -> arbitrary::Result<()> {
        let manner = script.int_in_range(0..=6_u8)?;
        let Some(asked) = self.asked.get_mut(n) else { return Ok(()) };
        let borne =
            asked.ended.is_none_or(|ended| !asked.disturbed && self.now < ended + asked.longest * LATE);
        if !asked.sent || asked.answered || !borne {
            return Ok(());
        }
        asked.answered = true;
        let pdu = if manner == 5 { vec![asked.pdu[0] | 0x80, 2] } else { answer(asked.unit, &asked.pdu) };
        let mut bytes: Vec<_> = sealed(asked.unit, &pdu).into_iter().map(|byte| (byte, Some(n))).collect();
        match manner {
            1 => {
                let bit = script.choose_index(bytes.len() * 8)?;
                bytes[bit / 8] = (bytes[bit / 8].0 ^ 1 << (bit % 8), None);
            }
            2 => bytes.truncate(script.choose_index(bytes.len())?),
            3 => bytes.extend(bytes.clone()),
            4 => {
                // In two pieces, as close as pieces of a frame are.
                let rest = bytes.split_off(script.choose_index(bytes.len())?);
                self.come(bytes);
                self.pass(Duration::from_millis(1));
                bytes = rest;
            }
            _ => {}
        }
        if matches!(manner, 1 | 2) {
            // A frame that is none is noise to all the others.
            self.asked.iter_mut().for_each(|asked| asked.disturbed = true);
        }
        self.come(bytes);
        Ok(())
    }

    fn come(&mut self, bytes: Vec<(u8, Option<usize>)>) {
        if bytes.is_empty() {
            return;
        }
        let plain: Vec<u8> = bytes.iter().map(|(byte, _)| *byte).collect();
        self.stream.extend(bytes);
        let before = self.stream.len().saturating_sub(LOOKS_BACK.max(plain.len()));
        self.stream.drain(..before);
        self.last = self.last.max(self.now);
        let act = self.line.bytes(self.now, &plain);
        self.done(act);
    }

    /// Lets time pass, waking the line when it wants to be woken.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..MOST_STEPS {
            match self.line.wake() {
                Some(wake) if wake <= until => {
                    self.now = self.now.max(wake);
                    let act = self.line.tick(self.now);
                    self.done(act);
                }
                _ => break,
            }
        }
        self.now = self.now.max(until);
    }

    /// Nothing comes any more: the request ends.
    fn come_to_rest(&mut self) {
        for _ in 0..MOST_STEPS {
            if self.line.is_free() {
                return;
            }
            let wake = self.line.wake().expect("a request that nothing ends");
            self.now = self.now.max(wake);
            let act = self.line.tick(self.now);
            self.done(act);
        }
        panic!("a request that does not end");
    }

    fn done(&mut self, act: Option<Act>) {
        let Some(act) = act else { return };
        let now = self.now;
        let number = self.asked.len() - 1;
        let asked = self.asked.last_mut().expect("nothing was asked");
        assert!(asked.ended.is_none(), "a request ended twice: {act:?}");
        match act {
            Act::Send(frame) => {
                assert!(!asked.sent, "a request went out twice");
                assert_eq!(frame, sealed(asked.unit, &asked.pdu), "what goes out is not what was asked");
                let silent = now.saturating_sub(self.last);
                assert!(silent >= self.line.silence(), "sent {silent:?} after the last byte");
                asked.sent = true;
                self.last = now + self.character * u32::try_from(frame.len()).unwrap_or_default();
            }
            Act::Answer(frame) => {
                assert!(asked.sent, "an answer to nothing");
                asked.ended = Some(now);
                let (body, sum) = frame.split_at(frame.len() - 2);
                assert_eq!(crate::modbus::check_sum(body), sum, "a wrong check sum");
                assert!(
                    fits(asked.unit, &asked.pdu, body[0], &body[1..]),
                    "{frame:02x?} for {:02x?}",
                    asked.pdu
                );
                self.is_of(number, &frame);
            }
            Act::Fail(why) => {
                assert!(!why.is_empty() && why.len() < 400, "a reason of {} bytes", why.len());
                assert!(self.line.is_free());
                asked.ended = Some(now);
            }
        }
    }

    /// The frame is not wholly another request's answer.
    fn is_of(&self, number: usize, frame: &[u8]) {
        let mut places =
            self.stream.windows(frame.len()).filter(|place| place.iter().map(|(byte, _)| byte).eq(frame));
        let right = places.any(|place| {
            place.iter().any(|(_, of)| of.is_none()) || place.iter().all(|(_, of)| *of == Some(number))
        });
        assert!(right, "another request's answer was taken for that of request {number}: {frame:02x?}");
    }
}
