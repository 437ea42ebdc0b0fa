//! Live values: what somebody watches, beside the journal and kept nowhere.
//!
//! They have a stream of their own, the last in urgency, with one frame under way: the cloud says when it has taken it, and an
//! alarm waits for no more than that on the line. What comes meanwhile waits at the gateway within a bound, and is dropped
//! and counted past it; so no row of the journal waits for a value that somebody looks at. A tail ends by itself, by a
//! command, or with its connection.

use crate::bucket::Bucket;
use prost::Message;
use std::time::Duration;

/// The number that the stream of live values has beside the lanes', at the edge: the least urgent.
pub const LIVE: u8 = 64;
/// Bytes of bodies in one frame: small beside what an alarm may wait for.
pub const MOST_LIVE_BYTES: usize = 4 << 10;
/// The largest frame that a cloud takes, bytes.
const MOST_FRAME: usize = 16 << 10;
/// How soon one frame may follow another, at the edge: with [`MOST_LIVE_BYTES`] at most 40 KiB a second.
pub const LIVE_EVERY: Duration = Duration::from_millis(100);
/// Frames a second that a cloud takes over a long time, and at once after silence.
const FRAMES_PER_S: f64 = 20.0;
const FRAMES_AT_ONCE: f64 = 40.0;

/// Some values of one tail.
#[derive(Clone, PartialEq, Message)]
pub struct Live {
    /// The key of the command that asked for it.
    #[prost(string, tag = "1")]
    pub tail: String,
    /// The values, in order.
    #[prost(message, repeated, tag = "2")]
    pub rows: Vec<LiveRow>,
    /// Values of this tail that were dropped so far.
    #[prost(uint64, tag = "3")]
    pub dropped: u64,
    /// Why the tail is over, with its last frame.
    #[prost(string, optional, tag = "4")]
    pub ended: Option<String>,
}

/// One value.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LiveRow {
    /// When the gateway had it, microseconds since the Unix epoch, UTC.
    #[prost(sint64, tag = "1")]
    pub at_micros: i64,
    /// JSON, UTF-8.
    #[prost(bytes = "vec", tag = "2")]
    pub body: Vec<u8>,
}

/// What a cloud lets in of one session's live values.
#[derive(Debug)]
pub(crate) struct LiveIn {
    bucket: Bucket,
    dropped: u64,
}

impl LiveIn {
    pub(crate) fn new(now: Duration) -> Self {
        Self { bucket: Bucket::new(FRAMES_PER_S, FRAMES_AT_ONCE, now), dropped: 0 }
    }

    /// The frame, where it goes on; what of it was dropped here is counted in the next one. `Err`: it can't be.
    pub(crate) fn take(&mut self, now: Duration, mut live: Live) -> Result<Option<Live>, TooLarge> {
        if live.encoded_len() > MOST_FRAME {
            return Err(TooLarge(live.encoded_len()));
        }
        // An end always goes on: there is one a tail, and somebody waits for it.
        if live.ended.is_none() && self.bucket.try_one(now).is_err() {
            self.dropped = self.dropped.saturating_add(live.rows.len() as u64);
            return Ok(None);
        }
        live.dropped = live.dropped.saturating_add(self.dropped);
        Ok(Some(live))
    }
}

/// A frame of live values that is larger than any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("live values of {0} bytes in one frame; the most is {MOST_FRAME}")]
pub struct TooLarge(usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn live(rows: usize, ended: Option<&str>) -> Live {
        let rows = vec![LiveRow { at_micros: 1, body: b"{}".to_vec() }; rows];
        Live { tail: "t".into(), rows, dropped: 2, ended: ended.map(str::to_owned) }
    }

    #[test]
    fn a_gateway_that_floods_is_cut_and_what_is_dropped_is_said() {
        let mut gate = LiveIn::new(Duration::ZERO);
        let passed = (0..100).filter(|_| gate.take(Duration::ZERO, live(3, None)).unwrap().is_some()).count();
        assert_eq!(passed, 40);
        let last = gate.take(Duration::ZERO, live(0, Some("over"))).unwrap().unwrap();
        assert_eq!(last.dropped, 2 + 60 * 3, "its own and what the gate has dropped");
        let later = gate.take(Duration::from_secs(1), live(1, None)).unwrap();
        assert!(later.is_some(), "it fills again");
    }

    #[test]
    fn a_frame_beyond_the_bound_can_t_be() {
        let mut gate = LiveIn::new(Duration::ZERO);
        assert!(gate.take(Duration::ZERO, live(5_000, None)).is_err());
    }
}
