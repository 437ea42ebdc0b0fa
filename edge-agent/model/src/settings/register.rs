//! What is known of one setting, and how two such knowledges are joined.
//!
//! A register has a place for each end's newest write, while the other end has not written over it, and how far each end
//! has been seen. A write knows what its end had seen; what both ends wrote without knowing of each other stands side by
//! side until somebody writes again, and the field's rule says which of the two counts.
//!
//! [`Register::join`] is the least upper bound of a lattice (each end's place is a chain: newer before older, overwritten
//! before not), so it may be done in any order and as often as one likes.

use super::clock::Stamp;
use super::field::{Field, Rule, SettingValue, Writer};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Conflicts that travel with a register; older ones are in the logs of both ends, unless one end was heard by the other so
/// many times without hearing it.
pub const MOST_CONFLICTS: usize = 8;
/// The longest name of who wrote, bytes.
const MOST_BY: usize = 64;

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// The gateway.
    Edge,
    /// The cloud.
    Cloud,
}

impl Node {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Edge => Self::Cloud,
            Self::Cloud => Self::Edge,
        }
    }

    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Edge => "gateway",
            Self::Cloud => "cloud",
        }
    }
}

/// One write of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// When, by its end's hybrid clock. No other write of this end has it.
    pub at: Stamp,
    /// Which version of the setting it makes, from 1: one more than its end had seen.
    pub version: u32,
    /// Who wrote it, as staff call themselves; at most 64 bytes.
    pub by: String,
    /// What; `None`: the value of the configuration again.
    pub value: Option<SettingValue>,
}

impl Write {
    fn total_cmp(&self, other: &Self) -> Ordering {
        let value = || match (&self.value, &other.value) {
            (Some(one), Some(two)) => one.total_cmp(two),
            (one, two) => one.is_some().cmp(&two.is_some()),
        };
        (self.at, self.version, &self.by).cmp(&(other.at, other.version, &other.by)).then_with(value)
    }
}

/// How far each end has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The gateway's newest write.
    #[serde(default)]
    pub edge: Stamp,
    /// The cloud's newest write.
    #[serde(default)]
    pub cloud: Stamp,
}

/// Two writes without knowledge of each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The gateway's.
    pub edge: Write,
    /// The cloud's.
    pub cloud: Write,
    /// Whose stands, by the field's rule.
    pub kept: Node,
}

impl Conflict {
    /// What tells it from every other of its field.
    pub fn key(&self) -> (Stamp, Stamp) {
        (self.edge.at, self.cloud.at)
    }
}

/// What is known of a setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Register {
    /// The gateway's newest write, while nothing has replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<Write>,
    /// The cloud's newest write, while nothing has replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Write>,
    /// How far each end has been seen.
    #[serde(default)]
    pub seen: Seen,
    /// The newest conflicts, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
}

/// A register of another end that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came of the setting can't be: {0}")]
pub struct Unsound(pub(super) &'static str);

impl Register {
    /// An end's write, where it stands.
    pub fn of(&self, node: Node) -> Option<&Write> {
        match node {
            Node::Edge => self.edge.as_ref(),
            Node::Cloud => self.cloud.as_ref(),
        }
    }

    /// How far an end has been seen.
    pub fn seen_of(&self, node: Node) -> Stamp {
        match node {
            Node::Edge => self.seen.edge,
            Node::Cloud => self.seen.cloud,
        }
    }

    pub(super) fn put(&mut self, node: Node, seen: Stamp, write: Option<Write>) {
        match node {
            Node::Edge => (self.seen.edge, self.edge) = (seen, write),
            Node::Cloud => (self.seen.cloud, self.cloud) = (seen, write),
        }
    }

    /// The newest of all writes that were seen.
    pub fn newest(&self) -> Stamp {
        self.seen.edge.max(self.seen.cloud)
    }

    /// The version that a next write makes.
    pub(super) fn next_version(&self) -> u32 {
        let newest = [&self.edge, &self.cloud].into_iter().flatten().map(|write| write.version).max();
        newest.unwrap_or(0).saturating_add(1)
    }

    /// The write that counts.
    pub fn current(&self, field: &Field) -> Option<&Write> {
        match (&self.edge, &self.cloud) {
            (Some(edge), Some(cloud)) => Some(match decide(field, edge, cloud) {
                Node::Edge => edge,
                Node::Cloud => cloud,
            }),
            (one, other) => one.as_ref().or(other.as_ref()),
        }
    }

    /// The value that counts; `None`: the configuration's. One that this release can't take does not count.
    pub fn value(&self, field: &Field) -> Option<&SettingValue> {
        let value = self.current(field)?.value.as_ref()?;
        field.check(value).is_ok().then_some(value)
    }

    /// The two writes that stand side by side.
    pub(super) fn side_by_side(&self, field: &Field) -> Option<Conflict> {
        let (Some(edge), Some(cloud)) = (&self.edge, &self.cloud) else { return None };
        Some(Conflict { edge: edge.clone(), cloud: cloud.clone(), kept: decide(field, edge, cloud) })
    }

    /// Records a conflict; false where it is known, or older than all that are kept.
    pub(super) fn record(&mut self, conflict: Conflict) -> bool {
        let Err(place) = self.conflicts.binary_search_by_key(&conflict.key(), Conflict::key) else {
            return false;
        };
        if place == 0 && self.conflicts.len() >= MOST_CONFLICTS {
            return false;
        }
        self.conflicts.insert(place, conflict);
        if self.conflicts.len() > MOST_CONFLICTS {
            self.conflicts.remove(0);
        }
        true
    }

    /// All that either of the two knows. Commutative, associative and idempotent.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut joined = Self::default();
        for node in [Node::Edge, Node::Cloud] {
            let (one, two) = (self.seen_of(node), other.seen_of(node));
            let write = match one.cmp(&two) {
                Ordering::Greater => self.of(node).cloned(),
                Ordering::Less => other.of(node).cloned(),
                Ordering::Equal => match (self.of(node), other.of(node)) {
                    // The same write, but for an end that has lost its memory and its clock.
                    (Some(one), Some(two)) => {
                        Some(if one.total_cmp(two) == Ordering::Less { two } else { one }.clone())
                    }
                    // Whoever knows that it was written over knows more.
                    _ => None,
                },
            };
            joined.put(node, one.max(two), write);
        }
        let mut all: Vec<&Conflict> = self.conflicts.iter().chain(&other.conflicts).collect();
        all.sort_by(|one, two| {
            one.key()
                .cmp(&two.key())
                .then_with(|| one.edge.total_cmp(&two.edge))
                .then_with(|| one.cloud.total_cmp(&two.cloud))
                .then_with(|| one.kept.cmp(&two.kept))
        });
        // Of one key the last stays: the same at whichever end.
        all.reverse();
        all.dedup_by_key(|conflict| conflict.key());
        all.truncate(MOST_CONFLICTS);
        joined.conflicts = all.into_iter().rev().cloned().collect();
        joined
    }

    /// Sees that what came from elsewhere can be a register.
    ///
    /// # Errors
    /// What can't be.
    pub fn check(&self) -> Result<(), Unsound> {
        for node in [Node::Edge, Node::Cloud] {
            let seen = self.seen_of(node);
            if !seen.is_sound() {
                return Err(Unsound("a moment that no clock shows"));
            }
            let Some(write) = self.of(node) else { continue };
            if write.at != seen || seen == Stamp::NEVER {
                return Err(Unsound("a write that is not the newest that was seen"));
            }
            sound(write)?;
        }
        if self.conflicts.len() > MOST_CONFLICTS {
            return Err(Unsound("more conflicts than travel"));
        }
        for conflict in &self.conflicts {
            sound(&conflict.edge)?;
            sound(&conflict.cloud)?;
        }
        Ok(())
    }
}

fn sound(write: &Write) -> Result<(), Unsound> {
    if !write.at.is_sound() {
        return Err(Unsound("a moment that no clock shows"));
    }
    if write.by.len() > MOST_BY || write.by.contains(char::is_control) {
        return Err(Unsound("a name of who wrote that is too long, or no line"));
    }
    match &write.value {
        Some(SettingValue::Text(text)) if text.len() > 256 => Err(Unsound("a text that is too long")),
        Some(SettingValue::Number(number)) if !number.is_finite() => Err(Unsound("a number that is none")),
        _ => Ok(()),
    }
}

/// Who wrote, in a form that a register takes.
pub(super) fn named(by: &str) -> String {
    let mut name: String = by.chars().filter(|c| !c.is_control()).collect();
    while name.len() > MOST_BY {
        name.pop();
    }
    name
}

/// Which of two writes stands.
fn decide(field: &Field, edge: &Write, cloud: &Write) -> Node {
    let latest = || if cloud.at > edge.at { Node::Cloud } else { Node::Edge };
    let by_number = |wanted: Ordering| {
        let number = |write: &Write| write.value.as_ref().and_then(SettingValue::number);
        match (number(edge), number(cloud)) {
            (Some(one), Some(two)) => match one.total_cmp(&two) {
                Ordering::Equal => latest(),
                found if found == wanted => Node::Edge,
                _ => Node::Cloud,
            },
            // A limit before none.
            (Some(_), None) => Node::Edge,
            (None, Some(_)) => Node::Cloud,
            (None, None) => latest(),
        }
    };
    match field.writer {
        Writer::Edge | Writer::Both(Rule::Edge) => Node::Edge,
        Writer::Cloud => Node::Cloud,
        Writer::Both(Rule::Latest) => latest(),
        Writer::Both(Rule::Lower) => by_number(Ordering::Less),
        Writer::Both(Rule::Higher) => by_number(Ordering::Greater),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::field;

    fn write(ms: i64, value: Option<SettingValue>) -> Write {
        Write { at: Stamp { ms, n: 0 }, version: 1, by: "ann".into(), value }
    }

    #[test]
    fn each_rule_decides_as_it_says() {
        let n = |number: f64| Some(SettingValue::Number(number));
        for (name, edge, cloud, kept) in [
            ("climate.comfort-c", (5, n(21.0)), (6, n(22.0)), Node::Cloud),
            ("climate.comfort-c", (7, n(21.0)), (6, n(22.0)), Node::Edge),
            ("climate.comfort-c", (6, n(21.0)), (6, n(22.0)), Node::Edge),
            ("climate.comfort-c", (6, n(21.0)), (7, None), Node::Cloud),
            ("climate.highest-c", (5, n(26.0)), (6, n(27.0)), Node::Edge),
            ("climate.highest-c", (6, n(27.0)), (5, n(26.0)), Node::Cloud),
            ("climate.highest-c", (5, n(26.0)), (6, n(26.0)), Node::Cloud),
            ("climate.highest-c", (6, None), (5, n(26.0)), Node::Cloud),
            ("climate.highest-c", (5, n(26.0)), (6, None), Node::Edge),
            ("climate.highest-c", (5, None), (6, None), Node::Cloud),
            ("climate.lowest-c", (5, n(17.0)), (6, n(16.0)), Node::Edge),
            ("climate.lowest-c", (6, n(16.0)), (5, n(17.0)), Node::Cloud),
            ("climate.guest-hold-s", (5, n(60.0)), (6, n(90.0)), Node::Edge),
        ] {
            let field = field(name).unwrap();
            let (edge, cloud) = (write(edge.0, edge.1), write(cloud.0, cloud.1));
            assert_eq!(decide(field, &edge, &cloud), kept, "{name} {edge:?} {cloud:?}");
            let seen = Seen { edge: edge.at, cloud: cloud.at };
            let register = Register { edge: Some(edge), cloud: Some(cloud), seen, conflicts: vec![] };
            assert_eq!(register.current(field), register.of(kept));
        }
    }

    #[test]
    fn what_can_be_no_register_is_told() {
        let good = Register {
            edge: Some(write(5, None)),
            seen: Seen { edge: Stamp { ms: 5, n: 0 }, cloud: Stamp { ms: 4, n: 0 } },
            ..Register::default()
        };
        assert_eq!(good.check(), Ok(()));
        let with = |change: &dyn Fn(&mut Register)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.check().unwrap_err().to_string()
        };
        let of = |change: fn(&mut Write)| with(&move |bad: &mut Register| change(bad.edge.as_mut().unwrap()));
        for (why, told) in [
            ("no clock", with(&|bad| bad.seen.cloud.ms = i64::MAX)),
            ("no clock", with(&|bad| bad.seen.cloud.ms = -1)),
            ("not the newest", with(&|bad| bad.seen.edge.ms = 6)),
            ("not the newest", of(|write| write.at.n = 1)),
            ("too long", of(|write| write.by = "x".repeat(MOST_BY + 1))),
            ("no line", of(|write| write.by = "a\nb".into())),
            ("too long", of(|write| write.value = Some(SettingValue::Text("x".repeat(257))))),
            ("is none", of(|write| write.value = Some(SettingValue::Number(f64::NAN)))),
            (
                "more conflicts",
                with(&|bad| {
                    let conflict = Conflict { edge: write(1, None), cloud: write(1, None), kept: Node::Edge };
                    bad.conflicts = vec![conflict; MOST_CONFLICTS + 1];
                }),
            ),
            (
                "no clock",
                with(&|bad| {
                    let conflict =
                        Conflict { edge: write(-1, None), cloud: write(1, None), kept: Node::Edge };
                    bad.conflicts = vec![conflict];
                }),
            ),
        ] {
            assert!(told.contains(why), "{told} / {why}");
        }
        assert_eq!(named(&format!("a\u{7}{}", "é".repeat(40))).len(), 63, "cut between characters");
    }

    #[test]
    fn of_a_value_that_this_release_can_not_take_the_configuration_s_counts() {
        let field = field("climate.comfort-c").unwrap();
        let seen = Seen { edge: Stamp { ms: 5, n: 0 }, cloud: Stamp::NEVER };
        let value = Some(SettingValue::Number(36.0));
        let register = Register { edge: Some(write(5, value)), seen, ..Register::default() };
        assert!(register.current(field).is_some());
        assert_eq!(register.value(field), None);
    }

    #[test]
    fn the_newest_conflicts_are_kept_in_order() {
        let conflict = |n| Conflict { edge: write(n, None), cloud: write(1, None), kept: Node::Edge };
        let mut register = Register::default();
        for n in [3, 2, 4, 5, 6, 7, 8, 9] {
            assert!(register.record(conflict(n)));
        }
        assert!(!register.record(conflict(5)), "known");
        assert!(!register.record(conflict(1)), "older than all");
        assert!(register.record(conflict(10)));
        let edges: Vec<i64> = register.conflicts.iter().map(|conflict| conflict.edge.at.ms).collect();
        assert_eq!(edges, [3, 4, 5, 6, 7, 8, 9, 10]);
        let mut other = Register::default();
        for n in 9..=18 {
            other.record(conflict(n));
        }
        let joined = register.join(&other);
        assert_eq!(joined.conflicts.first().unwrap().edge.at.ms, 11);
        assert_eq!(joined, other.join(&register));
    }
}
