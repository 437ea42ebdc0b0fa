//! The wall before everything that can be written: what may be written, by whom, how often.
//!
//! Why: hotels were broken into through writes (in-room tablets that spoke plain Modbus), and devices were worn out by
//! programs that wrote in a loop. So whoever asks (a rule, staff, the cloud, another system), every write passes here
//! before it is ordered. What is refused is told to whoever asked, counted by reason, and an alert when it repeats.
//!
//! Terms: *dwell* is the shortest time between two writes to one point; a *budget* is how many writes a point, a device
//! and a room may get in any minute.
//!
//! Pure, and apart from the property: a table, and a memory of the last minute. The drivers have limits of their own
//! (how often a device's memory can be written); this is the house's policy.

use crate::{CommandSource, Role, Timestamp, Value};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The span of the budgets.
const MINUTE: SignedDuration = SignedDuration::from_secs(60);
/// After so long without a refusal its alert is over.
pub(crate) const QUIET: SignedDuration = SignedDuration::from_secs(600);

/// Who may be allowed to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Staff, at the gateway's own door.
    Staff,
    /// The cloud.
    Cloud,
    /// Another system in the house, over MQTT.
    System,
    /// The house and its rules.
    Rule,
}

impl From<CommandSource> for Source {
    fn from(source: CommandSource) -> Self {
        match source {
            CommandSource::Local => Self::Staff,
            CommandSource::Cloud => Self::Cloud,
            CommandSource::Mqtt => Self::System,
            CommandSource::Rule => Self::Rule,
        }
    }
}

/// What holds for the points of one role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleLimits {
    /// Not below this, whatever the device takes.
    pub min: Option<f64>,
    /// Not above this, whatever the device takes.
    pub max: Option<f64>,
    /// The shortest time between two writes, seconds.
    pub dwell_s: Option<u32>,
    /// Who may write; all where absent.
    pub sources: Option<Vec<Source>>,
}

/// What may be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FirewallConfig {
    /// Writes to one point in any minute.
    pub point_per_minute: u32,
    /// Writes to one device in any minute.
    pub device_per_minute: u32,
    /// Writes to one room in any minute.
    pub room_per_minute: u32,
    /// The shortest time between two writes to a point, seconds, where its role has none of its own.
    pub dwell_s: u32,
    /// So many refusals of one device's points in a minute are an alert.
    pub alarm_after: u32,
    /// What holds for a role.
    pub role: BTreeMap<Role, RoleLimits>,
}

impl Default for FirewallConfig {
    fn default() -> Self {
        Self {
            point_per_minute: 20,
            device_per_minute: 60,
            room_per_minute: 90,
            dwell_s: 0,
            alarm_after: 5,
            role: BTreeMap::new(),
        }
    }
}

impl FirewallConfig {
    /// What is wrong with it: the key (dotted), and how it should be.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for (key, limit) in [
            ("point_per_minute", self.point_per_minute),
            ("device_per_minute", self.device_per_minute),
            ("room_per_minute", self.room_per_minute),
            ("alarm_after", self.alarm_after),
        ] {
            if !(1..=10_000).contains(&limit) {
                faults.push((key.to_owned(), format!("{limit} can't be meant: expected 1 to 10000")));
            }
        }
        let dwells = self.role.iter().filter_map(|(role, limits)| Some((Some(role), limits.dwell_s?)));
        for (role, dwell) in dwells.chain([(None, self.dwell_s)]).filter(|(_, dwell)| *dwell > 3600) {
            let key = role.map_or("dwell_s".to_owned(), |role| format!("role.{}.dwell_s", word(*role)));
            faults.push((key, format!("{dwell} s can't be meant: expected 0 to 3600")));
        }
        for (role, limits) in &self.role {
            for (key, value) in [("min", limits.min), ("max", limits.max)] {
                if value.is_some_and(|value| !value.is_finite()) {
                    faults.push((format!("role.{}.{key}", word(*role)), "expected a number".to_owned()));
                }
            }
            if let (Some(min), Some(max)) = (limits.min, limits.max)
                && min > max
            {
                faults.push((format!("role.{}.min", word(*role)), format!("{min} is above `max`, {max}")));
            }
            if limits.sources.as_ref().is_some_and(Vec::is_empty) {
                let help = "nobody could write: name who may, or remove `sources`".to_owned();
                faults.push((format!("role.{}.sources", word(*role)), help));
            }
        }
        faults
    }

    fn dwell(&self, role: Option<Role>) -> SignedDuration {
        let own = role.and_then(|role| self.role.get(&role)).and_then(|limits| limits.dwell_s);
        // A compressor or a lock must not be switched to and fro by a program.
        let own = own.or(match role {
            Some(Role::ClimateMode) => Some(10),
            Some(Role::Lock) => Some(2),
            _ => None,
        });
        SignedDuration::from_secs(i64::from(own.unwrap_or(self.dwell_s)))
    }
}

/// The role's word in configurations.
fn word(role: Role) -> String {
    serde_json::to_value(role).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Why a write is refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// This source may not write points of this role.
    Source,
    /// Outside what the house allows for the role.
    Range {
        /// The value.
        value: f64,
        /// From.
        min: f64,
        /// To.
        max: f64,
    },
    /// Too soon after the last write.
    Dwell {
        /// From then on it may be written.
        until: Timestamp,
    },
    /// The minute's writes are used up.
    Budget {
        /// Whose: `point`, `device`, `room`.
        of: &'static str,
        /// Writes a minute.
        limit: u32,
        /// From then on there is room again.
        until: Timestamp,
    },
}

impl Refusal {
    /// The counter's name.
    pub const fn counter(&self) -> &'static str {
        match self {
            Self::Source => "firewall-source",
            Self::Range { .. } => "firewall-range",
            Self::Dwell { .. } => "firewall-dwell",
            Self::Budget { .. } => "firewall-budget",
        }
    }

    /// When the same write would pass; `None`: never.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Source | Self::Range { .. } => None,
            Self::Dwell { until } | Self::Budget { until, .. } => Some(*until),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the write firewall: ")?;
        match self {
            Self::Source => {
                f.write_str("whoever asked may not write this ([firewall.role] `sources` says who may)")
            }
            Self::Range { value, min, max } => {
                write!(f, "{value} is outside {min} to {max}, which the house allows")
            }
            Self::Dwell { until } => {
                write!(f, "it was written just now; again from {}", until.strftime("%H:%M:%S UTC"))
            }
            Self::Budget { of, limit, until } => write!(
                f,
                "the {of} had its {limit} writes of this minute; again from {}",
                until.strftime("%H:%M:%S UTC")
            ),
        }
    }
}

/// What was written to a device in the last minute, and what was refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceWrites {
    /// In order; at most the device's budget of them, since more are refused.
    recent: Vec<(Arc<str>, Timestamp)>,
    /// The last write to each point.
    last: BTreeMap<Arc<str>, Timestamp>,
    /// The last refusals; at most as many as make an alert.
    refused: Vec<Timestamp>,
    /// True while the alert is active.
    alarmed: bool,
}

impl DeviceWrites {
    fn within(&self, at: Timestamp) -> impl Iterator<Item = &(Arc<str>, Timestamp)> {
        self.recent.iter().filter(move |(_, when)| at < over(*when))
    }

    /// Keeps a write that has passed.
    pub fn wrote(&mut self, at: Timestamp, point: &Arc<str>) {
        self.recent.retain(|(_, when)| at < over(*when));
        self.recent.push((Arc::clone(point), at));
        self.last.insert(Arc::clone(point), at);
    }

    /// Keeps a refusal; true where it is the one that makes an alert.
    pub fn refused(&mut self, at: Timestamp, alarm_after: u32) -> bool {
        let most = usize::try_from(alarm_after).unwrap_or(usize::MAX);
        self.refused.push(at);
        let extra = self.refused.len().saturating_sub(most);
        self.refused.drain(..extra);
        let repeats =
            self.refused.len() == most && self.refused.first().is_some_and(|first| at < over(*first));
        let anew = repeats && !self.alarmed;
        self.alarmed |= repeats;
        anew
    }

    /// When the alert is over, if nothing is refused before; `None` without one.
    pub fn quiet_at(&self) -> Option<Timestamp> {
        let last = self.refused.last().filter(|_| self.alarmed)?;
        Some(last.checked_add(QUIET).unwrap_or(Timestamp::MAX))
    }

    /// The alert is over.
    pub fn quiet(&mut self) {
        self.alarmed = false;
        self.refused.clear();
    }
}

/// When a write no longer counts.
fn over(when: Timestamp) -> Timestamp {
    when.checked_add(MINUTE).unwrap_or(Timestamp::MAX)
}

/// A write that somebody wants.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Who asks.
    pub source: Source,
    /// The point's name at its device.
    pub point: &'a Arc<str>,
    /// Its role.
    pub role: Option<Role>,
    /// The value.
    pub value: &'a Value,
}

/// Whether `attempt` may be written at `at`. `device` is what the device had, `room` what all devices of its room had
/// (with this one), and `ahead` the writes that go before in the same breath.
///
/// # Errors
/// Why not.
pub fn judge<'a>(
    config: &FirewallConfig,
    attempt: &Attempt<'_>,
    device: &DeviceWrites,
    room: impl Iterator<Item = &'a DeviceWrites>,
    ahead: u32,
    at: Timestamp,
) -> Result<(), Refusal> {
    if let Some(limits) = attempt.role.and_then(|role| config.role.get(&role)) {
        if limits.sources.as_ref().is_some_and(|sources| !sources.contains(&attempt.source)) {
            return Err(Refusal::Source);
        }
        let (min, max) = (limits.min.unwrap_or(f64::NEG_INFINITY), limits.max.unwrap_or(f64::INFINITY));
        if let Some(value) = attempt.value.as_f64().filter(|value| !(min..=max).contains(value)) {
            return Err(Refusal::Range { value, min, max });
        }
    }
    if let Some(last) = device.last.get(attempt.point) {
        let until = last.checked_add(config.dwell(attempt.role)).unwrap_or(Timestamp::MAX);
        if at < until {
            return Err(Refusal::Dwell { until });
        }
    }
    let of_point = device.within(at).filter(|(point, _)| point == attempt.point).map(|(_, when)| *when);
    budget("point", config.point_per_minute, of_point, 0, at)?;
    budget("device", config.device_per_minute, device.within(at).map(|(_, when)| *when), ahead, at)?;
    let mut of_room: Vec<Timestamp> =
        room.flat_map(|device| device.within(at)).map(|(_, when)| *when).collect();
    of_room.sort_unstable();
    budget("room", config.room_per_minute, of_room.into_iter(), ahead, at)
}

fn budget(
    of: &'static str,
    limit: u32,
    recent: impl Iterator<Item = Timestamp>,
    ahead: u32,
    at: Timestamp,
) -> Result<(), Refusal> {
    let recent: Vec<Timestamp> = recent.collect();
    let used = recent.len() + usize::try_from(ahead).unwrap_or(usize::MAX);
    let limit_n = usize::try_from(limit).unwrap_or(usize::MAX);
    if used < limit_n {
        return Ok(());
    }
    // There is room when so many of the oldest have gone.
    let gone = recent.get(used - limit_n).copied().unwrap_or(at);
    Err(Refusal::Budget { of, limit, until: over(gone) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn config() -> FirewallConfig {
        let lock = RoleLimits { sources: Some(vec![Source::Staff]), ..RoleLimits::default() };
        let climate =
            RoleLimits { min: Some(16.0), max: Some(28.0), dwell_s: Some(5), ..RoleLimits::default() };
        FirewallConfig {
            point_per_minute: 2,
            device_per_minute: 3,
            room_per_minute: 4,
            dwell_s: 0,
            alarm_after: 3,
            role: BTreeMap::from([(Role::Lock, lock), (Role::ClimateSetpoint, climate)]),
        }
    }

    fn tried(
        device: &DeviceWrites,
        source: Source,
        point: &str,
        role: Role,
        value: f64,
        seconds: i64,
    ) -> Result<(), Refusal> {
        let (point, value) = (Arc::from(point), Value::Float(value));
        let attempt = Attempt { source, point: &point, role: Some(role), value: &value };
        judge(&config(), &attempt, device, std::iter::once(device), 0, at(seconds))
    }

    #[test]
    fn sources_and_ranges() {
        let none = DeviceWrites::default();
        for source in [Source::Cloud, Source::System, Source::Rule] {
            assert_eq!(tried(&none, source, "lock", Role::Lock, 1.0, 0), Err(Refusal::Source));
        }
        assert_eq!(tried(&none, Source::Staff, "lock", Role::Lock, 1.0, 0), Ok(()));
        for (celsius, passes) in [(15.9, false), (16.0, true), (28.0, true), (28.1, false), (f64::NAN, false)]
        {
            let judged = tried(&none, Source::Staff, "setpoint", Role::ClimateSetpoint, celsius, 0);
            assert_eq!(judged.is_ok(), passes, "{celsius}");
        }
    }

    #[test]
    fn dwell_and_budgets_end_when_they_say() {
        let mut device = DeviceWrites::default();
        let setpoint = |device: &DeviceWrites, s| {
            tried(device, Source::Rule, "setpoint", Role::ClimateSetpoint, 20.0, s)
        };
        device.wrote(at(0), &"setpoint".into());
        assert_eq!(setpoint(&device, 4), Err(Refusal::Dwell { until: at(5) }));
        assert_eq!(setpoint(&device, 5), Ok(()));
        device.wrote(at(5), &"setpoint".into());
        assert_eq!(setpoint(&device, 20), Err(Refusal::Budget { of: "point", limit: 2, until: at(60) }));
        assert_eq!(setpoint(&device, 60), Ok(()));
        device.wrote(at(20), &"light".into());
        let light = |device: &DeviceWrites, s| tried(device, Source::Rule, "lamp", Role::Light, 1.0, s);
        assert_eq!(light(&device, 30), Err(Refusal::Budget { of: "device", limit: 3, until: at(60) }));
        assert_eq!(light(&device, 60), Ok(()));
    }

    #[test]
    fn compressors_and_locks_rest_between_writes_unless_the_house_says_otherwise() {
        let mut device = DeviceWrites::default();
        for (role, dwell) in [(Role::ClimateMode, 10), (Role::Lock, 2), (Role::Light, 0)] {
            let point = format!("{role:?}");
            device.wrote(at(0), &point.as_str().into());
            let until = |seconds| tried(&device, Source::Staff, &point, role, 1.0, seconds);
            assert_eq!(until(dwell), Ok(()), "{role:?}");
            if dwell > 0 {
                assert_eq!(until(dwell - 1), Err(Refusal::Dwell { until: at(dwell) }));
            }
            device = DeviceWrites::default();
        }
    }

    #[test]
    fn refusals_that_repeat_are_one_alert() {
        let mut device = DeviceWrites::default();
        let alarms: Vec<bool> = (0..5).map(|n| device.refused(at(n), 3)).collect();
        assert_eq!(alarms, [false, false, true, false, false]);
        assert_eq!(device.quiet_at(), Some(at(4 + 600)));
        device.quiet();
        assert_eq!(device.quiet_at(), None);
        let slow: Vec<bool> = (0..5).map(|n| device.refused(at(1000 + n * 40), 3)).collect();
        assert_eq!(slow, [false; 5], "three in more than a minute are none");
    }

    #[test]
    fn a_configuration_that_can_not_be_meant() {
        let mut wrong = config();
        wrong.point_per_minute = 0;
        wrong.dwell_s = 4000;
        wrong.role.insert(
            Role::Fan,
            RoleLimits { min: Some(2.0), max: Some(1.0), sources: Some(vec![]), ..RoleLimits::default() },
        );
        let keys: Vec<String> = wrong.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["point_per_minute", "dwell_s", "role.fan.min", "role.fan.sources"]);
        assert_eq!(FirewallConfig::default().faults(), []);
    }
}
