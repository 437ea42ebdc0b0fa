//! Measured values that got no row, until a row tells of them.

use engawa_model::{Change, Thinning, Timestamp};

/// Measured values that got no row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    values: u64,
    since: Timestamp,
    pub(crate) until: Timestamp,
}

impl Missed {
    pub(crate) fn record(&self) -> Change {
        Change::Thinned {
            numbers: 0,
            values: 0,
            into: 0,
            lost: self.values,
            since: self.since,
            until: self.until,
            how: Thinning::NotWritten,
        }
    }
}

pub(crate) fn note_missed(missed: &mut Option<Missed>, values: u64, at: Timestamp) {
    let before = missed.get_or_insert(Missed { values: 0, since: at, until: at });
    before.values += values;
    before.until = before.until.max(at);
}
