//! Scales as fractions: 1/50 is exact, 0.02 is not.

use serde::{Deserialize, Deserializer, de};

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

impl Fraction {
    /// 0.
    pub(super) fn zero() -> Self {
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

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is not a fraction such as \"1/50\", \"1/10\" or \"1000\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "exactness is what is tested")]
    fn fractions_are_exact() {
        assert_eq!(Fraction::parse("1/50").unwrap().times(1050.0), 21.0);
        assert_eq!(Fraction::parse("1/10").unwrap().divide(22.5), 225.0);
        for wrong in ["", "0.02", "1/0", "1/-2", "a", "1/2/3", "99999999999999999"] {
            assert_eq!(Fraction::parse(wrong), None, "{wrong}");
        }
    }
}
