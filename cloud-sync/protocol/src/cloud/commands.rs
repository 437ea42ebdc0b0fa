//! Commands on their way down, one frame at a time: the next goes when the gateway has the last one durably.

use crate::batch::{BatchError, Form};
use crate::edge::pack_some;
use crate::frame::Rows;
use crate::ports::Row;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be looked for.
    Due,
    /// The store is being asked; whether it may have new ones since.
    Asking { again: bool },
    /// There were none, or the gateway takes none: looked for again then.
    Until(Duration),
    /// A frame is under way, and ends with this number.
    UnderWay(u64),
}

/// Where one session is with its commands.
#[derive(Debug)]
pub(super) struct Handing {
    mark: u64,
    state: State,
}

impl Default for Handing {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Handing {
    /// The gateway has them up to `mark`.
    pub(super) fn new(mark: u64) -> Self {
        Self { mark, state: State::Due }
    }

    pub(super) fn look_at(&self) -> Option<Duration> {
        match self.state {
            State::Until(at) => Some(at),
            _ => None,
        }
    }

    pub(super) fn changed(&mut self) {
        match self.state {
            State::Until(_) => self.state = State::Due,
            State::Asking { .. } => self.state = State::Asking { again: true },
            State::Due | State::UnderWay(_) => {}
        }
    }

    /// After which number the store is to be asked now.
    pub(super) fn next(&mut self, now: Duration) -> Option<u64> {
        let due = match self.state {
            State::Due => true,
            State::Until(at) => at <= now,
            State::Asking { .. } | State::UnderWay(_) => false,
        };
        due.then(|| {
            self.state = State::Asking { again: false };
            self.mark
        })
    }

    /// What the store has found: a frame, where there is something. Numbers may leap after a restore of the cloud; a
    /// frame ends before the leap.
    pub(super) fn found(
        &mut self,
        now: Duration,
        look: Duration,
        rows: Option<&[Row]>,
        form: Form,
    ) -> Result<Option<Rows>, BatchError> {
        let State::Asking { again } = self.state else { return Ok(None) };
        let rows = rows.unwrap_or_default();
        if rows.is_empty() {
            self.state = if again { State::Due } else { State::Until(now.saturating_add(look)) };
            return Ok(None);
        }
        let whole =
            rows.windows(2).take_while(|pair| pair[0].seq.checked_add(1) == Some(pair[1].seq)).count() + 1;
        let (packed, last) = pack_some(&rows[..whole], form, usize::MAX)?;
        self.state = State::UnderWay(last);
        Ok(Some(packed))
    }

    /// The gateway names a mark: what of it is believed. `None` where nothing was under way. A gateway that names less
    /// than it was given gets the rest again, after a while if it takes none at all; one that names more is believed
    /// only as far as it was given.
    pub(super) fn acknowledged(&mut self, now: Duration, look: Duration, mark: u64) -> Option<u64> {
        let State::UnderWay(last) = self.state else { return None };
        let mark = mark.min(last);
        self.state = if mark > self.mark { State::Due } else { State::Until(now.saturating_add(look)) };
        self.mark = self.mark.max(mark);
        Some(self.mark)
    }
}
