//! What several rule files come to in each room.

use super::{Rule, RuleFile};
use crate::firewall::FirewallConfig;
use crate::{Role, RoomId};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The rules of each room, highest priority first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rulebook {
    by_room: BTreeMap<RoomId, Arc<[Arc<Rule>]>>,
    roles: BTreeSet<Role>,
}

/// How the house governs its rooms.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The rules.
    pub rules: Rulebook,
    /// What may be written.
    pub firewall: FirewallConfig,
    /// The property's zone.
    pub zone: TimeZone,
    /// When guests arrive of whom only the day is known, in the property's zone.
    pub arrival_time: Time,
}

impl Rulebook {
    /// The rules of `files` in each of `rooms`; later files count more.
    pub fn compile<'a>(files: &[&RuleFile], rooms: impl IntoIterator<Item = &'a RoomId>) -> Self {
        let all: Vec<(usize, &RuleFile, Arc<Rule>)> = files
            .iter()
            .enumerate()
            .flat_map(|(n, file)| file.rule.iter().map(move |rule| (n, *file, Arc::new(rule.clone()))))
            .collect();
        let mut names: Vec<&str> = Vec::new();
        for (_, _, rule) in &all {
            if !names.contains(&rule.name.as_str()) {
                names.push(&rule.name);
            }
        }
        // Rooms of one kind share their list: a house has thousands of rooms and a handful of kinds.
        let mut made: BTreeMap<Vec<usize>, Arc<[Arc<Rule>]>> = BTreeMap::new();
        let mut by_room = BTreeMap::new();
        for room in rooms {
            let mut chosen: Vec<usize> = Vec::new();
            for name in &names {
                let of_name = all.iter().enumerate().filter(|(_, (_, _, rule))| rule.name == *name);
                let best = of_name
                    .filter_map(|(at, (file, of, rule))| Some(((narrowness(rule, of, room)?, *file, at), at)))
                    .max_by_key(|(rank, _)| *rank);
                chosen.extend(
                    best.map(|(_, at)| at).filter(|at| all.get(*at).is_some_and(|(_, _, rule)| rule.enabled)),
                );
            }
            let list = made.entry(chosen.clone()).or_insert_with(|| {
                let mut rules: Vec<Arc<Rule>> = chosen
                    .iter()
                    .filter_map(|at| all.get(*at))
                    .map(|(_, _, rule)| Arc::clone(rule))
                    .collect();
                rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
                rules.into()
            });
            by_room.insert(room.clone(), Arc::clone(list));
        }
        let mut roles = BTreeSet::new();
        for rule in by_room.values().flat_map(|rules: &Arc<[Arc<Rule>]>| rules.iter()) {
            collect(&rule.when, &mut roles);
        }
        Self { by_room, roles }
    }

    /// The rules of `room`, highest priority first.
    pub fn of(&self, room: &RoomId) -> Arc<[Arc<Rule>]> {
        self.by_room.get(room).cloned().unwrap_or_else(|| Arc::new([]))
    }

    /// The rooms that have rules, with them.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomId, &[Arc<Rule>])> {
        self.by_room.iter().map(|(room, rules)| (room, &**rules))
    }

    /// True where a rule looks at points of this role.
    pub fn looks_at(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// How narrowly `rule` says that it holds in `room`; `None` where it does not.
fn narrowness(rule: &Rule, file: &RuleFile, room: &RoomId) -> Option<u8> {
    if rule.rooms.contains(room) {
        return Some(2);
    }
    let of_type = |name: &String| file.types.get(name).is_some_and(|rooms| rooms.contains(room));
    if rule.types.iter().any(of_type) {
        return Some(1);
    }
    (rule.rooms.is_empty() && rule.types.is_empty()).then_some(0)
}

fn collect(when: &super::When, roles: &mut BTreeSet<Role>) {
    roles.extend(when.point.iter().map(|point| point.role));
    if when.sign.is_some() {
        roles.extend([Role::DoNotDisturb, Role::MakeUp]);
    }
    if when.arriving.as_ref().is_some_and(|arriving| arriving.warm_up) {
        roles.insert(Role::RoomTemperature);
    }
    when.any.iter().chain(when.not.as_deref()).for_each(|when| collect(when, roles));
}
