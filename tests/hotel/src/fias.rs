//! FIAS records as bytes: the PMS's own reading of the specification (HGBU IFC8 FIAS 2.20).
//!
//! On TCP a record is STX (0x02), body, ETX (0x03); the body is a two-letter record id and fields of a two-letter id
//! and a value, each ended by `|`. The protocol has no escape and does not name its character set.

use encoding_rs::Encoding;

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
/// The longest body that is taken; the specification's longest record has 2,000 characters.
const LONGEST: usize = 8_192;

/// The character set that the site has agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Charset {
    /// UTF-8.
    #[value(name = "utf-8")]
    #[serde(rename = "utf-8")]
    Utf8,
    /// Western Europe.
    #[value(name = "windows-1252")]
    #[serde(rename = "windows-1252")]
    Windows1252,
    /// Japan: the byte of `|` occurs inside characters.
    Cp932,
}

impl Charset {
    fn encoding(self) -> &'static Encoding {
        match self {
            Self::Utf8 => encoding_rs::UTF_8,
            Self::Windows1252 => encoding_rs::WINDOWS_1252,
            Self::Cp932 => encoding_rs::SHIFT_JIS,
        }
    }

    /// Bytes of `text`; what the character set does not have becomes `?`.
    fn encode(self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len());
        for c in text.chars() {
            // One by one: the library would put HTML references in the place of what is missing.
            match self.encoding().encode(c.encode_utf8(&mut [0; 4])) {
                (encoded, _, false) => bytes.extend_from_slice(&encoded),
                (_, _, true) => bytes.push(b'?'),
            }
        }
        bytes
    }
}

/// One record: an id and fields in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Record {
    /// A record without fields.
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), fields: Vec::new() }
    }

    /// With the field appended.
    pub(crate) fn with(mut self, id: &str, value: impl Into<String>) -> Self {
        self.fields.push((id.to_owned(), value.into()));
        self
    }

    /// The first value of a field.
    pub(crate) fn get(&self, id: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == id).map(|(_, value)| value.as_str())
    }

    /// The frame. What the protocol can't carry in a value becomes a blank.
    pub(crate) fn frame(&self, charset: Charset) -> Vec<u8> {
        let mut text = format!("{}|", self.id);
        for (id, value) in &self.fields {
            text.push_str(id);
            text.extend(value.chars().map(|c| if c == '|' || c.is_control() { ' ' } else { c }));
            text.push('|');
        }
        let body = charset.encode(&text);
        [&[STX], body.as_slice(), &[ETX]].concat()
    }

    /// Reads a body. `None` where it is no record.
    fn read(body: &[u8], charset: Charset) -> Option<Self> {
        let text = charset.encoding().decode_without_bom_handling(body).0;
        let mut parts = text.split('|');
        let id = parts.next()?;
        if id.len() != 2 || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
            return None;
        }
        // A part that is too short to name a field, or whose id is no ASCII, is none.
        let field = |part: &str| Some((part.get(..2)?.to_owned(), part.get(2..)?.to_owned()));
        Some(Self { id: id.to_owned(), fields: parts.filter_map(field).collect() })
    }
}

/// Cuts a stream into records. What is between frames, too long or no record is dropped.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The body so far, bounded by [`LONGEST`]; `None` outside a frame.
    body: Option<Vec<u8>>,
}

impl Reader {
    /// The records that `bytes` complete.
    pub(crate) fn push(&mut self, bytes: &[u8], charset: Charset) -> Vec<Record> {
        let mut records = Vec::new();
        for byte in bytes {
            match (*byte, &mut self.body) {
                (STX, _) => self.body = Some(Vec::new()),
                (ETX, body) => records.extend(body.take().and_then(|body| Record::read(&body, charset))),
                (_, Some(body)) if body.len() >= LONGEST => self.body = None,
                (byte, Some(body)) => body.push(byte),
                (_, None) => {}
            }
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_come_out_of_a_stream_in_pieces() {
        let stream = b"noise\x02LS|DA260715|TI101500|\x03\r\n\x02PS|RN101|CTa b|\x03\x02XXX|\x03\x02LA|\x03";
        let mut reader = Reader::default();
        let records: Vec<Record> =
            stream.chunks(3).flat_map(|piece| reader.push(piece, Charset::Utf8)).collect();
        let ids: Vec<&str> = records.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(ids, ["LS", "PS", "LA"]);
        assert_eq!(records[1].get("CT"), Some("a b"));
    }

    #[test]
    fn a_name_with_the_separators_byte_in_it() {
        let record = Record::new("GI").with("GN", "ポール").with("GL", "JA");
        let frame = record.frame(Charset::Cp932);
        assert!(frame.contains(&0x7C));
        assert_eq!(Reader::default().push(&frame, Charset::Cp932), [record]);
        assert_eq!(Record::new("GI").with("GN", "佐|x").frame(Charset::Windows1252), b"\x02GI|GN? x|\x03");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for charset in [Charset::Utf8, Charset::Windows1252, Charset::Cp932] {
                let _ = Reader::default().push(&[b"\x02".as_slice(), &bytes, b"\x03"].concat(), charset);
            }
        }
    }
}
