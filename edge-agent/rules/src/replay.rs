//! A recorded day played again under other rules, and what would have been different.
//!
//! The devices are played: each takes what it is told at once. Their rooms are not: temperatures, windows and people are
//! as they were recorded, whatever the rules did. The same day and rules give the same acts.

use crate::{Day, Header};
use engawa_model::rules::Policy;
use engawa_model::{
    Alert, Change, CommandOutcome, Fact, Intent, Observation, Property, Quality, RestoreError, RoomId,
    Timestamp,
};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::fmt;

/// The house is asked for the time at most so often between two observations: a guard against a rule that would never
/// come to rest, far above what a day needs.
const MOST_TICKS: usize = 100_000;

/// Something that the house did, or would have done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// The room, or the device or the alert's source where there is none.
    pub place: String,
    /// What, and in brackets why.
    pub what: String,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.place, self.what)
    }
}

/// What came of a day.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// In order.
    pub acts: Vec<Act>,
    /// Writes among them.
    pub writes: usize,
    /// Alerts raised or escalated among them.
    pub alerts: usize,
    /// What the house counted, such as `held-for-guest`.
    pub counters: BTreeMap<String, u64>,
}

/// What differs between two outcomes of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// True: only the first has it; false: only the second.
    pub lines: Vec<(bool, Act)>,
    /// The places that differ.
    pub places: usize,
}

/// Plays `day` under `policy`. What rules had under way when the recording began is begun anew: other rules would stand
/// otherwise.
///
/// # Errors
/// A state in the day's first line that this release can't read.
pub fn replay(day: &Day, policy: Policy) -> Result<Outcome, RestoreError> {
    let Header { property: spec, state, begun, links, pms_rooms, list_guard, .. } = &day.header;
    let rows: Vec<(&str, &str, Vec<u8>)> = state
        .iter()
        .filter(|(kind, ..)| !matches!(kind.as_str(), "writes" | "order"))
        .map(|(kind, key, document)| (kind.as_str(), key.as_str(), document.to_string().into_bytes()))
        .collect();
    let restored =
        Property::restore(spec.clone(), rows.iter().map(|(kind, key, body)| (*kind, *key, body.as_slice())));
    let mut run = Run { property: restored?, outcome: Outcome::default() };
    run.property.serve(links.clone(), pms_rooms.clone());
    run.property.guard_lists(*list_guard);
    run.property.govern(policy);
    let mut now = *begun;
    run.apply(now, Fact::Tick);
    for observation in &day.observations {
        run.pass(&mut now, observation.at);
        run.apply(observation.at, observation.fact.clone());
    }
    run.outcome.counters.clone_from(run.property.counters());
    Ok(run.outcome)
}

struct Run {
    property: Property,
    outcome: Outcome,
}

impl Run {
    /// Lets the time pass until `until`, with a tick whenever the house wants one.
    fn pass(&mut self, now: &mut Timestamp, until: Timestamp) {
        for _ in 0..MOST_TICKS {
            let Some(wake) = self.property.next_wake().filter(|wake| *wake < until) else { break };
            *now = wake.max(*now);
            self.apply(*now, Fact::Tick);
            if self.property.next_wake().is_some_and(|again| again <= *now) {
                // It wants something that a replay does not give, such as an answer of the PMS.
                let step = now.checked_add(SignedDuration::from_secs(60)).unwrap_or(until);
                if step >= until {
                    break;
                }
                *now = step;
                self.apply(*now, Fact::Tick);
            }
        }
        *now = until;
    }

    fn apply(&mut self, at: Timestamp, fact: Fact) {
        let applied = self.property.apply(&Observation::new(at, fact));
        for change in &applied.changes {
            self.tell(at, change);
        }
        for intent in applied.intents {
            let intent = match intent {
                Intent::AtLink { what, .. } => *what,
                intent => intent,
            };
            match intent {
                Intent::WritePoint { key, point, value, .. } => {
                    // The device does as it is told, and says so as a driver does.
                    let done = [
                        Fact::Reported {
                            point,
                            value: Some(value.clone()),
                            quality: Quality::Good,
                            sampled: at,
                        },
                        Fact::Written { key, outcome: CommandOutcome::Done, read_back: Some(value) },
                    ];
                    done.into_iter().for_each(|fact| self.apply(at, fact));
                }
                Intent::SendRoomStatus { key, .. } => self.apply(at, Fact::StatusSent { key }),
                _ => {}
            }
        }
    }

    fn tell(&mut self, at: Timestamp, change: &Change) {
        let room = |room: &RoomId| room.to_string();
        let (place, what) = match change {
            Change::Ordered { point, room: at_room, value, reason, .. } => {
                self.outcome.writes += 1;
                let place = at_room.as_ref().map_or_else(|| point.device.to_string(), room);
                (place, format!("set {point} to {value} ({reason})"))
            }
            Change::Alert { alert } => {
                let Alert { kind, source, active, level, text, acknowledged, .. } = alert;
                let place = source.strip_prefix("room ").unwrap_or(source);
                let place = place.split(':').next().unwrap_or(place).to_owned();
                if acknowledged.is_some() && *active {
                    (place, format!("somebody sees to the alert {}", kind.word()))
                } else if *active {
                    self.outcome.alerts += 1;
                    let raised =
                        if *level == 0 { "alert".to_owned() } else { format!("alert, level {level}") };
                    (place, format!("{raised} {}: {text}", kind.word()))
                } else {
                    (place, format!("alert {} is over", kind.word()))
                }
            }
            Change::RoomStatus { room: of, status } => (room(of), format!("tell the PMS {status}")),
            Change::ChargeProposed { room: of, text, .. } => (room(of), format!("propose a charge: {text}")),
            _ => return,
        };
        self.outcome.acts.push(Act { at, place, what });
    }
}

/// What `old` has and `new` has not, and the other way round, in the order of time.
pub fn compare(old: &Outcome, new: &Outcome) -> Difference {
    let mut counts: BTreeMap<&Act, i64> = BTreeMap::new();
    for act in &old.acts {
        *counts.entry(act).or_default() += 1;
    }
    for act in &new.acts {
        *counts.entry(act).or_default() -= 1;
    }
    let mut lines = Vec::new();
    for (act, count) in counts {
        for _ in 0..count.unsigned_abs() {
            lines.push((count > 0, act.clone()));
        }
    }
    let places: std::collections::BTreeSet<&str> = lines.iter().map(|(_, act)| act.place.as_str()).collect();
    let places = places.len();
    Difference { lines, places }
}
