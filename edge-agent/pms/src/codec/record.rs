//! A record: two letters that name it, and an ordered list of fields that may repeat.
//!
//! Why a list: GS comes twice in a move (the one after RN is the new room's, the one after RO the old room's), and
//! whole blocks repeat in other records. A map would lose the second.

use super::frame::enclose;
use super::pan::mask_card_numbers;
use crate::Charset;
use std::fmt;

/// One record. Its `Debug` shows ids only: values may be personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    id: String,
    fields: Vec<(String, String)>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.fields.iter().try_for_each(|(field, _)| write!(f, "|{field}"))
    }
}

/// The first two characters of `text` and the rest.
fn split_id(text: &str) -> Option<(&str, &str)> {
    let end = text.char_indices().nth(2).map_or(text.len(), |(index, _)| index);
    (text.chars().take(2).count() == 2).then(|| text.split_at(end))
}

/// True for the text of a message, whose line breaks are plain data.
pub(super) fn breaks_lines(field: &str) -> bool {
    field == "MT"
}

/// `part` with card numbers masked. Fields are masked one by one, without their two letters: of `S1` the 1 would count
/// as a digit. But a part that begins with two digits is no field, and may be a number that lost its own letters.
pub(super) fn mask_part(part: &str) -> String {
    match split_id(part) {
        Some((id, value)) if !id.starts_with(|c: char| c.is_numeric()) => {
            format!("{id}{}", mask_card_numbers(value))
        }
        _ => mask_card_numbers(part),
    }
}

fn masked_field(part: &str) -> Option<(String, String)> {
    let masked = mask_part(part);
    split_id(&masked).map(|(id, value)| (id.to_owned(), value.to_owned()))
}

impl Record {
    /// A record `id` without fields.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), fields: Vec::new() }
    }

    /// With the field `id` appended.
    #[must_use]
    pub fn with(mut self, id: &str, value: impl Into<String>) -> Self {
        self.fields.push((id.to_owned(), value.into()));
        self
    }

    /// Decodes a frame's body. `None` where it has no record id. A part that is too short to name a field is left out.
    pub fn decode(body: &[u8], charset: Charset) -> Option<Self> {
        let text = charset.decode(body);
        let mut parts = text.split('|');
        let (id, rest) = split_id(parts.next()?.trim_start())?;
        if !rest.trim().is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
            return None;
        }
        let fields = parts.filter_map(masked_field).collect();
        Some(Self { id: id.to_owned(), fields })
    }

    /// The frame to send, in the site's character set. Control characters and `|` in values become blanks: the
    /// protocol has no escape for them. What looks like a card number is masked here, too: texts of other systems go out
    /// through it. The two fields of digits that no card number gets into, and that a mask would spoil, stay as they are.
    pub fn encode(&self, charset: Charset) -> Vec<u8> {
        let mut text = format!("{}|", self.id);
        for (id, value) in &self.fields {
            text.push_str(id);
            let plain = |c: char| match c {
                '\n' | '\r' | '\u{c}' if breaks_lines(id) => c,
                c if c.is_control() || c == '|' => ' ',
                c => c,
            };
            let digits = matches!((&*self.id, &**id), ("KA", "$2") | ("PS", "DD"));
            if digits {
                text.extend(value.chars().map(plain));
            } else {
                text.extend(mask_card_numbers(value).chars().map(plain));
            }
            text.push('|');
        }
        enclose(&charset.encode(&text))
    }

    /// The two letters that name the record.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The first value of `field`; `Some("")` where it is there and empty.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(id, _)| id == field).map(|(_, value)| value.as_str())
    }

    /// The first value of `field` that is not empty.
    pub fn filled(&self, field: &str) -> Option<&str> {
        self.get(field).filter(|value| !value.is_empty())
    }

    /// True if the field is there, with a value or without.
    pub fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    /// The fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(id, value)| (id.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_field_may_come_twice() {
        let record = Record::decode(b"GC|RN102|GSN|G#4712|RO101|GSY|", Charset::Utf8).unwrap();
        let shares: Vec<_> = record.fields().filter(|(id, _)| *id == "GS").map(|(_, value)| value).collect();
        assert_eq!(shares, ["N", "Y"]);
        assert_eq!((record.id(), record.get("RO"), record.get("XX")), ("GC", Some("101"), None));
    }

    #[test]
    fn the_separators_code_inside_a_character_is_no_separator() {
        let bytes = [b"GI|RN101|GN".as_slice(), &[0x83, 0x7C, 0x89, 0x93], b"|GLJA|"].concat();
        let record = Record::decode(&bytes, Charset::Cp932).unwrap();
        assert_eq!((record.get("GN"), record.get("GL")), (Some("ポ遠"), Some("JA")));
    }

    #[test]
    fn text_goes_out_in_the_sites_character_set_and_comes_back() {
        for (charset, name) in [
            (Charset::Utf8, "Köhler"),
            (Charset::Cp850, "Köhler"),
            (Charset::Windows1251, "Иванов"),
            (Charset::Cp932, "ポ遠"),
            (Charset::EucJp, "佐藤"),
            (Charset::Gbk, "億"),
            (Charset::Big5, "四"),
        ] {
            let frame = Record::new("GI").with("RN", "101").with("GN", name).encode(charset);
            let back = Record::decode(&frame[1..frame.len() - 1], charset).unwrap();
            assert_eq!(back.get("GN"), Some(name), "{charset:?}");
        }
    }

    #[test]
    fn what_can_not_be_escaped_becomes_a_blank() {
        let frame = Record::new("PS").with("CT", "a|b\x03c").encode(Charset::Utf8);
        assert_eq!(frame, b"\x02PS|CTa b c|\x03");
    }

    #[test]
    fn line_ends_are_data_in_a_message_alone() {
        let frame = Record::new("XT").with("MT", "a\nb\rc\x0cd\x01e").with("CT", "a\nb\rc\x0cd");
        assert_eq!(frame.encode(Charset::Utf8), b"\x02XT|MTa\nb\rc\x0cd e|CTa b c d|\x03");
    }

    #[test]
    fn the_digit_of_a_fields_name_is_none_of_its_number_and_a_number_without_a_name_is_masked() {
        for (part, want) in [
            // With the 1 of S1 it would pass as a card number.
            ("S1411111111111007", "S1411111111111007"),
            ("X1411111111111007", "X1411111111111007"),
            ("GN1411111111111007", "GN************1007"),
            ("4111111111111111", "************1111"),
        ] {
            assert_eq!(mask_part(part), want);
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let record = Record::decode(b"GI|RN101|GNSecret|", Charset::Utf8).unwrap();
        assert_eq!(format!("{record:?}"), "GI|RN|GN");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for charset in [Charset::Utf8, Charset::Cp932, Charset::Cp850, Charset::Gbk] {
                let _ = Record::decode(&bytes, charset);
            }
        }
    }
}
