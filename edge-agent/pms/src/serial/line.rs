//! FIAS on a serial line, below the records: ENQ, ACK, NAK and the check byte (FIAS 2.20, asynchronous transmission).
//!
//! After ETX comes one byte, the XOR of everything behind STX up to and with ETX. It may have any value, also STX's or
//! ETX's, so it is told by its place alone. A record is answered with ACK or NAK within three seconds; who hears nothing
//! asks with ENQ, and the other side repeats its last answer: a lost ACK never makes a record come twice.
//!
//! Eight bits of XOR miss what two errors hide from each other, and where a byte in the middle becomes ETX they miss one
//! cut record in 256. So a record counts only when it ends as all do (`|`), holds no control characters but those of
//! texts, and nothing but another control byte follows it at once.
//!
//! What comes behind a spoilt record, or out of nowhere, may be the rest of a record, in which any byte looks like an
//! answer: until the line is quiet nothing is believed, but for STX after noise, and only then is a spoilt record refused.
//! What is overheard so costs three seconds: it is asked for with ENQ.
//!
//! No number tells a record that comes again from a new one with the same words, and an answer has no check byte: noise
//! that looks like NAK, or falls between a record and the ENQ for its lost ACK, makes the other side repeat what was
//! taken. So a record like the last one is taken for its repeat, acknowledged and passed over, where it comes sooner
//! than its sender can have heard our ACK, or while something on the line puts that ACK in doubt. What is promised: with
//! one error a record, none comes wrong or twice. One is lost where noise looks like its ACK; no line can tell.
//!
//! Never: a port or a clock; time is an argument.

use crate::codec::MAX_RECORD_BYTES;
use engawa_model::Timestamp;
use jiff::SignedDuration;
use std::collections::VecDeque;

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;

/// How long an answer may take (FIAS 2.20: three seconds).
const ANSWER: SignedDuration = SignedDuration::from_secs(3);
/// A record is sent this often before it is dropped: once, and three times again after NAK.
const TRIES: u32 = 4;
/// ENQ is sent this often before the line is given up.
const ENQUIRIES: u32 = 3;
/// A record that stops in its middle for this long is torn. Below [`ANSWER`], so that the ENQ that follows is read as one.
const TORN: SignedDuration = SignedDuration::from_secs(1);
/// Between a record and its ACK: what follows it at once shows that it was cut. At least what a USB adapter may hold back.
const QUIET: SignedDuration = SignedDuration::from_millis(20);
/// Who heard no ACK asks for it [`ENQUIRIES`] times: after this a record like the one before is a new one.
const REPEATS: SignedDuration = SignedDuration::from_secs(12);
/// Records that may wait for the line. The link sends few at once: its descriptions, a posting, statuses of rooms.
const MOST_WAITING: usize = 256;

/// What the line wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Write these bytes to the port.
    Write(Vec<u8>),
    /// A record has come, whole: STX, body, ETX.
    Record(Vec<u8>),
    /// A record of ours was refused every time and is dropped; the line goes on.
    Dropped,
    /// The other side is silent, or too much waits for it: the line is to be opened anew.
    Dead(&'static str),
}

/// What has happened on the line since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records that came with a wrong check byte, cut, or with characters that no record has.
    pub spoilt: u64,
    /// Records of ours that were sent again after NAK.
    pub repeated: u64,
    /// ENQs that we sent.
    pub enquiries: u64,
    /// Bytes between records.
    pub noise: u64,
    /// Records that came again after they had been taken, and were passed over.
    pub doubles: u64,
}

#[derive(Debug)]
enum Receiving {
    Idle,
    /// Behind STX. Unfit: longer than the longest record, or with STX in it. The rest is skipped, and refused at its end.
    Body {
        body: Vec<u8>,
        check: u8,
        unfit: bool,
    },
    /// The next byte is the check byte, whatever it looks like.
    Check {
        body: Vec<u8>,
        check: u8,
        unfit: bool,
    },
    /// Whole and right; counts when the line is quiet.
    Settling {
        body: Vec<u8>,
    },
    /// Behind something spoilt, until the line is quiet; NAK is owed where it was a record.
    Skipping {
        owed: bool,
    },
}

/// The record that was taken last.
#[derive(Debug)]
struct Taken {
    body: Vec<u8>,
    at: Timestamp,
    /// True where something has been on the line since that its sender may have heard instead of our ACK.
    in_doubt: bool,
}

#[derive(Debug)]
struct Sending {
    bytes: Vec<u8>,
    tries: u32,
    enquiries: u32,
    due: Timestamp,
}

/// One end of a serial line.
#[derive(Debug)]
pub struct Line {
    character: SignedDuration,
    receiving: Receiving,
    /// When the receiving state ends by itself.
    until: Option<Timestamp>,
    /// What ENQ is answered with: our last answer; NAK where anything else has come since (against double postings).
    last: u8,
    /// When the last byte came.
    heard: Timestamp,
    /// When the record that is coming began.
    began: Timestamp,
    taken: Option<Taken>,
    sending: Option<Sending>,
    /// Bounded by [`MOST_WAITING`].
    waiting: VecDeque<Vec<u8>>,
    out: VecDeque<Act>,
    counters: Counters,
}

/// XOR of all bytes.
fn check_of(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |check, byte| check ^ byte)
}

/// True where the body can be a record: it ends with `|` and has no control characters but those of texts.
fn is_sound(body: &[u8]) -> bool {
    let text = |byte: &u8| *byte >= 0x20 && *byte != 0x7F || matches!(*byte, b'\t' | b'\n' | 0x0C | b'\r');
    body.last() == Some(&b'|') && body.iter().all(text)
}

impl Line {
    /// A line at `baud` on which nothing has been said yet.
    pub fn new(baud: u32) -> Self {
        // Eleven bits a character, at most.
        let character = SignedDuration::from_micros(11_000_000 / i64::from(baud.max(1)));
        Self {
            character,
            receiving: Receiving::Idle,
            until: None,
            last: NAK,
            heard: Timestamp::MIN,
            began: Timestamp::MIN,
            taken: None,
            sending: None,
            waiting: VecDeque::new(),
            out: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Act> {
        self.out.pop_front()
    }

    /// What has happened so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// True while a record of ours waits for its ACK, or for the line.
    pub fn is_busy(&self) -> bool {
        self.sending.is_some()
    }

    /// When [`Line::on_wake`] is wanted.
    pub fn wake_at(&self) -> Option<Timestamp> {
        [self.until, self.sending.as_ref().map(|sending| sending.due)].into_iter().flatten().min()
    }

    /// Sends a frame (STX, body, ETX) when the one before it is through.
    pub fn send(&mut self, now: Timestamp, frame: &[u8]) {
        if self.waiting.len() >= MOST_WAITING {
            // Whoever waited is not told a lie: the line is opened anew, and the link begins again.
            self.out.push_back(Act::Dead("more records wait than the serial line can take"));
            return;
        }
        let mut bytes = frame.to_vec();
        bytes.push(check_of(frame.get(1..).unwrap_or_default()));
        self.waiting.push_back(bytes);
        self.next(now);
    }

    /// Bytes from the port.
    pub fn on_bytes(&mut self, now: Timestamp, bytes: &[u8]) {
        for byte in bytes {
            self.on_byte(now, *byte);
        }
    }

    /// Time has come to what [`Line::wake_at`] named.
    pub fn on_wake(&mut self, now: Timestamp) {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            match std::mem::replace(&mut self.receiving, Receiving::Idle) {
                Receiving::Settling { body } => self.accept(now, body),
                Receiving::Skipping { owed: true } => self.refuse(),
                // Torn. No answer: whoever sent it asks with ENQ, and hears NAK.
                Receiving::Body { .. } | Receiving::Check { .. } => self.spoilt(),
                Receiving::Skipping { owed: false } | Receiving::Idle => {}
            }
        }
        let Some(sending) = self.sending.as_mut().filter(|sending| sending.due <= now) else { return };
        if sending.enquiries >= ENQUIRIES {
            self.sending = None;
            self.waiting.clear();
            self.out.push_back(Act::Dead("the PMS does not answer on the serial line"));
            return;
        }
        sending.enquiries += 1;
        sending.due = later(now, ANSWER);
        self.counters.enquiries += 1;
        // One bit makes it NAK.
        self.doubt();
        self.out.push_back(Act::Write(vec![ENQ]));
    }

    fn on_byte(&mut self, now: Timestamp, byte: u8) {
        let before = std::mem::replace(&mut self.receiving, Receiving::Idle);
        self.receiving = match (before, byte) {
            // By its place: before anything that the byte may look like.
            (Receiving::Check { body, check, unfit }, byte) => {
                if byte == check && !unfit && is_sound(&body) {
                    Receiving::Settling { body }
                } else {
                    self.spoilt();
                    Receiving::Skipping { owed: true }
                }
            }
            (Receiving::Settling { body }, STX | ENQ | ACK | NAK) => {
                self.accept(now, body);
                self.between(now, byte)
            }
            (Receiving::Settling { .. }, _) => {
                // It was cut: its end is still coming.
                self.spoilt();
                self.noise();
                Receiving::Skipping { owed: true }
            }
            (Receiving::Skipping { owed: false }, STX) => self.between(now, STX),
            (Receiving::Skipping { owed }, _) => {
                self.noise();
                Receiving::Skipping { owed }
            }
            (Receiving::Body { .. }, STX) if later(self.heard, self.quiet()) <= now => {
                self.spoilt();
                self.between(now, STX)
            }
            // Nobody begins anew without a pause: what follows is the end of a record, and may look whole.
            (Receiving::Body { body, check, .. }, STX) => Receiving::Body { body, check, unfit: true },
            (Receiving::Body { body, check, unfit }, ETX) => {
                Receiving::Check { body, check: check ^ ETX, unfit }
            }
            (Receiving::Body { mut body, check, unfit }, byte) => {
                let unfit = unfit || body.len() >= MAX_RECORD_BYTES;
                if !unfit {
                    body.push(byte);
                }
                Receiving::Body { body, check: check ^ byte, unfit }
            }
            (Receiving::Idle, byte) => self.between(now, byte),
        };
        self.heard = now;
        self.until = match self.receiving {
            Receiving::Idle => None,
            Receiving::Settling { .. } | Receiving::Skipping { .. } => Some(later(now, self.quiet())),
            Receiving::Body { .. } | Receiving::Check { .. } => Some(later(now, TORN)),
        };
    }

    /// A byte outside a record.
    fn between(&mut self, now: Timestamp, byte: u8) -> Receiving {
        match byte {
            ENQ => {
                // Our ACK was not heard, and this one may not be.
                self.doubt();
                self.out.push_back(Act::Write(vec![self.last]));
            }
            ACK if self.sending.is_some() => {
                self.sending = None;
                self.next(now);
            }
            NAK if self.sending.is_some() => self.again(now),
            STX => {
                self.last = NAK;
                self.began = now;
                return Receiving::Body { body: Vec::new(), check: 0, unfit: false };
            }
            // An answer to nothing says nothing.
            ACK | NAK => self.counters.noise += 1,
            _ => {
                self.noise();
                return Receiving::Skipping { owed: false };
            }
        }
        Receiving::Idle
    }

    /// How long nothing comes where something has ended.
    fn quiet(&self) -> SignedDuration {
        QUIET.max(self.character * 4)
    }

    fn accept(&mut self, now: Timestamp, body: Vec<u8>) {
        self.last = ACK;
        self.out.push_back(Act::Write(vec![ACK]));
        if self.taken.as_ref().is_some_and(|taken| taken.comes_again(&body, self.began, self.quiet())) {
            self.counters.doubles += 1;
        } else {
            self.out.push_back(Act::Record([&[STX], body.as_slice(), &[ETX]].concat()));
        }
        self.taken = Some(Taken { body, at: now, in_doubt: false });
    }

    fn refuse(&mut self) {
        self.doubt();
        self.out.push_back(Act::Write(vec![NAK]));
    }

    fn spoilt(&mut self) {
        self.counters.spoilt += 1;
        self.last = NAK;
        self.doubt();
    }

    fn noise(&mut self) {
        self.counters.noise += 1;
        self.last = NAK;
        self.doubt();
    }

    fn doubt(&mut self) {
        if let Some(taken) = &mut self.taken {
            taken.in_doubt = true;
        }
    }

    fn again(&mut self, now: Timestamp) {
        let Some(sending) = &mut self.sending else { return };
        if sending.tries >= TRIES {
            self.sending = None;
            self.out.push_back(Act::Dropped);
            self.next(now);
            return;
        }
        sending.tries += 1;
        sending.enquiries = 0;
        self.counters.repeated += 1;
        let (bytes, due) = (sending.bytes.clone(), due(now, &sending.bytes, self.character));
        sending.due = due;
        self.out.push_back(Act::Write(bytes));
    }

    fn next(&mut self, now: Timestamp) {
        if self.sending.is_some() {
            return;
        }
        let Some(bytes) = self.waiting.pop_front() else { return };
        self.out.push_back(Act::Write(bytes.clone()));
        let due = due(now, &bytes, self.character);
        self.sending = Some(Sending { bytes, tries: 1, enquiries: 0, due });
    }
}

impl Taken {
    /// True where a record that began at `began` is this one, repeated.
    fn comes_again(&self, body: &[u8], began: Timestamp, quiet: SignedDuration) -> bool {
        let within = if self.in_doubt { REPEATS } else { quiet };
        self.body == body && began <= later(self.at, within)
    }
}

/// When the answer to `bytes` is due: they take their time on the line first.
fn due(now: Timestamp, bytes: &[u8], character: SignedDuration) -> Timestamp {
    let takes = character * i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    later(now, ANSWER + takes)
}

fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
