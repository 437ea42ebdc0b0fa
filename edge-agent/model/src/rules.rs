//! The rules of a room, as data: on which occasion the house does what, by itself.
//!
//! A rule is *on* in a room while its condition ([`When`]) holds, with delays against flutter; what it does ([`Then`])
//! happens when it comes on, and ends when it goes off. Of the rules that want a set point, the one with the highest
//! priority has it; when none does, the room goes back to what its guests chose, or to the house's comfort or eco.
//!
//! Terms: a *rule file* is a list of rules and the house's room types; the *rulebook* is what several files (the
//! product's own, the site's) come to in each room. A rule replaces one of the same name: the more narrowly it says
//! where it holds the more it counts, and a later file counts more than an earlier one.
//!
//! Never: a guest's choice overwritten while it stands. Whatever rules want is asked of [`crate::arbitration`] as
//! [`crate::arbitration::Occasion::Routine`], and of the [`crate::firewall`].

mod book;
mod check;
mod then;
mod when;

pub use book::{Policy, Rulebook};
pub use check::RuleFault;
pub use then::{After, AlertThen, ChargeThen, Escalation, Of, Setpoint, Then, Write};
pub use when::{Arriving, Day, PointIs, Sign, TimeOfDay, When, clock};

use crate::RoomId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest delay of a rule, seconds: a week.
pub const LONGEST_DELAY_S: u32 = 7 * 86_400;
/// Rules that a file can have.
pub const MOST_RULES: usize = 200;

const fn yes() -> bool {
    true
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name: in logs, in the reason of what it writes, and to replace it.
    pub name: String,
    /// What it is for, in a sentence for people.
    #[serde(default)]
    pub says: String,
    /// False switches off the rule of this name where this one holds.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Of several rules that want a set point the highest has it; 0 to 100.
    #[serde(default)]
    pub priority: u8,
    /// The rooms where it holds; with `types` empty too: everywhere.
    #[serde(default)]
    pub rooms: Vec<RoomId>,
    /// The room types where it holds.
    #[serde(default)]
    pub types: Vec<String>,
    /// On which occasion.
    #[serde(default)]
    pub when: When,
    /// How long the condition must hold before the rule comes on, seconds.
    #[serde(default)]
    pub for_s: u32,
    /// How long the condition must be over before the rule goes off, seconds.
    #[serde(default)]
    pub keep_s: u32,
    /// True: once for each stay in the room, and not again before the room has been vacant.
    #[serde(default)]
    pub once_a_stay: bool,
    /// What is done.
    #[serde(default)]
    pub then: Then,
    /// What is done when it is over.
    #[serde(default)]
    pub after: After,
}

/// A file of rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// The house's room types, and which rooms are of each.
    #[serde(default)]
    pub types: BTreeMap<String, Vec<RoomId>>,
    /// The rules.
    #[serde(default)]
    pub rule: Vec<Rule>,
}
