//! Whether a rule's condition holds in a room, and when that may change though nothing happens.
//!
//! Three answers: yes, no, and "can't be told", where a point that it asks for says nothing that can be trusted. Every
//! part is looked at each time, whatever the others say: delays run on their own.

use super::Property;
use super::governed::RoomRules;
use crate::rules::{Arriving, PointIs, Policy, Sign, TimeOfDay, When};
use crate::{Quality, Role, RoomId, Season, Timestamp, Value};
use jiff::{SignedDuration, ToSpan};

/// So long after the expected time a guest still counts as about to come.
const OVERDUE: SignedDuration = SignedDuration::from_hours(6);
/// What a warm-up begins earlier than reckoned.
const MARGIN_S: f64 = 600.0;

pub(super) struct Look<'a> {
    pub(super) property: &'a Property,
    pub(super) policy: &'a Policy,
    pub(super) room: &'a RoomId,
    pub(super) state: &'a RoomRules,
    pub(super) at: Timestamp,
    /// Since when each condition on points holds.
    pub(super) leaves: &'a mut Vec<Option<Timestamp>>,
    next: usize,
    /// When to look again.
    pub(super) due: Option<Timestamp>,
}

/// Some seconds after `at`.
pub(super) fn later(at: Timestamp, seconds: u32) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX)
}

/// The earlier of what there is.
pub(super) fn sooner(one: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// All of them: no, where one is no; else open, where one is open.
fn all(answers: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let mut told = Some(true);
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            None => told = None,
            Some(true) => {}
        }
    }
    told
}

impl<'a> Look<'a> {
    pub(super) fn new(
        property: &'a Property,
        policy: &'a Policy,
        room: &'a RoomId,
        state: &'a RoomRules,
        at: Timestamp,
        leaves: &'a mut Vec<Option<Timestamp>>,
    ) -> Self {
        Self { property, policy, room, state, at, leaves, next: 0, due: None }
    }

    fn again(&mut self, at: Timestamp) {
        self.due = sooner(self.due, at);
    }

    /// Whether `when` holds; `None`: it can't be told.
    pub(super) fn truth(&mut self, when: &When) -> Option<bool> {
        let mut answers: Vec<Option<bool>> = Vec::new();
        let people = self.state.people.clone().unwrap_or_default();
        let occupied = people.stays > 0;
        answers.extend(when.occupied.map(|wanted| Some(occupied == wanted)));
        answers.extend(when.stays_at_least.map(|least| Some(people.stays >= least)));
        answers.extend(when.vip.map(|wanted| {
            let vip =
                if occupied { people.vip } else { people.expected.first().is_some_and(|(_, vip)| *vip) };
            Some(vip == wanted)
        }));
        answers.extend(when.sold.map(|wanted| Some(self.sold(occupied) == wanted)));
        if let Some(arriving) = &when.arriving {
            answers.push(Some(self.arriving(arriving, occupied)));
        }
        answers.extend(when.sign.map(|sign| self.sign(sign)));
        answers.extend(when.season.map(|season| Some(self.property.climate().season == season)));
        if let Some(wanted) = when.quiet {
            answers.push(Some(self.quiet() == wanted));
        }
        if let Some(time) = &when.time {
            answers.push(Some(self.time(time)));
        }
        for (seconds, of_occupied) in [(when.occupied_for_s, true), (when.vacant_for_s, false)] {
            answers.extend(seconds.map(|seconds| Some(occupied == of_occupied && self.lasts(seconds))));
        }
        for (seconds, of_occupied) in [(when.came_within_s, true), (when.left_within_s, false)] {
            let is = |look: &mut Self, seconds| {
                occupied == of_occupied && look.state.witnessed && !look.lasts(seconds)
            };
            answers.extend(seconds.map(|seconds| Some(is(self, seconds))));
        }
        for point in &when.point {
            answers.push(self.point(point));
        }
        if !when.any.is_empty() {
            // One is enough: what all are not, the other way round.
            let none: Vec<Option<bool>> =
                when.any.iter().map(|one| self.truth(one).map(|holds| !holds)).collect();
            answers.push(all(none).map(|none| !none));
        }
        if let Some(not) = &when.not {
            answers.push(self.truth(not).map(|holds| !holds));
        }
        all(answers)
    }

    /// Whether it has been as it is for so long.
    fn lasts(&mut self, seconds: u32) -> bool {
        let Some(since) = self.state.since else { return false };
        let until = later(since, seconds);
        if self.at < until {
            self.again(until);
        }
        self.at >= until
    }

    /// The PMS has a vacant room prepared: a class of service before anybody is in it (Suite8's pre-arrival).
    fn prepared(&self) -> bool {
        let class =
            self.property.rooms.get(self.room).and_then(|room| room.flags.class_of_service.as_deref());
        class.is_some_and(|class| matches!(class, "1" | "2" | "3"))
    }

    fn sold(&mut self, occupied: bool) -> bool {
        let expected = self.state.people.as_ref().map(|people| people.expected.clone()).unwrap_or_default();
        let zone = &self.policy.zone;
        let tomorrow = zone.to_datetime(self.at).date().tomorrow().ok();
        let midnight =
            tomorrow.and_then(|date| zone.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok());
        let midnight = midnight.unwrap_or(Timestamp::MAX);
        if expected.iter().any(|(eta, _)| *eta >= midnight) {
            self.again(midnight);
        }
        occupied || self.prepared() || expected.iter().any(|(eta, _)| *eta < midnight)
    }

    fn arriving(&mut self, arriving: &Arriving, occupied: bool) -> bool {
        if arriving.warm_up && !self.property.settings.in_force.pre_arrival {
            return false;
        }
        if !occupied && self.prepared() {
            return true;
        }
        let most = f64::from(arriving.within_min) * 60.0;
        let seconds =
            if arriving.warm_up { self.warm_up_s().map_or(most, |s| (s + MARGIN_S).min(most)) } else { most };
        #[allow(clippy::cast_possible_truncation, reason = "at most a day")]
        let lead = SignedDuration::from_secs(seconds as i64);
        let mut comes = false;
        let expected = self.state.people.as_ref().map(|people| people.expected.clone()).unwrap_or_default();
        for (eta, _) in expected {
            let begin = eta.checked_sub(lead).unwrap_or(Timestamp::MIN);
            let end = eta.checked_add(OVERDUE).unwrap_or(Timestamp::MAX);
            if self.at < begin {
                self.again(begin);
            } else if self.at < end {
                self.again(end);
                comes = true;
            }
        }
        comes
    }

    /// How long the room needs to reach comfort, seconds; `None` where its temperature is not known.
    fn warm_up_s(&self) -> Option<f64> {
        let points = self.property.points_with_role(self.room, Role::RoomTemperature);
        let warm = points.iter().find_map(|point| self.number(point))?;
        let climate = self.property.climate();
        let missing = match climate.season {
            Season::Heating => climate.comfort_c - warm,
            Season::Cooling => warm - climate.comfort_c,
        };
        Some((missing / self.state.pace.of(climate.season) * 3600.0).max(0.0))
    }

    fn number(&self, point: &crate::PointId) -> Option<f64> {
        let state = self.property.point(point).filter(|state| state.quality == Quality::Good)?;
        state.value.as_ref().and_then(Value::as_f64)
    }

    fn sign(&self, sign: Sign) -> Option<bool> {
        let told = self.property.rooms.get(self.room).and_then(|room| room.sign.as_deref());
        let shown = |sign: Sign, role: Role| {
            if told == Some(sign.word()) { Some(true) } else { self.any_on(role) }
        };
        match sign {
            Sign::DoNotDisturb => shown(sign, Role::DoNotDisturb),
            Sign::MakeUp => shown(sign, Role::MakeUp),
            Sign::Off => all([
                shown(Sign::DoNotDisturb, Role::DoNotDisturb).map(|on| !on),
                shown(Sign::MakeUp, Role::MakeUp).map(|on| !on),
            ]),
        }
    }

    /// Whether a point of the role is on; no, where there is none.
    fn any_on(&self, role: Role) -> Option<bool> {
        self.any_point(role, |value| value.as_bool())
    }

    fn any_point(&self, role: Role, test: impl Fn(&Value) -> Option<bool>) -> Option<bool> {
        let points = self.property.points_with_role(self.room, role);
        let answer = |point| {
            let state = self.property.point(point).filter(|state| state.quality == Quality::Good)?;
            state.value.as_ref().and_then(&test)
        };
        all(points.iter().map(|point| answer(point).map(|on| !on))).map(|none| !none)
    }

    /// Whether it is within the quiet hours of the settings; never, where there are none.
    fn quiet(&mut self) -> bool {
        let Some((from, to)) = self.property.settings.in_force.quiet else { return false };
        self.time(&TimeOfDay { from, to, days: Vec::new() })
    }

    fn time(&mut self, time: &TimeOfDay) -> bool {
        let zone = &self.policy.zone;
        let today = zone.to_datetime(self.at).date();
        let mut within = false;
        // What began yesterday may last until today; what begins tomorrow is when to look again.
        for day in [-1, 0, 1] {
            let Ok(begins_on) = today.checked_add(day.days()) else { continue };
            if !time.days.is_empty() && !time.days.iter().any(|day| day.is(begins_on.weekday())) {
                continue;
            }
            let ends_on =
                if time.to <= time.from { begins_on.tomorrow().unwrap_or(begins_on) } else { begins_on };
            // A time that the clock leaves out is as much later as it leaves out; of one that comes twice, the first counts.
            let begin = zone.to_timestamp(begins_on.to_datetime(time.from));
            let end = zone.to_timestamp(ends_on.to_datetime(time.to));
            let (Ok(begin), Ok(end)) = (begin, end) else { continue };
            if self.at < begin {
                self.again(begin);
            } else if self.at < end {
                self.again(end);
                within = true;
            }
        }
        if !time.days.is_empty() {
            // The next day that counts may be a week away: look again when the day turns.
            let midnight = today.tomorrow().ok().and_then(|date| {
                self.policy.zone.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok()
            });
            self.again(midnight.unwrap_or(Timestamp::MAX));
        }
        within
    }

    fn point(&mut self, point: &PointIs) -> Option<bool> {
        let place = self.next;
        self.next += 1;
        let was = self.leaves.get(place).copied().flatten();
        let back = if was.is_some() { point.hysteresis } else { 0.0 };
        let raw = if self.property.points_with_role(self.room, point.role).is_empty() {
            Some(false)
        } else if let Some(wanted) = point.is {
            self.any_on(point.role).map(|on| on == wanted)
        } else if let Some(limit) = point.above {
            self.any_point(point.role, |value| Some(value.as_f64()? > limit - back))
        } else if let Some(limit) = point.below {
            self.any_point(point.role, |value| Some(value.as_f64()? < limit + back))
        } else {
            Some(false)
        };
        let remembers = point.for_s > 0 || point.hysteresis > 0.0;
        match raw {
            Some(true) if remembers => {
                let since = was.unwrap_or(self.at);
                if self.leaves.len() <= place {
                    self.leaves.resize(place + 1, None);
                }
                if let Some(leaf) = self.leaves.get_mut(place) {
                    *leaf = Some(since);
                }
                let until = later(since, point.for_s);
                if self.at < until {
                    self.again(until);
                }
                Some(self.at >= until)
            }
            Some(holds) => {
                if let Some(leaf) = self.leaves.get_mut(place) {
                    *leaf = None;
                }
                Some(holds)
            }
            None => None,
        }
    }
}
