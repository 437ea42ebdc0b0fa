//! One RTU line: when a request may go out, what its answer is, and when an answer can't be mistaken.
//!
//! An RTU answer does not say which request it is for. The answer to a request that was given up may come while the
//! next one waits, with the right unit, function, length and check sum, and the wrong registers. So after anything but
//! a good answer the line is drained:
//!
//! - What comes is thrown away until the line has been silent for as long as pieces of one frame may be apart, 3.5
//!   characters at least.
//! - A unit from which no answer was seen may still be about to give it: it is *in debt*, and is not asked again for
//!   [`LATE`] times the time that the request had. Other units are asked meanwhile, for their answers bear another
//!   number. The debt ends early when the late answer comes, and is counted; a unit answers one request at a time.
//! - A unit whose answer was seen, if damaged or cut, is left alone for what was left of its time: what looked like its
//!   answer may have been noise.
//!
//! What stays possible: an answer that is later than 1 + [`LATE`] times its time-out. Such a device needs a longer
//! time-out, and says so: it has never answered in time since.
//!
//! Pure: bytes and time in, bytes and verdicts out. Never: a port, a clock.

use super::expect::Expect;
use super::failure::Failure;
use super::frames::{Found, LONGEST, Remains, find, remains};
use std::time::Duration;

/// How many times its time-out a unit is left alone after it did not answer.
pub(crate) const LATE: u32 = 3;
/// Bytes kept since the last silence: two frames. More is noise, and the oldest half is dropped.
const MOST_BYTES: usize = 2 * LONGEST;
/// How much longer than a request's own time a line that is never silent is waited for.
const BABBLE: Duration = Duration::from_secs(1);

/// The times of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// One character on the wire; zero where there is none.
    pub(crate) character: Duration,
    /// The silence between frames.
    pub(crate) silence: Duration,
    /// Pieces of one frame may be so far apart by the time they are read.
    pub(crate) apart: Duration,
    /// A pause after an answer, for devices that want one.
    pub(crate) turnaround: Duration,
}

impl Timing {
    /// Of a serial line. A character is 11 bits: start, 8 data, parity or a second stop bit, stop; above 19,200 baud the
    /// silence is 1.75 ms (serial line guide V1.02, section 2.5.1.1).
    pub(crate) fn serial(baud: u32, turnaround: Duration) -> Self {
        let character = Duration::from_secs(11) / baud.max(1);
        let silence = if baud > 19_200 { Duration::from_micros(1750) } else { character * 7 / 2 };
        // USB adapters hold back what they have for 16 ms.
        Self { character, silence, apart: silence + Duration::from_millis(40), turnaround }
    }

    /// Of RTU frames in a TCP stream: the peer keeps the silences of its line, and a lost packet is sent again after
    /// 200 ms at the earliest.
    pub(crate) fn stream(turnaround: Duration) -> Self {
        let silence = Duration::from_micros(1750);
        Self { character: Duration::ZERO, silence, apart: Duration::from_millis(300), turnaround }
    }
}

/// What there is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Put this on the wire.
    Send(Vec<u8>),
    /// This is the answer.
    Answer(Vec<u8>),
    /// There is none.
    Fail(Failure),
}

/// What the line has seen that nobody asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Answers to requests that were given up.
    pub(crate) late: u64,
    /// Answers with a wrong check sum.
    pub(crate) crc: u64,
    /// Bytes that belong to nothing.
    pub(crate) noise: u64,
}

/// A unit that may still answer an old request.
#[derive(Debug)]
struct Debt {
    expect: Expect,
    until: Duration,
}

#[derive(Debug)]
struct Request {
    frame: Vec<u8>,
    expect: Expect,
    longest: Duration,
}

#[derive(Debug)]
enum State {
    Idle,
    /// For the line to be silent, and since when.
    Waits(Request, Duration),
    /// Sent; the answer must be whole by then.
    Sent(Request, Duration),
}

/// A line, without its wire.
#[derive(Debug)]
pub(crate) struct Rtu {
    timing: Timing,
    state: State,
    /// What has come since the last silence or frame.
    bytes: Vec<u8>,
    /// Bytes that came for the present request and were no part of an answer.
    strange: usize,
    /// A sound frame of another unit came meanwhile.
    foreign: Option<u8>,
    late: bool,
    /// When the last byte came or went.
    last: Duration,
    /// Nothing is sent before this.
    rest: Duration,
    /// One for each unit at most, so 256 of them.
    debts: Vec<Debt>,
    seen: Seen,
    /// For the test that shows what the drain is for.
    #[cfg(test)]
    pub(crate) drains: bool,
}

impl Rtu {
    /// A line that was opened now.
    pub(crate) fn new(timing: Timing, now: Duration) -> Self {
        Self {
            timing,
            state: State::Idle,
            bytes: Vec::with_capacity(MOST_BYTES),
            strange: 0,
            foreign: None,
            late: false,
            last: now,
            rest: now,
            debts: Vec::new(),
            seen: Seen::default(),
            #[cfg(test)]
            drains: true,
        }
    }

    /// What was seen since this was last asked.
    pub(crate) fn take_seen(&mut self) -> Seen {
        std::mem::take(&mut self.seen)
    }

    /// Whether a request may be given.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// A request (unit, PDU, check sum) whose answer may take `longest`, after it is on the wire.
    pub(crate) fn ask(&mut self, now: Duration, frame: Vec<u8>, longest: Duration) -> Option<Act> {
        let expect = match &*frame {
            [unit, pdu @ .., _, _] => Expect::of(*unit, pdu),
            _ => None,
        };
        let Some(expect) = expect else {
            return Some(Act::Fail(Failure::Garbage(
                "a request that can't be answered in one frame".to_owned(),
            )));
        };
        self.state = State::Waits(Request { frame, expect, longest }, now);
        self.tick(now)
    }

    /// When [`Rtu::tick`] is to be called next.
    pub(crate) fn wake(&self) -> Option<Duration> {
        let over = self.last + self.timing.apart;
        match &self.state {
            State::Idle => None,
            State::Waits(request, since) => Some(self.may_send(request).min(self.patience(request, *since))),
            State::Sent(_, deadline) if self.bytes.is_empty() => Some(*deadline),
            State::Sent(_, deadline) => Some(over.min(*deadline)),
        }
    }

    fn may_send(&self, request: &Request) -> Duration {
        let debt = self.debts.iter().find(|debt| debt.expect.unit == request.expect.unit);
        let quiet = (self.last + self.timing.silence).max(self.rest);
        debt.map_or(quiet, |debt| quiet.max(debt.until))
    }

    /// A line that is never silent: until when it is waited for.
    fn patience(&self, request: &Request, since: Duration) -> Duration {
        let debt = self.debts.iter().find(|debt| debt.expect.unit == request.expect.unit);
        debt.map_or(since, |debt| debt.until.max(since)).max(self.rest) + request.longest + BABBLE
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Act> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => None,
            State::Waits(request, since) => {
                if now >= self.may_send(&request) {
                    return Some(self.send(now, request));
                }
                if now >= self.patience(&request, since) {
                    return Some(Act::Fail(Failure::Garbage(
                        "the line is never silent: something sends without being asked".to_owned(),
                    )));
                }
                self.state = State::Waits(request, since);
                None
            }
            State::Sent(request, deadline) => {
                if now >= deadline {
                    return Some(self.give_up(now, request));
                }
                if !self.bytes.is_empty()
                    && now >= self.last + self.timing.apart
                    && let Some(failure) = self.over(&request)
                {
                    return Some(self.fail(now, request.expect, deadline, failure));
                }
                self.state = State::Sent(request, deadline);
                None
            }
        }
    }

    fn send(&mut self, now: Duration, request: Request) -> Act {
        self.seen.noise += self.bytes.len() as u64;
        self.bytes.clear();
        (self.strange, self.foreign, self.late) = (0, None, false);
        let on_wire = |bytes: usize| self.timing.character * u32::try_from(bytes).unwrap_or(u32::MAX);
        // The port takes the bytes at once, and needs this long to send them.
        let sent = now + on_wire(request.frame.len());
        let deadline = sent + request.longest + on_wire(request.expect.usual_length() + 3);
        let frame = request.frame.clone();
        self.debts.retain(|debt| debt.expect.unit != request.expect.unit);
        self.last = sent;
        self.state = State::Sent(request, deadline);
        Act::Send(frame)
    }

    /// The request was on its way `late` after the port was last found empty. Some: that was so long that an old answer
    /// may lie there, which nothing would tell from the new one.
    pub(crate) fn sent(&mut self, now: Duration, late: Duration) -> Option<Act> {
        if late <= self.timing.apart {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Sent(request, deadline) => {
                let until = deadline + request.longest * LATE;
                Some(self.fail(now, request.expect, until, Failure::HeldUp(late)))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Bytes have come.
    pub(crate) fn bytes(&mut self, now: Duration, bytes: &[u8]) -> Option<Act> {
        if now > self.last + self.timing.apart
            && !self.bytes.is_empty()
            && !matches!(self.state, State::Sent(..))
        {
            self.drop_bytes();
        }
        self.last = self.last.max(now);
        let mut act = None;
        for piece in bytes.chunks(LONGEST) {
            if self.bytes.len() + piece.len() > MOST_BYTES {
                let half = self.bytes.len().min(LONGEST);
                self.strange += half;
                self.seen.noise += half as u64;
                self.bytes.drain(..half);
            }
            self.bytes.extend_from_slice(piece);
            act = act.or(self.look(now));
        }
        act
    }

    fn look(&mut self, now: Duration) -> Option<Act> {
        loop {
            let request = match &self.state {
                State::Sent(request, _) => Some(request),
                _ => None,
            };
            match find(&self.bytes, request.map(|request| &request.expect)) {
                Found::Nothing => return None,
                Found::Answer { noise, end } => {
                    self.seen.noise += noise as u64;
                    let frame = self.bytes[noise..end].to_vec();
                    self.bytes.drain(..end);
                    self.state = State::Idle;
                    self.rest = now + self.timing.turnaround;
                    return Some(Act::Answer(frame));
                }
                Found::Other(end) => {
                    let frame: Vec<u8> = self.bytes.drain(..end).collect();
                    if let Some((expect, until, failure)) = self.other(&frame) {
                        return Some(self.fail(now, expect, until, failure));
                    }
                }
            }
        }
    }

    /// A sound frame that is not the answer. Some: it ends the request, and until when its unit is left alone.
    fn other(&mut self, frame: &[u8]) -> Option<(Expect, Duration, Failure)> {
        let (unit, pdu) = (frame[0], &frame[1..frame.len() - 2]);
        let owed = self.debts.iter().position(|debt| debt.expect.check(unit, pdu).is_ok());
        if let Some(debt) = owed {
            self.debts.swap_remove(debt);
            self.seen.late += 1;
            self.late = true;
            return None;
        }
        let State::Sent(request, deadline) = &self.state else {
            self.seen.noise += frame.len() as u64;
            return None;
        };
        if unit != request.expect.unit {
            self.foreign = Some(unit);
            return None;
        }
        let why = if frame == request.frame {
            "what was sent comes back: the adapter's echo must be turned off".to_owned()
        } else {
            request.expect.check(unit, pdu).err()?
        };
        // It may be the answer to something older than can be: then the real one is still to come.
        let until = *deadline + request.longest * LATE;
        Some((request.expect.clone(), until, Failure::Garbage(why)))
    }

    /// The line went silent with bytes that are no answer. Some: the unit has tried, and that was it.
    fn over(&mut self, request: &Request) -> Option<Failure> {
        let (count, judged) = (self.bytes.len(), remains(&self.bytes, &request.expect));
        self.drop_bytes();
        match judged {
            Remains::Damaged => {
                self.seen.crc += 1;
                Some(Failure::Crc)
            }
            Remains::Cut => Some(Failure::Half(count, self.timing.apart)),
            Remains::Noise => None,
        }
    }

    fn drop_bytes(&mut self) {
        self.strange += self.bytes.len();
        self.seen.noise += self.bytes.len() as u64;
        self.bytes.clear();
    }

    /// No answer; one may still come until then.
    fn fail(&mut self, now: Duration, expect: Expect, until: Duration, failure: Failure) -> Act {
        self.drop_bytes();
        self.state = State::Idle;
        if self.must_drain() {
            self.rest = now + self.timing.apart.max(self.timing.turnaround);
            self.debts.push(Debt { expect, until });
        }
        Act::Fail(failure)
    }

    /// The time is over.
    fn give_up(&mut self, now: Duration, request: Request) -> Act {
        let longest = request.longest;
        if !self.bytes.is_empty()
            && let Some(failure) = self.over(&request)
        {
            return self.fail(now, request.expect, now, failure);
        }
        let failure = match (self.strange, self.foreign) {
            (_, Some(unit)) => Failure::Garbage(format!(
                "an answer of unit {unit} where unit {} was asked, and none of its own within {} ms",
                request.expect.unit,
                longest.as_millis()
            )),
            (0, None) if self.late => Failure::Late(longest),
            (0, None) => Failure::Silent(longest),
            (strange, None) => Failure::Half(strange, longest),
        };
        self.fail(now, request.expect, now + longest * LATE, failure)
    }

    #[cfg(test)]
    fn must_drain(&self) -> bool {
        self.drains
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "a test turns it off to show what it is for")]
    fn must_drain(&self) -> bool {
        true
    }
}
