//! One device on a bus: its plan, what it said last, how it is, and what it is owed.

use super::REFUSED_AGAIN;
use super::decode::{Decoded, Words, decode, differs};
use super::health::{Health, Verdict};
use super::learnt::Learnt;
use super::plan::{self, Request};
use super::writes::Pending;
use crate::profile::modbus::ModbusMap;
use engawa_model::{
    CommandKey, CommandOutcome, DeviceId, DeviceState, Fact, PointId, Quality, Timestamp, Value,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A device, as configured.
#[derive(Clone, Debug)]
pub struct ModbusDevice {
    /// Its name in the house.
    pub id: DeviceId,
    /// Its unit id on the bus, 1 to 247 (0 and 255 for some gateways' own registers).
    pub unit: u8,
    /// Its registers.
    pub map: Arc<ModbusMap>,
}

/// A request and when it is due, on the bus's clock.
struct Poll {
    request: Request,
    due: Duration,
    /// The last good answer, once all that is in it has been told: the same answer again says nothing new.
    said: Option<Words>,
}

impl Poll {
    fn new(request: Request, due: Duration) -> Self {
        Self { request, due, said: None }
    }
}

/// What is to be done for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Carry a write on: the point's number.
    Write(usize),
    /// Send a request: its number.
    Poll(usize),
}

pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) unit: u8,
    pub(crate) map: Arc<ModbusMap>,
    polls: Vec<Poll>,
    /// For so many registers between two points another request is cheaper.
    worth: u16,
    learnt: Learnt,
    /// What was last told to be remembered; `None` for nothing.
    noted: Option<String>,
    last: Vec<Option<Decoded>>,
    last_heard: Option<Timestamp>,
    health: Health,
    /// Nothing before this.
    not_before: Duration,
    pub(crate) identified: bool,
    /// True while a lane has a job of it.
    pub(crate) busy: bool,
    /// What was learnt is forgotten when that job has ended.
    pub(crate) forget_soon: bool,
    /// How often the request that failed last was tried again: its number and the count.
    tries: (usize, u8),
    /// When points with a heartbeat were last reported; empty where the map has none.
    told: Vec<Duration>,
    /// At most one a point.
    pub(crate) writes: BTreeMap<usize, Pending>,
    written: BTreeMap<usize, Duration>,
}

impl Device {
    /// A device whose first requests come after `spread`; for gaps of `worth` registers another request is cheaper.
    pub(crate) fn new(device: ModbusDevice, worth: u16, spread: Duration) -> Self {
        let ModbusDevice { id, unit, map } = device;
        let learnt = Learnt::default();
        let planned = plan::requests(&map, worth, &learnt);
        let polls = planned.into_iter().map(|request| Poll::new(request, spread)).collect();
        let last = vec![None; map.points.len()];
        let identified = is_known(&map);
        let beats = map.points.iter().any(|point| point.heartbeat.is_some());
        let told = if beats { vec![Duration::ZERO; map.points.len()] } else { Vec::new() };
        Self {
            id,
            unit,
            map,
            polls,
            worth,
            learnt,
            noted: None,
            last,
            last_heard: None,
            health: Health::default(),
            not_before: Duration::ZERO,
            identified,
            busy: false,
            forget_soon: false,
            tries: (usize::MAX, 0),
            told,
            writes: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    /// The write that is due first, and when.
    pub(crate) fn next_write(&self) -> Option<(Duration, Job)> {
        let (due, point) = self.writes.values().map(|write| (write.due, write.point)).min()?;
        Some((due.max(self.not_before), Job::Write(point)))
    }

    /// The poll that is due first, and when.
    pub(crate) fn next_poll(&self) -> Option<(Duration, Job)> {
        let (due, n) = self.polls.iter().enumerate().map(|(n, poll)| (poll.due, n)).min()?;
        Some((due.max(self.not_before), Job::Poll(n)))
    }

    /// True once the device has been judged sick.
    pub(crate) fn is_unwell(&self) -> bool {
        self.health.is_unwell()
    }

    /// Request `n` had no good answer: true where it is sent once more before that counts. Only a device that was well
    /// is worth it, and reading changes nothing.
    pub(crate) fn try_again(&mut self, n: usize, now: Duration) -> bool {
        let tried = if self.tries.0 == n { self.tries.1 } else { 0 };
        if tried >= self.map.retries || !self.health.is_well() {
            return false;
        }
        self.tries = (n, tried + 1);
        if let Some(poll) = self.polls.get_mut(n) {
            poll.due = now;
        }
        true
    }

    pub(crate) fn request(&self, n: usize) -> Option<&Request> {
        self.polls.get(n).map(|poll| &poll.request)
    }

    /// The request has been sent at `now`: when it is sent again. Beats that were missed are not made up for.
    pub(crate) fn sent(&mut self, n: usize, now: Duration) {
        if let Some(poll) = self.polls.get_mut(n) {
            let next = poll.due + poll.request.interval;
            poll.due = if next > now { next } else { now + poll.request.interval };
        }
    }

    /// Before the first request: what the house remembers of the device.
    pub(crate) fn recall(&mut self, note: &str, spread: Duration) {
        self.learnt = Learnt::read(note, &self.map);
        // A note of another layout is to be taken back.
        self.noted = Some(note.to_owned());
        self.replan(spread);
        for poll in &mut self.polls {
            poll.due = if is_refused(&self.learnt, &poll.request) { spread + REFUSED_AGAIN } else { spread };
        }
    }

    /// Whoever installs the house wants it asked as if it were new.
    pub(crate) fn forget(&mut self, now: Duration) {
        self.learnt = Learnt::default();
        self.noted = None;
        self.replan(now);
        for poll in &mut self.polls {
            // What was refused waited for its next turn.
            poll.due = poll.due.min(now);
        }
    }

    /// What is to be remembered of the device, where that has changed.
    pub(crate) fn note(&mut self, facts: &mut Vec<Fact>) {
        if self.noted.is_none() && self.learnt == Learnt::default() {
            return;
        }
        // A device that refuses everything is none of its profile: nothing is learnt from that.
        let note = if self.refuses_all() { None } else { self.learnt.note(&self.map) };
        if note != self.noted {
            self.noted.clone_from(&note);
            facts.push(Fact::Noted { device: self.id.clone(), note });
        }
    }

    fn refuses_all(&self) -> bool {
        self.polls.iter().all(|poll| is_refused(&self.learnt, &poll.request))
    }

    /// The requests anew, by what was learnt. Those that stay keep their time.
    fn replan(&mut self, now: Duration) {
        let mut old = std::mem::take(&mut self.polls);
        let planned = plan::requests(&self.map, self.worth, &self.learnt);
        let poll = |request: Request| match old.iter().position(|poll| poll.request == request) {
            Some(same) => old.swap_remove(same),
            None => Poll::new(request, now),
        };
        self.polls = planned.into_iter().map(poll).collect();
        self.tries = (usize::MAX, 0);
        if self.refuses_all() {
            return;
        }
        for poll in self.polls.iter_mut().filter(|poll| is_refused(&self.learnt, &poll.request)) {
            poll.due = poll.due.max(now + REFUSED_AGAIN);
        }
    }

    /// The device may not be asked before `due`.
    pub(crate) fn rest_until(&mut self, due: Duration) {
        self.not_before = self.not_before.max(due);
    }

    /// The device refused request `n`. What it refuses of several points is looked for in their parts; what it refuses
    /// alone has no value, and is asked for rarely. False where it refuses all that there is: it is not the profile's.
    pub(crate) fn refused(&mut self, n: usize, now: Duration, at: Timestamp, facts: &mut Vec<Fact>) -> bool {
        let Some(poll) = self.polls.get(n) else { return false };
        let Request { function, first, count, .. } = poll.request;
        if let Some(parts) = plan::split(&self.map, &poll.request) {
            // Where nothing more can be learnt the device is still asked for the parts.
            self.learnt.cut(function, parts[1].first);
            self.polls.remove(n);
            self.polls.extend(parts.into_iter().map(|request| Poll::new(request, now)));
            return true;
        }
        if self.learnt.refused(function, first, count).is_none()
            && !self.learnt.refuse(function, first, count)
        {
            return false;
        }
        for point in poll.request.points.clone() {
            let none = Decoded { value: None, quality: Quality::Bad };
            let Some(spec) = self.map.points.get(point) else { continue };
            if self.last[point].as_ref() != Some(&none) {
                facts.push(reported(point_id(&self.id, &spec.name), &none, at));
                self.last[point] = Some(none);
            }
        }
        self.replan(now);
        !self.refuses_all()
    }

    /// A good answer to request `n`: what is worth a report.
    pub(crate) fn heard(
        &mut self,
        n: usize,
        words: Words,
        clock: Duration,
        at: Timestamp,
        facts: &mut Vec<Fact>,
    ) {
        self.well(at, facts);
        self.tries = (usize::MAX, 0);
        let Some(poll) = self.polls.get_mut(n) else { return };
        // Most answers are the one before again: comparing them costs less than decoding what they hold.
        let again = poll.said.as_ref() == Some(&words);
        if again && self.told.is_empty() {
            return;
        }
        for &point in &poll.request.points {
            let Some(spec) = self.map.points.get(point) else { continue };
            let said = if again { None } else { decode(&self.map, spec, poll.request.first, &words) };
            let news =
                said.filter(|now| self.last[point].as_ref().is_none_or(|last| differs(spec, last, now)));
            if let Some(now) = news {
                facts.push(reported(point_id(&self.id, &spec.name), &now, at));
                self.last[point] = Some(now);
            } else if let Some(told) = self.told.get(point)
                // Where the next poll would be further from the beat than this one, it is now: answers come a little
                // sooner or later.
                && spec.heartbeat.is_some_and(|beat| clock + poll.request.interval / 2 >= *told + beat)
            {
                facts.push(Fact::Confirmed { point: point_id(&self.id, &spec.name), sampled: at });
            } else {
                continue;
            }
            if let Some(told) = self.told.get_mut(point) {
                *told = clock;
            }
        }
        poll.said = Some(words);
        let Request { function, first, count, .. } = poll.request;
        if self.learnt.answered(function, first, count) {
            self.replan(clock);
        }
    }

    /// The device has answered.
    pub(crate) fn well(&mut self, at: Timestamp, facts: &mut Vec<Fact>) {
        self.last_heard = Some(at);
        if self.health.good().is_some() {
            facts.push(Fact::Health { device: self.id.clone(), state: DeviceState::Well, reason: None });
        }
    }

    /// A request has failed and held the bus up for `took`.
    pub(crate) fn failed(&mut self, why: &str, took: Duration, now: Duration, facts: &mut Vec<Fact>) {
        let (pause, verdict) = self.health.failed(why, took);
        self.rest_until(now + pause);
        if let Some(Verdict::Unwell(reason)) = verdict {
            let device = self.id.clone();
            facts.push(Fact::Health { device, state: DeviceState::Unwell, reason: Some(reason) });
            self.go_stale(facts);
        }
    }

    /// What was last heard is told as what it is: the last known.
    fn go_stale(&mut self, facts: &mut Vec<Fact>) {
        let Some(heard) = self.last_heard else { return };
        for (point, last) in self.map.points.iter().zip(&mut self.last) {
            if let Some(last) = last.as_mut().filter(|last| last.quality == Quality::Good) {
                last.quality = Quality::Stale;
                facts.push(reported(point_id(&self.id, &point.name), last, heard));
            }
        }
        self.look_anew();
        // Another device may hang there when something answers again.
        self.identified = is_known(&self.map);
    }

    /// What was told is no longer what the answers said: each is decoded when it comes next.
    fn look_anew(&mut self) {
        for poll in &mut self.polls {
            poll.said = None;
        }
    }

    /// The device may be asked as soon as there is a connection.
    pub(crate) fn free(&mut self) {
        self.not_before = Duration::ZERO;
    }

    /// The value of `point` as it was read back after a write.
    pub(crate) fn holds(&mut self, point: usize, decoded: Decoded, at: Timestamp, facts: &mut Vec<Fact>) {
        let (Some(last), Some(spec)) = (self.last.get_mut(point), self.map.points.get(point)) else { return };
        if last.as_ref() != Some(&decoded) {
            facts.push(reported(point_id(&self.id, &spec.name), &decoded, at));
            *last = Some(decoded);
            self.look_anew();
        }
    }

    /// When `point` may be written, where that is not yet: some devices wear out, some need time.
    pub(crate) fn too_early(&self, point: usize, now: Duration) -> Option<Duration> {
        let interval = self.map.points.get(point)?.write.as_ref()?.min_interval;
        let next = *self.written.get(&point)? + interval;
        (next > now).then_some(next)
    }

    /// `point` is written now.
    pub(crate) fn note_written(&mut self, point: usize, now: Duration) {
        self.written.insert(point, now);
    }
}

fn is_refused(learnt: &Learnt, request: &Request) -> bool {
    learnt.refused(request.function, request.first, request.count).is_some()
}

/// True where nothing tells the make.
fn is_known(map: &ModbusMap) -> bool {
    map.identity.is_none() && map.device_id.is_none()
}

fn point_id(device: &DeviceId, point: &Arc<str>) -> PointId {
    PointId { device: device.clone(), point: Arc::clone(point) }
}

fn reported(point: PointId, decoded: &Decoded, sampled: Timestamp) -> Fact {
    Fact::Reported { point, value: decoded.value.clone(), quality: decoded.quality, sampled }
}

/// How a write ended.
pub(crate) fn written(key: CommandKey, outcome: CommandOutcome, read_back: Option<Value>) -> Fact {
    Fact::Written { key, outcome, read_back }
}
