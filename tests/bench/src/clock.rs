//! The clock that all programs of the bench share: the system's monotonic one.
//!
//! Why not `std::time::Instant`: what one program notes is compared with what another notes, so it must be a number.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The monotonic clock begins at the machine's start: never negative.
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}
