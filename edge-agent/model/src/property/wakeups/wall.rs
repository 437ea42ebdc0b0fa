//! From a time on the wall to the instant at which it rings.

use crate::{DateTime, Timestamp};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// When a call for `at` rings in `zone`. A time that the clocks leave out: when they jump over it. A time that comes
/// twice: the first of both. `None` outside of what a clock can tell (years -9999 to 9999).
pub(super) fn instant(zone: &TimeZone, at: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(at).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(at).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(at).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // By the later offset the time lies before the jump, by less than its length: the jump is the next transition.
            let before = after.to_timestamp(at).ok()?;
            zone.following(before).next().map(|jump| jump.timestamp())
        }
    }
}
