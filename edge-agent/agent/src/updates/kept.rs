//! What updates remember over a restart: what is wanted, how far it is, what was found bad.

use super::files;
use engawa_model::{Timestamp, UpdateStep};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file beside the slots.
const FILE: &str = "updates.json";
/// Releases that were found bad and are remembered; the oldest is forgotten.
pub(crate) const MOST_BAD: usize = 16;
/// The longest version, and the longest word of a rollout's attempt, bytes: the table of slots has no more room.
const MOST_WORD: usize = 64;

/// Who wants a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(crate) enum By {
    /// The cloud, in a rollout.
    Rollout {
        /// Which.
        id: String,
        /// Which attempt of it on this gateway, 0 the first.
        #[serde(default)]
        attempt: u32,
        /// It is a way back from a release that is not good.
        #[serde(default)]
        back: bool,
    },
    /// Whoever sent a command: the cloud's desk or the local one.
    Command {
        /// Its key.
        key: String,
    },
    /// Somebody with a stick.
    Stick {
        /// The folder of the repository.
        folder: PathBuf,
        /// The command's key.
        key: String,
    },
}

/// A release that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Who wants it.
    #[serde(flatten)]
    pub(crate) by: By,
    /// Which.
    pub(crate) version: String,
    /// Its release counter; 0 while it is not known.
    #[serde(default)]
    pub(crate) number: u64,
    /// The target path of its manifest.
    pub(crate) target: String,
    /// When it may be switched to, JSON; empty: the usual conditions.
    #[serde(default)]
    pub(crate) conditions: String,
}

impl Wanted {
    /// The key of the command, where it was one.
    pub(crate) fn command(&self) -> Option<&str> {
        match &self.by {
            By::Command { key } | By::Stick { key, .. } => Some(key),
            By::Rollout { .. } => None,
        }
    }

    /// The rollout's id, where there is one.
    pub(crate) fn rollout(&self) -> Option<&str> {
        match &self.by {
            By::Rollout { id, .. } => Some(id),
            By::Command { .. } | By::Stick { .. } => None,
        }
    }

    /// The rollout's attempt; 0 where there is none.
    pub(crate) fn attempt(&self) -> u32 {
        match self.by {
            By::Rollout { attempt, .. } => attempt,
            By::Command { .. } | By::Stick { .. } => 0,
        }
    }

    /// Whether the cloud calls it a way back.
    pub(crate) fn is_back(&self) -> bool {
        matches!(self.by, By::Rollout { back: true, .. })
    }

    /// True where it is the very wish `before`, whose number may have become known meanwhile.
    pub(crate) fn is_still(&self, before: &Self) -> bool {
        let number = if before.number == 0 { 0 } else { self.number };
        Self { number, ..self.clone() } == *before
    }

    /// Why neither the supervisor nor the box's installer could be told of it, where they couldn't: both take plain words.
    pub(crate) fn unspeakable(&self) -> Option<String> {
        let shown = |text: &str| text.chars().take(80).flat_map(char::escape_default).collect::<String>();
        let is_plain = |text: &str, marks: &str| {
            let is_good = |letter: char| letter.is_ascii_alphanumeric() || marks.contains(letter);
            (1..=MOST_WORD).contains(&text.len()) && text.chars().all(is_good)
        };
        if !is_plain(&self.version, ".+-") {
            return Some(format!(
                "`{}` can't be a version here: expected 1 to {MOST_WORD} letters, digits, `.`, `+`, `-`",
                shown(&self.version)
            ));
        }
        let said = word(self.rollout(), self.attempt());
        let is_known_again = of_word(&said) == (self.rollout().map(str::to_owned), self.attempt());
        if is_plain(&said, "._:#-") && is_known_again {
            return None;
        }
        Some(format!(
            "`{}` can't be a rollout's attempt here: expected 1 to {MOST_WORD} letters, digits, `.`, `_`, `:`, `-`, no `-` alone",
            shown(&said)
        ))
    }

    /// True where `other` is the same release out of the same source: a download of the one is one of the other.
    pub(crate) fn is_fetched_as(&self, other: &Self) -> bool {
        let folder = |wanted: &Self| match &wanted.by {
            By::Stick { folder, .. } => Some(folder.clone()),
            By::Rollout { .. } | By::Command { .. } => None,
        };
        self.target == other.target && folder(self) == folder(other)
    }
}

/// The word that a supervisor knows a rollout's attempt by: what was found bad in one is tried again in the next.
pub(crate) fn word(rollout: Option<&str>, attempt: u32) -> String {
    match (rollout, attempt) {
        (None, _) => "-".to_owned(),
        (Some(id), 0) => id.to_owned(),
        (Some(id), attempt) => format!("{id}#{attempt}"),
    }
}

/// The rollout and the attempt of such a word.
pub(crate) fn of_word(word: &str) -> (Option<String>, u32) {
    match word.rsplit_once('#').map(|(id, attempt)| (id, attempt.parse())) {
        _ if word == "-" => (None, 0),
        Some((id, Ok(attempt))) => (Some(id.to_owned()), attempt),
        _ => (Some(word.to_owned()), 0),
    }
}

/// A release that was found bad: the same rollout does not bring it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bad {
    /// The rollout; empty where there was none.
    pub(crate) rollout: String,
    /// In which attempt of it.
    #[serde(default)]
    pub(crate) attempt: u32,
    /// The version.
    pub(crate) version: String,
    /// Why.
    pub(crate) reason: String,
}

/// How the last update ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Last {
    /// Its rollout; empty where there was none.
    pub(crate) rollout: String,
    /// Which attempt of it.
    #[serde(default)]
    pub(crate) attempt: u32,
    /// The version.
    pub(crate) version: String,
    /// How.
    pub(crate) step: UpdateStep,
    /// Why.
    pub(crate) reason: String,
    /// The command that wanted it, where it was one: it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
}

impl Last {
    /// Whether it is of this very offer.
    pub(crate) fn is_of(&self, wanted: &Wanted) -> bool {
        Some(self.rollout.as_str()) == wanted.rollout()
            && (self.attempt, &self.version) == (wanted.attempt(), &wanted.version)
    }
}

/// All that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// What is wanted, until it has ended.
    pub(crate) wanted: Option<Wanted>,
    /// The step of it that was told last, so that each is told once.
    pub(crate) told: Option<(UpdateStep, Option<String>)>,
    /// What was found bad, the oldest first.
    pub(crate) bad: Vec<Bad>,
    /// How the last one ended.
    pub(crate) last: Option<Last>,
    /// The time that was confirmed last, as far as it is bounded ([`super::clock::Over::said`]).
    pub(crate) time: Option<Timestamp>,
    /// The latest that cloud and network have both said ([`super::clock::Over::agreed`]).
    pub(crate) agreed: Option<Timestamp>,
}

impl Kept {
    /// Reads what is remembered in `dir`. What can't be read is as nothing, and said: it is a memory, no truth.
    pub(crate) fn load(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let read = files::read(&path).map_err(|error| error.to_string());
        let parsed = read.and_then(|bytes| match bytes {
            None => Ok(Self::default()),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        });
        parsed.unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "what is remembered of updates can't be read: it begins anew");
            Self::default()
        })
    }

    /// Keeps it in `dir`, durably.
    pub(crate) fn save(&self, dir: &Path) -> std::io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        files::replace(&dir.join(FILE), &bytes)
    }

    /// Why this rollout's release is not tried again, where it was found bad.
    pub(crate) fn found_bad(&self, wanted: &Wanted) -> Option<&Bad> {
        let rollout = wanted.rollout()?;
        self.bad.iter().find(|bad| {
            bad.rollout == rollout && bad.version == wanted.version && bad.attempt >= wanted.attempt()
        })
    }

    /// An update is over: it is wanted no longer, and what failed is not tried again in the same attempt. Another that is wanted
    /// meanwhile still is.
    pub(crate) fn ended(&mut self, last: Last) {
        if matches!(last.step, UpdateStep::RolledBack | UpdateStep::Failed) && !last.rollout.is_empty() {
            self.bad.retain(|bad| bad.rollout != last.rollout || bad.version != last.version);
            if self.bad.len() >= MOST_BAD {
                self.bad.remove(0);
            }
            let Last { rollout, attempt, version, reason, .. } = last.clone();
            self.bad.push(Bad { rollout, attempt, version, reason });
        }
        self.over(last);
    }

    /// The same, and the release is not to blame.
    pub(crate) fn over(&mut self, last: Last) {
        if self.wanted.as_ref().is_some_and(|wanted| wanted.version == last.version) {
            self.wanted = None;
        }
        (self.told, self.last) = (None, Some(last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(rollout: &str, version: &str) -> Wanted {
        Wanted {
            by: By::Rollout { id: rollout.to_owned(), attempt: 0, back: false },
            version: version.to_owned(),
            number: 7,
            target: format!("engawa/t/{version}/manifest.json"),
            conditions: String::new(),
        }
    }

    fn back(rollout: &str, version: &str) -> Last {
        Last {
            rollout: rollout.to_owned(),
            attempt: 0,
            version: version.to_owned(),
            step: UpdateStep::RolledBack,
            reason: "why".to_owned(),
            command: None,
        }
    }

    #[test]
    fn what_is_remembered_outlives_a_restart_and_nonsense_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Kept::load(dir.path()), Kept::default());
        let by = [
            By::Rollout { id: "r1".into(), attempt: 2, back: true },
            By::Command { key: "k".into() },
            By::Stick { folder: "/media/stick".into(), key: "k".into() },
        ];
        for by in by {
            let mut kept = Kept { wanted: Some(Wanted { by, ..wanted("r1", "1.1.0") }), ..Kept::default() };
            kept.told = Some((UpdateStep::Waiting, Some("night audit".to_owned())));
            kept.save(dir.path()).unwrap();
            assert_eq!(Kept::load(dir.path()), kept);
        }
        std::fs::write(dir.path().join(FILE), b"{\"wanted\":").unwrap();
        assert_eq!(Kept::load(dir.path()), Kept::default());
    }

    #[test]
    fn a_rollout_does_not_bring_what_it_was_found_bad_with() {
        let mut kept = Kept::default();
        kept.ended(back("r1", "1.1.0"));
        assert_eq!(kept.found_bad(&wanted("r1", "1.1.0")).unwrap().reason, "why");
        assert_eq!(kept.found_bad(&wanted("r2", "1.1.0")), None, "another rollout is another word");
        let again = |attempt| Wanted {
            by: By::Rollout { id: "r1".into(), attempt, back: false },
            ..wanted("r1", "1.1.0")
        };
        assert_eq!(kept.found_bad(&again(1)), None, "somebody wants it tried once more");
        kept.ended(Last { attempt: 1, ..back("r1", "1.1.0") });
        assert!(kept.found_bad(&again(0)).is_some() && kept.found_bad(&again(1)).is_some());
        assert_eq!(kept.found_bad(&again(2)), None);
        let by_hand = Wanted { by: By::Command { key: "k".into() }, ..wanted("r1", "1.1.0") };
        assert_eq!(kept.found_bad(&by_hand), None);
        for n in 0..40 {
            kept.ended(back(&format!("x{n}"), "1.2.0"));
            kept.ended(back(&format!("x{n}"), "1.2.0"));
        }
        assert_eq!(kept.bad.len(), MOST_BAD);
        kept.ended(Last { step: UpdateStep::Confirmed, ..back("good", "2.0.0") });
        assert_eq!(kept.found_bad(&wanted("good", "2.0.0")), None);
    }

    #[test]
    fn what_the_disk_did_not_bear_is_not_found_bad() {
        let mut kept = Kept { wanted: Some(wanted("r1", "1.1.0")), ..Kept::default() };
        kept.over(Last { step: UpdateStep::Failed, ..back("r1", "1.1.0") });
        assert_eq!((&kept.wanted, kept.found_bad(&wanted("r1", "1.1.0"))), (&None, None));
        assert_eq!(kept.last.unwrap().step, UpdateStep::Failed);
    }

    #[test]
    fn what_ended_takes_nothing_else_with_it() {
        let mut kept = Kept { wanted: Some(wanted("r2", "1.2.0")), ..Kept::default() };
        kept.ended(back("r1", "1.1.0"));
        assert_eq!(kept.wanted, Some(wanted("r2", "1.2.0")));
        kept.ended(back("r2", "1.2.0"));
        assert_eq!(kept.wanted, None);
    }

    #[test]
    fn a_wish_is_the_same_when_its_number_becomes_known_and_no_other_way() {
        let before = Wanted { number: 0, ..wanted("r1", "1.1.0") };
        assert!(wanted("r1", "1.1.0").is_still(&before));
        assert!(before.is_still(&before));
        let known = wanted("r1", "1.1.0");
        assert!(!Wanted { number: 8, ..known.clone() }.is_still(&known));
        assert!(!wanted("r2", "1.1.0").is_still(&known));
        assert!(!Wanted { conditions: "{}".into(), ..known.clone() }.is_still(&known));
        let by = By::Rollout { id: "r1".into(), attempt: 1, back: false };
        assert!(!Wanted { by, ..known.clone() }.is_still(&known));
    }

    #[test]
    fn what_can_t_be_said_to_supervisor_or_installer_is_named() {
        let of = |id: &str, attempt, version: &str| {
            let by = By::Rollout { id: id.to_owned(), attempt, back: false };
            Wanted { by, ..wanted("", version) }.unspeakable()
        };
        assert_eq!(of("r_1.a:b-c", 12, "1.2.0-rc.1+b5"), None);
        assert_eq!(of(&"r".repeat(64), 0, "1.2.0"), None);
        for (id, attempt, version, why) in [
            ("", 0, "1.2.0", "`` can't be a rollout's attempt"),
            ("a b", 0, "1.2.0", "`a b` can't be a rollout's attempt"),
            ("r/1", 0, "1.2.0", "`r/1`"),
            ("r1\n", 0, "1.2.0", "`r1\\n`"),
            ("é", 0, "1.2.0", "rollout's attempt"),
            // Would be told of as of another.
            ("-", 0, "1.2.0", "`-` can't be a rollout's attempt"),
            ("r1#2", 0, "1.2.0", "`r1#2` can't be a rollout's attempt"),
            (&*"r".repeat(64), 1, "1.2.0", "rollout's attempt"),
            ("r1", 0, "", "`` can't be a version"),
            ("r1", 0, "1.2.0 7", "`1.2.0 7` can't be a version"),
            ("r1", 0, "1_2", "can't be a version"),
            ("r1", 0, &*"1".repeat(65), "can't be a version"),
        ] {
            let said = of(id, attempt, version).unwrap_or_default();
            assert!(said.contains(why), "{id} {attempt} {version}: {said}");
        }
    }

    #[test]
    fn an_attempt_has_a_word_of_its_own() {
        for (rollout, attempt, is) in
            [(None, 0, "-"), (Some("r-1"), 0, "r-1"), (Some("r-1"), 3, "r-1#3"), (Some("a#b"), 0, "a#b")]
        {
            assert_eq!(word(rollout, attempt), is);
            assert_eq!(of_word(is), (rollout.map(str::to_owned), attempt));
        }
    }
}
