//! What a site says of its PMS link.

use crate::dialect::Dialect;
use crate::link::RoomNumbers;
use crate::reservation::{Shape, StayKey};
use crate::serial::SerialConfig;
use crate::tls::TlsConfig;
use crate::uses::{FreeField, Use};
use encoding_rs::Encoding;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The character set of a site; nothing on the wire names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Charset {
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    Cp850,
    Cp932,
    EucJp,
    Gbk,
    Big5,
    #[serde(rename = "windows-1250")]
    Windows1250,
    #[serde(rename = "windows-1251")]
    Windows1251,
    #[serde(rename = "windows-1252")]
    Windows1252,
    #[serde(rename = "windows-1253")]
    Windows1253,
    #[serde(rename = "windows-1254")]
    Windows1254,
    #[serde(rename = "windows-1255")]
    Windows1255,
    #[serde(rename = "windows-1256")]
    Windows1256,
    #[serde(rename = "windows-1257")]
    Windows1257,
    #[serde(rename = "windows-1258")]
    Windows1258,
}

impl Charset {
    /// The WHATWG encoding; `None` for code page 850, which has none.
    fn encoding(self) -> Option<&'static Encoding> {
        Some(match self {
            Self::Cp850 => return None,
            Self::Utf8 => encoding_rs::UTF_8,
            Self::Cp932 => encoding_rs::SHIFT_JIS,
            Self::EucJp => encoding_rs::EUC_JP,
            Self::Gbk => encoding_rs::GBK,
            Self::Big5 => encoding_rs::BIG5,
            Self::Windows1250 => encoding_rs::WINDOWS_1250,
            Self::Windows1251 => encoding_rs::WINDOWS_1251,
            Self::Windows1252 => encoding_rs::WINDOWS_1252,
            Self::Windows1253 => encoding_rs::WINDOWS_1253,
            Self::Windows1254 => encoding_rs::WINDOWS_1254,
            Self::Windows1255 => encoding_rs::WINDOWS_1255,
            Self::Windows1256 => encoding_rs::WINDOWS_1256,
            Self::Windows1257 => encoding_rs::WINDOWS_1257,
            Self::Windows1258 => encoding_rs::WINDOWS_1258,
        })
    }

    /// Text from bytes; what the character set does not have becomes U+FFFD.
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self.encoding() {
            Some(encoding) => encoding.decode_without_bom_handling(bytes).0,
            None => {
                oem_cp::decode_string_complete_table(bytes, &oem_cp::code_table::DECODING_TABLE_CP850).into()
            }
        }
    }

    /// Bytes from text; what the character set does not have becomes `?`.
    pub fn encode(self, text: &str) -> Vec<u8> {
        let Some(encoding) = self.encoding() else {
            return oem_cp::encode_string_lossy(text, &oem_cp::code_table::ENCODING_TABLE_CP850);
        };
        let mut bytes = Vec::with_capacity(text.len());
        let mut buffer = [0_u8; 8];
        for c in text.chars() {
            // One character at a time: the library's own replacement is an HTML reference, which no PMS expects.
            match encoding.encode(c.encode_utf8(&mut buffer)) {
                (encoded, _, false) => bytes.extend_from_slice(&encoded),
                (_, _, true) => bytes.push(b'?'),
            }
        }
        bytes
    }
}

/// The PMS link's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PmsConfig {
    /// Where the PMS listens: `host:port`. Empty on a serial line.
    #[serde(default)]
    pub address: String,
    /// The site's character set.
    #[serde(default)]
    pub charset: Charset,
    /// The interface family told in LD (field IF): `EM` energy, `MS` miscellaneous, `MB` minibar, ...
    #[serde(default = "interface")]
    pub interface: String,
    /// How many minor digits the PMS wants in amounts; the ledger's own where absent.
    #[serde(default)]
    pub amount_digits: Option<u8>,
    /// How long to wait for the PMS's LS before speaking first, seconds.
    #[serde(default = "three")]
    pub greet_s: u32,
    /// How long the PMS may take to answer the descriptions with LA, seconds.
    #[serde(default = "sixty")]
    pub start_s: u32,
    /// How long to wait for a PA or for the answer to an idle check, seconds.
    #[serde(default = "thirty")]
    pub answer_s: u32,
    /// After this much silence the link is checked with LS, seconds; the specification allows no less than 300.
    #[serde(default = "idle")]
    pub idle_s: u32,
    /// The longest pause between two attempts to connect, seconds.
    #[serde(default = "thirty")]
    pub reconnect_max_s: u32,
    /// The site's codes of room statuses and door signs (field RS), where they differ from the usual ones.
    #[serde(default)]
    pub status_codes: BTreeMap<String, String>,
    /// What the link is used for: the PMS is asked for the records and fields that this needs, and for no more.
    #[serde(default = "Use::usual")]
    pub uses: BTreeSet<Use>,
    /// Free fields (`A0` to `A9`) that the site's PMS fills with something the house knows; no other one is asked for.
    #[serde(default)]
    pub free_fields: BTreeMap<String, FreeField>,
    /// The key encoders (KC) of this house; a key that is wanted at another one is refused at once.
    #[serde(default)]
    pub encoders: BTreeSet<String>,
    /// How long the PMS may take to answer an inquiry (PR), seconds.
    #[serde(default = "sixty")]
    pub inquiry_s: u32,
    /// Which of a house's several PMS this is; goes before its reservation numbers. The house's first, or only, PMS has none.
    #[serde(default)]
    pub name: Option<String>,
    /// The serial line to the PMS, instead of `address`.
    #[serde(default)]
    pub serial: Option<SerialConfig>,
    /// The certificates, where the PMS speaks TLS.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// The file of the AuthKey, where the PMS wants one.
    #[serde(default)]
    pub auth_key_file: Option<PathBuf>,
    /// How this PMS deviates from the specification.
    #[serde(default)]
    pub dialect: Dialect,
    /// The PMS's numbers of the house's rooms, where they differ or the house has several PMS; from the rooms' own settings.
    #[serde(skip)]
    pub rooms: RoomNumbers,
    /// What the site's reservation numbers look like; what looks otherwise is replaced by a keyed hash.
    #[serde(default)]
    pub reservation_numbers: Shape,
    /// The key of these hashes; the gateway's own.
    #[serde(skip)]
    pub stay_key: StayKey,
}

fn interface() -> String {
    "EM".to_owned()
}
const fn three() -> u32 {
    3
}
const fn thirty() -> u32 {
    30
}
const fn sixty() -> u32 {
    60
}
const fn idle() -> u32 {
    300
}

/// The usual codes of RS: the specification's statuses 1 to 6, and the service statuses of its examples.
const STATUS_CODES: [(&str, &str); 9] = [
    ("dirty-vacant", "1"),
    ("dirty-occupied", "2"),
    ("clean-vacant", "3"),
    ("clean-occupied", "4"),
    ("inspected-vacant", "5"),
    ("inspected-occupied", "6"),
    ("do-not-disturb", "8"),
    ("make-up", "9"),
    ("off", "10"),
];

impl PmsConfig {
    /// A link to `address` with the usual settings.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            charset: Charset::default(),
            interface: interface(),
            amount_digits: None,
            greet_s: three(),
            start_s: sixty(),
            answer_s: thirty(),
            idle_s: idle(),
            reconnect_max_s: thirty(),
            status_codes: BTreeMap::new(),
            uses: Use::usual(),
            free_fields: BTreeMap::new(),
            encoders: BTreeSet::new(),
            inquiry_s: sixty(),
            name: None,
            serial: None,
            tls: None,
            auth_key_file: None,
            dialect: Dialect::default(),
            rooms: RoomNumbers::default(),
            reservation_numbers: Shape::default(),
            stay_key: StayKey::default(),
        }
    }

    /// A link on a serial line with the usual settings.
    pub fn serial(serial: SerialConfig) -> Self {
        Self { serial: Some(serial), ..Self::new("") }
    }

    /// Where the PMS is, for people.
    pub fn place(&self) -> String {
        match &self.serial {
            Some(serial) => format!("{} at {} baud", serial.port, serial.baud),
            None if self.tls.is_some() => format!("{}, TLS", self.address),
            None => self.address.clone(),
        }
    }

    /// How many digits an amount has on the wire, for a currency with `has`; `None` for the currency's own.
    pub fn digits_for(&self, has: u8) -> Option<u8> {
        self.amount_digits.or_else(|| self.dialect.amount_digits(has))
    }

    /// The site's code of a status or sign.
    pub fn status_code(&self, status: &str) -> Option<&str> {
        let usual = STATUS_CODES.iter().find(|(name, _)| *name == status).map(|(_, code)| *code);
        self.status_codes.get(status).map(String::as_str).or(usual)
    }

    /// The status or sign of a code of the site.
    pub fn status_word(&self, code: &str) -> Option<&'static str> {
        STATUS_CODES.iter().map(|(name, _)| *name).find(|name| self.status_code(name) == Some(code))
    }

    /// What is wrong with the uses, and with what belongs to them.
    fn validate_uses(&self, faults: &mut Vec<(&'static str, String)>) {
        let on = |wanted: Use| self.uses.contains(&wanted);
        if on(Use::Rights) && on(Use::RightsAtCheckIn) {
            let why = "`rights` and `rights-at-check-in` exclude each other: a PMS is set up for one of them";
            faults.push(("uses", why.to_owned()));
        }
        for wants_guests in
            [Use::RightsAtCheckIn, Use::Groups, Use::NoPost, Use::Messages, Use::Bill, Use::Locator]
        {
            if on(wants_guests) && !on(Use::Guests) {
                faults.push(("uses", format!("`{wants_guests}` needs `guests`, too")));
            }
        }
        if !self.encoders.is_empty() && !on(Use::Keys) {
            faults.push(("encoders", "needs `keys` among `uses`".to_owned()));
        }
        for field in self.free_fields.keys() {
            if !matches!(field.as_bytes(), [b'A', b'0'..=b'9']) {
                faults.push(("free_fields", format!("`{field}` is not one of A0 to A9")));
            }
        }
        if !self.free_fields.is_empty() && !on(Use::Guests) {
            faults.push(("free_fields", "needs `guests` among `uses`".to_owned()));
        }
    }

    /// What is wrong with the settings: field, and what was expected.
    pub fn validate(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let port = self
            .address
            .rsplit_once(':')
            .and_then(|(host, port)| port.parse::<u16>().ok().filter(|port| *port > 0 && !host.is_empty()));
        match &self.serial {
            Some(serial) => {
                faults.extend(serial.validate());
                if !self.address.is_empty() {
                    faults
                        .push(("address", "a link has an `address` or a `serial` line, not both".to_owned()));
                }
                if self.tls.is_some() {
                    faults.push(("tls", "there is no TLS on a serial line".to_owned()));
                }
            }
            None if self.address.is_empty() => faults.push((
                "address",
                "where is the PMS? expected `address = \"host:port\"`, or `serial = { port = \"/dev/...\" }`"
                    .to_owned(),
            )),
            None if port.is_none() => {
                faults.push((
                    "address",
                    format!("`{}` is not host:port, such as `10.0.0.5:5010`", self.address),
                ));
            }
            None => {}
        }
        let is_name = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if self.name.as_ref().is_some_and(|name| !is_name(name)) {
            faults.push(("name", "expected letters, digits, `-` or `_`, such as `villas`".to_owned()));
        }
        if self.interface.len() != 2 || !self.interface.bytes().all(|b| b.is_ascii_uppercase()) {
            faults.push(("interface", "expected two capitals, such as `EM`".to_owned()));
        }
        if self.amount_digits.is_some_and(|digits| digits > 4) {
            faults.push(("amount_digits", "expected 0 to 4".to_owned()));
        }
        if self.idle_s < 300 {
            faults.push(("idle_s", "a FIAS link may be checked at most every 300 seconds".to_owned()));
        }
        for (field, value) in [
            ("greet_s", self.greet_s),
            ("start_s", self.start_s),
            ("answer_s", self.answer_s),
            ("reconnect_max_s", self.reconnect_max_s),
            ("inquiry_s", self.inquiry_s),
        ] {
            if value == 0 {
                faults.push((field, "expected at least 1 second".to_owned()));
            }
        }
        for status in self.status_codes.keys() {
            if !STATUS_CODES.iter().any(|(name, _)| name == status) {
                let known: Vec<_> = STATUS_CODES.iter().map(|(name, _)| *name).collect();
                faults.push(("status_codes", format!("`{status}` is not one of {}", known.join(", "))));
            }
        }
        self.validate_uses(&mut faults);
        faults
    }
}
