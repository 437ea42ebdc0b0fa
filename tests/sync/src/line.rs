//! A connection: bytes under way on streams, which die with it.

use engawa_protocol::frame::{self, Body, LENGTH};
use std::collections::{BTreeMap, VecDeque};

/// One direction of one stream.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    flying: VecDeque<u8>,
    arrived: Vec<u8>,
}

impl Pipe {
    /// The next whole frame that has arrived; `Err` where it is none of this protocol.
    pub(crate) fn frame(&mut self) -> Result<Option<Body>, String> {
        loop {
            let Some(head) = self.arrived.first_chunk::<LENGTH>() else { return Ok(None) };
            let length = frame::length(*head).map_err(|error| error.to_string())?;
            if self.arrived.len() < LENGTH + length {
                return Ok(None);
            }
            let bytes: Vec<u8> = self.arrived.drain(..LENGTH + length).skip(LENGTH).collect();
            if let Some(body) = frame::decode(&bytes).map_err(|error| error.to_string())? {
                return Ok(Some(body));
            }
        }
    }
}

/// A connection. Stream 0 is the control stream; the others are numbered as the gateway opened them.
#[derive(Debug, Default)]
pub(crate) struct Line {
    up: BTreeMap<u32, Pipe>,
    down: BTreeMap<u32, Pipe>,
}

impl Line {
    pub(crate) fn send(&mut self, up: bool, stream: u32, body: Body) {
        let pipes = if up { &mut self.up } else { &mut self.down };
        pipes.entry(stream).or_default().flying.extend(frame::encode(body));
    }

    /// Moves bytes on one of the streams that have some under way.
    pub(crate) fn carry(&mut self, up: bool, stream: u8, bytes: u16) -> bool {
        let pipes = if up { &mut self.up } else { &mut self.down };
        let busy: Vec<u32> =
            pipes.iter().filter(|(_, pipe)| !pipe.flying.is_empty()).map(|(stream, _)| *stream).collect();
        let Some(which) = busy.get(usize::from(stream) % busy.len().max(1)) else { return false };
        let Some(pipe) = pipes.get_mut(which) else { return false };
        let count = usize::from(bytes).min(pipe.flying.len());
        pipe.arrived.extend(pipe.flying.drain(..count));
        count > 0
    }

    pub(crate) fn pipe(&mut self, up: bool, stream: u32) -> &mut Pipe {
        let pipes = if up { &mut self.up } else { &mut self.down };
        pipes.entry(stream).or_default()
    }

    /// The streams on which something has arrived for the gateway.
    pub(crate) fn arrived_down(&self) -> Vec<u32> {
        self.down.iter().filter(|(_, pipe)| !pipe.arrived.is_empty()).map(|(stream, _)| *stream).collect()
    }

    /// The streams that the cloud can have seen: something has arrived on them.
    pub(crate) fn seen_up(&self) -> Vec<u32> {
        self.up.iter().filter(|(_, pipe)| !pipe.arrived.is_empty()).map(|(stream, _)| *stream).collect()
    }
}
