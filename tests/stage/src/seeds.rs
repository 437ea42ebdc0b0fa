//! What is played by chance: numbers of a seed, a slice of seeds in every test run, and the fewest steps of what fails.

use std::fmt::{Debug, Display};
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// A stream of numbers from one seed, the same in every version. It is SplitMix64 (Steele, Lea and Flood, 2014); not for
/// secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait, reason = "it has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `low..high`; `low` where that is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        // The tiny bias of the remainder does not matter to a hotel.
        low + self.next() % high.saturating_sub(low).max(1)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.between(0, bound)
    }

    /// An index below `length`, which is at least 1.
    pub fn index(&mut self, length: usize) -> usize {
        // Below `length`, so it fits.
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `of`, which is not empty.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }
}

/// The fewest steps of `steps` that still fail, and how: ever smaller pieces are left out as long as the rest fails (delta
/// debugging after Zeller and Hildebrandt). `None` where `steps` do not fail.
pub fn shrink<Step: Clone, Fault>(
    steps: &[Step],
    fails: impl Fn(&[Step]) -> Option<Fault>,
) -> Option<(Vec<Step>, Fault)> {
    let mut fault = fails(steps)?;
    let mut least = steps.to_vec();
    let mut piece = least.len().div_ceil(2).max(1);
    loop {
        let (mut from, mut smaller) = (0, false);
        while from < least.len() {
            let to = (from + piece).min(least.len());
            let mut without = least[..from].to_vec();
            without.extend_from_slice(&least[to..]);
            match fails(&without) {
                Some(still) => (least, fault, smaller) = (without, still, true),
                None => from = to,
            }
        }
        if piece == 1 && !smaller {
            return Some((least, fault));
        }
        piece = piece.div_ceil(2).max(1);
    }
}

/// How much is played.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// What is played, in the plural.
    pub what: &'static str,
    /// The environment's variable that says how many; then time is no matter.
    pub count: &'static str,
    /// How many without it.
    pub most: u64,
    /// Fewer than this would be no test, however long they take.
    pub fewest: u64,
    /// How long at most.
    pub time: Duration,
}

/// A number of the environment.
///
/// # Panics
/// It is none.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

impl Slice {
    /// Plays what `make` makes of `SEED` and those after it; gives how many, and what they add up to.
    ///
    /// # Panics
    /// One fails: with its seed, and the fewest of its steps that still do.
    #[allow(clippy::print_stdout, reason = "for whoever reads the test's output")]
    pub fn play<Step: Clone + Debug, Tally: Default + AddAssign + Debug, Fault: Display>(
        &self,
        make: impl Fn(u64) -> Vec<Step>,
        play: impl Fn(&[Step]) -> Result<Tally, Fault>,
    ) -> (u64, Tally) {
        let (wanted, first) = (number(self.count), number("SEED").unwrap_or(1));
        let started = Instant::now();
        let (mut played, mut all) = (0, Tally::default());
        while played < wanted.unwrap_or(self.most) {
            if wanted.is_none() && played >= self.fewest && started.elapsed() > self.time {
                break;
            }
            let seed = first + played;
            let steps = make(seed);
            match play(&steps) {
                Ok(tally) => all += tally,
                Err(fault) => match shrink(&steps, |steps| play(steps).err()) {
                    Some((least, still)) => panic!(
                        "SEED={seed} fails {fault}\nits {} steps come down to {}, which fail {still}:\n{least:#?}",
                        steps.len(),
                        least.len()
                    ),
                    None => panic!("SEED={seed} fails {fault}, and not when it is played again"),
                },
            }
            played += 1;
        }
        let seconds = started.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "shown to people")]
        let rate = played as f64 / seconds;
        println!("{played} {} from seed {first} in {seconds:.1} s: {rate:.0} a second; {all:?}", self.what);
        (played, all)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_reference_numbers() {
        // The first outputs for seed 1234567 of the published reference implementation.
        let mut random = Random::new(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn what_fails_comes_down_to_what_it_needs() {
        let steps: Vec<u32> = (0..100).collect();
        let fails = |steps: &[u32]| (steps.contains(&17) && steps.contains(&71)).then_some("both");
        assert_eq!(shrink(&steps, fails), Some((vec![17, 71], "both")));
        assert_eq!(shrink(&steps[..50], fails), None);
    }

    #[test]
    #[should_panic(expected = "SEED=4 fails a four")]
    fn a_failure_is_told_with_its_seed() {
        let slice =
            Slice { what: "things", count: "NO_SUCH_COUNT", most: 9, fewest: 9, time: Duration::ZERO };
        slice.play(
            |seed| vec![seed],
            |steps| if steps.contains(&4) { Err("a four") } else { Ok(steps.len() as u64) },
        );
    }
}
