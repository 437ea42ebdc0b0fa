//! Money is integer minor units with its ISO 4217 code; never a float.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An ISO 4217 alphabetic code, such as `JPY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code from its three letters; `None` if it is anything else.
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }

    /// The three letters.
    pub fn code(&self) -> &str {
        // Only ASCII capitals get in (see `new`), so this is always valid UTF-8.
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl TryFrom<String> for Currency {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        Self::new(&code).ok_or_else(|| format!("`{code}` is not an ISO 4217 code such as `EUR`"))
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in minor units (`1050` with `EUR` is 10.50 euro).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Minor units; negative is a credit.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// Why a text or a number is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a number as it is written here.
    #[error("expected a number such as `12.50` or `-3`, with a point and without spaces or separators")]
    Malformed,
    /// Decimals that the currency does not have.
    #[error("{currency} has {digits} decimals, the amount has more")]
    TooFine {
        /// The currency.
        currency: Currency,
        /// Its decimals.
        digits: u8,
    },
    /// More than an amount can hold.
    #[error("the amount is larger than any bill")]
    TooLarge,
}

impl Money {
    /// An amount from a decimal text such as `12.50`, as web interfaces write it. Never through a float.
    ///
    /// # Errors
    /// The text is no number, finer than the currency, or too large.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (negative, number) = match text.strip_prefix('-') {
            Some(number) => (true, number),
            None => (false, text),
        };
        let (whole, decimals) = match number.split_once('.') {
            Some((_, "")) => return Err(MoneyError::Malformed),
            Some(parts) => parts,
            None => (number, ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(decimals) {
            return Err(MoneyError::Malformed);
        }
        let most = usize::from(currency.minor_digits());
        // Zeros beyond the currency's decimals say nothing: `12.500` euro.
        let (decimals, beyond) = decimals.split_at(decimals.len().min(most));
        if beyond.bytes().any(|byte| byte != b'0') {
            return Err(MoneyError::TooFine { currency, digits: currency.minor_digits() });
        }
        let text = format!("{}{whole}{decimals:0<most$}", if negative { "-" } else { "" });
        let minor = text.parse().map_err(|_| MoneyError::TooLarge)?;
        Ok(Self { minor, currency })
    }

    /// An amount from a field of the PMS: an integer in the site's number of digits, without a point (FIAS 2.20, type M:
    /// `TA1050`, `BA-300`). `digits`: what the site sends; the currency's own where it says nothing.
    ///
    /// # Errors
    /// The field is no integer, finer than the currency, or too large.
    pub fn from_pms(field: &str, digits: Option<u8>, currency: Currency) -> Result<Self, MoneyError> {
        let number = field.strip_prefix('-').unwrap_or(field);
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(MoneyError::Malformed);
        }
        let sent: i64 = field.parse().map_err(|_| MoneyError::TooLarge)?;
        let (has, comes) = (currency.minor_digits(), digits.unwrap_or(currency.minor_digits()));
        let factor = 10_i64.checked_pow(u32::from(has.abs_diff(comes))).ok_or(MoneyError::TooLarge)?;
        let minor = if comes <= has {
            sent.checked_mul(factor).ok_or(MoneyError::TooLarge)?
        } else if sent % factor == 0 {
            sent / factor
        } else {
            return Err(MoneyError::TooFine { currency, digits: has });
        };
        Ok(Self { minor, currency })
    }

    /// The amount as the PMS wants it, in the site's digits. Fewer digits than the currency has are rounded half away
    /// from zero, which only a site that posts in whole units asks for.
    ///
    /// # Errors
    /// More than a number can hold.
    pub fn for_pms(&self, digits: Option<u8>) -> Result<i64, MoneyError> {
        let (has, wants) = (self.currency.minor_digits(), digits.unwrap_or(self.currency.minor_digits()));
        let factor = 10_i64.checked_pow(u32::from(has.abs_diff(wants))).ok_or(MoneyError::TooLarge)?;
        if wants >= has {
            return self.minor.checked_mul(factor).ok_or(MoneyError::TooLarge);
        }
        let (whole, rest) = (self.minor / factor, self.minor % factor);
        let away = if rest.abs() >= factor / 2 { self.minor.signum() } else { 0 };
        Ok(whole + away)
    }

    /// The amount as a decimal text: `-12.50`, `1500` in a currency without decimals.
    pub fn decimal(&self) -> String {
        let digits = usize::from(self.currency.minor_digits());
        let sign = if self.minor < 0 { "-" } else { "" };
        let minor = format!("{:0>width$}", self.minor.unsigned_abs(), width = digits + 1);
        let (whole, decimals) = minor.split_at(minor.len() - digits);
        if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals}") }
    }
}

impl Currency {
    /// How many digits the minor unit has (ISO 4217, column "minor unit").
    pub fn minor_digits(&self) -> u8 {
        match self.code() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
            | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            "CLF" | "UYW" => 4,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        Currency::new(code).unwrap()
    }

    #[test]
    fn the_digits_are_those_of_iso_4217() {
        use iso_currency::IntoEnumIterator as _;
        let mut seen = std::collections::BTreeSet::new();
        for known in iso_currency::Currency::iter() {
            // Precious metals and funds have no minor unit, and are on no bill.
            let Some(digits) = known.exponent() else { continue };
            assert_eq!(u16::from(currency(known.code()).minor_digits()), digits, "{}", known.code());
            seen.insert(digits);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 2, 3, 4]);
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for (text, code, minor) in [
            ("12.50", "EUR", 1250),
            ("12.5", "EUR", 1250),
            ("12", "EUR", 1200),
            ("12.500", "EUR", 1250),
            ("-0.05", "EUR", -5),
            ("1500", "JPY", 1500),
            ("1500.00", "JPY", 1500),
            ("1.234", "KWD", 1234),
            ("1.2345", "CLF", 12345),
            ("0", "EUR", 0),
        ] {
            assert_eq!(
                Money::from_decimal(text, currency(code)),
                Ok(Money { minor, currency: currency(code) })
            );
        }
        for text in ["", "-", ".5", "5.", "1,50", "1 000", "+1", "1e3", "12.5.0", "--1", "٣"] {
            assert_eq!(Money::from_decimal(text, currency("EUR")), Err(MoneyError::Malformed), "{text}");
        }
        let fine = MoneyError::TooFine { currency: currency("JPY"), digits: 0 };
        assert_eq!(Money::from_decimal("0.5", currency("JPY")), Err(fine));
        assert_eq!(Money::from_decimal("92233720368547758.08", currency("EUR")), Err(MoneyError::TooLarge));
        assert_eq!(Money::from_decimal("-92233720368547758.08", currency("EUR")).unwrap().minor, i64::MIN);
    }

    #[test]
    fn nothing_is_written_without_a_sign() {
        for (minor, code, text) in [
            (0, "EUR", "0.00"),
            (0, "JPY", "0"),
            (-5, "EUR", "-0.05"),
            (5, "KWD", "0.005"),
            (123, "JPY", "123"),
        ] {
            assert_eq!(Money { minor, currency: currency(code) }.decimal(), text);
        }
    }

    #[test]
    fn fields_of_the_pms_come_in_the_sites_digits() {
        for (field, digits, code, minor) in [
            ("1050", None, "EUR", Ok(1050)),
            ("-300", Some(2), "EUR", Ok(-300)),
            // A site that sends two digits whatever the currency.
            ("150000", Some(2), "JPY", Ok(1500)),
            ("150050", Some(2), "JPY", Err(MoneyError::TooFine { currency: currency("JPY"), digits: 0 })),
            ("12", Some(0), "EUR", Ok(1200)),
            ("1234", Some(2), "KWD", Ok(12340)),
            ("", None, "EUR", Err(MoneyError::Malformed)),
            ("10.50", None, "EUR", Err(MoneyError::Malformed)),
            ("9223372036854775807", Some(0), "EUR", Err(MoneyError::TooLarge)),
            ("92233720368547758070", None, "EUR", Err(MoneyError::TooLarge)),
        ] {
            let read = Money::from_pms(field, digits, currency(code)).map(|money| money.minor);
            assert_eq!(read, minor, "{field} {digits:?} {code}");
        }
    }

    #[test]
    fn amounts_go_out_in_the_sites_digits() {
        for (minor, code, digits, sent) in [
            (1050, "EUR", None, Ok(1050)),
            (1500, "JPY", Some(2), Ok(150_000)),
            (1049, "EUR", Some(0), Ok(10)),
            (1050, "EUR", Some(0), Ok(11)),
            (-1050, "EUR", Some(0), Ok(-11)),
            (-1049, "EUR", Some(0), Ok(-10)),
            (i64::MIN, "EUR", Some(0), Ok(-92_233_720_368_547_758)),
            (i64::MAX, "JPY", Some(2), Err(MoneyError::TooLarge)),
            (1, "EUR", Some(200), Err(MoneyError::TooLarge)),
        ] {
            assert_eq!(
                Money { minor, currency: currency(code) }.for_pms(digits),
                sent,
                "{minor} {code} {digits:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(minor: i64, code in prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF"])) {
            let money = Money { minor, currency: currency(code) };
            prop_assert_eq!(Money::from_decimal(&money.decimal(), money.currency), Ok(money));
        }

        #[test]
        fn what_goes_to_the_pms_comes_back(
            minor in -1_000_000_000_000_i64..1_000_000_000_000,
            code in prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF"]),
            more in 0_u8..4,
        ) {
            let money = Money { minor, currency: currency(code) };
            let digits = Some(money.currency.minor_digits() + more);
            let field = money.for_pms(digits).unwrap().to_string();
            prop_assert_eq!(Money::from_pms(&field, digits, money.currency), Ok(money));
        }

        #[test]
        fn fewer_digits_are_off_by_half_a_unit_at_most(minor: i64, wants in 0_u8..2) {
            let money = Money { minor, currency: currency("EUR") };
            let factor = 10_i128.pow(u32::from(2 - wants));
            let sent = i128::from(money.for_pms(Some(wants)).unwrap()) * factor;
            prop_assert!((sent - i128::from(minor)).abs() * 2 <= factor);
        }

        #[test]
        fn any_text_is_survived(text: String, digits: Option<u8>) {
            let _ = Money::from_decimal(&text, currency("EUR"));
            let _ = Money::from_pms(&text, digits, currency("EUR"));
        }
    }
}
