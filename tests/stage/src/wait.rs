//! Waiting for a condition, with a deadline; never for a time.

use anyhow::bail;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Pauses between two looks at something.
pub fn pause(long: Duration) {
    let until = Instant::now() + long;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// Waits until `look` gives something.
///
/// # Errors
/// What `look` fails with, or that `longest` has passed.
pub fn until<T>(
    what: &str,
    longest: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + longest;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {longest:?} in vain: {what}");
        }
        pause(LOOK);
    }
}
