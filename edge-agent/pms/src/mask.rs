//! Records without anybody in them: for captures that leave the house.
//!
//! What is known to say nothing of a person, and looks as it should, stays; everything else, also what nobody has heard of
//! yet and a word where a number belongs, becomes a pseudonym
//! that is the same for the same value of the same field, so that a guest can be followed through a capture. The key is of
//! one capture and is thrown away with it: nobody can try names.

use crate::codec::Record;
use crate::codec::dictionary::{RECORDS, RecordKind, pairs};
use crate::language;
use crate::reservation::{self, letters};
use ring::hmac;
use std::fmt;

/// What a plain field may hold; anything else in it is masked, since somebody has put something there that does not belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Digits, at most twelve, with a sign.
    Number,
    /// YYMMDD.
    Date,
    /// HHMM or HHMMSS, also with colons.
    Time,
    /// One letter or digit.
    Flag,
    /// At most four capitals and digits.
    Code,
    /// At most ten letters, digits, blanks, `-` and `.`, with a digit among them and three letters at most: a room without
    /// a digit looks like a name, and where a `|` was lost the next field's two letters and a name stand behind the number.
    Room,
    /// Rooms with `;` between them.
    Rooms,
    /// As [`reservation::Shape::Numbers`] has it.
    Reservation,
    /// A language.
    Language,
    /// Known ids of records or fields, two characters each.
    Pairs,
    /// A version of a program.
    Version,
}

/// Fields that say nothing of a person while they hold what they are for: rooms, reservations, dates, codes, amounts, the
/// link's own. Free texts, such as a VIP code, are none of them.
const PLAIN: [(Shape, &str); 11] = [
    (Shape::Room, "RNRO"),
    (Shape::Rooms, "SI"),
    (Shape::Reservation, "G#"),
    (Shape::Date, "GAGDDA"),
    (Shape::Time, "TIDULTDT"),
    (Shape::Flag, "GSDNMLNPFDPTKT"),
    (Shape::Number, "P#TABABICLMPM#MAC#CVCOPCSTSCTPS1T1PPPUMXK#MIRTRS"),
    (Shape::Language, "GL"),
    (Shape::Code, "ASSOCSMRTVVRVMIFWSKCKOF#DCPMSF"),
    (Shape::Pairs, "RIFL"),
    (Shape::Version, "V#"),
];

impl Shape {
    fn of(field: &str) -> Option<Self> {
        PLAIN.iter().find(|(_, fields)| pairs(fields).any(|plain| plain == field)).map(|(shape, _)| *shape)
    }

    fn fits(self, value: &str) -> bool {
        let length = |least: usize, most: usize| (least..=most).contains(&value.len());
        let all = |fits: fn(u8) -> bool| value.bytes().all(fits);
        let digit = || value.bytes().any(|b| b.is_ascii_digit());
        match self {
            Self::Number => {
                let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
                (1..=12).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
            }
            Self::Date => value.len() == 6 && all(|b| b.is_ascii_digit()),
            Self::Time => length(4, 8) && all(|b| b.is_ascii_digit() || b == b':'),
            Self::Flag => value.len() == 1 && all(|b| b.is_ascii_alphanumeric()),
            Self::Code => length(1, 4) && all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()),
            Self::Room => {
                length(1, 10)
                    && digit()
                    && all(|b| b.is_ascii_alphanumeric() || b" -.".contains(&b))
                    && value.bytes().filter(u8::is_ascii_alphabetic).count() <= 3
            }
            Self::Rooms => value.split(';').all(|room| Self::Room.fits(room)),
            Self::Reservation => reservation::Shape::Numbers.fits(value),
            Self::Language => language::of_fias(value).is_some(),
            Self::Pairs => {
                value.len().is_multiple_of(2)
                    && value.is_ascii()
                    && pairs(value).all(|id| RecordKind::of(id).is_some() || is_field(id))
            }
            Self::Version => {
                length(1, 40) && digit() && all(|b| b.is_ascii_alphanumeric() || b".-_;,".contains(&b))
            }
        }
    }
}

/// True for a field of any record.
fn is_field(id: &str) -> bool {
    RECORDS.iter().any(|kind| kind.may_have(id))
}

/// How long a pseudonym is: six letters tell a thousand million values apart.
const LENGTH: usize = 6;

/// Masks the records of one capture.
pub struct Masker(hmac::Key);

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masker")
    }
}

impl Masker {
    /// A masker with a key of its own.
    pub fn new(key: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// The record with pseudonyms for whatever may be personal.
    pub fn mask(&self, record: &Record) -> Record {
        // LC's A fields are versions; everywhere else they are the site's own, and birth dates among them.
        let of_the_link = record.id() == "LC";
        record.fields().fold(Record::new(record.id()), |masked, (field, value)| {
            let shape = Shape::of(field).or(of_the_link.then_some(Shape::Version));
            let stays = value.is_empty() || shape.is_some_and(|shape| shape.fits(value));
            let value = if stays { value.to_owned() } else { self.pseudonym(field, value) };
            // Where a `|` was lost, or one too many came, the two letters may be the beginning of a name.
            let names_a_field =
                field.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"#$+".contains(&b));
            masked.with(if names_a_field { field } else { "??" }, value)
        })
    }

    fn pseudonym(&self, field: &str, value: &str) -> String {
        // Blanks at the end and capitals make no other guest.
        let text = format!("{field}\n{}", value.trim().to_lowercase());
        let tag = hmac::sign(&self.0, text.as_bytes());
        format!("~{}", letters(tag.as_ref(), LENGTH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Charset;

    fn masked(masker: &Masker, text: &str) -> String {
        let record = masker.mask(&Record::decode(text.as_bytes(), Charset::Utf8).unwrap());
        record.fields().fold(format!("{}|", record.id()), |text, (id, value)| format!("{text}{id}{value}|"))
    }

    #[test]
    fn the_key_is_never_shown() {
        assert_eq!(format!("{:?}", Masker::new([7; 32])), "Masker");
    }

    #[test]
    fn nobody_is_left_and_everybody_can_be_followed() {
        let masker = Masker::new([1; 32]);
        let personal = "GI|RN101|G#4711|GNSato|GFHanako|GTMs|GLJA|A01980-02-29|A9090-1234|ZZx|GSN|";
        let text = masked(&masker, personal);
        for secret in ["Sato", "Hanako", "Ms", "1980", "1234"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.starts_with("GI|RN101|G#4711|GN~") && text.ends_with("|GSN|"), "{text}");
        let name = |text: &str| text.split("GN").nth(1).unwrap()[..7].to_owned();
        assert_eq!(name(&text), name(&masked(&masker, "GC|RN102|G#4711|GNSATO |")));
        assert_ne!(name(&text), name(&masked(&masker, "GC|RN102|G#4712|GNSuzuki|")));
        assert_ne!(name(&text), name(&masked(&Masker::new([2; 32]), personal)), "of one capture alone");
    }

    #[test]
    fn texts_numbers_and_proofs_are_masked_and_versions_are_not() {
        let masker = Masker::new([1; 32]);
        for (text, secret) in [
            ("XL|RN1|G#2|MI3|MTcall your mother|", "mother"),
            ("PS|RN1|PTT|DD0911234567|CTx|P#1|", "0911234567"),
            ("LD|IFEM|V#1|CGFidCryptAB;abc|", "FidCrypt"),
            ("PR|PISato|P#1|WS1|PMROOM|", "Sato"),
            ("KR|KC1|$2secret|RN1|", "secret"),
        ] {
            assert!(!masked(&masker, text).contains(secret), "{text}");
        }
        assert_eq!(masked(&masker, "LC|A28.10.2.20|RP116|"), "LC|A28.10.2.20|RP116|");
    }

    #[test]
    fn a_plain_field_keeps_only_what_it_is_for() {
        let masker = Masker::new([1; 32]);
        let plain = "GI|RN2 B|RO0103|SI101;V12|G#4711A|GA260715|GD260718|TI10:15|GSN|NPY|RS3|CS2|MRMU|TVTX|GLJA|PTC|TA-1050|\
                     P#7|SOBAR|WSFO1|KC1|KO0110|FLRNG#GN$J|V#2.20.1|DT1200|PMROOM|MI12345|ASOK|";
        assert_eq!(masked(&masker, plain), plain);
        for odd in [
            "RNSato",
            "RNSuite Sato 1234",
            // The `|` behind the room was lost.
            "RN101 WWNAME",
            "RN101GNSATO",
            "RN101 GNLi",
            "RO101 GNLee",
            "SI101;102 GNLi",
            "G#4711GNSATO",
            "G#4711 WWNAME",
            "G#SATO1",
            "GLSATO",
            "GLTanaka",
            "GA260715GNSATO",
            "TI101500 SATO",
            "P#17 SATO",
            "RS3GNSATO",
            "FLSATO",
            "RISATO",
            "RO101|SI101;Sato",
            "G#SATO",
            "G#4711 Sato",
            "GAtomorrow",
            "TInoon",
            "GSSato",
            "NPYes",
            "RSSato",
            "GLSato",
            "GVSATO",
            "PTSato",
            "TA10,50 Sato",
            "P#7a",
            "SOSato",
            "SOROOM SERVICE",
            "WSSATO-PC",
            "KCSato",
            "FLSato",
            "V#Sato",
            "MISato",
            "ASSato",
            "CODr Sato",
            "DT12 Sato",
            "VMSato",
            "PMSATO1",
            "LTSato",
            "DCSato",
            "GA260715x",
            "C#Sato",
            "F#Sato",
            "TA1234567890123",
        ] {
            let text = masked(&masker, &format!("GI|{odd}|"));
            let (field, value) = odd.rsplit('|').next().unwrap().split_at(2);
            assert!(text.contains(&format!("|{field}~")) && !text.contains(value), "{odd}: {text}");
        }
        for text in ["GI|RN101|Sato|GSN|", "GI|RN101|Sa|", "GI|RN101|佐藤花子|", "GI|RN101|sATO|"] {
            let masked = masked(&masker, text);
            assert!(!masked.contains("Sa") && !masked.contains('佐') && !masked.contains("ATO"), "{masked}");
        }
        assert_eq!(
            masked(&masker, "LC|A3Oracle Sato|PHH1|").matches('~').count(),
            1,
            "also of the link itself"
        );
    }
}
