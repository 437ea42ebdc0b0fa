//! A record in plain words, and what is wrong with it and where: for whoever looks at a link that does not do as it should.
//!
//! It is stricter than the link, which bears what can be borne: what is said here to be wrong may still have been taken.

mod sentence;
#[cfg(test)]
mod tests;
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
