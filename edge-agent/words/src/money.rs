//! Amounts as the readers of a language write them.

use crate::Language;

/// How a language writes numbers: what stands between thousands, what before decimals, where the currency goes.
struct Form {
    group: &'static str,
    point: char,
    code_first: bool,
}

fn form(language: Language) -> Form {
    // CLDR 46, number patterns; the no-break spaces are CLDR's own.
    let (group, point, code_first) = match language {
        Language::En | Language::Ja | Language::Zh => (",", '.', true),
        Language::De | Language::Es => (".", ',', false),
        Language::Fr => ("\u{202f}", ',', false),
        // Digits as the PMS and the bill have them; the currency stands before them in the line, to the right.
        Language::Ar => (",", '.', true),
    };
    Form { group, point, code_first }
}

/// `decimal`, such as `-1234.50`, with its currency's code, as `language` writes it: `EUR 1,234.50`, `1.234,50 EUR`.
/// The code and not a sign: staff must tell `$` from `$`.
pub fn amount(language: Language, decimal: &str, code: &str) -> String {
    let Form { group, point, code_first } = form(language);
    let (sign, number) = match decimal.strip_prefix('-') {
        // A sign that is never taken for a hyphen between two lines.
        Some(number) => ("\u{2212}", number),
        None => ("", decimal),
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let mut text = String::from(sign);
    // Spanish groups from five digits on.
    let least = if language == Language::Es { 5 } else { 4 };
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) && whole.len() >= least {
            text.push_str(group);
        }
        text.push(digit);
    }
    if !decimals.is_empty() {
        text.push(point);
        text.push_str(decimals);
    }
    let text = if code_first { format!("{code}\u{a0}{text}") } else { format!("{text}\u{a0}{code}") };
    if language == Language::Ar {
        // A number keeps its order among letters that run the other way (UAX #9).
        format!("\u{2068}{text}\u{2069}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_as_they_are_written() {
        for (language, decimal, code, written) in [
            (Language::En, "1234567.50", "EUR", "EUR\u{a0}1,234,567.50"),
            (Language::De, "1234.50", "EUR", "1.234,50\u{a0}EUR"),
            (Language::Fr, "1234.50", "CHF", "1\u{202f}234,50\u{a0}CHF"),
            (Language::Es, "1234.50", "EUR", "1234,50\u{a0}EUR"),
            (Language::Es, "12345.50", "EUR", "12.345,50\u{a0}EUR"),
            (Language::Ja, "-1500", "JPY", "JPY\u{a0}\u{2212}1,500"),
            (Language::Zh, "999", "CNY", "CNY\u{a0}999"),
            (Language::Ar, "12.345", "KWD", "\u{2068}KWD\u{a0}12.345\u{2069}"),
            (Language::En, "0.05", "EUR", "EUR\u{a0}0.05"),
        ] {
            assert_eq!(amount(language, decimal, code), written);
        }
    }

    proptest! {
        #[test]
        fn no_digit_is_lost(whole in 0_u64.., decimals in "[0-9]{0,4}", negative: bool) {
            let number = if decimals.is_empty() { whole.to_string() } else { format!("{whole}.{decimals}") };
            let decimal = if negative { format!("-{number}") } else { number };
            for language in Language::ALL {
                let written = amount(language, &decimal, "EUR");
                let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
                prop_assert_eq!(digits(&written), digits(&decimal));
                prop_assert_eq!(written.contains('\u{2212}'), negative);
            }
        }
    }
}
