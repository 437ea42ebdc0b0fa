//! How much room each lane of the journal has, and what is refused when it gets short.
//!
//! Measured values are thinned long before anything is dropped. Rows of guests, money and audit are never dropped: near
//! their bound whoever would cause new ones without need is refused, and past it they take of telemetry's share, so that
//! check-ins go on as long as there is a disk.

use crate::LaneMarks;
use engawa_model::Lane;
use std::collections::BTreeMap;

/// What a row takes on the disk beside its kind and body, bytes: its keys in the table and in the index by time, and what
/// pages leave free. Measured, see the bench.
pub(crate) const ROW_BYTES: u64 = 72;

/// What a row takes on the disk, bytes.
pub(crate) fn row_bytes(kind: &str, body: &[u8]) -> u64 {
    ROW_BYTES + (kind.len() + body.len()) as u64
}

/// What bundles may take: they are refused before they get there, and never make room short for anything else.
const BULK: u64 = 8 << 20;

/// Bytes that the rows of each lane may take on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Outcomes of commands.
    pub control: u64,
    /// Alerts and health.
    pub alarms: u64,
    /// Stays, rooms, postings.
    pub stays: u64,
    /// Who asked what.
    pub audit: u64,
    /// Measured values.
    pub telemetry: u64,
}

impl Default for Budget {
    /// With the state and the guests' data a month of 200 rooms without the cloud fits into 512 MiB.
    fn default() -> Self {
        Self { control: 16 << 20, alarms: 32 << 20, stays: 64 << 20, audit: 32 << 20, telemetry: 352 << 20 }
    }
}

impl Budget {
    /// The share of `lane`.
    pub fn of(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Control => self.control,
            Lane::Alarms => self.alarms,
            Lane::Stays => self.stays,
            Lane::Audit => self.audit,
            Lane::Telemetry => self.telemetry,
            Lane::Bulk => BULK,
        }
    }

    /// What is left to telemetry: its share less what others had to take beyond theirs.
    pub(crate) fn telemetry_left(&self, marks: &BTreeMap<u8, LaneMarks>) -> u64 {
        let others = Lane::ALL.into_iter().filter(|lane| *lane != Lane::Telemetry);
        let borrowed = others.map(|lane| bytes(marks, lane).saturating_sub(self.of(lane))).sum();
        self.telemetry.saturating_sub(borrowed)
    }

    /// How short the lanes that never drop are: the fullest counts.
    pub(crate) fn pressure(&self, marks: &BTreeMap<u8, LaneMarks>, before: Pressure) -> Pressure {
        let fill = |lane: Lane| {
            let (bytes, share) = (bytes(marks, lane), self.of(lane).max(1));
            bytes.saturating_mul(100) / share
        };
        let others = Lane::ALL.into_iter().filter(|lane| !matches!(lane, Lane::Telemetry | Lane::Bulk));
        let fullest = others.map(fill).max().unwrap_or(0);
        // Not back and forth at one bound: it is over a tenth below.
        let at = |percent: u64, was: bool| fullest >= if was { percent - 10 } else { percent };
        if at(100, before == Pressure::Full) {
            Pressure::Full
        } else if at(80, before != Pressure::Free) {
            Pressure::Tight
        } else {
            Pressure::Free
        }
    }
}

fn bytes(marks: &BTreeMap<u8, LaneMarks>, lane: Lane) -> u64 {
    marks.get(&lane.number()).map_or(0, |mark| mark.bytes)
}

/// How short the lanes are that never drop a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Not at all.
    #[default]
    Free,
    /// A fifth of a lane's share is left, as a reserve for guests: what can wait is to be refused.
    Tight,
    /// A lane has used its share up, and takes of telemetry's: only what must be is to be taken.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(lane: Lane, bytes: u64) -> BTreeMap<u8, LaneMarks> {
        [(lane.number(), LaneMarks { lane: lane.number(), bytes, ..LaneMarks::default() })].into()
    }

    #[test]
    fn pressure_rises_at_its_bounds_and_falls_a_tenth_below() {
        let budget = Budget { stays: 1000, ..Budget::default() };
        let of = |bytes, before| budget.pressure(&marks(Lane::Stays, bytes), before);
        assert_eq!(of(799, Pressure::Free), Pressure::Free);
        assert_eq!(of(800, Pressure::Free), Pressure::Tight);
        assert_eq!(of(700, Pressure::Tight), Pressure::Tight);
        assert_eq!(of(699, Pressure::Tight), Pressure::Free);
        assert_eq!(of(1000, Pressure::Tight), Pressure::Full);
        assert_eq!(of(900, Pressure::Full), Pressure::Full);
        assert_eq!(of(899, Pressure::Full), Pressure::Tight);
        assert_eq!(budget.pressure(&marks(Lane::Telemetry, u64::MAX), Pressure::Free), Pressure::Free);
    }

    #[test]
    fn what_guests_need_beyond_their_share_is_telemetrys() {
        let budget = Budget { stays: 1000, telemetry: 5000, ..Budget::default() };
        assert_eq!(budget.telemetry_left(&marks(Lane::Stays, 1000)), 5000);
        assert_eq!(budget.telemetry_left(&marks(Lane::Stays, 3000)), 3000);
        assert_eq!(budget.telemetry_left(&marks(Lane::Stays, 9000)), 0);
    }
}
