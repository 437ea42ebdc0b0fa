//! Writes that the house owes: one for each point, written, read back, and never written blindly a second time.
//!
//! A time-out after a write does not tell whether the device has it: so the point is read before anything is written
//! again. A value that the device does not keep (an input overrides it, a mode forbids it) is written a few times and
//! then given up, with what the device has instead.

use super::decode::{Decoded, same};
use crate::profile::modbus::MapPoint;
use engawa_model::{CommandKey, CommandOutcome, Timestamp, Value};
use std::time::Duration;

/// How often a value is written that the device does not keep.
const MOST_WRITES: u32 = 3;

/// What is to be done next for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Write it.
    Write,
    /// Read it back.
    Verify,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pending {
    pub(crate) key: CommandKey,
    /// The point's number in its device's map.
    pub(crate) point: usize,
    pub(crate) value: Value,
    expires: Timestamp,
    step: Step,
    writes: u32,
    /// Not before, on the bus's clock.
    pub(crate) due: Duration,
}

/// What is to be put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    /// Write the value.
    Write,
    /// Read the point.
    Read,
}

impl Pending {
    /// A new write, due at once.
    pub(crate) fn new(
        key: CommandKey,
        point: usize,
        value: Value,
        expires: Timestamp,
        now: Duration,
    ) -> Self {
        Self { key, point, value, expires, step: Step::Write, writes: 0, due: now }
    }

    /// What to do, or the end.
    pub(crate) fn next(&self, at: Timestamp) -> Result<Do, CommandOutcome> {
        match self.step {
            _ if self.expires <= at => Err(CommandOutcome::Expired),
            Step::Write => Ok(Do::Write),
            Step::Verify => Ok(Do::Read),
        }
    }

    /// The device has taken it. Some: that is all that can be known.
    pub(crate) fn written(&mut self, point: &MapPoint, now: Duration) -> Option<CommandOutcome> {
        self.writes += 1;
        let rule = point.write.as_ref()?;
        if !rule.verify {
            return Some(CommandOutcome::Done);
        }
        self.step = Step::Verify;
        self.due = now + rule.settle;
        None
    }

    /// It is not known whether the device has taken it: the point is read first.
    pub(crate) fn in_doubt(&mut self, due: Duration) {
        self.step = Step::Verify;
        self.due = due;
    }

    /// It certainly did not reach the device.
    pub(crate) fn not_sent(&mut self, due: Duration) {
        self.due = due;
    }

    /// The point was read back.
    pub(crate) fn read_back(
        &mut self,
        point: &MapPoint,
        read: &Decoded,
        now: Duration,
    ) -> Option<CommandOutcome> {
        if same(point, &self.value, read) {
            return Some(CommandOutcome::Done);
        }
        if self.writes >= MOST_WRITES {
            let has = read.value.as_ref().map_or_else(|| "no valid value".to_owned(), ToString::to_string);
            let reason = format!("the device was written {MOST_WRITES} times and has {has}");
            return Some(CommandOutcome::Refused { reason });
        }
        self.step = Step::Write;
        self.due = now;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{self, Resolved};
    use engawa_model::Quality;
    use std::collections::BTreeMap;

    fn setpoint() -> MapPoint {
        let (_, text) = profile::builtin()[0];
        let Ok(Resolved::Modbus(map)) = profile::load("", text).unwrap().resolve(&BTreeMap::new()) else {
            panic!()
        };
        map.points[map.position("comfort_setpoint").unwrap()].clone()
    }

    fn read(celsius: f64) -> Decoded {
        Decoded { value: Some(Value::Float(celsius)), quality: Quality::Good }
    }

    fn pending() -> Pending {
        Pending::new(CommandKey::from("k"), 0, Value::Float(22.5), Timestamp::MAX, Duration::ZERO)
    }

    #[test]
    fn a_write_is_done_when_it_is_read_back() {
        let (mut pending, point) = (pending(), setpoint());
        assert_eq!(pending.next(Timestamp::UNIX_EPOCH), Ok(Do::Write));
        assert_eq!(pending.written(&point, Duration::ZERO), None);
        assert_eq!(pending.next(Timestamp::UNIX_EPOCH), Ok(Do::Read));
        assert_eq!(pending.read_back(&point, &read(22.5), Duration::ZERO), Some(CommandOutcome::Done));
    }

    #[test]
    fn after_a_time_out_it_reads_before_it_writes_again() {
        let (mut pending, point) = (pending(), setpoint());
        pending.in_doubt(Duration::from_secs(1));
        assert_eq!(pending.next(Timestamp::UNIX_EPOCH), Ok(Do::Read));
        assert_eq!(
            pending.clone().read_back(&point, &read(22.5), Duration::ZERO),
            Some(CommandOutcome::Done)
        );
        assert_eq!(pending.read_back(&point, &read(19.0), Duration::ZERO), None);
        assert_eq!(pending.next(Timestamp::UNIX_EPOCH), Ok(Do::Write));
    }

    #[test]
    fn what_does_not_stick_is_given_up_with_what_is_there() {
        let (mut pending, point) = (pending(), setpoint());
        for write in 1..=MOST_WRITES {
            assert_eq!(pending.next(Timestamp::UNIX_EPOCH), Ok(Do::Write));
            pending.written(&point, Duration::ZERO);
            let ended = pending.read_back(&point, &read(19.0), Duration::ZERO);
            assert_eq!(ended.is_some(), write == MOST_WRITES);
            if let Some(CommandOutcome::Refused { reason }) = ended {
                assert!(reason.contains("19"), "{reason}");
            }
        }
    }

    #[test]
    fn what_has_expired_never_reaches_the_wire() {
        let mut pending = pending();
        pending.expires = Timestamp::UNIX_EPOCH;
        assert_eq!(pending.next(Timestamp::UNIX_EPOCH), Err(CommandOutcome::Expired));
    }
}
