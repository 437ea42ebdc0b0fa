//! The slot table: what must be remembered over a power cut. Pure: values, and their text of one page.

mod text;

use crate::Digest;
use std::fmt;

pub use text::{Damage, TABLE_BYTES};

/// How many versions that were found bad are remembered; the oldest is forgotten first.
pub const BAD_KEPT: usize = 8;
/// How long a version or a rollout's identifier may be, bytes.
pub const WORD_MOST: usize = 64;
/// How long a reason may be, bytes; what is longer is cut.
pub const REASON_MOST: usize = 160;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The slot whose folder has this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "a" => Some(Self::A),
            "b" => Some(Self::B),
            _ => None,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A release that lies complete in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The SHA-256 of its manifest, which has those of its files.
    pub manifest: Digest,
    /// The release counter.
    pub number: u64,
    /// Below which nothing is started any more once this release is confirmed.
    pub floor: u64,
    /// The version for people, one word.
    pub version: String,
}

/// A release that has to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Where it lies; never the active slot.
    pub slot: Slot,
    /// How often it was started, counted before each start.
    pub tries: u8,
    /// The rollout that brought it, one word; `-` for none.
    pub rollout: String,
    /// How the last try ended; empty where nobody saw it.
    pub last: String,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The new version stays.
    Confirmed,
    /// The new version ran and was unwell: the old one runs again.
    RolledBack,
    /// The new version was never started, or the disk did not bear its trial, or a confirmed one can be started no longer.
    Failed,
}

impl Verdict {
    /// Its name in table and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
        }
    }

    /// The verdict of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Confirmed, Self::RolledBack, Self::Failed].into_iter().find(|verdict| verdict.name() == name)
    }
}

/// How the last trial ended, kept until somebody has seen it or the next one ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How.
    pub verdict: Verdict,
    /// The release counter.
    pub number: u64,
    /// The version.
    pub version: String,
    /// The rollout that brought it; `-` for none.
    pub rollout: String,
    /// Why, in plain words.
    pub reason: String,
}

/// A release that was found bad: the same rollout does not bring it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its manifest.
    pub manifest: Digest,
    /// The rollout that brought it.
    pub rollout: String,
    /// The version.
    pub version: String,
    /// Why, in plain words.
    pub reason: String,
}

/// The slot table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Counted up with each writing: of two copies the higher one is newer.
    pub sequence: u64,
    /// No release with a lower number is started.
    pub floor: u64,
    /// The confirmed slot.
    pub active: Slot,
    /// What lies in slot a; `None`: nothing that may be started.
    pub a: Option<Release>,
    /// What lies in slot b.
    pub b: Option<Release>,
    /// The trial that is under way.
    pub trial: Option<Trial>,
    /// How the last one ended.
    pub outcome: Option<Outcome>,
    /// What was found bad, the oldest first; [`BAD_KEPT`] at most.
    pub bad: Vec<Bad>,
}

impl Table {
    /// That of a first installation.
    pub fn first(slot: Slot, release: Release) -> Self {
        let mut table = Self {
            sequence: 1,
            floor: release.floor,
            active: slot,
            a: None,
            b: None,
            trial: None,
            outcome: None,
            bad: Vec::new(),
        };
        *table.entry(slot) = Some(release);
        table
    }

    /// What lies in a slot.
    pub fn release(&self, slot: Slot) -> Option<&Release> {
        match slot {
            Slot::A => self.a.as_ref(),
            Slot::B => self.b.as_ref(),
        }
    }

    /// What lies in a slot, to be changed.
    pub fn entry(&mut self, slot: Slot) -> &mut Option<Release> {
        match slot {
            Slot::A => &mut self.a,
            Slot::B => &mut self.b,
        }
    }

    /// The slot that is not confirmed.
    pub fn spare(&self) -> Slot {
        self.active.other()
    }

    /// The slot that is to be started.
    pub fn wanted(&self) -> Slot {
        self.trial.as_ref().map_or(self.active, |trial| trial.slot)
    }

    /// Whether a slot has something that may be started by the floor.
    pub fn may_start(&self, slot: Slot) -> bool {
        self.release(slot).is_some_and(|release| release.number >= self.floor)
    }

    /// The trial is over, well.
    pub(crate) fn confirm(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        self.active = trial.slot;
        let release = self.release(trial.slot).cloned();
        self.floor = self.floor.max(release.as_ref().map_or(0, |release| release.floor));
        self.note(Verdict::Confirmed, release, trial.rollout, String::new());
    }

    /// The trial is over, not well: its slot has nothing any more, and its rollout does not bring it again.
    pub(crate) fn undo(&mut self, reason: &str) {
        let Some(trial) = self.trial.take() else { return };
        let release = self.entry(trial.slot).take();
        let verdict = if trial.tries == 0 { Verdict::Failed } else { Verdict::RolledBack };
        if let Some(release) = &release {
            self.remember_bad(release, &trial.rollout, reason);
        }
        self.note(verdict, release, trial.rollout, reason_of(reason));
    }

    /// The trial is over for a reason that is the disk's: its slot has nothing any more, and it may be brought again.
    pub(crate) fn give_up(&mut self, reason: &str) {
        let Some(trial) = self.trial.take() else { return };
        let release = self.entry(trial.slot).take();
        self.note(Verdict::Failed, release, trial.rollout, reason_of(reason));
    }

    /// The active slot's files are broken; the other one's are whole and take its place.
    pub(crate) fn fall_back(&mut self, reason: &str) {
        let broken = self.active;
        self.active = broken.other();
        let release = self.entry(broken).take();
        self.note(Verdict::Failed, release, "-".to_owned(), reason_of(reason));
    }

    fn note(&mut self, verdict: Verdict, release: Option<Release>, rollout: String, reason: String) {
        if let Some(Release { number, version, .. }) = release {
            self.outcome = Some(Outcome { verdict, number, version, rollout, reason });
        }
    }

    fn remember_bad(&mut self, release: &Release, rollout: &str, reason: &str) {
        self.bad.retain(|bad| bad.manifest != release.manifest || bad.rollout != rollout);
        self.bad.push(Bad {
            manifest: release.manifest,
            rollout: rollout.to_owned(),
            version: release.version.clone(),
            reason: reason_of(reason),
        });
        let surplus = self.bad.len().saturating_sub(BAD_KEPT);
        self.bad.drain(..surplus);
    }
}

/// Whether this may be a version or a rollout's identifier: printable ASCII without a space, not too long.
pub fn is_word(text: &str) -> bool {
    (1..=WORD_MOST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A reason as it is kept: one line, not too long.
pub fn reason_of(text: &str) -> String {
    let mut reason = String::new();
    for word in text
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .filter(|word| !word.is_empty())
    {
        let room = REASON_MOST.saturating_sub(reason.len() + usize::from(!reason.is_empty()));
        let fits = (0..=word.len().min(room)).rev().find(|end| word.is_char_boundary(*end)).unwrap_or(0);
        if fits == 0 {
            break;
        }
        if !reason.is_empty() {
            reason.push(' ');
        }
        reason.push_str(&word[..fits]);
        if fits < word.len() {
            break;
        }
    }
    reason
}
