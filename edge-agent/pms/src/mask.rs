//! Records without anybody in them: for captures that leave the house.
//!
//! What is known to say nothing of a person stays; everything else, also what nobody has heard of yet, becomes a pseudonym
//! that is the same for the same value of the same field, so that a guest can be followed through a capture. The key is of
//! one capture and is thrown away with it: nobody can try names.

use crate::codec::Record;
use ring::hmac;
use std::fmt;

/// Fields that say nothing of a person: rooms, reservations, dates, codes, amounts, the link's own.
const PLAIN: [&str; 62] = [
    "RN", "RO", "SI", "G#", "GS", "GA", "GD", "GL", "GV", "DA", "TI", "SF", "RS", "AS", "P#", "PT", "TA",
    "SO", "DN", "ML", "CS", "MR", "TV", "VR", "RI", "FL", "V#", "IF", "RT", "MA", "M#", "WS", "KC", "KT",
    "K#", "KO", "DT", "DU", "MP", "MI", "F#", "FD", "BA", "BI", "DC", "PM", "MX", "PP", "PU", "VM", "NP",
    "C#", "CV", "CO", "CL", "LT", "PC", "ST", "SC", "TP", "S1", "T1",
];
/// Letters of a pseudonym; no two that look alike.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789_";
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
            let stays = value.is_empty() || PLAIN.contains(&field) || of_the_link;
            let value = if stays { value.to_owned() } else { self.pseudonym(field, value) };
            masked.with(field, value)
        })
    }

    fn pseudonym(&self, field: &str, value: &str) -> String {
        // Blanks at the end and capitals make no other guest.
        let text = format!("{field}\n{}", value.trim().to_lowercase());
        let tag = hmac::sign(&self.0, text.as_bytes());
        let letters = tag.as_ref().iter().take(LENGTH);
        letters.fold("~".to_owned(), |name, byte| {
            let letter = LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'_');
            name + char::from(letter).encode_utf8(&mut [0; 4])
        })
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
}
