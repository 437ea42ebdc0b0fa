//! Updates: a gateway asks what it is meant to run, and reads files of the repository of releases, piece by piece.
//!
//! They have a stream of their own, opened by the gateway at its first question where the welcome says that the cloud answers such;
//! one question at a time, and the least urgent of all streams. What is told and fetched is believed by nobody: the
//! gateway checks it against signed metadata, so that a cloud can withhold a release and can't forge one.

use crate::bucket::Bucket;
use prost::Message;
use std::time::Duration;

/// The most bytes of one piece.
pub const MOST_PIECE: u32 = 256 << 10;
/// The fewest that a gateway asks for at once, but for the end of a file.
pub const FEWEST_PIECE: u32 = 4 << 10;
/// The longest name of a file, bytes.
const MOST_NAME: usize = 512;
/// The longest text of a question, bytes.
const MOST_TEXT: usize = 2 << 10;
/// The urgency of the stream, at both ends: behind all lanes and live values.
pub const URGENCY: i32 = -65;
/// Questions what to run that a cloud takes over a long time, a second, and at once after silence.
const ASKS_PER_S: f64 = 1.0;
const ASKS_AT_ONCE: f64 = 30.0;

/// Edge: what I run; what should I run?
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UpdateAsk {
    /// The version that runs.
    #[prost(string, tag = "1")]
    pub version: String,
    /// Its release counter; 0: it was not installed as a release.
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// The slot it runs from; empty: none.
    #[prost(string, tag = "3")]
    pub slot: String,
    /// What it runs on, such as `aarch64-unknown-linux-gnu`.
    #[prost(string, tag = "4")]
    pub triple: String,
    /// The board; empty: not known.
    #[prost(string, tag = "5")]
    pub hardware: String,
    /// The version of the system image below; empty: not one of ours.
    #[prost(string, tag = "6")]
    pub system_version: String,
    /// What it is doing about updates, such as `idle` or `trial`.
    #[prost(string, tag = "7")]
    pub state: String,
    /// Nothing with a lower number is installed any more.
    #[prost(uint64, tag = "8")]
    pub floor: u64,
    /// The rollout that was last tried; empty: none.
    #[prost(string, tag = "9")]
    pub last_rollout: String,
    /// What came of it, such as `confirmed` or `rolled_back`.
    #[prost(string, tag = "10")]
    pub last_outcome: String,
    /// Why.
    #[prost(string, tag = "11")]
    pub last_reason: String,
    /// The release counter of the system image; 0: not one of ours.
    #[prost(uint64, tag = "12")]
    pub system_number: u64,
    /// Which attempt of that rollout came to that: an earlier one says nothing about a later.
    #[prost(uint32, tag = "13")]
    pub last_attempt: u32,
}

/// Cloud: what the gateway is meant to run.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UpdateTold {
    /// The rollout; it comes back with its outcome.
    #[prost(string, tag = "1")]
    pub rollout: String,
    /// The version; empty: nothing is wanted.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Its release counter.
    #[prost(uint64, tag = "3")]
    pub number: u64,
    /// The target path of its manifest.
    #[prost(string, tag = "4")]
    pub target: String,
    /// When it may be installed, JSON, judged on the gateway.
    #[prost(bytes = "vec", tag = "5")]
    pub conditions: Vec<u8>,
    /// When the gateway is to ask again, seconds; 0: it may use its own judgement.
    #[prost(uint32, tag = "6")]
    pub ask_again_s: u32,
    /// Why the cloud can't say just now; empty: it can.
    #[prost(string, tag = "7")]
    pub fault: String,
    /// The cloud's time, seconds since the Unix epoch: by it the gateway judges whether metadata has expired; 0: not said.
    #[prost(int64, tag = "8")]
    pub now_s: i64,
    /// Which attempt of this rollout on this gateway it is, 0 the first: what was found bad is tried again in a later one.
    #[prost(uint32, tag = "9")]
    pub attempt: u32,
    /// The way back from a release that is not good: it waits for no window of the house, and may have a lower number than what
    /// runs.
    #[prost(bool, tag = "10")]
    pub back: bool,
}

/// Edge: bytes of a file of the repository.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FetchAsk {
    /// Its name, such as `metadata/timestamp.json`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where they begin.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    /// How many at most; never more than [`MOST_PIECE`].
    #[prost(uint32, tag = "3")]
    pub most: u32,
}

/// Cloud: they.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FetchPiece {
    /// How long the file is.
    #[prost(uint64, tag = "1")]
    pub total: u64,
    /// The bytes; fewer than were asked for where the file ends, or the cloud likes.
    #[prost(bytes = "bytes", tag = "2")]
    pub bytes: bytes::Bytes,
    /// There is no such file.
    #[prost(bool, tag = "3")]
    pub missing: bool,
    /// Why it can't be read just now; empty: it can.
    #[prost(string, tag = "4")]
    pub fault: String,
}

/// What a gateway wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one of a session at a time")]
pub enum Question {
    /// What to run.
    Ask(UpdateAsk),
    /// Bytes.
    Fetch(FetchAsk),
}

/// What a cloud lets in of one session's questions: the cloud's driver answers one before it takes the next.
#[derive(Debug)]
pub(crate) struct QuestionsIn {
    bucket: Bucket,
}

impl QuestionsIn {
    pub(crate) fn new(now: Duration) -> Self {
        Self { bucket: Bucket::new(ASKS_PER_S, ASKS_AT_ONCE, now) }
    }

    /// The question, within bounds; `None`: it can't be.
    pub(crate) fn take(&mut self, now: Duration, question: Question) -> Option<Question> {
        match question {
            Question::Ask(ask) if ask.encoded_len() <= MOST_TEXT && self.bucket.try_one(now).is_ok() => {
                Some(Question::Ask(ask))
            }
            Question::Fetch(FetchAsk { name, offset, most }) if name.len() <= MOST_NAME => {
                Some(Question::Fetch(FetchAsk { name, offset, most: most.min(MOST_PIECE) }))
            }
            Question::Ask(_) | Question::Fetch(_) => None,
        }
    }
}

/// How much is asked for at once: so much that it takes a quarter of a second on the line, whatever that carries. Then an answer
/// that something urgent waits behind (where a line has one order of bytes) holds it up for no longer.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    size: u32,
}

impl Default for Pieces {
    fn default() -> Self {
        Self { size: 16 << 10 }
    }
}

impl Pieces {
    /// What a piece may take on the line.
    const AIM: Duration = Duration::from_millis(250);

    /// How many bytes to ask for, where so many a second are allowed (0: any).
    pub fn size(&self, rate_per_s: u64) -> u32 {
        let quarter = u32::try_from(rate_per_s / 4).unwrap_or(u32::MAX);
        let allowed = if rate_per_s == 0 { MOST_PIECE } else { quarter.max(FEWEST_PIECE) };
        self.size.min(allowed)
    }

    /// An answer of `bytes` has come after `took`, of which `round_trip` is the way there and back.
    pub fn answered(&mut self, bytes: usize, took: Duration, round_trip: Duration) {
        let on_line = took.saturating_sub(round_trip);
        if on_line > Self::AIM * 2 {
            self.size = (self.size / 2).max(FEWEST_PIECE);
        } else if on_line < Self::AIM / 2 && bytes >= self.size as usize {
            self.size = (self.size * 2).min(MOST_PIECE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A line of so many bytes a second, far away.
    fn settle(line_per_s: u64, round_trip: Duration) -> u32 {
        let mut pieces = Pieces::default();
        for _ in 0..40 {
            let size = pieces.size(0);
            let took = round_trip + Duration::from_secs_f64(f64::from(size) / line_per_s as f64);
            pieces.answered(size as usize, took, round_trip);
        }
        pieces.size(0)
    }

    #[test]
    fn pieces_fit_the_line_however_far_it_goes() {
        assert_eq!(settle(10_000_000, ms(5)), MOST_PIECE);
        assert_eq!(
            settle(10_000_000, ms(700)),
            MOST_PIECE,
            "a satellite is slow to answer and quick to deliver"
        );
        assert_eq!(settle(4_000, ms(50)), FEWEST_PIECE);
        let middle = settle(256 << 10, ms(50));
        assert!((32 << 10..=128 << 10).contains(&middle), "{middle}");
    }

    #[test]
    fn what_is_allowed_bounds_the_piece() {
        let mut pieces = Pieces::default();
        (0..20).for_each(|_| pieces.answered(MOST_PIECE as usize, ms(1), ms(1)));
        assert_eq!(pieces.size(0), MOST_PIECE);
        assert_eq!(pieces.size(128 << 10), 32 << 10);
        assert_eq!(pieces.size(1), FEWEST_PIECE);
    }

    #[test]
    fn questions_have_bounds() {
        let mut gate = QuestionsIn::new(ms(0));
        let ask =
            |text: usize| Question::Ask(UpdateAsk { last_reason: "x".repeat(text), ..UpdateAsk::default() });
        assert_eq!(gate.take(ms(0), ask(3_000)), None);
        let passed = (0..100).filter(|_| gate.take(ms(0), ask(10)).is_some()).count();
        assert_eq!(passed, 30);
        assert!(gate.take(ms(2_000), ask(10)).is_some(), "it fills again");
        let fetch = |name: usize, most| Question::Fetch(FetchAsk { name: "n".repeat(name), offset: 0, most });
        assert_eq!(gate.take(ms(0), fetch(513, 1)), None);
        assert_eq!(gate.take(ms(0), fetch(9, u32::MAX)), Some(fetch(9, MOST_PIECE)));
    }
}
