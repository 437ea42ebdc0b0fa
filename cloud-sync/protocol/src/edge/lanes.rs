//! What goes next, and what is under way.
//!
//! Urgent before bulky: the lane with the smallest number that has something to send goes first, and what is under way
//! without an acknowledgement is bounded: bulky lanes together by the measured window of the line ([`crate::flow`]), every
//! other lane by a fixed number of bytes. So an alarm waits at most for what is on the line already, which stream
//! priorities alone do not give.

#[cfg(test)]
mod tests;

use super::{Bounds, SessionError, Want};
use crate::flow::{Stamp, Window};
use crate::frame::{Credit, Mark};
use crate::ports::Origin;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Gaps that a lane may be told without anything new being acknowledged.
const MOST_GAPS: u32 = 16;

/// Frames that one lane may have under way, however small they are.
pub const MOST_FLYING: usize = 1_024;

#[derive(Debug)]
struct Flight {
    last: u64,
    bytes: u64,
    /// Of bulky lanes, with whether the window was full.
    measured: Option<(Stamp, bool)>,
}

#[derive(Debug, Default)]
struct Lane {
    head: u64,
    acked: u64,
    /// The last row sent; goes back to the mark at a gap.
    sent: u64,
    /// The last row ever sent in this session: an answer to it may still be under way after a gap.
    reached: u64,
    /// Batches under way.
    flying: VecDeque<Flight>,
    flying_bytes: u64,
    /// Bytes of frames ever sent on its stream, and how many may be.
    used: u64,
    limit: u64,
    /// It rests until then, as the cloud wished.
    rests_until: Duration,
    /// Gaps since something new was acknowledged.
    gaps: u32,
    /// The rows that the cloud has under the numbers of the life before, or may have.
    known: Option<Known>,
}

/// Rows that are not to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The first.
    from: u64,
    /// The last.
    pub(super) to: u64,
    /// The cloud has just these; else it has some of them, in another form.
    pub(super) same: bool,
}

/// The lanes of one session.
#[derive(Debug)]
pub(super) struct Lanes {
    bounds: Bounds,
    window: Window,
    bulk_flying: u64,
    /// Bulky lanes wait: the line is a costly one just now.
    pub(super) hold_bulk: bool,
    lanes: BTreeMap<u8, Lane>,
}

impl Lanes {
    pub(super) fn new(bounds: Bounds, heads: &[(u8, u64)]) -> Self {
        let lane = |&(lane, head): &(u8, u64)| (lane, Lane { head, limit: u64::MAX, ..Lane::default() });
        Self {
            bounds,
            window: Window::new(bounds.flow),
            bulk_flying: 0,
            hold_bulk: false,
            lanes: heads.iter().map(lane).collect(),
        }
    }

    pub(super) fn numbers(&self) -> Vec<u8> {
        self.lanes.keys().copied().collect()
    }

    pub(super) fn heads(&self) -> Vec<Mark> {
        let mark = |(lane, state): (&u8, &Lane)| Mark { lane: u32::from(*lane), seq: state.head };
        self.lanes.iter().map(mark).collect()
    }

    /// The cloud's marks and, where it counts bytes, what each lane may send. The marks that are ours.
    pub(super) fn welcomed(
        &mut self,
        marks: &[Mark],
        credit: Option<u64>,
    ) -> Result<Vec<(u8, u64)>, SessionError> {
        let mut ours = Vec::new();
        for mark in marks {
            // A lane of a newer release: it was ours once, before a roll-back.
            let Ok(lane) = u8::try_from(mark.lane) else { continue };
            let Some(state) = self.lanes.get_mut(&lane) else { continue };
            if mark.seq > state.head {
                return Err(SessionError::Ahead { lane, mark: mark.seq, head: state.head });
            }
            (state.acked, state.sent, state.reached) = (mark.seq, mark.seq, mark.seq);
            ours.push((lane, mark.seq));
        }
        for state in self.lanes.values_mut() {
            state.limit = credit.unwrap_or(u64::MAX);
        }
        Ok(ours)
    }

    /// The journal's lane is written up to `head`, or can be read only so far for now; never less than was sent.
    pub(super) fn written(&mut self, lane: u8, head: u64) {
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.head = head.max(state.reached);
        }
    }

    fn is_bulky(&self, lane: u8) -> bool {
        lane >= self.bounds.first_bulk_lane
    }

    /// The longest frame of a lane, bytes of its compressed rows.
    pub(super) fn frame_bytes(&self, lane: u8) -> usize {
        if self.is_bulky(lane) { self.bounds.bulk_frame } else { usize::MAX }
    }

    fn has_room(&self, lane: u8, state: &Lane) -> bool {
        let flying = if self.is_bulky(lane) {
            !self.hold_bulk && self.bulk_flying < self.window.size()
        } else {
            state.flying_bytes < self.bounds.urgent_in_flight
        };
        flying && state.flying.len() < MOST_FLYING && state.used < state.limit
    }

    /// What is to be read and sent next; nothing while every lane is at its end, at its bound, or rests.
    pub(super) fn next(&self, now: Duration) -> Option<Want> {
        let ready = self.lanes.iter().find(|(lane, state)| {
            state.sent < state.head && state.rests_until <= now && self.has_room(**lane, state)
        });
        ready.map(|(lane, state)| {
            // No batch runs into rows that the cloud has.
            let before = match state.known {
                Some(known) if known.from > state.sent + 1 => known.from - state.sent - 1,
                _ => u64::MAX,
            };
            let most = usize::try_from(before).unwrap_or(usize::MAX);
            Want {
                lane: *lane,
                after: state.sent,
                max_rows: self.bounds.batch_rows.min(most),
                max_bytes: self.bounds.batch_bytes,
            }
        })
    }

    /// What was carried over from the life before, of which the cloud has the lane up to `mark`.
    pub(super) fn carried(&mut self, origin: Origin, mark: u64) {
        let Some(state) = self.lanes.get_mut(&origin.lane) else { return };
        let had = mark.min(origin.head).saturating_sub(origin.acked);
        let same = had <= origin.same;
        let known = if same { had } else { origin.head.saturating_sub(origin.acked) };
        let to = origin.first.saturating_add(known).saturating_sub(1).min(state.head);
        if had > 0 && origin.first > 0 && to >= origin.first {
            state.known = Some(Known { from: origin.first, to, same });
        }
    }

    /// What is not to be sent of the rows right after those that were.
    pub(super) fn known(&self, lane: u8) -> Option<Known> {
        let state = self.lanes.get(&lane)?;
        state.known.filter(|known| (known.from..=known.to).contains(&(state.sent + 1)))
    }

    /// When a lane that rests and has something to send goes on.
    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        let resting = |lane: &&Lane| lane.sent < lane.head && lane.rests_until > now;
        self.lanes.values().filter(resting).map(|lane| lane.rests_until).min()
    }

    /// Where the lane stands and ends; `None` for a lane that is not ours.
    pub(super) fn place(&self, lane: u8) -> Option<(u64, u64)> {
        self.lanes.get(&lane).map(|state| (state.sent, state.head))
    }

    /// What ends with row `last` goes out, in a frame of `bytes`.
    pub(super) fn sent(&mut self, now: Duration, lane: u8, last: u64, bytes: u64) {
        let bulky = self.is_bulky(lane);
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        state.sent = state.sent.max(last);
        state.reached = state.reached.max(last);
        state.used = state.used.saturating_add(bytes);
        state.flying_bytes += bytes;
        let measured = bulky.then(|| {
            let stamp = self.window.stamp(now, self.bulk_flying == 0);
            self.bulk_flying += bytes;
            (stamp, self.bulk_flying >= self.window.size())
        });
        state.flying.push_back(Flight { last, bytes, measured });
    }

    /// The cloud has the lane up to `mark`. True where that is news for the journal.
    pub(super) fn acknowledged(&mut self, now: Duration, lane: u8, mark: u64) -> Result<bool, SessionError> {
        let state = self.lanes.get_mut(&lane).ok_or(SessionError::Lane(lane))?;
        if mark > state.reached {
            return Err(SessionError::Ahead { lane, mark, head: state.reached });
        }
        while let Some(flight) = state.flying.pop_front_if(|flight| flight.last <= mark) {
            state.flying_bytes -= flight.bytes;
            if let Some((stamp, full)) = flight.measured {
                self.bulk_flying -= flight.bytes;
                self.window.acknowledged(now, stamp, flight.bytes, full);
            }
        }
        state.sent = state.sent.max(mark);
        let news = mark > state.acked;
        if news {
            (state.acked, state.gaps) = (mark, 0);
        }
        Ok(news)
    }

    /// The cloud found a hole: everything after `mark` is sent again.
    pub(super) fn gap(&mut self, now: Duration, lane: u8, mark: u64) -> Result<bool, SessionError> {
        let news = self.acknowledged(now, lane, mark)?;
        let Some(state) = self.lanes.get_mut(&lane) else { return Ok(news) };
        state.gaps += 1;
        if state.gaps > MOST_GAPS {
            return Err(SessionError::Gaps { lane, mark });
        }
        state.sent = mark;
        for flight in state.flying.drain(..) {
            if flight.measured.is_some() {
                self.bulk_flying -= flight.bytes;
            }
        }
        state.flying_bytes = 0;
        Ok(news)
    }

    /// How much may be sent on the lane's stream, and when.
    pub(super) fn credit(&mut self, now: Duration, lane: u8, credit: Credit) -> Result<(), SessionError> {
        let longest = self.bounds.longest_rest;
        let state = self.lanes.get_mut(&lane).ok_or(SessionError::Lane(lane))?;
        // Never less than before: frames that the old limit allowed are under way.
        state.limit = state.limit.max(credit.limit);
        let rest = Duration::from_millis(u64::from(credit.retry_after_ms)).min(longest);
        state.rests_until = now.saturating_add(rest);
        Ok(())
    }

    /// True where the cloud has everything that is written.
    pub(super) fn at_rest(&self) -> bool {
        self.lanes.values().all(|state| state.acked >= state.head)
    }

    /// What the bulky lanes may have under way, bytes.
    pub(super) fn bulk_window(&self) -> u64 {
        self.window.size()
    }
}
