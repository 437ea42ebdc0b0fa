//! Days as they are written where a language is spoken.

use crate::Language;

/// A day in figures. English has two orders for the same figures, so its readers get the one that can't be mistaken.
pub fn day(language: Language, year: i16, month: i8, day: i8) -> String {
    match language {
        Language::En => format!("{year:04}-{month:02}-{day:02}"),
        Language::De => format!("{day}.{month}.{year}"),
        Language::Fr | Language::Es | Language::Ar => format!("{day:02}/{month:02}/{year}"),
        Language::Ja | Language::Zh => format!("{year}年{month}月{day}日"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_people_write_them() {
        for (language, written) in [
            (Language::En, "2026-10-05"),
            (Language::De, "5.10.2026"),
            (Language::Fr, "05/10/2026"),
            (Language::Ja, "2026年10月5日"),
        ] {
            assert_eq!(day(language, 2026, 10, 5), written);
        }
    }
}
