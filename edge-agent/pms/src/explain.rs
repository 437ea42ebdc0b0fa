//! A record in plain words, and what is wrong with it and where: for whoever looks at a link that does not do as it should.
//!
//! It is stricter than the link, which bears what can be borne: what is said here to be wrong may still have been taken.

mod words;

use words::{FIELDS, FieldWords, Kind, RECORDS, Sender};

/// Who has sent a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The PMS.
    FromPms,
    /// The gateway, or another client of the PMS.
    ToPms,
}

/// One field in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its two letters.
    pub id: String,
    /// What it is; empty where nobody knows.
    pub name: &'static str,
    /// Its value as it came.
    pub value: String,
    /// What the value says, where that is not plain.
    pub means: Option<String>,
}

/// Something wrong, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The character, counted from 1.
    pub at: usize,
    /// What, and what was expected.
    pub what: String,
}

/// A record in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What it says.
    pub says: String,
    /// Its fields in their order.
    pub fields: Vec<Field>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// What the text between STX and ETX says.
pub fn explain(text: &str, direction: Option<Direction>) -> Explanation {
    let mut reading = Reading { faults: Vec::new(), fields: Vec::new() };
    let says = reading.read(text, direction);
    reading.faults.sort_by_key(|fault| fault.at);
    Explanation { says, fields: reading.fields, faults: reading.faults }
}

struct Reading {
    faults: Vec<Fault>,
    fields: Vec<Field>,
}

fn known_field(id: &str) -> Option<&'static FieldWords> {
    FIELDS.iter().find(|field| field.id == id)
}

/// Names of fields that come in tens: A0 to A9, D1 to D9, ...
fn of_a_series(id: &str) -> Option<&'static str> {
    let [letter, b'0'..=b'9'] = id.as_bytes() else { return None };
    Some(match letter {
        b'A' => "free text of the PMS (may be personal)",
        b'D' => "discount",
        b'S' => "subtotal",
        b'T' => "tax",
        b'$' => "key data",
        _ => return None,
    })
}

impl Reading {
    fn fault(&mut self, at: usize, what: impl Into<String>) {
        self.faults.push(Fault { at, what: what.into() });
    }

    fn read(&mut self, text: &str, direction: Option<Direction>) -> String {
        if text.trim().is_empty() {
            self.fault(1, "nothing stands between STX and ETX");
            return "nothing".to_owned();
        }
        let length = text.chars().count();
        if let Some((n, c)) =
            text.chars().enumerate().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\u{c}'))
        {
            self.fault(
                n + 1,
                format!("the control character {:#04x}; a record has none but line ends", u32::from(c)),
            );
        }
        if !text.ends_with('|') {
            self.fault(length, "no `|` at the end: every record ends with one, so this may be cut");
        }
        let mut parts = text.split('|');
        let id = parts.next().unwrap_or_default();
        let mut at = 1 + id.chars().count() + 1;
        let words = RECORDS.iter().find(|record| record.id == id);
        let parts: Vec<&str> = parts.collect();
        let last = parts.len().saturating_sub(1);
        for (n, part) in parts.into_iter().enumerate() {
            // What stands behind the last bar is nothing, and no field.
            if !(n == last && part.is_empty()) {
                self.field(id, part, at);
            }
            at += part.chars().count() + 1;
        }
        let Some(words) = words else {
            return self.no_record(id);
        };
        let wrong_way = match (words.sender, direction) {
            (Sender::Pms, Some(Direction::ToPms)) => Some("the PMS"),
            (Sender::Gateway, Some(Direction::FromPms)) => Some("the gateway"),
            _ => None,
        };
        if let Some(sender) = wrong_way {
            self.fault(1, format!("only {sender} sends {id}"));
        }
        for needed in words.needs {
            match self.value(needed) {
                None => self.fault(length, format!("{} ({needed}) is missing", name_of(needed))),
                Some("") => {
                    let name = name_of(needed);
                    self.fault(length, format!("{name} ({needed}) is there and empty"));
                }
                Some(_) => {}
            }
        }
        self.repeated(id, text);
        self.sentence(words.id, words.title)
    }

    fn no_record(&mut self, id: &str) -> String {
        let upper = id.to_ascii_uppercase();
        let near = RECORDS.iter().find(|record| record.id == upper).map(|record| record.id);
        let glued = id.get(..2).filter(|begin| RECORDS.iter().any(|record| record.id == *begin));
        match (id.chars().count(), near, glued) {
            (2, Some(near), _) => {
                self.fault(1, format!("`{id}` is no record; did it mean `{near}`? Ids are capitals"))
            }
            (2, None, _) => {
                self.fault(1, format!("FIAS 2.20 has no record `{id}`; it is counted and left alone"))
            }
            (_, _, Some(begin)) => {
                self.fault(
                    3,
                    format!(
                        "a `|` is missing behind `{begin}`; the record's id stands alone before the first `|`"
                    ),
                );
            }
            _ => self
                .fault(1, format!("no record's id: expected two capitals before the first `|`, not `{id}`")),
        }
        "no record".to_owned()
    }

    fn field(&mut self, record: &str, part: &str, at: usize) {
        let end = part.char_indices().nth(2).map_or(part.len(), |(index, _)| index);
        let (id, value) = part.split_at(end);
        match part.chars().count() {
            0 => return self.fault(at, "nothing between two `|`"),
            1 => {
                return self
                    .fault(at, format!("`{part}` is too short to name a field: ids have two characters"));
            }
            _ => {}
        }
        let words = known_field(id);
        let name = words.map(|words| words.name).or_else(|| of_a_series(id)).unwrap_or_default();
        if name.is_empty() {
            let hint = match id.trim_start() {
                short if short.len() < 2 => "; a blank stands before it",
                _ => "",
            };
            self.fault(at, format!("FIAS 2.20 has no field `{id}`; it is left alone{hint}"));
        }
        let means = words.and_then(|words| self.value_in_words(record, words, value, at + 2));
        self.fields.push(Field { id: id.to_owned(), name, value: value.to_owned(), means });
    }

    /// What the value says beyond itself; its faults.
    fn value_in_words(&mut self, record: &str, words: &FieldWords, value: &str, at: usize) -> Option<String> {
        if value.is_empty() {
            return (words.id != "SF").then(|| "not known".to_owned());
        }
        let id = words.id;
        match words.kind {
            Kind::Text => None,
            Kind::Date => match date(value) {
                Some(date) => Some(date),
                None => {
                    let joined = value.split_once("TI").is_some();
                    let hint = if joined { "; a `|` is missing before TI" } else { "" };
                    self.fault(at, format!("{id} is `{value}`; expected a date as YYMMDD{hint}"));
                    None
                }
            },
            Kind::Time => match time(value) {
                Some(time) => Some(time),
                None => {
                    let digits = value.chars().count();
                    self.fault(
                        at,
                        format!("{id} is `{value}`, {digits} characters; expected a time as HHMMSS"),
                    );
                    None
                }
            },
            Kind::YesNo => match value {
                "Y" => Some("yes".to_owned()),
                "N" => Some("no".to_owned()),
                _ => {
                    self.fault(at, format!("{id} is `{value}`; expected Y or N"));
                    None
                }
            },
            Kind::Number | Kind::Amount => {
                let digits = value.strip_prefix('-').unwrap_or(value);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    let separator =
                        if matches!(words.kind, Kind::Amount) { " without a separator" } else { "" };
                    self.fault(at, format!("{id} is `{value}`; expected digits{separator}"));
                } else if id == "P#" && digits.len() > 8 {
                    self.fault(at, format!("{id} is `{value}`; expected at most 8 digits"));
                }
                None
            }
            Kind::Code(table) => {
                let found =
                    table.iter().find(|(code, _)| *code == value).map(|(_, means)| (*means).to_owned());
                // What the site has made up itself is no fault; an answer is of a closed list.
                if found.is_none() && matches!(id, "AS" | "PT") && record != "LR" {
                    self.fault(at, format!("{id} is `{value}`, which FIAS 2.20 does not have"));
                }
                found
            }
        }
    }

    /// Fields that stand twice where only one counts.
    fn repeated(&mut self, record: &str, text: &str) {
        let mut seen: Vec<&str> = Vec::new();
        // Behind the record's two letters and their bar.
        let mut at = 4;
        for part in text.split('|').skip(1) {
            let id = part.char_indices().nth(2).map_or("", |(end, _)| part.split_at(end).0);
            let may = matches!((record, id), ("GC", "GS") | ("PL", _) | ("PS", "MA" | "M#" | "X1"))
                || id.is_empty();
            if !may {
                if seen.contains(&id) {
                    self.fault(at, format!("{id} stands there twice; the first one counts"));
                }
                seen.push(id);
            }
            at += part.chars().count() + 1;
        }
    }

    fn value(&self, id: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.id == id).map(|field| field.value.as_str())
    }

    fn filled(&self, id: &str) -> Option<&str> {
        self.value(id).filter(|value| !value.is_empty())
    }

    fn means(&self, id: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.id == id).and_then(|field| field.means.as_deref())
    }

    fn sentence(&self, id: &str, title: &'static str) -> String {
        let room =
            self.filled("RN").map_or_else(|| "an unnamed room".to_owned(), |room| format!("room {room}"));
        let who =
            self.filled("G#").map_or_else(|| "the guest".to_owned(), |stay| format!("reservation {stay}"));
        let listed = if self.value("SF").is_some() { "in the list: " } else { "" };
        match id {
            "GI" if !listed.is_empty() => format!("{listed}{who} is in {room}"),
            "GI" => format!("check-in: {who} comes to {room}"),
            "GO" if self.filled("G#").is_none() => format!("{listed}{room} is vacant"),
            "GO" => format!("{listed}check-out: {who} leaves {room}"),
            "GC" => match self.filled("RO") {
                Some(from) => format!("{who} moves from room {from} to {room}"),
                None => format!("what is known of {who} in {room} changes"),
            },
            "PS" => {
                let amount =
                    self.filled("TA").map_or_else(String::new, |amount| format!(" of {amount} minor units"));
                let number =
                    self.filled("P#").map_or_else(String::new, |number| format!(", number {number}"));
                format!("a charge{amount} to {room}{number}")
            }
            "PA" => {
                let number = self
                    .filled("P#")
                    .map_or_else(|| "a charge".to_owned(), |number| format!("charge {number}"));
                match (self.filled("AS"), self.means("AS")) {
                    (Some("OK"), _) => format!("{number} is booked"),
                    (_, Some(means)) => format!("{number} is not booked: {means}"),
                    (Some(status), None) => format!("{number} is answered with {status}"),
                    (None, None) => format!("{number} is answered without a status"),
                }
            }
            "RE" => {
                let told = ["RS", "DN", "ML", "CS", "MR", "TV"];
                let told = told.iter().filter_map(|field| {
                    let value = self.filled(field)?;
                    Some(format!("{} {}", name_of(field), self.means(field).unwrap_or(value)))
                });
                let told: Vec<_> = told.collect();
                if told.is_empty() {
                    format!("something of {room}")
                } else {
                    format!("{room}: {}", told.join(", "))
                }
            }
            "LR" => {
                let of = self.filled("RI").unwrap_or("?");
                let title =
                    RECORDS.iter().find(|record| record.id == of).map_or("an unknown record", |r| r.title);
                format!("asks for {of} ({title})")
            }
            "WR" | "WC" | "WA" => {
                let when = self.means("TI").map_or_else(String::new, |time| format!(" at {time}"));
                let on = self.means("DA").map_or_else(String::new, |date| format!(" on {date}"));
                let how = self.means("AS").map_or_else(String::new, |how| format!(": {how}"));
                format!("{title}: {room}{on}{when}{how}")
            }
            _ if self.filled("RN").is_some() => format!("{title}: {room}"),
            _ => title.to_owned(),
        }
    }
}

fn name_of(id: &str) -> &'static str {
    known_field(id).map_or("a field", |field| field.name)
}

/// YYMMDD as 2026-07-15.
fn date(text: &str) -> Option<String> {
    super::link::date_of(text).map(|date| date.to_string())
}

/// HHMMSS as 06:30:17; HHMM as some write it.
fn time(text: &str) -> Option<String> {
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize| text[from..from + 2].parse::<u8>().ok();
    let (hour, minute, second) = (part(0)?, part(2)?, part(4)?);
    (hour < 24 && minute < 60 && second < 60).then(|| format!("{hour:02}:{minute:02}:{second:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_in_words() {
        for (text, says) in [
            ("GI|RN101|G#4711|GNSato|", "check-in: reservation 4711 comes to room 101"),
            ("GI|RN101|G#4711|SF|", "in the list: reservation 4711 is in room 101"),
            ("GO|RN101|GSN|SF|", "in the list: room 101 is vacant"),
            ("GC|RN102|GSN|G#4712|RO101|GSY|", "reservation 4712 moves from room 101 to room 102"),
            (
                "PS|RN101|PTC|TA1450|P#7|DA260715|TI101500|",
                "a charge of 1450 minor units to room 101, number 7",
            ),
            ("PA|RN101|ASNP|P#7|", "charge 7 is not booked: the guest has a no-post flag"),
            ("RE|RN101|RS3|DNN|", "room 101: room status clean, vacant, telephone quiet no"),
            (
                "WA|RN101|DA260716|TI063017|ASNR|",
                "how a wake-up call went: room 101 on 2026-07-16 at 06:30:17: no response",
            ),
            ("LR|RIGI|FLRNG#|", "asks for GI (check-in)"),
            ("GO|RN101|G#4711|", "check-out: reservation 4711 leaves room 101"),
            ("GO|RN101|G#4711|SF|", "in the list: check-out: reservation 4711 leaves room 101"),
            ("XD|RN101|G#1|MI2|", "a message was deleted or read: room 101"),
            ("WR|RN101|DA260716|TI235959|", "a wake-up call is wanted: room 101 on 2026-07-16 at 23:59:59"),
            ("WR|RN101|DA260716|TI000000|", "a wake-up call is wanted: room 101 on 2026-07-16 at 00:00:00"),
            ("DE|DA260715|TI101500|", "the list of the house is complete"),
        ] {
            let explained = explain(text, None);
            assert_eq!((explained.says.as_str(), &explained.faults), (says, &vec![]), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_and_where() {
        for (text, at, what) in [
            ("DE|DA001005|TI1252001|", 15, "TI is `1252001`, 7 characters; expected a time as HHMMSS"),
            ("2781|PTC|TA1480|", 1, "no record's id: expected two capitals before the first `|`, not `2781`"),
            (
                "LRGI|FLRN|",
                3,
                "a `|` is missing behind `LR`; the record's id stands alone before the first `|`",
            ),
            ("gi|RN504|", 1, "`gi` is no record; did it mean `GI`? Ids are capitals"),
            ("ZZ|RN2781|", 1, "FIAS 2.20 has no record `ZZ`; it is counted and left alone"),
            ("GI|RN1|G#2|GNGuest", 18, "no `|` at the end: every record ends with one, so this may be cut"),
            ("GI|RN1||G#2|", 8, "nothing between two `|`"),
            ("GI|RN1|X|G#2|", 8, "`X` is too short to name a field: ids have two characters"),
            ("GI|G#2|GNGuest|", 15, "room (RN) is missing"),
            (
                "LD|DA151022TI101500| V#1.00|IFMB|V#1|",
                6,
                "DA is `151022TI101500`; expected a date as YYMMDD; a `|` is missing before TI",
            ),
            (
                "PS|RN1|PTC|TA14.50|DA260715|TI101500|",
                14,
                "TA is `14.50`; expected digits without a separator",
            ),
            ("GI|RN1|RN2|G#1|", 8, "RN stands there twice; the first one counts"),
            ("GI|RN1|G#1|QQ1|", 12, "FIAS 2.20 has no field `QQ`; it is left alone"),
            ("GI|RN1|G#\u{1}|", 10, "the control character 0x01; a record has none but line ends"),
            ("", 1, "nothing stands between STX and ETX"),
        ] {
            let faults = explain(text, None).faults;
            assert!(faults.contains(&Fault { at, what: what.to_owned() }), "{text}: {faults:#?}");
        }
        let wrong_way = explain("GI|RN1|G#2|", Some(Direction::ToPms)).faults;
        assert_eq!(wrong_way, [Fault { at: 1, what: "only the PMS sends GI".to_owned() }]);
        let wrong_way = explain("DR|DA260715|TI101500|", Some(Direction::FromPms)).faults;
        assert_eq!(wrong_way, [Fault { at: 1, what: "only the gateway sends DR".to_owned() }]);
        assert_eq!(explain("DR|DA260715|TI101500|", Some(Direction::ToPms)).faults, []);
        // An empty field says that nobody knows; SF says all by being there.
        let meanings: Vec<_> =
            explain("GI|RN1|G#1|GN|SF|", None).fields.into_iter().map(|field| field.means).collect();
        assert_eq!(meanings, [None, None, Some("not known".to_owned()), None]);
    }

    /// The faults of a record, without their places.
    fn said(text: &str) -> Vec<String> {
        explain(text, None).faults.into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn what_is_a_fault_and_what_just_is_none() {
        for (text, fault) in [
            ("WR|RN1|DA260716|TI240000|", Some("TI is `240000`")),
            ("WR|RN1|DA260716|TI236000|", Some("TI is `236000`")),
            ("WR|RN1|DA260716|TI235960|", Some("TI is `235960`")),
            ("WR|RN1|DA260716|TI2359|", Some("TI is `2359`, 4 characters")),
            ("PS|RN1|PTC|TA123456789|P#12345678|DA260715|TI101500|", None),
            (
                "PS|RN1|PTC|TA1|P#123456789|DA260715|TI101500|",
                Some("P# is `123456789`; expected at most 8 digits"),
            ),
            (
                "PS|RN1|PTC|TA1|P#1234567890|DA260715|TI101500|",
                Some("P# is `1234567890`; expected at most 8 digits"),
            ),
            ("PA|RN1|ASXX|P#7|", Some("AS is `XX`, which FIAS 2.20 does not have")),
            ("LR|RIPA|FLAS|ASXX|", None),
            ("GI|RN1|G#1|A1x|", None),
            (
                "GI|RN1|G#1| Vx|",
                Some("FIAS 2.20 has no field ` V`; it is left alone; a blank stands before it"),
            ),
            ("GI|RN1|G#1|QQx|", Some("FIAS 2.20 has no field `QQ`; it is left alone")),
            ("GI|RN1|G#1|éQx|", Some("FIAS 2.20 has no field `éQ`; it is left alone")),
            ("PS|RN1|PTM|MA1|M#1|MA2|M#2|P#1|DA260715|TI101500|", None),
            (
                "PS|RN1|RN1|PTM|MA1|M#1|P#1|DA260715|TI101500|",
                Some("RN stands there twice; the first one counts"),
            ),
        ] {
            let said = said(text);
            let want: Vec<&str> = fault.into_iter().collect();
            assert_eq!(said.len(), want.len(), "{text}: {said:?}");
            for (said, want) in said.iter().zip(want) {
                assert!(
                    said.starts_with(want) && said.contains("blank") == want.contains("blank"),
                    "{text}: {said}"
                );
            }
        }
    }

    #[test]
    fn fields_that_come_in_tens_have_their_names() {
        for (id, name) in [
            ("A0", Some("free text of the PMS (may be personal)")),
            ("A9", Some("free text of the PMS (may be personal)")),
            ("D1", Some("discount")),
            ("S9", Some("subtotal")),
            ("T1", Some("tax")),
            ("$2", Some("key data")),
            ("B1", None),
            ("AA", None),
            ("Aé", None),
            ("1A", None),
            ("A", None),
            ("A10", None),
        ] {
            assert_eq!(of_a_series(id), name, "{id}");
        }
    }

    #[test]
    fn the_tables_name_everything_once() {
        let ids = |ids: Vec<&'static str>| {
            let count = ids.len();
            assert_eq!(ids.into_iter().collect::<std::collections::BTreeSet<_>>().len(), count);
        };
        ids(RECORDS.iter().map(|record| record.id).collect());
        ids(FIELDS.iter().map(|field| field.id).collect());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,80}", bars in "[A-Z#|0-9]{0,60}") {
            for text in [text, bars] {
                let explained = explain(&text, Some(Direction::FromPms));
                let length = text.chars().count().max(1);
                prop_assert!(explained.faults.iter().all(|fault| (1..=length).contains(&fault.at)), "{:?}", explained);
            }
        }
    }
}
