//! The languages that there are texts in, and how one is found for a reader.

/// Which way a language is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As English is.
    LeftToRight,
    /// As Arabic is.
    RightToLeft,
}

impl Direction {
    /// The value of HTML's `dir`.
    pub fn html(self) -> &'static str {
        match self {
            Self::LeftToRight => "ltr",
            Self::RightToLeft => "rtl",
        }
    }
}

/// A language with a catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are their tags")]
pub enum Language {
    En,
    Ja,
    De,
    Fr,
    Es,
    Zh,
    Ar,
}

/// The most languages that are read of an `Accept-Language`; browsers send a handful.
const MOST_ACCEPTED: usize = 16;

impl Language {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::En, Self::Ja, Self::De, Self::Fr, Self::Es, Self::Zh, Self::Ar];

    /// The BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ja => "ja",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Es => "es",
            Self::Zh => "zh",
            Self::Ar => "ar",
        }
    }

    /// Where it stands in [`Self::ALL`].
    pub(crate) fn place(self) -> usize {
        Self::ALL.iter().position(|language| *language == self).unwrap_or(0)
    }

    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::En => include_str!("../texts/en.ftl"),
            Self::Ja => include_str!("../texts/ja.ftl"),
            Self::De => include_str!("../texts/de.ftl"),
            Self::Fr => include_str!("../texts/fr.ftl"),
            Self::Es => include_str!("../texts/es.ftl"),
            Self::Zh => include_str!("../texts/zh.ftl"),
            Self::Ar => include_str!("../texts/ar.ftl"),
        }
    }

    /// Which way it is written.
    pub fn direction(self) -> Direction {
        if self == Self::Ar { Direction::RightToLeft } else { Direction::LeftToRight }
    }

    /// The language of a BCP 47 tag: `ar-EG` is served by `ar`, `de_CH` as some systems write it by `de`. `None` where
    /// there are no texts in it.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next()?;
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(primary))
    }
}

/// The tags of an `Accept-Language`, the most wanted first; those with weight 0 are not wanted.
pub(crate) fn accepted(header: &str) -> Vec<String> {
    let mut wanted: Vec<(u16, String)> = header
        .split(',')
        .take(MOST_ACCEPTED)
        .filter_map(|part| {
            let (tag, rest) = part.split_once(';').unwrap_or((part, ""));
            let weight = rest.trim().strip_prefix("q=").map_or(Some(1000), thousandths)?;
            let tag = tag.trim();
            (weight > 0 && !tag.is_empty()).then(|| (weight, tag.to_owned()))
        })
        .collect();
    wanted.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    wanted.into_iter().map(|(_, tag)| tag).collect()
}

/// A weight: `1`, `0.8`, `0.25`, at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    Some((whole * 1000 + decimals).min(1000))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tag_finds_its_language() {
        for (tag, language) in [
            ("ar-EG", Some(Language::Ar)),
            ("ja", Some(Language::Ja)),
            ("zh-Hant-TW", Some(Language::Zh)),
            ("DE_ch", Some(Language::De)),
            ("arn", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(Language::of_tag(tag), language, "{tag}");
        }
    }

    #[test]
    fn the_most_wanted_comes_first() {
        for (header, tags) in [
            ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", vec!["fr-CH", "fr", "en", "de", "*"]),
            ("en;q=0.1,ja", vec!["ja", "en"]),
            ("en;q=0, ja;q=1.000", vec!["ja"]),
            ("de;q=loud, ja;q=2, es;q=0.1234, zh;q=0.5", vec!["zh"]),
            ("", vec![]),
        ] {
            assert_eq!(accepted(header), tags, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_and_tag_is_survived(header in any::<String>()) {
            let _ = accepted(&header);
            let _ = Language::of_tag(&header);
        }
    }
}
