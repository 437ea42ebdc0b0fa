//! Reservation numbers (G#), and what stands for one that is none: pure.
//!
//! A reservation number names its stay in the journal, in the cloud and in every log, so it must not be the guest's name.
//! FIAS has digits for it (2.20, GI: N10); some sites send a letter or three beside them. What has another shape is
//! replaced by a keyed hash, the same for the same text, at the link's edge; a site whose numbers do look otherwise says so.

use ring::hmac;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// The longest number.
const LONGEST: usize = 20;
/// Numbers in another shape whose own text is remembered; past this the oldest is forgotten, and records to the PMS go
/// without it, or are refused where they need it, until its list names it again.
const MOST_KNOWN: usize = 20_000;
/// How a stand-in begins; no number of any [`Shape`] but [`Shape::Any`] does.
const MARK: char = '~';
/// Letters of stand-ins and pseudonyms; no two that look alike.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789_";
/// How long a stand-in is: twelve letters of five bits.
const LENGTH: usize = 12;

/// What a site's reservation numbers look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Digits, also with `-`, `/` or `.` between them, and at most three letters, fewer than there are digits: `4711`,
    /// `4711-2`, `R4711`.
    #[default]
    Numbers,
    /// Letters, digits, `-`, `/` and `.`, and a digit among them: `XPGMSXGF-1`.
    Codes,
    /// Whatever comes: the site vouches that no name is among them.
    Any,
}

impl Shape {
    /// True where `number` looks as it should.
    pub fn fits(self, number: &str) -> bool {
        let count = |of: fn(&u8) -> bool| number.bytes().filter(of).count();
        let (letters, digits) = (count(u8::is_ascii_alphabetic), count(u8::is_ascii_digit));
        let others = count(|b| b"-/.".contains(b));
        let sound = (1..=LONGEST).contains(&number.len()) && letters + digits + others == number.len();
        match self {
            Self::Numbers => sound && letters <= 3 && digits > letters,
            Self::Codes => sound && digits > 0,
            // The mark is a stand-in's alone.
            Self::Any => !number.starts_with(MARK),
        }
    }
}

/// The key of a house's stand-ins: the same over restarts, or every guest would come anew. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StayKey([u8; 32]);

impl StayKey {
    /// The key of these bytes.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    fn stand_in(&self, number: &str) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), number.as_bytes());
        format!("{MARK}{}", letters(tag.as_ref(), LENGTH))
    }
}

impl fmt::Debug for StayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StayKey")
    }
}

/// A letter for each of the first `count` bytes of `digest`.
pub(crate) fn letters(digest: &[u8], count: usize) -> String {
    let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).copied().map_or('_', char::from);
    digest.iter().take(count).map(letter).collect()
}

/// The reservation numbers of one link, renamed where they are none. Its `Debug` shows no number.
#[derive(Clone, Default)]
pub(crate) struct Numbers {
    shape: Shape,
    key: StayKey,
    /// What stands for which text; it may be a name, so it is in memory alone.
    known: BTreeMap<String, String>,
    /// The same, the oldest first.
    order: VecDeque<String>,
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Numbers({:?}, {} stand-ins)", self.shape, self.known.len())
    }
}

impl Numbers {
    pub(crate) fn new(shape: Shape, key: StayKey) -> Self {
        Self { shape, key, ..Self::default() }
    }

    /// True where the house knows the number by another text.
    pub(crate) fn is_odd(&self, number: &str) -> bool {
        !number.is_empty() && !self.shape.fits(number)
    }

    /// The number as the house knows it.
    pub(crate) fn inward(&mut self, number: &str) -> String {
        if !self.is_odd(number) {
            return number.to_owned();
        }
        let stand_in = self.key.stand_in(number);
        if self.known.insert(stand_in.clone(), number.to_owned()).is_none() {
            self.order.push_back(stand_in.clone());
            if self.order.len() > MOST_KNOWN
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        stand_in
    }

    /// The PMS's own text of a number of the house; `None`: it is not known any more.
    pub(crate) fn outward(&self, number: &str) -> Option<String> {
        if number.starts_with(MARK) { self.known.get(number).cloned() } else { Some(number.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_pms_send_them_and_names_that_are_none() {
        for (number, numbers, codes) in [
            ("4711", true, true),
            ("1", true, true),
            ("12345678901234567890", true, true),
            ("123456789012345678901", false, false),
            ("4711-2", true, true),
            ("2026/4711.1", true, true),
            ("R4711", true, true),
            ("4711A", true, true),
            ("RES1234", true, true),
            ("XPGMSXGF-1", false, true),
            ("SATO1", false, true),
            ("Lee1", false, true),
            ("Kim101", false, true),
            ("SATO", false, false),
            ("Sato", false, false),
            ("佐藤4711", false, false),
            ("4711 Sato", false, false),
            ("Sato, Mr.", false, false),
            ("----", false, false),
            ("~4711", false, false),
            ("", false, false),
        ] {
            let fits = (Shape::Numbers.fits(number), Shape::Codes.fits(number));
            assert_eq!(fits, (numbers, codes), "{number}");
        }
        assert!(Shape::Any.fits("Sato") && !Shape::Any.fits("~abc"));
    }

    #[test]
    fn a_name_has_a_stand_in_that_goes_back_to_the_pms_as_it_came() {
        let mut numbers = Numbers::new(Shape::Numbers, StayKey::new([7; 32]));
        assert_eq!(numbers.inward("4711"), "4711");
        let stand_in = numbers.inward("Sato");
        assert!(stand_in.len() == LENGTH + 1 && stand_in.starts_with(MARK) && !stand_in.contains("Sato"));
        assert_eq!(numbers.inward("Sato"), stand_in);
        assert_ne!(numbers.inward("Suzuki"), stand_in);
        assert_eq!(numbers.outward(&stand_in).as_deref(), Some("Sato"));
        assert_eq!(numbers.outward("4711").as_deref(), Some("4711"));
        let mut other = Numbers::new(Shape::Numbers, StayKey::new([8; 32]));
        assert_eq!(other.outward(&stand_in), None, "not told of yet");
        assert_ne!(other.inward("Sato"), stand_in, "the key of another house");
        let mut again = Numbers::new(Shape::Numbers, StayKey::new([7; 32]));
        assert_eq!(again.inward("Sato"), stand_in, "over restarts");
        assert!(
            !format!("{numbers:?}").contains("Sato") && format!("{:?}", StayKey::new([7; 32])) == "StayKey"
        );
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut numbers = Numbers::new(Shape::Numbers, StayKey::default());
        let first = numbers.inward("first");
        for n in 0..MOST_KNOWN {
            numbers.inward(&format!("guest {n}"));
        }
        assert_eq!((numbers.outward(&first), numbers.known.len()), (None, MOST_KNOWN));
        assert_eq!(numbers.order.len(), MOST_KNOWN);
    }
}
