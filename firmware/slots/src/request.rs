//! The words of the supervisor's socket: one line asks, one line answers. Pure.

use crate::Digest;
use crate::table::{Outcome, Verdict, is_word, reason_of};
use std::fmt;

/// How long a line may be, bytes, its end included.
pub const LINE_MOST: usize = 1024;

/// What is asked of the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What runs.
    Status,
    /// The spare slot is about to be written.
    Begin,
    /// The spare slot is complete: it shall be switched to.
    Try {
        /// The SHA-256 of its manifest.
        manifest: Digest,
        /// Its release counter.
        number: u64,
        /// Its version, one word.
        version: String,
        /// The rollout that brings it, one word; `-` for none.
        rollout: String,
    },
    /// The trial that runs is well: it stays. From the version on trial alone.
    Healthy,
    /// The trial that runs is not well: back. From the version on trial alone.
    Unwell(String),
    /// How the last trial ended.
    Outcome,
    /// That was seen, and can be forgotten.
    OutcomeSeen,
    /// Versions that were found bad: this one shall get another chance.
    Forget(Digest),
}

/// A line that asks nothing that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotUnderstood(String);

impl Request {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, NotUnderstood> {
        let fault = |text: &str| NotUnderstood(text.to_owned());
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest) {
            ("status", "") => Ok(Self::Status),
            ("begin", "") => Ok(Self::Begin),
            ("healthy", "") => Ok(Self::Healthy),
            ("outcome", "") => Ok(Self::Outcome),
            ("outcome", "seen") => Ok(Self::OutcomeSeen),
            ("unwell", reason) if !reason_of(reason).is_empty() => Ok(Self::Unwell(reason_of(reason))),
            ("unwell", _) => Err(fault("unwell needs a reason: unwell REASON")),
            ("forget", digest) => {
                digest.parse().map(Self::Forget).map_err(|why| NotUnderstood(format!("forget: {why}")))
            }
            ("try", words) => Self::parse_try(words),
            _ => Err(NotUnderstood(format!(
                "{:?} is not understood; status, begin, try, healthy, unwell, outcome, outcome seen, forget are",
                line.chars().take(40).collect::<String>()
            ))),
        }
    }

    fn parse_try(words: &str) -> Result<Self, NotUnderstood> {
        let mut words = words.split(' ');
        let (Some(manifest), Some(number), Some(version), Some(rollout), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return Err(NotUnderstood(
                "try needs four words: try MANIFEST-SHA256 NUMBER VERSION ROLLOUT".to_owned(),
            ));
        };
        let manifest = manifest.parse().map_err(|why| NotUnderstood(format!("try: {why}")))?;
        let number =
            number.parse().map_err(|_| NotUnderstood(format!("try: {number:?} is no release number")))?;
        for word in [version, rollout] {
            if !is_word(word) {
                return Err(NotUnderstood(format!(
                    "try: {word:?} is no plain word of 64 characters at most"
                )));
            }
        }
        Ok(Self::Try { manifest, number, version: version.to_owned(), rollout: rollout.to_owned() })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("status"),
            Self::Begin => f.write_str("begin"),
            Self::Try { manifest, number, version, rollout } => {
                write!(f, "try {manifest} {number} {version} {rollout}")
            }
            Self::Healthy => f.write_str("healthy"),
            Self::Unwell(reason) => write!(f, "unwell {reason}"),
            Self::Outcome => f.write_str("outcome"),
            Self::OutcomeSeen => f.write_str("outcome seen"),
            Self::Forget(digest) => write!(f, "forget {digest}"),
        }
    }
}

/// The answer to a request: `ok` and what there is to say, or `error` and why not.
pub type Answer = Result<String, String>;

/// What the reason of an error begins with that passes by itself: the same may be asked again.
const LATER: &str = "later: ";

/// A reason that passes by itself.
pub fn later(why: impl fmt::Display) -> String {
    format!("{LATER}{why}")
}

/// The reason itself, where it is one that passes.
pub fn is_later(why: &str) -> Option<&str> {
    why.strip_prefix(LATER)
}

/// The line of an answer, without its end.
pub fn answer_line(answer: &Answer) -> String {
    match answer {
        Ok(text) if text.is_empty() => "ok".to_owned(),
        Ok(text) => format!("ok {text}"),
        Err(why) => format!("error {why}"),
    }
}

/// Reads the line of an answer; `None` where it is none.
pub fn parse_answer(line: &str) -> Option<Answer> {
    match line.split_once(' ').unwrap_or((line, "")) {
        ("ok", text) => Some(Ok(text.to_owned())),
        ("error", why) => Some(Err(why.to_owned())),
        _ => None,
    }
}

/// An outcome as it is answered.
pub fn outcome_text(outcome: Option<&Outcome>) -> String {
    outcome.map_or_else(
        || "none".to_owned(),
        |Outcome { verdict, number, version, rollout, reason }| {
            format!("{} {number} {version} {rollout} {reason}", verdict.name())
        },
    )
}

/// Reads it again; the outer `None`: it is no outcome.
pub fn parse_outcome(text: &str) -> Option<Option<Outcome>> {
    if text == "none" {
        return Some(None);
    }
    let mut words = text.splitn(5, ' ');
    let verdict = Verdict::named(words.next()?)?;
    let number = words.next()?.parse().ok()?;
    let (version, rollout) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some(Some(Outcome {
        verdict,
        number,
        version,
        rollout,
        reason: words.next().unwrap_or_default().to_owned(),
    }))
}
