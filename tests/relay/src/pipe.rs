//! One direction of the line: when a datagram arrives, if it does. The clock is an argument.

use crate::Weather;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much longer a datagram takes that is overtaken, beside the jitter.
const OVERTAKEN: Duration = Duration::from_millis(15);
/// The shortest retransmission time-out of TCP (RFC 6298 says a second, kernels take less).
pub(crate) const RETRANSMISSION: Duration = Duration::from_millis(200);

/// When a kernel first sends a SYN again that was not answered; then after twice as long, and so on.
pub(crate) const SYN_AGAIN: Duration = Duration::from_secs(1);
/// What TCP sends again it sends at least so often (Linux: TCP_RTO_MAX).
const LONGEST_RETRANSMISSION: Duration = Duration::from_secs(120);

/// When bytes that were first sent `sent`, into a cut line, get through where the line is whole from `now` on: with the
/// sender's next try. `first` is the pause before the first of those; each is twice as long as the one before.
pub(crate) fn next_try(sent: Instant, first: Duration, now: Instant) -> Instant {
    let (mut at, mut pause) = (sent, first);
    while at < now {
        at += pause;
        pause = (pause * 2).min(LONGEST_RETRANSMISSION);
    }
    at
}

/// One direction.
pub(crate) struct Pipe(Mutex<State>);

struct State {
    random: StdRng,
    /// When the narrow way is free again.
    free: Option<Instant>,
    /// When the last datagram that kept its order arrives.
    last: Option<Instant>,
}

impl Pipe {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(State { random: StdRng::seed_from_u64(seed), free: None, last: None }))
    }

    /// When a datagram of `bytes` that is sent `now` arrives: never, once, or twice.
    pub(crate) fn datagram(&self, weather: &Weather, bytes: usize, now: Instant) -> Vec<Instant> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Always the same draws, so that the seed decides about the n-th datagram whatever the weather was before.
        let (lost, overtaken, twice) =
            (state.random.random::<f64>(), state.random.random::<f64>(), state.random.random::<f64>());
        let shake = weather.jitter.mul_f64(state.random.random::<f64>());
        if weather.cut || lost < weather.loss {
            return Vec::new();
        }
        let Some(through) = state.narrow(weather, bytes, now, false) else { return Vec::new() };
        let at = through + weather.delay + shake;
        let at = if overtaken < weather.reorder {
            at + OVERTAKEN + weather.jitter
        } else {
            let at = state.last.map_or(at, |last| last.max(at));
            state.last = Some(at);
            at
        };
        if twice < weather.duplicate { vec![at, at + OVERTAKEN] } else { vec![at] }
    }

    /// When `bytes` of a TCP connection arrive of which the ones before arrive at `before`.
    pub(crate) fn bytes(
        &self,
        weather: &Weather,
        bytes: usize,
        now: Instant,
        before: Option<Instant>,
    ) -> Instant {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = state.random.random::<f64>() < weather.loss;
        let shake = weather.jitter.mul_f64(state.random.random::<f64>());
        let through = state.narrow(weather, bytes, now, true).unwrap_or(now);
        let again = if lost { RETRANSMISSION.max(weather.delay * 2) } else { Duration::ZERO };
        let at = through + weather.delay + shake + again;
        before.map_or(at, |before| before.max(at))
    }

    /// How long a TCP connection waits before it may put more into the queue.
    pub(crate) fn backlog(&self, weather: &Weather, now: Instant) -> Option<Duration> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = state.free?.checked_duration_since(now)?;
        waits.checked_sub(time_of(weather.bits_per_second?, weather.queue_bytes))
    }
}

impl State {
    /// When `bytes` are through the narrow way; `None` where its queue is full and `waits` is not set.
    fn narrow(&mut self, weather: &Weather, bytes: usize, now: Instant, waits: bool) -> Option<Instant> {
        let Some(rate) = weather.bits_per_second else { return Some(now) };
        let begin = self.free.map_or(now, |free| free.max(now));
        if !waits && begin.duration_since(now) > time_of(rate, weather.queue_bytes) {
            return None;
        }
        let through = begin + time_of(rate, bytes as u64);
        self.free = Some(through);
        Some(through)
    }
}

fn time_of(bits_per_second: u64, bytes: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(8_000_000_000) / bits_per_second.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(weather: &Weather, count: usize) -> Vec<Vec<Duration>> {
        let (pipe, began) = (Pipe::new(weather.seed), Instant::now());
        let arrive = |_| {
            let at = pipe.datagram(weather, 1_250, began);
            at.into_iter().map(|at| at.duration_since(began)).collect()
        };
        (0..count).map(arrive).collect()
    }

    #[test]
    fn a_mended_line_waits_for_the_next_try() {
        let sent = Instant::now();
        let after = |seconds: u64| {
            let now = sent + Duration::from_secs(seconds);
            next_try(sent, SYN_AGAIN, now).duration_since(sent).as_secs()
        };
        assert_eq!([0, 1, 2, 4, 10, 16].map(after), [0, 1, 3, 7, 15, 31]);
        // An hour: the tries are two minutes apart by then.
        assert!(after(3_600) - 3_600 < 120);
    }

    #[test]
    fn the_seed_decides_what_is_lost() {
        let weather = Weather { loss: 0.4, ..Weather::default() };
        assert_eq!(sent(&weather, 1_000), sent(&weather, 1_000));
        let lost = sent(&weather, 1_000).iter().filter(|at| at.is_empty()).count();
        assert!((350..450).contains(&lost), "{lost}");
        assert_ne!(sent(&weather, 1_000), sent(&Weather { seed: 2, ..weather }, 1_000));
    }

    #[test]
    fn a_narrow_way_takes_its_time_and_a_full_queue_loses() {
        // 1250 bytes are 1 ms at 10 Mbit/s; 10 ms of queue.
        let weather =
            Weather { bits_per_second: Some(10_000_000), queue_bytes: 12_500, ..Weather::default() };
        let arrivals = sent(&weather, 40);
        assert_eq!(arrivals[0], [Duration::from_millis(1)]);
        assert_eq!(arrivals[9], [Duration::from_millis(10)]);
        assert_eq!(arrivals.iter().filter(|at| at.is_empty()).count(), 29);
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let shaken = Weather { jitter: Duration::from_millis(50), ..Weather::default() };
        let flat: Vec<Duration> = sent(&shaken, 200).concat();
        assert!(flat.is_sorted() && flat.len() == 200);
        let wild = Weather { reorder: 0.2, duplicate: 0.1, ..shaken };
        let flat: Vec<Duration> = sent(&wild, 200).concat();
        assert!(!flat.is_sorted() && flat.len() > 205);
    }
}
