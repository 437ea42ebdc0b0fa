//! Many conversations on one Modbus TCP connection, told apart by transaction numbers that are given here.
//!
//! Each lane's codec counts its own transactions; on the wire each request gets the connection's next number, and the
//! answer goes back to the lane whose request had it, with the codec's number. A request that was given up keeps its
//! number until its answer has come: a number is never given out again while an old answer to it may still arrive, so
//! a late answer can't be taken for another's, and a time-out does not cost the connection.
//!
//! Numbers go on from one connection of a line to the next, and 0 is left out: a device that copies no numbers, counts
//! its own or mixes up connections answers numbers that were not asked, and is told so.
//!
//! Pure: bytes in, answers out. Never: a socket, a clock.

use super::expect::{Expect, LONGEST_PDU};
use std::collections::HashMap;

/// Transaction, protocol, length, unit.
const HEAD: usize = 7;
/// The longest frame.
const LONGEST: usize = HEAD + LONGEST_PDU;
/// Requests that were given up and not answered yet. At this bound the connection is given up: a peer that owes so
/// many answers is better met anew.
pub(super) const MOST_OWED: usize = 1024;

/// What a request on the wire waits for.
#[derive(Debug)]
struct Asked {
    /// `None`: given up.
    lane: Option<usize>,
    /// The codec's number.
    codec: [u8; 2],
    expect: Expect,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A lane's answer, as its codec wants it.
    Answer(usize, &'a [u8]),
    /// What came for a lane is no answer to its request; it has been given up.
    Wrong(usize, String),
    /// An answer of this unit to a request that was given up or is answered already. It is dropped.
    Late(u8),
    /// A frame of this unit with a number that was never asked, and what it says of the device. It is dropped.
    Stray(u8, String),
}

/// The conversations of one connection.
#[derive(Debug)]
pub(crate) struct Mux {
    next: u16,
    /// How many numbers this connection has given out.
    given: u64,
    asked: HashMap<u16, Asked>,
    /// The number that each lane waits for.
    lanes: Vec<Option<u16>>,
    /// The beginning of a frame, shorter than [`LONGEST`].
    rest: Vec<u8>,
}

impl Mux {
    /// A connection with so many lanes, whose numbers begin at `first`.
    pub(crate) fn new(lanes: usize, first: u16) -> Self {
        Self {
            next: first.max(1),
            given: 0,
            asked: HashMap::with_capacity(lanes * 2),
            lanes: vec![None; lanes],
            rest: Vec::with_capacity(LONGEST),
        }
    }

    /// Where the next connection's numbers begin.
    pub(crate) fn next(&self) -> u16 {
        self.next
    }

    /// Enters a lane's request (a whole frame of its codec) and gives it its number on the wire.
    ///
    /// # Errors
    /// It can't be sent; in words. The lane waits for nothing then.
    pub(crate) fn ask(&mut self, lane: usize, frame: &mut [u8]) -> Result<(), String> {
        self.give_up(lane);
        let expect = match frame {
            [_, _, _, _, _, _, unit, pdu @ ..] => Expect::of(*unit, pdu),
            _ => None,
        };
        let Some(expect) = expect else {
            return Err("a request that can't be answered in one frame".to_owned());
        };
        if self.owed() >= MOST_OWED {
            return Err(format!(
                "{MOST_OWED} requests of this connection were never answered; it is made anew"
            ));
        }
        // At most 1,056 of 65,535 numbers are taken.
        while self.asked.contains_key(&self.next) {
            self.next = after(self.next);
        }
        let (number, codec) = (self.next, [frame[0], frame[1]]);
        self.next = after(number);
        self.given += 1;
        frame[..2].copy_from_slice(&number.to_be_bytes());
        self.asked.insert(number, Asked { lane: Some(lane), codec, expect });
        if let Some(waits) = self.lanes.get_mut(lane) {
            *waits = Some(number);
        }
        Ok(())
    }

    /// The lane waits no longer.
    pub(crate) fn give_up(&mut self, lane: usize) {
        let Some(number) = self.lanes.get_mut(lane).and_then(Option::take) else { return };
        if let Some(asked) = self.asked.get_mut(&number) {
            asked.lane = None;
        }
    }

    /// Requests that were given up and may still be answered.
    pub(crate) fn owed(&self) -> usize {
        self.asked.len() - self.lanes.iter().flatten().count()
    }

    /// Whether no lane waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.lanes.iter().all(Option::is_none)
    }

    /// The lanes that wait for this unit.
    pub(crate) fn waiting_for(&self, unit: u8) -> Vec<usize> {
        let of = |number: &Option<u16>| number.and_then(|number| self.asked.get(&number));
        let waits = |asked: Option<&Asked>| asked.is_some_and(|asked| asked.expect.unit == unit);
        (0..self.lanes.len()).filter(|lane| waits(of(&self.lanes[*lane]))).collect()
    }

    /// The bytes of a frame that is not whole yet, and the lane it is for where that can be said.
    pub(crate) fn unfinished(&self) -> Option<(usize, Option<usize>)> {
        if self.rest.is_empty() {
            return None;
        }
        let number = self.rest.get(..2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        let lane = number.and_then(|number| self.asked.get(&number)).and_then(|asked| asked.lane);
        Some((self.rest.len(), lane))
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// These are no frames: the unit that seems to send them, and why. Nothing on this connection can be understood
    /// any more.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut tell: impl FnMut(Event<'_>),
    ) -> Result<(), (Option<u8>, String)> {
        // Nearly always one read is one frame: then nothing is copied.
        let mut rest = std::mem::take(&mut self.rest);
        let joined: Vec<u8>;
        let mut left = if rest.is_empty() {
            bytes
        } else {
            joined = [&rest[..], bytes].concat();
            &joined[..]
        };
        let mut frame = [0; LONGEST];
        loop {
            let length = match frame_length(left)? {
                Some(length) if left.len() >= length => length,
                _ => break,
            };
            let copy = &mut frame[..length];
            copy.copy_from_slice(&left[..length]);
            left = &left[length..];
            self.frame(copy, &mut tell);
        }
        rest.clear();
        rest.extend_from_slice(left);
        self.rest = rest;
        Ok(())
    }

    fn frame(&mut self, frame: &mut [u8], tell: &mut impl FnMut(Event<'_>)) {
        let (number, unit) = (u16::from_be_bytes([frame[0], frame[1]]), frame[6]);
        let Some(asked) = self.asked.remove(&number) else {
            tell(match self.behind(number) {
                true => Event::Late(unit),
                false => Event::Stray(unit, self.stray(number, unit)),
            });
            return;
        };
        let Some(lane) = asked.lane else { return tell(Event::Late(unit)) };
        self.lanes[lane] = None;
        match asked.expect.check(unit, &frame[HEAD..]) {
            Ok(()) => {
                frame[..2].copy_from_slice(&asked.codec);
                tell(Event::Answer(lane, frame));
            }
            Err(why) => tell(Event::Wrong(lane, why)),
        }
    }

    /// Whether this number was given out not long ago: half of all numbers back at most, for after that it is rather
    /// one that is still to come.
    fn behind(&self, number: u16) -> bool {
        // 0 is no number, so there is one less on the way back over the end.
        let back = self.next.wrapping_sub(number).saturating_sub(u16::from(number > self.next));
        let back = u64::from(back);
        number != 0 && back > 0 && back <= self.given.min(u64::from(u16::MAX / 2))
    }

    fn stray(&self, number: u16, unit: u8) -> String {
        let asked: Vec<u16> = self
            .lanes
            .iter()
            .flatten()
            .copied()
            .filter(|number| self.asked.get(number).is_some_and(|asked| asked.expect.unit == unit))
            .collect();
        match &asked[..] {
            [] => format!("an answer to transaction {number}, which was not asked on this connection"),
            [one, ..] => format!(
                "an answer to transaction {number} where {one} was asked: the device does not copy transaction \
                 numbers, or takes those of another connection"
            ),
        }
    }
}

fn after(number: u16) -> u16 {
    number.checked_add(1).unwrap_or(1)
}

/// The length of the frame that begins here. `None`: not enough has come to say.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, (Option<u8>, String)> {
    let unit = bytes.get(6).copied();
    if let Some(protocol) = bytes.get(2..4).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
        && protocol != 0
    {
        return Err((unit, format!("protocol {protocol} where Modbus has 0: this is not Modbus TCP")));
    }
    let Some(length) = bytes.get(4..6).map(|bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    else {
        return Ok(None);
    };
    // Unit, function and one byte at least.
    if !(3..=LONGEST_PDU + 1).contains(&length) {
        return Err((unit, format!("a frame of length {length}; Modbus TCP has 3 to {}", LONGEST_PDU + 1)));
    }
    Ok(Some(HEAD - 1 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_is_known_as_such_also_over_the_end_of_the_numbers() {
        let mut mux = Mux::new(1, u16::MAX);
        for number in [u16::MAX, 1] {
            let mut request = [0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
            mux.ask(0, &mut request).unwrap();
            assert_eq!(request[..2], number.to_be_bytes());
        }
        let late = [0xff, 0xff, 0, 0, 0, 5, 1, 3, 2, 0, 9];
        for _ in 0..2 {
            let mut came = 0;
            mux.feed(&late, |event| {
                assert_eq!(event, Event::Late(1));
                came += 1;
            })
            .unwrap();
            assert_eq!(came, 1);
        }
    }
}
