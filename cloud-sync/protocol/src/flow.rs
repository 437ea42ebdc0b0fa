//! How much of the bulky lanes may be under way: one bandwidth-delay product, measured.
//!
//! What is under way beyond that product only stands in a queue somewhere on the line, and an alarm would stand behind
//! it. The product is the highest rate at which bytes were lately acknowledged times the shortest time that an
//! acknowledgement lately took (after BBR: Cardwell et al., "BBR: Congestion-Based Congestion Control", 2016). It is
//! found by doubling until the rate grows no more, and tried again from time to time with a quarter more. A time that is
//! old is measured anew with next to nothing under way, since our own bytes in a queue would lengthen it.

use std::collections::VecDeque;
use std::time::Duration;

/// Bounds of the window, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowBounds {
    /// Where it begins.
    pub start: u64,
    /// Never less: a frame must be able to go.
    pub min: u64,
    /// Never more.
    pub max: u64,
}

impl Default for FlowBounds {
    fn default() -> Self {
        Self { start: 64 << 10, min: 16 << 10, max: 1 << 20 }
    }
}

/// How long the shortest time of an acknowledgement is believed.
const DELAY_KEPT: Duration = Duration::from_secs(10);
/// How many rounds the highest rate is believed.
const RATE_ROUNDS: usize = 10;
/// Rounds without a quarter more after which the line's rate is found.
const FLAT_ROUNDS: u8 = 3;
/// Every so many rounds a quarter more is tried.
const PROBE_EVERY: u64 = 8;

/// What was known when a batch went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    sent: Duration,
    delivered: u64,
    delivered_at: Duration,
}

/// The window.
#[derive(Debug)]
pub(crate) struct Window {
    bounds: FlowBounds,
    size: u64,
    /// Bytes acknowledged, ever, and when the last of them were.
    delivered: u64,
    delivered_at: Duration,
    /// The shortest time of an acknowledgement, and when it was seen.
    delay: Option<(Duration, Duration)>,
    /// Since when it is measured anew.
    measuring: Option<Duration>,
    /// The highest rate of each of the last rounds, bytes a second.
    rates: VecDeque<f64>,
    /// A round ends when what was sent after its beginning is acknowledged.
    round_ends: u64,
    rounds: u64,
    /// The rate that the beginning has reached, and for how many rounds it has not grown.
    reached: f64,
    flat: u8,
}

impl Window {
    pub(crate) fn new(bounds: FlowBounds) -> Self {
        let size = bounds.start.clamp(bounds.min, bounds.max);
        Self {
            bounds,
            size,
            delivered: 0,
            delivered_at: Duration::ZERO,
            delay: None,
            measuring: None,
            rates: VecDeque::from([0.0]),
            round_ends: 0,
            rounds: 0,
            reached: 0.0,
            flat: 0,
        }
    }

    /// What may be under way, bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// A batch goes out; `idle` where nothing else is under way.
    pub(crate) fn stamp(&mut self, now: Duration, idle: bool) -> Stamp {
        if idle {
            self.delivered_at = now;
        }
        Stamp { sent: now, delivered: self.delivered, delivered_at: self.delivered_at }
    }

    /// A batch of `bytes` was acknowledged. `full`: the window was full meanwhile; only then a rate that does not grow
    /// says something of the line.
    pub(crate) fn acknowledged(&mut self, now: Duration, stamp: Stamp, bytes: u64, full: bool) {
        self.delivered += bytes;
        self.delivered_at = now;
        let delay = now.saturating_sub(stamp.sent).max(Duration::from_micros(1));
        match (self.delay, self.measuring) {
            (Some((least, seen)), None) if delay > least => {
                self.measuring = (now.saturating_sub(seen) > DELAY_KEPT).then_some(now);
            }
            // What was sent before still stood behind the rest.
            (Some((least, _)), Some(since)) if delay > least && stamp.sent < since => {}
            _ => (self.delay, self.measuring) = (Some((delay, now)), None),
        }
        let took = now.saturating_sub(stamp.delivered_at).max(Duration::from_micros(1));
        #[allow(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
        let rate = (self.delivered - stamp.delivered) as f64 / took.as_secs_f64();
        if let Some(round) = self.rates.back_mut() {
            *round = round.max(rate);
        }
        if stamp.delivered >= self.round_ends {
            self.round_ends = self.delivered;
            self.end_round(full);
        }
        self.resize();
    }

    fn end_round(&mut self, full: bool) {
        self.rounds += 1;
        if full && self.flat < FLAT_ROUNDS {
            if self.rate() >= self.reached * 1.25 {
                (self.reached, self.flat) = (self.rate(), 0);
            } else {
                self.flat += 1;
            }
        }
        self.rates.push_back(0.0);
        if self.rates.len() > RATE_ROUNDS {
            self.rates.pop_front();
        }
    }

    fn rate(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    fn resize(&mut self) {
        let Some((delay, _)) = self.delay else { return };
        if self.measuring.is_some() {
            self.size = self.bounds.min;
            return;
        }
        let gain = if self.flat < FLAT_ROUNDS {
            2.0
        } else if self.rounds.is_multiple_of(PROBE_EVERY) {
            1.25
        } else {
            1.0
        };
        let product = self.rate() * delay.as_secs_f64() * gain;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped just below")]
        let size = product as u64;
        self.size = size.clamp(self.bounds.min, self.bounds.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of `rate` bytes a second and `delay` there and back, always full, for `seconds`. What the window is at
    /// the end, and the longest time that a batch stood in the line's queue in the second half.
    fn play(rate: f64, delay: Duration, seconds: u64) -> (u64, Duration) {
        const BATCH: u64 = 8 << 10;
        let mut window = Window::new(FlowBounds::default());
        let mut flying: VecDeque<(Duration, Stamp)> = VecDeque::new();
        let (mut now, mut free, mut worst) = (Duration::from_secs(1), Duration::ZERO, Duration::ZERO);
        let end = now + Duration::from_secs(seconds);
        while now < end {
            while flying.len() as u64 * BATCH < window.size() {
                let stamp = window.stamp(now, flying.is_empty());
                if now > end / 2 {
                    worst = worst.max(free.saturating_sub(now));
                }
                #[allow(clippy::cast_precision_loss)]
                let takes = Duration::from_secs_f64(BATCH as f64 / rate);
                free = free.max(now) + takes;
                flying.push_back((free + delay, stamp));
            }
            let (at, stamp) = flying.pop_front().unwrap();
            now = at;
            window.acknowledged(now, stamp, BATCH, true);
        }
        (window.size(), worst)
    }

    #[test]
    fn the_window_finds_the_product_of_rate_and_delay() {
        // 10 Mbit/s and 40 ms: 50,000 bytes, and the batch that is on its way.
        let (size, worst) = play(1_250_000.0, Duration::from_millis(40), 20);
        assert!((40_000..90_000).contains(&size), "{size}");
        assert!(worst < Duration::from_millis(40), "an alarm stood {worst:?} in the queue");
        // 100 Mbit/s and 40 ms: half a megabyte.
        let (size, _) = play(12_500_000.0, Duration::from_millis(40), 20);
        assert!((400_000..700_000).contains(&size), "{size}");
    }

    #[test]
    fn the_window_keeps_its_bounds() {
        let bounds = FlowBounds::default();
        let (size, _) = play(10_000.0, Duration::from_millis(1), 120);
        assert!((bounds.min..=bounds.min * 5 / 4).contains(&size), "a slow line: {size}");
        assert_eq!(play(1e9, Duration::from_millis(300), 20).0, bounds.max, "a fast and long one");
        assert_eq!(Window::new(FlowBounds { start: 1, ..bounds }).size(), bounds.min);
        assert_eq!(Window::new(FlowBounds { start: u64::MAX, ..bounds }).size(), bounds.max);
        assert_eq!(Window::new(bounds).size(), 64 << 10);
    }

    #[test]
    fn little_traffic_says_nothing_of_the_line() {
        let mut window = Window::new(FlowBounds::default());
        for second in 1..60 {
            let now = Duration::from_secs(second);
            let stamp = window.stamp(now, true);
            window.acknowledged(now + Duration::from_millis(40), stamp, 500, false);
        }
        assert!(window.flat < FLAT_ROUNDS, "still at its beginning");
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// A window whose shortest time is 40 ms, seen at 1.04 s.
    fn seen() -> Window {
        let mut window = Window::new(FlowBounds::default());
        let stamp = window.stamp(MS(1_000), true);
        window.acknowledged(MS(1_040), stamp, 1_000, false);
        assert_eq!(window.delay, Some((MS(40), MS(1_040))));
        window
    }

    /// What was sent `delay` before `now` is acknowledged then.
    fn took(window: &mut Window, now: u64, delay: u64) {
        let stamp = window.stamp(MS(now - delay), false);
        window.acknowledged(MS(now), stamp, 1_000, false);
    }

    #[test]
    fn a_shortest_time_that_is_old_is_measured_anew_with_little_under_way() {
        let mut window = seen();
        took(&mut window, 11_040, 50);
        assert_eq!(window.measuring, None, "just ten seconds old");
        took(&mut window, 11_041, 50);
        assert_eq!((window.measuring, window.size()), (Some(MS(11_041)), FlowBounds::default().min));
        assert_eq!(window.delay, Some((MS(40), MS(1_040))), "what stood behind the rest says nothing");
        took(&mut window, 11_050, 45);
        assert_eq!(window.delay, Some((MS(40), MS(1_040))), "sent before it began");
        assert!(window.measuring.is_some());
        // Sent in the moment when it began: that counts, though it is longer.
        took(&mut window, 11_101, 60);
        assert_eq!((window.delay, window.measuring), (Some((MS(60), MS(11_101))), None));
    }

    #[test]
    fn a_time_that_is_as_short_or_shorter_is_the_shortest_whenever_it_comes() {
        for delay in [40, 30] {
            let mut window = seen();
            took(&mut window, 20_000, delay);
            assert_eq!((window.delay, window.measuring), (Some((MS(delay), MS(20_000))), None));
            let mut window = seen();
            took(&mut window, 11_041, 50);
            assert!(window.measuring.is_some());
            took(&mut window, 11_045, delay);
            assert_eq!((window.delay, window.measuring), (Some((MS(delay), MS(11_045))), None));
        }
    }

    #[test]
    fn a_beginning_ends_after_three_rounds_without_a_quarter_more_for_good() {
        let round = |flat, reached, rate, full| {
            let mut window = Window::new(FlowBounds::default());
            (window.flat, window.reached, window.rates) = (flat, reached, VecDeque::from([rate]));
            window.end_round(full);
            (window.flat, window.reached)
        };
        assert_eq!(round(1, 100.0, 125.0, true), (0, 125.0), "just a quarter more");
        assert_eq!(round(1, 100.0, 124.0, true), (2, 100.0));
        assert_eq!(round(2, 100.0, 90.0, true), (3, 100.0));
        assert_eq!(round(3, 100.0, 900.0, true), (3, 100.0), "it is over");
        assert_eq!(round(1, 100.0, 90.0, false), (1, 100.0), "the line was not full");
        let mut window = Window::new(FlowBounds::default());
        (0..30).for_each(|_| window.end_round(false));
        assert_eq!(window.rates.len(), RATE_ROUNDS);
    }
}
