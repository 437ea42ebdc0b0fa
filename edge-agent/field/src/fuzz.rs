//! Doors for the fuzz targets to what is pure and private here: an RTU line, the conversations of a TCP connection, and
//! the planning and decoding of a device's registers.
//!
//! Why doors and not the things themselves: their types are nobody's interface, and may change with every line kind.
//!
//! Never: used by the agent; a judgement of its own.

use crate::modbus::decode::{self, Outgoing, Words};
use crate::modbus::learnt::Learnt;
use crate::modbus::line::{mbap, rtu};
use crate::modbus::plan;
use crate::profile::modbus::{MapPoint, ModbusMap, Table};
use engawa_model::{Quality, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many times its time-out a unit is left alone after it did not answer.
pub const LATE: u32 = rtu::LATE;

/// What an RTU line wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Put this on the wire.
    Send(Vec<u8>),
    /// This frame is the answer.
    Answer(Vec<u8>),
    /// There is none; why.
    Fail(String),
}

/// An RTU line without its wire.
#[derive(Debug)]
pub struct RtuLine {
    rtu: rtu::Rtu,
    silence: Duration,
}

fn act(act: Option<rtu::Act>) -> Option<Act> {
    Some(match act? {
        rtu::Act::Send(frame) => Act::Send(frame),
        rtu::Act::Answer(frame) => Act::Answer(frame),
        rtu::Act::Fail(failure) => Act::Fail(failure.in_words("a request")),
    })
}

impl RtuLine {
    /// A line that was opened now: a serial one at this baud rate, or a TCP stream.
    pub fn new(baud: Option<u32>, turnaround: Duration, now: Duration) -> Self {
        let timing = match baud {
            Some(baud) => rtu::Timing::serial(baud, turnaround),
            None => rtu::Timing::stream(turnaround),
        };
        Self { rtu: rtu::Rtu::new(timing, now), silence: timing.silence }
    }

    /// The silence between frames.
    pub fn silence(&self) -> Duration {
        self.silence
    }

    /// A request: unit, PDU, check sum.
    pub fn ask(&mut self, now: Duration, frame: Vec<u8>, longest: Duration) -> Option<Act> {
        act(self.rtu.ask(now, frame, longest))
    }

    /// Bytes have come.
    pub fn bytes(&mut self, now: Duration, bytes: &[u8]) -> Option<Act> {
        act(self.rtu.bytes(now, bytes))
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Option<Act> {
        act(self.rtu.tick(now))
    }

    /// When [`RtuLine::tick`] is wanted.
    pub fn wake(&self) -> Option<Duration> {
        self.rtu.wake()
    }

    /// Whether a request may be given.
    pub fn is_free(&self) -> bool {
        self.rtu.is_free()
    }
}

/// What has come on a TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This lane's answer, as its codec wants it.
    Answer(usize, Vec<u8>),
    /// What came for this lane is no answer to its request.
    Wrong(usize),
    /// An answer of this unit to a request that was given up or is answered.
    Late(u8),
    /// A frame of this unit with a number that was never asked.
    Stray(u8),
}

/// The conversations of a TCP connection.
#[derive(Debug)]
pub struct TcpLanes(mbap::Mux);

impl TcpLanes {
    /// A connection with so many lanes, whose numbers begin at `first`.
    pub fn new(lanes: usize, first: u16) -> Self {
        Self(mbap::Mux::new(lanes, first))
    }

    /// Enters a lane's request and gives it its number on the wire.
    ///
    /// # Errors
    /// It can't be sent.
    pub fn ask(&mut self, lane: usize, frame: &mut [u8]) -> Result<(), String> {
        self.0.ask(lane, frame)
    }

    /// The lane waits no longer.
    pub fn give_up(&mut self, lane: usize) {
        self.0.give_up(lane);
    }

    /// Requests that were given up and may still be answered.
    pub fn owed(&self) -> usize {
        self.0.owed()
    }

    /// What these bytes bring; the error says that nothing on this connection can be understood any more.
    pub fn feed(&mut self, bytes: &[u8]) -> (Vec<Event>, Result<(), String>) {
        let mut events = Vec::new();
        let fed = self.0.feed(bytes, |event| {
            events.push(match event {
                mbap::Event::Answer(lane, frame) => Event::Answer(lane, frame.to_vec()),
                mbap::Event::Wrong(lane, _) => Event::Wrong(lane),
                mbap::Event::Late(unit) => Event::Late(unit),
                mbap::Event::Stray(unit, _) => Event::Stray(unit),
            });
        });
        (events, fed.map_err(|(_, why)| why))
    }
}

/// A request that reads points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// 1 to 4.
    pub function: u8,
    /// The first wire address.
    pub first: u16,
    /// Registers or bits.
    pub count: u16,
    /// Numbers of the points that it brings.
    pub points: Vec<usize>,
}

/// Where a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The function that reads it.
    pub function: u8,
    /// The first wire address.
    pub address: u16,
    /// Registers, or one bit.
    pub length: u16,
    /// In a table of single bits.
    pub bit: bool,
    /// In a table that can be written.
    pub writable_table: bool,
    /// It is written, with nothing written along.
    pub written_alone: bool,
}

/// How a device is read and written.
#[derive(Clone, Copy, Debug)]
pub struct Registers<'a>(&'a ModbusMap);

impl<'a> Registers<'a> {
    /// Of this map.
    pub fn new(map: &'a ModbusMap) -> Self {
        Self(map)
    }

    /// The most registers and the most bits in one read.
    pub fn most(&self) -> (u16, u16) {
        (self.0.max_registers, self.0.max_bits)
    }

    /// Where each point is.
    pub fn places(&self) -> Vec<Place> {
        self.0.points.iter().map(place).collect()
    }

    /// Whether a read touches what the profile calls unreadable.
    pub fn touches_a_hole(&self, read: &Read) -> bool {
        let last = u32::from(read.first) + u32::from(read.count.max(1)) - 1;
        let table = |table: Table| read.points.iter().any(|n| self.0.points[*n].table == table);
        let mut holes = self.0.unreadable.iter();
        holes.any(|(of, from, to)| table(*of) && u32::from(*from) <= last && *to >= read.first)
    }

    /// The requests that read all points, where gaps of `worth` registers are read along.
    pub fn plan(&self, worth: u16) -> Vec<Read> {
        plan::requests(self.0, worth, &Learnt::default()).iter().map(read).collect()
    }

    /// The parts of such a request that the device has refused.
    pub fn split(&self, worth: u16, number: usize) -> Option<Vec<Read>> {
        let all = plan::requests(self.0, worth, &Learnt::default());
        Some(plan::split(self.0, all.get(number)?)?.iter().map(read).collect())
    }

    /// What a point is in an answer of registers that begins at `first`.
    pub fn decode(&self, point: usize, first: u16, words: &[u16]) -> Option<(Option<Value>, Quality)> {
        let answer = Words::Registers(words.to_vec());
        let decoded = decode::decode(self.0, self.0.points.get(point)?, first, &answer)?;
        Some((decoded.value, decoded.quality))
    }

    /// Whether a value that was read back is the one that was written.
    pub fn same(&self, point: usize, written: &Value, value: Option<Value>, quality: Quality) -> bool {
        let decoded = decode::Decoded { value, quality };
        self.0.points.get(point).is_some_and(|point| decode::same(point, written, &decoded))
    }

    /// Writes a value as the bus would, into an image of the device's holding registers; those that it changes.
    ///
    /// # Errors
    /// The point does not take the value; in words.
    pub fn write(
        &self,
        point: usize,
        value: &Value,
        holding: &mut BTreeMap<u16, u16>,
    ) -> Result<Vec<u16>, String> {
        let spec = self.0.points.get(point).ok_or_else(|| "no such point".to_owned())?;
        let needs = decode::needs(spec);
        let have = needs
            .into_iter()
            .map(|(table, address)| ((table, address), holding.get(&address).copied().unwrap_or_default()))
            .collect();
        let mut touched = Vec::new();
        for request in decode::compose(self.0, spec, value, &have)? {
            match request {
                Outgoing::Words { function: 6 | 16, address, words } => {
                    for (at, word) in (address..=u16::MAX).zip(words) {
                        holding.insert(at, word);
                        touched.push(at);
                    }
                }
                Outgoing::Words { .. } => {}
                Outgoing::Mask { address, and, or } => {
                    let register = holding.entry(address).or_default();
                    *register = *register & and | or & !and;
                    touched.push(address);
                }
            }
        }
        Ok(touched)
    }
}

fn place(point: &MapPoint) -> Place {
    let alone =
        |rule: &crate::profile::modbus::WriteRule| rule.companions.is_empty() && rule.copies.is_empty();
    Place {
        function: point.function,
        address: point.address,
        length: point.length,
        bit: point.table.is_bits(),
        writable_table: matches!(point.table, Table::Coil | Table::Holding),
        written_alone: point.write.as_ref().is_some_and(alone),
    }
}

fn read(request: &plan::Request) -> Read {
    Read {
        function: request.function,
        first: request.first,
        count: request.count,
        points: request.points.clone(),
    }
}
