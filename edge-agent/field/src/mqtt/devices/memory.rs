//! What is remembered of one device: the last values of its points, whether it is there, and how it was judged.
//!
//! Terms: *stale*: the last value of a point that was not heard of for longer than its profile allows, or whose device
//! says that it has gone. *Silent*: every point that can become stale is so.

use super::Moment;
use crate::profile::mqtt::{MqttPoint, MqttProfile};
use engawa_model::{DeviceId, DeviceState, Fact, PointId, Quality, Timestamp, Value};
use std::sync::Arc;
use std::time::Duration;

/// The last of a point.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) id: PointId,
    value: Option<Value>,
    /// `None` before the first word of it.
    quality: Option<Quality>,
    /// When it was heard last, and when the house was told.
    heard: Duration,
    told: Duration,
    /// When the device had it, by the clock.
    sampled: Timestamp,
    stale_after: Option<Duration>,
    heartbeat: Option<Duration>,
    dead_band: f64,
}

/// What hearing a value comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The house knows it.
    Known,
    /// The house knows it, and is told that it is still so.
    Confirmed,
    /// The house is told.
    Changed,
}

impl Memory {
    pub(super) fn new(device: &DeviceId, point: &MqttPoint, profile: &MqttProfile) -> Self {
        let seconds = |s: u32| Duration::from_secs(s.into());
        Self {
            id: PointId { device: device.clone(), point: point.name.as_str().into() },
            value: None,
            quality: None,
            heard: Duration::ZERO,
            told: Duration::ZERO,
            sampled: Timestamp::UNIX_EPOCH,
            stale_after: point.stale_after_s.or(profile.stale_after_s).map(seconds),
            heartbeat: point.heartbeat_s.or(profile.heartbeat_s).map(seconds),
            dead_band: point.dead_band.unwrap_or(0.0),
        }
    }

    /// What the house knows from before.
    pub(super) fn prime(
        &mut self,
        value: Option<Value>,
        quality: Quality,
        sampled: Timestamp,
        now: Duration,
    ) {
        (self.value, self.quality, self.sampled, self.heard, self.told) =
            (value, Some(quality), sampled, now, now);
    }

    /// Takes what was heard. `quality` is never stale, but for what the broker had kept of a device that has gone.
    pub(super) fn hear(
        &mut self,
        value: Option<&Value>,
        quality: Quality,
        retained: bool,
        now: Moment,
    ) -> News {
        let same = self.quality == Some(quality)
            && match (&self.value, value) {
                (Some(last), Some(value)) => !differs(last, value, self.dead_band),
                (last, value) => last.as_ref() == value,
            };
        // Of what the broker had kept nobody knows how old it is: what was known already is not fresher by it.
        if retained && same {
            return News::Known;
        }
        self.heard = now.steady;
        if same {
            let due = self.heartbeat.is_some_and(|every| now.steady.saturating_sub(self.told) >= every);
            if !due {
                return News::Known;
            }
            (self.told, self.sampled) = (now.steady, now.clock);
            return News::Confirmed;
        }
        (self.value, self.quality) = (value.cloned(), Some(quality));
        (self.told, self.sampled) = (now.steady, now.clock);
        News::Changed
    }

    /// The report of what is remembered.
    pub(super) fn fact(&self) -> Fact {
        Fact::Reported {
            point: self.id.clone(),
            value: self.value.clone(),
            quality: self.quality.unwrap_or(Quality::Stale),
            sampled: self.sampled,
        }
    }

    pub(super) fn confirmation(&self) -> Fact {
        Fact::Confirmed { point: self.id.clone(), sampled: self.sampled }
    }

    /// When it becomes stale if nothing is heard; `None` where it never does, is so, or has no value.
    fn due(&self) -> Option<Duration> {
        self.is_fresh().then_some(())?;
        Some(self.heard + self.stale_after?)
    }

    fn is_fresh(&self) -> bool {
        matches!(self.quality, Some(Quality::Good | Quality::Bad))
    }

    fn spoil(&mut self) -> Option<Fact> {
        self.is_fresh().then(|| {
            self.quality = Some(Quality::Stale);
            self.fact()
        })
    }
}

fn differs(last: &Value, now: &Value, dead_band: f64) -> bool {
    match (last, now) {
        (Value::Bool(_) | Value::Text(_), _) => last != now,
        _ => match (last.as_f64(), now.as_f64()) {
            (Some(last), Some(now)) => (now - last).abs() > dead_band,
            _ => last != now,
        },
    }
}

/// A device and what is known of it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) profile: Arc<MqttProfile>,
    /// The command topic and template of `profile.points[i]`, expanded.
    pub(super) commands: Vec<Option<(String, String)>>,
    /// `profile.requests`, expanded.
    pub(super) requests: Vec<(String, String)>,
    /// Of `profile.points[i]`.
    pub(super) points: Vec<Memory>,
    /// What `profile.availability[i]` said last.
    pub(super) there: Vec<Option<bool>>,
    /// True once something that the profile names was understood.
    pub(super) understood: bool,
    /// True while its next point to become stale stands in the agenda.
    pub(super) scheduled: bool,
    /// What is wrong with what it says.
    pub(super) problem: Option<String>,
    /// What is wrong with how it says whether it is there.
    pub(super) unsure: Option<String>,
    silent: Option<String>,
    /// `Some` once judged: why it is unwell, or `None` inside for well.
    judged: Option<Option<String>>,
}

impl Device {
    pub(super) fn new(
        id: DeviceId,
        profile: Arc<MqttProfile>,
        commands: Vec<Option<(String, String)>>,
        requests: Vec<(String, String)>,
    ) -> Self {
        let points = profile.points.iter().map(|point| Memory::new(&id, point, &profile)).collect();
        let there = vec![None; profile.availability.len()];
        Self {
            id,
            commands,
            requests,
            points,
            there,
            profile,
            understood: false,
            scheduled: false,
            problem: None,
            unsure: None,
            silent: None,
            judged: None,
        }
    }

    /// True where it, or what stands between, says that it is not there.
    pub(super) fn is_away(&self) -> bool {
        self.there.contains(&Some(false))
    }

    /// Takes what availability topic `n` says. What became stale by it, and whether the device has just come.
    pub(super) fn availability(&mut self, n: usize, there: bool) -> (Vec<Fact>, bool) {
        let was = self.is_away();
        let Some(state) = self.there.get_mut(n) else { return (vec![], false) };
        let news = state.replace(there) != Some(there);
        match (was, self.is_away()) {
            (false, true) => (self.points.iter_mut().filter_map(Memory::spoil).collect(), false),
            (_, false) => (vec![], news && there),
            (true, true) => (vec![], false),
        }
    }

    /// When the next of its points becomes stale.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.points.iter().filter_map(Memory::due).min()
    }

    /// What has become stale by now, and what that means for the device.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<Fact> {
        let mut longest = Duration::ZERO;
        let mut facts = Vec::new();
        for point in &mut self.points {
            if point.due().is_some_and(|due| due <= now) {
                longest = longest.max(point.stale_after.unwrap_or_default());
                facts.extend(point.spoil());
            }
        }
        let can_be =
            || self.points.iter().filter(|point| point.stale_after.is_some() && point.quality.is_some());
        if !facts.is_empty() && can_be().all(|point| !point.is_fresh()) {
            self.silent = Some(format!("was not heard of for {} s", longest.as_secs()));
            facts.extend(self.judge());
        }
        facts
    }

    /// It said something.
    pub(super) fn heard(&mut self) {
        self.silent = None;
    }

    /// What is to be said of its health, where that is news.
    pub(super) fn judge(&mut self) -> Option<Fact> {
        let away = self.is_away().then(|| "says that it is not there".to_owned());
        let wrong = || self.problem.clone().or_else(|| self.unsure.clone());
        let reason = away.or_else(wrong).or_else(|| self.silent.clone());
        if self.judged.as_ref() == Some(&reason) {
            return None;
        }
        self.judged = Some(reason.clone());
        let state = if reason.is_some() { DeviceState::Unwell } else { DeviceState::Well };
        Some(Fact::Health { device: self.id.clone(), state, reason })
    }
}
