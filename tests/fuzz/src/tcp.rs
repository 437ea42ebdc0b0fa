//! The conversations of a Modbus TCP connection.
//!
//! Lanes ask, give up and are answered in any order by a peer that may change the number, the unit, the length or
//! anything else, in pieces of any size. The same bytes are read here a second time, frame by frame, against a list of
//! what is owed. Seen here:
//!
//! - Each lane gets its own answer, with its codec's number, or is told that what came is none; nobody gets another's.
//! - A number is never given out while an answer to it may still come, and is never 0.
//! - Both readings agree on every frame, and on where a stream can't be understood any more.

use crate::modbus::{answer, fits, request};
use arbitrary::Unstructured;
use engawa_field::fuzz::{Event, TcpLanes};
use std::collections::{BTreeMap, VecDeque};

/// Steps of a script.
const MOST_STEPS: usize = 400;

struct Owed {
    lane: Option<usize>,
    codec: [u8; 2],
    unit: u8,
    pdu: Vec<u8>,
}

struct Connection {
    lanes: TcpLanes,
    count: usize,
    owed: BTreeMap<u16, Owed>,
    given: VecDeque<u16>,
    /// Bytes of a frame that is not whole.
    rest: Vec<u8>,
}

/// Plays a script.
pub fn run(data: &[u8]) {
    let mut script = Unstructured::new(data);
    let Ok(mut connection) = Connection::new(&mut script) else { return };
    for _ in 0..MOST_STEPS {
        if script.is_empty() || !connection.step(&mut script).unwrap_or(false) {
            return;
        }
    }
}

impl Connection {
    fn new(script: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let count = script.int_in_range(1..=8)?;
        // Near the end of the numbers as often as not.
        let first = if script.arbitrary()? { script.arbitrary()? } else { 65_530 };
        Ok(Self {
            lanes: TcpLanes::new(count, first),
            count,
            owed: BTreeMap::new(),
            given: VecDeque::new(),
            rest: Vec::new(),
        })
    }

    /// False once the connection is over.
    fn step(&mut self, script: &mut Unstructured<'_>) -> arbitrary::Result<bool> {
        match script.int_in_range(0..=6_u8)? {
            0 | 1 => {
                self.ask(script)?;
                Ok(true)
            }
            2 => {
                let lane = script.choose_index(self.count)?;
                self.lanes.give_up(lane);
                self.forget(lane);
                self.agree();
                Ok(true)
            }
            3 => {
                let count = script.int_in_range(1..=20_usize)?.min(script.len());
                let bytes = script.bytes(count)?.to_vec();
                Ok(self.come(&bytes))
            }
            // A number that was given out lately, answered or not.
            4 if !self.given.is_empty() => {
                let number = *script.choose(&self.given.iter().copied().collect::<Vec<_>>())?;
                let mut frame = number.to_be_bytes().to_vec();
                frame.extend([0, 0, 0, 5, script.int_in_range(1..=3)?, 3, 2, 0, 7]);
                Ok(self.come(&frame))
            }
            _ => self.answer(script),
        }
    }

    fn ask(&mut self, script: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let (lane, unit) = (script.choose_index(self.count)?, script.int_in_range(1..=3_u8)?);
        let codec = script.arbitrary::<u16>()?.to_be_bytes();
        let pdu = request(script)?;
        let mut frame = codec.to_vec();
        frame.extend([0, 0]);
        frame.extend(u16::try_from(pdu.len() + 1).unwrap_or_default().to_be_bytes());
        frame.push(unit);
        frame.extend(&pdu);
        let before = frame[2..].to_vec();
        self.forget(lane);
        if let Err(why) = self.lanes.ask(lane, &mut frame) {
            assert!(self.owed.len() >= 1024, "refused: {why}");
            return Ok(());
        }
        assert_eq!(frame[2..], before, "more than the number was changed");
        let number = u16::from_be_bytes([frame[0], frame[1]]);
        assert_ne!(number, 0);
        let twice = self.owed.insert(number, Owed { lane: Some(lane), codec, unit, pdu });
        assert!(twice.is_none(), "{number} was given out while its answer may still come");
        self.given.push_back(number);
        if self.given.len() > 200 {
            self.given.pop_front();
        }
        self.agree();
        Ok(())
    }

    /// The peer answers one of the owed, truly or not.
    fn answer(&mut self, script: &mut Unstructured<'_>) -> arbitrary::Result<bool> {
        if self.owed.is_empty() {
            return Ok(true);
        }
        let at = script.choose_index(self.owed.len())?;
        let Some((number, owed)) = self.owed.iter().nth(at) else { return Ok(true) };
        let (mut number, mut unit, mut pdu) = (*number, owed.unit, answer(owed.unit, &owed.pdu));
        let (mut protocol, mut length) = (0_u16, pdu.len() + 1);
        match script.int_in_range(0..=15_u8)? {
            0 => number = script.arbitrary()?,
            1 => unit = script.arbitrary()?,
            2 => {
                let at = script.choose_index(pdu.len())?;
                pdu[at] = script.arbitrary()?;
            }
            3 => {
                pdu = vec![pdu[0] | 0x80, script.arbitrary()?];
                length = 3;
            }
            4 => {
                pdu.truncate(script.choose_index(pdu.len())?);
                length = pdu.len() + 1;
            }
            5 => length = usize::from(script.arbitrary::<u16>()?),
            6 => protocol = script.int_in_range(0..=2)?,
            7 => {
                pdu = vec![pdu[0], script.arbitrary()?, 0, 0];
                length = 5;
            }
            _ => {}
        }
        let mut frame = number.to_be_bytes().to_vec();
        frame.extend(protocol.to_be_bytes());
        frame.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        frame.push(unit);
        frame.extend(pdu);
        let mut pieces: &[u8] = &frame;
        while !pieces.is_empty() {
            let count =
                if script.ratio(1, 4)? { script.int_in_range(1..=pieces.len())? } else { pieces.len() };
            let (piece, rest) = pieces.split_at(count);
            if !self.come(piece) {
                return Ok(false);
            }
            pieces = rest;
        }
        Ok(true)
    }

    /// Both readings of these bytes.
    fn come(&mut self, bytes: &[u8]) -> bool {
        let (events, fed) = self.lanes.feed(bytes);
        self.rest.extend(bytes);
        let mut events = events.into_iter();
        let mut understood = true;
        loop {
            let head = &self.rest;
            if head.len() >= 4 && head[2..4] != [0, 0] {
                understood = false;
                break;
            }
            if head.len() < 6 {
                break;
            }
            let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
            if !(3..=254).contains(&length) {
                understood = false;
                break;
            }
            if head.len() < 6 + length {
                break;
            }
            let frame: Vec<u8> = self.rest.drain(..6 + length).collect();
            let event = events.next().expect("a frame that nobody heard of");
            self.frame(&frame, &event);
        }
        assert_eq!(events.next(), None, "an event without a frame");
        assert_eq!(fed.is_ok(), understood, "{fed:?}");
        self.agree();
        understood
    }

    fn frame(&mut self, frame: &[u8], event: &Event) {
        let (number, unit, pdu) = (u16::from_be_bytes([frame[0], frame[1]]), frame[6], &frame[7..]);
        let want = match self.owed.remove(&number) {
            // Which of the two is for people: only that numbers given lately are known to be late.
            None if self.given.contains(&number) => Event::Late(unit),
            None => {
                assert!(matches!(event, Event::Late(of) | Event::Stray(of) if *of == unit), "{event:?}");
                return;
            }
            Some(Owed { lane: None, .. }) => Event::Late(unit),
            Some(Owed { lane: Some(lane), codec, unit: asked, pdu: request }) => {
                if fits(asked, &request, unit, pdu) {
                    let mut for_codec = frame.to_vec();
                    for_codec[..2].copy_from_slice(&codec);
                    Event::Answer(lane, for_codec)
                } else {
                    Event::Wrong(lane)
                }
            }
        };
        assert_eq!(*event, want);
    }

    fn forget(&mut self, lane: usize) {
        for owed in self.owed.values_mut().filter(|owed| owed.lane == Some(lane)) {
            owed.lane = None;
        }
    }

    fn agree(&self) {
        let given_up = self.owed.values().filter(|owed| owed.lane.is_none()).count();
        assert_eq!(self.lanes.owed(), given_up, "what is owed");
    }
}
