//! The edge's end of a session: what to read and send next, and what an answer means.
//!
//! Urgent before bulky: the lane with the smallest number that has something to send goes first, and the rows that are
//! under way without an acknowledgement are bounded, tightest for telemetry. So an alarm waits at most for what is on
//! the line already, which stream priorities alone do not give.

use crate::frame::{Hello, Mark, VERSION, Welcome};
use std::collections::{BTreeMap, VecDeque};

/// Bounds of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bodies of bulky lanes under way without an acknowledgement, bytes.
    pub bulk_in_flight: usize,
    /// The same for every other lane.
    pub urgent_in_flight: usize,
    /// Bodies in one batch, bytes.
    pub batch_bytes: usize,
    /// Rows in one batch.
    pub batch_rows: usize,
    /// Lanes from this number on are bulky.
    pub first_bulk_lane: u8,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bulk_in_flight: 64 << 10,
            urgent_in_flight: 256 << 10,
            batch_bytes: 16 << 10,
            batch_rows: 256,
            first_bulk_lane: 5,
        }
    }
}

/// What is to be read from the journal and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The lane.
    pub lane: u8,
    /// Rows after this number.
    pub after: u64,
    /// At most so many.
    pub max_rows: usize,
    /// At most so many bytes of bodies, but for the first row.
    pub max_bytes: usize,
}

/// An answer that this session can't have got.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The cloud speaks none of our versions.
    #[error("the cloud wants version {0} of the protocol, this release speaks {VERSION}")]
    Version(u32),
    /// A mark above everything that was written.
    #[error("the cloud claims to have lane {lane} up to {mark}, which is written only up to {head}")]
    Ahead {
        /// The lane.
        lane: u8,
        /// What the cloud says.
        mark: u64,
        /// What is true.
        head: u64,
    },
    /// A lane that nobody opened.
    #[error("the cloud speaks of lane {0}, which this session does not have")]
    Lane(u8),
}

#[derive(Debug, Default)]
struct Lane {
    head: u64,
    acked: u64,
    /// The last row sent; goes back to the mark at a gap.
    sent: u64,
    /// The last row ever sent in this session: an answer to it may still be under way after a gap.
    reached: u64,
    /// Batches under way: their last number and bytes. Bounded by the bytes in flight, since a batch has at least one.
    flying: VecDeque<(u64, usize)>,
    flying_bytes: usize,
}

/// One session.
#[derive(Debug)]
pub struct EdgeSession {
    bounds: Bounds,
    lanes: BTreeMap<u8, Lane>,
}

impl EdgeSession {
    /// A session over lanes that are written up to these numbers.
    pub fn new(bounds: Bounds, heads: &[(u8, u64)]) -> Self {
        let lane = |&(lane, head): &(u8, u64)| (lane, Lane { head, ..Lane::default() });
        Self { bounds, lanes: heads.iter().map(lane).collect() }
    }

    /// The first frame.
    pub fn hello(&self, epoch: u64, inbox: u64, release: &str) -> Hello {
        let heads = self.lanes.iter().map(|(lane, state)| Mark { lane: u32::from(*lane), seq: state.head });
        Hello { versions: vec![VERSION], epoch, heads: heads.collect(), inbox, release: release.to_owned() }
    }

    /// The cloud's answer: where each lane goes on. The marks are worth telling the journal.
    ///
    /// # Errors
    /// A version or a mark that can't be.
    pub fn welcomed(&mut self, welcome: &Welcome) -> Result<Vec<(u8, u64)>, SessionError> {
        if welcome.version != VERSION {
            return Err(SessionError::Version(welcome.version));
        }
        let mut marks = Vec::new();
        for mark in &welcome.marks {
            // A lane of a newer release: it was ours once, before a roll-back.
            let Ok(lane) = u8::try_from(mark.lane) else { continue };
            let Some(state) = self.lanes.get_mut(&lane) else { continue };
            if mark.seq > state.head {
                return Err(SessionError::Ahead { lane, mark: mark.seq, head: state.head });
            }
            (state.acked, state.sent, state.reached) = (mark.seq, mark.seq, mark.seq);
            marks.push((lane, mark.seq));
        }
        Ok(marks)
    }

    /// The journal's lane is written up to `head`.
    pub fn written(&mut self, lane: u8, head: u64) {
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.head = state.head.max(head);
        }
    }

    /// What is to be sent next; nothing while every lane is at its end or its bound.
    pub fn next(&self) -> Option<Want> {
        let ready = self.lanes.iter().find(|(lane, state)| {
            let bound = if **lane >= self.bounds.first_bulk_lane {
                self.bounds.bulk_in_flight
            } else {
                self.bounds.urgent_in_flight
            };
            state.sent < state.head && state.flying_bytes < bound
        });
        ready.map(|(lane, state)| Want {
            lane: *lane,
            after: state.sent,
            max_rows: self.bounds.batch_rows,
            max_bytes: self.bounds.batch_bytes,
        })
    }

    /// Rows up to `last`, of `bytes` in all, have gone out.
    pub fn sent(&mut self, lane: u8, last: u64, bytes: usize) {
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.sent = state.sent.max(last);
            state.reached = state.reached.max(last);
            state.flying.push_back((last, bytes.max(1)));
            state.flying_bytes += bytes.max(1);
        }
    }

    /// The cloud has the lane up to `mark`. True where that is news for the journal.
    ///
    /// # Errors
    /// A mark that can't be.
    pub fn acknowledged(&mut self, lane: u8, mark: u64) -> Result<bool, SessionError> {
        let state = self.lanes.get_mut(&lane).ok_or(SessionError::Lane(lane))?;
        if mark > state.reached {
            return Err(SessionError::Ahead { lane, mark, head: state.reached });
        }
        while let Some((_, bytes)) = state.flying.pop_front_if(|(last, _)| *last <= mark) {
            state.flying_bytes -= bytes;
        }
        state.sent = state.sent.max(mark);
        let news = mark > state.acked;
        state.acked = state.acked.max(mark);
        Ok(news)
    }

    /// The cloud found a hole: everything after `mark` is sent again.
    ///
    /// # Errors
    /// A mark that can't be.
    pub fn gap(&mut self, lane: u8, mark: u64) -> Result<bool, SessionError> {
        let news = self.acknowledged(lane, mark)?;
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.sent = mark;
            state.flying.clear();
            state.flying_bytes = 0;
        }
        Ok(news)
    }

    /// True where the cloud has everything that is written.
    pub fn at_rest(&self) -> bool {
        self.lanes.values().all(|state| state.acked >= state.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> EdgeSession {
        let mut session = EdgeSession::new(Bounds::default(), &[(1, 0), (3, 10), (5, 1000)]);
        session.welcomed(&Welcome { version: VERSION, marks: vec![Mark { lane: 3, seq: 4 }] }).unwrap();
        session
    }

    #[test]
    fn urgent_lanes_go_first_and_from_their_mark() {
        let mut session = session();
        assert_eq!(session.next().map(|want| (want.lane, want.after)), Some((3, 4)));
        session.sent(3, 10, 500);
        assert_eq!(session.next().map(|want| (want.lane, want.after)), Some((5, 0)));
        session.written(1, 1);
        assert_eq!(session.next().map(|want| want.lane), Some(1));
    }

    #[test]
    fn bulk_is_bounded_until_it_is_acknowledged() {
        let mut session = session();
        session.sent(3, 10, 500);
        for batch in 1..=4 {
            assert_eq!(session.next().map(|want| want.lane), Some(5));
            session.sent(5, batch * 100, 16 << 10);
        }
        assert_eq!(session.next(), None);
        assert_eq!(session.acknowledged(5, 100), Ok(true));
        assert_eq!(session.next().map(|want| want.after), Some(400));
        assert_eq!(session.acknowledged(5, 100), Ok(false));
    }

    #[test]
    fn a_gap_goes_back_to_its_mark() {
        let mut session = session();
        session.sent(3, 10, 500);
        assert_eq!(session.gap(3, 6), Ok(true));
        assert_eq!(session.next().map(|want| (want.lane, want.after)), Some((3, 6)));
    }

    #[test]
    fn marks_that_can_not_be_are_refused() {
        let mut session = session();
        assert!(matches!(session.acknowledged(3, 9), Err(SessionError::Ahead { mark: 9, head: 4, .. })));
        assert_eq!(session.acknowledged(9, 1), Err(SessionError::Lane(9)));
        let ahead = Welcome { version: VERSION, marks: vec![Mark { lane: 3, seq: 11 }] };
        assert!(session.welcomed(&ahead).is_err());
        assert_eq!(session.welcomed(&Welcome { version: 2, marks: vec![] }), Err(SessionError::Version(2)));
    }
}
