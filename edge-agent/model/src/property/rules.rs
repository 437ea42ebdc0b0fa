//! The rules at work: which rooms are looked at, what comes on and goes off, and what is done then.
//!
//! Only rooms that something happened to, and rooms whose time has come, are looked at: a house of thousands of rooms
//! costs no more than what happens in it. A room has one entry among the times, however many delays run in it.
//!
//! Looking twice at the same moment changes nothing, so a restored property, which looks at all of its rooms once, goes
//! on as the one before.

use super::alerts::place_of;
use super::climate::Wish;
use super::conditions::{Look, later, sooner};
use super::governed::{Memory, People, RoomRules, Wanted};
use super::holds::held;
use super::{Applied, Entity, Property};
use crate::arbitration::{Asker, Occasion};
use crate::ids::CommandKey;
use crate::rules::{Of, Policy, Rule, Setpoint, Sign, Write};
use crate::{
    Action, AlertKind, Change, Command, CommandOutcome, CommandSource, Fact, RoomId, Season, Timestamp, Value,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A rule whose condition can't be told stays as it is for so long, seconds.
const UNKNOWN_S: u32 = 3600;

/// What a look made of a rule.
enum Turn {
    On,
    Off,
    /// Its alert goes up to this level.
    Step(u8),
}

impl Property {
    /// Looks at the rooms that `fact` had to do with, and at those whose time has come.
    pub(super) fn tend_rules(&mut self, at: Timestamp, fact: &Fact, out: &mut Applied) {
        let Some(policy) = self.governed.policy.clone() else { return };
        for change in out.changes.clone() {
            if let Change::CheckedIn { stay, .. } = change {
                self.arrival_gone(&stay, out);
            }
        }
        let mut rooms = self.touched_rooms(&policy, fact, out);
        while let Some((due, room)) = self.governed.due.first().cloned() {
            if due > at {
                break;
            }
            self.governed.due.pop_first();
            if let Some(state) = self.governed.rooms.get_mut(&room) {
                state.due = None;
            }
            rooms.entry(room).or_insert(false);
        }
        for (room, people) in rooms {
            self.look_at(at, &policy, &room, people, out);
        }
        self.tend_wall(at, out);
    }

    pub(super) fn rules_wake(&self) -> Option<Timestamp> {
        let due = self.governed.due.first().map(|(due, _)| *due);
        [due, self.wall_wake()].into_iter().flatten().min()
    }

    /// The rooms to look at, and whether who is in them or expected has changed.
    fn touched_rooms(&self, policy: &Policy, fact: &Fact, out: &Applied) -> BTreeMap<RoomId, bool> {
        let mut rooms: BTreeMap<RoomId, bool> = BTreeMap::new();
        let mut touch = |room: &RoomId, people: bool| *rooms.entry(room.clone()).or_default() |= people;
        let heartbeat = matches!(fact, Fact::Confirmed { .. });
        for change in &out.changes {
            match change {
                Change::CheckedIn { room, .. }
                | Change::CheckedOut { room, .. }
                | Change::StayChanged { room, .. }
                | Change::ArrivalExpected { room, .. } => touch(room, true),
                Change::Moved { from, to, .. } => {
                    touch(from, true);
                    touch(to, true);
                }
                Change::Reported { room: Some(room), role: Some(role), .. }
                    if !heartbeat && policy.rules.looks_at(*role) =>
                {
                    touch(room, false);
                }
                Change::ComfortChosen { room, .. } => touch(room, false),
                _ => {}
            }
        }
        for entity in &out.touched {
            match entity {
                // Flags, signs and holds.
                Entity::Room(room) => touch(room, false),
                Entity::Preferences(stay) => {
                    if let Some(stay) = self.stays.get(stay) {
                        touch(&stay.room, false);
                    }
                }
                _ => {}
            }
        }
        rooms.retain(|room, _| self.rooms.contains_key(room));
        rooms
    }

    fn people(&self, policy: &Policy, room: &RoomId) -> People {
        let vip = |code: Option<&String>| code.is_some_and(|code| !code.trim().is_empty());
        let mut people = People::default();
        for stay in self.stays_in(room) {
            people.stays += 1;
            people.vip |= vip(stay.vip.as_ref());
        }
        let arrivals = self.governed.arrivals.values().filter(|arrival| arrival.room == *room);
        people.expected = arrivals.filter_map(|a| Some((a.expected(policy)?, vip(a.vip.as_ref())))).collect();
        people.expected.sort_unstable();
        people
    }

    fn look_at(&mut self, at: Timestamp, policy: &Policy, room: &RoomId, people: bool, out: &mut Applied) {
        let mut state = self.governed.rooms.get(room).cloned().unwrap_or_default();
        let before = state.clone();
        if people || state.people.is_none() {
            state.people = Some(self.people(policy, room));
        }
        let occupied = state.people.as_ref().is_some_and(|people| people.stays > 0);
        if state.occupied != Some(occupied) {
            state.witnessed = state.occupied.is_some();
            (state.occupied, state.since) = (Some(occupied), Some(at));
            if state.witnessed {
                // The room has just been given the set point of those who came, or eco: no rule has it now.
                state.wanted = None;
                state.rules.values_mut().for_each(|memory| memory.spent = false);
                state.rules.retain(|_, memory| *memory != Memory::default());
            }
        }
        let rules = policy.rules.of(room);
        let gone: Vec<String> = state
            .rules
            .keys()
            .filter(|name| !rules.iter().any(|rule| rule.name == **name))
            .cloned()
            .collect();
        for name in gone {
            // Another rulebook than before: nothing would end its alert.
            if let Some(kind) = state.rules.remove(&name).and_then(|memory| memory.alert) {
                self.clear(kind, &source(room, &name, kind), out);
            }
        }
        let mut due = None;
        let mut turns: Vec<(Arc<Rule>, Turn)> = Vec::new();
        let mut winner: Option<(Arc<Rule>, f64)> = None;
        for rule in rules.iter() {
            let mut memory = state.rules.remove(&rule.name).unwrap_or_default();
            let mut leaves = std::mem::take(&mut memory.leaves);
            let mut look = Look::new(self, policy, room, &state, at, &mut leaves);
            let truth = look.truth(&rule.when);
            due = look.due.map_or(due, |again| sooner(due, again));
            while leaves.last().is_some_and(Option::is_none) {
                leaves.pop();
            }
            memory.leaves = leaves;
            let turn = turned(rule, &mut memory, truth, at, &mut due);
            turns.extend(turn.map(|turn| (Arc::clone(rule), turn)));
            if memory.on.is_some()
                && winner.is_none()
                && let Some(setpoint) = &rule.then.setpoint
            {
                winner = Some((Arc::clone(rule), self.reckon(room, occupied, setpoint)));
            }
            if memory != Memory::default() {
                state.rules.insert(rule.name.clone(), memory);
            }
        }
        self.settle(
            at,
            room,
            &mut state,
            winner.as_ref().map(|(rule, c)| (rule.name.as_str(), *c)),
            &mut due,
            out,
        );
        if state != before {
            out.touched.insert(Entity::RoomRules(room.clone()));
        }
        self.governed.rooms.insert(room.clone(), state);
        self.governed.schedule(room, due);
        for (rule, turn) in turns {
            self.act(at, room, &rule, &turn, out);
        }
    }

    /// What a rule's set point is in this room, °C.
    fn reckon(&self, room: &RoomId, occupied: bool, setpoint: &Setpoint) -> f64 {
        if let Some(celsius) = setpoint.celsius {
            return celsius;
        }
        let climate = self.climate();
        let of = match setpoint.of {
            Of::Base => self.base(room, occupied),
            Of::Comfort => climate.comfort_c,
            Of::Eco => self.eco_c(),
        };
        let back = match climate.season {
            Season::Heating => -setpoint.setback_c,
            Season::Cooling => setpoint.setback_c,
        };
        of + back + setpoint.offset_c
    }

    fn base(&self, room: &RoomId, occupied: bool) -> f64 {
        if occupied { self.comfort_c(room) } else { self.eco_c() }
    }

    /// Orders the set point that the rules want, where it is another than before; not against a choice of people, and
    /// not faster than the firewall lets it through.
    fn settle(
        &mut self,
        at: Timestamp,
        room: &RoomId,
        state: &mut RoomRules,
        winner: Option<(&str, f64)>,
        due: &mut Option<Timestamp>,
        out: &mut Applied,
    ) {
        let wanted = winner.map(|(rule, celsius)| Wanted { rule: rule.to_owned(), celsius });
        let hold = self.rooms.get(room).and_then(|room| room.hold).filter(|hold| at < hold.until);
        if let Some(hold) = hold {
            // When the choice no longer stands, the rule that is on then has its way.
            let owed = wanted.as_ref().map(|wanted| wanted.rule.clone());
            if owed.is_some() && owed != state.owed {
                self.count(held(hold.by));
            }
            state.owed = owed;
            if state.owed.is_some() {
                *due = sooner(*due, hold.until);
            }
        } else if state.wanted != wanted || state.owed.is_some() {
            let reason = match (&wanted, &state.wanted, state.owed.take()) {
                (Some(wanted), _, _) => wanted.rule.clone(),
                (None, Some(over), _) => format!("{} over", over.rule),
                (None, None, owed) => owed.unwrap_or_default(),
            };
            let occupied = state.occupied.unwrap_or(false);
            let celsius = wanted.as_ref().map_or_else(|| self.base(room, occupied), |wanted| wanted.celsius);
            if let Some(again) = self.order_setpoint(at, room, celsius, Occasion::Routine, &reason, out) {
                state.owed = Some(reason);
                *due = sooner(*due, again);
            }
        }
        state.wanted = wanted;
    }

    fn act(&mut self, at: Timestamp, room: &RoomId, rule: &Rule, turn: &Turn, out: &mut Applied) {
        let then = &rule.then;
        match turn {
            Turn::On => {
                self.write_all(at, room, &then.set, &rule.name, out);
                if let Some(alert) = &then.alert {
                    self.raise_once(at, alert.kind, &source(room, &rule.name, alert.kind), &alert.text, out);
                }
                self.tell_pms(at, room, then.status.as_deref(), then.sign, out);
                if let Some(charge) = &then.charge {
                    self.propose(at, room, &rule.name, charge, out);
                }
            }
            Turn::Off => {
                self.write_all(at, room, &rule.after.set, &rule.name, out);
                if let Some(alert) = &then.alert {
                    self.clear(alert.kind, &source(room, &rule.name, alert.kind), out);
                }
                self.tell_pms(at, room, rule.after.status.as_deref(), rule.after.sign, out);
            }
            Turn::Step(level) => {
                if let Some(alert) = &then.alert
                    && let Some(step) = alert.escalate.get(usize::from(*level) - 1)
                {
                    let source = source(room, &rule.name, alert.kind);
                    self.escalate(at, alert.kind, &source, &step.text, *level, out);
                }
            }
        }
    }

    fn write_all(&mut self, at: Timestamp, room: &RoomId, writes: &[Write], reason: &str, out: &mut Applied) {
        for write in writes {
            for point in self.points_with_role(room, write.role).to_vec() {
                if let Err(why) = self.rule_may_write(at, &point, &write.value) {
                    self.count(why);
                    continue;
                }
                let wish = Wish {
                    key: None,
                    point: &point,
                    value: write.value.clone(),
                    source: CommandSource::Rule,
                    asked_by: CommandSource::Rule,
                    reason,
                    expires: None,
                };
                // What the firewall refuses is counted there, and an alert when it repeats.
                let _ = self.order(at, wish, out);
            }
        }
    }

    fn rule_may_write(
        &mut self,
        at: Timestamp,
        point: &crate::PointId,
        value: &Value,
    ) -> Result<(), &'static str> {
        self.may_set(at, Asker::Rule(Occasion::Routine), point).map_err(|_| "rule-held")?;
        self.may_write(point, value).map_err(|_| "rule-write-unfit")
    }

    /// A status or sign for the PMS, as a command of the house's own: the newest of a room replaces those that wait.
    fn tell_pms(
        &mut self,
        at: Timestamp,
        room: &RoomId,
        status: Option<&str>,
        sign: Option<Sign>,
        out: &mut Applied,
    ) {
        let status =
            status.map(|status| Action::RoomStatus { room: room.clone(), status: status.to_owned() });
        let sign = sign.map(|sign| Action::Service { room: room.clone(), sign: sign.word().to_owned() });
        for action in status.into_iter().chain(sign) {
            if !self.links.contains_key(self.pms.of_room(room)) {
                self.count("rule-status-without-pms");
                continue;
            }
            let same = |other: &Action| match (&action, other) {
                (Action::RoomStatus { room, .. }, Action::RoomStatus { room: of, .. })
                | (Action::Service { room, .. }, Action::Service { room: of, .. }) => room == of,
                _ => false,
            };
            let waiting: Vec<CommandKey> = self
                .commands
                .values()
                .filter(|record| record.ended.is_none() && record.command.source == CommandSource::Rule)
                .filter(|record| same(&record.command.action))
                .map(|record| record.command.key.clone())
                .collect();
            for key in waiting {
                self.end_command(at, &key, CommandOutcome::Superseded, out);
            }
            let key = self.rule_key(out);
            self.asked(at, &Command { key, source: CommandSource::Rule, expires: None, action }, out);
        }
    }
}

/// What an alert of a rule is about: the room, and for a kind that is not the house's own, the rule.
fn source(room: &RoomId, rule: &str, kind: AlertKind) -> String {
    match kind {
        AlertKind::Rule => format!("{}: {rule}", place_of(room)),
        _ => place_of(room),
    }
}

/// Takes the answer to a rule's condition: whether it comes on or goes off, after its delays.
fn turned(
    rule: &Rule,
    memory: &mut Memory,
    truth: Option<bool>,
    at: Timestamp,
    due: &mut Option<Timestamp>,
) -> Option<Turn> {
    let on = memory.on.is_some();
    let holds = match truth {
        Some(holds) => {
            memory.unknown = None;
            holds && !(rule.once_a_stay && memory.spent && !on)
        }
        None if on => {
            let until = later(*memory.unknown.get_or_insert(at), UNKNOWN_S);
            if at < until {
                *due = sooner(*due, until);
            }
            at < until
        }
        None => false,
    };
    if holds == on {
        memory.turning = None;
    } else {
        let since = *memory.turning.get_or_insert(at);
        let turns = later(since, if on { rule.keep_s } else { rule.for_s });
        if at < turns {
            *due = sooner(*due, turns);
        } else {
            memory.turning = None;
            memory.level = 0;
            memory.on = (!on).then_some(at);
            memory.alert = rule.then.alert.as_ref().map(|alert| alert.kind).filter(|_| !on);
            memory.spent |= rule.once_a_stay && !on;
            if on {
                memory.unknown = None;
                return Some(Turn::Off);
            }
            next_step(rule, memory, at, due);
            return Some(Turn::On);
        }
    }
    let step = next_step(rule, memory, at, due);
    step.map(|level| {
        memory.level = level;
        Turn::Step(level)
    })
}

/// The step of the escalation that has come; else the next one is noted among the times.
fn next_step(rule: &Rule, memory: &Memory, at: Timestamp, due: &mut Option<Timestamp>) -> Option<u8> {
    let (since, alert) = (memory.on?, rule.then.alert.as_ref()?);
    let mut reached = None;
    for (level, step) in (1_u8..).zip(&alert.escalate) {
        let when = later(since, step.after_s);
        if at < when {
            *due = sooner(*due, when);
            break;
        }
        reached = Some(level).filter(|level| *level > memory.level);
    }
    reached
}
