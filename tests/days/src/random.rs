//! A small random number generator whose numbers never change: the same seed plays the same day, in every version.
//!
//! It is SplitMix64 (Steele, Lea and Flood, 2014). Not for secrets.

/// A stream of numbers from one seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `low..high`; `low` where that is empty.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        // The tiny bias of the remainder does not matter to a hotel.
        low + self.next() % high.saturating_sub(low).max(1)
    }

    /// An index below `length`, which is at least 1.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        // Below `length`, so it fits.
        usize::try_from(self.between(0, length.max(1) as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_numbers() {
        // The first outputs for seed 1234567 of the published reference implementation.
        let mut random = Random::new(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
