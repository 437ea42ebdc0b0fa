//! Blind indexes: a look-up asks for the keyed digest of what it looks for (HMAC-SHA256, cut to 64 bits), so that the
//! index says nothing without its key. A hit may be another value's: it is compared once its record is open.
//!
//! Names are there by every length of prefix up to [`PREFIXES`], so that a question opens few records that do not answer
//! it; telephone numbers by their last [`FEWEST_DIGITS`] digits; a longer question looks for the longest that there is.
//! Bound: [`MOST_TOKENS`] a guest.

use caseless::Caseless;
use ring::hmac;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use unicode_normalization::UnicodeNormalization;

/// The lengths of the prefixes of a name that are in the index, characters.
const PREFIXES: RangeInclusive<usize> = 1..=12;
/// Words of one name that are found by their own beginning.
const MOST_WORDS: usize = 5;
/// Tokens of one guest; what does not fit is not found by that prefix.
const MOST_TOKENS: usize = 96;
/// The fewest digits of a telephone number that identify one.
pub(crate) const FEWEST_DIGITS: usize = 7;
/// The most digits of a telephone number (ITU-T E.164).
const MOST_DIGITS: usize = 15;

/// What a guest can be found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// A room number, as the PMS writes it: who is or was in it.
    Room(String),
    /// A reservation number, in full.
    Reservation(String),
    /// The beginning of a name, of a first name, or of one word of a name.
    Name(String),
    /// A telephone number, in full or its last seven digits or more.
    Phone(String),
}

/// A question that can't be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Nothing to look for.
    #[error(
        "there is nothing to look for: name a room, a reservation, the beginning of a name, or a telephone number"
    )]
    Empty,
    /// Too few digits.
    #[error("a telephone number is looked for by its last {FEWEST_DIGITS} digits or more, and this has {0}")]
    FewDigits(usize),
}

impl Query {
    /// How the audit trail names the question. The name or number that was looked for stays out: it is personal.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Room(_) => "room",
            Self::Reservation(_) => "reservation",
            Self::Name(_) => "name",
            Self::Phone(_) => "phone",
        }
    }

    /// The question in its normal form.
    pub(crate) fn normal(&self) -> Result<String, QueryError> {
        let text = match self {
            Self::Room(text) | Self::Reservation(text) => text.clone(),
            Self::Name(text) => fold(text),
            Self::Phone(text) => {
                let digits = digits(text);
                if digits.len() < FEWEST_DIGITS {
                    return Err(QueryError::FewDigits(digits.len()));
                }
                digits
            }
        };
        if text.is_empty() { Err(QueryError::Empty) } else { Ok(text) }
    }

    /// The token to look for; `normal` is the question's normal form.
    pub(crate) fn token(&self, key: &hmac::Key, normal: &str) -> i64 {
        match self {
            Self::Name(_) => token(key, "name", prefixes(normal).last().as_deref().unwrap_or_default()),
            Self::Phone(_) => token(key, "phone", last_digits(normal)),
            Self::Room(_) => token(key, "room", normal),
            Self::Reservation(_) => token(key, "reservation", normal),
        }
    }
}

/// What of a guest is in the index.
#[derive(Debug, Default)]
pub(crate) struct Entry<'a> {
    pub(crate) stay: &'a str,
    pub(crate) rooms: &'a [String],
    pub(crate) name: Option<&'a str>,
    pub(crate) first_name: Option<&'a str>,
    pub(crate) phone: Option<&'a str>,
}

impl Entry<'_> {
    /// Every token of the guest.
    pub(crate) fn tokens(&self, key: &hmac::Key) -> BTreeSet<i64> {
        let mut tokens = BTreeSet::from([token(key, "reservation", self.stay)]);
        tokens.extend(self.rooms.iter().map(|room| token(key, "room", room)));
        if let Some(phone) = self.phone.map(digits).filter(|digits| digits.len() >= FEWEST_DIGITS) {
            tokens.insert(token(key, "phone", last_digits(&phone)));
        }
        let prefixes: BTreeSet<String> = self.spoken().iter().flat_map(|name| prefixes(name)).collect();
        let room = MOST_TOKENS.saturating_sub(tokens.len());
        tokens.extend(prefixes.iter().take(room).map(|prefix| token(key, "name", prefix)));
        tokens
    }

    /// True where the guest is one that `query` (in its normal form) looks for.
    pub(crate) fn answers(&self, query: &Query, normal: &str) -> bool {
        match query {
            Query::Room(_) => self.rooms.iter().any(|room| room == normal),
            Query::Reservation(_) => self.stay == normal,
            Query::Name(_) => self.spoken().iter().any(|name| name.starts_with(normal)),
            Query::Phone(_) => self.phone.is_some_and(|phone| digits(phone).ends_with(normal)),
        }
    }

    /// Every text by whose beginning the guest is found.
    fn spoken(&self) -> BTreeSet<String> {
        let name = self.name.map(fold).unwrap_or_default();
        let first = self.first_name.map(fold).unwrap_or_default();
        let mut all = BTreeSet::new();
        for part in [&name, &first] {
            all.extend(part.split(' ').take(MOST_WORDS).map(str::to_owned));
        }
        all.insert(format!("{name} {first}").trim().to_owned());
        all.insert(format!("{first} {name}").trim().to_owned());
        all.insert(name);
        all.insert(first);
        all.remove("");
        all
    }
}

/// The normal form of a name: NFKC, case folded, single blanks.
fn fold(text: &str) -> String {
    let folded: String = text.nfkc().default_case_fold().nfkc().collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The digits of a telephone number without what precedes it within its country or from abroad (`+`, `00`, `0`); its last
/// seven are kept whatever they are.
fn digits(text: &str) -> String {
    let all: String = text.nfkc().filter(char::is_ascii_digit).take(MOST_DIGITS + 3).collect();
    let zeros = all.bytes().take_while(|digit| *digit == b'0').count();
    let from = zeros.min(all.len().saturating_sub(FEWEST_DIGITS)).max(all.len().saturating_sub(MOST_DIGITS));
    all[from..].to_owned()
}

/// The last digits, by which a number is in the index.
fn last_digits(digits: &str) -> &str {
    // ASCII digits only: every place is a boundary.
    &digits[digits.len().saturating_sub(FEWEST_DIGITS)..]
}

/// The prefixes of `name` that are in the index, the longest last.
fn prefixes(name: &str) -> impl Iterator<Item = String> {
    let length = name.chars().count();
    PREFIXES.filter(move |prefix| *prefix <= length).map(|prefix| name.chars().take(prefix).collect())
}

fn token(key: &hmac::Key, kind: &str, value: &str) -> i64 {
    let mut context = hmac::Context::with_key(key);
    for part in [kind, "\0", value] {
        context.update(part.as_bytes());
    }
    let tag = context.sign();
    // SHA-256 has 32 bytes.
    i64::from_be_bytes(tag.as_ref().first_chunk().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(entry: &Entry<'_>, query: &Query) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let Ok(normal) = query.normal() else { return false };
        let hit = entry.tokens(&key).contains(&query.token(&key, &normal));
        let answers = entry.answers(query, &normal);
        assert!(hit || !answers, "{query:?} answers, and the index does not know it");
        hit && answers
    }

    #[test]
    fn names_are_found_by_their_beginnings() {
        let entry = |name, first_name| Entry { stay: "1", name, first_name, ..Entry::default() };
        for (name, first, text, want) in [
            ("Köhler", "Jörg", "köh", true),
            ("Köhler", "Jörg", "KO\u{308}HLER", true),
            ("Köhler", "Jörg", "Jörg kö", true),
            ("Köhler", "Jörg", "Köhler, ", false),
            ("Straße", "", "STRASSE", true),
            ("佐藤", "花子", "佐", true),
            ("ﾎﾟｰﾙ", "", "ポー", true),
            ("ＳＡＴＯ", "Ken", " sato  ken ", true),
            ("Wolfeschlegelsteinhausenbergerdorff", "Hubert", "wolfeschlegelstein", true),
            ("Wolfeschlegelsteinhausenbergerdorff", "Hubert", "wolfeschlegelstern", false),
            ("de la Tour, Jr.", "Luc", "tour", true),
            ("Brown ", "Ann", "rown", false),
            ("Brown ", "Ann", "", false),
        ] {
            let query = Query::Name(text.to_owned());
            assert_eq!(found(&entry(Some(name), Some(first)), &query), want, "{text} for {name}");
        }
        assert!(!found(&entry(None, None), &Query::Name("a".to_owned())));
    }

    #[test]
    fn telephone_numbers_are_found_however_they_are_written() {
        for (stored, asked, want) in [
            ("+49 30 1234567", "030/123 45 67", true),
            ("+49 30 1234567", "0049301234567", true),
            ("+49 30 1234567", "1234567", true),
            ("+49 30 0034567", "0034567", true),
            ("+49 30 0034567", "00 0034567", true),
            ("+49 30 1234567", "234567", false),
            ("+49 30 1234567", "1234568", false),
            ("０３-１２３４-５６７８", "03 1234 5678", true),
            ("12345", "12345", false),
        ] {
            let entry = Entry { stay: "1", phone: Some(stored), ..Entry::default() };
            assert_eq!(found(&entry, &Query::Phone(asked.to_owned())), want, "{asked} for {stored}");
        }
        assert_eq!(Query::Phone("0123 4".into()).normal(), Err(QueryError::FewDigits(5)));
    }

    #[test]
    fn rooms_and_reservations_are_found_as_they_are_written_only() {
        let rooms = ["0101".to_owned(), "7".to_owned()];
        let entry = Entry { stay: "4711", rooms: &rooms, ..Entry::default() };
        for (query, want) in [
            (Query::Room("0101".into()), true),
            (Query::Room("101".into()), false),
            (Query::Room("7".into()), true),
            (Query::Reservation("4711".into()), true),
            (Query::Reservation("471".into()), false),
            (Query::Room("4711".into()), false),
        ] {
            assert_eq!(found(&entry, &query), want, "{query:?}");
        }
    }

    #[test]
    fn a_guest_has_a_bounded_number_of_tokens() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let long = (0..200).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
        let entry = Entry { stay: "1", name: Some(&long), first_name: Some(&long), ..Entry::default() };
        assert!(entry.tokens(&key).len() <= MOST_TOKENS);
    }
}
