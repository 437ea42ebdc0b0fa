//! How fast a room warms up, or cools down, learnt from what its thermostat reports.
//!
//! While the room is away from its set point it is watched in stretches of a quarter of an hour and more; each gives a
//! pace in °C an hour, and the pace of the room follows slowly. A stretch with an open window says nothing, nor does one
//! in which nothing moved. Paces are kept within what rooms do, and over restarts.

use super::governed::Pace;
use super::{Applied, Entity, Property};
use crate::{Quality, Role, RoomId, Season, Timestamp, Value};
use jiff::SignedDuration;

/// A room that nothing is known of, °C an hour.
const USUAL: f64 = 2.0;
/// What rooms do, °C an hour.
const SLOWEST: f64 = 0.2;
const FASTEST: f64 = 12.0;
/// Nearer than this to its set point a room is there, °C.
const THERE_C: f64 = 0.5;
/// A stretch lasts at least so long.
const STRETCH: SignedDuration = SignedDuration::from_mins(15);
/// A stretch in which nothing moves says nothing, and is begun anew after so long.
const DULL: SignedDuration = SignedDuration::from_mins(90);
/// A stretch moves the pace by so much of the difference.
const WEIGHT: f64 = 0.25;

impl Pace {
    /// °C an hour.
    pub(super) fn of(&self, season: Season) -> f64 {
        let learnt = match season {
            Season::Heating => self.heating,
            Season::Cooling => self.cooling,
        };
        learnt.unwrap_or(USUAL)
    }

    fn learn(&mut self, season: Season, pace: f64) {
        let learnt = match season {
            Season::Heating => &mut self.heating,
            Season::Cooling => &mut self.cooling,
        };
        let pace = pace.clamp(SLOWEST, FASTEST);
        let followed = learnt.map_or(pace, |before| before + WEIGHT * (pace - before));
        // Hundredths: no more is known, and they are the same after they were stored as decimals.
        *learnt = Some((followed * 100.0).round() / 100.0);
    }

    /// The room has `celsius` at `at`; `missing` is how far its set point is away, on the way that the season works.
    fn reported(&mut self, season: Season, at: Timestamp, celsius: f64, missing: Option<f64>) {
        if missing.is_none_or(|missing| missing < THERE_C) {
            self.run = None;
            return;
        }
        let Some((since, from)) = self.run else {
            self.run = Some((at, celsius));
            return;
        };
        let moved = match season {
            Season::Heating => celsius - from,
            Season::Cooling => from - celsius,
        };
        let lasted = at.duration_since(since);
        if lasted >= STRETCH && moved > 0.2 {
            self.learn(season, moved / (lasted.as_secs_f64() / 3600.0));
            self.run = Some((at, celsius));
        } else if lasted >= DULL || moved < 0.0 {
            self.run = Some((at, celsius));
        }
    }
}

impl Property {
    /// A thermostat reports the temperature of its room.
    pub(super) fn warmed(
        &mut self,
        at: Timestamp,
        room: Option<&RoomId>,
        value: Option<&Value>,
        out: &mut Applied,
    ) {
        if self.governed.policy.is_none() {
            return;
        }
        let (Some(room), Some(celsius)) = (room, value.and_then(Value::as_f64)) else { return };
        let season = self.climate().season;
        let good = |role: Role| {
            let points = self.points_with_role(room, role).iter();
            points.filter_map(|point| self.point(point)).filter(|state| state.quality == Quality::Good)
        };
        let open =
            good(Role::Window).any(|state| state.value.as_ref().and_then(Value::as_bool) == Some(true));
        let setpoint = good(Role::ClimateSetpoint).find_map(|state| state.value.as_ref()?.as_f64());
        let missing = setpoint.filter(|_| !open).map(|setpoint| match season {
            Season::Heating => setpoint - celsius,
            Season::Cooling => celsius - setpoint,
        });
        let Some(state) = self.governed.rooms.get_mut(room) else { return };
        let before = state.pace.clone();
        state.pace.reported(season, at, celsius, missing);
        if state.pace != before {
            out.touched.insert(Entity::RoomRules(room.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    #[test]
    fn a_pace_is_learnt_from_stretches() {
        let mut pace = Pace::default();
        for minutes in 0..=60 {
            #[allow(clippy::cast_precision_loss, reason = "a test's minutes")]
            let celsius = 17.0 + 3.0 * minutes as f64 / 60.0;
            pace.reported(Season::Heating, at(minutes), celsius, Some(22.0 - celsius));
        }
        assert!((pace.of(Season::Heating) - 3.0).abs() < 0.05, "{pace:?}");
        assert!((pace.of(Season::Cooling) - USUAL).abs() < 1e-9, "the other way is not known from it");
    }

    #[test]
    fn nothing_absurd_is_learnt() {
        type Case = fn(&mut Pace);
        let cases: [(&str, Case); 4] = [
            ("a jump of the sensor", |pace| {
                pace.reported(Season::Heating, at(0), 10.0, Some(12.0));
                pace.reported(Season::Heating, at(15), 40.0, Some(1.0));
            }),
            ("a room that does not move", |pace| {
                (0..500).for_each(|m| pace.reported(Season::Heating, at(m), 17.0, Some(5.0)));
            }),
            ("an open window", |pace| {
                (0..100).for_each(|m| {
                    pace.reported(Season::Heating, at(m), 17.0 + 0.1 * f64::from(m as u8), None)
                });
            }),
            ("a room that cools while it should warm", |pace| {
                (0..100).for_each(|m| {
                    pace.reported(Season::Heating, at(m), 20.0 - 0.05 * f64::from(m as u8), Some(2.0))
                });
            }),
        ];
        for (name, case) in cases {
            let mut pace = Pace::default();
            case(&mut pace);
            let learnt = pace.of(Season::Heating);
            assert!((SLOWEST..=FASTEST).contains(&learnt), "{name}: {learnt}");
            assert!(name == "a jump of the sensor" || pace.heating.is_none(), "{name}: {pace:?}");
        }
    }
}
