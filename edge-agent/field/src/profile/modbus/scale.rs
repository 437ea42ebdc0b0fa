//! Scales as fractions: 1/50 is exact, 0.02 is not.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;

/// Whole numbers up to here are exact as `f64`.
const EXACT: u128 = 1 << 53;

/// A fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    numerator: i64,
    denominator: i64,
}

impl Default for Fraction {
    fn default() -> Self {
        Self { numerator: 1, denominator: 1 }
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

impl Fraction {
    /// `numerator` / `denominator`, which is above 0.
    pub(crate) const fn new(numerator: i64, denominator: i64) -> Self {
        Self { numerator, denominator }
    }

    /// 0.
    pub(crate) fn zero() -> Self {
        Self { numerator: 0, denominator: 1 }
    }

    /// `raw` times this. Exact for whole results.
    #[allow(clippy::cast_precision_loss, reason = "numerators and denominators are small")]
    pub fn times(self, raw: f64) -> f64 {
        raw * self.numerator as f64 / self.denominator as f64
    }

    /// `value` divided by this.
    #[allow(clippy::cast_precision_loss, reason = "numerators and denominators are small")]
    pub fn divide(self, value: f64) -> f64 {
        value * self.denominator as f64 / self.numerator as f64
    }

    /// True for 1.
    pub(crate) fn is_one(self) -> bool {
        self.numerator == self.denominator
    }

    /// True for 0.
    pub(crate) fn is_zero(self) -> bool {
        self.numerator == 0
    }

    fn parse(text: &str) -> Option<Self> {
        let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
        let parse = |text: &str| text.trim().parse::<i64>().ok().filter(|n| n.unsigned_abs() < 1 << 40);
        let (numerator, denominator) = (parse(numerator)?, parse(denominator)?);
        (denominator > 0).then_some(Self { numerator, denominator })
    }
}

/// `raw x scale + offset`, rounded once: a counter of 64 bits loses no more than the last digits that an `f64` does not
/// have, and 77 x 5/9 - 160/9 is 25.
#[allow(clippy::cast_precision_loss, reason = "whole numbers beyond 2^53 are split first")]
pub(crate) fn linear(scale: Fraction, offset: Fraction, raw: i128) -> f64 {
    let wide = |n: i64| i128::from(n);
    let whole = || {
        let scaled = raw.checked_mul(wide(scale.numerator))?.checked_mul(wide(offset.denominator))?;
        let numerator = scaled.checked_add(wide(offset.numerator).checked_mul(wide(scale.denominator))?)?;
        Some((numerator, wide(scale.denominator) * wide(offset.denominator)))
    };
    match whole() {
        Some((numerator, denominator)) if numerator.unsigned_abs() <= EXACT => {
            numerator as f64 / denominator as f64
        }
        Some((numerator, denominator)) => {
            (numerator / denominator) as f64 + (numerator % denominator) as f64 / denominator as f64
        }
        None => scale.times(raw as f64) + offset.times(1.0),
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is not a fraction such as \"1/50\", \"1/10\" or \"1000\""))
        })
    }
}

impl JsonSchema for Fraction {
    fn schema_name() -> Cow<'static, str> {
        "Fraction".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A whole number or a fraction of two: \"1/50\", \"1000\", \"-160/9\".",
            "pattern": "^\\s*[+-]?[0-9]+\\s*(/\\s*[0-9]+\\s*)?$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(text: &str) -> Fraction {
        Fraction::parse(text).unwrap()
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "exactness is what is tested")]
    fn fractions_are_exact() {
        assert_eq!(fraction("1/50").times(1050.0), 21.0);
        assert_eq!(fraction("1/10").divide(22.5), 225.0);
        for wrong in ["", "0.02", "1/0", "1/-2", "a", "1/2/3", "99999999999999999"] {
            assert_eq!(Fraction::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "exactness is what is tested")]
    fn lines_are_rounded_once() {
        let zero = Fraction::zero();
        assert_eq!(linear(fraction("5/9"), fraction("-160/9"), 77), 25.0);
        assert_eq!(linear(fraction("1/50"), zero, 1063), 21.26);
        assert_eq!(linear(fraction("1/10"), zero, -50), -5.0);
        // 2^64 - 1 thousandths: as near as an f64 comes.
        assert_eq!(linear(fraction("1/1000"), zero, i128::from(u64::MAX)), 18_446_744_073_709_551.615);
        let large = fraction("1000000000000");
        assert_eq!(linear(large, zero, i128::from(u64::MAX)), 1.844_674_407_370_955_2e31);
    }
}
