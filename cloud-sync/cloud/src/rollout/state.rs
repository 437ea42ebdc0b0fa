//! What is known: rollouts, gateways, what each gateway has made of its turn; and what can be written. Pure.

use super::plan::{Kind, Plan};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Made, and not begun.
    Draft,
    /// Under way.
    Running,
    /// Held by somebody: who was told goes on, nobody else is.
    Paused,
    /// Stopped by itself: nobody is told any more, not even who was before.
    Halted,
    /// Who has it goes back to what was there before.
    RollingBack,
    /// All rings have ended; who was away gets it when it is back.
    Done,
    /// Given up.
    Aborted,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Draft,
        Self::Running,
        Self::Paused,
        Self::Halted,
        Self::RollingBack,
        Self::Done,
        Self::Aborted,
    ];

    /// As it is stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Halted => "halted",
            Self::RollingBack => "rolling_back",
            Self::Done => "done",
            Self::Aborted => "aborted",
        }
    }

    /// Of a stored word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// True where the machine has something to do.
    pub fn moves(self) -> bool {
        matches!(self, Self::Running | Self::RollingBack)
    }

    /// True where gateways that have a row may be told.
    pub fn tells(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::RollingBack | Self::Done)
    }

    /// True where it is in the way of another rollout to the same gateways.
    pub fn holds(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::RollingBack)
    }
}

/// A rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rollout {
    /// Its name, `r-<number>`.
    pub id: String,
    /// Rollouts are counted.
    pub number: i64,
    /// What it is to do.
    pub plan: Plan,
    /// How it is.
    pub state: State,
    /// Why it is so, where there is something to say.
    pub reason: String,
    /// The ring that is open, from 0.
    pub ring: u32,
    /// Since when, µs.
    pub ring_micros: i64,
    /// Failures up to here were looked at by somebody, and don't count any more, µs.
    pub judged_micros: i64,
    /// Who made it.
    pub created_by: String,
    /// When, µs.
    pub created_micros: i64,
    /// When it changed last, µs.
    pub changed_micros: i64,
}

/// How far a gateway has come with its turn. The words are those of the gateway's journal rows, where it has told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is its turn; it has not come for it.
    Assigned,
    /// It was told.
    Told,
    /// It has noted the offer.
    Offered,
    /// It fetches.
    Downloading,
    /// Everything is there and verified.
    Ready,
    /// It waits for its window.
    Waiting,
    /// It changes over.
    Switching,
    /// It runs the version on trial.
    Trial,
    /// The version has proven itself.
    Confirmed,
    /// It does not want it; it may think otherwise.
    Refused,
    /// It went back.
    RolledBack,
    /// It could not install it.
    Failed,
    /// It has not begun in time, or was not there at all, and is not waited for: it is told when it is back.
    Away,
    /// Its turn was taken back before it had switched.
    Cancelled,
    /// It can't go back.
    Stays,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Assigned,
        Self::Told,
        Self::Offered,
        Self::Downloading,
        Self::Ready,
        Self::Waiting,
        Self::Switching,
        Self::Trial,
        Self::Confirmed,
        Self::Refused,
        Self::RolledBack,
        Self::Failed,
        Self::Away,
        Self::Cancelled,
        Self::Stays,
    ];

    /// As it is stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Told => "told",
            Self::Offered => "offered",
            Self::Downloading => "downloading",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Switching => "switching",
            Self::Trial => "trial",
            Self::Confirmed => "confirmed",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Away => "away",
            Self::Cancelled => "cancelled",
            Self::Stays => "stays",
        }
    }

    /// Of a stored word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.word() == word)
    }

    /// Of the word that a gateway has for the outcome of its last try.
    pub fn of_outcome(word: &str) -> Option<Self> {
        let word = word.replace([' ', '-'], "_");
        [Self::Confirmed, Self::RolledBack, Self::Failed].into_iter().find(|step| step.word() == word)
    }

    /// It has not switched over.
    pub fn is_before(self) -> bool {
        use Step::{Assigned, Downloading, Offered, Ready, Told, Waiting};
        matches!(self, Assigned | Told | Offered | Downloading | Ready | Waiting)
    }

    /// The new version runs, and is not confirmed.
    pub fn is_trying(self) -> bool {
        matches!(self, Self::Switching | Self::Trial)
    }

    /// It did not go well.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Refused | Self::RolledBack | Self::Failed)
    }

    /// Nothing more is expected.
    pub fn is_end(self) -> bool {
        !self.is_before() && !self.is_trying()
    }
}

/// A gateway's turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Of which rollout.
    pub rollout: String,
    /// Whose.
    pub gateway: String,
    /// In which ring, from 0.
    pub ring: u32,
    /// Which attempt it is, 0 the first: a gateway takes what it has found bad only in a later one.
    pub attempt: u32,
    /// It is to go back.
    pub back: bool,
    /// The version that is wanted.
    pub version: String,
    /// Its number.
    pub number: u64,
    /// The path of its manifest.
    pub manifest: String,
    /// The version that was there when its turn came.
    pub from_version: String,
    /// Its number.
    pub from_number: u64,
    /// When its turn came, µs.
    pub assigned_micros: i64,
    /// When it was told first, µs.
    pub told_micros: Option<i64>,
    /// How far it is.
    pub step: Step,
    /// Since when, µs, by the cloud's clock.
    pub step_micros: i64,
    /// Why, where there is something to say.
    pub reason: String,
    /// When it ended, µs.
    pub ended_micros: Option<i64>,
    /// Alerts that it raised in the first hour after it was confirmed.
    pub alerts: u32,
}

/// What a gateway has told of its software.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Software {
    /// The installed version.
    pub version: String,
    /// Its number.
    pub number: u64,
    /// The active slot.
    pub slot: String,
    /// The target triple that it was built for.
    pub triple: String,
    /// The board.
    pub hardware: String,
    /// The version of the system image.
    pub system: String,
    /// Its number.
    pub system_number: u64,
    /// What the updater is at.
    pub state: String,
    /// Nothing below this number is installed any more.
    pub floor: u64,
    /// The region whose cloud it asked.
    pub region: String,
    /// When it asked, µs.
    pub asked_micros: i64,
}

/// A gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its name.
    pub gateway: String,
    /// Its property.
    pub property: String,
    /// Its labels.
    pub labels: BTreeSet<String>,
    /// What it has told of its software; `None`: it has never asked.
    pub software: Option<Software>,
    /// It is connected.
    pub connected: bool,
    /// When it was seen last (connected or gone), µs.
    pub seen_micros: Option<i64>,
}

/// A version that is not offered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Block {
    /// To whom; empty: to nobody.
    pub gateway: String,
    /// Which layer.
    pub kind: Kind,
    /// Which version.
    pub version: String,
    /// Why.
    pub why: String,
    /// Who says so.
    pub by: String,
    /// When, µs.
    pub at_micros: i64,
}

/// An entry of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, µs.
    pub at_micros: i64,
    /// Of which rollout; empty: of none.
    pub rollout: String,
    /// Of which gateway; empty: of none.
    pub gateway: String,
    /// Who: a person, `cloud`, or `gateway`.
    pub who: String,
    /// What: one word.
    pub what: String,
    /// Particulars.
    pub detail: String,
}

/// Everything that is decided from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// Gateways that are enrolled, by name.
    pub members: BTreeMap<String, Member>,
    /// Rollouts, by name.
    pub rollouts: BTreeMap<String, Rollout>,
    /// Turns, by rollout and gateway.
    pub rows: BTreeMap<String, BTreeMap<String, Row>>,
    /// What is not offered.
    pub blocks: BTreeSet<Block>,
}

/// What can be written. Whoever stores several does so in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A rollout, new or changed.
    Rollout(Box<Rollout>),
    /// A turn, new or changed; its alerts stay as they are stored.
    Row(Box<Row>),
    /// A version is not offered any more.
    Block(Block),
    /// It is again.
    Unblock {
        /// To whom; empty: to anybody.
        gateway: String,
        /// Which layer.
        kind: Kind,
        /// Which version.
        version: String,
    },
    /// A gateway has a label, or has it no more.
    Label {
        /// Which gateway.
        gateway: String,
        /// The label.
        label: String,
        /// It has it.
        on: bool,
    },
    /// A rollout is kept no longer, with its turns; the audit keeps what it says of it.
    Forget(String),
    /// A line of the audit.
    Log(Entry),
}

impl Software {
    /// The number of what is installed of a layer.
    pub fn installed(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Application => self.number,
            Kind::System => self.system_number,
        }
    }

    /// True where what is installed has not proven itself yet.
    pub fn on_trial(&self) -> bool {
        self.state == Step::Trial.word()
    }
}

impl Row {
    /// True where the gateway has something newer than this turn is about: it is not taken down by an old turn, and from a
    /// version that it has no more it does not go back.
    pub fn is_passed(&self, kind: Kind, software: &Software) -> bool {
        software.installed(kind) > if self.back { self.from_number } else { self.number }
    }

    /// Ended now, without an outcome.
    pub fn cancelled(&self, reason: &str, micros: i64) -> Self {
        let reason = reason.to_owned();
        Self {
            step: Step::Cancelled,
            reason,
            step_micros: micros,
            ended_micros: Some(micros),
            ..self.clone()
        }
    }
}

/// Blocks of a gateway that it has told of itself and that are kept: of more the oldest goes.
pub const MOST_BLOCKS: usize = 16;

/// Who blocks what a gateway went back from.
pub const BY_GATEWAY: &str = "gateway";

impl Fleet {
    /// True if the version is not to be offered to this gateway.
    pub fn is_blocked(&self, gateway: &str, kind: Kind, version: &str) -> bool {
        self.blocked_everywhere(kind, version)
            || self
                .blocks
                .iter()
                .any(|block| block.gateway == gateway && block.kind == kind && block.version == version)
    }

    /// True if it is to be offered to nobody.
    pub fn blocked_everywhere(&self, kind: Kind, version: &str) -> bool {
        self.blocks
            .iter()
            .any(|block| block.gateway.is_empty() && block.kind == kind && block.version == version)
    }

    /// The turns of a rollout.
    pub fn rows_of(&self, rollout: &str) -> impl Iterator<Item = &Row> {
        self.rows.get(rollout).into_iter().flat_map(BTreeMap::values)
    }

    /// A gateway's turn in a rollout.
    pub fn row(&self, rollout: &str, gateway: &str) -> Option<&Row> {
        self.rows.get(rollout)?.get(gateway)
    }

    /// Does to what is in memory what a database does to its rows.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::Rollout(rollout) => {
                self.rollouts.insert(rollout.id.clone(), (**rollout).clone());
            }
            Write::Row(row) => {
                let rows = self.rows.entry(row.rollout.clone()).or_default();
                let alerts = rows.get(&row.gateway).map_or(0, |row| row.alerts);
                rows.insert(row.gateway.clone(), Row { alerts, ..(**row).clone() });
            }
            Write::Block(block) => {
                let there = |old: &Block| {
                    (&old.gateway, old.kind, &old.version) == (&block.gateway, block.kind, &block.version)
                };
                if !self.blocks.iter().any(there) {
                    self.blocks.insert(block.clone());
                }
                let own = |old: &&Block| old.by == BY_GATEWAY && old.gateway == block.gateway;
                let mut told: Vec<Block> = self.blocks.iter().filter(own).cloned().collect();
                told.sort_by(|a, b| (b.at_micros, &a.version).cmp(&(a.at_micros, &b.version)));
                for old in told.get(MOST_BLOCKS..).unwrap_or_default() {
                    self.blocks.remove(old);
                }
            }
            Write::Unblock { gateway, kind, version } => {
                self.blocks.retain(|block| {
                    (&block.gateway, block.kind, &block.version) != (gateway, *kind, version)
                });
            }
            Write::Label { gateway, label, on } => {
                if let Some(member) = self.members.get_mut(gateway) {
                    if *on {
                        member.labels.insert(label.clone());
                    } else {
                        member.labels.remove(label);
                    }
                }
            }
            Write::Forget(id) => {
                self.rollouts.remove(id);
                self.rows.remove(id);
            }
            Write::Log(_) => {}
        }
    }
}
