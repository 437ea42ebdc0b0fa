//! One lane's stream: frames wait until the store has answered those before them.

#[cfg(test)]
mod tests;

use super::CloudSessionError;
use super::credit::{Account, CreditBounds};
use crate::batch::{self, MAX_PLAIN, MAX_ROWS};
use crate::frame::{self, Body, Rows};
use crate::ports::{Row, Skip};
use std::collections::VecDeque;
use std::time::Duration;

/// Frames that may wait. A peer of release 0.1 counts no bytes, so the next one is left on the line beyond this.
const MOST_WAITING: usize = 64;
/// Bytes of frames that may wait; the same.
const MOST_BYTES: u64 = 512 << 10;
/// The longest reason of a gap that is kept, bytes.
const MOST_REASON: usize = 300;

/// What the store is to do.
#[derive(Debug)]
pub(super) enum Job {
    Rows(Vec<Row>),
    /// Rows, and the gap behind them.
    Skip(Vec<Row>, Skip),
}

#[derive(Debug)]
enum Waiting {
    Rows(Rows),
    Skip(Skip),
}

#[derive(Debug)]
pub(super) struct LaneIn {
    pub(super) lane: u8,
    pub(super) account: Account,
    waiting: VecDeque<(Waiting, u64)>,
    waiting_bytes: u64,
    /// What the store works at: how many frames of `waiting`, their bytes, since when.
    job: Option<(usize, u64, Duration)>,
    /// After a hole: what does not begin at or below this number was sent before the edge heard of it.
    hole: Option<u64>,
    /// The next frame is on its way, or waited for.
    receiving: bool,
    /// Times in a row that the store did not take it, and when it is asked again.
    pub(super) failures: u32,
    pub(super) rests_until: Option<Duration>,
}

impl LaneIn {
    pub(super) fn new(lane: u8, bounds: CreditBounds) -> Self {
        Self {
            lane,
            account: Account::new(bounds),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            job: None,
            hole: None,
            receiving: false,
            failures: 0,
            rests_until: None,
        }
    }

    /// True where the next frame may come; it is then expected.
    pub(super) fn receive(&mut self) -> bool {
        let may = !self.receiving && self.waiting.len() < MOST_WAITING && self.waiting_bytes < MOST_BYTES;
        self.receiving |= may;
        may
    }

    /// A frame has come. `counted`: the peer keeps to credits.
    pub(super) fn take(&mut self, body: Body, counted: bool) -> Result<(), CloudSessionError> {
        self.receiving = false;
        let bytes = frame::size(&body);
        if !self.account.received(bytes) && counted {
            return Err(CloudSessionError::Credit { lane: self.lane });
        }
        let waiting = match body {
            Body::Rows(rows) => Waiting::Rows(rows),
            Body::Skip(skip) if counted => Waiting::Skip(self.skip(skip)?),
            _ => return Err(CloudSessionError::Unexpected { expected: "rows" }),
        };
        self.waiting.push_back((waiting, bytes));
        self.waiting_bytes += bytes;
        Ok(())
    }

    fn skip(&self, skip: frame::Skip) -> Result<Skip, CloudSessionError> {
        let frame::Skip { from, to, mut reason } = skip;
        // Numbers are 63 bits wide in a database.
        if from == 0 || to < from || i64::try_from(to).is_err() {
            return Err(CloudSessionError::Skip { lane: self.lane, from, to });
        }
        if reason.len() > MOST_REASON {
            let end = (0..=MOST_REASON).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
            reason.truncate(end);
        }
        Ok(Skip { from, to, reason })
    }

    /// What the store is to do next, if it is idle and there is something: frames that follow each other go together.
    pub(super) fn next(&mut self, now: Duration) -> Result<Option<Job>, CloudSessionError> {
        if self.job.is_some() || self.rests_until.is_some_and(|until| until > now) {
            return Ok(None);
        }
        self.rests_until = None;
        let (mut rows, mut skip): (Vec<Row>, Option<Skip>) = (Vec::new(), None);
        let (mut frames, mut bytes, mut plain) = (0, 0, 0);
        while let Some((waiting, size)) = self.waiting.get(frames) {
            let first = match waiting {
                Waiting::Skip(gap) => {
                    if rows.last().is_some_and(|last| last.seq.checked_add(1) != Some(gap.from)) {
                        break;
                    }
                    skip = Some(gap.clone());
                    gap.from
                }
                Waiting::Rows(packed) => {
                    plain += packed.plain_length as usize;
                    if !rows.is_empty() && plain > MAX_PLAIN {
                        break;
                    }
                    let unpacked = batch::unpack(packed)
                        .map_err(|source| CloudSessionError::Batch { lane: self.lane, source })?;
                    let follows = match (rows.last(), unpacked.first()) {
                        (Some(last), Some(first)) => last.seq.checked_add(1) == Some(first.seq),
                        _ => true,
                    };
                    if !follows || rows.len() + unpacked.len() > MAX_ROWS {
                        break;
                    }
                    let first = unpacked.first().map_or(0, |row| row.seq);
                    rows.extend(unpacked);
                    first
                }
            };
            if frames == 0 && self.hole.is_some_and(|hole| first > hole) {
                // Sent before the edge heard of the hole; it comes again.
                self.drop_front();
                (rows, skip, plain) = (Vec::new(), None, 0);
                continue;
            }
            self.hole = None;
            frames += 1;
            bytes += size;
            if skip.is_some() {
                break;
            }
        }
        if frames == 0 {
            return Ok(None);
        }
        self.job = Some((frames, bytes, now));
        Ok(Some(match skip {
            Some(skip) => Job::Skip(rows, skip),
            None => Job::Rows(rows),
        }))
    }

    fn drop_front(&mut self) {
        if let Some((_, bytes)) = self.waiting.pop_front() {
            self.waiting_bytes -= bytes;
            self.account.stored(bytes, None);
        }
    }

    /// The store has answered: what it had is done with.
    pub(super) fn answered(&mut self, now: Duration) {
        let Some((frames, bytes, since)) = self.job.take() else { return };
        self.waiting.drain(..frames);
        self.waiting_bytes -= bytes;
        self.failures = 0;
        self.account.stored(bytes, Some(now.saturating_sub(since)));
    }

    /// The store found a hole after `mark`.
    pub(super) fn holed(&mut self, mark: u64) {
        self.hole = Some(mark.saturating_add(1));
    }

    /// The store did not take it: it is tried again after a rest.
    pub(super) fn rest(&mut self, until: Duration, failed: bool) {
        self.job = None;
        self.failures += u32::from(failed);
        self.rests_until = Some(until);
    }
}
