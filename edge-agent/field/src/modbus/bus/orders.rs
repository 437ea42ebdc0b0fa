//! The orders of a bus: how one is taken, written, read back and ended.
//!
//! Never: a write that is sent again before its point has been read.

use super::super::asks::{self, What, WriteFailure};
use super::super::decode::{Words, decode, encode};
use super::super::device::{Device, written};
use super::super::line::{Failure, exception};
use super::super::writes::{Do, Pending};
use super::Bus;
use engawa_model::{CommandKey, CommandOutcome, Intent, PointId, Timestamp, Value};
use std::sync::Arc;
use std::time::Duration;

impl Bus {
    pub(super) fn start_write(&mut self, n: usize, point: usize) {
        let now = self.now();
        let early = self.devices[n].too_early(point, now);
        let device = &mut self.devices[n];
        let Some(spec) = device.map.points.get(point) else { return };
        let (function, address, length) = (spec.function, spec.address, spec.length);
        let Some(pending) = device.writes.get_mut(&point) else { return };
        match pending.next(Timestamp::now()) {
            Err(outcome) => self.end(n, point, outcome, None),
            Ok(Do::Write) => {
                if let Some(due) = early {
                    pending.not_sent(due);
                    self.enter(n);
                    return;
                }
                let value = pending.value.clone();
                self.start(n, What::Write(point), None, move |lane, manner| {
                    Box::pin(asks::write(lane, manner, point, value))
                });
            }
            Ok(Do::Read) => self.start(n, What::ReadBack(point), None, move |lane, manner| {
                Box::pin(asks::read(lane, manner, function, address, length))
            }),
        }
    }

    /// Takes an order of the house.
    pub(super) fn accept(&mut self, intent: Intent) {
        let now = self.now();
        let (key, point, value, expires) = match intent {
            Intent::WritePoint { key, point, value, expires } => (key, point, value, expires),
            Intent::WithdrawWrite { key, point } => return self.withdraw(&key, &point),
            Intent::ForgetNote { device } => return self.forget(&device),
            // For others.
            _ => return,
        };
        let found = self.devices.iter().position(|device| device.id == point.device);
        let refused = match found {
            None => format!("there is no device `{}` on this bus", point.device),
            Some(n) => match take(&mut self.devices[n], &key, &point, value, expires, now) {
                Ok(()) => return self.enter(n),
                Err(reason) => reason,
            },
        };
        self.facts.push(written(key, CommandOutcome::Refused { reason: refused }, None));
    }

    /// The house no longer wants this write. One that is on the wire ends as it does: nobody waits for its outcome.
    pub(super) fn withdraw(&mut self, key: &CommandKey, point: &PointId) {
        let Some(n) = self.devices.iter().position(|device| device.id == point.device) else { return };
        self.devices[n].writes.retain(|_, pending| pending.key != *key);
        self.enter(n);
    }

    pub(super) fn read_back(
        &mut self,
        n: usize,
        point: usize,
        answer: Result<Words, Failure>,
        took: Duration,
    ) {
        let now = self.now();
        let map = Arc::clone(&self.devices[n].map);
        let Some(spec) = map.points.get(point) else { return };
        match answer {
            Ok(words) => {
                let Some(read) = decode(&map, spec, spec.address, &words) else { return };
                let at = Timestamp::now();
                self.devices[n].well(at, &mut self.facts);
                let ended = self.devices[n]
                    .writes
                    .get_mut(&point)
                    .and_then(|pending| pending.read_back(spec, &read, now));
                if let Some(outcome) = ended {
                    let value = read.value.clone();
                    // First what the device has, then how the order ended: in between, the value is the house's doing
                    // and no guest's.
                    self.devices[n].holds(point, read, at, &mut self.facts);
                    self.end(n, point, outcome, value);
                }
            }
            Err(failure) => self.failed(n, &failure, &format!("{} (read back)", spec.address), took),
        }
    }

    pub(super) fn after_write(
        &mut self,
        n: usize,
        point: usize,
        answer: Result<(), WriteFailure>,
        took: Duration,
    ) {
        let (now, at) = (self.now(), Timestamp::now());
        let map = Arc::clone(&self.devices[n].map);
        let Some(spec) = map.points.get(point) else { return };
        match answer {
            Ok(()) => {
                self.devices[n].note_written(point, now);
                self.devices[n].well(at, &mut self.facts);
                let ended =
                    self.devices[n].writes.get_mut(&point).and_then(|pending| pending.written(spec, now));
                if let Some(outcome) = ended {
                    self.end(n, point, outcome, None);
                }
            }
            Err(WriteFailure::Refused(reason)) => {
                self.end(n, point, CommandOutcome::Refused { reason }, None);
            }
            // The device has heard it and says no: so it is, whoever asks again.
            Err(WriteFailure::Sent(Failure::Exception(code @ (1..=4)))) => {
                let reason = format!("the device refuses it: exception {code} ({})", exception(code));
                self.end(n, point, CommandOutcome::Refused { reason }, None);
            }
            Err(WriteFailure::Sent(failure)) => {
                if let Some(pending) = self.devices[n].writes.get_mut(&point) {
                    // Busy is an answer: nothing was written.
                    match failure {
                        Failure::Exception(_) => pending.not_sent(now),
                        _ => pending.in_doubt(now),
                    }
                }
                self.failed(n, &failure, &format!("a write to {}", spec.address), took);
            }
            Err(WriteFailure::Unsent(failure)) => {
                if let Some(pending) = self.devices[n].writes.get_mut(&point) {
                    pending.not_sent(now);
                }
                self.failed(n, &failure, &format!("what must be read to write {}", spec.address), took);
            }
        }
    }

    pub(super) fn end(&mut self, n: usize, point: usize, outcome: CommandOutcome, read_back: Option<Value>) {
        if let Some(pending) = self.devices[n].writes.remove(&point) {
            self.facts.push(written(pending.key, outcome, read_back));
        }
        self.enter(n);
    }
}

/// Enters a write; a newer one takes the older one's place, whose order the model has ended already.
fn take(
    device: &mut Device,
    key: &CommandKey,
    point: &PointId,
    value: Value,
    expires: Timestamp,
    now: Duration,
) -> Result<(), String> {
    let number = device
        .map
        .position(&point.point)
        .ok_or_else(|| format!("{} has no point `{}`", point.device, point.point))?;
    encode(&device.map.points[number], &value)?;
    if device.writes.get(&number).is_some_and(|pending| pending.key == *key) {
        // Given again after a restart of either side: it goes on as it was.
        return Ok(());
    }
    device.writes.insert(number, Pending::new(key.clone(), number, value, expires, now));
    Ok(())
}
