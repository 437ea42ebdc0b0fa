//! Writes that the house owes to MQTT devices: published, published again, and confirmed by the device itself.
//!
//! Why: the broker's acknowledgement says that the broker has the message, not that the thermostat has it.
//! A write is done when the device reports the value; until then it is repeated, ever more slowly, until
//! its time runs out (a device that was off during check-in still gets the room's set point).
//!
//! Terms: *confirmed*: the device's own report carries the value that was written.
//!
//! Never: the clock (time comes in), sockets.

use super::house::Publication;
use engawa_model::{CommandKey, CommandOutcome, Fact, PointId, Timestamp, Value};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// How long a device has to report the value before the write is published again.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(10);
/// The longest pause between two publications of one write.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(5);
/// Publications without a confirmation after which the device is called unwell.
const PATIENCE: u32 = 3;

/// A write that is not confirmed yet.
#[derive(Debug)]
struct Pending {
    key: CommandKey,
    value: Value,
    /// How far the report may differ: half the device's step.
    tolerance: f64,
    publication: Publication,
    expires: Timestamp,
    /// False for a point that reports nothing: the broker's acknowledgement must do.
    reports: bool,
    sent: u32,
    next: Timestamp,
}

/// One write, ready to be published.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub(super) key: CommandKey,
    pub(super) publication: Publication,
    pub(super) expires: Timestamp,
}

/// The writes by point: at most one each, a newer takes the older's place (the model has ended that order).
/// Bounded by the number of configured points.
#[derive(Debug, Default)]
pub(super) struct Writes {
    pending: BTreeMap<PointId, Pending>,
}

impl Writes {
    /// Takes an order. The same order given again (after a restart, or by a redelivery) goes on as it was.
    pub(super) fn order(
        &mut self,
        point: &PointId,
        value: Value,
        tolerance: f64,
        reports: bool,
        write: Write,
        now: Timestamp,
    ) {
        if self.pending.get(point).is_some_and(|pending| pending.key == write.key) {
            return;
        }
        let Write { key, publication, expires } = write;
        let pending = Pending { key, value, tolerance, publication, expires, reports, sent: 0, next: now };
        self.pending.insert(point.clone(), pending);
    }

    /// The house no longer wants this write: it is not published again.
    pub(super) fn withdraw(&mut self, key: &CommandKey, point: &PointId) {
        if self.pending.get(point).is_some_and(|pending| pending.key == *key) {
            self.pending.remove(point);
        }
    }

    /// What is to be published now, and the points whose devices have left it unconfirmed for too long.
    /// Writes whose time has run out are forgotten: the model ends their orders by itself.
    pub(super) fn due(&mut self, now: Timestamp) -> (Vec<Write>, Vec<PointId>) {
        self.pending.retain(|_, pending| pending.expires > now);
        let (mut due, mut unconfirmed) = (Vec::new(), Vec::new());
        for (point, pending) in self.pending.iter_mut().filter(|(_, pending)| pending.next <= now) {
            if pending.sent == PATIENCE && pending.reports {
                unconfirmed.push(point.clone());
            }
            let wait = FIRST_WAIT
                .checked_mul(1 << pending.sent.min(8))
                .map_or(LONGEST_WAIT, |w| w.min(LONGEST_WAIT));
            pending.sent = pending.sent.saturating_add(1);
            pending.next = now.checked_add(wait).unwrap_or(Timestamp::MAX);
            due.push(Write {
                key: pending.key.clone(),
                publication: pending.publication.clone(),
                expires: pending.expires,
            });
        }
        (due, unconfirmed)
    }

    /// When [`Self::due`] has something to say next.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.pending.values().map(|pending| pending.next.min(pending.expires)).min()
    }

    /// The connection is new: what was on its way may be lost, so everything is due.
    pub(super) fn connected(&mut self, now: Timestamp) {
        for pending in self.pending.values_mut() {
            pending.next = now;
        }
    }

    /// A device reported `point`; the outcome, where that confirms a write.
    pub(super) fn reported(&mut self, point: &PointId, value: &Value) -> Option<Fact> {
        let pending = self.pending.get(point)?;
        // A report that was on its way before the write went out says nothing about it.
        if pending.sent == 0 || !agrees(value, &pending.value, pending.tolerance) {
            return None;
        }
        let key = self.pending.remove(point)?.key;
        Some(Fact::Written { key, outcome: CommandOutcome::Done, read_back: Some(value.clone()) })
    }

    /// The broker has acknowledged the write `key`; the outcome, where that is all there is to know.
    pub(super) fn delivered(&mut self, key: &CommandKey) -> Option<Fact> {
        let point =
            self.pending.iter().find(|(_, pending)| pending.key == *key && !pending.reports)?.0.clone();
        let key = self.pending.remove(&point)?.key;
        Some(Fact::Written { key, outcome: CommandOutcome::Done, read_back: None })
    }
}

fn agrees(is: &Value, wanted: &Value, tolerance: f64) -> bool {
    match (is.as_f64(), wanted.as_f64()) {
        (Some(is), Some(wanted)) => (is - wanted).abs() <= tolerance,
        _ => is == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn write(key: &str, expires: i64) -> Write {
        Write {
            key: key.into(),
            publication: Publication::event("t/set".to_owned(), key),
            expires: at(expires),
        }
    }

    fn keys(due: &(Vec<Write>, Vec<PointId>)) -> Vec<&str> {
        due.0.iter().map(|write| write.key.as_str()).collect()
    }

    #[test]
    fn a_write_is_repeated_more_slowly_until_the_device_reports_the_value() {
        let (mut writes, point) = (Writes::default(), PointId::new("t", "setpoint"));
        writes.order(&point, Value::Float(21.0), 0.05, true, write("a", 10_000), at(0));
        assert_eq!(writes.reported(&point, &Value::Float(21.0)), None, "nothing was sent yet");
        let mut sent = Vec::new();
        let mut unwell = Vec::new();
        for second in 0..200 {
            let due = writes.due(at(second));
            sent.extend(due.0.iter().map(|_| second));
            unwell.extend(due.1.iter().map(|_| second));
        }
        assert_eq!(sent, [0, 10, 30, 70, 150]);
        assert_eq!(unwell, [70]);
        assert_eq!(writes.reported(&point, &Value::Float(19.0)), None);
        let done = writes.reported(&point, &Value::Int(21)).unwrap();
        assert!(matches!(done, Fact::Written { outcome: CommandOutcome::Done, .. }));
        assert_eq!(writes.next(), None);
    }

    #[test]
    fn a_newer_write_takes_the_older_ones_place_and_the_same_one_does_not_start_again() {
        let (mut writes, point) = (Writes::default(), PointId::new("t", "setpoint"));
        writes.order(&point, Value::Float(21.0), 0.05, true, write("a", 100), at(0));
        assert_eq!(keys(&writes.due(at(0))), ["a"]);
        writes.order(&point, Value::Float(21.0), 0.05, true, write("a", 100), at(1));
        assert!(keys(&writes.due(at(1))).is_empty());
        writes.order(&point, Value::Float(18.0), 0.05, true, write("b", 100), at(2));
        assert_eq!(keys(&writes.due(at(2))), ["b"]);
        assert_eq!(writes.reported(&point, &Value::Float(21.0)), None);
        writes.connected(at(3));
        assert_eq!(keys(&writes.due(at(3))), ["b"]);
        assert!(keys(&writes.due(at(100))).is_empty(), "expired");
        assert_eq!(writes.next(), None);
    }

    #[test]
    fn a_point_that_reports_nothing_is_done_when_the_broker_has_it() {
        let (mut writes, point) = (Writes::default(), PointId::new("t", "buzzer"));
        writes.order(&point, Value::Bool(true), 0.0, false, write("a", 100), at(0));
        writes.due(at(0));
        assert_eq!(writes.delivered(&"b".into()), None);
        assert!(writes.delivered(&"a".into()).is_some());
        assert_eq!(writes.delivered(&"a".into()), None);
    }
}
